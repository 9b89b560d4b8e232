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

-- ------------------------------------------------------------ where is it

-- What an item leaves open outside although its job does not carry it: of one that
-- has ended, whatever may have been sent; else a guard of its present task.
CREATE FUNCTION workflow._open_effect(item workflow.item) RETURNS SETOF workflow.effect
LANGUAGE plpgsql STABLE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT e.* FROM workflow.effect AS e
    WHERE e.item_id = item.item_id
      AND (e.state IN ('claimed', 'sending', 'unknown', 'held') OR e.state = 'pending' AND e.unknown_attempts > 0)
      AND CASE WHEN item.outcome IS NOT NULL THEN e.kind <> 'revert'
               ELSE e.kind = 'guard' AND e.state <> 'sending' AND e.sending_at >= item.since END
    ORDER BY e.state <> 'held', e.effect_id LIMIT 1;
END
$$;
COMMENT ON FUNCTION workflow._open_effect(workflow.item) IS
  'Inner: an effect of an item whose outcome is open and which its job does not carry';

-- The reverts of an item, the last one of each effect that is or was to be taken back, or of the same
-- members of one.  They are reserved in the order in which they are sent.
CREATE FUNCTION workflow._reverts_of(item bigint) RETURNS SETOF workflow.effect LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
    SELECT DISTINCT ON (e.reverts, e.spec -> 'members') e.* FROM workflow.effect AS e
    WHERE e.item_id = item AND e.kind = 'revert' ORDER BY e.reverts, e.spec -> 'members', e.effect_id DESC;
END
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
                     WHEN job.status = 'dead' THEN format('; dead letter: job %s in queue %s, %s is asked', job.job_id, queue.queue, owner) END)
    INTO detail
  FROM workflow._reverts_of(item) AS r WHERE r.state <> 'cancelled';
END
$$;
COMMENT ON FUNCTION workflow._taking_back(bigint) IS
  'Inner: how far a revert or a compensation of an item is, and what it waits for';

