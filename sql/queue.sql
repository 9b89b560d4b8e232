--
-- queue: queues, jobs, claims, dead letters.
--

CREATE TYPE workflow.claimed_job AS (
  job_id      bigint,
  token       text,
  queue       text,
  item_id     bigint,
  state       text,
  payload     jsonb,
  attempt     int,
  lease_until timestamptz
);
COMMENT ON TYPE workflow.claimed_job IS
  'A job as its claimer gets it; lease_until is null when the claim is bound to the session';

CREATE FUNCTION workflow._queue_changed() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_queue_changed';
COMMENT ON FUNCTION workflow._queue_changed() IS
  'Inner: tells the sessions that know a queue that it has changed, and the maintenance worker';

CREATE TRIGGER tell_sessions
  AFTER INSERT OR DELETE OR UPDATE OF queue, owner, sla, escalate_to, rate_count, rate_per, max_running,
    max_length, priority, lease, retry, dead_letter_retention, paused_at, on_full, key_window, aging, fair, rate_per_tenant ON workflow.queue
  FOR EACH ROW EXECUTE FUNCTION workflow._queue_changed();
COMMENT ON TRIGGER tell_sessions ON workflow.queue IS 'Sessions keep what they know of a queue until it changes';

-- Not how long a job waits now, but when it began to: of two jobs the difference
-- is the same at any time, so that their order is known when they are stored.
CREATE FUNCTION workflow._aged(priority int, due_at timestamptz, aging interval) RETURNS int LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN aging IS NULL THEN 0
              ELSE greatest(least(a.aged, 1000000000, 2147483647 - priority::bigint),
                            -1000000000, -2147483648 - priority::bigint)::int END
  FROM (SELECT CASE WHEN isfinite(due_at)
                    THEN floor((extract(epoch FROM due_at) - 946684800) / extract(epoch FROM aging))
                    WHEN due_at > now() THEN 1000000000 ELSE -1000000000 END) AS a (aged)
$$;
COMMENT ON FUNCTION workflow._aged(int, timestamptz, interval) IS
  'Inner: how much less urgent a job counts than one that was due in 2000; 0 without aging';

-- So that jobs of before and after a change of aging compare.
CREATE FUNCTION workflow._age_jobs_anew() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE workflow.job AS j
  SET priority = j.priority - j.aged + workflow._aged(j.priority - j.aged, j.run_at, NEW.aging),
      aged = workflow._aged(j.priority - j.aged, j.run_at, NEW.aging)
  WHERE j.queue = NEW.queue;
  PERFORM workflow._wake_queue(NEW.queue);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._age_jobs_anew() IS
  'Inner: the aging of a queue has changed, so its jobs count anew';

CREATE TRIGGER age_jobs_anew
  AFTER UPDATE OF aging ON workflow.queue
  FOR EACH ROW WHEN (old.aging IS DISTINCT FROM new.aging) EXECUTE FUNCTION workflow._age_jobs_anew();
COMMENT ON TRIGGER age_jobs_anew ON workflow.queue IS 'Jobs that were stored under another aging count as under this one';

-- So that jobs of before the change take turns, too.
CREATE FUNCTION workflow._name_tenants() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE workflow.job AS j SET tenant = '' WHERE j.queue = NEW.queue AND j.tenant IS NULL;
  PERFORM workflow._wake_queue(NEW.queue);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._name_tenants() IS 'Inner: a queue has become fair, so each of its jobs has a tenant';

CREATE TRIGGER name_tenants
  AFTER UPDATE OF fair ON workflow.queue
  FOR EACH ROW WHEN (new.fair AND NOT old.fair) EXECUTE FUNCTION workflow._name_tenants();
COMMENT ON TRIGGER name_tenants ON workflow.queue IS 'Jobs that were stored before the queue was fair take turns, too';

CREATE FUNCTION workflow._lanes_restored() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_lane_restored';
COMMENT ON FUNCTION workflow._lanes_restored() IS
  'Inner: what memory knows of jobs is to be built anew, for a restore has brought some';

DO $restored$
DECLARE
  target text;
BEGIN
  FOREACH target IN ARRAY '{attempt,segment_1,segment_2,segment_3,segment_4,segment_5,segment_6,segment_7,segment_8}'::text[]
  LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER note_restore BEFORE INSERT ON workflow.%I '
      'FOR EACH STATEMENT EXECUTE FUNCTION workflow._lanes_restored()', target);
    EXECUTE pg_catalog.format('COMMENT ON TRIGGER note_restore ON workflow.%I IS %L', target,
      'After a restore the lanes are built anew');
    EXECUTE pg_catalog.format('ALTER TABLE workflow.%I ENABLE ALWAYS TRIGGER note_restore', target);
  END LOOP;
END
$restored$;

-- ---------------------------------------------------------------- enqueue

CREATE FUNCTION workflow.enqueue(queue text, payload jsonb, key text DEFAULT NULL, group_key text DEFAULT NULL,
                                 priority int DEFAULT 0, run_at timestamptz DEFAULT NULL,
                                 tenant text DEFAULT NULL, units int DEFAULT 1) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_enqueue';
COMMENT ON FUNCTION workflow.enqueue(text, jsonb, text, text, int, timestamptz, text, int) IS
  'Stores a job in the caller''s transaction and returns its id; with a key that another job of the queue has, the id of that job';

CREATE FUNCTION workflow.enqueue_many(queue text, payloads jsonb[], keys text[] DEFAULT NULL, group_keys text[] DEFAULT NULL,
                                      priorities int[] DEFAULT NULL, run_at timestamptz[] DEFAULT NULL,
                                      tenants text[] DEFAULT NULL, units int[] DEFAULT NULL) RETURNS bigint[]
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_enqueue_many';
COMMENT ON FUNCTION workflow.enqueue_many(text, jsonb[], text[], text[], int[], timestamptz[], text[], int[]) IS
  'Stores a job for each payload, all or none, and returns their ids in the same order; one element of an array other than keys counts for all';

-- ------------------------------------------------------------------ claim

CREATE FUNCTION workflow.claim(queue text, worker text, batch int DEFAULT 1, lease interval DEFAULT NULL,
                               wait interval DEFAULT '0') RETURNS SETOF workflow.claimed_job
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_claim';
COMMENT ON FUNCTION workflow.claim(text, text, int, interval, interval) IS
  'Takes up to batch ready jobs, by priority, due time and id; bound to the session unless a lease is given; wait blocks until work commits';

