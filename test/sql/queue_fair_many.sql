--
-- The jobs of many tenants are found each by his own, also in a table of which nothing
-- is known yet.
--
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('many', 'ops', '10 minutes', '{ops-lead}', fair => true);
SELECT cardinality(workflow.enqueue_many('many', array_fill('1'::jsonb, ARRAY[1000]), tenants => (SELECT array_agg('t' || n) FROM generate_series(1, 1000) AS n))) AS stored;
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) AS read_before FROM pg_stat_user_indexes WHERE schemaname = 'workflow' AND relname = 'job' \gset
SELECT count(*) FROM workflow.claim('many', 'w', 500, '1 hour');
SELECT pg_stat_force_next_flush();
SELECT sum(idx_tup_read) - :read_before < 20000 AS is_looked_up FROM pg_stat_user_indexes WHERE schemaname = 'workflow' AND relname = 'job';
