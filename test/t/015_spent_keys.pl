# Keys of jobs that have succeeded are forgotten by the maintenance worker when
# their window has passed, also after a crash.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "pg_workflow.workers = on");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('brief', 'tester', '1 hour', '{boss}', key_window => '20 ms');
	SELECT workflow.create_queue('long', 'tester', '1 hour', '{boss}', key_window => '1 hour')});
sql('SELECT workflow.start_workers()');

sub work
{
	my ($queue) = @_;
	sql(qq{
		SELECT workflow.enqueue('$queue', '1', key => 'k');
		SELECT workflow.complete(job_id, token) FROM workflow.claim('$queue', 'w', 1, '1 hour')});
}

work('long');
for my $round (1 .. 2)
{
	work('brief');
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM workflow.spent_key WHERE queue = 'brief'}),
		"a key is forgotten, time $round");
}
my $kept = sql(q{SELECT job_id FROM workflow.spent_key WHERE queue = 'long'});
$node->stop('immediate');
$node->start;
is(sql(q{SELECT workflow.enqueue('long', '2', key => 'k')}), $kept, 'a window outlives the server');
sql(q{UPDATE workflow.spent_key SET until = now()});
work('brief');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM workflow.spent_key}), 'what is over is forgotten after a crash');

done_testing();
