# The value before an action is read once and kept whatever happens; taking the
# action back restores it, unless somebody else has changed the target since.

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
my %read_and_restored = (
	before => { path => '/accounts/{$.id}' },
	revert => { method => 'PATCH', path => '/accounts/{$.id}', body => '$.before.body.fields' });

$stand_in->define($node, 'crm', "dedup 'key', timeout '20s'",
	http => {%read_and_restored}, state => { on => { ok => 'DONE', error => 'STUCK' } });
$stand_in->define($node, 'tagged', "dedup 'key'",
	http => { revert => { method => 'PATCH', path => '/accounts/{$.id}', body => { industry => undef } } });

sub sql { return $node->safe_psql('postgres', shift) }
sub account { return $stand_in->ask('GET', "/accounts/A-$_[0]")->{fields} }
sub counts { return $stand_in->ask('GET', '/counts')->{accounts}{"A-$_[0]"} }
sub change { my ($number, %fields) = @_; $stand_in->ask('PATCH', "/accounts/A-$number", \%fields); return }
sub effect { my ($number, $name) = @_; return sql("SELECT effect_id FROM workflow.effects WHERE key = 'A-$number:$name'") }
sub what_is { my ($effect, $what) = @_; return sql("SELECT $what FROM workflow.effects WHERE effect_id = $effect") }

sub done
{
	my ($name, @numbers) = @_;
	$stand_in->submit($node, $name, @numbers);
	foreach (@numbers)
	{
		wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'A-$_:$name'", "A-$_ is updated");
	}
	return;
}

