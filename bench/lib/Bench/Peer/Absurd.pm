# absurd, where its SQL is at hand.  It claims many tasks at once, but spawns
# and completes one at a time; finished ones are kept.

package Bench::Peer::Absurd;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer';
use Bench::Cluster;

sub name  { return 'absurd'; }
sub title { return 'absurd'; }

sub missing
{
	my ($self) = @_;

	return if defined $self->{option}{absurd};
	return 'not named: --absurd FILE or ABSURD_SQL=FILE (its absurd.sql)';
}

sub install
{
	my ($self, $database) = @_;

	$self->{cluster}->script($database,
		Bench::Cluster::slurp($self->{option}{absurd})
		  . "\nSELECT absurd.create_queue('bench');\n");
	return;
}

sub fill
{
	my ($self, $jobs) = @_;

	$self->{session}->rows(
		qq{SELECT count(*) FROM generate_series(1, $jobs),
		   absurd.spawn_task('bench', 'job', '$Bench::Peer::payload'::jsonb)}
	);
	return;
}

sub enqueue
{
	return
	  q{SELECT * FROM absurd.spawn_task('bench', 'job', :payload ::jsonb);};
}

sub claim
{
	return
	  q{SELECT run_id AS id FROM absurd.claim_task('bench', 'worker', 30, 1) \gset job_};
}

sub complete
{
	return
	  q{SELECT absurd.complete_run('bench', :job_id ::uuid, 'null'::jsonb);};
}

sub enqueue_many
{
	return
	  qq{SELECT count(*) FROM generate_series(1, $Bench::Peer::batch), absurd.spawn_task('bench', 'job', :payload ::jsonb);};
}

sub claim_many
{
	return
	  qq{SELECT array_agg(run_id) AS ids FROM absurd.claim_task('bench', 'worker', 30, $Bench::Peer::batch) \\gset job_};
}

sub complete_many
{
	return
	  q{SELECT count(absurd.complete_run('bench', id, 'null'::jsonb)) FROM unnest(:job_ids ::uuid[]) AS id;};
}

sub left
{
	my ($self) = @_;

	return $self->{session}->value(
		q{SELECT count(*) FROM absurd.t_bench WHERE state NOT IN ('completed', 'failed', 'cancelled')}
	);
}

sub finished
{
	my ($self) = @_;

	return $self->{session}->value(
		q{SELECT count(*) FROM absurd.t_bench WHERE state = 'completed'});
}

1;
