--
-- What a claim may ask for at most, heartbeats that are rolled back, and the order of
-- what comes back.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}',
  retry => '{"max_attempts": 5, "backoff": {"initial": "1 ms", "max": "1 ms", "jitter": "none"}}');

-- a claim takes at most ten thousand jobs
SELECT cardinality(workflow.enqueue_many('work', array_fill('1'::jsonb, '{10001}')));
SELECT workflow.claim('work', 'w', 10001);
SELECT workflow.claim('work', 'w', 0);
SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('work', 'w', 10000);
SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('work', 'w', 10000);

-- a heartbeat lasts although its transaction is rolled back: of jobs of a lane, and of the table
SELECT workflow.enqueue('work', '"lane"') > 0, workflow.enqueue('work', '"table"', key => 'k') > 0;
CREATE TABLE mine AS SELECT * FROM workflow.claim('work', 'w', 2, '1 hour');
SELECT payload, lease_until < now() + interval '2 hours' AS is_short FROM workflow.jobs JOIN mine USING (job_id, payload, lease_until) ORDER BY payload;
BEGIN;
SELECT count(workflow.extend(job_id, token, '1 day')) FROM mine;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT count(workflow.extend(job_id, token, '2 days')) FROM mine;
ROLLBACK TO s;
COMMIT;
SELECT j.payload, j.lease_until > now() + interval '40 hours' AS is_long FROM workflow.jobs AS j JOIN mine USING (job_id) ORDER BY payload;
SELECT count(workflow.complete(job_id, token)) FROM mine;

-- what is released is back at its old place, what failed is behind all that was due before
SELECT array_agg(workflow.enqueue('work', to_jsonb(n))) IS NOT NULL FROM generate_series(1, 4) AS n;
CREATE TABLE back AS SELECT * FROM workflow.claim('work', 'w', 2);
SELECT payload, workflow.release(job_id, token) FROM back WHERE payload = '2';
SELECT payload, workflow.fail(job_id, token, 'timeout') FROM back WHERE payload = '1';
DO $$ BEGIN WHILE EXISTS (SELECT FROM workflow.job WHERE run_at > clock_timestamp()) LOOP PERFORM pg_sleep(0.001); END LOOP; END $$;
SELECT string_agg(payload::text, ' ') FROM workflow.claim('work', 'w', 4);
