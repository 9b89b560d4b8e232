--
-- The event "compensated": an item that waits until all is taken back goes on when it is.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\set SHOW_CONTEXT never
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.invalid', dedup 'key');
SELECT version FROM workflow.define('{
  "workflow": "trip", "owner": "me", "key": ["$.id"], "initial": "PLAN",
  "retry": {"default": {"owner": "me", "max_attempts": 1, "timeout": "10 seconds"}},
  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "PLAN":   {"on": {"go": "FLIGHT"}},
    "FLIGHT": {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/flights", "key": ["$.id", "flight"],
                        "revert": {"method": "DELETE", "path": "/flights/{$.id}"}}, "on": {"ok": "HOTEL", "error": "REST"}},
    "HOTEL":  {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/hotels", "key": ["$.id", "hotel"],
                        "revert": {"method": "DELETE", "path": "/hotels/{$.id}"}}, "on": {"ok": "REST", "error": "REST"}},
    "REST":   {"on": {"over": "DONE"}},
    "BACK":   {"description": "Waits until all is taken back", "on": {"compensated": "OFF", "enough": "DONE"}},
    "ASIDE":  {"on": {"over": "DONE"}},
    "OFF":    {"final": "off"}, "DONE": {"final": "done"}},
  "any": {"on": {"call_off": "BACK", "leave": "ASIDE"}}}');
SELECT severity, code, problem FROM workflow.check('trip') WHERE severity <> 'notice';
-- in a transaction that is rolled back run() calls the mocks only
CREATE PROCEDURE begin_trip() LANGUAGE sql AS $$
  SELECT workflow.mock('crm', '[{"method": "POST", "body": {}, "times": 9}, {"method": "DELETE", "body": {}, "times": 9}]');
  SELECT FROM workflow.submit('trip', '{"id": 7}');
  SELECT FROM workflow.send('trip:7', 'go');
$$;
CREATE VIEW steps AS
  SELECT t.seq, t.from_state, t.event, t.to_state, t.kind, t.reason FROM workflow.transition AS t WHERE t.from_state IN ('BACK', 'ASIDE') ORDER BY t.seq;
CREATE VIEW stands AS SELECT w.state, w.outcome, w.waiting_on, w.waiting_detail, w.next_action_at IS NULL AS no_time, w.allowed_events, w.what_next
  FROM workflow.where_is('trip:7') AS w;

-- the last revert that succeeds moves the item that waits for it
BEGIN;
CALL begin_trip();
CALL workflow.run();
SELECT cardinality(workflow.compensate('trip:7', 'no time')) AS reverts;
SELECT state FROM workflow.send('trip:7', 'call_off');
\x on
TABLE stands;
\x off
CALL workflow.run();
TABLE stands;
TABLE steps;
SELECT ok FROM workflow.verify('trip:7');
SELECT count(*) AS timers FROM workflow.timer;
ROLLBACK;

-- who waits for it and has begun nothing is told how that is begun: by cancel(), and by where_is()
SELECT version FROM workflow.define(replace(replace(workflow.document('trip')::text, '"trip"', '"tour"'), '"call_off": "BACK"', '"cancel": "BACK"')::json);
BEGIN;
SELECT workflow.mock('crm', '[{"method": "POST", "body": {}, "times": 9}, {"method": "DELETE", "body": {}, "times": 9}]');
SELECT state FROM workflow.submit('tour', '{"id": 7}');
SELECT state FROM workflow.send('tour:7', 'go');
CALL workflow.run();
SET LOCAL client_min_messages = notice;
SELECT workflow.cancel('tour:7', 'no money');
SET LOCAL client_min_messages = error;
SELECT state, what_next FROM workflow.where_is('tour:7');
SELECT workflow.revert((SELECT effect_id FROM workflow.effects WHERE key = '7:flight'), 'one of two') > 0 AS reverts;
SELECT regexp_replace(what_next, '\d+, ', 'N, ') AS what_next FROM workflow.where_is('tour:7');
SELECT cardinality(workflow.compensate('tour:7', 'both')) AS reverts;
SELECT what_next FROM workflow.where_is('tour:7');
ROLLBACK;
-- nothing is said where there is nothing to take back
BEGIN;
SELECT state FROM workflow.submit('tour', '{"id": 7}');
SET LOCAL client_min_messages = notice;
SELECT workflow.cancel('tour:7', 'no money');
SELECT what_next FROM workflow.where_is('tour:7');
ROLLBACK;

-- nobody says so beforehand
BEGIN;
SELECT FROM workflow.submit('trip', '{"id": 7}');
\set VERBOSITY terse
SELECT workflow.send('trip:7', 'compensated');
\set VERBOSITY default
ROLLBACK;

