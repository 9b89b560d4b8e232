--
-- Queue: making queues, storing jobs, claiming them in order, giving them back.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;

-- an owner, an SLA and an escalation path are demanded
SELECT workflow.create_queue('mail', NULL, '10 minutes', '{ops-lead}');
SELECT workflow.create_queue('mail', 'ops', '0', '{ops-lead}');
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{}');
\set VERBOSITY sqlstate
SELECT workflow.create_queue(' ', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.create_queue('mail', 'ops', NULL, '{ops-lead}');
SELECT workflow.create_queue('mail', 'ops', '10 minutes', NULL);
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', rate_limit => '{"count": 5}');
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', rate_limit => '{"count": 0, "per": "1 s"}');
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', max_running => 0);
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', lease => '0');
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', retry => '{"tries": 3}');
\set VERBOSITY default

-- the same definition again changes nothing; another one says who made the first
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead,cto}', rate_limit => '{"count": 100, "per": "1 hour"}');
SELECT workflow.create_queue('mail', 'ops', '600 seconds', '{ops-lead,cto}', rate_limit => '{"per": "1 hour", "count": 100}');
UPDATE workflow.queue SET defined_by = 'workflow:newsletter';
SELECT workflow.create_queue('mail', 'ops', '1 day', '{ops-lead}');
SELECT queue, owner, sla, escalate_to, rate_count, rate_per, defined_by FROM workflow.queues;

-- a claim takes by priority, then due time, then id; what is delayed stays
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.enqueue('work', '"fourth"') > 0 AS ok;
SELECT workflow.enqueue('work', '"third"', run_at => clock_timestamp() - interval '1 hour') > 0 AS ok;
SELECT workflow.enqueue('work', '"first"', priority => -1) > 0 AS ok;
SELECT workflow.enqueue('work', '"second"', priority => -1) > 0 AS ok;
SELECT workflow.enqueue('work', '"tomorrow"', priority => -9, run_at => clock_timestamp() + interval '1 day') > 0 AS ok;
SELECT ready, delayed, running, dead, paused, sla_breached FROM workflow.queues WHERE queue = 'work';
SELECT queue, item_id, state, payload, attempt, lease_until, length(token) > 20 AS has_token
FROM workflow.claim('work', 'w1');
SELECT payload FROM workflow.claim('work', 'w1', 2);
SELECT payload, attempt FROM workflow.claim('work', 'w1', batch => 10);
SELECT payload FROM workflow.claim('work', 'w1', batch => 10);
SELECT count(DISTINCT token) AS tokens, count(DISTINCT worker) AS workers
FROM (SELECT token, worker, status FROM workflow.job UNION ALL SELECT token, worker, status FROM workflow._lane_jobs()) AS j
WHERE status = 'running';

-- several at once keep their order, and all or none are stored
SELECT workflow.create_queue('bulk', 'ops', '10 minutes', '{ops-lead}');
SELECT cardinality(workflow.enqueue_many('bulk', ARRAY['1', '2', '3']::jsonb[])) AS stored;
SELECT workflow.enqueue_many('bulk', '{}') AS stored;
SELECT payload FROM workflow.claim('bulk', 'w1', 10);

-- a key deduplicates while the job lives
SELECT workflow.enqueue('bulk', '{"n": 1}', key => 'k') = workflow.enqueue('bulk', '{"n": 2}', key => 'k') AS same_job;
SELECT workflow.enqueue('bulk', '{}', key => 'k') <> workflow.enqueue('work', '{}', key => 'k') AS other_queue;
SELECT payload FROM workflow.job WHERE queue = 'bulk' AND key = 'k';

-- a full queue refuses, but a key that is there is found; claimed jobs make room
SELECT workflow.create_queue('small', 'ops', '10 minutes', '{ops-lead}', max_length => 2);
SELECT workflow.enqueue('small', '1', key => 'one') > 0 AS ok, workflow.enqueue('small', '2') > 0 AS ok;
SELECT workflow.enqueue('small', '3');
SELECT workflow.enqueue('small', '1', key => 'one') > 0 AS found;
SELECT count(*) FROM workflow.claim('small', 'w1');
SELECT workflow.enqueue_many('small', '{3,4}'::jsonb[]);
SELECT cardinality(workflow.enqueue_many('small', '{3}'::jsonb[])) AS stored;

-- a paused queue accepts jobs and hands none out
SELECT workflow.pause_queue('bulk', 'the printer is on fire');
SELECT workflow.enqueue('bulk', '"while paused"') > 0 AS ok;
SELECT count(*) FROM workflow.claim('bulk', 'w1', 10);
SELECT paused, paused_by = current_user AS by_me, pause_reason, ready FROM workflow.queues WHERE queue = 'bulk';
SELECT workflow.resume_queue('bulk');
SELECT payload FROM workflow.claim('bulk', 'w1', 10) ORDER BY job_id;
SELECT action, subject, reason FROM workflow.journal ORDER BY journal_id;

-- refusals
\set VERBOSITY sqlstate
SELECT workflow.enqueue('nowhere', '{}');
SELECT workflow.enqueue_many('nowhere', '{}');
SELECT workflow.enqueue('work', NULL);
SELECT workflow.enqueue(NULL, '{}');
SELECT workflow.enqueue_many('work', ARRAY['1', NULL]::jsonb[]);
SELECT workflow.claim('nowhere', 'w1');
SELECT workflow.claim('work', 'w1', 0);
SELECT workflow.claim('work', 'w1', 1, '0 s');
SELECT workflow.claim('work', 'w1', wait => '31 s');
SELECT workflow.claim('work', 'w1', wait => '-1 s');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT workflow.claim('work', 'w1', wait => '1 s');
ROLLBACK;
BEGIN;
CALL workflow.wait_for_job('work', '1 s');
ROLLBACK;
CALL workflow.wait_for_job('nowhere', '1 s');
SELECT workflow.pause_queue('nowhere', 'x');
SELECT workflow.resume_queue('nowhere');
SELECT workflow.replay_job(0, 'x');

-- a number that no job can have is that of none
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT workflow.complete(9223372036854775807, 'token');
