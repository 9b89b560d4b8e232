# A claim that waits is woken by each commit that brings jobs, though others may
# have taken them: then it looks at the lane, and not into the table each time.
# The server wakes it, too, when the time for its log-in is up: then it looks at
# nothing.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_workflow'\npg_workflow.workers = off\nmax_prepared_transactions = 0\nautovacuum = off\nauthentication_timeout = '3s'");
$node->start;

$node->safe_psql('postgres', q{CREATE EXTENSION pg_workflow; SELECT workflow.create_queue(name, 'ops', '10 minutes', '{ops-lead}') FROM unnest('{busy,calm}'::text[]) AS name});
my $sleeper = $node->background_psql('postgres', on_error_die => 1);
my $pid = $sleeper->query_safe('SELECT pg_backend_pid()');
$sleeper->query_until(qr/waiting/, "\\echo waiting\nCALL workflow.wait_for_job('calm', '1 minute');\n");
my $of_sleeper = "FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Extension'";
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 $of_sleeper"), 'a session waits for a job');
my $looked_at = $node->safe_psql('postgres', "SELECT xact_start $of_sleeper");
ok($node->poll_query_until('postgres', "SELECT clock_timestamp() > backend_start + interval '5 s' $of_sleeper"), 'for longer than its log-in may take');
is($node->safe_psql('postgres', "SELECT xact_start $of_sleeper"), $looked_at, 'and has not looked again');
$node->safe_psql('postgres', q{SELECT workflow.enqueue('calm', '"for the sleeper"')});
is($sleeper->query_safe(q{SELECT payload FROM workflow.claim('calm', 'sleeper')}), '"for the sleeper"', 'it wakes for a job');
$sleeper->quit;

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
