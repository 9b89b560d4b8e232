--
-- The clock of a review: warned, overdue, and standing while its item, workflow or
-- queue is paused or it waits for somebody outside.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT workflow.define('{
  "workflow": "w", "owner": "me", "initial": "ASK",
  "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead", "director"]}},
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["yes"], "on_overdue": "escalate"}, "on": {"yes": "END"}},
    "END": {"final": "done"}}}');
SELECT workflow.define('{
  "workflow": "own_times", "owner": "me", "initial": "ASK",
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["yes"], "on_overdue": "yes", "sla": "1 hour", "warn": "10 minutes",
                       "claim_for": "20 minutes", "priority": -1}, "on": {"yes": "END"}},
    "END": {"final": "done"}}}');

-- times are the queue's, and a fifth of them before; a state may have its own
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00';
SELECT count(workflow.submit(w, '{}', w)) FROM unnest('{w,own_times}'::text[]) AS w;
SELECT workflow, opened_at, warn_at, due_at, next_step_at, priority FROM workflow.review_inbox;
-- the more urgent is claimed first; the claim ends by itself
SELECT workflow.claim_review('desk');
SELECT workflow, assignee, claimed_at, claim_until FROM workflow.review_inbox;
SET LOCAL pg_workflow.clock = '2030-01-01 00:20';
SELECT workflow, assignee, claimed_at, claim_until FROM workflow.review_inbox;
SELECT workflow.claim_review('desk');
-- soon due, overdue, escalated: to whom it is said
SET LOCAL pg_workflow.clock = '2030-01-01 00:50';
SELECT * FROM workflow._conditions_of_review() ORDER BY kind, subject;
SELECT workflow._next_condition_of_review();
SET LOCAL pg_workflow.clock = '2030-01-01 04:00';
SELECT workflow._next_condition_of_review();
SELECT kind, subject, owner FROM workflow._conditions_of_review() ORDER BY kind, subject;
CALL workflow.run();
SELECT kind, subject, severity, owner, detail FROM workflow._conditions_of_review() ORDER BY kind, subject;
-- an escalation ends a claim
SELECT id, step, owner, overdue, assignee, next_step_at FROM workflow.review_inbox;
SELECT workflow, status, decision, was_overdue, lead_time FROM workflow.reviews ORDER BY id;
SET LOCAL pg_workflow.clock = '2030-01-01 08:00';
CALL workflow.run();
SELECT kind, owner FROM workflow._conditions_of_review() ORDER BY kind, subject;
ROLLBACK;

