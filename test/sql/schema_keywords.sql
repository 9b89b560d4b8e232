--
-- Schema: what each keyword allows, and what it says of what it does not.
--
CREATE EXTENSION pg_workflow;

-- each row: a schema, a value that it allows, and one that it does not
CREATE TABLE probe (n int GENERATED ALWAYS AS IDENTITY, schema jsonb, good jsonb, bad jsonb);
INSERT INTO probe (schema, good, bad) VALUES
  ('{"multipleOf": 0.01}', '19.99', '19.999'),
  ('{"multipleOf": 3}', '-9', '10'),
  ('{"minLength": 2}', '"äö"', '"ä"'),
  ('{"pattern": "^[a-z]+$"}', '"abc"', '"aBc"'),
  ('{"pattern": "b"}', '"abc"', '"ac"'),
  ('{"uniqueItems": true}', '[1, true, "1", [1], {"a": 1}]', '[{"a": 1, "b": 2}, {"b": 2, "a": 1.0}]'),
  ('{"prefixItems": [{"type": "string"}, {"type": "number"}], "items": false}', '["a", 1]', '["a", 1, 2]'),
  ('{"prefixItems": [{"type": "string"}], "items": {"type": "number"}}', '["a", 1, 2]', '["a", 1, "b"]'),
  ('{"contains": {"type": "number"}}', '["a", 1]', '["a"]'),
  ('{"contains": {"type": "number"}, "minContains": 2, "maxContains": 3}', '[1, 2]', '[1]'),
  ('{"contains": {"type": "number"}, "maxContains": 1}', '[1, "a"]', '[1, 2]'),
  ('{"contains": {"type": "number"}, "minContains": 0}', '[]', null),
  ('{"minProperties": 1, "maxProperties": 2}', '{"a": 1}', '{"a": 1, "b": 2, "c": 3}'),
  ('{"minProperties": 1}', '{"a": 1}', '{}'),
  ('{"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": false}', '{"n_a": 1}', '{"n_a": "x", "m": 1}'),
  ('{"properties": {"a": true}, "patternProperties": {"^x": true}, "additionalProperties": {"type": "null"}}', '{"a": 1, "x": 2, "z": null}', '{"z": 1}'),
  ('{"propertyNames": {"maxLength": 2}}', '{"ab": 1}', '{"abc": 1}'),
  ('{"dependentRequired": {"card": ["name", "street"]}}', '{"name": 1}', '{"card": 1, "name": 1}'),
  ('{"dependentSchemas": {"card": {"required": ["name"]}}}', '{}', '{"card": 1}'),
  ('{"dependencies": {"a": ["b"], "c": {"minProperties": 2}}}', '{"a": 1, "b": 2}', '{"a": 1, "c": 2}'),
  ('{"allOf": [{"minimum": 1}, {"maximum": 2}]}', '1.5', '3'),
  ('{"anyOf": [{"type": "null"}, {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}]}', '{"a": "x"}', '{"a": 1}'),
  ('{"oneOf": [{"minimum": 2}, {"maximum": 3}]}', '1', '2'),
  ('{"oneOf": [{"type": "string"}, {"type": "boolean"}]}', 'true', '2'),
  ('{"not": {"type": "string"}}', '1', '"a"'),
  ('{"if": {"required": ["kind"]}, "then": {"required": ["name"]}, "else": {"required": ["id"]}}', '{"kind": 1, "name": 2}', '{"kind": 1, "id": 2}'),
  ('{"if": {"required": ["kind"]}, "then": {"required": ["name"]}, "else": {"required": ["id"]}}', '{"id": 2}', '{}'),
  ('{"then": false, "else": false}', '1', null),
  ('{"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false}', '{"a": 1}', '{"a": 1, "b": 2}'),
  ('{"anyOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": true}}], "unevaluatedProperties": false}',
   '{"b": 1}', '{"a": 2}'),
  ('{"if": {"properties": {"a": {"const": 1}}, "required": ["a"]}, "then": {"properties": {"b": true}}, "unevaluatedProperties": {"type": "null"}}',
   '{"a": 1, "b": 2, "c": null}', '{"a": 2}'),
  ('{"prefixItems": [true], "contains": {"type": "string"}, "unevaluatedItems": {"type": "number"}}', '[null, "x", 3]', '[null, "x", null]'),
  ('{"$ref": "#/$defs/p", "unevaluatedProperties": false, "$defs": {"p": {"properties": {"a": true}}}}', '{"a": 1}', '{"b": 1}'),
  ('{"definitions": {"p": {"minimum": 3}}, "items": {"$ref": "#/definitions/p"}}', '[3]', '[2]'),
  ('{"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}], "additionalItems": {"type": "null"}}', '["a", null]', '["a", 1]'),
  ('{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/s", "minLength": 5, "definitions": {"s": {"type": "string"}}}', '"a"', '1'),
  ('{"$schema": "https://json-schema.org/draft/2019-09/schema", "items": [{"type": "string"}], "additionalItems": false, "$ref": "#/$defs/s", "$defs": {"s": {"maxItems": 3}}}',
   '["a"]', '["a", 1]'),
  ('{"enum": [1, "a", null, {"a": [1, 2]}]}', '{"a": [1.0, 2]}', '{"a": [2, 1]}'),
  ('{"minimum": 1e40}', '1e41', '1e39'),
  ('{"type": ["integer", "null"]}', '1.0', '1.5'),
  ('{"exclusiveMinimum": 1, "exclusiveMaximum": 2}', '1.1', '1'),
  -- what each branch that fits has seen counts, and what was unevaluated within one of them; elements that "contains" allows since draft 2020-12
  ('{"anyOf": [{"properties": {"a": true}}, {"properties": {"b": true}}], "unevaluatedProperties": false}', '{"a": 1, "b": 2}', '{"a": 1, "c": 3}'),
  ('{"allOf": [{"unevaluatedProperties": {"type": "number"}}], "unevaluatedProperties": false}', '{"a": 1}', '{"a": "x"}'),
  ('{"$schema": "https://json-schema.org/draft/2019-09/schema", "contains": {"type": "string"}, "minContains": 0, "unevaluatedItems": false}', '[]', '["a"]'),
  -- an anchor is of its resource
  ('{"$id": "http://x.example/", "items": {"$ref": "c#s"}, "$defs": {"p": {"$id": "b", "$anchor": "s", "type": "string"}, "q": {"$id": "c", "$anchor": "s", "type": "number"}}}',
   '[1]', '["a"]');

