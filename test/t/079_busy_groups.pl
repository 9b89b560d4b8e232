# Jobs that wait for their group are no load: a claim touches as many pages
# beside a hundred thousand of them as beside none.  And no group is left without
# a head, however its transactions end.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "autovacuum = off\nrestart_after_crash = on");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(q{CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue(q, 'tester', '1 hour', '{boss}') FROM unnest('{mail,some,none}'::text[]) AS q;
	SELECT workflow.create_queue('few', 'tester', '1 hour', '{boss}', max_running => 1)});

my $count = q{SELECT 'pages ' || heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
	FROM pg_statio_all_tables WHERE relid = 'workflow.job'::regclass};
my $flush = 'SELECT pg_stat_force_next_flush()';

# Pages for each of ten statements, after the first.
sub pages
{
	my ($statement) = @_;
	my ($before, $after) = sql(join ";\n", $statement, $flush, $count, ($statement) x 10, $flush, $count) =~ /^pages (\d+)$/mg;
	return ($after - $before) / 10;
}

sub claim_pages
{
	my ($queue) = @_;
	sql("SELECT workflow.enqueue('$queue', '1', key => 'key ' || n) FROM generate_series(1, 11) AS n");
	my $pages = pages("SELECT count(*) FROM workflow.claim('$queue', 'w', 1, '1 hour')");
	sql("SELECT workflow.complete(job_id, token) FROM workflow.job WHERE queue = '$queue' AND status = 'running' AND key IS NOT NULL");
	sql('VACUUM workflow.job');
	return $pages;
}

sub fill_group
{
	my ($queue, $from, $until) = @_;
	sql("SELECT count(workflow.enqueue('$queue', '1', group_key => 'busy')) FROM generate_series($from, $until)");
	sql('VACUUM ANALYZE workflow.job');
	return;
}

# A claim of other jobs beside the group; one that finds nothing else.
my $none = claim_pages('mail');
fill_group('mail', 1, 2);
is(sql(q{SELECT count(*) FROM workflow.claim('mail', 'long', 1, '1 hour')}), '1', 'the head of a group runs');
my $nothing = pages(q{SELECT count(*) FROM workflow.claim('mail', 'w', 1, '1 hour')});
foreach my $upto ([3, 20000], [20001, 100000])
{
	fill_group('mail', @$upto);
	my $pages = claim_pages('mail');
	my $empty = pages(q{SELECT count(*) FROM workflow.claim('mail', 'w', 1, '1 hour')});
	note("$pages pages a claim beside $upto->[1] jobs of a busy group, $none beside none; $empty and $nothing where there is nothing else");
	cmp_ok($pages, '<=', 1.3 * $none, "a claim is not slower beside $upto->[1] jobs of a busy group");
	cmp_ok($empty, '<=', 1.3 * $nothing, 'nor is one that finds nothing');
}
is(sql(q{SELECT count(workflow.complete(job_id, token)) FROM workflow.job WHERE worker = 'long'}), '1', 'the head ends');
is(sql(q{SELECT count(*) FROM workflow.claim('mail', 'long', 5, '1 hour')}), '1', 'and the next one runs');

# Where max_running is reached a claim ends at once, whatever waits.
sql(q{SELECT workflow.enqueue('few', '1') FROM generate_series(1, 2); SELECT workflow.claim('few', 'w', 1, '1 hour')});
my $full = pages(q{SELECT count(*) FROM workflow.claim('few', 'w', 1, '1 hour')});
foreach my $upto (20000, 100000)
{
	sql("SELECT count(workflow.enqueue('few', '1')) FROM generate_series(1, $upto)");
	sql('VACUUM ANALYZE workflow.job');
	my $pages = pages(q{SELECT count(*) FROM workflow.claim('few', 'w', 1, '1 hour')});
	note("$pages pages a claim of a full queue with $upto more, $full with one");
	cmp_ok($pages, '<=', 1.3 * $full, "a claim of a full queue does not look at $upto jobs that wait");
}

