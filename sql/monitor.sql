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

-- What an item leaves open outside although its job does not carry it: of one that
-- has ended, whatever may have been sent; else a guard of its present task.
CREATE FUNCTION workflow._open_effect(item workflow.item) RETURNS SETOF workflow.effect
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e FROM workflow.effect AS e
  WHERE e.item_id = item.item_id
    AND CASE WHEN item.outcome IS NOT NULL THEN e.kind <> 'revert' AND workflow._is_open(e)
             ELSE e.kind = 'guard' AND workflow._is_open(e) AND e.state <> 'sending' AND e.sending_at >= item.since END
  ORDER BY e.state <> 'held', e.effect_id LIMIT 1
$$;
COMMENT ON FUNCTION workflow._open_effect(workflow.item) IS
  'Inner: an effect of an item whose outcome is open and which its job does not carry';

-- The reverts of an item, the last one of each effect that is or was to be taken back.  They are
-- reserved in the order in which they are sent.
CREATE FUNCTION workflow._reverts_of(item bigint) RETURNS SETOF workflow.effect LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT DISTINCT ON (e.reverts) e.* FROM workflow.effect AS e
  WHERE e.item_id = item AND e.kind = 'revert' ORDER BY e.reverts, e.effect_id DESC
$$;
COMMENT ON FUNCTION workflow._reverts_of(bigint) IS
  'Inner: the effects that take back what an item has done, one for each';

