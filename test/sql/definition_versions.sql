--
-- Versions: which one new items get, and how two of them differ.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = notice;
CREATE ROLE regress_definer;
CREATE ROLE regress_stranger;
SELECT workflow.grant_role(r, 'designer') FROM unnest('{regress_definer,regress_stranger}'::text[]) AS r;
SELECT '{"workflow": "w", "owner": "me", "initial": "A", "states": {
  "A": {"on": {"go": "B"}, "timeout": {"after": "1 day", "event": "go"}},
  "B": {"on": {"go": "C"}}, "C": {"final": "done"}}}' AS one \gset
SELECT '{"owner": "me", "states": {"C": {"final": "done"},
  "A": {"on": {"stop": "C", "go": "D"}, "timeout": {"after": "2 days", "event": "go"}},
  "D": {"on": {"go": "C"}}}, "initial": "A", "workflow": "w", "key": ["$.id"], "any": {"on": {"drop": "C"}}}' AS two \gset
SET ROLE regress_definer;
SELECT * FROM workflow.define(:'one');
SELECT (workflow.submit('w', '{"n": 1}')).state;
SELECT * FROM workflow.define(:'two');
SELECT (workflow.submit('w', '{"n": 1, "id": 2}')).state;

-- rolled back: new items get the older version, those that live keep theirs
SELECT workflow.activate('w', 1, 'two is wrong');
SELECT (workflow.submit('w', '{"n": 3}')).state;
SELECT version, count(*) FROM workflow.items GROUP BY version ORDER BY version;
SELECT workflow.activate('w', 1);

-- the document of an inactive version: nothing is written, and that is said
SELECT * FROM workflow.define(:'two');
SELECT version, active, live_items, definer, activated_by, retired_by FROM workflow.versions;

-- an inactive version is retired without a word, the active one with a notice
SELECT workflow.retire('w', 2, 'was wrong');
SELECT workflow.retire('w', 2);
SELECT workflow.retire('w', 1, 'over');
SELECT workflow.submit('w', '{}');
SELECT version, active, live_items, retired_by, retire_reason FROM workflow.versions;
-- what lives goes on
SELECT s.state FROM (SELECT min(item_id) AS id FROM workflow.items) AS i, workflow.send(i.id, 'go') AS s;
-- the same document again does not bring it back; activate() does, and so does a new version
SELECT * FROM workflow.define(:'one');
SELECT workflow.activate('w', 2);
SELECT version, active, retired_by FROM workflow.versions;
SELECT workflow.retire('w', 2);
SELECT * FROM workflow.define(replace(:'one', '1 day', '3 days')::json);
SELECT (workflow.submit('w', '{"n": 4}')).state;
SELECT version, active, retired_by FROM workflow.versions;
-- the active one, once it was retired, is activated again; one that was retired twice says who and why of the last time
SELECT workflow.retire('w', 3, 'a mistake');
SELECT workflow.activate('w', 3, 'not at all');
SELECT (workflow.submit('w', '{"n": 5}')).state;
SELECT version, active, retired_by, retire_reason FROM workflow.versions;
RESET ROLE;
SELECT actor, action, subject, reason, detail FROM workflow.journal WHERE action IN ('activate', 'retire') ORDER BY journal_id;

-- whose it is
SET ROLE regress_stranger;
SELECT workflow.activate('w', 1);
SELECT workflow.retire('w', 1);
SELECT workflow.migrate('w', 1, 2);
RESET ROLE;
SELECT workflow.activate('w', 9);
SELECT workflow.activate('x', 1);
SELECT workflow.activate('w', NULL);
SELECT workflow.retire(NULL, 1);
SELECT * FROM workflow.migrate('w', 1, 2, '{"B": "D"}');
-- an older version that is wrong by now is activated all the same, with a warning
CREATE FUNCTION step(bigint, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $2';
SELECT version FROM workflow.define('{"workflow": "s", "owner": "me", "key": ["$.id"], "initial": "A",
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["you"]}}, "retry": {"default": {"max_attempts": 1, "timeout": "1 minute"}},
  "states": {"A": {"sql": {"function": "step", "queue": "q"}, "on": {"ok": "B", "error": "B"}}, "B": {"final": "done"}}}');
SELECT version FROM workflow.define('{"workflow": "s", "owner": "me", "key": ["$.id"], "initial": "B", "states": {"B": {"final": "done"}}}');
DROP FUNCTION step(bigint, jsonb);
SELECT workflow.activate('s', 1);

