# What calls came to is on record whatever happens to an item: one that is held,
# broken or gone costs itself only.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;

my $stand_in = StandIn->new(open => 1);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name)
	  or diag($node->safe_psql('postgres',
			'SELECT effect_id, key, state, attempts, reason FROM workflow.effects; TABLE workflow.job; TABLE workflow.workers'
	  ));
	return;
}

# Submits items whose calls all leave together, once the code given has run.
sub submit_and
{
	my ($name, $numbers, $code) = @_;
	$node->safe_psql('postgres',
		"SELECT workflow.pause_queue('calls_of_test', 'not yet')");
	$stand_in->submit($node, $name, @$numbers);
	my $result = $code->();
	$node->safe_psql('postgres', "SELECT workflow.resume_queue('calls_of_test')");
	return $result;
}

sub hold
{
	my ($sql) = @_;
	my $session = $node->background_psql('postgres', on_error_die => 1);
	$session->query_safe('BEGIN');
	$session->query_safe($sql);
	return $session;
}

sub let_go
{
	my ($session) = @_;
	$session->query_safe('COMMIT');
	$session->quit;
	return;
}

sub is_once
{
	my ($name, @numbers) = @_;
	my $executions = $stand_in->executions;
	is_deeply([ grep { ($executions->{"A-$_"} // 0) != 1 } @numbers ], [], $name);
	return;
}

$stand_in->define($node, 'crm', "dedup 'key', max_in_flight '32'");

# a session keeps one item locked: nobody else has to wait for it
my $session = submit_and('crm', [ 1001 .. 1021 ], sub {
		hold("SELECT key FROM workflow.item WHERE key = 'A-1021' FOR UPDATE");
});
wait_for("count(*) = 20 FROM workflow.items WHERE outcome = 'success'",
	'twenty calls go through while a session holds the item of another one');
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'A-1021:crm'",
	'the call of that item is made and on record, too');
$stand_in->submit($node, 'crm', 1022);
wait_for("count(*) = 21 FROM workflow.items WHERE outcome = 'success'",
	'and more calls follow');
let_go($session);
wait_for("outcome = 'success' FROM workflow.items WHERE key = 'A-1021'",
	'the item follows when it is free');
is_once('each was executed once', 1001 .. 1022);

# the same where a session holds the row of an effect
$session = submit_and('crm', [ 1023 .. 1026 ], sub {
		hold("SELECT key FROM workflow.effect WHERE key = 'A-1023:crm' FOR UPDATE");
});
wait_for(
	"count(*) = 3 FROM workflow.items WHERE key IN ('A-1024', 'A-1025', 'A-1026') AND outcome = 'success'",
	'calls go through while a session holds the effect of another one');
let_go($session);
wait_for("outcome = 'success' FROM workflow.items WHERE key = 'A-1023'",
	'that one follows when it is free');
is_once('each was executed once', 1023 .. 1026);

# a trigger of the user refuses to let one of several items move
submit_and('crm', [ 1027 .. 1036 ], sub {
		$node->safe_psql('postgres', q{
			CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'not on my watch'; END $$;
			CREATE TRIGGER refuse BEFORE UPDATE OF state ON workflow.item
			FOR EACH ROW WHEN (old.key = 'A-1030') EXECUTE FUNCTION public.refuse()});
});
wait_for("count(*) = 10 FROM workflow.effects WHERE state = 'succeeded' AND key BETWEEN 'A-1027' AND 'A-1037'",
	'every result is on record although an item refuses to move');
wait_for("count(*) = 9 FROM workflow.items WHERE outcome = 'success' AND key BETWEEN 'A-1027' AND 'A-1037'",
	'all other items go on');
wait_for("waiting_on = 'blocked' AND waiting_detail LIKE '%not on my watch%' FROM workflow.where_is('crm:A-1030')",
	'the job of that one waits, and says why');
$node->safe_psql('postgres', q{
	DROP TRIGGER refuse ON workflow.item;
	UPDATE workflow.job SET run_at = now();
	SELECT workflow._wake('maintenance')});
wait_for("outcome = 'success' FROM workflow.items WHERE key = 'A-1030'",
	'it goes on when the cause is gone');
is_once('each was executed once', 1027 .. 1036);

# a trigger refuses the evidence itself, once
submit_and('crm', [ 1037 .. 1046 ], sub {
		$node->safe_psql('postgres', q{
			CREATE SEQUENCE public.refusals;
			CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
			  IF nextval('public.refusals') <= 3 THEN RAISE EXCEPTION 'not yet'; END IF;
			  RETURN new;
			END $$;
			CREATE TRIGGER refuse BEFORE UPDATE OF state ON workflow.effect
			FOR EACH ROW WHEN (old.key = 'A-1040:crm' AND old.state = 'sending') EXECUTE FUNCTION public.refuse()});
});
wait_for("count(*) = 10 FROM workflow.items WHERE outcome = 'success' AND key BETWEEN 'A-1037' AND 'A-1047'",
	'results that could not be recorded at first are recorded later');
is( $node->safe_psql('postgres', 'SELECT last_value > 3 FROM public.refusals'),
	't', 'the trigger did refuse');
is_once('each was executed once', 1037 .. 1046);
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON workflow.effect');

# a constraint that is checked at commit, for both
submit_and('crm', [ 1047 .. 1056 ], sub {
		$node->safe_psql('postgres', q{
			SELECT setval('public.refusals', 1, false);
			CREATE CONSTRAINT TRIGGER refuse_late AFTER UPDATE ON workflow.effect DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (new.key = 'A-1050:crm' AND new.state = 'succeeded') EXECUTE FUNCTION public.refuse();
			CREATE CONSTRAINT TRIGGER refuse_late AFTER UPDATE ON workflow.item DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (new.key = 'A-1051' AND new.outcome = 'success') EXECUTE FUNCTION public.refuse()});
});
wait_for("count(*) >= 9 FROM workflow.items WHERE outcome = 'success' AND key BETWEEN 'A-1047' AND 'A-1057'",
	'neither does what is refused at commit hold up the others');
$node->safe_psql('postgres', q{
	DROP TRIGGER refuse_late ON workflow.effect;
	DROP TRIGGER refuse_late ON workflow.item;
	UPDATE workflow.job SET run_at = now();
	SELECT workflow._wake('maintenance')});
wait_for("count(*) = 10 FROM workflow.items WHERE outcome = 'success' AND key BETWEEN 'A-1047' AND 'A-1057'",
	'nothing is lost');
is_once('each was executed once', 1047 .. 1056);

# the row of an item is gone
$stand_in->misbehave(times => 0, path => '/accounts/A-1060', stall_after_ms => 1500);
$stand_in->submit($node, 'crm', 1057 .. 1060);
wait_for("state = 'sending' FROM workflow.effects WHERE key = 'A-1060:crm'", 'a call is under way');
$node->safe_psql('postgres', q{
	SET session_replication_role = replica;
	DELETE FROM workflow.item WHERE key = 'A-1060'});
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'A-1060:crm'",
	'the result of a call whose item is gone is on record');
wait_for("status = 'dead' AND error_message LIKE '%does not exist%' FROM workflow.job",
	'its job is a dead letter that says so');
wait_for("count(*) = 3 FROM workflow.items WHERE outcome = 'success' AND key BETWEEN 'A-1057' AND 'A-1061'",
	'nobody else is held up');
$stand_in->forgive;

# one that is refused at every commit waits by itself when the maintenance worker tells it, too
submit_and('crm', [ 1061, 1062 ], sub {
		$node->safe_psql('postgres', q{
			CREATE FUNCTION public.refuse_always() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'never'; END $$;
			CREATE CONSTRAINT TRIGGER refuse_always AFTER UPDATE ON workflow.item DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (new.key = 'A-1061' AND new.outcome = 'success') EXECUTE FUNCTION public.refuse_always();
			SELECT workflow.create_queue('tasks', 'me', '1 hour', '{you}');
			SELECT workflow.enqueue('tasks', '{}')});
});
wait_for("waiting_on = 'blocked' FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.key = 'A-1061'",
	'an item that is refused at commit waits');
$node->safe_psql('postgres', q{
	SELECT count(*) FROM workflow.claim('tasks', 'lost', 1, '100 milliseconds');
	UPDATE workflow.job SET run_at = now() WHERE effect_id IS NOT NULL;
	SELECT workflow._wake('maintenance')});
wait_for("count(*) = 1 FROM workflow.attempts WHERE queue = 'tasks' AND outcome = 'lost'",
	'what others lost is given back meanwhile');
wait_for("run_at > now() + interval '10 seconds' FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.key = 'A-1061'",
	'and it is put off again');
$node->safe_psql('postgres', q{
	DROP TRIGGER refuse_always ON workflow.item;
	UPDATE workflow.job SET run_at = now() WHERE effect_id IS NOT NULL;
	SELECT workflow._wake('maintenance')});
wait_for("count(*) = 2 FROM workflow.items WHERE key IN ('A-1061', 'A-1062') AND outcome = 'success'",
	'until the cause is gone');

# a record that hangs keeps no worker from ending
$node->safe_psql('postgres', q{
	CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN new; END';
	CREATE TRIGGER dawdle BEFORE UPDATE ON workflow.effect
	FOR EACH ROW WHEN (new.state = 'succeeded') EXECUTE FUNCTION public.dawdle()});
$stand_in->submit($node, 'crm', 1071);
wait_for("count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_workflow http' AND wait_event = 'PgSleep'",
	'a record hangs');
cmp_ok($node->safe_psql('postgres', 'SELECT workflow.stop_workers()'), '>', 0, 'and the workers end');
$node->safe_psql('postgres', 'DROP TRIGGER dawdle ON workflow.effect; SELECT workflow.start_workers()');
wait_for("outcome = 'success' FROM workflow.items WHERE key = 'A-1071'", 'what was not recorded is sent again with its key');

# effects are off: a guard is blocked as a call is, until that changes
$node->append_conf('postgresql.conf', 'pg_workflow.effects = off');
$node->reload;
ok($node->poll_query_until('postgres', 'SHOW pg_workflow.effects', 'off'), 'effects are off');
is($node->safe_psql('postgres', q{SELECT verdict, token FROM workflow.begin_effect('crm', 'guard', '{}')}),
	'busy|', 'a guard may not act');
is($node->safe_psql('postgres', q{SELECT state, reason FROM workflow.effects WHERE key = 'guard'}),
	'blocked|pg_workflow.effects is off', 'and is blocked, saying why');
$node->append_conf('postgresql.conf', 'pg_workflow.effects = on');
$node->reload;
ok($node->poll_query_until('postgres', 'SHOW pg_workflow.effects', 'on'), 'effects are on again');
is($node->safe_psql('postgres', q{SELECT verdict FROM workflow.begin_effect('crm', 'guard', '{}')}),
	'send', 'and it may act');

$node->stop;
$stand_in->stop;
done_testing();
