# Moves a second, each a commit: ours beside the two usual ways.

package Bench::Case::Clients;

use strict;
use warnings FATAL => 'all';
use Bench::Pgbench;
use Bench::Side;
use Bench::Table;

# One run of one side.
sub measure
{
	my ($bench, $side) = @_;
	my ($cluster, $session) = @{$bench}{qw(cluster session)};
	my $logged = Bench::Side::logged($session, $side);
	my $before = $cluster->usage($session);
	my $run    = Bench::Pgbench->start(
		directory => "$bench->{work}/pgbench",
		script    => Bench::Side::script($side),
		clients   => $bench->{option}{clients},
		seconds   => $bench->{option}{seconds})->finish;
	$cluster->settle($session);
	my $spent = $cluster->spent($session, $before);
	my $moves = $run->{transactions};

	$logged = Bench::Side::logged($session, $side) - $logged;
	die "$side->{name}: $moves moves, but $logged are on record\n" if $logged != $moves;
	return {
		rate    => $run->{rate},
		wal     => $spent->{wal} / $moves,
		commits => $spent->{commits} / $moves,
		cpu     => $spent->{cpu} * 1e6 / $moves };
}

sub figures
{
	my ($runs, $figure) = @_;

	return map { $_->{$figure} } @$runs;
}

# The median of the ratios of runs that were next to each other.
sub ratio
{
	my ($runs, $others, $figure) = @_;

	return median(map { $runs->[$_]{$figure} / $others->[$_]{$figure} } 0 .. $#$runs);
}

# Bars: side, what, relation, bar, of which other side.
my @bars = (
	[ 'direct', 'rate', '>=', 0.95, 'bare' ],
	[ 'send',   'rate', '>=', 0.8,  'bare' ],
	[ 'states', 'cpu',  '<=', 1.05, 'direct' ]);

sub run
{
	my ($bench) = @_;
	my @sides = Bench::Side::named(qw(bare triggers direct states send enforced));
	my @rows  = ([ 'move', 'moves/s', 'of bare', 'WAL B', 'commits', 'CPU us', 'CPU of bare' ]);
	my %runs;

	printf "## One move, one commit\n\n%d clients, a random one of %d rows.\n\n",
	  $bench->{option}{clients}, $Bench::Side::rows;
	foreach (1 .. $bench->{option}{runs})
	{
		push @{ $runs{ $_->{name} } }, measure($bench, $_) foreach @sides;
	}
	foreach my $side (@sides)
	{
		my $mine = $runs{ $side->{name} };

		push @rows, [
			$side->{title},
			range_text(figures($mine, 'rate')),
			sprintf('%.3f', ratio($mine, $runs{bare}, 'rate')),
			count_text(median(figures($mine, 'wal'))),
			sprintf('%.3f', median(figures($mine, 'commits'))),
			sprintf('%.1f', median(figures($mine, 'cpu'))),
			sprintf('%.3f', ratio($mine, $runs{bare}, 'cpu')) ];
	}
	print_table(@rows);
	foreach my $bar (@bars)
	{
		my ($name, $figure, $relation, $value, $of) = @$bar;

		$bench->{bars}->judge("$name: $figure of $of", $relation, $value, ratio($runs{$name}, $runs{$of}, $figure));
	}
	return;
}

1;
