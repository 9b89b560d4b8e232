# The extension installs without a superuser, without preload and without a
# restart; it is closed to everybody; and it goes without CASCADE.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', "CREATE ROLE $_ LOGIN")
  foreach qw(owner visitor clerk);
$node->safe_psql('postgres', 'CREATE DATABASE shop OWNER owner');

# Runs a statement as a role; returns its output, or its error.
sub as
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) =
	  $node->psql('shop', $sql, extra_params => [ '-U', $role ]);

	return $status == 0 ? $out : $err;
}

is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'),
	'', 'nothing is preloaded');
is(as('owner', 'CREATE EXTENSION pg_workflow'),
	'', 'the owner of a database installs it');

like(
	as('visitor', 'SELECT * FROM workflow.effects'),
	qr/permission denied/,
	'PUBLIC cannot read');
like(
	as('visitor', q{SELECT workflow.grant_role('visitor', 'operator')}),
	qr/permission denied/,
	'nor grant');
like(
	as('owner', 'CREATE TABLE workflow.planted ()'),
	qr/permission denied/,
	'nothing can be planted in the schema, not even by the owner');

# The README's first step of such an owner.
my ($first_step) = slurp_file('README.md') =~ /^(SELECT workflow\.grant_role\(current_user.*?;)$/m;
my $define = q{SELECT version FROM workflow.define('{"workflow": "w", "initial": "A", "states": {"A": {"final": "x"}}}')};
like(as('owner', $define), qr/permission denied for function define/, 'he may not define at once');
unlike(as('owner', $first_step), qr/ERROR/, 'grants himself what he needs');
is(as('owner', $define), '1', 'and may then');
is(as('owner', q{SELECT workflow.grant_role('clerk', 'monitor')}),
	'', 'the owner hands out a kind of role');
is(as('clerk', 'SELECT count(*) FROM workflow.effects'),
	'0', 'which may read');
like(
	as('clerk', 'SELECT * FROM workflow.effect'),
	qr/permission denied/,
	'the views, not the tables');
like(
	as('owner', q{SELECT workflow.grant_role('clerk', 'king')}),
	qr/unknown kind of role "king".*designer, monitor, operator/s,
	'an unknown kind is refused, with the list');
like(
	as('owner', q{SELECT workflow.grant_role('ghost', 'monitor')}),
	qr/role "ghost" does not exist/,
	'so is an unknown role');

is(as('owner', 'DROP EXTENSION pg_workflow'),
	'', 'it is dropped without CASCADE');
is(as('owner', 'CREATE EXTENSION pg_workflow'), '', 'and comes again');

$node->safe_psql('postgres', 'CREATE DATABASE taken');
$node->safe_psql('taken',
	'CREATE SCHEMA workflow CREATE TABLE workflow.mine ()');
my ($status, $out, $err) =
  $node->psql('taken', 'CREATE EXTENSION pg_workflow');
like(
	$err,
	qr/schema "workflow" is not empty/,
	'a schema in use is not taken over');

$node->stop;
done_testing();
