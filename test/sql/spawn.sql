--
-- Spawn: children from an array, what they are given, and the joins.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define('{
  "workflow": "line", "owner": "me", "initial": "OPEN", "key": "$.id",
  "input_schema": {"type": "object", "required": ["id"]},
  "states": {"OPEN": {"on": {"pack": "PACKED", "lose": "LOST", "skip": "SKIPPED"}},
             "PACKED": {"final": "packed"}, "LOST": {"final": "failure"}, "SKIPPED": {"final": "skipped"}}}');
CREATE FUNCTION family(name text, spawn text, more text DEFAULT '') RETURNS json LANGUAGE sql AS $$
  SELECT format('{"workflow": "%s", "owner": "me", "initial": "LINES", "key": "$.order",
    "states": {"LINES": {"spawn": {"workflow": "line", "each": "$.lines", %s}, "as": "sent", "timeout": "1 day",
                         "on": {"ok": "DONE", "error": "BROKEN", "timeout": "LATE", "stop": "STOPPED"%s}},
               "DONE": {"final": "done"}, "BROKEN": {"final": "broken"}, "LATE": {"final": "late"}, "STOPPED": {"final": "stopped"}}}',
    name, spawn, more)::json
$$;
SELECT workflow FROM workflow.define(family('all_of', '"join": "all"'));
SELECT workflow FROM workflow.define(family('any_of', '"join": "any", "input": {"id": "{$.order}-{$.each}", "n": "$.index", "of": "$.order"},
  "result": "$.n"'));
SELECT workflow FROM workflow.define(family('two_of', '"join": {"count": 2}, "input": {"id": "$.index"}, "key": ["$.order", "$.each.sku"], "success": ["packed"]'));
CREATE VIEW kids AS
  SELECT p.key AS parent, i.parent_index AS n, i.key, i.state, i.outcome, i.input
  FROM workflow.items AS i JOIN workflow.item AS p ON p.item_id = i.parent_id ORDER BY i.item_id;

-- a child for each element, in its order, begun with the state
BEGIN;
SELECT state FROM workflow.submit('all_of', '{"order": "o1", "lines": [{"id": 1}, {"id": 2}, {"id": 3}]}', priority => 5, labels => '{"a": 1}');
SELECT * FROM kids;
SELECT key, priority, labels, route, submitted_by = current_user AS by_me FROM workflow.item WHERE parent_id IS NOT NULL ORDER BY key;
SELECT event, kind, to_state, reason ~ '^child \d of item \d+ \(all_of:o1\) in "LINES"$' AS says_why
FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE i.parent_id IS NOT NULL ORDER BY t.item_id;

-- all: it moves when the last one has ended, with what they came to in the order of the array
SELECT state FROM workflow.send('line:o1/all_of:LINES:1:1', 'pack');
SELECT state FROM workflow.send('line:o1/all_of:LINES:1:0', 'pack');
CALL workflow.run();
SELECT state, waiting_on, waiting_detail, allowed_events FROM workflow.where_is('all_of:o1');
SELECT state FROM workflow.send('line:o1/all_of:LINES:1:2', 'skip');
CALL workflow.run();
SELECT state, outcome FROM workflow.items WHERE workflow = 'all_of';
SELECT jsonb_path_query(data, '$.sent.results[*].outcome') FROM workflow.items WHERE workflow = 'all_of';
SELECT data #- '{sent,results}' AS data, (data #> '{sent,results,2}') - 'item_id'::text AS third FROM workflow.items WHERE workflow = 'all_of';
SELECT seq, parent_state, index, workflow, key, state, outcome, succeeded FROM workflow.children('all_of:o1');
SELECT i.workflow, v.* FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok OR i.workflow = 'all_of';
SELECT count(*) AS uncounted FROM workflow.child_end;
ROLLBACK;

-- all: one that fails decides, and its siblings are cancelled
BEGIN;
SELECT state FROM workflow.submit('all_of', '{"order": "o1", "lines": [{"id": 1}, {"id": 2}, {"id": 3}]}');
SELECT state FROM workflow.send('line:o1/all_of:LINES:1:1', 'lose');
CALL workflow.run();
SELECT state, outcome, data #- '{sent,results}' AS data FROM workflow.items WHERE workflow = 'all_of';
SELECT n, state, outcome FROM kids;
SELECT i.parent_index, t.event, t.kind, t.actor, t.reason FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id)
WHERE t.event = 'cancel' ORDER BY 1;
SELECT t.event, t.kind, t.reason, t.data #- '{detail,results}' AS data FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id)
WHERE i.workflow = 'all_of' ORDER BY t.seq DESC LIMIT 1;
CALL workflow.run();
SELECT total, started, ended, succeeded, verdict, ncancelled, unclosed FROM workflow.spawn;
SELECT detail FROM workflow.timeline('all_of:o1') WHERE what = 'children decided';
ROLLBACK;

-- any: the first success decides; templates see the element, its place and the parent's data
BEGIN;
SELECT state FROM workflow.submit('any_of', '{"order": "o2", "lines": ["x", "y", "z"]}');
SELECT n, key, input FROM kids;
SELECT state FROM workflow.send('line:o2/any_of:LINES:1:0', 'lose');
CALL workflow.run();
SELECT state FROM workflow.items WHERE workflow = 'any_of';
SELECT state FROM workflow.send('line:o2/any_of:LINES:1:2', 'pack');
CALL workflow.run();
SELECT state, jsonb_path_query_array(data, '$.sent.results[*].data') AS data FROM workflow.items WHERE workflow = 'any_of';
SELECT n, state, outcome FROM kids;
SELECT i.parent_index, t.kind, t.reason FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE t.event = 'cancel';
ROLLBACK;

-- an end counts for the visit that the child was started in, also when ends of two visits are counted together
BEGIN;
SELECT workflow FROM workflow.define('{"workflow": "again", "owner": "me", "initial": "LINES", "key": "$.order", "states": {
  "LINES": {"spawn": {"workflow": "line", "each": "$.lines", "join": "any"}, "as": "sent", "timeout": "1 day",
            "on": {"ok": "DONE", "error": "BACK", "timeout": "BACK", "stop": "BACK"}},
  "BACK": {"on": {"go": "LINES"}}, "DONE": {"final": "done"}}}');
