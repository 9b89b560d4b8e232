# A state's timeout that is due while its call begins does one of two things: it
# fires, and nothing is sent, or it waits for the outcome.

use strict;
use warnings FATAL => 'all';
use Cwd;
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use Time::HiRes qw(usleep);
use WorkingNode;

my $server = RawServer->new('/pay' => sub { return RawServer::answer(200, '{}') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
my $armed = $node->data_dir . '/point';

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_workflow, " . getcwd() . "/build/points.so'");
$node->restart;
sub query { return $node->safe_psql('postgres', $_[0]) }
my $database = query('SELECT oid FROM pg_database WHERE datname = current_database()');

query(qq{
	CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'boss');
	SELECT workflow.define('{"workflow": "pay", "owner": "me", "initial": "PAY",
	  "retry": {"default": {"owner": "me", "max_attempts": 3, "backoff": {"initial": "1 second", "factor": 1, "jitter": "none"}}},
	  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
	  "states": {
	    "PAY":  {"http": {"endpoint": "bank", "queue": "out", "method": "POST", "path": "/pay", "body": {}, "key": ["\$.id"]},
	             "timeout": "1 day", "on": {"ok": "DONE", "error": "BAD", "timeout": "LATE"}},
	    "DONE": {"final": "done"}, "BAD": {"final": "bad"}, "LATE": {"final": "late"}}}')});

# Submits an item, whose call then stops at a point; returns the file to remove.
sub stop_at
{
	my ($point, $key) = @_;
	my @stopped;

	append_to_file($armed, "$point $database");
	query(qq{SELECT workflow.submit('pay', '{"id": "$key"}', key => '$key')});
	foreach (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		@stopped = glob("$armed.*");
		last if @stopped;
		usleep(50_000);
	}
	is(scalar @stopped, 1, "the call of \"$key\" is at \"$point\"");
	return $stopped[0];
}

sub make_overdue { return query(q{UPDATE workflow.timer SET due_at = now(); SELECT workflow._wake('maintenance')}) }

sub outcome_of
{
	my ($key) = @_;
	wait_for("outcome IS NOT NULL FROM workflow.item WHERE key = '$key'", "\"$key\" ends");
	return query("SELECT i.outcome, e.state, e.attempts FROM workflow.item AS i JOIN workflow.effect AS e USING (item_id) WHERE i.key = '$key'");
}

# the call is being marked: nobody can see that yet
my $stopped = stop_at('effects_marked', 'marked');
make_overdue();
wait_for("count(*) > 0 FROM (SELECT FROM pg_locks WHERE NOT granted UNION ALL SELECT FROM workflow.timer WHERE due_at > now()) AS t",
	'the timeout meets the call that begins');
unlink $stopped;
is(outcome_of('marked'), 'done|succeeded|1', 'and waits for its outcome');

# it is marked, and not yet sent
$stopped = stop_at('intent_flushed', 'flushed');
make_overdue();
wait_for("due_at = 'infinity' FROM workflow.timer", 'a timeout sees a call that is under way');
unlink $stopped;
is(outcome_of('flushed'), 'done|succeeded|1', 'and waits for its outcome');

# it is overdue before the call is looked at
$stopped = stop_at('claim_begun', 'unclaimed');
make_overdue();
wait_for("outcome = 'late' FROM workflow.item WHERE key = 'unclaimed'", 'a timeout comes before the call');
unlink $stopped;
is(outcome_of('unclaimed'), 'late|cancelled|0', 'which is not made then');
is($server->count('/pay'), 2, 'nothing was sent for it');

$node->stop;
$server->stop;
done_testing();
