--
-- The options of a queue: changed, and the same for create_queue(), alter_queue() and documents.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', max_length => 2);
SELECT workflow.enqueue_many('mail', '{1,2}') IS NOT NULL AS ok;
\set VERBOSITY sqlstate
SELECT workflow.enqueue('mail', '3');
\set VERBOSITY default

-- what is named is changed, null takes an option away, the rest stays
SELECT workflow.alter_queue('mail', '{"max_length": 3, "rate_limit": {"count": 5, "per": "1 hour"}, "escalate_to": ["b", "c"], "lease": "1 minute",
  "retry": {"max_attempts": 2}}', 'it was full');
SELECT workflow.enqueue('mail', '3') > 0 AS ok;
SELECT owner, sla, escalate_to, max_length, rate_count, rate_per, lease, retry FROM workflow.queues WHERE queue = 'mail';
SELECT workflow.alter_queue('mail', '{"max_length": null, "rate_limit": null, "lease": null, "retry": null, "priority": null}');
SELECT owner, sla, escalate_to, max_length, rate_count, rate_per, lease, retry, priority FROM workflow.queues WHERE queue = 'mail';
SELECT workflow.alter_queue('mail', '{"max_length": null}', 'nothing changes');
SELECT actor, action, subject, reason, detail FROM workflow.journal ORDER BY journal_id;

-- what is wrong is refused
SELECT workflow.alter_queue('none', '{}');
SELECT workflow.alter_queue('mail', NULL);
SELECT workflow.alter_queue(NULL, '{}');
SELECT workflow.alter_queue('mail', '{"warm": "1 minute"}');
SELECT workflow.alter_queue('mail', '[]');
SELECT workflow.alter_queue('mail', '{"maxlength": 3}');
SELECT workflow.alter_queue('mail', '{"queue_no": 3}');
SELECT workflow.alter_queue('mail', '{"owner": null}');
SELECT workflow.alter_queue('mail', '{"aging": "1 minute", "fair": true}');
SELECT workflow.alter_queue('mail', '{"aging": "soon"}');
SELECT workflow.alter_queue('mail', '{"warn": "10 minutes"}');
SELECT workflow.alter_queue('mail', '{"warn": "0"}');
SELECT workflow.alter_queue('mail', '{"max_running": "many"}');
SELECT workflow.alter_queue('mail', '{"escalate_to": "boss"}');
SELECT workflow.alter_queue('mail', '{"rate_limit": 5}');
SELECT workflow.alter_queue('mail', '{"rate_limit": {"count": 1.5, "per": "1 s"}}');
\set VERBOSITY terse
SELECT workflow.alter_queue('mail', '{"rate_limit": {"count": -1, "per": "1 s"}}');
SELECT workflow.alter_queue('mail', '{"rate_limit": {"count": 1e12, "per": "1 s"}}');
SELECT workflow.alter_queue('mail', '{"rate_limit": {"count": "5", "per": "1 s"}}');
\set VERBOSITY default
SELECT workflow.alter_queue('mail', '{"max_running": 1.5}');
SELECT workflow.alter_queue('mail', '{"max_length": 1e12}');
SELECT workflow.alter_queue('mail', '{"max_length": -3}');
SELECT workflow.alter_queue('mail', '{"retry": {"attempts": 5}}');
SELECT workflow.alter_queue('mail', '{"retry": {"backoff": {"initial": "soon"}}}');

-- another definition says how to change the one that is there
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{b,c}', max_running => 1);

-- jobs that wait obey the new options
SELECT count(*) FROM workflow.claim('mail', 'w', 10, '1 hour');
SELECT workflow.create_queue('lane', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.enqueue_many('lane', '{1,2,3,4,5,6}') IS NOT NULL AS ok;
SELECT workflow.alter_queue('lane', '{"max_running": 2}');
SELECT count(*) FROM workflow.claim('lane', 'w', 10, '1 hour');
SELECT count(*) FROM workflow.claim('lane', 'w', 10, '1 hour');
SELECT workflow.alter_queue('lane', '{"max_running": null, "rate_limit": {"count": 1, "per": "1 hour"}}');
SELECT count(*) FROM workflow.claim('lane', 'w', 10, '1 hour');
SELECT workflow.alter_queue('lane', '{"rate_limit": null, "max_length": 4}');
\set VERBOSITY sqlstate
SELECT workflow.enqueue_many('lane', '{7,8}');
\set VERBOSITY default
SELECT workflow.alter_queue('lane', '{"max_length": null, "fair": true}');
SELECT workflow.enqueue('lane', '9', tenant => 'a') > 0 AS ok;
SELECT payload FROM workflow.claim('lane', 'w', 10, '1 hour') ORDER BY payload;
SELECT ready, running FROM workflow.queues WHERE queue = 'lane';

-- a document has each option of create_queue()
CREATE FUNCTION define_with(options jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT workflow || ' ' || version FROM workflow.define(jsonb_build_object('workflow', 'w', 'initial', 'A', 'owner', 'ops',
    'queues', jsonb_build_object('own', '{"sla": "1 hour", "escalate_to": ["boss"]}'::jsonb || options),
    'states', '{"A": {"task": {"queue": "own"}, "on": {"ok": "B", "error": "B"}}, "B": {"final": "x"}}'::jsonb)::json) $$;
CREATE TABLE example (option text, value jsonb);
INSERT INTO example VALUES ('owner', '"me"'), ('sla', '"2 hours"'), ('escalate_to', '["cfo"]'), ('rate_limit', '{"count": 1, "per": "1 second"}'),
  ('max_running', '3'), ('max_length', '5'), ('priority', '2'), ('lease', '"1 hour"'), ('retry', '{"max_attempts": 3}'),
  ('dead_letter_retention', '"1 day"'), ('on_full', '"refuse"'), ('key_window', '"1 day"'), ('aging', '"1 minute"'), ('fair', 'true'),
  ('warn', '"30 minutes"');
SELECT a.name AS option, define_with(jsonb_build_object(a.name, e.value)) IS NOT NULL AS ok
FROM pg_proc AS p, unnest(p.proargnames) WITH ORDINALITY AS a (name, place) LEFT JOIN example AS e ON e.option = a.name
WHERE p.oid = 'workflow.create_queue'::regproc AND a.place > 1 ORDER BY a.place;
SELECT define_with('{"fair": true, "rate_limit": {"count": 1, "per": "1 s", "per_tenant": true}, "max_length": 9, "on_full": "block", "key_window": "1 h"}');
SELECT fair, rate_per_tenant, max_length, on_full, key_window, aging FROM workflow.queues WHERE queue = 'own';
SELECT define_with('{"aging": "1 minute", "priority": 7}');
SELECT fair, rate_per_tenant, max_length, on_full, key_window, aging FROM workflow.queues WHERE queue = 'own';
\set VERBOSITY terse
SELECT define_with('{"aging": "1 minute", "fair": true}');
\set VERBOSITY default
-- a whole number is one however it is written
SELECT define_with('{"max_running": 2.0, "max_length": 0.3e1, "priority": 1.0, "rate_limit": {"count": 4.00, "per": "1 s"}, "retry": {"max_attempts": 3.0}}');
SELECT max_running, max_length, priority, rate_count, retry FROM workflow.queues WHERE queue = 'own';
SELECT define_with('{"on_full": "block"}');
SELECT define_with('{"on_full": "wait", "max_length": 1}');
SELECT define_with('{"rate_limit": {"count": 1, "per": "1 s", "per_tenant": true}}');
SELECT define_with('{"fair": 1, "key_window": "-1 s", "aging": "1 ms"}');
