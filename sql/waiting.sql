--
-- waiting: what an item waits for, in words: for whom, until when, since when,
-- and what comes then.
--
-- A wait that is over in a moment has an answer, too: every standing of a job
-- and an effect is listed in test/sql/monitor_waiting.sql.
--

-- --------------------------------------------------------------- who holds it

CREATE FUNCTION workflow._row_holders(relation regclass, place tid) RETURNS int[]
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wf_row_holders';
COMMENT ON FUNCTION workflow._row_holders(regclass, tid) IS
  'Inner: processes whose open transactions have locked or changed a row, 0 for a prepared one; null when none has';

-- Who is not to see what a session does in pg_stat_activity does not see it here either.
CREATE FUNCTION workflow._holder_words(caller text, pids int[]) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  sees_all boolean := pg_has_role(caller, 'pg_read_all_stats', 'USAGE');
BEGIN
  RETURN (
    SELECT string_agg(CASE WHEN h.pid = 0 THEN 'a prepared transaction, see pg_prepared_xacts'
             ELSE format('pid %s (%s)%s', h.pid, concat_ws(', ',
                    CASE WHEN a.backend_type <> 'client backend' THEN a.backend_type ELSE pg_get_userbyid(a.usesysid) END,
                    nullif(nullif(a.application_name, ''), a.backend_type),    -- a worker's name is its type
                    CASE WHEN sees_all OR pg_has_role(caller, a.usesysid, 'USAGE')
                         THEN concat(a.state || ' ', 'since ' || a.xact_start, ': ' || nullif(left(regexp_replace(a.query, '\s+', ' ', 'g'), 80), '')) END),
                    ', which waits for pid ' || nullif(array_to_string(pg_blocking_pids(h.pid), ', '), '')) END, '; ' ORDER BY h.pid)
    FROM (SELECT DISTINCT x.pid FROM unnest(pids) AS x (pid)) AS h
    LEFT JOIN LATERAL pg_stat_get_activity(h.pid) AS a ON h.pid <> 0);
END
$$;
COMMENT ON FUNCTION workflow._holder_words(text, int[]) IS
  'Inner: processes that hold a row, as a role may know them: who, since when, what they run, for whom they wait themselves';

-- ------------------------------------------------------------------ endpoints

