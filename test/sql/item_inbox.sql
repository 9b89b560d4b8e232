--
-- The inbox: webhooks are stored once, start and move items, settle effects,
-- and are kept when they do not fit.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
\set VERBOSITY terse
COPY (SELECT 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw') TO PROGRAM 'mkdir -p secrets && cat > secrets/inbox_standard';
COPY (SELECT 'github secret') TO PROGRAM 'cat > secrets/inbox_github';
SELECT workflow.define('{
  "workflow": "order", "owner": "me", "initial": "OPEN", "key": ["$.id"],
  "input_schema": {"required": ["id"]},
  "states": {"OPEN": {"on": {"paid": "PAID", "sent": "SENT"}}, "PAID": {"on": {"sent": "SENT"}}, "SENT": {"final": "sent"}}}');

-- a shop that does not sign: orders start items, payments move them, the rest is ignored
SELECT workflow.create_source('shop', 'none', feed => '[
  {"when": "$.headers.\"x-topic\" == \"order\"",
   "submit": {"workflow": "order", "input": {"id": "$.body.number", "total": "$.body.total"}, "key": "$.body.number",
              "labels": {"shop": "$.source"}, "input_ref": "shop:{$.body.number}"}},
  {"when": "$.body.payment ? (@.amount > 0)",
   "send": {"workflow": "order", "key": ["$.body.number"], "event": "paid", "data": "$.body.payment"}},
  {"when": "exists($.body.parcel)", "send": {"item": "order:{$.body.number}", "event": "{$.body.happened}"}}]',
  keep_headers => '{X-Topic}');
SELECT item_id = 1 AS is_item, state, created, duplicate, same_body, problem
FROM workflow.receive('shop', 'e1', '{"X-Topic": "order", "Authorization": "Bearer hunter2", "Content-Type": "application/json"}', '{"number": 42, "total": 9.50}');
SELECT key, state, source, event_id, input, labels, input_ref FROM workflow.item;
SELECT state, created, duplicate, same_body, problem FROM workflow.receive('shop', 'e2', '{}', '{"number": 42, "payment": {"amount": 9.50}}');
SELECT state, data -> 'open' AS paid FROM workflow.items;
SELECT seq, event, kind, actor = current_user AS by_caller FROM workflow.transition ORDER BY seq;

-- a repetition gives the same answer and does nothing, whatever has happened since
SELECT item_id = 1 AS is_item, state, created, duplicate, same_body, problem FROM workflow.receive('shop', 'e1', '{"x-topic": "order"}', '{"number": 42, "total": 9.50}');
SELECT item_id = 1 AS is_item, state, created, duplicate, same_body FROM workflow.receive('shop', 'e2', '{}', '{"number": 42, "payment": {"amount": 1000}}'::bytea);
SELECT state, data -> 'open' AS paid FROM workflow.items;
-- an event of another id about the same order: it is there already
SELECT item_id = 1 AS is_item, created, duplicate, problem FROM workflow.receive('shop', 'e3', '{"x-topic": "order"}', '{"number": 42, "total": 8}');

-- no rule applies
SELECT item_id, state, created, duplicate, problem FROM workflow.receive('shop', 'e4', '{}', '{"payment": {"amount": 0}}');
SELECT item_id, problem FROM workflow.receive('shop', 'e5', '{}', 'not JSON');
SELECT item_id, problem FROM workflow.receive('shop', 'e6', '{}', '\x00ff'::bytea);

-- what does not fit is kept: no such item yet, no such event, a key that is missing, an input that does not match
SELECT inbox_id, item_id, created, problem FROM workflow.receive('shop', 'late', '{}', '{"number": 43, "parcel": 1, "happened": "sent"}') \gset late_
\echo :late_problem
SELECT left(problem, 56) AS problem FROM workflow.receive('shop', 'odd', '{}', '{"number": 42, "parcel": 1, "happened": "burnt"}');
SELECT problem FROM workflow.receive('shop', 'keyless', '{}', '{"parcel": 1, "happened": "sent"}');
SELECT problem FROM workflow.receive('shop', 'idless', '{"x-topic": "order"}', '{"total": 1}');
SELECT count(*) AS items FROM workflow.item;
SELECT source, event_id, verified, status, item_id = 1 AS has_item, duplicates, headers FROM workflow.webhooks ORDER BY inbox_id;

