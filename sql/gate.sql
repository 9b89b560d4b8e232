--
-- gate: what people say of the decisions of gates, and the figures of both.
--
-- Each decision is counted once, in the cell that it belongs to: of its gate,
-- model version, day, decile, tier, and what a review said of it.  What changes
-- is a row of gate_change: so items that are decided at the same time do not wait
-- for each other.  A worker adds these up in gate_tally; readers add both.
--

-- ------------------------------------------------------------------- deciles

-- Tenths up to 1; beyond that one significant digit (0.93: 0.9, 47: 40, 1234: 1000).
CREATE FUNCTION workflow._gate_bucket(value numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  size numeric := least(abs(value), 1e15);
BEGIN
  RETURN trim_scale(sign(value) * CASE WHEN size <= 1 THEN least(trunc(size, 1), 0.9)
                                       ELSE trunc(size, 1 - length(trunc(size)::text)) END);
END
$$;
COMMENT ON FUNCTION workflow._gate_bucket(numeric) IS
  'Inner: the decile of a gate''s value, by its end that is nearer to 0';

CREATE FUNCTION workflow._gate_bucket_end(bucket numeric) RETURNS numeric LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT trim_scale(bucket + CASE WHEN bucket < 0 THEN -1 ELSE 1 END
                             * CASE WHEN abs(bucket) < 1 THEN 0.1
                                    ELSE ('1e' || length(trunc(abs(bucket))::text) - 1)::numeric END)
$$;
COMMENT ON FUNCTION workflow._gate_bucket_end(numeric) IS 'Inner: the other end of a decile';

-- ------------------------------------------------------------------- counted

-- Adds a decision to the cell that it belongs to (1), or takes it from there (-1).  What a gate decides is
-- first counted where it is stored, in src/item/gate.c.
CREATE FUNCTION workflow._count_gate(decided workflow.gate_decision, judged workflow.gate_verdict, step int) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO workflow.gate_change (workflow, version, state, model_version, day, bucket, tier, diverted, shadow_tier,
                                    decision, reason_code, verdict, edited, decided, total)
  SELECT i.workflow, decided.version, decided.state, decided.model_version,
         (decided.decided_at AT TIME ZONE 'UTC')::date, workflow._gate_bucket(decided.value), decided.tier,
         decided.diverted, decided.shadow_tier, judged.decision, judged.reason_code, judged.verdict, judged.edited,
         step, step * coalesce(decided.value, 0)
  FROM workflow.item AS i WHERE i.item_id = decided.item_id;
END
$$;
COMMENT ON FUNCTION workflow._count_gate(workflow.gate_decision, workflow.gate_verdict, int) IS
  'Inner: counts a gate''s decision with what was said of it, or takes it back';

-- A gate has decided on an item again, after a replay or in a loop: the last time counts.
CREATE FUNCTION workflow._uncount_gate(item bigint, seq int) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  former workflow.gate_decision;
  judged workflow.gate_verdict;
BEGIN
  SELECT g.* INTO former FROM workflow.gate_decision AS g WHERE g.item_id = item AND g.seq = _uncount_gate.seq;
  SELECT v.* INTO judged FROM workflow.gate_verdict AS v WHERE v.item_id = item AND v.seq = _uncount_gate.seq;
  PERFORM workflow._count_gate(former, judged, -1);
END
$$;
COMMENT ON FUNCTION workflow._uncount_gate(bigint, int) IS
  'Inner: counts a decision of a gate no longer';

CREATE FUNCTION workflow._gate_counted() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_gate_counted';
COMMENT ON FUNCTION workflow._gate_counted() IS
  'Inner: at commit, wakes the maintenance worker, unless it looks before this is to be added up';

CREATE TRIGGER counted AFTER INSERT ON workflow.gate_change
  FOR EACH STATEMENT EXECUTE FUNCTION workflow._gate_counted();
COMMENT ON TRIGGER counted ON workflow.gate_change IS 'Nobody looks for decisions to add up where none was counted';

CREATE FUNCTION workflow._add_up_gates(until timestamptz, most int) RETURNS bigint
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_add_up_gates';
COMMENT ON FUNCTION workflow._add_up_gates(timestamptz, int) IS
  'Inner: adds up what was counted before a time, at most so many; and days of more than two months before it';

-- ------------------------------------------------------------------- verdicts

-- What a decision of a review says of a tier.  Without "agrees" that is "approve"; without
-- "overrules" everything else, save "escalate".  Where the review has no decision that agrees
-- nothing can be said.
CREATE FUNCTION workflow._gate_verdict(tiers jsonb, tier text, decision text, decisions jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN t.agrees ? decision THEN 'agreed'
              WHEN t.overrules ? decision THEN 'overruled'
              WHEN t.overrules IS NULL AND decision <> 'escalate'
                   AND EXISTS (SELECT FROM jsonb_array_elements_text(t.agrees) AS a (name) WHERE decisions ? a.name) THEN 'overruled'
              ELSE 'undecided' END
  FROM (SELECT coalesce(e.value -> 'agrees', '["approve"]') AS agrees, e.value -> 'overrules' AS overrules
        FROM jsonb_array_elements(tiers) WITH ORDINALITY AS e (value, place)
        WHERE tier IN (e.value ->> 'event', e.value ->> 'otherwise') ORDER BY e.place LIMIT 1) AS t
$$;
COMMENT ON FUNCTION workflow._gate_verdict(jsonb, text, text, jsonb) IS
  'Inner: whether a decision of a review agrees with a tier of a gate or overrules it';

-- Whether a patch changes what was proposed.
CREATE FUNCTION workflow._is_edit(proposed jsonb, patch jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT patch IS NOT NULL
    AND CASE WHEN jsonb_typeof(proposed) = 'object' AND jsonb_typeof(patch) = 'object'
             THEN proposed || patch ELSE patch END IS DISTINCT FROM proposed
$$;
COMMENT ON FUNCTION workflow._is_edit(jsonb, jsonb) IS 'Inner: whether a reviewer''s patch changes what was proposed';

-- The code of a reason, where the review has codes for the decision: all of it, or what stands before a colon.
CREATE FUNCTION workflow._gate_reason_code(spec jsonb, decision text, reason text) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN spec -> 'reasons' ? decision THEN btrim(split_part(reason, ':', 1)) END $$;
COMMENT ON FUNCTION workflow._gate_reason_code(jsonb, text, text) IS 'Inner: the reason code of a decision; null where it has none';

-- A review has been decided, however: it speaks of the last gate that its item has passed.  What a rewind has undone,
-- the gate or what an earlier review said of it, is as if it had not been.
CREATE FUNCTION workflow._judge_gate() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  decided workflow.gate_decision;
  earlier workflow.gate_verdict;
  judged  workflow.gate_verdict;
BEGIN
  SELECT g.* INTO decided FROM workflow.gate_decision AS g
  WHERE g.item_id = NEW.item_id AND g.seq < NEW.seq AND NOT workflow._is_undone(g.item_id, g.seq, NEW.seq)
  ORDER BY g.seq DESC LIMIT 1;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  SELECT v.* INTO earlier FROM workflow.gate_verdict AS v WHERE v.item_id = decided.item_id AND v.seq = decided.seq;
  IF earlier.verdict <> 'undecided' AND NOT workflow._is_undone(
       NEW.item_id, (SELECT r.seq FROM workflow.review AS r WHERE r.review_id = earlier.review_id), NEW.seq) THEN
    RETURN NULL;
  END IF;
  judged := (decided.item_id, decided.seq, NEW.review_id, NEW.decision, workflow._gate_reason_code(NEW.spec, NEW.decision, NEW.reason),
             coalesce(workflow._gate_verdict(decided.tiers, decided.tier, NEW.decision, NEW.spec -> 'decisions'), 'undecided'),
             workflow._is_edit(NEW.proposed, NEW.patch), NEW.decided_by, NEW.decided_at);
  INSERT INTO workflow.gate_verdict AS v SELECT judged.*
  ON CONFLICT (item_id, seq) DO UPDATE
    SET review_id = excluded.review_id, decision = excluded.decision, reason_code = excluded.reason_code,
        verdict = excluded.verdict, edited = excluded.edited, decided_by = excluded.decided_by, decided_at = excluded.decided_at;
  PERFORM workflow._count_gate(decided, earlier, -1), workflow._count_gate(decided, judged, 1);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._judge_gate() IS
  'Inner: stores and counts what a decided review says of the gate before it';

CREATE TRIGGER judge_gate AFTER UPDATE OF decided_at ON workflow.review FOR EACH ROW
  WHEN (old.decided_at IS NULL AND new.decided_at IS NOT NULL)
  EXECUTE FUNCTION workflow._judge_gate();
COMMENT ON TRIGGER judge_gate ON workflow.review IS 'A decided review agrees with the gate before it, or overrules it';

-- ---------------------------------------------------------------------- views

CREATE VIEW workflow.gate_decisions WITH (security_barrier) AS
SELECT g.item_id, i.workflow, g.version, i.key, g.state, g.seq, g.model_version,
       g.value, g.tier, g.event, g.diverted, g.problem,
       g.shadow_value, g.shadow_tier, g.shadow_problem,
       v.verdict, v.decision, v.reason_code, v.edited, v.decided_by AS judged_by,
       g.decided_at, v.decided_at AS judged_at, g.tiers, g.shadow_tiers
FROM workflow.gate_decision AS g
JOIN workflow.item AS i ON i.item_id = g.item_id
LEFT JOIN workflow.gate_verdict AS v ON v.item_id = g.item_id AND v.seq = g.seq;
COMMENT ON VIEW workflow.gate_decisions IS
  'Decisions of gates, each with what was seen, chosen and raised, and what a person said of it';
COMMENT ON COLUMN workflow.gate_decisions.tier IS 'Tier that the value is in, by the event that it raises';
COMMENT ON COLUMN workflow.gate_decisions.event IS 'Event that was raised: the tier''s, unless diverted';
COMMENT ON COLUMN workflow.gate_decisions.diverted IS 'sample (one of the tier''s sample) or shadow (nobody acts on the gate yet)';
COMMENT ON COLUMN workflow.gate_decisions.shadow_tier IS 'What the gate''s shadow would have chosen';
COMMENT ON COLUMN workflow.gate_decisions.verdict IS 'agreed, overruled or undecided; null while nobody was asked, or has decided';

CREATE VIEW workflow._gate_count AS
SELECT t.workflow, t.version, t.state, t.model_version, t.day, t.bucket, t.tier, t.diverted, t.shadow_tier,
       t.decision, t.reason_code, t.verdict, t.edited, t.decided, t.total FROM workflow.gate_tally AS t
UNION ALL
SELECT n.workflow, n.version, n.state, n.model_version, n.day, n.bucket, n.tier, n.diverted, n.shadow_tier,
       n.decision, n.reason_code, n.verdict, n.edited, n.decided, n.total FROM workflow.gate_change AS n;
COMMENT ON VIEW workflow._gate_count IS 'Inner: decisions of gates that are added up, and those that are not yet';

CREATE VIEW workflow.gate_counts AS
SELECT c.workflow, c.version, c.state, c.model_version, c.day, c.bucket, c.tier, c.diverted, c.shadow_tier,
       c.decision, c.reason_code, c.verdict, c.edited,
       pg_catalog.sum(c.decided)::bigint AS decided, pg_catalog.sum(c.total) AS total
FROM workflow._gate_count AS c
GROUP BY c.workflow, c.version, c.state, c.model_version, c.day, c.bucket, c.tier, c.diverted, c.shadow_tier,
         c.decision, c.reason_code, c.verdict, c.edited
HAVING pg_catalog.sum(c.decided) <> 0;
COMMENT ON VIEW workflow.gate_counts IS
  'How many decisions of gates there were of each sort, by day, and what people said of them';
COMMENT ON COLUMN workflow.gate_counts.day IS 'Of the gate''s decision, in UTC; of those of more than two months ago the first of the month';
COMMENT ON COLUMN workflow.gate_counts.bucket IS 'Decile of the value: tenths up to 1, one significant digit beyond; null without a number';
COMMENT ON COLUMN workflow.gate_counts.decision IS 'Of the review that followed; null while there is none';
COMMENT ON COLUMN workflow.gate_counts.total IS 'Sum of the values, for their mean';

-- The first day that counts of the last so long a time; null: all of them.
CREATE FUNCTION workflow._first_day(since interval) RETURNS date LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF since <= interval '0' THEN
    RAISE EXCEPTION 'since has to be longer than nothing'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is %s: how long ago the first decision is that counts.', since),
            HINT = 'Give an interval such as ''30 days'', or null for all decisions.';
  END IF;
  RETURN CASE WHEN since < interval '1000 years' THEN ((workflow._now() - since) AT TIME ZONE 'UTC')::date END;
END
$$;
COMMENT ON FUNCTION workflow._first_day(interval) IS 'Inner: the day, in UTC, that was so long ago';

CREATE FUNCTION workflow._gate_calibration(caller text, since interval)
RETURNS TABLE (workflow text, version int, state text, model_version text, tier text, diverted text,
               bucket numeric, bucket_to numeric, decided bigint, reviewed bigint, agreed bigint, overruled bigint,
               edited bigint, mean_value numeric, agreed_share numeric, edited_share numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT s.workflow, s.version, s.state, s.model_version, s.tier, s.diverted,
         s.bucket, workflow._gate_bucket_end(s.bucket), s.decided, s.reviewed, s.agreed, s.overruled, s.edited,
         round(s.total / s.judged, 4), round(s.agreed / s.judged, 4), round(s.edited / s.judged, 4)
  FROM (
    SELECT c.workflow, c.version, c.state, c.model_version, c.tier, c.diverted, c.bucket,
           sum(c.decided)::bigint AS decided,
           coalesce(sum(c.decided) FILTER (WHERE c.decision IS NOT NULL), 0)::bigint AS reviewed,
           coalesce(sum(c.decided) FILTER (WHERE c.verdict = 'agreed'), 0)::bigint AS agreed,
           coalesce(sum(c.decided) FILTER (WHERE c.verdict = 'overruled'), 0)::bigint AS overruled,
           coalesce(sum(c.decided) FILTER (WHERE c.verdict = 'agreed' AND c.edited), 0)::bigint AS edited,
           sum(c.decided) FILTER (WHERE c.verdict IN ('agreed', 'overruled')) AS judged,
           sum(c.total) FILTER (WHERE c.verdict IN ('agreed', 'overruled') AND c.bucket IS NOT NULL) AS total
    FROM workflow._gate_count AS c, workflow._first_day(since) AS f (day)
    WHERE f.day IS NULL OR c.day >= f.day
    GROUP BY c.workflow, c.version, c.state, c.model_version, c.tier, c.diverted, c.bucket
    HAVING sum(c.decided) <> 0) AS s
  ORDER BY s.workflow, s.state, s.version, s.model_version, s.bucket DESC NULLS LAST, s.tier, s.diverted NULLS FIRST
$$;
COMMENT ON FUNCTION workflow._gate_calibration(text, interval) IS 'Inner: gate_calibration()';

CREATE FUNCTION workflow.gate_calibration(since interval DEFAULT NULL)
RETURNS TABLE (workflow text, version int, state text, model_version text, tier text, diverted text,
               bucket numeric, bucket_to numeric, decided bigint, reviewed bigint, agreed bigint, overruled bigint,
               edited bigint, mean_value numeric, agreed_share numeric, edited_share numeric)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.gate_calibration(interval) IS
  'The view gate_calibration of the decisions since so long ago; null: of all';

CREATE VIEW workflow.gate_calibration AS
SELECT c.* FROM workflow.gate_calibration(NULL::pg_catalog.interval) AS c;
COMMENT ON VIEW workflow.gate_calibration IS
  'What gates decided, by decile of the value, beside what people said: what a confidence is worth';
COMMENT ON COLUMN workflow.gate_calibration.diverted IS 'sample and shadow: people were asked whatever the tier; these say what the tier is worth';
COMMENT ON COLUMN workflow.gate_calibration.bucket IS 'Least value of the decile; tenths up to 1, one significant digit beyond';
COMMENT ON COLUMN workflow.gate_calibration.edited IS 'Of those that agreed: with what was proposed changed';
COMMENT ON COLUMN workflow.gate_calibration.mean_value IS 'Of those that were agreed with or overruled: beside agreed_share, what was promised and what was kept';

CREATE FUNCTION workflow._override_stats(caller text, since interval)
RETURNS TABLE (workflow text, state text, tier text, diverted text, decision text, reason_code text, verdict text,
               reviews bigint, edited bigint, tier_decided bigint, tier_reviewed bigint, share numeric, overruled_share numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT s.workflow, s.state, s.tier, s.diverted, s.decision, s.reason_code, s.verdict,
         s.reviews, s.edited, s.tier_decided, s.tier_reviewed,
         round(s.reviews / s.tier_reviewed::numeric, 4), round(s.tier_overruled / s.tier_judged, 4)
  FROM (
    SELECT c.workflow, c.state, c.tier, c.diverted, c.decision, c.reason_code, c.verdict,
           sum(c.decided)::bigint AS reviews,
           coalesce(sum(c.decided) FILTER (WHERE c.edited), 0)::bigint AS edited,
           (sum(sum(c.decided)) OVER tier)::bigint AS tier_decided,
           (sum(sum(c.decided)) FILTER (WHERE c.decision IS NOT NULL) OVER tier)::bigint AS tier_reviewed,
           coalesce(sum(sum(c.decided)) FILTER (WHERE c.verdict = 'overruled') OVER tier, 0) AS tier_overruled,
           sum(sum(c.decided)) FILTER (WHERE c.verdict IN ('agreed', 'overruled')) OVER tier AS tier_judged
    FROM workflow._gate_count AS c, workflow._first_day(since) AS f (day)
    WHERE f.day IS NULL OR c.day >= f.day
    GROUP BY c.workflow, c.state, c.tier, c.diverted, c.decision, c.reason_code, c.verdict
    WINDOW tier AS (PARTITION BY c.workflow, c.state, c.tier, c.diverted)) AS s
  WHERE s.decision IS NOT NULL AND s.reviews <> 0
  ORDER BY s.workflow, s.state, s.tier, s.diverted NULLS FIRST, s.reviews DESC, s.decision, s.reason_code
$$;
COMMENT ON FUNCTION workflow._override_stats(text, interval) IS 'Inner: override_stats()';

CREATE FUNCTION workflow.override_stats(since interval DEFAULT NULL)
RETURNS TABLE (workflow text, state text, tier text, diverted text, decision text, reason_code text, verdict text,
               reviews bigint, edited bigint, tier_decided bigint, tier_reviewed bigint, share numeric, overruled_share numeric)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.override_stats(interval) IS
  'The view override_stats of the decisions since so long ago; null: of all';

CREATE VIEW workflow.override_stats AS
SELECT s.* FROM workflow.override_stats(NULL::pg_catalog.interval) AS s;
COMMENT ON VIEW workflow.override_stats IS
  'How often people overrule each tier of each gate, by decision and reason code';
COMMENT ON COLUMN workflow.override_stats.reviews IS 'How many reviews were decided so';
COMMENT ON COLUMN workflow.override_stats.share IS 'Of all decided reviews of the tier';
COMMENT ON COLUMN workflow.override_stats.overruled_share IS 'Of the tier, whatever the row: overruled of those agreed with or overruled';

-- ---------------------------------------------------------------------- alert

-- What alerts look at: tiers that people overrule by a fifth of all verdicts more often, of the last
-- seven days' decisions, than before; from twenty verdicts on, of both.
CREATE FUNCTION workflow._conditions_of_verdicts()
RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'gate_overruled', format('state:%s/%s:%s', v.workflow, v.state, v.tier), 'ticket', w.owner,
         format('people overrule tier "%s" in %s of %s reviews of the last seven days'' decisions, before in %s of %s', v.tier,
                v.overruled, v.judged, v.overruled_before, v.judged_before),
         format('SELECT * FROM workflow.gate_calibration(''7 days'') WHERE workflow = %L AND state = %L;', v.workflow, v.state)
  FROM (SELECT c.workflow, c.state, c.tier,
               sum(c.decided) FILTER (WHERE c.day > d.day) AS judged,
               coalesce(sum(c.decided) FILTER (WHERE c.day > d.day AND c.verdict = 'overruled'), 0) AS overruled,
               sum(c.decided) FILTER (WHERE c.day <= d.day) AS judged_before,
               coalesce(sum(c.decided) FILTER (WHERE c.day <= d.day AND c.verdict = 'overruled'), 0) AS overruled_before
        FROM workflow._gate_count AS c,
             (SELECT (workflow._now() AT TIME ZONE 'UTC')::date - 7) AS d (day)
        WHERE c.verdict IN ('agreed', 'overruled') AND c.day > d.day - 60
        GROUP BY c.workflow, c.state, c.tier) AS v
  JOIN workflow.workflow AS w ON w.workflow = v.workflow
  WHERE v.judged >= 20 AND v.judged_before >= 20
    AND v.overruled / v.judged - v.overruled_before / v.judged_before >= 0.2
$$;
COMMENT ON FUNCTION workflow._conditions_of_verdicts() IS
  'Inner: tiers of gates that people overrule much more often than before';
