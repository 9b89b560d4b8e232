# The maintenance worker forgets what old effects and webhooks carried, in small
# batches, where a setting says so; never that they were.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $server = RawServer->new('/pay' => sub { return RawServer::answer(200, '{"paid": true}') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;

sub query { return $node->safe_psql('postgres', "SELECT $_[0]") }

sub configure
{
	$node->append_conf('postgresql.conf', $_[0]);
	$node->reload;
	return;
}

sub pay { return query("workflow.call('bank', 'POST', '/pay', '{\"secret\": 1}', '$_[0]')") }

$node->safe_psql('postgres', qq{
	CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
	SELECT workflow.define('{"workflow": "orders", "initial": "PAY", "states": {
	  "PAY": {"http": {"queue": "http", "endpoint": "bank", "method": "POST", "path": "/pay", "key": ["\$.n"], "body": {"secret": 1}}, "on": {"ok": "WAIT"}},
	  "WAIT": {"on": {"go": "DONE"}}, "DONE": {"final": "success"}}, "any": {"on": {"error": "DONE"}},
	  "owner": "shop", "queues": {"http": {"owner": "shop", "sla": "1 hour", "escalate_to": ["boss"]}}}');
	SELECT workflow.create_source('shop', 'none');
	SELECT workflow.receive('shop', 'came', '{"x-request-id": "1"}', '{"secret": 1}');
	SELECT workflow.submit('orders', '{"n": "live"}', key => 'live');
	SELECT workflow.submit('orders', '{"n": "ended"}', key => 'ended')});
pay('alone');
wait_for("count(*) = 3 FROM workflow.effects WHERE state = 'succeeded'", 'three calls are made');
$node->safe_psql('postgres', q{
	SELECT workflow.send('orders:ended', 'go');
	-- many that are old, of a time before this server
	INSERT INTO workflow.effect (endpoint_id, key, state, kind, fingerprint, submitted_by, method, path, body, created_at, finished_at, unknown_attempts)
	SELECT e.endpoint_id, 'old ' || n, CASE WHEN n % 100 = 0 THEN 'held' ELSE 'succeeded' END, 'call', e.fingerprint, e.submitted_by, 'POST', '/pay', 'secret',
	       '2020-01-01', CASE WHEN n % 100 <> 0 THEN timestamptz '2020-01-01' + n * interval '1 second' END, 0
	FROM workflow.effect AS e, generate_series(1, 2000) AS n WHERE e.key = 'alone';
	INSERT INTO workflow.inbox (source, event_id, received_at, received_by, verified, headers, body, status, last_received_at)
	SELECT 'shop', 'old ' || n, '2020-01-01', 'ann', false, '{"a": "secret"}', 'secret', CASE n WHEN 7 THEN 'unfed' WHEN 8 THEN 'ignored' WHEN 9 THEN 'dismissed' ELSE 'fed' END, '2020-01-01'
	FROM generate_series(1, 700) AS n;
	INSERT INTO workflow.gate_change (at, workflow, version, state, day, bucket, tier, decided, total)
	SELECT '2020-01-01', 'orders', 1, 'GATE', '2020-01-17', 0.9, 'auto', 1, 0.95 FROM generate_series(1, 1200);
	INSERT INTO workflow.gate_change (workflow, version, state, day, bucket, tier, decided, total)
	VALUES ('orders', 1, 'GATE', '2020-01-17', 0.9, 'auto', 1, 0.95)});

# nothing is forgotten unless somebody says so
is(query("string_agg(setting, ' ') FROM pg_settings WHERE name LIKE 'pg_workflow.%retention'"), '-1 -1 -1', 'everything is kept');
$node->restart;
wait_for("count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance' AND state = 'idle' AND query = 'waiting for what is due next'",
	'the worker has looked');
is(query('count(*) FROM workflow.effect WHERE purged_at IS NOT NULL'), '0', 'and forgot nothing');

