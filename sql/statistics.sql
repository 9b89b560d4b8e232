--
-- statistics: how many items are in each state, how fast they move, how long they stay.
--
-- Transactions store their moves in workflow.state_delta as they commit; workflow._fold_moves()
-- takes them away into counts and history.  Every answer adds what has not been taken away yet,
-- so that it is as exact as a count of all items, and never looks at one.
--

-- -------------------------------------------------------------------- times

CREATE FUNCTION workflow._time_class(length interval) RETURNS int
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_sql_time_class';
COMMENT ON FUNCTION workflow._time_class(interval) IS
  'Inner: the class of a length of time in histograms; each is at most a sixteenth of its times wide';

CREATE FUNCTION workflow._add_times(one bigint[], other bigint[]) RETURNS bigint[]
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_add_times';
COMMENT ON FUNCTION workflow._add_times(bigint[], bigint[]) IS
  'Inner: two histograms together; null is an empty one';

CREATE FUNCTION workflow._time_percentile(times bigint[], part double precision) RETURNS interval
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_time_percentile';
COMMENT ON FUNCTION workflow._time_percentile(bigint[], double precision) IS
  'Inner: the length that a part of all times of a histogram did not exceed; up to a sixteenth more than the truth, never less';

CREATE AGGREGATE workflow._sum_times(bigint[]) (
  SFUNC = workflow._add_times, STYPE = bigint[], COMBINEFUNC = workflow._add_times, INITCOND = '{}', PARALLEL = SAFE);
COMMENT ON AGGREGATE workflow._sum_times(bigint[]) IS 'Inner: histograms together';

-- Sums of bigints are numerics elsewhere, and objects are put together at the end: thousands of groups at once, as
-- a history has them, would not fit into memory.
CREATE AGGREGATE workflow._total(bigint) (
  SFUNC = pg_catalog.int8pl, STYPE = bigint, COMBINEFUNC = pg_catalog.int8pl, PARALLEL = SAFE);
COMMENT ON AGGREGATE workflow._total(bigint) IS 'Inner: the sum, which stays a bigint';

CREATE AGGREGATE workflow._merged(jsonb) (
  SFUNC = pg_catalog.jsonb_concat, STYPE = jsonb, INITCOND = '{}', PARALLEL = SAFE);
COMMENT ON AGGREGATE workflow._merged(jsonb) IS 'Inner: objects of few members together';

CREATE FUNCTION workflow._minute(minute int) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN timestamptz '2000-01-01 00:00:00+00' + minute * interval '1 minute';
COMMENT ON FUNCTION workflow._minute(int) IS 'Inner: when a minute began, of those counted since 2000-01-01 00:00 UTC';

CREATE FUNCTION workflow._minute_of(at timestamptz) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.floor(pg_catalog.date_part('epoch', at - timestamptz '2000-01-01 00:00:00+00') / 60)::int;
COMMENT ON FUNCTION workflow._minute_of(timestamptz) IS 'Inner: the minute of a time, counted since 2000-01-01 00:00 UTC';

-- ------------------------------------------------------------------- folding

-- Both ends of moves, in rows that are alike: who entered a state and who left it.
CREATE TYPE workflow._state_change AS (
  workflow text, version int, state text, outcome text, minute int,
  submitted bigint, entered bigint, departed bigint, entry int, items bigint, times bigint[]);
COMMENT ON TYPE workflow._state_change IS 'Inner: how the items of a state changed';

CREATE FUNCTION workflow._both_ends(delta workflow.state_delta) RETURNS SETOF workflow._state_change
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  SELECT delta.workflow, delta.version, delta.to_state, delta.outcome, delta.minute,
         CASE WHEN delta.from_state IS NULL THEN delta.moves ELSE 0 END::bigint, delta.moves::bigint, 0::bigint,
         CASE WHEN delta.outcome IS NULL THEN coalesce(delta.entered_since, delta.minute) END, delta.moves::bigint, NULL::bigint[]
  UNION ALL
  SELECT delta.workflow, coalesce(delta.from_version, delta.version), delta.from_state, NULL, delta.minute,
         0, 0, delta.moves, delta.left_since, - delta.moves,
         CASE WHEN delta.time_class IS NOT NULL THEN ARRAY[delta.time_class, delta.moves]::bigint[] END
  WHERE delta.from_state IS NOT NULL;
