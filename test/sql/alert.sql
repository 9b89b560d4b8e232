--
-- Alerts open when something is wrong, once, and clear by themselves when it is
-- over; they escalate until somebody has acknowledged them.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow.create_queue('mail', owner => 'ops', sla => '10 minutes', escalate_to => '{ops-lead,cto}');
SELECT workflow.create_queue('graves', owner => 'undertakers', sla => '1 day', escalate_to => '{boss}');
CREATE VIEW seen AS
SELECT kind, subject, severity, owner, step, cleared_at IS NOT NULL AS cleared, acknowledged_by IS NOT NULL AS taken, reopened
FROM workflow.alerts ORDER BY id;

-- nothing is wrong: there is no row
CALL workflow.run();
TABLE seen;

-- a job that could be claimed waits: its owner is warned, then the SLA is breached
SELECT workflow.enqueue('mail', '"letter"', key => 'letter') > 0 AS enqueued;
CALL workflow.run();
TABLE seen;
SET pg_workflow.clock = '+9 minutes';
CALL workflow.run();
TABLE seen;
SET pg_workflow.clock = '+11 minutes';
CALL workflow.run();
CALL workflow.run();
TABLE seen;
SELECT regexp_replace(detail, '\w+ \w+ \d+ [\d:.]+ \d{4} \w+', 'TIME', 'g') AS detail, hint, runbook FROM workflow.alerts WHERE kind = 'sla_breach';

-- after the SLA again the next in the path has it, then the last
SET pg_workflow.clock = '+22 minutes';
CALL workflow.run();
TABLE seen;
SET pg_workflow.clock = '+33 minutes';
CALL workflow.run();
TABLE seen;
SET pg_workflow.clock = '+99 minutes';
CALL workflow.run();
TABLE seen;
SELECT actor, action, subject ~ '^alert:\d+$' AS of_alert, reason, detail FROM workflow.journal WHERE action = 'escalate_alert' ORDER BY journal_id;

-- it is claimed: cleared, and kept
SELECT count(*) FROM workflow.claim('mail', 'me', 1, '1 hour');
CALL workflow.run();
TABLE seen;

-- it comes back soon: the same alert; and is believed to be over after a minute without it
SELECT workflow.release(job_id, token) FROM workflow.job WHERE key = 'letter';
CALL workflow.run();
TABLE seen;
SELECT count(*) FROM workflow.claim('mail', 'me', 1, '1 hour');
CALL workflow.run();
TABLE seen;
SET pg_workflow.clock = '+101 minutes';
CALL workflow.run();
TABLE seen;

-- who has acknowledged an alert has it: it is not escalated
SET pg_workflow.clock = '+200 minutes';
CALL workflow.run();
SELECT workflow.acknowledge_alert(max(id), 'I am on it') FROM workflow.alerts;
SET pg_workflow.clock = '+300 minutes';
CALL workflow.run();
TABLE seen;
SELECT acknowledged_by = current_user AS mine, note FROM workflow.alerts WHERE note IS NOT NULL;
SELECT workflow.acknowledge_alert(0);
SELECT count(*) FROM workflow.claim('mail', 'me', 1, '1 hour');
CALL workflow.run();
\set VERBOSITY terse
SELECT workflow.acknowledge_alert(3, 'too late');
\set VERBOSITY default

-- what is about no queue takes the path of a queue of the same owner
RESET pg_workflow.clock;
CREATE SERVER out FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://out.invalid', dedup 'key', owner 'ops');
SELECT workflow.pause_endpoint('out'), workflow.resume_endpoint('out');
UPDATE workflow.endpoint SET breaker = 'open', breaker_since = now(), breaker_until = now() + interval '1 day', breaker_reason = 'it is down';
SET pg_workflow.clock = '+400 minutes';
CALL workflow.run();
SET pg_workflow.clock = '+411 minutes';
CALL workflow.run();
SET pg_workflow.clock = '+422 minutes';
CALL workflow.run();
SET pg_workflow.clock = '+499 minutes';
CALL workflow.run();
SELECT kind, subject, owner, step FROM workflow.alerts WHERE subject = 'endpoint:out';
UPDATE workflow.endpoint SET breaker = 'closed';

-- one that is over is nobody's next; one that comes back has its owner's time again, and keeps whom it had reached
SELECT workflow.create_queue('post', owner => 'posties', sla => '10 minutes', escalate_to => '{sorter,master}');
CREATE VIEW of_post AS
SELECT owner, step, reopened, cleared_at IS NOT NULL AS cleared,
       round(extract(epoch FROM escalates_at - now()) / 60) AS escalates_at_minute
