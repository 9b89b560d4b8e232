# Ids of jobs and attempts come out of a reserve in shared memory: they are nextval's all
# the same.  They ascend over all sessions and all ways of drawing them, none is given
# twice, and what is done to the sequence by hand, by a crash, a copy, a failover or a
# new installation is heeded.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->start;
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

my $queue = q{SELECT workflow.create_queue('work', 'tester', '1 hour', '{boss}')};
sql("CREATE EXTENSION pg_workflow; $queue; CREATE TABLE drawn (n bigint)");

# Each stores jobs, or draws ids, and says which.
my %way = (
	lane     => q{SELECT workflow.enqueue('work', '1')},
	table    => q{SELECT workflow.enqueue('work', '1', key => gen_random_uuid()::text)},
	batch    => q{SELECT unnest(workflow.enqueue_many('work', array_fill('1'::jsonb, ARRAY[7])))},
	urgent   => q{SELECT unnest(workflow.enqueue_many('work', array_fill('1'::jsonb, ARRAY[3]), priorities => ARRAY[-1]))},
	by_hand  => q{SELECT nextval('workflow.job_job_id_seq')},
	undone   => q{BEGIN; SELECT workflow.enqueue('work', '1'); ROLLBACK},
);

# Draws so much, each in its own transaction, that a reserve is left.
sub be_busy
{
	my ($session) = @_;
	$session->query_safe('DO $$ BEGIN FOR i IN 1 .. 200 LOOP PERFORM workflow.enqueue(\'work\', \'1\'); COMMIT; END LOOP; END $$');
	return;
}

my $newest = 'SELECT max(job_id) FROM workflow.jobs';

sub reserved { return sql(q{SELECT (SELECT last_value FROM workflow.job_job_id_seq) - max(job_id) FROM workflow.jobs}) }

my @sessions = map { $node->background_psql('postgres') } 1 .. 3;
is(join(' ', map { $sessions[ $_ % 2 ]->query_safe(($_ == 4 ? $way{table} : $way{lane}) . ';') } 1 .. 6), '1 2 3 4 5 6',
	'a quiet one has not, and no gaps');
be_busy($sessions[0]);
cmp_ok(reserved(), '>', 0, 'a busy queue has ids in reserve');

# ------------------------------------------------------------ one order of all
my @ids;
foreach my $round (1 .. 12)
{
	be_busy($sessions[ $round % 3 ]) if $round % 4 == 0;
	foreach my $way (sort keys %way)
	{
		foreach my $session (@sessions[ $round % 2, 2 ])
		{
			push @ids, split ' ', $session->query_safe("$way{$_};") foreach $way, 'lane';
		}
	}
}
my @wrong = grep { $ids[$_] <= $ids[ $_ - 1 ] } 1 .. $#ids;
is("@wrong", '', scalar(@ids) . ' ids of three sessions ascend, whatever way they were drawn');

# At the same time: still none twice.
$node->pgbench(
	'-n -c 6 -j 2 -t 200',
	0, [qr{processed: 1200/1200}], [qr/^$/],
	'six sessions draw at the same time',
	{   '107_ids' => q{
			INSERT INTO drawn (n) SELECT workflow.enqueue('work', '1');
			INSERT INTO drawn (n) SELECT workflow.enqueue('work', '1', key => gen_random_uuid()::text);
			INSERT INTO drawn (n) SELECT unnest(workflow.enqueue_many('work', array_fill('1'::jsonb, ARRAY[5])));
			INSERT INTO drawn (n) SELECT nextval('workflow.job_job_id_seq');
			INSERT INTO drawn (n) SELECT workflow.enqueue('work', '1')} });
is(sql('SELECT count(*) - count(DISTINCT n) FROM drawn'), '0', 'no id was given twice');
is(sql('SELECT count(*) FROM drawn'), 6 * 200 * 9, 'all were noted');

# Of attempts, too: those that succeed in lanes and those that are written by the table's way.
$sessions[0]->query_safe(q{
	DO $$
	DECLARE j record;
	BEGIN
		FOR i IN 1 .. 120 LOOP
			SELECT * INTO j FROM workflow.claim('work', 'w');
			IF i % 10 = 0 THEN PERFORM workflow.fail(j.job_id, j.token, 'permanent', i::text);
			ELSE PERFORM workflow.complete(j.job_id, j.token, output => to_jsonb(i)); END IF;
			COMMIT;
		END LOOP;
	END $$});
