# Lanes that are built anew: after a crash, a promotion, a restore that disables
# triggers, or because somebody has rewritten a segment.  Claims go on with the
# tokens that they have, no job is passed over, and none whose only attempt has
# begun is given to anybody else.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "wal_writer_delay = 10s\nmax_prepared_transactions = 0");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub restart
{
	$node->stop('immediate');
	$node->start;
	return;
}
sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('work', 'tester', '1 hour', '{boss}');
	SELECT workflow.create_queue('once', 'tester', '1 hour', '{boss}', retry => '{"max_attempts": 1}')});

# The jobs of a claim stand elsewhere after a crash, for those before them are gone.
sub leave_before
{
	sql(q{
		SELECT workflow.enqueue_many('work', array_fill('"before"'::jsonb, '{300}'));
		SELECT workflow.complete_many(array_agg(job_id), array_agg(token)) FROM workflow.claim('work', 'w', 300)});
	return;
}
leave_before();
sql(q{
	SELECT workflow.enqueue_many('work', '{1,2,3,4,5,6}');
	CREATE TABLE mine AS SELECT row_number() OVER () AS n, c.* FROM workflow.claim('work', 'w', 6, '1 hour') AS c});
restart();
sub call { return sql("SELECT $_[1] FROM mine WHERE n IN ($_[0])") }
call('1', "workflow.complete(job_id, token)");
call('2', "workflow.fail(job_id, token, 'permanent', 'torn')");
call('3', "workflow.release(job_id, token)");
call('4, 5, 6', "workflow.extend_many(array_agg(job_id), array_agg(token), '2 hours')");
is(call('4, 5', "workflow.complete_many(array_agg(job_id), array_agg(token))"), '2', 'after a crash claims go on');
is(call('6', "workflow.extend(job_id, token, '3 hours') > now() + interval '2 hours'"), 't', 'and can be extended');
is(sql(q{SELECT string_agg(payload::text || ' ' || status, ',' ORDER BY job_id) FROM workflow.job WHERE status <> 'running'}), '2 dead,3 ready', 'jobs end as their claimers say');
is($node->psql('postgres', "SELECT workflow.complete(job_id, token) FROM mine WHERE n = 1"), 3, 'once each');

# A claim that is bound to its session, when somebody rewrites the segment; twice, beside
# a transaction that has looked at the queues and stays open.
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM workflow.queues; SELECT count(*) FROM workflow._lane_jobs()');
sql(q{WITH c AS (SELECT * FROM workflow.claim('work', 'w', 10)) SELECT workflow.complete(job_id, token) FROM c});
leave_before();
sql(q{SELECT workflow.enqueue_many('work', '{1,2,3}')});
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query_safe(q{CREATE TEMP TABLE bound AS SELECT * FROM workflow.claim('work', 'holder', 2)});
foreach (1 .. 2)
{
	sql('VACUUM FULL workflow.segment_1');
	is($node->psql('postgres', q{SELECT workflow.claim('work', 'w')}), 3, 'a segment is rewritten');
	is(sql(q{SELECT count(*) FROM workflow._lane_jobs() WHERE worker = 'holder'}), '2', 'which is looked into again');
}
is($holder->query(q{SELECT workflow.extend(job_id, token, '1 hour') > now() FROM bound WHERE payload = '2'}), 't', 'a claim that was bound to its session gets a lease');
is($holder->query(q{SELECT count(workflow.complete(job_id, token)) FROM bound}), '2', 'and the session completes both');
$holder->quit;
is(sql(q{SELECT payload FROM workflow.claim('work', 'w', 10, '1 hour')}), '3', 'others have the rest');
$reader->quit;

# Of a job that has but one attempt it is known that it has begun, whatever befalls
# the server.
sql(q{SELECT workflow.enqueue_many('once', '{1,2,3}')});
$holder = $node->background_psql('postgres');
is($holder->query_safe(q{SELECT payload FROM workflow.claim('once', 'w')}), $_, "job $_ is claimed") foreach 1 .. 2;
$node->stop('immediate');
$holder->{run}->finish;
$node->start;
is(sql(q{SELECT string_agg(payload::text, ',') FROM workflow.claim('once', 'w', 10, '1 hour')}), '3', 'those that began are not claimed again');
is(sql(q{SELECT string_agg(error_class || ' ' || payload::text, ',' ORDER BY job_id) FROM workflow.job WHERE queue = 'once' AND status = 'dead'}), 'poison 1,poison 2', 'they are dead letters');

