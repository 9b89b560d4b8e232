--
-- Rate limits in units, of a queue and of each tenant, and how they are settled.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
\set VERBOSITY sqlstate
SELECT workflow.create_queue('bad', 'ops', '10 minutes', '{ops-lead}', rate_limit => '{"count": 5, "per": "1 hour", "per_tenant": true}');
SELECT workflow.create_queue('bad', 'ops', '10 minutes', '{ops-lead}', fair => true, rate_limit => '{"count": 5, "per": "1 hour", "per_tenant": 7}');
\set VERBOSITY default
SELECT workflow.create_queue('llm', 'ops', '10 minutes', '{ops-lead}', rate_limit => '{"count": 100, "per": "1 day"}');
CREATE FUNCTION put(queue text, name text, units int, tenant text DEFAULT NULL, priority int DEFAULT 0) RETURNS boolean LANGUAGE sql AS
  'SELECT workflow.enqueue(queue, to_jsonb(name), units => units, tenant => tenant, priority => priority) > 0';

-- what does not fit waits, and what comes behind it, and nothing is charged for that
SELECT put('llm', 'a', 40), put('llm', 'b', 50), put('llm', 'c', 30), put('llm', 'd', 5);
SELECT payload FROM workflow.claim('llm', 'w', 10, '1 hour');
SELECT count(*) FROM workflow.claim('llm', 'w', 10, '1 hour');
SELECT count(*), max(attempt) FROM workflow.job WHERE status = 'ready';

-- a job that has taken less than was thought gives the rest back; more is charged
SELECT workflow.complete(job_id, token, units => 25) FROM workflow.job WHERE payload = '"a"';
SELECT count(*) FROM workflow.claim('llm', 'w', 10, '1 hour');
SELECT workflow.complete(job_id, token, units => 40) FROM workflow.job WHERE payload = '"b"';
SELECT payload FROM workflow.claim('llm', 'w', 1, '1 hour');
SELECT workflow.complete(job_id, token, units => 200) FROM workflow.job WHERE payload = '"c"';
SELECT count(*) FROM workflow.claim('llm', 'w', 10, '1 hour');
SELECT next_at - now() BETWEEN '2 days' AND '2.7 days' AS in_debt FROM workflow.rate WHERE name = 'llm';

-- a job of more units than the limit has starts when the queue is rested, and leaves a debt
UPDATE workflow.rate SET next_at = now() - interval '1 minute';
SELECT put('llm', 'huge', 250, NULL, -1);
SELECT payload FROM workflow.claim('llm', 'w', 10, '1 hour');
SELECT next_at - now() BETWEEN '2.4 days' AND '2.6 days' AS in_debt FROM workflow.rate WHERE name = 'llm';

-- who waits for a job wakes when it fits, not before
SELECT workflow.create_queue('soon', 'ops', '10 minutes', '{ops-lead}', rate_limit => '{"count": 4, "per": "200 ms"}');
SELECT put('soon', 'first', 4), put('soon', 'second', 3);
SELECT payload FROM workflow.claim('soon', 'w', 10, '1 hour');
SELECT payload FROM workflow.claim('soon', 'w', 10, '1 hour', wait => '30 s');
SELECT put('soon', 'third', 4, NULL, -1);
CALL workflow.wait_for_job('soon', '30 s');
SELECT payload FROM workflow.claim('soon', 'w', 10, '1 hour');

-- each tenant has a limit of its own, and who has spent his holds nobody up
SELECT workflow.create_queue('fair', 'ops', '10 minutes', '{ops-lead}', fair => true, rate_limit => '{"count": 10, "per": "1 day", "per_tenant": true}');
SELECT rate_count, rate_per_tenant FROM workflow.queues WHERE queue = 'fair';
SELECT count(put('fair', 'ann' || n, 4, 'ann')) + count(put('fair', 'bob' || n, 6, 'bob')) + count(put('fair', 'none' || n, 1)) AS stored
FROM generate_series(1, 3) AS n;
SELECT payload FROM workflow.claim('fair', 'w', 20, '1 hour');
SELECT count(*) FROM workflow.claim('fair', 'w', 20, '1 hour');
SELECT tenant, next_at > now() AS charged FROM workflow.rate WHERE name = 'fair' ORDER BY tenant;
SELECT workflow.complete(job_id, token, units => 1) FROM workflow.job WHERE payload IN ('"ann1"', '"bob1"');
SELECT payload FROM workflow.claim('fair', 'w', 20, '1 hour');
DELETE FROM workflow.rate;

-- what comes behind a job that does not fit waits with it, of this tenant only
SELECT put('fair', 'd1', 8, 'dan'), put('fair', 'd2', 4, 'dan'), put('fair', 'd3', 1, 'dan'), put('fair', 'e1', 1, 'eve');
SELECT payload FROM workflow.claim('fair', 'w', 20, '1 hour') ORDER BY payload;

-- what the whole queue has taken is not what jobs without a tenant have, nor the other way round
SELECT workflow.create_queue('switched', 'ops', '10 minutes', '{ops-lead}', fair => true, rate_limit => '{"count": 2, "per": "1 day"}');
SELECT count(put('switched', 'n' || n, 1)) FROM generate_series(1, 9) AS n;
SELECT payload FROM workflow.claim('switched', 'w', 9, '1 hour');
SELECT workflow.alter_queue('switched', '{"rate_limit": {"count": 2, "per": "1 day", "per_tenant": true}}');
SELECT payload FROM workflow.claim('switched', 'w', 9, '1 hour');
SELECT workflow.alter_queue('switched', '{"rate_limit": {"count": 4, "per": "2 days"}}');
SELECT payload FROM workflow.claim('switched', 'w', 9, '1 hour');

-- what was charged takes another time when the rate is another one, of the queue and of each tenant
SELECT workflow.create_queue('slow', 'ops', '10 minutes', '{ops-lead}', rate_limit => '{"count": 2, "per": "1 day"}');
SELECT put('slow', 's1', 2), put('slow', 's2', 2);
SELECT payload FROM workflow.claim('slow', 'w', 5, '1 hour');
SELECT workflow.alter_queue('slow', '{"rate_limit": {"count": 4, "per": "1 day"}}');
SELECT payload FROM workflow.claim('slow', 'w', 5, '1 hour');
SELECT round(extract(epoch FROM next_at - now()) / 3600) AS hours FROM workflow.rate WHERE name = 'slow';
SELECT workflow.alter_queue('slow', '{"rate_limit": {"count": 1, "per": "1 day"}}');
SELECT round(extract(epoch FROM next_at - now()) / 3600) AS hours FROM workflow.rate WHERE name = 'slow';
SELECT workflow.alter_queue('slow', '{"rate_limit": {"count": 1000, "per": "1 ms"}}');
SELECT next_at < now() + interval '1 s' AS is_open FROM workflow.rate WHERE name = 'slow';
SELECT workflow.alter_queue('fair', '{"rate_limit": {"count": 20, "per": "1 day", "per_tenant": true}}');
SELECT payload FROM workflow.claim('fair', 'w', 20, '1 hour') ORDER BY payload;

-- in a queue without a rate limit units are a label; settling them changes nothing
SELECT workflow.create_queue('plain', 'ops', '10 minutes', '{ops-lead}');
SELECT put('plain', 'a', 5), put('plain', 'b', 1);
SELECT workflow.complete(job_id, token, units => 7) FROM workflow.claim('plain', 'w', 10);

\set VERBOSITY sqlstate
SELECT put('plain', 'a', 0);
SELECT workflow.complete(1, 'x', units => -1);
