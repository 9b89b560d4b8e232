--
-- Where each item is.
--
SELECT w.key, w.state, w.waiting_on, i.confidence, w.owner, left(w.last_error, 50) AS last_error
FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
ORDER BY i.item_id;
