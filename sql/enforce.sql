--
-- enforce: columns of users' own tables that are held to a workflow.
--
-- Two triggers on the table say all that the engine needs, so that they go with
-- the table into a dump and through renamings: one judges rows, and its
-- arguments are the enforcement, the table's name then, the workflow and the
-- version; one is disabled and names the columns.
--

CREATE FUNCTION workflow._enforced_row() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_enforced_row';
COMMENT ON FUNCTION workflow._enforced_row() IS
  'Inner: judges and logs a row of an enforced table as it was stored; workflow.enforce() makes the trigger';

CREATE FUNCTION workflow._enforced_columns() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_enforced_columns_trigger';
COMMENT ON FUNCTION workflow._enforced_columns() IS
  'Inner: does nothing; its trigger names the columns of an enforced table';

CREATE FUNCTION workflow._enforced_check_columns(relation regclass, state_column name, key_column name) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_enforced_check_columns';
COMMENT ON FUNCTION workflow._enforced_check_columns(regclass, name, name) IS
  'Inner: raises when these columns cannot hold a state and a key';

CREATE FUNCTION workflow._enforced_rows(relation regclass, state_column name, key_column name, skipped text[])
RETURNS TABLE (key text, state text)
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'wf_enforced_rows';
COMMENT ON FUNCTION workflow._enforced_rows(regclass, name, name, text[]) IS
  'Inner: the rows of a table, without those in the states that are to be skipped';

CREATE FUNCTION workflow._trigger_arguments(tgargs bytea) RETURNS text[]
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_trigger_arguments';
COMMENT ON FUNCTION workflow._trigger_arguments(bytea) IS
  'Inner: the arguments of a trigger as the catalog keeps them';

-- ------------------------------------------------------------------------ view

-- The triggers are found by the names of their functions: to depend on those
-- would give them to everybody who may read the view.
CREATE VIEW workflow.enforced AS
SELECT judge.tgrelid::regclass AS relation, s.attname AS state_column, k.attname AS key_column,
       a.arguments[3] AS workflow, a.arguments[4]::int AS version,
       s.attname IS NOT NULL AND e.enforcement_id IS NOT NULL AND NOT EXISTS (
         SELECT FROM pg_catalog.pg_trigger AS each
         WHERE each.tgfoid = judge.tgfoid AND each.tgargs = judge.tgargs AND each.tgenabled NOT IN ('O', 'A')
           AND (each.tgrelid = judge.tgrelid
                OR each.tgrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(judge.tgrelid) AS p)))
       AND NOT EXISTS (
         SELECT FROM pg_catalog.pg_inherits AS heir JOIN pg_catalog.pg_class AS c ON c.oid = heir.inhrelid
         WHERE heir.inhparent = judge.tgrelid AND NOT c.relispartition) AS works,
       e.enforced_by, e.enforced_at, a.arguments[1]::int AS enforcement_id
FROM pg_catalog.pg_trigger AS judge
JOIN pg_catalog.pg_proc AS j ON j.oid = judge.tgfoid
     AND j.proname = '_enforced_row' AND j.pronamespace = 'workflow'::regnamespace
CROSS JOIN LATERAL (SELECT workflow._trigger_arguments(judge.tgargs) AS arguments) AS a
LEFT JOIN (pg_catalog.pg_trigger AS columns
           JOIN pg_catalog.pg_proc AS f ON f.oid = columns.tgfoid
                AND f.proname = '_enforced_columns' AND f.pronamespace = 'workflow'::regnamespace)
       ON columns.tgrelid = judge.tgrelid
      AND (workflow._trigger_arguments(columns.tgargs))[1] = a.arguments[1]
LEFT JOIN pg_catalog.pg_attribute AS s ON s.attrelid = columns.tgrelid AND s.attnum = columns.tgattr[0]
LEFT JOIN pg_catalog.pg_attribute AS k ON k.attrelid = columns.tgrelid AND k.attnum = columns.tgattr[1]
LEFT JOIN workflow.enforcement AS e ON e.enforcement_id = a.arguments[1]::int AND e.relation = a.arguments[2]
WHERE judge.tgparentid = 0 AND judge.tgnargs = 4;
COMMENT ON VIEW workflow.enforced IS
  'Columns of users'' tables that are held to a workflow, each to one version';
