--
-- patch() and rewind(): the data of an item that waits is mended, and a path is gone
-- again from an earlier state on.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE FUNCTION price(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('sum', (data ->> 'n')::int * 2) $$;
SELECT version FROM workflow.define('{
  "workflow": "order", "owner": "me", "initial": "NEW", "key": "$.id",
  "retry": {"default": {"owner": "me", "dead_letter": "desk", "max_attempts": 1, "timeout": "5 seconds"}},
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]},
             "work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "NEW":   {"on": {"go": "PRICE"}},
    "PRICE": {"sql": {"function": "price", "queue": "work"}, "as": "price", "on": {"ok": "PACK", "error": "ODD"}},
    "PACK":  {"task": {"queue": "work"}, "timeout": {"after": "1 day", "event": "late"}, "as": "packed", "on": {"ok": "ASK", "late": "ODD"}},
    "ASK":   {"review": {"queue": "desk", "decisions": ["yes", "no"], "show": ["$.price.sum", "$.id"]}, "on": {"yes": "DONE", "no": "FAILED"}},
    "ODD":   {"exception": {"queue": "desk"}, "on": {"replay": "@origin", "give_up": "FAILED"}},
    "DONE":  {"final": "done"}, "FAILED": {"final": "failure"}}}');
SELECT count(workflow.submit('order', jsonb_build_object('id', k, 'n', 1, 'to', '{"city": "Ulm", "zip": "89"}'::jsonb)))
FROM unnest('{a,b,c,d}'::text[]) AS k;

-- patch: members replace members, objects are merged, null removes; who, why, and what was there are on record
SELECT workflow.patch('order:a', '{"n": 5, "to": {"zip": null, "street": "Main"}, "x": {"y": null, "z": 1}}', 'a typo');
SELECT data FROM workflow.items WHERE key = 'a';
SELECT what, actor = current_user AS by_me, reason, data FROM workflow.timeline('order:a') WHERE what = 'patch';
SELECT workflow.patch('order:a', '{"n": 5}', ' ');
SELECT workflow.patch('order:a', '{"n": 5}', NULL);
SELECT workflow.patch('order:a', '[1]', 'why');
SELECT workflow.patch('order:a', NULL, 'why');
SELECT workflow.patch('order:z', '{}', 'why');

-- a task that nobody works on is given the mended data; one that somebody works on is let alone
SELECT state FROM workflow.send('order:a', 'go');
CALL workflow.run();
SELECT workflow.patch('order:a', '{"n": 6}', 'another typo');
SELECT job_id, token, payload -> 'n' AS n FROM workflow.claim('work', 'packer', 1, '1 hour') \gset
SELECT :'n' AS n;
SELECT workflow.patch('order:a', '{"n": 7}', 'too late');
SELECT * FROM workflow.rewind('order:a', 'PRICE', 'too late');
SELECT workflow.complete(:job_id, :'token', output => '"yes"');

-- rewind: what waits ends (a review), the state is entered anew, the log says so and verifies
SELECT * FROM workflow.rewind('order:a', 'PRICE', 'a wrong price', '{"n": 8}');
CALL workflow.run();
SELECT state, data FROM workflow.items WHERE key = 'a';
SELECT t.seq, event, kind, from_state, to_state, reason, t.data FROM workflow.transition AS t JOIN workflow.item AS i USING (item_id)
WHERE i.key = 'a' AND kind = 'rewind' ORDER BY 1;
SELECT decision, closed_at IS NOT NULL AS closed FROM workflow.review;
SELECT * FROM workflow.verify('order:a');
SELECT j.kind, j.state, t.kind AS timer FROM workflow.item AS i
JOIN workflow.job AS j USING (item_id) LEFT JOIN workflow.timer AS t ON t.item_id = i.item_id WHERE i.key = 'a';

-- what the rewind has undone is not done any more
SELECT state, kind, verdict FROM workflow.if_run_again('order:a') WHERE kind <> 'submit';

-- only along its own path, as it is since the last rewind
SELECT * FROM workflow.rewind('order:a', 'ASK', 'skip it');
SELECT * FROM workflow.rewind('order:a', 'DONE', 'skip it');
SELECT * FROM workflow.rewind('order:a', 'PRIZE', 'a typo');
SELECT * FROM workflow.rewind('order:a', NULL, 'null');
SELECT * FROM workflow.rewind('order:a', 'NEW', NULL);
SELECT * FROM workflow.rewind('order:a', 'NEW', 'once more', '"x"');
SELECT workflow.pause('order:a', 'wait');
\set VERBOSITY terse
SELECT * FROM workflow.rewind('order:a', 'NEW', 'paused');
\set VERBOSITY default
SELECT workflow.patch('order:a', '{"n": 9}', 'paused, and mended');
SELECT workflow.resume('order:a');

-- the present state, too: it begins anew
SELECT * FROM workflow.rewind('order:a', 'PACK', 'with the new data');
SELECT payload -> 'n' AS n FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.key = 'a';
SELECT * FROM workflow.rewind('order:a', 'NEW', 'from the beginning');
SELECT state FROM workflow.send('order:a', 'go');
CALL workflow.run();
SELECT state, seq, (v).* FROM (SELECT state, i.seq, workflow.verify(item_id) AS v FROM workflow.item AS i WHERE key = 'a') AS x;

