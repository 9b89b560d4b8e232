--
-- The public surface: what users, their programs and their dashboards name.
-- A change here is a change for all of them.
--
CREATE EXTENSION pg_workflow;
\pset format unaligned
\pset tuples_only

-- functions and procedures
SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ')' || coalesce(' -> ' || pg_get_function_result(p.oid), '')
FROM pg_proc AS p
WHERE p.pronamespace = 'workflow'::regnamespace AND p.proname NOT LIKE '\_%'
ORDER BY p.proname COLLATE "C", pg_get_function_identity_arguments(p.oid) COLLATE "C";

-- views and types with their columns
SELECT c.relname || ': ' || string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind IN ('v', 'c') AND c.relname NOT LIKE '\_%'
GROUP BY c.relname ORDER BY c.relname COLLATE "C";

-- where an item is expected, its id and workflow:key are accepted
SELECT p.proname, string_agg(format_type(a.type, NULL), ', ' ORDER BY format_type(a.type, NULL))
FROM pg_proc AS p, LATERAL unnest(p.proargtypes) WITH ORDINALITY AS a (type, place)
WHERE p.pronamespace = 'workflow'::regnamespace AND p.proname NOT LIKE '\_%' AND p.proargnames[a.place] = 'item'
GROUP BY p.proname ORDER BY p.proname COLLATE "C";

-- settings
SELECT name || ' ' || context || ' ' || coalesce(boot_val, '') FROM pg_settings WHERE name LIKE 'pg\_workflow.%' ORDER BY name COLLATE "C";
