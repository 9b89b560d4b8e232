--
-- A refusal says what is wrong, and what to do about that.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SELECT workflow.create_queue('q', 'ops', '1 hour', '{lead}');

-- nulls
SELECT workflow.enqueue(NULL, '{}');
SELECT workflow.enqueue('q', NULL);
SELECT workflow.enqueue_many(NULL, '{}');
SELECT workflow.enqueue_many('q', NULL);
SELECT workflow.extend(1, 'token', NULL);
SELECT workflow.extend_many(NULL, '{token}', '1 minute');
SELECT workflow.release(1, NULL);
SELECT workflow.release_many('{1}', NULL);
SELECT workflow.enqueue_many('q', '{1,NULL}');

-- the class of an error, before the claim is looked for
SELECT workflow.fail(4711, 'x', 'perm');
SELECT workflow.fail_many('{4711}', '{x}', 'perm');
SELECT workflow.fail(4711, 'x', 'permanent');

-- a worker without a name
SELECT * FROM workflow.claim('q', '');
SELECT count(*) FROM workflow.claim('q', NULL);

-- each fault of a queue has its own cure
CREATE FUNCTION cure(arguments text) RETURNS TABLE (message text, hint text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SELECT workflow.create_queue(%s)', arguments);
EXCEPTION WHEN invalid_parameter_value THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  RETURN NEXT;
END
$$;
\x on
SELECT c.* FROM unnest(ARRAY[
  $$' ', 'ann', '1 hour', '{lead}'$$,
  $$'q1', '', '1 hour', '{lead,boss}'$$,
  $$'q1', 'ann', '0', '{lead}'$$,
  $$'q1', 'ann', '1 hour', '{}'$$,
  $$'q1', 'ann', '1 hour', '{lead,""}'$$,
  $$repeat('x', 256), 'ann', '1 hour', '{lead}'$$,
  $$'q1', 'ann', '1 hour', '{lead}', max_running => 0$$,
  $$'q1', 'ann', '1 hour', '{lead}', max_length => 0$$,
  $$'q1', 'ann', '1 hour', '{lead}', on_full => 'wait'$$,
  $$'q1', 'ann', '1 hour', '{lead}', on_full => 'block'$$,
  $$'q1', 'ann', '1 hour', '{lead}', lease => '0'$$,
  $$'q1', 'ann', '1 hour', '{lead}', dead_letter_retention => '0'$$,
  $$'q1', 'ann', '1 hour', '{lead}', fair => true, aging => '1 minute'$$,
  $$'q1', 'ann', '1 hour', '{lead}', rate_limit => '{"count": 1, "per": "1 second", "per_tenant": true}'$$,
  $$'q1', 'ann', '1 hour', '{lead}', aging => '1 ms'$$,
  $$'q1', 'ann', '1 hour', '{lead}', warn => '0'$$,
  $$'q1', 'ann', '1 hour', '{lead}', warn => '1 hour'$$,
  $$'q1', 'ann', '1 hour', '{lead}', key_window => '0'$$,
  $$'q1', 'ann', '20000 years', '{lead}'$$]) AS a, cure(a) AS c;
\x off
