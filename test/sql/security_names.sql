--
-- Names of roles: a role that gets the name of one that was dropped does not
-- get its workflows, and one that is renamed keeps them.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_alice;
CREATE ROLE regress_mallory;
SELECT workflow.grant_role('regress_alice', 'designer');
SELECT workflow.grant_role('regress_mallory', 'designer');
CREATE SCHEMA app AUTHORIZATION regress_mallory;
CREATE SERVER site FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key');
GRANT USAGE ON FOREIGN SERVER site TO PUBLIC;
SET ROLE regress_mallory;
CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(current_user) $$;
GRANT USAGE ON SCHEMA app TO PUBLIC;
SET ROLE regress_alice;
SELECT '{"workflow": "hers", "owner": "me", "initial": "ACT", "retry": {"default": {"max_attempts": 1}},
  "queues": {"hers": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ACT": {"sql": {"function": "app.act", "queue": "hers"}, "timeout": {"after": "1 hour", "event": "error"},
            "on": {"ok": "CALL", "error": "BAD"}},
    "CALL": {"http": {"endpoint": "site", "method": "POST", "path": "/", "queue": "hers", "key": ["$.n"], "revert": {"method": "DELETE", "path": "/"}},
             "timeout": {"after": "1 hour", "event": "error"},
             "on": {"ok": "DONE", "error": "BAD"}},
    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}' AS document \gset
SELECT version FROM workflow.define(:'document');
RESET ROLE;
CREATE FUNCTION try(n text) RETURNS TABLE (runs_as jsonb, state text, sends_as text, reason text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM workflow.submit('hers', jsonb_build_object('n', n), key => n);
  CALL workflow.run();
  RETURN QUERY
    SELECT i.data -> 'act', i.state, (SELECT e.submitted_by FROM workflow.effect AS e WHERE e.item_id = i.item_id),
           (SELECT t.reason FROM workflow.transition AS t WHERE t.item_id = i.item_id AND t.event = 'error')
    FROM workflow.item AS i WHERE i.key = n;
END $$;
SELECT * FROM try('hers');

-- renamed: still hers
ALTER ROLE regress_alice RENAME TO regress_alicia;
SELECT * FROM try('renamed');
CREATE ROLE regress_alice;
SELECT * FROM try('renamed, and another has the name');
SET ROLE regress_alicia;
SELECT version FROM workflow.define(replace(:'document', '"1 hour"', '"2 hours"')::json);
RESET ROLE;
SELECT workflow.grant_role('regress_alice', 'designer');
SET ROLE regress_alice;
\set VERBOSITY sqlstate
SELECT version FROM workflow.define(replace(:'document', '"1 hour"', '"3 hours"')::json);
\set VERBOSITY default
RESET ROLE;

-- dropped: nobody's, whoever has the name
DROP OWNED BY regress_alicia;
DROP ROLE regress_alicia;
CREATE ROLE regress_alicia;
SELECT workflow.grant_role('regress_alicia', 'designer');
SELECT * FROM try('dropped');
SELECT severity, code, problem FROM workflow.check('hers') WHERE severity = 'error';
SET ROLE regress_alicia;
SELECT version FROM workflow.define(replace(:'document', '"1 hour"', '"4 hours"')::json);
-- the same content is the same version, and does not make it hers
SELECT version, created FROM workflow.define(replace(:'document', '"1 hour"', '"2 hours"')::json);
RESET ROLE;
SELECT state FROM try('still nobody''s');

-- until a superuser decides whose it is
UPDATE workflow.workflow SET definer = 'regress_alicia' WHERE workflow = 'hers';
UPDATE workflow.definition SET definer = 'regress_alicia' WHERE workflow = 'hers';
SELECT * FROM try('given away');
SET ROLE regress_alicia;
SELECT version FROM workflow.define(replace(:'document', '"1 hour"', '"4 hours"')::json);
RESET ROLE;
\set VERBOSITY sqlstate
UPDATE workflow.definition SET document = '{}' WHERE workflow = 'hers';
UPDATE workflow.definition SET definer = 'regress_alice', definer_oid = 10 WHERE workflow = 'hers';
SET ROLE regress_mallory;
UPDATE workflow.definition SET definer = 'regress_mallory' WHERE workflow = 'hers';
UPDATE workflow.workflow SET definer = 'regress_mallory' WHERE workflow = 'hers';
\set VERBOSITY default
RESET ROLE;

-- a role named like a keyword is a role
CREATE ROLE "current_user";
CREATE ROLE "select; drop";
SELECT workflow.grant_role('current_user', 'monitor');
SELECT workflow.grant_role('select; drop', 'monitor');
SELECT a.grantee::regrole FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
WHERE n.nspname = 'workflow' AND a.grantee::regrole::text LIKE '"%' ORDER BY 1;
SELECT workflow.grant_role('public', 'monitor');

DROP SCHEMA app CASCADE;
DROP OWNED BY regress_alice, regress_alicia, regress_mallory, "current_user", "select; drop";
DROP ROLE regress_alice, regress_alicia, regress_mallory, "current_user", "select; drop";
DROP FUNCTION try;
