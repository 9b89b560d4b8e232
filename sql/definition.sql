--
-- definition: documents, their versions, and the pictures of them.
--

-- ------------------------------------------------------------------- definer

-- A name may be somebody else's later, after DROP ROLE and CREATE ROLE; rights
-- are those of the role that had it when the row was written or restored.
CREATE FUNCTION workflow._bind_definer() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  NEW.definer_oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.definer);
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION workflow._bind_definer() IS
  'Inner: notes which role a definer''s name means';

CREATE TRIGGER bind_definer BEFORE INSERT OR UPDATE OF definer ON workflow.workflow
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_definer();
CREATE TRIGGER bind_definer BEFORE INSERT OR UPDATE OF definer ON workflow.definition
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_definer();

-- -------------------------------------------------------------------- cache

CREATE FUNCTION workflow._definition_changed() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_definition_changed';
COMMENT ON FUNCTION workflow._definition_changed() IS
  'Inner: makes every session read anew what it keeps of definitions and pauses';

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON workflow.definition
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._definition_changed();
ALTER TABLE workflow.definition ENABLE ALWAYS TRIGGER changed;

CREATE TRIGGER changed AFTER INSERT OR UPDATE OF workflow, paused_at OR DELETE OR TRUNCATE ON workflow.workflow
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._definition_changed();
COMMENT ON TRIGGER changed ON workflow.workflow IS 'Sessions keep what they know of a pause until it changes';
ALTER TABLE workflow.workflow ENABLE ALWAYS TRIGGER changed;

-- ------------------------------------------------------------------ endpoints

-- What an unknown outcome leads to at an endpoint: resend, probe (it is looked up) or hold.
CREATE FUNCTION workflow._on_unknown(options text[]) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'on_unknown'),
                  CASE WHEN bool_or(o.option_name = 'dedup' AND o.option_value <> 'none') THEN 'resend'
                       WHEN bool_or(o.option_name = 'lookup_path') THEN 'probe'
                       ELSE 'hold' END)
  FROM pg_options_to_table(options) AS o
$$;
COMMENT ON FUNCTION workflow._on_unknown(text[]) IS
  'Inner: what an unknown outcome leads to at an endpoint with these options: resend, probe or hold';

-- --------------------------------------------------------------------- queues

-- The columns of a queue that the options of a document say.
CREATE FUNCTION workflow._queue_from_options(
  name text, options jsonb, defined_by text) RETURNS workflow.queue
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  queue workflow.queue;
BEGIN
  queue.queue := name;
  queue.defined_by := defined_by;
  RETURN workflow._queue_with(queue, options);
END
$$;
COMMENT ON FUNCTION workflow._queue_from_options(text, jsonb, text) IS
  'Inner: a row of workflow.queue as options describe it';

