--
-- The end of a pause of a queue with many open reviews: the first go on at once,
-- the others when a worker has come to them, and none is late meanwhile.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET pg_workflow.clock = '2030-01-01 00:00';
SELECT workflow.define('{
  "workflow": "w", "owner": "me", "initial": "ASK",
  "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead", "director"]}},
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["yes", "no"], "approvals": {"no": 2}, "editable": "$.n", "on_overdue": "escalate"},
            "on": {"yes": "END", "no": "END"}},
    "END": {"final": "done"}}}');
SELECT count(workflow.submit('w', jsonb_build_object('n', n), n::text)) FROM generate_series(1, 1700) AS n;
CREATE VIEW clocks AS
  SELECT count(*), due_at, next_step_at, overdue, step, stands_since, stands_because FROM workflow.review_inbox
  GROUP BY due_at, next_step_at, overdue, step, stands_since, stands_because ORDER BY due_at, stands_since NULLS FIRST;

SET pg_workflow.clock = '2030-01-01 01:00';
SELECT workflow.pause_queue('desk', 'a holiday');
SET pg_workflow.clock = '2030-01-01 09:00';
SELECT workflow.resume_queue('desk');
SELECT * FROM clocks;
-- those that go on are claimed; of the others nothing is said, and nothing happens to them
SELECT workflow.claim_review('desk') < 1001 AS claimed;
SET pg_workflow.clock = '2030-01-01 11:59';
SELECT count(*), kind FROM workflow._conditions_of_review() GROUP BY kind;
SELECT count(*) FROM workflow._ticking_review;
SELECT waiting_detail, next_action_at FROM workflow.where_is('w:1700');
-- they may be decided: the time that they stood is known; and asked about anew
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'yes') AS d WHERE key = '1700';
SELECT paused_for, lead_time FROM workflow.reviews WHERE key = '1700';
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'no', patch => '7') AS d WHERE key = '1699';
SELECT due_at, stands_since FROM workflow.review_inbox WHERE key = '1699';
-- an item's own pause in between counts once
SELECT workflow.pause('w:1698', 'x');
SET pg_workflow.clock = '2030-01-01 12:30';
SELECT workflow.resume('w:1698');
-- nor a pause of the workflow that began before, and ends now, nor one of the queue that has begun again
SELECT due_at, stands_since, stands_because FROM workflow.review_inbox WHERE key = '1698';
SELECT workflow.pause_workflow('w', 'y');
SET pg_workflow.clock = '2030-01-01 12:40';
SELECT workflow.pause_queue('desk', 'z');
SET pg_workflow.clock = '2030-01-01 12:50';
SELECT workflow.resume_workflow('w');
SELECT workflow.resume_queue('desk');
SELECT count(*), began_at FROM workflow.uncounted_pause GROUP BY began_at ORDER BY began_at;
-- whoever counts it
CALL workflow.run('1 minute');
SELECT * FROM clocks;
SELECT count(*) FROM workflow.uncounted_pause;
-- then time goes on, and what is late is
SELECT count(DISTINCT due_at), min(due_at), max(due_at) FROM workflow.timer WHERE kind = 'overdue';
SET pg_workflow.clock = '2030-01-01 17:00';
CALL workflow.run('1 minute');
SELECT count(*), overdue, step, owner FROM workflow.review_inbox GROUP BY overdue, step, owner;

-- by hand nothing of it is lost
INSERT INTO workflow.uncounted_pause VALUES (1, now());
\set VERBOSITY terse
DELETE FROM workflow.uncounted_pause;
TRUNCATE workflow.uncounted_pause;
