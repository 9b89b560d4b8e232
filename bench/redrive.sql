-- What taking up dead letters costs: psql -v n=1000 -f bench/redrive.sql, in an
-- empty database whose server has pg_workflow preloaded and its workers off.
\set ON_ERROR_STOP on
\timing off
SET client_min_messages = error;
CREATE EXTENSION pg_workflow;
CREATE SERVER away FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://127.0.0.1:9', dedup 'key', allow_private '127.0.0.0/8');
SELECT count(workflow.define(format('{
  "workflow": "%s", "owner": "me", "initial": "START", "key": ["$.id"],
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"], "retry": {"max_attempts": 1}}},
  "states": {"START": {"on": {"go": "TASK"}}, "TASK": {"task": {"queue": "work"}, "on": {"ok": "DONE", "error": "BROKEN"}},
             "BROKEN": {"exception": {"queue": "work"}, "on": {"replay": "TASK", "give_up": "DONE"}}, "DONE": {"final": "success"}}}', w)::json))
FROM unnest('{by_hand,in_batch}'::text[]) AS w;
SELECT count(workflow.submit(w, jsonb_build_object('id', n))) FROM unnest('{by_hand,in_batch}'::text[]) AS w, generate_series(1, :n) AS n;
SELECT count(workflow.send(item_id, 'go')) FROM workflow.item;
SELECT count(workflow.fail(job_id, token, 'permanent', 'broken')) FROM workflow.claim('work', 'me', 2 * :n);
VACUUM ANALYZE;
\timing on
\echo dry run
SELECT sum(matched) FROM workflow.redrive('{"workflow": "in_batch"}');
\echo by hand, in one transaction
SELECT count(workflow.replay(item_id, 'mended')) FROM workflow.item WHERE workflow = 'by_hand';
\echo making the batch
SELECT sum(matched) FROM workflow.redrive('{"workflow": "in_batch"}', dry_run => false, reason => 'mended');
\echo working it off
CALL workflow.run();
\timing off
SELECT status, matched, done FROM workflow.redrives;
SELECT count(*) FROM workflow.dead_letters;
