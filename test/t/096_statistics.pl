# The counts of items by state, and the history of their moves, are the same as what
# a look at all items and at the whole log finds, at any moment: while many move them
# and workers fold what they store, with rollbacks and savepoints, through kill -9 and
# a restart, prepared transactions, migrations, and a dump and its restore.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("fsync = off\nrestart_after_crash = on\nmax_prepared_transactions = 4");
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

# Version 1; and version 2, in which C may end badly.
sub define
{
	my ($bad, $more) = @_;
	return sql(qq{SELECT (workflow.define('{"workflow": "o", "owner": "x", "initial": "A", "states": {
		"A": {"on": {"go": "B"}}, "B": {"on": {"go": "C", "end": "Z"}},
		"C": {"on": {"go": "A", "end": "Z"$bad}}, "Z": {"final": "success"}$more}}')).version});
}
is(define('', ''), '1', 'a workflow');
sql(q{
	SELECT count(*) FROM workflow.submit_many('o', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 500) AS n));
	CREATE TABLE mine (id int PRIMARY KEY, state text NOT NULL);
	SELECT workflow.define('{"workflow": "row", "owner": "x", "initial": "A", "states": {"A": {"on": {"go": "B"}}, "B": {"on": {"go": "A", "end": "Z"}}, "Z": {"final": "success"}}}');
	SELECT workflow.enforce('mine', 'state', 'row', 'id');
	INSERT INTO mine SELECT n, 'A' FROM generate_series(1, 10) AS n;
});

# Both in one snapshot, which is that of this one statement.
my $wrong_history = q{
	SELECT coalesce(h.version, l.version) || ' ' || coalesce(h.state, l.state) || ': ' || coalesce(h.n, 0) || ' for ' || coalesce(l.n, 0)
	FROM (SELECT version, state, sum(entered) AS n FROM workflow.state_history WHERE resolution = '%s' GROUP BY 1, 2) AS h
	FULL JOIN (SELECT version, to_state AS state, count(*) AS n FROM workflow.transition WHERE item_id IS NOT NULL GROUP BY 1, 2) AS l
	  ON l.version = h.version AND l.state = h.state
	WHERE h.n IS DISTINCT FROM l.n};
sub is_exact
{
	my ($name, $database) = @_;
	is(sql('SELECT * FROM workflow._wrong_states()', $database), '', "$name: counts are those of the items");
	is(sql('SELECT * FROM workflow.recount()', $database), '', "$name: recount() finds nothing to mend");
	is(sql(sprintf($wrong_history, $_), $database), '', "$name: history by $_ is that of the log") foreach qw(minute hour day);
	is( sql(q{SELECT count(*) FROM workflow._state_figures AS f
		      WHERE f.outcome IS NULL AND f.items <> (SELECT coalesce(sum(e.items), 0) FROM (
		        SELECT items FROM workflow.state_entry WHERE (workflow, version, state) = (f.workflow, f.version, f.state)
		        UNION ALL SELECT items FROM workflow._pending_change
		        WHERE (workflow, version, state) = (f.workflow, f.version, f.state) AND entry IS NOT NULL) AS e)}, $database),
		'0', "$name: so are those by the minute of entry");
	return;
}
is_exact('at first');

# ------------------------------------------------------------- while all move
my $go = q{UPDATE workflow.item SET state = CASE state WHEN 'A' THEN 'B' WHEN 'B' THEN 'C' WHEN 'C' THEN 'A' END WHERE outcome IS NULL AND item_id };
my %script = (
	one => "\\set i random(1, 500)\n$go = :i;\n",
	event => "\\set i random(1, 500)\nSELECT workflow.send(:i, 'go') FROM workflow.items WHERE item_id = :i AND state <> 'Z';\n",
	submit => "\\set i random(1, 1000000000)\nSELECT workflow.submit('o', '{}', key => 'k' || :i || '-' || :client_id);\n",
	back => "\\set i random(1, 500)\nBEGIN;\n$go = :i;\nROLLBACK;\n",
	savepoints => "\\set i random(1, 500)\nBEGIN;\n$go = :i;\nSAVEPOINT a;\n$go = :i;\nSAVEPOINT b;\n$go = :i;\nROLLBACK TO a;\n"
	  . "SAVEPOINT c;\n$go = :i;\nRELEASE c;\nCOMMIT;\n",
	rows => "\\set i random(1, 10)\nUPDATE mine SET state = CASE state WHEN 'A' THEN 'B' ELSE 'A' END WHERE id = :i;\n");
