--
-- Drafts: documents that are written call by call.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE regress_writer;
CREATE ROLE regress_colleague IN ROLE regress_writer;
CREATE ROLE regress_stranger;
SELECT workflow.grant_role(r, 'designer') FROM unnest('{regress_writer,regress_stranger}'::text[]) AS r;

-- a workflow in a few calls
SET ROLE regress_writer;
SELECT workflow.new('order', 'NEW', '{"description": "An order", "owner": "sales", "key": ["$.id"]}');
SELECT workflow.add_queue('order', 'desk', owner => 'sales', sla => '4 hours', escalate_to => '{boss}');
SELECT workflow.add_policy('order', 'default', '{"max_attempts": 3, "timeout": "1 minute"}');
SELECT workflow.add_state('order', 'NEW', '{"task": {"queue": "desk"}}');
SELECT workflow.add_transition('order', 'NEW', 'ok', 'DONE');
SELECT workflow.add_transition('order', NULL, 'error', 'DONE');
SELECT workflow.add_state('order', 'DONE', '{"final": "done"}');
SELECT workflow, document, created_by, changed_by FROM workflow.drafts;
SELECT * FROM workflow.publish('order');
SELECT count(*) FROM workflow.drafts;
SELECT workflow.document('order', 1);
SELECT queue, owner, sla FROM workflow.queues;

-- a version is changed by a draft of it; what would change is seen before
SELECT workflow.new('order', from_version => 1);
SELECT workflow.add_state('order', 'DONE', '{"final": "delivered"}', replace => true);
SELECT workflow.add_state('order', 'LOST', '{"final": "lost"}');
SELECT workflow.add_transition('order', NULL, 'error', 'LOST', replace => true);
SELECT workflow.add_activity('order', 'handle', '{"task": {"queue": "desk"}}');
SELECT workflow.add_state('order', 'NEW', '{"activity": "handle", "on": {"ok": "DONE"}}', replace => true);
SELECT workflow.remove_part('order', 'description');
SELECT kind, place, what FROM workflow.diff('order');
SELECT * FROM workflow.publish('order');
SELECT version, active FROM workflow.versions;
-- a draft that says nothing new is no version
SELECT workflow.new('order', from_version => 2);
SELECT * FROM workflow.publish('order');

-- each call says what is wrong with its part, and changes nothing then
SELECT workflow.new('o:x', 'NEW');
SELECT workflow.new('other', 'NEW', '{"kee": ["$.id"]}');
SELECT workflow.new('other', 'NEW', '{"initial": "NEW"}');
SELECT workflow.new('other', 'NEW', '{"owner": "a", "owner": "b"}');
SELECT workflow.new('other');
SELECT workflow.new('other', from_version => 1);
SELECT workflow.new('other', 'NEW', '{"input_schema": {"type": "objekt"}}');
SELECT workflow.new('other', 'NEW');
SELECT workflow.new('other', 'NEW');
SELECT workflow.add_state('other', 'NEW', '{"tsk": {"queue": "desk"}, "timeout": "soon"}');
SELECT workflow.add_state('other', 'NEW', '{"sql": {"function": "f"}, "task": {"queue": "desk"}}');
SELECT workflow.add_state('other', 'NEW', '[]');
SELECT workflow.add_state('other', 'NEW', '{"on": {"go": "A", "go": "B"}}');
SELECT workflow.add_transition('other', 'NEW', 'go', 'NEXT');
SELECT workflow.add_state('other', 'NEW');
SELECT workflow.add_state('other', 'NEW');
SELECT workflow.add_transition('other', 'NWE', 'go', 'NEXT');
SELECT workflow.add_transition('other', 'NEW', 'go', 'NEXT');
SELECT workflow.add_transition('other', 'NEW', 'go', 'OTHER');
SELECT workflow.add_transition('other', 'NEW', NULL, 'OTHER');
SELECT workflow.add_state('other', 'END', '{"final": "done"}');
SELECT workflow.add_transition('other', 'END', 'go', 'NEW');
SELECT workflow.add_queue('other', 'desk', 'sales', 'soon', '{boss}');
SELECT workflow.add_policy('other', 'default', '{"max_atempts": 3}');
SELECT workflow.add_policy('other', 'default', NULL);
SELECT workflow.add_activity('other', 'a', '{"gate": {"value": "confidence"}}');
SELECT workflow.remove_part('other', 'states', 'X');
SELECT workflow.remove_part('other', 'workflow');
SELECT workflow.add_queue('other', 'others', 'sales', '1 hour', '{boss}');
SELECT workflow.remove_part('other', 'queues', 'others', 'escalate_to', '0');
SELECT workflow.remove_part('other', 'queues');
SELECT workflow.add_state('othr', 'NEW');
SELECT document FROM workflow.drafts;
-- what only the whole can say is said at the end, and the draft stays
SELECT * FROM workflow.publish('other');
SELECT workflow.add_transition('other', 'NEW', 'go', 'END', replace => true);
SELECT * FROM workflow.publish('other');

