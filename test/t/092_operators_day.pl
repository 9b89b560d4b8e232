# An operator's day: a receiver fails, its owner is told and work waits uncharged;
# it recovers; what died for good is taken up again at a rate, after a look at what
# would be sent; nothing is done twice, and every alert clears.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use FaultServer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $crm = FaultServer->new;
my $node = start_working_node();
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub receiver { return $crm->rule('/hook', $_[0]) }

sub submit
{
	my ($from, $to) = @_;
	sql(qq{SELECT count(*) FROM workflow.submit_many('sync',
		(SELECT array_agg(jsonb_build_object('id', n)) FROM generate_series($from, $to) AS n))});
	return;
}

sub done
{
	my ($count, $name) = @_;
	wait_for("count(*) = $count FROM workflow.items WHERE outcome = 'success'", $name);
	return;
}

my $url = $crm->url;
sql(qq{
	CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', dedup 'key', owner 'crm-team',
		allow_http 'true', allow_private '127.0.0.0/8', breaker_cooldown '1s');
	SELECT workflow.define('{
	  "workflow": "sync", "owner": "sales-ops", "key": ["\$.id"], "initial": "WRITE",
	  "queues": {"crm": {"owner": "sales-ops", "sla": "1 hour", "escalate_to": ["sales-lead"]}},
	  "retry": {"patient": {"max_attempts": 10, "timeout": "5 seconds", "retry_on": ["unavailable", "overloaded", "connection", "unknown_outcome"],
	                           "backoff": {"initial": "1 second", "max": "5 seconds"}}},
	  "states": {"WRITE": {"http": {"endpoint": "crm", "method": "POST", "path": "/hook", "queue": "crm",
	                                "body": {"id": "\$.id"}, "key": ["\$.id"],
	                                "retry": "patient"},
	                       "on": {"ok": "DONE"}},
	             "DONE": {"final": "success"}}}');
});

# -------------------------------------------------------------------- morning
submit(1, 10);
done(10, 'work flows');
is(sql('SELECT count(*) FROM workflow.alerts'), '0', 'nothing is wrong');

# --------------------------------------------------------------------- outage
receiver('503');
submit(11, 110);
wait_for("count(*) = 1 FROM workflow.alerts WHERE kind = 'breaker_open' AND cleared_at IS NULL AND subject = 'endpoint:crm' AND owner = 'crm-team' AND severity = 'page'",
	'the breaker opens and the owner of the endpoint is called');
sql(q{SELECT workflow.acknowledge_alert(id, 'their status page says so') FROM workflow.alerts WHERE kind = 'breaker_open'});
cmp_ok(sql('SELECT count(*) FROM workflow.effects WHERE attempts = 0 AND state <> \'succeeded\''), '>', 50, 'most calls wait and were never sent');
is(sql('SELECT count(*) FROM workflow.dead_letters'), '0', 'no attempts are used up by waiting');

# ------------------------------------------------------------------- recovery
receiver('ok');
done(110, 'when it works again everything is done');
wait_for("count(*) = 0 FROM workflow.alerts WHERE cleared_at IS NULL", 'and the alert clears');
is(sql(q{SELECT acknowledged_by IS NOT NULL AND note IS NOT NULL FROM workflow.alerts WHERE kind = 'breaker_open'}), 't', 'who saw to it is on record');

# ------------------------------------------------- a thousand that died for good
receiver('422');
submit(1001, 2000);
wait_for('count(*) = 1000 FROM workflow.dead_letters', 'a thousand are refused for good');
wait_for("count(*) = 1 FROM workflow.alerts WHERE kind = 'dead_letters_growing' AND subject = 'queue:crm' AND owner = 'sales-ops' AND cleared_at IS NULL",
	'the owner of the queue is told');
receiver('ok');
my $asked = $crm->requests('/hook');
is(sql(q{SELECT redrive_id IS NULL, class, matched, would_send, would_look_up, would_hold, already_done FROM workflow.redrive('{"workflow": "sync"}')}),
	't|conflict|1000|1000|0|0|0', 'a dry run says that each would be sent');
is($crm->requests('/hook'), $asked, 'and sends nothing');
is(sql('SELECT count(*), (SELECT count(*) FROM workflow.redrives) FROM workflow.dead_letters'), '1000|0', 'and takes nothing up');
is(sql(q{SELECT matched, would_send FROM workflow.redrive('{"workflow": "sync"}', per_second => 250, dry_run => false, reason => 'they take it now')}),
	'1000|1000', 'then in earnest');
done(1110, 'all are done');
is(sql('SELECT status, matched, done, skipped, remaining, reason FROM workflow.redrives'), 'done|1000|1000|0|0|they take it now', 'by one batch');
cmp_ok(sql('SELECT extract(epoch FROM max(i.tried_at) - min(i.tried_at)) FROM workflow.redrive_item AS i'), '>=', 3, 'at the rate that was asked for');
is($crm->requests('/hook') - $asked, 1000, 'each was sent once more');
is(sql('SELECT count(*) FROM workflow.dead_letters'), '0', 'none is left');

# -------------------------------------------------------------------- evening
my $seen = $crm->seen;
is(scalar(keys %{ $seen->{executions} }), 1110, 'everything was done');
is(join(' ', grep { $seen->{asked}{$_} > 1 } keys %{ $seen->{asked} }), '', 'nothing was sent again after it was done');
wait_for('count(*) = 0 FROM workflow.alerts WHERE cleared_at IS NULL', 'every alert has cleared');
is(sql(q{SELECT string_agg(DISTINCT kind, ' ' ORDER BY kind) FROM workflow.alerts WHERE severity = 'page'}), 'breaker_open', 'one page in the day');

$node->stop;
$crm->stop;
done_testing();
