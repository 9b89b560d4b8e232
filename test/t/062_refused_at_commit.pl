# A trigger that is put off to the commit and refuses one job of many, or one effect,
# costs that one only: the others of the http worker go on.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $server = RawServer->new('/' => sub { return RawServer::answer(200, '{}') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;
sub query { return $node->safe_psql('postgres', $_[0]) }

query(qq{
	CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
	CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'not on my watch'; END \$\$});

# Calls that are there before anybody looks, one of which a trigger refuses.
sub call_with_trigger
{
	my ($table, $when, @keys) = @_;
	query('SELECT workflow.stop_workers()');
	query("SELECT workflow.call('shop', 'POST', '/', '{}', '$_')") foreach @keys;
	my $refused = query("SELECT effect_id FROM workflow.effects WHERE key = '$keys[0]'");
	query("CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON workflow.$table DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
		WHEN (old.effect_id = $refused $when) EXECUTE FUNCTION public.refuse();
		SELECT workflow.start_workers()");
	return $refused;
}

my $poison = call_with_trigger('job', "AND new.status = 'running'", 'poison-1', 'good-1', 'good-2');
wait_for("count(*) = 2 FROM workflow.effects WHERE key LIKE 'good%' AND state = 'succeeded'", 'a job that refuses to be claimed at the commit stops no other one');
like(query("SELECT error_message FROM workflow.job WHERE effect_id = $poison"), qr/cannot be claimed, and is tried each minute: not on my watch/, 'and says why');
is(query("SELECT state, attempts FROM workflow.effects WHERE effect_id = $poison"), 'pending|0', 'nothing was sent for it');
query("SELECT workflow.call('shop', 'POST', '/', '{}', 'good-3')");
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'good-3'", 'what comes later goes, too');
query('DROP TRIGGER refuse ON workflow.job; SELECT workflow.stop_workers()');
query('SELECT workflow.start_workers()');
wait_for("state = 'succeeded' FROM workflow.effects WHERE effect_id = $poison", 'it goes when it may');

# one that refuses everything, the note of why it does so included
$poison = call_with_trigger('job', '', 'adamant', 'good-4', 'good-5');
wait_for("count(*) = 2 FROM workflow.effects WHERE key IN ('good-4', 'good-5') AND state = 'succeeded'", 'nor does one that lets nothing be written');
query('DROP TRIGGER refuse ON workflow.job');

$poison = call_with_trigger('effect', "AND new.state = 'sending'", 'poison-2', 'good-6', 'good-7');
wait_for("count(*) = 2 FROM workflow.effects WHERE key IN ('good-6', 'good-7') AND state = 'succeeded'", 'an effect that refuses to begin stops no other one');
wait_for("error_message = 'not on my watch' FROM workflow.job WHERE effect_id = $poison", 'and its job says why');

$node->stop;
$server->stop;
done_testing();
