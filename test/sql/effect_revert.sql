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
