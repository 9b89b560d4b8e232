# Backpressure: endpoints that fail, ask for a pause or are paused.  Effects wait
# then, uncharged and however long, and nobody runs into the endpoint meanwhile.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;
use WorkingNode;

my $stand_in = StandIn->new(open => 1);
my $node = start_working_node();

# How many PATCH requests have arrived at the accounts of a test.
sub requests
{
	my ($prefix) = @_;
	my $accounts = $stand_in->ask('GET', '/counts')->{accounts};
	my $requests = 0;

	$requests += $accounts->{$_}{requests} foreach grep { /^A-$prefix/ } keys %$accounts;
	return $requests;
}

sub executions
{
	my ($prefix) = @_;
	my $executions = $stand_in->executions;

	return { map { $_ => $executions->{$_} } grep { /^A-$prefix/ } keys %$executions };
}

sub once_each { return { map { ("A-$_" => 1) } @_ } }

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', "SELECT $sql");
}

sub endpoint_is
{
	my ($name, $condition, $what) = @_;
	wait_for("$condition FROM workflow.endpoints WHERE endpoint = '$name'", $what);
	return;
}

sub all_succeed
{
	my ($name, $count, $what) = @_;
	wait_for(
		"count(*) = $count FROM workflow.items WHERE workflow = '$name' AND outcome = 'success'",
		$what);
	return;
}

