--
-- version: which version of a workflow new items get, and what one version has
-- that another has not.
--

-- --------------------------------------------------------- activate, retire

CREATE FUNCTION workflow._is_retired(name text, version int) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM workflow.retirement AS r
                 WHERE r.workflow = name AND r.version = _is_retired.version AND r.ended_at IS NULL)
$$;
COMMENT ON FUNCTION workflow._is_retired(text, int) IS
  'Inner: whether a version takes no items any more';

-- The version, with its workflow locked, for a member of the definer's role.
CREATE FUNCTION workflow._lock_version(caller text, name text, version int, verb text) RETURNS workflow.workflow
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._require_given(name IS NOT NULL, 'name');
  PERFORM workflow._require_given(version IS NOT NULL, 'version');
  PERFORM workflow._definition(name, version);
  PERFORM workflow._require_definer(name, caller, verb || ' a version of');
  RETURN workflow._lock_workflow(name);
END
$$;
COMMENT ON FUNCTION workflow._lock_version(text, text, int, text) IS
  'Inner: locks a workflow for who may change what becomes of its versions; WF012 when there is no such version';

-- A version that is wrong by now may still be the lesser evil.
CREATE FUNCTION workflow._warn_of_faults(name text, version int) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  fault record;
BEGIN
  FOR fault IN SELECT * FROM workflow._check(NULL, name, version) AS c WHERE c.severity = 'error' LOOP
    IF fault.hint IS NULL THEN
      RAISE WARNING '%', fault.problem;
    ELSE
      RAISE WARNING '%', fault.problem USING HINT = fault.hint;
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._warn_of_faults(text, int) IS
  'Inner: warns of what is wrong with a version as the database is now';

