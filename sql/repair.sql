--
-- repair: items that stand still, or went wrong, are set right by people: data is
-- patched, a path is gone again from an earlier state on, and dead letters are
-- taken up again in batches.
--
-- Who repairs one item is told what is in the way.  A batch waits for nobody: what
-- somebody holds is tried again, what has moved meanwhile is skipped, and says why.
--

-- ------------------------------------------------------------------- who may

CREATE FUNCTION workflow._require_reason(reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF coalesce(btrim(reason), '') = '' THEN
    RAISE EXCEPTION 'a reason is needed'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It stays on record beside who did it.',
            HINT = 'Give reason => ''why''.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_reason(text) IS 'Inner: refuses to repair anything without a reason';

-- Locks what belongs to an item's visit, and refuses where something of it is under way.
CREATE FUNCTION workflow._require_quiet(it workflow.item, verb text, call text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  job workflow.job;
  effect workflow.effect;
  obstacle text;
BEGIN
  IF NOT workflow._hold_visit(it.item_id) THEN
    RAISE EXCEPTION 'somebody is working on item % at this moment', it.item_id
      USING ERRCODE = 'lock_not_available',
            DETAIL = 'Its job or an effect of it is locked.',
            HINT = 'Call again.';
  END IF;
  SELECT j.* INTO job FROM workflow.job AS j WHERE j.item_id = it.item_id AND j.seq = it.seq;
  SELECT e.* INTO effect FROM workflow.effect AS e WHERE e.effect_id = job.effect_id;
  obstacle := workflow._visit_obstacle(it, job.kind, job, effect);
  IF obstacle IS NOT NULL THEN
    RAISE EXCEPTION 'item % cannot be % now: %', it.item_id, verb, obstacle
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('Item %s (%s:%s) is in state "%s".', it.item_id, it.workflow, it.key, it.state),
            HINT = replace(workflow._migration_hint(effect, obstacle), 'migrate()', call);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_quiet(workflow.item, text, text) IS
  'Inner: locks an item''s visit, and raises 55000 or 55P03 where something of it is under way';

CREATE FUNCTION workflow._fire_deferred() RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_fire_deferred';
COMMENT ON FUNCTION workflow._fire_deferred() IS
  'Inner: fires now what the present transaction, a step of a worker, has put off to its commit';

-- --------------------------------------------------------------------- patch

-- What was made of the data when the state was entered stays, but for the payload of a task that nobody works on,
-- and for what a review shows: nobody decides on what he has not seen.
CREATE FUNCTION workflow._patch(caller text, item bigint, data jsonb, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  it workflow.item := workflow._lock_item(item);
  patched jsonb;
BEGIN
  PERFORM workflow._require_reason(reason);
  PERFORM workflow._require_patch(data);
  PERFORM workflow._require_alive(it, 'patched');
  PERFORM workflow._require_quiet(it, 'patched', 'patch()');
  patched := workflow._merge_patch(it.data, data);
  PERFORM workflow._set_data(item, patched, caller, reason);
  UPDATE workflow.job AS j SET payload = patched
  WHERE j.item_id = item AND j.seq = it.seq AND j.kind = 'task';
  PERFORM workflow._review_patched(item, patched);
END
$$;
COMMENT ON FUNCTION workflow._patch(text, bigint, jsonb, text) IS 'Inner: workflow.patch()';

CREATE FUNCTION workflow.patch(item bigint, data jsonb, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.patch(bigint, jsonb, text) IS
  'Merges members into the data of an item that waits (RFC 7396: null removes), on record';

CREATE FUNCTION workflow.patch(item text, data jsonb, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.patch(text, jsonb, text) IS
  'The same, of the item workflow:key';

-- -------------------------------------------------------------------- rewind

CREATE FUNCTION workflow._rewind_item(item bigint, to_state text, actor text, reason text, event_data jsonb, data jsonb)
RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_rewind';
COMMENT ON FUNCTION workflow._rewind_item(bigint, text, text, text, jsonb, jsonb) IS
  'Inner: enters a state of an item''s path anew, with new data unless null';

-- The path that an item has come, without what rewinds before a transition have undone.
CREATE FUNCTION workflow._path(item bigint, before int) RETURNS TABLE (seq int, state text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT t.seq, t.to_state FROM workflow.transition AS t
  WHERE t.item_id = item AND t.seq < before
    AND NOT EXISTS (SELECT FROM workflow.transition AS r
                    WHERE r.item_id = item AND r.kind = 'rewind' AND r.seq > t.seq AND r.seq < before
                      AND (r.data ->> 'to_seq')::int <= t.seq)
$$;
COMMENT ON FUNCTION workflow._path(bigint, int) IS
  'Inner: the visits that led an item to where it was before a transition, without those that rewinds have undone';

-- As the path says, of one visit.
CREATE FUNCTION workflow._is_undone(item bigint, seq int, until int) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (SELECT FROM workflow.transition AS r
                 WHERE r.item_id = item AND r.kind = 'rewind' AND r.seq > _is_undone.seq AND r.seq <= until
                   AND (r.data ->> 'to_seq')::int <= _is_undone.seq);
END
$$;
COMMENT ON FUNCTION workflow._is_undone(bigint, int, int) IS
  'Inner: whether a rewind up to a transition has undone a visit';

-- For verify().
CREATE FUNCTION workflow._rewind_problem(t workflow.transition) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN t.event <> 'rewind' THEN format('transition %s is a rewind, its event is "%s"', t.seq, t.event)
    WHEN NOT EXISTS (SELECT FROM workflow._path(t.item_id, t.seq) AS p
                     WHERE p.seq = (t.data ->> 'to_seq')::int AND p.state = t.to_state)
      THEN format('transition %s goes back to "%s" as of transition %s, which is not on the path', t.seq, t.to_state,
                  coalesce(t.data ->> 'to_seq', 'none')) END
$$;
COMMENT ON FUNCTION workflow._rewind_problem(workflow.transition) IS
  'Inner: what is wrong with a logged rewind; null when nothing is';

-- The visit that a visit repeats: since the last rewind the first visit of a state repeats the first one that the
-- rewind has undone, and so on.  By itself where there is none.
CREATE FUNCTION workflow._repeated_visit(item bigint, seq int, state text) RETURNS int LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  back int;
  first int;
  repeated int;
BEGIN
  SELECT t.seq, (t.data ->> 'to_seq')::int INTO back, first FROM workflow.transition AS t
  WHERE t.item_id = item AND t.kind = 'rewind' AND t.seq <= _repeated_visit.seq ORDER BY t.seq DESC LIMIT 1;
  SELECT p.seq INTO repeated FROM workflow._path(item, back) AS p
  WHERE p.seq >= first AND p.state = state ORDER BY p.seq
  OFFSET (SELECT count(*) FROM workflow.transition AS t
          WHERE t.item_id = item AND t.to_state = state AND t.seq >= back AND t.seq < _repeated_visit.seq) LIMIT 1;
  RETURN CASE WHEN repeated IS NULL THEN seq ELSE workflow._repeated_visit(item, repeated, state) END;
END
$$;
COMMENT ON FUNCTION workflow._repeated_visit(bigint, int, text) IS
  'Inner: the visit whose children a visit of a spawn state meets again after a rewind; else itself';

-- The visit of that state to go back to.
CREATE FUNCTION workflow._require_visit(it workflow.item, to_state text) RETURNS int LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  visit int := (SELECT max(p.seq) FROM workflow._path(it.item_id, it.seq + 1) AS p WHERE p.state = to_state);
  kind text := (SELECT s.kind FROM workflow._graph_states(it.workflow, it.version) AS s WHERE s.state = to_state);
  path text[];
BEGIN
  IF visit IS NOT NULL AND kind NOT IN ('final', 'exception') THEN
    RETURN visit;
  END IF;
  path := ARRAY(SELECT p.state FROM workflow._path(it.item_id, it.seq + 1) AS p
                JOIN workflow._graph_states(it.workflow, it.version) AS s ON s.state = p.state
                WHERE s.kind NOT IN ('final', 'exception') GROUP BY p.state ORDER BY min(p.seq));
  RAISE EXCEPTION 'item % cannot go back to "%"', it.item_id, to_state
    USING ERRCODE = 'WF001',
          DETAIL = CASE WHEN visit IS NULL THEN 'It has not come by that state.'
                        WHEN kind IS NULL THEN format('Version %s has no such state.', it.version)
                        ELSE format('It is of kind %s: nothing begins there.', kind) END,
          HINT = workflow._name_hint(to_state, path);
END
$$;
COMMENT ON FUNCTION workflow._require_visit(workflow.item, text) IS
  'Inner: the last visit of a state on an item''s path; WF001 when it cannot go back there';

-- Why what an item has done outside does not let it go back to a visit.
CREATE FUNCTION workflow._rewind_obstacle(it workflow.item, visit int, OUT problem text, OUT hint text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT CASE WHEN workflow._is_open(e) THEN format('what becomes of effect %s is not known yet: it is %s', e.effect_id, e.state)
              WHEN e.kind = 'revert' THEN format('effect %s is taken back by effect %s', e.reverts, e.effect_id)
              ELSE format('what effect %s was answered has been removed', e.effect_id) END,
         CASE WHEN workflow._is_open(e) THEN format('SELECT workflow.resolve(%s, ''applied'', ''how you know''); once it is unknown or held.', e.effect_id)
              ELSE 'Submit a new item: what is done anew takes keys of its own.' END
    INTO problem, hint
  FROM workflow.effect AS e
  WHERE e.item_id = it.item_id
    AND (workflow._is_open(e) OR e.kind = 'revert' AND e.state NOT IN ('failed', 'dead', 'cancelled')
         OR e.purged_at IS NOT NULL AND e.state = 'succeeded' AND e.kind = 'http' AND e.item_seq >= visit)
  ORDER BY NOT workflow._is_open(e), e.effect_id LIMIT 1;
  IF problem IS NULL AND EXISTS (SELECT FROM workflow.timer AS t WHERE t.item_id = it.item_id AND t.kind = 'close') THEN
    problem := 'children of an earlier visit are still being cancelled';
    hint := 'Call again in a moment.';
  ELSIF problem IS NULL AND it.outcome IS NOT NULL AND it.parent_id IS NOT NULL THEN
    problem := format('item %s has counted it as a child that ended', it.parent_id);
    hint := format('SELECT * FROM workflow.where_is(%s) tells what its parent waits for: replay or rewind that one.', it.parent_id);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._rewind_obstacle(workflow.item, int) IS
  'Inner: why an item cannot be rewound, as far as effects and relatives are concerned; null when it can';

CREATE FUNCTION workflow._require_rewindable(it workflow.item, visit int) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  obstacle record;
BEGIN
  PERFORM workflow._require_quiet(it, 'rewound', 'rewind()');
  SELECT * INTO obstacle FROM workflow._rewind_obstacle(it, visit);
  IF obstacle.problem IS NOT NULL THEN
    RAISE EXCEPTION 'item % cannot be rewound: %', it.item_id, obstacle.problem
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('Item %s (%s:%s) is in state "%s".', it.item_id, it.workflow, it.key, it.state),
            HINT = obstacle.hint;
  ELSIF workflow._is_success(it.outcome, NULL) THEN
    PERFORM workflow._require_alive(it, 'rewound');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_rewindable(workflow.item, int) IS
  'Inner: refuses to rewind an item that something is under way of, or that has ended well';

CREATE FUNCTION workflow._rewind(
  caller text, item bigint, to_state text, reason text, patch jsonb, OUT seq int, OUT state text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  it workflow.item := workflow._lock_item(item);
  visit int;
BEGIN
  PERFORM workflow._require_reason(reason);
  PERFORM workflow._require_patch(patch);
  PERFORM workflow._require_running(item);
  visit := workflow._require_visit(it, to_state);
  PERFORM workflow._require_rewindable(it, visit);
  PERFORM workflow._rewind_item(item, to_state, caller, reason,
    jsonb_build_object('to_seq', visit) || CASE WHEN patch IS NULL THEN '{}' ELSE jsonb_build_object('patch', patch) END,
    workflow._merge_patch(it.data, patch));
  IF patch IS NOT NULL THEN
    PERFORM workflow._note_author(item, caller);
  END IF;
  SELECT i.seq, i.state INTO seq, state FROM workflow.item AS i WHERE i.item_id = item;
END
$$;
COMMENT ON FUNCTION workflow._rewind(text, bigint, text, text, jsonb) IS 'Inner: workflow.rewind()';

CREATE FUNCTION workflow.rewind(
  item bigint, to_state text, reason text, patch jsonb DEFAULT NULL, OUT seq int, OUT state text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.rewind(bigint, text, text, jsonb) IS
  'Lets an item go on anew from a state that it has come by, after merging patch into its data; effects that succeeded are met again by their keys';

CREATE FUNCTION workflow.rewind(
  item text, to_state text, reason text, patch jsonb DEFAULT NULL, OUT seq int, OUT state text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.rewind(text, text, text, jsonb) IS
  'The same, of the item workflow:key';
