--
-- Schema: what JSON Schemas allow, and which schemas are refused.
--
CREATE EXTENSION pg_workflow;

-- each keyword judges; the same instance may break several
SELECT path, schema_path, keyword, message
FROM workflow.schema_errors('{
  "type": "object",
  "required": ["industry", "confidence"],
  "properties": {
    "industry": {"enum": ["retail", "steel"]},
    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    "tags": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "minLength": 2, "maxLength": 4}},
    "fit": {"type": ["integer", "null"], "exclusiveMinimum": 0, "exclusiveMaximum": 10},
    "kind": {"const": {"a": 1}},
    "a/b~c": false
  },
  "additionalProperties": false}',
 '{"industry": "wood", "confidence": 1.5, "tags": ["x", "abcde", 3], "fit": 10, "kind": {"a": 2}, "a/b~c": 1, "extra": true}');

-- an instance that is allowed has no errors
SELECT count(*) FROM workflow.schema_errors(
  '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}', '{"n": 1.0}');

-- values are compared as JSON: 1 and 1.0 are equal, the order of members does not count
SELECT schema, instance, workflow.schema_valid(schema::jsonb, instance::jsonb)
FROM (VALUES
  ('true', '1'),
  ('false', '1'),
  ('{}', 'null'),
  ('{"type": "integer"}', '1.5'),
  ('{"type": "string"}', '"x"'),
  ('{"type": "null"}', 'null'),
  ('{"const": 1}', '1.0'),
  ('{"enum": [{"a": 1, "b": 2}]}', '{"b": 2, "a": 1}'),
  ('{"enum": [[1, 2]]}', '[2, 1]'),
  ('{"minimum": 3}', '"not a number"'),
  ('{"maxLength": 3}', '"äöü"'),
  ('{"items": {"type": "number"}}', '[1, "2"]'),
  ('{"properties": {"a": {}}, "additionalProperties": {"type": "number"}}', '{"a": "x", "b": "y"}'),
  ('{"title": "t", "description": "d", "default": 1, "examples": [], "format": "date",
     "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x", "$comment": "c"}', '1')
) AS t (schema, instance);

-- a schema that we cannot judge by is refused, with all its faults
SELECT workflow.schema_valid('{"typ": "object", "minimum": "1", "maxLength": -1, "required": [1],
  "properties": {"a": {"type": "strin"}, "b": 7}, "items": {"pattern": "(?i)x"}, "enum": 1, "type": [],
  "$schema": "http://example.com/mine"}', '1');

-- what a schema refers to is in it; what leads out of it, nowhere or to itself for ever is refused
SELECT r.schema, e.keyword, e.schema_path, e.message
FROM (VALUES
  ('{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}'),
  ('{"$ref": "#a", "$defs": {"x": {"$anchor": "a", "type": "string"}}}'),
  ('{"$id": "http://example.com/s/", "$ref": "t", "$defs": {"x": {"$id": "t", "type": "string"}}}'),
  ('{"$id": "http://example.com/s/u", "$ref": "../t#/$defs/y", "$defs": {"x": {"$id": "http://example.com/t", "$defs": {"y": {"type": "string"}}}}}'),
  ('{"$ref": "#/$defs/a~1b%25c", "$defs": {"a/b%c": {"type": "string"}}}'),
  ('{"$ref": "#/allOf/1", "allOf": [true, {"type": "string"}]}'),
  ('{"$id": "http://example.com/s/", "$dynamicRef": "#n", "$defs": {"x": {"$dynamicAnchor": "n", "type": "string"}}}'),
  ('{"$dynamicRef": "#/$defs/x", "$defs": {"x": {"type": "string"}}}')) AS r (schema),
  workflow.schema_errors(r.schema::jsonb, '1') AS e;
