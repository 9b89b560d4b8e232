--
-- own_effects: who calls sees what became of his own calls, and of nobody else's.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
CREATE SERVER shop FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://shop.example.com', dedup 'key', owner 'shop-team');
CREATE ROLE regress_own_ann;
CREATE ROLE regress_own_bob;
CREATE ROLE regress_own_guard;
CREATE ROLE regress_own_team;
GRANT regress_own_ann TO regress_own_team;
SELECT workflow.grant_role('regress_own_ann', 'submitter'), workflow.grant_role('regress_own_bob', 'submitter'),
       workflow.grant_role('regress_own_team', 'submitter'), workflow.grant_role('regress_own_guard', 'worker');
GRANT USAGE ON FOREIGN SERVER shop TO regress_own_ann, regress_own_bob, regress_own_guard;
SET ROLE regress_own_ann;
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 1}', 'ann:1') AS ann \gset
SET ROLE regress_own_bob;
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 2}', 'bob:1', headers => '{"X-Note": "private"}') AS bob \gset
SET ROLE regress_own_guard;
SELECT verdict FROM workflow.begin_effect('shop', 'guard:1', '{"n": 3}');
RESET ROLE;
UPDATE workflow.effect SET state = 'succeeded', status = 201, response = '{"status": 201, "body": {"id": 7}}', external_id = '7', finished_at = now()
WHERE key IN ('ann:1', 'bob:1');

-- one's own
SET ROLE regress_own_ann;
SELECT endpoint, key, state, method, path, status, external_id, response, kind, owner FROM workflow.own_effects;
SELECT count(*) FROM workflow.own_effects WHERE effect_id = :ann;
SELECT count(*) FROM workflow.own_effects WHERE effect_id = :bob;
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 1}', 'ann:1') = :ann AS met_again;
\set VERBOSITY terse
SELECT count(*) FROM workflow.effects;
SELECT count(*) FROM workflow.effect;
\set VERBOSITY default
-- no condition of a reader's comes before the view's own
CREATE FUNCTION pg_temp.spy(key text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
  RAISE NOTICE 'sees %', key;
  RETURN true;
END $$;
SET client_min_messages = notice;
SELECT count(*) FROM workflow.own_effects WHERE pg_temp.spy(key);
SET client_min_messages = error;
SET ROLE regress_own_guard;
SELECT key, kind, state FROM workflow.own_effects;
-- a member of a role sees what is the role's
SET ROLE regress_own_team;
SELECT key FROM workflow.own_effects;
RESET ROLE;
-- who meets another role's effect with the same request sees what becomes of it, and not what was before or for whom it is
SET ROLE regress_own_bob;
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 1}', 'ann:1') = :ann AS met;
RESET ROLE;
SELECT workflow.grant_role('regress_own_bob', 'worker');
SET ROLE regress_own_bob;
SELECT verdict FROM workflow.begin_effect('shop', 'guard:1', '{"n": 3}');
RESET ROLE;
UPDATE workflow.effect SET previous = '{"body": "secret"}' WHERE effect_id = :ann;
SET ROLE regress_own_bob;
SELECT key, state, status, external_id, response, previous, item_id FROM workflow.own_effects ORDER BY key;
-- with another request he has no part in it
\set VERBOSITY sqlstate
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 5}', 'ann:2');
SET ROLE regress_own_ann;
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 4}', 'ann:2');
\set VERBOSITY default
SELECT key FROM workflow.own_effects ORDER BY key;
-- who wanted it first sees it still when somebody else has it done again
RESET ROLE;
UPDATE workflow.effect SET state = 'failed', reason = 'no' WHERE effect_id = :ann;
SET ROLE regress_own_bob;
SELECT workflow.call('shop', 'POST', '/orders', '{"n": 1}', 'ann:1') = :ann AS met;
SET ROLE regress_own_ann;
SELECT key, state, previous FROM workflow.own_effects WHERE effect_id = :ann;
-- somebody new with the name of one who is gone does not
RESET ROLE;
DROP OWNED BY regress_own_bob;
DROP ROLE regress_own_bob;
CREATE ROLE regress_own_bob;
SELECT workflow.grant_role('regress_own_bob', 'submitter');
SET ROLE regress_own_bob;
SELECT count(*) FROM workflow.own_effects;
RESET ROLE;
SELECT array_agg(attname ORDER BY attnum) FILTER (WHERE attrelid = 'workflow.effects'::regclass)
     = array_agg(attname ORDER BY attnum) FILTER (WHERE attrelid = 'workflow.own_effects'::regclass) AS same_columns
FROM pg_attribute WHERE attrelid IN ('workflow.effects'::regclass, 'workflow.own_effects'::regclass) AND attnum > 0;
DROP OWNED BY regress_own_ann, regress_own_bob, regress_own_guard, regress_own_team;
DROP ROLE regress_own_ann, regress_own_bob, regress_own_guard, regress_own_team;
