--
-- Spawn: what define and the launch check find, and what only shows when it runs.
--
CREATE EXTENSION pg_workflow;
CREATE FUNCTION document(name text, spawn text, events text DEFAULT '"ok": "DONE", "error": "DONE"', more text DEFAULT '') RETURNS json LANGUAGE sql AS $$
  SELECT format('{"workflow": "%s", "owner": "me", "initial": "FAN", "key": "$.id",
    "states": {"FAN": {"spawn": %s, %s "on": {%s}}, "DONE": {"final": "done"}}}', name, spawn, more, events)::json
$$;
CREATE FUNCTION faults(document json) RETURNS TABLE (severity text, code text, path text, problem text, hint text) LANGUAGE sql AS $$
  SELECT f.severity, f.code, f.path, f.problem, f.hint FROM workflow._document_faults(document, current_user, '{}') AS f
$$;

-- what is missing or wrong
SELECT * FROM faults(document('f', '{}'));
SELECT * FROM faults(document('f', '{"workflow": "f", "each": "lines", "join": "most", "input": {"a": "$.["}, "sucess": ["x"]}'));
SELECT * FROM faults(document('f', '{"workflow": "f", "each": "$.a", "join": {"count": 0}, "key": ["$.id", "x"], "success": []}'));
SELECT * FROM faults(document('f', '{"workflow": "f", "each": "$.a", "join": {"counts": 1}, "key": "line-{$.eachother}"}'));
SELECT * FROM faults(document('f', '{"workflow": "f", "each": "$.a", "join": "all"}', '"done": "DONE"'));
SELECT * FROM faults('{"workflow": "f", "owner": "me", "initial": "A", "activities": {"fan": {"wait": {"for": "1 hour"}, "spawn": {}}}, "states": {"A": {"activity": "fan"}}}') WHERE code = 'several_activities';

-- what is doubtful: children of nobody, of oneself, an outcome that there is not, no error, no timeout
SELECT * FROM faults(document('f', '{"workflow": "nobody", "each": "$.a", "join": "all"}', more => '"timeout": {"after": "1 day", "event": "ok"},'));
SELECT * FROM faults(document('f', '{"workflow": "f", "each": "$.a", "join": "all", "success": ["done", "cancelled", "don"]}'));
SELECT * FROM faults(document('f', '{"workflow": "f", "each": "$.a", "join": "any", "key": ["$.id", "{$.each.n}"]}', '"ok": "DONE"'));
\set VERBOSITY terse
SET client_min_messages = error;
SELECT version FROM workflow.define(document('below', '{"workflow": "above", "each": "$.a", "join": "all"}'));
SELECT * FROM faults(document('above', '{"workflow": "below", "each": "$.a", "join": "all"}')) WHERE code <> 'no_timeout';
SELECT version FROM workflow.define(document('above', '{"workflow": "below", "each": "$.a", "join": "all"}'));
SELECT severity, code, state FROM workflow.check('above');

