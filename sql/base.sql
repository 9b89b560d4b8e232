--
-- base: the types and inner functions that all rooms use.
--

-- Appends to the journal what a person did that is not a transition.
CREATE FUNCTION workflow._note(actor text, action text, item bigint, subject text, reason text, detail jsonb DEFAULT NULL)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  INSERT INTO workflow.journal (actor, action, item_id, subject, reason, detail)
  VALUES (actor, action, item, subject, reason, detail)
$$;
COMMENT ON FUNCTION workflow._note(text, text, bigint, text, text, jsonb) IS
  'Inner: appends an action of a person to the journal';

-- A name may be somebody else's later, after DROP ROLE and CREATE ROLE, and a role may be given another name.
CREATE FUNCTION workflow._bind_role() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_bind_role';
COMMENT ON FUNCTION workflow._bind_role() IS
  'Inner: notes which role the name in a column means, in another column';

-- A ":" in a part of a key is escaped, the one between two parts is not.
CREATE FUNCTION workflow._item_meant(of_workflow text, of_key text) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF of_workflow ~ '^[0-9]*$' THEN
    RETURN NULL;
  ELSIF NOT EXISTS (SELECT FROM workflow.workflow AS w WHERE w.workflow = of_workflow) THEN
    RETURN workflow._nearest('workflow', of_workflow);
  END IF;
  RETURN (SELECT format('Did you mean "%s:%s"? ', i.workflow, i.key) FROM workflow.item AS i
          WHERE i.workflow = of_workflow AND i.key IN (replace(of_key, '\:', ':'), replace(replace(of_key, '\:', ':'), ':', '\:'))
          ORDER BY i.item_id LIMIT 1);
END
$$;
COMMENT ON FUNCTION workflow._item_meant(text, text) IS
  'Inner: for a HINT: the item, or the workflow, that may have been meant by a name of none; null when nothing is near';

-- The item that a text names, 'workflow:key' or an id in digits; WF012 when there is none.
CREATE FUNCTION workflow._item_id(name text) RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found bigint;
BEGIN
  IF name ~ '^[0-9]{1,18}$' THEN
    SELECT i.item_id INTO found FROM workflow.item AS i WHERE i.item_id = name::bigint;
  ELSE
    SELECT i.item_id INTO found FROM workflow.item AS i
    WHERE i.workflow = split_part(name, ':', 1)
      AND i.key = substr(name, strpos(name, ':') + 1)
      AND strpos(name, ':') > 0;
  END IF;
  IF found IS NULL THEN
    RAISE EXCEPTION 'item "%" does not exist', name
      USING ERRCODE = 'WF012',
            DETAIL = 'An item is named by its id or by workflow:key.',
            HINT = coalesce(workflow._item_meant(split_part(name, ':', 1), substr(name, strpos(name, ':') + 1)), '')
                   || 'SELECT item_id, workflow, key FROM workflow.items shows the items.';
  END IF;
  RETURN found;
END
$$;
COMMENT ON FUNCTION workflow._item_id(text) IS
  'Inner: the id of the item that a text names, workflow:key or digits; WF012 when there is none';

