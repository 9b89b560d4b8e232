--
-- Moves that take no statement of ours, in statements that write other tables,
-- too, and beside foreign keys: what others see of a move, and the log, are whole.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define('{"workflow": "ring", "initial": "A", "key": ["$.id"], "owner": "boss",
  "states": {"A": {"on": {"next": "B"}}, "B": {"on": {"next": "A", "end": "DONE"}}, "DONE": {"final": "success"}}}');
SELECT count(*) FROM workflow.submit_many('ring', ARRAY(SELECT jsonb_build_object('id', n) FROM generate_series(1, 4) AS n));

-- a statement that notes each move in another table, whose trigger looks at the log and survives an error
CREATE TABLE note (item_id bigint, seen boolean);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE note SET seen = EXISTS (SELECT FROM workflow.transition AS t WHERE t.item_id = NEW.item_id AND t.seq = 3)
  WHERE item_id = NEW.item_id;
  PERFORM 1 / 0;
  RETURN NULL;
EXCEPTION WHEN division_by_zero THEN
  UPDATE note SET seen = EXISTS (SELECT FROM workflow.transition AS t WHERE t.item_id = NEW.item_id AND t.seq = 3)
  WHERE item_id = NEW.item_id;
  RETURN NULL;
END $$;
CREATE TRIGGER look AFTER INSERT ON note FOR EACH ROW EXECUTE FUNCTION look();
UPDATE workflow.item SET state = 'B';
WITH moved AS (UPDATE workflow.item SET state = 'A' RETURNING item_id)
INSERT INTO note SELECT m.item_id FROM moved AS m;
SELECT n.seen, count(*) FROM note AS n GROUP BY n.seen;
SELECT seq, event, from_state, to_state, count(*) FROM workflow.transition GROUP BY 1, 2, 3, 4 ORDER BY seq;
SELECT v.problem, count(*) FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok GROUP BY v.problem;
DROP TABLE note;

-- a foreign key to the states that somebody allows
CREATE TABLE allowed (state text COLLATE "C" PRIMARY KEY);
INSERT INTO allowed VALUES ('A'), ('B');
ALTER TABLE workflow.item ADD CONSTRAINT allowed FOREIGN KEY (state) REFERENCES allowed;
SELECT state FROM workflow.send(1::bigint, 'next');
SELECT state FROM workflow.send(1::bigint, 'end');
SELECT item_id, state FROM workflow.item WHERE item_id = 1;
ALTER TABLE workflow.item DROP CONSTRAINT allowed;

-- a copy of the state that a foreign key keeps, with a trigger that survives an error
CREATE UNIQUE INDEX item_and_state ON workflow.item (item_id, state);
CREATE TABLE copy (item_id bigint, state text COLLATE "C", FOREIGN KEY (item_id, state) REFERENCES workflow.item (item_id, state) ON UPDATE CASCADE);
CREATE FUNCTION survive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 / 0;
  RETURN NEW;
EXCEPTION WHEN division_by_zero THEN
  RETURN NEW;
END $$;
CREATE TRIGGER survive BEFORE UPDATE ON copy FOR EACH ROW EXECUTE FUNCTION survive();
INSERT INTO copy SELECT i.item_id, i.state FROM workflow.item AS i;
SELECT state FROM workflow.send(2::bigint, 'next');
UPDATE workflow.item SET state = 'B' WHERE item_id IN (3, 4);
SELECT i.item_id, i.seq, i.state, c.state AS copy, (SELECT max(t.seq) FROM workflow.transition AS t WHERE t.item_id = i.item_id) AS logged
FROM workflow.item AS i JOIN copy AS c USING (item_id) ORDER BY i.item_id;
SELECT v.problem, count(*) FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok GROUP BY v.problem;
DROP TABLE copy;

-- statements that insert items, too, whose trigger survives an error
CREATE TRIGGER survive AFTER INSERT ON workflow.item FOR EACH ROW EXECUTE FUNCTION survive();
INSERT INTO workflow.item AS o (workflow, version, key, state, since, received_at, seq, submitted_by, route, input, data)
SELECT i.workflow, i.version, k.key, i.state, i.since, i.received_at, 1, i.submitted_by, i.route, i.input, i.data
FROM workflow.item AS i, unnest(ARRAY['3', '101']) AS k (key) WHERE i.key = '4' ORDER BY length(k.key)
ON CONFLICT (workflow, key) DO UPDATE SET state = 'A';
MERGE INTO workflow.item AS o
USING (SELECT i.*, k.key AS other FROM workflow.item AS i, unnest(ARRAY['4', '102']) AS k (key) WHERE i.key = '4' ORDER BY length(k.key) OFFSET 0) AS i
ON o.workflow = i.workflow AND o.key = i.other
WHEN MATCHED THEN UPDATE SET state = 'A'
WHEN NOT MATCHED THEN INSERT (workflow, version, key, state, since, received_at, seq, submitted_by, route, input, data)
VALUES (i.workflow, i.version, i.other, i.state, i.since, i.received_at, 1, i.submitted_by, i.route, i.input, i.data);
SELECT i.key, i.seq, i.state, (SELECT max(t.seq) FROM workflow.transition AS t WHERE t.item_id = i.item_id) AS logged
FROM workflow.item AS i WHERE i.key IN ('3', '4', '101', '102') ORDER BY length(i.key), i.key;
DROP TRIGGER survive ON workflow.item;

-- a column that is computed, of the latest kind that this server has, and has to have a value
SELECT CASE WHEN current_setting('server_version_num')::int >= 180000 THEN 'VIRTUAL' ELSE 'STORED' END AS latest \gset
ALTER TABLE workflow.item ADD COLUMN short text GENERATED ALWAYS AS (nullif(state, 'DONE')) :latest NOT NULL;
\set VERBOSITY terse
SELECT state FROM workflow.send(2::bigint, 'end');
UPDATE workflow.item SET state = 'DONE' WHERE item_id = 2;
\set VERBOSITY default
SELECT item_id, state, short FROM workflow.item WHERE item_id = 2;
ALTER TABLE workflow.item DROP COLUMN short;

-- a publication that could not tell what has changed
SET client_min_messages = error;    -- the server's wal_level is lower
CREATE PUBLICATION half FOR TABLE workflow.item WHERE (state = 'A');
SET client_min_messages = warning;
SELECT state FROM workflow.send(2::bigint, 'next');
SELECT item_id, state FROM workflow.item WHERE item_id = 2;
DROP PUBLICATION half;

-- a column of jobs that somebody wants filled
SELECT version FROM workflow.define('{"workflow": "work", "initial": "A", "key": ["$.id"], "owner": "boss",
  "queues": {"work": {"owner": "boss", "sla": "1 hour", "escalate_to": ["boss"]}},
  "retry": {"default": {"owner": "boss", "dead_letter": "work", "max_attempts": 2, "timeout": "1 minute"}},
  "states": {"A": {"task": {"queue": "work"}, "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "success"}}}');
ALTER TABLE workflow.job ALTER COLUMN tenant SET NOT NULL;
\set VERBOSITY terse
SELECT state FROM workflow.submit('work', '{"id": 1}');
\set VERBOSITY default
SELECT count(*) AS jobs FROM workflow.job;
