--
-- A sql activity runs as the definer and leaves nothing behind in the session.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_definer;
GRANT USAGE ON SCHEMA workflow TO regress_definer;
GRANT EXECUTE ON FUNCTION workflow.define(json) TO regress_definer;
CREATE SCHEMA app AUTHORIZATION regress_definer;
SET ROLE regress_definer;
CREATE TABLE app.seen (who text, path text);
CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN
  INSERT INTO seen VALUES (current_user, current_setting('search_path'));
  EXECUTE coalesce(data ->> 'sql', 'SELECT 1');
  RETURN NULL;
END $$;
-- fires when the activity ends, as the definer too, and cannot put anything off further
CREATE TABLE app.note (n int);
CREATE FUNCTION app.later() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  INSERT INTO app.seen VALUES ('deferred: ' || current_user, NULL);
  IF NEW.n > 1 THEN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO app.note VALUES (NEW.n - 1);
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON app.note DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION app.later();
SELECT workflow.define('{
  "workflow": "guest", "owner": "me", "initial": "ACT",
  "retry": {"default": {"owner": "me", "dead_letter": "work", "max_attempts": 1, "timeout": "5 seconds",
            "backoff": {"initial": "1 second", "factor": 2, "max": "1 minute", "jitter": "none"},
            "retry_on": ["timeout"], "alert_after": 1}},
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ACT": {"sql": {"function": "app.act", "queue": "work"}, "timeout": {"after": "1 hour", "event": "error"},
            "on": {"ok": "DONE", "error": "BAD"}},
    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}');
RESET ROLE;

BEGIN;
SELECT count(workflow.submit('guest', jsonb_build_object('sql', sql), key => n::text))
FROM unnest(ARRAY[
  'SELECT 1',
  'INSERT INTO app.note VALUES (1)',
  'INSERT INTO app.note VALUES (2)',
  'CREATE TEMP TABLE left_behind (n int)',
  'CREATE TABLE pg_temp.left_behind (n int)',
  'CREATE TEMP TABLE left_behind AS SELECT 1 AS n',
  'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
  'PREPARE p AS SELECT 1',
  'LISTEN something',
  'SET search_path = app',
  'SET ROLE postgres',
  'RESET SESSION AUTHORIZATION',
  'DELETE FROM workflow.transition']) WITH ORDINALITY AS s (sql, n);
CALL workflow.run();
SELECT i.data ->> 'sql' AS sql, i.state, t.reason
FROM workflow.item AS i JOIN workflow.transition AS t ON t.item_id = i.item_id AND t.seq = i.seq
ORDER BY i.item_id;
SELECT DISTINCT who, path FROM app.seen ORDER BY who;
SHOW search_path;
COMMIT;

DROP SCHEMA app CASCADE;
REVOKE ALL ON FUNCTION workflow.define(json) FROM regress_definer;
REVOKE ALL ON SCHEMA workflow FROM regress_definer;
DROP ROLE regress_definer;
