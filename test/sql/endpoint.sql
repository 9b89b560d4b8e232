--
-- Endpoints: which options there are, who may set which, and who may use them.
--
CREATE EXTENSION pg_workflow;
\set VERBOSITY terse

-- an endpoint says where effects go and how a second copy is treated
CREATE SERVER no_url FOREIGN DATA WRAPPER workflow_http OPTIONS (dedup 'key');
CREATE SERVER no_dedup FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com');
CREATE SERVER odd_dedup FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'maybe');
-- without deduplication somebody must be asked
CREATE SERVER no_owner FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'none');
CREATE SERVER pay FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'none', owner 'finance');

-- an unknown option is refused, and the hint names those there are
\set VERBOSITY default
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', timeuot '3s');
CREATE USER MAPPING FOR CURRENT_USER SERVER pay OPTIONS (password 'hunter2');
\set VERBOSITY terse

-- values are checked
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'ftp://example.com', dedup 'key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://user@example.com', dedup 'key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com/?a=b', dedup 'key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://', dedup 'key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https:///path', dedup 'key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com:99999', dedup 'key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com:', dedup 'key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://[::1', dedup 'key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://[::1]x', dedup 'key');
-- a key in a header that says something else, or that the client writes, would not arrive as one
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_header 'Content-Type');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_header 'authorization');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_header 'Host');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_header 'If-Match');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_header 'Accept');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_header 'webhook-id');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', timeout '1 hour');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', timeout 'soon');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', max_in_flight '0');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', rate_limit 'fast');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', max_response '1GB');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', allow_private '10.0.0.0/33');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', on_5xx 'shrug');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', in_progress '200');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', "header_x y" 'z');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', header_x E'a\r\nb: c');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', ca_file 'ca.pem');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', pinned_key 'sha256//short=');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', pinned_key '/etc/passwd');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', proxy 'socks5://proxy');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', proxy 'http://user:pw@proxy');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', http_version '3');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', stall_timeout '1 hour');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_secret '../key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', header_host 'evil');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', breaker_failures '0');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', breaker_failures 'never');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', breaker_rate '0.5');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', breaker_rate '101%');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', breaker_window '0 s');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', breaker_cooldown 'off');
CREATE USER MAPPING FOR CURRENT_USER SERVER pay OPTIONS (bearer_secret '../../etc/passwd');
CREATE USER MAPPING FOR CURRENT_USER SERVER pay OPTIONS (header_secret_host 'token');
-- some do not go together, and none is a place for credentials
\set VERBOSITY default
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', header_authorization 'Bearer x');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', header_secret_x_key 'x');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'none', owner 'finance', http_version '2');
\set VERBOSITY terse
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_file '/k');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'key', cert_file '/c', key_file '/k', key_secret 'k');
CREATE SERVER tls FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'key', cert_file '/c', key_secret 'k', http_version '2', stall_timeout '5s',
           proxy 'http://[fd00::1]:3128',
           pinned_key 'sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;sha256//BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=');
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://crm.example.com/api/', dedup 'key', timeout '30s', connect_timeout '2s', max_in_flight '16',
           rate_limit '50/second', max_request '64kB', max_response '256kB', key_header 'Idempotency-Key',
           key_format 'string', key_ttl '7 days', in_progress '409,425', mismatch '', already_done '404',
           rejects '503', on_5xx 'reexecuted', header_x_tenant 'acme', breaker_failures 'off', breaker_rate '50%',
           breaker_window '1 minute', breaker_cooldown '10 seconds');
ALTER SERVER crm OPTIONS (DROP dedup);

-- a lookup finds out what became of an outcome that is not known
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', lookup_path '/a/{id}', lookup_found '$.status == 200');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', lookup_path '/a/{key', lookup_found '$.status == 200');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', lookup_path '/a/../{key}', lookup_found '$.status == 200');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', lookup_path '/a/{key}', lookup_found '$.status =');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', lookup_path '/a/{key}', lookup_found '$.x', lookup_method 'POST');
\set VERBOSITY default
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', lookup_path '/a/{key}');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', lookup_settle '1 minute');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'none', owner 'finance', lookup_path '/a/{key}', lookup_found '$.x', absent_is_proof 'true');

-- what follows an unknown outcome can only be made more careful
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'none', owner 'finance', on_unknown 'probe');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'none', owner 'finance', lookup_path '/a/{key}', lookup_found '$.x', on_unknown 'resend');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', on_unknown 'probe');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'pure', on_unknown 'hold');
CREATE SERVER careful FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'none', owner 'finance', lookup_path '/a/{sent_key}?b={$.body.b}', lookup_found '$.x', on_unknown 'hold');

CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', accepted 'probe');

-- a receiver that does not know keys has no key options
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'natural', key_ttl '1 hour');

-- the key is in one place, and a status has one meaning
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_pointer '/id', key_header 'X-Key');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_pointer 'id');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', ignored_marker 'Idempotency Status');
CREATE SERVER odd FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', in_progress '409,425', mismatch '409');

