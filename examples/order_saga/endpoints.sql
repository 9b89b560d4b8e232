--
-- Where the outside is: the warehouse, the bank and the carrier.  All three
-- take an Idempotency-Key.  For real ones it is the URL that changes:
--   ALTER SERVER bank OPTIONS (SET url 'https://bank.example.com/v2', DROP allow_http, DROP allow_private);
--
SELECT format($$CREATE SERVER %I FOREIGN DATA WRAPPER workflow_http
  OPTIONS (url %L, dedup 'key', timeout '20s', allow_http 'true', allow_private '127.0.0.0/8')$$, name, :'url')
FROM unnest(ARRAY['warehouse', 'bank', 'carrier']) AS name \gexec
GRANT USAGE ON FOREIGN SERVER warehouse, bank, carrier TO shop;
