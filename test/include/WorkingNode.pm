# A server with background workers and the extension, for TAP tests.
#
#   my $node = start_working_node();
#   wait_for("count(*) = 2 FROM workflow.items", 'both are there');

package WorkingNode;

use strict;
use warnings FATAL => 'all';
use Exporter qw(import);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(start_working_node wait_for);

my $node;

sub start_working_node
{
	my ($conf) = @_;
	$node = PostgreSQL::Test::Cluster->new('main');
	$node->init;
	$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
	$node->append_conf('postgresql.conf', "pg_workflow.workers = on\n" . ($conf // ''));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');
	return $node;
}

# Until a condition holds; if it never does, says what was under way.
sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name)
	  or diag($node->safe_psql('postgres',
			'SELECT effect_id, key, state, attempts, reason FROM workflow.effects; TABLE workflow.job; TABLE workflow.workers'
	  ));
	return;
}

1;
