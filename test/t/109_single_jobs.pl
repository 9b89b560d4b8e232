# Jobs that go through a queue cost the commits of their clients, and hardly any of
# the maintenance worker: it is not woken by each of them while it may not look yet.
# It writes the rows of claims that last; those that are in memory only go on when lanes
# are built anew, and what has survived a crash is claimed on disk at once.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("autovacuum = off\nrestart_after_crash = on\nmax_prepared_transactions = 0");
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
sub commits
{
	return sql(q{SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'}, 'watcher');
}

sql('CREATE DATABASE watcher');
my $before = commits();

# The new queue, and its other SLA, ask for a look for alerts at once; the next look
# comes a second later at the earliest, and jobs come all the time.
my $njobs = sql(q{
	CREATE TABLE done (n bigint);
	SELECT workflow.create_queue('mail', 'ops', '1 hour', '{lead}');
	DO $$
	DECLARE
		n bigint := 0;
		since timestamptz := clock_timestamp();
		is_altered boolean := false;
	BEGIN
		WHILE clock_timestamp() < since + interval '4 s' LOOP
			IF NOT is_altered AND clock_timestamp() > since + interval '2 s' THEN
				PERFORM workflow.alter_queue('mail', '{"sla": "2 hours"}');
				is_altered := true;
				COMMIT;
			END IF;
			PERFORM workflow.enqueue('mail', to_jsonb(n));
			COMMIT;
			PERFORM workflow.complete(job_id, token) FROM workflow.claim('mail', 'w');
			COMMIT;
			n := n + 1;
		END LOOP;
		INSERT INTO done VALUES (n);
	END $$;
	DO 'BEGIN PERFORM pg_stat_force_next_flush(); END';
	TABLE done});
$njobs =~ s/\s//g;
cmp_ok($njobs, '>', 400, "$njobs jobs are done");
ok($node->poll_query_until('watcher', qq{
		SELECT xact_commit - $before >= 2 * $njobs FROM pg_stat_database WHERE datname = 'postgres'}), 'their commits are counted');
cmp_ok(commits() - $before, '<', 2 * $njobs + 400, 'nearly all are those of the client');

# ------------------------------------------------------------ claims that last
my $rows = q{SELECT count(*) FROM workflow.segment_1 WHERE job_ids IS NOT NULL};
my $maintenance = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance' AND datname = 'postgres'};
my $running = q{SELECT string_agg(payload::text, ',' ORDER BY job_id) FROM workflow.jobs WHERE status = 'running' AND worker = 'holder'};
my $claim = q{SELECT job_id, token FROM workflow.claim('mail', 'holder')};
my $holder;
# Between two things that it does.
sub stop_maintenance
{
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($maintenance AND state = 'idle') AS m"), 'the maintenance worker rests');
	my $pid = sql($maintenance);
	kill('STOP', $pid);
	return $pid;
}
sub begin_session
{
	$holder = $node->background_psql('postgres', on_error_stop => 0);
	return;
}
sub claim
{
	my ($id, $token) = split /\|/, $holder->query_safe($claim);
	return "$id, '$token'";
}

is(sql($rows), '0', 'claims that ended at once have left no row');
sql(q{SELECT workflow.enqueue_many('mail', '{1,2,3,4}')});
begin_session();
my @claims = (claim());
ok($node->poll_query_until('postgres', "SELECT ($rows) = 1"), 'the row of one that lasts is written');
my $pid = stop_maintenance();
push @claims, claim();
$holder->query_safe('BEGIN; CREATE TEMP TABLE t (n int)');
push @claims, claim();
$holder->query_safe('COMMIT');
is(sql($rows), '2', 'at once only where the transaction writes other things');
sql('VACUUM FULL workflow.segment_1');
is($node->psql('postgres', q{SELECT workflow.claim('mail', 'w')}), 3, 'the segment is rewritten');
is(sql(q{SELECT payload FROM workflow.claim('mail', 'w', 10, '1 hour')}), '4', 'others get what is not claimed');
is(sql($running), '1,2,3', 'claims go on, with a row or without');
my $rewriter = $node->background_psql('postgres');
$rewriter->query_safe('BEGIN; LOCK TABLE workflow.segment_1');
my $now = sql('SELECT clock_timestamp()');
kill('CONT', $pid);
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($maintenance AND state = 'idle' AND state_change > '$now') AS m"), 'who rewrites the segment is not waited for');
$rewriter->query_safe('COMMIT');
$rewriter->quit;
ok($node->poll_query_until('postgres', "SELECT ($rows) = 4"), 'then what was left is written');
$holder->query_safe("SELECT workflow.complete($_)") foreach @claims;
is(sql(q{SELECT count(*) FROM workflow.attempts WHERE worker = 'holder' AND outcome = 'ok'}), '3', 'each ends by its token');

# --------------------------------------------------------------------- a crash
sql(q{SELECT workflow.enqueue_many('mail', '{5,6}')});
my ($five) = split /,/, claim();
ok($node->poll_query_until('postgres', "SELECT ($rows) = 5"), 'a claim is on disk');
$pid = stop_maintenance();
my ($six) = split /,/, claim();
is(sql($running), '5,6', 'and another one in memory');
kill('KILL', $pid);
$holder->{run}->finish;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($maintenance AND pid <> $pid) AS m"), 'the server is back');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM workflow.attempts WHERE job_id = $five AND outcome = 'lost'"), 'the one is charged');
$pid = stop_maintenance();
begin_session();
claim() foreach 1 .. 2;
is(sql("SELECT attempts FROM workflow.jobs WHERE job_id = $five AND worker = 'holder'"), '2', 'and given to somebody again');
is(sql("SELECT attempts FROM workflow.jobs WHERE job_id = $six AND worker = 'holder'"), '1', 'the other is not');
is(sql("SELECT count(*) FROM workflow.segment_1 WHERE job_ids = ARRAY[$six]::bigint[]"), '1', 'but is on disk at once now');
kill('CONT', $pid);
$holder->quit;

$node->stop;
done_testing();
