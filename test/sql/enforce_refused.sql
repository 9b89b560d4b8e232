--
-- enforce: what is refused, to whom, and what writers need not have.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow FROM workflow.define('{"workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {"NEW": {"on": {"pay": "PAID"}}, "PAID": {"final": "paid"}}}');
CREATE TABLE orders (id int PRIMARY KEY, s text, at timestamptz, f float8, j jsonb, n int);
CREATE VIEW v AS SELECT * FROM orders;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE far (id int, s text) SERVER nowhere;
CREATE MATERIALIZED VIEW m AS SELECT * FROM orders;

-- what is no table of one's own
SELECT workflow.enforce('v', 's', 'order', 'id');
\set VERBOSITY terse
SELECT workflow.enforce('far', 's', 'order', 'id');
SELECT workflow.enforce('m', 's', 'order', 'id');
SELECT workflow.enforce('workflow.item', 'state', 'order', 'item_id');
SELECT workflow.enforce('pg_class', 'relname', 'order', 'oid');
SELECT workflow.enforce('nowhere', 's', 'order', 'id');
SELECT workflow.enforce(0::regclass, 's', 'order', 'id');
SELECT workflow.enforce(NULL, 's', 'order', 'id');
SELECT workflow.enforce('orders', NULL, 'order', 'id');
SELECT workflow.enforce('orders', 's', NULL, 'id');
SELECT workflow.enforce('orders', 's', 'order', NULL);

-- columns that will not do
\set VERBOSITY default
SELECT workflow.enforce('orders', 'state', 'order', 'id');
SELECT workflow.enforce('orders', 'n', 'order', 'id');
SELECT workflow.enforce('orders', 's', 'order', 'at');
SELECT workflow.enforce('orders', 's', 'order', 's');
\set VERBOSITY terse
SELECT workflow.enforce('orders', 's', 'order', 'f');
SELECT workflow.enforce('orders', 'j', 'order', 'id');
SELECT workflow.enforce('orders', 's', 'order', 'ctid');

-- workflows that will not do
SELECT workflow.enforce('orders', 's', 'nothing', 'id');
SELECT workflow FROM workflow.define('{"workflow": "busy", "initial": "A", "owner": "shop",
  "queues": {"q": {"owner": "o", "sla": "1 hour", "escalate_to": ["x"]}},
  "states": {"A": {"on": {"go": "B"}, "timeout": {"after": "1 day", "event": "go"}},
             "B": {"task": {"queue": "q"}, "on": {"ok": "C"}},
             "C": {"then": "next", "on": {"next": "D"}}, "D": {"final": "d"}}}');
\set VERBOSITY default
SELECT workflow.enforce('orders', 's', 'busy', 'id');

-- rows that are in no state
INSERT INTO orders VALUES (1, 'NEW'), (2, 'new'), (3, 'lost'), (4, 'lost'), (5, NULL), (6, 'PAID'), (7, 'CANCELLED');
SELECT workflow.enforce('orders', 's', 'order', 'id');
SELECT count(*) FROM workflow.enforced;
SELECT count(*) FROM workflow.enforcement;
UPDATE orders SET s = 'NEW' WHERE s IS NULL OR s <> 'PAID';

-- a transaction whose snapshot may be old
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT workflow.enforce('orders', 's', 'order', 'id');
ROLLBACK;

-- a key that may be shared, is null, or is too long
CREATE TABLE loose (k text, s text DEFAULT 'NEW');
SELECT workflow.enforce('loose', 's', 'order', 'k');
INSERT INTO loose VALUES ('a'), ('a');
INSERT INTO loose VALUES (NULL);
INSERT INTO loose VALUES (repeat('k', 1001));
INSERT INTO loose VALUES (repeat('k', 1000));

-- tables of others, and those who may not enforce
CREATE ROLE enforce_owner;
CREATE ROLE enforce_designer;
CREATE ROLE enforce_writer;
CREATE ROLE enforce_stranger;
SELECT workflow.grant_role('enforce_owner', 'designer'), workflow.grant_role('enforce_designer', 'designer'),
       workflow.grant_role('enforce_stranger', 'monitor');
CREATE SCHEMA shop AUTHORIZATION enforce_owner;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
SET ROLE enforce_owner;
CREATE TABLE shop.orders (id int PRIMARY KEY, s text DEFAULT 'NEW');
INSERT INTO shop.orders VALUES (1);
GRANT SELECT, INSERT, UPDATE ON shop.orders TO enforce_writer;
SET ROLE enforce_designer;
SELECT workflow.enforce('shop.orders', 's', 'order', 'id');
SET ROLE enforce_writer;
\set VERBOSITY terse
SELECT workflow.enforce('shop.orders', 's', 'order', 'id');
SET ROLE enforce_owner;
SELECT workflow.enforce('shop.orders', 's', 'order', 'id');

