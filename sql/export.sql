--
-- export: figures for those who watch from outside.
--
-- Each inner view says what it knows as (metric, labels, value); workflow._metric_kinds() says
-- what a metric means.  Labels name what there is little of: workflows, states, queues,
-- endpoints; never an item.  What nothing happened to is there with 0.
--

CREATE FUNCTION workflow._metric_kinds() RETURNS TABLE (metric text, type text, help text) LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
  VALUES
    ('pg_workflow_items', 'gauge', 'Items in a state.'),
    ('pg_workflow_state_oldest_age_seconds', 'gauge', 'How long ago the oldest living item of a state entered it, to the minute.'),
    ('pg_workflow_state_time_seconds', 'gauge', 'How long the items stayed that left a state in the last day; a percentile of that.'),
    ('pg_workflow_transitions_total', 'counter', 'Moves of items into a state; a submission is one into the initial state.'),
    ('pg_workflow_items_submitted_total', 'counter', 'Items submitted.'),
    ('pg_workflow_items_ended_total', 'counter', 'Items that have ended, by outcome.'),
    ('pg_workflow_queue_info', 'gauge', 'Always 1; says who owns a queue.'),
    ('pg_workflow_queue_sla_seconds', 'gauge', 'How long a job of a queue may wait.'),
    ('pg_workflow_queue_paused', 'gauge', 'Whether a queue is paused.'),
    ('pg_workflow_queue_ready', 'gauge', 'Jobs that could be claimed.'),
    ('pg_workflow_queue_delayed', 'gauge', 'Jobs that wait for a time.'),
    ('pg_workflow_queue_running', 'gauge', 'Jobs that somebody works on.'),
    ('pg_workflow_queue_waiting', 'gauge', 'Jobs that wait for an effect or a person.'),
    ('pg_workflow_queue_dead', 'gauge', 'Dead letters.'),
    ('pg_workflow_queue_oldest_ready_age_seconds', 'gauge', 'For how long the oldest job could have been claimed; 0 when there is none.'),
    ('pg_workflow_queue_jobs_per_second', 'gauge', 'Jobs stored, claimed (started), finished and attempts failed, a second, over five minutes.'),
    ('pg_workflow_queue_wait_seconds', 'gauge', 'How long jobs had waited that were claimed lately; a percentile of that.'),
    ('pg_workflow_queue_run_seconds', 'gauge', 'How long attempts took that ended lately; a percentile of that.'),
    ('pg_workflow_reviews_open', 'gauge', 'Open questions to people; at most 10000 are counted.'),
    ('pg_workflow_reviews_overdue', 'gauge', 'Open questions to people that are past their due time; at most 10000 are counted.'),
    ('pg_workflow_leases_expired', 'gauge', 'Jobs whose lease has ended and that were not given back; at most 10000 are counted.'),
    ('pg_workflow_timers_overdue', 'gauge', 'Timers of items that are past their time; at most 10000 are counted.'),
    ('pg_workflow_endpoint_info', 'gauge', 'Always 1; says who owns an endpoint.'),
    ('pg_workflow_endpoint_paused', 'gauge', 'Whether an endpoint is paused.'),
    ('pg_workflow_endpoint_breaker_open', 'gauge', 'Whether the breaker of an endpoint is open or half open.'),
    ('pg_workflow_effects', 'gauge', 'Effects that are being sent, whose outcome is unknown, or that are held or blocked.'),
    ('pg_workflow_effect_attempts_total', 'counter', 'Attempts of effects, by result and class of error.'),
    ('pg_workflow_webhooks_unfed', 'gauge', 'Webhooks that did not fit and were kept; at most 10000 are counted.'),
    ('pg_workflow_alerts', 'gauge', 'Open alerts, by kind, severity and owner.'),
    ('pg_workflow_workers', 'gauge', 'Background workers of this database; resting ones take turns with other databases.');
END;
COMMENT ON FUNCTION workflow._metric_kinds() IS 'Inner: what each metric is and means';

CREATE FUNCTION workflow._seconds(length interval) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.date_part('epoch', length);
COMMENT ON FUNCTION workflow._seconds(interval) IS 'Inner: a length of time in seconds';

