--
-- A key window: the key of a job that has succeeded is not free for a time.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', key_window => '1 hour', retry => '{"max_attempts": 1}');
SELECT workflow.create_queue('other', 'ops', '10 minutes', '{ops-lead}');
\set VERBOSITY sqlstate
SELECT workflow.create_queue('bad', 'ops', '10 minutes', '{ops-lead}', key_window => '0');
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', key_window => '2 hours', retry => '{"max_attempts": 1}');
\set VERBOSITY default
SELECT queue, key_window FROM workflow.queues ORDER BY queue;
CREATE FUNCTION work(queue text) RETURNS bigint LANGUAGE sql AS
  'SELECT count(workflow.complete(job_id, token)) FROM workflow.claim(queue, ''w'', 10)';

-- while the window lasts the key names the job that has succeeded
SELECT workflow.enqueue('mail', '1', key => 'k') AS first \gset
SELECT workflow.enqueue('mail', '2', key => 'k') = :first AS lives, work('mail'), workflow.enqueue('mail', '3', key => 'k') = :first AS has_ended;
SELECT work('mail'), workflow.enqueue('mail', '3', key => 'l') <> :first AS another_key;
SELECT work('mail');

-- also in one transaction, and with an old snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT workflow.enqueue('mail', '1', key => 'k') = :first AS same;
SELECT workflow.enqueue('mail', '1', key => 'm') AS third \gset
SELECT work('mail'), workflow.enqueue('mail', '1', key => 'm') = :third AS same;
ROLLBACK;
SELECT workflow.enqueue('mail', '1', key => 'm') > 0 AS ok, work('mail');

-- in a queue without a window it is free at once; so is that of a cancelled job
SELECT workflow.enqueue('other', '1', key => 'k') AS first \gset
SELECT work('other'), workflow.enqueue('other', '1', key => 'k') <> :first AS another;
SELECT workflow.enqueue('mail', '1', key => 'c') AS first \gset
SELECT workflow.cancel_job(:first);
SELECT workflow.enqueue('mail', '1', key => 'c') AS second \gset
SELECT :first <> :second AS another;

-- a dead letter keeps its key while it is one
SELECT workflow.fail(job_id, token, 'permanent', 'x') FROM workflow.claim('mail', 'w');
SELECT workflow.enqueue('mail', '1', key => 'c') = :second AS same;
SELECT workflow.replay_job(:second, 'again');
SELECT work('mail'), workflow.enqueue('mail', '1', key => 'c') = :second AS same;

-- what is over is forgotten, and a new job has the key; nobody else removes it
DELETE FROM workflow.spent_key;
UPDATE workflow.spent_key SET until = now() WHERE key = 'k';
SELECT workflow.enqueue('mail', '4', key => 'k') AS next \gset
SELECT payload FROM workflow.job WHERE job_id = :next;
SELECT work('mail'), workflow.enqueue('mail', '5', key => 'k') = :next AS same;
