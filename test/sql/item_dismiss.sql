--
-- Webhooks that never fit are dismissed, by somebody and for a reason.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\set SHOW_CONTEXT never
SELECT version FROM workflow.define('{"workflow": "order", "owner": "shop", "initial": "OPEN", "key": ["$.id"],
  "states": {"OPEN": {"on": {"paid": "PAID"}}, "PAID": {"final": "paid"}}}');

SELECT workflow.create_source('shop', 'none', feed => '[{"when": "$.body.number", "send": {"item": "order:{$.body.number}", "event": "paid"}}]');

-- dismissed it is not fed any more, neither when it comes again, and is counted no longer
SELECT count(r.inbox_id) FROM unnest(ARRAY['a', 'b', 'c']) AS e (id), workflow.receive('shop', e.id, '{}', format('{"number": "%s"}', e.id)) AS r;
SELECT inbox_id AS a FROM workflow.webhooks WHERE event_id = 'a' \gset
SELECT inbox_id AS b FROM workflow.webhooks WHERE event_id = 'b' \gset
SELECT workflow.dismiss_webhook(:a, 'a test of theirs');
SELECT status, problem, dismissed_by = current_user AS by_me, dismissed_at IS NOT NULL AS has_time, dismiss_reason FROM workflow.webhooks WHERE event_id = 'a';
SELECT unfed FROM workflow.sources WHERE source = 'shop';
SELECT detail, hint FROM workflow.health() WHERE "check" = 'webhooks_unfed';
SELECT action, subject = 'webhook:' || :a AS about_it, reason, detail FROM workflow.journal WHERE action LIKE '%webhook';
SELECT FROM workflow.submit('order', '{"id": "a"}');
SELECT state, duplicate, problem FROM workflow.receive('shop', 'a', '{}', '{"number": "a"}');
SELECT state FROM workflow.items WHERE key = 'a';
-- once more is nothing new; it may still be fed by hand
SELECT workflow.dismiss_webhook(:a, 'a test of theirs');
SELECT count(*) FROM workflow.journal WHERE action = 'dismiss_webhook';
SELECT state, problem FROM workflow.feed(:a);
SELECT status, problem, dismissed_by, dismiss_reason FROM workflow.webhooks WHERE event_id = 'a';

-- refused: without a reason, what was fed, what is not there, whoever is no operator
\set VERBOSITY sqlstate
SELECT workflow.dismiss_webhook(:b, '');
SELECT workflow.dismiss_webhook(:b, NULL);
SELECT workflow.dismiss_webhook(:a, 'too late');
SELECT workflow.dismiss_webhook(0, 'x');
CREATE ROLE regress_dismiss_app;
SELECT workflow.grant_role('regress_dismiss_app', 'submitter');
SET ROLE regress_dismiss_app;
SELECT workflow.dismiss_webhook(:b, 'x');
RESET ROLE;
CREATE ROLE regress_dismiss_operator;
SELECT workflow.grant_role('regress_dismiss_operator', 'operator');
SET ROLE regress_dismiss_operator;
SELECT workflow.dismiss_webhook(:b, 'never will fit');
RESET ROLE;
\set VERBOSITY default
-- what was ignored can be dismissed, too; what was is purged like what was fed, and not fed after that
SELECT inbox_id AS odd FROM workflow.receive('shop', 'odd', '{}', '{}') \gset
SELECT workflow.dismiss_webhook(:odd, 'nothing of ours');
SELECT event_id, status FROM workflow.webhooks ORDER BY event_id;
UPDATE workflow.inbox SET purged_at = now() WHERE inbox_id = :b;
\set VERBOSITY sqlstate
SELECT workflow.feed(:b);
DROP OWNED BY regress_dismiss_app, regress_dismiss_operator;
DROP ROLE regress_dismiss_app, regress_dismiss_operator;
