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
-- to reject needs one of the reasons that there are
SET ROLE ap_ben;
SELECT workflow.decide(:review, 'reject');
SELECT workflow.decide(:review, 'reject', 'too dear');
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

-- a very large one is decided by two of the board, who are warned, and whose chair is told when they do not
INSERT INTO ap.purchase_order VALUES ('PO-7007', 'S-100', 'Plant maintenance', 120000, 120000);
SET pg_workflow.clock = '2040-01-01 12:00 UTC';
SET timezone = 'UTC';
SET ROLE ap_clerk;
SELECT state FROM workflow.submit('invoice_approval',
  '{"supplier": "S-100", "invoice": "2026-0999", "purchase_order": "PO-7007", "amount": 120000}');
RESET ROLE;
CALL workflow.run('10 seconds');
SET ROLE ap_ben;
SELECT workflow.claim_review('ap_first') AS review \gset
SELECT instructions, reasons, assignee, claim_until, warn_at, due_at FROM workflow.review_inbox WHERE id = :review;
SELECT state FROM workflow.decide(:review, 'approve', 'the new switchgear');
SELECT id AS board, warn_at, due_at, owner, approvals, priority, shown #>> '{first_approval,reason}' AS first_said, may_decide FROM workflow.review_inbox \gset
SELECT :'warn_at' AS warn_at, :'due_at' AS due_at, :'owner' AS owner, :'approvals' AS approvals, :priority AS priority, :'first_said' AS first_said, :'may_decide' AS may_decide;
SET ROLE ap_dora;
SELECT state FROM workflow.decide(:board, 'approve');
SELECT workflow.decide(:board, 'approve');
RESET ROLE;
SET pg_workflow.clock = '2040-01-03 12:00 UTC';
SELECT kind, owner FROM workflow._conditions_of_review();
SET pg_workflow.clock = '2040-01-04 12:00 UTC';
CALL workflow.run('10 seconds');
SELECT kind, owner FROM workflow._conditions_of_review();
SET ROLE ap_emil;
SELECT owner, overdue, votes #>> '{0,by}' AS has_voted FROM workflow.review_inbox WHERE id = :board;
SELECT state FROM workflow.decide(:board, 'approve');
RESET ROLE;
CALL workflow.run('10 seconds');
RESET pg_workflow.clock;
SELECT i.state, p.amount, i.data #> '{board_approval,voters}' AS board FROM workflow.items AS i JOIN ap.payment AS p USING (item_id) WHERE p.invoice = '2026-0999';
-- why invoices were rejected
SELECT state, reason_code, count(*) FROM workflow.reviews WHERE decision = 'reject' GROUP BY 1, 2;

-- the same number with another amount is no other invoice
SELECT state, created, same_input FROM workflow.submit('invoice_approval',
  '{"supplier": "S-131", "invoice": "VB-3390", "purchase_order": "PO-7006", "amount": 2500}');
SELECT workflow.submit('invoice_approval',
  '{"supplier": "S-131", "invoice": "VB-3390", "purchase_order": "PO-7006", "amount": 2500}', on_conflict => 'error');
-- nor is one without an amount
SELECT workflow.submit('invoice_approval', '{"supplier": "S-131", "invoice": "VB-3391", "purchase_order": "PO-7006"}');

-- who needed a second one
SELECT g.tier, i.data -> 'amount' AS amount FROM workflow.gate_decision AS g JOIN workflow.items AS i USING (item_id) ORDER BY 2;

DROP OWNED BY ap_clerk, ap_ben, ap_carla, ap_dora, ap_emil;
DROP ROLE ap_clerk, ap_ben, ap_carla, ap_dora, ap_emil;
