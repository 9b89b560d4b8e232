--
-- What a hand may do to an item: move it where an event that could be sent leads,
-- and change its data on record.  Nothing else, by whatever statement.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SELECT version FROM workflow.define('{
  "workflow": "pay", "owner": "me", "key": ["$.id"], "initial": "ASK",
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ASK":  {"review": {"queue": "desk", "decisions": ["yes", "no", "replay", "give_up"], "show": ["$.id"], "four_eyes": true},
             "on": {"yes": "PAID", "no": "REFUSED", "withdraw": "REFUSED", "replay": "PAID", "give_up": "LOST", "park": "PARK"}},
    "PARK": {"on": {"ask": "ASK", "end": "LOST"}},
    "PAID": {"final": "paid"}, "REFUSED": {"final": "refused"}, "LOST": {"final": "lost"}}}');
SELECT version FROM workflow.define('{
  "workflow": "sieve", "owner": "me", "initial": "SORT",
  "states": {
    "SORT":  {"gate": {"value": "$.n", "tiers": [{"at_least": 5, "event": "big"}, {"otherwise": "small"}]},
              "on": {"big": "BIG", "small": "SMALL"}},
    "BIG":   {"final": "big"}, "SMALL": {"final": "small"}}}');
SELECT count(workflow.submit('pay', jsonb_build_object('id', n))) FROM generate_series(1, 8) AS n;

-- a decision is made in its review, not by moving the item where it would lead
\set VERBOSITY terse
UPDATE workflow.item SET state = 'PAID' WHERE key = '1';
\set VERBOSITY sqlstate
INSERT INTO workflow.item SELECT * FROM workflow.item WHERE key = '1' ON CONFLICT (workflow, key) DO UPDATE SET state = 'PAID';
MERGE INTO workflow.item AS i USING (VALUES ('1')) AS v (key) ON i.key = v.key WHEN MATCHED THEN UPDATE SET state = 'PAID';
SELECT workflow.send('pay:1', 'yes');
-- the names of two functions are decisions here: they are not made by these functions either
SELECT workflow.replay('pay:1', 'please');
SELECT workflow.give_up('pay:1', 'please');
\set VERBOSITY default
-- what may be sent leads there by an UPDATE too, and so does cancel
UPDATE workflow.item SET state = 'REFUSED' WHERE key = '1';
UPDATE workflow.item SET state = 'CANCELLED' WHERE key = '2';
SELECT i.key, t.event, t.kind, r.closed_at IS NOT NULL AS closed, r.decision
FROM workflow.item AS i JOIN workflow.transition AS t ON t.item_id = i.item_id AND t.seq = 2
JOIN workflow.review AS r ON r.item_id = i.item_id ORDER BY i.key;
-- a trigger that diverts a decision makes another one
CREATE FUNCTION pg_temp.divert() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.state := 'PAID'; RETURN NEW; END $$;
CREATE TRIGGER divert BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.divert();
\set VERBOSITY sqlstate
SELECT workflow.send('pay:3', 'withdraw');
\set VERBOSITY default
DROP TRIGGER divert ON workflow.item;

-- what a gate decides is not chosen by hand while it waits for its start
SELECT state FROM workflow.submit('sieve', '{"n": 1}', key => 's', run_at => '2100-01-01');
\set VERBOSITY sqlstate
UPDATE workflow.item SET state = 'BIG' WHERE key = 's';
\set VERBOSITY default
UPDATE workflow.item SET state = 'CANCELLED' WHERE key = 's';

-- column by column: what a living item lets a hand change, alone and along with a move
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RAISE EXCEPTION USING ERRCODE = 'P0001';
EXCEPTION
  WHEN raise_exception THEN RETURN 'passed';
  WHEN OTHERS THEN RETURN sqlstate;
END $$;
CREATE FUNCTION pg_temp.other(type regtype) RETURNS text LANGUAGE sql AS $$
  SELECT CASE type WHEN 'jsonb'::regtype THEN '{"changed": 1}' WHEN 'timestamptz'::regtype THEN '2001-01-01'
    WHEN 'text'::regtype THEN 'changed' WHEN 'boolean'::regtype THEN 'true' ELSE '77' END $$;
SELECT a.attname, pg_temp.attempt(format('UPDATE workflow.item SET %I = %L WHERE key = ''3''', a.attname, pg_temp.other(a.atttypid))) AS alone,
       pg_temp.attempt(format('UPDATE workflow.item SET state = ''PARK'', %I = %L WHERE key = ''3''', a.attname, pg_temp.other(a.atttypid))) AS with_move,
       pg_temp.attempt(format('UPDATE workflow.item SET %I = %L WHERE key = ''1''', a.attname, pg_temp.other(a.atttypid))) AS ended