SELECT state FROM workflow.submit('again', '{"order": "o4", "lines": [{"id": 1}, {"id": 2}]}');
SELECT state FROM workflow.send('again:o4', 'stop');
SELECT state FROM workflow.send('again:o4', 'go');
SELECT s.state FROM workflow.item AS i, workflow.send(i.item_id, 'pack') AS s WHERE i.parent_seq = 3 AND i.parent_index = 1;
SELECT seq, count(*) FROM workflow.child_end GROUP BY seq ORDER BY seq;
CALL workflow.run();
SELECT state FROM workflow.items WHERE workflow = 'again';
SELECT seq, ended, succeeded, verdict FROM workflow.spawn ORDER BY seq;
ROLLBACK;

-- any: all have failed
BEGIN;
SELECT state FROM workflow.submit('any_of', '{"order": "o2", "lines": ["x", "y"]}');
SELECT state FROM workflow.send('line:o2/any_of:LINES:1:0', 'lose');
SELECT workflow.cancel('line:o2/any_of:LINES:1:1', 'not this one');
CALL workflow.run();
SELECT i.state, t.reason FROM workflow.items AS i JOIN workflow.transition AS t USING (item_id) WHERE workflow = 'any_of' ORDER BY t.seq DESC LIMIT 1;
ROLLBACK;

-- count: so many; what is a success may be said
BEGIN;
SELECT state FROM workflow.submit('two_of', '{"order": "o3", "lines": [{"sku": "a"}, {"sku": "b"}, {"sku": "c"}]}');
SELECT n, key FROM kids;
SELECT state FROM workflow.send('line:o3:a', 'pack');
SELECT state FROM workflow.send('line:o3:b', 'skip');
CALL workflow.run();
SELECT state FROM workflow.items WHERE workflow = 'two_of';
SAVEPOINT undecided;
SELECT state FROM workflow.send('line:o3:c', 'pack');
CALL workflow.run();
SELECT state FROM workflow.items WHERE workflow = 'two_of';
ROLLBACK TO undecided;
SELECT state FROM workflow.send('line:o3:c', 'skip');
CALL workflow.run();
SELECT state FROM workflow.items WHERE workflow = 'two_of';
ROLLBACK;

-- nothing to start: all have succeeded, and of no two can succeed
SELECT state FROM workflow.submit('all_of', '{"order": "none", "lines": []}');
SELECT state FROM workflow.submit('any_of', '{"order": "none", "lines": []}');
SELECT state FROM workflow.submit('two_of', '{"order": "one", "lines": [{"sku": 1}]}');
SELECT i.workflow, i.state, i.data, t.reason, t.data ->> 'error_class' AS class FROM workflow.items AS i JOIN workflow.transition AS t USING (item_id)
WHERE t.seq = 2 ORDER BY item_id;

-- what is no array, an input that the schema refuses and a key that is there fail the state
SELECT state FROM workflow.submit('all_of', '{"order": "missing"}');
SELECT state FROM workflow.submit('all_of', '{"order": "number", "lines": 7}');
SELECT state FROM workflow.submit('all_of', '{"order": "object", "lines": {"id": 1}}');
SELECT state FROM workflow.submit('all_of', '{"order": "schema", "lines": [{"id": 1}, {"ID": 2}]}');
SELECT state FROM workflow.submit('line', '{"id": 1}', key => 'taken:b');
SELECT state FROM workflow.submit('two_of', '{"order": "taken", "lines": [{"sku": "a"}, {"sku": "b"}, {"sku": "c"}]}');
SELECT state FROM workflow.submit('two_of', '{"order": "twice", "lines": [{"sku": "a"}, {"sku": "a"}]}');
SELECT i.key, t.data ->> 'error_class' AS class, t.reason FROM workflow.items AS i JOIN workflow.transition AS t USING (item_id)
WHERE t.event = 'error' AND i.key IN ('missing', 'number', 'object', 'schema', 'taken', 'twice') ORDER BY item_id;
SELECT what, detail FROM workflow.timeline('all_of:schema') WHERE what LIKE 'child%';
SELECT count(*) AS children FROM workflow.item WHERE parent_id IS NOT NULL;
SELECT count(*) AS problems FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;

-- a join is counted, not looked up: the end of one child reads few items, however many there are
BEGIN;
SELECT state FROM workflow.submit('all_of', jsonb_build_object('order', 'crowd', 'lines', (SELECT jsonb_agg(jsonb_build_object('id', n)) FROM generate_series(1, 300) AS n)));
CALL workflow.run();
SELECT count(*) FROM workflow.children('all_of:crowd');
SELECT state FROM workflow.send('line:crowd/all_of:LINES:1:7', 'pack');
CREATE VIEW items_read AS SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS n
  FROM pg_stat_xact_all_tables WHERE relid = 'workflow.item'::regclass;
SELECT n AS before FROM items_read \gset
CALL workflow.run();
SELECT ended, succeeded FROM workflow.spawn WHERE total = 300;
SELECT n - :before < 30 AS are_few, :before > 300 AS are_counted FROM items_read;
ROLLBACK;
