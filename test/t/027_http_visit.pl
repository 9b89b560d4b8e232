# A call and the visit of the state that it belongs to: who leaves before the
# action has begun stops it; who waits for it is not interrupted by a timeout.

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
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name)
	  or diag(sql('SELECT effect_id, key, state, attempts, reason FROM workflow.effects; TABLE workflow.job; TABLE workflow.timer'));
	return;
}

sub effect_is
{
	my ($number, $name, $state, $title) = @_;
	return wait_for("state = '$state' FROM workflow.effects WHERE key = 'A-$number:$name'", $title);
}

sub ends_as
{
	my ($number, $outcome, $title) = @_;
	return wait_for("outcome = '$outcome' FROM workflow.items WHERE key = 'A-$number'", $title);
}

# the item moves on while the value before is read
$stand_in->define($node, 'reading', "dedup 'key'",
	http => { before => { method => 'GET', path => '/accounts/{$.id}' } });
$stand_in->ask('POST', '/faults', { method => 'GET', path => '/accounts/A-1', times => 0, stall_before_ms => 1000 });
$stand_in->submit($node, 'reading', 1, 2);
effect_is(1, 'reading', 'claimed', 'the value before is being read');
sql("SELECT workflow.cancel('reading:A-1', 'no more')");
effect_is(1, 'reading', 'cancelled', 'the item moves on, and its action is cancelled');
ends_as(2, 'success', 'another one goes on');
wait_for("in_flight = 0 FROM workflow.workers WHERE kind = 'http'", 'what was read has come back');
wait_for("count(*) = 1 FROM workflow.attempt WHERE message LIKE '%given up%'", 'and is on record');
is($stand_in->executions->{'A-1'}, undef, 'the action was not sent');
is($stand_in->executions->{'A-2'}, 1, 'the other one was');

# a timeout of the state waits while the effect is sending
my %patient = (state => {
		timeout => { after => '200 milliseconds', event => 'late' },
		on => { ok => 'DONE', late => 'LATE' } });
$stand_in->define($node, 'patient', "dedup 'key'", %patient);
$stand_in->forgive;
$stand_in->misbehave(path => '/accounts/A-3', stall_after_ms => 1500);
$stand_in->submit($node, 'patient', 3);
effect_is(3, 'patient', 'sending', 'a call is under way');
wait_for("due_at = 'infinity' FROM workflow.timer", 'the timeout of its state is due and waits for it');
ends_as(3, 'success', 'the call ends well, and so does the item');

# while its outcome is not known and it is to be sent again
$stand_in->misbehave(path => '/accounts/A-4', times => 1, close => 'after');
$stand_in->misbehave(path => '/accounts/A-4', stall_before_ms => 1000);
$stand_in->submit($node, 'patient', 4);
wait_for("due_at = 'infinity' FROM workflow.timer", 'it waits while an outcome is not known');
ends_as(4, 'success', 'the call ends well with its second attempt');
is($stand_in->executions->{'A-4'}, 1, 'and one execution');

# while it is held
$stand_in->define($node, 'careful', "dedup 'none', owner 'tester'", %patient);
$stand_in->misbehave(path => '/accounts/A-5', times => 1, close => 'after');
$stand_in->submit($node, 'careful', 5);
effect_is(5, 'careful', 'held', 'an outcome is held');
wait_for("due_at = 'infinity' FROM workflow.timer", 'the timeout waits for the person');
is(sql("SELECT state FROM workflow.items WHERE key = 'A-5'"), 'CALLING', 'the item stays');
sql("SELECT workflow.resolve(effect_id, 'applied', 'seen') FROM workflow.effects WHERE state = 'held'");
ends_as(5, 'success', 'and goes on as the person says');

# what is refused for good is not waited for: the timeout comes
$stand_in->forgive;
$stand_in->misbehave(path => '/accounts/A-6', stall_before_ms => 800, status => 400);
$stand_in->submit($node, 'patient', 6);
wait_for("due_at = 'infinity' FROM workflow.timer", 'the timeout waits for a call');
effect_is(6, 'patient', 'failed', 'the call is refused');
ends_as(6, 'late', 'and the timeout comes true');

# nor what is certain not to have been applied
$stand_in->misbehave(path => '/accounts/A-7', stall_before_ms => 500, status => 429, retry_after => 3600);
$stand_in->submit($node, 'patient', 7);
ends_as(7, 'late', 'nor what is put off for an hour');
effect_is(7, 'patient', 'cancelled', 'which is not sent again');
sql("SELECT workflow.resume_endpoint('patient', 'they did not mean everybody')");

# a result that is on record and cannot be told yet wins over the timeout
$stand_in->forgive;
$stand_in->misbehave(path => '/accounts/A-8', stall_after_ms => 100);
my $session = $node->background_psql('postgres', on_error_die => 1);
$session->query_safe('BEGIN');
$stand_in->submit($node, 'patient', 8);
$session->query_safe("SELECT FROM workflow.item WHERE key = 'A-8' FOR UPDATE");
effect_is(8, 'patient', 'succeeded', 'a result is on record while its item is held');
wait_for("t.due_at > i.since + interval '1 second' FROM workflow.timer AS t JOIN workflow.item AS i USING (item_id)",
	'the timeout was due and the item could not be had');
$session->query_safe('COMMIT');
$session->quit;
ends_as(8, 'success', 'the result counts');

$node->stop;
$stand_in->stop;
done_testing();