FROM workflow.alerts WHERE subject = 'queue:post' AND kind = 'sla_breach';
RESET pg_workflow.clock;
SELECT workflow.enqueue('post', '"parcel"', key => 'parcel') > 0 AS enqueued;
SET pg_workflow.clock = '+11 minutes';
SELECT FROM workflow._look_for_alerts();
TABLE of_post;
SELECT count(*) FROM workflow.claim('post', 'me', 1, '10 hours');
SELECT FROM workflow._look_for_alerts();
TABLE of_post;
SET pg_workflow.clock = '+20 minutes';
SELECT workflow.release(job_id, token) FROM workflow.job WHERE key = 'parcel';
SELECT FROM workflow._look_for_alerts();
TABLE of_post;
SET pg_workflow.clock = '+22 minutes';
SELECT FROM workflow._look_for_alerts();
TABLE of_post;
SET pg_workflow.clock = '+31 minutes';
SELECT FROM workflow._look_for_alerts();
TABLE of_post;
SELECT workflow.acknowledge_alert(id) FROM workflow.alerts WHERE subject = 'queue:post' AND cleared_at IS NULL;
TABLE of_post;
SELECT count(*) FROM workflow.claim('post', 'me', 1, '10 hours');

-- an owner who wants to be warned earlier, or later
SELECT workflow.create_queue('early', owner => 'birds', sla => '10 minutes', escalate_to => '{b}', warn => '9 minutes');
RESET pg_workflow.clock;
SELECT workflow.enqueue('early', '"worm"', key => 'worm') > 0 AS enqueued;
SELECT workflow._next_condition() - clock_timestamp() BETWEEN '40 seconds' AND '60 seconds' AS looks_then;
SET pg_workflow.clock = '+61 seconds';
SELECT FROM workflow._look_for_alerts();
SELECT kind FROM seen WHERE subject = 'queue:early';
SELECT workflow.alter_queue('early', '{"warn": "1 minute"}');
SELECT FROM workflow._look_for_alerts();
SELECT kind, cleared FROM seen WHERE subject = 'queue:early';
SELECT workflow.alter_queue('early', '{"warn": null}');
SET pg_workflow.clock = '+8 minutes 1 second';
SELECT FROM workflow._look_for_alerts();
SELECT kind, cleared, reopened FROM seen WHERE subject = 'queue:early';
SELECT count(*) FROM workflow.claim('early', 'me', 1, '10 hours');

-- a job that is not due is not late, and one that waits for a retry is not either
RESET pg_workflow.clock;
SELECT workflow.enqueue('graves', '"later"', run_at => now() + interval '40 days') > 0 AS enqueued;
SELECT pg_catalog.set_config('pg_workflow.clock', '+39 days', false) IS NOT NULL AS set;
CALL workflow.run();
SELECT count(*) FROM seen WHERE subject = 'queue:graves';

-- a workflow and a queue may say where their runbooks are
RESET pg_workflow.clock;
SELECT version FROM workflow.define('{"workflow": "r", "owner": "me", "initial": "S", "runbook": "https://wiki.example/r",
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"], "runbook": "https://wiki.example/desk"},
             "other": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"S": {"task": {"queue": "desk"}, "on": {"ok": "T"}}, "T": {"task": {"queue": "other"}, "on": {"ok": "E"}}, "E": {"final": "success"}}}');
SELECT s AS subject, workflow._alert_runbook('sla_breach', s) AS runbook
FROM unnest('{queue:desk,queue:other,queue:mail,state:r/S,state:r/T,state:r/S:tier,workflow:r,endpoint:out,review:0,database:x}'::text[]) AS s;
-- so it is of a review
SELECT version FROM workflow.define('{"workflow": "asked", "owner": "me", "initial": "S", "runbook": "https://wiki.example/asked",
  "states": {"S": {"review": {"queue": "desk", "decisions": ["yes"]}, "on": {"yes": "E"}}, "E": {"final": "success"}}}');
SELECT state FROM workflow.submit('asked', '{}');
SELECT workflow._alert_runbook('review_overdue', 'review:' || review_id) AS runbook FROM workflow.review;

-- history is not changed by hand
DELETE FROM workflow.alert;
UPDATE workflow.alert SET opened_at = now();
