# The maintenance worker opens, tells of and clears alerts by itself, also when it
# was killed meanwhile; with nothing wrong and nothing new it runs no statement.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use JSON::PP;
use WorkingNode;

my $node = start_working_node("restart_after_crash = on\nautovacuum = off\ncheckpoint_timeout = '1h'\n");
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

sub open_alerts
{
	my ($kind, $count, $name) = @_;
	wait_for("count(*) = $count FROM workflow.alerts WHERE kind = '$kind' AND cleared_at IS NULL", $name);
	return;
}

# ------------------------------------------------------------------ runbooks
my $operations = slurp_file('docs/operations.md');
for my $kind (split /\n/, sql('SELECT kind FROM workflow._alert_kinds()'))
{
	like($operations, qr/^### \Q$kind\E$/m, "$kind has its runbook");
}

# -------------------------------------------------- opened, told of, cleared
sql(q{SELECT workflow.create_queue('quick', owner => 'ops', sla => '6 seconds', escalate_to => '{lead}')});
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN workflow_alert');
sql(q{SELECT workflow.enqueue('quick', '{}', key => 'one')});
open_alerts('sla_breach', 1, 'a job that is not claimed in time is an alert');
is(sql(q{SELECT count(*) FILTER (WHERE kind = 'sla_warning'), min(owner) FROM workflow.alerts}), '1|ops', 'its owner was warned before');
wait_for(q{owner = 'lead' AND step = 1 FROM workflow.alerts WHERE kind = 'sla_breach'}, 'after another SLA the next in the path has it');
sql(q{SELECT count(*) FROM workflow.claim('quick', 'w', 1, '1 day')});
open_alerts('sla_breach', 0, 'it is cleared when the job is claimed');

sub told
{
	my $out = $listener->query_safe('SELECT 1');
	return map { decode_json($_) } $out =~ /with payload "(.*)" received/g;
}
my @told = told();
is_deeply(
	[map { "$_->{kind} $_->{change} $_->{owner}" } @told],
	['sla_warning opened ops', 'sla_breach opened ops', 'sla_warning cleared ops', 'sla_breach escalated lead', 'sla_breach cleared lead'],
	'each change is one notification');

# ------------------------------------------------------------- what is at once
sql(q{SELECT workflow.define('{"workflow": "kid", "owner": "me", "initial": "OPEN", "states": {"OPEN": {"on": {"lose": "LOST"}}, "LOST": {"final": "failure"}}}');
	SELECT workflow.define('{"workflow": "family", "owner": "me", "initial": "KIDS",
	  "states": {"KIDS": {"spawn": {"workflow": "kid", "each": "$.n", "join": "all"}, "as": "kids", "on": {"ok": "DONE", "stop": "DONE"}}, "DONE": {"final": "done"}}}');
	SELECT workflow.submit('family', '{"n": [1]}', key => 'one')});
wait_for(q{count(*) = 1 FROM workflow.items WHERE workflow = 'kid'}, 'a child is started');
sql(q{SELECT workflow.send(item_id, 'lose') FROM workflow.items WHERE workflow = 'kid'});
open_alerts('spawn_failed', 1, 'children that cannot go on are seen at once');
sql(q{SELECT workflow.send('family:one', 'stop')});
open_alerts('spawn_failed', 0, 'it is cleared when the item has left');
sql(q{SELECT workflow.create_queue('graves', owner => 'ops', sla => '1 day', escalate_to => '{lead}');
	SELECT workflow.enqueue('graves', to_jsonb(n), key => n::text) FROM generate_series(1, 12) AS n;
	SELECT workflow.fail(job_id, token, 'permanent', 'no') FROM workflow.claim('graves', 'w', 20)});
open_alerts('dead_letters_growing', 1, 'dead letters that come are seen at once');

# --------------------------------------------------------- killed meanwhile
my $pid = sql(q{SELECT pid FROM workflow.workers WHERE kind = 'maintenance'});
$listener->quit;
kill('KILL', $pid);
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM workflow.workers WHERE kind = 'maintenance' AND pid <> $pid"), 'the server is back after kill -9');
is(sql(q{SELECT count(*) FROM workflow.alerts WHERE kind = 'dead_letters_growing'}), '1', 'the alert is there once');
sql(q{SELECT workflow.cancel_jobs(array_agg(job_id), 'not wanted') FROM workflow.dead_letters});
open_alerts('dead_letters_growing', 0, 'it is cleared by the next worker');

# ------------------------------------------------------------- of the server
sql(q{CREATE SERVER out FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://out.invalid', dedup 'key', owner 'net')});
sql($_) for q{ALTER SYSTEM SET pg_workflow.effects = 'off'}, 'SELECT pg_reload_conf()';
sql(q{SELECT workflow.call('out', 'POST', '/', '{}', key => 'one')});
open_alerts('effects_off', 1, 'effects that wait where none is sent are an alert');
sql(q{UPDATE workflow.effect SET state = 'cancelled', finished_at = now() - interval '40 days'; SELECT workflow.cancel_job(job_id) FROM workflow.job WHERE effect_id IS NOT NULL});
open_alerts('effects_off', 0, 'it is cleared when none waits');
is(sql(q{SELECT string_agg(kind, ',') FROM workflow._conditions_of_retention()}), '', 'what is kept for ever is not kept for too long');
sql($_) for q{ALTER SYSTEM SET pg_workflow.effect_retention = '30d'}, 'SELECT pg_reload_conf()';
is(sql(q{SELECT kind || ' ' || severity FROM workflow._conditions_of_retention()}), 'retention_lag ticket', 'what is kept for days longer than it should be is');
sql(q{SELECT workflow.purge_effects('30 days')});
is(sql(q{SELECT count(*) FROM workflow._conditions_of_retention()}), '0', 'not when it was removed');

# --------------------------------------------------------------- dump, restore
sql('CREATE DATABASE copy');
my $dump = "${PostgreSQL::Test::Utils::tmp_check}/alerts.sql";
$node->command_ok(['pg_dump', '-d', $node->connstr('postgres'), '-f', $dump], 'dump');
$node->command_ok(['psql', '-qXd', $node->connstr('copy'), '-v', 'ON_ERROR_STOP=1', '-f', $dump], 'restore');
my $all = 'SELECT id, kind, subject, severity, owner, opened_at, cleared_at, step FROM workflow.alerts ORDER BY id';
is(sql($all, 'copy'), sql($all), 'a dump has the alerts');

# ---------------------------------------------------------------------- idle
sql('DROP DATABASE copy');
sql('CREATE DATABASE watcher');
sql(q{SELECT workflow.enqueue('graves', '"waits"')});
sub commits { return sql(q{SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'}, 'watcher') }
# longer than the notice of the queue that wants to be told soonest
my $before = '';
for (1 .. 60)
{
	last if $before eq commits();
	$before = commits();
	sql('SELECT pg_sleep(8)', 'watcher');
}
for (1 .. 20)
{
	sql('SELECT pg_sleep(1)', 'watcher');
}
is(commits(), $before, 'with work that is not late nothing is run');

$node->stop;
done_testing();