-- out of an exception state, and not into one
SELECT state FROM workflow.send('order:b', 'go');
CALL workflow.run();
SELECT state FROM workflow.send('order:b', 'late');
SELECT * FROM workflow.rewind('order:b', 'PRICE', 'not by replay');
SELECT count(*) AS dead_letters FROM workflow.dead_letters;
CALL workflow.run();
SELECT * FROM workflow.rewind('order:b', 'ODD', 'into it');
SELECT (workflow.verify('order:b')).*;

-- an item that failed goes on; one that has ended well stays
SELECT state FROM workflow.send('order:b', 'late');
SELECT workflow.give_up('order:b', 'hopeless');
SELECT state, outcome FROM workflow.items WHERE key = 'b';
SELECT * FROM workflow.rewind('order:b', 'FAILED', 'no beginning');
SELECT * FROM workflow.rewind('order:b', 'PRICE', 'there is hope');
SELECT state, outcome FROM workflow.items WHERE key = 'b';
SELECT workflow.cancel('order:c', 'by mistake');
SELECT * FROM workflow.rewind('order:c', 'NEW', 'it was a mistake');
SELECT state FROM workflow.send('order:c', 'go');
CALL workflow.run();
SELECT count(workflow.complete(job_id, token)) FROM workflow.claim('work', 'packer', 9);
SELECT (workflow.decide(id, 'yes')).state FROM workflow.review_inbox WHERE key = 'c';
\set VERBOSITY terse
SELECT * FROM workflow.rewind('order:c', 'NEW', 'not this one');
SELECT workflow.patch('order:c', '{}', 'not this one');
\set VERBOSITY default
SELECT count(*) AS problems FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;

-- verify() finds what is no rewind
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE workflow.transition SET data = '{"to_seq": 1}' WHERE kind = 'rewind' AND to_state = 'PRICE';
SELECT DISTINCT v.problem FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok ORDER BY 1;
ROLLBACK;

-- a task that is replayed with a patch is given the mended data
SELECT state FROM workflow.send('order:d', 'go');
CALL workflow.run();
SELECT count(workflow.fail(job_id, token, 'permanent', 'broken')) FROM workflow.claim('work', 'packer', 9);
SELECT item_id, kind, replay_count FROM workflow.dead_letters;
SELECT workflow.replay('order:d', 'mended', '{"n": 77, "to": {"zip": null}}');
SELECT payload -> 'n' AS n, payload -> 'to' AS "to", token IS NOT NULL AS claimed, attempt FROM workflow.claim('work', 'packer', 9);

-- a review that could not be shown is opened when it is replayed with mended data
SELECT version FROM workflow.define('{
  "workflow": "shown", "owner": "me", "initial": "NEW", "key": "$.id",
  "queues": {"desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"NEW": {"on": {"go": "ASK"}},
             "ASK": {"review": {"queue": "desk", "decisions": ["yes"], "show": "$.names[*]"}, "on": {"yes": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT state FROM workflow.submit('shown', '{"id": 1, "names": ["Eve", "Adam"]}');
SELECT state FROM workflow.send('shown:1', 'go');
SELECT kind, state, error_class, error_message FROM workflow.dead_letters WHERE workflow = 'shown';
SELECT workflow.replay('shown:1', 'with one name', '{"names": ["Eve"]}');
SELECT key, shown, decisions FROM workflow.review_inbox WHERE key = '1';
SELECT count(*) AS dead_letters FROM workflow.dead_letters WHERE workflow = 'shown';
SELECT ok, problem FROM workflow.verify('shown:1');

-- a pause holds what is replayed meanwhile
SELECT count(workflow.fail(job_id, token, 'permanent', 'broken')) FROM workflow.job WHERE token IS NOT NULL AND kind = 'task';
SELECT workflow.pause('order:d', 'lunch');
SELECT workflow.replay('order:d', 'mended');
SELECT j.status, j.waiting_on FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.key = 'd';
SELECT workflow.resume('order:d');
SELECT j.status, j.waiting_on FROM workflow.job AS j JOIN workflow.item AS i USING (item_id) WHERE i.key = 'd';

-- what a worker has begun outside, and nobody knows the end of, is not passed by
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example', dedup 'none', owner 'bank-team');
SELECT c.item_id, c.job_id, c.token FROM workflow.claim('work', 'packer', 1) AS c \gset
SELECT verdict FROM workflow.begin_effect('bank', 'pay d', '{}', :item_id);
SELECT workflow.release(:job_id, :'token');
SELECT workflow.patch(:item_id, '{"n": 1}', 'in doubt');
SELECT workflow.cancel(:item_id, 'in doubt');
SELECT * FROM workflow.rewind(:item_id, 'NEW', 'in doubt');

-- what has ended is not replayed; how it goes on all the same is said
SELECT workflow.cancel('shown:1', 'no longer needed');
DO $$
DECLARE
  told text;
BEGIN
  PERFORM workflow.replay('shown:1', 'needed after all');
EXCEPTION WHEN SQLSTATE 'WF001' THEN
  GET STACKED DIAGNOSTICS told = PG_EXCEPTION_HINT;
  RAISE WARNING '%', regexp_replace(told, '\d+', 'N', 'g');
END
$$;
SELECT state FROM workflow.rewind('shown:1', 'ASK', 'needed after all');
