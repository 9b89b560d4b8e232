# Whatever comes back, the server stays up, its memory flat, its tables fit for
# a dump, and no secret gets into them or into the log.

use strict;
use warnings FATAL => 'all';
use FaultServer;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $faults = FaultServer->new;
my $secrets = PostgreSQL::Test::Utils::tempdir;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', qq(
	pg_workflow.workers = on
	pg_workflow.secrets_dir = '$secrets'
	pg_workflow.worker_idle_timeout = '1h'));
$node->start;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub endpoint
{
	my ($name, $options) = @_;
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (url '"
		  . $faults->url . "', allow_private '127.0.0.0/8', allow_http 'true',
		breaker_failures 'off', breaker_rate 'off', $options)");
}

# Without deduplication one attempt decides: every effect comes to an end.
sub settle
{
	my ($name) = @_;
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 0 FROM workflow.effect WHERE state IN ('pending', 'claimed', 'sending')}), $name)
	  or diag(sql('SELECT path, state, attempts, reason FROM workflow.effects'));
}

sub http_worker { return sql("SELECT pid FROM workflow.workers WHERE kind = 'http'") }

# Of its own: pages of the shared buffers are no one's.
sub memory_kb
{
	my ($kb) = slurp_file('/proc/' . http_worker() . '/status') =~ /^RssAnon:\s+(\d+) kB/m;
	return $kb;
}

# What is in its memory contexts, as it says itself.
sub used_kb
{
	my $offset = -s $node->logfile;
	my $used;

	sql('SELECT pg_log_backend_memory_contexts(' . http_worker() . ')');
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		($used) = slurp_file($node->logfile, $offset) =~ /Grand total: .* (\d+) used/ and return int($used / 1024);
		select undef, undef, undef, 0.1;
	}
	die 'the worker says nothing of its memory';
}

sql('CREATE EXTENSION pg_workflow');
endpoint('once', "dedup 'none', owner 'ops', max_response '64kB', max_in_flight '20'");
endpoint('brief', "dedup 'none', owner 'ops', timeout '2s'");

# what each answer comes to: state, substate, status, and what is kept of it
my %hostile = (
	'endless'       => 'succeeded|no_body|200|65536',
	'bomb=64'       => 'succeeded|no_body|200|65536',
	'heads=2048'    => 'succeeded|no_body|200|0',
	'line=200'      => 'succeeded|no_body|200|0',
	'huge=500'      => 'succeeded|no_body|200|65536',
	'cut=10'        => 'succeeded|no_body|200|10',
	'longlength'    => 'succeeded|no_body|200|9',
	'shortlength'   => 'succeeded||200|2',
	'deep'          => 'succeeded|no_body|200|65536',
	'nul'           => 'succeeded||200|10',
	'latin1'        => 'succeeded||200|10',
	'statuses'      => 'held||500|2',
	'trailer'       => 'held||503|2',
	'status=20000000000000000000%20OK' => 'held||0|0',
	'status=-1%20OK' => 'held||0|0',
	'zeronine'      => 'held||0|0',
	'reset'         => 'held||0|0',
	'close'         => 'held||0|0',
	'hang'          => 'held||0|0',
	'drip=0.1'      => qr/^succeeded\|no_body\|200\|\d+$/,
	'moved=http://169.254.169.254/latest'  => 'failed||308|0',
	'moved=' . $faults->url . '/ok/target' => 'failed||308|0',
	'ignored'       => 'succeeded||200|2');
my @words = sort keys %hostile;

