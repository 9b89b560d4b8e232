# pgmq, where it is installed or its SQL is at hand.

package Bench::Peer::Pgmq;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer';
use Bench::Cluster;

sub name  { return 'pgmq'; }
sub title { return 'pgmq'; }

sub missing
{
	my ($self) = @_;

	return if defined $self->{option}{pgmq} || $self->is_installed;
	return
	  'neither installed nor named: --pgmq FILE or PGMQ_SQL=FILE (its pgmq.sql)';
}

sub is_installed
{
	chomp(my $share = `pg_config --sharedir`);

	return -e "$share/extension/pgmq.control";
}

sub install
{
	my ($self, $database) = @_;
	my $file = $self->{option}{pgmq};

	$self->{cluster}->script(
		$database,
		(   defined $file
			? Bench::Cluster::slurp($file)
			: 'CREATE EXTENSION pgmq;')
		  . "\nSELECT pgmq.create('bench');\n");
	return;
}

sub fill
{
	my ($self, $jobs) = @_;

	$self->{session}->rows(
		qq{SELECT count(*) FROM generate_series(0, $jobs - 1, 1000) AS first, pgmq.send_batch('bench',
		   array_fill('$Bench::Peer::payload'::jsonb, ARRAY[least(1000, $jobs - first)]))}
	);
	return;
}

sub enqueue
{
	return q{SELECT * FROM pgmq.send('bench', :payload ::jsonb);};
}

sub claim
{
	return q{SELECT msg_id AS id FROM pgmq.read('bench', 30, 1) \gset job_};
}

sub complete
{
	return
	  q{SELECT 1 AS done WHERE pgmq.delete('bench', :job_id ::bigint) \gset};
}

sub enqueue_many
{
	return
	  qq{SELECT count(*) FROM pgmq.send_batch('bench', array_fill(:payload ::jsonb, ARRAY[$Bench::Peer::batch]));};
}

sub claim_many
{
	return
	  qq{SELECT array_agg(msg_id) AS ids FROM pgmq.read('bench', 30, $Bench::Peer::batch) \\gset job_};
}

sub complete_many
{
	return
	  qq{SELECT count(*) AS done FROM pgmq.delete('bench', :job_ids ::bigint[]) HAVING count(*) = $Bench::Peer::batch \\gset};
}

sub try_claim
{
	return
	  q{SELECT coalesce(max(msg_id), 0) AS id FROM pgmq.read('bench', 30, 1) \gset job_};
}

sub left
{
	my ($self) = @_;

	return $self->{session}->value('SELECT count(*) FROM pgmq.q_bench');
}

1;