# what gates have decided is added up by itself, whatever the settings, but for the last minutes
wait_for("count(*) = 1 FROM workflow.gate_change", 'decisions of gates are added up');
is(query("string_agg(concat_ws(' ', day, decided, total), ',') FROM workflow.gate_tally"), '2020-01-01 1200 1140.00', 'in one cell, of a month');
is(query("string_agg(concat_ws(' ', decided, total), ',') FROM workflow.gate_counts"), '1200 1140.00,1 0.95', 'and read with those that are not');

# what is older than a time, in batches; the time is longer than a wait can be
configure("pg_workflow.effect_retention = '100d'\npg_workflow.webhook_retention = '100d'");
wait_for("count(*) = 1980 FROM workflow.effect WHERE purged_at IS NOT NULL", 'what is old is forgotten');
wait_for("count(*) >= 698 FROM workflow.inbox WHERE purged_at IS NOT NULL", 'webhooks, too');
cmp_ok(query('count(DISTINCT xmin::text) FROM workflow.effect WHERE purged_at IS NOT NULL'), '>=', 4, 'not in one transaction');
is(query("count(*) FROM workflow.effect WHERE key LIKE 'old %' AND state = 'held' AND body = 'secret' AND purged_at IS NULL"), '20', 'what is held is kept whole');
is(query("string_agg((body = 'secret' AND purged_at IS NULL)::text, ' ') FROM workflow.inbox WHERE event_id IN ('old 7', 'old 8')"), 'true true', 'as is a webhook that has yet to be fed, or was ignored and can be');
is(query("count(*) FROM workflow.inbox AS i WHERE purged_at IS NOT NULL AND (body <> '' OR headers <> '{}')"), '0', 'of the others nothing is left');
is(query("count(*) FROM workflow.effects WHERE key IN ('alone', 'live', 'ended') AND response IS NOT NULL"), '3', 'what is young is kept');

# then it sleeps until something comes of age, and runs no statement
$node->safe_psql('postgres', 'CREATE DATABASE watcher');
$node->poll_query_until('watcher', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'postgres' AND state <> 'idle'");
my $commits = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'";
my ($before, $begin, $until) = ('', time, time + 60);    # alerts about what is held are looked at ever less often
while (time - $begin < 3 && time < $until)
{
	my $now = $node->safe_psql('watcher', $commits);
	$begin = time if $now ne $before;
	$before = $now;
}
cmp_ok(time - $begin, '>=', 3, 'with nothing due no transaction runs');

# what comes of age is forgotten by itself; what an item under way may use is not
configure("pg_workflow.effect_retention = '1s'\npg_workflow.webhook_retention = '1s'");
wait_for("count(*) = 2 FROM workflow.effect WHERE key IN ('alone', 'ended') AND purged_at IS NOT NULL", 'a shorter time is heeded');
is(query("response IS NOT NULL AND purged_at IS NULL FROM workflow.effect WHERE key = 'live'"),
	't', 'what an item under way may use is kept');
my $again = pay('again');
wait_for("purged_at IS NOT NULL AND state = 'succeeded' AND body IS NULL AND response IS NULL FROM workflow.effect WHERE effect_id = $again",
	'a new one comes of age');
query("workflow.send('orders:live', 'go')");
wait_for("purged_at IS NOT NULL FROM workflow.effect WHERE key = 'live'", 'and one whose item has ended');

# keys and events are met as before
is(pay('again'), $again, 'a key is met as before');
is($server->count('/pay'), 4, 'and nothing is sent again');
is(query("duplicate || ' ' || same_body FROM workflow.receive('shop', 'came', '{}', '{\"secret\": 1}')"), 'true true', 'so is an event');
is(query("duplicate || ' ' || same_body FROM workflow.receive('shop', 'came', '{}', '{}')"), 'true false', 'and it is known what it said');

$node->stop;
$server->stop;
done_testing();
