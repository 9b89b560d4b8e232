# A table of a user's that is held to a workflow goes into a dump and comes back
# with its log, whichever comes first; a standby that takes over, and one that
# was crashed, go on; a subscriber of logical replication applies without
# judging twice.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE keeper LOGIN');

my $definition = q{{
	"workflow": "order", "owner": "shop", "initial": "NEW", "states": {
		"NEW": {"on": {"pay": "PAID"}}, "PAID": {"on": {"ship": "SHIPPED"}},
		"SHIPPED": {"final": "done"}}}};
my $log_sql = q{SELECT string_agg(concat_ws(' ', t.key, t.event), ', ' ORDER BY t.row_seq) FROM workflow.transition AS t};
my $strays_sql = q{SELECT (SELECT count(*) FROM workflow.verify_table('shop.orders'))
	+ (SELECT count(*) FROM workflow.verify_table('"Long Box"'))};

sub fill
{
	my ($database, $role) = @_;

	$node->safe_psql(
		$database, qq{
		SET client_min_messages = warning;
		CREATE EXTENSION pg_workflow;
		SELECT workflow.grant_role('$role', 'designer');
		SELECT workflow.define(\$\$$definition\$\$);
		CREATE SCHEMA shop;
		CREATE TABLE shop.sold (junk int, id int, region int, status text DEFAULT 'NEW', PRIMARY KEY (id, region)) PARTITION BY LIST (region);
		ALTER TABLE shop.sold DROP COLUMN junk;
		CREATE TABLE shop.sold_1 PARTITION OF shop.sold FOR VALUES IN (1);
		CREATE TABLE shop.sold_2 PARTITION OF shop.sold FOR VALUES IN (2);
		CREATE TABLE "Long Box" (gone int, "Its Key" text PRIMARY KEY, "The State" text DEFAULT 'NEW');
		ALTER TABLE "Long Box" DROP COLUMN gone;
		SELECT workflow.enforce('shop.sold', 'status', 'order', 'id'), workflow.enforce('"Long Box"', 'The State', 'order', 'Its Key');
		ALTER TABLE shop.sold RENAME TO orders;
		ALTER TABLE shop.orders RENAME status TO "state of it";
		INSERT INTO shop.orders VALUES (1, 1), (2, 2);
		INSERT INTO "Long Box" VALUES ('a');
		UPDATE shop.orders SET "state of it" = 'PAID';
		UPDATE "Long Box" SET "The State" = 'PAID'},
		extra_params => [ '-U', $role ]);
	return;
}

# what must be so in a copy: all rows, judged as before, the log going on
sub judge
{
	my ($database, $what) = @_;
	my ($status, $out, $err);

	is($node->safe_psql($database, $log_sql),
		'1 insert, 2 insert, a insert, 1 pay, 2 pay, a pay', "$what: the log is there");
	is($node->safe_psql($database, $strays_sql), 0, "$what: rows and log agree");
	is($node->safe_psql($database, 'SELECT bool_and(works) FROM workflow.enforced'),
		't', "$what: the triggers work");
	foreach my $wrong (q{INSERT INTO shop.orders VALUES (3, 1, 'PAID')}, q{UPDATE shop.sold_1 SET "state of it" = 'NEW'},
		q{UPDATE shop.orders SET region = 3 - region, "state of it" = 'NEW'}, q{UPDATE "Long Box" SET "The State" = 'NEW'})
	{
		($status, $out, $err) = $node->psql($database, "\\set VERBOSITY sqlstate\n$wrong");
		like($err, qr/WF001/, "$what: refused: $wrong");
	}
	$node->safe_psql($database, q{
		UPDATE shop.orders SET "state of it" = 'SHIPPED', region = 3 - region WHERE id = 1;
		UPDATE "Long Box" SET "The State" = 'SHIPPED'});
	is( $node->safe_psql($database, q{
			SELECT string_agg(event, ' ' ORDER BY seq) FROM workflow.transitions_of('shop.orders', 1)}),
		'insert pay ship', "$what: the log goes on");
	is($node->safe_psql($database, q{
			SELECT string_agg(event, ' ' ORDER BY seq) FROM workflow.transitions_of('"Long Box"', 'a')}),
		'insert pay ship', "$what: that of the other table, too");
	return;
}

sub dump_to
{
	my ($file, @options) = @_;

	$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, '-h', $node->host, '-p', $node->port, @options ],
		"dump @options");
	return;
}

sub restore_to
{
	my ($database, $file, @options) = @_;

	$node->command_ok([ 'pg_restore', '-e', '-d', $database, '-h', $node->host, '-p', $node->port, @options, $file ],
		"restore @options");
	return;
}

