--
-- Subscriptions: other queues get a copy of each job.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('orders', 'ops', '10 minutes', '{ops-lead}', key_window => '1 hour');
SELECT workflow.create_queue('audit', 'ops', '10 minutes', '{ops-lead}');
SELECT workflow.create_queue('stock', 'ops', '10 minutes', '{ops-lead}', max_length => 6);
SELECT workflow.enqueue('orders', '"before"') > 0 AS ok;
CALL workflow.subscribe('orders', 'audit');
CALL workflow.subscribe('orders', 'stock');
CALL workflow.subscribe('orders', 'stock');
SELECT queue, subscriber, subscribed_by = current_user AS by_me FROM workflow.subscriptions ORDER BY subscriber;

-- each has each job, as it was stored, whether by lanes or the table
SELECT workflow.enqueue('orders', '1') > 0 AS ok, workflow.enqueue('orders', '2', group_key => 'g', tenant => 't', units => 3) > 0 AS ok,
  cardinality(workflow.enqueue_many('orders', '{3,4}')) AS ok;
SELECT payload FROM workflow.claim('orders', 'w', 10) ORDER BY payload;
SELECT payload FROM workflow.claim('audit', 'w', 10) ORDER BY payload;
SELECT queue, payload, group_key, tenant, units FROM workflow.job WHERE payload = '2' ORDER BY queue;

-- a key that is there makes no copy; a copy has no key, for its queue may be late
SELECT workflow.enqueue('orders', '5', key => 'k') = workflow.enqueue('orders', '6', key => 'k') AS same;
SELECT workflow.complete(job_id, token) FROM workflow.claim('orders', 'w', 10) WHERE payload = '5';
SELECT workflow.enqueue('orders', '7', key => 'k') > 0 AS has_ended;
SELECT payload FROM workflow.claim('audit', 'w', 10) ORDER BY payload;
SELECT queue, key FROM workflow.job WHERE payload IN ('5', '6', '7') ORDER BY queue;

-- a subscriber that is full refuses the job for all
SELECT workflow.enqueue('orders', '8') > 0 AS ok;
SELECT workflow.enqueue('orders', '9');
SELECT payload FROM workflow.claim('orders', 'w', 10) ORDER BY payload;
SELECT payload FROM workflow.claim('stock', 'w', 10, '1 hour') ORDER BY payload;

-- what is rolled back, is for all; an end of a subscription
BEGIN;
SELECT workflow.enqueue('orders', '10') > 0 AS ok;
ROLLBACK;
SELECT workflow.unsubscribe('orders', 'audit');
SELECT workflow.enqueue('orders', '11') > 0 AS ok;
SELECT (SELECT count(*) FROM workflow.claim('audit', 'w', 10)) AS audit, (SELECT count(*) FROM workflow.claim('stock', 'w', 10)) AS stock;
SELECT action, subject, detail FROM workflow.journal ORDER BY journal_id;

-- refusals: chains, what is missing, a transaction block
CALL workflow.subscribe('stock', 'audit');
\set VERBOSITY sqlstate
CALL workflow.subscribe('audit', 'orders');
CALL workflow.subscribe('audit', 'audit');
CALL workflow.subscribe('audit', 'nowhere');
CALL workflow.subscribe('audit', NULL);
SELECT workflow.unsubscribe('orders', 'audit');
SELECT workflow.unsubscribe('orders', NULL);
DELETE FROM workflow.subscription;
BEGIN;
CALL workflow.subscribe('orders', 'audit');
ROLLBACK;

-- a refusal shows none of our lines
\set SHOW_CONTEXT errors
\set VERBOSITY default
CALL workflow.subscribe('orders', 'nobody');
