# While an old snapshot is held, nothing that is finished goes away; a claim
# touches no more pages than before all the same.  What is counted is what the
# server counts: pages of the table of jobs and of its indexes.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $passing = 3000;
my $node    = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
my $retry = q{'{"max_attempts": 9, "backoff": {"initial": "1 ms", "max": "1 ms", "jitter": "none"}}'};
sql(q{CREATE EXTENSION pg_workflow; CREATE SEQUENCE rank});

# How a job comes, by the name of its queue.
my %comes = (
	keyed    => q{workflow.enqueue('keyed', '1', key => 'key ' || n)},
	delayed  => q{workflow.enqueue('delayed', '1', run_at => clock_timestamp() - interval '1 ms')},
	urgent   => q{workflow.enqueue('urgent', '1', priority => n % 3 - 1)},
	limited  => q{workflow.enqueue('limited', '1')},
	scored   => q{workflow.enqueue('scored', '1', priority => n % 50)},
	ranked   => q{workflow.enqueue('ranked', '1', priority => nextval('rank')::int)},
	aged     => q{workflow.enqueue('aged', '1', run_at => now() - (300000 - nextval('rank')) * interval '1 s')},
	leased   => q{workflow.enqueue('leased', '1', key => 'key ' || n)},
	grouped  => q{workflow.enqueue('grouped', '1', group_key => 'group ' || n % 10)},
	retried  => q{workflow.enqueue('retried', '1')});
my %waiting;
my %claim = (leased => q{workflow.claim('leased', 'w', %d, '1 hour')});

sub make_queues
{
	sql(qq{SELECT workflow.create_queue(q, 'tester', '1 hour', '{boss}', retry => $retry,
		     max_running => CASE q WHEN 'limited' THEN 20000 END, aging => CASE q WHEN 'aged' THEN interval '1 s' END)
		   FROM unnest('{$_[0]}'::text[]) AS q});
}

