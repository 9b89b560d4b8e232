# Queues under stress, for as many seconds as WF_STRESS says: sixteen clients
# store, claim, extend, fail, release and complete jobs of lanes and of the table
# (keyed, delayed, grouped, of all priorities), with savepoints that are rolled
# back and prepared transactions, beside a transaction that holds what it has
# stored for long; sessions are ended and killed, and the server is stopped and
# started, over which leases and prepared transactions last.  At last a million jobs
# pass one that is held open (fewer in less than five minutes).  No job is lost, none
# is done twice or claimed by two at once, and the figures are what a look at all jobs
# finds.
#
# What its last checks are worth was seen with libraries that are broken on purpose, for
# thirty seconds each:
# - a claim that lets go of the lane between finding its jobs and taking them: "nor was
#   any before the claim of another one had ended" finds four;
# - that, a little later each 300th time, and completions that ask for no secret: "none
#   was claimed by two at once" finds them, too;
# - claims of the table without FOR UPDATE SKIP LOCKED: the clients end by WF004 within
#   seconds, and "no work is done";
# - a commit that forgets one of 977 jobs which it stores in a lane: "no job is lost"
#   misses 102.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{WF_STRESS};
plan skip_all => 'make check-stress runs it' if !$seconds;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "restart_after_crash = on\nfsync = off\nmax_wal_size = 4GB\npg_workflow.workers = on");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }

# "held" has the token that each job was claimed with last; who can complete a job
# has held it all the time, and finds his own.  "claimed" has each claim that was
# committed: an attempt is on record for each when all is done.
sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('stress', 'tester', '1 hour', '{boss}',
	  retry => '{"max_attempts": 1000, "backoff": {"initial": "10 ms", "max": "500 ms"}}');
	CREATE SEQUENCE number;
	CREATE TABLE stored (n bigint PRIMARY KEY);
	CREATE TABLE held (n bigint PRIMARY KEY, token text NOT NULL);
	CREATE TABLE done (n bigint PRIMARY KEY);
	CREATE TABLE twice (n bigint);
	CREATE TABLE claimed (job_id bigint);
	CREATE FUNCTION store(lane boolean, kind int) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
	  n bigint := nextval('number');
	BEGIN
	  INSERT INTO stored VALUES (n);
	  PERFORM CASE
	    WHEN lane THEN workflow.enqueue('stress', to_jsonb(n))
	    WHEN kind <= 3 THEN workflow.enqueue('stress', to_jsonb(n), key => n::text)
	    WHEN kind <= 5 THEN workflow.enqueue('stress', to_jsonb(n), run_at => clock_timestamp() + random() * interval '2 s')
	    WHEN kind <= 8 THEN workflow.enqueue('stress', to_jsonb(n), priority => kind - 7)
	    ELSE workflow.enqueue('stress', to_jsonb(n), group_key => (n % 50)::text) END;
	  RETURN n;
	END $$;
	CREATE FUNCTION take(batch int, lease interval) RETURNS TABLE (ids bigint[], tokens text[], numbers bigint[]) LANGUAGE plpgsql AS $$
	BEGIN
	  SELECT coalesce(array_agg(c.job_id), '{}'), coalesce(array_agg(c.token), '{}'), coalesce(array_agg(c.payload::bigint), '{}')
	  INTO ids, tokens, numbers FROM workflow.claim('stress', 'w', batch, lease) AS c;
	  INSERT INTO claimed SELECT unnest(ids);
	  INSERT INTO held SELECT * FROM unnest(numbers, tokens) AS u (n, token) ORDER BY n
	  ON CONFLICT (n) DO UPDATE SET token = excluded.token;
	  RETURN NEXT;
	END $$;
	CREATE FUNCTION finish(ids bigint[], tokens text[], numbers bigint[]) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
	  PERFORM workflow.complete_many(ids, tokens);
	  INSERT INTO twice SELECT h.n FROM held AS h WHERE h.n = ANY (numbers) AND h.token <> ALL (tokens);
	  DELETE FROM held AS h WHERE h.n = ANY (numbers);
	  INSERT INTO done SELECT unnest(numbers);
	END $$;
	CREATE TABLE kept (ids bigint[], tokens text[], numbers bigint[]);
	CREATE PROCEDURE pass(count int, batch int) LANGUAGE plpgsql AS $$
	DECLARE
	  taken record;
	BEGIN
	  FOR i IN 1 .. count / batch LOOP
	    WITH s AS (INSERT INTO stored SELECT nextval('number') FROM generate_series(1, batch) RETURNING n)
	    SELECT NULL INTO taken FROM (SELECT array_agg(to_jsonb(n)) AS all FROM s) AS p, workflow.enqueue_many('stress', p.all);
	    COMMIT;
	    SELECT * INTO taken FROM take(batch, NULL);
	    COMMIT;
	    PERFORM finish(taken.ids, taken.tokens, taken.numbers);
	    COMMIT;
	  END LOOP;
	END $$;
});