CREATE FUNCTION workflow._activate(caller text, name text, version int, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  before workflow.workflow := workflow._lock_version(caller, name, version, 'activate');
BEGIN
  IF before.active_version = version AND before.retired_at IS NULL THEN
    RETURN;
  END IF;
  PERFORM workflow._warn_of_faults(name, version);
  UPDATE workflow.retirement AS r SET ended_at = workflow._now()
  WHERE r.workflow = name AND r.version = _activate.version AND r.ended_at IS NULL;
  UPDATE workflow.workflow AS w SET active_version = _activate.version, retired_at = NULL WHERE w.workflow = name;
  PERFORM workflow._note(caller, 'activate', NULL, 'workflow:' || name, reason,
                         jsonb_build_object('version', version, 'before', before.active_version));
END
$$;
COMMENT ON FUNCTION workflow._activate(text, text, int, text) IS 'Inner: activate()';

CREATE FUNCTION workflow.activate(name text, version int, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.activate(text, int, text) IS
  'Lets new items have this version, an older one too; items that live keep theirs';

-- The workflow as a whole is retired while its active version is.
CREATE FUNCTION workflow._retire(caller text, name text, version int, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  before workflow.workflow := workflow._lock_version(caller, name, version, 'retire');
BEGIN
  IF workflow._is_retired(name, version) THEN
    RETURN;
  END IF;
  INSERT INTO workflow.retirement AS r (workflow, version, retired_at, retired_by, reason)
  VALUES (name, version, workflow._now(), caller, reason)
  ON CONFLICT ON CONSTRAINT retirement_pkey DO UPDATE
  SET retired_at = excluded.retired_at, retired_by = excluded.retired_by, reason = excluded.reason, ended_at = NULL;
  IF before.active_version = version THEN
    UPDATE workflow.workflow AS w SET retired_at = workflow._now() WHERE w.workflow = name;
    RAISE NOTICE 'workflow "%" takes no new items', name
      USING DETAIL = format('Version %s was the active one.', version),
            HINT = format('SELECT workflow.activate(%L, version) lets new items have another one.', name);
  END IF;
  PERFORM workflow._note(caller, 'retire', NULL, 'workflow:' || name, reason, jsonb_build_object('version', version));
END
$$;
COMMENT ON FUNCTION workflow._retire(text, text, int, text) IS 'Inner: retire()';

CREATE FUNCTION workflow.retire(name text, version int, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.retire(text, int, text) IS
  'Takes no new items into a version; when it is the active one, the workflow takes none until another is activated';

-- --------------------------------------------------------------------- diff

-- A place in a document as a JSON path, as faults say it.
CREATE FUNCTION workflow._place(path text[]) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '$' || coalesce(string_agg(CASE WHEN p.key ~ '^[A-Za-z0-9_-]+$' THEN '.' || p.key
                                         ELSE format('[%s]', to_json(p.key)) END, '' ORDER BY p.n), '')
  FROM unnest(path) WITH ORDINALITY AS p (key, n)
$$;
COMMENT ON FUNCTION workflow._place(text[]) IS
  'Inner: the JSON path of a place in a document';

CREATE FUNCTION workflow._is_looked_into(path text[], was jsonb, is_now jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN was IS NOT NULL AND is_now IS NOT NULL THEN jsonb_typeof(was) = 'object' AND jsonb_typeof(is_now) = 'object'
    ELSE jsonb_typeof(coalesce(was, is_now)) = 'object'
         AND (cardinality(path) = 1 AND path[1] IN ('states', 'any', 'activities', 'queues', 'retry')
              OR cardinality(path) = 2 AND path = '{any,on}'
              OR cardinality(path) = 3 AND path[1] = 'states' AND path[3] = 'on') END
$$;
COMMENT ON FUNCTION workflow._is_looked_into(text[], jsonb, jsonb) IS
  'Inner: whether two values differ by what is within them';

-- The least places where two documents differ; the order of members is none.  A
-- section that one has not is empty there.
CREATE FUNCTION workflow._differences(before jsonb, after jsonb, OUT path text[], OUT was jsonb, OUT is_now jsonb)
RETURNS SETOF record LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH RECURSIVE walk (path, was, is_now) AS (
    SELECT '{}'::text[], before, after
    UNION ALL
    SELECT w.path || k.key, w.was -> k.key, w.is_now -> k.key
    FROM walk AS w, LATERAL (
      SELECT * FROM jsonb_object_keys(w.was) UNION SELECT * FROM jsonb_object_keys(w.is_now)) AS k (key)
    WHERE w.was IS DISTINCT FROM w.is_now AND workflow._is_looked_into(w.path, w.was, w.is_now)
  )
  SELECT w.path, w.was, w.is_now FROM walk AS w
  WHERE w.was IS DISTINCT FROM w.is_now AND NOT workflow._is_looked_into(w.path, w.was, w.is_now)
$$;
COMMENT ON FUNCTION workflow._differences(jsonb, jsonb) IS
  'Inner: the places where two documents differ';

-- What differs, in the words of the domain.
CREATE FUNCTION workflow._difference_words(path text[], was jsonb, is_now jsonb) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH d AS (
    SELECT path[1] AS part, path[2] AS name, path[3] AS key, cardinality(path) AS depth,
           CASE WHEN was IS NULL THEN 'is new' WHEN is_now IS NULL THEN 'is gone' ELSE 'is another one' END AS verb,
           was #>> '{}' AS old_value, is_now #>> '{}' AS new_value
  )
  SELECT CASE
    WHEN d.part = 'states' AND d.depth = 2 THEN format('state "%s" %s', d.name, d.verb)
    WHEN d.part IN ('states', 'any') AND path[d.depth - 1] = 'on' THEN
      format('event "%s" of %s ', path[d.depth], CASE d.part WHEN 'any' THEN 'any state' ELSE format('state "%s"', d.name) END)
      || CASE WHEN was IS NULL THEN format('leads to "%s"', d.new_value)
              WHEN is_now IS NULL THEN format('is not handled any more; it led to "%s"', d.old_value)
              ELSE format('leads to "%s", not to "%s"', d.new_value, d.old_value) END
    WHEN d.part = 'states' AND d.key = 'timeout' THEN format('the timeout of state "%s" %s', d.name, d.verb)
    WHEN d.part = 'states' AND d.key = 'sla' THEN format('the SLA of state "%s" %s', d.name, d.verb)
    WHEN d.part = 'states' AND d.key = 'as' THEN format('the result of state "%s" is stored under another name', d.name)
    WHEN d.part = 'states' AND d.key = 'description' THEN format('the description of state "%s" %s', d.name, d.verb)
    WHEN d.part = 'states' AND d.key = 'final' THEN format('the outcome of state "%s" %s', d.name, d.verb)
    WHEN d.part = 'states' THEN format('what state "%s" does (%s) %s', d.name, array_to_string(path[3:], '.'), d.verb)
    WHEN d.part IN ('queues', 'retry', 'activities') THEN
      format('%s "%s" %s', CASE d.part WHEN 'queues' THEN 'queue' WHEN 'retry' THEN 'policy' ELSE 'activity' END, d.name,
             CASE d.depth WHEN 2 THEN d.verb
                          ELSE format('has another %s', array_to_string(path[3:], '.')) END)
    WHEN d.part = 'initial' THEN format('new items start in "%s", not in "%s"', d.new_value, d.old_value)
    ELSE format('the %s of the workflow %s', replace(array_to_string(path, '.'), '_', ' '), d.verb) END
  FROM d
$$;
COMMENT ON FUNCTION workflow._difference_words(text[], jsonb, jsonb) IS
  'Inner: a difference between two documents in the words of the domain';

CREATE FUNCTION workflow._spawns(document jsonb, state text) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT d.state ? 'spawn' OR coalesce(document -> 'activities' -> (d.state ->> 'activity') ? 'spawn', false)
  FROM (SELECT document -> 'states' -> _spawns.state) AS d (state)
$$;
COMMENT ON FUNCTION workflow._spawns(jsonb, text) IS 'Inner: whether a state of a document starts children';

-- What a difference means for items that live in the version before.
CREATE FUNCTION workflow._difference_meaning(path text[], document jsonb, live bigint) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN path[1] IN ('initial', 'key', 'input_schema') THEN 'counts for new items only'
    WHEN path[1] IN ('description', 'owner', 'runbook', 'workflow') THEN 'changes nothing for items'
    WHEN path[1] = 'budget' THEN 'counts for all items at once: the budget of the active version is that of the workflow'
    WHEN path[1] = 'queues' THEN 'counts for all items at once: queues are shared by all versions'
    WHEN path[1] = 'retry' OR path[1] IN ('activities', 'states') AND 'retry' = ANY (path[3:])
      THEN 'counts from the next failure of an item that is migrated'
    WHEN path[1] = 'activities' THEN 'items in states that use it begin them anew when they are migrated'
    WHEN path[1] = 'any' THEN 'live items follow it when they are migrated'
    WHEN path[3] = 'description' THEN 'changes nothing for items'
    WHEN live = 0 THEN 'no live item is there'
    WHEN cardinality(path) = 2 THEN format('live items are there (%s): migrate() needs a target for them', live)
    WHEN workflow._spawns(document, path[2]) THEN format('live items there (%s) are not migrated while they wait for their children', live)
    WHEN path[3] IN ('timeout', 'sla') THEN format('live items there (%s) get it when they are migrated, counted from when they entered', live)
    WHEN path[3] IN ('on', 'as') THEN format('live items there (%s) follow it when they are migrated', live)
    ELSE format('live items there (%s) begin the state anew when they are migrated', live) END
$$;
COMMENT ON FUNCTION workflow._difference_meaning(text[], jsonb, bigint) IS
  'Inner: what a difference from a document means for items that live in it';

-- A version, or the draft where none is named.
CREATE FUNCTION workflow._version_or_draft(name text, version int) RETURNS json LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  document json;
BEGIN
  PERFORM workflow._require_given(name IS NOT NULL, 'workflow');
  IF version IS NOT NULL THEN
    RETURN (SELECT d.document FROM workflow._definition(name, version) AS d);
  END IF;
  SELECT d.document INTO document FROM workflow.draft AS d WHERE d.workflow = name;
  IF document IS NULL THEN
    PERFORM workflow._definition(name, NULL);    -- raises WF012 when there is no such workflow at all
    RAISE EXCEPTION 'there is no draft of workflow "%"', name
      USING ERRCODE = 'WF012',
            DETAIL = 'Without a version, the draft is meant.',
            HINT = format('SELECT workflow.new(%L, from_version => 1) makes a draft of a version; or name the version.', name);
  END IF;
  RETURN document;
END
$$;
COMMENT ON FUNCTION workflow._version_or_draft(text, int) IS
  'Inner: the document of a version, or, where none is named, of the draft';

CREATE FUNCTION workflow._diff(
  caller text, workflow text, from_version int, to_version int,
  OUT kind text, OUT place text, OUT what text, OUT before jsonb, OUT after jsonb, OUT live_items bigint, OUT meaning text)
RETURNS SETOF record LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text := workflow;
  active int := (SELECT w.active_version FROM workflow.workflow AS w WHERE w.workflow = name);
  from_document jsonb := workflow._version_or_draft(name, coalesce(from_version, active));
  to_document jsonb := workflow._version_or_draft(name, to_version);
BEGIN
  RETURN QUERY
    WITH live AS (
      SELECT f.state, f.items FROM workflow._state_figures AS f
      WHERE f.workflow = name AND f.version = coalesce(from_version, active) AND f.outcome IS NULL
    )
    SELECT CASE WHEN d.was IS NULL THEN 'added' WHEN d.is_now IS NULL THEN 'removed' ELSE 'changed' END,
           workflow._place(d.path), workflow._difference_words(d.path, d.was, d.is_now), d.was, d.is_now, n.items,
           workflow._difference_meaning(d.path, from_document, n.items)
    FROM workflow._differences(from_document, to_document) AS d,
    LATERAL (SELECT CASE WHEN d.path[1] IN ('states', 'any')
                         THEN coalesce((SELECT sum(l.items) FROM live AS l
                                        WHERE d.path[1] = 'any' OR l.state = d.path[2]), 0) END::bigint) AS n (items)
    ORDER BY array_position(ARRAY['states', 'any', 'activities', 'queues', 'retry'], d.path[1]) NULLS FIRST, d.path;
END
$$;
COMMENT ON FUNCTION workflow._diff(text, text, int, int) IS 'Inner: diff()';

CREATE FUNCTION workflow.diff(
  workflow text, from_version int DEFAULT NULL, to_version int DEFAULT NULL,
  OUT kind text, OUT place text, OUT what text, OUT before jsonb, OUT after jsonb, OUT live_items bigint, OUT meaning text)
RETURNS SETOF record
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.diff(text, int, int) IS
  'What one version of a workflow has that another has not, and what that means for live items; by default from the active version to the draft';
