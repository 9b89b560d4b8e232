--
-- The ledger: one effect for a key, whoever asks and however often.
--
CREATE EXTENSION pg_workflow;
\set VERBOSITY terse
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');
CREATE SERVER pay FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://pay.example.com', dedup 'none', owner 'finance');

-- the same request under the same key is the same effect, and one job
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 1, "b": 2}', 'k1') AS first \gset
SELECT workflow.call('crm', 'POST', '/accounts', '{"b": 2, "a": 1}', 'k1') = :first AS same_effect;
SELECT count(*) FROM workflow.job WHERE effect_id = :first AND kind = 'http' AND queue = 'calls';

-- another request is refused, whichever part differs
\set VERBOSITY sqlstate
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 1, "b": 3}', 'k1');
SELECT workflow.call('crm', 'PUT', '/accounts', '{"a": 1, "b": 2}', 'k1');
SELECT workflow.call('crm', 'POST', '/account', '{"a": 1, "b": 2}', 'k1');
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 1, "b": 2}', 'k1', '{"x-a": "1"}');
\set VERBOSITY terse
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 1, "b": 3}', 'k1');

-- keys belong to an endpoint; without a key every call is its own
SELECT workflow.call('pay', 'POST', '/accounts', '{"a": 1, "b": 2}', 'k1') <> :first AS own_key_space;
SELECT workflow.call('crm', 'GET', '/a') <> workflow.call('crm', 'GET', '/a') AS own_effects;

-- what would go wrong on the wire is refused at once
SELECT workflow.call('crm', 'POST', '/a', '{}', E'k\n');
SELECT workflow.call('crm', 'POST', '/a', '{}', '');
SELECT workflow.call('crm', 'po st', '/a', '{}', 'k2');
SELECT workflow.call('crm', 'TRACE', '/a', '{}', 'k2');
SELECT workflow.call('crm', 'POST+', '/a', '{}', 'k2');
SELECT workflow.call('crm', 'PRI', '/a', '{}', 'k2');
SELECT workflow.call('crm', '-', '/a', '{}', 'k2');
SELECT workflow.call('crm', 'A-METHOD-OF-MANY-WORDS', '/a', '{}', 'k2');
\set VERBOSITY default
SELECT workflow.call('crm', 'post', '/a', '{}', 'k2');
SELECT workflow.call('crm', 'CONNECT', '/a', '{}', 'k2');
\set VERBOSITY terse
SELECT count(*) FROM workflow.effect WHERE key = 'k2';
BEGIN;
SELECT count(workflow.call('crm', m, '/a', '{}', m)) FROM unnest('{VERSION-CONTROL,PROPFIND,PURGE,OPTIONS}'::text[]) AS m;
ROLLBACK;
SELECT workflow.call('crm', 'POST', 'https://evil.example.com', '{}', 'k2');
SELECT workflow.call('crm', 'POST', '@evil.example.com', '{}', 'k2');
SELECT workflow.call('crm', 'POST', '/../admin', '{}', 'k2');
SELECT workflow.call('crm', 'POST', '/a/%2e%2E/admin', '{}', 'k2');
SELECT workflow.call('crm', 'POST', E'/a\r\nHost: evil', '{}', 'k2');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'k2', '{"x": "a\r\nb: c"}');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'k2', '{"x y": "a"}');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'k2', '{"x": 1}');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'k2', '[]');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'k2', '{"Authorization": "Bearer hunter2"}');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'k2', '{"idempotency-KEY": "other"}');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'k2', NULL, '1 hour');
SELECT workflow.call('crm', 'POST', '/a', jsonb_build_object('a', repeat('x', 1100000)), 'k2');
SELECT workflow.call(NULL, 'POST', '/a');
SELECT workflow.call('crm', 'GET', '/a/..b/.c?x=../..', NULL, 'dots') > 0 AS dots_in_names_are_fine;

-- a key whose request is proven not applied is free for another one: a new generation
UPDATE workflow.effect SET state = 'failed', error_class = 'validation' WHERE effect_id = :first;
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 3}', 'k1') AS second \gset
SELECT key, generation, state FROM workflow.effect WHERE effect_id IN (:first, :second) ORDER BY effect_id;
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 3}', 'k1') = :second AS same_generation;
-- the key is the second request's now, so the first one is another request
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 1, "b": 2}', 'k1');
-- as long as a send of unknown outcome is behind it, it is not free
UPDATE workflow.effect SET state = 'dead', unknown_attempts = 1 WHERE effect_id = :second;
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 4}', 'k1');
-- the same request brings a failed one back, and its job
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 3}', 'k1') = :second AS brought_back;
SELECT state, error_class, finished_at FROM workflow.effect WHERE effect_id = :second;

-- a success is used as it is: no job is made
UPDATE workflow.effect SET state = 'succeeded', finished_at = created_at WHERE effect_id = :second;
SET session_replication_role = replica;
DELETE FROM workflow.job WHERE effect_id = :second;
RESET session_replication_role;
SELECT workflow.call('crm', 'POST', '/accounts', '{"a": 3}', 'k1') = :second AS found;
SELECT count(*) AS jobs FROM workflow.job WHERE effect_id = :second;
-- given up although it may have been applied: without deduplication a person is asked, nothing is sent
UPDATE workflow.effect SET state = 'cancelled', substate = 'abandoned', unknown_attempts = 1
FROM workflow.endpoint AS p WHERE p.endpoint_id = effect.endpoint_id AND p.endpoint = 'pay';
SELECT workflow.call('pay', 'POST', '/accounts', '{"a": 1, "b": 2}', 'k1') > 0 AS found;
SELECT state FROM workflow.effects WHERE endpoint = 'pay';

-- the view has the promised columns
SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute
WHERE attrelid = 'workflow.effects'::regclass AND attnum > 0;
