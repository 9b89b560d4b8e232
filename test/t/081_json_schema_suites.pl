# The verdicts of the JSON Schema test suites: none is wrong, and what is refused is
# what the reference says is.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = abs_path(dirname(__FILE__) . '/../..');

# Where a suite may be, and what makes its schemas be of its draft.
my @suites = (
	{   name  => 'draft 2020-12',
		names => 'WF_JSON_SCHEMA_SUITE',
		where => [ grep { defined } $ENV{WF_JSON_SCHEMA_SUITE}, "$root/../shared/json-schema-suite" ],
		says  => '{}' },
	{   name  => 'draft-07',
		names => 'WF_JSON_SCHEMA_SUITE_07',
		where => [
			grep { defined } $ENV{WF_JSON_SCHEMA_SUITE_07},
			"$root/build/json-schema-test-suite/usr/share/json-schema-test-suite/tests/draft7",
			'/usr/share/json-schema-test-suite/tests/draft7' ],
		says => '{"$schema": "http://json-schema.org/draft-07/schema#"}' });

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file("$root/test/postgresql.conf"));
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_workflow;
	CREATE TABLE suite (says jsonb, file text, body jsonb);
	CREATE FUNCTION verdict(schema jsonb, instance jsonb, OUT valid boolean, OUT problem text) LANGUAGE plpgsql AS $$
	DECLARE
	  errors int;
	BEGIN
	  valid := workflow.schema_valid(schema, instance);
	  SELECT count(*) INTO errors FROM workflow.schema_errors(schema, instance);
	  IF valid <> (errors = 0) THEN
	    valid := NULL;
	    problem := format('schema_valid() says %s, and there are %s errors', valid, errors);
	  END IF;
	EXCEPTION
	  WHEN invalid_parameter_value THEN
	    GET STACKED DIAGNOSTICS problem = PG_EXCEPTION_DETAIL;
	  WHEN OTHERS THEN
	    problem := sqlstate || ' ' || sqlerrm;
	END $$;
	CREATE VIEW result AS
	  SELECT s.file, g ->> 'description' AS cases, t ->> 'description' AS test, (t -> 'valid')::boolean AS wanted, v.valid, v.problem
	  FROM suite AS s, jsonb_array_elements(s.body) AS g, jsonb_array_elements(g -> 'tests') AS t,
	       verdict(CASE jsonb_typeof(g -> 'schema') WHEN 'object' THEN s.says || (g -> 'schema') ELSE g -> 'schema' END, t -> 'data') AS v});

# A text of the server has no NUL; another control character serves as well.
sub load_suite
{
	my ($suite, $directory) = @_;
	my $sql = 'TRUNCATE suite;';

	foreach my $file (sort glob("$directory/*.json"))
	{
		(my $content = slurp_file($file)) =~ s/\\u0000/\\u0001/g;
		$sql .= "INSERT INTO suite VALUES ('$suite->{says}', '" . basename($file) . "', \$body\$$content\$body\$);\n";
	}
	$node->safe_psql('postgres', $sql);
	return;
}

foreach my $suite (@suites)
{
SKIP:
	{
		my ($directory) = grep { -d } @{ $suite->{where} };

		skip "the JSON Schema test suite of $suite->{name} is not in any of @{$suite->{where}}; $suite->{names} names another place", 4
		  if !defined $directory;
		load_suite($suite, $directory);
		$node->safe_psql('postgres', 'DROP TABLE IF EXISTS verdicts; CREATE TABLE verdicts AS SELECT * FROM result');
		cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM verdicts'), '>=', 400, "$suite->{name}: there are tests");
		is($node->safe_psql('postgres', 'SELECT * FROM verdicts WHERE valid <> wanted'), '', "$suite->{name}: no verdict is wrong");
		is( $node->safe_psql('postgres', q{
			SELECT file, cases, problem FROM verdicts
			WHERE valid IS NULL AND problem !~ 'is not in this document|"\$dynamicRef" is not supported|not a dialect|keyword "(slash/field|tilda~field|percent%field)" is not supported'}),
			'', "$suite->{name}: what is refused is known");
		cmp_ok($node->safe_psql('postgres', 'SELECT 100.0 * count(*) FILTER (WHERE valid IS NULL) / count(*) FROM verdicts'),
			'<=', 12, "$suite->{name}: few are refused");
		note($node->safe_psql('postgres', q{SELECT count(*) || ' tests, refused: ' || count(*) FILTER (WHERE valid IS NULL) FROM verdicts}));
	}
}

done_testing();
