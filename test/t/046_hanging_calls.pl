# Calls that hang, and look-ups of names that hang, hold nobody up: not the
# calls of others, not a reload, and nobody who wants the workers gone.

use strict;
use warnings FATAL => 'all';
use TestNames;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;
use Time::HiRes qw(time);

# A receiver that takes connections and never says a word, and one that does not
# even take them: its backlog is full.
my $deaf = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1024) or die "cannot listen: $!";
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "cannot listen: $!";
my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 8;
my $ca = PostgreSQL::Test::Utils::tempdir() . '/ca.pem';
run_log([ qw(openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout /dev/null -out), $ca ], '2>', '/dev/null') or BAIL_OUT('openssl failed');
my $stand_in = StandIn->new(open => 1);
my ($here) = $stand_in->{url} =~ /:(\d+)$/;

my %urls = (
	deaf => 'http://127.0.0.1:' . $deaf->sockport,
	tls => 'https://127.0.0.1:' . $deaf->sockport,
	backlog => 'http://127.0.0.1:' . $full->sockport,
	names => 'http://a.hang.test',
	here => "http://crm.here.test:$here");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;

sub wait_for
{
	my ($node, $database, $condition, $name) = @_;
	ok($node->poll_query_until($database, "SELECT $condition"), $name)
	  or diag($node->safe_psql($database, 'SELECT effect_id, key, state, attempts, reason FROM workflow.effects; TABLE workflow.workers'));
	return;
}