-- What is being taken back of an item's effects, where the chain stands and for whom it waits;
-- null when nothing is.
CREATE FUNCTION workflow._taking_back(
  item bigint, OUT waiting_on text, OUT detail text, OUT revert workflow.effect, OUT job workflow.job,
  OUT queue workflow.queue, OUT owner text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  target text;
  endpoint_owner text;
BEGIN
  SELECT r.* INTO revert FROM workflow._reverts_of(item) AS r
  WHERE r.state NOT IN ('succeeded', 'cancelled') ORDER BY r.effect_id LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT j.* INTO job FROM workflow.job AS j WHERE j.effect_id = revert.effect_id ORDER BY j.job_id DESC LIMIT 1;
  SELECT q.* INTO queue FROM workflow._placed_job AS p JOIN workflow.queue AS q ON q.queue = p.place WHERE p.job_id = job.job_id;
  SELECT p.endpoint, f.owner INTO target, endpoint_owner
  FROM workflow.endpoint AS p LEFT JOIN pg_foreign_server AS s ON s.oid = p.server_oid,
       LATERAL workflow._endpoint_facts(s.srvname) AS f
  WHERE p.endpoint_id = revert.endpoint_id;
  waiting_on := CASE WHEN revert.state = 'blocked' THEN 'blocked'
                     WHEN revert.state IN ('failed', 'dead') THEN 'exception' ELSE 'effect' END;
  owner := CASE WHEN revert.state = 'held' THEN coalesce(endpoint_owner, queue.owner) ELSE queue.owner END;
  SELECT format('%s of %s taken back; %s: %s, key %s%s%s', count(*) FILTER (WHERE r.state = 'succeeded'), count(*),
                revert.state, concat_ws(' ', revert.method, revert.path, 'to ' || target), revert.key, ' (' || revert.reason || ')',
                CASE WHEN revert.state = 'held' THEN format('; %s is asked', owner)
                     WHEN job.status = 'dead' THEN format('; dead letter: job %s in queue %s', job.job_id, queue.queue) END)
    INTO detail
  FROM workflow._reverts_of(item) AS r WHERE r.state <> 'cancelled';
END
$$;
COMMENT ON FUNCTION workflow._taking_back(bigint) IS
  'Inner: how far a revert or a compensation of an item is, and what it waits for';

-- Everything that is known about where an item stands, for _where_is().
CREATE FUNCTION workflow._standing(
  item bigint,
  OUT i workflow.item, OUT document jsonb, OUT owner text, OUT workflow_paused text,
  OUT j workflow.job, OUT q workflow.queue, OUT e workflow.effect, OUT endpoint text,
  OUT r workflow.review, OUT t workflow.timer, OUT endpoint_owner text)
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
  IF e.effect_id IS NULL AND (i.outcome IS NOT NULL OR j.kind = 'task') THEN
    SELECT found.* INTO e FROM workflow._open_effect(i) AS found;
  END IF;
  SELECT found.endpoint, f.owner INTO endpoint, endpoint_owner
  FROM workflow.endpoint AS found
  LEFT JOIN pg_foreign_server AS s ON s.oid = found.server_oid,
  LATERAL workflow._endpoint_facts(s.srvname) AS f
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

-- Why the endpoint of a job does not take its call before it looks again.
CREATE FUNCTION workflow._waiting_for_endpoint(
  endpoint_id int, reason text, OUT waiting_on text, OUT detail text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE reason WHEN 'max_in_flight' THEN 'worker' ELSE reason END,
         CASE reason
           WHEN 'breaker' THEN
             format('breaker of endpoint %s: %s%s%s', p.endpoint, p.breaker, ' since ' || p.breaker_since,
                    CASE p.breaker WHEN 'open' THEN format(', until %s: %s', p.breaker_until, p.breaker_reason)
                                   WHEN 'half_open' THEN format(', effect %s goes to see: %s', p.breaker_probe, p.breaker_reason) END)
           WHEN 'paused' THEN
             CASE WHEN p.paused_at IS NULL THEN format('endpoint %s was paused', p.endpoint)
                  ELSE format('endpoint %s paused by %s: %s', p.endpoint, p.paused_by,
                              coalesce(p.pause_reason, 'no reason given')) END
           WHEN 'rate_limit' THEN
             CASE WHEN p.pause_until > workflow._now()
                  THEN format('endpoint %s asked for a pause until %s', p.endpoint, p.pause_until)
                  ELSE format('rate limit of endpoint %s', p.endpoint) END
           WHEN 'max_in_flight' THEN format('endpoint %s has as many calls under way as it takes', p.endpoint)
           ELSE format('retry budget of endpoint %s is used up', p.endpoint) END
  FROM workflow.endpoint AS p WHERE p.endpoint_id = _waiting_for_endpoint.endpoint_id
$$;
COMMENT ON FUNCTION workflow._waiting_for_endpoint(int, text) IS
  'Inner: what a job waits for that its endpoint does not take now';

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
  request text := concat_ws(' ', CASE effect.kind WHEN 'guard' THEN 'begin_effect()' ELSE effect.method END, effect.path,
                            format('to %s, key %s', endpoint, effect.key));
BEGIN
  IF review.review_id IS NOT NULL THEN
    waiting_on := 'review';
    waiting_detail := format('review %s%s', review.review_id,
      coalesce(CASE WHEN review.claimed_at IS NULL THEN ', delegated to ' ELSE ', claimed by ' END || review.assignee,
               ' waits to be decided'));
  ELSIF job.status = 'dead' THEN
    waiting_on := 'exception';
    waiting_detail := format('dead letter: job %s, %s', job.job_id, coalesce(job.error_class, 'failed'));
  ELSIF job.kind = 'exception' THEN
    waiting_on := 'exception';
    waiting_detail := format('came from %s; replay it or give it up', coalesce(item.origin, 'nowhere'));
  ELSIF effect.state = 'blocked' OR job.waiting_on = 'blocked' THEN
    waiting_on := 'blocked';
    waiting_detail := coalesce(effect.reason, job.error_message, request);
  ELSIF job.status = 'waiting' OR effect.state IN ('sending', 'unknown', 'held') OR job.job_id IS NULL AND workflow._is_open(effect) THEN
    waiting_on := 'effect';
    waiting_detail := format('%s: %s%s', effect.state, request, coalesce(' (' || effect.reason || ')', ''));
  ELSIF job.status = 'ready' AND queue.paused_at IS NOT NULL THEN
    waiting_on := 'paused';
    waiting_detail := format('queue %s paused by %s: %s', queue.queue, queue.paused_by, coalesce(queue.pause_reason, 'no reason given'));
  ELSIF job.status = 'running' THEN
    waiting_on := 'worker';
    waiting_detail := format('%s works on it since %s', job.worker, job.claimed_at);
  ELSIF job.status = 'ready' AND job.waiting_on IS NOT NULL THEN
    SELECT f.waiting_on, format('%s; job %s looks again at %s', f.detail, job.job_id, job.run_at)
      INTO waiting_on, waiting_detail
    FROM workflow._waiting_for_endpoint(effect.endpoint_id, job.waiting_on) AS f;
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
    waiting_detail := concat_ws('; ', format('job %s is ready in queue %s', job.job_id, job.queue), workflow._who_runs(job.kind));
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

-- What a living child waits for, in a line.
CREATE FUNCTION workflow._child_waits(child bigint) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('%s:%s in "%s" waits for %s', (s.i).workflow, (s.i).key, (s.i).state, CASE
    WHEN (s.i).paused_at IS NOT NULL OR s.workflow_paused IS NOT NULL THEN 'the end of a pause'
    ELSE format('%s (%s)', w.waiting_on, w.waiting_detail) END)
  FROM workflow._standing(child) AS s,
       LATERAL workflow._waiting(s.i, s.j, s.q, s.e, s.endpoint, s.r, s.t, workflow._allowed_events(child)) AS w
$$;
COMMENT ON FUNCTION workflow._child_waits(bigint) IS
  'Inner: what a child that has not ended waits for, in words';

-- Those that stand still come first; of a large family some are looked at.
CREATE FUNCTION workflow._living_children(item bigint, seq int, most int) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(workflow._child_waits(c.item_id), '; ' ORDER BY c.place)
  FROM (SELECT l.item_id, row_number() OVER (ORDER BY l.trouble DESC, l.parent_index) AS place
        FROM (SELECT i.item_id, i.parent_index,
                     EXISTS (SELECT FROM workflow.job AS j WHERE j.item_id = i.item_id AND j.status IN ('dead', 'waiting')) AS trouble
              FROM workflow.item AS i
              WHERE i.parent_id = item AND i.parent_seq = _living_children.seq AND i.outcome IS NULL
              ORDER BY i.parent_index LIMIT 1000) AS l
        ORDER BY 2 LIMIT most) AS c
$$;
COMMENT ON FUNCTION workflow._living_children(bigint, int, int) IS
  'Inner: what the first children of a visit wait for that have not ended';

-- What an item waits for in a spawn state; null in any other one.
CREATE FUNCTION workflow._waiting_for_children(
  item workflow.item, events text[], OUT waiting_on text, OUT waiting_detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  family workflow.spawn;
  ended int;
  failed int;
BEGIN
  SELECT s.* INTO family FROM workflow.spawn AS s WHERE s.item_id = item.item_id AND s.seq = item.seq;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT family.ended + count(*), family.ended - family.succeeded
         + count(*) FILTER (WHERE NOT workflow._is_success(e.outcome, family.success))
    INTO ended, failed
  FROM workflow.child_end AS e WHERE e.item_id = item.item_id AND e.seq = item.seq;
  waiting_on := CASE WHEN family.verdict = 'error' AND NOT 'error' = ANY (events) THEN 'exception'
                     WHEN family.verdict IS NOT NULL THEN 'worker' ELSE 'event' END;
  waiting_detail := concat_ws('; ',
    format('%s of %s children have ended, %s failed', ended, family.total, failed),
    CASE WHEN family.started < family.total THEN format('%s are started', family.started) END,
    CASE WHEN family.needed = family.total THEN 'all have to succeed' ELSE format('%s have to succeed', family.needed) END,
    CASE WHEN waiting_on = 'exception' THEN 'nobody handles "error": send an event, or cancel'
         WHEN waiting_on = 'event' THEN workflow._living_children(item.item_id, item.seq, 3) END);
END
$$;
COMMENT ON FUNCTION workflow._waiting_for_children(workflow.item, text[]) IS
  'Inner: how many children have ended, and what some of the others wait for';

-- The error that matters now: of the present job, of its effect, of its
-- children, or the one that led to the exception that the item stands in or ended from.
CREATE FUNCTION workflow._last_error(
  item workflow.item, document jsonb, job workflow.job, effect workflow.effect,
  OUT error_class text, OUT message text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  error_class := coalesce(job.error_class, effect.error_class);
  message := coalesce(job.error_message, effect.reason);
  IF error_class IS NULL AND message IS NULL THEN
    SELECT 'permanent', workflow._spawn_failure(s.item_id, s.seq) INTO error_class, message
    FROM workflow.spawn AS s WHERE s.item_id = item.item_id AND s.seq = item.seq AND s.verdict = 'error';
  END IF;
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

CREATE FUNCTION workflow._kept_for(item workflow.item, event text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT array_to_string(workflow._states_that_take(item.workflow, item.version, item.state, event), ', ')
$$;
COMMENT ON FUNCTION workflow._kept_for(workflow.item, text) IS
  'Inner: the states where an event that is kept for an item would fire, as text; null when none can be reached any more';

-- A call needs its job and its effect to be due.  A timeout waits for an outcome that is open, and one that
-- has come meanwhile has no date.
CREATE FUNCTION workflow._next_action_at(
  job workflow.job, effect workflow.effect, timer workflow.timer, review workflow.review, is_paused boolean)
RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN job.status = 'running' AND is_paused THEN workflow._lease_end(job.job_id, job.token, job.lease_until)
    WHEN is_paused THEN NULL
    ELSE least(
      CASE WHEN job.status = 'ready' AND job.effect_id = effect.effect_id THEN greatest(job.run_at, effect.next_at)
           WHEN job.status = 'ready' THEN job.run_at
           WHEN job.status = 'running' THEN least(workflow._lease_end(job.job_id, job.token, job.lease_until), effect.next_at)
           ELSE effect.next_at END,
      CASE WHEN timer.kind <> 'timeout' OR effect.state IS DISTINCT FROM 'held' THEN nullif(timer.due_at, 'infinity') END,
      review.due_at) END
$$;
COMMENT ON FUNCTION workflow._next_action_at(workflow.job, workflow.effect, workflow.timer, workflow.review, boolean) IS
  'Inner: when something happens to an item without anybody; null when nothing does';

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
  back record;
BEGIN
  SELECT * INTO s FROM workflow._standing(item);
  SELECT * INTO back FROM workflow._taking_back(item);
  item_id := (s.i).item_id;
  workflow := (s.i).workflow;
  version := (s.i).version;
  key := (s.i).key;
  state := (s.i).state;
  since := (s.i).since;
  outcome := (s.i).outcome;
  queue := (s.q).queue;
  owner := coalesce((s.q).owner, s.owner);
  allowed_events := workflow._allowed_events(item_id);
  attempts := greatest((s.j).attempt, (s.e).attempts);
  SELECT l.error_class, l.message INTO last_error_class, last_error
  FROM workflow._last_error(s.i, s.document, s.j, s.e) AS l;
  IF (s.t).error_message IS NOT NULL THEN
    last_error_class := (s.t).error_class;
    last_error := (s.t).error_message;
  END IF;

  SELECT w.waiting_on, w.waiting_detail INTO waiting_on, waiting_detail
  FROM workflow._waiting(s.i, s.j, s.q, s.e, s.endpoint, s.r, s.t, allowed_events) AS w;
  SELECT coalesce(f.waiting_on, _where_is.waiting_on), coalesce(f.waiting_detail, _where_is.waiting_detail)
    INTO waiting_on, waiting_detail
  FROM workflow._waiting_for_children(s.i, allowed_events) AS f;
  IF waiting_on = 'effect' AND (s.e).state = 'held' THEN
    waiting_detail := concat_ws('; ', waiting_detail, s.endpoint_owner || ' is asked');
  END IF;
  IF outcome IS NOT NULL THEN
    IF workflow._is_open(s.e) THEN
      waiting_detail := format('ended: %s, but %s', outcome, waiting_detail);
      owner := coalesce(s.endpoint_owner, owner);
    ELSIF back.detail IS NOT NULL THEN
      waiting_on := back.waiting_on;
      waiting_detail := format('ended: %s, but %s', outcome, back.detail);
      queue := (back.queue).queue;
      owner := coalesce(back.owner, owner);
      attempts := (back.revert).attempts;
      last_error_class := (back.revert).error_class;
      last_error := (back.revert).reason;
      next_action_at := CASE WHEN (back.job).status = 'ready' THEN greatest((back.job).run_at, (back.revert).next_at) END;
      sla_due_at := coalesce((back.job).failed_at, (back.job).created_at) + (back.queue).sla;
    ELSE
      waiting_on := 'nothing';
      waiting_detail := 'ended: ' || outcome;
    END IF;
    RETURN;
  END IF;
  IF (s.e).kind = 'guard' AND waiting_on <> 'effect' THEN
    waiting_detail := concat_ws('; ', waiting_detail, format('effect %s, key %s, may have been applied (%s)', (s.e).effect_id, (s.e).key, (s.e).reason));
  END IF;
  waiting_detail := concat_ws('; ', waiting_detail, back.detail);
  waiting_detail := concat_ws('; kept: ', waiting_detail, (
    SELECT string_agg(v.event || coalesce(' for ' || workflow._kept_for(s.i, v.event), ''), ', ' ORDER BY v.event_no)
    FROM workflow.event AS v WHERE v.item_id = item AND v.seq IS NULL));
  IF (s.i).paused_at IS NOT NULL OR s.workflow_paused IS NOT NULL THEN
    waiting_on := 'paused';
    waiting_detail := coalesce(s.workflow_paused,
      format('paused by %s: %s', (s.i).paused_by, coalesce((s.i).pause_reason, 'no reason given')));
  END IF;

  IF (s.j).kind IN ('sql', 'http', 'model', 'task') THEN
    max_attempts := workflow._state_max_attempts(workflow, version, state,
      (SELECT own.retry FROM workflow.queue AS own WHERE own.queue = (s.j).queue));
  END IF;
  next_action_at := workflow._next_action_at(s.j, s.e, s.t, s.r,
    (s.i).paused_at IS NOT NULL OR s.workflow_paused IS NOT NULL);
  sla_due_at := coalesce((s.r).due_at,
    CASE WHEN (s.j).status = 'dead' THEN (s.j).failed_at
         WHEN (s.j).attempt = 0 AND (s.j).error_class IS NULL AND (s.j).waiting_on IS NULL
         THEN greatest((s.j).created_at, (s.j).run_at)
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
         v.event || CASE WHEN v.event_id IS NULL THEN '' ELSE format(' (%s)', concat_ws(' ', nullif(v.source, ''), v.event_id)) END
           || CASE WHEN v.seq IS NULL AND i.outcome IS NULL THEN coalesce(' for ' || workflow._kept_for(i, v.event), '') ELSE '' END,
         v.actor, v.reason, v.data
  FROM workflow.event AS v JOIN workflow.item AS i USING (item_id) WHERE v.item_id = item
  UNION ALL
  SELECT n.at, NULL, 4, n.action, n.subject, n.actor, n.reason, n.detail
  FROM workflow.journal AS n WHERE n.item_id = item
$$;
COMMENT ON FUNCTION workflow._timeline_moves(bigint) IS
  'Inner: transitions, gate decisions, events and the journal of an item';

-- What happened to the endpoints of an item's effects while these were unsettled.
CREATE FUNCTION workflow._timeline_endpoints(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT n.at, NULL::int, 3, n.action, n.subject, n.actor, n.reason, n.detail
  FROM (SELECT 'endpoint:' || p.endpoint AS subject, min(e.created_at) AS since,
               max(coalesce(e.finished_at, 'infinity')) AS until
        FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id)
        WHERE e.item_id = item GROUP BY p.endpoint) AS x
  JOIN workflow.journal AS n ON n.subject = x.subject AND n.at BETWEEN x.since AND x.until
  WHERE n.action IN ('breaker_open', 'breaker_close', 'pause_endpoint', 'resume_endpoint')
$$;
COMMENT ON FUNCTION workflow._timeline_endpoints(bigint) IS
  'Inner: breakers and pauses of endpoints that an item waited for';

-- The effects of an item, and one of somebody else's that its job waits for,
-- each with its endpoint and the server that has that key space now.
CREATE FUNCTION workflow._item_effects(item bigint)
RETURNS TABLE (effect workflow.effect, state text, endpoint text, server text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e, its.state, p.endpoint,
         coalesce((SELECT s.srvname::text FROM pg_foreign_server AS s WHERE s.oid = p.server_oid), p.endpoint)
  FROM (SELECT f.effect_id, f.item_state AS state FROM workflow.effect AS f WHERE f.item_id = item
        UNION ALL
        SELECT f.effect_id, j.state FROM workflow.job AS j JOIN workflow.effect AS f ON f.effect_id = j.effect_id
        WHERE j.item_id = item AND f.item_id IS DISTINCT FROM item) AS its
  JOIN workflow.effect AS e ON e.effect_id = its.effect_id
  JOIN workflow.endpoint AS p ON p.endpoint_id = e.endpoint_id
$$;
COMMENT ON FUNCTION workflow._item_effects(bigint) IS
  'Inner: the effects of an item, and one of another''s that its job waits for';

-- The effects of an item, a row for each time that one was reserved for it: a replay, or
-- another item with the same key, reserves again what had ended without success.
CREATE FUNCTION workflow._effect_lives(item bigint)
RETURNS TABLE (effect workflow.effect, endpoint text, is_last boolean, seq int, reserved_at timestamptz, reserved_by text,
               sent_at timestamptz, state text, status int, reason text, finished_at timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
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
  WHERE l.item_id = item
$$;
COMMENT ON FUNCTION workflow._effect_lives(bigint) IS
  'Inner: the effects of an item, each as often as it was reserved for it';

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
  SELECT h.at, l.seq, h.rank, h.what, h.detail, h.actor, h.reason, h.data
  FROM workflow._effect_lives(item) AS l, LATERAL (SELECT (l.effect).*) AS e,
  LATERAL (VALUES
    (l.reserved_at, 2, 'effect reserved', format('%s, key %s', concat_ws(' ', e.method, e.path, 'to ' || l.endpoint), e.key),
     l.reserved_by, NULL, NULL::jsonb),
    (l.sent_at, 2, 'effect sent', format('first send of %s', e.key), NULL, NULL, NULL),
    (l.finished_at, 4, 'effect ' || l.state,
     concat_ws(', ', 'key ' || e.key, 'status ' || l.status, CASE WHEN l.is_last THEN 'external id ' || e.external_id END),
     NULL, l.reason,
     CASE WHEN l.is_last AND e.previous IS NOT NULL THEN jsonb_build_object('previous', e.previous) END)
  ) AS h (at, rank, what, detail, actor, reason, data)
  WHERE h.at IS NOT NULL
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

-- The ends of children are listed of small families only.
CREATE FUNCTION workflow._timeline_children(item bigint)
RETURNS TABLE (at timestamptz, seq int, rank int, what text, detail text, actor text, reason text, data jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
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
  WHERE s.item_id = item AND s.total <= 100 AND i.outcome IS NOT NULL
$$;
COMMENT ON FUNCTION workflow._timeline_children(bigint) IS
  'Inner: what became of the children of an item';

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
      UNION ALL SELECT * FROM workflow._timeline_endpoints(item)
      UNION ALL SELECT * FROM workflow._timeline_work(item)
      UNION ALL SELECT * FROM workflow._timeline_reviews(item)
      UNION ALL SELECT * FROM workflow._timeline_children(item)
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

-- What an endpoint declares about a repeated request, and who is asked where
-- its outcome is not known; dedup is null when there is no such server.
CREATE FUNCTION workflow._endpoint_facts(server text, OUT dedup text, OUT key_ttl interval, OUT owner text,
                                          OUT on_unknown text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT max(o.option_value) FILTER (WHERE o.option_name = 'dedup'),
         coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'key_ttl'), '24 hours')::interval,
         max(o.option_value) FILTER (WHERE o.option_name = 'owner'),
         (SELECT workflow._on_unknown(s.srvoptions) FROM pg_foreign_server AS s WHERE s.srvname = server)
  FROM pg_foreign_server AS s, pg_options_to_table(s.srvoptions) AS o
  WHERE s.srvname = server
$$;
COMMENT ON FUNCTION workflow._endpoint_facts(text) IS
  'Inner: the options of an endpoint that say what a second copy of a request does';

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
  taken_back text := (SELECT format('; %s back by effect %s', CASE r.state WHEN 'succeeded' THEN 'taken' ELSE 'being taken' END, r.effect_id)
                      FROM workflow.effect AS r
                      WHERE r.reverts = effect.effect_id AND r.state NOT IN ('failed', 'dead', 'cancelled')
                      ORDER BY r.effect_id DESC LIMIT 1);
BEGIN
  verdict := CASE
    WHEN effect.state = 'succeeded' THEN 'already done'
    WHEN effect.state IN ('held', 'blocked') THEN 'would be held'
    WHEN NOT may_be_applied THEN 'would be sent'
    WHEN effect.kind IN ('http', 'call', 'revert')
      AND (on_unknown = 'probe' OR on_unknown = 'resend' AND effect.state = 'unknown') THEN 'would be looked up'
    WHEN on_unknown = 'hold' OR is_forgotten THEN 'would be held'
    WHEN dedup IN ('key', 'natural', 'pure') THEN 'would be sent'
    ELSE 'would be held' END;
  why := CASE
    WHEN effect.state = 'succeeded' THEN concat('succeeded at ', effect.finished_at, ', external id ' || effect.external_id,
                                                taken_back, '; the stored result is used, nothing is sent',
                                                CASE WHEN taken_back IS NOT NULL THEN ', to do it anew takes another key' END)
    WHEN effect.state = 'held' THEN 'a person decides first: workflow.resolve() says whether it was applied'
    WHEN effect.state = 'blocked' THEN 'it waits until its cause changes: ' || cause
    WHEN effect.state = 'failed' THEN 'refused by the receiver, proven not applied: ' || cause
    WHEN effect.state = 'dead' THEN 'attempts spent, proven not applied: ' || cause
    WHEN effect.state = 'cancelled' AND effect.first_sent_at IS NOT NULL AND NOT may_be_applied THEN 'cancelled, proven not applied: ' || cause
    WHEN effect.state = 'cancelled' AND NOT may_be_applied THEN 'cancelled before it was sent'
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
CREATE FUNCTION workflow._if_submitted_again(item workflow.item, document jsonb, OUT verdict text, OUT why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF document ? 'key' OR item.event_id IS NOT NULL
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
COMMENT ON FUNCTION workflow._if_submitted_again(workflow.item, jsonb) IS
  'Inner: what submitting an item once more would do, and why';

-- What a state without an effect would do once more: done is its last visit
-- when the activity itself has ended it.
CREATE FUNCTION workflow._if_activity_again(
  item workflow.item, state text, kind text, OUT is_new boolean, OUT verdict text, OUT why text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  visit int := (SELECT max(t.seq) FROM workflow.transition AS t
                WHERE t.item_id = item.item_id AND t.to_state = state);
  left_by workflow.transition;
  job workflow.job;
BEGIN
  is_new := visit IS NULL;
  SELECT t.* INTO left_by FROM workflow.transition AS t WHERE t.item_id = item.item_id AND t.seq = visit + 1;
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
COMMENT ON FUNCTION workflow._if_activity_again(workflow.item, text, text) IS
  'Inner: what an activity without an effect would do once more; is_new where the item has not been there';

-- The activities of a document that do something, in its order.
CREATE FUNCTION workflow._working_states(document json)
RETURNS TABLE (place bigint, state text, kind text, activity jsonb)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT s.place, s.name, a.kind, a.activity
  FROM json_object_keys(document -> 'states') WITH ORDINALITY AS s (name, place),
       LATERAL workflow._state_activity(document::jsonb, s.name) AS a
  WHERE a.kind IN ('sql', 'http', 'model', 'task', 'review', 'spawn')
$$;
COMMENT ON FUNCTION workflow._working_states(json) IS
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
BEGIN
  PERFORM workflow._item_id(item::text);
  SELECT i.* INTO it FROM workflow.item AS i WHERE i.item_id = item;
  SELECT d.document INTO document FROM workflow.definition AS d
  WHERE d.workflow = it.workflow AND d.version = it.version;
  RETURN QUERY
    WITH its AS MATERIALIZED (SELECT * FROM workflow._item_effects(item))
    SELECT r.state, r.kind, r.endpoint, r.dedup, r.key, r.effect_id, r.effect_state, r.verdict, r.why
    FROM (
      SELECT 0 AS place, NULL AS state, 'submit' AS kind, NULL AS endpoint, NULL AS dedup, it.key AS key,
             NULL::bigint AS effect_id, NULL AS effect_state, s.verdict, s.why
      FROM workflow._if_submitted_again(it, document::jsonb) AS s
      UNION ALL
      SELECT coalesce(w.place, 1000000), x.state, (x.effect).kind, x.endpoint, f.dedup, (x.effect).key,
             (x.effect).effect_id, (x.effect).state, n.verdict_then,
             concat(n.why_then, '; it is an effect of item ' || nullif((x.effect).item_id, item))
      FROM its AS x
      LEFT JOIN workflow._working_states(document) AS w ON w.state = x.state,
      LATERAL workflow._endpoint_facts(x.server) AS f,
      LATERAL workflow._if_effect_again(x.effect, f.dedup, f.key_ttl, f.on_unknown) AS a,
      LATERAL workflow._if_ended_again(it, x.effect, a.verdict, a.why) AS n
      UNION ALL
      SELECT w.place, w.state, w.kind, w.activity ->> 'endpoint', f.dedup, NULL, NULL, NULL, a.verdict, a.why
      FROM workflow._working_states(document) AS w,
      LATERAL workflow._endpoint_facts(w.activity ->> 'endpoint') AS f,
      LATERAL workflow._if_activity_again(it, w.state, w.kind) AS a
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

CREATE FUNCTION workflow._if_run_twice(caller text, workflow text, version int)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key_parts text[], mechanism text, verdict text, why text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH definition AS (SELECT d.document FROM workflow._definition(workflow, version) AS d),
  work AS (
    SELECT 0 AS place, NULL AS state, 'submit' AS kind, NULL AS endpoint, workflow._key_parts(d.document::jsonb -> 'key') AS parts
    FROM definition AS d
    UNION ALL
    SELECT s.place, s.state, s.kind, s.activity ->> 'endpoint',
           CASE WHEN s.kind = 'model' THEN ARRAY['item', 'state', 'visit']
                WHEN s.kind = 'spawn' AND NOT s.activity ? 'key' THEN ARRAY['parent', 'state', 'visit', 'index'] ELSE workflow._key_parts(s.activity -> 'key') END
    FROM definition AS d, LATERAL workflow._working_states(d.document) AS s
  )
  SELECT w.state, w.kind, w.endpoint, f.dedup, w.parts,
         coalesce(e.mechanism, o.mechanism), coalesce(e.verdict, o.verdict), coalesce(e.why, o.why)
  FROM work AS w
  LEFT JOIN LATERAL workflow._endpoint_facts(w.endpoint) AS f ON w.kind IN ('http', 'model')
  LEFT JOIN LATERAL workflow._if_effect_twice(w.kind, f.dedup, f.key_ttl, f.owner, f.on_unknown, w.parts) AS e ON w.kind IN ('http', 'model')
  LEFT JOIN LATERAL workflow._if_work_twice(w.kind, w.parts) AS o ON w.kind NOT IN ('http', 'model')
  ORDER BY w.place
$$;
COMMENT ON FUNCTION workflow._if_run_twice(text, text, int) IS
  'Inner: workflow.if_run_twice()';

CREATE FUNCTION workflow.if_run_twice(workflow text, version int DEFAULT NULL)
RETURNS TABLE (state text, kind text, endpoint text, dedup text, key_parts text[], mechanism text, verdict text, why text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.if_run_twice(text, int) IS
  'What keeps a submission and each activity of a workflow from being done twice: safe, held (a person is asked), at least once, unsafe, or unknown';

-- ------------------------------------------------------------- statistics

CREATE VIEW workflow.queue_stats AS
  SELECT q.queue, q.owner, q.sla, q.paused_at IS NOT NULL AS paused,
         f.ready, f.delayed, f.running, f.waiting, f.dead,
         CASE WHEN pg_catalog.isfinite(f.oldest_ready_at) THEN pg_catalog.clock_timestamp() - f.oldest_ready_at END AS oldest_ready_age,
         f.done_5m, f.failed_5m,
         CASE WHEN f.ready = 0 THEN interval '0'
              WHEN f.done_5m > 0 THEN interval '5 minutes' * (f.ready::double precision / f.done_5m::double precision)
         END AS drain_estimate,
         f.enqueue_rate, f.start_rate, f.finish_rate, f.fail_rate,
         f.p50_wait, f.p95_wait, f.p50_run, f.p95_run
  FROM workflow.queue AS q
  JOIN workflow._queue_figures(true) AS f ON f.queue = q.queue;
COMMENT ON VIEW workflow.queue_stats IS
  'What stands in each queue, whose it is, how old the oldest job is that could run, and how long the rest would take';
COMMENT ON COLUMN workflow.queue_stats.enqueue_rate IS 'Jobs stored a second, over 1, 5 and 15 minutes; null, as all that follows, without preload';
COMMENT ON COLUMN workflow.queue_stats.start_rate IS 'Jobs claimed a second, over 1, 5 and 15 minutes';
COMMENT ON COLUMN workflow.queue_stats.finish_rate IS 'Jobs that succeeded a second, over 1, 5 and 15 minutes';
COMMENT ON COLUMN workflow.queue_stats.fail_rate IS 'Attempts that failed a second, over 1, 5 and 15 minutes';
COMMENT ON COLUMN workflow.queue_stats.p95_wait IS 'Of the jobs claimed in the last ten to fifteen minutes, 95 of 100 had waited no longer since they were due';
COMMENT ON COLUMN workflow.queue_stats.p95_run IS 'Of the attempts that ended in the last ten to fifteen minutes, 95 of 100 took no longer';