-- a draft belongs to who began it, and to members of that role
SELECT workflow.new('order', from_version => 1);
SET ROLE regress_stranger;
SELECT workflow.add_state('order', 'X');
SELECT workflow.publish('order');
SELECT workflow.discard_draft('order');
SELECT workflow.new('order', from_version => 1);
SET ROLE regress_colleague;
SELECT workflow.add_state('order', 'X');
SELECT workflow, created_by, changed_by FROM workflow.drafts;
SELECT workflow.discard_draft('order');
SELECT workflow.discard_draft('order');
SELECT workflow.publish(NULL);
SELECT workflow.discard_draft(NULL);
RESET ROLE;
-- a role of the same name later is another one
SET ROLE regress_stranger;
SELECT workflow.new('mine', 'A');
RESET ROLE;
DROP OWNED BY regress_stranger;
DROP ROLE regress_stranger;
CREATE ROLE regress_stranger;
SELECT workflow.grant_role('regress_stranger', 'designer');
SET ROLE regress_stranger;
SELECT workflow.add_state('mine', 'A');
RESET ROLE;
-- nor is it lost by hand
DELETE FROM workflow.draft;
-- and nobody would be its definer before a superuser says who
SELECT workflow.add_state('mine', 'A', '{"final": "done"}', replace => true);
SELECT workflow.publish('mine');
SELECT * FROM workflow.check_draft('mine');
UPDATE workflow.draft SET created_oid = 10;
UPDATE workflow.draft SET created_by = 'regress_stranger';
SELECT workflow.discard_draft('mine');

-- what another call may still bring is no fault of a part: a state, a queue, a policy, an activity, a function, a handler, an end, a wait, a cap,
-- a decision of a review
SET ROLE regress_writer;
SELECT workflow.new('coming', 'A', '{"key": ["$.id"]}');
SELECT workflow.add_state('coming', 'A', '{"task": {"queue": "soon", "retry": "later"}, "on": {"ok": "B", "go": "C"}}');
SELECT workflow.add_state('coming', 'B', '{"activity": "some", "on": {"ok": "D"}}');
SELECT workflow.add_state('coming', 'C', '{"then": "x", "on": {"x": "D"}}');
SELECT workflow.add_state('coming', 'D', '{"then": "y", "on": {"y": "C"}}');
SELECT workflow.add_state('coming', 'C', '{"then": "x", "on": {"x": "D"}}', replace => true);
SELECT workflow.add_state('coming', 'E', '{"sql": {"function": "coming.soon", "queue": "soon", "retry": {"timeout": "1 minute"}}}');
SELECT workflow.add_state('coming', 'F', '{"wait": {"for": "1 day"}}');
SELECT workflow.add_policy('coming', 'later', '{"timeout": "1 minute"}');
SELECT workflow.add_state('coming', 'H', '{"gate": {"value": "$.n", "tiers": [{"at_least": 1, "event": "a", "agrees": ["yes"]}, {"otherwise": "b", "overrules": ["no"]}]}, "on": {"a": "A", "b": "A"}}');
SELECT workflow.add_activity('coming', 'sort', '{"gate": {"value": "$.n", "tiers": [{"otherwise": "b", "agrees": ["yes"]}]}}');
SELECT workflow.add_state('coming', 'I', '{"activity": "sort", "on": {"b": "A"}}');
SELECT workflow.add_state('coming', 'J', '{"review": {"queue": "soon", "decisions": ["yes"], "reason_required": ["no"]}, "on": {"yes": "A"}}');
SELECT code, count(*) FROM workflow.check_draft('coming') WHERE severity = 'error' GROUP BY code ORDER BY code COLLATE "C";
-- a name that begins like another one's is another part
SELECT workflow.add_state('coming', 'A "b"', '{"on": {"go": "A"}}');
SELECT workflow.add_state('coming', 'A', '{"on": {"go": "C"}}', replace => true);
SELECT document -> 'states' -> 'A "b"' AS quoted FROM workflow.drafts WHERE workflow = 'coming';
-- who has changed it last is said of every call; who began it, by the name that the role has now
RESET ROLE;
ALTER ROLE regress_writer RENAME TO regress_author;
SET ROLE regress_colleague;
SELECT workflow.remove_part('coming', 'states', 'F');
SELECT created_by, changed_by FROM workflow.drafts WHERE workflow = 'coming';
SET ROLE regress_author;
SELECT workflow.set_options('coming', '{"owner": "x"}');
SELECT created_by, changed_by FROM workflow.drafts WHERE workflow = 'coming';
SET ROLE regress_colleague;
SELECT workflow.add_state('coming', 'G');
SELECT created_by, changed_by FROM workflow.drafts WHERE workflow = 'coming';
RESET ROLE;
ALTER ROLE regress_author RENAME TO regress_writer;
SELECT workflow.discard_draft('coming');
-- what the arguments say comes before what the version says
SELECT workflow.new('order', 'DONE', '{"owner": "returns", "key": ["$.nr"]}', 1);
SELECT document ->> 'initial' AS initial, document ->> 'owner' AS owner, document -> 'key' AS key FROM workflow.drafts WHERE workflow = 'order';
SELECT workflow.discard_draft('order');
SELECT workflow.add_state('order', 'X');

