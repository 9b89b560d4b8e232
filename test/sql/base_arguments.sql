--
-- What null means to a public function: an argument without a default has to be given, be it by null or not at all (22004);
-- null for one that has a default is what leaving it out is.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\pset format unaligned
\pset tuples_only
-- all that a function may be asked about is called nil, or is number 1
CREATE SERVER nil FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://nil.invalid', dedup 'key');
SELECT workflow.define('{
  "workflow": "nil", "owner": "me", "key": ["$.id"], "initial": "A",
  "queues": {"nil": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"A": {"task": {"queue": "nil"}, "on": {"ok": "B", "go": "B"}},
             "B": {"review": {"queue": "nil", "decisions": ["ok"]}, "on": {"ok": "C"}}, "C": {"final": "c"}}}');
SELECT workflow.define('{"workflow": "nil", "owner": "me", "key": ["$.id"], "initial": "A", "states": {"A": {"on": {"go": "B"}}, "B": {"final": "b"}}}');
SELECT workflow.activate('nil', 1);
SELECT workflow.new('nil', from_version => 1);
SELECT workflow.create_queue('nil2', 'me', '1 hour', '{you}');
SELECT workflow.create_source('nil', 'none');
SELECT state FROM workflow.submit('nil', '{"id": 1}');
SELECT state FROM workflow.submit('nil', '{"id": 2}');
SELECT state FROM workflow.send('nil:2', 'go');
SELECT workflow.call('nil', 'POST', '/nil', '{}', key => 'nil');
CREATE TABLE nil (id bigint PRIMARY KEY, state text);
CREATE ROLE regress_nil;
SELECT c.job_id AS job, c.token FROM workflow.claim('nil', 'me', lease => '1 hour') AS c \gset
CREATE TEMP TABLE given (name text, value text);
INSERT INTO given VALUES
  ('version', '1'), ('from_version', '1'), ('to_version', '2'), ('state', 'A'), ('from_state', 'A'), ('to_state', 'A'), ('event', 'go'), ('initial', 'A'),
  ('place', '{states,A}'), ('body', '{}'), ('document', '{}'), ('sla', '1 hour'), ('lease', '1 hour'), ('method', 'POST'), ('path', '/nil'),
  ('decision', 'ok'), ('resolution', 'applied'), ('evidence', 'applied'), ('outcome', 'succeeded'), ('error_class', 'timeout'),
  ('token', :'token'), ('job_id', :'job'), ('tokens', format('{%s}', :'token')), ('job_ids', format('{%s}', :'job')), ('ids', '{1}'), ('effect_ids', '{1}'),
  ('role', 'regress_nil'), ('to_role', 'regress_nil'), ('kind', 'monitor'), ('scheme', 'github'), ('relation', 'nil'), ('state_column', 'state'),
  ('key_column', 'id'), ('keys', '{nil}'), ('evidence_references', '{nil}'), ('escalate_to', '{you}'), ('subscriber', 'nil2'), ('inputs', '{"{\"id\": 3}"}'),
  ('input', '{"id": 3}'), ('payloads', '{"{}"}'), ('filter', '{"queue": "nil"}'), ('max_wait', '0'), ('since', '1 day'), ('older_than', '1 day');
CREATE FUNCTION pg_temp.value_of(called text, type oid) RETURNS text LANGUAGE sql AS $$
  SELECT coalesce((SELECT g.value FROM given AS g WHERE g.name = called), CASE format_type(type, NULL)
    WHEN 'bigint' THEN '1' WHEN 'integer' THEN '1' WHEN 'boolean' THEN 'false' WHEN 'numeric' THEN '1' WHEN 'jsonb' THEN '{}' WHEN 'json' THEN '{}'
    WHEN 'interval' THEN '1 hour' WHEN 'oid' THEN '1' WHEN 'timestamp with time zone' THEN '2001-01-01' WHEN 'uuid' THEN '00000000-0000-0000-0000-000000000001'
    ELSE CASE called WHEN 'item' THEN 'nil:1' ELSE 'nil' END END)
$$;
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RAISE EXCEPTION 'passed' USING ERRCODE = 'ZZ000';
EXCEPTION WHEN OTHERS THEN
  RETURN CASE SQLSTATE WHEN 'ZZ000' THEN 'passed' ELSE SQLSTATE END;
END $$;
-- each argument of each public function is null in turn; those without a default are given
CREATE TEMP TABLE call AS
SELECT p.oid, p.proname, a.name, a.n > p.pronargs - p.pronargdefaults AS may_be_left_out,
       format(CASE p.prokind WHEN 'p' THEN 'CALL workflow.%I(%%s)' ELSE 'SELECT * FROM workflow.%I(%%s)' END, p.proname) AS statement, given.args, quote_ident(a.name) || ' => NULL::' || format_type(a.type, NULL) AS missing
FROM pg_proc AS p, LATERAL unnest(p.proargtypes::oid[], p.proargnames) WITH ORDINALITY AS a (type, name, n), LATERAL (
  SELECT array_agg(format('%I => %L::%s', o.name, pg_temp.value_of(o.name, o.type), format_type(o.type, NULL)) ORDER BY o.n) AS args
  FROM unnest(p.proargtypes::oid[], p.proargnames) WITH ORDINALITY AS o (type, name, n)
  WHERE o.type IS NOT NULL AND o.n <> a.n AND o.n <= p.pronargs - p.pronargdefaults) AS given
WHERE p.pronamespace = 'workflow'::regnamespace AND p.proname NOT LIKE '\_%' AND p.proname <> 'endpoint_validator' AND a.type IS NOT NULL
  AND p.provariadic = 0;
SELECT count(*) FILTER (WHERE NOT may_be_left_out) > 150 AND count(*) FILTER (WHERE may_be_left_out) > 100 FROM call;
-- but for those where null means something: any state, no item, the caller's name, no headers; schemas are values, as STRICT functions take them
SELECT statement, missing, code FROM call, pg_temp.attempt(format(statement, array_to_string(args || missing, ', '))) AS code
WHERE NOT may_be_left_out AND code NOT IN ('22004', '25001') ORDER BY statement COLLATE "C", missing COLLATE "C";
-- or it is refused, too
SELECT statement, missing, code, without FROM call, pg_temp.attempt(format(statement, array_to_string(args || missing, ', '))) AS code,
  pg_temp.attempt(format(statement, array_to_string(args, ', '))) AS without
WHERE may_be_left_out AND code <> without ORDER BY statement COLLATE "C", missing COLLATE "C";
-- procedures that are called on their own
\set VERBOSITY sqlstate
CALL workflow.subscribe(NULL, 'nil2');
CALL workflow.subscribe('nil', NULL);
CALL workflow.wait_for_job(NULL, '0');
CALL workflow.wait_for_job('nil', NULL);
\set VERBOSITY default
-- how it is said, and of which function
SELECT workflow.where_is(NULL::bigint);
SELECT workflow.where_is(NULL::text);
SELECT workflow.resolve(1, NULL, 'x');
SELECT workflow.verify_table(NULL);
DROP ROLE regress_nil;
