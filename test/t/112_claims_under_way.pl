# Claims that are in memory only, and whose transactions take their time: they are in
# nobody's way while they are under way, and are on disk when it turns out at their
# commits that there is nobody who would write them.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node('autovacuum = off');
sub sql { return $node->safe_psql('postgres', $_[0]) }

my $maintenance = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance' AND datname = 'postgres'};
my $rows = q{SELECT count(*) FROM workflow.segment_1 WHERE job_ids IS NOT NULL};
my $commits = q{SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'};
my $one = q{SELECT count(*) FROM workflow.claim('mail', 'holder')};

sql(q{SELECT workflow.create_queue('mail', 'ops', '1 hour', '{lead}')});
sql(q{SELECT workflow.enqueue_many('mail', ARRAY(SELECT to_jsonb(n) FROM generate_series(1, 500) AS n))});
my $holder = $node->background_psql('postgres');
my $other = $node->background_psql('postgres');

# More than are written at a time.
is($holder->query_safe(q{BEGIN;
	SELECT count(*) FROM generate_series(1, 300) AS n, LATERAL workflow.claim('mail', left('holder' || n, 6))}),
	'300', 'a transaction has claimed many jobs, one by one');
is($other->query_safe($one), '1', 'another one a single job');
ok($node->poll_query_until('postgres', "SELECT ($rows) = 1"), 'whose row is written');
is($other->query_safe($one), '1', 'and once more');
ok($node->poll_query_until('postgres', "SELECT ($rows) = 2"), 'as soon');
my $before = sql($commits);
is($other->query_safe($one), '1', 'and again');
ok($node->poll_query_until('postgres', "SELECT ($rows) = 3"), 'and the worker sleeps in between');
cmp_ok(sql($commits) - $before, '<', 100, 'which takes few transactions');
$holder->query_safe('COMMIT');
ok($node->poll_query_until('postgres', "SELECT ($rows) = 303"), 'all are written when they are certain');

# The extension is not dropped, after all.
my $claim = q{SELECT job_id FROM workflow.claim('mail', 'holder')};
my $job = $holder->query_safe($claim);
sql(q{BEGIN; DROP EXTENSION pg_workflow; CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('mail', 'ops', '1 hour', '{lead}'); SELECT workflow.enqueue('mail', '1'); ROLLBACK});
is(sql("SELECT worker FROM workflow.jobs WHERE job_id = $job"), 'holder', 'a claim outlives an extension that was not dropped');
isnt($other->query_safe($claim), $job, 'others are given other jobs');
ok($node->poll_query_until('postgres', "SELECT ($rows) = 305"), 'their claims are written');

# The worker leaves between a claim and its commit.
is($holder->query_safe("BEGIN; $one"), '1', 'a claim that somebody would write');
sql('ALTER SYSTEM SET pg_workflow.workers = off');
sql('SELECT pg_reload_conf()');
ok($node->poll_query_until('postgres', "SELECT ($maintenance) = 0"), 'workers are turned off');
$holder->query_safe('COMMIT');
is(sql($rows), '306', 'its row is there when it commits');

$holder->quit;
$other->quit;
$node->stop;
done_testing();
