# No job is passed over by the marks at which claims begin to look: not when its
# transaction is prepared, its claimer killed, its server crashed or promoted,
# nor among more queues and priorities than are told apart, nor under load.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_prepared_transactions = 30");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }

# Claims one job and completes it.
sub done { return sql(q{WITH c AS (SELECT * FROM workflow.claim('mail', 'w')) SELECT payload FROM c, LATERAL workflow.complete(job_id, token)}) }

# Jobs that come and go raise the marks.
sub pass_others
{
	sql(q{SELECT workflow.enqueue('mail', '"passes"', key => 'passes')});
	is(done(), '"passes"', 'others pass');
	is(done(), '', 'and nothing is left');
	return;
}
my $retry = q{'{"max_attempts": 1000, "backoff": {"initial": "1 ms", "max": "1 ms", "jitter": "none"}}'};
my $create = qq{CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('mail', 'tester', '1 hour', '{boss}', retry => $retry)};
sql($create);

# Prepared transactions, which anybody may end: nobody tells the marks.
pass_others();
sql(q{BEGIN; SELECT workflow.enqueue('mail', '"prepared"', key => 'p'); PREPARE TRANSACTION 'store'});
pass_others() foreach 1 .. 2;
sql(q{COMMIT PREPARED 'store'});
is(done(), '"prepared"', 'a job is found whose transaction was prepared');
sql(q{BEGIN; SELECT workflow.enqueue('mail', '"never"', key => 'p'); PREPARE TRANSACTION 'store'});
pass_others();
sql(q{ROLLBACK PREPARED 'store'});
is(done(), '', 'or is not there');

sql(q{SELECT workflow.enqueue('mail', '"claimed"', key => 'p')});
sql(q{BEGIN; SELECT workflow.claim('mail', 'w', 1, '1 hour'); PREPARE TRANSACTION 'claim'});
pass_others();
sql(q{ROLLBACK PREPARED 'claim'});
is(done(), '"claimed"', 'a job is found whose claim was prepared, and rolled back');

# With a new priority, and more prepared transactions than marks take note of.
sql(qq{BEGIN; SELECT workflow.enqueue('mail', '"$_"', priority => $_); PREPARE TRANSACTION 'p$_'}) foreach 1 .. 9;
pass_others();
sql("COMMIT PREPARED 'p$_'") foreach 1 .. 9;
is(join(',', map { done() } 1 .. 9), join(',', map { qq{"$_"} } 1 .. 9), 'each of a new priority');

# More than there are places for those who hold a mark; the last is younger than all that has ended.
sql(qq{BEGIN; SELECT workflow.enqueue('mail', '$_', key => 'h$_'); PREPARE TRANSACTION 'h$_'}) foreach 1 .. 17;
sql("ROLLBACK PREPARED 'h$_'") foreach 1 .. 16;
is(done(), '', 'nothing is there yet') foreach 1 .. 2;
sql(q{COMMIT PREPARED 'h17'});
is(done(), '17', 'a job is found of whose transaction no note was taken');

# Memory is gone, the prepared transaction is not.
foreach my $how ('fast', 'immediate')
{
	sql(q{BEGIN; SELECT workflow.enqueue('mail', '"outlives"', key => 'p'); PREPARE TRANSACTION 'store'});
	$node->stop($how);
	$node->start;
	pass_others() foreach 1 .. 2;
	sql(q{COMMIT PREPARED 'store'});
	is(done(), '"outlives"', "a job is found whose transaction was prepared before the server was stopped ($how)");
}

# A claimer that is ended in its transaction, by the server or by a crash.
foreach my $how ('TERM', 'KILL')
{
	sql(q{SELECT workflow.enqueue('mail', '"left"', key => 'l')});
	my $claimer = $node->background_psql('postgres', on_error_die => 1);
	my $pid = $claimer->query_safe('SELECT pg_backend_pid()');
	$claimer->query_safe(q{BEGIN; SELECT workflow.claim('mail', 'claimer')});
	sql(q{SELECT workflow.claim('mail', 'w')});
	kill($how, $pid);
	ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), "a claimer is ended ($how)");
	$claimer->{run}->finish;
	is(done(), '"left"', 'its job is found');
}