-- whoever publishes a draft, its version has the rights of who began it
SET ROLE regress_writer;
SELECT workflow.new('lent', 'A', '{"key": ["$.id"]}');
SELECT workflow.add_state('lent', 'A', '{"on": {"end": "B"}}'), workflow.add_state('lent', 'B', '{"final": "done"}');
RESET ROLE;
SELECT * FROM workflow.publish('lent');
-- of a workflow that there is, a draft begins with what it is
SELECT workflow.add_state('lent', 'C', '{"final": "done"}');
SELECT definer FROM workflow.definition WHERE workflow = 'lent';

-- what a draft says of the workflow as a whole, changed in its place
SET ROLE regress_writer;
SELECT workflow.new('whole', 'A', '{"owner": "x", "description": "Much"}');
SELECT workflow.set_options('whole', '{"initial": "B", "owner": "y", "key": ["$.id"],
  "input_schema": {"type": "object"}, "description": null}');
SELECT document FROM workflow.drafts WHERE workflow = 'whole';
SELECT workflow.set_options('whole', '{"initial": 1, "kee": ["$.id"]}');
SELECT workflow.set_options('whole', '{"input_schema": {"type": "objekt"}}');
SELECT workflow.set_options('whole', '{"owner": 7, "description": "x", "input_schema": {"type": "objekt"}, "key": [1]}');
SELECT workflow.new('faulty', 'A', '{"owner": 7, "description": "x", "keey": []}');
SELECT workflow.set_options('whole', '{"owner": "a", "owner": "b"}');
SELECT workflow.set_options('whole', '{"states": {}}');
SELECT workflow.set_options('whole', '{"retry": {}}');
SELECT workflow.set_options('whole', '{"workflow": "part"}');
SELECT workflow.set_options('whole', NULL);
SELECT workflow.set_options('hole', '{}');
-- options that are no object are no options, wherever they are given
SELECT workflow.set_options('whole', '[]');
SELECT workflow.set_options('whole', 'null');
SELECT workflow.new('listed', 'A', '[{"owner": "x"}]');
SELECT workflow.add_queue('whole', 'listed', 'y', '1 hour', '{z}', '7');
SELECT document FROM workflow.drafts WHERE workflow = 'whole';

