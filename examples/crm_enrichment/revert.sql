--
-- What an operator does when a field was wrong: takes it back, and leaves the others;
-- without "members" it would be the whole update.  That is an effect of its own, and
-- would be held if somebody had changed the field since.
--
SELECT workflow.revert(e.effect_id, 'the CRM knew better', members => '{industry}')
FROM workflow.effects AS e WHERE e.key = 'A-1001:crm_update:1' \g /dev/null
