--
-- An endpoint that may not be used blocks the action, not whoever moves the
-- item: the job waits, uncharged, and says what would change that.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE ROLE regress_designer;
SELECT workflow.grant_role('regress_designer', 'designer');
CREATE SERVER plain FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://127.0.0.1', dedup 'key');
CREATE SERVER closed FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://127.0.0.1', dedup 'key');
GRANT USAGE ON FOREIGN SERVER plain TO regress_designer;
CREATE FUNCTION act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{"done": true}'::jsonb $$;
SELECT '{
  "workflow": "NAME", "owner": "me", "key": ["$.id"], "initial": "START",
  "queues": {"NAME": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "START": {"on": {"task": "WORK", "review": "ASK", "wait": "SLEEP", "sql": "RUN"}},
    "WORK":  {"task": {"queue": "NAME"}, "timeout": {"after": "1 day", "event": "late"}, "on": {"ok": "ACT", "late": "END"}},
    "ASK":   {"review": {"queue": "NAME", "decisions": ["yes"]}, "on": {"yes": "ACT", "overdue": "END"}},
    "SLEEP": {"wait": {"for": "1 minute"}, "on": {"ok": "ACT"}},
    "RUN":   {"sql": {"function": "public.act", "queue": "NAME"}, "timeout": {"after": "1 day", "event": "error"}, "on": {"ok": "ACT", "error": "END"}},
    "ACT":   {"http": {"endpoint": "NAME", "queue": "NAME", "method": "POST", "path": "/accounts",
                       "headers": {"X-Note": "$.note"}, "body": {"id": "$.id"}, "key": ["$.id"]},
              "timeout": {"after": "1 day", "event": "late"}, "on": {"ok": "END", "error": "ODD", "late": "END"}},
    "ODD":   {"exception": {"queue": "NAME"}, "on": {"replay": "ACT", "give_up": "END"}},
    "END":   {"final": "end"}}}' AS document \gset
SET ROLE regress_designer;

-- check() tells it before: no https, no USAGE
SELECT version FROM workflow.define(replace(:'document', 'NAME', 'plain')::json);
SELECT version FROM workflow.define(replace(:'document', 'NAME', 'closed')::json);
SELECT c.* FROM unnest(ARRAY['plain', 'closed']) AS w, workflow.check(w) AS c WHERE c.code = 'endpoint_refused';
RESET ROLE;

-- from a task, a review, a wait and a sql activity
BEGIN;
SELECT count(workflow.submit(w, jsonb_build_object('id', format('%s-%s', w, e), 'note', 'x')))
FROM unnest(ARRAY['plain', 'closed']) AS w, unnest(ARRAY['task', 'review', 'wait', 'sql']) AS e;
SELECT count(workflow.send(i.item_id, split_part(i.key, '-', 2))) FROM workflow.item AS i;
SELECT count(workflow.complete(c.job_id, c.token)) FROM unnest(ARRAY['plain', 'closed']) AS q, workflow.claim(q, 'w', 10) AS c;
SELECT count(workflow.decide(r.id, 'yes')) FROM workflow.review_inbox AS r;
SELECT set_config('pg_workflow.clock', (now() + interval '2 minutes')::text, true) <> '' AS later;
CALL workflow.run();
COMMIT;
SELECT i.key, i.state, w.waiting_on, w.waiting_detail, w.attempts, w.last_error_class
FROM workflow.item AS i, workflow.where_is(i.item_id) AS w ORDER BY 1;
SELECT e.key, e.state, e.error_class, e.attempts, e.charged, e.cause IS NOT NULL AS has_cause FROM workflow.effect AS e ORDER BY 1;
SELECT j.queue, j.state, j.status, j.waiting_on, j.attempt, j.error_class, count(*) FROM workflow.job AS j GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1;
SELECT count(*) FROM workflow.attempt WHERE kind = 'http';

-- the cause of one changes: what waited for it is tried, the others wait on
GRANT USAGE ON FOREIGN SERVER closed TO regress_designer;
CALL workflow.run();
SELECT i.workflow, w.waiting_on, w.waiting_detail, count(*)
FROM workflow.item AS i, workflow.where_is(i.item_id) AS w GROUP BY 1, 2, 3 ORDER BY 1;

-- one that is to start later is looked at when it is to be sent
SELECT version FROM workflow.define('{
  "workflow": "later", "owner": "me", "initial": "ACT",
  "queues": {"plain": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "ACT": {"http": {"endpoint": "plain", "queue": "plain", "method": "POST", "path": "/accounts", "key": "later"},
            "timeout": {"after": "1 day", "event": "late"}, "on": {"ok": "END", "error": "END", "late": "END"}},
    "END": {"final": "end"}}}');
SELECT item_id FROM workflow.submit('later', '{}', run_at => '2100-01-01') \gset
SELECT j.status, j.waiting_on, j.run_at = '2100-01-01' AS at_its_time, e.state FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id)
WHERE j.item_id = :item_id;

-- what a header cannot hold is the item's fault, whoever moves it
SELECT count(workflow.submit('plain', '{"id": "odd", "note": "a\nb"}'));
SELECT state FROM workflow.send('plain:odd', 'task');
SELECT workflow.complete(c.job_id, c.token) FROM workflow.claim('plain', 'w') AS c;
SELECT w.state, w.waiting_on, w.last_error_class, w.last_error FROM workflow.where_is('plain:odd') AS w;

-- who calls is told at once
SET ROLE regress_designer;
SELECT workflow.call('plain', 'POST', '/accounts', '{}');
RESET ROLE;

-- who may not use an endpoint has no part in what another role does there
REVOKE USAGE ON FOREIGN SERVER closed FROM regress_designer;
CREATE TEMP TABLE theirs AS
SELECT workflow.call('closed', 'POST', '/accounts', '{"id": "closed-theirs"}', 'closed-theirs', '{"X-Note": "x"}') AS effect_id;
UPDATE workflow.effect AS e SET state = 'succeeded', first_sent_at = now(), response = '{"status": 200, "headers": {}, "body": "secret"}'
FROM theirs WHERE e.effect_id = theirs.effect_id;
SELECT count(workflow.submit('closed', '{"id": "closed-theirs", "note": "x"}'));
SELECT state FROM workflow.send('closed:closed-theirs', 'task');
SELECT workflow.complete(c.job_id, c.token) FROM workflow.claim('closed', 'w') AS c;
SELECT w.state, w.last_error_class, w.last_error, i.data FROM workflow.where_is('closed:closed-theirs') AS w JOIN workflow.item AS i USING (item_id);

DROP FUNCTION act(bigint, jsonb);
DROP SERVER plain;
DROP SERVER closed;
DROP OWNED BY regress_designer;
DROP ROLE regress_designer;
