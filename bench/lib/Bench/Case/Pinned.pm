# A steady load while something holds an old snapshot, so that nothing that was
# finished can be cleaned up: does the queue still serve what is offered, and
# is a claim as quick in the last minute as in the first?

package Bench::Case::Pinned;

use strict;
use warnings FATAL => 'all';
use Bench::Consumer;
use Bench::Pgbench;
use Bench::Session;
use Bench::Table;
use List::Util  qw(min);
use Time::HiRes qw(time);

my $backlog   = 10_000;
my $consumers = 4;

my %pin_text = (
	none     => 'nothing',
	snapshot => 'a session idle in a REPEATABLE READ transaction',
	slot     => 'a logical slot that nobody reads',
	dump     => 'a pg_dump whose output nobody reads');

# Each makes a pin; what it returns holds it until it is released.
my %pin = (
	none => sub {
		return sub { }
	},
	snapshot => sub {
		my $session = Bench::Session->new('bench');

		$session->rows('BEGIN ISOLATION LEVEL REPEATABLE READ');
		$session->rows('SELECT count(*) FROM pg_class');
		return sub { $session->close };
	},
	slot => sub {
		my ($session) = @_;

		$session->rows(
			q{SELECT pg_create_logical_replication_slot('bench', 'pgoutput')}
		);
		return sub {
			$session->rows(q{SELECT pg_drop_replication_slot('bench')});
		};
	},
	dump => \&stuck_dump);

# It has locked all tables, and hangs in the data: its pipe is full.
sub stuck_dump
{
	my ($session) = @_;

	$session->rows(
		q{CREATE TABLE aaa AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)}
	);
	my $pid = open my $pipe, '-|', 'exec pg_dump -d bench 2>/dev/null'
	  or die "pg_dump: $!\n";
	$session->wait_until(
		'pg_dump hangs',
		q{SELECT count(*) = 1 FROM pg_stat_activity
		   WHERE application_name = 'pg_dump' AND wait_event = 'ClientWrite'}
	);
	return sub {
		kill 'TERM', $pid;
		close $pipe;
	};
}

sub start_load
{
	my ($bench, $peer, $seconds) = @_;
	my $rate   = $bench->{option}{'per-second'};
	my %common = (
		directory => "$bench->{work}/pgbench",
		variables => { %{ $peer->variables }, %Bench::Consumer::variables },
		settings  => $peer->settings,
		seconds   => $seconds);

	return (
		Bench::Pgbench->start(
			%common,
			script     => $peer->enqueue,
			clients    => 2,
			per_second => $rate),
		Bench::Pgbench->start(
			%common,
			script     => Bench::Consumer::script($peer),
			clients    => $consumers,
			per_second => 2 * $rate,
			log        => 1));
}

# For each window how many jobs were served, and the time under which 99 of 100
# claims stayed.
sub windows
{
	my ($started_at, $seconds, $window, $claims, $completions) = @_;
	my $n      = int($seconds / $window);
	my @served = (0) x $n;
	my @ms     = map { [] } 1 .. $n;
	my $at     = sub { int(($_[0][1] - $started_at) / $window) };

	foreach my $completion (@$completions)
	{
		$served[ $at->($completion) ]++ if $at->($completion) < $n;
	}
	foreach my $claim (@$claims)
	{
		push @{ $ms[ $at->($claim) ] }, $claim->[0] if $at->($claim) < $n;
	}
	return map {
		{   rate => $served[$_] / $window,
			p99  => percentile(0.99, @{ $ms[$_] }) }
	} 0 .. $n - 1;
}

sub measure
{
	my ($bench, $peer, $pin) = @_;
	my $cluster    = $bench->{cluster};
	my $seconds    = int($bench->{option}{'pin-minutes'} * 60);
	my $window     = min(60, int($seconds / 2));
	my $session    = $peer->ready($backlog);
	my $release    = $pin{$pin}->($session);
	my $before     = $cluster->usage($session);
	my $started_at = time;
	my ($producers, $consumers) = start_load($bench, $peer, $seconds);
	my $came = $producers->finish->{transactions};

	$consumers->finish;
	$cluster->settle($session);
	my $spent = $cluster->spent($session, $before);
	my ($claims, $completions) = Bench::Consumer::sort_out($consumers->times);
	my $done =
	  Bench::Consumer::count_done($peer, $backlog + $came, $completions);

	$release->();
	return {
		wal     => $spent->{wal} / $done,
		cpu     => $spent->{cpu} * 1000 / $done,
		windows =>
		  [ windows($started_at, $seconds, $window, $claims, $completions) ]
	};
}

sub run
{
	my ($bench) = @_;
	my $option  = $bench->{option};
	my $cluster = $bench->{cluster};
	my @rows    = (
		[   'pinned by',
			'queue',
			'served/s, first and last minute',
			'of offered',
			'claim p99 ms, first and last',
			'last over first',
			'WAL B',
			'CPU ms',
			'bars' ]);

	printf
	  "## While cleaning up is held off\n\n%d jobs/s offered for %.3g minutes, %d claimers, %s jobs wait.\n\n",
	  $option->{'per-second'}, $option->{'pin-minutes'}, $consumers,
	  count_text($backlog);
	foreach my $pin (split /,/, $option->{pins})
	{
		die "no such pin: $pin\n" if !$pin{$pin};
		$cluster->restart_with(%{ $bench->{normal} }, wal_level => 'logical')
		  if $pin eq 'slot';

		# The others take their time; what they show they show with one.
		push @rows, map { rows($bench, $_, $pin) } grep {
			$_->name eq 'ours'
			  || ($pin eq 'snapshot' && $_->can('try_claim'))
		} @{ $bench->{peers} };
		$cluster->restart_with(%{ $bench->{normal} }) if $pin eq 'slot';
	}
	print_table(@rows);
	return;
}

# Of ours one for each sort of jobs.
sub rows
{
	my ($bench, $peer, $pin) = @_;

	return row($bench, $peer, $pin) if !$peer->can('store_as');
	my @rows = map {
		$peer->store_as($_);
		row($bench, $peer, $pin, $_)
	} split /,/, $bench->{option}{jobs};
	$peer->store_as('plain');
	return @rows;
}

sub row
{
	my ($bench, $peer, $pin, $jobs) = @_;
	my $figures = measure($bench, $peer, $pin);
	my ($first, $last) = @{ $figures->{windows} }[ 0, -1 ];
	my $served =
	  sprintf('%.2f', $last->{rate} / $bench->{option}{'per-second'});
	my $slower = sprintf('%.2f', $last->{p99} / ($first->{p99} || 1));
	my $bars   = $bench->{bars};

	return [
		$pin_text{$pin},
		$peer->title . (defined $jobs ? ", $jobs" : ''),
		sprintf('%.0f, %.0f', $first->{rate}, $last->{rate}),
		$served,
		sprintf('%.2f, %.2f', $first->{p99}, $last->{p99}),
		$slower,
		count_text($figures->{wal}),
		sprintf('%.3f', $figures->{cpu}),
		$peer->name eq 'ours'
		? join(
			'; ',
			'of offered '
			  . $bars->judge(
				"pinned ($pin, $jobs), last minute of offered",
				'>=', 1, $served),
			'p99 '
			  . $bars->judge(
				"pinned ($pin, $jobs), p99 last over first",
				'<=', 1.2, $slower))
		: '' ];
}

1;
