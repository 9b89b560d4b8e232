--
-- worker: starting and stopping background workers, what they do, and whether
-- everything is wired up.
--

CREATE FUNCTION workflow._wake_launcher() RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_wake_launcher';
COMMENT ON FUNCTION workflow._wake_launcher() IS
  'Inner: at commit, the launcher looks whether this database has the extension';

CREATE FUNCTION workflow._library_version() RETURNS text
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_library_version';
COMMENT ON FUNCTION workflow._library_version() IS
  'Inner: version of the library that this session has loaded';

CREATE FUNCTION workflow._is_own(row_xmin xid) RETURNS bool
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_is_own';
COMMENT ON FUNCTION workflow._is_own(xid) IS
  'Inner: whether the present transaction wrote the row that has this xmin';

CREATE FUNCTION workflow._resting_databases() RETURNS int
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_resting_databases';
COMMENT ON FUNCTION workflow._resting_databases() IS
  'Inner: how many databases of the server have no maintenance worker at the moment because others use the processes';

-- ------------------------------------------------------------------- life

CREATE FUNCTION workflow.start_workers() RETURNS int
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_start_workers';
COMMENT ON FUNCTION workflow.start_workers() IS
  'Starts the background workers of this database unless they run, and returns how many run; without preload they end with the server';

CREATE FUNCTION workflow.stop_workers() RETURNS int
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_stop_workers';
COMMENT ON FUNCTION workflow.stop_workers() IS
  'Stops the background workers of this database until start_workers() or a restart, and returns how many were stopped';

CREATE PROCEDURE workflow.run(max_duration interval DEFAULT NULL)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_run';
COMMENT ON PROCEDURE workflow.run(interval) IS
  'Does the work of the background workers in this session until nothing is due or the time is over; inside a transaction block only for rows of that transaction, committing nothing';

CREATE FUNCTION workflow.list_workers()
RETURNS TABLE (pid int, kind text, state text, doing text, started_at timestamptz,
               last_activity timestamptz, in_flight int)
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_workers';
COMMENT ON FUNCTION workflow.list_workers() IS 'The background workers of this database, and the launcher: what the view workers shows';

CREATE VIEW workflow.workers AS
SELECT w.pid, w.kind, w.state, w.doing, w.started_at, w.last_activity, w.in_flight
FROM workflow.list_workers() AS w
ORDER BY w.kind, w.pid;
COMMENT ON VIEW workflow.workers IS
  'Background workers of this database, and the launcher: what each does and how many calls it has under way';

