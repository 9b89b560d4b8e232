# Background workers are killed while they start 2,000 children, while these end,
# and while they are cancelled: each child is there once, wrote once, is counted
# once, and the parent has all results.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("restart_after_crash = on\n");

$node->safe_psql(
	'postgres', q{
	CREATE TABLE public.written (item_id bigint, n int);
	CREATE FUNCTION public.write(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$
	  INSERT INTO public.written VALUES (item_id, (data ->> 'n')::int) RETURNING '{}'::jsonb
	$$;
	SELECT workflow.define('{
	  "workflow": "leaf", "owner": "tester", "initial": "WAITING",
	  "retry": {"default": {"owner": "tester", "max_attempts": 9}},
	  "queues": {"writes": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {"WAITING": {"on": {"go": "WRITING"}},
	             "WRITING": {"sql": {"function": "public.write", "queue": "writes"}, "on": {"ok": "DONE", "error": "FAILED"}},
	             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}');
	SELECT workflow.define('{
	  "workflow": "tree", "owner": "tester", "initial": "GROWING",
	  "states": {"GROWING": {"spawn": {"workflow": "leaf", "each": "$.leaves", "join": "all", "input": {"n": "$.each"}, "result": "$.n"},
	                         "timeout": "1 hour", "on": {"ok": "GROWN", "error": "WITHERED", "timeout": "WITHERED"}},
	             "GROWN": {"final": "success"}, "WITHERED": {"final": "failure"}}}');
});

# Kills a worker of a kind; the server starts anew.
sub kill_worker
{
	my ($kind) = @_;
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM workflow.workers WHERE kind = '$kind'");
	my $pid = $node->safe_psql('postgres',
		"SELECT min(pid) FROM workflow.workers WHERE kind = '$kind'");
	kill 'KILL', $pid;
	$node->poll_query_until('postgres',
		"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	return;
}

sub submit
{
	my ($key) = @_;
	$node->safe_psql('postgres',
		"SELECT count(*) FROM workflow.submit('tree', jsonb_build_object('leaves', (SELECT jsonb_agg(n) FROM generate_series(1, 2000) AS n)), '$key')"
	);
	return;
}

sub children
{
	my ($key) = @_;
	return "FROM workflow.children('tree:$key')";
}

# killed while it starts them, which takes long enough
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END $$;
	CREATE TRIGGER slow BEFORE INSERT ON workflow.item FOR EACH ROW WHEN (new.parent_index > 50) EXECUTE FUNCTION public.slow();
});
submit('first');
for my $some (50, 500)
{
	$node->poll_query_until('postgres',
		"SELECT count(*) >= $some " . children('first'));
	isnt($node->safe_psql('postgres', 'SELECT count(*) ' . children('first')),
		'2000', 'there are more to start');
	kill_worker('maintenance');
}
wait_for("count(*) = 2000 " . children('first'), 'all are started');
$node->safe_psql('postgres', 'DROP TRIGGER slow ON workflow.item');
is( $node->safe_psql('postgres',
		"SELECT count(DISTINCT key), count(DISTINCT index), max(index) "
		  . children('first')),
	'2000|2000|1999',
	'each once');
is( $node->safe_psql('postgres', 'SELECT started, children IS NULL FROM workflow.spawn'),
	'2000|t',
	'and the parent knows');

# killed while they end
$node->safe_psql('postgres',
	"SELECT count(workflow.send(item_id, 'go')) " . children('first'));
for my $kind ('sql', 'maintenance')
{
	my $some = $kind eq 'sql' ? 200 : 1000;
	$node->poll_query_until('postgres',
		"SELECT count(*) >= $some FROM public.written");
	kill_worker($kind);
}
wait_for("outcome = 'success' FROM workflow.items WHERE key = 'first'",
	'the parent has what it waited for');
is( $node->safe_psql('postgres',
		'SELECT count(*), count(DISTINCT n) FROM public.written'),
	'2000|2000',
	'each has written once');
is( $node->safe_psql('postgres',
		"SELECT data #>> '{growing,succeeded}', jsonb_path_query_array(data, '\$.growing.results[*].data') = (SELECT jsonb_agg(n) FROM generate_series(1, 2000) AS n) FROM workflow.items WHERE key = 'first'"
	),
	'2000|t',
	'results are there in order');
is( $node->safe_psql('postgres',
		'SELECT ended, succeeded, (SELECT count(*) FROM workflow.child_end) FROM workflow.spawn'
	),
	'2000|2000|0',
	'each was counted once');

# killed while it cancels them
submit('second');
wait_for("count(*) = 2000 " . children('second'), 'another family');
$node->safe_psql('postgres', "SELECT workflow.cancel('tree:second')");
$node->poll_query_until('postgres',
	"SELECT count(*) >= 300 " . children('second') . " WHERE outcome = 'cancelled'");
kill_worker('maintenance');
wait_for(
	"count(*) = 2000 " . children('second') . " WHERE outcome = 'cancelled'",
	'all are cancelled');
wait_for(
	"ended = 2000 AND ncancelled = 2000 AND unclosed = '{}' FROM workflow.spawn WHERE left_at IS NOT NULL AND verdict IS NULL",
	'and counted');

# one that somebody holds is cancelled when he lets go
$node->safe_psql('postgres',
	"SELECT count(*) FROM workflow.submit('tree', '{\"leaves\": [1, 2, 3]}', 'third')");
my $holder = $node->background_psql('postgres');
$holder->query_safe(
	"BEGIN; SELECT FROM workflow.item WHERE parent_index = 1 AND parent_id = (SELECT item_id FROM workflow.item WHERE key = 'third') FOR UPDATE"
);
$node->safe_psql('postgres', "SELECT workflow.cancel('tree:third')");
is( $node->safe_psql('postgres',
		"SELECT string_agg(state, ',' ORDER BY index) " . children('third')),
	'CANCELLED,WAITING,CANCELLED',
	'nobody waits for a child');
$holder->query_safe('COMMIT');
$holder->quit;
wait_for("count(*) = 3 " . children('third') . " WHERE outcome = 'cancelled'",
	'which is tried again');

# nor is a count that somebody holds waited for, or forgotten
$node->safe_psql('postgres',
	"SELECT count(*) FROM workflow.submit('tree', '{\"leaves\": [1, 2]}', 'fourth')");
$holder = $node->background_psql('postgres');
$holder->query_safe(
	"BEGIN; SELECT FROM workflow.spawn WHERE item_id = (SELECT item_id FROM workflow.item WHERE key = 'fourth') FOR UPDATE"
);
$node->safe_psql('postgres',
	"SELECT count(workflow.send(item_id, 'go')) " . children('fourth'));
wait_for("count(*) = 2 FROM workflow.child_end", 'ends wait to be counted');
$node->safe_psql('postgres',
	"SELECT count(*) FROM workflow.submit('tree', '{\"leaves\": []}', 'other')");
$holder->query_safe('COMMIT');
$holder->quit;
wait_for("outcome = 'success' FROM workflow.items WHERE key = 'fourth'",
	'and are, when he lets go');

is( $node->safe_psql('postgres',
		'SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok'
	),
	'0',
	'log, states and families agree');
wait_for('count(*) = 0 FROM workflow.timer', 'no timer is left');

$node->stop;
done_testing();
