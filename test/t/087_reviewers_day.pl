# A reviewer's day: 50 reviews, of which three people decide, each in a session of
# his own, with an escalation, a delegation, a stale decision, four eyes, an edit
# that does not fit, approvals by two, a pause of the clock, and one that nobody
# looks at in time. In the end every item, move and journal entry is as it has to be.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node();

sub query { return $node->safe_psql('postgres', "SELECT $_[0]") }

# What a person sees who logs in and asks, or the SQLSTATE of the refusal.
sub by
{
	my ($role, $sql) = @_;
	my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT $sql", extra_params => [ '-U', $role ]);
	return $code == 0 ? $out : $err =~ /ERROR:  (\w{5}):/ ? $1 : $err;
}

# The open review of an item.
sub review
{
	my ($key) = @_;
	return query("id FROM workflow.review_inbox WHERE key = '$key'");
}

sub decide
{
	my ($role, $key, $rest) = @_;
	return by($role, "state FROM workflow.decide(" . review($key) . ", $rest)");
}

$node->safe_psql(
	'postgres', q{
	CREATE ROLE sam LOGIN; CREATE ROLE olga LOGIN;
	CREATE ROLE rita LOGIN; CREATE ROLE otto LOGIN; CREATE ROLE dana LOGIN;
	SELECT workflow.grant_role('sam', 'submitter'), workflow.grant_role('olga', 'operator'),
	       workflow.grant_role('rita', 'reviewer'), workflow.grant_role('otto', 'reviewer'), workflow.grant_role('dana', 'reviewer'),
	       workflow.grant_role('rita', 'submitter');
	SELECT workflow.create_queue('desk', 'clerks', '1 day', '{otto,dana}');
	SELECT workflow.create_queue('calls', 'clerks', '1 day', '{otto}')});