# More priorities than are told apart, and then fewer again.
sub store { return sql("SELECT workflow.enqueue('mail', to_jsonb(n), priority => $_[0]) FROM generate_series($_[1], $_[2]) AS n") }
store('n', 1, 90);
is(join(',', map { done() } 1 .. 90), join(',', 1 .. 90), 'jobs of ninety priorities are claimed in their order');
store('-n', 1, 90);
is(join(',', map { done() } 1 .. 10), join(',', reverse 81 .. 90), 'and so are others');
sql(q{BEGIN; SELECT workflow.enqueue('mail', '"urgent"', priority => -2147483648); PREPARE TRANSACTION 'store'});
is(done(), 80, 'meanwhile one is stored that comes before all');
sql(q{COMMIT PREPARED 'store'; SELECT workflow.enqueue('mail', '"late"', priority => 2147483647)});
is(join(',', map { done() } 1 .. 81), join(',', '"urgent"', reverse(1 .. 79), '"late"'), 'and is claimed when it is there, before the others');
is(done(), '', 'and nothing is left');
is(sql(q{BEGIN; SELECT workflow.enqueue('mail', to_jsonb(n), priority => n) FROM generate_series(1, 200) AS n;
	SELECT 'got ' || payload::text FROM workflow.claim('mail', 'w', 1); ROLLBACK}) =~ /^got (.*)$/m ? $1 : '', '1', 'what a transaction has stored itself is claimed in order, too');
pass_others();

# More queues than there is room for.
sql(q{SELECT workflow.create_queue('queue ' || n, 'tester', '1 hour', '{boss}') FROM generate_series(1, 700) AS n});
my $all = q{SELECT count(*) FROM generate_series(1, 700) AS n, workflow.claim('queue ' || n, 'w', 1, '1 hour')};
foreach (1 .. 2)
{
	is(sql($all), '0', 'nothing is in any of 700 queues');
	sql(q{SELECT workflow.enqueue('queue ' || n, '1', priority => 1) FROM generate_series(1, 700) AS n});
	is(sql($all), '700', 'a job is found in each of them');
}
sql(q{BEGIN; SELECT workflow.enqueue('queue ' || n, '1', priority => 1) FROM generate_series(1, 700) AS n; PREPARE TRANSACTION 'all'});
is(sql($all), '0', 'what is prepared is not yet there') foreach 1 .. 2;
sql(q{COMMIT PREPARED 'all'});
is(sql($all), '700', 'and is found in each of them then');

# Turns of tenants: the mark of one is raised when others pass it by.
sql(q{SELECT workflow.create_queue('fair', 'tester', '1 hour', '{boss}', fair => true)});
sub turn { return sql(q{WITH c AS (SELECT * FROM workflow.claim('fair', 'w')) SELECT payload FROM c, LATERAL workflow.complete(job_id, token)}) }
sub pass_turns
{
	sql(q{SELECT workflow.enqueue('fair', '"passes"', tenant => t) FROM unnest('{ann,bob,bob,bob}'::text[]) AS t});
	is(join(',', map { turn() } 1 .. 5), join(',', ('"passes"') x 4) . ',', 'turns pass');
	return;
}
my $late = q{workflow.enqueue('fair', '"late"', tenant => 'ann', run_at => now() - interval '1 day')};
pass_turns() foreach 1 .. 2;
sql("SELECT $late");
is(turn(), '"late"', 'a job is found that is due before all that was finished');
pass_turns();
sql("BEGIN; SELECT $late; PREPARE TRANSACTION 'store'");
pass_turns() foreach 1 .. 2;
sql(q{COMMIT PREPARED 'store'});
is(turn(), '"late"', 'one whose transaction was prepared');
sql("BEGIN; SAVEPOINT one; SELECT $late; ROLLBACK TO one; SELECT $late; SAVEPOINT two; SELECT $late; RELEASE two; COMMIT");
is(join(',', map { turn() } 1 .. 3), '"late","late",', 'and those that savepoints have left');
sql("SELECT $late");
pass_turns_beside('ROLLBACK', 'of a claim that is rolled back');
pass_turns_beside("SELECT workflow.release(job_id, token) FROM workflow.job WHERE queue = 'fair' AND status = 'running'; COMMIT", 'one that is given back');
turn();
is(sql("BEGIN; SELECT $late; SELECT 'got ' || payload::text FROM workflow.claim('fair', 'w', 1); ROLLBACK") =~ /^got (.*)$/m ? $1 : '', '"late"', 'and what a transaction has stored itself');
sql(q{SELECT count(workflow.enqueue('fair', to_jsonb(n), tenant => 'tenant ' || n, run_at => now() - interval '1 hour')) FROM generate_series(1, 1500) AS n});
is(sql(q{SELECT count(*) FROM workflow.claim('fair', 'w', 2000, '1 hour')}), '1500', 'more tenants than are noted one by one');
sql(q{SELECT count(workflow.complete(job_id, token)) FROM workflow.job WHERE queue = 'fair' AND status = 'running'});
pass_turns();
sql(q{SELECT count(workflow.enqueue('fair', to_jsonb(n), tenant => 'tenant ' || n, run_at => now() - interval '1 day')) FROM generate_series(1, 1500) AS n});
is(sql(q{SELECT count(*) FROM workflow.claim('fair', 'w', 2000, '1 hour')}), '1500', 'and once more');

