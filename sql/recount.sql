--
-- recount: counts of items that are not those of the items any more.
--
-- Rows that were written past the triggers (session_replication_role, pg_restore
-- --disable-triggers) are in no count.  Counts and items are compared in one snapshot, in
-- which every move is in both or in neither; what differs is added to the counts, where
-- moves that commit meanwhile do not matter.
--

CREATE TYPE workflow._compared_count AS (
  workflow text, version int, state text, outcome text, minute int, counted bigint, found bigint);
COMMENT ON TYPE workflow._compared_count IS
  'Inner: a count and what the items say: of a state, or of its living items that entered in a minute';

-- Every state, and the minutes that differ.
CREATE FUNCTION workflow._compare_counts() RETURNS SETOF workflow._compared_count LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH change AS MATERIALIZED (
    SELECT * FROM workflow._pending_change
  ), item AS MATERIALIZED (
    SELECT i.workflow, i.version, i.state, max(i.outcome) AS outcome,
           CASE WHEN i.outcome IS NULL THEN workflow._minute_of(i.since) END AS minute, count(*) AS items
    FROM workflow.item AS i GROUP BY i.workflow, i.version, i.state, 5
  ), figure AS (
    SELECT s.workflow, s.version, s.state, s.outcome, NULL::int AS minute, s.entered - s.departed AS counted, 0 AS found
    FROM workflow.state_count AS s
    UNION ALL SELECT c.workflow, c.version, c.state, c.outcome, NULL, c.entered - c.departed, 0 FROM change AS c
    UNION ALL SELECT i.workflow, i.version, i.state, i.outcome, NULL, 0, i.items FROM item AS i
    UNION ALL SELECT e.workflow, e.version, e.state, NULL, e.minute, e.items, 0 FROM workflow.state_entry AS e
    UNION ALL SELECT c.workflow, c.version, c.state, NULL, c.entry, c.items, 0 FROM change AS c WHERE c.entry IS NOT NULL
    UNION ALL SELECT i.workflow, i.version, i.state, NULL, i.minute, 0, i.items FROM item AS i WHERE i.minute IS NOT NULL
  )
  SELECT f.workflow, f.version, f.state, max(f.outcome), f.minute, sum(f.counted)::bigint, sum(f.found)::bigint
  FROM figure AS f GROUP BY f.workflow, f.version, f.state, f.minute
  HAVING f.minute IS NULL OR sum(f.counted) <> sum(f.found)
$$;
COMMENT ON FUNCTION workflow._compare_counts() IS
  'Inner: counts, and what a look at all items finds in the same snapshot; moves of the present transaction are not in them';

-- Items that are there have come, and those that are not have left: neither total falls.
CREATE FUNCTION workflow._mend_counts(compared workflow._compared_count[]) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  INSERT INTO workflow.state_count AS s (workflow, version, state, outcome, submitted, entered, departed)
  SELECT f.workflow, f.version, f.state, f.outcome, 0, greatest(f.found - f.counted, 0), greatest(f.counted - f.found, 0)
  FROM unnest(compared) AS f WHERE f.minute IS NULL AND f.counted <> f.found
  ON CONFLICT (workflow, version, state) DO UPDATE
    SET outcome = coalesce(s.outcome, excluded.outcome),
        entered = s.entered + excluded.entered, departed = s.departed + excluded.departed;
  INSERT INTO workflow.state_entry AS e (workflow, version, state, minute, items)
  SELECT f.workflow, f.version, f.state, f.minute, f.found - f.counted
  FROM unnest(compared) AS f WHERE f.minute IS NOT NULL
  ON CONFLICT (workflow, version, state, minute) DO UPDATE SET items = e.items + excluded.items;
$$;
COMMENT ON FUNCTION workflow._mend_counts(workflow._compared_count[]) IS 'Inner: adds to the counts what they lack, or have too many';

CREATE FUNCTION workflow._take_fold_turn() RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_sql_take_fold_turn';
COMMENT ON FUNCTION workflow._take_fold_turn() IS
  'Inner: waits until nobody else writes counts; nobody will until the transaction ends';

