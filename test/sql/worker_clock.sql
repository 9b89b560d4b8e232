--
-- The clock of a session moves every deadline that it sets or tests.  Each block
-- is one that docs/reference/worker.md lists: what is due later is not due now,
-- and is when the clock says so.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SERVER slow FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://slow.invalid', dedup 'pure', rate_limit '1/hour');
CREATE SERVER other FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://other.invalid', dedup 'pure');
SELECT workflow.create_queue('plain', owner => 'me', sla => '1 hour', escalate_to => '{you}',
  retry => '{"max_attempts": 5, "backoff": {"initial": "1 hour", "jitter": "none"}, "retry_on": ["unavailable"]}');
SELECT workflow.create_queue('paced', owner => 'me', sla => '1 hour', escalate_to => '{you}', rate_limit => '{"count": 1, "per": "1 hour"}');
SELECT workflow.create_queue('keyed', owner => 'me', sla => '1 hour', escalate_to => '{you}', key_window => '1 hour');

-- a delayed job
BEGIN;
SELECT workflow.enqueue('plain', '{}', run_at => now() + interval '1 hour') > 0 AS enqueued;
SELECT count(*) FROM workflow.claim('plain', 'me');
SET LOCAL pg_workflow.clock = '+61 minutes';
SELECT count(*) FROM workflow.claim('plain', 'me');
ROLLBACK;

-- the next attempt of a job that has failed
BEGIN;
SELECT workflow.enqueue('plain', '{}') > 0 AS enqueued;
SELECT workflow.fail(job_id, token, 'unavailable', 'x') IS NOT NULL AS failed FROM workflow.claim('plain', 'me');
SELECT count(*) FROM workflow.claim('plain', 'me');
SET LOCAL pg_workflow.clock = '+61 minutes';
SELECT count(*) FROM workflow.claim('plain', 'me');
ROLLBACK;

-- both in the time of the clock, also when the job is told when to come again
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.enqueue('plain', '{"n": 1}') > 0, workflow.enqueue('plain', '{"n": 2}') > 0;
SELECT count(workflow.fail(job_id, token, 'unavailable', 'x', CASE payload ->> 'n' WHEN '2' THEN interval '2 hours' END)) FROM workflow.claim('plain', 'me', 2);
SELECT payload, run_at AT TIME ZONE 'UTC' AS run_at FROM workflow.jobs WHERE queue = 'plain' ORDER BY job_id;
ROLLBACK;

-- a lease: its end is seen by run() outside of a transaction block, which gives the job back
SELECT workflow.enqueue('plain', '{}') AS job_id \gset
SELECT count(*) FROM workflow.claim('plain', 'me', lease => '1 hour');
CALL workflow.run();
SELECT count(*) FROM workflow.claim('plain', 'you');
SET pg_workflow.clock = '+61 minutes';
CALL workflow.run();
SELECT count(*) FROM workflow.claim('plain', 'you');
RESET pg_workflow.clock;
SELECT workflow.cancel_job(:job_id, 'over');

-- the rate limit of a queue
BEGIN;
SELECT workflow.enqueue('paced', '{}') > 0, workflow.enqueue('paced', '{}') > 0;
SELECT count(*) FROM workflow.claim('paced', 'me', batch => 5);
SELECT count(*) FROM workflow.claim('paced', 'me', batch => 5);
SET LOCAL pg_workflow.clock = '+61 minutes';
SELECT count(*) FROM workflow.claim('paced', 'me', batch => 5);
ROLLBACK;

-- the window of a key
BEGIN;
SELECT workflow.enqueue('keyed', '{}', key => 'a') AS first \gset
SELECT workflow.complete(job_id, token) IS NOT NULL AS completed FROM workflow.claim('keyed', 'me');
SELECT workflow.enqueue('keyed', '{}', key => 'a') = :first AS is_the_same;
SET LOCAL pg_workflow.clock = '+61 minutes';
SELECT workflow.enqueue('keyed', '{}', key => 'a') = :first AS is_the_same;
ROLLBACK;

-- the rate limit of an endpoint
BEGIN;
SELECT workflow.mock('slow', '{"times": "always"}');
SELECT workflow.call('slow', 'GET', '/1') > 0, workflow.call('slow', 'GET', '/2') > 0;
CALL workflow.run();
SELECT count(*) FROM workflow.mock_requests;
SET LOCAL pg_workflow.clock = '+61 minutes';
CALL workflow.run();
SELECT count(*) FROM workflow.mock_requests;
ROLLBACK;

-- a pause that an endpoint asks for
BEGIN;
SELECT workflow.mock('other', '[{"status": 429, "headers": {"Retry-After": "3600"}}, {"times": "always"}]');
SELECT workflow.call('other', 'GET', '/1') > 0 AS called;
CALL workflow.run();
SELECT workflow.call('other', 'GET', '/2') > 0 AS called;
SET LOCAL pg_workflow.clock = '+59 minutes';
CALL workflow.run();
SELECT count(*) FROM workflow.mock_requests;
SET LOCAL pg_workflow.clock = '+70 minutes';
CALL workflow.run();
SELECT count(*) FROM workflow.mock_requests;
ROLLBACK;

-- it counts from the time of the clock, too
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('other', '[{"status": 429, "headers": {"Retry-After": "3600"}}, {"times": "always"}]');
SELECT workflow.call('other', 'GET', '/1') > 0 AS called;
CALL workflow.run();
SELECT workflow.call('other', 'GET', '/2') > 0 AS called;
SET LOCAL pg_workflow.clock = '2030-01-01 00:59+00';
CALL workflow.run();
SELECT count(*) FROM workflow.mock_requests;
SET LOCAL pg_workflow.clock = '2030-01-01 01:10+00';
CALL workflow.run();
SELECT count(*) FROM workflow.mock_requests;
ROLLBACK;