END;
COMMENT ON FUNCTION workflow._both_ends(workflow.state_delta) IS
  'Inner: a stored move as what it does to the state that was entered, and to the one that was left';

CREATE FUNCTION workflow._resolutions() RETURNS TABLE (resolution text, minutes int) LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  VALUES ('minute', 1), ('hour', 60), ('day', 1440);
END;
COMMENT ON FUNCTION workflow._resolutions() IS 'Inner: the lengths of time by which history is kept';

CREATE FUNCTION workflow._take_moves() RETURNS SETOF workflow.state_delta
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wf_sql_take_moves';
COMMENT ON FUNCTION workflow._take_moves() IS
  'Inner: takes away the moves that are not folded yet, and returns those that differ in nothing but their number as one';

-- Whoever calls it has the turn: nobody else takes rows away.
CREATE FUNCTION workflow._fold_moves() RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  WITH delta AS (
    SELECT d FROM workflow._take_moves() AS d
  ), change AS MATERIALIZED (
    SELECT c.workflow, c.version, c.state, max(c.outcome) AS outcome, c.minute, c.entry,
           sum(c.submitted)::bigint AS submitted, sum(c.entered)::bigint AS entered, sum(c.departed)::bigint AS departed,
           sum(c.items)::bigint AS items, workflow._sum_times(c.times) FILTER (WHERE c.times IS NOT NULL) AS times
    FROM delta AS g, LATERAL workflow._both_ends(g.d) AS c
    GROUP BY c.workflow, c.version, c.state, c.minute, c.entry
  ), counted AS (
    INSERT INTO workflow.state_count AS s (workflow, version, state, outcome, submitted, entered, departed)
    SELECT c.workflow, c.version, c.state, max(c.outcome), sum(c.submitted), sum(c.entered), sum(c.departed)
    FROM change AS c GROUP BY c.workflow, c.version, c.state ORDER BY c.workflow, c.version, c.state
    ON CONFLICT (workflow, version, state) DO UPDATE
      SET outcome = coalesce(s.outcome, excluded.outcome), submitted = s.submitted + excluded.submitted,
          entered = s.entered + excluded.entered, departed = s.departed + excluded.departed
  ), entries AS (
    INSERT INTO workflow.state_entry AS e (workflow, version, state, minute, items)
    SELECT c.workflow, c.version, c.state, c.entry, sum(c.items)
    FROM change AS c WHERE c.entry IS NOT NULL
    GROUP BY c.workflow, c.version, c.state, c.entry HAVING sum(c.items) <> 0
    ORDER BY c.workflow, c.version, c.state, c.entry
    ON CONFLICT (workflow, version, state, minute) DO UPDATE SET items = e.items + excluded.items
  ), totals AS (
    INSERT INTO workflow.history_slot AS h (resolution, at, workflow, version, outcome, submitted, transitions)
    SELECT r.resolution, workflow._minute(c.minute / r.minutes * r.minutes), c.workflow, c.version, coalesce(c.outcome, ''),
           sum(c.submitted), sum(c.entered)
    FROM change AS c, workflow._resolutions() AS r WHERE c.entered > 0
    GROUP BY r.resolution, c.minute / r.minutes, r.minutes, c.workflow, c.version, c.outcome
    ORDER BY r.resolution, c.minute / r.minutes, c.workflow, c.version, c.outcome
    ON CONFLICT (resolution, at, workflow, version, outcome) DO UPDATE
      SET submitted = h.submitted + excluded.submitted, transitions = h.transitions + excluded.transitions
  )
  INSERT INTO workflow.state_history_slot AS h (resolution, at, workflow, version, state, submitted, entered, departed, times)
  SELECT r.resolution, workflow._minute(c.minute / r.minutes * r.minutes), c.workflow, c.version, c.state,
         sum(c.submitted), sum(c.entered), sum(c.departed), workflow._sum_times(c.times)
  FROM change AS c, workflow._resolutions() AS r
  GROUP BY r.resolution, c.minute / r.minutes, r.minutes, c.workflow, c.version, c.state
  ORDER BY r.resolution, c.minute / r.minutes, c.workflow, c.version, c.state
  ON CONFLICT (resolution, at, workflow, version, state) DO UPDATE
    SET submitted = h.submitted + excluded.submitted, entered = h.entered + excluded.entered,
        departed = h.departed + excluded.departed, times = workflow._add_times(h.times, excluded.times)
