--
-- Definition: whose it is, whose rights it needs, and whose a queue is.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
CREATE ROLE regress_first;
CREATE ROLE regress_member IN ROLE regress_first;
CREATE ROLE regress_other;
GRANT USAGE ON SCHEMA workflow TO regress_first, regress_other;
GRANT EXECUTE ON FUNCTION workflow.define(json) TO regress_first, regress_other;
CREATE SCHEMA app;
CREATE FUNCTION app.step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
REVOKE EXECUTE ON FUNCTION app.step(bigint, jsonb) FROM PUBLIC;
SELECT $${"workflow": "w", "initial": "A", "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"A": {"sql": {"function": "app.step", "queue": "q"}, "on": {"ok": "B", "error": "B"}}, "B": {"final": "done"}}}$$ AS document \gset

-- the definer has to be able to call the function
SET ROLE regress_first;
SELECT * FROM workflow.define(:'document');
RESET ROLE;
GRANT USAGE ON SCHEMA app TO regress_first;
SET ROLE regress_first;
SELECT * FROM workflow.define(:'document');
RESET ROLE;
GRANT EXECUTE ON FUNCTION app.step(bigint, jsonb) TO regress_first;
SET ROLE regress_first;
SELECT * FROM workflow.define(:'document');
RESET ROLE;

-- a later version needs membership in the first definer's role
GRANT USAGE ON SCHEMA app TO PUBLIC;
GRANT EXECUTE ON FUNCTION app.step(bigint, jsonb) TO PUBLIC;
SET ROLE regress_other;
SELECT * FROM workflow.define(replace(:'document', '1 hour', '2 hours')::json);
SET ROLE regress_member;
SELECT * FROM workflow.define(replace(:'document', '1 hour', '2 hours')::json);
RESET ROLE;
SELECT version, owner, definer FROM workflow.definition ORDER BY version;
SELECT owner, definer FROM workflow.workflow;

-- the new version changed its own queue
SELECT queue, owner, sla, defined_by FROM workflow.queue;

-- another workflow shares it as it is, also when it describes it the same way
SELECT * FROM workflow.define('{"workflow": "v", "initial": "A", "owner": "others",
  "queues": {"q": {"sla": "120 minutes", "escalate_to": ["boss"]}}, "states": {"A": {"task": {"queue": "q"}, "on": {"ok": "B", "error": "B"}}, "B": {"final": "x"}}}');
SELECT queue, owner, sla, defined_by FROM workflow.queue;

-- and is refused when it describes it otherwise
SELECT * FROM workflow.define('{"workflow": "u", "initial": "A",
  "queues": {"q": {"sla": "3 hours", "escalate_to": ["boss", "chief"], "rate_limit": {"count": 1, "per": "1 s"}}},
  "states": {"A": {"task": {"queue": "q"}, "on": {"ok": "B", "error": "B"}}, "B": {"final": "x"}}}');

-- a role's queue is a role's
SELECT workflow._ensure_queue('mine', '{"owner": "me", "sla": "1 hour", "escalate_to": ["boss"]}', 'role:me');
SELECT workflow._ensure_queue('mine', '{"owner": "me", "sla": "2 hours", "escalate_to": ["boss"]}', 'role:me');
\set VERBOSITY sqlstate
SELECT workflow._ensure_queue('mine', '{"owner": "me", "sla": "3 hours", "escalate_to": ["boss"]}', 'role:you');
\set VERBOSITY default
SELECT queue, sla, defined_by FROM workflow.queue WHERE queue = 'mine';

-- a version that is restored may come before what it names: that is no fault of it, though define() refuses it for now
CREATE SERVER telex FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://telex.example', dedup 'none', owner 'me', lookup_path '/x', lookup_found '$.body');
CREATE TABLE early (name text, document json);
INSERT INTO early SELECT n, format('{"workflow": "%s", "owner": "me", "initial": "A", "key": ["$.id"], %s "states": {"A": {%s, "on": {"ok": "B", "error": "B"}}, "B": {"final": "x"}}}', n, q, a)::json
FROM (VALUES ('function', '"queues": {"own": {"sla": "1 hour", "escalate_to": ["boss"]}},', '"sql": {"function": "app.later", "queue": "own"}'),
             ('queue', '', '"task": {"queue": "later"}'),
             ('conflict', '"queues": {"mine": {"sla": "9 hours", "escalate_to": ["boss"]}},', '"task": {"queue": "mine"}'),
             ('nobody', '"queues": {"own": {"sla": "1 hour", "escalate_to": ["boss"]}},', '"http": {"endpoint": "telex", "queue": "own", "method": "GET", "path": "/", "key": ["$.id"]}')) AS v (n, q, a);
ALTER FOREIGN DATA WRAPPER workflow_http NO VALIDATOR;
ALTER SERVER telex OPTIONS (DROP owner, DROP lookup_path, DROP lookup_found);
SELECT e.name, f.severity, f.code FROM early AS e, workflow._document_faults(e.document, current_user, '{}') AS f WHERE f.severity = 'error' ORDER BY 1;
GRANT INSERT ON workflow.definition TO regress_other;
GRANT SELECT ON early TO regress_other;
GRANT USAGE ON FOREIGN SERVER telex TO regress_other;
SET ROLE regress_other;
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner)
SELECT e.name, 1, e.name::bytea, e.document, current_user, 'me' FROM early AS e;
RESET ROLE;
DROP SERVER telex;
ALTER FOREIGN DATA WRAPPER workflow_http VALIDATOR workflow.endpoint_validator;

-- what a definer may not do any more is found, whatever the role is called by now
REVOKE EXECUTE ON FUNCTION app.step(bigint, jsonb) FROM PUBLIC, regress_first;
ALTER ROLE regress_member RENAME TO regress_renamed;
SELECT severity, code, problem FROM workflow.check('w') WHERE severity = 'error';
ALTER ROLE regress_renamed RENAME TO regress_member;
GRANT EXECUTE ON FUNCTION app.step(bigint, jsonb) TO PUBLIC;

-- a definer that is gone is found by the check
REVOKE ALL ON SCHEMA app FROM regress_first;
REVOKE ALL ON FUNCTION app.step(bigint, jsonb) FROM regress_first;
DROP OWNED BY regress_first, regress_member, regress_other;
DROP ROLE regress_first, regress_member, regress_other;
SELECT severity, code, state, problem FROM workflow.check('w') WHERE severity <> 'notice';
