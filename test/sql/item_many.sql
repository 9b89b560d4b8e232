--
-- An UPDATE that moves many items has its rows stamped as they are put together,
-- and nobody can tell by what it leaves.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define('{"workflow": "ring", "initial": "A", "key": ["$.id"], "owner": "boss",
  "queues": {"work": {"owner": "boss", "sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"A": {"on": {"next": "B", "work": "WORK"}}, "B": {"on": {"next": "A", "end": "DONE", "fail": "BAD"}},
             "WORK": {"task": {"queue": "work"}, "on": {"ok": "A", "error": "BAD", "back": "A"}},
             "BAD": {"exception": {"queue": "work"}, "on": {"again": "@origin", "end": "DONE"}},
             "DONE": {"final": "success"}}}');
SELECT count(*) FROM workflow.submit_many('ring', ARRAY(SELECT jsonb_build_object('id', n) FROM generate_series(1, 20) AS n));
SET track_functions = 'all';
CREATE VIEW fired AS
SELECT coalesce(sum(f.calls) FILTER (WHERE f.funcname = '_item_stamp'), 0)::int AS stamp,
       coalesce(sum(f.calls) FILTER (WHERE f.funcname = '_item_judge'), 0)::int AS judge
FROM pg_stat_xact_user_functions AS f WHERE f.funcname IN ('_item_stamp', '_item_judge');
CREATE FUNCTION wrong() RETURNS TABLE (item_id bigint, problem text) LANGUAGE sql AS
$$ SELECT i.item_id, v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok $$;
CREATE VIEW log AS
SELECT t.seq, t.from_state, t.event, t.to_state, t.kind, count(*), array_agg(t.item_id ORDER BY t.item_id) AS items
FROM workflow.transition AS t WHERE t.seq > 1 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3;

-- the trigger that stamps is not called
BEGIN;
SELECT stamp AS before FROM fired \gset
UPDATE workflow.item SET state = 'B';
SELECT stamp - :before AS stamp, judge FROM fired;
COMMIT;
SELECT state, seq, outcome, since > received_at AS moved, count(*) FROM workflow.item GROUP BY 1, 2, 3, 4;
SELECT * FROM log;

-- but for rows from whose move more follows, or that say more
BEGIN;
SELECT stamp AS before FROM fired \gset
UPDATE workflow.item SET state = CASE WHEN item_id % 4 = 0 THEN 'DONE' WHEN item_id % 4 = 1 THEN 'BAD' WHEN item_id % 4 = 2 THEN 'A' ELSE 'B' END;
SELECT stamp - :before AS stamp FROM fired;
UPDATE workflow.item SET state = 'B' WHERE state = 'BAD';
UPDATE workflow.item SET state = 'WORK' WHERE state = 'A';
UPDATE workflow.item SET state = CASE state WHEN 'WORK' THEN 'A' WHEN 'B' THEN 'A' ELSE state END, labels = '["x"]' WHERE state <> 'DONE';
SELECT stamp - :before AS stamp FROM fired;
COMMIT;
SELECT state, seq, outcome, origin, labels, count(*) FROM workflow.item GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2;
SELECT count(*) FROM workflow.job;
SELECT * FROM log;
SELECT * FROM wrong();

-- what is returned is stamped; a row that is found twice moves once
UPDATE workflow.item SET state = 'B' WHERE state = 'A' AND item_id < 8 RETURNING item_id, state, seq, since >= now() AS just_now;
UPDATE workflow.item AS i SET state = 'A' FROM (VALUES (2), (2), (3), (2), (3)) AS v (id) WHERE i.item_id = v.id RETURNING i.item_id, i.state, i.seq;
-- and what the second finding says is not looked at
SET enable_hashjoin = off;
SET enable_mergejoin = off;
UPDATE workflow.item AS i SET state = v.state FROM (VALUES (2, 'B'), (2, NULL), (3, 'B'), (3, 'NOWHERE')) AS v (id, state) WHERE i.item_id = v.id RETURNING i.item_id, i.state, i.seq;
UPDATE workflow.item SET state = 'A' WHERE item_id IN (2, 3);
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT * FROM wrong();

-- what is refused is refused as ever, and all of it
\set VERBOSITY terse
UPDATE workflow.item SET state = 'DONE' WHERE state <> 'DONE';
UPDATE workflow.item SET state = 'NOWHERE';
UPDATE workflow.item SET state = NULL;
UPDATE workflow.item SET state = 'B', seq = 7 WHERE state = 'A';
UPDATE workflow.item SET state = 'B', since = '2020-01-01' WHERE state = 'A';
SELECT count(workflow.pause(item_id, 'look')) FROM workflow.item WHERE item_id = 2;
UPDATE workflow.item SET state = 'B' WHERE state = 'A';
SELECT count(workflow.resume(item_id, 'go on')) FROM workflow.item WHERE item_id = 2;
SELECT state, seq, count(*) FROM workflow.item GROUP BY 1, 2 ORDER BY 1, 2;

-- functions that move other items while the statement runs, and fail
CREATE FUNCTION meanwhile(id bigint, target text, fails boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  UPDATE workflow.item SET state = target WHERE item_id >= id AND state <> target AND outcome IS NULL;
  IF fails THEN PERFORM 1 / 0; END IF;
  RETURN target;
EXCEPTION WHEN division_by_zero THEN RETURN target;
END $$;
UPDATE workflow.item SET state = meanwhile(10, 'B', false) WHERE item_id BETWEEN 2 AND 3;
UPDATE workflow.item SET state = meanwhile(10, 'A', true) WHERE item_id BETWEEN 2 AND 3;
UPDATE workflow.item SET state = meanwhile(2, 'B', false) WHERE item_id BETWEEN 2 AND 3;
SELECT state, seq, count(*) FROM workflow.item GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM wrong();

-- what others have added is seen to
CREATE FUNCTION divert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := 'B'; RETURN NEW; END $$;
CREATE TRIGGER divert BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION divert();
UPDATE workflow.item SET state = 'WORK' WHERE item_id < 4 AND state = 'A';
DROP TRIGGER divert ON workflow.item;
SELECT state, seq, count(*) FROM workflow.item WHERE item_id < 4 GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM wrong();
