# The map in docs/operations.md, of what has to be known to where it is: everything
# that it names is there, and what is to be stored of an item is stored.

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = abs_path(dirname(__FILE__) . '/../..');
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file("$root/test/postgresql.conf"));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');
$node->safe_psql('postgres', $_) foreach slurp_file("$root/examples/crm_enrichment/crm.sql"), q{
	CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://models.invalid', dedup 'pure');
	CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.invalid', dedup 'key')};

my %documents = map { $_ => accepted($_) } qw(classic_flow crm_enrichment);
my %columns   = map { $_ => 1 } listed(q{
	SELECT c.relname || '.' || a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
	WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind IN ('v', 'c') AND c.relname NOT LIKE '\_%'});
my %results = map { $_ => 1 } listed(q{
	SELECT f.proname || '()' || coalesce('.' || f.proargnames[a.place], '')
	FROM pg_proc AS f LEFT JOIN LATERAL unnest(f.proargmodes) WITH ORDINALITY AS a (mode, place) ON a.mode IN ('o', 't')
	WHERE f.pronamespace = 'workflow'::regnamespace AND f.proname NOT LIKE '\_%'
	UNION SELECT f.proname || '()' FROM pg_proc AS f WHERE f.pronamespace = 'workflow'::regnamespace AND f.proname NOT LIKE '\_%'});
my %steps = map { $_ => 1 } slurp_file("$root/examples/crm_enrichment/run") =~ /^title "(\d+)\. /mg;

# What each form of a reference looks like, and whether what it names is there.
my @forms = (
	[ qr/^(\w+\.\w+)$/ => sub { $columns{ $_[0] } } ],
	[ qr/^(\w+\(\)(?:\.\w+)?)$/ => sub { $results{ $_[0] } } ],
	[ qr/^(\w+) \$\.(\S+)$/ => \&has_field ],
	[ qr/^(\w+) (\w+) --(\w+)--> (\@?\w+)$/ => \&has_transition ],
	[ qr/^class (\w+): (.+)$/ => sub { verdict_on($_[0]) eq $_[1] } ],
	[ qr/^key: (\w+(?:, \w+)+)$/ => sub { identifies(split /, /, $_[0]) } ],
	[ qr/^demo (\d+)$/ => sub { $steps{ $_[0] } } ],
	[ qr/^(test\/\S+)$/ => sub { -e "$root/$_[0]" } ],);

# ------------------------------------------------------------- it can fail

foreach my $wrong ('items.colour', 'nothing.state', 'where_are()', 'where_is().colour', 'colour()', 'crm_enrichment $.retry.default.colour',
	'crm_enrichment $.states.NOWHERE', 'no_flow $.key', 'classic_flow RECEIVED --ok--> CLOSED', 'classic_flow RECEIVED --yes--> VALIDATED',
	'class timeout: never', 'class schema: again', 'class colour: never', 'demo 99', 'test/t/999_nothing.pl', 'state')
{
	ok(!is_there($wrong), "not there: $wrong");
}
ok(!identifies('ticket', 'ticket'), 'a part that is not one identifies nothing');

# ----------------------------------------------------------------- the map

my ($map) = slurp_file("$root/docs/operations.md") =~ /^## What is stored where\n(.*?)(?=^## |\z)/ms;
my ($forms, @sections) = split /^### /m, $map // '';
my (%seen, @requirements);

ok(is_there($_), "as explained: $_") foreach map { /`([^`]+)`/g } map { /^\| (`.*?) \| / } split /\n/, $forms // '';
foreach my $section (@sections)
{
	my ($title) = $section =~ /\A(.*)/;
	my @rows = map { [ /^\| (.+?) \| (.+) \|$/ ] } grep { /^\| / } split /\n/, $section;

	shift @rows;
	foreach my $row (@rows)
	{
		my ($requirement, $where) = @$row;
		my @references = $where =~ /`([^`]+)`/g;

		push @requirements, $requirement;
		is($where, join(', ', map { "`$_`" } @references), "$title, $requirement: says where, and nothing else");
		is(join(', ', grep { !is_there($_) } @references), '', 'all of it is there');
		$seen{$_} = 1 foreach @references;
	}
}

# No row gets lost.
my $all = join "\n", @requirements;
foreach my $required ('event id', 'source system', 'received time', 'current status', 'input payload', 'model output reference',
	'confidence and gate decision', 'actions attempted', 'ids of external writes', 'retry count', 'exception reason', 'final outcome', 'where to resume',
	'ticket, target queue, classifier version', 'invoice, paid status, paid at', 'customer, assessment, week', 'document, extraction schema version',
	'sent again', 'double submits', 'time out after they succeeded', 'workers that crash', 'deliver again', 'whether the key has completed', 'model calls: computed again',
	'sends, refunds', 'no duplicate', 'API time-out', 'malformed payload', 'rate limit:', 'fails its schema: not for ever', 'deadlock', 'unauthorized',
	map({ "policy: $_" } 'which errors', 'how many attempts', 'backoff', 'timeout', 'dead-letter', 'alerting threshold', 'human owner'),
	'contract', 'bursts', 'rate limits', 'long model calls', 'human review', 'downstream outages', 'exceptions', 'dead letters', 'replay after a fix', 'an owner',
	'an SLA', 'a dashboard', 'an escalation path', 'RECEIVED', 'VALIDATED', 'MODEL_REQUESTED', 'MODEL_COMPLETED', 'OUTPUT_VALIDATED', 'GATE_DECIDED',
	'AUTO_ACTION_PENDING', 'ACTION_COMPLETED', 'HUMAN_REVIEW_PENDING', 'HUMAN_APPROVED', 'HUMAN_REJECTED', 'CLOSED', 'HUMAN_ESCALATED', 'ESCALATED',
	'EXCEPTION_PENDING', 'RETRIED', 'FAILED', 'transition is logged', 'effect has a key', 'terminal state is clear', 'account id and schema version', 'deduplicated by account',
	'the same way each time', 'industry, summary, ICP fit and evidence', 'output is validated', 'staging table', 'medium goes to review', 'low, or what fails its schema',
	'idempotency key', 'previous value', 'field by field', 'the model extracts', 'What happens if this runs twice?', 'Where is this item in the workflow?')
{
	like($all, qr/\Q$required\E/, "in the map: $required");
}

# ------------------------------------------------------------ it is stored

# Of two accounts, one of which ends well after a failure and one of which does not, every
# column of "items" that the map names has a value.
my @stored = sort map { /^items\.(\w+)$/ } keys %seen;
my $values = $node->safe_psql('postgres', <<"END");
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL pg_workflow.clock = '2030-01-01 09:00Z';
INSERT INTO crm.account VALUES ('T-1', 'Test Ltd', 'We make tests.', 'Wants more.'), ('T-2', 'Test Inc', 'Tests.', 'None.');
SELECT workflow.mock('llm', '{"times": 1, "body": {"content":
  {"industry": "Software", "summary": "Makes tests", "icp_fit": "strong", "evidence": [], "confidence": 0.97}}}') \\g /dev/null
SELECT workflow.mock('crm', '[{"method": "GET", "body": {"fields": {}}}, {"method": "PATCH", "status": 503}, {"method": "PATCH", "body": {"id": "u1"}}]') \\g /dev/null
SELECT workflow.submit('crm_enrichment', '{"account_id": "T-1", "enrichment_version": 1}', source => 'crm', event_id => 'e1', input_ref => 's3://inputs/1') \\g /dev/null
CALL workflow.run();
SELECT workflow.mock('llm', '{"body": {"content": {"industry": 7}}}') \\g /dev/null
SELECT workflow.submit('crm_enrichment', '{"account_id": "T-2", "enrichment_version": 1}', source => 'crm', event_id => 'e2') \\g /dev/null
SET LOCAL pg_workflow.clock = '2030-01-01 09:15Z';
CALL workflow.run();
SELECT v.key FROM workflow.items AS i, jsonb_each(to_jsonb(i)) AS v WHERE v.value NOT IN ('null', '[]', '{}', '0') GROUP BY v.key ORDER BY v.key COLLATE "C";
ROLLBACK;
END
my %has_value = map { $_ => 1 } split /\n/, $values;
cmp_ok(scalar @stored, '>=', 15, 'what is to be stored of an item is a column of "items"');
is(join(', ', grep { !$has_value{$_} } @stored), '', 'and has a value after its flow');

$node->stop;
done_testing();

# ---------------------------------------------------------------------------

sub listed { return split /\n/, $node->safe_psql('postgres', $_[0]) }

# The document of an example, which define() accepts.
sub accepted
{
	my ($name) = @_;
	my $text = slurp_file("$root/examples/$name/definition.json");

	$node->safe_psql('postgres', "SET client_min_messages = error; SELECT workflow.define(\$d\$$text\$d\$)");
	return JSON::PP->new->decode($text);
}

sub is_there
{
	my ($reference) = @_;

	foreach my $form (@forms)
	{
		my @parts = $reference =~ $form->[0];
		return $form->[1]->(@parts) if @parts;
	}
	return 0;
}

sub has_field
{
	my ($example, $path) = @_;
	my $value = $documents{$example};

	foreach my $key (split /\./, $path)
	{
		return 0 if ref $value ne 'HASH' || !exists $value->{$key};
		$value = $value->{$key};
	}
	return 1;
}

sub has_transition
{
	my ($example, $from, $event, $to) = @_;

	return 0 if !$documents{$example};
	return $node->safe_psql('postgres', sprintf q{SELECT count(*) FROM workflow._graph_transitions('%s', 1)
		WHERE (state, event, to_state) = ('%s', '%s', '%s')}, $example, $from, $event, $to);
}

# What a first failure leads to by the policy of the example.
sub verdict_on
{
	my ($class) = @_;
	my $policy = JSON::PP->new->encode($documents{crm_enrichment}{retry}{default});
	my ($status, $out) = $node->psql('postgres', sprintf q{SELECT concat_ws(', ', CASE WHEN d.retry THEN 'again' ELSE 'never' END,
		CASE WHEN d.retry AND NOT d.charged THEN 'uncharged' END, CASE WHEN d.retry AND NOT d.charged AND d.delay >= interval '1 hour' THEN 'after its delay' END)
		FROM workflow._retry_decide('%s', 1, '%s', '1 hour', 0.5) AS d}, $policy, $class);

	return $status == 0 ? $out : 'unknown';
}

# Whether a key of these parts is the identity of an item: the same ones are found again,
# and with any part changed it is another one.
my $nkeys = 0;
sub identifies
{
	my @parts = @_;
	my $workflow = 'keyed_' . ++$nkeys;
	my %input = map { $_ => "a $_" } @parts;
	my @inputs = (\%input, \%input, map { { %input, $_ => 'another' } } @parts);
	my $document = JSON::PP->new->encode({ workflow => $workflow, initial => 'OPEN', key => [ map { "\$.$_" } @parts ],
		states => { OPEN => { on => { go => 'DONE' } }, DONE => { final => 'done' } } });
	my $created = $node->safe_psql('postgres', "SET client_min_messages = error; SELECT workflow.define('$document') \\g /dev/null\n"
		  . join "\n", map { sprintf q{SELECT created FROM workflow.submit('%s', '%s');}, $workflow, JSON::PP->new->encode($_) } @inputs);

	return $created eq join "\n", 't', 'f', ('t') x @parts;
}
