--
-- review_assign: whose a review is: claimed for a while, handed to somebody, or
-- everybody's of its queue.
--

CREATE FUNCTION workflow._claim_review(caller text, queue text) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now timestamptz := workflow._now();
  claimed bigint;
  item bigint;
  seq int;
BEGIN
  IF NOT EXISTS (SELECT FROM workflow.queue AS q WHERE q.queue = _claim_review.queue) THEN
    RAISE EXCEPTION 'queue "%" does not exist', queue
      USING ERRCODE = 'WF012',
            DETAIL = 'Queues are made by workflow.create_queue() or by a definition.',
            HINT = workflow._nearest('queue', queue) || 'SELECT DISTINCT queue FROM workflow.review_inbox shows the queues with open reviews.';
  END IF;
  SELECT r.review_id INTO claimed FROM workflow.review AS r
  WHERE r.queue = _claim_review.queue AND r.closed_at IS NULL AND r.decided_at IS NULL
    AND (r.assignee IS NULL OR r.claim_until <= now) AND workflow._review_stands_since(r) IS NULL
    AND (NOT workflow._needs_other_eyes(r.spec) OR workflow._is_other_eyes(caller, r))
    AND NOT (r.spec ? 'approvals' AND workflow._has_voted(caller, r.review_id))
  ORDER BY r.priority, r.due_at, r.review_id LIMIT 1 FOR UPDATE SKIP LOCKED;
  UPDATE workflow.review AS r
  SET assignee = caller, claimed_at = now,
      claim_until = workflow._time_after(now, (workflow._review_times(r.spec)).claim_for)
  WHERE r.review_id = claimed RETURNING r.item_id, r.seq INTO item, seq;
  IF FOUND THEN    -- the review forgets it when it is given back, or somebody else claims it
    PERFORM workflow._note(caller, 'claim review', item, 'review:' || claimed, NULL, jsonb_build_object('at', now, 'seq', seq));
  END IF;
  RETURN claimed;
END
$$;
COMMENT ON FUNCTION workflow._claim_review(text, text) IS 'Inner: workflow.claim_review()';

CREATE FUNCTION workflow.claim_review(queue text) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.claim_review(text) IS
  'Assigns the most urgent open review of a queue to the caller for a while and returns its id; null when there is none';

CREATE FUNCTION workflow._assign_review(caller text, review workflow.review, to_role text, action text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE workflow.review AS r
  SET assignee = to_role, claimed_at = NULL, claim_until = NULL
  WHERE r.review_id = review.review_id;
  PERFORM workflow._note(caller, action, review.item_id, 'review:' || review.review_id, NULL,
                         jsonb_build_object('from', review.assignee, 'to', to_role));
END
$$;
COMMENT ON FUNCTION workflow._assign_review(text, workflow.review, text, text) IS
  'Inner: assigns an open review, or gives it back to its queue';

-- What nobody has is not given back, nor counted as that.
CREATE FUNCTION workflow._release_review(caller text, id bigint) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  review workflow.review := (workflow._lock_review(id)).open_review;
BEGIN
  IF review.assignee IS NOT NULL THEN
    PERFORM workflow._assign_review(caller, review, NULL, 'release review');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._release_review(text, bigint) IS 'Inner: workflow.release_review()';

CREATE FUNCTION workflow.release_review(id bigint) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.release_review(bigint) IS 'Gives a claimed review back to its queue';

-- Whether a name is a label that the queue of a review knows: its owner, or one in its chain.
CREATE FUNCTION workflow._is_label(review workflow.review, name text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM workflow.queue AS q WHERE q.queue = review.queue AND name = ANY (q.owner || q.escalate_to))
$$;
COMMENT ON FUNCTION workflow._is_label(workflow.review, text) IS
  'Inner: whether a name is the owner of a review''s queue, or in its chain';

CREATE FUNCTION workflow._require_assignee(review workflow.review, name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  queue workflow.queue;
BEGIN
  PERFORM workflow._require_given(name IS NOT NULL, 'to_role');
  IF workflow._is_label(review, name) OR EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
    RETURN;
  END IF;
  SELECT q.* INTO queue FROM workflow.queue AS q WHERE q.queue = review.queue;
  RAISE EXCEPTION 'role "%" does not exist', name
    USING ERRCODE = 'WF012',
          DETAIL = format('Nor is it a label of queue "%s": owner %s, escalate_to %s.',
                          queue.queue, queue.owner, array_to_string(queue.escalate_to, ', ')),
          HINT = workflow._nearest('role', name) || 'Name a role or one of these labels; workflow.release_review(id) gives a review back to its queue.';
END
$$;
COMMENT ON FUNCTION workflow._require_assignee(workflow.review, text) IS
  'Inner: raises WF012 for a name that a review of a queue cannot be assigned to';

-- With four eyes, who may not decide does not choose who does, and nobody is
-- handed what he may not decide.
CREATE FUNCTION workflow._require_delegation(caller text, review workflow.review, name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  hint text := format('SELECT workflow.release_review(%s) gives it back to its queue.', review.review_id);
BEGIN
  IF workflow._has_voted(name, review.review_id) THEN
    RAISE EXCEPTION 'role "%" may not decide review %', name, review.review_id
      USING ERRCODE = 'WF007', DETAIL = 'One person, one vote: it has decided already, others have to.', HINT = hint;
  ELSIF NOT workflow._needs_other_eyes(review.spec) THEN
    RETURN;
  ELSIF NOT workflow._is_other_eyes(name, review) THEN
    RAISE EXCEPTION 'role "%" may not decide review %', name, review.review_id
      USING ERRCODE = 'WF007', DETAIL = 'Four eyes: whoever submitted the item, changed its data or decided on it before may not decide.', HINT = hint;
  ELSIF NOT workflow._is_label(review, name) AND NOT workflow._is_other_eyes(caller, review) THEN
    RAISE EXCEPTION 'role "%" may not choose who decides review %', caller, review.review_id
      USING ERRCODE = 'WF007', DETAIL = 'Four eyes: whoever submitted the item, changed its data or decided on it before hands it to nobody but its queue''s owner or chain.', HINT = hint;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_delegation(text, workflow.review, text) IS
  'Inner: raises WF007 where four eyes, or a vote, do not allow that a review is handed to a role';

CREATE FUNCTION workflow._delegate(caller text, id bigint, to_role text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  review workflow.review := (workflow._lock_review(id)).open_review;
BEGIN
  PERFORM workflow._require_assignee(review, to_role);
  PERFORM workflow._require_delegation(caller, review, to_role);
  PERFORM workflow._assign_review(caller, review, to_role, 'delegate review');
END
$$;
COMMENT ON FUNCTION workflow._delegate(text, bigint, text) IS 'Inner: workflow.delegate()';

CREATE FUNCTION workflow.delegate(id bigint, to_role text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.delegate(bigint, text) IS 'Assigns an open review to a role, or to a label of its queue';