sub revert
{
	my ($number, $name, $reason, $more) = @_;
	return sql(sprintf q{SELECT workflow.revert(%s, '%s'%s)}, effect($number, $name), $reason, $more // '');
}

sub settles
{
	my ($effect, $state, $name) = @_;
	wait_for("state = '$state' FROM workflow.effects WHERE effect_id = $effect", $name);
	return;
}

# ---- the value before

# it is on record when the action is on its way, and stays when nobody knows of that
change(1001, industry => 'Transport');
$stand_in->misbehave(stall_after_ms => 600000, times => 1);
$stand_in->submit($node, 'crm', 1001);
wait_for("state = 'sending' FROM workflow.effects WHERE key = 'A-1001:crm'", 'an action is on its way');
is(what_is(effect(1001, 'crm'), q{previous #>> '{body,fields,industry}'}), 'Transport', 'what was before is on record then');
$node->stop('immediate');
is(account(1001)->{industry}, 'crm', 'the action is done when the server stops at once');
$node->start;
settles(effect(1001, 'crm'), 'succeeded', 'it is sent again with its key');
is(what_is(effect(1001, 'crm'), q{previous #>> '{body,fields,industry}'}), 'Transport', 'and what was before is what was before the first');
is(counts(1001)->{reads}, 2, 'it was read once, and once by this test');

# a read that the server did not live to see is read again: nothing had been done
$stand_in->ask('POST', '/faults', { method => 'GET', path => '/accounts/A-1002', stall_before_ms => 600000 });
$stand_in->submit($node, 'crm', 1002);
wait_for("e.state = 'claimed' FROM workflow.effect AS e WHERE e.key = 'A-1002:crm'", 'a value is being read');
$node->stop('immediate');
$node->start;
settles(effect(1002, 'crm'), 'succeeded', 'it is read again');
is_deeply([ @{ counts(1002) }{qw(reads executions)} ], [ 2, 1 ], 'and the action is done once');

# retries and a replay do not read again
change(1003, industry => 'Retail');
$stand_in->misbehave(status => 503, path => '/accounts/A-1003', times => 2);
$stand_in->misbehave(status => 400, path => '/accounts/A-1003', times => 1);
$stand_in->submit($node, 'crm', 1003);
wait_for("state = 'failed' FROM workflow.effects WHERE key = 'A-1003:crm'", 'the third attempt is refused');
change(1003, industry => 'Wholesale');
sql(q{SELECT workflow.replay('crm:A-1003', 'it will be taken now')});
settles(effect(1003, 'crm'), 'succeeded', 'a replay sends it a fourth time');
is(what_is(effect(1003, 'crm'), q{attempts || ' ' || (previous #>> '{body,fields,industry}')}), '4 Retail', 'the first reading stays');
is(counts(1003)->{reads}, 1, 'it was read once');

# another request under the same key is another effect, with a reading of its own
sql(q{SELECT workflow.call('crm', 'PATCH', '/accounts/A-1004', '[]', 'A-1004:crm')});
wait_for("state = 'failed' FROM workflow.effects WHERE key = 'A-1004:crm'", 'a first request is refused');
change(1004, industry => 'Energy');
$stand_in->submit($node, 'crm', 1004);
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'A-1004:crm#2'", 'a second generation succeeds');
is(sql(q{SELECT string_agg(coalesce(previous #>> '{body,fields,industry}', 'none'), ' ' ORDER BY effect_id) FROM workflow.effects WHERE key LIKE 'A-1004:%'}),
	'none Energy', 'each has what it has read');

# ---- taking back

# the previous value comes back, once
my $by = revert(1001, 'crm', 'wrong account');
settles($by, 'succeeded', 'an effect is taken back');
is(account(1001)->{industry}, 'Transport', 'the previous value is restored');
is(revert(1001, 'crm', 'wrong account'), $by, 'the same call again is the same effect');
is($stand_in->executions->{'A-1001'}, 3, 'the account was changed by this test, by the action and by its revert');
my (undef, undef, $err) = $node->psql('postgres', sprintf q{SELECT workflow.revert(%s, 'once more')}, effect(1001, 'crm'));
like($err, qr/cannot be reverted.*Effect $by has taken it back: wrong account/s, 'another one is refused');

# somebody else has changed the same field: a person is asked
done('crm', 1005);
change(1005, industry => 'theirs');
$by = revert(1005, 'crm', 'wrong account');
settles($by, 'held', 'a revert of what has changed since is held');
is(what_is($by, q{reason || ' / ' || error_class || ' / ' || attempts}), 'the target has changed since: industry / conflict / 0', 'it says why');
is(sql(qq{SELECT q.owner <> '' AND j.waiting_on = 'effect' FROM workflow.job AS j JOIN workflow.queue AS q USING (queue) WHERE j.effect_id = $by}), 't', 'and waits in a queue that has an owner');
is(account(1005)->{industry}, 'theirs', 'their value survives');
sql("SELECT workflow.resolve($by, 'not_applied', 'look again')");
wait_for("count(*) = 2 FROM workflow.attempts WHERE effect_id = $by AND outcome = 'held'", 'sent again it is held again');
is(account(1005)->{industry}, 'theirs', 'and their value survives that, too');
is(revert(1005, 'crm', 'we know', ', force => true'), $by, 'it can be forced');
settles($by, 'succeeded', 'then it goes on');
is(account(1005)->{industry}, undef, 'and restores what we had found');
is(sql(qq{SELECT detail ->> 'forced' FROM workflow.journal WHERE action = 'revert' AND reason = 'we know'}), 'true', 'the journal says so');

# somebody else has changed another field: that stays
change(1006, industry => 'Transport', employees => 10);
done('crm', 1006);
change(1006, employees => 11);
settles(revert(1006, 'crm', 'wrong account'), 'succeeded', 'a revert goes on where another field has changed');
is_deeply(account(1006), { industry => 'Transport', employees => 11 }, 'and leaves it alone');

# somebody else comes between the reading and the sending
done('crm', 1007);
$stand_in->misbehave(stall_before_ms => 3000, times => 1, path => '/accounts/A-1007');
$by = revert(1007, 'crm', 'wrong account');
wait_for("state = 'sending' FROM workflow.effects WHERE effect_id = $by", 'a revert is on its way');
foreach (1 .. 200)
{
	last if counts(1007)->{requests} == 2;
	select undef, undef, undef, 0.05;
}
is(counts(1007)->{requests}, 2, 'and has arrived');
change(1007, industry => 'theirs');
settles($by, 'held', 'the receiver refuses it');
is(what_is($by, 'reason'), 'the target has changed since: HTTP 412', 'since it has changed');
is(account(1007)->{industry}, 'theirs', 'their value survives');

sql("SELECT workflow.revert(reverts, 'we know', force => true) FROM workflow.effects WHERE effect_id = $by");
settles($by, 'succeeded', 'forced it is another request, and goes with another key');
is(account(1007)->{industry}, undef, 'so that the receiver does not give the first answer again');

# somebody else comes between two attempts: it is read again before each
done('crm', 1009);
$stand_in->misbehave(status => 503, retry_after => 3, times => 1, path => '/accounts/A-1009');
$by = revert(1009, 'crm', 'wrong account');
wait_for("state = 'pending' AND attempts = 1 FROM workflow.effects WHERE effect_id = $by", 'a revert will be tried again');
change(1009, industry => 'theirs');
settles($by, 'held', 'and is held then');
is(what_is($by, 'reason'), 'the target has changed since: industry', 'since it was read again');
is(account(1009)->{industry}, 'theirs', 'their value survives');

# the target cannot be read for a while, and then it is gone
done('crm', 1008);
$stand_in->ask('POST', '/faults', { method => 'GET', path => '/accounts/A-1008', status => 503 });
$stand_in->ask('POST', '/faults', { method => 'GET', path => '/accounts/A-1008', status => 404 });
$by = revert(1008, 'crm', 'wrong account');
settles($by, 'held', 'what is gone is not restored');
is(what_is($by, 'reason'), 'the target has changed since: it is gone', 'the reason says so');
sql("SELECT workflow.resolve($by, 'not_applied', 'it is back')");
settles($by, 'succeeded', 'it is taken back when it is there again');

# ---- without a reading, by the tag of what we left

done('tagged', 1011, 1012);
change(1012, industry => 'theirs');
settles(revert(1011, 'tagged', 'wrong account'), 'succeeded', 'what is as we left it is taken back');
$by = revert(1012, 'tagged', 'wrong account');
settles($by, 'held', 'the receiver refuses what is not');
is(account(1012)->{industry}, 'theirs', 'their value survives');
sql("SELECT workflow.resolve($by, 'applied', 'theirs is right')");
settles($by, 'succeeded', 'a person may leave it so');
is($stand_in->executions->{'A-1012'}, 2, 'nothing was sent for that');

$node->stop;
$stand_in->stop;
done_testing();
