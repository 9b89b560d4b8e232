--
-- The schema of the extension: what somebody else has in it is not called.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_stranger;

SELECT workflow.create_queue('q', 'o', '1 hour', '{x}');

-- a better match for a call with an argument left to its default, in a schema
-- that its owner had when the extension was being created
CREATE FUNCTION workflow._note(text, text, text, text, text) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN RAISE WARNING 'code of a stranger runs as %', current_user; END $$;
ALTER FUNCTION workflow._note(text, text, text, text, text) OWNER TO regress_stranger;
SELECT workflow.pause_queue('q', 'r');
SELECT workflow.enqueue('q', '{}');
CALL workflow.run();
DROP FUNCTION workflow._note(text, text, text, text, text);
SELECT workflow.pause_queue('q', 'r');

-- nor what was the extension's and is owned by somebody who is no superuser
ALTER FUNCTION workflow._now() OWNER TO regress_stranger;
SELECT workflow.resume_queue('q');
ALTER FUNCTION workflow._now() OWNER TO CURRENT_USER;
SELECT workflow.resume_queue('q');
DROP ROLE regress_stranger;
