--
-- Alerts are sent by the rights of who made the route: a row that somebody else stores, as a dump is
-- restored, gives nobody's rights away.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE SERVER chat FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://chat.invalid', dedup 'key');
SELECT workflow.create_queue('mail', owner => 'ops', sla => '10 minutes', escalate_to => '{lead}');
SELECT current_user AS boss \gset
CREATE ROLE alert_rights_owner;
CREATE ROLE alert_rights_other;
SELECT format('ALTER DATABASE %I OWNER TO alert_rights_owner', current_database()) \gexec

-- the owner of the database restores rows, not in the name of a role that he is not a member of
SET ROLE alert_rights_owner;
INSERT INTO workflow.alert_route (owner, endpoint, path, created_by, created_at, created_oid) VALUES ('ops', 'chat', '/', 'alert_rights_other', now(), 10);
-- nor does a number of a role count that the row brings along
INSERT INTO workflow.alert_route (owner, endpoint, path, created_by, created_at, created_oid) VALUES ('ops', 'chat', '/', 'alert_rights_owner', now(), 10);
RESET ROLE;
SELECT owner, created_by, created_oid = 'alert_rights_owner'::regrole AS bound FROM workflow.alert_route;
-- of another cluster: the number is somebody else's here
INSERT INTO workflow.alert_route (owner, endpoint, path, created_by, created_at, created_oid) VALUES ('*', 'chat', '/', current_user, now(), 'alert_rights_other'::regrole);
SELECT owner, created_oid = current_user::regrole AS bound FROM workflow.alert_route WHERE owner = '*';
UPDATE workflow.alert_route SET created_oid = 'alert_rights_other'::regrole;
-- who takes a route over gives it his rights
SELECT workflow.alert_to('ops', 'chat', '/new');
SELECT owner, path, created_by = current_user AS mine, created_oid = current_user::regrole AS bound FROM workflow.alert_route WHERE owner = 'ops';

SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'boss') \gexec
DROP OWNED BY alert_rights_owner;
DROP ROLE alert_rights_owner, alert_rights_other;