# No effect of an endpoint was charged more than its sends that failed.
sub uncharged
{
	my ($name, $what) = @_;
	is( value("count(*) FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id)
	     WHERE p.endpoint = '$name' AND e.charged > e.attempts"),
		'0', $what);
	is( value("count(*) FROM workflow.items WHERE workflow = '$name' AND outcome <> 'success'"),
		'0', 'and none has failed');
	return;
}

my @fails = ([ 'closing', close => 'before' ], [ 'refusing', status => 503 ]);

foreach my $index (0 .. $#fails)
{
	my ($name, %rule) = @{ $fails[$index] };
	my $prefix = "2$index";
	my @numbers = map { sprintf '%s%02d', $prefix, $_ } 1 .. 30;

	# the breaker opens, and as long as it is open nothing arrives
	$stand_in->define($node, $name,
		"dedup 'key', breaker_cooldown '10 minutes', breaker_failures '5'");
	$stand_in->misbehave(%rule);
	$stand_in->submit($node, $name, @numbers);
	endpoint_is($name, "breaker = 'open' AND in_flight = 0", "$name: the breaker opens");
	my $arrived = requests($prefix);
	cmp_ok($arrived, '>=', 5, 'after five failures');
	cmp_ok($arrived, '<', 30, 'and before everybody has tried');
	wait_for(
		"count(*) = 30 FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
		 WHERE i.workflow = '$name' AND w.waiting_on IN ('breaker', 'retry')
		   AND (w.waiting_on = 'retry' OR w.waiting_detail LIKE 'breaker of endpoint $name: open since %in a row failed; job % looks again at %')",
		'every item says what it waits for');
	wait_for(
		"count(*) = 30 FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
		 WHERE i.workflow = '$name' AND w.waiting_on = 'breaker'",
		'in the end all for the breaker');
	is(requests($prefix), $arrived, 'no request arrives while it is open');

	# a restart does not close it
	$node->restart;
	wait_for("workflow._now() > pg_postmaster_start_time() + interval '1 second'", 'time passes');
	endpoint_is($name, "breaker = 'open'", 'after a restart it is open');
	is(requests($prefix), $arrived, 'and nothing has arrived');

	# one call at a time goes to see
	$node->safe_psql('postgres', qq{
		ALTER SERVER $name OPTIONS (SET breaker_cooldown '200 milliseconds');
		UPDATE workflow.endpoint SET breaker_openings = 0 WHERE endpoint = '$name';
		SELECT workflow.resume_endpoint('$name', 'somebody looks')});
	wait_for(
		"breaker_openings >= 3 FROM workflow.endpoint WHERE endpoint = '$name'",
		'it is probed, and opens again');
	my $probes = requests($prefix) - $arrived;
	cmp_ok($probes, '<=', value("breaker_openings + 1 FROM workflow.endpoint WHERE endpoint = '$name'"),
		'with one call for each cool-down');

	# it works again: all are made, each once
	$stand_in->forgive;
	all_succeed($name, 30, 'all are made when it works again');
	is_deeply(executions($prefix), once_each(@numbers), 'each once');
	endpoint_is($name, "breaker = 'closed' AND waiting = 0", 'and the breaker is closed');
	uncharged($name, 'nobody is charged for waiting');
	is( value("string_agg(action, ' ' ORDER BY journal_id) FROM workflow.journal WHERE subject = 'endpoint:$name'"),
		'breaker_open resume_endpoint breaker_close', 'the journal has when it opened and closed');
	is( value("count(DISTINCT what) FROM workflow.timeline('$name:A-$numbers[0]') WHERE what LIKE 'breaker%'"),
		'2', 'and so has the timeline of an item that waited');
}

# half of the calls of a time are enough, too, when that is said
$stand_in->define($node, 'shaky', "dedup 'key', rejects '503', breaker_failures 'off', breaker_rate '40%', breaker_cooldown '10 minutes'");
$stand_in->misbehave(path => '/accounts/A-91', status => 503);
$stand_in->submit($node, 'shaky', 9001 .. 9012);
all_succeed('shaky', 12, 'calls go well');
$stand_in->submit($node, 'shaky', 9101 .. 9107);
wait_for("count(*) >= 7 FROM workflow.attempt WHERE error_class = 'unavailable' AND effect_id IN (SELECT effect_id FROM workflow.effects WHERE endpoint = 'shaky')",
	'then some fail');
endpoint_is('shaky', "breaker = 'open' AND breaker_reason ~ '^[0-9]+ of the last [0-9]+ calls failed'", 'a share opens the breaker');
is( value("n * 100 >= 40 * m AND m >= 20 FROM (SELECT (regexp_match(breaker_reason, '^([0-9]+)'))[1]::int AS n,
	(regexp_match(breaker_reason, 'last ([0-9]+)'))[1]::int AS m FROM workflow.endpoint WHERE endpoint = 'shaky') AS r"),
	't', 'the share that was declared, of enough calls');

# a 4xx shows that an endpoint works
$stand_in->forgive;
$stand_in->define($node, 'strict', "dedup 'key'");
$stand_in->misbehave(status => 404);
$stand_in->submit($node, 'strict', 9201 .. 9230);
wait_for("count(*) = 30 FROM workflow.items WHERE workflow = 'strict' AND outcome = 'failure'", 'all are refused');
endpoint_is('strict', "breaker = 'closed'", 'and the breaker is closed');
$stand_in->forgive;

# the sender of the probe is killed: another one goes, and only one
$stand_in->define($node, 'killed', "dedup 'key', timeout '60s', breaker_failures '3', breaker_cooldown '500 milliseconds'");
$stand_in->misbehave(close => 'before');
$stand_in->submit($node, 'killed', 3001 .. 3010);
endpoint_is('killed', "breaker = 'open'", 'a breaker opens');
$stand_in->forgive;
$stand_in->misbehave(stall_before_ms => 20000);
endpoint_is('killed', "breaker = 'half_open' AND in_flight = 1", 'one call goes to see, and hangs');
my $arrived = requests('30');
$node->stop('immediate');
$node->start;
endpoint_is('killed', "breaker = 'half_open' AND in_flight = 1", 'after a crash it is still half open');
wait_for(
	"count(*) >= 1 FROM workflow.attempt WHERE message LIKE '%the sender ended%'",
	'the outcome of the probe is not known');
endpoint_is('killed', "breaker = 'half_open' AND in_flight = 1", 'and another one goes');
is(requests('30'), $arrived + 1, 'only one');
$stand_in->forgive;
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM workflow.workers WHERE kind = 'http'");
all_succeed('killed', 10, 'then all are made');
is_deeply(executions('30'), once_each(3001 .. 3010), 'each once');

# an endpoint that says when it wants calls again is left alone until then
$stand_in->define($node, 'busy', "dedup 'key', max_in_flight '2'");
$stand_in->misbehave(status => 429, retry_after => 10);
$stand_in->submit($node, 'busy', 4001 .. 4020);
endpoint_is('busy', "pause_until > clock_timestamp() AND in_flight = 0", 'Retry-After pauses the endpoint');
my $refused = requests('40');
cmp_ok($refused, '<=', 4, 'for all of its effects');
wait_for(
	"count(*) > 10 FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
	 WHERE i.workflow = 'busy' AND w.waiting_on = 'rate_limit' AND w.waiting_detail LIKE 'endpoint busy asked for a pause until %'",
	'which say so');
$stand_in->forgive;
all_succeed('busy', 20, 'after the pause all are made');
is_deeply(executions('40'), once_each(4001 .. 4020), 'each once');
is( value("sum(charged) - 20 FROM workflow.effect WHERE key LIKE 'A-40%' HAVING min(charged) = 1"),
	'0', 'none is charged for having been refused');

# a person pauses an endpoint
$node->safe_psql('postgres', "SELECT workflow.pause_endpoint('busy', 'they migrate')");
$stand_in->submit($node, 'busy', 4101 .. 4110);
wait_for(
	"count(*) = 10 FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
	 WHERE i.workflow = 'busy' AND w.waiting_on = 'paused' AND w.waiting_detail LIKE 'endpoint busy paused by %: they migrate; %'",
	'effects of a paused endpoint wait');
is(requests('41'), 0, 'nothing is sent');
$node->restart;
endpoint_is('busy', "pause_reason = 'they migrate' AND waiting = 10", 'it is paused after a restart');
$node->safe_psql('postgres', "SELECT workflow.resume_endpoint('busy', 'they have migrated')");
all_succeed('busy', 30, 'resumed, all are made');
uncharged('busy', 'nobody is charged');

# a rate limit and max_in_flight: who waits is not charged and says why
$stand_in->define($node, 'slow', "dedup 'key', rate_limit '2/second'");
$stand_in->submit($node, 'slow', 5001 .. 5008);
wait_for(
	"count(*) > 0 FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
	 WHERE i.workflow = 'slow' AND w.waiting_on = 'rate_limit' AND w.waiting_detail LIKE 'rate limit of endpoint slow;%'",
	'a rate limit is waited for');
all_succeed('slow', 8, 'and all are made');
is(value("max(attempts) FROM workflow.effects WHERE endpoint = 'slow'"), '1', 'with one send each');
$stand_in->define($node, 'narrow', "dedup 'key', max_in_flight '1', timeout '60s'");
$stand_in->misbehave(stall_before_ms => 8000, times => 1);
$stand_in->submit($node, 'narrow', 6001 .. 6006);
wait_for(
	"count(*) > 0 FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
	 WHERE i.workflow = 'narrow' AND w.waiting_on = 'worker' AND w.waiting_detail LIKE 'endpoint narrow has as many calls under way as it takes;%'",
	'max_in_flight is waited for');
all_succeed('narrow', 6, 'and all are made');
is(value("max(attempts) FROM workflow.effects WHERE endpoint = 'narrow'"), '1', 'with one send each');

# a backlog does not go all at once
sub begun_within
{
	my ($prefix, $ms) = @_;
	return value("count(*) FILTER (WHERE first_sent_at < first + interval '$ms milliseconds')
		FROM (SELECT first_sent_at, min(first_sent_at) OVER () AS first FROM workflow.effect
		      WHERE key LIKE 'A-$prefix%' AND state = 'sending') AS e");
}
$stand_in->define($node, 'wide', "dedup 'key', max_in_flight '64', timeout '60s'");
$stand_in->misbehave(stall_before_ms => 15000);
$stand_in->submit($node, 'wide', 8001 .. 8040);
wait_for("count(*) = 40 FROM workflow.effects WHERE endpoint = 'wide' AND state = 'sending'", 'a backlog gets all the room');
cmp_ok(begun_within('80', 100), '<=', 4, 'but begins with a few calls');
cmp_ok(begun_within('80', 350), '<=', 8, 'and then takes twice as many');
$stand_in->forgive;
all_succeed('wide', 40, 'and all are made');

$stand_in->misbehave(times => 1);
$stand_in->misbehave(stall_before_ms => 15000);
$node->safe_psql('postgres', "UPDATE workflow.endpoint SET breaker = 'open', breaker_since = clock_timestamp(),
	breaker_until = clock_timestamp(), breaker_openings = 1 WHERE endpoint = 'wide'");
$stand_in->submit($node, 'wide', 8101 .. 8120);
wait_for("count(*) = 19 FROM workflow.effects WHERE key LIKE 'A-81%' AND state = 'sending'",
	'after a breaker has closed the backlog gets all the room');
is(begun_within('81', 100), 1, 'but begins with one call');
$stand_in->forgive;
all_succeed('wide', 60, 'and all are made');

# retries beyond the budget wait, first attempts go on
$stand_in->define($node, 'tired', "dedup 'key', rejects '503', breaker_failures 'off', breaker_rate 'off'");
$stand_in->misbehave(status => 503);
my $began = time;
$stand_in->submit($node, 'tired', 7001 .. 7030);
wait_for("count(*) = 30 FROM workflow.effects WHERE key LIKE 'A-70%' AND attempts >= 1", 'every first attempt is made');
wait_for(
	"count(*) > 5 FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
	 WHERE i.workflow = 'tired' AND w.waiting_on = 'retry' AND w.waiting_detail LIKE 'retry budget of endpoint tired is used up;%'",
	'retries beyond the budget wait');
cmp_ok(requests('70'), '<=', 30 + 10 + 30 / 5 + (time - $began + 1) / 6 + 1,
	'and no more retries are made than the budget has');
is(value("max(charged) <= max(attempts) AND bool_and(state = 'pending') FROM workflow.effect WHERE key LIKE 'A-70%' AND state <> 'sending'"),
	't', 'who waits is neither charged nor failed');
$stand_in->submit($node, 'tired', 7101 .. 7105);
wait_for("count(*) = 5 FROM workflow.effects WHERE key LIKE 'A-71%' AND attempts >= 1", 'first attempts go on');

$stand_in->stop;
done_testing();
