--
-- draft: documents that are written part by part, and then published.
--
-- A draft is text (json), so that it keeps the order in which it was written.
-- Each call checks the part that it brings; what another call may still bring
-- (a state, a queue, a handler) is demanded when the draft is published.
--

CREATE TRIGGER bind_creator BEFORE INSERT OR UPDATE OF created_by ON workflow.draft
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_creator();
COMMENT ON TRIGGER bind_creator ON workflow.draft IS 'Binds a draft to the role that its creator''s name means';

-- ------------------------------------------------------------------ the text

-- A document with another value at a path; null: with none there.
CREATE FUNCTION workflow._json_put(document json, path text[], value json) RETURNS json LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  members text[] := '{}';
  found_it boolean := false;
  member record;
  inner_value json;
BEGIN
  IF cardinality(path) = 0 THEN
    RETURN value;
  ELSIF json_typeof(document) = 'array' THEN
    RAISE EXCEPTION 'a part of an array is not changed by itself'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('"%s" would be a place in %s.', path[1], document),
            HINT = 'Bring the whole state, queue, policy or activity anew, with replace => true.';
  END IF;
  FOR member IN SELECT * FROM json_each(CASE json_typeof(document) WHEN 'object' THEN document ELSE '{}' END) LOOP
    inner_value := member.value;
    IF member.key = path[1] THEN
      found_it := true;
      inner_value := workflow._json_put(member.value, path[2:], value);
    END IF;
    IF inner_value IS NOT NULL THEN
      members := members || (to_json(member.key)::text || ': ' || inner_value::text);
    END IF;
  END LOOP;
  IF NOT found_it AND value IS NOT NULL THEN
    members := members || (to_json(path[1])::text || ': ' || workflow._json_put(NULL, path[2:], value)::text);
  END IF;
  RETURN '{' || array_to_string(members, ', ') || '}';
END
$$;
COMMENT ON FUNCTION workflow._json_put(json, text[], json) IS
  'Inner: a document with another value at a path, in the order that it had; null removes it';

-- ------------------------------------------------------------------- the row

CREATE FUNCTION workflow._draft(name text) RETURNS workflow.draft LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found_draft workflow.draft;
BEGIN
  SELECT d.* INTO found_draft FROM workflow.draft AS d WHERE d.workflow = name;
  IF found_draft.workflow IS NULL THEN
    RAISE EXCEPTION 'there is no draft of workflow "%"', name
      USING ERRCODE = 'WF012',
            DETAIL = coalesce((SELECT 'Drafts that there are: ' || string_agg(d.workflow, ', ' ORDER BY d.workflow) || '.'
                               FROM workflow.draft AS d), 'There is no draft at all.'),
            HINT = workflow._nearest('draft', name)
              || format(CASE WHEN EXISTS (SELECT FROM workflow.definition AS d WHERE d.workflow = name)
                             THEN 'SELECT workflow.new(%1$L, from_version => %2$s) begins one with what the workflow is.'
                             ELSE 'SELECT workflow.new(%1$L, ''FIRST_STATE'') begins one.' END,
                        name, (SELECT max(d.version) FROM workflow.definition AS d WHERE d.workflow = name));
  END IF;
  RETURN found_draft;
END
$$;
COMMENT ON FUNCTION workflow._draft(text) IS 'Inner: a draft; WF012 when there is none';

-- The draft, locked, for who may write it.
CREATE FUNCTION workflow._lock_draft(caller text, name text) RETURNS workflow.draft LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found_draft workflow.draft;
  owner text;
BEGIN
  PERFORM workflow._require_given(name IS NOT NULL, 'workflow');
  SELECT d.* INTO found_draft FROM workflow.draft AS d WHERE d.workflow = name FOR UPDATE;
  IF found_draft.workflow IS NULL THEN
    found_draft := workflow._draft(name);
  END IF;
  SELECT r.rolname INTO owner FROM pg_roles AS r WHERE r.oid = found_draft.created_oid;
  IF NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = caller)
     AND NOT (owner IS NOT NULL AND pg_has_role(caller, owner, 'MEMBER')) THEN
    RAISE EXCEPTION 'role "%" may not write the draft of workflow "%"', caller, name
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = CASE WHEN owner IS NULL
                       THEN format('Role "%s", who began it, was dropped; one of the same name is another role.', found_draft.created_by)
                       ELSE format('It was begun by "%s".', owner) END,
            HINT = CASE WHEN owner IS NULL THEN format('A superuser ends it: SELECT workflow.discard_draft(%L)', name)
                        ELSE format('GRANT %I TO %I', owner, caller) END;
  END IF;
  RETURN found_draft;
