# What is sent is signed as Standard Webhooks says: the same id for every
# attempt, and two signatures while the secret is changed.  The receiver here
# computes them on its own.

use strict;
use warnings FATAL => 'all';
use Digest::SHA qw(hmac_sha256);
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;

my $secrets = PostgreSQL::Test::Utils::tempdir;
my $received = "$secrets/received";
my %key = (first => 'k' x 24, second => join('', map { chr } 1 .. 32), third => "\xff" x 64);
my $server = RawServer->new(
	'/hook' => sub { return receive($_[1], RawServer::answer(200, '{}')) },
	'/busy' => sub {
		return receive($_[1],
			$_[0] == 1 ? RawServer::answer(429, '', 'Retry-After: 2') : RawServer::answer(200, '{}'));
	});

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf',
	"pg_workflow.workers = on\npg_workflow.secrets_dir = '$secrets'");
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# In the server's process: keeps a request, and answers.
sub receive
{
	my ($request, $answer) = @_;
	append_to_file($received, encode_base64($request, '') . "\n");
	return $answer;
}

# What was received since the last time, as [headers, body].
sub requests
{
	my @requests;

	return () if !-e $received;
	foreach my $line (split /\n/, slurp_file($received))
	{
		my ($head, $body) = split /\r\n\r\n/, decode_base64($line), 2;
		my %headers = map { /^([^:]+): *(.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head;
		push @requests, { headers => \%headers, body => $body };
	}
	unlink $received;
	return @requests;
}

sub write_secret
{
	my ($name, @keys) = @_;

	unlink "$secrets/$name";
	append_to_file("$secrets/$name",
		join('', map { 'whsec_' . encode_base64($_, '') . "\n" } @keys));
	return;
}

sub reaches
{
	my ($key, $state, $name) = @_;

	ok( $node->poll_query_until('postgres',
			"SELECT state = '$state' FROM workflow.effects WHERE key = '$key'"), $name)
	  or diag(sql("SELECT state, reason FROM workflow.effects WHERE key = '$key'"));
	return;
}

# Makes a call and returns the requests that came of it.
sub call
{
	my ($path, $key, $body) = @_;

	sql("SELECT workflow.call('hook', 'POST', '$path', $body, '$key')");
	reaches($key, 'succeeded', "$key is sent");
	return requests();
}

# The keys, by name, whose signatures a request carries, in order.
sub signers
{
	my ($request) = @_;
	my ($id, $time, $signatures) =
	  @{ $request->{headers} }{qw(webhook-id webhook-timestamp webhook-signature)};
	my %name = map {
		('v1,' . encode_base64(hmac_sha256("$id.$time.$request->{body}", $key{$_}), '') => $_)
	} keys %key;

	return join ' ', map { $name{$_} // 'nobody' } split / /, $signatures;
}

sql('CREATE EXTENSION pg_workflow');
sql(q{CREATE SERVER hook FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://127.0.0.1:}
	  . $server->port
	  . q{', dedup 'key', allow_http 'true', allow_private '127.0.0.0/8')});
sql(q{CREATE USER MAPPING FOR CURRENT_USER SERVER hook OPTIONS (signing_secret 'sign')});
write_secret('sign', $key{first});

# one secret, one signature, over the bytes as they were sent
my ($request) = call('/hook', 'one', q('{"text": "Ärger \u00e9 \"quoted\"", "n": 1.50}'));
is(signers($request), 'first', 'the receiver knows the signature');
like($request->{headers}{'webhook-id'}, qr/^msg_[0-9a-f]{32}$/, 'the id has no dot');
cmp_ok(abs(time - $request->{headers}{'webhook-timestamp'}), '<', 60, 'the time is that of the attempt');
my ($bare) = call('/hook', 'bare', 'NULL');
is($bare->{body}, '', 'a call without a body');
is(signers($bare), 'first', 'is signed, too');
isnt($bare->{headers}{'webhook-id'}, $request->{headers}{'webhook-id'}, 'another effect has another id');

# what we send, we would accept
sub accepts
{
	my ($request, $secret) = @_;
	my ($id, $time, $signatures) =
	  @{ $request->{headers} }{qw(webhook-id webhook-timestamp webhook-signature)};
	my $body = unpack 'H*', $request->{body};

	return sql("SELECT workflow.verify_webhook('standard', jsonb_build_object('webhook-id', '$id',
		'webhook-timestamp', '$time', 'webhook-signature', '$signatures'), '\\x$body'::bytea, '$secret')");
}
is(accepts($request, 'sign'), 't', 'verify_webhook() accepts it');

# another attempt: the same id, at another time
my @tries = call('/busy', 'busy', q('{"a": 1}'));
is(scalar @tries, 2, 'a call is tried twice');
is($tries[1]{headers}{'webhook-id'}, $tries[0]{headers}{'webhook-id'}, 'with one id');
cmp_ok($tries[1]{headers}{'webhook-timestamp'}, '>', $tries[0]{headers}{'webhook-timestamp'}, 'at two times');
is(signers($_), 'first', 'each signed') foreach @tries;

# while the secret is changed, by both
write_secret('next', $key{second});
sql(q{ALTER USER MAPPING FOR CURRENT_USER SERVER hook
	OPTIONS (SET signing_secret 'next', ADD signing_secret_previous 'sign')});
my ($rotated) = call('/hook', 'rotated', q('{"a": 2}'));
is(signers($rotated), 'second first', 'the new one first');
is(accepts($rotated, 'sign'), 't', 'a receiver that has the old one accepts it');
is(accepts($rotated, 'next'), 't', 'and one that has the new one');
write_secret('next', $key{third}, $key{second});
my ($lines) = call('/hook', 'lines', q('{"a": 3}'));
is(signers($lines), 'third second first', 'a file may hold several, a line each');
sql(q{ALTER USER MAPPING FOR CURRENT_USER SERVER hook OPTIONS (DROP signing_secret_previous)});
write_secret('next', $key{second});
my ($after) = call('/hook', 'after', q('{"a": 4}'));
is(signers($after), 'second', 'then by the new one alone');
is(accepts($after, 'sign'), 'f', 'which the old one does not accept');

# never unsigned, and never by what is not the secret
foreach my $bad ("whsec_no base64!\n", "\n\n")
{
	unlink "$secrets/next";
	append_to_file("$secrets/next", $bad);
	my $key = 'bad' . length $bad;
	sql("SELECT workflow.call('hook', 'POST', '/hook', '{}', '$key')");
	reaches($key, 'blocked', 'a secret that cannot be used blocks');
	is(scalar(my @sent = requests()), 0, 'nothing was sent');
	write_secret('next', $key{second});
	sql(q{ALTER SERVER hook OPTIONS (ADD header_x_looked_at 'again')});
	reaches($key, 'succeeded', 'until it can');
	sql(q{ALTER SERVER hook OPTIONS (DROP header_x_looked_at)});
	is(signers($_), 'second', 'signed') foreach requests();
}

# the value is nowhere but on the wire
foreach my $name (keys %key)
{
	my $value = encode_base64($key{$name}, '');
	unlike(slurp_file($node->logfile), qr/\Q$value/, "the $name secret is not in the log");
	is(sql("SELECT count(*) FROM workflow.effect AS e WHERE to_jsonb(e)::text LIKE '%$value%'"),
		'0', 'nor in the ledger');
}

$server->stop;
$node->stop('fast');
done_testing();
