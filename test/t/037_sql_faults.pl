# What a sql worker survives: time limits that are caught, cancel requests,
# ends that cannot be recorded, and what activities leave in the session.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "pg_workflow.workers = on\npg_workflow.max_workers = 1");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pg_workflow;
	CREATE SCHEMA app;
	CREATE TABLE app.seen (workflow text, n int, what text);
	ALTER DATABASE postgres SET statement_timeout = '1ms';
	ALTER DATABASE postgres SET lock_timeout = '1ms'});
$ENV{PGOPTIONS} = '-c statement_timeout=0 -c lock_timeout=0';

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name)
	  or diag(query('TABLE workflow.job; TABLE workflow.attempts; TABLE workflow.workers'));
	return;
}

# Defines a workflow with one activity, a function with the body given.
sub define
{
	my ($name, $body, %with) = @_;
	my $policy = $with{policy} // '"max_attempts": 1';
	my $states = $with{states} // '"FAILED": {"final": "failure"}';
	my $declare = $with{declare} // '';
	query(qq{
		CREATE FUNCTION app.$name(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
		\$body\$ DECLARE n int := data->>'n'; $declare BEGIN $body RETURN '{}'; END \$body\$;
		SELECT workflow.define('{
		  "workflow": "$name", "owner": "tester", "initial": "WORKING",
		  "retry": {"default": {"owner": "tester", $policy}},
		  "queues": {"work": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
		  "states": {"WORKING": {"sql": {"function": "app.$name", "queue": "work"},
		                         "on": {"ok": "DONE", "error": "FAILED"}},
		             "DONE": {"final": "success"}, $states}}')});
	return;
}

sub submit
{
	my ($name, $count) = @_;
	query("SELECT count(*) FROM workflow.submit_many('$name', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, $count) AS n))");
	return;
}

sub all_ended
{
	my ($name) = @_;
	wait_for("count(*) = 0 FROM workflow.items WHERE workflow = '$name' AND outcome IS NULL",
		"$name: every item ends");
	return;
}

sub failures
{
	my ($name) = @_;
	return query("SELECT string_agg(DISTINCT a.error_class || ': ' || a.message, ', ') FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = '$name' AND a.outcome <> 'ok'");
}

sub worker_pid
{
	my ($kind) = @_;
	return query("SELECT min(pid) FROM workflow.workers WHERE kind = '$kind' AND state = 'running'");
}

# ------------------------------------------------------------- time limits
define('stubborn',
	"BEGIN PERFORM pg_sleep(300); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(300); END;",
	policy => '"max_attempts": 1, "timeout": "100 milliseconds"');
submit('stubborn', 1);
all_ended('stubborn');
is( failures('stubborn'),
	"timeout: the activity took longer than its policy's timeout",
	'an activity that catches the end of its time is interrupted again');

define('talking',
	"BEGIN PERFORM pg_sleep(300); EXCEPTION WHEN query_canceled THEN RAISE 'no such account'; END;",
	policy => '"max_attempts": 1, "timeout": "100 milliseconds"');
submit('talking', 1);
all_ended('talking');
is(failures('talking'), 'permanent: no such account', 'what it raises then is what counts');

# --------------------------------------------------------- cancel requests
my %pids = map { $_ => worker_pid($_) } qw(launcher maintenance sql);
wait_for("count(*) = 3 FROM pg_stat_activity WHERE pid IN (@{[join ',', values %pids]}) AND wait_event_type IN ('Extension', 'Activity')",
	'the workers are idle');
query("SELECT pg_cancel_backend($_)") foreach values %pids;
define('after', "INSERT INTO app.seen VALUES ('after', n);");
submit('after', 3);
all_ended('after');
is(worker_pid($_), $pids{$_}, "a cancel request does not end the idle $_ worker") foreach sort keys %pids;

define('slow', "IF n = 2 THEN PERFORM pg_sleep(300); END IF; INSERT INTO app.seen VALUES ('slow', n);");
submit('slow', 3);
wait_for("count(*) = 1 FROM pg_stat_activity WHERE pid = $pids{sql} AND wait_event = 'PgSleep'",
	'an activity runs');
query("SELECT pg_cancel_backend($pids{sql})");
all_ended('slow');
is(failures('slow'), 'timeout: canceling statement due to user request', 'a cancel request ends the activity');
is(query("SELECT string_agg(n::text, ' ' ORDER BY n) FROM app.seen WHERE workflow = 'slow'"),
	'1 3', 'and no other one');
is(worker_pid('sql'), $pids{sql}, 'nor the worker');

# ------------------------------------------- ends that cannot be recorded
query("SELECT workflow.create_queue('full', 'tester', '1 hour', '{boss}', max_length => 1); SELECT workflow.enqueue('full', '{}')");
define('endless',
	"INSERT INTO app.seen VALUES ('endless', n); IF n IN (2, 5) THEN RAISE 'broken'; END IF;",
	states => '"FAILED": {"task": {"queue": "full"}, "on": {"ok": "DONE", "error": "DONE"}}');
submit('endless', 6);
wait_for("count(*) = 2 FROM workflow.dead_letters WHERE workflow = 'endless'",
	'a job whose failure cannot be recorded is a dead letter');
is( query("SELECT DISTINCT error_class || ': ' || error_message FROM workflow.dead_letters WHERE workflow = 'endless'"),
	'permanent: the end of the job could not be recorded: queue "full" is full',
	'that says why');
wait_for("count(*) = 4 FROM workflow.items WHERE workflow = 'endless' AND outcome = 'success'",
	'and keeps no other one from its end');

query(q{
	CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN IF NEW.state = 'DONE' AND NEW.data->>'n' = '2' THEN RAISE 'not at the commit'; END IF; RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON workflow.item DEFERRABLE INITIALLY DEFERRED
	  FOR EACH ROW EXECUTE FUNCTION app.refuse()});
define('uncommitted', "INSERT INTO app.seen VALUES ('uncommitted', n);");
submit('uncommitted', 3);
wait_for("count(*) = 2 FROM workflow.items WHERE workflow = 'uncommitted' AND outcome = 'success'",
	'the others are done');
wait_for("count(*) = 1 FROM workflow.dead_letters WHERE workflow = 'uncommitted'",
	'a job that cannot be committed is a dead letter');
like( query("SELECT error_message FROM workflow.dead_letters WHERE workflow = 'uncommitted'"),
	qr/not at the commit/, 'that says why');
query('DROP TRIGGER refuse ON workflow.item');

define('orphan', 'PERFORM 1;');
query(q{BEGIN; SELECT workflow.submit('orphan', '{}', key => 'gone');
	SET LOCAL session_replication_role = replica; DELETE FROM workflow.item WHERE key = 'gone'; COMMIT});
wait_for("count(*) = 1 FROM workflow.dead_letters WHERE error_message LIKE '%does not exist'",
	'the job of an item that somebody deleted is a dead letter');

# ------------------------------------------------ what activities leave behind
define('leaving',
	"IF n = 1 THEN PERFORM pg_advisory_lock(7); PERFORM set_config('app.mine', 'yes', false); PERFORM setseed(0.5);
	 ELSE INSERT INTO app.seen VALUES ('leaving', n, current_setting('app.mine', true)); END IF;");
submit('leaving', 1);
all_ended('leaving');
is(query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), '0', 'no advisory lock of an activity outlives it');
submit('leaving', 2);
all_ended('leaving');
is(query("SELECT coalesce(what, '') FROM app.seen WHERE workflow = 'leaving'"), '', 'nor does a setting');

# ---------------------------------------------------------------- memory
define('many', "PERFORM 1;");
submit('many', 1000);
all_ended('many');
my $pid = worker_pid('sql');
my $used = sub {
	my $offset = -s $node->logfile;
	query("SELECT pg_log_backend_memory_contexts($pid)");
	$node->wait_for_log(qr/Grand total/, $offset);
	return slurp_file($node->logfile, $offset) =~ /Grand total: .* (\d+) used/ ? $1 : 0;
};
my $before = $used->();
for (1 .. 10) { submit('many', 1000); all_ended('many'); }
is(worker_pid('sql'), $pid, 'one worker ran them all');
cmp_ok($used->() - $before, '<', 100_000, 'ten thousand activities take no memory that they do not give back');

$node->stop;
done_testing();
