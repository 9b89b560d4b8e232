--
-- An UPDATE that moves one item, found by a unique index, goes without triggers,
-- and nobody can tell by what it leaves.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT version FROM workflow.define('{"workflow": "ring", "initial": "A", "key": ["$.id"], "owner": "boss",
  "queues": {"work": {"owner": "boss", "sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"A": {"on": {"next": "B", "work": "WORK"}}, "B": {"on": {"next": "A", "end": "DONE", "fail": "BAD"}},
             "WORK": {"task": {"queue": "work"}, "on": {"ok": "A", "error": "BAD", "back": "A"}},
             "BAD": {"exception": {"queue": "work"}, "on": {"again": "@origin", "end": "DONE"}},
             "DONE": {"final": "success"}}}');
SELECT count(*) FROM workflow.submit_many('ring', ARRAY(SELECT jsonb_build_object('id', n) FROM generate_series(1, 60) AS n));
SET track_functions = 'all';
CREATE VIEW fired AS
SELECT coalesce(sum(f.calls), 0)::int AS calls FROM pg_stat_xact_user_functions AS f WHERE f.funcname IN ('_item_stamp', '_item_judge');
CREATE FUNCTION wrong() RETURNS TABLE (item_id bigint, problem text) LANGUAGE sql AS
$$ SELECT i.item_id, v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok $$;
-- an item that has not moved yet may have a timer that starts it
UPDATE workflow.item SET state = 'B';
UPDATE workflow.item SET state = 'A';

-- by its id, by its key
BEGIN;
SELECT calls AS before FROM fired \gset
UPDATE workflow.item SET state = 'B' WHERE item_id = 1;
UPDATE workflow.item SET state = 'B' WHERE workflow = 'ring' AND key = '2';
SELECT calls - :before AS fired FROM fired;
COMMIT;
SELECT item_id, seq, from_state, event, to_state, kind, actor = current_user AS by_me FROM workflow.transition WHERE item_id < 3 AND seq > 3 ORDER BY 1, 2;
-- whatever else is found, or changed, takes the way of all rows
BEGIN;
SELECT calls AS before FROM fired \gset
UPDATE workflow.item SET state = 'B' WHERE item_id IN (3, 4);
SELECT calls - :before AS fired FROM fired;
ROLLBACK;
BEGIN;
SELECT calls AS before FROM fired \gset
UPDATE workflow.item SET state = 'B', labels = '["x"]' WHERE item_id = 3;
SELECT calls - :before AS fired FROM fired;
ROLLBACK;
UPDATE workflow.item SET state = 'B' WHERE item_id = 3 RETURNING seq, state;
DO $$ BEGIN EXECUTE 'EXPLAIN (ANALYZE) UPDATE workflow.item SET state = ''B'' WHERE item_id = 4'; END $$;
UPDATE workflow.item SET state = 'WORK' WHERE item_id = 5;
UPDATE workflow.item SET state = 'A' WHERE item_id = 5;
UPDATE workflow.item SET state = 'BAD' WHERE item_id = 3;
UPDATE workflow.item SET state = 'B' WHERE item_id = 3;
UPDATE workflow.item SET state = 'DONE' WHERE item_id = 4;
SELECT item_id, seq, state, outcome, origin FROM workflow.item WHERE item_id BETWEEN 3 AND 5 ORDER BY 1;
SELECT count(*) FROM workflow.job;
SELECT * FROM wrong();

-- what is refused is refused as ever
\set VERBOSITY terse
UPDATE workflow.item SET state = 'DONE' WHERE item_id = 6;
UPDATE workflow.item SET state = 'NOWHERE' WHERE item_id = 6;
UPDATE workflow.item SET state = NULL WHERE item_id = 6;
UPDATE workflow.item SET state = 'B', seq = 7 WHERE item_id = 6;
UPDATE workflow.item SET state = 'A' WHERE item_id = 4;
SELECT FROM workflow.pause(6, 'look');
UPDATE workflow.item SET state = 'B' WHERE item_id = 6;
SELECT FROM workflow.pause_workflow('ring', 'look');
UPDATE workflow.item SET state = 'B' WHERE item_id = 7;
SELECT FROM workflow.resume_workflow('ring', 'go on');
UPDATE workflow.item SET state = 'B' WHERE item_id = 7;
UPDATE workflow.item SET state = 'A' WHERE item_id = 0;
SELECT item_id, seq, state FROM workflow.item WHERE item_id IN (6, 7) ORDER BY 1;

-- pages run out of room: every index has every row
BEGIN;
DO $$
BEGIN
  FOR n IN 1 .. 40 LOOP
    FOR i IN 10 .. 30 LOOP
      UPDATE workflow.item SET state = CASE n % 2 WHEN 1 THEN 'B' ELSE 'A' END WHERE item_id = i;
    END LOOP;
  END LOOP;
END $$;
SELECT pg_stat_get_xact_tuples_hot_updated('workflow.item'::regclass) < pg_stat_get_xact_tuples_updated('workflow.item'::regclass) AS some_do;
COMMIT;
CREATE FUNCTION found(OUT by_id int, OUT by_key int, OUT alive int, OUT there int) LANGUAGE plpgsql AS $$
BEGIN
  SELECT count(*) INTO by_id FROM generate_series(1, 60) AS n WHERE EXISTS (SELECT FROM workflow.item AS i WHERE i.item_id = n);
  SELECT count(*) INTO by_key FROM generate_series(1, 60) AS n WHERE EXISTS (SELECT FROM workflow.item AS i WHERE i.workflow = 'ring' AND i.key = n::text);
  SELECT count(*) INTO alive FROM workflow.item AS i WHERE i.workflow = 'ring' AND i.version = 1 AND i.outcome IS NULL;
  SET LOCAL enable_seqscan = on;
  SET LOCAL enable_indexscan = off;
  SET LOCAL enable_indexonlyscan = off;
  SELECT count(*) INTO there FROM workflow.item;
END $$;
SELECT * FROM found();
SELECT count(*), max(seq) FROM workflow.transition WHERE item_id = 30;
-- one of somebody else's that a move changes has every move
CREATE INDEX by_state ON workflow.item (state);
UPDATE workflow.item SET state = 'B' WHERE item_id = 30;
SELECT item_id, seq FROM workflow.item WHERE state = 'B' AND item_id = 30;
DROP INDEX workflow.by_state;

-- savepoints, and a function that moves another item while the statement runs
CREATE FUNCTION meanwhile(id bigint, target text, fails boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  UPDATE workflow.item SET state = target WHERE item_id = id;
  IF fails THEN PERFORM 1 / 0; END IF;
  RETURN target;
EXCEPTION WHEN division_by_zero THEN RETURN target;
END $$;
BEGIN;
SAVEPOINT one;
UPDATE workflow.item SET state = 'B' WHERE item_id = 40;
ROLLBACK TO one;
UPDATE workflow.item SET state = meanwhile(41, 'B', false) WHERE item_id = 40;
UPDATE workflow.item SET state = meanwhile(43, 'B', true) WHERE item_id = 42;
COMMIT;
UPDATE workflow.item SET state = meanwhile(44, 'B', false) WHERE item_id = 44;
SELECT i.item_id, i.seq, i.state, (SELECT max(t.seq) FROM workflow.transition AS t WHERE t.item_id = i.item_id) AS logged
FROM workflow.item AS i WHERE i.item_id BETWEEN 40 AND 44 ORDER BY 1;

-- a transaction that is prepared
BEGIN;
UPDATE workflow.item SET state = 'B' WHERE item_id = 45;
PREPARE TRANSACTION 'lone';
COMMIT PREPARED 'lone';
SELECT from_state, to_state FROM workflow.transition WHERE item_id = 45 AND seq = 4;

-- what others have added is seen to
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER no BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION no();
UPDATE workflow.item SET state = 'B' WHERE item_id = 46;
DROP TRIGGER no ON workflow.item;
ALTER TABLE workflow.item ADD CONSTRAINT never CHECK (item_id <> 46 OR state <> 'B') NOT VALID;
UPDATE workflow.item SET state = 'B' WHERE item_id = 46;
ALTER TABLE workflow.item DROP CONSTRAINT never;
CREATE TABLE allowed (state text COLLATE "C" PRIMARY KEY);
INSERT INTO allowed VALUES ('A');
ALTER TABLE workflow.item ADD CONSTRAINT allowed FOREIGN KEY (state) REFERENCES allowed NOT VALID;
UPDATE workflow.item SET state = 'B' WHERE item_id = 46;
ALTER TABLE workflow.item DROP CONSTRAINT allowed;
-- a key to an item's id is no concern of a move
CREATE TABLE note (item_id bigint REFERENCES workflow.item);
BEGIN;
SELECT calls AS before FROM fired \gset
UPDATE workflow.item SET state = 'B' WHERE item_id = 46;
SELECT calls - :before AS fired FROM fired;
ROLLBACK;
DROP TABLE note;
SET session_replication_role = replica;
UPDATE workflow.item SET state = 'B' WHERE item_id = 47;
SELECT item_id, seq, state FROM workflow.item WHERE item_id IN (46, 47) ORDER BY 1;
UPDATE workflow.item SET state = 'A' WHERE item_id = 47;
RESET session_replication_role;
CREATE ROLE mover;
GRANT USAGE ON SCHEMA workflow TO mover;
GRANT SELECT, UPDATE (state) ON workflow.item TO mover;
ALTER TABLE workflow.item ENABLE ROW LEVEL SECURITY;
CREATE POLICY looks ON workflow.item FOR SELECT TO mover USING (true);
CREATE POLICY moves ON workflow.item FOR UPDATE TO mover USING (true) WITH CHECK (item_id <> 48);
SET ROLE mover;
UPDATE workflow.item SET state = 'B' WHERE item_id = 48;
UPDATE workflow.item SET state = 'B' WHERE item_id = 49;
RESET ROLE;
ALTER TABLE workflow.item DISABLE ROW LEVEL SECURITY;
SET ROLE mover;
UPDATE workflow.item SET state = 'A' WHERE item_id = 49;
RESET ROLE;
DROP POLICY looks ON workflow.item;
DROP POLICY moves ON workflow.item;
SELECT item_id, seq, to_state, actor FROM workflow.transition WHERE item_id IN (48, 49) AND seq > 3 ORDER BY 1, 2;

-- all of it is counted, and on record
SELECT * FROM wrong() ORDER BY 1;
SELECT s.state, s.items - (SELECT count(*) FROM workflow.item AS i WHERE i.state = s.state) AS too_many
FROM workflow.state_stats AS s WHERE s.workflow = 'ring' ORDER BY 1;
DROP OWNED BY mover;
DROP ROLE mover;
