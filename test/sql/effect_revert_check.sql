--
-- A revert is sent only where its target is as the effect has left it.
--
CREATE EXTENSION pg_workflow;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');

-- An effect that has succeeded, and the revert of it; their spec is shown by the revert's.
CREATE FUNCTION pg_temp.revert_of(method text, sent jsonb, revert jsonb, previous jsonb, answer jsonb, headers jsonb DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  id bigint;
BEGIN
  SELECT r.effect_id INTO id FROM workflow._reserve_effect(current_user, 'crm', 'http', 'key:' || (SELECT count(*) FROM workflow.effect),
    jsonb_build_object('method', method, 'path', '/a', 'body', sent, 'headers', coalesce(headers, '{}'),
      'spec', jsonb_build_object('revert', revert) || CASE WHEN previous IS NOT NULL THEN '{"before": {"method": "GET", "path": "/a"}}'::jsonb ELSE '{}' END), NULL, NULL) AS r;
  UPDATE workflow.effect SET state = 'succeeded', previous = revert_of.previous, response = answer WHERE effect_id = id;
  RETURN workflow.revert(id, 'test');
END $$;
CREATE FUNCTION pg_temp.fields(fields jsonb, etag text DEFAULT NULL, status int DEFAULT 200) RETURNS jsonb LANGUAGE sql AS
  $$ SELECT jsonb_build_object('status', status, 'headers', jsonb_strip_nulls(jsonb_build_object('etag', etag)), 'body', jsonb_build_object('fields', fields)) $$;

-- a PATCH of what was before as a whole has only what was written, and null for what was not there
SELECT pg_temp.revert_of('PATCH', '{"x": 1, "y": 2}', '{"method": "PATCH", "path": "/a", "body": "$.before.body.fields"}',
  pg_temp.fields('{"x": 0, "z": 0}'), pg_temp.fields('{"x": 1, "y": 2, "z": 0}')) AS id \gset
SELECT convert_from(body, 'UTF8') AS body, spec FROM workflow.effect WHERE effect_id = :id;

-- by the answer of the action: as we left it, as it was, changed, and beside it
SELECT now, workflow._check_revert(:id, pg_temp.fields(now)) AS problem
FROM (VALUES (1, '{"x": 1, "y": 2, "z": 0}'::jsonb), (2, '{"x": 0}'), (3, '{"x": 1, "y": 3}'), (4, '{"x": 5}'),
             (5, '{"x": 1, "y": 2, "z": 9, "w": 9}'), (6, '{"x": 1}')) AS v (n, now) ORDER BY n;
SELECT workflow._check_revert(:id, '{"status": 404, "headers": {}, "body": null}') AS gone,
       workflow._check_revert(:id, '{"status": 200, "headers": {}, "body": "<html>"}') AS other;

-- the tag that was read is the one that the revert goes with; a weak one is none
SELECT workflow._check_revert(:id, pg_temp.fields('{"x": 1, "y": 2}', '"v5"')) AS problem;
SELECT spec ->> 'if_match' AS if_match FROM workflow.effect WHERE effect_id = :id;
SELECT workflow._check_revert(:id, pg_temp.fields('{"x": 1, "y": 2}', 'W/"v5"')) AS problem;
SELECT spec ->> 'if_match' AS if_match FROM workflow.effect WHERE effect_id = :id;
SELECT workflow._check_revert(:id, pg_temp.fields('{"x": 1, "y": 2}', '"v6"')) AS problem;

-- forced: whatever was read
SELECT workflow.revert(reverts, 'test', force => true) = :id AS same FROM workflow.effect WHERE effect_id = :id;
SELECT workflow._check_revert(:id, pg_temp.fields('{"x": 5}', '"v6"')) AS problem;
SELECT spec ? 'if_match' AS has_tag, spec -> 'forced' AS forced FROM workflow.effect WHERE effect_id = :id;

-- where the answer does not show the target, by what was sent
SELECT pg_temp.revert_of('PATCH', '{"x": 1}', '{"method": "PATCH", "path": "/a", "body": {"x": "$.before.body.fields.x", "note": "taken back"}}',
  pg_temp.fields('{"x": 0}'), '{"status": 204, "headers": {}, "body": null}') AS id \gset
SELECT workflow._check_revert(:id, pg_temp.fields('{"x": 1, "note": "theirs"}')) AS same,
       workflow._check_revert(:id, pg_temp.fields('{"x": 2}')) AS changed;

-- where neither does, by the tag alone; else it cannot be told
SELECT pg_temp.revert_of('PUT', '{"value": 1}', '{"method": "PUT", "path": "/a", "body": {"old": "$.before.body.fields"}}',
  pg_temp.fields('{"x": 0}'), '{"status": 200, "headers": {"etag": "\"v2\""}, "body": null}') AS id \gset
SELECT workflow._check_revert(:id, pg_temp.fields('{"x": 1}', '"v2"')) AS same,
       workflow._check_revert(:id, pg_temp.fields('{"x": 1}', '"v3"')) AS cannot_be_told;

-- a value as a whole
SELECT pg_temp.revert_of('PUT', '["a"]', '{"method": "PUT", "path": "/a", "body": "$.before.body.fields"}',
  pg_temp.fields('["b"]'), '{"status": 204, "headers": {}, "body": null}') AS id \gset
SELECT workflow._check_revert(:id, pg_temp.fields('["a"]')) AS same, workflow._check_revert(:id, pg_temp.fields('["c"]')) AS changed;

-- a selector that finds several values says so
SELECT pg_temp.revert_of('PUT', '["a"]', '{"method": "PUT", "path": "/a", "body": "$.before.body.fields[*]"}',
  pg_temp.fields('["b"]'), pg_temp.fields('["a"]')) AS id \gset
SELECT workflow._check_revert(:id, pg_temp.fields('["a"]')) AS same, workflow._check_revert(:id, pg_temp.fields('["a", "b"]')) AS several;

-- without a reading the tag of our own write is sent, where the answer has one of this target
CREATE TEMP TABLE sent AS
SELECT v.*, pg_temp.revert_of(method, '{}', jsonb_build_object('method', 'DELETE', 'path', path), NULL, answer) AS effect_id
FROM (VALUES (1, 'PUT', '/a', '{"status": 200, "headers": {"etag": "\"v2\""}}'::jsonb), (2, 'PUT', '/b', '{"status": 200, "headers": {"etag": "\"v2\""}}'),
             (3, 'PUT', '/a', '{"status": 200, "headers": {"etag": "W/\"v2\""}}'), (4, 'POST', '/a/7', '{"status": 201, "headers": {"etag": "\"v1\""}}'),
             (5, 'POST', '/a', '{"status": 200, "headers": {"etag": "\"v1\""}}'), (6, 'PUT', '/a', '{"status": 500, "headers": {"etag": "\"v1\""}}'))
  AS v (n, method, path, answer);
SELECT s.method, s.path, s.answer -> 'status' AS status, s.answer #>> '{headers,etag}' AS etag, e.spec ->> 'if_match' AS if_match
FROM sent AS s JOIN workflow.effect AS e USING (effect_id) ORDER BY s.n;

-- conditional headers of the action are not for its revert
SELECT pg_temp.revert_of('PUT', '{}', '{"method": "DELETE", "path": "/a"}', NULL, '{"status": 200, "headers": {}}',
                         '{"If-Match": "\"v1\"", "X-Team": "a"}') AS id \gset
SELECT headers FROM workflow.effect WHERE effect_id = :id;
