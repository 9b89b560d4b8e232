# What has been charged to rate limits, of a queue and of a tenant, is still
# charged after a crash; so is whose turn is next.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('rated', 'tester', '1 hour', '{boss}', rate_limit => '{"count": 10, "per": "1 day"}');
	SELECT workflow.create_queue('fair', 'tester', '1 hour', '{boss}', fair => true,
		rate_limit => '{"count": 10, "per": "1 day", "per_tenant": true}');
	SELECT workflow.enqueue('rated', '1', units => 6), workflow.enqueue('rated', '2', units => 6);
	SELECT workflow.enqueue('fair', to_jsonb(t || n), tenant => t, units => 6)
	FROM unnest('{ann,bob,cat}'::text[]) AS t, generate_series(1, 2) AS n});

sub claim
{
	my ($queue, $batch) = @_;
	return sql("SELECT string_agg(payload #>> '{}', ' ') FROM workflow.claim('$queue', 'w', $batch, '1 hour')");
}

is(claim('rated', 10), '1', 'what fits into the limit of a queue');
is(claim('fair', 2), 'ann1 bob1', 'whose turn it is');
$node->stop('immediate');
$node->start;
is(claim('rated', 10), '', 'the limit of the queue is spent after a crash');
is(claim('fair', 10), 'cat1', 'who is next is next, and the limits of the others are spent');

done_testing();
