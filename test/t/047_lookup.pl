# What is not known is looked up at the receiver before anything is sent again.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $hang_up = sub { return undef };
my $created = RawServer::answer(201, '{"id": "new"}', 'Content-Type: application/json');
my $found = RawServer::answer(200, '{"id": "pay-1", "total": 1}', 'Content-Type: application/json');
my $absent = RawServer::answer(404, '{}');

# An answer for each time that it is asked, the last one for ever.
sub one_after_the_other
{
	my (@answers) = @_;
	return sub { return $answers[ $_[0] > @answers ? -1 : $_[0] - 1 ] };
}

my $server = RawServer->new(
	'/pay/found' => $hang_up,
	'/find/found' => sub { return $found },
	'/pay/item' => $hang_up,
	'/find/item' => sub { return $found },
	'/pay/absent' => one_after_the_other(undef, $created),
	'/find/absent' => sub { return $absent },
	'/pay/unproven' => $hang_up,
	'/find/unproven' => sub { return $absent },
	'/pay/early' => $hang_up,
	'/find/early' => sub { return $absent },
	'/pay/vague' => $hang_up,
	'/find/vague' => one_after_the_other(RawServer::answer(500, ''), undef, $found),
	'/pay/secret' => $hang_up,
	'/find/secret' => sub { return RawServer::answer(401, '') },
	'/pay/forgotten' => $hang_up,
	'/find/forgotten' => sub { return $found },
	'/pay/body' => $hang_up,
	'/find?reference=a%2Fb' => sub { return $found },
	'/pay/nameless' => $hang_up,
	'/pay/careful' => $hang_up,
	'/find/careful' => sub { return $found },
	'/pay/slow' => sub { return '' },
	'/find/slow' => one_after_the_other('', $found),
	'/pay/accepted' => sub { return RawServer::answer(202, '{}', 'Location: /jobs/7') },
	'/pay/elsewhere' => sub { return RawServer::answer(202, '{}', 'Location: http://127.0.0.1:1/jobs/7') },
	'/jobs/7' => one_after_the_other(map { RawServer::answer(200, qq({"state": "$_"}), 'Content-Type: application/json') } 'busy', 'done'),
	'/pay/taken' => sub { return RawServer::answer(202, '{}') },
	'/find/taken' => one_after_the_other($absent, $absent, $found),
	'/pay/buried' => sub { return RawServer::answer(202, '{}') },
	'/find/buried' => sub { return $absent },
	'/pay/moved' => $hang_up,
	'/elsewhere/pay/moved' => sub { return $created },
	'/elsewhere/find/moved' => sub { return $absent },
	'/pay/keyed' => $hang_up,
	'/elsewhere/pay/keyed' => sub { return $created },
	'/pay/refused' => one_after_the_other(undef, RawServer::answer(400, '')),
	'/find/refused' => one_after_the_other($absent, $found));
my $node = start_working_node();

sub endpoint
{
	my ($name, $options) = @_;
	my $url = 'http://127.0.0.1:' . $server->port;
	$node->safe_psql('postgres',
		"CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', allow_http 'true', allow_private '127.0.0.0/8', $options)"
	);
	return;
}

sub call
{
	my ($endpoint, $key, $body) = @_;
	$body //= '{}';
	return $node->safe_psql('postgres',
		"SELECT workflow.call('$endpoint', 'POST', '/pay/$key', '$body', '$key')");
}

sub effect
{
	my ($columns, $key) = @_;
	return $node->safe_psql('postgres', "SELECT $columns FROM workflow.effect WHERE key = '$key'");
}

sub becomes
{
	my ($state, $key, $name) = @_;
	wait_for("state = '$state' FROM workflow.effects WHERE key = '$key'", $name);
	return;
}

my $lookup = q(lookup_path '/find/{key}', lookup_found '$.status == 200', lookup_absent '$.status == 404');
endpoint('proven', "dedup 'none', owner 'boss', lookup_settle '10ms', absent_is_proof 'true', $lookup");
endpoint('unproven', "dedup 'none', owner 'boss', lookup_settle '10ms', $lookup");
endpoint('patient', "dedup 'none', owner 'boss', absent_is_proof 'true', $lookup");
endpoint('careful', "dedup 'key', on_unknown 'hold', $lookup");
endpoint('forgetful', "dedup 'key', key_ttl '10ms', $lookup");