# Whoever ends a prepared transaction tells nobody; who dies cannot.
sub create { return "SELECT workflow.create_queue('$_[0]', 'tester', '1 hour', '{boss}', retry => '{\"max_attempts\": 1000, \"backoff\": {\"initial\": \"1 ms\", \"max\": \"1 ms\"}}')" }
sub enqueue { return "SELECT workflow.enqueue('$_[0]', '$_[1]', group_key => 'g')" }
sub claim { return sql("SELECT payload FROM workflow.claim('$_[0]', 'w', 5, '1 hour')") }
my $complete = "SELECT count(workflow.complete(job_id, token)) FROM workflow.job WHERE status = 'running'";
sub headless
{
	return sql(q{SELECT count(*) FROM (SELECT DISTINCT ON (queue, group_key) behind FROM workflow.job
		WHERE group_key IS NOT NULL AND status <> 'dead' ORDER BY queue, group_key, job_id) AS g WHERE behind});
}
sql($complete);

foreach my $how ('commit', 'restart', 'kill')
{
	my $queue = "prepared_$how";
	sql(create($queue));
	sql(enqueue($queue, 1));
	is(claim($queue), '1', "$how: the head of a group runs");
	sql(join ';', 'BEGIN', enqueue($queue, 2), "PREPARE TRANSACTION 'store'");
	sql($complete);
	is(claim($queue), '', 'and nothing else');
	$node->restart if $how eq 'restart';
	if ($how eq 'kill')
	{
		$node->stop('immediate');
		$node->start;
	}
	is(claim($queue), '', 'as long as the transaction of the next one is prepared');
	sql(q{COMMIT PREPARED 'store'});
	is(headless(), '1', 'which left its group without a head');
	is(claim($queue), '2', 'and is found when it ends');
	sql(join ';', 'BEGIN', $complete, "PREPARE TRANSACTION 'done'");
	sql(enqueue($queue, 3));
	sql(q{COMMIT PREPARED 'done'});
	is(claim($queue), '3', 'so is one that was stored while the end of the head was prepared');
	sql($complete);
}

# A group that was left so when the server died, and one that comes so by a restore.
sql(create('mended'));
sql(enqueue('mended', 1));
sql("UPDATE workflow.job SET behind = true WHERE queue = 'mended'");
$node->stop('immediate');
$node->start;
is(claim('mended'), '1', 'after a crash groups are looked at');
sql($complete);
sql(enqueue('mended', $_)) foreach 1 .. 3;
is(claim('mended'), '1', 'a head runs');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->run_log([ 'pg_dump', '-Fc', '-f', $node->basedir . '/dump', $node->connstr('postgres') ]);
$node->run_log([ 'pg_restore', '-d', $node->connstr('copy'), $node->basedir . '/dump' ]);
my $taken = q{SELECT payload FROM workflow.claim('mended', 'w', 5, '1 hour')};
is($node->safe_psql('copy', $taken), '', 'restored it is busy');
$node->safe_psql('copy', $complete);
is($node->safe_psql('copy', $taken), '2', 'and goes on');
$node->safe_psql('copy', $complete);
is($node->safe_psql('copy', $taken), '3', 'in its order');
$node->safe_psql('copy', q{SET session_replication_role = replica;
	INSERT INTO workflow.job (queue, group_key, run_at, created_at, payload, behind) VALUES ('mended', 'alone', now(), now(), '4', true)});
is($node->safe_psql('copy', $taken), '4', 'one that comes without a head gets one');