# Two of each: by one person or by two, and with a clock that runs out at once.
sub define
{
	my ($name, $review) = @_;
	$node->safe_psql(
		'postgres', qq{SELECT workflow.define('{
		"workflow": "$name", "owner": "bank", "initial": "ASK", "states": {
		"ASK": {"review": {"decisions": ["approve", "reject", "again"], "show": ["\$.terms"], "editable": "\$.terms", "current": "\$.asked",
		                   "schema": {"type": "object", "required": ["sum"], "properties": {"sum": {"type": "integer", "maximum": 1000}}},
		                   "reasons": {"reject": ["too_much", "no_papers"]}, "reason_required": ["again"], $review},
		        "on": {"approve": "PAID", "reject": "REFUSED", "again": "ASK", "withdraw": "WITHDRAWN"}},
		"PAID": {"final": "paid"}, "REFUSED": {"final": "refused"}, "WITHDRAWN": {"final": "withdrawn"}}}')});
	return;
}
define('small', '"queue": "desk", "on_overdue": "escalate"');
define('vip', '"queue": "desk", "on_overdue": "escalate", "priority": -1');
define('large', '"queue": "desk", "on_overdue": "escalate", "four_eyes": true, "approvals": 2');
define('urgent', '"queue": "desk", "on_overdue": "escalate", "sla": "1 second"');
define('phoned', '"queue": "calls", "on_overdue": "escalate", "sla": "1 second"');
define('hasty', '"queue": "desk", "on_overdue": "reject", "sla": "1 second"');

sub submit
{
	my ($role, $workflow, @keys) = @_;
	is(by($role, "count(workflow.submit('$workflow', '{\"terms\": {\"sum\": 900}, \"asked\": {\"sum\": 950}}', key => k)) FROM unnest('{"
				. join(',', @keys) . "}'::text[]) AS k"),
		scalar @keys, "$role asks for " . scalar(@keys) . " $workflow loans");
	return;
}
my @bulk = map { sprintf 'B%02d', $_ } 1 .. 20;
my @pairs = map { sprintf 'P%02d', $_ } 1 .. 10;
my @board = map { sprintf 'T%02d', $_ } 1 .. 9;
submit('sam', 'small', @bulk, @pairs, qw(edit stale handed));
submit('sam', 'vip', 'given', 'other');
submit('sam', 'large', @board, 'changed', 'gone');
submit('rita', 'large', 'own');
is(by('olga', "workflow.pause_queue('calls', 'the line is dead')"), '', 'calls wait');
submit('sam', 'phoned', 'phoned');
submit('sam', 'urgent', 'urgent');
submit('sam', 'hasty', 'hasty');
is(query('count(*) FROM workflow.reviews'), 50, 'that is 50 reviews');

# while others work: nobody looks at these two
is(by('rita', 'workflow.pause_review(' . review('phoned') . ", 'asked the customer')"), '', 'one waits for the customer');
is(by('olga', "workflow.resume_queue('calls', 'mended')"), '', 'calls go on');

# ---- many alike
is(by('rita', "count(*), bool_and(may_decide) FROM workflow.review_inbox WHERE workflow = 'small' AND key LIKE 'B%'"), '20|t', 'rita sees what she may decide');
is( by('rita', "workflow.decide_many(array_agg(id), 'approve', 'all known') FROM workflow.review_inbox WHERE key LIKE 'B%'"), 20, 'rita approves 20 at once');
is(by('otto', "workflow.decide_many(array_agg(id), 'reject') FROM workflow.review_inbox WHERE key LIKE 'P%'"), 'WF007', 'a reject wants a reason');
is(by('otto', "workflow.decide_many(array_agg(id), 'reject', 'weather') FROM workflow.review_inbox WHERE key LIKE 'P%'"), 'WF007', 'that is one of the codes');
is(by('otto', "workflow.decide_many(array_agg(id) || 999999, 'reject', 'no_papers') FROM workflow.review_inbox WHERE key LIKE 'P%'"), 'WF012', 'all or none');
is(query("count(*) FROM workflow.review_inbox WHERE key LIKE 'P%'"), 10, 'here it is none');
is(by('otto', "workflow.decide_many(array_agg(id), 'reject', 'no_papers: asked twice') FROM workflow.review_inbox WHERE key LIKE 'P%'"), 10, 'otto rejects ten');

# ---- approvals by two, with four eyes
is(by('rita', "workflow.decide_many(array_agg(id), 'approve') FROM workflow.review_inbox WHERE key LIKE 'T%'"), 9, 'rita approves nine large ones');
is(query("count(*) FROM workflow.items WHERE key LIKE 'T%' AND state = 'ASK'"), 9, 'they want a second person');
is(decide('rita', 'T01', "'approve'"), 'WF007', 'who is not rita again');
is(by('rita', "count(*) FROM workflow.review_inbox WHERE key LIKE 'T%' AND may_decide"), 0, 'she sees that');
is(by('dana', "workflow.decide_many(array_agg(id), 'approve') FROM workflow.review_inbox WHERE key BETWEEN 'T01' AND 'T08'"), 8, 'dana does for eight');
is(decide('dana', 'T09', "'reject', 'too_much'"), 'REFUSED', 'and rejects the last, which takes one');

# ---- four eyes: rita asked for it herself
is(decide('rita', 'own', "'approve'"), 'WF007', 'rita does not decide on her own loan');
is(by('rita', 'workflow.delegate(' . review('own') . ", 'olga')"), 'WF007', 'nor choose who does');
is(decide('otto', 'own', "'approve'"), 'ASK', 'otto approves it');
is(decide('dana', 'own', "'approve'"), 'PAID', 'and dana');

# ---- an edit that does not fit, and one that does
is(by('rita', "changes FROM workflow.review_inbox WHERE key = 'edit'"), '{"sum": {"to": 900, "from": 950}}', 'what the proposal would change');
is(decide('rita', 'edit', "'approve', patch => '{\"sum\": 2000}'"), 'WF011', 'an edit is validated');
is(query("proposed FROM workflow.review_inbox WHERE key = 'edit'"), '{"sum": 900}', 'and nothing is lost');
is(decide('rita', 'edit', "'approve', 'as he wrote', '{\"sum\": 800}'"), 'PAID', 'the next one fits');

# ---- a stale decision: otto has sent it back meanwhile
my ($seen, $seq) = split /\|/, by('rita', "id, seq FROM workflow.review_inbox WHERE key = 'stale'");
is(decide('otto', 'stale', "'again', 'which branch?'"), 'ASK', 'otto asks again');
is(by('rita', "workflow.decide($seen, 'approve')"), 'WF002', 'what rita has seen is closed');
is(decide('rita', 'stale', "'approve', expected_seq => $seq"), 'WF002', 'and the item has moved');
is(by('rita', "previous ->> 'reason' FROM workflow.review_inbox WHERE key = 'stale'"), 'which branch?', 'she reads why');
is(decide('rita', 'stale', "'approve', expected_seq => $seq + 1"), 'PAID', 'and decides on that');

# ---- delegated, released
is(by('otto', 'workflow.delegate(' . review('handed') . ", 'dana')"), '', 'otto hands one to dana');
is(decide('rita', 'handed', "'approve'"), 'WF007', 'rita may not take it');
is(decide('dana', 'handed', "'reject', 'too_much'"), 'REFUSED', 'dana decides');
is(by('rita', "workflow.claim_review('desk')"), review('given'), 'rita claims the most urgent one');
is(decide('otto', 'given', "'approve'"), 'WF007', 'it is hers');
is(by('rita', 'workflow.release_review(' . review('given') . ')'), '', 'until she gives it back');
is(by('otto', "workflow.claim_review('desk')"), review('given'), 'otto claims it then');
is(by('rita', "workflow.claim_review('desk')"), review('other'), 'rita the next one');
is(decide('rita', 'given', "'approve'"), 'WF007', 'it is his now');
is(decide('otto', 'given', "'approve'"), 'PAID', 'he decides');
is(decide('rita', 'other', "'reject', 'no_papers'"), 'REFUSED', 'she decides');

# ---- a changed proposal is a new question; a withdrawn one is none
my $old = review('changed');
is(decide('rita', 'changed', "'approve', patch => '{\"sum\": 500}'"), 'ASK', 'rita approves less');
is(by('otto', "workflow.decide($old, 'approve')"), 'WF002', 'otto has seen the old proposal');
is(by('otto', "proposed, changes, votes #>> '{0,by}' FROM workflow.review_inbox WHERE key = 'changed'"),
	'{"sum": 500}|{"sum": {"to": 500, "from": 950}}|rita', 'he looks at the new one');
is(decide('otto', 'changed', "'approve'"), 'PAID', 'and approves that');
is(by('sam', "state FROM workflow.send('large:gone', 'withdraw')"), 'WITHDRAWN', 'sam withdraws one');

# ---- nobody looked: it went up the chain; or was decided as the definition says
wait_for("step = 2 AND owner = 'dana' AND overdue FROM workflow.review_inbox WHERE key = 'urgent'", 'one goes up to dana');
wait_for("state = 'REFUSED' FROM workflow.items WHERE key = 'hasty'", 'another one is refused');
is(query("concat_ws(' ', kind, owner, severity) FROM workflow._conditions_of_review()"), 'review_escalated dana ticket', 'dana is to be told');
is(decide('dana', 'urgent', "'approve', 'sorry'"), 'PAID', 'and decides');
is(query("count(*) FROM workflow._conditions_of_review()"), 0, 'then nobody is');

# ---- the customer answers, long after it was due; then the clock goes on
wait_for("t.due_at = 'infinity' FROM workflow.timer AS t JOIN workflow.item AS i USING (item_id) WHERE i.key = 'phoned'", 'its time has come, and is not counted');
is(query("step, overdue, stands_because LIKE 'review paused by rita: asked%' FROM workflow.review_inbox WHERE key = 'phoned'"), '0|f|t', 'it stands');
is(by('rita', 'workflow.resume_review(' . review('phoned') . ", 'he called')"), '', 'rita goes on');
wait_for("step = 1 AND owner = 'otto' FROM workflow.review_inbox WHERE key = 'phoned'", 'then it is overdue');
is(decide('otto', 'phoned', "'approve'"), 'PAID', 'and otto decides');

# ------------------------------------------------------------ in the evening
is(query('count(*) FROM workflow.review_inbox'), 0, 'the inbox is empty');
is(query("string_agg(concat_ws(' ', status, n), ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM workflow.reviews GROUP BY 1) AS s"),
	'decided 49, left 2, replaced 1', 'every review is accounted for');
is(query("bool_and(lead_time >= '0' AND (key = 'phoned') = (paused_for > '0')) FROM workflow.reviews"), 't', 'and how long it took');
is(query('count(*) FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok'), 0, 'the log is sound');

sub lines
{
	my ($text) = @_;
	return join "\n", sort map { s/\s+\z//r } grep { /\S/ } split /\n/, $text;
}

is( lines(query("string_agg(concat_ws(' ', key, state), E'\\n') FROM workflow.items")),
	lines(join "\n", (map { "$_ PAID" } @bulk, @board[ 0 .. 7 ]), (map { "$_ REFUSED" } @pairs, $board[8]), <<'END'),
changed PAID
edit PAID
given PAID
gone WITHDRAWN
handed REFUSED
hasty REFUSED
other REFUSED
own PAID
phoned PAID
stale PAID
urgent PAID
END
	'every item is where it has to be');

my $worker = q{CASE WHEN actor LIKE 'pg\_workflow%' THEN 'the worker' ELSE actor END};
is( lines(query("string_agg(concat_ws(' ', i.key, t.seq, t.event, t.kind, $worker, t.reason), E'\\n')
		FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE t.seq > 1") =~ s/overdue since .*/overdue/gr),
	lines(join "\n", (map { "$_ 2 approve review rita all known" } @bulk),
		(map { "$_ 2 reject review otto no_papers: asked twice" } @pairs),
		(map { "$_ 2 approve review dana" } @board[ 0 .. 7 ]), <<'END'),
T09 2 reject review dana too_much
changed 2 approve review otto
edit 2 approve review rita as he wrote
given 2 approve review otto
gone 2 withdraw send sam
handed 2 reject review dana too_much
hasty 2 reject engine the worker overdue
other 2 reject review rita no_papers
own 2 approve review dana
phoned 2 approve review otto
stale 2 again review otto which branch?
stale 3 approve review rita
urgent 2 approve review dana sorry
END
	'every move is logged');

my $detail = q{(n.detail - '{replaces,at}'::text[])::text};
is( lines(query("string_agg(concat_ws(' ', i.key, n.action, $worker, n.reason, $detail), E'\\n' ORDER BY n.journal_id)
		FROM workflow.journal AS n LEFT JOIN workflow.item AS i USING (item_id) WHERE n.subject ~ '^(review|queue):'") =~ s/overdue since \S+ \S+/overdue/gr),
	lines(join "\n", (map { $_ . ' vote rita {"votes": 1, "needed": 2, "decision": "approve"}' } @board), <<'END'),
changed vote rita {"patch": {"sum": 500}, "votes": 1, "needed": 2, "decision": "approve"}
given claim review otto {"seq": 1}
given claim review rita {"seq": 1}
given release review rita {"to": null, "from": "rita"}
handed delegate review otto {"to": "dana", "from": null}
other claim review rita {"seq": 1}
own vote otto {"votes": 1, "needed": 2, "decision": "approve"}
pause_queue olga the line is dead
phoned escalate the worker overdue {"to": "otto", "step": 1}
phoned pause review rita asked the customer
phoned resume review rita he called
resume_queue olga mended
urgent escalate the worker overdue {"to": "dana", "step": 2}
urgent escalate the worker overdue {"to": "otto", "step": 1}
END
	'and what else people did');

is(lines(query("string_agg(concat_ws(' ', i.key, v.voter, v.decision), E'\\n') FROM workflow.review_vote AS v JOIN workflow.reviews AS i ON i.id = v.review_id")),
	lines(join "\n", (map { ("$_ rita approve", "$_ dana approve") } @board[ 0 .. 7 ]), <<'END'),
T09 dana reject
T09 rita approve
changed otto approve
changed rita approve
own dana approve
own otto approve
END
	'and who approved what');

done_testing();