my $dir = $node->basedir;

# a superuser's dump, and one of an owner of the database who is not
foreach my $role ($node->safe_psql('postgres', 'SELECT current_user'), 'keeper')
{
	$node->safe_psql('postgres', qq{CREATE DATABASE "of_$role" OWNER "$role"});
	$node->safe_psql("of_$role", 'GRANT ALL ON SCHEMA public TO PUBLIC');
	fill("of_$role", $role);
	dump_to("$dir/$role.dump", '-U', $role, "of_$role");
	$node->safe_psql('postgres', qq{CREATE DATABASE "copy_of_$role" OWNER "$role"});
	restore_to("copy_of_$role", "$dir/$role.dump", '-U', $role, '--no-owner', '--no-privileges');
	judge("copy_of_$role", "dump of $role");
}

my $super = $node->safe_psql('postgres', 'SELECT current_user');

# the data first of the user's tables, or first of the extension's
foreach my $order ([ 'early', qr/TABLE DATA (?:shop|public)/ ], [ 'late', qr/TABLE DATA workflow/ ])
{
	my ($name, $first) = @$order;
	my $list = "$dir/$name.list";
	my @lines = split /\n/, `pg_restore -l '$dir/$super.dump'`;
	my ($data) = grep { $lines[$_] =~ /TABLE DATA/ } 0 .. $#lines;
	my @data = grep { /TABLE DATA|SEQUENCE SET/ } @lines;

	@lines = grep { !/TABLE DATA|SEQUENCE SET/ } @lines;
	splice @lines, $data, 0, (sort { ($b =~ $first) <=> ($a =~ $first) } @data);
	append_to_file($list, join("\n", @lines) . "\n");
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	restore_to($name, "$dir/$super.dump", '-L', $list);
	judge($name, "data $name");
}

# data alone, into tables that are enforced already: triggers are off meanwhile
$node->safe_psql('postgres', 'CREATE DATABASE emptied');
restore_to('emptied', "$dir/$super.dump", '--schema-only');
restore_to('emptied', "$dir/$super.dump", '--data-only', '--disable-triggers');
judge('emptied', 'data alone');

# one table alone, into a database where its number is nothing, or another table's
dump_to("$dir/box.dump", '-t', '"Long Box"', "of_$super");
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', qq{CREATE EXTENSION pg_workflow; SELECT workflow.define(\$\$$definition\$\$);
	CREATE TABLE a (id int PRIMARY KEY, s text); CREATE TABLE b (id int PRIMARY KEY, s text);
	SELECT workflow.enforce('a', 's', 'order', 'id'), workflow.enforce('b', 's', 'order', 'id')});
restore_to('other', "$dir/box.dump");
my ($status, $out, $err) = $node->psql('other', q{UPDATE "Long Box" SET "The State" = 'SHIPPED'});
like($err, qr/not on record.*HINT:.*unenforce/s, 'a trigger without its record says what to do');
$node->safe_psql('other', q{SELECT workflow.unenforce('"Long Box"'); SELECT workflow.enforce('"Long Box"', 'The State', 'order', 'Its Key');
	UPDATE "Long Box" SET "The State" = 'SHIPPED'});
is($node->safe_psql('other', q{SELECT count(*) FROM workflow.enforced WHERE works}), 3, 'and then works beside the others');

