--
-- Who may do what: the shop defines the flow and submits orders; its functions
-- run as the shop, and what they take back needs the rights of an operator.
--
CREATE ROLE shop LOGIN;
SELECT workflow.grant_role('shop', 'designer');
SELECT workflow.grant_role('shop', 'submitter');
SELECT workflow.grant_role('shop', 'operator');
SELECT format('GRANT CREATE ON DATABASE %I TO shop', current_database()) \gexec
