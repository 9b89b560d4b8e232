--
-- http and model states: an action is intended when the state is entered, and
-- what becomes of it moves the item.  Nothing is committed, so nothing is sent.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com/api', dedup 'key');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.example.com', dedup 'pure');
SELECT workflow.define('{
  "workflow": "act", "owner": "me", "initial": "ASK",
  "retry": {"default": {"owner": "me", "dead_letter": "out", "max_attempts": 2, "timeout": "7 seconds",
            "backoff": {"initial": "1 second", "factor": 2, "max": "1 minute", "jitter": "none"},
            "retry_on": ["timeout", "unavailable"], "alert_after": 1}},
  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ASK":  {"model": {"endpoint": "llm", "queue": "out", "path": "/v1", "version": "v1",
               "body": {"text": "$.text", "more": "$.nothing"}, "output": "$.content"}, "as": "answer",
             "timeout": {"after": "1 day", "event": "error"}, "on": {"ok": "ACT", "error": "ODD"}},
    "ACT":  {"http": {"endpoint": "crm", "queue": "out", "method": "PATCH", "path": "/accounts/{$.id}",
               "headers": {"X-Text": "$.id"}, "body": {"answer": "$.answer"}, "key": ["$.id", "update"],
               "before": {"method": "GET", "path": "/accounts/{$.id}"},
               "revert": {"method": "PATCH", "path": "/accounts/{$.id}", "body": "$.before.body"},
               "external_id": "$.body.id"}, "as": "action",
             "timeout": {"after": "1 day", "event": "late"}, "on": {"ok": "DONE", "late": "DROPPED"}},
    "ODD":  {"exception": {"queue": "out"}, "on": {"replay": "AGAIN", "give_up": "DROPPED"}},
    "AGAIN":{"then": "resume", "on": {"resume": "@origin"}},
    "DONE": {"final": "done"}, "DROPPED": {"final": "dropped"}}}');

-- the request is rendered once; a model call has a key of its own for each visit
BEGIN;
SELECT item_id FROM workflow.submit('act', '{"id": "a/1", "text": "hello"}', key => 'a') \gset
SELECT key = format('%s:ASK:1', :item_id) AS own_key, kind, state, method, path, convert_from(body, 'UTF8') AS body, timeout_ms, submitted_by = current_user AS as_definer
FROM workflow.effect;
SELECT kind, status, effect_id IS NOT NULL AS has_effect FROM workflow.job;

-- by hand: the answer is given, the next state intends the update
SELECT state FROM workflow.send(:item_id, 'ok', '{"industry": "steel"}');
SELECT kind, state, key, method, path, headers, convert_from(body, 'UTF8') AS body, spec FROM workflow.effect ORDER BY effect_id;
SELECT kind, status FROM workflow.job;
SELECT effect_id FROM workflow.effect WHERE kind = 'http' \gset

-- unknown or held, the job waits; the state's timeout does too
UPDATE workflow.effect SET state = 'held', reason = 'nobody knows' WHERE effect_id = :effect_id;
SELECT workflow._effect_settled(:effect_id, 'tester');
SELECT status, waiting_on, error_message FROM workflow.job;
SET LOCAL pg_workflow.clock = '2100-01-01';
CALL workflow.run();
SELECT state FROM workflow.item;
SELECT kind, due_at FROM workflow.timer;
SAVEPOINT held;

-- pending again, the job is ready, and the timeout fires
UPDATE workflow.effect SET state = 'pending', reason = NULL WHERE effect_id = :effect_id;
SELECT workflow._effect_settled(:effect_id, 'tester');
SELECT status, waiting_on FROM workflow.job;
CALL workflow.run();
SELECT state, outcome FROM workflow.item;
SELECT state FROM workflow.effect WHERE effect_id = :effect_id;
ROLLBACK TO held;

-- succeeded, the item goes on with the result
UPDATE workflow.effect SET state = 'succeeded', external_id = '77', first_sent_at = now(), response = '{"status": 200, "headers": {}, "body": {"id": 77}}'
WHERE effect_id = :effect_id;
SELECT workflow._effect_settled(:effect_id, 'tester');
SELECT state, data -> 'action' AS action, actions_attempted, external_ids FROM workflow.items;
SELECT count(*) AS jobs FROM workflow.job;

