--
-- Transitions: whoever writes, only what the definition declares passes, and
-- everything that passes is logged.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT * FROM workflow.define('{
  "workflow": "door", "initial": "CLOSED", "owner": "janitor",
  "states": {
    "CLOSED": {"on": {"open": "OPEN", "lock": "LOCKED"}},
    "OPEN":   {"on": {"close": "CLOSED", "slam": "CLOSED", "knock": "OPEN", "break": "RUBBLE"}},
    "LOCKED": {"on": {"unlock": "CLOSED"}},
    "RUBBLE": {"final": "gone"}}}');
SELECT item_id FROM workflow.submit('door', '{}', key => 'front') \gset

-- a legal UPDATE moves and is logged as direct, with the event that leads there
UPDATE workflow.item SET state = 'OPEN', labels = '{"by": "hand"}' WHERE item_id = :item_id;
SELECT state, seq, labels FROM workflow.item WHERE item_id = :item_id;
SELECT seq, from_state, event, to_state, kind, actor = current_user AS by_me FROM workflow.transition ORDER BY seq;

-- so is an event that leads back to the same state
SELECT * FROM workflow.send(:item_id, 'knock');

-- an illegal one is refused, and so is an unknown state
\set VERBOSITY sqlstate
UPDATE workflow.item SET state = 'LOCKED' WHERE item_id = :item_id;
UPDATE workflow.item SET state = 'AJAR' WHERE item_id = :item_id;
\set VERBOSITY terse
UPDATE workflow.item SET state = 'LOCKED' WHERE item_id = :item_id;
\set VERBOSITY default

-- what a transition stamps and what names the item are not changed by hand
\set VERBOSITY sqlstate
UPDATE workflow.item SET seq = 77;
UPDATE workflow.item SET state = 'CLOSED', seq = 77;
UPDATE workflow.item SET since = 'infinity';
UPDATE workflow.item SET outcome = 'gone';
UPDATE workflow.item SET origin = 'CLOSED';
UPDATE workflow.item SET key = 'back';
UPDATE workflow.item SET version = 2;
UPDATE workflow.item SET workflow = 'window';
UPDATE workflow.item SET item_id = item_id + 1;
UPDATE workflow.item SET submitted_by = 'somebody else';
UPDATE workflow.item SET event_id = 'another';
UPDATE workflow.item SET input = '{}', input_ref = 'x';
\set VERBOSITY default

-- the rest may be
UPDATE workflow.item SET data = '{"colour": "red"}', priority = 5;
SELECT seq, data, priority FROM workflow.item;

-- judged is the row as it is stored: another trigger may have changed it
CREATE FUNCTION pg_temp.divert() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.state := TG_ARGV[0]; RETURN NEW; END $$;
CREATE TRIGGER divert BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.divert('LOCKED');
\set VERBOSITY sqlstate
UPDATE workflow.item SET state = 'CLOSED';
SELECT workflow.send(:item_id, 'close');
\set VERBOSITY default
DROP TRIGGER divert ON workflow.item;
CREATE TRIGGER divert BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.divert('RUBBLE');
SELECT state FROM workflow.send(:item_id, 'close');
DROP TRIGGER divert ON workflow.item;
SELECT seq, from_state, event, to_state, kind FROM workflow.transition ORDER BY seq;
SELECT state, outcome FROM workflow.item;
SELECT * FROM workflow.verify('door:front');

-- the log is append-only
\set VERBOSITY sqlstate
UPDATE workflow.transition SET reason = 'better';
DELETE FROM workflow.transition;
TRUNCATE workflow.transition;
TRUNCATE workflow.transition_01;
\set VERBOSITY default

-- a restoring INSERT is not judged; verify says what is wrong with it
INSERT INTO workflow.item (item_id, workflow, version, key, state, since, seq, received_at, submitted_by, route, data)
VALUES (1000, 'door', 1, 'restored', 'LOCKED', now(), 3, now(), 'dump', 'restored', '{}');
SELECT * FROM workflow.verify(1000);

-- nor is what a superuser does past the triggers; verify finds that too
SELECT item_id FROM workflow.submit('door', '{}', key => 'side') \gset
SET session_replication_role = replica;
UPDATE workflow.item SET state = 'LOCKED' WHERE item_id = :item_id;
\set VERBOSITY sqlstate
SELECT workflow.send(:item_id, 'unlock');
\set VERBOSITY default
RESET session_replication_role;
SELECT * FROM workflow.verify(:item_id);
INSERT INTO workflow.transition (item_id, seq, from_state, event, to_state, kind, actor, at, version)
VALUES (:item_id, 2, 'CLOSED', 'unlock', 'LOCKED', 'send', 'me', now(), 1);
SELECT * FROM workflow.verify(:item_id);

-- an error undoes move and log alike
BEGIN;
SELECT item_id FROM workflow.submit('door', '{}', key => 'back') \gset
SAVEPOINT before;
SELECT state FROM workflow.send(:item_id, 'open');
SELECT workflow.send(:item_id, 'lock');
\set VERBOSITY sqlstate
SELECT workflow.send(:item_id, 'fly');
\set VERBOSITY default
ROLLBACK TO before;
SELECT state, seq FROM workflow.item WHERE item_id = :item_id;
SELECT count(*) FROM workflow.transition WHERE item_id = :item_id;
SELECT state FROM workflow.send(:item_id, 'lock');
COMMIT;
SELECT * FROM workflow.verify(:item_id);

-- a role that may only update the table moves items all the same, and is named
CREATE ROLE regress_orm;
GRANT USAGE ON SCHEMA workflow TO regress_orm;
GRANT SELECT, UPDATE ON workflow.item TO regress_orm;
SET ROLE regress_orm;
UPDATE workflow.item SET state = 'CLOSED' WHERE key = 'back';
\set VERBOSITY sqlstate
UPDATE workflow.item SET state = 'OPEN' WHERE key = 'restored';
SELECT * FROM workflow.transition;
SELECT workflow._move(1, 'open', 'send', 'somebody else', NULL, NULL, NULL);
\set VERBOSITY default
RESET ROLE;
SELECT event, kind, actor FROM workflow.transition WHERE item_id = :item_id ORDER BY seq DESC LIMIT 1;
DROP OWNED BY regress_orm;
DROP ROLE regress_orm;
