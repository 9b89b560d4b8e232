--
-- What happens to the alerts of an owner is sent to an endpoint, once for each change.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SERVER chat FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://chat.invalid', dedup 'key', owner 'chat-team');
SELECT workflow.create_queue('mail', owner => 'ops', sla => '10 minutes', escalate_to => '{lead}');
CREATE VIEW sent AS SELECT key, path, submitted_by = current_user AS mine, state FROM workflow.effect WHERE key LIKE 'alert:%' ORDER BY effect_id;

-- a route needs an endpoint that its maker may use
SELECT workflow.alert_to('ops', 'chatt', '/ops');
CREATE ROLE alert_route_operator;
SELECT workflow.grant_role('alert_route_operator', 'operator');
SET ROLE alert_route_operator;
SELECT workflow.alert_to('ops', 'chat', '/ops');
RESET ROLE;
-- and an owner that alerts may have
SELECT workflow.alert_to(NULL, 'chat', '/ops');
SELECT workflow.alert_to('', 'chat', '/ops');
SELECT workflow.alert_to(E' \t', NULL, NULL);
-- and a path that can be sent
SELECT workflow.alert_to('ops', 'chat', NULL);
SELECT workflow.alert_to('ops', 'chat', 'ops');
SELECT workflow.alert_to('ops', 'chat', '/ops/../all');
SELECT workflow.alert_to('ops', 'chat', '/ops');
SELECT workflow.alert_to('*', 'chat', '/all');
SELECT owner, endpoint, path FROM workflow.alert_routes;

-- opened, escalated (then it is somebody else's), cleared: one each, however often is looked
SELECT workflow.enqueue('mail', '{}', key => 'one') > 0 AS enqueued;
SET pg_workflow.clock = '+11 minutes';
SELECT FROM workflow._look_for_alerts();
SELECT FROM workflow._look_for_alerts();
SET pg_workflow.clock = '+22 minutes';
SELECT FROM workflow._look_for_alerts();
SELECT count(*) FROM workflow.claim('mail', 'me', 1, '1 hour');
SELECT FROM workflow._look_for_alerts();
TABLE sent;
-- in a queue of their own, whose policy tries for hours, often at first, so that a receiver may be restarted; yours stays
SELECT count(*) FILTER (WHERE j.queue = 'alert_calls') AS apart, count(*) AS all FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key LIKE 'alert:%';
SELECT q.owner, d.error_class, count(*) FILTER (WHERE d.delay < '1 minute') AS within_a_minute, bool_and(d.delay <= '15 minutes') AS capped,
       sum(d.delay) BETWEEN '2 hours' AND '8 hours' AS for_hours
FROM workflow.queue AS q, unnest('{connection,timeout,unavailable,overloaded,not_found}'::text[]) AS c (error_class), generate_series(1, 100) AS a (n),
  LATERAL (SELECT c.error_class, d.delay FROM workflow._retry_decide(q.retry, a.n, c.error_class, NULL, 0.5) AS d WHERE d.retry) AS d
WHERE q.queue = 'alert_calls' GROUP BY 1, 2 ORDER BY 2;
SELECT workflow.alter_queue('alert_calls', '{"retry": {"max_attempts": 2}}');
SELECT jsonb_object_keys(convert_from(body, 'UTF8')::jsonb) FROM workflow.effect WHERE key = 'alert:1:opened:0' ORDER BY 1;

-- that an endpoint fails is not sent there
UPDATE workflow.endpoint SET breaker = 'open', breaker_since = now(), breaker_reason = 'it is down';
SELECT FROM workflow._look_for_alerts();
SELECT count(*) FROM workflow.alerts WHERE subject = 'endpoint:chat';
SELECT count(*) FROM sent;

-- a route that leads nowhere any more: the alert is there all the same
UPDATE workflow.endpoint SET breaker = 'closed';
SELECT workflow.alert_to('*', NULL, NULL);
SELECT workflow.alert_to('ops', NULL, NULL);
SELECT owner FROM workflow.alert_routes;

-- to end what there is not is nothing that anybody did
SELECT workflow.alert_to('ops');
SELECT workflow.alert_to('nobody', NULL, NULL);
SELECT subject, detail FROM workflow.journal WHERE action = 'alert_to' ORDER BY journal_id;

-- who has no route of his own any more is everybody else again
SELECT workflow.alert_to('*', 'chat', '/all');
SELECT workflow.create_queue('post', owner => 'ops', sla => '10 minutes', escalate_to => '{lead}');
RESET pg_workflow.clock;
SELECT workflow.enqueue('post', '{}', key => 'two') > 0 AS enqueued;
SET pg_workflow.clock = '+33 minutes';
SELECT FROM workflow._look_for_alerts();
SELECT kind, owner, (SELECT path FROM sent WHERE key = format('alert:%s:opened:0', id)) AS sent_to FROM workflow.alerts WHERE subject = 'queue:post';

-- a route that sends nothing any more is told by health(), with what mends it
GRANT USAGE ON FOREIGN SERVER chat TO alert_route_operator;
SET ROLE alert_route_operator;
SELECT workflow.alert_to('night', 'chat', '/night');
RESET ROLE;
SELECT ok, severity, detail, hint FROM workflow.health() WHERE "check" = 'alert_routes';
REVOKE USAGE ON FOREIGN SERVER chat FROM alert_route_operator;
SELECT ok, severity, detail, hint FROM workflow.health() WHERE "check" = 'alert_routes';
ALTER SERVER chat RENAME TO talk;
SELECT ok, detail, hint FROM workflow.health() WHERE "check" = 'alert_routes';
SELECT workflow.alert_to('*', NULL, NULL); SELECT workflow.alert_to('night', NULL, NULL);
SELECT ok, detail, hint FROM workflow.health() WHERE "check" = 'alert_routes';
DROP OWNED BY alert_route_operator;
DROP ROLE alert_route_operator;
