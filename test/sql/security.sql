--
-- Who may do what: each kind of role tries what belongs to another one, and the
-- owner of the database, no superuser, what belongs to a superuser.
-- Refused is right: 42501, or what the line says.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_owner;
CREATE ROLE regress_none;
CREATE ROLE regress_submitter;
CREATE ROLE regress_worker;
CREATE ROLE regress_reviewer;
CREATE ROLE regress_operator;
CREATE ROLE regress_designer;
CREATE ROLE regress_monitor;
CREATE ROLE regress_victim SUPERUSER;
SELECT current_database() AS database, current_user AS superuser \gset
ALTER DATABASE :"database" OWNER TO regress_owner;
CREATE FUNCTION try_as(role text, sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', role);
  BEGIN
    EXECUTE sql;
    RAISE SQLSTATE 'OK000';
  EXCEPTION WHEN OTHERS THEN
    RESET ROLE;
    RETURN CASE SQLSTATE WHEN 'OK000' THEN 'allowed' ELSE SQLSTATE END;
  END;
END $$;

-- the owner of the database installs it, owns it, and gets nothing of a superuser by it
SET ROLE regress_owner;
CREATE EXTENSION pg_workflow;
SELECT workflow.grant_role('regress_' || kind, kind)
FROM unnest('{submitter,worker,reviewer,operator,designer,monitor}'::text[]) AS kind;
RESET ROLE;
SELECT sql, try_as('regress_owner', sql) FROM unnest(ARRAY[
  'CREATE FUNCTION workflow.f() RETURNS int LANGUAGE sql AS ''SELECT 1''',
  'CREATE OR REPLACE FUNCTION workflow._now() RETURNS timestamptz LANGUAGE sql AS ''SELECT now()''',
  'ALTER FUNCTION workflow._now() SET search_path = public',
  'CREATE TABLE workflow.t (n int)',
  'CREATE TRIGGER t AFTER INSERT ON workflow.item EXECUTE FUNCTION public.try_as()',
  'CREATE RULE r AS ON INSERT TO workflow.item DO ALSO SELECT 1',
  'ALTER TABLE workflow.item DISABLE TRIGGER ALL',
  'ALTER TABLE workflow.item ADD CHECK (false)',
  'ALTER SCHEMA workflow OWNER TO regress_owner',
  'ALTER EXTENSION pg_workflow DROP FUNCTION workflow._now()',
  'UPDATE workflow.item SET data = ''{}''',
  'DELETE FROM workflow.transition',
  'UPDATE workflow.definition SET definer = ''regress_owner''',
  'SELECT workflow._move(1, ''a'', ''b'', ''c'', NULL, NULL, NULL)',
  'SELECT workflow._grant_kind(''regress_owner'', ''operator'')',
  'SELECT workflow.decide(1, ''approve'')',
  'CREATE SERVER s FOREIGN DATA WRAPPER workflow_http OPTIONS (url ''https://x'', dedup ''key'')',
  'SET session_replication_role = replica',
  format('INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner) VALUES (''x'', 1, '''', ''{}'', %L, ''x'')', :'superuser'),
  'INSERT INTO workflow.workflow (workflow, owner, definer) VALUES (''x'', ''x'', ''regress_victim'')',
  'INSERT INTO workflow.effect (endpoint_id, key, kind, fingerprint, submitted_by, created_at) VALUES (1, ''k'', ''call'', '''', ''regress_victim'', now())'
]) AS sql;

-- what he inserts is his own, whatever its oid said, and nothing that define() would refuse
SET ROLE regress_owner;
\set VERBOSITY sqlstate
INSERT INTO workflow.workflow (workflow, owner, definer, active_version) VALUES ('x', 'x', 'regress_owner', 1);
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner)
VALUES ('x', 1, '', '{"workflow": 1, "initial": [], "states": {"A": 7, "B": {"gate": {"tiers": {}}, "on": []}}, "any": 3}', 'regress_owner', 'x');
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner)
VALUES ('x', 1, '', '{"workflow": "y", "initial": "A", "states": {"A": {"final": "a"}}}', 'regress_owner', 'x');
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner, functions)
VALUES ('x', 1, '', '{"workflow": "x", "initial": "A", "states": {"A": {"final": "a"}}}', 'regress_owner', 'x', NULL),
       ('x', 1, '', NULL, 'regress_owner', 'x', '{}');
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner)
VALUES (NULL, 1, '', '{"workflow": "x", "initial": "A", "states": {"A": {"final": "a"}}}', 'regress_owner', 'x');
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner)
VALUES ('x', 1, '', NULL, 'regress_owner', 'x');
INSERT INTO workflow.definition (workflow, version, hash, document, definer, owner, functions, definer_oid)
VALUES ('x', 1, '', '{"workflow": "x", "initial": "A", "states": {"A": {"final": "a"}}}', 'regress_owner', 'x', '[1]', 10);
\set VERBOSITY default
RESET ROLE;
SELECT definer_oid::regrole FROM workflow.definition WHERE workflow = 'x';
SELECT workflow.submit('x', '{}', 'k');

