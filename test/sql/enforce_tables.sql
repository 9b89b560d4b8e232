--
-- enforce: kinds of tables and columns, and what may happen to them.
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
SELECT e.relation, t.key, t.from_state, t.event, t.to_state
FROM workflow.transition AS t JOIN workflow.enforcement AS e USING (enforcement_id)
ORDER BY t.row_seq;

-- an enum, a char, a varchar, a name, and a domain, each with another type of key
CREATE TYPE status AS ENUM ('NEW', 'PAID', 'SHIPPED', 'LOST');
CREATE DOMAIN flow AS varchar(10) CHECK (value <> 'x');
CREATE TABLE of_enum (id uuid PRIMARY KEY, s status);
CREATE TABLE of_char (id bigint PRIMARY KEY, s char(8));
CREATE TABLE of_varchar (id varchar(20) PRIMARY KEY, s varchar(20));
CREATE TABLE of_name (id numeric PRIMARY KEY, s name);
CREATE TABLE of_domain (id char(4) PRIMARY KEY, s flow);
SELECT workflow.enforce(t::regclass, 's', 'order', 'id')
FROM unnest('{of_enum,of_char,of_varchar,of_name,of_domain}'::text[]) AS t;
INSERT INTO of_enum VALUES ('00000000-0000-0000-0000-000000000001', 'NEW');
INSERT INTO of_char VALUES (1, 'NEW');
INSERT INTO of_varchar VALUES ('a b', 'NEW');
INSERT INTO of_name VALUES (1.50, 'NEW');
INSERT INTO of_domain VALUES ('k', 'NEW');
UPDATE of_enum SET s = 'PAID';
UPDATE of_char SET s = 'PAID';
UPDATE of_varchar SET s = 'PAID';
UPDATE of_name SET s = 'PAID';
UPDATE of_domain SET s = 'PAID';
UPDATE of_enum SET s = 'LOST';
UPDATE of_char SET s = 'LOST';
UPDATE of_varchar SET s = 'PAID ';
UPDATE of_name SET s = NULL;
UPDATE of_domain SET s = 'new';
SELECT * FROM log;
SELECT count(*) FROM workflow.transitions_of('of_domain', 'k   ');

-- labels of an enum may be renamed, to a state and back
ALTER TYPE status RENAME VALUE 'SHIPPED' TO 'sent';
UPDATE of_enum SET s = 'sent';
ALTER TYPE status RENAME VALUE 'sent' TO 'SHIPPED';
UPDATE of_enum SET s = 'SHIPPED';

-- a long state, stored outside of the row, is read too
CREATE TABLE of_text (id int PRIMARY KEY, s text);
ALTER TABLE of_text ALTER s SET STORAGE EXTERNAL;
SELECT workflow.enforce('of_text', 's', 'order', 'id');
DO $$ BEGIN
  INSERT INTO of_text VALUES (1, repeat('x', 100000));
EXCEPTION WHEN SQLSTATE 'WF001' THEN RAISE WARNING 'refused, in % characters', length(sqlerrm);
END $$;

-- a composite key by a generated column
CREATE TABLE lines (order_id int, line int, s text DEFAULT 'NEW',
  row_key text GENERATED ALWAYS AS (order_id || ':' || line) STORED UNIQUE, PRIMARY KEY (order_id, line));
SELECT workflow.enforce('lines', 's', 'order', 'row_key');
INSERT INTO lines VALUES (7, 1), (7, 2);
UPDATE lines SET s = 'PAID' WHERE line = 2;
SELECT from_state, event, to_state FROM workflow.transitions_of('lines', '7:2');

