--
-- verify(): what a superuser has done past the triggers is found.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT version FROM workflow.define('{
  "workflow": "w", "owner": "me", "initial": "NEW",
  "retry": {"default": {"owner": "me", "dead_letter": "desk", "max_attempts": 1}},
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "NEW":  {"on": {"ask": "ASK", "work": "WORK", "wait": "WAIT"}},
    "ASK":  {"review": {"queue": "desk", "decisions": ["yes", "no"], "show": ["$.id"]}, "on": {"yes": "WORK", "no": "OUT"}},
    "WORK": {"task": {"queue": "desk"}, "timeout": {"after": "1 day", "event": "error"}, "on": {"ok": "DONE", "error": "ODD"}},
    "WAIT": {"wait": {"for": "1 day"}, "on": {"ok": "DONE"}},
    "ODD":  {"exception": {"queue": "desk"}, "on": {"replay": "AGAIN", "give_up": "OUT"}},
    "AGAIN":{"then": "go", "on": {"go": "@origin"}},
    "DONE": {"final": "done"}, "OUT": {"final": "out"}}}');
SELECT count(workflow.submit('w', '{}', key => k)) FROM unnest('{ask,work,wait,done,odd,decided,late}'::text[]) AS k;
SELECT count(workflow.send('w:' || k, e)) FROM (VALUES ('ask', 'ask'), ('work', 'work'), ('wait', 'wait'), ('done', 'work'),
  ('done', 'ok'), ('odd', 'work'), ('odd', 'error'), ('decided', 'ask')) AS v (k, e);
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'yes') AS d WHERE r.key = 'decided';
-- one that waits for its start has no job yet
SELECT state FROM workflow.submit('w', '{}', key => 'early', run_at => '2100-01-01');
SELECT i.key, i.state, v.ok, v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v ORDER BY i.item_id;

-- each of these, alone
CREATE FUNCTION pg_temp.tamper(item text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  id bigint := workflow._item_id('w:' || item);
  found text;
BEGIN
  BEGIN
    SET LOCAL session_replication_role = replica;
    EXECUTE statement USING id;
    SET LOCAL session_replication_role = origin;
    SELECT coalesce(v.problem, 'NOTHING') INTO found FROM workflow.verify(id) AS v;
    RAISE 'undo';
  EXCEPTION WHEN raise_exception THEN
    RETURN regexp_replace(regexp_replace(found, 'since .*, its log says .*', 'since T, its log says U'),
                          '(job|review) [0-9]+', '\1 N');
  END;
END $$;
SELECT item, pg_temp.tamper(item, statement) AS problem
FROM (SELECT v.*, row_number() OVER () AS n FROM (VALUES
  ('work', 'UPDATE workflow.item SET state = ''DONE'' WHERE item_id = $1'),
  ('work', 'UPDATE workflow.item SET seq = seq + 1 WHERE item_id = $1'),
  ('work', 'UPDATE workflow.item SET outcome = ''done'' WHERE item_id = $1'),
  ('work', 'UPDATE workflow.item SET since = ''2001-01-01'' WHERE item_id = $1'),
  ('odd',  'UPDATE workflow.item SET origin = ''ASK'' WHERE item_id = $1'),
  ('odd',  'UPDATE workflow.item SET origin = NULL WHERE item_id = $1'),
  ('odd',  'UPDATE workflow.item SET version = 2 WHERE item_id = $1'),
  ('done', 'DELETE FROM workflow.item WHERE item_id = $1'),
  ('done', 'DELETE FROM workflow.transition WHERE item_id = $1'),
  ('done', 'DELETE FROM workflow.transition WHERE item_id = $1 AND seq = 2'),
  ('done', 'DELETE FROM workflow.transition WHERE item_id = $1 AND seq = 3'),
  ('done', 'UPDATE workflow.transition SET event = ''error'' WHERE item_id = $1 AND seq = 3'),
  ('done', 'UPDATE workflow.transition SET from_state = ''ASK'' WHERE item_id = $1 AND seq = 3'),
  ('done', 'UPDATE workflow.transition SET to_state = ''ASK'' WHERE item_id = $1 AND seq = 1'),
  ('done', 'WITH log AS (UPDATE workflow.transition SET to_state = ''X'' WHERE item_id = $1 AND seq = 3)
            UPDATE workflow.item SET state = ''X'' WHERE item_id = $1'),
  ('decided', 'UPDATE workflow.transition SET kind = ''direct'' WHERE item_id = $1 AND seq = 3'),
  ('decided', 'UPDATE workflow.transition SET actor = ''boss'' WHERE item_id = $1 AND seq = 3'),
  ('decided', 'UPDATE workflow.review SET decision = ''no'' WHERE item_id = $1'),
  ('decided', 'DELETE FROM workflow.review WHERE item_id = $1'),
  ('decided', 'UPDATE workflow.review SET closed_at = NULL WHERE item_id = $1'),
  ('work', 'DELETE FROM workflow.job WHERE item_id = $1'),
  ('work', 'UPDATE workflow.job SET seq = 1 WHERE item_id = $1'),
  ('work', 'UPDATE workflow.timer SET seq = 1 WHERE item_id = $1'),
  ('done', 'INSERT INTO workflow.job (queue, run_at, created_at, item_id, seq, state) VALUES (''desk'', now(), now(), $1, 3, ''WORK'')'),
  ('done', 'INSERT INTO workflow.timer VALUES ($1, 3, ''wait'', now(), ''ok'')'),
  ('wait', 'INSERT INTO workflow.review (item_id, seq, queue, state, spec, shown, opened_at) VALUES ($1, 1, ''desk'', ''ASK'', ''{}'', ''{}'', now())'),
  ('late', 'WITH log AS (INSERT INTO workflow.transition (item_id, seq, from_state, event, to_state, kind, actor, at, version)
              SELECT $1, 2, ''NEW'', ''work'', ''WORK'', ''send'', ''me'', now(), 1)
            UPDATE workflow.item SET state = ''WORK'', seq = 2, since = now() WHERE item_id = $1')
  ) AS v (item, statement)) AS t
ORDER BY n;
\set VERBOSITY sqlstate
SELECT workflow.verify(987654321);
