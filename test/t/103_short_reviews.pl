# A review that is due long before anything else is told of in time, though a look for
# alerts is planned, and what comes meanwhile would be seen early enough by its queue's SLA; and
# so is that one is escalated.

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
$node->append_conf('postgresql.conf', "pg_workflow.workers = on\nmax_prepared_transactions = 2");
$node->start;
sub query { return $node->safe_psql('postgres', $_[0]) }
my %review = (slow => '10 hours', quick => '10 seconds');

query('CREATE EXTENSION pg_workflow');
foreach my $name (sort keys %review)
{
	query(qq(SELECT workflow.define('{"workflow": "$name", "owner": "me", "key": ["\$.id"], "initial": "ASK",
		"queues": {"desk": {"owner": "clerks", "sla": "1 day", "escalate_to": ["lead"]}},
		"states": {"ASK": {"review": {"queue": "desk", "decisions": ["yes", "late"], "sla": "$review{$name}", "on_overdue": "late"},
		                   "on": {"yes": "DONE", "late": "DONE"}}, "DONE": {"final": "success"}}}')));
}

# a look has found the first one, and the next is planned for when that is nearly due
query(q(SELECT workflow.submit('slow', '{"id": 1}')));
query('CREATE DATABASE watcher');
sub commits { return $node->safe_psql('watcher', q{SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'}) }
my $before = '';
for (1 .. 60)
{
	last if $before eq commits();
	$before = commits();
	$node->safe_psql('watcher', 'SELECT pg_sleep(4)');
}
query(q(SELECT workflow.submit('quick', '{"id": 1}')));
ok($node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM workflow.alerts WHERE kind = 'review_warning')),
	'a warning of the one that is due in seconds');
ok($node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM workflow.alerts WHERE kind = 'review_warning' AND cleared_at IS NOT NULL)),
	'which is over when the review is');

# the same of one that a prepared transaction has brought, which is committed by whoever it is
query(q(BEGIN; SELECT workflow.submit('quick', '{"id": 2}'); PREPARE TRANSACTION 'p'));
query(q(COMMIT PREPARED 'p'));
ok($node->poll_query_until('postgres', q(SELECT count(*) = 2 FROM workflow.alerts WHERE kind = 'review_warning')),
	'a warning of one that was prepared');

# an escalation is told when it happens, not with the next look at what is open, four seconds later
query(q(SELECT workflow.define('{"workflow": "steep", "owner": "me", "key": ["$.id"], "initial": "ASK",
	"queues": {"steps": {"owner": "clerks", "sla": "6 seconds", "escalate_to": ["lead", "director"]}},
	"states": {"ASK": {"review": {"queue": "steps", "decisions": ["yes"]}, "on": {"yes": "DONE"}}, "DONE": {"final": "success"}}}')));
query(q(SELECT workflow.submit('steep', '{"id": 1}')));
ok($node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM workflow.alerts WHERE kind = 'review_escalated' AND owner = 'director')),
	'a review goes up its chain, and so does its alert');
is(query(q(SELECT a.last_seen_at - j.at < '2.5 seconds' FROM workflow.alerts AS a, workflow.journal AS j
	WHERE a.kind = 'review_escalated' AND j.action = 'escalate' AND j.detail ->> 'step' = '2')), 't', 'at once');

$node->stop;
done_testing();
