# What is done outside after a commit must be found again after a crash: the
# commit that says "sending" is on disk, whatever synchronous_commit says.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;

my $server = RawServer->new('/hang' => sub { '' });
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));

# the WAL writer comes rarely: what is flushed soon is flushed by the commit
$node->append_conf('postgresql.conf',
	"synchronous_commit = off\nwal_writer_delay = 10s\nautovacuum = off");
$node->start;
my $url = 'http://127.0.0.1:' . $server->port;
$node->safe_psql('postgres', qq{
	CREATE EXTENSION pg_workflow;
	CREATE SERVER once FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'ops', timeout '60s');
	SELECT workflow.begin_effect('once', 'warm:up', '{}')});

# Kills the server without letting it write anything more.
sub crash
{
	$node->stop('immediate');
	$node->start;
	return;
}

sub state_of
{
	my ($key) = @_;
	return $node->safe_psql('postgres', "SELECT state FROM workflow.effects WHERE key = '$key'");
}

# that an asynchronous commit is lost here shows that the test can fail
my $session = $node->background_psql('postgres', on_error_die => 1);
$session->query_safe('SELECT pg_switch_wal()');
$session->query_safe('CREATE TABLE public.lost ()');
crash();
is($node->safe_psql('postgres', "SELECT to_regclass('public.lost') IS NULL"),
	't', 'an asynchronous commit is lost in a crash');

# by begin_effect, in several shapes of transactions
my %shapes = (
	alone => q{SELECT verdict FROM workflow.begin_effect('once', 'alone', '{}')},
	block => q{BEGIN; SELECT verdict FROM workflow.begin_effect('once', 'block', '{}'); SELECT 1; COMMIT},
	nested => q{BEGIN; SAVEPOINT a; SELECT verdict FROM workflow.begin_effect('once', 'nested', '{}'); RELEASE a; COMMIT},
	plpgsql => q{DO $$ BEGIN PERFORM workflow.begin_effect('once', 'plpgsql', '{}'); EXCEPTION WHEN division_by_zero THEN NULL; END $$},
);
foreach my $shape (sort keys %shapes)
{
	$session = $node->background_psql('postgres', on_error_die => 1);
	$session->query_safe('SET synchronous_commit = off');
	$session->query_safe($shapes{$shape});
	crash();
	is(state_of($shape), 'sending', "begin_effect is on disk when it commits: $shape");
}

# by run(): the call is under way when the server crashes
$node->safe_psql('postgres', q{SELECT workflow.call('once', 'POST', '/hang', '{}', 'run')});
$node->safe_psql('postgres', 'CHECKPOINT');
$session = $node->background_psql('postgres', on_error_die => 1);
$session->query_until(qr/started/, "\\echo started\nSET synchronous_commit = off; CALL workflow.run();\n");
ok(arrived('/hang'), 'run() has sent the request');
crash();
is(state_of('run'), 'sending', 'a call is on disk before run() sends it');
$node->safe_psql('postgres', 'CALL workflow.run()');
is(state_of('run'), 'held', 'so nobody sends it again');
is($server->count('/hang'), 1, 'it was sent once');

# by the http worker
$node->safe_psql('postgres', q{SELECT workflow.call('once', 'POST', '/hang', '{}', 'worker')});
$node->safe_psql('postgres', 'CHECKPOINT');
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->reload;
ok(arrived('/hang', 2), 'the worker has sent the request');
$node->append_conf('postgresql.conf', 'pg_workflow.workers = off');
crash();
is(state_of('worker'), 'sending', 'a call is on disk before the worker sends it');

sub arrived
{
	my ($path, $count) = @_;
	for (1 .. 200)
	{
		return 1 if $server->count($path) >= ($count // 1);
		select undef, undef, undef, 0.05;
	}
	return 0;
}

$server->stop;
$node->stop('immediate');
done_testing();