-- one that comes when all is taken back already does not stay, nor one that had nothing to take back
BEGIN;
CALL begin_trip();
CALL workflow.run();
SELECT cardinality(workflow.compensate('trip:7', 'no time')) AS reverts;
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
SELECT state FROM workflow.send('trip:7', 'call_off');
CALL workflow.run();
TABLE steps;
ROLLBACK;
BEGIN;
SELECT FROM workflow.submit('trip', '{"id": 7}');
SELECT state FROM workflow.send('trip:7', 'call_off');
CALL workflow.run();
TABLE steps;
ROLLBACK;

-- while something is left that was done and nobody takes back, it stays
BEGIN;
CALL begin_trip();
CALL workflow.run();
SELECT state FROM workflow.send('trip:7', 'call_off');
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
SELECT workflow.revert((SELECT effect_id FROM workflow.effects WHERE key = '7:flight'), 'one of two') > 0 AS reverts;
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
SELECT cardinality(workflow.compensate('trip:7', 'the rest')) AS reverts;
CALL workflow.run();
TABLE steps;
ROLLBACK;

-- nor where a revert is refused, until somebody has seen to it
BEGIN;
SELECT workflow.mock('crm', '[{"method": "DELETE", "path": "/flights/*", "status": 400}]');
CALL begin_trip();
CALL workflow.run();
SELECT cardinality(workflow.compensate('trip:7', 'no time')) AS reverts;
SELECT state FROM workflow.send('trip:7', 'call_off');
CALL workflow.run();
SELECT state, regexp_replace(waiting_detail, 'job \d+', 'job N') AS waiting_detail FROM stands;
SELECT key, state FROM workflow.effects WHERE kind = 'revert' ORDER BY key;
SELECT workflow.resolve(effect_id, 'applied', 'called them') FROM workflow.effects WHERE key = 'revert:7:flight';
CALL workflow.run();
TABLE steps;
ROLLBACK;

-- nor while nobody knows whether a step was done
BEGIN;
CALL begin_trip();
CALL workflow.run();
UPDATE workflow.effect SET state = 'held', finished_at = NULL WHERE key = '7:hotel';
SELECT workflow.revert((SELECT effect_id FROM workflow.effects WHERE key = '7:flight'), 'the other one') > 0 AS reverts;
SELECT state FROM workflow.send('trip:7', 'call_off');
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
SELECT workflow.resolve(effect_id, 'not_applied', 'called them') FROM workflow.effects WHERE key = '7:hotel';
SELECT key, state FROM workflow.effects ORDER BY key;
CALL workflow.run();
TABLE steps;
ROLLBACK;

-- a paused item waits, and one that has gone elsewhere, or has ended, does not hear of it
BEGIN;
CALL begin_trip();
CALL workflow.run();
SELECT cardinality(workflow.compensate('trip:7', 'no time')) AS reverts;
SELECT state FROM workflow.send('trip:7', 'call_off');
SELECT workflow.pause('trip:7', 'let me see');
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
SELECT workflow.resume('trip:7', 'go on');
CALL workflow.run();
TABLE steps;
ROLLBACK;
BEGIN;
CALL begin_trip();
CALL workflow.run();
SELECT cardinality(workflow.compensate('trip:7', 'no time')) AS reverts;
SELECT state FROM workflow.send('trip:7', 'call_off');
SELECT state FROM workflow.send('trip:7', 'leave');
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
SELECT count(*) AS timers FROM workflow.timer;
ROLLBACK;

-- under "any" it comes with the end of a compensation, and not to who only passes by
SELECT version FROM workflow.define(replace(workflow.document('trip')::text, '"leave": "ASIDE"', '"leave": "ASIDE", "compensated": "DONE"')::json);
BEGIN;
CALL begin_trip();
CALL workflow.run();
SELECT state FROM workflow.send('trip:7', 'leave');
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
SELECT cardinality(workflow.compensate('trip:7', 'no time')) AS reverts;
CALL workflow.run();
TABLE steps;
ROLLBACK;

-- a part that could not be taken back alone was taken back with the whole
SELECT version FROM workflow.define('{"workflow": "part", "owner": "me", "key": ["$.id"], "initial": "SET",
  "retry": {"default": {"owner": "me", "max_attempts": 1}}, "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"SET": {"http": {"endpoint": "crm", "queue": "out", "method": "PATCH", "path": "/a", "body": {"x": 1, "y": 1}, "key": ["$.id", "set"],
                              "revert": {"method": "PATCH", "path": "/a", "body": {"x": 0, "y": 0}}}, "on": {"ok": "BACK"}},
             "BACK": {"on": {"compensated": "DONE"}}, "DONE": {"final": "done"}}, "any": {"on": {"error": "DONE"}}}');
