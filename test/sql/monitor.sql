--
-- monitor: where an item is and what it waits for, and what happened to it.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SERVER dedups FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://one.example.com', dedup 'key');
CREATE SERVER forgets FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://two.example.com', dedup 'none', owner 'ops');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://three.example.com', dedup 'pure');
SELECT version FROM workflow.define('{
  "workflow": "w", "owner": "own", "key": ["$.id"], "initial": "START",
  "queues": {"q": {"owner": "q-owner", "sla": "10 minutes", "escalate_to": ["boss"]},
             "x": {"owner": "x-owner", "sla": "1 day", "escalate_to": ["boss"]}},
  "retry": {"default": {"max_attempts": 2, "timeout": "5 seconds", "dead_letter": "x", "retry_on": ["timeout"],
                        "backoff": {"initial": "1 hour", "jitter": "none"}}},
  "states": {
    "START":  {"on": {"task": "TASK", "wait": "WAIT", "ask": "ASK", "call": "CALL", "end": "END"}},
    "TASK":   {"task": {"queue": "q"}, "on": {"ok": "END", "error": "BROKEN"}},
    "WAIT":   {"wait": {"for": "1 day"}, "on": {"ok": "END"}},
    "ASK":    {"review": {"queue": "q", "decisions": ["yes", "no"], "show": ["$.id"], "on_overdue": "escalate"},
               "on": {"yes": "END", "no": "END"}},
    "CALL":   {"http": {"endpoint": "dedups", "queue": "q", "method": "PUT", "path": "/a/{$.id}",
                        "body": {"v": 1}, "key": ["$.id", "put"]}, "on": {"ok": "CALL2", "error": "BROKEN"}},
    "CALL2":  {"http": {"endpoint": "forgets", "queue": "q", "method": "POST", "path": "/b",
                        "body": {"v": 1}, "key": ["$.id", "post"]}, "on": {"ok": "MODEL", "error": "BROKEN"}},
    "MODEL":  {"model": {"endpoint": "llm", "queue": "q", "path": "/m", "version": "1", "body": {"t": "$.id"},
                         "output": "$"}, "on": {"ok": "END", "error": "BROKEN"}},
    "BROKEN": {"exception": {"queue": "x"}, "on": {"replay": "AGAIN", "give_up": "FAILED"}},
    "AGAIN":  {"then": "go", "on": {"go": "@origin"}},
    "END":    {"final": "success"},
    "FAILED": {"final": "failure"}}}');
SELECT count(*) FROM (VALUES ('event'), ('task'), ('retry'), ('exception'), ('wait'), ('ask'), ('call'), ('end'), ('paused')) AS k (id),
  LATERAL workflow.submit('w', jsonb_build_object('id', k.id)) AS s;

-- an item in each kind of waiting
SELECT count(*) FROM (VALUES ('task', 'task'), ('retry', 'task'), ('exception', 'task'), ('wait', 'wait'),
                             ('ask', 'ask'), ('call', 'call'), ('end', 'end')) AS k (id, event),
  LATERAL workflow.send('w:' || k.id, k.event) AS s;
SELECT workflow.pause('w:paused', 'holidays');
SELECT count(*) FROM workflow.claim('q', 'me', 3, '1 hour') AS c,
  LATERAL (SELECT i.key FROM workflow.items AS i WHERE i.item_id = c.item_id) AS i,
  LATERAL workflow.fail(c.job_id, c.token, CASE i.key WHEN 'retry' THEN 'timeout' ELSE 'permanent' END, 'it did not work') AS f
WHERE i.key <> 'task';
SELECT w.key, w.state, w.waiting_on, w.queue, w.owner, w.attempts, w.max_attempts, w.last_error_class, w.last_error,
       w.allowed_events, w.outcome
FROM workflow.items AS i, workflow.where_is(i.item_id) AS w ORDER BY w.key;

-- when something happens next, and until when it should have
SELECT w.key, date_trunc('minute', w.next_action_at - w.since) AS next, date_trunc('minute', w.sla_due_at - w.since) AS sla
FROM workflow.items AS i, workflow.where_is(i.item_id) AS w ORDER BY w.key;

