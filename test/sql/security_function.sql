--
-- The function of a sql activity is looked up when it runs: one that has
-- changed since, or is temporary, or meets its caller's temporary tables.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_tenant;
CREATE ROLE regress_victim;
CREATE ROLE regress_operator;
SELECT workflow.grant_role('regress_tenant', 'designer');
SELECT workflow.grant_role('regress_victim', 'designer');
SELECT workflow.grant_role('regress_operator', 'operator');
CREATE SCHEMA app AUTHORIZATION regress_tenant;
CREATE SCHEMA victim AUTHORIZATION regress_victim;
SET ROLE regress_tenant;
CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
SELECT '{"workflow": "NAME", "owner": "me", "initial": "ACT", "retry": {"default": {"max_attempts": 1}},
  "queues": {"NAME": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ACT": {"sql": {"function": "FUNCTION", "queue": "NAME"}, "timeout": {"after": "1 hour", "event": "error"},
            "on": {"ok": "DONE", "error": "BAD"}},
    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}' AS document \gset
SELECT version FROM workflow.define(replace(replace(:'document', 'NAME', 'tenant'), 'FUNCTION', 'app.act')::json);
RESET ROLE;
CREATE VIEW outcome AS
SELECT i.workflow, i.key, i.state, a.detail ->> 'sqlstate' AS sqlstate, a.message
FROM workflow.item AS i LEFT JOIN workflow.attempt AS a ON a.item_id = i.item_id AND a.outcome = 'dead';

-- a function made anew that returns something else
SET ROLE regress_tenant;
DROP FUNCTION app.act(bigint, jsonb);
CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS bigint LANGUAGE sql AS 'SELECT 42::bigint';
SELECT state FROM workflow.submit('tenant', '{}', 'a number');
CALL workflow.run();
DROP FUNCTION app.act(bigint, jsonb);
CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT data WHERE false';
SELECT state FROM workflow.submit('tenant', '{}', 'no row');
CALL workflow.run();
-- and one that has changed names with another
DROP FUNCTION app.act(bigint, jsonb);
CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{"is": "first"}'::jsonb $$;
CREATE FUNCTION app.other(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{"is": "second"}'::jsonb $$;
SELECT version FROM workflow.define(replace(replace(:'document', 'NAME', 'other'), 'FUNCTION', 'app.other')::json);
SELECT state FROM workflow.submit('tenant', '{}', 'before');
SELECT state FROM workflow.submit('other', '{}', 'before');
CALL workflow.run();
ALTER FUNCTION app.act(bigint, jsonb) RENAME TO aside;
ALTER FUNCTION app.other(bigint, jsonb) RENAME TO act;
ALTER FUNCTION app.aside(bigint, jsonb) RENAME TO other;
SELECT state FROM workflow.submit('tenant', '{}', 'after');
CALL workflow.run();
RESET ROLE;
SELECT o.key, o.state, o.sqlstate, o.message, i.data -> 'act' ->> 'is' AS is FROM outcome AS o
JOIN workflow.item AS i USING (workflow, key)
WHERE key IN ('a number', 'no row', 'before', 'after') AND workflow = 'tenant' ORDER BY key;

-- a temporary function is no activity: its schema is the next session's
SET ROLE regress_tenant;
CREATE FUNCTION pg_temp.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
SELECT nspname AS temp FROM pg_namespace WHERE oid = pg_my_temp_schema() \gset
\set VERBOSITY sqlstate
SELECT version FROM workflow.define(replace(replace(:'document', 'NAME', 'temp'), 'FUNCTION', 'pg_temp.act')::json);
SELECT version FROM workflow.define(replace(replace(:'document', 'NAME', 'temp'), 'FUNCTION', :'temp' || '.act')::json);
\set VERBOSITY default
DROP FUNCTION pg_temp.act;

-- whoever calls run() cannot put a table of his own before the definer's
SET ROLE regress_victim;
CREATE TABLE victim.ledger (who name);
CREATE FUNCTION victim.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql SET search_path = victim AS
$$ BEGIN INSERT INTO ledger VALUES (current_user); RETURN NULL; END $$;
SELECT version FROM workflow.define(replace(replace(:'document', 'NAME', 'victim'), 'FUNCTION', 'victim.act')::json);
SET ROLE regress_operator;
CREATE TEMP TABLE ledger (who name);
CREATE FUNCTION pg_temp.strike() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE WARNING 'code of the caller runs as %', current_user; RETURN NULL; END $$;
CREATE TRIGGER strike AFTER INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION pg_temp.strike();
GRANT ALL ON ledger TO PUBLIC;
SELECT state FROM workflow.submit('victim', '{}', 'outside');
CALL workflow.run();
BEGIN;
SELECT state FROM workflow.submit('victim', '{}', 'inside');
CALL workflow.run();
RESET ROLE;
SELECT key, state, sqlstate, message FROM outcome WHERE workflow = 'victim' ORDER BY key;
ROLLBACK;
DROP TABLE ledger CASCADE;
DROP FUNCTION pg_temp.strike;
SET ROLE regress_operator;
CALL workflow.run();
RESET ROLE;
SELECT key, state FROM outcome WHERE workflow = 'victim';
SELECT who FROM victim.ledger;

DROP VIEW outcome;
DROP SCHEMA app, victim CASCADE;
DROP OWNED BY regress_tenant, regress_victim, regress_operator;
DROP ROLE regress_tenant, regress_victim, regress_operator;