-- a review that is overdue, and the steps after that
SELECT version FROM workflow.define('{
  "workflow": "asks", "owner": "me", "initial": "ASK",
  "queues": {"desk": {"owner": "me", "sla": "4 hours", "escalate_to": ["lead", "head"]}},
  "states": {"ASK": {"review": {"queue": "desk", "decisions": ["yes"], "on_overdue": "escalate"}, "on": {"yes": "DONE"}}, "DONE": {"final": "x"}}}');
BEGIN;
SELECT state FROM workflow.submit('asks', '{}');
SELECT owner, overdue FROM workflow.review_inbox;
SET LOCAL pg_workflow.clock = '+241 minutes';
SELECT owner, overdue FROM workflow.review_inbox;
CALL workflow.run();
SELECT owner, overdue FROM workflow.review_inbox;
SET LOCAL pg_workflow.clock = '+490 minutes';
CALL workflow.run();
SELECT owner, overdue FROM workflow.review_inbox;
ROLLBACK;

-- a day is as long for everybody, also where summer begins
SELECT version FROM workflow.define('{
  "workflow": "long", "owner": "me", "initial": "ASK",
  "queues": {"slow": {"owner": "me", "sla": "1 day", "escalate_to": ["lead", "head"]}},
  "states": {"ASK": {"review": {"queue": "slow", "decisions": ["yes"], "on_overdue": "escalate"}, "on": {"yes": "DONE"}}, "DONE": {"final": "x"}}}');
BEGIN;
SET LOCAL timezone = 'America/New_York';
SET LOCAL pg_workflow.clock = '2030-03-09 12:00+00';
SELECT state FROM workflow.submit('long', '{}');
SELECT due_at AT TIME ZONE 'UTC' AS due FROM workflow.review_inbox;
SET LOCAL pg_workflow.clock = '2030-03-10 12:00+00';
CALL workflow.run();
SELECT owner FROM workflow.review_inbox;
SELECT due_at AT TIME ZONE 'UTC' AS next_step FROM workflow.timer;
ROLLBACK;

-- an item that starts later
BEGIN;
SELECT item_id FROM workflow.submit('asks', '{}', run_at => now() + interval '1 day') \gset
CALL workflow.run();
SELECT count(*) FROM workflow.review_inbox;
SET LOCAL pg_workflow.clock = '+1441 minutes';
CALL workflow.run();
SELECT count(*) FROM workflow.review_inbox;
ROLLBACK;

-- one whose start is past, by the clock, starts at once; and so does what it sets going
SELECT version FROM workflow.define('{
  "workflow": "works", "owner": "me", "initial": "WORK", "queues": {"desk": {"owner": "me", "sla": "4 hours", "escalate_to": ["lead", "head"]}},
  "retry": {"default": {"max_attempts": 1, "timeout": "1 minute"}},
  "states": {"WORK": {"task": {"queue": "desk"}, "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "x"}}}');
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-02 00:00+00';
SELECT state FROM workflow.submit('asks', '{}', run_at => '2030-01-01 00:00+00');
SELECT count(*) FROM workflow.review_inbox;
SELECT state FROM workflow.submit('works', '{}', run_at => '2030-01-01 00:00+00');
SELECT run_at AT TIME ZONE 'UTC' AS run_at FROM workflow.jobs WHERE queue = 'desk' AND kind = 'task';
ROLLBACK;

-- whether who sends has taken too long is a matter of real time
BEGIN;
SELECT verdict FROM workflow.begin_effect('other', 'once', '{}');
SET LOCAL pg_workflow.clock = '+1 day';
SELECT verdict FROM workflow.begin_effect('other', 'once', '{}');
ROLLBACK;

-- no time is no time for timers either
SELECT item_id FROM workflow.submit('asks', '{}', run_at => now() + interval '1 day') \gset
SET pg_workflow.clock = '+1441 minutes';
CALL workflow.run('0 seconds');
SELECT count(*) FROM workflow.review_inbox;
CALL workflow.run();
SELECT count(*) FROM workflow.review_inbox;
RESET pg_workflow.clock;
SELECT workflow.cancel(:item_id, 'over');

-- timers of others: in a transaction block run() leaves them alone, whatever the clock says
SELECT item_id FROM workflow.submit('asks', '{}', run_at => now() + interval '1 day') \gset
BEGIN;
SET LOCAL pg_workflow.clock = '+2 days';
CALL workflow.run();
SELECT count(*) AS timers FROM workflow.timer WHERE item_id = :item_id AND kind = 'start';
ROLLBACK;
SET pg_workflow.clock = '+2 days';
CALL workflow.run();
RESET pg_workflow.clock;
SELECT count(*) AS timers FROM workflow.timer WHERE item_id = :item_id AND kind = 'start';
SELECT workflow.cancel(:item_id, 'over');

-- what this session decides others find as it was decided: a time that it sets is stored
SELECT item_id FROM workflow.submit('asks', '{}', run_at => now() + interval '1 day') \gset
SET pg_workflow.clock = '+1 day';
SELECT workflow.pause(:item_id, 'x');
RESET pg_workflow.clock;
SELECT paused_at > now() + interval '23 hours' AS is_stored FROM workflow.item WHERE item_id = :item_id;

DROP EXTENSION pg_workflow CASCADE;
