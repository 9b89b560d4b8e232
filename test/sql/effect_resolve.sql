--
-- resolve() of an effect that nobody waits for any more.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'finance');
SELECT workflow.define('{
  "workflow": "pay", "owner": "me", "key": ["$.id"], "initial": "PAY",
  "retry": {"default": {"owner": "me", "max_attempts": 2}},
  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "PAY":  {"http": {"endpoint": "bank", "queue": "out", "method": "POST", "path": "/pay", "body": {"to": "$.to"}, "key": ["$.to"]},
             "on": {"ok": "DONE", "error": "BAD"}},
    "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}');
-- sent once, and nobody knows what became of it
CREATE FUNCTION hold(what text) RETURNS void LANGUAGE sql AS $$
  UPDATE workflow.effect SET state = 'held', error_class = 'unknown_outcome', reason = 'nobody knows', attempts = 1,
    unknown_attempts = 1, first_sent_at = now() WHERE key = what;
  SELECT workflow._effect_settled(effect_id, 'tester') FROM workflow.effect WHERE key = what;
$$;
CREATE FUNCTION resolve(what text, resolution text) RETURNS void LANGUAGE sql AS $$
  SELECT workflow.resolve(effect_id, resolution, 'the bank has none') FROM workflow.effect WHERE key = what
$$;
CREATE VIEW stands AS SELECT e.key, e.state, e.substate, e.unknown_attempts AS doubts, e.error_class, e.reason, e.finished_at IS NOT NULL AS finished,
    j.status FROM workflow.effect AS e LEFT JOIN workflow.job AS j USING (effect_id) ORDER BY e.effect_id;

-- its item has ended: it was not applied, and is not sent any more
SELECT state FROM workflow.submit('pay', '{"id": "1", "to": "ann"}');
SELECT hold('ann');
SELECT FROM workflow.cancel('pay:1', 'over');
TABLE stands;
SELECT resolve('ann', 'not_applied');
TABLE stands;
SELECT waiting FROM workflow.endpoints;
SELECT state, verdict, why FROM workflow.if_run_again('pay:1') WHERE effect_id IS NOT NULL;
SELECT action, reason, detail FROM workflow.journal WHERE action = 'resolve';
SELECT resolve('ann', 'abandon');

-- its key is free: for another request, and for the same
SELECT workflow.call('bank', 'POST', '/pay', '{"to": "ann", "twice": true}', 'ann') > 0 AS another;
SELECT state FROM workflow.submit('pay', '{"id": "2", "to": "bob"}');
SELECT hold('bob');
SELECT FROM workflow.cancel('pay:2', 'over');
SELECT resolve('bob', 'not_applied');
SELECT state FROM workflow.submit('pay', '{"id": "3", "to": "bob"}');
TABLE stands;

-- evidence says the same
SELECT hold('bob');
SELECT FROM workflow.cancel('pay:3', 'over');
SELECT workflow.record_evidence('bank', 'bob', 'not_applied', 'no-such-payment');
SELECT * FROM stands WHERE key = 'bob';

-- where another item waits for it, that sends it
SELECT state FROM workflow.submit('pay', '{"id": "4", "to": "cyd"}');
SELECT hold('cyd');
SELECT state FROM workflow.submit('pay', '{"id": "5", "to": "cyd"}');
SELECT FROM workflow.cancel('pay:4', 'over');
SELECT resolve('cyd', 'not_applied');
SELECT * FROM stands WHERE key = 'cyd';

-- a revert that was refused, because what it takes back is gone already: the compensation goes on
SELECT workflow.define('{
  "workflow": "trip", "owner": "me", "key": ["$.id"], "initial": "FLIGHT",
  "retry": {"default": {"owner": "me", "max_attempts": 2}},
  "queues": {"out": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "FLIGHT": {"http": {"endpoint": "bank", "queue": "out", "method": "POST", "path": "/flights", "key": ["$.id", "flight"],
                        "revert": {"method": "DELETE", "path": "/flights/{$.id}"}}, "on": {"ok": "HOTEL", "error": "OFF"}},
    "HOTEL":  {"http": {"endpoint": "bank", "queue": "out", "method": "POST", "path": "/hotels", "key": ["$.id", "hotel"],
                        "revert": {"method": "DELETE", "path": "/hotels/{$.id}"}}, "on": {"ok": "DONE", "error": "OFF"}},
    "OFF":    {"final": "off"}, "DONE": {"final": "done"}}}');
CREATE FUNCTION settle(what text, state text, status int) RETURNS void LANGUAGE sql AS $$
  UPDATE workflow.effect SET state = settle.state, status = settle.status, error_class = CASE WHEN settle.state = 'failed' THEN 'permanent' END,
    finished_at = now(), response = '{"status": 200}'
  WHERE key = what;
  SELECT workflow._effect_settled(effect_id, 'tester') FROM workflow.effect WHERE key = what;
$$;
CREATE VIEW trips AS SELECT key, state, substate, error_class, reason, status FROM stands WHERE key LIKE '%7%';
SELECT state FROM workflow.submit('trip', '{"id": 7}');
SELECT settle('7:flight', 'succeeded', 200), settle('7:hotel', 'succeeded', 200);
SELECT cardinality(workflow.compensate('trip:7', 'the trip is off')) AS reverts;
SELECT settle('revert:7:hotel', 'failed', 404);
TABLE trips;
SELECT resolve('revert:7:hotel', 'not_applied');
SELECT resolve('revert:7:hotel', 'applied');
TABLE trips;
SELECT count(*) AS dead_letters FROM workflow.dead_letters;
SELECT resolve('revert:7:hotel', 'applied');

-- of anything else that failed nobody says so
SELECT settle('cyd', 'failed', 404);
SELECT resolve('cyd', 'applied');
-- nor of a revert that another one has followed
SELECT settle('revert:7:flight', 'failed', 404);
SET session_replication_role = replica;
UPDATE workflow.effect SET fingerprint = '\x00' WHERE key = 'revert:7:flight';
RESET session_replication_role;
SELECT cardinality(workflow.compensate('trip:7', 'the trip is off')) AS reverts;
SELECT resolve('revert:7:flight', 'applied');
TABLE trips;

-- given up, and wanted again: held, and why can be read
SELECT state FROM workflow.submit('pay', '{"id": "6", "to": "dan"}');
SELECT hold('dan');
SELECT resolve('dan', 'abandon');
SELECT state FROM workflow.submit('pay', '{"id": "7", "to": "dan"}');
SELECT * FROM stands WHERE key = 'dan';
SELECT waiting_on, last_error_class, last_error FROM workflow.where_is('pay:7');
SELECT resolve('dan', 'applied');
SELECT state FROM workflow.items WHERE workflow = 'pay' AND key = '7';

-- what was applied has an id there: it is kept with the effect, and in the journal
SELECT state FROM workflow.submit('pay', '{"id": "8", "to": "eve"}');
SELECT hold('eve');
SELECT effect_id FROM workflow.effects WHERE key = 'eve' \gset
\set SHOW_CONTEXT never
\set VERBOSITY terse
SELECT workflow.resolve(:effect_id, 'not_applied', 'the bank has none', 'tx-99');
SELECT workflow.resolve(:effect_id, 'applied', 'the bank has it', '');
\set VERBOSITY default
SELECT workflow.resolve(:effect_id, 'applied', 'the bank has it', external_id => 'tx-99');
SELECT state, external_id FROM workflow.effects WHERE effect_id = :effect_id;
SELECT state, external_ids FROM workflow.items WHERE workflow = 'pay' AND key = '8';
SELECT reason, detail FROM workflow.journal WHERE subject = 'effect:' || :effect_id;

-- evidence settles such a revert as a person does
SELECT state FROM workflow.submit('trip', '{"id": 8}');
SELECT settle('8:flight', 'succeeded', 200), settle('8:hotel', 'succeeded', 200);
SELECT cardinality(workflow.compensate('trip:8', 'the trip is off')) AS reverts;
SELECT settle('revert:8:hotel', 'failed', 404);
SELECT workflow.record_evidence('bank', 'revert:8:hotel', 'not_applied', 'no-such-hotel');
SELECT workflow.record_evidence('bank', 'revert:8:hotel', 'applied', 'cancelled-8');
SELECT key, state, substate, error_class, reason, status FROM stands WHERE key LIKE 'revert:8%';
-- of one that another one has followed it is noted
SELECT workflow.record_evidence('bank', 'revert:7:flight', 'applied', 'cancelled-7');
SELECT action, subject LIKE 'effect:%' AS effect, reason, detail FROM workflow.journal
WHERE action IN ('evidence', 'resolve') AND reason LIKE ANY ('{%-8,%-7,%-hotel}') ORDER BY journal_id;
