--
-- Getting rid of a queue: refused while anything needs it, clean when it is made anew.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', key_window => '1 hour');

-- one that is not there
SELECT workflow.drop_queue('mial');
SELECT workflow.drop_queue(NULL);
SELECT workflow.drop_queue('mail', discard => NULL);

-- what waits keeps it, in a lane and in the table
SELECT workflow.enqueue('mail', '"lane"') > 0 AS ok, workflow.enqueue('mail', '"key"', key => 'k') > 0 AS ok,
       workflow.enqueue('mail', '"later"', run_at => clock_timestamp() + interval '1 day') > 0 AS ok;
SELECT workflow.drop_queue('mail');
SELECT ready, delayed FROM workflow.queues WHERE queue = 'mail';

-- what runs keeps it whatever is asked for
SELECT job_id AS running, token FROM workflow.claim('mail', 'w') \gset
SELECT workflow.drop_queue('mail', discard => true);
SELECT workflow.complete(:running, :'token');
SELECT job_id AS running, token FROM workflow.claim('mail', 'w', 1, '1 hour') \gset
SELECT workflow.drop_queue('mail', discard => true);
SELECT workflow.fail(:running, :'token', 'permanent', 'no such address');
SELECT workflow.drop_queue('mail');
SELECT workflow.enqueue('mail', '"lane"') > 0 AS ok;

-- a rollback
BEGIN;
SELECT workflow.drop_queue('mail', discard => true, reason => 'moved');
SELECT count(*) FROM workflow.queues;
ROLLBACK;
SELECT ready, delayed, dead FROM workflow.queues WHERE queue = 'mail';

SELECT workflow.drop_queue('mail', discard => true, reason => 'moved');
SELECT workflow.drop_queue('mail', discard => true);
SELECT count(*) FROM workflow.queues;
SELECT count(*) FROM workflow.jobs;

-- who did what, and what became of its jobs, stays on record
SELECT actor = current_user AS by_me, action, subject, reason, detail - 'options' AS detail, detail -> 'options' ->> 'owner' AS owner
FROM workflow.journal WHERE action = 'drop_queue';
SELECT queue, attempt, outcome, message FROM workflow.attempts ORDER BY attempt_id;

-- nobody can store or claim any more
SELECT workflow.enqueue('mail', '1');
SELECT workflow.enqueue('mail', '1', key => 'k');
SELECT workflow.enqueue_many('mail', '{1,2}');
SELECT workflow.claim('mail', 'w');
SELECT workflow.pause_queue('mail');
DELETE FROM workflow.queue;

-- made anew it begins with nothing
SELECT workflow.create_queue('mail', 'dev', '1 hour', '{dev-lead}');
SELECT owner, ready, delayed, running, waiting, dead FROM workflow.queues;
SELECT queue, done_5m, failed_5m, p50_wait IS NULL AS no_waits FROM workflow.queue_stats;
SELECT workflow.enqueue('mail', '"new"') > 0 AS ok;
SELECT payload FROM workflow.claim('mail', 'w', 10);
SELECT count(*) FROM workflow._wrong_figures();

-- in one transaction, with jobs of its own
BEGIN;
SELECT workflow.create_queue('brief', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.enqueue('brief', '1') > 0 AS ok;
SAVEPOINT a;
SELECT workflow.drop_queue('brief');
ROLLBACK TO a;
SELECT job_id, token FROM workflow.claim('brief', 'w') \gset
SELECT workflow.complete(:job_id, :'token');
SAVEPOINT a;
SELECT workflow.drop_queue('brief', discard => true);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT workflow.drop_queue('mail');
ROLLBACK;
BEGIN;
SELECT workflow.create_queue('brief', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.drop_queue('brief');
SELECT workflow.create_queue('brief', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.enqueue('brief', '"lane"') > 0 AS ok, workflow.enqueue('brief', '"key"', key => 'k') > 0 AS ok;
COMMIT;
SELECT payload FROM workflow.claim('brief', 'w', 10);

-- subscriptions, and policies of other queues
SELECT workflow.create_queue('orders', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.create_queue('audit', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.create_queue('picky', 'ops', '10 minutes', '{ops-lead}', retry => '{"max_attempts": 1, "dead_letter": "audit"}');
CALL workflow.subscribe('orders', 'audit');
SELECT workflow.drop_queue('orders');
SELECT workflow.drop_queue('audit');
SELECT workflow.unsubscribe('orders', 'audit');
SELECT workflow.drop_queue('orders');
SELECT workflow.drop_queue('audit', discard => true);
-- a dead letter that another policy has sent there, and one that was sent away
SELECT workflow.enqueue('picky', '1') > 0 AS ok;
SELECT job_id, token FROM workflow.claim('picky', 'w') \gset
SELECT workflow.fail(:job_id, :'token', 'permanent', 'no');
SELECT workflow.alter_queue('picky', '{"retry": null}');
SELECT workflow.drop_queue('audit');
SELECT workflow.drop_queue('picky');
SELECT workflow.drop_queue('audit', discard => true);
SELECT workflow.drop_queue('picky');

-- what a version names
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.create_queue('graves', 'ops', '10 minutes', '{ops-lead}');
SELECT version FROM workflow.define($$
{"workflow": "w", "initial": "A",
 "queues": {"own": {"owner": "ops", "sla": "1 hour", "escalate_to": ["ops-lead"]}},
 "retry": {"default": {"owner": "ops", "max_attempts": 2, "timeout": "1 minute", "dead_letter": "graves"}},
 "states": {"A": {"task": {"queue": "work"}, "timeout": {"after": "1 day", "event": "late"}, "on": {"ok": "B", "error": "B", "late": "B"}}, "B": {"final": "success"}}}
$$);
SELECT workflow.drop_queue('work');
SELECT workflow.drop_queue('own', discard => true);
SELECT workflow.drop_queue('graves');

-- the calls of the engine
SELECT workflow.create_queue('calls', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.drop_queue('calls');

-- keys that are spent
SELECT workflow.create_queue('once', 'ops', '10 minutes', '{ops-lead}', key_window => '1 hour');
SELECT workflow.enqueue('once', '1', key => 'k') > 0 AS ok;
SELECT job_id, token FROM workflow.claim('once', 'w') \gset
SELECT workflow.complete(:job_id, :'token');
SELECT workflow.enqueue('once', '2', key => 'k') = :job_id AS spent;
SELECT workflow.drop_queue('once');
SELECT workflow.create_queue('once', 'ops', '10 minutes', '{ops-lead}', key_window => '1 hour');
SELECT workflow.enqueue('once', '2', key => 'k') <> :job_id AS free;

-- limits, turns and tenants
SELECT workflow.create_queue('fair', 'ops', '10 minutes', '{ops-lead}', fair => true, rate_limit => '{"count": 5, "per": "1 hour", "per_tenant": true}');
SELECT workflow.enqueue('fair', '1', tenant => 'ann') > 0 AS ok;
SELECT job_id, token FROM workflow.claim('fair', 'w') \gset
SELECT workflow.complete(:job_id, :'token');
SELECT count(*) FROM workflow.rate WHERE name = 'fair';
SELECT workflow.drop_queue('fair');
SELECT count(*) FROM workflow.rate WHERE name = 'fair';
SELECT count(*) FROM workflow._wrong_figures();
SELECT "check" FROM workflow.health() WHERE NOT ok AND "check" LIKE 'queue%';
