--
-- Where a night stands, and how its stores ended.
--
SELECT i.key AS night, i.state, c.outcome, count(*) AS stores, string_agg(c.input ->> 'store', ' ' ORDER BY c.input ->> 'store') AS which
FROM workflow.items AS i JOIN workflow.items AS c ON c.parent_id = i.item_id
WHERE i.workflow = 'nightly_close' GROUP BY i.key, i.state, c.outcome ORDER BY i.key, c.outcome;
