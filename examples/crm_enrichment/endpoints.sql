--
-- Where the outside is: one server for the model, one for the CRM.
--
-- The URLs are the one setting to change for real ones:
--   ALTER SERVER crm OPTIONS (SET url 'https://crm.example.com/api', DROP allow_http, DROP allow_private);
-- and, with a secret by its name in pg_workflow.secrets_dir:
--   CREATE USER MAPPING FOR revops SERVER crm OPTIONS (bearer_secret 'crm_token');
--
-- The stand-in is reached over plain http on the loopback address, which only
-- an administrator may allow.
--
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url :'url', dedup 'pure', timeout '30s', allow_http 'true', allow_private '127.0.0.0/8');
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url :'url', dedup 'key', timeout '30s', max_in_flight '16',
           allow_http 'true', allow_private '127.0.0.0/8');
GRANT USAGE ON FOREIGN SERVER llm, crm TO revops;
