--
-- Leases: how long a claim lasts, heartbeats, and what becomes of lost jobs.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.create_queue('leased', 'ops', '10 minutes', '{ops-lead}', lease => '5 minutes', retry => '{"max_attempts": 2}');
SET pg_workflow.clock = '2040-01-01 00:00 UTC';

-- a released job is ready again at its old place, and no attempt is charged
SELECT workflow.enqueue('work', '"a"') AS a, workflow.enqueue('work', '"b"') AS b \gset
SELECT job_id = :a AS is_a, attempt, token FROM workflow.claim('work', 'w1') \gset first_
SELECT :'first_is_a' AS is_a, :first_attempt AS attempt;
SELECT workflow.release(:a, :'first_token');
SELECT job_id = :a AS is_a, attempt, token FROM workflow.claim('work', 'w2') \gset second_
SELECT :'second_is_a' AS is_a, :second_attempt AS attempt, :'first_token' <> :'second_token' AS new_token;
SELECT attempt, worker, outcome FROM workflow.attempts ORDER BY attempt_id;

-- the old token is refused from then on, and says why
SELECT workflow.release(:a, 'no such token');
\set VERBOSITY sqlstate
SELECT workflow.release(:a, :'first_token');
SELECT workflow.extend(:a, :'first_token', '1 minute');
SELECT workflow.release(0, 'x');
SELECT workflow.extend(0, 'x', '1 minute');
SELECT workflow.extend(:a, :'second_token', '0 s');
SELECT workflow.extend(:a, :'second_token', NULL);
SELECT workflow.extend_many(ARRAY[:a]::bigint[], '{}', '1 minute');
\set VERBOSITY default

-- a heartbeat moves the end of the lease
SELECT workflow.extend(:a, :'second_token', '10 minutes') AS until;
SET pg_workflow.clock = '2040-01-01 00:09 UTC';
SELECT workflow.extend(:a, :'second_token', '10 minutes') AS until;
SET pg_workflow.clock = '2040-01-01 00:18 UTC';
SELECT payload, lease_until, token FROM workflow.claim('work', 'w3', 10, '30 seconds') \gset b_
SELECT :'b_payload' AS payload, :'b_lease_until' AS lease_until;

-- in bulk it is all or nothing
SELECT workflow.extend_many(ARRAY[:a, :b]::bigint[], ARRAY[:'second_token', :'b_token'], '1 hour') AS until;
\set VERBOSITY sqlstate
SELECT workflow.extend_many(ARRAY[:a, :b]::bigint[], ARRAY[:'second_token', :'first_token'], '2 hours');
\set VERBOSITY default
SELECT DISTINCT workflow._lease_end(job_id, token, lease_until) AS lease_until FROM workflow.job WHERE queue = 'work';
SELECT workflow.release_many(ARRAY[:a, :b]::bigint[], ARRAY[:'second_token', :'b_token']) AS released;
SELECT payload, status, attempt FROM workflow.job WHERE queue = 'work' ORDER BY job_id;

-- a queue's own lease holds where the claim names none
SELECT workflow.enqueue('leased', '"c"') AS c \gset
SELECT lease_until, attempt, token FROM workflow.claim('leased', 'w1') \gset c_
SELECT :'c_lease_until' AS lease_until, :c_attempt AS attempt;

-- when the lease has ended the token is stale, and the next claim gets the job, charged
SET pg_workflow.clock = '2040-01-01 00:23:01 UTC';
\set VERBOSITY sqlstate
SELECT workflow.extend(:c, :'c_token', '1 minute');
\set VERBOSITY default
SELECT payload, attempt, lease_until FROM workflow.claim('leased', 'w2', lease => '1 minute');
SELECT attempt, worker, outcome, message FROM workflow.attempts WHERE job_id = :c;

-- what is known of a stale token's job is told, and what to do about it
CREATE FUNCTION told(job bigint, token text) RETURNS TABLE (line text) LANGUAGE plpgsql AS $$
DECLARE
  detail text;
  hint text;
BEGIN
  PERFORM workflow.complete(job, token);
EXCEPTION WHEN SQLSTATE 'WF004' THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN QUERY SELECT regexp_replace(l, '20[0-9-]+ [0-9:.]+[+-][0-9]+', 'TIME', 'g') FROM unnest(ARRAY[detail, hint]) AS l;
END
$$;
SELECT * FROM told(:c, :'c_token');

-- a job whose workers die again and again is poison: a dead letter after the policy's cap
SET pg_workflow.clock = '2040-01-01 00:25 UTC';
SELECT count(*) AS claimed FROM workflow.claim('leased', 'w3');
SELECT * FROM told(:c, :'c_token');
SELECT job_id = :c AS is_c, queue, owner, error_class, error_message, attempts, due_at FROM workflow.dead_letters;
SELECT attempt, outcome, error_class FROM workflow.attempts WHERE job_id = :c ORDER BY attempt_id;

-- replayed, it has all its attempts again
SELECT workflow.replay_job(:c, 'the worker is mended');
SELECT payload, attempt, token FROM workflow.claim('leased', 'w4') \gset d_
SELECT :'d_payload' AS payload, :d_attempt AS attempt;
SELECT action, subject = 'job:' || :c AS is_c, reason FROM workflow.journal;
\set VERBOSITY sqlstate
SELECT workflow.replay_job(:c, 'again');
\set VERBOSITY default

-- a claim without a lease ends with its session
RESET pg_workflow.clock;
SELECT workflow.create_queue('session', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.enqueue('session', '"s"') AS s \gset
SELECT attempt, lease_until IS NULL AS bound, token FROM workflow.claim('session', 'w1') \gset s_
SELECT :s_attempt AS attempt, :'s_bound' AS bound;
SELECT count(*) AS claimed FROM workflow.claim('session', 'w1');
\c
DO $$
BEGIN
  FOR i IN 1 .. 200 LOOP
    EXIT WHEN EXISTS (SELECT FROM workflow.attempts WHERE outcome = 'lost' AND queue = 'session');
    PERFORM pg_sleep(0.01);
  END LOOP;
END
$$;
SELECT * FROM told(:s, :'s_token');
SELECT payload, attempt, token FROM workflow.claim('session', 'w2', lease => '1 minute', wait => '20 s') \gset t_
SELECT :'t_payload' AS payload, :t_attempt AS attempt;
SELECT attempt, worker, outcome FROM workflow.attempts WHERE job_id = :s;
SELECT * FROM told(:s, :'s_token');
SELECT workflow.complete(:s, :'t_token');
SELECT * FROM told(:s, :'t_token');