-- Beside the states that items were in, those of the versions that new items get.
CREATE VIEW workflow._metrics_of_states AS
  WITH figure AS (
    SELECT s.workflow, s.state, pg_catalog.max(s.outcome) AS outcome, pg_catalog.sum(s.items) AS items, pg_catalog.sum(s.entered) AS entered,
           pg_catalog.max(s.oldest_age) AS oldest_age, pg_catalog.max(s.p50_time) AS p50_time, pg_catalog.max(s.p95_time) AS p95_time
    FROM workflow.state_stats AS s GROUP BY s.workflow, s.state
  ), known AS (
    SELECT w.workflow, k.state, d.document -> 'states' -> k.state ->> 'final' AS outcome
    FROM workflow.workflow AS w
    JOIN workflow.definition AS d ON d.workflow = w.workflow AND d.version = w.active_version,
    LATERAL pg_catalog.json_object_keys(d.document -> 'states') AS k (state)
  ), state AS (
    SELECT coalesce(k.workflow, f.workflow) AS workflow, coalesce(k.state, f.state) AS state,
           coalesce(f.outcome, k.outcome) AS outcome,
           coalesce(f.items, 0) AS items, coalesce(f.entered, 0) AS entered, f.oldest_age, f.p50_time, f.p95_time
    FROM known AS k FULL JOIN figure AS f ON f.workflow = k.workflow AND f.state = k.state
  )
  SELECT m.metric, pg_catalog.jsonb_build_object('workflow', s.workflow, 'state', s.state) || m.labels AS labels, m.value
  FROM state AS s, LATERAL (VALUES
    ('pg_workflow_items', '{}'::jsonb, s.items::double precision),
    ('pg_workflow_transitions_total', '{}', s.entered),
    ('pg_workflow_state_oldest_age_seconds', '{}', coalesce(workflow._seconds(s.oldest_age), 0)),
    ('pg_workflow_state_time_seconds', '{"percentile": "50"}', workflow._seconds(s.p50_time)),
    ('pg_workflow_state_time_seconds', '{"percentile": "95"}', workflow._seconds(s.p95_time))) AS m (metric, labels, value)
  WHERE m.value IS NOT NULL
  UNION ALL
  SELECT 'pg_workflow_items_ended_total', pg_catalog.jsonb_build_object('workflow', s.workflow, 'outcome', s.outcome), pg_catalog.sum(s.entered)
  FROM state AS s WHERE s.outcome IS NOT NULL GROUP BY s.workflow, s.outcome;
COMMENT ON VIEW workflow._metrics_of_states IS 'Inner: metrics of items by state';

CREATE VIEW workflow._metrics_of_workflows AS
  SELECT 'pg_workflow_items_submitted_total' AS metric, pg_catalog.jsonb_build_object('workflow', w.workflow) AS labels,
         coalesce(f.submitted, 0)::double precision AS value
  FROM workflow.workflow AS w
  LEFT JOIN (SELECT s.workflow, pg_catalog.sum(s.submitted) AS submitted
             FROM workflow._state_figures AS s GROUP BY s.workflow) AS f ON f.workflow = w.workflow;
COMMENT ON VIEW workflow._metrics_of_workflows IS 'Inner: metrics of items by workflow';

CREATE VIEW workflow._metrics_of_queues AS
  SELECT m.metric, pg_catalog.jsonb_build_object('queue', q.queue) || m.labels AS labels, m.value
  FROM workflow.queue_stats AS q, LATERAL (VALUES
    ('pg_workflow_queue_info', pg_catalog.jsonb_build_object('owner', q.owner), 1::double precision),
    ('pg_workflow_queue_sla_seconds', '{}', workflow._seconds(q.sla)),
    ('pg_workflow_queue_paused', '{}', q.paused::int),
    ('pg_workflow_queue_ready', '{}', q.ready),
    ('pg_workflow_queue_delayed', '{}', q.delayed),
    ('pg_workflow_queue_running', '{}', q.running),
    ('pg_workflow_queue_waiting', '{}', q.waiting),
    ('pg_workflow_queue_dead', '{}', q.dead),
    ('pg_workflow_queue_oldest_ready_age_seconds', '{}', coalesce(workflow._seconds(q.oldest_ready_age), 0)),
    ('pg_workflow_queue_jobs_per_second', '{"what": "stored"}', q.enqueue_rate[2]),
    ('pg_workflow_queue_jobs_per_second', '{"what": "started"}', q.start_rate[2]),
    ('pg_workflow_queue_jobs_per_second', '{"what": "finished"}', q.finish_rate[2]),
    ('pg_workflow_queue_jobs_per_second', '{"what": "failed"}', q.fail_rate[2]),
    ('pg_workflow_queue_wait_seconds', '{"percentile": "50"}', workflow._seconds(q.p50_wait)),
    ('pg_workflow_queue_wait_seconds', '{"percentile": "95"}', workflow._seconds(q.p95_wait)),
    ('pg_workflow_queue_run_seconds', '{"percentile": "50"}', workflow._seconds(q.p50_run)),
    ('pg_workflow_queue_run_seconds', '{"percentile": "95"}', workflow._seconds(q.p95_run))) AS m (metric, labels, value)
  WHERE m.value IS NOT NULL;
COMMENT ON VIEW workflow._metrics_of_queues IS 'Inner: metrics of queues';

