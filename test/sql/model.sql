--
-- Calls of models: what is asked, which answers are used again, what is asked
-- again, and what it costs.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SET timezone = 'UTC';
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://models.invalid', dedup 'pure');
-- A workflow that asks a model once, with so much more in its state and at its top.
CREATE FUNCTION document(name text, model jsonb, top jsonb DEFAULT '{}') RETURNS json LANGUAGE sql AS $$
  SELECT (jsonb_strip_nulls(jsonb_build_object('workflow', name, 'owner', 'ml', 'initial', 'ASK', 'key', '["$.id"]'::jsonb,
    'retry', '{"default": {"owner": "ml", "max_attempts": 3, "timeout": "5 seconds", "backoff": {"initial": "1 minute", "factor": 2, "jitter": "none"},
               "retry_on": ["timeout", "connection", "overloaded", "unavailable", "rate_limited"]}}'::jsonb,
    'queues', '{"ai": {"owner": "ml", "sla": "1 hour", "escalate_to": ["lead"]}}'::jsonb,
    'states', jsonb_build_object('ASK', jsonb_build_object('as', 'answer', 'on', '{"ok": "DONE", "error": "FAILED"}'::jsonb, 'model',
       '{"endpoint": "llm", "queue": "ai", "version": "1", "profile": "anthropic",
         "body": {"model": "m-1", "max_tokens": 100, "messages": [{"role": "user", "content": "$.text"}]}}'::jsonb || model),
       'DONE', '{"final": "done"}'::jsonb, 'FAILED', '{"final": "failed"}'::jsonb))) || top)::json
$$;
CREATE FUNCTION define(name text, model jsonb, top jsonb DEFAULT '{}') RETURNS int LANGUAGE sql AS $$
  SELECT version FROM workflow.define(document(name, model, top))
