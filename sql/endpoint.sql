--
-- endpoint: the flow of calls to an endpoint: its breaker, its pauses, the view.
--

-- ------------------------------------------------------------------- breaker

-- One call goes when the cool-down is over: the first that gets here.  Where the one that went is
-- not being sent any more and nothing is known of it (its sender is gone), another one goes.
CREATE FUNCTION workflow._take_probe(endpoint_id int, effect_id bigint, until timestamptz) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  UPDATE workflow.endpoint AS p
  SET breaker = 'half_open', breaker_since = workflow._now(), breaker_until = until, breaker_probe = effect_id
  WHERE p.endpoint_id = (SELECT o.endpoint_id FROM workflow.endpoint AS o
                         WHERE o.endpoint_id = endpoint_id FOR NO KEY UPDATE SKIP LOCKED)
    AND (p.breaker <> 'closed' AND p.breaker_until <= workflow._now()
         OR p.breaker = 'half_open'
            AND NOT EXISTS (SELECT FROM workflow.effect AS e
                            WHERE e.effect_id = p.breaker_probe AND e.effect_id <> effect_id
                              AND (e.state IN ('sending', 'claimed') OR e.substate = 'probing')));
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION workflow._take_probe(int, bigint, timestamptz) IS
  'Inner: whether the call of this effect is the one that shows if the endpoint works again';

