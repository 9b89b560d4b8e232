# A queue with max_length costs as much with a hundred thousand jobs as with
# none, holds no more than it may however many store at once, and counts what the
# caller's own transaction does.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub create { return sql("SELECT workflow.create_queue('$_[0]', 'tester', '1 hour', '{boss}', max_length => $_[1])") }
sub ready { return sql("SELECT count(*) FROM workflow.job WHERE queue = '$_[0]' AND status = 'ready'") }
sql('CREATE EXTENSION pg_workflow');
create('far', 1_000_000);
create('full', 100_000);
create('raced', 1000);
create('own', 10);

my $count = q{SELECT 'pages ' || heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
	FROM pg_statio_all_tables WHERE relid = 'workflow.job'::regclass};
my $flush = 'SELECT pg_stat_force_next_flush()';

# Pages for each of ten statements, after the first.
sub pages
{
	my ($statement) = @_;
	my ($before, $after) = sql(join ";\n", $statement, $flush, $count, ($statement) x 10, $flush, $count) =~ /^pages (\d+)$/mg;
	return ($after - $before) / 10;
}
my $enqueue = q{SELECT workflow.enqueue('far', '1')};
my $none    = pages($enqueue);
sql("SELECT count(workflow.enqueue_many('$_', array_fill('1'::jsonb, '{100000}')))") foreach qw(far full);
sql('VACUUM ANALYZE workflow.job');
my $many = pages($enqueue);
note("$many pages to store a job beside a hundred thousand, $none beside none");
cmp_ok($many, '<=', 2 * $none, 'a long queue costs no more than a short one');
my $refused = pages(q{DO $$BEGIN PERFORM workflow.enqueue('full', '1'); EXCEPTION WHEN SQLSTATE 'WF009' THEN NULL; END$$});
note("$refused pages to be refused by a full queue");
cmp_ok($refused, '<=', $none, 'nor does one that is full');
is(ready('full'), '100000', 'which holds what it may');

# Many at once.
$node->pgbench(
	'-n -c 8 -j 2 -t 200', 0, [qr/processed: 1600\/1600/], [],
	'those who store at once share the room',
	{ raced => q{DO $$BEGIN PERFORM workflow.enqueue('raced', '1'); EXCEPTION WHEN SQLSTATE 'WF009' THEN NULL; END$$} });
is(ready('raced'), '1000', 'and fill it to the last place');

# One transaction: what it stores, rolls back, claims and prepares.
sub stores { return "SELECT count(workflow.enqueue('own', to_jsonb(n), run_at => now() + n * interval '1 minute')) FROM generate_series(1, $_[0]) AS n" }
sub is_refused
{
	my ($name, @statements) = @_;
	my ($code, $out, $error) = $node->psql('postgres', join ";\n", 'BEGIN', @statements, 'COMMIT');
	return like($error, qr/queue "own" is full.*holds 10 and 1 more/s, $name);
}
is_refused('own jobs take room', stores(10), stores(1));
is(ready('own'), 0, 'all or nothing');
sql(join ";\n", 'BEGIN', stores(4), 'SAVEPOINT s', stores(6), 'ROLLBACK TO s', stores(6), 'COMMIT');
is(ready('own'), 10, 'a savepoint that is rolled back gives its room back');
is_refused('a full queue is full for the next', stores(1));
sql(q{SET session_replication_role = replica; DELETE FROM workflow.job WHERE queue = 'own' AND payload = '5'});
sql(stores(1));
is_refused('there is room for one where one was deleted past all triggers', stores(1));
sql(join ";\n", 'BEGIN', q{SELECT workflow.cancel_jobs(array_agg(job_id)) FROM workflow.job WHERE queue = 'own'},
	stores(10), q{PREPARE TRANSACTION 'p'});
sql(q{COMMIT PREPARED 'p'});
is(ready('own'), 10, 'cancelled jobs give their room to the same transaction');
is_refused('a prepared transaction has filled the queue', stores(1));
$node->stop('immediate');
$node->start;
is_refused('so it is after a crash', stores(1));
is(sql('SELECT * FROM workflow._wrong_figures()'), '', 'the figures are right');

done_testing();
