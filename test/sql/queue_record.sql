-- Attempts of jobs in lanes are written without a statement: what their table is, and has become, holds all the same.
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}');
CREATE FUNCTION done(worker text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  job record;
BEGIN
  PERFORM workflow.enqueue('mail', '{}');
  SELECT * INTO STRICT job FROM workflow.claim('mail', done.worker);
  PERFORM workflow.complete(job.job_id, job.token, output => '{"is": "done"}');
  RETURN job.job_id;
END $$;

-- Found by each index that takes it in, and by no other.
SELECT done('first') AS first \gset
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT worker, attempt, outcome, detail FROM workflow.attempt WHERE job_id = :first;
SELECT count(*) FROM workflow.attempt WHERE item_id > 0 OR effect_id > 0 OR last_job > 0;

-- An index of somebody else is written, too, at once and whatever its kind.
CREATE INDEX by_worker ON workflow.attempt (worker);
SELECT done('second') AS second \gset
EXPLAIN (COSTS OFF) SELECT job_id FROM workflow.attempt WHERE worker = 'second';
SELECT job_id = :second AS found FROM workflow.attempt WHERE worker = 'second';
CREATE INDEX by_expression ON workflow.attempt (upper(worker)) WHERE attempt < 7;
CREATE INDEX by_hash ON workflow.attempt USING hash (worker) WHERE queue = 'mail' AND kind = 'task';
SELECT done('third') AS third \gset
EXPLAIN (COSTS OFF) SELECT job_id FROM workflow.attempt WHERE upper(worker) = 'THIRD' AND attempt < 7;
SELECT job_id = :third AS found FROM workflow.attempt WHERE upper(worker) = 'THIRD' AND attempt < 7;
DROP INDEX workflow.by_worker;
SELECT job_id = :third AS found FROM workflow.attempt WHERE worker = 'third' AND queue = 'mail' AND kind = 'task';

-- A unique one refuses.
DROP INDEX workflow.by_expression, workflow.by_hash;
CREATE UNIQUE INDEX only_once ON workflow.attempt (worker);
SELECT done('fourth') > 0 AS done;
SELECT done('fourth');
DROP INDEX workflow.only_once;
SELECT done('fourth') > 0 AS done;
SELECT worker, count(*) FROM workflow.attempts GROUP BY worker ORDER BY worker;

-- A table that has been rewritten, and names that have changed hands.
VACUUM FULL workflow.attempt;
SELECT done('fifth') AS fifth \gset
SELECT worker FROM workflow.attempt WHERE job_id = :fifth;
DROP FUNCTION done;
DROP EXTENSION pg_workflow;
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.enqueue('mail', '{}') > 0 AS stored;
SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('mail', 'sixth');
SELECT worker, outcome FROM workflow.attempts;
