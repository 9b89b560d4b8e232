--
-- An event that only moves its item locks no row before it writes it, and asks for nobody's rights; what else it
-- may come to is as ever.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define('{"workflow": "ring", "initial": "A", "key": ["$.id"], "owner": "boss",
  "queues": {"work": {"owner": "boss", "sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"A": {"on": {"next": "B", "work": "WORK"}}, "B": {"on": {"next": "A", "self": "B", "end": "DONE"}},
             "WORK": {"task": {"queue": "work"}, "on": {"ok": "A", "error": "DONE"}},
             "DONE": {"final": "success"}}}');
SELECT count(*) FROM workflow.submit_many('ring', ARRAY(SELECT jsonb_build_object('id', n) FROM generate_series(1, 20) AS n));
UPDATE workflow.item SET state = 'B';
CREATE FUNCTION locks_row() RETURNS boolean LANGUAGE sql AS
$$ SELECT bool_or(mode = 'RowShareLock') FROM pg_locks WHERE relation = 'workflow.item'::regclass AND pid = pg_backend_pid() $$;
CREATE FUNCTION logged(id bigint) RETURNS TABLE (seq int, from_state text, event text, to_state text, kind text, actor text, reason text, data jsonb, on_time boolean)
LANGUAGE sql AS
$$ SELECT t.seq, t.from_state, t.event, t.to_state, t.kind, t.actor, t.reason, t.data, t.at = i.since OR t.seq < i.seq
   FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE i.item_id = id AND t.seq > 2 ORDER BY t.seq $$;

-- the session knows the workflow from here on
SELECT * FROM workflow.send(1::bigint, 'next');
BEGIN;
SELECT * FROM workflow.send(1::bigint, 'next', '{"by": "letter"}', reason => 'it came');
SELECT locks_row();
SELECT * FROM workflow.send(1::bigint, 'self', expected_seq => 4);
SELECT state, (SELECT s.seq FROM workflow.send(1::bigint, 'next') AS s), (SELECT s.seq FROM workflow.send(1::bigint, 'next') AS s) FROM workflow.item WHERE item_id = 1;
SELECT locks_row();
COMMIT;
SELECT state, seq, data FROM workflow.item WHERE item_id = 1;
SELECT * FROM logged(1);
SELECT v.ok, v.problem FROM workflow.verify(1::bigint) AS v;

-- by its key, with an id, into a state with an activity, to the end: there is more to do
BEGIN;
SELECT * FROM workflow.send('ring:2', 'self');
SELECT locks_row();
COMMIT;
SELECT * FROM workflow.send(3::bigint, 'self', source => 'mail', event_id => '1');
SELECT * FROM workflow.send(3::bigint, 'self', source => 'mail', event_id => '1');
SELECT seq, state FROM workflow.send(3::bigint, 'next');
SELECT seq, state FROM workflow.send(3::bigint, 'work');
SELECT count(*) FROM workflow.job WHERE item_id = 3;
SELECT seq, state FROM workflow.send(4::bigint, 'end');
SELECT outcome FROM workflow.item WHERE item_id = 4;

-- what is refused says why
\set VERBOSITY terse
SELECT * FROM workflow.send(5::bigint, 'next', expected_seq => 7);
SELECT * FROM workflow.send(5::bigint, 'never');
SELECT * FROM workflow.send(NULL::bigint, 'next');
SELECT * FROM workflow.send(999::bigint, 'next');
SELECT FROM workflow.pause(5::bigint, 'look');
SELECT * FROM workflow.send(5::bigint, 'next');
SELECT FROM workflow.resume(5::bigint, 'go on');
BEGIN READ ONLY;
SELECT * FROM workflow.send(5::bigint, 'next');
ROLLBACK;
\set VERBOSITY default
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM workflow.send(5::bigint, 'next');
COMMIT;
SELECT event, seq FROM logged(5);

-- somebody who may do nothing else; a savepoint that is rolled back
CREATE ROLE item_quick_sender;
SELECT workflow.grant_role('item_quick_sender', 'submitter');
SET ROLE item_quick_sender;
BEGIN;
SAVEPOINT one;
SELECT * FROM workflow.send(6::bigint, 'next');
ROLLBACK TO one;
SELECT * FROM workflow.send(6::bigint, 'self');
COMMIT;
RESET ROLE;
SELECT seq, event, actor FROM logged(6);
SELECT count(*) FROM workflow._wrong_states();

-- what somebody has added to the table takes part
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'item % is in %', NEW.item_id, NEW.state; RETURN NULL; END $$;
CREATE TRIGGER tell AFTER UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION tell();
SELECT * FROM workflow.send(7::bigint, 'next');
DROP TRIGGER tell ON workflow.item;
CREATE TABLE public.wanted (state text PRIMARY KEY);
INSERT INTO wanted VALUES ('B');
ALTER TABLE workflow.item ADD CONSTRAINT wanted FOREIGN KEY (state) REFERENCES wanted (state) NOT VALID;
\set VERBOSITY terse
SELECT * FROM workflow.send(8::bigint, 'next');
\set VERBOSITY default
ALTER TABLE workflow.item DROP CONSTRAINT wanted;
CREATE INDEX by_state ON workflow.item (state);
SELECT * FROM workflow.send(8::bigint, 'next');
SET enable_seqscan = off;
SELECT item_id FROM workflow.item WHERE state = 'A' AND item_id = 8;
DROP INDEX workflow.by_state;

-- data that is stored out of line, and a column that rows from before do not have
UPDATE workflow.item SET data = data || jsonb_build_object('long', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n)) WHERE item_id IN (9, 10);
ALTER TABLE workflow.item ADD COLUMN extra text DEFAULT 'there';
SELECT * FROM workflow.send(9::bigint, 'next', '{"a": 1}');
UPDATE workflow.item SET state = 'A' WHERE item_id = 10;
UPDATE workflow.item SET state = 'B' WHERE item_id = 10;
UPDATE workflow.item SET state = 'B' WHERE item_id = 9;
UPDATE workflow.item SET state = 'A' WHERE item_id IN (9, 10);
SELECT item_id, state, seq, extra, md5(data ->> 'long'), data - 'long' AS data FROM workflow.item WHERE item_id IN (9, 10) ORDER BY 1;
SELECT count(*) FILTER (WHERE NOT v.ok) AS wrong FROM workflow.item AS i, workflow.verify(i.item_id) AS v;
SELECT count(*) FROM workflow._wrong_states();