# The data alone, into a server that knows the queues and is told nothing.
my $dump = $node->basedir . '/dump';
sql(q{
	SELECT workflow.create_queue('moved', 'tester', '1 hour', '{boss}');
	SELECT workflow.enqueue_many('moved', '{1,2,3}');
	SELECT workflow.complete(job_id, token) FROM workflow.claim('moved', 'w');
	SELECT workflow.enqueue('moved', '4', key => 'k'), workflow.enqueue('moved', '5', priority => 7)});
$node->command_ok([ 'pg_dump', '-Fc', '-N', 'public', '-f', $dump, $node->connstr('postgres') ], 'a dump');
foreach my $how ([], [ '--single-transaction' ], [ '--jobs', '2' ])
{
	my $restore = "restored by pg_restore --disable-triggers @$how";

	$node->safe_psql('postgres', 'CREATE DATABASE copy');
	$node->safe_psql('copy', q{
		CREATE EXTENSION pg_workflow;
		SELECT workflow.create_queue('other', 'tester', '1 hour', '{boss}');
		SELECT workflow.enqueue('other', '1', priority => p) FROM generate_series(0, 1) AS p;
		WITH c AS (SELECT * FROM workflow.claim('other', 'w', 2)) SELECT workflow.complete(job_id, token) FROM c;
		SELECT ready FROM workflow.queues});
	$node->command_ok([ 'pg_restore', '--data-only', '--disable-triggers', @$how, '-d', $node->connstr('copy'), $dump ], $restore);
	is($node->safe_psql('copy', q{SELECT ready FROM workflow.queues WHERE queue = 'moved'}), '4', 'figures have what was restored');
	is($node->safe_psql('copy', q{SELECT string_agg(payload::text, ',') FROM workflow.claim('moved', 'w', 10)}), '2,3,4,5', 'and claims find it');
	$node->safe_psql('postgres', 'DROP DATABASE copy');
}

# A group that came without its first job gets another one, in a queue that was looked at before.
sql(q{
	SELECT workflow.create_queue('band', 'tester', '1 hour', '{boss}');
	SELECT workflow.enqueue('band', n::text::jsonb, group_key => 'g') FROM generate_series(1, 2) AS n;
	UPDATE workflow.job SET behind = true WHERE queue = 'band'});
$node->command_ok([ 'pg_dump', '-Fc', '-N', 'public', '-f', $dump, $node->connstr('postgres') ], 'a dump of a group');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->safe_psql('copy', q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('band', 'tester', '1 hour', '{boss}');
	SELECT workflow.claim('band', 'w')});
$node->command_ok([ 'pg_restore', '--data-only', '--disable-triggers', '-t', 'job', '-d', $node->connstr('copy'), $dump ], 'its jobs are restored');
is($node->safe_psql('copy', q{SELECT payload FROM workflow.claim('band', 'w')}), '1', 'and claimed');
$node->safe_psql('postgres', 'DROP DATABASE copy');

# A standby knows nothing of what it replays, whatever is asked there; what is
# promoted finds all.
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
foreach my $call (
	q{SELECT workflow.claim('moved', 'w')}, q{SELECT workflow.enqueue('moved', '6')}, q{SELECT workflow.cancel_job(1)},
	q{SELECT workflow.complete(job_id, token) FROM mine}, q{SELECT workflow.extend(job_id, token, '1 hour') FROM mine})
{
	my ($code, $out, $err) = $standby->psql('postgres', $call);
	like($err, qr/read-only transaction.*Call it on the primary/s, "refused on a standby: $call");
}
is($standby->safe_psql('postgres', q{CALL workflow.wait_for_job('moved', '1 ms')}), '', 'nor is anything to be waited for');
sql(q{SELECT workflow.enqueue_many('moved', '{7,8}')});
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
is($standby->safe_psql('postgres', q{SELECT string_agg(payload::text, ',') FROM workflow.claim('moved', 'w', 10)}), '2,3,4,7,8,5', 'when it is promoted its claims find all');

done_testing();
