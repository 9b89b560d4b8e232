--
-- The count of the outside beside our orders: fails unless each step of an
-- order that is shipped was done once, and each step of one that was undone
-- was taken back as often as it was done, once at most.
--
CREATE TEMP VIEW outside AS
SELECT o.order_id, i.state, s.step, coalesce((:'counts'::jsonb #>> ARRAY['accounts', s.step || 's/' || o.order_id, 'executions'])::int, 0) AS executions,
       coalesce((:'counts'::jsonb #>> ARRAY['accounts', s.step || 's/' || o.order_id, 'requests'])::int, 0) AS requests
FROM shop."order" AS o JOIN workflow.items AS i ON i.key = o.order_id
CROSS JOIN unnest(ARRAY['reservation', 'payment', 'shipment']) AS s (step);

SELECT order_id, state, max(executions) FILTER (WHERE step = 'reservation') AS reservation,
       max(executions) FILTER (WHERE step = 'payment') AS payment,
       max(executions) FILTER (WHERE step = 'shipment') AS shipment, sum(requests) AS requests
FROM outside GROUP BY order_id, state ORDER BY order_id;

SELECT count(*) FILTER (WHERE state = 'SHIPPED' AND executions <> 1
                        OR state = 'UNDONE' AND executions NOT IN (0, 2)
                        OR state NOT IN ('SHIPPED', 'UNDONE')) AS wrong,
       count(*) FILTER (WHERE state = 'SHIPPED') AS done_once,
       count(*) FILTER (WHERE executions = 2) AS taken_back_once
FROM outside \gset
\echo :done_once 'steps were done once,' :taken_back_once 'were done and taken back once,' :wrong 'were done otherwise.'
SELECT (:wrong > 0)::int AS is_wrong \gset
\if :is_wrong
  DO $$ BEGIN RAISE EXCEPTION 'a step was not done, or not taken back, exactly once'; END $$;
\endif
