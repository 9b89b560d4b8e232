--
-- The clerk enters this morning's invoices.  Run it as often as you like: an
-- invoice that is known is found again, never entered twice.
--
SET ROLE ap_clerk;
SELECT invoice.input ->> 'invoice' AS invoice, invoice.input ->> 'amount' AS amount, s.state, s.created
FROM (VALUES
        ('{"supplier": "S-100", "invoice": "2026-0871", "purchase_order": "PO-7001", "amount": 18400}'::jsonb),
        ('{"supplier": "S-114", "invoice": "F-55120",   "purchase_order": "PO-7002", "amount": 412.50}'),
        ('{"supplier": "S-131", "invoice": "VB-3309",   "purchase_order": "PO-7003", "amount": 11400}'),
        ('{"supplier": "S-150", "invoice": "HW-778",    "purchase_order": "PO-7004", "amount": 2980}'),
        ('{"supplier": "S-100", "invoice": "2026-0902", "purchase_order": "PO-7005", "amount": 6200}')) AS invoice (input),
     LATERAL workflow.submit('invoice_approval', invoice.input) AS s
ORDER BY 1;
RESET ROLE;
