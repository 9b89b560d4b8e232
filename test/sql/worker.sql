--
-- Worker: run() in the caller's session, with and without a transaction; what
-- health() says; who may call what.  No background worker runs here.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SCHEMA app;
CREATE TABLE app.step (item_id bigint, name text);
CREATE FUNCTION app.check_order(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO app.step VALUES (item_id, data->>'order');
  IF data->>'order' = 'bad' THEN
    RAISE EXCEPTION 'this order is bad';
  END IF;
  RETURN jsonb_build_object('user', current_user);
END $$;
SELECT workflow, version FROM workflow.define('{
  "workflow": "orders", "owner": "sales", "initial": "RECEIVED", "key": ["$.order"],
  "retry": {"default": {"owner": "sales", "max_attempts": 2, "backoff": {"initial": "1 hour", "jitter": "none"},
            "retry_on": ["permanent"]}},
  "queues": {"checks": {"owner": "sales", "sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {
    "RECEIVED": {"sql": {"function": "app.check_order", "queue": "checks"}, "as": "checked",
                 "on": {"ok": "RESTING", "error": "FAILED"}},
    "RESTING":  {"wait": {"for": "1 day"}, "on": {"ok": "DONE"}},
    "DONE":     {"final": "success"},
    "FAILED":   {"final": "failure"}}}');
CREATE VIEW app.orders AS SELECT key, state FROM workflow.items ORDER BY key;
GRANT USAGE ON SCHEMA app TO PUBLIC;

-- inside a transaction: only what the transaction wrote, and nothing is committed
SELECT state FROM workflow.submit('orders', '{"order": "before"}');
BEGIN;
SELECT state FROM workflow.submit('orders', '{"order": "inside"}');
CALL workflow.run();
SELECT * FROM app.orders;
SET LOCAL pg_workflow.clock = '2100-01-01';
CALL workflow.run();
SELECT * FROM app.orders;
SELECT name FROM app.step;
ROLLBACK;
SELECT * FROM app.orders;
SELECT count(*) AS steps FROM app.step;

-- outside: everything that is due, committed step by step
SELECT state FROM workflow.submit('orders', '{"order": "bad"}');
CALL workflow.run();
SELECT * FROM app.orders;
SELECT name FROM app.step ORDER BY name;
SELECT data->'checked' AS checked FROM workflow.items WHERE key = 'before';

-- the second attempt and the timer are due later; time moves by a setting
CALL workflow.run('1 second');
SET pg_workflow.clock = '2100-01-01';
CALL workflow.run();
SELECT * FROM app.orders;
RESET pg_workflow.clock;
SELECT key, kind, attempt, worker LIKE 'pg_workflow run %' AS by_run, a.outcome, a.error_class
FROM workflow.attempt AS a JOIN workflow.item AS i USING (item_id) ORDER BY key, attempt;
SELECT actor, event FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id)
WHERE i.key = 'before' ORDER BY t.seq;
SELECT v.ok FROM workflow.items AS i, workflow.verify(i.item_id) AS v;

-- from a procedure and from a DO block it commits too
DO $$ BEGIN CALL workflow.run(); END $$;

-- where nothing may be written nothing can be done, and that is said
SET default_transaction_read_only = on;
CALL workflow.run();
RESET default_transaction_read_only;

-- what is wired up here
SELECT "check", ok, severity, hint FROM workflow.health() WHERE "check" NOT IN ('preloaded', 'worker_processes');
SELECT count(*) AS workers FROM workflow.workers WHERE kind <> 'launcher';

-- who may
CREATE ROLE regress_worker_visitor;
CREATE ROLE regress_worker_operator;
SELECT workflow.grant_role('regress_worker_operator', 'operator');
SET ROLE regress_worker_visitor;
CALL workflow.run();
SELECT workflow.start_workers();
SELECT * FROM workflow.health();
RESET ROLE;
SET ROLE regress_worker_operator;
CALL workflow.run();
SELECT count(*) > 0 AS has_checks FROM workflow.health();
SELECT count(*) AS workers FROM workflow.workers WHERE kind <> 'launcher';
RESET ROLE;

DROP OWNED BY regress_worker_operator;
DROP EXTENSION pg_workflow CASCADE;
DROP SCHEMA app CASCADE;
DROP ROLE regress_worker_visitor, regress_worker_operator;