-- Everything that is known about where an item stands, for _where_is().
CREATE FUNCTION workflow._standing(
  item bigint,
  OUT i workflow.item, OUT owner text, OUT flow workflow.workflow,
  OUT j workflow.job, OUT q workflow.queue, OUT e workflow.effect, OUT endpoint text,
  OUT r workflow.review, OUT t workflow.timer, OUT endpoint_owner text, OUT holders int[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found_item record;
  found_job record;
  its_clock_stands boolean := false;
BEGIN
  SELECT o AS row, o.ctid AS place INTO found_item FROM workflow.item AS o WHERE o.item_id = item;
  i := found_item.row;
  IF i.item_id IS NULL THEN
    PERFORM workflow._item_id(item::text);    -- raises WF012
  END IF;
  SELECT w.* INTO flow FROM workflow.workflow AS w WHERE w.workflow = i.workflow;
  owner := flow.owner;

  SELECT o AS row, o.ctid AS place INTO found_job FROM workflow.job AS o
  WHERE o.item_id = item AND o.seq = i.seq ORDER BY o.job_id DESC LIMIT 1;
  j := found_job.row;
  IF j.effect_id IS NOT NULL THEN
    SELECT found.* INTO e FROM workflow.effect AS found WHERE found.effect_id = j.effect_id;
  END IF;
  IF e.effect_id IS NULL AND (i.outcome IS NOT NULL OR j.kind = 'task') THEN
    SELECT found.* INTO e FROM workflow._open_effect(i) AS found;
  END IF;
  IF e.effect_id IS NOT NULL THEN
    SELECT found.endpoint, f.owner INTO endpoint, endpoint_owner
    FROM workflow.endpoint AS found
    LEFT JOIN pg_foreign_server AS s ON s.oid = found.server_oid,
    LATERAL workflow._endpoint_facts(s.srvname) AS f
    WHERE found.endpoint_id = e.endpoint_id;
  END IF;
  IF i.outcome IS NULL THEN
    SELECT found.* INTO r FROM workflow.review AS found
    WHERE found.item_id = item AND found.closed_at IS NULL ORDER BY found.review_id DESC LIMIT 1;
    IF r.review_id IS NOT NULL AND workflow._review_stands_since(r) IS NOT NULL THEN
      r.next_step_at := NULL;    -- as long as its clock stands
      its_clock_stands := true;
    END IF;
    SELECT found.* INTO t FROM workflow.timer AS found
    WHERE found.item_id = item AND found.seq = i.seq AND NOT (its_clock_stands AND found.kind = 'overdue')
    ORDER BY found.due_at LIMIT 1;
    holders := workflow._row_holders('workflow.item', found_item.place) || workflow._row_holders('workflow.job', found_job.place);
  END IF;
  IF j.job_id IS NOT NULL OR r.review_id IS NOT NULL THEN
    SELECT found.* INTO q FROM workflow.queue AS found
    WHERE found.queue = coalesce(CASE WHEN j.status = 'dead' THEN j.dead_letter END, j.queue, r.queue);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._standing(bigint) IS
  'Inner: an item with its workflow, job, queue, effect, open review and next timer, and which processes hold its rows';

-- What a living child waits for, in a line.
CREATE FUNCTION workflow._child_waits(child bigint) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT format('%s:%s in "%s" waits for %s', (s.i).workflow, (s.i).key, (s.i).state, CASE
      WHEN (s.i).paused_at IS NOT NULL OR (s.flow).paused_at IS NOT NULL THEN 'the end of a pause'
      ELSE format('%s (%s)', w.waiting_on, w.waiting_detail) END)
    FROM workflow._standing(child) AS s,
         LATERAL workflow._waiting(s.i, s.j, s.q, s.e, s.endpoint, s.r, s.t, workflow._allowed_events(child), s.holders) AS w);
END
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
  waiting_on := CASE WHEN family.failed_at IS NOT NULL THEN 'exception'
                     WHEN family.verdict = 'error' AND NOT 'error' = ANY (events) THEN 'exception'
                     WHEN family.verdict IS NOT NULL THEN 'worker' ELSE 'event' END;
  waiting_detail := concat_ws('; ',
    format('%s of %s children have ended, %s failed', ended, family.total, failed),
    CASE WHEN family.started < family.total THEN format('%s are started', family.started) END,
    CASE WHEN family.needed = family.total THEN 'all have to succeed' ELSE format('%s have to succeed', family.needed) END,
    CASE WHEN waiting_on = 'exception' THEN 'nobody handles "error": replay it, send an event, or cancel'
         WHEN waiting_on = 'event' THEN workflow._living_children(item.item_id, item.seq, 3) END);
END
$$;
COMMENT ON FUNCTION workflow._waiting_for_children(workflow.item, text[]) IS
  'Inner: how many children have ended, and what some of the others wait for';

-- How the answer begins that led from the visit before to an exception, for people.
CREATE FUNCTION workflow._refusal_before(message text, item bigint, seq int) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF NOT starts_with(message, 'HTTP ') THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT workflow._refusal(message, e.response) FROM workflow.effect AS e
          WHERE e.item_id = item AND e.item_seq = seq - 1 AND e.kind IN ('http', 'model') ORDER BY e.effect_id DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION workflow._refusal_before(text, bigint, int) IS
  'Inner: the beginning of the answer that has led an item to the visit of that number';

-- The error that matters now: of the present job, of its effect, of its
-- children, or the one that led to the exception that the item stands in or ended from.
CREATE FUNCTION workflow._last_error(
  item workflow.item, job workflow.job, effect workflow.effect,
  OUT error_class text, OUT message text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  error_class := coalesce(job.error_class, effect.error_class);
  message := coalesce(job.error_message, effect.reason);
  IF starts_with(message, 'HTTP ') THEN
    message := message || coalesce(': ' || workflow._refusal(message, effect.response), '');
  END IF;
  IF error_class IS NULL AND message IS NULL THEN
    SELECT coalesce(s.error_class, 'permanent'), coalesce(s.error_message, workflow._spawn_failure(s.item_id, s.seq))
      INTO error_class, message
    FROM workflow.spawn AS s
    WHERE s.item_id = item.item_id AND s.seq = item.seq AND (s.verdict = 'error' OR s.failed_at IS NOT NULL);
  END IF;
  IF error_class IS NOT NULL OR message IS NOT NULL OR item.origin IS NULL THEN
    RETURN;
  END IF;
  SELECT coalesce(t.data ->> 'error_class', t.event), x.message || coalesce(': ' || workflow._refusal_before(x.message, t.item_id, t.seq), '')
    INTO error_class, message
  FROM workflow.transition AS t, LATERAL (SELECT coalesce(t.data ->> 'message', t.reason, t.event)) AS x (message)
  WHERE t.item_id = item.item_id AND (workflow._state_facts(item.workflow, item.version, t.to_state) -> 'exception')::boolean
    AND t.seq = CASE WHEN item.outcome IS NULL THEN item.seq ELSE item.seq - 1 END;
END
$$;
COMMENT ON FUNCTION workflow._last_error(workflow.item, workflow.job, workflow.effect) IS
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
  job workflow.job, effect workflow.effect, timer workflow.timer, review workflow.review, is_paused boolean, queue_is_paused boolean)
RETURNS timestamptz LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  own timestamptz;
BEGIN
  IF is_paused AND job.status = 'running' THEN
    RETURN workflow._lease_end(job.job_id, job.token, job.lease_until);
  ELSIF is_paused THEN
    RETURN NULL;
  END IF;
  own := CASE WHEN job.status = 'ready' AND queue_is_paused THEN NULL
              WHEN effect.state IN ('claimed', 'sending') AND job.status IN ('running', 'waiting') THEN effect.deadline
              WHEN job.status = 'ready' AND job.effect_id = effect.effect_id THEN greatest(job.run_at, effect.next_at)
              WHEN job.status = 'ready' THEN job.run_at
              WHEN job.status = 'running' THEN least(workflow._lease_end(job.job_id, job.token, job.lease_until), effect.next_at)
              ELSE effect.next_at END;
  RETURN least(own, CASE WHEN timer.kind <> 'timeout' OR effect.state IS DISTINCT FROM 'held' THEN nullif(timer.due_at, 'infinity') END,
               review.next_step_at);
END
$$;
COMMENT ON FUNCTION workflow._next_action_at(workflow.job, workflow.effect, workflow.timer, workflow.review, boolean, boolean) IS
  'Inner: when something happens to an item without anybody; null when nothing does';

-- Where the events of a state lead, in words; the others by an event of theirs, too: from_any.
CREATE FUNCTION workflow._roads(item workflow.item, events text[]) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT string_agg(format('"%s"%s %s', r.event, CASE WHEN r.place = 1 THEN ' leads to' ELSE ' to' END,
                             coalesce(r.to_state, item.origin, 'where it came from')), ', ' ORDER BY r.place)
    FROM (SELECT o.*, row_number() OVER () AS place
          FROM workflow._state_roads(item.workflow, item.version, item.state) AS o
          WHERE CASE WHEN events IS NULL THEN NOT o.from_any ELSE o.event = ANY (events) END) AS r);
