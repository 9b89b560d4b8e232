# Batches of dead letters are kept for as long as the setting says, counted from
# their end, and the journal says what they were.  Until there is something to
# forget nobody looks for it.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node();
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub configure
{
	$node->append_conf('postgresql.conf', $_[0]);
	$node->reload;
	return;
}

sub redrive
{
	my ($n, $reason) = @_;
	sql(qq{
		SELECT count(workflow.enqueue('mail', '{}', key => '$reason ' || n)) FROM generate_series(1, $n) AS n;
		SELECT count(workflow.fail(job_id, token, 'permanent', 'broken')) FROM workflow.claim('mail', 'me', $n);
		SELECT sum(matched) FROM workflow.redrive('{"queue": "mail"}', dry_run => false, reason => '$reason')});
	return;
}

sql(q{SELECT workflow.create_queue('mail', 'ann', '1 hour', '{bob}')});
redrive(1200, 'first');
wait_for("count(*) = 1 FROM workflow.redrives WHERE status = 'done' AND done = 1200", 'a batch is worked off');
is(sql('SELECT count(*) FROM workflow.redrive_item'), '1200', 'without a setting all of it is kept');

configure("pg_workflow.redrive_retention = '1s'");
wait_for('count(*) = 0 FROM workflow.redrives', 'a setting is heeded');
is(sql('SELECT count(*) FROM workflow.redrive_item'), '0', 'with its rows');
is(sql(q{SELECT actor, subject, reason, detail ->> 'action', detail -> 'filter', detail -> 'matched', detail -> 'done', detail -> 'skipped', detail ? 'started_by'
		 FROM workflow.journal WHERE action = 'purge_redrive'}),
	'pg_workflow|redrive:1|first|replay|{"queue": "mail"}|1200|1200|0|t', 'the journal says what it was');

# one that is told of while nobody looks; one under way stays
sql(q{SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('mail', 'me', 2000)});
redrive(3, 'second');
wait_for(q{count(*) = 2 FROM workflow.journal WHERE action = 'purge_redrive'}, 'a later one is forgotten in its time');
sql(q{SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('mail', 'me', 2000)});
sql(q{
	SELECT count(workflow.enqueue('mail', '{}', key => 'slow ' || n)) FROM generate_series(1, 3) AS n;
	SELECT count(workflow.fail(job_id, token, 'permanent', 'broken')) FROM workflow.claim('mail', 'me', 3);
	SELECT sum(matched) FROM workflow.redrive('{"queue": "mail"}', per_second => 0.001, dry_run => false, reason => 'third')});
redrive(1, 'fourth');
wait_for(q{count(*) = 3 FROM workflow.journal WHERE action = 'purge_redrive'}, 'one that has ended goes');
is(sql(q{SELECT string_agg(reason || ' ' || status, ', ') FROM workflow.redrives}), 'third running', 'one under way does not');
sql(q{SELECT workflow.cancel_redrive(redrive_id, 'enough') FROM workflow.redrives});
wait_for('count(*) = 0 FROM workflow.redrives', 'until it is cancelled');

$node->stop;
done_testing();
