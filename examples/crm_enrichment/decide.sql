--
-- What a reviewer does: reads the inbox, decides with a reason.
--
SELECT i.key, 'approve' AS decision, d.state
FROM workflow.review_inbox AS r
JOIN workflow.items AS i USING (item_id),
LATERAL workflow.decide(r.id, 'approve', 'the evidence holds') AS d
WHERE i.key = 'A-1014:1';

SELECT i.key, 'reject' AS decision, d.state
FROM workflow.review_inbox AS r
JOIN workflow.items AS i USING (item_id),
LATERAL workflow.decide(r.id, 'reject', 'nobody there knows the number of staff') AS d
WHERE i.key = 'A-1017:1';

-- The model was sure of this one: it is in the sample of those that people look at all the same.
SELECT i.key, 'approve' AS decision, d.state, g.value, g.tier, g.diverted
FROM workflow.review_inbox AS r
JOIN workflow.items AS i USING (item_id)
JOIN workflow.gate_decisions AS g USING (item_id),
LATERAL workflow.decide(r.id, 'approve', 'as the website says') AS d
WHERE g.diverted = 'sample';
