--
-- An activity does not call run(): activities of others would run amid what it
-- has in the session, and its own time limit would be theirs.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_thief;
CREATE ROLE regress_victim;
SELECT workflow.grant_role('regress_thief', 'designer'), workflow.grant_role('regress_victim', 'designer');
CREATE SCHEMA thief AUTHORIZATION regress_thief;
CREATE SCHEMA victim AUTHORIZATION regress_victim;
CREATE FUNCTION document(name text) RETURNS json LANGUAGE sql AS
$$ SELECT json_build_object('workflow', name, 'owner', 'me', 'initial', 'ACT',
  'retry', json_build_object('default', json_build_object('max_attempts', 1, 'timeout', '500 milliseconds')),
  'queues', json_build_object(name, json_build_object('owner', 'me', 'sla', '1 hour', 'escalate_to', '["you"]'::json)),
  'states', json_build_object(
    'ACT', json_build_object('sql', json_build_object('function', name || '.act', 'queue', name),
                             'timeout', '{"after": "1 hour", "event": "error"}'::json,
                             'on', '{"ok": "DONE", "error": "BAD"}'::json),
    'DONE', '{"final": "done"}'::json, 'BAD', '{"final": "bad"}'::json)) $$;

-- one uses a temporary table, as it may
SET ROLE regress_victim;
CREATE FUNCTION victim.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN
  CREATE TEMP TABLE IF NOT EXISTS work (n int);
  INSERT INTO work VALUES (1);
  DROP TABLE IF EXISTS pg_temp.none;
  RETURN NULL;
END $$;
SELECT version FROM workflow.define(document('victim'));

-- another one puts its own in the way, whose trigger notes whose rights it has
SET ROLE regress_thief;
CREATE TABLE thief.loot (who name);
GRANT USAGE ON SCHEMA thief TO PUBLIC;
GRANT INSERT ON thief.loot TO PUBLIC;
CREATE FUNCTION thief.take() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO thief.loot VALUES (current_user); RETURN NEW; END $$;
CREATE FUNCTION thief.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN
  IF data ->> 'do' = 'steal' THEN
    CREATE TEMP TABLE work (n int);
    GRANT ALL ON work TO PUBLIC;
    CREATE TRIGGER take BEFORE INSERT ON work FOR EACH ROW EXECUTE FUNCTION thief.take();
    PERFORM workflow.submit('victim', '{}', key => '1');
    CALL workflow.run();
    DROP TABLE work;
  ELSIF data ->> 'do' = 'linger' THEN
    PERFORM workflow.submit('thief', '{}', key => '3');
    CALL workflow.run();
    PERFORM pg_sleep(1);
  END IF;
  RETURN NULL;
END $$;
SELECT version FROM workflow.define(document('thief'));
SELECT state FROM workflow.submit('thief', '{"do": "steal"}', key => '1');
SELECT state FROM workflow.submit('thief', '{"do": "linger"}', key => '2');
RESET ROLE;
CALL workflow.run();
SELECT who FROM thief.loot;
SELECT i.workflow, i.key, i.state, t.reason FROM workflow.item AS i
JOIN workflow.transition AS t USING (item_id, seq) ORDER BY i.workflow, i.key;

-- nor does a function with the rights of its owner, amid what that has in the session
SET ROLE regress_thief;
CREATE FUNCTION thief.lend() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN
  CREATE TEMP TABLE work (n int);
  GRANT ALL ON work TO PUBLIC;
  CREATE TRIGGER take BEFORE INSERT ON work FOR EACH ROW EXECUTE FUNCTION thief.take();
  PERFORM workflow.submit('victim', '{}', key => '2');
  CALL workflow.run();
END $$;
RESET ROLE;
SELECT thief.lend();
SELECT who FROM thief.loot;

DROP SCHEMA thief, victim CASCADE;
DROP OWNED BY regress_thief, regress_victim;
DROP ROLE regress_thief, regress_victim;
