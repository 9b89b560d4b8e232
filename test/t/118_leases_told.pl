# While jobs are claimed with leases, the maintenance worker sleeps most of the time:
# a lease that is committed while it is awake does not make it look once more.  And
# none is missed, whenever it was given.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("fsync = off\nautovacuum = off");
sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q{
	SELECT workflow.create_queue(q, 'ann', '1 hour', '{lead}') FROM unnest('{left,q0,q1,q2,q3}'::text[]) AS q;
	SELECT workflow.enqueue('left', '{}', key => n::text) FROM generate_series(1, 6) AS n;
});
# each client has a queue, so that it always finds its job
my $directory = PostgreSQL::Test::Utils::tempdir();
append_to_file("$directory/work.sql", <<'END_OF_WORK');
SELECT workflow.enqueue('q' || :client_id, '{}', group_key => 'g');
SELECT job_id, token FROM workflow.claim('q' || :client_id, 'w', 1, '1 minute') \gset
SELECT workflow.complete(:job_id, :token);
END_OF_WORK

sub pgbench
{
	my ($seconds) = @_;
	return ('pgbench', '-n', '-M', 'prepared', '-c', 4, '-T', $seconds, '-f', "$directory/work.sql", $node->connstr('postgres'));
}

# a lease that nobody ends, in the quiet and among others
sub leave_one
{
	my ($when) = @_;
	my $lost = q{FROM workflow.attempts WHERE queue = 'left' AND message LIKE 'the lease ended%'};
	my $before = sql("SELECT count(*) $lost");

	sql(q{SELECT job_id FROM workflow.claim('left', 'w', 1, '1500 ms')});
	wait_for("count(*) > $before $lost", "a lease ends that was given $when");
	return;
}

# only the rounds of the maintenance worker read this table
my $looks = q{SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_all_tables WHERE schemaname = 'workflow' AND relname = 'redrive'};

leave_one("in the quiet ($_)") for 1 .. 3;

my $before = sql($looks);
$node->command_ok([ pgbench(10) ], 'jobs are done for ten seconds');
my $n = sql(q{SELECT count(*) FROM workflow.attempts WHERE queue ~ '^q\d$'});
cmp_ok($n, '>', 100, 'with many leases');
# each second or so there is a reason to look, as figures and alerts are kept up
my $looked = sql($looks) - $before;
cmp_ok($looked, '<', 150, 'for which hardly anything is looked at');
note("$looked looks for $n leases");

my ($stdin, $stdout, $stderr) = ('', '', '');
my $load = IPC::Run::start([ pgbench(15) ], \$stdin, \$stdout, \$stderr);
leave_one("while others are ($_)") for 1 .. 3;
$load->finish;

$node->stop;
done_testing();