# a citext is a state like another, compared letter by letter
SKIP:
{
	skip 'citext is not installed', 2
	  if $node->safe_psql('other', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'}) eq '0';
	$node->safe_psql('other', q{CREATE EXTENSION citext; CREATE TABLE c (id citext PRIMARY KEY, s citext DEFAULT 'NEW');
		SELECT workflow.enforce('c', 's', 'order', 'id'); INSERT INTO c VALUES ('K'); UPDATE c SET s = 'PAID' WHERE id = 'k'});
	is($node->safe_psql('other', q{SELECT string_agg(event, ' ' ORDER BY seq) FROM workflow.transitions_of('c', 'K')}),
		'insert pay', 'a citext is judged');
	($status, $out, $err) = $node->psql('other', q{UPDATE c SET s = 'shipped'});
	like($err, qr/from "PAID" to "shipped"/, 'letter by letter');
}

# a subscriber applies what was judged, in the role of a replica
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;
$node->safe_psql('of_keeper', q{CREATE PUBLICATION p FOR TABLE "Long Box"});
$subscriber->safe_psql('postgres', qq{CREATE EXTENSION pg_workflow; SELECT workflow.define(\$\$$definition\$\$);
	CREATE TABLE "Long Box" ("Its Key" text PRIMARY KEY, "The State" text);
	SELECT workflow.enforce('"Long Box"', 'The State', 'order', 'Its Key');
	CREATE SUBSCRIPTION s CONNECTION 'host=} . $node->host . ' port=' . $node->port . q{ dbname=of_keeper' PUBLICATION p});
$subscriber->poll_query_until('postgres', q{SELECT count(*) = 1 FROM "Long Box" WHERE "The State" = 'PAID'})
  or die 'the copy has not come';
$node->safe_psql('of_keeper', q{UPDATE "Long Box" SET "The State" = 'SHIPPED'});
$subscriber->poll_query_until('postgres', q{SELECT count(*) = 1 FROM "Long Box" WHERE "The State" = 'SHIPPED'})
  or die 'the change has not come';
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM workflow.transition'), 0, 'who applies logs nothing');
($status, $out, $err) = $subscriber->psql('postgres', q{UPDATE "Long Box" SET "The State" = 'NEW'});
like($err, qr/no transition leads/, 'whoever writes there himself is judged');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION s');

# eight clients change and move twenty rows: every entry begins where the one before ended
$node->safe_psql('other', q{
	SELECT workflow.define('{"workflow": "ring", "initial": "A", "states": {"A": {"on": {"go": "B", "end": "Z"}},
		"B": {"on": {"go": "C"}}, "C": {"on": {"go": "A"}}, "Z": {"final": "z"}}}');
	CREATE TABLE ring (id int, p int, s text DEFAULT 'A', PRIMARY KEY (id, p)) PARTITION BY LIST (p);
	CREATE TABLE ring_0 PARTITION OF ring FOR VALUES IN (0);
	CREATE TABLE ring_1 PARTITION OF ring FOR VALUES IN (1);
	SELECT workflow.enforce('ring', 's', 'ring', 'id');
	INSERT INTO ring SELECT i, 0 FROM generate_series(1, 20) AS i});
append_to_file("$dir/ring.sql", q{
\set id random(1, 20)
\set r random(0, 3)
BEGIN;
UPDATE ring SET s = CASE s WHEN 'A' THEN 'B' WHEN 'B' THEN 'C' ELSE 'A' END, p = CASE :r WHEN 0 THEN 1 - p ELSE p END WHERE id = :id;
SAVEPOINT x;
UPDATE ring SET s = CASE s WHEN 'A' THEN 'B' WHEN 'B' THEN 'C' ELSE 'A' END WHERE id = :id;
\if :r
ROLLBACK TO x;
\endif
END;
});
$node->command_ok([ 'pgbench', '-n', '-c', 8, '-t', 200, '--max-tries', 100, '-f', "$dir/ring.sql", '-h', $node->host, '-p', $node->port, 'other' ],
	'eight clients');
is( $node->safe_psql('other', q{
		SELECT count(*) > 1000, count(*) FILTER (WHERE from_state IS DISTINCT FROM was)
		FROM (SELECT t.*, lag(to_state) OVER (PARTITION BY key ORDER BY row_seq) AS was
			FROM workflow.transition AS t JOIN workflow.enforcement AS e USING (enforcement_id) WHERE e.relation = 'public.ring') AS t}),
	't|0', 'the log is in the order of the changes');
is($node->safe_psql('other', q{SELECT count(*) FROM workflow.verify_table('ring')}), 0, 'and ends where the rows are');

# what was committed is there after a crash, in the log as in the table; what was prepared, too
$node->safe_psql("of_$super", q{
	UPDATE shop.orders SET "state of it" = 'SHIPPED' WHERE id = 2;
	BEGIN; UPDATE shop.orders SET "state of it" = 'SHIPPED' WHERE id = 1; PREPARE TRANSACTION 'later'});
$node->stop('immediate');
$node->start;
$node->safe_psql("of_$super", q{COMMIT PREPARED 'later'});
is($node->safe_psql("of_$super", $log_sql),
	'1 insert, 2 insert, a insert, 1 pay, 2 pay, a pay, 2 ship, 1 ship', 'after a crash the log is whole');
is($node->safe_psql("of_$super", $strays_sql), 0, 'and agrees with the rows');

# a column that is computed when it is read is nothing that a trigger can see
SKIP:
{
	skip 'this server computes no columns when they are read', 1 if $node->pg_version < 18;
	my (undef, undef, $error) = $node->psql("of_$super", q{
		CREATE TABLE shown (id int PRIMARY KEY, at int, s text GENERATED ALWAYS AS (CASE WHEN at > 0 THEN 'PAID' ELSE 'NEW' END) VIRTUAL);
		SELECT workflow.enforce('shown', 's', 'order', 'id')});
	like($error, qr/column "s" of table "shown" is not stored/, 'a virtual column is refused');
}

done_testing();
