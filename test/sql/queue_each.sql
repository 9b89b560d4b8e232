--
-- What each job of enqueue_many() has of its own, and each claim that ends by complete_many().
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('mail', 'ops', '10 minutes', '{ops-lead}');
CREATE FUNCTION kept(name text) RETURNS TABLE (payload jsonb, key text, group_key text, priority int, delayed boolean, tenant text, units int)
LANGUAGE sql AS $$
  SELECT j.payload, j.key, j.group_key, j.priority - j.aged, j.run_at > now(), j.tenant, j.units
  FROM workflow.job AS j WHERE j.queue = name ORDER BY j.job_id $$;

-- an element for each, null for what is usual, or one for all
SELECT cardinality(workflow.enqueue_many('mail', '{1,2,3}', group_keys => '{a,NULL,b}', priorities => '{5,NULL,-1}',
  run_at => ARRAY[NULL, now() + interval '1 hour', NULL], tenants => '{x,NULL,y}', units => '{NULL,2,3}'));
SELECT * FROM kept('mail');
SELECT cardinality(workflow.enqueue_many('mail', '{4,5}', priorities => '{7}', tenants => '{z}', run_at => ARRAY[now() + interval '1 day']));
SELECT * FROM kept('mail') WHERE priority = 7;
SELECT payload FROM workflow.claim('mail', 'w', 10, '1 hour');
SELECT ready, delayed, running FROM workflow.queues;

-- with keys a job is found where there is one, also in the same call; ids are in the order of the payloads
SELECT workflow.create_queue('keyed', 'ops', '10 minutes', '{ops-lead}', key_window => '1 hour');
SELECT workflow.enqueue('keyed', '"first"', key => 'b') AS b \gset
SELECT ids[2] = :b AS found, ids[1] = ids[4] AS same, cardinality(ids) AS n
FROM workflow.enqueue_many('keyed', '{1,2,3,4,5}', keys => '{a,b,c,a,NULL}', priorities => '{9}', group_keys => '{g,g,g,g,h}') AS ids;
SELECT * FROM kept('keyed');
SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('keyed', 'w', 1, '1 hour');
SELECT (workflow.enqueue_many('keyed', '{1}', keys => '{b}'))[1] = :b AS still_kept;

-- tenants take turns, and units count, in the order of the payloads
SELECT workflow.create_queue('fair', 'ops', '10 minutes', '{ops-lead}', fair => true, rate_limit => '{"count": 10, "per": "1 day"}');
SELECT cardinality(workflow.enqueue_many('fair', '{1,2,3,4}', tenants => '{a,a,NULL,b}', units => '{2}'));
CREATE TABLE held AS SELECT * FROM workflow.claim('fair', 'w', 10, '1 hour');
SELECT payload FROM held;
SELECT round(extract(epoch FROM r.next_at - now()) / extract(epoch FROM q.rate_per) * q.rate_count) AS charged FROM workflow.queue AS q JOIN workflow.rate AS r ON r.name = q.queue WHERE q.queue = 'fair';
SELECT workflow.complete_many(array_agg(job_id), array_agg(token), units => array_agg(CASE payload WHEN '1' THEN 0 WHEN '2' THEN 5 END)) FROM held;
SELECT round(extract(epoch FROM r.next_at - now()) / extract(epoch FROM q.rate_per) * q.rate_count) AS charged FROM workflow.queue AS q JOIN workflow.rate AS r ON r.name = q.queue WHERE q.queue = 'fair';

-- aging is counted from when each is due
SELECT workflow.create_queue('aging', 'ops', '10 minutes', '{ops-lead}', aging => '1 minute');
SELECT cardinality(workflow.enqueue_many('aging', '{1,2,3}', priorities => '{0,1,1}',
  run_at => ARRAY[NULL, now() - interval '3 minutes', now() - interval '10 minutes']));
SELECT payload FROM workflow.claim('aging', 'w', 10, '1 hour');

-- a full queue takes all or none
SELECT workflow.create_queue('small', 'ops', '10 minutes', '{ops-lead}', max_length => 2);
\set VERBOSITY terse
SELECT workflow.enqueue_many('small', '{1,2,3}', priorities => '{1}');
SELECT workflow.enqueue_many('small', '{1,2,3}', keys => '{a,b,c}');
SELECT cardinality(workflow.enqueue_many('small', '{1,2,3}', keys => '{a,b,a}'));
\set VERBOSITY default

-- subscribers have what their job has, but for the key
SELECT workflow.create_queue('audit', 'ops', '10 minutes', '{ops-lead}');
CALL workflow.subscribe('keyed', 'audit');
SELECT cardinality(workflow.enqueue_many('keyed', '{6,7}', keys => '{x,b}', tenants => '{t}'));
SELECT cardinality(workflow.enqueue_many('keyed', '{8,9}', tenants => '{t,u}'));
SELECT * FROM kept('audit');

-- refused
SELECT workflow.enqueue_many('mail', '{1,2,3}', priorities => '{1,2}');
SELECT workflow.enqueue_many('mail', '{1,2}', keys => '{a}');
SELECT workflow.enqueue_many('mail', '{1,2}', units => '{1,0}');
SELECT workflow.enqueue_many('mail', '{1,2}', tenants => ARRAY[repeat('x', 1001), 'y']);
SELECT workflow.enqueue_many('mail', '{1}', keys => ARRAY[repeat('x', 1001)]);
SELECT workflow.enqueue_many('mail', '{1}', keys => '{""}');
SELECT workflow.enqueue('mail', '1', key => repeat('x', 1001));
SELECT workflow.enqueue('mail', '1', group_key => repeat('x', 1001));
SELECT workflow.enqueue_many('none', '{1}', priorities => '{1}');
SELECT workflow.complete_many('{1,2}', '{a}');
SELECT workflow.complete_many('{1,2}', '{a,b}', units => '{1}');
SELECT workflow.complete_many('{1,2}', '{a,b}', outputs => '{1}');
SELECT workflow.complete_many('{1,2}', '{a,b}', units => '{1,-1}');
SELECT workflow.create_queue(repeat('q', 256), 'ops', '10 minutes', '{ops-lead}');
SELECT cardinality(workflow.enqueue_many('mail', '{}', keys => '{}', priorities => '{1}')) AS none;

-- the longest that may be are kept, whatever they look like
SELECT string_agg(md5(n::text), '') AS long FROM generate_series(1, 31) AS n \gset
SELECT workflow.create_queue(left(:'long', 255), 'ops', '10 minutes', '{ops-lead}', fair => true);
SELECT workflow.enqueue(left(:'long', 255), '1', key => :'long', group_key => :'long', tenant => :'long') > 0 AS stored;
SELECT count(*) FROM workflow.claim(left(:'long', 255), 'w', 1, '1 hour');
