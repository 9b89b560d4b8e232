# A webhook that overtakes the answer: the receiver tells of an action while the call is under way, and the
# answer never comes. What it told counts, nothing is sent twice, and nobody is asked.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $silent = sub { return '' };
my $absent = RawServer::answer(404, '{}');
my $server = RawServer->new(
	'/pay/told' => $silent,
	'/pay/absent' => $silent,
	'/find/absent' => sub { return $absent },
	'/pay/left' => $silent,
	'/pay/untold' => $silent);
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
my $options = "url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'finance', timeout '1s'";

$node->safe_psql('postgres', <<"SQL");
SET client_min_messages = error;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS ($options);
CREATE SERVER search FOREIGN DATA WRAPPER workflow_http OPTIONS ($options, lookup_path '/find/{key}',
  lookup_found '\$.status == 200', lookup_absent '\$.status == 404', lookup_settle '10ms', absent_is_proof 'true');
SELECT workflow.create_source('bank', 'none', feed =>
  '{"evidence": {"endpoint": "bank", "key": "\$.body.key", "reference": "\$.body.charge"}}');
SELECT workflow.define('{"workflow": "pay", "owner": "finance", "key": ["\$.id"], "initial": "PAY",
  "queues": {"pay": {"owner": "finance", "sla": "1 hour", "escalate_to": ["cfo"]}},
  "states": {"PAY": {"http": {"endpoint": "bank", "queue": "pay", "method": "POST", "path": "/pay/{\$.id}", "key": ["\$.id"],
                              "retry": {"max_attempts": 3, "timeout": "1 second", "dead_letter": "pay"}},
                     "on": {"ok": "PAID", "error": "FAILED"}},
             "PAID": {"final": "paid"}, "FAILED": {"final": "failed"}}}');
SQL

sub effect
{
	my ($columns, $key) = @_;
	return $node->safe_psql('postgres', "SELECT $columns FROM workflow.effect WHERE key = '$key'");
}

sub is_sending
{
	my ($key) = @_;
	wait_for("state = 'sending' FROM workflow.effect WHERE key = '$key'", "the call of $key is under way");
	return;
}

# the item goes on by what the webhook said
$node->safe_psql('postgres', "SELECT workflow.submit('pay', '{\"id\": \"told\"}')");
is_sending('told');
$node->safe_psql('postgres', q(SELECT workflow.receive('bank', 'e1', '{}', '{"key": "told", "charge": "ch_1"}')));
wait_for("state = 'PAID' FROM workflow.items WHERE key = 'told'", 'the item moves when no answer comes');
is(effect('state, substate, external_id, reason, attempts', 'told'), 'succeeded|resolved|ch_1|evidence: ch_1|1',
	'by the evidence');
is($node->safe_psql('postgres', "SELECT waiting_on FROM workflow.where_is('pay:told')"), 'nothing', 'nobody is asked');

# a search that does not find it yet is no proof against it
$node->safe_psql('postgres', "SELECT workflow.call('search', 'POST', '/pay/absent', '{}', 'absent')");
is_sending('absent');
$node->safe_psql('postgres', "SELECT workflow.record_evidence('search', 'absent', 'applied', 'ch_2')");
wait_for("state = 'succeeded' FROM workflow.effect WHERE key = 'absent'", 'what was told outweighs an absence');
is($server->count('/pay/absent'), 1, 'and it is not sent again');

# an item that has left
$node->safe_psql('postgres', "SELECT workflow.submit('pay', '{\"id\": \"left\"}')");
is_sending('left');
$node->safe_psql('postgres', "SELECT workflow.cancel('pay:left', 'too late'), workflow.record_evidence('bank', 'left', 'applied', 'ch_3')");
wait_for("state = 'succeeded' FROM workflow.effect WHERE key = 'left'", 'the ledger knows it of an item that has left, too');

# and without evidence a person is asked, as ever
$node->safe_psql('postgres', "SELECT workflow.submit('pay', '{\"id\": \"untold\"}')");
wait_for("state = 'held' FROM workflow.effect WHERE key = 'untold'", 'without evidence a person is asked');

$node->stop;
done_testing();
