--
-- review_clock: time that does not count. The clock of a review stands while its
-- item, workflow or queue is paused, and while it waits for somebody outside.
-- Nothing is written when a clock stops: what ends a pause moves the times of the
-- reviews by as long as nothing else stopped them, too; of many, a worker does so.
--
-- Locks: items, then queue or workflow, then reviews and timers.
--

-- Since when each of the things stands that stop a review's clock; null: it runs.
CREATE FUNCTION workflow._review_stands_since(review workflow.review) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT greatest(review.opened_at, least(review.paused_at, i.paused_at, w.paused_at, q.paused_at, u.began_at))
  FROM workflow.item AS i
  JOIN workflow.workflow AS w ON w.workflow = i.workflow
  JOIN workflow.queue AS q ON q.queue = review.queue
  LEFT JOIN workflow.uncounted_pause AS u ON u.review_id = review.review_id
  WHERE i.item_id = review.item_id AND num_nonnulls(review.paused_at, i.paused_at, w.paused_at, q.paused_at, u.began_at) > 0
$$;
COMMENT ON FUNCTION workflow._review_stands_since(workflow.review) IS
  'Inner: since when the clock of a review stands; null when it runs';

-- Locks the items of open reviews of a workflow or a queue whose pause is about to
-- end, of so many as are counted at once: those that are claimed, or due, first.
CREATE FUNCTION workflow._hold_reviews(name text, queue_name text) RETURNS bigint[] LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  ids bigint[];
BEGIN
  IF queue_name IS NOT NULL THEN
    ids := ARRAY(SELECT r.review_id FROM workflow.review AS r
                 WHERE r.closed_at IS NULL AND r.queue = queue_name ORDER BY r.priority, r.due_at, r.review_id LIMIT 1000);
  ELSE
    ids := ARRAY(SELECT r.review_id FROM workflow.review AS r JOIN workflow.item AS i USING (item_id)
                 WHERE r.closed_at IS NULL AND i.workflow = name ORDER BY r.due_at, r.review_id LIMIT 1000);
  END IF;
  PERFORM FROM workflow.item AS i
  WHERE i.item_id IN (SELECT r.item_id FROM workflow.review AS r WHERE r.review_id = ANY (ids))
  ORDER BY i.item_id FOR UPDATE;
  RETURN ids;
END
$$;
COMMENT ON FUNCTION workflow._hold_reviews(text, text) IS
  'Inner: locks the items of the first reviews that the end of a pause concerns, and returns these';

-- The times of reviews, whose items are locked, are later by a while; a timer that
-- was put aside, because its time came while the clock stood, is set again.
CREATE FUNCTION workflow._put_off_reviews(ids bigint[], stood interval[]) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE workflow.review AS r
  SET due_at = workflow._time_after(r.due_at, s.stood), warn_at = workflow._time_after(r.warn_at, s.stood),
      next_step_at = workflow._time_after(r.next_step_at, s.stood), claim_until = workflow._time_after(r.claim_until, s.stood),
      paused_for = r.paused_for + s.stood
  FROM unnest(ids, stood) AS s (id, stood)
  WHERE r.review_id = s.id AND r.closed_at IS NULL AND s.stood > '0';
  UPDATE workflow.timer AS t
  SET due_at = CASE WHEN t.paused_due_at IS NULL THEN r.next_step_at ELSE t.due_at END,
      paused_due_at = CASE WHEN t.paused_due_at IS NOT NULL THEN r.next_step_at END
  FROM workflow.review AS r
  WHERE r.review_id = ANY (ids) AND r.closed_at IS NULL AND r.next_step_at IS NOT NULL
    AND t.item_id = r.item_id AND t.seq = r.seq AND t.kind = 'overdue';
  SELECT workflow._wake('maintenance')
$$;
COMMENT ON FUNCTION workflow._put_off_reviews(bigint[], interval[]) IS
  'Inner: the time that the clocks of reviews stood is added to their times';

-- The end of a pause that began at stood_from: of these reviews, whose items are locked.
CREATE FUNCTION workflow._start_review_clocks(stood_from timestamptz, ids bigint[]) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT workflow._put_off_reviews(array_agg(c.review_id), array_agg(greatest(interval '0', c.counted_to - c.counted_from)))
  FROM (SELECT r.review_id, greatest(stood_from, r.opened_at) AS counted_from,
               least(workflow._now(), r.paused_at, i.paused_at, w.paused_at, q.paused_at, u.began_at) AS counted_to
        FROM workflow.review AS r
        JOIN workflow.item AS i ON i.item_id = r.item_id
        JOIN workflow.workflow AS w ON w.workflow = i.workflow
        JOIN workflow.queue AS q ON q.queue = r.queue
        LEFT JOIN workflow.uncounted_pause AS u ON u.review_id = r.review_id
        WHERE r.closed_at IS NULL AND r.review_id = ANY (ids)) AS c
  HAVING count(*) > 0
$$;
COMMENT ON FUNCTION workflow._start_review_clocks(timestamptz, bigint[]) IS
  'Inner: a pause has ended; the time that it alone stopped the clocks of reviews is added to their times';

