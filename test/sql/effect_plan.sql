--
-- What call() costs does not grow with the calls before it, whatever the tables were when its statements were planned.
--
CREATE EXTENSION pg_workflow;
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'finance');

-- reading all of a table is cheap when a statement is planned
SELECT count(workflow.call('bank', 'POST', '/' || n)) FROM generate_series(1, 10) AS n;
VACUUM ANALYZE workflow.job;
VACUUM ANALYZE workflow.effect;
SELECT current_database() AS here \gset
\c :here

-- and is not done for each call that follows, nor by who meets a key again
BEGIN;
SELECT count(workflow.call('bank', 'POST', '/' || n, key => 'key ' || n)) FROM generate_series(1, 100) AS n;
UPDATE workflow.effect SET state = 'failed', finished_at = now() WHERE key LIKE 'key%';
SELECT pg_stat_get_xact_numscans('workflow.job'::regclass) AS jobs, pg_stat_get_xact_numscans('workflow.effect'::regclass) - 1 AS effects;
SELECT count(workflow.call('bank', 'POST', '/' || n, key => 'key ' || n)) FROM generate_series(1, 100) AS n;
SELECT pg_stat_get_xact_numscans('workflow.job'::regclass) AS jobs, pg_stat_get_xact_numscans('workflow.effect'::regclass) - 1 AS effects;
COMMIT;
SELECT count(*) AS jobs, count(DISTINCT effect_id) AS effects, min(queue) AS queue FROM workflow.job;
