--
-- monitor: what if it runs again.  There is always an answer: an item without
-- effects has been submitted, and its activities have run or have not.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
CREATE SERVER dedups FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://one.example.com', dedup 'key', key_ttl '10 hours');
CREATE SERVER forgets FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://two.example.com', dedup 'none', owner 'ops');
CREATE SERVER repeats FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://three.example.com', dedup 'natural');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://four.example.com', dedup 'pure');
CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF data ? 'fail' THEN
    RAISE EXCEPTION 'told to fail';
  END IF;
  RETURN '{}';
END
$$;
-- without any effect
SELECT version FROM workflow.define('{
  "workflow": "plain", "key": ["$.id"], "initial": "WORK",
  "queues": {"q": {"owner": "me", "sla": "10 minutes", "escalate_to": ["boss"]}},
  "retry": {"default": {"max_attempts": 2, "timeout": "5 seconds", "dead_letter": "q"}},
  "activities": {"do": {"task": {"queue": "q"}}},
  "states": {
    "WORK":  {"sql": {"function": "work", "queue": "q"}, "on": {"ok": "TASK"}},
    "TASK":  {"activity": "do", "on": {"ok": "ASK"}},
    "ASK":   {"review": {"queue": "q", "decisions": ["yes", "no"], "show": ["$.id"], "on_overdue": "escalate"},
              "on": {"yes": "READY", "no": "READY"}},
    "READY": {"on": {"go": "END"}},
    "END":   {"final": "success"}}}');
-- with effects only
SELECT version FROM workflow.define('{
  "workflow": "calls", "initial": "A",
  "queues": {"q": {"owner": "me", "sla": "10 minutes", "escalate_to": ["boss"]}},
  "retry": {"default": {"max_attempts": 2, "timeout": "5 seconds", "dead_letter": "q"}},
  "states": {
    "A": {"http": {"endpoint": "dedups", "queue": "q", "method": "PUT", "path": "/a/{$.id}",
                   "body": {"v": 1}, "key": ["$.id", "put"]}, "on": {"ok": "B", "error": "FAILED"}},
    "B": {"http": {"endpoint": "forgets", "queue": "q", "method": "POST", "path": "/b",
                   "body": {"v": 1}, "key": ["$.id", "post"]}, "on": {"ok": "C", "error": "FAILED"}},
    "C": {"http": {"endpoint": "repeats", "queue": "q", "method": "POST", "path": "/b",
                   "body": {"v": 1}, "key": ["$.id", "$.attempt"]}, "on": {"ok": "D", "error": "FAILED"}},
    "D": {"http": {"endpoint": "repeats", "queue": "q", "method": "POST", "path": "/b",
                   "body": {"v": 1}, "key": ["$.id", "again"]}, "on": {"ok": "E", "error": "FAILED"}},
    "E": {"http": {"endpoint": "missing", "queue": "q", "method": "POST", "path": "/b",
                   "body": {"v": 1}, "key": ["$.id", "miss"]}, "on": {"ok": "F", "error": "FAILED"}},
    "F": {"model": {"endpoint": "llm", "queue": "q", "path": "/m", "version": "1", "body": {"t": "$.id"},
                    "output": "$"}, "on": {"ok": "END", "error": "FAILED"}},
    "END": {"final": "success"}, "FAILED": {"final": "failure"}}}');

-- before launch, from the definition alone
\pset format unaligned
SELECT state, kind, endpoint, dedup, key_parts, mechanism, verdict, why FROM workflow.if_run_twice('plain');
SELECT state, kind, endpoint, dedup, key_parts, verdict, why FROM workflow.if_run_twice('calls');
SELECT verdict, why FROM workflow._if_work_twice('submit', '{$.id,$.attempt}');

-- of an item: before anything has run, at each step, and at the end
CREATE FUNCTION again(item text) RETURNS TABLE (state text, kind text, key text, verdict text, why text) LANGUAGE sql AS $$
  SELECT state, kind, key, verdict, regexp_replace(why, '20[0-9-]+ [0-9:.]+[+-][0-9]+', 'TIME') FROM workflow.if_run_again(item)
$$;
SELECT state FROM workflow.submit('plain', '{"id": "p"}', source => 'shop', event_id => 'e-1');
SELECT * FROM again('plain:p');
CALL workflow.run();
SELECT * FROM again('plain:p') WHERE state IN ('WORK', 'TASK');
SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('q', 'me', lease => '1 hour');
SELECT * FROM again('plain:p') WHERE state IN ('TASK', 'ASK');
SELECT d.state FROM workflow.review_inbox AS r, LATERAL workflow.decide(r.id, 'yes') AS d;
SELECT seq FROM workflow.send('plain:p', 'go');
SELECT * FROM again('plain:p');

-- what failed is no deed: a dead letter, and one that went on by hand
SELECT state FROM workflow.submit('plain', '{"id": "f", "fail": true}');
CALL workflow.run();
SELECT * FROM again('plain:f') WHERE state = 'WORK';
UPDATE workflow.item SET state = 'TASK' WHERE key = 'f';
SELECT * FROM again('plain:f') WHERE state IN ('WORK', 'TASK');

-- an ended item answers for where it has been, and no more
SELECT workflow.cancel('plain:f', 'enough');
SELECT state, kind, verdict, why FROM again('plain:f');