-- Whoever holds the row is not waited for: then the next call says the same.
CREATE FUNCTION workflow._turn_breaker(endpoint_id int, effect_id bigint, state text, until timestamptz, reason text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  was workflow.endpoint;
BEGIN
  SELECT o.* INTO was FROM workflow.endpoint AS o
  WHERE o.endpoint_id = endpoint_id
    AND (o.breaker = 'closed' AND state = 'open' OR o.breaker = 'half_open' AND o.breaker_probe = effect_id)
  FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  UPDATE workflow.endpoint AS p
  SET breaker = state, breaker_since = workflow._now(), breaker_until = until, breaker_probe = NULL,
      breaker_openings = CASE state WHEN 'open' THEN p.breaker_openings + 1 ELSE 0 END,
      breaker_reason = CASE WHEN state = 'closed' THEN NULL ELSE coalesce(p.breaker_reason, reason) END
  WHERE p.endpoint_id = endpoint_id;
  IF was.breaker = 'closed' OR state = 'closed' THEN
    PERFORM workflow._note('pg_workflow', CASE state WHEN 'open' THEN 'breaker_open' ELSE 'breaker_close' END,
                           NULL, 'endpoint:' || was.endpoint, reason,
                           jsonb_strip_nulls(jsonb_build_object('effect_id', effect_id, 'until', until,
                             'openings', CASE state WHEN 'closed' THEN was.breaker_openings END)));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._turn_breaker(int, bigint, text, timestamptz, text) IS
  'Inner: opens a breaker, or closes the one whose probe this effect was; the journal has it';

-- Who waits comes back one after the other; a job that somebody holds comes back by itself.
CREATE FUNCTION workflow._let_go(endpoint_id int, reasons text[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  WITH stalled AS MATERIALIZED (
    SELECT j.job_id, row_number() OVER (ORDER BY j.priority, j.job_id) AS place
    FROM (SELECT o.job_id, o.priority FROM workflow.job AS o JOIN workflow.effect AS e ON e.effect_id = o.effect_id
          WHERE o.status = 'ready' AND o.waiting_on = ANY (reasons) AND e.endpoint_id = _let_go.endpoint_id
          FOR UPDATE OF o SKIP LOCKED) AS j)
  UPDATE workflow.job AS j SET run_at = workflow._now() + s.place * interval '2 milliseconds', waiting_on = NULL
  FROM stalled AS s WHERE j.job_id = s.job_id;
  PERFORM workflow._wake('http');
END
$$;
COMMENT ON FUNCTION workflow._let_go(int, text[]) IS 'Inner: who waits for an endpoint, for one of these reasons, waits no longer';

CREATE FUNCTION workflow._close_breaker(endpoint_id int) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE workflow.endpoint AS p
  SET breaker = 'closed', breaker_since = workflow._now(), breaker_until = NULL, breaker_probe = NULL,
      breaker_openings = 0, breaker_reason = NULL
  WHERE p.endpoint_id = _close_breaker.endpoint_id;
  PERFORM workflow._note('pg_workflow', 'breaker_close', NULL, 'endpoint:' || p.endpoint, 'the breaker was turned off')
  FROM workflow.endpoint AS p WHERE p.endpoint_id = _close_breaker.endpoint_id;
  PERFORM workflow._let_go(endpoint_id, '{breaker}');
END
$$;
COMMENT ON FUNCTION workflow._close_breaker(int) IS 'Inner: closes the breaker of an endpoint that has none any more';

-- --------------------------------------------------------------------- pause

CREATE FUNCTION workflow._limits_wait(status int, retry_after interval, headers jsonb, now timestamptz) RETURNS interval
LANGUAGE C IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'wf_inner_limits_wait';
COMMENT ON FUNCTION workflow._limits_wait(int, interval, jsonb, timestamptz) IS
  'Inner: for how long an answer asks that its endpoint be left alone';

-- The key space of an endpoint, locked; WF010 when there is no such endpoint.
CREATE FUNCTION workflow._require_endpoint(name text) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  server oid;
  id     int;
BEGIN
  SELECT s.oid INTO server
  FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
  WHERE s.srvname = name AND w.fdwname = 'workflow_http';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'endpoint "%" does not exist', coalesce(name, 'null')
      USING ERRCODE = 'WF010',
            DETAIL = 'There is no foreign server of that name with the wrapper workflow_http.',
            HINT = workflow._nearest('endpoint', name) || 'SELECT endpoint FROM workflow.endpoints shows the endpoints.';
  END IF;
  SELECT p.endpoint_id INTO id FROM workflow.endpoint AS p WHERE p.endpoint = name AND p.server_oid = server;
  IF NOT FOUND THEN
    id := workflow._learn_endpoint(name, server);
  END IF;
  PERFORM FROM workflow.endpoint AS p WHERE p.endpoint_id = id FOR NO KEY UPDATE;
  RETURN id;
END
$$;
COMMENT ON FUNCTION workflow._require_endpoint(text) IS
  'Inner: locks the key space of an endpoint and returns it; WF010 when there is no such endpoint';

CREATE FUNCTION workflow.pause_endpoint(endpoint text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.pause_endpoint(text, text) IS
  'No call to the endpoint begins until resume_endpoint(); those under way end, and effects are still accepted';

CREATE FUNCTION workflow._pause_endpoint(caller text, endpoint text, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  id int := workflow._require_endpoint(endpoint);
BEGIN
  UPDATE workflow.endpoint AS p
  SET paused_at = coalesce(p.paused_at, clock_timestamp()), paused_by = caller, pause_reason = reason
  WHERE p.endpoint_id = id AND workflow._is_new_pause(p.paused_at, p.pause_reason, reason);
  IF FOUND THEN
    PERFORM workflow._note(caller, 'pause_endpoint', NULL, 'endpoint:' || endpoint, reason);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._pause_endpoint(text, text, text) IS 'Inner: pause_endpoint()';

CREATE FUNCTION workflow.resume_endpoint(endpoint text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.resume_endpoint(text, text) IS
  'Calls to a paused endpoint begin again, also where it had itself asked for a pause; where its breaker is open one goes to see now';

CREATE FUNCTION workflow._resume_endpoint(caller text, endpoint text, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  id int := workflow._require_endpoint(endpoint);
BEGIN
  UPDATE workflow.endpoint AS p
  SET paused_at = NULL, paused_by = NULL, pause_reason = NULL, pause_until = NULL,
      breaker_until = CASE p.breaker WHEN 'open' THEN least(p.breaker_until, workflow._now()) ELSE p.breaker_until END
  WHERE p.endpoint_id = id
    AND (p.paused_at IS NOT NULL OR p.pause_until > workflow._now() OR p.breaker = 'open');
  IF NOT FOUND THEN
    RETURN;
  END IF;
  PERFORM workflow._note(caller, 'resume_endpoint', NULL, 'endpoint:' || endpoint, reason);
  PERFORM workflow._let_go(id, '{paused,rate_limit,breaker}');
END
$$;
COMMENT ON FUNCTION workflow._resume_endpoint(text, text, text) IS 'Inner: resume_endpoint()';

-- ---------------------------------------------------------------------- view

-- A restore gives servers other oids: the name comes first, as in _learn_endpoint().
CREATE VIEW workflow.endpoints AS
SELECT s.srvname::text AS endpoint, o.dedup, o.owner, p.paused_at, p.paused_by, p.pause_reason, p.pause_until,
       coalesce(p.breaker, 'closed') AS breaker, p.breaker_since, p.breaker_until, p.breaker_reason,
       coalesce(n.in_flight, 0) AS in_flight, coalesce(n.waiting, 0) AS waiting,
       coalesce(n.held, 0) AS held, coalesce(n.blocked, 0) AS blocked, o.url,
       workflow._on_unknown(s.srvoptions) AS on_unknown,
       CASE WHEN o.dedup = 'none' THEN NULL
            WHEN v.verdict IN ('verified', 'refuted') THEN v.verdict
            ELSE 'declared, not verified' END AS verification,
       CASE WHEN v.verdict IN ('verified', 'refuted') THEN v.concluded_at END AS verified_at,
       v.detail AS verification_detail
FROM pg_catalog.pg_foreign_server AS s
JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'workflow_http'
CROSS JOIN LATERAL (
  SELECT pg_catalog.max(x.option_value) FILTER (WHERE x.option_name = 'dedup') AS dedup,
         pg_catalog.max(x.option_value) FILTER (WHERE x.option_name = 'owner') AS owner,
         pg_catalog.max(x.option_value) FILTER (WHERE x.option_name = 'url') AS url
  FROM pg_catalog.pg_options_to_table(s.srvoptions) AS x) AS o
LEFT JOIN LATERAL (
  SELECT e.* FROM workflow.endpoint AS e
  WHERE e.endpoint = s.srvname::text OR e.server_oid = s.oid
  ORDER BY e.endpoint <> s.srvname::text LIMIT 1) AS p ON true
LEFT JOIN workflow._counting_verification AS v
  ON v.endpoint_id = p.endpoint_id AND v.profile = workflow._key_profile(s.srvoptions)
LEFT JOIN (
  SELECT e.endpoint_id,
         pg_catalog.count(*) FILTER (WHERE e.state IN ('claimed', 'sending')) AS in_flight,
         pg_catalog.count(*) FILTER (WHERE e.state IN ('pending', 'unknown')) AS waiting,
         pg_catalog.count(*) FILTER (WHERE e.state = 'held') AS held,
         pg_catalog.count(*) FILTER (WHERE e.state = 'blocked') AS blocked
  FROM workflow.effect AS e
  WHERE e.state IN ('pending', 'claimed', 'sending', 'unknown', 'held', 'blocked')
  GROUP BY e.endpoint_id) AS n ON n.endpoint_id = p.endpoint_id;
COMMENT ON VIEW workflow.endpoints IS
  'Where effects go: whether calls begin now (breaker, pauses), how many are under way and how many effects wait';
COMMENT ON COLUMN workflow.endpoints.verification IS
  'Whether verify_endpoint() has shown what dedup declares, under the present options: verified, refuted, or declared, not verified; null with dedup none';
