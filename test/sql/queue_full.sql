--
-- A full queue: it refuses, or whoever stores waits, but not for what would never come.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
\set VERBOSITY sqlstate
SELECT workflow.create_queue('small', 'ops', '10 minutes', '{ops-lead}', on_full => 'block');
SELECT workflow.create_queue('small', 'ops', '10 minutes', '{ops-lead}', max_length => 2, on_full => 'wait');
\set VERBOSITY default
SELECT workflow.create_queue('small', 'ops', '10 minutes', '{ops-lead}', max_length => 2, on_full => 'block');
SELECT workflow.create_queue('small', 'ops', '10 minutes', '{ops-lead}', max_length => 2);
SELECT max_length, on_full FROM workflow.queues;

-- there is room, then there is none: lock_timeout and statement_timeout end the waiting
SELECT cardinality(workflow.enqueue_many('small', '{1,2}'));
SET lock_timeout = '10 ms';
SELECT workflow.enqueue('small', '3');
RESET lock_timeout;
SET statement_timeout = '10 ms';
SELECT workflow.enqueue('small', '3');
SELECT workflow.enqueue_many('small', '{3}');
RESET statement_timeout;

-- a key that is there is found without waiting
SELECT payload FROM workflow.claim('small', 'w', 1, '1 hour');
SELECT workflow.enqueue('small', '4', key => 'k') = workflow.enqueue('small', '5', key => 'k') AS same;

-- nobody waits for more than it may hold, in one snapshot, or for his own jobs
SELECT workflow.enqueue_many('small', '{1,2,3}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT workflow.enqueue('small', '6');
ROLLBACK;
SELECT count(*) FROM workflow.claim('small', 'w', 2, '1 hour');
BEGIN;
SELECT workflow.enqueue('small', '6') > 0 AS ok, workflow.enqueue('small', '7') > 0 AS ok;
SELECT workflow.enqueue('small', '8');
ROLLBACK;
SELECT workflow.enqueue('small', '6') > 0 AS ok;
