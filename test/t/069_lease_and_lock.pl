# Who waits for work gets a job that comes back though nobody tells: when a lease
# ends that was given while it slept, and when somebody lets go of its row.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WorkingNode;

# no worker ends because it is idle, and a new one would look
my $node = start_working_node("pg_workflow.worker_idle_timeout = '1h'");
sub query { return $node->safe_psql('postgres', $_[0]) }

query(q{
	SELECT workflow.create_queue(q, 'ops', '1 hour', '{boss}') FROM unnest('{lane,sql}'::text[]) AS q;
	SELECT workflow.create_queue('table', 'ops', '1 hour', '{boss}', max_length => 100);    -- has no lane
	CREATE TABLE done (id bigint);
	CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'INSERT INTO done VALUES (item_id); SELECT NULL::jsonb';
	SELECT workflow.define('{"workflow": "w", "owner": "me", "initial": "RUN", "states": {
	  "RUN": {"sql": {"function": "public.work", "queue": "sql"}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "end"}}}')});

# A session that waits in a claim, asleep.
sub waiting_claim
{
	my ($queue) = @_;
	my $session = $node->background_psql('postgres', on_error_die => 1);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/^/, "SELECT attempt FROM workflow.claim('$queue', 'waiter', 1, '1 hour', wait => '25 s');\n");
	wait_for("wait_event = 'PgWorkflowClaim' OR wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid", "somebody waits for $queue");
	return $session;
}

# What it got, and whether that was soon.
sub gets
{
	my ($session, $began, $expected, $name) = @_;
	is($session->query_safe('SELECT 1'), "$expected\n1", $name);
	cmp_ok(time - $began, '<', 15, "$name: long before its time is over");
	$session->quit;
	return;
}

sub enqueue
{
	my ($queue) = @_;
	query("SELECT workflow.enqueue('$queue', '{}'" . ($queue eq 'table' ? ", key => 'k')" : ')'));
	return;
}

sub end_all { query("SELECT workflow.complete(job_id, token) FROM workflow.job WHERE status = 'running'"); return }

foreach my $with ('without workers', 'with workers')
{
	query('SELECT workflow.stop_workers()') if $with eq 'without workers';
	query('SELECT workflow.start_workers()') if $with eq 'with workers';
	foreach my $queue ('lane', 'table')
	{
		# the lease is given, but not committed, when the other one looks
		enqueue($queue);
		my $thief = $node->background_psql('postgres', on_error_die => 1);
		$thief->query_safe("BEGIN; SELECT FROM workflow.claim('$queue', 'thief', 1, '2 s')");
		my $waiter = waiting_claim($queue);
		$thief->query_safe('COMMIT');
		gets($waiter, time, 2, "the end of a lease wakes who waits for a $queue, $with");
		$thief->quit;
		end_all();
	}

	# a row that somebody has locked
	enqueue('table');
	my $admin = $node->background_psql('postgres', on_error_die => 1);
	$admin->query_safe('BEGIN; SELECT FROM workflow.job FOR UPDATE');
	my $waiter = waiting_claim('table');
	$admin->query_safe('ROLLBACK');
	gets($waiter, time, 1, "a row that is unlocked is taken, $with");
	end_all();

	# who waits by a procedure does not return for what cannot be had, and does not spin
	query("SELECT workflow.enqueue('table', '{}', key => 'k')");
	$admin->query_safe('BEGIN; SELECT FROM workflow.job FOR UPDATE');
	my $caller = $node->background_psql('postgres', on_error_die => 1);
	my $pid = $caller->query_safe('SELECT pg_backend_pid()');
	$caller->query_until(qr/waiting/, "\\echo waiting\nCALL workflow.wait_for_job('table', '60 s');\n\\echo done\n");
	wait_for("wait_event = 'PgWorkflowClaim' OR wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid", "wait_for_job() waits for a row that is locked, $with");
	my $began = time;
	$admin->query_safe('ROLLBACK');
	$caller->query_until(qr/done/, '');
	cmp_ok(time - $began, '<', 15, "until that is unlocked, $with");
	$admin->query_safe('BEGIN; SELECT FROM workflow.job FOR UPDATE');
	query("SELECT workflow.enqueue('table', '{}', key => 'l')");
	$caller->query_safe("CALL workflow.wait_for_job('table', '60 s')");
	is($caller->query_safe("SELECT count(*) FROM workflow.claim('table', 'caller', 5, '1 hour')"), 1, "or another one comes, $with");
	end_all();
	$admin->query_safe('ROLLBACK');
	query("SELECT workflow.complete(job_id, token) FROM workflow.claim('table', 'end', 5)");

	# the end of a lease is nothing to claim either while its row is locked
	if ($with eq 'without workers')
	{
		enqueue('table');
		query("SELECT FROM workflow.claim('table', 'thief', 1, '1 ms')");
		$admin->query_safe('BEGIN; SELECT FROM workflow.job FOR UPDATE');
		$caller->query_until(qr/waiting/, "\\echo waiting\nCALL workflow.wait_for_job('table', '60 s');\n\\echo done\n");
		wait_for("wait_event = 'PgWorkflowClaim' OR wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid", 'nor does it return for a lease that nobody can end');
		$began = time;
		$admin->query_safe('ROLLBACK');
		$caller->query_until(qr/done/, '');
		cmp_ok(time - $began, '<', 15, 'until somebody can');
		query("SELECT workflow.complete(job_id, token) FROM workflow.claim('table', 'end')");
	}
	$caller->quit;
	$admin->quit;
}

# nobody waits: the maintenance worker gives it back
foreach my $queue ('lane', 'table')
{
	enqueue($queue);
	query("SELECT FROM workflow.claim('$queue', 'thief', 1, '2 s')");
	wait_for("count(*) = 1 FROM workflow.attempt WHERE queue = '$queue' AND worker = 'thief' AND outcome = 'lost' AND started_at > now() - interval '1 minute' AND attempt_id > (SELECT coalesce(max(attempt_id), 0) FROM workflow.attempt WHERE worker = 'waiter')",
		"a job of a $queue is given back when its lease ends");
	query("SELECT workflow.complete(job_id, token) FROM workflow.claim('$queue', 'end')");
}

# a worker, too
query("SELECT workflow.submit('w', '{}')");
wait_for('count(*) = 1 FROM done', 'a worker runs');
query("SELECT workflow.pause_queue('sql', 'test'); SELECT workflow.submit('w', '{}')");
my $admin = $node->background_psql('postgres', on_error_die => 1);
$admin->query_safe("BEGIN; SELECT FROM workflow.job WHERE kind = 'sql' FOR UPDATE");
query("SELECT workflow.resume_queue('sql', 'test')");
wait_for("count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_workflow sql' AND query = 'waiting for sql activities'", 'it finds nothing that is free');
$admin->query_safe('ROLLBACK');
wait_for('count(*) = 2 FROM done', 'and takes it when it is');
$admin->quit;

$node->stop;
done_testing();
