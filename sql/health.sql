--
-- health: whether everything is wired up; a row for each check, with what to do.
--

CREATE FUNCTION workflow._server_processes() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT ARRAY['client backend', 'autovacuum launcher', 'autovacuum worker', 'archiver',
               'background writer', 'checkpointer', 'startup', 'walreceiver', 'walsender',
               'walsummarizer', 'walwriter', 'slotsync worker', 'io worker', 'logger',
               'standalone backend', 'not initialized']
$$;
COMMENT ON FUNCTION workflow._server_processes() IS
  'Inner: backend types that take none of max_worker_processes';

CREATE FUNCTION workflow._health_workers()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'preloaded', p.is_it, 'warning',
         CASE WHEN p.is_it THEN 'The launcher starts workers by itself.'
              ELSE 'Workers end with the server and nobody starts them again.' END,
         CASE WHEN NOT p.is_it THEN
           'Add pg_workflow to shared_preload_libraries and restart, or call workflow.start_workers() after each start.' END
  FROM (SELECT EXISTS (SELECT FROM workflow.list_workers() AS w WHERE w.kind = 'launcher')) AS p (is_it)
  UNION ALL
  SELECT 'workers', r.n > 0 OR r.rests_since IS NOT NULL,
         CASE WHEN r.lacks_since > now() - interval '1 minute' THEN 'warning' ELSE 'error' END,
         CASE WHEN r.n > 0 THEN format('%s running in this database.', r.n)
              WHEN r.rests_since IS NOT NULL
                THEN format('Resting since %s: nothing is due, and other databases use the background workers.', r.rests_since)
              WHEN r.lacks_since IS NOT NULL
                THEN format('None is running in this database; one is wanted since %s, and no background worker is free.', r.lacks_since)
              ELSE 'None is running in this database.' END,
         CASE WHEN r.lacks_since IS NOT NULL THEN 'Raise max_worker_processes and restart the server; CALL workflow.run(); does the work meanwhile.'
              WHEN r.n = 0 AND r.rests_since IS NULL THEN 'SELECT workflow.start_workers(); or CALL workflow.run();' END
  FROM (SELECT count(*) FILTER (WHERE w.state = 'running'),
               min(w.last_activity) FILTER (WHERE w.state = 'resting'),
               min(w.last_activity) FILTER (WHERE w.state = 'lacking')
        FROM workflow.list_workers() AS w WHERE w.kind = 'maintenance') AS r (n, rests_since, lacks_since)
  UNION ALL
  SELECT 'version', v.library = v.installed, 'error',
         format('Library %s, extension %s.', v.library, v.installed),
         CASE WHEN v.library <> v.installed THEN
           'ALTER EXTENSION pg_workflow UPDATE; and restart the server when the library was replaced.' END
  FROM (SELECT workflow._library_version(), e.extversion
        FROM pg_extension AS e WHERE e.extname = 'pg_workflow') AS v (library, installed)
  UNION ALL
  SELECT 'worker_processes', f.free >= 2, 'warning',
         format('%s of %s background workers are free.', f.free, f.most) ||
         CASE WHEN f.resting > 0 THEN format(' Databases take turns with them: %s have none at the moment.', f.resting) ELSE '' END,
         CASE WHEN f.free < 2 THEN 'Raise max_worker_processes: a database needs up to three.' END
  FROM (SELECT s.setting::int - (
                 SELECT count(*) FROM pg_stat_activity AS a
                 WHERE a.backend_type <> ALL (workflow._server_processes())),
               s.setting::int, workflow._resting_databases()
        FROM pg_settings AS s WHERE s.name = 'max_worker_processes') AS f (free, most, resting)
$$;
COMMENT ON FUNCTION workflow._health_workers() IS 'Inner: the part of health() that looks at processes';

