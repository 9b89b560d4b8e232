# What a test mocks never reaches the wire, beside workers that would send it; and
# a server whose effects are off runs tests all the same.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $server = RawServer->new('/orders' => sub { return RawServer::answer(200, '{"real": true}') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
sub query { return $node->safe_psql('postgres', $_[0]) }

query(qq{
	CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
	CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (bearer_secret 'no_such_file')});

my $test = q{
	SET client_min_messages = warning;
	BEGIN;
	SELECT workflow.mock('shop', '{"status": 201, "body": {"real": false}}');
	SELECT workflow.call('shop', 'POST', '/orders', '{"n": 1}', 'order:1') > 0;
	CALL workflow.run();
	SELECT state || ' ' || status || ' ' || (response #>> '{body,real}') FROM workflow.effects WHERE key = 'order:1';
	SELECT path || ' ' || (headers ->> 'authorization') FROM workflow.mock_requests;
	ROLLBACK;
	SELECT count(*) FROM workflow.effects};

is(query($test), "\nt\nsucceeded 201 false\n/orders Bearer <no_such_file>\n0", 'a test, beside the workers');

# who forgets to mock sees that nothing was sent, and what is mocked cannot be kept
my ($status, $out, $err) = $node->psql('postgres', q{
	BEGIN;
	SELECT workflow.mock('shop', '{"method": "GET"}');
	SELECT workflow.call('shop', 'POST', '/orders', '{}', 'order:2');
	CALL workflow.run();
	COMMIT});
like($err, qr/ERROR:  no mock answers POST \/orders of endpoint "shop"\nDETAIL:  .*key "order:2".*\nHINT:  SELECT workflow\.mock\('shop'/, 'what no mock answers is an error');
($status, $out, $err) = $node->psql('postgres', q{
	BEGIN;
	SELECT workflow.mock('shop', '{"status": 200}');
	SELECT workflow.call('shop', 'POST', '/orders', '{}', 'order:3');
	CALL workflow.run();
	PREPARE TRANSACTION 'kept'});
like($err, qr/ERROR:  a transaction with mocks cannot be committed/, 'nor can it be prepared');

# what a worker does is kept, so that it has no mocks
query(q{
	CREATE FUNCTION cheat(bigint, jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM workflow.mock('shop', '{}'); RETURN '{}'; END $$;
	SELECT workflow.define('{"workflow": "cheat", "owner": "me", "initial": "A", "key": ["$.id"],
	  "queues": {"q": {"sla": "1 hour", "escalate_to": ["you"]}}, "retry": {"default": {"max_attempts": 1, "timeout": "10 seconds"}},
	  "states": {"A": {"sql": {"function": "cheat", "queue": "q"}, "on": {"ok": "B", "error": "B"}}, "B": {"final": "done"}}}');
	SELECT workflow.submit('cheat', '{"id": 1}')});
wait_for("count(*) = 1 FROM workflow.items WHERE outcome = 'done'", 'an activity that mocks');
is(query("SELECT reason FROM workflow.transition WHERE event = 'error'"), 'a background worker has no mocks', 'fails in a worker');

$node->append_conf('postgresql.conf', "pg_workflow.effects = off");
$node->reload;
ok($node->poll_query_until('postgres', "SELECT current_setting('pg_workflow.effects') = 'off'"), 'effects are off');
is(query($test), "\nt\nsucceeded 201 false\n/orders Bearer <no_such_file>\n0", 'a test, where no effect is sent');

is(query('SELECT count(*) FROM workflow.effects'), '0', 'nothing is left');
is($server->count('/orders'), 0, 'and nothing was sent');
$node->stop;
done_testing();
