--
-- review_decide: who may decide, how many have to, what they may change, and the
-- decision that moves the item.
--
-- Locks: the item first, then its review.
--

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
      USING ERRCODE = 'WF012',
            DETAIL = 'No review ever had that id.',
            HINT = 'SELECT id FROM workflow.review_inbox shows the open reviews.';
  END IF;
  item := workflow._lock_item(its_item);
  SELECT r.* INTO open_review FROM workflow.review AS r WHERE r.review_id = id FOR UPDATE;
  IF open_review.closed_at IS NOT NULL OR open_review.decided_at IS NOT NULL THEN
    PERFORM workflow._refuse_closed_review(open_review);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._lock_review(bigint) IS
  'Inner: locks an open review after its item; WF012 when unknown, WF002 when closed';

CREATE FUNCTION workflow._refuse_closed_review(closed workflow.review) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'review % is closed', closed.review_id
    USING ERRCODE = 'WF002',
          DETAIL = CASE
            WHEN closed.decided_at IS NOT NULL
              THEN format('%s decided "%s" at %s.', closed.decided_by, closed.decision, closed.decided_at)
            WHEN closed.replaced_by IS NOT NULL
              THEN format('%s changed the proposal at %s.',
                          coalesce((SELECT v.voter FROM workflow.review_vote AS v WHERE v.review_id = closed.replaced_by
                                    ORDER BY v.voted_at LIMIT 1), 'A patch of the item''s data'), closed.closed_at)
            ELSE format('Item %s left the state at %s without a decision.', closed.item_id, closed.closed_at) END,
          HINT = CASE WHEN closed.replaced_by IS NOT NULL
            THEN format('Review %s asks about it as it is now: SELECT * FROM workflow.review_inbox WHERE id = %s;',
                        closed.replaced_by, closed.replaced_by)
            ELSE format('SELECT * FROM workflow.timeline(%s) tells what happened.', closed.item_id) END;
END
$$;
COMMENT ON FUNCTION workflow._refuse_closed_review(workflow.review) IS
  'Inner: raises WF002 for a review that is closed, and says by what';

-- --------------------------------------------------------------- permission