CREATE FUNCTION workflow._health_work()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'leases', l.n = 0, 'warning',
         format('%s leases ended more than a minute ago and were not given back.', l.n),
         CASE WHEN l.n > 0 THEN 'SELECT workflow.start_workers(); the maintenance worker gives them back.' END
  FROM (SELECT count(*) FROM workflow.job AS j
        WHERE j.status = 'running' AND j.lease_until < workflow._now() - interval '1 minute'
          AND workflow._lease_end(j.job_id, j.token, j.lease_until) < workflow._now() - interval '1 minute') AS l (n)
  UNION ALL
  SELECT 'overdue_work', d.n = 0, 'warning',
         format('%s jobs for background workers have been due for more than a minute.', d.n),
         CASE WHEN d.n > 0 THEN 'SELECT * FROM workflow.workers; shows what the workers do, workflow.queues which limits hold them back.' END
  FROM (SELECT count(*) FROM (
          SELECT FROM workflow.job AS j JOIN workflow.queue AS q ON q.queue = j.queue
          WHERE j.status = 'ready' AND NOT j.behind AND j.kind IN ('sql', 'http', 'model') AND q.paused_at IS NULL
            AND j.run_at < workflow._now() - interval '1 minute'
          LIMIT 10000) AS due) AS d (n)
  UNION ALL
  SELECT 'effects_' || s.state, coalesce(e.n, 0) = 0, s.severity,
         format('%s effects are %s.', coalesce(e.n, 0), s.state),
         CASE WHEN e.n > 0 THEN s.hint END
  FROM (VALUES
          ('held', 'error', 'SELECT * FROM workflow.effects WHERE state = ''held''; then workflow.resolve() each.'),
          ('unknown', 'warning', 'They are looked up by themselves; SELECT * FROM workflow.effects WHERE state = ''unknown''.'),
          ('blocked', 'error', 'The column reason of workflow.effects says what each waits for; it goes on by itself then.')
       ) AS s (state, severity, hint)
  LEFT JOIN (SELECT e.state, count(*) FROM workflow.effect AS e
             WHERE e.state IN ('held', 'unknown', 'blocked') GROUP BY e.state) AS e (state, n)
    ON e.state = s.state
  UNION ALL
  SELECT 'cluster', problem IS NULL, 'error',
         CASE WHEN problem IS NULL THEN 'This database may send what is in it.'
              ELSE 'Nothing is sent: ' || split_part(problem, ': ', 1) || '.' END,
         CASE WHEN problem LIKE '%: SELECT %' THEN split_part(problem, ': ', 2) || ';' END
  FROM (SELECT CASE WHEN EXISTS (SELECT FROM workflow.cluster) OR EXISTS (SELECT FROM workflow.effect)
                 THEN workflow._cluster_problem() END) AS c (problem)
  UNION ALL
  SELECT 'effects_in_doubt', count(*) = 0, 'warning',
         format('%s effects may have been applied, and nobody has come to do them again.', count(*)),
         CASE WHEN count(*) > 0 THEN
           format('workflow.begin_effect() with the same key does it again, SELECT workflow.resolve(%s, ''applied'' or ''not_applied'', ''how you know''); ends it; SELECT * FROM workflow.effects WHERE state = ''pending'' AND kind = ''guard'' shows them.', min(e.effect_id)) END
  FROM workflow.effect AS e
  WHERE e.state = 'pending' AND e.unknown_attempts > 0 AND coalesce(e.next_at, e.sending_at) < workflow._now() - interval '1 minute'
    AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id)
  UNION ALL
  SELECT 'timers', t.n = 0, 'error',
         CASE WHEN t.n = 0 THEN 'All could fire.'
              ELSE format('%s timers could not fire and are tried each minute; one of item %s: %s',
                          t.n, t.item_id, (SELECT o.error_message FROM workflow.timer AS o
                                           WHERE o.item_id = t.item_id AND o.error_message IS NOT NULL LIMIT 1)) END,
         CASE WHEN t.n > 0 THEN format('SELECT last_error FROM workflow.where_is(%s); mend what it says.', t.item_id) END
  FROM (SELECT count(*), min(f.item_id) FROM workflow.timer AS f WHERE f.error_message IS NOT NULL) AS t (n, item_id)
  UNION ALL
  SELECT 'webhooks_unfed', w.n = 0, 'warning',
         format('%s webhooks did not fit and were kept.', w.n),
         CASE WHEN w.n > 0 THEN 'SELECT inbox_id, problem FROM workflow.webhooks WHERE status = ''unfed''; then workflow.feed(inbox_id) when it fits, or workflow.dismiss_webhook(inbox_id, ''reason'') when it never will.' END
  FROM (SELECT count(*) FROM workflow.inbox AS i WHERE i.status = 'unfed') AS w (n)