-- What keeps a definer from describing a queue so: somebody else described it otherwise.
CREATE FUNCTION workflow._queue_conflict(name text, options jsonb, defined_by text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stored workflow.queue;
  wanted workflow.queue := workflow._queue_from_options(name, options, defined_by);
  differs text;
BEGIN
  SELECT * INTO stored FROM workflow.queue AS q WHERE q.queue = name;
  IF NOT FOUND OR stored.defined_by = defined_by THEN
    RETURN NULL;
  END IF;
  SELECT string_agg(key, ', ' ORDER BY key) INTO differs
  FROM jsonb_each(workflow._queue_options(wanted)) AS w
  FULL JOIN jsonb_each(workflow._queue_options(stored)) AS s USING (key)
  WHERE w.value IS DISTINCT FROM s.value AND options ? key;
  IF differs IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN format('queue "%s" was defined by %s with another %s', name, stored.defined_by, differs);
END
$$;
COMMENT ON FUNCTION workflow._queue_conflict(text, jsonb, text) IS
  'Inner: why a queue cannot be described so, because others described it otherwise; null when it can';

-- Creates a queue, or changes one that the same definer created; others' stay as they are.
CREATE FUNCTION workflow._ensure_queue(name text, options jsonb, defined_by text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted workflow.queue := workflow._queue_from_options(name, options, defined_by);
  problem text;
BEGIN
  PERFORM FROM workflow.queue AS q WHERE q.queue = name FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM workflow._put_queue(wanted);
  ELSIF EXISTS (SELECT FROM workflow.queue AS q WHERE q.queue = name AND q.defined_by = wanted.defined_by
                AND workflow._queue_differences(q, wanted) IS NOT NULL) THEN
    PERFORM workflow._change_queue(wanted);
  END IF;

  problem := workflow._queue_conflict(name, options, defined_by);
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION '%', problem
      USING ERRCODE = 'duplicate_object',
            DETAIL = 'Queues are shared by name.',
            HINT = 'Use the queue as it is, or choose another name.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._ensure_queue(text, jsonb, text) IS
  'Inner: creates a queue of a document, or changes one of its own; refuses to change that of others';

-- -------------------------------------------------------------------- storing

-- Refuses a role that is no member of the role that defined the first version.
CREATE FUNCTION workflow._require_definer(name text, definer text, verb text DEFAULT 'define a version of') RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  first_definer text;
  first_oid oid;
BEGIN
  SELECT w.definer, w.definer_oid INTO first_definer, first_oid
  FROM workflow.workflow AS w WHERE w.workflow = name;
  IF NOT FOUND
     OR EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = definer AND r.rolsuper)
     OR EXISTS (SELECT FROM pg_roles AS r
                WHERE r.oid = first_oid AND pg_has_role(definer, r.oid, 'MEMBER')) THEN
    RETURN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = first_oid) THEN
    RAISE EXCEPTION 'role "%" may not % workflow "%"', definer, verb, name
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('Role "%s", who defined its first version, was dropped; one of the same name is another role.', first_definer),
            HINT = format('A superuser decides whose it is now: UPDATE workflow.workflow SET definer = %L WHERE workflow = %L', definer, name);
  END IF;
  RAISE EXCEPTION 'role "%" may not % workflow "%"', definer, verb, name
    USING ERRCODE = 'insufficient_privilege',
          DETAIL = format('Its first version was defined by "%s"; %s membership in that role.', first_definer,
                          CASE WHEN verb LIKE 'define %' THEN 'later ones need' ELSE 'that needs' END),
          HINT = format('GRANT %I TO %I', first_definer, definer);
END
$$;
COMMENT ON FUNCTION workflow._require_definer(text, text, text) IS
  'Inner: refuses a role that may not define, activate, retire or migrate versions of a workflow';

