--
-- enforce: a column of a user's own table is held to a workflow.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SELECT * FROM workflow.define('{
  "workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {
    "NEW":       {"on": {"pay": "PAID", "cancel": "CANCELLED"}},
    "PAID":      {"on": {"ship": "SHIPPED", "refund": "NEW"}},
    "SHIPPED":   {"final": "done"},
    "CANCELLED": {"final": "cancelled"}}}');
CREATE TABLE orders (id int PRIMARY KEY, note text, status text NOT NULL DEFAULT 'NEW');
INSERT INTO orders VALUES (1, 'before', 'PAID');
SELECT workflow.enforce('orders', 'status', 'order', 'id');
SELECT relation, state_column, key_column, workflow, version, works FROM workflow.enforced;

-- a row starts in the initial state, and changes along transitions only
INSERT INTO orders (id) VALUES (2), (3);
UPDATE orders SET status = 'PAID' WHERE id = 2;
UPDATE orders SET status = 'SHIPPED', note = 'gone' WHERE id IN (1, 2);
INSERT INTO orders VALUES (4, NULL, 'PAID');
INSERT INTO orders VALUES (4, NULL, 'paid');
UPDATE orders SET status = 'SHIPPED' WHERE id = 3;
UPDATE orders SET status = 'NEW' WHERE id = 2;
UPDATE orders SET status = 'LOST' WHERE id = 3;
SELECT * FROM orders ORDER BY id;

-- what passed is logged, with the key and no item
SELECT from_state, event, to_state, kind, actor = current_user AS by_me, workflow, version, state_column
FROM workflow.transitions_of('orders', '2');
SELECT count(*), count(item_id) AS of_items FROM workflow.transition;
SELECT seq < lead(seq) OVER () AS in_order FROM workflow.transitions_of('orders', 2);
SELECT from_state, event, to_state FROM workflow.transitions_of('orders', 1);
SELECT * FROM workflow.transitions_of('orders', 404);

-- rows of a table are not submitted, so nothing is said of a key that would identify items
SELECT code FROM workflow.check('order');

-- CANCELLED need not be declared where a transition leads to it
SELECT * FROM workflow.define('{
  "workflow": "slip", "initial": "NEW", "owner": "shop",
  "states": {"NEW": {"on": {"pay": "PAID", "cancel": "CANCELLED"}}, "PAID": {"final": "done"}}}');
CREATE TABLE slips (id int PRIMARY KEY, status text NOT NULL DEFAULT 'NEW');
SELECT workflow.enforce('slips', 'status', 'slip', 'id');
INSERT INTO slips VALUES (1), (2);
UPDATE slips SET status = 'CANCELLED' WHERE id = 1;
SELECT * FROM workflow.verify_table('slips');
SELECT workflow.enforce('slips', 'status', 'slip', 'id');
-- through "any", too; where none does, no row can be in it
SELECT * FROM workflow.define('{
  "workflow": "slip", "initial": "NEW", "owner": "shop", "any": {"on": {"stop": "CANCELLED"}},
  "states": {"NEW": {"on": {"pay": "PAID"}}, "PAID": {"final": "done"}}}');
SELECT workflow.enforce('slips', 'status', 'slip', 'id');
SELECT * FROM workflow.define('{
  "workflow": "slip", "initial": "NEW", "owner": "shop",
  "states": {"NEW": {"on": {"pay": "PAID"}}, "PAID": {"final": "done"}}}');
SELECT workflow.enforce('slips', 'status', 'slip', 'id');
