--
-- The business side of the example: orders with their lines, and the two
-- functions that the workflow calls.
--

CREATE SCHEMA shop;

CREATE TABLE shop.product (
  sku   text PRIMARY KEY,
  name  text NOT NULL,
  price numeric NOT NULL CHECK (price > 0)
);
COMMENT ON TABLE shop.product IS 'What is sold, and for how much';

CREATE TABLE shop."order" (
  order_id text PRIMARY KEY,
  customer text NOT NULL,
  address  text NOT NULL,
  card     text NOT NULL
);
COMMENT ON TABLE shop."order" IS 'Orders as the web shop took them; card is a token of the bank';

CREATE TABLE shop.line (
  order_id text NOT NULL REFERENCES shop."order",
  sku      text NOT NULL REFERENCES shop.product,
  quantity int NOT NULL CHECK (quantity > 0),
  PRIMARY KEY (order_id, sku)
);
COMMENT ON TABLE shop.line IS 'What is in an order';

INSERT INTO shop.product VALUES
  ('TENT-2P',  'Two-person tent, 2.1 kg',     289.00),
  ('MAT-R4',   'Sleeping mat, R-value 4.2',   119.50),
  ('STOVE-G',  'Gas stove with piezo igniter', 64.90),
  ('BAG-M7',   'Down sleeping bag, -7 °C',    379.00),
  ('BOTTLE-1', 'Steel bottle, one litre',      24.95);
INSERT INTO shop."order" VALUES
  ('SO-1001', 'Ingrid Solheim',     'Storgata 14, 0184 Oslo',                 'tok_9f31'),
  ('SO-1002', 'Marco Bellini',      'Via Garibaldi 8, 16124 Genova',          'tok_27c0'),
  ('SO-1003', 'Amélie Rousseau',    '3 rue des Tanneurs, 67000 Strasbourg',   'tok_e55a'),
  ('SO-1004', 'Tomasz Wójcik',      'ul. Polna 99, 00-000 Nigdzie',           'tok_4d18'),
  ('SO-1005', 'Hanna Lindqvist',    'Norra Hamngatan 22, 411 06 Göteborg',    'tok_b702'),
  ('SO-1006', 'Sean O''Farrell',    '1 The Pier, Inishturk',                  'tok_88f4'),
  ('SO-1007', 'Beatriz Nogueira',   'Rua do Almada 120, 4050-031 Porto',      'tok_1a6b');
INSERT INTO shop.line VALUES
  ('SO-1001', 'TENT-2P', 1), ('SO-1001', 'MAT-R4', 2),
  ('SO-1002', 'STOVE-G', 1), ('SO-1002', 'BOTTLE-1', 4),
  ('SO-1003', 'BAG-M7', 2),
  ('SO-1004', 'TENT-2P', 1), ('SO-1004', 'STOVE-G', 1),
  ('SO-1005', 'BAG-M7', 1), ('SO-1005', 'MAT-R4', 1), ('SO-1005', 'BOTTLE-1', 1),
  ('SO-1006', 'MAT-R4', 2),
  ('SO-1007', 'TENT-2P', 1);

-- What the other systems have to know of an order.
CREATE FUNCTION shop.price_order(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  o shop."order";
  lines jsonb;
  total numeric;
BEGIN
  SELECT * INTO o FROM shop."order" AS s WHERE s.order_id = data ->> 'order_id';
  SELECT jsonb_object_agg(l.sku, l.quantity), sum(l.quantity * p.price) INTO lines, total
  FROM shop.line AS l JOIN shop.product AS p USING (sku) WHERE l.order_id = o.order_id;
  IF total IS NULL THEN
    RAISE 'there is no order "%", or nothing in it', data ->> 'order_id';
  END IF;
  RETURN jsonb_build_object('lines', lines, 'total', total, 'card', o.card, 'address', o.address);
END
$$;
COMMENT ON FUNCTION shop.price_order(bigint, jsonb) IS
  'Activity: lines, total, card and address of an order';

-- Reserves the reverts of all that was done, the last first; they are sent one
-- after the other, and the event "compensated" comes when the last one has
-- succeeded.  Called again it reserves nothing twice.  While nobody knows whether
-- a step was done, it is not yet time.
CREATE FUNCTION shop.undo_order(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
  RETURN jsonb_build_object('reverts', workflow.compensate(item_id, 'the order is not fulfilled'));
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  RETURN jsonb_build_object('event', 'later', 'because', SQLERRM);
END
$$;
COMMENT ON FUNCTION shop.undo_order(bigint, jsonb) IS
  'Activity: takes back what an order has set going; event "later" while a step is in doubt';
