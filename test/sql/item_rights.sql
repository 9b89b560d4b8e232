--
-- Who may send what, and when: events that have a function of their own, the
-- outcome of an activity, an action whose outcome is open, events kept.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE ROLE regress_submitter;
CREATE ROLE regress_worker;
CREATE ROLE regress_operator;
SELECT workflow.grant_role('regress_' || k, k) FROM unnest(ARRAY['submitter', 'worker', 'operator']) AS k;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'none', owner 'me');
SELECT version FROM workflow.define('{
  "workflow": "rights", "owner": "me", "key": ["$.id"], "initial": "OPEN",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "OPEN": {"on": {"work": "WORK", "call": "CALL", "odd": "ODD", "ok": "END"}},
    "WORK": {"task": {"queue": "q"}, "timeout": {"after": "1 day", "event": "error"}, "on": {"ok": "REST", "error": "ODD"}},
    "CALL": {"http": {"endpoint": "crm", "queue": "q", "method": "POST", "path": "/x", "key": ["$.id"]},
             "timeout": {"after": "1 day", "event": "error"}, "on": {"ok": "END", "error": "ODD"}},
    "REST": {"on": {"wake": "END"}},
    "ODD":  {"exception": {"queue": "q"}, "on": {"replay": "WORK", "give_up": "END"}},
    "END":  {"final": "end"}}}');
SELECT count(workflow.submit('rights', jsonb_build_object('id', k))) FROM unnest(ARRAY['open', 'work', 'call', 'odd']) AS k;
SELECT count(workflow.send('rights:' || k, k)) FROM unnest(ARRAY['work', 'call', 'odd']) AS k;

-- what each kind of role may send: sqlstate, or ok
CREATE FUNCTION try_as(role text, item text, event text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  PERFORM workflow.send(item, event);
  RAISE EXCEPTION 'ok' USING ERRCODE = 'ZZ000';
EXCEPTION
  WHEN SQLSTATE 'ZZ000' THEN RETURN 'ok';
  WHEN OTHERS THEN RETURN sqlstate;
END $$;
SELECT i.item, e.event, try_as('regress_submitter', i.item, e.event) AS submitter,
       try_as('regress_worker', i.item, e.event) AS worker, try_as('regress_operator', i.item, e.event) AS operator,
       try_as(current_user, i.item, e.event) AS superuser
FROM (VALUES ('rights:open', 'cancel'), ('rights:open', 'work'), ('rights:open', 'ok'), ('rights:work', 'ok'), ('rights:work', 'error'),
             ('rights:work', 'wake'), ('rights:call', 'ok'), ('rights:call', 'error'), ('rights:call', 'cancel'),
             ('rights:odd', 'replay'), ('rights:odd', 'give_up'), ('rights:work', 'replay'), ('rights:work', 'give_up')) AS e (item, event),
     LATERAL (SELECT e.item) AS i (item);
\set SHOW_CONTEXT never
SET ROLE regress_submitter;
SELECT workflow.send('rights:odd', 'give_up');
SELECT workflow.send('rights:work', 'ok');
RESET ROLE;

-- an action whose outcome is open: its outcome is not sent, and not offered
SELECT e.state, try_as(current_user, 'rights:call', 'ok') AS ok, w.allowed_events
FROM workflow.effect AS e, workflow.where_is('rights:call') AS w;
BEGIN;
UPDATE workflow.effect SET state = 'held', reason = 'nobody knows';
SELECT allowed_events FROM workflow.where_is('rights:call');
SELECT try_as('regress_operator', 'rights:call', 'cancel');
\set VERBOSITY terse
SELECT workflow.send('rights:call', 'ok');
\set VERBOSITY default
ROLLBACK;

-- an answer to an exception is not kept; what is kept is told
SET client_min_messages = notice;
\set VERBOSITY terse
SELECT workflow.send('rights:work', 'give_up');
SELECT state FROM workflow.send('rights:work', 'replay');
\set VERBOSITY default
SELECT state FROM workflow.send('rights:work', 'wake');
SELECT state FROM workflow.send('rights:work', 'wake', source => 'clock', event_id => 'e-1');
SET client_min_messages = error;
SELECT waiting_on, regexp_replace(waiting_detail, '\d+', 'N') AS detail FROM workflow.where_is('rights:work');
SELECT what, detail FROM workflow.timeline('rights:work') WHERE what LIKE 'event%';
SELECT workflow.complete(c.job_id, c.token) FROM workflow.claim('q', 'w') AS c;
SELECT state FROM workflow.items WHERE key = 'work';
SELECT what, detail FROM workflow.timeline('rights:work') WHERE what LIKE 'event%';

-- a rule of a source may name any event; one that the webhook names is judged
SELECT workflow.create_source('shop', 'none', feed => '[
  {"when": "exists($.body.stop)", "send": {"item": "rights:open", "event": "cancel"}},
  {"send": {"item": "rights:odd", "event": "{$.body.event}"}}]');
SET ROLE regress_submitter;
SELECT state, problem FROM workflow.receive('shop', 'e1', '{}', '{"event": "give_up"}');
SELECT state, problem FROM workflow.receive('shop', 'e2', '{}', '{"stop": true}');
RESET ROLE;

DROP SERVER crm;
DROP OWNED BY regress_submitter, regress_worker, regress_operator;
DROP ROLE regress_submitter, regress_worker, regress_operator;
