--
-- What is many, stands still or was given in another form hides nothing else that is wrong.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow.create_queue('mail', owner => 'ops', sla => '10 minutes', escalate_to => '{ops-lead}',
  retry => '{"max_attempts": 3, "alert_after": 1.0, "backoff": {"initial": "1 second", "jitter": "none"}}');
SELECT workflow.define(jsonb_build_object('workflow', w, 'owner', w || '-owner', 'initial', 'WAIT',
  'queues', '{"desk": {"owner": "clerks", "sla": "1 hour", "escalate_to": ["lead", "boss"]}}'::jsonb,
  'states', '{"WAIT": {"sla": "10 minutes", "timeout": "2 hours", "on": {"ask": "ASK", "timeout": "DONE"}},
              "ASK": {"review": {"queue": "desk", "decisions": ["yes"]}, "on": {"yes": "DONE"}},
              "DONE": {"final": "success"}}'::jsonb)::json)
FROM unnest('{many,one}'::text[]) AS w;
CREATE VIEW open_alerts AS
SELECT kind, subject, severity, owner FROM workflow.alerts WHERE cleared_at IS NULL ORDER BY kind COLLATE "C", subject COLLATE "C";
CREATE FUNCTION look(clock text) RETURNS SETOF open_alerts LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('pg_workflow.clock', clock, false);
  PERFORM workflow._look_for_alerts();
  RETURN QUERY TABLE open_alerts;
  PERFORM set_config('pg_workflow.clock', '', false);
END $$;

-- a number may be written as 1.0
SELECT workflow.enqueue('mail', '"letter"', key => 'letter') > 0 AS enqueued;
SELECT workflow.fail(job_id, token, 'unavailable', 'no answer') IS NOT NULL AS failed FROM workflow.claim('mail', 'me');
SELECT * FROM look('+0 seconds');
SELECT workflow.cancel_job(job_id, 'enough') FROM workflow.job WHERE key = 'letter';

-- a thousand items that are late in a state of one workflow, and one of another that is late a little later
SELECT count(*) FROM workflow.submit_many('many', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, 1001) AS n));
SET pg_workflow.clock = '+1 second';
SELECT count(*) FROM workflow.submit_many('one', '{"{}"}');
RESET pg_workflow.clock;
SELECT * FROM look('+20 minutes');

-- as many reviews that are due first, of a workflow that is paused
SELECT count(workflow.send(item_id, 'ask')) FROM (SELECT item_id FROM workflow.item ORDER BY workflow LIMIT 210) AS i;
SET pg_workflow.clock = '+1 second';
SELECT count(workflow.send(item_id, 'ask')) FROM workflow.item WHERE workflow = 'one';
RESET pg_workflow.clock;
SELECT workflow.pause_workflow('many', 'for now');
SELECT kind, subject = 'review:211' AS that_one, owner FROM look('+2 hours') WHERE kind LIKE 'review%';

-- its chain is that of the review: the alert has none of its own
SELECT count(*) FROM look('+4 hours');
SELECT owner, step, escalates_at FROM workflow.alerts WHERE subject = 'review:211';

-- a chain that somebody has cut short leaves an escalated review with its queue's owner
UPDATE workflow.review SET step = 1 WHERE review_id = 211;
UPDATE workflow.queue SET escalate_to = '{}' WHERE queue = 'desk';
SELECT kind, subject = 'review:211' AS that_one, owner FROM look('+2 hours') WHERE kind LIKE 'review%';