sub path_of { my ($word, $round) = @_; return '/' . $word =~ s/\//%2F/gr . "/$round" }

sub assault
{
	my ($round, @with) = @_;
	my @paths = map { "('" . (/hang|drip/ ? 'brief' : 'once') . "', '" . path_of($_, $round) . "')" } @with ? @with : @words;
	sql("SELECT workflow.call(endpoint, 'POST', path, '{}', headers => '{\"Accept-Encoding\": \"gzip\"}')
		 FROM (VALUES " . join(', ', @paths) . ') AS t(endpoint, path)');
}

# the one that drips alone: the others keep the receiver busy, perhaps for longer than it may take to begin
assault('first', 'drip=0.1');
settle('an answer that drips comes to an end');
assault('first', grep { !/drip/ } @words);
settle('every other hostile answer, too');
foreach my $word (@words)
{
	my $path = path_of($word, 'first');
	my $answer = sql("SELECT state, substate, coalesce(status, 0), coalesce(length(response_raw),
				length(coalesce(response ->> 'body', ''))) FROM workflow.effect WHERE path = '$path'");
	if   (ref $hostile{$word}) { like($answer, $hostile{$word}, $word) }
	else                       { is($answer, $hostile{$word}, $word) }
	is($faults->requests($path), 1, "$word: sent once");
}
is($faults->requests('/ok/target'), 0, 'no redirect is followed');
is(sql(q{SELECT response #>> '{headers,retry-after}' FROM workflow.effect WHERE path LIKE '/trailer%'}),
	'', 'a trailer is no header');

# memory
my $started = sql('SELECT pg_postmaster_start_time()');
my @quick = grep { !/hang|drip/ } @words;
assault("warm$_") foreach 1 .. 3;
settle('it bears more of it');
my ($worker, $before, $used) = (http_worker(), memory_kb(), used_kb());
assault($_, @quick) foreach 1 .. 15;
settle('and three hundred more');
cmp_ok(15 * @quick, '>=', 300, 'so many');
my ($after, $used_after) = (memory_kb(), used_kb());
is(http_worker(), $worker, 'the worker is the same');
cmp_ok($after - $before, '<', 2048, "its memory is flat ($before kB, $after kB)");
cmp_ok($used_after - $used, '<', 256, "nothing is left in it ($used kB, $used_after kB)");
is(sql('SELECT pg_postmaster_start_time()'), $started, 'the server is up');

# secrets: on the wire only, also when the other side sends them back
my %secret = (bearer => 'correct-horse-battery', api => 'staple"x\\y', pw => 'ann:sesame-open', sign => 'whsec_c2lnbmluZy1rZXktMTIzNDU2Nzg5MGFi');
append_to_file("$secrets/$_", $secret{$_}) foreach keys %secret;
$node->append_conf('postgresql.conf', "log_min_messages = debug5\nlog_statement = 'all'");
$node->restart;
endpoint('bearer', "dedup 'none', owner 'ops', timeout '4s'");
endpoint('basic', "dedup 'none', owner 'ops', timeout '4s'");
sql(q{CREATE USER MAPPING FOR CURRENT_USER SERVER bearer OPTIONS
	(bearer_secret 'bearer', header_secret_x_api 'api', signing_secret 'sign');
	CREATE USER MAPPING FOR CURRENT_USER SERVER basic OPTIONS (basic_secret 'pw')});
sql("SELECT workflow.call(endpoint, 'POST', '/' || word || '/' || endpoint, '{}', word || endpoint)
	 FROM unnest('{bearer,basic}'::text[]) AS endpoint, unnest('{echo,zeronine,reset,hang}'::text[]) AS word");
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 2 FROM workflow.effect WHERE state = 'sending' AND path LIKE '/hang%'"),
	'calls with secrets are under way');
my $activity = sql('SELECT string_agg(query, chr(10)) FROM pg_stat_activity');
settle('calls with secrets come to an end');
is($faults->last('/echo/bearer')->{header}{authorization}, "Bearer $secret{bearer}", 'a secret is sent');
is($faults->last('/echo/bearer')->{header}{'x-api'}, $secret{api}, 'another, too');
is($faults->last('/echo/basic')->{header}{authorization}, 'Basic ' . encode_base64($secret{pw}, ''), 'and a password');
like(sql(q{SELECT response ->> 'body' FROM workflow.effect WHERE path = '/echo/bearer'}),
	qr/^Authorization: Bearer \*{21}$/m, 'what comes back is masked');

# a dump holds no secret, and can be restored
my $dump = "$secrets/dump.sql";
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump is taken');
my %found = (dump => slurp_file($dump), log => slurp_file($node->logfile), activity => $activity);
foreach my $where (sort keys %found)
{
	foreach my $value ($secret{bearer}, 'staple', 'sesame-open', encode_base64($secret{pw}, ''), 'c2lnbmluZy1rZXk')
	{
		is(index($found{$where}, $value), -1, "no secret in the $where");
	}
}
my $hex = unpack 'H*', $secret{bearer};
is(index($found{dump}, $hex), -1, 'nor in its bytes');
$node->command_ok([ 'createdb', '-h', $node->host, '-p', $node->port, 'again' ], 'there is another database');
$node->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('again'), '-f', $dump ],
	'it is restored there');
foreach my $table (qw(effect attempt job journal))
{
	my $rows = "SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM workflow.$table AS t";
	is($node->safe_psql('again', $rows), sql($rows), "with every $table");
}

$node->stop('fast');
$faults->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|TRAP/, 'nothing crashed');
done_testing();
