--
-- While an item is paused, by itself or with its workflow, its job is not
-- handed out, however it came back.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow.define('{
  "workflow": "still", "owner": "me", "initial": "DO",
  "retry": {"default": {"owner": "me", "dead_letter": "work", "max_attempts": 9, "timeout": "5 seconds",
            "backoff": {"initial": "1 second", "factor": 1, "max": "1 minute", "jitter": "none"},
            "retry_on": ["timeout"], "alert_after": 1}},
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "DO": {"task": {"queue": "work"}, "timeout": {"after": "1 year", "event": "error"}, "on": {"ok": "DONE", "error": "BAD"}},
    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}');
CREATE VIEW standing AS SELECT status, waiting_on, attempt FROM workflow.job;
CREATE TABLE claimed (job_id bigint, token text);
CREATE FUNCTION try_claim(lease interval DEFAULT '1 minute') RETURNS bigint LANGUAGE sql AS
$$ WITH gone AS (DELETE FROM claimed),
        new AS (INSERT INTO claimed SELECT job_id, token FROM workflow.claim('work', 'me', 1, lease) RETURNING 1)
   SELECT count(*) FROM new $$;
SELECT state FROM workflow.submit('still', '{}', key => 'a');

-- given back
SELECT try_claim();
SELECT workflow.pause('still:a', 'wait');
SELECT workflow.release(job_id, token) FROM claimed;
TABLE standing;
SELECT try_claim();
SELECT workflow.resume('still:a', 'go');
SELECT try_claim();

-- failed, to be tried again; the delay of the policy holds after the pause
SELECT workflow.pause('still:a', 'wait');
SELECT workflow.fail(job_id, token, 'timeout', 'slow') FROM claimed;
TABLE standing;
SELECT workflow.resume('still:a', 'go');
SELECT status, waiting_on, run_at > clock_timestamp() AS delayed FROM workflow.job;
UPDATE workflow.job SET run_at = created_at;

-- lost with its lease
SELECT try_claim('1 microsecond');
SELECT workflow.pause('still:a', 'wait');
SELECT try_claim();
TABLE standing;
SELECT workflow.resume('still:a', 'go');
SELECT try_claim();

-- the same while the workflow is paused
SELECT workflow.pause_workflow('still', 'wait');
SELECT workflow.release(job_id, token) FROM claimed;
TABLE standing;
SELECT try_claim();
SELECT workflow.resume_workflow('still', 'go');
SELECT try_claim('1 microsecond');
SELECT workflow.pause_workflow('still', 'wait');
SELECT try_claim();
TABLE standing;
SELECT workflow.resume_workflow('still', 'go');

-- a dead letter that is taken up again
UPDATE workflow.job SET status = 'dead', waiting_on = NULL;
SELECT workflow.pause('still:a', 'wait');
SELECT workflow._job_again(job_id) FROM workflow.job;
TABLE standing;
SELECT workflow.resume('still:a', 'go');
TABLE standing;

-- what runs when the pause comes may end
SELECT try_claim();
SELECT workflow.pause('still:a', 'wait');
SELECT workflow.complete(job_id, token) FROM claimed;
SELECT state FROM workflow.items;

-- paused again for another reason: since when stays, the new reason counts, and both are on record
BEGIN;
SELECT item_id FROM workflow.submit('still', '{}', key => 'b') \gset
SELECT workflow.pause('still:b', 'wait'), workflow.pause_workflow('still', 'wait'), workflow.pause_queue('work', 'wait');
CREATE TEMP VIEW paused AS
  SELECT 'item' AS what, paused_at, paused_by, pause_reason FROM workflow.item WHERE key = 'b'
  UNION ALL SELECT 'workflow', paused_at, paused_by, pause_reason FROM workflow.workflow
  UNION ALL SELECT 'queue', paused_at, paused_by, pause_reason FROM workflow.queue WHERE queue = 'work';
CREATE TEMP TABLE before AS TABLE paused;
SELECT workflow.pause('still:b', 'audit'), workflow.pause_workflow('still', 'audit'), workflow.pause_queue('work', 'audit');
SELECT p.what, p.pause_reason, p.paused_by = current_user AS by_me, p.paused_at = b.paused_at AS since_before FROM paused AS p JOIN before AS b USING (what);
-- for no reason, or the same, nothing changes
SELECT workflow.pause('still:b'), workflow.pause_workflow('still'), workflow.pause_queue('work');
SELECT workflow.pause('still:b', 'audit'), workflow.pause_workflow('still', 'audit'), workflow.pause_queue('work', 'audit');
SELECT what, pause_reason FROM paused;
SELECT action, replace(coalesce(subject, 'item'), ':', ' ') AS what, string_agg(reason, ', ' ORDER BY journal_id) AS reasons
FROM workflow.journal WHERE item_id = :item_id OR item_id IS NULL AND xmin = pg_current_xact_id()::xid GROUP BY 1, 2 ORDER BY 2;
ROLLBACK;
