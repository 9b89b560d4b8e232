--
-- An effect is sent with the rights of the role that submitted it, not of another
-- one that has its name by now.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'http://127.0.0.1:1', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
CREATE ROLE regress_bob;
SELECT workflow.grant_role('regress_bob', 'submitter');
GRANT USAGE ON FOREIGN SERVER shop TO regress_bob;
GRANT EXECUTE ON FUNCTION workflow.call(text, text, text, jsonb, text, jsonb, interval, text, bytea) TO regress_bob;
SET ROLE regress_bob;
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 1}', 'k1') AS k1, workflow.call('shop', 'POST', '/orders', '{"n": 2}', 'k2') AS k2 \gset
RESET ROLE;
CREATE VIEW stands AS SELECT key, state, attempts, regexp_replace(reason, 'connect.*:', 'connection:') AS reason FROM workflow.effects ORDER BY key;
SELECT bool_and(submitted_oid = 'regress_bob'::regrole) AS is_bound FROM workflow.effect;

-- somebody new gets the name, and the same rights
DROP OWNED BY regress_bob;
DROP ROLE regress_bob;
CREATE ROLE regress_bob;
GRANT USAGE ON FOREIGN SERVER shop TO regress_bob;
CALL workflow.run();
TABLE stands;
BEGIN;
UPDATE workflow.effect SET state = 'succeeded', spec = '{"revert": {"method": "DELETE", "path": "/orders/1"}}' WHERE key = 'k1';
\set SHOW_CONTEXT never
SELECT * FROM workflow.revert(:k1, 'whose?');
ROLLBACK;

-- it is given to somebody on purpose
UPDATE workflow.effect SET submitted_by = 'regress_bob' WHERE key = 'k1';
CALL workflow.run();
SELECT key, state, attempts FROM stands;

-- a role that is renamed is the same role
UPDATE workflow.effect SET next_at = NULL;
UPDATE workflow.job SET run_at = now();
ALTER ROLE regress_bob RENAME TO regress_rob;
CALL workflow.run();
SELECT key, state, attempts FROM stands;

-- rows that are restored mean the role that has the name there
CREATE TEMP TABLE dumped AS SELECT * FROM workflow.effect;
SET session_replication_role = replica;
DELETE FROM workflow.effect WHERE key = 'k2';
RESET session_replication_role;
UPDATE dumped SET submitted_by = 'regress_rob', submitted_oid = 1;
INSERT INTO workflow.effect OVERRIDING SYSTEM VALUE SELECT * FROM dumped WHERE key = 'k2';
SELECT submitted_oid = 'regress_rob'::regrole AS is_bound FROM workflow.effect WHERE key = 'k2';
DROP OWNED BY regress_rob;
DROP ROLE regress_rob;
