--
-- A worker in plain psql: claims what is ready in the queue, does it, and
-- completes it.  Run it as often as there is work:
--
--   while psql -f worker.sql; do :; done
--
-- Each job is completed with the token of its claim, in one statement that
-- also moves the item: a worker that was too slow is refused, not believed.
--

-- The work itself.  The "model" of this example reads its answer from the ticket.
CREATE OR REPLACE FUNCTION pg_temp.work(state text, data jsonb) RETURNS jsonb
LANGUAGE sql AS $$
  SELECT CASE state
    WHEN 'RECEIVED' THEN jsonb_build_object('checked_by', 'worker.sql')
    WHEN 'MODEL_REQUESTED' THEN data->'pretend'
    ELSE jsonb_build_object('moved_to', data#>'{model,team}')
  END
$$;

SELECT job.state, done.*
FROM workflow.claim('tickets', 'psql', 10, lease => '1 minute') AS job
JOIN workflow.items AS item USING (item_id),
LATERAL workflow.complete(job.job_id, job.token, 'ok', pg_temp.work(job.state, item.data)) AS done
ORDER BY job.job_id;