-- Creates what a document describes under "queues"; what others described stays.
CREATE FUNCTION workflow._ensure_queues(document jsonb, owner text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT count(workflow._ensure_queue(q.key, jsonb_build_object('owner', owner) || q.value,
                                      'workflow:' || (document ->> 'workflow')))
  FROM (SELECT * FROM jsonb_each(document -> 'queues') AS e ORDER BY e.key) AS q
  WHERE NOT EXISTS (SELECT FROM workflow.queue AS s
                    WHERE s.queue = q.key AND s.defined_by <> 'workflow:' || (document ->> 'workflow'))
$$;
COMMENT ON FUNCTION workflow._ensure_queues(jsonb, text) IS
  'Inner: creates the queues of a document';

-- Who deploys an old document again may expect new items to follow it.
CREATE FUNCTION workflow._mention_inactive(name text, version int) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  active int;
  is_retired boolean;
BEGIN
  SELECT w.active_version, w.retired_at IS NOT NULL INTO active, is_retired
  FROM workflow.workflow AS w WHERE w.workflow = name;
  IF is_retired OR active IS DISTINCT FROM version THEN
    RAISE NOTICE 'version % of workflow "%" is stored already and is not the active one', version, name
      USING DETAIL = CASE WHEN is_retired THEN 'The workflow is retired.' ELSE format('New items get version %s.', active) END,
            HINT = format('SELECT workflow.activate(%L, %s) lets new items have it.', name, version);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._mention_inactive(text, int) IS
  'Inner: says so where new items do not get a version';

-- Concurrent calls for one workflow take turns on its row of workflow.workflow.
CREATE FUNCTION workflow._store_definition(
  definer text, name text, document json, functions jsonb, OUT version int, OUT created boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  content bytea := sha256(convert_to(document::jsonb::text, 'UTF8'));
  owner text := coalesce(document ->> 'owner', definer);
BEGIN
  created := false;
  SELECT d.version INTO version FROM workflow.definition AS d
  WHERE d.workflow = name AND d.hash = content;
  IF FOUND THEN
    PERFORM workflow._mention_inactive(name, version);
    RETURN;
  END IF;

  PERFORM workflow._ensure_cluster();
  INSERT INTO workflow.workflow AS w (workflow, owner, definer) VALUES (name, owner, definer)
  ON CONFLICT DO NOTHING;
  PERFORM FROM workflow.workflow AS w WHERE w.workflow = name FOR UPDATE;
  PERFORM workflow._require_definer(name, definer);
  SELECT d.version INTO version FROM workflow.definition AS d
  WHERE d.workflow = name AND d.hash = content;
  IF FOUND THEN
    RETURN;
  END IF;

  SELECT coalesce(max(d.version), 0) + 1 INTO version
  FROM workflow.definition AS d WHERE d.workflow = name;
  INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner, functions, budget)
  VALUES (name, version, content, document, definer, owner, functions, document::jsonb -> 'budget');
  UPDATE workflow.workflow AS w SET owner = owner, active_version = version, retired_at = NULL WHERE w.workflow = name;
  PERFORM workflow._ensure_queues(document::jsonb, owner);
  PERFORM workflow._hold_queues(document::jsonb);
  created := true;
END
$$;
COMMENT ON FUNCTION workflow._store_definition(text, text, json, jsonb) IS
  'Inner: stores a checked document as the next version, unless its content is stored already';

CREATE FUNCTION workflow.define(
  document json, OUT workflow text, OUT version int, OUT created boolean)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_define';
COMMENT ON FUNCTION workflow.define(json) IS
  'Checks a document whole, stores it as the next version of its workflow and creates its queues; the same content gives the same version';

-- -------------------------------------------------------------------- reading

-- The version asked for, or the latest; WF012 when there is none.
CREATE FUNCTION workflow._definition(name text, version int) RETURNS workflow.definition
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stored workflow.definition;
BEGIN
  SELECT d.* INTO stored FROM workflow.definition AS d
  WHERE d.workflow = name AND (d.version = _definition.version OR _definition.version IS NULL)
  ORDER BY d.version DESC LIMIT 1;
  IF stored.workflow IS NULL THEN
    RAISE EXCEPTION 'workflow "%" %', name,
        CASE WHEN version IS NULL THEN 'does not exist' ELSE format('has no version %s', version) END
      USING ERRCODE = 'WF012',
            DETAIL = coalesce((SELECT 'Versions that exist: ' || string_agg(d.version::text, ', ' ORDER BY d.version) || '.'
                               FROM workflow.definition AS d WHERE d.workflow = name),
                              'No version of it is stored.'),
            HINT = CASE
              WHEN EXISTS (SELECT FROM workflow.definition AS d WHERE d.workflow = name)
                THEN format('SELECT version, active FROM workflow.versions WHERE workflow = %L; shows them, to operators, designers and monitors.', name)
              WHEN EXISTS (SELECT FROM workflow.draft AS d WHERE d.workflow = name)
                THEN format('There is a draft of it: SELECT * FROM workflow.publish(%L); makes it a version.', name)
              ELSE workflow._nearest('workflow', name) || 'SELECT workflow, version, active FROM workflow.versions; shows what there is, to operators, designers and monitors.' END;
  END IF;
  RETURN stored;
END
$$;
COMMENT ON FUNCTION workflow._definition(text, int) IS
  'Inner: a stored version, by default the latest; WF012 when there is none';

CREATE FUNCTION workflow.document(name text, version int DEFAULT NULL) RETURNS json
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.document(text, int) IS
  'The document of a version of a workflow, as it was defined; by default the latest';

CREATE FUNCTION workflow._document(caller text, name text, version int) RETURNS json
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT d.document FROM workflow._definition(name, version) AS d
$$;
COMMENT ON FUNCTION workflow._document(text, text, int) IS
  'Inner: workflow.document()';

-- ------------------------------------------------------------------ templates

CREATE FUNCTION workflow._render(template jsonb, data jsonb) RETURNS jsonb
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_sql_render';
COMMENT ON FUNCTION workflow._render(jsonb, jsonb) IS
  'Inner: a body with its selectors and placeholders filled in';

CREATE FUNCTION workflow._select(selector text, data jsonb) RETURNS jsonb
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_sql_select';
COMMENT ON FUNCTION workflow._select(text, jsonb) IS
  'Inner: the one value that a selector finds, or null';

CREATE FUNCTION workflow._render_text(template text, data jsonb) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_sql_render_text';
COMMENT ON FUNCTION workflow._render_text(text, jsonb) IS
  'Inner: a text with its placeholders filled in';

CREATE FUNCTION workflow._render_path(template text, data jsonb) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_sql_render_path';
COMMENT ON FUNCTION workflow._render_path(text, jsonb) IS
  'Inner: a path with its placeholders filled in, percent-encoded';

CREATE FUNCTION workflow._template_problem(template text) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_sql_template_problem';
COMMENT ON FUNCTION workflow._template_problem(text) IS
  'Inner: why a string with selectors is none that can be rendered; null when it can';

CREATE FUNCTION workflow._render_key(parts jsonb, data jsonb) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_sql_render_key';
COMMENT ON FUNCTION workflow._render_key(jsonb, jsonb) IS
  'Inner: the parts of a key, filled in, escaped and joined by colons';

CREATE FUNCTION workflow._render_action_key(key jsonb, data jsonb) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_sql_render_action_key';
COMMENT ON FUNCTION workflow._render_action_key(jsonb, jsonb) IS
  'Inner: the idempotency key of an action, of which no value may be empty';

-- --------------------------------------------------------------------- graphs

CREATE FUNCTION workflow._graph_states(
  name text, version int,
  OUT state text, OUT kind text, OUT queue text, OUT result_key text, OUT outcome text,
  OUT timeout_us bigint, OUT timeout_event text, OUT retry jsonb)
RETURNS SETOF record
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_graph_states';
COMMENT ON FUNCTION workflow._graph_states(text, int) IS
  'Inner: the states of a version as the engine reads them';

CREATE FUNCTION workflow._graph_transitions(
  name text, version int,
  OUT state text, OUT event text, OUT to_state text, OUT from_any boolean)
RETURNS SETOF record
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_graph_transitions';
COMMENT ON FUNCTION workflow._graph_transitions(text, int) IS
  'Inner: the transitions of a version as the engine reads them';

CREATE FUNCTION workflow._state_roads(name text, version int, state text, OUT event text, OUT to_state text, OUT from_any boolean)
RETURNS SETOF record
LANGUAGE C STRICT STABLE ROWS 5 AS 'MODULE_PATHNAME', 'wf_state_roads';
COMMENT ON FUNCTION workflow._state_roads(text, int, text) IS
  'Inner: the transitions of one state, its own first; to_state is null where it is @origin';

CREATE FUNCTION workflow._state_retry(name text, version int, state text) RETURNS jsonb
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_state_retry';
COMMENT ON FUNCTION workflow._state_retry(text, int, text) IS
  'Inner: the retry policy of a state; null where its activity needs none';

CREATE FUNCTION workflow._graph_work(name text, version int, OUT state text, OUT kind text, OUT activity jsonb)
RETURNS SETOF record
LANGUAGE C STRICT STABLE ROWS 10 AS 'MODULE_PATHNAME', 'wf_graph_work';
COMMENT ON FUNCTION workflow._graph_work(text, int) IS
  'Inner: the states of a version whose activity does something, and what is declared about it';

CREATE FUNCTION workflow._active_version(name text) RETURNS int
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_active_version';
COMMENT ON FUNCTION workflow._active_version(text) IS
  'Inner: the version that new items get; WF012 or WF008 when there is none';

CREATE FUNCTION workflow._event_possible_later(name text, version int, state text, event text) RETURNS boolean
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_event_possible';
COMMENT ON FUNCTION workflow._event_possible_later(text, int, text, text) IS
  'Inner: whether an event can still be handled by a state that comes after this one';
