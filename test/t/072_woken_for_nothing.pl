# A claim that waits is woken by each commit that brings jobs, though others may
# have taken them: then it looks at the lane, and not into the table each time.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_workflow'\npg_workflow.workers = off\nmax_prepared_transactions = 0\nautovacuum = off");
$node->start;

$node->safe_psql('postgres', q{CREATE EXTENSION pg_workflow; SELECT workflow.create_queue('busy', 'ops', '10 minutes', '{ops-lead}')});
my $scans = "SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_all_indexes WHERE schemaname = 'workflow' AND relname = 'job'";
my $before = $node->safe_psql('postgres', $scans);
my $waiter = $node->background_psql('postgres', on_error_die => 1);
$waiter->query_until(qr/^/, "SELECT payload FROM workflow.claim('busy', 'waiter', wait => '30 s');\n");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query ~ '^SELECT payload'"), 'a claim waits');

my $woken = 400;
$node->safe_psql('postgres', <<'END' x $woken);
BEGIN;
SELECT workflow.enqueue('busy', '1');
SELECT workflow.complete(job_id, token) FROM workflow.claim('busy', 'other');
COMMIT;
END
$node->safe_psql('postgres', q{SELECT workflow.enqueue('busy', '"for the waiter"')});
like($waiter->query_safe('SELECT pg_stat_force_next_flush()'), qr/for the waiter/, 'it goes on while others are quicker');
$waiter->quit;
cmp_ok($node->safe_psql('postgres', $scans) - $before,
	'<', $woken / 4, "and runs hardly a statement for $woken wake-ups");

done_testing();
