# What becomes of a call, by what happens to it and what its endpoint declares:
# the table of docs/guarantees.md, row by row.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use FaultServer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $faults = FaultServer->new;
my $node = start_working_node();

# A call's key is its path, by which the server counts what it did for calls without keys.
my $found = 'exists($.body.executions.keyvalue() ? (@.key == $key))';
my $absent = "!$found";
my %declared = (
	keyed => "dedup 'key'",
	upsert => "dedup 'natural'",
	pure => "dedup 'pure'",
	looked => "dedup 'none', owner 'boss', lookup_path '/_/seen', lookup_found '$found', lookup_absent '$absent', lookup_settle '10ms', absent_is_proof 'true'",
	once => "dedup 'none', owner 'boss'");

sub query { return $node->safe_psql('postgres', "SELECT $_[0]") }

sub endpoint
{
	my ($name, $options, $url) = @_;
	$url //= $faults->url;
	$node->safe_psql('postgres', qq{CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (
		url '$url', allow_http 'true', allow_private '127.0.0.0/8', timeout '500ms',
		breaker_failures 'off', breaker_rate 'off', $options)});
	return;
}

endpoint($_, $declared{$_}) foreach sort keys %declared;
endpoint("${_}_rejects", "$declared{$_}, rejects '503'") foreach sort keys %declared;
endpoint("${_}_spent", $declared{$_}) foreach sort keys %declared;
endpoint('blind', "dedup 'none', owner 'boss', lookup_path '/_/seen', lookup_found 'false', lookup_absent '\$.status == 200', lookup_settle '10ms', absent_is_proof 'true'");
endpoint('careful', "dedup 'key', on_unknown 'hold'");

# By what the server does with the first and with the second request: state and substate,
# requests, and how often it was done.
my $once_again = { keyed => 'succeeded|2|1', upsert => 'succeeded|2|1', pure => 'succeeded|2|1' };
my $done_again = { keyed => 'succeeded|2|1', upsert => 'succeeded|2|2', pure => 'succeeded|2|2', looked => 'succeeded found|1|1', once => 'held|1|1' };
my $not_done = { %$once_again, looked => 'succeeded|2|1', once => 'held|1|0' };
my $safe = { %$once_again, looked => 'succeeded|2|1', once => 'succeeded|2|1' };
my $failed = { map { $_ => 'failed|1|0' } keys %declared };
my %spent = (
	'500' => { keyed => 'held|5|0', upsert => 'held|5|0', pure => 'dead|5|0', looked => 'dead|5|0', once => 'held|1|0' },
	'529' => { map { $_ => 'dead|5|0' } keys %declared });
my %outcomes = (
	'reset+ok' => $done_again,      # the answer is lost
	'close+ok' => $done_again,
	'hang+ok' => $done_again,       # no answer within the timeout
	'die+ok' => $not_done,          # the connection is lost before the work
	'500+ok' => $not_done,
	'502+ok' => $not_done,
	'503+ok' => $not_done,
	'504+ok' => $not_done,
	'408+ok' => $not_done,
	'retry=0+ok' => $safe,          # 429
	'529+ok' => $safe,
	'409+ok' => { %$failed, keyed => 'succeeded|2|1' },    # in progress, where there are keys
	'422' => $failed,
	'400' => $failed,
	'401' => { map { $_ => 'blocked|1|0' } keys %declared },
	'die+400' => {                  # a refusal after an unknown outcome
		keyed => 'failed|2|0', upsert => 'held|2|0', pure => 'failed|2|0', looked => 'failed|2|0', once => 'held|1|0' },
	'cut=10+ok' => {                # success, and a body that breaks off
		keyed => 'succeeded|2|1', upsert => 'succeeded no_body|1|1', pure => 'succeeded|2|2',
		looked => 'succeeded found|1|1', once => 'succeeded no_body|1|1' },
	'cut=10+422' => { keyed => 'succeeded no_body|2|1', upsert => 'succeeded no_body|1|1', pure => 'failed|2|1',
		looked => 'succeeded found|1|1', once => 'succeeded no_body|1|1' },
	'cut=10' => { keyed => 'succeeded no_body|5|1', upsert => 'succeeded no_body|1|1', pure => 'dead|5|5',
		looked => 'succeeded found|1|1', once => 'succeeded no_body|1|1' });

# Calls each of the endpoints at a path of its own.
sub call
{
	my ($does, @endpoints) = @_;
	query("workflow.call(e, 'POST', '/$does/' || e, '{}', '/$does/' || e) FROM unnest('{" . join(',', @endpoints) . "}'::text[]) AS e");
	return;
}

call($_, keys %declared) foreach sort keys %outcomes;
call($_, map { "${_}_spent" } keys %declared) foreach sort keys %spent;
call('503+ok', map { "${_}_rejects" } keys %declared);
call('cut=10+ok', 'blind', 'careful');

