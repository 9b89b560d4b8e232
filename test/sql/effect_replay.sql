--
-- replay_job() of a call: its effect gets a new life where sending it again is safe.
--
CREATE EXTENSION pg_workflow;
\set VERBOSITY default
SET client_min_messages = error;
CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'http://127.0.0.1:1', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
CREATE SERVER post FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'http://127.0.0.1:1', allow_http 'true', allow_private '127.0.0.0/8', dedup 'none', owner 'tester');
CREATE FUNCTION replay(effect_id bigint) RETURNS void LANGUAGE sql AS
  'SELECT workflow.replay_job(j.job_id, ''the shop is mended'') FROM workflow.job AS j WHERE j.effect_id = replay.effect_id';
-- ended as a worker would have ended it
CREATE FUNCTION end_as(effect_id bigint, state text, doubts int DEFAULT 0) RETURNS void LANGUAGE sql AS $$
  UPDATE workflow.effect AS e SET state = end_as.state, status = 400, error_class = 'permanent', reason = 'no', attempts = 1, charged = 1,
    unknown_attempts = doubts, finished_at = now() WHERE e.effect_id = end_as.effect_id;
  UPDATE workflow.job AS j SET status = 'dead', error_class = 'permanent' WHERE j.effect_id = end_as.effect_id;
$$;
CREATE VIEW stands AS SELECT e.key, e.state, e.charged, e.reason, j.status, jsonb_path_query_array(e.earlier, '$[*].state') AS earlier
  FROM workflow.effect AS e LEFT JOIN workflow.job AS j USING (effect_id) ORDER BY e.key;

-- one that failed, or whose attempts are spent, is pending again, and its earlier life is on record
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 1}', 'k1') AS k1, workflow.call('shop', 'POST', '/orders', '{"n": 2}', 'k2') AS k2 \gset
SELECT end_as(:k1, 'failed'), end_as(:k2, 'dead');
SELECT replay(:k1), replay(:k2);
TABLE stands;
CALL workflow.run();
SELECT key, state, attempts, left(reason, 27) AS reason FROM workflow.effects ORDER BY key;

-- one that may have been applied at a receiver that does not deduplicate is asked about
SELECT workflow.call('post', 'POST', '/mail', '{}', 'm1') AS m1, workflow.call('post', 'POST', '/mail', '{}', 'm2') AS m2 \gset
SELECT end_as(:m1, 'cancelled', 1), end_as(:m2, 'failed');
SELECT replay(:m1), replay(:m2);
SELECT * FROM stands WHERE key LIKE 'm%';

-- what has succeeded meanwhile, or waits for a person, is not begun again
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 3}', 'k3') AS k3 \gset
SELECT end_as(:k3, 'succeeded');
SELECT replay(:k3);
SELECT * FROM stands WHERE key = 'k3';

-- a request that is gone, or whose key has another one, cannot be sent again
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 4}', 'k4') AS k4, workflow.call('shop', 'POST', '/orders', '{"n": 5}', 'k5') AS k5 \gset
SELECT end_as(:k4, 'failed'), end_as(:k5, 'failed');
SET session_replication_role = replica;
UPDATE workflow.effect SET body = NULL, purged_at = now() WHERE effect_id = :k4;
RESET session_replication_role;
\set VERBOSITY terse
SELECT replay(:k4);
\set VERBOSITY default
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 55}', 'k5') <> :k5 AS another;
SELECT replay(:k5);
SELECT * FROM stands WHERE key IN ('k4', 'k5');
