--
-- mock: answers that a test gives in the place of an endpoint.
--
-- A transaction that has mocks cannot commit (src/effect/mock.c).  Rows of others count for nothing,
-- should there ever be one.
--

-- What is wrong with one response; null: nothing.
CREATE FUNCTION workflow._response_problem(response jsonb) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN jsonb_typeof(response) <> 'object' THEN 'It is no object.'
    WHEN o.other IS NOT NULL
      THEN format('It has %s, which is none of method, path, status, headers, body, text, failure, times.', o.other)
    WHEN o.no_text IS NOT NULL THEN format('%s is no text.', o.no_text)
    WHEN response ? 'status' AND workflow._whole_number(response -> 'status', 200, 599) IS NULL
      THEN format('The status %s is no whole number from 200 to 599.', response -> 'status')
    WHEN response -> 'times' <> '"always"' AND workflow._whole_number(response -> 'times', 1, 999999999) IS NULL
      THEN format('"times" is %s, which is neither a whole number from 1 on nor "always".', response -> 'times')
    WHEN response ? 'headers' AND (jsonb_typeof(response -> 'headers') <> 'object'
                                   OR EXISTS (SELECT FROM jsonb_each(CASE jsonb_typeof(response -> 'headers') WHEN 'object' THEN response -> 'headers' ELSE '{}' END) AS h
                                              WHERE jsonb_typeof(h.value) <> 'string' OR h.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$' OR h.value #>> '{}' ~ '[\r\n]'))
      THEN '"headers" is no object of texts without line breaks, by names of headers.'
    WHEN response ? 'body' AND response ? 'text' THEN 'It has "body", which is sent as JSON, and "text", which is sent as it is: one of them.'
    WHEN response ? 'failure' AND response ->> 'failure' <> ALL (workflow._mock_failures())
      THEN format('"%s" is no failure: those are %s.', response ->> 'failure', array_to_string(workflow._mock_failures(), ', '))
    WHEN response ? 'failure' AND response ->> 'failure' <> 'broken_off' AND response ?| '{status,headers,body,text}'
      THEN format('With the failure "%s" no answer comes: leave status, headers, body and text out.', response ->> 'failure') END
  FROM (SELECT string_agg(format('"%s"', m.name), ', ' ORDER BY m.name)
                 FILTER (WHERE m.name NOT IN ('method', 'path', 'status', 'headers', 'body', 'text', 'failure', 'times')),
               string_agg(format('"%s"', m.name), ', ' ORDER BY m.name)
                 FILTER (WHERE m.name IN ('method', 'path', 'text', 'failure') AND jsonb_typeof(m.value) <> 'string')
        FROM jsonb_each(CASE jsonb_typeof(response) WHEN 'object' THEN response ELSE '{}' END) AS m (name, value)) AS o (other, no_text)
$$;
COMMENT ON FUNCTION workflow._response_problem(jsonb) IS 'Inner: what is wrong with a response of mock(), null when nothing is';

CREATE FUNCTION workflow._mock_failures() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '{unresolved,refused,connect_timeout,certificate,timeout,dropped,broken_off}'::text[]
$$;
COMMENT ON FUNCTION workflow._mock_failures() IS 'Inner: the failures of mock(), as src/http/script.c knows them';

CREATE FUNCTION workflow.mock(endpoint text, responses jsonb) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_mock';
COMMENT ON FUNCTION workflow.mock(text, jsonb) IS
  'For tests: what run() gets in this transaction, which cannot commit then, instead of sending to an endpoint; one response or an array, {method, path, status, headers, body or text, failure, times}';

-- The key space of an endpoint that the caller may use; not locked, a test holds nobody up.
CREATE FUNCTION workflow._mocked_endpoint(caller text, name text) RETURNS int LANGUAGE plpgsql
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
    RETURN workflow._require_endpoint(name);
  END IF;
  IF NOT has_server_privilege(caller, server, 'USAGE') THEN
    RAISE EXCEPTION 'role "%" may not use endpoint "%"', caller, name
      USING ERRCODE = 'WF010',
            DETAIL = 'USAGE on the foreign server is the list of who may, also in tests.',
            HINT = format('GRANT USAGE ON FOREIGN SERVER %I TO %I;', name, caller);
  END IF;
  SELECT p.endpoint_id INTO id FROM workflow.endpoint AS p WHERE p.endpoint = name AND p.server_oid = server;
  RETURN coalesce(id, workflow._learn_endpoint(name, server));
END
$$;
COMMENT ON FUNCTION workflow._mocked_endpoint(text, text) IS 'Inner: the key space of an endpoint that the caller may use';

CREATE FUNCTION workflow._mock(caller text, endpoint text, responses jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  id    int;
  wrong record;
BEGIN
  PERFORM workflow._require_given(endpoint IS NOT NULL, 'endpoint');
  PERFORM workflow._require_given(responses IS NOT NULL, 'responses');
  id := workflow._mocked_endpoint(caller, endpoint);
  responses := CASE jsonb_typeof(responses) WHEN 'array' THEN responses ELSE jsonb_build_array(responses) END;
  SELECT r.place, p.problem INTO wrong
  FROM jsonb_array_elements(responses) WITH ORDINALITY AS r (response, place),
       LATERAL (SELECT workflow._response_problem(r.response)) AS p (problem)
  WHERE p.problem IS NOT NULL ORDER BY r.place LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'response % of endpoint "%" is no response', wrong.place, endpoint
      USING ERRCODE = 'invalid_parameter_value', DETAIL = wrong.problem,
            HINT = format('SELECT workflow.mock(%L, ''{"method": "GET", "path": "/things/*", "status": 200, "body": {}}'');', endpoint);
  END IF;
  INSERT INTO workflow.mock (endpoint_id, method, path, answer, times)
  SELECT id, upper(r.response ->> 'method'), r.response ->> 'path', r.response - '{method,path,times}'::text[],
         CASE WHEN r.response ->> 'times' = 'always' THEN NULL ELSE coalesce(workflow._whole_number(r.response -> 'times', 1, 999999999), 1) END
  FROM jsonb_array_elements(responses) WITH ORDINALITY AS r (response, place)
  ORDER BY r.place;
END
$$;
COMMENT ON FUNCTION workflow._mock(text, text, jsonb) IS 'Inner: mock()';

CREATE FUNCTION workflow._is_mocked(effect_id bigint) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM workflow.effect AS e JOIN workflow.mock AS m ON m.endpoint_id = e.endpoint_id
                 WHERE e.effect_id = _is_mocked.effect_id AND workflow._is_own(m.xmin))
$$;
COMMENT ON FUNCTION workflow._is_mocked(bigint) IS 'Inner: whether the present transaction has mocks for the endpoint of an effect';

-- Whether a path, with what follows a question mark, is meant by a pattern.
CREATE FUNCTION workflow._is_path(path text, pattern text) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT path LIKE replace(regexp_replace(pattern, '([\\%_])', '\\\1', 'g'), '*', '%')
$$;
COMMENT ON FUNCTION workflow._is_path(text, text) IS 'Inner: whether a pattern, * for any text, means a path';

-- What there was to say to a request that no mock answers.
CREATE FUNCTION workflow._unanswered(effect workflow.effect, purpose text, body jsonb) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('It is the %s of effect %s, key "%s", with %s. %s',
                CASE purpose WHEN 'action' THEN 'action' WHEN 'before' THEN 'read of the value before' ELSE 'lookup' END,
                effect.effect_id, effect.key, coalesce('the body ' || left(body::text, 500), 'no body'),
                'Mocks of the endpoint: '
                || string_agg(format('%s %s (used %s of %s)', coalesce(m.method, 'any method'), coalesce(m.path, 'any path'),
                                     m.used, coalesce(m.times::text, 'any number')), ', ' ORDER BY m.mock_id) || '.')
  FROM workflow.mock AS m WHERE m.endpoint_id = effect.endpoint_id AND workflow._is_own(m.xmin)
$$;
COMMENT ON FUNCTION workflow._unanswered(workflow.effect, text, jsonb) IS 'Inner: which request no mock answers, and which mocks there are';

CREATE FUNCTION workflow._take_mock(effect_id bigint, purpose text, method text, path text, headers jsonb, body jsonb,
                                    OUT answer jsonb, OUT endpoint text, OUT problem text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  effect workflow.effect;
  taken  bigint;
BEGIN
  SELECT e.* INTO STRICT effect FROM workflow.effect AS e WHERE e.effect_id = effect_id;
  SELECT p.endpoint INTO endpoint FROM workflow.endpoint AS p WHERE p.endpoint_id = effect.endpoint_id;
  UPDATE workflow.mock AS m SET used = m.used + 1
  WHERE m.mock_id = (
    SELECT o.mock_id FROM workflow.mock AS o
    WHERE o.endpoint_id = effect.endpoint_id AND workflow._is_own(o.xmin) AND (o.times IS NULL OR o.used < o.times)
      AND coalesce(o.method = upper(method), true) AND coalesce(workflow._is_path(path, o.path), true)
    ORDER BY o.mock_id LIMIT 1)
  RETURNING m.mock_id, m.answer INTO taken, answer;
  IF NOT FOUND THEN
    problem := workflow._unanswered(effect, purpose, body);
    RETURN;
  END IF;
  -- as most receivers say what they send
  IF answer ?| '{body,text}' AND NOT EXISTS (SELECT FROM jsonb_object_keys(answer -> 'headers') AS h (name) WHERE lower(h.name) = 'content-type') THEN
    answer := jsonb_set(answer, '{headers}', coalesce(answer -> 'headers', '{}')
      || jsonb_build_object('content-type', CASE WHEN answer ? 'body' THEN 'application/json' ELSE 'text/plain' END));
  END IF;
  INSERT INTO workflow.mock_request (mock_id, effect_id, purpose, method, path, headers, body)
  VALUES (taken, effect_id, purpose, method, path, headers, body);
END
$$;
COMMENT ON FUNCTION workflow._take_mock(bigint, text, text, text, jsonb, jsonb) IS
  'Inner: notes a request and takes the first mock that answers it; a null answer when there is none, and what to say then';

CREATE VIEW workflow.mock_requests AS
SELECT row_number() OVER (ORDER BY r.request_id) AS request, p.endpoint, r.purpose, r.method, r.path, r.body, e.key, r.headers,
       CASE WHEN m.answer ? 'failure' THEN NULL ELSE coalesce((m.answer -> 'status')::int, 200) END AS status,
       m.answer ->> 'failure' AS failure, r.effect_id, e.item_id
FROM workflow.mock_request AS r
JOIN workflow.mock AS m ON m.mock_id = r.mock_id
JOIN workflow.effect AS e ON e.effect_id = r.effect_id
JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id;
COMMENT ON VIEW workflow.mock_requests IS
  'Requests of this transaction that mocks have answered, in order; names stand for secrets';
