# Queues that are dropped: while claims wait, beside workers, prepared transactions
# and crashes of the server, and under load.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', "pg_workflow.workers = on\nmax_prepared_transactions = 5");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub make
{
	my ($name) = @_;
	return sql(qq{SELECT workflow.create_queue('$name', 'tester', '1 hour', '{boss}')});
}

# Jobs of a queue that have run, in its lane and in the table.
sub work
{
	my ($name) = @_;
	return sql(qq{
		SELECT workflow.enqueue('$name', to_jsonb(n)) FROM generate_series(1, 20) AS n;
		SELECT workflow.enqueue('$name', '"key"', key => 'k');
		SELECT workflow.complete(job_id, token) FROM workflow.claim('$name', 'w', 100)});
}

sub refused
{
	my ($query, $pattern, $name) = @_;
	my ($code, undef, $error) = $node->psql('postgres', $query);
	return ok($code != 0 && $error =~ $pattern, $name) || diag $error;
}

sub lives_on
{
	my ($name) = @_;
	is(sql('SELECT count(*) FROM workflow._wrong_figures()'), '0', "the figures are right $name");
	is(sql('SELECT count(*) >= 0 FROM workflow.jobs'), 't', "jobs can be listed $name");
	is(sql(q{SELECT count(*) FROM workflow.health() WHERE NOT ok AND "check" LIKE 'queue%'}), '0', "queues are well $name");
	return;
}

sql('CREATE EXTENSION pg_workflow');
make($_) foreach qw(mail other);
work('mail');

# who waits for jobs hears that there will be none
my ($out, $err) = ('', '');
my $claim = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
		q{SELECT workflow.claim('mail', 'w', 1, '1 hour', '30 seconds')} ],
	'>', \$out, '2>', \$err);