COMMENT ON COLUMN workflow.enforced.works IS
  'False when somebody has disabled its trigger, has dropped one of the columns, has let another table inherit from it, or has restored the table without its record';

-- --------------------------------------------------------------------- checks

-- Raises unless the caller owns the table.
CREATE FUNCTION workflow._require_table_owner(caller text, relation regclass) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  owner name := (SELECT r.rolname FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
                 WHERE c.oid = relation);
BEGIN
  IF owner IS NULL THEN
    RAISE EXCEPTION 'table % does not exist', relation
      USING ERRCODE = 'undefined_table',
            DETAIL = 'Somebody has dropped it.',
            HINT = 'SELECT relation FROM workflow.enforced shows the tables that are held to a workflow.';
  ELSIF NOT pg_has_role(caller, owner, 'USAGE') THEN
    RAISE EXCEPTION 'must be owner of table %', relation
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('It belongs to "%s", and "%s" is not a member of that role.', owner, caller),
            HINT = format('SET ROLE %I, or let that role call the function.', owner);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_table_owner(text, regclass) IS
  'Inner: raises unless the caller owns a table';

-- Raises where an old snapshot would not show what others have committed since:
-- rows in states that the workflow has not.
CREATE FUNCTION workflow._require_fresh_snapshots(what text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
    RAISE EXCEPTION '% does not work in a transaction of isolation level %', what, current_setting('transaction_isolation')
      USING ERRCODE = 'active_sql_transaction',
            DETAIL = 'Its snapshot may be older than rows that others have committed since.',
            HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED;';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_fresh_snapshots(text) IS
  'Inner: raises in REPEATABLE READ and SERIALIZABLE';

-- Raises unless the rows of a table can be judged by a trigger.
CREATE FUNCTION workflow._require_enforceable(relation regclass) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  class record;
  problem text;
  cure text;
BEGIN
  SELECT c.relkind, c.relispartition, c.relnamespace,
         EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid) AS has_children
    INTO class FROM pg_class AS c WHERE c.oid = relation;
  IF class.relkind NOT IN ('r', 'p') THEN
    RAISE EXCEPTION '% is not a table', relation
      USING ERRCODE = 'wrong_object_type',
            DETAIL = 'A workflow is enforced on the rows that a table of this database stores.',
            HINT = 'Name the table itself, not a view or a foreign table of it.';
  ELSIF class.relnamespace IN ('workflow'::regnamespace, 'pg_catalog'::regnamespace) THEN
    RAISE EXCEPTION '% is not a table of yours', relation
      USING ERRCODE = 'wrong_object_type',
            DETAIL = 'It belongs to the server or to pg_workflow.',
            HINT = 'workflow.submit() keeps items whose states are enforced already.';
  ELSIF class.relispartition THEN
    problem := format('%s is a partition', relation);
    cure := format('SELECT workflow.enforce(%L, ...); holds all partitions to the workflow.',
                   (SELECT p.relid FROM pg_partition_tree(pg_partition_root(relation)) AS p WHERE p.level = 0));
  ELSIF class.relkind = 'r' AND class.has_children THEN
    problem := format('%s has tables that inherit from it', relation);
    cure := 'Triggers are not inherited: enforce those tables, or make them partitions.';
  ELSIF EXISTS (SELECT FROM pg_partition_tree(relation) AS p JOIN pg_class AS c ON c.oid = p.relid WHERE c.relkind = 'f') THEN
    problem := format('%s has partitions that are foreign tables', relation);
    cure := 'ALTER TABLE ... DETACH PARTITION ...;';
  END IF;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION '%', problem
      USING ERRCODE = 'feature_not_supported',
            DETAIL = 'Rows would pass from or to tables whose rows are not judged.',
            HINT = cure;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_enforceable(regclass) IS
  'Inner: raises unless the rows of a relation can be held to a workflow';

-- Raises where something would have to happen by itself, which needs an item.
CREATE FUNCTION workflow._require_passive(workflow text, version int) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  active text := (SELECT string_agg(format('%s (%s)', s.state,
                                           CASE WHEN s.kind IN ('none', 'final') THEN 'timeout' ELSE s.kind END), ', ')
                  FROM workflow._graph_states(workflow, version) AS s
                  WHERE s.kind NOT IN ('none', 'final') OR s.timeout_us IS NOT NULL);
