--
-- migrate(): what belongs to a visit that goes on is that of the state where it
-- is now; a deadline and an SLA are those of the other version; and an item that
-- cannot be moved for now is left as it is.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.invalid', dedup 'key');
CREATE SERVER mail FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://mail.invalid', dedup 'none', owner 'support');
CREATE FUNCTION document(changes text[]) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  d text := '{
  "workflow": "w", "owner": "me", "initial": "START", "key": "$.id",
  "retry": {"default": {"owner": "me", "max_attempts": 3, "backoff": {"initial": "1 hour", "jitter": "none"}}},
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "START": {"on": {"task": "TASK", "ask": "ASK", "call": "CALL", "idle": "IDLE"}},
    "TASK":  {"task": {"queue": "desk"}, "sla": "1 hour", "on": {"ok": "DONE", "error": "DONE"}},
    "ASK":   {"review": {"queue": "desk", "decisions": ["yes"]}, "on": {"yes": "DONE"}},
    "CALL":  {"http": {"endpoint": "crm", "queue": "desk", "method": "POST", "path": "/x", "body": {}, "key": ["$.id"]},
              "on": {"ok": "DONE", "error": "DONE"}},
    "IDLE":  {"timeout": "1 day", "on": {"go": "DONE", "timeout": "DONE", "late": "DONE"}},
    "SORT":  {"gate": {"value": "$.n", "tiers": [{"otherwise": "ok"}]}, "on": {"ok": "DONE"}},
    "DONE":  {"final": "done"}}}';
BEGIN
  FOR i IN 1 .. cardinality(changes) / 2 LOOP
    d := replace(d, changes[2 * i - 1], changes[2 * i]);
  END LOOP;
  RETURN d;
END $$;
SELECT ARRAY['"TASK"', '"DOING"', '"ASK"', '"ASKING"', '"CALL"', '"CALLING"'] AS names \gset
SELECT version FROM workflow.define(document('{}'));
SELECT version FROM workflow.define(document(:'names'::text[] || ARRAY['"sla": "1 hour", "on"', '"sla": "2 hours", "on"',
                                                                        '"timeout": "1 day"', '"timeout": {"after": "1 day", "event": "late"}']));
SELECT version FROM workflow.define(document(:'names'::text[] || ARRAY['"sla": "1 hour", "on"', '"on"', '"timeout": "1 day", ', '']));
SELECT version FROM workflow.define(document(:'names'::text[] || ARRAY['"timeout": "1 day"', '"timeout": "2 hours"']));
SELECT workflow.activate('w', 1);
SET pg_workflow.clock = '2030-01-01 00:00+00';
SELECT count(workflow.submit('w', jsonb_build_object('id', k))) FROM unnest('{task,ask,call,idle}'::text[]) AS k;
SELECT count(workflow.send('w:' || k, k)) FROM unnest('{task,ask,call,idle}'::text[]) AS k;
CREATE VIEW standing AS
  SELECT i.key, i.version AS v, i.state, i.since AT TIME ZONE 'UTC' AS since, j.state AS job, e.item_state AS effect, r.state AS review, s.state AS sla, s.seq = i.seq AS of_visit,
         s.due_at AT TIME ZONE 'UTC' AS sla_due, t.event, t.due_at AT TIME ZONE 'UTC' AS due, v.problem
  FROM workflow.item AS i
  LEFT JOIN workflow.job AS j ON j.item_id = i.item_id AND j.seq = i.seq
  LEFT JOIN workflow.effect AS e ON e.item_id = i.item_id
  LEFT JOIN workflow.review AS r ON r.item_id = i.item_id AND r.closed_at IS NULL
  LEFT JOIN workflow.visit_sla AS s ON s.item_id = i.item_id AND s.left_at IS NULL
  LEFT JOIN workflow.timer AS t ON t.item_id = i.item_id AND t.kind = 'timeout',
  workflow.verify(i.item_id) AS v ORDER BY i.item_id;

