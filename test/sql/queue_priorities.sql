--
-- More priorities at once than memory tells apart: the order is the same.
--
\set VERBOSITY terse
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('many', 'ops', '1 hour', '{lead}');
CREATE TABLE taken (n int GENERATED ALWAYS AS IDENTITY, priority int, run_at timestamptz, job_id bigint);

CREATE FUNCTION take(batch int) RETURNS bigint LANGUAGE sql AS $$
  WITH c AS MATERIALIZED (SELECT job_id FROM workflow.claim('many', 'w' || batch, batch, '1 hour')),
       i AS (INSERT INTO taken (priority, run_at, job_id)
             SELECT j.priority, j.run_at, j.job_id FROM c JOIN workflow.jobs AS j USING (job_id)
             ORDER BY array_position(ARRAY(SELECT job_id FROM c), job_id) RETURNING 1)
  SELECT count(*) FROM i
$$;
CREATE VIEW out_of_order AS
  SELECT count(*) FROM (SELECT (priority, run_at, job_id) < lag((priority, run_at, job_id)) OVER (ORDER BY n) AS is_late FROM taken) AS t WHERE is_late;

-- two hundred priorities, two jobs of each, of 0 more: in no order
SELECT count(workflow.enqueue('many', to_jsonb(n), priority => n * 7919 % 200 - 100)) FROM generate_series(1, 400) AS n;
SELECT count(workflow.enqueue('many', to_jsonb(n))) FROM generate_series(401, 410) AS n;
SELECT take(1), take(7), take(50), take(1);
SELECT * FROM out_of_order;

-- what is more urgent comes first also when it comes late
SELECT count(workflow.enqueue('many', to_jsonb(n), priority => -1000 - n)) FROM generate_series(1, 80) AS n;
TRUNCATE taken;
SELECT take(3), take(500);
SELECT * FROM out_of_order;
SELECT min(priority), max(priority), count(*) FROM taken;
SELECT ready, running FROM workflow.queues WHERE queue = 'many';
