--
-- replay() of a spawn state that cannot go on and does not handle "error": too many
-- children have failed, or one cannot be started.  What succeeded is not done again.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define('{
  "workflow": "line", "owner": "me", "initial": "OPEN",
  "input_schema": {"type": "object", "required": ["id"]},
  "states": {"OPEN": {"on": {"pack": "PACKED", "lose": "LOST"}}, "PACKED": {"final": "packed"}, "LOST": {"final": "failure"}}}');
CREATE FUNCTION family(name text, joined text) RETURNS json LANGUAGE sql AS $$
  SELECT format('{"workflow": "%s", "owner": "ann", "initial": "LINES", "key": "$.order",
    "states": {"LINES": {"spawn": {"workflow": "line", "each": "$.lines", "join": %s, "result": "$.id"}, "as": "sent", "on": {"ok": "DONE", "stop": "STOPPED"}},
               "DONE": {"final": "done"}, "STOPPED": {"final": "stopped"}}}', name, joined)::json
$$;
SELECT workflow FROM workflow.define(family('all_of', '"all"'));
SELECT workflow FROM workflow.define(family('two_of', '{"count": 2}'));
CREATE VIEW kids AS
  SELECT i.parent_index AS n, i.key, i.version, i.outcome, i.input FROM workflow.item AS i WHERE i.parent_id IS NOT NULL ORDER BY i.item_id;

-- too many have failed: a dead letter of the workflow's owner
SELECT state FROM workflow.submit('all_of', '{"order": "o1", "lines": [{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}]}');
SELECT (workflow.send('line:o1/all_of:LINES:1:' || n, e)).state FROM (VALUES (0, 'pack'), (1, 'lose'), (2, 'lose')) AS v (n, e);
CALL workflow.run();
SELECT job_id, workflow, key, queue, owner, state, kind, error_class, error_message, failed_at IS NOT NULL AS failed, due_at, replay_count FROM workflow.dead_letters;
SELECT waiting_on, waiting_detail, last_error_class, last_error FROM workflow.where_is('all_of:o1');
SELECT what_next FROM workflow.where_is('all_of:o1');

-- an array in another order would start others than those that failed
SELECT workflow.replay('all_of:o1', 'shortened', '{"lines": [{"id": 1}]}');
\set VERBOSITY terse
SELECT workflow.replay('all_of:o1', 'no array', '{"lines": 7}');
\set VERBOSITY default
SELECT error_message FROM workflow.dead_letters;

-- replayed: those that failed are started again, by the mended data and the version that is active now
SELECT version FROM workflow.define('{
  "workflow": "line", "owner": "me", "initial": "OPEN",
  "states": {"OPEN": {"on": {"pack": "PACKED", "lose": "LOST", "drop": "LOST"}}, "PACKED": {"final": "packed"}, "LOST": {"final": "failure"}}}');
SELECT workflow.replay('all_of:o1', 'mended', '{"lines": [{"id": 1}, {"id": 22}, {"id": 3}, {"id": 4}]}');
SELECT count(*) AS dead_letters FROM workflow.dead_letters;
SELECT ok, problem FROM workflow.verify('all_of:o1');
CALL workflow.run();
SELECT * FROM kids;
SELECT ok, problem FROM workflow.verify('all_of:o1');
SELECT waiting_on, waiting_detail LIKE '1 of 4 children have ended, 0 failed%' AS counted FROM workflow.where_is('all_of:o1');
SELECT total, started, ended, succeeded, verdict, redo, replays, children FROM workflow.spawn;

-- once more
SELECT (workflow.send('line:o1/all_of:LINES:1:2#1.1', 'drop')).state;
CALL workflow.run();
SELECT error_message, replay_count FROM workflow.dead_letters;
SELECT workflow.replay('all_of:o1', 'again');
CALL workflow.run();
SELECT (workflow.send(i.item_id, 'pack')).state FROM workflow.item AS i WHERE parent_id IS NOT NULL AND outcome IS NULL ORDER BY parent_index;
CALL workflow.run();
SELECT state, jsonb_path_query_array(data, '$.sent.results[*].data') AS results, jsonb_path_query_array(data, '$.sent.results[*].key') AS keys
FROM workflow.items WHERE workflow = 'all_of';
SELECT seq, index, key, outcome, succeeded FROM workflow.children('all_of:o1');
SELECT what, detail, reason FROM workflow.timeline('all_of:o1') WHERE what IN ('replay', 'patch', 'children decided', 'transition');
SELECT count(*) AS problems FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
SELECT count(*) AS uncounted FROM workflow.child_end;

