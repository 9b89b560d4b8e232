# The README and the reference do not lie: their transcripts are run, what
# psql prints is compared with what they show, and their tables list what there is.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename;
use Markdown;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;

my $root = abs_path(dirname(__FILE__) . '/../..');
my $node = PostgreSQL::Test::Cluster->new('main');
my $stand_in = StandIn->new(open => 1);
$node->init;
$node->append_conf('postgresql.conf', slurp_file("$root/test/postgresql.conf"));
$node->start;
$node->safe_psql('postgres', q{
	DO $$ BEGIN
	  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postgres') THEN
	    CREATE ROLE postgres SUPERUSER LOGIN;
	  END IF;
	END $$});

# ------------------------------------------------------------- transcripts
my $transcripts = 0;
foreach my $file ("$root/README.md", sort glob("$root/docs/*.md $root/docs/reference/*.md"))
{
	my @statements = map { with_line($_) } grep { $_->{info} eq 'psql' } Markdown::blocks($file);
	next if !@statements;
	$transcripts++;
	check_transcript(basename($file), @statements);
}
cmp_ok($transcripts, '>=', 2, 'the README and the reference have transcripts');

# ------------------------------------------------------------------- tests
# What the guarantees say is proved somewhere.
my $guarantees = slurp_file("$root/docs/guarantees.md");
my ($scenarios) = $guarantees =~ /^(\| what happens \|.*?)\n\n/ms;
my @rows = grep { /^\|/ } split /\n/, $scenarios // '';
cmp_ok(@rows - 2, '>=', 20, 'the guarantees have a table of scenarios');
is(join("\n", grep { !/`test\/[^`]+` \|$/ } @rows[ 2 .. $#rows ]), '', 'each of which names its test');
is(join(' ', grep { !-e "$root/$_" } $guarantees =~ /`(test\/[^`]+)`/g), '', 'that exists');

# ------------------------------------------------------------------ tables
my $readme = slurp_file("$root/README.md");

is_deeply(
	[ sort(names_in(section('Functions'))) ],
	[ listed(q{SELECT DISTINCT proname::text FROM pg_proc
		WHERE pronamespace = 'workflow'::regnamespace AND proname NOT LIKE '\_%'
		  AND proname NOT IN ('endpoint_validator', 'list_workers')}) ],
	'the table of functions lists every public function and no other');
my ($views) = section('Functions') =~ /^Views: (.*?)\.\s/ms;
is_deeply(
	[ sort($views =~ /`(\w+)`/g) ],
	[ listed(q{SELECT relname::text FROM pg_class
		WHERE relnamespace = 'workflow'::regnamespace AND relkind = 'v' AND relname NOT LIKE '\_%'}) ],
	'every view is listed');
is_deeply(
	[ map { "pg_workflow.$_" } sort(section('Settings') =~ /^\| `pg_workflow\.(\w+)`/mg) ],
	[ listed(q{SELECT name FROM pg_settings WHERE name LIKE 'pg\_workflow.%'}) ],
	'the table of settings lists every setting');
is_deeply(
	[ section('Settings') =~ /^\| `(pg_workflow\.\w+) *` \| *(?:`([^`]*)`)? *\|/mg ],
	[ map { $_ => shown_default($_) } section('Settings') =~ /^\| `(pg_workflow\.\w+)`/mg ],
	'with its default');
is_deeply(
	[ section('Errors') =~ /^\| `(WF\d\d\d)` \| [^|]{5,} \| [^|]{5,} \|$/mg ],
	[ map { sprintf 'WF%03d', $_ } 1 .. 12 ],
	'every SQLSTATE has its cause and its cure');
my ($classes) = slurp_file("$root/docs/reference/retry.md") =~ /## Error classes(.*)/s;
my $told = ($node->psql('readme_md', q{SET client_min_messages = error; SELECT workflow._classify_sqlstate('57014'),
	workflow.create_queue('c', 'a', '1 s', '{b}', retry => '{"retry_on": ["x"]}')}))[2];
foreach my $class ($told =~ /classes are: ([\w, ]+)\./ ? split(/, /, $1) : ('none is told'))
{
	like($classes, qr/`$class`/, "error class $class is explained");
}

# --------------------------------------------------- how `make test` ends
my ($test_block) = grep { $_->{info} eq 'text test' } Markdown::blocks("$root/README.md");
my ($targets) = slurp_file("$root/tools/test") =~ /^for target in (.*)$/m;
is( $test_block->{text},
	join('', map { "== $_\n" . s/^check-//r . ": N passed, 0 failed\n" } split ' ', $targets)
	  . "== N passed, 0 failed\n",
	'the README shows how make test ends');

$node->stop;
done_testing();

# ---------------------------------------------------------------------------

# The statements of a block with their lines in the file.
sub with_line
{
	my ($block) = @_;
	return map { { %$_, line => $block->{line} + $_->{line} } } Markdown::statements($block->{text});
}

# Runs statements in one session of a database of its own and compares what is
# printed with what is shown.  What is not shown may be anything but an error.
sub check_transcript
{
	my ($name, @statements) = @_;
	my ($database, $mark) = (lc($name =~ s/\W/_/gr), '=== end of statement');
	my ($input, $out) = ('', '');

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION pg_workflow');
	foreach (@statements)
	{
		$input .= $_->{sql} =~ s{http://127\.0\.0\.1:8080}{$stand_in->{url}}gr;
		$input .= "\\echo $mark\n";
	}
	local $ENV{PGTZ} = 'UTC';
	IPC::Run::run([ 'psql', '-XqU', 'postgres', '-d', $node->connstr($database) ],
		'<', \$input, '>&', \$out, IPC::Run::timeout(120));

	my @printed = split /^\Q$mark\E\n/m, $out, -1;
	foreach my $statement (@statements)
	{
		my ($first) = $statement->{sql} =~ /\A(.{1,50})/;
		my @shown = Markdown::normalise($statement->{output});
		my @lines = Markdown::normalise(shift @printed // 'psql ended');

		ok(@shown ? Markdown::match(\@shown, \@lines) : !grep({ /^(?:ERROR|psql ended)/ } @lines),
			"$name:$statement->{line}: $first")
		  or diag("shown:\n", (map { "  $_\n" } @shown), "printed:\n", map { "  $_\n" } @lines);
	}
	return;
}

sub section
{
	my ($title) = @_;
	my ($text) = $readme =~ /^## $title\n(.*?)(?=^## |\z)/ms;
	return $text // '';
}

# The functions named in the first column of a table: `f(…)`, `CALL f(…)`, `f`.
sub names_in
{
	my ($text) = @_;
	my @cells = $text =~ /^\| (`.*?`) \|/mg;
	return map { /`(?:CALL )?(\w+)(?=[(`])/g } @cells;
}

sub listed
{
	my ($query) = @_;
	return sort split /\n/, $node->safe_psql('readme_md', $query);
}

# A default as SHOW prints it; empty ones are shown as nothing.
sub shown_default
{
	my ($setting) = @_;
	my $value = $node->safe_psql('readme_md', qq{
		SELECT CASE WHEN vartype IN ('integer') AND unit IS NOT NULL THEN
		         CASE unit WHEN 'ms' THEN boot_val::int / 60000 || 'min' WHEN 'kB' THEN boot_val::int / 1024 || 'MB'
		           WHEN 's' THEN coalesce(nullif(boot_val::int, -1) / 86400 || 'd', boot_val) ELSE boot_val END
		       ELSE boot_val END FROM pg_settings WHERE name = '$setting'});
	return length $value ? $value : undef;
}