END
$$;
COMMENT ON FUNCTION workflow._lock_draft(text, text) IS
  'Inner: locks a draft and reads it, for members of the role that began it; WF012 when there is none';

-- Whose rights a version has that comes from a draft.
CREATE FUNCTION workflow._draft_definer(draft workflow.draft) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  definer text := (SELECT r.rolname FROM pg_roles AS r WHERE r.oid = draft.created_oid);
BEGIN
  IF definer IS NULL THEN
    RAISE EXCEPTION 'nobody is there who would be the definer of workflow "%"', draft.workflow
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('A draft becomes a version of the role that began it. Role "%s" was dropped; one of the same name is another role.',
                            draft.created_by),
            HINT = format('A superuser says whose it is: UPDATE workflow.draft SET created_by = ''...'' WHERE workflow = %L', draft.workflow);
  END IF;
  RETURN definer;
END
$$;
COMMENT ON FUNCTION workflow._draft_definer(workflow.draft) IS
  'Inner: the role that is the definer when a draft is published: who began it';

-- Raises WF006 for what is wrong within parts and no other part can mend: all of it.
CREATE FUNCTION workflow._require_parts(caller text, document json, places text[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  nfaults int;
  lines text;
BEGIN
  SELECT count(*), string_agg(concat_ws('; ', f.path || ': ' || f.problem, f.hint), E'\n' ORDER BY f.ordinality)
    INTO nfaults, lines
  FROM workflow._document_faults(document, caller, '{}')
    WITH ORDINALITY AS f
  WHERE f.severity = 'error'
    AND EXISTS (SELECT FROM unnest(places) AS p (place)
                WHERE f.path = p.place OR starts_with(f.path, p.place || '.') OR starts_with(f.path, p.place || '['))
    AND f.code NOT IN ('unknown_state', 'unknown_queue', 'unknown_policy', 'unknown_activity', 'bad_function',
                       'unhandled_event', 'dead_end', 'no_final', 'instant_cycle', 'retry_without_cap')
    -- what a gate says of decisions is of reviews elsewhere
    AND NOT (f.code = 'unknown_decision' AND f.path ~ '(\.gate\.tiers\[\d+\]\.(agrees|overrules)\[\d+\]|\.activity)$');
  IF nfaults > 0 THEN
    RAISE EXCEPTION 'this part of workflow "%" is invalid: % %', document ->> 'workflow', nfaults,
                    CASE nfaults WHEN 1 THEN 'fault' ELSE 'faults' END
      USING ERRCODE = 'WF006',
            DETAIL = lines,
            HINT = 'Mend it and call again; nothing was written.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_parts(text, json, text[]) IS
  'Inner: refuses parts of a draft that are wrong in themselves';

-- Puts a part into a draft.
CREATE FUNCTION workflow._edit_draft(caller text, name text, path text[], part json, replace boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  edited workflow.draft := workflow._lock_draft(caller, name);
  changed json;
BEGIN
  PERFORM workflow._require_given(array_position(path, NULL) IS NULL, 'a name');
  IF NOT coalesce(replace, false) AND edited.document #> path IS NOT NULL THEN
    RAISE EXCEPTION 'the draft of workflow "%" has % already', name, workflow._place(path)
      USING ERRCODE = 'duplicate_object',
            DETAIL = format('It is %s.', edited.document #> path),
            HINT = 'With replace => true the new one is taken instead.';
  END IF;
  changed := workflow._json_put(edited.document, path, part);
  PERFORM workflow._require_parts(caller, changed, ARRAY[workflow._place(path[:2])]);
  UPDATE workflow.draft AS d SET document = changed, changed_by = caller, changed_at = workflow._now()
  WHERE d.workflow = name;
END
$$;
COMMENT ON FUNCTION workflow._edit_draft(text, text, text[], json, boolean) IS
  'Inner: puts a part into a draft, where it is right in itself';

-- --------------------------------------------------------------------- begin

CREATE FUNCTION workflow._require_options(options json) RETURNS void LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF json_typeof(options) <> 'object' THEN
    RAISE EXCEPTION 'options have to be an object'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('They are of type %s.', json_typeof(options)),
            HINT = 'Write {"key": value, ...}; nothing was written.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_options(json) IS
  'Inner: refuses options that are no object; null is fine';

-- The members of options, in their order, none of them twice.
CREATE FUNCTION workflow._options(options json, OUT key text, OUT value json) RETURNS SETOF record LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  twice text;
BEGIN
  PERFORM workflow._require_options(options);
  SELECT min(o.key) INTO twice
  FROM (SELECT k.key FROM json_object_keys(coalesce(options, '{}')) AS k (key) GROUP BY k.key HAVING count(*) > 1) AS o;
  IF twice IS NOT NULL THEN
    RAISE EXCEPTION 'options say "%" twice', twice
      USING ERRCODE = 'WF006',
            DETAIL = 'Only one of them could be kept.',
            HINT = 'Leave one out; nothing was written.';
  END IF;
  RETURN QUERY SELECT o.key, o.value FROM json_each(coalesce(options, '{}')) WITH ORDINALITY AS o ORDER BY o.ordinality;
END
$$;
COMMENT ON FUNCTION workflow._options(json) IS
  'Inner: the members of options, in their order; refuses one that is there twice, and what is no object';

CREATE FUNCTION workflow._first_document(name text, initial text, options json, from_version int) RETURNS json LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  document json;
  option record;
BEGIN
  IF from_version IS NOT NULL THEN
    SELECT d.document INTO document FROM workflow._definition(name, from_version) AS d;
  ELSE
    PERFORM workflow._require_given(initial IS NOT NULL, 'initial');
    document := workflow._json_put('{}', '{workflow}', to_json(name));
  END IF;
  IF initial IS NOT NULL THEN
    document := workflow._json_put(document, '{initial}', to_json(initial));
  END IF;
  FOR option IN SELECT * FROM workflow._options(options) LOOP
    IF option.key IN ('workflow', 'initial') THEN
      RAISE EXCEPTION 'options cannot say "%"', option.key
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = 'It is an argument of its own.',
              HINT = 'Options are the other keys of a document: description, owner, key, input_schema.';
    END IF;
    document := workflow._json_put(document, ARRAY[option.key], option.value);
  END LOOP;
  IF document -> 'states' IS NULL THEN
    document := workflow._json_put(document, '{states}', '{}');
  END IF;
  RETURN document;
END
$$;
COMMENT ON FUNCTION workflow._first_document(text, text, json, int) IS
  'Inner: what a draft begins with';

CREATE FUNCTION workflow._new(caller text, name text, initial text, options json, from_version int) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  document json;
  present workflow.draft;
BEGIN
  PERFORM workflow._require_definer(name, caller, 'draft a version of');
  document := workflow._first_document(name, initial, options, from_version);
  PERFORM workflow._require_parts(caller, document, array_agg(workflow._place(ARRAY[key.name])))
  FROM (SELECT 'workflow' UNION ALL SELECT * FROM json_object_keys(coalesce(options, '{}'))) AS key (name);
  INSERT INTO workflow.draft (workflow, document, created_by, created_at, changed_by, changed_at)
  VALUES (name, document, caller, workflow._now(), caller, workflow._now())
  ON CONFLICT ON CONSTRAINT draft_pkey DO NOTHING;
  IF NOT FOUND THEN
    SELECT d.* INTO present FROM workflow.draft AS d WHERE d.workflow = name;
    RAISE EXCEPTION 'there is a draft of workflow "%" already', name
      USING ERRCODE = 'duplicate_object',
            DETAIL = format('It was begun by "%s", and last changed by "%s".', present.created_by, present.changed_by),
            HINT = format('Go on with it, or SELECT workflow.discard_draft(%L) first.', name);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._new(text, text, text, json, int) IS 'Inner: new()';

CREATE FUNCTION workflow.new(
  name text, initial text DEFAULT NULL, options json DEFAULT '{}', from_version int DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.new(text, text, json, int) IS
  'Begins a draft of a workflow, with the state that its items start in; or, to change it, of one of its versions';

-- ------------------------------------------------------------------- options

-- What set_options() does not set, and what does.
CREATE FUNCTION workflow._require_option(name text, option text) RETURNS void LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  builder text := CASE option WHEN 'states' THEN 'add_state' WHEN 'any' THEN 'add_transition' WHEN 'queues' THEN 'add_queue'
                              WHEN 'retry' THEN 'add_policy' WHEN 'activities' THEN 'add_activity' END;
BEGIN
  IF builder IS NOT NULL THEN
    RAISE EXCEPTION 'options cannot say "%"', option
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'Its parts are written one by one.',
            HINT = format('SELECT workflow.%s(%L, ...) adds or replaces one, workflow.remove_part(%L, %L, ...) removes one.',
                          builder, name, name, option);
  ELSIF option = 'workflow' THEN
    RAISE EXCEPTION 'options cannot say "%"', option
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It is the name that the draft has.',
            HINT = 'SELECT workflow.new(name, initial) begins a draft of another workflow.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_option(text, text) IS
  'Inner: refuses what is written by other calls than set_options()';

CREATE FUNCTION workflow._set_options(caller text, workflow text, options json) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text := workflow;
  edited workflow.draft := workflow._lock_draft(caller, name);
  changed json := edited.document;
  option record;
BEGIN
  FOR option IN SELECT * FROM workflow._options(options) LOOP
    PERFORM workflow._require_option(name, option.key);
    changed := workflow._json_put(changed, ARRAY[option.key],
                                  CASE WHEN json_typeof(option.value) <> 'null' THEN option.value END);
  END LOOP;
  PERFORM workflow._require_parts(caller, changed, array_agg(workflow._place(ARRAY[o.key]))) FROM workflow._options(options) AS o;
  UPDATE workflow.draft AS d SET document = changed, changed_by = caller, changed_at = workflow._now()
  WHERE d.workflow = name;
END
$$;
COMMENT ON FUNCTION workflow._set_options(text, text, json) IS 'Inner: set_options()';

CREATE FUNCTION workflow.set_options(workflow text, options json) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.set_options(text, json) IS
  'Writes what a draft says of the workflow as a whole: initial, owner, key, input_schema, description and the like; null removes one';

-- --------------------------------------------------------------------- parts

CREATE FUNCTION workflow._add_state(caller text, workflow text, state text, body json, replace boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._edit_draft(caller, workflow, ARRAY['states', state], coalesce(body, '{}'), replace);
END
$$;
COMMENT ON FUNCTION workflow._add_state(text, text, text, json, boolean) IS 'Inner: add_state()';

CREATE FUNCTION workflow.add_state(workflow text, state text, body json DEFAULT '{}', replace boolean DEFAULT false) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.add_state(text, text, json, boolean) IS
  'Adds a state to a draft: its activity, "final", "as", "timeout", "on", as in a document';

CREATE FUNCTION workflow._require_drafted_state(caller text, name text, state text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  edited workflow.draft := workflow._lock_draft(caller, name);
  states text[] := ARRAY(SELECT json_object_keys(edited.document -> 'states'));
BEGIN
  IF state <> ALL (states) THEN
    RAISE EXCEPTION 'the draft of workflow "%" has no state "%"', name, state
      USING ERRCODE = 'undefined_object',
            DETAIL = 'A transition is added to a state that there is.',
            HINT = CASE WHEN cardinality(states) = 0 THEN format('SELECT workflow.add_state(%L, %L, ''{...}'');', name, state)
                        ELSE workflow._name_hint(state, states) END;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_drafted_state(text, text, text) IS
  'Inner: refuses a state that a draft has not';

CREATE FUNCTION workflow._add_transition(
  caller text, workflow text, from_state text, event text, to_state text, replace boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._require_given(event IS NOT NULL, 'event');
  PERFORM workflow._require_given(to_state IS NOT NULL, 'to_state');
  IF from_state IS NULL THEN
    PERFORM workflow._edit_draft(caller, workflow, ARRAY['any', 'on', event], to_json(to_state), replace);
    RETURN;
  END IF;
  PERFORM workflow._require_drafted_state(caller, workflow, from_state);
  PERFORM workflow._edit_draft(caller, workflow, ARRAY['states', from_state, 'on', event], to_json(to_state), replace);
END
$$;
COMMENT ON FUNCTION workflow._add_transition(text, text, text, text, text, boolean) IS 'Inner: add_transition()';

CREATE FUNCTION workflow.add_transition(
  workflow text, from_state text, event text, to_state text, replace boolean DEFAULT false) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_with_nulls';
COMMENT ON FUNCTION workflow.add_transition(text, text, text, text, boolean) IS
  'Adds a transition to a state of a draft; with from_state null to every state that is not final and does not handle the event';

CREATE FUNCTION workflow._add_queue(
  caller text, workflow text, queue text, owner text, sla text, escalate_to text[], options json, replace boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  body json := coalesce(options, '{}');
BEGIN
  PERFORM workflow._require_options(options);
  IF owner IS NOT NULL THEN
    body := workflow._json_put(body, '{owner}', to_json(owner));
  END IF;
  IF sla IS NOT NULL THEN
    body := workflow._json_put(body, '{sla}', to_json(sla));
  END IF;
  IF escalate_to IS NOT NULL THEN
    body := workflow._json_put(body, '{escalate_to}', to_json(escalate_to));
  END IF;
  PERFORM workflow._edit_draft(caller, workflow, ARRAY['queues', queue], body, replace);
END
$$;
COMMENT ON FUNCTION workflow._add_queue(text, text, text, text, text, text[], json, boolean) IS 'Inner: add_queue()';

CREATE FUNCTION workflow.add_queue(
  workflow text, queue text, owner text DEFAULT NULL, sla text DEFAULT NULL, escalate_to text[] DEFAULT NULL,
  options json DEFAULT '{}', replace boolean DEFAULT false) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.add_queue(text, text, text, text, text[], json, boolean) IS
  'Adds a queue to a draft; it is created when the draft is published';

CREATE FUNCTION workflow._add_policy(caller text, workflow text, policy text, body json, replace boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._edit_draft(caller, workflow, ARRAY['retry', policy], body, replace);
END
$$;
COMMENT ON FUNCTION workflow._add_policy(text, text, text, json, boolean) IS 'Inner: add_policy()';

CREATE FUNCTION workflow.add_policy(workflow text, policy text, body json, replace boolean DEFAULT false) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.add_policy(text, text, json, boolean) IS
  'Adds a retry policy to a draft; the one named "default" is what the others are laid over';

CREATE FUNCTION workflow._add_activity(caller text, workflow text, activity text, body json, replace boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._edit_draft(caller, workflow, ARRAY['activities', activity], body, replace);
END
$$;
COMMENT ON FUNCTION workflow._add_activity(text, text, text, json, boolean) IS 'Inner: add_activity()';

CREATE FUNCTION workflow.add_activity(workflow text, activity text, body json, replace boolean DEFAULT false) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.add_activity(text, text, json, boolean) IS
  'Adds an activity to a draft that several states use by its name';

CREATE FUNCTION workflow._remove_part(caller text, workflow text, place text[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text := workflow;
  edited workflow.draft := workflow._lock_draft(caller, name);
BEGIN
  PERFORM workflow._require_given(array_position(place, NULL) IS NULL, 'place');
  IF edited.document #> place IS NULL OR cardinality(place) < 1 OR place[1] = 'workflow' THEN
    RAISE EXCEPTION 'the draft of workflow "%" has no % that could be removed', name, workflow._place(place)
      USING ERRCODE = 'undefined_object',
            DETAIL = 'A place is the keys that lead to a part, from the top of the document.',
            HINT = format('SELECT workflow.remove_part(%L, ''states'', ''A'') removes state A.', name);
  END IF;
  UPDATE workflow.draft AS d
  SET document = workflow._json_put(edited.document, place, NULL), changed_by = caller, changed_at = workflow._now()
  WHERE d.workflow = name;
END
$$;
COMMENT ON FUNCTION workflow._remove_part(text, text, text[]) IS 'Inner: remove_part()';

CREATE FUNCTION workflow.remove_part(workflow text, VARIADIC place text[]) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.remove_part(text, text[]) IS
  'Removes what stands at a place of a draft: the keys that lead there, as in ''states'', ''A''';

-- ----------------------------------------------------------------------- end

CREATE FUNCTION workflow.publish(name text, OUT workflow text, OUT version int, OUT created boolean)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_publish';
COMMENT ON FUNCTION workflow.publish(text) IS
  'Defines what a draft says, as define() does with a document, and ends the draft';

CREATE FUNCTION workflow.check_draft(
  name text,
  OUT severity text, OUT code text, OUT state text, OUT problem text, OUT hint text,
  OUT path text, OUT consequence text)
RETURNS SETOF record
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_check_draft';
COMMENT ON FUNCTION workflow.check_draft(text) IS
  'What check() would say of a draft if it were published now';

CREATE FUNCTION workflow._diagram_draft(caller text, name text, format text) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN workflow._draw((workflow._draft(name)).document, name || ', draft', format, NULL);
END
$$;
COMMENT ON FUNCTION workflow._diagram_draft(text, text, text) IS 'Inner: diagram_draft()';

CREATE FUNCTION workflow.diagram_draft(name text, format text DEFAULT 'mermaid') RETURNS text
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.diagram_draft(text, text) IS
  'The picture of a draft as it is, as mermaid, dot or svg';

CREATE FUNCTION workflow.discard_draft(name text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_discard_draft';
COMMENT ON FUNCTION workflow.discard_draft(text) IS
  'Ends a draft, and what was written in it';

CREATE VIEW workflow.drafts AS
SELECT d.workflow, d.document,
       coalesce((SELECT r.rolname::text FROM pg_catalog.pg_roles AS r WHERE r.oid = d.created_oid), d.created_by) AS created_by,
       d.created_at, d.changed_by, d.changed_at
FROM workflow.draft AS d;
COMMENT ON VIEW workflow.drafts IS
  'Documents that are being written, by new(), add_state() and the like, and are not published yet';
