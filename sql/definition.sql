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

-- ------------------------------------------------------------------ functions

-- Where a text names a function f(bigint, jsonb) returns jsonb that a role may call.
CREATE FUNCTION workflow._resolve_function(
  definer text, name text, path text[],
  OUT qualified text, OUT problem text, OUT hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parts text[];
  func record;
BEGIN
  BEGIN
    parts := parse_ident(name);
  EXCEPTION WHEN invalid_parameter_value THEN
    parts := NULL;
  END;
  IF parts IS NULL OR cardinality(parts) > 2 THEN
    problem := format('"%s" is not the name of a function', name);
    hint := 'write schema.function';
    RETURN;
  END IF;

  SELECT p.oid, p.prorettype, p.proretset, p.prokind, n.nspname, p.proname,
         n.oid = pg_my_temp_schema() OR pg_is_other_temp_schema(n.oid) AS is_temporary INTO func
  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
  WHERE p.proname = parts[cardinality(parts)]
    AND p.proargtypes = ARRAY['bigint'::regtype, 'jsonb'::regtype]::oidvector
    AND CASE WHEN cardinality(parts) = 2 THEN n.nspname = parts[1] ELSE n.nspname = ANY (path) END
  ORDER BY array_position(path, n.nspname::text) LIMIT 1;

  IF NOT FOUND THEN
    problem := format('there is no function %s(bigint, jsonb)', name);
    hint := format('create it: CREATE FUNCTION %s(item_id bigint, data jsonb) RETURNS jsonb', name);
  ELSIF func.prorettype <> 'jsonb'::regtype OR func.proretset OR func.prokind <> 'f' THEN
    problem := format('function %s(bigint, jsonb) does not return one jsonb', name);
    hint := 'let it return its result as jsonb';
  ELSIF func.is_temporary THEN
    problem := format('function %s(bigint, jsonb) is temporary', name);
    hint := 'create it in a schema that lasts';
  ELSIF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = definer) THEN
    qualified := format('%I.%I', func.nspname, func.proname);    -- the fault is no_definer
  ELSIF NOT has_schema_privilege(definer, func.nspname, 'USAGE') THEN
    problem := format('role "%s" may not use schema %I', definer, func.nspname);
    hint := format('GRANT USAGE ON SCHEMA %I TO %I', func.nspname, definer);
  ELSIF NOT has_function_privilege(definer, func.oid, 'EXECUTE') THEN
    problem := format('role "%s" may not execute function %s(bigint, jsonb)', definer, name);
    hint := format('GRANT EXECUTE ON FUNCTION %I.%I(bigint, jsonb) TO %I', func.nspname, func.proname, definer);
  ELSE
    qualified := format('%I.%I', func.nspname, func.proname);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._resolve_function(text, text, text[]) IS
  'Inner: the full name of an sql activity''s function, or what is wrong with it';

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

-- What an endpoint says of itself, or what keeps a role from using it.
CREATE FUNCTION workflow._look_up_endpoint(
  definer text, name text,
  OUT dedup text, OUT owner text, OUT code text, OUT problem text, OUT hint text, OUT on_unknown text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  server record;
BEGIN
  SELECT s.oid, s.srvoptions, w.fdwname INTO server
  FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
  WHERE s.srvname = name;
  IF NOT FOUND THEN
    code := 'missing_endpoint';
    problem := format('there is no endpoint "%s"', name);
    hint := format('CREATE SERVER %I FOREIGN DATA WRAPPER workflow_http OPTIONS (url ''https://...'', dedup ''...'')', name);
  ELSIF server.fdwname <> 'workflow_http' THEN
    code := 'missing_endpoint';
    problem := format('foreign server "%s" is of the wrapper "%s", hence no endpoint', name, server.fdwname);
    hint := 'CREATE SERVER ... FOREIGN DATA WRAPPER workflow_http makes an endpoint';
  ELSIF EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = definer AND NOT has_server_privilege(r.oid, server.oid, 'USAGE')) THEN
    code := 'endpoint_refused';
    problem := format('role "%s" may not use endpoint "%s"', definer, name);
    hint := format('GRANT USAGE ON FOREIGN SERVER %I TO %I', name, definer);
  ELSIF EXISTS (SELECT FROM pg_options_to_table(server.srvoptions) AS o WHERE o.option_name = 'url' AND o.option_value NOT LIKE 'https://%')
    AND NOT EXISTS (SELECT FROM pg_options_to_table(server.srvoptions) AS o WHERE o.option_name = 'allow_http' AND o.option_value::boolean) THEN
    code := 'endpoint_refused';
    problem := format('the url of endpoint "%s" is not https', name);
    hint := format('ALTER SERVER %I OPTIONS (ADD allow_http ''true'')', name);
  END IF;
  SELECT max(o.option_value) FILTER (WHERE o.option_name = 'dedup'),
         max(o.option_value) FILTER (WHERE o.option_name = 'owner')
  INTO dedup, owner FROM pg_options_to_table(server.srvoptions) AS o;
  on_unknown := workflow._on_unknown(server.srvoptions);
