--
-- begin_effect and finish_effect: the guard for actions that others carry out;
-- and what people do about outcomes that nobody knows.
--
CREATE EXTENSION pg_workflow;
\set VERBOSITY terse
CREATE SERVER mail FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://mail.example.com', dedup 'none', owner 'support');
CREATE SERVER files FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://files.example.com', dedup 'natural');

-- the first one sends, a second one meanwhile does not, another request is a conflict
SELECT effect_id, token, verdict FROM workflow.begin_effect('mail', 'welcome:1', '{"to": "a"}') \gset
\echo :verdict
SELECT state, attempts FROM workflow.effects WHERE key = 'welcome:1';
SELECT verdict, token, response FROM workflow.begin_effect('mail', 'welcome:1', '{"to": "a"}');
SELECT verdict, token FROM workflow.begin_effect('mail', 'welcome:1', '{"to": "b"}');

-- the token fences; an outcome has three words
\set VERBOSITY sqlstate
SELECT workflow.finish_effect(:effect_id, 'wrong', 'applied');
SELECT workflow.finish_effect(:effect_id, :'token', 'perhaps');
SELECT workflow.finish_effect(:effect_id, :'token', 'applied', 'msg-7', '{"id": 7}');
SELECT workflow.finish_effect(:effect_id, :'token', 'applied', 'msg-7', '{"id": 7}');
\set VERBOSITY terse
SELECT state, external_id, response FROM workflow.effects WHERE key = 'welcome:1';
SELECT verdict, token, response FROM workflow.begin_effect('mail', 'welcome:1', '{"to": "a"}');
SELECT kind, attempt, outcome, error_class, detail FROM workflow.attempt WHERE effect_id = :effect_id;

-- begun and ended in one transaction: nothing of it was on disk before the action
\set VERBOSITY default
\set SHOW_CONTEXT never
BEGIN;
SELECT effect_id, token FROM workflow.begin_effect('mail', 'at:once', '{"to": "a"}') \gset
SAVEPOINT a;
SELECT workflow.finish_effect(:effect_id, :'token', 'applied');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO a;
SELECT state FROM workflow.effects WHERE effect_id = :effect_id;
ROLLBACK;
DO $$
DECLARE
  begun record;
BEGIN
  SELECT * INTO begun FROM workflow.begin_effect('mail', 'at:once', '{"to": "a"}');
  BEGIN
    PERFORM workflow.finish_effect(begun.effect_id, begun.token, 'applied');
  EXCEPTION WHEN active_sql_transaction THEN
    RAISE NOTICE 'refused';
  END;
  COMMIT;
  RAISE NOTICE '%', workflow.finish_effect(begun.effect_id, begun.token, 'applied');
END $$;
\set VERBOSITY terse

