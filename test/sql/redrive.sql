--
-- redrive(): dead letters that a filter matches are taken up again in a batch.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SET pg_workflow.clock = '2030-01-01 12:00:00+00';
SELECT workflow.create_queue('mail', 'ann', '10 minutes', '{bob}', retry => '{"max_attempts": 1, "dead_letter": "graves"}');
SELECT workflow.create_queue('graves', 'sexton', '2 days', '{vicar}');
SELECT version FROM workflow.define('{
  "workflow": "letters", "owner": "own", "initial": "START", "key": "$.id",
  "retry": {"default": {"max_attempts": 1, "timeout": "5 seconds", "owner": "somebody"}},
  "states": {
    "START":  {"on": {"send": "SEND", "handle": "HANDLE"}},
    "SEND":   {"task": {"queue": "mail", "retry": {"dead_letter": "graves"}}, "on": {"ok": "END"}},
    "HANDLE": {"task": {"queue": "mail"}, "on": {"ok": "END", "error": "BROKEN"}},
    "BROKEN": {"exception": {"queue": "graves"}, "on": {"replay": "@origin", "give_up": "GIVEN_UP"}},
    "END":    {"final": "sent"}, "GIVEN_UP": {"final": "given_up"}}}');
SELECT count(workflow.submit('letters', jsonb_build_object('id', n, 'country', CASE WHEN n % 2 = 0 THEN 'DE' ELSE 'FR' END),
  labels => jsonb_build_object('region', CASE WHEN n < 6 THEN 'EU' ELSE 'US' END))) FROM generate_series(1, 10) AS n;
SELECT count(workflow.send('letters:' || n, CASE WHEN n % 3 = 0 THEN 'handle' ELSE 'send' END)) FROM generate_series(1, 10) AS n;
SELECT count(workflow.enqueue('mail', '{}', key => 'alone ' || n)) FROM generate_series(1, 3) AS n;
SELECT count(workflow.fail(c.job_id, c.token, CASE WHEN c.item_id % 2 = 0 THEN 'timeout' ELSE 'permanent' END, 'it broke'))
FROM workflow.claim('mail', 'me', 99) AS c;
SELECT state, kind, error_class, queue, count(*) FROM workflow.dead_letters GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3;

-- a dry run says what matches and stores nothing
SELECT redrive_id, workflow, state, queue, kind, class, matched, would_send, already_done, examples FROM workflow.redrive('{}');
CREATE FUNCTION matched(filter jsonb) RETURNS text[] LANGUAGE sql AS $$
  SELECT array_agg(e ORDER BY e) FROM workflow.redrive(filter) AS r, unnest(r.examples) AS e
$$;
SELECT f, matched(f::jsonb) FROM unnest(ARRAY[
  '{"workflow": "letters", "class": "timeout", "state": "SEND"}', '{"workflow": "letters", "state": ["BROKEN", "END"]}', '{"queue": "graves", "workflow": null}',
  '{"version": 1, "key": ["1", "2"]}', '{"version": 2}', '{"labels": {"region": "US"}, "state": "BROKEN"}',
  '{"data": "$.country == \"DE\"", "labels": {"region": "EU"}}', '{"data": {"id": 3}}', '{"input": "$.id > 8"}', '{"labels": "$.region == \"none\""}',
  '{"kind": "exception"}', '{"from_queue": "mail", "kind": "task", "workflow": null}', '{"item_id": {"from": 2, "to": 5}}',
  '{"from": "2030-01-01", "to": "2030-01-02", "class": "permanent", "state": "SEND", "labels": {"region": "EU"}}', '{"from": "2030-01-02"}', '{"retry_count": 0, "parent_id": null, "key": "1"}']) AS f;
SELECT sum(matched) FROM workflow.redrive('{"workflow": "letters"}', max_items => 4);
SELECT count(*) FROM workflow.redrives;