my $script = $node->basedir . '/stress.sql';
append_to_file($script, <<'END');
\set batch random(2, 8)
\set kind random(1, 10)
\set how random(1, 10)
\set lane random(0, 1)
BEGIN;
SELECT store(:lane = 1, :kind) AS a \gset
SAVEPOINT one;
SELECT store(:lane = 0, :kind) AS b \gset
\if :how < 4
ROLLBACK TO one;
\endif
SELECT store(:lane = 1, :how) AS c \gset
\if :how = 10
SELECT quote_literal(format('p%s', :a)) AS gid \gset
PREPARE TRANSACTION :gid;
\if :kind = 1
ROLLBACK PREPARED :gid;
\else
COMMIT PREPARED :gid;
\endif
\else
COMMIT;
\endif
BEGIN;
SELECT quote_literal(ids) AS ids, quote_literal(tokens) AS tokens, quote_literal(numbers) AS numbers FROM take(:batch, CASE WHEN :kind < 6 THEN interval '15 seconds' END) \gset
\if :how = 1
ROLLBACK;
BEGIN;
SELECT quote_literal(ids) AS ids, quote_literal(tokens) AS tokens, quote_literal(numbers) AS numbers FROM take(:batch, CASE WHEN :kind < 6 THEN interval '15 seconds' END) \gset
\endif
COMMIT;
\if :how > 7
SELECT workflow.extend_many(:ids, :tokens, '20 seconds');
\endif
\if :how = 3
SELECT workflow.fail(id, token, 'unavailable', 'x') FROM unnest(:ids::bigint[], :tokens::text[]) AS u (id, token);
\elif :how = 4
SELECT workflow.release_many(:ids, :tokens);
\else
BEGIN;
SAVEPOINT one;
SELECT finish(:ids, :tokens, :numbers);
\if :how = 2
ROLLBACK TO one;
SELECT finish(:ids, :tokens, :numbers);
\endif
COMMIT;
\endif
END

my $output = '';
sub start_clients
{
	my $in = '';
	return IPC::Run::start(
		[ 'pgbench', '-n', '-M', 'simple', '-c', '16', '-j', '2', '-T', '600', '-f', $script, $node->connstr('postgres') . ' application_name=pgbench' ],
		'<', \$in, '>', \$output, '2>', \$output);
}

sub done_grows
{
	my $before = sql('SELECT count(*) FROM done');
	$node->poll_query_until('postgres', "SELECT count(*) > $before + 200 FROM done") or BAIL_OUT("no work is done: $output");
	return;
}

sub end_a_client
{
	my ($signal) = @_;
	my ($code, $pid) = $node->psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench' ORDER BY random() LIMIT 1");
	return if !$pid;
	$node->psql('postgres', "SELECT pg_terminate_backend($pid)") if !$signal;
	return if !$signal || !kill($signal, $pid);
	# the server goes down with it; what comes next needs it again
	$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)") or BAIL_OUT('the server stays down');
	return;
}

# A transaction that is open while others pass it.
my $holders = 0;
sub hold
{
	my $holder = $node->background_psql('postgres');
	$holder->set_query_timer_restart;	# it waits for as long as a million jobs take
	$holder->query_safe("BEGIN; SELECT store(true, 1), store(false, 1), store(false, 6)");
	$holders++;
	return $holder;
}

