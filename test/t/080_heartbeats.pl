# Heartbeats of claims with a lease write nothing, wherever the job is.  A lease
# lasts as long as was last said, over a crash as long as it was last written.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub fails { my ($out, $err); $node->psql('postgres', $_[0], stderr => \$err); return $err }
my $retry = q{'{"max_attempts": 9, "backoff": {"initial": "1 ms", "max": "1 ms", "jitter": "none"}}'};
sql(qq{CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue(q, 'tester', '1 hour', '{boss}', retry => $retry,
	  max_running => CASE q WHEN 'few' THEN 1 WHEN 'many' THEN 100000 END) FROM unnest('{mail,few,many,wait}'::text[]) AS q;
	CREATE TABLE mine (queue text, job_id bigint, token text)});

sub enqueue { return sql("SELECT count(workflow.enqueue('$_[0]', to_jsonb(n), key => 'k' || n)) FROM generate_series(1, $_[1]) AS n") }
sub take { return sql("DELETE FROM mine; INSERT INTO mine SELECT queue, job_id, token FROM workflow.claim('$_[0]', 'w', $_[1], $_[2])") }
sub claimed { return sql("SELECT count(*) FROM workflow.claim('$_[0]', 'other', 100, '1 hour')") }
my $extend = q{SELECT count(workflow.extend(job_id, token, '1 hour')) FROM mine};
my $extend_many = q{SELECT workflow.extend_many(array_agg(job_id), array_agg(token), '1 hour') IS NOT NULL FROM mine};
my $complete = q{SELECT count(workflow.complete(job_id, token)) FROM mine};

# Bytes of WAL of ten times a statement.  Others may write meanwhile, so the best
# of some is it.
sub wal
{
	my ($statement) = @_;
	my $best;
	sql($statement);
	foreach (1 .. 5)
	{
		my @out = split /\n/, sql(join ";\n", 'SELECT pg_current_wal_insert_lsn()', ($statement) x 10, 'SELECT pg_current_wal_insert_lsn()');
		my $bytes = sql("SELECT '$out[-1]'::pg_lsn - '$out[0]'::pg_lsn");
		$best = $bytes if !defined $best || $bytes < $best;
		last if $best == 0;
	}
	return $best;
}

enqueue('mail', 500);
take('mail', 500, q{'5 seconds'});
is(wal($extend), '0', 'heartbeats of jobs of the table write nothing');
is(wal($extend_many), '0', 'nor do those of many');
ok($node->poll_query_until('postgres', q{SELECT max(lease_until) < clock_timestamp() FROM workflow.job}), 'their rows say that the leases have ended');
is(claimed('mail'), '0', 'nobody else gets the jobs');
my $count = q{SELECT 'pages ' || heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
	FROM pg_statio_all_tables WHERE relid = 'workflow.job'::regclass};
my $claim = q{SELECT count(*) FROM workflow.claim('mail', 'other', 100, '1 hour')};
my $flush = 'SELECT pg_stat_force_next_flush()';
my ($before, $after) = sql(join ";\n", $claim, $flush, $count, ($claim) x 10, $flush, $count) =~ /^pages (\d+)$/mg;
cmp_ok(($after - $before) / 10, '<=', 10, 'nor looks at them');
sql('CALL workflow.run()');
is(sql($complete), '500', 'and they are completed');

# A claim that is bound to its session is written once, for the lease outlives it.
enqueue('mail', 1);
my $bound = $node->background_psql('postgres', on_error_die => 1);
$bound->query_safe(q{DELETE FROM mine; INSERT INTO mine SELECT queue, job_id, token FROM workflow.claim('mail', 'w')});
sql($extend);
is(wal($extend), '0', 'nor do heartbeats after the first of a claim that was bound to its session');
$bound->quit;
is(claimed('mail'), '0', 'which is gone');
is(sql($complete), '1', 'while its job is not');

# The end in memory counts, an earlier one, too.
enqueue('mail', 2);
take('mail', 2, q{'1 hour'});
sql(q{SELECT count(workflow.extend(job_id, token, '2 hours')) FROM mine});
sql(q{SELECT count(workflow.extend(job_id, token, '50 ms')) FROM (SELECT * FROM mine ORDER BY job_id DESC LIMIT 1) AS m});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM workflow.claim('mail', 'other', 5, '1 hour')}), 'a job is given to somebody else when its lease has ended in memory');
is(sql(q{SELECT count(*) FROM workflow.attempt WHERE outcome = 'lost'}), '1', 'which is on record');
like(fails(q{SELECT workflow.extend(job_id, token, '1 hour') FROM (SELECT * FROM mine ORDER BY job_id DESC LIMIT 1) AS m}), qr/has ended/, 'its token is refused');
like(fails($extend_many), qr/has ended/, 'and so are all with it');
is(sql($complete =~ s/mine/(SELECT * FROM mine ORDER BY job_id LIMIT 1) AS m/r), '1', 'the other one goes on');
sql(q{SELECT workflow.complete(job_id, token) FROM workflow.job WHERE worker = 'other'});

