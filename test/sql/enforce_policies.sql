--
-- enforce: row security hides rows from people, not from the judge, nor from who looks for rows in no state.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
\set VERBOSITY terse
SELECT workflow FROM workflow.define('{
  "workflow": "order", "initial": "NEW", "owner": "shop",
  "states": {"NEW": {"on": {"pay": "PAID"}}, "PAID": {"on": {"ship": "SHIPPED"}}, "SHIPPED": {"final": "done"}}}');
CREATE ROLE regress_policies_owner;
CREATE ROLE regress_policies_clerk;
SELECT workflow.grant_role('regress_policies_owner', 'designer'), workflow.grant_role('regress_policies_clerk', 'monitor');
CREATE TABLE orders (id int PRIMARY KEY, who text DEFAULT current_user, s text DEFAULT 'NEW');
ALTER TABLE orders OWNER TO regress_policies_owner;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON orders USING (who = current_user);
GRANT ALL ON orders TO regress_policies_clerk;
SET ROLE regress_policies_owner;
SELECT workflow.enforce('orders', 's', 'order', 'id');
INSERT INTO orders (id) VALUES (1);
SET ROLE regress_policies_clerk;
INSERT INTO orders (id) VALUES (2), (3);
UPDATE orders SET s = 'PAID';
UPDATE orders SET s = 'NEW';
UPDATE orders SET s = 'SHIPPED', who = 'x';
INSERT INTO orders (id, s) VALUES (1, 'PAID') ON CONFLICT (id) DO UPDATE SET s = 'PAID';
SELECT * FROM workflow.transitions_of('orders', 2);
SELECT * FROM workflow.verify_table('orders');
RESET ROLE;
SELECT id, who, s FROM orders ORDER BY id;
SELECT key, event, actor FROM workflow.transition ORDER BY row_seq;

-- those that a policy hides from their owner, too
ALTER TABLE orders FORCE ROW LEVEL SECURITY;
SET session_replication_role = replica;
INSERT INTO orders VALUES (4, 'regress_policies_clerk', 'ODD');
RESET session_replication_role;
SET ROLE regress_policies_owner;
SELECT id FROM orders;
SELECT * FROM workflow.verify_table('orders');
SELECT workflow.enforce('orders', 's', 'order', 'id');
SELECT event FROM workflow.transitions_of('orders', 2);
RESET ROLE;
DROP OWNED BY regress_policies_owner, regress_policies_clerk;
DROP ROLE regress_policies_owner, regress_policies_clerk;
