--
-- effect: endpoints, the ledger of outside actions, and what people do with it.
--

-- ------------------------------------------------------------------ endpoints

CREATE FUNCTION workflow.endpoint_validator(options text[], catalog oid) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_endpoint_validator';
COMMENT ON FUNCTION workflow.endpoint_validator(text[], oid) IS
  'Checks the options of endpoints (servers of workflow_http) and of their user mappings';

-- USAGE on the wrapper is granted to nobody: who makes endpoints is an administrator.
CREATE FOREIGN DATA WRAPPER workflow_http NO HANDLER VALIDATOR workflow.endpoint_validator;
COMMENT ON FOREIGN DATA WRAPPER workflow_http IS
  'Endpoints of pg_workflow: its servers say where effects go and how a second copy is treated';

-- The key space of a server met for the first time under this name: the one of the name (the
-- server was made anew), else the one of the server (it was renamed), else a new one.
CREATE FUNCTION workflow._learn_endpoint(name text, server oid) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id int;
BEGIN
  UPDATE workflow.endpoint AS e SET server_oid = server WHERE e.endpoint = name
  RETURNING e.endpoint_id INTO id;
  IF id IS NULL THEN
    UPDATE workflow.endpoint AS e SET endpoint = name WHERE e.server_oid = server
    RETURNING e.endpoint_id INTO id;
  END IF;
  IF id IS NULL THEN
    INSERT INTO workflow.endpoint AS e (endpoint, server_oid) VALUES (name, server)
    ON CONFLICT (endpoint) DO UPDATE SET server_oid = EXCLUDED.server_oid
    RETURNING e.endpoint_id INTO id;
  END IF;
  RETURN id;
END
$$;
COMMENT ON FUNCTION workflow._learn_endpoint(text, oid) IS
  'Inner: the key space of a server that is new, was renamed or was made anew';

-- Keys follow a server that is renamed before anybody uses it again.  What it was called nobody can say
-- afterwards: so before any change of a server all are known by their present names (one that was made anew
-- or restored has another oid), and after it the one that was renamed is known by its oid.
CREATE FUNCTION workflow._follow_servers() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changed record;
BEGIN
  IF TG_EVENT = 'ddl_command_start' THEN
    UPDATE workflow.endpoint AS p SET server_oid = s.oid
    FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'workflow_http'
    WHERE s.srvname::text = p.endpoint AND s.oid <> p.server_oid;
    RETURN;
  END IF;
  FOR changed IN
    SELECT p.endpoint_id, p.endpoint, s.srvname::text AS name
    FROM pg_event_trigger_ddl_commands() AS c JOIN pg_foreign_server AS s ON s.oid = c.objid
    JOIN workflow.endpoint AS p ON p.server_oid = s.oid AND p.endpoint <> s.srvname::text
    WHERE c.classid = 'pg_foreign_server'::regclass
      AND NOT EXISTS (SELECT FROM workflow.endpoint AS o WHERE o.endpoint = s.srvname::text AND o.server_oid = s.oid)
  LOOP
    IF EXISTS (SELECT FROM workflow.endpoint AS p WHERE p.endpoint = changed.name) THEN
      RAISE EXCEPTION 'endpoint "%" cannot be renamed "%"', changed.endpoint, changed.name
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = 'Keys of an earlier endpoint of that name are kept, and each endpoint has one set of keys.',
              HINT = 'ALTER SERVER ... RENAME TO a name that no endpoint has had.';
    END IF;
    UPDATE workflow.endpoint AS p SET endpoint = changed.name WHERE p.endpoint_id = changed.endpoint_id;
  END LOOP;
  PERFORM workflow._close_breaker(p.endpoint_id)
  FROM pg_event_trigger_ddl_commands() AS c JOIN pg_foreign_server AS s ON s.oid = c.objid
  JOIN workflow.endpoint AS p ON p.server_oid = s.oid AND p.endpoint = s.srvname::text
  WHERE c.classid = 'pg_foreign_server'::regclass AND p.breaker <> 'closed'
    AND s.srvoptions @> ARRAY['breaker_failures=off', 'breaker_rate=off'];
END
$$;
COMMENT ON FUNCTION workflow._follow_servers() IS
  'Inner: lets the keys of an endpoint follow its server, and closes a breaker that is turned off';

CREATE EVENT TRIGGER workflow_servers_known ON ddl_command_start WHEN TAG IN ('ALTER SERVER')
  EXECUTE FUNCTION workflow._follow_servers();
COMMENT ON EVENT TRIGGER workflow_servers_known IS
  'Inner: knows the servers of endpoints by their present names before one is changed';
CREATE EVENT TRIGGER workflow_servers_renamed ON ddl_command_end WHEN TAG IN ('ALTER SERVER')
  EXECUTE FUNCTION workflow._follow_servers();
COMMENT ON EVENT TRIGGER workflow_servers_renamed IS
  'Inner: lets the keys of an endpoint follow a server that was renamed, and closes a breaker that was turned off';

-- --------------------------------------------------------------------- calls

CREATE FUNCTION workflow.call(endpoint text, method text, path text, body jsonb DEFAULT NULL,
                              key text DEFAULT NULL, headers jsonb DEFAULT NULL,
                              timeout interval DEFAULT NULL, content_type text DEFAULT NULL,
                              body_bytes bytea DEFAULT NULL)
RETURNS bigint LANGUAGE C AS 'MODULE_PATHNAME', 'wf_call';
COMMENT ON FUNCTION workflow.call(text, text, text, jsonb, text, jsonb, interval, text, bytea) IS
  'Makes a durable HTTP call: sent after commit, at most once for a key unless the receiver deduplicates; returns the effect';

CREATE FUNCTION workflow.begin_effect(endpoint text, key text, request jsonb, item bigint DEFAULT NULL,
                                      OUT effect_id bigint, OUT verdict text, OUT token text,
                                      OUT response jsonb)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_begin_effect';
COMMENT ON FUNCTION workflow.begin_effect(text, text, jsonb, bigint) IS
  'Guards an action that the caller carries out: send (commit, then act, then finish_effect), done, busy, held or conflict';

CREATE FUNCTION workflow.begin_effect(endpoint text, key text, request jsonb, item text,
                                      OUT effect_id bigint, OUT verdict text, OUT token text,
                                      OUT response jsonb)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_begin_effect_by_key';
COMMENT ON FUNCTION workflow.begin_effect(text, text, jsonb, text) IS
  'The same, for the item workflow:key';

CREATE FUNCTION workflow.finish_effect(effect_id bigint, token text, outcome text,
                                       external_id text DEFAULT NULL, response jsonb DEFAULT NULL)
RETURNS text LANGUAGE C AS 'MODULE_PATHNAME', 'wf_finish_effect';
COMMENT ON FUNCTION workflow.finish_effect(bigint, text, text, text, jsonb) IS
  'Tells what an action begun by begin_effect came to: applied, not_applied or unknown; returns the effect''s state';

CREATE FUNCTION workflow._wake(topic text) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_wake';
COMMENT ON FUNCTION workflow._wake(text) IS
  'Inner: wakes, at commit, who waits for a topic: http, sql, task, maintenance';

-- As for definers: a name may be somebody else's later.
CREATE TRIGGER bind_submitter BEFORE INSERT OR UPDATE OF submitted_by ON workflow.effect
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_role('submitted_by', 'submitted_oid');
COMMENT ON TRIGGER bind_submitter ON workflow.effect IS 'Binds an effect to the role that its submitter''s name means';

CREATE TRIGGER bind_submitter BEFORE INSERT OR UPDATE OF submitted_by ON workflow.effect_part
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_role('submitted_by', 'submitted_oid');
COMMENT ON TRIGGER bind_submitter ON workflow.effect_part IS 'Binds a part in an effect to the role that its submitter''s name means';

CREATE FUNCTION workflow._reserve_effect(submitted_by text, endpoint text, kind text, key text,
                                         request jsonb, item bigint, reverts bigint,
                                         OUT effect_id bigint, OUT is_new boolean)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_reserve_effect';
COMMENT ON FUNCTION workflow._reserve_effect(text, text, text, text, jsonb, bigint, bigint) IS
  'Inner: reserves an effect of request {method, path, headers, body, content_type, spec, timeout_ms}';

CREATE FUNCTION workflow._revive_effect(effect_id bigint) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_revive_effect';
COMMENT ON FUNCTION workflow._revive_effect(bigint) IS
  'Inner: an effect that has ended without success begins again, as it was asked for';

CREATE FUNCTION workflow._classify(phase text, curl_code int, status int, dedup text,
                                   on_5xx text DEFAULT 'unknown', flags text DEFAULT '',
                                   OUT evidence text, OUT action text, OUT error_class text,
                                   OUT is_charged boolean, OUT substate text)
LANGUAGE C IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'wf_inner_classify';
COMMENT ON FUNCTION workflow._classify(text, int, int, text, text, text) IS
  'Inner: what an exchange says about an effect; phase not_sent, sent or answered; flags guard, truncated, retry_after, before, replayed, quota, should_retry, should_not_retry; of the endpoint: lookup, open (accepted ''probe''), cdn';

