# What an endpoint declares about repetitions is tried out at its receiver.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $replayed = 'Idempotent-Replayed: true';
my $ignored = 'Idempotency-Status: ignored';
my %ids;    # key => id of the object that it made
my $sum = 0;

# A receiver that does a thing once for each key, and one that does not care.
sub made
{
	my ($request, $heeds) = @_;
	my ($key) = $request =~ /^idempotency-key: *(\S+)/im;
	my $is_known = $heeds && exists $ids{$key};

	$ids{$key} = keys(%ids) + 1 if $heeds && !$is_known;
	return ($heeds ? $ids{$key} : ++$sum, $is_known);
}

my $server = RawServer->new(
	'/marked' => sub { my ($id, $again) = made($_[1], 1); return RawServer::answer(201, '{"made": true}', $again ? $replayed : ()) },
	'/always' => sub { return RawServer::answer(201, qq({"n": $_[0]}), $replayed) },
	'/same-id' => sub { my ($id) = made($_[1], 1); return RawServer::answer(201, qq({"id": $id, "asked": $_[0]})) },
	'/same-answer' => sub { my ($id) = made($_[1], 1); return RawServer::answer(201, qq({"id": $id})) },
	'/other-id' => sub { my ($id) = made($_[1], 0); return RawServer::answer(201, qq({"id": "order-$id"})) },
	'/says-ignored' => sub { return RawServer::answer(201, '{}', $ignored) },
	'/silent' => sub { return RawServer::answer(204, '') },
	'/conflict' => sub { return $_[0] == 1 ? RawServer::answer(201, '{}') : RawServer::answer(412, '{}') },
	'/refused' => sub { return RawServer::answer(400, '{}') },
	'/done' => sub { return RawServer::answer($_[0] == 1 ? 200 : 404, '') },
	'/first-lost' => sub { my ($id) = made($_[1], 1); return $_[0] == 1 ? undef : RawServer::answer(201, qq({"id": $id})) },
	'/accepted' => sub { my ($id) = made($_[1], 1); return RawServer::answer(202, qq({"job": $id}), "Location: /job/$id") },
	'/hangs' => sub { my ($id) = made($_[1], 1); return $_[0] == 2 ? '' : RawServer::answer(201, qq({"id": $id})) },
	'/set' => sub { return RawServer::answer(200, '') },
	'/add' => sub { $sum++; return RawServer::answer(200, '') },
	'/sum' => sub { return RawServer::answer(200, qq({"sum": $sum, "read": $_[0]}), 'Content-Type: application/json') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
my $port = $server->port;

$node->safe_psql('postgres', qq{
	CREATE SERVER keyed FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key', timeout '60s',
	  replay_marker 'Idempotent-Replayed', ignored_marker '$ignored');
	CREATE SERVER upsert FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'natural', already_done '404')});

sub query { return $node->safe_psql('postgres', "SELECT $_[0]") }