$$;
-- A message of the messages API.
CREATE FUNCTION message(said text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
  SELECT '{"id": "msg_1", "type": "message", "model": "m-1", "stop_reason": "end_turn", "usage": {"input_tokens": 30, "output_tokens": 20}}'::jsonb
         || jsonb_build_object('content', jsonb_build_array(jsonb_build_object('type', 'text', 'text', said))) || more
$$;
CREATE FUNCTION ask(workflow text, id text, question text) RETURNS TABLE (state text, answer jsonb) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM workflow.submit(ask.workflow, jsonb_build_object('id', ask.id, 'text', ask.question));
  CALL workflow.run();
  RETURN QUERY SELECT i.state, i.data -> 'answer' FROM workflow.item AS i WHERE i.workflow = ask.workflow AND i.key = ask.id;
END
$$;

-- the same request of the same version is answered once; another version, question or way of reading asks anew
SELECT define('plain', '{"price": {"currency": "USD", "input": 3, "output": 15}}');
BEGIN;
SELECT workflow.mock('llm', jsonb_build_object('body', message('{"a": 1}'), 'headers', '{"request-id": "req_1"}'::jsonb, 'times', 'always'));
SELECT * FROM ask('plain', 'one', 'same');
SELECT * FROM ask('plain', 'two', 'same');
SELECT * FROM ask('plain', 'three', 'other');
SELECT count(*) AS sent FROM workflow.mock_requests;
SELECT o.model, o.request_id, o.stop_reason, o.input_tokens, o.output_tokens, o.cost, o.currency, o.output, o.cached_from IS NOT NULL AS is_cached,
       o.attempt, e.state, e.substate, e.attempts
FROM workflow.model_outputs AS o JOIN workflow.effects AS e USING (effect_id) ORDER BY o.model_output_id;
SELECT t.event, t.reason ~ '^effect \d+ was answered this by the same request: model output \d+$' AS says_so
FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE i.key = 'two' ORDER BY t.seq;
SELECT what, regexp_replace(detail, '\d{2,}', 'N', 'g') AS detail FROM workflow.timeline('plain:two') WHERE what = 'model answer';
SELECT define('plain', '{"version": "2", "price": {"currency": "USD", "input": 3, "output": 15}}');
SELECT * FROM ask('plain', 'four', 'same');
SELECT define('plain', '{"version": "2", "output": "$.stop_reason"}');
SELECT * FROM ask('plain', 'five', 'same');
SELECT define('plain', '{"version": "2", "cache": false}');
SELECT * FROM ask('plain', 'six', 'same');
SELECT count(*) AS sent FROM workflow.mock_requests;
ROLLBACK;

-- an answer that is too old is not used, nor one that the schema of now refuses, nor a failure
BEGIN;
SELECT define('old', '{"cache": "7 days"}');
SET LOCAL pg_workflow.clock = '2030-01-01 00:00+00';
SELECT workflow.mock('llm', jsonb_build_array(
  jsonb_build_object('body', message('{"a": 1}')), jsonb_build_object('body', message('{"a": 2}')),
  jsonb_build_object('body', message('no', '{"stop_reason": "refusal"}')), jsonb_build_object('body', message('{"a": 3}'))));
SELECT * FROM ask('old', 'one', 'x');
SET LOCAL pg_workflow.clock = '2030-01-07 00:00+00';
SELECT * FROM ask('old', 'two', 'x');
SET LOCAL pg_workflow.clock = '2030-01-09 00:00+00';
SELECT * FROM ask('old', 'three', 'x');
SELECT * FROM ask('old', 'four', 'y');
SELECT * FROM ask('old', 'five', 'y');
SELECT define('old', '{"structured": false, "schema": {"type": "object", "required": ["b"]}}');
SELECT workflow.mock('llm', jsonb_build_object('body', message('{"b": 1}')));
SELECT * FROM ask('old', 'six', 'x');
ROLLBACK;

-- a refusal, a truncation, a request that is too long, a full quota and an overload are told apart
BEGIN;
SELECT workflow.mock('llm', jsonb_build_array(
  jsonb_build_object('body', message('I cannot', '{"stop_reason": "refusal"}')),
  jsonb_build_object('body', message('{"a":', '{"stop_reason": "max_tokens"}')),
  jsonb_build_object('body', message('{"a":', '{"stop_reason": "model_context_window_exceeded"}')),
  '{"status": 400, "body": {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}}'::jsonb,
  '{"status": 400, "body": {"error": {"code": "context_length_exceeded", "message": "too much"}}}'::jsonb,
  '{"status": 413, "body": {"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}}'::jsonb,
  '{"status": 400, "body": {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: Field required"}}}'::jsonb,
  '{"status": 429, "body": {"type": "error", "error": {"type": "rate_limit_error", "message": "spend", "details": {"error_code": "enforced_spend_limit_reached"}}}}'::jsonb,
  '{"status": 429, "headers": {"retry-after": "30"}, "body": {"type": "error", "error": {"type": "rate_limit_error", "message": "too many"}}}'::jsonb));
SELECT n, (ask('plain', 'c' || n, 'c' || n)).state FROM generate_series(1, 9) AS n;
SELECT i.key, e.state, e.error_class, e.substate, e.reason FROM workflow.effects AS e JOIN workflow.item AS i USING (item_id) ORDER BY i.key;
ROLLBACK;
BEGIN;
SELECT workflow.mock('llm', '[{"status": 529, "body": {"type": "error", "error": {"type": "overloaded_error"}}},
                              {"status": 503, "headers": {"x-should-retry": "false"}, "body": {}}]');
SELECT n, (ask('plain', 'c' || n, 'c' || n)).state FROM generate_series(1, 2) AS n;
SELECT i.key, e.state, e.error_class, e.reason FROM workflow.effects AS e JOIN workflow.item AS i USING (item_id) ORDER BY i.key;
ROLLBACK;

-- when there is money again, somebody says so
BEGIN;
SELECT workflow.mock('llm', jsonb_build_array('{"status": 429, "body": {"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}}'::jsonb,
                                              jsonb_build_object('body', message('{"a": 1}'))));
SELECT (ask('plain', 'poor', 'poor')).state;
SELECT w.waiting_on, w.waiting_detail, regexp_replace(w.what_next, '\d+', 'N') AS what_next FROM workflow.where_is('plain:poor') AS w;
SELECT hint FROM workflow.health() WHERE "check" = 'effects_blocked';
SELECT regexp_replace(detail, 'is \d+', 'is N') AS detail, hint FROM workflow._conditions_of_outcomes();
SELECT workflow.resolve(effect_id, 'not_applied', 'topped up') FROM workflow.effects WHERE state = 'blocked';
CALL workflow.run();
SELECT state FROM workflow.item;
ROLLBACK;

-- the schema goes to the provider in its form, without what providers do not take, and is what the answer is held to
SELECT define('strict', '{"reask": 2, "schema": {"type": "object", "required": ["confidence"], "properties": {"confidence": {"type": "number", "minimum": 0, "maximum": 1}}}}');
BEGIN;
SELECT workflow.mock('llm', jsonb_build_array(jsonb_build_object('body', message('{"confidence": 7}')),
  jsonb_build_object('body', message('high')), jsonb_build_object('body', message('{"confidence": 0.7}'))));
SELECT * FROM ask('strict', 'one', 'how sure?');
SELECT body - 'messages' AS rest FROM workflow.mock_requests ORDER BY request LIMIT 1;
SELECT request, m.role, m.content FROM workflow.mock_requests, jsonb_to_recordset(body -> 'messages') AS m (role text, content text) ORDER BY request;
SELECT regexp_replace(e.key, '^\d+', 'ITEM') AS key, e.state, e.error_class, e.reason FROM workflow.effects AS e ORDER BY e.effect_id;
SELECT output, errors, generation, effect_state FROM workflow.model_outputs ORDER BY model_output_id;
SELECT count(*) AS jobs FROM workflow.job;
-- what the question came to is used again
SELECT * FROM ask('strict', 'two', 'how sure?');
SELECT count(*) AS sent FROM workflow.mock_requests;
ROLLBACK;
-- also when the item goes back; a question whose answer is not there yet is not asked twice
BEGIN;
SELECT define('back', '{}', '{"states": {
  "ASK":  {"model": {"endpoint": "llm", "queue": "ai", "version": "1", "profile": "anthropic", "reask": 2, "schema": {"type": "number"},
                     "body": {"model": "m-1", "max_tokens": 100, "messages": [{"role": "user", "content": "$.text"}]}},
           "as": "answer", "on": {"ok": "READ", "error": "READ"}},
  "READ": {"on": {"go": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT workflow.mock('llm', jsonb_build_array(jsonb_build_object('body', message('"many"')), jsonb_build_object('body', message('12'))));
SELECT * FROM ask('back', 'one', 'how many?');
SELECT state FROM workflow.rewind('back:one', 'ASK', 'once more');
CALL workflow.run();
SELECT state, data -> 'answer' AS answer FROM workflow.item;
SELECT regexp_replace(e.key, '^\d+', 'ITEM') AS key, e.state, e.substate, e.attempts FROM workflow.effects AS e ORDER BY e.effect_id;
SELECT count(*) AS sent FROM workflow.mock_requests;
-- patched, it is another question
SELECT workflow.mock('llm', jsonb_build_object('body', message('13')));
SELECT state FROM workflow.rewind('back:one', 'ASK', 'other ones', '{"text": "how many others?"}');
CALL workflow.run();
SELECT data -> 'answer' AS answer FROM workflow.item;
ROLLBACK;
-- what would be done once more is only the last question
BEGIN;
SELECT workflow.mock('llm', jsonb_build_array(jsonb_build_object('body', message('{}')), '{"status": 503, "body": {}}'::jsonb));
SELECT * FROM ask('strict', 'one', 'how sure?');
SELECT regexp_replace(key, '^\d+', 'ITEM') AS key, effect_state, verdict, regexp_replace(why, 'effect \d+', 'effect N') AS why
FROM workflow.if_run_again('strict:one') WHERE kind = 'model';
ROLLBACK;
-- what another item was answered since is not sent: the dry run says so, and so it comes
BEGIN;
SELECT define('late', '{}', '{"states": {
  "ASK":  {"model": {"endpoint": "llm", "queue": "ai", "version": "1", "profile": "anthropic", "cache": "1 day",
                     "body": {"model": "m-1", "max_tokens": 100, "messages": [{"role": "user", "content": "$.text"}]}},
           "as": "answer", "on": {"ok": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT workflow.mock('llm', '[{"status": 400, "body": {}}, {"status": 400, "body": {}}]');
SELECT workflow.mock('llm', jsonb_build_object('body', message('12')));
SELECT * FROM ask('late', 'one', 'how many?');
SELECT * FROM ask('late', 'other', 'how much?');
SELECT * FROM ask('late', 'two', 'how many?');
SELECT matched, would_send, already_done FROM workflow.redrive('{"workflow": "late"}');
SELECT verdict, regexp_replace(why, '\d+', 'N', 'g') AS why FROM workflow.if_run_again('late:one') WHERE kind = 'model';
SELECT verdict FROM workflow.if_run_again('late:other') WHERE kind = 'model';
SELECT sum(matched) FROM workflow.redrive('{"workflow": "late", "key": "one"}', dry_run => false, reason => 'it is known');
CALL workflow.run();
SELECT key, state, data -> 'answer' AS answer FROM workflow.item ORDER BY key;
SELECT count(*) AS sent FROM workflow.mock_requests;
-- what is sent after a replay is no first send
SELECT workflow.mock('llm', jsonb_build_object('body', message('99')));
SELECT workflow.replay('late:other', 'once more');
CALL workflow.run();
SELECT what, regexp_replace(detail, '\d+', 'N') AS detail FROM workflow.timeline('late:other') WHERE what LIKE 'effect sent';
SELECT what, regexp_replace(detail, '\d+', 'N') AS detail FROM workflow.timeline('late:one') WHERE what LIKE 'effect sent';
-- an answer that is too old is not used
SET LOCAL pg_workflow.clock = '+2 days';
SELECT workflow.mock('llm', '{"status": 400, "body": {}}');
SELECT * FROM ask('late', 'three', 'how many?');
SELECT matched, would_send, already_done FROM workflow.redrive('{"workflow": "late", "key": "three"}');
ROLLBACK;
-- a call of which nobody knows is not looked up: made again where it may be, else a person is asked
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://odd.invalid', dedup 'none', lookup_path '/by/{key}', lookup_found '$.body.id', lookup_absent '$.status == 404', owner 'ml');
SELECT define('odd', '{"endpoint": "odd"}');
BEGIN;
SELECT workflow.mock('odd', '{"failure": "dropped"}');
SELECT workflow.mock('llm', '{"failure": "dropped"}');
SELECT (ask('odd', 'one', 'lost?')).state, (ask('plain', 'one', 'lost?')).state;
SELECT endpoint, state, attempts, error_class FROM workflow.effects ORDER BY endpoint;
ROLLBACK;
-- not more often than it says; then it is an error
BEGIN;
SELECT workflow.mock('llm', jsonb_build_object('body', message('{}'), 'times', 'always'));
SELECT * FROM ask('strict', 'one', 'how sure?');
SELECT count(*) AS sent FROM workflow.mock_requests;
SELECT event, data ->> 'error_class' AS class, data ->> 'message' AS message FROM workflow.transition WHERE event = 'error';
ROLLBACK;
-- in a form of one's own, and in that of the responses API
BEGIN;
SELECT define('own', '{"profile": null, "path": "/ask", "body": {"turns": [{"say": "$.text"}]}, "output": "$.said", "schema": {"type": "number"},
  "reask": {"times": 1, "at": "turns", "entries": [{"heard": "$.output", "say": "No: {$.errors}"}]}}');
SELECT workflow.mock('llm', '[{"body": {"said": "x"}}, {"body": {"said": 5}}]');
SELECT * FROM ask('own', 'one', 'a number');
SELECT body FROM workflow.mock_requests ORDER BY request DESC LIMIT 1;
SELECT define('responses', '{"profile": "openai_responses", "body": {"model": "r-1", "input": "$.text"}, "reask": {"times": 1, "text": "Wrong:\n{$.errors}"}, "schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}}');
SELECT workflow.mock('llm', '[
  {"body": {"id": "resp_1", "model": "r-1", "status": "completed", "output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "{}"}]}],
            "usage": {"input_tokens": 50, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 5}}},
  {"body": {"id": "resp_2", "model": "r-1", "status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": "{\"a\": 1}"}]}],
            "usage": {"input_tokens": 70, "output_tokens": 5}}}]');
SELECT * FROM ask('responses', 'one', 'a, please');
SELECT path, body FROM workflow.mock_requests ORDER BY request DESC LIMIT 1;
SELECT request_id, input_tokens, cache_read_tokens, output_tokens, stop_reason FROM workflow.model_outputs WHERE workflow = 'responses' ORDER BY model_output_id;
ROLLBACK;

-- a budget: what a call is thought to take is reserved, what it took is counted; the rest waits for the next day
SELECT define('thrifty', '{"estimate": 120, "price": {"currency": "USD", "input": 1000, "output": 5000}}', '{"budget": {"tokens": 200, "cost": 1, "currency": "USD"}}');
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 12:00+00';
SELECT workflow.mock('llm', jsonb_build_object('body', message('{"a": 1}'), 'times', 'always'));
SELECT n, (ask('thrifty', 'b' || n, 'b' || n)).state FROM generate_series(1, 4) AS n;
SELECT workflow, day, tokens, token_limit, cost, cost_limit, currency, refused_at FROM workflow.model_budgets;
SELECT waiting_on, regexp_replace(waiting_detail, '\d{2,}; ', 'N; ') ~ 'tokens are spent today' AS says_so FROM workflow.where_is('thrifty:b3');
SELECT status, waiting_on, attempt, run_at FROM workflow.job WHERE waiting_on = 'budget' ORDER BY job_id LIMIT 1;
SELECT * FROM workflow._conditions_of_models();
-- nothing of it is charged, and a larger budget lets it go on
SELECT define('thrifty', '{"estimate": 120, "price": {"currency": "USD", "input": 1000, "output": 5000}}', '{"budget": {"tokens": 300}}');
SET LOCAL pg_workflow.clock = '2030-01-01 12:06+00';
CALL workflow.run();
SELECT key, state FROM workflow.item ORDER BY key;
SELECT place, what, meaning FROM workflow.diff('thrifty', 1, 2);
-- and so does the next day
SET LOCAL pg_workflow.clock = '2030-01-02 00:01+00';
CALL workflow.run();
SELECT key, state FROM workflow.item ORDER BY key;
SELECT day, tokens, cost, refused_at FROM workflow.model_budgets ORDER BY day;
SELECT count(*) FROM workflow._conditions_of_models();
ROLLBACK;
-- a whole number is one however it is written
BEGIN;
SELECT define('thrifty', '{"estimate": 120.0}', '{"budget": {"tokens": 200}}');
SELECT workflow.mock('llm', '{"failure": "dropped"}');
SELECT (ask('thrifty', 'b8', 'b8')).state;
SELECT tokens FROM workflow.model_budgets WHERE workflow = 'thrifty';
SELECT value, workflow._count_in(value) FROM jsonb_array_elements('[7, 7.00, 7e2, 7.5, -7, 1e14, 1e15, "7", "7.0", "x", null, true]');
ROLLBACK;
-- what was refused cost nothing
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 12:00+00';
SELECT workflow.mock('llm', '{"status": 400, "body": {}}');
SELECT (ask('thrifty', 'b9', 'b9')).state;
SELECT tokens, cost FROM workflow.model_budgets WHERE workflow = 'thrifty';
ROLLBACK;
-- a budget may be larger than any number of tokens
BEGIN;
SELECT define('rich', '{}', '{"budget": {"tokens": 1e30}}');
SELECT workflow.mock('llm', jsonb_build_object('body', message('{"a": 1}')));
SELECT (ask('rich', 'r', 'r')).state;
SELECT tokens, token_limit FROM workflow.model_budgets WHERE workflow = 'rich';
ROLLBACK;
-- a call that alone is more than the budget waits, too
BEGIN;
SELECT define('poor', '{"estimate": 120}', '{"budget": {"tokens": 100}}');
SELECT workflow.mock('llm', jsonb_build_object('body', message('{"a": 1}')));
SELECT (ask('poor', 'p', 'p')).state;
SELECT detail ~ 'calls of models wait since' AS waits FROM workflow._conditions_of_models();
SELECT count(*) AS sent FROM workflow.mock_requests;
ROLLBACK;

-- the rate of a queue in tokens: a job has as many units as its call is thought to take
BEGIN;
SELECT define('paced', '{"units": "tokens", "estimate": 600}');
SELECT define('guessed', '{"units": "tokens"}');
SELECT workflow.submit(w, '{"id": 1, "text": "how much?"}') IS NOT NULL AS submitted FROM unnest('{paced,guessed}'::text[]) AS w;
SELECT i.workflow, j.units FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) ORDER BY 1;
ROLLBACK;

-- streams come to the same as answers that are none
SELECT a.is_whole, a.error, f.model, f.id, f.stop_reason, f.text, f.call, f.input_tokens, f.output_tokens, f.cache_read_tokens
FROM (VALUES
  ('[{"data": {"type": "message_start", "message": {"id": "msg_2", "model": "m-1", "content": [], "stop_reason": null, "usage": {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1}}}},
     {"data": {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}}, {"data": {"type": "ping"}},
     {"data": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "{\"a\""}}},
     {"data": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ": 1}"}}},
     {"data": {"type": "content_block_stop", "index": 0}},
     {"data": {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}}},
     {"data": {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"b\": "}}},
     {"data": {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "2}"}}},
     {"data": {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 15}}}, {"data": {"type": "message_stop"}}]'::jsonb),
  ('[{"data": {"id": "c1", "model": "o-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]}},
     {"data": {"id": "c1", "model": "o-1", "choices": [{"index": 0, "delta": {"content": "he"}, "finish_reason": null}]}},
     {"data": {"id": "c1", "model": "o-1", "choices": [{"index": 0, "delta": {"content": "llo"}, "finish_reason": null}]}},
     {"data": {"id": "c1", "model": "o-1", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{\"b\""}}]}, "finish_reason": null}]}},
     {"data": {"id": "c1", "model": "o-1", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 2}"}}]}, "finish_reason": null}]}},
     {"data": {"id": "c1", "model": "o-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}},
     {"data": {"id": "c1", "model": "o-1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}}, {"data": "[DONE]"}]'),
  ('[{"data": {"type": "response.created", "response": {"id": "r1"}}}, {"data": {"type": "response.output_text.delta", "delta": "he"}},
     {"data": {"type": "response.completed", "response": {"id": "r1", "model": "r-1", "status": "completed", "usage": {"input_tokens": 5, "output_tokens": 2},
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "hello"}]}]}}}]'),
  ('[{"data": {"type": "message_start", "message": {"id": "msg_3", "model": "m-1", "content": [], "usage": {"input_tokens": 25, "output_tokens": 1}}}},
     {"data": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}}]'),
  ('[{"data": {"type": "message_start", "message": {"id": "msg_4", "model": "m-1", "content": [], "usage": {"input_tokens": 25, "output_tokens": 1}}}},
     {"data": {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "he"}}},
     {"data": {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}}}]'),
  ('[{"data": {"id": "c3", "model": "o-1", "choices": [{"index": 0, "delta": {"content": "he"}, "finish_reason": "stop"}]}},
     {"data": {"id": "c3", "model": "o-1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}}]'),
  ('[{"data": {"id": "c2", "model": "o-1", "choices": [{"index": 0, "delta": {"content": "he"}, "finish_reason": null}]}}]'),
  ('[{"data": {"id": "c4", "model": "o-1", "choices": [{"index": 0, "delta": {"content": "he"}, "finish_reason": null}]}},
     {"data": {"id": "c4", "model": "o-1", "choices": [{"index": 1, "delta": {"content": "she"}, "finish_reason": "stop"}]}}]'),
  ('[{"data": {"id": "c5", "model": "o-1", "choices": [{"index": 0, "delta": {"content": "ha"}, "finish_reason": ""}]}}]'),
  ('[{"data": {"type": "response.created", "response": {"id": "r2"}}}, {"data": {"type": "error", "code": "server_error", "message": "sorry"}}]'),
  ('[]')) AS s (events), LATERAL workflow._model_answer(jsonb_build_object('events', s.events)) AS a, LATERAL workflow._model_facts(a.body) AS f;

-- a chat that has a finish_reason is whole, also where the server never says [DONE]; one without is not, and is asked for again
BEGIN;
SET LOCAL pg_workflow.clock = '2030-01-01 12:00+00';
SELECT define('chat', '{"profile": "openai"}');
CREATE FUNCTION chunks(finish_reason text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('headers', '{"content-type": "text/event-stream"}'::jsonb, 'text', concat(
    format(E'data: {"choices": [{"index": 0, "delta": {"content": "5"}, "finish_reason": %s}]}\n\n', finish_reason),
    E'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}\n\n'))
$$;
SELECT workflow.mock('llm', jsonb_build_array(chunks('null'), chunks('"stop"')));
SELECT * FROM ask('chat', 'one', 'a number');
SELECT state, attempts, error_class, reason FROM workflow.effects;
SET LOCAL pg_workflow.clock = '2030-01-01 12:05+00';
CALL workflow.run();
SELECT state, data -> 'answer' AS answer FROM workflow.item;
SELECT attempt, input_tokens, output FROM workflow.model_outputs ORDER BY model_output_id;
ROLLBACK;

-- of the answers to a question that states with other schemas were given, the newest that fits is used again: it has been paid for
BEGIN;
INSERT INTO workflow.model_output (effect_id, output, created_at, fingerprint, reading, reusable)
SELECT 0, a.output, now(), 'question', '', true FROM (VALUES ('{"n": 1}'::jsonb), ('{"n": 2}'), ('"none"')) AS a (output);
SELECT s.schema, (workflow._reusable_output(jsonb_build_object('schema', s.schema), 'question', now())).output
FROM (VALUES ('{"type": "object"}'::jsonb), ('{"type": "string"}'), ('{"type": "array"}')) AS s (schema);
ROLLBACK;

-- whatever else is answered is read without an error
SELECT a.answer, m.is_whole, f.text, f.input_tokens
FROM (VALUES ('5'::jsonb), ('"x"'), ('[1]'), ('null'), ('{"usage": "lots", "content": 5, "choices": {}, "output": [7], "status": 1}'),
  ('{"choices": [{"message": 5}], "usage": [1]}'), ('{"content": [5, {"type": "text"}], "usage": {"input_tokens": -1}}'), ('{"events": {}}'),
  ('{"events": [{"data": {"type": "message_start", "message": 5}}, {"data": {"type": "content_block_start", "content_block": 5}}, {"data": {"type": "message_delta", "delta": [1], "usage": "x"}}]}'),
  ('{"events": [{"data": {"choices": 5}}, {"data": {"choices": [{"delta": {"tool_calls": 5, "content": {"a": 1}}}]}}, {"data": {"choices": [{"delta": 3, "finish_reason": "stop"}], "usage": 1}}]}'),
  ('{"events": [{"data": {"type": "response.completed", "response": 5}}]}')) AS a (answer),
  LATERAL workflow._model_answer(a.answer) AS m, LATERAL workflow._model_facts(m.body) AS f;

-- a document that cannot be meant
SELECT f.code, f.path, f.problem FROM (VALUES
  ('{"profile": "antropic"}'::jsonb, '{}'::jsonb), ('{"profile": null}', '{}'), ('{"reask": 3}', '{}'), ('{"reask": 11, "schema": true}', '{}'),
  ('{"reask": {"times": 1}, "schema": true, "profile": null, "path": "/x"}', '{}'), ('{"cache": "soon"}', '{}'), ('{"units": "words"}', '{}'),
  ('{"estimate": 0}', '{}'), ('{"price": {"input": -1, "output": 1}}', '{}'), ('{}', '{"budget": {}}'), ('{}', '{"budget": {"cost": 1}}'),
  ('{}', '{"budget": {"cost": 1, "currency": "EUR"}}'), ('{"price": {"currency": "USD", "input": 1, "output": 1}}', '{"budget": {"cost": 1, "currency": "EUR"}}'))
  AS d (model, top), LATERAL workflow._document_faults(document('broken', d.model, d.top), current_user, '{}') AS f WHERE f.severity = 'error';