BEGIN
  IF active IS NOT NULL THEN
    RAISE EXCEPTION 'workflow "%" does something by itself', workflow
      USING ERRCODE = 'feature_not_supported',
            DETAIL = format('In version %s: %s. Rows of a table are no items: nothing would run for them.', version, active),
            HINT = 'Define a workflow whose states have only "on" and "final", or submit items.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_passive(text, int) IS
  'Inner: raises when states of a version have activities or timeouts';

-- The states that rows of a version can be in: those that its document declares, and the built-in
-- CANCELLED where a transition leads there.
CREATE FUNCTION workflow._row_states(name text, version int) RETURNS SETOF text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT k.state FROM workflow.definition AS d, json_object_keys(d.document -> 'states') AS k (state)
  WHERE d.workflow = name AND d.version = _row_states.version
  UNION ALL
  SELECT 'CANCELLED' FROM workflow.definition AS d
  WHERE d.workflow = name AND d.version = _row_states.version AND d.document::jsonb #> '{states,CANCELLED}' IS NULL
    AND (d.document::jsonb @? '$.states.*.on.* ? (@ == "CANCELLED")' OR d.document::jsonb @? '$.any.on.* ? (@ == "CANCELLED")')
$$;
COMMENT ON FUNCTION workflow._row_states(text, int) IS 'Inner: the states of a version that rows can be in';

-- Raises when rows are in none of the states.
CREATE FUNCTION workflow._require_known_states(relation regclass, state_column name, key_column name, workflow text, version int)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  states text[] := ARRAY(SELECT s.state FROM workflow._row_states(workflow, version) AS s (state));
  nstray bigint;
  samples text;
BEGIN
  SELECT sum(g.n), string_agg(format('%s: %s (such as key %s)', coalesce('"' || g.state || '"', 'null'), g.n, g.sample), ', '
                              ORDER BY g.n DESC, g.state)
           FILTER (WHERE g.place <= 5)
    INTO nstray, samples
  FROM (SELECT r.state, count(*) AS n, coalesce(min(r.key COLLATE "C"), 'null') AS sample,
               row_number() OVER (ORDER BY count(*) DESC, r.state) AS place
        FROM workflow._enforced_rows(relation, state_column, key_column, states) AS r GROUP BY r.state) AS g;
  IF nstray > 0 THEN
    RAISE EXCEPTION 'rows of % are in no state of workflow "%": %', relation, workflow, nstray
      USING ERRCODE = 'check_violation',
            DETAIL = format('In column "%s": %s. States of version %s: %s.', state_column, samples, version,
                            array_to_string(states, ', ')),
            HINT = 'Give those rows a state of the workflow, or define it with theirs.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_known_states(regclass, name, name, text, int) IS
  'Inner: raises when rows of a table are in no state of a version';

-- Warns when rows could share a key, and with it a log.
CREATE FUNCTION workflow._warn_of_shared_keys(relation regclass, key_column name) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  column_no smallint := (SELECT a.attnum FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attname = key_column);
BEGIN
  IF NOT EXISTS (SELECT FROM pg_index AS i
                 WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                   AND (i.indkey[0] = column_no AND i.indnkeyatts = 1
                        OR column_no = ANY (i.indkey) AND EXISTS (
                          SELECT FROM pg_partitioned_table AS p WHERE p.partrelid = relation))) THEN
    RAISE WARNING 'column "%" of % is not unique', key_column, relation
      USING DETAIL = 'Rows of the same key share a log.',
            HINT = 'Make it the primary key or UNIQUE, or name a column that is.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._warn_of_shared_keys(regclass, name) IS
  'Inner: warns when no index keeps the keys of a table apart';

-- Warns when no row can ever be in a state, since the column is of an enum without it.
CREATE FUNCTION workflow._warn_of_missing_labels(relation regclass, state_column name, workflow text, version int)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  enum regtype := (SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
                   FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
                   WHERE a.attrelid = relation AND a.attname = state_column);
  missing text[] := ARRAY(SELECT s.state FROM workflow._row_states(workflow, version) AS s (state)
                          WHERE s.state NOT IN (SELECT e.enumlabel FROM pg_enum AS e WHERE e.enumtypid = enum));
