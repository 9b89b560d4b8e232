--
-- timeline: everything that happened to an item, in order.
--

CREATE FUNCTION workflow._timeline_moves(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  it workflow.item;
BEGIN
  SELECT i.* INTO it FROM workflow.item AS i WHERE i.item_id = item;
  RETURN QUERY
    SELECT g.decided_at, g.seq, 1, 'gate', format('%s is %s%s%s', coalesce(g.value::text, 'no value'), g.tier,
             CASE g.diverted WHEN 'sample' THEN ', sampled: ' WHEN 'shadow' THEN ', in shadow: ' END || g.event,
             '; the shadow says ' || coalesce(g.shadow_tier, g.shadow_problem)),
           NULL, NULL, g.tiers
    FROM workflow.gate_decision AS g WHERE g.item_id = item
    UNION ALL
    SELECT v.received_at, v.seq, 1, CASE WHEN v.seq IS NULL THEN 'event kept' ELSE 'event' END,
           v.event || CASE WHEN v.event_id IS NULL THEN '' ELSE format(' (%s)', concat_ws(' ', nullif(v.source, ''), v.event_id)) END
             || CASE WHEN v.seq IS NULL AND it.outcome IS NULL THEN coalesce(' for ' || workflow._kept_for(it, v.event), '') ELSE '' END,
           v.actor, v.reason, v.data
    FROM (SELECT o.* FROM workflow.event AS o WHERE o.item_id = item AND o.event_id IS NOT NULL
          UNION ALL
          SELECT o.* FROM workflow.event AS o WHERE o.item_id = item AND o.event_id IS NULL) AS v
    UNION ALL
    SELECT n.at, NULL, 4, n.action,
           CASE WHEN n.subject LIKE 'review:%'
                THEN replace(n.subject, ':', ' ')
                     || coalesce(': ' || (n.detail ->> 'decision') || format(', %s of %s', n.detail ->> 'votes', n.detail ->> 'needed'), '')
                     || coalesce(' to ' || (n.detail ->> 'to'), '') || coalesce(', step ' || (n.detail ->> 'step'), '')
                ELSE n.subject END,
           n.actor, n.reason, n.detail
    FROM workflow.journal AS n WHERE n.item_id = item AND n.action <> 'claim review';
END
$$;
COMMENT ON FUNCTION workflow._timeline_moves(bigint) IS
  'Inner: gate decisions, events and the journal of an item';

-- What happened to the endpoints of an item's effects while these were unsettled.
CREATE FUNCTION workflow._timeline_endpoints(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT n.at, NULL::int, 3, n.action, n.subject, n.actor, n.reason, n.detail
    FROM (SELECT 'endpoint:' || p.endpoint AS subject, min(e.created_at) AS since,
                 max(coalesce(e.finished_at, 'infinity')) AS until
          FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id)
          WHERE e.item_id = item GROUP BY p.endpoint) AS x
    JOIN workflow.journal AS n ON n.subject = x.subject AND n.at BETWEEN x.since AND x.until
    WHERE n.action IN ('breaker_open', 'breaker_close', 'pause_endpoint', 'resume_endpoint');
END
$$;
COMMENT ON FUNCTION workflow._timeline_endpoints(bigint) IS
  'Inner: breakers and pauses of endpoints that an item waited for';

-- The effects of an item, and one of somebody else's that its job waits for,
-- each with its endpoint and the server that has that key space now.
CREATE FUNCTION workflow._item_effects(item bigint)
RETURNS TABLE (effect workflow.effect, state text, endpoint text, server text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT e, its.state, p.endpoint,
           coalesce((SELECT s.srvname::text FROM pg_foreign_server AS s WHERE s.oid = p.server_oid), p.endpoint)
    FROM (SELECT f.effect_id, f.item_state AS state FROM workflow.effect AS f WHERE f.item_id = item
          UNION ALL
          SELECT f.effect_id, j.state FROM workflow.job AS j JOIN workflow.effect AS f ON f.effect_id = j.effect_id
          WHERE j.item_id = item AND f.item_id IS DISTINCT FROM item) AS its
    JOIN workflow.effect AS e ON e.effect_id = its.effect_id
    JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id;
END
$$;
COMMENT ON FUNCTION workflow._item_effects(bigint) IS
  'Inner: the effects of an item, and one of another''s that its job waits for';

-- The effects of an item, a row for each time that one was reserved for it: a replay, or
-- another item with the same key, reserves again what had ended without success.
CREATE FUNCTION workflow._effect_lives(item bigint)
RETURNS TABLE (effect workflow.effect, endpoint text, is_last boolean, seq int, reserved_at timestamptz, reserved_by text,
               sent_at timestamptz, state text, status int, reason text, finished_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH life AS (
      SELECT e, l.is_last, l.item_id, l.seq, l.reserved_by, l.state, l.status, l.reason, l.finished_at, l.until,
             coalesce(lag(l.until) OVER (PARTITION BY e.effect_id ORDER BY l.place), e.created_at) AS reserved_at
      FROM workflow.effect AS e, LATERAL (
        SELECT x.place, false AS is_last, r.item_id, r.seq, r.reserved_by, r.state, r.status, r.reason, r.finished_at,
               r.reserved_again_at AS until
        FROM jsonb_array_elements(e.earlier) WITH ORDINALITY AS x (life, place),
             LATERAL jsonb_to_record(x.life) AS r (item_id bigint, seq int, reserved_by text, state text, status int,
                                                   reason text, finished_at timestamptz, reserved_again_at timestamptz)
        UNION ALL
        SELECT 1000000, true, e.item_id, e.item_seq, e.submitted_by, e.state, e.status, e.reason, e.finished_at, NULL) AS l
      WHERE e.effect_id IN (SELECT f.effect_id FROM workflow.effect AS f WHERE f.item_id = item
                            UNION SELECT a.effect_id FROM workflow.attempt AS a WHERE a.item_id = item)
    )
    SELECT l.e, p.endpoint, l.is_last, l.seq, l.reserved_at, l.reserved_by,
           least((SELECT min(a.started_at) FROM workflow.attempt AS a
                  WHERE a.effect_id = (l.e).effect_id AND workflow._was_sent(a) AND a.started_at >= l.reserved_at
                    AND (l.until IS NULL OR a.started_at < l.until)),
                 CASE WHEN l.is_last AND l.state = 'sending' THEN (l.e).sending_at END),
           l.state, l.status, l.reason, l.finished_at
    FROM life AS l JOIN workflow.endpoint AS p ON p.endpoint_id = (l.e).endpoint_id
    WHERE l.item_id = item;
END
$$;
COMMENT ON FUNCTION workflow._effect_lives(bigint) IS
  'Inner: the effects of an item, each as often as it was reserved for it';

CREATE FUNCTION workflow._timeline_work(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT a.finished_at, NULL::int, 3, 'attempt',
           format('%s: %s%s',
             CASE WHEN a.effect_id IS NOT NULL AND a.attempt = 0 THEN a.kind || ' read before'
                  ELSE format('%s attempt %s', a.kind, a.attempt) END,
             a.outcome, coalesce(', ' || a.error_class, '')),
           a.worker, a.message, a.detail
    FROM workflow.attempt AS a WHERE a.item_id = item
    UNION ALL
    SELECT h.at, l.seq, h.rank, h.what, h.detail, h.actor, h.reason, h.data
    FROM workflow._effect_lives(item) AS l, LATERAL (SELECT (l.effect).*) AS e,
    LATERAL (VALUES
      (l.reserved_at, 2, 'effect reserved', format('%s, key %s', concat_ws(' ', e.method, e.path, 'to ' || l.endpoint), e.key),
       l.reserved_by, NULL, NULL::jsonb),
      (l.sent_at, 2, 'effect sent', format(CASE WHEN e.first_sent_at < l.reserved_at AND l.reserved_at > e.created_at THEN 'first send of %s since it was reserved again' ELSE 'first send of %s' END, e.key), NULL, NULL, NULL),
      (l.finished_at, 4, 'effect ' || l.state,
       concat_ws(', ', 'key ' || e.key, 'status ' || l.status, CASE WHEN l.is_last THEN 'external id ' || e.external_id END),
       NULL, l.reason,
       CASE WHEN l.is_last AND e.previous IS NOT NULL THEN jsonb_build_object('previous', e.previous) END)
    ) AS h (at, rank, what, detail, actor, reason, data)
    WHERE h.at IS NOT NULL
    UNION ALL
    SELECT m.created_at, NULL, 4, 'model answer',
           CASE WHEN m.cached_from IS NOT NULL THEN format('that of effect %s again (model output %s)', f.effect_id, m.cached_from)
                ELSE concat_ws(', ', m.model, m.request_id, m.stop_reason,
                               m.input_tokens || ' tokens in', m.output_tokens || ' out', m.cost || ' ' || m.currency) END,
           NULL, NULL, coalesce(m.output, f.output)
    FROM workflow.model_output AS m LEFT JOIN workflow.model_output AS f ON f.model_output_id = m.cached_from
    WHERE m.item_id = item;
END
$$;
COMMENT ON FUNCTION workflow._timeline_work(bigint) IS
  'Inner: attempts, effects and model answers of an item';

-- A review that replaces one keeps the time of that, which its SLA counts from: it is there since that was closed.
CREATE FUNCTION workflow._timeline_reviews(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT coalesce(old.closed_at, r.opened_at), r.seq, 2, 'review opened',
           format('review %s in queue %s', r.review_id, r.queue) || coalesce(', in place of review ' || old.review_id, ''),
           NULL, NULL, r.shown
    FROM workflow.review AS r
      LEFT JOIN workflow.review AS old ON old.replaced_by = r.review_id AND old.item_id = item
    WHERE r.item_id = item
    UNION ALL
    SELECT (n.detail ->> 'at')::timestamptz, (n.detail ->> 'seq')::int, 2, 'review claimed', replace(n.subject, ':', ' '), n.actor, NULL, NULL
    FROM workflow.journal AS n WHERE n.item_id = item AND n.action = 'claim review'
    UNION ALL
    SELECT r.decided_at, r.seq, 3, 'review decided', format('review %s: %s', r.review_id, r.decision),
           r.decided_by, r.reason, r.patch
    FROM workflow.review AS r WHERE r.item_id = item AND r.decided_at IS NOT NULL;
END
$$;
COMMENT ON FUNCTION workflow._timeline_reviews(bigint) IS
  'Inner: the reviews of an item';

-- The ends of children are listed of small families only.
CREATE FUNCTION workflow._timeline_children(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT h.at, s.seq, h.rank, h.what, h.detail, h.actor, h.reason, NULL::jsonb
    FROM workflow.spawn AS s, LATERAL (VALUES
      (s.spawned_at, 2, 'children spawned', format('%s of workflow %s version %s, %s have to succeed',
         concat(CASE WHEN s.started < s.total THEN s.started || ' of ' END, s.total), s.workflow, s.version, s.needed), NULL, NULL),
      (s.decided_at, 3, 'children decided', format('%s: %s succeeded, %s failed', s.verdict, s.had_succeeded, s.had_failed), NULL, NULL),
      (CASE WHEN s.ncancelled > 0 THEN s.left_at END, 4, 'children closed', format('%s cancelled', s.ncancelled), s.close_actor, s.close_reason)
    ) AS h (at, rank, what, detail, actor, reason)
    WHERE s.item_id = item AND h.at IS NOT NULL
    UNION ALL
    SELECT i.since, s.seq, 2, 'child ended', format('%s:%s: %s', i.workflow, i.key, i.outcome), NULL, NULL, NULL
    FROM workflow.spawn AS s JOIN workflow.item AS i ON i.parent_id = s.item_id AND i.parent_seq = s.seq
    WHERE s.item_id = item AND s.total <= 100 AND i.outcome IS NOT NULL;
END
$$;
COMMENT ON FUNCTION workflow._timeline_children(bigint) IS
  'Inner: what became of the children of an item';

-- Where a source does not say the visit, it is the one that its time falls into.  A migration
-- takes the work of a visit along: what happened to that before is the visit's before.
CREATE FUNCTION workflow._timeline(caller text, item bigint)
RETURNS TABLE (at timestamptz, seq int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH moves AS MATERIALIZED (
      SELECT t.seq, t.at, t.kind, t.from_state, t.event, t.to_state, t.actor, t.reason, t.data
      FROM workflow.transition AS t WHERE t.item_id = item
    ), happened AS (
      SELECT t.at, t.seq, 0 AS rank, CASE WHEN t.from_state IS NULL THEN 'submitted' ELSE 'transition' END AS what,
             CASE WHEN t.from_state IS NULL THEN t.to_state
                  ELSE format('%s --%s--> %s', t.from_state, t.event, t.to_state) END AS detail,
             t.actor, t.reason, t.data
      FROM moves AS t
      UNION ALL SELECT * FROM workflow._timeline_moves(item)
      UNION ALL SELECT * FROM workflow._timeline_endpoints(item)
      UNION ALL SELECT * FROM workflow._timeline_work(item)
      UNION ALL SELECT * FROM workflow._timeline_reviews(item)
      UNION ALL SELECT * FROM workflow._timeline_children(item)
      UNION ALL SELECT * FROM workflow._timeline_redrives(item)
    ), placed AS (
      SELECT h.*, CASE WHEN h.rank = 0 THEN h.seq ELSE
        (SELECT max(m.seq) FROM moves AS m
         WHERE CASE WHEN h.seq IS NULL THEN m.at < h.at
                    ELSE m.seq <= h.seq AND NOT (m.kind = 'migrate' AND m.at > h.at) END) END AS visit
      FROM happened AS h
    )
    SELECT p.at, p.visit, p.what, p.detail, p.actor, p.reason, p.data
    FROM placed AS p
    ORDER BY p.at, p.visit, p.rank, p.detail;
  IF NOT FOUND THEN
    PERFORM workflow._item_id(item::text);    -- raises WF012
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._timeline(text, bigint) IS
  'Inner: workflow.timeline()';

CREATE FUNCTION workflow.timeline(item bigint)
RETURNS TABLE (at timestamptz, seq int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.timeline(bigint) IS
  'Everything that happened to an item, in order: transitions, gate decisions, attempts, effects, reviews, and what people did';

CREATE FUNCTION workflow.timeline(item text)
RETURNS TABLE (at timestamptz, seq int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.timeline(text) IS
  'The same, for workflow:key';
