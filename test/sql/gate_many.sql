--
-- Figures of gates with a million items: no view takes longer because there are many.
--
CREATE EXTENSION pg_workflow;
SET timezone = 'UTC';
SET pg_workflow.clock = '2031-02-10 12:00';

-- a million decisions of 400 days, by four versions, each judged or not
CREATE TABLE decile AS SELECT n / 1000.0 AS value, workflow._gate_bucket(n / 1000.0) AS bucket FROM generate_series(0, 999) AS n;
INSERT INTO workflow.gate_change (workflow, version, state, model_version, day, bucket, tier, diverted, decision, verdict, edited, decided, total, at)
SELECT 'w', version, 'GATE', 'm' || version, day, bucket, t.tier, t.diverted, v.decision, v.verdict, v.edited, 1, value, day
FROM (SELECT n % 4 + 1 AS version, date '2030-01-06' + (n % 401)::int AS day, (abs(hashint8(n)) % 1000) / 1000.0 AS value,
             abs(hashint8(n + 7)) % 100 AS luck
      FROM generate_series(1, 1000000) AS n) AS d JOIN decile USING (value),
     LATERAL (SELECT CASE WHEN value >= 0.9 THEN 'auto' WHEN value >= 0.6 THEN 'ask' ELSE 'low' END,
                     CASE WHEN value >= 0.9 AND luck < 5 THEN 'sample' END) AS t (tier, diverted),
     LATERAL (SELECT CASE WHEN luck < 80 THEN 'approve' ELSE 'reject' END, CASE WHEN luck < 80 THEN 'agreed' ELSE 'overruled' END, luck < 10
              WHERE t.tier = 'ask' OR t.diverted IS NOT NULL
              UNION ALL SELECT NULL, NULL, NULL WHERE t.tier <> 'ask' AND t.diverted IS NULL) AS v (decision, verdict, edited);
-- all but the last day's have been added up
SELECT workflow._add_up_gates('2031-02-10', 1000000), workflow._add_up_gates('2031-02-10', 1000000);
SELECT sum(decided) FROM workflow.gate_counts;
SELECT count(*) AS one_by_one FROM workflow.gate_change;
ANALYZE workflow.gate_tally, workflow.gate_change;

-- whether a query takes less than 50 ms; where others use the machine, less than what takes that long by itself
CREATE FUNCTION took(query text) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
BEGIN
  EXECUTE query;
  RETURN clock_timestamp() - began;
END
$$;
CREATE FUNCTION is_fast(query text, tries int DEFAULT 30) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  best interval := '1 hour';
  least_work interval := '1 hour';
BEGIN
  FOR i IN 1 .. tries LOOP
    best := least(best, took(query));
    IF best < interval '50 ms' THEN
      RETURN true;
    END IF;
    least_work := least(least_work, took('SELECT count(*) FROM generate_series(1, 300000)'));
  END LOOP;
  RETURN best < least_work;
END
$$;
SELECT is_fast('SELECT count(*) FROM generate_series(1, 1000000)', 5) AS slow_is_fast;
SELECT q AS query, is_fast(q)
FROM unnest(ARRAY['TABLE workflow.gate_calibration', 'TABLE workflow.override_stats', 'TABLE workflow.gate_counts',
                  'SELECT * FROM workflow.gate_calibration(''30 days'')', 'SELECT * FROM workflow.override_stats(''30 days'')']) AS q;
SELECT sum(decided), sum(reviewed) = sum(agreed + overruled) AS all_judged FROM workflow.gate_calibration;
