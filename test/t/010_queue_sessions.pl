# Claims that are bound to a session come back within a second of its end,
# however it ends; claims with a lease outlive it.  No worker has a part in it.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\nrestart_after_crash = on");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', retry => '{"max_attempts": 20}');
	SELECT workflow.create_queue('poison', 'ops', '10 minutes', '{ops-lead}', retry => '{"max_attempts": 2}');
	SELECT workflow.enqueue('mail', '"letter"');
});

# A session that has claimed the letter and stays.
sub claiming_session
{
	my ($queue, $lease) = @_;
	my $session = $node->background_psql('postgres', on_error_die => 1);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	is( $session->query_safe(
			"SELECT count(*) FROM workflow.claim('$queue', 'holder', 5, $lease)"),
		'1',
		"a session claims the job of $queue");
	return ($session, $pid);
}

# Another one waits for it; returns its attempt and how long it took.
sub claim_when_free
{
	my ($queue) = @_;
	my $began = time;
	my $attempt = $node->safe_psql('postgres',
		"SELECT attempt FROM workflow.claim('$queue', 'next', 5, '1 hour', wait => '30 s')"
	);
	return ($attempt, time - $began);
}

sub give_back
{
	$node->safe_psql('postgres',
		"SELECT workflow.release(job_id, token) FROM workflow.job WHERE status = 'running'"
	);
	return;
}

sub is_soon
{
	my ($name, $expected) = @_;
	my ($attempt, $seconds) = claim_when_free('mail');
	is($attempt, $expected, "$name: the job comes back, charged");
	cmp_ok($seconds, '<', 1, "$name: within a second");
	give_back();
	return;
}

# ------------------------------------------------------- ends of a session
my ($session, $pid) = claiming_session('mail', 'NULL');
is($node->safe_psql('postgres', "SELECT count(*) FROM workflow.claim('mail', 'other')"),
	'0', 'while the session lives nobody else gets the job');
$session->quit;
is_soon('a session that quits', 2);

($session, $pid) = claiming_session('mail', 'NULL');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
is_soon('a terminated session', 3);

# a claim that is still in an open transaction is undone with it, uncharged
$session = $node->background_psql('postgres', on_error_die => 1);
$pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe("BEGIN; SELECT count(*) FROM workflow.claim('mail', 'holder')");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
is_soon('a session terminated in the transaction of its claim', 3);

# one who waits already is woken by the end of the session, not by a time-out
($session, $pid) = claiming_session('mail', 'NULL');
my $waiting = $node->background_psql('postgres', on_error_die => 1);
my $waiting_pid = $waiting->query_safe('SELECT pg_backend_pid()');
$waiting->query_until(qr/asking/,
	"\\echo asking\nSELECT 'got ' || attempt FROM workflow.claim('mail', 'next', 1, '1 hour', wait => '30 s');\n");
ok( $node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $waiting_pid"),
	'another session waits for the job');
my $ended_at = time;
$session->quit;
$waiting->query_until(qr/got 4/, '');
cmp_ok(time - $ended_at, '<', 1, 'it gets the job within a second of the end of the session');
$waiting->quit;
give_back();

# ends in the middle of a failed transaction do no harm
$session = $node->background_psql('postgres', on_error_stop => 0);
$pid = $session->query('SELECT pg_backend_pid()');
$session->query("SELECT count(*) FROM workflow.claim('mail', 'holder')");
$session->query('BEGIN; SELECT 1 / 0;');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
is_soon('a session terminated in a failed transaction', 5);

# ----------------------------------------------------------------- leases
($session, $pid) = claiming_session('mail', q{'1 hour'});
$session->quit;
is($node->safe_psql('postgres', "SELECT count(*) FROM workflow.claim('mail', 'other')"),
	'0', 'a claim with a lease outlives its session');
give_back();

