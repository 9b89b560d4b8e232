--
-- A hint names what its reader may run, or says who may.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\set SHOW_CONTEXT never
CREATE ROLE wf_hint_submitter;
CREATE ROLE wf_hint_worker;
CREATE ROLE wf_hint_operator;
SELECT workflow.grant_role('wf_hint_submitter', 'submitter');
SELECT workflow.grant_role('wf_hint_worker', 'worker');
SELECT workflow.grant_role('wf_hint_operator', 'operator');
CREATE SERVER there FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://one.example.com', dedup 'key');
GRANT USAGE ON FOREIGN SERVER there TO wf_hint_submitter, wf_hint_worker;
SELECT version FROM workflow.define('{
  "workflow": "w", "key": ["$.id"], "initial": "OPEN", "input_schema": {"required": ["id"]},
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"OPEN": {"task": {"queue": "q"}, "on": {"ok": "END"}}, "END": {"final": "success"}}}');

SET ROLE wf_hint_submitter;
SELECT workflow.submit('w', '{}');
SELECT count(workflow.call('there', 'POST', '/', '{"a": 1}', 'k'));
SELECT workflow.call('there', 'POST', '/', '{"a": 2}', 'k');
SELECT workflow.receive('nobody', 'e', '{}', '');
SET ROLE wf_hint_worker;
SELECT workflow.complete(4711, 'x');
SELECT workflow.finish_effect(4711, 'x', 'applied');
SELECT effect_id FROM workflow.begin_effect('there', 'g', '{}') \gset
SELECT workflow.finish_effect(:effect_id, 'x', 'applied');
SET ROLE wf_hint_operator;
SELECT workflow.pause_workflow('v');
SELECT workflow.document('v');
SELECT workflow.if_run_twice('w', 7);
RESET ROLE;

DROP OWNED BY wf_hint_submitter, wf_hint_worker, wf_hint_operator;
DROP ROLE wf_hint_submitter, wf_hint_worker, wf_hint_operator;
