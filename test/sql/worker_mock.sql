--
-- Mocks: a whole item in a transaction that is rolled back, with what its
-- endpoints answer given by the test.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://crm.invalid/api', dedup 'key', lookup_path '/receipts/{key}', lookup_found '$.body.id',
           lookup_absent '$.status == 404', lookup_settle '10 minutes', absent_is_proof 'true', on_unknown 'probe');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.invalid', dedup 'pure');
CREATE SERVER other FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://other.invalid', dedup 'pure');
-- the file of this secret does not exist
CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (bearer_secret 'crm_token', signing_secret 'crm_sign');
SELECT workflow, version FROM workflow.define('{
  "workflow": "orders", "owner": "sales", "initial": "ASKED", "key": ["$.order"],
  "retry": {"default": {"owner": "sales", "max_attempts": 3, "backoff": {"initial": "1 minute", "factor": 2, "jitter": "none"},
            "timeout": "5 seconds", "retry_on": ["timeout", "connection", "unavailable", "rate_limited"]}},
  "queues": {"calls": {"owner": "sales", "sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {
    "ASKED":  {"model": {"endpoint": "llm", "queue": "calls", "path": "/v1/messages", "version": "1",
                         "body": {"text": "$.text"}, "output": "$.content"}, "as": "model", "on": {"ok": "SENT"}},
    "SENT":   {"http": {"endpoint": "crm", "queue": "calls", "method": "PATCH", "path": "/orders/{$.order}",
                        "body": {"size": "$.model.size"}, "key": ["$.order", "size"],
                        "before": {"method": "GET", "path": "/orders/{$.order}"},
                        "revert": {"method": "PATCH", "path": "/orders/{$.order}", "body": "$.before.body"},
                        "external_id": "$.body.id"}, "as": "sent",
               "on": {"ok": "DONE", "error": "FAILED"}},
    "DONE":   {"final": "success"},
    "FAILED": {"final": "failure"}}}');
CREATE FUNCTION state_of(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT state FROM workflow.items WHERE workflow.items.key = name $$;

-- the whole item: the model, the value before, the action
BEGIN;
SELECT workflow.mock('llm', '{"body": {"content": {"size": 7}, "model": "m-1"}}');
SELECT workflow.mock('crm', '[
  {"method": "GET", "path": "/orders/*", "body": {"size": 3}},
  {"method": "PATCH", "path": "/orders/o-1", "status": 201, "headers": {"X-Served-By": "a"}, "body": {"id": "crm-9"}}]');
SELECT item_id FROM workflow.submit('orders', '{"order": "o-1", "text": "seven"}') \gset
CALL workflow.run();
SELECT state, outcome, data -> 'model' AS model, data #> '{sent,status}' AS status FROM workflow.items;
SELECT request, endpoint, purpose, method, path, body, key IS NOT NULL AS has_key, status FROM workflow.mock_requests ORDER BY request;
SELECT headers - '{webhook-signature,webhook-timestamp,webhook-id,user-agent}'::text[] AS headers,
       headers ? 'webhook-signature' AS is_signed FROM workflow.mock_requests WHERE method = 'PATCH';
SELECT endpoint, state, attempts, status, external_id, previous #> '{body}' AS before FROM workflow.effects ORDER BY effect_id;
SELECT event, to_state, actor FROM workflow.transition ORDER BY seq;
-- what was changed can be taken back, too
SELECT effect_id FROM workflow.effects WHERE endpoint = 'crm' \gset
SELECT workflow.revert(:effect_id, 'wrong') > 0 AS reverts;
SELECT workflow.mock('crm', '[{"method": "GET", "body": {"size": 7}}, {"method": "PATCH", "body": {"id": "crm-9"}}]');
CALL workflow.run();
SELECT kind, state, status FROM workflow.effects ORDER BY effect_id;
SELECT purpose, method, body FROM workflow.mock_requests ORDER BY request DESC LIMIT 1;
ROLLBACK;
SELECT (SELECT count(*) FROM workflow.items) AS items, (SELECT count(*) FROM workflow.effects) AS effects,
       (SELECT count(*) FROM workflow.mock_requests) AS requests;

-- failures, and the retries that follow them, with a clock that is moved
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('llm', '[{"failure": "timeout"}, {"failure": "refused"}, {"body": {"content": {"size": 1}}}]');
SELECT item_id FROM workflow.submit('orders', '{"order": "o-2", "text": "one"}') \gset
CALL workflow.run();
SELECT waiting_on, next_action_at AT TIME ZONE 'UTC' AS next, last_error_class FROM workflow.where_is(:item_id);
SET LOCAL pg_workflow.clock = '2030-01-01 00:01+00';
CALL workflow.run();
SELECT waiting_on, next_action_at AT TIME ZONE 'UTC' AS next, last_error_class FROM workflow.where_is(:item_id);
SET LOCAL pg_workflow.clock = '2030-01-01 00:03+00';
CALL workflow.run();
SELECT state_of('o-2');
SELECT request, status, failure FROM workflow.mock_requests ORDER BY request;
ROLLBACK;

-- the answer to the action is lost: it is looked up, and found
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('llm', '{"body": {"content": {"size": 1}}, "times": "always"}');
SELECT workflow.mock('crm', '[{"method": "GET", "path": "/orders/*", "body": {}}, {"method": "PATCH", "failure": "dropped"},
                              {"method": "GET", "path": "/receipts/*", "body": {"id": "crm-3"}}]');
SELECT item_id FROM workflow.submit('orders', '{"order": "o-3", "text": "one"}') \gset
CALL workflow.run();
SELECT state, attempts FROM workflow.effects WHERE endpoint = 'crm';
SET LOCAL pg_workflow.clock = '2030-01-01 01:00+00';
CALL workflow.run();
SELECT state, attempts FROM workflow.effects WHERE endpoint = 'crm';
SELECT purpose, method, path, status, failure FROM workflow.mock_requests WHERE endpoint = 'crm' ORDER BY request;
SELECT state_of('o-3');
ROLLBACK;

-- it is looked up, and nothing is found: only when it would have arrived is that proof, and then it is sent again
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('crm', '[{"method": "PATCH", "failure": "dropped"}, {"method": "PATCH", "body": {"id": "crm-4"}},
                              {"method": "GET", "path": "/receipts/*", "status": 404, "times": "always"}]');
SELECT workflow.call('crm', 'PATCH', '/orders/1', '{}', 'k') > 0 AS called;
CALL workflow.run();
SET LOCAL pg_workflow.clock = '2030-01-01 00:05+00';
CALL workflow.run();
SELECT state, attempts FROM workflow.effects;
SET LOCAL pg_workflow.clock = '2030-01-01 00:20+00';
CALL workflow.run();
SET LOCAL pg_workflow.clock = '2030-01-01 00:40+00';
CALL workflow.run();
SELECT state, attempts, external_id FROM workflow.effects;
SELECT purpose, status, failure FROM workflow.mock_requests ORDER BY request;
ROLLBACK;

-- the time for which a receiver knows a key is that of the clock, too: after it a person is asked
ALTER SERVER crm OPTIONS (ADD key_ttl '1 hour', SET on_unknown 'resend', DROP lookup_path, DROP lookup_found, DROP lookup_absent, DROP lookup_settle, DROP absent_is_proof);
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('crm', '[{"failure": "dropped", "times": 2}]');
SELECT workflow.call('crm', 'PATCH', '/orders/1', '{}', 'k') > 0 AS called;
CALL workflow.run();
SET LOCAL pg_workflow.clock = '2030-01-01 00:30+00';
CALL workflow.run();
SELECT state, attempts FROM workflow.effects;
SET LOCAL pg_workflow.clock = '2030-01-01 02:00+00';
CALL workflow.run();
SELECT state, attempts FROM workflow.effects;
ROLLBACK;

-- an answer that breaks off, one that is no JSON, one that is none at all
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('other', '[{"failure": "broken_off", "body": {"half": 1}}, {"text": "plain", "status": 200}, {"status": 404}]');
SELECT workflow.call('other', 'GET', '/a') > 0, workflow.call('other', 'GET', '/b') > 0, workflow.call('other', 'GET', '/c') > 0;
CALL workflow.run();
SELECT path, state, status, response -> 'body' AS body, error_class, reason FROM workflow.effects ORDER BY effect_id;
ROLLBACK;

-- what no mock answers ends the test, and says what was asked
BEGIN;
SELECT workflow.mock('llm', '{"method": "GET", "path": "/v1/*"}');
SELECT state FROM workflow.submit('orders', '{"order": "o-4", "text": "one"}');
\set VERBOSITY default
DO $$
BEGIN
  CALL workflow.run();
EXCEPTION WHEN SQLSTATE 'WF010' THEN
  DECLARE detail text; hint text;
  BEGIN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RAISE WARNING '% / % / %', sqlerrm, regexp_replace(regexp_replace(detail, 'effect \d+', 'effect N'), '"\d+:', '"N:'), hint;
  END;
END $$;
ROLLBACK;

-- an endpoint without mocks is left alone
BEGIN;
SELECT workflow.mock('llm', '{"body": {"content": {"size": 1}}}');
SELECT item_id FROM workflow.submit('orders', '{"order": "o-5", "text": "one"}') \gset
CALL workflow.run();
SELECT state_of('o-5');
SELECT endpoint, state FROM workflow.effects ORDER BY effect_id;
ROLLBACK;

-- a savepoint takes mocks back, and what they answered
BEGIN;
SELECT workflow.mock('other', '{"status": 204}');
SELECT workflow.call('other', 'GET', '/a') > 0 AS called;
SAVEPOINT one;
SELECT workflow.mock('other', '{"status": 200}');
CALL workflow.run();
SELECT path, status FROM workflow.mock_requests;
ROLLBACK TO one;
SELECT count(*) AS requests FROM workflow.mock_requests;
CALL workflow.run();
SELECT path, status FROM workflow.mock_requests;
ROLLBACK;
-- and where all of them are taken back, nothing is mocked any more
BEGIN;
SAVEPOINT one;
SAVEPOINT two;
SELECT workflow.mock('other', '{"status": 200}');
RELEASE two;
ROLLBACK TO one;
COMMIT;

-- nothing that was mocked is ever committed
BEGIN;
SELECT workflow.mock('other', '{"status": 200}');
SELECT workflow.call('other', 'GET', '/a') > 0 AS called;
CALL workflow.run();
COMMIT;
SELECT count(*) AS effects FROM workflow.effects;
SELECT workflow.mock('other', '{"status": 200}');
BEGIN;
SAVEPOINT one;
SELECT workflow.mock('other', '{"status": 200}');
RELEASE one;
COMMIT;
-- run() in a block of code, which could commit, does not
DO $$
BEGIN
  PERFORM workflow.mock('other', '{"status": 200}');
  PERFORM workflow.call('other', 'GET', '/a');
  CALL workflow.run();
  RAISE WARNING '% request', (SELECT count(*) FROM workflow.mock_requests);
END $$;
SELECT count(*) AS effects FROM workflow.effects;

-- what is no response
BEGIN;
\set ON_ERROR_ROLLBACK on
SELECT workflow.mock('nobody', '{}');
SELECT workflow.mock('other', '[{"status": 200}, {"stauts": 200}]');
SELECT workflow.mock('other', '{"status": 99}');
SELECT workflow.mock('other', '{"status": 199}');
SELECT workflow.mock('other', '{"status": 600}');
SELECT workflow.mock('other', '{"method": 1, "path": null}');
SELECT workflow.mock('other', '{"status": "200"}');
SELECT workflow.mock('other', '{"times": 0}');
SELECT workflow.mock('other', '{"times": -1}');
SELECT workflow.mock('other', '{"times": 1.5}');
SELECT workflow.mock('other', '{"times": 1e12}');
SELECT workflow.mock('other', '{"status": 200.5}');
SELECT workflow.mock('other', '{"status": 1e30}');
SELECT workflow.mock('other', '{"failure": "fire"}');
SELECT workflow.mock('other', '{"failure": "timeout", "status": 200}');
SELECT workflow.mock('other', '{"headers": {"a": 1}}');
SELECT workflow.mock('other', '{"headers": {"a b": "1"}}');
SELECT workflow.mock('other', '{"headers": {"a": "1\r\nb: 2"}}');
SELECT workflow.mock('other', '{"text": "a", "body": 1}');
SELECT workflow.mock('other', '3');
SELECT workflow.mock('other', NULL);
SELECT workflow.mock(NULL, '{}');
\set ON_ERROR_ROLLBACK off
ROLLBACK;

-- a whole number is one however it is written
BEGIN;
SELECT workflow.mock('other', '[{"status": 204.0, "times": 1.0}, {"status": 201.00, "times": 0.3e1}]');
SELECT count(workflow.call('other', 'GET', '/' || n)) FROM generate_series(1, 4) AS n;
CALL workflow.run();
SELECT path, status FROM workflow.mock_requests ORDER BY path;
SELECT path, state, status FROM workflow.effects ORDER BY effect_id;
ROLLBACK;

-- a method is the same in any case; in a path only "*" is special, and what follows "?" belongs to it
BEGIN;
SELECT workflow.mock('other', '[{"method": "get", "path": "/low", "status": 201}, {"path": "/a_b", "status": 202, "times": "always"},
  {"path": "/50%25", "status": 203, "times": "always"}, {"path": "/q?n=*", "status": 204, "times": "always"}, {"path": "*", "status": 206, "times": "always"}]');
SELECT count(workflow.call('other', 'GET', p)) FROM unnest('{/low,/a_b,/axb,/50%25,/50%2025,/q?n=7,/q?m=7,/q}'::text[]) AS p;
CALL workflow.run();
SELECT path, status FROM workflow.mock_requests ORDER BY path COLLATE "C";
ROLLBACK;

-- what is sent as JSON says so, and what is sent as it is says that it is text, unless its headers say something else
BEGIN;
SELECT workflow.mock('other', '[{"path": "/json", "body": {"a": 1}}, {"path": "/text", "text": "{\"a\": 1}"},
  {"path": "/own", "text": "{\"a\": 1}", "headers": {"Content-Type": "application/json"}}]');
SELECT count(workflow.call('other', 'GET', p)) FROM unnest('{/json,/text,/own}'::text[]) AS p;
CALL workflow.run();
SELECT path, response #>> '{headers,content-type}' AS type, response -> 'body' AS body FROM workflow.effects ORDER BY path;
ROLLBACK;

-- the time in a signature is the real one
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('crm', '{}');
SELECT workflow.call('crm', 'POST', '/signed', '{}', 'signed') > 0 AS called;
CALL workflow.run();
SELECT abs(extract(epoch FROM clock_timestamp()) - (headers ->> 'webhook-timestamp')::bigint) < 60 AS is_real FROM workflow.mock_requests;
ROLLBACK;

-- every failure that may be named is known
ALTER SERVER other OPTIONS (ADD breaker_failures 'off', ADD breaker_rate 'off');
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('other', jsonb_agg(jsonb_build_object('failure', f, 'path', '/' || f))) FROM unnest(workflow._mock_failures()) AS f;
SELECT count(workflow.call('other', 'GET', '/' || f)) FROM unnest(workflow._mock_failures()) AS f;
CALL workflow.run();
SELECT path, state, attempts, error_class, regexp_replace(reason, ': [^:]*$', '') AS reason FROM workflow.effects ORDER BY effect_id;    -- what follows is libcurl's
ROLLBACK;

-- who may: whom the endpoint is granted to, as for the calls themselves
CREATE ROLE regress_mock_tester;
SELECT workflow.grant_role('regress_mock_tester', 'designer');
GRANT USAGE ON FOREIGN SERVER other TO regress_mock_tester;
SET ROLE regress_mock_tester;
BEGIN;
SELECT workflow.mock('other', '{"status": 200}');
SELECT workflow.call('other', 'GET', '/a') > 0 AS called;
CALL workflow.run();
SELECT path, status FROM workflow.mock_requests;
SAVEPOINT one;
SELECT workflow.mock('llm', '{"status": 200}');
ROLLBACK TO one;
-- and the grant is asked for again when a call begins
RESET ROLE;
SELECT workflow.mock('other', '{"status": 200}');
SET ROLE regress_mock_tester;
SELECT workflow.call('other', 'GET', '/b') > 0 AS called;
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER other FROM regress_mock_tester;
CALL workflow.run();
SELECT path, state, reason FROM workflow.effects ORDER BY effect_id DESC LIMIT 1;
ROLLBACK;
RESET ROLE;
DROP OWNED BY regress_mock_tester;
DROP ROLE regress_mock_tester;

-- breakers and rate limits are those of the endpoint
ALTER SERVER other OPTIONS (SET breaker_failures '2', ADD breaker_cooldown '10 minutes');
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('other', '[{"status": 503, "times": 2}, {"times": "always"}]');
SELECT count(workflow.call('other', 'GET', '/' || i)) FROM generate_series(1, 3) AS i;
CALL workflow.run();
SELECT breaker FROM workflow.endpoints WHERE endpoint = 'other';
SELECT count(*) AS requests FROM workflow.mock_requests;
SET LOCAL pg_workflow.clock = '2030-01-01 00:11+00';
CALL workflow.run();
SELECT breaker FROM workflow.endpoints WHERE endpoint = 'other';
SELECT state, count(*) FROM workflow.effects GROUP BY state ORDER BY state;
ROLLBACK;
SELECT breaker FROM workflow.endpoints WHERE endpoint = 'other';
-- what a test has counted is forgotten with it
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('other', '{"status": 503}');
SELECT workflow.call('other', 'GET', '/1') > 0 AS called;
CALL workflow.run();
ROLLBACK;
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('other', '{"status": 503}');
SELECT workflow.call('other', 'GET', '/1') > 0 AS called;
CALL workflow.run();
SELECT breaker FROM workflow.endpoints WHERE endpoint = 'other';
ROLLBACK;

-- a revert that is sent again after a 412 is another request: its key is, too, also where that stands in the body
CREATE SERVER bodied FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bodied.invalid', dedup 'key', key_pointer '/meta/id');
SELECT version FROM workflow.define('{
  "workflow": "put", "owner": "sales", "initial": "PUT", "key": ["$.id"],
  "retry": {"default": {"owner": "sales", "max_attempts": 1, "timeout": "5 seconds"}},
  "queues": {"puts": {"owner": "sales", "sla": "1 hour", "escalate_to": ["lead"]}},
  "states": {"PUT": {"http": {"endpoint": "bodied", "method": "PUT", "path": "/a", "queue": "puts", "key": ["$.id", "put"], "body": {"n": 1},
                              "revert": {"method": "PUT", "path": "/a", "body": {"n": 0, "meta": {"by": "us"}}}}, "on": {"ok": "WAIT", "error": "WAIT"}},
             "WAIT": {"on": {"end": "DONE"}}, "DONE": {"final": "done"}}}');
BEGIN;
SELECT workflow.mock('bodied', '[{"headers": {"ETag": "\"v2\""}, "body": {}}, {"status": 412}, {"body": {}}]');
SELECT state FROM workflow.submit('put', '{"id": "p"}');
CALL workflow.run();
SELECT effect_id FROM workflow.effects WHERE key = 'p:put' \gset
SELECT workflow.revert(:effect_id, 'not wanted') > 0 AS reverted;
CALL workflow.run();
SELECT kind, state, reason FROM workflow.effects ORDER BY effect_id;
SELECT workflow.revert(:effect_id, 'not wanted', force => true) > 0 AS reverted;
CALL workflow.run();
SELECT kind, state FROM workflow.effects ORDER BY effect_id;
SELECT regexp_replace(body::text, '"by": "us", ', '') AS body, headers -> 'if-match' AS if_match FROM workflow.mock_requests ORDER BY request;
ROLLBACK;

-- a body that is JSON, one that is text, and what is neither
BEGIN;
SELECT workflow.mock('other', '{"times": "always", "status": 204}');
SELECT count(workflow.call('other', 'POST', '/' || v.path, body_bytes => v.body))
FROM (VALUES (1, '[1]'::bytea), (2, 'plain'), (3, '\xff01'), (4, '\x610062')) AS v (path, body);
CALL workflow.run();
SELECT path, body FROM workflow.mock_requests ORDER BY path;
ROLLBACK;
