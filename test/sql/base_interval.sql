--
-- Intervals that no time can be reckoned with are refused wherever one is given.
--
CREATE EXTENSION pg_workflow;
SET pg_workflow.clock = '2026-01-01';
SELECT workflow.create_queue('work', 'tester', '1 hour', '{boss}');
SELECT workflow.enqueue('work', '{}') AS job \gset

-- in calls, claims and waits: longer than ten thousand years, to either side
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');
SELECT workflow.call('crm', 'GET', '/a', timeout => '178000000 years');
SELECT workflow.call('crm', 'GET', '/a', timeout => '2147483647 days');
SELECT workflow.call('crm', 'GET', '/a', timeout => '-2147483648 days');
SELECT * FROM workflow.claim('work', 'me', 1, '178000000 years');
SELECT * FROM workflow.claim('work', 'me', 1, '1 minute', wait => '106751992 days');
CALL workflow.run('178000000 years');
CALL workflow.wait_for_job('work', '178000000 years');

-- what is long and fits is taken
SELECT lease_until FROM workflow.claim('work', 'me', 1, '9999 years');

-- in definitions and options they are faults like others
\set VERBOSITY terse
SELECT workflow.define('{"workflow": "w", "initial": "A", "owner": "me", "states":
  {"A": {"wait": {"for": "178000000 years"}, "on": {"ok": "B"}}, "B": {"final": "success"}}}');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://crm.example.com', dedup 'key', key_ttl '2147483647 days');
SELECT workflow.create_queue('odd', 'tester', '1 hour', '{boss}', lease => '178000000 years');
SELECT workflow.create_queue('odd', 'tester', '178000000 years', '{boss}');

-- a clock that is ahead or behind: the sign may stand apart
CREATE VIEW ahead AS SELECT round(extract(epoch FROM workflow._now() - clock_timestamp()) / 3600) AS hours;
SET pg_workflow.clock = '- 1 day';
TABLE ahead;
SET pg_workflow.clock = '-2 days';
TABLE ahead;
SET pg_workflow.clock = '+ 1 day';
TABLE ahead;
SET pg_workflow.clock = '- today';
