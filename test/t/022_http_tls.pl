# TLS is verified always; client certificates, pinned keys, proxies and HTTP/2.

use strict;
use warnings FATAL => 'all';
use FaultServer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $faults = FaultServer->new(certificates => 1);
my $dir = $faults->dir;
my $secrets = PostgreSQL::Test::Utils::tempdir;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf',
	"pg_workflow.workers = on\npg_workflow.secrets_dir = '$secrets'");
{
	# a proxy of the environment has no say
	local $ENV{https_proxy} = 'http://127.0.0.1:1';
	local $ENV{ALL_PROXY} = 'http://127.0.0.1:1';
	$node->start;
}

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub endpoint
{
	my ($name, $url, $options) = @_;
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (
		url '$url', allow_private '127.0.0.0/8', allow_http 'true', timeout '5s', "
		  . ($options =~ /dedup/ ? '' : "dedup 'key', ") . $options . ')');
}

sub reaches
{
	my ($id, $state, $name) = @_;
	ok( $node->poll_query_until('postgres',
			"SELECT state = '$state' FROM workflow.effect WHERE effect_id = $id"), $name)
	  or diag(sql("SELECT * FROM workflow.effects WHERE effect_id = $id"));
}

sub call
{
	my ($endpoint, $path, $state, $name) = @_;
	my $id = sql("SELECT workflow.call('$endpoint', 'POST', '$path', '{}', '$endpoint $path')");

	reaches($id, $state, $name);
	return $id;
}

sub reason { return sql("SELECT reason FROM workflow.effect WHERE effect_id = $_[0]") }

sql('CREATE EXTENSION pg_workflow');

# whom to trust
my $ca = "ca_file '$dir/ca.pem'";
endpoint('good', $faults->url('tls'), $ca);
call('good', '/ok/good', 'succeeded', 'a certificate of the given authority is trusted');
endpoint('system', $faults->url('tls'), "owner 'x'");
call('system', '/ok/system', 'blocked', 'one of an unknown authority is not');
endpoint('expired', $faults->url('expired'), $ca);
like(reason(call('expired', '/ok/expired', 'blocked', 'one that has expired is not')), qr/expired/, 'and it says so');
endpoint('othername', $faults->url('othername'), $ca);
call('othername', '/ok/othername', 'blocked', 'one for another name is not');
is($faults->requests("/ok/$_"), 0, "nothing was sent to $_") foreach qw(system expired othername);

# what is blocked goes on when the file is mended
PostgreSQL::Test::Utils::system_or_bail('cp', "$dir/other.pem", "$dir/mended.pem");
endpoint('mended', $faults->url('tls'), "ca_file '$dir/mended.pem'");
my $mended = call('mended', '/ok/mended', 'blocked', 'the wrong authority blocks');
PostgreSQL::Test::Utils::system_or_bail('cp', "$dir/ca.pem", "$dir/mended.pem");
sql(q{ALTER SERVER mended OPTIONS (ADD header_x_looked_at 'again')});
reaches($mended, 'succeeded', 'the right one lets it go on');

# a certificate of our own, with its key in a file or in a secret
endpoint('no_cert', $faults->url('mtls'), "$ca, dedup 'pure'");
sql("SELECT workflow.call('no_cert', 'POST', '/ok/no_cert')");
endpoint('cert', $faults->url('mtls'), "$ca, cert_file '$dir/client.pem', key_file '$dir/client.key'");
call('cert', '/ok/cert', 'succeeded', 'a client certificate is shown');
is($faults->last('/ok/cert')->{subject}, 'client', 'and is ours');
endpoint('cert_secret', $faults->url('mtls'), "$ca, cert_file '$dir/client.pem', key_secret 'client_key'");
my $keyed = call('cert_secret', '/ok/cert_secret', 'blocked', 'a missing key blocks');
PostgreSQL::Test::Utils::system_or_bail('cp', "$dir/client.key", "$secrets/client_key");
sql(q{ALTER SERVER cert_secret OPTIONS (ADD header_x_looked_at 'again')});
reaches($keyed, 'succeeded', 'a key may be a secret');
is($faults->requests('/ok/no_cert'), 0, 'without a certificate nothing is done');

