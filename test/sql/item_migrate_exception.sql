--
-- migrate(): why an item is in an exception state stays known, whatever version
-- it is in; a migration that leads into one is its own reason.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE FUNCTION document(odd text, queue text) RETURNS json LANGUAGE sql AS $$
  SELECT replace(replace('{
  "workflow": "w", "owner": "me", "initial": "GATE",
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}, "other": {"owner": "her", "sla": "2 hours", "escalate_to": ["you"]}},
  "states": {
    "GATE":   {"gate": {"value": "$.n", "tiers": [{"at_least": 5, "event": "high"}, {"otherwise": "low"}]},
               "on": {"high": "NORMAL", "low": "ODD"}},
    "NORMAL": {"task": {"queue": "desk", "retry": {"max_attempts": 1}}, "on": {"ok": "DONE", "error": "ODD"}},
    "ODD":    {"exception": {"queue": "QUEUE"}, "on": {"replay": "AGAIN", "give_up": "DONE"}},
    "AGAIN":  {"then": "go", "on": {"go": "NORMAL"}},
    "DONE":   {"final": "done"}}}', 'ODD', odd), 'QUEUE', queue)::json
$$;
CREATE VIEW standing AS
  SELECT i.key, i.version, i.state, i.exception_reason, w.waiting_on, w.last_error_class, w.last_error, d.queue, d.error_class, d.error_message
  FROM workflow.items AS i LEFT JOIN workflow.dead_letters AS d USING (item_id), workflow.where_is(i.item_id) AS w
  WHERE i.outcome IS NULL ORDER BY i.item_id;
SELECT version FROM workflow.define(document('ODD', 'desk'));
SELECT key.key, s.state FROM (VALUES ('low', 1), ('broken', 9), ('fine', 9)) AS key (key, n),
  workflow.submit('w', jsonb_build_object('n', n), key.key) AS s;
SELECT workflow.fail(c.job_id, c.token, 'not_found', 'no such part') FROM workflow.claim('desk', 'me', lease => '1 hour') AS c WHERE c.item_id = 2;
SELECT * FROM standing;

-- the visit goes on
SELECT version FROM workflow.define((document('ODD', 'desk')::jsonb || '{"description": "second"}')::json);
SELECT state, target, verdict, items FROM workflow.migrate('w', 1, 2, dry_run => false, reason => 'a word more');
SELECT * FROM standing;

-- it is entered anew, under another name and in another queue
SELECT version FROM workflow.define(document('WRONG', 'other'));
SELECT state, target, verdict, items FROM workflow.migrate('w', 2, 3, '{"ODD": "WRONG"}', dry_run => false, reason => 'it is hers');
SELECT * FROM standing;
SELECT class, matched FROM workflow.redrive('{"class": "not_found"}');

-- out of it, and into it
SELECT state, target, verdict, items FROM workflow.migrate('w', 3, 2, '{"WRONG": "NORMAL", "NORMAL": "ODD"}', dry_run => false, reason => 'looked at');
SELECT * FROM standing;
SELECT state, target, verdict, items FROM workflow.migrate('w', 2, 1, dry_run => false, reason => 'back');
SELECT * FROM standing;
SELECT bool_and(v.ok) FROM workflow.item AS i, workflow.verify(i.item_id) AS v;