-- states of other names that do the same; another SLA; another event of a timeout that is as long
SET pg_workflow.clock = '2030-01-01 00:30+00';
SELECT state, target, verdict, items FROM workflow.migrate('w', 1, 2, '{"TASK": "DOING", "ASK": "ASKING", "CALL": "CALLING"}', false);
SELECT * FROM standing;
SELECT at AT TIME ZONE 'UTC' AS at, event, to_state FROM workflow.transition WHERE item_id = workflow._item_id('w:task') ORDER BY seq;
-- no SLA and no timeout any more
SELECT state, verdict, items FROM workflow.migrate('w', 2, 3, dry_run => false);
SELECT * FROM standing;
-- a timeout that was none counts from entry
SELECT state, verdict, items FROM workflow.migrate('w', 3, 4, dry_run => false);
SELECT * FROM standing;

-- a dry run says, too, which are left for a later call
SELECT state, verdict, items FROM workflow.migrate('w', 4, 3, max_items => 3);

-- what is paused, or whose workflow is, is left where it would be decided at once
SELECT workflow.pause('w:idle', 'lunch');
SELECT state, verdict, problem FROM workflow.migrate('w', 4, 1, '{"DOING": "START", "ASKING": "START", "CALLING": "START", "IDLE": "SORT"}') WHERE state = 'IDLE';
SELECT workflow.resume('w:idle');
SELECT workflow.pause_workflow('w', 'lunch');
SELECT state, verdict, problem FROM workflow.migrate('w', 4, 1, '{"DOING": "START", "ASKING": "START", "CALLING": "START", "IDLE": "SORT"}') WHERE state = 'IDLE';
SELECT workflow.resume_workflow('w');

-- what fails as it is entered is left as it was
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not there' USING HINT = 'Ask me.'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON workflow.item FOR EACH ROW WHEN (NEW.state = 'ASK') EXECUTE FUNCTION refuse();
SELECT state, target, verdict, items, problem, hint FROM workflow.migrate('w', 4, 1, '{"DOING": "TASK", "ASKING": "ASK", "CALLING": "CALL"}', false);
DROP TRIGGER refuse ON workflow.item;
SELECT key, v, state, problem FROM standing;

-- an effect that the worker of a task has begun, and of which nothing is known yet
SELECT job_id, token FROM workflow.claim('desk', 'me', 1, '1 hour') \gset
SELECT effect_id, token AS effect_token, verdict FROM workflow.begin_effect('mail', 'hello', '{"to": "a"}', workflow._item_id('w:task')) \gset
SELECT :'verdict' AS verdict, workflow.release(:job_id, :'token') IS NOT NULL AS released;
SELECT state, verdict, problem FROM workflow.migrate('w', 1, 4, '{"TASK": "DOING", "ASK": "ASKING", "CALL": "CALLING"}', false) WHERE state = 'TASK';
SELECT workflow.finish_effect(:effect_id, :'effect_token', 'applied');
SELECT state, verdict, problem FROM workflow.migrate('w', 1, 4, '{"TASK": "DOING", "ASK": "ASKING", "CALL": "CALLING"}', false) WHERE state = 'TASK';

-- a call that is made again, and may have been applied the first time
BEGIN;
SELECT workflow.mock('crm', '{"failure": "dropped"}');
SELECT state FROM workflow.submit('w', '{"id": "lost"}');
SELECT state FROM workflow.send('w:lost', 'call');
CALL workflow.run();
SELECT state, attempts FROM workflow.effects WHERE key = 'lost';
SELECT state, verdict, problem FROM workflow.migrate('w', 1, 4, '{"TASK": "DOING", "ASK": "ASKING", "CALL": "CALLING"}', false) WHERE state = 'CALL';
ROLLBACK;