# All or none.
enqueue('mail', 2);
take('mail', 2, q{'100 ms'});
like(fails(q{SELECT workflow.extend_many(array_agg(job_id ORDER BY job_id), array_agg(CASE WHEN job_id = last THEN 'x' ELSE token END ORDER BY job_id), '1 hour')
	FROM mine, (SELECT max(job_id) AS last FROM mine) AS l}), qr/has ended/, 'with a wrong token none is extended');
ok($node->poll_query_until('postgres', q{SELECT sum(c) = 2 FROM (SELECT count(*) AS c FROM workflow.claim('mail', 'other', 5, '1 hour')
	UNION ALL SELECT count(*) FROM workflow.job WHERE worker = 'other') AS x}), 'so that both are given to somebody else');
sql(q{SELECT workflow.complete(job_id, token) FROM workflow.job WHERE worker = 'other'});

# Who waits wakes when a lease ends that was moved in memory.
enqueue('wait', 1);
take('wait', 1, q{'1 hour'});
sql(q{SELECT count(workflow.extend(job_id, token, '700 ms')) FROM mine});
is(sql(q{SELECT count(*) FROM workflow.claim('wait', 'other', 5, '1 hour', wait => '30 s')}), '1', 'a claim that waits gets the job');
cmp_ok(sql(q{SELECT extract(epoch FROM clock_timestamp() - claimed_at) FROM workflow.job WHERE queue = 'wait'}), '<', 5, 'at once');

# Leases in memory are counted by max_running, and not walked over by claims.
enqueue('few', 2);
take('few', 1, q{'2 seconds'});
sql($extend);
ok($node->poll_query_until('postgres', q{SELECT max(lease_until) < clock_timestamp() FROM workflow.job WHERE queue = 'few'}), 'a row says that its lease has ended');
is(claimed('few'), '0', 'and its job runs');
is(sql($complete), '1', 'until it is done');
is(claimed('few'), '1', 'then the next one does');

# What somebody has locked is waited for, as it was.
enqueue('mail', 1);
take('mail', 1, q{'1 hour'});
my $locker = $node->background_psql('postgres', on_error_die => 1);
$locker->query_safe(q{BEGIN; SELECT count(*) FROM (SELECT FROM workflow.job WHERE queue = 'mail' FOR UPDATE) AS l});
my $beater = $node->background_psql('postgres', on_error_die => 1);
$beater->query_until(qr/begun/, "\\echo begun\n$extend;\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%extend%' AND wait_event_type = 'Lock'}), 'a heartbeat waits for who has locked the job');
$locker->query_safe('COMMIT');
$locker->quit;
$beater->quit;
is(sql($complete), '1', 'and succeeds then');

# What finds no place in memory is written.
sql(q{DELETE FROM mine; SELECT cardinality(workflow.enqueue_many('many', array_fill('1'::jsonb, '{20000}')))});
foreach (1 .. 2)
{
	sql(q{INSERT INTO mine SELECT queue, job_id, token FROM workflow.claim('many', 'w', 10000, '1 minute')});
}
is(sql($extend_many), 't', 'many leases');
is(sql(q{SELECT count(*) FROM workflow.job AS j WHERE queue = 'many' AND workflow._lease_end(job_id, token, lease_until) > now() + interval '50 minutes'}), '20000', 'all last');
cmp_ok(sql(q{SELECT count(*) FROM workflow.job WHERE queue = 'many' AND lease_until > now() + interval '50 minutes'}), '>', 3000, 'some by their rows');
is(claimed('many'), '0', 'and nobody gets any');
sql(q{DELETE FROM mine WHERE queue = 'many' AND job_id % 2 = 0; SELECT count(workflow.release(job_id, token)) FROM mine WHERE queue = 'many'});
is(sql(q{SELECT count(*) FROM workflow.claim('many', 'other', 10000, '1 hour')}), '10000', 'but those that are released');

# After a crash a lease lasts as long as it was last written.
enqueue('mail', 2);
take('mail', 1, q{'1 hour'});
sql(q{SELECT count(workflow.extend(job_id, token, '2 hours')) FROM mine; CREATE TABLE long AS SELECT * FROM mine});
take('mail', 1, q{'2 seconds'});
sql($extend);
$node->stop('immediate');
$node->start;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM workflow.claim('mail', 'other', 5, '1 hour')}), 'after a crash the shorter one ends as it was first to end');
is(claimed('mail'), '0', 'the longer one holds');
like(fails($complete), qr/has ended/, 'who had the one is refused');
is(sql($complete =~ s/mine/long/r), '1', 'who has the other goes on');

# Without preload rows are written, as ever.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
enqueue('mail', 1);
take('mail', 1, q{'1 minute'});
sql($extend);
is(sql(q{SELECT lease_until > now() + interval '50 minutes' FROM workflow.job JOIN mine USING (job_id)}), 't', 'without preload a heartbeat is a row');

done_testing();
