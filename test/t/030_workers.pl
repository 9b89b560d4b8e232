# Workers come up wherever the extension is, get out of the way when asked, and
# cost nothing when idle.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

sub wait_for
{
	my ($node, $database, $condition, $name) = @_;
	ok($node->poll_query_until($database, "SELECT $condition"), $name);
	return;
}

sub is_running
{
	my ($kind, $count) = @_;
	$count //= 1;
	return
	  "count(*) = $count FROM workflow.workers WHERE kind = '$kind' AND state = 'running'";
}

my $maintenance_pid =
  "SELECT pid FROM workflow.workers WHERE kind = 'maintenance' AND state = 'running'";

# ------------------------------------------------- without preload or restart
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->start;
$plain->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

is($plain->safe_psql('postgres', 'SELECT count(*) FROM workflow.workers'),
	'0', 'nobody works before workers are started');
is( $plain->safe_psql('postgres',
		"SELECT ok FROM workflow.health() WHERE \"check\" = 'workers'"),
	'f',
	'health() says so');
is($plain->safe_psql('postgres', 'SELECT workflow.start_workers()'),
	'1', 'start_workers() starts the maintenance worker and waits for it');
my $pid = $plain->safe_psql('postgres', $maintenance_pid);
is($plain->safe_psql('postgres', 'SELECT workflow.start_workers()'),
	'1', 'a second call starts no second one');
is($plain->safe_psql('postgres', $maintenance_pid),
	$pid, 'it is the same process');
is( $plain->safe_psql(
		'postgres',
		"SELECT backend_type FROM pg_stat_activity WHERE pid = $pid"),
	'pg_workflow maintenance',
	'it has its backend type');
like(
	$plain->safe_psql('postgres',
		"SELECT severity, hint FROM workflow.health() WHERE \"check\" = 'preloaded'"
	),
	qr/warning.*shared_preload_libraries/,
	'health() says that it will not survive a restart');
my $set = "ALTER SYSTEM SET pg_workflow.secrets_dir = '/nowhere'";
isnt($plain->psql('postgres', $set), 0, 'a session without the library knows no setting')
  if $plain->pg_version < 17;    # from then on any prefix will do
is($plain->psql('postgres', "LOAD 'pg_workflow'; $set"), 0, 'one that has loaded it does');
is($plain->safe_psql('postgres', 'SELECT workflow.stop_workers()'),
	'1', 'stop_workers() ends it');
is($plain->safe_psql('postgres', is_running('maintenance', 0) =~ s/^/SELECT /r),
	't', 'and waits for the end');


$plain->safe_psql('postgres', 'CREATE DATABASE fresh');
my ($status, $out, $err) = $plain->psql('fresh',
	'BEGIN; CREATE EXTENSION pg_workflow; SELECT workflow.start_workers()');
like($err, qr/HINT:.*Commit CREATE EXTENSION/,
	'an extension that is not committed has no workers');
$plain->stop;

# ------------------------------------------------------------------ preloaded
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->start;

wait_for($node, 'postgres',
	"count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_workflow launcher'",
	'the launcher runs');
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');
wait_for($node, 'postgres', is_running('maintenance'),
	'CREATE EXTENSION brings a worker');
is( $node->safe_psql('postgres',
		'SELECT string_agg("check", \' \') FROM workflow.health() WHERE NOT ok'),
	'',
	'everything is healthy');

$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second',
	'BEGIN; CREATE EXTENSION pg_workflow; ROLLBACK; CREATE EXTENSION pg_workflow'
);
wait_for($node, 'second', is_running('maintenance'),
	'a second database gets its own');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE second');
$node->safe_psql('copy', 'SELECT workflow._wake_launcher()');
wait_for($node, 'copy', is_running('maintenance'),
	'a copy of a database that has workers can be made, and gets its own');
wait_for($node, 'second', is_running('maintenance'),
	'the one that was copied has its worker again');

$node->safe_psql('postgres', 'DROP DATABASE copy');
pass('DROP DATABASE does not wait for its workers');
my $begin = time;
$node->safe_psql('postgres', 'DROP DATABASE second WITH (FORCE)');
cmp_ok(time - $begin, '<', 3, 'DROP DATABASE WITH (FORCE) takes no time');

