--
-- Reviews that several people have to approve: who counts, what a change of the
-- proposal does to votes, and which reasons a decision takes.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET pg_workflow.clock = '2030-01-01 00:00';
CREATE ROLE regress_ann;
CREATE ROLE regress_bob;
CREATE ROLE regress_eve;
SELECT count(workflow.grant_role(r, 'reviewer')) FROM unnest('{regress_ann,regress_bob,regress_eve}'::text[]) AS r;
SELECT workflow.grant_role('regress_ann', 'submitter');
CREATE FUNCTION started(workflow text, keys text[], input jsonb) RETURNS bigint LANGUAGE sql AS
  'SELECT count(workflow.submit(workflow, input, k)) FROM unnest(keys) AS k';
SELECT workflow.define('{
  "workflow": "loans", "owner": "me", "initial": "ASK",
  "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead", "director"]}},
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["approve", "reject", "again"], "show": ["$.who"],
                       "editable": "$.terms", "schema": {"type": "object", "required": ["sum"], "additionalProperties": false,
                         "properties": {"sum": {"type": "integer", "maximum": 1000}, "months": {"type": "integer", "minimum": 1}}},
                       "four_eyes": true, "approvals": 2, "on_overdue": "escalate",
                       "reasons": {"reject": ["too_risky", "incomplete"]}, "reason_required": ["again"]},
            "as": "verdict", "on": {"approve": "PAY", "reject": "END", "again": "ASK"}},
    "PAY": {"final": "paid"}, "END": {"final": "refused"}}}');
SELECT started('loans', '{1,2,3,4,5,6}', '{"who": "x", "terms": {"sum": 900}}');

-- one approval is a vote: the item stays, the claim ends, others find it
SET ROLE regress_bob;
SELECT workflow.claim_review('desk');
SELECT * FROM workflow.decide(1, 'approve', 'known', expected_seq => 1);
SELECT id, assignee, votes, approvals, may_decide, why_not FROM workflow.review_inbox WHERE id = 1;
-- and where it is says how many are still needed
SELECT waiting_detail FROM workflow.where_is('loans:1');
SELECT waiting_detail FROM workflow.where_is('loans:2');
-- one person, one vote, whatever it would be now
SELECT workflow.decide(1, 'approve');
SELECT workflow.decide(1, 'reject', 'too_risky');
-- nor is it claimed again, or handed back
SELECT workflow.claim_review('desk');
SELECT workflow.release_review(2);
SET ROLE regress_eve;
SELECT workflow.delegate(1, 'regress_bob');
-- the second approval moves it
SELECT * FROM workflow.decide(1, 'approve', expected_seq => 1);
RESET ROLE;
SELECT state, data -> 'verdict' AS verdict FROM workflow.items WHERE key = '1';
SELECT voter, decision, reason FROM workflow.review_vote WHERE review_id = 1 ORDER BY voter;
SELECT seq, event, kind, actor FROM workflow.transition WHERE item_id = 1 ORDER BY seq;

-- a reject ends it at once, with one of its reasons, alone or before a note
SET ROLE regress_bob;
SELECT seq, state FROM workflow.decide(2, 'approve');
SET ROLE regress_eve;
SELECT workflow.decide(2, 'reject');
SELECT workflow.decide(2, 'reject', 'do not like it');
SELECT seq, state FROM workflow.decide(2, 'reject', 'incomplete: no payslip');
RESET ROLE;
SELECT status, decision, decided_by, reason, reason_code, votes FROM workflow.reviews WHERE id = 2;

