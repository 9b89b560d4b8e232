--
-- What may have been applied and is to be done again by nobody but its caller: health(),
-- where_is() and own_effects say so, with the call that ends it.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER mail FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://mail.example.com', dedup 'key', owner 'post');
CREATE ROLE regress_doubt_worker;
SELECT workflow.grant_role('regress_doubt_worker', 'worker');
GRANT USAGE ON FOREIGN SERVER mail TO regress_doubt_worker;
SELECT version FROM workflow.define('{
  "workflow": "w", "owner": "me", "key": ["$.id"], "initial": "WORK",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"WORK": {"task": {"queue": "q"}, "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT count(workflow.submit('w', '{"id": "a"}'));
SET ROLE regress_doubt_worker;
SELECT job_id, token AS claim FROM workflow.claim('q', 'me', 1, '1 hour') \gset
SELECT effect_id, token FROM workflow.begin_effect('mail', 'letter:1', '{}', 'w:a') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
SELECT state, substate, regexp_replace(reason, '\d+', 'N', 'g') AS reason FROM workflow.own_effects;
SELECT workflow.release(:job_id, :'claim');
RESET ROLE;

-- the task waits for a worker, and what it has left open is said
SELECT waiting_on, regexp_replace(waiting_detail, '\d+', 'N', 'g') AS waiting_detail FROM workflow.where_is('w:a');
SELECT "check", ok, severity, detail, regexp_replace(hint, '\d+', 'N', 'g') AS hint FROM workflow.health() WHERE "check" = 'effects_in_doubt';
-- when nobody has come for it
UPDATE workflow.effect SET next_at = now() - interval '2 minutes';
SELECT "check", ok, severity, detail, regexp_replace(hint, '\d+', 'N', 'g') AS hint FROM workflow.health() WHERE "check" = 'effects_in_doubt';
-- nor does it end with its item
SELECT workflow.cancel('w:a', 'over');
SELECT waiting_on, regexp_replace(waiting_detail, '\d+', 'N', 'g') AS waiting_detail, owner FROM workflow.where_is('w:a');
-- a call that has a job is sent again by itself
SELECT workflow.call('mail', 'POST', '/', '{}', 'call:1') > 0 AS called;
UPDATE workflow.effect SET unknown_attempts = 1, next_at = now() - interval '2 minutes' WHERE kind = 'call';
SELECT detail FROM workflow.health() WHERE "check" = 'effects_in_doubt';

SELECT workflow.resolve(:effect_id, 'applied', 'seen');
SELECT "check", ok, severity, detail FROM workflow.health() WHERE "check" = 'effects_in_doubt';
SELECT waiting_on, waiting_detail FROM workflow.where_is('w:a');
DROP OWNED BY regress_doubt_worker;
DROP ROLE regress_doubt_worker;
