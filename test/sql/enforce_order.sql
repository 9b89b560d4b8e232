--
-- enforce: the log of a row is in the order in which it was moved, also where triggers move rows of the
-- statement that fires them before its own moves are logged.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow FROM workflow.define('{
  "workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {
    "NEW":     {"on": {"pay": "PAID"}},
    "PAID":    {"on": {"ship": "SHIPPED", "refund": "NEW"}},
    "SHIPPED": {"final": "done"}}}');
CREATE TABLE orders (id int PRIMARY KEY, s text DEFAULT 'NEW', n int DEFAULT 0);
SELECT workflow.enforce('orders', 's', 'order', 'id');
CREATE FUNCTION log(relation regclass, from_key int) RETURNS TABLE (key int, events text, in_time boolean) LANGUAGE sql AS $$
  SELECT k, string_agg(l.event, ' ' ORDER BY l.seq), bool_and(l.in_time)
  FROM generate_series(from_key, from_key + 9) AS k,
       LATERAL (SELECT t.*, t.at >= max(t.at) OVER (ORDER BY t.seq) AS in_time FROM workflow.transitions_of(relation, k) AS t) AS l
  GROUP BY k ORDER BY k
$$;
CREATE FUNCTION run() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format(TG_ARGV[0], TG_RELID::regclass) USING NEW.id; RETURN NULL; END $$;

-- a trigger that moves the next row on, in an UPDATE and in an INSERT; rows that it does not move; one that it ends
INSERT INTO orders (id) VALUES (11), (12);
CREATE TRIGGER next AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 11)
  EXECUTE FUNCTION run('UPDATE orders SET s = ''SHIPPED'' WHERE id = $1 + 1');
UPDATE orders SET s = 'PAID' WHERE id IN (11, 12);
DROP TRIGGER next ON orders;
CREATE TRIGGER next AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.id = 13)
  EXECUTE FUNCTION run('UPDATE orders SET s = ''PAID'' WHERE id = $1 + 1');
INSERT INTO orders (id) VALUES (13), (14);
DROP TRIGGER next ON orders;
CREATE TRIGGER next AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 13 AND NEW.s = 'NEW')
  EXECUTE FUNCTION run('UPDATE orders SET n = n + 1 WHERE id = $1 + 1');
UPDATE orders SET s = CASE s WHEN 'NEW' THEN 'PAID' ELSE 'NEW' END WHERE id IN (13, 14);
DROP TRIGGER next ON orders;
CREATE TRIGGER next AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.id = 15)
  EXECUTE FUNCTION run('DELETE FROM orders WHERE id = $1 + 1');
INSERT INTO orders (id) VALUES (15), (16);
DROP TRIGGER next ON orders;
SELECT * FROM log('orders', 10);

-- triggers of triggers, several times; a row that is deleted and comes anew; what is rolled back was not
INSERT INTO orders (id) VALUES (21), (22), (23);
CREATE TRIGGER next AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 21)
  EXECUTE FUNCTION run('UPDATE orders SET s = ''NEW'' WHERE id IN ($1 + 1, $1 + 2)');
CREATE TRIGGER next_2 AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 22 AND NEW.s = 'NEW')
  EXECUTE FUNCTION run('UPDATE orders SET s = ''PAID'' WHERE id = $1 + 1');
CREATE TRIGGER next_3 AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 21)
  EXECUTE FUNCTION run('UPDATE orders SET s = ''SHIPPED'' WHERE id = $1 + 2');
UPDATE orders SET s = 'PAID' WHERE id IN (21, 22, 23);
DROP TRIGGER next ON orders;
DROP TRIGGER next_2 ON orders;
DROP TRIGGER next_3 ON orders;
INSERT INTO orders (id) VALUES (24), (25), (26);
CREATE TRIGGER next AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 24)
  EXECUTE FUNCTION run('WITH gone AS (DELETE FROM orders WHERE id = $1 + 1) SELECT');
CREATE TRIGGER next_2 AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 24)
  EXECUTE FUNCTION run('INSERT INTO orders (id) VALUES ($1 + 1)');
UPDATE orders SET s = 'PAID' WHERE id IN (24, 25);
DROP TRIGGER next ON orders;
DROP TRIGGER next_2 ON orders;
CREATE FUNCTION in_vain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE orders SET s = 'NEW' WHERE id = 26;
  RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
  RETURN NULL;
END $$;
CREATE TRIGGER next AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 24) EXECUTE FUNCTION in_vain();
UPDATE orders SET s = CASE id WHEN 24 THEN 'NEW' ELSE 'PAID' END WHERE id IN (24, 26);
DROP TRIGGER next ON orders;
SELECT * FROM log('orders', 20);

-- a function in RETURNING; and all of it in a transaction that has moved the rows before
CREATE FUNCTION ship(id int) RETURNS text LANGUAGE plpgsql AS
$$ DECLARE s text; BEGIN UPDATE orders AS o SET s = 'SHIPPED' WHERE o.id = ship.id RETURNING o.s INTO s; RETURN s; END $$;
BEGIN;
INSERT INTO orders (id) VALUES (31), (32);
UPDATE orders SET s = 'PAID' WHERE id IN (31, 32);
SAVEPOINT a;
UPDATE orders SET s = 'NEW' WHERE id IN (31, 32);
UPDATE orders SET s = 'PAID' WHERE id IN (31, 32) RETURNING id, ship(id);
COMMIT;
SELECT * FROM log('orders', 30);

-- a table that is partitioned by its state, where each move is one to another partition
CREATE TABLE parts (id int, s text DEFAULT 'NEW', PRIMARY KEY (id, s)) PARTITION BY LIST (s);
CREATE TABLE parts_new PARTITION OF parts FOR VALUES IN ('NEW');
CREATE TABLE parts_paid PARTITION OF parts FOR VALUES IN ('PAID');
CREATE TABLE parts_shipped PARTITION OF parts FOR VALUES IN ('SHIPPED');
SELECT workflow.enforce('parts', 's', 'order', 'id');
CREATE TRIGGER next AFTER INSERT ON parts FOR EACH ROW WHEN (NEW.id = 11 AND NEW.s = 'NEW')
  EXECUTE FUNCTION run('UPDATE parts SET s = ''PAID'' WHERE id = $1 + 1');
INSERT INTO parts VALUES (11), (12);
DROP TRIGGER next ON parts;
INSERT INTO parts VALUES (13), (14);
CREATE TRIGGER next AFTER INSERT ON parts FOR EACH ROW WHEN (NEW.id = 13 AND NEW.s = 'PAID')
  EXECUTE FUNCTION run('UPDATE parts SET s = ''SHIPPED'' WHERE id = $1 + 1');
UPDATE parts SET s = 'PAID' WHERE id IN (13, 14);
DROP TRIGGER next ON parts;
SELECT * FROM log('parts', 10);
SELECT * FROM workflow.verify_table('orders');
SELECT * FROM workflow.verify_table('parts');