-- one that has failed and is not counted yet is started again, too, and counted once
SELECT state FROM workflow.submit('all_of', '{"order": "late", "lines": [{"id": 1}, {"id": 2}, {"id": 3}]}');
SELECT (workflow.send('line:late/all_of:LINES:1:0', 'lose')).state;
CALL workflow.run();
SELECT (workflow.send('line:late/all_of:LINES:1:1', 'lose')).state;
SELECT workflow.replay('all_of:late', 'both');
SELECT ended, succeeded, redo FROM workflow.spawn AS s JOIN workflow.item AS i USING (item_id) WHERE i.key = 'late';
CALL workflow.run();
SELECT ended, succeeded, redo, verdict FROM workflow.spawn AS s JOIN workflow.item AS i USING (item_id) WHERE i.key = 'late';
SELECT (workflow.send(c.item_id, 'pack')).state FROM workflow.children('all_of:late') AS c WHERE outcome IS NULL ORDER BY index;
CALL workflow.run();
SELECT i.state, s.ended, s.succeeded, s.had_failed FROM workflow.spawn AS s JOIN workflow.item AS i USING (item_id) WHERE i.key = 'late';

-- a bad element behind the first children: those before it are started, the rest when it is mended
SELECT state FROM workflow.submit('two_of', jsonb_build_object('order', 'o2', 'lines',
  (SELECT jsonb_agg(CASE n WHEN 60 THEN '{"id": 60}'::jsonb ELSE jsonb_build_object('id', n) END ORDER BY n) FROM generate_series(0, 99) AS n)));
SELECT version FROM workflow.define('{
  "workflow": "line", "owner": "me", "initial": "OPEN",
  "input_schema": {"type": "object", "required": ["id"], "properties": {"id": {"not": {"const": 60}}}},
  "states": {"OPEN": {"on": {"pack": "PACKED", "lose": "LOST"}}, "PACKED": {"final": "packed"}, "LOST": {"final": "failure"}}}');
SELECT state FROM workflow.submit('two_of', jsonb_build_object('order', 'o3', 'lines',
  (SELECT jsonb_agg(jsonb_build_object('id', n) ORDER BY n) FROM generate_series(0, 99) AS n)));
CALL workflow.run();
SELECT key, kind, error_class, error_message FROM workflow.dead_letters;
SELECT i.key, s.total, s.started, s.replays FROM workflow.spawn AS s JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'two_of' ORDER BY 1;
SELECT count(*) AS timers FROM workflow.timer;
SELECT workflow.replay('two_of:o3', 'not mended');
CALL workflow.run();
SELECT key, error_message, replay_count FROM workflow.dead_letters;
SELECT workflow.replay('two_of:o3', 'mended', jsonb_build_object('lines',
  (SELECT jsonb_agg(jsonb_build_object('id', CASE n WHEN 60 THEN 61 ELSE n END) ORDER BY n) FROM generate_series(0, 99) AS n)));
CALL workflow.run();
SELECT count(*) AS children, count(DISTINCT c.parent_index) AS places FROM workflow.item AS c JOIN workflow.item AS p ON p.item_id = c.parent_id WHERE p.key = 'o3';
SELECT count(*) AS dead_letters FROM workflow.dead_letters;
SELECT ok, problem FROM workflow.verify('two_of:o3');

-- one that goes on by itself, or is left, is no dead letter any more
SELECT state FROM workflow.submit('all_of', '{"order": "o4", "lines": [{"id": 1}, {"id": 2}]}');
SELECT (workflow.send('line:o4/all_of:LINES:1:0', 'lose')).state;
CALL workflow.run();
SELECT key FROM workflow.dead_letters;
SELECT (workflow.send('all_of:o4', 'stop')).state;
SELECT key FROM workflow.dead_letters;
\set VERBOSITY terse
SELECT workflow.replay('all_of:o4', 'too late');
\set VERBOSITY default