-- what would be found, and how it looks, before it is published; a function is looked for where publish() would
SELECT workflow.add_state('whole', 'A', '{"on": {"end": "C"}}');
SELECT workflow.add_state('whole', 'B', '{"sql": {"function": "work", "queue": "q"}, "on": {"ok": "A"}}');
SELECT severity, code, state, problem, path FROM workflow.check_draft('whole');
RESET ROLE;
CREATE SCHEMA regress_work AUTHORIZATION regress_writer;
SET ROLE regress_writer;
CREATE FUNCTION regress_work.work(bigint, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $2';
SET search_path = regress_work;
SELECT workflow.add_queue('whole', 'q', 'y', '1 hour', '{z}');
SELECT workflow.add_policy('whole', 'default', '{"max_attempts": 3, "timeout": "1 minute"}');
SELECT workflow.add_state('whole', 'C', '{"final": "done"}');
SELECT severity, code, state, hint IS NOT NULL AS has_hint, consequence IS NOT NULL AS is_told FROM workflow.check_draft('whole');
RESET search_path;
SELECT severity, code, problem FROM workflow.check_draft('whole') WHERE severity = 'error';
SELECT workflow.diagram_draft('whole');
SELECT workflow.diagram_draft('whole', 'svg') ~ 'whole, draft' AS is_titled, workflow.diagram_draft('whole', 'dot') ~ 'digraph' AS is_dot;
SELECT workflow.diagram_draft('whole', 'png');
SELECT workflow.diagram_draft('hole');
SELECT workflow.diagram_draft(NULL);
SELECT * FROM workflow.check_draft('hole');
SELECT * FROM workflow.check_draft(NULL);
SELECT workflow.discard_draft('whole');
RESET ROLE;
DROP SCHEMA regress_work CASCADE;

-- the round trip: what the examples say, said again by these calls, is the same
CREATE FUNCTION rebuild(document json) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  name text := document ->> 'workflow';
  part record;
  event record;
BEGIN
  PERFORM workflow.new(name, document ->> 'initial', (
    SELECT coalesce(json_object_agg(o.key, o.value), '{}') FROM json_each(document) AS o
    WHERE o.key NOT IN ('workflow', 'initial', 'states', 'queues', 'retry', 'activities', 'any')));
  FOR part IN SELECT * FROM json_each(document -> 'queues') LOOP
    PERFORM workflow.add_queue(name, part.key, options => part.value);
  END LOOP;
  FOR part IN SELECT * FROM json_each(document -> 'retry') LOOP
    PERFORM workflow.add_policy(name, part.key, part.value);
  END LOOP;
  FOR part IN SELECT * FROM json_each(document -> 'activities') LOOP
    PERFORM workflow.add_activity(name, part.key, part.value);
  END LOOP;
  FOR part IN SELECT * FROM json_each(document -> 'states') LOOP
    PERFORM workflow.add_state(name, part.key, (part.value::jsonb - 'on')::json);
    FOR event IN SELECT * FROM json_each_text(part.value -> 'on') LOOP
      PERFORM workflow.add_transition(name, part.key, event.key, event.value);
    END LOOP;
  END LOOP;
  FOR event IN SELECT * FROM json_each_text(document #> '{any,on}') LOOP
    PERFORM workflow.add_transition(name, NULL, event.key, event.value);
  END LOOP;
END $$;
\getenv srcdir PG_ABS_SRCDIR
\set examples :srcdir /../examples
\setenv EXAMPLES :examples
CREATE TEMP TABLE example (document json);
-- tabs and line ends would end a field
\copy example FROM PROGRAM 'for f in "$EXAMPLES"/*/definition.json; do tr "\n\t" "  " < "$f" | sed "s/\\\\/\\\\\\\\/g"; echo; done'
-- their functions are not needed to compare documents
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT DISTINCT f #>> '{}' FROM example, jsonb_path_query(document::jsonb, '$.**.sql.function') AS f LOOP
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', split_part(name, '.', 1));
    EXECUTE format('CREATE FUNCTION %s(bigint, jsonb) RETURNS jsonb LANGUAGE sql AS ''SELECT $2''', name);
  END LOOP;
END $$;
SET client_min_messages = error;
SELECT count(*) >= 2 AS are_examples, bool_and(d.created) AS all_new FROM example, workflow.define(document) AS d;
SELECT count(rebuild(document)) >= 2 AS rebuilt FROM example;
SELECT bool_or(p.created) AS any_new, count(*) FILTER (WHERE p.version <> 1) AS other_versions
FROM example, workflow.publish(document ->> 'workflow') AS p;
SELECT bool_or(p.created) AS any_new FROM example, workflow.define(workflow.document(document ->> 'workflow')) AS p;
DROP OWNED BY regress_writer, regress_colleague, regress_stranger;
DROP ROLE regress_writer, regress_colleague, regress_stranger;
