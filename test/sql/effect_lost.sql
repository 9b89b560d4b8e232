-- An effect whose sender is gone is judged by the policy of its item's state.
SET client_min_messages = warning;
CREATE EXTENSION pg_workflow;
SET TimeZone = 'UTC';
CREATE SERVER pure FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://pure.invalid', dedup 'pure');
SELECT workflow.define('{
  "workflow": "w", "owner": "me", "initial": "ASK", "key": ["$.id"],
  "retry": {"default": {"owner": "me", "max_attempts": 2, "backoff": {"initial": "10 minutes", "factor": 1, "jitter": "none"}}},
  "queues": {"q": {"owner": "me", "sla": "1 day", "escalate_to": ["boss"]}},
  "states": {"ASK": {"http": {"endpoint": "pure", "queue": "q", "method": "POST", "path": "/", "key": ["$.id"]},
                     "on": {"ok": "DONE", "error": "FAILED"}},
             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}') \g /dev/null
SELECT item_id, state FROM workflow.submit('w', '{"id": "1"}');

CREATE PROCEDURE lose_sender(lost text DEFAULT '1') LANGUAGE plpgsql AS $$
BEGIN
  SET LOCAL session_replication_role = replica;
  UPDATE workflow.effect SET state = 'sending', next_at = NULL, attempts = attempts + 1, session_pid = 0, session_start = '2020-01-01',
                             sending_at = now(), deadline = now() + interval '1 hour'
  WHERE key = lost;
END $$;

-- the first one lost is charged, and sent again ten minutes later
CALL lose_sender();
CALL workflow.run('0 s');
SELECT state, attempts, error_class, reason, next_at > now() + interval '8 minutes' AS in_ten_minutes FROM workflow.effects;
-- the second one was the last
CALL lose_sender();
CALL workflow.run('0 s');
SELECT state, attempts, error_class, reason FROM workflow.effects;
SELECT state, outcome FROM workflow.items;
-- that of a call by that of its queue
SELECT workflow.call('pure', 'POST', '/', key => 'k') AS effect_id \g /dev/null
SELECT workflow.alter_queue('calls', '{"retry": {"owner": "me", "max_attempts": 1}}') \g /dev/null
CALL lose_sender('k');
CALL workflow.run('0 s');
SELECT state, attempts FROM workflow.effects WHERE key = 'k';
DROP EXTENSION pg_workflow CASCADE;
