--
-- Moves are stamped in the row as it lies in memory: whatever else the row holds,
-- however long the names of states are, and whatever triggers of others make of it.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define(json_build_object('workflow', 'lengths', 'initial', 'A', 'key', '["$.id"]'::jsonb, 'owner', 'boss',
  'states', jsonb_build_object(
    'A', '{"on": {"next": "AN"}}'::jsonb,
    'AN', '{"on": {"next": "SEVENTY"}}'::jsonb,
    'SEVENTY', jsonb_build_object('on', jsonb_build_object('next', 'LONG_' || repeat('X', 55))),
    'LONG_' || repeat('X', 55), '{"on": {"next": "A", "wrong": "FAILED", "end": "DONE"}}'::jsonb,
    'FAILED', '{"exception": {"queue": "faults"}, "on": {"back": "@origin"}}'::jsonb,
    'DONE', '{"final": "success"}'::jsonb),
  'queues', '{"faults": {"owner": "boss", "sla": "1 hour", "escalate_to": ["boss"]}}'::jsonb));
SELECT count(*) FROM workflow.submit_many('lengths',
  ARRAY(SELECT jsonb_build_object('id', repeat('k', n), 'text', repeat('t', n)) FROM generate_series(1, 16) AS n));
CREATE VIEW shown AS
  SELECT left(state, 8) AS state, seq, outcome, left(origin, 8) AS origin, count(*) AS items,
    bool_and(since = (SELECT t.at FROM workflow.transition AS t WHERE t.item_id = i.item_id AND t.seq = i.seq)) AS as_logged,
    bool_and((SELECT bool_and(v.ok) FROM workflow.verify(i.item_id) AS v)) AS verified,
    bool_and(i.data = i.input AND i.key = i.data ->> 'id') AS same_data
  FROM workflow.item AS i GROUP BY 1, 2, 3, 4;

-- names of states of all lengths, behind keys of all lengths
UPDATE workflow.item SET state = 'AN';
TABLE shown;
UPDATE workflow.item SET state = 'SEVENTY';
TABLE shown;
UPDATE workflow.item SET state = 'LONG_' || repeat('X', 55);
TABLE shown;

-- to an exception state, where the origin is kept, and back; to the end
UPDATE workflow.item SET state = 'FAILED' WHERE item_id < 4;
TABLE shown ORDER BY seq;
UPDATE workflow.item SET state = origin WHERE item_id < 3;
TABLE shown ORDER BY seq;
UPDATE workflow.item SET state = 'DONE' WHERE item_id = 1;
TABLE shown ORDER BY seq, outcome;

-- columns that were there before stay, and others that change with the state are on record
UPDATE workflow.item SET state = 'A', labels = '{"a": 1}' WHERE item_id = 4;
UPDATE workflow.item SET state = 'A', priority = 7 WHERE item_id = 5;
UPDATE workflow.item SET state = 'A', data = data || '{"more": true}' WHERE item_id = 6;
SELECT item_id, state, seq, labels, priority, data ->> 'more' AS more FROM workflow.item WHERE item_id IN (4, 5, 6) ORDER BY 1;
SELECT item_id, action, subject FROM workflow.journal WHERE action = 'patch' ORDER BY item_id;
\set VERBOSITY terse
UPDATE workflow.item SET state = 'A', key = 'x' WHERE item_id = 7;
UPDATE workflow.item SET state = 'A', route = route || 'x' WHERE item_id = 7;
UPDATE workflow.item SET state = 'A', input_ref = 'x' WHERE item_id = 7;
UPDATE workflow.item SET state = 'A', paused_by = 'x' WHERE item_id = 7;
UPDATE workflow.item SET state = 'A', keeps_events = true WHERE item_id = 7;
UPDATE workflow.item SET state = 'A', seq = seq + 1 WHERE item_id = 7;
UPDATE workflow.item SET state = 'A', since = now() WHERE item_id = 7;
UPDATE workflow.item SET state = 'A', outcome = 'success' WHERE item_id = 7;
UPDATE workflow.item SET state = 'A', version = 2 WHERE item_id = 7;
UPDATE workflow.item SET state = 'AN' WHERE item_id = 7;
UPDATE workflow.item SET state = NULL WHERE item_id = 7;
UPDATE workflow.item SET seq = seq + 1 WHERE item_id = 7;
UPDATE workflow.item SET since = now() WHERE item_id = 7;
\set VERBOSITY default
UPDATE workflow.item SET state = state WHERE item_id = 7;
SELECT left(state, 8) AS state, seq FROM workflow.item WHERE item_id = 7;

-- triggers of others, before the stamp and after it, see what they should, and what they change is stored
CREATE FUNCTION label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.labels := NEW.labels || jsonb_build_object(TG_NAME, format('%s %s', NEW.seq - OLD.seq, NEW.since > OLD.since));
  RETURN NEW;
END $$;
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE WARNING '%: % seq + %, later %', TG_NAME, NEW.state, NEW.seq - OLD.seq, NEW.since > OLD.since;
  RETURN NEW;
