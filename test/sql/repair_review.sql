--
-- patch() beside a review: nobody decides on what he has not seen, and an approval is of what was seen.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET pg_workflow.clock = '2030-01-01 00:00';
CREATE ROLE repair_review_ann;
CREATE ROLE repair_review_bob;
SELECT count(workflow.grant_role(r, 'reviewer')) FROM unnest('{repair_review_ann,repair_review_bob}'::text[]) AS r;
SELECT workflow.define('{
  "workflow": "loans", "owner": "me", "initial": "ASK", "key": ["$.id"],
  "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead"]}},
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["approve", "reject"], "show": ["$.who"], "editable": "$.terms", "approvals": 2},
            "as": "verdict", "on": {"approve": "PAY", "reject": "END"}},
    "PAY": {"final": "paid"}, "END": {"final": "refused"}}}');
SELECT state FROM workflow.submit('loans', '{"id": 1, "who": "x", "terms": {"sum": 100}}');
SET ROLE repair_review_ann;
SELECT seq, state FROM workflow.decide(1, 'approve');
RESET ROLE;

-- what nobody sees: the review goes on
SELECT workflow.patch('loans:1', '{"note": "called"}', 'a note');
SELECT id, proposed, votes FROM workflow.review_inbox;

-- the sum is another one: it is asked anew, and the approval of the other sum does not count
SET pg_workflow.clock = '2030-01-01 01:00';
SELECT workflow.patch('loans:1', '{"terms": {"sum": 100000}}', 'a typo');
SELECT id, proposed, votes, due_at FROM workflow.review_inbox;
SET ROLE repair_review_bob;
SELECT seq, state FROM workflow.decide(1, 'approve', expected_seq => 1);
SELECT seq, state FROM workflow.decide(2, 'approve', expected_seq => 1);
RESET ROLE;
SELECT state FROM workflow.items;
-- who had approved the other sum may approve this one
SET ROLE repair_review_ann;
SELECT seq, state FROM workflow.decide(2, 'approve');
RESET ROLE;
SELECT data -> 'terms' AS terms, data -> 'verdict' -> 'voters' AS voters FROM workflow.items;
SELECT id, status, proposed, replaced_by FROM workflow.reviews ORDER BY id;
SELECT * FROM workflow.verify('loans:1');

-- what an approver has changed stays changed, whatever is patched beside it
SELECT state FROM workflow.submit('loans', '{"id": 2, "who": "y", "terms": {"sum": 100, "months": 3}}');
SET ROLE repair_review_ann;
SELECT seq, state FROM workflow.decide(3, 'approve', patch => '{"sum": 90}');
RESET ROLE;
SELECT workflow.patch('loans:2', '{"terms": {"months": 6}}', 'as was said');
SELECT id, proposed, votes FROM workflow.review_inbox;

-- the other question comes after the patch that has led to it
RESET pg_workflow.clock;
SELECT state FROM workflow.submit('loans', '{"id": 3, "who": "z", "terms": {"sum": 100}}');
SELECT workflow.patch('loans:3', '{"terms": {"sum": 200}}', 'a typo');
SELECT what, regexp_replace(detail, '\d+', 'N', 'g') AS detail, reason FROM workflow.timeline('loans:3');
DROP OWNED BY repair_review_ann, repair_review_bob;
DROP ROLE repair_review_ann, repair_review_bob;
