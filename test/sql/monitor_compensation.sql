--
-- where_is tells of a compensation: how far it is, what it waits for, whose that is.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key', owner 'crm-team');
SELECT workflow.define('{
  "workflow": "trip", "owner": "me", "key": ["$.id"], "initial": "FLIGHT",
  "retry": {"default": {"owner": "me", "max_attempts": 2}},
  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "FLIGHT": {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/flights", "key": ["$.id", "flight"],
                        "revert": {"method": "DELETE", "path": "/flights/{$.id}"}}, "on": {"ok": "HOTEL", "error": "OFF"}},
    "HOTEL":  {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/hotels", "key": ["$.id", "hotel"],
                        "revert": {"method": "DELETE", "path": "/hotels/{$.id}"}}, "on": {"ok": "REST", "error": "OFF"}},
    "REST":   {"on": {"over": "DONE"}},
    "OFF":    {"final": "off"}, "DONE": {"final": "done"}}}');
CREATE FUNCTION settle(what text, state text, reason text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
  UPDATE workflow.effect SET state = settle.state, reason = settle.reason, finished_at = now(), response = '{"status": 200}'
  WHERE key = what;
  SELECT workflow._effect_settled(effect_id, 'tester') FROM workflow.effect WHERE key = what;
$$;
CREATE VIEW stands AS SELECT w.state, w.outcome, w.waiting_on, w.waiting_detail, w.queue, w.owner, w.last_error, w.sla_due_at IS NOT NULL AS has_sla, w.what_next
  FROM workflow.where_is('trip:7') AS w;
SELECT state FROM workflow.submit('trip', '{"id": 7}');
SELECT settle('7:flight', 'succeeded'), settle('7:hotel', 'succeeded');
TABLE stands;

-- of an item that lives, beside what it waits for itself
SELECT cardinality(workflow.compensate('trip:7', 'the trip is off')) AS reverts;
\x on
TABLE stands;

-- of one that has ended
SELECT state FROM workflow.send('trip:7', 'over');
TABLE stands;
SELECT settle('revert:7:hotel', 'held', 'the target has changed since: room');
TABLE stands;
SELECT settle('revert:7:hotel', 'succeeded');
SELECT settle('revert:7:flight', 'blocked', 'role "me" has no USAGE');
TABLE stands;
SELECT settle('revert:7:flight', 'failed', 'HTTP 400: refused');
TABLE stands;
-- what is said to be next can be done, also where its dead letter is gone
SELECT what_next AS advice FROM stands \gset
SELECT split_part(:'advice', ';', 1) AS advice \gset
BEGIN;
:advice;
TABLE stands;
ROLLBACK;
BEGIN;
SELECT workflow.cancel_job(job_id, 'not this way') FROM workflow.dead_letters;
SELECT what_next AS advice FROM stands \gset
SELECT split_part(:'advice', ';', 1) AS advice \gset
:advice;
TABLE stands;
ROLLBACK;
SELECT settle('revert:7:flight', 'succeeded');
TABLE stands;

-- to run it again would not do it anew
\x off
SELECT key, verdict, regexp_replace(regexp_replace(why, 'at .* \d{4} \w+', 'at TIME'), 'effect \d+', 'effect N') AS why
FROM workflow.if_run_again('trip:7') WHERE kind = 'http';
SELECT state FROM workflow.submit('trip', '{"id": 8}');
SELECT settle('8:flight', 'succeeded');
SELECT workflow.revert((SELECT effect_id FROM workflow.effects WHERE key = '8:flight'), 'wrong day') IS NOT NULL AS reverted;
SELECT key, verdict, regexp_replace(regexp_replace(why, 'at .* \d{4} \w+', 'at TIME'), 'effect \d+', 'effect N') AS why
FROM workflow.if_run_again('trip:8') WHERE kind = 'http';

-- single members that could not be taken back are named
SELECT version FROM workflow.define(jsonb_set(replace(workflow.document('trip')::text, '"trip"', '"part"')::jsonb, '{states,FLIGHT,http}',
  '{"endpoint": "crm", "queue": "out", "method": "PATCH", "path": "/seats", "key": ["$.id", "seat"], "body": {"row": 1, "a,b": 2},
    "before": {"method": "GET", "path": "/seats"}, "revert": {"method": "PATCH", "path": "/seats", "body": "$.before.body"}}')::json);
SELECT state FROM workflow.submit('part', '{"id": 9}');
UPDATE workflow.effect SET previous = '{"status": 200, "body": {"row": 3, "a,b": 4}}' WHERE key = '9:seat';
SELECT settle('9:seat', 'succeeded'), settle('9:hotel', 'succeeded');
SELECT state FROM workflow.send('part:9', 'over');
SELECT workflow.revert(effect_id, 'wrong', members => '{"a,b"}') AS revert FROM workflow.effects WHERE key = '9:seat' \gset
UPDATE workflow.effect SET attempts = 1, charged = 1 WHERE effect_id = :revert;
SELECT what_next FROM workflow.where_is('part:9');
SELECT settle(key, 'failed', 'HTTP 400: refused') FROM workflow.effects WHERE effect_id = :revert;
SELECT workflow.cancel_job(job_id, 'not this way') FROM workflow.dead_letters;
SELECT regexp_replace(what_next, 'revert\(\d+', 'revert(N') AS what_next, split_part(what_next, ';', 1) AS advice FROM workflow.where_is('part:9') \gset
\echo :what_next
SELECT count(*) AS reverts FROM (:advice) AS again;
SELECT key, state FROM workflow.effects WHERE effect_id = :revert;
SELECT waiting_on FROM workflow.where_is('part:9');
