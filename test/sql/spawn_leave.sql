--
-- Spawn: what becomes of children when their parent leaves, by whatever it does;
-- large families; children of children; what stands still.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT version FROM workflow.define('{
  "workflow": "part", "owner": "me", "initial": "OPEN",
  "states": {"OPEN": {"on": {"close": "SHUT", "lose": "LOST"}}, "SHUT": {"final": "shut"}, "LOST": {"final": "failure"}}}');
SELECT version FROM workflow.define('{
  "workflow": "stubborn", "owner": "me", "initial": "OPEN",
  "states": {"OPEN": {"on": {"close": "SHUT", "cancel": "UNDOING"}}, "UNDOING": {"on": {"undone": "SHUT"}}, "SHUT": {"final": "shut"}}}');
CREATE FUNCTION family(name text, child text, join_by text, events text) RETURNS json LANGUAGE sql AS $$
  SELECT format('{"workflow": "%s", "owner": "me", "initial": "PARTS", "key": "$.id",
    "states": {"PARTS": {"spawn": {"workflow": "%s", "each": "$.parts", "join": "%s"}, "as": "made", "timeout": "1 hour",
                         "on": {"ok": "DONE", "timeout": "LATE", "stop": "STOPPED"%s}},
               "DONE": {"final": "done"}, "BROKEN": {"final": "broken"}, "LATE": {"final": "late"}, "STOPPED": {"final": "stopped"}}}',
    name, child, join_by, events)::json
$$;
SELECT workflow FROM workflow.define(family('whole', 'part', 'all', ', "error": "BROKEN"'));
SELECT workflow FROM workflow.define(family('patient', 'part', 'all', ''));
SELECT workflow FROM workflow.define(family('stopper', 'stubborn', 'all', ', "error": "BROKEN"'));
SELECT workflow FROM workflow.define(family('grand', 'whole', 'all', ', "error": "BROKEN"'));
CREATE VIEW kids AS
  SELECT i.parent_index AS n, i.workflow, i.state, i.outcome, t.actor = current_user AS by_me, t.reason
  FROM workflow.item AS i JOIN workflow.transition AS t ON t.item_id = i.item_id AND t.seq = i.seq
  WHERE i.parent_id IS NOT NULL AND i.seq > 1 ORDER BY i.item_id;
CREATE VIEW problems AS
  SELECT i.workflow, i.key, v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;

-- cancelled, its children are, in the name of who cancelled it
BEGIN;
SELECT item_id FROM workflow.submit('whole', '{"id": 1, "parts": [1, 2, 3]}') \gset
SELECT state FROM workflow.send((SELECT item_id FROM workflow.children(:item_id) WHERE index = 1), 'close');
SELECT workflow.cancel(:item_id, 'not wanted');
SELECT * FROM kids;
SELECT what, detail, actor = current_user AS by_me, reason FROM workflow.timeline(:item_id);
CALL workflow.run();
SELECT total, started, ended, succeeded, verdict, ncancelled FROM workflow.spawn;
SELECT * FROM problems;
ROLLBACK;

-- so they are when the item leaves by another event, by its timeout, by an UPDATE, or paused
BEGIN;
SELECT state FROM workflow.submit('whole', '{"id": 1, "parts": [1]}');
SELECT state FROM workflow.send('whole:1', 'stop');
SELECT * FROM kids;
ROLLBACK;
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00';
SELECT state FROM workflow.submit('whole', '{"id": 1, "parts": [1]}');
SET LOCAL pg_workflow.clock = '2030-01-01 01:00';
CALL workflow.run();
SELECT state FROM workflow.items WHERE key = '1';
SELECT n, state, reason FROM kids;
ROLLBACK;
BEGIN;
SELECT state FROM workflow.submit('whole', '{"id": 1, "parts": [1, 2]}');
UPDATE workflow.item SET state = 'STOPPED' WHERE workflow = 'whole';
SELECT * FROM kids;
ROLLBACK;
BEGIN;
SELECT state FROM workflow.submit('whole', '{"id": 1, "parts": [1, 2]}');
SELECT workflow.pause('whole:1', 'lunch');
SELECT workflow.cancel('whole:1');
SELECT * FROM kids;
ROLLBACK;

