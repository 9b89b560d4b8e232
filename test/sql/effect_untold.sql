--
-- An effect that has settled while its item was not told, since whoever was to tell it is gone: run() tells it.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.invalid', dedup 'none', owner 'finance');
SELECT workflow FROM workflow.define('{
  "workflow": "pay", "owner": "me", "key": ["$.id"], "initial": "PAY",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "PAY":  {"http": {"endpoint": "bank", "queue": "q", "method": "POST", "path": "/pay", "key": ["$.id"]},
             "on": {"ok": "PAID", "error": "FAILED"}},
    "PAID": {"final": "paid"}, "FAILED": {"final": "failure"}}}');
CREATE TABLE cases AS SELECT concat_ws(' ', e.state, j.status, j.waiting_on) AS id, e.state, j.status, j.waiting_on
FROM unnest('{succeeded,failed,dead,cancelled,sending}'::text[]) AS e (state),
     (VALUES ('waiting', 'effect'), ('waiting', 'blocked'), ('running', NULL)) AS j (status, waiting_on);
SELECT count(workflow.submit('pay', jsonb_build_object('id', c.id))) FROM cases AS c;
UPDATE workflow.effect AS e SET state = c.state, attempts = 1, error_class = CASE WHEN c.state IN ('failed', 'dead') THEN 'validation' END,
  response = CASE c.state WHEN 'succeeded' THEN '{"status": 200, "headers": {}, "body": {}}'::jsonb END, first_sent_at = now(),
  finished_at = CASE WHEN c.state <> 'sending' THEN now() END, deadline = CASE c.state WHEN 'sending' THEN now() + interval '1 hour' END
FROM cases AS c WHERE c.id = e.key;
UPDATE workflow.job AS j SET status = c.status, waiting_on = c.waiting_on, attempt = 1, run_at = now() - interval '1 minute',
  worker = CASE c.status WHEN 'running' THEN 'http' END, claimed_at = CASE c.status WHEN 'running' THEN now() END,
  token = CASE c.status WHEN 'running' THEN 't' END, session_pid = CASE c.status WHEN 'running' THEN 1 END, session_start = CASE c.status WHEN 'running' THEN '2000-01-01'::timestamptz END
FROM workflow.effect AS e, cases AS c WHERE e.effect_id = j.effect_id AND c.id = e.key;
CALL workflow.run();
SELECT i.key, i.state, j.status AS job, j.waiting_on, e.state AS effect
FROM workflow.item AS i LEFT JOIN workflow.job AS j USING (item_id) JOIN workflow.effect AS e ON e.key = i.key ORDER BY i.key;
