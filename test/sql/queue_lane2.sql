--
-- Jobs of lanes where something else is in the way.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('work', 'ops', '10 minutes', '{ops-lead}');

-- a job of the table that cannot be claimed yet does not hold up the lane
SELECT workflow.enqueue('work', '"g1"', group_key => 'g') IS NOT NULL;
SELECT workflow.enqueue('work', '"g2"', group_key => 'g') IS NOT NULL;
SELECT cardinality(workflow.enqueue_many('work', '{1,2,3}'));
SELECT workflow.enqueue('work', '"late"', priority => 1) IS NOT NULL;
SELECT payload FROM workflow.claim('work', 'w');
SELECT payload FROM workflow.claim('work', 'w');
SELECT payload FROM workflow.claim('work', 'w', 10);

SELECT payload FROM workflow.claim('work', 'w', 10);

-- a transaction that has claimed its own job cannot be prepared
BEGIN;
SELECT workflow.enqueue('work', '"own"') IS NOT NULL;
SELECT payload FROM workflow.claim('work', 'w');
\set VERBOSITY sqlstate
PREPARE TRANSACTION 'one';
\set VERBOSITY default
ROLLBACK;
SELECT count(*) FROM pg_prepared_xacts;
SELECT count(*) FROM workflow._lane_jobs() WHERE status = 'ready';

-- rows that come to nothing, though the lanes were built with them
INSERT INTO workflow.segment_1 (queue_no, at) SELECT 1, now() WHERE false;
BEGIN;
INSERT INTO workflow.segment_1 (job_id, queue_no, at, payload) SELECT nextval('workflow.job_job_id_seq'), queue_no, '2020-01-01', '"never"' FROM workflow.queue;
SELECT ready FROM workflow.queues;
ROLLBACK;
SELECT workflow.enqueue('work', '"after"') IS NOT NULL;
SELECT payload FROM workflow.claim('work', 'w');

-- rows that come while triggers are for a replica
SELECT nextval('workflow.job_job_id_seq') AS restored \gset
SET session_replication_role = replica;
INSERT INTO workflow.segment_1 (job_id, queue_no, at, payload) SELECT :restored, queue_no, '2020-01-01', '"restored"' FROM workflow.queue;
RESET session_replication_role;
SELECT payload FROM workflow.claim('work', 'w');

-- rows that no lane has written
BEGIN;
INSERT INTO workflow.segment_1 (job_id, queue_no, at, job_ids, secret, worker) VALUES
  (NULL, 1, now(), NULL, NULL, NULL), (0, 1, now(), NULL, NULL, NULL), (NULL, 1, now(), '{1}', NULL, 'w'), (NULL, 1, now(), '{1}', '\x01', 'w'),
  (NULL, 1, now(), '{1}', decode(repeat('00', 16), 'hex'), NULL), (NULL, 1, now(), '{NULL,1}', decode(repeat('00', 16), 'hex'), 'w'),
  (NULL, 1, now(), '{}', decode(repeat('00', 16), 'hex'), 'w'), (-1, 1, 'infinity', NULL, NULL, NULL), (-2, 1, now(), NULL, NULL, NULL);
COMMIT;
SELECT ready FROM workflow.queues;

-- whoever may look at the queues may be the first to do so
CREATE ROLE lane_monitor;
CREATE ROLE lane_worker;
SELECT workflow.grant_role('lane_monitor', 'monitor'), workflow.grant_role('lane_worker', 'worker');
SELECT workflow.enqueue('work', '"seen"') IS NOT NULL;
INSERT INTO workflow.segment_1 (queue_no, at) SELECT 1, now() WHERE false;
SET ROLE lane_monitor;
SELECT queue, ready FROM workflow.queues;
SELECT queue, ready FROM workflow.queue_stats;
RESET ROLE;
INSERT INTO workflow.segment_1 (queue_no, at) SELECT 1, now() WHERE false;
BEGIN READ ONLY;
SELECT queue, ready FROM workflow.queues;
COMMIT;
SET ROLE lane_worker;
\set VERBOSITY sqlstate
SELECT token FROM workflow._lane_jobs();
\set VERBOSITY default
SELECT payload FROM workflow.claim('work', 'w');
RESET ROLE;
DROP OWNED BY lane_monitor, lane_worker;
DROP ROLE lane_monitor, lane_worker;

-- what has the least priority is claimed when nothing else is there
SELECT workflow.create_queue('late', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.enqueue('late', '"last"', priority => 1) > 0 AS ok, workflow.enqueue('late', '"first"') > 0 AS ok;
SELECT payload FROM workflow.claim('late', 'w') UNION ALL SELECT payload FROM workflow.claim('late', 'w');
SELECT count(*) FROM workflow.claim('late', 'w');

-- a session that has claimed more than it can give back as it ends
SELECT workflow.create_queue('bulk', 'ops', '10 minutes', '{ops-lead}', retry => '{"max_attempts": 9, "backoff": {"initial": "1 ms", "max": "1 ms", "jitter": "none"}}');
SELECT cardinality(workflow.enqueue_many('bulk', array_fill('1'::jsonb, '{1500}')));
SELECT count(*) FROM workflow.claim('bulk', 'gone', 1500);
\c -
DO $$
DECLARE
  claimed int := 0;
BEGIN
  FOR look IN 1 .. 500 LOOP
    claimed := claimed + (SELECT count(*) FROM workflow.claim('bulk', 'next', 1500));
    COMMIT;
    EXIT WHEN claimed >= 1500;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RAISE NOTICE '% were claimed again', claimed;
END $$;

-- a queue that gets a limit gives what waits in its lane to the table
SELECT workflow.create_queue('later', 'ops', '10 minutes', '{ops-lead}');
SELECT cardinality(workflow.enqueue_many('later', '{1,2,3}'));
UPDATE workflow.queue SET max_running = 2 WHERE queue = 'later';
SELECT workflow.enqueue('later', '4') > 0 AS ok;
CALL workflow.wait_for_job('later', '30 s');
SELECT payload FROM workflow.claim('later', 'w', 10);
SELECT ready, running FROM workflow.queues WHERE queue = 'later';
