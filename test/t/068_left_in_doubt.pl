# An item leaves while nobody knows whether its call was applied, or before it is told
# that it was not.  The ledger ends in the truth all the same: what can be looked up is
# looked up, and nothing is sent for an item that does not want it any more.

use strict;
use warnings FATAL => 'all';
use Cwd;
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

# Answers when the file is there.
my $go = PostgreSQL::Test::Utils::tempdir() . '/go';
sub stall { my $n = 0; select undef, undef, undef, 0.02 until -e $go || getppid == 1 || $n++ > 3000; return }
my $hang_up = sub { stall(); return undef };
my $found = RawServer::answer(200, '{"id": "pay-1"}', 'Content-Type: application/json');
my $absent = RawServer::answer(404, '{}');
my $server = RawServer->new(
	'/pay/there' => $hang_up, '/find/there' => sub { return $found },
	'/pay/proven' => $hang_up, '/find/proven' => sub { return $absent },
	'/pay/unproven' => $hang_up, '/find/unproven' => sub { return $absent },
	'/pay/late' => sub { return undef }, '/find/late' => sub { return -e $go ? $found : $absent },
	'/pay/asked' => sub { return undef }, '/find/asked' => sub { stall(); return $found },
	'/pay/keyed' => sub { return undef }, '/find/keyed' => sub { return $found },
	'/pay/barred' => sub { return undef }, '/find/barred' => sub { return -e $go ? $found : RawServer::answer(401, '') },
	'/pay/shared' => $hang_up, '/find/shared' => sub { return $absent },
	'/pay/busy' => sub { stall(); return RawServer::answer(429, '') });
my $node = start_working_node("shared_preload_libraries = 'pg_workflow, " . getcwd() . "/build/points.so'\nrestart_after_crash = on");
my $url = 'http://127.0.0.1:' . $server->port;
sub query { return $node->safe_psql('postgres', $_[0]) }