-- what cannot be meant is refused
SELECT * FROM workflow.redrive('{"worklfow": "letters"}');
SELECT * FROM workflow.redrive('["letters"]');
SELECT * FROM workflow.redrive(NULL);
SELECT * FROM workflow.redrive('{"version": "one"}');
SELECT * FROM workflow.redrive('{"data": "$.country = \"DE\""}');
SELECT * FROM workflow.redrive('{"from": "yesterday evening"}');
SELECT * FROM workflow.redrive('{"item_id": {"from": 1, "till": 3}}');
SELECT * FROM workflow.redrive('{"state": "x'' OR true --"}');
-- so is what there is not: a workflow, a queue, a state, a class; one among others, too
SELECT * FROM workflow.redrive('{"workflow": "leters"}');
SELECT * FROM workflow.redrive('{"queue": ["mail", "grave"]}');
SELECT * FROM workflow.redrive('{"from_queue": "nail", "class": "timeout"}');
SELECT * FROM workflow.redrive('{"workflow": "letters", "state": "SENT"}');
SELECT * FROM workflow.redrive('{"class": "timedout"}');
SELECT * FROM workflow.give_up_many('{"error_class": ["permanent", "perm"]}');
-- workflows may be given otherwise than by name
SELECT count(*) FROM workflow.redrive('{"workflow": {"from": "l", "to": "m"}, "state": "BROKEN", "class": "replay"}');
SELECT * FROM workflow.redrive('{"workflow": ["letters", "letters"], "state": "SENT"}');
-- a class is one of the list, an event that leads to an exception state, or what an item there has
SELECT count(*) FROM workflow.redrive('{"class": ["schema", "error", "replay"], "queue": [null, "mail"], "state": null, "version": 7}');
SELECT * FROM workflow.redrive('{"workflow": "letters"}', max_items => 0);
SELECT * FROM workflow.redrive('{"workflow": "letters"}', per_second => -1);
SELECT * FROM workflow.redrive('{"workflow": "letters"}', per_second => 'NaN');
\set VERBOSITY terse
SELECT * FROM workflow.redrive('{"workflow": "letters"}', per_second => 1e-20);
SELECT * FROM workflow.redrive('{"workflow": "letters"}', per_second => 1e9);
SELECT * FROM workflow.give_up_many('{"workflow": "letters"}', per_second => 'Infinity');
\set VERBOSITY default
SELECT * FROM workflow.redrive('{"workflow": "letters"}', dry_run => false);
SELECT * FROM workflow.redrive('{}', dry_run => false, reason => 'all');

-- nothing matches: a batch that is done; where no worker runs, a NOTICE says so
SET client_min_messages = notice;
SELECT * FROM workflow.redrive('{"workflow": "letters", "version": 2}', dry_run => false, reason => 'none');
SELECT redrive_id, status, matched, remaining, eta FROM workflow.redrives;
SET client_min_messages = error;

-- for real: what matched is stored, and worked off by run() (or a worker) at the rate
SELECT redrive_id, state, kind, class, matched FROM workflow.redrive('{"workflow": "letters", "labels": {"region": "EU"}}',
  per_second => 1, dry_run => false, reason => 'the host is back');
SELECT redrive_id, action, status, matched, done, skipped, remaining, skipped_why, per_second, eta - started_at AS eta, filter, reason, started_by = current_user AS by_me
FROM workflow.redrives ORDER BY 1 DESC LIMIT 1;
SELECT waiting_on, waiting_detail FROM workflow.where_is('letters:1');
-- those that wait for their turn are in no other batch
SELECT sum(matched) FROM workflow.redrive('{"workflow": "letters"}');
CALL workflow.run();
SELECT status, matched, done, remaining, next_at - started_at BETWEEN '0.5 seconds' AND '1.5 seconds' AS jittered FROM workflow.redrives ORDER BY redrive_id DESC LIMIT 1;
-- one is moved meanwhile, one replayed and dead again, one gone
SELECT workflow.cancel('letters:2', 'not needed');
SELECT workflow.replay('letters:4', 'by hand');
SET pg_workflow.clock = '2030-01-01 12:00:10+00';
SELECT count(workflow.fail(c.job_id, c.token, 'timeout', 'again')) FROM workflow.claim('mail', 'me', 99) AS c WHERE c.item_id = 4;
CALL workflow.run();
SET pg_workflow.clock = '2030-01-01 12:01:00+00';
CALL workflow.run();
SET pg_workflow.clock = '2030-01-01 12:02:00+00';
CALL workflow.run();
SET pg_workflow.clock = '2030-01-01 12:03:00+00';
CALL workflow.run();
SELECT status, matched, done, skipped, remaining, skipped_why, eta, ended_at IS NOT NULL AS ended, ended_by FROM workflow.redrives ORDER BY redrive_id DESC LIMIT 1;
SELECT i.place, i.item_id, i.status, i.why FROM workflow.redrive_item AS i ORDER BY 1;