-- a state that waits for what was done to be taken back: nothing was, so that it goes on
SELECT version FROM workflow.define('{"workflow": "c", "owner": "me", "initial": "A", "states": {"A": {"on": {"go": "B"}}, "B": {"final": "done"}}}');
SELECT version FROM workflow.define('{"workflow": "c", "owner": "me", "initial": "A", "states": {"A": {"on": {"go": "B", "compensated": "B"}}, "B": {"final": "done"}}}');
SELECT workflow.activate('c', 1);
SELECT state FROM workflow.submit('c', '{}', key => '1');
SELECT state, verdict FROM workflow.migrate('c', 1, 2, dry_run => false);
CALL workflow.run();
SELECT state FROM workflow.items WHERE workflow = 'c';
RESET pg_workflow.clock;

-- an event that was kept fires in the other version, but not before the item begins
SELECT version FROM workflow.define('{"workflow": "k", "owner": "me", "initial": "A", "states": {"A": {"on": {"go": "B"}}, "B": {"on": {"stop": "C"}}, "C": {"final": "done"}}}');
SELECT version FROM workflow.define('{"workflow": "k", "owner": "me", "initial": "A", "states": {"A": {"on": {"go": "B", "stop": "C"}}, "B": {"on": {"stop": "C"}}, "C": {"final": "done"}}}');
SELECT workflow.activate('k', 1);
SELECT state FROM workflow.submit('k', '{}', key => '1', run_at => '2100-01-01');
SELECT state FROM workflow.send('k:1', 'stop');
SELECT state, verdict, kept_events FROM workflow.migrate('k', 1, 2, dry_run => false);
SELECT state FROM workflow.items WHERE workflow = 'k';
SET pg_workflow.clock = '2100-01-02';
CALL workflow.run();
SELECT state FROM workflow.items WHERE workflow = 'k';
RESET pg_workflow.clock;

-- only a start that was put off is put off in the other version, too: no retry, and no job that was rescheduled later on
SELECT d.version FROM unnest('{"$.n","$.m"}'::text[]) AS p, workflow.define(format('{"workflow": "r", "owner": "me", "initial": "A",
  "queues": {"trial": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "retry": {"default": {"owner": "me", "max_attempts": 3, "backoff": {"initial": "1 hour", "jitter": "none"}, "retry_on": ["timeout"]}},
  "states": {"A": {"task": {"queue": "trial", "payload": "%1$s"}, "on": {"ok": "B", "error": "C"}}, "B": {"task": {"queue": "trial", "payload": "%1$s"}, "on": {"ok": "C", "error": "C"}},
             "C": {"final": "done"}}}', p)::json) AS d;
SELECT workflow.activate('r', 1);
SET pg_workflow.clock = '2030-01-01 00:00+00';
SELECT count(workflow.submit('r', '{}', key => k)) FROM unnest('{tried,later}'::text[]) AS k;
SELECT count(*) FROM workflow.claim('trial', 'me', 2, '1 hour');
-- nor where no time passes between the visits
SELECT count(workflow.submit('r', '{}', key => k, run_at => '2030-01-03 00:00+00')) FROM unnest('{first,second}'::text[]) AS k;
SELECT state FROM workflow.send('r:second', 'ok');
SELECT workflow.reschedule_job(job_id, '2030-01-02 00:00+00') IS NOT NULL AS rescheduled FROM workflow.job WHERE item_id = workflow._item_id('r:second');
SET pg_workflow.clock = '2030-01-01 00:01+00';
SELECT workflow.fail(job_id, token, 'timeout', 'slow') FROM workflow.job WHERE item_id = workflow._item_id('r:tried');
SELECT workflow.complete(job_id, token) FROM workflow.job WHERE item_id = workflow._item_id('r:later');
SELECT workflow.reschedule_job(job_id, '2030-01-02 00:00+00') IS NOT NULL AS rescheduled FROM workflow.job WHERE item_id = workflow._item_id('r:later');
SELECT i.key, j.attempt, j.run_at AT TIME ZONE 'UTC' AS run_at FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'r' ORDER BY 1;
SELECT state, verdict, items FROM workflow.migrate('r', 1, 2, dry_run => false);
SELECT i.key, j.attempt, j.run_at AT TIME ZONE 'UTC' AS run_at FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'r' ORDER BY 1;
RESET pg_workflow.clock;
