--
-- run() that is cancelled: its session lives, and nobody died.
--
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SCHEMA app;
CREATE FUNCTION app.slow(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep((data ->> 'seconds')::float); RETURN NULL; END $$;
SELECT version FROM workflow.define('{
  "workflow": "slow", "owner": "me", "initial": "ACT",
  "retry": {"default": {"max_attempts": 1, "timeout": "1 hour"}},
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ACT": {"sql": {"function": "app.slow", "queue": "work"}, "timeout": {"after": "1 day", "event": "error"},
            "on": {"ok": "DONE", "error": "BAD"}},
    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}');
SELECT state FROM workflow.submit('slow', '{"seconds": 60}', key => '1');
SELECT pg_backend_pid() AS pid \gset
SET statement_timeout = '300ms';
CALL workflow.run();
RESET statement_timeout;
SELECT status, attempt FROM workflow.job;

-- the session ends in peace, and the job that it did not get done is charged nothing
\c -
SET client_min_messages = warning;
SELECT set_config('test.pid', :'pid', false) = '' AS empty;
DO $$ BEGIN
  WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = current_setting('test.pid')::int) LOOP
    PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
  END LOOP;
END $$;
CREATE OR REPLACE FUNCTION app.slow(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT NULL::jsonb $$;
CALL workflow.run();
SELECT key, state FROM workflow.items;
SELECT attempt, outcome, error_class, message FROM workflow.attempts;