$$;
COMMENT ON FUNCTION workflow._fold_moves() IS
  'Inner: takes the moves that are stored away into the counts and the history';

CREATE FUNCTION workflow._fold_attempts() RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  WITH gone AS (
    DELETE FROM workflow.attempt_delta AS d RETURNING d.*
  )
  INSERT INTO workflow.attempt_count AS c (endpoint_id, outcome, error_class, attempts)
  SELECT g.endpoint_id, g.outcome, g.error_class, sum(g.attempts) FROM gone AS g
  GROUP BY g.endpoint_id, g.outcome, g.error_class ORDER BY g.endpoint_id, g.outcome, g.error_class
  ON CONFLICT (endpoint_id, outcome, error_class) DO UPDATE SET attempts = c.attempts + excluded.attempts
$$;
COMMENT ON FUNCTION workflow._fold_attempts() IS
  'Inner: takes the attempts of effects that are stored away into the counts';

-- --------------------------------------------------------------------- views

CREATE VIEW workflow._pending_change AS
  SELECT c.*
  FROM (SELECT d.workflow, d.from_state, d.to_state, d.version, d.minute, workflow._total(d.moves)::int AS moves,
               d.time_class, d.left_since, d.entered_since, d.from_version, d.outcome
        FROM workflow.state_delta AS d
        GROUP BY d.workflow, d.from_state, d.to_state, d.version, d.minute, d.time_class, d.left_since, d.entered_since,
                 d.from_version, d.outcome) AS d,
       LATERAL workflow._both_ends(ROW(d.workflow, d.from_state, d.to_state, d.version, d.minute, d.moves, d.time_class, d.left_since,
                                       d.entered_since, d.from_version, d.outcome)::workflow.state_delta) AS c;
COMMENT ON VIEW workflow._pending_change IS 'Inner: what moves that are not folded do to the states';

CREATE VIEW workflow._state_figures AS
  SELECT c.workflow, c.version, c.state, pg_catalog.max(c.outcome) AS outcome,
         workflow._total(c.submitted) AS submitted, workflow._total(c.entered) AS entered,
         workflow._total(c.departed) AS departed, workflow._total(c.entered - c.departed) AS items
  FROM (SELECT s.workflow, s.version, s.state, s.outcome, s.submitted, s.entered, s.departed FROM workflow.state_count AS s
        UNION ALL
        SELECT p.workflow, p.version, p.state, p.outcome, p.submitted, p.entered, p.departed FROM workflow._pending_change AS p) AS c
  GROUP BY c.workflow, c.version, c.state;
COMMENT ON VIEW workflow._state_figures IS 'Inner: how many items are in each state, and have entered and left it';

-- Empty where the figures are true.
CREATE FUNCTION workflow._wrong_states()
RETURNS TABLE (workflow text, version int, state text, kept bigint, found bigint) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT workflow, version, state, coalesce(f.items, 0), coalesce(i.items, 0)
  FROM workflow._state_figures AS f
  FULL JOIN (SELECT t.workflow, t.version, t.state, count(*) AS items FROM workflow.item AS t GROUP BY 1, 2, 3) AS i
    USING (workflow, version, state)
  WHERE coalesce(f.items, 0) <> coalesce(i.items, 0)
$$;
COMMENT ON FUNCTION workflow._wrong_states() IS
  'Inner: states whose count differs from what a look at all items finds; moves of the present transaction are not in it';

