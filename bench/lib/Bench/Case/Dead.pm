# What finished jobs leave behind where nothing vacuums.

package Bench::Case::Dead;

use strict;
use warnings FATAL => 'all';
use Bench::Peer;
use Bench::Pgbench;
use Bench::Table;

my $clients = 8;

# Dead row versions and bytes of all tables, with their indexes.
my $remains = q{
SELECT sum(n_dead_tup), sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables};

sub run
{
	my ($bench) = @_;
	my $cluster = $bench->{cluster};
	my $each =
	  int($bench->{option}{finished} / $clients / $Bench::Peer::batch) || 1;
	my $jobs = $each * $clients * $Bench::Peer::batch;
	my @rows = ([ 'queue', 'dead row versions', 'for each job', 'MB' ]);

	printf
	  "## What is left behind\n\n%s jobs came and were finished in batches of %d, vacuum off.\n\n",
	  count_text($jobs), $Bench::Peer::batch;
	$cluster->restart_with(%{ $bench->{normal} }, autovacuum => 'off');
	foreach my $peer (grep { !$_->alongside } @{ $bench->{peers} })
	{
		my $session = $peer->ready(1000);

		Bench::Pgbench->start(
			directory => "$bench->{work}/pgbench",
			variables => $peer->variables,
			settings  => $peer->settings,
			script    =>
			  $peer->script(qw(enqueue_many claim_many complete_many)),
			clients      => $clients,
			transactions => $each)->finish;
		$cluster->settle($session);
		$peer->check(1000 + $jobs, $jobs);
		my ($dead, $bytes) = $session->row($remains);

		push @rows,
		  [ $peer->title,                   count_text($dead),
			sprintf('%.2f', $dead / $jobs), count_text($bytes / 1e6) ];
	}
	$cluster->restart_with(%{ $bench->{normal} });
	print_table(@rows);
	return;
}

1;
