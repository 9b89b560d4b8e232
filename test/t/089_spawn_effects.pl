# Children that call: one that stands still keeps its parent, which says for whom
# it waits; one whose call is under way when the parent is cancelled is treated
# as any item that is.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

# Answers when the file is there.
my $go = PostgreSQL::Test::Utils::tempdir() . '/go';
sub stall { select undef, undef, undef, 0.02 until -e $go || getppid == 1; return }
my $refuses = PostgreSQL::Test::Utils::tempdir() . '/refuses';
append_to_file($refuses, '');
my $server = RawServer->new(
	'/fine' => sub { return RawServer::answer(200, '{"done": true}') },
	'/odd' => sub { return RawServer::answer(-e $refuses ? 400 : 200, '{"done": true}') },
	'/gone' => sub { stall(); return undef });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
sub query { return $node->safe_psql('postgres', $_[0]) }

query(qq{
	CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'boss');
	SELECT workflow.define('{"workflow": "payment", "owner": "me", "initial": "PAY",
	  "retry": {"default": {"owner": "me", "max_attempts": 3, "dead_letter": "out"}},
	  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
	  "states": {
	    "PAY":  {"http": {"endpoint": "bank", "queue": "out", "method": "POST", "path": "/{\$.to}", "body": {}, "key": ["\$.order", "\$.to"]},
	             "on": {"ok": "DONE"}},
	    "DONE": {"final": "done"}}}');
	SELECT workflow.define('{"workflow": "payments", "owner": "me", "initial": "PAYING", "key": "\$.order",
	  "states": {
	    "PAYING": {"spawn": {"workflow": "payment", "each": "\$.to", "join": "all", "key": ["\$.order", "\$.each"],
	                         "input": {"order": "\$.order", "to": "\$.each"}, "result": "\$.pay.body"},
	               "timeout": "1 day", "on": {"ok": "PAID", "error": "FAILED", "timeout": "FAILED"}},
	    "PAID": {"final": "paid"}, "FAILED": {"final": "failure"}}}')});

# a child that stands still
query(q{SELECT workflow.submit('payments', '{"order": 1, "to": ["fine", "odd"]}')});
wait_for("count(*) = 1 FROM workflow.dead_letters", 'one is a dead letter');
wait_for("ended = 1 FROM workflow.spawn", 'the other has ended');
like(query("SELECT waiting_on || ': ' || waiting_detail FROM workflow.where_is('payments:1')"),
	qr/^event: 1 of 2 children have ended, 0 failed; all have to succeed; payment:1:odd in "PAY" waits for exception \(dead letter: job \d+, /,
	'the parent says for whom it waits');
unlink $refuses;
query("SELECT workflow.replay('payment:1:odd', 'mended')");
wait_for("outcome = 'paid' FROM workflow.items WHERE workflow = 'payments' AND key = '1'", 'and goes on when that does');
is(query("SELECT jsonb_path_query_array(data, '\$.paying.results[*].data') FROM workflow.items WHERE workflow = 'payments' AND key = '1'"),
	'[{"done": true}, {"done": true}]', 'with what was answered');

# a child whose call is under way
query(q{SELECT workflow.submit('payments', '{"order": 2, "to": ["gone"]}')});
wait_for("count(*) = 1 FROM workflow.effects WHERE state = 'sending'", 'a call is under way');
query("SELECT workflow.cancel('payments:2', 'over')");
is(query("SELECT state FROM workflow.children('payments:2')"), 'CANCELLED', 'its item is cancelled with the parent');
append_to_file($go, '');
wait_for("state = 'held' FROM workflow.effects WHERE key = '2:gone'", 'what may be applied is asked about');
like(query("SELECT waiting_detail FROM workflow.where_is('payment:2:gone')"), qr/^ended: cancelled, but held: POST/, 'where_is() says so');
is($server->count('/gone'), 1, 'it was sent once');
is(query('SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok'), '0', 'log, states and families agree');

$node->stop;
$server->stop;
done_testing();
