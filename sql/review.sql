--
-- review: questions to people. What they are shown is a snapshot; who decides
-- what is checked here; the decision is the event that moves the item.
--
-- Locks: the item first, then its review.
--

-- ------------------------------------------------------- opened and closed

CREATE TRIGGER bind_decider BEFORE INSERT OR UPDATE OF decided_by ON workflow.review
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_role('decided_by', 'decided_oid');
COMMENT ON TRIGGER bind_decider ON workflow.review IS 'Notes which role the name of a decider means';
CREATE TRIGGER bind_voter BEFORE INSERT ON workflow.review_vote
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_role('voter', 'voter_oid');
COMMENT ON TRIGGER bind_voter ON workflow.review_vote IS 'Notes which role the name of a voter means';

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

CREATE FUNCTION workflow._watch_by(at timestamptz) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_watch_by';
COMMENT ON FUNCTION workflow._watch_by(timestamptz) IS
  'Inner: at commit, wakes the maintenance worker if it would look for what is late after that';

-- How long a review may take, when it is time to say so, and how long a claim
-- holds: its state says it, else its queue's SLA and warn, or a fifth of the SLA
-- before it is due, and an hour.
CREATE FUNCTION workflow._review_times(spec jsonb, OUT sla interval, OUT warn interval, OUT claim_for interval)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT t.sla, coalesce((spec ->> 'warn')::interval, t.warn, t.sla * 0.2), coalesce((spec ->> 'claim_for')::interval, interval '1 hour')
  FROM (SELECT coalesce((spec ->> 'sla')::interval, max(q.sla)) AS sla, CASE WHEN spec ->> 'sla' IS NULL THEN max(q.warn) END AS warn
        FROM workflow.queue AS q WHERE q.queue = spec ->> 'queue') AS t
$$;
COMMENT ON FUNCTION workflow._review_times(jsonb) IS
  'Inner: the SLA of a review, how long before its end people are warned, and how long a claim holds';

-- Opens the review of a visit; due after its SLA. "previous" is the last decision
-- on the item before, for whoever sees it again.
CREATE FUNCTION workflow._open_review(
  item bigint, seq int, state text, job_id bigint, spec jsonb, shown jsonb, proposed jsonb, current jsonb)
RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now timestamptz := workflow._now();
  times record := workflow._review_times(spec);
  due timestamptz := workflow._time_after(now, times.sla);
  previous jsonb;
  opened bigint;
BEGIN
  SELECT jsonb_build_object('decision', r.decision, 'reason', r.reason,
                            'decided_by', r.decided_by, 'decided_at', r.decided_at)
    INTO previous
  FROM workflow.review AS r
  WHERE r.item_id = item AND r.decided_at IS NOT NULL
  ORDER BY r.review_id DESC LIMIT 1;

  INSERT INTO workflow.review (item_id, seq, job_id, queue, state, spec, shown, proposed, previous, opened_at, due_at,
                               current, priority, warn_at, next_step_at)
  VALUES (item, seq, job_id, spec ->> 'queue', state, spec, shown, proposed, previous, now, due, current,
          coalesce((spec ->> 'priority')::numeric::int, (SELECT i.priority FROM workflow.item AS i WHERE i.item_id = item)),
          greatest(now, workflow._time_after(due, - times.warn)), due)
  RETURNING review_id INTO opened;
  PERFORM workflow._set_timer(item, 'overdue', due, 'overdue');
  PERFORM workflow._watch_by(greatest(now, workflow._time_after(due, - times.warn)));
  RETURN opened;
END
$$;
COMMENT ON FUNCTION workflow._open_review(bigint, int, text, bigint, jsonb, jsonb, jsonb, jsonb) IS
  'Inner: asks people about an item that entered a review state';