CREATE VIEW workflow._metrics_of_people AS
  SELECT m.metric, pg_catalog.jsonb_build_object('queue', q.queue) AS labels, m.value::double precision AS value
  FROM workflow.queue AS q, LATERAL (VALUES
    ('pg_workflow_reviews_open',
     (SELECT pg_catalog.count(*) FROM (SELECT FROM workflow.review AS r
        WHERE r.queue = q.queue AND r.closed_at IS NULL LIMIT 10000) AS few)),
    ('pg_workflow_reviews_overdue',
     (SELECT pg_catalog.count(*) FROM (SELECT FROM workflow.review AS r
        WHERE r.queue = q.queue AND r.closed_at IS NULL AND r.due_at < pg_catalog.clock_timestamp() LIMIT 10000) AS few)),
    ('pg_workflow_leases_expired',
     (SELECT pg_catalog.count(*) FROM (SELECT FROM workflow.job AS j
        WHERE j.queue = q.queue AND j.status = 'running' AND j.lease_until < pg_catalog.clock_timestamp()
          AND workflow._lease_end(j.job_id, j.token, j.lease_until) < pg_catalog.clock_timestamp() LIMIT 10000) AS few))
    ) AS m (metric, value);
COMMENT ON VIEW workflow._metrics_of_people IS 'Inner: metrics of reviews and leases, by queue';

CREATE VIEW workflow._metrics_of_endpoints AS
  WITH endpoint AS (
    SELECT p.endpoint_id, s.srvname::text AS endpoint, p.paused_at, coalesce(p.breaker, 'closed') AS breaker,
           (SELECT o.option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) AS o WHERE o.option_name = 'owner') AS owner
    FROM pg_catalog.pg_foreign_server AS s
    JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'workflow_http'
    LEFT JOIN workflow.endpoint AS p ON p.server_oid = s.oid
  ), unsettled AS (
    SELECT e.endpoint_id, e.state, pg_catalog.count(*) AS effects
    FROM workflow.effect AS e WHERE e.state IN ('sending', 'unknown', 'held', 'blocked')
    GROUP BY e.endpoint_id, e.state
  ), attempt AS (
    SELECT c.endpoint_id, c.outcome, c.error_class, pg_catalog.sum(c.attempts) AS attempts
    FROM (SELECT a.endpoint_id, a.outcome, a.error_class, a.attempts FROM workflow.attempt_count AS a
          UNION ALL
          SELECT d.endpoint_id, d.outcome, d.error_class, d.attempts FROM workflow.attempt_delta AS d) AS c
    GROUP BY c.endpoint_id, c.outcome, c.error_class
  )
  SELECT m.metric, pg_catalog.jsonb_build_object('endpoint', e.endpoint) || m.labels AS labels, m.value::double precision AS value
  FROM endpoint AS e, LATERAL (VALUES
    ('pg_workflow_endpoint_info', pg_catalog.jsonb_build_object('owner', coalesce(e.owner, '')), 1),
    ('pg_workflow_endpoint_paused', '{}', (e.paused_at IS NOT NULL)::int),
    ('pg_workflow_endpoint_breaker_open', '{}', (e.breaker <> 'closed')::int)) AS m (metric, labels, value)
  UNION ALL
  SELECT 'pg_workflow_effects', pg_catalog.jsonb_build_object('endpoint', e.endpoint, 'state', s.state), coalesce(u.effects, 0)
  FROM endpoint AS e CROSS JOIN (VALUES ('sending'), ('unknown'), ('held'), ('blocked')) AS s (state)
  LEFT JOIN unsettled AS u ON u.endpoint_id = e.endpoint_id AND u.state = s.state
  UNION ALL
  SELECT 'pg_workflow_effect_attempts_total',
         pg_catalog.jsonb_build_object('endpoint', p.endpoint, 'result', a.outcome, 'class', a.error_class), a.attempts
  FROM attempt AS a JOIN workflow.endpoint AS p ON p.endpoint_id = a.endpoint_id
  UNION ALL
  SELECT 'pg_workflow_effect_attempts_total', pg_catalog.jsonb_build_object('endpoint', e.endpoint, 'result', 'ok', 'class', ''), 0
  FROM endpoint AS e
  WHERE NOT EXISTS (SELECT FROM attempt AS a JOIN workflow.endpoint AS p ON p.endpoint_id = a.endpoint_id
                    WHERE p.endpoint = e.endpoint AND a.outcome = 'ok' AND a.error_class = '');
COMMENT ON VIEW workflow._metrics_of_endpoints IS 'Inner: metrics of endpoints and their effects';

