--
-- review_clock: time that does not count. The clock of a review stands while its
-- item, workflow or queue is paused, and while it waits for somebody outside.
-- Nothing is written when a clock stops: what ends a pause moves the times of the
-- reviews by as long as nothing else stopped them, too.
--
-- Locks: items, then queue or workflow, then reviews and timers.
--

-- Since when each of the things stands that stop a review's clock; null: it runs.
CREATE FUNCTION workflow._review_stands_since(review workflow.review) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT greatest(review.opened_at, least(review.paused_at, i.paused_at, w.paused_at, q.paused_at))
  FROM workflow.item AS i
  JOIN workflow.workflow AS w ON w.workflow = i.workflow
  JOIN workflow.queue AS q ON q.queue = review.queue
  WHERE i.item_id = review.item_id AND num_nonnulls(review.paused_at, i.paused_at, w.paused_at, q.paused_at) > 0
$$;
COMMENT ON FUNCTION workflow._review_stands_since(workflow.review) IS
  'Inner: since when the clock of a review stands; null when it runs';

-- Locks the items with open reviews of a workflow or a queue whose pause is about to end.
CREATE FUNCTION workflow._hold_reviews(name text, queue_name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM FROM workflow.item AS i
  WHERE i.item_id IN (SELECT r.item_id FROM workflow.review AS r JOIN workflow.item AS o USING (item_id)
                      WHERE r.closed_at IS NULL AND (o.workflow = name OR r.queue = queue_name))
  ORDER BY i.item_id FOR UPDATE;
END
$$;
COMMENT ON FUNCTION workflow._hold_reviews(text, text) IS
  'Inner: locks the items whose reviews the end of a pause concerns';

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

-- The end of a pause that began at stood_from, of an item, a workflow or a queue.
CREATE FUNCTION workflow._start_review_clocks(stood_from timestamptz, item bigint, name text, queue_name text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT workflow._put_off_reviews(array_agg(c.review_id), array_agg(greatest(interval '0', c.counted_to - c.counted_from)))
  FROM (SELECT r.review_id, greatest(stood_from, r.opened_at) AS counted_from,
               least(workflow._now(), r.paused_at, i.paused_at, w.paused_at, q.paused_at) AS counted_to
        FROM workflow.review AS r
        JOIN workflow.item AS i ON i.item_id = r.item_id
        JOIN workflow.workflow AS w ON w.workflow = i.workflow
        JOIN workflow.queue AS q ON q.queue = r.queue
        WHERE r.closed_at IS NULL AND (r.item_id = item OR i.workflow = name OR r.queue = queue_name)) AS c
  HAVING count(*) > 0
$$;
COMMENT ON FUNCTION workflow._start_review_clocks(timestamptz, bigint, text, text) IS
  'Inner: a pause has ended; the time that it alone stopped the clocks of reviews is added to their times';

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