# A database in which four calls of each kind hang.
sub hang_in
{
	my ($node, $database) = @_;
	my $sql = join '', map { "CREATE SERVER $_ FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$urls{$_}',
		dedup 'none', owner 'ops', ca_file '$ca', allow_http 'true', allow_private '127.0.0.0/8', timeout '10min', connect_timeout '10min', max_in_flight '256');" } sort keys %urls;

	$node->safe_psql('template1', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION pg_workflow; $sql");
	return hang_again($node, $database);
}

sub hang_again
{
	my ($node, $database) = @_;

	$node->safe_psql($database, q{
		SELECT count(workflow.call(endpoint, 'POST', '/x', '{}'))
		FROM unnest('{deaf,tls,backlog,names}'::text[]) AS endpoint, generate_series(1, 4);
		SELECT workflow.start_workers()});
	wait_for($node, $database, "sum(in_flight) >= 16 FROM workflow.workers", "$database: calls and look-ups hang");
	return;
}

# What is done while calls hang takes less than a second.  A machine that has
# other things to do gets three chances, each prepared anew.
sub is_quick
{
	my ($name, $do, $prepare) = @_;
	my @seconds;

	foreach my $chance (1 .. 3)
	{
		$prepare->() if $prepare;
		my $begin = time;
		$do->();
		push @seconds, sprintf '%.2f', time - $begin;
		last if $seconds[-1] < 1;
	}
	cmp_ok($seconds[-1], '<', 1, "$name: @seconds s");
	return;
}

sub http_pid { my ($node, $database) = @_; return $node->safe_psql($database, "SELECT pid FROM workflow.workers WHERE kind = 'http'") }

TestNames::start($node);

# others go on, also where look-ups take more descriptors than a process has at first
my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
run_log([ 'prlimit', '--pid', $postmaster, '--nofile=300:' ]) or BAIL_OUT('prlimit failed');
hang_in($node, 'one');
$node->safe_psql('one', q{
	SELECT count(workflow.call('names', 'POST', '/x', '{}')) FROM generate_series(1, 200)});
wait_for($node, 'one', "sum(in_flight) = 216 FROM workflow.workers", 'two hundred more look-ups hang');
sub is_called
{
	my ($key) = @_;
	return $node->poll_query_until('one', "SELECT state = 'succeeded' FROM workflow.effects WHERE key = '$key'");
}
sub call_here
{
	my ($key) = @_;
	$node->safe_psql('one', "SELECT workflow.call('here', 'PATCH', '/accounts/A-$key', '{}', '$key')");
	return is_called($key);
}
my $n = 0;
is_quick('a call to another name', sub { call_here('other' . ++$n) });

# a reload is seen
sub set_limit
{
	my ($limit) = @_;
	$node->safe_psql('one', "ALTER SYSTEM SET pg_workflow.max_in_flight = $limit");
	$node->reload;
	return;
}
is_quick('a reload', sub { set_limit(256); is_called('reload' . $n) }, sub {
	set_limit(216);
	$node->safe_psql('one', "SELECT workflow.call('here', 'PATCH', '/accounts/A-1', '{}', 'reload" . ++$n . "')") });
$node->safe_psql('one', "ALTER SERVER deaf OPTIONS (SET url '$urls{here}')");
is_quick('a changed endpoint', sub {
	$node->safe_psql('one', "SELECT workflow.call('deaf', 'PATCH', '/accounts/A-1', '{}', 'changed" . ++$n . "')");
	is_called("changed$n") });
$node->safe_psql('one', "ALTER SERVER deaf OPTIONS (SET url '$urls{deaf}')");

# an item is cancelled
$node->safe_psql('one', q{
	SELECT workflow.define('{
	  "workflow": "slow", "owner": "tester", "initial": "CALLING", "key": ["$.id"],
	  "queues": {"slow": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {"CALLING": {"http": {"endpoint": "names", "queue": "slow", "method": "POST", "path": "/x", "key": ["$.id"]},
	                         "on": {"ok": "DONE", "error": "DONE"}},
	             "DONE": {"final": "success"}}}');
	SELECT workflow.submit('slow', '{"id": "a"}')});
wait_for($node, 'one', "state = 'sending' FROM workflow.effects WHERE key = 'a'", 'the look-up of an item hangs');
is_quick('cancel()', sub { $node->safe_psql('one', "SELECT workflow.cancel('slow:a', 'enough')") });
is($node->safe_psql('one', "SELECT state, outcome FROM workflow.items WHERE key = 'a'"), 'CANCELLED|cancelled', 'it has ended');

# the worker is terminated, the workers are stopped
my $is_first = 1;
is_quick('pg_terminate_backend()', sub {
	my $pid = http_pid($node, 'one');
	$node->safe_psql('one', "SELECT pg_terminate_backend($pid, 20000)") },
	sub { hang_again($node, 'one') if !$is_first; $is_first = 0 });
wait_for($node, 'one', "count(*) = 0 FROM workflow.effects WHERE state = 'sending'", 'what it left is unknown');
is_quick('pg_workflow.workers = off', sub {
	$node->append_conf('postgresql.conf', 'pg_workflow.workers = off');
	$node->reload;
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_workflow http'") },
	sub {
		$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
		$node->reload;
		hang_again($node, 'one') });
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->reload;

is_quick('stop_workers()', sub { $node->safe_psql('one', 'SELECT workflow.stop_workers()') },
	sub { hang_again($node, 'one') });

# run() is interrupted
sub run_in_session
{
	my ($how) = @_;
	my $session = $node->background_psql('one', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	$node->safe_psql('one', "SELECT workflow.call('names', 'POST', '/x', '{}', 'run $how $pid')");
	$session->query_until(qr/running/, "\\echo running\nCALL workflow.run();\n");
	wait_for($node, 'one', "state = 'sending' FROM workflow.effects WHERE key = 'run $how $pid'", 'run() looks a name up');
	is_quick("$how of run()", sub {
		$node->safe_psql('one', "SELECT $how($pid)");
		$node->poll_query_until('one', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'") },
		);
	eval { $session->quit };
}
run_in_session($_) foreach 'pg_cancel_backend', 'pg_terminate_backend';

# the extension, the database, the server: preloaded, and not
my $ndatabases = 0;
sub is_rid_of
{
	my ($node, $force) = @_;
	my $name;
	my $prepare = sub { hang_in($node, $name = 'gone' . ++$ndatabases) };

	is_quick('DROP EXTENSION', sub { $node->safe_psql($name, 'DROP EXTENSION pg_workflow CASCADE') }, $prepare);
	is_quick("DROP DATABASE$force", sub { $node->safe_psql('postgres', "DROP DATABASE $name$force") }, $prepare);
	is_quick('a fast shutdown', sub { $node->stop('fast') },
		sub { TestNames::start($node) if !defined $node->{_pid}; $prepare->() });
	unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');
	return;
}
is_rid_of($node, '');
TestNames::start($plain);
is_rid_of($plain, ' WITH (FORCE)');

$stand_in->stop;
done_testing();
