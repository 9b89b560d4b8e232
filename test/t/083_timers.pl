# Timers outlive restarts, crashes and a failover; whoever is in the way of one
# holds up no other; and many are due at once.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("wal_level = replica\nmax_wal_senders = 4\n");
sub query { return $node->safe_psql('postgres', $_[0]) }

query(q{
	SELECT workflow.define('{"workflow": "naps", "owner": "me", "initial": "SLEEP",
	  "states": {
	    "SLEEP": {"wait": {"for": "$.nap"}, "on": {"ok": "ASK", "error": "DONE"}},
	    "ASK":   {"timeout": {"after": "2 seconds", "event": "silence"}, "on": {"answer": "DONE", "silence": "LATE"}},
	    "DONE":  {"final": "rested"}, "LATE": {"final": "late"}}}')});

sub submit
{
	my ($key, $nap) = @_;
	return query(qq{SELECT item_id FROM workflow.submit('naps', '{"nap": "$nap"}', key => '$key')});
}

sub is_late
{
	my ($key, $name) = @_;
	wait_for("outcome = 'late' FROM workflow.items WHERE key = '$key'", $name);
	is(query("SELECT string_agg(t.event, ' ' ORDER BY t.seq) FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE i.key = '$key'"),
		'submit ok silence', "$name, each timer once");
	return;
}

# a wait, and the timeout after it, over a restart
submit('restarted', '1 second');
$node->restart;
is_late('restarted', 'over a restart');

# what became due while the server was down
submit('crashed', '1 second');
query("SELECT workflow.submit('naps', '{\"nap\": \"1 day\"}', key => 'later')");
$node->stop('immediate');
$node->start;
is_late('crashed', 'over a crash');
is(query("SELECT state FROM workflow.items WHERE key = 'later'"), 'SLEEP', 'what is not due yet stays');

# the process that fires them dies
submit('killed', '3 seconds');
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
my $pid = query("SELECT pid FROM workflow.workers WHERE kind = 'maintenance'");
kill 'KILL', $pid;
ok( $node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance' AND pid <> $pid"),
	'another one is started');
is_late('killed', 'over its death');

# who holds an item holds up its own timers only
my $held = submit('held', '1 second');
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM workflow.item WHERE item_id = $held FOR UPDATE");
submit('free', '1 second');
is_late('free', 'beside one whose item is held');
is(query("SELECT state FROM workflow.items WHERE key = 'held'"), 'SLEEP', 'which has waited');
$holder->query_safe('ROLLBACK');
$holder->quit;
is_late('held', 'when it is free');

# nobody's clock but the real one counts for the background workers
query("ALTER DATABASE postgres SET pg_workflow.clock = '2100-01-01'");
$node->append_conf('postgresql.conf', "pg_workflow.clock = '2100-01-01'");
$node->restart;
query("SET pg_workflow.clock = ''; SELECT workflow.submit('naps', '{\"nap\": \"1 second\"}', key => 'now')");
is_late('now', 'with a clock in the configuration');
is(query("SELECT state FROM workflow.items WHERE key = 'later'"), 'SLEEP', 'the workers do not go by it');
query('ALTER DATABASE postgres RESET pg_workflow.clock');
$node->append_conf('postgresql.conf', "pg_workflow.clock = ''");
$node->restart;

# many at once, beside as many that do not count because their workflow is paused
query(q{
	SELECT workflow.define('{"workflow": "herd", "owner": "me", "initial": "SLEEP",
	  "states": {"SLEEP": {"wait": {"until": "$.until"}, "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "rested"}}}');
	SELECT workflow.define('{"workflow": "paused", "owner": "me", "initial": "SLEEP",
	  "states": {"SLEEP": {"wait": {"until": "$.until"}, "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "rested"}}}');
	SELECT workflow.pause_workflow('paused', 'x')});
query(q{
	BEGIN;
	SELECT count(*) FROM workflow.submit_many('paused', (SELECT array_agg('{"until": "2020-01-01 00:00Z"}'::jsonb) FROM generate_series(1, 3000)));
	SELECT count(*) FROM workflow.submit_many('herd', (SELECT array_agg('{"until": "2020-01-01 00:00Z"}'::jsonb) FROM generate_series(1, 3000)));
	COMMIT});
wait_for("count(*) = 3000 FROM workflow.items WHERE workflow = 'herd' AND outcome = 'rested'", 'three thousand that are due at once fire');
is(query("SELECT count(*) FROM workflow.items WHERE workflow = 'paused' AND state = 'SLEEP'"), '3000', 'and none of the paused workflow');
is(query("SELECT count(*) FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'herd'"), '6000', 'each once');
query("SELECT workflow.resume_workflow('paused', 'x')");
wait_for("count(*) = 3000 FROM workflow.items WHERE workflow = 'paused' AND outcome = 'rested'", 'those follow when it goes on');

# a standby that is promoted
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
submit('promoted', '2 seconds');
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
ok($standby->poll_query_until('postgres', "SELECT outcome = 'late' FROM workflow.items WHERE key = 'promoted'"), 'a promoted standby goes on');
is($standby->safe_psql('postgres', "SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok"), '0', 'and all logs are sound');
$standby->stop;
done_testing();
