--
-- One item's story.
--
SELECT to_char(t.at, 'HH24:MI:SS.MS') AS at, t.seq, t.what, t.detail, t.actor
FROM workflow.timeline('crm_enrichment:A-1005:1') AS t;