-- many at once, by a filter
SELECT state FROM workflow.submit('all_of', '{"order": "o7", "lines": [{"id": 1}, {"id": 2}]}');
SELECT (workflow.send('line:o7/all_of:LINES:1:1', 'lose')).state;
CALL workflow.run();
SELECT workflow, state, queue, kind, class, matched, would_send, examples FROM workflow.redrive('{"kind": "spawn", "workflow": "all_of"}');
SELECT sum(matched) FROM workflow.redrive('{"kind": "spawn", "key": "o7"}', dry_run => false, reason => 'found again');
CALL workflow.run();
SELECT status, matched, done, skipped FROM workflow.redrives;
SELECT index, key, outcome FROM workflow.children('all_of:o7');

-- where keys are made of the elements, these have to stay in their places
SELECT workflow FROM workflow.define('{"workflow": "keyed", "owner": "ann", "initial": "LINES", "key": "$.order",
    "states": {"LINES": {"spawn": {"workflow": "line", "each": "$.lines", "join": "all", "key": ["$.order", "$.each.id"]}, "as": "sent", "on": {"ok": "DONE"}},
               "DONE": {"final": "done"}}}');
SELECT state FROM workflow.submit('keyed', '{"order": "o6", "lines": [{"id": 1}, {"id": 2}]}');
SELECT (workflow.send('line:o6:2', 'lose')).state;
CALL workflow.run();
SELECT workflow.replay('keyed:o6', 'shuffled', '{"lines": [{"id": 2}, {"id": 1}]}');
SELECT workflow.replay('keyed:o6', 'another one', '{"lines": [{"id": 1}, {"id": 2}, {"id": 3}]}');
CALL workflow.run();
SELECT index, key, outcome FROM workflow.children('keyed:o6');

-- a rewind to before it meets the children that succeeded again
SELECT version FROM workflow.define('{"workflow": "before", "owner": "ann", "initial": "NEW", "key": "$.order",
    "states": {"NEW": {"on": {"go": "LINES"}},
               "LINES": {"spawn": {"workflow": "line", "each": "$.lines", "join": "all"}, "as": "sent", "on": {"ok": "DONE", "error": "FAILED"}},
               "DONE": {"final": "done"}, "FAILED": {"final": "failure"}}}');
SELECT state FROM workflow.submit('before', '{"order": "o5", "lines": [{"id": 1}, {"id": 2}]}');
SELECT state FROM workflow.send('before:o5', 'go');
SELECT (workflow.send('line:o5/before:LINES:2:' || n, e)).state FROM (VALUES (0, 'pack'), (1, 'lose')) AS v (n, e);
CALL workflow.run();
SELECT state, outcome FROM workflow.items WHERE key = 'o5';
SELECT * FROM workflow.rewind('before:o5', 'NEW', 'the line was found');
SELECT state FROM workflow.send('before:o5', 'go');
CALL workflow.run();
SELECT seq, index, key, outcome FROM workflow.children('before:o5');
SELECT (workflow.send('line:o5/before:LINES:2:1#5', 'pack')).state;
CALL workflow.run();
SELECT state, outcome FROM workflow.items WHERE key = 'o5';
-- a child that has ended was counted: its parent starts it again
SELECT * FROM workflow.rewind('line:o5/before:LINES:2:1', 'OPEN', 'not by itself');
SELECT count(*) AS problems FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;

-- a rewind to the state itself: all children that live are cancelled first, also those of a large family
SELECT state FROM workflow.submit('before', jsonb_build_object('order', 'o9', 'lines', (SELECT jsonb_agg(jsonb_build_object('id', n)) FROM generate_series(100, 399) AS n)));
SELECT state FROM workflow.send('before:o9', 'go');
CALL workflow.run();
SELECT (workflow.send('line:o9/before:LINES:2:' || n, 'pack')).state FROM (VALUES (7), (250)) AS v (n);
SELECT * FROM workflow.rewind('before:o9', 'LINES', 'once more');
SET pg_workflow.clock = '+2 seconds';
CALL workflow.run();
SET pg_workflow.clock = '+4 seconds';
CALL workflow.run();
RESET pg_workflow.clock;
SELECT i.state, s.started, s.total FROM workflow.item AS i JOIN workflow.spawn AS s USING (item_id, seq) WHERE i.key = 'o9';
SELECT c.seq, c.outcome, count(*) FROM workflow.children('before:o9') AS c GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) AS problems FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