CREATE VIEW workflow._metrics_of_rest AS
  SELECT 'pg_workflow_timers_overdue' AS metric, '{}'::jsonb AS labels,
         (SELECT pg_catalog.count(*) FROM (SELECT FROM workflow.timer AS t
            WHERE t.due_at < pg_catalog.clock_timestamp() LIMIT 10000) AS few)::double precision AS value
  UNION ALL
  SELECT 'pg_workflow_webhooks_unfed', pg_catalog.jsonb_build_object('source', s.source), coalesce(u.n, 0)
  FROM workflow.source AS s
  LEFT JOIN (SELECT i.source, pg_catalog.count(*) AS n
             FROM (SELECT b.source FROM workflow.inbox AS b WHERE b.status = 'unfed' LIMIT 10000) AS i
             GROUP BY i.source) AS u ON u.source = s.source
  WHERE s.dropped_at IS NULL OR u.n > 0
  UNION ALL
  SELECT 'pg_workflow_workers', pg_catalog.jsonb_build_object('kind', k.kind, 'state', k.state),
         (SELECT pg_catalog.count(*) FROM workflow.workers AS w WHERE w.kind = k.kind AND w.state = k.state)
  FROM (VALUES ('maintenance', 'running'), ('maintenance', 'resting'), ('sql', 'running'), ('http', 'running')) AS k (kind, state);
COMMENT ON VIEW workflow._metrics_of_rest IS 'Inner: metrics of timers, webhooks and workers';

-- Of a severity of which none is open there is a 0 that is nobody's.
CREATE VIEW workflow._metrics_of_alerts AS
  WITH few AS (
    SELECT a.kind, a.severity, a.owner, pg_catalog.count(*) AS n
    FROM workflow.alert AS a WHERE a.cleared_at IS NULL GROUP BY a.kind, a.severity, a.owner
  )
  SELECT 'pg_workflow_alerts' AS metric, pg_catalog.jsonb_build_object('kind', f.kind, 'severity', f.severity, 'owner', f.owner) AS labels,
         f.n::double precision AS value
  FROM few AS f
  UNION ALL
  SELECT 'pg_workflow_alerts', pg_catalog.jsonb_build_object('kind', '', 'severity', s.severity, 'owner', ''), 0
  FROM (VALUES ('page'), ('ticket')) AS s (severity)
  WHERE s.severity NOT IN (SELECT f.severity FROM few AS f);
COMMENT ON VIEW workflow._metrics_of_alerts IS 'Inner: metrics of alerts';

CREATE VIEW workflow.metrics AS
  SELECT m.metric, k.type, k.help, m.labels, m.value, m.about
  FROM (SELECT s.*, 'states' AS about FROM workflow._metrics_of_states AS s
        UNION ALL SELECT w.*, 'workflows' FROM workflow._metrics_of_workflows AS w
        UNION ALL SELECT q.*, 'queues' FROM workflow._metrics_of_queues AS q
        UNION ALL SELECT p.*, 'people' FROM workflow._metrics_of_people AS p
        UNION ALL SELECT e.*, 'endpoints' FROM workflow._metrics_of_endpoints AS e
        UNION ALL SELECT a.*, 'alerts' FROM workflow._metrics_of_alerts AS a
        UNION ALL SELECT r.*, 'rest' FROM workflow._metrics_of_rest AS r) AS m
  JOIN workflow._metric_kinds() AS k ON k.metric = m.metric;
COMMENT ON VIEW workflow.metrics IS
  'Figures for exporters: counters and gauges with labels of few values, in seconds';

COMMENT ON COLUMN workflow.metrics.about IS 'states, workflows, queues, people, endpoints, alerts or rest: who asks for one of them does not have the others looked up';

CREATE FUNCTION workflow._escape_label(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(value, E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n');
COMMENT ON FUNCTION workflow._escape_label(text) IS 'Inner: a label value as the text exposition writes it';

CREATE FUNCTION workflow._prometheus(caller text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(string_agg(format(E'# HELP %s %s\n# TYPE %s %s\n%s', g.metric, g.help, g.metric, g.type, g.samples), '' ORDER BY g.metric), '')
  FROM (SELECT m.metric, m.type, m.help,
               string_agg(format(E'%s%s %s\n', m.metric, l.labels, m.value), '' ORDER BY m.labels) AS samples
        FROM workflow.metrics AS m,
             LATERAL (SELECT '{' || string_agg(format('%s="%s"', e.key, workflow._escape_label(e.value)), ',' ORDER BY e.key) || '}'
                      FROM jsonb_each_text(m.labels) AS e) AS l (labels)
        GROUP BY m.metric, m.type, m.help) AS g
$$;
COMMENT ON FUNCTION workflow._prometheus(text) IS 'Inner: prometheus()';

CREATE FUNCTION workflow.prometheus() RETURNS text
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.prometheus() IS
  'What workflow.metrics shows in the text format that Prometheus reads, version 0.0.4';