-- the log and the journal say by whom, why, and in which batch
SELECT n.action, n.subject IS NOT NULL AS of_job, n.reason, n.detail, n.actor = current_user AS by_me FROM workflow.journal AS n WHERE n.item_id IN (1, 4) ORDER BY journal_id;
SELECT item_id, from_state, to_state, reason, data FROM workflow.transition WHERE kind = 'replay' ORDER BY 1;
SELECT what, detail, reason FROM workflow.timeline('letters:2') WHERE what LIKE 'redrive%' OR what = 'transition';
SELECT count(*) AS problems FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;

-- taken up, a job is in its queue again; dead again, in the queue for its dead letters
SELECT workflow, matched FROM workflow.redrive('{"queue": "graves", "workflow": null}', dry_run => false, reason => 'stand-alone jobs');
CALL workflow.run();
SELECT key, status, attempt FROM workflow.job WHERE item_id IS NULL ORDER BY key;
SELECT count(workflow.fail(c.job_id, c.token, 'timeout', 'again')) FROM workflow.claim('mail', 'me', 99) AS c WHERE c.item_id IS NULL;
SELECT key, queue, from_queue, owner, error_class, replay_count FROM workflow.dead_letters WHERE item_id IS NULL ORDER BY key;

-- cancelled: what was taken up goes on, the rest stays a dead letter
SELECT sum(matched) FROM workflow.redrive('{"queue": "graves"}', per_second => 0.1, dry_run => false, reason => 'too early');
CALL workflow.run();
SELECT max(redrive_id) AS batch FROM workflow.redrives \gset
SELECT workflow.cancel_redrive(:batch, NULL);
SELECT workflow.cancel_redrive(:batch, 'the host is down again');
SELECT status, matched, done, skipped, skipped_why, ended_by = current_user AS by_me, end_reason FROM workflow.redrives WHERE redrive_id = :batch;
SELECT workflow.cancel_redrive(999, 'no such');
SELECT workflow.cancel_redrive(NULL, 'none');
\set VERBOSITY terse
SELECT workflow.cancel_redrive(:batch, 'twice');
\set VERBOSITY default

-- given up in bulk: the event give_up of exception states, the end of jobs that stand alone; the others say why not
SELECT state, kind, matched, would_send FROM workflow.give_up_many('{"queue": "graves"}');
SELECT sum(matched) FROM workflow.give_up_many('{"queue": "graves"}', dry_run => false, reason => 'hopeless');
CALL workflow.run();
SELECT action, status, done, skipped, skipped_why FROM workflow.redrives ORDER BY redrive_id DESC LIMIT 1;
SELECT item_id, kind, state FROM workflow.dead_letters ORDER BY 1;
SELECT key, state, outcome FROM workflow.items WHERE outcome = 'given_up' ORDER BY 1;

-- a filter of nothing but labels, and one that is held to a queue, by a role that may; nobody else
CREATE ROLE regress_redriver;
SELECT workflow.grant_role('regress_redriver', 'operator');
SET ROLE regress_redriver;
SELECT sum(matched) FROM workflow.redrive('{"labels": {"region": "US"}}');
SELECT sum(matched) FROM workflow.redrive('{"labels": {"region": "US"}}', max_items => 1, dry_run => false, reason => 'mine');
CALL workflow.run();
SELECT started_by, done FROM workflow.redrives WHERE reason = 'mine';
RESET ROLE;
SELECT actor, action FROM workflow.journal WHERE reason = 'mine';
REVOKE ALL ON ALL TABLES IN SCHEMA workflow FROM regress_redriver;
REVOKE EXECUTE ON FUNCTION workflow.redrive(jsonb, int, numeric, boolean, text) FROM regress_redriver;
SET ROLE regress_redriver;
SELECT sum(matched) FROM workflow.redrive('{"labels": {"region": "US"}}');
SELECT workflow.patch('letters:4', '{}', 'mine');
RESET ROLE;
SELECT count(workflow.fail(c.job_id, c.token, 'timeout', 'again')) FROM workflow.claim('mail', 'me', 99) AS c;
DROP OWNED BY regress_redriver;
DROP ROLE regress_redriver;

-- in a transaction run() works off the batches of that transaction only
SELECT count(workflow.replay(item_id, 'all')) FROM workflow.dead_letters WHERE item_id IS NOT NULL;
SELECT count(workflow.fail(c.job_id, c.token, 'timeout', 'again')) FROM workflow.claim('mail', 'me', 99) AS c;
SELECT sum(matched) > 0 AS some FROM workflow.redrive('{"workflow": "letters"}', max_items => 1, dry_run => false, reason => 'committed');
BEGIN;
SELECT sum(matched) > 0 AS some FROM workflow.redrive('{"workflow": "letters"}', dry_run => false, reason => 'not committed');
CALL workflow.run();
SELECT reason, status FROM workflow.redrives ORDER BY redrive_id DESC LIMIT 2;
ROLLBACK;

