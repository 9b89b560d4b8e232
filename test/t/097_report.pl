# The page of report_html() in a browser: it opens without a word on the
# console and without a request, is legible on a phone and on a desk, light and
# dark, and whatever names there are.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use Browser;
use Encode qw(encode_utf8);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WellFormed;

my $work = PostgreSQL::Test::Utils::tempdir();
my $browser = Browser->find;
my $node = PostgreSQL::Test::Cluster->new('report');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');
diag('no chromium is installed: pages are written, but not looked at') if !$browser;

sub query { my ($sql) = @_; return $node->safe_psql('postgres', encode_utf8($sql)) }

sub write_page
{
	my ($name, $text) = @_;
	my $file = "$work/$name.html";

	unlink $file;
	append_to_file($file, $text);
	return $file;
}

# What holds of each page, whatever is on it.
sub is_sound
{
	my ($name, $call) = @_;
	my $page = query("SELECT workflow.report_html($call)");
	my $file = write_page($name, $page);

	is(WellFormed::fault($page), undef, "$name: it is well-formed");
	unlike($page, qr/could not be computed/, "$name: nothing is missing");
	unlike($page, qr/[^\x01-\x7e]/,          "$name: it is ASCII");
	cmp_ok(length $page, '<', 2_000_000, "$name: it can be sent");
  SKIP:
	{
		skip 'no chromium is installed: the page is not looked at', 1 if !$browser;
		subtest "$name, in a browser" => sub { is_legible($browser, $name, $file) };
	}
	return ($page, $file);
}

sub is_legible
{
	my ($browser, $name, $file) = @_;
	my $seen = $browser->open($file);

	is_deeply($seen->{console},  [], 'the console is silent');
	is_deeply($seen->{requests}, [], 'nothing is asked of a network');
	foreach my $form ([ 390, 0 ], [ 390, 1 ], [ 1280, 0 ], [ 1280, 1 ])
	{
		my ($width, $dark) = @$form;
		my $found = $browser->probe($file, width => $width, dark => $dark);
		my $on    = "$width pixels" . ($dark ? ', dark' : '');

		is($found->{scheme}, $dark ? 'dark' : 'light', "$on: the scheme is the reader's");
		is($found->{wanted}, $found->{width},          "$on: the page does not scroll sideways");
		is_deeply($found->{outside}, [], "$on: nothing leaves the page");
		cmp_ok($found->{texts},    '>',  40, "$on: there are texts");
		cmp_ok($found->{smallest}, '>=', 10, "$on: no text is smaller than 10 pixels");
		is_deeply($found->{faint}, [], "$on: every text has a contrast of 4.5 or more");
		is_deeply($found->{parted}, [], "$on: no mark is parted from what it stands for");
		next if $width != 390 || $dark;
		is_deeply($found->{$_}, [], "$_: none") foreach qw(twice active untitled unscoped uncaptioned unreachable alike);
		is(scalar @{ $found->{headings} }, 9, 'all parts have their headings');
	}
	return;
}

# --- that the test sees what it looks for

ok(defined WellFormed::fault($_), "not well-formed: $_")
  foreach ('<a><b></a></b>', '<a x=1/>', '<a>&nbsp;</a>', '<a>1 < 2</a>', '<a', '<a x="<"/>', '<a/>x', '<a x="1" x="2"/>', '<a>]]></a>');
is(WellFormed::fault("<!DOCTYPE html>\n<a x=\"&lt;'\"><b/>&#65; ]]</a>\n"), undef, 'well-formed');

