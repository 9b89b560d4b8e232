--
-- review: questions to people. What they are shown is a snapshot; who decides
-- what is checked here; the decision is the event that moves the item.
--
-- Locks: the item first, then its review.
--

-- ------------------------------------------------------- opened and closed

CREATE FUNCTION workflow._set_timer(item bigint, kind text, due_at timestamptz, event text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_set_timer';
COMMENT ON FUNCTION workflow._set_timer(bigint, text, timestamptz, text) IS
  'Inner: sets a timer of an item''s present visit';

CREATE FUNCTION workflow._move_with_result(
  item bigint, event text, kind text, actor text, reason text, event_data jsonb, data jsonb)
RETURNS int
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_move_with_result';
COMMENT ON FUNCTION workflow._move_with_result(bigint, text, text, text, text, jsonb, jsonb) IS
  'Inner: moves an item like _move() and stores what the event carried under the state''s name';

-- Opens the review of a visit; due after the queue's SLA. "previous" is the
-- last decision on the item before, for whoever sees it again.
CREATE FUNCTION workflow._open_review(
  item bigint, seq int, state text, job_id bigint, spec jsonb, shown jsonb, proposed jsonb)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now timestamptz := workflow._now();
  due timestamptz;
  previous jsonb;
  opened bigint;
BEGIN
  SELECT workflow._time_after(now, q.sla) INTO due FROM workflow.queue AS q WHERE q.queue = spec ->> 'queue';
  SELECT jsonb_build_object('decision', r.decision, 'reason', r.reason,
                            'decided_by', r.decided_by, 'decided_at', r.decided_at)
    INTO previous
  FROM workflow.review AS r
  WHERE r.item_id = item AND r.decided_at IS NOT NULL
  ORDER BY r.review_id DESC LIMIT 1;

  INSERT INTO workflow.review (item_id, seq, job_id, queue, state, spec, shown, proposed, previous, opened_at, due_at)
  VALUES (item, seq, job_id, spec ->> 'queue', state, spec, shown, proposed, previous, now, due)
  RETURNING review_id INTO opened;
  PERFORM workflow._set_timer(item, 'overdue', due, 'overdue');
  RETURN opened;
END
$$;
COMMENT ON FUNCTION workflow._open_review(bigint, int, text, bigint, jsonb, jsonb, jsonb) IS
  'Inner: asks people about an item that entered a review state';

CREATE FUNCTION workflow._close_reviews(item bigint, seq int) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE workflow.review AS r SET closed_at = workflow._now()
  WHERE r.item_id = item AND r.seq = _close_reviews.seq AND r.closed_at IS NULL
$$;
COMMENT ON FUNCTION workflow._close_reviews(bigint, int) IS
  'Inner: the item has left the review state';

-- ------------------------------------------------------------------- overdue

-- The next in the queue's chain, and again after another SLA period.
CREATE FUNCTION workflow._escalate_review(late workflow.review, actor text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  queue workflow.queue;
BEGIN
  SELECT q.* INTO queue FROM workflow.queue AS q WHERE q.queue = late.queue;
  IF late.step >= cardinality(queue.escalate_to) THEN
    RETURN;
  END IF;
  UPDATE workflow.review AS r SET step = late.step + 1 WHERE r.review_id = late.review_id;
  PERFORM workflow._note(actor, 'escalate', late.item_id, 'review:' || late.review_id,
                         format('overdue since %s', late.due_at),
                         jsonb_build_object('step', late.step + 1, 'to', queue.escalate_to[late.step + 1]));
  IF late.step + 1 < cardinality(queue.escalate_to) THEN
    PERFORM workflow._set_timer(late.item_id, 'overdue', workflow._time_after(workflow._now(), queue.sla), 'overdue');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._escalate_review(workflow.review, text) IS
  'Inner: hands an overdue review to the next in its queue''s chain';

-- What the definition says of an overdue review: an event to raise (on_overdue,
-- or the event "overdue" where the state handles it), else escalation.
CREATE FUNCTION workflow._review_overdue(item bigint, seq int, actor text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  late workflow.review;
  event text;
BEGIN
  SELECT r.* INTO late FROM workflow.review AS r
  WHERE r.item_id = item AND r.seq = _review_overdue.seq AND r.closed_at IS NULL FOR UPDATE;
  IF late.review_id IS NULL THEN
    RETURN;
  END IF;
  event := coalesce(nullif(late.spec ->> 'on_overdue', 'escalate'), 'overdue');
  IF workflow._handles(item, event) THEN
    PERFORM workflow._move(item, event, 'engine', actor, format('overdue since %s', late.due_at), NULL, NULL);
  ELSE
    PERFORM workflow._escalate_review(late, actor);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._review_overdue(bigint, int, text) IS
  'Inner: the due time of a review has passed';

-- -------------------------------------------------------------------- decide

-- Locks the item of a review, then the review; it must be open.
CREATE FUNCTION workflow._lock_review(id bigint, OUT open_review workflow.review, OUT item workflow.item)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  its_item bigint;
BEGIN
  PERFORM workflow._require_given(id IS NOT NULL, 'id');
  SELECT r.item_id INTO its_item FROM workflow.review AS r WHERE r.review_id = id;
  IF its_item IS NULL THEN
    RAISE EXCEPTION 'review % does not exist', id
      USING ERRCODE = 'WF012', HINT = 'SELECT id FROM workflow.review_inbox shows the open reviews.';
  END IF;
  item := workflow._lock_item(its_item);
  SELECT r.* INTO open_review FROM workflow.review AS r WHERE r.review_id = id FOR UPDATE;
  IF open_review.decided_at IS NOT NULL OR open_review.closed_at IS NOT NULL THEN
    RAISE EXCEPTION 'review % is closed', id
      USING ERRCODE = 'WF002',
            DETAIL = CASE WHEN open_review.decided_at IS NOT NULL
                          THEN format('%s decided "%s" at %s.', open_review.decided_by, open_review.decision, open_review.decided_at)
                          ELSE format('Item %s left the state at %s without a decision.', its_item, open_review.closed_at) END,
            HINT = format('SELECT * FROM workflow.timeline(%s) tells what happened.', its_item);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._lock_review(bigint) IS
  'Inner: locks an open review after its item; WF012 when unknown, WF002 when closed';

-- Whether a role may act for an assignee: it is the one, a member of it, or
-- the assignee is a label only.
CREATE FUNCTION workflow._acts_for(caller text, assignee text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT assignee IS NULL OR caller = assignee
    OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = assignee)
    OR pg_has_role(caller, assignee, 'MEMBER')
$$;
COMMENT ON FUNCTION workflow._acts_for(text, text) IS
  'Inner: whether a role may act for the one a review is assigned to';

-- Whether four eyes allow a role: it neither submitted the item nor decided on it before.
CREATE FUNCTION workflow._is_other_eyes(caller text, item bigint) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT NOT EXISTS (SELECT FROM workflow.item AS i WHERE i.item_id = item AND i.submitted_by = caller)
    AND NOT EXISTS (SELECT FROM workflow.review AS r WHERE r.item_id = item AND r.decided_by = caller)
$$;
COMMENT ON FUNCTION workflow._is_other_eyes(text, bigint) IS
  'Inner: whether a role is another than those who submitted an item or decided on it before';

CREATE FUNCTION workflow._require_permitted(
  caller text, review workflow.review, decision text, reason text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT coalesce(review.spec -> 'decisions' ? decision, false) THEN
    RAISE EXCEPTION '"%" is not a decision of review %', decision, review.review_id
      USING ERRCODE = 'WF001',
            DETAIL = format('Item %s is in state "%s".', review.item_id, review.state),
            HINT = format('Decide one of %s.', review.spec -> 'decisions');
  ELSIF NOT workflow._acts_for(caller, review.assignee) THEN
    RAISE EXCEPTION 'role "%" may not decide review %', caller, review.review_id
      USING ERRCODE = 'WF007',
            DETAIL = format('It is assigned to "%s".', review.assignee),
            HINT = format('SELECT workflow.release_review(%s) gives it back to its queue.', review.review_id);
  ELSIF coalesce((review.spec -> 'four_eyes')::boolean, false)
        AND NOT workflow._is_other_eyes(caller, review.item_id) THEN
    RAISE EXCEPTION 'role "%" may not decide review %', caller, review.review_id
      USING ERRCODE = 'WF007',
            DETAIL = 'Four eyes: whoever submitted the item or decided on it before may not decide.',
            HINT = format('SELECT workflow.delegate(%s, ''role'') hands it to somebody else.', review.review_id);
  ELSIF coalesce(review.spec -> 'reason_required' ? decision, false) AND coalesce(btrim(reason), '') = '' THEN
    RAISE EXCEPTION '"%" needs a reason', decision
      USING ERRCODE = 'WF007',
            DETAIL = format('Review %s requires a reason for %s.', review.review_id, review.spec -> 'reason_required'),
            HINT = format('SELECT * FROM workflow.decide(%s, %L, reason => ''...'').', review.review_id, decision);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_permitted(text, workflow.review, text, text) IS
  'Inner: raises WF001 or WF007 when a role may not decide so';

-- Data with the editable value patched, where its selector says.
CREATE FUNCTION workflow._patched(data jsonb, editable text, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  path text[];
  value jsonb;
BEGIN
  IF patch IS NULL THEN
    RETURN data;
  ELSIF editable IS NULL OR editable !~ '^\$(\.[[:alpha:]_][[:alnum:]_]*)*$' THEN
    RAISE EXCEPTION 'the review has no editable value that a patch could change'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('"editable" is %s.', coalesce(quote_literal(editable), 'absent')),
            HINT = 'A patch needs "editable" in the definition, a path of members such as "$.proposed".';
  ELSIF editable = '$' THEN
    RETURN data || patch;
  END IF;

  path := string_to_array(substr(editable, 3), '.');
  value := data #> path;
  IF jsonb_typeof(value) = 'object' AND jsonb_typeof(patch) = 'object' THEN
    value := value || patch;
  ELSE
    value := patch;
  END IF;
  RETURN jsonb_set(data, path, value, true);
END
$$;
COMMENT ON FUNCTION workflow._patched(jsonb, text, jsonb) IS
  'Inner: an item''s data with a reviewer''s patch merged over the editable value';

CREATE FUNCTION workflow._decide(
  caller text, id bigint, decision text, reason text, patch jsonb, expected_seq int,
  OUT seq int, OUT state text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  locked record;
  review workflow.review;
  item workflow.item;
BEGIN
  SELECT * INTO locked FROM workflow._lock_review(id);
  review := locked.open_review;
  item := locked.item;
  IF expected_seq <> item.seq THEN
    RAISE EXCEPTION 'item % has moved on: expected seq %, found %', item.item_id, expected_seq, item.seq
      USING ERRCODE = 'WF002', HINT = 'Read the review again and decide anew.';
  END IF;
  PERFORM workflow._require_running(item.item_id);
  PERFORM workflow._require_permitted(caller, review, decision, reason);

  UPDATE workflow.review AS r
  SET decided_at = workflow._now(), decided_by = caller, decision = _decide.decision,
      reason = _decide.reason, patch = _decide.patch
  WHERE r.review_id = id;
  PERFORM workflow._move_with_result(
    item.item_id, decision, 'review', caller, reason,
    jsonb_strip_nulls(jsonb_build_object('review_id', id, 'decision', decision, 'decided_by', caller,
                                         'reason', reason)) || CASE WHEN patch IS NULL THEN '{}' ELSE jsonb_build_object('patch', patch) END,
    workflow._patched(item.data, review.spec ->> 'editable', patch));
  SELECT i.seq, i.state INTO seq, state FROM workflow.item AS i WHERE i.item_id = item.item_id;
END
$$;
COMMENT ON FUNCTION workflow._decide(text, bigint, text, text, jsonb, int) IS 'Inner: workflow.decide()';

CREATE FUNCTION workflow.decide(
  id bigint, decision text, reason text DEFAULT NULL, patch jsonb DEFAULT NULL,
  expected_seq int DEFAULT NULL, OUT seq int, OUT state text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.decide(bigint, text, text, jsonb, int) IS
  'Decides an open review; patch is merged over the editable value; returns where the item is then';

CREATE FUNCTION workflow._decide_many(caller text, ids bigint[], decision text, reason text) RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id bigint;
BEGIN
  PERFORM workflow._require_given(ids IS NOT NULL, 'ids');
  FOREACH id IN ARRAY ids LOOP
    PERFORM workflow._decide(caller, id, decision, reason, NULL, NULL);
  END LOOP;
  RETURN cardinality(ids);
END
$$;
COMMENT ON FUNCTION workflow._decide_many(text, bigint[], text, text) IS 'Inner: workflow.decide_many()';

CREATE FUNCTION workflow.decide_many(ids bigint[], decision text, reason text DEFAULT NULL) RETURNS int
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.decide_many(bigint[], text, text) IS
  'Decides many open reviews alike, all or none; returns their number';

-- --------------------------------------------------------------- assignment

CREATE FUNCTION workflow._claim_review(caller text, queue text) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  claimed bigint;
BEGIN
  PERFORM workflow._require_given(queue IS NOT NULL, 'queue');
  IF NOT EXISTS (SELECT FROM workflow.queue AS q WHERE q.queue = _claim_review.queue) THEN
    RAISE EXCEPTION 'queue "%" does not exist', queue
      USING ERRCODE = 'WF012',
            DETAIL = 'Queues are made by workflow.create_queue() or by a definition.',
            HINT = 'SELECT DISTINCT queue FROM workflow.review_inbox shows the queues with open reviews.';
  END IF;
  SELECT r.review_id INTO claimed FROM workflow.review AS r
  WHERE r.queue = _claim_review.queue AND r.closed_at IS NULL AND r.decided_at IS NULL AND r.assignee IS NULL
    AND (NOT coalesce((r.spec -> 'four_eyes')::boolean, false) OR workflow._is_other_eyes(caller, r.item_id))
  ORDER BY r.due_at, r.review_id LIMIT 1 FOR UPDATE SKIP LOCKED;
  UPDATE workflow.review AS r SET assignee = caller, claimed_at = workflow._now()
  WHERE r.review_id = claimed;
  RETURN claimed;
END
$$;
COMMENT ON FUNCTION workflow._claim_review(text, text) IS 'Inner: workflow.claim_review()';

CREATE FUNCTION workflow.claim_review(queue text) RETURNS bigint
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.claim_review(text) IS
  'Assigns the most urgent open review of a queue to the caller and returns its id; null when there is none';

CREATE FUNCTION workflow._assign_review(caller text, id bigint, to_role text, action text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  review workflow.review := (workflow._lock_review(id)).open_review;
BEGIN
  UPDATE workflow.review AS r
  SET assignee = to_role, claimed_at = NULL
  WHERE r.review_id = id;
  PERFORM workflow._note(caller, action, review.item_id, 'review:' || id, NULL,
                         jsonb_build_object('from', review.assignee, 'to', to_role));
END
$$;
COMMENT ON FUNCTION workflow._assign_review(text, bigint, text, text) IS
  'Inner: assigns an open review, or gives it back to its queue';

CREATE FUNCTION workflow._release_review(caller text, id bigint) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT workflow._assign_review(caller, id, NULL, 'release review') $$;
COMMENT ON FUNCTION workflow._release_review(text, bigint) IS 'Inner: workflow.release_review()';

CREATE FUNCTION workflow.release_review(id bigint) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.release_review(bigint) IS 'Gives a claimed review back to its queue';

-- Whether a name is a role, or a label that the queue knows: its owner, or one in its chain.
CREATE FUNCTION workflow._require_assignee(id bigint, name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  queue workflow.queue;
BEGIN
  PERFORM workflow._require_given(name IS NOT NULL, 'to_role');
  SELECT q.* INTO queue FROM workflow.queue AS q JOIN workflow.review AS r ON r.queue = q.queue WHERE r.review_id = id;
  IF queue.owner = name OR name = ANY (queue.escalate_to) OR EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'role "%" does not exist', name
    USING ERRCODE = 'WF012',
          DETAIL = format('Nor is it a label of queue "%s": owner %s, escalate_to %s.',
                          queue.queue, queue.owner, array_to_string(queue.escalate_to, ', ')),
          HINT = 'Name a role or one of these labels; workflow.release_review(id) gives a review back to its queue.';
END
$$;
COMMENT ON FUNCTION workflow._require_assignee(bigint, text) IS
  'Inner: raises WF012 for a name that a review of a queue cannot be assigned to';

CREATE FUNCTION workflow._delegate(caller text, id bigint, to_role text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._lock_review(id);
  PERFORM workflow._require_assignee(id, to_role);
  PERFORM workflow._assign_review(caller, id, to_role, 'delegate review');
END
$$;
COMMENT ON FUNCTION workflow._delegate(text, bigint, text) IS 'Inner: workflow.delegate()';

CREATE FUNCTION workflow.delegate(id bigint, to_role text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.delegate(bigint, text) IS 'Assigns an open review to a role, or to a label of its queue';

-- --------------------------------------------------------------------- inbox

CREATE VIEW workflow.review_inbox WITH (security_barrier) AS
SELECT r.review_id AS id, r.item_id, i.workflow, i.key, r.state, r.queue,
       CASE WHEN r.step = 0 THEN q.owner
            ELSE q.escalate_to[least(r.step, cardinality(q.escalate_to))] END AS owner,
       r.shown, r.proposed, r.previous,
       ARRAY(SELECT jsonb_array_elements_text(r.spec -> 'decisions')) AS decisions,
       r.assignee, r.opened_at, r.due_at,
       r.due_at < workflow._now() AS overdue,
       i.seq
FROM workflow.review AS r
JOIN workflow.item AS i ON i.item_id = r.item_id
LEFT JOIN workflow.queue AS q ON q.queue = r.queue
WHERE r.closed_at IS NULL AND r.decided_at IS NULL
ORDER BY r.due_at, r.review_id;
COMMENT ON VIEW workflow.review_inbox IS
  'Open reviews, the most urgent first: what is asked, what was shown, whose it is and until when';
COMMENT ON COLUMN workflow.review_inbox.owner IS 'Owner of the queue, or who it has been escalated to';
COMMENT ON COLUMN workflow.review_inbox.previous IS 'The last decision on the item before this review';
COMMENT ON COLUMN workflow.review_inbox.seq IS 'What to give decide() as expected_seq';
