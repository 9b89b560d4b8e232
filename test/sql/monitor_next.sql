--
-- next_action_at of where_is(): when something happens without anybody, and null when nothing does.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'finance');
SELECT version FROM workflow.define('{
  "workflow": "pay", "owner": "me", "key": ["$.id"], "initial": "PAY",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "PAY":  {"http": {"endpoint": "bank", "queue": "q", "method": "POST", "path": "/pay", "key": ["$.id"]},
             "timeout": "1 hour", "on": {"ok": "DONE", "error": "DONE", "timeout": "DONE"}},
    "DONE": {"final": "done"}}}');
SET pg_workflow.clock = '2030-01-01 12:00 UTC';
SELECT count(workflow.submit('pay', jsonb_build_object('id', k))) FROM unnest(ARRAY['held', 'retry']) AS k;
CREATE VIEW answer AS
  SELECT key, state, waiting_on, next_action_at AT TIME ZONE 'UTC' AS next
  FROM unnest(ARRAY['held', 'retry']) AS k (k), workflow.where_is('pay:' || k.k);

-- the attempt before was due when the next one is not yet, and the state's timeout comes later
UPDATE workflow.effect SET next_at = '2030-01-01 12:01 UTC', attempts = 1, error_class = 'unavailable' WHERE key = 'retry';
UPDATE workflow.job AS j SET waiting_on = 'breaker', run_at = '2030-01-01 12:05 UTC'
FROM workflow.effect AS e WHERE e.effect_id = j.effect_id AND e.key = 'retry';
SELECT * FROM answer WHERE key = 'retry';

-- a call of unknown outcome waits for a person, and so does the timeout of its state
UPDATE workflow.effect SET state = 'held', unknown_attempts = 1 WHERE key = 'held';
UPDATE workflow.job AS j SET status = 'waiting', waiting_on = 'held'
FROM workflow.effect AS e WHERE e.effect_id = j.effect_id AND e.key = 'held';
SELECT * FROM answer WHERE key = 'held';
SET pg_workflow.clock = '2030-01-01 13:00 UTC';
SELECT workflow.pause_endpoint('bank', 'nothing is sent here');
CALL workflow.run();
SELECT * FROM answer WHERE key = 'held';

-- what is paused goes on when somebody lets it
SET pg_workflow.clock = '2030-01-01 12:00 UTC';
SELECT workflow.submit('pay', '{"id": "stopped"}') IS NOT NULL AS submitted, workflow.pause('pay:stopped', 'wait');
SELECT waiting_on, next_action_at FROM workflow.where_is('pay:stopped');
SELECT workflow.resume('pay:stopped', 'go on'), workflow.pause_workflow('pay', 'wait');
SELECT waiting_on, next_action_at FROM workflow.where_is('pay:stopped');
