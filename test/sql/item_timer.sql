--
-- Timers: wait, timeout, a later start, and what stops them.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET pg_workflow.clock = '2030-01-01 00:00';
SELECT workflow.define('{
  "workflow": "naps", "owner": "me", "initial": "BEGIN",
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "BEGIN": {"then": "next", "on": {"next": "SLEEP"}},
    "SLEEP": {"wait": {"for": "$.nap"}, "on": {"ok": "ASK", "alarm": "ASK", "error": "BAD"}},
    "ASK":   {"timeout": {"after": "2 days", "event": "silence"}, "on": {"answer": "UNTIL", "silence": "LATE"}},
    "UNTIL": {"wait": {"until": "$.ask.until"}, "on": {"ok": "DONE", "error": "BAD"}},
    "DONE":  {"final": "rested"}, "LATE": {"final": "late"}, "BAD": {"final": "bad"}}}');

-- a wait ends at its time and not before
BEGIN;
SELECT item_id, state FROM workflow.submit('naps', '{"nap": "1 hour"}', key => 'a') \gset
SELECT kind, due_at, event FROM workflow.timer;
SET LOCAL pg_workflow.clock = '2030-01-01 00:59';
CALL workflow.run();
SELECT state FROM workflow.item;
SET LOCAL pg_workflow.clock = '2030-01-01 01:00';
CALL workflow.run();
SELECT state, since FROM workflow.item;
SELECT kind, due_at, event FROM workflow.timer;

-- a timeout counts from entry; leaving in time ends it
SAVEPOINT asked;
SET LOCAL pg_workflow.clock = '2030-01-03 01:00';
CALL workflow.run();
SELECT state, outcome FROM workflow.item;
SELECT seq, event, kind, actor, reason FROM workflow.transition ORDER BY seq DESC LIMIT 1;
SELECT count(*) AS timers FROM workflow.timer;
ROLLBACK TO asked;
SELECT state FROM workflow.send(:item_id, 'answer', '{"until": "2030-02-01 12:00+00"}');
SELECT kind, due_at, event FROM workflow.timer;

-- paused, nothing fires; resumed, what is due does
SELECT workflow.pause(:item_id, 'holiday');
SET LOCAL pg_workflow.clock = '2030-03-01 00:00';
CALL workflow.run();
SELECT state FROM workflow.item;
SELECT workflow.resume(:item_id, 'back');
CALL workflow.run();
SELECT state, outcome FROM workflow.item;
SELECT * FROM workflow.verify(:item_id);
ROLLBACK;

-- an event may come before the timer
BEGIN;
SELECT item_id FROM workflow.submit('naps', '{"nap": "1 hour"}') \gset
SELECT state FROM workflow.send(:item_id, 'alarm');
SELECT kind FROM workflow.timer;
ROLLBACK;

-- what cannot be computed fails the item, not whoever moved it
BEGIN;
SELECT state FROM workflow.submit('naps', '{"nap": "a while"}');
SELECT state FROM workflow.submit('naps', '{}');
SELECT event, reason, data ->> 'error_class' AS error_class FROM workflow.transition WHERE event = 'error' ORDER BY item_id;
ROLLBACK;

-- a later start: nothing is set going before
BEGIN;
SELECT item_id, state FROM workflow.submit('naps', '{"nap": "1 hour"}', run_at => '2030-01-02') \gset
SELECT :'state' AS state, kind, due_at FROM workflow.timer;
CALL workflow.run();
SELECT state FROM workflow.item;
SET LOCAL pg_workflow.clock = '2030-01-02';
CALL workflow.run();
SELECT state FROM workflow.item;
SELECT kind, due_at FROM workflow.timer;
ROLLBACK;

