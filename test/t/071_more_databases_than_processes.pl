# More databases than background workers: the launcher lets their maintenance workers
# take turns, so that what is due gets done everywhere, soon, and an idle server is idle.
#
# With more databases at rest than the library keeps entries for, which takes one that is
# built for it, all is done all the same, later; to be tried where all is built anew:
#   make clean; WF_FEW_RESTS=1 make COPT=-DMAX_RESTS=2 check-tap TESTS=071

use strict;
use warnings FATAL => 'all';
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my @databases = map { "d$_" } 1 .. 8;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
# the launcher, that of logical replication, and two more; starts are logged
$node->append_conf('postgresql.conf', q{
	pg_workflow.workers = on
	max_worker_processes = 4
	restart_after_crash = on
	log_min_messages = debug1});
$node->start;
sub query { return $node->safe_psql($_[0], "SELECT $_[1]") }

sub wait_for
{
	my ($database, $condition, $name) = @_;
	ok($node->poll_query_until($database, "SELECT $condition"), $name)
	  or diag($node->safe_psql($database, q{TABLE workflow.workers; SELECT datname, backend_type, state, query FROM pg_stat_activity WHERE backend_type LIKE 'pg_workflow%'}));
	return;
}

# The same in all databases, and how long that takes.
sub wait_everywhere
{
	my ($condition, $limit, $name) = @_;
	my $begin = time;
	wait_for($_, $condition, "$_: $name") foreach @databases;
	cmp_ok(time - $begin, '<', $limit, "$name: all of them within $limit seconds");
	return;
}

sub starts { return scalar(() = slurp_file($node->logfile) =~ /starting background worker process "pg_workflow/g) }
sub everywhere { my ($sql) = @_; $node->safe_psql($_, $sql) foreach @databases; return }

foreach my $database (@databases)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, q{
		CREATE EXTENSION pg_workflow;
		CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
		SELECT workflow.create_queue('tasks', 'me', '1 hour', '{you}');
		SELECT workflow.define('{"workflow": "rest", "owner": "me", "initial": "REST",
		  "states": {"REST": {"wait": {"for": "1 second"}, "on": {"ok": "END"}}, "END": {"final": "end"}}}');
		SELECT workflow.define('{"workflow": "work", "owner": "me", "initial": "RUN",
		  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
		  "states": {"RUN": {"sql": {"function": "public.work", "queue": "q"}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "end"}}}')});
}

# Timers fire and activities are run, everywhere.
everywhere(q{SELECT workflow.submit('rest', '{}')});
wait_everywhere(q{count(*) = 1 FROM workflow.items WHERE workflow = 'rest' AND outcome = 'end'}, 60, 'timers fire');
everywhere(q{SELECT workflow.submit('work', '{}')});
wait_everywhere(q{count(*) = 1 FROM workflow.items WHERE workflow = 'work' AND outcome = 'end'}, 60, 'activities are run');

if ($ENV{WF_FEW_RESTS})
{
	foreach my $round (2 .. 3)
	{
		everywhere(qq{SELECT workflow.submit('rest', '{}', key => 'round $round')});
		wait_everywhere(qq{count(*) = $round FROM workflow.items WHERE workflow = 'rest' AND outcome = 'end'}, 120, "timers fire again");
		is(scalar(grep { query($_, q{count(*) FROM workflow.workers WHERE kind = 'maintenance' AND state = 'resting'}) } @databases) <= 2, 1, 'with few entries');
	}
	done_testing();
	exit;
}

# What a resting worker would have to see wakes it, however late that comes.
my $holder = $node->background_psql('d1');
$node->safe_psql('d1', q{SELECT workflow.enqueue('tasks', '1')});
wait_for('d1', "state = 'resting' FROM workflow.workers WHERE kind = 'maintenance'", 'the worker of a database rests');
like(query('d1', "doing FROM workflow.workers WHERE kind = 'maintenance'"), qr/^nothing is due/, 'and says what for');
is($holder->query_safe(q{SELECT count(*) FROM workflow.claim('tasks', 'holder', 1, '2 seconds')}), '1', 'a session there claims a job');
wait_for('d1', q{ready = 1 FROM workflow.queues WHERE queue = 'tasks'}, 'it is back when the lease has ended');
$holder->quit;
is(query('d1', q{ok FROM workflow.health() WHERE "check" = 'worker_processes'}), 'f', 'health() warns that processes are few');
like(query('d1', q{detail || hint FROM workflow.health() WHERE "check" = 'worker_processes'}),
	qr/take turns.*Raise max_worker_processes/, 'says that databases take turns, and what to do');
is(query('d1', q{count(*) FROM workflow.health() WHERE "check" = 'workers' AND severity <> 'ok'}), '0', 'which is no error');
my ($status, $out, $err) = $node->psql('d8', q{SELECT workflow.submit('rest', '{}', key => 'k')});
is($err, '', 'nobody says that there is no worker');
wait_for('d8', "count(*) = 2 FROM workflow.items WHERE outcome = 'end' AND workflow = 'rest'", 'nor is it so');
cmp_ok($node->safe_psql($_, 'SELECT workflow.start_workers()'), '>=', 1, "$_: start_workers() gets its worker") foreach qw(d1 d4 d7);

# Work without end in two databases keeps the others from nothing: an sql worker goes
# after a batch, an http worker when its calls are back, and both get their turn again.
my $slow = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16) or die "cannot listen: $!";
my $server = fork // die "cannot fork: $!";
if (!$server)
{
	$SIG{TERM} = 'DEFAULT';    # the parent's handler would end its servers
	my $parent = getppid;
	while (getppid == $parent)
	{
		my $client = $slow->accept or next;
		sysread($client, my $request, 65536);
		select undef, undef, undef, 0.3;
		syswrite($client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
	}
	require POSIX;
	POSIX::_exit(0);
}
$node->safe_psql('d1', q{
	CREATE FUNCTION slow_work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb FROM pg_sleep(0.3)';
	SELECT workflow.define('{"workflow": "slow", "owner": "me", "initial": "RUN",
	  "states": {"RUN": {"sql": {"function": "public.slow_work", "queue": "q"}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "end"}}}');
	SELECT count(*) FROM workflow.submit_many('slow', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 1000) AS n))});
