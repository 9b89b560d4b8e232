# The server stops at once, twice, while calls and activities are under way:
# every item still ends, and no key is executed twice.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;
use WorkingNode;

my $stand_in = StandIn->new;
my $node = start_working_node();

$stand_in->define($node, 'crm', "dedup 'key', max_in_flight '8'");
$stand_in->define($node, 'once', "dedup 'none', owner 'tester', max_in_flight '4'");
$node->safe_psql(
	'postgres', q{
	CREATE TABLE public.written (item_id bigint, step text);
	CREATE FUNCTION public.write(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
	  INSERT INTO public.written VALUES (item_id, 'a');
	  PERFORM pg_sleep(0.002);
	  RETURN '{}';
	END $$;
	SELECT workflow.define('{
	  "workflow": "local", "owner": "tester", "initial": "WRITING",
	  "retry": {"default": {"owner": "tester", "max_attempts": 5}},
	  "queues": {"writes": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {"WRITING": {"sql": {"function": "public.write", "queue": "writes"},
	                         "on": {"ok": "RESTING", "error": "FAILED"}},
	             "RESTING": {"wait": {"for": "100 milliseconds"}, "on": {"ok": "DONE"}},
	             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}');
});

# every update does its work at once, and answers too late
$stand_in->misbehave(stall_after_ms => 600000);
$stand_in->submit($node, 'crm', 1001 .. 1020);
$stand_in->submit($node, 'once', 1021 .. 1024);
$node->safe_psql('postgres',
	q{SELECT count(*) FROM workflow.submit_many('local', (SELECT array_agg('{}'::jsonb) FROM generate_series(1, 300)))}
);
wait_for(
	"count(*) = 12 FROM workflow.effects WHERE state = 'sending'",
	'calls are under way');
$node->stop('immediate');
$stand_in->forgive;
$node->start;

# the second time, in the middle of whatever it is doing
wait_for("count(*) > 5 FROM workflow.items WHERE outcome IS NOT NULL",
	'items move on');
$node->stop('immediate');
$node->start;

wait_for(
	"count(*) = 20 FROM workflow.items WHERE workflow = 'crm' AND outcome = 'success'",
	'every item of an endpoint that deduplicates ends by itself');
wait_for(
	"count(*) = 4 FROM workflow.effects WHERE endpoint = 'once' AND state = 'held'",
	'what may not be repeated is held');
$node->safe_psql('postgres',
	"SELECT workflow.resolve(effect_id, 'applied', 'seen') FROM workflow.effects WHERE state = 'held'"
);
wait_for(
	"count(*) = 4 FROM workflow.items WHERE workflow = 'once' AND outcome = 'success'",
	'and ends when a person has looked');
is_deeply(
	$stand_in->executions,
	{ map { ("A-$_" => 1) } 1001 .. 1024 },
	'one execution for each key');

wait_for(
	"count(*) = 300 FROM workflow.items WHERE workflow = 'local' AND outcome = 'success'",
	'every local item ends');
is( $node->safe_psql('postgres',
		'SELECT count(*), count(DISTINCT item_id) FROM public.written'),
	'300|300',
	'and wrote exactly once');
is( $node->safe_psql('postgres',
		'SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok'
	),
	'0',
	'log and states agree');
is($node->safe_psql('postgres', 'SELECT count(*) FROM workflow.job'),
	'0', 'no job is left');

$node->stop;
$stand_in->stop;
done_testing();