FROM pg_attribute AS a
WHERE a.attrelid = 'workflow.item'::regclass AND a.attnum > 0 AND a.attname <> 'state' ORDER BY a.attnum;

-- a number that only looks the same is a change as well
SELECT pg_temp.attempt('UPDATE workflow.item SET input = ''{"id": 3.0}'' WHERE key = ''3''');

-- a change of data or priority is on record: who, what was there, what is there
UPDATE workflow.item SET data = data || '{"sum": 5, "note": "x"}', labels = '{"a": "b"}' WHERE key = '3';
UPDATE workflow.item SET data = (data - 'note') || '{"sum": 5.0}', priority = 2 WHERE key = '3';
UPDATE workflow.item SET state = 'PARK', data = data || '{"sum": 7}' WHERE key = '3';
UPDATE workflow.item SET labels = '{"c": "d"}', data = data WHERE key = '3';
SELECT actor = current_user AS by_me, action, subject, detail FROM workflow.journal WHERE item_id = 3 ORDER BY journal_id;
SELECT what, detail, actor = current_user AS by_me, data FROM workflow.timeline('pay:3') WHERE what IN ('patch', 'transition') ORDER BY at;
\set VERBOSITY terse
UPDATE workflow.item SET data = '[1]' WHERE key = '3';
UPDATE workflow.item SET input = '{"id": 4}' WHERE key = '3';
UPDATE workflow.item SET paused_at = now() WHERE key = '3';
UPDATE workflow.item SET data = '{}' WHERE key = '1';
\set VERBOSITY default

-- what a trigger slips into the data during a move of the engine is on record too
CREATE FUNCTION pg_temp.slip() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.data := NEW.data || '{"sum": 1000}'; RETURN NEW; END $$;
CREATE TRIGGER slip BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.slip();
SELECT state FROM workflow.send('pay:3', 'end', '{"why": "late"}');
DROP TRIGGER slip ON workflow.item;
SELECT detail FROM workflow.journal WHERE item_id = 3 ORDER BY journal_id DESC LIMIT 1;
SELECT data FROM workflow.item WHERE item_id = 3;

-- the engine's own changes pass, each with its row: pause, resume, replay with a patch
SELECT workflow.pause('pay:4', 'lunch');
SELECT paused_by = current_user AS by_me, pause_reason FROM workflow.item WHERE key = '4';
SELECT workflow.resume('pay:4', 'back');
-- but what a trigger slips in with them is on record all the same
CREATE TRIGGER slip BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.slip();
SELECT workflow.pause('pay:4', 'tea');
SELECT workflow.resume('pay:4', 'back');
DROP TRIGGER slip ON workflow.item;
SELECT action, reason, detail FROM workflow.journal WHERE item_id = 4 ORDER BY journal_id;

-- replay() of a dead letter patches in the name of whoever called it
SELECT version FROM workflow.define('{
  "workflow": "chore", "owner": "me", "initial": "DO",
  "retry": {"default": {"owner": "me", "dead_letter": "desk", "max_attempts": 1}},
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"DO": {"task": {"queue": "desk"}, "timeout": {"after": "1 day", "event": "ok"}, "on": {"ok": "DONE"}},
             "DONE": {"final": "done"}}}');
SELECT item_id FROM workflow.submit('chore', '{"n": 1, "m": 1}') \gset
SELECT workflow.fail(job_id, token, 'permanent', 'no') FROM workflow.claim('desk', 'me', 1, '1 hour');
CREATE ROLE regress_operator;
SELECT workflow.grant_role('regress_operator', 'operator');
GRANT SELECT, UPDATE ON workflow.item TO regress_operator;
SET ROLE regress_operator;
SELECT workflow.replay(:item_id, 'mended', '{"n": 2}');
UPDATE workflow.item SET data = data || '{"m": 2}' WHERE item_id = :item_id;
\set VERBOSITY sqlstate
DELETE FROM workflow.item;
SELECT workflow._set_data(:item_id, '{}', 'somebody else', 'x');
SELECT workflow._set_pause(:item_id, now(), 'somebody else', 'x');
\set VERBOSITY default
RESET ROLE;
SELECT actor, action, reason, detail FROM workflow.journal WHERE item_id = :item_id ORDER BY journal_id;
DROP OWNED BY regress_operator;
DROP ROLE regress_operator;

