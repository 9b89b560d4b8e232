--
-- sealed: which triggers the script has made, for health(): the last piece.
--

DO $sealed$
BEGIN
  EXECUTE pg_catalog.format(
    'CREATE FUNCTION workflow._own_triggers(OUT relation name, OUT name name, OUT enabled "char", OUT definition text) '
    'RETURNS SETOF record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $body$ '
    'SELECT * FROM (VALUES %s) AS t (relation, name, enabled, definition) $body$',
    (SELECT pg_catalog.string_agg(pg_catalog.format('(%L::name, %L::name, %L::"char", %L)',
              c.relname, t.tgname, t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid)), ', ' ORDER BY c.relname, t.tgname)
     FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
     WHERE c.relnamespace = 'workflow'::regnamespace AND NOT t.tgisinternal));
  REVOKE ALL ON FUNCTION workflow._own_triggers() FROM PUBLIC;
END
$sealed$;
COMMENT ON FUNCTION workflow._own_triggers() IS 'Inner: the triggers of the extension as the install script made them';