-- The end of a pause of a workflow or a queue: the first reviews go on at once, those
-- that are left are for a worker, and stand until it comes to them.
CREATE FUNCTION workflow._end_pause_of_many(stood_from timestamptz, name text, queue_name text, first bigint[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._start_review_clocks(stood_from, first);
  IF cardinality(first) < 1000 THEN
    RETURN;
  ELSIF queue_name IS NOT NULL THEN
    INSERT INTO workflow.uncounted_pause AS u (review_id, began_at)
    SELECT r.review_id, stood_from FROM workflow.review AS r
    WHERE r.closed_at IS NULL AND r.queue = queue_name AND NOT EXISTS (SELECT FROM unnest(first) AS f (id) WHERE f.id = r.review_id)
    ON CONFLICT (review_id) DO UPDATE SET began_at = least(u.began_at, excluded.began_at);
  ELSE
    INSERT INTO workflow.uncounted_pause AS u (review_id, began_at)
    SELECT r.review_id, stood_from FROM workflow.review AS r JOIN workflow.item AS i USING (item_id)
    WHERE r.closed_at IS NULL AND i.workflow = name AND NOT EXISTS (SELECT FROM unnest(first) AS f (id) WHERE f.id = r.review_id)
    ON CONFLICT (review_id) DO UPDATE SET began_at = least(u.began_at, excluded.began_at);
  END IF;
  PERFORM workflow._wake('maintenance');
END
$$;
COMMENT ON FUNCTION workflow._end_pause_of_many(timestamptz, text, text, bigint[]) IS
  'Inner: counts a pause that has ended for the reviews that are given, and leaves the others to a worker';

-- Counts pauses that have ended for so many reviews, whose items nobody holds, as if
-- they ended now.  That a pause is uncounted is locked before it is read what else
-- stops the clock: what ends meanwhile is then added as uncounted after this.
CREATE FUNCTION workflow._count_pauses(most int, OUT counted int, OUT are_left boolean) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  ids bigint[];
  part record;
BEGIN
  counted := 0;
  are_left := EXISTS (SELECT FROM workflow.uncounted_pause);
  IF NOT are_left THEN
    RETURN;
  END IF;
  ids := ARRAY(SELECT held.review_id
               FROM (SELECT u.review_id FROM workflow.uncounted_pause AS u
                     JOIN workflow.review AS r ON r.review_id = u.review_id JOIN workflow.item AS i ON i.item_id = r.item_id
                     ORDER BY u.review_id LIMIT most FOR UPDATE OF i SKIP LOCKED) AS held);
  PERFORM FROM workflow.uncounted_pause AS u WHERE u.review_id = ANY (ids) ORDER BY u.review_id FOR UPDATE;
  FOR part IN
    SELECT u.began_at, array_agg(u.review_id) AS ids FROM workflow.uncounted_pause AS u WHERE u.review_id = ANY (ids) GROUP BY u.began_at
  LOOP
    DELETE FROM workflow.uncounted_pause AS u WHERE u.review_id = ANY (part.ids);
    PERFORM workflow._start_review_clocks(part.began_at, part.ids);
    counted := counted + cardinality(part.ids);
  END LOOP;
  are_left := EXISTS (SELECT FROM workflow.uncounted_pause);
END
$$;
COMMENT ON FUNCTION workflow._count_pauses(int) IS
  'Inner: counts ended pauses for some of the reviews that stand because that has not been done';

-- ------------------------------------------------------- of one review alone

CREATE FUNCTION workflow._pause_review(caller text, id bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  review workflow.review := (workflow._lock_review(id)).open_review;
BEGIN
  IF coalesce(btrim(reason), '') = '' THEN
    RAISE EXCEPTION 'a pause of a review needs a reason'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It says what the review waits for, to all who look at it.',
            HINT = format('SELECT workflow.pause_review(%s, ''asked the customer for the invoice'');', id);
  END IF;
  IF NOT workflow._is_new_pause(review.paused_at, review.pause_reason, reason) THEN
    RETURN;
  END IF;
  UPDATE workflow.review AS r
  SET paused_at = coalesce(r.paused_at, workflow._now()), paused_by = caller, pause_reason = _pause_review.reason
  WHERE r.review_id = id;
  PERFORM workflow._note(caller, 'pause review', review.item_id, 'review:' || id, reason);
END
$$;
COMMENT ON FUNCTION workflow._pause_review(text, bigint, text) IS 'Inner: workflow.pause_review()';

CREATE FUNCTION workflow.pause_review(id bigint, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.pause_review(bigint, text) IS
  'Stops the clock of an open review that waits for somebody outside; it can still be decided';

-- Ends the pause of a review that is locked.
CREATE FUNCTION workflow._end_review_pause(caller text, review workflow.review, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stands_since timestamptz;
BEGIN
  UPDATE workflow.review AS r SET paused_at = NULL, paused_by = NULL, pause_reason = NULL
  WHERE r.review_id = review.review_id RETURNING workflow._review_stands_since(r) INTO stands_since;
  PERFORM workflow._put_off_reviews(ARRAY[review.review_id],
    ARRAY[greatest(interval '0', least(workflow._now(), stands_since) - review.paused_at)]);
  PERFORM workflow._note(caller, 'resume review', review.item_id, 'review:' || review.review_id, reason);
END
$$;
COMMENT ON FUNCTION workflow._end_review_pause(text, workflow.review, text) IS
  'Inner: the clock of a review goes on, unless something else stops it';

CREATE FUNCTION workflow._resume_review(caller text, id bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  review workflow.review := (workflow._lock_review(id)).open_review;
BEGIN
  IF review.paused_at IS NOT NULL THEN
    PERFORM workflow._end_review_pause(caller, review, reason);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._resume_review(text, bigint, text) IS 'Inner: workflow.resume_review()';

CREATE FUNCTION workflow.resume_review(id bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.resume_review(bigint, text) IS
  'Lets the clock of a paused review go on: it is due later by as long as it stood';
