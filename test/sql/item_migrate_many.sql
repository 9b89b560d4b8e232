--
-- migrate(): an item costs the same however many others there are.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET enable_seqscan = off;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.invalid', dedup 'key');
CREATE FUNCTION document(events text) RETURNS json LANGUAGE sql AS $$
  SELECT format('{"workflow": "w", "owner": "me", "initial": "ASK", "key": "$.id",
    "queues": {"calls": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
    "retry": {"default": {"owner": "me", "dead_letter": "calls", "max_attempts": 1}},
    "states": {"ASK": {"http": {"endpoint": "crm", "queue": "calls", "method": "POST", "path": "/x", "key": ["$.id"]}, "timeout": "1 day",
                       "on": {"ok": "DONE", "error": "DONE", "timeout": "DONE"%s}},
               "DONE": {"final": "done"}}}', events)::json
$$;
SELECT version FROM workflow.define(document(''));
SELECT version FROM workflow.define(document(', "stop": "DONE"'));
SELECT workflow.activate('w', 1);
SELECT count(workflow.submit('w', jsonb_build_object('id', n))) FROM generate_series(1, 100) AS n;

-- all that belongs to a visit is found by indexes
BEGIN;
SELECT state, target, verdict, items, effects, timers FROM workflow.migrate('w', 1, 2, dry_run => false);
SELECT relname, seq_scan < 50 AS by_index FROM pg_stat_xact_user_tables
WHERE schemaname = 'workflow' AND relname IN ('item', 'job', 'effect', 'timer', 'review', 'event') ORDER BY relname;
COMMIT;
