# What a receiver knows ages by the time that passes there, whatever the clock of a session says.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;

my $created = RawServer::answer(201, '{"id": "new"}', 'Content-Type: application/json');
my $absent = RawServer::answer(404, '{}');
my $server = RawServer->new(
	(map { ("/pay/$_" => sub { return $_[0] == 1 ? undef : $created }, "/find/$_" => sub { return $absent }) } qw(ahead behind)));

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub effect
{
	my ($key) = @_;
	return sql("SELECT concat_ws(' ', state, attempts, unknown_attempts) FROM workflow.effect WHERE key = '$key'");
}

# In a session of its own, a call alone being done by its first run().
sub run
{
	my ($clock) = @_;
	return sql("SET client_min_messages = warning; SET pg_workflow.clock = '$clock'; CALL workflow.run('1 second')");
}

sql('CREATE EXTENSION pg_workflow');
sql(sprintf(q{CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://127.0.0.1:%d', allow_http 'true', allow_private '127.0.0.0/8',
	dedup 'none', owner 'boss', absent_is_proof 'true', lookup_path '/find/{key}', lookup_found '$.status == 200',
	lookup_absent '$.status == 404', lookup_settle '1 hour')}, $server->port));

# two hours later by the clock here the absence still proves nothing: a second has passed for the receiver
sql(q{SELECT workflow.call('bank', 'POST', '/pay/ahead', '{}', 'ahead')});
run('');
is(effect('ahead'), 'unknown 1 1', 'the outcome of a call is not known');
sql(q{UPDATE workflow.effect SET next_at = now(); UPDATE workflow.job SET run_at = now()});
run('+2 hours');
is(effect('ahead') . ' ' . $server->count('/pay/ahead'), 'unknown 1 1 1', 'absence does not count before the time has passed at the receiver');
cmp_ok($server->count('/find/ahead'), '>', 0, 'which was asked');
is(sql(q{SELECT reason LIKE '%does not find it yet' FROM workflow.effect}), 't', '... and did not know');

# that hour has passed there while the clock here stands still
sql(q{SELECT workflow.resolve(effect_id, 'not_applied', 'seen') FROM workflow.effect});
sql(q{SET pg_workflow.clock = '2020-01-01 00:00+00'; SELECT workflow.call('bank', 'POST', '/pay/behind', '{}', 'behind')});
run('2020-01-01 00:00+00');
is(effect('behind'), 'unknown 1 1', 'neither is that of another one');
sql(q{UPDATE workflow.effect SET next_at = '2020-01-01', first_sent_at = first_sent_at - interval '2 hours', unknown_at = unknown_at - interval '2 hours';
	UPDATE workflow.job SET run_at = '2020-01-01'});
run('2020-01-01 00:00+00');
is(effect('behind') . ' ' . $server->count('/pay/behind'), 'succeeded 2 0 2', 'absence counts when the time has passed there');

done_testing();
