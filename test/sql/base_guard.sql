--
-- What would break a promise by its loss is not removed by hand, and what is on
-- record is not rewritten; the engine's own statements pass, and nothing else.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SELECT version FROM workflow.define('{
  "workflow": "bill", "owner": "me", "key": ["$.id"], "initial": "PAY",
  "queues": {"work": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {
    "PAY":  {"task": {"queue": "work"}, "timeout": {"after": "1 day", "event": "late"}, "on": {"ok": "PAID", "late": "PAID"}},
    "PAID": {"final": "paid"}}}');
SELECT count(workflow.submit('bill', jsonb_build_object('id', n))) FROM generate_series(1, 3) AS n;

-- every table, by every statement that loses rows: what passes is an offender
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN 'passed';
EXCEPTION WHEN OTHERS THEN
  RETURN sqlstate;
END $$;
SELECT c.relname, s.statement, a.result
FROM pg_class AS c,
  unnest(ARRAY['DELETE FROM ONLY workflow.%I', 'TRUNCATE workflow.%I', 'TRUNCATE workflow.%I CASCADE',
               'WITH gone AS (DELETE FROM workflow.%I RETURNING 1) SELECT count(*) FROM gone',
               'MERGE INTO workflow.%I USING (VALUES (1)) AS v ON true WHEN MATCHED THEN DELETE']) AS s (statement),
  LATERAL pg_temp.attempt(format(s.statement, c.relname)) AS a (result)
WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind IN ('r', 'p') AND a.result <> '55000'
ORDER BY 1, 2;
SELECT count(*) FROM workflow.item;

-- records that are only ever added to, also by way of one partition of the log
SELECT t.name, pg_temp.attempt(format('UPDATE workflow.%I SET item_id = 1', t.name))
FROM unnest(ARRAY['transition', 'transition_01', 'attempt', 'gate_decision', 'model_output', 'journal', 'event']) AS t (name);

-- what identifies an effect, and what a review has shown
SELECT c.name, pg_temp.attempt(format('UPDATE workflow.%s = NULL', c.name))
FROM unnest(ARRAY['effect SET key', 'effect SET endpoint_id', 'effect SET fingerprint', 'effect SET method', 'effect SET path',
                  'effect SET headers', 'effect SET body', 'effect SET kind', 'effect SET created_at', 'effect SET generation',
                  'effect SET reverts', 'effect SET content_type', 'endpoint SET endpoint_id',
                  'review SET item_id', 'review SET seq', 'review SET state', 'review SET spec', 'review SET shown',
                  'review SET proposed', 'review SET previous', 'review SET opened_at']) AS c (name);

-- other ways to the same rows
CREATE VIEW pg_temp.bills AS SELECT * FROM workflow.item;
SELECT pg_temp.attempt('DELETE FROM pg_temp.bills');
SELECT pg_temp.attempt($$INSERT INTO workflow.journal (journal_id, actor, action) VALUES (1, 'me', 'x'), (1, 'me', 'y')
  ON CONFLICT (journal_id) DO UPDATE SET action = 'z'$$);

-- what is told to whoever tries
\set VERBOSITY default
DELETE FROM workflow.item;
TRUNCATE workflow.effect;
UPDATE workflow.transition SET reason = 'better';
DELETE FROM workflow.job;

-- the engine deletes the jobs and timers that are over
SELECT workflow.complete(job_id, token) FROM workflow.claim('work', 'me', 1, '1 hour');
SELECT workflow.cancel('bill:2', 'no');
SELECT i.key, count(j.job_id) AS jobs, (SELECT count(*) FROM workflow.timer AS t WHERE t.item_id = i.item_id) AS timers
FROM workflow.item AS i LEFT JOIN workflow.job AS j USING (item_id) GROUP BY i.item_id ORDER BY i.key;

-- but a trigger of somebody else does not pass along with it
CREATE FUNCTION pg_temp.also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM workflow.job; RETURN OLD; END $$;
CREATE TRIGGER also AFTER DELETE ON workflow.job FOR EACH ROW EXECUTE FUNCTION pg_temp.also();
\set VERBOSITY sqlstate
SELECT workflow.cancel('bill:3', 'no');
\set VERBOSITY default
DROP TRIGGER also ON workflow.job;
-- nor does an error leave the way open
BEGIN;
CREATE FUNCTION pg_temp.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$;
CREATE TRIGGER broken BEFORE DELETE ON workflow.job FOR EACH ROW EXECUTE FUNCTION pg_temp.broken();
SELECT pg_temp.attempt($$SELECT workflow.cancel('bill:3', 'no')$$);
SELECT pg_temp.attempt('DELETE FROM workflow.job');
ROLLBACK;
SELECT state FROM workflow.item WHERE key = '3';

-- every table has its guard, with a comment
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind IN ('r', 'p') AND NOT EXISTS (
  SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND obj_description(t.oid, 'pg_trigger') IS NOT NULL
    AND t.tgname LIKE 'refuse\_%' AND t.tgtype & 8 <> 0 AND t.tgtype & 32 <> 0);
