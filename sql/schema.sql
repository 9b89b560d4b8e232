--
-- schema: JSON Schema validation.
--

CREATE FUNCTION workflow.schema_errors(schema jsonb, instance jsonb)
RETURNS TABLE (path text, keyword text, message text, schema_path text)
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_sql_schema_errors';
COMMENT ON FUNCTION workflow.schema_errors(jsonb, jsonb) IS
  'What a JSON Schema does not allow in a value, a row each; the paths are JSON pointers';

CREATE FUNCTION workflow.schema_valid(schema jsonb, instance jsonb) RETURNS boolean
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_sql_schema_valid';
COMMENT ON FUNCTION workflow.schema_valid(jsonb, jsonb) IS
  'Whether a JSON Schema allows a value';
