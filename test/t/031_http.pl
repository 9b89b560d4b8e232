# Outside calls of the http worker: side by side, within the endpoint's limit,
# with no transaction open, and out of the way at once.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;
use Time::HiRes qw(time);
use WorkingNode;

my $stand_in = StandIn->new;
my $node = start_working_node();

sub all_are
{
	my ($outcome, $count, $name) = @_;
	wait_for("count(*) = $count FROM workflow.items WHERE outcome = '$outcome'",
		$name);
	return;
}

# an item of each account, in any order, each called for once
$stand_in->define($node, 'crm', "dedup 'key', timeout '60s', max_in_flight '4'");
$stand_in->submit($node, 'crm', 1001 .. 1020);
all_are('success', 20, 'every call is made');
is_deeply(
	$stand_in->executions,
	{ map { ("A-$_" => 1) } 1001 .. 1020 },
	'each once');
wait_for(
	"in_flight = 0 FROM workflow.workers WHERE kind = 'http'",
	'nothing is under way then');

# while calls hang: the limit holds and no transaction is open
$stand_in->misbehave(stall_after_ms => 600000);
$stand_in->submit($node, 'crm', 1021 .. 1024);
$node->safe_psql('postgres',
	'SELECT workflow.call(\'crm\', \'PATCH\', \'/accounts/A-10\' || n, \'{"n": 1}\', \'extra-\' || n) FROM generate_series(11, 19) AS n'
);
wait_for("in_flight = 4 FROM workflow.workers WHERE kind = 'http'",
	'as many calls are under way as the endpoint allows');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM workflow.effects WHERE state = 'sending'"),
	'4',
	'and no more are on record as sending');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_workflow http' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)"
	),
	'0',
	'no transaction is open meanwhile');
ok( $node->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_workflow http' AND query ~ 'waiting for 4 calls under way')"),
	'and pg_stat_activity says what it does');

# a worker that is terminated: what it had is settled, and nothing is sent twice
$stand_in->forgive;
$node->safe_psql('postgres',
	"SELECT pg_terminate_backend(pid) FROM workflow.workers WHERE kind = 'http'");
all_are('success', 24, 'another worker takes over');
is_deeply(
	[ grep { $_ != 1 } @{ $stand_in->executions }{ map { "A-$_" } 1021 .. 1024 } ],
	[],
	'each was executed once');
wait_for(
	"count(*) = 9 FROM workflow.effects WHERE key LIKE 'extra-%' AND state = 'succeeded'",
	'calls without a workflow are made too');

# the other side hangs up after it has done the work
$stand_in->define($node, 'rude', "dedup 'key'");
$stand_in->misbehave(times => 3, close => 'after');
$stand_in->submit($node, 'rude', 1001 .. 1003);
wait_for(
	"count(*) = 3 FROM workflow.items WHERE workflow = 'rude' AND outcome = 'success'",
	'an unknown outcome is repeated with its key');
is($stand_in->executions->{'A-1001'}, 2, 'and executed once more, not twice');

# without deduplication it is not repeated: a person is asked
$stand_in->forgive;
$stand_in->define($node, 'once', "dedup 'none', owner 'tester'");
$stand_in->misbehave(times => 1, close => 'after');
$stand_in->submit($node, 'once', 1004);
wait_for(
	"state = 'held' FROM workflow.effects WHERE endpoint = 'once'",
	'an unknown outcome is held where the receiver does not deduplicate');
is($stand_in->executions->{'A-1004'}, 2, 'it was executed by one send');
$node->safe_psql('postgres',
	"SELECT workflow.resolve(effect_id, 'applied', 'seen in the CRM') FROM workflow.effects WHERE endpoint = 'once'"
);
wait_for(
	"outcome = 'success' FROM workflow.items WHERE workflow = 'once'",
	'the person says that it was applied, and the item goes on');
is($stand_in->executions->{'A-1004'}, 2, 'without another send');

# an idle worker ends, and comes back for work
$node->append_conf('postgresql.conf', 'pg_workflow.worker_idle_timeout = 200');
$node->reload;
$stand_in->submit($node, 'once', 1005);
wait_for("count(*) = 0 FROM workflow.workers WHERE kind = 'http'",
	'an idle worker ends');
$stand_in->submit($node, 'once', 1006);
wait_for(
	"count(*) = 3 FROM workflow.items WHERE workflow = 'once' AND outcome = 'success'",
	'and work brings another one');

# calls that hang hold nobody up
$stand_in->misbehave(stall_before_ms => 600000);
$node->safe_psql('postgres', 'CREATE DATABASE other');
$stand_in->submit($node, 'once', 1007 .. 1012);
wait_for("in_flight = 6 FROM workflow.workers WHERE kind = 'http'",
	'calls hang');
my $begin = time;
$node->reload;
$node->safe_psql('other', 'DROP DATABASE postgres WITH (FORCE)');
cmp_ok(time - $begin, '<', 1, 'DROP DATABASE WITH (FORCE) does not wait');
$node->safe_psql('other', 'CREATE EXTENSION pg_workflow');
sub hang_in_other
{
	$node->safe_psql('other', qq{
		CREATE SERVER once FOREIGN DATA WRAPPER workflow_http OPTIONS (
		  url '$stand_in->{url}', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'tester', timeout '60s');
		SELECT workflow.call('once', 'PATCH', '/accounts/A-1013', '{}')});
	ok($node->poll_query_until('other', "SELECT sum(in_flight) = 1 FROM workflow.workers WHERE kind = 'http'"),
		'a call hangs in another database');
}
hang_in_other();
$begin = time;
$node->stop('fast');
cmp_ok(time - $begin, '<', 1, 'neither does a fast shutdown');

$stand_in->stop;
done_testing();