BEGIN
  IF missing <> '{}' AND EXISTS (SELECT FROM pg_type AS t WHERE t.oid = enum AND t.typtype = 'e') THEN
    RAISE WARNING 'no row of % can be in state %', relation, (SELECT string_agg(format('"%s"', s), ', ') FROM unnest(missing) AS s)
      USING DETAIL = format('Column "%s" is of the enum %s, which has no such label.', state_column, enum),
            HINT = (SELECT string_agg(format('ALTER TYPE %s ADD VALUE %L;', enum, s), ' ') FROM unnest(missing) AS s);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._warn_of_missing_labels(regclass, name, text, int) IS
  'Inner: warns when states of a version are no labels of the enum that a column is of';

-- -------------------------------------------------------------------- enforce

-- Takes the triggers of an enforcement off.
CREATE FUNCTION workflow._drop_enforcing(relation regclass, enforcement_id int) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  trigger_name name;
BEGIN
  FOR trigger_name IN
    SELECT t.tgname FROM pg_trigger AS t
    WHERE t.tgrelid = relation AND t.tgparentid = 0
      AND t.tgfoid IN ('workflow._enforced_row'::regproc, 'workflow._enforced_columns'::regproc)
      AND (workflow._trigger_arguments(t.tgargs))[1] = enforcement_id::text
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', trigger_name, relation);
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._drop_enforcing(regclass, int) IS
  'Inner: drops the triggers of an enforcement';

CREATE FUNCTION workflow._make_enforcing(relation regclass, held workflow.enforcement, version int) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  judge name := ' workflow_judge_' || held.enforcement_id;
  columns name := 'workflow_columns_' || held.enforcement_id;
  moves text := CASE WHEN EXISTS (SELECT FROM pg_partitioned_table AS p WHERE p.partrelid = relation)
                     THEN 'INSERT OR UPDATE OR DELETE' ELSE 'INSERT OR UPDATE' END;
BEGIN
  EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH ROW EXECUTE FUNCTION workflow._enforced_row(%L, %L, %L, %L)',
                 judge, moves, relation, held.enforcement_id, held.relation, held.workflow, version);
  EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', judge, relation,
                 format('Holds column %s to workflow %s; made by workflow.enforce()', held.state_column, held.workflow));
  EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OF %I, %I ON %s FOR EACH STATEMENT EXECUTE FUNCTION workflow._enforced_columns(%L)',
                 columns, held.state_column, held.key_column, relation, held.enforcement_id);
  EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', relation, columns);
  EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', columns, relation,
                 'Never fires: names the columns of state and key for workflow.enforce()');
END
$$;
COMMENT ON FUNCTION workflow._make_enforcing(regclass, workflow.enforcement, int) IS
  'Inner: makes the triggers of an enforcement';

-- The enforcement that is to hold a column: the present one, or a new one that
-- goes on where an earlier one of the same table was ended.
CREATE FUNCTION workflow._enforcement_for(caller text, relation regclass, state_column name, workflow text, key_column name)
RETURNS workflow.enforcement LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present workflow.enforced;
  held workflow.enforcement;
BEGIN
  SELECT e.* INTO present FROM workflow.enforced AS e WHERE e.relation = relation AND e.state_column = state_column;
  IF present.workflow <> workflow OR present.key_column <> key_column THEN
    RAISE EXCEPTION 'column "%" of % is held to workflow "%" by key column "%"', state_column, relation,
                    present.workflow, present.key_column
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('Since %s, by %s.', present.enforced_at, present.enforced_by),
            HINT = format('SELECT workflow.unenforce(%L); ends that.', relation);
  END IF;
  UPDATE workflow.enforcement AS e SET state_column = state_column, key_column = key_column
  WHERE e.enforcement_id = present.enforcement_id RETURNING * INTO held;
  IF held.enforcement_id IS NULL THEN
    INSERT INTO workflow.enforcement (relation, state_column, key_column, workflow, enforced_by, enforced_at, continues)
    VALUES ((SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE c.oid = relation),
            state_column, key_column, workflow, caller, clock_timestamp(),
            (SELECT max(e.enforcement_id) FROM workflow.enforcement AS e
             WHERE e.ended_oid = relation::oid AND e.state_column = state_column))
    RETURNING * INTO held;
  END IF;
  RETURN held;
