--
-- What an endpoint said when it refused: where_is and dead_letters show how it begins.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.invalid/api', dedup 'key');
CREATE FUNCTION flow(name text, events text) RETURNS json LANGUAGE sql AS $$
  SELECT format('{"workflow": "%s", "owner": "sales", "initial": "SEND", "key": ["$.order"],
    "retry": {"default": {"owner": "sales", "max_attempts": 2, "backoff": {"initial": "1 minute", "jitter": "none"},
              "timeout": "5 seconds", "retry_on": ["unavailable", "connection"]}},
    "queues": {"calls": {"owner": "sales", "sla": "1 hour", "escalate_to": ["boss"]}},
    "states": {"SEND": {"http": {"endpoint": "crm", "queue": "calls", "method": "POST", "path": "/orders",
                                 "body": {"order": "$.order"}, "key": ["$.order", "%s"]}, "on": {"ok": "DONE"%s}},
               "LOOK": {"exception": {"queue": "calls"}, "on": {"give_up": "LOST", "replay": "SEND"}},
               "DONE": {"final": "success"}, "LOST": {"final": "failure"}}}', name, name, events)::json
$$;
SELECT version FROM workflow.define(flow('stays', ', "give_up": "LOST", "look": "LOOK"'));
SELECT version FROM workflow.define(flow('leaves', ', "error": "LOOK"'));
CREATE VIEW stuck AS
  SELECT w.key, w.state, w.waiting_on, w.last_error_class, w.last_error, d.error_message, d.answer
  FROM workflow.items AS i, workflow.where_is(i.item_id) AS w LEFT JOIN workflow.dead_letters AS d USING (item_id)
  WHERE i.outcome IS NULL ORDER BY i.workflow, w.key;

-- a dead letter, and an item in an exception state
BEGIN;
SELECT workflow.mock('crm', '{"status": 422, "body": {"error": {"field": "order", "message": "no such\ncustomer"}}, "times": "always"}');
SELECT count(*) FROM workflow.submit('stays', '{"order": "o-1"}');
SELECT count(*) FROM workflow.submit('leaves', '{"order": "o-2"}');
CALL workflow.run();
\x on
SELECT * FROM stuck;
\x off
-- for whoever may read the view
SET LOCAL ROLE pg_monitor;
SELECT key, answer FROM workflow.dead_letters ORDER BY key;
RESET ROLE;
-- as long as it is kept: until its effect is purged, which is not before its item has ended
SELECT workflow.purge_effects('0') AS purged;
SELECT state FROM workflow.send('leaves:o-2', 'give_up');
SELECT last_error FROM workflow.where_is('leaves:o-2');
SELECT workflow.purge_effects('0') AS purged;
SELECT last_error FROM workflow.where_is('leaves:o-2');
ROLLBACK;

-- of a long one the beginning; an empty one says nothing; an answer that the error is not about is not shown
BEGIN;
SELECT workflow.mock('crm', format('[{"status": 400, "body": "%s"}, {"status": 404}, {"status": 503, "body": "later"}, {"failure": "refused"}]',
                                   repeat(E'not  so ', 100))::jsonb);
SELECT count(*) FROM workflow.submit('stays', '{"order": "o-1"}');
CALL workflow.run();
SELECT count(*) FROM workflow.submit('stays', '{"order": "o-2"}');
CALL workflow.run();
SELECT count(*) FROM workflow.submit('stays', '{"order": "o-3"}');
CALL workflow.run();
SELECT key, last_error_class, length(last_error), left(last_error, 60) AS begins, right(last_error, 10) AS ends, answer = right(last_error, 303) AS answer FROM stuck;
SET LOCAL pg_workflow.clock = '+10 minutes';
CALL workflow.run();
-- the rest is libcurl's, and each of its versions words it anew
SELECT key, split_part(last_error, ':', 1) AS begins, answer FROM stuck WHERE key = 'o-3';
ROLLBACK;

-- what a model has said is none
SELECT workflow._refusal('HTTP 200: the model refused to answer', '{"status": 200, "body": {"stop_reason": "refusal"}}') IS NULL AS is_none;
DROP EXTENSION pg_workflow CASCADE;
