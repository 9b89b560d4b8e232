--
-- enforce: partitioned tables. A row that moves is judged as one that changes.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
\set VERBOSITY terse
SELECT workflow FROM workflow.define('{
  "workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {
    "NEW":     {"on": {"pay": "PAID"}},
    "PAID":    {"on": {"ship": "SHIPPED", "refund": "NEW"}},
    "SHIPPED": {"final": "done"}}}');
CREATE TABLE orders (id int, region text, s text DEFAULT 'NEW', PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE orders_n PARTITION OF orders FOR VALUES IN ('north');
SELECT workflow.enforce('orders', 's', 'order', 'id');
SELECT workflow.enforce('orders_n', 's', 'order', 'id');

-- partitions that come later, one whose columns stand in another order, one with partitions of its own
CREATE TABLE orders_s (junk int, s text, region text NOT NULL, id int NOT NULL);
ALTER TABLE orders_s DROP COLUMN junk;
ALTER TABLE orders ATTACH PARTITION orders_s FOR VALUES IN ('south');
CREATE TABLE orders_x PARTITION OF orders FOR VALUES IN ('east', 'west') PARTITION BY LIST (region);
CREATE TABLE orders_e PARTITION OF orders_x FOR VALUES IN ('east');
CREATE TABLE orders_w PARTITION OF orders_x FOR VALUES IN ('west');

-- through the root or not, all are judged
INSERT INTO orders VALUES (1, 'north'), (2, 'south'), (3, 'east');
INSERT INTO orders_w VALUES (4, 'west');
INSERT INTO orders_s VALUES ('PAID', 'south', 5);
INSERT INTO orders_e VALUES (5, 'east', 'PAID');
UPDATE orders SET s = 'PAID';
UPDATE orders_s SET s = 'LOST';
UPDATE orders_x SET s = 'LOST';
SELECT t.tableoid::regclass AS partition, t.id, l.event, l.to_state
FROM orders AS t, workflow.transitions_of('orders', t.id) AS l ORDER BY t.id, l.seq;

-- a row that moves keeps its log; with a change of state, the change is judged
UPDATE orders SET region = 'south' WHERE id = 1;
UPDATE orders SET region = 'west', s = 'SHIPPED' WHERE id = 2;
UPDATE orders SET region = 'north', s = 'SHIPPED';
UPDATE orders SET region = 'north', s = 'NEW' WHERE id = 2;
UPDATE orders SET region = 'north', s = 'LOST' WHERE id = 1;
UPDATE orders SET region = 'west', s = 'NEW' WHERE id IN (1, 3);
SELECT tableoid::regclass AS partition, id, s FROM orders ORDER BY id;
SELECT event, from_state, to_state FROM workflow.transitions_of('orders', 1);
SELECT event, from_state, to_state FROM workflow.transitions_of('orders_w', 2);
SELECT * FROM workflow.verify_table('orders');

-- its key does not change on the way either
UPDATE orders SET region = 'east', id = 10 WHERE id = 2;

-- one that a trigger keeps from arriving is gone, and another one of that key is new
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER stop BEFORE INSERT ON orders_s FOR EACH ROW EXECUTE FUNCTION stop();
BEGIN;
UPDATE orders SET region = 'south' WHERE id = 4;
INSERT INTO orders VALUES (6, 'west', 'PAID');
ROLLBACK;
BEGIN;
UPDATE orders SET region = 'south' WHERE id = 4;
INSERT INTO orders VALUES (6, 'west');
COMMIT;
DROP TRIGGER stop ON orders_s;
SELECT id FROM orders ORDER BY id;

-- DELETE and INSERT are no move
WITH gone AS (DELETE FROM orders WHERE id = 2 RETURNING id) INSERT INTO orders SELECT id, 'north', 'SHIPPED' FROM gone;

-- detached, a table is its owner's again; attached, it is held, and must not be held otherwise
ALTER TABLE orders DETACH PARTITION orders_s;
INSERT INTO orders_s VALUES ('LOST', 'south', 7);
ALTER TABLE orders ATTACH PARTITION orders_s FOR VALUES IN ('south');
SELECT * FROM workflow.verify_table('orders');
UPDATE orders SET s = 'PAID' WHERE id = 7;
UPDATE orders SET region = 'east' WHERE id = 7;
UPDATE orders SET region = 'west', s = 'STRAY' WHERE id = 7;
CREATE TABLE orders_m (id int NOT NULL, region text NOT NULL, s text);
SELECT workflow.enforce('orders_m', 's', 'order', 'id');
ALTER TABLE orders ATTACH PARTITION orders_m FOR VALUES IN ('middle');
INSERT INTO orders VALUES (8, 'middle');
UPDATE orders SET s = 'PAID' WHERE id = 8;
SELECT event FROM workflow.transitions_of('orders', 8);

-- COPY
COPY orders FROM stdin;
20	north	NEW
21	east	NEW
\.
COPY orders FROM stdin;
22	north	PAID
\.
SELECT count(*) FROM workflow.transitions_of('orders', 21);

-- ended, on all of them
SELECT workflow.unenforce('orders_n');
SELECT workflow.unenforce('orders');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%workflow%' AND tgrelid::regclass::text LIKE 'orders%';
UPDATE orders SET s = 'LOST';
SELECT workflow.enforce('orders', 's', 'order', 'id');

-- what a trigger does on the way of one row does not hide the move of another
SELECT version FROM workflow.define('{
  "workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {
    "NEW":  {"on": {"pay": "PAID"}},
    "PAID": {"on": {"refund": "NEW", "end": "DONE"}},
    "DONE": {"final": "done"}}}');
