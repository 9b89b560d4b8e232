# Jobs that go through a queue cost the commits of their clients, and hardly any of
# the maintenance worker: it is not woken by each of them while it may not look yet.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node('autovacuum = off');
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

$node->stop;
done_testing();
