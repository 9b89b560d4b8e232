--
-- Answers about rows of tables, about all workflows at once, and about an item that was migrated.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'key');
SELECT version FROM workflow.define('{
  "workflow": "invoice", "owner": "billing", "initial": "DRAFT",
  "states": {"DRAFT": {"on": {"send": "SENT"}}, "SENT": {"final": "sent"}}}');
SELECT version FROM workflow.define('{
  "workflow": "pay", "owner": "billing", "key": ["$.id"], "initial": "PAY",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "PAY":  {"http": {"endpoint": "bank", "queue": "q", "method": "POST", "path": "/pay", "key": ["$.id"]}, "on": {"ok": "DONE", "error": "DONE"}},
    "DONE": {"final": "done"}}}');

-- a workflow that only holds rows gets no advice about submissions
SELECT code FROM workflow.check('invoice') WHERE code = 'no_key';
SELECT kind, verdict FROM workflow.if_run_twice('invoice');
CREATE TABLE invoices (id uuid PRIMARY KEY, status text NOT NULL DEFAULT 'DRAFT');
SELECT workflow.enforce('invoices', 'status', 'invoice', 'id') IS NOT NULL AS enforced;
SELECT code FROM workflow.check('invoice') WHERE code = 'no_key';
SELECT kind, mechanism, verdict, why FROM workflow.if_run_twice('invoice');
-- unless items of it are there, too
BEGIN;
SELECT workflow.submit('invoice', '{}', key => '1') IS NOT NULL AS submitted;
SELECT code FROM workflow.check('invoice') WHERE code = 'no_key';
SELECT kind, verdict FROM workflow.if_run_twice('invoice');
ROLLBACK;

-- the key of a row may be a uuid, or its text
INSERT INTO invoices VALUES ('00000000-0000-0000-0000-000000000001');
UPDATE invoices SET status = 'SENT';
SELECT to_state FROM workflow.transitions_of('invoices', (SELECT id FROM invoices));
SELECT to_state FROM workflow.transitions_of('invoices', '00000000-0000-0000-0000-000000000001');

-- every workflow at once, in the version that new items get; retired ones get none
SELECT workflow, version, state, kind, verdict FROM workflow.if_run_twice();
SELECT workflow.retire('pay', 1);
SELECT workflow, version, state, kind, verdict FROM workflow.if_run_twice();
SELECT workflow.activate('pay', 1);

-- what was reserved before a migration stays in the visit in which it was
SELECT state FROM workflow.submit('pay', '{"id": 1}');
SELECT version FROM workflow.define('{
  "workflow": "pay", "owner": "billing", "key": ["$.id"], "initial": "PAY",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "PAY":  {"http": {"endpoint": "bank", "queue": "q", "method": "POST", "path": "/pay", "key": ["$.id"]}, "on": {"ok": "DONE", "error": "FAILED"}},
    "DONE": {"final": "done"}, "FAILED": {"final": "failed"}}}');
SELECT state, verdict, items FROM workflow.migrate('pay', 1, 2, dry_run => false);
SELECT seq, what, regexp_replace(detail, '[0-9]{2,}', 'N') AS detail FROM workflow.timeline('pay:1');

-- the item that was meant: a ":" in a part of a key is escaped, the one between two parts is not
SELECT state FROM workflow.submit('pay', '{"id": "a:b"}');
SELECT state FROM workflow.submit('pay', '{"id": 2}', key => 'x:y');
SELECT workflow.where_is('pay:a:b');
SELECT workflow.where_is('pay:x\:y');
SELECT workflow.where_is('invoise:1');
SELECT workflow.where_is('pay:3');
SELECT workflow.where_is('4711');
SELECT workflow.where_is('');