-- Moves that this transaction has made are stored as it commits: the items would have them, the counts would not.
CREATE FUNCTION workflow._require_recountable(is_dry boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    RAISE EXCEPTION 'items are not counted in a transaction that has written'
      USING ERRCODE = 'active_sql_transaction',
            DETAIL = 'Its own moves are in the counts when it has committed.',
            HINT = 'COMMIT; then call it first in a transaction.';
  END IF;
  IF NOT is_dry AND current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'items are not counted anew in a transaction of isolation level "%"', current_setting('transaction_isolation')
      USING ERRCODE = 'active_sql_transaction',
            DETAIL = 'Its snapshot may be older than what somebody else has counted.',
            HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED; or dry_run => true, which only looks.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_recountable(boolean) IS
  'Inner: refuses to count items where that would not come to the same as the counts';

CREATE FUNCTION workflow._wrong_counts(compared workflow._compared_count[])
RETURNS TABLE (workflow text, version int, state text, counted bigint, found bigint, misdated bigint) LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.workflow, c.version, c.state,
         coalesce(sum(c.counted) FILTER (WHERE c.minute IS NULL), 0)::bigint,
         coalesce(sum(c.found) FILTER (WHERE c.minute IS NULL), 0)::bigint,
         greatest(coalesce(sum(greatest(c.found - c.counted, 0)) FILTER (WHERE c.minute IS NOT NULL), 0),
                  coalesce(sum(greatest(c.counted - c.found, 0)) FILTER (WHERE c.minute IS NOT NULL), 0))::bigint
  FROM unnest(compared) AS c
  GROUP BY c.workflow, c.version, c.state HAVING bool_or(c.counted <> c.found)
  ORDER BY c.workflow, c.version, c.state
$$;
COMMENT ON FUNCTION workflow._wrong_counts(workflow._compared_count[]) IS
  'Inner: states whose counts differ, and for how many items the minute in which they entered does';

CREATE FUNCTION workflow._recount(caller text, dry_run boolean, reason text)
RETURNS TABLE (workflow text, version int, state text, counted bigint, found bigint, misdated bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  is_dry boolean := coalesce(dry_run, true);
  compared workflow._compared_count[];
  wrong jsonb;
BEGIN
  PERFORM workflow._require_recountable(is_dry);
  IF NOT is_dry THEN
    PERFORM workflow._require_reason(reason);
    PERFORM workflow._take_fold_turn();
  END IF;
  compared := ARRAY(SELECT c FROM workflow._compare_counts() AS c);
  wrong := (SELECT jsonb_agg(to_jsonb(w)) FROM workflow._wrong_counts(compared) AS w);
  IF NOT is_dry AND wrong IS NOT NULL THEN
    PERFORM workflow._mend_counts(compared);
    PERFORM workflow._note(caller, 'recount', NULL::bigint, NULL::text, reason, jsonb_build_object('states', wrong));
  END IF;
  RETURN QUERY SELECT * FROM workflow._wrong_counts(compared);
END
$$;
COMMENT ON FUNCTION workflow._recount(text, boolean, text) IS 'Inner: recount()';

CREATE FUNCTION workflow.recount(dry_run boolean DEFAULT true, reason text DEFAULT NULL)
RETURNS TABLE (workflow text, version int, state text, counted bigint, found bigint, misdated bigint)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.recount(boolean, text) IS
  'States whose counts are not what a look at all items finds, because rows were written past the triggers; mends the counts unless it is a dry run';

-- -------------------------------------------------------------------- health

-- Living items of the versions that have few of them, 10000 in all, as an index has them.
CREATE FUNCTION workflow._compare_few()
RETURNS TABLE (workflow text, version int, counted bigint, found bigint) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH figure AS (
    SELECT f.workflow, f.version, sum(f.items) FILTER (WHERE f.outcome IS NULL) AS live
    FROM workflow._state_figures AS f GROUP BY f.workflow, f.version
  ), counted AS (
    SELECT d.workflow, d.version, greatest(coalesce(f.live, 0), 0)::bigint AS live,
           sum(coalesce(f.live, 0) + 1) OVER (ORDER BY coalesce(f.live, 0), d.workflow, d.version) AS looked_at
    FROM workflow.definition AS d LEFT JOIN figure AS f ON f.workflow = d.workflow AND f.version = d.version
  )
  SELECT c.workflow, c.version, c.live, few.n
  FROM counted AS c,
       LATERAL (SELECT count(*) FROM (SELECT FROM workflow.item AS i
                  WHERE i.workflow = c.workflow AND i.version = c.version AND i.outcome IS NULL LIMIT c.live + 1) AS i) AS few (n)
  WHERE c.looked_at <= 10000
$$;
COMMENT ON FUNCTION workflow._compare_few() IS
  'Inner: how many living items small versions are said to have, and how many they have, at most one more';

CREATE FUNCTION workflow._health_counts()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  is_writing boolean := pg_current_xact_id_if_assigned() IS NOT NULL;
BEGIN
  RETURN QUERY
  WITH few AS MATERIALIZED (
    SELECT * FROM workflow._compare_few() AS c WHERE NOT is_writing
  ), wrong AS (
    SELECT format('%s version %s has %s living items than are counted', c.workflow, c.version,
                  CASE WHEN c.found > c.counted THEN 'more' ELSE 'less' END) AS fact
    FROM few AS c WHERE c.counted <> c.found
    UNION ALL
    SELECT format('%s version %s counts %s items in %s', f.workflow, f.version, f.items, f.state)
    FROM workflow._state_figures AS f WHERE f.items < 0
  )
  SELECT 'counts', w.n = 0, 'warning',
         CASE WHEN w.n > 0 THEN workflow._in_a_row(w.facts)
              WHEN is_writing THEN 'Not compared: this transaction has written.'
              ELSE format('The living items of %s of %s versions were compared; workflow.recount() compares all.',
                          (SELECT count(*) FROM few), (SELECT count(*) FROM workflow.definition)) END,
         CASE WHEN w.n > 0 THEN
           'SELECT * FROM workflow.recount(dry_run => false, reason => ''rows were written past the triggers'');  -- reads all items, and stands in nobody''s way.' END
  FROM (SELECT count(*), array_agg(f.fact ORDER BY f.fact) FROM wrong AS f) AS w (n, facts);
END
$$;
COMMENT ON FUNCTION workflow._health_counts() IS 'Inner: the part of health() that compares counts with items';
