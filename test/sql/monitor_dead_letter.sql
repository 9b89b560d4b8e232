--
-- Whose a dead letter is: one rule for where_is, dead_letters, queues and
-- queue_stats, the owner of the queue that it waits in.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SELECT workflow.create_queue('graves', 'sexton', '2 days', '{vicar}');
SELECT workflow.create_queue('mail', 'mail-team', '10 minutes', '{ops-lead}',
  retry => '{"max_attempts": 7, "owner": "somebody", "dead_letter": "graves"}');
SELECT workflow.create_queue('astray', 'astray-team', '10 minutes', '{ops-lead}',
  retry => '{"max_attempts": 7, "dead_letter": "no such queue"}');
SELECT version FROM workflow.define('{
  "workflow": "letters", "owner": "own", "key": ["$.id"], "initial": "START",
  "retry": {"default": {"max_attempts": 3, "timeout": "5 seconds", "owner": "somebody"}},
  "states": {
    "START":     {"on": {"sent": "SENT", "kept": "KEPT", "handled": "HANDLED"}},
    "SENT":      {"task": {"queue": "mail", "retry": {"dead_letter": "graves"}}, "on": {"ok": "END"}},
    "KEPT":      {"task": {"queue": "mail", "retry": {"dead_letter": "mail"}}, "on": {"ok": "END"}},
    "HANDLED":   {"task": {"queue": "mail", "retry": {"dead_letter": "graves"}}, "on": {"ok": "END", "error": "BROKEN"}},
    "BROKEN":    {"exception": {"queue": "graves"}, "on": {"replay": "END", "give_up": "END"}},
    "END":       {"final": "success"}}}');
SELECT count(*) FROM unnest('{sent,kept,handled}'::text[]) AS k (id),
  LATERAL workflow.submit('letters', jsonb_build_object('id', k.id)) AS s,
  LATERAL workflow.send(s.item_id, k.id) AS e;
SELECT count(workflow.enqueue(q, '{}', key => 'alone')) FROM unnest('{mail,astray}'::text[]) AS q;
SELECT count(*) FROM unnest('{mail,astray}'::text[]) AS q, LATERAL workflow.claim(q, 'me', 9, '1 hour') AS c,
  LATERAL workflow.fail(c.job_id, c.token, 'permanent', 'no such address') AS f;

-- one handles "error" and has moved on to its exception state; the others are dead letters
SELECT key, kind, queue, owner, from_queue, due_at - failed_at AS sla FROM workflow.dead_letters ORDER BY key, from_queue;

-- every item's answer is the same
SELECT w.key, w.state, w.waiting_on, w.queue, w.owner, w.attempts, w.max_attempts,
       (d.queue, d.owner, d.due_at) = (w.queue, w.owner, w.sla_due_at) AS agrees
FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
LEFT JOIN workflow.dead_letters AS d ON d.item_id = w.item_id ORDER BY w.key;

-- and they are counted where they wait, with that queue's owner
SELECT q.queue, q.owner, q.waiting, q.dead, s.owner = q.owner AND s.dead = q.dead AND s.waiting = q.waiting AS agrees,
       (SELECT count(*) FROM workflow.dead_letters AS d WHERE d.queue = q.queue AND d.owner = q.owner) AS letters
FROM workflow.queues AS q JOIN workflow.queue_stats AS s USING (queue) ORDER BY q.queue;

-- replayed, a job is back in the queue that it came from
SELECT count(workflow.replay_job(job_id, 'try again')) FROM workflow.dead_letters WHERE item_id IS NULL;
SELECT workflow.replay('letters:sent', 'try again');
SELECT queue, ready, dead FROM workflow.queues ORDER BY queue;
SELECT state, waiting_on, queue, owner FROM workflow.where_is('letters:sent');
