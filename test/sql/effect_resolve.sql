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