-- a key in the body is put there when the call is intended
CREATE SERVER square FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', key_pointer '/meta/idempotency~1key');
SELECT workflow.call('square', 'POST', '/pay', '{"amount": 1, "meta": {"a": 1}}', 'one') AS id \gset
SELECT convert_from(e.body, 'UTF8') AS body FROM workflow.effect AS e WHERE e.effect_id = :id;
SELECT workflow.call('square', 'POST', '/pay', '{"meta": {"idempotency/key": "mine"}}', 'two');
SELECT workflow.call('square', 'POST', '/pay', '{"meta": 1}', 'two');
SELECT workflow.call('square', 'POST', '/pay', '[1]', 'two');
SELECT workflow.call('square', 'POST', '/pay', key => 'two');
SELECT workflow.call('square', 'GET', '/pay', key => 'two') > 0 AS needs_no_key;
\set VERBOSITY terse

-- nobody is granted the wrapper, and the network of the host is an administrator's
CREATE ROLE endpoint_app;
SET ROLE endpoint_app;
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key');
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER workflow_http TO endpoint_app;
GRANT CREATE ON DATABASE :"DBNAME" TO endpoint_app;
SET ROLE endpoint_app;
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://example.com', dedup 'key', allow_http 'true');
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'key', allow_private '127.0.0.0/8');
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'key', ca_file '/etc/passwd');
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key', cert_file '/c');
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'key', key_file '/k', cert_file '/c');
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'key', proxy 'http://169.254.169.254');
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url 'https://example.com', dedup 'key', pinned_key 'sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=');
CREATE SERVER mine FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://example.com', dedup 'key');
CREATE USER MAPPING FOR endpoint_app SERVER mine OPTIONS (bearer_secret 'token');
RESET ROLE;
GRANT pg_read_server_files TO endpoint_app;
SET ROLE endpoint_app;
CREATE USER MAPPING FOR endpoint_app SERVER mine
  OPTIONS (bearer_secret 'token', header_secret_x_api_key 'api-key', signing_secret 'sign');
RESET ROLE;

-- USAGE on the server is the list of who may call
GRANT USAGE ON SCHEMA workflow TO endpoint_app;
GRANT EXECUTE ON FUNCTION workflow.call TO endpoint_app;
SET ROLE endpoint_app;
\set VERBOSITY default
SELECT workflow.call('crm', 'POST', '/accounts', '{}', 'k');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER crm TO endpoint_app;
SET ROLE endpoint_app;
SELECT workflow.call('crm', 'POST', '/accounts', '{}', 'k') > 0 AS reserved;

-- the refusal of a URL says what would allow it
RESET ROLE;
CREATE SERVER "Plain" FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://example.com', dedup 'key');
SELECT workflow.call('Plain', 'GET', '/');
SELECT workflow.call('missing', 'GET', '/');
CREATE FOREIGN DATA WRAPPER other_wrapper;
CREATE SERVER other FOREIGN DATA WRAPPER other_wrapper;
SELECT workflow.call('other', 'GET', '/');

-- renaming a server does not open a new key space; making it anew does not either
ALTER SERVER crm RENAME TO crm_new;
SELECT workflow.call('crm_new', 'POST', '/accounts', '{}', 'k') = effect_id AS same_effect, endpoint
FROM workflow.effects WHERE key = 'k';
SELECT endpoint, key FROM workflow.effects;
DROP SERVER crm_new CASCADE;
CREATE SERVER crm_new FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');
SELECT workflow.call('crm_new', 'POST', '/accounts', '{}', 'k') = effect_id AS same_effect
FROM workflow.effects WHERE key = 'k';

-- nor do both, before it is used again, whoever owns it; a name that has keys of its own is not taken
DROP SERVER crm_new;
CREATE SERVER crm_new FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key');
ALTER SERVER crm_new OWNER TO endpoint_app;
SET ROLE endpoint_app;
ALTER SERVER crm_new RENAME TO crm_newer;
RESET ROLE;
CREATE SERVER crm_new FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://other.example.com', dedup 'key');
SELECT workflow.call('crm_newer', 'POST', '/accounts', '{}', 'k') = effect_id AS same_effect, endpoint
FROM workflow.effects WHERE key = 'k';
SELECT workflow.call('crm_new', 'POST', '/accounts', '{}', 'k') = min(effect_id) AS same_effect
FROM workflow.effects WHERE key = 'k';
ALTER SERVER crm_newer RENAME TO crm_newest;
ALTER SERVER crm_new RENAME TO crm_newer;
SELECT endpoint FROM workflow.effects WHERE key = 'k' ORDER BY effect_id;
DROP SERVER crm_newer;
ALTER SERVER crm_newest RENAME TO crm_newer;

-- calls that stand alone wait in a queue that the endpoint's owner answers for
SELECT queue, owner, sla, escalate_to, defined_by FROM workflow.queue;

DROP SERVER mine CASCADE;
REVOKE ALL ON FOREIGN DATA WRAPPER workflow_http FROM endpoint_app;
REVOKE ALL ON DATABASE :"DBNAME" FROM endpoint_app;
DROP OWNED BY endpoint_app;
DROP ROLE endpoint_app;
