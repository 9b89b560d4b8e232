--
-- enforce: kinds of tables and columns that somebody may come with.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow FROM workflow.define('{"workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {"NEW": {"on": {"pay": "PAID"}}, "PAID": {"final": "paid"}}}');

-- a state that is generated from other columns, a key that is an identity
CREATE TABLE of_generated (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, paid boolean NOT NULL DEFAULT false,
                           s text GENERATED ALWAYS AS (CASE WHEN paid THEN 'PAID' ELSE 'NEW' END) STORED);
SELECT workflow.enforce('of_generated', 's', 'order', 'id');
INSERT INTO of_generated (paid) VALUES (false);
INSERT INTO of_generated (paid) VALUES (true);
UPDATE of_generated SET paid = true;
UPDATE of_generated SET paid = false;
SELECT from_state, event, to_state FROM workflow.transitions_of('of_generated', 1);
SELECT * FROM workflow.verify_table('of_generated');

-- tables that are temporary or unlogged
CREATE TEMP TABLE of_session (id int PRIMARY KEY, s text DEFAULT 'NEW');
CREATE UNLOGGED TABLE of_unlogged (id int PRIMARY KEY, s text DEFAULT 'NEW');
SELECT workflow.enforce(t, 's', 'order', 'id') FROM unnest('{of_session,of_unlogged}'::regclass[]) AS t;
INSERT INTO of_session VALUES (1);
INSERT INTO of_unlogged VALUES (1);
UPDATE of_session SET s = 'PAID';
UPDATE of_session SET s = 'NEW';
UPDATE of_unlogged SET s = 'gone';
SELECT from_state, event, to_state FROM workflow.transitions_of('of_session', 1);
SELECT from_state, event, to_state FROM workflow.transitions_of('of_unlogged', 1);

-- keys of domains, and of types whose text is no name
CREATE DOMAIN number AS int CHECK (value > 0);
CREATE DOMAIN day AS date;
CREATE TABLE of_domains (id number PRIMARY KEY, s text DEFAULT 'NEW', d day, b bytea, a int[]);
SELECT workflow.enforce('of_domains', 's', 'order', 'id');
INSERT INTO of_domains VALUES (5);
SELECT event, to_state FROM workflow.transitions_of('of_domains', 5);
SELECT workflow.unenforce('of_domains');
SELECT workflow.enforce('of_domains', 's', 'order', 'd');
\set VERBOSITY terse
SELECT workflow.enforce('of_domains', 's', 'order', 'b');
SELECT workflow.enforce('of_domains', 's', 'order', 'a');

-- what has columns and is no table
CREATE SEQUENCE numbers;
CREATE TYPE pair AS (id int, s text);
CREATE INDEX of_domains_s ON of_domains (s);
SELECT workflow.enforce('numbers', 'last_value', 'order', 'log_cnt');
SELECT workflow.enforce('pair', 's', 'order', 'id');
SELECT workflow.enforce('of_domains_s', 's', 'order', 's');

-- a table of before is told which rows are in no state, and how many; once they are mended it is held, and
-- what was there has no log until it changes
\set VERBOSITY default
CREATE TABLE of_before AS SELECT n AS id, CASE n % 3 WHEN 0 THEN 'NEW' WHEN 1 THEN 'PAID' ELSE 'odd ' || n % 2 END AS s
FROM generate_series(1, 30000) AS n;
ALTER TABLE of_before ADD PRIMARY KEY (id);
SELECT workflow.enforce('of_before', 's', 'order', 'id');
UPDATE of_before SET s = 'PAID' WHERE s LIKE 'odd%';
SELECT workflow.enforce('of_before', 's', 'order', 'id');
SELECT count(*) FROM workflow.verify_table('of_before');
UPDATE of_before SET s = 'PAID' WHERE id = 3;
UPDATE of_before SET s = 'NEW' WHERE id = 4;
SELECT from_state, event, to_state FROM workflow.transitions_of('of_before', 3);
SELECT count(*) FROM workflow.transitions_of('of_before', 4);

-- of several events that lead to a state the log names one of the state's own before one of "any", then the shortest, then
-- the first in the order of bytes, however the document has them
SELECT workflow FROM workflow.define('{"workflow": "several", "initial": "A", "owner": "shop", "any": {"on": {"a": "B", "end": "C"}},
  "states": {"A": {"on": {"settle": "B", "pay": "B", "buy": "B"}}, "B": {"on": {"undo": "A"}}, "C": {"final": "over"}}}');
CREATE TABLE of_events (id int PRIMARY KEY, s text DEFAULT 'A');
SELECT workflow.enforce('of_events', 's', 'several', 'id');
INSERT INTO of_events VALUES (1);
UPDATE of_events SET s = 'B';
UPDATE of_events SET s = 'A';
SELECT event, to_state FROM workflow.transitions_of('of_events', 1);

-- an index keeps keys apart if it is unique, valid, of all rows, and of the key alone
CREATE TABLE of_indexes (a int, b int, c int, d int, e int, s text DEFAULT 'NEW', r real);
CREATE INDEX ON of_indexes (a);
CREATE UNIQUE INDEX ON of_indexes (b) WHERE b > 0;
CREATE UNIQUE INDEX ON of_indexes (c, a);
INSERT INTO of_indexes VALUES (1, 1, 1, 1, 1), (2, 2, 2, 1, 2);
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY ON of_indexes (d);
CREATE UNIQUE INDEX ON of_indexes (e) INCLUDE (a);
SELECT k, workflow.enforce('of_indexes', 's', 'order', k::name), workflow.unenforce('of_indexes') FROM unnest('{a,b,c,d,e}'::text[]) AS k;
SELECT workflow.enforce('of_indexes', 's', 'order', 'r');

-- a row without a key, that somebody has restored: nothing is logged of it, and it is found
CREATE TABLE of_none (k text UNIQUE, s text DEFAULT 'NEW');
SELECT workflow.enforce('of_none', 's', 'order', 'k');
SET session_replication_role = replica;
INSERT INTO of_none VALUES (NULL);
RESET session_replication_role;
UPDATE of_none SET s = s;
UPDATE of_none SET s = 'PAID';
SELECT * FROM workflow.verify_table('of_none');

-- a trigger that fires for replicas, too, works as well
SELECT works FROM workflow.enforced WHERE relation = 'of_none'::regclass;
SELECT format('ALTER TABLE of_none ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'of_none'::regclass AND tgname LIKE ' workflow_judge%' \gexec
SELECT works FROM workflow.enforced WHERE relation = 'of_none'::regclass;

-- nor is it ended where a snapshot may be old
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT workflow.unenforce('of_none');
ROLLBACK;

-- CANCELLED, declared and led to, is one state
SELECT workflow FROM workflow.define('{
  "workflow": "stop", "initial": "NEW", "owner": "shop",
  "states": {"NEW": {"on": {"stop": "CANCELLED"}}, "CANCELLED": {"final": "cancelled"}}}');
CREATE TYPE few AS ENUM ('NEW');
CREATE TABLE of_few (id int PRIMARY KEY, s few);
SELECT workflow.enforce('of_few', 's', 'stop', 'id');