$node->safe_psql('d2', 'CREATE SERVER slow FOREIGN DATA WRAPPER workflow_http OPTIONS (url \'http://127.0.0.1:' . $slow->sockport . q{',
	  allow_http 'true', allow_private '127.0.0.0/8', dedup 'key', max_in_flight '1');
	SELECT count(workflow.call('slow', 'POST', '/', '{}')) FROM generate_series(1, 1000)});
my $ran = q{count(*) > 0 FROM workflow.items WHERE workflow = 'slow' AND outcome = 'end'};
my $called = q{count(*) > 0 FROM workflow.effects WHERE state = 'succeeded'};
wait_for('d1', $ran, 'd1 has work');
wait_for('d2', $called, 'd2 has its turn');
$node->safe_psql('d3', q{SELECT workflow.submit('work', '{}', key => 'in between')});
wait_for('d3', q{count(*) = 1 FROM workflow.items WHERE key = 'in between' AND outcome = 'end'}, 'so has d3');
my ($nran, $ncalled) = (query('d1', "count(*) FROM workflow.items WHERE workflow = 'slow' AND outcome = 'end'"), query('d2', "count(*) FROM workflow.effects WHERE state = 'succeeded'"));
wait_for('d1', $ran =~ s/0/$nran/r, 'and d1 again');
wait_for('d2', $called =~ s/0/$ncalled/r, 'and d2 again');
$node->safe_psql('postgres', "DROP DATABASE $_") foreach qw(d1 d2);
@databases = grep { !/^d[12]$/ } @databases;
kill('TERM', $server);

# Nothing to do anywhere: nobody is started, and the launcher sleeps.
sub is_idle
{
	my ($before) = starts();
	my $until = time + 5;
	$node->safe_psql('postgres', 'SELECT pg_sleep(0.5)') while time < $until && starts() == $before;
	return starts() == $before;
}
sub ticks
{
	my ($pid) = @_;
	my @fields = split(' ', slurp_file("/proc/$pid/stat") =~ s/^.*\)//r);
	return $fields[11] + $fields[12];
}
my $tries = 0;
$tries++ until is_idle() || $tries == 20;
cmp_ok($tries, '<', 20, 'starts come to an end');
my $launcher = query('d3', "pid FROM workflow.workers WHERE kind = 'launcher'");
my ($ticks, $starts, $until) = (ticks($launcher), starts(), time + 30);
$node->safe_psql('postgres', 'SELECT pg_sleep(1)') while time < $until;
cmp_ok(starts() - $starts, '<=', 1, 'in half an idle minute at most one worker is started');
cmp_ok(ticks($launcher) - $ticks, '<=', 10, 'and the launcher needs next to no time');

