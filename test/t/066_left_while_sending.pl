# An item leaves while its call is on the wire.  What is proven not applied then
# has ended, since nobody sends it again; what may be applied stays open.

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
my $server = RawServer->new(
	'/busy' => sub { stall(); return RawServer::answer(429, '') },
	'/cut' => sub { stall(); return \"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{" },
	'/gone' => sub { stall(); return undef });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
sub query { return $node->safe_psql('postgres', $_[0]) }

foreach (['bank', "dedup 'none', owner 'boss'"], ['keys', "dedup 'key'"], ['asks', "dedup 'pure'"])
{
	my ($endpoint, $options) = @$_;
	query(qq{
	CREATE SERVER $endpoint FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', $options);
	SELECT workflow.define('{"workflow": "$endpoint", "owner": "me", "initial": "PAY", "key": ["\$.to"],
	  "retry": {"default": {"owner": "me", "max_attempts": 3}},
	  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
	  "states": {
	    "PAY":  {"http": {"endpoint": "$endpoint", "queue": "out", "method": "POST", "path": "/{\$.to}", "body": {}, "key": ["\$.to"]},
	             "on": {"ok": "DONE", "error": "BAD"}},
	    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}')});
}

sub leave_while_sending
{
	my ($workflow, $to) = @_;
	query(qq{SELECT workflow.submit('$workflow', '{"to": "$to"}')});
	wait_for("state = 'sending' FROM workflow.effects WHERE endpoint = '$workflow' AND key = '$to'", "a call to \"$to\" of $workflow is under way");
	query("SELECT workflow.cancel('$workflow:$to', 'over')");
	append_to_file($go, '');
	wait_for("state NOT IN ('sending', 'pending') FROM workflow.effects WHERE endpoint = '$workflow' AND key = '$to'", 'its item leaves, and its outcome is known');
	unlink $go;
	return query("SELECT state, substate, unknown_attempts, reason FROM workflow.effect JOIN workflow.endpoint USING (endpoint_id) WHERE endpoint = '$workflow' AND key = '$to'");
}

is(leave_while_sending('bank', 'busy'), 'cancelled||0|the item moved on', 'not applied, it is over');
is(query('SELECT waiting FROM workflow.endpoints WHERE endpoint = \'bank\''), '0', 'and nothing waits');
like(leave_while_sending('bank', 'gone'), qr/^held\|\|1\|/, 'what may be applied is asked about');
is($server->count('/busy') + $server->count('/gone'), 2, 'each was sent once');

# where the key would let it be sent again nobody wants that any more
like(leave_while_sending('keys', 'gone'), qr/^held\|\|1\|the item moved on, and whether it was applied cannot be looked up/, 'so it is where it could be sent again');
like(query(q{SELECT w.waiting_detail FROM workflow.where_is('keys:gone') AS w}), qr/^ended: .*, but held: POST/, 'where_is() says so');
like(leave_while_sending('keys', 'cut'), qr/^succeeded\|no_body\|/, 'what was answered with success has succeeded, though the answer broke off');
like(leave_while_sending('asks', 'gone'), qr/^cancelled\|\|0\|/, 'a question is only given up');
is($server->count('/gone') + $server->count('/cut'), 4, 'each was sent once');

$node->stop;
$server->stop;
done_testing();
