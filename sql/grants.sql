--
-- grants: who may do what.  Nothing is granted to PUBLIC.
--

-- What each kind of role may call and read.
CREATE FUNCTION workflow._role_kinds()
RETURNS TABLE (kind text, functions text[], views text[]) LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES
    ('submitter', '{submit,submit_many,send,receive,verify_webhook,input_ref,call,where_is,children,timeline,transitions_of,if_run_again}'::text[],
                  '{items,own_effects}'::text[]),
    ('worker',    '{enqueue,enqueue_many,claim,wait_for_job,complete,complete_many,fail,fail_many,
                    extend,extend_many,release,release_many,send,begin_effect,finish_effect,input_ref,where_is,children,if_run_again}',
                  '{items,queues,own_effects}'),
    ('reviewer',  '{decide,decide_many,claim_review,release_review,delegate,pause_review,resume_review,where_is,children,timeline,if_run_again}',
                  '{items,review_inbox,gate_decisions,reviews}'),
    ('operator',  '{submit,send,cancel,pause,resume,pause_workflow,resume_workflow,pause_queue,resume_queue,alter_queue,drop_queue,
                    pause_endpoint,resume_endpoint,verify_endpoint,
                    create_queue,subscribe,unsubscribe,enqueue,enqueue_many,replay,replay_job,replay_jobs,reschedule_job,
                    patch,rewind,redrive,give_up_many,cancel_redrive,recount,
                    cancel_job,cancel_jobs,give_up,resolve,resolve_many,record_evidence,record_evidence_many,
                    purge_effects,revert,compensate,adopt_cluster,
                    create_source,drop_source,receive,feed,dismiss_webhook,verify_webhook,input_ref,
                    acknowledge_alert,alert_to,start_workers,stop_workers,list_workers,run,mock,document,diagram,diff,
                    gate_calibration,override_stats,
                    where_is,children,timeline,if_run_again,if_run_twice,transitions_of,verify_table,verify,health,prometheus,report_html}',
                  '{*}'),
    ('designer',  '{define,check,document,diagram,diff,activate,retire,migrate,enforce,unenforce,transitions_of,verify_table,
                    new,add_state,add_transition,add_queue,add_policy,add_activity,set_options,remove_part,
                    check_draft,diagram_draft,publish,discard_draft,create_queue,alter_queue,drop_queue,subscribe,unsubscribe,schema_errors,schema_valid,submit,send,call,input_ref,run,mock,list_workers,
                    gate_calibration,override_stats,
                    where_is,children,timeline,if_run_again,if_run_twice,verify,health,prometheus,report_html}',
                  '{*}'),
    ('monitor',   '{gate_calibration,override_stats,list_workers,document,diagram,diff,where_is,children,timeline,transitions_of,verify_table,if_run_again,if_run_twice,verify,health,prometheus,report_html}',
                  '{*}')
$$;
COMMENT ON FUNCTION workflow._role_kinds() IS
  'Inner: the functions (all overloads of a name) and views (* is all) that each kind of role is granted';

-- The records of what was done are tables, which nobody changes: whoever reads everything reads them, too.
CREATE FUNCTION workflow._read_records() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT '{journal,transition,cluster}'::text[] $$;
COMMENT ON FUNCTION workflow._read_records() IS
  'Inner: the tables that a kind of role may read which reads all views';

