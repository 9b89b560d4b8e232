# A client that claims and completes by turns, each a transaction of pgbench's,
# so that its log has the times of both.

package Bench::Consumer;

use strict;
use warnings FATAL => 'all';

our %variables = (turn => 0);

# Nothing goes to the server and back in that time.
my $no_time_ms = 0.02;

# A claim that found nothing is followed by a transaction that does nothing.
sub script
{
	my ($peer) = @_;

	return join "\n", '\if :turn = 0', $peer->try_claim,
	  '\set turn CASE WHEN :job_id = 0 THEN 2 ELSE 1 END',
	  '\elif :turn = 1', $peer->complete, '\set turn 0', '\else',
	  '\set turn 0', '\endif', '';
}

# What the log has: claims, and completions of jobs, each [ms, time of its end].
sub sort_out
{
	my (@times) = @_;
	my (@claims, @completions);

	foreach my $time (@times)
	{
		my ($client, $number, $ms, $ended_at) = @$time;

		push @claims, [ $ms, $ended_at ] if $number % 2 == 1;
		push @completions, [ $ms, $ended_at ]
		  if $number % 2 == 0 && $ms > $no_time_ms;
	}
	return (\@claims, \@completions);
}

# How many jobs of those that came are done, by what is left; dies when the log
# knows of another number, but for what the clock may have misjudged.
sub count_done
{
	my ($peer, $came, $completions) = @_;
	my $done = $came - $peer->left;

	$peer->check($came, $done);
	die sprintf "%s: %d jobs are done, %d were completed\n", $peer->name,
	  $done, scalar @$completions
	  if abs(@$completions - $done) > 1 + $done / 1000;
	return $done;
}

1;