sub endpoint
{
	my ($name, $options) = @_;
	my $backoff = $name eq 'keyed' ? '1 hour' : '100 milliseconds';
	query(qq{CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (
		url '$url', allow_http 'true', allow_private '127.0.0.0/8', owner 'boss', $options);
	SELECT workflow.define('{"workflow": "$name", "owner": "me", "initial": "PAY", "key": ["\$.to"],
	  "retry": {"default": {"owner": "me", "max_attempts": 3, "backoff": {"initial": "$backoff", "jitter": "none"}}},
	  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
	  "states": {
	    "PAY":  {"http": {"endpoint": "$name", "queue": "out", "method": "POST", "path": "/pay/{\$.to}", "body": {}, "key": ["\$.to"]},
	             "on": {"ok": "DONE", "error": "BAD"}},
	    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}')});
	return;
}

my $lookup = q(lookup_path '/find/{key}', lookup_found '$.status == 200', lookup_absent '$.status == 404');
endpoint('proving', "dedup 'none', $lookup, lookup_settle '1ms', absent_is_proof 'true'");
endpoint('doubting', "dedup 'none', $lookup, lookup_settle '1ms'");
endpoint('settling', "dedup 'none', $lookup, lookup_settle '2s', absent_is_proof 'true'");
endpoint('keyed', "dedup 'key', $lookup, lookup_settle '1ms'");
endpoint('plain', "dedup 'none'");

sub submit
{
	my ($workflow, $to, $state) = @_;
	query(qq{SELECT workflow.submit('$workflow', '{"to": "$to"}')});
	wait_for("state = '$state' FROM workflow.effect WHERE key = '$to'", "\"$to\" is $state") if $state;
	return;
}

sub leave
{
	my ($workflow, $to) = @_;
	query("SELECT workflow.cancel('$workflow:$to', 'over')");
	return;
}

# How it ended, for good: no job is left.
sub ends_as
{
	my ($to, $state, $how, $name) = @_;
	wait_for("state = '$state' AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id) FROM workflow.effect AS e WHERE key = '$to'", $name);
	is(query("SELECT concat_ws(' ', substate, unknown_attempts, external_id) FROM workflow.effect WHERE key = '$to'"), $how, "\"$to\" is known so");
	is($server->count("/pay/$to"), 1, 'and was sent once');
	return;
}

sub leave_while_sending
{
	my ($workflow, $to) = @_;
	unlink $go;
	submit($workflow, $to, 'sending');
	leave($workflow, $to);
	append_to_file($go, '');
	return;
}

leave_while_sending('proving', 'there');
ends_as('there', 'succeeded', 'found 0', 'what broke off is looked up after its item has left, and found');
leave_while_sending('proving', 'proven');
ends_as('proven', 'cancelled', '0', 'what is proven absent is over, and not sent again');
leave_while_sending('doubting', 'unproven');
ends_as('unproven', 'held', '1', 'what is absent without a proof is asked about');
is(query("SELECT workflow.resolve(effect_id, 'not_applied', 'not there') FROM workflow.effect WHERE key = 'unproven'"), '', 'a person says so');
ends_as('unproven', 'cancelled', 'resolved 0', 'then it is over');

# between two lookups
unlink $go;
submit('settling', 'late', 'unknown');
wait_for("count(*) > 0 FROM workflow.attempt AS a JOIN workflow.effect AS e USING (effect_id) WHERE e.key = 'late' AND a.detail ? 'lookup'", 'it was looked up');
leave('settling', 'late');
isnt(query("SELECT state FROM workflow.effect WHERE key = 'late'"), 'cancelled', 'what is to be looked up stays open');
append_to_file($go, '');
ends_as('late', 'succeeded', 'found 0', 'and is found when it is there');

# during one
unlink $go;
submit('proving', 'asked');
wait_for("substate = 'probing' FROM workflow.effect WHERE key = 'asked'", 'it is being looked up');
leave('proving', 'asked');
append_to_file($go, '');
ends_as('asked', 'succeeded', 'found 0', 'what that finds is heeded');

# where the key would let it be sent again
submit('keyed', 'keyed');
wait_for("state = 'pending' AND unknown_attempts = 1 FROM workflow.effect WHERE key = 'keyed'", 'it is to be sent again, later');
leave('keyed', 'keyed');
ends_as('keyed', 'succeeded', 'found 0', 'it is looked up instead');

# a lookup that is refused goes on when its cause has changed, and stays a lookup
unlink $go;
submit('keyed', 'barred');
wait_for("state = 'pending' AND unknown_attempts = 1 FROM workflow.effect WHERE key = 'barred'", 'another one is to be sent again');
leave('keyed', 'barred');
wait_for("state = 'blocked' FROM workflow.effect WHERE key = 'barred'", 'its lookup is refused');
append_to_file($go, '');
query("ALTER SERVER keyed OPTIONS (ADD timeout '20s'); SELECT workflow._wake('maintenance')");
ends_as('barred', 'succeeded', 'found 0', 'when that has changed it is looked up');

# somebody else wants it meanwhile
unlink $go;
submit('proving', 'shared', 'sending');
leave('proving', 'shared');
query(q{SELECT workflow.submit('proving', '{"to": "shared"}', key => 'other')});
append_to_file($go, '');
wait_for("attempts = 2 FROM workflow.effect WHERE key = 'shared'", 'what another item wants is sent again, proven absent');

wait_for("state NOT IN ('pending', 'sending', 'unknown') FROM workflow.effect WHERE key = 'shared'", 'until its attempts are spent');

# the worker dies when the answer is on record and nobody knows it
unlink $go;
submit('plain', 'busy', 'sending');
leave('plain', 'busy');
my $point = $node->data_dir . '/point';
append_to_file("$point.new", 'record_flushed ' . query('SELECT oid FROM pg_database WHERE datname = current_database()'));
rename "$point.new", $point or die "cannot rename $point.new: $!";
append_to_file($go, '');
wait_for("state = 'pending' FROM workflow.effect WHERE key = 'busy'", 'the answer is recorded');
my ($pid) = map { /\.(\d+)$/ } glob "$point.[0-9]*";
kill 'KILL', $pid;
unlink "$point.$pid";
$node->poll_query_until('postgres', 'SELECT true');
ends_as('busy', 'cancelled', '0', 'it ends without the one who was to tell');
is(query(q{SELECT waiting FROM workflow.endpoints WHERE endpoint = 'plain'}), '0', 'and nothing waits');

$node->stop;
$server->stop;
done_testing();
