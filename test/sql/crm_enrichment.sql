--
-- The tests of the enrichment example (examples/crm_enrichment/test.sql), as a
-- user runs them: on a database that has the flow, and nothing that answers.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\getenv srcdir PG_ABS_SRCDIR
\set business :srcdir /../examples/crm_enrichment/crm.sql
\set definition :srcdir /../examples/crm_enrichment/definition.json
\set tests :srcdir /../examples/crm_enrichment/test.sql
\set document `cat :'definition'`
CREATE ROLE regress_crm_anna;
SELECT workflow.grant_role('regress_crm_anna', 'reviewer');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://models.invalid', dedup 'pure');
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.invalid/api', dedup 'key');
CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (bearer_secret 'crm_token');
\set ECHO none
\i :business
SELECT workflow, version FROM workflow.define(:'document');
\set reviewer regress_crm_anna
\set ECHO all
\i :tests

-- nothing is left
SELECT (SELECT count(*) FROM workflow.items) AS items, (SELECT count(*) FROM workflow.effects) AS effects,
       (SELECT count(*) FROM crm.account) AS accounts;
DROP OWNED BY regress_crm_anna;
DROP ROLE regress_crm_anna;
