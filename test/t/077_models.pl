# Models, as their providers answer: what is sent and read, which calls are made
# only once, what a budget and a rate of tokens let through, and what a crash in
# between costs.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use Cwd;
use FaultServer;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $faults  = FaultServer->new;
my $secrets = PostgreSQL::Test::Utils::tempdir();
append_to_file("$secrets/anthropic_key", 'sk-ant-secret');
chmod 0600, "$secrets/anthropic_key";
my $node = start_working_node(
	"shared_preload_libraries = 'pg_workflow, @{[getcwd()]}/build/points.so'\n"
	  . "restart_after_crash = on\npg_workflow.secrets_dir = '$secrets'\n");

sub sql
{
	return $node->safe_psql('postgres', @_);
}

my $json = JSON::PP->new->canonical;

# An endpoint whose calls meet such behaviours, and a workflow that asks a model there.
sub define
{
	my ($name, $behaviour, $model, %top) = @_;
	my $url = $faults->url . "/$behaviour";
	my $body = $model->{profile} eq 'openai_responses'
	  ? { model => 'm', input => '$.text' }
	  : { model => 'm', max_tokens => 100, messages => [ { role => 'user', content => '$.text' } ] };
	my $document = $json->encode({
		workflow => $name, owner => 'ml', key => ['$.id'], initial => 'ASK',
		retry => { default => { owner => 'ml', max_attempts => 5, timeout => '20 seconds',
				backoff => { initial => '50 milliseconds', factor => 1, jitter => 'none' } } },
		queues => { $name => { owner => 'ml', sla => '1 hour', escalate_to => ['lead'], %{ delete $top{queue} // {} } } },
		states => {
			ASK => { model => { endpoint => $name, queue => $name, body => $body, %$model }, as => 'answer', on => { ok => 'DONE', error => 'FAILED' } },
			DONE => { final => 'done' }, FAILED => { final => 'failed' } },
		%top });

	sql(qq{
		SET client_min_messages = error;
		CREATE SERVER IF NOT EXISTS "$name" FOREIGN DATA WRAPPER workflow_http
		  OPTIONS (url '$url', allow_http 'true', allow_private '127.0.0.0/8', dedup 'pure');
		SELECT version FROM workflow.define(\$document\$$document\$document\$)});
	return;
}

sub ask
{
	my ($name, $id, $text) = @_;
	return sql(qq{SELECT item_id FROM workflow.submit('$name', jsonb_build_object('id', '$id', 'text', '$text'))});
}

sub requests
{
	my $seen = $faults->seen->{requests};
	my $n = 0;
	foreach my $path (keys %$seen) { $n += $seen->{$path} if $path =~ m{$_[0]} }
	return $n;
}

# ---------------------------------------------------- what providers answer

my $good = '{"industry": "steel", "confidence": 0.82}';
my $spent = '210|25|1000|100';     # of the Anthropic answers
my $spent_there = '310|25|1000|';  # of those of OpenAI, which count otherwise
my %case = (
	anthropic_message       => "DONE|$good|end_turn|$spent||",
	anthropic_tool          => "DONE|$good|tool_use|345|57||||",
	anthropic_refusal       => 'FAILED||refusal|564|22|0|0|refused|',
	anthropic_max_tokens    => 'FAILED||max_tokens|210|100|||truncated|',
	anthropic_stream        => "DONE|$good|end_turn|$spent||",
	anthropic_too_long      => 'FAILED|||||||validation|context_too_long',
	openai_chat             => "DONE|$good|stop|$spent_there||",
	openai_tool             => "DONE|$good|tool_calls|$spent_there||",
	openai_refusal          => "FAILED||stop|$spent_there|refused|",
	openai_filter           => "FAILED||content_filter|$spent_there|refused|",
	openai_length           => "FAILED||length|$spent_there|truncated|",
	openai_chat_stream      => "DONE|$good|stop|$spent_there||",
	openai_chat_stream_undone => "DONE|$good|stop|$spent_there||",
	openai_too_long         => 'FAILED|||||||validation|context_too_long',
	openai_responses        => "DONE|$good|completed|$spent_there||",
	openai_responses_call   => "DONE|$good|completed|$spent_there||",
	openai_responses_refusal => "FAILED||completed|$spent_there|refused|",
	openai_responses_incomplete => "FAILED||max_output_tokens|$spent_there|truncated|",
	openai_responses_stream => "DONE|$good|completed|$spent_there||");
# what comes right the second time
my %again = (
	anthropic_stream_cut => 'anthropic_stream', anthropic_stream_error => 'anthropic_stream', anthropic_429 => 'anthropic_message',
	anthropic_529 => 'anthropic_message', openai_chat_stream_cut => 'openai_chat_stream',
	openai_chat_stream_broken => 'openai_chat_stream', openai_429 => 'openai_chat',
	openai_responses_failed => 'openai_responses', openai_responses_stream_cut => 'openai_responses_stream');

sub profile_of
{
	my ($name) = @_;
	return $name =~ /^(openai_responses|openai|anthropic)/ ? $1 : die;
}

foreach my $name (sort keys %case)
{
	define($name, "recorded=$name", { profile => profile_of($name) });
	ask($name, 'one', 'hello');
}
foreach my $name (sort keys %again)
{
	my $first = $name =~ /^(.*)_broken$/ ? "broken=$1_undone" : "recorded=$name";
	define($name, "$first+recorded=$again{$name}", { profile => profile_of($name) });
	ask($name, 'one', 'hello');
}
foreach my $name (qw(anthropic_spend openai_quota openai_daily))
{
	define($name, "recorded=$name", { profile => profile_of($name) });
	ask($name, 'one', 'hello');
}
wait_for("count(*) = 28 FROM workflow.items WHERE outcome IS NOT NULL", 'all but three have ended');
my %result = map { /^(.*?)\|(.*)$/ ? ($1, $2) : () } split /\n/, sql(q{
	SELECT i.workflow, i.state, i.data -> 'answer', o.stop_reason, o.input_tokens, o.output_tokens, o.cache_read_tokens, o.cache_write_tokens, e.error_class, e.substate
	FROM workflow.item AS i JOIN workflow.effect AS e USING (item_id) LEFT JOIN workflow.model_outputs AS o USING (model_output_id)});
is_deeply({ map { $_ => $result{$_} } keys %case }, \%case, 'each answer is read as what it is');
is_deeply({ map { $_ => $result{$_} } keys %again }, { map { $_ => $case{ $again{$_} } } keys %again },
	'streams that end too soon, rate limits, overloads and failures are tried again');
wait_for("count(*) = 2 FROM workflow.effects WHERE state = 'blocked' AND reason LIKE '%a quota is used up'",
	'spent money is a matter for people, although no Retry-After, and x-should-retry, came');
wait_for("pause_until BETWEEN now() + interval '7 hours' AND now() + interval '8 hours' FROM workflow.endpoints WHERE endpoint = 'openai_daily'",
	'a quota of the day is a matter of time');
is(sql(q{SELECT string_agg(endpoint || ' ' || error_class, ', ') FROM workflow.effects WHERE state = 'pending'}), 'openai_daily rate_limited', 'and nothing else waits for a time');
is(sql(q{SELECT string_agg(i.workflow, ' ') FROM workflow.item AS i JOIN workflow.effect AS e USING (item_id) WHERE e.attempts > 1 AND i.workflow IN ('openai_chat_stream', 'openai_chat_stream_undone')}),
	'', 'a stream that is all there is answered by the first attempt, with [DONE] or without');
is(sql(q{SELECT e.attempts FROM workflow.item AS i JOIN workflow.effect AS e USING (item_id) WHERE i.workflow = 'openai_chat_stream_broken'}),
	'2', 'one whose connection breaks off is not, whatever it has told');
is(sql(q{SELECT string_agg(request_id, ' ' ORDER BY request_id) FROM workflow.model_outputs WHERE workflow IN ('anthropic_message', 'openai_chat')}),
	'req_018EeWyXxfu5pfWkrYcMdjWG req_6d1f2c8a4b', 'the request id of the provider is kept');

# ------------------------------------------------------------- what is sent

sql(q{ALTER SERVER anthropic_message OPTIONS (ADD "header_anthropic-beta" 'some-beta');
	  CREATE USER MAPPING FOR CURRENT_USER SERVER anthropic_message OPTIONS ("header_secret_x-api-key" 'anthropic_key')});
ask('anthropic_message', 'two', 'again');
wait_for("outcome = 'done' FROM workflow.items WHERE workflow = 'anthropic_message' AND key = 'two'", 'with a secret');
my $sent = $faults->last('/recorded=anthropic_message/v1/messages')->{header};
is("$sent->{'anthropic-version'} $sent->{'x-api-key'} $sent->{'anthropic-beta'} $sent->{'content-type'}",
	'2023-06-01 sk-ant-secret some-beta application/json', 'the headers that the API wants');
sql(q{ALTER SERVER anthropic_message OPTIONS (ADD "header_anthropic-version" '2030-01-01')});
ask('anthropic_message', 'three', 'and again');
wait_for("outcome = 'done' FROM workflow.items WHERE workflow = 'anthropic_message' AND key = 'three'", 'with a version');
is($faults->last('/recorded=anthropic_message/v1/messages')->{header}{'anthropic-version'}, '2030-01-01', 'what the endpoint says goes before');

# -------------------------------------------------------- asked only once

define('slow', 'slowly=anthropic_message', { profile => 'anthropic' });
sql(q{SELECT workflow.submit_many('slow', (SELECT array_agg(jsonb_build_object('id', n, 'text', 'the same')) FROM generate_series(1, 8) AS n))});
wait_for("count(*) = 7 FROM workflow.job WHERE queue = 'slow' AND waiting_on = 'same_request'", 'seven wait for the eighth');
like(sql(q{SELECT w.waiting_detail FROM workflow.job AS j, workflow.where_is(j.item_id) AS w WHERE j.waiting_on = 'same_request' LIMIT 1}),
	qr/effect \d+ asks the same just now; job \d+ looks again at/, 'and say so');
wait_for("count(*) = 8 FROM workflow.items WHERE workflow = 'slow' AND outcome = 'done'", 'eight items ask the same');
is(requests('slowly=anthropic_message'), 1, 'it is asked once');
is(sql(q{SELECT count(*) FILTER (WHERE cached_from IS NOT NULL), count(DISTINCT output) FROM workflow.model_outputs WHERE workflow = 'slow'}), '7|1', 'and answered eight times');
ask('slow', 'nine', 'the same');
is(sql(q{SELECT state FROM workflow.item WHERE workflow = 'slow' AND key = 'nine'}), 'DONE', 'the ninth does not even wait for a worker');
define('slow', 'slowly=anthropic_message', { profile => 'anthropic', cache => JSON::PP::false });
sql(q{SELECT workflow.submit_many('slow', (SELECT array_agg(jsonb_build_object('id', 'own' || n, 'text', 'the same')) FROM generate_series(1, 3) AS n))});
wait_for("count(*) = 3 FROM workflow.items WHERE workflow = 'slow' AND key LIKE 'own%' AND outcome = 'done'", 'three that want an answer of their own');
is(requests('slowly=anthropic_message'), 4, 'get one each');

# ------------------------------------------------------------------- budget

# an answer takes 1335 tokens; each is thought to take 2000
my $thrifty = { profile => 'anthropic', estimate => 2000, cache => JSON::PP::false };
define('thrifty', 'slowly=anthropic_message', $thrifty, budget => { tokens => 4500 });
my $before = requests('slowly=anthropic_message');
sql(q{SELECT workflow.submit_many('thrifty', (SELECT array_agg(jsonb_build_object('id', n, 'text', n::text)) FROM generate_series(1, 6) AS n))});
wait_for("tokens = 4000 FROM workflow.model_budgets WHERE workflow = 'thrifty'", 'two are under way, with what they are thought to take');
wait_for("count(*) = 2 FROM workflow.items WHERE workflow = 'thrifty' AND outcome = 'done'", 'two that begin together have room');
wait_for("count(*) = 4 FROM workflow.job WHERE queue = 'thrifty' AND status = 'ready' AND waiting_on = 'budget' AND attempt = 0", 'the others wait, uncharged');
is(requests('slowly=anthropic_message') - $before, 2, 'and were not sent');
is(sql(q{SELECT tokens, token_limit, refused_at IS NOT NULL FROM workflow.model_budgets WHERE workflow = 'thrifty'}), '2670|4500|t', 'what they took is counted');
like(sql(q{SELECT w.waiting_on || ': ' || w.waiting_detail FROM workflow.job AS j, workflow.where_is(j.item_id) AS w WHERE j.waiting_on = 'budget' LIMIT 1}),
	qr/^budget: budget of workflow thrifty, 2670 of 4500 tokens are spent today, there is a new one at .*; job \d+ looks again at/, 'where_is() says what and until when');
is(sql(q{SELECT kind, subject, owner FROM workflow._conditions_of_models()}), 'budget_spent|workflow:thrifty|ml', 'its owner is to know');
define('thrifty', 'slowly=anthropic_message', $thrifty, budget => { tokens => 100000 });
sql(q{UPDATE workflow.job SET run_at = now() WHERE waiting_on = 'budget'});    # five minutes later
wait_for("count(*) = 6 FROM workflow.items WHERE workflow = 'thrifty' AND outcome = 'done'", 'a larger one lets them go on');
is(sql('SELECT count(*) FROM workflow._conditions_of_models()'), '0', 'and nothing is wrong any more');

# --------------------------------------------------------- rates in tokens

define('paced', 'recorded=anthropic_message', { profile => 'anthropic', estimate => 20000, units => 'tokens', cache => JSON::PP::false },
	queue => { rate_limit => { count => 30000, per => '1 hour' } });
sql(q{SELECT workflow.submit_many('paced', (SELECT array_agg(jsonb_build_object('id', n, 'text', n::text)) FROM generate_series(1, 5) AS n))});
# 20000 are charged at each claim, and 18665 given back
wait_for("count(*) = 5 FROM workflow.items WHERE workflow = 'paced' AND outcome = 'done'", 'what was charged too much is given back');
is(sql(q{SELECT round(extract(epoch FROM r.next_at - (SELECT min(a.started_at) FROM workflow.attempt AS a JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'paced')) / 100)
		 FROM workflow.rate AS r WHERE r.name = 'paced'}), 8, 'five times 1335 tokens of 30000 an hour are on the clock');

# a send that was refused takes nothing either
define('refused', 'recorded=anthropic_429+recorded=anthropic_message+recorded=anthropic_message', { profile => 'anthropic', estimate => 10000, units => 'tokens', cache => JSON::PP::false },
	queue => { rate_limit => { count => 30000, per => '1 hour' } });
ask('refused', 'one', 'hello');
wait_for("outcome = 'done' FROM workflow.items WHERE workflow = 'refused'", 'it is sent again');
is(sql(q{SELECT round(extract(epoch FROM r.next_at - (SELECT min(a.started_at) FROM workflow.attempt AS a JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'refused')) / 100)
		 FROM workflow.rate AS r WHERE r.name = 'refused'}), 2, 'and once 1335 tokens of 30000 an hour are on the clock');

# ------------------------------------------------------------- and a crash

sub stops_at
{
	my ($label) = @_;
	my $file = $node->data_dir . '/point';
	append_to_file("$file.new", "$label " . sql('SELECT oid FROM pg_database WHERE datname = current_database()'));
	rename "$file.new", $file or die "cannot rename $file.new: $!";
	return;
}

# Ends the process that has stopped there, and waits until the server is up again.
sub dies_there
{
	my $began = sql(q{SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer'});
	my ($pid);
	foreach (1 .. 1000)
	{
		($pid) = map { /\.(\d+)$/ } glob $node->data_dir . '/point.[0-9]*';
		last if defined $pid;
		select undef, undef, undef, 0.02;
	}
	ok(defined $pid, 'it comes there');
	kill 'KILL', $pid;
	unlink $node->data_dir . "/point.$pid";
	$node->poll_query_until('postgres', "SELECT min(backend_start) <> '$began' FROM pg_stat_activity WHERE backend_type = 'checkpointer'") or die 'not up again';
	return;
}

# between an answer that the schema does not allow and the question that follows from it
define('reasked', 'recorded=anthropic_refusal', { profile => 'anthropic', reask => 2, schema => { type => 'object', required => ['region'] } });
sql(q{ALTER SERVER reasked OPTIONS (SET url '} . $faults->url . q{/recorded=anthropic_message+recorded=anthropic_message+recorded=anthropic_tool')});
stops_at('record_flushed');
ask('reasked', 'one', 'where?');
dies_there();
wait_for("outcome = 'failed' FROM workflow.items WHERE workflow = 'reasked'", 'it goes on, to the end');
is(sql(q{SELECT string_agg(regexp_replace(e.key, '^\d+', 'I') || ' ' || e.state || ' ' || e.attempts, ', ' ORDER BY e.effect_id)
		 FROM workflow.effects AS e JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'reasked'}),
	'I:ASK:1 failed 1, I:ASK:1#2 failed 1, I:ASK:1#3 failed 1', 'it was asked three times, each question once');
is(requests('^/recorded=anthropic_message\+recorded=anthropic_message'), 3, 'as the provider saw it');
my $last = $json->decode($faults->last('/recorded=anthropic_message+recorded=anthropic_message+recorded=anthropic_tool/v1/messages')->{body});
is(join(' ', map { $_->{role} } @{ $last->{messages} }), 'user assistant user assistant user', 'in one conversation');
like($last->{messages}[2]{content}, qr/"region" is missing/, 'with what was wrong');

# with a call on the wire: it may have cost what it was thought to
define('lost', 'slowly=anthropic_message', { profile => 'anthropic', estimate => 2000 }, budget => { tokens => 10000 });
stops_at('call_started');
ask('lost', 'one', 'lost');
dies_there();
wait_for("outcome = 'done' FROM workflow.items WHERE workflow = 'lost'", 'it is asked again');
is(sql(q{SELECT b.tokens, (SELECT count(*) FROM workflow.model_call AS c JOIN workflow.effect AS e USING (effect_id) WHERE c.workflow = 'lost' AND c.used_tokens IS NULL)
		      , (SELECT e.attempts FROM workflow.effects AS e JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'lost')
		 FROM workflow.model_budgets AS b WHERE b.workflow = 'lost'}),
	'3335|0|2', 'what nobody knows counts as it was estimated, beside what the second one took');
is(sql(q{SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok}), '0', 'and all items are sound');

$node->stop;
$faults->stop;
done_testing();
