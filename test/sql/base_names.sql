--
-- A name that is nearly another one: the hint says which.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\set SHOW_CONTEXT never
CREATE ROLE regress_billing;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'key');
CREATE SCHEMA app;
CREATE FUNCTION app.charge(bigint, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $2';
SELECT workflow.create_queue('payments', 'ops', '1 hour', '{boss}');
SELECT workflow.create_queue('reviews', 'ops', '1 hour', '{boss}');
SELECT version FROM workflow.define('{"workflow": "invoice", "owner": "shop", "initial": "OPEN", "key": ["$.id"],
  "states": {"OPEN": {"on": {"pay": "CHECK"}},
             "CHECK": {"review": {"queue": "reviews", "decisions": ["approve"], "on_overdue": "escalate"}, "on": {"approve": "PAID"}},
             "PAID": {"final": "paid"}}}');
SELECT workflow.create_source('shop', 'none', feed => '{"submit": {"workflow": "invoice"}}');
SELECT item_id FROM workflow.submit('invoice', '{"id": 1}') \gset
SELECT workflow.new('parcel', 'A');

CREATE FUNCTION hint_of(item bigint, event text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  PERFORM workflow.send(item, event);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN hint;
END $$;

-- in calls
SELECT workflow.submit('invoise', '{"id": 1}');
SELECT workflow.submit('order', '{"id": 1}');
SELECT workflow.document('invoise');
SELECT workflow.activate('invoise', 1);
SELECT workflow.pause_workflow('invoise', 'why');
SELECT hint_of(:item_id, 'payy'), hint_of(:item_id, 'ship');
SELECT workflow.enqueue('paymants', '{}');
SELECT * FROM workflow.claim('paymants', 'w');
SELECT workflow.pause_queue('paymants', 'why');
SELECT workflow.claim_review('revews');
SELECT workflow.call('bnak', 'POST', '/', '{}', key => 'k');
SELECT workflow.verify_endpoint('bnak', '{"method": "POST", "path": "/orders"}');
SELECT workflow.receive('shpo', 'e1', '{}', '{}');
SELECT workflow.create_source('web', 'none', feed => '{"submit": {"workflow": "invoise"}}');
SELECT workflow.create_source('web', 'none', feed => '{"evidence": {"endpoint": "bnak", "key": "$.body.k", "says": "applied"}}');
SELECT workflow.grant_role('regress_biling', 'monitor');
SELECT workflow.grant_role('regress_billing', 'montor');
SELECT workflow.add_state('parcle', 'B');

-- in documents: each at its place
SELECT d.place, d.code, d.hint FROM workflow._document_faults('{
  "workflow": "trial", "initial": "A", "owner": "me", "key": "$.id",
  "retry": {"default": {"max_attempts": 3, "timeout": "1 minute", "retry_on": ["timeout", "conection"]}},
  "states": {
    "A": {"sql": {"function": "app.chrage", "queue": "paymants"}, "on": {"ok": "C", "errr": "E"}},
    "B": {"http": {"endpoint": "bnak", "queue": "payments", "path": "/x", "method": "POST", "key": ["$.id"]}, "on": {"ok": "C", "error": "E"}},
    "C": {"review": {"queue": "reviews", "decisions": ["approve"], "on_overdue": "aprove"}, "on": {"approve": "D"}},
    "D": {"activity": "ask", "on": {"approve": "B"}},
    "E": {"final": "done"}},
  "activities": {"ask": {"review": {"queue": "reviews", "decisions": ["approve"], "on_overdue": "aprove"}}}}', 'postgres', '{}') AS d (severity, code, state, place, problem, hint, consequence)
WHERE d.hint LIKE 'did you mean%';
SELECT d.place, d.code, d.hint FROM workflow._document_faults('{
  "workflow": "trial", "initial": "D", "owner": "me", "key": "$.id",
  "states": {"D": {"spawn": {"workflow": "invoise", "each": "$.a", "join": "all"}, "on": {"ok": "E", "error": "E"}},
             "E": {"final": "done"}}}', 'postgres', '{}') AS d (severity, code, state, place, problem, hint, consequence)
WHERE d.code = 'unknown_workflow';
SELECT hint FROM workflow._resolve_function('postgres', 'chrage', '{app}');
SELECT hint FROM workflow._resolve_function('postgres', 'settle', '{app}');
DROP ROLE regress_billing;