-- one statement may move many items; each has its row
UPDATE workflow.item SET state = 'PARK' WHERE key IN ('5', '6');
WITH one AS (UPDATE workflow.item SET state = 'ASK' WHERE key = '5' RETURNING 1),
     two AS (UPDATE workflow.item SET state = 'LOST' WHERE key = '5' RETURNING 1)
SELECT (SELECT count(*) FROM one) + (SELECT count(*) FROM two) AS updates;

-- an error that is caught undoes the move with its log, and the next one is judged anew
DO $$
BEGIN
  BEGIN
    PERFORM workflow.send('pay:6', 'ask');
    RAISE 'no';
  EXCEPTION WHEN OTHERS THEN
    NULL;
  END;
  BEGIN
    UPDATE workflow.item SET state = 'PAID' WHERE key = '6';
  EXCEPTION WHEN SQLSTATE 'WF001' THEN
    UPDATE workflow.item SET state = 'LOST' WHERE key = '6';
  END;
END $$;
SELECT current_user = session_user AS still_me, current_setting('search_path') AS path;
SELECT t.seq, t.event, t.kind FROM workflow.item AS i JOIN workflow.transition AS t USING (item_id) WHERE i.key = '6' ORDER BY t.seq;

-- a trigger that fires before the judgement and moves the item on: refused, since a visit would be entered that is over
CREATE FUNCTION pg_temp.hurry() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF NEW.state = 'PARK' THEN
    UPDATE workflow.item SET state = 'LOST' WHERE item_id = NEW.item_id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER "  hurry" AFTER UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.hurry();
\set VERBOSITY terse
UPDATE workflow.item SET state = 'PARK' WHERE key = '7';
SELECT workflow.send('pay:7', 'park');
\set VERBOSITY default
DROP TRIGGER "  hurry" ON workflow.item;
-- so is one by a function in RETURNING
CREATE FUNCTION pg_temp.hurry(bigint) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN UPDATE workflow.item SET state = 'LOST' WHERE item_id = $1; RETURN 'LOST'; END $$;
UPDATE workflow.item SET state = 'PARK' WHERE key = '7' RETURNING pg_temp.hurry(item_id);
-- after it, such a trigger may
CREATE TRIGGER hurry AFTER UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.hurry();
SELECT seq, state FROM workflow.send('pay:7', 'park');
DROP TRIGGER hurry ON workflow.item;
-- a move whose row or whose log somebody swallows has not happened
CREATE FUNCTION pg_temp.swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER swallow BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.swallow();
\set VERBOSITY terse
SELECT workflow.send('pay:8', 'park');
DROP TRIGGER swallow ON workflow.item;
CREATE TRIGGER swallow BEFORE INSERT ON workflow.transition FOR EACH ROW EXECUTE FUNCTION pg_temp.swallow();
SELECT workflow.send('pay:8', 'park');
UPDATE workflow.item SET state = 'PARK' WHERE key = '8';
DROP TRIGGER swallow ON workflow.transition;
CREATE RULE swallow AS ON UPDATE TO workflow.item DO INSTEAD NOTHING;
\set VERBOSITY sqlstate
SELECT workflow.send('pay:8', 'park');
\set VERBOSITY default
DROP RULE swallow ON workflow.item;

-- no state is no state to go to
\set VERBOSITY sqlstate
UPDATE workflow.item SET state = NULL WHERE key = '8';
\set VERBOSITY default

-- what is allowed is told alike by the hint and by where_is()
SELECT allowed_events FROM workflow.where_is('pay:8');
SELECT allowed_events FROM workflow.where_is('pay:7');
CREATE FUNCTION pg_temp.hint(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  EXECUTE statement;
  RETURN 'passed';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN hint;
END $$;
SELECT pg_temp.hint($$SELECT workflow.send('pay:8', 'fly')$$);
SELECT pg_temp.hint($$UPDATE workflow.item SET state = 'PAID' WHERE key = '8'$$);

-- a column that somebody has added is not changed by hand; when it was dropped, nobody minds it
ALTER TABLE workflow.item ADD COLUMN note text DEFAULT 'none';
\set VERBOSITY terse
UPDATE workflow.item SET note = 'x' WHERE key = '8';
\set VERBOSITY default
ALTER TABLE workflow.item DROP COLUMN note;
UPDATE workflow.item SET state = 'PARK' WHERE key = '8';

SELECT i.key, v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