-- an item that waits for a review
SET ROLE regress_designer;
SELECT version FROM workflow.define('{"workflow": "w", "owner": "me", "initial": "ASK",
  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
  "states": {"ASK": {"review": {"queue": "q", "decisions": ["approve", "reject"], "show": ["$"], "four_eyes": true,
                                "on_overdue": "escalate"}, "on": {"approve": "DONE", "reject": "NO"}},
             "DONE": {"final": "done"}, "NO": {"final": "no"}}}');
SET ROLE regress_submitter;
SELECT item_id AS item, state FROM workflow.submit('w', '{"n": 1}', 'one') \gset
RESET ROLE;
SELECT review_id AS review FROM workflow.review \gset

-- what is decided by a reviewer, and by nobody else, in no other way
SELECT kind, try_as('regress_' || kind, format('SELECT workflow.decide(%s, ''approve'')', :review)) AS decide,
  try_as('regress_' || kind, format('SELECT workflow.send(%s, ''approve'')', :item)) AS send,
  try_as('regress_' || kind, format('UPDATE workflow.item SET state = ''DONE'' WHERE item_id = %s', :item)) AS update,
  try_as('regress_' || kind, format('SELECT * FROM workflow.item')) AS tables,
  try_as('regress_' || kind, format('SELECT * FROM workflow.effects')) AS effects,
  try_as('regress_' || kind, format('SELECT workflow.resolve(1, ''applied'', ''x'')')) AS resolve,
  try_as('regress_' || kind, format('SELECT * FROM workflow.claim(''q'', ''me'')')) AS claim,
  try_as('regress_' || kind, format('SELECT workflow.define(''{}'')')) AS define,
  try_as('regress_' || kind, 'CALL workflow.run()') AS run,
  try_as('regress_' || kind, format('SELECT workflow.grant_role(''regress_%s'', ''operator'')', kind)) AS grant_role
FROM unnest('{none,submitter,worker,reviewer,operator,designer,monitor}'::text[]) AS kind;
-- four eyes hold for whoever submitted, also with the right to decide
SET ROLE regress_owner;
SELECT workflow.grant_role('regress_submitter', 'reviewer');
RESET ROLE;
SELECT try_as('regress_submitter', format('SELECT workflow.decide(%s, ''approve'')', :review)) AS four_eyes;
-- a review is not claimable, and its job's token is nowhere to be read
SELECT attname AS shows_tokens, attrelid::regclass FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'workflow'::regnamespace AND c.relkind = 'v' AND c.relname NOT LIKE '\_%'
  AND c.relname <> 'webhooks'    -- what was received, without credentials
  AND c.relname <> 'mock_requests'    -- what a test sees of itself, without secrets
  AND attname IN ('token', 'headers', 'body', 'session_pid', 'fingerprint', 'cause');

-- a view that leaves rows out does not show them to a function of the reader's
SET ROLE regress_reviewer;
SELECT * FROM workflow.decide(:review, 'reject');
RESET ROLE;
CREATE FUNCTION leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS
$$ BEGIN RAISE WARNING 'leaked %', $1; RETURN true; END $$;
SELECT workflow.enqueue('q', '{"secret": 1}') > 0 AS queued;
SET ROLE regress_reviewer;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM workflow.review_inbox WHERE leak(shown::text);
SET ROLE regress_monitor;
SELECT count(*) FROM workflow.dead_letters WHERE leak(payload::text);
RESET ROLE;
-- the actor of each move is the role that was current
SELECT seq, event, actor FROM workflow.transition WHERE item_id = :item ORDER BY seq;

ALTER DATABASE :"database" OWNER TO :"superuser";
DROP EXTENSION pg_workflow;
SELECT string_agg('regress_' || kind, ',') AS roles FROM unnest('{owner,none,victim,submitter,worker,reviewer,operator,designer,monitor}'::text[]) AS kind \gset
DROP OWNED BY :roles;
DROP ROLE :roles;