-- The public function is found in the statement by which src/base/invoke.c calls its inner one.
CREATE FUNCTION workflow._require_given(is_given boolean, name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stack text;
  function text;
BEGIN
  IF NOT is_given THEN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    function := 'workflow.' || (regexp_match(stack, 'SELECT \* FROM workflow\._(\w+)\(\$1'))[1];
    RAISE EXCEPTION 'argument "%" must not be null', name
      USING ERRCODE = 'null_value_not_allowed',
            DETAIL = format('%s was called with null for it, or without it.', coalesce(function || '()', 'A function')),
            HINT = format('Give it a value; \df %s shows the arguments.',
                          coalesce(function, 'workflow.*'));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_given(boolean, text) IS
  'Inner: raises 22004 for an argument that is null, and says of which function';

CREATE FUNCTION workflow._did_you_mean(word text, names text[]) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_sql_did_you_mean';
COMMENT ON FUNCTION workflow._did_you_mean(text, text[]) IS
  'Inner: which of the names may have been meant by a word that is none of them; null when none is near';

CREATE FUNCTION workflow._name_hint(word text, names text[]) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(initcap(left(d.hint, 1)) || substr(d.hint, 2),
                  'There ' || CASE cardinality(names) WHEN 0 THEN 'is none' ELSE 'are: ' || array_to_string(names, ', ') END || '.')
  FROM workflow._did_you_mean(coalesce(word, ''), names) AS d (hint)
$$;
COMMENT ON FUNCTION workflow._name_hint(text, text[]) IS
  'Inner: for a HINT: the name that may have been meant by a word, or all there are';

-- The names that there are of a kind of thing; the tables come later.
CREATE FUNCTION workflow._names_of(kind text) RETURNS text[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  CASE kind
    WHEN 'workflow' THEN RETURN ARRAY(SELECT w.workflow FROM workflow.workflow AS w ORDER BY 1 LIMIT 1000);
    WHEN 'draft' THEN RETURN ARRAY(SELECT d.workflow FROM workflow.draft AS d ORDER BY 1 LIMIT 1000);
    WHEN 'queue' THEN RETURN ARRAY(SELECT q.queue FROM workflow.queue AS q ORDER BY 1 LIMIT 1000);
    WHEN 'source' THEN RETURN ARRAY(SELECT s.source FROM workflow.source AS s WHERE s.dropped_at IS NULL ORDER BY 1 LIMIT 1000);
    WHEN 'role' THEN RETURN ARRAY(SELECT r.rolname::text FROM pg_roles AS r ORDER BY 1 LIMIT 1000);
    WHEN 'endpoint' THEN
      RETURN ARRAY(SELECT s.srvname::text FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
                   WHERE w.fdwname = 'workflow_http' ORDER BY 1 LIMIT 1000);
  END CASE;
END
$$;
COMMENT ON FUNCTION workflow._names_of(text) IS
  'Inner: the workflows, drafts, queues, sources, roles or endpoints that there are';

CREATE FUNCTION workflow._nearest(kind text, word text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(initcap(left(d.hint, 1)) || substr(d.hint, 2) || ' ', '')
  FROM workflow._did_you_mean(coalesce(word, ''), workflow._names_of(kind)) AS d (hint)
$$;
COMMENT ON FUNCTION workflow._nearest(text, text) IS
  'Inner: begins a HINT about a name that is not known with the one that may have been meant; empty when none is near';

-- Since when something is paused stays as it is, but the reason that was given last counts.
CREATE FUNCTION workflow._is_new_pause(paused_at timestamptz, given text, reason text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT paused_at IS NULL OR reason IS NOT NULL AND reason IS DISTINCT FROM given
$$;
COMMENT ON FUNCTION workflow._is_new_pause(timestamptz, text, text) IS
  'Inner: whether a pause says anything new of what may be paused already';

CREATE FUNCTION workflow._now() RETURNS timestamptz
LANGUAGE C VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'wf_sql_now';
COMMENT ON FUNCTION workflow._now() IS
  'Inner: the time that deadlines are measured against: real, or that of pg_workflow.clock';

CREATE FUNCTION workflow._time_after(since timestamptz, duration interval) RETURNS timestamptz
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wf_sql_time_after';
COMMENT ON FUNCTION workflow._time_after(timestamptz, interval) IS
  'Inner: the time that comes an interval after another, the same in every time zone';

CREATE FUNCTION workflow._session_lives(pid int, started_at timestamptz) RETURNS bool
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'wf_sql_session_lives';
COMMENT ON FUNCTION workflow._session_lives(int, timestamptz) IS
  'Inner: whether the process of that number and start still lives';

-- -------------------------------------------------------------------- guard

CREATE FUNCTION workflow._guard() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_guard';
COMMENT ON FUNCTION workflow._guard() IS
  'Inner: refuses a statement that is not the engine''s own; its arguments say why, and what to do instead';

-- What may not be lost: every table.  "unchanged": the columns that are written
-- once; all where the rows are a record that is only added to.
DO $guard$
DECLARE
  guarded record;
  leaf text;
BEGIN
  FOR guarded IN
    SELECT * FROM (VALUES
      ('workflow',      NULL, 'its items, versions and definer belong to the name',
       'workflow.pause_workflow(name, reason) stops a workflow'),
      ('definition',    'workflow, version, hash, document, created_at, owner, functions, definer_oid, budget',
                              'versions of workflows are immutable, since items are pinned to theirs',
       'Call workflow.define() with the changed document; it becomes the next version; only definer may be updated'),
      ('retirement',    NULL, 'a version that takes no items would take them again',
       'workflow.activate(name, version) lets a version take items again'),
      ('draft',         'created_oid', 'what somebody is writing would be lost',
       'workflow.discard_draft(workflow) ends a draft'),
      ('item',          NULL, 'an item that is gone would be submitted, and its effects made, anew',
       'workflow.cancel(item, reason) ends an item'),
      ('spawn',         'item_id, seq, workflow, version, total, needed, success, spawned_at, replays',
                              'which children were started, and how many have ended, would not be known',
       'workflow.cancel(item, reason) ends an item with its children'),
      ('child_end',     '',   'a parent would wait for ever for a child that has ended',
       'workflow.run(), or a worker, counts it'),
      ('transition',    '',   'the log of transitions is append-only',
       'What happened stays on record; move the item on with workflow.send()'),
      ('enforcement',   'enforcement_id, relation',
                              'the log of its rows would not say of which table',
       'SELECT workflow.unenforce(relation) ends an enforcement'),
      ('event',         '',   'an event that is not known moves its item once more',
       'What was received stays on record'),
      ('timer',         NULL, 'an item that waits for a timer would wait for ever',
       'workflow.send(item, event) or workflow.cancel(item, reason) takes the item out of its state'),
      ('gate_decision', '',   'what a gate has decided is a record',
       'What was decided stays on record'),
      ('gate_verdict',  'item_id, seq',
                              'what people said of a gate''s decision is a record',
       'What was said stays on record'),
      ('gate_tally',    'workflow, version, state, model_version, day, bucket, tier, diverted, shadow_tier, decision, reason_code, verdict, edited',
                              'the decisions that it counts are not counted again',
       'Days are added up to months by a worker'),
      ('gate_change',   '',   'a decision of a gate would never be counted',
       'A worker adds them up'),
      ('source',        'created_oid', 'its webhooks would be refused, or its secret used by the rights of another role',
       'workflow.drop_source(source) ends a source; created_by may be updated'),
      ('inbox',         'source, event_id, received_at, received_by, verified, headers, body',
                              'a webhook that is not known would be taken in once more',
       'What was received stays on record; workflow.feed(inbox_id) feeds what did not fit, workflow.dismiss_webhook(inbox_id, reason) ends what never will'),
      ('journal',       '',   'what people have done is a record',
       'What was done stays on record'),
      ('queue',         NULL, 'its jobs and dead letters would have no owner',
       'workflow.pause_queue(name, reason) stops a queue, workflow.drop_queue(name) removes one'),
      ('job',           NULL, 'work that waits, and dead letters, would be lost silently',
       'workflow.cancel(item, reason) ends an item with its job, workflow.cancel_job(job_id, reason) one that stands alone'),
      ('subscription',  NULL, 'its subscriber would miss jobs',
       'workflow.unsubscribe(queue, subscriber) ends a subscription'),
      ('rate',          NULL, 'what is limited would exceed its rate',
       'A worker forgets what has rested'),
      ('spent_key',     NULL, 'a key that is free again would let its job be stored once more',
       'Keys are forgotten when the key_window of their queue has passed'),
      ('segment_1',     '',   'jobs that wait would be lost', 'workflow.cancel_job(job_id, reason) ends a job'),
      ('segment_2',     '',   'jobs that wait would be lost', 'workflow.cancel_job(job_id, reason) ends a job'),
      ('segment_3',     '',   'jobs that wait would be lost', 'workflow.cancel_job(job_id, reason) ends a job'),
      ('segment_4',     '',   'jobs that wait would be lost', 'workflow.cancel_job(job_id, reason) ends a job'),
      ('segment_5',     '',   'jobs that wait would be lost', 'workflow.cancel_job(job_id, reason) ends a job'),
      ('segment_6',     '',   'jobs that wait would be lost', 'workflow.cancel_job(job_id, reason) ends a job'),
      ('segment_7',     '',   'jobs that wait would be lost', 'workflow.cancel_job(job_id, reason) ends a job'),
      ('segment_8',     '',   'jobs that wait would be lost', 'workflow.cancel_job(job_id, reason) ends a job'),
      ('attempt',       '',   'what was tried is a record',
       'What was tried stays on record'),
      ('endpoint',      'endpoint_id', 'the keys of its effects would be free again',
       'DROP SERVER ends an endpoint; its effects stay on record'),
      ('effect',        'endpoint_id, key, kind, fingerprint, reverts, method, path, headers, body, content_type, created_at, generation, submitted_oid',
                              'an action that is not known would be done once more',
       'workflow.resolve(effect_id, ''abandon'', note) gives one up that waits, workflow.revert(effect_id, reason) takes one back'),
      ('effect_part',   'effect_id, submitted_oid, at',
                              'who wanted an effect would not learn what became of it',
       'What was wanted stays on record'),
      ('verification',  'effect_id, endpoint_id, profile, same, has_reading, requested_by, requested_at, mended',
                              'what was found out about a receiver is a record',
       'workflow.verify_endpoint(endpoint, operation) finds out anew'),
      ('cluster',       '',   'a copy would send what the original has sent',
       'workflow.adopt_cluster(policy, reason) lets a copy send'),
      ('mock',          'endpoint_id, method, path, answer, times',
                              'a test would not meet the answers that it has given',
       'ROLLBACK ends a test with its mocks'),
      ('mock_request',  '',   'what a test would have sent is a record',
       'ROLLBACK ends a test with what it would have sent'),
      ('redrive',       'redrive_id, action, filter, reason, started_by, started_at',
                              'what was taken up again, by whom and why, is a record',
       'workflow.cancel_redrive(redrive_id, reason) ends a batch; per_second may be updated'),
      ('redrive_item',  'redrive_id, place, item_id, seq, job_id, failed_at',
                              'what was taken up again is a record',
       'workflow.cancel_redrive(redrive_id, reason) ends a batch'),
      ('model_output',  '',   'what models have answered is a record',
       'What was answered stays on record'),
      ('uncounted_pause', 'review_id', 'a review would be due too soon',
       'workflow.run(), or a worker, counts it'),
      ('item_author',   '',   'who has changed what is decided might decide it',
       'What was changed stays on record'),
      ('review_vote',   '',   'who approved what is a record',
       'workflow.decide(id, decision, reason) decides a review'),
      ('model_call',    NULL, 'what is under way would be asked and paid for beside the budget',
       'A call ends by itself'),
      ('model_budget',  'workflow, day',
                              'a budget that is spent would be spent again',
       'workflow.define(document) with another budget changes it'),
      ('state_delta',   '',   'moves would not be counted',
       'workflow.run(), or a worker, counts them'),
      ('attempt_delta', '',   'attempts would not be counted',
       'workflow.run(), or a worker, counts them'),
      ('attempt_count', 'endpoint_id, outcome, error_class', 'how often effects were attempted would not be known',
       'An endpoint that is gone attempts nothing any more'),
      ('state_count',   'workflow, version, state', 'how many items are in each state would not be known',
       'A state that is not used any more counts no items'),
      ('state_entry',   'workflow, version, state, minute', 'how old the oldest items are would not be known',
       'workflow.run(), or a worker, counts them'),
      ('history_slot', 'resolution, at, workflow, version, outcome', 'what happened would not be known',
       'Set pg_workflow.minute_history and pg_workflow.hour_history to forget sooner'),
      ('state_history_slot', 'resolution, at, workflow, version, state', 'what happened would not be known',
       'Set pg_workflow.minute_history and pg_workflow.hour_history to forget sooner'),
      ('alert',         'alert_id, kind, subject, opened_at',
                              'what was wrong, and for how long, is a record',
       'workflow.acknowledge_alert(id, note) says that somebody sees to it; it is cleared when it is over'),
      ('alert_route',   'owner, created_oid',
                              'its owner would not be told of alerts',
       'SELECT workflow.alert_to(owner, NULL, NULL) ends a route; created_by may be updated'),
      ('visit_sla',     'item_id, entered_at',
                              'what was late, and for how long, is a record',
       'An item that leaves its state ends the visit'),
      ('gate_look',     'workflow, state',
                              'an alert about a gate would be cleared',
       'The next look says how the gate is doing'),
      ('review',        'item_id, seq, state, spec, shown, proposed, previous, opened_at, current, edited',
                              'what people were shown and have decided is a record',
       'workflow.decide(id, decision, reason) decides a review; an event that leaves its state closes it'))
      AS g (name, unchanged, why, hint)
  LOOP
    FOR leaf IN SELECT guarded.name UNION ALL
      SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
      WHERE i.inhparent = pg_catalog.format('workflow.%I', guarded.name)::regclass
    LOOP
      EXECUTE pg_catalog.format(
        'CREATE TRIGGER refuse_loss BEFORE DELETE OR TRUNCATE %s ON workflow.%I '
        'FOR EACH STATEMENT EXECUTE FUNCTION workflow._guard(%L, %L)',
        CASE guarded.unchanged WHEN '' THEN 'OR UPDATE' ELSE 'OR UPDATE OF ' || guarded.unchanged END,
        leaf, guarded.why, guarded.hint);
      EXECUTE pg_catalog.format('COMMENT ON TRIGGER refuse_loss ON workflow.%I IS %L', leaf,
        'Rows are not removed by hand' || CASE guarded.unchanged WHEN '' THEN ', nor changed'
          ELSE coalesce(', nor these columns changed: ' || guarded.unchanged, '') END);
    END LOOP;
  END LOOP;
END
$guard$;

-- Who decided what stays as it was decided.
CREATE TRIGGER refuse_other_decision BEFORE UPDATE ON workflow.review
  FOR EACH ROW
  WHEN (old.decided_at IS NOT NULL
        AND (old.decided_at, old.decided_by, old.decided_oid, old.decision, old.reason, old.patch)
            IS DISTINCT FROM (new.decided_at, new.decided_by, new.decided_oid, new.decision, new.reason, new.patch))
  EXECUTE FUNCTION workflow._guard('the review has been decided',
    'A decision stays on record; workflow.send(item, event) moves the item on');
COMMENT ON TRIGGER refuse_other_decision ON workflow.review IS 'A decision is not changed by hand';

-- What was there before an action is read once: a later reading would show the action itself.
CREATE TRIGGER refuse_other_previous BEFORE UPDATE OF previous ON workflow.effect
  FOR EACH ROW
  WHEN (old.previous IS NOT NULL AND old.previous IS DISTINCT FROM new.previous)
  EXECUTE FUNCTION workflow._guard('the value before has been read',
    'What was there before stays on record; workflow.revert(effect_id, reason) restores it');
COMMENT ON TRIGGER refuse_other_previous ON workflow.effect IS 'The value before an effect is captured once';

-- As the check of documents judges them: 2.0 is a whole number, "2" is none.
CREATE FUNCTION workflow._whole_number(value jsonb, lowest int, highest int) RETURNS int LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  number numeric := CASE jsonb_typeof(value) WHEN 'number' THEN value::numeric END;
BEGIN
  RETURN CASE WHEN number BETWEEN lowest AND highest AND number = trunc(number) THEN number END;
END
$$;
COMMENT ON FUNCTION workflow._whole_number(jsonb, int, int) IS
  'Inner: a whole number within limits, however it is written; null for anything else';