# found: it was applied, and the answer of the lookup is the answer
call('proven', 'found');
becomes('succeeded', 'found', 'what the lookup finds was applied');
is( effect(q(substate, attempts, status, response #>> '{body,id}', unknown_attempts), 'found'),
	'found|1|200|pay-1|0',
	'its answer is kept, and it was sent once');
is($server->count('/pay/found'), 1, 'the receiver saw it once');
is( $node->safe_psql('postgres',
		"SELECT string_agg(concat_ws(' ', a.attempt, a.outcome, a.detail ->> 'lookup', a.detail ->> 'evidence'), ', ' ORDER BY a.attempt_id) FROM workflow.attempt AS a JOIN workflow.effect AS e USING (effect_id) WHERE e.key = 'found'"
	),
	'1 unknown unknown, 1 ok found applied',
	'the lookup is on record as no send');

# absent, and that is a proof: it is sent again
call('proven', 'absent');
becomes('succeeded', 'absent', 'what is proven absent is sent again');
is( effect(q(attempts, status, response #>> '{body,id}'), 'absent') . '|' . $server->count('/pay/absent'),
	'2|201|new|2',
	'once');

# absent, which proves nothing
call('unproven', 'unproven');
becomes('held', 'unproven', 'where absence proves nothing a person is asked');
is($server->count('/pay/unproven'), 1, 'and nothing is sent again');

# absent so soon says nothing yet
call('patient', 'early');
wait_for("state = 'unknown' AND reason LIKE '%does not find it yet' FROM workflow.effects WHERE key = 'early'",
	'absence does not count at once');
is( effect("next_at > now() + interval '30 seconds'", 'early') . $server->count('/pay/early'),
	't1',
	'it is looked up again when it does');

# answers that say nothing
call('proven', 'vague');
becomes('succeeded', 'vague', 'a lookup that says nothing is made again');
is($server->count('/find/vague') . $server->count('/pay/vague'), '31', 'until it says something');
call('proven', 'secret');
becomes('blocked', 'secret', 'a lookup that is refused waits for its cause');
is(effect('unknown_attempts', 'secret'), '1', 'and its effect may still have been applied');

# a receiver that has forgotten the key
call('forgetful', 'forgotten');
becomes('succeeded', 'forgotten', 'when the receiver may have forgotten the key it is looked up');
is($server->count('/pay/forgotten'), 1, 'and not sent again');

# more careful than it need be
call('careful', 'careful');
becomes('held', 'careful', 'an endpoint may ask for a person each time');
is($server->count('/find/careful'), 0, 'without a lookup');

# what the lookup asks for comes from the request
endpoint('by_body', q(dedup 'none', owner 'boss', lookup_path '/find?reference={$.body.reference}', lookup_found '$.body.total == 1'));
call('by_body', 'body', '{"reference": "a/b"}');
becomes('succeeded', 'body', 'a lookup by a reference in the body');
call('by_body', 'nameless');
becomes('held', 'nameless', 'without that reference a person is asked');
is( effect('reason', 'nameless'),
	'whether it was applied cannot be looked up: {$.body.reference} is not known',
	'who is told why');

# what was accepted is done when the place that the answer names says so
endpoint('patiently', q(dedup 'key', accepted 'probe', lookup_path '{location}', lookup_found '$.body.state == "done"'));
call('patiently', 'accepted');
becomes('succeeded', 'accepted', 'what was accepted is looked up until it is done');
is(effect(q(response #>> '{body,state}'), 'accepted') . $server->count('/pay/accepted') . $server->count('/jobs/7'),
	'done12',
	'and sent once');
call('patiently', 'elsewhere');
becomes('held', 'elsewhere', 'no other host is asked');

# what was accepted was taken: that it is not found yet is no proof that it was not
endpoint('accepting', "dedup 'none', owner 'boss', accepted 'probe', lookup_settle '10ms', absent_is_proof 'true', $lookup");
call('accepting', 'taken');
call('accepting', 'buried');
wait_for("state = 'succeeded' OR attempts > 1 FROM workflow.effects WHERE key = 'taken'", 'what was accepted is looked up until it is found');
is(effect('state', 'taken') . $server->count('/pay/taken') . $server->count('/find/taken'), 'succeeded13', 'and sent once');
wait_for("count(*) > 2 FROM workflow.attempt AS a JOIN workflow.effect AS e USING (effect_id) WHERE e.key = 'buried'", 'what is not found is looked up again');
is(effect('state, unknown_attempts, reason', 'buried'), 'unknown|1|HTTP 404: it was accepted, and the lookup does not find it yet', 'without an end for the present');
$node->safe_psql('postgres', "UPDATE workflow.effect SET unknown_at = unknown_at - interval '2 days', next_at = NULL WHERE key = 'buried'");
becomes('held', 'buried', 'after a day a person is asked');
is($server->count('/pay/buried'), 1, 'and it was sent once');

# a later attempt that is refused says nothing about an earlier one
endpoint('refusing', "dedup 'key', mismatch '', lookup_settle '10s', $lookup");
call('refusing', 'refused');
becomes('failed', 'refused', 'a receiver with keys that refuses has not applied it before');

# another receiver knows nothing of what the first one was sent: it is neither
# asked nor sent anything, until a person has looked
endpoint('keyed', "dedup 'key'");
endpoint('moving', "dedup 'none', owner 'boss', lookup_settle '2s', absent_is_proof 'true', $lookup");
foreach my $endpoint ('keyed', 'moving')
{
	my $key = $endpoint eq 'keyed' ? 'keyed' : 'moved';
	call($endpoint, $key);
	wait_for("unknown_attempts > 0 FROM workflow.effect WHERE key = '$key'", "$key is not known");
	$node->safe_psql('postgres', "ALTER SERVER $endpoint OPTIONS (SET url 'http://127.0.0.1:" . $server->port . "/elsewhere')");
	becomes('held', $key, "$key is not sent to another receiver");
	is($server->count("/elsewhere/pay/$key") . $server->count("/elsewhere/find/$key"), '00', 'nor is it asked');
	like(effect('reason', $key), qr{http://127.0.0.1:\d+, and the endpoint is now http://127.0.0.1:\d+/elsewhere}, 'the reason names both');
	$node->safe_psql('postgres', "SELECT workflow.resolve(effect_id, 'not_applied', 'I looked') FROM workflow.effects WHERE key = '$key'");
	becomes('succeeded', $key, 'a person may send it there');
	is($server->count("/elsewhere/pay/$key"), 1, 'once');
}

# the sender dies, and so does who looks it up
endpoint('slow', "dedup 'none', owner 'boss', timeout '5min', $lookup");
call('slow', 'slow');
foreach my $state ('sending', 'unknown')
{
	wait_for("state = '$state' AND token IS NOT NULL FROM workflow.effect WHERE key = 'slow'",
		"it is $state");
	$node->safe_psql('postgres',
		"SELECT pg_terminate_backend(pid) FROM workflow.workers WHERE kind = 'http'");
}
becomes('succeeded', 'slow', 'whatever dies, it is looked up in the end');
is($server->count('/pay/slow') . $server->count('/find/slow'), '12', 'and sent once');

# an item goes on with what was found
$node->safe_psql('postgres', q(SELECT workflow.define('{
	"workflow": "payment", "owner": "boss", "initial": "PAY", "key": ["$.id"],
	"queues": {"pay": {"owner": "boss", "sla": "1 hour", "escalate_to": ["boss"]}},
	"states": {
	  "PAY": {"http": {"endpoint": "proven", "queue": "pay", "method": "POST", "path": "/pay/{$.id}",
	                   "body": {"id": "{$.id}"}, "key": ["$.id"], "external_id": "$.body.id"},
	          "on": {"ok": "DONE", "error": "FAILED"}},
	  "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}')));
$node->safe_psql('postgres', q(SELECT workflow.submit('payment', '{"id": "item"}')));
wait_for("outcome = 'success' FROM workflow.items WHERE workflow = 'payment'",
	'an item goes on when its action was found');
is(effect('external_id', 'item'), 'pay-1', 'with the id that was found');

$node->stop;
$server->stop;
done_testing();
