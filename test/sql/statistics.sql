-- Statistics of states: counts, ages, rates, times, history.
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET pg_workflow.clock = '2026-01-01 10:00:00+00';
SELECT workflow.define('{
  "workflow": "order", "owner": "shop", "initial": "NEW",
  "states": {
    "NEW":    {"on": {"pack": "PACKED", "drop": "GONE"}},
    "PACKED": {"on": {"ship": "DONE", "back": "NEW"}},
    "DONE":   {"final": "success"},
    "GONE":   {"final": "failure"}}}');
CREATE VIEW seen AS
  SELECT version, state, outcome, items, live, entered, departed, oldest_since, p50_time, p95_time
  FROM workflow.state_stats ORDER BY version, state;

-- nothing yet
SELECT * FROM seen;
SELECT * FROM workflow._wrong_states();

-- what is not folded counts as what is
SELECT count(*) FROM workflow.submit_many('order', (SELECT array_agg(jsonb_build_object('id', n)) FROM generate_series(1, 10) AS n));
SELECT * FROM seen;
SELECT count(*) AS stored, sum(moves) AS moves FROM workflow.state_delta;
CALL workflow.run();
SELECT count(*) AS stored FROM workflow.state_delta;
SELECT * FROM seen;

-- a move: by event, and by an UPDATE of many, which is one row
SET pg_workflow.clock = '2026-01-01 10:05:00+00';
SELECT count(*) FROM workflow.items AS i, LATERAL workflow.send(i.item_id, 'pack') WHERE i.item_id <= 3;
SET pg_workflow.clock = '2026-01-01 10:15:00+00';
UPDATE workflow.item SET state = 'PACKED' WHERE state = 'NEW' AND item_id <= 6;
SELECT from_state, to_state, minute - workflow._minute_of('2026-01-01 10:00:00+00') AS minute, moves,
       left_since - workflow._minute_of('2026-01-01 10:00:00+00') AS left_since
FROM workflow.state_delta ORDER BY minute;
SELECT * FROM seen;
SELECT * FROM workflow._wrong_states();

-- what is rolled back does not count, nor what a savepoint takes back; what it keeps does
BEGIN;
UPDATE workflow.item SET state = 'GONE' WHERE state = 'NEW';
ROLLBACK;
BEGIN;
UPDATE workflow.item SET state = 'GONE' WHERE item_id = 7;
SAVEPOINT one;
UPDATE workflow.item SET state = 'GONE' WHERE item_id = 8;
SAVEPOINT two;
UPDATE workflow.item SET state = 'GONE' WHERE item_id = 9;
RELEASE two;
ROLLBACK TO one;
SAVEPOINT three;
UPDATE workflow.item SET state = 'GONE' WHERE item_id = 10;
RELEASE three;
COMMIT;
SELECT state, items, live FROM seen;
SELECT * FROM workflow._wrong_states();
CALL workflow.run();
SELECT state, items, live FROM seen;
SELECT * FROM workflow._wrong_states();

-- a migration moves items to the other version; a stay that goes on has not taken its time yet
SELECT workflow.define('{
  "workflow": "order", "owner": "shop", "initial": "NEW",
  "states": {
    "NEW":    {"on": {"pack": "PACKED", "drop": "GONE"}},
    "PACKED": {"on": {"ship": "DONE"}},
    "DONE":   {"final": "success"},
    "GONE":   {"final": "failure"}}}');
SET pg_workflow.clock = '2026-01-01 10:35:00+00';
SELECT state, target, verdict, items FROM workflow.migrate('order', 1, 2, dry_run => false, reason => 'newer') ORDER BY state;
SELECT * FROM seen;
CALL workflow.run();
SELECT * FROM seen;
SELECT * FROM workflow._wrong_states();

-- and goes on from when it began
SET pg_workflow.clock = '2026-01-01 11:15:00+00';
UPDATE workflow.item SET state = 'DONE' WHERE state = 'PACKED';
SELECT state, items, oldest_since FROM seen WHERE version = 2;
CALL workflow.run();
SELECT state, items, oldest_since FROM seen WHERE version = 2;
SELECT * FROM workflow._wrong_states();
SELECT count(*) AS entries_of_nobody FROM workflow.state_entry WHERE items = 0;

-- history: by the minute, the hour and the day; the same before and after it was folded
SET pg_workflow.clock = '2026-01-02 00:00:30+00';
SELECT item_id IS NOT NULL AS submitted FROM workflow.submit('order', '{"id": 11}');
CREATE TEMP TABLE before AS SELECT * FROM workflow.state_history;
SELECT resolution, at AT TIME ZONE 'UTC' AS at, state, version, submitted, entered, departed, p50_time
FROM workflow.state_history WHERE resolution <> 'minute' ORDER BY resolution DESC, at, version, state;
SELECT resolution, at AT TIME ZONE 'UTC' AS at, version, submitted, transitions, ended, outcomes
FROM workflow.history ORDER BY resolution DESC, at, version;
CALL workflow.run();
SELECT count(*) AS differences FROM (
  (TABLE before EXCEPT TABLE workflow.state_history) UNION ALL (TABLE workflow.state_history EXCEPT TABLE before)) AS d;

-- rates are of the last whole minutes
RESET pg_workflow.clock;
SELECT state, entered_rate, departed_rate FROM workflow.state_stats WHERE version = 1 ORDER BY state;
SET pg_workflow.clock = '-2 minutes';
SELECT count(*) FROM workflow.submit_many('order', (SELECT array_agg(jsonb_build_object('id', n)) FROM generate_series(101, 190) AS n));
SELECT entered_rate[2:3] AS entered_rate FROM workflow.state_stats WHERE version = 2 AND state = 'NEW';
RESET pg_workflow.clock;
SELECT entered_rate[2:3] AS entered_rate FROM workflow.state_stats WHERE version = 2 AND state = 'NEW';

