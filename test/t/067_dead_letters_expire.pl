# The maintenance worker removes dead letters that are older than their queue says,
# where nobody needs them any more, and tells how many.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $server = RawServer->new('/gone' => sub { return RawServer::answer(404, '') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
sub query { return $node->safe_psql('postgres', $_[0]) }

# A dead letter that stands alone.
sub bury
{
	my ($queue, $key) = @_;
	query(qq{SELECT workflow.enqueue('$queue', '{}', key => '$key');
		SELECT workflow.fail(job_id, token, 'permanent', 'broken') FROM workflow.claim('$queue', 'me')});
	return;
}

sub wait_until_gone
{
	my ($keys, $name) = @_;
	wait_for("NOT EXISTS (SELECT FROM workflow.job WHERE status = 'dead' AND key = ANY ('{$keys}'))", $name);
	return;
}

query(qq{
	CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
	SELECT workflow.create_queue('kept', 'ann', '1 hour', '{bob}');
	SELECT workflow.create_queue('long', 'ann', '1 hour', '{bob}', dead_letter_retention => '100 days');
	SELECT workflow.create_queue('short', 'ann', '1 hour', '{bob}', dead_letter_retention => '1 second');
	-- its dead letters are another queue's
	SELECT workflow.create_queue('sends', 'ann', '1 hour', '{bob}', retry => '{"dead_letter": "short"}', dead_letter_retention => '100 days');
	-- calls that stand alone
	SELECT workflow.create_queue('calls', 'ann', '1 hour', '{bob}', dead_letter_retention => '1 second');
	SELECT workflow.define('{"workflow": "hopeless", "owner": "ann", "initial": "CALL", "key": ["\$.n"],
	  "states": {"CALL": {"task": {"queue": "short"}, "on": {"ok": "DONE"}}, "DONE": {"final": "done"}}}');
	SELECT workflow.submit('hopeless', '{"n": 1}');
	SELECT workflow.fail(job_id, token, 'permanent', 'broken') FROM workflow.claim('short', 'me')});
my $effect = query("SELECT workflow.call('bank', 'GET', '/gone', key => 'gone')");
bury($_, "$_ 1") foreach qw(kept long short sends);

wait_until_gone('short 1, sends 1', 'what is older than its queue says is removed, where its dead letters go');
wait_for("count(*) = 0 FROM workflow.job WHERE effect_id = $effect AND EXISTS (SELECT FROM workflow.effects WHERE effect_id = $effect AND state = 'failed')", 'so is that of a call');
is(query("SELECT state FROM workflow.effects WHERE effect_id = $effect"), 'failed', 'whose effect stays on record');
is(query("SELECT workflow.call('bank', 'GET', '/gone', key => 'gone')"), $effect, 'under its key');
is(query("SELECT string_agg(key, ', ' ORDER BY key) FROM workflow.job WHERE status = 'dead' AND key IS NOT NULL"), 'kept 1, long 1', 'what is younger, or to be kept, is kept');
is(query("SELECT count(*) FROM workflow.dead_letters WHERE item_id IS NOT NULL"), '1', 'as is what an item waits with');
is(query("SELECT string_agg(DISTINCT actor || ' ' || subject, ', ') || ' ' || sum((detail ->> 'dead_letters')::int) FROM workflow.journal WHERE action = 'purge_dead_letters' AND subject = 'queue:short'"),
	'pg_workflow queue:short 2', 'the journal tells how many');
is(query("SELECT count(*) FROM workflow.attempt WHERE outcome = 'dead' AND queue IN ('short', 'sends')"), '3', 'what was tried stays on record');

# a key is free again, and the next one comes of age while nothing else happens
bury('short', 'short 1');
wait_until_gone('short 1', 'another one comes of age');

# a queue that says so later
query("UPDATE workflow.queue SET dead_letter_retention = '1 second' WHERE queue = 'kept'");
wait_until_gone('kept 1', 'a time that is set later is heeded');

# an effect that may still be needed keeps its job
query("INSERT INTO workflow.job (queue, kind, status, run_at, created_at, failed_at, effect_id)
	SELECT 'calls', 'http', 'dead', now(), now(), '2020-01-01', effect_id FROM workflow.effect WHERE key = 'gone';
	UPDATE workflow.effect SET state = 'held', unknown_attempts = 1 WHERE key = 'gone'");
bury('short', 'short 2');
wait_until_gone('short 2', 'the others go on');
is(query("SELECT count(*) FROM workflow.job WHERE failed_at = '2020-01-01'"), '1', 'whose outcome is not known keeps its job');

$node->stop;
$server->stop;
done_testing();
