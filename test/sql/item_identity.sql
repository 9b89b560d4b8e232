--
-- What tells items and events apart: keys, sources and ids of events.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define('{
  "workflow": "free", "owner": "me", "initial": "A",
  "states": {"A": {"on": {"go": "B"}}, "B": {"on": {"go": "C"}}, "C": {"final": "c"}}}');
SELECT version FROM workflow.define('{
  "workflow": "keyed", "owner": "me", "key": ["$.id"], "initial": "A", "input_schema": {"required": ["id"]},
  "states": {"A": {"on": {"go": "C"}}, "C": {"final": "c"}}}');

-- a workflow without a key: twice the same input is two items
SELECT w.name, c.severity, c.code, c.problem, c.hint
FROM unnest(ARRAY['free', 'keyed']) AS w (name), workflow.check(w.name) AS c WHERE c.code = 'no_key';
SELECT count(DISTINCT (workflow.submit('free', '{"id": 1}')).item_id) FROM generate_series(1, 2);
-- a source alone tells where it came from, and nothing apart
SELECT count(DISTINCT (workflow.submit('free', '{"id": 1}', source => 'shop')).item_id) FROM generate_series(1, 2);
SELECT count(DISTINCT (workflow.submit('free', '{"id": 1}', source => 'shop', event_id => 'e')).item_id) FROM generate_series(1, 2);
SELECT count(DISTINCT (workflow.submit('free', '{"id": 1}', event_id => 'e')).item_id) FROM generate_series(1, 2);

-- what is empty is no name
SELECT workflow.submit('free', '{}', key => '');
\set VERBOSITY sqlstate
SELECT workflow.submit('free', '{}', source => '');
SELECT workflow.submit('free', '{}', source => 'shop', event_id => '');
SELECT workflow.send(1, 'go', source => '', event_id => 'e');
SELECT workflow.send(1, 'go', source => 'shop', event_id => '');
\set VERBOSITY default

-- which one of many is at fault
SELECT * FROM workflow.submit_many('keyed', ARRAY['{"id": 1}', '{"id": 2}', '{"no": 3}']::jsonb[]);
SELECT * FROM workflow.submit_many('keyed', ARRAY['{"id": 1}', NULL]::jsonb[]);
SELECT count(*) FROM workflow.item WHERE workflow = 'keyed';
