# Counts of items that were restored, or removed, past the triggers are mended by
# recount() while many move items and workers fold what they store: each item counts
# once, and health() says that something is wrong, and then that nothing is.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node('fsync = off');
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
sub health { return sql(q{SELECT ok, hint FROM workflow.health() WHERE "check" = 'counts'}, @_) }

my $define = q{SELECT workflow.define('{"workflow": "o", "owner": "x", "initial": "A", "states": {
	"A": {"on": {"go": "B"}}, "B": {"on": {"go": "C"}}, "C": {"on": {"go": "A", "end": "Z"}}, "Z": {"final": "success"}}}')};
sql("$define; " . q{
	SELECT count(*) FROM workflow.submit_many('o', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 500) AS n));
	CREATE TABLE kept AS SELECT * FROM workflow.item});
is(sql('SELECT * FROM workflow.recount()'), '', 'all is counted');
is(health(), 't|', 'and health() has nothing to say');

# A part of a dump: the items, without what is counted of them.
my $dump = PostgreSQL::Test::Utils::tempdir() . '/items';
sql('CREATE DATABASE part');
sql("CREATE EXTENSION pg_workflow; $define", 'part');
command_ok([ 'pg_dump', '-Fc', '--data-only', '-t', 'workflow.item', '-f', $dump, $node->connstr('postgres') ], 'items are dumped');
command_ok([ 'pg_restore', '--data-only', '--disable-triggers', '-d', $node->connstr('part'), $dump ], 'and restored into another database');
is(sql('SELECT count(*) FROM workflow.item', 'part'), '500', 'where they are');
my ($is_fine, $mend) = split /\|/, health('part');
is($is_fine, 'f', 'health() sees that they are not counted');
is(sql($mend, 'part'), 'o|1|A|0|500|500', 'what it says counts them');
is(sql('SELECT state, items, entered FROM workflow.state_stats', 'part'), 'A|500|500', 'so that they are');
is(health('part'), 't|', 'and health() has nothing to say');

my $script = PostgreSQL::Test::Utils::tempdir() . '/move.sql';
append_to_file($script, "\\set i random(1, 500)\n"
	. "UPDATE workflow.item SET state = CASE state WHEN 'A' THEN 'B' WHEN 'B' THEN 'C' ELSE 'A' END WHERE item_id = :i;\n");
my ($out, $err) = ('', '');
my $moving;
{
	local $ENV{PGAPPNAME} = 'pgbench';
	$moving = IPC::Run::start([ 'pgbench', '-n', '-c', 3, '-T', 60, '-f', $script, $node->connstr('postgres') ], '>', \$out, '2>', \$err);
}
my $moves = 'SELECT coalesce(sum(entered), 0) FROM workflow.state_stats';
ok($node->poll_query_until('postgres', "SELECT ($moves) > 1000"), 'they move');

# As pg_restore --disable-triggers does.
foreach my $round (1 .. 4)
{
	sql(qq{
		SET session_replication_role = replica;
		INSERT INTO workflow.item (workflow, version, key, state, since, seq, outcome, received_at, submitted_by, route, data)
		SELECT workflow, version, key || '-$round', CASE WHEN item_id % 2 = 0 THEN 'Z' ELSE 'B' END, since, seq,
		       CASE WHEN item_id % 2 = 0 THEN 'success' END, received_at, submitted_by, route, data FROM kept;
		DELETE FROM workflow.item WHERE item_id IN (SELECT item_id FROM workflow.item WHERE item_id > 500 ORDER BY item_id LIMIT 120)});
	my ($ok, $hint) = split /\|/, health();
	is($ok, 'f', "restore $round: health() says so");
	is(sql('SELECT sum(found - counted) FROM workflow.recount()'), 380, 'a dry run says how many');
	sql($hint);
	is(sql('SELECT * FROM workflow.recount()'), '', 'what the hint says mends it, while all move');
	is(health(), 't|', 'and health() has nothing to say');
	my $now = sql($moves);
	ok($node->poll_query_until('postgres', "SELECT ($moves) > $now + 500"), 'they go on moving');
}
$moving->signal('INT');
$moving->finish;
unlike($out . $err, qr/ERROR|aborted/, 'all that moved could');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM workflow.state_delta'), 'all is folded');
is(sql('SELECT * FROM workflow.recount()'), '', 'each item counts once');
is(sql('SELECT * FROM workflow._wrong_states()'), '', 'as another look finds, too');
is(sql(q{SELECT count(*) FROM workflow.journal WHERE action = 'recount'}), 4, 'what was mended is on record');

$node->stop;
done_testing();
