--
-- enforce: whatever way rows are written, what is stored is judged and logged.
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
CREATE VIEW log AS
SELECT t.key, t.from_state, t.event, t.to_state FROM workflow.transition AS t ORDER BY t.row_seq;
CREATE TABLE orders (id int PRIMARY KEY, s text DEFAULT 'NEW', n int DEFAULT 0);
SELECT workflow.enforce('orders', 's', 'order', 'id');

-- COPY, a CTE, ON CONFLICT, MERGE, DELETE, TRUNCATE
COPY orders (id, s) FROM stdin;
1	NEW
2	NEW
\.
COPY orders (id, s) FROM stdin;
3	NEW
4	PAID
\.
WITH new AS (INSERT INTO orders (id) VALUES (3) RETURNING id), old AS (UPDATE orders SET s = 'PAID' WHERE id = 2)
SELECT * FROM new;
INSERT INTO orders (id) VALUES (1), (4) ON CONFLICT (id) DO UPDATE SET s = 'PAID';
INSERT INTO orders (id, s) VALUES (1, 'SHIPPED') ON CONFLICT (id) DO UPDATE SET s = 'LOST';
INSERT INTO orders (id, s) VALUES (1, 'SHIPPED') ON CONFLICT DO NOTHING;
MERGE INTO orders AS o USING (VALUES (1, 'SHIPPED'), (5, 'NEW')) AS v (id, s) ON o.id = v.id
WHEN MATCHED THEN UPDATE SET s = v.s WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.s);
MERGE INTO orders AS o USING (VALUES (2, 'SHIPPED'), (6, 'PAID')) AS v (id, s) ON o.id = v.id
WHEN MATCHED THEN UPDATE SET s = v.s WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.s);
SELECT * FROM log;
DELETE FROM orders WHERE id = 5;
INSERT INTO orders (id) VALUES (5);
SELECT event, to_state FROM workflow.transitions_of('orders', 5);
SELECT * FROM orders ORDER BY id;

-- a statement that leaves states alone logs nothing; the key stays as it is
SELECT count(*) AS before FROM log \gset
UPDATE orders SET n = n + 1;
UPDATE orders SET s = s;
SELECT count(*) = :before AS none FROM log;
UPDATE orders SET id = id + 100 WHERE id = 3;
INSERT INTO orders VALUES (8, NULL);
UPDATE orders SET s = NULL WHERE id = 3;

-- judged is what was stored: BEFORE triggers may have changed it, also where the statement names another column
CREATE FUNCTION divert() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.s := TG_ARGV[0]; RETURN NEW; END $$;
CREATE TRIGGER zz_divert BEFORE INSERT OR UPDATE ON orders FOR EACH ROW WHEN (NEW.n = 7) EXECUTE FUNCTION divert('SHIPPED');
UPDATE orders SET n = 7 WHERE id = 3;
INSERT INTO orders VALUES (9, 'NEW', 7);
UPDATE orders SET n = 7 WHERE id = 2;
SELECT s FROM orders WHERE id = 2;
DROP TRIGGER zz_divert ON orders;

-- what AFTER triggers do then is judged by itself, in order
CREATE FUNCTION further() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE orders SET s = 'SHIPPED' WHERE id = NEW.id AND s = 'PAID'; RETURN NULL; END $$;
CREATE TRIGGER "!further" AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.s = 'PAID') EXECUTE FUNCTION further();
INSERT INTO orders (id) VALUES (10), (11);
UPDATE orders SET s = 'PAID' WHERE id IN (10, 11);
SELECT event, to_state FROM workflow.transitions_of('orders', 10);
SELECT event, to_state FROM workflow.transitions_of('orders', 11);
DROP TRIGGER "!further" ON orders;

-- in a subtransaction that is rolled back within a statement nothing is logged, around it all is
CREATE FUNCTION aside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    UPDATE orders SET s = 'PAID' WHERE id = 3;
    COPY orders (id) FROM PROGRAM 'echo 30';
    RAISE EXCEPTION 'enough';
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  COPY orders (id) FROM PROGRAM 'echo 31';
  RETURN NULL;
