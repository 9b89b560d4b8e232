# Everything survives a dump and a restore: definitions, items, the log, jobs,
# the ledger and the sequences; and the copy goes on where the original was.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN');

# One query that counts the rows of every table of the extension.
my $counts_sql = q{
	SELECT string_agg(relname || ' ' || (xpath('/row/n/text()',
		query_to_xml('SELECT count(*) AS n FROM workflow.' || relname,
			false, true, '')))[1]::text, ', ' ORDER BY relname)
	FROM pg_class
	WHERE relnamespace = 'workflow'::regnamespace AND relkind = 'r'
};

my $definition = q{{
	"workflow": "parcel", "owner": "dispatch", "initial": "PACKED",
	"key": ["$.number"],
	"retry": {"default": {"owner": "dispatch", "dead_letter": "lost",
		"max_attempts": 3}},
	"queues": {
		"pack": {"owner": "dispatch", "sla": "1 hour", "escalate_to": ["head"]},
		"lost": {"owner": "dispatch", "sla": "1 day", "escalate_to": ["head"]}},
	"states": {
		"PACKED": {"task": {"queue": "pack"}, "on": {"ok": "SENT"}},
		"SENT": {"on": {"arrived": "DONE"}},
		"DONE": {"final": "done"}}
}};

sub fill
{
	my ($database, $role) = @_;
	my @as = (extra_params => [ '-U', $role ]);

	$node->safe_psql($database, 'CREATE EXTENSION pg_workflow', @as);
	$node->safe_psql(
		$database, qq{
		SELECT workflow.grant_role('$role', kind)
		FROM unnest('{designer,submitter,worker,operator}'::text[]) AS kind},
		@as);
	$node->safe_psql(
		$database, qq{
		SELECT * FROM workflow.define(\$\$$definition\$\$);
		SELECT count(*) FROM generate_series(1, 20) AS n,
			LATERAL workflow.submit('parcel', jsonb_build_object('number', n));
		SELECT * FROM workflow.define('{"workflow": "weighed", "owner": "dispatch", "initial": "GATE", "states": {
			"GATE": {"gate": {"value": "\$.weight", "tiers": [{"at_least": 5, "event": "heavy"}, {"otherwise": "light"}]},
			         "on": {"heavy": "DONE", "light": "DONE"}}, "DONE": {"final": "done"}}}');
		SELECT workflow.submit('weighed', '{"weight": 7}');
		SELECT workflow.enqueue('lost', '{"shelf": 1}');
		SELECT workflow.pause('parcel:3', 'address is wrong');
		SELECT workflow.complete(job_id, token)
		FROM workflow.claim('pack', 'packer', 5, '1 hour');
		SELECT workflow.fail(job_id, token, 'permanent', 'torn')
		FROM workflow.claim('pack', 'packer', 1, '1 hour');
		SELECT workflow.create_source('scanner', 'none', feed =>
			'{"send": {"workflow": "parcel", "key": "\$.body.number", "event": "arrived"}}');
		SELECT workflow.receive('scanner', 'scan-1', '{}', '{"number": 2}');
	}, @as);
}

# What a copy must have in common with its original, and go on doing.
sub compare
{
	my ($original, $copy, $name) = @_;
	my $counts = $node->safe_psql($original, $counts_sql);

	is($node->safe_psql($copy, $counts_sql), $counts, "$name: all rows");
	like($counts, qr/\bgate_change 1, .*\bitem 21,/, "$name: which are not none");
	is( $node->safe_psql(
			$copy,
			'SELECT count(*), bool_and(v.ok) FROM workflow.item AS i, workflow.verify(i.item_id) AS v'
		),
		'21|t',
		"$name: log and state agree");
	is( $node->safe_psql(
			$copy,
			q{SELECT created FROM workflow.submit('parcel', '{"number": 7}')}
		),
		'f',
		"$name: an item is found again");
	is($node->safe_psql($copy, 'SELECT tier, decided, total FROM workflow.gate_counts'), 'heavy|1|7', "$name: a decision is counted");
	is( $node->safe_psql(
			$copy,
			q{SELECT created, item_id > 21 FROM workflow.submit('parcel', '{"number": 21}')}
		),
		't|t',
		"$name: the next one gets an id of its own");
	is( $node->safe_psql(
			$copy, q{SELECT state FROM workflow.send('parcel:1', 'arrived')}),
		'DONE',
		"$name: an item moves on");
	is( $node->safe_psql(
			$copy,
			q{SELECT state, duplicate FROM workflow.receive('scanner', 'scan-1', '{}', '{"number": 2}')}
		),
		'DONE|t',
		"$name: a webhook is known");
}

$node->safe_psql('postgres', "CREATE DATABASE $_")
  foreach qw(original plain custom);
fill('original', 'postgres');

my $dir = PostgreSQL::Test::Utils::tempdir;
$node->command_ok(
	[ 'pg_dump', '-f', "$dir/plain.sql", $node->connstr('original') ],
	'plain dump');
$node->command_ok(
	[   'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql",
		$node->connstr('plain') ],
	'plain restore');
compare('original', 'plain', 'plain');

$node->command_ok(
	[ 'pg_dump', '-Fc', '-f', "$dir/custom", $node->connstr('original') ],
	'custom dump');
$node->command_ok(
	[   'pg_restore', '--exit-on-error',
		'-d',         $node->connstr('custom'),
		"$dir/custom" ],
	'custom restore');
compare('original', 'custom', 'custom');

# over what is there: the guards of the rows stop neither --clean nor DROP EXTENSION
$node->command_ok(
	[   'pg_restore', '--exit-on-error', '--clean', '--if-exists',
		'-d', $node->connstr('custom'), "$dir/custom" ],
	'restore with --clean');
compare('original', 'custom', 'clean');

# the data alone, into a database that has the extension
$node->safe_psql('postgres', 'CREATE DATABASE data_only');
$node->safe_psql('data_only', 'CREATE EXTENSION pg_workflow');
$node->command_ok(
	[   'pg_restore', '--exit-on-error', '--data-only',
		'-d', $node->connstr('data_only'), "$dir/custom" ],
	'restore of the data only');
compare('original', 'data_only', 'data only');

# an owner who is no superuser dumps and restores, without the grants
$node->safe_psql('postgres', "CREATE DATABASE $_ OWNER owner")
  foreach qw(owned copied);
fill('owned', 'owner');
$node->command_ok(
	[   'pg_dump', '-Fc', '-U', 'owner', '-f', "$dir/owned",
		$node->connstr('owned') ],
	'dump by an owner');
$node->command_ok(
	[   'pg_restore', '-U',
		'owner',      '--exit-on-error',
		'--no-owner', '--no-privileges',
		'-d',         $node->connstr('copied'),
		"$dir/owned" ],
	'restore by an owner');
compare('owned', 'copied', 'owner');

$node->safe_psql('copied', 'DROP EXTENSION pg_workflow');
is( $node->safe_psql(
		'copied',
		q{SELECT count(*) FROM pg_class WHERE relnamespace = 'workflow'::regnamespace}
	),
	'0',
	'a copy is dropped without CASCADE and leaves nothing');

$node->stop;
done_testing();
