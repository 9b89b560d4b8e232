--
-- A compensation in which one revert cannot be made: that one is held, with the
-- reason, in its place of the chain; the others are not lost for it.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key', owner 'crm-team');
SELECT version FROM workflow.define('{
  "workflow": "trip", "owner": "me", "key": ["$.id"], "initial": "FLIGHT",
  "retry": {"default": {"owner": "me", "max_attempts": 2}},
  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "FLIGHT": {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/flights", "key": ["$.id", "flight"],
                        "revert": {"method": "DELETE", "path": "/flights/{$.id}"}}, "on": {"ok": "HOTEL", "error": "OFF"}},
    "HOTEL":  {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/hotels", "key": ["$.id", "hotel"],
                        "revert": {"method": "DELETE", "path": "/hotels/{$.body.id}"}}, "on": {"ok": "CAR", "error": "OFF"}},
    "CAR":    {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/cars", "key": ["$.id", "car"],
                        "revert": {"method": "DELETE", "path": "/cars/{$.id}"}}, "on": {"ok": "DONE", "error": "OFF"}},
    "OFF":    {"final": "off"}, "DONE": {"final": "done"}}}');
CREATE FUNCTION settle(what text, state text) RETURNS void LANGUAGE sql AS $$
  UPDATE workflow.effect SET state = settle.state, finished_at = clock_timestamp(), response = '{"status": 200, "body": {}}', reason = NULL
  WHERE key = what AND effect.state <> 'cancelled';
  SELECT workflow._effect_settled(effect_id, 'tester') FROM workflow.effect WHERE key = what;
