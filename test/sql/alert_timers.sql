--
-- Timers that do not fire are told to the owner of each workflow, however many another workflow has.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow.define(jsonb_build_object('workflow', w, 'owner', w || '-owner', 'initial', 'WAIT',
  'states', '{"WAIT": {"timeout": "2 hours", "on": {"go": "DONE", "timeout": "DONE"}}, "DONE": {"final": "success"}}'::jsonb)::json)
FROM unnest('{many,one}'::text[]) AS w;
CREATE FUNCTION late(clock text) RETURNS TABLE (subject text, severity text, owner text, detail text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('pg_workflow.clock', clock, false);
  PERFORM workflow._look_for_alerts();
  RETURN QUERY SELECT a.subject, a.severity, a.owner, regexp_replace(a.detail, 'item \d+|since .*', 'N', 'g') FROM workflow.alerts AS a
               WHERE a.kind = 'timers_overdue' AND a.cleared_at IS NULL ORDER BY 1;
  PERFORM set_config('pg_workflow.clock', '', false);
END $$;
SELECT count(*) FROM workflow.submit_many('many', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, 300) AS n));
SET pg_workflow.clock = '+10 minutes';
SELECT count(*) FROM workflow.submit_many('one', '{"{}"}');
RESET pg_workflow.clock;

-- nobody fires them
SELECT * FROM late('+119 minutes');
SELECT * FROM late('+125 minutes');
SELECT * FROM late('+140 minutes');

-- they cannot fire
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE OF state ON workflow.item FOR EACH ROW EXECUTE FUNCTION refuse();
SET pg_workflow.clock = '+140 minutes';
SET client_min_messages = error;    -- a warning for each
CALL workflow.run();
RESET pg_workflow.clock;
SELECT * FROM late('+140 minutes');

-- what is paused is not late, and hides nobody
SELECT count(workflow.pause(item_id, 'wait')) FROM workflow.item WHERE workflow = 'many' AND item_id <> (SELECT max(item_id) FROM workflow.item WHERE workflow = 'many');
SET pg_workflow.clock = '+142 minutes';
CALL workflow.run();
RESET pg_workflow.clock;
SELECT * FROM late('+142 minutes');

-- and they can
DROP TRIGGER refuse ON workflow.item;
SET pg_workflow.clock = '+145 minutes';
CALL workflow.run();
RESET pg_workflow.clock;
SELECT * FROM late('+145 minutes');
