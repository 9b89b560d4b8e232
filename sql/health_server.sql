--
-- health of the server: what others do to it that the extension needs, and health() itself.
--

-- ------------------------------------------------------------- transactions

-- Who keeps vacuum from removing dead rows, and for how long.  A standby that sends feedback and a
-- replication slot have no transaction of their own: they are judged by how many there were since.
CREATE FUNCTION workflow._xmin_holders() RETURNS TABLE (since timestamptz, words text, hint text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT a.xact_start, format('pid %s (%s) since %s', a.pid, concat_ws(', ', a.usename, nullif(a.application_name, ''), a.state), a.xact_start),
           format('SELECT pg_terminate_backend(%s);', a.pid)
    FROM pg_stat_activity AS a
    WHERE a.xact_start < workflow._now() - interval '15 minutes' AND coalesce(a.backend_xmin, a.backend_xid) IS NOT NULL
      AND a.backend_type <> 'walsender' AND a.pid <> pg_backend_pid()
    UNION ALL
    SELECT p.prepared, format('prepared transaction %s since %s', p.gid, p.prepared), format('ROLLBACK PREPARED %L;', p.gid)
    FROM pg_prepared_xacts AS p
    WHERE p.prepared < workflow._now() - interval '15 minutes' AND p.database = current_database()
    UNION ALL
    SELECT NULL, format('replication slot %s%s, for %s transactions', s.slot_name, CASE WHEN s.active THEN '' ELSE ' (inactive)' END,
                        greatest(age(s.xmin), age(s.catalog_xmin))),
           CASE WHEN s.active THEN format('SELECT * FROM pg_stat_replication WHERE pid = %s;  -- its receiver holds it: see hot_standby_feedback there', s.active_pid)
                ELSE format('SELECT pg_drop_replication_slot(%L);', s.slot_name) END
    FROM pg_replication_slots AS s WHERE greatest(age(s.xmin), age(s.catalog_xmin)) > 1000000
    UNION ALL
    SELECT NULL, format('standby %s (pid %s), for %s transactions', nullif(r.application_name, ''), r.pid, age(r.backend_xmin)),
           format('SELECT * FROM pg_stat_replication WHERE pid = %s;  -- on that standby: a long query, and hot_standby_feedback = on', r.pid)
    FROM pg_stat_replication AS r WHERE age(r.backend_xmin) > 1000000;
END
$$;
COMMENT ON FUNCTION workflow._xmin_holders() IS
  'Inner: sessions, prepared transactions, slots and standbys that have held back vacuum for long, with the call that ends it';

CREATE FUNCTION workflow._health_transactions()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'xmin_holders', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'Nobody has kept vacuum from its work for long.'
              ELSE 'Dead rows stay because of ' || workflow._in_a_row(array_agg(h.words ORDER BY h.since NULLS LAST, h.words)) END,
         (array_agg(h.hint ORDER BY h.since NULLS LAST, h.words))[1]
  FROM workflow._xmin_holders() AS h
  UNION ALL
  SELECT 'prepared_transactions', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'None is left over.'
              ELSE workflow._in_a_row(array_agg(format('%s of %s since %s', p.gid, p.owner, p.prepared) ORDER BY p.prepared)) END,
         CASE WHEN count(*) > 0 THEN format('ROLLBACK PREPARED %L;  -- or COMMIT PREPARED: until then it holds its locks, items and jobs among them.',
                                            (array_agg(p.gid ORDER BY p.prepared))[1]) END
  FROM pg_prepared_xacts AS p
  WHERE p.prepared < workflow._now() - interval '5 minutes' AND p.database = current_database();
END
$$;
COMMENT ON FUNCTION workflow._health_transactions() IS 'Inner: the part of health() that looks at transactions that are open for long';

-- ----------------------------------------------------------------- triggers

-- Where triggers of the extension are missing, are others, or are not fired: what is wrong, and the statements that
-- mend it.  _own_triggers() is what the install script has made.  Texts of conditions are not compared: another
-- server may word them otherwise.
CREATE FUNCTION workflow._wrong_triggers() RETURNS TABLE (name text, problem text, hint text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    WITH compared AS (
      SELECT o.*, t.tgenabled AS present,
             t.tgtype = o.kind AND t.proname = o.function AND t.tgargs = o.arguments AS is_same
      FROM workflow._own_triggers() AS o
      LEFT JOIN (SELECT c.relname, x.tgname, x.tgenabled, x.tgtype, x.tgargs, p.proname
                 FROM pg_trigger AS x JOIN pg_class AS c ON c.oid = x.tgrelid JOIN pg_proc AS p ON p.oid = x.tgfoid
                 WHERE c.relnamespace = 'workflow'::regnamespace AND NOT x.tgisinternal) AS t
        ON t.tgname = o.name AND t.relname = o.relation)
    SELECT format('%I on workflow.%I', w.name, w.relation),
           CASE WHEN w.present IS NULL THEN 'is missing' WHEN NOT w.is_same THEN 'is another one' ELSE 'is not fired' END,
           concat_ws(' ',
             CASE WHEN NOT w.is_same THEN format('DROP TRIGGER %I ON workflow.%I;', w.name, w.relation) END,
             CASE WHEN w.is_same IS NOT TRUE THEN w.definition || ';' END,
             CASE WHEN w.enabled <> 'O' OR w.is_same
                  THEN format('ALTER TABLE workflow.%I ENABLE %sTRIGGER %I;', w.relation, CASE w.enabled WHEN 'A' THEN 'ALWAYS ' ELSE '' END, w.name) END)
    FROM compared AS w
    WHERE w.is_same IS NOT TRUE OR w.present <> w.enabled;
END
$$;
COMMENT ON FUNCTION workflow._wrong_triggers() IS
  'Inner: triggers of the extension that somebody has dropped, replaced or disabled, and how to mend that';

-- What keeps an enforcement from working.
CREATE FUNCTION workflow._enforcement_hint(held workflow.enforced) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  disabled text := (
    SELECT string_agg(format('ALTER TABLE %s ENABLE TRIGGER %I;', t.tgrelid::regclass, t.tgname), ' ' ORDER BY t.tgrelid::regclass::text, t.tgname)
    FROM pg_trigger AS t
    WHERE t.tgrelid IN (SELECT p.relid FROM pg_partition_tree(held.relation) AS p UNION SELECT held.relation)
      AND t.tgname LIKE '%workflow%' AND t.tgenabled NOT IN ('O', 'A') AND t.tgnargs = 4);
  heirs text := (
    SELECT string_agg(format('ALTER TABLE %s NO INHERIT %s;', i.inhrelid::regclass, held.relation), ' ' ORDER BY i.inhrelid::regclass::text)
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = held.relation AND NOT c.relispartition);
BEGIN
  RETURN coalesce(disabled || coalesce(' ' || heirs, ''), heirs, format('SELECT workflow.unenforce(%L, %L);  -- and enforce it anew: a column or the record of it is missing.',
                                   held.relation, held.state_column));
END
$$;
COMMENT ON FUNCTION workflow._enforcement_hint(workflow.enforced) IS
  'Inner: what makes an enforcement work that does not';

CREATE FUNCTION workflow._health_triggers()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'triggers', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'All are there and are fired.'
              ELSE workflow._in_a_row(array_agg(format('%s %s', t.name, t.problem) ORDER BY t.name)) END,
         string_agg(t.hint, ' ' ORDER BY t.name)
  FROM workflow._wrong_triggers() AS t
  UNION ALL
  SELECT 'enforcements', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'All work.'
              ELSE workflow._in_a_row(array_agg(format('%s is not held to workflow "%s"', concat(e.relation, '.' || e.state_column), e.workflow) ORDER BY e.enforcement_id)) END,
         string_agg(workflow._enforcement_hint(e), E'\n' ORDER BY e.enforcement_id)    -- one may end with a comment
  FROM workflow.enforced AS e WHERE NOT e.works
  UNION ALL
  SELECT 'definers', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'Each version with items has one.'
              ELSE workflow._in_a_row(array_agg(format('role "%s" of workflow "%s" version %s was dropped', d.definer, d.workflow, d.version) ORDER BY d.workflow, d.version)) END,
         string_agg(format('UPDATE workflow.definition SET definer = %L WHERE workflow = %L AND version = %s;', session_user, d.workflow, d.version), ' '
                    ORDER BY d.workflow, d.version) || '  -- or whose rights its activities shall have.'
  FROM workflow.definition AS d
  WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = d.definer_oid)
    AND EXISTS (SELECT FROM workflow.item AS i WHERE i.workflow = d.workflow AND i.version = d.version AND i.outcome IS NULL);
END
$$;
COMMENT ON FUNCTION workflow._health_triggers() IS 'Inner: the part of health() that looks at triggers and at the roles of definers';

-- ------------------------------------------------------------------ secrets

CREATE FUNCTION workflow._secret_problem(name text) RETURNS text
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_secret_problem';
COMMENT ON FUNCTION workflow._secret_problem(text) IS
  'Inner: why a secret cannot be read; null when it can; never its value';

-- The secrets that endpoints, their user mappings and sources name.
CREATE FUNCTION workflow._named_secrets() RETURNS TABLE (name text, whose text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT o.option_value, 'endpoint ' || s.srvname
    FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'workflow_http',
         pg_options_to_table(s.srvoptions) AS o
    WHERE o.option_name = 'key_secret'
    UNION
    SELECT o.option_value, format('endpoint %s for %s', s.srvname, CASE m.umuser WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(m.umuser) END)
    FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'workflow_http'
    JOIN pg_user_mappings AS m ON m.srvid = s.oid, pg_options_to_table(m.umoptions) AS o
    UNION
    SELECT c.secret, 'source ' || c.source FROM workflow.source AS c WHERE c.secret IS NOT NULL AND c.dropped_at IS NULL;
END
$$;
COMMENT ON FUNCTION workflow._named_secrets() IS 'Inner: secrets that are needed, and for what';

CREATE FUNCTION workflow._health_secrets()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  directory text := coalesce(current_setting('pg_workflow.secrets_dir', true), '');
BEGIN
  RETURN QUERY
  SELECT 'secrets', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'All that are named can be read.'
              ELSE workflow._in_a_row(array_agg(format('%s: %s', u.whose, u.problem) ORDER BY u.whose, u.name)) END,
         CASE WHEN count(*) = 0 THEN NULL
              WHEN directory = '' THEN 'ALTER SYSTEM SET pg_workflow.secrets_dir = ''/etc/postgresql/secrets''; SELECT pg_reload_conf();  -- the directory with a file for each.'
              ELSE format('-- put it into %s, readable for the account of the server; effects that wait for it go on by themselves.',
                          (array_agg(directory || '/' || u.name ORDER BY u.whose, u.name))[1]) END
  FROM (SELECT n.name, n.whose, workflow._secret_problem(n.name) AS problem FROM workflow._named_secrets() AS n) AS u
  WHERE u.problem IS NOT NULL;
END
$$;
COMMENT ON FUNCTION workflow._health_secrets() IS 'Inner: the part of health() that looks at secrets';

-- -------------------------------------------------------------------- alerts

-- Alerts that cannot be sent are in the server's log only: who waits for them would not know.
CREATE FUNCTION workflow._health_routes()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'alert_routes', count(*) = 0, 'error',
         CASE WHEN count(*) = 0 THEN 'Alerts can be sent where alert_to() says.'
              ELSE workflow._in_a_row(array_agg(format('alerts of %s are not sent: %s', u.owner, u.problem) ORDER BY u.owner)) END,
         CASE WHEN count(*) > 0 THEN string_agg(u.cure, ' ' ORDER BY u.owner)
           || CASE WHEN bool_or(u.is_lost) THEN '  -- or alert_to() with an endpoint that there is.'
                   WHEN bool_or(u.is_nobodys) THEN '  -- as a role with USAGE on the endpoint: alerts are sent with its rights.' ELSE '' END END
  FROM (SELECT r.owner, s.oid IS NULL AS is_lost, m.oid IS NULL AS is_nobodys,
               CASE WHEN s.oid IS NULL THEN format('endpoint "%s" does not exist', r.endpoint)
                    WHEN m.oid IS NULL THEN format('the role "%s" that called alert_to() is gone', r.created_by)
                    ELSE format('role "%s" has no USAGE on endpoint "%s"', m.rolname, r.endpoint) END AS problem,
               CASE WHEN s.oid IS NULL THEN format('SELECT workflow.alert_to(%L, NULL, NULL);', r.owner)
                    WHEN m.oid IS NULL THEN format('SELECT workflow.alert_to(%L, %L, %L);', r.owner, r.endpoint, r.path)
                    ELSE format('GRANT USAGE ON FOREIGN SERVER %I TO %I;', r.endpoint, m.rolname) END AS cure
        FROM workflow.alert_route AS r
        LEFT JOIN pg_foreign_server AS s ON s.srvname = r.endpoint
        LEFT JOIN pg_roles AS m ON m.oid = r.created_oid
        WHERE r.endpoint IS NOT NULL
          AND (s.oid IS NULL OR m.oid IS NULL OR NOT has_server_privilege(m.oid, s.oid, 'USAGE'))) AS u;
END
$$;
COMMENT ON FUNCTION workflow._health_routes() IS 'Inner: the part of health() that looks at where alerts are sent';

-- What is wrong is told by alerts, not here; that they are too many to be read is.
CREATE FUNCTION workflow._health_alerts()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'alerts', n.total < 100, 'warning',
         CASE WHEN n.total < 100 THEN 'They are few enough to be read.'
              ELSE format('%s open, %s of them of kind %s: something may be behind them all.',
                          CASE WHEN n.total < 10000 THEN n.total || ' alerts are' ELSE '10000 or more alerts are' END, n.of_most, n.most) END,
         CASE WHEN n.total >= 100 THEN
           'SELECT kind, owner, count(*), min(opened_at), min(hint) FROM workflow.alerts WHERE cleared_at IS NULL GROUP BY kind, owner ORDER BY min(opened_at);  -- what came first is the likeliest cause.' END
  FROM (SELECT coalesce(sum(k.n), 0) AS total, (array_agg(k.kind ORDER BY k.n DESC))[1] AS most, max(k.n) AS of_most
        FROM (SELECT a.kind, count(*) AS n FROM (SELECT o.kind FROM workflow.alert AS o WHERE o.cleared_at IS NULL LIMIT 10000) AS a GROUP BY a.kind) AS k) AS n;
END
$$;
COMMENT ON FUNCTION workflow._health_alerts() IS 'Inner: the part of health() that looks at how many alerts are open';

-- ------------------------------------------------------------------- storage

-- A run of the retention comes late by a 24th of it, at most a day; an hour more is late.  Effects of items under way
-- stay as long as these, so the first thousand that are old enough are looked at.
CREATE FUNCTION workflow._retention_lag() RETURNS TABLE (what text, since timestamptz, hint text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  effects bigint := extract(epoch FROM current_setting('pg_workflow.effect_retention')::interval);
  webhooks bigint := extract(epoch FROM current_setting('pg_workflow.webhook_retention')::interval);
  now timestamptz := clock_timestamp();
BEGIN
  RETURN QUERY
    SELECT 'effects', min(f.finished_at), format('SELECT workflow.purge_effects(%L);', make_interval(secs => effects))
    FROM (SELECT e.finished_at, e.item_id, e.effect_id FROM workflow.effect AS e
          WHERE e.finished_at IS NOT NULL AND e.purged_at IS NULL
            AND e.finished_at < now - make_interval(secs => effects * 25 / 24 + 3600)
          ORDER BY e.finished_at LIMIT 1000) AS f
    LEFT JOIN workflow.item AS i ON i.item_id = f.item_id
    WHERE effects >= 0 AND (f.item_id IS NULL OR i.outcome IS NOT NULL)
      AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = f.effect_id) HAVING count(*) > 0
    UNION ALL
    SELECT 'webhooks', min(x.received_at), 'SELECT workflow.start_workers();'
    FROM workflow.inbox AS x
    WHERE webhooks >= 0 AND x.purged_at IS NULL AND x.status IN ('fed', 'dismissed')
      AND x.received_at < now - make_interval(secs => webhooks * 25 / 24 + 3600) HAVING count(*) > 0
    UNION ALL
    SELECT 'dead letters of queue ' || q.queue, j.failed_at, 'SELECT workflow.start_workers();'
    FROM workflow.queue AS q, LATERAL (
      SELECT d.failed_at FROM workflow.job AS d
      WHERE d.queue = q.queue AND d.status = 'dead' AND d.item_id IS NULL
        AND d.failed_at < now - q.dead_letter_retention - least(q.dead_letter_retention / 24, interval '1 day') - interval '1 hour'
      ORDER BY d.failed_at LIMIT 1) AS j
    WHERE q.dead_letter_retention IS NOT NULL;
END
$$;
COMMENT ON FUNCTION workflow._retention_lag() IS
  'Inner: what the retention should have forgotten for more than an hour';

-- An id of 64 bits has 38 for its number on a node.
CREATE FUNCTION workflow._full_sequences() RETURNS TABLE (sequence text, part numeric) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT s.sequencename::text, round(s.last_value::numeric / least(s.max_value, 274877906944), 4)
    FROM pg_sequences AS s
    WHERE s.schemaname = 'workflow' AND s.last_value > least(s.max_value, 274877906944) / 2;
END
$$;
COMMENT ON FUNCTION workflow._full_sequences() IS
  'Inner: sequences that have given more than half of their numbers';

CREATE FUNCTION workflow._health_storage()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'retention', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'Nothing is kept for longer than was asked for.'
              ELSE workflow._in_a_row(array_agg(format('%s of %s are still kept', l.what, l.since) ORDER BY l.what)) END,
         (array_agg(l.hint ORDER BY l.what))[1] || CASE WHEN count(*) > 0 THEN '  -- the maintenance worker does it by itself.' END
  FROM workflow._retention_lag() AS l
  UNION ALL
  SELECT 'sequences', count(*) = 0, CASE WHEN max(f.part) > 0.9 THEN 'error' ELSE 'warning' END,
         CASE WHEN count(*) = 0 THEN 'Each has more than half of its numbers left.'
              ELSE workflow._in_a_row(array_agg(format('%s has given %s %% of its numbers', f.sequence, trim_scale(f.part * 100)) ORDER BY f.part DESC)) END,
         CASE WHEN count(*) > 0 THEN 'SELECT sequencename, last_value, max_value FROM pg_sequences WHERE schemaname = ''workflow'' ORDER BY last_value::numeric / max_value DESC NULLS LAST;  -- numbers do not come back.' END
  FROM workflow._full_sequences() AS f
  UNION ALL
  SELECT 'autovacuum', NOT v.is_off AND v.tables IS NULL, 'warning',
         CASE WHEN v.is_off THEN 'It is off in the whole server: dead rows stay, and plans go by old statistics.'
              WHEN v.tables IS NOT NULL THEN format('It is off for %s.', array_to_string(v.tables, ', '))
              ELSE 'It is on for all tables that need it.' END,
         CASE WHEN v.is_off THEN concat_ws(E'\n', CASE WHEN NOT v.counts THEN workflow._setting_hint('track_counts', 'on') END,
                                           CASE WHEN NOT v.runs THEN workflow._setting_hint('autovacuum', 'on') END)
              ELSE (SELECT string_agg(format('ALTER TABLE workflow.%I RESET (autovacuum_enabled);', t.name), ' ') FROM unnest(v.tables) AS t (name)) END
  FROM (SELECT NOT (current_setting('autovacuum')::bool AND current_setting('track_counts')::bool),
               current_setting('autovacuum')::bool, current_setting('track_counts')::bool,
               (SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_class AS c, pg_options_to_table(c.reloptions) AS o
                WHERE c.relnamespace = 'workflow'::regnamespace AND c.relname !~ '^segment_[0-9]+$'
                  AND o.option_name = 'autovacuum_enabled' AND o.option_value::bool = false)) AS v (is_off, runs, counts, tables);
END
$$;
COMMENT ON FUNCTION workflow._health_storage() IS 'Inner: the part of health() that looks at what is kept and cleaned';

-- ------------------------------------------------------------------ settings

-- A time as settings are written: milliseconds unless it says what; null: written as nobody does, in hexadecimal digits.
CREATE FUNCTION workflow._setting_interval(value text) RETURNS interval LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN value ~ '^\s*\d+(\.\d*)?\s*$' THEN (btrim(value) || 'ms')::interval
              WHEN value ~ '^\s*\d+(\.\d*)?\s*(us|ms|s|min|h|d)\s*$' THEN value::interval END
$$;
COMMENT ON FUNCTION workflow._setting_interval(text) IS 'Inner: what a setting that is a time says';

-- Limits of less than a minute that calls of pg_workflow run under: of the caller, of who owns the extension, of definers.
CREATE FUNCTION workflow._short_timeouts(caller text) RETURNS TABLE (words text, hint text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT format('%s = %s %s', c.name, c.value, concat_ws(' ', 'for role ' || r.rolname, 'in database ' || d.datname)),
           CASE WHEN s.setrole = 0 THEN format('ALTER DATABASE %I RESET %s;', d.datname, c.name)
                WHEN s.setdatabase = 0 THEN format('ALTER ROLE %I RESET %s;', r.rolname, c.name)
                ELSE format('ALTER ROLE %I IN DATABASE %I RESET %s;', r.rolname, d.datname, c.name) END
    FROM pg_db_role_setting AS s
    LEFT JOIN pg_roles AS r ON r.oid = s.setrole LEFT JOIN pg_database AS d ON d.oid = s.setdatabase,
    LATERAL (SELECT split_part(x.pair, '=', 1) AS name, split_part(x.pair, '=', 2) AS value FROM unnest(s.setconfig) AS x (pair)) AS c
    WHERE s.setdatabase IN (0, (SELECT o.oid FROM pg_database AS o WHERE o.datname = current_database()))
      AND (s.setrole = 0 OR r.rolname IN (caller, current_user)
           OR s.setrole IN (SELECT f.definer_oid FROM workflow.workflow AS w JOIN workflow.definition AS f ON f.workflow = w.workflow AND f.version = w.active_version))
      AND c.name IN ('statement_timeout', 'transaction_timeout')
      AND workflow._setting_interval(c.value) BETWEEN interval '1 microsecond' AND interval '59999 ms'
    UNION ALL
    SELECT format('%s = %s ms in the configuration', s.name, s.reset_val), format('ALTER SYSTEM SET %s = 0; SELECT pg_reload_conf();', s.name)
    FROM pg_settings AS s
    WHERE s.name IN ('statement_timeout', 'transaction_timeout') AND s.source IN ('configuration file', 'command line')
      AND s.reset_val::bigint BETWEEN 1 AND 59999;
END
$$;
COMMENT ON FUNCTION workflow._short_timeouts(text) IS
  'Inner: settings that end the long calls of pg_workflow within a minute, and how they are taken back';

CREATE FUNCTION workflow._health_settings(caller text)
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'track_activities', t.is_on, 'warning',
         CASE WHEN t.is_on THEN 'It is on.' ELSE 'It is off: nobody can see what a session does that holds an item, or since when.' END,
         CASE WHEN NOT t.is_on THEN workflow._setting_hint('track_activities', 'on') END
  FROM (SELECT current_setting('track_activities')::bool) AS t (is_on)
  UNION ALL
  SELECT 'timeouts', count(*) = 0, 'warning',
         CASE WHEN count(*) = 0 THEN 'None ends the calls of pg_workflow within a minute.'
              ELSE workflow._in_a_row(array_agg(t.words ORDER BY t.words)) || ' Workers do not mind; run(), verify() and a claim that waits end there.' END,
         string_agg(t.hint, ' ' ORDER BY t.words)
  FROM workflow._short_timeouts(caller) AS t;
END
$$;
COMMENT ON FUNCTION workflow._health_settings(text) IS 'Inner: the part of health() that looks at settings';

-- -------------------------------------------------------------------- health

CREATE FUNCTION workflow._health(caller text)
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT h."check", h.ok, CASE WHEN h.ok THEN 'ok' ELSE h.severity END, h.detail, h.hint
  FROM (SELECT * FROM workflow._health_workers()
        UNION ALL SELECT * FROM workflow._health_jobs()
        UNION ALL SELECT * FROM workflow._health_effects()
        UNION ALL SELECT * FROM workflow._health_flow()
        UNION ALL SELECT * FROM workflow._health_declared()
        UNION ALL SELECT * FROM workflow._health_triggers()
        UNION ALL SELECT * FROM workflow._health_secrets()
        UNION ALL SELECT * FROM workflow._health_alerts()
        UNION ALL SELECT * FROM workflow._health_routes()
        UNION ALL SELECT * FROM workflow._health_transactions()
        UNION ALL SELECT * FROM workflow._health_storage()
        UNION ALL SELECT * FROM workflow._health_counts()
        UNION ALL SELECT * FROM workflow._health_settings(caller)) AS h;
END
$$;
COMMENT ON FUNCTION workflow._health(text) IS 'Inner: health()';

CREATE FUNCTION workflow.health()
RETURNS TABLE ("check" text, ok bool, severity text, detail text, hint text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.health() IS
  'Whether everything is wired up: one row for each check, with what to do where it is not';