is(sql(q{SELECT count(*), count(DISTINCT attempt_id), bool_and(is_next) FROM (
		SELECT attempt_id, coalesce(message, detail::text)::int >
			coalesce(lag(coalesce(message, detail::text)::int) OVER (ORDER BY attempt_id), 0) AS is_next
		FROM workflow.attempt) AS a}), '120|120|t', 'attempts have theirs in the order of their ends');

# ------------------------------------------------------------ by hand
be_busy($sessions[0]);
sql(q{SELECT setval('workflow.job_job_id_seq', 1000000)});
is($sessions[1]->query_safe("$way{lane};"), '1000001', 'setval() is heeded');
be_busy($sessions[1]);
my $last = $sessions[1]->query_safe("$way{lane};");
is($sessions[1]->query_safe("BEGIN; ALTER SEQUENCE workflow.job_job_id_seq RESTART WITH 5000000; $way{lane};"),
	'5000000', 'who begins the sequence anew sees it');
my $meanwhile = $sessions[0]->query_safe("$way{lane};");
$sessions[1]->query_safe("$way{lane}; ROLLBACK;");
my $after = $sessions[1]->query_safe("$way{lane};");
ok($last < $meanwhile && $meanwhile < $after && $after < 5000000, 'nobody else does, and nobody after it is rolled back');
sql('ALTER SEQUENCE workflow.job_job_id_seq RESTART WITH 2000000');
is($_->query_safe("$way{lane};") >= 2000000, 1, 'once it is committed everybody does') foreach @sessions;

be_busy($sessions[1]);
is($sessions[0]->query_safe(q{SELECT setval('workflow.job_job_id_seq', last_value) + 1 FROM workflow.job_job_id_seq;}),
	$sessions[1]->query_safe("$way{lane};"), 'setval() is heeded where it says what was said before');
be_busy($sessions[1]);
my $from = sql($newest);
cmp_ok(reserved(), '>', 0, 'there is a reserve');
$sessions[0]->query_safe(qq{
	DO \$\$
	DECLARE was bigint := last_value FROM workflow.job_job_id_seq;
	BEGIN
		PERFORM setval('workflow.job_job_id_seq', $from);
		WHILE nextval('workflow.job_job_id_seq') < was LOOP END LOOP;
	END \$\$;});
my $by_hand = sql('SELECT last_value FROM workflow.job_job_id_seq');
is($sessions[1]->query_safe("$way{lane};"), $by_hand + 1, 'and where it has come there again by hand');

my ($status, undef, $error) = $node->psql('postgres', "BEGIN READ ONLY; $way{lane}");
like($error, qr/cannot execute workflow.enqueue\(\) in a read-only transaction/, 'nothing is drawn where nothing may be written');

# ------------------------------------------------------------ copies
be_busy($sessions[0]);
$_->quit foreach @sessions;
ok($node->poll_query_until('template1', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'postgres'}), 'nobody is connected');
sql('CREATE DATABASE copy TEMPLATE postgres', 'template1');
foreach my $database (qw(copy postgres))
{
	$last = sql($newest, $database);
	cmp_ok(sql($way{lane}, $database), '>', $last, "database $database goes on");
}

# ------------------------------------------------------------ crashes and failovers
$node->backup('before');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'before', has_streaming => 1);
$standby->start;
my $session = $node->background_psql('postgres');
be_busy($session);
$last = sql($newest);
$node->wait_for_catchup($standby);
$standby->promote;
cmp_ok($standby->safe_psql('postgres', $way{lane}), '>', $last, 'whoever takes over goes on behind what there was');
$standby->stop;

be_busy($session);
$session->query_safe("$way{lane};") if reserved() == 0;    # a block was just used up
cmp_ok(reserved(), '>', 0, 'there is a reserve');
$last = sql($newest);
$session->quit;
$node->stop('immediate');
$node->start;
cmp_ok(sql($way{lane}), '>', $last, 'so does the server after a crash');

# ------------------------------------------------------------ a new installation
sql("DROP EXTENSION pg_workflow CASCADE; CREATE EXTENSION pg_workflow; $queue; $way{lane}");
is(sql($way{lane}) - sql('SELECT min(job_id) FROM workflow.jobs'), 1, 'an extension that is created anew counts anew');
is(sql('SELECT min(job_id) FROM workflow.jobs'), '1', 'from one');

$node->stop;
done_testing();
