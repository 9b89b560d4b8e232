-- A million items with five million transitions, an effect and attempts each, as they are after months:
-- eight of ten have ended, the others stand in every kind of waiting.  For bench/answers.
--
--   psql -X -v items=1000000 -f bench/answers.sql      as superuser, in an empty database

\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_workflow;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key', owner 'crm-team');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.example.com', dedup 'pure', owner 'ml-team');
SELECT count(workflow.define(replace($${
  "workflow": "enrich_NN", "owner": "sales", "key": ["$.id"], "initial": "NEW",
  "queues": {"fetch_NN": {"owner": "sales", "sla": "10 minutes", "escalate_to": ["boss"]},
             "work_NN":  {"owner": "sales", "sla": "1 hour", "escalate_to": ["boss"]},
             "people_NN": {"owner": "desk", "sla": "1 day", "escalate_to": ["boss"]}},
  "retry": {"default": {"max_attempts": 5, "timeout": "30 seconds", "dead_letter": "people_NN"}},
  "states": {
    "NEW":    {"on": {"go": "FETCH"}},
    "FETCH":  {"http": {"endpoint": "crm", "queue": "fetch_NN", "method": "POST", "path": "/fetch", "body": {"id": "$.id"},
                        "key": ["$.id", "fetch"]}, "timeout": "1 day", "on": {"ok": "SCORE", "error": "BROKEN", "timeout": "BROKEN"}},
    "SCORE":  {"task": {"queue": "work_NN"}, "on": {"ok": "ASK", "error": "BROKEN"}},
    "ASK":    {"review": {"queue": "people_NN", "decisions": ["approve", "reject"], "show": ["$.id"], "on_overdue": "escalate"},
               "on": {"approve": "PAUSE", "reject": "FAILED"}},
    "PAUSE":  {"wait": {"for": "1 day"}, "on": {"ok": "DONE"}},
    "BROKEN": {"exception": {"queue": "people_NN"}, "on": {"replay": "AGAIN", "give_up": "FAILED"}},
    "AGAIN":  {"then": "go", "on": {"go": "@origin"}},
    "DONE":   {"final": "success"},
    "FAILED": {"final": "failure"}}}$$, 'NN', n::text)::json)) AS workflows
FROM generate_series(0, 9) AS n;

-- where each item is: by its number, modulo 100
CREATE TEMP TABLE stand (from_n int, to_n int, state text, seq int, outcome text);
INSERT INTO stand VALUES
  (0, 76, 'DONE', 6, 'success'), (77, 79, 'FAILED', 4, 'failure'), (80, 84, 'FETCH', 2, NULL), (85, 89, 'SCORE', 3, NULL),
  (90, 92, 'ASK', 4, NULL), (93, 95, 'PAUSE', 5, NULL), (96, 97, 'NEW', 1, NULL), (98, 99, 'BROKEN', 3, NULL);
CREATE TEMP TABLE road (seq int, from_state text, event text, to_state text);
INSERT INTO road VALUES (1, NULL, 'submit', 'NEW'), (2, 'NEW', 'go', 'FETCH'), (3, 'FETCH', 'ok', 'SCORE'),
  (4, 'SCORE', 'ok', 'ASK'), (5, 'ASK', 'approve', 'PAUSE'), (6, 'PAUSE', 'ok', 'DONE');

SET session_replication_role = replica;
INSERT INTO workflow.item (item_id, workflow, version, key, state, since, seq, outcome, received_at, submitted_by, route, input, data, origin)
SELECT n, 'enrich_' || n % 10, 1, 'c' || n, s.state, now() - interval '90 days' * (1 - n / :items::float8), s.seq, s.outcome,
       now() - interval '91 days' * (1 - n / :items::float8), 'bench', 'c' || n, d, d, CASE s.state WHEN 'BROKEN' THEN 'FETCH' END
FROM generate_series(1, :items) AS n JOIN stand AS s ON n / 10 % 100 BETWEEN s.from_n AND s.to_n,
     LATERAL (SELECT jsonb_build_object('id', 'c' || n, 'name', 'Customer ' || n) AS d) AS d;
INSERT INTO workflow.transition (item_id, seq, from_state, event, to_state, kind, actor, at, version, month)
SELECT i.item_id, r.seq, r.from_state, CASE WHEN r.seq = i.seq AND i.state IN ('BROKEN', 'FAILED') THEN 'error' ELSE r.event END,
       CASE WHEN r.seq = i.seq THEN i.state ELSE r.to_state END,
       CASE r.seq WHEN 1 THEN 'submit' WHEN 2 THEN 'send' WHEN 5 THEN 'review' ELSE 'engine' END, 'bench',
       i.since - interval '10 minutes' * (i.seq - r.seq), 1, date_part('month', i.since)
FROM workflow.item AS i JOIN road AS r ON r.seq <= i.seq;
INSERT INTO workflow.endpoint (endpoint_id, endpoint, server_oid)
SELECT row_number() OVER (ORDER BY srvname), srvname, oid FROM pg_foreign_server ON CONFLICT DO NOTHING;
INSERT INTO workflow.effect (effect_id, endpoint_id, key, state, kind, fingerprint, submitted_by, item_id, item_state, item_seq,
                             method, path, attempts, first_sent_at, sending_at, status, external_id, created_at, finished_at)
