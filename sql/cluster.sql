--
-- cluster: a copy of the database sends nothing by itself.
--

CREATE FUNCTION workflow._cluster_identity(
  OUT system_identifier bigint, OUT database oid, OUT relation oid, OUT timeline int)
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wf_cluster_identity';
COMMENT ON FUNCTION workflow._cluster_identity() IS 'Inner: which database this is, for who stores it';

CREATE FUNCTION workflow._cluster_problem() RETURNS text
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wf_cluster_problem_text';
COMMENT ON FUNCTION workflow._cluster_problem() IS 'Inner: why this database sends nothing; null when it may';

CREATE FUNCTION workflow._ensure_cluster() RETURNS void
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wf_cluster_ensure';
COMMENT ON FUNCTION workflow._ensure_cluster() IS 'Inner: stores which database this is, unless that is stored';

-- As a function it is no data that a dump would bring along, but stays where the files stay.
DO $birthmark$
BEGIN
  EXECUTE pg_catalog.format(
    'CREATE FUNCTION workflow._birthmark() RETURNS uuid LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $body$ SELECT %L::uuid $body$',
    pg_catalog.gen_random_uuid());
END
$birthmark$;
COMMENT ON FUNCTION workflow._birthmark() IS 'Inner: tells this installation of the extension from any other one';

-- The last row counts: that of the original may come from a clock that is ahead of ours.
CREATE FUNCTION workflow._name_cluster(how text, policy text, actor text, reason text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  INSERT INTO workflow.cluster (system_identifier, database, relation, timeline, since, how, policy, actor, reason, birthmark)
  SELECT i.system_identifier, i.database, i.relation, i.timeline,
         greatest(clock_timestamp(), (SELECT max(c.since) + interval '1 microsecond' FROM workflow.cluster AS c)), how, policy, actor, reason, workflow._birthmark()
  FROM workflow._cluster_identity() AS i
$$;
COMMENT ON FUNCTION workflow._name_cluster(text, text, text, text) IS 'Inner: stores which database this is, and why';

-- What is not finished counts as an attempt whose outcome nobody knows: it is sent again where the receiver knows its key, looked up
-- where that can be done, and held otherwise.  due_only: what was to wait cannot have been sent.
CREATE FUNCTION workflow._quarantine(due_only boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  UPDATE workflow.effect AS e
  SET unknown_attempts = greatest(e.unknown_attempts, 1),
      first_sent_at = coalesce(e.first_sent_at, e.created_at)
  WHERE e.state IN ('pending', 'claimed', 'blocked') AND e.unknown_attempts = 0
    AND (NOT due_only OR e.next_at IS NULL OR e.next_at <= clock_timestamp());
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;
COMMENT ON FUNCTION workflow._quarantine(boolean) IS 'Inner: trusts no effect that waits to be unsent; returns how many there are';

CREATE FUNCTION workflow._follow_promotion(policy text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n bigint := 0;
BEGIN
  LOCK TABLE workflow.cluster IN SHARE ROW EXCLUSIVE MODE;
  IF workflow._cluster_problem() IS NULL THEN
    RETURN;      -- somebody else has
  END IF;
  IF policy = 'quarantine' THEN
    n := workflow._quarantine(true);
  END IF;
  PERFORM workflow._name_cluster('promoted', policy, NULL, format('%s effects were due.', n));
  PERFORM workflow._wake('maintenance'), workflow._wake('http');
END
$$;
COMMENT ON FUNCTION workflow._follow_promotion(text) IS 'Inner: after a promotion, does what pg_workflow.after_failover says';

CREATE FUNCTION workflow._bind_again(relation text, name text, oid text, of text) RETURNS bigint
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_bind_again';
COMMENT ON FUNCTION workflow._bind_again(text, text, text, text) IS
  'Inner: binds the rows of a table to the roles that their names mean now; of: the column within which a name stands once, or empty';

-- Which server's roles are meant is known by who wrote the rows.  pg_upgrade, and a copy of the files, keep the oids of roles;
-- a dump that was loaded past the triggers brings those of another server.
CREATE FUNCTION workflow._bind_roles(caller text, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  known boolean := (SELECT c.system_identifier = i.system_identifier OR c.birthmark = workflow._birthmark()
                    FROM workflow.cluster AS c, workflow._cluster_identity() AS i ORDER BY c.since DESC LIMIT 1);
  n bigint;
BEGIN
  IF known THEN
    RETURN;
  END IF;
  SELECT sum(workflow._bind_again(b.relation, b.name, b.oid, b.of)) INTO n
  FROM (VALUES
    ('workflow', 'definer', 'definer_oid', ''), ('definition', 'definer', 'definer_oid', ''), ('draft', 'created_by', 'created_oid', ''),
    ('item', 'submitted_by', 'submitted_oid', ''), ('item_author', 'author', 'author_oid', 'item_id'), ('source', 'created_by', 'created_oid', ''),
    ('effect', 'submitted_by', 'submitted_oid', ''), ('effect_part', 'submitted_by', 'submitted_oid', ''), ('review', 'decided_by', 'decided_oid', ''),
    ('review_vote', 'voter', 'voter_oid', 'review_id'), ('alert_route', 'created_by', 'created_oid', '')) AS b (relation, name, oid, of);
  IF n > 0 THEN
    PERFORM workflow._note(caller, 'bind_roles', NULL, 'cluster', reason, jsonb_build_object('rows', n));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._bind_roles(text, text) IS
  'Inner: in a copy that came from another server, binds rows to the roles that their names mean here';

CREATE FUNCTION workflow._adopt_cluster(caller text, policy text, reason text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n bigint := 0;
BEGIN
  PERFORM workflow._require_given(policy IS NOT NULL, 'policy');
  IF policy NOT IN ('quarantine', 'resume') THEN
    RAISE EXCEPTION 'policy "%" is not known', policy
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It says what becomes of effects that the original may have sent.',
            HINT = 'quarantine looks them up or asks a person, where the receiver cannot tell; resume sends them.';
  END IF;
  LOCK TABLE workflow.cluster IN SHARE ROW EXCLUSIVE MODE;
  IF workflow._cluster_problem() IS NULL THEN
    RAISE NOTICE 'this database is no copy, or was adopted'
      USING DETAIL = 'Effects are sent as pg_workflow.effects says.';
    RETURN 0;
  END IF;
  IF policy = 'quarantine' THEN
    n := workflow._quarantine(false);
  END IF;
  PERFORM workflow._bind_roles(caller, reason);
  PERFORM workflow._name_cluster('adopted', policy, caller, reason);
  PERFORM workflow._wake('maintenance'), workflow._wake('http');
  RETURN n;
END
$$;
COMMENT ON FUNCTION workflow._adopt_cluster(text, text, text) IS 'Inner: adopt_cluster()';

CREATE FUNCTION workflow.adopt_cluster(policy text DEFAULT 'quarantine', reason text DEFAULT NULL) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.adopt_cluster(text, text) IS
  'Lets a copy of a database (restored, cloned, made from a template) send: quarantine trusts no effect to be unsent, resume does; returns how many effects are in doubt';
