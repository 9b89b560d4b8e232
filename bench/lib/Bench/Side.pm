# What is measured side by side: a row that moves from state to state, and a row
# of history for each move.
#
#   bare      an UPDATE and an INSERT into the history, one CTE statement
#   triggers  a plain UPDATE; a BEFORE trigger checks it, an AFTER trigger logs it
#   direct    a plain UPDATE of workflow.item
#   states    the same, in a definition of 200 states
#   send      workflow.send()
#   enforced  a plain UPDATE of a table that workflow.enforce() holds to a definition
#
# All of them have the same rows, in states S1 .. S5 that lead to the next one.

package Bench::Side;

use strict;
use warnings FATAL => 'all';
use Bench::Session;

our $rows = 10_000;
my $first = 1_000_001;    # id of the first item with few states
my $next  = q{'S' || (substr(state, 2)::int % 5 + 1)};

my @sides = (
	{   name   => 'bare',
		title  => 'UPDATE and INSERT, one statement',
		table  => 'bare',
		log    => 'bare_history',
		change => qq{WITH moved AS (UPDATE bare SET state = $next, since = now() WHERE WHICH RETURNING id, state)
INSERT INTO bare_history (id, to_state) SELECT id, state FROM moved} },
	{   name   => 'triggers',
		title  => 'UPDATE, two PL/pgSQL triggers',
		table  => 'triggered',
		log    => 'triggered_history',
		change => "UPDATE triggered SET state = $next, since = now() WHERE WHICH" },
	{   name   => 'direct',
		title  => 'UPDATE workflow.item',
		table  => 'workflow.item',
		key    => 'item_id',
		first  => $first,
		log    => 'workflow.transition',
		change => "UPDATE workflow.item SET state = $next WHERE WHICH" },
	{   name   => 'states',
		title  => 'UPDATE workflow.item, 200 states',
		table  => 'workflow.item',
		key    => 'item_id',
		first  => 2 * $first,
		log    => 'workflow.transition',
		change => "UPDATE workflow.item SET state = $next WHERE WHICH" },
	{   name   => 'send',
		title  => 'workflow.send',
		table  => 'workflow.item',
		key    => 'item_id',
		first  => $first,
		log    => 'workflow.transition',
		call   => q{SELECT workflow.send(:id ::bigint, 'next')} },
	{   name   => 'enforced',
		title  => 'UPDATE of an enforced table',
		table  => 'enforced',
		log    => 'workflow.transition',
		change => "UPDATE enforced SET state = $next, since = now() WHERE WHICH" },
	# what a bulk UPDATE costs before anybody checks or logs
	{   name   => 'plain',
		title  => 'UPDATE of the same table, nothing else',
		table  => 'plain',
		change => "UPDATE plain SET state = $next, since = now() WHERE WHICH" },
	{   name   => 'plain_item',
		title  => 'UPDATE of a copy of workflow.item',
		table  => 'plain_item',
		key    => 'item_id',
		first  => $first,
		change => "UPDATE plain_item SET state = $next, since = now() WHERE WHICH" });

