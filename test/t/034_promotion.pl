# Only the primary works; a promoted standby goes on by itself.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$primary->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql(
	'postgres', q{
	CREATE EXTENSION pg_workflow;
	CREATE FUNCTION public.step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
	SELECT workflow.define('{
	  "workflow": "steps", "owner": "tester", "initial": "RESTING",
	  "retry": {"default": {"owner": "tester", "max_attempts": 3}},
	  "queues": {"work": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {"RESTING": {"wait": {"for": "1 second"}, "on": {"ok": "WORKING"}},
	             "WORKING": {"sql": {"function": "public.step", "queue": "work"}, "on": {"ok": "DONE", "error": "FAILED"}},
	             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}');
	CREATE SERVER hooks FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://hooks.example.com', dedup 'key');
	SELECT workflow.stop_workers();
	SELECT workflow.submit('steps', '{}')});
$primary->wait_for_catchup($standby);

is( $standby->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_workflow%'"
	),
	'0',
	'a standby has no workers');
my ($status, $out, $err) =
  $standby->psql('postgres', 'SELECT workflow.start_workers()');
like($err, qr/cannot run during recovery.*HINT/s, 'nor can they be started');
is($standby->safe_psql('postgres', 'SELECT state FROM workflow.items'),
	'RESTING', 'it shows where items are');
is( $standby->safe_psql(
		'postgres', q{
		SELECT (SELECT waiting_on FROM workflow.where_is(item_id)),
		       (SELECT count(*) FROM workflow.timeline(item_id)),
		       (SELECT string_agg(verdict, ',') FROM workflow.if_run_again(item_id)),
		       (SELECT string_agg(verdict, ',') FROM workflow.if_run_twice(workflow)),
		       (SELECT ok FROM workflow.verify(item_id))
		FROM workflow.items}),
	'timer|1|would run,would run|unsafe,safe|t', 'and answers what it waits for, what happened and what if');

# what would write says where it can, whichever way it is made
foreach (["submit('steps', '{}')", 'submit'], ["send(1, 'ok')", 'send'], ["claim('work', 'me')", 'claim'], ["enqueue('work', '{}')", 'enqueue'],
	["call('hooks', 'POST', '/', '{}', 'k')", 'call'], ["begin_effect('hooks', 'k', '{}')", 'begin_effect'],
	["cancel(1, 'over')", 'cancel'], ["create_queue('other', 'me', '1 hour', '{you}')", 'create_queue'])
{
	my ($call, $name) = @$_;
	(undef, undef, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT workflow.$call");
	like($err, qr/ERROR:  25006: cannot execute workflow\.$name\(\) in a read-only transaction\nDETAIL:  It writes to the tables of pg_workflow\.\nHINT:  Call it on the primary server\./,
		"$name() on a standby says where it may be called");
}
(undef, undef, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nCALL workflow.run('1 s')");
like($err, qr/ERROR:  25006: cannot execute workflow\.run\(\) in a read-only transaction.*HINT:  Call it on the primary server\./s, 'run(), too');

$primary->stop('immediate');
$standby->promote;
ok( $standby->poll_query_until(
		'postgres', "SELECT outcome = 'success' FROM workflow.items"),
	'after the promotion the item ends by itself');

$standby->stop;
done_testing();