CREATE FUNCTION at(clock text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  shown text;
BEGIN
  PERFORM set_config('pg_workflow.clock', '2030-01-01 ' || clock, true);
  EXECUTE statement INTO shown;
  RETURN shown;
END $$;
CREATE VIEW clocks AS
  SELECT due_at::time, warn_at::time, next_step_at::time, claim_until::time, overdue, step, stands_since::time, stands_because FROM workflow.review_inbox;

-- each kind of pause moves the times by as long as it lasted, and what was due in it waits
CREATE FUNCTION begun() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM at('00:00', 'SELECT workflow.submit(''w'', ''{}'', ''k'')'), at('00:00', 'SELECT workflow.claim_review(''desk'')');
END $$;
BEGIN;
SELECT begun();
SELECT at('00:59', 'SELECT workflow.pause(''w:k'', ''x'')');
SELECT at('05:00', 'SELECT 1');
CALL workflow.run();
SELECT * FROM clocks;
SELECT * FROM workflow._conditions_of_review() ORDER BY kind, subject;
SELECT at('05:59', 'SELECT workflow.resume(''w:k'')');
SELECT * FROM clocks;
SELECT due_at::time, paused_due_at FROM workflow.timer;
ROLLBACK;
BEGIN;
SELECT begun();
SELECT at('01:00', 'SELECT workflow.pause_workflow(''w'', ''x'')');
SELECT at('05:00', 'SELECT 1');
CALL workflow.run();
SELECT * FROM clocks;
SELECT at('06:00', 'SELECT workflow.resume_workflow(''w'')');
SELECT * FROM clocks;
SELECT due_at::time, paused_due_at FROM workflow.timer;
ROLLBACK;
BEGIN;
SELECT begun();
SELECT at('01:00', 'SELECT workflow.pause_queue(''desk'', ''x'')');
SELECT workflow.claim_review('desk');
SELECT at('05:00', 'SELECT 1');
CALL workflow.run();
SELECT * FROM clocks;
SELECT due_at, paused_due_at FROM workflow.timer;
SELECT at('06:00', 'SELECT workflow.resume_queue(''desk'')');
SELECT * FROM clocks;
SELECT due_at::time, paused_due_at FROM workflow.timer;
ROLLBACK;
BEGIN;
SELECT begun();
SELECT at('01:00', 'SELECT workflow.pause_review(id, ''asked the customer'') FROM workflow.review_inbox');
SELECT at('02:00', 'SELECT workflow.pause_review(id, ''asked the customer'') FROM workflow.review_inbox');
SELECT at('05:00', 'SELECT 1');
CALL workflow.run();
SELECT * FROM clocks;
SELECT * FROM workflow._conditions_of_review() ORDER BY kind, subject;
SELECT at('06:00', 'SELECT workflow.resume_review(id, ''he answered'') FROM workflow.review_inbox');
SELECT * FROM clocks;
-- and then it is overdue and goes up
SELECT at('09:00', 'SELECT 1');
CALL workflow.run();
SELECT owner, overdue, step FROM workflow.review_inbox;
SELECT actor <> '' AS somebody, action, reason, detail FROM workflow.journal WHERE subject LIKE 'review:%' ORDER BY journal_id;
ROLLBACK;

-- time in which several things stop it counts once, however they overlap
BEGIN;
SELECT begun();
SELECT at('00:10', 'SELECT workflow.pause(''w:k'')');
SELECT at('00:20', 'SELECT workflow.pause_workflow(''w'')');
SELECT at('00:25', 'SELECT workflow.pause_queue(''desk'')');
SELECT at('00:30', 'SELECT workflow.resume(''w:k'')');
SELECT * FROM clocks;
SELECT at('00:40', 'SELECT workflow.resume_workflow(''w'')');
SELECT at('00:45', 'SELECT workflow.pause_review(id, ''x'') FROM workflow.review_inbox');
SELECT at('00:50', 'SELECT workflow.resume_queue(''desk'')');
SELECT at('01:00', 'SELECT workflow.pause(''w:k'')');
SELECT at('01:05', 'SELECT workflow.resume(''w:k'')');
-- a decision ends its own pause, and what it stood is known
SELECT at('01:10', 'SELECT d.state FROM workflow.review_inbox, workflow.decide(id, ''yes'') AS d');
SELECT status, paused_for, lead_time, handling_time, due_at::time FROM workflow.reviews;
ROLLBACK;

-- what was decided while it stood was not late by that time
BEGIN;
SELECT begun();
SELECT at('01:00', 'SELECT workflow.pause_queue(''desk'')');
SELECT at('06:00', 'SELECT d.state FROM workflow.review_inbox, workflow.decide(id, ''yes'') AS d');
SELECT status, was_overdue, paused_for, lead_time, due_at::time FROM workflow.reviews;
ROLLBACK;

-- one that is opened or left in a pause
BEGIN;
SELECT at('00:00', 'SELECT workflow.pause_queue(''desk'')');
SELECT at('01:00', 'SELECT state FROM workflow.submit(''w'', ''{}'', ''k'')');
SELECT at('01:00', 'SELECT state FROM workflow.submit(''w'', ''{}'', ''l'')');
SELECT at('02:00', 'SELECT workflow.cancel(''w:l'')');
SELECT at('03:00', 'SELECT workflow.resume_queue(''desk'')');
SELECT key, status, due_at::time, paused_for, lead_time FROM workflow.reviews ORDER BY key;
ROLLBACK;

-- what cannot be meant
SELECT workflow.pause_review(1, 'x');
BEGIN;
SELECT begun();
SELECT id FROM workflow.review_inbox \gset
SELECT workflow.resume_review(:id);
\set VERBOSITY terse
SELECT workflow.pause_review(:id, ' ');
ROLLBACK;
\set VERBOSITY default

-- of many late ones 200 are told; those whose clock stands keep nobody else's from being
SELECT workflow.define('{
  "workflow": "aside", "owner": "me", "initial": "ASK",
  "queues": {"side": {"owner": "others", "sla": "4 hours", "escalate_to": ["boss"]}},
  "states": {
    "ASK": {"review": {"queue": "side", "decisions": ["yes"], "on_overdue": "escalate"}, "on": {"yes": "END"}},
    "END": {"final": "done"}}}');
BEGIN;
SELECT at('00:00', 'SELECT count(workflow.submit(''w'', ''{}'')) FROM generate_series(1, 210)');
SELECT at('00:01', 'SELECT count(workflow.submit(''aside'', ''{}''))');
SELECT at('05:00', 'SELECT count(*) FROM workflow._conditions_of_review()');
SELECT kind, owner, count(*) FROM workflow._conditions_of_review() GROUP BY 1, 2;
SELECT at('05:00', 'SELECT workflow.pause_queue(''desk'')');
SELECT kind, owner, count(*) FROM workflow._conditions_of_review() GROUP BY 1, 2;
ROLLBACK;

-- however pauses begin, end and overlap: what a clock has stood is the time in which anything stopped it
CREATE FUNCTION toggled(which int, is_on boolean, item bigint, id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF is_on THEN
    PERFORM workflow.pause(item) WHERE which = 1;
    PERFORM workflow.pause_workflow('w') WHERE which = 2;
    PERFORM workflow.pause_queue('desk') WHERE which = 3;
    PERFORM workflow.pause_review(id, 'x') WHERE which = 4;
  ELSE
    PERFORM workflow.resume(item) WHERE which = 1;
    PERFORM workflow.resume_workflow('w') WHERE which = 2;
    PERFORM workflow.resume_queue('desk') WHERE which = 3;
    PERFORM workflow.resume_review(id) WHERE which = 4;
  END IF;
END $$;
CREATE FUNCTION stood(trial int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  is_on boolean[] := '{f,f,f,f}';
  start timestamptz := '2030-01-01 00:00';
  stopped int := 0;
  which int;
  item bigint;
  found workflow.review;
BEGIN
  FOR minute IN 0 .. 400 LOOP
    PERFORM set_config('pg_workflow.clock', (start + minute * interval '1 minute')::text, true);
    IF minute = 20 THEN
      SELECT s.item_id INTO item FROM workflow.submit('w', '{}', 'trial ' || trial) AS s;
      SELECT r.* INTO found FROM workflow.review AS r WHERE r.item_id = item;
    END IF;
    which := 1 + abs(hashint4(trial * 1000 + minute)) % 9;
    IF which <= 4 AND minute < 200 AND (item IS NOT NULL OR which IN (2, 3)) OR minute >= 200 AND is_on[1 + minute % 4] THEN
      which := CASE WHEN minute >= 200 THEN 1 + minute % 4 ELSE which END;
      is_on[which] := NOT is_on[which];
      PERFORM toggled(which, is_on[which], item, found.review_id);
    END IF;
    stopped := stopped + (item IS NOT NULL AND true = ANY (is_on))::int;
  END LOOP;
  SELECT r.* INTO found FROM workflow.review AS r WHERE r.item_id = item;
  RETURN CASE WHEN found.paused_for = stopped * interval '1 minute' AND found.due_at = start + interval '260 minutes' + found.paused_for
                   AND (SELECT t.due_at FROM workflow.timer AS t WHERE t.item_id = item) = found.due_at
              THEN 'sound' ELSE format('trial %s: %s instead of %s minutes, due %s', trial, found.paused_for, stopped, found.due_at) END;
END $$;
BEGIN;
SELECT stood, count(*) FROM (SELECT stood(n) FROM generate_series(1, 8) AS n OFFSET 0) AS s GROUP BY 1;
SELECT count(*) FILTER (WHERE paused_for > '1 hour') AS long, count(*) FROM workflow.review;
ROLLBACK;