END
$$;
COMMENT ON FUNCTION workflow._roads(workflow.item, text[]) IS
  'Inner: the states that events of an item''s state lead to, in words; of all its own events when none are named';

-- What happens to the present work, whoever has to do it.
CREATE FUNCTION workflow._next_step(
  waiting_on text, item workflow.item, job workflow.job, effect workflow.effect, review workflow.review, max_attempts int)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE
    WHEN review.review_id IS NOT NULL THEN format('somebody decides: SELECT workflow.decide(%s, ...)', review.review_id)
    WHEN job.status = 'dead' AND job.item_id IS NULL THEN format('SELECT workflow.replay_job(%s, ''why''); runs it again', job.job_id)
    WHEN job.status = 'dead' THEN format('SELECT workflow.replay(%s, ''why''); runs it again', item.item_id)
    WHEN effect.kind = 'revert' AND effect.state IN ('failed', 'dead') THEN
      format('SELECT workflow.revert(%s, ''why''%s); runs it again', effect.reverts,
             (SELECT ', members => ' || quote_literal(array_agg(m.name)::text) FROM jsonb_array_elements_text(effect.spec -> 'members') AS m (name)))
    WHEN job.kind = 'exception' THEN format('SELECT workflow.replay(%s, ''why''); or workflow.send() of an event', item.item_id)
    WHEN waiting_on = 'exception' AND job.job_id IS NULL
      THEN format('SELECT workflow.replay(%s, ''why''); starts again those that failed', item.item_id)
    WHEN waiting_on = 'blocked' AND effect.status IS NOT NULL THEN
      format('it goes on by itself when the secret changes; SELECT workflow.resolve(%s, ''not_applied'', %L); lets it go on', effect.effect_id,
             CASE WHEN effect.status IN (402, 429, 507) THEN 'topped up' ELSE 'what was mended' END)
    WHEN waiting_on = 'blocked' THEN 'it goes on by itself when that has changed'
    WHEN effect.state = 'held' THEN
      format('SELECT workflow.resolve(%s, ''applied'', ''how you know''); or ''not_applied'' settles it', effect.effect_id)
    WHEN effect.state IN ('claimed', 'sending') THEN 'its answer is recorded'
    WHEN effect.state = 'unknown' THEN 'the receiver is asked whether it was applied'
    WHEN job.status = 'waiting' AND effect.state = 'pending' AND job.waiting_on <> 'paused' THEN 'whoever has reserved it sends it'
    WHEN job.status = 'waiting' AND job.waiting_on <> 'paused' THEN 'its job is told how that has ended'
    WHEN job.status = 'running' THEN 'it ends'
    WHEN job.kind = 'task' THEN 'somebody claims it'
    WHEN job.kind = 'sql' THEN 'a worker runs it'
    WHEN job.job_id IS NOT NULL THEN 'a worker sends it' END
    || CASE WHEN job.status = 'ready' AND workflow._charged(job, effect) > 0
            THEN format(', attempt %s', workflow._charged(job, effect) + 1)
                 || CASE WHEN max_attempts IS NOT NULL
                         THEN format(' of %s', greatest(max_attempts, workflow._charged(job, effect) + 1)) ELSE '' END ELSE '' END;