-- Why the endpoint of a job does not take its call before it looks again.
CREATE FUNCTION workflow._waiting_for_endpoint(
  endpoint_id int, reason text, OUT waiting_on text, OUT detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  p workflow.endpoint;
BEGIN
  SELECT e.* INTO p FROM workflow.endpoint AS e WHERE e.endpoint_id = _waiting_for_endpoint.endpoint_id;
  waiting_on := CASE reason WHEN 'max_in_flight' THEN 'worker' ELSE reason END;
  detail := CASE reason
    WHEN 'breaker' THEN
      format('breaker of endpoint %s: %s%s%s', p.endpoint, p.breaker, ' since ' || p.breaker_since,
             CASE p.breaker WHEN 'open' THEN format(', until %s: %s', p.breaker_until, p.breaker_reason)
                            WHEN 'half_open' THEN format(', effect %s goes to see: %s', p.breaker_probe, p.breaker_reason) END)
    WHEN 'paused' THEN
      CASE WHEN p.paused_at IS NULL THEN format('endpoint %s was paused', p.endpoint)
           ELSE format('endpoint %s paused by %s since %s: %s', p.endpoint, p.paused_by, p.paused_at,
                       coalesce(p.pause_reason, 'no reason given')) END
    WHEN 'rate_limit' THEN
      CASE WHEN p.pause_until > workflow._now()
           THEN format('endpoint %s asked for a pause until %s', p.endpoint, p.pause_until)
           ELSE format('rate limit of endpoint %s', p.endpoint) END
    WHEN 'max_in_flight' THEN format('endpoint %s has as many calls under way as it takes', p.endpoint)
    ELSE format('retry budget of endpoint %s is used up', p.endpoint) END;
END
$$;
COMMENT ON FUNCTION workflow._waiting_for_endpoint(int, text) IS
  'Inner: what a job waits for that its endpoint does not take now';

-- How an effect stands whose outcome a job waits for.
CREATE FUNCTION workflow._effect_words(effect workflow.effect, item bigint, endpoint text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN concat_ws('; ',
    format('%s: %s%s', effect.state,
      concat_ws(' ', CASE effect.kind WHEN 'guard' THEN 'begin_effect()' ELSE effect.method END, effect.path,
                format('to %s, key %s', endpoint, effect.key)),
      coalesce(' (' || effect.reason || ')', '')),
    'it is an effect of item ' || nullif(effect.item_id, item),
    CASE WHEN effect.state IN ('claimed', 'sending') OR effect.substate = 'probing'
         THEN format('%s since %s%s', CASE WHEN effect.state = 'claimed' THEN 'taken' WHEN effect.substate = 'probing' THEN 'looked up' ELSE 'under way' END,
                     effect.sending_at, ', its sender counts as lost after ' || effect.deadline)
         WHEN effect.state IN ('unknown', 'pending') AND effect.kind <> 'guard' THEN 'next at ' || effect.next_at
         WHEN effect.state IN ('succeeded', 'failed', 'dead', 'cancelled')
         THEN concat('settled at ' || effect.finished_at || ', ', 'its job is told in a moment') END);
END
$$;
COMMENT ON FUNCTION workflow._effect_words(workflow.effect, bigint, text) IS
  'Inner: how an effect stands, in words';

-- --------------------------------------------------------------------- queues

-- When a queue has room in its rate limit for a job, as limits.c counts; null when it has now.
CREATE FUNCTION workflow._rate_until(job workflow.job, queue workflow.queue) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  next_at timestamptz;
  until timestamptz;
BEGIN
  IF queue.rate_count IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT r.next_at INTO next_at FROM workflow.rate AS r
  WHERE r.kind = CASE WHEN queue.rate_per_tenant THEN 'tenant' ELSE 'queue' END AND r.name = (queue).queue
    AND r.tenant = CASE WHEN queue.rate_per_tenant THEN coalesce(job.tenant, '') ELSE '' END;
  until := next_at - queue.rate_per + least(job.units, queue.rate_count) * (queue.rate_per / queue.rate_count);
  RETURN CASE WHEN until > workflow._now() THEN until END;
END
$$;
COMMENT ON FUNCTION workflow._rate_until(workflow.job, workflow.queue) IS
  'Inner: when the rate limit of its queue lets a job start; null when that is now';

-- The job of its group that comes before a ready one: the one that runs, else the oldest.
CREATE FUNCTION workflow._ahead_in_group(job workflow.job) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  head workflow.job;
BEGIN
  SELECT j.* INTO head FROM workflow.job AS j
  WHERE j.queue = job.queue AND j.group_key = job.group_key AND j.job_id <> job.job_id
    AND j.status || '' = 'running' AND j.group_key IS NOT NULL LIMIT 1;
  IF NOT FOUND THEN
    SELECT j.* INTO head FROM workflow.job AS j
    WHERE j.queue = job.queue AND j.group_key = job.group_key AND j.job_id < job.job_id
      AND j.group_key IS NOT NULL AND j.status || '' <> 'dead' ORDER BY j.job_id LIMIT 1;
  END IF;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  RETURN format('job %s of group %s comes first: %s', head.job_id, head.group_key,
                CASE WHEN head.status = 'running' THEN format('%s works on it since %s', head.worker, head.claimed_at)
                     WHEN head.status = 'waiting' THEN 'it waits for ' || coalesce(head.waiting_on, 'its effect')
                     WHEN head.run_at > workflow._now() THEN 'it runs at ' || head.run_at
                     ELSE 'it is ready' END);
END
$$;
COMMENT ON FUNCTION workflow._ahead_in_group(workflow.job) IS
  'Inner: which job of its group comes before a ready one; null when none does';

-- How many ready jobs a claim looks at before this one; more than a hundred are not counted.
CREATE FUNCTION workflow._ahead_in_queue(job workflow.job) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n int;
BEGIN
  SELECT count(*) INTO n FROM (
    SELECT FROM workflow.job AS j
    WHERE j.kind = job.kind AND j.queue = job.queue AND j.status = 'ready' AND NOT j.behind
      AND (j.priority, j.run_at, j.job_id) < (job.priority, job.run_at, job.job_id)
    LIMIT 101) AS ahead;
  RETURN CASE WHEN n > 100 THEN 'more than 100 others come before it' WHEN n > 1 THEN format('%s others come before it', n)
              WHEN n = 1 THEN 'one other comes before it' END;
END
$$;
COMMENT ON FUNCTION workflow._ahead_in_queue(workflow.job) IS
  'Inner: how many jobs come before a ready one; null when none does, or the order is not that of the queue';

-- What a job waits for that is ready and due, and until when.
CREATE FUNCTION workflow._waiting_in_queue(
  job workflow.job, queue workflow.queue, holders int[], OUT waiting_on text, OUT detail text, OUT until timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  first workflow.job;
BEGIN
  waiting_on := 'worker';
  IF job.group_key IS NOT NULL THEN
    detail := workflow._ahead_in_group(job);
  END IF;
  IF detail IS NOT NULL THEN
    RETURN;
  END IF;
  until := workflow._rate_until(job, queue);
  IF until IS NOT NULL THEN
    waiting_on := 'rate_limit';
    detail := format('queue %s takes %s per %s%s: room for job %s at %s', queue.queue, queue.rate_count, queue.rate_per,
                     CASE WHEN queue.rate_per_tenant THEN ' of a tenant' END, job.job_id, until);
    RETURN;
  END IF;
  IF queue.max_running IS NOT NULL
     AND queue.max_running <= (SELECT count(*) FROM (SELECT FROM workflow.job AS j WHERE j.queue = job.queue AND j.status = 'running'
                                                     LIMIT queue.max_running) AS running) THEN
    SELECT j.* INTO first FROM workflow.job AS j WHERE j.queue = job.queue AND j.status = 'running' ORDER BY j.claimed_at LIMIT 1;
    detail := format('queue %s runs as many jobs as it may (max_running %s); job %s since %s, by %s, is the oldest', queue.queue,
                     queue.max_running, first.job_id, first.claimed_at, first.worker);
    RETURN;
  END IF;
  detail := concat_ws('; ', format('job %s is ready in queue %s', job.job_id, job.queue),
                      CASE WHEN queue.fair THEN 'its tenants take turns' ELSE workflow._ahead_in_queue(job) END,
                      workflow._who_runs(job.kind, holders));
END
$$;
COMMENT ON FUNCTION workflow._waiting_in_queue(workflow.job, workflow.queue, int[]) IS
  'Inner: what a ready job waits for: the group, the rate limit, max_running, those before it, or somebody who takes it';

-- ----------------------------------------------------------------------- people

-- Who is asked, and who has it.
CREATE FUNCTION workflow._review_words(review workflow.review, queue workflow.queue) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stands_since timestamptz := workflow._review_stands_since(review);
  assignee text := workflow._assigned_to(review.assignee, review.claim_until, coalesce(stands_since, workflow._now()));
BEGIN
  RETURN concat_ws('; ',
    format('review %s%s', review.review_id,
      coalesce(CASE WHEN review.claimed_at IS NULL THEN ', delegated to ' ELSE ', claimed by ' END || assignee
                 || coalesce(' at ' || review.claimed_at, ''),
               ' waits to be decided')),
    (SELECT string_agg(format('%s of %s say "%s"', v.votes, workflow._approvals(review.spec, v.decision), v.decision), ', ' ORDER BY v.decision)
     FROM (SELECT d.decision, count(w.voter) AS votes FROM jsonb_array_elements_text(review.spec -> 'decisions') AS d (decision)
           LEFT JOIN workflow.review_vote AS w ON w.review_id = review.review_id AND w.decision = d.decision
           WHERE review.spec ? 'approvals' AND workflow._approvals(review.spec, d.decision) > 1 GROUP BY d.decision) AS v),
    format('opened at %s, due at %s', review.opened_at, review.due_at),
    'its clock stands since ' || stands_since || CASE WHEN review.paused_at IS NOT NULL THEN coalesce(': ' || review.pause_reason, '') ELSE '' END,
    CASE WHEN review.step > 0 THEN format('escalated to %s (step %s of %s)',
              queue.escalate_to[least(review.step, cardinality(queue.escalate_to))], review.step, cardinality(queue.escalate_to))
         WHEN assignee IS NULL THEN format('%s is asked', queue.owner) END,
    CASE WHEN (review.spec ->> 'four_eyes')::boolean THEN 'not by who submitted it, changed its data or decided on it before' END);
END
$$;
COMMENT ON FUNCTION workflow._review_words(workflow.review, workflow.queue) IS
  'Inner: since when a review is open, how many have decided, who has claimed it or is asked, and who may not decide';

-- --------------------------------------------------------------------- all of it

-- How often a job of a state is tried: by the policy of its activity, else its queue's.
CREATE FUNCTION workflow._state_max_attempts(workflow text, version int, state text, queue_retry jsonb) RETURNS int
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN coalesce((workflow._state_retry(workflow, version, state) ->> 'max_attempts')::numeric::int, (queue_retry ->> 'max_attempts')::numeric::int, 5);
END
$$;
COMMENT ON FUNCTION workflow._state_max_attempts(text, int, text, jsonb) IS
  'Inner: max_attempts of a state''s retry policy';

-- Of a call each send is one attempt; what its receiver puts off (429) is none.
CREATE FUNCTION workflow._charged(job workflow.job, effect workflow.effect) RETURNS int LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN greatest(job.attempt, effect.charged + (effect.state = 'sending')::int);
END
$$;
COMMENT ON FUNCTION workflow._charged(workflow.job, workflow.effect) IS
  'Inner: attempts that count against the retry policy, with the one that runs';

-- What a job waits for that is to run later: a retry, or a start that was set.
CREATE FUNCTION workflow._waiting_for_time(
  item workflow.item, job workflow.job, queue workflow.queue, effect workflow.effect, OUT waiting_on text, OUT detail text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  error text := coalesce(job.error_class, effect.error_class);
BEGIN
  IF error IS NULL AND job.attempt = 0 THEN
    waiting_on := 'timer';
    detail := format('job %s starts at %s', job.job_id, job.run_at);
    RETURN;
  END IF;
  waiting_on := CASE WHEN 'rate_limited' IN (job.error_class, effect.error_class) THEN 'rate_limit' ELSE 'retry' END;
  detail := format('attempt %s of %s of job %s runs at %s%s', coalesce(workflow._charged(job, effect), 0) + 1,
                   greatest(workflow._state_max_attempts(item.workflow, item.version, item.state, queue.retry),
                            coalesce(workflow._charged(job, effect), 0) + 1),
                   job.job_id, job.run_at, ', after ' || error);
END
$$;
COMMENT ON FUNCTION workflow._waiting_for_time(workflow.item, workflow.job, workflow.queue, workflow.effect) IS
  'Inner: what a job waits for that runs at a later time';

-- What a living item that is not paused waits for, and until when where its job does not say.
CREATE FUNCTION workflow._waiting(
  item workflow.item, job workflow.job, queue workflow.queue, effect workflow.effect,
  endpoint text, review workflow.review, timer workflow.timer, events text[], holders int[],
  OUT waiting_on text, OUT waiting_detail text, OUT until timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  words text := CASE WHEN effect.effect_id IS NOT NULL THEN workflow._effect_words(effect, item.item_id, endpoint) END;
BEGIN
  IF review.review_id IS NOT NULL THEN
    waiting_on := 'review';
    waiting_detail := workflow._review_words(review, queue);
  ELSIF job.status = 'dead' THEN
    waiting_on := 'exception';
    waiting_detail := format('dead letter: job %s, %s%s', job.job_id, coalesce(job.error_class, 'failed'), ', since ' || job.failed_at);
  ELSIF job.kind = 'exception' THEN
    waiting_on := 'exception';
    waiting_detail := format('came from %s; replay it or give it up', coalesce(item.origin, 'nowhere'));
  ELSIF effect.state = 'blocked' OR job.waiting_on = 'blocked' THEN
    waiting_on := 'blocked';
    waiting_detail := coalesce(effect.reason, job.error_message, words);    -- the cause alone, so that one can group by it
  ELSIF job.status = 'waiting' OR effect.state IN ('sending', 'unknown', 'held') 
        OR job.job_id IS NULL AND effect.effect_id IS NOT NULL AND workflow._is_open(effect) THEN
    waiting_on := 'effect';
    waiting_detail := coalesce(words, format('job %s waits: %s', job.job_id, coalesce(job.waiting_on, 'nobody says for what')));
  ELSIF job.status = 'ready' AND queue.paused_at IS NOT NULL THEN
    waiting_on := 'paused';
    waiting_detail := format('queue %s paused by %s since %s: %s', queue.queue, queue.paused_by, queue.paused_at,
                             coalesce(queue.pause_reason, 'no reason given'));
  ELSIF job.status = 'running' THEN
    waiting_on := 'worker';
    waiting_detail := format('%s works on it since %s', job.worker, job.claimed_at)
      || coalesce('; its lease ends at ' || workflow._lease_end(job.job_id, job.token, job.lease_until),
                  '; its claim ends with session ' || job.session_pid, '');
  ELSIF job.status = 'ready' AND job.waiting_on IN ('budget', 'same_request') THEN
    waiting_on := job.waiting_on;
    waiting_detail := format('%s; job %s looks again at %s', workflow._waiting_for_model(item.workflow, effect, job.waiting_on), job.job_id, job.run_at);
  ELSIF job.status = 'ready' AND job.waiting_on IS NOT NULL THEN
    SELECT f.waiting_on, format('%s; job %s looks again at %s', f.detail, job.job_id, job.run_at)
      INTO waiting_on, waiting_detail
    FROM workflow._waiting_for_endpoint(effect.endpoint_id, job.waiting_on) AS f;
  ELSIF job.status = 'ready' AND job.run_at > workflow._now() THEN
    SELECT f.waiting_on, f.detail INTO waiting_on, waiting_detail
    FROM workflow._waiting_for_time(item, job, queue, effect) AS f;
  ELSIF job.job_id IS NOT NULL THEN
    SELECT f.waiting_on, f.detail, f.until INTO waiting_on, waiting_detail, until
    FROM workflow._waiting_in_queue(job, queue, holders) AS f;
  ELSIF timer.kind IN ('wait', 'start') THEN
    waiting_on := 'timer';
    waiting_detail := format('%s at %s', timer.event, timer.due_at);
  ELSE
    waiting_on := 'event';
    waiting_detail := 'any of: ' || array_to_string(events, ', ');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._waiting(workflow.item, workflow.job, workflow.queue, workflow.effect, text, workflow.review, workflow.timer, text[], int[]) IS
  'Inner: what a living item waits for';