-- an edit that does not fit is refused with every error; nothing is decided or lost
SET ROLE regress_bob;
SELECT workflow.claim_review('desk') AS claimed;
SELECT workflow.decide(3, 'approve', patch => '{"sum": "much", "months": 0, "gift": 1}');
SELECT id, assignee, proposed, votes FROM workflow.review_inbox WHERE id = 3;
-- one that fits is a new question: who has seen the old one is told
SELECT seq, state FROM workflow.decide(3, 'approve', patch => '{"sum": 700, "months": 12}');
SET ROLE regress_eve;
SELECT workflow.decide(3, 'approve', expected_seq => 1);
SELECT id, proposed, votes, due_at, opened_at, may_decide FROM workflow.review_inbox WHERE item_id = 3;
-- a change of the change: the first one has to see that, too
SELECT seq, state FROM workflow.decide(7, 'approve', 'a little less', '{"sum": 650}');
SELECT seq, state FROM workflow.decide(8, 'approve');
SET ROLE regress_bob;
SELECT id, proposed, votes FROM workflow.review_inbox WHERE item_id = 3;
-- a patch that changes nothing is none
SELECT seq, state FROM workflow.decide(8, 'approve', patch => '{"sum": 650}');
RESET ROLE;
SELECT state, data FROM workflow.items WHERE key = '3';
SELECT id, status, replaced_by, decision, decided_by, patch FROM workflow.reviews WHERE item_id = 3 ORDER BY id;

-- four eyes: not who submitted, decided before, or voted in a review before; nor
-- does any of them choose who decides
SET ROLE regress_ann;
SELECT item_id FROM workflow.submit('loans', '{"who": "ann", "terms": {"sum": 1}}', 'own') \gset
SELECT id AS own FROM workflow.review_inbox WHERE item_id = :item_id \gset
SELECT may_decide, why_not FROM workflow.review_inbox WHERE id = :own;
\set VERBOSITY terse
SELECT workflow.decide(:own, 'approve');
SELECT workflow.delegate(:own, 'regress_bob');
-- the queue's owner and chain may be asked
SELECT workflow.delegate(:own, 'director');
SET ROLE regress_bob;
SELECT seq, state FROM workflow.decide(:own, 'approve');
SET ROLE regress_eve;
SELECT seq, state FROM workflow.decide(:own, 'again', 'the rate is missing');
SELECT id AS own, previous ->> 'decision' AS previous, jsonb_array_length(earlier) AS earlier FROM workflow.review_inbox WHERE item_id = :item_id \gset
SET ROLE regress_bob;
SELECT workflow.decide(:own, 'approve');
SET ROLE regress_eve;
SELECT workflow.decide(:own, 'approve');
SELECT workflow.delegate(:own, 'regress_ann');
RESET ROLE;
\set VERBOSITY default

-- as many as each decision says
SELECT workflow.define('{
  "workflow": "board", "owner": "me", "initial": "ASK",
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["yes", "no"], "approvals": {"yes": 3, "no": 2.0}, "priority": 1e1, "on_overdue": "escalate"},
            "on": {"yes": "DONE", "no": "END"}},
    "DONE": {"final": "done"}, "END": {"final": "refused"}}}');
SELECT started('board', '{a,b}', '{}');
SELECT min(id) AS a, max(id) AS b FROM workflow.review_inbox WHERE workflow = 'board' \gset
SET ROLE regress_ann;
SELECT workflow.decide_many(ARRAY[:b, :a], 'no');
SET ROLE regress_bob;
SELECT state FROM workflow.decide(:a, 'yes');
SET ROLE regress_eve;
SELECT workflow.decide_many(ARRAY[:b, :a], 'no');
RESET ROLE;
SELECT key, state, data FROM workflow.items WHERE workflow = 'board' ORDER BY key;
SELECT subject, actor, reason, detail FROM workflow.journal WHERE action = 'vote' ORDER BY journal_id;
SELECT what, detail, actor, reason FROM workflow.timeline('board:b') WHERE what LIKE '%vote%' OR what LIKE 'review%';