-- an item that does not exist is an error, by id and by key
\set VERBOSITY sqlstate
SELECT * FROM workflow.where_is(987654321);
SELECT * FROM workflow.where_is('w:nobody');
SELECT * FROM workflow.timeline('w:nobody');
SELECT * FROM workflow.if_run_again('w:nobody');
SELECT * FROM workflow.if_run_twice('nothing');
\set VERBOSITY default

-- a paused queue and a paused workflow show in their items
SELECT workflow.pause_queue('q', 'maintenance');
SELECT waiting_on, regexp_replace(waiting_detail, 'since [^:]*:[^:]*:[^:]*:', 'since TIME:') AS waiting_detail FROM workflow.where_is('w:call');
SELECT workflow.resume_queue('q');
SELECT workflow.pause_workflow('w', 'audit');
SELECT waiting_on, waiting_detail LIKE '%audit' AS says_why FROM workflow.where_is('w:wait');
SELECT workflow.resume_workflow('w', 'done');

-- what happened, in order
SELECT seq, what, regexp_replace(detail, '[0-9]{2,}', 'N') AS detail, reason
FROM workflow.timeline('w:exception');
SELECT seq, what, reason FROM workflow.timeline('w:paused');
SELECT seq, what FROM workflow.timeline('w:ask');

-- statistics
SELECT state, items, live FROM workflow.state_stats ORDER BY state;
SELECT queue, owner, ready, delayed, running, waiting, dead, failed_5m FROM workflow.queue_stats ORDER BY queue;

-- ready and nobody there to do it is said; a task waits for its own workers
SELECT count(*) FROM workflow.submit('w', '{"id": "guarded"}') AS s, LATERAL workflow.send(s.item_id, 'task') AS c;
SELECT key, waiting_on, regexp_replace(waiting_detail, '[0-9]+', 'N') AS waiting_detail
FROM workflow.items AS i, LATERAL (SELECT w.waiting_on, w.waiting_detail FROM workflow.where_is(i.item_id) AS w) AS w
WHERE key IN ('guarded', 'call') ORDER BY key;

-- held: who is asked is the endpoint's owner, the queue stays its owner's
SELECT count(*) FROM workflow.submit('w', '{"id": "held"}') AS s, LATERAL workflow.send(s.item_id, 'call') AS c,
  LATERAL workflow.send(s.item_id, 'ok') AS o;
UPDATE workflow.effect SET state = 'held', reason = 'no answer' WHERE key = 'held:post';
SELECT workflow._effect_settled(effect_id, 'tester') FROM workflow.effect WHERE key = 'held:post';
SELECT waiting_on, waiting_detail, owner FROM workflow.where_is('w:held');
SELECT owner FROM workflow.effects WHERE key = 'held:post';

-- the item may end before anybody has looked: it still waits for that
SELECT workflow.cancel('w:held', 'enough');
SELECT state, outcome, waiting_on, waiting_detail, owner FROM workflow.where_is('w:held');
SELECT workflow.resolve(effect_id, 'abandon', 'nobody knows') FROM workflow.effect WHERE key = 'held:post';
SELECT waiting_on, waiting_detail, owner FROM workflow.where_is('w:held');

-- so does the guard of a task, whoever works on that
SELECT count(*) FROM workflow.claim('q', 'me', 1, '1 hour');
SELECT g.effect_id, g.token AS guard FROM workflow.begin_effect('forgets', 'letter', '{"a": 1}', 'w:guarded') AS g \gset
SELECT waiting_on, regexp_replace(waiting_detail, 'since .*', 'since') AS detail FROM workflow.where_is('w:guarded');
SELECT workflow.finish_effect(:effect_id, :'guard', 'unknown');
SELECT waiting_on, waiting_detail FROM workflow.where_is('w:guarded');
SELECT workflow.resolve(:effect_id, 'applied', 'seen');
SELECT waiting_on, regexp_replace(waiting_detail, 'since .*', 'since') AS detail FROM workflow.where_is('w:guarded');

-- an item in an exception state is shown with what led there
SELECT key, kind, error_class, error_message FROM workflow.dead_letters ORDER BY key;
