--
-- What was taken back, and what the CRM has now (in the variable account).
--
SELECT r.key, r.state, f.field, u.previous #>> ARRAY['body', 'fields', f.field] AS had_before,
       left(u.response #>> ARRAY['body', 'fields', f.field], 20) AS was_set_to,
       left(:'account'::jsonb #>> ARRAY['fields', f.field], 20) AS crm_has_now
FROM workflow.effects AS r JOIN workflow.effects AS u ON u.effect_id = r.reverts,
     (VALUES ('industry'), ('employees'), ('icp_fit')) AS f (field);
