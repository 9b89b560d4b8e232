# The figures of queues are the same as what a look at all jobs finds: after a
# restart, a crash, prepared transactions and a restore, while others change jobs
# as they are counted, and where nothing is preloaded.  A million jobs make them
# no dearer to read.

use strict;
use warnings FATAL => 'all';
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "fsync = off\nmax_wal_size = 4GB\nautovacuum = off");
$node->start;
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
my $figures = q{SELECT queue, ready, delayed, running, waiting, dead FROM workflow.queues ORDER BY queue};
sub is_right
{
	my ($name, $expected, $database) = @_;
	is(sql($figures, $database), $expected, $name) if defined $expected;
	is(sql('SELECT * FROM workflow._wrong_figures()', $database), '', "$name: as found by a look at all jobs");
	return;
}

# Whether the next look is at memory: what is not committed cannot be seen there.
sub are_kept
{
	my ($database) = @_;
	return sql(q{
		BEGIN;
		SELECT ready + delayed AS before FROM workflow.queues WHERE queue = 'many' \gset
		SELECT FROM workflow.enqueue('many', '1', key => 'unseen');
		SELECT ready + delayed = :before FROM workflow.queues WHERE queue = 'many';
		ROLLBACK;
	}, $database);
}

sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('many', 'tester', '1 hour', '{boss}');
	SELECT workflow.create_queue('few', 'tester', '1 hour', '{boss}');
});
is_right('at first', "few|0|0|0|0|0\nmany|0|0|0|0|0");

# A million jobs of the table, and ten thousand of the lane.
sql(q{
	INSERT INTO workflow.job (queue, run_at, created_at)
	SELECT 'many', now() + (n - 500000) * interval '1 second', now() FROM generate_series(1, 1000000) AS n;
	SELECT count(workflow.enqueue_many('few', array_fill('1'::jsonb, '{1000}'))) FROM generate_series(1, 10);
});
sub buffers
{
	my ($view) = @_;
	my $plan = decode_json(sql(qq{
		DO 'BEGIN PERFORM count(*) FROM workflow.$view; END';
		EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM workflow.$view}))->[0]{Plan};
	return $plan->{'Shared Hit Blocks'} + $plan->{'Shared Read Blocks'};
}
foreach my $view ('queues', 'queue_stats')
{
	cmp_ok(buffers($view), '<', 50, "a look at $view touches few buffers");
}
my $halves = q{SELECT ready + delayed, abs(ready - 500000) < 2000, oldest_ready_at < now() - interval '5 days' FROM workflow.queues WHERE queue = 'many'};
is(sql($halves), '1000000|t|t', 'and counts a million jobs');

# Counted anew after a restart and after a crash.
$node->restart;
is(sql($halves), '1000000|t|t', 'after a restart');
is(are_kept(), 't', 'in memory');
cmp_ok(buffers('queues'), '<', 50, 'with few buffers');
sql(q{SET session_replication_role = replica; DELETE FROM workflow.job WHERE job_id % 1000 <> 0});
is(sql(q{SELECT ready + delayed FROM workflow.queues WHERE queue = 'many'}), '1000', 'those that were deleted do not count');
sub leave_now
{
	sql(q{UPDATE workflow.job SET run_at = run_at + CASE WHEN run_at < now() + interval '1 minute' THEN -interval '1 day' ELSE interval '1 day' END WHERE status = 'ready'});
	return;
}
leave_now();
is_right('what is far from now');
my $before = sql($figures);
$node->stop('immediate');
$node->start;
is_right('after a crash', $before);

# A prepared transaction counts when it is committed, whoever does so, and though
# the server has started meanwhile.
sub prepare
{
	my ($gid, $key) = @_;
	sql("BEGIN; SELECT workflow.enqueue('few', '1', key => '$key'); SELECT workflow.enqueue('few', '1'); PREPARE TRANSACTION '$gid'");
	return;
}
my $few = q{SELECT ready FROM workflow.queues WHERE queue = 'few'};
prepare('one', 'a');
prepare('two', 'b');
prepare('three', 'c');
is(sql($few), '10000', 'what is prepared does not count');
sql("COMMIT PREPARED 'one'");
is(sql($few), '10002', 'what is committed does');
sql("ROLLBACK PREPARED 'two'");
is(sql($few), '10002', 'what is rolled back does not');
$node->restart;
is(sql($few), '10002', 'nor what is still prepared after a restart');
is(are_kept(), 't', 'in memory');
sql("COMMIT PREPARED 'three'");
is(sql($few), '10004', 'before it is committed');
is_right('after prepared transactions');

# Many change jobs, of both kinds, while they are counted again and again.
my $script = $node->basedir . '/load.sql';
append_to_file($script, <<'END');
\set n random(1, 100)
BEGIN;
SELECT workflow.enqueue('few', '1', key => 'k' || :n, run_at => now() + (:n % 3) * interval '1 hour');
SAVEPOINT one;
SELECT workflow.enqueue('many', '1', priority => 1);
SELECT workflow.enqueue('many', '1');
\if :n < 30
ROLLBACK TO one;
\endif
COMMIT;
SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('few', 'w', 3);
SELECT workflow.fail(job_id, token, 'unavailable', 'x') FROM workflow.claim('many', 'w', 2);
END
my ($in, $out) = ('', '');
my $clients = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '6', '-j', '2', '-T', '60', '-f', $script, $node->connstr('postgres') . ' application_name=pgbench' ],
	'<', \$in, '>', \$out, '2>', \$out);
foreach my $round (1 .. 40)
{
	prepare("round$round", "round$round");
	sql("COMMIT PREPARED 'round$round'");
	sql($figures);
}
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'});
$clients->kill_kill;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'}), 'the clients are gone');
leave_now();
is_right('after many changes');
is(are_kept(), 't', 'in memory');
cmp_ok(sql(q{SELECT (SELECT sum(finish_rate[1]) FROM workflow.queue_stats) > 0 AND (SELECT p95_run > p50_run FROM workflow.queue_stats WHERE queue = 'few')}), 'eq', 't', 'rates and durations are there');

# A restored copy counts its own jobs; and where nothing is preloaded each look
# is at all of them.
$before = sql($figures);
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'a dump');
sql('CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('copy'), $dump ], 'is restored');
is_right('in the copy', $before, 'copy');
is(are_kept('copy'), 't', 'in memory, too');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
is_right('without preload', $before);
is(are_kept(), 'f', 'by looking');
is(sql(q{SELECT enqueue_rate IS NULL AND p95_run IS NULL FROM workflow.queue_stats WHERE queue = 'few'}), 't', 'without rates');

done_testing();