SELECT n, schema, good FROM probe WHERE NOT workflow.schema_valid(schema, good);
SELECT n, schema, bad FROM probe WHERE bad IS NOT NULL AND workflow.schema_valid(schema, bad);
SELECT p.n, e.path, e.keyword, e.schema_path, e.message
FROM probe AS p, LATERAL workflow.schema_errors(p.schema, p.bad) WITH ORDINALITY AS e ORDER BY p.n, e.ordinality;

-- patterns are those of JavaScript
SELECT p.pattern, s.string, workflow.schema_valid(jsonb_build_object('pattern', p.pattern), to_jsonb(s.string)) AS matches
FROM (VALUES ('^\d+$', ARRAY['12', '1٢']), ('^\w$', ARRAY['_', 'ä']), ('^\s$', ARRAY[U&'\00a0', U&'\3000', 'x']), ('^[\s\S]$', ARRAY[E'\n', 'x']),
  ('^[^\D]$', ARRAY['1', 'a']), ('^.$', ARRAY['x', E'\n']), ('^[^]$', ARRAY[E'\n']), ('\bb\b', ARRAY['a b', 'ab']), ('\Bb', ARRAY['ab', 'b']),
  ('^\x41\u0042\u{43}$', ARRAY['ABC']), ('^(?<year>\d{4})-\d\d$', ARRAY['2026-11', '2026-1']), ('^(a)\1$', ARRAY['aa', 'ab']), ('^a(?=b)', ARRAY['ab', 'ac']),
  ('(?<!a)b', ARRAY['ab', 'cb']), ('^[[:]+$', ARRAY['[:', 'a']), ('^a{2,3}?$', ARRAY['aa', 'a']), ('^[\w.-]+@[\w-]+\.[a-z]{2,}$', ARRAY['a.b@c-d.org', 'a@b']),
  ('^\cJ$', ARRAY[E'\n']), ('^a\/b$', ARRAY['a/b'])) AS p (pattern, strings), unnest(p.strings) AS s (string);
-- or they are refused
SELECT workflow.schema_valid(jsonb_build_object('allOf', jsonb_agg(jsonb_build_object('pattern', p.pattern))), '1')
FROM unnest(ARRAY['(', '*a', '[a', 'a\', '\p{Greek}', '(?i)a', '\xg', '\u{}', '[]', '(?<a', 'a{1,30000}', '\k<a>', '***=a']) AS p (pattern);

-- what applies itself to the same value only if a member is there does so without end, too
SELECT workflow.schema_valid('{"dependentSchemas": {"a": {"$ref": "#"}}}', '{}');

-- values of keywords that are none
SELECT workflow.schema_valid('{"multipleOf": 0, "minLength": 1.5, "maxItems": "1", "uniqueItems": 1, "prefixItems": {}, "items": [true], "contains": 1,
  "minContains": -1, "minProperties": null, "properties": [], "patternProperties": {"(": true, "^x": {}, "^a{9999}$": {}}, "dependentRequired": {"a": "b"}, "dependentSchemas": {"a": ["b"]},
  "allOf": [], "anyOf": {}, "if": 1, "then": 1, "$defs": [1], "$id": 1, "additionalItems": true, "addtionalProperties": false, "enum": {}}', '1');
