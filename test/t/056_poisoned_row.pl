# A row that refuses to be given back, settled or let go on costs itself only:
# the maintenance worker goes on with the others, and the row says why.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node();
sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

query(q{
	CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url 'http://127.0.0.1:9', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
	CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION 'not on my watch'; END $$});

# Enqueues jobs of these names, and loses them.
sub lose
{
	my ($queue, @names) = @_;
	query("SELECT workflow.create_queue('$queue', 'me', '1 hour', '{you}')");
	query("SELECT workflow.enqueue('$queue', '{}', key => '$_')") foreach @names;
	query("SELECT count(*) FROM workflow.claim('$queue', 'lost', 10, '50 milliseconds')");
	query("SELECT workflow._wake('maintenance')");
	return;
}

my $maintenance = "FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance'";
my $fine = q{WHEN (old.key LIKE 'poison%' AND old.status = 'running' AND new.status = 'ready')};

# ------------------------------------------------- jobs whose claimer is gone
query("CREATE TRIGGER refuse BEFORE UPDATE ON workflow.job FOR EACH ROW $fine EXECUTE FUNCTION public.refuse()");
lose('first', 'poison', 'good');
wait_for("count(*) = 1 FROM workflow.job WHERE key = 'good' AND status = 'ready' AND attempt = 1",
	'a lost job is given back though the one before it refuses');
wait_for("error_message LIKE '%could not be given back%not on my watch%' FROM workflow.dead_letters WHERE key = 'poison'",
	'which is a dead letter that says why');
query("DROP TRIGGER refuse ON workflow.job");
query(qq{CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON workflow.job DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW $fine EXECUTE FUNCTION public.refuse()});
lose('late', 'poison-late', 'good-late', 'poison-later', 'good-later', 'good-last');
wait_for("count(*) = 3 FROM workflow.job WHERE key IN ('good-late', 'good-later', 'good-last') AND status = 'ready' AND attempt = 1",
	'nor does it matter that one refuses at the commit only');
wait_for("count(*) = 2 FROM workflow.dead_letters WHERE key LIKE 'poison-late%' AND error_message LIKE '%could not be given back%not on my watch%'",
	'which is a dead letter, too');
query("DROP TRIGGER refuse ON workflow.job");

# a row that refuses everything stays as it is, and is tried at a bounded pace
query(q{CREATE SEQUENCE public.refusals;
	CREATE FUNCTION public.refuse_all() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM nextval('public.refusals'); RAISE EXCEPTION 'never'; END $$;
	CREATE TRIGGER refuse BEFORE UPDATE ON workflow.job FOR EACH ROW
	WHEN (old.key = 'adamant' AND old.status = 'running') EXECUTE FUNCTION public.refuse_all()});
lose('adamant', 'adamant', 'good-3');
wait_for("count(*) = 1 FROM workflow.job WHERE key = 'good-3' AND status = 'ready'", 'nor that one refuses everything');
my $tries = query('SELECT last_value FROM public.refusals');
lose("queue-$_", "good-$_") foreach 4 .. 9;
wait_for("count(*) = 7 FROM workflow.job WHERE key IN ('good-3', 'good-4', 'good-5', 'good-6', 'good-7', 'good-8', 'good-9') AND status = 'ready' AND attempt > 0",
	'others are given back again and again');
is(query('SELECT last_value FROM public.refusals'), $tries, 'and it is not tried each time');
is(query("SELECT ok FROM workflow.health() WHERE \"check\" = 'workers'"), 't', 'the workers live');
query("DROP TRIGGER refuse ON workflow.job; SELECT pg_terminate_backend(pid) $maintenance");
wait_for("count(*) = 1 FROM workflow.job WHERE key = 'adamant' AND status = 'ready'", 'it is given back when it lets itself be');

