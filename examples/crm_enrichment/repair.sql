--
-- What an operator does: finds what failed and why, mends the data, replays.
--
SELECT w.key, w.state, w.owner, i.data #>> '{source,problem}' AS problem
FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
WHERE i.key = 'a1013:1';

SELECT workflow.replay('crm_enrichment:a1013:1', 'the sender wrote the id in lower case',
                       '{"account_id": "A-1013"}') \g /dev/null

SELECT w.key, w.state, w.waiting_on FROM workflow.where_is('crm_enrichment:a1013:1') AS w;
