# An activity that catches every interrupt ends with its worker, and is charged
# a timeout; a job that its worker died with is charged before anybody has it.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node();
sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

query('CREATE SCHEMA app; CREATE SEQUENCE app.runs; CREATE TABLE app.written (n int)');

# Defines a workflow with one activity; number 7 does what the body says.
sub define
{
	my ($name, $body, $policy, $events) = @_;
	query(qq{
		CREATE FUNCTION app.$name(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
		\$body\$ BEGIN
		  IF data->>'n' = '7' THEN $body END IF;
		  INSERT INTO app.written VALUES ((data->>'n')::int);
		  RETURN '{}';
		END \$body\$;
		SELECT workflow.define('{
		  "workflow": "$name", "owner": "tester", "initial": "WORKING",
		  "retry": {"default": {"owner": "tester", "backoff": {"initial": "20 milliseconds", "jitter": "none"}, $policy}},
		  "queues": {"work": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
		  "states": {"WORKING": {"sql": {"function": "app.$name", "queue": "work"}, "on": {$events}},
		             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}')});
	return;
}

sub submit
{
	my ($name, $first, $last) = @_;
	query("SELECT count(*) FROM workflow.submit_many('$name', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series($first, $last) AS n))");
	return;
}

sub attempts
{
	my ($name) = @_;
	return query("SELECT string_agg(a.attempt || ' ' || a.outcome || ' ' || coalesce(a.error_class, '-'), ', ' ORDER BY a.attempt_id) FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = '$name' AND i.data->>'n' = '7'");
}

my $for_ever = 'LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;';

# ------------------------------------------------ it catches what interrupts it
define('stubborn', $for_ever, '"max_attempts": 1, "timeout": "2 seconds"', '"ok": "DONE", "error": "FAILED"');
submit('stubborn', 7, 10);
wait_for("count(*) = 3 FROM workflow.items WHERE outcome = 'success'", 'the queue goes on');
wait_for("count(*) = 1 FROM workflow.items WHERE workflow = 'stubborn' AND outcome = 'failure'", 'and the item with it');
is(attempts('stubborn'), '1 dead timeout', 'its attempt is charged as a timeout');
is(query("SELECT data->>'error_class' FROM workflow.transition WHERE event = 'error'"), 'timeout', 'which is what the event says');
like(query("SELECT message FROM workflow.attempts WHERE error_class = 'timeout'"), qr/timeout.*ended with its worker/s, 'and how it ended');

define('again', $for_ever, '"max_attempts": 2, "timeout": "2 seconds", "retry_on": ["timeout"]', '"ok": "DONE"');
submit('again', 7, 7);
wait_for("error_class = 'timeout' FROM workflow.dead_letters WHERE workflow = 'again'", 'a policy that retries timeouts is obeyed');
is(attempts('again'), '1 lost timeout, 2 dead timeout', 'up to its attempts');

# --------------------------------------- somebody holds the job as its worker dies
define('deadly', "PERFORM nextval('app.runs'); PERFORM pg_sleep(CASE WHEN currval('app.runs') = 1 THEN 600 ELSE 0 END); PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60);",
	'"max_attempts": 2', '"ok": "DONE"');
submit('deadly', 7, 7);
my $sleeper = "FROM pg_stat_activity WHERE backend_type = 'pg_workflow sql' AND wait_event = 'PgSleep'";
wait_for("count(*) = 1 $sleeper", 'an activity runs');
my $holder = $node->background_psql('postgres', on_error_die => 1);
$holder->query_safe('BEGIN');
$holder->query_until(qr/waiting/, "\\echo waiting\nSELECT job_id FROM workflow.job WHERE status <> 'dead' ORDER BY job_id DESC LIMIT 1 FOR UPDATE;\n");
wait_for("count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 'a session waits for its job');
query("SELECT pg_terminate_backend(pid) $sleeper");
$holder->query_safe('SELECT 1');
submit('deadly', 8, 8);
wait_for("count(*) = 1 FROM workflow.items WHERE workflow = 'deadly' AND outcome = 'success'", 'others are served meanwhile');
$holder->query_safe('COMMIT');
$holder->quit;
query("SELECT workflow._wake('sql')");
wait_for("count(*) = 1 FROM workflow.dead_letters WHERE workflow = 'deadly'", 'the job is poison in the end');
is(attempts('deadly'), '1 lost -, 2 dead poison', 'after as many attempts as its policy allows');
is(query('SELECT last_value FROM app.runs'), '2', 'and no more runs');

# -------------------------------- a charge that is refused is tried at a bounded pace
define('stuck', 'PERFORM pg_sleep(600);', '"max_attempts": 2', '"ok": "DONE"');
query(q{CREATE SEQUENCE app.refusals;
	CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('app.refusals'); RAISE 'never'; END $$;
	CREATE TRIGGER refuse BEFORE UPDATE ON workflow.job FOR EACH ROW
	WHEN (old.status = 'ready' AND new.status <> 'running') EXECUTE FUNCTION app.refuse()});
submit('stuck', 7, 7);
wait_for("count(*) = 1 $sleeper", 'an activity runs');
query("SELECT workflow.pause_queue('work', 'to look at it'); CREATE TABLE app.ended AS SELECT clock_timestamp() AS at");
query("SELECT pg_terminate_backend(pid) $sleeper");
wait_for('last_value >= 2 FROM app.refusals', 'neither the charge nor the burial of its job can be recorded');
wait_for("w.last_activity > e.at + interval '4 seconds' FROM workflow.workers AS w, app.ended AS e WHERE w.kind = 'maintenance'",
	'the maintenance worker goes on');
cmp_ok(query('SELECT last_value FROM app.refusals'), '<=', 6, 'and does not try each time');
query("DROP TRIGGER refuse ON workflow.job; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance'");
wait_for("count(*) = 1 FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = 'stuck' AND a.outcome = 'lost'",
	'it is charged when that is possible');

$node->stop;
done_testing();
