--
-- Cancelling jobs that stand alone: wherever they are, their workers learn of it.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}', retry => '{"max_attempts": 1}');
CREATE TABLE told (name text PRIMARY KEY, job_id bigint, token text);

-- one that waits in a lane, one in the table, one that is delayed
INSERT INTO told VALUES ('lane', workflow.enqueue('mail', '1')), ('table', workflow.enqueue('mail', '2', key => 'k')),
  ('delayed', workflow.enqueue('mail', '3', run_at => clock_timestamp() + interval '1 day'));
SELECT name, workflow.cancel_job(job_id, 'not wanted') FROM told ORDER BY job_id;
SELECT payload FROM workflow.claim('mail', 'w', 10);
SELECT t.name, a.attempt, a.worker, a.outcome, a.message FROM told AS t JOIN workflow.attempts AS a USING (job_id) ORDER BY job_id;
SELECT t.name, j.actor = current_user AS by_me, j.action, j.reason, j.detail
FROM told AS t JOIN workflow.journal AS j ON j.subject = 'job:' || t.job_id ORDER BY t.job_id;

-- the key is free again
SELECT workflow.enqueue('mail', '4', key => 'k') NOT IN (SELECT job_id FROM told) AS another;
SELECT payload FROM workflow.claim('mail', 'w', 10);
TRUNCATE told;

-- of one that runs the worker learns when it completes, extends, fails or gives back
SELECT workflow.enqueue('mail', to_jsonb(n)) > 0 AS ok FROM generate_series(1, 3) AS n;
INSERT INTO told SELECT 'lane' || payload::text, job_id, token FROM workflow.claim('mail', 'w', 3);
SELECT workflow.enqueue('mail', '4', priority => 1) > 0 AS ok;
INSERT INTO told SELECT 'table' || payload::text, job_id, token FROM workflow.claim('mail', 'w', 1, '1 hour');
SELECT workflow.cancel_jobs(array_agg(job_id), 'too late') FROM told;
\set VERBOSITY sqlstate
SELECT workflow.complete(job_id, token) FROM told WHERE name = 'lane1';
SELECT workflow.extend(job_id, token, '1 hour') FROM told WHERE name = 'lane2';
SELECT workflow.release(job_id, token) FROM told WHERE name = 'lane3';
SELECT workflow.fail(job_id, token, 'permanent', 'x') FROM told WHERE name = 'table4';
SELECT workflow.complete_many(array_agg(job_id), array_agg(token)) FROM told;
\set VERBOSITY default
SELECT t.name, a.attempt, a.worker, a.outcome, a.message FROM told AS t JOIN workflow.attempts AS a USING (job_id) ORDER BY job_id;
SELECT ready, running, waiting, dead FROM workflow.queues WHERE queue = 'mail';
TRUNCATE told;

-- a dead letter
SELECT workflow.enqueue('mail', '1') > 0 AS ok;
INSERT INTO told SELECT 'dead', job_id, token FROM workflow.claim('mail', 'w');
SELECT workflow.fail(job_id, token, 'permanent', 'no such address') FROM told;
SELECT count(*) FROM workflow.dead_letters;
SELECT workflow.cancel_job(job_id, 'never mind') FROM told;
SELECT count(*) FROM workflow.dead_letters;
SELECT a.attempt, a.outcome, a.error_class, a.message FROM told JOIN workflow.attempts AS a USING (job_id) ORDER BY attempt_id;

-- one of a group, and one that max_running held back, go on at once
SELECT workflow.create_queue('one', 'ops', '10 minutes', '{ops-lead}', max_running => 1);
SELECT workflow.enqueue('one', '1', group_key => 'g') > 0 AS ok, workflow.enqueue('one', '2', group_key => 'g') > 0 AS ok;
SELECT job_id AS first FROM workflow.claim('one', 'w', 1, '1 hour') \gset
SELECT count(*) FROM workflow.claim('one', 'w', 1, '1 hour');
SELECT workflow.cancel_job(:first);
SELECT payload FROM workflow.claim('one', 'w', 1, '1 hour');

-- what a transaction has just stored or claimed itself; a rollback undoes it
BEGIN;
SELECT workflow.enqueue('mail', '"own"') AS own \gset
SAVEPOINT a;
SELECT workflow.cancel_job(:own);
ROLLBACK TO a;
SELECT payload FROM workflow.claim('mail', 'w');
SELECT workflow.cancel_jobs(ARRAY[:own, :own, 0]);
COMMIT;
SELECT count(*) FROM workflow.claim('mail', 'w');

-- what is read anew after a restart knows of it
SELECT workflow.enqueue('mail', '"old"') AS old \gset
SELECT workflow.enqueue('mail', '"new"') > 0 AS ok;
SELECT workflow.cancel_job(:old);
INSERT INTO workflow.attempt (queue, kind, attempt, started_at, finished_at, outcome) VALUES ('mail', 'task', 1, now(), now(), 'ok');
SELECT payload FROM workflow.claim('mail', 'w', 10);

-- a call that has not been sent goes with its effect
SELECT workflow.create_queue('calls', 'ops', '10 minutes', '{ops-lead}');
CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://shop.example', dedup 'none', owner 'ops');
SELECT workflow.call('shop', 'POST', '/x', '{}', key => 'c1') > 0 AS ok, workflow.call('shop', 'POST', '/x', '{}', key => 'c2') > 0 AS ok;
SELECT workflow.cancel_job(j.job_id, 'wrong shop') FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key = 'c1';
UPDATE workflow.effect SET state = 'sending' WHERE key = 'c2';
\set VERBOSITY sqlstate
SELECT workflow.cancel_job(j.job_id, 'wrong shop') FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key = 'c2';
\set VERBOSITY default
SELECT e.key, e.state, e.reason, j.status FROM workflow.effect AS e LEFT JOIN workflow.job AS j USING (effect_id) ORDER BY e.key;

-- refusals: what is gone, and what belongs to an item
SELECT workflow.cancel_job(0, 'x');
SELECT workflow.define('{"workflow": "w", "initial": "A", "owner": "ops",
  "states": {"A": {"task": {"queue": "one"}, "on": {"ok": "B"}}, "B": {"final": "success"}}}') IS NOT NULL AS ok;
SELECT created FROM workflow.submit('w', '{}', key => 'k');
SELECT job_id AS of_item FROM workflow.job WHERE item_id IS NOT NULL \gset
\set VERBOSITY sqlstate
SELECT workflow.cancel_job(:of_item, 'x');
SELECT workflow.cancel_jobs(ARRAY[:of_item], 'x');
SELECT workflow.cancel_job(NULL);
SELECT workflow.cancel_jobs(ARRAY[NULL]::bigint[]);
\set VERBOSITY default
