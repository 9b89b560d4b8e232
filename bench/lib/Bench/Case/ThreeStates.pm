# On an idle server: from the call of submit to the commit that ends an item of
# three sql states.

package Bench::Case::ThreeStates;

use strict;
use warnings FATAL => 'all';
use Bench::Case::Chain;
use Bench::Pgbench;
use Bench::Table;

my $pause_ms = 60;

sub run
{
	my ($bench) = @_;
	my $n       = int $bench->{option}{lonely};
	my $cluster = $bench->{cluster};

	$bench->{session}->close;
	$cluster->restart_with(track_commit_timestamp => 'on');
	$cluster->replace_database('lonely');
	my $session = $bench->{session} = Bench::Session->new('lonely');
	$session->rows('CREATE EXTENSION pg_workflow');
	Bench::Case::Chain::define($session, 'lonely', 3);
	Bench::Pgbench->start(
		directory    => "$bench->{work}/pgbench",
		database     => 'lonely',
		script       => "SELECT workflow.submit('lonely', '{}');\n\\sleep $pause_ms ms\n",
		clients      => 1,
		transactions => $n)->finish;
	$session->wait_until('all items have ended',
		q{SELECT NOT EXISTS (SELECT FROM workflow.item WHERE outcome IS NULL)});
	my @ms = map { $_->[0] } $session->rows(
		q{SELECT extract(epoch FROM pg_xact_commit_timestamp(i.xmin) - i.received_at) * 1000
		  FROM workflow.item AS i WHERE i.outcome = 'success' ORDER BY i.item_id});

	die sprintf "latency: %d items came, %d have ended well\n", $n, scalar @ms if @ms != $n;
	shift @ms;    # the first starts the worker
	my $bar = $bench->{bars}->judge('three states, p95 ms', '<=', 25, percentile(0.95, @ms));
	printf "## From submit to the end\n\n%d items of three sql states, one each %d ms: p50 %.2f ms, p95 %.2f ms (%s), p99 %.2f ms\n\n",
	  $n, $pause_ms, percentile(0.5, @ms), percentile(0.95, @ms), $bar, percentile(0.99, @ms);
	return;
}

1;