-- What a sql worker has taken shows to others when it is done: its claim and the
-- activity are one transaction.
CREATE FUNCTION workflow._who_runs(kind text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN _who_runs.kind NOT IN ('sql', 'http', 'model') THEN NULL
    WHEN count(*) FILTER (WHERE w.kind = 'maintenance' AND w.state = 'lacking') > 0
      THEN format('this database has waited for a background worker since %s',
                  min(w.last_activity) FILTER (WHERE w.kind = 'maintenance'))
    WHEN count(*) FILTER (WHERE w.kind = 'maintenance') = 0 THEN 'no worker is running in this database'
    WHEN _who_runs.kind = 'sql'
      THEN string_agg(format('sql worker %s is busy since %s, perhaps with it', w.pid, w.last_activity), '; ' ORDER BY w.pid)
           FILTER (WHERE w.kind = 'sql' AND w.doing = 'running sql activities') END
  FROM workflow.list_workers() AS w
  WHERE w.state IN ('running', 'resting', 'lacking')
$$;
COMMENT ON FUNCTION workflow._who_runs(text) IS
  'Inner: what is known about the workers that a ready job of a kind waits for; null when there is nothing to say';

-- ------------------------------------------------------- inside the workers

-- The ledger is written first and jobs are told of it afterwards.  Whoever was to tell them may be
-- gone, and a row that somebody held is left for later: both show in the tables.
CREATE FUNCTION workflow._untold_effects(most int)
RETURNS TABLE (effect_id bigint, due_at timestamptz) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT u.effect_id, min(u.due_at)
  FROM (SELECT j.effect_id, '-infinity'::timestamptz AS due_at
        FROM workflow.job AS j JOIN workflow.effect AS e ON e.effect_id = j.effect_id
        WHERE j.status = 'running' AND j.kind IN ('http', 'model')
          AND e.state NOT IN ('sending', 'claimed') AND e.substate IS DISTINCT FROM 'probing'
          AND NOT coalesce(workflow._session_lives(j.session_pid, j.session_start), false)
        UNION ALL
        SELECT j.effect_id, j.run_at
        FROM workflow.job AS j JOIN workflow.effect AS e ON e.effect_id = j.effect_id
        WHERE j.status = 'waiting' AND j.waiting_on IN ('effect', 'blocked')
          AND (e.state IN ('succeeded', 'failed', 'dead', 'cancelled')
               OR (e.state = 'pending' OR e.state = 'unknown' AND e.substate IS DISTINCT FROM 'probing')
                  AND NOT EXISTS (SELECT FROM workflow.job AS o
                                  WHERE o.effect_id = j.effect_id AND o.status IN ('ready', 'running')))) AS u
  GROUP BY u.effect_id
  ORDER BY min(u.due_at)
  LIMIT most
$$;
COMMENT ON FUNCTION workflow._untold_effects(int) IS
  'Inner: effects with jobs that do not know where these stand, and from when on they may be told';

CREATE FUNCTION workflow._next_effect_check(now timestamptz) RETURNS timestamptz LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT least(
    (SELECT min(e.deadline) FROM workflow.effect AS e
     WHERE e.state IN ('sending', 'claimed') OR e.state = 'unknown' AND e.substate = 'probing'),
    (SELECT _next_effect_check.now + interval '1 minute'
     WHERE EXISTS (SELECT FROM workflow.effect AS e WHERE e.state = 'blocked')))
$$;
COMMENT ON FUNCTION workflow._next_effect_check(timestamptz) IS
  'Inner: when the maintenance worker has to look at effects again: one under way is overdue, a blocked one may go on';

CREATE FUNCTION workflow._disown(worker text, pid int) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE workflow.job AS j SET session_start = '-infinity'
  WHERE j.status = 'running' AND j.worker = _disown.worker AND j.session_pid = _disown.pid;
  UPDATE workflow.effect AS e SET session_start = '-infinity'
  WHERE (e.state IN ('sending', 'claimed') OR e.substate = 'probing') AND e.worker = _disown.worker AND e.session_pid = _disown.pid
$$;
COMMENT ON FUNCTION workflow._disown(text, int) IS
  'Inner: what an interrupted run() of this session left counts as left by a vanished process';

CREATE FUNCTION workflow._claim_own(worker text, pid int, started timestamptz)
RETURNS TABLE (job_id bigint, token text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE workflow.job AS j
  SET status = 'running', attempt = j.attempt + 1, worker = _claim_own.worker,
      token = gen_random_uuid()::text, claimed_at = workflow._now(),
      session_pid = _claim_own.pid, session_start = _claim_own.started
  WHERE j.job_id = (
    SELECT o.job_id
    FROM workflow.job AS o JOIN workflow.queue AS q ON q.queue = o.queue
    WHERE o.kind = 'sql' AND o.status = 'ready' AND NOT o.behind AND o.run_at <= workflow._now()
      AND q.paused_at IS NULL AND workflow._is_own(o.xmin)
    ORDER BY o.priority, o.run_at, o.job_id
    LIMIT 1)
  RETURNING j.job_id, j.token
$$;
COMMENT ON FUNCTION workflow._claim_own(text, int, timestamptz) IS
  'Inner: claims the next sql job that the present transaction wrote';

-- ------------------------------------------------------------------- health

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

-- The launcher, if there is one, looks into this database after the commit.
SELECT workflow._wake_launcher();
