--
-- A feed names workflows that there are.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SELECT version FROM workflow.define('{"workflow": "order", "owner": "shop", "initial": "OPEN", "key": ["$.id"],
  "states": {"OPEN": {"on": {"paid": "PAID"}}, "PAID": {"final": "paid"}}}');

-- a workflow that does not exist is a mistake in the feed
\set SHOW_CONTEXT never
SELECT workflow.create_source('shop', 'none', feed => '{"submit": {"workflow": "oder"}}');
SELECT workflow.create_source('shop', 'none', feed => '[{"when": "$.body.a", "submit": {"workflow": "order"}},
  {"send": {"workflow": "orders", "key": "$.body.number", "event": "paid"}}]');
\set VERBOSITY sqlstate
SELECT workflow.create_source('shop', 'none', feed => '{"send": {"item": "orders:{$.body.number}", "event": "paid"}}');
\set VERBOSITY default
SELECT count(*) AS sources FROM workflow.sources;

-- so is an endpoint that does not exist, or a server that is none, and what evidence cannot say
CREATE SERVER pay FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://pay.example.com', dedup 'key');
CREATE FOREIGN DATA WRAPPER regress_other;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER regress_other;
SELECT workflow.create_source('bank', 'none', feed => '[{"when": "$.body.a", "evidence": {"endpoint": "pay", "key": "$.body.k"}}, {"evidence": {"endpoint": "pya", "key": "$.body.k"}}]');
SELECT workflow.create_source('bank', 'none', feed => '{"evidence": {"endpoint": "elsewhere", "key": "$.body.k"}}');
SELECT workflow.create_source('bank', 'none', feed => '{"evidence": {"endpoint": "pay", "key": "$.body.k", "says": "done"}}');
SELECT workflow.create_source('bank', 'none', feed => '[{"when": "$.body.a", "evidence": {"endpoint": "pay", "key": "$.body.k", "says": "$.body.says"}},
  {"when": "$.body.b", "evidence": {"endpoint": "pay", "key": "$.body.k", "says": "not_applied"}}, {"evidence": {"endpoint": "pay", "key": "$.body.k", "says": "{$.body.not}applied"}}]');
-- a server that is gone leaves its keys, and with them what may still be evidence
SELECT workflow.call('pay', 'POST', '/', '{}', 'k') > 0 AS called;
DROP SERVER pay;
SELECT workflow.create_source('bank', 'none', feed => '{"evidence": {"endpoint": "pay", "key": "$.body.k"}}');

-- by its definition, or by the webhook
SELECT workflow.create_source('shop', 'none', feed => '[
  {"when": "$.body.number", "send": {"item": "order:{$.body.number}", "event": "paid"}}, {"when": "$.body.key", "send": {"workflow": "order", "key": "$.body.key", "event": "paid"}},
  {"when": "$.body.item", "send": {"item": "{$.body.item}", "event": "paid"}}, {"when": "$.body.id", "send": {"item": "$.body.id", "event": "paid"}}, {"submit": {"workflow": "order"}}]');
-- a restore brings rows as they were, in whatever order
INSERT INTO workflow.source (source, scheme, tolerance, feed, keep_headers, created_by, created_at)
VALUES ('restored', 'none', '5 minutes', '[{"submit": {"workflow": "not yet"}}]', '{}', current_user, now());
SELECT problem FROM workflow.receive('restored', 'e', '{}', '{}');
