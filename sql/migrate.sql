--
-- migrate: live items go from one version of their workflow to another.
--
-- What would happen to an item is judged in one place, for the report of a dry
-- run and, under the locks of the item, its job and its effects, for the move.
-- Nobody is waited for: what somebody holds is left, and taken by the next call.
--

CREATE FUNCTION workflow._same_activity(workflow text, from_version int, state text, to_version int, target text)
RETURNS boolean
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_inner_same_activity';
COMMENT ON FUNCTION workflow._same_activity(text, int, text, int, text) IS
  'Inner: whether a visit of a state can go on as one of a state of another version';

CREATE FUNCTION workflow._migrate_item(
  item bigint, to_version int, target text, origin text, actor text, reason text) RETURNS text
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_migrate';
COMMENT ON FUNCTION workflow._migrate_item(bigint, int, text, text, text, text) IS
  'Inner: moves an item to a state of another version; returns the state that it is in then';

-- ---------------------------------------------------------------- state map

CREATE FUNCTION workflow._require_state(name text, version int, state text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  states text[] := ARRAY(SELECT s.state FROM workflow._graph_states(name, version) AS s ORDER BY s.state);
BEGIN
  IF state IS NULL OR state <> ALL (states) THEN
    RAISE EXCEPTION 'state_map names "%", which is no state of version %', state, version
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It maps states of the version that items leave to states of the one they go to, of workflow "%s".', name),
            HINT = workflow._name_hint(state, states);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_state(text, int, text) IS
  'Inner: refuses a state map that names a state which a version has not';

CREATE FUNCTION workflow._require_state_map(name text, from_version int, to_version int, state_map jsonb) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  pair record;
BEGIN
  IF jsonb_typeof(state_map) IS DISTINCT FROM 'object' THEN
    RAISE EXCEPTION 'state_map has to be an object'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It maps states of the version that items leave to states of the one they go to.',
            HINT = 'Write {"OLD": "NEW"}; states of the same name need not be named.';
  END IF;
  FOR pair IN SELECT * FROM jsonb_each_text(state_map) LOOP
    PERFORM workflow._require_state(name, from_version, pair.key);
    PERFORM workflow._require_state(name, to_version, pair.value);
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._require_state_map(text, int, int, jsonb) IS
  'Inner: refuses a state map that is none between these versions';

-- Where each state of a version leads to in another one, {STATE: {target, kind,
-- target_kind, kept}}; target null: nowhere.
CREATE FUNCTION workflow._state_targets(name text, from_version int, to_version int, state_map jsonb) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_object_agg(s.state, jsonb_build_object(
           'target', t.state, 'kind', s.kind, 'target_kind', t.kind,
           'kept', workflow._same_activity(name, from_version, s.state, to_version, t.state)))
  FROM workflow._graph_states(name, from_version) AS s
  LEFT JOIN workflow._graph_states(name, to_version) AS t ON t.state = coalesce(state_map ->> s.state, s.state)
$$;
COMMENT ON FUNCTION workflow._state_targets(text, int, int, jsonb) IS
  'Inner: the state of another version that each state is mapped to, and whether a visit goes on there';

-- ----------------------------------------------------------------- judgement

-- What is under way in the visit of an item, so that nobody else may move or change it; null when nothing is.
CREATE FUNCTION workflow._visit_obstacle(item workflow.item, kind text, job workflow.job, effect workflow.effect) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF job.status = 'running' THEN
    RETURN 'its job is running';
  ELSIF effect.state = 'pending' AND effect.unknown_attempts > 0 THEN
    RETURN 'an attempt of its effect may have been applied';
  ELSIF effect.state IN ('claimed', 'sending', 'unknown', 'held') THEN
    RETURN format('what becomes of its effect is not known yet: it is %s', effect.state);
  ELSIF effect.state IN ('succeeded', 'failed', 'dead', 'cancelled') AND job.status = 'waiting' AND job.waiting_on = 'effect' THEN
    RETURN format('its effect is %s, which moves it in a moment', effect.state);
  ELSIF kind = 'task' AND EXISTS (SELECT FROM workflow.effect AS g
                                  WHERE g.item_id = item.item_id AND g.kind = 'guard' AND workflow._is_open(g)) THEN
    RETURN 'what becomes of an effect that its worker has begun is not known yet';
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._visit_obstacle(workflow.item, text, workflow.job, workflow.effect) IS
  'Inner: what is under way in the visit of an item; null when nothing is';

-- Why an item stays where it is for now; null when nothing keeps it.
CREATE FUNCTION workflow._migration_obstacle(
  item workflow.item, kind text, target_kind text, job workflow.job, effect workflow.effect) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  obstacle text := workflow._visit_obstacle(item, kind, job, effect);
BEGIN
  IF kind NOT IN ('none', 'final', 'sql', 'http', 'model', 'task', 'review', 'exception', 'wait', 'gate', 'validate', 'then') THEN
    RETURN format('a visit of a %s state ends in the version that it began in', kind);
  ELSIF obstacle IS NOT NULL THEN
    RETURN obstacle;
  ELSIF (item.paused_at IS NOT NULL
         OR EXISTS (SELECT FROM workflow.workflow AS w WHERE w.workflow = item.workflow AND w.paused_at IS NOT NULL))
    AND (target_kind IN ('gate', 'validate', 'then')
         OR EXISTS (SELECT FROM workflow.event AS v WHERE v.item_id = item.item_id AND v.seq IS NULL)) THEN
    RETURN 'it is paused, and might move on at once';
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._migration_obstacle(workflow.item, text, text, workflow.job, workflow.effect) IS
  'Inner: why an item cannot be migrated at the moment; null when it can';

-- What to do about it.
CREATE FUNCTION workflow._migration_hint(effect workflow.effect, obstacle text) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE
    WHEN obstacle IS NULL THEN NULL
    WHEN effect.state IN ('held', 'unknown')
      THEN 'SELECT workflow.resolve(effect_id, ''applied'', ''how you know''); or ''not_applied'', and call migrate() again.'
    ELSE 'Call migrate() again when that is over.' END;
END
$$;
COMMENT ON FUNCTION workflow._migration_hint(workflow.effect, text) IS
  'Inner: what lets an item be migrated that cannot be at the moment';

-- What would become of each of these items that live and are of the version, and
-- what belongs to its visit.  In PL/pgSQL, so that its plan is kept from item to item.
CREATE FUNCTION workflow._migration_items(
  from_version int, to_version int, targets jsonb, items bigint[],
  OUT item_id bigint, OUT state text, OUT target text, OUT verdict text, OUT problem text, OUT hint text, OUT origin text,
  OUT jobs int, OUT dead_letters int, OUT effects int, OUT reviews int, OUT timers int, OUT kept_events int)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT i.item_id, i.state, p.target,
         CASE WHEN p.target IS NULL THEN 'no target'
              WHEN p.lost IS NOT NULL OR b.obstacle IS NOT NULL THEN 'left'
              WHEN p.kept THEN 'kept' ELSE 'entered' END,
         CASE WHEN p.target IS NULL THEN format('version %s has no state "%s"', to_version, i.state)
              WHEN p.lost IS NOT NULL
                THEN format('version %s has no state "%s", from which the item came into its last exception', to_version, p.lost)
              ELSE b.obstacle END,
         CASE WHEN p.target IS NULL OR p.lost IS NOT NULL
                THEN format('Name a target in state_map: {%s: "..."}.', to_json(coalesce(p.lost, i.state)))
              ELSE workflow._migration_hint(e, b.obstacle) END,
         p.origin,
         (j.status IS DISTINCT FROM 'dead' AND j.job_id IS NOT NULL)::int, coalesce(j.status = 'dead', false)::int,
         (e.effect_id IS NOT NULL)::int,
         (SELECT count(*) FROM workflow.review AS r WHERE r.item_id = i.item_id AND r.closed_at IS NULL)::int,
         (SELECT count(*) FROM workflow.timer AS t WHERE t.item_id = i.item_id AND t.seq = i.seq)::int,
         (SELECT count(*) FROM workflow.event AS v WHERE v.item_id = i.item_id AND v.seq IS NULL)::int
  FROM workflow.item AS i
  LEFT JOIN workflow.job AS j ON j.item_id = i.item_id AND j.seq = i.seq
  LEFT JOIN workflow.effect AS e ON e.effect_id = j.effect_id,
  LATERAL (SELECT targets #>> ARRAY[i.state, 'target'], targets #>> ARRAY[i.state, 'kind'], targets #>> ARRAY[i.state, 'target_kind'],
                  (targets #> ARRAY[i.state, 'kept'])::boolean, targets #>> ARRAY[i.origin, 'target'],
                  CASE WHEN targets #>> ARRAY[i.origin, 'target'] IS NULL THEN i.origin END
          ) AS p (target, kind, target_kind, kept, origin, lost),
  LATERAL workflow._migration_obstacle(i, p.kind, p.target_kind, j, e) AS b (obstacle)
  WHERE i.item_id = ANY (items) AND i.version = from_version AND i.outcome IS NULL
  ORDER BY i.item_id;
END
$$;
COMMENT ON FUNCTION workflow._migration_items(int, int, jsonb, bigint[]) IS
  'Inner: what a migration would do with each of these items: kept, entered, left or no target';

-- False when somebody holds the item, its job or an effect of its visit.
CREATE FUNCTION workflow._hold_visit(item bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  held    int;
  effects bigint[];    -- by their ids: no index finds those of both kinds at once
BEGIN
  PERFORM FROM workflow.item AS i WHERE i.item_id = item FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM FROM workflow.job AS j WHERE j.item_id = item FOR UPDATE SKIP LOCKED;
  GET DIAGNOSTICS held = ROW_COUNT;
  IF held < (SELECT count(*) FROM workflow.job AS j WHERE j.item_id = item) THEN
    RETURN false;
  END IF;
  effects := ARRAY(SELECT e.effect_id FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE j.item_id = item
                   UNION
                   SELECT e.effect_id FROM workflow.effect AS e
                   WHERE e.item_id = item AND e.kind = 'guard' AND workflow._is_open(e));
  PERFORM FROM workflow.effect AS e WHERE e.effect_id = ANY (effects) FOR UPDATE SKIP LOCKED;
  GET DIAGNOSTICS held = ROW_COUNT;
  RETURN held = cardinality(effects);
END
$$;
COMMENT ON FUNCTION workflow._hold_visit(bigint) IS
  'Inner: locks an item, its job and its effects, waiting for nobody; false when it cannot';

-- --------------------------------------------------------------------- move

-- Moves one item, or says in verdict and problem why it is left.  All or nothing:
-- what fails while the state is entered leaves the item as it was.  The verdict
-- is null when the item is not of the version any more, or has ended.
CREATE FUNCTION workflow._migrate_one(
  from_version int, to_version int, targets jsonb, item bigint, actor text, reason text,
  OUT target text, OUT verdict text, OUT problem text, OUT hint text,
  OUT jobs int, OUT dead_letters int, OUT effects int, OUT reviews int, OUT timers int, OUT kept_events int)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  origin text;
BEGIN
  IF NOT workflow._hold_visit(item) THEN
    verdict := 'left';
    problem := 'somebody is working on it at this moment';
    hint := 'Call migrate() again.';
    RETURN;
  END IF;
  SELECT m.target, m.verdict, m.problem, m.hint, m.origin, m.jobs, m.dead_letters, m.effects, m.reviews, m.timers, m.kept_events
    INTO target, verdict, problem, hint, origin, jobs, dead_letters, effects, reviews, timers, kept_events
  FROM workflow._migration_items(from_version, to_version, targets, ARRAY[item]) AS m;
  IF verdict IN ('kept', 'entered') THEN
    PERFORM workflow._migrate_item(item, to_version, target, origin, actor, reason);
  END IF;
EXCEPTION WHEN others THEN
  GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  verdict := 'left';
  hint := nullif(hint, '');
END
$$;
COMMENT ON FUNCTION workflow._migrate_one(int, int, jsonb, bigint, text, text) IS
  'Inner: migrates one item, or says why it is left';

CREATE FUNCTION workflow._refuse_targetless(name text, from_version int, to_version int, targets jsonb, state_map jsonb)
RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  states text[];
  counts text;
BEGIN
  SELECT array_agg(s.state ORDER BY s.state), string_agg(format('%s in "%s"', s.items, s.state), ', ' ORDER BY s.state)
    INTO states, counts
  FROM (SELECT i.state, count(*) AS items FROM workflow.item AS i
        WHERE i.workflow = name AND i.version = from_version AND i.outcome IS NULL GROUP BY i.state) AS s
  WHERE targets #>> ARRAY[s.state, 'target'] IS NULL;
  IF states IS NOT NULL THEN
    RAISE EXCEPTION 'live items are in states that have no target in version % of workflow "%"', to_version, name
      USING ERRCODE = 'WF001',
            DETAIL = format('Live items: %s. Nothing was moved.', counts),
            HINT = format('Name a target for each: state_map => ''%s''.',
                          state_map || (SELECT jsonb_object_agg(u.state, '...') FROM unnest(states) AS u (state)));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._refuse_targetless(text, int, int, jsonb, jsonb) IS
  'Inner: raises WF001 where a live item is in a state that has no target';

CREATE FUNCTION workflow._require_migration(caller text, name text, from_version int, to_version int, state_map jsonb)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._require_given(name IS NOT NULL, 'workflow');
  PERFORM workflow._require_given(from_version IS NOT NULL, 'from_version');
  PERFORM workflow._require_given(to_version IS NOT NULL, 'to_version');
  PERFORM workflow._definition(name, from_version), workflow._definition(name, to_version);
  PERFORM workflow._require_definer(name, caller, 'migrate items of');
  IF from_version = to_version THEN
    RAISE EXCEPTION 'from_version and to_version are the same'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('Both are version %s of workflow "%s".', to_version, name),
            HINT = format('SELECT * FROM workflow.versions WHERE workflow = %L shows its versions.', name);
  END IF;
  IF workflow._is_retired(name, to_version) THEN
    RAISE EXCEPTION 'version % of workflow "%" is retired', to_version, name
      USING ERRCODE = 'WF008',
            DETAIL = 'It takes no items.',
            HINT = format('SELECT workflow.activate(%L, %s) lets it take items again.', name, to_version);
  END IF;
  PERFORM workflow._require_state_map(name, from_version, to_version, state_map);
END
$$;
COMMENT ON FUNCTION workflow._require_migration(text, text, int, int, jsonb) IS
  'Inner: refuses a migration that nobody, or not this caller, can make';

CREATE FUNCTION workflow._mention_source(name text, from_version int, to_version int) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM workflow.workflow AS w
             WHERE w.workflow = name AND w.active_version = from_version AND w.retired_at IS NULL) THEN
    RAISE NOTICE 'new items of workflow "%" still get version %', name, from_version
      USING DETAIL = 'It is the active one.',
            HINT = format('SELECT workflow.activate(%L, %s); else call migrate() again for those that come.', name, to_version);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._mention_source(text, int, int) IS
  'Inner: says so where items still come into the version that they are migrated from';

-- A row for each live item: what became of it.
CREATE FUNCTION workflow._migrate_each(
  caller text, name text, from_version int, to_version int, targets jsonb, max_items int, reason text,
  OUT item_id bigint, OUT state text, OUT target text, OUT verdict text, OUT problem text, OUT hint text,
  OUT jobs int, OUT dead_letters int, OUT effects int, OUT reviews int, OUT timers int, OUT kept_events int)
RETURNS SETOF record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  moved bigint := 0;
BEGIN
  FOR item_id, state IN
    SELECT i.item_id, i.state FROM workflow.item AS i
    WHERE i.workflow = name AND i.version = from_version AND i.outcome IS NULL ORDER BY i.item_id
  LOOP
    IF moved >= max_items THEN
      SELECT targets #>> ARRAY[state, 'target'], 'later', NULL, NULL, 0, 0, 0, 0, 0, 0
        INTO target, verdict, problem, hint, jobs, dead_letters, effects, reviews, timers, kept_events;
    ELSE
      SELECT o.target, o.verdict, o.problem, o.hint, o.jobs, o.dead_letters, o.effects, o.reviews, o.timers, o.kept_events
        INTO target, verdict, problem, hint, jobs, dead_letters, effects, reviews, timers, kept_events
      FROM workflow._migrate_one(from_version, to_version, targets, item_id, caller, reason) AS o;
      target := coalesce(target, targets #>> ARRAY[state, 'target']);
    END IF;
    CONTINUE WHEN verdict IS NULL;
    moved := moved + (verdict IN ('kept', 'entered'))::int;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._migrate_each(text, text, int, int, jsonb, int, text) IS
  'Inner: migrates the live items of a version';

-- A row for each live item: what would become of it.
CREATE FUNCTION workflow._migration_plan(name text, from_version int, to_version int, targets jsonb, max_items int,
  OUT item_id bigint, OUT state text, OUT target text, OUT verdict text, OUT problem text, OUT hint text,
  OUT jobs int, OUT dead_letters int, OUT effects int, OUT reviews int, OUT timers int, OUT kept_events int)
RETURNS SETOF record LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT m.item_id, m.state, m.target,
         CASE WHEN m.verdict IN ('kept', 'entered')
                   AND count(*) FILTER (WHERE m.verdict IN ('kept', 'entered')) OVER (ORDER BY m.item_id) > max_items
              THEN 'later' ELSE m.verdict END,
         m.problem, m.hint, m.jobs, m.dead_letters, m.effects, m.reviews, m.timers, m.kept_events
  FROM workflow._migration_items(from_version, to_version, targets, ARRAY(
    SELECT i.item_id FROM workflow.item AS i
    WHERE i.workflow = name AND i.version = from_version AND i.outcome IS NULL)) AS m
$$;
COMMENT ON FUNCTION workflow._migration_plan(text, int, int, jsonb, int) IS
  'Inner: what a migration would do with each live item of a version';

CREATE FUNCTION workflow._migrate_or_plan(
  caller text, name text, from_version int, to_version int, targets jsonb, dry_run boolean, max_items int, reason text,
  OUT item_id bigint, OUT state text, OUT target text, OUT verdict text, OUT problem text, OUT hint text,
  OUT jobs int, OUT dead_letters int, OUT effects int, OUT reviews int, OUT timers int, OUT kept_events int)
RETURNS SETOF record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF dry_run THEN
    RETURN QUERY SELECT * FROM workflow._migration_plan(name, from_version, to_version, targets, max_items);
  ELSE
    RETURN QUERY SELECT * FROM workflow._migrate_each(caller, name, from_version, to_version, targets, max_items, reason);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._migrate_or_plan(text, text, int, int, jsonb, boolean, int, text) IS
  'Inner: migrates the live items of a version, or, in a dry run, says what would become of each';

-- What becomes of the visits of items, in words.
CREATE FUNCTION workflow._migration_words(
  verdict text, jobs bigint, dead_letters bigint, reviews bigint, timers bigint, kept_events bigint) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE verdict
      WHEN 'kept' THEN 'go on as they are' || coalesce(' with ' || work.list || ': nothing is done again', '')
      WHEN 'entered' THEN 'enter the state anew' || coalesce('; of the old visit end ' || work.list, '')
      WHEN 'later' THEN 'are moved by the next call'
      ELSE 'stay where they are' END
    || CASE WHEN kept_events > 0 AND verdict IN ('kept', 'entered')
            THEN format('; kept events (%s) fire where they are handled', kept_events) ELSE '' END
  FROM (SELECT nullif(concat_ws(', ',
          'jobs (' || nullif(jobs, 0) || ')', 'dead letters (' || nullif(dead_letters, 0) || ')',
          'open reviews (' || nullif(reviews, 0) || ')', 'timers (' || nullif(timers, 0) || ')'), '')) AS work (list)
$$;
COMMENT ON FUNCTION workflow._migration_words(text, bigint, bigint, bigint, bigint, bigint) IS
  'Inner: what a migration does with the visits of items, in words';

CREATE FUNCTION workflow.migrate(
  workflow text, from_version int, to_version int, state_map jsonb DEFAULT '{}', dry_run boolean DEFAULT true,
  max_items int DEFAULT NULL, reason text DEFAULT NULL,
  OUT state text, OUT target text, OUT verdict text, OUT items bigint, OUT what text, OUT problem text, OUT hint text,
  OUT jobs bigint, OUT dead_letters bigint, OUT effects bigint, OUT reviews bigint, OUT timers bigint, OUT kept_events bigint,
  OUT first_item bigint)
RETURNS SETOF record
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.migrate(text, int, int, jsonb, boolean, int, text) IS
  'Moves the live items of a version to another one, or, in a dry run, reports what would become of them';

CREATE FUNCTION workflow._migrate(
  caller text, workflow text, from_version int, to_version int, state_map jsonb, dry_run boolean, max_items int, reason text,
  OUT state text, OUT target text, OUT verdict text, OUT items bigint, OUT what text, OUT problem text, OUT hint text,
  OUT jobs bigint, OUT dead_letters bigint, OUT effects bigint, OUT reviews bigint, OUT timers bigint, OUT kept_events bigint,
  OUT first_item bigint)
RETURNS SETOF record LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  map jsonb := coalesce(state_map, '{}');
  is_dry boolean := coalesce(dry_run, true);
  places jsonb;
BEGIN
  PERFORM workflow._require_migration(caller, workflow, from_version, to_version, map);
  places := workflow._state_targets(workflow, from_version, to_version, map);
  IF NOT is_dry THEN
    PERFORM workflow._refuse_targetless(workflow, from_version, to_version, places, map);
    PERFORM workflow._mention_source(workflow, from_version, to_version);
  END IF;
  RETURN QUERY
    SELECT m.state, m.target, m.verdict, count(*),
           workflow._migration_words(m.verdict, sum(m.jobs), sum(m.dead_letters), sum(m.reviews), sum(m.timers), sum(m.kept_events)),
           m.problem, max(m.hint),
           sum(m.jobs), sum(m.dead_letters), sum(m.effects), sum(m.reviews), sum(m.timers), sum(m.kept_events), min(m.item_id)
    FROM workflow._migrate_or_plan(caller, workflow, from_version, to_version, places, is_dry, max_items, reason) AS m
    GROUP BY m.state, m.target, m.verdict, m.problem
    ORDER BY m.state, m.target, m.verdict, m.problem;
END
$$;
COMMENT ON FUNCTION workflow._migrate(text, text, int, int, jsonb, boolean, int, text) IS 'Inner: migrate()';
