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
            HINT = 'SELECT item_id, workflow, key FROM workflow.items shows the items.';
  END IF;
  RETURN found;
END
$$;
COMMENT ON FUNCTION workflow._item_id(text) IS
  'Inner: the id of the item that a text names, workflow:key or digits; WF012 when there is none';

CREATE FUNCTION workflow._now() RETURNS timestamptz
LANGUAGE C VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'wf_sql_now';
COMMENT ON FUNCTION workflow._now() IS
  'Inner: the time that deadlines are measured against: real, or that of pg_workflow.clock';