sub named
{
	my (@names) = @_;
	my %side = map { $_->{name} => $_ } @sides;

	return map { $side{$_} // die "no such side: $_\n" } @names;
}

sub key   { return $_[0]->{key}   // 'id'; }
sub first { return $_[0]->{first} // 1; }

# Its statement, for the rows that the condition picks.
sub change
{
	my ($side, $which) = @_;

	return $side->{change} =~ s/WHICH/$which/r;
}

# One row of many, picked at random, as pgbench runs it.
sub script
{
	my ($side) = @_;
	my $to     = first($side) + $rows - 1;
	my $change = $side->{call} // change($side, sprintf '%s = :id', key($side));

	return sprintf "\\set id random(%d, %d)\n%s;\n", first($side), $to, $change;
}

# A statement that moves so many rows, those of a number.
sub bulk
{
	my ($side, $count, $number) = @_;
	my $from = first($side) + $count * ($number % int($rows / $count));

	return change($side, sprintf '%s BETWEEN %d AND %d', key($side), $from, $from + $count - 1);
}

# How many moves are on record.
sub logged
{
	my ($session, $side) = @_;

	return $side->{log} ? $session->value("SELECT count(*) FROM $side->{log}") : undef;
}

my $peers = <<"END";
CREATE TABLE plain (
	id bigint PRIMARY KEY, machine text NOT NULL, state text NOT NULL, since timestamptz NOT NULL, payload text)
	WITH (fillfactor = 70);
CREATE TABLE bare (LIKE plain INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE enforced (LIKE plain INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE triggered (LIKE plain INCLUDING ALL) WITH (fillfactor = 70);
INSERT INTO plain SELECT n, 'ring', 'S' || (n % 5 + 1), now(), repeat('x', 100) FROM generate_series(1, $rows) AS n;
INSERT INTO bare TABLE plain;
INSERT INTO triggered TABLE plain;
INSERT INTO enforced TABLE plain;
CREATE TABLE bare_history (
	history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id bigint NOT NULL, from_state text,
	to_state text NOT NULL, actor text NOT NULL DEFAULT current_user, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE triggered_history (LIKE bare_history INCLUDING ALL);

CREATE TABLE legal (machine text, from_state text, to_state text, PRIMARY KEY (machine, from_state, to_state));
INSERT INTO legal SELECT 'ring', 'S' || n, 'S' || n % 5 + 1 FROM generate_series(1, 5) AS n;
INSERT INTO legal SELECT 'other', 'S' || n, 'S' || n % 15 + 1 FROM generate_series(1, 15) AS n;
CREATE FUNCTION check_move() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM 1 FROM legal WHERE machine = NEW.machine AND from_state = OLD.state AND to_state = NEW.state;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no transition from % to %', OLD.state, NEW.state;
	END IF;
	RETURN NEW;
END \$\$;
CREATE FUNCTION log_move() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	INSERT INTO triggered_history (id, from_state, to_state) VALUES (NEW.id, OLD.state, NEW.state);
	RETURN NULL;
END \$\$;
CREATE TRIGGER check_move BEFORE UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION check_move();
CREATE TRIGGER log_move AFTER UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION log_move();
END

# A definition whose states S1 .. S5 lead around, with others that do nothing.
sub ring
{
	my ($name, $states) = @_;

	return sprintf q{SELECT workflow.define(json_build_object('workflow', '%s', 'initial', 'S1',
		'states', (SELECT json_object_agg('S' || n, jsonb_build_object('on', jsonb_build_object(
			'next', 'S' || CASE WHEN n <= 5 THEN n %% 5 + 1 ELSE n - 1 END, 'end', 'DONE')
			|| CASE WHEN n = 5 AND %d > 5 THEN '{"far": "S%d"}' ELSE '{}' END::jsonb)) FROM generate_series(1, %d) AS n)::jsonb
		|| '{"DONE": {"final": "success"}}'))}, $name, $states, $states, $states;
}

# Items as they would be after their first round.
sub items
{
	my ($name, $from) = @_;

	return sprintf q{INSERT INTO workflow.item
		(item_id, workflow, version, key, state, since, seq, received_at, submitted_by, route, input, data)
		SELECT %d + n - 1, '%s', 1, n, 'S' || (n %% 5 + 1), now(), 1, now(), current_user, n, d, d
		FROM generate_series(1, %d) AS n, jsonb_build_object('text', repeat('x', 80)) AS d}, $from, $name, $rows;
}

# The database with all sides, and a session in it.
sub set_up
{
	my ($bench) = @_;
	my $cluster = $bench->{cluster};
	my $session = $cluster->database('bench', 'pg_workflow');

	$cluster->script('bench', $peers);
	$session->rows(ring('ring',      5));
	$session->rows(ring('wide_ring', 200));
	$session->rows(items('ring',      $first));
	$session->rows(items('wide_ring', 2 * $first));
	$session->rows(q{CREATE TABLE plain_item (LIKE workflow.item INCLUDING ALL) WITH (fillfactor = 70)});
	$session->rows("INSERT INTO plain_item SELECT * FROM workflow.item WHERE item_id < 2 * $first");
	$session->rows(q{SELECT workflow.enforce('enforced', 'state', 'ring', 'id')});
	$session->rows('VACUUM ANALYZE');
	$session->rows('CHECKPOINT');
	# from here on no page is logged as a whole
	foreach my $side (grep { $_->{change} } @sides)
	{
		$session->rows(bulk($side, 1000, $_)) foreach 1 .. 2 * $rows / 1000;
	}
	return $session;
}

1;