CREATE FUNCTION workflow._check_path(path text) RETURNS void
LANGUAGE C IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'wf_inner_check_path';
COMMENT ON FUNCTION workflow._check_path(text) IS 'Inner: raises what is wrong with a path that is kept for calls to come';

-- Whoever owns the endpoint of the first call owns the queue.
CREATE FUNCTION workflow._ensure_queue_of_calls(name text, endpoint text, retry jsonb) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  responsible text;
BEGIN
  PERFORM 1 FROM workflow.queue AS q WHERE q.queue = name;
  IF NOT FOUND THEN
    SELECT coalesce(
             (SELECT o.option_value FROM pg_options_to_table(s.srvoptions) AS o
              WHERE o.option_name = 'owner'),
             pg_get_userbyid(s.srvowner))
    INTO responsible
    FROM pg_foreign_server AS s WHERE s.srvname = endpoint;
    responsible := coalesce(responsible, current_user);    -- the endpoint is gone
    INSERT INTO workflow.queue (queue, owner, sla, escalate_to, defined_by, retry)
    VALUES (name, responsible, '1 hour', ARRAY[responsible], 'role:' || responsible, retry)
    ON CONFLICT DO NOTHING;
  END IF;
  RETURN name;
END
$$;
COMMENT ON FUNCTION workflow._ensure_queue_of_calls(text, text, jsonb) IS
  'Inner: makes a queue of calls to an endpoint, with a retry policy, unless there is one of that name';

-- Calls without a workflow share one queue.
CREATE FUNCTION workflow._calls_queue(endpoint text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN workflow._ensure_queue_of_calls('calls', endpoint, NULL);
END
$$;
COMMENT ON FUNCTION workflow._calls_queue(text) IS
  'Inner: the queue of calls that stand alone, made on first use';

CREATE FUNCTION workflow._enqueue_effect(effect_id bigint, endpoint text) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_enqueue_effect';
COMMENT ON FUNCTION workflow._enqueue_effect(bigint, text) IS
  'Inner: makes (or makes ready again) the job that sends an effect that stands alone';

CREATE FUNCTION workflow._enqueue_effect(effect_id bigint, endpoint text, queue text) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_enqueue_effect';
COMMENT ON FUNCTION workflow._enqueue_effect(bigint, text, text) IS
  'Inner: the same, in a queue that there is';

-- ------------------------------------------------------------------ evidence

CREATE FUNCTION workflow._note_ignored_key(effect_id bigint) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE workflow.effect AS e SET key_ignored = true WHERE e.effect_id = _note_ignored_key.effect_id;
  SELECT workflow._note('pg_workflow', 'key_ignored', e.item_id, 'effect:' || e.effect_id,
                        'the receiver ignored the key: from now on a second copy would be a second action',
                        jsonb_build_object('endpoint', p.endpoint, 'key', e.key))
  FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id)
  WHERE e.effect_id = _note_ignored_key.effect_id
$$;
COMMENT ON FUNCTION workflow._note_ignored_key(bigint) IS
  'Inner: notes that a receiver has ignored the key of an effect, which counts as dedup none from then on';

CREATE FUNCTION workflow._note_duplicate(effect_id bigint, why text) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT workflow._note('pg_workflow', 'duplicate_suspected', e.item_id, 'effect:' || e.effect_id, why,
                        jsonb_build_object('endpoint', p.endpoint, 'key', e.key, 'attempts', e.attempts))
  FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id)
  WHERE e.effect_id = _note_duplicate.effect_id
$$;
COMMENT ON FUNCTION workflow._note_duplicate(bigint, text) IS
  'Inner: notes that an effect may have been applied twice';

-- -------------------------------------------------------------------- people

CREATE FUNCTION workflow._is_open(effect workflow.effect) RETURNS bool LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN effect.state IN ('claimed', 'sending', 'unknown', 'held') OR effect.state = 'pending' AND effect.unknown_attempts > 0;
END
$$;
COMMENT ON FUNCTION workflow._is_open(workflow.effect) IS
  'Inner: whether an effect is under way, or may have been applied and nobody knows';

-- A guard's sender says how it went and not how far; what is known of the others is in
-- the detail.  A row without an exchange that was held at once tells of no send.
CREATE FUNCTION workflow._was_sent(attempt workflow.attempt) RETURNS bool LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN attempt.effect_id IS NOT NULL AND NOT coalesce(attempt.detail ?| '{before,lookup}', false)
    AND CASE WHEN attempt.detail ? 'phase' THEN attempt.detail ->> 'phase' <> 'not_sent'
             ELSE attempt.outcome <> 'held' OR coalesce(attempt.detail ->> 'evidence' <> 'not_applied', true) END;
END
$$;
COMMENT ON FUNCTION workflow._was_sent(workflow.attempt) IS
  'Inner: whether an attempt of an effect sent its action, or may have';

-- A model that refuses has answered, too; that attempt is dead.
CREATE FUNCTION workflow._was_answered_with_success(effect_id bigint) RETURNS bool LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM workflow.attempt AS a
                 WHERE a.effect_id = _was_answered_with_success.effect_id
                   AND a.detail ->> 'evidence' = 'applied' AND NOT a.detail ?| '{before,lookup}' AND a.outcome <> 'dead')
$$;
COMMENT ON FUNCTION workflow._was_answered_with_success(bigint) IS
  'Inner: whether a send of an effect was answered with success, so that it was applied';

-- How an effect has succeeded of which the sends say nothing: its answer broke off, or evidence came
-- while it was under way.
CREATE FUNCTION workflow._known_success(effect_id bigint) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN workflow._was_answered_with_success(e.effect_id) THEN 'no_body'
              WHEN e.evidence IS NOT NULL THEN 'resolved' END
  FROM workflow.effect AS e WHERE e.effect_id = _known_success.effect_id
$$;
COMMENT ON FUNCTION workflow._known_success(bigint) IS
  'Inner: the substate of an effect that is known to be applied, whatever its last send came to; null when it is not known';

-- A 202 of an endpoint whose 202 is looked up: with accepted 'success' it is evidence of success.
CREATE FUNCTION workflow._was_accepted(effect_id bigint) RETURNS bool LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM workflow.attempt AS a
                 WHERE a.effect_id = _was_accepted.effect_id AND a.detail ->> 'status' = '202'
                   AND a.detail ->> 'evidence' = 'unknown' AND NOT a.detail ?| '{before,lookup}')
$$;
COMMENT ON FUNCTION workflow._was_accepted(bigint) IS
  'Inner: whether a send of an effect was taken by the receiver, which has yet to do it';

-- The effect, locked; WF012 when there is none.
CREATE FUNCTION workflow._lock_effect(effect_id bigint) RETURNS workflow.effect LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found_one workflow.effect;
BEGIN
  SELECT e.* INTO found_one FROM workflow.effect AS e WHERE e.effect_id = effect_id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'effect % does not exist', coalesce(effect_id::text, 'null')
      USING ERRCODE = 'WF012',
            DETAIL = 'The ledger has no effect of that number.',
            HINT = 'SELECT effect_id, endpoint, key FROM workflow.effects shows them.';
  END IF;
  RETURN found_one;
END
$$;
COMMENT ON FUNCTION workflow._lock_effect(bigint) IS 'Inner: locks and returns an effect; WF012 when there is none';

