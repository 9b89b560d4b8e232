--
-- Definition: what the launch check says of the two examples.
--
CREATE EXTENSION pg_workflow;
\getenv srcdir PG_ABS_SRCDIR
\set classic_file :srcdir /../examples/classic_flow/definition.json
\set crm_file :srcdir /../examples/crm_enrichment/definition.json
\set classic `cat :'classic_file'`
\set crm `cat :'crm_file'`
CREATE SCHEMA crm;
CREATE FUNCTION crm.fetch_source(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE FUNCTION crm.propose_fields(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE FUNCTION crm.stage_fields(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.example', dedup 'pure');
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example', dedup 'key');

-- nothing, not even a notice
\set ECHO none
SELECT workflow, version FROM workflow.define(:'classic');
SELECT workflow, version FROM workflow.define(:'crm');
\set ECHO all
SELECT * FROM workflow.check('classic_flow');
SELECT * FROM workflow.check('crm_enrichment');

-- a document of 200 states is checked and stored in a moment (it takes about a
-- twentieth of what is allowed here)
SET client_min_messages = error;
CREATE FUNCTION large(states int) RETURNS json LANGUAGE sql AS $$
  SELECT json_build_object('workflow', 'large', 'owner', 'me', 'initial', 'S1', 'key', '["$.id"]'::json,
    'queues', '{"q": {"sla": "1 hour", "escalate_to": ["boss"]}}'::json,
    'retry', '{"default": {"max_attempts": 3, "timeout": "5 seconds"}}'::json,
    'any', '{"on": {"error": "STUCK"}}'::json,
    'states', json_object_agg(name, state))
  FROM (SELECT 'S' || i AS name,
               CASE i % 4
                 WHEN 0 THEN json_build_object('sql', '{"function": "crm.fetch_source", "queue": "q"}'::json,
                                               'on', json_build_object('ok', 'S' || i + 1))
                 WHEN 1 THEN json_build_object('http', '{"endpoint": "crm", "queue": "q", "method": "GET", "path": "/{$.id}", "key": ["$.id", "x"]}'::json,
                                               'on', json_build_object('ok', 'S' || i + 1))
                 WHEN 2 THEN json_build_object('gate', '{"value": "$.n", "tiers": [{"at_least": 1, "event": "up", "agrees": ["go"]}, {"otherwise": "down"}]}'::json,
                                               'on', json_build_object('up', 'S' || i + 1, 'down', 'STUCK'))
                 ELSE json_build_object('review', '{"queue": "q", "decisions": ["go", "stop"], "on_overdue": "escalate"}'::json,
                                        'on', json_build_object('go', 'S' || i + 1, 'stop', 'END')) END AS state
        FROM generate_series(1, states) AS i
        UNION ALL SELECT 'S' || states + 1, '{"final": "done"}'
        UNION ALL SELECT 'END', '{"final": "stopped"}'
        UNION ALL SELECT 'STUCK', '{"exception": {"queue": "q"}, "on": {"replay": "AGAIN", "give_up": "END"}}'
        UNION ALL SELECT 'AGAIN', '{"then": "resume", "on": {"resume": "@origin"}}') AS s
$$;
SELECT large(200) AS document, clock_timestamp() AS began \gset
SELECT version, created FROM workflow.define(:'document');
SELECT clock_timestamp() - :'began' < interval '2 seconds' AS in_a_moment;
SELECT count(*) FROM workflow.check('large');
