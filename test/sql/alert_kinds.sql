--
-- Every kind of alert: what opens it, whose it is, and what clears it.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SCHEMA app;
CREATE FUNCTION app.work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT ''{}''::jsonb';
CREATE SERVER pay FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://pay.invalid', dedup 'none', owner 'finance');
SELECT workflow.create_queue('mail', owner => 'ops', sla => '10 minutes', escalate_to => '{ops-lead}',
  retry => '{"max_attempts": 3, "retry_on": ["unavailable"], "alert_after": 2, "backoff": {"initial": "1 second", "jitter": "none"}}');
SELECT workflow.define('{
  "workflow": "w", "owner": "owners", "initial": "ASK",
  "queues": {"work": {"owner": "workers", "sla": "1 day", "escalate_to": ["boss"]}},
  "states": {"ASK": {"sla": "10 minutes", "timeout": "2 days", "on": {"go": "WORK", "again": "ASK", "timeout": "DONE"}},
             "WORK": {"sql": {"function": "app.work", "queue": "work"}, "on": {"ok": "DONE"}},
             "DONE": {"final": "success"}}}');
CREATE VIEW open_alerts AS
SELECT kind, subject, severity, owner FROM workflow.alerts WHERE cleared_at IS NULL ORDER BY kind COLLATE "C", subject COLLATE "C";
-- what is wrong at a time
CREATE FUNCTION look(clock text) RETURNS SETOF open_alerts LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('pg_workflow.clock', clock, false);
  PERFORM workflow._look_for_alerts();
  RETURN QUERY TABLE open_alerts;
  PERFORM set_config('pg_workflow.clock', '', false);
END $$;

-- a state with an SLA: visits that are nearly late, and late; those stay as history, others do not
SELECT count(*) FROM workflow.submit_many('w', '{"{\"n\": 1}", "{\"n\": 2}"}');
SELECT * FROM look('+1 minute');
SELECT * FROM look('+9 minutes');
SELECT * FROM look('+11 minutes');
SELECT regexp_replace(detail, '\w+ \w+ \d+ [\d:.]+ \d{4} \w+', 'TIME', 'g') AS detail, hint FROM workflow.alerts WHERE kind = 'sla_breach';
SELECT seq, state FROM workflow.send(1, 'again');
SET pg_workflow.clock = '+11 minutes';
SELECT seq, state FROM workflow.send(2, 'go');
CALL workflow.run();
RESET pg_workflow.clock;
SELECT kind, subject FROM look('+59 minutes');
SELECT item_id, seq, workflow, state, due_at - entered_at AS sla, due_at - warn_at AS warned_before, left_at - entered_at > '11 minutes' AS late
FROM workflow.visit_sla ORDER BY 1, 2;
SELECT seq, state FROM workflow.send(1, 'go');
CALL workflow.run();
SELECT kind, subject FROM look('+58 minutes');

-- jobs that have failed as often as alert_after says
SELECT workflow.enqueue('mail', '"letter"', key => 'letter') > 0 AS enqueued;
SELECT workflow.fail(job_id, token, 'unavailable', 'no answer') IS NOT NULL AS failed FROM workflow.claim('mail', 'me');
SELECT * FROM look('+0 seconds');
SET pg_workflow.clock = '+1 minute';
SELECT workflow.fail(job_id, token, 'unavailable', 'no answer') IS NOT NULL AS failed FROM workflow.claim('mail', 'me');
SELECT * FROM look('+0 seconds');
SELECT detail, hint FROM workflow.alerts WHERE kind = 'failing';
SET pg_workflow.clock = '+2 minutes';
SELECT workflow.fail(job_id, token, 'unavailable', 'no answer') IS NOT NULL AS failed FROM workflow.claim('mail', 'me');
SELECT * FROM look('+2 minutes');

-- a dead letter that nobody sees to
SELECT * FROM look('+59 minutes');
SELECT workflow.replay_job(job_id, 'mended') IS NOT NULL AS replayed FROM workflow.dead_letters;
SELECT workflow.complete(job_id, token) IS NOT NULL AS completed FROM workflow.claim('mail', 'me');
SELECT * FROM look('+59 minutes');

