--
-- Aging: a job that waits becomes more urgent, so that none waits for ever.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
\set VERBOSITY sqlstate
SELECT workflow.create_queue('bad', 'ops', '10 minutes', '{ops-lead}', aging => '0');
SELECT workflow.create_queue('bad', 'ops', '10 minutes', '{ops-lead}', aging => '1 ms');
\set VERBOSITY default
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', aging => '1 hour');
SELECT queue, aging FROM workflow.queues;

-- one step for each hour: priority 5 waiting since ten in the morning comes before priority 0 since four in the afternoon
CREATE FUNCTION put(name text, at timestamptz, priority int DEFAULT 0, queue text DEFAULT 'mail') RETURNS boolean
RETURN workflow.enqueue(queue, to_jsonb(name), run_at => at, priority => priority) > 0;
SELECT put('at 4 pm', '2026-01-01 16:10', 0), put('at 10 am, 5', '2026-01-01 10:20', 5), put('at 10 am, 7', '2026-01-01 10:20', 7),
  put('at 4 pm, urgent', '2026-01-01 16:10', -1), put('at 4 pm, first', '2026-01-01 16:05', 0);
SELECT priority - aged AS asked FROM workflow.job ORDER BY job_id;
SELECT payload FROM workflow.claim('mail', 'w', 10);
SELECT workflow.complete_many(array_agg(job_id), array_agg(token)) FROM workflow.job;

-- what is due later has waited for nothing; extremes fit
SELECT put('tomorrow', now() + '1 day', -2147483648), put('now', now(), 2147483647), put('always', '4713-01-01 BC'), put('never', '294276-12-31', 2147483647);
SELECT put('most', now(), -2147483648);
SELECT payload FROM workflow.claim('mail', 'w', 10);
SELECT priority - aged AS asked FROM workflow.job ORDER BY job_id;

-- many at once
SELECT cardinality(workflow.enqueue_many('mail', '{1,2,3}'));
SELECT payload FROM workflow.claim('mail', 'w', 10);

-- jobs of before a change count as under the new aging, also those in a lane
SELECT workflow.create_queue('later', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.enqueue('later', '"in the lane"') > 0 AS ok, put('old, 9', now() - interval '10 hours', 9, 'later'), put('new, 1', now(), 1, 'later');
UPDATE workflow.queue SET aging = '1 hour' WHERE queue = 'later';
SELECT payload FROM workflow.claim('later', 'w', 1);
SELECT put('newer', now(), 0, 'later');
UPDATE workflow.queue SET aging = NULL WHERE queue = 'later';
SELECT put('plain', now(), 0, 'later');
SELECT payload FROM workflow.claim('later', 'w', 10);
SELECT count(*) FROM workflow.job WHERE queue = 'later' AND aged <> 0;

-- a claim reads as few rows as without aging, however many wait
SELECT workflow.create_queue('big', 'ops', '10 minutes', '{ops-lead}', aging => '1 minute');
SELECT cardinality(workflow.enqueue_many('big', array_fill('1'::jsonb, '{20000}')));
SELECT count(put('x', now() - interval '1 s' * n, n % 10, 'big')) FROM generate_series(1, 1000) AS n;
VACUUM ANALYZE workflow.job;
CREATE FUNCTION rows_read() RETURNS bigint LANGUAGE sql AS
  $$ SELECT pg_stat_get_xact_tuples_fetched('workflow.job'::regclass) + pg_stat_get_xact_tuples_returned('workflow.job'::regclass) $$;
BEGIN;
SELECT count(*) FROM workflow.claim('big', 'w', 1);
SELECT rows_read() < 1000 AS few;
ROLLBACK;
