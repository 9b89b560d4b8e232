--
-- The business side of the example: what the enrichment reads and writes.
--
-- Each function is an activity f(item_id, data) and runs, as the role that
-- defines the workflow, in the transaction that moves the item.  So what it
-- writes happens exactly once.
--

CREATE SCHEMA crm;

CREATE TABLE crm.account (
  account_id text PRIMARY KEY,
  name       text NOT NULL,
  website    text NOT NULL,
  notes      text NOT NULL
);
COMMENT ON TABLE crm.account IS 'Accounts with the text of their website and the notes of sales';

-- What another system tells us; the stable identity of each event is its id.
CREATE TABLE crm.event (
  event_id           text PRIMARY KEY,
  account_id         text NOT NULL,
  enrichment_version int NOT NULL
);
COMMENT ON TABLE crm.event IS 'Requests to enrich an account, as they were received';

CREATE TABLE crm.staging (
  account_id text NOT NULL,
  item_id    bigint NOT NULL,
  fields     jsonb NOT NULL,
  confidence numeric NOT NULL,
  staged_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account_id, item_id)
);
COMMENT ON TABLE crm.staging IS 'Fields suggested with high confidence, before they go to the CRM';

-- The text to read: always the same for the same account row.
CREATE FUNCTION crm.fetch_source(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  account crm.account;
BEGIN
  SELECT a.* INTO account FROM crm.account AS a
  WHERE a.account_id = fetch_source.data->>'account_id';
  IF NOT FOUND THEN
    RETURN jsonb_build_object('event', 'invalid',
      'problem', format('there is no account "%s"', data->>'account_id'));
  END IF;
  RETURN jsonb_build_object('name', account.name,
    'text', format(E'Website:\n%s\nSales notes:\n%s', account.website, account.notes));
END
$$;
COMMENT ON FUNCTION crm.fetch_source(bigint, jsonb) IS
  'Activity: the source text of the account; event "invalid" when there is no such account';

-- What the model found, as the fields that the CRM has.
CREATE FUNCTION crm.propose_fields(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE sql AS $$
  SELECT jsonb_build_object(
    'industry', data #> '{model,industry}',
    'icp_fit', data #> '{model,icp_fit}',
    'summary', data #> '{model,summary}')
    || CASE WHEN jsonb_typeof(data #> '{model,employees}') = 'number'
            THEN jsonb_build_object('employees', data #> '{model,employees}') ELSE '{}' END
$$;
COMMENT ON FUNCTION crm.propose_fields(bigint, jsonb) IS
  'Activity: the fields to set, from the output of the model';

CREATE FUNCTION crm.stage_fields(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE sql AS $$
  INSERT INTO crm.staging (account_id, item_id, fields, confidence)
  VALUES (data->>'account_id', item_id, data->'proposed', (data #>> '{model,confidence}')::numeric)
  ON CONFLICT ON CONSTRAINT staging_pkey DO UPDATE
    SET fields = excluded.fields, confidence = excluded.confidence
  RETURNING jsonb_build_object('staged_at', staged_at)
$$;
COMMENT ON FUNCTION crm.stage_fields(bigint, jsonb) IS
  'Activity: writes the suggested fields to the staging table';
