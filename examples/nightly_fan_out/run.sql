--
-- All of the example, in an empty database:
--
--   createdb stores
--   psql -X -q -d stores -v document="$(cat definition.json)" -v store="$(cat definition_store.json)" -f run.sql
--
\set ON_ERROR_STOP on
\pset footer off
SET client_min_messages = warning;
SET datestyle = iso;
\o /dev/null
CREATE EXTENSION IF NOT EXISTS pg_workflow;
\ir schema.sql
SELECT * FROM workflow.define(:'store');
SELECT * FROM workflow.define(:'document');

SELECT retail.receive('2026-11-24', s.store) FROM retail.store AS s WHERE NOT s.closed;
SELECT retail.receive('2026-11-25', s.store) FROM retail.store AS s WHERE NOT s.closed AND s.store NOT IN ('ST-04', 'ST-07');
\o

\echo A night in which all tills have sent: eight children, one report
\set night 2026-11-24
\ir submit.sql
CALL workflow.run('20 seconds');
\ir where.sql

\echo cron fires twice
\ir submit.sql
CALL workflow.run('20 seconds');

\echo The next night two stores are silent: nobody gets a report of it yet
\set night 2026-11-25
\ir submit.sql
CALL workflow.run('20 seconds');
\ir where.sql

\echo The receipts of Trier come late, and the night is closed again
\o /dev/null
SELECT retail.receive('2026-11-25', 'ST-07');
SELECT workflow.replay('nightly_close:2026-11-25', 'Trier has sent, Luxembourg has no line today');
\o
CALL workflow.run('20 seconds');

\echo What the board reads, and what is delivered
SELECT * FROM retail.report ORDER BY night;
SELECT night, count(DISTINCT store) AS stores, sum(packs) AS packs FROM retail.refill GROUP BY night ORDER BY night;
