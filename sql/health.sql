--
-- health: whether everything is wired up; a row for each check.
--
-- A hint is SQL that can be pasted into psql, with what else there is to say
-- behind "--".  A check looks at indexes and catalogs, not at all rows: it takes
-- as long with a million items.
--

-- Ten names are enough to begin with.
CREATE FUNCTION workflow._in_a_row(parts text[]) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT array_to_string(parts[:10], '; ') || CASE WHEN cardinality(parts) > 10 THEN format(' and %s more', cardinality(parts) - 10) ELSE '' END || '.'
$$;
COMMENT ON FUNCTION workflow._in_a_row(text[]) IS 'Inner: the first of many facts, in one sentence';

CREATE FUNCTION workflow._in_number(n bigint, one text, many text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT n || ' ' || CASE WHEN n = 1 THEN one ELSE many END $$;
COMMENT ON FUNCTION workflow._in_number(bigint, text, text) IS 'Inner: a number of things with what is said of one, or of many';

-- A literal behind "--": a line break in it would end the comment.
CREATE FUNCTION workflow._literal_in_line(value text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN value ~ '[\n\r]'
              THEN 'E''' || replace(replace(replace(replace(value, '\', '\\'), '''', ''''''), E'\n', '\n'), E'\r', '\r') || ''''
              ELSE quote_literal(value) END
$$;
COMMENT ON FUNCTION workflow._literal_in_line(text) IS 'Inner: a value as an SQL literal without a line break';

-- Undone where it was set; what the configuration says is overruled.
CREATE FUNCTION workflow._setting_hint(name text, value text) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT CASE s.source
      WHEN 'session' THEN format('RESET %s;', name)
      WHEN 'client' THEN format('SET %s = %s;  -- and mend the options of the connection', name, value)
      WHEN 'user' THEN format('ALTER ROLE %I RESET %s;  -- and connect anew', session_user, name)
      WHEN 'database' THEN format('ALTER DATABASE %I RESET %s;  -- and connect anew', current_database(), name)
      WHEN 'database user' THEN format('ALTER ROLE %I IN DATABASE %I RESET %s;  -- and connect anew', session_user, current_database(), name)
      ELSE format('ALTER SYSTEM SET %s = %s; SELECT pg_reload_conf();', name, value) END
    FROM pg_settings AS s WHERE s.name = name);
END
$$;
COMMENT ON FUNCTION workflow._setting_hint(text, text) IS
  'Inner: SQL that gives a setting a value, or takes back what some place has set';

-- ---------------------------------------------------------------- processes

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
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  most int := current_setting('max_worker_processes')::int;
BEGIN
  RETURN QUERY
  SELECT 'preloaded', p.is_it, 'warning',
         CASE WHEN p.is_it THEN 'The launcher starts workers by itself.'
              ELSE 'Workers end with the server and nobody starts them again.' END,
         CASE WHEN NOT p.is_it THEN
           format('ALTER SYSTEM SET shared_preload_libraries = %s;  -- and restart the server, or call workflow.start_workers() after each start.',
                  (SELECT string_agg(quote_literal(btrim(l.name, ' "')), ', ')
                   FROM unnest(string_to_array(nullif(current_setting('shared_preload_libraries'), ''), ',') || 'pg_workflow'::text) AS l (name))) END
  FROM (SELECT EXISTS (SELECT FROM workflow.list_workers() AS w WHERE w.kind = 'launcher')) AS p (is_it)
  UNION ALL
  SELECT 'workers', r.n > 0 OR r.rests_since IS NOT NULL OR pg_is_in_recovery(),
         CASE WHEN r.lacks_since > now() - interval '1 minute' THEN 'warning' ELSE 'error' END,
         CASE WHEN r.n > 0 THEN format('%s running in this database.', r.n)
              WHEN r.rests_since IS NOT NULL
                THEN format('Resting since %s: nothing is due, and other databases use the background workers.', r.rests_since)
              WHEN r.lacks_since IS NOT NULL
                THEN format('None is running in this database; one is wanted since %s, and no background worker is free.', r.lacks_since)
              WHEN pg_is_in_recovery() THEN 'A standby has none.'
              ELSE 'None is running in this database.' END,
         CASE WHEN r.lacks_since IS NOT NULL
                THEN format('ALTER SYSTEM SET max_worker_processes = %s;  -- Raise max_worker_processes and restart the server; CALL workflow.run(); does the work meanwhile.', most + 8)
              WHEN r.n = 0 AND r.rests_since IS NULL AND NOT pg_is_in_recovery() THEN 'SELECT workflow.start_workers();  -- or CALL workflow.run();' END
  FROM (SELECT count(*) FILTER (WHERE w.state = 'running'),
               min(w.last_activity) FILTER (WHERE w.state = 'resting'),
               min(w.last_activity) FILTER (WHERE w.state = 'lacking')
        FROM workflow.list_workers() AS w WHERE w.kind = 'maintenance') AS r (n, rests_since, lacks_since)
  UNION ALL
  SELECT 'version', v.library = v.installed, 'error',
         format('Library %s, extension %s.', v.library, v.installed),
         CASE WHEN v.library <> v.installed THEN
           'ALTER EXTENSION pg_workflow UPDATE;  -- and restart the server when the library was replaced.' END
  FROM (SELECT workflow._library_version(), e.extversion
        FROM pg_extension AS e WHERE e.extname = 'pg_workflow') AS v (library, installed)
  UNION ALL
  SELECT 'worker_processes', f.free >= 2, 'warning',
         format('%s of %s background workers are free.', f.free, most) ||
         CASE WHEN f.resting > 0 THEN format(' Databases take turns with them: %s have none at the moment.', f.resting) ELSE '' END,
         CASE WHEN f.free < 2
           THEN format('ALTER SYSTEM SET max_worker_processes = %s;  -- Raise max_worker_processes: a database needs up to three; and restart the server.', most + 8) END
  FROM (SELECT most - (SELECT count(*) FROM pg_stat_activity AS a
                       WHERE a.backend_type <> ALL (workflow._server_processes())),
               workflow._resting_databases()) AS f (free, resting)
  UNION ALL
  SELECT 'maintenance', p.parts = 0, 'error',
         CASE WHEN p.parts = 0 THEN 'All that the maintenance worker does by itself works.'
              ELSE format('%s since %s; %s: %s',
                          workflow._in_number(p.parts, 'thing that the maintenance worker does by itself fails', 'things that the maintenance worker does by itself fail'),
                          p.since, p.doing, p.message) END,
         CASE WHEN p.parts > 0 THEN 'SELECT * FROM workflow.workers;  -- the server''s log has the errors; what fails is tried again each minute, all else goes on.' END
  FROM workflow._failing_parts() AS p;
END
$$;
COMMENT ON FUNCTION workflow._health_workers() IS 'Inner: the part of health() that looks at processes';

-- --------------------------------------------------------------------- work

CREATE FUNCTION workflow._health_jobs()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  long_ago timestamptz := workflow._now() - interval '1 minute';
BEGIN
  RETURN QUERY
  SELECT 'leases', l.n = 0, 'warning',
         workflow._in_number(l.n, 'lease ended more than a minute ago and was', 'leases ended more than a minute ago and were') || ' not given back.',
         CASE WHEN l.n > 0 THEN 'SELECT workflow.start_workers();  -- the maintenance worker gives them back.' END
  FROM (SELECT count(*) FROM workflow.job AS j
        WHERE j.status = 'running' AND j.lease_until < long_ago
          AND workflow._lease_end(j.job_id, j.token, j.lease_until) < long_ago) AS l (n)
  UNION ALL
  SELECT 'overdue_work', d.n = 0, 'warning',
         workflow._in_number(d.n, 'job for background workers has', 'jobs for background workers have') || ' been due for more than a minute.',
         CASE WHEN d.n = 0 THEN NULL
              WHEN EXISTS (SELECT FROM workflow.list_workers() AS w WHERE w.kind = 'maintenance')
              THEN 'SELECT * FROM workflow.workers;  -- shows what the workers do, workflow.queues which limits hold them back.'
              ELSE 'SELECT workflow.start_workers();  -- or CALL workflow.run();' END
  FROM (SELECT count(*) FROM (
          SELECT FROM workflow.job AS j JOIN workflow.queue AS q ON q.queue = j.queue
          WHERE j.status = 'ready' AND NOT j.behind AND j.kind IN ('sql', 'http', 'model') AND q.paused_at IS NULL
            AND j.run_at < long_ago
          LIMIT 10000) AS due) AS d (n)
  UNION ALL
  SELECT 'timers', t.n = 0, 'error',
         CASE WHEN t.n = 0 THEN 'All could fire.'
              ELSE format('%s tried each minute; one of item %s: %s',
                          workflow._in_number(t.n, 'timer could not fire and is', 'timers could not fire and are'), t.item_id, (SELECT o.error_message FROM workflow.timer AS o
                                           WHERE o.item_id = t.item_id AND o.error_message IS NOT NULL LIMIT 1)) END,
         CASE WHEN t.n > 0 THEN format('SELECT last_error FROM workflow.where_is(%s);  -- mend what it says.', t.item_id) END
  FROM (SELECT count(*), min(f.item_id) FROM workflow.timer AS f WHERE f.error_message IS NOT NULL AND f.paused_due_at IS NULL) AS t (n, item_id)
  UNION ALL
  SELECT 'timers_overdue', t.n = 0, 'warning',
         CASE WHEN t.n = 0 THEN 'None is overdue.'
              ELSE format('%s been due for more than a minute, the first since %s.', workflow._in_number(t.n, 'timer has', 'timers have'), t.due_at) END,
         CASE WHEN t.n > 0 THEN 'SELECT workflow.start_workers();  -- the maintenance worker fires them, or CALL workflow.run();' END
  FROM (SELECT count(*), min(o.due_at) FROM (
          SELECT f.due_at FROM workflow.timer AS f WHERE f.due_at < long_ago AND f.error_message IS NULL
          ORDER BY f.due_at LIMIT 10000) AS o) AS t (n, due_at)
  UNION ALL
  SELECT 'queues_unowned', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'Each has an owner and somebody to escalate to.'
              ELSE workflow._in_a_row(array_agg(format('%s has no %s', q.queue, CASE WHEN btrim(q.owner) = '' THEN 'owner' ELSE 'escalation path' END)
                                                ORDER BY q.queue)) END,
         string_agg(format('SELECT workflow.alter_queue(%L, %L);', q.queue,
           CASE WHEN btrim(q.owner) = '' THEN jsonb_build_object('owner', session_user) ELSE '{}' END
           || CASE WHEN cardinality(q.escalate_to) = 0 THEN jsonb_build_object('escalate_to', jsonb_build_array(session_user)) ELSE '{}' END), ' '
           ORDER BY q.queue) || '  -- or whoever it is.'
  FROM workflow.queue AS q WHERE btrim(q.owner) = '' OR cardinality(q.escalate_to) = 0
  UNION ALL
  SELECT 'webhooks_unfed', w.n = 0, 'warning',
         workflow._in_number(w.n, 'webhook did not fit and was', 'webhooks did not fit and were') || ' kept.',
         CASE WHEN w.n > 0 THEN 'SELECT inbox_id, problem FROM workflow.webhooks WHERE status = ''unfed'';  -- then workflow.feed(inbox_id) when it fits, or workflow.dismiss_webhook(inbox_id, ''reason'') when it never will.' END
  FROM (SELECT count(*) FROM workflow.inbox AS i WHERE i.status = 'unfed') AS w (n);
END
$$;
COMMENT ON FUNCTION workflow._health_jobs() IS 'Inner: the part of health() that looks at jobs, timers, queues and webhooks';

CREATE FUNCTION workflow._health_effects()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'effects_' || s.state, coalesce(e.n, 0) = 0, s.severity,
         format('%s %s.', workflow._in_number(coalesce(e.n, 0), 'effect is', 'effects are'), s.state),
         CASE WHEN e.n > 0 THEN s.hint END
  FROM (VALUES
          ('held', 'error', 'SELECT effect_id, endpoint, key, reason FROM workflow.effects WHERE state = ''held'';  -- then SELECT workflow.resolve(effect_id, ''applied'', ''how you know''); or ''not_applied'' each.'),
          ('unknown', 'warning', 'SELECT * FROM workflow.effects WHERE state = ''unknown'';  -- They are looked up by themselves.'),
          ('blocked', 'error', 'SELECT effect_id, endpoint, key, reason FROM workflow.effects WHERE state = ''blocked'';  -- reason says what each waits for; it goes on by itself when a grant, a server or a secret changes. What was mended elsewhere (a quota): SELECT workflow.resolve(effect_id, ''not_applied'', ''what was mended''); each.')
       ) AS s (state, severity, hint)
  LEFT JOIN (SELECT e.state, count(*) FROM workflow.effect AS e
             WHERE e.state IN ('held', 'unknown', 'blocked') GROUP BY e.state) AS e (state, n)
    ON e.state = s.state
  UNION ALL
  SELECT 'cluster', problem IS NULL, 'error',
         CASE WHEN problem IS NULL THEN 'This database may send what is in it.'
              ELSE 'Nothing is sent: ' || split_part(problem, ': ', 1) || '.' END,
         CASE WHEN problem LIKE '%: SELECT %' THEN split_part(problem, ': ', 2) || ';' END
  FROM (SELECT CASE WHEN EXISTS (SELECT FROM workflow.cluster) OR EXISTS (SELECT FROM workflow.definition) OR EXISTS (SELECT FROM workflow.effect)
                 THEN workflow._cluster_problem() END) AS c (problem)
  UNION ALL
  SELECT 'effects_in_doubt', count(*) = 0, 'warning',
         format('%s may have been applied, and nobody has come to do %s again.', workflow._in_number(count(*), 'effect', 'effects'), CASE WHEN count(*) = 1 THEN 'it' ELSE 'them' END),
         CASE WHEN count(*) > 0 THEN
           format('SELECT * FROM workflow.effects WHERE state = ''pending'' AND kind = ''guard'';  -- workflow.begin_effect() with the same key does it again, SELECT workflow.resolve(%s, ''applied'', ''how you know''); or ''not_applied'' ends it.', min(e.effect_id)) END
  FROM workflow.effect AS e
  WHERE e.state = 'pending' AND e.unknown_attempts > 0 AND coalesce(e.next_at, e.sending_at) < workflow._now() - interval '1 minute'
    AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id);
END
$$;
COMMENT ON FUNCTION workflow._health_effects() IS 'Inner: the part of health() that looks at effects and at whose they are';

-- ---------------------------------------------------------------- endpoints

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
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  WITH stopped AS MATERIALIZED (SELECT * FROM workflow._stopped_endpoints())
  SELECT 'breakers', count(*) = 0, CASE WHEN max(s.waiting) > 0 THEN 'error' ELSE 'warning' END,
         CASE WHEN count(*) = 0 THEN 'All are closed.'
              ELSE workflow._in_a_row(array_agg(
                format('%s is %s since %s (%s)%s; %s', s.endpoint, replace(s.breaker, '_', ' '), s.since, s.why,
                       ', last error ' || s.last_error, workflow._in_number(s.waiting, 'effect waits', 'effects wait')) ORDER BY s.waiting DESC, s.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('SELECT workflow.resume_endpoint(%L, ''why'');  -- lets one call go now. Calls begin by themselves when one has gone well; the next one goes to see %s.',
                  (array_agg(s.endpoint ORDER BY s.waiting DESC, s.endpoint))[1],
                  CASE WHEN min(s.until) > workflow._now() THEN 'at ' || min(s.until) ELSE 'as soon as one is due' END) END
  FROM stopped AS s WHERE s.breaker <> 'closed'
  UNION ALL
  SELECT 'endpoints_paused', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'None for longer than an hour while effects wait.'
              ELSE workflow._in_a_row(array_agg(
                CASE WHEN s.paused_at IS NOT NULL THEN format('%s was paused by %s at %s', s.endpoint, s.paused_by, s.paused_at)
                     ELSE format('%s asked for a pause until %s', s.endpoint, s.asked_until) END
                || '; ' || workflow._in_number(s.waiting, 'effect waits', 'effects wait') ORDER BY s.waiting DESC, s.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('SELECT workflow.resume_endpoint(%L, ''why'');  -- when calls may begin again.', (array_agg(s.endpoint ORDER BY s.waiting DESC, s.endpoint))[1]) END
  FROM stopped AS s
  WHERE s.waiting > 0
    AND (s.paused_at < clock_timestamp() - interval '1 hour' OR s.asked_until > workflow._now() + interval '1 hour')
  UNION ALL
  SELECT 'retry_budget', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'No job waits for it.'
              ELSE workflow._in_a_row(array_agg(format('%s: %s to be tried again', b.endpoint, workflow._in_number(b.n, 'job waits', 'jobs wait')) ORDER BY b.n DESC, b.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('SELECT error_class, reason FROM workflow.effects WHERE endpoint = %L AND state = ''pending'' LIMIT 10;  -- Its calls fail more often than they go well.',
                  (array_agg(b.endpoint ORDER BY b.n DESC, b.endpoint))[1]) END
  FROM (SELECT p.endpoint, count(*) FROM workflow.job AS j
        JOIN workflow.effect AS e ON e.effect_id = j.effect_id JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id
        WHERE j.status = 'ready' AND j.waiting_on = 'retry' GROUP BY p.endpoint) AS b (endpoint, n);
END
$$;
COMMENT ON FUNCTION workflow._health_flow() IS 'Inner: the part of health() that looks at endpoints that take no calls';

-- What verify_endpoint() has shown of each endpoint with dedup 'key', under its present options.
CREATE FUNCTION workflow._declared_endpoints()
RETURNS TABLE (endpoint text, dedup text, on_unknown text, verdict text, detail text, is_used boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT s.srvname::text, o.dedup, o.on_unknown, v.verdict, v.detail,
         (SELECT e.key FROM workflow.effect AS e WHERE e.endpoint_id = p.endpoint_id ORDER BY e.key LIMIT 1) IS NOT NULL    -- by the index
  FROM pg_foreign_server AS s
  JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'workflow_http'
  JOIN LATERAL (
    SELECT e.endpoint_id FROM workflow.endpoint AS e WHERE e.endpoint = s.srvname::text OR e.server_oid = s.oid
    ORDER BY e.endpoint <> s.srvname::text LIMIT 1) AS p ON true
  CROSS JOIN LATERAL (
    SELECT max(x.option_value) FILTER (WHERE x.option_name = 'dedup') AS dedup,
           max(x.option_value) FILTER (WHERE x.option_name = 'on_unknown') AS on_unknown
    FROM pg_options_to_table(s.srvoptions) AS x) AS o
  LEFT JOIN workflow._counting_verification AS v
    ON v.endpoint_id = p.endpoint_id AND v.profile = workflow._key_profile(s.srvoptions)
  WHERE o.dedup IS DISTINCT FROM 'none'
$$;
COMMENT ON FUNCTION workflow._declared_endpoints() IS
  'Inner: endpoints that declare something about a second copy, and what was seen of it';

CREATE FUNCTION workflow._health_declared()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  WITH declared AS MATERIALIZED (SELECT * FROM workflow._declared_endpoints())
  SELECT 'endpoints_refuted', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'No receiver was seen to do twice what its endpoint says is done once.'
              ELSE workflow._in_a_row(array_agg(format('%s (dedup %s): %s', v.endpoint, v.dedup, v.detail) ORDER BY v.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('ALTER SERVER %I OPTIONS (%s on_unknown ''hold'');  -- Until that is mended a person should decide; then SELECT workflow.verify_endpoint(%s, operation, mended => ''how'');',
                  min(v.endpoint), CASE WHEN (array_agg(v.on_unknown ORDER BY v.endpoint))[1] IS NOT NULL THEN 'SET' ELSE 'ADD' END,
                  workflow._literal_in_line(min(v.endpoint))) END
  FROM declared AS v WHERE v.verdict = 'refuted' AND v.on_unknown IS DISTINCT FROM 'hold'    -- then nothing is sent twice
  UNION ALL
  SELECT 'endpoints_declared', true, 'ok',
         CASE WHEN count(*) = 0 THEN 'None in use is declared dedup ''key'' and was never tried out.'
              ELSE 'Declared, not verified: ' || workflow._in_a_row(array_agg(v.endpoint ORDER BY v.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('-- SELECT workflow.verify_endpoint(%s, ''{"method": "POST", "path": ...}''); with an operation that may be done for a test.',
                  workflow._literal_in_line(min(v.endpoint))) END
  FROM declared AS v
  WHERE v.dedup = 'key' AND v.is_used AND (v.verdict IS NULL OR v.verdict NOT IN ('verified', 'refuted'));
END
$$;
COMMENT ON FUNCTION workflow._health_declared() IS 'Inner: the part of health() that looks at what endpoints declare';
