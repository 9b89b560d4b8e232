# What a claim costs among jobs that are delayed, running or dead, over what it
# costs without them.

package Bench::Case::Clutter;

use strict;
use warnings FATAL => 'all';
use Bench::Consumer;
use Bench::Pgbench;
use Bench::Table;
use List::Util qw(max sum);

# More than one client takes in a second.
my $backlog_for_second = 10_000;

# One client takes jobs for some seconds.  Commits do not wait for the disk:
# what counts here is the looking.
sub measure
{
	my ($bench, $peer) = @_;
	my $cluster = $bench->{cluster};
	my $session = $peer->{session};

	top_up($bench, $peer);
	my $before = $cluster->usage($session);
	my $run    = Bench::Pgbench->start(
		directory => "$bench->{work}/pgbench",
		database  => $peer->{database},
		variables => { %{ $peer->variables }, %Bench::Consumer::variables },
		settings  => '-c synchronous_commit=off ' . $peer->settings,
		script    => Bench::Consumer::script($peer),
		clients   => 1,
		seconds   => $bench->{option}{seconds},
		log       => 1);

	$run->finish;
	$cluster->settle($session);
	my $spent = $cluster->spent($session, $before);
	my ($claims, $completions) = Bench::Consumer::sort_out($run->times);

	push @{ $peer->{completions} }, @$completions;
	Bench::Consumer::count_done($peer, $peer->{came}, $peer->{completions});
	return {
		p50 => percentile(0.5, map { $_->[0] } @$claims),
		cpu => $spent->{cpu} * 1000 / (@$completions || 1) };
}

# As many jobs that wait as before.
sub top_up
{
	my ($bench, $peer) = @_;
	my $wanted  = int($backlog_for_second * $bench->{option}{seconds});
	my $missing = max(0, $wanted + $peer->{clutter} - $peer->left);

	$peer->fill($missing) if $missing > 0;
	$peer->{session}->rows('VACUUM ANALYZE');
	$peer->{came} += $missing;
	return;
}

# The same peer twice, the second time among the clutter.
sub pair
{
	my ($bench, $peer) = @_;
	my @clutter   = @{ $bench->{option} }{qw(delayed running dead)};
	my $cluttered = (ref $peer)->new(%$bench, database => 'bench_cluttered');

	$_->fresh foreach $peer, $cluttered;
	$cluttered->clutter(@clutter);
	$peer->{clutter}      = 0;
	$cluttered->{clutter} = sum(@clutter);
	foreach my $one ($peer, $cluttered)
	{
		$one->{came}        = $one->{clutter};
		$one->{completions} = [];
	}
	return ($peer, $cluttered);
}

sub run
{
	my ($bench) = @_;
	my $option  = $bench->{option};
	my @rows    = (
		[   'queue',
			'claim p50 ms',
			'among the others',
			'ratio',
			'CPU ms for each job',
			'among the others',
			'bars' ]);

	printf
	  "## Among jobs that are not ready\n\n%s delayed, %s running and %s dead jobs beside those that wait; one client, commits that do not wait for the disk.\n\n",
	  map { count_text($option->{$_}) } qw(delayed running dead);
	foreach my $peer (grep { $_->can('clutter') } @{ $bench->{peers} })
	{
		my @pair = pair($bench, $peer);
		my @runs;

		foreach my $run (1 .. $option->{runs})
		{
			push @runs, [ map { measure($bench, $_) } @pair ];
		}
		my ($p50, $among_p50, $cpu, $among_cpu) = map {
			my ($figure, $which) = @$_;
			median(map { $_->[$which]{$figure} } @runs)
		}[ p50 => 0 ], [ p50 => 1 ], [ cpu => 0 ], [ cpu => 1 ];
		my $ratio = median(map { $_->[1]{p50} / $_->[0]{p50} } @runs);

		push @rows,
		  [ $peer->title,
			sprintf('%.3f', $p50),
			sprintf('%.3f', $among_p50),
			sprintf('%.2f', $ratio),
			sprintf('%.3f', $cpu),
			sprintf('%.3f', $among_cpu),
			$peer->name eq 'ours'
			? $bench->{bars}
			  ->judge('clutter, claim over none', '<=', 1.3, $ratio)
			: '' ];
		$pair[1]->drop;
	}
	print_table(@rows);
	return;
}

1;
