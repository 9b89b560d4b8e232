--
-- verification: whether a receiver does what its endpoint declares of it.
--
-- A test operation is an effect of kind 'verify', whose key nobody else has.  It is sent, and when
-- it was answered with success it is sent once more, as it would be after an unknown outcome: the
-- same bytes under the same key.  What was seen stands in workflow.verification, and what it shows.
--

-- The options that decide what is sent, and how the answer to a second copy is read.
CREATE FUNCTION workflow._key_profile(options text[]) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(jsonb_object_agg(o.option_name, o.option_value), '{}')
  FROM pg_options_to_table(options) AS o
  WHERE o.option_name IN ('url', 'dedup', 'key_header', 'key_pointer', 'key_format', 'replay_marker', 'ignored_marker', 'already_done')
     OR o.option_name LIKE 'header\_%'
$$;
COMMENT ON FUNCTION workflow._key_profile(text[]) IS
  'Inner: the options of an endpoint that a verification of its declaration depends on';

-- --------------------------------------------------------------------- begin

CREATE FUNCTION workflow._require_verifiable(endpoint text, dedup text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF dedup = 'none' THEN
    RAISE EXCEPTION 'endpoint "%" declares nothing that could be verified', endpoint
      USING ERRCODE = '55000',
            DETAIL = 'With dedup ''none'' a second copy would be a second action, and so none is sent.',
            HINT = format('If its receiver does nothing twice, say so first: ALTER SERVER %I OPTIONS (SET dedup ''key'');', endpoint);
  ELSIF dedup = 'pure' THEN
    RAISE EXCEPTION 'that endpoint "%" changes nothing cannot be verified', endpoint
      USING ERRCODE = '55000',
            DETAIL = 'With dedup ''pure'' a second copy may be answered in another way, and no answer shows that nothing was changed.',
            HINT = format('Whether it can be reached shows a call: SELECT workflow.call(%L, ''GET'', ''/'');', endpoint);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_verifiable(text, text) IS
  'Inner: raises 55000 for an endpoint whose declaration no two sends can verify';

CREATE FUNCTION workflow._operation_problem(operation jsonb) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN jsonb_typeof(operation) <> 'object' THEN 'It is no object.'
    WHEN o.other IS NOT NULL THEN format('It has %s, which is none of method, path, body, headers, content_type, external_id, read, same.', o.other)
    WHEN o.no_text IS NOT NULL THEN format('%s is no text.', o.no_text)
    WHEN operation ->> 'method' IS NULL OR operation ->> 'path' IS NULL THEN 'It needs a method and a path.'
    WHEN operation ->> 'method' NOT IN ('POST', 'PUT', 'PATCH', 'DELETE')
      THEN format('%s changes nothing, so two of them show nothing: use POST, PUT, PATCH or DELETE.', operation ->> 'method')
    WHEN operation ? 'same' AND NOT operation ? 'read' THEN '"same" says what of the answer to "read" has to be the same, and there is no "read".' END
  FROM (SELECT string_agg(format('"%s"', m.name), ', ' ORDER BY m.name)
                 FILTER (WHERE m.name NOT IN ('method', 'path', 'body', 'headers', 'content_type', 'external_id', 'read', 'same')),
               string_agg(format('"%s"', m.name), ', ' ORDER BY m.name)
                 FILTER (WHERE m.name NOT IN ('body', 'headers') AND jsonb_typeof(m.value) <> 'string')
        FROM jsonb_each(CASE jsonb_typeof(operation) WHEN 'object' THEN operation ELSE '{}' END) AS m (name, value)) AS o (other, no_text)
$$;
COMMENT ON FUNCTION workflow._operation_problem(jsonb) IS
  'Inner: what is wrong with a test operation; null when nothing is';

CREATE FUNCTION workflow._is_jsonpath(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM value::jsonpath;
  RETURN true;
EXCEPTION WHEN syntax_error OR data_exception THEN
  RETURN false;
END
$$;
COMMENT ON FUNCTION workflow._is_jsonpath(text) IS 'Inner: whether a text can be read as jsonpath';

CREATE FUNCTION workflow._require_operation(operation jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  problem text := workflow._operation_problem(operation);
  member  text;
BEGIN
  FOREACH member IN ARRAY ARRAY['external_id', 'same'] LOOP
    IF problem IS NULL AND NOT workflow._is_jsonpath(operation ->> member) THEN
      problem := format('"%s" is no jsonpath: %s.', member, operation ->> member);
    END IF;
  END LOOP;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION 'the test operation cannot be used'
      USING ERRCODE = '22023',
            DETAIL = problem,
            HINT = 'SELECT workflow.verify_endpoint(''crm'', ''{"method": "POST", "path": "/test-orders", "body": {}, "external_id": "$.body.id"}'');';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_operation(jsonb) IS 'Inner: raises 22023 for a test operation that cannot be sent, or would show nothing';

-- The request of a test operation: how its object is found in an answer, and what is read after
-- each send, stand where those of an item's effect do.
CREATE FUNCTION workflow._operation_request(operation jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
           'method', operation -> 'method', 'path', operation -> 'path', 'headers', operation -> 'headers',
           'content_type', operation -> 'content_type',
           'spec', jsonb_strip_nulls(jsonb_build_object(
             'external_id', operation -> 'external_id',
             'before', CASE WHEN operation ? 'read' THEN jsonb_build_object('method', 'GET', 'path', operation -> 'read') END))))
      || CASE WHEN operation ? 'body' THEN jsonb_build_object('body', operation -> 'body') ELSE '{}' END
$$;
COMMENT ON FUNCTION workflow._operation_request(jsonb) IS 'Inner: a test operation as the request of an effect';

-- A refutation says that something may be done twice.  Who could change the endpoint, so that it did
-- not count, may also say that its receiver was mended.
CREATE FUNCTION workflow._require_right_to_mend(caller text, endpoint text, mended text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  owner name := (SELECT pg_get_userbyid(s.srvowner) FROM pg_foreign_server AS s WHERE s.srvname = endpoint);
BEGIN
  IF mended = '' THEN
    RAISE EXCEPTION 'mended says nothing'
      USING ERRCODE = '22023',
            DETAIL = 'It says what was mended at the receiver, and is kept.',
            HINT = 'Leave it out where nothing was.';
  ELSIF mended IS NOT NULL AND NOT pg_has_role(caller, owner, 'USAGE') THEN
    RAISE EXCEPTION 'role "%" may not say that the receiver of endpoint "%" was mended', caller, endpoint
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('That would take back a refutation; the endpoint belongs to "%s".', owner),
            HINT = 'Ask its owner; without mended the operation is tried all the same.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_right_to_mend(text, text, text) IS
  'Inner: raises 42501 for who may not take back what was refuted';

CREATE FUNCTION workflow._verify_endpoint(caller text, endpoint text, operation jsonb, mended text) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  profile   jsonb;
  effect_id bigint;
BEGIN
  SELECT workflow._key_profile(s.srvoptions) INTO profile
  FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'workflow_http'
  WHERE s.srvname = endpoint;
  PERFORM workflow._require_verifiable(endpoint, profile ->> 'dedup');
  PERFORM workflow._require_operation(operation);
  PERFORM workflow._ensure_cluster();
  PERFORM workflow._require_right_to_mend(caller, endpoint, mended);
  SELECT r.effect_id INTO effect_id
  FROM workflow._reserve_effect(caller, endpoint, 'verify', 'verify:' || gen_random_uuid(),
                                workflow._operation_request(operation), NULL, NULL) AS r;
  INSERT INTO workflow.verification (effect_id, endpoint_id, profile, same, has_reading, requested_by, requested_at, mended)
  SELECT effect_id, e.endpoint_id, profile, operation ->> 'same', operation ? 'read', caller, workflow._now(), mended
  FROM workflow.effect AS e WHERE e.effect_id = effect_id;
  PERFORM workflow._enqueue_effect(effect_id, endpoint);
  PERFORM workflow._note(caller, 'verify_endpoint', NULL, 'endpoint:' || endpoint, mended,
                         jsonb_build_object('effect_id', effect_id, 'method', operation -> 'method', 'path', operation -> 'path'));
  RETURN effect_id;
END
$$;
COMMENT ON FUNCTION workflow._verify_endpoint(text, text, jsonb, text) IS 'Inner: verify_endpoint()';

CREATE FUNCTION workflow.verify_endpoint(endpoint text, operation jsonb, mended text DEFAULT NULL) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.verify_endpoint(text, jsonb, text) IS
  'Sends a test operation {method, path, body, external_id, read, same, ...} twice under one key; the view endpoints shows whether its receiver did it once. Returns the effect';

-- --------------------------------------------------------------------- judge

-- What is kept of an answer: enough to tell another one from it.
CREATE FUNCTION workflow._seen_in(response jsonb, external_id text, mark text, same text) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
    'status', response -> 'status', 'id', external_id, 'mark', mark,
    'value', left(s.value, 100), 'value_digest', md5(s.value),
    'body_digest', CASE WHEN jsonb_typeof(response -> 'body') <> 'null' THEN md5((response -> 'body')::text) END))
  FROM (SELECT jsonb_path_query_first(response, same::jsonpath, '{}', true)::text) AS s (value)
$$;
COMMENT ON FUNCTION workflow._seen_in(jsonb, text, text, text) IS
  'Inner: what a verification keeps of an answer: status, the object''s id, a marker, digests';

CREATE FUNCTION workflow._judge_verification(seen jsonb, OUT verdict text, OUT detail text) LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  one   jsonb := coalesce(seen -> 'first', '{}');
  two   jsonb := coalesce(seen -> 'second', '{}');
  was   jsonb := coalesce(seen -> 'reading', '{}');
  is_now jsonb := coalesce(seen -> 'reading_again', '{}');
BEGIN
  verdict := 'refuted';
  IF 'ignored' IN (one ->> 'mark', two ->> 'mark') THEN
    detail := 'the receiver says that it ignored the key';
  ELSIF one ->> 'id' <> two ->> 'id' THEN
    detail := format('the second copy made another object: first %s, then %s', one ->> 'id', two ->> 'id');
  ELSIF was ->> 'value_digest' <> is_now ->> 'value_digest' THEN
    detail := format('the second copy has changed what is there: first %s, then %s', was ->> 'value', is_now ->> 'value');
  END IF;
  IF detail IS NOT NULL THEN
    RETURN;
  END IF;

  verdict := 'verified';
  detail := CASE
    WHEN two ->> 'mark' = 'replayed' AND one ->> 'mark' IS DISTINCT FROM 'replayed' THEN 'the second answer is marked as given before'
    WHEN one ->> 'id' = two ->> 'id' THEN format('both answers name the object %s', one ->> 'id')
    WHEN was ->> 'value_digest' = is_now ->> 'value_digest' THEN format('the second copy has left what is there: %s', is_now ->> 'value')
    WHEN two ->> 'mark' = 'already_done' THEN format('the second copy was answered with HTTP %s: it had been done', two ->> 'status')
    WHEN was ->> 'body_digest' = is_now ->> 'body_digest' THEN 'what is read is the same before the second copy and after it'
    WHEN one ->> 'body_digest' = two ->> 'body_digest' AND is_now = '{}' THEN 'both answers are the same' END;
  IF detail IS NULL THEN
    verdict := 'open';
    detail := CASE WHEN one = '{}' THEN 'the first copy was not answered'
                   WHEN two = '{}' THEN 'the second copy got no answer that shows anything'
                   ELSE 'both copies were accepted, and nothing in the answers shows whether it was done once; name external_id, or read and same' END;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._judge_verification(jsonb) IS
  'Inner: what the answers to both copies show: verified, refuted or open, and by what';

-- What comes next; null: nothing more is to be found out.
CREATE FUNCTION workflow._next_verification_step(step text, has_reading boolean, mark text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN mark = 'ignored' THEN NULL
              WHEN step = 'first' AND has_reading THEN 'reading'
              WHEN step IN ('first', 'reading') THEN 'second'
              WHEN step = 'second' AND has_reading THEN 'reading_again' END
$$;
COMMENT ON FUNCTION workflow._next_verification_step(text, boolean, text) IS
  'Inner: the step of a verification that comes after one';

-- Only the last answer can be missing (with a problem): what came before it stands.
CREATE FUNCTION workflow._note_verification(
  effect_id bigint, response jsonb, external_id text, mark text, problem text,
  OUT goes_on boolean, OUT conclusion text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  v      workflow.verification;
  judged record;
BEGIN
  SELECT o.* INTO v FROM workflow.verification AS o WHERE o.effect_id = effect_id FOR UPDATE;
  IF v.step IS NULL THEN
    RETURN;
  END IF;
  IF problem IS NULL THEN
    v.seen := v.seen || jsonb_build_object(v.step, workflow._seen_in(response, external_id, mark,
                CASE WHEN v.step LIKE 'reading%' THEN v.same END));
    v.step := workflow._next_verification_step(v.step, v.has_reading, mark);
  ELSE
    v.step := NULL;
  END IF;
  goes_on := v.step IS NOT NULL;
  IF NOT goes_on THEN
    SELECT j.* INTO judged FROM workflow._judge_verification(v.seen) AS j;
    v.verdict := judged.verdict;
    v.detail := concat_ws(': ', judged.detail, CASE judged.verdict WHEN 'open' THEN problem END);
    v.concluded_at := workflow._now();
    conclusion := CASE v.verdict WHEN 'open' THEN 'not verified' ELSE v.verdict END || ': ' || v.detail;
    PERFORM workflow._note('pg_workflow', CASE v.verdict WHEN 'open' THEN 'endpoint_not_verified' ELSE 'endpoint_' || v.verdict END,
                           NULL, 'endpoint:' || p.endpoint, v.detail, jsonb_build_object('effect_id', effect_id))
    FROM workflow.endpoint AS p WHERE p.endpoint_id = v.endpoint_id;
  END IF;
  UPDATE workflow.verification AS o
  SET step = v.step, seen = v.seen, verdict = v.verdict, detail = v.detail, concluded_at = v.concluded_at
  WHERE o.effect_id = effect_id;
END
$$;
COMMENT ON FUNCTION workflow._note_verification(bigint, jsonb, text, text, text) IS
  'Inner: takes note of what a step of a verification showed, and says whether it goes on';

-- Of the verdicts under some options a refutation counts most: what went well once does not show
-- that it always will.  Only what was verified after somebody had said what was mended is a new beginning.
-- A view and no function: who reads endpoints has no right of his own to what is read here.
CREATE VIEW workflow._counting_verification AS
SELECT DISTINCT ON (o.endpoint_id, o.profile) o.endpoint_id, o.profile, o.verdict, o.concluded_at, o.detail
FROM workflow.verification AS o
WHERE o.verdict IS NOT NULL
  AND NOT EXISTS (SELECT FROM workflow.verification AS m
                  WHERE m.endpoint_id = o.endpoint_id AND m.profile = o.profile AND m.verdict = 'verified'
                    AND m.mended IS NOT NULL AND m.effect_id > o.effect_id)
ORDER BY o.endpoint_id, o.profile, o.verdict = 'open', o.verdict = 'verified', o.effect_id DESC;
COMMENT ON VIEW workflow._counting_verification IS
  'Inner: the verification that counts, of each endpoint and the options under which it was made';