END
$$;
COMMENT ON FUNCTION workflow._next_step(text, workflow.item, workflow.job, workflow.effect, workflow.review, int) IS
  'Inner: what happens first to the work that an item waits for';

-- Whose queue a job ends in that has failed for good where nobody handles its error.
CREATE FUNCTION workflow._after_failure(item workflow.item, job workflow.job) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF job.job_id IS NULL OR job.status = 'dead' OR job.kind NOT IN ('sql', 'http', 'model', 'task')
     OR EXISTS (SELECT FROM workflow._state_roads(item.workflow, item.version, item.state) AS r WHERE r.event = 'error') THEN
    RETURN NULL;
  END IF;
  RETURN 'failed for good, it is a dead letter in queue '
    || coalesce(workflow._state_retry(item.workflow, item.version, item.state) ->> 'dead_letter', job.queue);
END
$$;
COMMENT ON FUNCTION workflow._after_failure(workflow.item, workflow.job) IS
  'Inner: what becomes of a job that fails for good, where its state does not handle "error"';

-- What begins the compensation that an item waits for; null where nothing is left to begin.
CREATE FUNCTION workflow._compensation_step(item workflow.item) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n int := workflow._left_to_compensate(item);
BEGIN
  RETURN CASE WHEN n > 0 THEN format('SELECT workflow.compensate(%s, ''why''); takes back %s', item.item_id,
                                     CASE n WHEN 1 THEN 'one effect' ELSE n || ' effects' END) END;
END
$$;
COMMENT ON FUNCTION workflow._compensation_step(workflow.item) IS
  'Inner: the call that begins the compensation that an item waits for; null when nothing is left to begin';

-- What happens next to a living item, and where that leads.
CREATE FUNCTION workflow._what_next(
  waiting_on text, item workflow.item, job workflow.job, effect workflow.effect, review workflow.review,
  timer workflow.timer, queue workflow.queue, events text[], max_attempts int)
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  step text := workflow._next_step(waiting_on, item, job, effect, review, max_attempts);
  overdue text := coalesce(nullif(review.spec ->> 'on_overdue', 'escalate'), 'overdue');
  own text[] := ARRAY(SELECT r.event FROM workflow._state_roads(item.workflow, item.version, item.state) AS r
                      WHERE NOT r.from_any AND r.event IS DISTINCT FROM CASE WHEN timer.kind IN ('timeout', 'wait') THEN timer.event END);
  roads text;
