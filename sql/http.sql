--
-- http
--

CREATE FUNCTION workflow._address_is_allowed(address text, allow_private text DEFAULT '') RETURNS boolean
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wf_inner_address_is_allowed';
COMMENT ON FUNCTION workflow._address_is_allowed(text, text) IS
  'Inner: whether a call may go to an address, given a range that is exempt; what is no numeric address is refused';
