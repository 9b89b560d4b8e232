--
-- check: the launch check of documents, and what it looks up in the catalog.
--

-- ------------------------------------------------------------------ functions

-- Where a text names a function f(bigint, jsonb) returns jsonb that a role may call.
CREATE FUNCTION workflow._resolve_function(
  definer text, name text, path text[],
  OUT qualified text, OUT problem text, OUT hint text,
  OUT writes_refused boolean, OUT runs_as text, OUT events jsonb)
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

  SELECT p.oid, p.prorettype, p.proretset, p.prokind, n.nspname, p.proname, p.prosecdef, p.proowner, p.prosrc,
         p.provolatile <> 'v' AND l.lanname IN ('sql', 'plpgsql')
           AND p.prosrc ~* '\m(insert\s+into|delete\s+from|merge\s+into|update\s+\S+\s+(as\s+\S+\s+)?set)\M' AS writes,
         n.oid = pg_my_temp_schema() OR pg_is_other_temp_schema(n.oid) AS is_temporary INTO func
  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
  WHERE p.proname = parts[cardinality(parts)]
    AND p.proargtypes = ARRAY['bigint'::regtype, 'jsonb'::regtype]::oidvector
    AND CASE WHEN cardinality(parts) = 2 THEN n.nspname = parts[1] ELSE n.nspname = ANY (path) END
  ORDER BY array_position(path, n.nspname::text) LIMIT 1;

  IF NOT FOUND THEN
    problem := format('there is no function %s(bigint, jsonb)', name)
      || coalesce((SELECT format(', only %s', string_agg(o.name, ', ' ORDER BY o.name))
                   FROM (SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
                         WHERE p.proname = parts[cardinality(parts)] AND (cardinality(parts) = 1 OR n.nspname = parts[1])
                         ORDER BY p.oid LIMIT 3) AS o (name)
                   HAVING count(*) > 0), '');
    hint := coalesce(workflow._did_you_mean(name, ARRAY(
        SELECT CASE cardinality(parts) WHEN 1 THEN quote_ident(p.proname) ELSE format('%I.%I', n.nspname, p.proname) END
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE p.proargtypes = ARRAY['bigint'::regtype, 'jsonb'::regtype]::oidvector AND p.prorettype = 'jsonb'::regtype
          AND p.prokind = 'f' AND n.nspname NOT LIKE 'pg\_%' AND (cardinality(parts) = 2 OR n.nspname = ANY (path))
        ORDER BY 1 LIMIT 1000)),
      format('create it: CREATE FUNCTION %s(item_id bigint, data jsonb) RETURNS jsonb', name));
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
    writes_refused := func.writes;
    events := (SELECT jsonb_agg(DISTINCT coalesce(m[1], m[2]))
               FROM regexp_matches(func.prosrc, $re$'event'\s*,\s*'([^'\s]+)'|"event"\s*:\s*"([^"\s]+)"$re$, 'g') AS m);
    runs_as := (SELECT r.rolname FROM pg_roles AS r
                WHERE func.prosecdef AND r.oid = func.proowner AND r.rolname <> definer);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._resolve_function(text, text, text[]) IS
  'Inner: the full name of an sql activity''s function, or what is wrong with it; whether it writes although it is marked otherwise, as whom it runs if not as the definer, and the events that its text names';

-- ------------------------------------------------------------------ endpoints

-- What an endpoint says of itself, or what keeps a role from using it.
CREATE FUNCTION workflow._look_up_endpoint(
  definer text, name text,
  OUT dedup text, OUT owner text, OUT code text, OUT problem text, OUT hint text, OUT on_unknown text,
  OUT timeout text)
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
         max(o.option_value) FILTER (WHERE o.option_name = 'owner'),
         max(o.option_value) FILTER (WHERE o.option_name = 'timeout')
  INTO dedup, owner, timeout FROM pg_options_to_table(server.srvoptions) AS o;
  on_unknown := workflow._on_unknown(server.srvoptions);
END
$$;
COMMENT ON FUNCTION workflow._look_up_endpoint(text, text) IS
  'Inner: how an endpoint treats a second copy and whose it is, or why a role cannot use it';

-- ------------------------------------------------------------------- checking

CREATE FUNCTION workflow._document_faults(
  document json, definer text, functions jsonb,
  OUT severity text, OUT code text, OUT state text, OUT path text, OUT problem text, OUT hint text,
  OUT consequence text)
RETURNS SETOF record
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_document_faults';
COMMENT ON FUNCTION workflow._document_faults(json, text, jsonb) IS
  'Inner: everything that the check of a document finds';

CREATE FUNCTION workflow.check(
  name text, version int DEFAULT NULL,
  OUT severity text, OUT code text, OUT state text, OUT problem text, OUT hint text,
  OUT path text, OUT consequence text)
RETURNS SETOF record
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.check(text, int) IS
  'What is wrong or doubtful in a version of a workflow, by default the latest, as the database is now';

CREATE FUNCTION workflow._check(
  caller text, name text, version int,
  OUT severity text, OUT code text, OUT state text, OUT problem text, OUT hint text,
  OUT path text, OUT consequence text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH d AS (
    SELECT d.*, (SELECT r.rolname FROM pg_roles AS r WHERE r.oid = d.definer_oid) AS present_name
    FROM workflow._definition(name, version) AS d
  )
  SELECT f.severity, f.code, f.state, f.path || ': ' || f.problem, f.hint, f.path, f.consequence
  FROM (
    SELECT 'error', 'no_definer', NULL, '$', format('role "%s", who defined this version, was dropped', d.definer),
           format('UPDATE workflow.definition SET definer = ''...'' WHERE workflow = %L AND version = %s, as a superuser',
                  d.workflow, d.version),
           'no activity of its items runs: there is nobody whose rights it could have', 0
    FROM d WHERE d.present_name IS NULL
    UNION ALL
    SELECT f.*
    FROM d, workflow._document_faults(d.document, coalesce(d.present_name, d.definer), d.functions) WITH ORDINALITY AS f
  ) AS f (severity, code, state, path, problem, hint, consequence, ordinality)
  WHERE f.code <> 'no_key' OR workflow._rows_only(name) IS NULL    -- rows of a table are not submitted
  ORDER BY array_position(ARRAY['error', 'warning', 'notice'], f.severity), f.ordinality
$$;
COMMENT ON FUNCTION workflow._check(text, text, int) IS
  'Inner: workflow.check()';
