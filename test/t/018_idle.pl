# With workers on and nothing to do, no statement is run in any database and no
# WAL is written, for longer than a minute, after which workers look around on
# their own; and what comes then is done at once: work, and the loss of a session.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "pg_workflow.workers = on\nautovacuum = off\ncheckpoint_timeout = '1h'\npg_workflow.worker_idle_timeout = '2s'\npg_workflow.gate_interval = '2s'\n"
	  . "pg_workflow.effect_retention = '2s'\npg_workflow.webhook_retention = '2s'\npg_workflow.redrive_retention = '2s'\nrestart_after_crash = on");
$node->start;
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

# Work of all kinds, done; and some that waits for a time, for a person, for a
# session, or until its queue is resumed.
sql(q{
	CREATE EXTENSION pg_workflow;
	CREATE SCHEMA app;
	CREATE FUNCTION app.work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT ''{}''::jsonb';
	SELECT workflow.create_queue('work', 'tester', '1 hour', '{boss}', dead_letter_retention => '2 seconds');
	SELECT workflow.define(format('{
	  "workflow": "%s", "owner": "tester", "initial": "WORKING",
	  "queues": {"%s": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {"WORKING": {"sql": {"function": "app.work", "queue": "%s"}, "on": {"ok": "WAITING"}},
	             "WAITING": {"timeout": {"after": "1 day", "event": "late"}, "on": {"late": "DONE"}},
	             "DONE": {"final": "success"}}}', name, name, name)::json) FROM unnest('{running,paused}'::text[]) AS name;
	SELECT workflow.define('{"workflow": "judged", "owner": "tester", "initial": "GATE",
	  "states": {"GATE": {"gate": {"value": "$.n", "tiers": [{"at_least": 5, "event": "high"}, {"otherwise": "low"}]},
	                      "on": {"high": "DONE", "low": "DONE"}},
	             "DONE": {"final": "success"}}}');
	SELECT workflow.submit('judged', '{"n": 7}');
	SELECT workflow.pause_queue('paused', 'not yet');
	SELECT count(*) FROM workflow.submit_many('running', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 20) AS n));
	SELECT count(*) FROM workflow.submit_many('paused', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 20) AS n));
	SELECT workflow.enqueue('work', to_jsonb(n)) FROM generate_series(1, 100) AS n;
	SELECT workflow.enqueue('work', to_jsonb(n), key => n::text) FROM generate_series(1, 100) AS n;
	SELECT workflow.enqueue('work', '"later"', run_at => now() + interval '1 day');
	SELECT workflow.complete(job_id, token) FROM workflow.claim('work', 'w', 50, '1 hour');
	SELECT count(*) FROM workflow.claim('work', 'w', 50, '1 day');
	SELECT count(*) FROM workflow.claim('work', 'w', 50);
});
my $holder = $node->background_psql('postgres');
$holder->query_safe(q{SET application_name = 'holder'; SELECT count(*) FROM workflow.claim('work', 'holder', 5)});
$holder->query_safe('SELECT pg_stat_force_next_flush()');
sql('CREATE DATABASE empty');
sql('CREATE DATABASE watcher');
sql('CREATE EXTENSION pg_workflow', 'empty');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 20 FROM workflow.items WHERE workflow = 'running' AND state = 'WAITING'}), 'all is done');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM workflow.state_delta'), 'and counted');
ok($node->poll_query_until('postgres', q{SELECT sum(decided) = 1 AND (SELECT count(*) = 0 FROM workflow.gate_change) FROM workflow.gate_tally}), 'gates too');
sql('CHECKPOINT');
ok($node->poll_query_until('watcher', q{
		SELECT count(*) = 2 AND count(*) FILTER (WHERE backend_type <> 'pg_workflow maintenance' OR state <> 'idle') = 0
		FROM pg_stat_activity WHERE backend_type ~ 'pg_workflow (maintenance|sql|http)'}), 'idle workers have ended');

# The commits of all databases but the one that we look from.
sub state
{
	return sql(q{
		SELECT 'commits', datname, xact_commit + xact_rollback FROM pg_stat_database WHERE datname <> 'watcher'
		UNION ALL SELECT 'wal', NULL, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') ORDER BY 1, 2}, 'watcher');
}
# What was done is looked at for alerts once more, a few seconds later.
my $before = '';
for (1 .. 30)
{
	last if $before eq state();
	$before = state();
	sql('SELECT pg_sleep(3)', 'watcher');
}
my $until = time + 65;
while (time < $until && state() eq $before)
{
	sql('SELECT pg_sleep(1)', 'watcher');
}
is(state(), $before, 'for a minute nothing is run and nothing written');

sub in_time
{
	my ($condition, $name) = @_;
	my $begin = time;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name);
	cmp_ok(time - $begin, '<', 1, "$name: within a second");
	return;
}

# Then a gate decides, which is added up in its time.
sql(q{SELECT workflow.submit('judged', '{"n": 8}')});
ok($node->poll_query_until('postgres', q{SELECT sum(decided) = 2 AND (SELECT count(*) = 0 FROM workflow.gate_change) FROM workflow.gate_tally}),
	'what gates decide later is added up');

# Then work comes, and a session is lost that had claimed jobs of both kinds.
sql(q{SELECT workflow.submit('running', '{"n": 21}')});
in_time(q{count(*) = 21 FROM workflow.items WHERE workflow = 'running' AND state = 'WAITING'}, 'an item moves');
sql(q{
	SELECT workflow.create_queue('lost', 'tester', '1 hour', '{boss}');
	SELECT workflow.enqueue('lost', to_jsonb(n)) FROM generate_series(1, 5) AS n;
	SELECT workflow.enqueue('lost', to_jsonb(n), key => n::text) FROM generate_series(1, 5) AS n;
});
my $back = q{ready = 10 FROM workflow.queues WHERE queue = 'lost'};
my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'holder'});
is($holder->query_safe(q{SELECT count(*) FROM workflow.claim('lost', 'holder', 10)}), '10', 'a session claims jobs of both kinds');
is(sql(q{SELECT running || ' ' || (SELECT count(*) FROM workflow.job WHERE queue = 'lost') FROM workflow.queues WHERE queue = 'lost'}), '10 5', 'which run');
sql("SELECT pg_terminate_backend($pid)");
in_time($back, 'they are back when it is ended');
eval { $holder->quit };

# One that is killed takes the server with it; its workers look by themselves.
sql(q{SELECT workflow.enqueue('lost', to_jsonb(n)) FROM generate_series(1, 5) AS n});
$back =~ s/10/15/;
$holder = $node->background_psql('postgres');
$pid = $holder->query_safe('SELECT pg_backend_pid()');
$holder->query_safe(q{SELECT count(*) FROM workflow.claim('lost', 'holder', 15)});
kill('KILL', $pid);
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_workflow maintenance' AND datname = 'postgres'"),
	'the server is back');
in_time($back, 'they are back when it was killed');
eval { $holder->quit };

done_testing();
