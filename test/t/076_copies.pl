# A copy of a database (made from a template, restored, restored where it was, or
# a standby that was promoted) sends nothing that its original may have sent.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;

my $server = RawServer->new(map { ($_ => sub { return RawServer::answer(200, '{}') }) } qw(/once /keyed /pay /new));
my $url = 'http://127.0.0.1:' . $server->port;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
sub sql { return $node->safe_psql($_[0], $_[1]) }
sub run { return sql($_[0], q{CALL workflow.run('20 s')}) }
sub states { return sql($_[0], q{SELECT string_agg(key || ' ' || state, ', ' ORDER BY key) FROM workflow.effects}) }
sub sent { return join ' ', map { $server->count($_) } @_ }

sql('shop', qq{
	CREATE EXTENSION pg_workflow;
	CREATE SERVER once FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'boss');
	CREATE SERVER keyed FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key')});
is(sql('shop', 'SELECT count(*) FROM workflow.cluster'), '0', 'the extension alone does not say which database this is');
sql('shop', q{
	SELECT workflow.define('{"workflow": "order", "owner": "shop", "initial": "OPEN", "key": ["$.id"],
	  "retry": {"default": {"owner": "shop", "max_attempts": 3, "timeout": "5 s"}},
	  "queues": {"pay": {"owner": "shop", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {"OPEN": {"on": {"go": "PAY"}},
	             "PAY": {"http": {"endpoint": "once", "queue": "pay", "method": "POST", "path": "/pay", "key": ["$.id"]}, "on": {"ok": "PAID"}},
	             "PAID": {"final": "paid"}}}');
	SELECT workflow.submit('order', '{"id": "old"}');
	SELECT workflow.call('once', 'POST', '/once', '{}', 'once');
	SELECT workflow.call('keyed', 'POST', '/keyed', '{}', 'keyed')});
is(sql('shop', q{SELECT how, c.system_identifier = s.system_identifier FROM workflow.cluster AS c, pg_control_system() AS s}),
	'named|t', 'the first definition does');
$node->backup('base');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/shop.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('shop') ], 'a dump');

# A copy works, and sends nothing.
sub is_quiet
{
	my ($copy, $name) = @_;
	my $before = sent("/once", "/keyed");
	run($copy);
	is(states($copy), 'keyed blocked, once blocked', "$name: effects wait");
	is(sent('/once', '/keyed'), $before, "$name: and are not sent");
	like(sql($copy, q{SELECT reason FROM workflow.effects WHERE key = 'once'}), qr/is a copy/, "$name: they say why");
	is(sql($copy, q{SELECT ok, hint FROM workflow.health() WHERE "check" = 'cluster'}),
		q{f|SELECT workflow.adopt_cluster('quarantine');}, "$name: health tells what to do");
	return;
}
sql('postgres', 'CREATE DATABASE copy TEMPLATE shop');
is_quiet('copy', 'made from a template');
is(sql('copy', q{SELECT state FROM workflow.submit('order', '{"id": "newer"}')}), 'OPEN', 'all else works');
my (undef, undef, $error) = $node->psql('copy', q{SELECT workflow.adopt_cluster('all')});
like($error, qr/policy "all" is not known.*HINT/s, 'a policy has to be known');
is(sql('copy', q{SELECT workflow.adopt_cluster('quarantine', 'moved')}), '2', 'adopted, nothing is trusted to be unsent');
run('copy');
is(states('copy'), 'keyed succeeded, once held', 'what its receiver can tell is sent, the other held for a person');
is(sent('/once', '/keyed'), '0 1', 'as the receiver sees it');
sql('copy', qq{SELECT workflow.send('order:$_', 'go')}) foreach qw(old newer);
is(sql('copy', q{SELECT workflow.submit('order', '{"id": "new"}') IS NULL, workflow.send('order:new', 'go') IS NULL}), 'f|f', 'an item of the copy');
run('copy');
is(states('copy'), 'keyed succeeded, new succeeded, newer held, old held, once held',
	'items that are older may have done this where they were; one of the copy has not');
is(sent('/pay'), '1', 'as the receiver sees it');
is(sql('copy', q{SELECT count(workflow.resolve(effect_id, 'not_applied', 'looked')) FROM workflow.effects WHERE state = 'held'}), '3', 'a person says that they were not');
run('copy');
is(sent('/once', '/keyed', '/pay'), '1 1 3', 'and they are made');
is(sql('copy', q{SELECT workflow.adopt_cluster('resume')}), '0', 'what is adopted need not be adopted');
is(sql('copy', q{SELECT how, policy, actor IS NOT NULL, reason FROM workflow.cluster ORDER BY since}), "named||f|\nadopted|quarantine|t|moved", 'who has adopted it is on record');
(undef, undef, $error) = $node->psql('copy', 'DELETE FROM workflow.cluster');
like($error, qr/a copy would send what the original has sent/, 'and is not taken away');

# The dump of the original, in another database and where it was taken.
sql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'the dump is restored');
is_quiet('restored', 'restored');
sql('restored', q{SELECT workflow.pause_endpoint('once', 'not yet')});
is(sql('restored', q{SELECT workflow.adopt_cluster('resume')}), '0', 'adopted with all it has');
run('restored');
is(sql('restored', q{SELECT state, reason FROM workflow.effects WHERE key = 'once'}), 'pending|', 'what was in the way is not said any more');
sql('restored', q{SELECT workflow.resume_endpoint('once', 'now')});
run('restored');
is(states('restored'), 'keyed succeeded, once succeeded', 'all is sent');
run('shop');
is(states('shop'), 'keyed succeeded, once succeeded', 'the original sends what is its own');
my $before = sent('/once', '/keyed');
sql('shop', 'DROP EXTENSION pg_workflow CASCADE; DROP SCHEMA IF EXISTS workflow');
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('shop') ], 'the dump is restored where it was taken');
is_quiet('shop', 'restored in place');
sql('restored', q{DROP EXTENSION pg_workflow CASCADE; CREATE EXTENSION pg_workflow});
sub health { return sql('restored', q{SELECT ok, detail FROM workflow.health() WHERE "check" = 'cluster'}) }
like(health(), qr/^t/, 'an extension with nothing in it lacks nothing');
sql('restored', q{INSERT INTO workflow.endpoint (endpoint, server_oid) VALUES ('x', 1);
	INSERT INTO workflow.effect (endpoint_id, key, kind, fingerprint, submitted_by, created_at) SELECT endpoint_id, 'k', 'call', '', 'me', now() FROM workflow.endpoint});