-- names may change; the log stays the row's
CREATE TABLE box (id int PRIMARY KEY, s text DEFAULT 'NEW');
SELECT workflow.enforce('box', 's', 'order', 'id');
INSERT INTO box VALUES (1);
ALTER TABLE box RENAME TO crate;
ALTER TABLE crate RENAME s TO state;
ALTER TABLE crate RENAME id TO crate_id;
CREATE SCHEMA depot;
ALTER TABLE crate SET SCHEMA depot;
ALTER SCHEMA depot RENAME TO yard;
UPDATE yard.crate SET state = 'PAID';
UPDATE yard.crate SET state = 'LOST';
SELECT from_state, event, to_state, state_column FROM workflow.transitions_of('yard.crate', 1);
SELECT relation, state_column, key_column, works FROM workflow.enforced WHERE relation = 'yard.crate'::regclass;

-- a column that is enforced is not dropped or retyped by accident
ALTER TABLE yard.crate DROP COLUMN state;
ALTER TABLE yard.crate ALTER COLUMN state TYPE varchar(5);
ALTER TABLE yard.crate DROP COLUMN state CASCADE;
ALTER TABLE yard.crate ADD COLUMN state text DEFAULT 'PAID';
SELECT relation, state_column, works FROM workflow.enforced WHERE relation = 'yard.crate'::regclass;
UPDATE yard.crate SET state = 'SHIPPED';
INSERT INTO yard.crate VALUES (2, 'NEW');
SELECT * FROM workflow.verify_table('yard.crate');
SELECT workflow.unenforce('yard.crate');
UPDATE yard.crate SET state = 'anything';

-- another column is dropped and added as anybody likes
CREATE TABLE moved (junk int, id int PRIMARY KEY, more int, s text DEFAULT 'NEW');
SELECT workflow.enforce('moved', 's', 'order', 'id');
ALTER TABLE moved DROP COLUMN junk, DROP COLUMN more, ADD COLUMN note text;
INSERT INTO moved (id) VALUES (1);
UPDATE moved SET s = 'PAID', note = 'x';
SELECT event FROM workflow.transitions_of('moved', 1);

-- dropped and made again it is another table
DROP TABLE moved;
SELECT count(*) FROM workflow.enforced WHERE relation::text = 'moved';
CREATE TABLE moved (id int PRIMARY KEY, s text DEFAULT 'NEW');
INSERT INTO moved VALUES (1, 'SHIPPED');
SELECT workflow.enforce('moved', 's', 'order', 'id');
SELECT count(*) FROM workflow.transitions_of('moved', 1);
SELECT * FROM workflow.verify_table('moved');

-- enforced twice: the same is the same, another workflow is refused, another column is one more
SELECT workflow.enforce('moved', 's', 'order', 'id');
SELECT workflow FROM workflow.define('{"workflow": "payment", "initial": "OPEN",
  "states": {"OPEN": {"on": {"settle": "SETTLED"}}, "SETTLED": {"final": "settled"}}}');
SELECT workflow.enforce('moved', 's', 'payment', 'id');
ALTER TABLE moved ADD COLUMN payment text DEFAULT 'OPEN';
SELECT workflow.enforce('moved', 'payment', 'payment', 'id');
INSERT INTO moved VALUES (2);
UPDATE moved SET s = 'PAID', payment = 'SETTLED' WHERE id = 2;
UPDATE moved SET s = 'SHIPPED', payment = 'OPEN' WHERE id = 2;
SELECT state_column, event, to_state FROM workflow.transitions_of('moved', 2);
SELECT relation, state_column, workflow FROM workflow.enforced WHERE relation = 'moved'::regclass ORDER BY 2;
SELECT workflow.unenforce('moved', 'payment');
UPDATE moved SET payment = 'LATE' WHERE id = 2;
SELECT workflow.unenforce('moved');
SELECT workflow.unenforce('moved');

-- ended and begun again, the log goes on
SELECT count(*) FROM workflow.transitions_of('moved', 2);
SELECT workflow.enforce('moved', 's', 'order', 'id');
SELECT e.state_column, b.state_column AS goes_on_from FROM workflow.enforcement AS e JOIN workflow.enforcement AS b ON b.enforcement_id = e.continues;
UPDATE moved SET s = 'SHIPPED' WHERE id = 2;
SELECT state_column, event, to_state FROM workflow.transitions_of('moved', 2) WHERE state_column = 's';

