-- Items that were written past the triggers: recount() finds and mends the counts.
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET pg_workflow.clock = '2026-01-01 10:00:00+00';
SELECT workflow.define('{
  "workflow": "order", "owner": "shop", "initial": "NEW",
  "states": {"NEW": {"on": {"go": "MOVED"}}, "MOVED": {"on": {"end": "DONE"}}, "DONE": {"final": "success"}}}');
SELECT count(*) FROM workflow.submit_many('order', (SELECT array_agg(jsonb_build_object('id', n)) FROM generate_series(1, 10) AS n));
UPDATE workflow.item SET state = 'MOVED' WHERE item_id > 5;
CREATE VIEW seen AS
  SELECT state, items, live, entered, departed, oldest_since FROM workflow.state_stats ORDER BY state;
CREATE VIEW told AS
  SELECT ok, severity, detail, hint FROM workflow.health() WHERE "check" = 'counts';

-- nothing is wrong, and nothing is mended
SELECT * FROM workflow.recount();
SELECT * FROM workflow.recount(dry_run => false, reason => 'to be sure');
SELECT * FROM told;
SELECT count(*) FROM workflow.journal WHERE action = 'recount';

-- a restore into a database that has items: some come, some go, one is where it was not, one entered at another time
SET session_replication_role = replica;
INSERT INTO workflow.item (workflow, version, key, state, since, seq, received_at, submitted_by, route, data)
SELECT 'order', 1, 'restored ' || n, 'NEW', timestamptz '2025-12-31 09:00:00+00', 1, now(), 'me', '', '{}' FROM generate_series(1, 3) AS n;
INSERT INTO workflow.item (workflow, version, key, state, since, seq, outcome, received_at, submitted_by, route, data)
VALUES ('order', 1, 'restored 4', 'DONE', now(), 3, 'success', now(), 'me', '', '{}');
DELETE FROM workflow.item WHERE item_id IN (6, 7);
UPDATE workflow.item SET state = 'MOVED' WHERE item_id = 1;
UPDATE workflow.item SET since = '2025-12-25 00:00:00+00' WHERE item_id = 8;
RESET session_replication_role;
SELECT * FROM seen;
SELECT * FROM told;
SELECT * FROM workflow.recount();
SELECT * FROM seen;

-- mended, on record; what has come or left is never taken back, and the history is that of moves
CREATE TEMP TABLE before AS SELECT * FROM workflow.state_history;
SELECT * FROM workflow.recount(dry_run => false, reason => 'a restore');
SELECT * FROM seen;
SELECT * FROM workflow._wrong_states();
SELECT * FROM workflow.recount();
SELECT * FROM told;
SELECT count(*) AS differences FROM (
  (TABLE before EXCEPT TABLE workflow.state_history) UNION ALL (TABLE workflow.state_history EXCEPT TABLE before)) AS d;
SELECT actor = current_user AS mine, reason, detail FROM workflow.journal WHERE action = 'recount';

-- moves go on from there, and are taken into the counts that were mended
UPDATE workflow.item SET state = 'MOVED' WHERE key = 'restored 1';
UPDATE workflow.item SET state = 'DONE' WHERE item_id = 8;
CALL workflow.run();
SELECT * FROM seen;
SELECT * FROM workflow.recount();

-- only the age of the oldest is wrong
SET session_replication_role = replica;
UPDATE workflow.item SET since = '2024-01-01 00:00:00+00' WHERE item_id = 9;
RESET session_replication_role;
SELECT * FROM workflow.recount(false, 'the age');
SELECT state, items, oldest_since FROM seen WHERE state = 'MOVED';
SELECT detail -> 'states' AS states FROM workflow.journal WHERE action = 'recount' ORDER BY journal_id DESC LIMIT 1;

-- an item of a version that nothing was counted of; and more left than there were
SET session_replication_role = replica;
INSERT INTO workflow.workflow SELECT (w).* FROM (SELECT jsonb_populate_record(w, '{"workflow": "other"}') AS w FROM workflow.workflow AS w) AS w;
INSERT INTO workflow.definition SELECT (d).* FROM (SELECT jsonb_populate_record(d, '{"workflow": "other"}') AS d FROM workflow.definition AS d) AS d;
INSERT INTO workflow.item (workflow, version, key, state, since, seq, received_at, submitted_by, route, data)
VALUES ('other', 1, 'restored', 'NEW', '2025-12-31 09:00:00+00', 1, now(), 'me', '', '{}');
DELETE FROM workflow.item WHERE state = 'MOVED';
UPDATE workflow.state_count SET departed = departed + 20 WHERE state = 'MOVED';
RESET session_replication_role;
SELECT * FROM told;
SELECT * FROM workflow.recount(false, 'less than none');
SELECT * FROM told;

-- not in a transaction that has written: its own moves are not in the counts yet
BEGIN;
UPDATE workflow.item SET state = 'MOVED' WHERE item_id = 2;
SELECT * FROM told;
SELECT * FROM workflow.recount();
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM workflow.recount();
SELECT * FROM workflow.recount(false, 'old');
ROLLBACK;
SELECT * FROM workflow.recount(false);
-- moves that follow in the same transaction are counted as ever
BEGIN;
SELECT * FROM workflow.recount(false, 'first');
UPDATE workflow.item SET state = 'MOVED' WHERE item_id = 2;
COMMIT;
SELECT * FROM workflow.recount();
DROP VIEW seen, told;
DROP EXTENSION pg_workflow;
