# What an item has done is taken back in reverse order, one after the other, by
# the workers alone: over a crash, and up to what a person has to look at.

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

sub sql { return $node->safe_psql('postgres', shift) }
sub account { return $stand_in->ask('GET', "/accounts/$_[0]")->{fields} }

# A state that changes an account of the item: A, B, C, and once more A.
sub change
{
	my ($state, $account, $field, $next) = @_;

	return qq("$state": {"http": {"endpoint": "crm", "queue": "out", "method": "PATCH", "path": "/accounts/$account-{\$.id}",
		"body": {"$field": "$state"}, "key": ["\$.id", "$state"], "before": {"path": "/accounts/$account-{\$.id}"},
		"revert": {"method": "PATCH", "path": "/accounts/$account-{\$.id}", "body": "\$.before.body.fields"}},
		"on": {"ok": "$next", "error": "FAILED"}});
}

my $states = join ', ', change('ONE', 'A', 'x', 'TWO'), change('TWO', 'B', 'x', 'THREE'),
  change('THREE', 'C', 'x', 'FOUR'), change('FOUR', 'A', 'x', 'DONE');
sql(qq{
	CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$stand_in->{url}', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key', timeout '20s');
	SELECT workflow.define('{
	  "workflow": "trip", "owner": "tester", "initial": "ONE", "key": ["\$.id"],
	  "retry": {"default": {"owner": "tester", "max_attempts": 5, "backoff": {"initial": "50 milliseconds", "jitter": "none"}}},
	  "queues": {"out": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {$states, "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}');
});

sub travel
{
	my ($id) = @_;
	sql(qq{SELECT * FROM workflow.submit('trip', '{"id": "$id"}')});
	wait_for("outcome = 'success' FROM workflow.items WHERE key = '$id'", "item $id has done four things");
	return;
}

sub compensate { my ($id) = @_; return sql("SELECT workflow.compensate('trip:$id', 'the trip is off')") }

# How far the reverts of an item are, in the order of what they take back.
sub progress
{
	my ($id) = @_;
	return sql(qq{SELECT string_agg(split_part(r.key, ':', 3) || ' ' || r.state, ', ' ORDER BY r.reverts DESC)
		FROM workflow.effects AS r JOIN workflow.items AS i USING (item_id) WHERE i.key = '$id' AND r.kind = 'revert'});
}

sub all_is_back
{
	my ($id) = @_;
	wait_for("count(*) = 4 FROM workflow.effects WHERE key LIKE 'revert:$id:%' AND state = 'succeeded'", "everything of item $id is taken back");
	is_deeply([ map { account("$_-$id")->{x} } qw(A B C) ], [ undef, undef, undef ], 'every account is as it was');
	is_deeply([ @{ $stand_in->executions }{ map { "$_-$id" } qw(A B C) } ], [ 4, 2, 2 ], 'each change was made once and taken back once');
	return;
}

# an item that has ended
travel(1);
my $chain = compensate(1);
like($chain, qr/^\{\d+,\d+,\d+,\d+\}$/, 'four effects are to be taken back');
all_is_back(1);
is(sql(q{SELECT string_agg(reverts::text, ' ' ORDER BY finished_at) = string_agg(reverts::text, ' ' ORDER BY reverts DESC)
	FROM workflow.effects WHERE kind = 'revert'}), 't', 'the last one first');
is(sql(q{SELECT count(*) FROM workflow.effects AS a JOIN workflow.effects AS b ON b.reverts = (SELECT max(c.reverts) FROM workflow.effects AS c WHERE c.reverts < a.reverts)
	JOIN workflow.effect AS e ON e.effect_id = b.effect_id WHERE e.first_sent_at < a.finished_at}), '0', 'each was sent when the one before had succeeded');
is(sql(q{SELECT count(*) FROM workflow.timeline('trip:1') WHERE what = 'compensate' OR detail LIKE '%revert:%' AND what = 'effect succeeded'}), '5', 'the timeline shows it');
is(compensate(1), '{}', 'there is nothing more to take back');

# the server stops at once, between the first and the second revert, and again at the third
travel(2);
$stand_in->misbehave(stall_after_ms => 600000, path => '/accounts/C-2');
compensate(2);
wait_for("state = 'sending' FROM workflow.effects WHERE key = 'revert:2:THREE'", 'the second revert is on its way');
is(progress(2), 'FOUR succeeded, THREE sending, TWO pending, ONE pending', 'the first has succeeded, the others wait');
$node->stop('immediate');
$stand_in->forgive;
$stand_in->misbehave(stall_after_ms => 600000, path => '/accounts/B-2');
$node->start;
wait_for("state = 'sending' FROM workflow.effects WHERE key = 'revert:2:TWO'", 'the chain goes on by itself');
$node->stop('immediate');
$stand_in->forgive;
$node->start;
all_is_back(2);

# one that is held stops the chain
travel(3);
$stand_in->ask('PATCH', '/accounts/C-3', { x => 'theirs' });
compensate(3);
wait_for("state = 'held' FROM workflow.effects WHERE key = 'revert:3:THREE'", 'somebody else has changed an account');
is(progress(3), 'FOUR succeeded, THREE held, TWO pending, ONE pending', 'the chain stops there');
is(sql(q{SELECT reason FROM workflow.effects WHERE state = 'held'}), 'the target has changed since: x', 'it says why');
is(compensate(3) =~ tr/,//, 2, 'calling again finds the three that are left');
is(progress(3), 'FOUR succeeded, THREE held, TWO pending, ONE pending', 'and changes nothing');
sql(q{SELECT workflow.resolve(effect_id, 'applied', 'theirs is right') FROM workflow.effects WHERE state = 'held'});
wait_for("count(*) = 4 FROM workflow.effects WHERE key LIKE 'revert:3:%' AND state = 'succeeded'", 'it goes on when a person has decided');
is_deeply([ map { account("$_-3")->{x} } qw(A B C) ], [ undef, undef, 'theirs' ], 'and leaves what is theirs');

# one that is refused stops it, too; calling again continues
travel(4);
$stand_in->misbehave(status => 400, path => '/accounts/C-4');
compensate(4);
wait_for("state = 'failed' FROM workflow.effects WHERE key = 'revert:4:THREE'", 'a revert is refused');
is(progress(4), 'FOUR succeeded, THREE failed, TWO pending, ONE pending', 'the chain stops there');
$stand_in->forgive;
compensate(4);
all_is_back(4);

# one that cannot be made stops it at its turn, and not before
travel(6);
sql(q{UPDATE workflow.effect SET spec = jsonb_set(spec, '{revert,path}', '"/accounts/{$.missing}"') WHERE key = '6:THREE'});
compensate(6);
wait_for("j.waiting_on = 'effect' FROM workflow.job AS j JOIN workflow.effects AS e USING (effect_id) WHERE e.key = 'revert:6:THREE'", 'a revert that cannot be made waits for a person');
is(progress(6), 'FOUR succeeded, THREE held, TWO pending, ONE pending', 'what comes before it is done, what comes after it waits');
$stand_in->ask('PATCH', '/accounts/C-6', { x => undef });
sql(q{SELECT workflow.resolve(effect_id, 'applied', 'done by hand') FROM workflow.effects WHERE key = 'revert:6:THREE'});
all_is_back(6);

# what is not known yet has to be known first
$stand_in->misbehave(stall_before_ms => 600000, path => '/accounts/C-5');
sql(q{SELECT * FROM workflow.submit('trip', '{"id": "5"}')});
wait_for("state = 'sending' FROM workflow.effects WHERE key = '5:THREE'", 'an item is in the middle of it');
my (undef, undef, $err) = $node->psql('postgres', q{SELECT workflow.compensate('trip:5', 'the trip is off')});
like($err, qr/item \d+ cannot be compensated yet.*is sending: whether it was applied is not known/s, 'it cannot be compensated now');

is(sql(q{SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok}), '0', 'log and states agree');
$node->stop('immediate');
$stand_in->stop;
done_testing();