-- many at once
SELECT count(workflow.enqueue('mail', to_jsonb(n))) FROM generate_series(1, 10) AS n;
SELECT count(workflow.fail(job_id, token, 'permanent', 'no such address') IS NULL) FROM workflow.claim('mail', 'me', 10);
SELECT * FROM look('+1 minute');
SELECT detail FROM workflow.alerts WHERE kind = 'dead_letters_growing';
SELECT workflow.cancel_jobs(array_agg(job_id), 'not wanted') FROM workflow.dead_letters;
SELECT * FROM look('+1 minute');

-- work for background workers that nobody does
SELECT state FROM workflow.submit('w', '{"n": 3}');
SELECT state FROM workflow.send(3, 'go');
SELECT * FROM look('+20 seconds');
SELECT * FROM look('+40 seconds');
CALL workflow.run();
SELECT * FROM look('+40 seconds');

-- a lease that nobody ends
SELECT workflow.enqueue('mail', '"leased"', key => 'leased') > 0 AS enqueued;
SELECT count(*) FROM workflow.claim('mail', 'me', 1, '1 minute');
SELECT * FROM look('+90 seconds');
SELECT * FROM look('+3 minutes');
SELECT workflow.complete(job_id, token) IS NOT NULL AS completed FROM workflow.job WHERE key = 'leased';
SELECT * FROM look('+3 minutes');

-- a timer that is late, and one that cannot fire
SELECT state FROM workflow.submit('w', '{"n": 4}');
SELECT * FROM look('+49 hours') WHERE kind = 'timers_overdue';
SELECT seq, state FROM workflow.send(4, 'go');
CALL workflow.run();
SELECT * FROM look('+50 hours') WHERE kind = 'timers_overdue';

-- an endpoint: its breaker, and effects that wait for a person
SELECT workflow.call('pay', 'POST', '/', '{}', key => 'one') > 0 AS called;
UPDATE workflow.endpoint SET breaker = 'open', breaker_since = now(), breaker_reason = '5 failures in a row';
UPDATE workflow.effect SET state = 'held';
SELECT * FROM look('+0 seconds');
SELECT kind, regexp_replace(regexp_replace(detail, 'one is \d+', 'one is N'), '\w+ \w+ \d+ [\d:.]+ \d{4} \w+', 'TIME') AS detail, hint FROM workflow.alerts WHERE subject = 'endpoint:pay' ORDER BY kind COLLATE "C";
UPDATE workflow.endpoint SET breaker = 'closed';
UPDATE workflow.effect SET state = 'blocked';
SELECT detail FROM workflow.health() WHERE "check" LIKE 'effects\_%' AND NOT ok;
SELECT * FROM look('+59 minutes');
UPDATE workflow.effect SET state = 'unknown', unknown_at = now();
SELECT * FROM look('+1 minute');
SELECT * FROM look('+6 minutes');
UPDATE workflow.effect SET state = 'cancelled', finished_at = now();
SELECT workflow.cancel_job(job_id) IS NOT NULL AS cancelled FROM workflow.job WHERE effect_id IS NOT NULL;
SELECT * FROM look('+59 minutes');

-- who holds the oldest snapshot
BEGIN;
CREATE TABLE held ();
PREPARE TRANSACTION 'forgotten';
SELECT kind, owner = pg_get_userbyid((SELECT datdba FROM pg_database WHERE datname = current_database())) AS of_database_owner
FROM look('+61 minutes');
SELECT hint FROM workflow.alerts WHERE kind = 'xmin_held';
ROLLBACK PREPARED 'forgotten';
SELECT * FROM look('+61 minutes');

-- numbers that come to an end
SELECT setval('workflow.endpoint_endpoint_id_seq', 2000000000);
SELECT kind, subject, severity FROM look('+0 seconds');
SELECT detail FROM workflow.alerts WHERE kind = 'sequence_headroom';
SELECT setval('workflow.endpoint_endpoint_id_seq', 10);
SELECT * FROM look('+0 seconds');

-- a gate that decides otherwise than in the days before; it is looked at each ten minutes
INSERT INTO workflow.gate_decision (item_id, seq, state, value, tier, event, tiers, version, decided_at)
SELECT 1, n, 'GATE', 0.5, CASE WHEN n % 10 < CASE WHEN n <= 200 THEN 1 ELSE 5 END THEN 'human' ELSE 'auto' END, 'go', '[]', 1,
       now() - CASE WHEN n <= 200 THEN interval '8 days' - n * interval '45 minutes' ELSE n * interval '1 minute' END
