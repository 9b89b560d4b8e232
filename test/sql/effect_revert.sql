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

-- single members: what the others were set to stays
SELECT effect_id FROM workflow._reserve_effect(current_user, 'crm', 'http', 'acme:3',
  '{"method": "PATCH", "path": "/accounts/c", "body": {"name": "new", "size": 7, "a,b": true},
    "spec": {"before": {"method": "GET", "path": "/accounts/c"},
             "revert": {"method": "PATCH", "path": "/accounts/c", "body": "$.before.body.fields"}}}', NULL, NULL) \gset
UPDATE workflow.effect
SET state = 'succeeded', response = '{"status": 200, "body": {"fields": {"name": "new", "size": 7, "a,b": true, "other": 1}}}',
    previous = '{"status": 200, "body": {"fields": {"name": "old", "other": 1}}}'
WHERE effect_id = :effect_id;
SELECT workflow.revert(:effect_id, 'the size', members => '{size,"a,b",size}') AS sizes \gset
SELECT workflow.revert(:effect_id, 'the name', members => '{name}') AS name \gset
SELECT r.key, convert_from(r.body, 'UTF8') AS body, r.spec -> 'members' AS members, r.reverts = :effect_id AS of_it
FROM workflow.effect AS r WHERE r.effect_id IN (:sizes, :name) ORDER BY 1;
SELECT workflow.revert(:effect_id, 'the size', members => '{"a,b",size}') = :sizes AS same_effect;
-- only these are compared: somebody has changed the name
SELECT workflow._check_revert(:sizes, '{"status": 200, "headers": {}, "body": {"fields": {"name": "theirs", "size": 7, "a,b": true}}}') AS sizes,
       workflow._check_revert(:name, '{"status": 200, "headers": {}, "body": {"fields": {"name": "theirs", "size": 7, "a,b": true}}}') AS name;
SELECT detail -> 'members' AS members, reason FROM workflow.journal WHERE action = 'revert' ORDER BY journal_id DESC LIMIT 3;
SELECT workflow._if_effect_again(e, 'key', NULL) FROM workflow.effect AS e WHERE e.effect_id = :effect_id \gset
\echo :_if_effect_again
-- the rest can be taken back all the same, and then there are no single members any more
UPDATE workflow.effect SET state = 'succeeded' WHERE effect_id IN (:sizes, :name);
SELECT workflow.revert(:effect_id, 'another reason', members => '{name}');
SELECT workflow.revert(:effect_id, 'all of it') AS whole \gset
SELECT key, convert_from(body, 'UTF8') AS body FROM workflow.effect WHERE effect_id = :whole;
SELECT workflow._check_revert(:whole, '{"status": 200, "headers": {}, "body": {"fields": {"name": "old", "other": 2}}}') AS what_is_restored_already;
SELECT workflow.revert(:effect_id, 'too late', members => '{name}');
-- not: a name that was not written, none, a null, or where the other members would be replaced
SELECT effect_id FROM workflow._reserve_effect(current_user, 'crm', 'http', 'acme:4',
  '{"method": "PUT", "path": "/accounts/d", "body": {"name": "new"}, "spec": {"revert": {"method": "PUT", "path": "/accounts/d", "body": {"name": "old"}}}}', NULL, NULL) \gset
UPDATE workflow.effect SET state = 'succeeded', response = '{"status": 200}' WHERE effect_id = :effect_id;
SELECT workflow.revert(:effect_id, 'no', members => '{name}');
UPDATE workflow.effect SET spec = '{"revert": {"method": "PATCH", "path": "/accounts/d", "body": {"name": "old", "by": "us"}}}' WHERE effect_id = :effect_id;
SELECT workflow.revert(:effect_id, 'no', members => '{nmae,other}');
SELECT workflow.revert(:effect_id, 'no', members => '{}');
SELECT workflow.revert(:effect_id, 'no', members => '{NULL}');
SELECT workflow.revert(:effect_id, 'yes', members => '{name}') AS name \gset
SELECT key, convert_from(body, 'UTF8') AS body FROM workflow.effect WHERE effect_id = :name;
