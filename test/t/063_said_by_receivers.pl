# What a receiver says about time, about work that was done already, and how it wants
# keys; and a connection that is there already goes no further than its endpoint may.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $json = 'Content-Type: application/json';
my $http_date = sub { return strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + $_[0])) };
my @wait = (
	# said, least and most seconds
	[ seconds => ['Retry-After: 3600'], 3500, 4000 ],
	[ date => [ 'Retry-After: ' . $http_date->(7200) ], 7000, 8000 ],
	[ past => [ 'Retry-After: ' . $http_date->(-7200) ], 0, 100 ],
	[ ms => [ 'Retry-After: 1', 'retry-after-ms: 5400000' ], 5300, 6000 ],
	[ months => ['Retry-After: 8640000'], 86000, 96000 ],
	[ words => ['Retry-After: soon'], 0, 100 ]);
my %answers = map { my ($name, $said) = @$_; ("/$name" => sub { return RawServer::answer(429, '', @$said) }) } @wait;
my $server = RawServer->new(
	%answers,
	'/gone' => sub { return RawServer::answer(404, '{}', $json) },
	'/key' => sub {
		my ($key) = $_[1] =~ /^idempotency-key: (.*?)\r$/im;
		return RawServer::answer(200, $key =~ /^"/ ? "{\"sent\": $key, \"quoted\": true}" : "{\"sent\": \"$key\", \"quoted\": false}", $json);
	},
	'/ok' => sub { return RawServer::answer(200, '{}', $json) });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
sub query { return $node->safe_psql('postgres', $_[0]) }

sub endpoint
{
	my ($name, $options) = @_;
	return query("CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', allow_http 'true', allow_private '127.0.0.0/8', $options)");
}

# ------------------------------------------------------------------ when to come again
foreach (@wait)
{
	my ($name) = @$_;
	endpoint("wait_$name", "dedup 'key'");
	query("SELECT workflow.call('wait_$name', 'POST', '/$name', '{}', '$name')");
}
foreach (@wait)
{
	my ($name, undef, $least, $most) = @$_;
	wait_for("attempts > 0 AND state = 'pending' AND next_at IS NOT NULL FROM workflow.effects WHERE key = '$name'", "\"$name\" is answered");
	my ($seconds, $charged) = split /\|/, query("SELECT extract(epoch FROM e.next_at - max(a.finished_at))::int, e.charged
		FROM workflow.effect AS e JOIN workflow.attempt AS a USING (effect_id) WHERE e.key = '$name' GROUP BY e.effect_id");
	ok($seconds >= $least && $seconds <= $most, "it is tried again when $name says ($seconds s)");
	is($charged, 0, 'uncharged');
}

# ------------------------------------------------- what was done before, and how keys go
endpoint('done', q(dedup 'natural', already_done '404'));
query("SELECT workflow.call('done', 'DELETE', '/gone', key => 'gone')");
wait_for("state = 'succeeded' AND substate = 'already_done' AND status = 404 FROM workflow.effects WHERE key = 'gone'", 'what is gone already was deleted');

endpoint('raw', "dedup 'key'");
endpoint('quoted', "dedup 'key', key_format 'string'");
query(q{SELECT workflow.call(e, 'POST', '/key', '{}', 'or"der\\1') FROM unnest('{raw,quoted}'::text[]) AS e});
wait_for("count(*) = 2 FROM workflow.effects WHERE key LIKE 'or%' AND state = 'succeeded'", 'keys are sent');
is(query(q{SELECT endpoint, response #>> '{body,quoted}', response #>> '{body,sent}' FROM workflow.effects WHERE key LIKE 'or%' ORDER BY endpoint}),
	"quoted|true|or%22der%5C1\nraw|false|or%22der%5C1", 'as printable ASCII, in quotes where the receiver wants a string');

# --------------------------------------------------------- more than an endpoint takes
endpoint('small', "dedup 'key', max_request '100'");
like(($node->psql('postgres', q{SELECT workflow.call('small', 'POST', '/ok', jsonb_build_object('a', repeat('x', 100)), 'large')}))[2],
	qr/unacceptable body of a request\nDETAIL:  It has \d+ bytes; endpoint "small" takes 100\.\nHINT:/, 'a body is not larger than the endpoint takes');
is(query("SELECT count(*) FROM workflow.effects WHERE key = 'large'"), 0, 'nothing is reserved');

# ------------------------------------------------------- a connection that is there already
endpoint('warm', "dedup 'key'");
foreach (1 .. 2)
{
	query("SELECT workflow.call('warm', 'POST', '/ok', '{}', 'warm$_')");
	wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'warm$_'", 'there is a connection');
}
query("ALTER SERVER warm OPTIONS (DROP allow_private); SELECT workflow.call('warm', 'POST', '/ok', '{}', 'barred')");
wait_for("state = 'blocked' FROM workflow.effects WHERE key = 'barred'", 'where it leads is judged again before each send');
is($server->count('/ok'), 2, 'and nothing is sent');
query("ALTER SERVER warm OPTIONS (ADD allow_private '127.0.0.0/8'); SELECT workflow._wake('maintenance')");
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'barred'", 'until it may');

$node->stop;
$server->stop;
done_testing();
