--
-- What the inbox tells of a review: the change beside the value before, why the
-- gate sent it, what was decided before, what may be decided and by whom; and
-- what becomes of an edit.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET pg_workflow.clock = '2030-01-01 00:00';
CREATE ROLE regress_ann;
SELECT workflow.grant_role('regress_ann', 'reviewer');
SELECT workflow.define('{
  "workflow": "crm", "owner": "me", "initial": "GATE",
  "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead"]}},
  "states": {
    "GATE": {"gate": {"value": "$.confidence", "tiers": [{"at_least": 0.9, "event": "auto"}, {"otherwise": "people"}]},
             "on": {"auto": "END", "people": "ASK"}},
    "ASK": {"review": {"queue": "desk", "decisions": ["approve", "reject", "again"], "show": ["$.source"],
                       "editable": "$.fields.proposed", "current": "$.account", "on_overdue": "escalate",
                       "schema": {"required": ["industry"], "properties": {"industry": {"enum": ["steel", "mines"]}}},
                       "instructions": "Compare with the company''s own website.",
                       "reasons": {"reject": ["wrong_company", "no_evidence"]}, "reason_required": ["again"]},
            "on": {"approve": "END", "reject": "END", "again": "ASK"}},
    "END": {"final": "done"}}}');
SELECT count(workflow.submit('crm', '{"confidence": 0.7, "source": "web", "account": {"industry": "wood", "size": {"staff": 5, "plants": 1}, "name": "A"},
  "fields": {"proposed": {"industry": "steel", "size": {"staff": 9, "plants": 1}, "url": "a.example"}}}', key => 'a'));
SELECT count(workflow.submit('crm', '{"source": "fax", "account": 7}', key => 'b'));

-- all of it, as a person reads it
SET ROLE regress_ann;
\x on
SELECT * FROM workflow.review_inbox;
\x off
-- what the proposal does not name stays; a value that is no object is one change
RESET ROLE;
SELECT value, proposed, workflow._changes(value, proposed) FROM (VALUES
  ('{"a": 1, "b": null}'::jsonb, '{"a": 1, "b": null}'::jsonb), ('{"a": 1}', '{"a": null}'), ('{"a": 1}', '{"b": 1}'), ('[1]', '[2]'), ('{"a": {"b": 1}}', '{"a": 2}'),
  ('{"a": {}}', '{"a": {"b": {"c": 1}}}'), (NULL, '{"a": 1}'), ('{"a": 1}', NULL), (NULL, NULL)) AS v (value, proposed);

-- the first fifty are read by an index, in order, whoever reads and whichever queue
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
    RETURN QUERY SELECT (regexp_match(line, '(Sort$|Index Scan using review_\w*due|Seq Scan on review )'))[1] WHERE line ~ 'Sort$|review_\w*due|Seq Scan on review ';
  END LOOP;
END $$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SELECT * FROM plan('SELECT id, changes FROM workflow.review_inbox LIMIT 50');
SELECT * FROM plan('SELECT id, changes FROM workflow.review_inbox WHERE may_decide ORDER BY due_at LIMIT 50');
SELECT * FROM plan('SELECT id, changes FROM workflow.review_inbox WHERE queue = ''desk'' AND may_decide ORDER BY due_at, id LIMIT 50');
SELECT * FROM plan('SELECT * FROM workflow._ticking_review WHERE due_at > now() ORDER BY due_at, review_id LIMIT 200');
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_sort;

-- an edit is judged as it would be stored; objects on the way to it are made
SET ROLE regress_ann;
SELECT workflow.decide(1, 'approve', patch => '{"industry": "shops", "size": {}}');
SELECT workflow.decide(2, 'approve', patch => '{"url": "b.example"}');
SELECT state FROM workflow.decide(2, 'approve', patch => '{"industry": "mines"}');
SELECT state FROM workflow.decide(1, 'again', 'which plant?');
SELECT id, earlier, previous, gate ->> 'tier' AS tier FROM workflow.review_inbox;
-- a decision without a patch is not judged: it changes nothing
SELECT state FROM workflow.decide(3, 'approve');
RESET ROLE;
SELECT key, data -> 'fields' AS fields FROM workflow.items ORDER BY key;
-- nothing of a patch is lost, nor put where it cannot be
SELECT workflow._patched('{"a": 1}', '$.b.c', '{"d": 2}'), workflow._patched('{"b": {"x": 1}}', '$.b.c', '2');
SELECT workflow._patched('{"b": 7}', '$.b.c', '2');
SELECT workflow._patched('{"b": 7}', '$', '[2]');

-- the history
\x on
SELECT id, key, status, decision, decided_by, reason, reason_code, patch, step, lead_time, was_overdue FROM workflow.reviews ORDER BY id;
\x off
-- a proposal that the schema does not allow says why; who gives it back leaves a trace
SELECT count(workflow.submit('crm', '{"confidence": 0.5, "source": "web", "fields": {"proposed": {"industry": "shops"}}}', key => 'c'));
SET ROLE regress_ann;
SELECT problems, given_back FROM workflow.review_inbox WHERE key = 'c';
SELECT workflow.claim_review('desk') AS c \gset
SELECT workflow.release_review(:c);
-- what nobody has is given back by nobody
SELECT workflow.release_review(:c);
SELECT problems, given_back FROM workflow.review_inbox WHERE key = 'c';
-- nor is it approved as it is, by one or by many: it is mended, or something else is decided
SELECT workflow.decide(:c, 'approve');
SELECT workflow.decide_many(ARRAY[:c], 'approve');
SELECT workflow.decide(:c, 'approve', patch => '{"industry": "shoes"}');
SELECT status, decision FROM workflow.reviews WHERE id = :c;
BEGIN;
SELECT state FROM workflow.decide(:c, 'reject', 'no_evidence');
ROLLBACK;
SELECT state FROM workflow.decide(:c, 'approve', patch => '{"industry": "mines"}');
RESET ROLE;
-- that somebody has mended it counts for who approves after him; what is approved by time is not approved either, but escalated
SELECT FROM workflow.define('{
  "workflow": "late", "owner": "me", "initial": "ASK",
  "states": {
    "ASK": {"review": {"queue": "desk", "decisions": ["approve"], "editable": "$.sum", "schema": {"maximum": 9}, "approvals": 2, "on_overdue": "approve"},
            "on": {"approve": "END"}},
    "END": {"final": "done"}}}');
SELECT count(workflow.submit('late', jsonb_build_object('sum', n), key => n::text)) FROM generate_series(9, 11) AS n;
SELECT workflow.decide(id, 'approve') FROM workflow.review_inbox WHERE key = '10';
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'approve', patch => '8') AS d WHERE key = '10';
SET ROLE regress_ann;
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'approve') AS d WHERE key = '10';
RESET ROLE;
SET pg_workflow.clock = '2030-01-01 04:00';
CALL workflow.run();
SELECT i.key, i.state, r.status, r.decision, r.patch, r.step FROM workflow.items AS i JOIN workflow.reviews AS r USING (item_id) WHERE i.workflow = 'late' ORDER BY r.id;
DROP OWNED BY regress_ann;
DROP ROLE regress_ann;
