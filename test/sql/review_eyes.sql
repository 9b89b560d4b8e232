--
-- Four eyes and votes are of roles, not of names; and who has changed the data of
-- an item is one of those who do not decide about it.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET pg_workflow.clock = '2030-01-01 00:00';
CREATE ROLE review_eyes_ann;
CREATE ROLE review_eyes_bob;
CREATE ROLE review_eyes_eve;
SELECT count(workflow.grant_role(r, k)) FROM unnest('{review_eyes_ann,review_eyes_bob,review_eyes_eve}'::text[]) AS r,
  unnest('{submitter,reviewer,operator}'::text[]) AS k;
SELECT workflow.define('{
  "workflow": "loans", "owner": "me", "initial": "ASK", "key": ["$.id"],
  "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead"]}},
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["approve", "reject", "again"], "show": ["$.id"], "editable": "$.terms", "four_eyes": true},
            "on": {"approve": "PAID", "reject": "END", "again": "ASK"}},
    "PAID": {"final": "paid"}, "END": {"final": "refused"}}}');
SELECT workflow.define('{
  "workflow": "board", "owner": "me", "initial": "ASK", "key": ["$.id"],
  "states": {"ASK": {"review": {"queue": "desk", "decisions": ["approve", "reject"], "approvals": 2}, "on": {"approve": "END", "reject": "END"}},
             "END": {"final": "done"}}}');
SELECT count(workflow.submit('loans', format('{"id": %s, "terms": {"sum": 100}}', n)::jsonb)) FROM generate_series(1, 4) AS n;

-- who has changed what is decided does not decide it: not here
SET ROLE review_eyes_ann;
SELECT workflow.patch('loans:1', '{"terms": {"sum": 100000}}', 'a typo');
SELECT id AS patched, proposed, may_decide, why_not FROM workflow.review_inbox WHERE key = '1' \gset
\echo :may_decide :why_not
SELECT workflow.decide(:patched, 'approve');
\set VERBOSITY terse
SELECT workflow.delegate(:patched, 'review_eyes_bob');
SELECT workflow.claim_review('desk') AS claimed \gset
SELECT :claimed = :patched AS claimed, workflow.release_review(:claimed);
-- nor is it handed to him
SET ROLE review_eyes_bob;
SELECT workflow.delegate(:patched, 'review_eyes_ann');
SELECT state FROM workflow.decide(:patched, 'approve');
-- nor later
SET ROLE review_eyes_ann;
SELECT workflow.decide(id, 'approve') FROM workflow.review_inbox WHERE key = '1';
-- an UPDATE is such a change, too, and so is what a rewind merges in; priority and labels are none
RESET ROLE;
GRANT UPDATE ON workflow.item TO review_eyes_eve;
GRANT SELECT ON workflow.item TO review_eyes_eve;
SET ROLE review_eyes_eve;
UPDATE workflow.item SET priority = 3, labels = '{"a": 1}' WHERE key = '2';
SELECT may_decide FROM workflow.review_inbox WHERE key = '2';
UPDATE workflow.item SET data = '{"id": 2, "terms": {"sum": 7}}' WHERE key = '2';
SELECT may_decide, why_not FROM workflow.review_inbox WHERE key = '2';
SET ROLE review_eyes_ann;
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'again') AS d WHERE key = '3';
SET ROLE review_eyes_bob;
SELECT state FROM workflow.rewind('loans:3', 'ASK', 'said by telephone', '{"terms": {"sum": 8}}');
SELECT workflow.decide(id, 'approve') FROM workflow.review_inbox WHERE key = '3';
SET ROLE review_eyes_eve;
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'approve') AS d WHERE key = '3';
-- a rewind without a patch changes nothing
SELECT state FROM workflow.rewind('loans:4', 'ASK', 'once more');
SELECT may_decide FROM workflow.review_inbox WHERE key = '4';
-- a replay's patch
RESET ROLE;
REVOKE ALL ON workflow.item FROM review_eyes_eve;
SELECT workflow.define('{
  "workflow": "mended", "owner": "me", "initial": "BAD", "key": ["$.id"],
  "states": {"BAD": {"exception": {"queue": "desk"}, "on": {"replay": "ASK", "give_up": "END"}},
             "ASK": {"review": {"queue": "desk", "decisions": ["approve", "reject"], "four_eyes": true}, "on": {"approve": "END", "reject": "END"}},
             "END": {"final": "done"}}}');
SELECT count(workflow.submit('mended', format('{"id": %s}', n)::jsonb)) FROM generate_series(1, 2) AS n;
SET ROLE review_eyes_eve;
SELECT workflow.replay('mended:1', 'mended', '{"sum": 1}'), workflow.replay('mended:2', 'once more');
SELECT key, may_decide FROM workflow.review_inbox WHERE workflow = 'mended' ORDER BY key;
RESET ROLE;

