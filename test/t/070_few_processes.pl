# A server with fewer background workers than its databases could use: a worker that
# has nothing to do gives its process up where another database lacks one.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @databases = map { "d$_" } 1 .. 3;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
# the launcher, that of logical replication, a maintenance worker for each database,
# and one more; an idle one would keep it for an hour
$node->append_conf('postgresql.conf', "pg_workflow.workers = on\nmax_worker_processes = 6\npg_workflow.worker_idle_timeout = '1h'");
$node->start;

sub wait_for
{
	my ($database, $condition, $name) = @_;
	ok($node->poll_query_until($database, "SELECT $condition"), $name)
	  or diag($node->safe_psql($database, q{SELECT datname, backend_type, state, query FROM pg_stat_activity WHERE backend_type LIKE 'pg_workflow%'}));
	return;
}

foreach my $database (@databases)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, q{
		CREATE EXTENSION pg_workflow;
		CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
		SELECT workflow.define('{"workflow": "w", "owner": "me", "initial": "RUN",
		  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
		  "states": {"RUN": {"sql": {"function": "public.work", "queue": "q"}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "end"}}}')});
	wait_for($database, "count(*) = 1 FROM workflow.workers WHERE kind = 'maintenance'", "$database has its worker");
}

# each in turn, twice: the one process goes from one to the next
foreach my $round (1, 2)
{
	foreach my $database (@databases)
	{
		$node->safe_psql($database, "SELECT workflow.submit('w', '{}')");
		wait_for($database, "count(*) = $round FROM workflow.items WHERE outcome = 'end'", "$database gets its work done, round $round");
	}
}

# an http worker gives it up, too
$node->safe_psql('d1', q{
	CREATE SERVER deaf FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://127.0.0.1:1', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
	SELECT workflow.call('deaf', 'GET', '/')});
wait_for('d1', 'attempts > 0 FROM workflow.effects', 'a call is made');
$node->safe_psql('d1', q{UPDATE workflow.job SET run_at = now() + interval '1 day'});
$node->safe_psql('d2', "SELECT workflow.submit('w', '{}')");
wait_for('d2', "count(*) = 3 FROM workflow.items WHERE outcome = 'end'", 'and then an activity is run elsewhere');

# all of them at once
$node->safe_psql($_, "SELECT workflow.submit('w', '{}')") foreach @databases;
wait_for($_, "count(*) >= 3 FROM workflow.items WHERE outcome = 'end'", "$_ has its turn") foreach @databases;

$node->stop;
done_testing();
