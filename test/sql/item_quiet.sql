--
-- Moves that take no statement of ours: what somebody has added to a table takes
-- part all the same, and the log has every move.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
SELECT version FROM workflow.define('{"workflow": "ring", "initial": "A", "key": ["$.id"], "owner": "boss",
  "queues": {"work": {"owner": "boss", "sla": "1 hour", "escalate_to": ["boss"]}},
  "retry": {"default": {"owner": "boss", "dead_letter": "work", "max_attempts": 2, "timeout": "1 minute"}},
  "states": {"A": {"on": {"next": "B", "work": "WORK"}}, "B": {"on": {"next": "C", "end": "DONE"}},
             "C": {"on": {"next": "A", "late": "DONE"}},
             "WORK": {"sql": {"function": "public.work", "queue": "work"}, "on": {"ok": "A", "error": "DONE"}},
             "DONE": {"final": "success"}}}');
SELECT count(*) FROM workflow.submit_many('ring', ARRAY(SELECT jsonb_build_object('id', n) FROM generate_series(1, 200) AS n));

-- one statement, more rows than go to the log together; from the first visit, and from a later one
UPDATE workflow.item SET state = 'B';
UPDATE workflow.item SET state = 'C';
SELECT seq, event, from_state, to_state, kind, count(*) FROM workflow.transition GROUP BY 1, 2, 3, 4, 5 ORDER BY seq;
SELECT count(*) FILTER (WHERE NOT v.ok) AS wrong FROM workflow.item AS i, workflow.verify(i.item_id) AS v;

-- an illegal row among legal ones: nothing of the statement stays
UPDATE workflow.item SET state = 'DONE' WHERE item_id = 1;
\set VERBOSITY terse
UPDATE workflow.item SET state = 'A';
\set VERBOSITY default
-- nor of a savepoint that is rolled back
BEGIN;
SAVEPOINT before;
UPDATE workflow.item SET state = 'A' WHERE item_id BETWEEN 2 AND 100;
SELECT count(*) FROM workflow.transition WHERE seq = 4;
ROLLBACK TO before;
UPDATE workflow.item SET state = 'A' WHERE item_id = 2;
SELECT count(*) FROM workflow.transition WHERE seq = 4;
COMMIT;
SELECT count(*) FROM workflow.transition WHERE seq = 4;

-- who watches items finds each move in the log
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE WARNING 'item % is in the log: %', NEW.item_id,
    EXISTS (SELECT FROM workflow.transition AS t WHERE t.item_id = NEW.item_id AND t.seq = NEW.seq);
  RETURN NULL;
END $$;
CREATE TRIGGER watch AFTER UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION watch();
UPDATE workflow.item SET state = 'A' WHERE item_id IN (3, 4);
SELECT state FROM workflow.send(3::bigint, 'next');
DROP TRIGGER watch ON workflow.item;

-- triggers of others on what is appended fire
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE WARNING 'a row of % came', rtrim(TG_TABLE_NAME, '_0123456789');
  RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT ON workflow.transition FOR EACH ROW EXECUTE FUNCTION tell();
UPDATE workflow.item SET state = 'B' WHERE item_id = 4;
SELECT state FROM workflow.send(4::bigint, 'next');
DROP TRIGGER tell ON workflow.transition;
CREATE TRIGGER tell AFTER INSERT ON workflow.job FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER tell AFTER INSERT ON workflow.attempt FOR EACH ROW EXECUTE FUNCTION tell();
SELECT state FROM workflow.send(4::bigint, 'next');
SELECT state FROM workflow.send(4::bigint, 'work');
CALL workflow.run('10 seconds');
DROP TRIGGER tell ON workflow.job;
DROP TRIGGER tell ON workflow.attempt;
SELECT outcome, attempt FROM workflow.attempts WHERE item_id = 4;

-- conditions and indexes of others hold, too
ALTER TABLE workflow.item ADD CONSTRAINT not_five CHECK (item_id <> 5 OR state <> 'A') NOT VALID;
\set VERBOSITY terse
SELECT state FROM workflow.send(5::bigint, 'next');
\set VERBOSITY default
ALTER TABLE workflow.item DROP CONSTRAINT not_five;
CREATE INDEX by_state ON workflow.item (state);
CREATE INDEX by_lower_state ON workflow.item (lower(state));
SELECT state FROM workflow.send(5::bigint, 'next');
DROP INDEX workflow.by_lower_state;
SELECT state FROM workflow.send(6::bigint, 'next');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT item_id FROM workflow.item WHERE state = 'A' ORDER BY item_id;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP INDEX workflow.by_state;

-- a pause holds at once, also one of this transaction, and not when it is rolled back
UPDATE workflow.item SET state = 'B' WHERE item_id = 6;
BEGIN;
SELECT workflow.pause_workflow('ring', 'lunch');
SAVEPOINT paused;
\set VERBOSITY sqlstate
UPDATE workflow.item SET state = 'C' WHERE item_id = 6;
ROLLBACK TO paused;
SELECT workflow.send(6::bigint, 'next');
\set VERBOSITY default
ROLLBACK;
UPDATE workflow.item SET state = 'C' WHERE item_id = 6;

-- an item that keeps an event looks for it when it moves by hand, too
SELECT state FROM workflow.send(6::bigint, 'end');
SELECT keeps_events FROM workflow.item WHERE item_id IN (6, 7) ORDER BY item_id;
UPDATE workflow.item SET state = 'A' WHERE item_id = 6;
UPDATE workflow.item SET state = 'B' WHERE item_id = 6;
SELECT state, outcome FROM workflow.item WHERE item_id = 6;
SELECT count(*) FILTER (WHERE NOT v.ok) AS wrong FROM workflow.item AS i, workflow.verify(i.item_id) AS v;
