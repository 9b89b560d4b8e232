--
-- Meeting a key again: what an effect is decides whether its result is used,
-- it is waited for, it is sent again, or another request may have the key.
--
CREATE EXTENSION pg_workflow;
CREATE SERVER keyed FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://keyed.example.com', dedup 'key');
CREATE SERVER once FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://once.example.com', dedup 'none', owner 'finance');

-- One effect in each state that an effect can be in; unknown: sends of unknown outcome behind it.
CREATE TABLE situation (endpoint text, state text, unknown int, key text);
INSERT INTO situation
SELECT e.endpoint, s.state, s.unknown, format('%s:%s', s.state, s.unknown)
FROM (VALUES ('keyed'), ('once')) AS e (endpoint),
     (VALUES ('pending', 0), ('claimed', 0), ('sending', 0), ('unknown', 1), ('held', 1), ('blocked', 0),
             ('succeeded', 0), ('failed', 0), ('dead', 0), ('cancelled', 0), ('cancelled', 1)) AS s (state, unknown);
SELECT count(workflow.call(endpoint, 'POST', '/a', '{"n": 1}', key)) AS effects FROM situation;
UPDATE workflow.effect AS e SET state = s.state, unknown_attempts = s.unknown, response = '{"status": 200}'
FROM situation AS s, workflow.endpoint AS p
WHERE p.endpoint = s.endpoint AND p.endpoint_id = e.endpoint_id AND e.key = s.key;
SET session_replication_role = replica;
DELETE FROM workflow.job;
RESET session_replication_role;

-- Asks for a request; says what becomes of the effect and whether anything will send it.
CREATE FUNCTION meet(endpoint text, key text, body jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  id bigint;
BEGIN
  id := workflow.call(endpoint, 'POST', '/a', body, key);
  RETURN (SELECT format('%s is %s, %s', e.key, e.state,
                        CASE WHEN EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = id) THEN 'to be sent' ELSE 'left alone' END)
          FROM workflow.effect AS e WHERE e.effect_id = id);
EXCEPTION WHEN SQLSTATE 'WF005' THEN
  RETURN 'WF005';
END
$$;

-- the same request
BEGIN;
SELECT s.state, s.unknown, k.met AS keyed, meet('once', s.key, '{"n": 1}') AS once
FROM situation AS s, LATERAL (SELECT meet('keyed', s.key, '{"n": 1}') AS met) AS k
WHERE s.endpoint = 'once' ORDER BY s.key;
ROLLBACK;

-- another request
BEGIN;
SELECT s.state, s.unknown, k.met AS keyed, meet('once', s.key, '{"n": 2}') AS once
FROM situation AS s, LATERAL (SELECT meet('keyed', s.key, '{"n": 2}') AS met) AS k
WHERE s.endpoint = 'once' ORDER BY s.key;
ROLLBACK;

-- the same by begin_effect, whose own sender would act
SET session_replication_role = replica;
DELETE FROM workflow.effect;
RESET session_replication_role;
SELECT count(b.effect_id) AS effects FROM situation AS s, workflow.begin_effect(s.endpoint, s.key, '{"n": 1}') AS b;
UPDATE workflow.effect AS e SET state = s.state, unknown_attempts = s.unknown
FROM situation AS s, workflow.endpoint AS p
WHERE p.endpoint = s.endpoint AND p.endpoint_id = e.endpoint_id AND e.key = s.key;
BEGIN;
SELECT s.endpoint, s.state, s.unknown, a.verdict, a.token IS NOT NULL AS acts, b.verdict AS other_request
FROM situation AS s, workflow.begin_effect(s.endpoint, s.key, '{"n": 1}') AS a,
     workflow.begin_effect(s.endpoint, s.key, '{"n": 2}') AS b
WHERE a.effect_id > 0 ORDER BY s.endpoint, s.key;
ROLLBACK;
SELECT s.endpoint, s.state, s.unknown, b.verdict AS other_request, b.token IS NOT NULL AS acts
FROM situation AS s, workflow.begin_effect(s.endpoint, s.key, '{"n": 2}') AS b
ORDER BY s.endpoint, s.key;
SELECT endpoint, key, state FROM workflow.effects WHERE key LIKE '%#2' ORDER BY endpoint, key;
DROP FUNCTION meet;
