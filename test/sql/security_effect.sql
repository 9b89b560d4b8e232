--
-- Effects: nobody gets a request on the wire that call() would have refused,
-- sets what opens files and networks, or learns a secret.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_submitter;
CREATE ROLE regress_nobody;
CREATE ROLE regress_restorer;
SELECT workflow.grant_role('regress_submitter', 'submitter');
GRANT USAGE ON SCHEMA workflow TO regress_restorer;
GRANT INSERT ON workflow.effect, workflow.job TO regress_restorer;
GRANT USAGE ON SEQUENCE workflow.effect_effect_id_seq, workflow.job_job_id_seq TO regress_restorer;
CREATE SERVER site FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://127.0.0.1:9', dedup 'key');
CREATE USER MAPPING FOR PUBLIC SERVER site OPTIONS (bearer_secret 'token');
GRANT USAGE ON FOREIGN SERVER site TO regress_submitter, regress_restorer;

-- options, by a role that owns a server and may make others
GRANT USAGE ON FOREIGN DATA WRAPPER workflow_http TO regress_submitter;
SET ROLE regress_submitter;
CREATE SERVER own FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key');
\set VERBOSITY sqlstate
ALTER SERVER own OPTIONS (ADD allow_private '10.0.0.0/8');
ALTER SERVER own OPTIONS (ADD allow_http 'true');
ALTER SERVER own OPTIONS (ADD ca_file '/etc/passwd');
ALTER SERVER own OPTIONS (ADD header_x E'a\r\nb: c');
ALTER SERVER own OPTIONS (SET url 'https://user:password@example.com');
ALTER SERVER own OPTIONS (SET url 'file:///etc/passwd');
CREATE USER MAPPING FOR regress_submitter SERVER own OPTIONS (bearer_secret 'token');
CREATE USER MAPPING FOR regress_submitter SERVER site OPTIONS (bearer_secret 'token');
CREATE USER MAPPING FOR PUBLIC SERVER site;
ALTER USER MAPPING FOR PUBLIC SERVER site OPTIONS (SET bearer_secret 'other');
RESET ROLE;
CREATE USER MAPPING FOR regress_submitter SERVER own OPTIONS (bearer_secret '../token');
CREATE USER MAPPING FOR regress_submitter SERVER own OPTIONS (bearer_secret '/etc/passwd');
CREATE USER MAPPING FOR regress_submitter SERVER own OPTIONS (bearer_secret 'a.b');

-- paths, methods and headers
SET ROLE regress_submitter;
SELECT workflow.call('site', 'GET', '.evil.example/');
SELECT workflow.call('site', 'GET', '@evil.example/');
SELECT workflow.call('site', 'GET', '/a/../../b');
SELECT workflow.call('site', 'GET', '/a/%2e%2E/b');
SELECT workflow.call('site', 'GET', E'/a HTTP/1.1\r\nHost: evil');
SELECT workflow.call('site', E'GET / HTTP/1.1\r\nX', '/');
SELECT workflow.call('site', 'GET', '/', headers => '{"Authorization": "mine"}');
SELECT workflow.call('site', 'GET', '/', headers => '{"Host": "evil"}');
SELECT workflow.call('site', 'GET', '/', headers => '{"Idempotency-Key": "mine"}');
SELECT workflow.call('site', 'GET', '/', headers => '{"X": "a\r\nAuthorization: mine"}');
SELECT workflow.call('site', 'GET', '/', headers => '{"X\r\nY": "a"}');
SELECT workflow.call('site', 'GET', '/', key => E'a\r\nb');
-- somebody else's endpoint
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER site FROM regress_submitter;
SET ROLE regress_submitter;
SELECT workflow.call('site', 'GET', '/');
SET ROLE regress_nobody;
SELECT workflow.call('site', 'GET', '/');
SELECT * FROM workflow.effects;
RESET ROLE;
\set VERBOSITY default

-- a row that was not made by call(): checked again before it is sent
SET ROLE regress_restorer;
INSERT INTO workflow.effect (effect_id, endpoint_id, key, kind, fingerprint, submitted_by, method, path, headers, spec, created_at)
VALUES (101, 1, 'host', 'call', '', 'regress_restorer', 'GET', '.evil.example/', NULL, '{}', now()),
       (102, 1, 'climb', 'call', '', 'regress_restorer', 'GET', '/../', NULL, '{}', now()),
       (103, 1, 'header', 'call', '', 'regress_restorer', 'GET', '/', '{"X": "a\r\nAuthorization: mine"}', '{}', now()),
       (104, 1, 'method', 'call', '', 'regress_restorer', 'GET / X', '/', NULL, '{}', now()),
       (105, 1, 'before', 'call', '', 'regress_restorer', 'GET', '/', NULL, '{"before": {"method": "GET", "path": ".evil.example/"}}', now()),
       (106, 1, 'key', 'call', '', 'regress_restorer', 'GET', '/', '{"idempotency-key": "mine"}', '{}', now());
INSERT INTO workflow.job (queue, kind, run_at, effect_id, created_at)
SELECT 'calls', 'http', now(), n, now() FROM generate_series(101, 106) AS n;
RESET ROLE;
INSERT INTO workflow.endpoint (endpoint_id, endpoint, server_oid)
SELECT 1, srvname, oid FROM pg_foreign_server WHERE srvname = 'site' ON CONFLICT DO NOTHING;
SELECT workflow.create_queue('calls', 'ops', '1 hour', '{boss}', retry => '{"max_attempts": 1}');
-- what was put in beside the ledger is a copy's, until somebody says that it may be sent
SELECT workflow.adopt_cluster('resume') AS in_doubt;
DROP USER MAPPING FOR PUBLIC SERVER site;
CALL workflow.run();
SELECT e.key, e.attempts AS sends, j.status, j.error_class, j.error_message
FROM workflow.effect AS e LEFT JOIN workflow.job AS j USING (effect_id) ORDER BY e.effect_id;

DROP SERVER site CASCADE;
DROP SERVER own CASCADE;
DROP OWNED BY regress_submitter, regress_nobody, regress_restorer;
DROP ROLE regress_submitter, regress_nobody, regress_restorer;
