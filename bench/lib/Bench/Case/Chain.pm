# Ten sql states in a row, run by workers.

package Bench::Case::Chain;

use strict;
use warnings FATAL => 'all';
use Bench::Cluster;
use Bench::Table;

my $states = 10;

# A workflow of so many sql states, one after the other.
sub define
{
	my ($session, $name, $count) = @_;

	$session->rows(
		q{CREATE OR REPLACE FUNCTION step(item_id bigint, data jsonb) RETURNS jsonb
		  LANGUAGE plpgsql AS 'BEGIN RETURN jsonb_build_object(''done'', item_id); END'});
	$session->rows(
		sprintf q{SELECT workflow.define(json_build_object('workflow', '%s', 'initial', 'A1', 'owner', 'bench',
			'queues', '{"%s": {"owner": "bench", "sla": "1 hour", "escalate_to": ["bench"]}}'::json,
			'retry', '{"default": {"owner": "bench", "dead_letter": "%s", "max_attempts": 3, "timeout": "30 seconds"}}'::json,
			'states', (SELECT json_object_agg('A' || n, json_build_object(
				'sql', '{"function": "public.step", "queue": "%s"}'::json,
				'on', json_build_object('ok', CASE WHEN n < %d THEN 'A' || n + 1 ELSE 'DONE' END, 'error', 'FAILED')))
				FROM generate_series(1, %d) AS n)::jsonb
			|| '{"DONE": {"final": "success"}, "FAILED": {"final": "failure"}}'))},
		$name, $name, $name, $name, $count, $count);
	return;
}

sub measure
{
	my ($bench) = @_;
	my ($cluster, $session) = @{$bench}{qw(cluster session)};
	my $items  = int $bench->{option}{items};
	my $moves  = $items * $states;
	my $before = $cluster->usage($session);

	$session->rows(
		"SELECT count(*) FROM workflow.submit_many('chain', array_fill('{}'::jsonb, ARRAY[$items]))");
	my $submitted = $cluster->usage($session);
	$session->wait_until('all items have ended',
		qq{SELECT NOT EXISTS (SELECT FROM workflow.item WHERE workflow = 'chain' AND outcome IS NULL)});
	my $spent = $cluster->spent($session, $submitted);
	my ($count, $seconds) = $session->row(
		qq{SELECT count(*), extract(epoch FROM max(at) - min(at)) FROM workflow.transition
		   WHERE kind = 'engine' AND item_id IN (SELECT item_id FROM workflow.item WHERE workflow = 'chain')});

	die "chain: $count moves, not $moves\n" if $count != $moves;
	return {
		rate    => $moves / $seconds,
		wal     => $spent->{wal} / $moves,
		commits => $spent->{commits} / $moves,
		cpu     => $spent->{cpu} * 1e6 / $moves };
}

sub run
{
	my ($bench) = @_;
	my @runs;

	printf "## %d sql states in a row\n\n%d items; workers on.\n\n", $states, $bench->{option}{items};
	foreach my $run (1 .. $bench->{option}{runs})
	{
		$bench->{session}->close;
		$bench->{cluster}->replace_database('chain');
		$bench->{session} = Bench::Session->new('chain');
		$bench->{session}->rows('CREATE EXTENSION pg_workflow');
		define($bench->{session}, 'chain', $states);
		push @runs, measure($bench);
	}
	my %of = map {
		my $figure = $_;
		$figure => [ map { $_->{$figure} } @runs ]
	} qw(rate wal commits cpu);
	print_table(
		[ 'moves/s', 'WAL B', 'commits', 'CPU us', 'bar' ],
		[   range_text(@{ $of{rate} }),
			count_text(median(@{ $of{wal} })),
			sprintf('%.3f', median(@{ $of{commits} })),
			sprintf('%.1f', median(@{ $of{cpu} })),
			$bench->{bars}->judge('sql states, moves/s', '>=', 10_000, median(@{ $of{rate} })) ]);
	return;
}

1;