END
$$;
COMMENT ON FUNCTION workflow._enforcement_for(text, regclass, name, text, name) IS
  'Inner: the row of workflow.enforcement for a column, found or made';

CREATE FUNCTION workflow._enforce(caller text, relation regclass, state_column name, workflow text, key_column name)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  version int;
  held workflow.enforcement;
BEGIN
  PERFORM workflow._require_fresh_snapshots('enforce()');
  PERFORM workflow._require_table_owner(caller, relation);
  PERFORM workflow._require_enforceable(relation);
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
  PERFORM workflow._enforced_check_columns(relation, state_column, key_column);
  version := workflow._active_version(workflow);
  PERFORM workflow._require_passive(workflow, version);
  held := workflow._enforcement_for(caller, relation, state_column, workflow, key_column);
  PERFORM workflow._require_known_states(relation, state_column, key_column, workflow, version);
  PERFORM workflow._warn_of_shared_keys(relation, key_column);
  PERFORM workflow._warn_of_missing_labels(relation, state_column, workflow, version);
  PERFORM workflow._drop_enforcing(relation, held.enforcement_id);
  PERFORM workflow._make_enforcing(relation, held, version);
  PERFORM workflow._note(caller, 'enforce', NULL, 'table:' || relation, NULL,
                         jsonb_build_object('state_column', state_column, 'key_column', key_column,
                                            'workflow', workflow, 'version', version));
END
$$;
COMMENT ON FUNCTION workflow._enforce(text, regclass, name, text, name) IS 'Inner: workflow.enforce()';

CREATE FUNCTION workflow.enforce(relation regclass, state_column name, workflow text, key_column name) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.enforce(regclass, name, text, name) IS
  'Holds a column of a table to the present version of a workflow: rows start in its initial state and change along its transitions only, each logged under its key; for the owner of the table';

-- The enforced table that a table is a partition of.
CREATE FUNCTION workflow._held_above(relation regclass) RETURNS regclass LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT p.relid FROM pg_partition_ancestors(relation) AS p
  WHERE p.relid <> relation AND p.relid IN (SELECT e.relation FROM workflow.enforced AS e) LIMIT 1
$$;
COMMENT ON FUNCTION workflow._held_above(regclass) IS 'Inner: the enforced table that a table is a partition of';

CREATE FUNCTION workflow._unenforce(caller text, relation regclass, state_column name) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  id int;
  present_column name;
  is_on_record boolean;
  n int := 0;
BEGIN
  PERFORM workflow._require_fresh_snapshots('unenforce()');
  PERFORM workflow._require_table_owner(caller, relation);
  FOR id, present_column, is_on_record IN
    SELECT e.enforcement_id, e.state_column, e.enforced_at IS NOT NULL FROM workflow.enforced AS e
    WHERE e.relation = relation AND (state_column IS NULL OR e.state_column = state_column)
  LOOP
    PERFORM workflow._drop_enforcing(relation, id);
    UPDATE workflow.enforcement AS e
    SET ended_at = clock_timestamp(), ended_by = caller, ended_oid = relation::oid,
        state_column = coalesce(present_column, e.state_column)
    WHERE e.enforcement_id = id AND is_on_record;
    PERFORM workflow._note(caller, 'unenforce', NULL, 'table:' || relation, NULL,
                           jsonb_build_object('enforcement_id', id));
    n := n + 1;
  END LOOP;
  IF n = 0 THEN
    RAISE EXCEPTION '% is held to no workflow', concat(relation, ' in column "' || state_column || '"')
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('Tables that are: %s.',
                            coalesce((SELECT string_agg(DISTINCT e.relation::text, ', ') FROM workflow.enforced AS e), 'none')),
            HINT = coalesce('It is a partition of another: SELECT workflow.unenforce('
                              || quote_literal(workflow._held_above(relation)::text) || ');',
                            'SELECT * FROM workflow.enforced; shows their columns.');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._unenforce(text, regclass, name) IS 'Inner: workflow.unenforce()';

