# Lanes that are built anew beside somebody who has locked one of their tables by hand,
# and then uses the queues himself: he is not waited for by those he waits for, and
# where sessions do wait for each other the server sees it.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.queue_memory = 1');
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('work', 'tester', '1 hour', '{boss}');
	CREATE FUNCTION store() RETURNS bigint LANGUAGE sql AS $$SELECT workflow.enqueue('work', '1')$$;
	SELECT store()});

sub session
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	return ($session, $session->query_safe('SELECT pg_backend_pid()'));
}

# Begins a statement that waits for a lock, or for whoever builds the lanes.
sub begin_waiting
{
	my ($session, $pid, $statement, $name) = @_;
	$session->query_until(qr/begun/, "\\echo begun\n$statement\n");
	ok($node->poll_query_until('postgres',
			"SELECT wait_event_type = 'Lock' OR wait_event IN ('PgWorkflowLanes', 'Extension') FROM pg_stat_activity WHERE pid = $pid"), $name);
	return;
}

foreach my $lock (
	'LOCK TABLE workflow.attempt', 'REINDEX TABLE workflow.job', 'LOCK TABLE workflow.segment_1',
	'LOCK TABLE workflow.segment_8', 'LOCK TABLE workflow.job')
{
	$node->restart;
	my ($person, $person_pid) = session();
	$person->query_safe("SET statement_timeout = '20s'; BEGIN; $lock");
	my ($other, $other_pid) = session();
	begin_waiting($other, $other_pid, q{SELECT store() > 0;}, "somebody waits for $lock");
	like($person->query('SELECT store() > 0'), qr/^t$/, 'whoever has the lock uses the queue');
	like($person->query('COMMIT; SELECT 1'), qr/^1$/, 'and commits');
	$other->query_safe('SELECT 1');
	$_->quit foreach $person, $other;
}
is(sql(q{SELECT ready FROM workflow.queues}), '11', 'all jobs are stored');
is(sql(q{SELECT count(*) FROM workflow.claim('work', 'w', 100, '1 hour')}), '11', 'and claimed');

# Whoever lets the lanes be built by somebody else holds what the person wants.
$node->restart;
my ($person, $person_pid) = session();
$person->query_safe(q{SET statement_timeout = '20s'; BEGIN; LOCK TABLE workflow.attempt IN ACCESS EXCLUSIVE MODE});
my ($builder, $builder_pid) = session();
begin_waiting($builder, $builder_pid, 'SELECT store() > 0;', 'one session would build the lanes');
my ($holder, $holder_pid) = session();
$holder->query_safe('BEGIN; SELECT pg_advisory_xact_lock(1)');
begin_waiting($holder, $holder_pid, 'SELECT store() > 0;', 'another one would use them, and holds a lock');
$person->query('SELECT pg_advisory_xact_lock(1); COMMIT');
$holder->query('COMMIT');
my @errors = map { $_->{stderr} =~ /deadlock detected/ ? 'deadlock' : $_->{stderr} =~ /(ERROR.*)/ ? $1 : () } $person, $holder;
is("@errors", 'deadlock', 'that the two wait for each other is seen');
$builder->query_safe('SELECT 1');
$_->quit foreach $person, $holder, $builder;

done_testing();
