--
-- Who may do what: the clerk enters invoices and, in a small department, may
-- approve those of others; Ben and Carla approve, Dora and Emil are of the board.
--
CREATE ROLE ap_clerk;
CREATE ROLE ap_ben;
CREATE ROLE ap_carla;
CREATE ROLE ap_dora;
CREATE ROLE ap_emil;
SELECT workflow.grant_role('ap_clerk', 'submitter');
SELECT workflow.grant_role('ap_clerk', 'reviewer');
SELECT workflow.grant_role('ap_ben', 'reviewer');
SELECT workflow.grant_role('ap_carla', 'reviewer');
SELECT workflow.grant_role('ap_dora', 'reviewer');
SELECT workflow.grant_role('ap_emil', 'reviewer');