CREATE PROCEDURE workflow.wait_for_job(queue text, max_wait interval)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_wait_for_job';
COMMENT ON PROCEDURE workflow.wait_for_job(text, interval) IS
  'Returns when the queue has a job to claim, or after max_wait; holds no snapshot while it waits';

CREATE FUNCTION workflow._lease_end(job_id bigint, token text, lease_until timestamptz) RETURNS timestamptz
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wf_lease_end';
COMMENT ON FUNCTION workflow._lease_end(bigint, text, timestamptz) IS
  'Inner: when the lease of a claim ends that its row says ends at lease_until; heartbeats move it in memory';

CREATE FUNCTION workflow.extend(job_id bigint, token text, lease interval) RETURNS timestamptz
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_extend';
COMMENT ON FUNCTION workflow.extend(bigint, text, interval) IS
  'Heartbeat: the claim now lasts until the returned time, whatever becomes of the session';

CREATE FUNCTION workflow.extend_many(job_ids bigint[], tokens text[], lease interval) RETURNS timestamptz
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_extend_many';
COMMENT ON FUNCTION workflow.extend_many(bigint[], text[], interval) IS
  'extend() for many claims, all or none';

CREATE FUNCTION workflow.release(job_id bigint, token text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_release';
COMMENT ON FUNCTION workflow.release(bigint, text) IS
  'Gives a claimed job back without charging an attempt';

CREATE FUNCTION workflow.release_many(job_ids bigint[], tokens text[]) RETURNS int
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_release_many';
COMMENT ON FUNCTION workflow.release_many(bigint[], text[]) IS
  'release() for many claims, all or none; returns how many';

-- ----------------------------------------------------------------- queues

CREATE FUNCTION workflow._is_held(job tid) RETURNS bool
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_queue_is_held';
COMMENT ON FUNCTION workflow._is_held(tid) IS
  'Inner: whether somebody has locked, or is changing, the row of a job';

CREATE FUNCTION workflow._wake_queue(queue text) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_queue_wake';
COMMENT ON FUNCTION workflow._wake_queue(text) IS
  'Inner: wakes, at commit, whoever waits for jobs of the queue, or for room in it';

CREATE FUNCTION workflow._job_again(job_id bigint) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_queue_job_again';
COMMENT ON FUNCTION workflow._job_again(bigint) IS
  'Inner: a dead or waiting job is ready again, with all its attempts';

CREATE FUNCTION workflow._leave_lanes(job_ids bigint[]) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_queue_leave_lanes';
COMMENT ON FUNCTION workflow._leave_lanes(bigint[]) IS
  'Inner: those of the jobs, in ascending order, that are in lanes become rows of the table';

CREATE FUNCTION workflow._drop_cancelled(job_id bigint, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_queue_drop_cancelled';
COMMENT ON FUNCTION workflow._drop_cancelled(bigint, text) IS
  'Inner: removes a job of the table; the attempt "cancelled" stays on record';

-- The options of a queue that are columns: those of create_queue(), of documents and of alter_queue().
CREATE FUNCTION workflow._queue_columns() RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '{owner,sla,escalate_to,rate_count,rate_per,rate_per_tenant,max_running,max_length,on_full,priority,lease,retry,
           dead_letter_retention,key_window,aging,fair,warn}'::text[]
$$;
COMMENT ON FUNCTION workflow._queue_columns() IS
  'Inner: the columns of workflow.queue that are its options; rate_limit is three of them';

-- The names are those by which the options are given.
CREATE FUNCTION workflow._queue_options(queue workflow.queue) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_object_agg(o.key, o.value)
         || CASE WHEN queue.rate_count IS NULL THEN '{}'
                 ELSE jsonb_build_object('rate_limit', jsonb_build_object('count', queue.rate_count, 'per', queue.rate_per)
                                                       || CASE WHEN queue.rate_per_tenant THEN '{"per_tenant": true}'::jsonb ELSE '{}' END) END
  FROM jsonb_each(jsonb_strip_nulls(to_jsonb(queue))) AS o
  WHERE o.key = ANY (workflow._queue_columns()) AND o.key NOT LIKE 'rate\_%'
$$;
COMMENT ON FUNCTION workflow._queue_options(workflow.queue) IS
  'Inner: the options of a queue, those that it has, for messages and the journal';

-- What is wrong with the options of a queue; null when nothing is.
CREATE FUNCTION workflow._queue_problem(wanted workflow.queue) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN coalesce(btrim(wanted.queue), '') = '' THEN 'a queue needs a name'
    WHEN octet_length(wanted.queue) > 255 THEN 'the name of a queue may have 255 bytes'
    WHEN coalesce(btrim(wanted.owner), '') = '' THEN format('queue "%s" needs an owner', wanted.queue)
    WHEN wanted.sla IS NULL THEN format('queue "%s" needs an SLA', wanted.queue)
    WHEN wanted.sla <= interval '0' THEN format('the SLA of queue "%s" must be longer than zero', wanted.queue)
    WHEN coalesce(cardinality(wanted.escalate_to), 0) = 0 THEN format('queue "%s" needs an escalation path', wanted.queue)
    WHEN EXISTS (SELECT FROM unnest(wanted.escalate_to) AS step WHERE coalesce(btrim(step), '') = '')
      THEN format('a step of the escalation path of queue "%s" is empty', wanted.queue)
    WHEN wanted.max_running < 1 THEN format('max_running of queue "%s" must be at least 1', wanted.queue)
    WHEN wanted.max_length < 1 THEN format('max_length of queue "%s" must be at least 1', wanted.queue)
    WHEN wanted.on_full NOT IN ('refuse', 'block') THEN format('on_full of queue "%s" must be refuse or block', wanted.queue)
    WHEN wanted.on_full = 'block' AND wanted.max_length IS NULL
      THEN format('queue "%s" has no max_length, so it is never full', wanted.queue)
    WHEN wanted.lease <= interval '0' THEN format('the lease of queue "%s" must be longer than zero', wanted.queue)
    WHEN wanted.dead_letter_retention <= interval '0'
      THEN format('dead_letter_retention of queue "%s" must be longer than zero', wanted.queue)
    WHEN wanted.fair AND wanted.aging IS NOT NULL
      THEN format('queue "%s" cannot be fair and have aging: turns are taken among jobs of one priority', wanted.queue)
    WHEN wanted.rate_per_tenant AND NOT wanted.fair
      THEN format('queue "%s" has a rate limit for each tenant, so it has to be fair', wanted.queue)
    WHEN wanted.aging < interval '1 second' THEN format('aging of queue "%s" must be at least a second', wanted.queue)
    WHEN wanted.warn <= interval '0' THEN format('warn of queue "%s" must be longer than zero', wanted.queue)
    WHEN wanted.warn >= wanted.sla THEN format('warn of queue "%s" must be shorter than its SLA', wanted.queue)
    WHEN wanted.key_window <= interval '0' THEN format('key_window of queue "%s" must be longer than zero', wanted.queue)
    WHEN greatest(wanted.sla, wanted.lease, wanted.dead_letter_retention, wanted.rate_per, wanted.key_window, wanted.aging) > interval '10000 years'
      THEN format('a time of queue "%s" is longer than ten thousand years', wanted.queue)
  END
$$;
COMMENT ON FUNCTION workflow._queue_problem(workflow.queue) IS
  'Inner: what is wrong with the options of a queue; null when nothing is';

-- What to do about it, in the order of the problems.
CREATE FUNCTION workflow._queue_cure(wanted workflow.queue) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN octet_length(wanted.queue) > 255 THEN 'Choose a shorter name.'
    WHEN num_nulls(nullif(btrim(wanted.queue), ''), nullif(btrim(wanted.owner), ''), s.sla, s.steps) > 0
      THEN format('workflow.create_queue(%L, owner => %L, sla => %L, escalate_to => %L) is an example.',
                  coalesce(nullif(btrim(wanted.queue), ''), 'mail'), coalesce(nullif(btrim(wanted.owner), ''), 'ops'),
                  coalesce(s.sla, '10 minutes'), coalesce(s.steps, '{ops-lead}'))
    WHEN wanted.max_running < 1 THEN 'Leave max_running out where any number may run; workflow.pause_queue() lets none run.'
    WHEN wanted.max_length < 1 THEN 'Leave max_length out where any number may wait.'
    WHEN wanted.on_full NOT IN ('refuse', 'block') OR wanted.on_full = 'block' AND wanted.max_length IS NULL
      THEN 'Where a queue has as many ready jobs as max_length says, enqueue() raises WF009 (refuse), or waits for room (block).'
    WHEN wanted.lease <= interval '0' THEN 'Leave lease out, and a claim that names none is bound to its session.'
    WHEN wanted.dead_letter_retention <= interval '0' THEN 'Leave dead_letter_retention out, and dead letters stay until somebody sees to them.'
    WHEN wanted.fair AND wanted.aging IS NOT NULL THEN 'Choose one of them.'
    WHEN wanted.rate_per_tenant AND NOT wanted.fair THEN 'Add fair, or leave per_tenant out of the rate limit.'
    WHEN wanted.aging < interval '1 second' THEN 'Each aging that a job has waited makes it more urgent by one priority: some minutes are usual.'
    WHEN wanted.warn <= interval '0' OR wanted.warn >= wanted.sla
      THEN 'Its owner is warned so long before the SLA ends; leave warn out, and he is after four fifths of it.'
    WHEN wanted.key_window <= interval '0' THEN 'Leave key_window out, and a key is free again when its job has ended.'
    ELSE 'Choose a shorter time, or leave the option out.'
  END
  FROM (SELECT CASE WHEN wanted.sla > interval '0' THEN wanted.sla END AS sla,
               CASE WHEN cardinality(wanted.escalate_to) > 0
                         AND NOT EXISTS (SELECT FROM unnest(wanted.escalate_to) AS step WHERE coalesce(btrim(step), '') = '')
                    THEN wanted.escalate_to END AS steps) AS s
$$;
COMMENT ON FUNCTION workflow._queue_cure(workflow.queue) IS
  'Inner: what to do about the first thing that is wrong with the options of a queue';

-- Raises invalid_parameter_value for whatever is wrong with the options of a queue.
CREATE FUNCTION workflow._check_queue(wanted workflow.queue) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  problem text := workflow._queue_problem(wanted);
BEGIN
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION '%', problem
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = CASE WHEN num_nulls(nullif(btrim(wanted.queue), ''), nullif(btrim(wanted.owner), ''), wanted.sla, wanted.escalate_to) > 0
                          THEN 'Every queue has an owner, an SLA and an escalation path, so that somebody answers for what waits in it.'
                          ELSE format('Its options would be %s.', workflow._queue_options(wanted)) END,
            HINT = workflow._queue_cure(wanted);
  END IF;
  BEGIN
    PERFORM workflow._check_retry_policy(wanted.retry);
  EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow THEN
    RAISE EXCEPTION 'a time of the retry policy of queue "%" is no interval', wanted.queue
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('%s.', sqlerrm),
            HINT = 'An example of a policy is {"max_attempts": 5, "timeout": "30 seconds", "backoff": {"initial": "1 second", "max": "15 minutes"}}.';
  END;
END
$$;
COMMENT ON FUNCTION workflow._check_queue(workflow.queue) IS
  'Inner: raises invalid_parameter_value for whatever is wrong with the options of a queue';

-- A rate limit {"count": n, "per": "interval", "per_tenant": boolean} as its columns.
CREATE FUNCTION workflow._rate_limit(rate_limit jsonb, OUT rate_count int, OUT rate_per interval,
                                     OUT rate_per_tenant boolean) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  fine bool := false;
BEGIN
  rate_per_tenant := false;
  IF rate_limit IS NULL OR rate_limit = 'null' THEN
    RETURN;
  END IF;
  BEGIN
    rate_count := workflow._whole_number(rate_limit -> 'count', 1, 2147483647);
    rate_per := (rate_limit ->> 'per')::interval;
    rate_per_tenant := coalesce((rate_limit -> 'per_tenant')::boolean, false);
    fine := coalesce(rate_count > 0 AND rate_per > interval '0', false)
      AND (rate_limit - 'count' - 'per' - 'per_tenant') = '{}';
  EXCEPTION WHEN data_exception OR datatype_mismatch THEN
    fine := false;
  END;
  IF NOT fine THEN
    RAISE EXCEPTION 'a rate limit must be {"count": whole number, "per": "interval", "per_tenant": boolean}'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is %s.', rate_limit),
            HINT = '{"count": 50, "per": "1 second"} is an example.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._rate_limit(jsonb) IS
  'Inner: count, interval and scope of a rate limit; invalid_parameter_value for anything else';

-- A queue with some of its options changed; null takes one away.
CREATE FUNCTION workflow._queue_with(queue workflow.queue, options jsonb) RETURNS workflow.queue LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF options ? 'rate_limit' THEN
    SELECT r.rate_count, r.rate_per, r.rate_per_tenant
    INTO queue.rate_count, queue.rate_per, queue.rate_per_tenant
    FROM workflow._rate_limit(options -> 'rate_limit') AS r;
  END IF;
  BEGIN
    queue := jsonb_populate_record(queue,
      (SELECT coalesce(jsonb_object_agg(o.key, CASE jsonb_typeof(o.value) WHEN 'number' THEN to_jsonb(trim_scale(o.value::numeric)) ELSE o.value END), '{}')
       FROM jsonb_each(options) AS o WHERE o.key = ANY (workflow._queue_columns()) AND o.key NOT LIKE 'rate\_%'));
  EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION 'an option of queue "%" has a value of the wrong kind', queue.queue
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('%s, in %s.', sqlerrm, options),
            HINT = '{"sla": "10 minutes", "escalate_to": ["ops-lead"], "max_running": 5, "fair": true} shows what each kind looks like.';
  END;
  queue.priority := coalesce(queue.priority, 0);
  queue.on_full := coalesce(queue.on_full, 'refuse');
  queue.fair := coalesce(queue.fair, false);
  queue.rate_per_tenant := coalesce(queue.rate_per_tenant, false);
  RETURN queue;
END
$$;
COMMENT ON FUNCTION workflow._queue_with(workflow.queue, jsonb) IS
  'Inner: a row of workflow.queue with some of its options changed, as documents, create_queue() and alter_queue() name them';

-- Which options of two definitions of a queue differ, for messages.
CREATE FUNCTION workflow._queue_differences(present workflow.queue, wanted workflow.queue) RETURNS text LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(format('%s is %s, not %s', key, coalesce(a.value, 'null'), coalesce(b.value, 'null')), '; ' ORDER BY key)
  FROM jsonb_each_text(workflow._queue_options(present)) AS a
  FULL JOIN jsonb_each_text(workflow._queue_options(wanted)) AS b USING (key)
  WHERE a.value IS DISTINCT FROM b.value
$$;
COMMENT ON FUNCTION workflow._queue_differences(workflow.queue, workflow.queue) IS
  'Inner: which options of two definitions of a queue differ; null when none does';

-- Makes a queue, or finds that it is there with the same options.
CREATE FUNCTION workflow._put_queue(wanted workflow.queue) RETURNS bool LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present     workflow.queue;
  differences text;
BEGIN
  wanted.priority := coalesce(wanted.priority, 0);
  wanted.on_full := coalesce(wanted.on_full, 'refuse');
  wanted.fair := coalesce(wanted.fair, false);
  wanted.rate_per_tenant := coalesce(wanted.rate_per_tenant, false);
  PERFORM workflow._check_queue(wanted);
  LOOP
    INSERT INTO workflow.queue (queue, owner, sla, escalate_to, rate_count, rate_per, max_running, max_length,
                                priority, lease, retry, dead_letter_retention, defined_by, on_full, key_window, aging, fair,
                                rate_per_tenant, warn)
    VALUES (wanted.queue, wanted.owner, wanted.sla, wanted.escalate_to, wanted.rate_count, wanted.rate_per,
            wanted.max_running, wanted.max_length, wanted.priority, wanted.lease, wanted.retry,
            wanted.dead_letter_retention, wanted.defined_by, wanted.on_full, wanted.key_window, wanted.aging, wanted.fair,
            wanted.rate_per_tenant, wanted.warn)
    ON CONFLICT (queue) DO NOTHING;
    IF FOUND THEN
      RETURN true;
    END IF;
    SELECT * INTO present FROM workflow.queue AS q WHERE q.queue = wanted.queue;
    EXIT WHEN FOUND;            -- else it was dropped in between
  END LOOP;
  differences := workflow._queue_differences(present, wanted);
  IF differences IS NOT NULL THEN
    RAISE EXCEPTION 'queue "%" is defined otherwise by %', wanted.queue, present.defined_by
      USING ERRCODE = 'duplicate_object',
            DETAIL = format('Its %s.', differences),
            HINT = format('Use the same options or another name, or change it: SELECT workflow.alter_queue(%L, ''{"option": value}'');', wanted.queue);
  END IF;
  RETURN false;
END
$$;
COMMENT ON FUNCTION workflow._put_queue(workflow.queue) IS
  'Inner: makes a queue (true), or finds it there with the same options (false); other options are an error that says who defined it';

CREATE FUNCTION workflow.create_queue(name text, owner text, sla interval, escalate_to text[],
                                      rate_limit jsonb DEFAULT NULL, max_running int DEFAULT NULL,
                                      max_length int DEFAULT NULL, priority int DEFAULT 0,
                                      lease interval DEFAULT NULL, retry jsonb DEFAULT NULL,
                                      dead_letter_retention interval DEFAULT NULL, on_full text DEFAULT 'refuse',
                                      key_window interval DEFAULT NULL, aging interval DEFAULT NULL,
                                      fair boolean DEFAULT false, warn interval DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.create_queue(text, text, interval, text[], jsonb, int, int, int, interval, jsonb, interval, text, interval, interval, boolean, interval) IS
  'Makes a queue; the same definition again changes nothing, another one is an error that says who defined it';

CREATE FUNCTION workflow._create_queue(caller text, name text, owner text, sla interval, escalate_to text[],
                                       rate_limit jsonb, max_running int, max_length int, priority int,
                                       lease interval, retry jsonb, dead_letter_retention interval, on_full text,
                                       key_window interval, aging interval, fair boolean, warn interval) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted workflow.queue;
BEGIN
  PERFORM workflow._ensure_cluster();
  wanted.queue := name;
  wanted.owner := owner;
  wanted.sla := sla;
  wanted.escalate_to := escalate_to;
  SELECT r.rate_count, r.rate_per, r.rate_per_tenant
  INTO wanted.rate_count, wanted.rate_per, wanted.rate_per_tenant
  FROM workflow._rate_limit(rate_limit) AS r;
  wanted.max_running := max_running;
  wanted.max_length := max_length;
  wanted.priority := priority;
  wanted.lease := lease;
  wanted.retry := nullif(retry, 'null');
  wanted.dead_letter_retention := dead_letter_retention;
  wanted.on_full := on_full;
  wanted.key_window := key_window;
  wanted.aging := aging;
  wanted.fair := fair;
  wanted.warn := warn;
  wanted.defined_by := 'role:' || caller;
  PERFORM workflow._put_queue(wanted);
END
$$;
COMMENT ON FUNCTION workflow._create_queue(text, text, text, interval, text[], jsonb, int, int, int, interval, jsonb, interval, text, interval, interval, boolean, interval) IS
  'Inner: create_queue()';

-- Stores the options of a queue that is there; sessions, claims that wait and the jobs follow.
CREATE FUNCTION workflow._change_queue(wanted workflow.queue) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  slower float8 := (SELECT extract(epoch FROM wanted.rate_per)::float8 / wanted.rate_count
                           / (extract(epoch FROM q.rate_per)::float8 / q.rate_count)
                    FROM workflow.queue AS q WHERE q.queue = wanted.queue);
  now timestamptz := workflow._now();
BEGIN
  PERFORM workflow._check_queue(wanted);
  -- units were charged, which take another time from now on; at most a hundred years
  UPDATE workflow.rate AS r
  SET next_at = now + least(extract(epoch FROM r.next_at - now)::float8 * slower, 3155760000) * interval '1 second'
  WHERE slower <> 1 AND r.kind IN ('queue', 'tenant') AND r.name = wanted.queue AND r.next_at > now;
  UPDATE workflow.queue AS q
  SET owner = wanted.owner, sla = wanted.sla, escalate_to = wanted.escalate_to,
      rate_count = wanted.rate_count, rate_per = wanted.rate_per, rate_per_tenant = wanted.rate_per_tenant,
      max_running = wanted.max_running, max_length = wanted.max_length, on_full = wanted.on_full,
      priority = wanted.priority, lease = wanted.lease, retry = wanted.retry,
      dead_letter_retention = wanted.dead_letter_retention, key_window = wanted.key_window,
      aging = wanted.aging, fair = wanted.fair, warn = wanted.warn
  WHERE q.queue = wanted.queue;
  PERFORM workflow._wake_queue(wanted.queue);
END
$$;
COMMENT ON FUNCTION workflow._change_queue(workflow.queue) IS
  'Inner: stores the options of a queue that is there';

CREATE FUNCTION workflow.alter_queue(name text, options jsonb, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.alter_queue(text, jsonb, text) IS
  'Changes the options of a queue that are named, as create_queue() and documents name them; null takes one away';

CREATE FUNCTION workflow._alter_queue(caller text, name text, options jsonb, reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present workflow.queue;
  wanted  workflow.queue;
  known   text[] := (SELECT array_agg(c ORDER BY c) FROM unnest(workflow._queue_columns() || 'rate_limit'::text) AS c
                     WHERE c NOT LIKE 'rate\_%' OR c = 'rate_limit');
  unknown text;
BEGIN
  PERFORM workflow._require_queue(name);
  IF jsonb_typeof(options) = 'object' THEN
    SELECT min(o) INTO unknown FROM jsonb_object_keys(options) AS o WHERE o <> ALL (known);
  END IF;
  IF jsonb_typeof(options) <> 'object' OR unknown IS NOT NULL THEN
    RAISE EXCEPTION '%', CASE WHEN unknown IS NULL THEN 'the options of a queue must be an object'
                              ELSE format('a queue has no option "%s"', unknown) END
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('The options are: %s.', array_to_string(known, ', ')),
            HINT = (SELECT coalesce(initcap(left(d.hint, 1)) || substr(d.hint, 2) || ' ', '')
                    FROM workflow._did_you_mean(coalesce(unknown, ''), known) AS d (hint))
              || format('SELECT workflow.alter_queue(%L, ''{"max_running": 5, "lease": null}''); is an example.', name);
  END IF;
  SELECT * INTO present FROM workflow.queue AS q WHERE q.queue = name;
  wanted := workflow._queue_with(present, options);
  IF workflow._queue_differences(present, wanted) IS NOT NULL THEN
    PERFORM workflow._change_queue(wanted);
    PERFORM workflow._note(caller, 'alter_queue', NULL, 'queue:' || name, reason,
                           jsonb_build_object('options', options, 'before', workflow._queue_options(present)));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._alter_queue(text, text, jsonb, text) IS 'Inner: alter_queue()';

CREATE FUNCTION workflow._require_queue(name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM FROM workflow.queue AS q WHERE q.queue = name FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'queue "%" does not exist', name
      USING ERRCODE = 'WF012',
            DETAIL = 'Queues are made by workflow.create_queue() or by a definition.',
            HINT = workflow._nearest('queue', name) || 'SELECT queue FROM workflow.queues shows the queues.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_queue(text) IS
  'Inner: locks a queue; WF012 when there is none';

CREATE FUNCTION workflow.pause_queue(name text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.pause_queue(text, text) IS
  'No job of the queue is started until resume_queue(); those that run go on, and jobs are still accepted';

CREATE FUNCTION workflow._pause_queue(caller text, name text, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._require_queue(name);
  UPDATE workflow.queue AS q
  SET paused_at = coalesce(q.paused_at, workflow._now()), paused_by = caller, pause_reason = reason
  WHERE q.queue = name AND workflow._is_new_pause(q.paused_at, q.pause_reason, reason);
  IF FOUND THEN
    PERFORM workflow._note(caller, 'pause_queue', NULL, 'queue:' || name, reason);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._pause_queue(text, text, text) IS 'Inner: pause_queue()';

CREATE FUNCTION workflow.resume_queue(name text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.resume_queue(text, text) IS 'The jobs of a paused queue are started again';

CREATE FUNCTION workflow._resume_queue(caller text, name text, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stood_from timestamptz;
  held bigint[] := workflow._hold_reviews(NULL, name);
BEGIN
  PERFORM workflow._require_queue(name);
  SELECT q.paused_at INTO stood_from FROM workflow.queue AS q WHERE q.queue = name;
  UPDATE workflow.queue AS q SET paused_at = NULL, paused_by = NULL, pause_reason = NULL
  WHERE q.queue = name AND q.paused_at IS NOT NULL;
  IF FOUND THEN
    PERFORM workflow._end_pause_of_many(stood_from, NULL, name, held);
    PERFORM workflow._note(caller, 'resume_queue', NULL, 'queue:' || name, reason);
    PERFORM workflow._wake_queue(name);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._resume_queue(text, text, text) IS 'Inner: resume_queue()';

-- ------------------------------------------------------------ subscriptions

CREATE PROCEDURE workflow.subscribe(queue text, subscriber text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_subscribe';
COMMENT ON PROCEDURE workflow.subscribe(text, text) IS
  'From now on the queue "subscriber" gets a copy of each job that is enqueued in the other one; waits for transactions that have not seen that';

CREATE FUNCTION workflow._subscribe(caller text, queue text, subscriber text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM workflow._require_queue(least(queue COLLATE "C", subscriber COLLATE "C"));
  PERFORM workflow._require_queue(greatest(queue COLLATE "C", subscriber COLLATE "C"));
  IF queue = subscriber
     OR EXISTS (SELECT FROM workflow.subscription AS s WHERE s.subscriber = queue OR s.queue = subscriber) THEN
    RAISE EXCEPTION 'queue "%" cannot subscribe to queue "%"', subscriber, queue
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'A queue that subscribes to another one has no subscribers itself: copies are not copied.',
            HINT = 'SELECT * FROM workflow.subscriptions shows the subscriptions.';
  END IF;
  INSERT INTO workflow.subscription (queue, subscriber, subscribed_by) VALUES (queue, subscriber, caller)
  ON CONFLICT DO NOTHING;
  IF FOUND THEN
    -- sessions look at the queue anew
    UPDATE workflow.queue AS q SET queue = q.queue WHERE q.queue = queue;
    PERFORM workflow._note(caller, 'subscribe', NULL, 'queue:' || queue, NULL, jsonb_build_object('subscriber', subscriber));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._subscribe(text, text, text) IS 'Inner: the first half of subscribe()';

CREATE FUNCTION workflow._drop_subscription(queue text, subscriber text) RETURNS boolean
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_queue_drop_subscription';
COMMENT ON FUNCTION workflow._drop_subscription(text, text) IS
  'Inner: removes a subscription; false when there is none';

CREATE FUNCTION workflow.unsubscribe(queue text, subscriber text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.unsubscribe(text, text) IS
  'Ends a subscription; the copies that are there stay';

CREATE FUNCTION workflow._unsubscribe(caller text, queue text, subscriber text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM workflow._require_queue(queue);
  IF workflow._drop_subscription(queue, subscriber) IS NOT TRUE THEN
    RAISE EXCEPTION 'queue "%" does not subscribe to queue "%"', subscriber, queue
      USING ERRCODE = 'WF012',
            DETAIL = 'Subscriptions are made by workflow.subscribe().',
            HINT = 'SELECT * FROM workflow.subscriptions shows the subscriptions.';
  END IF;
  UPDATE workflow.queue AS q SET queue = q.queue WHERE q.queue = queue;
  PERFORM workflow._note(caller, 'unsubscribe', NULL, 'queue:' || queue, NULL, jsonb_build_object('subscriber', subscriber));
END
$$;
COMMENT ON FUNCTION workflow._unsubscribe(text, text, text) IS 'Inner: unsubscribe()';

-- ------------------------------------------------------------------ views

CREATE VIEW workflow.subscriptions AS
SELECT s.queue, s.subscriber, s.since, s.subscribed_by FROM workflow.subscription AS s;
COMMENT ON VIEW workflow.subscriptions IS 'Queues that get a copy of each job that is enqueued in another one';

CREATE FUNCTION workflow._lane_jobs(OUT job_id bigint, OUT queue_no int, OUT status text, OUT stored_at timestamptz,
                                    OUT worker text, OUT claimed_at timestamptz, OUT lease_until timestamptz,
                                    OUT segment int, OUT place tid, OUT token text) RETURNS SETOF record
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wf_lane_jobs';
COMMENT ON FUNCTION workflow._lane_jobs() IS
  'Inner: the jobs that are in lanes, those that can be claimed and those that are';

-- For the view of jobs, whose readers have no business with tokens.
CREATE FUNCTION workflow._listed_jobs(OUT job_id bigint, OUT queue_no int, OUT status text, OUT stored_at timestamptz,
                                      OUT worker text, OUT claimed_at timestamptz, OUT lease_until timestamptz,
                                      OUT segment int, OUT place tid) RETURNS SETOF record
LANGUAGE C VOLATILE ROWS 10000 AS 'MODULE_PATHNAME', 'wf_lane_jobs';
COMMENT ON FUNCTION workflow._listed_jobs() IS
  'Inner: _lane_jobs() without the tokens';

CREATE FUNCTION workflow._lane_payload(segment int, place tid, job_id bigint) RETURNS jsonb
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wf_lane_payload';
COMMENT ON FUNCTION workflow._lane_payload(int, tid, bigint) IS
  'Inner: the payload of a job of a lane that was listed just now; null when it has gone since';

-- A dead letter waits in the queue that its policy sent it to, for that queue's
-- owner and by its SLA, and is counted there: every answer reads "place".
CREATE VIEW workflow._placed_job AS
SELECT CASE WHEN j.status = 'dead' THEN coalesce(j.dead_letter, j.queue) ELSE j.queue END AS place, j.*
FROM workflow.job AS j;
COMMENT ON VIEW workflow._placed_job IS 'Inner: jobs with the queue that each stands in';

CREATE VIEW workflow._scanned_queues AS
SELECT j.place AS queue,
       pg_catalog.count(*) FILTER (WHERE j.status = 'ready' AND j.run_at <= n.now) AS ready,
       pg_catalog.count(*) FILTER (WHERE j.status = 'ready' AND j.run_at > n.now) AS delayed,
       pg_catalog.count(*) FILTER (WHERE j.status = 'running') AS running,
       pg_catalog.count(*) FILTER (WHERE j.status = 'waiting') AS waiting,
       pg_catalog.count(*) FILTER (WHERE j.status = 'dead') AS dead,
       pg_catalog.min(j.run_at) FILTER (WHERE j.status = 'ready' AND j.run_at <= n.now) AS oldest_ready_at
FROM workflow._placed_job AS j, (SELECT pg_catalog.clock_timestamp() AS now) AS n
GROUP BY j.place;
COMMENT ON VIEW workflow._scanned_queues IS 'Inner: what the table of jobs holds of each queue, by looking at all of them';

CREATE FUNCTION workflow._follow_job() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_job_followed';
COMMENT ON FUNCTION workflow._follow_job() IS
  'Inner: notes what happens to a job for the figures of its queue, the marks at which claims begin to look, and its group';

CREATE TRIGGER follow_job
  AFTER INSERT OR DELETE OR UPDATE ON workflow.job
  FOR EACH ROW EXECUTE FUNCTION workflow._follow_job();
COMMENT ON TRIGGER follow_job ON workflow.job IS 'Figures, marks and groups follow their jobs, whoever changes them';
ALTER TABLE workflow.job ENABLE ALWAYS TRIGGER follow_job;

CREATE TRIGGER follow_truncate AFTER TRUNCATE ON workflow.job
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._follow_job();
COMMENT ON TRIGGER follow_truncate ON workflow.job IS 'The figures of queues are counted anew';
ALTER TABLE workflow.job ENABLE ALWAYS TRIGGER follow_truncate;

CREATE FUNCTION workflow._queue_figures(
  with_pace boolean, OUT queue text, OUT ready bigint, OUT delayed bigint, OUT running bigint, OUT waiting bigint, OUT dead bigint,
  OUT oldest_ready_at timestamptz, OUT enqueue_rate double precision[], OUT start_rate double precision[],
  OUT finish_rate double precision[], OUT fail_rate double precision[], OUT done_5m bigint, OUT failed_5m bigint,
  OUT p50_wait interval, OUT p95_wait interval, OUT p50_run interval, OUT p95_run interval) RETURNS SETOF record
LANGUAGE C STRICT VOLATILE ROWS 100 AS 'MODULE_PATHNAME', 'wf_figures';
COMMENT ON FUNCTION workflow._queue_figures(boolean) IS
  'Inner: what each queue holds, and with_pace how fast it moves; from shared memory if the library is preloaded, else by looking at all jobs';

-- Empty where the figures are true, while nobody changes jobs.
CREATE FUNCTION workflow._wrong_figures()
RETURNS TABLE (queue text, kept bigint[], found bigint[])
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH lane AS (
    SELECT l.queue_no, count(*) FILTER (WHERE l.status = 'ready') AS ready, count(*) FILTER (WHERE l.status = 'running') AS running
    FROM workflow._lane_jobs() AS l GROUP BY l.queue_no
  ), counts AS (
    SELECT f.queue, ARRAY[f.ready, f.delayed, f.running, f.waiting, f.dead] AS kept,
           ARRAY[coalesce(s.ready, 0) + coalesce(l.ready, 0), coalesce(s.delayed, 0), coalesce(s.running, 0) + coalesce(l.running, 0),
                 coalesce(s.waiting, 0), coalesce(s.dead, 0)] AS found
    FROM workflow._queue_figures(false) AS f
    JOIN workflow.queue AS q ON q.queue = f.queue
    LEFT JOIN workflow._scanned_queues AS s ON s.queue = f.queue
    LEFT JOIN lane AS l ON l.queue_no = q.queue_no
  )
  SELECT c.queue, c.kept, c.found FROM counts AS c WHERE c.kept <> c.found
$$;
COMMENT ON FUNCTION workflow._wrong_figures() IS
  'Inner: queues whose figures differ from what a look at all jobs finds (ready, delayed, running, waiting, dead); jobs that change meanwhile make some differ';

CREATE VIEW workflow.queues AS
SELECT q.queue,
       q.owner,
       q.sla,
       q.escalate_to,
       q.paused_at IS NOT NULL AS paused,
       f.ready,
       f.delayed,
       f.running,
       f.waiting,
       f.dead,
       f.oldest_ready_at,
       CASE WHEN pg_catalog.isfinite(f.oldest_ready_at) THEN pg_catalog.clock_timestamp() - f.oldest_ready_at END AS oldest_ready_age,
       coalesce(f.oldest_ready_at + q.sla < pg_catalog.clock_timestamp(), false) AS sla_breached,
       q.paused_at,
       q.paused_by,
       q.pause_reason,
       q.rate_count,
       q.rate_per,
       q.max_running,
       q.max_length,
       q.priority,
       q.lease,
       q.retry,
       q.dead_letter_retention,
       q.defined_by,
       q.created_at,
       q.on_full,
       q.key_window,
       q.aging,
       q.fair,
       q.rate_per_tenant,
       q.warn
FROM workflow.queue AS q
JOIN workflow._queue_figures(false) AS f ON f.queue = q.queue;
COMMENT ON VIEW workflow.queues IS 'Each queue with its owner, what it holds, and whether its oldest job that could start is past the SLA';

CREATE VIEW workflow.jobs AS
SELECT j.job_id,
       j.place AS queue,
       CASE WHEN j.status = 'ready' AND j.run_at > pg_catalog.clock_timestamp() THEN 'delayed' ELSE j.status END AS status,
       j.kind,
       j.priority - j.aged AS priority,
       j.run_at,
       j.attempt AS attempts,
       j.key,
       j.group_key,
       j.tenant,
       j.units,
       j.item_id,
       j.state,
       j.effect_id,
       j.waiting_on,
       j.worker,
       j.claimed_at,
       workflow._lease_end(j.job_id, j.token, j.lease_until) AS lease_until,
       j.error_class,
       j.error_message,
       j.failed_at,
       j.queue AS from_queue,
       j.created_at,
       j.payload
FROM workflow._placed_job AS j
UNION ALL
SELECT l.job_id, q.queue, l.status, 'task', 0, l.stored_at, CASE l.status WHEN 'running' THEN 1 ELSE 0 END, NULL, NULL, NULL, 1,
       NULL, NULL, NULL, NULL, l.worker, l.claimed_at, l.lease_until, NULL, NULL, NULL, q.queue, l.stored_at,
       workflow._lane_payload(l.segment, l.place, l.job_id)
FROM workflow._listed_jobs() AS l
JOIN workflow.queue AS q ON q.queue_no = l.queue_no;
COMMENT ON VIEW workflow.jobs IS 'Each job that has not ended: where it stands, who has it, and how its last attempt failed';
COMMENT ON COLUMN workflow.jobs.queue IS 'Queue that it stands in; a dead letter in the one that its policy sends it to';
COMMENT ON COLUMN workflow.jobs.status IS 'ready, delayed, running, waiting (for a person or an effect) or dead';
COMMENT ON COLUMN workflow.jobs.attempts IS 'Attempts that have begun and were charged, with the one that runs';
COMMENT ON COLUMN workflow.jobs.from_queue IS 'Queue that it runs in';

CREATE VIEW workflow.attempts AS
SELECT a.attempt_id, a.job_id, a.effect_id, a.item_id, a.queue, a.kind, a.attempt, a.worker,
       a.started_at, a.finished_at, a.outcome, a.error_class, a.message, a.detail
FROM workflow.attempt AS a
WHERE a.job_ids IS NULL
UNION ALL
SELECT a.attempt_id, j.job_id, a.effect_id, a.item_id, a.queue, a.kind, a.attempt, a.worker,
       a.started_at, a.finished_at, a.outcome, a.error_class, a.message, a.detail
FROM workflow.attempt AS a, LATERAL pg_catalog.unnest(a.job_ids) AS j (job_id)
WHERE a.job_ids IS NOT NULL;
COMMENT ON VIEW workflow.attempts IS 'Every execution of a job and every wire send of an effect, when it has ended';

-- With the visit that each belongs to.
CREATE VIEW workflow._dead_letter AS
SELECT j.job_id,
       j.item_id,
       i.workflow,
       coalesce(i.key, j.key) AS key,
       j.place AS queue,
       q.owner,
       j.state,
       j.kind,
       coalesce(j.error_class, x.error_class) AS error_class,
       coalesce(j.error_message, x.message) AS error_message,
       j.attempt AS attempts,
       coalesce(j.failed_at, j.created_at) AS failed_at,
       coalesce(j.failed_at, j.created_at) + q.sla AS due_at,
       j.queue AS from_queue,
       j.payload,
       j.seq,
       0 AS replays,
       j.effect_id
FROM workflow._placed_job AS j
LEFT JOIN workflow.queue AS q ON q.queue = j.place
LEFT JOIN workflow.item AS i ON i.item_id = j.item_id
LEFT JOIN LATERAL (
  SELECT coalesce(t.data ->> 'error_class', t.event) AS error_class,
         coalesce(t.data ->> 'message', t.reason, t.event) AS message
  FROM workflow.transition AS t
  WHERE j.kind = 'exception' AND t.item_id = j.item_id AND t.seq = j.seq) AS x ON true
WHERE j.status = 'dead' OR (j.kind = 'exception' AND j.status = 'waiting')
UNION ALL
SELECT NULL, s.item_id, i.workflow, i.key, NULL, w.owner, i.state, 'spawn', s.error_class, s.error_message,
       NULL, s.failed_at, NULL, NULL, NULL, s.seq, s.replays, NULL
FROM workflow.spawn AS s
JOIN workflow.item AS i ON i.item_id = s.item_id AND i.seq = s.seq
LEFT JOIN workflow.workflow AS w ON w.workflow = i.workflow
WHERE s.failed_at IS NOT NULL AND s.left_at IS NULL;
COMMENT ON VIEW workflow._dead_letter IS 'Inner: dead letters with the visit and the effect of each';

-- What an endpoint answered when it refused, for people to read: where it is the answer that a message
-- is about, and as long as it is kept.  What a model has said (200) is no refusal of its endpoint.
CREATE FUNCTION workflow._refusal(message text, response jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  words text;
BEGIN
  IF message IS NULL OR response IS NULL OR (response ->> 'status')::int < 400
     OR NOT starts_with(message, format('HTTP %s: ', response ->> 'status')) THEN
    RETURN NULL;
  END IF;
  words := btrim(regexp_replace(left(response ->> 'body', 1000), '[[:space:][:cntrl:]]+', ' ', 'g'));
  RETURN CASE WHEN length(words) > 300 THEN left(words, 300) || '...' ELSE nullif(words, '') END;
END
$$;
COMMENT ON FUNCTION workflow._refusal(text, jsonb) IS
  'Inner: the beginning of the answer that an error message is about; null where there is none, or it is not kept any more';

CREATE VIEW workflow.dead_letters WITH (security_barrier) AS
SELECT d.job_id, d.item_id, d.workflow, d.key, d.queue, d.owner, d.state, d.kind, d.error_class, d.error_message,
       d.attempts, d.failed_at, d.due_at, d.from_queue, d.payload,
       (CASE WHEN d.item_id IS NULL
             THEN (SELECT pg_catalog.count(*) FROM workflow.journal AS n
                   WHERE n.action = 'replay_job' AND n.subject = 'job:' || d.job_id)
             ELSE (SELECT pg_catalog.count(*) FROM workflow.journal AS n WHERE n.item_id = d.item_id AND n.action = 'replay')
                + (SELECT pg_catalog.count(*) FROM workflow.transition AS t WHERE t.item_id = d.item_id AND t.kind = 'replay')
        END)::int AS replay_count,
       CASE WHEN d.kind = 'exception'
            THEN (SELECT workflow._refusal(d.error_message, e.response) FROM workflow.effect AS e
                  WHERE e.item_id = d.item_id AND e.item_seq = d.seq - 1 AND e.kind IN ('http', 'model')
                  ORDER BY e.effect_id DESC LIMIT 1)
            ELSE (SELECT workflow._refusal(d.error_message, e.response) FROM workflow.effect AS e WHERE e.effect_id = d.effect_id)
       END AS answer
FROM workflow._dead_letter AS d;
COMMENT ON VIEW workflow.dead_letters IS 'What ended without success and waits for its owner: dead jobs, items in exception states, and items whose children cannot go on';
COMMENT ON COLUMN workflow.dead_letters.replay_count IS 'How often it, or its item, was replayed';
COMMENT ON COLUMN workflow.dead_letters.answer IS 'How the answer begins that an endpoint refused it with; as long as it is kept';
COMMENT ON COLUMN workflow.dead_letters.queue IS 'Queue that it waits in: the one that its retry policy sends dead letters to, else its own';
COMMENT ON COLUMN workflow.dead_letters.owner IS 'Owner of that queue; of an item whose children cannot go on, of its workflow';
COMMENT ON COLUMN workflow.dead_letters.error_class IS 'How it failed; of an item in an exception state what led there, else the event that did';
COMMENT ON COLUMN workflow.dead_letters.due_at IS 'When the SLA of that queue ends';
COMMENT ON COLUMN workflow.dead_letters.from_queue IS 'Queue that it ran in, and goes back to when replayed';
