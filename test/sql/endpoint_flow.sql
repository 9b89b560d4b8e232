--
-- The flow of calls to an endpoint as one session sees it: what an answer asks
-- for, pauses, and guards of an endpoint that is paused or whose breaker is open.
--
CREATE EXTENSION pg_workflow;
\set VERBOSITY terse
CREATE SERVER mail FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://mail.example.com', dedup 'key');

-- for how long an answer asks to be left alone
SELECT a.status, a.retry_after, a.headers,
       workflow._limits_wait(a.status, a.retry_after, a.headers, '2027-01-31 12:00:00+00') AS wait
FROM (VALUES
  (429, interval '7 s', '{}'::jsonb),
  (503, '7 s', '{}'),
  (403, '7 s', '{}'),
  (500, '7 s', '{}'),
  (429, '0', '{}'),
  (429, '400 days', '{}'),
  (200, '0', '{"ratelimit": "\"default\";r=0;t=30"}'),
  (200, '0', '{"ratelimit": "\"default\";r=5;t=30"}'),
  (200, '0', '{"ratelimit": "\"a\";r=0;t=3, \"b\";r=0;t=60"}'),
  (200, '0', '{"ratelimit": "limit=100, remaining=0, reset=50"}'),
  (200, '0', '{"ratelimit": "limit=100, remaining=10, reset=50"}'),
  (200, '0', '{"ratelimit": "\"a\";r=0;t=99999999999999999999"}'),
  (200, '0', '{"ratelimit-remaining": "0", "ratelimit-reset": "20"}'),
  (200, '0', '{"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1801396860"}'),
  (200, '0', '{"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1801396860"}'),
  (200, '0', '{"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0.5s"}'),
  (200, '0', '{"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}'),
  (200, '0', '{"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2027-01-31T12:00:45Z"}'),
  (200, '0', '{"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2027-01-31T11:00:00Z"}'),
  (200, '0', '{"ratelimit-remaining": "0", "ratelimit-reset": "nan"}'),
  (200, '0', '{"ratelimit-remaining": "0", "ratelimit-reset": "soon"}')) AS a (status, retry_after, headers);

-- pausing and resuming are in the journal, once each
SELECT workflow.pause_endpoint('nowhere');
SELECT workflow.pause_endpoint('mail', 'they migrate');
SELECT workflow.pause_endpoint('mail', 'their disk is full');
SELECT workflow.pause_endpoint('mail');
SELECT reason FROM workflow.journal WHERE action = 'pause_endpoint' ORDER BY journal_id;
SELECT endpoint, dedup, owner, paused_at IS NOT NULL AS paused, paused_by = current_user AS by_me, pause_reason, breaker,
       in_flight, waiting, held, blocked, url
FROM workflow.endpoints;

-- a guard of a paused endpoint may not act, and nothing is charged for asking
SELECT effect_id, verdict, token FROM workflow.begin_effect('mail', 'a', '{}') \gset
\echo :verdict
SELECT state, attempts FROM workflow.effects WHERE effect_id = :effect_id;
SELECT workflow.resume_endpoint('mail', 'done');
SELECT workflow.resume_endpoint('mail');
SELECT verdict, token FROM workflow.begin_effect('mail', 'a', '{}') \gset
\echo :verdict
SELECT workflow.finish_effect(:effect_id, :'token', 'applied');
SELECT action, subject, reason FROM workflow.journal ORDER BY journal_id;

-- the endpoint's own pause holds guards, too; resume_endpoint() ends it
UPDATE workflow.endpoint SET pause_until = clock_timestamp() + interval '1 hour';
SELECT verdict FROM workflow.begin_effect('mail', 'b', '{}');
SELECT workflow.resume_endpoint('mail', 'they said so');
SELECT verdict FROM workflow.begin_effect('mail', 'b', '{}');

-- while the breaker is open no guard acts; when its time is over one does, to see
UPDATE workflow.endpoint
SET breaker = 'open', breaker_since = clock_timestamp(), breaker_until = clock_timestamp() + interval '1 hour',
    breaker_openings = 1, breaker_reason = '5 calls in a row failed';
SELECT verdict FROM workflow.begin_effect('mail', 'c', '{}');
-- or when somebody says that it works again
SELECT workflow.resume_endpoint('mail', 'they have mended it');
SELECT effect_id, verdict, token FROM workflow.begin_effect('mail', 'd', '{}') \gset
\echo :verdict
SELECT breaker, breaker_probe = :effect_id AS probed FROM workflow.endpoint;
SELECT verdict FROM workflow.begin_effect('mail', 'c', '{}');
-- it does not go well: open again, for longer
SELECT workflow.finish_effect(:effect_id, :'token', 'not_applied');
SELECT breaker, breaker_openings, breaker_until - clock_timestamp() BETWEEN interval '40 s' AND interval '60 s' AS doubled,
       breaker_reason
FROM workflow.endpoint;
UPDATE workflow.endpoint SET breaker_until = clock_timestamp();
SELECT effect_id, verdict, token FROM workflow.begin_effect('mail', 'e', '{}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'applied');
SELECT breaker, breaker_until, breaker_openings, breaker_reason FROM workflow.endpoint;
SELECT verdict FROM workflow.begin_effect('mail', 'c', '{}');
SELECT action, reason, detail - 'effect_id' AS detail FROM workflow.journal WHERE action LIKE 'breaker%';

-- with the breaker off its state does not count
ALTER SERVER mail OPTIONS (ADD breaker_failures 'off', ADD breaker_rate 'off');
UPDATE workflow.endpoint SET breaker = 'open', breaker_until = clock_timestamp() + interval '1 hour';
SELECT verdict FROM workflow.begin_effect('mail', 'f', '{}');

-- turned off it closes at once, and who waits for it goes on
ALTER SERVER mail OPTIONS (DROP breaker_rate);
UPDATE workflow.endpoint SET breaker = 'open', breaker_until = clock_timestamp() + interval '1 hour', breaker_reason = 'failures', breaker_openings = 1;
SELECT workflow.call('mail', 'POST', '/x', '{}', 'waits') AS effect_id \gset
UPDATE workflow.job SET waiting_on = 'breaker', run_at = clock_timestamp() + interval '1 hour' WHERE effect_id = :effect_id;
ALTER SERVER mail OPTIONS (SET breaker_failures '7');
SELECT breaker FROM workflow.endpoint;
ALTER SERVER mail OPTIONS (SET breaker_failures 'off', ADD breaker_rate 'off');
SELECT breaker, breaker_until, breaker_reason, breaker_openings FROM workflow.endpoint;
SELECT run_at < clock_timestamp() + interval '1 minute' AS goes, waiting_on FROM workflow.job WHERE effect_id = :effect_id;
SELECT action, actor = current_user AS by_me, reason FROM workflow.journal WHERE action LIKE 'breaker%' ORDER BY journal_id DESC LIMIT 1;
