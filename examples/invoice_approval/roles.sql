--
-- Who may do what: the clerk enters invoices and, in a small department, may
-- approve those of others; Ben and Carla approve.
--
CREATE ROLE ap_clerk;
CREATE ROLE ap_ben;
CREATE ROLE ap_carla;
SELECT workflow.grant_role('ap_clerk', 'submitter');
SELECT workflow.grant_role('ap_clerk', 'reviewer');
SELECT workflow.grant_role('ap_ben', 'reviewer');
SELECT workflow.grant_role('ap_carla', 'reviewer');