# Tries an endpoint out and returns what its effect and the view say then.
sub verify
{
	my ($endpoint, $operation, $mended) = @_;
	my $id = query("workflow.verify_endpoint('$endpoint', '$operation'" . ($mended ? ", mended => '$mended')" : ')'));

	wait_for("state NOT IN ('pending', 'sending', 'claimed') FROM workflow.effects WHERE effect_id = $id", "$operation ends");
	return query("concat_ws('|', e.state, e.attempts, e.reason, p.verification)
		FROM workflow.effects AS e JOIN workflow.endpoints AS p USING (endpoint) WHERE effect_id = $id");
}

sub post { return '{"method": "POST", "path": "/' . $_[0] . '", "body": {"test": true}' . ($_[1] // '') . '}' }
my $id = ', "external_id": "$.body.id"';

is(query("verification || coalesce(verified_at::text, '') FROM workflow.endpoints WHERE endpoint = 'keyed'"),
	'declared, not verified', 'a declaration is only that at first');

is(verify('keyed', post('marked')),
	'succeeded|2|verified: the second answer is marked as given before|verified', 'a marker shows that the key was known');
is($server->count('/marked'), 2, 'of the second of two copies');
is(query("count(DISTINCT key) || ' ' || string_agg(a.attempt || a.outcome, ' ' ORDER BY attempt_id)
	FROM workflow.attempt AS a JOIN workflow.effects AS e USING (effect_id) WHERE e.path = '/marked'"),
	'1 1ok 2ok', 'which are two attempts of one effect');
is(query("verified_at > now() - interval '1 minute' AND verification_detail LIKE '%given before' FROM workflow.endpoints WHERE endpoint = 'keyed'"),
	't', 'the view says when, and by what');
is(query("string_agg(action, ' ' ORDER BY journal_id) FROM workflow.journal"), 'verify_endpoint endpoint_verified', 'the journal, too');

# what an answer shows
is(verify('keyed', post('same-id', $id)), 'succeeded|2|verified: both answers name the object 2|verified', 'the same object');
is(verify('keyed', post('same-answer')), 'succeeded|2|verified: both answers are the same|verified', 'the same answer');
is(verify('keyed', post('other-id', $id)),
	'succeeded|2|refuted: the second copy made another object: first order-1, then order-2|refuted', 'another object');
is(query("ok || ' ' || severity || ' ' || detail FROM workflow.health() WHERE \"check\" = 'endpoints_refuted'"),
	'false error keyed (dedup key): the second copy made another object: first order-1, then order-2.', 'health() says so');
is(query("count(*) FROM workflow.journal WHERE action = 'duplicate_suspected'"), '0', 'and nobody suspects what was meant');
is(verify('keyed', post('silent')),
	'succeeded|2|not verified: both copies were accepted, and nothing in the answers shows whether it was done once; name external_id, or read and same|refuted',
	'what shows nothing changes no verdict');
is(verify('keyed', post('always', $id)), 'succeeded|2|not verified: both copies were accepted, and nothing in the answers shows whether it was done once; name external_id, or read and same|refuted',
	'a marker that is always there shows nothing');
is(verify('keyed', post('says-ignored', $id)),
	'succeeded|1|refuted: the receiver says that it ignored the key|refuted', 'a receiver that says that it ignored the key is not asked twice');
is(verify('keyed', post('conflict')), 'succeeded|2|not verified: the second copy got no answer that shows anything: HTTP 412: a precondition failed|refuted',
	'a second copy that is refused is no failure of the first');
is(query("string_agg(outcome, ' ' ORDER BY attempt_id) FROM workflow.attempt AS a JOIN workflow.effects AS e USING (effect_id) WHERE e.path = '/conflict'"),
	'ok dead', 'on record as it was');
is(verify('keyed', post('refused')), 'failed|1|HTTP 400: the request was refused|refuted', 'an operation that is refused shows nothing');
is(verify('keyed', post('first-lost', $id)), 'succeeded|3|verified: both answers name the object 4|refuted',
	'after an unknown outcome the first success counts; a refutation stays');
is(verify('keyed', post('same-id', $id), 'they have a new release'), 'succeeded|2|verified: both answers name the object 5|verified',
	'until somebody says what was mended, and it is shown');

$node->safe_psql('postgres', qq{CREATE SERVER slowly FOREIGN DATA WRAPPER workflow_http OPTIONS (
	url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key', accepted 'probe', lookup_path '{location}', lookup_found 'false')});
is(verify('slowly', post('accepted', ', "external_id": "$.body.job"')), 'succeeded|2|verified: both answers name the object 6|verified',
	'what is accepted need not be done');

# what is there may be read
my $read = ', "read": "/sum", "same": "$.body.sum"';
is(verify('upsert', '{"method": "PUT", "path": "/set", "body": {}' . $read . '}'),
	'succeeded|2|verified: the second copy has left what is there: 2|verified', 'what is there stays as it is');
is($server->count('/sum'), 2, 'after two readings');
is(verify('upsert', '{"method": "PUT", "path": "/add", "body": {}' . $read . '}'),
	'succeeded|2|refuted: the second copy has changed what is there: first 3, then 4|refuted', 'or does not');
is(verify('upsert', '{"method": "DELETE", "path": "/done"}', 'a new release'),
	'succeeded|2|verified: the second copy was answered with HTTP 404: it had been done|verified', 'what is done already is done');

# a server that ends between the two copies
my $effect = query("workflow.verify_endpoint('keyed', '" . post('hangs', $id) . "')");
wait_for("attempts = 2 AND state = 'sending' FROM workflow.effects WHERE effect_id = $effect", 'the second copy is under way');
$node->stop('immediate');
$node->start;
wait_for("state = 'succeeded' FROM workflow.effects WHERE effect_id = $effect", 'a crash then does not end it');
is(query("attempts || ' ' || reason FROM workflow.effects WHERE effect_id = $effect"),
	'3 verified: both answers name the object 7', 'the copy is sent again under the same key');

# what was found out holds for what is declared
is(query("verification FROM workflow.endpoints WHERE endpoint = 'keyed'"), 'verified', 'the last verdict counts, also after a restart');
$node->safe_psql('postgres', "ALTER SERVER keyed OPTIONS (SET timeout '10s'); ALTER SERVER keyed RENAME TO orders");
is(query("verification FROM workflow.endpoints WHERE endpoint = 'orders'"), 'verified', 'a name and a timeout do not matter');
$node->safe_psql('postgres', "ALTER SERVER orders OPTIONS (SET url 'http://127.0.0.2:$port')");
is(query("verification || coalesce(verified_at::text, '') FROM workflow.endpoints WHERE endpoint = 'orders'"),
	'declared, not verified', 'another address does');
$node->safe_psql('postgres', "ALTER SERVER orders OPTIONS (SET url '$url', ADD key_format 'string')");
is(query("verification FROM workflow.endpoints WHERE endpoint = 'orders'"), 'declared, not verified', 'so does another way to send the key');
$node->safe_psql('postgres', 'ALTER SERVER orders OPTIONS (DROP key_format)');
is(query("verification FROM workflow.endpoints WHERE endpoint = 'orders'"), 'verified', 'what is as it was has been verified');

# a dump knows the server by its name: that of now, once somebody has used it
query("workflow.resume_endpoint('orders')");
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'it is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('copy'), $dump ], 'and restored');
is($node->safe_psql('copy', 'SELECT endpoint, verification FROM workflow.endpoints ORDER BY endpoint'),
	"orders|verified\nslowly|verified\nupsert|verified", 'with what was found out');

$node->stop;
$server->stop;
done_testing();
