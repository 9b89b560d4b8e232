--
-- redrive: dead letters by the hundred, taken up again or given up at a rate.
--
-- A call stores what its filter matches; workers, or run(), work that off, some at
-- a time, each step a transaction with its progress: a crash repeats none and
-- leaves none out.  Each one is judged anew when its turn comes.
--

-- -------------------------------------------------------------------- filter

-- What a filter may name, and what that is.
CREATE FUNCTION workflow._filter_columns() RETURNS TABLE (name text, expression text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT f.* FROM (VALUES
    ('class', 'd.error_class'), ('error_class', 'd.error_class'), ('queue', 'd.queue'), ('from_queue', 'd.from_queue'),
    ('kind', 'd.kind'), ('job_id', 'd.job_id'), ('key', 'd.key'), ('owner', 'd.owner'), ('failed_at', 'd.failed_at'),
    ('from', 'd.failed_at'), ('to', 'd.failed_at')) AS f (name, expression)
  UNION ALL
  SELECT a.attname, format('i.%I', a.attname) FROM pg_attribute AS a
  WHERE a.attrelid = 'workflow.items'::regclass AND a.attnum > 0 AND a.attname NOT IN ('key', 'owner')
$$;
COMMENT ON FUNCTION workflow._filter_columns() IS
  'Inner: the keys of a redrive''s filter and what each means of a dead letter (d) and its item (i)';

-- A condition, as SQL: a value, an array of alternatives, null, {"from", "to"}; of jsonb a jsonpath or what it contains.
CREATE FUNCTION workflow._filter_condition(name text, expression text, value jsonb) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN name = 'from' THEN format('%s >= %L', expression, value #>> '{}')
    WHEN name = 'to' THEN format('%s < %L', expression, value #>> '{}')
    WHEN name IN ('data', 'input', 'labels') AND jsonb_typeof(value) = 'string' THEN format('%s @@ %L::jsonpath', expression, value #>> '{}')
    WHEN name IN ('data', 'input', 'labels') THEN format('%s @> %L', expression, value)
    WHEN jsonb_typeof(value) = 'null' THEN format('%s IS NULL', expression)
    WHEN jsonb_typeof(value) = 'array' THEN format('%s = ANY (%L)', expression, ARRAY(SELECT jsonb_array_elements_text(value)))
    WHEN jsonb_typeof(value) = 'object'
      THEN format('(%1$s >= %2$L OR %2$L IS NULL) AND (%1$s < %3$L OR %3$L IS NULL)', expression, value ->> 'from', value ->> 'to')
    ELSE format('%s = %L', expression, value #>> '{}') END
$$;
COMMENT ON FUNCTION workflow._filter_condition(text, text, jsonb) IS 'Inner: a condition of a filter as SQL';

CREATE FUNCTION workflow._require_condition(name text, expression text, value jsonb) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF name NOT IN ('data', 'input', 'labels') AND jsonb_typeof(value) = 'object' AND value - '{from,to}'::text[] <> '{}' THEN
    RAISE data_exception USING MESSAGE = 'an object may say "from" and "to" only';
  END IF;
  EXECUTE 'SELECT FROM workflow._dead_letter AS d LEFT JOIN workflow.items AS i ON i.item_id = d.item_id WHERE '
          || workflow._filter_condition(name, expression, value) || ' LIMIT 0';
EXCEPTION WHEN data_exception OR syntax_error_or_access_rule_violation THEN
  RAISE EXCEPTION 'the filter cannot compare "%" with %', name, value
    USING ERRCODE = 'invalid_parameter_value',
          DETAIL = SQLERRM || '.',
          HINT = 'Give a value, an array of alternatives, null, or {"from": ..., "to": ...}; of data, input and labels what they contain, or a jsonpath predicate.';
END
$$;
COMMENT ON FUNCTION workflow._require_condition(text, text, jsonb) IS 'Inner: refuses a condition of a filter that cannot be evaluated';

-- The names that a filter gives: one, or one of several.
CREATE FUNCTION workflow._filter_words(value jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e #>> '{}' FROM jsonb_path_query(value, '$[*]') AS e WHERE jsonb_typeof(e) = 'string'
$$;
COMMENT ON FUNCTION workflow._filter_words(jsonb) IS 'Inner: the names that a filter gives for a key';

-- The states or events of all versions of the workflows that a filter names; of all workflows where it names none, or a range of them.
CREATE FUNCTION workflow._filter_names(filter jsonb, what text) RETURNS text[] LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT ARRAY(
    SELECT DISTINCT n.name COLLATE "C" FROM workflow.definition AS d, LATERAL (
      SELECT s.state FROM workflow._graph_states(d.workflow, d.version) AS s WHERE what = 'state'
      UNION ALL
      SELECT t.event FROM workflow._graph_transitions(d.workflow, d.version) AS t WHERE what = 'event') AS n (name)
    WHERE coalesce(jsonb_typeof(filter -> 'workflow'), 'object') = 'object'
       OR d.workflow IN (SELECT w FROM workflow._filter_words(filter -> 'workflow') AS w) ORDER BY 1)
$$;
COMMENT ON FUNCTION workflow._filter_names(jsonb, text) IS 'Inner: the states, or events, of the workflows that a filter names';

-- An item in an exception state has what led there as its class: an event, or what came with it.
CREATE FUNCTION workflow._require_class(filter jsonb, class text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  classes text[] := workflow._error_classes();
  events text[];
BEGIN
  IF class = ANY (classes) OR EXISTS (SELECT FROM workflow._dead_letter AS d WHERE d.error_class = class) THEN
    RETURN;
  END IF;
  events := workflow._filter_names(filter, 'event');
  IF class <> ALL (events) THEN
    RAISE EXCEPTION 'nothing fails with class "%"', class
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('The classes are %s; of an item in an exception state, the event that led there.', array_to_string(classes, ', ')),
            HINT = coalesce((SELECT initcap(left(h, 1)) || substr(h, 2) || ' ' FROM workflow._did_you_mean(class, classes || events) AS h), '')
                   || 'SELECT error_class, count(*) FROM workflow.dead_letters GROUP BY 1; shows those there are.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_class(jsonb, text) IS 'Inner: refuses a class of a filter that nothing can have failed with';

-- A name that nothing has would match nothing, and look as if there were nothing to do.
CREATE FUNCTION workflow._require_names(filter jsonb) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  named record;
  states text[];
BEGIN
  FOR named IN SELECT f.key, w AS word FROM jsonb_each(filter) AS f, workflow._filter_words(f.value) AS w ORDER BY f.key = 'state', f.key LOOP
    IF named.key IN ('queue', 'from_queue') THEN
      PERFORM workflow._require_queue(named.word);
    ELSIF named.key IN ('class', 'error_class') THEN
      PERFORM workflow._require_class(filter, named.word);
    ELSIF named.key = 'workflow' AND NOT EXISTS (SELECT FROM workflow.workflow AS w WHERE w.workflow = named.word) THEN
      RAISE EXCEPTION 'workflow "%" does not exist', named.word
        USING ERRCODE = 'WF012',
              DETAIL = 'No version of it was ever defined.',
              HINT = workflow._nearest('workflow', named.word) || 'SELECT DISTINCT workflow FROM workflow.versions shows which there are.';
    ELSIF named.key = 'state' THEN
      states := coalesce(states, workflow._filter_names(filter, 'state'));
      IF named.word <> ALL (states) THEN
        RAISE EXCEPTION 'there is no state "%"', named.word
          USING ERRCODE = 'invalid_parameter_value',
                DETAIL = format('No version of %s has one.',
                                coalesce((SELECT string_agg(DISTINCT w, ', ') FROM workflow._filter_words(filter -> 'workflow') AS w), 'any workflow')),
                HINT = workflow._name_hint(named.word, states);
      END IF;
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._require_names(jsonb) IS 'Inner: refuses a filter that names a workflow, queue, state or class that there is not';

CREATE FUNCTION workflow._require_filter(filter jsonb) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  names text[] := ARRAY(SELECT c.name FROM workflow._filter_columns() AS c ORDER BY c.name);
  unknown text;
BEGIN
  IF jsonb_typeof(filter) IS DISTINCT FROM 'object' THEN
    RAISE EXCEPTION 'a filter is a JSON object'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is %s.', coalesce('of type ' || jsonb_typeof(filter), 'null')),
            HINT = 'Write {"workflow": "...", "class": "timeout", "from": "2026-01-01 10:00"}.';
  END IF;
  SELECT k INTO unknown FROM jsonb_object_keys(filter) AS k WHERE k <> ALL (names) ORDER BY k LIMIT 1;
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION 'a filter has no key "%"', unknown
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It names the class, queue and time of failures, and columns of workflow.items.',
            HINT = workflow._name_hint(unknown, names);
  END IF;
  PERFORM workflow._require_condition(c.name, c.expression, f.value)
  FROM jsonb_each(filter) AS f JOIN workflow._filter_columns() AS c ON c.name = f.key;
  PERFORM workflow._require_names(filter);
END
$$;
COMMENT ON FUNCTION workflow._require_filter(jsonb) IS 'Inner: refuses a filter that names what is not known, or says nothing of it';

-- The dead letters that a filter matches, the oldest first, as SQL with the limit as $2; those that wait in a batch are not
-- among them.
CREATE FUNCTION workflow._filter_query(filter jsonb) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'SELECT d.item_id, d.seq, d.job_id, d.workflow, d.key, d.state, d.queue, d.kind, d.error_class, d.failed_at, d.effect_id '
      || 'FROM workflow._dead_letter AS d LEFT JOIN workflow.items AS i ON i.item_id = d.item_id '
      || 'WHERE NOT EXISTS (SELECT FROM workflow.redrive_item AS r WHERE r.item_id = d.item_id AND r.status = ''waiting'') '
      || 'AND NOT EXISTS (SELECT FROM workflow.redrive_item AS r WHERE r.job_id = d.job_id AND r.status = ''waiting'')'
      || coalesce((SELECT string_agg(' AND ' || workflow._filter_condition(f.key, c.expression, f.value), '' ORDER BY f.key)
                   FROM jsonb_each(filter) AS f JOIN workflow._filter_columns() AS c ON c.name = f.key), '')
      || ' ORDER BY d.failed_at, d.item_id, d.job_id LIMIT $2'
$$;
COMMENT ON FUNCTION workflow._filter_query(jsonb) IS 'Inner: the dead letters that a filter matches, as SQL';

-- ---------------------------------------------------------------------- plan

-- What taking up a dead letter would do with its effects, as far as there are any.
CREATE FUNCTION workflow._redrive_effects(
  item bigint, effect bigint, job_kind text, OUT sent int, OUT looked_up int, OUT held int, OUT done int) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT count(*) FILTER (WHERE a.verdict = 'would be sent')::int + (job_kind IN ('http', 'model') AND effect IS NULL)::int,
         count(*) FILTER (WHERE a.verdict = 'would be looked up')::int,
         count(*) FILTER (WHERE a.verdict = 'would be held')::int, count(*) FILTER (WHERE a.verdict = 'already done')::int
  FROM workflow.effect AS e
  JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id
  LEFT JOIN pg_foreign_server AS s ON s.oid = p.server_oid,
  LATERAL workflow._endpoint_facts(coalesce(s.srvname::text, p.endpoint)) AS f,
  LATERAL workflow._if_effect_again(e, f.dedup, f.key_ttl, f.on_unknown) AS a
  WHERE e.effect_id IN (SELECT effect UNION SELECT o.effect_id FROM workflow.effect AS o
                        WHERE o.item_id = item AND o.kind IN ('http', 'model'))
$$;
COMMENT ON FUNCTION workflow._redrive_effects(bigint, bigint, text) IS
  'Inner: what taking up a dead letter would do with its effects';

-- Stores the dead letters that a filter matches in a batch ($1; null: a dry run stores none), and says what they are.
CREATE FUNCTION workflow._redrive_sql(filter jsonb) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'WITH letter AS MATERIALIZED (' || workflow._filter_query(filter) || '), stored AS ('
      || 'INSERT INTO workflow.redrive_item (redrive_id, place, item_id, seq, job_id, failed_at) '
      || 'SELECT $1, row_number() OVER (), l.item_id, l.seq, CASE WHEN l.item_id IS NULL THEN l.job_id END, l.failed_at '
      || 'FROM letter AS l WHERE $1 IS NOT NULL) '
      || 'SELECT $1, l.workflow, l.state, l.queue, l.kind, l.error_class, count(*), sum(e.sent), sum(e.looked_up), sum(e.held), sum(e.done), '
      || 'min(l.failed_at), (array_agg(coalesce(l.workflow || '':'' || l.key, ''job '' || l.job_id) ORDER BY l.failed_at, l.item_id, l.job_id))[:3] '
      || 'FROM letter AS l LEFT JOIN LATERAL workflow._redrive_effects(l.item_id, l.effect_id, l.kind) AS e ON $3 '
      || 'GROUP BY l.workflow, l.state, l.queue, l.kind, l.error_class ORDER BY count(*) DESC, 2, 3, 4, 5, 6'
$$;
COMMENT ON FUNCTION workflow._redrive_sql(jsonb) IS 'Inner: stores what a filter matches, and says what it is, as SQL';

CREATE FUNCTION workflow._require_redrive(filter jsonb, max_items int, per_second numeric, is_dry boolean, reason text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._require_filter(filter);
  IF max_items <= 0 OR per_second <= 0 THEN
    RAISE EXCEPTION 'max_items and per_second have to be positive'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('They are %s and %s.', coalesce(max_items::text, 'null'), coalesce(per_second::text, 'null')),
            HINT = 'Leave them out for all that match, as fast as they can be taken up.';
  ELSIF per_second NOT BETWEEN 0.001 AND 1000000 THEN
    RAISE EXCEPTION 'per_second has to be between 0.001 and 1000000'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is %s.', per_second),
            HINT = 'Leave it out to take them up as fast as that can be done.';
  ELSIF NOT is_dry AND filter = '{}' THEN
    RAISE EXCEPTION 'the filter names nothing'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It matches every dead letter of every workflow and queue.',
            HINT = 'Name a workflow or a queue at least; dry_run => true shows which there are.';
  END IF;
  IF NOT is_dry THEN
    PERFORM workflow._require_reason(reason);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_redrive(jsonb, int, numeric, boolean, text) IS 'Inner: refuses a batch that cannot be meant';

CREATE FUNCTION workflow._mention_nobody() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM workflow.list_workers() AS w WHERE w.kind = 'maintenance' AND w.state IN ('running', 'resting', 'lacking')) THEN
    RAISE NOTICE 'no pg_workflow worker is running in this database'
      USING DETAIL = 'The batch is stored; a worker works it off.',
            HINT = 'Start them: SELECT workflow.start_workers(); or do their work: CALL workflow.run(''10 seconds'');';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._mention_nobody() IS 'Inner: says how a batch is worked off where no worker does';

CREATE FUNCTION workflow._begin_redrive(
  caller text, action text, filter jsonb, max_items int, per_second numeric, dry_run boolean, reason text)
RETURNS TABLE (redrive_id bigint, workflow text, state text, queue text, kind text, class text, matched bigint,
               would_send bigint, would_look_up bigint, would_hold bigint, already_done bigint, oldest_at timestamptz, examples text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  is_dry boolean := coalesce(dry_run, true);
  batch bigint;
BEGIN
  PERFORM workflow._require_redrive(filter, max_items, per_second, is_dry, reason);
  IF NOT is_dry THEN
    INSERT INTO workflow.redrive (action, filter, per_second, reason, started_by, started_at, matched, next_at)
    VALUES (_begin_redrive.action, _begin_redrive.filter, _begin_redrive.per_second, _begin_redrive.reason, caller,
            workflow._now(), 0, workflow._now())
    RETURNING redrive.redrive_id INTO batch;
  END IF;
  RETURN QUERY EXECUTE workflow._redrive_sql(filter) USING batch, max_items, action = 'replay';
  IF batch IS NOT NULL THEN
    UPDATE workflow.redrive AS r
    SET matched = n.n, ended_at = CASE WHEN n.n = 0 THEN workflow._now() END
    FROM (SELECT count(*) AS n FROM workflow.redrive_item AS i WHERE i.redrive_id = batch) AS n
    WHERE r.redrive_id = batch;
    PERFORM workflow._wake('maintenance');
    PERFORM workflow._mention_nobody();
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._begin_redrive(text, text, jsonb, int, numeric, boolean, text) IS
  'Inner: makes a batch of the dead letters that a filter matches, or says what it would be';

CREATE FUNCTION workflow._redrive(caller text, filter jsonb, max_items int, per_second numeric, dry_run boolean, reason text)
RETURNS TABLE (redrive_id bigint, workflow text, state text, queue text, kind text, class text, matched bigint,
               would_send bigint, would_look_up bigint, would_hold bigint, already_done bigint, oldest_at timestamptz, examples text[])
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT * FROM workflow._begin_redrive(caller, 'replay', filter, max_items, per_second, dry_run, reason)
$$;
COMMENT ON FUNCTION workflow._redrive(text, jsonb, int, numeric, boolean, text) IS 'Inner: workflow.redrive()';

CREATE FUNCTION workflow.redrive(
  filter jsonb, max_items int DEFAULT NULL, per_second numeric DEFAULT NULL, dry_run boolean DEFAULT true, reason text DEFAULT NULL)
RETURNS TABLE (redrive_id bigint, workflow text, state text, queue text, kind text, class text, matched bigint,
               would_send bigint, would_look_up bigint, would_hold bigint, already_done bigint, oldest_at timestamptz, examples text[])
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.redrive(jsonb, int, numeric, boolean, text) IS
  'Takes up the dead letters that a filter matches, at a rate, or, in a dry run, says which they are and what would be sent';

CREATE FUNCTION workflow._give_up_many(caller text, filter jsonb, max_items int, per_second numeric, dry_run boolean, reason text)
RETURNS TABLE (redrive_id bigint, workflow text, state text, queue text, kind text, class text, matched bigint,
               would_send bigint, would_look_up bigint, would_hold bigint, already_done bigint, oldest_at timestamptz, examples text[])
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT * FROM workflow._begin_redrive(caller, 'give_up', filter, max_items, per_second, dry_run, reason)
$$;
COMMENT ON FUNCTION workflow._give_up_many(text, jsonb, int, numeric, boolean, text) IS 'Inner: workflow.give_up_many()';

CREATE FUNCTION workflow.give_up_many(
  filter jsonb, max_items int DEFAULT NULL, per_second numeric DEFAULT NULL, dry_run boolean DEFAULT true, reason text DEFAULT NULL)
RETURNS TABLE (redrive_id bigint, workflow text, state text, queue text, kind text, class text, matched bigint,
               would_send bigint, would_look_up bigint, would_hold bigint, already_done bigint, oldest_at timestamptz, examples text[])
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.give_up_many(jsonb, int, numeric, boolean, text) IS
  'Gives up the dead letters that a filter matches: the event give_up on items, and the end of jobs that stand alone';

-- ---------------------------------------------------------------------- work

-- What has become of a dead letter since the batch was made; null: nothing.  Its item and job are locked.  As
-- workflow._dead_letter says, but at the price of two rows.
CREATE FUNCTION workflow._redrive_obstacle(entry workflow.redrive_item) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  it workflow.item;
  failed timestamptz;
BEGIN
  IF entry.item_id IS NULL THEN
    SELECT j.failed_at INTO failed FROM workflow.job AS j WHERE j.job_id = entry.job_id AND j.status = 'dead';
  ELSE
    SELECT i.* INTO it FROM workflow.item AS i WHERE i.item_id = entry.item_id;
    IF it.seq <> entry.seq THEN
      RETURN format('it has moved on: it is in state "%s"', it.state);
    END IF;
    SELECT coalesce(j.failed_at, j.created_at) INTO failed FROM workflow.job AS j
    WHERE j.item_id = entry.item_id AND j.seq = entry.seq AND (j.status = 'dead' OR j.kind = 'exception' AND j.status = 'waiting');
    IF NOT FOUND THEN
      SELECT s.failed_at INTO failed FROM workflow.spawn AS s WHERE s.item_id = entry.item_id AND s.seq = entry.seq;
    END IF;
  END IF;
  RETURN CASE WHEN failed IS NULL THEN 'it is no dead letter any more'
              WHEN failed <> entry.failed_at THEN 'it was taken up meanwhile, and has failed again' END;
END
$$;
COMMENT ON FUNCTION workflow._redrive_obstacle(workflow.redrive_item) IS
  'Inner: what has become of a dead letter since its batch was made; null when nothing has';

CREATE FUNCTION workflow._hold_job(job_id bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM FROM workflow.job AS j WHERE j.job_id = _hold_job.job_id FOR UPDATE SKIP LOCKED;
  RETURN FOUND OR NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.job_id = _hold_job.job_id);
END
$$;
COMMENT ON FUNCTION workflow._hold_job(bigint) IS
  'Inner: locks a job, waiting for nobody; false when somebody holds it';

-- Takes up one of a batch, or says why not: status null where somebody holds it.  All of it or nothing.
CREATE FUNCTION workflow._redrive_one(batch workflow.redrive, entry workflow.redrive_item, OUT status text, OUT why text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  detail jsonb := jsonb_build_object('redrive', batch.redrive_id);
BEGIN
  IF NOT (CASE WHEN entry.item_id IS NULL THEN workflow._hold_job(entry.job_id) ELSE workflow._hold_visit(entry.item_id) END) THEN
    why := 'somebody is working on it';
    RETURN;
  END IF;
  why := workflow._redrive_obstacle(entry);
  IF why IS NOT NULL THEN
    status := 'skipped';
    RETURN;
  END IF;
  CASE
    WHEN batch.action = 'replay' AND entry.item_id IS NULL THEN
      PERFORM workflow._replay_alone(batch.started_by, entry.job_id, batch.reason, detail);
    WHEN batch.action = 'replay' THEN
      PERFORM workflow._replay_item(batch.started_by, entry.item_id, batch.reason, NULL, detail);
    WHEN entry.item_id IS NULL THEN
      PERFORM workflow._cancel_alone(batch.started_by, entry.job_id, batch.reason);
    ELSE
      PERFORM workflow._move(entry.item_id, 'give_up', 'send', batch.started_by, batch.reason, detail, NULL);
  END CASE;
  PERFORM workflow._fire_deferred();    -- what they refuse is the fault of this one alone
  status := 'done';
EXCEPTION
  WHEN lock_not_available OR transaction_rollback OR insufficient_resources OR SQLSTATE 'WF008' OR SQLSTATE 'WF009' THEN
    status := NULL;
    why := SQLERRM;
  WHEN others THEN
    status := 'skipped';
    why := SQLERRM;
END
$$;
COMMENT ON FUNCTION workflow._redrive_one(workflow.redrive, workflow.redrive_item) IS
  'Inner: takes up one dead letter of a batch, or says why it is skipped; status null: later';

-- The time of the next one: at the rate on the average, with jitter; what was missed is not made up for in a burst.
CREATE FUNCTION workflow._redrive_next(next_at timestamptz, per_second numeric) RETURNS timestamptz LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN per_second IS NULL THEN next_at
    ELSE greatest(next_at, workflow._now() - interval '1 second') + (0.5 + random()) / per_second::float8 * interval '1 second' END
$$;
COMMENT ON FUNCTION workflow._redrive_next(timestamptz, numeric) IS 'Inner: when the next dead letter of a batch is due';

-- Notes what became of one.  What is in the way now (status null) is in the way for good after an hour; until then it is tried
-- again in as long as it has been so far, between a second and a minute.  Returns the status.
CREATE FUNCTION workflow._settle_redrive(entry workflow.redrive_item, status text, why text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  now timestamptz := workflow._now();
  so_far interval := now - coalesce(entry.first_tried_at, now);
BEGIN
  IF status IS NULL AND so_far >= interval '1 hour' THEN
    status := 'skipped';
    why := 'given up after an hour: ' || why;
  END IF;
  UPDATE workflow.redrive_item AS i
  SET status = coalesce(status, 'waiting'), why = why, tried_at = now, first_tried_at = coalesce(i.first_tried_at, now),
      held_until = now + least(greatest(so_far, interval '1 second'), interval '1 minute')
  WHERE i.redrive_id = entry.redrive_id AND i.place = entry.place;
  RETURN status;
END
$$;
COMMENT ON FUNCTION workflow._settle_redrive(workflow.redrive_item, text, text) IS
  'Inner: notes what became of a dead letter of a batch, or when it is tried again; returns its status, null: it waits';

-- The next few of one batch, whose row is locked, those of the next twentieth of a second among them, so that a high
-- rate needs no more steps.  Returns how many were tried.
CREATE FUNCTION workflow._work_redrive(batch workflow.redrive, most int) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  entry workflow.redrive_item;
  result record;
  status text;
  n int := 0;
BEGIN
  FOR entry IN
    SELECT * FROM workflow.redrive_item AS i
    WHERE i.redrive_id = batch.redrive_id AND i.status = 'waiting' AND i.held_until <= workflow._now()
    ORDER BY i.held_until, i.place LIMIT most
  LOOP
    EXIT WHEN batch.next_at > workflow._now() + interval '50 milliseconds';
    SELECT * INTO result FROM workflow._redrive_one(batch, entry);
    status := workflow._settle_redrive(entry, result.status, result.why);
    n := n + 1;
    batch.done := batch.done + coalesce(status = 'done', false)::int;
    batch.skipped := batch.skipped + coalesce(status = 'skipped', false)::int;
    IF status = 'done' THEN
      batch.next_at := workflow._redrive_next(batch.next_at, batch.per_second);
    END IF;
  END LOOP;
  UPDATE workflow.redrive AS r
  SET done = batch.done, skipped = batch.skipped,
      next_at = greatest(CASE WHEN batch.per_second IS NULL THEN workflow._now() ELSE batch.next_at END,    -- the others have their turn
                         (SELECT min(i.held_until) FROM workflow.redrive_item AS i WHERE i.redrive_id = batch.redrive_id AND i.status = 'waiting')),
      ended_at = CASE WHEN batch.done + batch.skipped >= batch.matched THEN workflow._now() END
  WHERE r.redrive_id = batch.redrive_id;
  RETURN n;
END
$$;
COMMENT ON FUNCTION workflow._work_redrive(workflow.redrive, int) IS
  'Inner: takes up the next dead letters of a batch, as many as are due; returns how many were tried';

CREATE FUNCTION workflow._redrive_some(most int, only_own boolean) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  batch workflow.redrive;
BEGIN
  SELECT r.* INTO batch FROM workflow.redrive AS r
  WHERE r.ended_at IS NULL AND r.next_at <= workflow._now() AND (NOT only_own OR workflow._is_own(r.xmin))
  ORDER BY r.next_at LIMIT 1 FOR UPDATE SKIP LOCKED;
  RETURN CASE WHEN batch.redrive_id IS NULL THEN 0 ELSE workflow._work_redrive(batch, most) END;
END
$$;
COMMENT ON FUNCTION workflow._redrive_some(int, boolean) IS
  'Inner: works off some of the batch that is due first; returns how many were tried';

CREATE FUNCTION workflow._next_redrive() RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT min(r.next_at) FROM workflow.redrive AS r WHERE r.ended_at IS NULL
$$;
COMMENT ON FUNCTION workflow._next_redrive() IS 'Inner: when the next dead letter of a batch is due; null when there is none';

-- -------------------------------------------------------------------- cancel

CREATE FUNCTION workflow._cancel_redrive(caller text, redrive_id bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  batch workflow.redrive;
  ncancelled int;
BEGIN
  PERFORM workflow._require_reason(reason);
  SELECT r.* INTO batch FROM workflow.redrive AS r WHERE r.redrive_id = _cancel_redrive.redrive_id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'redrive % does not exist', redrive_id
      USING ERRCODE = 'WF012',
            DETAIL = 'workflow.redrive() returns the id of a batch unless it is a dry run.',
            HINT = 'SELECT * FROM workflow.redrives shows the batches.';
  ELSIF batch.ended_at IS NOT NULL THEN
    RAISE EXCEPTION 'redrive % has ended', redrive_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('It ended at %s, with %s taken up and %s skipped.', batch.ended_at, batch.done, batch.skipped),
            HINT = 'SELECT * FROM workflow.redrives shows the batches.';
  END IF;
  UPDATE workflow.redrive_item AS i SET status = 'skipped', why = 'cancelled', tried_at = workflow._now()
  WHERE i.redrive_id = batch.redrive_id AND i.status = 'waiting';
  GET DIAGNOSTICS ncancelled = ROW_COUNT;
  UPDATE workflow.redrive AS r
  SET skipped = r.skipped + ncancelled, ended_at = workflow._now(), ended_by = caller, end_reason = reason
  WHERE r.redrive_id = batch.redrive_id;
END
$$;
COMMENT ON FUNCTION workflow._cancel_redrive(text, bigint, text) IS 'Inner: workflow.cancel_redrive()';

CREATE FUNCTION workflow.cancel_redrive(redrive_id bigint, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.cancel_redrive(bigint, text) IS
  'Ends a batch: what it has taken up goes on, what still waits for its turn stays as it is';

-- --------------------------------------------------------------------- views

CREATE VIEW workflow.redrives AS
SELECT r.redrive_id, r.action,
       CASE WHEN r.ended_at IS NULL THEN 'running' WHEN r.ended_by IS NULL THEN 'done' ELSE 'cancelled' END AS status,
       r.matched, r.done, r.skipped, r.matched - r.done - r.skipped AS remaining,
       (SELECT pg_catalog.jsonb_object_agg(w.why, w.n) FROM (
          SELECT i.why, pg_catalog.count(*) AS n FROM workflow.redrive_item AS i
          WHERE r.skipped > 0 AND i.redrive_id = r.redrive_id AND i.status = 'skipped'
          GROUP BY i.why ORDER BY 2 DESC, 1 LIMIT 20) AS w) AS skipped_why,
       r.per_second,
       CASE WHEN r.ended_at IS NULL THEN r.next_at END AS next_at,
       CASE WHEN r.ended_at IS NOT NULL THEN NULL
            WHEN r.per_second IS NOT NULL
              THEN r.next_at + (r.matched - r.done - r.skipped - 1)::float8 / r.per_second::float8 * interval '1 second'
            WHEN r.done + r.skipped > 0
              THEN pg_catalog.clock_timestamp() + (pg_catalog.clock_timestamp() - r.started_at)
                   * ((r.matched - r.done - r.skipped)::float8 / (r.done + r.skipped)) END AS eta,
       r.filter, r.reason, r.started_by, r.started_at, r.ended_at, r.ended_by, r.end_reason,
       (SELECT pg_catalog.jsonb_object_agg(w.why, w.n) FROM (
          SELECT i.why, pg_catalog.count(*) AS n FROM workflow.redrive_item AS i
          WHERE r.ended_at IS NULL AND i.redrive_id = r.redrive_id AND i.status = 'waiting' AND i.held_until > '-infinity'
          GROUP BY i.why ORDER BY 2 DESC, 1 LIMIT 20) AS w) AS held_why
FROM workflow.redrive AS r;
COMMENT ON VIEW workflow.redrives IS 'Batches of dead letters that are taken up again or given up, with their progress';
COMMENT ON COLUMN workflow.redrives.done IS 'Taken up, or given up; what became of them then is their items'' business';
COMMENT ON COLUMN workflow.redrives.skipped_why IS 'How many were skipped for which cause: the 20 most frequent ones';
COMMENT ON COLUMN workflow.redrives.held_why IS 'How many could not be taken up yet, for which cause, and are tried again for an hour';
COMMENT ON COLUMN workflow.redrives.eta IS 'When the last one will be taken up, at the rate, else at the pace so far';

-- For where_is().
CREATE FUNCTION workflow._awaited_redrive(item bigint) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT format('its turn in redrive %s comes (%s)', i.redrive_id, r.reason)
  FROM workflow.redrive_item AS i JOIN workflow.redrive AS r ON r.redrive_id = i.redrive_id
  WHERE i.item_id = item AND i.status = 'waiting' LIMIT 1);
END
$$;
COMMENT ON FUNCTION workflow._awaited_redrive(bigint) IS
  'Inner: the batch in which an item waits for its turn, in words; null when there is none';

CREATE FUNCTION workflow._timeline_redrives(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT h.at, i.seq, 4, h.what, format('redrive %s: %s of %s to %s%s', i.redrive_id, i.place, r.matched,
           CASE r.action WHEN 'replay' THEN 'be replayed' ELSE 'be given up' END, h.more), r.started_by, r.reason, NULL::jsonb
  FROM workflow.redrive_item AS i JOIN workflow.redrive AS r ON r.redrive_id = i.redrive_id,
  LATERAL (VALUES (r.started_at, 'redrive', ''),
                  (CASE i.status WHEN 'skipped' THEN i.tried_at END, 'redrive skipped', '; ' || i.why)) AS h (at, what, more)
  WHERE i.item_id = item AND h.at IS NOT NULL;
END
$$;
COMMENT ON FUNCTION workflow._timeline_redrives(bigint) IS
  'Inner: the batches that an item was in';