# Many at few groups, some of which are undone and some of which die.
sql(create('mixed'));
sql(q{CREATE FUNCTION step() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  dice double precision := random();
  n int := 1 + random() * 3;
BEGIN
  IF dice < 0.4 THEN
    PERFORM workflow.enqueue('mixed', '0', group_key => 'g' || n);
  ELSIF dice < 0.45 THEN
    BEGIN
      PERFORM workflow.enqueue('mixed', '0', group_key => 'g' || n);
      RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
      PERFORM workflow.enqueue('mixed', '0', group_key => 'g' || n);
    END;
  ELSIF dice < 0.5 THEN
    PERFORM workflow.release(job_id, token) FROM workflow.claim('mixed', 'w', n);
  ELSIF dice < 0.55 THEN
    PERFORM workflow.fail(job_id, token, 'permanent', 'no') FROM workflow.claim('mixed', 'w', n);
  ELSIF dice < 0.6 THEN
    PERFORM workflow.replay_job(j.job_id, 'again') FROM (SELECT job_id FROM workflow.job WHERE status = 'dead' AND queue = 'mixed' LIMIT 1 FOR UPDATE SKIP LOCKED) AS j;
  ELSIF dice < 0.65 THEN
    PERFORM workflow.cancel_job(j.job_id) FROM (SELECT job_id FROM workflow.job WHERE queue = 'mixed' LIMIT 1 FOR UPDATE SKIP LOCKED) AS j;
  ELSE
    PERFORM workflow.complete(job_id, token) FROM workflow.claim('mixed', 'w', n);
  END IF;
  IF random() < 0.1 THEN
    RAISE EXCEPTION 'undone' USING ERRCODE = 'P0001';
  END IF;
END $$});
my @clients;
foreach my $i (1 .. 6)
{
	push @clients, IPC::Run::start(
		[ 'psql', '-X', '-q', '-d', $node->connstr('postgres') ],
		'<', \(join '', map { $_ % 4 ? "SELECT step();\n" : "BEGIN; SELECT step(); SELECT step(); COMMIT;\n" } 1 .. 400),
		'>', '/dev/null', '2>', '/dev/null');
}
foreach (1 .. 5)
{
	$node->poll_query_until('postgres', q{SELECT count(pg_terminate_backend(pid)) <= 1 FROM (SELECT pid FROM pg_stat_activity
		WHERE query LIKE '%step()%' AND pid <> pg_backend_pid() LIMIT 1) AS a});
}
$_->finish foreach @clients;
sql(q{SELECT workflow.replay_job(job_id, 'again') FROM workflow.job WHERE queue = 'mixed' AND status = 'dead'});
sql(q{SELECT workflow.enqueue('mixed', '0', group_key => 'g' || n) FROM generate_series(1, 5) AS n, generate_series(1, 3)});
my $left = sql(q{SELECT count(*) FROM workflow.job WHERE queue = 'mixed'});
cmp_ok($left, '>=', 15, 'jobs are left, behind those of before');
ok($node->poll_query_until('postgres', q{SELECT count(workflow.complete(job_id, token)) = 0
	AND NOT EXISTS (SELECT FROM workflow.job WHERE queue = 'mixed') FROM workflow.claim('mixed', 'w', 100)}), 'and can all be claimed');
is(headless(), '0', 'no group is without a head');
is(sql('SELECT count(*) FROM workflow._wrong_figures()'), '0', 'figures are right');

# Without preload there is nobody to keep watch: jobs do not stand behind, and
# those that do are let out.
sql(create('plain'));
sql(enqueue('plain', $_)) foreach 1 .. 3;
is(claim('plain'), '1', 'a head runs');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
sql(enqueue('plain', 4));
is(sql(q{SELECT string_agg(payload::text || ':' || behind, ' ' ORDER BY job_id) FROM workflow.job WHERE queue = 'plain'}), '1:false 2:true 3:true 4:false', 'without preload none is put behind');
sql($complete);
is(claim('plain'), '2', 'the next one runs');
sql($complete);
is(claim('plain'), '3', 'and the next one');
sql($complete);
sql("UPDATE workflow.job SET behind = true WHERE queue = 'plain'");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM workflow.claim('plain', 'w', 5, '1 hour')}), 'and one that was left behind');

done_testing();
