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
            HINT = 'SELECT endpoint FROM workflow.endpoints shows the endpoints.';
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

-- -------------------------------------------------------------------- health

-- Ten names are enough to begin with.
CREATE FUNCTION workflow._in_a_row(parts text[]) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT array_to_string(parts[:10], '; ') || CASE WHEN cardinality(parts) > 10 THEN format(' and %s more', cardinality(parts) - 10) ELSE '' END || '.'
$$;
COMMENT ON FUNCTION workflow._in_a_row(text[]) IS 'Inner: the first of many facts, in one sentence';

-- The endpoints that take no calls now, with who waits for each, and the last error there.
CREATE FUNCTION workflow._stopped_endpoints()
RETURNS TABLE (endpoint text, breaker text, since timestamptz, until timestamptz, why text,
               paused_at timestamptz, paused_by text, asked_until timestamptz, waiting bigint, last_error text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT p.endpoint, p.breaker, p.breaker_since, p.breaker_until, p.breaker_reason,
         p.paused_at, p.paused_by, p.pause_until,
         (SELECT count(*) FROM workflow.effect AS e
          WHERE e.endpoint_id = p.endpoint_id AND e.state IN ('pending', 'unknown')),
         (SELECT coalesce(e.reason, e.error_class) FROM workflow.effect AS e
          WHERE e.endpoint_id = p.endpoint_id AND e.state IN ('pending', 'unknown') AND e.error_class IS NOT NULL
          ORDER BY e.sending_at DESC NULLS LAST LIMIT 1)
  FROM workflow.endpoint AS p
  WHERE (p.breaker <> 'closed' OR p.paused_at IS NOT NULL OR p.pause_until > workflow._now())
    AND EXISTS (SELECT FROM pg_foreign_server AS s WHERE s.srvname = p.endpoint OR s.oid = p.server_oid)
$$;
COMMENT ON FUNCTION workflow._stopped_endpoints() IS
  'Inner: endpoints whose breaker is not closed or that are paused, and how many effects wait for them';

CREATE FUNCTION workflow._health_flow()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  WITH stopped AS MATERIALIZED (SELECT * FROM workflow._stopped_endpoints())
  SELECT 'breakers', count(*) = 0, CASE WHEN max(s.waiting) > 0 THEN 'error' ELSE 'warning' END,
         CASE WHEN count(*) = 0 THEN 'All are closed.'
              ELSE workflow._in_a_row(array_agg(
                format('%s is %s since %s (%s)%s; %s effects wait', s.endpoint, replace(s.breaker, '_', ' '), s.since, s.why,
                       ', last error ' || s.last_error, s.waiting) ORDER BY s.waiting DESC, s.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('Calls begin by themselves when one has gone well; the next one goes to see %s. SELECT workflow.resume_endpoint(%L, ''why''); lets one go now.',
                  CASE WHEN min(s.until) > workflow._now() THEN 'at ' || min(s.until) ELSE 'as soon as one is due' END, (array_agg(s.endpoint ORDER BY s.waiting DESC, s.endpoint))[1]) END
  FROM stopped AS s WHERE s.breaker <> 'closed'
  UNION ALL
  SELECT 'endpoints_paused', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'None for longer than an hour while effects wait.'
              ELSE workflow._in_a_row(array_agg(
                CASE WHEN s.paused_at IS NOT NULL THEN format('%s was paused by %s at %s', s.endpoint, s.paused_by, s.paused_at)
                     ELSE format('%s asked for a pause until %s', s.endpoint, s.asked_until) END
                || format('; %s effects wait', s.waiting) ORDER BY s.waiting DESC, s.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('SELECT workflow.resume_endpoint(%L, ''why''); when calls may begin again.', (array_agg(s.endpoint ORDER BY s.waiting DESC, s.endpoint))[1]) END
  FROM stopped AS s
  WHERE s.waiting > 0
    AND (s.paused_at < clock_timestamp() - interval '1 hour' OR s.asked_until > workflow._now() + interval '1 hour')
  UNION ALL
  SELECT 'retry_budget', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'No job waits for it.'
              ELSE workflow._in_a_row(array_agg(format('%s: %s jobs wait to be tried again', b.endpoint, b.n) ORDER BY b.n DESC, b.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('Its calls fail more often than they go well: SELECT error_class, reason FROM workflow.effects WHERE endpoint = %L AND state = ''pending'' LIMIT 10;',
                  (array_agg(b.endpoint ORDER BY b.n DESC, b.endpoint))[1]) END
  FROM (SELECT p.endpoint, count(*) FROM workflow.job AS j
        JOIN workflow.effect AS e ON e.effect_id = j.effect_id JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id
        WHERE j.status = 'ready' AND j.waiting_on = 'retry' GROUP BY p.endpoint) AS b (endpoint, n)
$$;
COMMENT ON FUNCTION workflow._health_flow() IS 'Inner: the part of health() that looks at endpoints that take no calls';

CREATE FUNCTION workflow._health_declared()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'endpoints_refuted', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'No receiver was seen to do twice what its endpoint says is done once.'
              ELSE workflow._in_a_row(array_agg(format('%s (dedup %s): %s', v.endpoint, v.dedup, v.verification_detail) ORDER BY v.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('Until that is mended a person should decide: ALTER SERVER %I OPTIONS (ADD on_unknown ''hold''); then SELECT workflow.verify_endpoint(%L, operation, mended => ''how'');',
                  min(v.endpoint), min(v.endpoint)) END
  FROM workflow.endpoints AS v WHERE v.verification = 'refuted'
  UNION ALL
  SELECT 'endpoints_declared', true, 'ok',
         CASE WHEN count(*) = 0 THEN 'None in use is declared dedup ''key'' and was never tried out.'
              ELSE 'Declared, not verified: ' || workflow._in_a_row(array_agg(v.endpoint ORDER BY v.endpoint)) END,
         CASE WHEN count(*) > 0 THEN
           format('SELECT workflow.verify_endpoint(%L, ''{"method": "POST", "path": ...}''); with an operation that may be done for a test.', min(v.endpoint)) END
  FROM workflow.endpoints AS v
  WHERE v.dedup = 'key' AND v.verification = 'declared, not verified'
    AND EXISTS (SELECT FROM workflow.endpoint AS p JOIN workflow.effect AS e ON e.endpoint_id = p.endpoint_id WHERE p.endpoint = v.endpoint)
$$;
COMMENT ON FUNCTION workflow._health_declared() IS 'Inner: the part of health() that looks at what endpoints declare';
