--
-- The business side of the example: suppliers, what was ordered and delivered,
-- and the payments of the next run.
--

CREATE SCHEMA ap;

CREATE TABLE ap.supplier (
  supplier text PRIMARY KEY,
  name     text NOT NULL,
  iban     text
);
COMMENT ON TABLE ap.supplier IS 'Who sends invoices, and where they are paid to';

CREATE TABLE ap.purchase_order (
  purchase_order text PRIMARY KEY,
  supplier       text NOT NULL REFERENCES ap.supplier,
  ordered_by     text NOT NULL,
  ordered        numeric NOT NULL,
  delivered      numeric NOT NULL
);
COMMENT ON TABLE ap.purchase_order IS 'What was ordered, and for how much goods have come';

CREATE TABLE ap.payment (
  supplier text NOT NULL REFERENCES ap.supplier,
  invoice  text NOT NULL,
  item_id  bigint NOT NULL,
  iban     text NOT NULL,
  amount   numeric NOT NULL CHECK (amount > 0),
  due      date NOT NULL,
  PRIMARY KEY (supplier, invoice)
);
COMMENT ON TABLE ap.payment IS 'The next payment run; an invoice is in it once';

INSERT INTO ap.supplier VALUES
  ('S-100', 'Nordlicht Elektrotechnik GmbH', 'DE89370400440532013000'),
  ('S-114', 'Papeterie Lefèvre & Fils',      'FR1420041010050500013M02606'),
  ('S-131', 'Van den Berg Logistiek B.V.',   'NL91ABNA0417164300'),
  ('S-150', 'Hartmann Werkzeugbau KG',       NULL);
INSERT INTO ap.purchase_order VALUES
  ('PO-7001', 'S-100', 'Plant maintenance',  18400.00, 18400.00),
  ('PO-7002', 'S-114', 'Office supplies',      412.50,   412.50),
  ('PO-7003', 'S-131', 'Outbound logistics', 11250.00, 11250.00),
  ('PO-7004', 'S-150', 'Tool shop',           2980.00,  2980.00),
  ('PO-7005', 'S-100', 'Plant maintenance',   6200.00,  3100.00);

-- The invoice beside its order and its delivery: two per cent are let pass.
CREATE FUNCTION ap.match_order(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  po ap.purchase_order;
  problem text;
BEGIN
  SELECT p.* INTO po FROM ap.purchase_order AS p WHERE p.purchase_order = data ->> 'purchase_order';
  IF NOT FOUND THEN
    problem := format('there is no order %s', data ->> 'purchase_order');
  ELSIF po.supplier <> data ->> 'supplier' THEN
    problem := format('order %s is with supplier %s', po.purchase_order, po.supplier);
  ELSIF (data ->> 'amount')::numeric > po.delivered * 1.02 THEN
    problem := format('%s is invoiced, for %s goods have come', data ->> 'amount', po.delivered);
  END IF;
  IF problem IS NOT NULL THEN
    RETURN jsonb_build_object('event', 'mismatch', 'problem', problem);
  END IF;
  RETURN jsonb_build_object('ordered_by', po.ordered_by, 'ordered', po.ordered, 'delivered', po.delivered);
END
$$;
COMMENT ON FUNCTION ap.match_order(bigint, jsonb) IS
  'Activity: what was ordered and delivered; event "mismatch" with the problem when the invoice is another one';

-- Runs in the transaction that moves the invoice: both happen, or neither.
CREATE FUNCTION ap.schedule_payment(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  payee ap.supplier;
BEGIN
  SELECT s.* INTO payee FROM ap.supplier AS s WHERE s.supplier = data ->> 'supplier';
  IF payee.iban IS NULL THEN
    RAISE 'no bank account of supplier % is known', data ->> 'supplier';
  END IF;
  INSERT INTO ap.payment
  VALUES (payee.supplier, data ->> 'invoice', item_id, payee.iban, (data ->> 'amount')::numeric, current_date + 14);
  RETURN jsonb_build_object('iban', payee.iban);
END
$$;
COMMENT ON FUNCTION ap.schedule_payment(bigint, jsonb) IS
  'Activity: enters the invoice in the next payment run; fails when nobody knows where to pay it';
