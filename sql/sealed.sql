--
-- sealed: which triggers the script has made, for health(): the last piece.
--

DO $sealed$
BEGIN
  EXECUTE pg_catalog.format(
    'CREATE FUNCTION workflow._own_triggers(OUT relation name, OUT name name, OUT enabled "char", OUT kind smallint, OUT function name, OUT arguments bytea, OUT definition text) '
    'RETURNS SETOF record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$ '
    'SELECT * FROM (VALUES %s) AS t (relation, name, enabled, kind, function, arguments, definition) $body$',
    (SELECT pg_catalog.string_agg(pg_catalog.format('(%L::name, %L::name, %L::"char", %s::smallint, %L::name, %L::bytea, %L)',
              c.relname, t.tgname, t.tgenabled, t.tgtype, p.proname, t.tgargs, pg_catalog.pg_get_triggerdef(t.oid)), ', ' ORDER BY c.relname, t.tgname)
     FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
     WHERE c.relnamespace = 'workflow'::regnamespace AND NOT t.tgisinternal));
  REVOKE ALL ON FUNCTION workflow._own_triggers() FROM PUBLIC;
END
$sealed$;
COMMENT ON FUNCTION workflow._own_triggers() IS 'Inner: the triggers of the extension as the install script made them';