# ------------------------------------------ prepared by a session that is gone
$node->safe_psql('postgres',
	"BEGIN; SELECT count(*) FROM workflow.claim('mail', 'holder'); PREPARE TRANSACTION 'claimed'");
$node->safe_psql('postgres', "COMMIT PREPARED 'claimed'");
is_soon('a claim committed after its session ended', 6);

# ------------------------------------------------------- a lock in the way
($session, $pid) = claiming_session('mail', 'NULL');
my $locker = $node->background_psql('postgres', on_error_die => 1);
$locker->query_safe('BEGIN; LOCK TABLE workflow.job IN ACCESS EXCLUSIVE MODE');
my $began = time;
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
cmp_ok(time - $began, '<', 5, 'a session does not wait for a lock to end');
$locker->query_safe('COMMIT');
$locker->quit;
is_soon('a session that could not give back', 7);

# ------------------------------ who looked at the processes before it started
my $observer = $node->background_psql('postgres', on_error_die => 1);
$observer->query_safe('BEGIN; SELECT count(*) FROM pg_stat_activity');
my $newcomer = $node->background_psql('postgres', on_error_die => 1);
my $who = $newcomer->query_safe(
	q{SELECT format('%s, %L', pid, backend_start) FROM pg_stat_get_activity(pg_backend_pid())});
is($observer->query_safe("SELECT workflow._session_lives($who)"),
	't', 'a process that started after a look is alive all the same');
is($observer->query_safe("SELECT workflow._session_lives(@{[$who =~ s/,.*//r]}, '-infinity')"),
	'f', 'one that had its number before is not');
$newcomer->quit;
my $lives;
do { $lives = $observer->query_safe("SELECT workflow._session_lives($who)") } until $lives eq 'f';
is($lives, 'f', 'and is missed when it has ended');
$observer->query_safe('COMMIT');
$observer->quit;

# ------------------------------------------------------------------ crashes
($session, $pid) = claiming_session('mail', 'NULL');
my $checkpointer = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'});
kill 'KILL', $pid;
ok( $node->poll_query_until('postgres',
		"SELECT pid <> $checkpointer FROM pg_stat_activity WHERE backend_type = 'checkpointer'"),
	'the server is back after kill -9');
is_soon('a session killed with -9', 8);

($session, $pid) = claiming_session('mail', 'NULL');
$node->stop('immediate');
$node->start;
is_soon('an immediate stop', 9);

# ------------------------------------------------------------------- poison
$node->safe_psql('postgres', "SELECT workflow.enqueue('poison', '{}')");
for (1 .. 2)
{
	($session, $pid) = claiming_session('poison', 'NULL');
	$session->quit;
	ok( $node->poll_query_until('postgres',
			"SELECT status <> 'running' FROM workflow.job WHERE queue = 'poison'"),
		'its session ends with the job unfinished');
}
is( $node->safe_psql('postgres',
		"SELECT queue, owner, error_class, attempts FROM workflow.dead_letters"),
	'poison|ops|poison|2',
	'a job whose sessions end again and again is a dead letter');

# ----------------------------------------------- waiting without a snapshot
give_back();
$node->safe_psql('postgres', "SET session_replication_role = replica; DELETE FROM workflow.job WHERE queue = 'mail'");
my $waiter = $node->background_psql('postgres', on_error_die => 1);
$pid = $waiter->query_safe('SELECT pg_backend_pid()');
$waiter->query_until(qr/waiting/, "\\echo waiting\nCALL workflow.wait_for_job('mail', '1 minute');\n\\echo done\n");
ok( $node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Extension' AND backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = $pid"
	),
	'wait_for_job() holds no snapshot while it waits');
$node->safe_psql('postgres', "SELECT workflow.enqueue('mail', '{}')");
$waiter->query_until(qr/done/, '');
ok(1, 'wait_for_job() returns when a job is committed');
$waiter->quit;

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|FATAL:.*pg_workflow/, 'nothing failed on the way out');

$node->stop;
done_testing();
