--
-- model: calls of models: how they are asked, what they answer, what that costs.
--
-- A call of a model is slow and dear beside any statement, so this is SQL.  The
-- shapes are those of the Anthropic messages, the OpenAI chat completions and
-- the OpenAI responses APIs, told apart by what is in them; what is not found
-- stays null.
--

CREATE FUNCTION workflow._read_json(value text) RETURNS jsonb
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_inner_read_json';
COMMENT ON FUNCTION workflow._read_json(text) IS
  'Inner: a text as the JSON that it is; null when it is none, or too deep';

CREATE FUNCTION workflow._count_in(value jsonb) RETURNS bigint LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN value #>> '{}' ~ '^[0-9]{1,15}(\.0*)?$' THEN (value #>> '{}')::numeric::bigint END;
END
$$;
COMMENT ON FUNCTION workflow._count_in(jsonb) IS 'Inner: a count; null for anything else';

-- -------------------------------------------------------------------- request

-- What providers take of a schema when they are to keep to it: no limits of numbers and lengths, no extras.  The
-- answer is validated with the schema itself.
CREATE FUNCTION workflow._portable_schema(schema jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  result jsonb := '{}';
  member record;
BEGIN
  IF jsonb_typeof(schema) <> 'object' THEN
    RETURN schema;
  END IF;
  FOR member IN SELECT m.key, m.value, jsonb_typeof(m.value) AS type FROM jsonb_each(schema) AS m
  LOOP
    CONTINUE WHEN member.key = ANY ('{$schema,$id,$comment,default,examples,title,minimum,maximum,exclusiveMinimum,exclusiveMaximum,multipleOf,
      minLength,maxLength,pattern,format,minItems,maxItems,uniqueItems,minProperties,maxProperties}');
    result := result || jsonb_build_object(member.key, CASE
      WHEN member.key IN ('properties', '$defs', 'definitions') AND member.type = 'object' THEN
        (SELECT coalesce(jsonb_object_agg(p.key, workflow._portable_schema(p.value)), '{}') FROM jsonb_each(member.value) AS p)
      WHEN member.key IN ('anyOf', 'allOf', 'oneOf') AND member.type = 'array' THEN
        (SELECT coalesce(jsonb_agg(workflow._portable_schema(e.value) ORDER BY e.place), '[]')
         FROM jsonb_array_elements(member.value) WITH ORDINALITY AS e (value, place))
      WHEN member.key IN ('items', 'not') THEN workflow._portable_schema(member.value)
      ELSE member.value END);
  END LOOP;
  IF jsonb_typeof(result -> 'properties') = 'object' AND NOT result ? 'additionalProperties' THEN
    result := result || '{"additionalProperties": false}';
  END IF;
  RETURN result;
END
$$;
COMMENT ON FUNCTION workflow._portable_schema(jsonb) IS
  'Inner: the part of a JSON Schema that model providers accept';

-- Strict is what lists all of its properties as required.
CREATE FUNCTION workflow._is_strict_schema(schema jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT NOT EXISTS (
    SELECT FROM jsonb_path_query(schema, 'lax $.** ? (@.type == "object")') AS o
    WHERE jsonb_typeof(o -> 'properties') = 'object'
      AND NOT coalesce(o -> 'required', '[]') @>
              (SELECT coalesce(jsonb_agg(k), '[]') FROM jsonb_object_keys(CASE jsonb_typeof(o -> 'properties') WHEN 'object' THEN o -> 'properties' END) AS k))
$$;
COMMENT ON FUNCTION workflow._is_strict_schema(jsonb) IS
  'Inner: whether each object of a schema requires all of its properties';

-- The member of a body in which a provider wants the schema of its answer.
CREATE FUNCTION workflow._answer_format(profile text, schema jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE profile
    WHEN 'anthropic' THEN jsonb_build_object('output_config', jsonb_build_object('format',
      jsonb_build_object('type', 'json_schema', 'schema', schema)))
    WHEN 'openai' THEN jsonb_build_object('response_format', jsonb_build_object('type', 'json_schema', 'json_schema',
      jsonb_build_object('name', 'answer', 'strict', workflow._is_strict_schema(schema), 'schema', schema)))
    WHEN 'openai_responses' THEN jsonb_build_object('text', jsonb_build_object('format',
      jsonb_build_object('type', 'json_schema', 'name', 'answer', 'strict', workflow._is_strict_schema(schema), 'schema', schema)))
    END
$$;
COMMENT ON FUNCTION workflow._answer_format(text, jsonb) IS
  'Inner: what a profile adds to a body so that the answer keeps to a schema';

-- The body that is sent, and how many tokens it is thought to take.
CREATE FUNCTION workflow._model_request(activity jsonb, rendered jsonb, OUT body jsonb, OUT estimate jsonb)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  profile  text := activity ->> 'profile';
  addition jsonb;
  member   text;
  most     bigint;
  declared bigint := workflow._count_in(activity -> 'estimate');
BEGIN
  body := rendered;
  IF profile IS NOT NULL AND jsonb_typeof(body) = 'object' THEN
    IF jsonb_typeof(activity -> 'schema') = 'object' AND activity -> 'structured' IS DISTINCT FROM 'false' THEN
      addition := workflow._answer_format(profile, workflow._portable_schema(activity -> 'schema'));
      SELECT k INTO member FROM jsonb_object_keys(addition) AS k;
      -- what the document says itself counts
      IF NOT body ? member THEN
        body := body || addition;
      ELSIF jsonb_typeof(body -> member) = 'object' THEN
        body := jsonb_set(body, ARRAY[member], (addition -> member) || (body -> member));
      END IF;
    END IF;
    IF profile = 'openai' AND body -> 'stream' = 'true' AND NOT body ? 'stream_options' THEN
      body := body || '{"stream_options": {"include_usage": true}}';
    END IF;
  END IF;
  most := coalesce(workflow._count_in(body -> 'max_tokens'), workflow._count_in(body -> 'max_completion_tokens'),
                   workflow._count_in(body -> 'max_output_tokens'), 1024);
  estimate := CASE WHEN declared IS NULL THEN jsonb_build_object('input', octet_length(body::text) / 4 + 1, 'output', most)
    ELSE jsonb_build_object('input', greatest(declared - most, 0), 'output', least(declared, most)) END;
END
$$;
COMMENT ON FUNCTION workflow._model_request(jsonb, jsonb) IS
  'Inner: the body of a call of a model, with what its profile adds, and how many tokens it is thought to take: declared, or by size and limit';

-- --------------------------------------------------------------------- stream

CREATE FUNCTION workflow._collect_anthropic(events jsonb, OUT body jsonb, OUT is_whole boolean) LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH event AS (
    SELECT e.place, e.value -> 'data' AS data, e.value #>> '{data,type}' AS type, e.value #>> '{data,index}' AS block
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (value, place)),
  begun AS (SELECT e.data -> 'message' AS message FROM event AS e WHERE e.type = 'message_start' ORDER BY e.place LIMIT 1),
  ended AS (SELECT e.data FROM event AS e WHERE e.type = 'message_delta' ORDER BY e.place DESC LIMIT 1),
  content AS (
    SELECT coalesce(jsonb_agg(b.data -> 'content_block' || CASE b.data #>> '{content_block,type}'
             WHEN 'text' THEN jsonb_build_object('text', concat(b.data #>> '{content_block,text}', d.text))
             WHEN 'tool_use' THEN jsonb_build_object('input', coalesce(workflow._read_json(d.json), b.data #> '{content_block,input}', '{}'))
             WHEN 'thinking' THEN jsonb_build_object('thinking', concat(b.data #>> '{content_block,thinking}', d.thinking))
             ELSE '{}' END ORDER BY b.place), '[]') AS blocks
    FROM event AS b
    LEFT JOIN LATERAL (
      SELECT string_agg(e.data #>> '{delta,text}', '' ORDER BY e.place) AS text,
             string_agg(e.data #>> '{delta,partial_json}', '' ORDER BY e.place) AS json,
             string_agg(e.data #>> '{delta,thinking}', '' ORDER BY e.place) AS thinking
      FROM event AS e WHERE e.type = 'content_block_delta' AND e.block = b.block) AS d ON true
    WHERE b.type = 'content_block_start')
  SELECT s.message || coalesce(e.data -> 'delta', '{}')
         || jsonb_build_object('content', c.blocks,
                               'usage', coalesce(s.message -> 'usage', '{}') || coalesce(e.data -> 'usage', '{}')),
         EXISTS (SELECT FROM event AS o WHERE o.type = 'message_stop')
  FROM begun AS s CROSS JOIN content AS c LEFT JOIN ended AS e ON true
$$;
COMMENT ON FUNCTION workflow._collect_anthropic(jsonb) IS 'Inner: the message that a stream of the messages API comes to';

-- Of several choices the first one counts.  Not every server that speaks this says [DONE] at the end: an answer that has its
-- finish_reason is all there.  (One whose connection breaks off does not come here.)
CREATE FUNCTION workflow._collect_openai(events jsonb, OUT body jsonb, OUT is_whole boolean) LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH chunk AS (
    SELECT e.place, e.value -> 'data' AS data, e.value #> '{data,choices,0,delta}' AS delta
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (value, place)
    WHERE jsonb_typeof(e.value -> 'data') = 'object' AND coalesce(e.value #>> '{data,choices,0,index}', '0') = '0'),
  part AS (
    SELECT c.place, t.value AS call, t.value ->> 'index' AS index
    FROM chunk AS c, jsonb_array_elements(CASE jsonb_typeof(c.delta -> 'tool_calls') WHEN 'array' THEN c.delta -> 'tool_calls' END) AS t (value)),
  call AS (
    SELECT min(p.place) AS place,
           jsonb_build_object('id', max(p.call ->> 'id'), 'type', 'function', 'function', jsonb_build_object(
             'name', max(p.call #>> '{function,name}'),
             'arguments', string_agg(p.call #>> '{function,arguments}', '' ORDER BY p.place))) AS value
    FROM part AS p GROUP BY p.index),
  said AS (
    SELECT max(c.data ->> 'id') AS id, max(c.data ->> 'model') AS model,
           string_agg(c.delta ->> 'content', '' ORDER BY c.place) AS content,
           string_agg(c.delta ->> 'refusal', '' ORDER BY c.place) AS refusal,
           nullif(max(c.data #>> '{choices,0,finish_reason}'), '') AS finish_reason,    -- some say "" until the end
           (array_agg(c.data -> 'usage' ORDER BY c.place DESC) FILTER (WHERE jsonb_typeof(c.data -> 'usage') = 'object'))[1] AS usage
    FROM chunk AS c)
  SELECT jsonb_build_object('id', s.id, 'object', 'chat.completion', 'model', s.model, 'usage', s.usage,
           'choices', jsonb_build_array(jsonb_build_object('index', 0, 'finish_reason', s.finish_reason, 'message',
             jsonb_build_object('role', 'assistant', 'content', s.content, 'refusal', s.refusal)
             || coalesce((SELECT jsonb_build_object('tool_calls', jsonb_agg(l.value ORDER BY l.place)) FROM call AS l HAVING count(*) > 0), '{}')))),
         s.finish_reason IS NOT NULL OR EXISTS (SELECT FROM jsonb_array_elements(events) AS e (value) WHERE e.value -> 'data' = '"[DONE]"')
  FROM said AS s
$$;
COMMENT ON FUNCTION workflow._collect_openai(jsonb) IS 'Inner: the completion that a stream of the chat completions API comes to';

-- What a stream comes to; an answer that is none is as it is.  A stream that ends before its end is told is not whole.
CREATE FUNCTION workflow._model_answer(answer jsonb, OUT body jsonb, OUT is_whole boolean, OUT error jsonb)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  events jsonb := answer -> 'events';
BEGIN
  body := answer;
  is_whole := true;
  IF jsonb_typeof(events) IS DISTINCT FROM 'array' THEN
    error := CASE WHEN answer ->> 'status' = 'failed' THEN answer -> 'error' END;
    RETURN;
  END IF;
  is_whole := events <> '[]';
  SELECT coalesce(e -> 'error', e) INTO error
  FROM jsonb_path_query_first(events, 'lax $[*].data ? (@.type == "error" || (exists(@.error) && @.error != null))') AS e;
  IF jsonb_path_exists(events, 'lax $[*].data ? (@.type == "message_start")') THEN
    SELECT c.body, c.is_whole INTO body, is_whole FROM workflow._collect_anthropic(events) AS c;
  ELSIF jsonb_path_exists(events, 'lax $[*].data.type ? (@ starts with "response.")') THEN
    SELECT e.value #> '{data,response}' INTO body
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (value, place)
    WHERE e.value #>> '{data,type}' IN ('response.completed', 'response.incomplete', 'response.failed')
    ORDER BY e.place DESC LIMIT 1;
    is_whole := body IS NOT NULL;
    error := coalesce(error, CASE WHEN body ->> 'status' = 'failed' THEN body -> 'error' END);
  ELSIF jsonb_path_exists(events, 'lax $[*].data ? (exists(@.choices))') THEN
    SELECT c.body, c.is_whole INTO body, is_whole FROM workflow._collect_openai(events) AS c;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._model_answer(jsonb) IS
  'Inner: the body of an answer, collected where it was a stream; whether that is whole; the error that it ended with';

-- ---------------------------------------------------------------------- facts

-- Tokens in are those that no cache of the provider has to do with, whichever way it counts.
CREATE FUNCTION workflow._model_facts(
  body jsonb, OUT model text, OUT id text, OUT stop_reason text, OUT has_refused boolean, OUT text text, OUT call jsonb,
  OUT input_tokens bigint, OUT output_tokens bigint, OUT cache_read_tokens bigint, OUT cache_write_tokens bigint)
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  usage   jsonb := body -> 'usage';
  message jsonb := body #> '{choices,0,message}';
  cached  bigint;
BEGIN
  model := body ->> 'model';
  id := body ->> 'id';
  stop_reason := coalesce(body ->> 'stop_reason', body #>> '{choices,0,finish_reason}', body #>> '{incomplete_details,reason}', body ->> 'status');
  has_refused := coalesce(stop_reason IN ('refusal', 'content_filter'), false) OR message ->> 'refusal' IS NOT NULL
    OR jsonb_path_exists(body, 'lax $.output[*].content[*] ? (@.type == "refusal")');
  IF message IS NOT NULL THEN
    text := CASE jsonb_typeof(message -> 'content') WHEN 'string' THEN message ->> 'content' END;
    call := workflow._read_json(message #>> '{tool_calls,0,function,arguments}');
  ELSIF jsonb_typeof(body -> 'output') = 'array' THEN
    SELECT string_agg(c ->> 'text', '') INTO text
    FROM jsonb_path_query(body, 'lax $.output[*].content[*] ? (@.type == "output_text")') AS c;
    call := workflow._read_json(jsonb_path_query_first(body, 'lax $.output[*] ? (@.type == "function_call").arguments') #>> '{}');
  ELSIF jsonb_typeof(body -> 'content') = 'array' THEN
    SELECT string_agg(c ->> 'text', '') INTO text FROM jsonb_path_query(body, 'lax $.content[*] ? (@.type == "text")') AS c;
    call := jsonb_path_query_first(body, 'lax $.content[*] ? (@.type == "tool_use").input');
  END IF;
  cached := coalesce(workflow._count_in(usage #> '{prompt_tokens_details,cached_tokens}'), workflow._count_in(usage #> '{input_tokens_details,cached_tokens}'));
  input_tokens := coalesce(workflow._count_in(usage -> 'input_tokens'), workflow._count_in(usage -> 'prompt_tokens'));
  input_tokens := CASE WHEN cached > input_tokens THEN 0 ELSE input_tokens - coalesce(cached, 0) END;
  output_tokens := coalesce(workflow._count_in(usage -> 'output_tokens'), workflow._count_in(usage -> 'completion_tokens'));
  cache_read_tokens := coalesce(cached, workflow._count_in(usage -> 'cache_read_input_tokens'));
  cache_write_tokens := workflow._count_in(usage -> 'cache_creation_input_tokens');
END
$$;
COMMENT ON FUNCTION workflow._model_facts(jsonb) IS
  'Inner: what an answer of a model says of itself, in the shape of any of the known APIs';

CREATE FUNCTION workflow._model_cost(price jsonb, input bigint, output bigint, cache_read bigint, cache_write bigint) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN coalesce(input, output) IS NOT NULL THEN
    trim_scale((coalesce(input, 0) * (price ->> 'input')::numeric + coalesce(output, 0) * (price ->> 'output')::numeric
     + coalesce(cache_read, 0) * coalesce(price ->> 'cache_read', price ->> 'input')::numeric
     + coalesce(cache_write, 0) * coalesce(price ->> 'cache_write', price ->> 'input')::numeric) / 1000000) END;
END
$$;
COMMENT ON FUNCTION workflow._model_cost(jsonb, bigint, bigint, bigint, bigint) IS
  'Inner: what tokens cost, by prices for a million of each kind; null without prices';

-- --------------------------------------------------------------------- answer

CREATE FUNCTION workflow._says_too_long(error jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce('context_length_exceeded' IN (error ->> 'code', error ->> 'type') OR error ->> 'type' = 'request_too_large'
    OR error ->> 'message' ~* 'prompt is too long|input is too long|context (length|window)|maximum context', false)
$$;
COMMENT ON FUNCTION workflow._says_too_long(jsonb) IS
  'Inner: whether an error of a provider says that the request is longer than the context of the model';

CREATE FUNCTION workflow._model_error_class(error jsonb) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN workflow._says_too_long(error) THEN 'validation'
    WHEN error ->> 'type' = 'overloaded_error' THEN 'overloaded'
    WHEN 'rate_limit_error' = error ->> 'type' OR 'rate_limit_exceeded' = error ->> 'code' THEN 'rate_limited'
    ELSE 'unavailable' END
$$;
COMMENT ON FUNCTION workflow._model_error_class(jsonb) IS 'Inner: the class of an error that a provider ended an answer with';

-- Reads and keeps the answer to an attempt.  error_class null: "output" is the result; "again": it is worth trying again as it is.
CREATE FUNCTION workflow._record_model_answer(
  effect_id bigint, response jsonb, answer jsonb, at timestamptz,
  OUT model_output_id bigint, OUT output jsonb, OUT error_class text, OUT substate text, OUT message text, OUT again boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  e      record;
  said   record;
  f      record;
  errors jsonb;
  cost   numeric;
BEGIN
  SELECT o.item_id, o.spec, o.fingerprint, o.attempts INTO e FROM workflow.effect AS o WHERE o.effect_id = effect_id;
  SELECT * INTO said FROM workflow._model_answer(answer);
  SELECT * INTO f FROM workflow._model_facts(said.body);
  again := false;
  output := CASE WHEN e.spec ? 'output' THEN jsonb_path_query_first(said.body, (e.spec ->> 'output')::jsonpath, '{}', true)
                 WHEN e.spec ? 'profile' THEN coalesce(f.call, to_jsonb(f.text))
                 ELSE said.body END;
  IF jsonb_typeof(output) = 'string' THEN
    output := coalesce(workflow._read_json(output #>> '{}'), output);
  END IF;
  IF said.error IS NOT NULL AND said.error <> 'null' THEN
    error_class := workflow._model_error_class(said.error);
    again := error_class <> 'validation';
    message := concat_ws(': ', 'the model ended with an error', coalesce(said.error ->> 'message', said.error ->> 'type'));
    substate := CASE WHEN NOT again THEN 'context_too_long' END;
  ELSIF NOT said.is_whole THEN
    error_class := 'connection';
    again := true;
    message := 'the stream ended before its last event';
  ELSIF f.has_refused THEN
    error_class := 'refused';
    message := 'the model refused to answer';
  ELSIF f.stop_reason IN ('max_tokens', 'length', 'max_output_tokens', 'model_context_window_exceeded') THEN
    error_class := 'truncated';
    message := 'the model''s answer was cut off';
    substate := CASE f.stop_reason WHEN 'model_context_window_exceeded' THEN 'context_too_long' END;
  ELSIF output IS NULL THEN
    error_class := 'validation';
    message := 'the output selector finds nothing in the model''s answer';
    errors := jsonb_build_array(jsonb_build_object('path', '', 'keyword', 'output', 'message', 'nothing is found where the answer is expected'));
  ELSIF e.spec ? 'schema' THEN
    SELECT jsonb_agg(jsonb_build_object('path', s.path, 'keyword', s.keyword, 'message', s.message)) INTO errors
    FROM (SELECT * FROM workflow.schema_errors(e.spec -> 'schema', output) LIMIT 20) AS s;
    IF errors IS NOT NULL THEN
      error_class := 'schema';
      message := format('the model''s answer is not what the schema allows: %s%s', concat_ws(' ', nullif(errors #>> '{0,path}', ''), errors #>> '{0,message}'),
                        CASE WHEN jsonb_array_length(errors) > 1 THEN format(', and %s more', jsonb_array_length(errors) - 1) END);
    END IF;
  END IF;
  cost := workflow._model_cost(e.spec -> 'price', f.input_tokens, f.output_tokens, f.cache_read_tokens, f.cache_write_tokens);
  INSERT INTO workflow.model_output AS n
    (effect_id, item_id, version, model, request_id, stop_reason, input_tokens, output_tokens, output, created_at, attempt,
     cache_read_tokens, cache_write_tokens, cost, currency, errors, fingerprint, reading, reusable)
  VALUES
    (effect_id, e.item_id, e.spec ->> 'version', f.model,
     coalesce(response #>> '{headers,request-id}', response #>> '{headers,x-request-id}', f.id),
     f.stop_reason, f.input_tokens, f.output_tokens, output, at, e.attempts, f.cache_read_tokens, f.cache_write_tokens,
     cost, CASE WHEN cost IS NOT NULL THEN e.spec #>> '{price,currency}' END, errors, workflow._question(e.spec, e.fingerprint),
     workflow._reading(e.spec), error_class IS NULL)
  RETURNING n.model_output_id INTO model_output_id;
END
$$;
COMMENT ON FUNCTION workflow._record_model_answer(bigint, jsonb, jsonb, timestamptz) IS
  'Inner: reads the answer of a model, keeps it, and says what it comes to';

CREATE FUNCTION workflow._reading(spec jsonb) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(spec ->> 'output', spec ->> 'profile', '')
$$;
COMMENT ON FUNCTION workflow._reading(jsonb) IS 'Inner: how the output is found in an answer, as a text';

-- ---------------------------------------------------------------------- cache

-- Whoever asks again asks the same question still: its answer is the one that is used again for the first request.
CREATE FUNCTION workflow._question(spec jsonb, fingerprint bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN coalesce(decode(spec ->> 'question', 'hex'), fingerprint);
END
$$;
COMMENT ON FUNCTION workflow._question(jsonb, bytea) IS
  'Inner: the fingerprint of the request that a model was asked first, before it was asked again';

-- The answer that the same question of the same version was given, if it may be used again.
CREATE FUNCTION workflow._reusable_output(spec jsonb, fingerprint bytea, at timestamptz) RETURNS workflow.model_output
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  question bytea := workflow._question(spec, fingerprint);
  source workflow.model_output;
BEGIN
  IF spec -> 'cache' = 'false' THEN
    RETURN NULL;
  END IF;
  FOR source IN    -- states may ask the same with other schemas; one whose answers seldom fit asks anew
    SELECT o.*
    FROM workflow.model_output AS o
    WHERE o.fingerprint = question AND o.reusable AND o.output IS NOT NULL
      AND o.version IS NOT DISTINCT FROM spec ->> 'version' AND o.reading = workflow._reading(spec)
      AND (jsonb_typeof(spec -> 'cache') IS DISTINCT FROM 'string' OR o.created_at >= at - (spec ->> 'cache')::interval)
    ORDER BY o.model_output_id DESC LIMIT 10
  LOOP
    IF workflow.schema_valid(coalesce(spec -> 'schema', 'true'), source.output) THEN
      RETURN source;
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._reusable_output(jsonb, bytea, timestamptz) IS
  'Inner: the answer that the same question was given before; null: there is none that may be used again';

-- Where there is one nothing is sent.  The effect is locked.
CREATE FUNCTION workflow._reuse_model_output(effect_id bigint, at timestamptz) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  e      record;
  source workflow.model_output;
  own    bigint;
BEGIN
  SELECT o.item_id, o.spec, o.fingerprint INTO e FROM workflow.effect AS o WHERE o.effect_id = effect_id;
  source := workflow._reusable_output(e.spec, e.fingerprint, at);
  IF source.model_output_id IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO workflow.model_output
    (effect_id, item_id, version, model, stop_reason, input_tokens, output_tokens, created_at, cost, currency, fingerprint, reading, cached_from)
  VALUES
    (effect_id, e.item_id, source.version, source.model, source.stop_reason, 0, 0, at,
     CASE WHEN e.spec ? 'price' THEN 0 END, e.spec #>> '{price,currency}', source.fingerprint, source.reading, source.model_output_id)
  RETURNING workflow.model_output.model_output_id INTO own;
  UPDATE workflow.effect AS o
  SET state = 'succeeded', substate = 'cached', model_output_id = own, finished_at = at, next_at = NULL, error_class = NULL,
      reason = format('effect %s was answered this by the same request: model output %s', source.effect_id, source.model_output_id)
  WHERE o.effect_id = effect_id;
  RETURN true;
END
$$;
COMMENT ON FUNCTION workflow._reuse_model_output(bigint, timestamptz) IS
  'Inner: lets an effect succeed with the answer that the same request was given before; false: there is none';

-- --------------------------------------------------------------------- budget

-- That of the active version: a budget is the workflow's, not an item's.
CREATE FUNCTION workflow._budget_of(workflow text, OUT tokens numeric, OUT cost numeric, OUT currency text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT (d.budget ->> 'tokens')::numeric, (d.budget ->> 'cost')::numeric, d.budget ->> 'currency' INTO tokens, cost, currency
  FROM workflow.workflow AS w JOIN workflow.definition AS d ON d.workflow = w.workflow AND d.version = w.active_version
  WHERE w.workflow = _budget_of.workflow;
END
$$;
COMMENT ON FUNCTION workflow._budget_of(text) IS 'Inner: what a workflow may spend on models in a day; null: as much as it likes';

-- Counts what has ended, and forgets what was never sent.  Whoever does has the budget for himself.
CREATE FUNCTION workflow._count_model_calls(workflow text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  WITH gone AS (
    DELETE FROM workflow.model_call AS c
    WHERE c.workflow = _count_model_calls.workflow
      AND (c.used_tokens IS NOT NULL
           OR NOT EXISTS (SELECT FROM workflow.effect AS e WHERE e.effect_id = c.effect_id AND e.state = 'sending'))
    RETURNING c.day, c.used_tokens, c.used_cost)
  UPDATE workflow.model_budget AS b SET tokens = b.tokens + g.tokens, cost = b.cost + g.cost
  FROM (SELECT o.day, coalesce(sum(o.used_tokens), 0) AS tokens, coalesce(sum(o.used_cost), 0) AS cost FROM gone AS o GROUP BY o.day) AS g
  WHERE b.workflow = _count_model_calls.workflow AND b.day = g.day;
END
$$;
COMMENT ON FUNCTION workflow._count_model_calls(text) IS 'Inner: adds what calls of models took to the budgets of their days';

-- What is spent on a day, and what is under way.
CREATE FUNCTION workflow._spent_on_models(workflow text, day date, OUT tokens numeric, OUT cost numeric) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT coalesce(max(b.tokens), 0) + coalesce(max(c.tokens), 0), coalesce(max(b.cost), 0) + coalesce(max(c.cost), 0) INTO tokens, cost
  FROM (SELECT sum(coalesce(o.used_tokens, o.tokens)) AS tokens, sum(coalesce(o.used_cost, o.cost)) AS cost
        FROM workflow.model_call AS o
        WHERE o.workflow = _spent_on_models.workflow AND o.day = _spent_on_models.day) AS c
  LEFT JOIN workflow.model_budget AS b ON b.workflow = _spent_on_models.workflow AND b.day = _spent_on_models.day;
END
$$;
COMMENT ON FUNCTION workflow._spent_on_models(text, date) IS
  'Inner: what calls of models have taken on a day, those under way with what they are thought to take';

CREATE FUNCTION workflow._try_budget(workflow text) RETURNS boolean
LANGUAGE C STRICT VOLATILE AS 'MODULE_PATHNAME', 'wf_inner_try_budget';
COMMENT ON FUNCTION workflow._try_budget(text) IS
  'Inner: whether the budget of a workflow is the present transaction''s to charge, until it ends; nobody is waited for';

-- Whether a call fits into the budget of today; "until" null: it does.  Who charges it has it for himself until his transaction ends,
-- so that the next one sees what is reserved.
CREATE FUNCTION workflow._refused_by_budget(
  workflow text, at timestamptz, tokens bigint, cost numeric, OUT until timestamptz, OUT message text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  today  date := (at AT TIME ZONE 'UTC')::date;
  budget record;
  spent  record;
BEGIN
  SELECT * INTO budget FROM workflow._budget_of(workflow);
  IF NOT workflow._try_budget(workflow) THEN
    until := at + interval '100 milliseconds';
    message := 'another call is just being charged to the budget';
    RETURN;
  END IF;
  INSERT INTO workflow.model_budget (workflow, day) VALUES (workflow, today) ON CONFLICT DO NOTHING;
  PERFORM workflow._count_model_calls(workflow);
  SELECT * INTO spent FROM workflow._spent_on_models(workflow, today);
  message := CASE
    WHEN spent.tokens + tokens > budget.tokens THEN
      format('%s of %s tokens are spent today, and the call may take %s', spent.tokens, budget.tokens, tokens)
    WHEN spent.cost + coalesce(cost, 0) > budget.cost THEN
      format('%s of %s %s are spent today, and the call may cost %s', spent.cost, budget.cost, budget.currency, coalesce(cost, 0)) END;
  -- also where it stays the same: a session with an older snapshot may not charge what it does not see all of
  UPDATE workflow.model_budget AS b SET refused_at = CASE WHEN message IS NOT NULL THEN coalesce(b.refused_at, at) END
  WHERE b.workflow = workflow AND b.day = today;
  IF message IS NOT NULL THEN
    until := least(at + interval '5 minutes', (today + 1)::timestamp AT TIME ZONE 'UTC');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._refused_by_budget(text, timestamptz, bigint, numeric) IS
  'Inner: whether the budget of a workflow lets no such call begin now, until when to wait, and why';

-- ----------------------------------------------------------- begin and end

-- Whether a call may begin: "go", "reused" (it is answered already) or "wait", for another call or for the budget.
CREATE FUNCTION workflow._begin_model_call(
  effect_id bigint, at timestamptz, OUT verdict text, OUT until timestamptz, OUT waiting_on text, OUT message text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  e      record;
  budget record;
  other  bigint;
  has_budget boolean;
  tokens bigint;
  cost   numeric;
BEGIN
  SELECT o.spec, workflow._question(o.spec, o.fingerprint) AS question, o.attempts, i.workflow INTO e
  FROM workflow.effect AS o LEFT JOIN workflow.item AS i USING (item_id) WHERE o.effect_id = effect_id;
  IF workflow._reuse_model_output(effect_id, at) THEN
    verdict := 'reused';
    RETURN;
  END IF;
  verdict := 'wait';
  IF e.spec -> 'cache' IS DISTINCT FROM 'false' THEN
    SELECT c.effect_id INTO other
    FROM workflow.model_call AS c JOIN workflow.effect AS o USING (effect_id)
    WHERE c.fingerprint = e.question AND c.effect_id <> effect_id AND c.version IS NOT DISTINCT FROM e.spec ->> 'version'
      AND o.state = 'sending' LIMIT 1;
    IF FOUND THEN
      until := at + interval '1 second';
      waiting_on := 'same_request';
      message := format('effect %s asks the same just now', other);
      RETURN;
    END IF;
  END IF;
  SELECT b.tokens IS NOT NULL OR b.cost IS NOT NULL INTO has_budget FROM workflow._budget_of(e.workflow) AS b;
  tokens := coalesce(workflow._count_in(e.spec #> '{estimate,input}'), 0) + coalesce(workflow._count_in(e.spec #> '{estimate,output}'), 0);
  cost := workflow._model_cost(e.spec -> 'price', workflow._count_in(e.spec #> '{estimate,input}'),
                               workflow._count_in(e.spec #> '{estimate,output}'), 0, 0);
  IF has_budget THEN
    SELECT r.until, r.message INTO until, message FROM workflow._refused_by_budget(e.workflow, at, tokens, cost) AS r;
    IF until IS NOT NULL THEN
      waiting_on := 'budget';
      RETURN;
    END IF;
  END IF;
  verdict := 'go';
  INSERT INTO workflow.model_call AS c (effect_id, attempt, fingerprint, version, workflow, day, tokens, cost)
  VALUES (effect_id, e.attempts + 1, e.question, e.spec ->> 'version', CASE WHEN has_budget THEN e.workflow END,
          (at AT TIME ZONE 'UTC')::date, tokens, cost)
  ON CONFLICT ON CONSTRAINT model_call_pkey DO UPDATE
    SET used_tokens = NULL, used_cost = NULL, workflow = excluded.workflow, day = excluded.day, tokens = excluded.tokens, cost = excluded.cost;
END
$$;
COMMENT ON FUNCTION workflow._begin_model_call(bigint, timestamptz) IS
  'Inner: whether a call of a model may begin; if so, what it is thought to take is reserved';

-- An attempt is over: with an answer it took what that says, else nothing, unless that is not known.  Whoever is charged is not
-- waited for: the next call counts it.
CREATE FUNCTION workflow._end_model_call(effect_id bigint, attempt int, model_output_id bigint, is_known boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  took record;
BEGIN
  SELECT coalesce(o.input_tokens, 0) + coalesce(o.output_tokens, 0) + coalesce(o.cache_read_tokens, 0) + coalesce(o.cache_write_tokens, 0) AS tokens,
         coalesce(o.cost, 0) AS cost INTO took
  FROM workflow.model_output AS o
  WHERE o.model_output_id = model_output_id AND coalesce(o.input_tokens, o.output_tokens) IS NOT NULL;
  UPDATE workflow.model_call AS c
  SET used_tokens = coalesce(took.tokens, CASE WHEN is_known AND model_output_id IS NULL THEN 0 ELSE c.tokens END),
      used_cost = coalesce(took.cost, CASE WHEN is_known AND model_output_id IS NULL THEN 0 ELSE c.cost END, 0)
  WHERE c.effect_id = effect_id AND c.attempt = attempt AND c.workflow IS NOT NULL;
  DELETE FROM workflow.model_call AS c WHERE c.effect_id = effect_id AND c.workflow IS NULL;
END
$$;
COMMENT ON FUNCTION workflow._end_model_call(bigint, int, bigint, boolean) IS
  'Inner: a call of a model is over; notes what it took for the budget it is charged to';

-- ---------------------------------------------------------------------- reask

-- What is added to the conversation in the provider's form; "at" is the member of the body that has it.
CREATE FUNCTION workflow._reask_form(spec jsonb, OUT times int, OUT at text, OUT entries jsonb) LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE jsonb_typeof(spec -> 'reask') WHEN 'number' THEN (spec ->> 'reask')::numeric::int ELSE (spec #>> '{reask,times}')::numeric::int END,
         coalesce(spec #>> '{reask,at}', CASE spec ->> 'profile' WHEN 'openai_responses' THEN 'input' ELSE 'messages' END),
         coalesce(spec #> '{reask,entries}', jsonb_build_array(
           jsonb_build_object('role', 'assistant', 'content', '$.answer'),
           jsonb_build_object('role', 'user', 'content', coalesce(spec #>> '{reask,text}',
             E'That answer is not what the schema allows:\n{$.errors}\nAnswer again, with all of it, and with nothing but JSON that the schema allows.'))))
$$;
COMMENT ON FUNCTION workflow._reask_form(jsonb) IS
  'Inner: how often a model is asked again, and what the question is; templates over {answer, errors, output}';

-- The request that asks again after an answer that could not be used; no row when it is not to be.
CREATE FUNCTION workflow._reask(effect_id bigint)
RETURNS TABLE (body jsonb, at text, entries jsonb, data jsonb) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE jsonb_typeof(b.body -> r.at)
           WHEN 'string' THEN jsonb_set(b.body, ARRAY[r.at], jsonb_build_array(jsonb_build_object('role', 'user', 'content', b.body -> r.at)))
           ELSE b.body END,
         r.at, r.entries,
         jsonb_build_object('answer', coalesce(nullif(f.text, ''), o.output #>> '{}', 'null'), 'output', o.output, 'errors',
           (SELECT string_agg(format('- %s: %s', coalesce(nullif(x.value ->> 'path', ''), '/'), x.value ->> 'message'), E'\n' ORDER BY x.place)
            FROM jsonb_array_elements(o.errors) WITH ORDINALITY AS x (value, place)))
  FROM workflow.effect AS e
  JOIN workflow.model_output AS o ON o.model_output_id = e.model_output_id AND o.effect_id = e.effect_id,
  LATERAL workflow._reask_form(e.spec) AS r,
  LATERAL (SELECT workflow._read_json(convert_from(e.body, 'UTF8'))) AS b (body),
  LATERAL workflow._model_answer(e.response -> 'body') AS a,
  LATERAL workflow._model_facts(a.body) AS f
  WHERE e.effect_id = _reask.effect_id AND e.kind = 'model' AND e.state = 'failed' AND o.errors IS NOT NULL
    AND coalesce((e.spec ->> 'asked')::int, 0) < r.times AND jsonb_typeof(b.body) = 'object'
    AND jsonb_typeof(b.body -> r.at) IN ('array', 'string')
$$;
COMMENT ON FUNCTION workflow._reask(bigint) IS
  'Inner: the request of a model once more, and what is to be added to it: the answer, and what is wrong with it';

-- ---------------------------------------------------------------------- views

-- For where_is(): why no call begins now, and when one will.
CREATE FUNCTION workflow._waiting_for_model(workflow text, effect workflow.effect, reason text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE reason
    WHEN 'same_request' THEN
      coalesce((SELECT format('effect %s asks the same just now', c.effect_id) FROM workflow.model_call AS c
                WHERE c.fingerprint = workflow._question(effect.spec, effect.fingerprint) AND c.effect_id <> effect.effect_id ORDER BY c.effect_id LIMIT 1),
               'another call asked the same')
    ELSE (SELECT concat_ws(', ',
                   format('budget of workflow %s', workflow),
                   CASE WHEN l.tokens IS NOT NULL THEN format('%s of %s tokens are spent today', s.tokens, l.tokens) END,
                   CASE WHEN l.cost IS NOT NULL THEN format('%s of %s %s are spent today', s.cost, l.cost, l.currency) END,
                   format('there is a new one at %s', (d.day + 1)::timestamp AT TIME ZONE 'UTC'))
          FROM (SELECT (workflow._now() AT TIME ZONE 'UTC')::date) AS d (day), LATERAL workflow._budget_of(workflow) AS l,
               LATERAL workflow._spent_on_models(workflow, d.day) AS s) END
$$;
COMMENT ON FUNCTION workflow._waiting_for_model(text, workflow.effect, text) IS
  'Inner: what a call of a model waits for, its budget or another call, in words';

CREATE VIEW workflow.model_outputs AS
SELECT o.model_output_id, o.effect_id, p.endpoint, o.item_id, i.workflow, e.item_state AS state, e.state AS effect_state,
       o.version, o.model, o.request_id, o.stop_reason, o.input_tokens, o.output_tokens, o.cache_read_tokens, o.cache_write_tokens,
       o.cost, o.currency, o.cached_from, coalesce(o.output, s.output) AS output, o.errors, o.attempt, e.generation, o.created_at
FROM workflow.model_output AS o
JOIN workflow.effect AS e USING (effect_id)
JOIN workflow.endpoint AS p USING (endpoint_id)
LEFT JOIN workflow.item AS i ON i.item_id = o.item_id
LEFT JOIN workflow.model_output AS s ON s.model_output_id = o.cached_from;
COMMENT ON VIEW workflow.model_outputs IS
  'What models have answered: request id, model, tokens, stop reason, cost, output; or which earlier answer was used again';

CREATE VIEW workflow.model_budgets AS
SELECT w.workflow, d.day, coalesce(b.tokens, 0) + coalesce(c.tokens, 0) AS tokens, l.tokens AS token_limit,
       coalesce(b.cost, 0) + coalesce(c.cost, 0) AS cost, l.cost AS cost_limit, l.currency, b.refused_at
FROM workflow.workflow AS w
LEFT JOIN LATERAL (
  SELECT (v.budget ->> 'tokens')::numeric AS tokens, (v.budget ->> 'cost')::numeric AS cost, v.budget ->> 'currency' AS currency
  FROM workflow.definition AS v WHERE v.workflow = w.workflow AND v.version = w.active_version) AS l ON true
CROSS JOIN LATERAL (
  SELECT (workflow._now() AT TIME ZONE 'UTC')::date AS day
  UNION SELECT o.day FROM workflow.model_budget AS o WHERE o.workflow = w.workflow) AS d
LEFT JOIN workflow.model_budget AS b ON b.workflow = w.workflow AND b.day = d.day
CROSS JOIN LATERAL (
  SELECT sum(coalesce(o.used_tokens, o.tokens)) AS tokens, sum(coalesce(o.used_cost, o.cost)) AS cost
  FROM workflow.model_call AS o WHERE o.workflow = w.workflow AND o.day = d.day) AS c
WHERE l.tokens IS NOT NULL OR l.cost IS NOT NULL OR b.day IS NOT NULL;
COMMENT ON VIEW workflow.model_budgets IS
  'What workflows with a budget have spent on models, day by day (UTC), calls under way with what they are thought to take; and the present limits';

-- ----------------------------------------------------------------- conditions

CREATE FUNCTION workflow._conditions_of_models()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'budget_spent', 'workflow:' || b.workflow, 'page', w.owner,
         format('calls of models wait since %s: %s', b.refused_at, concat_ws(', ',
           CASE WHEN l.tokens IS NOT NULL THEN format('%s of %s tokens are spent', s.tokens, l.tokens) END,
           CASE WHEN l.cost IS NOT NULL THEN format('%s of %s %s are spent', s.cost, l.cost, l.currency) END)),
         format('SELECT * FROM workflow.model_budgets WHERE workflow = %L;  -- they go on at %s, or within five minutes when workflow.define() gives a larger "budget"',
                b.workflow,
                (b.day + 1)::timestamp AT TIME ZONE 'UTC')
  FROM workflow.model_budget AS b
  JOIN workflow.workflow AS w USING (workflow),
  LATERAL workflow._budget_of(b.workflow) AS l,
  LATERAL workflow._spent_on_models(b.workflow, b.day) AS s
  WHERE b.day = (workflow._now() AT TIME ZONE 'UTC')::date AND b.refused_at IS NOT NULL
$$;
COMMENT ON FUNCTION workflow._conditions_of_models() IS 'Inner: workflows whose budget of today is spent';
