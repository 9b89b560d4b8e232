--
-- The CONTEXT of an error: a refusal shows its caller's lines and none of ours;
-- what somebody else's function did is shown whole.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT workflow.create_queue('q', '', '1 second', '{boss}');
SELECT * FROM workflow.where_is('nobody:1');
SELECT workflow.pause(99);
SELECT * FROM workflow.decide(5, 'yes');
SELECT * FROM workflow.if_run_twice('nothing');

SELECT workflow.receive('nobody', 'e', '{}', '');
SELECT workflow.receive('nobody', 'e', '{}', ''::bytea);
SELECT workflow.grant_role(NULL, 'monitor');
SELECT workflow.grant_role(current_user, NULL);

-- an error raised in C below an inner function
SELECT version FROM workflow.define('{"workflow": "w", "initial": "OPEN", "key": ["$.id"],
  "states": {"OPEN": {"on": {"close": "CLOSED"}}, "CLOSED": {"final": "done"}}}');
SELECT item_id AS item FROM workflow.submit('w', '{"id": 1}') \gset
DO $$
DECLARE
  context text;
BEGIN
  PERFORM workflow.give_up('w:1', 'no');
EXCEPTION WHEN SQLSTATE 'WF001' THEN
  GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
  RAISE WARNING '% in %', SQLERRM, context;
END
$$;

-- a caller's own lines stay
CREATE FUNCTION caller() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM workflow.pause(99);
END
$$;
SELECT caller();
-- and can catch the error
CREATE FUNCTION catcher() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  context text;
BEGIN
  PERFORM workflow.pause('w:1');
  PERFORM workflow.pause(99);
EXCEPTION WHEN SQLSTATE 'WF012' THEN
  GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
  RETURN SQLERRM || E'\n' || context;
END
$$;
SELECT catcher();
SELECT waiting_on FROM workflow.where_is('w:1');

-- what a function of a user's did on the way is shown whole
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'not on a Sunday' USING ERRCODE = 'WF001';
END
$$;
CREATE TRIGGER refuse BEFORE UPDATE ON workflow.item FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT workflow.pause('w:1');
SELECT workflow.cancel('w:1');

-- nor does a refusal of a class of the server's, for what was found in C
COPY (SELECT 1) TO PROGRAM 'mkdir -p secrets && cat >/dev/null';
SELECT workflow.create_source('unjudged', 'github', 'no_such_secret');
SELECT workflow.receive('unjudged', 'e', '{"x-hub-signature-256": "sha256=00"}', '');

-- what C code refuses below an inner function, or below a public one, is a refusal like others
SELECT workflow.verify_webhook('md5', '{}', 'x', 'no_such_secret');
SELECT workflow.verify_webhook('github', '[]', 'x', 'no_such_secret', 'not an interval');
CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://shop.example.com', dedup 'key');
SELECT workflow.verify_endpoint('shop', '{"method": "POST", "path": "x"}');
SELECT verdict FROM workflow.begin_effect('shop', 'k', '{}', 'w:nobody');
SELECT workflow.define('{"workflow": "w", "initial": "A", "states": {"A": {"on": {"go": "B"}}, "B": {"final": "b"}}}') IS NOT NULL AS defined;
SELECT state FROM workflow.submit('w', '{}', '2');
SELECT workflow.send('w:nobody', 'go');
-- and so is what a transaction that only reads cannot do
BEGIN READ ONLY;
SAVEPOINT a;
SELECT workflow.call('shop', 'POST', '/x', '{}');
ROLLBACK TO a;
SELECT verdict FROM workflow.begin_effect('shop', 'k', '{}');
ROLLBACK TO a;
SELECT workflow.submit('w', '{}', '3');
ROLLBACK TO a;
SELECT workflow.send('w:2', 'go');
ROLLBACK TO a;
SELECT workflow.enqueue('q', '{}');
ROLLBACK TO a;
SELECT workflow.claim('q', 'me');
ROLLBACK TO a;
SELECT workflow.pause('w:2', 'why');
ROLLBACK TO a;
SELECT workflow.create_source('s', 'none');
ROLLBACK TO a;
DO $$ BEGIN PERFORM workflow.cancel('w:2', 'why'); END $$;
ROLLBACK TO a;
-- those that only read go on
SELECT state FROM workflow.where_is('w:2');
SELECT count(*) > 0 AS answered FROM workflow.health();
ROLLBACK;

-- a notice has no border
DROP TRIGGER refuse ON workflow.item;
\set SHOW_CONTEXT always
SET client_min_messages = notice;
SELECT workflow.define('{"workflow": "kept", "initial": "A", "states": {"A": {"on": {"go": "B"}}, "B": {"on": {"end": "C"}}, "C": {"final": "c"}}}') IS NOT NULL AS defined;
SELECT state FROM workflow.submit('kept', '{}', '1');
SELECT state FROM workflow.send('kept:1', 'end');
