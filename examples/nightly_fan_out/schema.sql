--
-- The business side of the example: stores, what their tills sent in the
-- evening, and what a night makes of it.
--

CREATE SCHEMA retail;

CREATE TABLE retail.store (
  store  text PRIMARY KEY,
  town   text NOT NULL,
  closed boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE retail.store IS 'Stores; closed ones are not asked';

CREATE TABLE retail.product (
  sku   text PRIMARY KEY,
  name  text NOT NULL,
  price numeric,
  pack  int NOT NULL
);
COMMENT ON TABLE retail.product IS 'What is sold, and how many come in a pack from the central store';

CREATE TABLE retail.sale (
  night    date NOT NULL,
  store    text NOT NULL REFERENCES retail.store,
  sku      text NOT NULL REFERENCES retail.product,
  quantity int NOT NULL CHECK (quantity > 0),
  PRIMARY KEY (night, store, sku)
);
COMMENT ON TABLE retail.sale IS 'Receipts of the day as the tills send them, some of them late';

CREATE TABLE retail.refill (
  night date NOT NULL,
  store text NOT NULL REFERENCES retail.store,
  sku   text NOT NULL REFERENCES retail.product,
  packs int NOT NULL CHECK (packs > 0),
  PRIMARY KEY (night, store, sku)
);
COMMENT ON TABLE retail.refill IS 'What goes to each store in the morning; ordered once for a night';

CREATE TABLE retail.report (
  night   date PRIMARY KEY,
  stores  int NOT NULL,
  missing text[] NOT NULL,
  revenue numeric NOT NULL
);
COMMENT ON TABLE retail.report IS 'What the board reads at seven';

INSERT INTO retail.store VALUES
  ('ST-01', 'Utrecht'), ('ST-02', 'Gent'), ('ST-03', 'Aachen'), ('ST-04', 'Luxembourg'),
  ('ST-05', 'Nijmegen'), ('ST-06', 'Leuven'), ('ST-07', 'Trier'), ('ST-08', 'Maastricht');
INSERT INTO retail.store VALUES ('ST-09', 'Eupen', true);
INSERT INTO retail.product VALUES
  ('COFFEE-500', 'Ground coffee, 500 g',   7.49, 12),
  ('OIL-750',    'Olive oil, 750 ml',     11.95,  6),
  ('PASTA-1K',   'Spaghetti, 1 kg',        2.39, 10),
  ('HONEY-350',  'Blossom honey, 350 g',   5.80,  8);

-- A day of receipts of a store; its tills are not all equally busy.
CREATE FUNCTION retail.receive(night date, store text) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO retail.sale
  SELECT receive.night, receive.store, p.sku, 5 + (right(receive.store, 1)::int * 7 + length(p.name) * 3 + extract(day FROM receive.night)::int) % 40
  FROM retail.product AS p
$$;
COMMENT ON FUNCTION retail.receive(date, text) IS 'What the tills of a store send in the evening';

CREATE FUNCTION retail.list_stores(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE sql AS $$
  SELECT jsonb_build_object('stores', jsonb_agg(jsonb_build_object('store', s.store, 'town', s.town) ORDER BY s.store))
  FROM retail.store AS s WHERE NOT s.closed
$$;
COMMENT ON FUNCTION retail.list_stores(bigint, jsonb) IS
  'Activity: the stores that are open, an array of objects';

CREATE FUNCTION retail.sum_sales(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  receipts int;
  revenue numeric;
BEGIN
  SELECT count(*), sum(s.quantity * p.price) INTO receipts, revenue
  FROM retail.sale AS s JOIN retail.product AS p USING (sku)
  WHERE s.night = (data ->> 'night')::date AND s.store = data ->> 'store';
  IF receipts = 0 THEN
    RETURN jsonb_build_object('event', 'missing', 'store', data ->> 'store');
  ELSIF EXISTS (SELECT FROM retail.sale AS s JOIN retail.product AS p USING (sku)
                WHERE s.night = (data ->> 'night')::date AND s.store = data ->> 'store' AND p.price IS NULL) THEN
    RAISE 'something was sold that has no price';
  END IF;
  RETURN jsonb_build_object('store', data ->> 'store', 'revenue', revenue);
END
$$;
COMMENT ON FUNCTION retail.sum_sales(bigint, jsonb) IS
  'Activity: the revenue of a store; event "missing" when its tills have sent nothing';

-- Once for a night and store, also when the night is closed again.
CREATE FUNCTION retail.order_refill(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE sql AS $$
  WITH ordered AS (
    INSERT INTO retail.refill
    SELECT s.night, s.store, s.sku, ceil(s.quantity::numeric / p.pack)
    FROM retail.sale AS s JOIN retail.product AS p USING (sku)
    WHERE s.night = (data ->> 'night')::date AND s.store = data ->> 'store'
    ON CONFLICT DO NOTHING
    RETURNING packs)
  SELECT jsonb_build_object('packs', coalesce(sum(o.packs), 0)) FROM ordered AS o
$$;
COMMENT ON FUNCTION retail.order_refill(bigint, jsonb) IS
  'Activity: orders again what was sold, in whole packs';

-- The report from what the children brought home; with more than one store
-- missing, somebody is to look first.
CREATE FUNCTION retail.write_report(item_id bigint, data jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  report retail.report;
BEGIN
  SELECT (data ->> 'night')::date, count(*) FILTER (WHERE r ->> 'outcome' = 'success'),
         coalesce(array_agg(r #>> '{data,store}' ORDER BY r #>> '{data,store}') FILTER (WHERE r ->> 'outcome' <> 'success'), '{}'),
         coalesce(sum((r #>> '{data,revenue}')::numeric), 0)
  INTO report FROM jsonb_array_elements(data #> '{closed,results}') AS r;
  IF cardinality(report.missing) > 1 THEN
    RETURN jsonb_build_object('event', 'too_many', 'missing', report.missing);
  END IF;
  INSERT INTO retail.report VALUES (report.*);
  RETURN jsonb_build_object('revenue', report.revenue, 'missing', report.missing);
END
$$;
COMMENT ON FUNCTION retail.write_report(bigint, jsonb) IS
  'Activity: the report of a night; event "too_many" when the tills of several stores are silent';
