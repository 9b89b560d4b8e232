# A task's timeout waits for the outcome of its guard, as that of a call does: it
# fires as soon as nothing is open any more, unless the task has moved the item.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node();
sub query { return $node->safe_psql('postgres', $_[0]) }

query(q{
	CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'boss');
	CREATE SERVER keys FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://keys.example.com', dedup 'key');
	SELECT workflow.define('{"workflow": "pay", "owner": "me", "initial": "PAY",
	  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
	  "states": {
	    "PAY":  {"task": {"queue": "out"}, "timeout": "1 day", "on": {"ok": "DONE", "error": "BAD", "timeout": "LATE", "no": "NO"}},
	    "DONE": {"final": "done"}, "BAD": {"final": "bad"}, "LATE": {"final": "late"}, "NO": {"final": "no"}}}')});

# An item whose task is claimed and whose guard is begun; returns effect_id, token, job_id, token of the job.
sub begin
{
	my ($key, $endpoint, $session) = @_;
	query("SELECT workflow.submit('pay', '{}', key => '$key')");
	my $job = query("SELECT job_id, token FROM workflow.claim('out', 'me', 1, '1 hour')");
	my $guard = query("SELECT effect_id, token FROM workflow.begin_effect('$endpoint', '$key', '{}', 'pay:$key')");
	return map { split /\|/ } $guard, $job;
}

sub make_overdue { return query("UPDATE workflow.timer SET due_at = now() WHERE kind = 'timeout'; SELECT workflow._wake('maintenance')") }

sub waits
{
	my ($key, $name) = @_;
	make_overdue();
	wait_for("t.due_at = 'infinity' FROM workflow.timer AS t JOIN workflow.item AS i USING (item_id) WHERE i.key = '$key'", $name);
	return;
}

sub ends
{
	my ($key, $expected, $name) = @_;
	wait_for("outcome IS NOT NULL FROM workflow.item WHERE key = '$key'", "\"$key\" ends");
	is(query("SELECT i.outcome, e.state FROM workflow.item AS i JOIN workflow.effect AS e USING (item_id) WHERE i.key = '$key'"), $expected, $name);
	return;
}

my ($effect, $token, $job, $claim) = begin('done', 'bank');
waits('done', 'a timeout waits for a guard whose action is under way');
like(($node->psql('postgres', q{SELECT workflow.send('pay:done', 'timeout')}))[2], qr/is sending: the state's timeout waits for its outcome/, 'by hand, too');
like(($node->psql('postgres', q{SELECT workflow.send('pay:done', 'ok')}))[2], qr/is sending: its outcome is not sent/, 'nor is its outcome sent');
is(query(q{SELECT allowed_events FROM workflow.where_is('pay:done')}), '{no,cancel}', 'where_is() knows');
query("SELECT workflow.finish_effect($effect, '$token', 'applied')");
wait_for("due_at < now() + interval '1 minute' FROM workflow.timer", 'its outcome makes it due again');
query("SELECT workflow.complete($job, '$claim')");
ends('done', 'done|succeeded', 'but not before who has done it has said so');

($effect, $token) = begin('refused', 'bank');
waits('refused', 'the same of another one');
query("SELECT workflow.finish_effect($effect, '$token', 'not_applied')");
ends('refused', 'late|failed', 'which was not applied: the timeout fires');

($effect, $token) = begin('held', 'bank');
query("SELECT workflow.finish_effect($effect, '$token', 'unknown')");
waits('held', 'nor does it pass by what is held');
query("SELECT workflow.resolve($effect, 'not_applied', 'seen')");
ends('held', 'late|pending', 'until somebody says what became of it');

($effect, $token) = begin('vanished', 'bank');
waits('vanished', 'nor by what nobody has told');
query("UPDATE workflow.effect SET deadline = now() WHERE effect_id = $effect; SELECT workflow._wake('maintenance')");
wait_for("state = 'held' FROM workflow.effect WHERE effect_id = $effect", 'its sender is given up');
is(query(q{SELECT state FROM workflow.item WHERE key = 'vanished'}), 'PAY', 'and the item is where it was');
query("SELECT workflow.record_evidence('bank', 'vanished', 'not_applied', 'statement')");
ends('vanished', 'late|pending', 'evidence lets it go on');

($effect, $token) = begin('again', 'keys');
query("SELECT workflow.finish_effect($effect, '$token', 'unknown')");
is(query("SELECT state FROM workflow.effect WHERE effect_id = $effect"), 'pending', 'where the receiver knows keys it is to be done again');
waits('again', 'which is waited for');
query("UPDATE workflow.effect SET next_at = NULL WHERE effect_id = $effect");
(undef, $token) = split /\|/, query("SELECT effect_id, token FROM workflow.begin_effect('keys', 'again', '{}', 'pay:again')");
query("SELECT workflow.finish_effect($effect, '$token', 'not_applied')");
is(query("SELECT state FROM workflow.effect WHERE effect_id = $effect"), 'held', 'the second time nothing was done, but what of the first');
query("SELECT workflow.resolve($effect, 'not_applied', 'seen')");
ends('again', 'late|pending', 'until that is known, too');

# it is being begun, which nobody can see yet
query("SELECT workflow.submit('pay', '{}', key => 'begun')");
query("SELECT workflow.claim('out', 'me', 1, '1 hour')");
my $session = $node->background_psql('postgres', on_error_die => 1);
$session->query_safe('BEGIN');
$session->query_safe("SELECT effect_id FROM workflow.begin_effect('bank', 'begun', '{}', 'pay:begun')");
make_overdue();
wait_for("due_at > now() FROM workflow.timer", 'the timeout meets a guard that begins');
$session->query_safe('COMMIT');
$session->quit;
wait_for("due_at = 'infinity' FROM workflow.timer", 'and waits for it');
is(query(q{SELECT state FROM workflow.item WHERE key = 'begun'}), 'PAY', 'so that it is not passed by');

# what is not open is not waited for
query("SELECT workflow.submit('pay', '{}', key => 'none')");
make_overdue();
wait_for("outcome = 'late' FROM workflow.item WHERE key = 'none'", 'without a guard nothing waits');

$node->stop;
done_testing();