-- it can be fed again, when it fits
SELECT item_id, state, created, problem IS NOT NULL AS has_problem FROM workflow.feed(:late_inbox_id);
SELECT state, created FROM workflow.receive('shop', 'e43', '{"x-topic": "order"}', '{"number": 43, "total": 1}');
SELECT state, created, problem FROM workflow.feed(:late_inbox_id);
SELECT state, created, problem FROM workflow.feed(:late_inbox_id);
SELECT count(*) AS moves FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id) WHERE i.key = '43';
SELECT unfed FROM workflow.sources;
SELECT ok, severity, detail, hint FROM workflow.health() WHERE "check" = 'webhooks_unfed';
-- or comes again
SELECT duplicate, problem IS NOT NULL AS has_problem FROM workflow.receive('shop', 'later', '{}', '{"number": 44, "parcel": 1, "happened": "sent"}');
SELECT workflow.submit('order', '{"id": 44}') IS NOT NULL AS submitted;
SELECT state, duplicate, problem FROM workflow.receive('shop', 'later', '{}', '{"number": 44, "parcel": 1, "happened": "sent"}');
-- while the item is paused it waits
SELECT workflow.submit('order', '{"id": 45}') IS NOT NULL AS submitted, workflow.pause('order:45', 'holidays');
SELECT inbox_id, left(problem, 5) AS problem FROM workflow.receive('shop', 'paused', '{}', '{"number": 45, "parcel": 1, "happened": "sent"}') \gset paused_
\echo :paused_problem
SELECT workflow.resume('order:45', 'back');
SELECT state, problem FROM workflow.feed(:paused_inbox_id);
-- rules are those of now: what was ignored is taken
SELECT workflow.create_source('shop', 'none', feed => '{"submit": {"workflow": "order", "input": {"id": "$.event_id"}}}');
SELECT i.event_id, f.state, f.created, f.problem
FROM workflow.webhooks AS i, workflow.feed(i.inbox_id) AS f WHERE i.status = 'ignored' ORDER BY 1;
SELECT key, input FROM workflow.items WHERE event_id IN ('e4', 'e5', 'e6') ORDER BY key;

-- all or nothing: the effect is not settled when the event does not fit
CREATE SERVER pay FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://pay.example.com', dedup 'none', owner 'finance');
SELECT workflow.call('pay', 'POST', '/charges', '{"amount": 1}', 'order:50') AS effect_id \gset
UPDATE workflow.effect SET state = 'held', unknown_attempts = 1 WHERE effect_id = :effect_id;
SELECT workflow.create_source('pay', 'none', feed => '{
  "evidence": {"endpoint": "pay", "key": "{$.body.our_key}", "says": "{$.body.says}", "reference": "{$.body.charge}"},
  "send": {"item": "{$.body.our_key}", "event": "paid"}}');
SELECT problem FROM workflow.receive('pay', 'c1', '{}', '{"our_key": "order:50", "says": "applied", "charge": "ch_1"}');
SELECT state, external_id FROM workflow.effects;
SELECT workflow.submit('order', '{"id": 50}') IS NOT NULL AS submitted;
SELECT state, duplicate, problem FROM workflow.receive('pay', 'c1', '{}', '{"our_key": "order:50", "says": "applied", "charge": "ch_1"}');
SELECT state, external_id, reason FROM workflow.effects;
SELECT status, effect_id = :effect_id AS has_effect, i.key FROM workflow.webhooks JOIN workflow.item AS i USING (item_id) WHERE webhooks.source = 'pay';
SELECT problem FROM workflow.receive('pay', 'c2', '{}', '{"our_key": "order:50", "says": "perhaps", "charge": "ch_2"}');

