--
-- Who may do what: revops defines and submits, anna reviews, otto operates.
--
CREATE ROLE revops LOGIN;
CREATE ROLE anna LOGIN;
CREATE ROLE otto LOGIN;
SELECT workflow.grant_role('revops', 'designer');
SELECT workflow.grant_role('revops', 'submitter');
SELECT workflow.grant_role('anna', 'reviewer');
SELECT workflow.grant_role('otto', 'operator');
SELECT format('GRANT CREATE ON DATABASE %I TO revops', current_database()) \gexec