$node->poll_query_until('postgres',
	q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%30 seconds%' AND wait_event_type = 'Extension' AND pid <> pg_backend_pid()});
is(sql(q{SELECT workflow.drop_queue('mail')}), 't', 'a queue that somebody waits at is dropped');
$claim->finish;
like($err, qr/queue "mail" does not exist/, 'whoever waited hears of it');
lives_on('after that');

# after a crash at once it is gone, its attempts are not, and nothing of it comes back
$node->stop('immediate');
$node->start;
is(sql(q{SELECT count(*) FROM workflow.queues WHERE queue = 'mail'}), '0', 'it is gone after a crash');
is(sql(q{SELECT count(*) FROM workflow.attempts WHERE queue = 'mail'}), '21', 'its attempts are there');
is(sql(q{SELECT count(*) FROM workflow.jobs}), '0', 'and no job of it');
make('mail');
is(sql(q{SELECT count(*) FROM workflow.claim('mail', 'w', 100)}), '0', 'a new one of the name has nothing to claim');
work('mail');
lives_on('after a crash');

# one that was not committed
sql(q{SELECT workflow.enqueue('mail', '"lane"'), workflow.enqueue('mail', '"key"', key => 'k')});
my $in = "BEGIN; SELECT workflow.drop_queue('mail', discard => true);\n";
($out, $err) = ('', '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);
$session->pump until $out =~ /t\n/ || $err ne '';
is($err, '', 'a queue is dropped, and not committed');
$node->stop('immediate');
$in = '';
$session->finish;
$node->start;
is(sql(q{SELECT count(*) FROM workflow.claim('mail', 'w', 100, '1 hour')}), '2', 'after a crash all of its jobs are there');
sql(q{SELECT workflow.complete(job_id, token) FROM workflow.job});
lives_on('after a crash in between');

# prepared transactions: one that stores is waited for, one that drops is refused
make('other');
sql(q{BEGIN; SELECT workflow.enqueue('other', '1', key => 'k'); PREPARE TRANSACTION 'stores'});
refused(q{SELECT workflow.drop_queue('other')}, qr/queue "other" cannot be dropped now/, 'a prepared transaction has stored jobs');
sql(q{ROLLBACK PREPARED 'stores'});
work('other');
my $drop = q{SELECT workflow.drop_queue('other')};
foreach my $how ($drop, "SAVEPOINT one; $drop; RELEASE one", "SAVEPOINT one; $drop; ROLLBACK TO one; $drop; SAVEPOINT two; $drop; ROLLBACK TO two")
{
	refused(qq{BEGIN; $how; PREPARE TRANSACTION 'drops'}, qr/a transaction that has dropped a queue cannot be prepared/, 'a drop is not prepared');
}
sql(qq{BEGIN; SAVEPOINT one; $drop; ROLLBACK TO one; SELECT workflow.enqueue('other', '1'); PREPARE TRANSACTION 'stores'});
$node->stop('immediate');
$node->start;
sql(q{COMMIT PREPARED 'stores'});
is(sql(q{SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('other', 'w')}), '1', 'one that a savepoint has taken back is nothing');
sql(qq{$drop});
refused(q{SELECT workflow.enqueue('other', '1')}, qr/queue "other" does not exist/, 'a drop in a transaction of its own');
make('other');
is(sql(q{SELECT done_5m, failed_5m FROM workflow.queue_stats WHERE queue = 'other'}), '0|0', 'the new one begins with nothing');
lives_on('after prepared transactions');

# as many as one likes: pages of figures are used again
foreach my $n (1 .. 30)
{
	sql(qq{
		SELECT workflow.create_queue('brief-$n', 'tester', '1 hour', '{boss}');
		SELECT workflow.enqueue('brief-$n', '1'), workflow.enqueue('brief-$n', '2', key => 'k');
		SELECT workflow.complete(job_id, token) FROM workflow.claim('brief-$n', 'w', 10);
		SELECT workflow.drop_queue('brief-$n')});
}
is(sql(q{SELECT count(*) FROM workflow.queues WHERE queue LIKE 'brief%'}), '0', 'many brief queues');
lives_on('after many brief queues');

# more than there are pages of memory: what is empty makes room
$node->append_conf('postgresql.conf', "pg_workflow.queue_memory = 1\npg_workflow.workers = off");
$node->restart;
sql(q{
	CREATE PROCEDURE come_and_go(n int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. n LOOP
			PERFORM workflow.create_queue('brief-' || i, 'tester', '1 hour', '{boss}');
			PERFORM workflow.enqueue('brief-' || i, '1');
			COMMIT;
			PERFORM workflow.complete(job_id, token) FROM workflow.claim('brief-' || i, 'w');
			COMMIT;
			PERFORM workflow.drop_queue('brief-' || i);
			COMMIT;
		END LOOP;
	END $$});
sql('CALL come_and_go(400)');
sql(q{SELECT workflow.enqueue('mail', '"still"')});
is(sql(q{SELECT l.waiting FROM workflow.queue AS q, workflow._lane_load(q.queue_no) AS l WHERE q.queue = 'mail'}),
	'1', 'there is memory for jobs after four hundred queues');
is(sql(q{SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('mail', 'w')}), '1', 'which are claimed');
lives_on('after four hundred queues');
$node->append_conf('postgresql.conf', "pg_workflow.queue_memory = 32\npg_workflow.workers = on");
$node->restart;

# under load: whoever is told that his job is stored finds it
make('busy');
sql('CREATE TABLE stored (job_id bigint, queue text)');
my $script = $node->basedir . '/busy.sql';
append_to_file($script, <<'EOT');
\set kind random(1, 4)
DO $$ BEGIN
	IF random() < 0.5 THEN INSERT INTO stored SELECT workflow.enqueue('busy', '1'), 'busy';
	ELSE INSERT INTO stored SELECT workflow.enqueue('busy', '1', priority => 1), 'busy'; END IF;
EXCEPTION WHEN SQLSTATE 'WF012' OR serialization_failure THEN NULL; END $$;
SELECT workflow.complete(job_id, token) FROM workflow.claim('other', 'w');
EOT
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '4', '-T', '8', '-f', $script, $node->connstr('postgres') ],
	'>', \$out, '2>', \$err);
my $dropped = 0;
while ($load->pumpable && $dropped < 20)
{
	my ($code, $answer) = $node->psql('postgres', q{SELECT workflow.drop_queue('busy', discard => true)});
	next unless $code == 0;
	$dropped++;
	make('busy');
}
$load->finish;
cmp_ok($dropped, '>', 2, "a queue is dropped under load ($dropped times)");
is( sql(q{
		SELECT count(*) FROM stored AS s
		WHERE NOT EXISTS (SELECT FROM workflow.jobs AS j WHERE j.job_id = s.job_id AND j.status IN ('ready', 'delayed'))
		  AND NOT EXISTS (SELECT FROM workflow.attempts AS a WHERE a.job_id = s.job_id)}),
	'0', 'each job that was stored waits, or was cancelled on record');
is(sql(q{SELECT count(*) FROM workflow.job AS j WHERE NOT EXISTS (SELECT FROM workflow.queue AS q WHERE q.queue = j.queue)}),
	'0', 'none is in a queue that is gone');
is(sql(q{SELECT count(*) FROM workflow._lane_jobs() AS l WHERE NOT EXISTS (SELECT FROM workflow.queue AS q WHERE q.queue_no = l.queue_no)}),
	'0', 'nor in the lane of one');
lives_on('after load');

done_testing();