FROM generate_series(1, 300) AS n;
SELECT * FROM look('+1 second');
SELECT detail FROM workflow.alerts WHERE kind = 'gate_drift';
INSERT INTO workflow.gate_decision (item_id, seq, state, value, tier, event, tiers, version, decided_at)
SELECT 1, n, 'GATE', 0.5, 'auto', 'go', '[]', 1, now() - interval '8 hours' - (n - 1000) * interval '1 minute'
FROM generate_series(1001, 1400) AS n;
INSERT INTO workflow.gate_decision (item_id, seq, state, value, tier, event, tiers, version, decided_at)
VALUES (1, 2000, 'GATE', 0.5, 'auto', 'go', '[]', 1, now() + interval '2 minutes');
SELECT * FROM look('+5 minutes');
SELECT * FROM look('+11 minutes');

-- a migrated visit has the SLA of the other version, counted from when it began
SELECT item_id FROM workflow.submit('w', '{"n": 5}') \gset
SELECT version FROM workflow.define(replace(replace(workflow.document('w')::text, '"sla": "10 minutes"', '"sla": "1 hour"'), '"WORK": {', '"WORK": {"sla": "1 day", ')::json);
SELECT sum(items) AS items FROM workflow.migrate('w', 1, 2, dry_run => false, reason => 'more time') WHERE state = 'ASK';
SELECT v.seq, v.state, v.due_at - v.entered_at AS sla, v.entered_at = i.since AS from_entry
FROM workflow.visit_sla AS v JOIN workflow.items AS i USING (item_id) WHERE item_id = :item_id;
SELECT seq, state FROM workflow.send(:item_id, 'go');
SELECT v.seq, v.state, v.due_at - v.entered_at AS sla FROM workflow.visit_sla AS v WHERE item_id = :item_id;
CALL workflow.run();
SELECT count(*) FROM workflow.visit_sla AS v WHERE item_id = :item_id;

-- children that cannot go on where nobody handles "error": until they are replayed, or the item has left
SELECT version FROM workflow.define('{
  "workflow": "kid", "owner": "me", "initial": "OPEN", "states": {"OPEN": {"on": {"lose": "LOST", "win": "WON"}}, "WON": {"final": "won"}, "LOST": {"final": "failure"}}}');
SELECT version FROM workflow.define('{
  "workflow": "family", "owner": "ann", "initial": "KIDS",
  "states": {"KIDS": {"spawn": {"workflow": "kid", "each": "$.kids", "join": "all"}, "on": {"ok": "DONE", "stop": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT state FROM workflow.submit('family', '{"kids": [1]}', key => 'first');
SELECT state FROM workflow.submit('family', '{"kids": [1]}', key => 'second');
SELECT * FROM look('+0 seconds');
SELECT count(workflow.send(item_id, 'lose')) FROM workflow.items WHERE workflow = 'kid';
CALL workflow.run();
SELECT * FROM look('+0 seconds');
SELECT regexp_replace(regexp_replace(detail, 'item \d+', 'item N'), '\w+ \w+ \d+ [\d:.]+ \d{4} \w+', 'TIME') AS detail, hint,
       workflow._alert_runbook(kind, subject) AS runbook
FROM workflow.alerts WHERE kind = 'spawn_failed';
SELECT state FROM workflow.send('family:first', 'stop');
SELECT * FROM look('+0 seconds');
SELECT workflow.replay('family:second', 'once more') IS NOT NULL AS replayed;
CALL workflow.run();
SELECT * FROM look('+0 seconds');

-- whoever has an alert of a kind has a runbook, and a hint that is a statement, and every alert was cleared
SELECT kind, count(*), bool_and(cleared_at IS NOT NULL) AS cleared, bool_and(runbook = 'docs/operations.md#' || kind) AS has_runbook,
       bool_and(split_part(hint, '  -- ', 1) ~ '^((SELECT|ALTER|CALL) [^;]+; ?)+$') AS can_be_pasted
FROM workflow.alerts GROUP BY kind ORDER BY kind COLLATE "C";
