--
-- The view of jobs, another time or priority for one that waits, and many dead letters at once.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('graves', 'ops', '1 day', '{ops-lead}');
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', retry => '{"max_attempts": 2, "dead_letter": "graves",
  "backoff": {"initial": "1 hour", "max": "1 hour", "jitter": "none"}}');
CREATE TABLE job (name text, job_id bigint);
CREATE TABLE held (job_id bigint PRIMARY KEY, token text, payload jsonb);
CREATE FUNCTION take() RETURNS text LANGUAGE sql AS $$
  WITH taken AS (INSERT INTO held SELECT job_id, token, payload FROM workflow.claim('mail', 'w', 10, '1 hour', wait => '100 ms') RETURNING payload)
  SELECT string_agg(left(payload::text, 10), ' ' ORDER BY payload) FROM taken $$;
INSERT INTO job VALUES ('lane', workflow.enqueue('mail', '"lane"')), ('big', workflow.enqueue('mail', to_jsonb(repeat('big', 10000)))),
  ('table', workflow.enqueue('mail', '{"a": 1}', key => 'k', group_key => 'g', tenant => 't', units => 3, priority => 5)),
  ('delayed', workflow.enqueue('mail', '"later"', run_at => now() + interval '1 day'));

-- each job, wherever it is kept
CREATE VIEW seen AS SELECT name, queue, status, priority, attempts, key, group_key, tenant, units, worker, left(payload::text, 10) AS payload
FROM workflow.jobs JOIN job USING (job_id) ORDER BY job_id;
SELECT * FROM seen;
INSERT INTO held SELECT job_id, token FROM workflow.claim('mail', 'w', 1, '1 hour');
SELECT name, status, attempts, worker, lease_until > now() AS is_leased, payload FROM workflow.jobs JOIN job USING (job_id) WHERE name = 'lane';
SELECT payload = to_jsonb(repeat('big', 10000)) AS whole FROM workflow.jobs JOIN job USING (job_id) WHERE name = 'big';
SELECT has_function_privilege('pg_monitor', 'workflow._listed_jobs()', 'EXECUTE') AS lists, has_function_privilege('pg_monitor', 'workflow._lane_jobs()', 'EXECUTE') AS tokens;
SET ROLE pg_monitor;
SELECT count(*), count(payload) FROM workflow.jobs;
RESET ROLE;

-- what a transaction has not committed is its own
BEGIN;
SELECT workflow.enqueue('mail', '"own"') > 0 AS ok;
ROLLBACK;
SELECT count(*) FROM workflow.jobs;

-- another time, another priority
CREATE FUNCTION id(which text) RETURNS bigint LANGUAGE sql AS 'SELECT job_id FROM job WHERE name = which';
SELECT workflow.reschedule_job(id('delayed'), run_at => now(), reason => 'at once');
SELECT workflow.reschedule_job(id('table'), priority => -1);
SELECT workflow.reschedule_job(id('big'), now() + interval '1 day', 3);
SELECT * FROM seen;
SELECT ready, delayed, running FROM workflow.queues WHERE queue = 'mail';
SELECT take();
SELECT actor = current_user AS by_me, action, reason, detail ->> 'priority' AS priority FROM workflow.journal ORDER BY journal_id;

-- one that waits for its next attempt
SELECT workflow.fail(job_id, token, 'timeout', 'slow') FROM held WHERE job_id = id('table');
DELETE FROM held WHERE job_id = id('table');
SELECT status, attempts, error_class, error_message FROM workflow.jobs WHERE job_id = id('table');
SELECT workflow.reschedule_job(id('table'), now());
SELECT take();

-- with aging a job counts from when it is due now
SELECT workflow.create_queue('aging', 'ops', '10 minutes', '{ops-lead}', aging => '1 minute');
INSERT INTO job VALUES ('old', workflow.enqueue('aging', '"old"', priority => 2)), ('new', workflow.enqueue('aging', '"new"'));
SELECT workflow.reschedule_job(id('old'), now() - interval '10 minutes');
SELECT payload FROM workflow.claim('aging', 'w', 1, '1 hour');
SELECT priority FROM workflow.jobs WHERE job_id = id('old');

-- refused
\set VERBOSITY sqlstate
SELECT workflow.reschedule_job(0);
SELECT workflow.reschedule_job(NULL);
SELECT workflow.reschedule_job(id('old'), now());
\set VERBOSITY default

-- many dead letters run again; those that are gone or run already are passed over
SELECT count(workflow.fail(job_id, token, 'permanent', 'gone')) FROM held;
SELECT queue, from_queue, status, count(*) FROM workflow.jobs WHERE status = 'dead' GROUP BY 1, 2, 3;
\set VERBOSITY sqlstate
SELECT workflow.reschedule_job(id('table'), now());
SELECT workflow.replay_jobs(NULL, 'x');
SELECT workflow.replay_jobs('{NULL}', 'x');
\set VERBOSITY default
SELECT workflow.replay_jobs(array_agg(job_id) || id('table') || id('old') || 0::bigint, 'mended') FROM workflow.dead_letters WHERE queue = 'graves';
SELECT workflow.replay_jobs(array_agg(job_id), 'mended') FROM job;
SELECT workflow.replay_jobs('{}', 'nothing');
SELECT status, attempts, count(*) FROM workflow.jobs WHERE queue = 'mail' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM workflow.journal WHERE action = 'replay_job' AND reason = 'mended';

-- a whole queue is emptied
SELECT workflow.cancel_jobs(array_agg(job_id), 'not needed') FROM workflow.jobs WHERE queue = 'mail';
SELECT count(*) FROM workflow.jobs WHERE queue = 'mail';
