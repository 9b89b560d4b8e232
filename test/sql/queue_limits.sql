--
-- Limits of a queue: its rate, max_running, and one running job per group.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET pg_workflow.clock = '2040-01-01 00:00 UTC';

-- a rested queue starts its whole count at once, then one job per / count
SELECT workflow.create_queue('rated', 'ops', '10 minutes', '{ops-lead}', rate_limit => '{"count": 3, "per": "1 minute"}');
SELECT cardinality(workflow.enqueue_many('rated', ARRAY(SELECT to_jsonb(n) FROM generate_series(1, 9) AS n))) AS stored;
SELECT payload FROM workflow.claim('rated', 'w1', 5, '1 day');
SELECT count(*) FROM workflow.claim('rated', 'w1', 5, '1 day');
SET pg_workflow.clock = '2040-01-01 00:00:19 UTC';
SELECT count(*) FROM workflow.claim('rated', 'w1', 5, '1 day');
SET pg_workflow.clock = '2040-01-01 00:00:20 UTC';
SELECT payload FROM workflow.claim('rated', 'w1', 5, '1 day');
SET pg_workflow.clock = '2040-01-01 00:05 UTC';
SELECT count(*) FROM workflow.claim('rated', 'w1', 5, '1 day');

-- what is claimed and rolled back does not use the rate up
SET pg_workflow.clock = '2040-01-01 00:10 UTC';
BEGIN;
SELECT count(*) FROM workflow.claim('rated', 'w1', 5, '1 day');
ROLLBACK;
SELECT count(*) FROM workflow.claim('rated', 'w1', 5, '1 day');

-- at most max_running run; one that ends lets the next one start
SELECT workflow.create_queue('narrow', 'ops', '10 minutes', '{ops-lead}', max_running => 2);
SELECT cardinality(workflow.enqueue_many('narrow', '{1,2,3}'::jsonb[])) AS stored;
SELECT count(*) FROM workflow.claim('narrow', 'w1', 5);
SELECT count(*) FROM workflow.claim('narrow', 'w1', 5);
SELECT count(workflow.release(job_id, token)) FROM workflow.job WHERE queue = 'narrow' AND payload = '2';
SELECT payload FROM workflow.claim('narrow', 'w1', 5);

-- of a group one job runs at a time, in the order they were stored
SELECT workflow.create_queue('grouped', 'ops', '10 minutes', '{ops-lead}');
SELECT count(workflow.enqueue('grouped', to_jsonb(g || n), group_key => g, priority => -n))
FROM generate_series(1, 3) AS n, unnest('{a,b}'::text[]) AS g;
SELECT workflow.enqueue('grouped', '"alone"') > 0 AS ok;
SELECT payload FROM workflow.claim('grouped', 'w1', 10);
SELECT count(*) FROM workflow.claim('grouped', 'w1', 10);

-- a released job is the head of its group again; a delayed one holds its group back
SELECT count(workflow.release(job_id, token)) FROM workflow.job WHERE queue = 'grouped' AND payload = '"a1"';
SELECT payload FROM workflow.claim('grouped', 'w1', 10);
SELECT workflow.enqueue('grouped', '"c1"', group_key => 'c', run_at => '2040-01-01 01:00 UTC') > 0 AS ok;
SELECT workflow.enqueue('grouped', '"c2"', group_key => 'c') > 0 AS ok;
SELECT count(*) FROM workflow.claim('grouped', 'w1', 10);
SET pg_workflow.clock = '2040-01-01 01:00 UTC';
SELECT payload FROM workflow.claim('grouped', 'w1', 10);
