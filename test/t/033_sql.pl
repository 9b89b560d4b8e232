# Activities of the sql worker: each fails for itself only, conflicts are run
# again alone, time limits hold, and no commit is missed.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WorkingNode;

my $node = start_working_node();
$node->safe_psql('postgres', 'CREATE SCHEMA app');

# Defines a workflow with one activity, a function with the body given.
sub define
{
	my ($name, $body, $policy) = @_;
	$policy //= '"max_attempts": 3, "backoff": {"initial": "50 milliseconds", "jitter": "none"}';
	$node->safe_psql(
		'postgres', qq{
		CREATE FUNCTION app.$name(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
		\$body\$ BEGIN $body RETURN '{}'; END \$body\$;
		SELECT workflow.define('{
		  "workflow": "$name", "owner": "tester", "initial": "WORKING",
		  "retry": {"default": {"owner": "tester", $policy}},
		  "queues": {"work": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
		  "states": {"WORKING": {"sql": {"function": "app.$name", "queue": "work"},
		                         "on": {"ok": "DONE", "error": "FAILED"}},
		             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}')});
	return;
}

sub submit
{
	my ($name, $count) = @_;
	$node->safe_psql('postgres',
		"SELECT count(*) FROM workflow.submit_many('$name', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, $count) AS n))"
	);
	return;
}

sub outcomes
{
	my ($name) = @_;
	return $node->safe_psql('postgres',
		"SELECT string_agg(n || ' ' || outcome, ', ' ORDER BY outcome) FROM (SELECT count(*) AS n, outcome FROM workflow.items WHERE workflow = '$name' GROUP BY outcome) AS o"
	);
}

sub all_ended
{
	my ($name) = @_;
	wait_for(
		"count(*) = 0 FROM workflow.items WHERE workflow = '$name' AND outcome IS NULL",
		"$name: every item ends");
	return;
}

# one that fails costs itself only, whatever it wrote
$node->safe_psql('postgres', 'CREATE TABLE app.written (n int)');
define('mixed',
	"INSERT INTO app.written VALUES ((data->>'n')::int); IF data->>'n' = '77' THEN RAISE 'no'; END IF;"
);
submit('mixed', 150);
all_ended('mixed');
is(outcomes('mixed'), '1 failure, 149 success', 'one fails, the others do not');
is( $node->safe_psql('postgres',
		'SELECT count(*), count(*) FILTER (WHERE n = 77) FROM app.written'),
	'149|0',
	'and what it wrote is gone');

# a conflict that is the batch's own doing
$node->safe_psql('postgres', 'CREATE TABLE app.alone (xid xid8)');
define('conflict',
	"IF EXISTS (SELECT FROM app.alone WHERE xid = pg_current_xact_id()) THEN RAISE 'taken' USING ERRCODE = 'deadlock_detected'; END IF; INSERT INTO app.alone VALUES (pg_current_xact_id());"
);
submit('conflict', 10);
all_ended('conflict');
is(outcomes('conflict'), '10 success', 'each is run again alone');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = 'conflict' AND a.outcome <> 'ok'"
	),
	'0',
	'and charged nothing');

# deferred constraints: checked at the end of each activity
$node->safe_psql('postgres',
	'CREATE TABLE app.parent (n int PRIMARY KEY); CREATE TABLE app.child (n int REFERENCES app.parent DEFERRABLE INITIALLY DEFERRED)'
);
define('deferred',
	"INSERT INTO app.child VALUES ((data->>'n')::int); IF data->>'n' <> '3' THEN INSERT INTO app.parent VALUES ((data->>'n')::int); END IF;"
);
submit('deferred', 5);
all_ended('deferred');
is(outcomes('deferred'), '1 failure, 4 success',
	'a deferred constraint fails the activity that broke it');

# the policy's time limit
define('slow', 'PERFORM pg_sleep(60);',
	'"max_attempts": 1, "timeout": "200 milliseconds"');
submit('slow', 1);
all_ended('slow');
is( $node->safe_psql('postgres',
		"SELECT a.error_class FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = 'slow'"
	),
	'timeout',
	'an activity that takes too long is ended');

# a second phase that is committed by somebody who knows nothing of us
define('prepared', '');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres',
	"BEGIN; SELECT workflow.submit('prepared', '{}'); PREPARE TRANSACTION 'two'");
$node->safe_psql('postgres', "COMMIT PREPARED 'two'");
all_ended('prepared');
is(outcomes('prepared'), '1 success', 'a prepared transaction brings its work');

# a bad definer cannot hold up a shutdown
$node->safe_psql('postgres', q(SELECT workflow.define('{"workflow": "held", "owner": "me", "initial": "A",
	"states": {"A": {"on": {"go": "B"}}, "B": {"final": "done"}}}'); SELECT workflow.submit('held', '{}', 'h')));
define('stuck', q(PERFORM FROM workflow.item WHERE workflow = 'held' FOR UPDATE; PERFORM pg_sleep(600);));
submit('stuck', 1);
wait_for(
	"count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_workflow sql' AND state = 'active' AND query = 'running sql activities' AND wait_event = 'PgSleep'",
	'an activity is in the middle of something');
like($node->safe_psql('postgres', "SELECT w.waiting_detail FROM workflow.items AS i, workflow.where_is(i.item_id) AS w WHERE i.workflow = 'stuck'"),
	qr/^job \d+ is ready in queue work; sql worker \d+ works on it, since [-0-9:. +]+$/,
	'where_is tells who has it, though the claim does not show');
like($node->safe_psql('postgres', "SELECT waiting_detail FROM workflow.where_is('held:h')"),
	qr/locked by pid \d+ \(pg_workflow sql, active since [^:]+:[^:]+:[^:]+: running sql activities\)$/,
	'and which worker holds an item');
my $begin = time;
$node->stop('fast');
cmp_ok(time - $begin, '<', 5, 'a fast shutdown does not wait for it');
$node->start;
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM workflow.items WHERE workflow = 'stuck' AND state = 'WORKING'"
	),
	'1',
	'and its item is where it was');

$node->stop('immediate');
done_testing();
