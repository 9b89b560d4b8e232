--
-- What was taken back, and what the CRM has now (in the variable account).
--
SELECT r.key, r.state, u.response #>> '{body,fields,industry}' AS was_set_to,
       :'account'::jsonb #>> '{fields,industry}' AS crm_has_now
FROM workflow.effects AS r JOIN workflow.effects AS u ON u.effect_id = r.reverts;