-- with a job to carry the time, the job does
SELECT workflow.define('{
  "workflow": "later", "owner": "me", "initial": "WORK",
  "retry": {"default": {"owner": "me", "dead_letter": "work", "max_attempts": 1, "timeout": "5 seconds",
            "backoff": {"initial": "1 second", "factor": 2, "max": "1 minute", "jitter": "none"},
            "retry_on": ["timeout"], "alert_after": 1}},
  "states": {
    "WORK": {"task": {"queue": "work"}, "timeout": {"after": "1 hour", "event": "slow"},
             "on": {"ok": "DONE", "slow": "DONE", "error": "DONE"}},
    "DONE": {"final": "success"}}}');
BEGIN;
SELECT state FROM workflow.submit('later', '{}', run_at => '2030-01-02', priority => 7);
SELECT status, run_at, priority FROM workflow.job;
SELECT kind, due_at FROM workflow.timer;
ROLLBACK;

-- one that cannot fire holds up no other, is tried again, and says why
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON workflow.item FOR EACH ROW
  WHEN (NEW.key = 'refused' AND NEW.state = 'ASK') EXECUTE FUNCTION refuse();
BEGIN;
SELECT item_id FROM workflow.submit('naps', '{"nap": "1 hour"}', key => 'refused') \gset
SELECT item_id FROM workflow.submit('naps', '{"nap": "61 minutes"}', key => 'other') \gset other_
SET LOCAL pg_workflow.clock = '2030-01-01 02:00';
SET LOCAL client_min_messages = error;
CALL workflow.run();
SELECT key, state FROM workflow.item ORDER BY item_id;
SELECT waiting_on, next_action_at, last_error_class, last_error FROM workflow.where_is(:item_id);
SELECT ok, severity, detail = format('1 timer could not fire and is tried each minute; one of item %s: not this one', :item_id) AS says_so
FROM workflow.health() WHERE "check" = 'timers';
DROP TRIGGER refuse ON workflow.item;
SET LOCAL pg_workflow.clock = '2030-01-01 02:01';
CALL workflow.run();
SELECT key, state FROM workflow.item ORDER BY item_id;
SELECT last_error_class, last_error FROM workflow.where_is(:item_id);
ROLLBACK;
DROP TRIGGER refuse ON workflow.item;
DROP FUNCTION refuse;

-- what a deferred trigger of somebody refuses is the end of one timer, not of all
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'never'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON workflow.item DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (new.key = 'refused') EXECUTE FUNCTION refuse();
SELECT version FROM workflow.define('{"workflow": "late", "owner": "me", "initial": "WAIT",
  "states": {"WAIT": {"wait": {"for": "1 hour"}, "on": {"ok": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT state FROM workflow.submit('late', '{}', key => 'refused');
SELECT state FROM workflow.submit('late', '{}', key => 'other');
SET pg_workflow.clock = '2030-01-05';
\set VERBOSITY terse
SET client_min_messages = warning;
CALL workflow.run();
SELECT key, state FROM workflow.items WHERE workflow = 'late' ORDER BY key;
DROP TRIGGER refuse ON workflow.item;
DROP FUNCTION refuse;

-- one that belongs to an earlier visit of the same state (that a restore has brought, say) is nothing to the present one
SELECT version FROM workflow.define('{
  "workflow": "ring", "owner": "me", "initial": "ASK",
  "states": {"ASK": {"timeout": {"after": "2 days", "event": "silence"}, "on": {"answer": "BACK", "silence": "LATE"}},
             "BACK": {"on": {"again": "ASK"}}, "LATE": {"final": "late"}}}');
SET pg_workflow.clock = '2030-01-01 00:00';
BEGIN;
SELECT item_id FROM workflow.submit('ring', '{}') \gset
SELECT state FROM workflow.send(:item_id, 'answer');
SELECT state, seq FROM workflow.send(:item_id, 'again');
SET LOCAL session_replication_role = replica;
INSERT INTO workflow.timer (item_id, seq, kind, due_at, event) VALUES (:item_id, 1, 'timeout', '2030-01-01 00:00', 'silence');
SET LOCAL session_replication_role = origin;
CALL workflow.run();
SELECT state, seq FROM workflow.item WHERE item_id = :item_id;
SELECT seq, kind, due_at FROM workflow.timer WHERE item_id = :item_id;
ROLLBACK;