# a claimer is not kept from its work either
query("CREATE TRIGGER refuse BEFORE UPDATE ON workflow.job FOR EACH ROW $fine EXECUTE FUNCTION public.refuse()");
query("SELECT workflow.stop_workers(); SELECT workflow.create_queue('others', 'me', '1 hour', '{you}');
	SELECT workflow.enqueue('others', '{}', key => 'poison-here'), workflow.enqueue('others', '{}', key => 'good-here')");
query("SELECT count(*) FROM workflow.claim('others', 'lost', 1, '1 millisecond')");
is(query("SELECT j.key FROM workflow.claim('others', 'me', 5, '1 hour') AS c JOIN workflow.job AS j USING (job_id)"),
	'good-here', 'a claim meets a lost job that refuses, and gets the others');
like(query("SELECT error_message FROM workflow.dead_letters WHERE key = 'poison-here'"), qr/not on my watch/, 'that one is a dead letter');
query('DROP TRIGGER refuse ON workflow.job; SELECT workflow.start_workers()');

# -------------------------------------------- effects whose sender is gone
query(q{CREATE TRIGGER refuse BEFORE UPDATE OF state ON workflow.effect FOR EACH ROW
	WHEN (old.key LIKE 'poison%' AND old.state = 'sending') EXECUTE FUNCTION public.refuse();
	CREATE CONSTRAINT TRIGGER refuse_late AFTER UPDATE OF state ON workflow.effect DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (old.key LIKE 'late%' AND old.state = 'sending') EXECUTE FUNCTION public.refuse()});
query("SELECT verdict FROM workflow.begin_effect('shop', '$_', '{}')") foreach qw(poison-1 late-2 good-3 good-4);
query("UPDATE workflow.effect SET deadline = now(); SELECT workflow._wake('maintenance')");
wait_for("count(*) = 2 FROM workflow.effects WHERE key LIKE 'good%' AND state = 'pending'",
	'effects of a sender that is gone are settled though two refuse');
wait_for("count(*) = 2 FROM workflow.effects WHERE state = 'sending' AND reason LIKE '%could not be settled%not on my watch%'",
	'which say why');
query("DROP TRIGGER refuse ON workflow.effect; DROP TRIGGER refuse_late ON workflow.effect; SELECT pg_terminate_backend(pid) $maintenance");
wait_for("count(*) = 4 FROM workflow.effects WHERE state = 'pending'", 'and follow when they can');

# ------------------------------------------------------ effects let go on
query("CREATE TRIGGER refuse BEFORE UPDATE OF state ON workflow.effect FOR EACH ROW
	WHEN (old.key = 'call-1' AND old.state = 'blocked') EXECUTE FUNCTION public.refuse()");
$node->append_conf('postgresql.conf', 'pg_workflow.effects = off');
$node->reload;
query("SELECT workflow.call('shop', 'POST', '/orders', '{}', 'call-$_')") foreach 1 .. 3;
wait_for("count(*) = 3 FROM workflow.effects WHERE key LIKE 'call%' AND state = 'blocked'", 'effects are off');
$node->append_conf('postgresql.conf', 'pg_workflow.effects = on');
$node->reload;
query("SELECT workflow._wake('maintenance')");
wait_for("count(*) = 2 FROM workflow.effects WHERE key LIKE 'call%' AND attempts > 0", 'what was blocked goes on though one refuses');
wait_for("count(*) = 1 FROM workflow.effects WHERE key = 'call-1' AND state = 'blocked' AND reason LIKE '%could not be settled%not on my watch%'", 'which says why');

# ------------------------- the job of an item that is gone, while a session holds it
query(q{SELECT workflow.define('{
	  "workflow": "flow", "owner": "tester", "initial": "CALLING", "key": ["$.id"],
	  "queues": {"work": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "retry": {"default": {"owner": "tester", "max_attempts": 1}},
	  "states": {"CALLING": {"http": {"endpoint": "shop", "queue": "work", "method": "POST", "path": "/orders", "key": ["$.id"]},
	                         "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "success"}}}');
	SELECT workflow.pause_queue('work', 'not yet');
	BEGIN;
	SELECT workflow.submit('flow', '{"id": "gone"}');
	UPDATE workflow.job SET status = 'waiting', waiting_on = 'effect' WHERE queue = 'work';
	UPDATE workflow.effect SET state = 'held' WHERE key = 'gone';
	COMMIT});
my $holder = $node->background_psql('postgres', on_error_die => 1);
$holder->query_safe("BEGIN; SELECT FROM workflow.job WHERE queue = 'work' FOR UPDATE");
query(q{SET session_replication_role = replica; DELETE FROM workflow.item WHERE key = 'gone'; UPDATE workflow.effect SET state = 'cancelled' WHERE key = 'gone'});
query(q{CREATE TABLE public.woken AS SELECT clock_timestamp() AS at; SELECT workflow._wake('maintenance')});
my $transactions = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'";
my $has_looked = "count(*) = 1 FROM workflow.workers AS w, public.woken AS t WHERE w.kind = 'maintenance' AND w.last_activity > t.at + interval";
wait_for("$has_looked '1 second'", 'the maintenance worker looks at a job that somebody holds');
my $before = query($transactions);
wait_for("$has_looked '3 seconds'", 'and looks again');
cmp_ok(query($transactions) - $before, '<', 500, 'and does not spin meanwhile');
$holder->query_safe('COMMIT');
$holder->quit;
wait_for("error_message LIKE 'Item % does not exist any more.' FROM workflow.dead_letters WHERE queue = 'work'",
	'which is a dead letter when it is free');

unlike(slurp_file($node->logfile), qr/was terminated by signal/, 'nobody has crashed');
$node->stop;
done_testing();
