--
-- worker: starting and stopping background workers, and what they do.
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

CREATE FUNCTION workflow._failing_parts(OUT parts int, OUT doing text, OUT since timestamptz, OUT message text)
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_failing_parts';
COMMENT ON FUNCTION workflow._failing_parts() IS
  'Inner: how many parts of the maintenance worker''s rounds fail, and what the one that has for longest was doing and said';

CREATE FUNCTION workflow._aging() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_aging';
COMMENT ON FUNCTION workflow._aging() IS
  'Inner: at commit, wakes the maintenance worker, unless it looks before this is old enough to be forgotten';

CREATE TRIGGER aging AFTER UPDATE OF finished_at ON workflow.effect
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._aging('effect');
COMMENT ON TRIGGER aging ON workflow.effect IS 'Nobody looks for effects to forget where none has finished';
CREATE TRIGGER aging AFTER INSERT OR UPDATE OF status ON workflow.inbox
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._aging('webhook');
COMMENT ON TRIGGER aging ON workflow.inbox IS 'Nobody looks for webhooks to forget where none was fed';
CREATE TRIGGER aging AFTER INSERT OR UPDATE OF dead_letter_retention ON workflow.queue
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._aging('dead_letter');
COMMENT ON TRIGGER aging ON workflow.queue IS 'Nobody looks for dead letters to remove where nothing has died and no queue says so';
CREATE TRIGGER aging AFTER UPDATE OF ended_at ON workflow.redrive
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._aging('redrive');
COMMENT ON TRIGGER aging ON workflow.redrive IS 'Nobody looks for batches to remove where none has ended';

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
-- activity are one transaction; but it holds the rows, see _row_holders().
CREATE FUNCTION workflow._who_runs(kind text, holders int[]) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF kind NOT IN ('sql', 'http', 'model') THEN
    RETURN NULL;
  END IF;
  RETURN (
    SELECT CASE
      WHEN count(*) FILTER (WHERE w.kind = 'maintenance' AND w.state = 'lacking') > 0
        THEN format('this database has waited for a background worker since %s',
                    min(w.last_activity) FILTER (WHERE w.kind = 'maintenance'))
      WHEN count(*) FILTER (WHERE w.kind = 'maintenance') = 0 THEN 'no worker is running in this database'
      WHEN _who_runs.kind = 'sql'
        THEN coalesce(min(format('sql worker %s works on it, since %s', w.pid, w.last_activity)) FILTER (WHERE w.pid = ANY (holders)),
                      string_agg(format('sql worker %s is busy since %s, perhaps with it', w.pid, w.last_activity), '; ' ORDER BY w.pid)
                      FILTER (WHERE w.kind = 'sql' AND w.doing = 'running sql activities')) END
    FROM workflow.list_workers() AS w
    WHERE w.state IN ('running', 'resting', 'lacking'));
END
$$;
COMMENT ON FUNCTION workflow._who_runs(text, int[]) IS
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

CREATE FUNCTION workflow._claim_own(worker text, pid int, started timestamptz, mocked boolean)
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
    WHERE (o.kind = 'sql' OR mocked AND o.kind IN ('http', 'model') AND workflow._is_mocked(o.effect_id))
      AND o.status = 'ready' AND NOT o.behind AND o.run_at <= workflow._now()
      AND q.paused_at IS NULL AND workflow._is_own(o.xmin)
    ORDER BY o.priority, o.run_at, o.job_id
    LIMIT 1)
  RETURNING j.job_id, j.token
$$;
COMMENT ON FUNCTION workflow._claim_own(text, int, timestamptz, boolean) IS
  'Inner: claims the next sql job that the present transaction wrote, or call that its mocks answer';

-- The launcher, if there is one, looks into this database after the commit.
SELECT workflow._wake_launcher();
