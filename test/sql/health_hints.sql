--
-- A hint of health() can be pasted, whatever things are called: what a name contains is never a statement, and
-- what is said behind "--" hides none.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
-- what psql would run of a hint in which no literal has a line break
CREATE VIEW hints AS
SELECT h."check", line FROM workflow.health() AS h, regexp_split_to_table(h.hint, E'\n') WITH ORDINALITY AS l (line, n)
WHERE line !~ '^ *--' ORDER BY h."check", n;

-- an endpoint whose name has a line of its own
CREATE SERVER "a
SELECT evil();" FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://a.invalid', dedup 'key');
SELECT workflow.call(E'a\nSELECT evil();', 'POST', '/', '{}', key => 'k') > 0 AS called;
SELECT line FROM hints WHERE "check" = 'endpoints_declared';
INSERT INTO workflow.verification (effect_id, endpoint_id, profile, same, has_reading, requested_by, requested_at, verdict, detail)
SELECT e.effect_id, p.endpoint_id, workflow._key_profile(s.srvoptions), NULL, true, current_user, now(), 'refuted', 'two were made'
FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id) JOIN pg_foreign_server AS s ON s.srvname = p.endpoint;
SELECT line FROM hints WHERE "check" = 'endpoints_refuted';

-- several enforcements that cannot work any more: each has its statement
CREATE TABLE one (id bigint PRIMARY KEY, status text);
CREATE TABLE two (id bigint PRIMARY KEY, status text);
SELECT workflow.define('{"workflow": "w", "owner": "me", "initial": "A", "states": {"A": {"on": {"go": "B"}}, "B": {"final": "done"}}}');
SELECT workflow.enforce('one', 'status', 'w', 'id');
SELECT workflow.enforce('two', 'status', 'w', 'id');
ALTER TABLE one DROP COLUMN status CASCADE;
ALTER TABLE two DROP COLUMN status CASCADE;
SELECT count(*) FROM hints WHERE "check" = 'enforcements' AND line LIKE 'SELECT workflow.unenforce(%';

-- a limit that is written as only a setting can be
CREATE ROLE health_hints_monitor;
SELECT workflow.grant_role('health_hints_monitor', 'monitor');
ALTER ROLE health_hints_monitor SET statement_timeout = '0x100';
SET ROLE health_hints_monitor;
SELECT ok, detail FROM workflow.health() WHERE "check" = 'timeouts';
RESET ROLE;
ALTER ROLE health_hints_monitor SET statement_timeout = ' 5000.5 ';
SET ROLE health_hints_monitor;
SELECT ok, detail FROM workflow.health() WHERE "check" = 'timeouts';
RESET ROLE;
ALTER ROLE health_hints_monitor SET statement_timeout = '0.5 h';
SET ROLE health_hints_monitor;
SELECT ok, detail FROM workflow.health() WHERE "check" = 'timeouts';
RESET ROLE;
DROP OWNED BY health_hints_monitor;
DROP ROLE health_hints_monitor;
