# What a prepared transaction has made is seen when it is committed, though the session
# that commits it tells nobody: moves are folded, work is done, what is wrong is told
# of, and what comes of age is forgotten, in a database where nothing else happens.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("fsync = off\nautovacuum = off\nmax_prepared_transactions = 5");
sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{
	CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
	SELECT workflow.create_queue('q', 'ann', '1 day', '{lead}', dead_letter_retention => '5 seconds');
	SELECT workflow.define('{"workflow": "o", "owner": "x", "initial": "A",
		"queues": {"s": {"owner": "ann", "sla": "1 hour", "escalate_to": ["lead"]}},
		"states": {"A": {"on": {"go": "B"}},
		           "B": {"sql": {"function": "work", "queue": "s"}, "on": {"ok": "C", "error": "C"}},
		           "C": {"on": {"end": "Z"}}, "Z": {"final": "success"}}}');
	SELECT workflow.submit('o', '{}', n::text) FROM generate_series(1, 4) AS n;
});
wait_for('count(*) = 0 FROM workflow.state_delta', 'what was submitted is folded');

sub prepared
{
	my ($statements, $test) = @_;

	sql("BEGIN; $statements; PREPARE TRANSACTION 'it'");
	# the workers have looked while it was prepared, and found nothing
	wait_for(q{count(*) = 1 FROM workflow.workers WHERE kind = 'maintenance' AND last_activity > clock_timestamp() - interval '1 second'}, 'it is known that something is prepared');
	sql("COMMIT PREPARED 'it'");
	$test->();
	return;
}

for my $round (1 .. 2)
{
	prepared(
		"SELECT workflow.cancel('o:$round', 'no')",
		sub { wait_for('count(*) = 0 FROM workflow.state_delta', "a move is folded ($round)") });
}
prepared(
	q{SELECT workflow.send('o:3', 'go')},
	sub { wait_for(q{state = 'C' FROM workflow.items WHERE key = '3'}, 'an activity is done') });
is(sql('SELECT count(*) FROM workflow._wrong_states()'), '0', 'what is counted is true');

sql(q{SELECT workflow.enqueue('q', to_jsonb(n), key => n::text) FROM generate_series(1, 12) AS n});
sql(q{CREATE TABLE claimed AS SELECT job_id, token FROM workflow.claim('q', 'w', 12, '10 minutes')});
prepared(
	q{SELECT workflow.fail(job_id, token, 'permanent', 'no') FROM claimed},
	sub {
		wait_for(q{count(*) > 0 FROM workflow.alerts WHERE kind = 'dead_letters_growing'}, 'what is wrong is told of');
		wait_for(q{count(*) = 0 FROM workflow.dead_letters}, 'what comes of age is forgotten');
	});

# one that was prepared while nobody worked
$node->stop;
$node->append_conf('postgresql.conf', 'pg_workflow.workers = off');
$node->start;
sql(q{BEGIN; SELECT workflow.send('o:4', 'go'); PREPARE TRANSACTION 'it'});
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->restart;
wait_for(q{count(*) = 1 FROM workflow.workers WHERE kind = 'maintenance'}, 'the worker is there');
sql(q{COMMIT PREPARED 'it'});
wait_for(q{state = 'C' FROM workflow.items WHERE key = '4'}, 'what was prepared before is done');
wait_for('count(*) = 0 FROM workflow.state_delta', '... and counted');

$node->stop;
done_testing();
