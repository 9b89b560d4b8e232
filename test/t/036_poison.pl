# An activity that brings its worker down, or the whole server: it is charged
# each time and ends as poison; what ran beside it is done exactly once.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf',
	"pg_workflow.workers = on\nrestart_after_crash = on");
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION pg_workflow; CREATE SCHEMA app; CREATE TABLE app.written (workflow text, n int)'
);

sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name)
	  or diag($node->safe_psql('postgres',
			'TABLE workflow.job; TABLE workflow.attempts; TABLE workflow.workers'
	  ));
	return;
}

# Defines a workflow with one activity: it writes its number, and number 7 does
# what the body says.
sub define
{
	my ($name, $body, $attempts, $events) = @_;
	$node->safe_psql(
		'postgres', qq{
		CREATE FUNCTION app.$name(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
		\$body\$ BEGIN
		  INSERT INTO app.written VALUES ('$name', (data->>'n')::int);
		  IF data->>'n' = '7' THEN $body END IF;
		  RETURN '{}';
		END \$body\$;
		SELECT workflow.define('{
		  "workflow": "$name", "owner": "tester", "initial": "WORKING",
		  "retry": {"default": {"owner": "tester", "max_attempts": $attempts, "timeout": "10 minutes",
		                        "backoff": {"initial": "100 milliseconds", "jitter": "none"}}},
		  "queues": {"work": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
		  "states": {"WORKING": {"sql": {"function": "app.$name", "queue": "work"}, "on": {$events}},
		             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}},
		  "any": {"on": {"cancel": "FAILED"}}}')});
	return;
}

sub submit
{
	my ($name, $first, $last) = @_;
	$node->safe_psql('postgres',
		"SELECT count(*) FROM workflow.submit_many('$name', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series($first, $last) AS n))"
	);
	return;
}

sub attempts
{
	my ($name) = @_;
	return $node->safe_psql('postgres',
		"SELECT string_agg(a.attempt || ' ' || a.outcome, ', ' ORDER BY a.attempt_id) FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = '$name' AND i.data->>'n' = '7'"
	);
}

sub the_good_are_done
{
	my ($name, $count) = @_;
	wait_for(
		"count(*) = $count FROM workflow.items WHERE workflow = '$name' AND outcome = 'success'",
		"$name: every good activity is done");
	is( $node->safe_psql('postgres',
			"SELECT count(*), count(DISTINCT n) FROM app.written WHERE workflow = '$name'"
		),
		"$count|$count",
		"$name: and wrote exactly once");
	is( $node->safe_psql('postgres',
			"SELECT count(*) FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = '$name' AND i.data->>'n' <> '7' AND a.outcome <> 'ok'"
		),
		'0',
		"$name: and was charged nothing");
	return;
}

my $is_poison =
  "count(*) = 1 FROM workflow.dead_letters WHERE error_class = 'poison' AND workflow =";
my $sleeper =
  "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_workflow sql' AND wait_event = 'PgSleep'";

# ------------------------------------------------------- its worker ends
define('suicide', 'PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60);',
	3, '"ok": "DONE"');
submit('suicide', 1, 21);
wait_for("$is_poison 'suicide'",
	'an activity that ends its worker is a poison job in the end');
the_good_are_done('suicide', 20);
is(attempts('suicide'), '1 lost, 2 lost, 3 dead', 'after as many attempts as the policy allows');
is( $node->safe_psql('postgres',
		"SELECT bool_and(b.started_at - a.finished_at > '90 milliseconds'), count(*) FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) JOIN workflow.attempts AS b USING (job_id) WHERE i.workflow = 'suicide' AND b.attempt = a.attempt + 1"
	),
	't|2',
	'with the back-off of the policy between them');

define('handled', 'PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60);',
	2, '"ok": "DONE", "error": "FAILED"');
submit('handled', 7, 9);
wait_for("count(*) = 1 FROM workflow.items WHERE workflow = 'handled' AND outcome = 'failure'",
	'where error is handled it is raised');
is( $node->safe_psql('postgres',
		"SELECT t.data->>'error_class' FROM workflow.transition AS t JOIN workflow.items AS i USING (item_id) WHERE i.workflow = 'handled' AND t.event = 'error'"
	),
	'poison',
	'with class poison');
the_good_are_done('handled', 2);

# who is asked to end is not to blame, nor is its activity
define('patient', 'PERFORM pg_sleep(600);', 2, '"ok": "DONE"');
submit('patient', 7, 7);
foreach my $way (
	[ 'stop_workers', sub {
		$node->safe_psql('postgres', 'SELECT workflow.stop_workers(); SELECT workflow.start_workers()') } ],
	[ 'a fast shutdown', sub { $node->restart } ],
	[ 'the crash of another process', sub {
		my $session = $node->background_psql('postgres', on_error_die => 1);
		my $pid = $session->query_safe('SELECT pg_backend_pid()');
		kill 'KILL', $pid;
		$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)") } ],
	[ 'an immediate shutdown', sub { $node->stop('immediate'); $node->start } ])
{
	my ($name, $end) = @$way;
	wait_for("count(*) = 1 FROM ($sleeper) AS s", "an activity runs before $name");
	$end->();
}
wait_for("count(*) = 1 FROM ($sleeper) AS s", 'it runs again each time');
is(attempts('patient'), '', 'and no attempt was charged');

# a person who ends the worker ends the attempt (and no other begins, which
# would keep the item from being cancelled)
$node->safe_psql('postgres', "SELECT workflow.pause_queue('work', 'to look at it')");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM ($sleeper) AS s");
wait_for("count(*) = 1 FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = 'patient' AND a.outcome = 'lost'",
	'a terminated worker costs the activity an attempt');
$node->safe_psql('postgres', "SELECT workflow.cancel(item_id, 'enough') FROM workflow.items WHERE workflow = 'patient'");
$node->safe_psql('postgres', "SELECT workflow.resume_queue('work', 'done')");

# --------------------------------------------------- the whole server ends
define('crash', 'PERFORM pg_sleep(600);', 2, '"ok": "DONE"');
submit('crash', 1, 21);
my $ncrashes = 0;
while ($ncrashes < 5)
{
	$node->poll_query_until('postgres',
		"SELECT EXISTS ($sleeper) OR EXISTS (SELECT FROM workflow.dead_letters WHERE workflow = 'crash')");
	my $pid = $node->safe_psql('postgres', $sleeper);
	last if $pid eq '';
	$ncrashes++;
	kill 'KILL', $pid;
	$node->poll_query_until('postgres',
		"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
}
is($ncrashes, 2, 'an activity that brings the server down does so only as often as its policy allows');
wait_for("$is_poison 'crash'", 'and is a poison job then');
is(attempts('crash'), '1 lost, 2 dead', 'each attempt is on record');
the_good_are_done('crash', 20);

# -------------------------------------------------- the same with run()
$node->safe_psql('postgres', 'SELECT workflow.stop_workers()');
define('session', 'PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60);',
	2, '"ok": "DONE"');
submit('session', 7, 8);
$node->psql('postgres', 'CALL workflow.run()');
is(attempts('session'), '', 'a session that ended has charged nothing itself');
$node->psql('postgres', "CALL workflow.run('1 second')");
$node->safe_psql('postgres', "CALL workflow.run('1 second')");
is(attempts('session'), '1 lost, 2 dead', 'run() finds what an earlier one died of');
the_good_are_done('session', 1);

is( $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_ls_dir('pg_stat_tmp') AS name WHERE name LIKE 'pg_workflow%' AND split_part(name, '.', 3)::int <> pg_backend_pid()"
	),
	'0',
	'no trace of a process that is gone is left');

$node->stop;
done_testing();