# A transaction holds the job of a tenant while others are served, and ends so.
sub pass_turns_beside
{
	my ($end, $what) = @_;
	my $claimer = $node->background_psql('postgres', on_error_die => 1);
	$claimer->query_safe(q{BEGIN; SELECT workflow.claim('fair', 'w', 1, '1 hour')});
	sql(q{SELECT workflow.enqueue('fair', '"passes"', tenant => 'bob')});
	$claimer->query_safe($end);
	$claimer->quit;
	is(join(',', sort map { turn() } 1 .. 2), '"late","passes"', $what);
	sql("SELECT $late");
	return;
}

# Another installation knows nothing of this one.
sql('DROP EXTENSION pg_workflow');
sql($create);
pass_others();

# A standby has no marks until it is promoted.
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
sql(q{SELECT workflow.enqueue('mail', '"moves"', key => 'm')});
sql(q{BEGIN; SELECT workflow.enqueue('mail', '"moves prepared"', key => 'n'); PREPARE TRANSACTION 'store'});
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
$node = $standby;
is(done(), '"moves"', 'a job is found after promotion');
pass_others();
sql(q{COMMIT PREPARED 'store'});
is(done(), '"moves prepared"', 'and one of a prepared transaction');

# Under load: jobs of all sorts, some stored and rolled back, some claimed so;
# prepared, failed, released.
sql(q{
	CREATE SEQUENCE number;
	CREATE TABLE stored (n bigint PRIMARY KEY);
	CREATE TABLE done (n bigint PRIMARY KEY);
});
my $script = $node->basedir . '/stress.sql';
append_to_file($script, <<'END');
\set kind random(1, 10)
\set priority random(-1, 1)
\set group random(1, 4)
BEGIN;
SELECT nextval('number') AS a, nextval('number') AS b \gset
INSERT INTO stored VALUES (:a);
SELECT workflow.enqueue('mail', to_jsonb(:a::bigint), key => 'k' || :a, priority => :priority);
SAVEPOINT one;
SELECT workflow.enqueue('mail', to_jsonb(:b::bigint), group_key => CASE WHEN :kind < 7 THEN 'g' || :group END,
	run_at => clock_timestamp() + :kind * interval '1 ms');
\if :kind < 4
ROLLBACK TO one;
\else
INSERT INTO stored VALUES (:b);
\endif
\if :kind = 10
SELECT quote_literal(format('p%s', :a)) AS gid \gset
PREPARE TRANSACTION :gid;
COMMIT PREPARED :gid;
\else
COMMIT;
\endif
BEGIN;
SELECT FROM workflow.claim('mail', 'w', 2);
SELECT FROM workflow.claim('mail', 'w', 2);
ROLLBACK;
SELECT quote_literal(coalesce(array_agg(job_id), '{}')) AS ids, quote_literal(coalesce(array_agg(token), '{}')) AS tokens, quote_literal(coalesce(array_agg(payload::bigint), '{}')) AS numbers FROM workflow.claim('mail', 'w', 3) \gset
BEGIN;
\if :kind = 5
SELECT workflow.release_many(:ids, :tokens);
\elif :kind = 6
SELECT count(workflow.fail(j, t, 'timeout', 'again')) FROM unnest(:ids::bigint[], :tokens::text[]) AS u (j, t);
\else
SELECT workflow.complete_many(:ids, :tokens);
INSERT INTO done SELECT unnest(:numbers::bigint[]);
\endif
COMMIT;
END
# Jobs that are not due, of so many priorities that the others are not told apart.
sub crowd { return sql("SELECT count(workflow.enqueue('mail', '0', run_at => now() + interval '1 day', priority => n)) FROM generate_series(2, $_[0]) AS n") }
foreach my $crowd (1, 100)
{
	crowd($crowd);
	$node->command_ok([ 'pgbench', '-n', '-M', 'simple', '-c', '12', '-j', '2', '-t', '150', '-f', $script, $node->connstr('postgres') ],
		'clients store, claim and complete' . ($crowd > 1 ? ', in a crowd' : ''));
	sql(q{SELECT workflow.cancel_jobs(ARRAY(SELECT job_id FROM workflow.jobs WHERE payload = '0'))});
	ok( $node->poll_query_until(
			'postgres', q{
		WITH claimed AS (SELECT * FROM workflow.claim('mail', 'w', 100)),
		     done AS (INSERT INTO done SELECT payload::bigint FROM claimed RETURNING n)
		SELECT (SELECT count(workflow.complete(job_id, token)) FROM claimed) = 0 AND NOT EXISTS (SELECT FROM workflow.job)}),
		'claims find what is left');
	is(sql('SELECT count(*) FROM stored FULL JOIN done USING (n) WHERE stored.n IS NULL OR done.n IS NULL'), '0', 'each job was done once');
}

done_testing();
