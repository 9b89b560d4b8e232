--
-- The figures of queues: kept in memory as transactions commit, and the same as
-- what a look at all jobs finds.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}', retry => '{"max_attempts": 2, "backoff": {"initial": "1 hour"}, "dead_letter": "morgue"}');
SELECT workflow.create_queue('morgue', 'ops', '10 minutes', '{ops-lead}');
CREATE VIEW figures AS SELECT queue, ready, delayed, running, waiting, dead, oldest_ready_at FROM workflow.queues;
SELECT queue, ready, delayed, running, waiting, dead, oldest_ready_at FROM figures ORDER BY queue;

-- jobs of the table are counted when they are committed, and not before
BEGIN;
SELECT workflow.enqueue('work', '1', key => 'one') IS NOT NULL AS stored;
SELECT ready FROM figures WHERE queue = 'work';
COMMIT;
SELECT ready, oldest_ready_at = (SELECT min(run_at) FROM workflow.job) AS oldest FROM figures WHERE queue = 'work';

-- what a savepoint has taken back does not count, what one has kept does
BEGIN;
SAVEPOINT a;
SELECT workflow.enqueue('work', '2', key => 'two') IS NOT NULL AS stored;
SAVEPOINT b;
SELECT workflow.enqueue('work', '3', key => 'three') IS NOT NULL AS stored;
RELEASE SAVEPOINT b;
ROLLBACK TO a;
SAVEPOINT c;
SELECT workflow.enqueue('work', '4', key => 'four', run_at => clock_timestamp() + interval '1 hour') IS NOT NULL AS stored;
RELEASE SAVEPOINT c;
COMMIT;
BEGIN;
SELECT workflow.enqueue('work', '5', key => 'five') IS NOT NULL AS stored;
ROLLBACK;
SELECT ready, delayed FROM figures WHERE queue = 'work';
SELECT * FROM workflow._wrong_figures();

-- a job that has a key already is not stored twice
SELECT workflow.enqueue('work', '1', key => 'one') = (SELECT job_id FROM workflow.job WHERE key = 'one') AS same;
SELECT ready, delayed FROM figures WHERE queue = 'work';

-- claimed, failed, and failed for good: a dead letter counts where it stands
SELECT job_id, token FROM workflow.claim('work', 'w', lease => '1 hour') \gset
SELECT ready, delayed, running, oldest_ready_at FROM figures WHERE queue = 'work';
SELECT workflow.fail(:job_id, :'token', 'unavailable', 'not now');
SELECT ready, delayed, running FROM figures WHERE queue = 'work';
UPDATE workflow.job SET run_at = clock_timestamp() WHERE key = 'one';
SELECT ready, delayed, running FROM figures WHERE queue = 'work';
SELECT job_id, token FROM workflow.claim('work', 'w', lease => '1 hour') \gset
SELECT workflow.fail(:job_id, :'token', 'unavailable', 'not now either');
SELECT queue, ready, delayed, running, dead FROM figures ORDER BY queue;
SELECT workflow.replay_job(:job_id, 'try');
SELECT queue, ready, delayed, running, dead FROM figures ORDER BY queue;
SELECT workflow.complete(job_id, token) IS NOT NULL AS done FROM workflow.claim('work', 'w');
SELECT queue, ready, delayed, running, dead FROM figures ORDER BY queue;
SELECT * FROM workflow._wrong_figures();

-- a lane beside the table; a job that leaves it is counted once
SELECT cardinality(workflow.enqueue_many('work', '{1,2,3}'));
SELECT workflow.enqueue('work', '4', priority => 1) IS NOT NULL AS stored;
SELECT ready, delayed, running FROM figures WHERE queue = 'work';
SELECT job_id, token FROM workflow.claim('work', 'w', lease => '1 hour') \gset
SELECT ready, delayed, running FROM figures WHERE queue = 'work';
SELECT workflow.fail(:job_id, :'token', 'unavailable', 'not now');
SELECT ready, delayed, running FROM figures WHERE queue = 'work';
SELECT * FROM workflow._wrong_figures();

-- how fast it goes: six were stored, four claimed, one done, three failed
SELECT enqueue_rate[1] > 0 AS stores, start_rate[1] > 0 AS starts, finish_rate[1] > finish_rate[2] AS finishes, cardinality(fail_rate),
       round(enqueue_rate[3] / finish_rate[3]) AS stored, round(start_rate[3] / finish_rate[3]) AS started, done_5m, failed_5m,
       p50_wait <= p95_wait AS waits, p50_run <= p95_run AND p50_run > interval '0' AS runs
FROM workflow.queue_stats WHERE queue = 'work';

-- more times than a page tells apart: the sum is right, and what is far is told from what is near
SELECT count(workflow.enqueue('morgue', '1', key => 'later ' || n, run_at => clock_timestamp() + n * interval '10 minutes')) FROM generate_series(1, 500) AS n;
SELECT count(workflow.enqueue('morgue', '1', key => 'earlier ' || n, run_at => clock_timestamp() - n * interval '10 minutes')) FROM generate_series(1, 500) AS n;
SELECT ready, delayed, oldest_ready_at - (SELECT min(run_at) FROM workflow.job WHERE queue = 'morgue') = interval '0' AS oldest FROM figures WHERE queue = 'morgue';
SELECT sum(CASE WHEN workflow.complete(job_id, token) IS NULL THEN 0 ELSE 1 END) AS done FROM workflow.claim('morgue', 'w', 400);
SELECT ready, delayed,
       abs(extract(epoch FROM oldest_ready_at - (SELECT min(run_at) FROM workflow.job WHERE queue = 'morgue'))) < 7200 AS oldest FROM figures WHERE queue = 'morgue';
UPDATE workflow.job SET run_at = '2020-01-01' WHERE queue = 'morgue' AND status = 'ready';
SELECT ready, delayed, oldest_ready_at = '2020-01-01' AS oldest FROM figures WHERE queue = 'morgue';
SELECT * FROM workflow._wrong_figures();

-- rows that come while triggers are for a replica, and rows that go by hand
SET session_replication_role = replica;
INSERT INTO workflow.job (queue, run_at, created_at) VALUES ('morgue', 'infinity', now()), ('morgue', '-infinity', now());
SELECT ready, delayed, oldest_ready_at FROM figures WHERE queue = 'morgue';
DELETE FROM workflow.job WHERE queue = 'morgue' AND run_at = '-infinity';
SELECT ready, delayed FROM figures WHERE queue = 'morgue';
TRUNCATE workflow.job;
RESET session_replication_role;
SELECT queue, ready, delayed, running, dead FROM figures ORDER BY queue;
SELECT * FROM workflow._wrong_figures();

-- those of an extension that is made anew are its own
DROP VIEW figures;
SELECT workflow.enqueue('work', '1', key => 'one') IS NOT NULL AS stored;
BEGIN;
DROP EXTENSION pg_workflow CASCADE;
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}');
SELECT count(workflow.enqueue('work', '1', key => n::text)) FROM generate_series(1, 7) AS n;
ROLLBACK;
SELECT ready FROM workflow.queues WHERE queue = 'work';
BEGIN;
SELECT workflow.enqueue('work', '1', key => 'two') IS NOT NULL AS stored;
DROP EXTENSION pg_workflow CASCADE;
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}');
SELECT ready FROM workflow.queues;
COMMIT;
SELECT ready FROM workflow.queues;
SELECT count(workflow.enqueue('work', '1', key => n::text)) FROM generate_series(1, 5) AS n;
SELECT ready FROM workflow.queues;
SELECT * FROM workflow._wrong_figures();