-- a vote goes on in another version, where the review is the same
SELECT started('board', '{c}', '{}');
SELECT max(id) AS c FROM workflow.review_inbox WHERE workflow = 'board' \gset
SET ROLE regress_ann;
SELECT state FROM workflow.decide(:c, 'no');
RESET ROLE;
SELECT workflow.define('{
  "workflow": "board", "owner": "me", "initial": "ASK",
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["yes", "no"], "approvals": {"yes": 3, "no": 2.0}, "priority": 1e1, "on_overdue": "escalate"},
            "on": {"yes": "DONE", "no": "END"}},
    "DONE": {"final": "done"}, "END": {"final": "not this time"}}}');
SELECT state, verdict, items, reviews FROM workflow.migrate('board', 1, 2, dry_run => false, reason => 'x') WHERE reviews > 0;
SELECT id = :c AS same, seq, jsonb_array_length(votes) AS votes FROM workflow.review_inbox WHERE workflow = 'board';
SET ROLE regress_bob;
SELECT seq, state FROM workflow.decide(:c, 'no', expected_seq => 2);
RESET ROLE;
SELECT outcome FROM workflow.items WHERE workflow = 'board' AND key = 'c';

-- a member that an edit makes null is on record, too
BEGIN;
SELECT workflow.define('{
  "workflow": "gifts", "owner": "me", "initial": "ASK",
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["yes", "no"], "approvals": {"yes": 2}, "editable": "$.gift", "on_overdue": "escalate"},
            "on": {"yes": "ASK2", "no": "END"}},
    "ASK2": {"review": {"queue": "desk", "decisions": ["yes"], "editable": "$.gift", "on_overdue": "escalate"}, "on": {"yes": "END"}},
    "END": {"final": "given"}}}');
SELECT started('gifts', '{a}', '{"gift": {"card": "rose", "sum": 5}}');
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'yes', patch => '{"card": null}') AS d WHERE workflow = 'gifts';
SELECT proposed, votes #> '{0,patch}' AS patch FROM workflow.review_inbox WHERE workflow = 'gifts';
SELECT votes #> '{0,patch}' AS patch FROM workflow.reviews WHERE workflow = 'gifts' AND status = 'open';
SELECT detail -> 'patch' AS patch FROM workflow.journal WHERE action = 'vote' ORDER BY journal_id DESC LIMIT 1;
SET LOCAL ROLE regress_bob;
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'yes', patch => '{"sum": null}') AS d WHERE workflow = 'gifts';
SET LOCAL ROLE regress_eve;
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'yes') AS d WHERE workflow = 'gifts';
SELECT proposed, earlier #> '{0,patch}' AS patch FROM workflow.review_inbox WHERE workflow = 'gifts';
ROLLBACK;

-- votes are a record
UPDATE workflow.review_vote SET voter = 'regress_ann';
DELETE FROM workflow.review_vote;
SELECT i.key, v.* FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
-- and verify finds it where one is missing
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM workflow.review_vote WHERE review_id = 1 AND voter = 'regress_bob';
SELECT * FROM workflow.verify('loans:1');
ROLLBACK;

-- what was handed to a group remains the group's, until enough of it have approved
CREATE ROLE regress_board;
GRANT regress_board TO regress_ann, regress_bob;
SELECT max(id) AS own FROM workflow.review_inbox WHERE key = '4' \gset
SELECT workflow.delegate(:own, 'director');
SET ROLE regress_eve;
SELECT workflow.delegate(:own, 'regress_board');
SELECT why_not FROM workflow.review_inbox WHERE key = '4';
SET ROLE regress_bob;
SELECT seq, state FROM workflow.decide(:own, 'approve', patch => '{"sum": 1}');
SET ROLE regress_ann;
SELECT assignee, may_decide FROM workflow.review_inbox WHERE key = '4';
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'approve') AS d WHERE key = '4';
RESET ROLE;
DROP ROLE regress_board;
DROP OWNED BY regress_ann, regress_bob, regress_eve;
DROP ROLE regress_ann, regress_bob, regress_eve;
