--
-- A fair queue: tenants take turns, whatever each has waiting.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('bad', 'ops', '10 minutes', '{ops-lead}', fair => true, aging => '1 hour');
SELECT workflow.create_queue('fair', 'ops', '10 minutes', '{ops-lead}', fair => true);
SELECT workflow.create_queue('plain', 'ops', '10 minutes', '{ops-lead}');
SELECT queue, fair FROM workflow.queues ORDER BY queue;
CREATE FUNCTION put(tenant text, count int, queue text DEFAULT 'fair', priority int DEFAULT 0) RETURNS bigint LANGUAGE sql AS
  'SELECT count(workflow.enqueue(queue, to_jsonb(coalesce(tenant, ''none'') || n), tenant => tenant, priority => priority)) FROM generate_series(1, count) AS n';

-- in turn, one at a time and several, going on where the last claim has ended
SELECT put('big', 20), put('ann', 3), put(NULL, 2), put('bob', 2);
SELECT payload FROM workflow.claim('fair', 'w', 1);
SELECT payload FROM workflow.claim('fair', 'w', 1);
SELECT payload FROM workflow.claim('fair', 'w', 5);
SELECT payload FROM workflow.claim('fair', 'w', 6);
SELECT count(*) FROM workflow.claim('fair', 'w', 100);
SELECT fair_last IS NULL AS is_not_written FROM workflow.queue WHERE queue = 'fair';

-- the more urgent first, and only among those turns; what is delayed has none
SELECT put('big', 2), put('ann', 1), put('bob', 1, 'fair', -1), put('cat', 2, 'fair', -1);
SELECT workflow.enqueue('fair', '"tomorrow"', tenant => 'dan', run_at => now() + interval '1 day') > 0 AS ok;
SELECT payload FROM workflow.claim('fair', 'w', 2);
SELECT payload FROM workflow.claim('fair', 'w', 10);

-- who is held by his group does not hold the others up
SELECT workflow.enqueue('fair', to_jsonb(n), tenant => 'g' || n, group_key => 'one') > 0 AS ok FROM generate_series(1, 5) AS n;
SELECT put('zoe', 1);
SELECT payload FROM workflow.claim('fair', 'w', 1, '1 hour');
SELECT payload FROM workflow.claim('fair', 'w', 1);
SELECT payload FROM workflow.claim('fair', 'w', 1);

-- elsewhere a tenant is a label
SELECT put('big', 2, 'plain'), put('ann', 1, 'plain');
SELECT payload FROM workflow.claim('plain', 'w', 10);

-- a queue that becomes fair while jobs wait, in its lane and in the table
SELECT put(NULL, 3, 'plain'), put('ann', 2, 'plain'), put(NULL, 1, 'plain', 1);
UPDATE workflow.queue SET fair = true WHERE queue = 'plain';
SELECT payload FROM workflow.claim('plain', 'w', 4);
SELECT payload FROM workflow.claim('plain', 'w', 4);

-- with the other limits
SELECT workflow.create_queue('few', 'ops', '10 minutes', '{ops-lead}', fair => true, max_running => 2);
SELECT put('big', 3, 'few'), put('ann', 1, 'few');
SELECT payload FROM workflow.claim('few', 'w', 10, '1 hour');
SELECT count(*) FROM workflow.claim('few', 'w', 10, '1 hour');

-- a claim reads a few rows, however many jobs a tenant has and however many tenants there are
SELECT workflow.create_queue('wide', 'ops', '10 minutes', '{ops-lead}', fair => true);
SELECT put('aaa', 20000, 'wide'), sum(put('t' || n, 2, 'wide')) FROM generate_series(1, 1000) AS n;
VACUUM ANALYZE workflow.job;
CREATE FUNCTION rows_read() RETURNS bigint LANGUAGE sql AS
  $$ SELECT pg_stat_get_xact_tuples_fetched('workflow.job'::regclass) + pg_stat_get_xact_tuples_returned('workflow.job'::regclass) $$;
BEGIN;
SELECT count(*) FROM workflow.claim('wide', 'w', 10);
SELECT rows_read() < 1000 AS few;
COMMIT;
SELECT tenant FROM workflow.job WHERE queue = 'wide' AND status = 'running' ORDER BY tenant;

-- a batch of a fair queue is in turn, and the next one goes on behind it
SELECT workflow.create_queue('batch', 'ops', '1 hour', '{lead}', fair => true);
SELECT count(workflow.enqueue('batch', to_jsonb(t || n), tenant => t))
FROM (VALUES ('big', 12), ('small', 3), ('tiny', 1)) AS v (t, many), generate_series(1, many) AS n;
SELECT string_agg(payload #>> '{}', ' ') FROM workflow.claim('batch', 'w', 8);
SELECT count(workflow.enqueue('batch', to_jsonb('small' || n), tenant => 'small')) FROM generate_series(4, 5) AS n;
SELECT string_agg(payload #>> '{}', ' ') FROM workflow.claim('batch', 'w', 1);
SELECT string_agg(payload #>> '{}', ' ') FROM workflow.claim('batch', 'w', 20);
