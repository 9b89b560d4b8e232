--
-- Jobs that stand alone and are due at once go through the lane of their queue.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.create_queue('few', 'ops', '10 minutes', '{ops-lead}', max_running => 2);
CREATE VIEW lane AS SELECT j.job_id - min(j.job_id) OVER () AS n, q.queue, j.status, j.worker FROM workflow._lane_jobs() AS j JOIN workflow.queue AS q USING (queue_no) ORDER BY j.job_id;
CREATE VIEW in_table AS SELECT queue, status, attempt, payload, worker FROM workflow.job ORDER BY job_id;

-- what goes there, and what goes into the table
SELECT count(*) FROM (SELECT
  workflow.enqueue('work', '"plain"'),
  workflow.enqueue('work', '"keyed"', key => 'k'),
  workflow.enqueue('work', '"grouped"', group_key => 'g'),
  workflow.enqueue('work', '"urgent"', priority => -1),
  workflow.enqueue('work', '"later"', priority => 1),
  workflow.enqueue('work', '"delayed"', run_at => now() + '1 hour'),
  workflow.enqueue('few', '"limited"')) AS stored;
TABLE lane;
TABLE in_table;
SELECT ready, delayed, running FROM workflow.queues WHERE queue = 'work';

-- one order over both places
SELECT workflow.enqueue('work', '"plain again"') IS NOT NULL;
SELECT payload, attempt, lease_until, length(token) > 20 AS has_token FROM workflow.claim('work', 'w', 10);
SELECT ready, delayed, running FROM workflow.queues WHERE queue = 'work';

-- of a claim that is rolled back nothing stays, to a savepoint either
SELECT cardinality(workflow.enqueue_many('work', '{1,2,3}'));
BEGIN;
SELECT payload FROM workflow.claim('work', 'w');
SAVEPOINT one;
SELECT payload FROM workflow.claim('work', 'w');
ROLLBACK TO one;
SELECT payload FROM workflow.claim('work', 'w', 2);
ROLLBACK;
SELECT payload FROM workflow.claim('work', 'w', 10);

-- a transaction claims and completes what it has stored; rolled back, there was no job
BEGIN;
SELECT workflow.enqueue('work', '"own"') AS own \gset
SAVEPOINT one;
SELECT job_id = :own AS is_own, token FROM workflow.claim('work', 'w') \gset
SELECT workflow.complete(:own, :'token');
ROLLBACK TO one;
SELECT job_id = :own AS is_own, token FROM workflow.claim('work', 'w') \gset
SELECT workflow.complete(:own, :'token');
COMMIT;
SELECT attempt, outcome, worker FROM workflow.attempts WHERE job_id = :own;
BEGIN;
SELECT workflow.enqueue('work', '"gone"') IS NOT NULL;
SELECT payload FROM workflow.claim('work', 'w');
ROLLBACK;
SELECT payload FROM workflow.claim('work', 'w');

-- a completion that is rolled back leaves the claim as it was
SELECT workflow.enqueue('work', '"twice"') AS job \gset
SELECT token FROM workflow.claim('work', 'w') \gset
BEGIN;
SELECT workflow.complete(:job, :'token');
ROLLBACK;
SELECT workflow.complete(:job, :'token', 'ok', '{"n": 1}');
SELECT attempt, outcome, detail FROM workflow.attempts WHERE job_id = :job;
\set VERBOSITY sqlstate
SELECT workflow.complete(:job, :'token');

-- tokens that are none
SELECT workflow.enqueue('work', '"mine"') AS job \gset
SELECT token FROM workflow.claim('work', 'w') \gset
SELECT workflow.complete(:job, 'L' || repeat('0', 32) || substr(:'token', 34));
SELECT workflow.complete(:job, substr(:'token', 1, 33) || '.ffffffff');
SELECT workflow.complete(:job, substr(:'token', 1, 33) || '.');
SELECT workflow.complete(:job, substr(:'token', 1, 33) || '.1x');
SELECT workflow.complete(:job, 'L');
SELECT workflow.complete(:job, '');
SELECT workflow.complete(:job + 1000, :'token');
SELECT workflow.complete(:job, :'token', 'other');
\set VERBOSITY default
SELECT workflow.complete(:job, :'token');