-- Gives a role what a kind of role has.
CREATE FUNCTION workflow._grant_kind(role_name text, kind text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  allowed record;
  object  record;
BEGIN
  SELECT k.functions, k.views INTO allowed FROM workflow._role_kinds() AS k WHERE k.kind = kind;
  EXECUTE format('GRANT USAGE ON SCHEMA workflow TO %I', role_name);
  FOR object IN
    SELECT p.oid::regprocedure AS name
    FROM pg_proc AS p
    WHERE p.pronamespace = 'workflow'::regnamespace AND p.proname = ANY (allowed.functions)
  LOOP
    EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', object.name, role_name);
  END LOOP;
  FOR object IN
    SELECT c.oid::regclass AS name
    FROM pg_class AS c
    WHERE c.relnamespace = 'workflow'::regnamespace
      AND (c.relkind = 'v' AND c.relname NOT LIKE '\_%' AND (c.relname = ANY (allowed.views) OR allowed.views = '{*}')
           OR allowed.views = '{*}' AND c.relname = ANY (workflow._read_records()))
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO %I', object.name, role_name);
  END LOOP;
  -- a view calls its functions as whoever reads it
  FOR object IN
    SELECT DISTINCT d.refobjid::regprocedure AS name
    FROM pg_depend AS d
    JOIN pg_rewrite AS r ON r.oid = d.objid
    JOIN pg_class AS c ON c.oid = r.ev_class
    JOIN pg_proc AS p ON p.oid = d.refobjid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_proc'::regclass
      AND p.pronamespace = 'workflow'::regnamespace AND c.relnamespace = 'workflow'::regnamespace
      AND (c.relname = ANY (allowed.views) OR allowed.views = '{*}')
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', object.name, role_name);
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._grant_kind(text, text) IS 'Inner: gives a role the privileges of a kind';

CREATE FUNCTION workflow._grant_role(caller text, role text, kind text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  kinds text := (SELECT string_agg(k.kind, ', ' ORDER BY k.kind) FROM workflow._role_kinds() AS k);
  owner name := (SELECT r.rolname FROM pg_extension AS e JOIN pg_roles AS r ON r.oid = e.extowner
                 WHERE e.extname = 'pg_workflow');
BEGIN
  IF NOT pg_has_role(caller, owner, 'USAGE') THEN
    RAISE EXCEPTION 'permission denied to grant the privileges of pg_workflow'
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('Role "%s" is neither a superuser nor "%s", who owns the extension.', caller, owner),
            HINT = format('Call it as "%s", or as a superuser.', owner);
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role) THEN
    RAISE EXCEPTION 'role "%" does not exist', role
      USING ERRCODE = 'undefined_object',
            DETAIL = format('The grants of kind "%s" are given to a role of this server.', kind),
            HINT = workflow._nearest('role', role) || format('CREATE ROLE %I;', role);
  END IF;
  IF NOT EXISTS (SELECT FROM workflow._role_kinds() AS k WHERE k.kind = kind) THEN
    RAISE EXCEPTION 'unknown kind of role "%"', kind
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('The kinds are: %s.', kinds),
            HINT = coalesce('D' || substr(workflow._did_you_mean(kind, ARRAY(SELECT k.kind FROM workflow._role_kinds() AS k)), 2) || ' ', '')
              || format('SELECT workflow.grant_role(%L, ''monitor'');', role);
  END IF;
  PERFORM workflow._grant_kind(role, kind);
  PERFORM workflow._note(caller, 'grant_role', NULL::bigint, 'role:' || role, NULL::text,
                         jsonb_build_object('kind', kind));
END
$$;
COMMENT ON FUNCTION workflow._grant_role(text, text, text) IS 'Inner: grant_role()';

CREATE FUNCTION workflow.grant_role(role text, kind text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.grant_role(text, text) IS
  'Gives a role the privileges of a kind: submitter, worker, reviewer, operator, designer or monitor; for the owner of the extension';

-- Functions are open to everybody until they are closed; so are free-standing types.
DO $close$
DECLARE
  object record;
BEGIN
  FOR object IN
    SELECT p.oid::regprocedure AS name FROM pg_catalog.pg_proc AS p
    WHERE p.pronamespace = 'workflow'::regnamespace
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', object.name);
  END LOOP;
  FOR object IN
    SELECT t.oid::regtype AS name
    FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
    WHERE t.typnamespace = 'workflow'::regnamespace AND t.typelem = 0 AND coalesce(c.relkind, 'c') = 'c'
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON TYPE %s FROM PUBLIC', object.name);
  END LOOP;
END
$close$;

-- Whoever watches the server may watch the workflows.
SELECT workflow._grant_kind('pg_monitor', 'monitor');

-- The owner of the database dumps and restores it, superuser or not, and hands
-- out the kinds of roles (if the extension is theirs).
GRANT USAGE ON SCHEMA workflow TO pg_database_owner;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA workflow TO pg_database_owner;
GRANT SELECT, USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA workflow TO pg_database_owner;
GRANT EXECUTE ON FUNCTION workflow.grant_role(text, text) TO pg_database_owner;
GRANT EXECUTE ON FUNCTION workflow._enforced_row(), workflow._enforced_columns() TO pg_database_owner;

-- The owner of the database may insert rows, to restore a dump; but a row names
-- the role whose rights its activities or its sending use.  So nobody inserts
-- in the name of a role that he is not a member of.  The condition spares the
-- extension's own inserts the call.
CREATE FUNCTION workflow._require_membership() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  role_name text := to_jsonb(NEW) ->> TG_ARGV[0];
  known     boolean := EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role_name);
BEGIN
  IF NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user)
     AND NOT (known AND pg_has_role(current_user, role_name, 'MEMBER'))
  THEN
    RAISE EXCEPTION 'role "%" may not insert into workflow.% in the name of "%"',
                    current_user, TG_TABLE_NAME, role_name
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('The column %I names the role whose rights the row uses; it must be one that the inserting role is a member of.', TG_ARGV[0]),
            HINT = 'Restore as a superuser, or as a member of that role.';
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION workflow._require_membership() IS
  'Inner: refuses a row that would use the rights of a role the inserting role is not a member of';
REVOKE ALL ON FUNCTION workflow._require_membership() FROM PUBLIC;

CREATE FUNCTION workflow._require_sound() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_require_sound';
COMMENT ON FUNCTION workflow._require_sound() IS
  'Inner: refuses a version that workflow.define() would not have stored';
REVOKE ALL ON FUNCTION workflow._require_sound() FROM PUBLIC;

DO $guard$
DECLARE
  guarded text[];
BEGIN
  FOREACH guarded SLICE 1 IN ARRAY ARRAY[
    ['workflow', 'definer'], ['definition', 'definer'],
    ['item', 'submitted_by'], ['effect', 'submitted_by'],
    ['source', 'created_by'], ['draft', 'created_by'], ['alert_route', 'created_by']]
  LOOP
    EXECUTE pg_catalog.format(
      'CREATE TRIGGER insert_in_whose_name BEFORE INSERT ON workflow.%I FOR EACH ROW '
      'WHEN (current_user <> %L) EXECUTE FUNCTION workflow._require_membership(%L)',
      guarded[1], (SELECT r.rolname FROM pg_catalog.pg_class AS c
                   JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
                   WHERE c.oid = 'workflow.item'::regclass), guarded[2]);
    EXECUTE pg_catalog.format(
      'COMMENT ON TRIGGER insert_in_whose_name ON workflow.%I IS %L', guarded[1],
      'Whoever restores rows may not do so in the name of a role he is not a member of');
  END LOOP;
  EXECUTE pg_catalog.format(
    'CREATE TRIGGER insert_sound BEFORE INSERT ON workflow.definition FOR EACH ROW '
    'WHEN (current_user <> %L) EXECUTE FUNCTION workflow._require_sound()',
    (SELECT r.rolname FROM pg_catalog.pg_class AS c
     JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner
     WHERE c.oid = 'workflow.item'::regclass));
  COMMENT ON TRIGGER insert_sound ON workflow.definition IS
    'Whoever restores versions may not store what the engine could not trust';
END
$guard$;