-- Items come first, then their jobs, then the effect: whoever moves an item takes them in this order.
CREATE FUNCTION workflow._lock_jobs_of_effects(effect_ids bigint[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM FROM workflow.item AS i
  WHERE i.item_id IN (SELECT j.item_id FROM workflow.job AS j WHERE j.effect_id = ANY (effect_ids) AND j.status <> 'dead')
  ORDER BY i.item_id FOR NO KEY UPDATE;
  PERFORM FROM workflow.job AS j WHERE j.effect_id = ANY (effect_ids) ORDER BY j.job_id FOR UPDATE;
END
$$;
COMMENT ON FUNCTION workflow._lock_jobs_of_effects(bigint[]) IS
  'Inner: locks what moves when effects are settled by hand; the effects are locked after it';

-- Of a revert that a compensation could not make there is nothing that could be sent.
CREATE FUNCTION workflow._lacks_request(effect workflow.effect) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT effect.kind = 'revert' AND effect.method IS NULL
$$;
COMMENT ON FUNCTION workflow._lacks_request(workflow.effect) IS
  'Inner: whether an effect is a revert whose request could not be made';

CREATE FUNCTION workflow._require_request(effect workflow.effect) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF workflow._lacks_request(effect) THEN
    RAISE EXCEPTION 'effect % has nothing that could be sent', effect.effect_id
      USING ERRCODE = '55000',
            DETAIL = format('It is to take back effect %s: %s.', effect.reverts, effect.reason),
            HINT = format('Put it right at its target, then SELECT workflow.resolve(%s, ''applied'', ''what was done''); or mend what is missing, then SELECT workflow.revert(%s, ''why'');',
                          effect.effect_id, effect.reverts);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_request(workflow.effect) IS
  'Inner: raises 55000 for a revert that cannot be sent';

-- Writes down what a person found out; the effect's job goes on.  What was not applied, and nobody
-- waits for any more, ends.  A guard has no job, and a revert may come to its turn later.
CREATE FUNCTION workflow._settle_by_hand(caller text, effect workflow.effect, resolution text, note text,
                                         external_id text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  has_job boolean := EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = effect.effect_id);
  goes_on boolean := resolution = 'not_applied'
    AND (effect.kind IN ('guard', 'revert')
         OR EXISTS (SELECT FROM workflow.job AS j
                    WHERE j.effect_id = effect.effect_id AND (j.item_id IS NOT NULL OR effect.kind NOT IN ('http', 'model'))));
BEGIN
  IF goes_on THEN
    PERFORM workflow._require_request(effect);
  END IF;
  UPDATE workflow.effect AS e
  SET state = CASE WHEN resolution = 'applied' THEN 'succeeded' WHEN goes_on THEN 'pending' ELSE 'cancelled' END,
      substate = CASE resolution WHEN 'abandon' THEN
                   CASE WHEN e.unknown_attempts > 0 THEN 'abandoned' END
                 ELSE 'resolved' END,
      unknown_attempts = CASE resolution WHEN 'abandon' THEN e.unknown_attempts ELSE 0 END,
      charged = CASE resolution WHEN 'not_applied' THEN 0 ELSE e.charged END,
      evidence = CASE WHEN resolution <> 'not_applied' THEN e.evidence END,
      next_at = NULL, cause = NULL, token = NULL, session_pid = NULL, session_start = NULL,
      external_id = coalesce(external_id, e.external_id),
      error_class = CASE resolution WHEN 'abandon' THEN coalesce(e.error_class, 'permanent') END,
      reason = note,
      finished_at = CASE WHEN NOT goes_on THEN clock_timestamp() END
  WHERE e.effect_id = effect.effect_id;
  PERFORM workflow._note(caller, 'resolve', effect.item_id, 'effect:' || effect.effect_id, note,
                         jsonb_strip_nulls(jsonb_build_object('resolution', resolution, 'from', effect.state,
                                                              'external_id', external_id)));
  IF has_job THEN
    PERFORM workflow._job_again(j.job_id) FROM workflow.job AS j
    WHERE j.effect_id = effect.effect_id AND j.status = 'dead' AND effect.state IN ('failed', 'dead');
    PERFORM workflow._effect_settled(effect.effect_id, caller);
    PERFORM workflow._wake('http');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._settle_by_hand(text, workflow.effect, text, text, text) IS
  'Inner: writes the resolution of an effect by a person and lets its job go on';

-- A revert that was refused stops its compensation, and may be needless: what it was to take back is
-- gone.  Where another revert has followed it, that one is asked about.
CREATE FUNCTION workflow._awaits_resolution(effect workflow.effect, resolution text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT effect.state IN ('held', 'unknown', 'blocked') OR effect.state = 'pending' AND effect.unknown_attempts > 0
      OR effect.kind = 'revert' AND effect.state IN ('failed', 'dead') AND resolution = 'applied'
         AND NOT EXISTS (SELECT FROM workflow.effect AS r
                         WHERE r.reverts = effect.reverts AND r.effect_id > effect.effect_id
                           AND r.spec -> 'members' IS NOT DISTINCT FROM effect.spec -> 'members')
$$;
COMMENT ON FUNCTION workflow._awaits_resolution(workflow.effect, text) IS
  'Inner: whether a person, or evidence, may say of an effect what became of it';

CREATE FUNCTION workflow._require_resolution(effect_id bigint, resolution text, note text, external_id text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF resolution IS NULL OR resolution NOT IN ('applied', 'not_applied', 'abandon') THEN
    RAISE EXCEPTION 'resolution "%" is not known', coalesce(resolution, 'null')
      USING ERRCODE = '22023',
            DETAIL = 'An effect was applied, was not applied, or is given up.',
            HINT = 'Use applied, not_applied or abandon.';
  END IF;
  IF coalesce(note, '') = '' THEN
    RAISE EXCEPTION 'a resolution needs a note'
      USING ERRCODE = '22023',
            DETAIL = 'The note says how the outcome is known; it is kept in the journal.',
            HINT = format('SELECT workflow.resolve(%s, %L, ''how you know'');', effect_id, resolution);
  END IF;
  IF external_id = '' OR external_id IS NOT NULL AND resolution <> 'applied' THEN
    RAISE EXCEPTION 'external_id is the id of what was applied'
      USING ERRCODE = '22023',
            DETAIL = format('The resolution is %s and external_id is "%s".', resolution, external_id),
            HINT = format('SELECT workflow.resolve(%s, ''applied'', ''how you know'', ''id at the receiver'');', effect_id);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_resolution(bigint, text, text, text) IS
  'Inner: raises 22023 for a resolution that is none, that has no note, or that has an external id of nothing';

CREATE FUNCTION workflow._resolve(caller text, effect_id bigint, resolution text, note text, external_id text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  effect workflow.effect;
BEGIN
  PERFORM workflow._lock_jobs_of_effects(ARRAY[effect_id]);
  effect := workflow._lock_effect(effect_id);
  PERFORM workflow._require_resolution(effect_id, resolution, note, external_id);
  IF NOT workflow._awaits_resolution(effect, resolution) THEN
    RAISE EXCEPTION 'effect % is % and needs no resolution', effect_id, effect.state
      USING ERRCODE = '55000',
            DETAIL = 'Only an effect that is held, unknown or blocked waits for a person; of a revert that was refused one may say that it is applied.',
            HINT = format('SELECT * FROM workflow.effects WHERE effect_id = %s shows it.', effect_id);
  END IF;
  PERFORM workflow._settle_by_hand(caller, effect, resolution, note, external_id);
END
$$;
COMMENT ON FUNCTION workflow._resolve(text, bigint, text, text, text) IS 'Inner: resolves an effect';

CREATE FUNCTION workflow.resolve(effect_id bigint, resolution text, note text, external_id text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.resolve(bigint, text, text, text) IS
  'Tells what became of an effect that waits for a person: applied (with the id that it has there), not_applied (it is sent again, where somebody waits for it) or abandon';

-- Many at once: all of their items first, then their jobs, as for one.
CREATE FUNCTION workflow._resolve_many(caller text, effect_ids bigint[], resolution text, note text)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  ids bigint[] := ARRAY(SELECT DISTINCT i.id FROM unnest(effect_ids) AS i (id) ORDER BY i.id);
  id  bigint;
BEGIN
  PERFORM workflow._require_resolution(coalesce(ids[1], 17), resolution, note, NULL);
  PERFORM workflow._require_given(array_position(effect_ids, NULL) IS NULL, 'effect_ids');
  PERFORM workflow._lock_jobs_of_effects(ids);
  FOREACH id IN ARRAY ids LOOP
    PERFORM workflow._resolve(caller, id, resolution, note, NULL);
  END LOOP;
  RETURN cardinality(ids);
END
$$;
COMMENT ON FUNCTION workflow._resolve_many(text, bigint[], text, text) IS 'Inner: resolves several effects, all or none';

CREATE FUNCTION workflow.resolve_many(effect_ids bigint[], resolution text, note text) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.resolve_many(bigint[], text, text) IS
  'The same of several effects, all or none; returns how many';

CREATE FUNCTION workflow._remove_bodies(finished_before timestamptz, most int) RETURNS bigint
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_purge_effects';
COMMENT ON FUNCTION workflow._remove_bodies(timestamptz, int) IS
  'Inner: removes what effects carried that finished before; returns of how many';

CREATE FUNCTION workflow._purge_effects(caller text, older_than interval, "limit" int) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  purged bigint;
BEGIN
  PERFORM workflow._require_given("limit" IS NOT NULL, 'limit');
  IF older_than < interval '0' OR "limit" < 1 THEN
    RAISE EXCEPTION 'older_than and limit must say how old, and how many at most'
      USING ERRCODE = '22023',
            DETAIL = format('older_than is %s, limit is %s.', older_than, "limit"),
            HINT = 'SELECT workflow.purge_effects(''30 days'');';
  END IF;
  purged := workflow._remove_bodies(clock_timestamp() - older_than, "limit");
  IF purged > 0 THEN
    PERFORM workflow._note(caller, 'purge_effects', NULL, NULL, NULL,
                           jsonb_build_object('older_than', older_than::text, 'effects', purged));
  END IF;
  RETURN purged;
END
$$;
COMMENT ON FUNCTION workflow._purge_effects(text, interval, int) IS 'Inner: purge_effects()';

CREATE FUNCTION workflow.purge_effects(older_than interval, "limit" int DEFAULT 10000) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.purge_effects(interval, int) IS
  'Removes bodies, answers and values before of effects that finished so long ago; keys and outcomes stay. Returns of how many';

CREATE FUNCTION workflow._record_evidence(caller text, endpoint text, key text, evidence text, reference text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  effect workflow.effect;
BEGIN
  PERFORM workflow._lock_jobs_of_effects(ARRAY[f.effect_id])
  FROM workflow.effect AS f JOIN workflow.endpoint AS p USING (endpoint_id)
  WHERE p.endpoint = endpoint AND f.key = key;
  SELECT f.* INTO effect
  FROM workflow.effect AS f JOIN workflow.endpoint AS p USING (endpoint_id)
  WHERE p.endpoint = endpoint AND f.key = key FOR UPDATE OF f;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'endpoint "%" has no effect with key "%"', endpoint, key
      USING ERRCODE = 'WF012',
            DETAIL = 'Evidence belongs to an effect in the ledger.',
            HINT = 'SELECT effect_id, endpoint, key FROM workflow.effects shows them.';
  END IF;
  IF evidence IS NULL OR evidence NOT IN ('applied', 'not_applied') THEN
    RAISE EXCEPTION 'evidence "%" is not known', coalesce(evidence, 'null')
      USING ERRCODE = '22023',
            DETAIL = 'Evidence says that an effect was applied or was not.',
            HINT = 'Use applied or not_applied.';
  END IF;
  IF workflow._awaits_resolution(effect, evidence) THEN
    PERFORM workflow._settle_by_hand(caller, effect, evidence, 'evidence: ' || coalesce(reference, '-'),
                                     CASE evidence WHEN 'applied' THEN reference END);
  ELSE
    -- a receiver may tell of it before it answers, and not yet know of what it is about to do
    IF effect.state = 'sending' AND evidence = 'applied' THEN
      UPDATE workflow.effect AS e SET evidence = jsonb_build_object('reference', reference)
      WHERE e.effect_id = effect.effect_id;
    END IF;
    PERFORM workflow._note(caller, 'evidence', effect.item_id, 'effect:' || effect.effect_id, reference,
                           jsonb_build_object('evidence', evidence, 'state', effect.state));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._record_evidence(text, text, text, text, text) IS 'Inner: records evidence about an effect';

CREATE FUNCTION workflow.record_evidence(endpoint text, key text, evidence text, reference text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.record_evidence(text, text, text, text) IS
  'Tells, from a webhook or a search, that an effect was applied or not_applied; settles it when its outcome is not known';

-- Items first, then jobs, then effects in the order of their ids, as resolve_many does; unknown ones before all.
CREATE FUNCTION workflow._record_evidence_many(caller text, endpoint text, keys text[], evidence text, evidence_references text[])
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  told record;
BEGIN
  IF cardinality(evidence_references) IS DISTINCT FROM cardinality(keys) THEN
    RAISE EXCEPTION 'there must be a reference for each key'
      USING ERRCODE = '22023',
            DETAIL = format('There are %s keys and %s references.', coalesce(cardinality(keys), 0), coalesce(cardinality(evidence_references), 0)),
            HINT = 'Give arrays of one length; a reference may be null.';
  END IF;
  PERFORM workflow._lock_jobs_of_effects(ARRAY(
    SELECT f.effect_id FROM workflow.effect AS f JOIN workflow.endpoint AS p USING (endpoint_id)
    WHERE p.endpoint = endpoint AND f.key = ANY (keys)));
  FOR told IN
    SELECT t.key, t.reference
    FROM unnest(keys, evidence_references) AS t (key, reference)
    LEFT JOIN (workflow.effect AS f JOIN workflow.endpoint AS p ON p.endpoint_id = f.endpoint_id AND p.endpoint = endpoint)
      ON f.key = t.key
    ORDER BY f.effect_id NULLS FIRST
  LOOP
    PERFORM workflow._record_evidence(caller, endpoint, told.key, evidence, told.reference);
  END LOOP;
  RETURN cardinality(keys);
END
$$;
COMMENT ON FUNCTION workflow._record_evidence_many(text, text, text[], text, text[]) IS
  'Inner: records evidence about several effects, all or none';

CREATE FUNCTION workflow.record_evidence_many(endpoint text, keys text[], evidence text, evidence_references text[]) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.record_evidence_many(text, text[], text, text[]) IS
  'The same of several effects of an endpoint, with a reference for each key, all or none; returns how many';

-- -------------------------------------------------------------------- revert

-- What the selectors of a revert see: the answer, the item''s data as it was when the
-- effect was intended, and a value before: the one that was read, or another in its place.
CREATE FUNCTION workflow._revert_data(effect workflow.effect, before jsonb) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE jsonb_typeof(effect.response) WHEN 'object' THEN effect.response ELSE '{}' END
      || coalesce(effect.spec -> 'data', '{}')
      || jsonb_build_object('before', before)
$$;
COMMENT ON FUNCTION workflow._revert_data(workflow.effect, jsonb) IS 'Inner: the data that the selectors of a revert request see';

-- What was sent, as jsonb; null where it was no JSON.
CREATE FUNCTION workflow._sent_json(effect workflow.effect) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN effect.content_type LIKE 'application/%json%' THEN convert_from(effect.body, 'UTF8')::jsonb END
$$;
COMMENT ON FUNCTION workflow._sent_json(workflow.effect) IS 'Inner: the body that an effect sends, where it is JSON';

-- The body of a revert if the value before were the one given.  A PATCH that takes a PATCH back
-- with what was before as a whole has only the members that were written: what somebody else
-- changes beside them stays.  One that was not there is sent as null.
CREATE FUNCTION workflow._revert_body(effect workflow.effect, before jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  template jsonb := effect.spec -> 'revert';
  body     jsonb := workflow._render(template -> 'body', workflow._revert_data(effect, before));
  wrote    jsonb := workflow._sent_json(effect);
BEGIN
  IF effect.method = 'PATCH' AND template ->> 'method' = 'PATCH' AND template ->> 'body' LIKE '$.before%'
     AND coalesce(template ->> 'content_type', 'application/json') LIKE 'application/%json%' AND jsonb_typeof(body) = 'object'
     AND jsonb_typeof(wrote) = 'object' THEN
    SELECT coalesce(jsonb_object_agg(w.name, coalesce(body -> w.name, 'null')), '{}') INTO body
    FROM jsonb_object_keys(wrote) AS w (name);
  END IF;
  RETURN body;
END
$$;
COMMENT ON FUNCTION workflow._revert_body(workflow.effect, jsonb) IS
  'Inner: the body of the request that takes an effect back to a value before';

-- Whether a revert depends on what was before.
CREATE FUNCTION workflow._revert_uses_before(template jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT template::text LIKE '%$.before%'
$$;
COMMENT ON FUNCTION workflow._revert_uses_before(jsonb) IS 'Inner: whether a revert request refers to the value before';

-- The entity tag of what an effect left behind, where it is a strong one: the answer to a PUT or a
-- PATCH has the tag of what that changed, a 201 the tag of what was made.
CREATE FUNCTION workflow._left_etag(effect workflow.effect, path text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT t.tag
  FROM (SELECT effect.response #>> '{headers,etag}', (effect.response ->> 'status')::int) AS t (tag, status)
  WHERE t.tag LIKE '"%'
    AND (t.status = 201 OR t.status BETWEEN 200 AND 299 AND effect.method IN ('PUT', 'PATCH') AND effect.path = path)
$$;
COMMENT ON FUNCTION workflow._left_etag(workflow.effect, text) IS
  'Inner: the strong entity tag of what an effect left at a path';

-- The names of the members that are neither as the effect left them nor as its revert would make
-- them, of those that it would restore (null: all); null where that cannot be told of any.  What the
-- effect left is what its answer shows in the place of the value before, else what it sent.
CREATE FUNCTION workflow._changed_members(effect workflow.effect, seen jsonb, members jsonb) RETURNS text[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  template  jsonb := effect.spec #> '{revert,body}';
  restored  jsonb := workflow._revert_body(effect, effect.previous);
  now       jsonb := workflow._revert_body(effect, seen);
  told      jsonb := workflow._revert_body(effect, effect.response);
  wrote     jsonb := workflow._sent_json(effect);
  is_whole  boolean := jsonb_typeof(template) = 'string';
BEGIN
  IF jsonb_typeof(restored) IS DISTINCT FROM 'object' THEN
    RETURN CASE WHEN coalesce(nullif(told, 'null'), wrote) IS NULL THEN NULL
                WHEN now IN (restored, coalesce(nullif(told, 'null'), wrote)) THEN '{}'
                ELSE ARRAY['the value'] END;
  END IF;
  RETURN (
    SELECT CASE WHEN count(*) > 0 THEN
             coalesce(array_agg(m.name ORDER BY m.name)
                        FILTER (WHERE m.now IS DISTINCT FROM m.was AND m.now IS DISTINCT FROM m.left_there), '{}') END
    FROM (SELECT k.name, nullif(now -> k.name, 'null') AS now, nullif(restored -> k.name, 'null') AS was,
                 coalesce(nullif(told -> k.name, 'null'), nullif(wrote -> k.name, 'null')) AS left_there
          FROM jsonb_object_keys(restored) AS k (name)
          WHERE (is_whole OR workflow._revert_uses_before(template -> k.name))
            AND (members IS NULL OR members ? k.name)
            AND (told -> k.name <> 'null' OR wrote ? k.name)) AS m);
END
$$;
COMMENT ON FUNCTION workflow._changed_members(workflow.effect, jsonb, jsonb) IS
  'Inner: what somebody else has changed of what an effect wrote, by a reading of its target';

-- Why an effect may not be taken back now that its target has been read; null when it may.
CREATE FUNCTION workflow._target_problem(effect workflow.effect, seen jsonb, members jsonb) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changed text[];
BEGIN
  IF workflow._left_etag(effect, effect.spec #>> '{before,path}') = seen #>> '{headers,etag}' THEN
    RETURN NULL;
  END IF;
  IF (seen ->> 'status')::int IN (404, 410) THEN
    RETURN CASE WHEN (effect.previous ->> 'status')::int IN (404, 410) THEN NULL
                ELSE 'the target has changed since: it is gone' END;
  END IF;
  changed := workflow._changed_members(effect, seen, members);
  RETURN CASE WHEN changed IS NULL THEN 'whether the target has changed since cannot be told'
              WHEN changed <> '{}' THEN 'the target has changed since: ' || array_to_string(changed[1:10], ', ') END;
EXCEPTION WHEN data_exception THEN
  RETURN 'whether the target has changed since cannot be told: ' || SQLERRM;
END
$$;
COMMENT ON FUNCTION workflow._target_problem(workflow.effect, jsonb, jsonb) IS
  'Inner: why an effect may not be taken back, by a reading of its target';

-- The reading before a revert is sent.  What is sent after it holds for what was read only.
CREATE FUNCTION workflow._check_revert(revert_id bigint, seen jsonb) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  taken_back workflow.effect;
  revert     workflow.effect;
  problem    text;
BEGIN
  SELECT r.* INTO revert FROM workflow.effect AS r WHERE r.effect_id = revert_id;
  SELECT e.* INTO taken_back FROM workflow.effect AS e WHERE e.effect_id = revert.reverts;
  IF NOT revert.spec ? 'forced' THEN
    problem := workflow._target_problem(taken_back, seen, revert.spec -> 'members');
  END IF;
  UPDATE workflow.effect AS r
  SET spec = r.spec - 'if_match'
             || CASE WHEN problem IS NULL AND NOT r.spec ? 'forced' AND r.path = r.spec #>> '{before,path}'
                          AND seen #>> '{headers,etag}' LIKE '"%'
                     THEN jsonb_build_object('if_match', seen #>> '{headers,etag}') ELSE '{}' END
  WHERE r.effect_id = revert_id;
  RETURN problem;
END
$$;
COMMENT ON FUNCTION workflow._check_revert(bigint, jsonb) IS
  'Inner: judges what a revert has read of its target: null, or why a person has to look';

CREATE FUNCTION workflow._refuse_revert(effect workflow.effect, why text, cure text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'effect % cannot be reverted', effect.effect_id
    USING ERRCODE = '55000', DETAIL = why, HINT = cure;
END
$$;
COMMENT ON FUNCTION workflow._refuse_revert(workflow.effect, text, text) IS 'Inner: raises why an effect cannot be reverted';

CREATE FUNCTION workflow._require_revertible(effect workflow.effect) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  look     text := format('SELECT * FROM workflow.effects WHERE effect_id = %s shows it.', effect.effect_id);
  template jsonb := effect.spec -> 'revert';
BEGIN
  IF effect.state <> 'succeeded' THEN
    PERFORM workflow._refuse_revert(effect, format('It is %s: only what was applied can be taken back.', effect.state), look);
  END IF;
  IF effect.purged_at IS NOT NULL THEN
    PERFORM workflow._refuse_revert(effect, 'What it sent, what was before and what came back has been removed by purge_effects().',
      'Take it back at the receiver; what is known of it is in workflow.effects.');
  END IF;
  IF jsonb_typeof(template) IS DISTINCT FROM 'object' THEN
    PERFORM workflow._refuse_revert(effect, 'Its definition declares no "revert" request.',
      'Add "revert": {"method": ..., "path": ..., "body": ...} to the state, for items to come.');
  END IF;
  IF workflow._revert_uses_before(template) AND effect.previous IS NULL THEN
    PERFORM workflow._refuse_revert(effect, 'Its "revert" request needs the value before, and none was read.',
      'Say with "before" in the definition how it is read, for items to come; put this one right at its target.');
  END IF;
  IF template ->> 'body' LIKE '$%' AND workflow._revert_body(effect, effect.previous) = 'null' THEN
    PERFORM workflow._refuse_revert(effect,
      format('The body of its "revert" request, %s, selects nothing; the read before was answered %s.',
             template ->> 'body', coalesce(effect.previous ->> 'status', 'nothing')), look);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_revertible(workflow.effect) IS 'Inner: raises why an effect cannot be reverted';

-- Single members can be restored by a PATCH only: anything else replaces the others, too.
CREATE FUNCTION workflow._require_members(effect workflow.effect, members text[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  body    jsonb := workflow._revert_body(effect, effect.previous);
  unknown text;
BEGIN
  IF effect.spec #>> '{revert,method}' IS DISTINCT FROM 'PATCH' OR jsonb_typeof(body) IS DISTINCT FROM 'object' THEN
    PERFORM workflow._refuse_revert(effect,
      format('Its "revert" request is a %s of %s, which does not leave other members as they are.', effect.spec #>> '{revert,method}',
             CASE jsonb_typeof(body) WHEN 'object' THEN 'an object' ELSE 'no object' END),
      format('SELECT workflow.revert(%s, ''why''); takes all of it back.', effect.effect_id));
  END IF;
  SELECT string_agg(coalesce(quote_literal(m.name), 'null'), ', ' ORDER BY m.name) INTO unknown
  FROM unnest(members) AS m (name) WHERE (body ? m.name) IS NOT TRUE;
  IF cardinality(members) = 0 OR unknown IS NOT NULL THEN
    RAISE EXCEPTION 'effect % has no such members to restore', effect.effect_id
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = coalesce('Not among its members: ' || unknown || '.', 'No member is named.'),
            HINT = format('Name some of %s, or none for all of them.',
                          (SELECT string_agg(quote_literal(k.name), ', ' ORDER BY k.name) FROM jsonb_object_keys(body) AS k (name)));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_members(workflow.effect, text[]) IS
  'Inner: raises why single members of what an effect wrote cannot be restored';

-- Those of the template, else those of the effect; the type of a body belongs to that body, and a
-- condition to the action that was sent with it.
CREATE FUNCTION workflow._revert_headers(effect workflow.effect, data jsonb) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN effect.spec -> 'revert' ? 'headers'
              THEN workflow._render(effect.spec -> 'revert' -> 'headers', data)
              ELSE (SELECT jsonb_object_agg(h.key, h.value) FROM jsonb_each(effect.headers) AS h
                    WHERE lower(h.key) <> 'content-type' AND lower(h.key) NOT LIKE 'if-%') END
$$;
COMMENT ON FUNCTION workflow._revert_headers(workflow.effect, jsonb) IS 'Inner: the headers of a revert request';

CREATE FUNCTION workflow._revert_request(effect workflow.effect, path text, members jsonb) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
           'method', effect.spec #>> '{revert,method}', 'path', path,
           'headers', workflow._revert_headers(effect, workflow._revert_data(effect, effect.previous)),
           'content_type', effect.spec #>> '{revert,content_type}'))
      || CASE WHEN effect.spec -> 'revert' ? 'body'
              THEN jsonb_build_object('body',
                     CASE WHEN members IS NULL THEN workflow._revert_body(effect, effect.previous)
                          ELSE (SELECT jsonb_object_agg(b.key, b.value)
                                FROM jsonb_each(workflow._revert_body(effect, effect.previous)) AS b WHERE members ? b.key) END)
              ELSE '{}' END
$$;
COMMENT ON FUNCTION workflow._revert_request(workflow.effect, text, jsonb) IS
  'Inner: the request that takes an effect back, or some of its members';

CREATE FUNCTION workflow._revert_key(effect workflow.effect, members jsonb) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('revert%s:%s', (SELECT '[' || string_agg(regexp_replace(m.name, '([\\,\]])', '\\\1', 'g'), ',' ORDER BY m.place) || ']'
                                FROM jsonb_array_elements_text(members) WITH ORDINALITY AS m (name, place)), effect.key)
$$;
COMMENT ON FUNCTION workflow._revert_key(workflow.effect, jsonb) IS
  'Inner: the key of the effect that takes another one back, or some of its members';

-- A revert has been made at last: it has the place, and the job, of what was held because it could not be.
CREATE FUNCTION workflow._take_place(revert workflow.effect) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  unmade bigint[] := ARRAY(SELECT r.effect_id FROM workflow.effect AS r
                           WHERE r.reverts = revert.reverts AND workflow._lacks_request(r));
BEGIN
  UPDATE workflow.effect AS r
  SET spec = r.spec || jsonb_build_object('after', revert.effect_id)
  WHERE r.item_id = revert.item_id AND r.kind = 'revert' AND (r.spec ->> 'after')::bigint = ANY (unmade);
  UPDATE workflow.job AS j SET effect_id = revert.effect_id WHERE j.effect_id = ANY (unmade);
END
$$;
COMMENT ON FUNCTION workflow._take_place(workflow.effect) IS
  'Inner: gives a revert the place of one that could not be made';

-- Reserves the effect that takes one back, which is locked.  Its key is made of the other's own:
-- reverting twice is one effect.  Some members alone are an effect of their own, in no compensation.
CREATE FUNCTION workflow._reserve_revert(effect workflow.effect, how jsonb, OUT effect_id bigint, OUT is_new boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  template jsonb := effect.spec -> 'revert';
  path     text := workflow._render_path(template ->> 'path', workflow._revert_data(effect, effect.previous));
  etag     text := workflow._left_etag(effect, path);
  submitter text := (SELECT r.rolname FROM pg_roles AS r WHERE r.oid = effect.submitted_oid);
BEGIN
  IF submitter IS NULL THEN
    PERFORM workflow._refuse_revert(effect, format('Role "%s", who submitted it, does not exist any more.', effect.submitted_by),
      format('UPDATE workflow.effect SET submitted_by = ''name of a role'' WHERE effect_id = %s; gives it to another one.', effect.effect_id));
  END IF;
  IF effect.spec ? 'before' AND workflow._revert_uses_before(template -> 'body') THEN
    how := how || jsonb_build_object('before', effect.spec -> 'before');
  ELSIF etag IS NOT NULL AND NOT how ? 'forced' THEN
    how := how || jsonb_build_object('if_match', etag);
  END IF;
  IF NOT how ? 'members' THEN
    UPDATE workflow.effect AS r SET state = 'cancelled', finished_at = clock_timestamp()
    WHERE r.reverts = effect.effect_id AND r.state = 'held' AND workflow._lacks_request(r);
  END IF;
  SELECT r.effect_id, r.is_new INTO effect_id, is_new
  FROM workflow._reserve_effect(
    submitter, (SELECT p.endpoint FROM workflow.endpoint AS p WHERE p.endpoint_id = effect.endpoint_id),
    'revert', workflow._revert_key(effect, how -> 'members'),
    workflow._revert_request(effect, path, how -> 'members') || jsonb_build_object('spec', how),
    effect.item_id, effect.effect_id) AS r;
  IF NOT how ? 'members' THEN
    PERFORM workflow._take_place(r) FROM workflow.effect AS r WHERE r.effect_id = _reserve_revert.effect_id;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._reserve_revert(workflow.effect, jsonb) IS
  'Inner: reserves the effect that takes another one back';

-- The effect that takes one back, or these members of it, locked after its jobs; null when there is
-- none.  The one that is taken back is locked before, by whoever asks: so two of them do not make two.
CREATE FUNCTION workflow._lock_revert_of(effect_id bigint, members jsonb) RETURNS workflow.effect LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  revert workflow.effect;
BEGIN
  SELECT r.* INTO revert FROM workflow.effect AS r
  WHERE r.reverts = effect_id AND r.spec -> 'members' IS NOT DISTINCT FROM members ORDER BY r.effect_id DESC LIMIT 1;
  IF FOUND THEN
    PERFORM workflow._lock_jobs_of_effects(ARRAY[revert.effect_id]);
    revert := workflow._lock_effect(revert.effect_id);
  END IF;
  RETURN revert;
END
$$;
COMMENT ON FUNCTION workflow._lock_revert_of(bigint, jsonb) IS
  'Inner: locks and returns the effect that takes another one back, or some of its members';

-- What has been taken back whole, or is being, has no members left to restore.
CREATE FUNCTION workflow._require_not_whole(effect workflow.effect) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  whole workflow.effect;
BEGIN
  SELECT r.* INTO whole FROM workflow.effect AS r
  WHERE r.reverts = effect.effect_id AND NOT r.spec ? 'members' AND r.state NOT IN ('failed', 'dead', 'cancelled')
  ORDER BY r.effect_id DESC LIMIT 1;
  IF FOUND THEN
    PERFORM workflow._refuse_revert(effect,
      format('Effect %s takes all of it back, and is %s: %s.', whole.effect_id, whole.state, coalesce(whole.spec ->> 'reason', 'no reason given')),
      format('SELECT * FROM workflow.effects WHERE effect_id = %s shows it.', whole.effect_id));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_not_whole(workflow.effect) IS
  'Inner: refuses to restore members of what is taken back as a whole';

-- A person lets a revert go on, though its target has changed or its turn has not come.
CREATE FUNCTION workflow._force_revert(revert workflow.effect) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF revert.state = 'held' AND revert.substate IS DISTINCT FROM 'changed' THEN
    PERFORM workflow._refuse_revert(revert, format('It reverts effect %s and may have been applied: %s.', revert.reverts, revert.reason),
      format('SELECT workflow.resolve(%s, ''applied'', ''how you know''); or not_applied.', revert.effect_id));
  END IF;
  UPDATE workflow.effect AS r
  SET spec = r.spec - 'if_match' - 'after' || '{"forced": true}',
      state = CASE r.state WHEN 'held' THEN 'pending' ELSE r.state END,
      substate = CASE r.state WHEN 'held' THEN NULL ELSE r.substate END,
      error_class = CASE r.state WHEN 'held' THEN NULL ELSE r.error_class END,
      reason = CASE r.state WHEN 'held' THEN NULL ELSE r.reason END
  WHERE r.effect_id = revert.effect_id;
  IF revert.state IN ('held', 'pending') THEN
    PERFORM workflow._enqueue_effect(revert.effect_id,
      (SELECT p.endpoint FROM workflow.endpoint AS p WHERE p.endpoint_id = revert.endpoint_id));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._force_revert(workflow.effect) IS
  'Inner: lets a revert go on whatever has become of its target';

CREATE FUNCTION workflow._revert(caller text, effect_id bigint, reason text, force boolean, members text[]) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  named    jsonb := (SELECT jsonb_agg(DISTINCT m.name COLLATE "C") FROM unnest(members) AS m (name));
  effect   workflow.effect := workflow._lock_effect(effect_id);
  revert   workflow.effect := workflow._lock_revert_of(effect_id, named);
  is_forced boolean := coalesce(force, false);
  by_effect bigint := revert.effect_id;
  after    bigint;
  reserved record;
BEGIN
  PERFORM workflow._require_revertible(effect);
  IF members IS NOT NULL THEN
    PERFORM workflow._require_members(effect, members), workflow._require_not_whole(effect);
  END IF;
  IF revert.state = 'succeeded' AND (is_forced OR revert.spec ->> 'reason' IS DISTINCT FROM reason) THEN
    PERFORM workflow._refuse_revert(effect,
      format('Effect %s has taken it back: %s.', revert.effect_id, coalesce(revert.spec ->> 'reason', 'no reason given')),
      format('SELECT * FROM workflow.effects WHERE effect_id = %s shows it.', revert.effect_id));
  END IF;
  IF revert.effect_id IS NULL OR revert.state IN ('failed', 'dead', 'cancelled') OR workflow._lacks_request(revert) THEN
    IF revert.state = 'held' AND NOT is_forced THEN
      after := (revert.spec ->> 'after')::bigint;
    END IF;
    SELECT r.* INTO reserved
    FROM workflow._reserve_revert(effect, jsonb_strip_nulls(jsonb_build_object(
           'reason', reason, 'after', after, 'members', named, 'forced', CASE WHEN is_forced THEN true END))) AS r;
    by_effect := reserved.effect_id;
    IF reserved.is_new AND workflow._turn_has_come(after) THEN
      PERFORM workflow._enqueue_effect(by_effect,
        (SELECT p.endpoint FROM workflow.endpoint AS p WHERE p.endpoint_id = effect.endpoint_id));
    END IF;
  ELSIF is_forced THEN
    PERFORM workflow._force_revert(revert);
  END IF;
  PERFORM workflow._note(caller, 'revert', effect.item_id, 'effect:' || effect.effect_id, reason,
                         jsonb_strip_nulls(jsonb_build_object('by_effect', by_effect, 'members', named,
                           'forced', CASE WHEN is_forced THEN true END)));
  RETURN by_effect;
END
$$;
COMMENT ON FUNCTION workflow._revert(text, bigint, text, boolean, text[]) IS 'Inner: revert()';

CREATE FUNCTION workflow.revert(effect_id bigint, reason text, force boolean DEFAULT false, members text[] DEFAULT NULL) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.revert(bigint, text, boolean, text[]) IS
  'Takes an effect back, or some members of what it wrote, with the request its definition declares; an effect of its own, returned, sent once, and held where the target has changed since unless forced';

-- ---------------------------------------------------------------- compensate

-- The reverts of a compensation are reserved together, and each but the first names the one that
-- it comes after.  One without a job is sent by nobody; it gets its job in the transaction in which
-- all before it have succeeded, whoever finds that out.  A person may say of one that it is done before
-- its turn: then what comes after it waits for what comes before.
CREATE FUNCTION workflow._turn_has_come(after bigint) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH RECURSIVE before AS (
    SELECT r.state, (r.spec ->> 'after')::bigint AS after FROM workflow.effect AS r WHERE r.effect_id = _turn_has_come.after
    UNION
    SELECT r.state, (r.spec ->> 'after')::bigint FROM before AS b JOIN workflow.effect AS r ON r.effect_id = b.after)
  SELECT NOT EXISTS (SELECT FROM before AS b WHERE b.state <> 'succeeded')
$$;
COMMENT ON FUNCTION workflow._turn_has_come(bigint) IS
  'Inner: whether a revert, and all that it comes after, have succeeded';

-- One that cannot be sent waits for a person, in the queue of the others.
CREATE FUNCTION workflow._begin_revert(revert workflow.effect) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target text := (SELECT p.endpoint FROM workflow.endpoint AS p WHERE p.endpoint_id = revert.endpoint_id);
BEGIN
  IF revert.state = 'pending' THEN
    PERFORM workflow._enqueue_effect(revert.effect_id, target);
  ELSIF revert.state = 'held' THEN
    UPDATE workflow.job AS j SET status = 'waiting', waiting_on = 'effect', failed_at = NULL, dead_letter = NULL
    WHERE j.effect_id = revert.effect_id AND j.status = 'dead';
    INSERT INTO workflow.job (queue, kind, status, waiting_on, run_at, effect_id, created_at, error_class, error_message)
    SELECT workflow._calls_queue(target), 'http', 'waiting', 'effect', workflow._now(), revert.effect_id, workflow._now(),
           revert.error_class, revert.reason
    WHERE NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = revert.effect_id);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._begin_revert(workflow.effect) IS
  'Inner: the turn of a revert of a compensation has come';

CREATE FUNCTION workflow._queue_next_revert() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  next workflow.effect := NEW;
BEGIN
  IF NOT workflow._turn_has_come(NEW.effect_id) THEN
    RETURN NULL;
  END IF;
  WHILE next.state = 'succeeded' LOOP
    SELECT r.* INTO next FROM workflow.effect AS r
    WHERE r.item_id = NEW.item_id AND r.kind = 'revert' AND (r.spec ->> 'after')::bigint = next.effect_id
      AND r.state <> 'cancelled' ORDER BY r.effect_id LIMIT 1;
    EXIT WHEN NOT FOUND;
  END LOOP;
  PERFORM workflow._begin_revert(next);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._queue_next_revert() IS
  'Inner: queues the revert that comes after one that has succeeded';

CREATE TRIGGER queue_next_revert AFTER UPDATE OF state ON workflow.effect FOR EACH ROW
  WHEN (new.kind = 'revert' AND new.state = 'succeeded' AND old.state <> 'succeeded')
  EXECUTE FUNCTION workflow._queue_next_revert();
COMMENT ON TRIGGER queue_next_revert ON workflow.effect IS 'A compensation goes on when a revert has succeeded';

-- The effects of an item that have a revert, and of which nobody knows whether they were applied.
CREATE FUNCTION workflow._in_doubt(item bigint) RETURNS SETOF workflow.effect LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e.* FROM workflow.effect AS e
  WHERE e.item_id = item AND e.reverts IS NULL AND jsonb_typeof(e.spec -> 'revert') = 'object'
    AND (e.state IN ('sending', 'unknown', 'held') OR e.state IN ('pending', 'claimed', 'blocked') AND e.unknown_attempts > 0)
  ORDER BY e.effect_id
$$;
COMMENT ON FUNCTION workflow._in_doubt(bigint) IS
  'Inner: effects of an item that may have to be taken back';

CREATE FUNCTION workflow._require_outcomes_known(item bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  open workflow.effect;
BEGIN
  SELECT e.* INTO open FROM workflow._in_doubt(item) AS e LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'item % cannot be compensated yet', item
      USING ERRCODE = '55000',
            DETAIL = format('Effect %s is %s: whether it was applied is not known.', open.effect_id, open.state),
            HINT = format('Wait for it, or say what became of it: SELECT workflow.resolve(%s, ''applied'', ''how you know'');', open.effect_id);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_outcomes_known(bigint) IS
  'Inner: raises where an effect of an item may have been applied or not';

-- The effects of an item that are to be taken back and are not yet, the last one first.
CREATE FUNCTION workflow._to_compensate(item bigint) RETURNS SETOF workflow.effect LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e.* FROM workflow.effect AS e
  WHERE e.item_id = item AND e.reverts IS NULL AND e.state = 'succeeded'
    AND jsonb_typeof(e.spec -> 'revert') = 'object'
    AND NOT EXISTS (SELECT FROM workflow.effect AS r
                    WHERE r.reverts = e.effect_id AND r.state = 'succeeded' AND NOT r.spec ? 'members')
  ORDER BY e.finished_at DESC, e.effect_id DESC
$$;
COMMENT ON FUNCTION workflow._to_compensate(bigint) IS
  'Inner: the effects of an item that a compensation has to take back, in its order';

-- Also where there never was anything to take back.  What a revert that went wrong has not taken back is left, unless
-- another one has: of the whole, after a part of it.
CREATE FUNCTION workflow._is_compensated(item bigint) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN NOT EXISTS (SELECT FROM workflow.effect AS r
                     WHERE r.item_id = item AND r.kind = 'revert' AND r.state NOT IN ('succeeded', 'failed', 'dead', 'cancelled'))
     AND NOT EXISTS (SELECT FROM workflow._in_doubt(item))
     AND NOT EXISTS (SELECT FROM workflow._to_compensate(item));
END
$$;
COMMENT ON FUNCTION workflow._is_compensated(bigint) IS
  'Inner: whether nothing that an item has done is left to be taken back, and none of it is in doubt';

-- What it would be is not known, so nothing but a person can take it out of this state.
CREATE FUNCTION workflow._hold_revert(effect workflow.effect, revert workflow.effect, how jsonb, why text) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  place int := coalesce((SELECT max(r.generation) FROM workflow.effect AS r WHERE r.reverts = effect.effect_id), 0) + 1;
  held  bigint;
BEGIN
  IF workflow._lacks_request(revert) THEN
    UPDATE workflow.effect AS r
    SET state = 'held', substate = 'no_request', error_class = 'validation', reason = why, spec = how, finished_at = NULL
    WHERE r.effect_id = revert.effect_id;
    RETURN revert.effect_id;
  END IF;
  INSERT INTO workflow.effect AS r (endpoint_id, key, state, substate, kind, fingerprint, submitted_by, item_id, reverts, spec,
                                    error_class, reason, created_at, generation)
  VALUES (effect.endpoint_id, 'revert:' || effect.key || CASE WHEN place > 1 THEN '#' || place ELSE '' END, 'held', 'no_request',
          'revert', sha256(''), effect.submitted_by, effect.item_id, effect.effect_id, how,
          'validation', why, workflow._now(), place)
  RETURNING r.effect_id INTO held;
  RETURN held;
END
$$;
COMMENT ON FUNCTION workflow._hold_revert(workflow.effect, workflow.effect, jsonb, text) IS
  'Inner: holds, for a person, a revert whose request cannot be made';

-- The revert of an effect as a link of the chain; held where it cannot be made, so that the others can.
CREATE FUNCTION workflow._make_revert(effect workflow.effect, revert workflow.effect, how jsonb) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  what   text;
  detail text;
BEGIN
  PERFORM workflow._require_revertible(effect);
  RETURN (SELECT r.effect_id FROM workflow._reserve_revert(effect, how) AS r);
EXCEPTION WHEN object_not_in_prerequisite_state OR data_exception OR SQLSTATE 'WF005' OR SQLSTATE 'WF010' THEN
  GET STACKED DIAGNOSTICS what = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
  RETURN workflow._hold_revert(effect, revert, how,
           'its request cannot be made: ' || rtrim(concat_ws(': ', what, nullif(detail, '')), '.'));
END
$$;
COMMENT ON FUNCTION workflow._make_revert(workflow.effect, workflow.effect, jsonb) IS
  'Inner: reserves the revert of an effect, or holds it where it cannot be made';

-- A link of the chain: the revert of an effect, to be sent after another one.  What is under way,
-- or waits for a person, stays as it is.
CREATE FUNCTION workflow._link_revert(effect_id bigint, reason text, after bigint) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  effect workflow.effect := workflow._lock_effect(effect_id);
  revert workflow.effect := workflow._lock_revert_of(effect_id, NULL);
BEGIN
  IF revert.effect_id IS NULL OR revert.state IN ('failed', 'dead', 'cancelled') OR workflow._lacks_request(revert) THEN
    RETURN workflow._make_revert(effect, revert, jsonb_strip_nulls(jsonb_build_object('reason', reason, 'after', after)));
  END IF;
  UPDATE workflow.effect AS r
  SET spec = r.spec - 'after' || jsonb_strip_nulls(jsonb_build_object('after', after))
  WHERE r.effect_id = revert.effect_id AND (r.spec ->> 'after')::bigint IS DISTINCT FROM after;
  RETURN revert.effect_id;
END
$$;
COMMENT ON FUNCTION workflow._link_revert(bigint, text, bigint) IS
  'Inner: reserves, or finds again, the revert of an effect as a link of a compensation';

CREATE FUNCTION workflow._compensate(caller text, item bigint, reason text) RETURNS bigint[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  chain     bigint[] := '{}';
  effect_id bigint;
  after     bigint;
BEGIN
  PERFORM FROM workflow.item AS i WHERE i.item_id = item FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM workflow._item_id(item::text);    -- raises WF012
  END IF;
  PERFORM workflow._require_outcomes_known(item);
  FOR effect_id IN SELECT e.effect_id FROM workflow._to_compensate(item) AS e
  LOOP
    after := workflow._link_revert(effect_id, reason, after);
    chain := chain || after;
  END LOOP;
  PERFORM workflow._begin_revert(r) FROM workflow.effect AS r WHERE r.effect_id = chain[1];
  PERFORM workflow._note(caller, 'compensate', item, NULL, reason, jsonb_build_object('by_effects', chain));
  RETURN chain;
END
$$;
COMMENT ON FUNCTION workflow._compensate(text, bigint, text) IS 'Inner: compensate()';

CREATE FUNCTION workflow.compensate(item bigint, reason text) RETURNS bigint[]
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.compensate(bigint, text) IS
  'Takes the effects of an item back, the last one first, each when the one before it has succeeded; returns the effects that do so';

CREATE FUNCTION workflow.compensate(item text, reason text) RETURNS bigint[]
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.compensate(text, text) IS 'The same, for workflow:key';

-- ------------------------------------------------------------------ webhooks

CREATE FUNCTION workflow._webhook_problem(scheme text, headers jsonb, body bytea, secret_name text, tolerance interval,
                                          OUT problem text, OUT obstacle text)
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_webhook_problem';
COMMENT ON FUNCTION workflow._webhook_problem(text, jsonb, bytea, text, interval) IS
  'Inner: why a webhook that was received is not signed as its scheme says, and why that cannot be judged; both null when it is';

CREATE FUNCTION workflow._judge_webhook(scheme text, headers jsonb, body bytea, secret_name text, tolerance interval)
RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  judgement record;
BEGIN
  SELECT * INTO judgement FROM workflow._webhook_problem(scheme, headers, body, secret_name, tolerance);
  IF judgement.obstacle IS NOT NULL THEN
    RAISE EXCEPTION 'the signature of a webhook cannot be judged'
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = judgement.obstacle,
            HINT = 'Put the secret into a file of that name in pg_workflow.secrets_dir.';
  END IF;
  RETURN judgement.problem;
END
$$;
COMMENT ON FUNCTION workflow._judge_webhook(text, jsonb, bytea, text, interval) IS
  'Inner: why a webhook is not signed as its scheme says; null when it is; 55000 where its secret cannot be used';

CREATE FUNCTION workflow._webhook_body(body bytea) RETURNS jsonb
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_webhook_body';
COMMENT ON FUNCTION workflow._webhook_body(bytea) IS
  'Inner: the body of a webhook, JSON as it is, else a text as a string, else null';

-- As for definers: a name may be somebody else's later.
CREATE FUNCTION workflow._bind_creator() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  NEW.created_oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.created_by);
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION workflow._bind_creator() IS 'Inner: notes which role the name of a row''s creator means';

CREATE TRIGGER bind_creator BEFORE INSERT OR UPDATE OF created_by ON workflow.source
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_creator();
COMMENT ON TRIGGER bind_creator ON workflow.source IS 'Binds a source to the role that its creator''s name means';

CREATE FUNCTION workflow._creator(source workflow.source) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce((SELECT r.rolname FROM pg_roles AS r WHERE r.oid = source.created_oid), source.created_by)
$$;
COMMENT ON FUNCTION workflow._creator(workflow.source) IS
  'Inner: what the role that made a source is called now, or was called when it is gone';

CREATE FUNCTION workflow._may_use_secret(source workflow.source) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM pg_roles AS r
                 WHERE r.oid = source.created_oid AND pg_has_role(r.oid, 'pg_read_server_files', 'USAGE'))
$$;
COMMENT ON FUNCTION workflow._may_use_secret(workflow.source) IS
  'Inner: whether the role that named the secret of a source may still do so';

-- Naming a secret is for who may read the server's files.  What an administrator has
-- named for a source may be used by everybody who may verify webhooks.
CREATE FUNCTION workflow._require_secret_name(caller text, scheme text, secret_name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF pg_has_role(caller, 'pg_read_server_files', 'USAGE')
     OR EXISTS (SELECT FROM workflow.source AS s
                WHERE s.scheme = scheme AND s.secret = secret_name AND s.dropped_at IS NULL
                  AND workflow._may_use_secret(s)) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'permission denied to name secret "%"', secret_name
    USING ERRCODE = 'insufficient_privilege',
          DETAIL = format('Role "%s" is neither a superuser nor a member of pg_read_server_files, and none of these has named the secret for a source of scheme "%s".', caller, scheme),
          HINT = 'Ask an administrator to name it: SELECT workflow.create_source(...).';
END
$$;
COMMENT ON FUNCTION workflow._require_secret_name(text, text, text) IS
  'Inner: raises 42501 for a role that may not use a secret of that name to verify webhooks';

CREATE FUNCTION workflow._verify_webhook(
  caller text, scheme text, headers jsonb, body bytea, secret_name text, tolerance interval)
RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF scheme IS NULL OR headers IS NULL OR body IS NULL OR secret_name IS NULL OR tolerance IS NULL THEN
    RAISE EXCEPTION 'arguments of verify_webhook must not be null'
      USING ERRCODE = 'null_value_not_allowed',
            DETAIL = 'A scheme, headers, a body, a secret and a tolerance are needed to judge a signature.',
            HINT = 'Give an empty text for a body without content.';
  END IF;
  PERFORM workflow._require_secret_name(caller, scheme, secret_name);
  RETURN workflow._judge_webhook(scheme, headers, body, secret_name, tolerance) IS NULL;
END
$$;
COMMENT ON FUNCTION workflow._verify_webhook(text, text, jsonb, bytea, text, interval) IS 'Inner: verify_webhook()';

CREATE FUNCTION workflow._verify_webhook(
  caller text, scheme text, headers jsonb, body text, secret_name text, tolerance interval)
RETURNS boolean LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT workflow._verify_webhook(caller, scheme, headers, convert_to(body, 'UTF8'), secret_name, tolerance)
$$;
COMMENT ON FUNCTION workflow._verify_webhook(text, text, jsonb, text, text, interval) IS
  'Inner: verify_webhook() of a body as text';

CREATE FUNCTION workflow.verify_webhook(
  scheme text, headers jsonb, body text, secret_name text, tolerance interval DEFAULT '5 minutes')
RETURNS boolean LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.verify_webhook(text, jsonb, text, text, interval) IS
  'Whether a webhook is signed with a secret, and lately: scheme standard, stripe, github or slack';

CREATE FUNCTION workflow.verify_webhook(
  scheme text, headers jsonb, body bytea, secret_name text, tolerance interval DEFAULT '5 minutes')
RETURNS boolean LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.verify_webhook(text, jsonb, bytea, text, interval) IS
  'The same, of a body in bytes';

-- ---------------------------------------------------------------------- view

CREATE VIEW workflow.effects AS
SELECT e.effect_id, p.endpoint, e.key, e.state, e.item_id, e.method, e.path, e.attempts, e.status,
       e.external_id, e.previous, e.response, e.error_class, e.reason, e.next_at, e.created_at, e.finished_at,
       e.kind, e.reverts,
       (SELECT o.option_value
        FROM pg_catalog.pg_foreign_server AS s, pg_catalog.pg_options_to_table(s.srvoptions) AS o
        WHERE s.oid = p.server_oid AND o.option_name = 'owner') AS owner,
       e.substate
FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id);
COMMENT ON VIEW workflow.effects IS
  'The ledger: every outside action, its key, its state, what was there before and what came back';
COMMENT ON COLUMN workflow.effects.owner IS 'Owner of the endpoint: who is asked where an outcome is not known';

-- For who calls, and may not read the ledger.  Whose an effect is says the oid of the role, as for sending.
-- Who met the effect of another role with the same request has part in its result, not in what it is for.
CREATE VIEW workflow.own_effects WITH (security_barrier) AS
SELECT v.effect_id, v.endpoint, v.key, v.state, CASE WHEN o.is_own THEN v.item_id END AS item_id, v.method, v.path, v.attempts, v.status,
       v.external_id, CASE WHEN o.is_own THEN v.previous END AS previous, v.response, v.error_class, v.reason, v.next_at, v.created_at, v.finished_at,
       v.kind, v.reverts, v.owner, v.substate
FROM workflow.effects AS v JOIN workflow.effect AS e ON e.effect_id = v.effect_id,
     LATERAL (SELECT pg_catalog.pg_has_role(e.submitted_oid, 'USAGE')) AS o (is_own)
WHERE o.is_own
   OR EXISTS (SELECT FROM workflow.effect_part AS p WHERE p.effect_id = e.effect_id AND pg_catalog.pg_has_role(p.submitted_oid, 'USAGE'));
COMMENT ON VIEW workflow.own_effects IS
  'The same of the effects that the reader, or a role that he is a member of, has submitted or met with the same request: what became of one''s own calls';
