# What happens to alerts reaches a real receiver: each change once, also when the
# receiver was down meanwhile or has refused them, which makes no further ones; a
# copy of the database sends none.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use FaultServer;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $chat = FaultServer->new;
my $url = $chat->url;
my $node = start_working_node();
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
sub receiver { return $chat->rule('/ops', $_[0]) }

sub in_copy
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('copy', "SELECT $condition"), $name);
	return;
}

# A queue of ops in which dead letters come in numbers: one alert for each queue.
sub bury
{
	my ($queue, $database) = @_;
	sql(qq{
		SELECT workflow.create_queue('$queue', owner => 'ops', sla => '1 day', escalate_to => '{lead}');
		SELECT workflow.enqueue('$queue', to_jsonb(n), key => n::text) FROM generate_series(1, 12) AS n;
		SELECT workflow.fail(job_id, token, 'permanent', 'no') FROM workflow.claim('$queue', 'w', 20)}, $database);
	return;
}

sub unbury
{
	my ($queue) = @_;
	sql(qq{SELECT workflow.cancel_jobs(array_agg(job_id), 'not wanted') FROM workflow.dead_letters WHERE queue = '$queue'});
	return;
}

# The keys under which the receiver was asked to do something, and how often if more than once.
sub heard
{
	my $asked = $chat->seen->{asked};
	return join ' ', map { $asked->{$_} == 1 ? $_ : "$_ x $asked->{$_}" } sort keys %$asked;
}

sub key
{
	my ($queue, $change) = @_;
	return sql(qq{SELECT format('alert:%s:$change:0', id) FROM workflow.alerts WHERE subject = 'queue:$queue'});
}

sql(qq{
	CREATE SERVER chat FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$url', dedup 'key', owner 'ops',
		allow_http 'true', allow_private '127.0.0.0/8', breaker_failures '2', breaker_cooldown '1s');
	SELECT workflow.alert_to('ops', 'chat', '/ops')});

# ------------------------------------------------------------ opened, cleared
my $all_sent = q{count(*) > 0 AND count(*) FILTER (WHERE state <> 'succeeded') = 0 FROM workflow.effects WHERE key LIKE 'alert:%'};
bury('first');
wait_for("count(*) = 1 AND bool_and(state = 'succeeded') FROM workflow.effects WHERE key LIKE 'alert:%:opened:0'", 'that an alert has opened is sent');
is(heard(), key('first', 'opened'), 'once, as the receiver sees it');
my $body = decode_json($chat->last('/ops')->{body});
is_deeply([ @$body{qw(change kind subject owner)} ], [ qw(opened dead_letters_growing queue:first ops) ], 'it says what, and whose it is');
unbury('first');
wait_for("count(*) = 1 AND bool_and(state = 'succeeded') FROM workflow.effects WHERE key LIKE 'alert:%:cleared:0'", 'that it is cleared is sent');
is(heard(), join(' ', sort map { key('first', $_) } qw(cleared opened)), 'once');
is(decode_json($chat->last('/ops')->{body})->{change}, 'cleared', 'as that');

# ----------------------------------------------------------- the receiver is down
receiver('503');
bury($_) foreach qw(second third fourth);
wait_for("count(*) = 1 FROM workflow.alerts WHERE kind = 'breaker_open' AND subject = 'endpoint:chat' AND cleared_at IS NULL", 'its breaker opens, and that is an alert of the same owner');
wait_for("breaker_openings >= 3 FROM workflow.endpoint WHERE endpoint = 'chat'", 'it is tried again, and fails again');
unbury('second');
wait_for("count(*) = 1 FROM workflow.effects WHERE key = '" . key('second', 'cleared') . "'", 'meanwhile an alert clears');
is(sql(q{SELECT count(*) FROM workflow.alerts WHERE kind = 'breaker_open'}), '1', 'the breaker is one alert');
is(sql(q{SELECT count(*) + count(cleared_at) - (SELECT count(*) FROM workflow.effects WHERE key LIKE 'alert:%') FROM workflow.alerts WHERE subject <> 'endpoint:chat'}),
	'0', 'what cannot be sent makes nothing more to send');
