--
-- Definition: a document becomes an immutable version of its workflow.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
CREATE SCHEMA crm;
CREATE FUNCTION crm.fetch_source(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE FUNCTION crm.propose_fields(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE FUNCTION crm.stage_fields(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.example', dedup 'pure');
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example', dedup 'key');
\set document `cat "$PWD/test/include/crm_enrichment.json"`

-- the whole enrichment flow; the second time nothing is written
SELECT * FROM workflow.define(:'document');
SELECT * FROM workflow.define(:'document');
SELECT workflow, version, octet_length(hash) AS hash, owner, definer = current_user AS mine, functions
FROM workflow.definition;

-- the same content in another layout is the same version
SELECT * FROM workflow.define(jsonb_pretty(:'document'::jsonb)::json);
SELECT workflow.document('crm_enrichment')::jsonb = :'document'::jsonb AS round_trip;

-- its queues exist, with owner, SLA and escalation
SELECT queue, owner, sla, escalate_to, rate_count, rate_per, max_running, defined_by
FROM workflow.queue ORDER BY queue;

-- the check finds nothing; the picture is always the same
SELECT * FROM workflow.check('crm_enrichment');
\pset format unaligned
SELECT workflow.diagram('crm_enrichment');
\pset format aligned

-- the least document; its version 2 becomes the one for new items
SELECT * FROM workflow.define('{"workflow": "least", "initial": "A", "states": {"A": {"final": "done"}}}');
SELECT * FROM workflow.define('{"workflow": "least", "initial": "A", "states": {"A": {"on": {"go": "B"}}, "B": {"final": "done"}}}');
SELECT workflow, owner = current_user AS mine, active_version FROM workflow.workflow WHERE workflow = 'least';
SELECT workflow.document('least', 1), workflow.document('least')::jsonb #>> '{states,A,on,go}' AS latest;
SELECT * FROM workflow.define('{"workflow": "least", "initial": "A", "states": {"A": {"final": "done"}}}');
SELECT workflow._active_version('least');

-- a function is kept by its full name, wherever the definer's search path found it
SET search_path = crm, public;
SELECT * FROM workflow.define('{"workflow": "short", "initial": "A",
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"A": {"sql": {"function": "fetch_source", "queue": "q"}, "on": {"ok": "B", "error": "B"}}, "B": {"final": "done"}}}');
RESET search_path;
SELECT functions FROM workflow.definition WHERE workflow = 'short';
SELECT owner = current_user AS owner_is_definer FROM workflow.queue WHERE queue = 'q';
SELECT severity, code, state, replace(problem, current_user, 'ME') AS problem, hint FROM workflow.check('short');

-- what changed since is found by the check
DROP FUNCTION crm.fetch_source(bigint, jsonb);
SELECT severity, code, state, replace(problem, current_user, 'ME') AS problem, hint FROM workflow.check('short');

-- warnings do not refuse
SELECT * FROM workflow.define('{"workflow": "odd", "initial": "A",
  "states": {"A": {"final": "at once"}, "B": {"final": "never"}}}');

-- names that Mermaid would not take are drawn under another
SELECT * FROM workflow.define('{"workflow": "drawn", "initial": "the start: #1",
  "states": {"the start: #1": {"on": {"go;": "end"}}, "end": {"then": "x", "on": {"x": "CANCELLED"}}}}');
\pset format unaligned
SELECT workflow.diagram('drawn');
\pset format aligned

-- refusals
\set VERBOSITY sqlstate
SELECT workflow.diagram('drawn', format => 'png');
SELECT workflow.document('nothing');
SELECT workflow.document('least', 9);
SELECT * FROM workflow.check('nothing');
SELECT workflow._active_version('nothing');
SELECT * FROM workflow._graph_states('least', 9);
SELECT * FROM workflow.define(NULL);
UPDATE workflow.definition SET owner = 'somebody';
DELETE FROM workflow.definition;
TRUNCATE workflow.definition;
UPDATE workflow.workflow SET retired_at = '2030-01-01' WHERE workflow = 'least';
SELECT workflow._active_version('least');

-- a restore may write what it likes, and no session keeps what it compiled before
SET session_replication_role = replica;
SELECT outcome FROM workflow._graph_states('least', 1) WHERE state = 'A';
UPDATE workflow.definition
SET document = '{"workflow": "least", "initial": "A", "states": {"A": {"final": "restored"}}}'
WHERE workflow = 'least' AND version = 1;
RESET session_replication_role;
SELECT outcome FROM workflow._graph_states('least', 1) WHERE state = 'A';

-- a version that was rolled back is forgotten
BEGIN;
SELECT version FROM workflow.define('{"workflow": "gone", "initial": "A", "states": {"A": {"final": "x"}}}');
SELECT workflow._active_version('gone');
ROLLBACK;
SELECT * FROM workflow._graph_states('gone', 1);
