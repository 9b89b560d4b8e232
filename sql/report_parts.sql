--
-- report_parts: what stands in the parts of a report.
--

-- ------------------------------------------------------------------ health

CREATE FUNCTION workflow._report_health(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH found AS MATERIALIZED (SELECT * FROM workflow._health(frame.caller))
  SELECT CASE WHEN count(*) FILTER (WHERE NOT f.ok) = 0
    THEN '<p class="fine">' || workflow._report_badge('good', 'all well') || ' All ' || count(*) || ' checks of <code>workflow.health()</code> pass.</p>' || chr(10)
    ELSE '<p>' || count(*) FILTER (WHERE NOT f.ok) || ' of ' || count(*) || ' checks of <code>workflow.health()</code> do not pass.</p>' || chr(10)
      || '<ul class="cards">' || string_agg(
           '<li class="' || CASE f.severity WHEN 'error' THEN 'bad' ELSE 'fair' END || '">'
           || workflow._report_badge(CASE f.severity WHEN 'error' THEN 'bad' ELSE 'fair' END, f.severity) || ' <b>' || workflow._html(replace(f."check", '_', ' ')) || '</b><p>'
           || workflow._report_text(CASE WHEN frame.details THEN f.detail END, 600) || '</p>'
           || coalesce('<p class="hint">' || workflow._report_text(f.hint, 600) || '</p>', '') || '</li>', chr(10)
           ORDER BY f.severity = 'error' DESC, f."check") FILTER (WHERE NOT f.ok) || '</ul>' || chr(10) END
  FROM found AS f
$$;
COMMENT ON FUNCTION workflow._report_health(workflow._report_frame) IS
  'Inner: the part of a report that says what is not wired up';

-- -------------------------------------------------------------- throughput

-- Moves, starts and ends by bar, as the history has them; known_from, where the
-- history of so short times does not go back as far as the span.
CREATE FUNCTION workflow._report_moves(
  frame workflow._report_frame, OUT moves bigint[], OUT started bigint[], OUT well bigint[], OUT otherwise bigint[], OUT known_from timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH resolution AS MATERIALIZED (
    SELECT r.name, (SELECT min(h.at) FROM workflow.state_history_slot AS h WHERE h.resolution = r.name) AS oldest
    FROM (SELECT CASE WHEN frame.unit = '5 minutes' THEN 'minute' WHEN frame.unit = '1 hour' OR frame.starts[1] > frame.to_at - interval '60 days' THEN 'hour' ELSE 'day' END) AS r (name)
  ), slot AS (
    SELECT h.at, h.workflow, h.version, h.state, h.submitted, h.entered
    FROM workflow.state_history_slot AS h, resolution AS r WHERE h.resolution = r.name AND h.at >= frame.starts[1]
    UNION ALL
    SELECT workflow._minute(p.minute), p.workflow, p.version, p.state, p.submitted, p.entered
    FROM workflow._pending_change AS p WHERE workflow._minute(p.minute) >= frame.starts[1]
  ), final AS (
    SELECT f.workflow, f.version, f.state, workflow._is_success(f.outcome, NULL) AS is_well FROM workflow._state_figures AS f WHERE f.outcome IS NOT NULL
  ), bar AS (
    SELECT width_bucket(s.at, frame.starts) AS place, sum(s.entered)::bigint AS moves, sum(s.submitted)::bigint AS started,
           sum(s.entered) FILTER (WHERE f.is_well)::bigint AS well, sum(s.entered) FILTER (WHERE NOT f.is_well)::bigint AS otherwise
    FROM slot AS s LEFT JOIN final AS f ON f.workflow = s.workflow AND f.version = s.version AND f.state = s.state
    GROUP BY 1
  )
  SELECT array_agg(coalesce(b.moves, 0) ORDER BY n), array_agg(coalesce(b.started, 0) ORDER BY n),
         array_agg(coalesce(b.well, 0) ORDER BY n), array_agg(coalesce(b.otherwise, 0) ORDER BY n),
         (SELECT r.oldest FROM resolution AS r
          WHERE r.oldest > frame.starts[1]
            AND EXISTS (SELECT FROM workflow.state_history_slot AS h WHERE h.resolution = 'day' AND h.at < date_trunc('day', r.oldest, 'UTC')))
  FROM generate_series(1, cardinality(frame.starts)) AS n LEFT JOIN bar AS b ON b.place = n
$$;
COMMENT ON FUNCTION workflow._report_moves(workflow._report_frame) IS
  'Inner: what moved over the span of a report';

-- The charts, and the same numbers for who cannot see them.
CREATE FUNCTION workflow._report_throughput(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH count AS MATERIALIZED (
    SELECT m.*, regexp_replace(frame.unit, '^1 ', '') AS unit, (SELECT sum(n) FROM unnest(m.moves) AS n) AS total FROM workflow._report_moves(frame) AS m
  )
  SELECT CASE WHEN c.total = 0 THEN '<p class="empty">Nothing moved in this time.</p>' || chr(10)
    ELSE '<div class="charts">' || workflow._report_bars('started', frame, 'Items started', 'items', c.started, NULL, NULL, c.known_from)
      || workflow._report_bars('ended', frame, 'Items ended', 'well', c.well, 'otherwise', c.otherwise, c.known_from)
      || workflow._report_bars('moves', frame, 'Moves', 'moves', c.moves, NULL, NULL, c.known_from) || '</div>' || chr(10)
      || '<details><summary>The numbers</summary>' || workflow._report_table('Throughput by ' || c.unit, 'tnnnn', '{From,Started,"Ended well","Ended otherwise",Moves}',
           (SELECT string_agg(workflow._report_row('tnnnn', workflow._report_time(b.at), workflow._report_number(c.started[b.place]), workflow._report_number(c.well[b.place]),
                     workflow._report_number(c.otherwise[b.place]), workflow._report_number(c.moves[b.place])), '' ORDER BY b.place)
            FROM unnest(frame.starts) WITH ORDINALITY AS b (at, place)), '') || '</details>' || chr(10) END
    || workflow._report_note(CASE WHEN c.total > 0 THEN 'A bar is ' || CASE c.unit WHEN 'hour' THEN 'an hour' ELSE 'a ' || c.unit END
         || '; the first is whole, the last is not over. An item ends well unless its outcome says failure, error, cancelled or rejected.' END)
    || workflow._report_note(CASE WHEN c.known_from IS NOT NULL THEN 'The history by ' || CASE c.unit WHEN '5 minutes' THEN 'minute' WHEN 'hour' THEN 'hour' ELSE 'hour or day' END
         || ' begins at ' || workflow._report_time(c.known_from) || ': what was before is not shown.' END)
  FROM count AS c
$$;
COMMENT ON FUNCTION workflow._report_throughput(workflow._report_frame) IS
  'Inner: the part of a report that shows what moved';

-- --------------------------------------------------------------- workflows

-- Where live items stand, and for how long: less than an hour, a day, a week,
-- or longer.
CREATE FUNCTION workflow._report_stands(frame workflow._report_frame)
RETURNS TABLE (workflow text, version int, state text, items bigint, oldest timestamptz, ages bigint[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e.workflow, e.version, e.state, sum(e.items)::bigint, workflow._minute(min(e.minute)),
         ARRAY[coalesce(sum(e.items) FILTER (WHERE e.minute > n.minute - 60), 0),
               coalesce(sum(e.items) FILTER (WHERE e.minute <= n.minute - 60 AND e.minute > n.minute - 1440), 0),
               coalesce(sum(e.items) FILTER (WHERE e.minute <= n.minute - 1440 AND e.minute > n.minute - 10080), 0),
               coalesce(sum(e.items) FILTER (WHERE e.minute <= n.minute - 10080), 0)]::bigint[]
  FROM (SELECT b.workflow, b.version, b.state, b.minute, sum(b.items) AS items
        FROM (SELECT s.workflow, s.version, s.state, s.minute, s.items FROM workflow.state_entry AS s
              UNION ALL
              SELECT p.workflow, p.version, p.state, p.entry, p.items FROM workflow._pending_change AS p WHERE p.entry IS NOT NULL) AS b
        GROUP BY 1, 2, 3, 4 HAVING sum(b.items) > 0) AS e,
       (SELECT workflow._minute_of(frame.to_at) OFFSET 0) AS n (minute)
  GROUP BY e.workflow, e.version, e.state
$$;
COMMENT ON FUNCTION workflow._report_stands(workflow._report_frame) IS
  'Inner: where live items stand, for a report';

-- The drawing of a version with what stands in it.  The style is the same in
-- all drawings: the page has it once, and prints it light.
CREATE FUNCTION workflow._report_diagram(name text, version int, counts jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '<figure class="diagram"><figcaption>' || workflow._report_text(name) || ', version ' || version || '</figcaption>'
    || '<div class="scroll" role="region" tabindex="0" aria-label="Diagram of ' || workflow._html(left(name, 120)) || '">'
    || regexp_replace(workflow._draw_svg(workflow._picture(d.document, format('%s, version %s', name, version), counts)),
                      '<style>.*?</style>', '')
    || '</div></figure>' || chr(10)
  FROM workflow.definition AS d WHERE d.workflow = name AND d.version = _report_diagram.version
$$;
COMMENT ON FUNCTION workflow._report_diagram(text, int, jsonb) IS
  'Inner: the live picture of a version, for a report';

CREATE FUNCTION workflow._report_diagram_style() RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT replace(substring(workflow._draw_svg(workflow._picture('{"workflow": "w", "initial": "A", "states": {"A": {"final": "ok"}}}', '', NULL))
                           FROM '<style>(.*?)</style>'),
                 '@media (prefers-color-scheme:dark)', '@media screen and (prefers-color-scheme:dark)')
$$;
COMMENT ON FUNCTION workflow._report_diagram_style() IS
  'Inner: the style of diagrams, dark on screens only';

-- What is drawn: the workflows with the most live items, each in the version
-- that has most of them, if it is not too large for a page.
CREATE FUNCTION workflow._report_workflows(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH stand AS MATERIALIZED (
    SELECT * FROM workflow._report_stands(frame)
  ), standing AS (
    SELECT s.workflow, s.version, sum(s.items) AS items, jsonb_object_agg(s.state, s.items) AS counts
    FROM stand AS s GROUP BY s.workflow, s.version
  ), known AS MATERIALIZED (
    SELECT w.workflow, w.owner, w.active_version, w.paused_at, w.paused_by, w.retired_at,
           coalesce(s.items, 0) AS items, s.oldest, coalesce(t.version, w.active_version, l.version) AS drawn_version, coalesce(t.counts, '{}') AS counts,
           coalesce(s.versions, 0) AS versions,
           row_number() OVER (ORDER BY coalesce(s.items, 0) DESC, w.retired_at IS NOT NULL, w.workflow) AS place
    FROM workflow.workflow AS w
    LEFT JOIN (SELECT s.workflow, sum(s.items) AS items, min(s.oldest) AS oldest, count(DISTINCT s.version) AS versions FROM stand AS s GROUP BY s.workflow) AS s
      ON s.workflow = w.workflow
    LEFT JOIN LATERAL (SELECT t.* FROM standing AS t WHERE t.workflow = w.workflow ORDER BY t.items DESC, t.version DESC LIMIT 1) AS t ON true
    LEFT JOIN LATERAL (SELECT d.version FROM workflow.definition AS d WHERE d.workflow = w.workflow ORDER BY d.version DESC LIMIT 1) AS l ON true
  ), drawn AS MATERIALIZED (
    SELECT k.* FROM (SELECT k.* FROM known AS k WHERE k.retired_at IS NULL OR k.items > 0 ORDER BY k.place LIMIT 6) AS k
    JOIN workflow.definition AS d ON d.workflow = k.workflow AND d.version = k.drawn_version
    WHERE (SELECT count(*) FROM json_object_keys(d.document -> 'states')) <= 80
      AND (SELECT count(*) FROM json_each(d.document -> 'states') AS s, json_object_keys(s.value -> 'on')) <= 400
  ), most AS (
    SELECT s.*, row_number() OVER (ORDER BY s.items DESC, s.workflow, s.version, s.state) AS place FROM stand AS s
  )
  SELECT workflow._report_table('By workflow', 'tnnttt', '{Workflow,"Live items","Oldest in its state",Owner,"New items get",Status}',
      (SELECT string_agg(workflow._report_row('tnnttt', workflow._report_text(k.workflow),
                workflow._report_number(k.items) || CASE WHEN k.versions > 1 THEN ' <small>in ' || k.versions || ' versions</small>' ELSE '' END,
                workflow._report_duration(frame.to_at - k.oldest), workflow._report_text(k.owner),
                CASE WHEN k.retired_at IS NOT NULL OR k.active_version IS NULL THEN workflow._report_text(NULL) ELSE 'version&#160;' || k.active_version END,
                concat_ws(' ', CASE WHEN k.paused_at IS NOT NULL THEN workflow._report_badge('fair', 'paused') || ' by ' || workflow._report_text(k.paused_by) END,
                               CASE WHEN k.retired_at IS NOT NULL THEN workflow._report_badge('plain', 'retired') END)),
                '' ORDER BY k.place)
       FROM known AS k WHERE k.place <= 100), 'No workflow is defined in this database.')
    || workflow._report_note((SELECT count(*) || ' more workflows are not listed: <code>SELECT * FROM workflow.versions</code>.' FROM known AS k WHERE k.place > 100 HAVING count(*) > 0))
    || coalesce(workflow._report_table('Where live items stand', 'tnnl', '{State,Items,Oldest,"For how long"}',
      (SELECT string_agg(workflow._report_row('tnnl', workflow._report_text(m.state) || '<br/><small>' || workflow._report_text(m.workflow) || ' v' || m.version || '</small>', workflow._report_number(m.items), workflow._report_duration(frame.to_at - m.oldest),
                workflow._report_stack('{"under an hour","under a day","under a week",longer}', m.ages)), '' ORDER BY m.place)
       FROM most AS m WHERE m.place <= 25), CASE WHEN EXISTS (SELECT FROM known) THEN 'No item is under way.' END)
      || CASE WHEN EXISTS (SELECT FROM most) THEN workflow._report_stack_key('{"under an hour","under a day","under a week","longer, in this order"}') ELSE '' END, '')
    || workflow._report_note((SELECT workflow._report_number(count(*)) || ' more states with ' || workflow._report_number(sum(m.items)) || ' items are not listed: <code>SELECT * FROM workflow.state_stats</code>.'
                              FROM most AS m WHERE m.place > 25 HAVING count(*) > 0))
    || coalesce((SELECT string_agg(workflow._report_diagram(d.workflow, d.drawn_version, d.counts), '' ORDER BY d.place) FROM drawn AS d), '')
    || workflow._report_note((SELECT count(*) || ' workflows are not drawn, as they have fewer items, or more than 80 states or 400 transitions: <code>SELECT workflow.diagram(''name'', format =&gt; ''svg'', live =&gt; true)</code>.'
                              FROM known AS k WHERE NOT EXISTS (SELECT FROM drawn AS d WHERE d.workflow = k.workflow) HAVING count(*) > 0))
$$;
COMMENT ON FUNCTION workflow._report_workflows(workflow._report_frame) IS
  'Inner: the part of a report that shows workflows, drawn with what stands in them';

-- ------------------------------------------------------------------ queues

-- Jobs that could run, by how much of their queue's SLA they have waited: up to
-- a half, up to all of it, more.
CREATE FUNCTION workflow._report_ready_ages(now timestamptz) RETURNS TABLE (queue text, ages bigint[])
LANGUAGE sql STRICT STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT n.queue, ARRAY[n.total - n.half, n.half - n.late, n.late]
  FROM (SELECT q.queue, count(*) AS total, count(*) FILTER (WHERE r.run_at < now - q.sla / 2) AS half, count(*) FILTER (WHERE r.run_at < now - q.sla) AS late
        FROM (SELECT j.queue, j.run_at FROM workflow.job AS j WHERE j.status = 'ready' AND NOT j.behind AND j.run_at <= now
              UNION ALL
              SELECT v.queue, l.stored_at FROM workflow._lane_jobs() AS l JOIN workflow.queue AS v ON v.queue_no = l.queue_no WHERE l.status = 'ready') AS r
        JOIN workflow.queue AS q ON q.queue = r.queue
        GROUP BY q.queue) AS n
$$;
COMMENT ON FUNCTION workflow._report_ready_ages(timestamptz) IS
  'Inner: how long jobs have waited that could run, for a report';

CREATE FUNCTION workflow._report_queues(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH found AS MATERIALIZED (
    SELECT q.*, v.escalate_to, v.paused_by, v.dead_letter_retention,
           row_number() OVER (ORDER BY extract(epoch FROM coalesce(q.oldest_ready_age, '0')) / nullif(extract(epoch FROM q.sla), 0) DESC NULLS LAST, q.queue) AS place
    FROM workflow.queue_stats AS q JOIN workflow.queue AS v ON v.queue = q.queue
  ), total AS MATERIALIZED (
    SELECT coalesce(sum(f.ready), 0) AS ready FROM found AS f
  ), age AS MATERIALIZED (
    SELECT a.* FROM total AS t, LATERAL workflow._report_ready_ages(CASE WHEN t.ready <= 100000 THEN frame.to_at END) AS a
  )
  SELECT workflow._report_table('The one nearest to its SLA first', 'tnntntlnnnnn',
      '{Queue,Ready,"Oldest ready","Of the SLA",SLA,Owner,"Escalates to",Running,Later,Waiting,Dead,"Drains in"}',
      (SELECT string_agg(workflow._report_row('tnntntlnnnnn',
                workflow._report_text(f.queue) || CASE WHEN f.paused THEN ' ' || workflow._report_badge('fair', 'paused') || ' <small>by ' || workflow._report_text(f.paused_by) || '</small>' ELSE '' END,
                workflow._report_number(f.ready), workflow._report_duration(f.oldest_ready_age),
                workflow._report_gauge(f.oldest_ready_age, f.sla) || CASE WHEN f.oldest_ready_age > f.sla THEN ' ' || workflow._report_badge('bad', 'past it') ELSE '' END,
                workflow._report_duration(f.sla), workflow._report_text(f.owner),
                coalesce((SELECT string_agg(workflow._report_text(e.name), ', ' ORDER BY e.place) FROM unnest(f.escalate_to) WITH ORDINALITY AS e (name, place)), workflow._report_text(NULL)),
                workflow._report_number(f.running), workflow._report_number(f.delayed), workflow._report_number(f.waiting), workflow._report_trouble(f.dead),
                CASE WHEN f.ready > 0 AND f.drain_estimate IS NULL THEN '<span class="none">nothing ended in 5&#160;min</span>'
                     WHEN f.ready > 0 THEN workflow._report_duration(f.drain_estimate) ELSE workflow._report_text(NULL) END),
                '' ORDER BY f.place)
       FROM found AS f WHERE f.place <= 100), 'There is no queue.')
    || workflow._report_note((SELECT count(*) || ' more queues are not listed: <code>SELECT * FROM workflow.queue_stats</code>.' FROM found AS f WHERE f.place > 100 HAVING count(*) > 0))
    || CASE WHEN EXISTS (SELECT FROM age) THEN workflow._report_table('How long ready jobs have waited', 'tnnnlt', '{Queue,"Up to half the SLA","Up to the SLA","Past it",Shares,SLA}',
      (SELECT string_agg(workflow._report_row('tnnnlt', workflow._report_text(f.queue), workflow._report_number(a.ages[1]), workflow._report_number(a.ages[2]),
                workflow._report_trouble(a.ages[3]), workflow._report_stack('{"up to half the SLA","up to the SLA","past it"}', a.ages), workflow._report_duration(f.sla)), '' ORDER BY f.place)
       FROM found AS f JOIN age AS a ON a.queue = f.queue WHERE f.place <= 25), '')
      || workflow._report_stack_key('{"up to half the SLA","up to the SLA","past it, in this order"}') ELSE '' END
    || workflow._report_note((SELECT 'How long each job has waited was not looked at: more than 100,000 could run.' FROM total AS t WHERE t.ready > 100000))
    || workflow._report_note(CASE WHEN EXISTS (SELECT FROM found) THEN 'Oldest ready: the oldest job that could run now. The mark in each bar is the SLA. Drains in: at the pace of the last five minutes.'
         || CASE WHEN EXISTS (SELECT FROM found AS f WHERE f.finish_rate IS NOT NULL) THEN '' ELSE ' That pace is not known while the library is not preloaded.' END END)
$$;
COMMENT ON FUNCTION workflow._report_queues(workflow._report_frame) IS
  'Inner: the part of a report that shows queues, whose they are, and how late they are';

-- ------------------------------------------------------------ dead letters

CREATE FUNCTION workflow._report_dead_letters(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH found AS MATERIALIZED (
    SELECT d.job_id, d.item_id, d.workflow, d.key, d.queue, d.owner, d.state, d.error_class, d.error_message, d.attempts, d.failed_at, d.due_at
    FROM workflow.dead_letters AS d LIMIT 10000
  ), kind AS MATERIALIZED (
    SELECT f.workflow, f.error_class, f.queue, f.owner, count(*) AS n, min(f.failed_at) AS oldest, max(f.failed_at) AS newest,
           count(*) FILTER (WHERE f.due_at < frame.to_at) AS late, row_number() OVER (ORDER BY count(*) DESC, f.workflow, f.error_class, f.queue) AS place
    FROM found AS f GROUP BY f.workflow, f.error_class, f.queue, f.owner
  )
  SELECT workflow._report_table('By workflow and class', 'tttnntt',
      '{Class,Queue,Owner,Letters,"Past the SLA",Oldest,Newest}',
      (SELECT string_agg(workflow._report_row('tttnntt', workflow._report_text(k.error_class) || CASE WHEN k.workflow IS NULL THEN '' ELSE '<br/><small>' || workflow._report_text(k.workflow) || '</small>' END, workflow._report_text(k.queue),
                workflow._report_text(k.owner), workflow._report_number(k.n), workflow._report_trouble(k.late), workflow._report_time(k.oldest), workflow._report_time(k.newest)), '' ORDER BY k.place)
       FROM kind AS k WHERE k.place <= 40), 'There are no dead letters.')
    || workflow._report_note((SELECT count(*) || ' more kinds of dead letters are not listed.' FROM kind AS k WHERE k.place > 40 HAVING count(*) > 0))
    || CASE WHEN EXISTS (SELECT FROM found) THEN workflow._report_table('The newest', CASE WHEN frame.details THEN 'ttttltnt' ELSE 'ttttnt' END,
      CASE WHEN frame.details THEN '{Job,Item,State,Class,Error,Owner,Attempts,Failed}'::text[] ELSE '{Job,State,Class,Owner,Attempts,Failed}' END,
      (SELECT string_agg(CASE WHEN frame.details
                THEN workflow._report_row('ttttltnt', n.job_id::text, workflow._report_text(concat_ws(':', n.workflow, n.key)), workflow._report_text(n.state), workflow._report_text(n.error_class),
                       workflow._report_text(n.error_message, 240), workflow._report_text(n.owner), workflow._report_number(n.attempts), workflow._report_time(n.failed_at))
                ELSE workflow._report_row('ttttnt', n.job_id::text, workflow._report_text(n.state), workflow._report_text(n.error_class),
                       workflow._report_text(n.owner), workflow._report_number(n.attempts), workflow._report_time(n.failed_at)) END, '' ORDER BY n.failed_at DESC, n.job_id DESC)
       FROM (SELECT f.* FROM found AS f ORDER BY f.failed_at DESC, f.job_id DESC LIMIT 10) AS n), '') ELSE '' END
    || workflow._report_note((SELECT 'There are more than 10,000: these are some of them. <code>SELECT * FROM workflow.dead_letters</code>.' FROM found HAVING count(*) = 10000))
    || workflow._report_note(CASE WHEN EXISTS (SELECT FROM found) THEN 'When the cause is mended: <code>SELECT workflow.replay(item, ''reason'')</code>, <code>workflow.replay_job(job, ''reason'')</code>, or <code>workflow.give_up(item, ''reason'')</code>.' END)
$$;
COMMENT ON FUNCTION workflow._report_dead_letters(workflow._report_frame) IS
  'Inner: the part of a report that shows what ended without success and waits for its owner';

-- ----------------------------------------------------------------- effects

-- Of the span, those that have ended; now, those that have not.
CREATE FUNCTION workflow._report_effect_counts(since timestamptz, most bigint)
RETURNS TABLE (endpoint text, succeeded bigint, failed bigint, dead bigint, cancelled bigint, waiting bigint, in_flight bigint, unknown bigint, held bigint, blocked bigint, looked_at bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH ended AS MATERIALIZED (
    SELECT n.endpoint_id, n.state, count(*) AS n
    FROM (SELECT e.endpoint_id, e.state FROM workflow.effect AS e
          WHERE e.finished_at >= since AND e.finished_at IS NOT NULL AND e.purged_at IS NULL
          ORDER BY e.finished_at DESC LIMIT most) AS n
    GROUP BY 1, 2
  ), open AS (
    SELECT e.endpoint_id, e.state, count(*) AS n FROM workflow.effect AS e
    WHERE e.state IN ('pending', 'claimed', 'sending', 'unknown', 'held', 'blocked') GROUP BY 1, 2
  )
  SELECT p.endpoint, coalesce(sum(c.n) FILTER (WHERE c.state = 'succeeded'), 0)::bigint, coalesce(sum(c.n) FILTER (WHERE c.state = 'failed'), 0)::bigint,
         coalesce(sum(c.n) FILTER (WHERE c.state = 'dead'), 0)::bigint, coalesce(sum(c.n) FILTER (WHERE c.state = 'cancelled'), 0)::bigint,
         coalesce(sum(c.n) FILTER (WHERE c.state = 'pending'), 0)::bigint, coalesce(sum(c.n) FILTER (WHERE c.state IN ('claimed', 'sending')), 0)::bigint,
         coalesce(sum(c.n) FILTER (WHERE c.state = 'unknown'), 0)::bigint, coalesce(sum(c.n) FILTER (WHERE c.state = 'held'), 0)::bigint,
         coalesce(sum(c.n) FILTER (WHERE c.state = 'blocked'), 0)::bigint, (SELECT coalesce(sum(n.n), 0) FROM ended AS n)::bigint
  FROM workflow.endpoint AS p
  LEFT JOIN (SELECT * FROM ended UNION ALL SELECT * FROM open) AS c USING (endpoint_id)
  GROUP BY p.endpoint
$$;
COMMENT ON FUNCTION workflow._report_effect_counts(timestamptz, bigint) IS
  'Inner: effects by endpoint and state, for a report; looked_at is how many of the span there were, at most most';

CREATE FUNCTION workflow._report_effects(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH count AS MATERIALIZED (
    SELECT c.*, s.owner, s.dedup, s.breaker, s.paused_at, s.endpoint IS NULL AS is_gone,
           row_number() OVER (ORDER BY c.held + c.unknown + c.blocked DESC, c.succeeded + c.failed + c.dead DESC, c.endpoint) AS place
    FROM workflow._report_effect_counts(frame.from_at, 100000) AS c LEFT JOIN workflow.endpoints AS s ON s.endpoint = c.endpoint
  ), asked AS MATERIALIZED (
    SELECT e.effect_id, e.endpoint, e.key, e.state, e.owner, e.reason, e.error_class, e.item_id, e.created_at, w.owner AS workflow_owner, o.place
    FROM (SELECT n.effect_id, row_number() OVER (ORDER BY n.state = 'held' DESC, n.state = 'unknown' DESC, n.effect_id) AS place
          FROM workflow.effect AS n WHERE n.state IN ('unknown', 'held', 'blocked')
          ORDER BY place LIMIT 20) AS o
    JOIN workflow.effects AS e ON e.effect_id = o.effect_id
    LEFT JOIN workflow.item AS i ON i.item_id = e.item_id
    LEFT JOIN workflow.workflow AS w ON w.workflow = i.workflow
  )
  SELECT workflow._report_table('By endpoint', 'ttnnnnnnnnnt',
      '{Endpoint,Owner,Succeeded,Failed,Dead,Cancelled,Waiting,"In flight",Unknown,Held,Blocked,Status}',
      (SELECT string_agg(workflow._report_row('ttnnnnnnnnnt', workflow._report_text(c.endpoint), workflow._report_text(c.owner), workflow._report_number(c.succeeded),
                workflow._report_trouble(c.failed, 'fair'), workflow._report_trouble(c.dead), workflow._report_number(c.cancelled), workflow._report_number(c.waiting),
                workflow._report_number(c.in_flight), workflow._report_trouble(c.unknown, 'fair'), workflow._report_trouble(c.held), workflow._report_trouble(c.blocked),
                concat_ws(' ', CASE WHEN c.breaker <> 'closed' THEN workflow._report_badge('bad', 'breaker ' || replace(c.breaker, '_', ' ')) END,
                               CASE WHEN c.paused_at IS NOT NULL THEN workflow._report_badge('fair', 'paused') END,
                               CASE WHEN c.is_gone THEN workflow._report_badge('plain', 'no server') END)), '' ORDER BY c.place)
       FROM count AS c WHERE c.place <= 50), 'Nothing was ever to be done outside.')
    || workflow._report_note((SELECT count(*) || ' more endpoints are not listed: <code>SELECT * FROM workflow.endpoints</code>.' FROM count AS c WHERE c.place > 50 HAVING count(*) > 0))
    || workflow._report_note((SELECT 'Succeeded to cancelled: what ended in this time' || CASE WHEN max(c.looked_at) >= 100000 THEN ', of the last 100,000' ELSE '' END
                                     || ' and has not been purged. Waiting to blocked: now.' FROM count AS c HAVING count(*) > 0))
    || CASE WHEN EXISTS (SELECT FROM count) THEN workflow._report_table('Who is asked about what', CASE WHEN frame.details THEN 'tttttlt' ELSE 'tttttt' END,
      CASE WHEN frame.details THEN '{Effect,State,Asked,Endpoint,Key,Reason,Since}'::text[] ELSE '{Effect,State,Asked,Endpoint,Class,Since}' END,
      (SELECT string_agg(CASE WHEN frame.details
                THEN workflow._report_row('tttttlt', a.effect_id::text, workflow._report_badge(CASE a.state WHEN 'unknown' THEN 'fair' ELSE 'bad' END, a.state),
                       workflow._report_text(coalesce(a.owner, a.workflow_owner)), workflow._report_text(a.endpoint), workflow._report_text(a.key), workflow._report_text(a.reason, 240), workflow._report_time(a.created_at))
                ELSE workflow._report_row('tttttt', a.effect_id::text, workflow._report_badge(CASE a.state WHEN 'unknown' THEN 'fair' ELSE 'bad' END, a.state),
                       workflow._report_text(coalesce(a.owner, a.workflow_owner)), workflow._report_text(a.endpoint), workflow._report_text(a.error_class), workflow._report_time(a.created_at)) END, '' ORDER BY a.place)
       FROM asked AS a), 'No effect is held, unknown or blocked.') ELSE '' END
    || workflow._report_note((SELECT workflow._report_number(sum(c.held + c.unknown + c.blocked) - 20) || ' more are not listed: <code>SELECT * FROM workflow.effects WHERE state IN (''held'', ''unknown'', ''blocked'')</code>.'
                              FROM count AS c HAVING sum(c.held + c.unknown + c.blocked) > 20))
$$;
COMMENT ON FUNCTION workflow._report_effects(workflow._report_frame) IS
  'Inner: the part of a report that shows what was done outside, and what a person is asked about';

-- ----------------------------------------------------------------- reviews

-- The newest reviews that were decided in the span.
CREATE FUNCTION workflow._report_decided(from_at timestamptz, to_at timestamptz, most bigint)
RETURNS TABLE (queue text, workflow text, state text, decision text, edited boolean, took interval)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT r.queue, i.workflow, r.state, r.decision, r.patch IS NOT NULL, r.decided_at - r.opened_at
  FROM (SELECT n.* FROM workflow.review AS n ORDER BY n.review_id DESC LIMIT most) AS r
  JOIN workflow.item AS i ON i.item_id = r.item_id
  WHERE r.decided_at >= from_at AND r.decided_at <= to_at
$$;
COMMENT ON FUNCTION workflow._report_decided(timestamptz, timestamptz, bigint) IS
  'Inner: reviews that were decided in a time, looked for among the newest';

CREATE FUNCTION workflow._report_open_reviews(now timestamptz)
RETURNS TABLE (queue text, n bigint, nobodys bigint, overdue bigint, escalated bigint, due_at timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT r.queue, count(*), count(*) FILTER (WHERE r.assignee IS NULL), count(*) FILTER (WHERE r.due_at < now),
         count(*) FILTER (WHERE r.step > 0), min(r.due_at)
  FROM workflow.review AS r WHERE r.closed_at IS NULL AND r.decided_at IS NULL GROUP BY r.queue
$$;
COMMENT ON FUNCTION workflow._report_open_reviews(timestamptz) IS
  'Inner: open reviews by queue, for a report';

CREATE FUNCTION workflow._report_reviews(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH decided AS MATERIALIZED (
    SELECT * FROM workflow._report_decided(frame.from_at, frame.to_at, 20000)
  ), open AS MATERIALIZED (
    SELECT r.queue, q.owner, r.n, r.nobodys, r.overdue, r.escalated, r.due_at
    FROM workflow._report_open_reviews(frame.to_at) AS r LEFT JOIN workflow.queue AS q ON q.queue = r.queue
  ), per_queue AS (
    SELECT d.queue, count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM d.took)) AS took FROM decided AS d GROUP BY d.queue
  ), tier AS MATERIALIZED (
    SELECT o.workflow, o.state AS gate, o.tier, o.diverted, max(o.tier_decided) AS decided, sum(o.reviews) AS reviewed,
           coalesce(sum(o.reviews) FILTER (WHERE o.verdict = 'agreed'), 0) AS agreed, coalesce(sum(o.edited) FILTER (WHERE o.verdict = 'agreed'), 0) AS edited,
           coalesce(sum(o.reviews) FILTER (WHERE o.verdict = 'overruled'), 0) AS overruled, max(o.overruled_share) AS share
    FROM workflow._override_stats(frame.caller, frame.to_at - frame.from_at) AS o GROUP BY 1, 2, 3, 4
  )
  SELECT workflow._report_table('By queue', 'ttnnnntnn', '{Queue,Owner,Open,"Of nobody",Overdue,Escalated,"Next due",Decided,"Half took"}',
      (SELECT string_agg(workflow._report_row('ttnnnntnn', workflow._report_text(queue), workflow._report_text(coalesce(o.owner, q.owner)), workflow._report_number(coalesce(o.n, 0)), workflow._report_number(coalesce(o.nobodys, 0)),
                workflow._report_trouble(coalesce(o.overdue, 0)), workflow._report_trouble(coalesce(o.escalated, 0), 'fair'), workflow._report_time(o.due_at),
                workflow._report_number(coalesce(p.n, 0)), CASE WHEN p.took IS NULL THEN workflow._report_text(NULL) ELSE '&#8804;&#160;' || workflow._report_duration(make_interval(secs => p.took)) END),
                '' ORDER BY coalesce(o.overdue, 0) DESC, queue)
       FROM open AS o FULL JOIN per_queue AS p USING (queue) LEFT JOIN workflow.queue AS q USING (queue)), 'No review is open, and none was decided in this time.')
    || CASE WHEN EXISTS (SELECT FROM decided) THEN workflow._report_table('What people decided', 'tttnn', '{Decision,Workflow,State,Reviews,Edited}',
      (SELECT string_agg(workflow._report_row('tttnn', workflow._report_text(c.decision), workflow._report_text(c.workflow), workflow._report_text(c.state),
                workflow._report_number(c.n), workflow._report_number(c.edited)), '' ORDER BY c.n DESC, c.workflow, c.state, c.decision)
       FROM (SELECT d.decision, d.workflow, d.state, count(*) AS n, count(*) FILTER (WHERE d.edited) AS edited FROM decided AS d GROUP BY 1, 2, 3
             ORDER BY 4 DESC, 2, 3, 1 LIMIT 40) AS c), '')
      ELSE '' END
    || workflow._report_table('How often people overruled a gate', 'tttnnnnnn', '{Tier,Workflow,Gate,"Gate decided",Reviewed,Agreed,"Of these edited",Overruled,Share}',
      (SELECT string_agg(workflow._report_row('tttnnnnnn', workflow._report_text(t.tier) || CASE WHEN t.diverted IS NULL THEN '' ELSE ' ' || workflow._report_badge('plain', t.diverted) END,
                workflow._report_text(t.workflow), workflow._report_text(t.gate), workflow._report_number(t.decided), workflow._report_number(t.reviewed), workflow._report_number(t.agreed),
                workflow._report_number(t.edited), workflow._report_number(t.overruled), coalesce(round(100 * t.share) || '&#160;%', workflow._report_text(NULL))), '' ORDER BY t.workflow, t.gate, t.tier, t.diverted)
       FROM tier AS t), 'People judged no decision of a gate.')
    || workflow._report_note((SELECT 'Of decisions of gates since ' || to_char(frame.from_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' (UTC); sample and shadow: people were asked whatever the tier.' FROM tier HAVING count(*) > 0))
    || workflow._report_note(CASE WHEN (SELECT count(*) FROM (SELECT FROM workflow.review LIMIT 20000) AS r) = 20000 THEN 'Decisions were looked for among the newest 20,000 reviews.' END)
$$;
COMMENT ON FUNCTION workflow._report_reviews(workflow._report_frame) IS
  'Inner: the part of a report that shows what people were asked and how often they overruled a gate';

-- ------------------------------------------------------------------ alerts

CREATE FUNCTION workflow._report_alerts(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH alert AS MATERIALIZED (
    SELECT a.*, row_number() OVER (PARTITION BY a.cleared_at IS NULL ORDER BY a.severity, coalesce(a.cleared_at, a.opened_at) DESC, a.id) AS place
    FROM (SELECT a.* FROM workflow.alerts AS a WHERE a.cleared_at IS NULL OR a.cleared_at >= frame.from_at LIMIT 10000) AS a
  )
  SELECT workflow._report_table('Open', 'tttltt', '{Alert,Severity,Owner,What,Opened,Acknowledged}',
      (SELECT string_agg(workflow._report_row('tttltt', workflow._report_text(replace(a.kind, '_', ' ')) || '<br/><small>' || workflow._report_text(a.subject) || '</small>',
                workflow._report_badge(CASE a.severity WHEN 'page' THEN 'bad' ELSE 'fair' END, a.severity), workflow._report_text(a.owner),
                workflow._report_text(CASE WHEN frame.details THEN a.detail END, 300), workflow._report_time(a.opened_at),
                CASE WHEN a.acknowledged_at IS NULL THEN 'by nobody' ELSE 'by ' || workflow._report_text(a.acknowledged_by) || '<br/>' || workflow._report_time(a.acknowledged_at) END), '' ORDER BY a.place)
       FROM alert AS a WHERE a.cleared_at IS NULL AND a.place <= 50), 'No alert is open.')
    || workflow._report_table('Cleared in this time', 'tttttn', '{Alert,Severity,Owner,Opened,Cleared,Lasted}',
      (SELECT string_agg(workflow._report_row('tttttn', workflow._report_text(replace(a.kind, '_', ' ')) || '<br/><small>' || workflow._report_text(a.subject) || '</small>',
                workflow._report_badge('plain', a.severity), workflow._report_text(a.owner),
                workflow._report_time(a.opened_at), workflow._report_time(a.cleared_at), workflow._report_duration(a.cleared_at - a.opened_at)), '' ORDER BY a.place)
       FROM alert AS a WHERE a.cleared_at IS NOT NULL AND a.place <= 50), 'None was cleared in this time.')
    || workflow._report_note((SELECT count(*) || ' more are not listed: <code>SELECT * FROM workflow.alerts</code>.' FROM alert AS a WHERE a.place > 50 HAVING count(*) > 0))
$$;
COMMENT ON FUNCTION workflow._report_alerts(workflow._report_frame) IS
  'Inner: the part of a report that shows alerts that are open, and those that were';

-- ------------------------------------------------------------------- tiles

-- The numbers that one looks at first.
CREATE FUNCTION workflow._report_tile(name text, value text, remark text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '<div class="tile"><dt>' || name || '</dt><dd>' || value || coalesce('<small>' || remark || '</small>', '') || '</dd></div>' || chr(10)
$$;
COMMENT ON FUNCTION workflow._report_tile(text, text, text) IS
  'Inner: one of the large numbers of a report';

CREATE FUNCTION workflow._report_tiles(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH job AS MATERIALIZED (
    SELECT coalesce(sum(q.ready), 0) AS ready, coalesce(sum(q.running), 0) AS running, coalesce(sum(q.delayed), 0) AS delayed,
           count(*) FILTER (WHERE q.sla_breached) AS late
    FROM workflow.queues AS q
  ), dead AS (
    SELECT count(*) AS n FROM workflow.job AS j WHERE j.status = 'dead' OR (j.kind = 'exception' AND j.status = 'waiting')
  ), effect AS (
    SELECT count(*) FILTER (WHERE e.state = 'held') AS held, count(*) FILTER (WHERE e.state = 'unknown') AS unknown,
           count(*) FILTER (WHERE e.state = 'blocked') AS blocked
    FROM workflow.effect AS e WHERE e.state IN ('held', 'unknown', 'blocked')
  ), alert AS (
    SELECT count(*) AS open, count(*) FILTER (WHERE a.severity = 'page') AS pages FROM workflow.alert AS a WHERE a.cleared_at IS NULL
  ), review AS (
    SELECT coalesce(sum(r.n), 0) AS open, coalesce(sum(r.overdue), 0) AS overdue FROM workflow._report_open_reviews(frame.to_at) AS r
  )
  SELECT '<dl class="tiles">' || chr(10)
    || workflow._report_tile('Open alerts', workflow._report_trouble(a.open), workflow._report_trouble(a.pages) || ' that call somebody')
    || workflow._report_tile('Ready jobs', workflow._report_number(j.ready),
         workflow._report_number(j.running) || ' running, ' || workflow._report_number(j.delayed) || ' due later')
    || workflow._report_tile('Queues past their SLA', workflow._report_trouble(j.late), 'by the oldest job that could run')
    || workflow._report_tile('Dead letters', workflow._report_trouble(d.n), 'wait for their owners')
    || workflow._report_tile('Effects held', workflow._report_trouble(e.held),
         workflow._report_number(e.unknown) || ' unknown, ' || workflow._report_number(e.blocked) || ' blocked')
    || workflow._report_tile('Open reviews', workflow._report_number(r.open), workflow._report_trouble(r.overdue) || ' overdue')
    || '</dl>' || chr(10)
  FROM job AS j, dead AS d, effect AS e, review AS r, alert AS a
$$;
COMMENT ON FUNCTION workflow._report_tiles(workflow._report_frame) IS
  'Inner: the large numbers at the top of a report';