# What lasts over a stop of the server: leases with their tokens, and a transaction
# that is prepared.
sub keep
{
	sql(q{INSERT INTO kept SELECT t.* FROM generate_series(1, 5) AS n, take(9 + n, '10 minutes') AS t});
	sql(q{SELECT workflow.extend_many(ids, tokens, '1 hour') FROM kept WHERE cardinality(ids) % 2 = 0});
	sql(q{BEGIN; SELECT store(n % 2 = 0, n) FROM generate_series(1, 10) AS n; PREPARE TRANSACTION 'kept'});
	return;
}
sub finish_kept
{
	sql(q{COMMIT PREPARED 'kept'});
	cmp_ok(sql('SELECT sum(cardinality(ids)) FROM kept'), '>', 0, 'there are leases');
	is(sql('SELECT count(finish(ids, tokens, numbers)) FROM kept'), '5', 'whose jobs can be completed after a stop of the server');
	sql('TRUNCATE kept');
	return;
}

# At the half of the time the server is restarted, later it stops at once, and
# each third round a session is killed and takes the server with it.
my $end = time + $seconds;
my $rounds = 0;
my %stops = (fast => $end - $seconds / 2, immediate => $end - $seconds / 4);
while (time < $end)
{
	my $clients = start_clients();
	my $holder = hold();
	my $until = time + 15;
	my $ended = 0;
	while (time < $until)
	{
		done_grows();
		end_a_client(undef) if $ended++ < 5;
	}
	$holder->query_safe('COMMIT');
	$holder->quit;
	end_a_client('KILL') if $rounds++ % 3 == 2;
	foreach my $how (grep { $stops{$_} <= time } sort keys %stops)
	{
		delete $stops{$how};
		keep();
		$node->stop($how);
		$node->start;
		finish_kept();
	}
	$clients->kill_kill;
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'}) or BAIL_OUT('clients stay');
}
note("$rounds rounds; " . sql('SELECT count(*) FROM done') . ' jobs done');

# Many pass some that are held open.
my $many = 10_000 * int(100 * ($seconds < 300 ? $seconds / 300 : 1));
my $holder = hold();
my $done_before = sql('SELECT count(*) FROM done');
$node->command_ok([ 'psql', '-XAtq', '-c', "CALL pass($many, 5000)", $node->connstr('postgres') ], "$many jobs pass some that are held open");
is(sql("SELECT count(*) - $done_before FROM done"), $many, 'and are done');
$holder->query_safe('COMMIT');
$holder->quit;

foreach my $gid (split /\n/, sql('SELECT gid FROM pg_prepared_xacts'))
{
	sql("COMMIT PREPARED '$gid'");
}
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM workflow._wrong_figures()}), 'the figures are what a look at all jobs finds');
ok($node->poll_query_until('postgres', q{
	SELECT (SELECT count(finish(ids, tokens, numbers)) >= 0 FROM take(1000, NULL))
	  AND (SELECT sum(ready + delayed + running + waiting + dead) = 0 FROM workflow.queues)}), 'all that is left can be done');
is(sql('SELECT (SELECT count(*) FROM (TABLE stored EXCEPT TABLE done) AS lost), (SELECT count(*) FROM (TABLE done EXCEPT TABLE stored) AS invented)'),
	'0|0', 'no job is lost, and none done that was never stored');
is(sql('SELECT * FROM twice'), '', 'none was claimed by two at once');
is( sql(q{
	SELECT count(*) FROM (SELECT job_id, count(*) AS n FROM claimed GROUP BY job_id) AS c
	  FULL JOIN (SELECT job_id, count(*) AS n FROM workflow.attempts GROUP BY job_id) AS a USING (job_id, n)
	WHERE c.job_id IS NULL OR a.job_id IS NULL}), '0', 'nor was any before the claim of another one had ended');
is(sql('SELECT * FROM workflow._wrong_figures()'), '', 'the figures say that nothing is left');
is(sql('SELECT (SELECT count(*) FROM workflow.job), (SELECT count(*) FROM workflow._lane_jobs())'), '0|0', 'which is so');
cmp_ok(sql('SELECT count(*) FROM done'), '>', 200 * $rounds, 'which were not few');

done_testing();
