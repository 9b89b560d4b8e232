--
-- What a restore brings without the row that says where it was stored is not taken for the database's own.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\set SHOW_CONTEXT never
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');

-- a database that may come to send an alert has a name before that: nobody could give it one later
BEGIN;
SELECT workflow.alert_to('*', 'crm', '/alerts');
SELECT how FROM workflow.cluster;
ROLLBACK;

SELECT workflow.define('{"workflow": "order", "owner": "shop", "initial": "OPEN", "key": ["$.id"],
  "states": {"OPEN": {"on": {"paid": "PAID"}}, "PAID": {"final": "paid"}}}');
SELECT workflow.call('crm', 'POST', '/orders', '{"id": 1}', key => 'order:1') > 0 AS is_called;
SELECT how FROM workflow.cluster;

-- as pg_restore with a list that leaves the table out
SET session_replication_role = replica;
DELETE FROM workflow.cluster;
\c -
SET client_min_messages = error;
SELECT workflow.create_queue('mail', 'ops', '1 hour', '{boss}');
SELECT workflow.define('{"workflow": "parcel", "owner": "shop", "initial": "OPEN", "key": ["$.id"],
  "states": {"OPEN": {"on": {"paid": "PAID"}}, "PAID": {"final": "paid"}}}');
SELECT workflow.call('crm', 'POST', '/orders', '{"id": 2}', key => 'order:2') > 0 AS is_called;
SELECT how FROM workflow.cluster;
SELECT workflow._cluster_problem();
SELECT ok, detail, hint FROM workflow.health() WHERE "check" = 'cluster';

-- until somebody says so: what was there is in doubt
SELECT workflow.adopt_cluster('quarantine', 'the original is gone');
SELECT how, policy, reason FROM workflow.cluster;
SELECT workflow._cluster_problem();

-- who adopts comes last, also where the clock is behind that of the original
SET session_replication_role = replica;
UPDATE workflow.cluster SET system_identifier = 1, birthmark = NULL, since = now() + interval '1 minute';
\c -
SET client_min_messages = error;
SELECT workflow._cluster_problem() IS NOT NULL AS is_copy;
SELECT workflow.adopt_cluster('resume', 'moved');
SELECT workflow._cluster_problem();
SELECT reason FROM workflow.cluster ORDER BY since;

-- every column that keeps the oid of a role (of all that keep an oid) is bound anew in a copy from another server
SELECT c.relname, a.attname
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind IN ('r', 'p') AND a.atttypid = 'oid'::regtype AND a.attnum > 0
  AND pg_get_functiondef('workflow._bind_roles(text, text)'::regprocedure) !~ format('\(''%s'', ''\w+'', ''%s''', c.relname, a.attname)
ORDER BY 1, 2;
