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

-- What runs no statement minds neither the caller's rights nor his search path.
SELECT workflow.create_queue('own', 'ops', '10 minutes', '{ops-lead}');
CREATE ROLE regress_plain;
SELECT workflow.grant_role('regress_plain', 'worker');
CREATE SCHEMA trap;
CREATE TABLE trap.attempt (job_id bigint);
CREATE TABLE trap.segment_1 (job_id bigint);
CREATE SEQUENCE trap.job_job_id_seq START 1000000;
GRANT ALL ON SCHEMA trap TO regress_plain;
SET ROLE regress_plain;
SET search_path = trap, workflow, pg_catalog;
SELECT workflow.enqueue('own', '1') < 1000000 AS first, workflow.enqueue('own', '2') < 1000000 AS second,
  workflow.enqueue('own', '3') < 1000000 AS third;
SELECT workflow.complete(job_id, token) FROM workflow.claim('own', 'plain');
SELECT workflow.complete(job_id, token) FROM workflow.claim('own', 'plain');
SELECT current_user, current_setting('search_path');
RESET ROLE;
RESET search_path;
SELECT (SELECT count(*) FROM trap.attempt) + (SELECT count(*) FROM trap.segment_1) AS trapped;
SELECT count(*) FROM workflow.attempts WHERE worker = 'plain';
SET client_min_messages = warning;
DROP SCHEMA trap CASCADE;
RESET client_min_messages;

-- Nor does it write where nothing may be written.
BEGIN READ ONLY;
SELECT workflow.enqueue('own', '4');
ROLLBACK;
BEGIN READ ONLY;
SELECT payload FROM workflow.claim('own', 'plain');
ROLLBACK;
SELECT job_id, token FROM workflow.claim('own', 'plain') \gset
BEGIN READ ONLY;
SELECT workflow.complete(:job_id, :'token');
ROLLBACK;
SELECT ready, running FROM workflow.queues WHERE queue = 'own';

-- synchronous_commit is as it was asked for, also within the transaction that claims.
SELECT workflow.complete(:job_id, :'token');
SHOW synchronous_commit;
SELECT workflow.enqueue('own', '5') > 0 AS stored;
SET synchronous_commit = local;
SELECT count(*) FROM workflow.claim('own', 'plain');
SHOW synchronous_commit;
DROP OWNED BY regress_plain;
DROP ROLE regress_plain;