like(health(), qr/^f.*nobody has said/, 'effects that a restore brought first belong nowhere');
sql('restored', q{SELECT workflow.create_queue('mail', 'me', '1 hour', '{you}')});
like(health(), qr/^f.*nobody has said/, 'nor do they when somebody works there');
sql('restored', q{SELECT workflow.adopt_cluster('quarantine', 'the row was left out')});
like(health(), qr/^t/, 'until somebody says what becomes of them');
$node->stop;

# A standby that was promoted: $name of the policy.
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base');
$standby->append_conf('postgresql.conf', 'pg_workflow.workers = on');
sub promote
{
	$standby->set_standby_mode;
	$standby->start;
	$standby->promote;
	return;
}
sub becomes
{
	my ($states, $name) = @_;
	ok($standby->poll_query_until('shop', qq{SELECT string_agg(key || ' ' || state, ', ' ORDER BY key) = '$states' FROM workflow.effects}), $name)
	  or diag($standby->safe_psql('shop', 'SELECT key, state, reason FROM workflow.effects; TABLE workflow.cluster'));
	return;
}
promote();
becomes('keyed succeeded, once held', 'after a promotion what may have been sent is sent where the receiver can tell, else held');
$standby->safe_psql('shop', q{SELECT workflow.call('once', 'POST', '/new', '{}', 'new')});
becomes('keyed succeeded, new succeeded, once held', 'what is new goes');
$standby->append_conf('postgresql.conf', "pg_workflow.effects = off\npg_workflow.after_failover = resume");
$standby->reload;
$standby->safe_psql('shop', q{SELECT workflow.call('once', 'POST', '/new', '{}', 'newer')});
$standby->stop;
$standby->append_conf('postgresql.conf', 'pg_workflow.effects = on');
promote();
becomes('keyed succeeded, new succeeded, newer succeeded, once held', 'with resume it goes on');
is($standby->safe_psql('shop', q{SELECT string_agg(how || coalesce(' ' || policy, ''), ', ' ORDER BY since) FROM workflow.cluster}),
	'named, promoted quarantine, promoted resume', 'which is on record');

$standby->stop;
$server->stop;
done_testing();
