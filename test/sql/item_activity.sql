--
-- Activities: what entering a state sets going, and what its end leads to.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SCHEMA app;
CREATE TABLE app.parent (id int PRIMARY KEY);
CREATE TABLE app.child (id int REFERENCES app.parent DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION app.fetch(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
$$ BEGIN
  INSERT INTO child VALUES ((data ->> 'id')::int);
  IF data ->> 'mode' = 'orphan' THEN RETURN '{}'; END IF;
  INSERT INTO parent VALUES ((data ->> 'id')::int);
  IF data ->> 'mode' = 'raise' THEN RAISE 'no such account'; END IF;
  IF data ->> 'mode' = 'empty' THEN RETURN jsonb_build_object('event', 'nothing', 'why', 'empty'); END IF;
  RETURN jsonb_build_object('text', 'hello', 'score', data -> 'score');
END $$;
SELECT workflow.define('{
  "workflow": "flow", "owner": "me", "initial": "FETCH",
  "retry": {"default": {"owner": "me", "dead_letter": "work", "max_attempts": 1, "timeout": "5 seconds",
            "backoff": {"initial": "1 second", "factor": 2, "max": "1 minute", "jitter": "none"},
            "retry_on": ["timeout"], "alert_after": 1}},
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "FETCH": {"sql": {"function": "app.fetch", "queue": "work"}, "as": "source",
              "on": {"ok": "CHECK", "nothing": "EMPTY"}},
    "CHECK": {"validate": {"value": "$.source", "schema": {"type": "object", "required": ["score"],
                "properties": {"score": {"type": ["number", "null", "string"]}}}},
              "on": {"valid": "GATE", "invalid": "REPAIR"}},
    "GATE":  {"gate": {"value": "$.source.score", "tiers": [{"at_least": 0.9, "event": "high"},
                {"at_least": 0.5, "event": "middle"}, {"otherwise": "low"}]},
              "on": {"high": "DO", "middle": "DO", "low": "REPAIR"}},
    "DO":    {"task": {"queue": "work"}, "as": "done", "on": {"ok": "END"}},
    "REPAIR":{"exception": {"queue": "work"}, "on": {"replay": "AGAIN", "give_up": "FAILED"}},
    "AGAIN": {"then": "resume", "on": {"resume": "@origin"}},
    "EMPTY": {"final": "empty"}, "END": {"final": "success"}, "FAILED": {"final": "failure"}},
  "any": {"on": {"error": "REPAIR"}}}');

-- a sql activity runs in the transaction of the move that it causes; a whole
-- item runs in the user's transaction
BEGIN;
SELECT item_id FROM workflow.submit('flow', '{"id": 1, "score": 0.95}', key => 'a') \gset
CALL workflow.run();
SELECT state, data FROM workflow.items WHERE item_id = :item_id;
SELECT seq, event, to_state, kind, actor, reason, data FROM workflow.transition WHERE item_id = :item_id
  AND actor <> current_user ORDER BY seq;
SELECT state, value, tier, version FROM workflow.gate_decision;
COMMIT;

-- the result says which event; "event" itself is not stored
BEGIN;
SELECT item_id FROM workflow.submit('flow', '{"id": 2, "mode": "empty"}', key => 'b') \gset
CALL workflow.run();
SELECT state, outcome, data FROM workflow.items WHERE item_id = :item_id;
COMMIT;

-- what it raises, or a constraint it deferred and broke, fails it and leaves no trace of it
BEGIN;
SELECT count(workflow.submit('flow', format('{"id": %s, "mode": "%s"}', n, mode)::jsonb, key => mode))
FROM (VALUES (3, 'raise'), (4, 'orphan')) AS v (n, mode);
CALL workflow.run();
SELECT key, state, exception_reason FROM workflow.items WHERE key IN ('raise', 'orphan') ORDER BY key;
SELECT count(*) FROM app.parent WHERE id IN (3, 4);
COMMIT;

-- a gate is careful: what is no number takes "otherwise"
BEGIN;
SELECT count(workflow.submit('flow', format('{"id": %s, "score": %s}', n, score)::jsonb, key => 'g' || n))
FROM (VALUES (10, '0.9'), (11, '0.89'), (12, '0.1'), (13, '"0.99"'), (14, 'null')) AS v (n, score);
CALL workflow.run();
SELECT i.key, g.value, g.tier, i.state, i.confidence, i.gate_decision, i.exception_reason
FROM workflow.items AS i JOIN workflow.gate_decision AS g USING (item_id) WHERE i.key LIKE 'g%' ORDER BY i.key;
COMMIT;

-- repaired and replayed: back to where it came from, with patched data
SELECT workflow.replay('flow:g12', 'score was wrong', '{"source": {"score": 0.7}}');
SELECT i.state, t.seq, t.from_state, t.event, t.to_state, t.kind, t.reason
FROM workflow.item AS i JOIN workflow.transition AS t USING (item_id) WHERE i.key = 'g12' AND t.seq > 3 ORDER BY t.seq;
SELECT workflow.give_up('flow:g13', 'not worth it');
SELECT state, outcome, exception_reason FROM workflow.items WHERE key = 'g13';
\set VERBOSITY sqlstate
SELECT workflow.replay('flow:g12', 'once more');
SELECT workflow.replay('flow:g13', 'too late');
\set VERBOSITY default

-- a task is given the data, and its output is kept; whoever is late is told
SELECT job_id, token, payload ->> 'id' AS id FROM workflow.claim('work', 'me', 1, '1 hour') \gset
SELECT :'id' AS id, workflow.complete(:job_id, :'token', output => '{"made": 1}');
SELECT state, data -> 'done' AS done FROM workflow.items WHERE outcome = 'success';
\set VERBOSITY sqlstate
SELECT workflow.complete(:job_id, :'token');
SELECT workflow.complete(:job_id, :'token', NULL);
SELECT workflow.complete_many(ARRAY[:job_id], ARRAY[:'token'], NULL);
SELECT workflow.complete(job_id, token, 'fly') FROM workflow.claim('work', 'me', 1, '1 hour');
\set VERBOSITY default

-- many at once, all or none
SELECT array_agg(job_id) AS ids, array_agg(token) AS tokens FROM workflow.claim('work', 'me', 5, '1 hour') \gset
\set VERBOSITY sqlstate
SELECT workflow.complete_many(:'ids', array_append((:'tokens'::text[])[2:], 'stale'));
SELECT workflow.complete_many(:'ids', '{}');
\set VERBOSITY default
SELECT workflow.complete_many(:'ids', :'tokens') = cardinality(:'ids'::bigint[]) AS all_done;

-- a failure goes by the policy; spent, it raises "error"
BEGIN;
SELECT item_id FROM workflow.submit('flow', '{"id": 20, "score": 1}', key => 't') \gset
CALL workflow.run();
SELECT workflow.fail(job_id, token, 'permanent', 'broken', detail => '{"code": 7}') FROM workflow.claim('work', 'me');
SELECT state, exception_reason FROM workflow.items WHERE item_id = :item_id;
SELECT event, reason, data FROM workflow.transition WHERE item_id = :item_id ORDER BY seq DESC LIMIT 1;
COMMIT;

SELECT i.key, v.* FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
SELECT count(*) AS jobs_of_other_visits FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.seq <> j.seq;

-- a result is stored as it is, an object or not; null stores nothing; each is "ok": only what raises fails
CREATE FUNCTION app.give(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT data -> 'give' $$;
SELECT workflow.define('{
  "workflow": "give", "owner": "me", "key": ["$.id"], "initial": "GIVE",
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"GIVE": {"sql": {"function": "app.give", "queue": "work",
                      "retry": {"max_attempts": 1, "timeout": "5 seconds", "dead_letter": "work"}},
                      "as": "got", "on": {"ok": "END", "error": "FAILED"}},
             "END": {"final": "success"}, "FAILED": {"final": "failure"}}}');
SELECT count(workflow.submit('give', i)) FROM (VALUES
  ('{"id": "absent"}'::jsonb), ('{"id": "null", "give": null}'), ('{"id": "text", "give": "event"}'),
  ('{"id": "list", "give": ["event", 1]}'), ('{"id": "object", "give": {"a": 1}}')) AS v (i);
CALL workflow.run();
SELECT key, state, data ? 'got' AS stored, data -> 'got' AS got FROM workflow.items WHERE workflow = 'give' ORDER BY key;
