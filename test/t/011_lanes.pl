# Jobs in lanes under stress: many sessions store, claim and complete, with
# savepoints that are rolled back and prepared transactions, while backends are
# killed and the server stops at once in the middle.  No job is lost and none is
# completed twice.  Segments are given back, and a restore brings all.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "restart_after_crash = on\nfsync = off\nmax_wal_size = 4GB");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('stress', 'tester', '1 hour', '{boss}', retry => '{"max_attempts": 1000}');
	CREATE SEQUENCE number;
	CREATE TABLE stored (n bigint PRIMARY KEY);
	CREATE TABLE done (n bigint PRIMARY KEY);
});

my $script = $node->basedir . '/stress.sql';
append_to_file($script, <<'END');
\set batch random(1, 5)
\set kind random(1, 10)
BEGIN;
SELECT nextval('number') AS a, nextval('number') AS b \gset
INSERT INTO stored VALUES (:a);
SELECT workflow.enqueue('stress', to_jsonb(:a::bigint));
SAVEPOINT one;
SELECT workflow.enqueue('stress', to_jsonb(:b::bigint));
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
SELECT quote_literal(coalesce(array_agg(job_id), '{}')) AS ids, quote_literal(coalesce(array_agg(token), '{}')) AS tokens, quote_literal(coalesce(array_agg(payload::bigint), '{}')) AS numbers FROM workflow.claim('stress', 'w', :batch) \gset
\if :kind = 1
ROLLBACK;
BEGIN;
SELECT quote_literal(coalesce(array_agg(job_id), '{}')) AS ids, quote_literal(coalesce(array_agg(token), '{}')) AS tokens, quote_literal(coalesce(array_agg(payload::bigint), '{}')) AS numbers FROM workflow.claim('stress', 'w', :batch) \gset
\endif
COMMIT;
BEGIN;
SAVEPOINT one;
SELECT workflow.complete_many(:ids, :tokens);
\if :kind = 2
ROLLBACK TO one;
SELECT workflow.complete_many(:ids, :tokens);
\endif
INSERT INTO done SELECT unnest(:numbers::bigint[]);
COMMIT;
END

# Runs clients for some seconds; those whose sessions are ended give up.
sub start_clients
{
	my ($seconds) = @_;
	my ($in, $out) = ('', '');
	return IPC::Run::start(
		[ 'pgbench', '-n', '-M', 'simple', '-c', '16', '-j', '2', '-T', $seconds, '-f', $script, $node->connstr('postgres') . ' application_name=pgbench' ],
		'<', \$in, '>', \$out, '2>', \$out);
}

sub end_a_client
{
	my ($how) = @_;
	my ($code, $pid) = $node->psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench' ORDER BY random() LIMIT 1");
	return if !$pid;
	kill($how, $pid) if $how;
	$node->psql('postgres', "SELECT pg_terminate_backend($pid)") if !$how;
	return;
}

sub done_grows
{
	my $before = sql('SELECT count(*) FROM done');
	$node->poll_query_until('postgres', "SELECT count(*) > $before + 200 FROM done") or BAIL_OUT('no work is done');
	return;
}

foreach my $end (undef, undef, 'KILL', 'stop')
{
	my $clients = start_clients(600);
	done_grows();
	foreach (1 .. 5)
	{
		end_a_client(undef);
		done_grows();
	}
	end_a_client('KILL') if defined $end && $end eq 'KILL';
	$node->stop('immediate') if defined $end && $end eq 'stop';
	$node->start if defined $end && $end eq 'stop';
	ok($node->poll_query_until('postgres', 'SELECT true'), 'the server is there');
	$clients->kill_kill;
}

# What is left is done by one session.
foreach my $gid (split /\n/, sql('SELECT gid FROM pg_prepared_xacts'))
{
	sql("COMMIT PREPARED '$gid'");
}
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'"),
	'the clients are gone');
