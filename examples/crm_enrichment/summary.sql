--
-- How many items stand where.
--
SELECT i.state, w.waiting_on, w.owner AS with, count(*) AS items
FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
GROUP BY i.state, w.waiting_on, w.owner
ORDER BY items DESC, i.state;
