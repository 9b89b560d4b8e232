--
-- review_inbox: what a person needs to decide, what was decided, and which reviews
-- somebody has to be told of.
--

-- What a proposal changes of a value: {"a.b": {"from": 1, "to": 2}}. It is merged
-- over the value, so what it does not name stays.
CREATE FUNCTION workflow._changes(value jsonb, proposed jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH RECURSIVE pair (path, value, proposed) AS (
    SELECT ARRAY[]::text[], _changes.value, _changes.proposed WHERE _changes.proposed IS NOT NULL
    UNION ALL
    SELECT p.path || m.key, p.value -> m.key, m.value
    FROM pair AS p, LATERAL jsonb_each(p.proposed) AS m
    WHERE jsonb_typeof(p.value) = 'object' AND jsonb_typeof(p.proposed) = 'object'
  )
  SELECT coalesce(jsonb_object_agg(CASE WHEN p.path = '{}' THEN '$' ELSE array_to_string(p.path, '.') END,
                                   jsonb_build_object('from', p.value, 'to', p.proposed)), '{}')
  FROM pair AS p
  WHERE (jsonb_typeof(p.value) = 'object' AND jsonb_typeof(p.proposed) = 'object') IS NOT TRUE
    AND p.value IS DISTINCT FROM p.proposed
$$;
COMMENT ON FUNCTION workflow._changes(jsonb, jsonb) IS
  'Inner: what a proposal changes of a value, each member by its path';

-- As _now(), for conditions that an index answers and columns that nobody asks for.
CREATE FUNCTION workflow._read_at() RETURNS timestamptz
LANGUAGE C STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'wf_sql_now';
COMMENT ON FUNCTION workflow._read_at() IS 'Inner: the time at which a view is read';

-- Open reviews in their order, by an index: what each shows is worked out for those
-- that are read only.
CREATE VIEW workflow._open_review WITH (security_barrier) AS
SELECT r.*, i.workflow, i.key, i.submitted_by, i.submitted_oid, i.seq AS item_seq,
       i.paused_at AS item_paused_at, i.paused_by AS item_paused_by, i.pause_reason AS item_pause_reason,
       f.paused_at AS workflow_paused_at, f.paused_by AS workflow_paused_by, f.pause_reason AS workflow_pause_reason,
       q.owner AS queue_owner, q.escalate_to,
       q.paused_at AS queue_paused_at, q.paused_by AS queue_paused_by, q.pause_reason AS queue_pause_reason,
       u.began_at AS uncounted_since
FROM workflow.review AS r
JOIN workflow.item AS i ON i.item_id = r.item_id
JOIN workflow.workflow AS f ON f.workflow = i.workflow
LEFT JOIN workflow.queue AS q ON q.queue = r.queue
LEFT JOIN workflow.uncounted_pause AS u ON u.review_id = r.review_id
WHERE r.closed_at IS NULL AND r.decided_at IS NULL
ORDER BY r.due_at, r.review_id;
COMMENT ON VIEW workflow._open_review IS 'Inner: open reviews with what may stop their clocks, the first due first';

CREATE VIEW workflow.review_inbox AS
SELECT r.review_id AS id, r.item_id, r.workflow, r.key, r.state, r.queue,
       CASE WHEN r.step = 0 THEN r.queue_owner
            ELSE coalesce(r.escalate_to[least(r.step, cardinality(r.escalate_to))], r.queue_owner) END AS owner,
       r.shown, p.proposed, r.previous,
       ARRAY(SELECT jsonb_array_elements_text(r.spec -> 'decisions')) AS decisions,
       a.assignee, r.opened_at, r.due_at,
       r.due_at <= coalesce(c.stands_since, workflow._read_at()) AS overdue,
       r.item_seq AS seq, r.current,
       CASE WHEN r.current IS NOT NULL THEN workflow._changes(r.current, p.proposed) END AS changes,
       (SELECT to_jsonb(g) - 'item_id' - 'seq' FROM workflow.gate_decision AS g
        WHERE g.item_id = r.item_id AND g.seq < r.seq ORDER BY g.seq DESC LIMIT 1) AS gate,
       (SELECT jsonb_agg(workflow._with_patch(jsonb_build_object('by', v.voter, 'decision', v.decision, 'reason', v.reason,
                                                                 'at', v.voted_at), v.patch) ORDER BY v.voted_at, v.voter)
        FROM workflow.review_vote AS v WHERE v.review_id = r.review_id) AS votes,
       CASE jsonb_typeof(r.spec -> 'approvals') WHEN 'number' THEN jsonb_build_object('approve', r.spec -> 'approvals')
                                                ELSE r.spec -> 'approvals' END AS approvals,
       (SELECT jsonb_agg(workflow._with_patch(jsonb_build_object(
                 'id', d.review_id, 'state', d.state, 'decision', d.decision, 'by', d.decided_by, 'reason', d.reason,
                 'at', d.decided_at), d.patch) ORDER BY d.review_id)
        FROM workflow.review AS d WHERE d.item_id = r.item_id AND d.decided_at IS NOT NULL) AS earlier,
       NOT w.is_paused AND CASE WHEN w.has_asked OR NOT w.acts THEN false ELSE NOT w.lacks_eyes AND NOT w.has_voted END AS may_decide,
       CASE WHEN w.is_paused THEN 'It is paused.'
            ELSE workflow._why_not(a.assignee, w.acts, w.has_asked OR w.lacks_eyes, w.has_voted) END AS why_not,
       r.spec ->> 'instructions' AS instructions, r.spec -> 'reasons' AS reasons,
       ARRAY(SELECT jsonb_array_elements_text(r.spec -> 'reason_required')) AS reason_required,
       r.spec ->> 'editable' AS editable, r.spec -> 'schema' AS schema,
       r.priority, r.warn_at, r.step, r.next_step_at,
       CASE WHEN a.assignee IS NOT NULL THEN r.claimed_at END AS claimed_at,
       CASE WHEN a.assignee IS NOT NULL THEN r.claim_until END AS claim_until,
       c.stands_since,
       CASE WHEN c.stands_since IS NULL THEN NULL
            WHEN r.paused_at IS NOT NULL THEN format('review paused by %s: %s', r.paused_by, r.pause_reason)
            WHEN r.item_paused_at IS NOT NULL THEN format('item paused by %s: %s', r.item_paused_by, coalesce(r.item_pause_reason, 'no reason given'))
            WHEN r.workflow_paused_at IS NOT NULL THEN format('workflow paused by %s: %s', r.workflow_paused_by, coalesce(r.workflow_pause_reason, 'no reason given'))
            WHEN r.queue_paused_at IS NULL THEN 'a pause has ended, a worker has yet to count it'
            ELSE format('queue paused by %s: %s', r.queue_paused_by, coalesce(r.queue_pause_reason, 'no reason given')) END AS stands_because,
       CASE WHEN r.spec ? 'schema' THEN (SELECT jsonb_agg(jsonb_build_object('path', e.path, 'message', e.message))
                                         FROM workflow.schema_errors(r.spec -> 'schema', p.proposed) AS e) END AS problems,
       (SELECT count(*) FROM workflow.journal AS j
        WHERE j.item_id = r.item_id AND j.action = 'release review' AND j.subject = 'review:' || r.review_id) AS given_back
FROM workflow._open_review AS r,
LATERAL (SELECT CASE WHEN num_nonnulls(r.paused_at, r.item_paused_at, r.workflow_paused_at, r.queue_paused_at, r.uncounted_since) > 0
                     THEN greatest(r.opened_at, least(r.paused_at, r.item_paused_at, r.workflow_paused_at, r.queue_paused_at, r.uncounted_since)) END AS stands_since) AS c,
LATERAL (SELECT CASE WHEN r.claim_until IS NULL OR r.claim_until > coalesce(c.stands_since, workflow._read_at()) THEN r.assignee END AS assignee) AS a,
LATERAL (SELECT CASE WHEN r.edited IS NULL THEN r.proposed ELSE workflow._merged(r.proposed, r.edited) END AS proposed) AS p,
LATERAL (SELECT
  r.item_paused_at IS NOT NULL OR r.workflow_paused_at IS NOT NULL AS is_paused,
  a.assignee IS NULL OR a.assignee IN (SELECT o.rolname::text FROM pg_roles AS o WHERE pg_has_role(o.oid, 'MEMBER'))
    OR a.assignee NOT IN (SELECT o.rolname::text FROM pg_roles AS o) AS acts,
  coalesce(r.submitted_oid = m.role, r.submitted_by = current_user) AND coalesce((r.spec -> 'four_eyes')::boolean, false) AS has_asked,
  coalesce((r.spec -> 'four_eyes')::boolean, false) AND (
    (SELECT count(*) > 0 FROM workflow.item_author AS d WHERE d.item_id = r.item_id AND coalesce(d.author_oid = m.role, d.author = current_user))
    OR (SELECT count(*) > 0 FROM workflow.review AS d WHERE d.item_id = r.item_id AND coalesce(d.decided_oid = m.role, d.decided_by = current_user))
    OR (SELECT count(*) > 0 FROM workflow.review AS d JOIN workflow.review_vote AS v USING (review_id)
        WHERE d.item_id = r.item_id AND d.review_id <> r.review_id AND d.replaced_by IS NULL
          AND coalesce(v.voter_oid = m.role, v.voter = current_user))) AS lacks_eyes,
  r.spec ? 'approvals'
    AND (SELECT count(*) > 0 FROM workflow.review_vote AS v
         WHERE v.review_id = r.review_id AND coalesce(v.voter_oid = m.role, v.voter = current_user)) AS has_voted
  FROM (SELECT (SELECT to_regrole(quote_ident(current_user))::oid) AS role) AS m) AS w;
COMMENT ON VIEW workflow.review_inbox IS
  'Open reviews, the first due first: what is asked, what was shown, why, whose it is and until when, and whether the reader may decide';
COMMENT ON COLUMN workflow.review_inbox.owner IS 'Owner of the queue, or who it has been escalated to';
COMMENT ON COLUMN workflow.review_inbox.proposed IS 'The editable value, with what an approver has changed';
COMMENT ON COLUMN workflow.review_inbox.previous IS 'The last decision on the item before this review';
COMMENT ON COLUMN workflow.review_inbox.seq IS 'What to give decide() as expected_seq';
COMMENT ON COLUMN workflow.review_inbox.current IS 'The value that the proposal would replace';
COMMENT ON COLUMN workflow.review_inbox.changes IS 'What the proposal would change of it, each member by its path';
COMMENT ON COLUMN workflow.review_inbox.gate IS 'The last gate before: value, tier, thresholds, and what else it recorded';
COMMENT ON COLUMN workflow.review_inbox.votes IS 'Who has decided in this review, which needs others';
COMMENT ON COLUMN workflow.review_inbox.approvals IS 'How many people have to decide so, where it is more than one';
COMMENT ON COLUMN workflow.review_inbox.earlier IS 'Reviews of the item that were decided before';
COMMENT ON COLUMN workflow.review_inbox.may_decide IS 'Whether the role that reads may decide it';
COMMENT ON COLUMN workflow.review_inbox.problems IS 'Why the proposal does not match the review''s schema; null: it does, or there is none';
COMMENT ON COLUMN workflow.review_inbox.given_back IS 'How often somebody has released it';
COMMENT ON COLUMN workflow.review_inbox.stands_since IS 'Since when its clock stands; null: it runs';

-- ------------------------------------------------------------------ history

CREATE VIEW workflow.reviews AS
SELECT r.review_id AS id, r.item_id, i.workflow, i.version, i.key, r.seq, r.state, r.queue,
       CASE WHEN r.decided_at IS NOT NULL THEN 'decided' WHEN r.closed_at IS NULL THEN 'open'
            WHEN r.replaced_by IS NOT NULL THEN 'replaced' ELSE 'left' END AS status,
       r.decision, r.decided_by, r.reason,
       CASE WHEN r.spec -> 'reasons' -> r.decision IS NOT NULL THEN workflow._reason_code(r.reason) END AS reason_code,
       r.patch, r.shown, r.proposed, r.current,
       (SELECT jsonb_agg(workflow._with_patch(jsonb_build_object('by', v.voter, 'decision', v.decision, 'reason', v.reason,
                                                                 'at', v.voted_at), v.patch) ORDER BY v.voted_at, v.voter)
        FROM workflow.review_vote AS v WHERE v.review_id = r.review_id) AS votes,
       r.replaced_by, r.step, r.opened_at, r.claimed_at, r.due_at, r.decided_at, r.closed_at,
       r.paused_for,
       r.closed_at - r.opened_at - r.paused_for AS lead_time,
       r.decided_at - r.claimed_at AS handling_time,
       r.closed_at >= r.due_at AS was_overdue
FROM workflow.review AS r
JOIN workflow.item AS i ON i.item_id = r.item_id;
COMMENT ON VIEW workflow.reviews IS
  'All reviews, open and past: how each ended, who decided what and why, and how long it took';
COMMENT ON COLUMN workflow.reviews.status IS 'open; decided; replaced (an approver, or a patch of the item''s data, changed the proposal: see replaced_by); left (the item left the state otherwise)';
COMMENT ON COLUMN workflow.reviews.lead_time IS 'From opened to closed, without the time that its clock stood';
COMMENT ON COLUMN workflow.reviews.handling_time IS 'From the claim to the decision; null where nobody claimed it';

-- ------------------------------------------------------------------- alerts

-- What stands is left out first, so that it hides nothing that does not.  Not by joins, nor by what
-- would seem to leave out nearly all: the first due are read by an index.
CREATE VIEW workflow._ticking_review AS
SELECT r.* FROM workflow.review AS r
WHERE r.closed_at IS NULL AND r.paused_at IS NULL
  AND r.review_id NOT IN (SELECT u.review_id FROM workflow.uncounted_pause AS u)
  AND r.queue NOT IN (SELECT q.queue FROM workflow.queue AS q WHERE q.paused_at IS NOT NULL)
  AND (SELECT coalesce(i.paused_at, f.paused_at) IS NULL
       FROM workflow.item AS i JOIN workflow.workflow AS f ON f.workflow = i.workflow WHERE i.item_id = r.item_id);
COMMENT ON VIEW workflow._ticking_review IS 'Inner: open reviews whose clocks run';

-- Of many, the first due: what is over the limit shows as soon as others are decided.
CREATE FUNCTION workflow._conditions_of_review()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH found AS (
    (SELECT r.*, true AS is_late FROM workflow._ticking_review AS r
     WHERE r.due_at <= workflow._read_at() ORDER BY r.due_at, r.review_id LIMIT 200)
    UNION ALL
    (SELECT r.*, false FROM workflow._ticking_review AS r
     WHERE r.due_at > workflow._read_at() ORDER BY r.due_at, r.review_id LIMIT 200)
  )
  SELECT CASE WHEN r.step > 0 THEN 'review_escalated' WHEN r.is_late THEN 'review_overdue' ELSE 'review_warning' END,
         'review:' || r.review_id, 'ticket',
         CASE WHEN r.step = 0 THEN q.owner ELSE coalesce(q.escalate_to[least(r.step, cardinality(q.escalate_to))], q.owner) END,
         format('review %s of %s:%s in queue %s, due at %s%s', r.review_id, i.workflow, i.key, r.queue, r.due_at,
                CASE WHEN r.step > 0 THEN format(', escalated to step %s of %s', r.step, cardinality(q.escalate_to)) ELSE '' END),
         format('SELECT * FROM workflow.review_inbox WHERE id = %s;', r.review_id)
  FROM found AS r JOIN workflow.item AS i USING (item_id) JOIN workflow.queue AS q USING (queue)
  WHERE r.is_late OR r.warn_at <= workflow._read_at() OR r.step > 0
$$;
COMMENT ON FUNCTION workflow._conditions_of_review() IS
  'Inner: reviews that are soon or over due, and who is to be told';

-- When the next of them may begin by time alone, of those that are due next.
CREATE FUNCTION workflow._next_condition_of_review() RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT least(min(r.due_at), min(r.warn_at) FILTER (WHERE r.warn_at > workflow._read_at()))
  FROM (SELECT o.due_at, o.warn_at FROM workflow.review AS o
        WHERE o.closed_at IS NULL AND o.due_at > workflow._read_at() ORDER BY o.due_at, o.review_id LIMIT 200) AS r
$$;
COMMENT ON FUNCTION workflow._next_condition_of_review() IS
  'Inner: when a review will next be nearly due, or overdue; null: none is open that will be';
