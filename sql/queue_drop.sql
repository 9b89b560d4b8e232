--
-- queue_drop: getting rid of a queue, where nobody needs it.
--

CREATE FUNCTION workflow._lane_load(queue_no int, OUT waiting bigint, OUT running bigint)
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wf_lane_load';
COMMENT ON FUNCTION workflow._lane_load(int) IS
  'Inner: how many jobs of a queue are in its lane, with what is not committed; null where there are no lanes';

CREATE FUNCTION workflow._delete_queue(queue text) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_queue_delete';
COMMENT ON FUNCTION workflow._delete_queue(text) IS
  'Inner: removes the row of a queue, its spent keys and the rates of its tenants';

-- The queues that a document names.
CREATE FUNCTION workflow._queues_named(document jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT k FROM jsonb_object_keys(document -> 'queues') AS k
  UNION
  SELECT p.name #>> '{}'
  FROM unnest('{$.states.*.*.queue,$.activities.*.*.queue,$.**.dead_letter}'::jsonpath[]) AS path,
       jsonb_path_query(document, path) AS p (name)
  WHERE jsonb_typeof(p.name) = 'string'
$$;
COMMENT ON FUNCTION workflow._queues_named(jsonb) IS
  'Inner: the queues that a document describes, that its activities wait in, and that its policies send dead letters to';

-- Whoever defines names queues that drop_queue() leaves alone from then on.
CREATE FUNCTION workflow._hold_queues(document jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT n FROM workflow._queues_named(document) AS n ORDER BY n COLLATE "C" LOOP
    PERFORM FROM workflow.queue AS q WHERE q.queue = name FOR KEY SHARE;
    IF NOT FOUND THEN
      PERFORM workflow._require_queue(name);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._hold_queues(jsonb) IS
  'Inner: keeps the queues that a document names until the transaction ends; WF012 for one that is gone';

-- What needs a queue besides its jobs; null when nothing does.
CREATE FUNCTION workflow._queue_needed_by(name text) RETURNS text LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(u.needer, ', ' ORDER BY u.rank, u.needer COLLATE "C")
  FROM (
    SELECT 0, 'calls that stand alone' WHERE name = 'calls'
    UNION ALL
    SELECT 0, 'the sending of alerts' WHERE name = 'alert_calls'
    UNION ALL
    SELECT 1, format('version%s %s of workflow "%s"', CASE WHEN count(*) > 1 THEN 's' END,
                     string_agg(d.version::text, ', ' ORDER BY d.version), d.workflow)
    FROM workflow.definition AS d
    WHERE name IN (SELECT workflow._queues_named(d.document::jsonb))
    GROUP BY d.workflow
    UNION ALL
    SELECT 2, format('queue "%s", which gets copies of its jobs', s.subscriber) FROM workflow.subscription AS s WHERE s.queue = name
    UNION ALL
    SELECT 2, format('queue "%s", whose jobs it gets copies of', s.queue) FROM workflow.subscription AS s WHERE s.subscriber = name
    UNION ALL
    SELECT 3, format('queue "%s", whose policy sends dead letters to it', q.queue)
    FROM workflow.queue AS q WHERE q.retry ->> 'dead_letter' = name AND q.queue <> name
  ) AS u (rank, needer)
$$;
COMMENT ON FUNCTION workflow._queue_needed_by(text) IS
  'Inner: what needs a queue besides its jobs, in words; null when nothing does';

CREATE FUNCTION workflow._refuse_needed(name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  needed text := workflow._queue_needed_by(name);
BEGIN
  IF needed IS NOT NULL THEN
    RAISE EXCEPTION 'queue "%" is needed', name
      USING ERRCODE = 'dependent_objects_still_exist',
            DETAIL = format('By %s.', needed),
            HINT = CASE
              WHEN needed LIKE '%gets copies%' OR needed LIKE '%whose jobs%'
                THEN 'SELECT workflow.unsubscribe(queue, subscriber) ends a subscription.'
              WHEN needed LIKE '%whose policy%'
                THEN 'SELECT workflow.alter_queue(queue, ''{"retry": …}'') lets dead letters go elsewhere.'
              WHEN name IN ('calls', 'alert_calls') THEN format('SELECT workflow.pause_queue(%L, reason) stops it.', name)
              ELSE format('SELECT workflow.pause_queue(%L, reason) stops it. What a version names stays, for items may still get that version.', name) END;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._refuse_needed(text) IS
  'Inner: refuses to drop a queue that something names';

-- What stands in a queue, by looking at all jobs; exact while the tables are held.
CREATE FUNCTION workflow._queue_load(name text, number int, OUT ready bigint, OUT delayed bigint, OUT running bigint,
                                     OUT waiting bigint, OUT dead bigint, OUT in_items bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lane record;
BEGIN
  SELECT count(*) FILTER (WHERE j.status = 'ready' AND j.run_at <= clock_timestamp()),
         count(*) FILTER (WHERE j.status = 'ready' AND j.run_at > clock_timestamp()),
         count(*) FILTER (WHERE j.status = 'running'),
         count(*) FILTER (WHERE j.status = 'waiting'),
         count(*) FILTER (WHERE j.status = 'dead'),
         count(*) FILTER (WHERE j.item_id IS NOT NULL)
  INTO ready, delayed, running, waiting, dead, in_items
  FROM workflow.job AS j WHERE name IN (j.queue, j.dead_letter);
  SELECT * INTO lane FROM workflow._lane_load(number);
  IF lane.waiting IS NULL THEN
    -- there is no memory for lanes: whatever a segment holds of it may be a job
    SELECT count(*), 0 INTO lane
    FROM (SELECT s.queue_no FROM workflow.segment_1 AS s UNION ALL SELECT s.queue_no FROM workflow.segment_2 AS s
          UNION ALL SELECT s.queue_no FROM workflow.segment_3 AS s UNION ALL SELECT s.queue_no FROM workflow.segment_4 AS s
          UNION ALL SELECT s.queue_no FROM workflow.segment_5 AS s UNION ALL SELECT s.queue_no FROM workflow.segment_6 AS s
          UNION ALL SELECT s.queue_no FROM workflow.segment_7 AS s UNION ALL SELECT s.queue_no FROM workflow.segment_8 AS s) AS s
    WHERE s.queue_no = number;
  END IF;
  ready := ready + lane.waiting;
  running := running + lane.running;
END
$$;
COMMENT ON FUNCTION workflow._queue_load(text, int) IS
  'Inner: what stands in a queue, or comes from it, by looking at all jobs; in_items: of those of the table, how many belong to items';

-- Refuses while the queue has jobs; all of them, or those that run.
CREATE FUNCTION workflow._refuse_busy(name text, number int, may_discard boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  load record;
BEGIN
  SELECT * INTO load FROM workflow._queue_load(name, number);
  IF load.running + load.in_items = 0
     AND (may_discard OR load.ready + load.delayed + load.waiting + load.dead = 0) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'queue "%" has jobs', name
    USING ERRCODE = 'object_not_in_prerequisite_state',
          DETAIL = format('%s ready, %s delayed, %s running, %s waiting, %s dead.',
                          load.ready, load.delayed, load.running, load.waiting, load.dead),
          HINT = CASE
            WHEN load.in_items > 0
              THEN format('Some belong to items: SELECT item_id FROM workflow.jobs WHERE %L IN (queue, from_queue) shows which.', name)
            WHEN load.running > 0
              THEN format('SELECT workflow.pause_queue(%L, ''to be dropped'') starts no more; try again when those that run have ended.', name)
            ELSE format('Wait until they are done, or SELECT workflow.drop_queue(%L, discard => true) cancels those that do not run.', name) END;
END
$$;
COMMENT ON FUNCTION workflow._refuse_busy(text, int, boolean) IS
  'Inner: refuses to drop a queue with jobs, or if they may be discarded, with some that run or belong to items';

-- Whoever has stored a job and not committed is waited for, and whoever stores one
-- waits.  A writer may hold one of the tables and want another: so nobody is waited
-- for with some of them held for longer than it takes the server to look for a
-- deadlock, or he could be the one that it picks.
CREATE FUNCTION workflow._hold_job_tables(name text) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = 0
AS $$
DECLARE
  patience int;
  longest int := extract(epoch FROM current_setting('deadlock_timeout')::interval) * 1000 + 200;
  number int;
BEGIN
  FOREACH patience IN ARRAY '{50,100,200,400,800,1600,1600}'::int[] LOOP
    PERFORM set_config('lock_timeout', least(patience, longest)::text, true);
    BEGIN
      LOCK TABLE workflow.job, workflow.segment_1, workflow.segment_2, workflow.segment_3, workflow.segment_4,
        workflow.segment_5, workflow.segment_6, workflow.segment_7, workflow.segment_8 IN SHARE ROW EXCLUSIVE MODE;
      SELECT q.queue_no INTO number FROM workflow.queue AS q WHERE q.queue = name FOR UPDATE;
      RETURN number;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(0.1);
    END;
  END LOOP;
  RAISE EXCEPTION 'queue "%" cannot be dropped now', name
    USING ERRCODE = 'lock_not_available',
          DETAIL = coalesce(
            (SELECT format('Transactions that may have stored jobs are open, the first since %s (%s).',
                           min(a.xact_start), string_agg(DISTINCT 'pid ' || a.pid, ', '))
             FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
             WHERE l.locktype = 'relation' AND l.granted AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
               AND l.pid <> pg_backend_pid()
               AND l.relation IN (SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = 'workflow'::regnamespace
                                  AND c.relname ~ '^(job|segment_\d)$')
             HAVING count(*) > 0),
            'Somebody is at the queue, or a prepared transaction has stored jobs.'),
          HINT = 'Try again when they have ended; pg_prepared_xacts shows those that are prepared.';
END
$$;
COMMENT ON FUNCTION workflow._hold_job_tables(text) IS
  'Inner: holds the tables of jobs and a queue; returns its number, null when there is none';

CREATE FUNCTION workflow._discard_jobs(caller text, name text, number int, reason text) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  doomed bigint[] := ARRAY(
    SELECT j.job_id FROM workflow.job AS j WHERE name IN (j.queue, j.dead_letter)
    UNION ALL
    SELECT l.job_id FROM workflow._lane_jobs() AS l WHERE l.queue_no = number AND l.status = 'ready');
BEGIN
  RETURN workflow._cancel_jobs(caller, doomed, coalesce(reason, format('queue %s was dropped', name)));
END
$$;
COMMENT ON FUNCTION workflow._discard_jobs(text, text, int, text) IS
  'Inner: cancels what waits in a queue that is being dropped; returns how many';

CREATE FUNCTION workflow.drop_queue(name text, discard boolean DEFAULT false, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.drop_queue(text, boolean, text) IS
  'Removes a queue without jobs that nothing names; discard cancels those that do not run; false when there is no such queue';

CREATE FUNCTION workflow._drop_queue(caller text, name text, discard boolean, reason text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present workflow.queue;
  number int;
  ncancelled int := 0;
BEGIN
  PERFORM workflow._require_given(discard IS NOT NULL, 'discard');
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'workflow.drop_queue() needs READ COMMITTED'
      USING ERRCODE = 'feature_not_supported',
            DETAIL = format('A transaction that is %s does not see the jobs that others have stored meanwhile.',
                            upper(current_setting('transaction_isolation'))),
            HINT = 'Call it in a transaction of its own.';
  END IF;
  -- what is clear is said before anybody is held up
  SELECT q.queue_no INTO number FROM workflow.queue AS q WHERE q.queue = name;
  IF number IS NOT NULL THEN
    PERFORM workflow._refuse_needed(name);
    PERFORM workflow._refuse_busy(name, number, discard);
    number := workflow._hold_job_tables(name);
  END IF;
  IF number IS NULL THEN
    RAISE NOTICE 'queue "%" does not exist', name
      USING DETAIL = 'Nothing was dropped.',
            HINT = workflow._nearest('queue', name) || 'SELECT queue FROM workflow.queues shows the queues.';
    RETURN false;
  END IF;
  PERFORM workflow._refuse_needed(name);
  IF discard THEN
    PERFORM workflow._refuse_busy(name, number, true);
    ncancelled := workflow._discard_jobs(caller, name, number, reason);
  END IF;
  PERFORM workflow._refuse_busy(name, number, false);
  SELECT * INTO present FROM workflow.queue AS q WHERE q.queue = name;
  PERFORM workflow._delete_queue(name);
  PERFORM workflow._wake_queue(name);
  PERFORM workflow._note(caller, 'drop_queue', NULL, 'queue:' || name, reason,
                         jsonb_build_object('cancelled', ncancelled, 'options', workflow._queue_options(present),
                                            'defined_by', present.defined_by));
  RETURN true;
END
$$;
COMMENT ON FUNCTION workflow._drop_queue(text, text, boolean, text) IS 'Inner: drop_queue()';
