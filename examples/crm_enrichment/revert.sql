--
-- What an operator does when an update was wrong: takes it back.  That is an
-- effect of its own, and would be held if somebody had changed the account since.
--
SELECT workflow.revert(e.effect_id, 'the CRM knew better')
FROM workflow.effects AS e WHERE e.key = 'A-1001:crm_update:1' \g /dev/null