my $directory = PostgreSQL::Test::Utils::tempdir();
my @files;
foreach my $name (sort keys %script)
{
	append_to_file("$directory/$name.sql", $script{$name});
	push @files, '-f', "$directory/$name.sql";
}

sub start_moving
{
	my ($seconds) = @_;
	my %run = (out => '', err => '');
	local $ENV{PGAPPNAME} = 'pgbench';
	$run{handle} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 4, '-T', $seconds, @files, $node->connstr('postgres') ],
		'>', \$run{out}, '2>', \$run{err});
	return \%run;
}
my $moving = start_moving(14);
my $folds = q{SELECT coalesce(sum(entered), 0) FROM workflow.state_count};
my $before = sql($folds);
ok($node->poll_query_until('postgres', "SELECT ($folds) > $before + 100"), 'moves are folded while others move');
is_exact('while all move');
IPC::Run::finish($moving->{handle});
like($moving->{out} . $moving->{err}, qr/^(?!.*(?:ERROR|aborted)).*number of failed transactions: 0/s, 'all that moved could');
is_exact('after that');

# ------------------------------------------------------------------- kill -9
$moving = start_moving(60);
wait_for("count(*) > 3 FROM pg_stat_activity WHERE application_name = 'pgbench'", 'they move again');
my ($pid) = split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench'});
my $started = sql('SELECT pg_postmaster_start_time()');
my $checkpointer = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'});
kill 'KILL', $pid;
IPC::Run::finish($moving->{handle});
ok($node->poll_query_until('postgres', "SELECT pid <> $checkpointer FROM pg_stat_activity WHERE backend_type = 'checkpointer'"),
	'the server is back after kill -9');
is_exact('after kill -9');
$node->stop('immediate');
$node->start;
is_exact('after an immediate stop');

# ----------------------------------------------------- prepared transactions
sql(q{BEGIN; SELECT workflow.submit('o', '{}', key => 'prepared'); PREPARE TRANSACTION 'kept'});
sql("BEGIN; $go <= 100; PREPARE TRANSACTION 'lost'");
is_exact('while transactions are prepared');
$node->restart;
sql(q{COMMIT PREPARED 'kept'});
sql(q{ROLLBACK PREPARED 'lost'});
is_exact('when they have ended');
wait_for('count(*) = 0 FROM workflow.state_delta', 'what was prepared is folded, too');
is_exact('and then');

# ----------------------------------------------------------------- migration
is(define(', "bad": "D"', ', "D": {"final": "failure"}'), '2', 'another version');
sql(q{SELECT count(*) FROM workflow.migrate('o', 1, 2, dry_run => false, reason => 'newer')});
is(sql(q{SELECT count(*) FROM workflow.item WHERE version = 2 AND outcome IS NULL}) > 400, 1, 'all are migrated');
is_exact('migrated');
sql("UPDATE workflow.item SET state = 'D' WHERE state = 'C'");
sql("SELECT count(*) FROM workflow.items AS i, LATERAL workflow.cancel(i.item_id, 'enough') WHERE i.state = 'B' AND i.item_id % 2 = 0");
is_exact('ended');

# ------------------------------------------------------------------- restore
my $stats = q{SELECT workflow, version, state, items, entered, departed, oldest_since, p50_time, p95_time FROM workflow.state_stats ORDER BY 1, 2, 3};
my $history = q{TABLE workflow.state_history ORDER BY 1, 2, 3, 4, 5};
my @expected = (sql($stats), sql($history));
command_ok([ 'pg_dump', '-Fc', '-f', "$directory/dump", $node->connstr('postgres') ], 'a dump');
sql('CREATE DATABASE copy');
command_ok([ 'pg_restore', '-d', $node->connstr('copy'), "$directory/dump" ], 'and its restore');
is(sql($stats, 'copy'), $expected[0], 'the same statistics');
is(sql($history, 'copy'), $expected[1], 'and history');
is_exact('restored', 'copy');

# ------------------------------------------------- a snapshot from before a fold
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $seen = $old->query_safe('SELECT sum(entered) FROM workflow.state_stats');
sql("$go <= 100");
wait_for('count(*) = 0 FROM workflow.state_delta', 'moves are folded');
is($old->query_safe('SELECT sum(entered) FROM workflow.state_stats'), $seen, 'an old snapshot sees the old counts');
is($old->query_safe('SELECT count(*) FROM workflow._wrong_states()'), '0', 'exactly');
$old->query_safe('COMMIT');
$old->quit;

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|folding statistics.*failed/, 'nothing failed on the way');
$node->stop;
done_testing();
