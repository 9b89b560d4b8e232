# A dump that was restored past the triggers, in a server whose roles have other oids:
# adopt_cluster() finds by their names who submitted, decided and changed what.  In a
# copy within one server a role that was given another name is still meant.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub server
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
	$node->start;
	return $node;
}

sub as
{
	my ($node, $db, $role, $call) = @_;
	my ($status, $out, $err) = $node->psql($db, "SET ROLE $role; $call");
	return $err =~ /ERROR:\s+(.*)/ ? $1 : $out;
}

my $main = server('main');
$main->safe_psql('postgres', 'CREATE ROLE ann; CREATE ROLE bob; CREATE ROLE carl; CREATE DATABASE shop');
sub sql { return $main->safe_psql('shop', $_[0]) }
sql(q{
	CREATE EXTENSION pg_workflow;
	CREATE SERVER mail FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://mail.invalid', dedup 'key');
	GRANT USAGE ON FOREIGN SERVER mail TO ann, bob, carl;
	SELECT workflow.grant_role(r, k) FROM unnest('{ann,bob,carl}'::text[]) AS r, unnest('{submitter,reviewer,operator}'::text[]) AS k;
	SELECT workflow.define('{"workflow": "claim", "owner": "me", "key": ["$.id"], "initial": "ASK",
	  "queues": {"desk": {"owner": "me", "sla": "1 day", "escalate_to": ["you"]}},
	  "states": {"ASK": {"review": {"queue": "desk", "decisions": ["approve", "again"], "four_eyes": true, "approvals": 2},
	                     "on": {"approve": "PAID", "again": "ASK"}},
	             "PAID": {"final": "paid"}}}');
	SET ROLE ann;
	SELECT workflow.submit('claim', '{"id": 1}'), workflow.submit('claim', '{"id": 2}');
	SELECT workflow.call('mail', 'POST', '/to', '{}', 'hello');
	SELECT workflow.alert_to('me', 'mail', '/alerts');
	SET ROLE carl;
	SELECT workflow.alert_to('you', 'mail', '/alerts/you');
	SELECT workflow.submit('claim', '{"id": 3}'), workflow.submit('claim', '{"id": 4}');
	SELECT workflow.decide(id, 'again') FROM workflow.review_inbox WHERE key = '1';
	SELECT workflow.patch('claim:2', '{"sum": 5}', 'forgotten');
	SET ROLE bob;
	SELECT workflow.decide(id, 'approve') FROM workflow.review_inbox WHERE key IN ('1', '4')});
my $file = PostgreSQL::Test::Utils::tempdir() . '/shop.dump';
$main->command_ok([ 'pg_dump', '-Fc', '-f', $file, $main->connstr('shop') ], 'a dump');

# --------------------------------------------------------- another server
my $other = server('other');
$other->safe_psql('postgres', 'CREATE ROLE bob; CREATE ROLE dora; CREATE ROLE ann; CREATE DATABASE shop');
is($other->safe_psql('postgres', q{SELECT string_agg(rolname, ' ' ORDER BY oid) FROM pg_roles WHERE rolname IN ('ann', 'bob', 'carl', 'dora')}),
	'bob dora ann', 'roles have other oids, and one is missing');
my @restore = ('pg_restore', '-d', $other->connstr('shop'), '--no-owner');
$other->command_ok([ @restore, '--no-privileges', '--schema-only', $file ], 'the schema');
$other->command_ok([ @restore, '--data-only', '--disable-triggers', '--superuser=' . $other->safe_psql('postgres', 'SELECT current_user'), $file ], 'the data, past the triggers');
sub there { return $other->safe_psql('shop', $_[0]) }
there(q{SELECT workflow.grant_role(r, k) FROM unnest('{ann,bob,dora}'::text[]) AS r, unnest('{reviewer,operator}'::text[]) AS k;
	GRANT USAGE ON FOREIGN SERVER mail TO ann, bob, dora});
