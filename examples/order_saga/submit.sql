--
-- Every order of the shop is submitted.  Run it as often as you like.
--
SELECT count(*) AS orders,
       count(*) FILTER (WHERE s.created) AS created,
       count(*) FILTER (WHERE NOT s.created) AS found_again
FROM shop."order" AS o,
     LATERAL workflow.submit('order_saga', jsonb_build_object('order_id', o.order_id)) AS s;
