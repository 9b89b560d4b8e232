--
-- NULL where no value is meant to be missing: it is refused, and harms nobody.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SELECT version FROM workflow.define('{
  "workflow": "nil", "owner": "me", "key": ["$.id"], "initial": "A",
  "states": {"A": {"on": {"go": "B"}}, "B": {"final": "b"}}}');
SELECT state FROM workflow.submit('nil', '{"id": 1}');
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN 'passed';
EXCEPTION WHEN OTHERS THEN
  RETURN sqlstate;
END $$;

-- every column of an item that has a value: 23502 or 55000
SELECT a.attname, pg_temp.attempt(format('UPDATE workflow.item SET %I = NULL', a.attname))
FROM pg_attribute AS a
WHERE a.attrelid = 'workflow.item'::regclass AND a.attnum > 0 AND a.attnotnull
ORDER BY a.attnum;
-- also together, and by a trigger that diverts a move
SELECT pg_temp.attempt('UPDATE workflow.item SET state = NULL, data = NULL, workflow = NULL, version = NULL');
CREATE FUNCTION pg_temp.forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := NULL; RETURN NEW; END $$;
CREATE TRIGGER forget BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION pg_temp.forget();
SELECT pg_temp.attempt('SELECT workflow.send(''nil:1'', ''go'')');
DROP TRIGGER forget ON workflow.item;
-- the empty and the unknown state are no states
SELECT pg_temp.attempt('UPDATE workflow.item SET state = ''''');
SELECT pg_temp.attempt('UPDATE workflow.item SET state = ''Z''');
SELECT item_id, state, seq FROM workflow.item;

-- every column of a version, by somebody whose rows are judged
CREATE ROLE regress_restorer;
GRANT USAGE ON SCHEMA workflow TO regress_restorer;
GRANT SELECT, INSERT ON workflow.definition TO regress_restorer;
CREATE FUNCTION pg_temp.insert_without(missing text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO workflow.definition
  SELECT (jsonb_populate_record(d, jsonb_build_object('version', 7, 'definer', 'regress_restorer') || jsonb_build_object(missing, NULL))).*
  FROM workflow.definition AS d;
  RETURN 'passed';
EXCEPTION WHEN OTHERS THEN
  RETURN sqlstate;
END $$;
SET ROLE regress_restorer;
SELECT a.attname, pg_temp.insert_without(a.attname)
FROM pg_attribute AS a
WHERE a.attrelid = 'workflow.definition'::regclass AND a.attnum > 0 AND a.attnotnull
ORDER BY a.attnum;
RESET ROLE;
REVOKE ALL ON SCHEMA workflow FROM regress_restorer;
REVOKE ALL ON workflow.definition FROM regress_restorer;
DROP ROLE regress_restorer;

-- every C function that is called with NULLs: all of them; each one; all from the nth on
CREATE FUNCTION pg_temp.value_of(type oid) RETURNS text LANGUAGE sql AS $$
  SELECT CASE format_type(type, NULL)
    WHEN 'bigint' THEN '1' WHEN 'integer' THEN '1' WHEN 'boolean' THEN 'false' WHEN 'double precision' THEN '0'
    WHEN 'jsonb' THEN '{}' WHEN 'json' THEN '{}' WHEN 'interval' THEN '0' WHEN 'oid' THEN '1'
    WHEN 'timestamp with time zone' THEN '2001-01-01' WHEN 'bigint[]' THEN '{1,NULL}'
    WHEN 'text[]' THEN '{x,NULL}' WHEN 'jsonb[]' THEN '{NULL}' WHEN 'xid8' THEN '1' ELSE 'x' END
$$;
CREATE TEMP TABLE call AS
SELECT DISTINCT p.proname, format('SELECT * FROM workflow.%I(%s)', p.proname, (
    SELECT string_agg(format('%L::%s', CASE WHEN kept.kept THEN pg_temp.value_of(a.type) END, format_type(a.type, NULL)), ', ' ORDER BY a.n)
    FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, n),
      LATERAL (SELECT CASE w.way WHEN 'all' THEN false WHEN 'one' THEN a.n <> m ELSE a.n < m END) AS kept (kept))) AS statement
FROM pg_proc AS p, unnest(ARRAY['all', 'one', 'rest']) AS w (way), generate_series(1, p.pronargs) AS m
WHERE p.pronamespace = 'workflow'::regnamespace AND p.prolang = (SELECT l.oid FROM pg_language AS l WHERE l.lanname = 'c')
  AND p.prokind = 'f' AND NOT p.proisstrict AND p.pronargs > 0;
SELECT count(*) > 300 AS many, count(DISTINCT proname) > 50 AS of_many FROM call;
CREATE FUNCTION pg_temp.call_all() RETURNS TABLE (statement text, code text) LANGUAGE plpgsql AS $$
BEGIN
  FOR statement IN SELECT c.statement FROM call AS c ORDER BY 1 LOOP
    BEGIN
      EXECUTE statement;
      RAISE EXCEPTION 'passed' USING ERRCODE = 'ZZ000';
    EXCEPTION WHEN OTHERS THEN
      code := SQLSTATE;
    END;
    RETURN NEXT;
  END LOOP;
END $$;
-- none gives way, or meets what cannot happen (XX)
SELECT * FROM pg_temp.call_all() WHERE code LIKE 'XX%' ORDER BY 1;
SELECT item_id, state, seq FROM workflow.item;

-- functions of triggers, called by hand: refused (39P01, 0A000), but for some that look at nothing, or trust their triggers
SELECT p.proname, t.code
FROM pg_proc AS p, pg_temp.attempt(format('SELECT workflow.%I()', p.proname)) AS t (code)
WHERE p.pronamespace = 'workflow'::regnamespace AND p.prorettype = 'trigger'::regtype AND t.code NOT IN ('39P01', '0A000')
ORDER BY 1;
