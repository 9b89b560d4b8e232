--
-- Moves in prepared transactions and in many subtransactions: what is counted is what lasts.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SELECT workflow FROM workflow.define('{
  "workflow": "w", "owner": "me", "initial": "A",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"A": {"on": {"go": "B"}}, "B": {"task": {"queue": "q"}, "on": {"ok": "Z", "back": "A"}}, "Z": {"final": "done"}}}');
SELECT count(*) FROM workflow.submit_many('w', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 120) AS n));
CREATE VIEW counts AS
SELECT (SELECT string_agg(format('%s %s', s.state, s.items), ', ' ORDER BY s.state) FROM workflow.state_stats AS s WHERE s.items > 0) AS items,
       q.ready, (SELECT count(*) FROM workflow.jobs) AS jobs,
       (SELECT count(*) FROM workflow._wrong_states()) + (SELECT count(*) FROM workflow._wrong_figures()) AS wrong,
       (SELECT count(*) FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok) AS strays
FROM workflow.queues AS q;
BEGIN;
UPDATE workflow.item SET state = 'B' WHERE item_id <= 80;
PREPARE TRANSACTION 'regress_item_prepared';
TABLE counts;
COMMIT PREPARED 'regress_item_prepared';
TABLE counts;
BEGIN;
UPDATE workflow.item SET state = CASE state WHEN 'A' THEN 'B' ELSE 'A' END;
PREPARE TRANSACTION 'regress_item_prepared';
ROLLBACK PREPARED 'regress_item_prepared';
TABLE counts;

-- each item in a subtransaction of its own, every third one rolled back: by hand, by events, by claims
CREATE FUNCTION each(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 120 LOOP
    BEGIN
      EXECUTE command USING i;
      IF i % 3 = 0 THEN
        RAISE division_by_zero;
      END IF;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;
SELECT each('UPDATE workflow.item SET state = CASE state WHEN ''A'' THEN ''B'' ELSE ''A'' END WHERE item_id = $1');
TABLE counts;
SELECT each('SELECT workflow.send(i.item_id, CASE i.state WHEN ''A'' THEN ''go'' ELSE ''back'' END) FROM workflow.item AS i WHERE i.item_id = $1');
TABLE counts;
SELECT each('SELECT workflow.complete(c.job_id, c.token) FROM workflow.claim(''q'', ''w'') AS c WHERE $1 < 60');
TABLE counts;