$$;
COMMENT ON FUNCTION workflow._health_work() IS 'Inner: the part of health() that looks at jobs, effects, timers and webhooks';

-- Ten names are enough to begin with.
CREATE FUNCTION workflow._in_a_row(parts text[]) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT array_to_string(parts[:10], '; ') || CASE WHEN cardinality(parts) > 10 THEN format(' and %s more', cardinality(parts) - 10) ELSE '' END || '.'
$$;
COMMENT ON FUNCTION workflow._in_a_row(text[]) IS 'Inner: the first of many facts, in one sentence';

-- The endpoints that take no calls now, with who waits for each, and the last error there.
CREATE FUNCTION workflow._stopped_endpoints()
RETURNS TABLE (endpoint text, breaker text, since timestamptz, until timestamptz, why text,
               paused_at timestamptz, paused_by text, asked_until timestamptz, waiting bigint, last_error text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT p.endpoint, p.breaker, p.breaker_since, p.breaker_until, p.breaker_reason,
         p.paused_at, p.paused_by, p.pause_until,
         (SELECT count(*) FROM workflow.effect AS e
          WHERE e.endpoint_id = p.endpoint_id AND e.state IN ('pending', 'unknown')),
         (SELECT coalesce(e.reason, e.error_class) FROM workflow.effect AS e
          WHERE e.endpoint_id = p.endpoint_id AND e.state IN ('pending', 'unknown') AND e.error_class IS NOT NULL
          ORDER BY e.sending_at DESC NULLS LAST LIMIT 1)
  FROM workflow.endpoint AS p
  WHERE (p.breaker <> 'closed' OR p.paused_at IS NOT NULL OR p.pause_until > workflow._now())
    AND EXISTS (SELECT FROM pg_foreign_server AS s WHERE s.srvname = p.endpoint OR s.oid = p.server_oid)
$$;
COMMENT ON FUNCTION workflow._stopped_endpoints() IS
  'Inner: endpoints whose breaker is not closed or that are paused, and how many effects wait for them';

CREATE FUNCTION workflow._health_flow()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  WITH stopped AS MATERIALIZED (SELECT * FROM workflow._stopped_endpoints())
  SELECT 'breakers', count(*) = 0, CASE WHEN max(s.waiting) > 0 THEN 'error' ELSE 'warning' END,
         CASE WHEN count(*) = 0 THEN 'All are closed.'
              ELSE workflow._in_a_row(array_agg(
                format('%s is %s since %s (%s)%s; %s effects wait', s.endpoint, replace(s.breaker, '_', ' '), s.since, s.why,
                       ', last error ' || s.last_error, s.waiting) ORDER BY s.waiting DESC, s.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('Calls begin by themselves when one has gone well; the next one goes to see %s. SELECT workflow.resume_endpoint(%L, ''why''); lets one go now.',
                  CASE WHEN min(s.until) > workflow._now() THEN 'at ' || min(s.until) ELSE 'as soon as one is due' END, (array_agg(s.endpoint ORDER BY s.waiting DESC, s.endpoint))[1]) END
  FROM stopped AS s WHERE s.breaker <> 'closed'
  UNION ALL
  SELECT 'endpoints_paused', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'None for longer than an hour while effects wait.'
              ELSE workflow._in_a_row(array_agg(
                CASE WHEN s.paused_at IS NOT NULL THEN format('%s was paused by %s at %s', s.endpoint, s.paused_by, s.paused_at)
                     ELSE format('%s asked for a pause until %s', s.endpoint, s.asked_until) END
                || format('; %s effects wait', s.waiting) ORDER BY s.waiting DESC, s.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('SELECT workflow.resume_endpoint(%L, ''why''); when calls may begin again.', (array_agg(s.endpoint ORDER BY s.waiting DESC, s.endpoint))[1]) END
  FROM stopped AS s
  WHERE s.waiting > 0
    AND (s.paused_at < clock_timestamp() - interval '1 hour' OR s.asked_until > workflow._now() + interval '1 hour')
  UNION ALL
  SELECT 'retry_budget', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'No job waits for it.'
              ELSE workflow._in_a_row(array_agg(format('%s: %s jobs wait to be tried again', b.endpoint, b.n) ORDER BY b.n DESC, b.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('Its calls fail more often than they go well: SELECT error_class, reason FROM workflow.effects WHERE endpoint = %L AND state = ''pending'' LIMIT 10;',
                  (array_agg(b.endpoint ORDER BY b.n DESC, b.endpoint))[1]) END
  FROM (SELECT p.endpoint, count(*) FROM workflow.job AS j
        JOIN workflow.effect AS e ON e.effect_id = j.effect_id JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id
        WHERE j.status = 'ready' AND j.waiting_on = 'retry' GROUP BY p.endpoint) AS b (endpoint, n)
$$;
COMMENT ON FUNCTION workflow._health_flow() IS 'Inner: the part of health() that looks at endpoints that take no calls';

CREATE FUNCTION workflow._health_declared()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'endpoints_refuted', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'No receiver was seen to do twice what its endpoint says is done once.'
              ELSE workflow._in_a_row(array_agg(format('%s (dedup %s): %s', v.endpoint, v.dedup, v.verification_detail) ORDER BY v.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('Until that is mended a person should decide: ALTER SERVER %I OPTIONS (ADD on_unknown ''hold''); then SELECT workflow.verify_endpoint(%L, operation, mended => ''how'');',
                  min(v.endpoint), min(v.endpoint)) END
  FROM workflow.endpoints AS v WHERE v.verification = 'refuted'
  UNION ALL
  SELECT 'endpoints_declared', true, 'ok',
         CASE WHEN count(*) = 0 THEN 'None in use is declared dedup ''key'' and was never tried out.'
              ELSE 'Declared, not verified: ' || workflow._in_a_row(array_agg(v.endpoint ORDER BY v.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('SELECT workflow.verify_endpoint(%L, ''{"method": "POST", "path": ...}''); with an operation that may be done for a test.', min(v.endpoint)) END
  FROM workflow.endpoints AS v
  WHERE v.dedup = 'key' AND v.verification = 'declared, not verified'
    AND EXISTS (SELECT FROM workflow.endpoint AS p JOIN workflow.effect AS e ON e.endpoint_id = p.endpoint_id WHERE p.endpoint = v.endpoint)
$$;
COMMENT ON FUNCTION workflow._health_declared() IS 'Inner: the part of health() that looks at what endpoints declare';

CREATE FUNCTION workflow._health(caller text)
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT h."check", h.ok, CASE WHEN h.ok THEN 'ok' ELSE h.severity END, h.detail, h.hint
  FROM (SELECT * FROM workflow._health_workers()
        UNION ALL
        SELECT * FROM workflow._health_work()
        UNION ALL
        SELECT * FROM workflow._health_flow()
        UNION ALL
        SELECT * FROM workflow._health_declared()) AS h
$$;
COMMENT ON FUNCTION workflow._health(text) IS 'Inner: health()';

CREATE FUNCTION workflow.health()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.health() IS
  'Whether everything is wired up: one row for each check, with what to do where it is not';
