--
-- migrate(): live items go to another version of their workflow.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE FUNCTION document(changes text[]) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  d text := '{
  "workflow": "w", "owner": "me", "initial": "NEW",
  "retry": {"default": {"owner": "me", "dead_letter": "desk", "max_attempts": 1}},
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]},
             "work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "NEW":  {"on": {"ask": "ASK", "work": "WORK", "wait": "WAIT"}},
    "ASK":  {"review": {"queue": "desk", "decisions": ["yes", "no"], "show": ["$.id"]}, "on": {"yes": "WORK", "no": "OUT"}},
    "WORK": {"task": {"queue": "work"}, "timeout": {"after": "1 day", "event": "error"}, "on": {"ok": "DONE", "error": "ODD"}},
    "WAIT": {"wait": {"for": "1 day"}, "on": {"ok": "DONE"}},
    "ODD":  {"exception": {"queue": "desk"}, "on": {"replay": "AGAIN", "give_up": "OUT"}},
    "AGAIN":{"then": "go", "on": {"go": "@origin"}},
    "DONE": {"final": "done"}, "OUT": {"final": "out"}}}';
BEGIN
  FOR i IN 1 .. cardinality(changes) / 2 LOOP
    d := replace(d, changes[2 * i - 1], changes[2 * i]);
  END LOOP;
  RETURN d;
END $$;
SELECT version FROM workflow.define(document('{}'));
-- version 2: waits no longer, has renamed ASK, and does the work in another queue
SELECT version FROM workflow.define(document(ARRAY['"ASK"', '"QUESTION"', '{"for": "1 day"}', '{"for": "2 days"}',
  '{"task": {"queue": "work"}', '{"task": {"queue": "desk"}', '"2 days"', '"2 hours"', '"wait": "WAIT"', '"wait": "WAIT", "late": "DONE"']));
SELECT workflow.activate('w', 1);
SELECT count(workflow.submit('w', '{}', key => k)) FROM unnest('{new,ask,work,wait,done,odd,next}'::text[]) AS k;
SELECT count(workflow.send('w:' || k, e)) FROM (VALUES ('ask', 'ask'), ('work', 'work'), ('wait', 'wait'), ('done', 'work'),
  ('done', 'ok'), ('odd', 'work'), ('odd', 'error')) AS v (k, e);
CREATE VIEW standing AS
  SELECT i.key, i.version, i.state, i.seq, i.origin, j.seq AS job, j.queue, r.seq AS review, t.kind AS timer, t.seq AS timer_seq,
         date_trunc('minute', t.due_at - i.since) AS due, v.ok, v.problem
  FROM workflow.item AS i
  LEFT JOIN workflow.job AS j USING (item_id)
  LEFT JOIN workflow.review AS r ON r.item_id = i.item_id AND r.closed_at IS NULL
  LEFT JOIN workflow.timer AS t ON t.item_id = i.item_id,
  workflow.verify(i.item_id) AS v ORDER BY i.item_id;
SELECT * FROM standing;

-- a dry run moves nothing and says what is missing
SELECT state, target, verdict, items, what, problem, hint FROM workflow.migrate('w', 1, 2);
SELECT jobs, reviews, timers, kept_events, dead_letters, effects FROM workflow.migrate('w', 1, 2);
SELECT count(*) FROM workflow.item WHERE version = 2;
-- and the real one is refused
SELECT * FROM workflow.migrate('w', 1, 2, dry_run => false);
-- a map names states that there are
SELECT * FROM workflow.migrate('w', 1, 2, '{"ASKK": "QUESTION"}');
SELECT * FROM workflow.migrate('w', 1, 2, '{"ASK": "QUESTIONS"}');
SELECT * FROM workflow.migrate('w', 1, 2, '["ASK"]');
SELECT * FROM workflow.migrate('w', 1, 3);
SELECT * FROM workflow.migrate('w', 1, 1);
SELECT * FROM workflow.migrate('v', 1, 2);
SELECT * FROM workflow.migrate('w', NULL, 2);

-- in small steps: those that are left for the next call are said
SELECT state, target, verdict, items, what FROM workflow.migrate('w', 1, 2, '{"ASK": "QUESTION"}', false, 2, 'new rules');
SELECT state, target, verdict, items, what FROM workflow.migrate('w', 1, 2, '{"ASK": "QUESTION"}', false, reason => 'new rules');
SELECT * FROM standing;
SET client_min_messages = notice;
SELECT * FROM workflow.migrate('w', 1, 2, '{"ASK": "QUESTION"}', false);
SET client_min_messages = warning;
SELECT seq, from_state, event, to_state, kind, actor = current_user AS mine, reason, version, data
FROM workflow.transition AS t WHERE event = 'migrate' ORDER BY t.item_id;
SELECT what, detail, reason, data FROM workflow.timeline('w:ask');

-- they go on by the rules of their version
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'no') AS d WHERE r.key = 'ask';
SELECT state FROM workflow.send('w:new', 'late');
SELECT workflow.replay('w:odd', 'mended');
SELECT * FROM standing WHERE key IN ('ask', 'new', 'odd');

-- nobody changes the version by hand
\set VERBOSITY terse
UPDATE workflow.item SET version = 1 WHERE key = 'work';
UPDATE workflow.item SET version = 1, state = 'OUT' WHERE key = 'work';
