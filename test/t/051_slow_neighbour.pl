# One endpoint that takes a minute does not slow down the calls of another one,
# also where its backlog is in front of them, and no worker holds a transaction
# open meanwhile.

use strict;
use warnings FATAL => 'all';
use IO::Socket::INET;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;

my %p99;
my $deaf = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1024) or die "cannot listen: $!";
my $stand_in = StandIn->new(open => 1);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->start;

sub wait_for
{
	my ($database, $condition, $name) = @_;
	ok($node->poll_query_until($database, "SELECT $condition"), $name)
	  or diag($node->safe_psql($database, 'SELECT endpoint, state, count(*) FROM workflow.effects GROUP BY 1, 2; TABLE workflow.workers'));
	return;
}

sub endpoint
{
	my ($name, $url, $options) = @_;
	return "CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', dedup 'key',
		timeout '10min', allow_http 'true', allow_private '127.0.0.0/8'" . ($options // '') . ');';
}

# Each database has a worker of its own: what is slow in one is not in another.
sub database
{
	my ($name, $options, $ncalls, $nslow) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, 'CREATE EXTENSION pg_workflow; ' . endpoint('fast', $stand_in->{url})
		  . endpoint('slow', 'http://127.0.0.1:' . $deaf->sockport, $options)
		  . "SELECT count(workflow.call('slow', 'POST', '/x', '{}')) FROM generate_series(1, $ncalls)");
	wait_for($name, "coalesce(sum(in_flight), 0) = $nslow FROM workflow.workers", "$name: slow calls are under way");
	return;
}

# Makes a thousand calls; returns the milliseconds from the commit to the record,
# and from the send, in which 99 of 100 were made.
sub round_of
{
	my ($name, $round) = @_;
	my $began = $node->safe_psql($name, 'SELECT clock_timestamp()');
	my ($n, @times) = split /\|/, $node->safe_psql($name, qq{
		SELECT FROM (SELECT count(workflow.call('fast', 'PATCH', '/accounts/A-' || n, '{"industry": "x"}', '$round:' || n))
		             FROM generate_series(1, 1000) AS n) AS called;
		DO \$\$ BEGIN
		  WHILE clock_timestamp() < '$began'::timestamptz + interval '2 minutes'
		    AND EXISTS (SELECT FROM workflow.effect AS e JOIN workflow.job USING (effect_id) WHERE e.key LIKE '$round:%') LOOP
		    COMMIT;
		    PERFORM pg_sleep(0.05);
		  END LOOP;
		END \$\$;
		SELECT count(*), round(percentile_disc(0.99) WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM finished_at - created_at))),
		       round(percentile_disc(0.99) WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM finished_at - first_sent_at)))
		FROM workflow.effect WHERE key LIKE '$round:%' AND state = 'succeeded'}) =~ s/^\n//r;
	is($n, 1000, "$name, round $round: @times ms");
	push @{ $p99{$name}[$_] }, $times[$_] foreach 0, 1;
	return;
}

# How old the transactions of workers get, and what keeps rows from being removed:
# noted a hundred times a second.
sub watch
{
	$node->safe_psql('postgres', q{
		CREATE TABLE seen (at timestamptz, transaction interval, horizon interval, who text);
		CREATE TABLE enough ();
		CREATE VIEW now_seen AS
		SELECT clock_timestamp(), max(clock_timestamp() - xact_start) AS transaction,
		       max(clock_timestamp() - xact_start) FILTER (WHERE backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AS horizon,
		       max(concat_ws(' ', datname, backend_type, state, wait_event, query)) FILTER (WHERE clock_timestamp() - xact_start > '1 second') AS who
		FROM pg_stat_activity WHERE backend_type LIKE 'pg_workflow%' HAVING count(*) > 0});
	my $watcher = $node->background_psql('postgres');
	$watcher->query_until(qr/watching/, q{
		\echo watching
		DO $$ BEGIN
		  WHILE NOT EXISTS (SELECT FROM enough LIMIT 1) OR (SELECT count(*) < 100 FROM seen) LOOP
		    INSERT INTO seen TABLE now_seen;
		    COMMIT;
		    PERFORM pg_sleep(0.01);
		  END LOOP;
		END $$;
	});
	return $watcher;
}

database('quiet', '', 0, 0);
database('one', '', 1, 1);
database('backlog', ", max_in_flight '4'", 204, 4);
my $watcher = watch();
# The best round of each, by turns on a machine that does other things, too: a
# delay that is in the mechanism is in every round.
sub best_of
{
	my ($kind) = @_;
	return map { $_ => min(@{ $p99{$_}[$kind] }) } keys %p99;
}

sub limit_for { return 2 * $_[0] + 20 }

sub is_settled
{
	foreach my $kind (0, 1)
	{
		my %best = best_of($kind);
		return 0 if grep { $best{$_} >= limit_for($best{quiet}) } qw(one backlog);
	}
	return 1;
}

foreach my $round (1 .. 8)
{
	last if $round > 3 && is_settled();
	round_of($_, $round) foreach qw(quiet one backlog);
}
foreach my $kind (0, 1)
{
	my %best = best_of($kind);

	cmp_ok($best{$_}, '<', limit_for($best{quiet}), "$_: the slow ones do not move the 99th percentile of the fast ones"
		  . ($kind ? ', from the send' : ', from the commit')) foreach qw(one backlog);
}
is($node->safe_psql($_, "SELECT sum(in_flight) FROM workflow.workers"), $_ eq 'one' ? 1 : 4, "$_: the slow calls are still under way")
  foreach qw(one backlog);
# eight such endpoints, each with more jobs than it takes
$node->safe_psql('postgres', 'CREATE DATABASE many');
$node->safe_psql('many', 'CREATE EXTENSION pg_workflow; ' . endpoint('fast', $stand_in->{url})
	  . join('', map { endpoint("slow$_", 'http://127.0.0.1:' . $deaf->sockport) } 1 .. 8));
$node->safe_psql('many', q{SELECT count(workflow.call('slow' || n, 'POST', '/x', '{}')) FROM generate_series(1, 8) AS n, generate_series(1, 40)});
wait_for('many', 'sum(in_flight) = 128 FROM workflow.workers', 'eight slow endpoints have all the calls that they take');
wait_for('many', "count(*) FILTER (WHERE status = 'running') >= 128 FROM workflow.job", 'the rest stands in line');
$node->safe_psql('many', q{SELECT workflow.call('fast', 'PATCH', '/accounts/A-1', '{}', 'fast')});
wait_for('many', "state = 'succeeded' FROM workflow.effects WHERE key = 'fast'", 'the fast one is called all the same');

$node->safe_psql('postgres', 'INSERT INTO enough DEFAULT VALUES');
$watcher->quit;
# the slow calls were under way all the time
is($node->safe_psql('postgres', "SELECT count(*) >= 100 AND count(transaction) > 0, max(transaction) < age, max(horizon) < age
	FROM seen, (SELECT greatest('1 second', (max(at) - min(at)) / 4) AS age FROM seen) AS a GROUP BY age"),
	't|t|t', 'no transaction of a worker was as old as a call')
  or diag($node->safe_psql('postgres', 'SELECT max(transaction), max(horizon), who FROM seen WHERE who IS NOT NULL GROUP BY who'));

$node->stop;
$stand_in->stop;
done_testing();
