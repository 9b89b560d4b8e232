--
-- A part of the look that fails is an alert itself; what else is wrong is told of, and what that part knew stays as it was.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow.create_queue('mail', owner => 'ops', sla => '10 minutes', escalate_to => '{ops-lead}');
SELECT workflow.create_queue('graves', owner => 'undertakers', sla => '1 day', escalate_to => '{boss}');
CREATE VIEW seen AS
SELECT kind, subject, severity, owner = current_user AS mine, cleared_at IS NOT NULL AS cleared FROM workflow.alerts ORDER BY id;
SELECT count(workflow.enqueue(q, to_jsonb(n), key => n::text)) FROM generate_series(1, 10) AS n, unnest('{mail,graves}'::text[]) AS q;
SELECT count(workflow.fail(job_id, token, 'permanent', 'no') IS NULL) FROM workflow.claim('graves', 'me', 1);

-- the age of queues is late, and then nobody can see it any more; a part of what is found before a failure does not count
SET pg_workflow.clock = '+11 minutes';
SELECT FROM workflow._look_for_alerts();
TABLE seen;
ALTER FUNCTION workflow._conditions_of_queues() RENAME TO _sound_conditions_of_queues;
CREATE FUNCTION workflow._conditions_of_queues()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY VALUES ('sla_breach', 'queue:graves', 'page', 'undertakers', 'so it seems', NULL);
  RETURN QUERY SELECT k.kind, k.kind, k.kind, k.kind, (1 / (length(k.kind) - length(k.kind)))::text, k.kind FROM workflow._alert_kinds() AS k;
END $$;
SELECT count(*) FROM workflow.claim('mail', 'me', 10, '1 hour');
SELECT count(workflow.fail(job_id, token, 'permanent', 'no') IS NULL) FROM workflow.claim('graves', 'me', 9);
SELECT next_at <= clock_timestamp() + interval '12 minutes' AS again_soon FROM workflow._look_for_alerts();
TABLE seen;
SELECT detail, hint, runbook FROM workflow.alerts WHERE kind = 'look_failed';

-- it can be seen again
DROP FUNCTION workflow._conditions_of_queues();
ALTER FUNCTION workflow._sound_conditions_of_queues() RENAME TO _conditions_of_queues;
SELECT FROM workflow._look_for_alerts();
TABLE seen;

-- who cannot tell when the next thing may become late looks again soon
ALTER FUNCTION workflow._dead_letter_ages() RENAME TO _sound_dead_letter_ages;
SELECT next_at <= clock_timestamp() + interval '12 minutes' AS again_soon FROM workflow._look_for_alerts();
TABLE seen;
SELECT subject, detail, hint FROM workflow.alerts WHERE kind = 'look_failed' AND cleared_at IS NULL ORDER BY subject;
ALTER FUNCTION workflow._sound_dead_letter_ages() RENAME TO _dead_letter_ages;
SELECT FROM workflow._look_for_alerts();
TABLE seen;

-- every part has its function, and every kind a part that knows of it
SELECT p.part FROM workflow._alert_parts() AS p WHERE to_regprocedure(format('workflow.%I()', '_conditions_of_' || p.part)) IS NULL;
SELECT p.proname FROM pg_proc AS p
WHERE p.pronamespace = 'workflow'::regnamespace AND p.proname LIKE '\_conditions\_of\_%'
  AND substr(p.proname, length('_conditions_of_') + 1) NOT IN (SELECT part FROM workflow._alert_parts());
SELECT kind FROM workflow._alert_kinds() WHERE kind NOT IN (SELECT unnest(kinds) FROM workflow._alert_parts());