sub decide
{
	my ($role, $key) = @_;
	my $said = as($other, 'shop', $role, "BEGIN; SELECT state FROM workflow.decide((SELECT max(id) FROM workflow.review_inbox WHERE key = '$key'), 'approve'); ROLLBACK");
	return $said =~ /may not decide/ ? 'may not' : $said;
}
sub who
{
	return there(q{SELECT string_agg(concat_ws(' ', w.what, w.name, coalesce(r.rolname, w.role::text, 'nobody')), ', ' ORDER BY w.what COLLATE "C", w.name, r.rolname)
		FROM (SELECT 'item' AS what, submitted_by AS name, submitted_oid AS role FROM workflow.item
		      UNION SELECT 'effect', submitted_by, submitted_oid FROM workflow.effect
		      UNION SELECT 'vote', voter, voter_oid FROM workflow.review_vote
		      UNION SELECT 'review', decided_by, decided_oid FROM workflow.review WHERE decided_by IS NOT NULL
		      UNION SELECT 'author', author, author_oid FROM workflow.item_author
		      UNION SELECT 'route', created_by, created_oid FROM workflow.alert_route) AS w LEFT JOIN pg_roles AS r ON r.oid = w.role});
}
isnt(who(), '', 'who did what');
unlike(who(), qr/item ann ann/, 'before it is adopted others are meant');
like(there(q{SELECT workflow.adopt_cluster('resume', 'moved')}), qr/^\d+$/, 'it is adopted');
is(who(), 'author carl nobody, effect ann ann, item ann ann, item carl nobody, review carl nobody, route ann ann, route carl nobody, vote bob bob, vote carl nobody', 'then those of these names are');
my $routes = q{FROM workflow.health() WHERE "check" = 'alert_routes' AND NOT ok};
is(there("SELECT detail $routes"), 'alerts of you are not sent: the role "carl" that called alert_to() is gone.', 'a route of nobody is told of');
like(there("SELECT hint $routes"), qr/^SELECT workflow\.alert_to\('you', 'mail', '\/alerts\/you'\);  -- as a role/, 'with what gives it to somebody');
is(there("BEGIN; SELECT hint $routes \\gexec\nSELECT count(*) $routes; ROLLBACK") =~ s/\n//gr, '0', 'that can be run');
is(decide('ann', 1), 'may not', 'who submitted may not decide');
is(decide('bob', 1), 'may not', 'nor who has voted');
is(decide('dora', 1), 'PAID', 'somebody else may');
is(decide('bob', 3), 'ASK', 'who is nobody here is in nobody\'s way');
there('CREATE ROLE carl'); there(q{SELECT workflow.grant_role('carl', 'reviewer')});
is(decide('carl', 3) . ', ' . decide('carl', 2), 'may not, may not', 'he is himself when he comes');
is(as($other, 'shop', 'ann', 'SELECT key FROM workflow.own_effects'), 'hello', 'an effect is whose it was');
is(as($other, 'shop', 'bob', 'SELECT count(*) FROM workflow.own_effects'), '0', 'and nobody else\'s');
is(there(q{SELECT count(*) FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok}), '0', 'all items are sound');
is(there(q{SELECT string_agg(action || ' ' || reason, ', ') FROM workflow.journal WHERE action = 'bind_roles'}), 'bind_roles moved', 'it is on record');

# --------------------------------------------------- a copy in the same server
$main->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE shop');
$main->safe_psql('postgres', 'ALTER ROLE ann RENAME TO anna; CREATE ROLE ann');
$main->safe_psql('copy', q{SELECT workflow.adopt_cluster('resume', 'a copy'); SELECT workflow.grant_role('ann', 'reviewer')});
is(as($main, 'copy', 'anna', q{SELECT workflow.decide((SELECT max(id) FROM workflow.review_inbox WHERE key = '1'), 'approve')}) =~ s/ review \d+//r,
	'role "anna" may not decide', 'a role of another name is still meant');
is($main->safe_psql('copy', q{SELECT count(*) FROM workflow.journal WHERE action = 'bind_roles'}), '0', 'nothing was bound anew');

$_->stop foreach $main, $other;
done_testing();