-- a writer needs no right but on the table, and has none on the log
SET ROLE enforce_writer;
INSERT INTO shop.orders VALUES (2);
UPDATE shop.orders SET s = 'PAID' WHERE id = 2;
UPDATE shop.orders SET s = 'NEW' WHERE id = 2;
INSERT INTO workflow.transition (event, to_state, kind, actor, at, version, enforcement_id, key) VALUES ('x', 'x', 'x', 'x', now(), 1, 1, '1');
SELECT * FROM workflow.transitions_of('shop.orders', 2);
SELECT workflow.unenforce('shop.orders');
CREATE TEMP TABLE forged (id int, s text);
CREATE TRIGGER forged AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION workflow._enforced_row('2', 'shop.orders', 'order', '1');
SET ROLE enforce_stranger;
SELECT * FROM workflow.transitions_of('shop.orders', 2);
SELECT * FROM workflow.verify_table('shop.orders');
SELECT count(*) FROM workflow.enforced;
SET ROLE enforce_designer;
SELECT workflow.unenforce('shop.orders');
CREATE TEMP TABLE forged2 (id int, s text);
CREATE TRIGGER forged AFTER INSERT ON forged2 FOR EACH ROW EXECUTE FUNCTION workflow._enforced_row('2', 'shop.orders', 'order', '1');
SET ROLE enforce_owner;
SELECT event, actor FROM workflow.transitions_of('shop.orders', 2);
SELECT * FROM workflow.verify_table('shop.orders');

-- row security: only who sees all rows
RESET ROLE;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON shop.orders TO enforce_stranger;
SET ROLE enforce_stranger;
SELECT * FROM workflow.transitions_of('shop.orders', 2);
SET ROLE enforce_owner;
SELECT count(*) FROM workflow.transitions_of('shop.orders', 2);
RESET ROLE;
SELECT count(*) FROM workflow.transitions_of('shop.orders', 2);
ALTER ROLE enforce_stranger BYPASSRLS;
SET ROLE enforce_stranger;
SELECT count(*) FROM workflow.transitions_of('shop.orders', 2);
RESET ROLE;

-- casts and policies of the owner do not run with the rights of the extension
SET ROLE enforce_owner;
CREATE TYPE shop.status AS ENUM ('NEW', 'PAID');
CREATE FUNCTION shop.catch(shop.status) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$;
RESET ROLE;
GRANT CREATE ON DATABASE :"DBNAME" TO enforce_owner;
SET ROLE enforce_owner;
CREATE CAST (shop.status AS text) WITH FUNCTION shop.catch(shop.status) AS IMPLICIT;
CREATE TABLE shop.typed (id int PRIMARY KEY, s shop.status);
CREATE POLICY p ON shop.typed USING (shop.catch(s) IS NULL);
ALTER TABLE shop.typed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT workflow.enforce('shop.typed', 's', 'order', 'id');
SELECT * FROM workflow.verify_table('shop.typed');
RESET ROLE;
ALTER TABLE shop.typed DISABLE ROW LEVEL SECURITY;
DROP TABLE shop.typed;

-- triggers that no enforce() has made
CREATE TABLE forged (id int, s text);
CREATE TRIGGER f AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION workflow._enforced_row();
INSERT INTO forged VALUES (1, 'NEW');
DROP TRIGGER f ON forged;
CREATE TRIGGER f BEFORE INSERT ON forged FOR EACH ROW EXECUTE FUNCTION workflow._enforced_row('1', 'x', 'order', '1');
INSERT INTO forged VALUES (1, 'NEW');
DROP TRIGGER f ON forged;
CREATE TRIGGER f AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION workflow._enforced_row('77', 'public.gone', 'order', '1');
CREATE TRIGGER g BEFORE UPDATE OF s, id ON forged FOR EACH STATEMENT EXECUTE FUNCTION workflow._enforced_columns('77');
\set VERBOSITY default
INSERT INTO forged VALUES (1, 'NEW');
SELECT relation, works FROM workflow.enforced WHERE relation = 'forged'::regclass;
SELECT workflow.unenforce('forged');
INSERT INTO forged VALUES (1, 'NEW');

-- what cannot be logged does not happen
CREATE TABLE unlogged_moves (id int PRIMARY KEY, s text DEFAULT 'NEW');
SELECT workflow.enforce('unlogged_moves', 's', 'order', 'id');
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT ON workflow.transition FOR EACH ROW EXECUTE FUNCTION suppress();
INSERT INTO unlogged_moves VALUES (1);
DROP TRIGGER suppress ON workflow.transition;
INSERT INTO unlogged_moves VALUES (1);
DROP TABLE unlogged_moves;

-- what was never enforced has no log
SELECT * FROM workflow.transitions_of('forged', 1);
SELECT * FROM workflow.verify_table('forged');
SELECT workflow.unenforce('forged');

-- what was done is on record
SELECT actor = current_user AS by_me, action, subject, detail FROM workflow.journal WHERE action LIKE '%enforce' ORDER BY journal_id;

-- it goes with the extension only if asked
\set VERBOSITY terse
DROP EXTENSION pg_workflow;
DROP EXTENSION pg_workflow CASCADE;
UPDATE shop.orders SET s = 'anything';
DROP SCHEMA shop CASCADE;
REVOKE CREATE ON DATABASE :"DBNAME" FROM enforce_owner;
DROP OWNED BY enforce_owner, enforce_designer, enforce_writer, enforce_stranger;
DROP ROLE enforce_owner, enforce_designer, enforce_writer, enforce_stranger;
