# The end of a pause of a queue with more reviews than go on at once: a worker comes
# to the others, passes by those that somebody holds, and goes on with them later; what
# is left when the server ends is not lost.  And whom an escalation reaches is told.

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
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->start;
sub query { return $node->safe_psql('postgres', $_[0]) }
sub wait_for { return ok($node->poll_query_until('postgres', $_[0]), $_[1]) }
my $stand = 'SELECT count(*) FROM workflow.review_inbox WHERE stands_since IS NOT NULL';

query('CREATE EXTENSION pg_workflow');
query(q(SELECT workflow.define('{"workflow": "w", "owner": "me", "initial": "ASK",
	"queues": {"desk": {"owner": "clerks", "sla": "1 hour", "escalate_to": ["lead"]}},
	"states": {"ASK": {"review": {"queue": "desk", "decisions": ["yes", "no"], "on_overdue": "escalate"},
	                   "on": {"yes": "DONE", "no": "DONE"}}, "DONE": {"final": "success"}}}')));
query(q(SELECT count(workflow.submit('w', '{}', n::text)) FROM generate_series(1, 2300) AS n));

# somebody holds the last of them
query(q(SELECT workflow.pause_queue('desk', 'a holiday')));
my $holder = $node->background_psql('postgres');
$holder->query_safe(q(BEGIN; SELECT item_id FROM workflow.item WHERE key = '2300' FOR UPDATE));
query(q(SELECT workflow.resume_queue('desk', 'over')));
wait_for("SELECT ($stand) = 1", 'all but the one that is held go on');
is(query("SELECT key FROM workflow.review_inbox WHERE stands_since IS NOT NULL"), '2300', 'which stands');
$holder->quit;
wait_for("SELECT ($stand) = 0", 'it goes on when nobody holds it');
is(query("SELECT bool_and(paused_for > '0' AND due_at = opened_at + interval '1 hour' + paused_for) FROM workflow.reviews"), 't', 'each is later by as long as it stood');
is(query("SELECT bool_and(t.due_at = r.next_step_at) FROM workflow.timer AS t JOIN workflow.review AS r USING (item_id)"), 't', 'and so is its timer');

# a server that ends in the middle
query('ALTER SYSTEM SET pg_workflow.workers = off');
query('SELECT pg_reload_conf()');
query('SELECT workflow.stop_workers()');
wait_for("SELECT count(*) = 0 FROM workflow.workers WHERE kind <> 'launcher' AND pid IS NOT NULL", 'nobody works');
query(q(SELECT workflow.pause_workflow('w', 'once more')));
query(q(SELECT workflow.resume_workflow('w', 'over')));
is(query($stand), 1300, 'those that are left stand');
$node->stop('immediate');
$node->start;
is(query($stand), 1300, 'also after a crash');
query('ALTER SYSTEM RESET pg_workflow.workers');
query('SELECT pg_reload_conf()');
wait_for("SELECT ($stand) = 0", 'until somebody works');
is(query("SELECT bool_and(due_at = opened_at + interval '1 hour' + paused_for) FROM workflow.reviews"), 't', 'and none has lost its time');

# each step of an escalation is told to whose it is
query(q(SELECT workflow.define('{"workflow": "steps", "owner": "me", "initial": "ASK",
	"queues": {"steps": {"owner": "clerks", "sla": "3 seconds", "escalate_to": ["lead", "director"]}},
	"states": {"ASK": {"review": {"queue": "steps", "decisions": ["yes", "no"], "on_overdue": "escalate"},
	                   "on": {"yes": "DONE", "no": "DONE"}}, "DONE": {"final": "success"}}}')));
query(q(SELECT workflow.submit('steps', '{}', '1')));
wait_for("SELECT count(*) = 1 FROM workflow.alerts WHERE kind = 'review_escalated' AND owner = 'director' AND cleared_at IS NULL", 'whose it is now is told');

$node->stop;
done_testing();
