# Items are migrated while their actions are under way: what is being sent, or of
# which nobody knows what it came to, is left; what waits goes on; and nothing is
# sent a second time.  Versions, drafts and migrated items survive a dump.

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
sub stall { my $n = 0; select undef, undef, undef, 0.02 until -e $go || getppid == 1 || $n++ > 3000; return }
my $done = RawServer::answer(200, '{"id": "pay-1"}', 'Content-Type: application/json');
my $slow = RawServer->new('/pay/sending' => sub { stall(); return $done });
my $server = RawServer->new(
	'/pay/unknown' => sub { return undef },
	'/pay/waiting' => sub { return $done },
	'/pay/again' => sub { return $_[0] == 1 ? RawServer::answer(429, '', 'Retry-After: 3') : $done },
	'/pay/refused' => sub { return RawServer::answer(400, '{}') },
	'/mended/refused' => sub { return $done });
my $node = start_working_node();
sub query { return $node->safe_psql('postgres', $_[0]) }

my %ports = (slow => $slow->port, bank => $server->port, keyed => $server->port, paused => $server->port);
query(qq{CREATE SERVER $_ FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://127.0.0.1:$ports{$_}', allow_http 'true',
	allow_private '127.0.0.0/8', owner 'boss', dedup '} . ($_ eq 'keyed' ? 'key' : 'none') . q{')}) foreach sort keys %ports;