is(sql('SELECT * FROM workflow._wrong_figures()'), '', 'the figures are what a look at all jobs finds');
sub drain
{
	my ($queue) = @_;
	$node->safe_psql('postgres', qq{
		DO \$\$
		DECLARE
		  ids bigint[];
		  tokens text[];
		  numbers bigint[];
		BEGIN
		  LOOP
		    SELECT array_agg(job_id), array_agg(token), array_agg(payload::bigint) INTO ids, tokens, numbers
		    FROM workflow.claim('$queue', 'last', 1000);
		    EXIT WHEN ids IS NULL;
		    PERFORM workflow.complete_many(ids, tokens);
		    INSERT INTO done SELECT unnest(numbers);
		    COMMIT;
		  END LOOP;
		END \$\$});
	return;
}
drain('stress');
is(sql('SELECT (SELECT count(*) FROM (TABLE stored EXCEPT TABLE done) AS lost), (SELECT count(*) FROM (TABLE done EXCEPT TABLE stored) AS invented)'),
	'0|0', 'no job is lost, and none done that was never stored');
is(sql('SELECT count(*) FROM workflow.job'), '0', 'no job is left in the table');
is(sql('SELECT sum(ready + running) FROM workflow.queues'), '0', 'nor in the lane');
cmp_ok(sql('SELECT count(*) FROM done'), '>', 2000, 'which were not few');

# Segments that are full are given back, while a snapshot from before is held,
# and one job that nobody completes stays what it was.
my $holder = $node->background_psql('postgres');
$holder->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM workflow.queue');
sql("SELECT workflow.create_queue('many', 'tester', '1 hour', '{boss}')");
sql(q{SELECT count(workflow.enqueue_many('many', array_fill(to_jsonb(repeat('x', 300)), '{10000}'))) FROM generate_series(1, 25)});
my $sizes = q{SELECT count(*) FILTER (WHERE pg_relation_size(oid) > 0) FROM pg_class WHERE relname ~ '^segment_\d$'};
cmp_ok(sql($sizes), '>', 1, 'jobs fill several segments');
my $left = sql(q{SELECT job_id FROM workflow.claim('many', 'w', lease => '1 hour')});
sql(q{
	DO $$
	DECLARE
	  ids bigint[];
	  tokens text[];
	BEGIN
	  LOOP
	    SELECT array_agg(job_id), array_agg(token) INTO ids, tokens FROM workflow.claim('many', 'last', 5000);
	    EXIT WHEN ids IS NULL;
	    PERFORM workflow.complete_many(ids, tokens);
	    COMMIT;
	  END LOOP;
	END $$});
is(sql("SELECT count(*) FROM workflow.attempts WHERE queue = 'many' AND outcome = 'ok'"), '249999', 'all are done but one');
is(sql("SELECT job_id FROM workflow._lane_jobs()"), $left, 'which is claimed');
sql("SELECT workflow.complete($left, token) FROM workflow._lane_jobs()");
sql("ALTER SYSTEM SET pg_workflow.workers = on; SELECT pg_reload_conf()");
ok($node->poll_query_until('postgres', "SELECT count(*) <= 1 FROM pg_class WHERE relname ~ '^segment_\\d\$' AND pg_relation_size(oid) > 0"),
	'their space is given back, though a snapshot from before is held');
is($holder->query('SELECT count(*) FROM workflow.queue'), '1', 'which is');
$holder->quit;

# After a restart, and in a restored copy, the lanes are what they were.
sql(q{
	SELECT count(workflow.enqueue_many('many', (SELECT array_agg(to_jsonb(-n)) FROM generate_series(1, 1000) AS n)));
	SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('many', 'w', 100);
	SELECT count(*) FROM workflow.claim('many', 'w', 100, '1 day')});
my $figures = "SELECT ready, running FROM workflow.queues WHERE queue = 'many'";
is(sql($figures), '800|100', 'some are ready, some are claimed');
$node->restart;
is(sql($figures), '800|100', 'after a restart, too');
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('copy'), $dump ], 'is restored');
is($node->safe_psql('copy', $figures), '800|100', 'and has the same jobs');
is($node->safe_psql('copy', "SELECT count(*), min(-payload::int), max(-payload::int) FROM workflow.claim('many', 'w', 1000)"),
	'800|201|1000', 'those that were not claimed can be');

done_testing();
