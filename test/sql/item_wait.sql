--
-- Waits and timeouts: which times they mean, whoever moves the item.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SELECT version FROM workflow.define('{
  "workflow": "naps", "owner": "me", "initial": "SLEEP",
  "states": {
    "SLEEP": {"wait": {"for": "$.nap"}, "on": {"ok": "DONE", "error": "BAD", "alarm": "DONE"}},
    "DONE":  {"final": "rested"}, "BAD": {"final": "bad"}}}');
SELECT version FROM workflow.define('{
  "workflow": "dates", "owner": "me", "initial": "SLEEP",
  "states": {
    "SLEEP": {"wait": {"until": "$.at"}, "on": {"ok": "DONE", "error": "BAD", "alarm": "DONE"}},
    "DONE":  {"final": "rested"}, "BAD": {"final": "bad"}}}');
CREATE FUNCTION due(workflow text, data jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  i record := workflow.submit(workflow, data);
BEGIN
  RETURN coalesce((SELECT due_at::text FROM workflow.timer WHERE item_id = i.item_id),
                  (SELECT reason || ' [' || (t.data ->> 'error_class') || ']' FROM workflow.transition AS t WHERE t.item_id = i.item_id AND event = 'error'));
END $$;

-- an interval is as long for everybody: days of 24 hours, months of the calendar in UTC
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-31 23:30+00';
SELECT nap, due('naps', jsonb_build_object('nap', nap))
FROM unnest('{1 day,1 month,3 months,1 year,P1M,60 days,0,1000 years,9999 years}'::text[]) AS nap;
-- what is over since for ever is over now, and not before all that timers were looked for from
SELECT due('dates', '{"at": "-infinity"}');
SET LOCAL timezone = 'America/New_York';
SET LOCAL pg_workflow.clock = '2030-03-09 12:00+00';
SELECT nap, due('naps', jsonb_build_object('nap', nap))::timestamptz AT TIME ZONE 'UTC' AS due FROM unnest('{1 day,1 month}'::text[]) AS nap;
ROLLBACK;

-- a time without a zone is in UTC, whatever the session's settings; a zone counts, with its summer
BEGIN;
SELECT at, due('dates', jsonb_build_object('at', at))
FROM unnest('{2030-07-01 09:00,2030-07-01T09:00:00Z,2030-07-01 09:00+02,2030-07-01 09:00 Europe/Berlin,2030-01-01 09:00 Europe/Berlin,
              2030-03-31 02:30 Europe/Berlin,2030-10-27 02:30 Europe/Berlin,2030-07-01,1999-01-01,infinity}'::text[]) AS at;
SET LOCAL timezone = 'America/New_York';
SET LOCAL datestyle = 'SQL, DMY';
SELECT at, due('dates', jsonb_build_object('at', at))::timestamptz = '2030-07-01 09:00Z' AS is_the_same FROM unnest('{2030-07-01 09:00,20300701T0900}'::text[]) AS at;
SELECT due('dates', '{"at": "04/05/2030"}');
SHOW timezone;
SHOW datestyle;
ROLLBACK;

-- what cannot be computed fails the item, and names the state and the selector
BEGIN;
SELECT data, due('naps', data)
FROM unnest(ARRAY['{}', '{"nap": null}', '{"nap": 5}', '{"nap": ["1 hour"]}', '{"nap": "a while"}', '{"nap": "-1 hour"}', '{"nap": "20000 years"}',
                  '{"nap": ""}']::jsonb[]) AS data;
SELECT data, due('dates', data)
FROM unnest(ARRAY['{}', '{"at": 20300101}', '{"at": "soon"}', '{"at": "tomorrow"}', '{"at": "now"}', '{"at": "2030-02-30"}', '{"at": "2030-01-01 09:00 Mars/Olympus"}']::jsonb[]) AS data;
ROLLBACK;

-- a document says what it means: no relative times, nothing shorter than nothing
SELECT * FROM workflow.define('{"workflow": "bad", "owner": "me", "initial": "A",
  "states": {"A": {"wait": {"until": "tomorrow"}, "on": {"ok": "B"}}, "B": {"wait": {"for": "-1 day"}, "on": {"ok": "C"}}, "C": {"final": "x"}}}');

-- what is over already is over at once; what is for ever waits for an event
BEGIN;
SELECT item_id FROM workflow.submit('dates', '{"at": "1999-01-01"}', key => 'past') \gset
SELECT item_id FROM workflow.submit('dates', '{"at": "-infinity"}', key => 'never began') \gset
SELECT item_id FROM workflow.submit('dates', '{"at": "infinity"}', key => 'never') \gset
SELECT item_id FROM workflow.submit('naps', '{"nap": "0"}', key => 'nothing') \gset
CALL workflow.run();
SET LOCAL pg_workflow.clock = '9999-01-01';
CALL workflow.run();
SELECT key, state FROM workflow.items ORDER BY key;
SELECT state FROM workflow.send('dates:never', 'alarm');
SELECT count(*) AS timers FROM workflow.timer;
ROLLBACK;

-- a timeout is reckoned as a wait is
SELECT version FROM workflow.define('{
  "workflow": "asks", "owner": "me", "initial": "ASK",
  "states": {"ASK": {"timeout": {"after": "1 month", "event": "silence"}, "on": {"answer": "DONE", "silence": "DONE"}}, "DONE": {"final": "x"}}}');
BEGIN;
SET LOCAL timezone = 'America/New_York';
SET LOCAL pg_workflow.clock = '2030-01-31 23:30+00';
SELECT item_id FROM workflow.submit('asks', '{}') \gset
SET LOCAL timezone = 'UTC';
SELECT kind, due_at FROM workflow.timer;
ROLLBACK;

-- a reminder after three days and the end after seven, with no sleep
SELECT version FROM workflow.define('{
  "workflow": "offers", "owner": "me", "initial": "SENT",
  "states": {
    "SENT":     {"timeout": {"after": "3 days", "event": "late"}, "on": {"answer": "WON", "late": "REMINDED"}},
    "REMINDED": {"timeout": {"after": "4 days", "event": "late"}, "on": {"answer": "WON", "late": "LOST"}},
    "WON": {"final": "won"}, "LOST": {"final": "lost"}}}');
BEGIN;
SELECT item_id FROM workflow.submit('offers', '{}', key => 'o-1') \gset
SET LOCAL pg_workflow.clock = '+3 days';
CALL workflow.run();
SELECT state FROM workflow.where_is('offers:o-1');
SAVEPOINT reminded;
SELECT state FROM workflow.send('offers:o-1', 'answer');
ROLLBACK TO reminded;
SET LOCAL pg_workflow.clock = '+7 days';
CALL workflow.run();
SELECT state, outcome FROM workflow.where_is('offers:o-1');
ROLLBACK;
SHOW pg_workflow.clock;

-- the clock: a point in time stands still, an interval with its sign goes on beside the real time
SELECT abs(extract(epoch FROM workflow._now() - clock_timestamp())) < 5 AS is_real;
SET pg_workflow.clock = '+2 hours';
SELECT abs(extract(epoch FROM workflow._now() - clock_timestamp() - interval '2 hours')) < 5 AS is_later;
SET pg_workflow.clock = '-1 day';
SELECT abs(extract(epoch FROM workflow._now() - clock_timestamp() + interval '1 day')) < 5 AS is_earlier;
SET pg_workflow.clock = '+1 month';
SELECT workflow._now()::date = ((now() AT TIME ZONE 'UTC') + interval '1 month')::date AS is_next_month;
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01';
SELECT workflow._now();
SAVEPOINT one;
SET LOCAL pg_workflow.clock = '2031-01-01';
SELECT workflow._now();
ROLLBACK TO one;
SELECT workflow._now();
ROLLBACK;
SHOW pg_workflow.clock;
RESET pg_workflow.clock;
SELECT abs(extract(epoch FROM workflow._now() - clock_timestamp())) < 5 AS is_real;
SET pg_workflow.clock = 'infinity';
SET pg_workflow.clock = '-infinity';
SET pg_workflow.clock = '3 days';
SET pg_workflow.clock = '+a while';
SET pg_workflow.clock = '+200000 years';
SET pg_workflow.clock = 'soon';
-- it may be granted
CREATE ROLE regress_wait_tester;
SET ROLE regress_wait_tester;
SET pg_workflow.clock = '+1 day';
RESET ROLE;
GRANT SET ON PARAMETER pg_workflow.clock TO regress_wait_tester;
SET ROLE regress_wait_tester;
SET pg_workflow.clock = '+1 day';
RESET pg_workflow.clock;
RESET ROLE;
DROP OWNED BY regress_wait_tester;
DROP ROLE regress_wait_tester;

-- timers of an item that is paused wait for it; of a workflow, too.  They are looked at once.
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00Z';
SELECT item_id FROM workflow.submit('naps', '{"nap": "1 hour"}', key => 'a') \gset
SELECT item_id AS other FROM workflow.submit('dates', '{"at": "infinity"}', key => 'never') \gset
SELECT workflow.pause(:item_id, 'x'), workflow.pause(:other, 'x');
SET LOCAL pg_workflow.clock = '2030-01-01 02:00Z';
CALL workflow.run();
SELECT key, state, kind, due_at, paused_due_at FROM workflow.timer AS t JOIN workflow.item AS i USING (item_id) ORDER BY key;
SELECT workflow.pause_workflow('naps', 'x');
SELECT workflow.resume(:item_id, 'x'), workflow.resume(:other, 'x');
SELECT key, state, due_at, paused_due_at FROM workflow.timer AS t JOIN workflow.item AS i USING (item_id) ORDER BY key;
CALL workflow.run();
SELECT key, state, due_at, paused_due_at FROM workflow.timer AS t JOIN workflow.item AS i USING (item_id) ORDER BY key;
SELECT waiting_on, next_action_at FROM workflow.where_is('naps:a');
SELECT workflow.resume_workflow('naps', 'x');
SELECT waiting_on, next_action_at FROM workflow.where_is('naps:a');
CALL workflow.run();
SELECT key, state FROM workflow.item ORDER BY key;
SELECT * FROM workflow.verify('naps:a');
ROLLBACK;

-- a timer of an item that is not there goes
SELECT item_id FROM workflow.submit('naps', '{"nap": "1 hour"}', key => 'gone') \gset
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM workflow.item WHERE item_id = :item_id;
COMMIT;
SET pg_workflow.clock = '+2 hours';
CALL workflow.run();
RESET pg_workflow.clock;
SELECT count(*) FROM workflow.timer WHERE item_id = :item_id;