$$;
CREATE FUNCTION travel(id text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM workflow.submit('trip', jsonb_build_object('id', id));
  PERFORM settle(id || ':' || k, 'succeeded') FROM unnest(ARRAY['flight', 'hotel', 'car']) WITH ORDINALITY AS w (k, n) ORDER BY n;
  RETURN (SELECT i.state FROM workflow.items AS i WHERE i.key = id);
END $$;
CREATE FUNCTION id_of(what text) RETURNS bigint LANGUAGE sql AS $$ SELECT max(effect_id) FROM workflow.effect WHERE key = what $$;
CREATE VIEW chain AS
  SELECT i.key AS item, e.key, e.state, e.substate, e.error_class, e.reason, e.method, e.path, a.key AS after, j.status AS job
  FROM workflow.effect AS e JOIN workflow.item AS i USING (item_id) LEFT JOIN workflow.effect AS a ON a.effect_id = (e.spec ->> 'after')::bigint
  LEFT JOIN workflow.job AS j ON j.effect_id = e.effect_id
  WHERE e.kind = 'revert' ORDER BY e.reverts DESC, e.effect_id;
SELECT travel(id) FROM unnest(ARRAY['1', '2', '3', '4']) AS id;

-- the answer of the hotel has no id: nobody knows what to delete; the others are intended all the same
SELECT cardinality(workflow.compensate('trip:1', 'the trip is off')) AS reverts;
SELECT * FROM chain WHERE item = '1';
-- by itself it is refused, since its caller reads why
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
SELECT workflow.revert(id_of('1:hotel'), 'the trip is off');
\set VERBOSITY default
-- when its turn comes it waits for a person, in a queue with an owner; what comes after it waits, too
SELECT settle('revert:1:car', 'succeeded');
SELECT key, state, job FROM chain WHERE item = '1';
SELECT waiting_on, waiting_detail, queue, owner, sla_due_at IS NOT NULL AS has_sla FROM workflow.where_is('trip:1');
SELECT detail FROM workflow.timeline('trip:1') WHERE what = 'effect reserved' AND detail LIKE '%revert:1:hotel%';
SELECT cardinality(workflow.compensate('trip:1', 'the trip is off')) AS reverts;
SELECT key, state, job FROM chain WHERE item = '1';
-- nothing can be sent of it, whoever says so
\set VERBOSITY sqlstate
SELECT workflow.resolve(id_of('revert:1:hotel'), 'not_applied', 'try again');
SELECT workflow.record_evidence('crm', 'revert:1:hotel', 'not_applied', 'no trace');
SELECT workflow.revert(id_of('1:hotel'), 'the trip is off', force => true);
\set VERBOSITY default
-- somebody has done it by hand: the chain goes on
SELECT workflow.resolve(id_of('revert:1:hotel'), 'applied', 'cancelled by telephone');
SELECT key, state, substate, job FROM chain WHERE item = '1';
SELECT settle('revert:1:flight', 'succeeded'), workflow.compensate('trip:1', 'the trip is off');

-- done by hand before its turn: what comes after it still waits for what comes before
SELECT cardinality(workflow.compensate('trip:2', 'the trip is off')) AS reverts;
SELECT workflow.resolve(id_of('revert:2:hotel'), 'applied', 'cancelled by telephone');
SELECT key, state, job FROM chain WHERE item = '2';
SELECT settle('revert:2:car', 'succeeded');
SELECT key, state, job FROM chain WHERE item = '2';

-- what it lacked is put there: it is made, in its place, before its turn and after
SELECT cardinality(workflow.compensate('trip:3', 'the trip is off')) AS reverts;
UPDATE workflow.effect SET response = '{"status": 200, "body": {"id": "h3"}}' WHERE key = '3:hotel';
SELECT cardinality(workflow.compensate('trip:3', 'the trip is off')) AS reverts;
SELECT key, state, path, after, job FROM chain WHERE item = '3';
SELECT cardinality(workflow.compensate('trip:4', 'the trip is off')) AS reverts, settle('revert:4:car', 'succeeded');
UPDATE workflow.effect SET response = '{"status": 200, "body": {"id": "h4"}}' WHERE key = '4:hotel';
SELECT workflow.revert(id_of('4:hotel'), 'found it') = id_of('revert:4:hotel#2') AS is_new;
SELECT key, state, path, after, job FROM chain WHERE item = '4';
SELECT settle('revert:4:hotel#2', 'succeeded');
SELECT key, state, job FROM chain WHERE item = '4';

-- given up it is a dead letter, which nobody can send either; a compensation takes it up again
SELECT travel('5');
SELECT cardinality(workflow.compensate('trip:5', 'the trip is off')) AS reverts, settle('revert:5:car', 'succeeded');
SELECT workflow.resolve(id_of('revert:5:hotel'), 'abandon', 'nobody answers');
SELECT job_id FROM workflow.dead_letters \gset
\set VERBOSITY sqlstate
SELECT workflow.replay_job(:job_id, 'once more');
\set VERBOSITY default
SELECT cardinality(workflow.compensate('trip:5', 'the trip is off')) AS reverts;
SELECT key, state, after, job FROM chain WHERE item = '5';
SELECT count(*) AS dead_letters FROM workflow.dead_letters;

-- what was taken back in part is taken back whole by a compensation; the part is in no chain
SELECT version FROM workflow.define('{"workflow": "part", "owner": "me", "key": ["$.id"], "initial": "SET",
  "retry": {"default": {"owner": "me", "max_attempts": 2}}, "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"SET": {"http": {"endpoint": "crm", "queue": "out", "method": "PATCH", "path": "/a", "body": {"x": 1, "y": 1}, "key": ["$.id", "set"],
                              "before": {"path": "/a"}, "revert": {"method": "PATCH", "path": "/a", "body": "$.before.body"}}, "on": {"ok": "DONE"}},
             "DONE": {"final": "done"}}, "any": {"on": {"error": "DONE"}}}');
SELECT state FROM workflow.submit('part', '{"id": "p"}');
UPDATE workflow.effect SET previous = '{"status": 200, "body": {"x": 0, "y": 0}}' WHERE key = 'p:set';
SELECT settle('p:set', 'succeeded');
SELECT workflow.revert(id_of('p:set'), 'x was right', members => '{x}') = id_of('revert[x]:p:set') AS part;
SELECT waiting_on, waiting_detail FROM workflow.where_is('part:p');
SELECT settle('revert[x]:p:set', 'succeeded');
SELECT waiting_on FROM workflow.where_is('part:p');
SELECT cardinality(workflow.compensate('part:p', 'all of it')) AS reverts;
SELECT c.key, c.state, c.after, c.job, convert_from(e.body, 'UTF8') AS body FROM chain AS c JOIN workflow.effect AS e USING (key) WHERE c.item = 'p';
SELECT settle('revert:p:set', 'succeeded'), workflow.compensate('part:p', 'all of it');

-- an endpoint that is gone: held as well
SELECT travel('6');
DROP SERVER crm;
SELECT cardinality(workflow.compensate('trip:6', 'the trip is off')) AS reverts;
SELECT key, state, reason, job FROM chain WHERE item = '6';