CREATE VIEW workflow.state_stats AS
  WITH clock AS (
    SELECT workflow._minute_of(pg_catalog.statement_timestamp()) AS minute
  ), pending AS MATERIALIZED (
    SELECT p.workflow, p.version, p.state, p.minute, p.entry, pg_catalog.max(p.outcome) AS outcome,
           workflow._total(p.entered) AS entered, workflow._total(p.departed) AS departed, workflow._total(p.items) AS items,
           workflow._sum_times(p.times) FILTER (WHERE p.times IS NOT NULL) AS times
    FROM workflow._pending_change AS p GROUP BY p.workflow, p.version, p.state, p.minute, p.entry
  ), figure AS (
    SELECT c.workflow, c.version, c.state, pg_catalog.max(c.outcome) AS outcome,
           workflow._total(c.entered) AS entered, workflow._total(c.departed) AS departed
    FROM (SELECT s.workflow, s.version, s.state, s.outcome, s.entered, s.departed FROM workflow.state_count AS s
          UNION ALL
          SELECT p.workflow, p.version, p.state, p.outcome, p.entered, p.departed FROM pending AS p) AS c
    GROUP BY c.workflow, c.version, c.state
  ), new_entry AS MATERIALIZED (
    SELECT p.workflow, p.version, p.state, p.entry AS minute, workflow._total(p.items) AS items
    FROM pending AS p WHERE p.entry IS NOT NULL GROUP BY p.workflow, p.version, p.state, p.entry
  ), pace AS (
    SELECT m.workflow, m.version, m.state,
           ARRAY[workflow._total(m.entered) FILTER (WHERE m.age <= 1) / 60.0, workflow._total(m.entered) FILTER (WHERE m.age <= 5) / 300.0,
                 workflow._total(m.entered) / 900.0]::double precision[] AS entered_rate,
           ARRAY[workflow._total(m.departed) FILTER (WHERE m.age <= 1) / 60.0, workflow._total(m.departed) FILTER (WHERE m.age <= 5) / 300.0,
                 workflow._total(m.departed) / 900.0]::double precision[] AS departed_rate
    FROM (SELECT h.workflow, h.version, h.state, k.minute - workflow._minute_of(h.at) AS age, h.entered, h.departed
          FROM workflow.state_history_slot AS h, clock AS k
          WHERE h.resolution = 'minute' AND h.at < pg_catalog.date_trunc('minute', pg_catalog.statement_timestamp())
            AND h.at >= pg_catalog.date_trunc('minute', pg_catalog.statement_timestamp()) - interval '15 minutes'
          UNION ALL
          SELECT p.workflow, p.version, p.state, k.minute - p.minute, p.entered, p.departed
          FROM pending AS p, clock AS k WHERE p.minute >= k.minute - 15 AND p.minute < k.minute) AS m
    GROUP BY m.workflow, m.version, m.state
  ), stay AS (
    SELECT t.workflow, t.version, t.state, workflow._sum_times(t.times) AS times
    FROM (SELECT h.workflow, h.version, h.state, h.times
          FROM workflow.state_history_slot AS h
          WHERE h.resolution = 'hour'
            AND h.at >= pg_catalog.date_trunc('hour', pg_catalog.statement_timestamp(), 'UTC') - interval '23 hours'
          UNION ALL
          SELECT p.workflow, p.version, p.state, p.times
          FROM pending AS p, clock AS k WHERE p.minute >= (k.minute / 60 - 23) * 60 AND p.times IS NOT NULL) AS t
    GROUP BY t.workflow, t.version, t.state
  )
  SELECT f.workflow, f.version, f.state, f.outcome,
         f.entered - f.departed AS items,
         CASE WHEN f.outcome IS NULL THEN f.entered - f.departed ELSE 0 END AS live,
         o.since AS oldest_since,
         pg_catalog.clock_timestamp() - o.since AS oldest_age,
         f.entered, f.departed,
         coalesce(r.entered_rate, '{0,0,0}') AS entered_rate,
         coalesce(r.departed_rate, '{0,0,0}') AS departed_rate,
         workflow._time_percentile(t.times, 0.5) AS p50_time,
         workflow._time_percentile(t.times, 0.95) AS p95_time
  FROM figure AS f
  LEFT JOIN pace AS r ON r.workflow = f.workflow AND r.version = f.version AND r.state = f.state
  LEFT JOIN stay AS t ON t.workflow = f.workflow AND t.version = f.version AND t.state = f.state
  LEFT JOIN LATERAL (
    SELECT workflow._minute(least(
      (SELECT e.minute FROM workflow.state_entry AS e
       WHERE e.workflow = f.workflow AND e.version = f.version AND e.state = f.state
         AND e.items + coalesce((SELECT n.items FROM new_entry AS n
                                 WHERE n.workflow = e.workflow AND n.version = e.version AND n.state = e.state
                                   AND n.minute = e.minute), 0) > 0
       ORDER BY e.minute LIMIT 1),
      (SELECT pg_catalog.min(n.minute) FROM new_entry AS n
       WHERE n.workflow = f.workflow AND n.version = f.version AND n.state = f.state AND n.items > 0))) AS since
    WHERE f.outcome IS NULL AND f.entered > f.departed) AS o ON true;
