# Queues that have no shared memory left: what waits in lanes is claimed all the
# same, in order, and all of it, also after a restart.  And what else is too much:
# jobs of odd times beside those of lanes, very many at once, and a job of more units
# than a rate ever lets through.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.queue_memory = 1');
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('work', 'tester', '1 hour', '{boss}'), workflow.create_queue('other', 'tester', '1 hour', '{boss}');
	CREATE TABLE mine (n bigint, job_id bigint, token text)});

# Jobs fill the memory before anybody has claimed one.
sub fill
{
	sql(q{SELECT count(workflow.enqueue_many('work', (SELECT array_agg(to_jsonb(i)) FROM generate_series(n, n + 999) AS i))) FROM generate_series(1, 50000, 1000) AS n});
	sql(q{SELECT count(workflow.enqueue('work', to_jsonb(n))) FROM generate_series(50001, 51000) AS n});
	return;
}
fill();
cmp_ok(sql('SELECT count(*) FROM workflow._lane_jobs()'), '>', 40000, 'lanes take jobs');
cmp_ok(sql('SELECT count(*) FROM workflow.job'), '>', 1000, 'until there is no memory left');
is(sql(q{SELECT ready FROM workflow.queues WHERE queue = 'work'}), '51000', 'all wait');

my $claim = q{INSERT INTO mine SELECT payload::bigint, job_id, token FROM workflow.claim('work', 'w', %d%s)};
sql(sprintf($claim, $_ % 2 + 1, $_ % 3 ? ", '1 hour'" : ", '1 hour', '1 s'")) foreach 1 .. 10;
is(sql('SELECT string_agg(n::text, \',\' ORDER BY n) FROM mine'), join(',', 1 .. 15), 'claims take what comes first');
sql(q{SELECT workflow.enqueue('other', '"other"')});
is(sql(q{SELECT payload FROM workflow.claim('other', 'w', 1, '1 hour')}), '"other"', 'also of another queue');
$node->restart;
is(sql('SELECT workflow.complete_many(array_agg(job_id), array_agg(token)) FROM mine'), '15', 'and they can be completed, after a restart');
sub drain
{
	sql(sprintf(q{
		DO $$
		DECLARE found int := 1;
		BEGIN
		  WHILE found > 0 LOOP
		    WITH c AS MATERIALIZED (SELECT * FROM workflow.claim('work', 'w', %d)), i AS (INSERT INTO mine SELECT payload::bigint, job_id FROM c)
		    SELECT workflow.complete_many(coalesce(array_agg(job_id), '{}'), coalesce(array_agg(token), '{}')) INTO found FROM c;
		    COMMIT;
		  END LOOP;
		END $$}, $_[0]));
	return;
}
drain(7000);
is(sql('SELECT count(*), count(DISTINCT n), max(n) FROM mine'), '51000|51000|51000', 'all are done, each once');
is(sql(q{SELECT ready, running FROM workflow.queues WHERE queue = 'work'}), '0|0', 'and nothing is left');

# Jobs that have been due for ages come first, those that will be in ages stay.
sql(q{
	TRUNCATE mine;
	SELECT workflow.enqueue('work', '1', run_at => '4713-01-01 BC'), workflow.enqueue('work', '2', run_at => '1970-01-01'),
	  workflow.enqueue('work', '3', run_at => '294276-12-31'), workflow.enqueue_many('work', '{4,5}'),
	  workflow.enqueue('work', '6', priority => 2147483647), workflow.enqueue('work', '7', priority => -2147483648)});
is(sql(q{SELECT ready, delayed, oldest_ready_at < '4712-01-01 BC' FROM workflow.queues WHERE queue = 'work'}), '6|1|t', 'figures know them');
is(sql(q{SELECT string_agg(payload::text, ',') FROM (SELECT payload FROM generate_series(1, 8) AS n, workflow.claim('work', 'w' || n, 1, '1 hour')) AS c}), '7,1,2,4,5,6',
	'jobs of odd times and priorities are claimed in their order');