# an extension that a prepared transaction brings
$node->safe_psql('postgres', 'CREATE DATABASE third');
$node->safe_psql('third', 'CREATE EXTENSION pg_workflow');
wait_for($node, 'third', is_running('maintenance'), 'a third database has a worker');
$node->safe_psql('third', 'DROP EXTENSION pg_workflow');
wait_for($node, 'postgres',
	"count(*) = 0 FROM pg_stat_activity WHERE datname = 'third'", 'and has none without the extension');
$node->safe_psql('third', "BEGIN; CREATE EXTENSION pg_workflow; PREPARE TRANSACTION 'extension'");
wait_for($node, 'postgres',
	"count(*) = 1 FROM pg_stat_activity WHERE datname = 'third' AND query = 'waiting for a prepared transaction' AND state = 'idle'",
	'a worker waits for the second phase');
$node->safe_psql('third', "COMMIT PREPARED 'extension'");
wait_for($node, 'third', is_running('maintenance'), 'and stays');
$node->safe_psql('third', "DROP EXTENSION pg_workflow; BEGIN; CREATE EXTENSION pg_workflow; PREPARE TRANSACTION 'extension'");
$node->restart;
wait_for($node, 'postgres',
	"count(*) = 1 FROM pg_stat_activity WHERE datname = 'third' AND query = 'waiting for a prepared transaction'",
	'another one does after a restart');
$node->safe_psql('third', "ROLLBACK PREPARED 'extension'");
wait_for($node, 'postgres',
	"count(*) = 0 FROM pg_stat_activity WHERE datname = 'third'", 'and ends when nothing comes');
wait_for($node, 'postgres', is_running('maintenance'), 'the other databases have theirs');

# a worker that dies comes back
$pid = $node->safe_psql('postgres', $maintenance_pid);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
wait_for($node, 'postgres',
	is_running('maintenance') . " AND pid <> $pid",
	'a maintenance worker that was terminated comes back');

# a stopped one does not
$node->safe_psql('postgres', 'SELECT workflow.stop_workers()');
is( $node->safe_psql('postgres',
		"SELECT string_agg(kind || ' ' || state, ', ' ORDER BY kind) FROM workflow.workers"),
	'launcher running, maintenance stopped',
	'stop_workers() holds against the launcher');
$node->safe_psql('postgres', 'SELECT workflow.start_workers()');
wait_for($node, 'postgres', is_running('maintenance'),
	'start_workers() starts them again');

# dropped and created again
$node->safe_psql('postgres', 'DROP EXTENSION pg_workflow CASCADE');
wait_for($node, 'postgres',
	"count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance'",
	'DROP EXTENSION ends the workers');
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');
wait_for($node, 'postgres', is_running('maintenance'),
	'a new extension brings new ones');

# settings take effect on reload
$node->append_conf('postgresql.conf', 'pg_workflow.workers = off');
$node->reload;
wait_for($node, 'postgres',
	"count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance'",
	'pg_workflow.workers = off ends them');
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->reload;
wait_for($node, 'postgres', is_running('maintenance'), 'on brings them back');

# idle: no transaction in the database but our own questions
$node->safe_psql('postgres', 'CREATE DATABASE watcher');
my $commits =
  "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'";
wait_for($node, 'watcher',
	"count(*) = 0 FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'pg_workflow maintenance' AND state <> 'idle'",
	'the worker is idle');
my $before = $node->safe_psql('watcher', $commits);
my $rounds = 0;
$begin = time;
$rounds++ while time - $begin < 3 && $node->safe_psql('watcher', $commits) eq $before;
is($node->safe_psql('watcher', $commits),
	$before, 'idle workers run no transaction');

# restart, crash, fast shutdown
$node->restart;
wait_for($node, 'postgres', is_running('maintenance'),
	'workers are back after a restart');
$node->stop('immediate');
$node->start;
wait_for($node, 'postgres', is_running('maintenance'),
	'and after a crash');
$begin = time;
$node->stop('fast');
cmp_ok(time - $begin, '<', 5, 'a fast shutdown is fast');

done_testing();
