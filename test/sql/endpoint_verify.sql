--
-- verify_endpoint(): what may be tried out, by whom, and what answers show.  053_verify_endpoint.pl sends.
--
CREATE EXTENSION pg_workflow;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');
CREATE SERVER files FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://files.example.com', dedup 'natural');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.example.com', dedup 'pure');
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'finance');

-- what two sends cannot show is not tried
SELECT workflow.verify_endpoint('bank', '{"method": "POST", "path": "/pay"}');
SELECT workflow.verify_endpoint('llm', '{"method": "POST", "path": "/v1"}');
SELECT workflow.verify_endpoint('nowhere', '{"method": "POST", "path": "/x"}');
SELECT workflow.verify_endpoint('crm', NULL);
SELECT workflow.verify_endpoint(NULL, '{}');

-- nor is an operation that would show nothing
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT operation, workflow._operation_problem(operation) AS problem
FROM unnest(ARRAY['[]', '{}', '{"method": "POST"}', '{"method": "GET", "path": "/x"}', '{"method": "POST", "path": 1}',
                  '{"method": "POST", "path": "/x", "same": "$.a"}', '{"method": "POST", "path": "/x", "id": 1, "key": "k"}',
                  '{"method": "PUT", "path": "/x", "body": null, "read": "/x", "same": "$.body.a"}']::jsonb[]) AS operation;
\set VERBOSITY default
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x", "external_id": "$.body["}');
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "x/../y"}');
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x", "read": "y"}');
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x", "headers": {"Idempotency-Key": "mine"}}');
SELECT count(*) AS effects FROM workflow.effects;

-- it takes the kind operator, and USAGE
CREATE ROLE regress_verify_operator;
CREATE ROLE regress_verify_submitter;
SELECT workflow.grant_role('regress_verify_operator', 'operator'), workflow.grant_role('regress_verify_submitter', 'submitter');
GRANT USAGE ON FOREIGN SERVER crm TO regress_verify_submitter;
SET ROLE regress_verify_submitter;
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x"}');
SET ROLE regress_verify_operator;
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x"}');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER crm TO regress_verify_operator;
SET ROLE regress_verify_operator;
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x", "body": {"a": 1}, "headers": {"X-Test": "1"}, "external_id": "$.body.id", "read": "/x/1", "same": "$.body.n"}') > 0 AS is_effect;
RESET ROLE;
SELECT p.endpoint, e.kind, e.key LIKE 'verify:%' AS own_key, e.state, e.submitted_by, e.method, e.path, convert_from(e.body, 'UTF8') AS body, e.headers, e.spec,
       v.step, v.same, v.has_reading, v.profile, v.requested_by, j.queue
FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id) JOIN workflow.verification AS v USING (effect_id)
JOIN workflow.job AS j USING (effect_id) \gx
SELECT actor, action, subject, detail - 'effect_id' AS detail FROM workflow.journal WHERE action = 'verify_endpoint';

-- what the answers show
SELECT seen, j.verdict, j.detail
FROM unnest(ARRAY[
  '{"first": {"id": "1"}, "second": {"id": "1"}}',
  '{"first": {"id": "1"}, "second": {"id": "2", "mark": "replayed"}}',
  '{"first": {"id": "1"}, "second": {}}',
  '{"first": {"id": "1", "body_digest": "a"}, "second": {"body_digest": "b"}}',
  '{"first": {"mark": "ignored"}}',
  '{"first": {"id": "1"}, "second": {"id": "1", "mark": "ignored"}}',
  '{"first": {}, "second": {"mark": "replayed"}}',
  '{"first": {"mark": "replayed"}, "second": {"mark": "replayed"}}',
  '{"first": {"status": 200}, "second": {"status": 404, "mark": "already_done"}}',
  '{"first": {"body_digest": "a"}, "second": {"body_digest": "a"}}',
  '{"first": {}, "reading": {"value": "1", "value_digest": "c"}, "second": {}, "reading_again": {"value": "2", "value_digest": "d"}}',
  '{"first": {}, "reading": {"value": "1", "value_digest": "c"}, "second": {}, "reading_again": {"value": "1", "value_digest": "c"}}',
  '{"first": {}, "reading": {"body_digest": "e"}, "second": {}, "reading_again": {"body_digest": "e"}}',
  '{"first": {"body_digest": "a"}, "reading": {"body_digest": "e"}, "second": {"body_digest": "a"}, "reading_again": {"body_digest": "f"}}',
  '{"first": {"id": "1"}, "reading": {}, "second": {"id": "1"}}',
  '{"first": {"id": "1"}}', '{}']::jsonb[]) WITH ORDINALITY AS s (seen, place), LATERAL workflow._judge_verification(s.seen) AS j
