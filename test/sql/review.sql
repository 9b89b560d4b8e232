--
-- Reviews: what a person sees, who may decide, and what a decision does.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET pg_workflow.clock = '2030-01-01 00:00';
CREATE ROLE regress_clerk;
CREATE ROLE regress_boss;
GRANT USAGE ON SCHEMA workflow TO regress_clerk, regress_boss;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA workflow TO regress_clerk, regress_boss;
GRANT SELECT ON workflow.review_inbox TO regress_clerk, regress_boss;
SELECT workflow.define('{
  "workflow": "claims", "owner": "me", "key": ["$.id"], "initial": "REVIEW",
  "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead", "director"]}},
  "states": {
    "REVIEW": {"review": {"queue": "desk", "decisions": ["approve", "reject", "escalate", "again"],
                 "show": ["$.id", "$.claim.text"], "editable": "$.claim.proposed", "four_eyes": true,
                 "reason_required": ["reject"]}, "as": "verdict",
               "on": {"approve": "PAID", "reject": "REFUSED", "escalate": "REFUSED", "again": "REVIEW",
                      "withdraw": "REFUSED"}},
    "PAID": {"final": "paid"}, "REFUSED": {"final": "refused"}}}');

-- the inbox shows a snapshot, the most urgent first
SELECT count(workflow.submit('claims', format('{"id": %s, "claim": {"text": "roof", "proposed": {"sum": 5}}}', n)::jsonb))
FROM generate_series(1, 4) AS n;
UPDATE workflow.item SET data = jsonb_set(data, '{claim,text}', '"cellar"') WHERE key = '1';
SELECT id, workflow, key, state, queue, owner, shown, proposed, previous, decisions, assignee, opened_at, due_at
FROM workflow.review_inbox;
SELECT kind, status, waiting_on, queue FROM workflow.job LIMIT 1;

-- four eyes: not whoever submitted
\set VERBOSITY sqlstate
SELECT workflow.decide(1, 'approve');
SET ROLE regress_clerk;
-- a decision that is not listed, a reason that is missing, a review that is not there, a stale view
SELECT workflow.decide(1, 'burn');
SELECT workflow.decide(1, 'reject');
SELECT workflow.decide(1, 'reject', ' ');
SELECT workflow.decide(999, 'approve');
SELECT workflow.decide(1, 'approve', expected_seq => 7);
-- a decision is not sent, now or ahead of time
SELECT workflow.send('claims:1', 'approve');
\set VERBOSITY default

-- a decision moves the item; the patch is merged over the editable value
SELECT * FROM workflow.decide(1, 'approve', 'fine', '{"sum": 4, "note": "ok"}', expected_seq => 1);
RESET ROLE;
SELECT state, data FROM workflow.items WHERE key = '1';
SELECT seq, event, to_state, kind, actor, reason, data FROM workflow.transition WHERE item_id = 1 AND seq > 1;
SELECT decision, decided_by, reason, patch, closed_at FROM workflow.review WHERE review_id = 1;
SELECT count(*) AS jobs FROM workflow.job WHERE item_id = 1;

-- decided is decided
SET ROLE regress_boss;
\set VERBOSITY sqlstate
SELECT workflow.decide(1, 'reject', 'no');
\set VERBOSITY default

-- an earlier decider may not decide again; the new review shows the old decision
SELECT seq, state FROM workflow.decide(2, 'again', 'unclear');
SELECT id, previous ->> 'decision' AS decision, previous ->> 'decided_by' AS decided_by FROM workflow.review_inbox WHERE key = '2';
\set VERBOSITY sqlstate
SELECT workflow.decide(5, 'approve');
\set VERBOSITY default

-- claimed: others are refused until it is released or delegated
SELECT workflow.claim_review('desk');
SET ROLE regress_clerk;
\set VERBOSITY sqlstate
SELECT workflow.decide(3, 'approve');
\set VERBOSITY default
SELECT workflow.delegate(3, 'regress_clerk');
SELECT workflow.claim_review('desk'), workflow.claim_review('desk'), workflow.claim_review('desk');
SELECT workflow.release_review(4);
SELECT id, key, assignee FROM workflow.review_inbox;
SELECT state FROM workflow.decide(3, 'approve');
RESET ROLE;

-- delegated to a role, or to a label of its queue; "claimed" is what the assignee did himself
RESET ROLE;
SELECT workflow.delegate(4, 'lead');
SELECT waiting_detail FROM workflow.where_is('claims:4');
SET ROLE regress_clerk;
SELECT workflow.delegate(4, 'regress_boss');
RESET ROLE;
-- that somebody had claimed it is told also after it was given back
SELECT what, detail, actor, data FROM workflow.timeline('claims:4') WHERE what LIKE '%review%';
SELECT workflow.delegate(4, 'typo');
SELECT workflow.delegate(4, '');
SELECT workflow.delegate(4, NULL);
SELECT workflow.release_review(4);
SET ROLE regress_clerk;
SELECT workflow.claim_review('desk');
RESET ROLE;
SELECT waiting_detail FROM workflow.where_is('claims:4');
SET ROLE regress_clerk;

-- what cannot be meant is refused
SELECT workflow.claim_review('dezk');
SELECT workflow.claim_review(NULL);
SELECT workflow.decide_many(NULL, 'approve');
SELECT workflow.decide_many('{5,NULL}', 'approve');
SELECT workflow.decide_many('{}', 'approve');
SELECT workflow.decide(NULL, 'approve');
SELECT workflow.release_review(NULL);
RESET ROLE;

-- an item that leaves by another event closes its review
SELECT state FROM workflow.send('claims:4', 'withdraw');
\set VERBOSITY sqlstate
SET ROLE regress_clerk;
SELECT workflow.decide(4, 'approve');
RESET ROLE;
\set VERBOSITY default

-- paused, nothing is decided
SELECT workflow.pause('claims:2', 'fire drill');
SET ROLE regress_clerk;
\set VERBOSITY sqlstate
SELECT workflow.decide(5, 'approve');
\set VERBOSITY default
RESET ROLE;
SELECT workflow.resume('claims:2', 'over');

-- many alike
SELECT count(workflow.submit('claims', format('{"id": %s}', n)::jsonb)) FROM generate_series(10, 12) AS n;
SET ROLE regress_boss;
SELECT workflow.decide_many(array_agg(id), 'reject', 'out of time') FROM workflow.review_inbox WHERE item_id > 4;
RESET ROLE;
SELECT state, count(*) FROM workflow.item GROUP BY 1 ORDER BY 1;

-- a patch needs something editable
SELECT count(workflow.submit('claims', '{"id": 20}'));
\set VERBOSITY sqlstate
SELECT workflow._patched('{}', NULL, '{}');
SELECT workflow._patched('{}', '$.a[*]', '{}');
\set VERBOSITY default
SELECT workflow._patched('{"a": 1}', '$', '{"b": 2}'), workflow._patched('{"a": {"b": [1]}}', '$.a.b', '[2]');

SELECT i.key, v.* FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA workflow FROM regress_clerk, regress_boss;
REVOKE ALL ON SCHEMA workflow FROM regress_clerk, regress_boss;
REVOKE ALL ON workflow.review_inbox FROM regress_clerk, regress_boss;
DROP ROLE regress_clerk, regress_boss;