END
$$;
COMMENT ON FUNCTION workflow._look_up_endpoint(text, text) IS
  'Inner: how an endpoint treats a second copy and whose it is, or why a role cannot use it';

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
  SELECT string_agg(w.key, ', ' ORDER BY w.key) INTO differs
  FROM jsonb_each(to_jsonb(wanted)) AS w
  JOIN jsonb_each(to_jsonb(stored)) AS s ON s.key = w.key
  WHERE w.value IS DISTINCT FROM s.value
    AND CASE WHEN w.key LIKE 'rate\_%' THEN options ? 'rate_limit' ELSE options ? w.key END
    AND w.key = ANY (workflow._queue_columns());
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
CREATE FUNCTION workflow._require_definer(name text, definer text) RETURNS void
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
    RAISE EXCEPTION 'role "%" may not define a version of workflow "%"', definer, name
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('Role "%s", who defined its first version, was dropped; one of the same name is another role.', first_definer),
            HINT = format('A superuser decides whose it is now: UPDATE workflow.workflow SET definer = %L WHERE workflow = %L', definer, name);
  END IF;
  RAISE EXCEPTION 'role "%" may not define a version of workflow "%"', definer, name
    USING ERRCODE = 'insufficient_privilege',
          DETAIL = format('Its first version was defined by "%s"; later ones need membership in that role.', first_definer),
          HINT = format('GRANT %I TO %I', first_definer, definer);
END
$$;
COMMENT ON FUNCTION workflow._require_definer(text, text) IS
  'Inner: refuses a role that may not define versions of a workflow';

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
  INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner, functions)
  VALUES (name, version, content, document, definer, owner, functions);
  UPDATE workflow.workflow AS w SET owner = owner, active_version = version WHERE w.workflow = name;
  PERFORM workflow._ensure_queues(document::jsonb, owner);
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
            HINT = 'SELECT DISTINCT workflow FROM workflow.state_stats shows those that have items; workflow.document(name) the active version of one.';
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

CREATE FUNCTION workflow._document_faults(
  document json, definer text, functions jsonb,
  OUT severity text, OUT code text, OUT state text, OUT path text, OUT problem text, OUT hint text)
RETURNS SETOF record
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_document_faults';
COMMENT ON FUNCTION workflow._document_faults(json, text, jsonb) IS
  'Inner: everything that the check of a document finds';

CREATE FUNCTION workflow.check(
  name text, version int DEFAULT NULL,
  OUT severity text, OUT code text, OUT state text, OUT problem text, OUT hint text)
RETURNS SETOF record
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.check(text, int) IS
  'What is wrong or doubtful in a version of a workflow, by default the latest, as the database is now';

