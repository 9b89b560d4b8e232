--
-- alert_conditions: what is wrong now.
--
-- Each function returns a row for each thing that is wrong at this moment, by
-- figures, by indexes or up to a limit: they run every few seconds while
-- something is wrong.  Times are those of workflow._now(), in a subquery: so
-- they are read once and indexes are of use.  They are PL/pgSQL, which keeps
-- plans: to plan them took as long as to run them.  _look_for_alerts() lets
-- them take no other way than by indexes.
--

CREATE TYPE workflow._alert_condition AS (
  kind text, subject text, severity text, owner text, detail text, hint text);
COMMENT ON TYPE workflow._alert_condition IS 'Inner: something that is wrong now';

-- Every kind, whether somebody is called for it at any time (page), and where it says what to do.
CREATE FUNCTION workflow._alert_kinds() RETURNS TABLE (kind text, severity text, runbook text) LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT k.kind, k.severity, 'docs/operations.md#' || k.kind
  FROM (VALUES ('sla_breach', 'page'), ('sla_warning', 'ticket'), ('failing', 'ticket'),
               ('dead_letters_unattended', 'page'), ('dead_letters_growing', 'ticket'), ('spawn_failed', 'ticket'),
               ('worker_missing', 'page'), ('leases_expired', 'ticket'), ('timers_overdue', 'page'),
               ('breaker_open', 'page'), ('outcomes_held', 'page'), ('outcomes_unknown', 'ticket'), ('effects_blocked', 'page'),
               ('effects_off', 'ticket'), ('gate_drift', 'ticket'), ('gate_overruled', 'ticket'), ('budget_spent', 'page'),
               ('review_warning', 'ticket'), ('review_overdue', 'ticket'), ('review_escalated', 'ticket'),
               ('xmin_held', 'ticket'), ('retention_lag', 'ticket'), ('sequence_headroom', 'ticket'),
               ('look_failed', 'page')) AS k (kind, severity)
$$;
COMMENT ON FUNCTION workflow._alert_kinds() IS 'Inner: the kinds of alerts, how urgent each is and where its runbook is';

