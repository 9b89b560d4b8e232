# The client sends an attempt once, goes only where it may, and bears whatever
# comes back.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;

my $server = RawServer->new(
	'/ok'       => sub { RawServer::answer(200, '{"ok": true}', 'X-Twice: a', 'x-twice: b') },
	'/echo'     => sub { RawServer::answer(200, $_[1]) },
	'/die_once' => sub { $_[0] == 1 ? undef : RawServer::answer(200, '{}') },
	'/die'      => sub { undef },
	'/hang'     => sub { '' },
	'/moved'    => sub { RawServer::answer(308, '', 'Location: /target') },
	'/target'   => sub { RawServer::answer(200, '') },
	'/nul'      => sub { RawServer::answer(200, "{\"a\": \"\0\"}") },
	'/escaped'  => sub { RawServer::answer(200, '{"a": "\u0000"}') },
	'/latin1'   => sub { RawServer::answer(200, "{\"a\": \"\xe9\"}", "X-Odd: \xe9") },
	'/deep'     => sub { RawServer::answer(200, '[' x 5000 . ']' x 5000) },
	'/large'    => sub { RawServer::answer(200, 'x' x 100_000) },
	'/heads'    => sub { RawServer::answer(200, '{}', map { "X-$_: y" } 1 .. 500) },
	'/short'    => sub { "HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{" . "}" },
	'/busy'     => sub { RawServer::answer(429, '', 'Retry-After: 3600') });

