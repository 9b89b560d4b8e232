# Values, names and answers that are meant to lead a call astray: none adds a
# header or a request, reaches an address that is not allowed, or does the work
# of a key twice.

use strict;
use warnings FATAL => 'all';
use FaultServer;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TestNames;
use Test::More;

my $faults = FaultServer->new;
my $port = $faults->port;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
TestNames::start($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name)
	  or diag(sql('SELECT effect_id, endpoint, key, state, attempts, error_class, reason FROM workflow.effects; SELECT key, state, outcome FROM workflow.items'));
	return;
}

sub endpoint
{
	my ($name, $url, $options) = @_;
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', dedup 'key', allow_http 'true', timeout '20s' $options)");
	return;
}

sub column { my ($key, $what) = @_; return sql("SELECT $what FROM workflow.effect WHERE key = '$key'") }

sql('CREATE EXTENSION pg_workflow');
endpoint('crm', $faults->url, ", allow_private '127.0.0.0/8'");

# ------------------------------------------- a value in every field that has a template
my $evil = qq(x\r\nX-Evil: 1\r\n\r\nGET /stolen HTTP/1.1\r\n"&=?#/../{\$.id}%0d%0aX-Evil: 2);
my %states = (
	PATH   => { path => '/ok/path/{$.p}?q={$.v}', body => { a => 'b {$.v}', c => '$.v' },
		before => { method => 'GET', path => '/ok/before/{$.p}?q={$.v}' } },
	FORM   => { path => '/ok/form', content_type => 'application/x-www-form-urlencoded', body => { a => '$.v' } },
	PARTS  => { path => '/ok/parts', content_type => 'multipart/form-data', body => { a => '$.v', f => { filename => '{$.v}', content => 'x' } } },
	TEXT   => { path => '/ok/text', content_type => 'text/plain', body => '{$.v}' },
	HEADER => { path => '/ok/header', headers => { 'X-Note' => 'b {$.v}' } },
	NAME   => { path => '/ok/name', headers => { 'X-Note' => '$.v' } },
	KEY    => { path => '/ok/key', key => [ '$.v' ] },
	CLIMB  => { path => '/ok/{$.v}' },
	REVERT => { path => '/ok/there', revert => { method => 'PUT', path => '/ok/back/{$.p}', body => { a => '$.v' } } });
my @states = sort keys %states;

sub state_of
{
	my ($name, $next) = @_;
	return { http => { endpoint => 'crm', queue => 'q', method => 'POST', key => [ '$.id', $name ], %{ $states{$name} } },
		on => { ok => $next, error => $next } };
}

my %document = (workflow => 'w', owner => 'o', initial => $states[0], key => ['$.id'],
	queues => { q => { owner => 'o', sla => '1 hour', escalate_to => ['o'] } },
	states => { (map { $states[$_] => state_of($states[$_], $states[ $_ + 1 ] // 'END') } 0 .. $#states), END => { final => 'success' } });
my ($document, $input) = map { encode_json($_) =~ s/'/''/gr } \%document, { id => 'i', v => $evil, p => $evil =~ s{/\.\./}{}r };
sql("SELECT workflow.define('$document'); SELECT workflow.submit('w', '$input')");
wait_for("outcome = 'success' FROM workflow.items", 'an item whose value is meant to break out goes its way');
is(sql(q{SELECT string_agg(from_state, ' ' ORDER BY from_state) FROM workflow.transition WHERE event = 'error' AND data ->> 'error_class' = 'validation'}),
	'CLIMB HEADER KEY NAME', 'what no request can hold is not sent');
sql("SELECT workflow.revert(effect_id, 'wrong') FROM workflow.effect WHERE key = 'i:REVERT'");
wait_for("state = 'succeeded' FROM workflow.effects WHERE kind = 'revert'", 'one action is taken back');
my %last = %{ $faults->seen->{last} };
is_deeply([ sort map { m{^/ok/([a-z]+)} ? $1 : $_ } keys %last ], [qw(back before form parts path text there)], 'the rest is, and nothing else');
is_deeply([ grep { m{^(?:x-evil|get /stolen)}i } map { @{ $_->{lines} } } values %last ], [], 'with no header but its own');
is($faults->last('/ok/text')->{body}, $evil, 'and the value as it is');

# ------------------------------------------------------ names and numbers of addresses
# What listens on 127.0.0.2 must never be connected to.
my @forbidden = map { IO::Socket::INET->new(LocalAddr => '127.0.0.2', LocalPort => $_, Listen => 8, Blocking => 0) or die "cannot listen: $!" } $port, 0;
my $other = $forbidden[1]->sockport;

sub refused
{
	my ($endpoint, $address, $name) = @_;
	sql("SELECT workflow.call('$endpoint', 'POST', '/ok/$endpoint', '{}', '$name')");
	wait_for("state = 'blocked' FROM workflow.effects WHERE key = '$name'", $name);
	like(column($name, 'reason'), qr{allow_private '(?:\S+,)?\Q$address\E/}, 'and it says what would allow it');
	return;
}

TestNames::tell('turns', '127.0.0.1');
endpoint('turns', "http://turns.told.test:$port", ", allow_private '127.0.0.1/32'");
sql("SELECT workflow.call('turns', 'POST', '/ok/turns', '{}', 'before')");
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'before'", 'a name of an address that is allowed');
TestNames::tell('turns', '127.0.0.2');
sql("SELECT pg_terminate_backend(pid, 10000) FROM workflow.workers WHERE kind = 'http'");
refused('turns', '127.0.0.2', 'the same name, of another address by now');
TestNames::tell('pair', '127.0.0.1 127.0.0.2');
endpoint('pair', "http://pair.told.test:$other", ", allow_private '127.0.0.1/32'");
sql("SELECT workflow.call('pair', 'POST', '/ok/pair', '{}', 'pair')");
wait_for("attempts > 0 AND state <> 'sending' FROM workflow.effects WHERE key = 'pair'", 'a name of two, of which the allowed one does not answer');
endpoint('nat64', 'http://[64:ff9b::a9fe:a9fe]', '');
refused('nat64', '169.254.169.254', 'the metadata service by way of NAT64');
endpoint('mapped', "http://[::ffff:127.0.0.2]:$port", '');
refused('mapped', '127.0.0.2', 'IPv4 within IPv6');
endpoint('odd', "http://0x7f.2:$port", '');
refused('odd', '127.0.0.2', 'an odd spelling');
is_deeply([ grep { $_->accept } @forbidden ], [], 'nobody connected to an address that is not allowed');
is($faults->requests('/ok/turns'), 1, 'and only what was allowed has arrived');
sql("ALTER SERVER pair OPTIONS (SET allow_private '127.0.0.0/8'); SELECT workflow.call('pair', 'POST', '/ok/pair', '{}', 'again')");
ok(IO::Select->new($forbidden[1])->can_read($PostgreSQL::Test::Utils::timeout_default), 'when the other one is allowed, it is tried');

# --------------------------------------------------------------- what servers say of keys
endpoint('cards', $faults->url, ", allow_private '127.0.0.0/8', replay_marker 'Idempotent-Replayed', ignored_marker 'Idempotency-Status: ignored'");
sql(q{SELECT count(workflow.call('cards', 'POST', '/409+409+ok/storm' || n, '{}', 'storm' || n)) FROM generate_series(1, 60) AS n;
	SELECT workflow.call('cards', 'POST', '/422/other', '{}', 'other');
	SELECT workflow.call('cards', 'POST', '/cached500/cached', '{}', 'cached')});
wait_for("count(*) = 60 FROM workflow.effects WHERE key LIKE 'storm%' AND state = 'succeeded'", 'sixty keys that are being worked on are waited for');
is(sql(q{SELECT DISTINCT attempts, charged, unknown_attempts FROM workflow.effect WHERE key LIKE 'storm%'}), '3|1|0', 'uncharged, and none becomes unknown');
is(sql(q{SELECT breaker FROM workflow.endpoint WHERE endpoint = 'cards'}), 'closed', 'and the breaker is closed');
is(column('other', "state || ' ' || attempts || ' ' || error_class"), 'failed 1 conflict', 'a key that is known with another request is not sent again');
wait_for("state = 'held' FROM workflow.effects WHERE key = 'cached'", 'a failure that is given again is for a person');
is($faults->requests('/cached500/cached'), 2, 'and not asked for a third time');
my $seen = $faults->seen;
is_deeply([ grep { ($seen->{executions}{$_} // 0) != 1 } 'cached', map { "storm$_" } 1 .. 60 ], [], 'each was executed once');

$node->stop;
$faults->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');
done_testing();