sub come_to_an_end
{
	wait_for("count(*) = 0 FROM workflow.effect WHERE state IN ('pending', 'claimed', 'sending', 'unknown') AND endpoint_id IN
		(SELECT endpoint_id FROM workflow.endpoint WHERE endpoint <> 'closed')", 'all come to an end');
	return;
}

# By key: state and substate, requests, executions.
sub outcomes
{
	my $seen = $faults->seen;
	my %states = map { split /\|/ } split /\n/, query("key, concat_ws(' ', state, substate) FROM workflow.effect");
	return map { $_ => join('|', $states{$_}, $seen->{requests}{$_} // 0, $seen->{executions}{$_} // 0) } keys %states;
}

come_to_an_end();
my %is = outcomes();
foreach my $does (sort keys %outcomes)
{
	is($is{"/$does/$_"}, $outcomes{$does}{$_}, "$does, $_") foreach sort keys %declared;
}
is($is{"/503+ok/${_}_rejects"}, 'succeeded|2|1', "503 before any work, $_") foreach sort keys %declared;
foreach my $does (sort keys %spent)
{
	is($is{"/$does/${_}_spent"}, $spent{$does}{$_}, "$does until the attempts are spent, $_") foreach sort keys %declared;
}
is(query("response #>> '{body,execution}' FROM workflow.effects WHERE key = '/cut=10+ok/keyed'"), '1', 'the answer that broke off is had by the key');
is(query("outcome || ' ' || (detail ->> 'evidence') FROM workflow.attempt AS a JOIN workflow.effect AS e USING (effect_id)
	WHERE e.key = '/cut=10+ok/keyed' ORDER BY attempt_id LIMIT 1"), 'retry applied', 'though it was known to be applied');

is(query("status || ' ' || (response ->> 'status') FROM workflow.effects WHERE key = '/cut=10+422/keyed'"), '200 200', 'what comes of asking again changes no success');
is($is{'/cut=10+ok/blind'}, 'succeeded no_body|1|1', 'what a lookup does not find neither');
is($is{'/cut=10+ok/careful'}, 'succeeded no_body|1|1', 'who asks a person about unknown outcomes asks for no answer again');

# An item that moves on leaves nothing in doubt that was answered with success.
$node->safe_psql('postgres', q{
	SELECT workflow.define('{"workflow": "orders", "initial": "PAY", "owner": "shop",
	  "queues": {"pay": {"owner": "shop", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {"PAY": {"http": {"endpoint": "keyed", "queue": "pay", "method": "POST", "path": "/cut=10/item", "key": ["item"],
	                              "retry": {"max_attempts": 5, "backoff": {"initial": "1 hour"}, "timeout": "1 second"}},
	                     "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "success"}}}');
	SELECT workflow.submit('orders', '{}', key => '1')});
wait_for("state = 'pending' AND substate = 'no_body' FROM workflow.effect WHERE key = 'item'", 'an answer is to be asked for again');
query("workflow.cancel('orders:1', 'not any more')");
is(query("state || ' ' || substate FROM workflow.effect WHERE key = 'item'"), 'succeeded no_body', 'and what was done is not called cancelled');

# A connection that is used again, and dies: libcurl would send once more by itself.
query("workflow.call('careful', 'POST', '/ok/warm', '{}', '/ok/warm')");
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = '/ok/warm'", 'there is a connection');
query("workflow.call('careful', 'POST', '/reset/warm', '{}', '/reset/warm')");
wait_for("state = 'held' FROM workflow.effects WHERE key = '/reset/warm'", 'it dies');
%is = outcomes();
is($faults->last('/reset/warm')->{reused} . $is{'/reset/warm'}, '1held|1|1', 'after one send');

# Nothing was sent: that is safe to repeat, whatever is declared.
my $closed = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)->sockport;
endpoint('closed', "dedup 'none', owner 'boss'", "http://127.0.0.1:$closed");
query("workflow.call('closed', 'POST', '/ok/closed', '{}', '/ok/closed')");
wait_for("attempts >= 2 AND error_class = 'connection' AND unknown_attempts = 0 FROM workflow.effect WHERE key = '/ok/closed'", 'no connection is tried again');
$node->safe_psql('postgres', 'ALTER SERVER closed OPTIONS (SET url \'' . $faults->url . '\')');
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = '/ok/closed'", 'until there is one');
%is = outcomes();
is($is{'/ok/closed'}, 'succeeded|1|1', 'and it is sent once');

# The same key again: the same request is the same effect, another one is refused.
is(query("workflow.call('once', 'POST', '/ok/again', '{}', 'again') = workflow.call('once', 'POST', '/ok/again', '{}', 'again')"), 't', 'the same request twice');
come_to_an_end();
is(query("workflow.call('once', 'POST', '/ok/again', '{}', 'again') = (SELECT effect_id FROM workflow.effects WHERE key = 'again')"), 't', 'and when it is done');
is($faults->requests('/ok/again'), 1, 'is sent once');
my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT workflow.call('once', 'POST', '/ok/again', '{\"other\": 1}', 'again')");
like($err, qr/WF005/, 'another request is refused');

$node->stop;
$faults->stop;
done_testing();