BEGIN
  roads := CASE
    WHEN review.review_id IS NOT NULL
      THEN workflow._roads(item, ARRAY(SELECT jsonb_array_elements_text(review.spec -> 'decisions')))
    WHEN job.job_id IS NULL AND timer.kind = 'wait' THEN concat_ws('; ', workflow._roads(item, ARRAY[timer.event]), workflow._roads(item, own))
    WHEN job.job_id IS NULL AND timer.kind = 'start' THEN 'it enters ' || item.state || ' anew'
    WHEN job.job_id IS NULL AND waiting_on = 'event' THEN workflow._roads(item, events)
    ELSE workflow._roads(item, own) END;
  RETURN concat_ws('; ', step, roads, workflow._after_failure(item, job),
    CASE WHEN timer.kind = 'timeout' AND isfinite(timer.due_at) AND effect.state IS DISTINCT FROM 'held'
         THEN format('at %s %s', timer.due_at, workflow._roads(item, ARRAY[timer.event]))
         WHEN review.review_id IS NOT NULL AND timer.kind = 'overdue' AND overdue = ANY (events)
         THEN format('at %s %s', timer.due_at, workflow._roads(item, ARRAY[overdue]))
         WHEN review.review_id IS NOT NULL AND timer.kind = 'overdue' AND review.step < cardinality(queue.escalate_to)
         THEN format('at %s it is escalated to %s', timer.due_at, queue.escalate_to[review.step + 1]) END);
END
$$;
COMMENT ON FUNCTION workflow._what_next(text, workflow.item, workflow.job, workflow.effect, workflow.review, workflow.timer, workflow.queue, text[], int) IS
  'Inner: what happens next to a living item, and to which states that leads';

