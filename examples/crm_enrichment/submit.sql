--
-- Submits every event.  Run as often as you like: an event that was received
-- before finds its item again.
--
SELECT count(*) AS events,
       count(*) FILTER (WHERE s.created) AS created,
       count(*) FILTER (WHERE NOT s.created) AS found_again
FROM crm.event AS e,
     LATERAL workflow.submit('crm_enrichment',
       jsonb_build_object('account_id', e.account_id, 'enrichment_version', e.enrichment_version),
       source => 'crm', event_id => e.event_id) AS s;