-- a child whose definition handles cancel goes on in its own way, and is asked once
BEGIN;
SELECT item_id FROM workflow.submit('stopper', '{"id": 1, "parts": [1]}') \gset
SELECT workflow.cancel('stopper:1');
CALL workflow.run();
SELECT n, state, reason FROM kids;
SELECT ncancelled, unclosed FROM workflow.spawn;
SELECT count(*) AS timers FROM workflow.timer;
ROLLBACK;

-- children's children
BEGIN;
SELECT item_id FROM workflow.submit('grand', '{"id": "g", "parts": [{"id": "a", "parts": [1, 2]}, {"id": "b", "parts": []}]}') \gset
CALL workflow.run();
SELECT parent_index AS n, workflow, key, state, route FROM workflow.item WHERE parent_id IS NOT NULL ORDER BY item_id;
SELECT waiting_on, waiting_detail FROM workflow.where_is('grand:g');
SAVEPOINT alive;
SELECT count(workflow.send(item_id, 'close')) FROM workflow.item WHERE workflow = 'part';
CALL workflow.run();
SELECT workflow, state FROM workflow.item ORDER BY item_id;
ROLLBACK TO alive;
SELECT workflow.cancel('grand:g');
CALL workflow.run();
SELECT workflow, state FROM workflow.item ORDER BY item_id;
SELECT * FROM problems;
ROLLBACK;

-- a large family is closed to its end, also where its parent is paused by now
SELECT workflow FROM workflow.define('{
  "workflow": "halted", "owner": "me", "initial": "PARTS", "key": "$.id",
  "states": {"PARTS": {"spawn": {"workflow": "part", "each": "$.parts", "join": "all"}, "as": "made", "timeout": "1 hour",
                       "on": {"ok": "DONE", "error": "DONE", "timeout": "DONE", "stop": "HALT"}},
             "HALT": {"timeout": "1 day", "on": {"go": "DONE", "timeout": "DONE"}}, "DONE": {"final": "done"}}}');
BEGIN;
SELECT item_id FROM workflow.submit('halted', jsonb_build_object('id', 1, 'parts', (SELECT jsonb_agg(n) FROM generate_series(1, 60) AS n))) \gset
CALL workflow.run();
SELECT state FROM workflow.send(:item_id, 'stop');
SELECT workflow.pause(:item_id, 'lunch');
SELECT count(*) AS cancelled_at_once FROM workflow.children(:item_id) WHERE outcome = 'cancelled';
CALL workflow.run();
SELECT count(*) AS cancelled FROM workflow.children(:item_id) WHERE outcome = 'cancelled';
ROLLBACK;