COMMENT ON VIEW workflow.state_stats IS
  'How many items are in each state, since when, how fast they come and go, and how long they stay';
COMMENT ON COLUMN workflow.state_stats.outcome IS 'Of a final state';
COMMENT ON COLUMN workflow.state_stats.live IS 'Items that have not ended';
COMMENT ON COLUMN workflow.state_stats.oldest_since IS 'The minute in which the oldest living item entered';
COMMENT ON COLUMN workflow.state_stats.entered IS 'How many have entered since there are items';
COMMENT ON COLUMN workflow.state_stats.departed IS 'How many have left since there are items';
COMMENT ON COLUMN workflow.state_stats.entered_rate IS 'How many entered a second, in the last 1, 5 and 15 whole minutes';
COMMENT ON COLUMN workflow.state_stats.departed_rate IS 'How many left a second, in the last 1, 5 and 15 whole minutes';
COMMENT ON COLUMN workflow.state_stats.p50_time IS 'Half of those that left in the last 23 to 24 hours had stayed no longer; up to a sixteenth more than the truth, never less';
COMMENT ON COLUMN workflow.state_stats.p95_time IS '95 of 100 of those that left in the last 23 to 24 hours had stayed no longer; up to a sixteenth more than the truth, never less';

CREATE VIEW workflow.state_history AS
  SELECT h.resolution, h.at, h.workflow, h.version, h.state, pg_catalog.max(h.outcome) AS outcome,
         workflow._total(h.submitted) AS submitted, workflow._total(h.entered) AS entered,
         workflow._total(h.departed) AS departed,
         workflow._time_percentile(workflow._sum_times(h.times), 0.5) AS p50_time,
         workflow._time_percentile(workflow._sum_times(h.times), 0.95) AS p95_time
  FROM (SELECT s.resolution, s.at, s.workflow, s.version, s.state, c.outcome, s.submitted, s.entered, s.departed, s.times
        FROM workflow.state_history_slot AS s
        LEFT JOIN workflow.state_count AS c ON c.workflow = s.workflow AND c.version = s.version AND c.state = s.state
        UNION ALL
        SELECT r.resolution, workflow._minute(p.minute / r.minutes * r.minutes), p.workflow, p.version, p.state, p.outcome,
               p.submitted, p.entered, p.departed, p.times
        FROM (SELECT c.workflow, c.version, c.state, c.minute, pg_catalog.max(c.outcome) AS outcome,
                     workflow._total(c.submitted) AS submitted, workflow._total(c.entered) AS entered,
                     workflow._total(c.departed) AS departed, workflow._sum_times(c.times) FILTER (WHERE c.times IS NOT NULL) AS times
              FROM workflow._pending_change AS c GROUP BY c.workflow, c.version, c.state, c.minute) AS p,
             workflow._resolutions() AS r) AS h
  GROUP BY h.resolution, h.at, h.workflow, h.version, h.state;
COMMENT ON VIEW workflow.state_history IS
  'How many items entered and left each state, and how long they had stayed, by minute, hour and day';
COMMENT ON COLUMN workflow.state_history.resolution IS 'minute, hour or day: how much time a row is about';
COMMENT ON COLUMN workflow.state_history.at IS 'When that time begins; days are those of UTC';
COMMENT ON COLUMN workflow.state_history.p50_time IS 'Half of those that left had stayed no longer; up to a sixteenth more than the truth, never less';
COMMENT ON COLUMN workflow.state_history.p95_time IS '95 of 100 of those that left had stayed no longer; up to a sixteenth more than the truth, never less';