-- batches take turns
SET pg_workflow.clock = '2030-01-02 12:00:00+00';
CALL workflow.run();
SELECT count(workflow.fail(c.job_id, c.token, 'timeout', 'again')) FROM workflow.claim('mail', 'me', 99) AS c;
SELECT sum(matched) FROM workflow.redrive('{"workflow": "letters"}', max_items => 2, dry_run => false, reason => 'the first');
SET pg_workflow.clock = '2030-01-02 12:00:01+00';
SELECT sum(matched) FROM workflow.redrive('{"workflow": "letters"}', max_items => 2, dry_run => false, reason => 'the second');
SET pg_workflow.clock = '2030-01-02 12:00:02+00';
SELECT workflow._redrive_some(1, false);
SET pg_workflow.clock = '2030-01-02 12:00:03+00';
SELECT workflow._redrive_some(1, false);
SELECT reason, matched, done FROM workflow.redrives WHERE reason LIKE 'the %d' OR reason = 'the first' ORDER BY redrive_id;
CALL workflow.run();
SELECT reason, matched, done FROM workflow.redrives WHERE reason LIKE 'the %d' OR reason = 'the first' ORDER BY redrive_id;

-- what a deferred trigger refuses is skipped, and keeps no other one
SELECT count(workflow.fail(c.job_id, c.token, 'timeout', 'again')) FROM workflow.claim('mail', 'me', 99) AS c;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.key = '6' THEN RAISE 'not this one'; END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON workflow.item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT sum(matched) FROM workflow.redrive('{"workflow": "letters"}', dry_run => false, reason => 'a deferred trigger');
CALL workflow.run();
SELECT status, matched, done, skipped, skipped_why FROM workflow.redrives ORDER BY redrive_id DESC LIMIT 1;
DROP TRIGGER refuse ON workflow.item;

-- what is only in the way now is no reason to skip: it is tried again, less and less often, and given up after an hour
SET pg_workflow.clock = '2030-01-03 12:00:00+00';
SELECT count(workflow.submit('letters', jsonb_build_object('id', n))) FROM generate_series(21, 25) AS n;
SELECT count(workflow.send('letters:' || n, 'handle')) FROM generate_series(21, 25) AS n;
SELECT count(workflow.fail(c.job_id, c.token, 'timeout', 'broken')) FROM workflow.claim('mail', 'me', 99) AS c;
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.key = ANY (current_setting('test.keys')::text[]) THEN
    RAISE 'not now' USING ERRCODE = current_setting('test.state');
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON workflow.item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE VIEW last_batch AS
SELECT r.status, r.matched, r.done, r.skipped, r.remaining, r.held_why, r.skipped_why, r.next_at - workflow._now() AS next_in
FROM workflow.redrives AS r ORDER BY redrive_id DESC LIMIT 1;
SET test.keys = '{21,22,24}';
SET test.state = '40001';
SELECT sum(matched) FROM workflow.redrive('{"state": "BROKEN"}', max_items => 3, dry_run => false, reason => 'not now');
CALL workflow.run();
TABLE last_batch;
SET pg_workflow.clock = '2030-01-03 12:00:20+00';
SET test.state = 'WF008';
CALL workflow.run();
TABLE last_batch;
SET pg_workflow.clock = '2030-01-03 12:05:00+00';
SET test.keys = '{22,24}';
SET test.state = 'WF009';
CALL workflow.run();
TABLE last_batch;
SET pg_workflow.clock = '2030-01-03 13:00:01+00';
SET test.state = '55P03';
CALL workflow.run();
TABLE last_batch;
-- those that are held keep none from their turn, and are not asked for all the time
SET test.keys = '{22,24}';
SELECT sum(matched) FROM workflow.redrive('{"state": "BROKEN"}', dry_run => false, reason => 'two are held');
SELECT workflow._redrive_some(1, false) FROM generate_series(1, 3);
TABLE last_batch;
SELECT workflow._redrive_some(1, false);
DROP TRIGGER refuse ON workflow.item;
SET pg_workflow.clock = '2030-01-03 13:00:02+00';
CALL workflow.run();
TABLE last_batch;

-- nobody removes or rewrites what was done
DELETE FROM workflow.redrive_item;
UPDATE workflow.redrive SET reason = 'another one';
UPDATE workflow.redrive SET per_second = 7 WHERE ended_at IS NULL;