CREATE FUNCTION workflow._severity_of(kind text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT k.severity FROM workflow._alert_kinds() AS k WHERE k.kind = _severity_of.kind $$;
COMMENT ON FUNCTION workflow._severity_of(text) IS 'Inner: how urgent a kind of alert is';

-- What concerns the whole database is its owner's.
CREATE FUNCTION workflow._database_owner() RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_get_userbyid(d.datdba)::text FROM pg_database AS d WHERE d.datname = current_database() $$;
COMMENT ON FUNCTION workflow._database_owner() IS 'Inner: whose the alerts are that concern the whole database';

-- "10 jobs", "1 job"; of a count that was broken off at its limit "1000 or more jobs".
CREATE FUNCTION workflow._counted(n bigint, what text, most bigint DEFAULT NULL) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT n || CASE WHEN n >= most THEN ' or more ' ELSE ' ' END || what || CASE WHEN n = 1 THEN '' ELSE 's' END
$$;
COMMENT ON FUNCTION workflow._counted(bigint, text, bigint) IS 'Inner: a number of things, in words';

-- -------------------------------------------------------------------- queues

-- How long a job may be ready until its owner is warned.
CREATE FUNCTION workflow._warn_after(sla interval, warn interval) RETURNS interval LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(sla - warn, sla * 0.8) $$;
COMMENT ON FUNCTION workflow._warn_after(interval, interval) IS 'Inner: how long work may wait until its owner is warned; null: a fifth of the SLA before its end';

-- The age is that of the oldest job that could be claimed: one that waits for its time, for a retry or for an endpoint does not count.
CREATE FUNCTION workflow._queue_ages()
RETURNS TABLE (queue text, owner text, ready bigint, oldest_at timestamptz, warn_at timestamptz, breach_at timestamptz, paused_by text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT q.queue, q.owner, f.ready, f.oldest_ready_at,
         workflow._time_after(f.oldest_ready_at, workflow._warn_after(q.sla, q.warn)), workflow._time_after(f.oldest_ready_at, q.sla), q.paused_by
  FROM workflow._queue_figures(false) AS f JOIN workflow.queue AS q ON q.queue = f.queue
  WHERE f.ready > 0 AND isfinite(f.oldest_ready_at);
END
$$;
COMMENT ON FUNCTION workflow._queue_ages() IS 'Inner: queues with work that could start, and when that is late';

CREATE FUNCTION workflow._conditions_of_queues()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT k.kind, 'queue:' || a.queue, CASE WHEN a.paused_by IS NULL THEN workflow._severity_of(k.kind) ELSE 'ticket' END, a.owner,
         format('%s ready, the oldest since %s; %s', workflow._counted(a.ready, 'job'), a.oldest_at,
                CASE k.kind WHEN 'sla_breach' THEN 'the SLA ended at ' ELSE 'the SLA ends at ' END || a.breach_at)
         || coalesce('; the queue was paused by ' || a.paused_by, ''),
         CASE WHEN a.paused_by IS NOT NULL THEN format('SELECT workflow.resume_queue(%L, ''why'');', a.queue)
              ELSE format('SELECT * FROM workflow.queue_stats WHERE queue = %L;  -- then start more of those who claim from it', a.queue) END
  FROM workflow._queue_ages() AS a,
       LATERAL (SELECT CASE WHEN a.breach_at <= (SELECT workflow._now()) THEN 'sla_breach' ELSE 'sla_warning' END) AS k (kind)
  WHERE a.warn_at <= (SELECT workflow._now());
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_queues() IS 'Inner: queues whose oldest job that could be claimed is late, or nearly so';

-- -------------------------------------------------------------- dead letters

-- Of each queue that has any: the oldest, and how many came in the last quarter of an hour.
CREATE FUNCTION workflow._dead_letter_ages()
RETURNS TABLE (queue text, owner text, oldest_at timestamptz, due_at timestamptz, example bigint, lately bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT q.queue, q.owner, o.at, workflow._time_after(o.at, q.sla), o.job_id,
         (SELECT count(*) FROM (
            SELECT FROM workflow.job AS j
            WHERE (j.status = 'dead' OR j.kind = 'exception') AND coalesce(j.dead_letter, j.queue) = q.queue
              AND coalesce(j.failed_at, j.created_at) > (SELECT workflow._now()) - interval '15 minutes'
            LIMIT 100) AS j)
  FROM workflow.queue AS q,
       LATERAL (SELECT j.job_id, coalesce(j.failed_at, j.created_at) AS at FROM workflow.job AS j
                WHERE (j.status = 'dead' OR j.kind = 'exception') AND coalesce(j.dead_letter, j.queue) = q.queue
                ORDER BY coalesce(j.failed_at, j.created_at) LIMIT 1) AS o;
END
$$;
COMMENT ON FUNCTION workflow._dead_letter_ages() IS 'Inner: queues with dead letters: since when the oldest waits, until when it may, how many are new';

CREATE FUNCTION workflow._conditions_of_dead_letters()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH ages AS MATERIALIZED (SELECT * FROM workflow._dead_letter_ages())
  SELECT k.kind, 'queue:' || a.queue, workflow._severity_of(k.kind), a.owner,
         CASE k.kind WHEN 'dead_letters_growing'
              THEN format('%s in the last 15 minutes', workflow._counted(a.lately, 'dead letter', 100))
              ELSE format('the oldest dead letter, job %s, waits since %s; its SLA ended at %s', a.example, a.oldest_at, a.due_at) END,
         format('SELECT error_class, count(*), min(error_message) FROM workflow.dead_letters WHERE queue = %L GROUP BY error_class;'
                '  -- then replay or give up each', a.queue)
  FROM ages AS a,
       LATERAL (VALUES ('dead_letters_unattended', a.due_at <= (SELECT workflow._now())), ('dead_letters_growing', a.lately >= 10)) AS k (kind, holds)
  WHERE k.holds;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_dead_letters() IS
  'Inner: queues with dead letters that nobody has seen to in time, or with ten and more new ones in a quarter of an hour';

-- ------------------------------------------------------------------ children

-- Children that cannot go on: of each state where there are any the first thousand, found by an index.
CREATE FUNCTION workflow._failed_spawns()
RETURNS TABLE (item_id bigint, seq int, failed_at timestamptz, error text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE place (failed_in) AS (
    (SELECT s.failed_in FROM workflow.spawn AS s
     WHERE s.failed_at IS NOT NULL AND s.left_at IS NULL ORDER BY s.failed_in LIMIT 1)
    UNION ALL
    SELECT (SELECT s.failed_in FROM workflow.spawn AS s
            WHERE s.failed_at IS NOT NULL AND s.left_at IS NULL AND s.failed_in > p.failed_in ORDER BY s.failed_in LIMIT 1)
    FROM place AS p WHERE p.failed_in IS NOT NULL)
  SELECT f.item_id, f.seq, f.failed_at, concat_ws(': ', f.error_class, left(f.error_message, 200))
  FROM place AS p,
       LATERAL (SELECT * FROM workflow.spawn AS s
                WHERE s.failed_in = p.failed_in AND s.failed_at IS NOT NULL AND s.left_at IS NULL
                ORDER BY s.item_id LIMIT 1000) AS f;
END
$$;
COMMENT ON FUNCTION workflow._failed_spawns() IS 'Inner: visits whose children cannot go on, of each state a thousand at most';

-- These dead letters are of no queue: that none is late, and that many come, is not told of them.
CREATE FUNCTION workflow._conditions_of_children()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'spawn_failed', format('state:%s/%s', f.workflow, f.state), workflow._severity_of('spawn_failed'), w.owner,
         format('children of %s cannot go on, those of item %s since %s: %s', workflow._counted(f.n, 'item', 1000), f.example, f.failed_at, f.error),
         format('SELECT * FROM workflow.children(%1$s);  -- mend the cause, then SELECT workflow.replay(%1$s, ''why'');', f.example)
  FROM (SELECT i.workflow, i.state, count(*) AS n, min(s.item_id) AS example,
               (array_agg(s.failed_at ORDER BY s.item_id))[1] AS failed_at, (array_agg(s.error ORDER BY s.item_id))[1] AS error
        FROM workflow._failed_spawns() AS s
        JOIN workflow.item AS i ON i.item_id = s.item_id AND i.seq = s.seq
        GROUP BY i.workflow, i.state) AS f
  JOIN workflow.workflow AS w ON w.workflow = f.workflow;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_children() IS 'Inner: states whose children cannot go on, and that do not handle error';

-- ------------------------------------------------------------------- failing

-- Of each queue the ten jobs that have failed most often, with what their policy says.
CREATE FUNCTION workflow._failing_jobs()
RETURNS TABLE (subject text, owner text, job_id bigint, item_id bigint, failures int, alert_after int, error text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT CASE WHEN i.item_id IS NULL THEN 'queue:' || q.queue ELSE format('state:%s/%s', i.workflow, j.state) END,
         coalesce(p.policy ->> 'owner', q.owner), j.job_id, j.item_id,
         j.attempt - CASE WHEN j.status = 'running' THEN 1 ELSE 0 END, (p.policy ->> 'alert_after')::numeric::int,
         concat_ws(': ', j.error_class, left(j.error_message, 200))
  FROM workflow.queue AS q,
       LATERAL (SELECT * FROM workflow.job AS o
                WHERE o.queue = q.queue AND o.error_class IS NOT NULL AND o.status <> 'dead' AND o.attempt > 0
                ORDER BY o.attempt DESC LIMIT 10) AS j
  LEFT JOIN workflow.item AS i ON i.item_id = j.item_id,
       LATERAL (SELECT coalesce(workflow._state_retry(i.workflow, i.version, j.state), q.retry)) AS p (policy);
END
$$;
COMMENT ON FUNCTION workflow._failing_jobs() IS 'Inner: the jobs that have failed most often, with how often their policy takes that quietly';

CREATE FUNCTION workflow._conditions_of_failing()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'failing', f.subject, workflow._severity_of('failing'), min(f.owner),
         format('%s failed %s times or more; job %s%s: %s', workflow._counted(count(*), 'activity', 10), min(f.alert_after), min(f.job_id),
                ' of item ' || (array_agg(f.item_id ORDER BY f.job_id))[1], (array_agg(f.error ORDER BY f.job_id))[1]),
         format('SELECT * FROM workflow.attempts WHERE job_id = %s;  -- it is tried again, up to max_attempts', min(f.job_id))
  FROM workflow._failing_jobs() AS f
  WHERE f.alert_after > 0 AND f.failures >= f.alert_after
  GROUP BY f.subject;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_failing() IS 'Inner: states and queues with jobs that have failed as often as alert_after says';

-- -------------------------------------------------------------------- states

-- By state, so that many items in one do not hide those of another; said so that no index serves but the one by state.
CREATE FUNCTION workflow._late_visits() RETURNS SETOF workflow.visit_sla LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE held (workflow, state) AS (
    (SELECT s.workflow, s.state FROM workflow.visit_sla AS s WHERE s.left_at IS NULL ORDER BY s.workflow, s.state LIMIT 1)
    UNION ALL
    SELECT n.workflow, n.state FROM held AS h,
      LATERAL (SELECT s.workflow, s.state FROM workflow.visit_sla AS s
               WHERE s.left_at IS NULL AND (s.workflow, s.state) > (h.workflow, h.state) ORDER BY s.workflow, s.state LIMIT 1) AS n)
  SELECT late.* FROM held AS h,
    LATERAL (SELECT * FROM workflow.visit_sla AS s
             WHERE s.left_at IS NULL AND (s.workflow, s.state, s.warn_at) >= (h.workflow, h.state, '-infinity')
               AND (s.workflow, s.state, s.warn_at) <= (h.workflow, h.state, (SELECT workflow._now()))
             ORDER BY s.workflow, s.state, s.warn_at LIMIT 100) AS late;
END
$$;
COMMENT ON FUNCTION workflow._late_visits() IS 'Inner: visits that are late, or nearly so, of each state the first hundred';

CREATE FUNCTION workflow._conditions_of_states()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT k.kind, format('state:%s/%s', v.workflow, v.state), workflow._severity_of(k.kind), w.owner,
         format('%s in the state for too long, item %s since %s; its SLA %s %s', workflow._counted(v.late + v.warned, 'item', 100), v.example,
                v.entered_at, CASE WHEN v.late > 0 THEN 'ended at' ELSE 'ends at' END, v.due_at),
         format('SELECT waiting_on, waiting_detail FROM workflow.where_is(%s);', v.example)
  FROM (SELECT o.workflow, o.state, count(*) FILTER (WHERE o.due_at <= (SELECT workflow._now())) AS late,
               count(*) FILTER (WHERE o.due_at > (SELECT workflow._now())) AS warned,
               (array_agg(o.item_id ORDER BY o.due_at))[1] AS example, (array_agg(o.entered_at ORDER BY o.due_at))[1] AS entered_at,
               min(o.due_at) AS due_at
        FROM workflow._late_visits() AS o
        GROUP BY o.workflow, o.state) AS v
  JOIN workflow.workflow AS w ON w.workflow = v.workflow,
       LATERAL (SELECT CASE WHEN v.late > 0 THEN 'sla_breach' ELSE 'sla_warning' END) AS k (kind);
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_states() IS 'Inner: states with items that have been there for longer than their SLA, or nearly so';

-- --------------------------------------------------------------------- gates

-- Some of the decisions of a time, spread over it: of each of its parts the first hundred.
CREATE FUNCTION workflow._sampled_decisions(since timestamptz, part interval, parts int)
RETURNS TABLE (workflow text, state text, tier text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT i.workflow, d.state, d.tier
  FROM generate_series(0, parts - 1) AS n,
       LATERAL (SELECT g.item_id, g.state, g.tier FROM workflow.gate_decision AS g
                WHERE g.decided_at >= since + n * part AND g.decided_at < since + (n + 1) * part
                ORDER BY g.decided_at LIMIT 100) AS d
  JOIN workflow.item AS i ON i.item_id = d.item_id
$$;
COMMENT ON FUNCTION workflow._sampled_decisions(timestamptz, interval, int) IS 'Inner: decisions of gates in some parts of a time, at most a hundred of each';

-- Shares of tiers in the last day and in the seven days before, and by how much the one that has changed most has.
CREATE FUNCTION workflow._gate_shifts()
RETURNS TABLE (workflow text, state text, tier text, share double precision, share_before double precision, n int, n_before int)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH counted AS (
    SELECT s.workflow, s.state, s.tier, count(*) FILTER (WHERE s.is_new) AS n, count(*) FILTER (WHERE NOT s.is_new) AS n_before
    FROM (SELECT d.*, true AS is_new FROM workflow._sampled_decisions((SELECT workflow._now()) - interval '1 day', interval '2 hours', 12) AS d
          UNION ALL
          SELECT d.*, false FROM workflow._sampled_decisions((SELECT workflow._now()) - interval '8 days', interval '12 hours', 14) AS d) AS s
    GROUP BY s.workflow, s.state, s.tier
  ), shares AS (
    SELECT c.*, c.n / nullif(sum(c.n) OVER w, 0)::double precision AS share,
           c.n_before / nullif(sum(c.n_before) OVER w, 0)::double precision AS share_before,
           sum(c.n) OVER w AS total, sum(c.n_before) OVER w AS total_before
    FROM counted AS c WINDOW w AS (PARTITION BY c.workflow, c.state)
  )
  SELECT DISTINCT ON (s.workflow, s.state) s.workflow, s.state, s.tier, s.share, s.share_before, s.total::int, s.total_before::int
  FROM shares AS s ORDER BY s.workflow, s.state, abs(s.share - s.share_before) DESC NULLS LAST, s.tier
$$;
COMMENT ON FUNCTION workflow._gate_shifts() IS 'Inner: by gate, the tier whose share differs most between the last day and the seven days before';

-- Each ten minutes at most, and only while gates decide.
CREATE FUNCTION workflow._look_at_gates() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  last timestamptz := (SELECT max(l.looked_at) FROM workflow.gate_look AS l);
  newest timestamptz := (SELECT g.decided_at FROM workflow.gate_decision AS g ORDER BY g.decided_at DESC LIMIT 1);
BEGIN
  IF newest IS NULL OR last > (SELECT workflow._now()) - interval '10 minutes'
     OR newest < last AND last > (SELECT workflow._now()) - interval '1 day' THEN
    RETURN;
  END IF;
  UPDATE workflow.gate_look AS l SET looked_at = (SELECT workflow._now()), tier = NULL, share = NULL, share_before = NULL, decisions = 0, decisions_before = 0;
  INSERT INTO workflow.gate_look AS l (workflow, state, looked_at, tier, share, share_before, decisions, decisions_before)
  SELECT s.workflow, s.state, (SELECT workflow._now()), s.tier, s.share, s.share_before, s.n, s.n_before FROM workflow._gate_shifts() AS s
  ON CONFLICT ON CONSTRAINT gate_look_pkey DO UPDATE
  SET tier = excluded.tier, share = excluded.share, share_before = excluded.share_before,
      decisions = excluded.decisions, decisions_before = excluded.decisions_before;
END
$$;
COMMENT ON FUNCTION workflow._look_at_gates() IS 'Inner: compares what gates decide with what they decided before';

CREATE FUNCTION workflow._conditions_of_gates()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM workflow._look_at_gates();
  RETURN QUERY
  SELECT 'gate_drift', format('state:%s/%s', l.workflow, l.state), workflow._severity_of('gate_drift'), w.owner,
         format('tier "%s" gets %s percent of the last day''s decisions, %s percent in the seven days before', l.tier,
                round(l.share * 100), round(l.share_before * 100)),
         format('SELECT date_trunc(''day'', decided_at) AS day, version, tier, count(*) FROM workflow.gate_decision WHERE state = %L GROUP BY 1, 2, 3 ORDER BY 1;', l.state)
  FROM workflow.gate_look AS l JOIN workflow.workflow AS w ON w.workflow = l.workflow
  WHERE l.decisions >= 50 AND l.decisions_before >= 50 AND abs(l.share - l.share_before) >= 0.2;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_gates() IS
  'Inner: gates of which a tier gets a share that differs by a fifth of all decisions from the days before';

-- ------------------------------------------------------------------- workers

-- A worker that has been asked for but is not there yet has half a minute.
CREATE FUNCTION workflow._conditions_of_workers()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'worker_missing', 'queue:' || q.queue, workflow._severity_of('worker_missing'), q.owner,
         format('%s jobs are due since %s, and no %s worker runs', d.kind, d.run_at, d.runner),
         'SELECT * FROM workflow.health() WHERE NOT ok;  -- says why; CALL workflow.run(); does the work meanwhile'
  FROM (VALUES ('sql', 'sql'), ('http', 'http'), ('model', 'http')) AS k (kind, runner),
       LATERAL (SELECT k.kind, k.runner, j.queue, j.run_at FROM workflow.job AS j
                WHERE j.kind = k.kind AND j.status = 'ready' AND NOT j.behind
                  AND j.run_at < (SELECT workflow._now()) - interval '30 seconds'
                ORDER BY j.run_at LIMIT 1) AS d
  JOIN workflow.queue AS q ON q.queue = d.queue AND q.paused_at IS NULL
  WHERE NOT EXISTS (SELECT FROM workflow.list_workers() AS w WHERE w.kind = d.runner AND w.state = 'running')
  UNION ALL
  SELECT 'leases_expired', 'queue:' || q.queue, workflow._severity_of('leases_expired'), q.owner,
         format('job %s runs since %s by %s; its lease ended at %s and was not given back', l.job_id, l.claimed_at, l.worker, l.lease_until),
         'SELECT workflow.start_workers();  -- the maintenance worker gives it back, so does CALL workflow.run();'
  FROM workflow.queue AS q,
       LATERAL (SELECT j.* FROM (
                  SELECT * FROM workflow.job AS o
                  WHERE o.queue = q.queue AND o.status = 'running' AND o.lease_until < (SELECT workflow._now()) - interval '1 minute'
                  ORDER BY o.lease_until LIMIT 100) AS j
                WHERE workflow._lease_end(j.job_id, j.token, j.lease_until) < (SELECT workflow._now()) - interval '1 minute'
                ORDER BY j.lease_until LIMIT 1) AS l;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_workers() IS 'Inner: work that is due and has no worker, and leases that nobody ends';

-- By workflow, so that many timers of one do not hide those of another.
CREATE FUNCTION workflow._failed_timers() RETURNS SETOF workflow.timer LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE held (workflow) AS (
    (SELECT t.workflow FROM workflow.timer AS t WHERE t.error_message IS NOT NULL AND t.paused_due_at IS NULL ORDER BY t.workflow LIMIT 1)
    UNION ALL
    SELECT n.workflow FROM held AS h,
      LATERAL (SELECT t.workflow FROM workflow.timer AS t
               WHERE t.error_message IS NOT NULL AND t.paused_due_at IS NULL AND t.workflow > h.workflow ORDER BY t.workflow LIMIT 1) AS n)
  SELECT failed.* FROM held AS h,
    LATERAL (SELECT * FROM workflow.timer AS t
             WHERE t.error_message IS NOT NULL AND t.paused_due_at IS NULL AND t.workflow = h.workflow LIMIT 100) AS failed;
END
$$;
COMMENT ON FUNCTION workflow._failed_timers() IS 'Inner: timers that could not fire, of each workflow the first hundred';

-- They are fired in the order in which they are due: the first of all, and some of the time since, as many behind one another may be of one workflow.
CREATE FUNCTION workflow._overdue_timers() RETURNS SETOF workflow.timer LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH span AS MATERIALIZED (
    SELECT l.latest, greatest(o.due_at, l.latest - interval '1 month') AS oldest
    FROM (SELECT workflow._now() - interval '1 minute') AS l (latest),
         LATERAL (SELECT t.due_at FROM workflow.timer AS t WHERE t.due_at < l.latest ORDER BY t.due_at LIMIT 1) AS o)
  SELECT DISTINCT late.*
  FROM span AS s, generate_series(0, 20) AS n,
    LATERAL (SELECT * FROM workflow.timer AS t
             WHERE t.due_at >= CASE WHEN n = 0 THEN '-infinity' ELSE s.oldest + (s.latest - s.oldest) * (n / 20.0) END
               AND t.due_at < s.latest AND t.error_message IS NULL
             ORDER BY t.due_at LIMIT CASE WHEN n = 0 THEN 100 ELSE 10 END) AS late;
END
$$;
COMMENT ON FUNCTION workflow._overdue_timers() IS 'Inner: timers that are late though nothing keeps them from firing: the first hundred, and some of the others';

-- A timer that could not fire is tried each minute, and is not overdue then.
CREATE FUNCTION workflow._conditions_of_timers()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'timers_overdue', 'workflow:' || i.workflow, workflow._severity_of('timers_overdue'), w.owner,
         format('%s late or could not fire; one of item %s: %s', workflow._counted(count(*), 'timer', 100), min(i.item_id),
                coalesce(min(t.error_message), 'due since ' || min(t.due_at))),
         format('SELECT last_error FROM workflow.where_is(%s);  -- mend what it says', min(i.item_id))
  FROM (SELECT * FROM workflow._failed_timers() UNION ALL SELECT * FROM workflow._overdue_timers()) AS t
  JOIN workflow.item AS i ON i.item_id = t.item_id AND i.paused_at IS NULL
  JOIN workflow.workflow AS w ON w.workflow = i.workflow AND w.paused_at IS NULL
  GROUP BY i.workflow, w.owner;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_timers() IS 'Inner: workflows with timers that do not fire';

-- ------------------------------------------------------------------- effects

-- Whom an endpoint belongs to: who its option "owner" says, else the owner of the database.
CREATE FUNCTION workflow._endpoint_owner(endpoint workflow.endpoint) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce((SELECT max(o.option_value) FILTER (WHERE o.option_name = 'owner')
                   FROM pg_foreign_server AS s, pg_options_to_table(s.srvoptions) AS o WHERE s.srvname = endpoint.endpoint),
                  workflow._database_owner())
$$;
COMMENT ON FUNCTION workflow._endpoint_owner(workflow.endpoint) IS 'Inner: whose the alerts about an endpoint are';

-- By its settings, or because it is a copy.
CREATE FUNCTION workflow._sending_problem() RETURNS text LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN current_setting('pg_workflow.effects') <> 'on' THEN 'pg_workflow.effects is ' || current_setting('pg_workflow.effects')
              WHEN EXISTS (SELECT FROM workflow.cluster) THEN workflow._cluster_problem() END
$$;
COMMENT ON FUNCTION workflow._sending_problem() IS 'Inner: why nothing is sent; null when it is';

-- One that is unknown is looked up or sent again by itself; after five minutes a person is told.
CREATE FUNCTION workflow._unsettled_outcomes()
RETURNS TABLE (endpoint workflow.endpoint, state text, n bigint, example bigint, oldest_unknown_at timestamptz)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT p, 'held', e.* FROM workflow.endpoint AS p,
       LATERAL (SELECT count(*) AS n, min(o.effect_id), min(o.unknown_at)
                FROM (SELECT u.effect_id, u.unknown_at FROM workflow.effect AS u
                      WHERE u.endpoint_id = p.endpoint_id AND u.state = 'held' LIMIT 1000) AS o) AS e
  WHERE e.n > 0
  UNION ALL
  SELECT p, 'unknown', e.* FROM workflow.endpoint AS p,
       LATERAL (SELECT count(*) AS n, min(o.effect_id), min(o.unknown_at)
                FROM (SELECT u.effect_id, u.unknown_at FROM workflow.effect AS u
                      WHERE u.endpoint_id = p.endpoint_id AND u.state = 'unknown' LIMIT 1000) AS o) AS e
  WHERE e.n > 0
  UNION ALL
  SELECT p, 'blocked', e.* FROM workflow.endpoint AS p,
       LATERAL (SELECT count(*) AS n, min(o.effect_id), min(o.unknown_at)
                FROM (SELECT u.effect_id, u.unknown_at FROM workflow.effect AS u
                      WHERE u.endpoint_id = p.endpoint_id AND u.state = 'blocked' LIMIT 1000) AS o) AS e
  WHERE e.n > 0;
END
$$;
COMMENT ON FUNCTION workflow._unsettled_outcomes() IS 'Inner: by endpoint, effects that are held, blocked or of unknown outcome';

CREATE FUNCTION workflow._conditions_of_outcomes()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT k.kind, 'endpoint:' || (u.endpoint).endpoint, workflow._severity_of(k.kind), workflow._endpoint_owner(u.endpoint),
         format('%s %s, one is %s', workflow._counted(u.n, 'effect', 1000), k.what, u.example), format(k.hint, (u.endpoint).endpoint)
  FROM workflow._unsettled_outcomes() AS u
  JOIN (VALUES ('held', 'outcomes_held', 'may have been applied and nobody can know',
                'SELECT effect_id, key, reason FROM workflow.effects WHERE state = ''held'' AND endpoint = %L;  -- then workflow.resolve() each'),
               ('unknown', 'outcomes_unknown', 'may have been applied',
                'SELECT effect_id, key, reason FROM workflow.effects WHERE state = ''unknown'' AND endpoint = %L;  -- they are looked up by themselves'),
               ('blocked', 'effects_blocked', 'blocked, for want of a grant, a secret or a quota',
                'SELECT DISTINCT reason FROM workflow.effects WHERE state = ''blocked'' AND endpoint = %L;  -- they go on by themselves when it is mended here; after a quota was, workflow.resolve(effect_id, ''not_applied'', ''what was mended'') each'))
    AS k (state, kind, what, hint) ON k.state = u.state
  WHERE CASE u.state WHEN 'unknown' THEN coalesce(u.oldest_unknown_at, '-infinity') < (SELECT workflow._now()) - interval '5 minutes'
                     WHEN 'blocked' THEN workflow._sending_problem() IS NULL
                     ELSE true END;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_outcomes() IS 'Inner: endpoints with effects that wait for a person';

CREATE FUNCTION workflow._conditions_of_breakers()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'breaker_open', 'endpoint:' || p.endpoint, workflow._severity_of('breaker_open'), workflow._endpoint_owner(p),
         format('no call begins since %s: %s; jobs wait, uncharged', coalesce(j.at, p.breaker_since), p.breaker_reason),
         format('SELECT workflow.resume_endpoint(%L, ''why'');  -- lets one call go now; calls begin by themselves when one has gone well', p.endpoint)
  FROM workflow.endpoint AS p
  LEFT JOIN LATERAL (SELECT n.at FROM workflow.journal AS n
                     WHERE n.subject = 'endpoint:' || p.endpoint AND n.action = 'breaker_open' ORDER BY n.at DESC LIMIT 1) AS j ON true
  WHERE p.breaker <> 'closed'
    AND EXISTS (SELECT FROM pg_foreign_server AS s WHERE s.srvname = p.endpoint OR s.oid = p.server_oid);
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_breakers() IS 'Inner: endpoints that take no calls because they failed';

-- Where nothing waits to be sent there is nothing to tell.
CREATE FUNCTION workflow._conditions_of_sending()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'effects_off', 'database:' || current_database(), workflow._severity_of('effects_off'), workflow._database_owner(),
         'effects wait and nothing is sent: ' || split_part(s.problem, ': ', 1),
         CASE WHEN s.problem LIKE '%: SELECT %' THEN split_part(s.problem, ': ', 2) || ';'
              ELSE 'ALTER SYSTEM RESET pg_workflow.effects; SELECT pg_reload_conf();  -- when this server may send' END
  FROM workflow._sending_problem() AS s (problem)
  WHERE s.problem IS NOT NULL AND EXISTS (SELECT FROM workflow.effect AS e WHERE e.state IN ('pending', 'blocked'));
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_sending() IS 'Inner: whether effects wait that this database may not send';

-- What goes wrong here, or is over, is seen within a second.
CREATE FUNCTION workflow._watch() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_watch';
COMMENT ON FUNCTION workflow._watch() IS 'Inner: at commit, wakes the maintenance worker, unless it looks within a second';

CREATE TRIGGER watch AFTER INSERT OR UPDATE OF owner, sla, warn, paused_at ON workflow.queue
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._watch();
COMMENT ON TRIGGER watch ON workflow.queue IS 'What is late is so by the present SLAs';

CREATE TRIGGER watch AFTER UPDATE OF breaker ON workflow.endpoint
  FOR EACH ROW WHEN ((OLD.breaker = 'closed') <> (NEW.breaker = 'closed')) EXECUTE FUNCTION workflow._watch();
COMMENT ON TRIGGER watch ON workflow.endpoint IS 'Alerts follow breakers';

CREATE TRIGGER watch AFTER UPDATE OF state ON workflow.effect
  FOR EACH ROW WHEN (OLD.state <> NEW.state AND (OLD.state IN ('held', 'unknown', 'blocked') OR NEW.state IN ('held', 'unknown', 'blocked')))
  EXECUTE FUNCTION workflow._watch();
COMMENT ON TRIGGER watch ON workflow.effect IS 'Alerts follow outcomes that are not known';

CREATE TRIGGER watch AFTER UPDATE OF refused_at ON workflow.model_budget
  FOR EACH ROW WHEN (OLD.refused_at IS DISTINCT FROM NEW.refused_at) EXECUTE FUNCTION workflow._watch();
COMMENT ON TRIGGER watch ON workflow.model_budget IS 'Alerts follow budgets that are spent';

CREATE TRIGGER watch AFTER UPDATE OF step ON workflow.review
  FOR EACH ROW WHEN (OLD.step <> NEW.step) EXECUTE FUNCTION workflow._watch();
COMMENT ON TRIGGER watch ON workflow.review IS 'Alerts follow the escalation of a review';

CREATE TRIGGER watch AFTER UPDATE OF failed_at, left_at ON workflow.spawn
  FOR EACH ROW WHEN ((OLD.failed_at IS NOT NULL AND OLD.left_at IS NULL) <> (NEW.failed_at IS NOT NULL AND NEW.left_at IS NULL))
  EXECUTE FUNCTION workflow._watch();
COMMENT ON TRIGGER watch ON workflow.spawn IS 'Alerts follow children that cannot go on';

-- -------------------------------------------------------------------- server

-- Whoever holds the oldest snapshot keeps vacuum from the rows that queues leave behind.
CREATE FUNCTION workflow._conditions_of_snapshots()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'xmin_held', 'database:' || current_database(), workflow._severity_of('xmin_held'), workflow._database_owner(),
         workflow._in_a_row(array_agg(h.what ORDER BY h.what)), min(h.hint)
  FROM (SELECT format('session %s of %s is in a transaction since %s', a.pid, a.usename, a.xact_start),
               format('SELECT pg_terminate_backend(%s);  -- ends it', a.pid)
        FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND coalesce(a.backend_xmin, a.backend_xid) IS NOT NULL
          AND a.xact_start < (SELECT workflow._now()) - interval '1 hour'
        UNION ALL
        SELECT format('transaction %L is prepared since %s', p.gid, p.prepared),
               format('SELECT * FROM pg_prepared_xacts WHERE gid = %1$L;  -- then COMMIT PREPARED %1$L; or ROLLBACK PREPARED %1$L;', p.gid)
        FROM pg_prepared_xacts AS p WHERE p.database = current_database() AND p.prepared < (SELECT workflow._now()) - interval '1 hour'
        UNION ALL
        SELECT format('replication slot %s holds back %s transactions', s.slot_name, greatest(age(s.xmin), age(s.catalog_xmin))),
               format('SELECT * FROM pg_replication_slots WHERE slot_name = %1$L;  -- if nobody needs it any more, SELECT pg_drop_replication_slot(%1$L);', s.slot_name)
        FROM pg_replication_slots AS s WHERE greatest(age(s.xmin), age(s.catalog_xmin)) > 10000000) AS h (what, hint)
  HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_snapshots() IS 'Inner: who keeps vacuum from removing what is dead, for more than an hour';

-- What belongs to a living item stays, however old: of the oldest hundred those that do not.
CREATE FUNCTION workflow._conditions_of_retention()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'retention_lag', 'database:' || current_database(), workflow._severity_of('retention_lag'), workflow._database_owner(),
         format('effect %s finished at %s and still has what it carried; pg_workflow.effect_retention is %s', o.effect_id, o.finished_at, r.kept),
         'SELECT workflow.purge_effects(''1 month'');  -- removes what is older now; a maintenance worker does it by itself'
  FROM (SELECT CASE WHEN current_setting('pg_workflow.effect_retention') <> '-1' THEN current_setting('pg_workflow.effect_retention')::interval END) AS r (kept),
       LATERAL (SELECT e.effect_id, e.finished_at
                FROM (SELECT f.effect_id, f.finished_at, f.item_id FROM workflow.effect AS f
                      WHERE f.finished_at < (SELECT workflow._now()) - r.kept - greatest(r.kept / 8, interval '2 days') AND f.purged_at IS NULL
                      ORDER BY f.finished_at LIMIT 100) AS e
                WHERE NOT EXISTS (SELECT FROM workflow.item AS i WHERE i.item_id = e.item_id AND i.outcome IS NULL)
                ORDER BY e.finished_at LIMIT 1) AS o;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_retention() IS 'Inner: whether something is kept for longer than the settings say';

CREATE FUNCTION workflow._conditions_of_sequences()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT 'sequence_headroom', 'sequence:' || c.relname, workflow._severity_of('sequence_headroom'), workflow._database_owner(),
         format('%s percent of its numbers are used, %s of %s', round(100.0 * v.last / s.seqmax), v.last, s.seqmax),
         format('SELECT * FROM pg_sequences WHERE schemaname = ''workflow'' AND sequencename = %L;  -- plan for a new identity column of a wider type before it ends', c.relname)
  FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid,
       LATERAL (SELECT pg_sequence_last_value(s.seqrelid::regclass)) AS v (last)
  WHERE c.relnamespace = 'workflow'::regnamespace AND v.last > s.seqmax * 0.8;
END
$$;
COMMENT ON FUNCTION workflow._conditions_of_sequences() IS 'Inner: sequences that come to their end';

-- ----------------------------------------------------------------------- all

-- Every part that has conditions of its own has a line here, with the kinds that _conditions_of_<part>() tells of.
CREATE FUNCTION workflow._alert_parts() RETURNS TABLE (part text, kinds text[]) LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES ('queues', '{sla_breach,sla_warning}'::text[]), ('states', '{sla_breach,sla_warning}'), ('failing', '{failing}'),
         ('dead_letters', '{dead_letters_unattended,dead_letters_growing}'), ('children', '{spawn_failed}'),
         ('workers', '{worker_missing,leases_expired}'),
         ('timers', '{timers_overdue}'), ('outcomes', '{outcomes_held,outcomes_unknown,effects_blocked}'),
         ('breakers', '{breaker_open}'), ('sending', '{effects_off}'), ('gates', '{gate_drift}'), ('verdicts', '{gate_overruled}'),
         ('models', '{budget_spent}'), ('review', '{review_warning,review_overdue,review_escalated}'), ('snapshots', '{xmin_held}'),
         ('retention', '{retention_lag}'), ('sequences', '{sequence_headroom}')
$$;
COMMENT ON FUNCTION workflow._alert_parts() IS 'Inner: the parts of a look, and which kinds of alerts each knows of';

CREATE FUNCTION workflow._look_failed(part text, what text, problem text) RETURNS workflow._alert_condition LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT ROW('look_failed', 'look:' || part, workflow._severity_of('look_failed'), workflow._database_owner(), left(problem, 1000),
             format('SELECT * FROM workflow.%I();  -- fails in the same way', what)
             || coalesce((SELECT '; until that is mended it opens and clears no ' || array_to_string(p.kinds, ', ')
                          FROM workflow._alert_parts() AS p WHERE p.part = _look_failed.part), ''))::workflow._alert_condition
$$;
COMMENT ON FUNCTION workflow._look_failed(text, text, text) IS 'Inner: that a part of what may be wrong cannot be seen';

-- Each part by itself: one that fails hides nothing but its own kinds.
CREATE FUNCTION workflow._alert_conditions() RETURNS workflow._alert_condition[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name  text;
  part  text;
  found workflow._alert_condition[];
  wrong workflow._alert_condition[] := '{}';
BEGIN
  FOR part IN SELECT p.part FROM workflow._alert_parts() AS p LOOP
    name := '_conditions_of_' || part;
    BEGIN
      EXECUTE format('SELECT ARRAY(SELECT ROW(c.*)::workflow._alert_condition FROM workflow.%I() AS c)', name) INTO found;
    EXCEPTION WHEN OTHERS THEN
      found := ARRAY[workflow._look_failed(part, name, format('%s (%s)', sqlerrm, sqlstate))];
    END;
    wrong := wrong || found;
  END LOOP;
  RETURN wrong;
END
$$;
COMMENT ON FUNCTION workflow._alert_conditions() IS 'Inner: everything that is wrong now, and what cannot be seen';

-- When the next of them may begin to hold by time alone; null: not unless something happens.
CREATE FUNCTION workflow._next_condition() RETURNS timestamptz LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH shortest AS MATERIALIZED (SELECT min(workflow._warn_after(q.sla, q.warn)) AS notice FROM workflow.queue AS q)
  SELECT min(d.at) FROM (
    SELECT CASE WHEN a.warn_at > (SELECT workflow._now()) THEN a.warn_at ELSE a.breach_at END FROM workflow._queue_ages() AS a
    UNION ALL (SELECT s.warn_at FROM workflow.visit_sla AS s WHERE s.left_at IS NULL AND s.warn_at > (SELECT workflow._now()) ORDER BY s.warn_at LIMIT 1)
    UNION ALL (SELECT s.due_at FROM workflow.visit_sla AS s WHERE s.left_at IS NULL AND s.due_at > (SELECT workflow._now()) ORDER BY s.due_at LIMIT 1)
    UNION ALL SELECT a.due_at FROM workflow._dead_letter_ages() AS a
    UNION ALL SELECT workflow._next_condition_of_review()
    UNION ALL SELECT u.oldest_unknown_at + interval '5 minutes' FROM workflow._unsettled_outcomes() AS u
    UNION ALL
    SELECT j.run_at + s.notice
    FROM shortest AS s, (VALUES ('task'), ('sql'), ('http'), ('model')) AS k (kind),
         LATERAL (SELECT o.run_at FROM workflow.job AS o
                  WHERE o.kind = k.kind AND o.status = 'ready' AND NOT o.behind AND o.run_at > (SELECT workflow._now()) AND isfinite(o.run_at)
                  ORDER BY o.run_at LIMIT 1) AS j) AS d (at)
  WHERE d.at > (SELECT workflow._now())
$$;
COMMENT ON FUNCTION workflow._next_condition() IS 'Inner: when time alone may make the next thing wrong';