CREATE VIEW workflow.history AS
  SELECT o.resolution, o.at, o.workflow, o.version,
         workflow._total(o.submitted) AS submitted, workflow._total(o.transitions) AS transitions,
         coalesce(workflow._total(o.transitions) FILTER (WHERE o.outcome IS NOT NULL), 0)::bigint AS ended,
         workflow._merged(pg_catalog.jsonb_build_object(o.outcome, o.transitions)) FILTER (WHERE o.outcome IS NOT NULL) AS outcomes
  FROM (SELECT h.resolution, h.at, h.workflow, h.version, h.outcome,
               workflow._total(h.submitted) AS submitted, workflow._total(h.transitions) AS transitions
        FROM (SELECT s.resolution, s.at, s.workflow, s.version, nullif(s.outcome, '') AS outcome, s.submitted, s.transitions
              FROM workflow.history_slot AS s
              UNION ALL
              SELECT r.resolution, workflow._minute(p.minute / r.minutes * r.minutes), p.workflow, p.version, p.outcome,
                     coalesce(p.submitted, 0), p.transitions
              FROM (SELECT d.workflow, d.version, d.minute, d.outcome, workflow._total(d.moves) AS transitions,
                           workflow._total(d.moves) FILTER (WHERE d.from_state IS NULL) AS submitted
                    FROM workflow.state_delta AS d GROUP BY d.workflow, d.version, d.minute, d.outcome) AS p,
                   workflow._resolutions() AS r) AS h
        GROUP BY h.resolution, h.at, h.workflow, h.version, h.outcome) AS o
  GROUP BY o.resolution, o.at, o.workflow, o.version;
COMMENT ON VIEW workflow.history IS
  'How many items were submitted, moved and ended, by minute, hour and day';
COMMENT ON COLUMN workflow.history.resolution IS 'minute, hour or day: how much time a row is about';
COMMENT ON COLUMN workflow.history.at IS 'When that time begins; days are those of UTC';
COMMENT ON COLUMN workflow.history.transitions IS 'Moves, of which the submission of an item is the first';
COMMENT ON COLUMN workflow.history.outcomes IS 'How many ended, by their outcome';

-- ------------------------------------------------------------------ versions

CREATE VIEW workflow.versions AS
SELECT d.workflow, d.version,
       w.active_version = d.version AND w.retired_at IS NULL AS active,
       r.retired_at, r.retired_by, r.reason AS retire_reason,
       d.definer, d.created_at AS defined_at, d.owner,
       coalesce(i.live_items, 0) AS live_items,
       pg_catalog.encode(d.hash, 'hex') AS hash,
       (SELECT pg_catalog.max(j.at) FROM workflow.journal AS j
        WHERE j.subject = 'workflow:' || d.workflow AND j.action = 'activate'
          AND j.detail -> 'version' = pg_catalog.to_jsonb(d.version)) AS activated_at,
       (SELECT j.actor FROM workflow.journal AS j
        WHERE j.subject = 'workflow:' || d.workflow AND j.action = 'activate'
          AND j.detail -> 'version' = pg_catalog.to_jsonb(d.version)
        ORDER BY j.at DESC LIMIT 1) AS activated_by
FROM workflow.definition AS d
JOIN workflow.workflow AS w ON w.workflow = d.workflow
LEFT JOIN workflow.retirement AS r ON r.workflow = d.workflow AND r.version = d.version AND r.ended_at IS NULL
LEFT JOIN (SELECT f.workflow, f.version, pg_catalog.sum(f.items)::bigint AS live_items
           FROM workflow._state_figures AS f WHERE f.outcome IS NULL GROUP BY f.workflow, f.version) AS i
  ON i.workflow = d.workflow AND i.version = d.version;
COMMENT ON VIEW workflow.versions IS
  'Versions of workflows: which one new items get, which take none any more, how many items still live in each';
COMMENT ON COLUMN workflow.versions.active IS 'Whether new items get it';
COMMENT ON COLUMN workflow.versions.activated_at IS 'When it was last made the active one by activate(); null where define() did';
COMMENT ON COLUMN workflow.versions.live_items IS 'Items in it that have not ended, as state_stats says it: without what the present transaction has moved';
COMMENT ON COLUMN workflow.versions.hash IS 'SHA-256 of the canonical form of the document';
