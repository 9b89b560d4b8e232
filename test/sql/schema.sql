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
  "properties": {"a": {"type": "strin"}, "b": 7}, "items": {"pattern": "x"}, "enum": 1, "type": [],
  "$schema": "http://example.com/mine"}', '1');

-- depth is bounded by an error, not by a crash
\set VERBOSITY sqlstate
SELECT workflow.schema_valid(
  (repeat('{"items":', 60000) || '{}' || repeat('}', 60000))::jsonb,
  (repeat('[', 60000) || repeat(']', 60000))::jsonb);
