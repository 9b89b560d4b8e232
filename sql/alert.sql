--
-- alert: alerts are opened for what is wrong, and cleared when it is over.
--
-- The maintenance worker and run() look; whoever comes second finds the turn
-- taken.  Every change is a notification in the transaction that makes it.
--

-- ------------------------------------------------------------------- changes

-- What is told of a change; as a notification it has to be shorter than 8000 bytes.
CREATE FUNCTION workflow._alert_message(alert workflow.alert, change text) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_build_object(
    'id', alert.alert_id, 'change', change, 'kind', alert.kind, 'subject', left(alert.subject, 500), 'severity', alert.severity,
    'owner', left(alert.owner, 500), 'detail', left(alert.detail, 500), 'step', alert.step, 'at', workflow._now())
$$;
COMMENT ON FUNCTION workflow._alert_message(workflow.alert, text) IS 'Inner: what is told of the change of an alert';

-- Nobody waits for an alert that is a second late, and everybody misses one that was given up while its receiver was
-- restarted, or the network was away for an hour: they are tried for about three hours.
CREATE FUNCTION workflow._alert_calls_queue(endpoint text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN workflow._ensure_queue_of_calls('alert_calls', endpoint,
    '{"max_attempts": 30, "backoff": {"initial": "5 seconds", "factor": 2, "max": "15 minutes", "jitter": "full"}}');
END
$$;
COMMENT ON FUNCTION workflow._alert_calls_queue(text) IS
  'Inner: the queue of the calls that tell of alerts, made on first use';

-- The key is that of the change: whoever tells it again meets the same effect.  That an endpoint
-- fails is not sent there.  What cannot be sent is in the server's log, and the alert is there all the same.
CREATE FUNCTION workflow._send_alert(alert workflow.alert, change text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  route workflow.alert_route;
  submitter text;
  sent record;
BEGIN
  SELECT r.* INTO route FROM workflow.alert_route AS r WHERE r.owner IN (alert.owner, '*') AND r.endpoint IS NOT NULL
  ORDER BY r.owner = '*' LIMIT 1;
  IF route.endpoint IS NULL OR alert.subject = 'endpoint:' || route.endpoint THEN
    RETURN;
  END IF;
  SELECT r.rolname INTO STRICT submitter FROM pg_roles AS r WHERE r.oid = route.created_oid;
  SELECT * INTO sent FROM workflow._reserve_effect(
    submitter, route.endpoint, 'call',
    format('alert:%s:%s:%s', alert.alert_id, change, CASE change WHEN 'escalated' THEN alert.step ELSE alert.reopened END),
    jsonb_build_object('method', 'POST', 'path', route.path,
                       'body', workflow._alert_message(alert, change) || jsonb_build_object('hint', alert.hint, 'runbook', alert.runbook)),
    NULL, NULL);
  IF sent.is_new THEN
    PERFORM workflow._enqueue_effect(sent.effect_id, route.endpoint, workflow._alert_calls_queue(route.endpoint));
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE LOG 'alert % of % cannot be sent to endpoint "%": %', alert.alert_id, alert.owner, route.endpoint, sqlerrm;
END
$$;
COMMENT ON FUNCTION workflow._send_alert(workflow.alert, text) IS 'Inner: reserves the effect that tells the owner of an alert of its change';

CREATE FUNCTION workflow._tell_alert(alert workflow.alert, change text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM pg_notify('workflow_alert', workflow._alert_message(alert, change)::text);
  IF change IN ('opened', 'reopened', 'escalated', 'cleared') THEN
    PERFORM workflow._send_alert(alert, change);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._tell_alert(workflow.alert, text) IS 'Inner: tells, at commit, whoever listens to workflow_alert what has changed';

-- Of an alert that is not about a queue, the path is that of a queue with the same owner: the one with the shortest SLA.
-- A review is escalated itself, and its alert follows.
CREATE FUNCTION workflow._alert_path(alert_subject text, alert_owner text, OUT escalate_to text[], OUT sla interval) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT q.escalate_to, q.sla FROM workflow.queue AS q
  WHERE 'queue:' || q.queue = alert_subject OR alert_subject !~ '^(queue|review):' AND q.owner = alert_owner
  ORDER BY q.sla, q.queue LIMIT 1
$$;
COMMENT ON FUNCTION workflow._alert_path(text, text) IS 'Inner: who gets an alert after its owner, and how long each has it';

-- When the next in the path gets an alert that now begins to be somebody's; null: it stays.
CREATE FUNCTION workflow._escalates_at(alert_subject text, alert_owner text, step int) RETURNS timestamptz LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN cardinality(p.escalate_to) > step THEN workflow._time_after(workflow._now(), p.sla) END
  FROM workflow._alert_path(alert_subject, alert_owner) AS p
$$;
COMMENT ON FUNCTION workflow._escalates_at(text, text, int) IS 'Inner: when an alert that is at a step of its path from now on goes to the next';

-- What the subject of an alert belongs to: the queue where it waits, and the workflow.
CREATE FUNCTION workflow._alert_place(alert_subject text, OUT queue text, OUT workflow text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  kind text := split_part(alert_subject, ':', 1);
  name text := substr(alert_subject, length(kind) + 2);
BEGIN
  IF kind = 'queue' THEN
    queue := name;
    workflow := (SELECT substr(q.defined_by, 10) FROM workflow.queue AS q WHERE q.queue = name AND q.defined_by LIKE 'workflow:%');
  ELSIF kind = 'review' THEN
    SELECT r.queue, i.workflow INTO queue, workflow
    FROM workflow.review AS r JOIN workflow.item AS i USING (item_id) WHERE r.review_id = name::bigint;
  ELSIF kind = 'state' THEN
    workflow := (SELECT w.workflow FROM workflow.workflow AS w WHERE starts_with(name, w.workflow || '/') ORDER BY length(w.workflow) DESC LIMIT 1);
    queue := (SELECT s.queue FROM workflow.workflow AS w, workflow._graph_states(w.workflow, w.active_version) AS s
              WHERE w.workflow = _alert_place.workflow AND s.state = substr(name, length(w.workflow) + 2));
  ELSIF kind = 'workflow' THEN
    workflow := name;
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._alert_place(text) IS 'Inner: the queue and the workflow that the subject of an alert belongs to, where there are';

-- What the active version says of the queue, else of the workflow; else the heading of the kind.
CREATE FUNCTION workflow._alert_runbook(alert_kind text, alert_subject text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(
    (SELECT d.document::jsonb #>> ARRAY['queues', p.queue, 'runbook']
     FROM workflow.queue AS q JOIN workflow.workflow AS w ON q.defined_by = 'workflow:' || w.workflow
     JOIN workflow.definition AS d ON d.workflow = w.workflow AND d.version = w.active_version
     WHERE q.queue = p.queue),
    (SELECT d.document ->> 'runbook'
     FROM workflow.workflow AS w JOIN workflow.definition AS d ON d.workflow = w.workflow AND d.version = w.active_version
     WHERE w.workflow = p.workflow),
    (SELECT k.runbook FROM workflow._alert_kinds() AS k WHERE k.kind = alert_kind))
  FROM workflow._alert_place(alert_subject) AS p
$$;
COMMENT ON FUNCTION workflow._alert_runbook(text, text) IS 'Inner: where it says what to do about an alert';

-- ---------------------------------------------------------------- evaluation

-- One that came back is believed to be over after a minute, when it came back again after two, and so on up to an hour.
CREATE FUNCTION workflow._clear_after(reopened int) RETURNS interval LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN reopened = 0 THEN interval '0' ELSE least(interval '1 minute' * 2 ^ least(reopened - 1, 10), interval '1 hour') END
$$;
COMMENT ON FUNCTION workflow._clear_after(int) IS 'Inner: for how long a condition must have been gone for its alert to be cleared';

-- What differs from the alerts that are open.  A look changes at most so many in each way, pages first; what is left
-- over is for the next, a second later.  Both sides may be many: they are hashed.
CREATE FUNCTION workflow._alert_changes(
  wrong workflow._alert_condition[], OUT fresh workflow._alert_condition[], OUT stale workflow._alert_condition[], OUT over bigint[], OUT is_cut boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
DECLARE
  now timestamptz := workflow._now();
  most int := 1000;
  unseen text[] := ARRAY(SELECT unnest(p.kinds) FROM workflow._alert_parts() AS p JOIN unnest(wrong) AS w
                         ON w.kind = 'look_failed' AND w.subject = 'look:' || p.part);    -- nobody knows whether that is over
BEGIN
  SELECT coalesce(array_agg(w ORDER BY w.severity) FILTER (WHERE a.alert_id IS NULL), '{}'),
         coalesce(array_agg(w ORDER BY a.last_seen_at) FILTER (
           WHERE a.severity <> w.severity OR a.gone_at IS NOT NULL OR a.step = 0 AND a.owner <> w.owner
                 OR a.last_seen_at <= now - interval '1 minute'), '{}'),
         coalesce(array_agg(a.alert_id ORDER BY a.severity) FILTER (
           WHERE w.kind IS NULL AND a.kind <> ALL (unseen)
             AND (a.gone_at IS NULL OR a.gone_at + workflow._clear_after(a.reopened) <= now)), '{}')
  INTO fresh, stale, over
  FROM (SELECT * FROM workflow.alert AS o WHERE o.cleared_at IS NULL) AS a
  FULL JOIN unnest(wrong) AS w ON w.kind = a.kind AND w.subject = a.subject;
  is_cut := greatest(cardinality(fresh), cardinality(stale), cardinality(over)) > most;
  fresh := fresh[:most];
  stale := stale[:most];
  over := over[:most];
END
$$;
COMMENT ON FUNCTION workflow._alert_changes(workflow._alert_condition[]) IS
  'Inner: what is wrong and has no alert, what is to be seen anew of those that are open, and which are over';

-- What comes back within a quarter of an hour after it was cleared is the same alert.
CREATE FUNCTION workflow._open_alerts(wrong workflow._alert_condition[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  opened workflow.alert;
BEGIN
  FOR opened IN
    UPDATE workflow.alert AS a
    SET cleared_at = NULL, gone_at = NULL, reopened = a.reopened + 1, last_seen_at = workflow._now(),
        severity = w.severity, detail = w.detail, hint = w.hint, subject_owner = w.owner,
        owner = CASE WHEN a.step = 0 THEN w.owner ELSE a.owner END,
        escalates_at = CASE WHEN a.acknowledged_at IS NULL THEN workflow._escalates_at(w.subject, w.owner, a.step) END
    FROM unnest(wrong) AS w
    WHERE a.alert_id = (SELECT o.alert_id FROM workflow.alert AS o
                        WHERE o.kind = w.kind AND o.subject = w.subject AND o.cleared_at > workflow._now() - interval '15 minutes'
                        ORDER BY o.cleared_at DESC LIMIT 1)
      AND NOT EXISTS (SELECT FROM workflow.alert AS o WHERE o.kind = w.kind AND o.subject = w.subject AND o.cleared_at IS NULL)
    RETURNING a.*
  LOOP
    PERFORM workflow._tell_alert(opened, 'reopened');
  END LOOP;
  FOR opened IN
    INSERT INTO workflow.alert (kind, subject, severity, owner, subject_owner, detail, hint, runbook, opened_at, last_seen_at, escalates_at)
    SELECT DISTINCT ON (w.kind, w.subject) w.kind, w.subject, w.severity, w.owner, w.owner, w.detail, w.hint, workflow._alert_runbook(w.kind, w.subject), workflow._now(), workflow._now(),
           workflow._escalates_at(w.subject, w.owner, 0)
    FROM unnest(wrong) AS w
    WHERE NOT EXISTS (SELECT FROM workflow.alert AS o WHERE o.kind = w.kind AND o.subject = w.subject AND o.cleared_at IS NULL)
    ORDER BY w.kind, w.subject
    ON CONFLICT (kind, subject) WHERE cleared_at IS NULL DO NOTHING
    RETURNING *
  LOOP
    PERFORM workflow._tell_alert(opened, 'opened');
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._open_alerts(workflow._alert_condition[]) IS 'Inner: opens an alert for each thing that is wrong and has none';

-- Rows are written when there is something new to see, or the last sight is a minute old (_alert_changes()).
CREATE FUNCTION workflow._refresh_alerts(wrong workflow._alert_condition[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present record;
BEGIN
  FOR present IN
    UPDATE workflow.alert AS a
    SET severity = w.severity, detail = w.detail, hint = w.hint, last_seen_at = workflow._now(), gone_at = NULL,
        owner = CASE WHEN a.step = 0 THEN w.owner ELSE a.owner END, subject_owner = w.owner
    FROM unnest(wrong) AS w, workflow.alert AS before
    WHERE a.kind = w.kind AND a.subject = w.subject AND a.cleared_at IS NULL AND before.alert_id = a.alert_id
    RETURNING a, CASE WHEN before.severity <> a.severity THEN 'severity'
                      WHEN before.owner <> a.owner THEN 'owner' END AS change
  LOOP
    IF present.change IS NOT NULL THEN
      PERFORM workflow._tell_alert(present.a, present.change);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._refresh_alerts(workflow._alert_condition[]) IS 'Inner: what is still wrong, as it is now';

CREATE FUNCTION workflow._clear_alerts(over bigint[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  gone workflow.alert;
BEGIN
  FOR gone IN
    UPDATE workflow.alert AS a
    SET gone_at = coalesce(a.gone_at, workflow._now()),
        cleared_at = CASE WHEN o.is_over THEN workflow._now() END, escalates_at = CASE WHEN NOT o.is_over THEN a.escalates_at END
    FROM workflow.alert AS before,
         LATERAL (SELECT coalesce(before.gone_at, workflow._now()) + workflow._clear_after(before.reopened) <= workflow._now()) AS o (is_over)
    WHERE a.alert_id = ANY (over) AND a.cleared_at IS NULL AND before.alert_id = a.alert_id
    RETURNING a.*
  LOOP
    IF gone.cleared_at IS NOT NULL THEN
      PERFORM workflow._tell_alert(gone, 'cleared');
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._clear_alerts(bigint[]) IS 'Inner: clears alerts of what is not wrong any more, those that flap when that has lasted';

-- Who has acknowledged an alert has it.  Returns whether some are left over.
CREATE FUNCTION workflow._escalate_alerts() RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  late record;
  moved workflow.alert;
  n int := 0;
  most int := 1000;
BEGIN
  FOR late IN
    SELECT a.*, p.escalate_to[a.step + 1] AS next_owner, workflow._escalates_at(a.subject, a.subject_owner, a.step + 1) AS next_at
    FROM workflow.alert AS a, LATERAL workflow._alert_path(a.subject, a.subject_owner) AS p
    WHERE a.cleared_at IS NULL AND a.gone_at IS NULL AND a.acknowledged_at IS NULL AND a.escalates_at <= (SELECT workflow._now())
    ORDER BY a.severity, a.escalates_at LIMIT most
    FOR UPDATE OF a
  LOOP
    n := n + 1;
    UPDATE workflow.alert AS a
    SET step = CASE WHEN late.next_owner IS NULL THEN a.step ELSE a.step + 1 END, owner = coalesce(late.next_owner, a.owner),
        escalates_at = late.next_at
    WHERE a.alert_id = late.alert_id RETURNING a.* INTO moved;
    CONTINUE WHEN late.next_owner IS NULL;    -- the path has become shorter
    PERFORM workflow._note('pg_workflow', 'escalate_alert', NULL, 'alert:' || late.alert_id, late.kind || ' of ' || late.subject,
                           jsonb_build_object('step', moved.step, 'from', late.owner, 'to', moved.owner));
    PERFORM workflow._tell_alert(moved, 'escalated');
  END LOOP;
  RETURN n = most;
END
$$;
COMMENT ON FUNCTION workflow._escalate_alerts() IS 'Inner: hands alerts that nobody has acknowledged to the next in the path';

-- While something is wrong it is looked at again: after five seconds at first, then less often.
CREATE FUNCTION workflow._next_alert_look() RETURNS timestamptz LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT least(o.look, o.escalation)
  FROM (SELECT min(CASE WHEN a.acknowledged_at IS NULL AND a.gone_at IS NULL AND a.escalates_at > workflow._now() THEN a.escalates_at END),
               min(workflow._now() + greatest(interval '5 seconds', least(interval '1 minute', (workflow._now() - a.opened_at) / 12)))
        FROM workflow.alert AS a WHERE a.cleared_at IS NULL) AS o (escalation, look)
$$;
COMMENT ON FUNCTION workflow._next_alert_look() IS 'Inner: when to look at the open alerts again; null: there are none';

CREATE FUNCTION workflow._try_alert_turn() RETURNS boolean
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wf_inner_try_alert_turn';
COMMENT ON FUNCTION workflow._try_alert_turn() IS 'Inner: takes the turn of looking for alerts until the transaction ends, unless somebody else has it';

-- Whole tables are never read, however cheap that looks for a limit.
-- next_at: when to look again, if nothing happens; notice: how long what happens may stay unseen.
CREATE FUNCTION workflow._look_for_alerts(OUT next_at timestamptz, OUT notice interval) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
  wrong workflow._alert_condition[] := '{}';
  changes record;
BEGIN
  SELECT min(workflow._warn_after(q.sla, q.warn)) INTO notice FROM workflow.queue AS q;
  IF NOT workflow._try_alert_turn() THEN
    next_at := workflow._now() + interval '5 seconds';    -- somebody else looks
    RETURN;
  END IF;
  BEGIN
    next_at := workflow._next_condition();    -- before anything is looked at: what becomes late meanwhile is seen
  EXCEPTION WHEN OTHERS THEN
    next_at := workflow._now() + interval '1 minute';
    wrong := ARRAY[workflow._look_failed('next', '_next_condition', format('%s (%s)', sqlerrm, sqlstate))];
  END;
  wrong := wrong || workflow._alert_conditions();
  IF wrong <> '{}' OR EXISTS (SELECT FROM workflow.alert AS a WHERE a.cleared_at IS NULL) THEN
    SELECT * INTO STRICT changes FROM workflow._alert_changes(wrong);
    PERFORM workflow._refresh_alerts(changes.stale);
    PERFORM workflow._open_alerts(changes.fresh);
    PERFORM workflow._clear_alerts(changes.over);
    IF workflow._escalate_alerts() OR changes.is_cut THEN
      next_at := workflow._now();
    END IF;
  END IF;
  next_at := least(next_at, workflow._next_alert_look());
END
$$;
COMMENT ON FUNCTION workflow._look_for_alerts() IS 'Inner: opens, clears and escalates alerts';

-- --------------------------------------------------------------- acknowledge

CREATE FUNCTION workflow._acknowledge_alert(caller text, id bigint, note text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  present workflow.alert;
BEGIN
  SELECT a.* INTO present FROM workflow.alert AS a WHERE a.alert_id = id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'alert % does not exist', id
      USING ERRCODE = 'WF012',
            DETAIL = 'An alert is named by its id.',
            HINT = 'SELECT id, kind, subject FROM workflow.alerts WHERE cleared_at IS NULL; shows the open ones.';
  ELSIF present.cleared_at IS NOT NULL THEN
    RAISE EXCEPTION 'alert % is cleared', id
      USING ERRCODE = 'WF002',
            DETAIL = format('%s of %s ended at %s.', present.kind, present.subject, present.cleared_at),
            HINT = 'There is nothing left to acknowledge.';
  END IF;
  UPDATE workflow.alert AS a
  SET acknowledged_by = caller, acknowledged_at = workflow._now(), note = _acknowledge_alert.note, escalates_at = NULL
  WHERE a.alert_id = id RETURNING a.* INTO present;
  PERFORM workflow._note(caller, 'acknowledge_alert', NULL, 'alert:' || id, note,
                         jsonb_build_object('kind', present.kind, 'subject', present.subject));
  PERFORM workflow._tell_alert(present, 'acknowledged');
END
$$;
COMMENT ON FUNCTION workflow._acknowledge_alert(text, bigint, text) IS 'Inner: acknowledge_alert()';

CREATE FUNCTION workflow.acknowledge_alert(id bigint, note text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.acknowledge_alert(bigint, text) IS
  'Says that the caller sees to an open alert: it is not escalated any further';

-- -------------------------------------------------------------------- routes

CREATE TRIGGER bind_creator BEFORE INSERT OR UPDATE OF created_by ON workflow.alert_route
  FOR EACH ROW EXECUTE FUNCTION workflow._bind_creator();
COMMENT ON TRIGGER bind_creator ON workflow.alert_route IS 'Binds a route to the role that its creator''s name means: alerts are sent by its rights';

CREATE FUNCTION workflow._alert_to(caller text, owner text, endpoint text, path text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF owner IS NULL OR owner !~ '\S' OR endpoint IS NOT NULL AND path IS NULL THEN
    RAISE EXCEPTION '%', CASE WHEN owner IS NULL THEN 'argument "owner" must not be null'
                              WHEN owner !~ '\S' THEN 'an owner cannot be blank' ELSE 'argument "path" must not be null' END
      USING ERRCODE = CASE WHEN owner !~ '\S' THEN 'invalid_parameter_value' ELSE 'null_value_not_allowed' END,
            DETAIL = 'A route is that of an owner of alerts, or of * for everybody else; it goes to a path of an endpoint.',
            HINT = format('SELECT workflow.alert_to(%L, %L, ''/hooks/alerts''); is an example.',
                          CASE WHEN owner ~ '\S' THEN owner ELSE '*' END, endpoint);
  END IF;
  IF endpoint IS NOT NULL THEN
    PERFORM workflow._check_path(path);
    PERFORM workflow._require_endpoint(endpoint);
    IF NOT has_server_privilege(caller, endpoint, 'USAGE') THEN
      RAISE EXCEPTION 'permission denied for endpoint "%"', endpoint
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = format('Alerts would be sent by the rights of "%s".', caller),
              HINT = format('GRANT USAGE ON FOREIGN SERVER %I TO %I;', endpoint, caller);
    END IF;
  END IF;
  IF endpoint IS NULL AND NOT EXISTS (SELECT FROM workflow.alert_route AS r WHERE r.owner = _alert_to.owner AND r.endpoint IS NOT NULL) THEN
    RETURN;
  END IF;
  PERFORM workflow._ensure_cluster();    -- before there is an effect
  INSERT INTO workflow.alert_route AS r (owner, endpoint, path, created_by, created_at)
  VALUES (owner, endpoint, path, caller, workflow._now())
  ON CONFLICT ON CONSTRAINT alert_route_pkey DO UPDATE
  SET endpoint = excluded.endpoint, path = excluded.path, created_by = excluded.created_by, created_at = excluded.created_at;
  PERFORM workflow._note(caller, 'alert_to', NULL, 'owner:' || owner, NULL, jsonb_build_object('endpoint', endpoint, 'path', path));
END
$$;
COMMENT ON FUNCTION workflow._alert_to(text, text, text, text) IS 'Inner: alert_to()';

CREATE FUNCTION workflow.alert_to(owner text, endpoint text DEFAULT NULL, path text DEFAULT NULL) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.alert_to(text, text, text) IS
  'Sends what happens to the alerts of an owner (* is everybody else) to an endpoint, as a durable POST for each change; a null endpoint ends that';

CREATE VIEW workflow.alert_routes AS
SELECT r.owner, r.endpoint, r.path, r.created_by, r.created_at FROM workflow.alert_route AS r WHERE r.endpoint IS NOT NULL ORDER BY r.owner;
COMMENT ON VIEW workflow.alert_routes IS 'Where alerts are sent, by their owner';

-- ---------------------------------------------------------------------- view

CREATE VIEW workflow.alerts AS
SELECT a.alert_id AS id, a.kind, a.subject, a.severity, a.owner, a.detail, a.hint, a.runbook,
       a.opened_at, a.cleared_at, a.acknowledged_by, a.acknowledged_at, a.note, a.last_seen_at,
       a.step, a.escalates_at, a.reopened
FROM workflow.alert AS a
ORDER BY a.cleared_at IS NOT NULL, a.severity, coalesce(a.cleared_at, a.opened_at) DESC, a.alert_id;
COMMENT ON VIEW workflow.alerts IS 'What is wrong and whose it is, the open ones first; and what was';
COMMENT ON COLUMN workflow.alerts.subject IS 'What is wrong: queue:name, state:workflow/state, endpoint:name, workflow:name, review:id, database:name, sequence:name, look:part';
COMMENT ON COLUMN workflow.alerts.severity IS 'page (somebody is called at any time) or ticket';
COMMENT ON COLUMN workflow.alerts.owner IS 'Whose it is now: of the subject, or a later step of the escalation path';
COMMENT ON COLUMN workflow.alerts.reopened IS 'How often it came back soon after it was cleared';