-- Who has paused an item, or its workflow, and how it goes on; null when nobody has.
CREATE FUNCTION workflow._pause_words(item workflow.item, flow workflow.workflow, OUT detail text, OUT way_on text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF flow.paused_at IS NOT NULL THEN
    detail := format('workflow paused by %s since %s: %s', flow.paused_by, flow.paused_at, coalesce(flow.pause_reason, 'no reason given'));
    way_on := format('SELECT workflow.resume_workflow(%L, ''why''); lets it go on', flow.workflow);
  END IF;
  IF item.paused_at IS NOT NULL THEN
    detail := coalesce(detail, format('paused by %s since %s: %s', item.paused_by, item.paused_at, coalesce(item.pause_reason, 'no reason given')));
    way_on := concat_ws(' and ', format('SELECT workflow.resume(%s, ''why''); lets it go on', item.item_id), way_on);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._pause_words(workflow.item, workflow.workflow) IS
  'Inner: who has paused an item or its workflow and why, and the call that ends that';

-- Until when the owner's SLA allows the present work to last.
CREATE FUNCTION workflow._sla_due_at(job workflow.job, review workflow.review, sla interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN coalesce(review.due_at,
    CASE WHEN job.status = 'dead' THEN job.failed_at
         WHEN job.attempt = 0 AND job.error_class IS NULL AND job.waiting_on IS NULL THEN greatest(job.created_at, job.run_at)
         ELSE job.created_at END + sla);
END
$$;
COMMENT ON FUNCTION workflow._sla_due_at(workflow.job, workflow.review, interval) IS
  'Inner: when the SLA of the present work is up';

-- The SLA that is up first, of the present work or of the visit, and whose it is
-- where there are both.
CREATE FUNCTION workflow._earlier_sla(
  item workflow.item, item_owner text, work_due_at timestamptz, queue text, work_owner text, OUT due_at timestamptz, OUT words text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  visit_due_at timestamptz := (SELECT v.due_at FROM workflow.visit_sla AS v
                               WHERE v.item_id = item.item_id AND v.seq = item.seq AND v.left_at IS NULL);
BEGIN
  due_at := least(work_due_at, visit_due_at);
  IF visit_due_at IS NOT NULL THEN
    words := CASE WHEN work_due_at <= visit_due_at
                  THEN format('due at %s by the SLA of queue %s, owner %s', due_at, queue, work_owner)
                  ELSE format('due at %s by the SLA of state %s, owner %s', due_at, item.state, item_owner) END;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._earlier_sla(workflow.item, text, timestamptz, text, text) IS
  'Inner: which SLA of an item is up first, that of its work or that of its state';

-- Those of the holders of a sql job that are not the workers who run it.
CREATE FUNCTION workflow._strangers(holders int[]) RETURNS int[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF holders IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT array_agg(h.pid) FROM unnest(holders) AS h (pid)
          WHERE NOT EXISTS (SELECT FROM workflow.list_workers() AS w WHERE w.pid = h.pid AND w.kind = 'sql'));
END
$$;
COMMENT ON FUNCTION workflow._strangers(int[]) IS
  'Inner: the processes that are no sql workers of ours';

-- More about the wait of a living item, in the order in which one would ask.
CREATE FUNCTION workflow._waiting_besides(
  caller text, waiting_on text, detail text, item workflow.item, effect workflow.effect, asked text, reverts text, holders int[])
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN concat_ws('; kept: ',
    concat_ws('; ', detail,
      CASE WHEN waiting_on = 'effect' AND effect.state = 'held' THEN asked || ' is asked' END,
      CASE WHEN effect.kind = 'guard' AND waiting_on <> 'effect'
           THEN format('effect %s, key %s, may have been applied (%s)', effect.effect_id, effect.key, effect.reason) END,
      reverts,
      CASE WHEN waiting_on = 'exception' THEN workflow._awaited_redrive(item.item_id) END,
      CASE WHEN holders IS NOT NULL THEN 'locked by ' || workflow._holder_words(caller, holders) END),
    (SELECT string_agg(v.event || coalesce(' for ' || workflow._kept_for(item, v.event), ''), ', ' ORDER BY v.event_no)
     FROM workflow.event AS v WHERE v.item_id = item.item_id AND v.seq IS NULL));
END
$$;
COMMENT ON FUNCTION workflow._waiting_besides(text, text, text, workflow.item, workflow.effect, text, text, int[]) IS
  'Inner: what a living item waits for, with who is asked, what is taken back, who holds its rows and which events are kept';

CREATE FUNCTION workflow._where_is(
  caller text, item bigint,
  OUT item_id bigint, OUT workflow text, OUT version int, OUT key text, OUT state text,
  OUT since timestamptz, OUT waiting_on text, OUT waiting_detail text,
  OUT next_action_at timestamptz, OUT queue text, OUT owner text, OUT sla_due_at timestamptz,
  OUT attempts int, OUT max_attempts int, OUT last_error_class text, OUT last_error text,
  OUT allowed_events text[], OUT outcome text, OUT what_next text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  s record;
  back record;
  w record;
  pause record;
BEGIN
  SELECT * INTO s FROM workflow._standing(item);
  SELECT * INTO back FROM workflow._taking_back(item);
  SELECT (s.i).item_id, (s.i).workflow, (s.i).version, (s.i).key, (s.i).state, (s.i).since, (s.i).outcome
    INTO item_id, workflow, version, key, state, since, outcome;
  queue := (s.q).queue;
  owner := coalesce(CASE WHEN (s.r).step > 0 THEN (s.q).escalate_to[least((s.r).step, cardinality((s.q).escalate_to))] END,
                    (s.q).owner, s.owner);
  allowed_events := workflow._allowed_events(item);
  attempts := workflow._charged(s.j, s.e);
  SELECT l.error_class, l.message INTO last_error_class, last_error FROM workflow._last_error(s.i, s.j, s.e) AS l;
  IF (s.t).error_message IS NOT NULL THEN
    last_error_class := (s.t).error_class;
    last_error := (s.t).error_message;
  END IF;

  IF outcome IS NOT NULL THEN
    what_next := 'nothing';
    IF (s.e).effect_id IS NOT NULL AND workflow._is_open(s.e) THEN
      waiting_on := 'effect';
      waiting_detail := format('ended: %s, but %s', outcome, concat_ws('; ', workflow._effect_words(s.e, item, s.endpoint),
                               CASE WHEN (s.e).state = 'held' THEN s.endpoint_owner || ' is asked' END));
      owner := coalesce(s.endpoint_owner, owner);
      what_next := workflow._next_step(waiting_on, s.i, s.j, s.e, s.r, NULL);
    ELSIF back.detail IS NOT NULL THEN
      waiting_on := back.waiting_on;
      waiting_detail := format('ended: %s, but %s', outcome, back.detail);
      queue := (back.queue).queue;
      owner := coalesce(back.owner, owner);
      attempts := workflow._charged(back.job, back.revert);
      last_error_class := (back.revert).error_class;
      last_error := (back.revert).reason;
      next_action_at := CASE WHEN (back.job).status = 'ready' THEN greatest((back.job).run_at, (back.revert).next_at) END;
      sla_due_at := coalesce((back.job).failed_at, (back.job).created_at) + (back.queue).sla;
      what_next := workflow._next_step(waiting_on, s.i, back.job, back.revert, s.r, NULL);
    ELSE
      waiting_on := 'nothing';
      waiting_detail := 'ended: ' || outcome;
    END IF;
    RETURN;
  END IF;

  SELECT f.waiting_on, f.waiting_detail, f.until INTO w
  FROM workflow._waiting(s.i, s.j, s.q, s.e, s.endpoint, s.r, s.t, allowed_events, s.holders) AS f;
  waiting_on := w.waiting_on;
  waiting_detail := w.waiting_detail;
  IF (s.j).job_id IS NULL THEN
    SELECT coalesce(f.waiting_on, w.waiting_on), coalesce(f.waiting_detail, w.waiting_detail)
      INTO waiting_on, waiting_detail
    FROM workflow._waiting_for_children(s.i, allowed_events) AS f;
  END IF;
  IF (s.j).kind IN ('sql', 'http', 'model', 'task') THEN
    max_attempts := workflow._state_max_attempts(workflow, version, state,
      CASE WHEN (s.j).queue = (s.q).queue THEN (s.q).retry
           ELSE (SELECT own.retry FROM workflow.queue AS own WHERE own.queue = (s.j).queue) END);
  END IF;
  what_next := workflow._what_next(waiting_on, s.i, s.j, s.e, s.r, s.t, s.q, allowed_events, max_attempts);
  IF waiting_on = 'event' THEN
    what_next := concat_ws('; ', workflow._compensation_step(s.i), what_next);
  END IF;
  IF waiting_on = 'event' AND back.detail IS NOT NULL THEN
    what_next := concat_ws('; ', workflow._next_step(back.waiting_on, s.i, back.job, back.revert, s.r, NULL), what_next);
  END IF;
  waiting_detail := workflow._waiting_besides(caller, waiting_on, waiting_detail, s.i, s.e, s.endpoint_owner, back.detail,
    CASE WHEN (s.j).kind = 'sql' THEN workflow._strangers(s.holders) ELSE s.holders END);
  SELECT * INTO pause FROM workflow._pause_words(s.i, s.flow);
  IF pause.detail IS NOT NULL THEN
    waiting_on := 'paused';
    waiting_detail := pause.detail;
    what_next := concat_ws('; then ', pause.way_on, what_next);
  END IF;
  next_action_at := workflow._next_action_at(s.j, s.e, s.t, s.r, pause.detail IS NOT NULL, (s.q).paused_at IS NOT NULL);
  next_action_at := CASE WHEN next_action_at < w.until THEN w.until ELSE next_action_at END;
  sla_due_at := workflow._sla_due_at(s.j, s.r, (s.q).sla);
  SELECT d.due_at, concat_ws('; ', what_next, d.words) INTO sla_due_at, what_next
  FROM workflow._earlier_sla(s.i, s.owner, sla_due_at, queue, owner) AS d;
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
  OUT allowed_events text[], OUT outcome text, OUT what_next text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.where_is(bigint) IS
  'Where an item is: its state, what it waits for and until when, whose it is, what may happen to it and what will';

CREATE FUNCTION workflow.where_is(
  item text,
  OUT item_id bigint, OUT workflow text, OUT version int, OUT key text, OUT state text,
  OUT since timestamptz, OUT waiting_on text, OUT waiting_detail text,
  OUT next_action_at timestamptz, OUT queue text, OUT owner text, OUT sla_due_at timestamptz,
  OUT attempts int, OUT max_attempts int, OUT last_error_class text, OUT last_error text,
  OUT allowed_events text[], OUT outcome text, OUT what_next text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.where_is(text) IS
  'The same, for workflow:key';
