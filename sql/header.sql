\echo Use "CREATE EXTENSION pg_workflow" to load this file. \quit

--
-- Everything lives in the schema "workflow" that the control file names.
-- Names of functions, types and operators in here resolve in pg_catalog.
--
-- A role that installs the extension without being a superuser owns the schema
-- at first.  Whoever may create objects beside ours could have them called
-- with our rights; hence the schema must be empty, and goes to the owner of
-- the objects in it.
--
-- An object in it that somebody makes meanwhile is not found by an unqualified
-- name, and one that is called all the same is refused: src/base/owner.c.
--
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
DO $take$
DECLARE
  role regrole;
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = 'workflow'::regnamespace)
     OR EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace = 'workflow'::regnamespace)
     OR EXISTS (SELECT FROM pg_catalog.pg_type WHERE typnamespace = 'workflow'::regnamespace)
     OR EXISTS (SELECT FROM pg_catalog.pg_operator WHERE oprnamespace = 'workflow'::regnamespace)
  THEN
    RAISE EXCEPTION 'schema "workflow" is not empty'
      USING ERRCODE = 'duplicate_schema',
            DETAIL = 'The extension shares its schema with nothing else.',
            HINT = 'Rename it: ALTER SCHEMA workflow RENAME TO ...';
  END IF;
  ALTER SCHEMA workflow OWNER TO CURRENT_USER;
  FOR role IN
    SELECT DISTINCT a.grantee::regrole
    FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS a
    WHERE n.nspname = 'workflow' AND a.grantee NOT IN (0, n.nspowner)
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA workflow FROM %s', role);
  END LOOP;
END
$take$;
REVOKE ALL ON SCHEMA workflow FROM PUBLIC;
COMMENT ON SCHEMA workflow IS
  'pg_workflow: definitions, items, queues, effects, reviews, and the views that show them';