sub define
{
	my ($workflow, $path, $more) = @_;
	return query(qq{SELECT version FROM workflow.define('{"workflow": "$workflow", "owner": "me", "initial": "PAY", "key": ["\$.to"],
	  "retry": {"default": {"owner": "me", "max_attempts": 3, "retry_on": ["unavailable"], "backoff": {"initial": "3 seconds", "jitter": "none"}}},
	  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
	  "states": {
	    "PAY":  {"http": {"endpoint": "$workflow", "queue": "out", "method": "POST", "path": "/$path/{\$.to}", "body": {}, "key": ["\$.to"]},
	             "on": {"ok": "PAID"}},
	    "PAID": {"then": "on", "on": {"on": "$more"}},
	    "$more": {"final": "done"}}}')});
}

sub migrate
{
	my ($workflow, $from, $to) = @_;
	return query(qq{SELECT concat_ws(' ', verdict, items, problem) FROM workflow.migrate('$workflow', $from, $to, dry_run => false)
		ORDER BY verdict, problem});
}

sub item
{
	my ($key) = @_;
	return query(qq{SELECT concat_ws(' ', i.version, i.state, CASE WHEN NOT v.ok THEN v.problem END)
		FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE i.key = '$key'});
}

sub submit
{
	my ($workflow, $key, $condition) = @_;
	query(qq{SELECT workflow.submit('$workflow', '{"to": "$key"}')});
	wait_for("$condition FROM workflow.effects WHERE key = '$key'", "\"$key\" is there: $condition");
	return;
}

foreach my $workflow (sort keys %ports)
{
	define($workflow, 'pay', 'DONE');
	define($workflow, 'pay', 'SETTLED');
	define($workflow, 'mended', 'SETTLED');
	query("SELECT workflow.activate('$workflow', 1)");
}
query("SELECT workflow.pause_endpoint('paused', 'for a while')");
submit('paused', 'waiting', "state = 'pending'");
submit('slow', 'sending', "state = 'sending'");
submit('bank', 'unknown', "state = 'held'");
submit('bank', 'refused', "state = 'failed'");
wait_for("status = 'dead' FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.key = 'refused'", 'its job is a dead letter');
submit('keyed', 'again', "state = 'pending' AND attempts = 1");

# ---------------------------------------------------- the same action: it goes on
is(migrate('paused', 1, 2), 'kept 1', 'a call that waits for its endpoint is migrated');
is(query("SELECT state || ' ' || attempts FROM workflow.effects WHERE key = 'waiting'"), 'pending 0', 'and goes on waiting');
is(migrate('slow', 1, 2), 'left 1 its job is running', 'what is being sent is left');
is(migrate('keyed', 1, 2), 'kept 1', 'what is to be tried again is migrated');
is(migrate('bank', 1, 2), "kept 1\nleft 1 what becomes of its effect is not known yet: it is held",
	'what is held is left, a dead letter is migrated');
is(query(q{SELECT hint FROM workflow.migrate('bank', 1, 2)}),
	q{SELECT workflow.resolve(effect_id, 'applied', 'how you know'); or 'not_applied', and call migrate() again.},
	'with what to do about it');
wait_for("count(*) = 1 FROM workflow.item WHERE key = 'again' AND outcome = 'done'", 'the next attempt is made');
is(item('again'), '2 SETTLED', 'and moves the item by its new version');
is($server->count('/pay/again'), 2, 'after two sends, as without a migration');
is(query("SELECT item_seq FROM workflow.effect WHERE key = 'again'"), 2, 'the effect belongs to the visit that it was migrated to');
is(item('refused'), '2 PAY', 'the dead letter stays one');
is($server->count('/pay/refused'), 1, 'and is not sent again');

query("SELECT workflow.resume_endpoint('paused')");
wait_for("count(*) = 1 FROM workflow.item WHERE key = 'waiting' AND outcome = 'done'", 'a call that waited is made');
is(item('waiting'), '2 SETTLED', 'and moves its item by the new version');
is($server->count('/pay/waiting'), 1, 'once');

# ------------------------------------------------------- another action: it begins
is(migrate('bank', 2, 3), 'entered 1', 'a dead letter is migrated to another action');
wait_for("count(*) = 1 FROM workflow.item WHERE key = 'refused' AND outcome = 'done'", 'which is made');
is(item('refused'), '3 SETTLED', 'and moves it');
is(query("SELECT string_agg(generation || ' ' || state, ', ' ORDER BY effect_id) FROM workflow.effect WHERE key LIKE 'refused%'"),
	'1 failed, 2 succeeded', 'as a new generation of the key: the first was not applied');
is($server->count('/mended/refused'), 1, 'once');

# -------------------------------------------------------------- what was left
append_to_file($go, '');
wait_for("count(*) = 1 FROM workflow.item WHERE key = 'sending' AND outcome = 'done'", 'what was being sent ends');
is(item('sending'), '1 DONE', 'in the version that it was sent in');
query("SELECT workflow.resolve(effect_id, 'not_applied', 'not on the statement') FROM workflow.effects WHERE key = 'unknown'");
wait_for("state = 'held' AND attempts = 2 FROM workflow.effects WHERE key = 'unknown'", 'what was held is sent again, and held again');
query("SELECT workflow.resolve(effect_id, 'applied', 'on the statement') FROM workflow.effects WHERE key = 'unknown'");
wait_for("count(*) = 1 FROM workflow.item WHERE key = 'unknown' AND outcome = 'done'", 'what was held ends when a person knows');
is(item('unknown'), '1 DONE', 'in the version that it was sent in');
is(migrate('bank', 1, 2), '', 'nothing is left to migrate');
is($slow->count('/pay/sending'), 1, 'what was left was sent once');

# ----------------------------------------------------------------------- a dump
query(q{SELECT workflow.retire('bank', 1, 'over'); SELECT workflow.new('bank', from_version => 2);
	SELECT workflow.add_state('bank', 'LOST', '{"final": "lost"}')});
my $facts = q{SELECT (SELECT json_agg(v) FROM (SELECT workflow, version, active, retired_at, retired_by, activated_by FROM workflow.versions) AS v),
	(SELECT json_agg(d) FROM workflow.drafts AS d), (SELECT string_agg(v.ok::text, ' ') FROM workflow.item AS i, workflow.verify(i.item_id) AS v)};
my $before = query($facts);
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
query('CREATE DATABASE copy');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'a dump');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump ], 'is restored');
is($node->safe_psql('copy', $facts), $before, 'with its versions, its drafts, and items that were migrated');
is($node->safe_psql('copy', q{SELECT version, created FROM workflow.publish('bank')}), '4|t', 'and the draft is published there');

$node->stop;
$server->stop;
$slow->stop;
done_testing();
