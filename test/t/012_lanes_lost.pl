# What is left of claims in lanes when sessions, or the server, end in the
# middle; and a server that has no room for lanes, or was not told of them at
# its start.  The server keeps checksums, so that it also writes log when a page
# is only read.

use strict;
use warnings FATAL => 'all';
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => ['--data-checksums']);
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "wal_writer_delay = 10s\nmax_prepared_transactions = 0\nrestart_after_crash = on");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
my $retry = q{'{"max_attempts": 9, "backoff": {"initial": "1 ms", "max": "1 ms", "jitter": "none"}}'};
sql(qq{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('work', 'tester', '1 hour', '{boss}', retry => $retry)});

# A lease outlives the server.
sql(q{SELECT workflow.enqueue('work', '"leased"')});
my $claim = sql(q{SELECT job_id, quote_literal(token) FROM workflow.claim('work', 'w', 1, '1 hour')});
my ($job, $token) = split /\|/, $claim;
$node->stop('immediate');
$node->start;
is(sql(q{SELECT ready, running FROM workflow.queues}), '0|1', 'a lease that was given is not forgotten');
sql("SELECT workflow.complete($job, $token)");
is(sql(q{SELECT ready, running FROM workflow.queues}), '0|0', 'and its holder completes the job');

# A claim that is bound to its session does not wait for the disk: the server may
# forget it, and then it was never made.
my $bound = $node->background_psql('postgres');
$bound->query_safe(q{SELECT workflow.enqueue('work', '"bound"'); SELECT pg_switch_wal()});
is($bound->query_safe(q{SELECT payload FROM workflow.claim('work', 'w')}), '"bound"', 'a claim without a lease');
$node->stop('immediate');
$bound->{run}->finish;
$node->start;
is(sql(q{WITH c AS (SELECT * FROM workflow.claim('work', 'w')) SELECT attempt, workflow.complete(job_id, token) FROM c}), '1|', 'is not charged, when the server forgets it');

# A heartbeat writes nothing, and is for the jobs that it names.  After a crash
# the lease is the one that was claimed.
sub wal_records
{
	my ($statement) = @_;
	return decode_json(sql("EXPLAIN (ANALYZE, WAL, FORMAT JSON) $statement"))->[0]{Plan}{'WAL Records'};
}
my $mine = q{FROM mine WHERE payload <> '3'};
my $ready = q{SELECT ready, running FROM workflow.queues WHERE queue = 'work'};
sql(q{
	SELECT workflow.enqueue_many('work', '{1,2,3,4}');
	CREATE TABLE mine AS SELECT * FROM workflow.claim('work', 'w', 3, '2 seconds')});
is(wal_records("SELECT workflow.extend_many(array_agg(job_id), array_agg(token), '1 minute') $mine"), 0, 'heartbeats of many jobs write nothing');
is(wal_records("SELECT workflow.extend(job_id, token, '1 hour') $mine"), 0, 'nor do those of each');
is(wal_records(q{SELECT workflow.claim('work', 'w', 1, '1 hour')}) > 0, 1, 'which a claim does');
is(sql('SELECT count(*) FROM workflow.job'), '0', 'and the jobs stay in their lane');
is(sql("SELECT count(*) FROM workflow._lane_jobs() WHERE lease_until > now() + interval '50 minutes'"), '3', 'with a longer lease');
is($node->psql('postgres', "SELECT workflow.extend_many(array_agg(job_id), array_agg(CASE payload WHEN '3' THEN 'x' ELSE token END), '1 day') FROM mine"),
	3, 'all or none are extended');
is(sql("SELECT count(*) FROM workflow._lane_jobs() WHERE lease_until > now() + interval '2 hours'"), '0', 'none here');
ok($node->poll_query_until('postgres', q{SELECT payload = '3' FROM workflow.claim('work', 'next', 10, '1 hour')}), 'the job that was not extended goes to another one');
is(sql($ready), '0|4', 'those that were do not');
$node->stop('immediate');
$node->start;
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 2 FROM (SELECT count(*) FROM workflow.claim('work', 'next', 10, '1 hour')) AS claimed, workflow.job AS j
	WHERE j.worker = 'next' AND j.payload < '3'}), 'after a crash they do');
is($node->psql('postgres', "SELECT workflow.complete(job_id, token) $mine LIMIT 1"), 3, 'and their first claimers are refused');
is(sql('SELECT count(workflow.complete(job_id, token)) FROM workflow.job WHERE payload < \'3\''), '2', 'not their second');
sql(q{SELECT workflow.complete(job_id, token) FROM workflow._lane_jobs(); SELECT workflow.complete(job_id, token) FROM workflow.job});
is(sql($ready), '0|0', 'and all is done');

# A session that cannot give its jobs back as it ends.
sql(q{SELECT workflow.enqueue('work', '"bound"')});
my $holder = $node->background_psql('postgres', on_error_die => 1);
my $pid = $holder->query_safe('SELECT pg_backend_pid()');
is($holder->query_safe(q{SELECT payload FROM workflow.claim('work', 'holder')}), '"bound"', 'a session claims a job');
my $locker = $node->background_psql('postgres', on_error_die => 1);
$locker->query_safe('BEGIN; LOCK TABLE workflow.attempt IN SHARE MODE');
$holder->quit;
ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), 'and ends while it cannot write');
$locker->query_safe('COMMIT');
$locker->quit;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM workflow.claim('work', 'next')}), 'its job is found');

# A job in the table that this transaction has stored is found, too.
sql(q{SELECT workflow.create_queue('own', 'tester', '1 hour', '{boss}')});
is( sql(q{
	BEGIN;
	SELECT FROM workflow.claim('own', 'w');
	DO $$ BEGIN PERFORM workflow.enqueue('own', '"urgent"', priority => -1); END $$;
	SELECT payload FROM workflow.claim('own', 'w');
	COMMIT}), '"urgent"', 'a transaction claims what it has stored in the table');
$node->stop;

# Without preloading.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
sql(q{SELECT workflow.enqueue('work', '"late"')});
is(sql(q{SELECT count(*) FROM workflow._lane_jobs() WHERE status = 'ready'}), '1', 'lanes need not be preloaded');
is(sql(q{SELECT payload FROM workflow.claim('work', 'w', 10) WHERE payload = '"late"'}), '"late"', 'for claims neither');
$node->append_conf('postgresql.conf', "pg_workflow.queue_memory = 65536");
$node->restart;
sql(q{SELECT workflow.enqueue('work', '"in the table"')});
is(sql(q{SELECT payload FROM workflow.job WHERE status = 'ready' AND payload = '"in the table"'}), '"in the table"', 'without room jobs go into the table');
my ($ret, $out, $err) = $node->psql('postgres', q{
	SELECT FROM workflow.enqueue('work', '"another"');
	SET statement_timeout = '100 ms';
	SELECT pg_sleep(10)});
like($err, qr/statement timeout/, 'and the session can be interrupted');

done_testing();