-- a new version is taken by enforcing again, if its states fit
SELECT version FROM workflow.define('{
  "workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {"NEW": {"on": {"pay": "PAID", "skip": "SHIPPED"}}, "PAID": {"final": "paid"}, "SHIPPED": {"on": {"return": "NEW"}}}}');
UPDATE moved SET s = 'NEW' WHERE id = 2;
SELECT workflow.enforce('moved', 's', 'order', 'id');
UPDATE moved SET s = 'NEW' WHERE id = 2;
SELECT version, event FROM workflow.transitions_of('moved', 2) WHERE state_column = 's';
SELECT version FROM workflow.define('{
  "workflow": "order", "initial": "NEW", "owner": "shop", "states": {"NEW": {"final": "new"}}}');
\set VERBOSITY default
SELECT workflow.enforce('moved', 's', 'order', 'id');
\set VERBOSITY terse
SELECT version FROM workflow.enforced WHERE relation = 'moved'::regclass;

-- unlogged and temporary tables
SELECT version FROM workflow.define('{"workflow": "short", "initial": "NEW", "states": {"NEW": {"on": {"end": "OLD"}}, "OLD": {"final": "o"}}}');
CREATE UNLOGGED TABLE fast (id int PRIMARY KEY, s text DEFAULT 'NEW');
CREATE TEMP TABLE brief (id int PRIMARY KEY, s text DEFAULT 'NEW');
SELECT workflow.enforce('fast', 's', 'short', 'id'), workflow.enforce('brief', 's', 'short', 'id');
INSERT INTO fast VALUES (1);
INSERT INTO brief VALUES (1);
UPDATE fast SET s = 'OLD';
UPDATE brief SET s = 'OLD';
UPDATE brief SET s = 'NEW';
SELECT event FROM workflow.transitions_of('brief', 1);

-- tables that inherit: each for itself
CREATE TABLE child (LIKE fast INCLUDING ALL) INHERITS (fast);
SELECT workflow.enforce('child', 's', 'short', 'id');
INSERT INTO child VALUES (2);
UPDATE fast SET s = 'OLD' WHERE id = 2;
UPDATE fast SET s = 'NEW' WHERE id = 2;
SELECT workflow.enforce('fast', 's', 'short', 'id');

-- an enum without a label for each state
\set VERBOSITY default
SELECT workflow FROM workflow.define('{
  "workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {"NEW": {"on": {"pay": "PAID"}}, "PAID": {"on": {"ship": "SHIPPED"}}, "SHIPPED": {"final": "done"}}}');
CREATE TYPE short_status AS ENUM ('NEW', 'PAID');
CREATE DOMAIN short_domain AS short_status;
CREATE TABLE of_short_enum (id int PRIMARY KEY, s short_status, t short_domain);
SELECT workflow.enforce('of_short_enum', 's', 'order', 'id');
SELECT workflow.enforce('of_short_enum', 't', 'order', 'id');
ALTER TYPE short_status ADD VALUE 'SHIPPED';
SELECT workflow.enforce('of_short_enum', 's', 'order', 'id');

-- a table that inherits from it later: its rows pass by, and that is said
CREATE TABLE base (id int PRIMARY KEY, s text DEFAULT 'NEW');
SELECT workflow.enforce('base', 's', 'order', 'id');
CREATE TABLE "Heir" () INHERITS (base);
INSERT INTO "Heir" VALUES (1, 'LOST');
UPDATE base SET s = 'NEVER';
SELECT works FROM workflow.enforced WHERE relation = 'base'::regclass;
SELECT * FROM workflow.verify_table('base');
SELECT ok, detail, hint FROM workflow.health() WHERE "check" = 'enforcements';
ALTER TABLE "Heir" NO INHERIT base;
SELECT works FROM workflow.enforced WHERE relation = 'base'::regclass;