# Very many are stored at once in a time that grows with their number.
$node->append_conf('postgresql.conf', 'pg_workflow.queue_memory = 32');
$node->restart;
is(sql(q{SET statement_timeout = '60 s'; SELECT cardinality(workflow.enqueue_many('other', array_fill('1'::jsonb, '{300000}')))}), '300000', 'many jobs are stored at once');

# What does not fit after a start with less memory goes into the table, with its claims;
# once that is committed.
sub drain_other
{
	return sql(q{
		CREATE TEMP TABLE sum (n bigint);
		DO $$
		DECLARE
		  found int := 1;
		BEGIN
		  WHILE found > 0 LOOP
		    WITH c AS MATERIALIZED (SELECT * FROM workflow.claim('other', 'w', 10000))
		    SELECT workflow.complete_many(coalesce(array_agg(job_id), '{}'), coalesce(array_agg(token), '{}')) INTO found FROM c;
		    INSERT INTO sum VALUES (found);
		    COMMIT;
		  END LOOP;
		END $$;
		SELECT sum(n) FROM sum});
}
is(drain_other(), '300000', 'and are done');
sql(q{
	TRUNCATE mine;
	SELECT cardinality(workflow.enqueue_many('other', array_fill('1'::jsonb, '{60000}')));
	INSERT INTO mine SELECT payload::bigint, job_id, token FROM workflow.claim('other', 'w', 10, '1 hour')});
$node->append_conf('postgresql.conf', 'pg_workflow.queue_memory = 1');
$node->restart;
my $ready = q{SELECT ready, running FROM workflow.queues WHERE queue = 'other'};
my ($code, $out, $err) = $node->psql('postgres', "BEGIN READ ONLY; $ready");
like($err, qr/the jobs that wait do not fit .*only reads.*queue_memory/s, 'a transaction that only reads says what is wrong');
my $undone = $node->background_psql('postgres');
$undone->query_safe("BEGIN; SAVEPOINT one; $ready; ROLLBACK TO one");
$undone->query_safe('ROLLBACK');
is(sql("BEGIN; $ready; ROLLBACK"), '59990|11', 'with less memory all jobs are there');
is(sql($ready), '59990|11', 'and after what was rolled back');
is(sql(q{SELECT count(*) > 15000, count(*) FILTER (WHERE status = 'running') FROM workflow.job WHERE queue = 'other'}), 't|11', 'some in the table now, those of claims among them');
is(sql('SELECT workflow.complete_many(array_agg(job_id), array_agg(token)) FROM mine'), '10', 'which go on');
is(sql(q{SELECT count(*) FROM workflow._wrong_figures()}), '0', 'figures know them');
$undone->quit;
is(drain_other(), '59990', 'all are done');
is(sql($ready), '0|1', 'and nothing is left but what was claimed long ago');

# A job of that many units holds up its queue, or its tenant, for a century.
sql(q{
	SELECT workflow.create_queue('rated', 'tester', '1 hour', '{boss}', rate_limit => '{"count": 1, "per": "1 day"}'),
	  workflow.create_queue('by tenant', 'tester', '1 hour', '{boss}', rate_limit => '{"count": 1, "per": "1 day", "per_tenant": true}', fair => true)});
foreach my $queue ('rated', 'by tenant')
{
	sql(qq{SELECT workflow.enqueue('$queue', to_jsonb(n), tenant => 'a', units => 2147483647) FROM generate_series(1, 2) AS n});
	is(sql(qq{SELECT payload FROM workflow.claim('$queue', 'w', 2, '1 hour')}), '1', "a job of many units starts: $queue");
	sql(qq{SELECT workflow.complete(job_id, token, units => 5) FROM workflow.job WHERE queue = '$queue' AND status = 'running'});
	is(sql(qq{SELECT count(*) FROM workflow.claim('$queue', 'w')}), '0', 'and holds up the next one');
}
is(sql(q{SELECT count(*) FROM workflow.rate WHERE next_at::text > ''}), '2', 'until a time that can be told');

done_testing();
