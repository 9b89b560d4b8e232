--
-- What cron does at two in the morning, for the night :night.
--
SELECT s.state, s.created FROM workflow.submit('nightly_close', jsonb_build_object('night', :'night'::text)) AS s;
