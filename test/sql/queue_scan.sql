--
-- claim() in FROM is a scan of our own, and nobody can tell but by EXPLAIN.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
CREATE ROLE regress_clerk;
CREATE ROLE regress_guest;
SELECT workflow.grant_role('regress_clerk', 'worker'), workflow.grant_role('regress_guest', 'worker');
SELECT workflow.create_queue('mail', 'regress_clerk', '10 minutes', '{ops-lead}');
CREATE FUNCTION stored(n int) RETURNS bigint LANGUAGE sql AS $$
  SELECT count(workflow.enqueue('mail', to_jsonb(i))) FROM generate_series(1, n) AS i $$;
CREATE FUNCTION ready() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM workflow.jobs WHERE queue = 'mail' AND status = 'ready' $$;
CREATE FUNCTION scans(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    IF line ~ 'Scan' THEN
      RETURN NEXT ltrim(line, ' ->');
    END IF;
  END LOOP;
END $$;

CREATE TABLE nothing (a int);

-- Which statements it is for.
EXPLAIN (VERBOSE, COSTS OFF) SELECT payload, job_id FROM workflow.claim('mail', 'w');
EXPLAIN (COSTS OFF) SELECT upper(token) FROM workflow.claim('mail', lease => '1 minute', worker => 'w') WHERE attempt > 1;
SELECT scans($$SELECT * FROM workflow.claim('mail', 'w', 3)$$);
SELECT scans($$SELECT count(*) FROM workflow.claim('mail', 'w', 3)$$);
SELECT scans($$SELECT * FROM workflow.claim('mail', 'w') FOR UPDATE$$);
SELECT scans($$SELECT c.job_id FROM workflow.claim('mail', 'w') AS c JOIN workflow.claim('post', 'w') AS d ON d.job_id = c.job_id$$);
SELECT scans($$WITH c AS MATERIALIZED (SELECT * FROM workflow.claim('mail', 'w')) SELECT job_id FROM c$$);
-- And for which not: the scan of functions is left.
SELECT scans($$SELECT c FROM workflow.claim('mail', 'w') AS c$$);
SELECT scans($$SELECT * FROM workflow.claim('mail', 'w') WITH ORDINALITY$$);
SELECT scans($$SELECT c.job_id FROM workflow.claim('mail', 'w') AS c JOIN nothing ON a = c.job_id FOR UPDATE OF nothing$$);
SELECT scans($$SELECT * FROM ROWS FROM (workflow.claim('mail', 'w'), generate_series(1, 2))$$);
SELECT scans($$SELECT c.job_id FROM (VALUES ('mail'), ('post')) AS q (queue), LATERAL workflow.claim(q.queue, 'w') AS c$$);
SELECT scans($$SELECT job_id FROM workflow.claim('mail', current_user)$$);
SELECT scans($$SELECT (SELECT job_id FROM workflow.claim(q.queue, 'w')) FROM (VALUES ('mail'), ('post')) AS q (queue)$$);
SELECT scans($$UPDATE nothing SET a = 1 FROM workflow.claim('mail', 'w')$$);

-- All columns, in any order, with conditions and expressions.
SELECT stored(3);
SELECT payload, queue, item_id, state, attempt, lease_until > now() AS leased, length(token) > 10 AS token, job_id > 0 AS id
FROM workflow.claim('mail', 'w', lease => '1 hour');
SELECT attempt + 1 AS next, payload FROM workflow.claim('mail', 'w', 2) WHERE payload > '2' ORDER BY job_id DESC;
SELECT ready(), count(*) FROM workflow.claim('mail', 'w');
-- A condition or a limit claims no less.
SELECT stored(3);
SELECT payload FROM workflow.claim('mail', 'w', 3) LIMIT 1;
SELECT ready();
SELECT stored(1);
SELECT payload FROM workflow.claim('mail', 'w') WHERE false;
SELECT ready();
SELECT payload FROM workflow.claim('mail', 'w') WHERE job_id < 0;
SELECT ready();

-- It is called once, also where it is read again for each row beside it.
SELECT stored(4);
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT i, c.payload FROM generate_series(1, 2) AS i LEFT JOIN workflow.claim('mail', 'w', 2) AS c ON c.attempt <> i ORDER BY i, c.job_id;
SELECT i, (SELECT sum(payload::int) FROM workflow.claim('mail', 'w', 1) WHERE attempt <= i) FROM generate_series(1, 3) AS i;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
SELECT ready();

-- Cursors go to and fro; one that is held is the same after the commit.
BEGIN;
DECLARE forth CURSOR FOR SELECT payload FROM workflow.claim('mail', 'w', 5);
FETCH BACKWARD 1 FROM forth;
SELECT ready();
ROLLBACK;
SELECT stored(2);
BEGIN;
DECLARE all_of_them SCROLL CURSOR WITH HOLD FOR SELECT payload FROM workflow.claim('mail', 'w', 5);
FETCH BACKWARD 1 FROM all_of_them;
FETCH 2 FROM all_of_them;
FETCH BACKWARD 1 FROM all_of_them;
FETCH ALL FROM all_of_them;
FETCH 1 FROM all_of_them;
FETCH BACKWARD 2 FROM all_of_them;
FETCH BACKWARD ALL FROM all_of_them;
FETCH BACKWARD 1 FROM all_of_them;
FETCH 1 FROM all_of_them;
COMMIT;
FETCH ALL FROM all_of_them;
CLOSE all_of_them;

-- Prepared, with plans for all values; in functions, views and PL/pgSQL.
SET plan_cache_mode = force_generic_plan;
PREPARE take (text, int) AS SELECT payload FROM workflow.claim($1, 'w', $2);
SELECT stored(6);
EXPLAIN (COSTS OFF) EXECUTE take ('mail', 1);
EXECUTE take ('mail', 1);
EXECUTE take ('mail', NULL);
EXECUTE take (NULL, 1);
EXECUTE take ('mail', 0);
EXECUTE take ('nowhere', 1);
CREATE VIEW mine AS SELECT payload, attempt FROM workflow.claim('mail', 'w');
SELECT payload FROM mine;
CREATE FUNCTION by_sql(queue text) RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT payload FROM workflow.claim(queue, $$w$$)';
SELECT by_sql('mail');
SELECT * FROM by_sql('mail');
CREATE FUNCTION by_plpgsql(queue text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  job record;
BEGIN
  SELECT * INTO job FROM workflow.claim(by_plpgsql.queue, 'w');
  RETURN job.payload;
END $$;
SELECT by_plpgsql('mail');
SELECT by_plpgsql('mail') IS NULL AS none;
RESET plan_cache_mode;

-- It waits, and looks into the table, where an own queue of jobs is not enough.
SELECT count(*) FROM workflow.claim('mail', 'w', wait => '10 ms');
SELECT workflow.enqueue('mail', '"grouped"', group_key => 'g') > 0 AS stored;
SELECT payload FROM workflow.claim('mail', 'w', wait => '1 second');
SELECT * FROM workflow.claim('mail', 'w', lease => '-1 second');
BEGIN READ ONLY;
SELECT * FROM workflow.claim('mail', 'w');
ROLLBACK;
-- nor is a job that is ready
BEGIN;
SELECT stored(1);
COMMIT;
BEGIN READ ONLY;
SELECT payload FROM workflow.claim('mail', 'w');
ROLLBACK;
SELECT payload FROM workflow.claim('mail', 'w');

-- What a savepoint takes back is ready again.
SELECT stored(1);
BEGIN;
SAVEPOINT before;
SELECT payload FROM workflow.claim('mail', 'w');
ROLLBACK TO before;
SELECT payload FROM workflow.claim('mail', 'w');
ROLLBACK;
SELECT ready();

-- Privileges are looked at whenever it begins, of whoever executes it then.
SET ROLE regress_guest;
SELECT payload FROM workflow.claim('mail', 'w');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION workflow.claim(text, text, int, interval, interval) FROM PUBLIC, regress_clerk;
SET ROLE regress_clerk;
EXECUTE take ('mail', 1);
EXPLAIN (COSTS OFF) EXECUTE take ('mail', 1);
RESET ROLE;
GRANT EXECUTE ON FUNCTION workflow.claim(text, text, int, interval, interval) TO regress_clerk;

-- It counts as a function that was called.
SET track_functions = 'pl';
SELECT count(*) FROM workflow.claim('mail', 'w');
SET track_functions = 'all';
SELECT count(*) FROM workflow.claim('mail', 'w');
SELECT count(*) FROM workflow.claim('mail', 'w') WITH ORDINALITY;
SELECT pg_stat_get_xact_function_calls('workflow.claim'::regproc) IS NOT NULL AS counted;
SELECT pg_stat_force_next_flush();
SELECT calls FROM pg_stat_user_functions WHERE schemaname = 'workflow' AND funcname = 'claim';
RESET track_functions;

-- A function that has become another one is called as it is now, also by plans that were made before.
ALTER FUNCTION workflow.claim(text, text, int, interval, interval) SET work_mem = '1MB';
EXPLAIN (COSTS OFF) EXECUTE take ('mail', 1);
ALTER FUNCTION workflow.claim(text, text, int, interval, interval) RESET ALL;
EXPLAIN (COSTS OFF) EXECUTE take ('mail', 1);
CREATE OR REPLACE FUNCTION workflow.claim(queue text, worker text, batch int DEFAULT 1, lease interval DEFAULT NULL,
  wait interval DEFAULT '0') RETURNS SETOF workflow.claimed_job LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'another one';
END $$;
EXPLAIN (COSTS OFF) EXECUTE take ('mail', 1);
EXECUTE take ('mail', 1);

DEALLOCATE take;
DROP VIEW mine;
DROP OWNED BY regress_clerk, regress_guest;
DROP ROLE regress_clerk, regress_guest;
