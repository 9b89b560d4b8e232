# A receiver that sends back what it got, in other spellings, brings no secret
# into a table.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url);
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $secret = 's3cr"t/tok+en=42%x?>~';

sub percent
{
	my ($text, $format) = @_;
	$text =~ s/([^A-Za-z0-9_.~-])/sprintf($format, ord $1)/ge;
	return $text;
}

# Every spelling of the token that came, by a name.
sub spellings
{
	my ($token) = @_;
	my %spellings = (
		plain => $token, percent => percent($token, '%%%02X'), percent_lower => percent($token, '%%%02x'),
		form => percent($token, '%%%02X') =~ s/%20/+/gr);
	foreach my $before ('', 'a', 'ab', 'user:', 'Bearer ')
	{
		$spellings{"base64 $before"} = encode_base64("$before$token", '');
		$spellings{"base64url $before"} = encode_base64url("$before$token");
		$spellings{"inside $before"} = encode_base64("$before$token and more", '');
	}
	return \%spellings;
}

my $server = RawServer->new(map {
	my $status = $_;
	("/echo/$status" => sub {
		my ($times, $request) = @_;
		my ($token) = $request =~ /^Authorization: Bearer (.*?)\r$/mi;
		my $body = encode_json(spellings($token));
		$body =~ s{/}{\\/}g if $status == 422;    # as some writers of JSON do
		return RawServer::answer($status, $body, 'X-Echo: ' . percent($token, '%%%02X'));
	}) } 200, 422);
my $node = start_working_node();
sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }
mkdir $node->data_dir . '/secrets';
append_to_file($node->data_dir . '/secrets/token', "$secret\n");
append_to_file($node->data_dir . '/secrets/short', "abc\n");

query(qq{CREATE SERVER echo FOREIGN DATA WRAPPER workflow_http OPTIONS (
	url 'http://127.0.0.1:@{[ $server->port ]}', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
	CREATE USER MAPPING FOR CURRENT_USER SERVER echo OPTIONS (bearer_secret 'token');
	SELECT workflow.call('echo', 'POST', '/echo/200', '{}', 'fine'), workflow.call('echo', 'POST', '/echo/422', '{}', 'refused')});
wait_for("count(*) = 2 FROM workflow.effects WHERE state IN ('succeeded', 'failed')", 'both calls are answered');

my $stored = query(q{SELECT string_agg(concat(e.response, convert_from(e.response_raw, 'UTF8'), e.reason), E'\n') FROM workflow.effect AS e})
  . query(q{SELECT string_agg(concat(a.message, a.detail), E'\n') FROM workflow.attempt AS a});
my $spellings = spellings($secret);
foreach my $name (sort keys %$spellings)
{
	# the characters at both ends hold other bytes' bits, too
	my $text = $spellings->{$name};
	$text = substr($text, 4, 12) if $name =~ /base64|inside/;
	my $escaped = encode_json([$text]) =~ s/^\["|"\]$//gr;
	my $is_there = grep { index($stored, $_) >= 0 } $text, $escaped;
	is($is_there, 0, "not stored: $name");
}
like($stored, qr/\*{12}/, 'it is masked');

# a secret too short to be masked is said to be so when it is named
my ($out, $err);
$node->psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER echo OPTIONS (SET bearer_secret 'short')", stdout => \$out, stderr => \$err);
like($err, qr/WARNING: +secret "short" has fewer than six characters/, 'a short secret is warned about');
unlike($err, qr/abc/, 'and not shown');
$node->psql('postgres', "ALTER USER MAPPING FOR CURRENT_USER SERVER echo OPTIONS (SET bearer_secret 'token')", stdout => \$out, stderr => \$err);
is($err, '', 'others are not');

$node->stop;
$server->stop;
done_testing();