-- what does not simply succeed is a row of the table from then on
SELECT cardinality(workflow.enqueue_many('work', '{"\"fails\"", "\"is released\"", "\"lasts\""}'));
SELECT job_id AS fails, token AS fails_token FROM workflow.claim('work', 'w') \gset
SELECT job_id AS released, token AS released_token FROM workflow.claim('work', 'w') \gset
SELECT job_id AS lasts, token AS lasts_token FROM workflow.claim('work', 'w') \gset
SELECT workflow.fail(:fails, :'fails_token', 'timeout', 'too slow', '1 hour');
SELECT workflow.release(:released, :'released_token');
SELECT workflow.extend(:lasts, :'lasts_token', '1 hour') > now();
SELECT * FROM in_table WHERE payload IN ('"fails"', '"is released"', '"lasts"');
-- (its policy would have it back within this test on a busy machine)
UPDATE workflow.job SET run_at = now() + interval '1 hour' WHERE payload = '"fails"';
SELECT workflow.complete(:lasts, :'lasts_token');
SELECT payload, attempt FROM workflow.claim('work', 'w');
SELECT outcome, error_class FROM workflow.attempts WHERE job_id IN (:fails, :released, :lasts) ORDER BY attempt_id;

-- many at once are one record, which names each
SELECT cardinality(workflow.enqueue_many('work', (SELECT array_agg(to_jsonb(n)) FROM generate_series(1, 5) AS n)));
SELECT array_agg(job_id) AS jobs, array_agg(token) AS tokens FROM workflow.claim('work', 'w', 5) \gset
SELECT workflow.complete_many(:'jobs', :'tokens');
SELECT job_id - (:'jobs'::bigint[])[1] AS n, attempt, outcome, worker, queue FROM workflow.attempts WHERE job_id = ANY (:'jobs') ORDER BY job_id;
SELECT count(*), max(cardinality(job_ids)) FROM workflow.attempt WHERE job_ids IS NOT NULL;
\set VERBOSITY sqlstate
SELECT workflow.complete((:'jobs'::bigint[])[3], (:'tokens'::text[])[3]);
SELECT workflow.complete_many(:'jobs', :'tokens');
\set VERBOSITY default

-- all or none
SELECT cardinality(workflow.enqueue_many('work', '{1,2}'));
SELECT array_agg(job_id) AS jobs, array_agg(token) AS tokens FROM workflow.claim('work', 'w', 2) \gset
\set VERBOSITY sqlstate
SELECT workflow.complete_many(:'jobs', ARRAY[(:'tokens'::text[])[1], 'wrong']);
\set VERBOSITY default
SELECT workflow.complete_many(:'jobs', :'tokens');

-- the name of a worker may be long
SELECT workflow.enqueue('work', '"long"') IS NOT NULL;
SELECT payload FROM workflow.claim('work', repeat('w', 100));
SELECT status, length(worker) FROM in_table WHERE payload = '"long"';

-- large payloads
SELECT workflow.enqueue('work', to_jsonb(repeat('x', 100000) || md5('1'))) IS NOT NULL;
SELECT length(payload #>> '{}') FROM workflow.claim('work', 'w');

-- a prepared transaction takes its jobs with it into the table
BEGIN;
SELECT workflow.enqueue('work', '"prepared"') IS NOT NULL;
PREPARE TRANSACTION 'one';
SELECT payload FROM workflow.claim('work', 'w');
COMMIT PREPARED 'one';
SELECT payload FROM workflow.claim('work', 'w');
BEGIN;
SELECT workflow.enqueue('work', '"never"') IS NOT NULL;
PREPARE TRANSACTION 'one';
ROLLBACK PREPARED 'one';
SELECT payload FROM workflow.claim('work', 'w');
SELECT workflow.enqueue('work', '"claimed"') IS NOT NULL;
BEGIN;
SELECT payload FROM workflow.claim('work', 'w');
\set VERBOSITY sqlstate
PREPARE TRANSACTION 'one';
\set VERBOSITY default
SELECT payload FROM workflow.claim('work', 'w');

-- a paused queue, and one that goes on
SELECT workflow.enqueue('work', '"paused"') IS NOT NULL;
SELECT workflow.pause_queue('work', 'test');
SELECT payload FROM workflow.claim('work', 'w');
SELECT workflow.resume_queue('work');
SELECT payload FROM workflow.claim('work', 'w');

-- rows that somebody has moved are looked up again
SELECT cardinality(workflow.enqueue_many('work', '{1,2}'));
VACUUM FULL workflow.segment_1;
\set VERBOSITY sqlstate
SELECT payload FROM workflow.claim('work', 'w', 2);
\set VERBOSITY default
SELECT payload FROM workflow.claim('work', 'w', 2);
SELECT count(*) > 0 AS still_claimed FROM lane WHERE status = 'running';