# a pinned key
my $pin = `openssl x509 -in $dir/server.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64`;
chomp $pin;
endpoint('pinned', $faults->url('tls'), "$ca, pinned_key 'sha256//$pin'");
call('pinned', '/ok/pinned', 'succeeded', 'the pinned key is accepted');
(my $other = $pin) =~ s/^(.)/$1 eq 'A' ? 'B' : 'A'/e;
endpoint('unpinned', $faults->url('tls'), "$ca, pinned_key 'sha256//$other'");
call('unpinned', '/ok/unpinned', 'blocked', 'another key is not, whoever vouches for it');
is($faults->requests('/ok/unpinned'), 0, 'nothing was sent');

# a proxy: a tunnel for https, and what it says is not the answer
my $proxy = "proxy '" . $faults->url . "'";
my ($host) = $faults->url('tls') =~ m{//(.*)};
endpoint('proxied', $faults->url('tls'), "$ca, $proxy");
sql(q{CREATE USER MAPPING FOR CURRENT_USER SERVER proxied OPTIONS (bearer_secret 'token')});
append_to_file("$secrets/token", 'correct-horse');
call('proxied', '/ok/proxied', 'succeeded', 'a proxy is used');
is($faults->requests($host), 1, 'by a tunnel');
unlike(join("\n", @{ $faults->last($host)->{lines} }), qr/correct-horse|idempotency/i, 'that is told no secret');
is($faults->last('/ok/proxied')->{header}{authorization}, 'Bearer correct-horse', 'the target is');
endpoint('proxied_once', $faults->url('tls'), "$ca, $proxy, dedup 'none', owner 'x'");
call('proxied_once', '/reset/proxied', 'held', 'what a proxy answers to CONNECT is no answer');
is($faults->requests('/reset/proxied'), 1, 'it was sent once');
endpoint('proxied_http', $faults->url, $proxy);
call('proxied_http', '/ok/plain', 'succeeded', 'http goes through a proxy, too');
is($faults->last('/ok/plain')->{proxied}, 1, 'with its whole URL');
endpoint('proxied_away', 'https://192.0.2.1', "$ca, $proxy");
my $away = call('proxied_away', '/', 'pending', 'a proxy may refuse');
is( sql("SELECT unknown_attempts FROM workflow.effect WHERE effect_id = $away"), 0, 'which is known not to be applied');
sql('CREATE SERVER inner_proxy FOREIGN DATA WRAPPER workflow_http OPTIONS (url \'' . $faults->url('tls')
	. "', dedup 'key', $ca, $proxy)");
like(reason(call('inner_proxy', '/ok/inner', 'blocked', 'the address of a proxy is judged')),
	qr/allow_private '127.0.0.1\/32'/, 'like any');

# HTTP/2, where the other side offers it
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $pid;
END { kill 'KILL', $pid if $pid }
my @nghttpx = ('nghttpx', '-f', "127.0.0.1,$port", '-b', '127.0.0.1,' . $faults->port, '--single-process',
	'--add-request-header=x-front: h2', '--no-ocsp', '-o', '--errorlog-file=/dev/null', '--accesslog-file=/dev/null',
	'--conf=/dev/null', "$dir/server.key", "$dir/server.pem");
SKIP:
{
	skip 'nghttpx is not installed', 6 if system('command -v nghttpx >/dev/null') != 0;
	$pid = fork // die "cannot fork: $!";
	if (!$pid) { open STDOUT, '>', '/dev/null'; open STDERR, '>', '/dev/null'; exec @nghttpx }
	my $h2 = "https://127.0.0.1:$port";
	endpoint('h2', $h2, "$ca, http_version '2', max_in_flight '32'");
	endpoint('alpn', $h2, $ca);
	endpoint('h1', $h2, "$ca, http_version '1.1'");
	endpoint('once', $h2, "$ca, dedup 'none', owner 'x'");
	call($_, "/ok/$_", 'succeeded', "$_ is served") foreach qw(h2 alpn h1 once);
	my %protocol = map { $_ => $faults->last("/ok/$_")->{header}{via} } qw(h2 alpn h1 once);
	is_deeply(\%protocol, { h2 => '2 nghttpx', alpn => '2 nghttpx', h1 => '1.1 nghttpx', once => '1.1 nghttpx' },
		'by the version that each may use');
	sql("SELECT workflow.call('h2', 'POST', '/stall=0.3/many', '{}', 'many-' || n) FROM generate_series(1, 60) AS n");
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 60 FROM workflow.effect WHERE key LIKE 'many-%' AND state = 'succeeded'}),
		'many calls share a connection');
	is($faults->requests('/stall=0.3/many'), 60, 'each is sent once');
}

$node->stop('fast');
$faults->stop;
done_testing();
