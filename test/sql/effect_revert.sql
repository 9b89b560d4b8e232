--
-- Taking an effect back is an effect of its own, made once.
--
CREATE EXTENSION pg_workflow;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');
SELECT effect_id FROM workflow._reserve_effect(current_user, 'crm', 'http', 'acme:1',
  '{"method": "PATCH", "path": "/accounts/acme", "body": {"name": "new"},
    "spec": {"before": {"method": "GET", "path": "/accounts/acme"},
             "revert": {"method": "PATCH", "path": "/accounts/{$.body.id}", "body": "$.before.body.fields"}}}',
  NULL, NULL) \gset
UPDATE workflow.effect
SET state = 'succeeded', response = '{"status": 200, "body": {"id": "a c/me"}}',
    previous = '{"status": 200, "body": {"fields": {"name": "old"}}}'
WHERE effect_id = :effect_id;

SELECT workflow.revert(:effect_id, 'wrong account') AS by_effect \gset
SELECT key, state, method, path FROM workflow.effects WHERE effect_id = :by_effect;
SELECT kind, reverts = :effect_id AS reverts_it, convert_from(body, 'UTF8') AS body
FROM workflow.effect WHERE effect_id = :by_effect;
SELECT kind, queue, status FROM workflow.job WHERE effect_id = :by_effect;

-- twice is once
SELECT workflow.revert(:effect_id, 'wrong account') = :by_effect AS same_effect;
SELECT count(*) AS jobs FROM workflow.job WHERE effect_id = :by_effect;
SELECT action, reason FROM workflow.journal ORDER BY journal_id;

-- ended, it is the same effect for the same call, and another one is refused
UPDATE workflow.effect SET state = 'succeeded' WHERE effect_id = :by_effect;
SELECT workflow.revert(:effect_id, 'wrong account') = :by_effect AS same_effect;
SELECT workflow.revert(:effect_id, 'another reason');
\echo :LAST_ERROR_SQLSTATE
SELECT workflow.revert(:effect_id, 'wrong account', force => true);

-- what was read before is not changed any more
UPDATE workflow.effect SET previous = '{"status": 200, "body": {"fields": {"name": "newer"}}}' WHERE effect_id = :effect_id;

-- refused: what was not applied, what has no revert, whose value before is missing
SELECT effect_id AS other_id FROM workflow._reserve_effect(current_user, 'crm', 'http', 'acme:2',
  '{"method": "PATCH", "path": "/accounts/b", "body": {"name": "new"}}', NULL, NULL) \gset
SELECT workflow.revert(:other_id, 'no');
\echo :LAST_ERROR_SQLSTATE
UPDATE workflow.effect SET state = 'succeeded' WHERE effect_id = :other_id;
SELECT workflow.revert(:other_id, 'no');
\echo :LAST_ERROR_SQLSTATE
UPDATE workflow.effect SET spec = '{"revert": {"method": "PATCH", "path": "/accounts/b", "body": "$.before.body.fields"}}'
WHERE effect_id = :other_id;
SELECT workflow.revert(:other_id, 'no');
\echo :LAST_ERROR_SQLSTATE
UPDATE workflow.effect SET previous = '{"status": 404, "body": {"error": "none"}}' WHERE effect_id = :other_id;
SELECT workflow.revert(:other_id, 'no');
\echo :LAST_ERROR_SQLSTATE
SELECT workflow.revert(0, 'no');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) AS reverts FROM workflow.effects WHERE kind = 'revert';
