--
-- spawn_failed: a thousand visits that cannot go on hide no other state.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define('{
  "workflow": "kid", "owner": "me", "initial": "OPEN",
  "input_schema": {"type": "object", "required": ["id"]},
  "states": {"OPEN": {"on": {"win": "WON"}}, "WON": {"final": "won"}}}');
SELECT version FROM workflow.define('{
  "workflow": "family", "owner": "ann", "initial": "PICK",
  "states": {"PICK": {"on": {"first": "FIRST", "second": "SECOND", "third": "THIRD"}},
             "FIRST": {"spawn": {"workflow": "kid", "each": "$.kids", "join": "all"}, "on": {"ok": "DONE", "stop": "DONE"}},
             "SECOND": {"spawn": {"workflow": "kid", "each": "$.kids", "join": "all"}, "on": {"ok": "DONE", "stop": "DONE"}},
             "THIRD": {"spawn": {"workflow": "kid", "each": "$.kids", "join": "all"}, "on": {"ok": "DONE", "stop": "DONE"}},
             "DONE": {"final": "done"}}}');
CREATE VIEW told AS
  SELECT a.subject, substring(a.detail, '^children of .* cannot go on') AS detail, a.cleared_at IS NOT NULL AS cleared
  FROM workflow.alerts AS a WHERE a.kind = 'spawn_failed' ORDER BY a.subject;

-- the last state of the alphabet and of the items
SELECT count(*) FROM workflow.submit_many('family', (SELECT array_agg(jsonb_build_object('kids', jsonb_build_array(n))) FROM generate_series(1, 1003) AS n));
CREATE TEMPORARY TABLE mine AS SELECT item_id, row_number() OVER (ORDER BY item_id) AS n FROM workflow.items WHERE workflow = 'family';
UPDATE workflow.item AS i SET state = 'FIRST' FROM mine AS m WHERE m.item_id = i.item_id AND m.n <= 1001;
UPDATE workflow.item AS i SET state = 'SECOND' FROM mine AS m WHERE m.item_id = i.item_id AND m.n = 1002;
UPDATE workflow.item AS i SET state = 'THIRD' FROM mine AS m WHERE m.item_id = i.item_id AND m.n = 1003;
SELECT state, error_class, count(*) FROM workflow.dead_letters GROUP BY 1, 2 ORDER BY 1;
CALL workflow.run();
SELECT * FROM told;

-- each is cleared when its last one has left, or goes on
SELECT count(workflow.send(m.item_id, 'stop')) FROM mine AS m WHERE m.n IN (1, 1002);
SELECT workflow.replay(m.item_id, 'mended', patch => '{"kids": [{"id": 1}]}') IS NOT NULL AS replayed FROM mine AS m WHERE m.n = 1003;
SELECT count(*) FROM workflow.spawn WHERE (failed_at IS NULL) <> (failed_in IS NULL);
SELECT count(*) FROM workflow._look_for_alerts();
SELECT * FROM told;
DROP EXTENSION pg_workflow CASCADE;