CREATE FUNCTION workflow._close_reviews(item bigint, seq int) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE workflow.review AS r
  SET closed_at = workflow._now(), due_at = workflow._time_after(r.due_at, p.stood), paused_for = r.paused_for + p.stood
  FROM workflow.review AS before,
       LATERAL (SELECT coalesce(workflow._now() - workflow._review_stands_since(before), '0')) AS p (stood)
  WHERE before.review_id = r.review_id AND r.item_id = item AND r.seq = _close_reviews.seq AND r.closed_at IS NULL
$$;
COMMENT ON FUNCTION workflow._close_reviews(bigint, int) IS
  'Inner: the item has left the review state';

-- ------------------------------------------------------------------- overdue

-- The next in the queue's chain, and again after another SLA period. Whoever had
-- claimed it, or had been handed it, has not decided in time: it is everybody's.
CREATE FUNCTION workflow._escalate_review(late workflow.review, actor text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  chain text[] := (SELECT q.escalate_to FROM workflow.queue AS q WHERE q.queue = late.queue);
  then_at timestamptz;
BEGIN
  IF late.step + 1 < cardinality(chain) THEN
    then_at := workflow._time_after(workflow._now(), (workflow._review_times(late.spec)).sla);
    PERFORM workflow._set_timer(late.item_id, 'overdue', then_at, 'overdue');
  END IF;
  UPDATE workflow.review AS r
  SET step = least(late.step + 1, cardinality(chain)), next_step_at = then_at,
      assignee = NULL, claimed_at = NULL, claim_until = NULL
  WHERE r.review_id = late.review_id;
  IF late.step < cardinality(chain) THEN
    PERFORM workflow._note(actor, 'escalate', late.item_id, 'review:' || late.review_id,
                           format('overdue since %s', late.due_at),
                           jsonb_strip_nulls(jsonb_build_object('step', late.step + 1, 'to', chain[late.step + 1],
                                                                'from', workflow._assigned_to(late.assignee, late.claim_until, workflow._now()))));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._escalate_review(workflow.review, text) IS
  'Inner: hands an overdue review to the next in its queue''s chain';

-- What the definition says of an overdue review: an event to raise (on_overdue,
-- or the event "overdue" where the state handles it), else escalation. A timer
-- that comes too early, because the clock stood or stands, is set again.  What time
-- approves is what the review proposes, as one of several who approve has changed
-- it; nor does time approve what nobody could.
CREATE FUNCTION workflow._review_overdue(item bigint, seq int, actor text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  late workflow.review;
  event text;
  approved jsonb;
  fits bool := true;
BEGIN
  SELECT r.* INTO late FROM workflow.review AS r
  WHERE r.item_id = item AND r.seq = _review_overdue.seq AND r.closed_at IS NULL FOR UPDATE;
  IF late.review_id IS NULL THEN
    RETURN;
  ELSIF workflow._review_stands_since(late) IS NOT NULL THEN
    PERFORM workflow._set_timer(item, 'overdue', 'infinity', 'overdue');
    RETURN;
  ELSIF late.next_step_at > workflow._now() THEN
    PERFORM workflow._set_timer(item, 'overdue', late.next_step_at, 'overdue');
    RETURN;
  END IF;
  event := coalesce(nullif(late.spec ->> 'on_overdue', 'escalate'), 'overdue');
  IF event = 'approve' THEN
    BEGIN
      SELECT workflow._patched(i.data, late.spec ->> 'editable', late.edited) INTO approved
      FROM workflow.item AS i WHERE i.item_id = item;
      fits := workflow._proposal_problems(late.spec, approved) IS NULL;
    EXCEPTION WHEN invalid_parameter_value THEN
      fits := false;     -- the data have changed, and there is no place for what was edited
    END;
  END IF;
  IF fits AND workflow._handles(item, event) THEN
    PERFORM workflow._move(item, event, 'engine', actor, format('overdue since %s', late.due_at), NULL,
                           CASE WHEN late.edited IS NOT NULL THEN approved END);
  ELSE
    PERFORM workflow._escalate_review(late, actor);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._review_overdue(bigint, int, text) IS
  'Inner: the due time of a review has passed';
