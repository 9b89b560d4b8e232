--
-- Retries of jobs: complete and fail, backoff, dead letters, replay.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}',
  retry => '{"max_attempts": 3, "owner": "mail-team", "dead_letter": "graves",
             "backoff": {"initial": "10 seconds", "factor": 2, "max": "1 hour", "jitter": "none"}}');
SELECT workflow.create_queue('graves', 'sexton', '2 days', '{vicar}');
SET pg_workflow.clock = '2040-01-01 00:00 UTC';
SET timezone = 'UTC';

-- success deletes the job and leaves its attempt
SELECT workflow.enqueue('work', '"good"', key => 'k') AS job \gset
SELECT token FROM workflow.claim('work', 'w1', lease => '1 hour') \gset
SELECT workflow.complete(:job, :'token');
SELECT count(*) AS jobs FROM workflow.job;
SELECT job_id = :job AS same, queue, kind, attempt, worker, outcome, error_class, started_at, finished_at
FROM workflow.attempts;

-- its token is stale from then on, and its key free for a new job
\set VERBOSITY sqlstate
SELECT workflow.complete(:job, :'token');
SELECT workflow.fail(:job, :'token', 'timeout', 'too late');
SELECT workflow.extend(:job, :'token', '1 hour');
\set VERBOSITY default
SELECT workflow.enqueue('work', '"bad"', key => 'k') <> :job AS new_job;
SELECT job_id AS job FROM workflow.job \gset

-- a failure of a class that repeating mends: again, later, by the policy
SELECT token FROM workflow.claim('work', 'w1', lease => '1 hour') \gset
SELECT workflow.fail(:job, :'token', 'timeout', 'no answer in 30 s', detail => '{"host": "mx1"}');
SELECT status, attempt, run_at, error_class, error_message FROM workflow.job;
SELECT count(*) FROM workflow.claim('work', 'w1');

-- a rate limit waits for as long as was asked, and is not charged
SET pg_workflow.clock = '2040-01-01 00:00:10 UTC';
SELECT token, attempt FROM workflow.claim('work', 'w1', lease => '1 hour') \gset
SELECT :attempt AS attempt;
SELECT workflow.fail(:job, :'token', 'rate_limited', '429', retry_after => '5 minutes');
SELECT status, attempt, run_at, error_class FROM workflow.job;

-- the second attempt again, then, doubled, the third; that one was the last
SET pg_workflow.clock = '2040-01-01 00:05:10 UTC';
SELECT token, attempt FROM workflow.claim('work', 'w1', lease => '1 hour') \gset
SELECT workflow.fail(:job, :'token', 'connection', 'refused');
SELECT status, attempt, run_at, error_class FROM workflow.job;
SET pg_workflow.clock = '2040-01-01 00:05:30 UTC';
SELECT token, attempt FROM workflow.claim('work', 'w1', lease => '1 hour') \gset
SELECT workflow.fail(:job, :'token', 'unavailable', 'still down');
SELECT status, attempt FROM workflow.job;
SELECT job_id = :job AS same, key, queue, from_queue, owner, kind, error_class, error_message, attempts, failed_at, due_at
FROM workflow.dead_letters;
SELECT attempt, outcome, error_class, message, detail FROM workflow.attempts WHERE job_id = :job ORDER BY attempt_id;
SELECT count(*) FROM workflow.claim('work', 'w1');
SELECT queue, owner, dead FROM workflow.queues ORDER BY queue;

-- a replayed job starts afresh
SELECT workflow.replay_job(:job, 'the server is up');
SELECT token, attempt FROM workflow.claim('work', 'w1', lease => '1 hour') \gset
SELECT :attempt AS attempt;

-- a failure that repeating cannot mend is the end at once
SELECT workflow.fail(:job, :'token', 'validation', 'no address');
SELECT status, attempt, error_class FROM workflow.job;

-- an unknown class is refused, and the claim stands
SELECT workflow.replay_job(:job, 'once more');
SELECT token FROM workflow.claim('work', 'w1', lease => '1 hour') \gset
SELECT workflow.fail(:job, :'token', 'whatever', 'x');
SELECT workflow.complete(:job, :'token');
SELECT count(*) AS jobs FROM workflow.job;
SELECT action, reason, detail FROM workflow.journal ORDER BY journal_id;

-- many at once: all or none
SELECT workflow.create_queue('bulk', 'ops', '10 minutes', '{ops-lead}');
SELECT cardinality(workflow.enqueue_many('bulk', '{1,2,3}'::jsonb[])) AS stored;
SELECT array_agg(job_id) AS jobs, array_agg(token) AS tokens FROM workflow.claim('bulk', 'w1', 3, '1 hour') \gset
\set VERBOSITY sqlstate
SELECT workflow.complete_many(:'jobs'::bigint[], ('{x,y,z}')::text[]);
\set VERBOSITY default
SELECT count(*) AS jobs FROM workflow.job;
SELECT workflow.complete_many(:'jobs'::bigint[], :'tokens'::text[]);
SELECT count(*) AS jobs FROM workflow.job;
