--
-- twice: what if it runs again, and what keeps it from being done twice.
--

-- What an endpoint declares about a repeated request, and who is asked where
-- its outcome is not known; dedup is null when there is no such server.
CREATE FUNCTION workflow._endpoint_facts(server text, OUT dedup text, OUT key_ttl interval, OUT owner text,
                                          OUT on_unknown text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  options text[] := (SELECT s.srvoptions FROM pg_foreign_server AS s WHERE s.srvname = server);
BEGIN
  key_ttl := '24 hours';
  IF options IS NULL THEN
    RETURN;
  END IF;
  SELECT max(o.option_value) FILTER (WHERE o.option_name = 'dedup'),
         coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'key_ttl')::interval, key_ttl),
         max(o.option_value) FILTER (WHERE o.option_name = 'owner')
    INTO dedup, key_ttl, owner
  FROM pg_options_to_table(options) AS o;
  on_unknown := workflow._on_unknown(options);
END
$$;
COMMENT ON FUNCTION workflow._endpoint_facts(text) IS
  'Inner: the options of an endpoint that say what a second copy of a request does';

-- The effect of another request that has the key of one that was proven not applied, or answered in vain.
CREATE FUNCTION workflow._later_generation(effect workflow.effect) RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT n.effect_id FROM workflow.effect AS n
          WHERE n.endpoint_id = effect.endpoint_id AND n.generation = effect.generation + 1
            AND n.key = CASE effect.generation WHEN 1 THEN effect.key
                          ELSE left(effect.key, -length('#' || effect.generation)) END || '#' || effect.generation + 1);
END
$$;
COMMENT ON FUNCTION workflow._later_generation(workflow.effect) IS
  'Inner: the effect that is the next generation of the key of another one';

