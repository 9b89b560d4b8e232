--
-- A whole number of a policy may be written as 3.0: what reads it says so, too.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$;
SELECT version FROM workflow.define('{
  "workflow": "w", "owner": "me", "key": ["$.id"], "initial": "WORK",
  "queues": {"q": {"owner": "desk", "sla": "1 hour", "escalate_to": ["lead"]}},
  "retry": {"default": {"max_attempts": 3.0, "timeout": "5 seconds", "dead_letter": "q", "retry_on": ["permanent"]}},
  "states": {"WORK": {"sql": {"function": "work", "queue": "q"}, "on": {"ok": "DONE"}}, "DONE": {"final": "success"}}}');
SELECT state FROM workflow.submit('w', '{"id": 1}');
SELECT waiting_on, max_attempts FROM workflow.where_is('w:1');
SELECT what_next FROM workflow.where_is('w:1');
SELECT f.times FROM unnest(ARRAY['{"reask": 2.0}', '{"reask": {"times": 3.0}}']::jsonb[]) AS s (spec), LATERAL workflow._reask_form(s.spec) AS f;
