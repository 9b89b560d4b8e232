--
-- item: items, the triggers that enforce their definitions, the log, and what
-- people do with items.
--
-- item is one row; everything that happens to it happens under the row's lock.
--

-- -------------------------------------------------------------- enforcement

CREATE FUNCTION workflow._item_stamp() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_item_stamp';
COMMENT ON FUNCTION workflow._item_stamp() IS
  'Inner: sets what follows from a change of an item''s state: seq, since, outcome, origin';

CREATE FUNCTION workflow._item_judge() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_item_judge';
COMMENT ON FUNCTION workflow._item_judge() IS
  'Inner: lets an item move only along declared transitions, and a hand change only what it may; logs the move and enters the state';

-- Among triggers of one event the names decide: last before, first after.
CREATE TRIGGER "~workflow_stamp" BEFORE UPDATE ON workflow.item
  FOR EACH ROW EXECUTE FUNCTION workflow._item_stamp();
CREATE TRIGGER " workflow_judge" AFTER UPDATE ON workflow.item
  FOR EACH ROW EXECUTE FUNCTION workflow._item_judge();

-- For four eyes.
CREATE TRIGGER bind_submitter BEFORE INSERT ON workflow.item
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_role('submitted_by', 'submitted_oid');
COMMENT ON TRIGGER bind_submitter ON workflow.item IS 'Notes which role the name of an item''s submitter means';
CREATE TRIGGER bind_author BEFORE INSERT ON workflow.item_author
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_role('author', 'author_oid');
COMMENT ON TRIGGER bind_author ON workflow.item_author IS 'Notes which role the name of who changed an item''s data means';

-- Most timers are removed long before they are due; who looks begins at a low-water mark.
CREATE FUNCTION workflow._timer_placed() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_timer_placed';
COMMENT ON FUNCTION workflow._timer_placed() IS
  'Inner: notes when a timer is due, for the mark at which looks at timers begin';

CREATE TRIGGER "~workflow_placed" BEFORE INSERT ON workflow.timer
  FOR EACH ROW EXECUTE FUNCTION workflow._timer_placed();
COMMENT ON TRIGGER "~workflow_placed" ON workflow.timer IS 'Who looks for timers begins no later than at this one';
CREATE TRIGGER workflow_placed_again AFTER UPDATE ON workflow.timer
  FOR EACH ROW EXECUTE FUNCTION workflow._timer_placed();
COMMENT ON TRIGGER workflow_placed_again ON workflow.timer IS 'Who looks for timers begins no later than at this one';
ALTER TABLE workflow.timer ENABLE ALWAYS TRIGGER "~workflow_placed";
ALTER TABLE workflow.timer ENABLE ALWAYS TRIGGER workflow_placed_again;

-- A revert that has ended may be the last one, and a call that was not applied after all the last doubt.  The item is
-- not asked for here: the timer belongs to no visit, and to this transaction alone, so that nobody waits for who records
-- another one, and no news is taken for older ones that are just being looked at (src/item/compensated.c).
CREATE FUNCTION workflow._tell_compensated() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO workflow.timer (item_id, seq, kind, due_at, event)
  SELECT i.item_id, -(pg_current_xact_id()::text::bigint & 2147483647)::int, 'compensated', least(workflow._now(), clock_timestamp()),
         CASE NEW.kind WHEN 'revert' THEN 'compensated' ELSE 'settled' END
  FROM workflow.item AS i WHERE i.item_id = NEW.item_id AND i.outcome IS NULL
    AND EXISTS (SELECT FROM workflow._graph_transitions(i.workflow, i.version) AS t WHERE t.event = 'compensated')
  ON CONFLICT ON CONSTRAINT timer_pkey DO UPDATE SET event = least(timer.event, excluded.event);    -- of this transaction: both, if there were both
  IF FOUND THEN
    PERFORM workflow._wake('maintenance');
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._tell_compensated() IS
  'Inner: has the item of an effect look whether all is taken back';

CREATE TRIGGER tell_compensated AFTER UPDATE OF state ON workflow.effect FOR EACH ROW
  WHEN (new.item_id IS NOT NULL AND new.state <> old.state
        AND CASE WHEN new.state IN ('failed', 'dead', 'cancelled') THEN new.kind = 'revert' OR new.spec ? 'revert'
                 ELSE new.state = 'succeeded' AND new.kind = 'revert' END)
  EXECUTE FUNCTION workflow._tell_compensated();
COMMENT ON TRIGGER tell_compensated ON workflow.effect IS 'An item that waits for a compensation goes on when it has ended';

-- A guard has no job that could be told of it.
CREATE FUNCTION workflow._revive_timeout() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT workflow._is_open(NEW) THEN
    UPDATE workflow.timer AS t SET due_at = workflow._now()
    WHERE t.item_id = NEW.item_id AND t.kind = 'timeout' AND t.due_at = 'infinity';
    PERFORM workflow._wake('maintenance') WHERE FOUND;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION workflow._revive_timeout() IS
  'Inner: a state''s timeout that waits for a guard of the item is due when that is settled';

CREATE TRIGGER revive_timeout AFTER UPDATE OF state ON workflow.effect FOR EACH ROW
  WHEN (new.kind = 'guard' AND new.item_id IS NOT NULL AND old.state <> new.state)
  EXECUTE FUNCTION workflow._revive_timeout();
COMMENT ON TRIGGER revive_timeout ON workflow.effect IS 'A timeout that waits for a guard goes on when that is settled';

-- ------------------------------------------------------------ inner, in C

CREATE FUNCTION workflow._move(
  item bigint, event text, kind text, actor text, reason text, event_data jsonb, data jsonb)
RETURNS int
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_move';
COMMENT ON FUNCTION workflow._move(bigint, text, text, text, text, jsonb, jsonb) IS
  'Inner: moves an item by an event, with new data unless null; returns the new seq';