CREATE TABLE bags (id int, place int, s text DEFAULT 'NEW', PRIMARY KEY (id, place)) PARTITION BY LIST (place);
CREATE TABLE bags_1 PARTITION OF bags FOR VALUES IN (1);
CREATE TABLE bags_2 PARTITION OF bags FOR VALUES IN (2);
SELECT workflow.enforce('bags', 's', 'order', 'id');
INSERT INTO bags SELECT i, 1 FROM generate_series(1, 4) AS i;
UPDATE bags SET s = 'PAID';
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE bags SET place = 2, s = 'NEW' WHERE id = OLD.id + 2 AND place = 1; RETURN NULL; END $$;
CREATE TRIGGER follow AFTER DELETE ON bags_1 FOR EACH ROW WHEN (OLD.id < 3) EXECUTE FUNCTION follow();
UPDATE bags SET place = 2 WHERE id < 3;
SELECT * FROM bags ORDER BY id;
SELECT key, count(*) FROM workflow.transition WHERE event = 'refund' GROUP BY key ORDER BY key;

-- a move that failed, or was kept from arriving, leaves nothing behind
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not so'; END $$;
CREATE TRIGGER fail AFTER DELETE ON bags_2 FOR EACH ROW WHEN (OLD.id = 1) EXECUTE FUNCTION fail();
CREATE TRIGGER stop BEFORE INSERT ON bags_1 FOR EACH ROW WHEN (NEW.id = 2 AND NEW.s = 'PAID') EXECUTE FUNCTION stop();
BEGIN;
SAVEPOINT a;
UPDATE bags SET place = 1 WHERE id = 1;
ROLLBACK TO a;
DROP TRIGGER fail ON bags_2;
DELETE FROM bags WHERE id = 1;
INSERT INTO bags VALUES (1, 1);
UPDATE bags SET place = 1 WHERE id = 2;
INSERT INTO bags VALUES (2, 1);
COMMIT;
SELECT event FROM workflow.transitions_of('bags', 1);
SELECT event FROM workflow.transitions_of('bags', 2);

-- a trigger that is disabled on one partition only
SELECT works FROM workflow.enforced WHERE relation = 'bags'::regclass;
ALTER TABLE bags_2 DISABLE TRIGGER ALL;
SELECT works FROM workflow.enforced WHERE relation = 'bags'::regclass;
ALTER TABLE bags_2 ENABLE TRIGGER ALL;
SELECT works FROM workflow.enforced WHERE relation = 'bags'::regclass;

-- a partition that is elsewhere
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE TABLE split (id int, s text) PARTITION BY LIST (id);
CREATE FOREIGN TABLE split_far PARTITION OF split FOR VALUES IN (1) SERVER nowhere;
SELECT workflow.enforce('split', 's', 'order', 'id');

-- what is said of a partition names the table that is held, as it can be pasted
\set VERBOSITY default
CREATE SCHEMA "My shop";
CREATE TABLE "My shop"."Carts" (id int, place int, s text DEFAULT 'NEW') PARTITION BY LIST (place);
CREATE TABLE carts_1 PARTITION OF "My shop"."Carts" FOR VALUES IN (1);
CREATE TABLE carts_2 PARTITION OF "My shop"."Carts" FOR VALUES IN (2);
SELECT workflow.enforce('"My shop"."Carts"', 's', 'order', 'id');
INSERT INTO carts_1 VALUES (1, 1), (2, 1);
UPDATE carts_1 SET id = 3 WHERE id = 1;
SET session_replication_role = replica;
UPDATE carts_1 SET s = 'LOST' WHERE id = 2;
RESET session_replication_role;
UPDATE carts_1 SET s = 'PAID';
UPDATE carts_1 SET s = 'STRAY' WHERE id = 2;
SELECT * FROM workflow.verify_table('carts_1');
SELECT workflow.unenforce('carts_1');

