--
-- Where each invoice is, whose turn it is, and why.
--
SELECT w.key, w.state, w.waiting_on AS "for", w.owner,
       CASE w.state WHEN 'TO_CLARIFY' THEN coalesce(i.data #>> '{match,problem}', w.last_error) END AS problem
FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
WHERE i.workflow = 'invoice_approval' ORDER BY w.key;
