--
-- The count of the CRM itself beside our items: fails unless every account
-- that reached its end was updated once, and no other one at all.
--
SELECT a.account, c.requests, c.replays, c.executions AS updates
FROM jsonb_each(:'counts'::jsonb -> 'accounts') AS raw (account, counters),
     LATERAL (SELECT raw.account) AS a,
     LATERAL jsonb_to_record(raw.counters) AS c (requests int, replays int, executions int)
WHERE c.requests > 0
ORDER BY a.account;

SELECT count(*) FILTER (WHERE updates.n = 1) AS updated_once,
       count(*) FILTER (WHERE updates.n > 1) AS updated_more_than_once,
       count(*) FILTER (WHERE i.outcome = 'success' AND updates.n = 0) AS ended_without_update,
       count(*) FILTER (WHERE i.outcome IS DISTINCT FROM 'success' AND updates.n > 0) AS updated_but_not_ended,
       count(*) FILTER (WHERE updates.n = 1) = count(*) FILTER (WHERE i.outcome = 'success')
         AND count(*) FILTER (WHERE updates.n > 1) = 0
         AND count(*) FILTER (WHERE updates.n = 1) > 0
         AND (:'counts'::jsonb ->> 'executions')::int = count(*) FILTER (WHERE i.outcome = 'success') AS is_right
FROM workflow.items AS i,
     LATERAL (SELECT coalesce((:'counts'::jsonb #>> ARRAY['accounts', i.data ->> 'account_id', 'executions'])::int, 0) AS n)
       AS updates
\gset
\echo :updated_once 'accounts were updated once,' :updated_more_than_once 'more than once.'
SELECT (NOT :'is_right'::bool)::int AS wrong \gset
\if :wrong
  \warn 'The count is wrong: ended without an update:' :ended_without_update '- updated without having ended:' :updated_but_not_ended
  DO $$ BEGIN RAISE EXCEPTION 'the CRM was not updated exactly once for each account'; END $$;
\endif
