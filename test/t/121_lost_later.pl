# An activity that ends its worker is not run again at once, but when the back-off of its policy says so.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node("fsync = off\nautovacuum = off");
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub define
{
	my ($name, $body) = @_;
	sql(qq{
		CREATE FUNCTION $name(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$body\$ BEGIN $body END \$body\$;
		SELECT workflow.define('{
		  "workflow": "$name", "owner": "tester", "initial": "WORKING",
		  "retry": {"default": {"owner": "tester", "max_attempts": 2, "timeout": "1 second", "retry_on": ["timeout"],
		                        "backoff": {"initial": "10 minutes", "jitter": "none"}}},
		  "queues": {"work": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
		  "states": {"WORKING": {"sql": {"function": "$name", "queue": "work"}, "on": {"ok": "DONE"}}, "DONE": {"final": "success"}}}');
		SELECT count(workflow.submit('$name', '{}', key => '1'))});
	return;
}

my %activities = (
	deadly => 'PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60);',
	stubborn => 'LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;');
foreach my $name (sort keys %activities)
{
	define($name, $activities{$name});
	wait_for("count(*) = 1 FROM workflow.attempts AS a JOIN workflow.items AS i USING (item_id) WHERE i.workflow = '$name' AND a.outcome = 'lost'",
		"the attempt of a $name one is lost");
	is(sql(qq{SELECT j.status, j.attempt, j.run_at - a.finished_at BETWEEN '9 minutes' AND '11 minutes'
		FROM workflow.items AS i JOIN workflow.job AS j USING (item_id) JOIN workflow.attempts AS a USING (item_id) WHERE i.workflow = '$name'}),
		'ready|1|t', 'and the next one is ten minutes away');
}

done_testing();
