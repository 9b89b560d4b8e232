\echo Use "CREATE EXTENSION pg_workflow" to load this file. \quit

--
-- Everything lives in the schema "workflow" that the control file names.
-- Names of functions, types and operators in here resolve in pg_catalog.
--
REVOKE ALL ON SCHEMA workflow FROM PUBLIC;
COMMENT ON SCHEMA workflow IS
  'pg_workflow: definitions, items, queues, effects, reviews, and the views that show them';
