# The launch check beside documents that it did not choose: those of this
# repository are clean, broken ones are refused and nothing else happens, and
# large ones take time in proportion.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use Documents;
use File::Basename;
use File::Find;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $root = abs_path(dirname(__FILE__) . '/../..');
my $json = JSON::PP->new->utf8->canonical;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file("$root/test/postgresql.conf"));
$node->append_conf('postgresql.conf', "client_min_messages = error\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

sub literal { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# ------------------------------------------------------------- our documents
# Those of a directory are defined together, in one transaction that is rolled
# back: they may name each other, and queues by the same names.
my %of_directory;
find({ no_chdir => 1, wanted => sub { push @{ $of_directory{$File::Find::dir} }, Documents::of_file($_) if -f && /\.(?:json|sql|md)$/ } },
	"$root/examples", "$root/docs");
push @{ $of_directory{$root} }, Documents::of_file("$root/README.md");

my $documents = 0;
my %workflows;
foreach my $directory (sort keys %of_directory)
{
	my @found = @{ $of_directory{$directory} };
	my @clean = grep { $_->{document} } @found;
	ok(0, "$_->{place} is JSON") foreach grep { !$_->{document} } @found;
	next if !@clean;

	my $sql = join '', "BEGIN;\n", map { Documents::needs($_->{document}) } @clean;
	# workflows of one example may name each other, in any order
	if ($directory =~ m{/examples/})
	{
		$sql .= sprintf "DO \$do\$ BEGIN PERFORM workflow.define(%s); EXCEPTION WHEN OTHERS THEN NULL; END \$do\$;\n",
		  literal($json->encode($_->{document})) foreach @clean;
	}
	$sql .= "SAVEPOINT before;\n";
	foreach my $one (@clean)
	{
		my $text = literal($json->encode($one->{document}));
		my $name = literal($one->{document}{workflow});
		my $place = literal($one->{place} =~ s/^\Q$root\E\///r);
		$documents++;
		$workflows{ $one->{document}{workflow} } = 1;
		$sql .= <<"SQL";
SELECT version AS v FROM workflow.define($text) \\gset
SELECT $place || ': ' || severity || ' ' || code || ' ' || problem FROM workflow.check($name, :v) WHERE severity <> 'notice';
SQL
		# README and reference are read on their own; an example is a whole
		$sql .= "ROLLBACK TO before;\n" if $directory !~ m{/examples/};
	}
	my ($status, $out, $err) = $node->psql('postgres', "$sql ROLLBACK;", on_error_stop => 1);
	# a transcript may show what define() says
	my $shown = join '', map { slurp_file($_) } sort map { (split /:/, $_->{place})[0] } @clean;
	$out = join "\n", grep { my ($said) = /(\$.*)/; index($shown, "WARNING:  $said") < 0 } split /\n/, $out;
	is("$out$err", '', "documents in " . ($directory =~ s/^\Q$root\E\/?//r || 'README.md') . ' are clean');
}
cmp_ok($documents, '>=', 5, "$documents documents were found");
ok($workflows{$_}, "$_ is among them") foreach qw(classic_flow crm_enrichment);

# ---------------------------------------------------------- broken documents
# The same seed, the same documents: WF_SEED=n chooses another run.  What is no
# JSON is 22P02; everything else that define() refuses is a list of faults.
my $seed = $ENV{WF_SEED} // 20261;
my $count = $ENV{WF_MUTANTS} // 3000;
srand($seed);
my $rand = sub { return int(rand($_[0])) };
my @sound = map { $_->{document} } grep { $_->{document} } map { @$_ } @of_directory{ sort keys %of_directory };
push @sound, Documents::of_states(14);
my $file = PostgreSQL::Test::Utils::tempdir() . '/mutants';
open my $handle, '>', $file or die "$file: $!";
foreach my $i (1 .. $count)
{
	my $text = Documents::mutant($sound[ $i % @sound ], $rand);
	$text =~ s/\\/\\\\/g;
	print $handle "$text\n";
}
close $handle;
$node->safe_psql('postgres', join "\n", 'CREATE TABLE mutant (id int GENERATED ALWAYS AS IDENTITY, body text);',
	"COPY mutant (body) FROM '$file' (DELIMITER E'\\x01');",
	map { Documents::needs($_) } @sound);
my $began = time;
$node->safe_psql('postgres', q{
	CREATE TABLE outcome (id int, state text, message text);
	DO $$
	DECLARE
	  m record;
	  d record;
	  state text;
	  message text;
	BEGIN
	  FOR m IN SELECT * FROM mutant ORDER BY id LOOP
	    state := NULL;
	    BEGIN
	      SELECT * INTO d FROM workflow.define(m.body::json);
	      PERFORM count(*) FROM workflow.check(d.workflow, d.version);
	      BEGIN
	        PERFORM workflow.submit(d.workflow, '{"account_id": "a", "enrichment_version": 1, "ticket": 1, "target_queue": "t", "classifier_version": 1, "id": 1, "n": 0}');
	      EXCEPTION WHEN OTHERS THEN
	        state := 'submit ' || SQLSTATE;
	        message := SQLERRM;
	      END;
	      RAISE EXCEPTION USING ERRCODE = 'ZZ001';
	    EXCEPTION WHEN SQLSTATE 'ZZ001' THEN state := coalesce(state, 'stored');
	      WHEN OTHERS THEN
	        state := SQLSTATE;
	        message := SQLERRM;
	    END;
	    INSERT INTO outcome VALUES (m.id, state, message);
	  END LOOP;
	END $$});
note(sprintf "seed %d: %d documents in %.1f s: %s", $seed, $count, time - $began,
	$node->safe_psql('postgres', q{SELECT string_agg(state || ' ' || n, ', ' ORDER BY n DESC) FROM (SELECT state, count(*) AS n FROM outcome GROUP BY state) AS o}));
is($node->safe_psql('postgres', q{
	SELECT o.state, o.message, m.body FROM outcome AS o JOIN mutant AS m USING (id)
	WHERE o.state <> 'stored' AND o.state !~ '^(WF006|22P0[25]|submit (WF0..|22...))$' LIMIT 5}),
	'', "a mutant is refused, or stored (seed $seed)");
is($node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE state = 'stored') > $count / 50, count(*) FILTER (WHERE state = 'WF006') > $count / 3 FROM outcome"),
	't|t', 'some are stored, many are refused');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:/, 'the server went on');

# ----------------------------------------------------------- large documents
$node->safe_psql('postgres', q{
	CREATE SCHEMA IF NOT EXISTS app;
	CREATE OR REPLACE FUNCTION app.step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
	CREATE SERVER IF NOT EXISTS crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example', dedup 'key');
	CREATE SERVER IF NOT EXISTS llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.example', dedup 'pure')});

# The seconds that a statement takes, the better of two.
sub seconds
{
	my ($document, $statement) = @_;
	my $best;
	PostgreSQL::Test::Utils::append_to_file($file . $document->{workflow}, $json->encode($document)) if !-e $file . $document->{workflow};
	foreach (1 .. 2)
	{
		my $start = time;
		my ($status, $out, $err) = $node->psql('postgres', "\\set document `cat '$file$document->{workflow}'`\n$statement");
		my $took = time - $start;
		$best = $took if !defined $best || $took < $best;
		return ($best, $err) if $status != 0 || $err ne '';
	}
	return ($best, '');
}

my %took;
foreach my $n (500, 5000)
{
	my $document = Documents::of_states($n);
	my ($define, $error) = seconds($document, "BEGIN; SELECT version FROM workflow.define(:'document'); ROLLBACK;");
	is($error, '', "$n states are defined");
	seconds($document, "SELECT version FROM workflow.define(:'document');");
	my ($check, $error2) = seconds($document, "SELECT count(*) FROM workflow.check('of$n');");
	is($error2, '', "$n states are checked");
	my ($submit, $error3) = seconds($document, "BEGIN; SELECT state FROM workflow.submit('of$n', '{\"id\": 1}'); ROLLBACK;");
	is($error3, '', "an item of $n states begins");
	$took{$n} = { define => $define, check => $check, submit => $submit };
	note(sprintf "%d states: define %.2f s, check %.2f s, submit %.2f s", $n, $define, $check, $submit);
}
# ten times the states take about ten times as long, never a hundred times
cmp_ok($took{5000}{$_}, '<', 40 * $took{500}{$_} + 2, "$_ grows with the states") foreach qw(define check submit);

# where everything is wrong, the list is as long as the document
my $wrong = Documents::of_states(3000);
$wrong->{workflow} = 'wrong';
$_->{on} = { map { ($_ => 'NOWHERE' . $_) } %{ $_->{on} // {} } } foreach values %{ $wrong->{states} };
my ($refused, $faults) = seconds($wrong, "SELECT workflow.define(:'document');");
like($faults, qr/invalid: \d{4,} faults/, 'a document that is wrong everywhere is refused');
cmp_ok($refused, '<', 30, sprintf 'in %.2f s', $refused);

# a chain that is decided at once, and nesting without end
my $chain = Documents::of_states(5000, only => 6);
$chain->{workflow} = 'chain';
my (undef, $chained) = seconds($chain, "BEGIN; SELECT version FROM workflow.define(:'document'); ROLLBACK;");
is($chained, '', '5,000 states that are decided at once are defined');
foreach my $depth (101, 2000, 200000)
{
	my ($status, $out, $err) = $node->psql('postgres', 'SELECT workflow.define((repeat(\'{"a":\', ' . $depth . ") || '1' || repeat('}', $depth))::json)");
	like($err, qr/nested more than 100 deep|stack depth limit exceeded/, "nesting $depth deep is refused");
}
done_testing();