ORDER BY s.place;

-- what is kept of an answer tells another one from it, and is small
SELECT workflow._seen_in('{"status": 201, "headers": {"x": "1"}, "body": {"id": 7}}', '7', NULL, '$.body.id') =
       workflow._seen_in('{"status": 201, "headers": {"x": "2"}, "body": {"id": 7}}', '7', NULL, '$.body.id') AS headers_do_not_count,
       length((workflow._seen_in(jsonb_build_object('status', 200, 'body', repeat('x', 10000)), NULL, NULL, '$.body') ->> 'value')) AS kept,
       workflow._seen_in('{"status": 204, "headers": {}, "body": null}', NULL, NULL, NULL) AS nothing;

-- what endpoints show: nothing is declared with none, and pure stays a declaration
SELECT endpoint, dedup, verification, verified_at, verification_detail FROM workflow.endpoints ORDER BY endpoint;
-- a verdict holds for the options that it was found under
UPDATE workflow.verification SET step = NULL, verdict = 'refuted', detail = 'the second copy made another object: first 1, then 2', concluded_at = '2026-01-01';
SELECT endpoint, verification, verified_at IS NOT NULL AS has_time, verification_detail FROM workflow.endpoints WHERE endpoint = 'crm';
SELECT * FROM workflow.health() WHERE "check" LIKE 'endpoints\_%' AND "check" <> 'endpoints_paused';
-- a refutation stays, whatever shows the contrary later, and whatever shows nothing
CREATE FUNCTION pg_temp.conclude(verdict text, mended text DEFAULT NULL) RETURNS TABLE (verification text, detail text) LANGUAGE plpgsql AS $$
DECLARE
  id bigint := workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x"}', mended);
BEGIN
  UPDATE workflow.verification AS v SET step = NULL, verdict = conclude.verdict, detail = conclude.verdict || ' by ' || (SELECT count(*) FROM workflow.verification),
    concluded_at = clock_timestamp() WHERE v.effect_id = id;
  RETURN QUERY SELECT e.verification, e.verification_detail FROM workflow.endpoints AS e WHERE e.endpoint = 'crm';
END $$;
SELECT * FROM pg_temp.conclude('verified');
SELECT * FROM pg_temp.conclude('open');
-- who could change the endpoint may say that its receiver was mended; then it has to be shown
SET ROLE regress_verify_operator;
\set VERBOSITY terse
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x"}', mended => 'I think so');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT workflow.verify_endpoint('crm', '{"method": "POST", "path": "/x"}', '');
\set VERBOSITY default
SELECT * FROM pg_temp.conclude('open', 'they have released 2.1');
SELECT * FROM pg_temp.conclude('refuted', 'they have released 2.2');
SELECT * FROM pg_temp.conclude('verified', 'they have released 2.3');
SELECT * FROM pg_temp.conclude('verified');
SELECT * FROM pg_temp.conclude('refuted');
SELECT reason FROM workflow.journal WHERE action = 'verify_endpoint' AND reason IS NOT NULL ORDER BY journal_id;
SELECT hint FROM workflow.health() WHERE "check" = 'endpoints_refuted';
ALTER SERVER crm OPTIONS (ADD header_api_version '2');
SELECT endpoint, verification, verification_detail FROM workflow.endpoints WHERE endpoint = 'crm';
SELECT * FROM workflow.health() WHERE "check" LIKE 'endpoints\_%' AND "check" <> 'endpoints_paused';
-- it is a record
DELETE FROM workflow.verification;
UPDATE workflow.verification SET profile = '{}';
UPDATE workflow.verification SET mended = 'no';

REVOKE USAGE ON FOREIGN SERVER crm FROM regress_verify_operator, regress_verify_submitter;
DROP OWNED BY regress_verify_operator, regress_verify_submitter;
DROP ROLE regress_verify_operator, regress_verify_submitter;
