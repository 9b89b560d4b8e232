# A receiver refuses for a while; what failed is taken up again in a batch, at a
# rate.  What had succeeded is not sent again, and the dry run has said so.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

# the first 100 calls to /book and the first 20 to /note are refused
my $server = RawServer->new(
	'/pack' => sub { return RawServer::answer(200, '{"packed": true}', 'Content-Type: application/json') },
	'/book' => sub { return RawServer::answer($_[0] <= 100 ? 404 : 200, '{}', 'Content-Type: application/json') },
	'/unpack' => sub { return RawServer::answer(200, '{}', 'Content-Type: application/json') },
	'/note' => sub { return RawServer::answer($_[0] <= 20 ? 404 : 200, '{}', 'Content-Type: application/json') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;

sub query { return $node->safe_psql('postgres', $_[0]) }

query(qq{
	CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key', breaker_failures '1000', breaker_rate 'off');
	SELECT workflow.define('{
	  "workflow": "order", "owner": "ann", "initial": "PACK", "key": ["\$.id"],
	  "retry": {"default": {"max_attempts": 1, "timeout": "5 seconds", "owner": "ann"}},
	  "queues": {"calls_out": {"owner": "ann", "sla": "1 hour", "escalate_to": ["bob"]}},
	  "states": {
	    "PACK": {"http": {"endpoint": "shop", "method": "POST", "path": "/pack", "queue": "calls_out", "key": ["\$.id", "pack"], "body": {"id": "\$.id"},
	                      "revert": {"method": "POST", "path": "/unpack", "body": {}}}, "on": {"ok": "KIND", "error": "BROKEN"}},
	    "KIND": {"gate": {"value": "\$.handled", "tiers": [{"at_least": 1, "event": "handled"}, {"otherwise": "plain"}]}, "on": {"handled": "BOOK_HANDLED", "plain": "BOOK"}},
	    "BOOK": {"http": {"endpoint": "shop", "method": "POST", "path": "/book", "queue": "calls_out", "key": ["\$.id", "book"], "body": {"id": "\$.id"}}, "on": {"ok": "DONE"}},
	    "BOOK_HANDLED": {"http": {"endpoint": "shop", "method": "POST", "path": "/book", "queue": "calls_out", "key": ["\$.id", "book"], "body": {"id": "\$.id"}}, "on": {"ok": "DONE", "error": "BROKEN"}},
	    "BROKEN": {"exception": {"queue": "calls_out"}, "on": {"replay": "PACK", "give_up": "FAILED"}},
	    "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}');
	SELECT count(workflow.submit('order', jsonb_build_object('id', n, 'handled', n % 2))) FROM generate_series(1, 100) AS n;
	SELECT count(workflow.call('shop', 'POST', '/note', '{}', key => 'note ' || n)) FROM generate_series(1, 20) AS n;
});
wait_for('count(*) = 120 FROM workflow.dead_letters', 'all are refused');
is($server->count('/pack'), 100, 'each was packed');

# what would be sent
is(query(q{SELECT state, kind, class, matched, would_send, would_hold, already_done FROM workflow.redrive('{"workflow": "order"}') ORDER BY state}),
	"BOOK|http|not_found|50|50|0|50\nBROKEN|exception|not_found|50|50|0|50",
	'the dry run says that the first call is done and the second one would be sent');
is(query(q{SELECT kind, matched, would_send, already_done FROM workflow.redrive('{"queue": "calls"}')}), 'http|20|20|0',
	'and of calls that stand alone');
is(join(' ', map { $server->count($_) } '/pack', '/book', '/note'), '100 100 20', 'and sends nothing');

# two are given up meanwhile; what one of them has done is taken back
query(q{SELECT workflow.give_up('order:1', 'hopeless'), workflow.give_up('order:3', 'hopeless'), workflow.compensate('order:3', 'hopeless')});
wait_for("state = 'succeeded' FROM workflow.effects WHERE kind = 'revert'", 'it is taken back');

# at a rate
query(q{SELECT count(*) FROM workflow.redrive('{"workflow": "order"}', per_second => 50, dry_run => false, reason => 'it is back')});
wait_for("status = 'done' FROM workflow.redrives", 'the batch is worked off');
is(query(q{SELECT matched, done, skipped FROM workflow.redrives}), '98|98|0', 'the others are taken up');
is(query(q{SELECT ended_at - started_at BETWEEN '1.5 seconds' AND '60 seconds' FROM workflow.redrives}), 't', 'no faster than at its rate');
wait_for("count(*) = 98 FROM workflow.items WHERE outcome = 'success'", 'all end well');
is(join(' ', map { $server->count($_) } '/pack', '/book'), '100 198', 'the first call was not made again, the second one once');

# one that was given up goes back; what was taken back does not
query(q{SELECT workflow.rewind('order:1', 'PACK', 'it is back')});
wait_for("outcome = 'success' FROM workflow.items WHERE key = '1'", 'one goes back, and ends well');
is(join(' ', map { $server->count($_) } '/pack', '/book'), '100 199', 'without the first call');
my ($result, $out, $error) = $node->psql('postgres', q{SELECT workflow.rewind('order:3', 'PACK', 'it is back')});
like($error, qr/cannot be rewound: effect \d+ is taken back by effect \d+/, 'the other one stays as it ended');
is(query(q{SELECT count(*), sum(attempts) FROM workflow.effects WHERE key LIKE '%book'}), '100|199', 'each has its own');

# calls that stand alone
query(q{SELECT count(*) FROM workflow.redrive('{"queue": "calls"}', dry_run => false, reason => 'it is back')});
wait_for("count(*) = 20 FROM workflow.effects WHERE key LIKE 'note%' AND state = 'succeeded'", 'they are made');
is($server->count('/note'), 40, 'once more each');
is(query('SELECT count(*) FROM workflow.dead_letters'), '0', 'nothing is left');

$server->stop;
done_testing();
