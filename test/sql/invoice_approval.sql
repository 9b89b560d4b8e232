--
-- The example of two approvers (examples/invoice_approval): its story as it is
-- told there, then what may not be.
--
CREATE EXTENSION pg_workflow;
\getenv srcdir PG_ABS_SRCDIR
\set definition :srcdir /../examples/invoice_approval/definition.json
\set story :srcdir /../examples/invoice_approval/run.sql
\set document `cat :'definition'`
\set ECHO none
\ir :story
\set ECHO all
\set ON_ERROR_STOP off

-- each invoice that was approved is paid once, no other one at all
SELECT i.key, i.state, count(p.invoice) AS payments
FROM workflow.items AS i LEFT JOIN ap.payment AS p ON p.item_id = i.item_id
GROUP BY i.key, i.state ORDER BY i.key;
-- two people approved the large ones, neither of them the clerk
SELECT i.key, i.submitted_by, string_agg(t.actor, ', ' ORDER BY t.seq) AS approved_by
FROM workflow.item AS i JOIN workflow.transition AS t USING (item_id)
WHERE t.event = 'approve' GROUP BY i.key, i.submitted_by ORDER BY i.key;
-- the log and the state agree; nothing is left to do
SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
SELECT count(*) AS jobs_left FROM workflow.job;
-- what the launch check says of it
SELECT * FROM workflow.check('invoice_approval');
-- running it again would do nothing
SELECT DISTINCT verdict FROM workflow.items AS i, workflow.if_run_again(i.item_id) AS r WHERE i.outcome = 'success';

-- a sixth invoice: whoever entered it may not approve it
\set VERBOSITY terse

INSERT INTO ap.purchase_order VALUES ('PO-7006', 'S-131', 'Outbound logistics', 25000, 25000);
SET ROLE ap_clerk;
SELECT state FROM workflow.submit('invoice_approval',
  '{"supplier": "S-131", "invoice": "VB-3390", "purchase_order": "PO-7006", "amount": 25000}');
RESET ROLE;
CALL workflow.run('10 seconds');
SELECT id AS review FROM workflow.review_inbox \gset
SET ROLE ap_clerk;
SELECT workflow.decide(:review, 'approve');
-- a reason is needed to reject
SET ROLE ap_ben;
SELECT workflow.decide(:review, 'reject');
SELECT state FROM workflow.decide(:review, 'approve');
-- whoever approved first may not be the second one, and not twice the first
SELECT id AS second FROM workflow.review_inbox \gset
SELECT workflow.decide(:second, 'approve');
SELECT workflow.decide(:review, 'approve');
SET ROLE ap_clerk;
SELECT workflow.decide(:second, 'approve');
RESET ROLE;
-- nobody gets around them
UPDATE workflow.item SET state = 'PAYING' WHERE key = 'S-131:VB-3390';
SELECT workflow.send('invoice_approval:S-131:VB-3390', 'approve');
SELECT count(*) FROM ap.payment WHERE invoice = 'VB-3390';
SET ROLE ap_carla;
SELECT state FROM workflow.decide(:second, 'approve');
RESET ROLE;
CALL workflow.run('10 seconds');
SELECT i.state, p.amount FROM workflow.items AS i JOIN ap.payment AS p USING (item_id) WHERE p.invoice = 'VB-3390';

-- the same number with another amount is no other invoice
SELECT state, created, same_input FROM workflow.submit('invoice_approval',
  '{"supplier": "S-131", "invoice": "VB-3390", "purchase_order": "PO-7006", "amount": 2500}');
SELECT workflow.submit('invoice_approval',
  '{"supplier": "S-131", "invoice": "VB-3390", "purchase_order": "PO-7006", "amount": 2500}', on_conflict => 'error');
-- nor is one without an amount
SELECT workflow.submit('invoice_approval', '{"supplier": "S-131", "invoice": "VB-3391", "purchase_order": "PO-7006"}');

-- who needed a second one
SELECT g.tier, i.data -> 'amount' AS amount FROM workflow.gate_decision AS g JOIN workflow.items AS i USING (item_id) ORDER BY 2;

DROP OWNED BY ap_clerk, ap_ben, ap_carla;
DROP ROLE ap_clerk, ap_ben, ap_carla;
