--
-- The bytes of a request: JSON, forms, parts, text and bytes; and what is refused.
--
CREATE EXTENSION pg_workflow;
\set VERBOSITY terse
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://crm.example.com', dedup 'key', header_x_tenant 'acme');

-- how a body is kept: its type, and the bytes that are sent
CREATE FUNCTION sent(key text) RETURNS text LANGUAGE sql AS $$
  SELECT content_type || E'\n' || replace(convert_from(body, 'UTF8'), E'\r\n', E'\n')
  FROM workflow.effect WHERE effect.key = sent.key
$$;

-- JSON unless it is said otherwise; other types of JSON are JSON
SELECT workflow.call('crm', 'POST', '/a', '{"b": "é"}', 'json') > 0 AS made;
SELECT sent('json');
SELECT workflow.call('crm', 'PATCH', '/a', '{"b": null}', 'patch', content_type => 'application/merge-patch+json') > 0 AS made;
SELECT sent('patch');
SELECT workflow.call('crm', 'POST', '/a', 'null', 'null') > 0 AS made;
SELECT sent('null');
-- a header that says the type is as good
SELECT workflow.call('crm', 'POST', '/a', '"<a/>"', 'xml', '{"content-TYPE": "text/xml; charset=utf-8"}') > 0 AS made;
SELECT sent('xml');

-- a form: an array is several fields, null is none
SELECT workflow.call('crm', 'POST', '/a',
  '{"a b": "1 & 2=é", "n": 1.50, "yes": true, "none": null, "tag": ["x", "y"], "line": "a\r\nb"}',
  'form', content_type => 'application/x-www-form-urlencoded') > 0 AS made;
SELECT sent('form');

-- parts: nothing in a name can end its line, and the boundary is made of what is sent
SELECT workflow.call('crm', 'POST', '/a',
  '{"note": "first\r\n--wf-x", "a\"\r\nX-Evil: b": "c", "meta": {"content": {"a": 1}},
    "file": {"filename": "in\r\n\"voice\".pdf", "content_type": "application/pdf", "base64": "JVBE\nRg=="},
    "raw": {"base64": "AAE="}, "tag": ["x", 2]}',
  'parts', content_type => 'multipart/form-data') > 0 AS made;
SELECT content_type || E'\n' || replace(encode(body, 'escape'), E'\r\n', E'\n') FROM workflow.effect WHERE key = 'parts';
-- the same parts are the same request, others are not
SELECT workflow.call('crm', 'POST', '/a', '{"a": "1"}', 'same', content_type => 'multipart/form-data') =
       workflow.call('crm', 'POST', '/a', '{"a": 1}', 'same', content_type => 'multipart/form-data') AS same_effect;
SELECT workflow.call('crm', 'POST', '/a', '{"a": 2}', 'same', content_type => 'multipart/form-data');

-- text and bytes as they are
SELECT workflow.call('crm', 'PUT', '/a', '"hello\n"', 'text', content_type => 'text/plain') > 0 AS made;
SELECT sent('text');
SELECT workflow.call('crm', 'PUT', '/a', '{"base64": "AP8="}', 'base64', content_type => 'image/png') > 0 AS made;
SELECT workflow.call('crm', 'PUT', '/a', key => 'bytes', body_bytes => '\x00ff') > 0 AS made;
SELECT key, content_type, body FROM workflow.effect WHERE key IN ('base64', 'bytes') ORDER BY key;
-- the type is part of the request
SELECT workflow.call('crm', 'PUT', '/a', key => 'bytes', body_bytes => '\x00ff', content_type => 'image/png');

-- what cannot be sent as it is said is refused
\set VERBOSITY default
SELECT workflow.call('crm', 'POST', '/a', '{"a": {"b": 1}}', 'no', content_type => 'application/x-www-form-urlencoded');
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT workflow.call('crm', 'POST', '/a', '["a"]', 'no', content_type => 'application/x-www-form-urlencoded');
SELECT workflow.call('crm', 'POST', '/a', '{"a": {}}', 'no', content_type => 'multipart/form-data');
SELECT workflow.call('crm', 'POST', '/a', '{"a": {"content": "b", "base64": ""}}', 'no', content_type => 'multipart/form-data');
SELECT workflow.call('crm', 'POST', '/a', '{"a": {"content": "b", "file_name": "c"}}', 'no', content_type => 'multipart/form-data');
SELECT workflow.call('crm', 'POST', '/a', '{"a": {"content": "b", "content_type": "text/plain\r\nX: y"}}', 'no', content_type => 'multipart/form-data');
SELECT workflow.call('crm', 'POST', '/a', '{"a": {"base64": "*"}}', 'no', content_type => 'multipart/form-data');
SELECT workflow.call('crm', 'POST', '/a', '{"a": {"base64": 1}}', 'no', content_type => 'multipart/form-data');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'no', content_type => 'multipart/form-data');
SELECT workflow.call('crm', 'POST', '/a', '{"a": "b"}', 'no', content_type => 'multipart/form-data; boundary=b');
SELECT workflow.call('crm', 'POST', '/a', '{"a": "b"}', 'no', content_type => 'text/plain');
SELECT workflow.call('crm', 'POST', '/a', '"a"', 'no', content_type => 'text');
SELECT workflow.call('crm', 'POST', '/a', '"a"', 'no', content_type => E'text/plain\r\nX: y');
SELECT workflow.call('crm', 'POST', '/a', '"a"', 'no', content_type => '');
SELECT workflow.call('crm', 'POST', '/a', '"a"', 'no', '{"Content-Type": "text/plain"}', content_type => 'text/plain');
SELECT workflow.call('crm', 'POST', '/a', '{}', 'no', body_bytes => '\x00');
SELECT workflow.call('crm', 'HEAD', '/a', '{}', 'no');

-- nor can headers that are somebody else's
CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (header_secret_x_api_key 'api');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Host": "b"}');
\set VERBOSITY sqlstate
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Content-Length": "1"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Transfer-Encoding": "chunked"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Connection": "close"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Keep-Alive": "1"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"TE": "trailers"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Trailer": "x"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Upgrade": "h2c"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"HTTP2-Settings": "x"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Expect": "100-continue"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Proxy-Connection": "x"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"Cookie": "a=b"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"webhook-signature": "x"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"x": ["a"]}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"x": null}');
\set VERBOSITY terse
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"X-Api-Key": "mine"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"X-Tenant": "other"}');
SELECT workflow.call('crm', 'GET', '/a', NULL, 'no', '{"X-A": "b", "x-a": "c"}');

-- nor paths that mean another place to somebody
\set VERBOSITY sqlstate
SELECT workflow.call('crm', 'GET', '//evil.example.com/a', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a/..%2fadmin', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a%5C..%5Cadmin', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a/..;/admin', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a/.%2E', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a\admin', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a#b', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/é', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a%', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a%0', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/{$.a}', NULL, 'no');
SELECT workflow.call('crm', 'GET', '/a b', NULL, 'no');
SELECT count(*) FROM workflow.effect WHERE key = 'no';
SELECT workflow.call('crm', 'GET', '/a%2Fb/..c/d..;e=f?g=%2F..%2F&h=/../', NULL, 'fine') > 0 AS made;
\set VERBOSITY terse

-- what an item's data puts into a path stays within its segment
SELECT workflow._render_path('/a/{$.x}/b?c={$.y}', '{"x": "?q=1#/../\r\nHost: e", "y": "1&d=2 é"}');
SELECT workflow._render_path('/a/{$.x}', '{"x": ".."}');
