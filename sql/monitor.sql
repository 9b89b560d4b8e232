--
-- monitor: answers. Where is it, what happened, what if it runs again.
--
-- Everything here only reads.  It reads the document that the item is pinned
-- to, so that an answer about an old item does not change with a new version.
--

-- ------------------------------------------------------------ the document

-- A state's activity, with "activity": "name" looked up.
CREATE FUNCTION workflow._state_activity(
  document jsonb, state text, OUT kind text, OUT activity jsonb)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT a.key, a.value
  FROM (SELECT document #> ARRAY['states', state] AS own) AS s,
       jsonb_each(CASE WHEN jsonb_typeof(s.own -> 'activity') = 'string'
                       THEN document #> ARRAY['activities', s.own ->> 'activity'] ELSE s.own END) AS a
  WHERE a.key IN ('sql', 'http', 'model', 'task', 'review', 'exception', 'wait', 'spawn',
                  'gate', 'validate', 'then', 'final')
$$;
COMMENT ON FUNCTION workflow._state_activity(jsonb, text) IS
  'Inner: the kind of activity of a state and what is declared about it';

-- The events that a state handles, its own before those of "any".
CREATE FUNCTION workflow._state_events(workflow text, version int, state text) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(array_agg(t.event ORDER BY t.ordinality), '{}')
  FROM workflow._graph_transitions(workflow, version) WITH ORDINALITY AS t
  WHERE t.state = _state_events.state
$$;
COMMENT ON FUNCTION workflow._state_events(text, int, text) IS
  'Inner: the events that a state handles; none for a final state';

-- How often a job of a state is tried: by the policy of its activity, else its queue's.
CREATE FUNCTION workflow._state_max_attempts(workflow text, version int, state text, queue_retry jsonb) RETURNS int
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce((s.retry ->> 'max_attempts')::int, (queue_retry ->> 'max_attempts')::int, 5)
  FROM workflow._graph_states(workflow, version) AS s
  WHERE s.state = _state_max_attempts.state
$$;
COMMENT ON FUNCTION workflow._state_max_attempts(text, int, text, jsonb) IS
  'Inner: max_attempts of a state''s retry policy';

-- ------------------------------------------------------------ where is it

-- Everything that is known about where an item stands, for _where_is().
CREATE FUNCTION workflow._standing(
  item bigint,
  OUT i workflow.item, OUT document jsonb, OUT owner text, OUT workflow_paused text,
  OUT j workflow.job, OUT q workflow.queue, OUT e workflow.effect, OUT endpoint text,
  OUT r workflow.review, OUT t workflow.timer)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT found.* INTO i FROM workflow.item AS found WHERE found.item_id = item;
  IF i.item_id IS NULL THEN
    PERFORM workflow._item_id(item::text);    -- raises WF012
  END IF;
  SELECT d.document, w.owner,
         CASE WHEN w.paused_at IS NOT NULL
              THEN format('workflow paused by %s: %s', w.paused_by, coalesce(w.pause_reason, 'no reason given')) END
    INTO document, owner, workflow_paused
  FROM workflow.definition AS d JOIN workflow.workflow AS w ON w.workflow = d.workflow
  WHERE d.workflow = i.workflow AND d.version = i.version;

  SELECT found.* INTO j FROM workflow.job AS found
  WHERE found.item_id = item AND found.seq = i.seq ORDER BY found.job_id DESC LIMIT 1;
  SELECT found.* INTO e FROM workflow.effect AS found WHERE found.effect_id = j.effect_id;
  SELECT found.endpoint INTO endpoint FROM workflow.endpoint AS found
  WHERE found.endpoint_id = e.endpoint_id;
  SELECT found.* INTO r FROM workflow.review AS found
  WHERE found.item_id = item AND found.closed_at IS NULL ORDER BY found.review_id DESC LIMIT 1;
  SELECT found.* INTO t FROM workflow.timer AS found
  WHERE found.item_id = item AND found.seq = i.seq ORDER BY found.due_at LIMIT 1;
  SELECT found.* INTO q FROM workflow.queue AS found
  WHERE found.queue = coalesce((SELECT p.place FROM workflow._placed_job AS p WHERE p.job_id = j.job_id), r.queue);
END
$$;
COMMENT ON FUNCTION workflow._standing(bigint) IS
  'Inner: an item with its document, job, queue, effect, open review and next timer';

-- What a living item that is not paused waits for, and more about it.
CREATE FUNCTION workflow._waiting(
  item workflow.item, job workflow.job, queue workflow.queue, effect workflow.effect,
  endpoint text, review workflow.review, timer workflow.timer, events text[],
  OUT waiting_on text, OUT waiting_detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now timestamptz := workflow._now();
  request text := format('%s %s to %s, key %s', effect.method, effect.path, endpoint, effect.key);
BEGIN
  IF review.review_id IS NOT NULL THEN
    waiting_on := 'review';
    waiting_detail := format('review %s%s', review.review_id,
      coalesce(', claimed by ' || review.assignee, ' waits to be decided'));
  ELSIF job.status = 'dead' THEN
    waiting_on := 'exception';
    waiting_detail := format('dead letter: job %s, %s', job.job_id, coalesce(job.error_class, 'failed'));
  ELSIF job.kind = 'exception' THEN
    waiting_on := 'exception';
    waiting_detail := format('came from %s; replay it or give it up', coalesce(item.origin, 'nowhere'));
  ELSIF effect.state = 'blocked' OR job.waiting_on = 'blocked' THEN
    waiting_on := 'blocked';
    waiting_detail := coalesce(effect.reason, job.error_message, request);
  ELSIF job.waiting_on = 'breaker' THEN
    waiting_on := 'breaker';
    waiting_detail := format('endpoint %s answers with failures only', endpoint);
  ELSIF job.status = 'waiting' OR effect.state IN ('sending', 'unknown', 'held') THEN
    waiting_on := 'effect';
    waiting_detail := format('%s: %s%s', effect.state, request, coalesce(' (' || effect.reason || ')', ''));
  ELSIF job.status = 'ready' AND queue.paused_at IS NOT NULL THEN
    waiting_on := 'paused';
    waiting_detail := format('queue %s paused by %s: %s', queue.queue, queue.paused_by, coalesce(queue.pause_reason, 'no reason given'));
  ELSIF job.status = 'running' THEN
    waiting_on := 'worker';
    waiting_detail := format('%s works on it since %s', job.worker, job.claimed_at);
  ELSIF job.status = 'ready' AND job.run_at > now THEN
    waiting_on := CASE WHEN 'rate_limited' IN (job.error_class, effect.error_class) THEN 'rate_limit'
                       WHEN job.error_class IS NULL AND effect.error_class IS NULL AND job.attempt = 0 THEN 'timer'
                       ELSE 'retry' END;
    waiting_detail := format('job %s runs at %s', job.job_id, job.run_at);
  ELSIF job.status = 'ready' AND queue.rate_next_at - queue.rate_per + queue.rate_per / queue.rate_count > now THEN
    waiting_on := 'rate_limit';
    waiting_detail := format('queue %s takes %s per %s', queue.queue, queue.rate_count, queue.rate_per);
  ELSIF job.job_id IS NOT NULL THEN
    waiting_on := 'worker';
    waiting_detail := format('job %s is ready in queue %s', job.job_id, job.queue);
  ELSIF timer.kind IN ('wait', 'start') THEN
    waiting_on := 'timer';
    waiting_detail := format('%s at %s', timer.event, timer.due_at);
  ELSE
    waiting_on := 'event';
    waiting_detail := 'any of: ' || array_to_string(events, ', ');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._waiting(workflow.item, workflow.job, workflow.queue, workflow.effect, text, workflow.review, workflow.timer, text[]) IS
  'Inner: what a living item waits for';

-- The error that matters now: of the present job, of its effect, or the one
-- that led to the exception that the item stands in or ended from.
CREATE FUNCTION workflow._last_error(
  item workflow.item, document jsonb, job workflow.job, effect workflow.effect,
  OUT error_class text, OUT message text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  error_class := coalesce(job.error_class, effect.error_class);
  message := coalesce(job.error_message, effect.reason);
  IF error_class IS NOT NULL OR message IS NOT NULL OR item.origin IS NULL THEN
    RETURN;
  END IF;
  SELECT coalesce(t.data ->> 'error_class', t.event), coalesce(t.data ->> 'message', t.reason, t.event)
    INTO error_class, message
  FROM workflow.transition AS t, workflow._state_activity(document, t.to_state) AS entered
  WHERE t.item_id = item.item_id AND entered.kind = 'exception'
    AND t.seq = CASE WHEN item.outcome IS NULL THEN item.seq ELSE item.seq - 1 END;
END
$$;
COMMENT ON FUNCTION workflow._last_error(workflow.item, jsonb, workflow.job, workflow.effect) IS
  'Inner: class and message of the error that an item stands at';

CREATE FUNCTION workflow._where_is(
  caller text, item bigint,
  OUT item_id bigint, OUT workflow text, OUT version int, OUT key text, OUT state text,
  OUT since timestamptz, OUT waiting_on text, OUT waiting_detail text,
  OUT next_action_at timestamptz, OUT queue text, OUT owner text, OUT sla_due_at timestamptz,
  OUT attempts int, OUT max_attempts int, OUT last_error_class text, OUT last_error text,
  OUT allowed_events text[], OUT outcome text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  s record;
BEGIN
  SELECT * INTO s FROM workflow._standing(item);
  item_id := (s.i).item_id;
  workflow := (s.i).workflow;
  version := (s.i).version;
  key := (s.i).key;
  state := (s.i).state;
  since := (s.i).since;
  outcome := (s.i).outcome;
  queue := (s.q).queue;
  owner := coalesce((s.q).owner, s.owner);
  allowed_events := workflow._state_events(workflow, version, state);
  attempts := greatest((s.j).attempt, (s.e).attempts);
  SELECT l.error_class, l.message INTO last_error_class, last_error
  FROM workflow._last_error(s.i, s.document, s.j, s.e) AS l;

  IF outcome IS NOT NULL THEN
    waiting_on := 'nothing';
    waiting_detail := 'ended: ' || outcome;
    RETURN;
  END IF;
  SELECT w.waiting_on, w.waiting_detail INTO waiting_on, waiting_detail
  FROM workflow._waiting(s.i, s.j, s.q, s.e, s.endpoint, s.r, s.t, allowed_events) AS w;
  IF (s.i).paused_at IS NOT NULL OR s.workflow_paused IS NOT NULL THEN
    waiting_on := 'paused';
    waiting_detail := coalesce(s.workflow_paused,
      format('paused by %s: %s', (s.i).paused_by, coalesce((s.i).pause_reason, 'no reason given')));
  END IF;

  IF (s.j).kind IN ('sql', 'http', 'model', 'task') THEN
    max_attempts := workflow._state_max_attempts(workflow, version, state,
      (SELECT own.retry FROM workflow.queue AS own WHERE own.queue = (s.j).queue));
  END IF;
  next_action_at := least(
    CASE WHEN (s.j).status = 'ready' THEN (s.j).run_at
         WHEN (s.j).status = 'running' THEN (s.j).lease_until END,
    (s.e).next_at, (s.t).due_at, (s.r).due_at);
  sla_due_at := coalesce((s.r).due_at,
    CASE WHEN (s.j).status = 'dead' THEN (s.j).failed_at
         WHEN (s.j).attempt = 0 AND (s.j).error_class IS NULL THEN greatest((s.j).created_at, (s.j).run_at)
         ELSE (s.j).created_at END + (s.q).sla);
END
$$;
COMMENT ON FUNCTION workflow._where_is(text, bigint) IS
  'Inner: workflow.where_is()';

CREATE FUNCTION workflow.where_is(
  item bigint,
  OUT item_id bigint, OUT workflow text, OUT version int, OUT key text, OUT state text,
  OUT since timestamptz, OUT waiting_on text, OUT waiting_detail text,
  OUT next_action_at timestamptz, OUT queue text, OUT owner text, OUT sla_due_at timestamptz,
  OUT attempts int, OUT max_attempts int, OUT last_error_class text, OUT last_error text,
  OUT allowed_events text[], OUT outcome text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.where_is(bigint) IS
  'Where an item is: its state, what it waits for and until when, whose it is, and what may happen to it';

CREATE FUNCTION workflow.where_is(
  item text,
  OUT item_id bigint, OUT workflow text, OUT version int, OUT key text, OUT state text,
  OUT since timestamptz, OUT waiting_on text, OUT waiting_detail text,
  OUT next_action_at timestamptz, OUT queue text, OUT owner text, OUT sla_due_at timestamptz,
  OUT attempts int, OUT max_attempts int, OUT last_error_class text, OUT last_error text,
  OUT allowed_events text[], OUT outcome text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.where_is(text) IS
  'The same, for workflow:key';

-- --------------------------------------------------------------- timeline

CREATE FUNCTION workflow._timeline_moves(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT t.at, t.seq, 0, CASE WHEN t.from_state IS NULL THEN 'submitted' ELSE 'transition' END,
         CASE WHEN t.from_state IS NULL THEN t.to_state
              ELSE format('%s --%s--> %s', t.from_state, t.event, t.to_state) END,
         t.actor, t.reason, t.data
  FROM workflow.transition AS t WHERE t.item_id = item
  UNION ALL
  SELECT g.decided_at, g.seq, 1, 'gate', format('%s is %s', coalesce(g.value::text, 'no value'), g.tier),
         NULL, NULL, g.tiers
  FROM workflow.gate_decision AS g WHERE g.item_id = item
  UNION ALL
  SELECT v.received_at, v.seq, 1, CASE WHEN v.seq IS NULL THEN 'event kept' ELSE 'event' END,
         v.event || coalesce(format(' (%s %s)', v.source, v.event_id), ''), v.actor, v.reason, v.data
  FROM workflow.event AS v WHERE v.item_id = item
  UNION ALL
  SELECT n.at, NULL, 4, n.action, n.subject, n.actor, n.reason, n.detail
  FROM workflow.journal AS n WHERE n.item_id = item
$$;
COMMENT ON FUNCTION workflow._timeline_moves(bigint) IS
  'Inner: transitions, gate decisions, events and the journal of an item';

CREATE FUNCTION workflow._timeline_work(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT a.finished_at, NULL::int, 3, 'attempt',
         format('%s: %s%s',
           CASE WHEN a.effect_id IS NOT NULL AND a.attempt = 0 THEN a.kind || ' read before'
                ELSE format('%s attempt %s', a.kind, a.attempt) END,
           a.outcome, coalesce(', ' || a.error_class, '')),
         a.worker, a.message, a.detail
  FROM workflow.attempt AS a WHERE a.item_id = item
  UNION ALL
  SELECT e.created_at, e.item_seq, 2, 'effect reserved',
         format('%s %s to %s, key %s', e.method, e.path, p.endpoint, e.key), e.submitted_by, NULL, NULL
  FROM workflow.effect AS e JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id
  WHERE e.item_id = item
  UNION ALL
  SELECT e.first_sent_at, e.item_seq, 2, 'effect sent', format('first send of %s', e.key), NULL, NULL, NULL
  FROM workflow.effect AS e WHERE e.item_id = item AND e.first_sent_at IS NOT NULL
  UNION ALL
  SELECT e.finished_at, e.item_seq, 4, 'effect ' || e.state,
         concat_ws(', ', 'key ' || e.key, 'status ' || e.status, 'external id ' || e.external_id),
         NULL, e.reason, CASE WHEN e.previous IS NOT NULL THEN jsonb_build_object('previous', e.previous) END
  FROM workflow.effect AS e WHERE e.item_id = item AND e.finished_at IS NOT NULL
  UNION ALL
  SELECT m.created_at, NULL, 4, 'model answer',
         concat_ws(', ', m.model, m.request_id, m.stop_reason,
                   m.input_tokens || ' tokens in', m.output_tokens || ' out'),
         NULL, NULL, m.output
  FROM workflow.model_output AS m WHERE m.item_id = item
$$;
COMMENT ON FUNCTION workflow._timeline_work(bigint) IS
  'Inner: attempts, effects and model answers of an item';

CREATE FUNCTION workflow._timeline_reviews(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT r.opened_at, r.seq, 2, 'review opened',
         format('review %s in queue %s', r.review_id, r.queue), NULL, NULL, r.shown
  FROM workflow.review AS r WHERE r.item_id = item
  UNION ALL
  SELECT r.claimed_at, r.seq, 2, 'review claimed', format('review %s', r.review_id), r.assignee, NULL, NULL
  FROM workflow.review AS r WHERE r.item_id = item AND r.claimed_at IS NOT NULL
  UNION ALL
  SELECT r.decided_at, r.seq, 3, 'review decided', format('review %s: %s', r.review_id, r.decision),
         r.decided_by, r.reason, r.patch
  FROM workflow.review AS r WHERE r.item_id = item AND r.decided_at IS NOT NULL
$$;
COMMENT ON FUNCTION workflow._timeline_reviews(bigint) IS
  'Inner: the reviews of an item';

-- Where a source does not say the visit, it is the one that its time falls into.
CREATE FUNCTION workflow._timeline(caller text, item bigint)
RETURNS TABLE (at timestamptz, seq int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM workflow._item_id(item::text);
  RETURN QUERY
    WITH happened AS (
      SELECT * FROM workflow._timeline_moves(item)
      UNION ALL SELECT * FROM workflow._timeline_work(item)
      UNION ALL SELECT * FROM workflow._timeline_reviews(item)
    ), placed AS (
      SELECT h.*, coalesce(h.seq, (
          SELECT max(t.seq) FROM workflow.transition AS t
          WHERE t.item_id = item AND t.at < h.at)) AS visit
      FROM happened AS h
    )
    SELECT p.at, p.visit, p.what, p.detail, p.actor, p.reason, p.data
    FROM placed AS p
    ORDER BY p.at, p.visit, p.rank, p.detail;
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

-- ------------------------------------------------------------- run twice

-- How the receiver of an endpoint is declared to treat a repeated request.
CREATE FUNCTION workflow._endpoint_dedup(server name) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT o.option_value
  FROM pg_foreign_server AS s, pg_options_to_table(s.srvoptions) AS o
  WHERE s.srvname = server AND o.option_name = 'dedup'
$$;
COMMENT ON FUNCTION workflow._endpoint_dedup(name) IS
  'Inner: the dedup option of an endpoint; null when there is no such server';

-- What running the work of an existing effect once more would do.
CREATE FUNCTION workflow._if_effect_again(
  effect workflow.effect, dedup text, OUT verdict text, OUT why text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
      WHEN effect.state = 'succeeded' THEN 'already done'
      WHEN effect.state IN ('pending', 'claimed', 'failed', 'dead', 'cancelled') THEN 'would be sent'
      WHEN effect.state IN ('held', 'blocked') THEN 'would be held'
      WHEN dedup IN ('key', 'natural', 'pure') THEN 'would be sent'
      ELSE 'would be held'
    END,
    CASE effect.state
      WHEN 'succeeded' THEN concat_ws('', 'succeeded at ', effect.finished_at::text,
        ', external id ' || effect.external_id, '; the stored result is used, nothing is sent')
      WHEN 'pending' THEN 'reserved and not sent yet; it is sent once, under its key'
      WHEN 'claimed' THEN 'reserved and not sent yet; it is sent once, under its key'
      WHEN 'failed' THEN 'refused by the receiver, proven not applied: ' || coalesce(effect.reason, effect.error_class, 'no reason')
      WHEN 'dead' THEN 'attempts spent, proven not applied: ' || coalesce(effect.reason, effect.error_class, 'no reason')
      WHEN 'cancelled' THEN 'cancelled before it was sent'
      WHEN 'held' THEN 'a person decides first: workflow.resolve() says whether it was applied'
      WHEN 'blocked' THEN 'it waits until its cause changes: ' || coalesce(effect.reason, effect.error_class, 'unknown')
      ELSE CASE dedup
        WHEN 'key' THEN 'the outcome is not known; it is sent again under the same key and the receiver repeats its first answer'
        WHEN 'natural' THEN 'the outcome is not known; the same request again leaves the same result'
        WHEN 'pure' THEN 'the outcome is not known; repeating it changes nothing outside'
        ELSE 'the outcome is not known and the receiver does not deduplicate; a person is asked' END
    END
$$;
COMMENT ON FUNCTION workflow._if_effect_again(workflow.effect, text) IS
  'Inner: what running the work of an effect once more would do, and why';

-- The effects of an item, then the states that would reserve one and have not.
CREATE FUNCTION workflow._if_run_again(caller text, item bigint)
RETURNS TABLE (state text, effect_id bigint, endpoint text, key text, effect_state text, verdict text, why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM workflow._item_id(item::text);
  RETURN QUERY
    SELECT e.item_state, e.effect_id, p.endpoint, e.key, e.state, a.verdict, a.why
    FROM workflow.effect AS e
    JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id,
    LATERAL workflow._if_effect_again(e, workflow._endpoint_dedup(
      coalesce((SELECT s.srvname FROM pg_foreign_server AS s WHERE s.oid = p.server_oid), p.endpoint))) AS a
    WHERE e.item_id = item
    ORDER BY e.effect_id;
  RETURN QUERY
    SELECT s.name, NULL::bigint, a.activity ->> 'endpoint', NULL, NULL, 'would be sent',
           'not reserved yet: it is sent once, when the state is entered'
    FROM workflow.item AS i
    JOIN workflow.definition AS d ON d.workflow = i.workflow AND d.version = i.version,
    LATERAL json_object_keys(d.document -> 'states') WITH ORDINALITY AS s (name, place),
    LATERAL workflow._state_activity(d.document::jsonb, s.name) AS a
    WHERE i.item_id = item AND i.outcome IS NULL AND a.kind IN ('http', 'model')
      AND NOT EXISTS (SELECT FROM workflow.effect AS e WHERE e.item_id = item AND e.item_state = s.name)
    ORDER BY s.place;
END
$$;
COMMENT ON FUNCTION workflow._if_run_again(text, bigint) IS
  'Inner: workflow.if_run_again()';

CREATE FUNCTION workflow.if_run_again(item bigint)
RETURNS TABLE (state text, effect_id bigint, endpoint text, key text, effect_state text, verdict text, why text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.if_run_again(bigint) IS
  'What would happen to each effect of an item if it ran again: already done, would be sent or would be held, and why';

CREATE FUNCTION workflow.if_run_again(item text)
RETURNS TABLE (state text, effect_id bigint, endpoint text, key text, effect_state text, verdict text, why text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.if_run_again(text) IS
  'The same, for workflow:key';

-- Names that change from one run to the next, so that a key with one protects nothing.
CREATE FUNCTION workflow._looks_volatile(key_part text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT key_part ~* '(attempt|retry|retries|random|uuid|nonce|clock|timestamp|\mnow\M)'
$$;
COMMENT ON FUNCTION workflow._looks_volatile(text) IS
  'Inner: whether a part of a key is named like something that changes with every run';

CREATE FUNCTION workflow._if_state_twice(
  kind text, dedup text, key_parts text[], OUT mechanism text, OUT verdict text, OUT why text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
      WHEN kind = 'model' THEN 'an effect for each visit; answers cached by model version and request'
      WHEN dedup IS NULL THEN 'unique key in the ledger; the endpoint does not exist yet'
      ELSE 'unique key in the ledger, dedup ' || dedup END,
    CASE
      WHEN kind = 'http' AND (key_parts IS NULL OR EXISTS (
        SELECT FROM unnest(key_parts) AS part WHERE workflow._looks_volatile(part))) THEN 'unsafe'
      WHEN dedup IS NULL THEN 'unknown'
      WHEN dedup = 'pure' THEN 'safe'
      WHEN dedup IN ('key', 'natural') THEN 'safe'
      ELSE 'held' END,
    CASE
      WHEN kind = 'http' AND key_parts IS NULL THEN 'it has no key: every run is a new action'
      WHEN kind = 'http' AND EXISTS (
        SELECT FROM unnest(key_parts) AS part WHERE workflow._looks_volatile(part))
        THEN 'a part of the key changes with every run'
      WHEN dedup IS NULL THEN 'CREATE SERVER decides by its option dedup'
      WHEN dedup = 'pure' THEN 'repeating it changes nothing outside; it may cost again'
      WHEN dedup = 'key' THEN 'done once: the stored result is used; an unknown outcome is sent again under the same key, which the receiver executes once'
      WHEN dedup = 'natural' THEN 'done once: the stored result is used; an unknown outcome is sent again, which leaves the same result'
      ELSE 'done once: the stored result is used; an unknown outcome is held and a person is asked' END
$$;
COMMENT ON FUNCTION workflow._if_state_twice(text, text, text[]) IS
  'Inner: what protects an effect of a state from being done twice';

CREATE FUNCTION workflow._if_run_twice(caller text, workflow text, version int)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key_parts text[], mechanism text, verdict text, why text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT s.name, a.kind, a.activity ->> 'endpoint', p.dedup, k.parts, t.mechanism, t.verdict, t.why
  FROM workflow._definition(workflow, version) AS d,
    LATERAL json_object_keys(d.document -> 'states') WITH ORDINALITY AS s (name, place),
    LATERAL workflow._state_activity(d.document::jsonb, s.name) AS a,
    LATERAL (SELECT workflow._endpoint_dedup((a.activity ->> 'endpoint')::name)) AS p (dedup),
    LATERAL (SELECT CASE WHEN a.kind = 'model' THEN ARRAY['item', 'state', 'visit']
                         WHEN jsonb_typeof(a.activity -> 'key') = 'array'
                         THEN ARRAY(SELECT jsonb_array_elements_text(a.activity -> 'key'))
                         WHEN a.activity ? 'key' THEN ARRAY[a.activity ->> 'key'] END) AS k (parts),
    LATERAL workflow._if_state_twice(a.kind, p.dedup, k.parts) AS t
  WHERE a.kind IN ('http', 'model')
  ORDER BY s.place
$$;
COMMENT ON FUNCTION workflow._if_run_twice(text, text, int) IS
  'Inner: workflow.if_run_twice()';

CREATE FUNCTION workflow.if_run_twice(workflow text, version int DEFAULT NULL)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key_parts text[], mechanism text, verdict text, why text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.if_run_twice(text, int) IS
  'What keeps each effect of a workflow from being done twice: safe, held (a person is asked), unsafe, or unknown';

-- ------------------------------------------------------------- statistics

CREATE VIEW workflow.state_stats AS
  SELECT i.workflow, i.state, pg_catalog.count(*) AS items,
         pg_catalog.count(*) FILTER (WHERE i.outcome IS NULL) AS live,
         pg_catalog.min(i.since) AS oldest_since,
         pg_catalog.max(age.age) FILTER (WHERE i.outcome IS NULL) AS oldest_age,
         pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY age.age) FILTER (WHERE i.outcome IS NULL) AS p50_age,
         pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY age.age) FILTER (WHERE i.outcome IS NULL) AS p95_age
  FROM workflow.item AS i,
       LATERAL (SELECT pg_catalog.clock_timestamp() - i.since AS age) AS age
  GROUP BY i.workflow, i.state;
COMMENT ON VIEW workflow.state_stats IS
  'How many items stand in each state, and for how long';

CREATE VIEW workflow.queue_stats AS
  WITH job AS (
    SELECT j.place AS queue,
           pg_catalog.count(*) FILTER (WHERE j.status = 'ready' AND j.run_at <= n.now) AS ready,
           pg_catalog.count(*) FILTER (WHERE j.status = 'ready' AND j.run_at > n.now) AS delayed,
           pg_catalog.count(*) FILTER (WHERE j.status = 'running') AS running,
           pg_catalog.count(*) FILTER (WHERE j.status = 'waiting') AS waiting,
           pg_catalog.count(*) FILTER (WHERE j.status = 'dead') AS dead,
           n.now - pg_catalog.min(j.run_at) FILTER (WHERE j.status = 'ready' AND j.run_at <= n.now) AS oldest_ready_age
    FROM workflow._placed_job AS j, (SELECT pg_catalog.clock_timestamp() AS now) AS n
    GROUP BY j.place, n.now
  ), done AS (
    SELECT a.queue, pg_catalog.count(*) FILTER (WHERE a.outcome = 'ok') AS done_5m,
           pg_catalog.count(*) FILTER (WHERE a.outcome <> 'ok') AS failed_5m
    FROM workflow.attempt AS a
    WHERE a.finished_at > pg_catalog.clock_timestamp() - interval '5 minutes'
    GROUP BY a.queue
  )
  SELECT q.queue, q.owner, q.sla, q.paused_at IS NOT NULL AS paused,
         coalesce(j.ready, 0) AS ready, coalesce(j.delayed, 0) AS delayed,
         coalesce(j.running, 0) AS running, coalesce(j.waiting, 0) AS waiting,
         coalesce(j.dead, 0) AS dead, j.oldest_ready_age,
         coalesce(d.done_5m, 0) AS done_5m, coalesce(d.failed_5m, 0) AS failed_5m,
         CASE WHEN coalesce(j.ready, 0) = 0 THEN interval '0'
              WHEN d.done_5m > 0 THEN interval '5 minutes' * (j.ready::double precision / d.done_5m::double precision)
         END AS drain_estimate
  FROM workflow.queue AS q
  LEFT JOIN job AS j ON j.queue = q.queue
  LEFT JOIN done AS d ON d.queue = q.queue;
COMMENT ON VIEW workflow.queue_stats IS
  'What stands in each queue, whose it is, how old the oldest job is that could run, and how long the rest would take';
