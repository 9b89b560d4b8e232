--
-- where: where an item is and what it waits for.
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

-- --------------------------------------------------------------- who holds it

CREATE FUNCTION workflow._row_holders(relation regclass, place tid) RETURNS int[]
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wf_row_holders';
COMMENT ON FUNCTION workflow._row_holders(regclass, tid) IS
  'Inner: processes whose open transactions have locked or changed a row, 0 for a prepared one; null when none has';

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