-- a source that signs: nothing unsigned comes in, nor leaves a trace
SET pg_workflow.clock = '2021-02-25 15:02:10+00';
SELECT workflow.create_source('svix', 'standard', 'inbox_standard', '{"submit": {"workflow": "order", "input": {"id": "$.body.test"}}}');
\set headers '{"Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "Webhook-Timestamp": "1614265330", "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}'
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT workflow.receive('svix', 'e1', :'headers', '{"test": 1}');
\set VERBOSITY terse
SELECT workflow.receive('svix', 'e1', '{}', '{"test": 2432232314}');
SELECT workflow.receive('svix', NULL, NULL, '{"test": 2432232314}');
SET pg_workflow.clock = '2021-02-25 16:02:10+00';
SELECT workflow.receive('svix', 'e1', :'headers', '{"test": 2432232314}');
SET pg_workflow.clock = '2021-02-25 15:02:10+00';
SELECT count(*) FROM workflow.webhooks WHERE source = 'svix';
-- the id is the sender's when none is given
SELECT state, created, duplicate, problem FROM workflow.receive('svix', NULL, :'headers', '{"test": 2432232314}');
SELECT event_id, verified, headers FROM workflow.webhooks WHERE source = 'svix';
SELECT key, event_id FROM workflow.items WHERE source = 'svix';
-- a repetition has to be signed, too
SELECT workflow.receive('svix', NULL, :'headers', '{"test": 2432232315}');
-- the signed id is the id: another one by hand is refused
SELECT workflow.receive('svix', 'mine', :'headers', '{"test": 2432232314}');
SELECT event_id FROM workflow.webhooks WHERE source = 'svix';
\set signature `printf '{"action": "opened"}' | openssl dgst -sha256 -hmac 'github secret' -r | cut -c1-64`
SELECT workflow.create_source('hub', 'github', 'inbox_github');
SELECT duplicate, problem FROM workflow.receive('hub', NULL, jsonb_build_object('X-GitHub-Delivery', 'd-1', 'X-GitHub-Event', 'issues', 'X-Hub-Signature-256', 'sha256=' || :'signature'), '{"action": "opened"}');
SELECT event_id, status, headers FROM workflow.webhooks WHERE source = 'hub';
-- GitHub signs no time and no id: a delivery of long ago is refused by its id, whatever the tolerance, and by nothing else
BEGIN;
SET LOCAL pg_workflow.clock = '2050-01-01 00:00+00';
SELECT duplicate, same_body FROM workflow.receive('hub', NULL, jsonb_build_object('X-GitHub-Delivery', 'd-1', 'X-Hub-Signature-256', 'sha256=' || :'signature'), '{"action": "opened"}');
SELECT duplicate, problem FROM workflow.receive('hub', NULL, jsonb_build_object('X-GitHub-Delivery', 'd-2', 'X-Hub-Signature-256', 'sha256=' || :'signature'), '{"action": "opened"}');
SELECT event_id, status, duplicates FROM workflow.webhooks WHERE source = 'hub' ORDER BY 1;
ROLLBACK;