-- with effects: what is reserved, and what is not yet; a submission without a key is no duplicate
SELECT item_id AS call FROM workflow.submit('calls', '{"id": "c"}') \gset
SELECT state, kind, endpoint, dedup, CASE kind WHEN 'submit' THEN 'generated' ELSE key END AS key, effect_state, verdict, why
FROM workflow.if_run_again(:call);
SELECT verdict, why FROM workflow.submit('calls', '{"id": "d"}', key => 'mine') AS s, LATERAL workflow.if_run_again(s.item_id) AS a
WHERE a.kind = 'submit';
-- another item with the same key of an effect: the effect is the first one's
SELECT item_id AS waits FROM workflow.submit('calls', '{"id": "c"}') \gset
SELECT state, effect_state, verdict, replace(why, 'item ' || :call, 'the first') AS why
FROM workflow.if_run_again(:waits) WHERE state IN ('A', 'B');
UPDATE workflow.effect SET state = 'succeeded', response = '{"status": 200}', finished_at = now() WHERE key = 'c:put';
SELECT item_id AS other FROM workflow.submit('calls', '{"id": "c"}') \gset
SELECT state, key, verdict, regexp_replace(why, '20[0-9-]+ [0-9:.]+[+-][0-9]+', 'TIME') AS why
FROM workflow.if_run_again(:other) WHERE state IN ('A', 'B');

-- a guard and a revert are effects of the item, too
SELECT verdict FROM workflow.begin_effect('dedups', 'mine:1', '{"a": 1}', :call);
SELECT state, kind, key, effect_state, verdict FROM workflow.if_run_again(:call) WHERE kind = 'guard';

-- an item that has ended does nothing again, whatever became of its effects; a guard is its program's
CREATE FUNCTION ended(item text) RETURNS TABLE (state text, kind text, effect_state text, verdict text, why text) LANGUAGE sql AS $$
  SELECT state, kind, effect_state, verdict, regexp_replace(why, '20[0-9-]+ [0-9:.]+[+-][0-9]+', 'TIME')
  FROM workflow.if_run_again(item) WHERE kind <> 'submit'
$$;
SELECT count(*) FROM unnest('{cancelled,dead,failed,held,unknown,succeeded}'::text[]) AS k (id),
  LATERAL workflow.submit('calls', jsonb_build_object('id', k.id), key => k.id) AS s;
UPDATE workflow.effect AS e SET state = split_part(e.key, ':', 1), reason = 'it said so', finished_at = now(),
  unknown_attempts = (split_part(e.key, ':', 1) = 'unknown')::int
WHERE split_part(e.key, ':', 1) IN ('dead', 'failed', 'held', 'unknown', 'succeeded');
SELECT verdict FROM workflow.begin_effect('dedups', 'mine:2', '{"a": 1}', 'calls:cancelled');
SELECT k.id, e.* FROM unnest('{cancelled,dead,failed,held,unknown,succeeded}'::text[]) AS k (id),
  LATERAL workflow.cancel('calls:' || k.id, 'enough') AS c, LATERAL ended('calls:' || k.id) AS e;
-- but what another item waits for is still sent
SELECT count(*) FROM workflow.submit('calls', '{"id": "shared"}', key => 'first') AS s,
  LATERAL workflow.submit('calls', '{"id": "shared"}', key => 'second') AS t;
SELECT e.* FROM workflow.cancel('calls:first', 'enough') AS c, LATERAL ended('calls:first') AS e;

-- what each standing of an effect leads to
SELECT d.dedup, e.state, u.n AS unknown_attempts, a.verdict, a.why
FROM unnest('{pending,claimed,sending,succeeded,failed,unknown,held,blocked,dead,cancelled}'::text[]) WITH ORDINALITY AS e (state, place),
     unnest('{key,natural,none}'::text[]) AS d (dedup), unnest('{0,1}'::int[]) AS u (n),
     LATERAL workflow._if_effect_again(jsonb_populate_record(NULL::workflow.effect,
       jsonb_build_object('state', e.state, 'unknown_attempts', u.n, 'first_sent_at', now())), d.dedup, '10 hours') AS a
WHERE u.n = 0 OR e.state IN ('pending', 'cancelled')
ORDER BY d.dedup, e.place, u.n;
-- with a lookup the receiver is asked first
SELECT p.on_unknown, e.state, a.verdict, a.why
FROM unnest('{probe,hold,resend}'::text[]) AS p (on_unknown), unnest('{pending,unknown}'::text[]) AS e (state),
     LATERAL workflow._if_effect_again(jsonb_populate_record(NULL::workflow.effect,
       jsonb_build_object('kind', 'http', 'state', e.state, 'unknown_attempts', 1, 'first_sent_at', now())), 'key', '10 hours', p.on_unknown) AS a;
-- a receiver may have forgotten a key: then it is held
SELECT a.verdict, a.why
FROM workflow._if_effect_again(jsonb_populate_record(NULL::workflow.effect,
  jsonb_build_object('state', 'unknown', 'unknown_attempts', 1, 'first_sent_at', now() - interval '9.5 hours')), 'key', '10 hours') AS a;
-- one that was sent and proven not applied waits for its next attempt
SELECT state, verdict, why
FROM (VALUES ('pending', 0, NULL), ('pending', 1, NULL), ('pending', 1, 'HTTP 429: too many requests'), ('claimed', 2, 'HTTP 503: unavailable'), ('sending', 2, 'HTTP 503: unavailable')) AS x (state, attempts, reason),
     LATERAL workflow._if_effect_again(jsonb_populate_record(NULL::workflow.effect,
       jsonb_build_object('kind', 'http', 'state', state, 'attempts', attempts, 'unknown_attempts', 0, 'reason', reason, 'first_sent_at', now())), 'key', '1 day', 'resend');

-- what does not exist is an error, never an empty answer
\set VERBOSITY sqlstate
SELECT * FROM workflow.if_run_again('plain:nobody');
SELECT * FROM workflow.if_run_again(987654321);
SELECT * FROM workflow.if_run_twice('nothing');
