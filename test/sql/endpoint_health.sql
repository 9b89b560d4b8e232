--
-- health() tells of endpoints that take no calls: breakers, pauses, retry budgets.
--
CREATE EXTENSION pg_workflow;
SELECT format('CREATE SERVER %I FOREIGN DATA WRAPPER workflow_http OPTIONS (url ''https://%s.example.com'', dedup ''key'')', name, name)
FROM unnest(ARRAY['mail', 'crm', 'sms', 'geo']) AS name \gexec
PREPARE look AS
  SELECT * FROM workflow.health() WHERE "check" IN ('breakers', 'endpoints_paused', 'retry_budget');

-- all is well
SELECT count(workflow.call(e, 'POST', '/x', '{}', 'k' || n)) AS calls FROM unnest(ARRAY['mail', 'crm', 'sms']) AS e, generate_series(1, 2) AS n;
\set QUIET on
\x
EXECUTE look;

-- an open breaker matters as much as effects wait for it; the last error says why
UPDATE workflow.endpoint SET breaker = 'open', breaker_since = '2026-01-01 10:00', breaker_until = '2126-01-01 10:05', breaker_reason = '5 calls in a row failed'
WHERE endpoint = 'mail';
UPDATE workflow.effect AS e SET attempts = 1, sending_at = '2026-01-01 09:59', error_class = 'unavailable', reason = 'HTTP 500: the service failed'
FROM workflow.endpoint AS p WHERE p.endpoint_id = e.endpoint_id AND p.endpoint = 'mail' AND e.key = 'k1';
EXECUTE look;
UPDATE workflow.endpoint SET breaker = 'half_open' WHERE endpoint = 'mail';
INSERT INTO workflow.endpoint (endpoint, server_oid, breaker, breaker_since, breaker_until, breaker_reason)
SELECT 'geo', oid, 'open', '2026-01-01 10:00', '2026-01-01 10:04', 'no connection' FROM pg_foreign_server WHERE srvname = 'geo';
EXECUTE look;
UPDATE workflow.endpoint SET breaker = 'closed' WHERE endpoint = 'mail';
EXECUTE look;
UPDATE workflow.endpoint SET breaker = 'closed';

-- a pause is somebody's will; one that has lasted, and holds work up, is told
SELECT workflow.pause_endpoint('crm', 'they migrate');
EXECUTE look;
UPDATE workflow.endpoint SET paused_at = '2026-01-01 10:00', paused_by = 'ann' WHERE endpoint = 'crm';
UPDATE workflow.endpoint SET pause_until = '2126-01-01 12:00' WHERE endpoint = 'sms';
EXECUTE look;
SELECT workflow.resume_endpoint('crm'), workflow.resume_endpoint('sms');

-- who waits for a retry budget
UPDATE workflow.job SET waiting_on = 'retry', run_at = clock_timestamp() + interval '1 minute';
EXECUTE look;

-- a server that is gone holds up nobody
UPDATE workflow.endpoint SET breaker = 'open', breaker_since = now(), breaker_until = now() WHERE endpoint = 'geo';
DROP SERVER geo;
SELECT ok, detail FROM workflow.health() WHERE "check" = 'breakers';
