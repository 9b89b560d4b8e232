--
-- Evidence that comes while an action is under way counts when its outcome turns out to be unknown: the
-- webhook of a payment may be there before the answer to the call.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'finance');
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');

-- a webhook says that it was applied, and its sender does not know
SELECT effect_id, token FROM workflow.begin_effect('bank', 'pay:1', '{"amount": 1}') \gset
SELECT workflow.create_source('bank', 'none', feed => '{"evidence": {"endpoint": "bank", "key": "$.body.key", "reference": "$.body.charge"}}');
SELECT problem FROM workflow.receive('bank', 'e1', '{}', '{"key": "pay:1", "charge": "ch_1"}');
SELECT state, external_id FROM workflow.effects WHERE key = 'pay:1';
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
SELECT state, substate, external_id, error_class, reason, finished_at IS NOT NULL AS finished FROM workflow.effects WHERE key = 'pay:1';
SELECT outcome, error_class, message FROM workflow.attempts WHERE effect_id = :effect_id;
SELECT verdict FROM workflow.begin_effect('bank', 'pay:1', '{"amount": 1}');

-- what the sender knows counts
SELECT effect_id, token FROM workflow.begin_effect('bank', 'pay:2', '{"amount": 2}') \gset
SELECT workflow.record_evidence('bank', 'pay:2', 'applied', 'ch_2');
SELECT workflow.finish_effect(:effect_id, :'token', 'applied', 'charge 2', '{"paid": true}');
SELECT state, substate, external_id, response FROM workflow.effects WHERE key = 'pay:2';
SELECT effect_id, token FROM workflow.begin_effect('bank', 'pay:3', '{"amount": 3}') \gset
SELECT workflow.record_evidence('bank', 'pay:3', 'applied', 'ch_3');
SELECT workflow.finish_effect(:effect_id, :'token', 'not_applied');
SELECT state, substate, external_id, reason FROM workflow.effects WHERE key = 'pay:3';

-- and was it not so, another life of the action does not go by it
SELECT effect_id, verdict, token FROM workflow.begin_effect('bank', 'pay:3', '{"amount": 3}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
SELECT state, reason FROM workflow.effects WHERE key = 'pay:3';

-- that it is not there yet says nothing while it is under way
SELECT effect_id, token FROM workflow.begin_effect('bank', 'pay:4', '{"amount": 4}') \gset
SELECT workflow.record_evidence('bank', 'pay:4', 'not_applied', 'search');
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
SELECT state FROM workflow.effects WHERE key = 'pay:4';

-- where nobody reports, and without a reference
SELECT effect_id FROM workflow.begin_effect('bank', 'pay:5', '{"amount": 5}') \gset
SELECT workflow.record_evidence('bank', 'pay:5', 'applied', NULL);
UPDATE workflow.effect SET deadline = now() - interval '1 second' WHERE effect_id = :effect_id;
CALL workflow.run();
SELECT state, substate, external_id, reason FROM workflow.effects WHERE key = 'pay:5';

-- the sender of a guard is not asked to act again for the answer, also where that would do no harm
SELECT effect_id, token FROM workflow.begin_effect('crm', 'note:1', '{}') \gset
SELECT workflow.record_evidence('crm', 'note:1', 'applied', 'n1');
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
SELECT state, substate FROM workflow.effects WHERE key = 'note:1';

-- all of it is on record
SELECT action, reason, detail FROM workflow.journal WHERE action IN ('evidence', 'resolve') ORDER BY journal_id;