is(sql(q{SELECT count(*) FROM workflow.dead_letters WHERE kind = 'http'}), '0', 'and is not given up');
receiver('ok');
wait_for($all_sent, 'when it works again all that happened is sent');
wait_for("count(*) = 0 FROM workflow.alerts WHERE cleared_at IS NULL AND subject = 'endpoint:chat'", 'and its own alert clears');
wait_for($all_sent, 'all of it');
is(heard(), sql(q{SELECT string_agg(key, ' ' ORDER BY key COLLATE "C") FROM workflow.effects WHERE key LIKE 'alert:%'}), 'each change once');
is(sql(q{SELECT count(*) FROM workflow.effects WHERE key LIKE 'alert:%' AND key NOT IN
	(SELECT format('alert:%s:%s:0', a.id, c) FROM workflow.alerts AS a, unnest('{opened,cleared}'::text[]) AS c WHERE a.subject <> 'endpoint:chat')}), '0',
	'and nothing of the receiver itself');

# ------------------------------------------------- it refuses them for good
receiver('404');
my @queues = map { "lost_$_" } 1 .. 12;
bury($_) foreach @queues;
wait_for("count(*) >= 12 FROM workflow.dead_letters WHERE kind = 'http' AND queue NOT LIKE 'lost%'", 'what is refused is a dead letter');
wait_for("count(*) = 1 FROM workflow.alerts AS a WHERE a.kind = 'dead_letters_growing' AND a.subject = 'queue:alert_calls' AND a.cleared_at IS NULL", 'which is an alert');
wait_for("last_seen_at > opened_at FROM workflow.alerts WHERE subject = 'queue:alert_calls' AND kind = 'dead_letters_growing'", 'it is looked at again');
is(sql(q{SELECT count(*) FROM workflow.dead_letters WHERE kind = 'http'}), '13', 'that alert is refused, too, and then there are no more');
receiver('ok');
sql(q{SELECT count(*) FROM workflow.redrive('{"kind": "http"}', dry_run => false, reason => 'it takes them now')});
wait_for("count(*) = 0 FROM workflow.dead_letters WHERE kind = 'http'", 'they are taken up again');
wait_for($all_sent, 'and all is sent');
unbury($_) foreach @queues;

# --------------------------------------------------------------------- a copy
unbury($_) foreach qw(third fourth);
wait_for("count(*) = 0 FROM workflow.alerts WHERE cleared_at IS NULL", 'all is well');
wait_for($all_sent, 'and told');
my $before = heard();
my $dump = "${PostgreSQL::Test::Utils::tmp_check}/alerts_sent.sql";
sql('CREATE DATABASE copy');
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'dump');
$node->command_ok([ 'psql', '-qXd', $node->connstr('copy'), '-v', 'ON_ERROR_STOP=1', '-f', $dump ], 'restore');
bury('fifth', 'copy');
in_copy(q{count(*) = 1 FROM workflow.alerts WHERE subject = 'queue:fifth'}, 'an alert of the copy opens');
in_copy(q{count(*) = 1 FROM workflow.effects WHERE key = (SELECT format('alert:%s:opened:0', id) FROM workflow.alerts WHERE subject = 'queue:fifth') AND state = 'blocked'},
	'that it did is blocked');
in_copy(q{count(*) = 1 FROM workflow.alerts WHERE kind = 'effects_off'}, 'and that is an alert');
bury('sixth');
wait_for(q{bool_and(state = 'succeeded') FROM workflow.effects WHERE key = (SELECT format('alert:%s:opened:0', id) FROM workflow.alerts WHERE subject = 'queue:sixth')},
	'the original sends its own');
is(heard(), join(' ', sort split(/ /, $before), key('sixth', 'opened')), 'the receiver has heard nothing of the copy');

$node->stop;
$chat->stop;
done_testing();
