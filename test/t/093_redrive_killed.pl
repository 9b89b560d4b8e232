# Background workers are killed while they take up 1,200 dead letters: each is
# taken up once, and none is left out.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("restart_after_crash = on\n");

sub query { return $node->safe_psql('postgres', $_[0]) }

# Kills the maintenance worker; the server starts anew.
sub kill_worker
{
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM workflow.workers WHERE kind = 'maintenance'");
	my $pid = query("SELECT min(pid) FROM workflow.workers WHERE kind = 'maintenance'");
	kill 'KILL', $pid;
	$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	return;
}

# 400 dead letters of items, 400 items in an exception state, 400 jobs that stand alone
query(q{
	SELECT workflow.create_queue('work', 'ann', '1 hour', '{bob}', retry => '{"max_attempts": 1}');
	SELECT workflow.define('{
	  "workflow": "w", "owner": "ann", "initial": "START", "key": ["$.id"],
	  "retry": {"default": {"max_attempts": 1, "owner": "ann"}},
	  "states": {"START":  {"on": {"task": "TASK", "handle": "HANDLE"}},
	             "TASK":   {"task": {"queue": "work"}, "on": {"ok": "DONE"}},
	             "HANDLE": {"task": {"queue": "work"}, "on": {"ok": "DONE", "error": "BROKEN"}},
	             "BROKEN": {"exception": {"queue": "work"}, "on": {"replay": "AGAIN", "give_up": "DONE"}},
	             "AGAIN":  {"on": {"ok": "DONE"}},
	             "DONE":   {"final": "success"}}}');
	SELECT count(workflow.submit('w', jsonb_build_object('id', n))) FROM generate_series(1, 800) AS n;
	SELECT count(workflow.send('w:' || n, CASE WHEN n % 2 = 0 THEN 'task' ELSE 'handle' END)) FROM generate_series(1, 800) AS n;
	SELECT count(workflow.enqueue('work', '{}', key => 'alone ' || n)) FROM generate_series(1, 400) AS n;
	SELECT count(workflow.fail(job_id, token, 'permanent', 'broken')) FROM workflow.claim('work', 'me', 1200);
});
is(query('SELECT count(*) FROM workflow.dead_letters'), '1200', 'there are many dead letters');

query(q{SELECT count(*) FROM workflow.redrive('{"class": "permanent"}', per_second => 400, dry_run => false, reason => 'mended')});
foreach my $some (100, 500, 900)
{
	$node->poll_query_until('postgres', "SELECT done >= $some FROM workflow.redrive");
	cmp_ok(query('SELECT matched - done FROM workflow.redrive'), '>', 0, "killed after $some: there are more");
	kill_worker();
	is(query(q{SELECT count(*) = min(r.done) FROM workflow.redrive_item AS i JOIN workflow.redrive AS r USING (redrive_id) WHERE i.status = 'done'}),
		't', 'the batch knows how many');
}
wait_for("ended_at IS NOT NULL FROM workflow.redrive", 'it is worked off');

is(query('SELECT status, matched, done, skipped FROM workflow.redrives'), 'done|1200|1200|0', 'all of it');
is(query(q{SELECT count(*), count(DISTINCT item_id) FROM workflow.transition WHERE kind = 'replay'}), '400|400',
	'each item in an exception state was taken up once');
is(query(q{SELECT count(*), count(DISTINCT item_id) FROM workflow.journal WHERE action = 'replay'}), '400|400',
	'each dead letter of an item, too');
is(query(q{SELECT count(*), count(DISTINCT subject) FROM workflow.journal WHERE action = 'replay_job'}), '400|400',
	'and each job that stands alone');
is(query('SELECT count(*) FROM workflow.dead_letters'), '0', 'none was left out');
is(query(q{SELECT count(*) FROM workflow.job WHERE status = 'ready' AND attempt = 0}), '800', 'their jobs are ready');
is(query('SELECT count(*) FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok'), '0', 'all items are sound');

done_testing();
