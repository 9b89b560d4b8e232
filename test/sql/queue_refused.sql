--
-- A trigger on workflow.job that refuses the claim of one job holds up no other one.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SELECT workflow.create_queue('mail', 'ops', '1 hour', '{boss}');
SELECT workflow.create_queue('narrow', 'ops', '1 hour', '{boss}', max_running => 2);
SELECT workflow.create_queue('work', 'ops', '1 hour', '{boss}');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status = 'running' AND OLD.status = 'ready' AND (NEW.key = 'bad' OR NEW.item_id = (SELECT item_id FROM workflow.item WHERE key = 'bad')) THEN
    RAISE EXCEPTION 'not this one';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER refuse BEFORE UPDATE ON workflow.job FOR EACH ROW EXECUTE FUNCTION refuse();

-- claims of clients, in order, also where the queue is limited or has groups
SELECT count(workflow.enqueue(q, to_jsonb(k), key => k)) FROM unnest('{mail,narrow}'::text[]) AS q, unnest('{a,bad,c,d}'::text[]) AS k;
SELECT payload, attempt FROM workflow.claim('mail', 'me', 1, '1 hour');
SELECT payload, attempt FROM workflow.claim('mail', 'me', 2, '1 hour');
SELECT payload, attempt FROM workflow.claim('mail', 'me', 2, '1 hour');
SELECT payload, attempt FROM workflow.claim('narrow', 'me', 9, '1 hour');
SELECT key, status, attempt, error_class, error_message FROM workflow.job WHERE key = 'bad' ORDER BY job_id;
SELECT count(workflow.enqueue('mail', to_jsonb(k), group_key => 'g' || k, key => 'grouped ' || k)) FROM generate_series(1, 2) AS k;
SELECT payload, attempt FROM workflow.claim('mail', 'me', 9, '1 hour');

-- activities
CREATE TABLE done (key text);
CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$
  INSERT INTO done SELECT i.key FROM workflow.item AS i WHERE i.item_id = work.item_id; SELECT NULL::jsonb
$$;
SELECT workflow.define('{"workflow": "w", "owner": "me", "initial": "RUN", "states": {
  "RUN": {"sql": {"function": "public.work", "queue": "work"}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "end"}}}');
SELECT count(workflow.submit('w', '{}', key => k)) FROM unnest('{bad,good,better}'::text[]) AS k;
CALL workflow.run('10 seconds');
SELECT key FROM done ORDER BY key;
SELECT state, last_error FROM workflow.where_is('w:bad');

-- when the trigger is gone another session takes it at once
DROP TRIGGER refuse ON workflow.job;
SELECT current_database() AS here \gset
\c :here
SELECT payload, attempt FROM workflow.claim('mail', 'me', 9, '1 hour');
CALL workflow.run('10 seconds');
SELECT key FROM done ORDER BY key;
