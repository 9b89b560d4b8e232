# What is asked for is what arrives: methods, bodies, headers; and streamed
# answers come back as events.

use strict;
use warnings FATAL => 'all';
use FaultServer;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $faults = FaultServer->new;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub reaches
{
	my ($effect, $state) = @_;
	return $node->poll_query_until('postgres',
		"SELECT state = '$state' FROM workflow.effect WHERE $effect");
}

# Makes a call with the arguments given and waits until it has succeeded.
sub call
{
	my ($method, $path, $arguments) = @_;
	my $id = sql("SELECT workflow.call('echo', '$method', '$path'" . ($arguments // '') . ')');

	ok(reaches("effect_id = $id", 'succeeded'), "$method $path")
	  or diag(sql("SELECT * FROM workflow.effects WHERE effect_id = $id"));
	return $id;
}

sub answer
{
	my ($id, $path) = @_;
	return sql("SELECT response #>> '$path' FROM workflow.effect WHERE effect_id = $id");
}

sql('CREATE EXTENSION pg_workflow');
sql('CREATE SERVER echo FOREIGN DATA WRAPPER workflow_http OPTIONS (url \'' . $faults->url
	  . "', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key', timeout '5s', stall_timeout '1s')");

# methods, with and without a body
foreach my $method (qw(GET HEAD DELETE POST PUT PATCH))
{
	call($method, "/ok/$method");
	is($faults->last("/ok/$method")->{method}, $method, "$method arrives");
}
is($faults->last('/ok/GET')->{header}{'content-length'}, undef, 'a GET has no body');
is($faults->last('/ok/POST')->{header}{'content-length'}, 0, 'a POST says that it has none');
is($faults->last('/ok/POST')->{header}{'content-type'}, undef, 'and has no type');
call('DELETE', '/ok/DELETE2', q(, '{"why": "old"}'));
is($faults->last('/ok/DELETE2')->{body}, '{"why": "old"}', 'a DELETE may have a body');

# the bytes and their type
my $binary = call('PUT', '/ok/binary', q(, body_bytes => '\x00ff0d0a80'));
is(unpack('H*', $faults->last('/ok/binary')->{body}), '00ff0d0a80', 'bytes arrive as they are');
call('POST', '/ok/form', q(, '{"a": "x y"}', content_type => 'application/x-www-form-urlencoded'));
is($faults->last('/ok/form')->{body}, 'a=x+y', 'so does a form');
is($faults->last('/ok/form')->{header}{'content-type'},
	'application/x-www-form-urlencoded', 'with its type');
call('POST', '/ok/merge', q(, '{"a": 1}', NULL, '{"Content-Type": "application/merge-patch+json", "X-Empty": ""}'));
is((grep { /^content-type:/i } @{ $faults->last('/ok/merge')->{lines} }), 1, 'a type is sent once');
is($faults->last('/ok/merge')->{header}{'x-empty'}, '', 'an empty header is sent');

# a second send of parts is a copy, byte for byte
my $parts = call('POST', '/503+ok/parts',
	q(, '{"note": "n", "file": {"filename": "a.bin", "base64": "AAEC"}}', content_type => 'multipart/form-data'));
is($faults->requests('/503+ok/parts'), 2, 'parts are sent again');
my $last = $faults->last('/503+ok/parts');
my ($boundary) = $last->{header}{'content-type'} =~ /^multipart\/form-data; boundary=(\S+)$/;
like($last->{body}, qr/^--\Q$boundary\E\r\n.*\r\n--\Q$boundary\E--\r\n$/s, 'within their boundary');
like($last->{body}, qr/name="file"; filename="a.bin"\r\nContent-Type: application\/octet-stream\r\n\r\n\x00\x01\x02\r\n/,
	'bytes and all');
my %bodies = %{ $faults->seen->{bodies} };
is( $bodies{ sql("SELECT encode(sha256(body), 'hex') FROM workflow.effect WHERE effect_id = $parts") },
	2,
	'the same bytes both times');

# in a workflow, with a read before that has headers of its own, and a way back
sql(q{
	SELECT workflow.define('{
	  "workflow": "w", "owner": "o", "initial": "A", "key": ["$.id"],
	  "queues": {"q": {"owner": "o", "sla": "1 hour", "escalate_to": ["o"]}},
	  "states": {"A": {"http": {"endpoint": "echo", "queue": "q", "method": "POST", "path": "/ok/w{$.id}",
	      "headers": {"X-A": "action"}, "content_type": "application/x-www-form-urlencoded",
	      "body": {"name": "$.name", "tag": "$.tags"}, "key": ["w", "$.id"],
	      "before": {"method": "GET", "path": "/ok/before", "headers": {"X-A": "before"}},
	      "revert": {"method": "PUT", "path": "/ok/back", "headers": {"X-A": "back"},
	                 "content_type": "text/plain", "body": "was {$.name}"}},
	    "on": {"ok": "B", "error": "C"}},
	    "B": {"final": "success"}, "C": {"final": "failure"}}}');
	SELECT workflow.submit('w', '{"id": "1", "name": "Ann & Bob", "tags": ["x", "y"]}')});
ok($node->poll_query_until('postgres', "SELECT outcome = 'success' FROM workflow.items"), 'a workflow sends a form');
is($faults->last('/ok/w1')->{body}, 'tag=x&tag=y&name=Ann+%26+Bob', 'made of its data');
is($faults->last('/ok/before')->{header}{'x-a'}, 'before', 'the read before has its headers');
sql(q{SELECT workflow.revert(effect_id, 'wrong') FROM workflow.effect WHERE key LIKE 'w:1'});
ok(reaches("kind = 'revert'", 'succeeded'), 'it is taken back');
is_deeply(
	[ @{ $faults->last('/ok/back') }{qw(method body)}, @{ $faults->last('/ok/back')->{header} }{qw(x-a content-type)} ],
	[ 'PUT', 'was Ann & Bob', 'back', 'text/plain' ],
	'as its definition says');

# a stream of events is one value
my $events = decode_json(answer(call('POST', '/sse/a'), '{body}'));
is_deeply(
	$events,
	{ events => [
			{ event => 'start', id => '7', data => { model => 'm' } },
			{ id => '7', data => "two\nlines" },
			{ event => 'delta', id => '7', data => { text => "caf\xe9" } },
			{ id => '7', data => '[DONE]' } ] },
	'server-sent events are parsed');
is(answer(call('POST', '/ssecut/a'), '{body,events,3,data}'), '[DONE]', 'a stream that breaks off keeps what is whole');
is(answer(call('POST', '/ssecut/a'), '{body,events,4}'), '', 'and no more');

# slow answers: silence ends one that has begun, but not the wait for it
sql(q{ALTER SERVER echo OPTIONS (SET timeout '5min')});
my $slow = call('POST', '/stall=3/a');
is(answer($slow, '{body,ok}'), 'true', 'an answer may be long in coming');
my $drip = call('POST', '/drip=2/a');
is(sql("SELECT substate FROM workflow.effect WHERE effect_id = $drip"), 'no_body', 'one that drips is cut off');
is( sql("SELECT detail ->> 'curl_code', finished_at - started_at < '30 s' FROM workflow.attempt WHERE effect_id = $drip"),
	'28|t', 'long before its time is over');

# the work of a key is done once, whatever becomes of the answer
foreach my $word ('reset+ok', 'close+ok', 'cut=10', 'prestall=1', '409+ok', 'accepted', 'interim', '503+ok')
{
	call('POST', "/$word/once", qq(, '{}', 'once-$word'));
	is($faults->executions("once-$word"), 1, "$word: executed once");
}
is(sql("SELECT substate FROM workflow.effect WHERE key = 'once-accepted'"), 'accepted', '202 is told apart');
is(answer(sql("SELECT effect_id FROM workflow.effect WHERE key = 'once-reset+ok'"), '{headers,idempotent-replayed}'),
	'true', 'the second send got the first answer');

# a connection is used again, but neither after it was idle nor when it is old
sub configure
{
	$node->append_conf('postgresql.conf', $_[0]);
	$node->reload;
	ok($node->poll_query_until('postgres', "SELECT pg_conf_load_time() > '$_[1]'"), "with $_[0]");
	return;
}

sub is_reused
{
	my ($path) = @_;
	call('GET', $path);
	return $faults->last($path)->{reused} ? 1 : 0;
}

# Makes calls until one meets an old connection, or a new one.
sub becomes
{
	my ($reused, $path) = @_;
	foreach (1 .. 100)
	{
		return 1 if is_reused("$path$_") == $reused;
		sql('SELECT pg_sleep(0.1)');
	}
	return 0;
}

call('GET', '/ok/first');
is(is_reused('/ok/second'), 1, 'a connection is used again');
configure("pg_workflow.connection_idle = '1s'", sql('SELECT clock_timestamp()'));
ok(becomes(1, '/ok/soon'), 'as long as it is not idle');
my $since = sql('SELECT clock_timestamp()');
ok($node->poll_query_until('postgres', "SELECT clock_timestamp() > timestamptz '$since' + interval '2.5 seconds'"), 'time passes');
is(is_reused('/ok/idle'), 0, 'one that was idle is not used again');
configure("pg_workflow.connection_idle = '50s'\npg_workflow.connection_lifetime = '2s'", sql('SELECT clock_timestamp()'));
ok(becomes(1, '/ok/young'), 'one that is young is used');
ok(becomes(0, '/ok/old'), 'and no more when it is old, though it was never idle');

$node->stop('fast');
$faults->stop;
done_testing();
