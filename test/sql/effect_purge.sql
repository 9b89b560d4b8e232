--
-- Forgetting what effects carried, and not that they were; settling many at once.
--
CREATE EXTENSION pg_workflow;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'finance');

SELECT count(workflow.call('bank', 'POST', '/pay', '{"iban": "secret"}', 'k' || n, '{"x-name": "secret"}')) AS effects
FROM generate_series(1, 6) AS n;
UPDATE workflow.effect AS e
SET state = (ARRAY['succeeded', 'failed', 'held', 'succeeded', 'sending', 'held'])[substr(e.key, 2)::int],
    unknown_attempts = CASE WHEN e.key IN ('k3', 'k6') THEN 1 ELSE 0 END,
    finished_at = CASE WHEN e.key IN ('k1', 'k2') THEN now() - interval '31 days' WHEN e.key = 'k4' THEN now() END,
    response = '{"status": 200, "body": "secret"}', response_raw = 'secret', previous = '{"body": "secret"}',
    external_id = 'pay-' || e.key, spec = '{"data": {"name": "secret"}, "schema": {"const": "secret"}, "revert": {"method": "DELETE", "path": "/pay"}}';
SET session_replication_role = replica;
DELETE FROM workflow.job AS j USING workflow.effect AS e WHERE e.effect_id = j.effect_id AND e.key IN ('k1', 'k2', 'k4');
INSERT INTO workflow.model_output (effect_id, model, output, errors, created_at)
SELECT e.effect_id, 'm', '"secret"', '[{"message": "secret is not"}]', now() FROM workflow.effect AS e WHERE e.key IN ('k1', 'k4');
RESET session_replication_role;

-- what is finished and old enough is purged, once
SELECT workflow.purge_effects('30 days', 1) AS first, workflow.purge_effects('30 days') AS rest, workflow.purge_effects('30 days') AS none;
SELECT e.key, e.state, e.external_id, e.fingerprint IS NOT NULL AS fingerprint, e.purged_at IS NOT NULL AS purged,
       to_jsonb(e)::text LIKE '%secret%' OR e.body IS NOT NULL AS has_secret, m.output, m.errors
FROM workflow.effect AS e LEFT JOIN workflow.model_output AS m USING (effect_id) ORDER BY e.key;
SELECT actor = current_user AS by_me, action, detail FROM workflow.journal;
SELECT workflow.purge_effects(NULL);
SELECT workflow.purge_effects('-1 day');

-- a key is met as before
SELECT effect_id AS id, workflow.call('bank', 'POST', '/pay', '{"iban": "secret"}', 'k1', '{"x-name": "secret"}') = effect_id AS same
FROM workflow.effects WHERE key = 'k1' \gset
SELECT :'same' AS same, state FROM workflow.effects WHERE effect_id = :id;
SELECT workflow.call('bank', 'POST', '/pay', '{"iban": "other"}', 'k1');
SELECT workflow.revert(:id, 'regret');
-- and what is to be sent again is whole again
SELECT workflow.call('bank', 'POST', '/pay', '{"iban": "secret"}', 'k2', '{"x-name": "secret"}') = effect_id AS same
FROM workflow.effects WHERE key = 'k2';
SELECT state, convert_from(body, 'UTF8') AS body, headers, purged_at FROM workflow.effect WHERE key = 'k2';

-- several effects are resolved together, all or none
SELECT workflow.resolve_many(array_agg(effect_id), 'applied', 'statement of account') FROM workflow.effects WHERE key IN ('k3', 'k5');
SELECT key, state FROM workflow.effects WHERE key IN ('k3', 'k5', 'k6') ORDER BY key;
SELECT workflow.resolve_many(array_agg(effect_id) || array_agg(effect_id), 'applied', 'statement of account')
FROM workflow.effects WHERE key IN ('k3', 'k6');
SELECT key, state, reason FROM workflow.effects WHERE key IN ('k3', 'k5', 'k6') ORDER BY key;
SELECT workflow.resolve_many('{}', 'applied', 'nothing');
-- and so is evidence recorded
SELECT workflow.record_evidence_many('bank', '{k6,none}', 'applied', '{tx-6,tx-7}');
SELECT workflow.record_evidence_many('bank', '{k6}', 'applied', '{}');
SELECT workflow.record_evidence_many('bank', '{k3,k6,k5}', 'applied', '{tx-3,tx-6,null}');
SELECT key, state, reason, external_id FROM workflow.effects WHERE key IN ('k3', 'k5', 'k6') ORDER BY key;
-- also where there are none it has to be a resolution, and a null is nobody's id
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT workflow.resolve_many('{}', 'perhaps', 'nothing');
SELECT workflow.resolve_many('{}', 'applied', '');
SELECT workflow.resolve_many('{NULL}', 'applied', 'nothing');
SELECT workflow.resolve_many(NULL, 'applied', 'nothing');
