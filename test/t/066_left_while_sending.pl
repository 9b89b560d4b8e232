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
	'/gone' => sub { stall(); return undef });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
sub query { return $node->safe_psql('postgres', $_[0]) }

query(qq{
	CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'boss');
	SELECT workflow.define('{"workflow": "pay", "owner": "me", "initial": "PAY", "key": ["\$.to"],
	  "retry": {"default": {"owner": "me", "max_attempts": 3}},
	  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
	  "states": {
	    "PAY":  {"http": {"endpoint": "bank", "queue": "out", "method": "POST", "path": "/{\$.to}", "body": {}, "key": ["\$.to"]},
	             "on": {"ok": "DONE", "error": "BAD"}},
	    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}')});

sub leave_while_sending
{
	my ($to) = @_;
	query(qq{SELECT workflow.submit('pay', '{"to": "$to"}')});
	wait_for("state = 'sending' FROM workflow.effects WHERE key = '$to'", "a call to \"$to\" is under way");
	query("SELECT workflow.cancel('pay:$to', 'over')");
	append_to_file($go, '');
	wait_for("state NOT IN ('sending', 'pending') FROM workflow.effects WHERE key = '$to'", 'its item leaves, and its outcome is known');
	unlink $go;
	return query("SELECT state, unknown_attempts, reason FROM workflow.effect WHERE key = '$to'");
}

is(leave_while_sending('busy'), 'cancelled|0|the item moved on', 'not applied, it is over');
is(query('SELECT waiting FROM workflow.endpoints'), '0', 'and nothing waits');
like(leave_while_sending('gone'), qr/^held\|1\|/, 'what may be applied is asked about');
is($server->count('/busy') + $server->count('/gone'), 2, 'each was sent once');

$node->stop;
$server->stop;
done_testing();
