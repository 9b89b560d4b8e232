--
-- A revert takes back what was done with the data as it was when it was intended,
-- whatever later states have stored under the same names.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');
SELECT workflow.define('{
  "workflow": "book", "owner": "me", "key": ["$.id"], "initial": "BOOK",
  "retry": {"default": {"owner": "me", "dead_letter": "out", "max_attempts": 2, "timeout": "7 seconds",
            "backoff": {"initial": "1 second", "factor": 2, "max": "1 minute", "jitter": "none"},
            "retry_on": ["timeout"], "alert_after": 1}},
  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "BOOK": {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/seats", "body": {"seat": "$.seat"},
               "key": ["$.id", "book"], "before": {"method": "GET", "path": "/seats"},
               "revert": {"method": "DELETE", "path": "/seats/{$.seat}",
                          "body": {"seat": "$.seat", "of": "$.\"who is\"", "was": "$.before.body.free", "booking": "$.body.id", "gone": "$.later"}, "headers": {"X-Seat": "$.seat"}}},
             "as": "booking", "timeout": {"after": "1 day", "event": "late"}, "on": {"ok": "MOVE", "late": "DONE"}},
    "MOVE": {"as": "seat", "on": {"moved": "LOAD"}},
    "LOAD": {"http": {"endpoint": "crm", "queue": "out", "method": "POST", "path": "/load",
               "key": ["$.id", "load"], "revert": {"method": "DELETE", "path": "/load", "body": "$"}},
             "as": "load", "timeout": {"after": "1 day", "event": "late"}, "on": {"ok": "DONE", "late": "DONE"}},
    "DONE": {"final": "done"}}}') \gset ignored_
SELECT item_id FROM workflow.submit('book', '{"id": 1, "seat": "12A", "who is": "Ann", "note": "not needed"}') \gset

-- kept is what the template refers to, and no more
SELECT spec -> 'data' AS kept FROM workflow.effect;
UPDATE workflow.effect SET state = 'succeeded', response = '{"status": 200, "headers": {}, "body": {"id": 77}}',
       previous = '{"status": 200, "body": {"free": ["12A"]}}' RETURNING effect_id \gset
SELECT workflow._effect_settled(:effect_id, 'tester');
SELECT state FROM workflow.send(:item_id, 'moved', '"14C"');
UPDATE workflow.item SET data = data || '{"who is": "Bob", "later": "too late"}' WHERE item_id = :item_id;
SELECT data -> 'seat' AS seat_now FROM workflow.item;
SELECT workflow.revert(:effect_id, 'no flight') AS by_effect \gset
SELECT method, path, headers, convert_from(body, 'UTF8') AS body FROM workflow.effect WHERE effect_id = :by_effect;

-- a template that may refer to anything has all of it
SELECT spec -> 'data' AS kept FROM workflow.effect WHERE key = '1:load';
SELECT spec ? 'data' AS kept FROM workflow.effect WHERE effect_id = :by_effect;
