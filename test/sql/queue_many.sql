--
-- Claims that end together, and what an attempt costs, in lanes and in the table.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}',
  retry => '{"max_attempts": 2, "backoff": {"initial": "1 ms", "max": "1 ms", "jitter": "none"}}');
CREATE TABLE held (payload text, job_id bigint, token text);
CREATE FUNCTION take(how_many int) RETURNS text LANGUAGE sql AS $$
  WITH claimed AS (INSERT INTO held SELECT payload::text, job_id, token FROM workflow.claim('mail', 'w', how_many, '1 hour', wait => '10 s') RETURNING payload)
  SELECT string_agg(payload, ' ' ORDER BY payload) FROM claimed $$;
SELECT cardinality(workflow.enqueue_many('mail', '{1,2}')), workflow.enqueue('mail', '3', key => 'k') > 0 AS ok;

-- given back, they have cost nothing
SELECT take(3);
SELECT workflow.release_many(array_agg(job_id), array_agg(token)) FROM held;
SELECT DISTINCT outcome, attempt FROM workflow.attempts;
SELECT payload, attempt FROM workflow.job ORDER BY payload;
TRUNCATE held;

-- many fail for one cause, all or none
SELECT take(3);
\set VERBOSITY sqlstate
SELECT workflow.fail_many(array_agg(job_id), array_agg(CASE payload WHEN '3' THEN 'stale' ELSE token END), 'unavailable') FROM held;
SELECT workflow.fail_many(array_agg(job_id), '{}', 'unavailable') FROM held;
SELECT workflow.fail_many(array_agg(job_id), array_agg(token), NULL) FROM held;
SELECT workflow.fail_many(NULL, array_agg(token), 'unavailable') FROM held;
SELECT workflow.fail_many(array_agg(NULL::bigint), array_agg(token), 'unavailable') FROM held;
\set VERBOSITY default
SELECT workflow.fail_many('{}', '{}', 'unavailable');
SELECT status, attempt, count(*) FROM workflow.job GROUP BY status, attempt;
SELECT workflow.fail_many(array_agg(job_id), array_agg(token), 'unavailable', 'the printer is off', '1 ms', '{"printer": 7}') FROM held;
SELECT job_id IN (SELECT job_id FROM held) AS held, outcome, attempt, message, detail FROM workflow.attempts WHERE outcome <> 'released';
TRUNCATE held;

-- again, and their attempts are spent
SELECT take(1) IS NOT NULL AS ok;
SELECT take(1) IS NOT NULL AS ok;
SELECT take(1) IS NOT NULL AS ok;
SELECT workflow.fail_many(array_agg(job_id), array_agg(token), 'unavailable', 'still off') FROM held;
SELECT payload, attempts, error_class, error_message FROM workflow.dead_letters ORDER BY payload;

-- also straight out of a lane
TRUNCATE held;
SELECT cardinality(workflow.enqueue_many('mail', '{4,5}'));
SELECT take(2);
SELECT workflow.fail_many(array_agg(job_id), array_agg(token), 'permanent', 'no such address') FROM held;
SELECT payload, attempts, error_class FROM workflow.dead_letters WHERE payload IN ('4', '5') ORDER BY payload;

-- very many at once cost each what few do
TRUNCATE held;
SET statement_timeout = '15 s';
SELECT cardinality(workflow.enqueue_many('mail', array_fill('6'::jsonb, ARRAY[200000])));
RESET statement_timeout;
SELECT ready FROM workflow.queues WHERE queue = 'mail';