-- results where the array was
SELECT code, path, problem, hint FROM faults('{"workflow": "f", "owner": "me", "initial": "LINES", "key": "$.id", "states": {
  "LINES": {"spawn": {"workflow": "below", "each": "$.lines[*]", "join": "all"}, "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "done"}}}') WHERE code LIKE 'over%';

-- what a definition says is read from a named activity, too
SELECT version FROM workflow.define('{"workflow": "leaf", "owner": "me", "initial": "OPEN", "states": {"OPEN": {"on": {"close": "SHUT"}}, "SHUT": {"final": "shut"}}}');
SELECT version FROM workflow.define('{"workflow": "named", "owner": "me", "initial": "FAN", "key": "$.id",
  "activities": {"fan": {"spawn": {"workflow": "leaf", "each": "$.a", "join": "any"}, "as": "leaves", "timeout": "1 day"}},
  "states": {"FAN": {"activity": "fan", "on": {"ok": "DONE", "error": "DONE", "timeout": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT state, kind, result_key, timeout_us FROM workflow._graph_states('named', 1) WHERE state = 'FAN';
SELECT code FROM workflow.check('named');

-- the workflow is looked for when the state is entered, and its version then counts for all
CREATE FUNCTION why(item bigint) RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(': ', t.data ->> 'error_class', t.reason) FROM workflow.transition AS t WHERE t.item_id = item AND t.event = 'error'
$$;
SELECT version FROM workflow.define(document('early', '{"workflow": "later", "each": "$.a", "join": "all"}'));
SELECT why(item_id) FROM workflow.submit('early', '{"id": 1, "a": [1]}');
SELECT version FROM workflow.define('{"workflow": "later", "owner": "me", "initial": "OPEN", "states": {"OPEN": {"on": {"close": "SHUT"}}, "SHUT": {"final": "shut"}}}');
BEGIN;
SELECT item_id FROM workflow.submit('early', jsonb_build_object('id', 2, 'a', (SELECT jsonb_agg(n) FROM generate_series(1, 60) AS n))) \gset
SELECT version FROM workflow.define('{"workflow": "later", "owner": "me", "initial": "WAIT", "states": {"WAIT": {"on": {"close": "SHUT"}}, "SHUT": {"final": "shut"}}}');
CALL workflow.run();
SELECT version, state, count(*) FROM workflow.children(:item_id) GROUP BY 1, 2;
ROLLBACK;

-- a family that is begun is one submission: it is completed in its version, retired or not
BEGIN;
SELECT item_id FROM workflow.submit('early', jsonb_build_object('id', 4, 'a', (SELECT jsonb_agg(n) FROM generate_series(1, 60) AS n))) \gset
SELECT version, count(*) FROM workflow.children(:item_id) GROUP BY 1;
SELECT workflow.retire('later', 1, 'over');
CALL workflow.run();
SELECT version, count(*) FROM workflow.children(:item_id) GROUP BY 1;
ROLLBACK;

-- a workflow that takes no new items has no children either, and the check knows
SELECT workflow.retire('later', 1, 'over');
SELECT why(item_id) FROM workflow.submit('early', '{"id": 3, "a": [1]}');
SELECT severity, code, state, problem, hint, consequence FROM workflow.check('early') WHERE code = 'retired_workflow';
SELECT workflow.activate('later', 1);
SELECT count(*) FROM workflow.check('early') WHERE code = 'retired_workflow';

-- what does not come to an end is ended by its depth
SELECT version FROM workflow.define('{"workflow": "endless", "owner": "me", "initial": "FAN",
  "states": {"FAN": {"spawn": {"workflow": "endless", "each": "$.a", "join": "all", "input": {"a": "$.a"}}, "on": {"ok": "DONE", "error": "BROKEN"}},
             "DONE": {"final": "done"}, "BROKEN": {"final": "failure"}}}');
BEGIN;
SELECT item_id FROM workflow.submit('endless', '{"a": [1]}', 'root') \gset
CALL workflow.run();
SELECT state, count(*), max(length(key)) < 500 AS short FROM workflow.item WHERE workflow = 'endless' GROUP BY 1;
SELECT regexp_replace(why(max(item_id)), '\d{3,}', 'N') FROM workflow.item WHERE workflow = 'endless';
SELECT count(DISTINCT route) AS routes FROM workflow.item WHERE workflow = 'endless';
SELECT count(*) AS problems FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
ROLLBACK;

-- states that spawn nothing and lead to each other wait for a worker in between
SELECT version FROM workflow.define('{"workflow": "round", "owner": "me", "initial": "A",
  "states": {"A": {"spawn": {"workflow": "leaf", "each": "$.a", "join": "all"}, "as": "r", "on": {"ok": "B", "error": "X"}},
             "B": {"spawn": {"workflow": "leaf", "each": "$.a", "join": "all"}, "as": "r", "on": {"ok": "A", "error": "X"}}, "X": {"final": "x"}}}');
BEGIN;
SELECT state FROM workflow.submit('round', '{"a": []}');
ROLLBACK;

-- more than there may be
SELECT why(item_id) FROM workflow.submit('named', jsonb_build_object('id', 'crowd', 'a', (SELECT jsonb_agg(0) FROM generate_series(1, 100001))));

-- a selector of results that finds several is an error of the state
SELECT version FROM workflow.define(document('several', '{"workflow": "leaf", "each": "$.a", "join": "all", "result": "$.each[*]", "input": {"each": "$.each"}}'));
BEGIN;
SELECT item_id FROM workflow.submit('several', '{"id": 1, "a": [[1, 2]]}') \gset
SELECT state FROM workflow.send((SELECT item_id FROM workflow.children(:item_id)), 'close');
CALL workflow.run();
SELECT why(:item_id);
ROLLBACK;

-- who may submit may look at children, and start none by hand
CREATE ROLE spawn_submitter;
SELECT workflow.grant_role('spawn_submitter', 'submitter');
SET ROLE spawn_submitter;
SELECT item_id FROM workflow.submit('named', '{"id": "theirs", "a": [1, 2]}') \gset
SELECT index, state FROM workflow.children('named:theirs');
SELECT item_id FROM workflow.children(:item_id) WHERE index = 0 \gset child_
SELECT submitted_by FROM workflow.item;
SELECT state FROM workflow.send(:item_id, 'ok');
SELECT state FROM workflow.send(:child_item_id, 'close');
RESET ROLE;
SELECT DISTINCT i.submitted_by FROM workflow.item AS i WHERE i.parent_id = :item_id;
CALL workflow.run();
SELECT index, state FROM workflow.children(:item_id);
DROP OWNED BY spawn_submitter;
DROP ROLE spawn_submitter;
