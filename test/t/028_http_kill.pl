# The http worker dies, by kill -9 (the server restarts) and by
# pg_terminate_backend, at any point between claiming a job and moving its item:
# nothing is lost, and nothing is executed twice that must not be.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;

my $stand_in = StandIn->new(open => 1);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "pg_workflow.workers = on\nrestart_after_crash = on");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

my %first = (keyed => 10_000, upsert => 20_000, pure => 30_000, once => 40_000);
my $next = 0;
my %dedup = (keyed => "'key'", upsert => "'natural'", pure => "'pure'", once => "'none', owner 'tester'");
$stand_in->define($node, $_, "dedup $dedup{$_}, max_in_flight '8'") foreach sort keys %dedup;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Asks while the server may be restarting.
sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name)
	  or diag(sql('SELECT effect_id, key, state, attempts, reason FROM workflow.effects WHERE state <> \'succeeded\'; TABLE workflow.job; TABLE workflow.workers'));
	return;
}

# The http worker; there may be none when nothing is left to do.
sub worker_pid
{
	$node->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM workflow.workers WHERE kind = 'http' AND state = 'running') OR NOT EXISTS (SELECT FROM workflow.job WHERE status IN ('ready', 'running'))");
	return $node->safe_psql('postgres', "SELECT pid FROM workflow.workers WHERE kind = 'http' AND state = 'running'");
}

sub started_at { return sql('SELECT pg_postmaster_start_time() || (SELECT min(backend_start)::text FROM pg_stat_activity WHERE backend_type = \'checkpointer\')') }

my %end = (
	'kill -9' => sub {
		my $before = started_at();
		my $pid = worker_pid() or return 0;
		kill('KILL', $pid) or return 0;
		$node->poll_query_until('postgres',
			"SELECT pg_postmaster_start_time() || (SELECT min(backend_start)::text FROM pg_stat_activity WHERE backend_type = 'checkpointer') <> '$before'");
	},
	'pg_terminate_backend' => sub {
		my $pid = worker_pid() or return 0;
		sql("SELECT pg_terminate_backend($pid)");
		$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
	});

# Submits n items for each endpoint; returns the numbers of each.
sub submit_all
{
	my ($n) = @_;
	my %numbers;
	foreach my $name (sort keys %first)
	{
		$numbers{$name} = [ map { $first{$name} + $next + $_ } 1 .. $n ];
		$stand_in->submit($node, $name, @{ $numbers{$name} });
	}
	$next += $n;
	return %numbers;
}

# A person looks at what the receiver did, and says so.
sub resolve_held
{
	my $executions = $stand_in->executions;
	my %held = map { split /\|/ } split /\n/, sql("SELECT effect_id, split_part(key, ':', 1) FROM workflow.effects WHERE state = 'held'");
	foreach my $effect (keys %held)
	{
		my $answer = $executions->{ $held{$effect} } ? 'applied' : 'not_applied';
		sql("SELECT workflow.resolve($effect, '$answer', 'the receiver says so')");
	}
	return scalar keys %held;
}

sub all_end
{
	my ($how, %numbers) = @_;
	foreach (1 .. 50)
	{
		$node->poll_query_until('postgres',
			"SELECT count(*) FILTER (WHERE outcome IS NULL) = (SELECT count(*) FROM workflow.effects WHERE state = 'held') FROM workflow.items");
		last if resolve_held() == 0;
	}
	wait_for("count(*) = 0 FROM workflow.items WHERE outcome IS DISTINCT FROM 'success'", "$how: every item ends well");
	my $executions = $stand_in->executions;
	foreach my $name (sort keys %numbers)
	{
		my @counts = map { $executions->{"A-$_"} // 0 } @{ $numbers{$name} };
		is(scalar(grep { $_ == 0 } @counts), 0, "$how: $name: nothing is lost");
		is(scalar(grep { $_ > 1 } @counts), 0, "$how: $name: nothing is executed twice")
		  if $name eq 'keyed' || $name eq 'once';
	}
	is(sql('SELECT count(*) FROM workflow.job'), '0', "$how: no job is left");
	return;
}

foreach my $how (sort keys %end)
{
	# all calls have been executed, or not even begun, and no answer came
	$stand_in->misbehave(times => 2, stall_before_ms => 600000, path => '/accounts/A-4');
	$stand_in->misbehave(stall_after_ms => 600000);
	my %numbers = submit_all(4);
	wait_for("count(*) = 16 FROM workflow.effects WHERE state = 'sending'", "$how: calls are under way");
	$stand_in->forgive;
	$end{$how}->();
	wait_for("count(*) = 4 FROM workflow.effects WHERE endpoint = 'once' AND state = 'held'",
		"$how: what may not be repeated is held");
	all_end("$how in flight", %numbers);

	# anywhere in the middle of it
	$stand_in->misbehave(stall_after_ms => 100);
	%numbers = submit_all(150);
	my $ends = 0;
	foreach my $done (20, 100, 250, 400)
	{
		$node->poll_query_until('postgres',
			"SELECT count(*) >= $done FROM workflow.items WHERE outcome IS NOT NULL AND split_part(key, '-', 2)::int % 10000 > $next - 150");
		$ends++ if $end{$how}->();
	}
	cmp_ok($ends, '>=', 2, "$how in the middle: that happened $ends times");
	all_end("$how in the middle", %numbers);
	$stand_in->forgive;

	# between the record of a call and its item's move
	$node->safe_psql('postgres', "SELECT workflow.pause_queue('calls_of_test', 'not yet')");
	%numbers = submit_all(1);
	my $session = $node->background_psql('postgres');
	$session->query_safe('BEGIN');
	$session->query_safe('SELECT FROM workflow.item WHERE outcome IS NULL FOR UPDATE');
	$node->safe_psql('postgres', "SELECT workflow.resume_queue('calls_of_test')");
	wait_for("count(*) = 0 FROM workflow.effects WHERE state <> 'succeeded'", "$how: results are on record");
	is(sql("SELECT count(*) FROM workflow.items WHERE state = 'CALLING'"), '4', "$how: while their items are held");
	$end{$how}->();
	$session->query('COMMIT') if $how ne 'kill -9';
	eval { $session->quit };
	all_end("$how between record and move", %numbers);
}

$node->stop;
$stand_in->stop;
done_testing();