# One that is killed takes the server with it, and all have their turn again.
$node->safe_psql('d3', q{SELECT workflow.submit('rest', '{}', key => 'before the crash')});
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance'"), 'a worker is there');
my $victim = query('postgres', "min(pid) FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance'");
kill('KILL', $victim);
ok($node->poll_query_until('postgres', "SELECT min(pid) <> $victim FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance'"), 'the server is back');
everywhere(q{SELECT workflow.submit('rest', '{}', key => 'after the crash')});
wait_everywhere("count(*) = 1 FROM workflow.items WHERE key = 'after the crash' AND outcome = 'end'", 40, 'timers fire after a crash');
my $begin = time;
$node->stop('fast');
cmp_ok(time - $begin, '<', 5, 'a fast shutdown is fast');

# No process at all: everybody says so, and nobody goes on about it.
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->start;
$node->safe_psql('d3', q{SELECT workflow.submit('rest', '{}', key => 'lacking')});
wait_for('d3', "state = 'lacking' FROM workflow.workers WHERE kind = 'maintenance'", 'a database lacks its worker');
like(query('d3', q{detail || ' ' || hint FROM workflow.health() WHERE "check" = 'workers' AND NOT ok}),
	qr/one is wanted since .* Raise max_worker_processes/, 'health() says since when, and what to do');
my $said = qr/LOG:  no background worker is free for pg_workflow/;
ok($node->wait_for_log($said, 0), 'so does the log');
sub said { return scalar(() = slurp_file($node->logfile) =~ /$said/g) }
$until = time + 12;
$node->safe_psql('postgres', 'SELECT pg_sleep(1)') while time < $until;
is(said(), 1, 'once');

# Three: the last process goes to one after the other, and activities, which need two,
# keep it from nobody.
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
everywhere(q{SELECT workflow.submit('work', '{}', key => 'no process')});
everywhere(q{SELECT workflow.submit('rest', '{}', key => 'one process')});
wait_everywhere("count(*) = 1 FROM workflow.items WHERE key = 'one process' AND outcome = 'end'", 120, 'timers fire with one process for all');
$node->safe_psql('postgres', $_) foreach 'CREATE DATABASE copy TEMPLATE d8', 'ALTER DATABASE copy ALLOW_CONNECTIONS false';
$node->safe_psql('postgres', 'DROP DATABASE copy');
$node->safe_psql('d8', q{SELECT workflow.submit('rest', '{}', key => 'copied')});
wait_for('d8', "count(*) = 1 FROM workflow.items WHERE key = 'copied' AND outcome = 'end'", 'the one that was copied is served as before');
# Who is in a database that is dropped leaves, and nobody comes meanwhile; else the
# server refuses to drop it, after five seconds.
my $dropper = $node->background_psql('postgres', on_error_stop => 0);
my $dropper_pid = $dropper->query_safe('SELECT pg_backend_pid()');
foreach my $database (@databases)
{
	my $ours = "FROM pg_stat_activity WHERE datname = '$database' AND backend_type LIKE 'pg_workflow%'";
	my %before = map { $_ => 1 } split(/\n/, $node->safe_psql('postgres', "SELECT pid $ours"));
	my %came;
	my $busy = 1;
	$dropper->query_until(qr/begun/, "\\echo begun\nDROP DATABASE $database;\nSELECT 'over';\n");
	while ($busy)
	{
		$came{$_}++ foreach grep { !$before{$_} } split(/\n/, $node->safe_psql('postgres', "SELECT pid $ours"));
		$busy = $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $dropper_pid AND NOT (state = 'idle' AND query ~ 'over')");
	}
	is(join(',', keys %came), '', "no worker comes into $database while it is dropped");
	is(query('postgres', "count(*) FROM pg_database WHERE datname = '$database'"), '0', 'and nobody holds it');
}
$dropper->quit;
unlike(slurp_file($node->logfile), qr/pg_workflow \w+ (WARNING|ERROR)/, 'no worker complained');

$node->stop;
done_testing();