END $$;
CREATE TRIGGER a BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION look();
CREATE TRIGGER "~z" BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION look();
UPDATE workflow.item SET state = 'A' WHERE item_id = 8 RETURNING state, seq, since > received_at AS later;
CREATE TRIGGER b BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION label();
CREATE TRIGGER "~zz" BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION label();
UPDATE workflow.item SET state = 'AN' WHERE item_id = 8 RETURNING state, seq, labels;
DROP TRIGGER a ON workflow.item;
DROP TRIGGER b ON workflow.item;
DROP TRIGGER "~z" ON workflow.item;
DROP TRIGGER "~zz" ON workflow.item;

-- data that is stored out of line, by UPDATE, MERGE and INSERT ... ON CONFLICT
UPDATE workflow.item SET data = data || jsonb_build_object('big', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) AS n))
 WHERE item_id IN (9, 10, 11);
SELECT pg_relation_size(reltoastrelid) > 0 AS out_of_line FROM pg_class WHERE oid = 'workflow.item'::regclass;
UPDATE workflow.item SET state = 'A' WHERE item_id = 9;
MERGE INTO workflow.item AS i USING (VALUES (10)) AS v (id) ON i.item_id = v.id WHEN MATCHED THEN UPDATE SET state = 'A';
INSERT INTO workflow.item SELECT (i).* FROM workflow.item AS i WHERE item_id = 11 ON CONFLICT (item_id) DO UPDATE SET state = 'A';
SELECT item_id, state, seq, md5(data ->> 'big') = (SELECT md5(string_agg(md5(n::text), '')) FROM generate_series(1, 500) AS n) AS whole,
  since = (SELECT at FROM workflow.transition AS t WHERE t.item_id = i.item_id AND t.seq = i.seq) AS as_logged
  FROM workflow.item AS i WHERE item_id IN (9, 10, 11) ORDER BY 1;

-- a column of somebody's, which older rows do not have
ALTER TABLE workflow.item ADD COLUMN note text DEFAULT 'none';
UPDATE workflow.item SET state = 'A' WHERE item_id = 12;
UPDATE workflow.item SET state = 'AN' WHERE item_id = 12;

-- and one that the server computes from the state
ALTER TABLE workflow.item ADD COLUMN visit text GENERATED ALWAYS AS (state || ' ' || seq::text) STORED;
BEGIN;
UPDATE workflow.item SET state = 'SEVENTY' WHERE item_id = 12;
SELECT visit = state || ' ' || seq AS computed FROM workflow.item WHERE item_id = 12;
SELECT left(state, 8) AS state, seq FROM workflow.send(12::bigint, 'next');
SELECT visit = state || ' ' || seq AS computed FROM workflow.item WHERE item_id = 12;
ROLLBACK;
ALTER TABLE workflow.item DROP COLUMN visit;

-- the actor is who the role is called at that moment
CREATE ROLE image_one SUPERUSER;
SET ROLE image_one;
UPDATE workflow.item SET state = 'A' WHERE item_id = 13;
RESET ROLE;
ALTER ROLE image_one RENAME TO image_two;
SET ROLE image_two;
UPDATE workflow.item SET state = 'AN' WHERE item_id = 13;
BEGIN;
RESET ROLE;
ALTER ROLE image_two RENAME TO image_three;
SET ROLE image_three;
UPDATE workflow.item SET state = 'A' WHERE item_id = 14;
SELECT actor FROM workflow.transition WHERE item_id = 14 AND seq = 5;
ROLLBACK;
UPDATE workflow.item SET state = 'A' WHERE item_id = 14;
RESET ROLE;
UPDATE workflow.item SET state = 'AN' WHERE item_id = 14;
SELECT item_id, seq, CASE actor WHEN current_user THEN 'me' ELSE actor END AS actor FROM workflow.transition
 WHERE item_id IN (13, 14) AND seq >= 5 ORDER BY 1, 2;
DROP ROLE image_two;

SELECT bool_and(v.ok) AS verified FROM workflow.item AS i, workflow.verify(i.item_id) AS v;
SELECT event, left(from_state, 8) AS from_state, left(to_state, 8) AS to_state, kind, count(*) FROM workflow.transition
 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3;

-- one by one, where no trigger fires: twice around, each from a state that was there before
SELECT count(*) FROM workflow.submit_many('lengths',
  ARRAY(SELECT jsonb_build_object('id', repeat('m', n), 'text', repeat('t', n)) FROM generate_series(1, 16) AS n));
SET enable_seqscan = off;
DO $$
DECLARE
  target text;
  id bigint;
BEGIN
  FOR id IN SELECT i.item_id FROM workflow.item AS i WHERE i.key LIKE 'm%' LOOP
    FOREACH target IN ARRAY ARRAY['AN', 'SEVENTY', 'LONG_' || repeat('X', 55), 'A', 'AN', 'SEVENTY', 'LONG_' || repeat('X', 55)] LOOP
      UPDATE workflow.item SET state = target WHERE item_id = id;
    END LOOP;
  END LOOP;
END $$;
SELECT left(state, 8) AS state, seq, count(*),
  bool_and(since = (SELECT t.at FROM workflow.transition AS t WHERE t.item_id = i.item_id AND t.seq = i.seq)) AS as_logged,
  bool_and((SELECT bool_and(v.ok) FROM workflow.verify(i.item_id) AS v)) AS verified,
  bool_and(i.data = i.input AND i.key = i.data ->> 'id' AND i.labels = '{}' AND NOT i.keeps_events) AS same_data
FROM workflow.item AS i WHERE i.key LIKE 'm%' GROUP BY 1, 2;
