--
-- A large input stays where it is: the item keeps a reference, and a sql state
-- resolves it with the rights of the definer.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE ROLE ref_designer;
SELECT workflow.grant_role('ref_designer', kind) FROM unnest('{designer,operator}'::text[]) AS kind;
CREATE SCHEMA docs AUTHORIZATION ref_designer;
SET ROLE ref_designer;
CREATE TABLE docs.documents (id int PRIMARY KEY, content text);
INSERT INTO docs.documents VALUES (7, repeat('long ', 100000)), (8, 'short');

-- table:key is a convention of the function that reads it
CREATE FUNCTION docs.read(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  reference text := workflow.input_ref(item_id);
  found record;
BEGIN
  IF reference IS NULL THEN
    RETURN data -> 'content';
  END IF;
  EXECUTE format('SELECT length(content) AS length FROM docs.%I WHERE id = $1', split_part(reference, ':', 1))
    INTO STRICT found USING split_part(reference, ':', 2)::int;
  RETURN jsonb_build_object('length', found.length);
END
$$;
SELECT workflow.define('{
  "workflow": "reading", "owner": "me", "initial": "READ",
  "retry": {"default": {"owner": "me", "dead_letter": "odd", "max_attempts": 1, "timeout": "10 seconds"}},
  "queues": {"odd": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"READ": {"sql": {"function": "docs.read", "queue": "odd"}, "as": "text", "on": {"ok": "DONE", "error": "ODD"}},
             "ODD": {"exception": {"queue": "odd"}, "on": {"replay": "READ", "give_up": "DONE"}},
             "DONE": {"final": "read"}}}');

-- only a reference, one beside an input, none, and one that leads nowhere
BEGIN;
SELECT state, created, same_input FROM workflow.submit('reading', NULL, 'a', input_ref => 'documents:7');
SELECT state, created, same_input FROM workflow.submit('reading', '{"language": "en"}', 'b', input_ref => 'documents:8');
SELECT state, created, same_input FROM workflow.submit('reading', '{"content": "inline"}', 'c');
SELECT state, created, same_input FROM workflow.submit('reading', NULL, 'd', input_ref => 'documents:9');
SELECT key, input_ref, input, workflow.input_ref(item_id) = input_ref AS same FROM workflow.items ORDER BY key;
CALL workflow.run();
SELECT key, state, data, exception_reason FROM workflow.items ORDER BY key;

-- a reference may be moved; then the item is read again
UPDATE docs.documents SET id = 9 WHERE id = 8;
SELECT workflow.replay('reading:d', 'the document is there now');
CALL workflow.run();
SELECT state, data FROM workflow.items WHERE key = 'd';
COMMIT;

-- the reference is part of the input: another one is another input
SELECT created, same_input FROM workflow.submit('reading', NULL, 'a', input_ref => 'documents:7', on_conflict => 'error');
SELECT created, same_input FROM workflow.submit('reading', NULL, 'a', input_ref => 'documents:8');
SELECT created, same_input FROM workflow.submit('reading', '{}', 'a');
SELECT created, same_input FROM workflow.submit('reading', '{"content": "inline"}', 'c', input_ref => 'documents:8');
\set VERBOSITY sqlstate
SELECT workflow.submit('reading', NULL, 'a', input_ref => 'documents:8', on_conflict => 'error');

-- neither an input nor a reference; an item that is not there
SELECT workflow.submit('reading', NULL, 'e');
SELECT workflow.input_ref('reading:nobody');
SELECT workflow.input_ref(NULL::bigint);
SELECT workflow.input_ref('reading:c') IS NULL AS none;
RESET ROLE;
DROP SCHEMA docs CASCADE;
DROP OWNED BY ref_designer;
DROP ROLE ref_designer;