-- its key does not change on the way, in the initial state neither; another row may come with it
UPDATE carts_1 SET s = 'PAID' WHERE id = 1;
UPDATE "My shop"."Carts" SET place = 2, id = 4 WHERE id = 1;
INSERT INTO carts_1 VALUES (5, 1);
UPDATE "My shop"."Carts" SET place = 2, id = 6 WHERE id = 5;
WITH moved AS (UPDATE "My shop"."Carts" SET place = 2 WHERE id = 5 RETURNING id)
INSERT INTO "My shop"."Carts" SELECT id + 1, 1 FROM moved;
MERGE INTO "My shop"."Carts" AS c USING (VALUES (5, 1), (7, 1), (6, 2), (8, 2)) AS w (id, place) ON c.id = w.id
WHEN MATCHED THEN UPDATE SET place = w.place WHEN NOT MATCHED THEN INSERT VALUES (w.id, w.place);
SELECT tableoid::regclass AS partition, id, s FROM "My shop"."Carts" WHERE id > 4 ORDER BY id;
SELECT key, count(*) FROM workflow.transition WHERE key IN ('5', '6', '7', '8') GROUP BY key ORDER BY key;
-- not with a column of the partition in the key, either
CREATE TABLE trays (id int, place int, s text DEFAULT 'NEW', row_key text GENERATED ALWAYS AS (id || ':' || place) STORED)
PARTITION BY LIST (place);
CREATE TABLE trays_1 PARTITION OF trays FOR VALUES IN (1);
CREATE TABLE trays_2 PARTITION OF trays FOR VALUES IN (2);
SELECT workflow.enforce('trays', 's', 'order', 'row_key');
INSERT INTO trays VALUES (1, 1), (2, 1);
UPDATE trays SET place = 2 WHERE id = 1;
SELECT * FROM workflow.verify_table('"My shop"."Carts"');

-- one that a trigger keeps from arriving is mistaken neither for the next one that moves, nor for what is new behind an update
CREATE TABLE carts (id int, place int, s text DEFAULT 'NEW', PRIMARY KEY (id, place)) PARTITION BY LIST (place);
CREATE TABLE carts_a PARTITION OF carts FOR VALUES IN (1);
CREATE TABLE carts_b PARTITION OF carts FOR VALUES IN (2);
SELECT workflow.enforce('carts', 's', 'order', 'id');
INSERT INTO carts SELECT i, 1 FROM generate_series(1, 5) AS i;
CREATE TRIGGER stop BEFORE INSERT ON carts_b FOR EACH ROW WHEN (NEW.id IN (1, 3)) EXECUTE FUNCTION stop();
UPDATE carts SET place = 2, s = 'PAID' WHERE id IN (1, 2);
WITH changed AS (UPDATE carts SET place = CASE id WHEN 3 THEN 2 ELSE place END, s = 'PAID' WHERE id IN (3, 4) RETURNING id)
INSERT INTO carts SELECT 100 + count(*), 1 FROM changed;
SELECT * FROM carts ORDER BY id;
SELECT key, string_agg(event, ' ' ORDER BY row_seq) FROM workflow.transition
WHERE enforcement_id = (SELECT enforcement_id FROM workflow.enforced WHERE relation = 'carts'::regclass) GROUP BY key ORDER BY key COLLATE "C";
SELECT * FROM workflow.verify_table('carts');

-- two columns that are held, of a row that moves: each is judged by its own
SELECT workflow FROM workflow.define('{"workflow": "weight", "initial": "LIGHT", "states": {"LIGHT": {"on": {"load": "HEAVY"}}, "HEAVY": {"on": {"unload": "LIGHT", "end": "OUT"}}, "OUT": {"final": "out"}}}');
ALTER TABLE carts ADD COLUMN w text DEFAULT 'LIGHT';
SELECT workflow.enforce('carts', 'w', 'weight', 'id');
UPDATE carts SET place = 2, w = 'HEAVY' WHERE id = 4;
UPDATE carts SET place = 2, s = 'PAID' WHERE id = 5;
UPDATE carts SET place = 1, s = 'NEW', w = 'LIGHT' WHERE id = 4;
UPDATE carts SET place = 1, w = 'OUT' WHERE id = 5;
SELECT id, place, s, w FROM carts WHERE id IN (4, 5) ORDER BY id;
SELECT t.key, l.state_column, l.event, l.from_state, l.to_state FROM unnest('{4,5}'::bigint[]) AS t (key), workflow.transitions_of('carts', t.key) AS l;
