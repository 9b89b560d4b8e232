# What a receiver that knows keys says about them is heeded.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $ignored = 'Idempotency-Status: ignored';
my $replayed = 'Idempotent-Replayed: true';

# An answer for each time that it is asked, the last one for ever.
sub one_after_the_other
{
	my (@answers) = @_;
	return sub { return $answers[ $_[0] > @answers ? -1 : $_[0] - 1 ] };
}

my $server = RawServer->new(
	'/again' => one_after_the_other(undef, RawServer::answer(200, '{}', $replayed)),
	'/same-error' => one_after_the_other(undef, RawServer::answer(503, '{}', $replayed)),
	'/ignored' => one_after_the_other(RawServer::answer(500, '{}', $ignored), RawServer::answer(200, '{}')),
	'/twice' => one_after_the_other(undef, RawServer::answer(200, '{}', $ignored)),
	'/poor' => one_after_the_other(RawServer::answer(429, '{"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}', 'Retry-After: 0'), RawServer::answer(200, '{}')),
	'/reused' => sub { return RawServer::answer(400, '{"error": {"type": "idempotency_error"}}') },
	'/reused-there' => sub { return RawServer::answer(409, '{"code": "key_taken"}') },
	'/own-code' => sub { return RawServer::answer(429, '{"code": "no_credit"}') },
	'/told' => one_after_the_other(RawServer::answer(400, '{}', 'X-Should-Retry: true'), RawServer::answer(429, '{}', 'X-Should-Retry: false')),
	'/body' => sub { return RawServer::answer(200, $_[1] =~ /^idempotency-key/im ? '{"header": true}' : ($_[1] =~ /\r\n\r\n(.*)/s)[0], 'Content-Type: application/json') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;

$node->safe_psql('postgres', qq{
	CREATE SERVER keyed FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key',
	  replay_marker 'Idempotent-Replayed', ignored_marker '$ignored');
	CREATE SERVER bodied FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key', key_pointer '/id')});

sub call
{
	my ($endpoint, $path) = @_;
	$node->safe_psql('postgres', "SELECT workflow.call('$endpoint', 'POST', '/$path', '{}', '$path')");
	return;
}

sub becomes
{
	my ($state, $key, $name) = @_;
	wait_for("state = '$state' FROM workflow.effects WHERE key = '$key'", $name);
	return;
}

sub query { return $node->safe_psql('postgres', "SELECT $_[0]") }

call('keyed', 'again');
becomes('succeeded', 'again', 'an unknown outcome is repeated');
is( query("detail ->> 'replayed' FROM workflow.attempt WHERE outcome = 'ok'"),
	'true',
	'and the record says that the answer was given before');

call('keyed', 'same-error');
becomes('held', 'same-error', 'an error that is given again will be given for ever');
is($server->count('/same-error'), 2, 'and is not asked for again');

call('keyed', 'ignored');
becomes('held', 'ignored', 'where the key was ignored a person is asked');
is($server->count('/ignored'), 1, 'before anything is sent again');
is( query("action || ' ' || reason FROM workflow.journal"),
	'key_ignored the receiver ignored the key: from now on a second copy would be a second action',
	'and the journal says why');
query("workflow.resolve(effect_id, 'not_applied', 'it is not there') FROM workflow.effects WHERE key = 'ignored'");
becomes('succeeded', 'ignored', 'it is sent again when somebody says so');

call('keyed', 'twice');
becomes('succeeded', 'twice', 'a success that ignored the key');
is( query("reason FROM workflow.journal WHERE action = 'duplicate_suspected'"),
	'the key was ignored, and an earlier attempt may have been applied',
	'after an attempt of unknown outcome may be the second one');

# 429 for want of money, and receivers that say whether to try again
call('keyed', 'poor');
becomes('blocked', 'poor', 'a quota that is used up waits for a person, whatever Retry-After says');
is(query("reason FROM workflow.effects WHERE key = 'poor'"), 'HTTP 429: a quota is used up', 'who is told so');
query("workflow.resolve(effect_id, 'not_applied', 'paid') FROM workflow.effects WHERE key = 'poor'");
becomes('succeeded', 'poor', 'and lets it go on');
$node->safe_psql('postgres', "ALTER SERVER keyed OPTIONS (ADD quota_codes 'no_credit', ADD retry_header 'X-Should-Retry')");
call('keyed', 'own-code');
becomes('blocked', 'own-code', 'an endpoint may have a code of its own for that');
call('keyed', 'reused');
becomes('failed', 'reused', 'a key that is known with another request is not sent again');
is(query("reason FROM workflow.effects WHERE key = 'reused'"),
	'HTTP 400: the receiver knows the key with another request', 'also where only the body says so');
$node->safe_psql('postgres', "ALTER SERVER keyed OPTIONS (ADD mismatch_codes 'key_taken')");
call('keyed', 'reused-there');
becomes('failed', 'reused-there', 'and where the status would be that of a key being worked on');
is($server->count('/reused-there'), 1, 'once');
call('keyed', 'told');
becomes('failed', 'told', 'a receiver that says whether to try again is obeyed');
is($server->count('/told'), 2, 'both ways');

call('bodied', 'body');
becomes('succeeded', 'body', 'the key may be in the body');
is(query("response ->> 'body' FROM workflow.effects WHERE key = 'body'"), '{"id": "body"}', 'and in no header then');

$node->stop;
$server->stop;
done_testing();