BEGIN;
SELECT workflow.mock('crm', '[{"body": {}}, {"status": 400}, {"body": {}}]');
SELECT state FROM workflow.submit('part', '{"id": "p"}');
CALL workflow.run();
SELECT workflow.revert((SELECT effect_id FROM workflow.effects WHERE key = 'p:set'), 'x was right', members => '{x}') > 0 AS reverts;
CALL workflow.run();
SELECT cardinality(workflow.compensate('part:p', 'all of it')) AS reverts;
CALL workflow.run();
SELECT key, state FROM workflow.effects ORDER BY key;
TABLE steps;
ROLLBACK;

-- nor to one whose step failed, or was never sent: nothing of it was taken back
BEGIN;
SELECT workflow.mock('crm', '[{"method": "POST", "status": 400}]');
CALL begin_trip();
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
SELECT key, state FROM workflow.effects ORDER BY key;
ROLLBACK;
BEGIN;
CALL begin_trip();
SELECT state FROM workflow.send('trip:7', 'leave');
CALL workflow.run();
SELECT state FROM workflow.where_is('trip:7');
ROLLBACK;

-- it comes once: not again to where it has led, be it that it was sent, or that several have told of the end
SELECT version FROM workflow.define(replace(replace(workflow.document('trip', 2)::text, '"compensated": "OFF"', '"compensated": "ASIDE"'), '"Waits', '"It waits')::json);
SELECT workflow.activate('trip', 3);
BEGIN;
SELECT FROM workflow.submit('trip', '{"id": 7}');
SELECT state FROM workflow.send('trip:7', 'call_off');
SELECT state FROM workflow.send('trip:7', 'compensated');
CALL workflow.run();
TABLE steps;
SELECT count(*) AS timers FROM workflow.timer;
ROLLBACK;
BEGIN;
CALL begin_trip();
CALL workflow.run();
SELECT cardinality(workflow.compensate('trip:7', 'no time')) AS reverts;
SELECT state FROM workflow.send('trip:7', 'call_off');
UPDATE workflow.effect SET state = 'succeeded', finished_at = now() WHERE kind = 'revert';
CALL workflow.run();
TABLE steps;
SELECT count(*) AS timers FROM workflow.timer;
ROLLBACK;

-- who waited in another way, and is migrated to a version that has the event, does not wait for ever
SELECT version FROM workflow.define(replace(workflow.document('trip', 1)::text, '"compensated": "OFF", ', '')::json);
SELECT workflow.activate('trip', 4);
BEGIN;
CALL begin_trip();
CALL workflow.run();
SELECT cardinality(workflow.compensate('trip:7', 'no time')) AS reverts;
CALL workflow.run();
SELECT state FROM workflow.send('trip:7', 'call_off');
SELECT state, target, verdict, items FROM workflow.migrate('trip', 4, 1, dry_run => false);
CALL workflow.run();
TABLE steps;
ROLLBACK;

-- the end is told of once, too, where all of its news are found together
SELECT workflow.activate('trip', 3);
CREATE FUNCTION settle(what text) RETURNS void LANGUAGE sql AS $$
  UPDATE workflow.effect SET state = 'succeeded', finished_at = now(), response = '{"status": 200}' WHERE key = what;
  SELECT workflow._effect_settled(effect_id, 'tester') FROM workflow.effect WHERE key = what;
$$;
SELECT FROM workflow.submit('trip', '{"id": 8}');
SELECT FROM workflow.send('trip:8', 'go');
SELECT settle('8:flight');
SELECT settle('8:hotel');
SELECT cardinality(workflow.compensate('trip:8', 'no time')) AS reverts;
SELECT state FROM workflow.send('trip:8', 'call_off');
SELECT settle('revert:8:hotel');
SELECT settle('revert:8:flight');
SELECT count(*) AS timers FROM workflow.timer;
CALL workflow.run('1 minute');
SELECT count(*) AS timers FROM workflow.timer;
TABLE steps;

-- the check: a name that is nearly it, and a workflow in which nothing can be taken back
SELECT severity, code, path, hint FROM workflow._document_faults(replace(workflow.document('trip', 1)::text, '"compensated"', '"compensate"')::json, 'postgres', '{}')
  AS f (severity, code, state, path, problem, hint, consequence) WHERE severity <> 'notice';
SELECT severity, code, path, problem FROM workflow._document_faults('{"workflow": "w", "initial": "A", "owner": "me", "key": "$.id",
  "states": {"A": {"on": {"compensated": "B", "go": "B"}}, "B": {"final": "done"}}}', 'postgres', '{}')
  AS f (severity, code, state, path, problem, hint, consequence) WHERE severity <> 'notice';