-- a role that is renamed has still submitted, decided, changed and voted
SELECT count(workflow.grant_role(r, 'submitter')) FROM unnest('{review_eyes_ann,review_eyes_bob,review_eyes_eve}'::text[]) AS r;
SET ROLE review_eyes_ann;
SELECT state FROM workflow.submit('loans', '{"id": 5, "terms": {"sum": 5}}');
SET ROLE review_eyes_bob;
SELECT count(workflow.submit('loans', format('{"id": %s, "terms": {"sum": 5}}', n)::jsonb)) FROM generate_series(6, 7) AS n;
SELECT state FROM workflow.submit('board', '{"id": 8}');
SET ROLE review_eyes_ann;
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'again') AS d WHERE key = '6';
SELECT workflow.patch('loans:7', '{"terms": {"sum": 100000}}', 'a typo');
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'approve') AS d WHERE key = '8';
RESET ROLE;
ALTER ROLE review_eyes_ann RENAME TO review_eyes_anna;
SET ROLE review_eyes_anna;
SELECT key, may_decide, why_not FROM workflow.review_inbox WHERE key IN ('5', '6', '7', '8') ORDER BY key;
SELECT workflow.decide(id, 'approve') FROM workflow.review_inbox WHERE key = '5';
SELECT workflow.decide(id, 'approve') FROM workflow.review_inbox WHERE key = '6';
SELECT workflow.decide(id, 'approve') FROM workflow.review_inbox WHERE key = '7';
SELECT workflow.decide(id, 'approve') FROM workflow.review_inbox WHERE key = '8';
RESET ROLE;
SELECT workflow.delegate(id, 'review_eyes_anna') FROM workflow.review_inbox WHERE key = '8';

-- and who has the old name now has not
CREATE ROLE review_eyes_ann;
SELECT workflow.grant_role('review_eyes_ann', 'reviewer');
SET ROLE review_eyes_ann;
SELECT key, may_decide, why_not FROM workflow.review_inbox WHERE key IN ('5', '6', '7', '8') ORDER BY key;
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'approve') AS d WHERE key = '5';
SELECT d.state FROM workflow.review_inbox, workflow.decide(id, 'approve') AS d WHERE key = '8';
RESET ROLE;
SELECT v.voter, v.decision FROM workflow.review_vote AS v;

-- a child is submitted by who submitted its parent, whatever he is called by now
SELECT workflow.define('{
  "workflow": "parcels", "owner": "me", "initial": "ASK", "key": ["$.id"],
  "states": {"ASK": {"review": {"queue": "desk", "decisions": ["approve", "reject"], "four_eyes": true}, "on": {"approve": "END", "reject": "END"}}, "END": {"final": "done"}}}');
SELECT workflow.define('{
  "workflow": "orders", "owner": "me", "initial": "WAIT", "key": ["$.id"],
  "states": {"WAIT": {"on": {"go": "SPLIT"}},
             "SPLIT": {"spawn": {"workflow": "parcels", "each": "$.parcels", "join": "all"}, "on": {"ok": "END", "error": "END"}},
             "END": {"final": "done"}}}');
SET ROLE review_eyes_anna;
SELECT state FROM workflow.submit('orders', '{"id": 1, "parcels": [{"id": "p1"}]}');
RESET ROLE;
ALTER ROLE review_eyes_anna RENAME TO review_eyes_annabel;
SELECT count(workflow.send('orders:1', 'go'));
SELECT submitted_by FROM workflow.item WHERE workflow = 'parcels';
SET ROLE review_eyes_annabel;
SELECT may_decide, why_not FROM workflow.review_inbox WHERE workflow = 'parcels';
RESET ROLE;

-- what a restore brings is bound anew: by the names that roles have where it is restored, and by name where there is none
BEGIN;
INSERT INTO workflow.item (workflow, version, key, state, since, seq, received_at, submitted_by, submitted_oid, route, data)
SELECT workflow, version, 'restored ' || s.by, state, since, seq, received_at, s.by, 1, route, data
FROM workflow.item, unnest('{review_eyes_bob,review_eyes_zoe}'::text[]) AS s (by) WHERE key = '4';
SELECT key, submitted_oid = 'review_eyes_bob'::regrole AS bound FROM workflow.item WHERE key LIKE 'restored%' ORDER BY key;
SELECT workflow._is_other_eyes('review_eyes_zoe', r) AS zoe, workflow._is_other_eyes('review_eyes_bob', r) AS bob
FROM workflow.item AS i, LATERAL (SELECT (jsonb_populate_record(NULL::workflow.review, jsonb_build_object('item_id', i.item_id))).*) AS r
WHERE key LIKE 'restored%' ORDER BY key;
ROLLBACK;
DROP OWNED BY review_eyes_ann, review_eyes_annabel, review_eyes_bob, review_eyes_eve;
DROP ROLE review_eyes_ann, review_eyes_annabel, review_eyes_bob, review_eyes_eve;
