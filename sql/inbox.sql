--
-- inbox: webhooks that are received; a part of the room item.
--
-- A source says how its sender signs and what its webhooks set going.  A
-- webhook is stored once for its (source, event_id), in the transaction in
-- which it starts an item, moves one, or settles an effect.  What is rightly
-- signed and does not fit is kept, and can be fed again.
--

-- ------------------------------------------------------------------- sources

CREATE FUNCTION workflow._source(name text) RETURNS workflow.source LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found_source workflow.source;
BEGIN
  SELECT s.* INTO found_source FROM workflow.source AS s WHERE s.source = name AND s.dropped_at IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'source "%" does not exist', coalesce(name, 'null')
      USING ERRCODE = 'WF012',
            DETAIL = 'A source of webhooks is made once, with how it signs and what its webhooks do.',
            HINT = workflow._nearest('source', name) || 'An operator sees them with SELECT source FROM workflow.sources, and makes one with workflow.create_source(...).';
  END IF;
  RETURN found_source;
END
$$;
COMMENT ON FUNCTION workflow._source(text) IS 'Inner: a source of webhooks; WF012 when there is none';

CREATE FUNCTION workflow._refuse_feed(path text, why text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'the feed of a source is invalid'
    USING ERRCODE = 'invalid_parameter_value',
          DETAIL = format('%s: %s.', path, why),
          HINT = 'A feed is a list of rules {"when", "submit" {"workflow", "input", "key", "labels", "input_ref"}, "send" {"item", or "workflow" and "key", "event", "data"}, "evidence" {"endpoint", "key", "says", "reference"}}.';
END
$$;
COMMENT ON FUNCTION workflow._refuse_feed(text, text) IS 'Inner: raises what is wrong with the feed of a source';

-- One part of a rule: its keys, and that its strings can be rendered.
CREATE FUNCTION workflow._check_feed_part(path text, part jsonb, known text[], mandatory text[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text;
  problem text;
BEGIN
  IF jsonb_typeof(part) <> 'object' THEN
    PERFORM workflow._refuse_feed(path, 'it is no object');
  END IF;
  FOR name IN SELECT k FROM jsonb_object_keys(part) AS k WHERE k <> ALL (known)
  LOOP
    PERFORM workflow._refuse_feed(path || '.' || name, 'unknown key');
  END LOOP;
  FOREACH name IN ARRAY mandatory
  LOOP
    IF part -> name IS NULL THEN
      PERFORM workflow._refuse_feed(path || '.' || name, 'is missing');
    END IF;
  END LOOP;
  FOR name IN SELECT k FROM jsonb_object_keys(part) AS k
              WHERE k IN ('workflow', 'endpoint', 'item', 'event', 'says', 'reference', 'input_ref', 'when')
                AND jsonb_typeof(part -> k) <> 'string'
  LOOP
    PERFORM workflow._refuse_feed(path || '.' || name, 'it is no string');
  END LOOP;
  FOR problem IN SELECT workflow._template_problem(s #>> '{}') FROM jsonb_path_query(part, 'strict $.**') AS s
                 WHERE jsonb_typeof(s) = 'string'
  LOOP
    IF problem IS NOT NULL THEN
      PERFORM workflow._refuse_feed(path, problem);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION workflow._check_feed_part(text, jsonb, text[], text[]) IS
  'Inner: raises what is wrong with a part of a rule';

-- The workflow that a part names, by itself or before the key of an item.  A restore brings sources
-- as they are; here a name that nobody has is a mistake, which else would show in webhooks only.
CREATE FUNCTION workflow._check_feed_workflow(path text, part jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text := coalesce(part ->> 'workflow', substring(part ->> 'item' FROM '^([^:{$\\]+):'));
BEGIN
  IF name IS NOT NULL AND NOT EXISTS (SELECT FROM workflow.workflow AS w WHERE w.workflow = name) THEN
    RAISE EXCEPTION 'workflow "%" does not exist', name
      USING ERRCODE = 'WF012',
            DETAIL = format('%s of the feed names it.', path),
            HINT = workflow._nearest('workflow', name) || format('Define it before the source, by workflow.define(); there are: %s.',
                          coalesce((SELECT string_agg(w.workflow, ', ' ORDER BY w.workflow)
                                    FROM (SELECT o.workflow FROM workflow.workflow AS o ORDER BY o.workflow LIMIT 10) AS w), 'none'));
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._check_feed_workflow(text, jsonb) IS
  'Inner: raises WF012 for a part of a rule that names a workflow which does not exist';

-- Where evidence goes, and what it may say.  The keys of an endpoint whose server is gone are still known.
CREATE FUNCTION workflow._check_feed_evidence(path text, part jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text := part ->> 'endpoint';
  wrapper text := (SELECT w.fdwname FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw WHERE s.srvname = name);
BEGIN
  IF part ->> 'says' !~ '[${\\]' AND part ->> 'says' NOT IN ('applied', 'not_applied') THEN
    PERFORM workflow._refuse_feed(path || '.says', 'it is neither applied nor not_applied, nor selected');
  END IF;
  IF wrapper = 'workflow_http' OR EXISTS (SELECT FROM workflow.endpoint AS p WHERE p.endpoint = name) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION '%', CASE WHEN wrapper IS NULL THEN format('endpoint "%s" does not exist', name)
                            ELSE format('foreign server "%s" is not an endpoint', name) END
    USING ERRCODE = 'WF010',
          DETAIL = format('%s of the feed names it.%s', path, ' It belongs to the foreign data wrapper ' || wrapper || '.'),
          HINT = workflow._nearest('endpoint', name) || format('Make it before the source, by CREATE SERVER ... FOREIGN DATA WRAPPER workflow_http; there are: %s.',
                        coalesce((SELECT string_agg(e.endpoint, ', ' ORDER BY e.endpoint)
                                  FROM (SELECT s.srvname::text AS endpoint
                                        FROM pg_foreign_server AS s JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
                                        WHERE w.fdwname = 'workflow_http' ORDER BY s.srvname LIMIT 10) AS e), 'none'));
END
$$;
COMMENT ON FUNCTION workflow._check_feed_evidence(text, jsonb) IS
  'Inner: raises WF010 for evidence about an endpoint which does not exist';

CREATE FUNCTION workflow._check_rule(path text, rule jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._check_feed_part(path, rule, '{when,submit,send,evidence}', '{}');
  IF NOT rule ?| '{submit,send,evidence}' THEN
    PERFORM workflow._refuse_feed(path, 'it has neither "submit" nor "send" nor "evidence"');
  END IF;
  PERFORM (rule ->> 'when')::jsonpath;
  IF rule ? 'submit' THEN
    PERFORM workflow._check_feed_part(path || '.submit', rule -> 'submit', '{workflow,input,key,labels,input_ref}', '{workflow}');
    PERFORM workflow._check_feed_workflow(path || '.submit', rule -> 'submit');
  END IF;
  IF rule ? 'send' THEN
    PERFORM workflow._check_feed_part(path || '.send', rule -> 'send', '{item,workflow,key,event,data}', '{event}');
    IF (rule -> 'send' ? 'item') = (rule -> 'send' ?& '{workflow,key}') THEN
      PERFORM workflow._refuse_feed(path || '.send', 'it needs either "item", or "workflow" and "key"');
    END IF;
    PERFORM workflow._check_feed_workflow(path || '.send', rule -> 'send');
  END IF;
  IF rule ? 'evidence' THEN
    PERFORM workflow._check_feed_part(path || '.evidence', rule -> 'evidence', '{endpoint,key,says,reference}', '{endpoint,key}');
    PERFORM workflow._check_feed_evidence(path || '.evidence', rule -> 'evidence');
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._check_rule(text, jsonb) IS 'Inner: raises what is wrong with a rule of a feed';

-- A feed as a list of rules, checked.
CREATE FUNCTION workflow._rules(feed jsonb) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rules jsonb := CASE jsonb_typeof(feed) WHEN 'array' THEN feed ELSE jsonb_build_array(feed) END;
BEGIN
  PERFORM workflow._check_rule(format('$[%s]', r.n - 1), r.rule)
  FROM jsonb_array_elements(rules) WITH ORDINALITY AS r (rule, n);
  RETURN rules;
END
$$;
COMMENT ON FUNCTION workflow._rules(jsonb) IS 'Inner: a feed as a list of rules; raises what is wrong with one';

-- Whoever takes the secret away from a source must have been able to give it.
CREATE FUNCTION workflow._require_secrets_of_source(caller text, name text, secret text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF pg_has_role(caller, 'pg_read_server_files', 'USAGE')
     OR (secret IS NULL
         AND NOT EXISTS (SELECT FROM workflow.source AS s WHERE s.source = name AND s.secret IS NOT NULL AND s.dropped_at IS NULL)) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'permission denied for source "%"', name
    USING ERRCODE = 'insufficient_privilege',
          DETAIL = 'To name a secret, and to change a source that names one, takes a superuser or a member of pg_read_server_files.',
          HINT = 'Ask one to do it.';
END
$$;
COMMENT ON FUNCTION workflow._require_secrets_of_source(text, text, text) IS
  'Inner: raises 42501 for a role that may not name the secrets of a source';

CREATE FUNCTION workflow._check_source(source text, scheme text, secret text, tolerance interval, keep_headers text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  why text := CASE
    WHEN coalesce(source, '') = '' THEN 'it has no name'
    WHEN scheme IS NULL OR scheme NOT IN ('standard', 'stripe', 'github', 'slack', 'none')
      THEN format('scheme "%s" is not known', coalesce(scheme, 'null'))
    WHEN scheme = 'none' AND secret IS NOT NULL THEN 'scheme "none" has no secret'
    WHEN scheme <> 'none' AND secret IS NULL THEN format('scheme "%s" needs a secret', scheme)
    WHEN secret !~ '^[A-Za-z0-9_-]+$' THEN 'the name of a secret consists of letters, digits, "-" and "_"'
    WHEN tolerance IS NULL OR tolerance < interval '0' THEN 'the tolerance is negative, or null'
    WHEN array_position(keep_headers, NULL) IS NOT NULL THEN 'a header has no name'
    WHEN lower(keep_headers::text)::text[] && '{authorization,proxy-authorization,cookie,set-cookie}'
      THEN 'headers with credentials are not kept'
  END;
BEGIN
  IF why IS NOT NULL THEN
    RAISE EXCEPTION 'unacceptable source "%"', coalesce(source, '')
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = why || '.',
            HINT = 'Schemes are standard, stripe, github, slack and none; a secret is the name of a file in pg_workflow.secrets_dir.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._check_source(text, text, text, interval, text[]) IS 'Inner: raises what is wrong with a source';

CREATE FUNCTION workflow._create_source(
  caller text, source text, scheme text, secret text, feed jsonb, tolerance interval, keep_headers text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  made workflow.source;
BEGIN
  PERFORM workflow._check_source(source, scheme, secret, tolerance, keep_headers);
  -- whose source it is does not change between here and the end
  LOCK TABLE workflow.source IN SHARE ROW EXCLUSIVE MODE;
  PERFORM workflow._require_secrets_of_source(caller, source, secret);
  made := ROW(source, scheme, secret, tolerance, workflow._rules(coalesce(feed, '[]')),
              coalesce(keep_headers, '{}'), caller, clock_timestamp(), NULL, NULL);
  INSERT INTO workflow.source AS s SELECT (made).*
  ON CONFLICT ON CONSTRAINT source_pkey DO UPDATE
  SET scheme = (made).scheme, secret = (made).secret, tolerance = (made).tolerance, feed = (made).feed,
      keep_headers = (made).keep_headers, created_by = (made).created_by, created_at = (made).created_at, dropped_at = NULL;
  PERFORM workflow._note(caller, 'create_source', NULL, 'source:' || source, NULL, to_jsonb(made) - '{created_by,created_oid,dropped_at}'::text[]);
END
$$;
COMMENT ON FUNCTION workflow._create_source(text, text, text, text, jsonb, interval, text[]) IS 'Inner: create_source()';

CREATE FUNCTION workflow.create_source(
  source text, scheme text, secret text DEFAULT NULL, feed jsonb DEFAULT '[]',
  tolerance interval DEFAULT '5 minutes', keep_headers text[] DEFAULT '{}')
RETURNS void LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.create_source(text, text, text, jsonb, interval, text[]) IS
  'Makes a source of webhooks, or changes it: how it signs, with which secret, and what its webhooks set going';

CREATE FUNCTION workflow._drop_source(caller text, source text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  dropped workflow.source := workflow._source(source);
BEGIN
  PERFORM workflow._require_secrets_of_source(caller, dropped.source, dropped.secret);
  UPDATE workflow.source AS s SET dropped_at = clock_timestamp() WHERE s.source = dropped.source;
  PERFORM workflow._note(caller, 'drop_source', NULL, 'source:' || dropped.source, NULL);
END
$$;
COMMENT ON FUNCTION workflow._drop_source(text, text) IS 'Inner: drop_source()';

CREATE FUNCTION workflow.drop_source(source text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.drop_source(text) IS
  'Ends a source of webhooks; what it sent stays in the inbox';

-- ------------------------------------------------------------------- feeding

-- What the selectors of a feed see.
CREATE FUNCTION workflow._webhook_document(webhook workflow.inbox) RETURNS jsonb LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_build_object('source', webhook.source, 'event_id', webhook.event_id,
                            'headers', webhook.headers, 'body', workflow._webhook_body(webhook.body))
$$;
COMMENT ON FUNCTION workflow._webhook_document(workflow.inbox) IS
  'Inner: what the selectors of a feed see: source, event_id, headers, body';

-- The first rule that applies; null when none does.
CREATE FUNCTION workflow._matching_rule(rules jsonb, document jsonb) RETURNS jsonb LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT r.rule FROM jsonb_array_elements(rules) WITH ORDINALITY AS r (rule, n)
  WHERE NOT r.rule ? 'when'
     OR coalesce(jsonb_path_query_first(document, (r.rule ->> 'when')::jsonpath), 'null') NOT IN ('null', 'false')
  ORDER BY r.n LIMIT 1
$$;
COMMENT ON FUNCTION workflow._matching_rule(jsonb, jsonb) IS
  'Inner: the first rule of a feed whose "when" finds something that is neither null nor false';

-- A key of parts, or of one text.
CREATE FUNCTION workflow._render_key_of(part jsonb, document jsonb) RETURNS text LANGUAGE sql STRICT
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT workflow._render_key(CASE jsonb_typeof(part) WHEN 'array' THEN part ELSE jsonb_build_array(part) END, document)
$$;
COMMENT ON FUNCTION workflow._render_key_of(jsonb, jsonb) IS 'Inner: an item''s key of a list of parts or of one; null for null';

CREATE FUNCTION workflow._feed_evidence(
  caller text, webhook workflow.inbox, part jsonb, document jsonb, OUT effect_id bigint, OUT item_id bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  action_key text := workflow._render_text(part ->> 'key', document);
BEGIN
  PERFORM workflow._record_evidence(
    caller, part ->> 'endpoint', action_key, workflow._render_text(coalesce(part ->> 'says', 'applied'), document),
    coalesce(workflow._render_text(part ->> 'reference', document), webhook.source || ' ' || webhook.event_id));
  SELECT e.effect_id, e.item_id INTO effect_id, item_id
  FROM workflow.effect AS e JOIN workflow.endpoint AS p USING (endpoint_id)
  WHERE p.endpoint = part ->> 'endpoint' AND e.key = action_key;
END
$$;
COMMENT ON FUNCTION workflow._feed_evidence(text, workflow.inbox, jsonb, jsonb) IS
  'Inner: records what a webhook says about one of our effects';

CREATE FUNCTION workflow._feed_submit(
  caller text, webhook workflow.inbox, part jsonb, document jsonb,
  OUT item_id bigint, OUT created boolean, OUT problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  same_input boolean;
BEGIN
  SELECT s.item_id, s.created, s.same_input INTO item_id, created, same_input
  FROM workflow._submit_as(
    caller, part ->> 'workflow', workflow._render(coalesce(part -> 'input', '"$.body"'), document),
    workflow._render_key_of(part -> 'key', document), webhook.source, webhook.event_id,
    workflow._render(part -> 'labels', document), workflow._render_text(part ->> 'input_ref', document)) AS s;
  IF NOT same_input THEN
    problem := 'the item was there already, with another input';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._feed_submit(text, workflow.inbox, jsonb, jsonb) IS 'Inner: starts the item of a webhook';

CREATE FUNCTION workflow._feed_send(caller text, webhook workflow.inbox, part jsonb, document jsonb) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  event text := workflow._render_text(part ->> 'event', document);
  item bigint := workflow._item_id(coalesce(
    workflow._render_text(part ->> 'item', document),
    (part ->> 'workflow') || ':' || workflow._render_key_of(part -> 'key', document)));
BEGIN
  PERFORM FROM workflow._send_as(
    caller, item, event, workflow._render(coalesce(part -> 'data', '"$.body"'), document),
    webhook.source, webhook.event_id, event = part ->> 'event');
  RETURN item;
END
$$;
COMMENT ON FUNCTION workflow._feed_send(text, workflow.inbox, jsonb, jsonb) IS 'Inner: sends the event of a webhook to its item';

-- What a webhook sets going, by the rules of its source as they are now.
CREATE FUNCTION workflow._set_going(
  caller text, webhook workflow.inbox,
  OUT status text, OUT item_id bigint, OUT effect_id bigint, OUT created boolean, OUT problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  document jsonb := workflow._webhook_document(webhook);
  rule jsonb := workflow._matching_rule((workflow._source(webhook.source)).feed, document);
BEGIN
  created := false;
  status := CASE WHEN rule IS NULL THEN 'ignored' ELSE 'fed' END;
  IF rule ? 'evidence' THEN
    SELECT e.effect_id, e.item_id INTO effect_id, item_id
    FROM workflow._feed_evidence(caller, webhook, rule -> 'evidence', document) AS e;
  END IF;
  IF rule ? 'submit' THEN
    SELECT s.item_id, s.created, s.problem INTO item_id, created, problem
    FROM workflow._feed_submit(caller, webhook, rule -> 'submit', document) AS s;
  END IF;
  IF rule ? 'send' THEN
    item_id := workflow._feed_send(caller, webhook, rule -> 'send', document);
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._set_going(text, workflow.inbox) IS
  'Inner: carries out the rule that applies to a webhook';

-- Feeds a webhook whose row is locked, all of it or nothing.  What does not fit is kept with the
-- reason; what another transaction or the server is to blame for is raised, so that it is tried again.
CREATE FUNCTION workflow._feed_locked(caller text, webhook workflow.inbox, OUT created boolean) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  result record;
  why text;
BEGIN
  BEGIN
    SELECT g.* INTO result FROM workflow._set_going(caller, webhook) AS g;
  EXCEPTION WHEN OTHERS THEN
    IF left(SQLSTATE, 2) IN ('40', '53', '55', '57', '58', 'XX') AND SQLSTATE <> '55000' THEN
      RAISE;
    END IF;
    GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
    SELECT 'unfed' AS status, NULL::bigint AS item_id, NULL::bigint AS effect_id, false AS created,
           format('%s: %s%s', SQLSTATE, SQLERRM, coalesce(' (' || nullif(why, '') || ')', '')) AS problem
    INTO result;
  END;
  created := result.created;
  UPDATE workflow.inbox AS i
  SET status = result.status, item_id = result.item_id, effect_id = result.effect_id, problem = result.problem,
      fed_at = CASE result.status WHEN 'fed' THEN workflow._now() END,
      dismissed_at = NULL, dismissed_by = NULL, dismiss_reason = NULL
  WHERE i.inbox_id = webhook.inbox_id;
END
$$;
COMMENT ON FUNCTION workflow._feed_locked(text, workflow.inbox) IS
  'Inner: feeds a webhook, or keeps it with the reason why it does not fit';

-- ----------------------------------------------------------------- receiving

-- What is kept of the headers: names in lower case, no credentials, no signatures.
CREATE FUNCTION workflow._kept_headers(headers jsonb, more text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(jsonb_object_agg(lower(h.key COLLATE "C"), h.value), '{}')
  FROM jsonb_each(CASE jsonb_typeof(headers) WHEN 'object' THEN headers ELSE '{}' END) AS h
  WHERE lower(h.key COLLATE "C") = ANY (lower(more::text)::text[] || ARRAY[
    'content-type', 'user-agent', 'webhook-id', 'webhook-timestamp', 'x-github-event', 'x-github-delivery',
    'x-slack-request-timestamp', 'x-slack-retry-num', 'x-slack-retry-reason', 'x-request-id'])
$$;
COMMENT ON FUNCTION workflow._kept_headers(jsonb, text[]) IS
  'Inner: the headers of a webhook that are stored';

-- The id that a sender gives to a webhook, where its scheme says which that is.
CREATE FUNCTION workflow._sent_event_id(scheme text, document jsonb) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT document #>> CASE scheme
    WHEN 'standard' THEN '{headers,webhook-id}'::text[]
    WHEN 'github' THEN '{headers,x-github-delivery}'
    WHEN 'stripe' THEN '{body,id}'
    WHEN 'slack' THEN '{body,event_id}' END
$$;
COMMENT ON FUNCTION workflow._sent_event_id(text, jsonb) IS
  'Inner: the event id that a webhook carries by its scheme; null when there is none';

-- Of these schemes the signature covers the id, so nobody between the sender and us can give a
-- webhook another one.
CREATE FUNCTION workflow._event_id_of(sender workflow.source, given text, sent text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF sender.scheme IN ('standard', 'stripe', 'slack') AND given <> sent THEN
    RAISE EXCEPTION 'the event id of a webhook of source "%" is not "%"', sender.source, given
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('Scheme "%s" signs the id, which is "%s"; nothing was stored.', sender.scheme, sent),
            HINT = 'Give null for the event id: it is taken from the webhook.';
  END IF;
  RETURN coalesce(given, sent);
END
$$;
COMMENT ON FUNCTION workflow._event_id_of(workflow.source, text, text) IS
  'Inner: the id of a webhook; 22023 where one is given that is not the one its sender signed';

CREATE FUNCTION workflow._require_signature(sender workflow.source, headers jsonb, body bytea) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  problem text;
BEGIN
  IF sender.scheme = 'none' THEN
    RETURN;
  END IF;
  IF NOT workflow._may_use_secret(sender) THEN
    RAISE EXCEPTION 'the secret of source "%" may not be used', sender.source
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = format('Role "%s", who named it, is neither a superuser nor a member of pg_read_server_files, or does not exist any more.',
                           workflow._creator(sender)),
            HINT = 'Let an administrator call workflow.create_source() again.';
  END IF;
  problem := workflow._judge_webhook(sender.scheme, headers, body, sender.secret, sender.tolerance);
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION 'a webhook of source "%" is refused: %', sender.source, problem
      USING ERRCODE = 'invalid_authorization_specification',
            DETAIL = format('Webhooks of this source are signed by scheme "%s"; nothing was stored.', sender.scheme),
            HINT = 'Hand over the headers and the body exactly as they were received, and compare the secret with the sender''s.';
  END IF;
END
$$;
COMMENT ON FUNCTION workflow._require_signature(workflow.source, jsonb, bytea) IS
  'Inner: raises 28000 for a webhook that is not signed as its source says';

-- Stores a webhook, or counts it again; the row is locked.  Two at once meet at the unique
-- constraint: the later one waits, then finds what the first one committed.
CREATE FUNCTION workflow._store_webhook(INOUT webhook workflow.inbox, OUT duplicate boolean, OUT same_body boolean) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stored workflow.inbox;
BEGIN
  LOOP
    INSERT INTO workflow.inbox AS i (source, event_id, received_at, received_by, verified, headers, body, last_received_at)
    VALUES (webhook.source, webhook.event_id, webhook.received_at, webhook.received_by, webhook.verified,
            webhook.headers, webhook.body, webhook.received_at)
    ON CONFLICT DO NOTHING RETURNING i.* INTO stored;
    duplicate := NOT FOUND;
    IF duplicate THEN
      UPDATE workflow.inbox AS i SET duplicates = i.duplicates + 1, last_received_at = webhook.received_at
      WHERE i.source = webhook.source AND i.event_id = webhook.event_id
      RETURNING i.* INTO stored;
    END IF;
    EXIT WHEN FOUND;
  END LOOP;
  same_body := CASE WHEN stored.purged_at IS NULL THEN stored.body = webhook.body ELSE stored.body_digest = sha256(webhook.body) END;
  webhook := stored;
END
$$;
COMMENT ON FUNCTION workflow._store_webhook(workflow.inbox) IS
  'Inner: stores a webhook once for its (source, event_id), and counts repetitions';

CREATE FUNCTION workflow._receive(
  caller text, source text, event_id text, headers jsonb, body bytea,
  OUT inbox_id bigint, OUT item_id bigint, OUT state text, OUT created boolean, OUT duplicate boolean,
  OUT same_body boolean, OUT problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  sender  workflow.source;
  webhook workflow.inbox;
  stored  record;
BEGIN
  PERFORM workflow._require_given(source IS NOT NULL, 'source');
  sender := workflow._source(source);
  webhook.source := sender.source;
  webhook.received_at := workflow._now();
  webhook.received_by := caller;
  webhook.verified := sender.scheme <> 'none';
  webhook.headers := workflow._kept_headers(headers, sender.keep_headers);
  webhook.body := body;
  IF body IS NOT NULL THEN
    PERFORM workflow._require_signature(sender, coalesce(headers, '{}'), body);
    webhook.event_id := workflow._event_id_of(sender, event_id,
      workflow._sent_event_id(sender.scheme, workflow._webhook_document(webhook)));
  END IF;
  IF webhook.event_id IS NULL THEN
    RAISE EXCEPTION 'a webhook needs a body and an event id'
      USING ERRCODE = 'null_value_not_allowed',
            DETAIL = format('The %s is null.', CASE WHEN body IS NULL THEN 'body' ELSE 'event id' END),
            HINT = 'Give the id by which the sender tells its repetitions; an empty text for a body without content.';
  END IF;
  IF octet_length(webhook.event_id) NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'unacceptable event id of a webhook of source "%"', sender.source
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('It has %s bytes; 1 to 1000 are allowed. Nothing was stored.', octet_length(webhook.event_id)),
            HINT = 'Give the id by which the sender tells its repetitions, or null where the webhook carries it; '
                   'where it has none, a digest of the body: encode(sha256(...), ''hex'').';
  END IF;
  SELECT w.* INTO stored FROM workflow._store_webhook(webhook) AS w;
  duplicate := stored.duplicate;
  same_body := stored.same_body;
  inbox_id := (stored.webhook).inbox_id;
  created := false;
  IF (stored.webhook).status = 'unfed' THEN
    created := workflow._feed_locked(caller, stored.webhook);
  END IF;
  SELECT i.item_id, CASE i.status WHEN 'dismissed' THEN 'dismissed: ' || i.dismiss_reason ELSE i.problem END, t.state
  INTO item_id, problem, state
  FROM workflow.inbox AS i LEFT JOIN workflow.item AS t ON t.item_id = i.item_id
  WHERE i.inbox_id = (stored.webhook).inbox_id;
END
$$;
COMMENT ON FUNCTION workflow._receive(text, text, text, jsonb, bytea) IS 'Inner: receive()';

CREATE FUNCTION workflow._receive(
  caller text, source text, event_id text, headers jsonb, body text,
  OUT inbox_id bigint, OUT item_id bigint, OUT state text, OUT created boolean, OUT duplicate boolean,
  OUT same_body boolean, OUT problem text)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT * FROM workflow._receive(caller, source, event_id, headers, convert_to(body, 'UTF8'))
$$;
COMMENT ON FUNCTION workflow._receive(text, text, text, jsonb, text) IS 'Inner: receive() of a body as text';

CREATE FUNCTION workflow.receive(
  source text, event_id text, headers jsonb, body text,
  OUT inbox_id bigint, OUT item_id bigint, OUT state text, OUT created boolean, OUT duplicate boolean,
  OUT same_body boolean, OUT problem text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_with_nulls';
COMMENT ON FUNCTION workflow.receive(text, text, jsonb, text) IS
  'Takes in a webhook: judges its signature, stores it once for its (source, event_id), and starts or moves its item';

CREATE FUNCTION workflow.receive(
  source text, event_id text, headers jsonb, body bytea,
  OUT inbox_id bigint, OUT item_id bigint, OUT state text, OUT created boolean, OUT duplicate boolean,
  OUT same_body boolean, OUT problem text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke_with_nulls';
COMMENT ON FUNCTION workflow.receive(text, text, jsonb, bytea) IS
  'The same, of a body in bytes';

CREATE FUNCTION workflow._lock_webhook(inbox_id bigint) RETURNS workflow.inbox LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  webhook workflow.inbox;
BEGIN
  SELECT i.* INTO webhook FROM workflow.inbox AS i WHERE i.inbox_id = inbox_id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'webhook % does not exist', coalesce(inbox_id::text, 'null')
      USING ERRCODE = 'WF012',
            DETAIL = 'The inbox has no webhook of that number.',
            HINT = 'SELECT inbox_id, source, event_id, status, problem FROM workflow.webhooks shows them.';
  END IF;
  RETURN webhook;
END
$$;
COMMENT ON FUNCTION workflow._lock_webhook(bigint) IS 'Inner: locks and returns a webhook; WF012 when there is none';

CREATE FUNCTION workflow._feed(
  caller text, inbox_id bigint, OUT item_id bigint, OUT state text, OUT created boolean, OUT problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  webhook workflow.inbox := workflow._lock_webhook(inbox_id);
BEGIN
  IF webhook.status <> 'fed' AND webhook.purged_at IS NOT NULL THEN
    RAISE EXCEPTION 'webhook % cannot be fed any more', webhook.inbox_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('It was dismissed by %s (%s), and what it carried was removed at %s.',
                            webhook.dismissed_by, webhook.dismiss_reason, webhook.purged_at),
            HINT = 'Ask its sender to send it once more, with another event id.';
  END IF;
  created := false;
  IF webhook.status <> 'fed' THEN
    created := workflow._feed_locked(caller, webhook);
  END IF;
  SELECT i.item_id, i.problem, t.state INTO item_id, problem, state
  FROM workflow.inbox AS i LEFT JOIN workflow.item AS t ON t.item_id = i.item_id
  WHERE i.inbox_id = webhook.inbox_id;
END
$$;
COMMENT ON FUNCTION workflow._feed(text, bigint) IS 'Inner: feed()';

CREATE FUNCTION workflow.feed(
  inbox_id bigint, OUT item_id bigint, OUT state text, OUT created boolean, OUT problem text)
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.feed(bigint) IS
  'Feeds a webhook that did not fit, or was ignored, again, by the rules of its source as they are now';

-- It stays in the inbox, so that it is known when it comes again.
CREATE FUNCTION workflow._dismiss_webhook(caller text, inbox_id bigint, reason text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  webhook workflow.inbox := workflow._lock_webhook(inbox_id);
BEGIN
  IF coalesce(reason, '') = '' THEN
    RAISE EXCEPTION 'to dismiss a webhook takes a reason'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'What it wanted is not done; the reason is kept with it and in the journal.',
            HINT = format('SELECT workflow.dismiss_webhook(%s, ''why'');', webhook.inbox_id);
  ELSIF webhook.status = 'fed' THEN
    RAISE EXCEPTION 'webhook % was fed and cannot be dismissed', webhook.inbox_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('It was fed at %s: %s.', webhook.fed_at,
                            concat_ws(', ', 'item ' || webhook.item_id, 'effect ' || webhook.effect_id)),
            HINT = 'What it set going is ended there: workflow.cancel(item, reason).';
  ELSIF webhook.status = 'dismissed' AND webhook.dismiss_reason = reason THEN
    RETURN;
  END IF;
  UPDATE workflow.inbox AS i
  SET status = 'dismissed', dismissed_at = workflow._now(), dismissed_by = caller, dismiss_reason = reason
  WHERE i.inbox_id = webhook.inbox_id;
  PERFORM workflow._note(caller, 'dismiss_webhook', NULL, 'webhook:' || webhook.inbox_id, reason,
                         jsonb_strip_nulls(jsonb_build_object('source', webhook.source, 'event_id', webhook.event_id,
                                                              'problem', webhook.problem)));
END
$$;
COMMENT ON FUNCTION workflow._dismiss_webhook(text, bigint, text) IS 'Inner: dismiss_webhook()';

CREATE FUNCTION workflow.dismiss_webhook(inbox_id bigint, reason text) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.dismiss_webhook(bigint, text) IS
  'Ends, for a reason, a webhook that will never fit, or was ignored: it is not fed when it comes again, and waits for nobody';

-- --------------------------------------------------------------------- views

CREATE VIEW workflow.sources AS
SELECT s.source, s.scheme, s.secret, s.tolerance, s.feed, s.keep_headers,
       coalesce((SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.oid = s.created_oid)::text, s.created_by) AS created_by, s.created_at,
       (SELECT count(*) FROM workflow.inbox AS i WHERE i.source = s.source AND i.status = 'unfed') AS unfed
FROM workflow.source AS s WHERE s.dropped_at IS NULL;
COMMENT ON VIEW workflow.sources IS 'Sources of webhooks, with how many of each wait because they did not fit';

CREATE VIEW workflow.webhooks AS
SELECT i.inbox_id, i.source, i.event_id, i.received_at, i.received_by, i.verified, i.status, i.problem,
       i.item_id, i.effect_id, i.fed_at, i.duplicates, i.last_received_at, i.headers, i.body, i.purged_at,
       i.dismissed_at, i.dismissed_by, i.dismiss_reason
FROM workflow.inbox AS i;
COMMENT ON VIEW workflow.webhooks IS
  'Webhooks received: what each set going, why one did not fit, how often it came';
