# Evidence that comes late counts for what it proves.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

# Answers when the file is there.
my $go = PostgreSQL::Test::Utils::tempdir() . '/go';
my $server = RawServer->new(
	'/slow' => sub { select undef, undef, undef, 0.02 until -e $go || getppid == 1; return RawServer::answer(200, '{}') },
	'/twice' => sub { return RawServer::answer(200, '{}') });
my $node = start_working_node();
my $url = 'http://127.0.0.1:' . $server->port;

$node->safe_psql('postgres', qq{
	CREATE SERVER once FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'boss', timeout '5min')});

sub query { return $node->safe_psql('postgres', "SELECT $_[0]") }

sub becomes
{
	my ($state, $key, $name) = @_;
	wait_for("state = '$state' FROM workflow.effects WHERE key = '$key'", $name);
	return;
}

# an attempt is given up, a person errs, and then the answer comes
query("workflow.call('once', 'POST', '/slow', '{}', 'slow')");
becomes('sending', 'slow', 'a call hangs');
$node->safe_psql('postgres', "UPDATE workflow.effect SET deadline = now() - interval '1 second'; SELECT workflow._wake('maintenance')");
becomes('held', 'slow', 'it is given up');
query("workflow.resolve(effect_id, 'not_applied', 'it is not there yet') FROM workflow.effects");
append_to_file($go, '');
becomes('succeeded', 'slow', 'the late answer proves that it was applied, whatever a person said');
is($server->count('/slow'), 1, 'and it is not sent again');

# two sends that were answered with success, one of them by another process
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT workflow.call('once', 'POST', '/twice', '{}', 'twice');
	INSERT INTO workflow.attempt (effect_id, kind, attempt, started_at, finished_at, outcome, detail)
	SELECT effect_id, 'call', 1, now(), now(), 'unknown', '{"evidence": "applied"}' FROM workflow.effects WHERE key = 'twice';
	UPDATE workflow.effect SET attempts = 1 WHERE key = 'twice';
	COMMIT});
becomes('succeeded', 'twice', 'a second success');
is(query("action || ': ' || reason FROM workflow.journal WHERE action <> 'resolve'"),
	'duplicate_suspected: two sends were answered with success',
	'is in the journal');

$node->stop;
$server->stop;
done_testing();