-- children's children are closed by a timer of their parent's, also where that was cancelled because one of its siblings has failed, or
-- because their grandparent was left, or has succeeded
SELECT workflow FROM workflow.define(family('first', 'whole', 'any', ', "error": "BROKEN"'));
CREATE FUNCTION nested(name text, left_by text) RETURNS TABLE (step text, workflow text, state text, reason text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM workflow.submit(name, '{"id": "n", "parts": [{"id": "a", "parts": [1]}, {"id": "b", "parts": [2]}]}');
  CALL workflow.run();
  EXECUTE left_by;
  RETURN QUERY SELECT 'then', i.workflow, i.state, t.reason FROM workflow.item AS i JOIN workflow.transition AS t USING (item_id, seq) ORDER BY i.item_id;
  CALL workflow.run();
  RETURN QUERY SELECT 'last', i.workflow, i.state, t.reason FROM workflow.item AS i JOIN workflow.transition AS t USING (item_id, seq) ORDER BY i.item_id;
END $$;
BEGIN;
SELECT * FROM nested('grand', $$SELECT workflow.send('grand:n', 'stop')$$);
SELECT * FROM problems;
ROLLBACK;
BEGIN;
SELECT * FROM nested('grand', $$SELECT workflow.cancel(item_id) FROM workflow.item WHERE workflow = 'whole' AND parent_index = 0$$);
SELECT * FROM problems;
ROLLBACK;
BEGIN;
SELECT * FROM nested('first', $$SELECT workflow.send(item_id, 'stop') FROM workflow.item WHERE workflow = 'whole' AND parent_index = 0$$);
SELECT * FROM problems;
ROLLBACK;

-- where nobody handles "error", the item stays and says so
BEGIN;
SELECT item_id FROM workflow.submit('patient', '{"id": 1, "parts": [1, 2]}') \gset
SELECT state FROM workflow.send((SELECT item_id FROM workflow.children(:item_id) WHERE index = 0), 'lose');
CALL workflow.run();
SELECT state, waiting_on, waiting_detail, last_error_class, last_error FROM workflow.where_is(:item_id);
SELECT count(*) AS living FROM workflow.children(:item_id) WHERE outcome IS NULL;
SELECT state FROM workflow.send(:item_id, 'stop');
SELECT n, state, reason FROM kids;
ROLLBACK;

-- a paused item counts, and moves when it goes on
BEGIN;
SELECT item_id FROM workflow.submit('whole', '{"id": 1, "parts": [1]}') \gset
SELECT workflow.pause(:item_id, 'lunch');
SELECT state FROM workflow.send((SELECT item_id FROM workflow.children(:item_id)), 'close');
CALL workflow.run();
SELECT state FROM workflow.items WHERE item_id = :item_id;
SELECT ended, verdict FROM workflow.spawn;
SELECT workflow.resume(:item_id);
CALL workflow.run();
SELECT state FROM workflow.items WHERE item_id = :item_id;
ROLLBACK;

-- many: some at once, the rest in steps; none is started twice
BEGIN;
SELECT item_id, state FROM workflow.submit('whole', jsonb_build_object('id', 'many', 'parts', (SELECT jsonb_agg(n) FROM generate_series(1, 1000) AS n))) \gset
SELECT :'state' AS state, count(*) AS at_once FROM workflow.children(:item_id);
SELECT waiting_detail LIKE '0 of 1000 children have ended, 0 failed; 50 are started; all have to succeed; part:%' AS says_so FROM workflow.where_is(:item_id);
CALL workflow.run();
SELECT count(*), count(DISTINCT key), min(index), max(index) FROM workflow.children(:item_id);
SELECT children IS NULL AS forgotten FROM workflow.spawn;
SAVEPOINT started;
SELECT count(workflow.send(item_id, 'close')) FROM workflow.item WHERE workflow = 'part';
CALL workflow.run();
SELECT state, jsonb_array_length(data #> '{made,results}') AS results FROM workflow.items WHERE item_id = :item_id;
ROLLBACK TO started;
SELECT workflow.cancel(:item_id);
SELECT count(*) AS cancelled_at_once FROM workflow.children(:item_id) WHERE outcome = 'cancelled';
CALL workflow.run();
SELECT count(*) AS cancelled FROM workflow.children(:item_id) WHERE outcome = 'cancelled';
SELECT * FROM problems;
ROLLBACK;

-- a child that cannot be cancelled keeps neither its parent nor its siblings
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON workflow.item FOR EACH ROW
  WHEN (NEW.parent_index = 1 AND NEW.state = 'CANCELLED') EXECUTE FUNCTION refuse();
BEGIN;
SET LOCAL pg_workflow.clock = '2020-01-01 00:00';
SET LOCAL client_min_messages = error;
SELECT item_id FROM workflow.submit('whole', '{"id": 1, "parts": [1, 2, 3]}') \gset
SELECT workflow.cancel(:item_id);
SELECT index, state FROM workflow.children(:item_id);
SELECT kind, due_at FROM workflow.timer;
DROP TRIGGER refuse ON workflow.item;
SET LOCAL pg_workflow.clock = '2020-01-01 00:01';
CALL workflow.run();
SELECT index, state FROM workflow.children(:item_id);
SELECT count(*) AS timers FROM workflow.timer;
ROLLBACK;
DROP TRIGGER refuse ON workflow.item;

-- come back to, what has succeeded under its key counts, and what has not is done again
SELECT version FROM workflow.define('{
  "workflow": "again", "owner": "me", "initial": "PARTS", "key": "$.id",
  "queues": {"help": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"PARTS": {"spawn": {"workflow": "part", "each": "$.parts", "join": "all", "key": ["$.id", "$.each"], "input": {"n": "$.each"}},
                       "as": "made", "timeout": "1 day", "on": {"ok": "DONE", "error": "STUCK", "timeout": "STUCK"}},
             "STUCK": {"exception": {"queue": "help"}, "on": {"replay": "AGAIN", "give_up": "BROKEN"}},
             "AGAIN": {"then": "resume", "on": {"resume": "@origin"}},
             "DONE": {"final": "done"}, "BROKEN": {"final": "broken"}}}');
BEGIN;
SELECT item_id FROM workflow.submit('again', '{"id": 1, "parts": ["a", "b", "c"]}') \gset
SELECT state FROM workflow.send('part:1:a', 'close');
SELECT state FROM workflow.send('part:1:b', 'lose');
CALL workflow.run();
SELECT state, waiting_on FROM workflow.where_is(:item_id);
SELECT workflow.replay(:item_id, 'mended');
CALL workflow.run();
SELECT seq, index, key, state FROM workflow.children(:item_id);
SELECT waiting_detail FROM workflow.where_is(:item_id);
SELECT state FROM workflow.send('part:1:b#4', 'close');
SELECT state FROM workflow.send('part:1:c#4', 'lose');
CALL workflow.run();
SELECT workflow.replay(:item_id, 'mended once more');
CALL workflow.run();
SELECT seq, index, key, state FROM workflow.children(:item_id);
SELECT count(workflow.send(c.item_id, 'close')) FROM workflow.children(:item_id) AS c WHERE c.outcome IS NULL;
CALL workflow.run();
SELECT state, jsonb_path_query_array(data, '$.made.results[*].key') AS keys FROM workflow.items WHERE item_id = :item_id;
SELECT seq, started, ended, succeeded, verdict FROM workflow.spawn ORDER BY seq;
SELECT * FROM problems;
ROLLBACK;

-- what verify finds
BEGIN;
SELECT item_id FROM workflow.submit('whole', '{"id": 1, "parts": [1, 2, 3]}') \gset
SET LOCAL session_replication_role = replica;
DELETE FROM workflow.item WHERE parent_index = 2;
SELECT problem = format('visit 1 has started 3 children, there are 2') AS found FROM workflow.verify(:item_id);
DELETE FROM workflow.spawn;
SELECT problem FROM workflow.verify(:item_id);
ROLLBACK;

-- nobody removes the count of children by hand, nor writes another parent
SELECT item_id FROM workflow.submit('whole', '{"id": 1, "parts": [1]}') \gset
DELETE FROM workflow.spawn;
UPDATE workflow.spawn SET needed = 0;
DELETE FROM workflow.child_end;
\set VERBOSITY terse
UPDATE workflow.item SET parent_id = NULL WHERE parent_id IS NOT NULL;
\set VERBOSITY default
SELECT * FROM workflow.children(0);
SELECT * FROM workflow.children('whole:none');

-- what would happen again
SELECT state, kind, verdict, why FROM workflow.if_run_again(:item_id);
SELECT state, kind, key_parts, mechanism, verdict, why FROM workflow.if_run_twice('whole');
SELECT workflow.diagram('whole');

-- what a restore brings into a server at work, with triggers disabled, is found: ends, and timers
SET client_min_messages = warning;
SELECT item_id FROM workflow.submit('whole', '{"id": "restored", "parts": [1, 2]}') \gset
SELECT state FROM workflow.send((SELECT item_id FROM workflow.children(:item_id) WHERE index = 0), 'close');
CALL workflow.run();
CALL workflow.run();
ALTER TABLE workflow.child_end DISABLE TRIGGER ALL;
INSERT INTO workflow.child_end (item_id, seq, outcome) VALUES (:item_id, 1, 'shut');
ALTER TABLE workflow.child_end ENABLE TRIGGER ALL;
CALL workflow.run();
SELECT ended, verdict FROM workflow.spawn WHERE item_id = :item_id;
SELECT item_id FROM workflow.submit('whole', '{"id": "again", "parts": [1]}') \gset
CALL workflow.run();
CALL workflow.run();
ALTER TABLE workflow.timer DISABLE TRIGGER ALL;
INSERT INTO workflow.timer (item_id, seq, kind, due_at, event) VALUES (:item_id, 1, 'wait', '2001-01-01', 'stop');
ALTER TABLE workflow.timer ENABLE TRIGGER ALL;
CALL workflow.run();
SELECT state FROM workflow.items WHERE item_id = :item_id;
