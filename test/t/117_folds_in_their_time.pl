# While items move, the maintenance worker folds every few seconds, and sleeps in
# between: commits that it will hear of anyway do not wake it.  When all is quiet
# the next one does.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("fsync = off\nautovacuum = off");
sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{
	SELECT workflow.define('{"workflow": "o", "owner": "x", "initial": "A", "states": {
		"A": {"on": {"go": "B"}}, "B": {"on": {"go": "A", "end": "Z"}}, "Z": {"final": "success"}}}');
	SELECT count(*) FROM workflow.submit_many('o', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 500) AS n));
});
wait_for('count(*) = 0 FROM workflow.state_delta', 'what was submitted is folded');

my $directory = PostgreSQL::Test::Utils::tempdir();
append_to_file("$directory/go.sql",
	"\\set i random(1, 500)\nUPDATE workflow.item SET state = CASE state WHEN 'A' THEN 'B' ELSE 'A' END WHERE item_id = :i;\n");
my $scans = q{SELECT seq_scan FROM pg_stat_all_tables WHERE schemaname = 'workflow' AND relname = 'state_delta'};
my $before = sql($scans);
$node->command_ok([ 'pgbench', '-n', '-c', 4, '-T', 12, '-f', "$directory/go.sql", $node->connstr('postgres') ], 'items move for twelve seconds');
# each fold looks for rows once before, once as it folds, and once for what has come meanwhile
cmp_ok(sql($scans) - $before, '<', 40, 'which is hardly looked at meanwhile');
wait_for('count(*) = 0 FROM workflow.state_delta', 'all is folded when they have stopped');
is(sql('SELECT count(*) FROM workflow._wrong_states()'), '0', 'and counted');
# nothing else wakes it, and left alone it would sleep for minutes
for my $round (1 .. 3)
{
	my $moved_at = time;

	sql(q{UPDATE workflow.item SET state = CASE state WHEN 'A' THEN 'B' ELSE 'A' END WHERE item_id = 1});
	wait_for('count(*) = 0 FROM workflow.state_delta', "a move in the quiet is folded, too ($round)");
	cmp_ok(time - $moved_at, '<', 20, '... in its time');
}

done_testing();