sub claim_of
{
	my ($queue, $batch) = @_;
	return sprintf($claim{$queue} // "workflow.claim('$queue', 'w', %d)", $batch);
}

# Jobs come, are claimed and done, in transactions of a hundred.
sub pass_by
{
	my ($queue, $count) = @_;
	my $how = $queue eq 'retried' ? q{workflow.fail(job_id, token, 'timeout', 'again')} : 'workflow.complete(job_id, token)';
	my $claim = claim_of($queue, 100);
	$claim =~ s/1 hour/300 ms/;
	my $complete = "SELECT count(workflow.complete(job_id, token)) FROM $claim";
	my $first = $queue eq 'retried' ? "PERFORM count(workflow.fail(job_id, token, 'timeout', 'again')) FROM $claim; COMMIT;
	    PERFORM pg_sleep(0.002);" : '';

	sql(qq{DO \$\$ BEGIN FOR i IN 1 .. $count / 100 LOOP
	    PERFORM $comes{$queue} FROM generate_series(1, 100) AS n; COMMIT;
	    $first
	    FOR j IN 1 .. 20 LOOP
	      PERFORM FROM ($complete) AS x (n) WHERE n > 0; EXIT WHEN NOT FOUND; COMMIT;
	    END LOOP;
	  END LOOP; END \$\$});
	is(sql("SELECT ready + running + delayed FROM workflow.queues WHERE queue = '$queue'"), $waiting{$queue} // 0, "$queue: $count jobs have passed");
}

# Pages for each of ten claims.
sub pages
{
	my ($queue) = @_;
	my $count = q{SELECT 'pages ' || heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
		FROM pg_statio_all_tables WHERE relid = 'workflow.job'::regclass};
	my $claim = 'SELECT count(*) FROM ' . claim_of($queue, 1);
	my $flush = 'SELECT pg_stat_force_next_flush()';
	my @claims = map { $claim } 1 .. 10;
	my $done = "SELECT count(workflow.complete(job_id, token)) FROM workflow.job WHERE queue = '$queue' AND status = 'running'";

	sql("SELECT $comes{$queue} FROM generate_series(100001, 100011) AS n");
	my ($before, $after) = sql(join ";\n", $claim, $flush, $count, @claims, $flush, $count, $done) =~ /^pages (\d+)$/mg;
	pass_rest($queue);
	return ($after - $before) / 10;
}

# What a measurement has left.
sub pass_rest
{
	my ($queue) = @_;
	my $again = claim_of($queue, 100);
	$again =~ s/1 hour/300 ms/;
	$node->poll_query_until('postgres', "SELECT count(workflow.complete(job_id, token)) = 0 FROM $again");
}

sub grow
{
	my ($queue) = @_;
	pass_by($queue, 1000);
	my $before = pages($queue);
	pass_by($queue, $passing);
	my $first = pages($queue);		# raises the marks
	my $after = pages($queue);
	note("$queue: $before pages a claim, then $first, then $after");
	return ($before, $after);
}

sub hold_snapshot
{
	my $holder = $node->background_psql('postgres', on_error_die => 1);
	$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM workflow.job');
	return $holder;
}

# A job that comes before all others, and that nobody can claim.
sub stays
{
	my ($queue) = @_;
	my $holder = $node->background_psql('postgres', on_error_die => 1);
	$holder->query_safe("SELECT workflow.enqueue('$queue', '1', tenant => 'a tenant', key => 'stays')");
	$holder->query_safe("BEGIN; SELECT FROM workflow.job WHERE queue = '$queue' AND key = 'stays' FOR UPDATE");
	$waiting{$queue} = 1;
	return $holder;
}

my @queues = @ARGV ? @ARGV : sort keys %comes;
make_queues(join ',', @queues);
my $holder = hold_snapshot();
foreach my $queue (@queues)
{
	my ($before, $after) = grow($queue);
	cmp_ok($after, '<=', $before < 30 ? 40 : $before * 1.2, "$queue: a claim touches no more pages than before");
}

# Nor does a claim of a fair queue walk over what has been finished of a tenant, however many
# tenants there are, and though the job stays that has waited for longest.
$comes{turns} = q{workflow.enqueue('turns', '1', tenant => 'tenant ' || n % 20)};
$comes{crowd} = q{workflow.enqueue('crowd', '1', tenant => 'tenant ' || CASE WHEN n > 100000 THEN n % 10 * 100 ELSE nextval('rank') % 1000 END)};
$comes{beside} = q{workflow.enqueue('beside', '1', tenant => 'tenant ' || n % 20)};
sql(q{SELECT workflow.create_queue(q, 'tester', '1 hour', '{boss}', fair => true) FROM unnest('{turns,crowd,beside}'::text[]) AS q});
my $stays;
foreach my $queue (qw(turns crowd beside))
{
	$stays = stays($queue) if $queue eq 'beside';
	my ($before, $after) = grow($queue);
	cmp_ok($after, '<=', 60, "$queue: a claim does not walk over what is finished");
}
$stays->quit;

# Jobs that are delayed are not walked over either, when a claim wants more than there are.
sql(q{SELECT count(workflow.enqueue('delayed', '1', run_at => now() + interval '1 day')) FROM generate_series(1, 5000)});
$comes{delayed} = q{workflow.enqueue('delayed', '1', run_at => clock_timestamp() - interval '1 ms')};
$claim{delayed} = q{workflow.claim('delayed', 'w', %d + 4)};
cmp_ok(pages('delayed'), '<=', 60, 'nor those that are not due');

# Timers are removed with their visits, and leave as much.
my $timers = q{SELECT 'pages ' || heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
	FROM pg_statio_all_tables WHERE relid = 'workflow.timer'::regclass};

sub timer_pages
{
	my $flush = 'SELECT pg_stat_force_next_flush()';
	my $look = 'CALL workflow.run()';
	my ($before, $after) = sql(join ";\n", $look, $flush, $timers, $look, $look, $flush, $timers) =~ /^pages (\d+)$/mg;
	return $after - $before;
}

sub pass_timers
{
	sql(q{INSERT INTO workflow.timer (item_id, seq, kind, due_at, event)
	      SELECT n, 1, 'wait', clock_timestamp() - interval '1 ms', 'e' FROM generate_series(1, 3000) AS n});
	sql(q{SET session_replication_role = replica; DELETE FROM workflow.timer});
	return;
}
pass_timers();
my $first = timer_pages();
pass_timers() foreach 1 .. 3;
timer_pages();
my $last = timer_pages();
note("timers: $first pages for two looks, then $last");
cmp_ok($last, '<=', $first + 4, 'a look for timers touches no more pages than before');
$holder->quit;

# Not preloaded there are no marks: claims find their jobs, and what
# was measured is what grows without.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$holder = hold_snapshot();
my ($before, $after) = grow('keyed');
cmp_ok($after, '>', $before * 2, 'without marks it touches more and more');
cmp_ok(timer_pages(), '>', $last * 2, 'and so does a look for timers');
$holder->quit;

done_testing();
