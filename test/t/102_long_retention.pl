# What is kept for years is kept, and health() says so.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "pg_workflow.effect_retention = '1825d'\npg_workflow.webhook_retention = '24855d'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

is( $node->safe_psql('postgres', q{SELECT ok, detail FROM workflow.health() WHERE "check" = 'retention'}),
	't|Nothing is kept for longer than was asked for.',
	'health() answers where effects are kept for five years, webhooks for as long as can be said');
$node->safe_psql('postgres', 'SELECT * FROM workflow._look_for_alerts()');
is($node->safe_psql('postgres', 'SELECT count(*) FROM workflow.alerts'), 0, 'nor is it an alert');

$node->stop;
done_testing();