my $node = PostgreSQL::Test::Cluster->new('main');
my $secrets = PostgreSQL::Test::Utils::tempdir;
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf',
	"pg_workflow.workers = on\npg_workflow.secrets_dir = '$secrets'");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub make_endpoint
{
	my ($name, $options) = @_;
	my $url = 'http://127.0.0.1:' . $server->port;

	sql("CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http
		OPTIONS (url '$url', allow_http 'true', timeout '3s', $options)");
}

# Calls a path and waits until its effect is in a state; returns the id.
sub call
{
	my ($endpoint, $path, $state) = @_;
	my $id = sql("SELECT workflow.call('$endpoint', 'POST', '$path', '{}', '$path')");

	reaches($id, $state, "$endpoint $path is $state");
	return $id;
}

sub reaches
{
	my ($id, $state, $name) = @_;

	ok( $node->poll_query_until(
			'postgres', "SELECT state = '$state' FROM workflow.effect WHERE effect_id = $id"),
		$name);
}

sub column
{
	my ($id, $column) = @_;
	return sql("SELECT $column FROM workflow.effect WHERE effect_id = $id");
}

sql('CREATE EXTENSION pg_workflow');
make_endpoint('keyed', "dedup 'key', allow_private '127.0.0.0/8', max_response '64kB'");
make_endpoint('once', "dedup 'none', owner 'ops', allow_private '127.0.0.0/8'");
make_endpoint('closed', "dedup 'key'");

# what is sent and what is kept
my $ok = call('keyed', '/ok', 'succeeded');
is(column($ok, q{response #>> '{body,ok}'}), 'true', 'a JSON body is parsed');
is(column($ok, q{response #>> '{headers,x-twice}'}), 'a, b', 'a repeated header is a list');

# libcurl would repeat a request whose used connection ends without an answer
my $died = call('keyed', '/die_once', 'succeeded');
is(column($died, 'attempts'), 2, 'a request that got no answer took a second attempt');
is($server->count('/die_once'), 2, 'and was sent once for each');
is(sql("SELECT outcome, detail ->> 'phase' FROM workflow.attempt
		WHERE effect_id = $died AND attempt = 1"),
	'unknown|sent', 'the first one may have been applied');

my $held = call('once', '/die', 'held');
is($server->count('/die'), 1, 'without deduplication it is not sent again');

# nowhere else than asked
my $moved = call('keyed', '/moved', 'failed');
is($server->count('/target'), 0, 'a redirect is not followed');

my $closed = call('closed', '/ok', 'blocked');
like(
	column($closed, 'reason'),
	qr/ALTER SERVER closed OPTIONS \(ADD allow_private '127\.0\.0\.1\/32'\)/,
	'a private address is refused, and the reason says what would allow it');
is($server->count('/ok'), 1, 'nothing was sent');
sql("ALTER SERVER closed OPTIONS (ADD allow_private '127.0.0.1/32')");
reaches($closed, 'succeeded', 'it goes on when the address is allowed');
is($server->count('/ok'), 2, 'once');

# whatever comes back
my $latin1 = call('keyed', '/latin1', 'succeeded');
is(column($latin1, q{encode(response_raw, 'escape')}),
	'{"a": "\351"}', 'a body that is no UTF-8 is kept as bytes');
is(column($latin1, q{response #>> '{headers,x-odd}'}), '?', 'a header is kept as ASCII');
my $nul = call('keyed', '/nul', 'succeeded');
is(column($nul, 'length(response_raw)'), 10, 'so is one with a NUL');
is(column($nul, q{response -> 'body'}), 'null', 'and is not in the response');
my $escaped = call('keyed', '/escaped', 'succeeded');
is(column($escaped, q{response ->> 'body'}), '{"a": "\u0000"}', 'JSON that jsonb cannot hold is a string');
my $deep = call('keyed', '/deep', 'succeeded');
is(column($deep, q{jsonb_typeof(response -> 'body')}), 'string', 'so is JSON that is too deep');
my $large = call('keyed', '/large', 'succeeded');
is(column($large, q{substate, length(response ->> 'body')}),
	'no_body|65536', 'a body that is too large is cut off');
my $heads = call('keyed', '/heads', 'succeeded');
is(column($heads, 'substate'), 'no_body', 'too many headers are cut off');

# a rate limit is waited for and not charged
my $busy = sql(q{SELECT workflow.call('keyed', 'POST', '/busy', '{}', '/busy')});
ok( $node->poll_query_until(
		'postgres',
		"SELECT charged = 0 AND next_at > now() + interval '50 minutes'
		 FROM workflow.effect WHERE effect_id = $busy AND attempts = 1"),
	'Retry-After is obeyed');
like(sql(q{SELECT pause_until > now() + interval '50 minutes' FROM workflow.endpoints WHERE endpoint = 'keyed'}),
	qr/^t$/, 'by the whole endpoint');
sql(q{SELECT workflow.resume_endpoint('keyed', 'only that one was meant')});

# secrets are read when something is sent, and reach nothing but the wire
sql(q{ALTER SERVER keyed OPTIONS (ADD header_x_tenant 'acme')});
sql(q{CREATE USER MAPPING FOR CURRENT_USER SERVER keyed OPTIONS (bearer_secret 'token')});
my $echo = call('keyed', '/echo', 'blocked');
like(column($echo, 'reason'), qr/secret "token" cannot be read/, 'a missing secret blocks');
append_to_file("$secrets/token", "hunter2\n");
# any change of the server has blocked effects looked at again
sql(q{ALTER SERVER keyed OPTIONS (ADD header_x_looked_at 'again')});
reaches($echo, 'succeeded', 'it goes on when the secret is there');
my $sent = column($echo, q{response ->> 'body'});
like($sent, qr{^Idempotency-Key: /echo\r$}m, 'the key is sent');
like($sent, qr/^Authorization: Bearer \*{7}\r$/m, 'so is the secret, and masked in what comes back');
like($sent, qr/^x-tenant: acme\r$/m, 'and the header of the endpoint');
unlike(slurp_file($node->logfile), qr/hunter2/, 'the secret is not in the log');

# the sender dies while a call is under way
my $hang = call('once', '/hang', 'sending');
is(waited_for('/hang'), 1, 'the request has arrived');
$node->stop('immediate');
$node->start;
reaches($hang, 'held', 'a call whose sender died is nobody\'s to repeat');
is($server->count('/hang'), 1, 'it was sent once');

# Counts once something has arrived.
sub waited_for
{
	my ($path) = @_;

	for (1 .. 100)
	{
		my $count = $server->count($path);
		return $count if $count;
		select undef, undef, undef, 0.05;
	}
	return 0;
}

$server->stop;
$node->stop('fast');
done_testing();