CREATE FUNCTION workflow._effect_settled(effect_id bigint, actor text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_effect_settled';
COMMENT ON FUNCTION workflow._effect_settled(bigint, text) IS
  'Inner: lets the jobs of an effect follow its state';

CREATE FUNCTION workflow._rearm(item bigint, job_id bigint, actor text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_rearm';
COMMENT ON FUNCTION workflow._rearm(bigint, bigint, text) IS
  'Inner: takes a dead letter of an item''s visit up again, with the data as it is now';

CREATE FUNCTION workflow._handles(item bigint, event text) RETURNS boolean
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_inner_handles';
COMMENT ON FUNCTION workflow._handles(bigint, text) IS
  'Inner: whether the state of an item handles an event';

CREATE FUNCTION workflow._transition_problem(
  workflow text, version int, from_state text, event text, to_state text, origin text, kind text)
RETURNS text
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_inner_transition_problem';
COMMENT ON FUNCTION workflow._transition_problem(text, int, text, text, text, text, text) IS
  'Inner: why a version does not declare a transition of a kind; null when it does';

CREATE FUNCTION workflow._state_facts(workflow text, version int, state text) RETURNS jsonb
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_inner_state_facts';
COMMENT ON FUNCTION workflow._state_facts(text, int, text) IS
  'Inner: outcome of a state, and whether it is an exception state, the initial one, one with a job, one with children; null when the version has no such state';

CREATE FUNCTION workflow._require_running(item bigint) RETURNS void
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_inner_require_running';
COMMENT ON FUNCTION workflow._require_running(bigint) IS
  'Inner: raises WF008 while an item or its workflow is paused';

CREATE FUNCTION workflow._allowed_events(item bigint) RETURNS text[]
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_inner_allowed_events';
COMMENT ON FUNCTION workflow._allowed_events(bigint) IS
  'Inner: the events that an item takes now, with decisions, and cancel where cancel() works; none in a final state';

CREATE FUNCTION workflow._states_that_take(workflow text, version int, state text, event text) RETURNS text[]
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_inner_states_that_take';
COMMENT ON FUNCTION workflow._states_that_take(text, int, text, text) IS
  'Inner: the states that can still be reached and where a kept event would fire; null when there is none';

CREATE FUNCTION workflow._may_call(role_name text, name text) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (
    SELECT FROM pg_proc AS p
    WHERE p.pronamespace = 'workflow'::regnamespace AND p.proname = _may_call.name
      AND has_function_privilege(role_name::name, p.oid, 'EXECUTE'))
$$;
COMMENT ON FUNCTION workflow._may_call(text, text) IS
  'Inner: whether a role may call a function of this schema';

CREATE FUNCTION workflow._set_pause(item bigint, at timestamptz, by text, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_set_pause';
COMMENT ON FUNCTION workflow._set_pause(bigint, timestamptz, text, text) IS
  'Inner: stops an item; all null lets it go on';

CREATE FUNCTION workflow._set_data(item bigint, data jsonb, actor text, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_set_data';
COMMENT ON FUNCTION workflow._set_data(bigint, jsonb, text, text) IS
  'Inner: changes the data of an item, with a row in the journal';

CREATE FUNCTION workflow._replay_spawn(item bigint, actor text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_replay_spawn';
COMMENT ON FUNCTION workflow._replay_spawn(bigint, text) IS
  'Inner: takes up the children of an item''s visit that could not go on, by the data as it is now';

-- ------------------------------------------------------------------ by hand

-- Members as text: 1 and 1.0 are equal as numbers, but make different keys.
CREATE FUNCTION workflow._other_members(these jsonb, than jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN jsonb_typeof(these) <> 'object' THEN these
    ELSE (SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') FROM jsonb_each(these) AS m
          WHERE (than -> m.key)::text IS DISTINCT FROM m.value::text) END
$$;
COMMENT ON FUNCTION workflow._other_members(jsonb, jsonb) IS
  'Inner: the members of an object that another one has not, or has with another value';

-- Those who changed what an item carries, beside the one who submitted it.
CREATE FUNCTION workflow._note_author(item bigint, author text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO workflow.item_author (item_id, author) VALUES (item, _note_author.author) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION workflow._note_author(bigint, text) IS
  'Inner: notes who has changed the data of an item';

CREATE FUNCTION workflow._note_patch(actor text, item bigint, subject text, before jsonb, after jsonb, reason text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT workflow._note(actor, 'patch', item, subject, reason, jsonb_build_object(
    'before', workflow._other_members(before, after), 'after', workflow._other_members(after, before)));
  SELECT workflow._note_author(item, actor) WHERE subject IS NULL
$$;
COMMENT ON FUNCTION workflow._note_patch(text, bigint, text, jsonb, jsonb, text) IS
  'Inner: appends a change of an item''s data, or of the column that subject names, to the journal';

-- ------------------------------------------------------------------- submit

CREATE FUNCTION workflow.submit(
  workflow text, input jsonb, key text DEFAULT NULL, source text DEFAULT NULL,
  event_id text DEFAULT NULL, run_at timestamptz DEFAULT NULL, priority int DEFAULT 0,
  labels jsonb DEFAULT '{}', on_conflict text DEFAULT 'return', input_ref text DEFAULT NULL,
  OUT item_id bigint, OUT state text, OUT created boolean, OUT same_input boolean)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_submit';
COMMENT ON FUNCTION workflow.submit(text, jsonb, text, text, text, timestamptz, int, jsonb, text, text) IS
  'Starts an item, or finds the one of the same key or the same (source, event_id)';

CREATE FUNCTION workflow.submit_many(
  workflow text, inputs jsonb[],
  OUT item_id bigint, OUT state text, OUT created boolean, OUT same_input boolean)
RETURNS SETOF record
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_submit_many';
COMMENT ON FUNCTION workflow.submit_many(text, jsonb[]) IS
  'Starts or finds an item for each input, in order';

-- ------------------------------------------------------------------- events

CREATE FUNCTION workflow.send(
  item bigint, event text, data jsonb DEFAULT '{}', source text DEFAULT NULL,
  event_id text DEFAULT NULL, expected_seq int DEFAULT NULL, reason text DEFAULT NULL,
  OUT seq int, OUT state text, OUT duplicate boolean)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_send';
COMMENT ON FUNCTION workflow.send(bigint, text, jsonb, text, text, int, text) IS
  'Fires an event on an item, once for each (source, event_id); keeps it when it is legal later';

CREATE FUNCTION workflow.send(
  item text, event text, data jsonb DEFAULT '{}', source text DEFAULT NULL,
  event_id text DEFAULT NULL, expected_seq int DEFAULT NULL, reason text DEFAULT NULL,
  OUT seq int, OUT state text, OUT duplicate boolean)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_send_by_key';
COMMENT ON FUNCTION workflow.send(text, text, jsonb, text, text, int, text) IS
  'Fires an event on the item workflow:key, once for each (source, event_id); keeps it when it is legal later';

-- A sql activity runs as the definer, who may not read items otherwise.
CREATE FUNCTION workflow._input_ref(caller text, item bigint) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  reference text;
BEGIN
  SELECT i.input_ref INTO reference FROM workflow.item AS i WHERE i.item_id = item;
  IF NOT FOUND THEN
    PERFORM workflow._item_id(coalesce(item::text, ''));    -- raises WF012
  END IF;
  RETURN reference;
END
$$;
COMMENT ON FUNCTION workflow._input_ref(text, bigint) IS 'Inner: workflow.input_ref()';

CREATE FUNCTION workflow.input_ref(item bigint) RETURNS text
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.input_ref(bigint) IS
  'Where the input of an item is kept, as submitted: a URI or table:key; null when all of it is in the item';

CREATE FUNCTION workflow.input_ref(item text) RETURNS text
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.input_ref(text) IS
  'The same, of the item workflow:key';

-- For inner functions, which run as the owner: in the name of who called them.
CREATE FUNCTION workflow._submit_as(
  caller text, workflow text, input jsonb, key text, source text, event_id text, labels jsonb, input_ref text,
  OUT item_id bigint, OUT state text, OUT created boolean, OUT same_input boolean)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_submit';
COMMENT ON FUNCTION workflow._submit_as(text, text, jsonb, text, text, text, jsonb, text) IS
  'Inner: submit() in the name of a role';

CREATE FUNCTION workflow._send_as(
  caller text, item bigint, event text, data jsonb, source text, event_id text, by_rule boolean,
  OUT seq int, OUT state text, OUT duplicate boolean)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_inner_send';
COMMENT ON FUNCTION workflow._send_as(text, bigint, text, jsonb, text, text, boolean) IS
  'Inner: send() in the name of a role; with any event where a rule names it';

-- ------------------------------------------------------------ claimed jobs

CREATE FUNCTION workflow.complete(
  job_id bigint, token text, event text DEFAULT 'ok', output jsonb DEFAULT NULL, units int DEFAULT NULL)
RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_complete';
COMMENT ON FUNCTION workflow.complete(bigint, text, text, jsonb, int) IS
  'A claimed job is done: records it and moves its item by the event, in this transaction';

CREATE FUNCTION workflow.complete_many(
  job_ids bigint[], tokens text[], event text DEFAULT 'ok', outputs jsonb[] DEFAULT NULL, units int[] DEFAULT NULL)
RETURNS int
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_complete_many';
COMMENT ON FUNCTION workflow.complete_many(bigint[], text[], text, jsonb[], int[]) IS
  'Completes many claimed jobs, all or none; returns their number';

CREATE FUNCTION workflow.fail(
  job_id bigint, token text, error_class text, message text DEFAULT NULL,
  retry_after interval DEFAULT NULL, detail jsonb DEFAULT NULL)
RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_fail';
COMMENT ON FUNCTION workflow.fail(bigint, text, text, text, interval, jsonb) IS
  'A claimed job failed: its retry policy decides whether it runs again';

CREATE FUNCTION workflow.fail_many(
  job_ids bigint[], tokens text[], error_class text, message text DEFAULT NULL,
  retry_after interval DEFAULT NULL, detail jsonb DEFAULT NULL)
RETURNS int
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_fail_many';
COMMENT ON FUNCTION workflow.fail_many(bigint[], text[], text, text, interval, jsonb) IS
  'Fails many claimed jobs for one cause, all or none; returns their number';

-- ------------------------------------------------------------- stop and go

CREATE FUNCTION workflow._lock_item(item bigint) RETURNS workflow.item LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found_item workflow.item;
BEGIN
  SELECT i.* INTO found_item FROM workflow.item AS i WHERE i.item_id = item FOR NO KEY UPDATE;
  IF found_item.item_id IS NULL THEN
    PERFORM workflow._item_id(coalesce(item::text, ''));    -- raises WF012
  END IF;
  RETURN found_item;
END
$$;
COMMENT ON FUNCTION workflow._lock_item(bigint) IS
  'Inner: locks an item and reads it; WF012 when there is none';

-- A parent has counted its children that ended: those go back nowhere.
CREATE FUNCTION workflow._last_work(item workflow.item) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT p.state FROM workflow._path(item.item_id, item.seq + 1) AS p
          JOIN workflow._graph_states(item.workflow, item.version) AS s ON s.state = p.state
          WHERE item.parent_id IS NULL AND s.kind NOT IN ('final', 'exception') ORDER BY p.seq DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION workflow._last_work(workflow.item) IS
  'Inner: the last state of an item''s path that it can be rewound to; null when there is none';

CREATE FUNCTION workflow._require_alive(item workflow.item, verb text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF item.outcome IS NOT NULL THEN
    RAISE EXCEPTION 'item % has ended and cannot be %', item.item_id, verb
      USING ERRCODE = 'WF001',
            DETAIL = format('Item %s (%s:%s) of version %s is in state "%s" since %s, outcome "%s".',
                            item.item_id, item.workflow, item.key, item.version, item.state, item.since, item.outcome),
            HINT = format('SELECT * FROM workflow.timeline(%s) tells how it ended.', item.item_id)
                   || CASE WHEN verb = 'replayed'
                           THEN coalesce(format(' SELECT workflow.rewind(%s, %L, ''why''); lets it go on from there.', item.item_id, workflow._last_work(item)), '')
                           ELSE '' END;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_alive(workflow.item, text) IS
  'Inner: raises WF001 for an item that has ended';

-- Whoever waits for the event "compensated" has begun nothing by that.
CREATE FUNCTION workflow._left_to_compensate(item workflow.item) RETURNS int LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM workflow._state_roads(item.workflow, item.version, item.state) AS r
                 WHERE r.event = 'compensated' AND NOT r.from_any) THEN
    RETURN 0;
  END IF;
  RETURN (SELECT count(*) FROM workflow._to_compensate(item.item_id) AS e
          WHERE NOT EXISTS (SELECT FROM workflow.effect AS r
                            WHERE r.reverts = e.effect_id AND r.state NOT IN ('succeeded', 'cancelled')));
END
$$;
COMMENT ON FUNCTION workflow._left_to_compensate(workflow.item) IS
  'Inner: how many effects an item that waits for a compensation has which nobody has begun to take back';

CREATE FUNCTION workflow._mention_compensation(it workflow.item) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n int := workflow._left_to_compensate(it);
BEGIN
  IF n > 0 THEN
    RAISE NOTICE 'item % waits in state "%" until what it has done is taken back', it.item_id, it.state
      USING DETAIL = format('Nobody has begun to take back %s.', CASE n WHEN 1 THEN 'one effect' ELSE n || ' effects' END),
            HINT = format('SELECT workflow.compensate(%s, ''why'');', it.item_id);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._mention_compensation(workflow.item) IS
  'Inner: says how the compensation is begun that an item waits for';

CREATE FUNCTION workflow._cancel(caller text, item bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._require_alive(workflow._lock_item(item), 'cancelled');
  PERFORM workflow._move(item, 'cancel', 'cancel', caller, reason, NULL, NULL);
  PERFORM workflow._mention_compensation(i) FROM workflow.item AS i WHERE i.item_id = item AND i.outcome IS NULL;
END
$$;
COMMENT ON FUNCTION workflow._cancel(text, bigint, text) IS 'Inner: workflow.cancel()';

CREATE FUNCTION workflow.cancel(item bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.cancel(bigint, text) IS
  'Ends an item by the event cancel: where its state sends it, else in the state CANCELLED';

CREATE FUNCTION workflow.cancel(item text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.cancel(text, text) IS
  'Ends the item workflow:key by the event cancel: where its state sends it, else in the state CANCELLED';

-- Jobs that are ready wait while their items are paused; what runs goes on.  The
-- rows of those that run are written too: whoever is just giving one back comes
-- before this, and finds it ready, or after, and sees the pause.
CREATE FUNCTION workflow._pause(caller text, item bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  paused workflow.item := workflow._lock_item(item);
BEGIN
  PERFORM workflow._require_alive(paused, 'paused');
  IF NOT workflow._is_new_pause(paused.paused_at, paused.pause_reason, reason) THEN
    RETURN;
  END IF;
  PERFORM workflow._set_pause(item, coalesce(paused.paused_at, workflow._now()), caller, reason);
  IF paused.paused_at IS NULL THEN
    UPDATE workflow.job AS j
    SET status = CASE j.status WHEN 'ready' THEN 'waiting' ELSE j.status END,
        waiting_on = CASE j.status WHEN 'ready' THEN 'paused' END
    WHERE j.item_id = item AND j.status IN ('ready', 'running');
  END IF;
  PERFORM workflow._note(caller, 'pause', item, NULL, reason);
END
$$;
COMMENT ON FUNCTION workflow._pause(text, bigint, text) IS 'Inner: workflow.pause()';

CREATE FUNCTION workflow.pause(item bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.pause(bigint, text) IS
  'Stops an item: its jobs are not claimed, its timers do not fire, events are refused';

CREATE FUNCTION workflow.pause(item text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.pause(text, text) IS
  'Stops the item workflow:key: its jobs are not claimed, its timers do not fire, events are refused';

-- Makes the jobs ready that waited because of a pause, and wakes who runs them.
CREATE FUNCTION workflow._wake_paused_jobs(items bigint[]) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'wf_inner_wake_paused_jobs';
COMMENT ON FUNCTION workflow._wake_paused_jobs(bigint[]) IS
  'Inner: makes the jobs of items ready that waited because of a pause';

-- Sets back what was put aside because it was due in a pause (src/item/timer_pause.c).
CREATE FUNCTION workflow._resume_timers(item bigint, name text) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE workflow.timer AS t SET due_at = t.paused_due_at, paused_due_at = NULL
  WHERE t.item_id = item AND t.paused_due_at IS NOT NULL;
  UPDATE workflow.timer AS t SET due_at = t.paused_due_at, paused_due_at = NULL
  FROM workflow.item AS i
  WHERE i.item_id = t.item_id AND i.workflow = name AND i.paused_at IS NULL AND t.paused_due_at IS NOT NULL
$$;
COMMENT ON FUNCTION workflow._resume_timers(bigint, text) IS
  'Inner: timers that were put aside in a pause, of an item or of a workflow''s items, are due when they were';

CREATE FUNCTION workflow._resume(caller text, item bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  paused workflow.item := workflow._lock_item(item);
BEGIN
  IF paused.paused_at IS NULL THEN
    RETURN;
  END IF;
  PERFORM workflow._set_pause(item, NULL, NULL, NULL);
  PERFORM workflow._resume_timers(item, NULL);
  PERFORM workflow._start_review_clocks(paused.paused_at,
    ARRAY(SELECT r.review_id FROM workflow.review AS r WHERE r.item_id = item AND r.closed_at IS NULL));
  IF NOT EXISTS (SELECT FROM workflow.workflow AS w
                 WHERE w.workflow = paused.workflow AND w.paused_at IS NOT NULL) THEN
    PERFORM workflow._wake_paused_jobs(ARRAY[item]);
  END IF;
  PERFORM workflow._note(caller, 'resume', item, NULL, reason);
END
$$;
COMMENT ON FUNCTION workflow._resume(text, bigint, text) IS 'Inner: workflow.resume()';

CREATE FUNCTION workflow.resume(item bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.resume(bigint, text) IS 'Lets a paused item go on';

CREATE FUNCTION workflow.resume(item text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.resume(text, text) IS 'Lets the paused item workflow:key go on';

CREATE FUNCTION workflow._lock_workflow(name text) RETURNS workflow.workflow LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found_workflow workflow.workflow;
BEGIN
  SELECT w.* INTO found_workflow FROM workflow.workflow AS w WHERE w.workflow = name FOR UPDATE;
  IF found_workflow.workflow IS NULL THEN
    RAISE EXCEPTION 'workflow "%" does not exist', name
      USING ERRCODE = 'WF012',
            DETAIL = 'No version of it was ever defined.',
            HINT = workflow._nearest('workflow', name) || 'SELECT DISTINCT workflow FROM workflow.versions shows which there are.';
  END IF;
  RETURN found_workflow;
END
$$;
COMMENT ON FUNCTION workflow._lock_workflow(text) IS
  'Inner: locks a workflow and reads it; WF012 when there is none';

CREATE FUNCTION workflow._pause_workflow(caller text, name text, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  paused workflow.workflow := workflow._lock_workflow(name);
BEGIN
  IF NOT workflow._is_new_pause(paused.paused_at, paused.pause_reason, reason) THEN
    RETURN;
  END IF;
  UPDATE workflow.workflow AS w
  SET paused_at = coalesce(w.paused_at, workflow._now()), paused_by = caller, pause_reason = reason
  WHERE w.workflow = name;
  IF paused.paused_at IS NULL THEN
    UPDATE workflow.job AS j
    SET status = CASE j.status WHEN 'ready' THEN 'waiting' ELSE j.status END,
        waiting_on = CASE j.status WHEN 'ready' THEN 'paused' END
    FROM workflow.item AS i
    WHERE i.workflow = name AND i.item_id = j.item_id AND j.status IN ('ready', 'running');
  END IF;
  PERFORM workflow._note(caller, 'pause', NULL, 'workflow:' || name, reason);
END
$$;
COMMENT ON FUNCTION workflow._pause_workflow(text, text, text) IS 'Inner: workflow.pause_workflow()';

CREATE FUNCTION workflow.pause_workflow(name text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.pause_workflow(text, text) IS
  'Stops every item of a workflow, new ones too; activities that are running end';

CREATE FUNCTION workflow._resume_workflow(caller text, name text, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  paused workflow.workflow;
  held bigint[] := workflow._hold_reviews(name, NULL);
BEGIN
  paused := workflow._lock_workflow(name);
  IF paused.paused_at IS NULL THEN
    RETURN;
  END IF;
  UPDATE workflow.workflow AS w SET paused_at = NULL, paused_by = NULL, pause_reason = NULL
  WHERE w.workflow = name;
  PERFORM workflow._end_pause_of_many(paused.paused_at, name, NULL, held);
  PERFORM workflow._resume_timers(NULL, name);
  PERFORM workflow._wake_paused_jobs(ARRAY(
    SELECT i.item_id FROM workflow.item AS i JOIN workflow.job AS j ON j.item_id = i.item_id
    WHERE i.workflow = name AND i.paused_at IS NULL
      AND j.status = 'waiting' AND j.waiting_on = 'paused'));
  PERFORM workflow._note(caller, 'resume', NULL, 'workflow:' || name, reason);
END
$$;
COMMENT ON FUNCTION workflow._resume_workflow(text, text, text) IS 'Inner: workflow.resume_workflow()';

CREATE FUNCTION workflow.resume_workflow(name text, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.resume_workflow(text, text) IS
  'Lets a paused workflow go on; items paused by themselves stay so';

-- ---------------------------------------------------------------- exceptions

CREATE FUNCTION workflow._require_patch(patch jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF jsonb_typeof(patch) <> 'object' THEN
    RAISE EXCEPTION 'a patch is a JSON object'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is of type %s.', jsonb_typeof(patch)),
            HINT = 'Give the members of data that are to be replaced.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_patch(jsonb) IS 'Inner: refuses a patch that is no object; null passes';

-- RFC 7396: members replace members, objects are merged, null removes.
CREATE FUNCTION workflow._merge_patch(target jsonb, patch jsonb) RETURNS jsonb LANGUAGE plpgsql STRICT IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  merged jsonb := CASE jsonb_typeof(target) WHEN 'object' THEN target ELSE '{}' END;
  member record;
BEGIN
  IF jsonb_typeof(patch) <> 'object' THEN
    RETURN patch;
  END IF;
  FOR member IN SELECT * FROM jsonb_each(patch) LOOP
    merged := CASE jsonb_typeof(member.value)
      WHEN 'null' THEN merged - member.key
      ELSE merged || jsonb_build_object(member.key, workflow._merge_patch(coalesce(merged -> member.key, 'null'), member.value)) END;
  END LOOP;
  RETURN merged;
END
$$;
COMMENT ON FUNCTION workflow._merge_patch(jsonb, jsonb) IS 'Inner: a value with a merge patch (RFC 7396) applied';

-- A dead letter of a visit: its job, or its children that cannot go on.  Returns what it was, for the journal.
CREATE FUNCTION workflow._replay_visit(caller text, stuck workflow.item, reason text, patch jsonb) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  dead_job bigint := (SELECT j.job_id FROM workflow.job AS j
                      WHERE j.item_id = stuck.item_id AND j.seq = stuck.seq AND j.status = 'dead');
BEGIN
  IF dead_job IS NULL AND NOT EXISTS (
       SELECT FROM workflow.spawn AS s
       WHERE s.item_id = stuck.item_id AND s.seq = stuck.seq AND s.failed_at IS NOT NULL) THEN
    RAISE EXCEPTION 'there is nothing to replay: item % is in no exception state and has no dead letter', stuck.item_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('Item %s (%s:%s) is in state "%s" since %s.',
                            stuck.item_id, stuck.workflow, stuck.key, stuck.state, stuck.since),
            HINT = format('SELECT * FROM workflow.where_is(%s) tells what it waits for.', stuck.item_id);
  END IF;
  IF patch IS NOT NULL THEN
    PERFORM workflow._set_data(stuck.item_id, workflow._merge_patch(stuck.data, patch), caller, reason);
  END IF;
  IF dead_job IS NULL THEN
    PERFORM workflow._replay_spawn(stuck.item_id, caller);
    RETURN 'children of visit ' || stuck.seq;
  END IF;
  PERFORM workflow._rearm(stuck.item_id, dead_job, caller);
  RETURN 'job:' || dead_job;
END
$$;
COMMENT ON FUNCTION workflow._replay_visit(text, workflow.item, text, jsonb) IS
  'Inner: takes up the dead letter of an item''s visit';

-- Takes up again what stands still: an item in an exception state, or a dead
-- letter.  detail: what the log says of it besides, as the batch that it is of.
CREATE FUNCTION workflow._replay_item(caller text, item bigint, reason text, patch jsonb, detail jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stuck workflow.item := workflow._lock_item(item);
  subject text;
BEGIN
  PERFORM workflow._require_alive(stuck, 'replayed');
  PERFORM workflow._require_patch(patch);
  IF (workflow._state_facts(stuck.workflow, stuck.version, stuck.state) -> 'exception')::boolean
     OR workflow._handles(item, 'replay') THEN
    PERFORM workflow._move(item, 'replay', 'replay', caller, reason, coalesce(detail, patch),
                           workflow._merge_patch(stuck.data, patch));
    IF patch IS NOT NULL THEN
      PERFORM workflow._note_author(item, caller);
    END IF;
    RETURN;
  END IF;
  subject := workflow._replay_visit(caller, stuck, reason, patch);
  PERFORM workflow._note(caller, 'replay', item, subject, reason, coalesce(detail, patch));
END
$$;
COMMENT ON FUNCTION workflow._replay_item(text, bigint, text, jsonb, jsonb) IS
  'Inner: replays an item, by itself or in a batch';

CREATE FUNCTION workflow._replay(caller text, item bigint, reason text, patch jsonb) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT workflow._replay_item(caller, item, reason, patch, NULL)
$$;
COMMENT ON FUNCTION workflow._replay(text, bigint, text, jsonb) IS 'Inner: workflow.replay()';

CREATE FUNCTION workflow.replay(item bigint, reason text, patch jsonb DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.replay(bigint, text, jsonb) IS
  'Takes up an item in an exception state, or its dead letter, after merging patch into its data';

CREATE FUNCTION workflow.replay(item text, reason text, patch jsonb DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.replay(text, text, jsonb) IS
  'Takes up the item workflow:key in an exception state, or its dead letter, after merging patch into its data';

CREATE FUNCTION workflow._give_up(caller text, item bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._require_alive(workflow._lock_item(item), 'given up');
  PERFORM workflow._move(item, 'give_up', 'send', caller, reason, NULL, NULL);
END
$$;
COMMENT ON FUNCTION workflow._give_up(text, bigint, text) IS 'Inner: workflow.give_up()';

CREATE FUNCTION workflow.give_up(item bigint, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.give_up(bigint, text) IS
  'Raises the event give_up on an item in an exception state';

CREATE FUNCTION workflow.give_up(item text, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.give_up(text, text) IS
  'Raises the event give_up on the item workflow:key in an exception state';

-- A job that stands alone; that of a call is nothing without its effect.
CREATE FUNCTION workflow.replay_job(job_id bigint, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.replay_job(bigint, text) IS
  'A dead job that stands alone is ready again, with all its attempts; so is the effect of a call that ended without success';

-- Null when there is no such job, false when it is no dead letter.
CREATE FUNCTION workflow._replay_alone(caller text, job_id bigint, reason text, detail jsonb DEFAULT '{}') RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  dead workflow.job;
BEGIN
  SELECT * INTO dead FROM workflow.job AS j WHERE j.job_id = _replay_alone.job_id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  ELSIF dead.item_id IS NOT NULL THEN
    RAISE EXCEPTION 'job % belongs to item %', job_id, dead.item_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'The item decides what a replay leads to.',
            HINT = format('SELECT workflow.replay(%s, %L) replays the item.', dead.item_id, reason);
  ELSIF dead.status <> 'dead' THEN
    RETURN false;
  END IF;
  IF dead.effect_id IS NOT NULL THEN
    PERFORM workflow._revive_effect(dead.effect_id);
  END IF;
  PERFORM workflow._job_again(dead.job_id);
  PERFORM workflow._note(caller, 'replay_job', NULL, 'job:' || dead.job_id, reason,
                         jsonb_build_object('queue', dead.queue, 'attempts', dead.attempt,
                                            'error_class', dead.error_class) || detail);
  RETURN true;
END
$$;
COMMENT ON FUNCTION workflow._replay_alone(text, bigint, text, jsonb) IS
  'Inner: replays a dead letter that stands alone; null when there is no such job, false when it is no dead letter';

-- The status of a job of the table, or null.
CREATE FUNCTION workflow._job_status(job_id bigint) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT j.status FROM workflow.job AS j WHERE j.job_id = _job_status.job_id
$$;
COMMENT ON FUNCTION workflow._job_status(bigint) IS 'Inner: the status of a job of the table, for messages';

CREATE FUNCTION workflow._replay_job(caller text, job_id bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  is_replayed boolean;
BEGIN
  is_replayed := workflow._replay_alone(caller, job_id, reason);
  IF is_replayed IS NULL THEN
    RAISE EXCEPTION 'job % does not exist', job_id
      USING ERRCODE = 'WF012',
            DETAIL = 'A job is gone once it has succeeded, or when its item has moved on.',
            HINT = 'SELECT job_id, queue, error_message FROM workflow.dead_letters shows the dead letters.';
  ELSIF NOT is_replayed THEN
    RAISE EXCEPTION 'job % is no dead letter', job_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('It is %s.', workflow._job_status(job_id)),
            HINT = 'SELECT job_id, queue, error_message FROM workflow.dead_letters shows the dead letters.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._replay_job(text, bigint, text) IS 'Inner: replay_job()';

CREATE FUNCTION workflow.replay_jobs(job_ids bigint[], reason text) RETURNS int
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.replay_jobs(bigint[], text) IS
  'replay_job() for those of the jobs that are still dead letters; returns how many, or refuses them all';

CREATE FUNCTION workflow._replay_jobs(caller text, job_ids bigint[], reason text) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  dead bigint;
  nreplayed int := 0;
BEGIN
  PERFORM workflow._require_given(array_position(job_ids, NULL) IS NULL, 'job_ids');
  FOR dead IN SELECT DISTINCT u.id FROM unnest(job_ids) AS u (id) ORDER BY u.id LOOP
    nreplayed := nreplayed + coalesce(workflow._replay_alone(caller, dead, reason), false)::int;
  END LOOP;
  RETURN nreplayed;
END
$$;
COMMENT ON FUNCTION workflow._replay_jobs(text, bigint[], text) IS 'Inner: replay_jobs()';

-- ---------------------------------------------------------------- reschedule

CREATE FUNCTION workflow.reschedule_job(job_id bigint, run_at timestamptz DEFAULT NULL, priority int DEFAULT NULL,
                                        reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.reschedule_job(bigint, timestamptz, int, text) IS
  'Another due time or priority for a job that is ready, delayed or waits for its next attempt; null leaves what is';

CREATE FUNCTION workflow._reschedule_job(caller text, job_id bigint, run_at timestamptz, priority int, reason text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present workflow.job;
  wanted  workflow.job;
BEGIN
  PERFORM workflow._leave_lanes(ARRAY[job_id]);
  SELECT * INTO present FROM workflow.job AS j WHERE j.job_id = _reschedule_job.job_id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'job % does not exist', job_id
      USING ERRCODE = 'WF012',
            DETAIL = 'A job is gone once it has succeeded, or when its item has moved on.',
            HINT = format('SELECT * FROM workflow.attempts WHERE job_id = %s shows what became of it.', job_id);
  ELSIF present.status <> 'ready' OR present.effect_id IS NOT NULL THEN
    RAISE EXCEPTION 'job % cannot be rescheduled', job_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = CASE WHEN present.effect_id IS NULL THEN format('It is %s.', present.status)
                          ELSE format('It carries effect %s, whose endpoint says when it is sent.', present.effect_id) END,
            HINT = CASE WHEN present.status = 'dead' AND present.item_id IS NULL
                        THEN format('SELECT workflow.replay_job(%s, ''why''); runs it again.', job_id)
                        ELSE 'SELECT * FROM workflow.jobs shows the jobs, and what each waits for.' END;
  ELSIF NOT isfinite(run_at) THEN
    RAISE EXCEPTION 'run_at of job % must be a point in time', job_id
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It is %s.', run_at),
            HINT = 'Give the time from which on it is due, or null to leave it as it is.';
  END IF;
  wanted := present;
  wanted.run_at := coalesce(run_at, present.run_at);
  wanted.priority := coalesce(priority, present.priority - present.aged);
  SELECT workflow._aged(wanted.priority, wanted.run_at, q.aging) INTO wanted.aged
  FROM workflow.queue AS q WHERE q.queue = present.queue;
  UPDATE workflow.job AS j
  SET run_at = wanted.run_at, priority = wanted.priority + wanted.aged, aged = wanted.aged
  WHERE j.job_id = present.job_id;
  PERFORM workflow._wake_queue(present.queue);
  PERFORM workflow._note(caller, 'reschedule_job', present.item_id, 'job:' || present.job_id, reason,
                         jsonb_build_object('queue', present.queue, 'run_at', wanted.run_at, 'priority', wanted.priority,
                                            'before', jsonb_build_object('run_at', present.run_at, 'priority', present.priority - present.aged)));
END
$$;
COMMENT ON FUNCTION workflow._reschedule_job(text, bigint, timestamptz, int, text) IS 'Inner: reschedule_job()';

-- The effect of a call goes with its job, where nothing of it may have been
-- sent; another job that waits for it is told to send it.
CREATE FUNCTION workflow._cancel_call(call workflow.job, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  effect  workflow.effect;
  another bigint;
BEGIN
  SELECT * INTO effect FROM workflow.effect AS e WHERE e.effect_id = call.effect_id FOR UPDATE;
  IF NOT FOUND OR effect.state IN ('succeeded', 'failed', 'dead', 'cancelled') THEN
    RETURN;
  END IF;
  IF effect.kind <> 'call' OR effect.state NOT IN ('pending', 'blocked') OR effect.unknown_attempts > 0 THEN
    RAISE EXCEPTION 'job % carries an effect that may have been sent', call.job_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('Its effect %s (%s) is %s.', effect.effect_id, effect.kind, effect.state),
            HINT = format('When it is held, SELECT workflow.resolve(%s, ''abandon'', %L) gives it up.', effect.effect_id, reason);
  END IF;
  SELECT j.job_id INTO another FROM workflow.job AS j
  WHERE j.effect_id = call.effect_id AND j.job_id <> call.job_id AND j.status = 'waiting'
  ORDER BY j.job_id LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF FOUND THEN
    PERFORM workflow._job_again(another);
    RETURN;
  END IF;
  UPDATE workflow.effect AS e
  SET state = 'cancelled', substate = NULL, reason = coalesce(_cancel_call.reason, 'its job was cancelled'),
      next_at = NULL, cause = NULL, finished_at = workflow._now()
  WHERE e.effect_id = call.effect_id;
END
$$;
COMMENT ON FUNCTION workflow._cancel_call(workflow.job, text) IS
  'Inner: cancels the effect of a call whose job is cancelled, or refuses';

-- False when there is no such job.
CREATE FUNCTION workflow._cancel_alone(caller text, job_id bigint, reason text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  doomed workflow.job;
BEGIN
  SELECT * INTO doomed FROM workflow.job AS j WHERE j.job_id = _cancel_alone.job_id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  ELSIF doomed.item_id IS NOT NULL THEN
    RAISE EXCEPTION 'job % belongs to item %', job_id, doomed.item_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Without it the item would stand still.',
            HINT = format('SELECT workflow.cancel(%s, %L) cancels the item.', doomed.item_id, reason);
  ELSIF doomed.effect_id IS NOT NULL THEN
    PERFORM workflow._cancel_call(doomed, reason);
  END IF;
  PERFORM workflow._drop_cancelled(job_id, reason);
  PERFORM workflow._note(caller, 'cancel_job', NULL, 'job:' || job_id, reason,
                         jsonb_strip_nulls(jsonb_build_object('queue', doomed.queue, 'status', doomed.status,
                           'attempts', doomed.attempt, 'key', doomed.key, 'worker', doomed.worker)));
  RETURN true;
END
$$;
COMMENT ON FUNCTION workflow._cancel_alone(text, bigint, text) IS
  'Inner: cancels a job of the table that stands alone; false when there is none';

CREATE FUNCTION workflow.cancel_job(job_id bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.cancel_job(bigint, text) IS
  'Ends a job that stands alone, whether it waits, runs or is a dead letter; the token of a claim of it is stale then';

CREATE FUNCTION workflow._cancel_job(caller text, job_id bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._leave_lanes(ARRAY[job_id]);
  IF NOT workflow._cancel_alone(caller, job_id, reason) THEN
    RAISE EXCEPTION 'job % does not exist', job_id
      USING ERRCODE = 'WF012',
            DETAIL = 'A job is gone once it has succeeded, or when its item has moved on.',
            HINT = format('SELECT * FROM workflow.attempts WHERE job_id = %s shows what became of it.', job_id);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._cancel_job(text, bigint, text) IS 'Inner: cancel_job()';

CREATE FUNCTION workflow.cancel_jobs(job_ids bigint[], reason text DEFAULT NULL) RETURNS int
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.cancel_jobs(bigint[], text) IS
  'cancel_job() for those of the jobs that are still there; returns how many, or refuses them all';

CREATE FUNCTION workflow._cancel_jobs(caller text, job_ids bigint[], reason text) RETURNS int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  doomed bigint[] := ARRAY(SELECT DISTINCT u.id FROM unnest(job_ids) AS u (id) ORDER BY u.id);
  ncancelled int := 0;
BEGIN
  PERFORM workflow._require_given(job_ids IS NOT NULL AND array_position(job_ids, NULL) IS NULL, 'job_ids');
  PERFORM workflow._leave_lanes(doomed);
  FOR i IN 1 .. cardinality(doomed) LOOP
    ncancelled := ncancelled + workflow._cancel_alone(caller, doomed[i], reason)::int;
  END LOOP;
  RETURN ncancelled;
END
$$;
COMMENT ON FUNCTION workflow._cancel_jobs(text, bigint[], text) IS 'Inner: cancel_jobs()';

-- -------------------------------------------------------------------- verify

-- Whether the review of the visit that a transition ends was decided as it says, by
-- as many as have to.
CREATE FUNCTION workflow._is_decided(t workflow.transition) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (SELECT FROM workflow.review AS r
                 WHERE r.item_id = t.item_id AND r.seq = t.seq - 1 AND r.decided_at IS NOT NULL
                   AND r.decision = t.event AND r.decided_by = t.actor
                   AND (NOT r.spec ? 'approvals' OR workflow._approvals(r.spec, r.decision) <=
                        (SELECT count(*) FROM workflow.review_vote AS v
                         WHERE v.review_id = r.review_id AND v.decision = r.decision)));
END
$$;
COMMENT ON FUNCTION workflow._is_decided(workflow.transition) IS
  'Inner: whether a review was decided as a transition says';

-- Whether the children of an item are there that its visits of spawn states have started.
CREATE FUNCTION workflow._family_problem(judged workflow.item) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT found.problem FROM (
    SELECT 0 AS seq, format('the children of state "%s" are missing: it has started none', judged.state) AS problem
    WHERE judged.outcome IS NULL
      AND (workflow._state_facts(judged.workflow, judged.version, judged.state) -> 'spawn')::boolean
      AND NOT EXISTS (SELECT FROM workflow.spawn AS s WHERE s.item_id = judged.item_id AND s.seq = judged.seq)
      AND NOT EXISTS (SELECT FROM workflow.timer AS m WHERE m.item_id = judged.item_id AND m.kind = 'start')
    UNION ALL
    SELECT s.seq, format('visit %s has started %s children, there are %s', s.seq, s.started, c.n)
    FROM workflow.spawn AS s, LATERAL (
      SELECT count(*) + cardinality(s.redo) AS n FROM workflow.item AS i
      WHERE i.parent_id = s.item_id AND i.parent_seq = s.seq AND i.parent_index IS NOT NULL) AS c
    WHERE s.item_id = judged.item_id    -- a later visit takes over what has succeeded
      AND (c.n > s.started OR c.n < s.started
           AND NOT EXISTS (SELECT FROM workflow.spawn AS later WHERE later.item_id = s.item_id AND later.seq > s.seq))) AS found
  ORDER BY found.seq LIMIT 1
$$;
COMMENT ON FUNCTION workflow._family_problem(workflow.item) IS
  'Inner: what is missing of the children of an item; null when nothing is';

-- What is left of visits that are over, or missing of the present one.
CREATE FUNCTION workflow._visit_problem(judged workflow.item) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  visit int := CASE WHEN judged.outcome IS NULL THEN judged.seq END;    -- null: none
  problem text;
BEGIN
  SELECT format('%s belongs to visit %s, the item is in %s', found.what, found.seq,
                coalesce('visit ' || visit, 'none: it has ended'))
    INTO problem
  FROM (SELECT 'job ' || j.job_id AS what, j.seq FROM workflow.job AS j WHERE j.item_id = judged.item_id
        UNION ALL
        SELECT 'timer ' || m.kind, m.seq FROM workflow.timer AS m WHERE m.item_id = judged.item_id AND m.kind <> 'close'
        UNION ALL
        SELECT 'open review ' || r.review_id, r.seq FROM workflow.review AS r
        WHERE r.item_id = judged.item_id AND r.closed_at IS NULL) AS found
  WHERE found.seq IS DISTINCT FROM visit
  ORDER BY found.what LIMIT 1;
  IF problem IS NULL AND visit IS NOT NULL
     AND (workflow._state_facts(judged.workflow, judged.version, judged.state) -> 'job')::boolean
     AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.item_id = judged.item_id)
     AND NOT EXISTS (SELECT FROM workflow.timer AS m WHERE m.item_id = judged.item_id AND m.kind = 'start') THEN
    problem := format('the work of state "%s" is missing: the item has no job', judged.state);
  END IF;
  RETURN coalesce(problem, workflow._family_problem(judged));
END
$$;
COMMENT ON FUNCTION workflow._visit_problem(workflow.item) IS
  'Inner: the first job, timer or review that does not fit the present visit of an item; null when all fit';

-- What is wrong with a migration in an item's log, after a row of version "was"
-- in state "state"; null when nothing is.
CREATE FUNCTION workflow._migration_problem(t workflow.transition, was int, origin text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN t.event <> 'migrate' OR (t.data ->> 'from_version')::int IS DISTINCT FROM was
         OR (t.data ->> 'to_version')::int IS DISTINCT FROM t.version
      THEN format('transition %s leads from version %s to version %s, its data say otherwise', t.seq, was, t.version)
    WHEN (t.data ->> 'origin' IS NULL) <> (origin IS NULL)
      THEN format('transition %s changes the origin from %s to %s', t.seq, coalesce(origin, 'none'), coalesce(t.data ->> 'origin', 'none'))
  END
$$;
COMMENT ON FUNCTION workflow._migration_problem(workflow.transition, int, text) IS
  'Inner: what is wrong with a logged move to another version; null when nothing is';

-- The first problem of an item's log, read against the graph; null when there is none.
CREATE FUNCTION workflow._log_problem(judged workflow.item) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t workflow.transition;
  facts jsonb;
  was text;
  was_exception boolean := false;
  seq int := 0;
  origin text;
  at timestamptz;
  version int;
  problem text;
BEGIN
  FOR t IN SELECT * FROM workflow.transition AS l WHERE l.item_id = judged.item_id ORDER BY l.seq, l.at
  LOOP
    seq := seq + 1;
    facts := workflow._state_facts(judged.workflow, t.version, t.to_state);
    IF t.seq <> seq THEN
      RETURN format('transition %s is missing from the log', seq);
    ELSIF t.from_state IS DISTINCT FROM was THEN
      RETURN format('transition %s leaves "%s", but the item was in "%s"', seq, t.from_state, was);
    ELSIF facts IS NULL THEN
      RETURN format('transition %s enters "%s", a state that version %s has not', seq, t.to_state, t.version);
    ELSIF seq = 1 AND NOT (facts -> 'initial')::boolean THEN
      RETURN format('transition 1 enters "%s", which is not the initial state', t.to_state);
    ELSIF t.kind = 'review' AND NOT workflow._is_decided(t) THEN
      RETURN format('transition %s is a decision "%s" of %s, and no review was decided so', seq, t.event, t.actor);
    ELSIF t.kind = 'migrate' THEN
      problem := workflow._migration_problem(t, version, origin);
      IF problem IS NOT NULL THEN
        RETURN problem;
      END IF;
    ELSIF t.kind = 'rewind' AND t.version = version THEN
      problem := workflow._rewind_problem(t);
      IF problem IS NOT NULL THEN
        RETURN problem;
      END IF;
    ELSIF seq > 1 AND t.version <> version THEN
      RETURN format('transition %s is one of version %s, but the item followed version %s', seq, t.version, version);
    ELSIF seq > 1 THEN
      problem := workflow._transition_problem(judged.workflow, t.version, was, t.event, t.to_state, origin, t.kind);
      IF problem IS NOT NULL THEN
        RETURN format('transition %s is not declared: %s', seq, problem);
      END IF;
    END IF;
    IF t.kind = 'migrate' THEN
      origin := t.data ->> 'origin';
    ELSIF (facts -> 'exception')::boolean AND NOT was_exception THEN
      origin := coalesce(was, origin);
    END IF;
    was := t.to_state;
    at := CASE WHEN t.kind = 'migrate' AND ((t.data -> 'kept')::boolean OR t.data ? 'starts_at') THEN at ELSE t.at END;
    version := t.version;
    was_exception := (facts -> 'exception')::boolean;
  END LOOP;

  RETURN CASE
    WHEN seq = 0 THEN 'the item has no log'
    WHEN judged.state <> was THEN format('the item is in state "%s", its log ends in "%s"', judged.state, was)
    WHEN judged.version <> version
      THEN format('the item follows version %s, its log ends in version %s', judged.version, version)
    WHEN judged.seq <> seq THEN format('the item''s seq is %s, its log ends at %s', judged.seq, seq)
    WHEN judged.outcome IS DISTINCT FROM facts ->> 'outcome'
      THEN format('the item''s outcome is %s, its state declares %s',
                  coalesce(judged.outcome, 'none'), coalesce(facts ->> 'outcome', 'none'))
    WHEN judged.since <> at THEN format('the item is in its state since %s, its log says %s', judged.since, at)
    WHEN judged.origin IS DISTINCT FROM origin
      THEN format('the item''s origin is %s, its log says %s', coalesce(judged.origin, 'none'), coalesce(origin, 'none'))
  END;
END
$$;
COMMENT ON FUNCTION workflow._log_problem(workflow.item) IS
  'Inner: the first way in which an item and its log disagree; null when there is none';

CREATE FUNCTION workflow._verify(caller text, item bigint, OUT ok boolean, OUT problem text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  judged workflow.item;
BEGIN
  SELECT i.* INTO judged FROM workflow.item AS i WHERE i.item_id = item;
  IF judged.item_id IS NULL THEN
    SELECT format('the item is gone, its log ends at %s', max(t.seq)) INTO problem
    FROM workflow.transition AS t WHERE t.item_id = item HAVING count(*) > 0;
    IF problem IS NULL THEN
      PERFORM workflow._item_id(coalesce(item::text, ''));    -- raises WF012
    END IF;
    ok := false;
    RETURN;
  END IF;
  problem := coalesce(workflow._log_problem(judged), workflow._visit_problem(judged));
  ok := problem IS NULL;
END
$$;
COMMENT ON FUNCTION workflow._verify(text, bigint) IS 'Inner: workflow.verify()';

CREATE FUNCTION workflow.verify(item bigint, OUT ok boolean, OUT problem text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.verify(bigint) IS
  'Replays an item''s log against its definition and its present state, with the work that is under way';

CREATE FUNCTION workflow.verify(item text, OUT ok boolean, OUT problem text)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wf_invoke_by_key';
COMMENT ON FUNCTION workflow.verify(text) IS
  'Replays the log of the item workflow:key against its definition and its present state';

-- --------------------------------------------------------------------- view

CREATE VIEW workflow.items AS
SELECT i.item_id, i.workflow, i.version, i.key,
       nullif(i.source, '') AS source, i.event_id, i.received_at, i.state, i.since, i.input, i.data,
       (SELECT max(m.model_output_id) FROM workflow.model_output AS m
        WHERE m.item_id = i.item_id) AS model_output_id,
       g.value AS confidence,
       g.tier AS gate_decision,
       coalesce(e.attempted, 0) AS actions_attempted,
       coalesce(e.external_ids, '{}') AS external_ids,
       (SELECT count(*) FROM workflow.attempt AS a
        WHERE a.item_id = i.item_id
          AND (a.outcome IN ('retry', 'lost')
               OR a.outcome = 'unknown' AND EXISTS (SELECT FROM workflow.attempt AS n
                                                    WHERE n.effect_id = a.effect_id AND n.attempt > a.attempt)))::int AS retry_count,
       CASE WHEN i.origin IS NOT NULL THEN
         (SELECT coalesce(CASE WHEN t.kind = 'migrate' THEN t.data ->> 'message' END, t.reason, t.event)
          FROM workflow.transition AS t
          JOIN workflow.definition AS d ON d.workflow = i.workflow AND d.version = t.version
          WHERE t.item_id = i.item_id
            AND (d.document::jsonb #> ARRAY['states', t.to_state] ? 'exception'
                 OR d.document::jsonb #> ARRAY['activities', d.document #>> ARRAY['states', t.to_state, 'activity']]
                    ? 'exception')
          ORDER BY t.seq DESC LIMIT 1)
       END AS exception_reason,
       i.outcome, w.owner, i.labels, i.input_ref, i.parent_id, i.parent_index
FROM workflow.item AS i
LEFT JOIN workflow.workflow AS w ON w.workflow = i.workflow
LEFT JOIN LATERAL (
  SELECT d.value, d.tier FROM workflow.gate_decision AS d
  WHERE d.item_id = i.item_id ORDER BY d.seq DESC LIMIT 1) AS g ON true
LEFT JOIN LATERAL (
  SELECT count(*) FILTER (WHERE f.first_sent_at IS NOT NULL)::int AS attempted,
         array_agg(f.external_id ORDER BY f.effect_id) FILTER (WHERE f.external_id IS NOT NULL) AS external_ids
  FROM workflow.effect AS f
  WHERE f.item_id = i.item_id AND f.kind <> 'model') AS e ON true;
COMMENT ON VIEW workflow.items IS
  'Items with what is known about each: where it stands, what was decided, done and tried';
COMMENT ON COLUMN workflow.items.confidence IS 'Value that the last gate saw';
COMMENT ON COLUMN workflow.items.gate_decision IS 'Tier that the last gate chose';
COMMENT ON COLUMN workflow.items.actions_attempted IS 'Outside actions that may have reached the wire (model calls not counted)';
COMMENT ON COLUMN workflow.items.external_ids IS 'Ids that other systems gave to what was written there';
COMMENT ON COLUMN workflow.items.retry_count IS 'Attempts that were made again, or will be; one with an unknown outcome counts once it was sent again';
COMMENT ON COLUMN workflow.items.input_ref IS 'Where the rest of the input is kept';
COMMENT ON COLUMN workflow.items.parent_id IS 'Item that started this one, in a spawn state';
COMMENT ON COLUMN workflow.items.parent_index IS 'Place in the array that the state was given, from 0 on; null: it failed, and a replay started another one';
COMMENT ON COLUMN workflow.items.exception_reason IS 'Why the item last entered an exception state';
