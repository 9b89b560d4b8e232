-- What a validation costs: the schema of the demo, half a million times, beside a call
-- that only looks at both values.
--
--   psql -X -f bench/schema.sql      in a database with the extension, from the top of the repository

\set definition `cat examples/crm_enrichment/definition.json`
CREATE TEMP TABLE probe AS
  SELECT v #> '{validate,schema}' AS schema,
         '{"industry": "Logistics", "summary": "Ships parcels in the north", "icp_fit": "weak",
           "evidence": ["a fleet of vans", "a depot"], "confidence": 0.97}'::jsonb AS instance
  FROM jsonb_each((:'definition')::jsonb -> 'states') AS e (k, v) WHERE v ? 'validate';
SELECT workflow.schema_valid(schema, instance) FROM probe;
\timing on
SELECT count(*) FILTER (WHERE jsonb_typeof(schema) = jsonb_typeof(instance)) FROM probe, generate_series(1, 500000);
SELECT count(*) FILTER (WHERE workflow.schema_valid(schema, instance)) FROM probe, generate_series(1, 500000);
