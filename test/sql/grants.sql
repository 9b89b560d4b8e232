--
-- Kinds of roles: what each may call and read, and that none is forgotten.
--
CREATE EXTENSION pg_workflow;
\set SHOW_CONTEXT never

-- each name in the list is a function or a view
SELECT k.kind, f.name AS unknown_function
FROM workflow._role_kinds() AS k, unnest(k.functions) AS f(name)
WHERE NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'workflow'::regnamespace AND proname = f.name)
ORDER BY 1, 2;
SELECT k.kind, v.name AS unknown_view
FROM workflow._role_kinds() AS k, unnest(k.views) AS v(name)
WHERE v.name <> '*' AND to_regclass('workflow.' || v.name) IS NULL
ORDER BY 1, 2;

-- what no kind of role may call: for the owner, and for PostgreSQL itself
SELECT DISTINCT p.proname AS for_nobody
FROM pg_proc AS p
WHERE p.pronamespace = 'workflow'::regnamespace AND p.proname NOT LIKE '\_%'
  AND NOT EXISTS (SELECT FROM workflow._role_kinds() AS k WHERE p.proname = ANY (k.functions))
ORDER BY 1;

-- whoever may ask where an item is may ask what running it again does
SELECT k.kind FROM workflow._role_kinds() AS k WHERE 'where_is' = ANY (k.functions) AND NOT 'if_run_again' = ANY (k.functions);

-- a role gets what the list says of its kind, in all overloads, and nothing else
CREATE ROLE wf_test_role;
CREATE FUNCTION granted(kind text) RETURNS TABLE (missing text, beyond text) LANGUAGE sql AS $$
  SELECT CASE WHEN wanted AND NOT has THEN name END, CASE WHEN has AND NOT wanted THEN name END
  FROM (SELECT p.oid::regprocedure::text AS name,
               has_function_privilege('wf_test_role', p.oid, 'EXECUTE') AS has,
               p.proname = ANY (k.functions) OR called.by_view && k.views OR (called.by_view <> '{}' AND k.views = '{*}') AS wanted
        FROM pg_proc AS p
        CROSS JOIN LATERAL (SELECT coalesce(array_agg(v.relname::text), '{}') AS by_view
                            FROM pg_depend AS d
                            JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS v ON v.oid = r.ev_class
                            WHERE d.classid = 'pg_rewrite'::regclass
                              AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid) AS called
        CROSS JOIN workflow._role_kinds() AS k
        WHERE p.pronamespace = 'workflow'::regnamespace AND k.kind = granted.kind
        UNION ALL
        SELECT c.relname,
               has_table_privilege('wf_test_role', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE'),
               c.relkind = 'v' AND c.relname NOT LIKE '\_%' AND (c.relname = ANY (k.views) OR k.views = '{*}')
               OR k.views = '{*}' AND c.relname = ANY ('{journal,transition,cluster}')
        FROM pg_class AS c, workflow._role_kinds() AS k
        WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind IN ('r', 'p', 'v')
          AND k.kind = granted.kind) AS object
  WHERE has <> wanted ORDER BY 1, 2
$$;
-- and reads each view and record of these, the functions in it included
CREATE SERVER somewhere FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://api.example.com', dedup 'key');
CREATE FUNCTION unreadable() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  readable text;
BEGIN
  FOR readable IN
    SELECT c.oid::regclass FROM pg_class AS c
    WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY c.relname
  LOOP
    BEGIN
      EXECUTE 'SELECT * FROM ' || readable;
    EXCEPTION WHEN insufficient_privilege THEN
      RETURN NEXT readable || ': ' || SQLERRM;
    END;
  END LOOP;
END
$$;
DO $$
DECLARE
  of_kind text;
  wrong   record;
  problem text;
BEGIN
  FOR of_kind IN SELECT k.kind FROM workflow._role_kinds() AS k
  LOOP
    PERFORM workflow.grant_role('wf_test_role', of_kind);
    FOR wrong IN SELECT * FROM granted(of_kind)
    LOOP
      RAISE WARNING 'kind %: missing %, beyond %', of_kind, wrong.missing, wrong.beyond;
    END LOOP;
    SET LOCAL ROLE wf_test_role;
    FOR problem IN SELECT unreadable()
    LOOP
      RAISE WARNING 'kind %: %', of_kind, problem;
    END LOOP;
    RESET ROLE;
    DROP OWNED BY wf_test_role;
  END LOOP;
END
$$;

-- who watches the server may watch the workflows
GRANT pg_monitor TO wf_test_role;
SELECT has_table_privilege('wf_test_role', 'workflow.items', 'SELECT') AS views,
       has_function_privilege('wf_test_role', 'workflow.where_is(bigint)', 'EXECUTE') AS answers,
       has_table_privilege('wf_test_role', 'workflow.item', 'SELECT') AS tables;

-- refusals, and the record of what was granted
SELECT workflow.grant_role('wf_test_role', 'king');
SELECT workflow.grant_role('wf_nobody', 'monitor');
GRANT EXECUTE ON FUNCTION workflow.grant_role TO wf_test_role;
SET ROLE wf_test_role;
SELECT workflow.grant_role('wf_test_role', 'operator');
RESET ROLE;
SELECT actor, action, subject, detail FROM workflow.journal ORDER BY detail ->> 'kind';

-- who may insert rows, as the owner of a database may to restore a dump, does
-- not get the rights of other roles by it
GRANT INSERT ON workflow.definition, workflow.effect TO wf_test_role;
SET ROLE wf_test_role;
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner)
VALUES ('forged', 1, '', '{}', 'wf_test_owner', 'x');
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner)
VALUES ('own', 1, '', '{"workflow": "own", "initial": "A", "states": {"A": {"final": "x"}}}', 'wf_test_role', 'x');
INSERT INTO workflow.effect (endpoint_id, key, kind, fingerprint, submitted_by, created_at)
VALUES (1, 'forged', 'call', '', 'wf_test_owner', now());
RESET ROLE;

DROP OWNED BY wf_test_role;
DROP ROLE wf_test_role;