SELECT i.item_id, p.endpoint_id, i.key || ':fetch', CASE i.state WHEN 'FETCH' THEN 'pending' WHEN 'BROKEN' THEN 'dead' ELSE 'succeeded' END,
       'http', '\x00', 'postgres', i.item_id, 'FETCH', 2, 'POST', '/fetch', (i.state <> 'FETCH')::int,
       i.received_at, i.received_at, 200, 'x' || i.item_id, i.received_at, CASE WHEN i.state <> 'FETCH' THEN i.received_at END
FROM workflow.item AS i, workflow.endpoint AS p WHERE p.endpoint = 'crm' AND i.seq > 1;
INSERT INTO workflow.attempt (job_id, effect_id, item_id, queue, kind, attempt, worker, started_at, finished_at, outcome, detail)
SELECT i.item_id, i.item_id, i.item_id, 'fetch_' || i.item_id % 10, 'http', 1, 'http 1', i.received_at, i.received_at, 'ok', '{"status": 200}'
FROM workflow.item AS i WHERE i.seq > 2;
INSERT INTO workflow.review (item_id, seq, job_id, queue, state, spec, shown, opened_at, due_at, assignee, claimed_at, decided_at, decided_by, decision, closed_at)
SELECT i.item_id, 4, i.item_id + 2 * :items, 'people_' || i.item_id % 10, 'ASK', '{}', i.input, i.since, i.since + interval '1 day',
       'anna', CASE WHEN i.seq > 4 THEN i.since END, CASE WHEN i.seq > 4 THEN i.since END, CASE WHEN i.seq > 4 THEN 'anna' END,
       CASE WHEN i.seq > 4 THEN 'approve' END, CASE WHEN i.seq > 4 THEN i.since END
FROM workflow.item AS i WHERE i.seq >= 4 AND i.state <> 'FAILED';
INSERT INTO workflow.timer (item_id, seq, kind, due_at, event)
SELECT i.item_id, i.seq, CASE i.state WHEN 'FETCH' THEN 'timeout' ELSE 'wait' END, now() + interval '1 year',
       CASE i.state WHEN 'FETCH' THEN 'timeout' ELSE 'ok' END
FROM workflow.item AS i WHERE i.state IN ('FETCH', 'PAUSE');
INSERT INTO workflow.job (queue, kind, status, run_at, item_id, state, seq, effect_id, created_at, attempt, error_class, error_message, waiting_on, worker,
                          claimed_at, lease_until, failed_at)
SELECT CASE i.state WHEN 'FETCH' THEN 'fetch_' WHEN 'SCORE' THEN 'work_' ELSE 'people_' END || i.item_id % 10,
       CASE i.state WHEN 'FETCH' THEN 'http' WHEN 'SCORE' THEN 'task' WHEN 'ASK' THEN 'review' ELSE 'exception' END,
       CASE WHEN i.state IN ('ASK', 'BROKEN') THEN 'waiting' WHEN i.state = 'SCORE' AND i.item_id % 7 = 0 THEN 'dead'
            WHEN i.state = 'SCORE' AND i.item_id % 7 = 1 THEN 'running' ELSE 'ready' END,
       CASE WHEN i.state = 'FETCH' THEN now() + interval '1 year' ELSE i.since END, i.item_id, i.state, i.seq,
       CASE i.state WHEN 'FETCH' THEN i.item_id END, i.since, (i.item_id % 3 = 0)::int,
       CASE WHEN i.item_id % 3 = 0 THEN 'timeout' END, CASE WHEN i.item_id % 3 = 0 THEN 'it took too long' END,
       CASE i.state WHEN 'ASK' THEN 'review' WHEN 'BROKEN' THEN 'exception' END,
       CASE WHEN i.state = 'SCORE' AND i.item_id % 7 = 1 THEN 'w1' END, CASE WHEN i.state = 'SCORE' AND i.item_id % 7 = 1 THEN now() END,
       CASE WHEN i.state = 'SCORE' AND i.item_id % 7 = 1 THEN now() + interval '1 year' END,
       CASE WHEN i.state = 'SCORE' AND i.item_id % 7 = 0 THEN i.since END
FROM workflow.item AS i WHERE i.state IN ('FETCH', 'SCORE', 'ASK', 'BROKEN');
INSERT INTO workflow.event (item_id, event, source, event_id, data, actor, received_at, seq)
SELECT i.item_id, 'go', 'shop', 'e' || i.item_id, '{}', 'bench', i.received_at, 2
FROM workflow.item AS i WHERE i.seq > 1 AND i.item_id % 2 = 0;
RESET session_replication_role;
SELECT setval('workflow.effect_effect_id_seq', :items), setval('workflow.item_item_id_seq', :items), setval('workflow.endpoint_endpoint_id_seq', 10);
VACUUM ANALYZE;
