--
-- Overdue reviews: up the queue's chain a step each SLA period, or the event
-- that the definition says.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET pg_workflow.clock = '2030-01-01 00:00';
SELECT workflow.define('{
  "workflow": "slow", "owner": "me", "initial": "REVIEW",
  "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead", "director"]}},
  "states": {
    "REVIEW": {"review": {"queue": "desk", "decisions": ["approve", "escalate"], "on_overdue": "escalate"},
               "on": {"approve": "DONE", "escalate": "DONE"}},
    "DONE": {"final": "done"}}}');
SELECT workflow.define('{
  "workflow": "lenient", "owner": "me", "initial": "REVIEW",
  "states": {
    "REVIEW": {"review": {"queue": "desk", "decisions": ["approve"], "on_overdue": "approve"},
               "on": {"approve": "DONE"}},
    "DONE": {"final": "done"}}}');

BEGIN;
SELECT item_id FROM workflow.submit('slow', '{}') \gset
SELECT owner, due_at FROM workflow.review_inbox;
SELECT kind, due_at FROM workflow.timer;
SET LOCAL pg_workflow.clock = '2030-01-01 04:00';
CALL workflow.run();
SELECT owner, due_at FROM workflow.review_inbox;
SELECT w.owner, w.queue FROM workflow.review_inbox AS r, workflow.where_is(r.item_id) AS w;
SELECT kind, due_at FROM workflow.timer;
SET LOCAL pg_workflow.clock = '2030-01-01 08:00';
CALL workflow.run();
SELECT owner, due_at FROM workflow.review_inbox;
SELECT w.owner, w.queue FROM workflow.review_inbox AS r, workflow.where_is(r.item_id) AS w;
SELECT count(*) AS timers FROM workflow.timer;
SELECT action, actor, reason, detail FROM workflow.journal ORDER BY journal_id;
SELECT t.what, t.detail FROM (SELECT min(n.item_id) AS item_id FROM workflow.journal AS n) AS n, workflow.timeline(n.item_id) AS t WHERE t.what = 'escalate';
SELECT state, seq FROM workflow.item;
ROLLBACK;

-- whoever was handed it, or claimed it shortly before, has it no longer
BEGIN;
SELECT count(workflow.submit('slow', '{}', n::text)) FROM generate_series(1, 2) AS n;
SELECT workflow.delegate(min(id), 'lead'), workflow.delegate(max(id), 'director') FROM workflow.review_inbox;
SET LOCAL pg_workflow.clock = '2030-01-01 03:30';
SELECT workflow.release_review(max(id)) FROM workflow.review_inbox;
SELECT workflow.claim_review('desk') = max(id) AS claimed FROM workflow.review_inbox;
SELECT assignee = current_user AS is_mine, assignee = 'lead' AS is_leads FROM workflow.review_inbox ORDER BY id;
SET LOCAL pg_workflow.clock = '2030-01-01 04:00';
CALL workflow.run();
SELECT assignee, claimed_at, claim_until, owner FROM workflow.review_inbox ORDER BY id;
ROLLBACK;

-- only where the definition says so does an event follow, as the engine's
BEGIN;
SELECT item_id FROM workflow.submit('lenient', '{}') \gset
SET LOCAL pg_workflow.clock = '2030-01-01 04:00';
CALL workflow.run();
SELECT seq, event, to_state, kind, actor, reason FROM workflow.transition ORDER BY seq;
SELECT count(*) AS open FROM workflow.review_inbox;
SELECT decision, decided_by, closed_at FROM workflow.review;
ROLLBACK;

-- what time approves is what the review proposes by then: with the edit of who has approved alone
SELECT workflow.define('{
  "workflow": "offers", "owner": "me", "initial": "REVIEW",
  "states": {
    "REVIEW": {"review": {"queue": "desk", "decisions": ["approve"], "approvals": 2, "on_overdue": "approve", "editable": "$.offer",
                          "schema": {"type": "object", "properties": {"sum": {"maximum": 10}}}},
               "as": "verdict", "on": {"approve": "DONE"}},
    "DONE": {"final": "done"}}}');
BEGIN;
SELECT count(workflow.submit('offers', '{"offer": {"sum": 90, "days": 3}}', n)) FROM unnest('{edited,alone}'::text[]) AS n;
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'approve', patch => '{"sum": 9}') AS d WHERE r.key = 'edited';
SELECT key, proposed, problems FROM workflow.review_inbox ORDER BY key;
SET LOCAL pg_workflow.clock = '2030-01-01 04:00';
CALL workflow.run();
SELECT key, state, data FROM workflow.items ORDER BY key;
SELECT event, kind, actor FROM workflow.transition WHERE to_state = 'DONE';
ROLLBACK;

-- where there is no place for the edit any more, a person looks
SELECT workflow.define('{
  "workflow": "deep", "owner": "me", "initial": "REVIEW",
  "states": {
    "REVIEW": {"review": {"queue": "desk", "decisions": ["approve"], "approvals": 2, "on_overdue": "approve", "editable": "$.offer.sum"},
               "on": {"approve": "DONE"}},
    "DONE": {"final": "done"}}}');
BEGIN;
SELECT item_id FROM workflow.submit('deep', '{"offer": {"sum": 90}}') \gset
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'approve', patch => '9') AS d;
SELECT workflow.patch(:item_id, '{"offer": "none"}', 'withdrawn');
SET LOCAL pg_workflow.clock = '2030-01-01 04:00';
CALL workflow.run();
SELECT i.state, r.step, i.data FROM workflow.items AS i JOIN workflow.review_inbox AS r USING (item_id);
ROLLBACK;
