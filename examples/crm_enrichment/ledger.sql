--
-- The effect ledger of the CRM, and what running again would do.
--
SELECT e.key, e.state, e.attempts, e.status, e.external_id,
       e.previous #>> '{body,fields,industry}' AS industry_before,
       a.verdict AS if_run_again
FROM workflow.effects AS e
CROSS JOIN LATERAL workflow.if_run_again(e.item_id) AS a
WHERE e.endpoint = 'crm' AND a.effect_id = e.effect_id
ORDER BY e.key;

SELECT t.state, t.kind, t.endpoint, t.verdict AS if_run_twice, t.mechanism
FROM workflow.if_run_twice('crm_enrichment') AS t;
