--
-- Item: errors that are raised elsewhere only by their code, or nowhere, with
-- their texts; tools/check_raised sees to it that none is left out.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SCHEMA app;
CREATE FUNCTION app.step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE FUNCTION app.gone(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example', dedup 'key');

-- what a statement raises, without ids and times
CREATE FUNCTION raised(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE statement;
  RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
    detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN regexp_replace(format(E'%s %s\n  %s\n  %s', state, message,
                               CASE detail WHEN '' THEN 'NO DETAIL' ELSE 'with its facts' END,
                               CASE hint WHEN '' THEN 'NO HINT' ELSE 'and what to do' END), '\m\d{1,4}\M', 'N', 'g');
END
$$;

SELECT version FROM workflow.define('{"workflow": "w", "owner": "me", "key": ["$.id"], "initial": "S",
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
  "retry": {"default": {"max_attempts": 1, "timeout": "5 seconds"}},
  "states": {
    "S":    {"on": {"call": "CALL", "nap": "NAP", "work": "WORK", "run": "RUN", "end": "END"}},
    "CALL": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/{$.place}", "key": ["$.id"]}, "on": {"ok": "END"}},
    "NAP":  {"wait": {"for": "$.nap"}, "on": {"ok": "END"}},
    "WORK": {"task": {"queue": "q"}, "on": {"ok": "END"}},
    "RUN":  {"sql": {"function": "app.gone", "queue": "q"}, "on": {"ok": "END"}},
    "END":  {"final": "done"}}}');
\pset format unaligned
\pset tuples_only

-- documents
SELECT raised('SELECT workflow.define(NULL)');
SELECT raised($$SELECT workflow.diagram('w', NULL, 'oil')$$);

-- submitting
SELECT raised($$SELECT workflow.submit('w', '7')$$);
SELECT raised($$SELECT workflow.submit('w', '{"id": 1}', on_conflict => 'update')$$);
SELECT raised($$SELECT workflow.submit('w', NULL)$$);
SELECT raised($$SELECT workflow.submit_many('w', ARRAY[NULL::jsonb])$$);

-- moves: an item that has ended, one whose next state cannot be entered, one in a state that is not there
SELECT item_id AS i FROM workflow.submit('w', '{"id": 1}') \gset
SELECT raised(format($$SELECT workflow.send(%s, 'nap')$$, :i));
SELECT raised(format($$SELECT workflow.replay(%s, 'why')$$, :i));
SELECT raised(format($$SELECT workflow.replay(%s, 'why', '7')$$, :i));
SELECT FROM workflow.send(:i, 'call');
SELECT raised(format($$SELECT workflow.replay(%s, 'why')$$, :i));
SELECT item_id AS ended FROM workflow.submit('w', '{"id": 2}') \gset
SELECT FROM workflow.send(:ended, 'end');
SELECT raised(format($$SELECT workflow.pause(%s, 'why')$$, :ended));
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE workflow.item SET state = 'NOWHERE' WHERE item_id = :i;
SET LOCAL session_replication_role = origin;
SELECT raised(format($$SELECT workflow.send(%s, 'end')$$, :i));
ROLLBACK;

-- jobs: of an item, alone, running
SELECT item_id AS working FROM workflow.submit('w', '{"id": 3}') \gset
SELECT FROM workflow.send(:working, 'work');
SELECT job_id AS of_item FROM workflow.job WHERE item_id = :working \gset
SELECT raised(format($$SELECT workflow.replay_job(%s, 'why')$$, :of_item));
SELECT raised($$SELECT workflow.replay_job(NULL, 'why')$$);
SELECT raised(format($$SELECT workflow.cancel_job(%s, 'why')$$, :of_item));
SELECT FROM workflow.create_queue('alone', owner => 'me', sla => '1 hour', escalate_to => ARRAY['boss']);
SELECT FROM workflow.enqueue('alone', '{}');
SELECT job_id AS alone, token FROM workflow.claim('alone', 'w1', 1, '1 hour') \gset
SELECT raised(format($$SELECT workflow.replay_job(%s, 'why')$$, workflow.enqueue('alone', '{}', run_at => '2100-01-01')));
SELECT raised(format($$SELECT workflow.reschedule_job(%s, now())$$, :alone));
SELECT raised(format($$SELECT workflow.complete(%s, %L, 'fly')$$, :alone, :'token'));
SELECT raised(format($$SELECT workflow.complete_many(ARRAY[%s, NULL], ARRAY[%L, 'x'])$$, :alone, :'token'));
SELECT FROM workflow.call('crm', 'GET', '/x', key => 'k');
SELECT j.job_id AS sent FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key = 'k' \gset
UPDATE workflow.effect SET state = 'sending', sending_at = now() WHERE key = 'k';
SELECT raised(format($$SELECT workflow.cancel_job(%s, 'why')$$, :sent));

-- functions that went, or that a version not stored by define() says are temporary
SELECT item_id AS running FROM workflow.submit('w', '{"id": 4}') \gset
SELECT FROM workflow.send(:running, 'run');
DROP FUNCTION app.gone;
CALL workflow.run();
SELECT error_message FROM workflow.dead_letters WHERE item_id = :running;
BEGIN;
CREATE FUNCTION pg_temp.gone(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
SET LOCAL session_replication_role = replica;
UPDATE workflow.definition SET functions = '{"app.gone": "pg_temp.gone"}' WHERE workflow = 'w';
SET LOCAL session_replication_role = origin;
SELECT item_id AS temporary FROM workflow.submit('w', '{"id": 9}') \gset
SELECT FROM workflow.send(:temporary, 'run');
CALL workflow.run();
SELECT error_message FROM workflow.dead_letters WHERE item_id = :temporary;
ROLLBACK;

-- webhooks
SELECT raised($$SELECT workflow.create_source('shop', 'smoke')$$);
SELECT workflow.create_source('shop', 'none', feed => '[{"send": {"item": "w:{$.body.id}", "event": "end"}}]');
SELECT FROM workflow.submit('w', '{"id": 8}');
SELECT inbox_id AS fits FROM workflow.receive('shop', 'a', '{}', '{"id": 8}') \gset
SELECT inbox_id AS late FROM workflow.receive('shop', 'b', '{}', '{"id": 99}') \gset
SELECT raised(format($$SELECT workflow.dismiss_webhook(%s, '')$$, :late));
SELECT raised(format($$SELECT workflow.dismiss_webhook(%s, 'why')$$, :fits));
SELECT workflow.dismiss_webhook(:late, 'never comes');
UPDATE workflow.inbox SET purged_at = now() WHERE inbox_id = :late;
SELECT raised(format($$SELECT workflow.feed(%s)$$, :late));

-- versions that were not stored by define(), and one that is retired
CREATE ROLE regress_restorer SUPERUSER;
BEGIN;
SET LOCAL ROLE regress_restorer;
SELECT raised($$INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner, functions)
  SELECT 'other', 1, hash, document, definer, owner, functions FROM workflow.definition$$);
RESET ROLE;
SET LOCAL session_replication_role = replica;
UPDATE workflow.definition SET document = (document::jsonb #- '{initial}')::json WHERE workflow = 'w';
SET LOCAL session_replication_role = origin;
SELECT raised($$SELECT workflow.submit('w', '{"id": 5}')$$);
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE workflow.definition SET document = (document::jsonb #- '{states,CALL,http,key}')::json WHERE workflow = 'w';
SET LOCAL session_replication_role = origin;
SELECT item_id AS keyless FROM workflow.submit('w', '{"id": 6, "place": "x"}') \gset
SELECT raised(format($$SELECT workflow.send(%s, 'call')$$, :keyless));
SELECT error_message FROM workflow.dead_letters WHERE item_id = :keyless;
ROLLBACK;
BEGIN;
UPDATE workflow.workflow SET retired_at = now() WHERE workflow = 'w';
SELECT raised($$SELECT workflow.submit('w', '{"id": 7}')$$);
ROLLBACK;

-- functions of triggers where they do not belong
CREATE TABLE mine (state text);
CREATE TRIGGER judge BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION workflow._item_judge();
SELECT raised('INSERT INTO mine VALUES (''x'')');
DROP TRIGGER judge ON mine;
CREATE TRIGGER placed BEFORE INSERT ON mine FOR EACH STATEMENT EXECUTE FUNCTION workflow._timer_placed();
SELECT raised('INSERT INTO mine VALUES (''x'')');
DROP ROLE regress_restorer;
