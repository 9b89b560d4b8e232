--
-- The example of a nightly fan-out (examples/nightly_fan_out): its story as it
-- is told there, then a store that fails.
--
CREATE EXTENSION pg_workflow;
\getenv srcdir PG_ABS_SRCDIR
\set definition :srcdir /../examples/nightly_fan_out/definition.json
\set definition_store :srcdir /../examples/nightly_fan_out/definition_store.json
\set story :srcdir /../examples/nightly_fan_out/run.sql
\set document `cat :'definition'`
\set store `cat :'definition_store'`
\set ECHO none
\ir :story
\set ECHO all
\set ON_ERROR_STOP off

-- a night is one item, its stores are eight for each time it was closed
SELECT p.key, count(*), count(DISTINCT c.key) AS keys FROM workflow.items AS p JOIN workflow.items AS c ON c.parent_id = p.item_id
GROUP BY p.key ORDER BY p.key;
-- the report is the sum of what the stores brought home, and of the receipts
SELECT r.night, r.revenue = (SELECT sum(s.quantity * p.price) FROM retail.sale AS s JOIN retail.product AS p USING (sku) WHERE s.night = r.night) AS is_sum
FROM retail.report AS r ORDER BY r.night;
-- what was sold is ordered once, also by the stores that were closed twice
SELECT r.night, count(*) AS orders, bool_and(r.packs * p.pack BETWEEN s.quantity AND s.quantity + p.pack - 1) AS is_right
FROM retail.refill AS r JOIN retail.sale AS s USING (night, store, sku) JOIN retail.product AS p USING (sku)
GROUP BY r.night ORDER BY r.night;
-- the log and the state agree; nothing is left to do
SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
SELECT count(*) AS jobs_left FROM workflow.job;
-- what the launch check says of both
SELECT * FROM workflow.check('nightly_close');
SELECT * FROM workflow.check('store_close');

-- a store fails: the others are closed, and the night waits for somebody
SELECT retail.receive('2026-11-26', s.store) FROM retail.store AS s WHERE s.store IN ('ST-01', 'ST-02', 'ST-03', 'ST-05') \g /dev/null
INSERT INTO retail.product VALUES ('NEW-1', 'Something new', NULL, 1);
INSERT INTO retail.sale VALUES ('2026-11-26', 'ST-03', 'NEW-1', 1);
SELECT s.state, s.created FROM workflow.submit('nightly_close', '{"night": "2026-11-26"}') AS s;
CALL workflow.run('20 seconds');
SELECT w.state, w.owner, w.last_error FROM workflow.where_is('nightly_close:2026-11-26') AS w;
SELECT c.outcome, w.last_error FROM workflow.items AS p JOIN workflow.items AS c ON c.parent_id = p.item_id, workflow.where_is(c.item_id) AS w
WHERE p.key = '2026-11-26' AND c.input ->> 'store' = 'ST-03';
SELECT count(*) FILTER (WHERE c.outcome IS NULL) AS live, count(*) FROM workflow.items AS p JOIN workflow.items AS c ON c.parent_id = p.item_id
WHERE p.key = '2026-11-26';
SELECT count(*) FROM retail.report WHERE night = '2026-11-26';
-- it is mended, the other tills send, and the night is closed again
UPDATE retail.product SET price = 1 WHERE sku = 'NEW-1';
SELECT retail.receive('2026-11-26', s.store) FROM retail.store AS s WHERE s.store IN ('ST-04', 'ST-06', 'ST-07', 'ST-08') \g /dev/null
SELECT workflow.replay('nightly_close:2026-11-26', 'it has a price now') \g /dev/null
CALL workflow.run('20 seconds');
SELECT state, outcome FROM workflow.items WHERE key = '2026-11-26';
SELECT stores, missing FROM retail.report WHERE night = '2026-11-26';

-- what is no night is not taken
\set VERBOSITY terse
SELECT workflow.submit('nightly_close', '{"night": "tonight"}');
