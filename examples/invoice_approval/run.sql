--
-- All of the example, in an empty database:
--
--   createdb invoices
--   psql -X -q -d invoices -v document="$(cat definition.json)" -f run.sql
--
-- The roles it makes are ap_clerk, ap_ben, ap_carla, ap_dora and ap_emil.
--
\set ON_ERROR_STOP on
\pset footer off
SET client_min_messages = warning;
\o /dev/null
CREATE EXTENSION IF NOT EXISTS pg_workflow;
\ir roles.sql
\ir schema.sql
SELECT * FROM workflow.define(:'document');
\o

\echo The clerk enters five invoices; they are matched with their orders
\ir submit.sql
CALL workflow.run('10 seconds');
\ir where.sql

\echo Ben approves what he ordered, and rejects one
\set reviewer ap_ben
\set queue ap_first
\set reject 'S-114:%'
\ir decide.sql

\echo What is large waits for Carla, what is small is paid
CALL workflow.run('10 seconds');
\ir where.sql
\set reviewer ap_carla
\set queue ap_second
\set reject ''
\ir decide.sql
CALL workflow.run('10 seconds');

\echo Two are to be clarified: a bank account is entered, the other goods have come
UPDATE ap.supplier SET iban = 'DE02120300000000202051' WHERE supplier = 'S-150';
UPDATE ap.purchase_order SET delivered = ordered WHERE purchase_order = 'PO-7005';
\o /dev/null
SELECT workflow.replay('invoice_approval:S-150:HW-778', 'account as in their letter of 3 November');
SELECT workflow.replay('invoice_approval:S-100:2026-0902', 'second delivery is here');
\o
CALL workflow.run('10 seconds');
\set reviewer ap_carla
\set queue ap_first
\ir decide.sql
CALL workflow.run('10 seconds');

\echo All invoices are entered a second time, by mistake
\ir submit.sql
CALL workflow.run('10 seconds');
\ir where.sql

\echo The next payment run
SELECT supplier, invoice, iban, amount FROM ap.payment ORDER BY supplier, invoice;
