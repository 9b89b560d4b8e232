# Lanes that are built anew with less room than they need, while claims are in memory only:
# those claims go on, whether what did not fit is moved for good or not.  And who waits for
# such a building, holding what it waits for, does not for ever.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("autovacuum = off\npg_workflow.queue_memory = 1\ndeadlock_timeout = 200ms");
sub sql { return $node->safe_psql('postgres', $_[0]) }

# Jobs of a restore have smaller ids than those that are claimed.
sql(q{
	SELECT workflow.create_queue('mail', 'ops', '1 hour', '{lead}'), workflow.create_queue('other', 'ops', '1 hour', '{lead}');
	SELECT setval('workflow.job_job_id_seq', 1000000);
	SELECT workflow.enqueue_many('mail', ARRAY(SELECT to_jsonb(n) FROM generate_series(1, 20) AS n)),
	  workflow.enqueue_many('other', ARRAY(SELECT to_jsonb(n) FROM generate_series(1, 20) AS n))});
sub restore
{
	my ($from) = @_;
	sql(qq{INSERT INTO workflow.segment_2 (job_id, queue_no, at, payload)
		SELECT n, q.queue_no, now(), '0' FROM workflow.queue AS q, generate_series($from, $from + 69999) AS n WHERE q.queue = 'mail'});
	return;
}
my $worker = sql(q{SELECT pid FROM workflow.workers WHERE kind = 'maintenance'});
kill('STOP', $worker);
my %holders = map { $_ => $node->background_psql('postgres', on_error_stop => 0) } qw(mail other);
my %jobs;
foreach my $queue (sort keys %holders)
{
	my $claimed = $holders{$queue}->query_safe(qq{SELECT job_id, token FROM workflow.claim('$queue', 'holder')});
	$jobs{$queue} = [ split(/\|/, $claimed) ];
}
is(sql('SELECT count(*) FROM workflow.segment_1 WHERE job_ids IS NOT NULL'), '0', 'claims are in memory only');
restore(1);

my $look = q{SELECT count(*) FROM workflow.queues};
my $running = q{SELECT string_agg(queue || ':' || worker, ',' ORDER BY queue) FROM workflow.jobs WHERE status = 'running'};
my $moved = q{SELECT count(*) > 10000 FROM workflow.job};
is(sql("BEGIN; $look; $moved; ROLLBACK"), "2\nt", 'what does not fit is moved, and is not after all');
is(sql($moved), 'f', 'nothing is in the table');
is(sql($running), 'mail:holder,other:holder', 'claims of memory are known all the same');
is(sql($moved), 't', 'now it is moved for good');
kill('CONT', $worker);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM (TABLE workflow.segment_1 UNION ALL TABLE workflow.segment_2) AS s WHERE job_ids IS NOT NULL}), 'they are written');
foreach my $queue (sort keys %holders)
{
	is($holders{$queue}->query_safe(sprintf(q{SELECT workflow.complete(%d, '%s')}, @{ $jobs{$queue} })), '', "and done with: $queue");
}

# A trigger of the user waits, in the middle of moving, for somebody who needs the lanes.
sql(q{
	CREATE FUNCTION wait_for_it() RETURNS trigger LANGUAGE plpgsql AS
	  'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
	CREATE TRIGGER wait_for_it AFTER INSERT ON workflow.job FOR EACH STATEMENT EXECUTE FUNCTION wait_for_it()});
my $first = $node->background_psql('postgres');
$first->query_safe('BEGIN; SELECT pg_advisory_xact_lock(1)');
restore(100001);
my $builder = $node->background_psql('postgres');
$builder->query_until(qr/begun/, "\\echo begun\n$look;\n");
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}), 'who moves waits');
$first->query_safe(q{SET statement_timeout = '30 s'});
like($first->query_safe(q{SELECT job_id FROM workflow.claim('other', 'w')}), qr/^\d*$/, 'whom it waits for goes on');
$first->query_safe('COMMIT');
is($builder->query_safe('SELECT 1'), "2\n1", 'and then it does');
$first->quit;
$builder->quit;
$_->quit foreach values %holders;

$node->stop;
done_testing();
