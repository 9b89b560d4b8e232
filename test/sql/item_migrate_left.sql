--
-- migrate(): what is under way is left where it is, nothing is done twice, and
-- what stood still goes on by the new rules.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE FUNCTION f(bigint, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION document(work text, odd text DEFAULT 'ODD', timeout text DEFAULT '"1 day"') RETURNS json LANGUAGE sql AS $$
  SELECT replace(replace(replace('{
  "workflow": "w", "owner": "me", "initial": "NEW", "description": "WORK",
  "retry": {"default": {"owner": "me", "max_attempts": 1}},
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "NEW":  {"on": {"work": "STEP", "hold": "HOLD"}},
    "HOLD": {"timeout": TIMEOUT, "on": {"timeout": "DONE", "work": "STEP"}},
    "STEP": {WORK, "on": {"ok": "DONE", "odd": "ODD"}},
    "ODD":  {"exception": {"queue": "desk"}, "on": {"replay": "AGAIN", "give_up": "DONE"}},
    "AGAIN":{"then": "go", "on": {"go": "@origin"}},
    "DONE": {"final": "done"}}}', '"description": "WORK"', '"description": "' || odd || '"'), 'WORK', work), 'TIMEOUT', timeout)::json
$$;
CREATE VIEW standing AS
  SELECT i.key, i.version, i.state, i.seq, i.origin, j.status AS job, j.attempt, CASE WHEN t.kind = 'start' THEN t.due_at::text ELSE date_trunc('minute', t.due_at - i.since)::text END AS due, v.ok, v.problem
  FROM workflow.item AS i LEFT JOIN workflow.job AS j USING (item_id) LEFT JOIN workflow.timer AS t ON t.item_id = i.item_id,
  workflow.verify(i.item_id) AS v WHERE i.outcome IS NULL ORDER BY i.item_id;
SELECT version FROM workflow.define(document('"task": {"queue": "desk"}'));
SELECT version FROM workflow.define(document('"task": {"queue": "desk", "payload": "$.n"}'));
SELECT version FROM workflow.define(document('"task": {"queue": "desk", "payload": "$.n", "retry": {"max_attempts": 5}}', timeout => '"2 days"'));
SELECT version FROM workflow.define(document('"sql": {"function": "f", "queue": "desk"}', timeout => '{"after": "1 hour", "event": "work"}'));
SELECT workflow.activate('w', 1);

-- claimed, dead, and ready; one that holds, one that starts later
SELECT count(workflow.submit('w', '{}', key => k)) FROM unnest('{running,dead,ready,hold}'::text[]) AS k;
SELECT state FROM workflow.submit('w', '{}', key => 'later', run_at => '2100-01-01');
SELECT count(workflow.send('w:' || k, 'work')) FROM unnest('{running,dead}'::text[]) AS k;
SELECT count(workflow.fail(c.job_id, c.token, 'permanent', 'broken')) FROM (SELECT * FROM workflow.claim('desk', 'me', 2, '1 hour') OFFSET 1) AS c;
SELECT state FROM workflow.send('w:ready', 'work');
SELECT state FROM workflow.send('w:hold', 'hold');
SELECT * FROM standing;

-- to a version that does the work otherwise: the dead letter is taken up by it
SELECT state, target, verdict, items, what, problem, hint FROM workflow.migrate('w', 1, 2, dry_run => false);
SELECT * FROM standing;
-- the one that was running is moved once it runs no longer
SELECT count(workflow.release(c.job_id, c.token)) FROM (SELECT job_id, token FROM workflow.job WHERE token IS NOT NULL) AS c;
SELECT state, verdict, items, problem FROM workflow.migrate('w', 1, 2, dry_run => false);
SELECT * FROM standing;
-- a dead letter of work that is the same stays one; a policy counts from the next failure
SELECT count(workflow.fail(c.job_id, c.token, 'permanent', 'broken')) FROM workflow.claim('desk', 'me', 1, '1 hour') AS c;
SELECT state, verdict, items, dead_letters, what FROM workflow.migrate('w', 2, 3, dry_run => false);
SELECT * FROM standing;
SELECT count(workflow.fail(c.job_id, c.token, 'timeout', 'slow')) FROM workflow.claim('desk', 'me', 1, '1 hour') AS c;
SELECT key, job, attempt FROM standing WHERE job IS NOT NULL;
SELECT workflow.replay(i.item_id, 'mended') FROM workflow.item AS i JOIN workflow.job AS j USING (item_id) WHERE j.status = 'dead';
SELECT key, job, attempt FROM standing WHERE job IS NOT NULL;

-- a pause lasts over a migration
SELECT workflow.pause('w:ready', 'wait');
SELECT state, verdict, items FROM workflow.migrate('w', 3, 4, dry_run => false);
SELECT i.key, i.paused_at IS NOT NULL AS paused, j.kind, j.status, j.waiting_on FROM workflow.item AS i JOIN workflow.job AS j USING (item_id) ORDER BY i.item_id;
SELECT workflow.resume('w:ready');
CALL workflow.run('5 seconds');
SELECT key, version, state FROM workflow.items ORDER BY item_id;
SELECT * FROM standing;
-- back to where the deadline counts from entry, too
SELECT state, verdict, items, timers FROM workflow.migrate('w', 4, 1, dry_run => false);
SELECT * FROM standing;

-- what starts later starts when it was to, whatever it does in the other version
SELECT d.version
FROM unnest(ARRAY['"on": {"ok": "B"}', '"wait": {"for": "1 day"}, "timeout": "1 hour", "on": {"ok": "B", "timeout": "B"}',
                  '"task": {"queue": "desk"}, "on": {"ok": "B"}', '"review": {"queue": "desk", "decisions": ["ok"]}, "on": {"ok": "B"}']) AS a,
  workflow.define(format('{"workflow": "s", "owner": "me", "initial": "A",
    "retry": {"default": {"owner": "me", "max_attempts": 1}}, "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
    "states": {"A": {%s}, "B": {"final": "done"}}}', a)::json) AS d;
SELECT workflow.activate('s', 1);
SELECT count(workflow.submit('s', '{}', key => k, run_at => '2100-01-01')) FROM unnest('{gone,on}'::text[]) AS k;
SELECT verdict, items, what FROM workflow.migrate('s', 1, 2, dry_run => false);
SELECT key, version, state, seq, due, ok, problem FROM standing WHERE key IN ('gone', 'on');
SELECT workflow.cancel('s:gone');
SELECT v.* FROM workflow.verify('s:gone') AS v;
SELECT verdict, items, what FROM workflow.migrate('s', 2, 3, dry_run => false);
SELECT s.key, s.seq, s.job, s.due, s.ok, s.problem, j.run_at FROM standing AS s, workflow.job AS j WHERE s.key = 'on' AND j.item_id = workflow._item_id('s:on');
SELECT verdict, items, what FROM workflow.migrate('s', 3, 4, dry_run => false);
SELECT key, seq, job, due, ok, problem FROM standing WHERE key = 'on';
SET pg_workflow.clock = '2100-01-02';
CALL workflow.run('1 second');
SELECT key, seq, job, ok, problem FROM standing WHERE key = 'on';
RESET pg_workflow.clock;

-- an event that was kept fires where the other version handles it
SELECT version FROM workflow.define('{"workflow": "k", "owner": "me", "initial": "A", "states": {
  "A": {"on": {"go": "B"}}, "B": {"on": {"stop": "C", "go": "C"}}, "C": {"final": "done"}}}');
SELECT version FROM workflow.define('{"workflow": "k", "owner": "me", "initial": "A", "states": {
  "A": {"on": {"go": "B", "stop": "C"}}, "B": {"on": {"stop": "C"}}, "C": {"final": "done"}}}');
SELECT workflow.activate('k', 1);
SELECT state FROM workflow.submit('k', '{}', key => '1');
SELECT state, duplicate FROM workflow.send('k:1', 'stop', source => 's', event_id => 'e');
SELECT workflow.pause('k:1', 'wait');
SELECT state, verdict, kept_events, problem FROM workflow.migrate('k', 1, 2, dry_run => false);
SELECT workflow.resume('k:1');
SELECT state, verdict, kept_events, what FROM workflow.migrate('k', 1, 2);
SELECT state, verdict, kept_events, what FROM workflow.migrate('k', 1, 2, dry_run => false);
SELECT state, outcome FROM workflow.items WHERE workflow = 'k';
SELECT t.seq, t.event, t.to_state, t.version FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE i.workflow = 'k' ORDER BY t.seq;
SELECT v.* FROM workflow.verify('k:1') AS v;

-- where an item came from into an exception has to be somewhere, too
SELECT version FROM workflow.define('{"workflow": "o", "owner": "me", "initial": "A", "queues": {"q": {"sla": "1 h", "escalate_to": ["you"]}},
  "states": {"A": {"on": {"odd": "X", "end": "Z"}}, "X": {"exception": {"queue": "q"}, "on": {"replay": "R", "give_up": "Z"}},
             "R": {"then": "go", "on": {"go": "@origin"}}, "Z": {"final": "done"}}}');
SELECT version FROM workflow.define('{"workflow": "o", "owner": "me", "initial": "B", "queues": {"q": {"sla": "1 h", "escalate_to": ["you"]}},
  "states": {"B": {"on": {"odd": "X", "end": "Z"}}, "X": {"exception": {"queue": "q"}, "on": {"replay": "R", "give_up": "Z"}},
             "R": {"then": "go", "on": {"go": "@origin"}}, "Z": {"final": "done"}}}');
SELECT workflow.activate('o', 1);
SELECT state FROM workflow.submit('o', '{}', key => '1');
SELECT state FROM workflow.send('o:1', 'odd');
SELECT state, verdict, problem, hint FROM workflow.migrate('o', 1, 2);
SELECT state, verdict, problem, hint FROM workflow.migrate('o', 1, 2, '{"A": "B"}', false);
SELECT workflow.replay('o:1', 'mended');
SELECT i.version, i.state, i.origin, v.ok, v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE i.workflow = 'o';
-- into a final state it ends there
SELECT state, target, verdict FROM workflow.migrate('o', 2, 1, '{"B": "Z"}', false, reason => 'over');
SELECT i.version, i.state, i.outcome, v.ok, v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE i.workflow = 'o';

-- while a workflow is paused, nothing is entered that would move on at once
SELECT state FROM workflow.submit('o', '{}', key => '2');
SELECT workflow.pause_workflow('o', 'wait');
SELECT state, target, verdict, problem FROM workflow.migrate('o', 1, 2, '{"A": "R"}', false);
SELECT state, target, verdict, problem FROM workflow.migrate('o', 1, 2, '{"A": "B"}', false);

-- what cannot be entered leaves the item, and only that one, as it was
SELECT count(workflow.submit('k', '{}', key => k)) FROM unnest('{2,3}'::text[]) AS k;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one' USING HINT = 'Ask me.'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON workflow.item FOR EACH ROW WHEN (new.key = '2') EXECUTE FUNCTION refuse();
SELECT state, verdict, items, problem, hint FROM workflow.migrate('k', 1, 2, dry_run => false);
DROP TRIGGER refuse ON workflow.item;
SELECT key, version, state, seq FROM workflow.item WHERE workflow = 'k' ORDER BY item_id;

-- a child that ends by its migration is counted; who waits for children is left
SELECT version FROM workflow.define('{"workflow": "child", "owner": "me", "initial": "A", "states": {"A": {"on": {"ok": "B"}}, "B": {"final": "done"}}}');
SELECT version FROM workflow.define('{"workflow": "child", "owner": "me", "initial": "A", "states": {"A": {"on": {"ok": "B", "no": "B"}}, "B": {"final": "done"}}}');
SELECT workflow.activate('child', 1);
SELECT d.version FROM unnest('{1,2}'::text[]) AS n, workflow.define(format('{"workflow": "parent", "owner": "me", "description": "%s", "initial": "FAN",
  "states": {"FAN": {"spawn": {"workflow": "child", "each": "$.lines", "join": "all"}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "done"}}}', n)::json) AS d;
SELECT workflow.activate('parent', 1);
SELECT state FROM workflow.submit('parent', '{"lines": [{"n": 1}, {"n": 2}]}', key => '1');
SELECT verdict, items, problem FROM workflow.migrate('parent', 1, 2, dry_run => false);
SELECT workflow.new('parent', from_version => 1);
SELECT workflow.add_state('parent', 'FAN', '{"spawn": {"workflow": "child", "each": "$.lines", "join": "any"}, "on": {"ok": "END", "error": "END", "late": "END"}}', replace => true);
SELECT what, live_items, meaning FROM workflow.diff('parent');
SELECT workflow.discard_draft('parent');
SELECT workflow.new('family', 'A');
SELECT workflow.check('family');
SELECT workflow.discard_draft('family');
SELECT verdict, items FROM workflow.migrate('child', 1, 2, '{"A": "B"}', dry_run => false);
CALL workflow.run('1 second');
SELECT workflow, state, outcome FROM workflow.items WHERE workflow IN ('parent', 'child') ORDER BY item_id;
SELECT bool_and(v.ok) FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE i.workflow IN ('parent', 'child');

-- a log that was tampered with is found
CREATE FUNCTION pg_temp.tamper(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  found text;
BEGIN
  BEGIN
    SET LOCAL session_replication_role = replica;
    EXECUTE statement;
    SET LOCAL session_replication_role = origin;
    SELECT coalesce(v.problem, 'NOTHING') INTO found FROM workflow.verify('k:1') AS v;
    RAISE 'undo';
  EXCEPTION WHEN raise_exception THEN
    RETURN found;
  END;
END $$;
SELECT pg_temp.tamper(format('UPDATE workflow.transition SET %s WHERE item_id = %s AND seq = 2', s, i.item_id))
FROM workflow.item AS i, unnest(ARRAY['version = 1', 'kind = ''send''', 'data = NULL', 'event = ''go''', 'to_state = ''NOWHERE''',
  'data = data || ''{"from_version": 3}''', 'data = data || ''{"origin": "B"}''']) AS s
WHERE i.key = '1' AND i.workflow = 'k';
