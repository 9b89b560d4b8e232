--
-- Groups: who takes the head of a group does not read the rest of it.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}');
SELECT count(workflow.enqueue('mail', to_jsonb(n), group_key => 'long')) FROM generate_series(1, 20000) AS n;
VACUUM ANALYZE workflow.job;
CREATE FUNCTION reads(statement text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT json) ' || statement INTO plan;
  RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::int + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::int;
END $$;

-- twice, for the first time reads catalogs
SELECT reads($$ SELECT payload FROM workflow.claim('mail', 'w', 1, '1 hour') $$) < 2000 AS some;
SELECT workflow.complete(job_id, token) FROM workflow.job WHERE status = 'running';
SELECT reads($$ SELECT payload FROM workflow.claim('mail', 'w', 1, '1 hour') $$) < 200 AS few;
SELECT payload FROM workflow.job WHERE status = 'running';