CREATE FUNCTION workflow.unenforce(relation regclass, state_column name DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.unenforce(regclass, name) IS
  'Ends what workflow.enforce() began, for one column or all of the table; what was logged stays on record';

-- ------------------------------------------------------------------------ log

-- Raises unless the caller may read every row of a table.
CREATE FUNCTION workflow._require_reader(caller text, relation regclass) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT has_table_privilege(caller, relation, 'SELECT')
     OR EXISTS (SELECT FROM pg_class AS c WHERE c.oid = relation AND c.relrowsecurity
                AND NOT pg_has_role(caller, c.relowner, 'USAGE'))
        AND NOT (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles AS r WHERE r.rolname = caller) THEN
    RAISE EXCEPTION 'permission denied for the transitions of table %', relation
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('Role "%s" may not read every row of it.', caller),
            HINT = format('GRANT SELECT ON %s TO %I; and, where the table has row security, let its owner ask.', relation, caller);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_reader(text, regclass) IS
  'Inner: raises unless a role may read every row of a table';

-- All enforcements of a table, with those that they continue.
CREATE FUNCTION workflow._enforcements_of(relation regclass) RETURNS SETOF workflow.enforcement LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH RECURSIVE asked (oid) AS (
    SELECT relation::oid UNION SELECT p.relid::oid FROM pg_partition_ancestors(relation) AS p
  ), held (enforcement_id) AS (
    SELECT e.enforcement_id FROM workflow.enforced AS e JOIN asked AS a ON a.oid = e.relation::oid
    UNION
    SELECT e.enforcement_id FROM workflow.enforcement AS e JOIN asked AS a ON a.oid = e.ended_oid
    UNION
    SELECT e.continues FROM held AS h JOIN workflow.enforcement AS e USING (enforcement_id)
    WHERE e.continues IS NOT NULL
  )
  SELECT e.* FROM workflow.enforcement AS e JOIN held AS h USING (enforcement_id)
$$;
COMMENT ON FUNCTION workflow._enforcements_of(regclass) IS
  'Inner: what a table, or the one that it is a partition of, is and was held to';

CREATE FUNCTION workflow._transitions_of(caller text, relation regclass, key text)
RETURNS TABLE (seq bigint, from_state text, event text, to_state text, kind text, actor text, reason text, at timestamptz,
               workflow text, version int, state_column name)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM workflow._require_given(relation IS NOT NULL, 'relation');
  PERFORM workflow._require_given(_transitions_of.key IS NOT NULL, 'key');
  PERFORM workflow._require_reader(caller, _transitions_of.relation);
  IF NOT EXISTS (SELECT FROM workflow._enforcements_of(_transitions_of.relation)) THEN
    RAISE EXCEPTION '% is held to no workflow, and never was', _transitions_of.relation
      USING ERRCODE = 'WF012',
            DETAIL = 'Transitions are logged of tables that workflow.enforce() was called for.',
            HINT = 'SELECT * FROM workflow.enforced; shows them.';
  END IF;
  RETURN QUERY
    SELECT t.row_seq, t.from_state, t.event, t.to_state, t.kind, t.actor, t.reason, t.at, e.workflow, t.version,
           coalesce(n.state_column, e.state_column)::name
    FROM workflow._enforcements_of(_transitions_of.relation) AS e
    LEFT JOIN workflow.enforced AS n ON n.enforcement_id = e.enforcement_id
    JOIN workflow.transition AS t
      ON t.key = _transitions_of.key AND t.enforcement_id = e.enforcement_id AND t.enforcement_id IS NOT NULL
    ORDER BY t.row_seq;
END
$$;
COMMENT ON FUNCTION workflow._transitions_of(text, regclass, text) IS 'Inner: workflow.transitions_of()';

CREATE FUNCTION workflow.transitions_of(relation regclass, key text)
RETURNS TABLE (seq bigint, from_state text, event text, to_state text, kind text, actor text, reason text, at timestamptz,
               workflow text, version int, state_column name)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.transitions_of(regclass, text) IS
  'The log of one row of an enforced table, in order; for who may read the table';

CREATE FUNCTION workflow._transitions_of(caller text, relation regclass, key bigint)
RETURNS TABLE (seq bigint, from_state text, event text, to_state text, kind text, actor text, reason text, at timestamptz,
               workflow text, version int, state_column name)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT * FROM workflow._transitions_of(caller, relation, key::text)
$$;
COMMENT ON FUNCTION workflow._transitions_of(text, regclass, bigint) IS 'Inner: workflow.transitions_of()';

CREATE FUNCTION workflow.transitions_of(relation regclass, key bigint)
RETURNS TABLE (seq bigint, from_state text, event text, to_state text, kind text, actor text, reason text, at timestamptz,
               workflow text, version int, state_column name)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.transitions_of(regclass, bigint) IS
  'The log of one row of an enforced table whose key is a number, in order';

CREATE FUNCTION workflow._transitions_of(caller text, relation regclass, key uuid)
RETURNS TABLE (seq bigint, from_state text, event text, to_state text, kind text, actor text, reason text, at timestamptz,
               workflow text, version int, state_column name)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT * FROM workflow._transitions_of(caller, relation, key::text)
$$;
COMMENT ON FUNCTION workflow._transitions_of(text, regclass, uuid) IS 'Inner: workflow.transitions_of()';

CREATE FUNCTION workflow.transitions_of(relation regclass, key uuid)
RETURNS TABLE (seq bigint, from_state text, event text, to_state text, kind text, actor text, reason text, at timestamptz,
               workflow text, version int, state_column name)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.transitions_of(regclass, uuid) IS
  'The log of one row of an enforced table whose key is a uuid, in order';

-- --------------------------------------------------------------------- verify

-- The rows of a column that are not where their log ends.
CREATE FUNCTION workflow._stray_rows(relation regclass, held workflow.enforced)
RETURNS TABLE (key text, problem text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH states AS MATERIALIZED (
    SELECT s.state FROM workflow._row_states(held.workflow, held.version) AS s (state)
  ), logged AS MATERIALIZED (
    SELECT DISTINCT ON (t.key) t.key, t.to_state FROM workflow.transition AS t
    WHERE t.enforcement_id = held.enforcement_id ORDER BY t.key, t.row_seq DESC
  )
  SELECT r.key, p.problem
  FROM workflow._enforced_rows(relation, held.state_column, held.key_column, '{}') AS r
  LEFT JOIN logged AS l ON l.key = r.key
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN r.key IS NULL THEN 'the row has no key'
      WHEN r.state IS NULL THEN 'the row is in no state'
      WHEN r.state NOT IN (SELECT s.state FROM states AS s)
        THEN format('the row is in state "%s", which version %s of workflow "%s" has not', r.state, held.version, held.workflow)
      WHEN r.state <> l.to_state THEN format('the row is in state "%s", its log ends in "%s"', r.state, l.to_state)
    END) AS p (problem)
  WHERE p.problem IS NOT NULL
$$;
COMMENT ON FUNCTION workflow._stray_rows(regclass, workflow.enforced) IS
  'Inner: rows of an enforced column that are in no state, or not where their log ends';

CREATE FUNCTION workflow._verify_table(caller text, relation regclass)
RETURNS TABLE (key text, state_column name, problem text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  held workflow.enforced;
BEGIN
  PERFORM workflow._require_reader(caller, _verify_table.relation);
  FOR held IN SELECT e.* FROM workflow.enforced AS e WHERE e.relation = _verify_table.relation ORDER BY e.enforcement_id
  LOOP
    IF NOT held.works THEN
      RETURN QUERY SELECT NULL::text, held.state_column,
        'the enforcement does not work: its trigger is disabled, a column was dropped, a table inherits from it, or its record is missing';
    END IF;
    RETURN QUERY SELECT r.key, held.state_column, r.problem
                 FROM workflow._stray_rows(_verify_table.relation, held) AS r
                 WHERE held.state_column IS NOT NULL ORDER BY r.key COLLATE "C";
  END LOOP;
  IF held.enforcement_id IS NULL THEN
    RAISE EXCEPTION '% is held to no workflow', _verify_table.relation
      USING ERRCODE = 'WF012',
            DETAIL = 'workflow.enforce() was not called for it, or unenforce() since.',
            HINT = coalesce('It is a partition of another: SELECT * FROM workflow.verify_table('
                              || quote_literal(workflow._held_above(_verify_table.relation)::text) || ');',
                            'SELECT * FROM workflow.enforced; shows the tables that are.');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._verify_table(text, regclass) IS 'Inner: workflow.verify_table()';

CREATE FUNCTION workflow.verify_table(relation regclass)
RETURNS TABLE (key text, state_column name, problem text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.verify_table(regclass) IS
  'Rows of an enforced table that are in no state of the workflow, or not where their log ends; none is right';