-- the history of minutes is forgotten, that of days never: the first run of this session has done so
SELECT resolution, count(*) AS rows FROM workflow.state_history WHERE submitted = 10 GROUP BY resolution ORDER BY 1;

-- a percentile is never less than the truth, and at most a sixteenth more
WITH sample AS (
  SELECT ('1 us'::interval * (1.7 ^ n)::bigint) AS length FROM generate_series(1, 75) AS n
), said AS (
  SELECT length, workflow._time_percentile(ARRAY[workflow._time_class(length), 1], 0.5) AS end FROM sample
)
SELECT count(*) FILTER (WHERE said.end < length) AS less, count(*) FILTER (WHERE said.end > length * (1 + 1 / 16.0)) AS far_more, count(*) FROM said;
SELECT bool_and(workflow._time_class(n * interval '1 us') = n) AS exact FROM generate_series(0, 31) AS n;
SELECT workflow._add_times('{3,1,7,2}', '{1,5,7,1,9,9}'), workflow._add_times(NULL, '{1,2}'), workflow._add_times(NULL, NULL);
WITH times AS (
  SELECT random() * 1000 * interval '1 s' AS length FROM generate_series(1, 10000)
), said AS (
  SELECT workflow._time_percentile(workflow._sum_times(ARRAY[workflow._time_class(length), 1]), 0.95) AS said,
         percentile_disc(0.95) WITHIN GROUP (ORDER BY length) AS truth
  FROM times
)
SELECT said >= truth AND said <= truth * (1 + 1 / 16.0) AS p95_is_within_bounds FROM said;

-- an item that ended, was rewound and ended again has ended twice; how many have, and did not come back, is what stands there
SET pg_workflow.clock = '2026-02-01 12:00:00+00';
BEGIN;
SELECT state FROM workflow.submit('order', '{"id": "again"}', key => 'again');
SELECT state FROM workflow.send('order:again', 'drop');
SELECT state FROM workflow.rewind('order:again', 'NEW', 'not that one');
SELECT state FROM workflow.send('order:again', 'drop');
COMMIT;
SELECT h.ended, s.entered, s.departed, s.entered - s.departed AS ended_for_good
FROM workflow.state_history AS s JOIN workflow.history AS h USING (resolution, at, workflow, version)
WHERE s.resolution = 'minute' AND s.state = 'GONE' AND s.at = '2026-02-01 12:00:00+00';
RESET pg_workflow.clock;
SELECT items, entered, departed FROM workflow.state_stats WHERE state = 'GONE' AND version = 2;

-- a publication of all tables stands in nobody's way
SET client_min_messages = error;
CREATE PUBLICATION everything FOR ALL TABLES;
UPDATE workflow.item SET state = 'GONE' WHERE state = 'NEW' AND item_id = 9;
CALL workflow.run();
SELECT count(*) AS stored FROM workflow.state_delta;
DROP PUBLICATION everything;
SET client_min_messages = warning;

-- rows are not changed by hand
DELETE FROM workflow.state_delta;
SELECT workflow._take_moves();
UPDATE workflow.state_delta SET moves = 0;
DELETE FROM workflow.state_count;
TRUNCATE workflow.state_entry;
DELETE FROM workflow.state_history_slot;
DROP VIEW seen;

-- the figures of a transaction are written when it commits, also for an index whose function runs queries
CREATE FUNCTION looked_up(n int) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT n + count(*) FROM pg_database WHERE false);
END
$$;
CREATE INDEX looked_up ON workflow.state_delta (looked_up(moves));
SELECT item_id IS NOT NULL AS submitted FROM workflow.submit('order', '{"id": "looked up"}');
DROP INDEX workflow.looked_up;
DROP FUNCTION looked_up;

-- moves of an extension that is dropped in their transaction are in no figure of the one that follows
BEGIN;
SELECT item_id IS NOT NULL AS submitted FROM workflow.submit('order', '{"id": "gone"}');
DROP EXTENSION pg_workflow CASCADE;
COMMIT;
CREATE FUNCTION begin_anew() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DROP EXTENSION IF EXISTS pg_workflow CASCADE;
  CREATE EXTENSION pg_workflow;
  PERFORM workflow.define('{"workflow": "anew", "owner": "me", "initial": "NEW", "key": "$.id",
                            "states": {"NEW": {"on": {"go": "OLD"}}, "OLD": {"final": "done"}}}');
END
$$;
SELECT begin_anew();
BEGIN;
SELECT count(workflow.submit('anew', jsonb_build_object('id', n))) FROM generate_series(1, 3) AS n;
SAVEPOINT before;
SELECT begin_anew();
SELECT count(workflow.submit('anew', jsonb_build_object('id', n))) FROM generate_series(1, 5) AS n;
ROLLBACK TO before;
COMMIT;
SELECT state, items, entered FROM workflow.state_stats;
BEGIN;
SELECT count(workflow.submit('anew', jsonb_build_object('id', n))) FROM generate_series(4, 9) AS n;
SELECT begin_anew();
SELECT count(workflow.submit('anew', jsonb_build_object('id', n))) FROM generate_series(1, 2) AS n;
COMMIT;
SELECT state, items, entered FROM workflow.state_stats;
SELECT * FROM workflow._wrong_states();
DROP EXTENSION pg_workflow;