END $$;
CREATE TRIGGER aside AFTER INSERT ON orders FOR EACH ROW WHEN (NEW.id = 12) EXECUTE FUNCTION aside();
INSERT INTO orders (id) VALUES (12), (13);
DROP TRIGGER aside ON orders;
SELECT key, event FROM log WHERE key IN ('3', '12', '13', '30', '31');
BEGIN;
SAVEPOINT a;
UPDATE orders SET s = 'PAID' WHERE id = 12;
ROLLBACK TO a;
UPDATE orders SET s = 'PAID' WHERE id = 13;
COMMIT;
SELECT key, event FROM log WHERE key IN ('12', '13');

-- foreign keys that set the state
CREATE TABLE parent (code text PRIMARY KEY);
INSERT INTO parent VALUES ('NEW'), ('PAID');
CREATE TABLE children (id int PRIMARY KEY, s text DEFAULT 'NEW' REFERENCES parent ON UPDATE CASCADE ON DELETE SET NULL);
SELECT workflow.enforce('children', 's', 'order', 'id');
INSERT INTO children VALUES (1);
UPDATE parent SET code = 'LOST' WHERE code = 'NEW';
DELETE FROM parent WHERE code = 'NEW';
DELETE FROM parent WHERE code = 'PAID';
UPDATE parent SET code = 'PAID' WHERE code = 'NEW';
SELECT event, to_state FROM workflow.transitions_of('children', 1);

-- more rows than are written at once
INSERT INTO orders SELECT i FROM generate_series(1001, 3000) AS i;
UPDATE orders SET s = 'PAID' WHERE id > 1000;
SELECT event, count(*), count(DISTINCT key), count(DISTINCT row_seq) FROM workflow.transition
WHERE length(key) = 4 GROUP BY event;
SELECT count(*) FROM workflow.verify_table('orders');

-- who restores passes, and verify tells
SET session_replication_role = replica;
INSERT INTO orders VALUES (40, 'SHIPPED'), (41, 'BROKEN'), (42, NULL);
UPDATE orders SET s = 'SHIPPED' WHERE id = 1001;
RESET session_replication_role;
SELECT * FROM workflow.verify_table('orders');
UPDATE orders SET s = 'NEW' WHERE id = 41;
\set VERBOSITY default
UPDATE orders SET s = 'NEW' WHERE id = 41;
\set VERBOSITY terse

-- a trigger that somebody has disabled
ALTER TABLE orders DISABLE TRIGGER ALL;
UPDATE orders SET s = 'LOST' WHERE id = 3;
SELECT works FROM workflow.enforced WHERE relation = 'orders'::regclass;
SELECT key IS NULL AS none, left(problem, 28) FROM workflow.verify_table('orders') WHERE key IS NULL OR key = '3';
ALTER TABLE orders ENABLE TRIGGER ALL;
SELECT works FROM workflow.enforced WHERE relation = 'orders'::regclass;
UPDATE orders SET s = 'PAID' WHERE id = 12;

-- triggers and indexes of somebody's on the log take part
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE WARNING 'seen: % %', NEW.key, NEW.event; RETURN NEW; END $$;
CREATE TRIGGER watch BEFORE INSERT ON workflow.transition FOR EACH ROW EXECUTE FUNCTION watch();
UPDATE orders SET s = 'NEW' WHERE id IN (12, 13);
DROP TRIGGER watch ON workflow.transition;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE WARNING 'more transitions'; RETURN NULL; END $$;
CREATE TRIGGER tell AFTER INSERT ON workflow.transition FOR EACH STATEMENT EXECUTE FUNCTION tell();
UPDATE orders SET s = 'PAID' WHERE id = 11 AND s = 'NEW' OR id = 12;
DROP TRIGGER tell ON workflow.transition;
UPDATE orders SET s = 'NEW' WHERE id = 12;
CREATE INDEX by_hash ON workflow.transition USING hash (key);
CREATE INDEX by_expression ON workflow.transition (lower(actor)) WHERE kind = 'direct';
UPDATE orders SET s = 'PAID' WHERE id IN (12, 13);
SET enable_seqscan = off;
SELECT event FROM workflow.transition WHERE key = '12' ORDER BY row_seq;
RESET enable_seqscan;
DROP INDEX workflow.by_hash, workflow.by_expression;
SELECT event, to_state FROM workflow.transitions_of('orders', 12);

-- the log is append-only, its record is not deleted
DELETE FROM workflow.transition WHERE key IS NOT NULL;
TRUNCATE workflow.transition;
DELETE FROM workflow.enforcement;