-- another item with the same key: the result is used, nothing is intended anew
SELECT item_id FROM workflow.submit('act', '{"id": "a/1", "text": "hello"}', key => 'twin') \gset twin_
SELECT state FROM workflow.send(:twin_item_id, 'ok', '{"industry": "steel"}');
SELECT event, kind, reason = format('effect %s had succeeded already', :effect_id) AS says_so FROM workflow.transition
WHERE item_id = :twin_item_id ORDER BY seq DESC LIMIT 1;
SELECT data -> 'action' -> 'body' AS body FROM workflow.item WHERE item_id = :twin_item_id;

-- another request under that key: a dead letter, since nobody handles "error"
SELECT item_id FROM workflow.submit('act', '{"id": "a/1", "text": "hello"}', key => 'other') \gset other_
SELECT state FROM workflow.send(:other_item_id, 'ok', '{"industry": "wood"}');
SELECT status, error_class FROM workflow.job WHERE item_id = :other_item_id;
-- mended and replayed
SELECT workflow.replay(:other_item_id, 'it is another account', '{"id": "b"}');
SELECT j.status, j.attempt, e.key, e.path FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE j.item_id = :other_item_id;
-- refused for good, it is a dead letter again
UPDATE workflow.effect SET state = 'failed', error_class = 'validation', reason = 'HTTP 422'
WHERE key = 'b:update';
SELECT workflow._effect_settled(effect_id, 'tester') FROM workflow.effect WHERE key = 'b:update';
SELECT status, error_class, error_message FROM workflow.job WHERE item_id = :other_item_id;
-- replayed as it is: the same effect, pending again
SELECT workflow.replay(:other_item_id, 'they let us now');
SELECT j.status, e.state FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE j.item_id = :other_item_id;

-- an item that leaves cancels what has not begun
SELECT workflow.cancel(:other_item_id, 'enough');
SELECT state FROM workflow.effect WHERE key = 'b:update';
SELECT i.key, v.ok, v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v ORDER BY i.item_id;
ROLLBACK;

-- two items wait for one effect: its end serves both, and if the first leaves, the other sends
BEGIN;
SELECT count(workflow.submit('act', '{"id": "x", "text": "y"}', key => k)) FROM unnest(ARRAY['one', 'two']) AS k;
SELECT state FROM workflow.send('act:one', 'ok', '{}');
UPDATE workflow.effect SET state = 'unknown' WHERE kind = 'http';
SELECT state FROM workflow.send('act:two', 'ok', '{}');
SELECT i.key, j.status, j.waiting_on FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) ORDER BY i.key;
SAVEPOINT shared;
UPDATE workflow.effect SET state = 'succeeded', response = '{"status": 200}' WHERE kind = 'http';
SELECT workflow._effect_settled(effect_id, 'tester') FROM workflow.effect WHERE kind = 'http';
SELECT key, state FROM workflow.item ORDER BY key;
ROLLBACK TO shared;
UPDATE workflow.effect SET state = 'pending' WHERE kind = 'http';
SELECT workflow.cancel('act:one', 'no more');
SELECT i.key, j.status, e.state FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) JOIN workflow.effect AS e USING (effect_id) ORDER BY i.key;
ROLLBACK;

-- a key that cannot be made fails the item with the reason
BEGIN;
SELECT item_id FROM workflow.submit('act', '{"text": "y"}') \gset
SELECT state FROM workflow.send(:item_id, 'ok', '{}');
SELECT status, error_class, error_message FROM workflow.job WHERE item_id = :item_id;
ROLLBACK;

-- so does an endpoint that is gone
BEGIN;
DROP SERVER llm;
SELECT item_id, state FROM workflow.submit('act', '{"text": "y"}') \gset
SELECT :'state' AS state, exception_reason FROM workflow.items;
ROLLBACK;

-- an action whose key would be the same for every item is not intended
SELECT workflow.define('{
  "workflow": "same", "owner": "me", "initial": "ACT", "key": ["$.id"],
  "queues": {"acts": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "retry": {"default": {"owner": "me", "max_attempts": 1}},
  "states": {"ACT": {"http": {"endpoint": "crm", "queue": "acts", "method": "POST", "path": "/orders", "key": "order:{$.order}"},
                     "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT state FROM workflow.submit('same', '{"id": 1, "order": ""}');
SELECT t.event, t.data ->> 'error_class' AS error_class, t.reason FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'same' AND t.seq > 1;
SELECT count(*) FROM workflow.effect WHERE key LIKE 'order:%';