SKIP:
{
	skip 'no chromium is installed: pages are not looked at', 8 if !$browser;
	my $bad = write_page('bad', <<'END');
<!DOCTYPE html><html><head><title>x</title></head><body><p id="a" style="color:#999">faint</p><p id="a" style="width:1500px;font-size:6px">wide</p>
<table><tr><th onclick="x()">h</th></tr></table><svg width="5" height="5"></svg><div class="scroll">s</div>
<img src="http://example.test/x.png"><script>console.error("seen")</script></body></html>
END
	my $seen = $browser->open($bad);
	like("@{ $seen->{console} }",  qr/seen/,             'what a page says on the console is seen');
	like("@{ $seen->{requests} }", qr{http://example\.test/x\.png}, 'and what it asks for');
	my $found = $browser->probe($bad, width => 390);
	cmp_ok($found->{wanted}, '>', $found->{width}, 'a page that is too wide is seen');
	is($found->{smallest}, 6, 'and a small text');
	like("@{ $found->{faint} }", qr/faint 2\.8/, 'and a faint one');
	is_deeply([ map { scalar @{ $found->{$_} } } qw(outside twice active untitled unscoped uncaptioned unreachable) ], [ 1, 1, 3, 1, 1, 1, 1 ],
		'and what is outside, named twice, active, without a title, a scope, a caption, a key');
	my $framed = write_page('framed', '<!DOCTYPE html><html><head><meta http-equiv="Content-Security-Policy" content="default-src \'none\'"></head><body>x<script>x()</script></body></html>');
	like("@{ $browser->open($framed)->{console} }", qr/Content Security Policy/, 'and what its policy forbids');
	is($browser->probe($bad, width => 390, dark => 1)->{scheme}, 'normal', 'a page of one scheme');
}

# --- nothing

is_sound('empty', q('1 day'));

# --- names that are meant to break out

my @hostile = ('<script>alert(1)</script>', q("'><img src=x onerror=alert(1)>]]>), "\x{202e}gnp.txt\x{202c}\x{2066}", 'x' x 250, '&lt;&#60;&amp;', '{{7*7}}${7*7}', "\x{1f600} na\x{ef}ve \x{5e9}\x{5dc}\x{5d5}\x{5dd}",
	'</style></svg></table>--><!--');
foreach my $i (0 .. $#hostile)
{
	my $name  = "\$name\$$hostile[$i]\$name\$";
	my $queue = "left($name, 250)";    # their length is limited

	query(qq{
		SELECT workflow.create_queue($queue, $name, '1 second', ARRAY[$name]);
		SELECT workflow.define(json_build_object('workflow', $name, 'description', $name, 'owner', $name, 'key', '["\$.id"]'::json, 'initial', $name,
		  'states', json_build_object($name, json_build_object('on', json_build_object($name, 'END')), 'END', json_build_object('final', 'success'))));
		SELECT workflow.submit($name, jsonb_build_object('id', $name));
		SELECT workflow.enqueue($queue, '{}', key => $name);
		SELECT workflow.fail(job_id, token, 'permanent', $name) FROM workflow.claim($queue, $name, 1, '1 hour')});
}
my ($page, $file) = is_sound('hostile', q('1 hour'));
unlike($page, qr/<(?:script|img)|onerror=[^&]*>/, 'no name becomes a tag');
SKIP:
{
	skip 'no chromium is installed: names are not looked at', scalar @hostile if !$browser;
	my %shown = map { $_ => 1 } @{ $browser->probe($file, width => 1280)->{names} };
	ok($shown{ substr $_, 0, 120 }, 'a name is shown as it is: ' . encode_utf8(substr $_, 0, 30)) foreach @hostile;
}
is_sound('brief', q('1 hour', details => false));

# --- a page of a database in another encoding, for a client in a third one

$node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0; CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0});
foreach my $database (qw(latin bytes))
{
	$node->safe_psql($database, q{CREATE EXTENSION pg_workflow; SELECT workflow.create_queue('caf' || chr(233), 'me', '1 hour', '{you}')});
	my $page = $node->safe_psql($database, 'SELECT workflow.report_html()');
	like($page, $database eq 'latin' ? qr/caf&#233;/ : qr/caf&#65533;/, "$database: what is not ASCII is a reference");
	is(WellFormed::fault($page), undef, "$database: it is well-formed");
}

# --- drawings with any number of items in them

SKIP:
{
	skip 'no chromium is installed: drawings are not looked at', 10 if !$browser;
	my $document = slurp_file("$FindBin::RealBin/../../examples/crm_enrichment/definition.json");
	foreach my $items (map { 2**$_ } 0, 2, 4, 6, 8)
	{
		my $svg = query(qq{SELECT workflow._draw_svg(workflow._picture(document, 'x', (SELECT jsonb_object_agg(s, $items) FROM json_object_keys(document -> 'states') AS s)))
			FROM (SELECT \$doc\$$document\$doc\$::json AS document) AS d});
		my $file = write_page('drawing', '<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark"></head><body>' . $svg . '</body></html>');

		is_deeply($browser->probe($file, width => 1280, dark => $_)->{faint}, [], "$items items in each state" . ($_ ? ', dark' : '')) foreach 0, 1;
	}
}

# --- more than a page can show

query(q{
	SELECT workflow.define(json_build_object('workflow', 'w' || lpad(n::text, 3, '0'), 'key', '["$.id"]'::json, 'initial', 'A',
	  'states', '{"A": {"on": {"x": "B"}}, "B": {"on": {"y": "C"}}, "C": {"final": "success"}}'::json)) FROM generate_series(1, 200) AS n;
	SELECT count(workflow.submit('w' || lpad(n::text, 3, '0'), jsonb_build_object('id', m))) FROM generate_series(1, 200, 7) AS n, generate_series(1, n / 10 + 1) AS m;
	SELECT workflow.define(json_build_object('workflow', 'large', 'key', '["$.id"]'::json, 'initial', 'S1',
	  'states', (SELECT json_object_agg('S' || n, CASE n WHEN 82 THEN '{"final": "success"}' ELSE json_build_object('on', json_build_object('next', 'S' || n + 1)) END) FROM generate_series(1, 82) AS n)));
	SELECT count(workflow.submit('large', jsonb_build_object('id', m))) FROM generate_series(1, 60) AS m;
	SELECT workflow.create_queue('q' || n, 'me', '1 hour', '{you}') FROM generate_series(1, 120) AS n});
($page) = is_sound('many', q('30 days'));
is(scalar(() = $page =~ /class="wf-diagram"/g), 5, 'six workflows are taken, and the one of them that is too large is not drawn');
like($page, qr{109 more workflows are not listed},   'what is not listed is counted: workflows');
like($page, qr{28 more queues are not listed},       'queues');
like($page, qr{more states with \d+ items are not listed}, 'states');
like($page, qr{204 workflows are not drawn},         'drawings');
like($page, qr{by day</title>},                      'a month is cut into days');

# --- on a standby

$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
$page = $standby->safe_psql('postgres', 'SELECT workflow.report_html()');
like($page, qr/a standby/, 'a standby writes a page, too, and says what it is');
unlike($page, qr/could not be computed/, 'nothing is missing');
$standby->stop;

# --- what moved

is(query(q{SELECT (SELECT sum(n) FROM unnest(m.moves) AS n) = (SELECT count(*) FROM workflow.transition WHERE item_id IS NOT NULL),
	(SELECT sum(n) FROM unnest(m.started) AS n) = (SELECT count(*) FROM workflow.item), m.known_from IS NULL
	FROM workflow._report_moves(workflow._report_frame('me', '1 day', true)) AS m}), 't|t|t', 'every move is in a bar');
is(query(q{SELECT sum(s.items) = (SELECT count(*) FROM workflow.item WHERE outcome IS NULL) FROM workflow._report_stands(workflow._report_frame('me', '1 day', true)) AS s}),
	't', 'every live item stands somewhere');
query(q{SET session_replication_role = replica;
	INSERT INTO workflow.state_history_slot VALUES ('day', now() - interval '40 days', 'w001', 1, 'A', 1, 1, 0, '{}'), ('hour', now() - interval '2 hours', 'w001', 1, 'A', 1, 1, 0, '{}')});
like(query(q{SELECT workflow.report_html('1 day')}), qr{The history by hour begins at .*: what was before is not shown}, 'a history that was forgotten is said to be');
like(query(q{SELECT workflow._report_bars('x', f, 'X', 'x', array_fill(1, ARRAY[cardinality(f.starts)])::bigint[], NULL, NULL, now() - interval '12 hours')
	FROM workflow._report_frame('me', '1 day', true) AS f}), qr{not read</text>}, 'a chart shows what was not read');

# --- the picture in README.md

my $picture = slurp_file("$FindBin::RealBin/../../docs/images/report.png");
like($picture, qr/^\x89PNG/, 'the picture of a report is one');
cmp_ok(length $picture, '<', 300_000, 'and not too large');
my ($parts) = $picture =~ /tEXtParts\0([^\0]*?)....\0\0\0\0IEND/s;
is($parts, query(q{SELECT string_agg(title, ', ' ORDER BY place) FROM workflow._report_parts()}), 'it shows the parts that there are (make report-image)');

# --- on paper

SKIP:
{
	skip 'no chromium is installed: nothing is printed', 2 if !$browser;
	my $pdf = $browser->print_page($file);
	like($pdf, qr/^%PDF/, 'it can be printed');
	cmp_ok(scalar(() = $pdf =~ m{/Type\s*/Page\b}g), '<', 15, 'on a few pages');
}

$node->stop;
done_testing();