-- What running the work of an existing effect once more would do.
CREATE FUNCTION workflow._if_effect_again(
  effect workflow.effect, dedup text, key_ttl interval, on_unknown text DEFAULT NULL,
  OUT verdict text, OUT why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  cause text := coalesce(effect.reason, effect.error_class, 'no reason given');
  may_be_applied boolean := effect.state IN ('sending', 'unknown') OR effect.unknown_attempts > 0;
  is_forgotten boolean := dedup = 'key' AND effect.first_sent_at + key_ttl * 0.9 < workflow._now();
  taken_back text := (SELECT format('; %s back%s by effect %s', CASE r.state WHEN 'succeeded' THEN 'taken' ELSE 'being taken' END,
                                    ' in part (' || (SELECT string_agg(m.name, ', ') FROM jsonb_array_elements_text(r.spec -> 'members') AS m (name)) || ')',
                                    r.effect_id)
                      FROM workflow.effect AS r
                      WHERE r.reverts = effect.effect_id AND r.state NOT IN ('failed', 'dead', 'cancelled')
                      ORDER BY r.spec ? 'members', r.effect_id DESC LIMIT 1);
  later bigint := workflow._later_generation(effect);
  answered workflow.model_output;
BEGIN
  verdict := CASE
    WHEN effect.state = 'succeeded' THEN 'already done'
    WHEN later IS NOT NULL THEN 'would not run'
    WHEN effect.state IN ('held', 'blocked') THEN 'would be held'
    WHEN NOT may_be_applied THEN 'would be sent'
    WHEN effect.kind IN ('http', 'call', 'revert')
      AND (on_unknown = 'probe' OR on_unknown = 'resend' AND effect.state = 'unknown') THEN 'would be looked up'
    WHEN on_unknown = 'hold' OR is_forgotten THEN 'would be held'
    WHEN dedup IN ('key', 'natural', 'pure') THEN 'would be sent'
    ELSE 'would be held' END;
  IF effect.kind = 'model' AND verdict = 'would be sent' THEN
    answered := workflow._reusable_output(effect.spec, effect.fingerprint, workflow._now());
    verdict := CASE WHEN answered.model_output_id IS NULL THEN verdict ELSE 'already done' END;
  END IF;
  why := CASE
    WHEN answered.model_output_id IS NOT NULL THEN format('effect %s was answered this by the same request: model output %s; that is used, nothing is sent',
                                                          answered.effect_id, answered.model_output_id)
    WHEN effect.state = 'succeeded' THEN concat('succeeded at ', effect.finished_at, ', external id ' || effect.external_id,
                                                taken_back, '; the stored result is used, nothing is sent',
                                                CASE WHEN taken_back IS NOT NULL THEN ', to do it anew takes another key' END)
    WHEN later IS NOT NULL AND effect.kind = 'model' THEN format('the model was asked again (effect %s), with what was wrong with its answer', later)
    WHEN later IS NOT NULL THEN format('another request has its key since: effect %s', later)
    WHEN effect.state = 'held' THEN 'a person decides first: workflow.resolve() says whether it was applied'
    WHEN effect.state = 'blocked' THEN 'it waits until its cause changes: ' || cause
    WHEN effect.state = 'failed' THEN 'refused by the receiver, proven not applied: ' || cause
    WHEN effect.state = 'dead' THEN 'attempts spent, proven not applied: ' || cause
    WHEN effect.state = 'cancelled' AND effect.first_sent_at IS NOT NULL AND NOT may_be_applied THEN 'cancelled, proven not applied: ' || cause
    WHEN effect.state = 'cancelled' AND NOT may_be_applied THEN 'cancelled before it was sent'
    WHEN NOT may_be_applied AND effect.attempts > 0 AND effect.reason IS NOT NULL THEN 'not applied so far: ' || cause || '; it is sent again, under its key'
    WHEN NOT may_be_applied THEN 'reserved and not sent yet; it is sent once, under its key'
    ELSE 'the outcome is not known' || CASE
      WHEN verdict = 'would be looked up' THEN '; the endpoint is asked first whether it was applied'
      WHEN verdict = 'would be held' AND on_unknown = 'hold' AND dedup <> 'none' THEN ' and the endpoint says on_unknown ''hold''; a person is asked'
      WHEN verdict = 'would be held' AND dedup = 'key' THEN ' and the receiver may have forgotten the key; a person is asked'
      WHEN verdict = 'would be held' THEN ' and the receiver does not deduplicate; a person is asked'
      WHEN dedup = 'key' THEN '; it is sent again under the same key and the receiver repeats its first answer'
      WHEN dedup = 'natural' THEN '; the same request again leaves the same result'
      ELSE '; repeating it changes nothing outside' END END;
END
$$;
COMMENT ON FUNCTION workflow._if_effect_again(workflow.effect, text, interval, text) IS
  'Inner: what running the work of an effect once more would do, and why';

-- An item that has ended enters no state again: what is left to say of the effect of
-- one is how it stood, unless it is another item's work, too.  Guards, calls and
-- reverts are done by others than the states.
CREATE FUNCTION workflow._if_ended_again(
  item workflow.item, effect workflow.effect, verdict text, why text, OUT verdict_then text, OUT why_then text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  may_be_applied boolean := effect.state IN ('sending', 'unknown', 'held') OR effect.unknown_attempts > 0;
BEGIN
  verdict_then := verdict;
  why_then := why;
  IF item.outcome IS NULL OR effect.state = 'succeeded' OR effect.kind NOT IN ('http', 'model')
     OR EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = effect.effect_id) THEN
    RETURN;
  END IF;
  verdict_then := 'would not run';
  why_then := format('the item has ended ("%s") and nothing of it runs again; %s', item.outcome, CASE
    WHEN effect.state = 'held' THEN 'nobody knows whether it was applied: workflow.resolve() records what a person finds out'
    WHEN may_be_applied THEN 'nobody knows whether it was applied'
    ELSE why END);
END
$$;
COMMENT ON FUNCTION workflow._if_ended_again(workflow.item, workflow.effect, text, text) IS
  'Inner: the answer for an effect, given that its item may have ended';

-- What submitting an item once more would do.
CREATE FUNCTION workflow._if_submitted_again(item workflow.item, has_key boolean, OUT verdict text, OUT why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF has_key OR item.event_id IS NOT NULL
     OR item.key !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    verdict := 'already done';
    why := format('the key "%s"%s is known: the same submission finds this item and makes nothing new', item.key,
                  CASE WHEN item.event_id IS NOT NULL THEN format(', event "%s" of "%s",', item.event_id, item.source) END);
  ELSE
    verdict := 'would run';
    why := 'the definition names no key and none was given: a submission that does not name this key is a new item';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._if_submitted_again(workflow.item, boolean) IS
  'Inner: what submitting an item once more would do, and why';

-- What a state without an effect would do once more: done is its last visit
-- when the activity itself has ended it.
CREATE FUNCTION workflow._if_activity_again(
  item workflow.item, moves workflow.transition[], state text, kind text, OUT is_new boolean, OUT verdict text, OUT why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  visit int := (SELECT max(t.seq) FROM unnest(moves) AS t      -- of the path, as in workflow._path()
                WHERE t.to_state = state
                  AND NOT EXISTS (SELECT FROM unnest(moves) AS r
                                  WHERE r.kind = 'rewind' AND r.seq > t.seq AND (r.data ->> 'to_seq')::int <= t.seq));
  left_by workflow.transition;
  job workflow.job;
BEGIN
  is_new := visit IS NULL;
  SELECT t.* INTO left_by FROM unnest(moves) AS t WHERE t.seq = visit + 1;
  IF left_by.kind = 'review' OR left_by.kind = 'engine' AND left_by.event NOT IN ('error', 'timeout') THEN
    verdict := 'already done';
    why := format('ended as "%s" at %s, with the transition that it caused; %s', left_by.event, left_by.at,
      CASE kind WHEN 'sql' THEN 'it is not run again'
                WHEN 'task' THEN 'a late worker is refused (WF004)'
                WHEN 'review' THEN 'a second decision is refused (WF002)'
                WHEN 'spawn' THEN 'its children are not started again'
                ELSE 'its effect is not among those of this item: another one with the same key had succeeded' END);
    RETURN;
  END IF;
  SELECT j.* INTO job FROM workflow.job AS j
  WHERE j.item_id = item.item_id AND j.seq = visit AND item.seq = visit ORDER BY j.job_id DESC LIMIT 1;
  IF item.outcome IS NOT NULL THEN
    verdict := 'would not run';
    why := format('it was not done, but the item has ended ("%s") and nothing of it runs again', item.outcome);
    RETURN;
  END IF;
  IF kind = 'spawn' AND item.seq = visit THEN
    SELECT 'already done', format('%s of %s children are started; one that is started is not started again', s.started, s.total)
      INTO verdict, why
    FROM workflow.spawn AS s WHERE s.item_id = item.item_id AND s.seq = visit;
    RETURN;
  END IF;
  verdict := CASE WHEN kind = 'review' THEN 'would be asked' WHEN kind IN ('http', 'model') THEN 'would be sent'
                  ELSE 'would run' END;
  why := concat(CASE WHEN is_new THEN 'not reached yet: '
                     WHEN job.status = 'dead' THEN 'it failed for good and waits for workflow.replay(): '
                     WHEN left_by.event IS NOT NULL THEN format('its last visit was left by "%s" (%s): ', left_by.event, left_by.kind)
                     WHEN job.attempt > 0 THEN format('attempt %s so far: ', job.attempt) END,
    CASE kind WHEN 'sql' THEN 'a run that fails is rolled back whole, one that ends well commits with its transition, once'
              WHEN 'task' THEN 'a claim whose lease has ended is given again; workflow.begin_effect() guards what it does outside'
              WHEN 'review' THEN 'the first decision counts, a later one is refused (WF002)'
              WHEN 'spawn' THEN 'each child is started once, in one transaction with the count of them and under a unique key'
              ELSE 'nothing is reserved; it is sent once, when the state is entered' END);
END
$$;
COMMENT ON FUNCTION workflow._if_activity_again(workflow.item, workflow.transition[], text, text) IS
  'Inner: what an activity without an effect would do once more; is_new where the item has not been there';

-- The activities of a version that do something, in the order of its document.
CREATE FUNCTION workflow._working_states(name text, version int, document json)
RETURNS TABLE (place bigint, state text, kind text, activity jsonb)
LANGUAGE plpgsql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT s.place, w.state, w.kind, w.activity
    FROM workflow._graph_work(name, _working_states.version) AS w
    JOIN json_object_keys(document -> 'states') WITH ORDINALITY AS s (name, place) ON s.name = w.state;
END
$$;
COMMENT ON FUNCTION workflow._working_states(text, int, json) IS
  'Inner: the states whose activity does something, not those that only decide or wait';

-- The submission; then, in the order of the document, the effects of each state,
-- or the state itself where it has none; then effects of no state.
CREATE FUNCTION workflow._if_run_again(caller text, item bigint)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key text, effect_id bigint, effect_state text, verdict text, why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  it workflow.item;
  document json;
  moves workflow.transition[];
BEGIN
  SELECT i.* INTO it FROM workflow.item AS i WHERE i.item_id = item;
  IF it.item_id IS NULL THEN
    PERFORM workflow._item_id(item::text);    -- raises WF012
  END IF;
  SELECT d.document INTO document FROM workflow.definition AS d
  WHERE d.workflow = it.workflow AND d.version = it.version;
  moves := ARRAY(SELECT t FROM workflow.transition AS t WHERE t.item_id = item);
  RETURN QUERY
    WITH its AS MATERIALIZED (SELECT * FROM workflow._item_effects(item)),
    work AS MATERIALIZED (SELECT * FROM workflow._working_states(it.workflow, it.version, document))
    SELECT r.state, r.kind, r.endpoint, r.dedup, r.key, r.effect_id, r.effect_state, r.verdict, r.why
    FROM (
      SELECT 0 AS place, NULL AS state, 'submit' AS kind, NULL AS endpoint, NULL AS dedup, it.key AS key,
             NULL::bigint AS effect_id, NULL AS effect_state, s.verdict, s.why
      FROM workflow._if_submitted_again(it, document -> 'key' IS NOT NULL) AS s
      UNION ALL
      SELECT coalesce(w.place, 1000000), x.state, (x.effect).kind, x.endpoint, f.dedup, (x.effect).key,
             (x.effect).effect_id, (x.effect).state, n.verdict_then,
             concat(n.why_then, '; it is an effect of item ' || nullif((x.effect).item_id, item))
      FROM its AS x
      LEFT JOIN work AS w ON w.state = x.state,
      LATERAL workflow._endpoint_facts(x.server) AS f,
      LATERAL workflow._if_effect_again(x.effect, f.dedup, f.key_ttl, f.on_unknown) AS a,
      LATERAL workflow._if_ended_again(it, x.effect, a.verdict, a.why) AS n
      UNION ALL
      SELECT w.place, w.state, w.kind, w.activity ->> 'endpoint', f.dedup, NULL, NULL, NULL, a.verdict, a.why
      FROM work AS w,
      LATERAL workflow._endpoint_facts(w.activity ->> 'endpoint') AS f,
      LATERAL workflow._if_activity_again(it, moves, w.state, w.kind) AS a
      WHERE NOT (a.is_new AND it.outcome IS NOT NULL)
        AND NOT EXISTS (SELECT FROM its AS x WHERE x.state = w.state)
    ) AS r
    ORDER BY r.place, r.effect_id;
END
$$;
COMMENT ON FUNCTION workflow._if_run_again(text, bigint) IS
  'Inner: workflow.if_run_again()';

CREATE FUNCTION workflow.if_run_again(item bigint)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key text, effect_id bigint, effect_state text, verdict text, why text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.if_run_again(bigint) IS
  'What would happen if an item ran again: a row for its submission and for each activity and effect, with a verdict and why';

CREATE FUNCTION workflow.if_run_again(item text)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key text, effect_id bigint, effect_state text, verdict text, why text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.if_run_again(text) IS
  'The same, for workflow:key';

-- Names that change from one run to the next, so that a key with one protects nothing.
CREATE FUNCTION workflow._looks_volatile(key_parts text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(bool_or(part ~* '(attempt|retry|retries|random|uuid|nonce|clock|timestamp|\mnow\M)'), false)
  FROM unnest(key_parts) AS part
$$;
COMMENT ON FUNCTION workflow._looks_volatile(text[]) IS
  'Inner: whether a part of a key is named like something that changes with every run';

-- A submission, and activities that are no effects.
CREATE FUNCTION workflow._if_work_twice(
  kind text, key_parts text[], OUT mechanism text, OUT verdict text, OUT why text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE kind
      WHEN 'submit' THEN 'unique key of an item; unique (source, event_id)'
      WHEN 'sql' THEN 'one transaction with the transition'
      WHEN 'review' THEN 'one open review for a visit, decided under the item''s lock'
      WHEN 'spawn' THEN 'one transaction with the count of those started; unique key of an item'
      ELSE 'claim with a token and a lease' END,
    CASE WHEN kind = 'submit' AND (key_parts IS NULL OR workflow._looks_volatile(key_parts)) THEN 'unsafe'
         WHEN kind = 'task' THEN 'at least once'
         ELSE 'safe' END,
    CASE
      WHEN kind = 'submit' AND key_parts IS NULL
        THEN 'the definition names no key: without a key or (source, event_id) in the call, every submission is a new item'
      WHEN kind = 'submit' AND workflow._looks_volatile(key_parts) THEN 'a part of the key changes with every run'
      WHEN kind = 'submit' THEN 'the same key or the same (source, event_id) finds the item and makes nothing new'
      WHEN kind = 'sql' THEN 'its writes commit with the transition, exactly once; a run that fails is rolled back whole. What it does outside of this database is not covered'
      WHEN kind = 'review' THEN 'the first decision counts, a later one is refused (WF002)'
      WHEN kind = 'spawn' THEN 'each child is started once; a key that another item has is an error of the state'
      ELSE 'a claim whose lease has ended is given again, and only its last token may complete; guard what it does outside with workflow.begin_effect()' END
$$;
COMMENT ON FUNCTION workflow._if_work_twice(text, text[]) IS
  'Inner: what keeps a submission or an activity without an effect from being done twice';

-- "21:36:00" would read like a time of the day.
CREATE FUNCTION workflow._in_words(duration interval) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = postgres_verbose
AS $$ SELECT ltrim(justify_hours(duration)::text, '@ ') $$;
COMMENT ON FUNCTION workflow._in_words(interval) IS
  'Inner: an interval as days, hours and minutes';

CREATE FUNCTION workflow._if_effect_twice(
  kind text, dedup text, key_ttl interval, owner text, on_unknown text, key_parts text[],
  OUT mechanism text, OUT verdict text, OUT why text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
      WHEN kind = 'model' THEN 'an effect for each visit; answers cached by model version and request'
      WHEN dedup IS NULL THEN 'unique key in the ledger; the endpoint does not exist yet'
      ELSE 'unique key in the ledger, dedup ' || dedup END,
    CASE
      WHEN kind = 'http' AND (key_parts IS NULL OR workflow._looks_volatile(key_parts)) THEN 'unsafe'
      WHEN dedup IS NULL THEN 'unknown'
      WHEN on_unknown = 'hold' THEN 'held'
      ELSE 'safe' END,
    CASE
      WHEN kind = 'http' AND key_parts IS NULL THEN 'it has no key: every run is a new action'
      WHEN kind = 'http' AND workflow._looks_volatile(key_parts) THEN 'a part of the key changes with every run'
      WHEN dedup IS NULL THEN 'done once: the stored result is used; what an unknown outcome does, CREATE SERVER decides by its option dedup'
      WHEN dedup = 'pure' THEN 'repeating it changes nothing outside; it may cost again'
      ELSE 'done once: the stored result is used; an unknown outcome is ' || CASE
        WHEN on_unknown = 'hold' THEN format('held, and %s is asked', coalesce(owner, 'a person'))
        WHEN on_unknown = 'probe' THEN 'looked up at the receiver; what that cannot tell is held'
        WHEN dedup = 'key' THEN format('sent again under the same key, which the receiver executes once; after %s it has perhaps forgotten the key, and a person is asked',
                               workflow._in_words(key_ttl * 0.9))
        ELSE 'sent again, which leaves the same result' END END
$$;
COMMENT ON FUNCTION workflow._if_effect_twice(text, text, interval, text, text, text[]) IS
  'Inner: what protects an effect of a state from being done twice';

-- The parts of a key as they are declared: an array, or one text.
CREATE FUNCTION workflow._key_parts(key jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE jsonb_typeof(key) WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(key))
                                WHEN 'string' THEN ARRAY[key #>> '{}'] END
$$;
COMMENT ON FUNCTION workflow._key_parts(jsonb) IS
  'Inner: the parts of a declared key; null when there is none';

-- Tables whose rows follow a workflow that nothing is submitted to; null where there are items, too.
CREATE FUNCTION workflow._rows_only(name text) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM workflow.item AS i WHERE i.workflow = name) THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT string_agg(DISTINCT e.relation::text, ', ') FROM workflow.enforced AS e WHERE e.workflow = name);
END
$$;
COMMENT ON FUNCTION workflow._rows_only(text) IS
  'Inner: the tables that are held to a workflow which has no items; null when there are none';

-- What a version does, and by which keys: the submission, then its activities in the order of its document.
CREATE FUNCTION workflow._keyed_work(name text, version int)
RETURNS TABLE (place bigint, state text, kind text, endpoint text, parts text[]) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  d workflow.definition := workflow._definition(name, _keyed_work.version);
BEGIN
  RETURN QUERY
    SELECT 0::bigint, NULL::text, 'submit'::text, NULL::text, workflow._key_parts(d.document::jsonb -> 'key')
    UNION ALL
    SELECT s.place, s.state, s.kind, s.activity ->> 'endpoint',
           CASE WHEN s.kind = 'model' THEN ARRAY['item', 'state', 'visit']
                WHEN s.kind = 'spawn' AND NOT s.activity ? 'key' THEN ARRAY['parent', 'state', 'visit', 'index'] ELSE workflow._key_parts(s.activity -> 'key') END
    FROM workflow._working_states(d.workflow, d.version, d.document) AS s;
END
$$;
COMMENT ON FUNCTION workflow._keyed_work(text, int) IS
  'Inner: the submission and the activities of a version, each with the parts of its key';

CREATE FUNCTION workflow._if_run_twice(caller text, workflow text, version int)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key_parts text[], mechanism text, verdict text, why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  tables text := workflow._rows_only(workflow);
BEGIN
  IF tables IS NOT NULL THEN
    RETURN QUERY SELECT NULL::text, 'row', NULL::text, NULL::text, NULL::text[], 'triggers on the table: ' || tables, 'safe',
                        'nothing is submitted to it; an update to the state in which a row is already changes nothing and is not logged';
    RETURN;
  END IF;
  RETURN QUERY
    SELECT w.state, w.kind, w.endpoint, f.dedup, w.parts,
           coalesce(e.mechanism, o.mechanism), coalesce(e.verdict, o.verdict), coalesce(e.why, o.why)
    FROM workflow._keyed_work(workflow, _if_run_twice.version) AS w
    LEFT JOIN LATERAL workflow._endpoint_facts(w.endpoint) AS f ON w.kind IN ('http', 'model')
    LEFT JOIN LATERAL workflow._if_effect_twice(w.kind, f.dedup, f.key_ttl, f.owner, f.on_unknown, w.parts) AS e ON w.kind IN ('http', 'model')
    LEFT JOIN LATERAL workflow._if_work_twice(w.kind, w.parts) AS o ON w.kind NOT IN ('http', 'model')
    ORDER BY w.place;
END
$$;
COMMENT ON FUNCTION workflow._if_run_twice(text, text, int) IS
  'Inner: workflow.if_run_twice()';

CREATE FUNCTION workflow.if_run_twice(workflow text, version int DEFAULT NULL)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key_parts text[], mechanism text, verdict text, why text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.if_run_twice(text, int) IS
  'What keeps a submission and each activity of a workflow from being done twice: safe, held (a person is asked), at least once, unsafe, or unknown';

CREATE FUNCTION workflow._if_run_twice(caller text)
RETURNS TABLE (workflow text, version int, state text, kind text, endpoint text, dedup text, key_parts text[], mechanism text, verdict text, why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT w.workflow, w.active_version, t.state, t.kind, t.endpoint, t.dedup, t.key_parts, t.mechanism, t.verdict, t.why
    FROM workflow.workflow AS w, LATERAL workflow._if_run_twice(caller, w.workflow, w.active_version) WITH ORDINALITY AS t
    WHERE w.active_version IS NOT NULL AND w.retired_at IS NULL
    ORDER BY w.workflow, t.ordinality;
END
$$;
COMMENT ON FUNCTION workflow._if_run_twice(text) IS
  'Inner: workflow.if_run_twice() of all workflows';

CREATE FUNCTION workflow.if_run_twice()
RETURNS TABLE (workflow text, version int, state text, kind text, endpoint text, dedup text, key_parts text[], mechanism text, verdict text, why text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.if_run_twice() IS
  'The same of every workflow, in the version that new items get';