SELECT workflow.schema_valid('{"properties": {"a": {"$ref": "other.json"}, "b": {"$ref": "#/$defs/none"}, "c": {"$ref": "#none"}, "d": {"$ref": 1},
  "e": {"$dynamicRef": "#x"}, "f": {"$schema": "http://json-schema.org/draft-07/schema#"}}}', '1');
SELECT workflow.schema_valid('{"$dynamicRef": "#n", "$defs": {"x": {"$id": "t", "$dynamicAnchor": "n"}, "y": {"$dynamicAnchor": "n"}}}', '1');
SELECT workflow.schema_valid('{"$schema": "http://json-schema.org/draft-07/schema#", "allOf": [{"$dynamicRef": "#"}]}', '1');
SELECT workflow.schema_valid('{"$ref": "#"}', '1');
SELECT workflow.schema_valid('{"$dynamicRef": "#"}', '1');
SELECT workflow.schema_valid('{"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"not": {"$ref": "#"}}]}}}', '1');
-- a circle that goes deeper into the value ends with it
SELECT i.instance, e.path, e.message
FROM (VALUES ('{"n": 1, "next": {"n": 2, "next": null}}'), ('{"n": 1, "next": {"n": "2", "next": {"next": 1}}}')) AS i (instance),
  workflow.schema_errors('{"type": ["object", "null"], "properties": {"n": {"type": "integer"}, "next": {"$ref": "#"}}}', i.instance::jsonb) AS e;

-- the work of a schema is bounded
SELECT workflow.schema_valid(('{"$ref": "#/$defs/0", "$defs": {' ||
  string_agg(format('"%s": {"allOf": [{"$ref": "#/$defs/%s"}, {"$ref": "#/$defs/%s"}]}', n, n + 1, n + 1), ', ' ORDER BY n) || ', "40": true}}')::jsonb, '1')
FROM generate_series(0, 39) AS n;

-- many schemas go through a session: what was compiled is dropped again, and right when it comes back
SELECT count(*), count(DISTINCT n) FILTER (WHERE v)
FROM (SELECT n, workflow.schema_valid(format('{"const": %s}', n)::jsonb, to_jsonb(n)) AS v FROM generate_series(1, 300) AS n, generate_series(1, 3)) AS t;
SELECT total_bytes < 20000000 AS bounded
FROM (SELECT sum(total_bytes) AS total_bytes FROM pg_backend_memory_contexts WHERE name LIKE 'pg_workflow schema%') AS m;

-- they are so many at most, and take so much at most; one that is asked for again and again stays
SELECT count(*) BETWEEN 100 AND 129 AS bounded FROM pg_backend_memory_contexts WHERE name = 'pg_workflow schema';
SELECT count(*) FILTER (WHERE NOT workflow.schema_valid(s.large, 'null')) AS refuse
FROM (SELECT jsonb_build_object('enum', jsonb_agg(repeat(md5(format('%s %s', n, i)), 100))) AS large FROM generate_series(1, 60) AS n, generate_series(1, 60) AS i GROUP BY n) AS s;
SELECT sum(total_bytes) < 10000000 AS bounded FROM pg_backend_memory_contexts WHERE name = 'pg_workflow schema';
SELECT jsonb_build_object('enum', jsonb_agg(repeat(md5(i::text), 1000))) AS often FROM generate_series(1, 30) AS i \gset
SELECT count(*) FILTER (WHERE workflow.schema_valid(o.often, 'null') OR workflow.schema_valid(format('{"const": %s}', n)::jsonb, '0')) AS allow
FROM (SELECT :'often'::jsonb AS often OFFSET 0) AS o, generate_series(1, 300) AS n;
SELECT max(total_bytes) > 500000 AS is_there FROM pg_backend_memory_contexts WHERE name = 'pg_workflow schema';

-- depth is bounded by an error, not by a crash
\set VERBOSITY sqlstate
SELECT workflow.schema_valid(
  (repeat('{"items":', 60000) || '{}' || repeat('}', 60000))::jsonb,
  (repeat('[', 60000) || repeat(']', 60000))::jsonb);
