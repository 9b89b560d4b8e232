--
-- What the function of a sql activity cannot do: become another role, or leave
-- things behind for others' activities.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_tenant;
CREATE ROLE regress_victim;
SELECT workflow.grant_role('regress_tenant', 'designer');
CREATE SCHEMA app AUTHORIZATION regress_tenant;
SET ROLE regress_tenant;
CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN EXECUTE data ->> 'sql'; RETURN jsonb_build_object('role', current_user); END $$;
SELECT '{"workflow": "NAME", "owner": "me", "initial": "ACT", "retry": {"default": {"max_attempts": 1}},
  "queues": {"NAME": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ACT": {"sql": {"function": "FUNCTION", "queue": "NAME"}, "timeout": {"after": "1 hour", "event": "error"},
            "on": {"ok": "DONE", "error": "BAD"}},
    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}' AS document \gset
SELECT version FROM workflow.define(replace(replace(:'document', 'NAME', 'tenant'), 'FUNCTION', 'app.act')::json);
CREATE FUNCTION app.attempt(sql text) RETURNS text LANGUAGE sql AS
$$ SELECT state FROM workflow.submit('tenant', jsonb_build_object('sql', sql), key => sql) $$;
RESET ROLE;
CREATE VIEW outcome AS
SELECT i.workflow, i.key, i.state, a.detail ->> 'sqlstate' AS sqlstate, a.message
FROM workflow.item AS i LEFT JOIN workflow.attempt AS a ON a.item_id = i.item_id AND a.outcome = 'dead';

-- other rights than the definer's, and what would run later with the session's
SELECT count(app.attempt(sql)) FROM unnest(ARRAY[
  'SET ROLE regress_victim',
  'RESET ROLE',
  'RESET SESSION AUTHORIZATION',
  'SELECT set_config(''role'', ''regress_victim'', false)',
  'SELECT set_config(''session_authorization'', ''regress_victim'', true)',
  'COMMIT',
  'LISTEN x',
  'UNLISTEN *',
  'PREPARE p AS SELECT 1',
  'DEALLOCATE ALL',
  'DISCARD TEMP',
  'CLOSE ALL',
  'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
  'LOAD ''plpgsql''',
  'COPY (SELECT 1) TO PROGRAM ''true''',
  'SELECT pg_catalog.pg_read_file(''postgresql.conf'')',
  'CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION app.tell()',
  'CREATE TRIGGER t AFTER UPDATE ON workflow.item EXECUTE FUNCTION app.tell()',
  'CREATE RULE r AS ON SELECT TO workflow.queue DO INSTEAD SELECT 1',
  'CREATE POLICY p ON workflow.item USING (true)',
  'CREATE FUNCTION workflow._note(text, text, text, text, text) RETURNS void LANGUAGE sql AS ''''',
  'CREATE FUNCTION pg_catalog.f() RETURNS int LANGUAGE sql AS ''SELECT 1''',
  'CREATE CAST (jsonb AS text) WITH INOUT AS IMPLICIT',
  'CREATE OPERATOR workflow.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)',
  'UPDATE workflow.definition SET definer = ''regress_victim''',
  'SELECT workflow._move(1, ''ok'', ''send'', ''regress_victim'', NULL, NULL, NULL)',
  'SELECT * FROM workflow.item',
  'ALTER FUNCTION app.act(bigint, jsonb) OWNER TO regress_victim',
  'CREATE SERVER s FOREIGN DATA WRAPPER workflow_http OPTIONS (url ''https://x'', dedup ''key'')',
  'SELECT workflow.grant_role(''regress_tenant'', ''operator'')',
  'SET pg_workflow.clock = ''2100-01-01''']) AS sql;

-- temporary objects, however they are made
SELECT count(app.attempt(sql)) FROM unnest(ARRAY[
  'SET search_path = pg_temp; CREATE TABLE planted (n int)',
  'CREATE TEMP TABLE planted (n int) ON COMMIT DROP',
  'CREATE VIEW pg_temp.planted AS SELECT 1',
  'CREATE SEQUENCE pg_temp.planted',
  'CREATE TYPE pg_temp.planted AS (n int)',
  'CREATE DOMAIN pg_temp.planted AS int',
  'CREATE FUNCTION pg_temp.planted() RETURNS int LANGUAGE sql AS ''SELECT 1''',
  'CREATE OPERATOR pg_temp.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)',
  'DO $x$ BEGIN CREATE TEMP TABLE planted (n int); END $x$']) AS sql;
CALL workflow.run();
SELECT key, sqlstate, message LIKE 'an activity cannot leave%' AS by_the_extension FROM outcome
WHERE state = 'BAD' ORDER BY key COLLATE "C";
SELECT key FROM outcome WHERE state <> 'BAD';

-- one that it drops itself is its own affair
SELECT app.attempt('CREATE TEMP TABLE scratch (n int); INSERT INTO scratch VALUES (1); DROP TABLE scratch');
-- what it leaves open is closed
SELECT app.attempt('DECLARE mine CURSOR FOR SELECT 1');
SELECT app.attempt('FETCH mine');
SELECT app.attempt('DO $x$ BEGIN PERFORM lo_create(4242); PERFORM lo_open(4242, 262144); END $x$');
SELECT app.attempt('SELECT loread(0, 1)');
CALL workflow.run();
SELECT key, state, sqlstate, message FROM outcome
WHERE key LIKE 'CREATE TEMP TABLE scratch%' OR key LIKE '%mine%' OR key LIKE '%lo_open%' OR key LIKE '%loread%' ORDER BY state, key;

DROP VIEW outcome;
DROP SCHEMA app CASCADE;
DROP OWNED BY regress_tenant, regress_victim;
DROP ROLE regress_tenant, regress_victim;
