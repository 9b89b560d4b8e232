--
-- spawn: children of items: what they are counted by, and what is known of them.
--
-- Who ends a child only adds a row to workflow.child_end; who counts takes these rows away.  So no
-- child waits for another one's commit, and none locks its parent.
--

-- ---------------------------------------------------------------- the check

-- The workflows whose items a document lets be started.
CREATE FUNCTION workflow._spawned_workflows(document jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT w #>> '{}' FROM jsonb_path_query(document, '$.states.*.spawn.workflow') AS w
  UNION
  SELECT w #>> '{}' FROM jsonb_path_query(document, '$.activities.*.spawn.workflow') AS w
$$;
COMMENT ON FUNCTION workflow._spawned_workflows(jsonb) IS
  'Inner: the workflows that the spawn states of a document name';

-- The workflows that items of a workflow lead to, by the versions that are active now.
CREATE FUNCTION workflow._descendants(name text) RETURNS SETOF text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH RECURSIVE descendant (name) AS (
    SELECT s FROM workflow.workflow AS w
    JOIN workflow.definition AS d ON d.workflow = w.workflow AND d.version = w.active_version,
    LATERAL workflow._spawned_workflows(d.document::jsonb) AS s
    WHERE w.workflow = _descendants.name
    UNION
    SELECT s FROM descendant AS above JOIN workflow.workflow AS w ON w.workflow = above.name
    JOIN workflow.definition AS d ON d.workflow = w.workflow AND d.version = w.active_version,
    LATERAL workflow._spawned_workflows(d.document::jsonb) AS s
  )
  SELECT descendant.name FROM descendant
$$;
COMMENT ON FUNCTION workflow._descendants(text) IS
  'Inner: the workflows of the children, grandchildren and so on of the items of a workflow';

CREATE FUNCTION workflow._spawn_problems(own text, child text, success jsonb, document jsonb)
RETURNS TABLE (code text, problem text, hint text, element text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH known AS (
    SELECT document WHERE child = own
    UNION ALL
    SELECT d.document::jsonb FROM workflow.workflow AS w
    JOIN workflow.definition AS d ON d.workflow = w.workflow AND d.version = w.active_version
    WHERE w.workflow = child AND child IS DISTINCT FROM own
  )
  SELECT 'unknown_workflow', format('there is no workflow "%s"', child),
         coalesce(workflow._did_you_mean(child, ARRAY(SELECT w.workflow FROM workflow.workflow AS w UNION SELECT own ORDER BY 1 LIMIT 1000)),
                  'define it before an item comes here: the state raises "error" otherwise'), NULL
  WHERE NOT EXISTS (SELECT FROM known)
  UNION ALL
  SELECT 'retired_workflow', format('workflow "%s" is retired and takes no new items', child),
         format('SELECT workflow.activate(%L, version); or name the workflow that replaced it', child), NULL
  FROM workflow.workflow AS w WHERE w.workflow = child AND w.retired_at IS NOT NULL AND child IS DISTINCT FROM own
  UNION ALL
  SELECT 'recursive_spawn', format('items of "%s" start items of this workflow again', child),
         'see to it that the array is empty at the end of each branch; below 50 levels the state raises "error"', NULL
  WHERE child = own OR own IN (SELECT workflow._descendants(child))
  UNION ALL
  SELECT 'unknown_outcome', format('no final state of "%s" has the outcome "%s"', child, s.outcome),
         'a child that ends otherwise has failed', (s.place - 1)::text
  FROM known AS k, jsonb_array_elements_text(success) WITH ORDINALITY AS s (outcome, place)
  WHERE s.outcome <> 'cancelled'
    AND s.outcome NOT IN (SELECT f #>> '{}' FROM jsonb_path_query(k.document, '$.states.*.final') AS f)
$$;
COMMENT ON FUNCTION workflow._spawn_problems(text, text, jsonb, jsonb) IS
  'Inner: what is doubtful about the workflow of the children that a spawn state of a document names';

-- -------------------------------------------------------------------- ends

CREATE FUNCTION workflow._is_success(outcome text, success text[]) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN success IS NULL THEN outcome NOT IN ('failure', 'failed', 'error', 'cancelled', 'rejected')
              ELSE outcome = ANY (success) END
$$;
COMMENT ON FUNCTION workflow._is_success(text, text[]) IS
  'Inner: whether a child that ended so has succeeded; success are the outcomes that do, null for the usual';

CREATE FUNCTION workflow._child_end_placed() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_child_end_placed';
COMMENT ON FUNCTION workflow._child_end_placed() IS
  'Inner: notes that a child has ended, for the mark at which looks at such rows begin';

CREATE TRIGGER "~workflow_placed" BEFORE INSERT ON workflow.child_end
  FOR EACH ROW EXECUTE FUNCTION workflow._child_end_placed();
COMMENT ON TRIGGER "~workflow_placed" ON workflow.child_end IS 'Who looks for ended children begins no later than at this one';
ALTER TABLE workflow.child_end ENABLE ALWAYS TRIGGER "~workflow_placed";

-- ------------------------------------------------------------------ results

-- What a state stores: each child in the order of the array, those that were not started included.
CREATE FUNCTION workflow._spawn_results(item bigint, seq int, selector text) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_build_object('total', s.total, 'succeeded', s.succeeded, 'failed', s.ended - s.succeeded, 'results', coalesce(
    (SELECT jsonb_agg(jsonb_build_object('index', n.index, 'item_id', i.item_id, 'key', i.key, 'state', i.state, 'outcome', i.outcome)
                      || CASE WHEN selector IS NULL THEN '{}'
                              ELSE jsonb_build_object('data', workflow._select(selector, i.data)) END
                      ORDER BY n.index)
     FROM generate_series(0, s.total - 1) AS n (index)
     LEFT JOIN workflow.item AS i ON i.parent_id = item AND i.parent_seq = _spawn_results.seq AND i.parent_index = n.index), '[]'))
  FROM workflow.spawn AS s WHERE s.item_id = item AND s.seq = _spawn_results.seq
$$;
COMMENT ON FUNCTION workflow._spawn_results(bigint, int, text) IS
  'Inner: what the children of a visit of a spawn state came to';

-- Why too few of them can succeed.
CREATE FUNCTION workflow._spawn_failure(item bigint, seq int) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN s.total < s.needed THEN format('%s of %s children have to succeed', s.needed, s.total)
              ELSE format('%s of %s children failed, and %s have to succeed', s.ended - s.succeeded, s.total, s.needed)
                || coalesce((SELECT format('; the first one, %s:%s, ended as "%s"', i.workflow, i.key, i.outcome) FROM workflow.item AS i
                             WHERE i.parent_id = item AND i.parent_seq = _spawn_failure.seq AND NOT workflow._is_success(i.outcome, s.success)
                             ORDER BY i.parent_index LIMIT 1), '') END
  FROM workflow.spawn AS s WHERE s.item_id = item AND s.seq = _spawn_failure.seq
$$;
COMMENT ON FUNCTION workflow._spawn_failure(bigint, int) IS
  'Inner: why the children of a visit of a spawn state cannot succeed any more, in words';

-- ---------------------------------------------------------------- children

CREATE FUNCTION workflow._children(caller text, item bigint)
RETURNS TABLE (seq int, parent_state text, index int, item_id bigint, workflow text, version int, key text, state text,
               since timestamptz, outcome text, succeeded boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM workflow._item_id(item::text);    -- raises WF012
  RETURN QUERY
    SELECT c.parent_seq, t.to_state, c.parent_index, c.item_id, c.workflow, c.version, c.key, c.state, c.since, c.outcome,
           workflow._is_success(c.outcome, s.success)
    FROM workflow.item AS c
    LEFT JOIN workflow.spawn AS s ON s.item_id = c.parent_id AND s.seq = c.parent_seq
    LEFT JOIN workflow.transition AS t ON t.item_id = c.parent_id AND t.seq = c.parent_seq
    WHERE c.parent_id = item
    ORDER BY c.parent_seq, c.parent_index;
END
$$;
COMMENT ON FUNCTION workflow._children(text, bigint) IS 'Inner: workflow.children()';

CREATE FUNCTION workflow.children(item bigint)
RETURNS TABLE (seq int, parent_state text, index int, item_id bigint, workflow text, version int, key text, state text,
               since timestamptz, outcome text, succeeded boolean)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.children(bigint) IS
  'The items that the spawn states of an item have started, by visit and place in the array';

CREATE FUNCTION workflow.children(item text)
RETURNS TABLE (seq int, parent_state text, index int, item_id bigint, workflow text, version int, key text, state text,
               since timestamptz, outcome text, succeeded boolean)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.children(text) IS
  'The same, of the item workflow:key';