-- what differs; the order of members does not
SELECT kind, place, what, before, after FROM workflow.diff('w', 1, 2);
SELECT place, live_items, meaning FROM workflow.diff('w', 1, 2);
SELECT kind, place, what, before, after FROM workflow.diff('s', 1, 2);
SELECT place, live_items, meaning FROM workflow.diff('s', 1, 2);
SELECT * FROM workflow.diff('w', 1, 1);
-- every kind of difference has its words, and its meaning for those that live
SET client_min_messages = error;
SELECT version FROM workflow.define('{"workflow": "words", "owner": "me", "description": "One", "initial": "A", "key": ["$.id"],
  "queues": {"words": {"sla": "1 hour", "escalate_to": ["you"]}, "old words": {"sla": "1 hour", "escalate_to": ["you"]}},
  "retry": {"default": {"max_attempts": 1, "timeout": "1 minute"}, "slow": {"max_attempts": 2}},
  "activities": {"ask": {"task": {"queue": "words"}}, "tell": {"task": {"queue": "words"}}},
  "any": {"on": {"error": "OUT", "stop": "OUT"}},
  "states": {"A": {"task": {"queue": "words", "retry": "slow"}, "as": "a", "sla": "1 hour", "description": "first", "timeout": "1 day",
                   "on": {"ok": "B c", "timeout": "OUT", "gone": "OUT"}},
             "B c": {"activity": "ask", "on": {"ok": "OUT"}}, "OLD": {"on": {"go": "OUT"}}, "OUT": {"final": "out"}}}');
SELECT version FROM workflow.define('{"workflow": "words", "owner": "you", "description": "Two", "runbook": "there", "initial": "B c", "key": ["$.nr"],
  "input_schema": {"required": ["nr"]}, "budget": {"tokens": 5},
  "queues": {"words": {"sla": "2 hours", "escalate_to": ["you"]}},
  "retry": {"default": {"max_attempts": 1, "timeout": "1 minute"}, "slow": {"max_attempts": 3}, "fast": {"max_attempts": 1}},
  "activities": {"ask": {"task": {"queue": "words", "payload": "$.nr"}}, "show": {"task": {"queue": "words"}}},
  "any": {"on": {"error": "OUT", "stop": "B c", "drop": "OUT"}},
  "states": {"A": {"task": {"queue": "words", "retry": "fast"}, "as": "b", "sla": "2 hours", "description": "second", "on": {"ok": "OUT"}},
             "B c": {"task": {"queue": "words"}, "on": {"ok": "OUT"}}, "OUT": {"final": "over"}}}');
SELECT workflow.activate('words', 1);
SELECT state FROM workflow.submit('words', '{"id": 1}') UNION ALL SELECT state FROM workflow.submit('words', '{"id": 2}');
UPDATE workflow.item SET state = 'B c' WHERE workflow = 'words' AND key = '2';
RESET client_min_messages;
SELECT place, kind, what, live_items AS live, meaning FROM workflow.diff('words', 1, 2);
-- a section that one has not is empty there
SELECT place, what FROM workflow.diff('s', 2, 1) WHERE place !~ 'states';
-- by default from the active version, which need not be the latest
SELECT workflow.new('words', from_version => 1);
SELECT * FROM workflow.diff('words');
SELECT workflow.discard_draft('words');
SELECT * FROM workflow.diff('w', 1);
SELECT * FROM workflow.diff(NULL);
SELECT * FROM workflow.diff('ww');
SELECT * FROM workflow.diff('w', 1, 7);
-- how many live is not found by a look at all items, however many there are
CREATE FUNCTION reads_items(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  before bigint;
BEGIN
  before := (SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_xact_all_tables WHERE relid = 'workflow.item'::regclass);
  EXECUTE query;
  RETURN (SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_xact_all_tables WHERE relid = 'workflow.item'::regclass) > before;
END $$;
SELECT reads_items('SELECT count(*) FROM workflow.item') AS always,
       reads_items('SELECT sum(live_items) FROM workflow.versions') AS versions,
       reads_items('SELECT sum(live_items) FROM workflow.diff(''w'', 1, 2)') AS diff,
       reads_items('SELECT workflow.diagram(''w'', live => true)') AS diagram;
SELECT v.version, v.live_items, count(i.item_id) FROM workflow.versions AS v
LEFT JOIN workflow.items AS i ON i.workflow = v.workflow AND i.version = v.version AND i.outcome IS NULL
GROUP BY v.workflow, v.version, v.live_items HAVING v.live_items <> count(i.item_id);
DROP OWNED BY regress_definer, regress_stranger;
DROP ROLE regress_definer, regress_stranger;