-- not applied: it may be tried again, or the key used for another request
SELECT effect_id, token FROM workflow.begin_effect('mail', 'welcome:2', '{"to": "a"}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'not_applied');
SELECT effect_id = :effect_id AS same, verdict FROM workflow.begin_effect('mail', 'welcome:2', '{"to": "a"}');

-- not known, and a second copy would be a second effect: a person is asked
SELECT effect_id, token FROM workflow.begin_effect('mail', 'welcome:3', '{"to": "a"}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
SELECT verdict FROM workflow.begin_effect('mail', 'welcome:3', '{"to": "a"}');
SELECT state, error_class, reason FROM workflow.effects WHERE effect_id = :effect_id;

-- a person answers, with a word and a note
SELECT workflow.resolve(:effect_id, 'maybe', 'x');
SELECT workflow.resolve(:effect_id, 'applied', '');
SELECT workflow.resolve(:effect_id, 'not_applied', 'the log of the mail server has no such message');
SELECT state, substate, unknown_attempts FROM workflow.effect WHERE effect_id = :effect_id;
SELECT token, verdict FROM workflow.begin_effect('mail', 'welcome:3', '{"to": "a"}') \gset
\echo :verdict
\set VERBOSITY sqlstate
SELECT workflow.resolve(:effect_id, 'applied', 'too early: it is being sent');
\set VERBOSITY terse
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
SELECT workflow.record_evidence('mail', 'welcome:3', 'applied', 'msg-9');
SELECT state, substate, external_id FROM workflow.effect WHERE effect_id = :effect_id;
SELECT actor = current_user AS by_me, action, subject = 'effect:' || :effect_id AS about_it, reason, detail
FROM workflow.journal ORDER BY journal_id;

-- giving up leaves it open whether it was applied, so the key stays taken
SELECT effect_id, token FROM workflow.begin_effect('mail', 'welcome:4', '{"to": "a"}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
SELECT workflow.resolve(:effect_id, 'abandon', 'the customer has left');
SELECT state, substate FROM workflow.effects WHERE effect_id = :effect_id;
SELECT verdict FROM workflow.begin_effect('mail', 'welcome:4', '{"to": "b"}');
SELECT verdict FROM workflow.begin_effect('mail', 'welcome:4', '{"to": "a"}');
SELECT state, error_class, reason FROM workflow.effects WHERE effect_id = :effect_id;

-- not known, and repeating changes nothing more: pending again, after a pause
SELECT effect_id, token FROM workflow.begin_effect('files', 'report', '{"put": 1}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
UPDATE workflow.effect SET next_at = NULL WHERE effect_id = :effect_id;
SELECT effect_id = :effect_id AS same, verdict FROM workflow.begin_effect('files', 'report', '{"put": 1}');

-- a sender that does not report in time leaves an unknown outcome
UPDATE workflow.effect SET deadline = created_at - interval '1 hour' WHERE effect_id = :effect_id;
SELECT verdict FROM workflow.begin_effect('files', 'report', '{"put": 1}');
SELECT state, substate, unknown_attempts, attempts FROM workflow.effect WHERE effect_id = :effect_id;

-- what stops a send stops a guard: the window of the key is over
CREATE SERVER keyed FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://keyed.example.com', dedup 'key', key_ttl '1 hour');
SELECT effect_id, token FROM workflow.begin_effect('keyed', 'k', '{}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
UPDATE workflow.effect SET next_at = NULL, first_sent_at = first_sent_at - interval '55 minutes' WHERE effect_id = :effect_id;
SELECT verdict, token FROM workflow.begin_effect('keyed', 'k', '{}');
SELECT state, reason FROM workflow.effects WHERE effect_id = :effect_id;
-- it ends by the receiver's time, whatever the clock here says, and by the clock here where that is ahead
SET pg_workflow.clock = '-1 day';
SELECT effect_id, token FROM workflow.begin_effect('keyed', 'behind', '{}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
UPDATE workflow.effect SET next_at = NULL WHERE effect_id = :effect_id;
SELECT effect_id = :effect_id AS same, token, verdict FROM workflow.begin_effect('keyed', 'behind', '{}') \gset again_
\echo :again_same :again_verdict
SELECT workflow.finish_effect(:effect_id, :'again_token', 'unknown');
UPDATE workflow.effect SET next_at = NULL, first_sent_at = first_sent_at - interval '55 minutes' WHERE effect_id = :effect_id;
SELECT verdict, token FROM workflow.begin_effect('keyed', 'behind', '{}');
RESET pg_workflow.clock;
SELECT effect_id, token FROM workflow.begin_effect('keyed', 'ahead', '{}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
UPDATE workflow.effect SET next_at = NULL WHERE effect_id = :effect_id;
SET pg_workflow.clock = '+55 minutes';
SELECT verdict, token FROM workflow.begin_effect('keyed', 'ahead', '{}');
RESET pg_workflow.clock;

-- the receiver does not deduplicate any more
SELECT effect_id, token FROM workflow.begin_effect('files', 'report:2', '{}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
UPDATE workflow.effect SET next_at = NULL WHERE effect_id = :effect_id;
ALTER SERVER files OPTIONS (SET dedup 'none', ADD owner 'support');
SELECT verdict, token FROM workflow.begin_effect('files', 'report:2', '{}');
SELECT state, reason FROM workflow.effects WHERE effect_id = :effect_id;
ALTER SERVER files OPTIONS (SET dedup 'natural', DROP owner);

-- the receiver is another one now, which cannot know what the first one has done; what was never sent goes there
SELECT effect_id, token FROM workflow.begin_effect('files', 'report:3', '{}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
UPDATE workflow.effect SET next_at = NULL WHERE effect_id = :effect_id;
ALTER SERVER files OPTIONS (SET url 'https://new.example.com/');
SELECT verdict, token FROM workflow.begin_effect('files', 'report:3', '{}');
SELECT state, reason FROM workflow.effects WHERE effect_id = :effect_id;
SELECT workflow.resolve(:effect_id, 'not_applied', 'the old server has no such file');
SELECT effect_id, token, verdict FROM workflow.begin_effect('files', 'report:3', '{}') \gset
\echo :verdict
SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
UPDATE workflow.effect SET next_at = NULL WHERE effect_id = :effect_id;
SELECT verdict FROM workflow.begin_effect('files', 'report:3', '{}');
SELECT verdict FROM workflow.begin_effect('files', 'report:4', '{}');

-- the rate limit, which calls and guards share
CREATE SERVER slow FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://slow.example.com', dedup 'key', rate_limit '2/hour');
SELECT verdict FROM workflow.begin_effect('slow', 'a', '{}');
SELECT verdict FROM workflow.begin_effect('slow', 'b', '{}');
SELECT verdict, token FROM workflow.begin_effect('slow', 'c', '{}');
SELECT state, attempts FROM workflow.effects WHERE endpoint = 'slow' ORDER BY key;

-- a sender has the timeout of the endpoint and a minute to report, in real time
SELECT effect_id, verdict FROM workflow.begin_effect('keyed', 'late', '{}') \gset
\echo :verdict
SELECT deadline - sending_at > interval '30 s' AS has_slack FROM workflow.effect WHERE effect_id = :effect_id;
SET pg_workflow.clock = '2100-01-01';
CALL workflow.run();
SELECT verdict FROM workflow.begin_effect('keyed', 'late', '{}');
SELECT state FROM workflow.effects WHERE effect_id = :effect_id;
SELECT effect_id FROM workflow.begin_effect('keyed', 'future', '{}') \gset
RESET pg_workflow.clock;
SELECT deadline < now() + interval '1 hour' AS is_real FROM workflow.effect WHERE effect_id = :effect_id;

-- unknown things are errors, never nulls
SELECT * FROM workflow.begin_effect('mail', 'k', '{}', 4711);
SELECT workflow.finish_effect(4711, 'x', 'applied');
SELECT workflow.resolve(4711, 'applied', 'x');
SELECT workflow.revert(4711, 'x');
SELECT workflow.record_evidence('mail', 'nothing', 'applied', 'x');
SELECT workflow.record_evidence('mail', 'welcome:1', 'rumour', 'x');
SELECT * FROM workflow.begin_effect('mail', NULL, '{}');

\set VERBOSITY sqlstate
-- only what was applied, and declares how, can be taken back
SELECT workflow.revert(:effect_id, 'x');
SELECT workflow.revert(effect_id, 'x') FROM workflow.effects WHERE key = 'welcome:1';

-- an item is named by its id or by workflow:key; an unknown one is an error
SET client_min_messages = warning;
SELECT version FROM workflow.define('{"workflow": "letters", "initial": "OPEN", "key": ["$.id"],
  "states": {"OPEN": {"on": {"close": "CLOSED"}}, "CLOSED": {"final": "done"}}}');
SELECT item_id AS letter FROM workflow.submit('letters', '{"id": "l"}') \gset
SELECT verdict FROM workflow.begin_effect('mail', 'letter:1', '{"to": "a"}', :letter);
SELECT verdict FROM workflow.begin_effect('mail', 'letter:2', '{"to": "a"}', 'letters:l');
SELECT verdict FROM workflow.begin_effect('mail', 'letter:3', '{"to": "a"}', item => NULL);
SELECT key, item_id = :letter AS its FROM workflow.effects WHERE key LIKE 'letter:%' ORDER BY key;
\set VERBOSITY sqlstate
SELECT verdict FROM workflow.begin_effect('mail', 'letter:4', '{"to": "a"}', 987654321);
SELECT verdict FROM workflow.begin_effect('mail', 'letter:4', '{"to": "a"}', 'letters:nobody');
SELECT verdict FROM workflow.begin_effect('nowhere', 'letter:4', '{"to": "a"}', 'letters:l');
\set VERBOSITY terse

-- the action of a guard is never looked up: where the receiver does not deduplicate a person is asked, also where it could be;
-- with a key whoever comes again is let do it again
CREATE SERVER looked FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://looked.example.com', dedup 'none', lookup_path '/by/{key}', lookup_found '$.body.id', lookup_absent '$.status == 404', owner 'support');
SELECT l.effect_id AS l, l.token AS lt, k.effect_id AS k, k.token AS kt, f.effect_id AS f, f.token AS ft
FROM workflow.begin_effect('looked', 'doubt:1', '{}') AS l, workflow.begin_effect('keyed', 'doubt:1', '{}') AS k, workflow.begin_effect('files', 'doubt:1', '{}') AS f \gset
SELECT workflow.finish_effect(:l, :'lt', 'unknown'), workflow.finish_effect(:k, :'kt', 'unknown'), workflow.finish_effect(:f, :'ft', 'unknown');
SELECT endpoint, state FROM workflow.effects WHERE key = 'doubt:1' ORDER BY endpoint;
