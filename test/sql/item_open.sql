--
-- While the outcome of an action is open, what would pass it by is refused, whoever
-- sends it; where_is() and the hint of WF001 list what is accepted now.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'finance');
SELECT version FROM workflow.define('{
  "workflow": "pay", "owner": "me", "key": ["$.id"], "initial": "OPEN",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "OPEN":  {"on": {"pay": "PAY", "late": "SLOW", "work": "WORK"}},
    "PAY":   {"http": {"endpoint": "bank", "queue": "q", "method": "POST", "path": "/pay", "key": ["$.id"]},
              "timeout": "1 day", "on": {"ok": "DONE", "error": "ODD", "timeout": "ODD", "note": "PAY"}},
    "SLOW":  {"http": {"endpoint": "bank", "queue": "q", "method": "POST", "path": "/slow", "key": ["slow", "$.id"]},
              "timeout": {"after": "1 day", "event": "too_late"}, "on": {"ok": "DONE", "error": "ODD", "too_late": "ODD"}},
    "WORK":  {"task": {"queue": "q"}, "timeout": "1 day", "on": {"ok": "DONE", "error": "ODD", "timeout": "ODD"}},
    "ODD":   {"exception": {"queue": "q"}, "on": {"replay": "AGAIN", "give_up": "DONE"}},
    "AGAIN": {"then": "next", "on": {"next": "PAY"}},
    "DONE":  {"final": "done"}}}');
SELECT count(workflow.submit('pay', jsonb_build_object('id', k))) FROM unnest(ARRAY['pay', 'late', 'work']) AS k;
SELECT count(workflow.send('pay:' || k, k)) FROM unnest(ARRAY['pay', 'late', 'work']) AS k;

-- the hint of an event that no state takes; sqlstate and message of one that is refused
CREATE FUNCTION hint_of(item text, event text DEFAULT 'nonsense') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  PERFORM workflow.send(item, event);
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN regexp_replace(hint, '\d+', 'N', 'g');
END $$;
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RAISE EXCEPTION 'ok' USING ERRCODE = 'ZZ000';
EXCEPTION
  WHEN SQLSTATE 'ZZ000' THEN RETURN 'ok';
  WHEN OTHERS THEN RETURN sqlstate || ' ' || regexp_replace(sqlerrm, '\d+', 'N', 'g');
END $$;
CREATE FUNCTION accepted(item text, OUT event text, OUT listed boolean, OUT sent text) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT e, e = ANY (w.allowed_events), try(format('SELECT workflow.send(%L, %L)', item, e))
  FROM workflow.where_is(item) AS w, unnest(ARRAY['ok', 'error', 'timeout', 'too_late', 'note', 'cancel']) AS e
$$;

-- not begun: everything that the state handles
SELECT allowed_events, hint_of('pay:pay') FROM workflow.where_is('pay:pay');
SELECT * FROM accepted('pay:pay');

-- open, in whatever way: neither an outcome nor the state's timeout, by whatever name that goes
CREATE TABLE openness (n int, change text);
INSERT INTO openness VALUES (1, 'state = ''held'', reason = ''nobody knows'''), (2, 'state = ''unknown'''), (3, 'state = ''sending'''),
  (4, 'state = ''claimed'''), (5, 'unknown_attempts = 1');
CREATE FUNCTION as_if(item text, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  seen text;
BEGIN
  EXECUTE 'UPDATE workflow.effect SET ' || change;
  SELECT string_agg(format('%s %s %s', a.event, a.listed, left(a.sent, 5)), ', ') || '; ' || hint_of(item) INTO seen FROM accepted(item) AS a;
  RAISE EXCEPTION '%', seen USING ERRCODE = 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN RETURN sqlerrm;
END $$;
SELECT o.change, as_if('pay:pay', o.change) FROM openness AS o ORDER BY o.n;
SELECT as_if('pay:late', 'state = ''held''');
BEGIN;
UPDATE workflow.effect SET state = 'held', reason = 'nobody knows';
SELECT hint_of('pay:late', 'too_late');
-- nor by hand: the event that leads there is the same
SELECT try('UPDATE workflow.item SET state = ''DONE'' WHERE key = ''pay'''), try('UPDATE workflow.item SET state = ''ODD'' WHERE key = ''pay'''),
       try('UPDATE workflow.item SET state = ''CANCELLED'' WHERE key = ''pay''');
-- what is known to be applied is about to move the item: nothing comes before it
UPDATE workflow.effect SET state = 'succeeded';
UPDATE workflow.job SET status = 'waiting', waiting_on = 'effect' WHERE effect_id IS NOT NULL;
SELECT * FROM accepted('pay:pay');
SELECT hint_of('pay:pay', 'ok');
-- where it could not be told, a person may move it
UPDATE workflow.job SET waiting_on = 'blocked' WHERE effect_id IS NOT NULL;
SELECT * FROM accepted('pay:pay');
ROLLBACK;

-- a guard of a task that is held: its outcome is not sent by others, what its worker says counts
SELECT verdict FROM workflow.begin_effect('bank', 'mine', '{}', 'pay:work');
UPDATE workflow.effect SET state = 'held', reason = 'nobody knows' WHERE kind = 'guard';
SELECT allowed_events, hint_of('pay:work') FROM workflow.where_is('pay:work');
SELECT event, sent FROM accepted('pay:work') WHERE listed OR event IN ('ok', 'error');
SELECT workflow.complete(c.job_id, c.token) FROM workflow.claim('q', 'w') AS c;
SELECT state FROM workflow.items WHERE key = 'work';
