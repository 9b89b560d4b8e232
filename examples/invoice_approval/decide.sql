--
-- A reviewer decides everything that a queue holds for the role, which is
-- given as :reviewer, in :queue.  What four eyes forbid is not decided.
--
SET ROLE :reviewer;
SELECT r.key, r.shown ->> 'amount' AS amount, d.state
FROM (SELECT * FROM workflow.review_inbox AS i WHERE i.queue = :'queue' ORDER BY i.id) AS r,
     LATERAL workflow.decide(r.id, CASE WHEN r.key LIKE :'reject' THEN 'reject' ELSE 'approve' END,
                             CASE WHEN r.key LIKE :'reject' THEN 'freight: charged, and not agreed' END) AS d
ORDER BY r.key;
RESET ROLE;