-- an application receives by the secrets that an administrator named, and names none
CREATE ROLE inbox_app;
CREATE ROLE inbox_operator;
SELECT workflow.grant_role('inbox_app', 'submitter'), workflow.grant_role('inbox_operator', 'operator');
SET ROLE inbox_app;
SELECT duplicate FROM workflow.receive('svix', NULL, :'headers', '{"test": 2432232314}');
SELECT workflow.verify_webhook('standard', :'headers', '{"test": 2432232314}', 'inbox_standard') AS ok;
SELECT workflow.verify_webhook('standard', :'headers', '{"test": 2432232314}', 'inbox_github');
SELECT workflow.create_source('mine', 'none');
SELECT workflow.feed(1);
SELECT created FROM workflow.receive('shop', 'by_app', '{}', '{}');
RESET ROLE;
SELECT i.submitted_by, w.received_by FROM workflow.item AS i JOIN workflow.webhooks AS w USING (item_id) WHERE w.event_id = 'by_app';
SET ROLE inbox_operator;
SELECT workflow.create_source('mine', 'none');
SELECT workflow.create_source('mine', 'github', 'inbox_github');
SELECT workflow.create_source('svix', 'none');
SELECT workflow.drop_source('svix');
SELECT workflow.drop_source('mine');
SELECT workflow.create_source('mine', 'none');
SELECT workflow.drop_source('mine');
RESET ROLE;
-- who named the secret must still be allowed to
UPDATE workflow.source SET created_by = 'inbox_operator' WHERE source = 'svix';
SELECT workflow.receive('svix', NULL, :'headers', '{"test": 2432232314}');
SET ROLE inbox_app;
SELECT workflow.verify_webhook('standard', :'headers', '{"test": 2432232314}', 'inbox_standard');
RESET ROLE;
-- that is a role, whatever it is called: renamed it keeps its sources, and whoever gets its name later has none
CREATE ROLE inbox_admin IN ROLE pg_read_server_files;
UPDATE workflow.source SET created_by = 'inbox_admin' WHERE source = 'svix';
SELECT duplicate FROM workflow.receive('svix', NULL, :'headers', '{"test": 2432232314}');
ALTER ROLE inbox_admin RENAME TO inbox_chief;
CREATE ROLE inbox_admin;
SELECT duplicate FROM workflow.receive('svix', NULL, :'headers', '{"test": 2432232314}');
SELECT created_by FROM workflow.sources WHERE source = 'svix';
DROP ROLE inbox_admin;
DROP ROLE inbox_chief;
CREATE ROLE inbox_chief IN ROLE pg_read_server_files;
CREATE ROLE inbox_admin IN ROLE pg_read_server_files;
\set VERBOSITY default
SELECT duplicate FROM workflow.receive('svix', NULL, :'headers', '{"test": 2432232314}');
SET ROLE inbox_app;
SELECT workflow.verify_webhook('standard', :'headers', '{"test": 2432232314}', 'inbox_standard');
RESET ROLE;
UPDATE workflow.source SET created_oid = 'inbox_admin'::regrole WHERE source = 'svix';
\set VERBOSITY terse
DROP ROLE inbox_admin, inbox_chief;
SELECT workflow.create_source('svix', 'standard', 'inbox_standard');
SELECT created_by = current_user AS by_me FROM workflow.sources WHERE source = 'svix';
SELECT duplicate FROM workflow.receive('svix', NULL, :'headers', '{"test": 2432232314}');
SELECT workflow.drop_source('svix');
SELECT action, subject, detail -> 'secret' AS secret FROM workflow.journal WHERE action LIKE '%source' ORDER BY journal_id;

-- refusals
\set VERBOSITY default
SELECT workflow.receive('svix', NULL, :'headers', '{}');
SELECT workflow.receive('shop', NULL, '{}', '{}');
SELECT workflow.feed(0);
SELECT workflow.create_source('x', 'none', feed => '{"submit": {"worfklow": "order"}}');
\set VERBOSITY sqlstate
SELECT workflow.receive('shop', 'e', '{}', NULL::text);
SELECT workflow.create_source('', 'none');
SELECT workflow.create_source('x', 'md5', 'inbox_github');
SELECT workflow.create_source('x', 'none', 'inbox_github');
SELECT workflow.create_source('x', 'github');
SELECT workflow.create_source('x', 'github', '../../etc/passwd');
SELECT workflow.create_source('x', 'none', tolerance => '-1 second');
SELECT workflow.create_source('x', 'none', keep_headers => '{Authorization}');
SELECT workflow.create_source('x', 'none', keep_headers => '{X-Topic,NULL}');
SELECT workflow.create_source('x', 'none', feed => '"order"');
SELECT workflow.create_source('x', 'none', feed => '{}');
SELECT workflow.create_source('x', 'none', feed => '{"submit": {}}');
SELECT workflow.create_source('x', 'none', feed => '{"submit": {"workflow": ["order"]}}');
SELECT workflow.create_source('x', 'none', feed => '{"submit": {"workflow": "order", "input": {"id": "$.body["}}}');
SELECT workflow.create_source('x', 'none', feed => '{"send": {"event": "paid"}}');
SELECT workflow.create_source('x', 'none', feed => '{"send": {"event": "paid", "item": "1", "workflow": "order", "key": "1"}}');
SELECT workflow.create_source('x', 'none', feed => '{"evidence": {"endpoint": "pay"}}');
SELECT workflow.create_source('x', 'none', feed => '{"when": "$.a ==", "submit": {"workflow": "order"}}');
SELECT workflow.drop_source('x');
DROP OWNED BY inbox_app, inbox_operator;
DROP ROLE inbox_app, inbox_operator;

-- nobody removes a webhook, nor changes what came
\set VERBOSITY default
DELETE FROM workflow.inbox;
UPDATE workflow.inbox SET event_id = event_id || '!';
