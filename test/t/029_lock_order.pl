# Several sessions resolve, send, cancel, complete, call and pause while the
# workers run: rows are locked in one order, so that nobody is told of a deadlock.

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
$node->append_conf('postgresql.conf',
	"pg_workflow.workers = on\ndeadlock_timeout = 10ms\nlog_statement = none\nsynchronous_commit = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

# Two endpoints of which one leaves many outcomes held; a task follows each call.
my %state = (state => { on => { ok => 'WORK', error => 'STUCK', skip => 'WORK', again => 'CALLING' } });
$stand_in->define($node, 'keyed', "dedup 'key'", %state);
$stand_in->define($node, 'once', "dedup 'none', owner 'tester'", %state);
$stand_in->misbehave(times => 0, close => 'after', path => "/accounts/A-$_") foreach 1, 3, 5, 7;

# What each session does, at random; what is refused is not the question here.
$node->safe_psql('postgres', q{
	CREATE FUNCTION public.pick_item() RETURNS bigint LANGUAGE sql AS
	  'SELECT item_id FROM workflow.item WHERE outcome IS NULL ORDER BY random() LIMIT 1';
	CREATE FUNCTION public.pick_effect() RETURNS bigint LANGUAGE sql AS
	  'SELECT effect_id FROM workflow.effect WHERE state IN (''held'', ''pending'', ''sending'') ORDER BY state = ''held'' DESC, random() LIMIT 1';
	CREATE FUNCTION public.attempt(statement text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
	  EXECUTE statement;
	EXCEPTION WHEN deadlock_detected THEN RAISE;
	  WHEN others THEN NULL;
	END $$;
	CREATE FUNCTION public.act(which int, n int, flow text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
	  PERFORM public.attempt(CASE which
	    WHEN 0 THEN format('SELECT workflow.submit(%L, %L)', flow, jsonb_build_object('id', 'A-' || n))
	    WHEN 1 THEN 'SELECT workflow.resolve(public.pick_effect(), (ARRAY[''applied'', ''not_applied'', ''abandon''])[1 + floor(random() * 3)::int], ''x'')'
	    WHEN 2 THEN 'SELECT workflow.send(public.pick_item(), ''skip'')'
	    WHEN 3 THEN 'SELECT workflow.send(public.pick_item(), ''again'')'
	    WHEN 4 THEN 'SELECT workflow.cancel(public.pick_item(), ''x'')'
	    WHEN 5 THEN format('SELECT workflow.complete(job_id, token) FROM workflow.job WHERE worker = %L AND status = ''running''', pg_backend_pid())
	    WHEN 6 THEN format('SELECT workflow.call(%1$L, ''PATCH'', ''/accounts/A-%2$s'', %3$L, ''A-%2$s:%1$s'')', flow, n, jsonb_build_object('industry', flow))
	    WHEN 7 THEN format('SELECT workflow.record_evidence(%1$L, ''A-%2$s:%1$s'', ''applied'', ''x'')', flow, n)
	    WHEN 8 THEN 'WITH i AS MATERIALIZED (SELECT public.pick_item() AS id), p AS MATERIALIZED (SELECT workflow.pause(id, ''x'')::text, id FROM i) SELECT workflow.resume(id, ''x'') FROM p'
	    WHEN 9 THEN 'SELECT workflow.replay(public.pick_item(), ''x'')'
	  END);
	END $$});

my $script = PostgreSQL::Test::Utils::tempdir() . '/act.sql';
append_to_file($script, q{
\set which random(0, 9)
\set n random(1, 1500)
\set flow random(0, 1)
\if :which = 5
SELECT count(*) FROM workflow.claim('calls_of_test', pg_backend_pid()::text, 3);
\endif
BEGIN;
SELECT public.act(:which, :n, (ARRAY['keyed', 'once'])[:flow + 1]);
SELECT 1;
COMMIT;
});
$node->command_ok(
	[ 'pgbench', '-n', '-T', '6', '-c', '8', '-j', '2', '-f', $script, '-p', $node->port, '-h', $node->host, 'postgres' ],
	'sessions do everything at once');

my $log = slurp_file($node->logfile);
my @deadlocks = $log =~ /(deadlock detected)/g;
is(scalar @deadlocks, 0, 'and nobody runs into a deadlock');
unlike($log, qr/was terminated by signal|PANIC|TRAP/, 'nor does a worker end');
my $moved = $node->safe_psql('postgres', 'SELECT count(*) FROM workflow.transition');
cmp_ok($moved, '>', 200, "there was something to do: $moved transitions");

# afterwards everything that can end does
$stand_in->forgive;
$node->poll_query_until('postgres', q{
	SELECT count(workflow.resolve(effect_id, 'applied', 'x')) IS NULL FROM workflow.effect WHERE state = 'held'}, 'f');
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE j.status IN ('ready', 'running') OR (j.status = 'waiting' AND e.state IN ('succeeded', 'failed', 'dead', 'cancelled', 'pending'))"),
	'no call is left behind')
  or diag($node->safe_psql('postgres', 'SELECT j.*, e.state FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id)'));
is( $node->safe_psql('postgres',
		'SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok'),
	'0', 'log and states agree');

$node->stop;
$stand_in->stop;
done_testing();