-- Whom a review is assigned to now: a claim ends with its time.
CREATE FUNCTION workflow._assigned_to(assignee text, claim_until timestamptz, now timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN claim_until IS NULL OR claim_until > now THEN assignee END $$;
COMMENT ON FUNCTION workflow._assigned_to(text, timestamptz, timestamptz) IS
  'Inner: the assignee of a review, unless the claim has ended';

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

-- Which role has a name now; null: it is a label.
CREATE FUNCTION workflow._role_named(name text) RETURNS oid LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN to_regrole(quote_ident(name))::oid;
END
$$;
COMMENT ON FUNCTION workflow._role_named(text) IS 'Inner: the role of a name; null when there is none';

-- Whether four eyes allow a role: it neither submitted the item, nor changed its data,
-- nor decided on it, or took part in deciding, in an earlier review.  Rows go by
-- the role that a name meant; by the name where that was nobody's, as after a restore.
CREATE FUNCTION workflow._is_other_eyes(caller text, review workflow.review) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  role oid := workflow._role_named(caller);
BEGIN
  RETURN NOT EXISTS (SELECT FROM workflow.item AS i WHERE i.item_id = review.item_id AND coalesce(i.submitted_oid = role, i.submitted_by = caller))
    AND NOT EXISTS (SELECT FROM workflow.item_author AS a WHERE a.item_id = review.item_id AND coalesce(a.author_oid = role, a.author = caller))
    AND NOT EXISTS (SELECT FROM workflow.review AS r WHERE r.item_id = review.item_id AND coalesce(r.decided_oid = role, r.decided_by = caller))
    AND NOT EXISTS (SELECT FROM workflow.review AS r JOIN workflow.review_vote AS v USING (review_id)
                    WHERE r.item_id = review.item_id AND r.review_id <> review.review_id
                      AND r.replaced_by IS NULL AND coalesce(v.voter_oid = role, v.voter = caller));
END
$$;
COMMENT ON FUNCTION workflow._is_other_eyes(text, workflow.review) IS
  'Inner: whether a role is another than those who submitted an item, changed its data or decided on it before';

CREATE FUNCTION workflow._needs_other_eyes(spec jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce((spec -> 'four_eyes')::boolean, false) $$;
COMMENT ON FUNCTION workflow._needs_other_eyes(jsonb) IS 'Inner: whether four eyes are asked for';

CREATE FUNCTION workflow._has_voted(caller text, id bigint) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  role oid := workflow._role_named(caller);
BEGIN
  RETURN EXISTS (SELECT FROM workflow.review_vote AS v WHERE v.review_id = id AND coalesce(v.voter_oid = role, v.voter = caller));
END
$$;
COMMENT ON FUNCTION workflow._has_voted(text, bigint) IS
  'Inner: whether a role has decided in a review that still needs others';

-- The words of a refusal, or null: for decide() and for the inbox.
CREATE FUNCTION workflow._why_not(assignee text, acts_for_assignee boolean, lacks_other_eyes boolean, has_voted boolean) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN NOT acts_for_assignee THEN format('It is assigned to "%s".', assignee)
    WHEN lacks_other_eyes THEN 'Four eyes: whoever submitted the item, changed its data or decided on it before may not decide.'
    WHEN has_voted THEN 'One person, one vote: it has decided already, others have to.' END
$$;
COMMENT ON FUNCTION workflow._why_not(text, boolean, boolean, boolean) IS
  'Inner: why a role may not decide a review, as a sentence; null when it may';

CREATE FUNCTION workflow._require_decider(caller text, review workflow.review) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  assignee text := workflow._assigned_to(review.assignee, review.claim_until,
                                         coalesce(workflow._review_stands_since(review), workflow._now()));
  is_other boolean := NOT workflow._needs_other_eyes(review.spec) OR workflow._is_other_eyes(caller, review);
  why text := workflow._why_not(assignee, workflow._acts_for(caller, assignee), NOT is_other,
                                workflow._has_voted(caller, review.review_id));
BEGIN
  IF why IS NOT NULL THEN
    RAISE EXCEPTION 'role "%" may not decide review %', caller, review.review_id
      USING ERRCODE = 'WF007',
            DETAIL = why,
            HINT = CASE WHEN is_other AND workflow._acts_for(caller, assignee)
                        THEN format('SELECT votes, approvals FROM workflow.review_inbox WHERE id = %s;', review.review_id)
                        WHEN assignee IS NULL
                        THEN format('Somebody else has to: SELECT queue, owner FROM workflow.review_inbox WHERE id = %s; says whom to ask.', review.review_id)
                        ELSE format('SELECT workflow.release_review(%s) gives it back to its queue.', review.review_id) END;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_decider(text, workflow.review) IS
  'Inner: raises WF007 when a role may not decide a review';

-- The codes that a decision's reason has to begin with; null: any reason.
CREATE FUNCTION workflow._reason_codes(spec jsonb, decision text) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT spec -> 'reasons' -> decision $$;
COMMENT ON FUNCTION workflow._reason_codes(jsonb, text) IS
  'Inner: the reason codes of a decision; null when it has none';

-- The code of a reason: all of it, or what stands before a colon.
CREATE FUNCTION workflow._reason_code(reason text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT btrim(split_part(reason, ':', 1)) $$;
COMMENT ON FUNCTION workflow._reason_code(text) IS 'Inner: the code that a reason begins with';

CREATE FUNCTION workflow._require_reason(review workflow.review, decision text, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  codes jsonb := workflow._reason_codes(review.spec, decision);
BEGIN
  IF codes IS NOT NULL AND NOT coalesce(codes ? workflow._reason_code(reason), false) THEN
    RAISE EXCEPTION '"%" needs one of its reasons', decision
      USING ERRCODE = 'WF007',
            DETAIL = format('Review %s takes %s for "%s", alone or as "code: note".', review.review_id, codes, decision),
            HINT = format('SELECT * FROM workflow.decide(%s, %L, reason => %L);', review.review_id, decision, codes ->> 0);
  ELSIF coalesce(review.spec -> 'reason_required' ? decision, false) AND coalesce(btrim(reason), '') = '' THEN
    RAISE EXCEPTION '"%" needs a reason', decision
      USING ERRCODE = 'WF007',
            DETAIL = format('Review %s requires a reason for %s.', review.review_id, review.spec -> 'reason_required'),
            HINT = format('SELECT * FROM workflow.decide(%s, %L, reason => ''...'').', review.review_id, decision);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_reason(workflow.review, text, text) IS
  'Inner: raises WF007 when a decision lacks its reason';

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
  END IF;
  PERFORM workflow._require_decider(caller, review);
  PERFORM workflow._require_reason(review, decision, reason);
END
$$;
COMMENT ON FUNCTION workflow._require_permitted(text, workflow.review, text, text) IS
  'Inner: raises WF001 or WF007 when a role may not decide so';

-- -------------------------------------------------------------------- edits

-- A value with a patch: an object is merged over an object, anything else replaces it.
CREATE FUNCTION workflow._merged(value jsonb, patch jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN patch IS NULL THEN value
              WHEN jsonb_typeof(value) = 'object' AND jsonb_typeof(patch) = 'object' THEN value || patch
              ELSE patch END
$$;
COMMENT ON FUNCTION workflow._merged(jsonb, jsonb) IS 'Inner: a value with a patch merged over it';

-- What is null is left out; what a patch makes null is not.
CREATE FUNCTION workflow._with_patch(facts jsonb, patch jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN patch IS NULL THEN jsonb_strip_nulls(facts) ELSE jsonb_strip_nulls(facts) || jsonb_build_object('patch', patch) END
$$;
COMMENT ON FUNCTION workflow._with_patch(jsonb, jsonb) IS 'Inner: what is known of a decision, with its patch as it was';

-- The members that lead to the editable value; none for all of the data.
CREATE FUNCTION workflow._editable_path(editable text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF editable IS NULL OR editable !~ '^\$(\.[[:alpha:]_][[:alnum:]_]*)*$' THEN
    RAISE EXCEPTION 'the review has no editable value that a patch could change'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('"editable" is %s.', coalesce(quote_literal(editable), 'absent')),
            HINT = 'A patch needs "editable" in the definition, a path of members such as "$.proposed".';
  END IF;
  RETURN string_to_array(nullif(substr(editable, 3), ''), '.');
END
$$;
COMMENT ON FUNCTION workflow._editable_path(text) IS
  'Inner: the path of the value that a reviewer may change; 22023 when there is none';

-- Data with the editable value patched, where its selector says; objects on the
-- way there are made, so that nothing of the patch is lost.
CREATE FUNCTION workflow._patched(data jsonb, editable text, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  path text[];
  made jsonb;
BEGIN
  IF patch IS NULL THEN
    RETURN data;
  END IF;
  path := workflow._editable_path(editable);
  made := workflow._merged(CASE WHEN path IS NULL THEN data ELSE data #> path END, patch);
  FOR i IN REVERSE coalesce(cardinality(path), 0) .. 1 LOOP
    IF coalesce(jsonb_typeof(data #> path[1:i - 1]), 'object') <> 'object' THEN
      RAISE EXCEPTION 'the patch cannot be stored at "%"', editable
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = format('"%s" of the data is no object.', array_to_string(path[1:i - 1], '.')),
              HINT = 'Decide without a patch, or mend the data first.';
    END IF;
    made := workflow._merged(coalesce(data #> path[1:i - 1], '{}'), jsonb_build_object(path[i], made));
  END LOOP;
  IF jsonb_typeof(made) <> 'object' THEN
    RAISE EXCEPTION 'the data of an item remain an object'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('"editable" is all of them, the patch is %s.', patch),
            HINT = 'Give an object: its members are merged over the data.';
  END IF;
  RETURN made;
END
$$;
COMMENT ON FUNCTION workflow._patched(jsonb, text, jsonb) IS
  'Inner: an item''s data with a reviewer''s patch merged over the editable value';

-- Why the editable value in some data does not match the review's schema; null when it does, or there is none.
CREATE FUNCTION workflow._proposal_problems(spec jsonb, data jsonb) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT spec ? 'schema' THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT string_agg(format('%s: %s', coalesce(nullif(e.path, ''), '(root)'), e.message), E'\n')
          FROM workflow.schema_errors(spec -> 'schema', data #> coalesce(workflow._editable_path(spec ->> 'editable'), '{}')) AS e);
END
$$;
COMMENT ON FUNCTION workflow._proposal_problems(jsonb, jsonb) IS
  'Inner: the faults of what a review proposes, a line each; null when there are none';

-- What a patch would make of the editable value has to match the review's schema, and so has what is approved;
-- who decides otherwise may do so because it does not.
CREATE FUNCTION workflow._require_fitting(review workflow.review, decision text, is_patched boolean, data jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  problems text;
BEGIN
  IF is_patched OR decision = 'approve' THEN
    problems := workflow._proposal_problems(review.spec, data);
  END IF;
  IF problems IS NOT NULL THEN
    RAISE EXCEPTION '%', format(CASE WHEN is_patched THEN 'the patch makes of the proposal of review %s what its schema does not allow'
                                     ELSE 'the proposal of review %s is not what its schema allows' END, review.review_id)
      USING ERRCODE = 'WF011',
            DETAIL = problems,
            HINT = format('Nothing is decided. Mend what is listed%s; %s patch is merged over what '
                          'SELECT proposed FROM workflow.review_inbox WHERE id = %s; shows.',
                          CASE WHEN is_patched THEN '' ELSE ', or decide otherwise' END, CASE WHEN is_patched THEN 'the' ELSE 'a' END, review.review_id);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_fitting(workflow.review, text, boolean, jsonb) IS
  'Inner: raises WF011, with every error, when an edited value, or what is approved, does not match the review''s schema';

-- ---------------------------------------------------------------- approvals

-- How many people have to decide so.
CREATE FUNCTION workflow._approvals(spec jsonb, decision text) RETURNS int LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(CASE jsonb_typeof(spec -> 'approvals')
                    WHEN 'number' THEN CASE decision WHEN 'approve' THEN (spec ->> 'approvals')::numeric END
                    WHEN 'object' THEN (spec -> 'approvals' ->> decision)::numeric END, 1)::int
$$;
COMMENT ON FUNCTION workflow._approvals(jsonb, text) IS
  'Inner: how many people have to decide so before the item moves';

-- The proposal has changed: people are asked about that. Who has seen the old one
-- finds it closed.
CREATE FUNCTION workflow._ask_anew(old workflow.review, patch jsonb) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  asked bigint;
BEGIN
  INSERT INTO workflow.review (item_id, seq, job_id, queue, state, spec, shown, proposed, previous, opened_at, due_at, step,
                               current, priority, warn_at, next_step_at, edited, paused_at, paused_by, pause_reason, paused_for,
                               assignee, claimed_at, claim_until)
  VALUES (old.item_id, old.seq, old.job_id, old.queue, old.state, old.spec, old.shown, old.proposed, old.previous,
          old.opened_at, old.due_at, old.step, old.current, old.priority, old.warn_at, old.next_step_at,
          workflow._merged(old.edited, patch), old.paused_at, old.paused_by, old.pause_reason, old.paused_for,
          old.assignee, old.claimed_at, old.claim_until)
  RETURNING review_id INTO asked;
  UPDATE workflow.review AS r SET closed_at = workflow._now(), replaced_by = asked WHERE r.review_id = old.review_id;
  INSERT INTO workflow.uncounted_pause (review_id, began_at)
  SELECT asked, u.began_at FROM workflow.uncounted_pause AS u WHERE u.review_id = old.review_id;
  RETURN asked;
END
$$;
COMMENT ON FUNCTION workflow._ask_anew(workflow.review, jsonb) IS
  'Inner: replaces a review by one about the proposal as it was changed';

CREATE FUNCTION workflow._render_review(spec jsonb, data jsonb, OUT shown jsonb, OUT proposed jsonb, OUT current jsonb)
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wf_inner_render_review';
COMMENT ON FUNCTION workflow._render_review(jsonb, jsonb) IS 'Inner: what a review of some data shows, proposes and would replace';

-- The data of an item have been changed beside its review: what was seen is not what
-- would be decided. Nothing is asked anew where people would see the same.
CREATE FUNCTION workflow._review_patched(item bigint, data jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  asked workflow.review;
  now record;
BEGIN
  SELECT r.* INTO asked FROM workflow.review AS r WHERE r.item_id = item AND r.closed_at IS NULL FOR UPDATE;
  IF asked.review_id IS NULL THEN
    RETURN;
  END IF;
  SELECT * INTO now FROM workflow._render_review(asked.spec, data);
  IF (now.shown, now.proposed, now.current) IS DISTINCT FROM (asked.shown, asked.proposed, asked.current) THEN
    asked.shown := now.shown;
    asked.proposed := now.proposed;
    asked.current := now.current;
    PERFORM workflow._ask_anew(asked, NULL);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._review_patched(bigint, jsonb) IS
  'Inner: replaces the open review of an item whose data have changed by one about them as they are now';

-- A decision that needs more people than have decided so. It is given back, so
-- that others find it, unless it was handed to a group or a label.
CREATE FUNCTION workflow._keep_vote(caller text, review workflow.review, decision text, reason text, patch jsonb, votes int)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id bigint := CASE WHEN patch IS NULL THEN review.review_id ELSE workflow._ask_anew(review, patch) END;
BEGIN
  INSERT INTO workflow.review_vote (review_id, voter, decision, reason, patch, voted_at)
  VALUES (id, caller, decision, reason, patch, workflow._now());
  UPDATE workflow.review AS r SET assignee = NULL, claimed_at = NULL, claim_until = NULL
  WHERE r.review_id = id AND (r.assignee = caller OR r.claim_until IS NOT NULL);
  PERFORM workflow._note(caller, 'vote', review.item_id, 'review:' || id, reason,
    workflow._with_patch(jsonb_build_object('decision', decision, 'votes', votes, 'needed', workflow._approvals(review.spec, decision),
                                            'replaces', nullif(review.review_id, id)), patch));
END
$$;
COMMENT ON FUNCTION workflow._keep_vote(text, workflow.review, text, text, jsonb, int) IS
  'Inner: one of several people who have to decide so has';

-- ------------------------------------------------------------------- decide

-- The decision that moves the item.
CREATE FUNCTION workflow._conclude(caller text, review workflow.review, decision text, reason text, patch jsonb, data jsonb)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  voters jsonb;
BEGIN
  IF review.paused_at IS NOT NULL THEN
    PERFORM workflow._end_review_pause(caller, review, 'decided');
  END IF;
  IF review.spec ? 'approvals' THEN
    INSERT INTO workflow.review_vote (review_id, voter, decision, reason, patch, voted_at)
    VALUES (review.review_id, caller, decision, reason, patch, workflow._now());
    SELECT jsonb_agg(v.voter ORDER BY v.voted_at, v.voter = caller, v.voter) INTO voters
    FROM workflow.review_vote AS v WHERE v.review_id = review.review_id AND v.decision = _conclude.decision;
  END IF;
  patch := workflow._merged(review.edited, patch);
  UPDATE workflow.review AS r
  SET decided_at = workflow._now(), decided_by = caller, decision = _conclude.decision,
      reason = _conclude.reason, patch = _conclude.patch
  WHERE r.review_id = review.review_id;
  PERFORM workflow._move_with_result(
    review.item_id, decision, 'review', caller, reason,
    workflow._with_patch(jsonb_build_object('review_id', review.review_id, 'decision', decision, 'decided_by', caller,
                                            'reason', reason, 'voters', voters), patch),
    data);
END
$$;
COMMENT ON FUNCTION workflow._conclude(text, workflow.review, text, text, jsonb, jsonb) IS
  'Inner: stores a decision and moves the item by it';

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
  proposed jsonb;
  changed jsonb;
  votes int;
BEGIN
  SELECT * INTO locked FROM workflow._lock_review(id);
  review := locked.open_review;
  item := locked.item;
  IF expected_seq <> item.seq THEN
    RAISE EXCEPTION 'item % has moved on: expected seq %, found %', item.item_id, expected_seq, item.seq
      USING ERRCODE = 'WF002',
            DETAIL = format('Review %s asks about visit %s of state "%s".', id, item.seq, item.state),
            HINT = 'Read the review again and decide anew.';
  END IF;
  PERFORM workflow._require_running(item.item_id);
  PERFORM workflow._require_permitted(caller, review, decision, reason);
  proposed := workflow._patched(item.data, review.spec ->> 'editable', review.edited);
  changed := workflow._patched(proposed, review.spec ->> 'editable', patch);
  PERFORM workflow._require_fitting(review, decision, patch IS NOT NULL, changed);

  SELECT count(*) + 1 INTO votes FROM workflow.review_vote AS v    -- who has seen another proposal did not approve this one
  WHERE v.review_id = id AND v.decision = _decide.decision AND changed = proposed;
  IF votes < workflow._approvals(review.spec, decision) THEN
    PERFORM workflow._keep_vote(caller, review, decision, reason, CASE WHEN changed <> proposed THEN patch END, votes);
  ELSE
    PERFORM workflow._conclude(caller, review, decision, reason, patch, changed);
  END IF;
  SELECT i.seq, i.state INTO seq, state FROM workflow.item AS i WHERE i.item_id = item.item_id;
END
$$;
COMMENT ON FUNCTION workflow._decide(text, bigint, text, text, jsonb, int) IS 'Inner: workflow.decide()';

CREATE FUNCTION workflow.decide(
  id bigint, decision text, reason text DEFAULT NULL, patch jsonb DEFAULT NULL,
  expected_seq int DEFAULT NULL, OUT seq int, OUT state text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.decide(bigint, text, text, jsonb, int) IS
  'Decides an open review; patch is merged over the editable value; returns where the item is then: it stays while others have to approve, too';

-- In the order of the items, so that two that overlap do not wait for each other.
CREATE FUNCTION workflow._decide_many(caller text, ids bigint[], decision text, reason text) RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id bigint;
BEGIN
  FOR id IN
    SELECT given FROM unnest(ids) AS given LEFT JOIN workflow.review AS r ON r.review_id = given
    ORDER BY r.item_id, given
  LOOP
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