CREATE FUNCTION workflow._check(
  caller text, name text, version int,
  OUT severity text, OUT code text, OUT state text, OUT problem text, OUT hint text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH d AS (
    SELECT d.*, (SELECT r.rolname FROM pg_roles AS r WHERE r.oid = d.definer_oid) AS present_name
    FROM workflow._definition(name, version) AS d
  )
  SELECT f.severity, f.code, f.state, f.path || ': ' || f.problem, f.hint
  FROM (
    SELECT 'error', 'no_definer', NULL, '$', format('role "%s", who defined this version, was dropped', d.definer),
           format('UPDATE workflow.definition SET definer = ''...'' WHERE workflow = %L AND version = %s, as a superuser',
                  d.workflow, d.version), 0
    FROM d WHERE d.present_name IS NULL
    UNION ALL
    SELECT f.*
    FROM d, workflow._document_faults(d.document, coalesce(d.present_name, d.definer), d.functions) WITH ORDINALITY AS f
  ) AS f (severity, code, state, path, problem, hint, ordinality)
  ORDER BY array_position(ARRAY['error', 'warning', 'notice'], f.severity), f.ordinality
$$;
COMMENT ON FUNCTION workflow._check(text, text, int) IS
  'Inner: workflow.check()';

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

CREATE FUNCTION workflow._active_version(name text) RETURNS int
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_active_version';
COMMENT ON FUNCTION workflow._active_version(text) IS
  'Inner: the version that new items get; WF012 or WF008 when there is none';

CREATE FUNCTION workflow._event_possible_later(name text, version int, state text, event text) RETURNS boolean
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_event_possible';
COMMENT ON FUNCTION workflow._event_possible_later(text, int, text, text) IS
  'Inner: whether an event can still be handled by a state that comes after this one';

-- -------------------------------------------------------------------- diagram

-- A text as a label of Mermaid: what would end it is written as an entity.
CREATE FUNCTION workflow._mermaid_label(label text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT replace(replace(replace(replace(regexp_replace(label, '[\n\r\t]+', ' ', 'g'),
                                         '#', '#35;'), ';', '#59;'), ':', '#58;'), '"', '#34;')
$$;
COMMENT ON FUNCTION workflow._mermaid_label(text) IS
  'Inner: a text that can stand as a label in a Mermaid diagram';

-- The states of a document in its order, each with a name that Mermaid takes.
CREATE FUNCTION workflow._diagram_states(
  document json, OUT state text, OUT id text, OUT body json, OUT kind text, OUT ordinal bigint)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e.key,
         CASE WHEN e.key ~ '^[A-Za-z][A-Za-z0-9_]*$'
                   AND lower(e.key) NOT IN ('state', 'end', 'note', 'as', 'direction', 'class', 'classdef',
                                            'style', 'fork', 'join', 'choice', 'default', 'any_state', 'origin')
              THEN e.key ELSE 's' || e.ordinality END,
         e.value,
         coalesce((SELECT k.key FROM json_each(e.value) AS k
                   WHERE k.key IN ('sql', 'http', 'model', 'task', 'review', 'exception', 'wait', 'spawn',
                                   'gate', 'validate', 'then', 'activity', 'final')
                   ORDER BY k.key LIMIT 1), 'event'),
         e.ordinality
  FROM json_each(document -> 'states') WITH ORDINALITY AS e
$$;
COMMENT ON FUNCTION workflow._diagram_states(json) IS
  'Inner: the states of a document as a diagram shows them';

-- The lines of a Mermaid state diagram, in the order of the document.
CREATE FUNCTION workflow._mermaid(document json) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH state AS (SELECT * FROM workflow._diagram_states(document)),
  target AS (
    SELECT s.state, s.id FROM state AS s
    UNION ALL SELECT '@origin', 'origin'
    UNION ALL SELECT 'CANCELLED', 'CANCELLED' WHERE NOT EXISTS (SELECT FROM state AS s WHERE s.state = 'CANCELLED')
  ),
  edge AS (
    SELECT s.id AS from_id, t.id AS to_id, o.key AS event, s.ordinal, o.ordinality AS place
    FROM state AS s, json_each_text(s.body -> 'on') WITH ORDINALITY AS o JOIN target AS t ON t.state = o.value
    UNION ALL
    SELECT 'any_state', t.id, o.key, 1000000, o.ordinality
    FROM json_each_text(document #> '{any,on}') WITH ORDINALITY AS o JOIN target AS t ON t.state = o.value
  ),
  line AS (
    SELECT 0 AS part, 0::bigint AS ordinal, 0::bigint AS place, 'stateDiagram-v2' AS text
    UNION ALL
    SELECT 1, s.ordinal, 0, format('    state "%s" as %s', workflow._mermaid_label(s.state), s.id)
    FROM state AS s WHERE s.id <> s.state
    UNION ALL
    SELECT 1, 1000000, 0, '    state "any other state" as any_state' WHERE EXISTS (SELECT FROM edge WHERE from_id = 'any_state')
    UNION ALL
    SELECT 1, 1000001, 0, '    state "where it came from" as origin' WHERE EXISTS (SELECT FROM edge WHERE to_id = 'origin')
    UNION ALL
    SELECT 2, s.ordinal, 0, format('    %s : %s', s.id, workflow._mermaid_label(s.kind || coalesce(
             ' ' || coalesce(s.body #>> '{sql,function}', s.body ->> 'activity', s.body ->> 'final',
                             s.body #>> '{spawn,workflow}', s.body #>> '{http,endpoint}', s.body #>> '{model,endpoint}',
                             s.body #>> ARRAY[s.kind, 'queue']), '')))
    FROM state AS s WHERE s.kind NOT IN ('event', 'then')
    UNION ALL
    SELECT 3, 0, 0, '    [*] --> ' || s.id FROM state AS s WHERE s.state = document ->> 'initial'
    UNION ALL
    SELECT 4, e.ordinal, e.place, format('    %s --> %s : %s', e.from_id, e.to_id, workflow._mermaid_label(e.event))
    FROM edge AS e
    UNION ALL
    SELECT 5, s.ordinal, 0, format('    %s --> [*]', s.id) FROM state AS s WHERE s.kind = 'final'
  )
  SELECT string_agg(l.text, E'\n' ORDER BY l.part, l.ordinal, l.place) || E'\n' FROM line AS l
$$;
COMMENT ON FUNCTION workflow._mermaid(json) IS
  'Inner: the state diagram of a document as Mermaid text';

CREATE FUNCTION workflow.diagram(name text, version int DEFAULT NULL, format text DEFAULT 'mermaid') RETURNS text
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.diagram(text, int, text) IS
  'The picture of a version of a workflow, by default the latest, as Mermaid text';

CREATE FUNCTION workflow._diagram(caller text, name text, version int, format text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF format IS DISTINCT FROM 'mermaid' THEN
    RAISE EXCEPTION 'diagram format "%" is not supported', format
      USING ERRCODE = 'feature_not_supported',
            DETAIL = 'Diagrams are drawn as Mermaid text.',
            HINT = pg_catalog.format('SELECT workflow.diagram(%L)', name);
  END IF;
  RETURN (SELECT workflow._mermaid(d.document) FROM workflow._definition(name, version) AS d);
END
$$;
COMMENT ON FUNCTION workflow._diagram(text, text, int, text) IS
  'Inner: workflow.diagram()';
