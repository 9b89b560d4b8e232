--
-- A job is due at a point in time: what never comes is refused, and what has no age.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow.create_queue('q', 'ops', '1 hour', '{lead}');
SELECT workflow.enqueue('q', '1', run_at => 'infinity');
SELECT workflow.enqueue('q', '1', run_at => '-infinity');
SELECT workflow.enqueue_many('q', '{1,2}', run_at => '{now,infinity}');
SELECT workflow.enqueue_many('q', '{1,2}', keys => '{a,b}', run_at => '{-infinity}');
SELECT workflow.define('{"workflow": "w", "owner": "me", "initial": "A", "states": {"A": {"on": {"go": "Z"}}, "Z": {"final": "success"}}}') IS NOT NULL AS defined;
SELECT workflow.submit('w', '{}', run_at => 'infinity');
SELECT workflow.enqueue('q', '1', run_at => now() + interval '1 day') AS job_id \gset
SELECT workflow.reschedule_job(:job_id, 'infinity');
SELECT status, run_at > now() AS is_delayed FROM workflow.jobs WHERE job_id = :job_id;
