--
-- Deferred triggers: each fires as whoever put it off, and run() leaves the
-- constraints of its caller as they are declared.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_definer;
CREATE ROLE regress_operator;
SELECT workflow.grant_role('regress_definer', 'designer');
SELECT workflow.grant_role('regress_operator', 'operator');
CREATE SCHEMA app AUTHORIZATION regress_definer;
CREATE SCHEMA mine AUTHORIZATION regress_operator;
CREATE TABLE fired (what text, who name);
GRANT INSERT ON fired TO PUBLIC;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO public.fired VALUES (TG_TABLE_NAME, current_user); RETURN NULL; END $$;

SET ROLE regress_definer;
CREATE TABLE app.note (n int PRIMARY KEY);
CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON app.note DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TABLE app.line (n int, CONSTRAINT line_unique UNIQUE (n) DEFERRABLE INITIALLY IMMEDIATE);
CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN EXECUTE data ->> 'sql'; RETURN NULL; END $$;
SELECT version FROM workflow.define('{
  "workflow": "guest", "owner": "me", "initial": "ACT",
  "retry": {"default": {"max_attempts": 1}},
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ACT": {"sql": {"function": "app.act", "queue": "work"}, "timeout": {"after": "1 hour", "event": "error"},
            "on": {"ok": "DONE", "error": "BAD"}},
    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}');
RESET ROLE;
SET ROLE regress_operator;
CREATE TABLE mine.own (n int);
CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON mine.own DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TABLE mine.line (n int, CONSTRAINT mine_unique UNIQUE (n) DEFERRABLE INITIALLY IMMEDIATE);
CREATE FUNCTION mine.submit(sql text) RETURNS text LANGUAGE sql AS
$$ SELECT state FROM workflow.submit('guest', jsonb_build_object('sql', sql), key => sql) $$;

-- what the caller put off before run() fires as the caller, what an activity puts off as its definer
BEGIN;
INSERT INTO mine.own VALUES (1);
SELECT mine.submit('INSERT INTO app.note VALUES (1)');
CALL workflow.run();
RESET ROLE;
SELECT what, who FROM fired ORDER BY what;
SELECT key, state FROM workflow.items ORDER BY key;

-- afterwards constraints are deferred, or not, as they are declared
SET ROLE regress_operator;
INSERT INTO mine.own VALUES (2);
RESET ROLE;
SELECT count(*) AS still_one FROM fired WHERE what = 'own';
SAVEPOINT s;
INSERT INTO mine.line VALUES (1), (1);
ROLLBACK TO s;
ROLLBACK;

-- also where a name is that of two constraints, one of which is checked at once
SET ROLE regress_operator;
CREATE TABLE mine.twin (n int);
CREATE CONSTRAINT TRIGGER mine_unique AFTER INSERT ON mine.twin DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION tell();
BEGIN;
SELECT mine.submit('SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED');
CALL workflow.run();
INSERT INTO mine.twin VALUES (1);
RESET ROLE;
SELECT count(*) AS none FROM fired;
ROLLBACK;
DROP TABLE mine.twin;

-- an activity's SET CONSTRAINTS ends with the activity
SET ROLE regress_operator;
BEGIN;
SELECT mine.submit('SET CONSTRAINTS ALL DEFERRED');
CALL workflow.run();
INSERT INTO mine.line VALUES (1), (1);
ROLLBACK;
BEGIN;
SELECT mine.submit('SET CONSTRAINTS ALL IMMEDIATE');
CALL workflow.run();
INSERT INTO mine.own VALUES (3);
RESET ROLE;
SELECT count(*) AS none FROM fired;
ROLLBACK;

-- one activity does not change how the next one's constraints are checked
SET ROLE regress_operator;
SELECT mine.submit('SET CONSTRAINTS ALL DEFERRED');
SELECT mine.submit('INSERT INTO app.note VALUES (3)');
SELECT mine.submit('INSERT INTO app.line VALUES (1), (1)');
CALL workflow.run();
RESET ROLE;
SELECT i.key, i.state, t.reason FROM workflow.item AS i
JOIN workflow.transition AS t USING (item_id, seq) ORDER BY key;
SELECT a.detail ->> 'context' LIKE '%PL/pgSQL function app.act%' AS checked_at_once
FROM workflow.attempt AS a WHERE a.outcome = 'dead';

-- inside a SECURITY DEFINER function nobody can tell whose triggers are pending
SET ROLE regress_definer;
CREATE FUNCTION app.run_it() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN CALL workflow.run(); END $$;
GRANT USAGE ON SCHEMA app TO regress_operator;
SET ROLE regress_operator;
BEGIN;
INSERT INTO mine.own VALUES (4);
\set VERBOSITY terse
SELECT app.run_it();
\set VERBOSITY default
ROLLBACK;
SELECT app.run_it();
RESET ROLE;
SELECT what, who FROM fired ORDER BY what;

DROP SCHEMA app, mine CASCADE;
DROP OWNED BY regress_definer, regress_operator;
DROP ROLE regress_definer, regress_operator;
