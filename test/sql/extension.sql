--
-- The extension as a whole: what it owns, who may use it, what a dump takes.
-- Each list shows offenders: no rows is right.
--
CREATE EXTENSION pg_workflow;

-- it needs no superuser, stays in its schema and is wholly explained
SELECT v.trusted, v.relocatable, v.schema
FROM pg_available_extension_versions AS v WHERE v.name = 'pg_workflow' AND v.installed;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS object
FROM pg_depend AS d
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pg_workflow' AND d.deptype = 'e';

SELECT count(*) > 20 AS has_members FROM member;

-- objects without a comment; indexes, sequences and row types speak through their table
SELECT m.object
FROM member AS m
LEFT JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
LEFT JOIN pg_type AS t ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
WHERE obj_description(m.objid, (SELECT relname FROM pg_class WHERE oid = m.classid)) IS NULL
  AND c.relkind IS DISTINCT FROM 'S'
  AND coalesce(t.typrelid, 0) = 0 AND coalesce(t.typelem, 0) = 0
ORDER BY 1;

-- inner functions that do not say so, and others that do
SELECT p.oid::regprocedure AS mislabelled
FROM pg_proc AS p
WHERE p.pronamespace = 'workflow'::regnamespace
  AND (p.proname LIKE '\_%') <> (obj_description(p.oid, 'pg_proc') LIKE 'Inner: %')
ORDER BY 1;

-- tables and sequences whose rows a dump would lose
SELECT m.object
FROM member AS m
JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
JOIN pg_extension AS e ON e.extname = 'pg_workflow'
WHERE c.relkind IN ('r', 'p', 'S') AND c.oid <> ALL (e.extconfig)
ORDER BY 1;

-- members outside of the schema
SELECT m.object
FROM member AS m
LEFT JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
LEFT JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
WHERE coalesce(c.relnamespace, p.pronamespace) <> 'workflow'::regnamespace
ORDER BY 1;

-- what PUBLIC may do
SELECT p.oid::regprocedure AS granted_to_public
FROM pg_proc AS p
WHERE p.pronamespace = 'workflow'::regnamespace
  AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee = 0))
ORDER BY 1;
SELECT c.oid::regclass AS granted_to_public, a.privilege_type
FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'workflow'::regnamespace AND a.grantee = 0
ORDER BY 1, 2;
SELECT a.privilege_type AS on_schema_granted_to_public
FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
WHERE n.nspname = 'workflow' AND a.grantee = 0;

-- nobody but its owner may make endpoints of the wrapper
SELECT w.fdwname, a.grantee::regrole
FROM pg_foreign_data_wrapper AS w, aclexplode(w.fdwacl) AS a
WHERE w.fdwname LIKE 'workflow%' AND a.grantee <> w.fdwowner;

-- public functions that the planner could inline: they would run as the caller
SELECT p.oid::regprocedure AS inlinable
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = 'workflow'::regnamespace AND l.lanname = 'sql'
  AND p.proconfig IS NULL AND NOT p.prosecdef AND p.proname NOT LIKE '\_%'
ORDER BY 1;

-- functions in SQL or PL/pgSQL that trust the caller's search_path: one whose body was parsed as it was made looks up nothing
SELECT p.oid::regprocedure AS unpinned
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = 'workflow'::regnamespace AND l.lanname IN ('sql', 'plpgsql')
  AND p.prosqlbody IS NULL AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%')
ORDER BY 1;

-- inner functions are granted to nobody, but for one that a view calls
SELECT p.oid::regprocedure AS granted_inner, a.grantee::regrole
FROM pg_proc AS p, aclexplode(p.proacl) AS a
WHERE p.pronamespace = 'workflow'::regnamespace AND p.proname LIKE '\_%' AND a.grantee <> p.proowner
ORDER BY 1;

-- it goes as it came
DROP EXTENSION pg_workflow;
SELECT count(*) AS left_behind FROM pg_class WHERE relnamespace = to_regnamespace('workflow');
