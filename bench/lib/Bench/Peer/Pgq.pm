# PgQ, from Debian's package, which is unpacked and not installed: its SQL is
# run as a script, with the library's path in it.
#
# It hands out events by batches, one for each tick, to one consumer, and has
# no completion of a single job: its rate is that of the producers, while a
# consumer with a tick every 100 ms keeps up.

package Bench::Peer::Pgq;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer';
use Bench::Cluster;
use Cwd         qw(abs_path);
use Time::HiRes qw(time);

sub name  { return 'pgq'; }
sub title { return 'PgQ, 1 consumer'; }

# The script that makes it, and the directory of its libraries.
sub files
{
	my ($self) = @_;
	my ($script) =
	  glob "$self->{work}/pgq/usr/share/postgresql/*/extension/pgq--?.?.sql";
	my ($library) =
	  glob "$self->{work}/pgq/usr/lib/postgresql/*/lib/pgq_lowlevel.so";

	return ($script, $library ? abs_path($library) =~ s,/[^/]*$,,r : undef);
}

sub missing
{
	my ($self) = @_;
	my ($script, $library) = $self->files;

	return if $script && $library;
	return "no package for this server, see $self->{work}/pgq.log";
}

sub install
{
	my ($self,   $database) = @_;
	my ($script, $library)  = $self->files;
	my $sql = Bench::Cluster::slurp($script);

	# What only the script of an extension may do.
	$sql =~ s/^SELECT pg_catalog.pg_extension_config_dump.*$//mg;
	$sql =~ s/\$libdir/$library/g;
	$self->{cluster}->script($database, $sql . <<'END');
CREATE TABLE consumed (n bigint NOT NULL, different bigint NOT NULL);
SELECT pgq.create_queue('bench'), pgq.register_consumer('bench', 'consumer');
END
	return;
}

# Its consumer waits for what comes.
sub backlog { return 0; }
sub fill    { return; }

sub enqueue
{
	return q{SELECT pgq.insert_event('bench', 'job', :payload);};
}

sub enqueue_many
{
	return
	  qq{SELECT count(pgq.insert_event('bench', 'job', :payload)) FROM generate_series(1, $Bench::Peer::batch);};
}

sub claim         { return ''; }
sub complete      { return ''; }
sub claim_many    { return ''; }
sub complete_many { return ''; }

sub alongside
{
	return <<'END';
SELECT count(pgq.ticker('bench')) AS n \gset
SELECT coalesce(pgq.next_batch('bench', 'consumer'), 0) AS batch \gset
\if :batch > 0
INSERT INTO consumed SELECT count(*), count(DISTINCT ev_id) FROM pgq.get_batch_events(:batch);
SELECT pgq.finish_batch(:batch);
\endif
\sleep 100 ms
END
}

# Consumes the rest, and looks whether it all came, once.
sub check
{
	my ($self, $came, $done) = @_;
	my $session = $self->{session};
	my $until   = time + 30;
	my ($n, $different) = (0, 0);

	while ($n < $came && time < $until)
	{
		$session->rows("SELECT pgq.force_tick('bench')");
		$session->rows("SELECT pgq.ticker('bench')");
		my $batch = $session->value(
			"SELECT coalesce(pgq.next_batch('bench', 'consumer'), 0)");
		$session->rows(
			"INSERT INTO consumed SELECT count(*), count(DISTINCT ev_id) FROM pgq.get_batch_events($batch)"
		) if $batch > 0;
		$session->rows("SELECT pgq.finish_batch($batch)") if $batch > 0;
		($n, $different) =
		  $session->row('SELECT sum(n), sum(different) FROM consumed');
	}
	die "pgq: $came events came, $n were consumed, $different different\n"
	  if $n != $came || $different != $came || $done != $came;
	return;
}

1;
