--
-- retry: policies and error classes, as values; these wrappers are for tests
-- and for the checks of other rooms.
--

CREATE FUNCTION workflow._retry_decide(policy jsonb, attempt int, error_class text, retry_after interval, random01 float8,
                                       OUT retry bool, OUT charged bool, OUT delay interval)
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_retry_decide_sql';
COMMENT ON FUNCTION workflow._retry_decide(jsonb, int, text, interval, float8) IS
  'Inner: what a failed attempt leads to under a policy; random01 is the chance for the jitter';

CREATE FUNCTION workflow._classify_sqlstate(sqlstate text) RETURNS text
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_retry_classify_sqlstate';
COMMENT ON FUNCTION workflow._classify_sqlstate(text) IS
  'Inner: the error class of an SQLSTATE';

CREATE FUNCTION workflow._check_retry_policy(policy jsonb) RETURNS void
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_retry_check_policy';
COMMENT ON FUNCTION workflow._check_retry_policy(jsonb) IS
  'Inner: raises invalid_parameter_value for anything wrong with a policy, unknown keys included';

CREATE FUNCTION workflow._error_classes() RETURNS text[]
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_retry_error_classes';
COMMENT ON FUNCTION workflow._error_classes() IS 'Inner: all error classes';
