--
-- report_html: what stands on the page, and what never does.
--
CREATE EXTENSION pg_workflow;
SET timezone = 'UTC';

-- the page as lines without tags, so that a test shows what people read
CREATE FUNCTION public.part(page text, name text) RETURNS text LANGUAGE sql AS $$
  SELECT replace(replace(regexp_replace(regexp_replace(regexp_replace(
           substring(page FROM '<section id="' || name || '">(.*?)</section>'), '<svg.*?</svg>', '', 'g'),
           '</(th|td|dt|b|figcaption)>', ' | ', 'g'), '<[^>]*>', '', 'g'), '&#160;', ' '), '&#8211;', '-')
$$;

-- a database with nothing in it: each part says what there is none of
SELECT workflow.report_html() AS page \gset
SELECT p.part, btrim(regexp_replace(public.part(:'page', p.part), '^[^\n]*\n|^', ''), E'\n') AS says
FROM workflow._report_parts() AS p WHERE p.part <> 'health' ORDER BY p.place;
-- without preload health has something to say
SELECT :'page' LIKE '%<section id="health">%checks of <code>workflow.health()</code> do not pass%' AS health,
       :'page' LIKE '%all times UTC, now UTC+00%' AS zone, :'page' !~ '[^\x01-\x7f]' AS ascii, :'page' !~ '<script|javascript:|https?://(?!www\.w3\.org)' AS alone;

-- how far it goes back
SELECT workflow.report_html(NULL);
SELECT workflow.report_html('1 day', NULL);
SELECT workflow.report_html('-1 day');
SELECT workflow.report_html('10 years');

-- bars are cut at round times of the session's zone
SELECT s AS since, f.unit, cardinality(f.starts) BETWEEN b.least AND b.most AS bars,
       date_trunc(CASE f.unit WHEN '5 minutes' THEN 'minute' ELSE split_part(f.unit, ' ', 2) END, f.starts[1]) = f.starts[1] AS round, f.starts[1] <= f.from_at AS whole
FROM (VALUES ('1 minute', 1, 2), ('3 hours', 36, 37), ('1 day', 24, 25), ('3 days', 72, 73), ('92 days', 92, 93), ('1 year', 52, 54)) AS b (s, least, most),
     LATERAL workflow._report_frame('me', s::interval, true) AS f ORDER BY s::interval;

-- numbers and durations are for reading
SELECT n, workflow._report_number(n) FROM unnest('{NULL,0,7,9999999,12345678,5000000000,7000000000000}'::numeric[]) AS n;
SELECT d, workflow._report_duration(d) FROM unnest('{NULL,-1s,250ms,4.25s,59s,61s,3600s,"1 day 2 hours",40 days,5 years}'::interval[]) AS d;
SELECT n, workflow._report_ceiling(n), workflow._report_axis_number(workflow._report_ceiling(n)) FROM unnest('{0,2,3,7,11,49,51,730,12345,4100000,1e13}'::numeric[]) AS n;

-- texts of users are texts, wherever they stand and whatever is in them
SELECT t, workflow._html(t) FROM unnest(ARRAY['a<b', '"&amp;"', E'one\ntwo', E'bell\x07', ']]>', '']) AS t;
SELECT workflow._html_page(E'\u00e9 \u202e \U0001f600 \u0085 \ufffe');
SELECT workflow._report_text('0123456789', 5), workflow._report_text(''), workflow._report_text(NULL);

-- a queue, dead letters, items that ended, others that stay
SELECT workflow.create_queue('mail', 'post <office>', '1 hour', '{chief}');
SELECT workflow.define('{
  "workflow": "letters", "owner": "post & co", "key": ["$.id"], "initial": "DRAFT",
  "states": {"DRAFT": {"on": {"send": "SENT", "drop": "LOST"}}, "SENT": {"final": "success"}, "LOST": {"final": "failure"}}}');
SELECT count(workflow.submit('letters', jsonb_build_object('id', 'key-' || n))) FROM generate_series(1, 5) AS n;
SELECT workflow.send('letters:key-1', 'send'), workflow.send('letters:key-2', 'drop');
SELECT workflow.enqueue('mail', '{"secret": "payload"}', key => 'the-key');
SELECT job_id, token FROM workflow.claim('mail', 'w', 1, '1 hour') \gset
SELECT workflow.fail(:job_id, :'token', 'permanent', 'the <b>address</b> is wrong');
SELECT count(workflow.enqueue('mail', '{}', key => 'k' || n, run_at => now() - n * interval '20 minutes')) FROM generate_series(0, 4) AS n;
SELECT count(workflow.enqueue('mail', '{}')) FROM generate_series(1, 3);
SELECT workflow.report_html('1 hour') AS page \gset
SELECT regexp_replace(public.part(:'page', 'workflows'), '\d+(\.\d+)? m?s', 'N s', 'g');
SELECT regexp_replace(regexp_replace(public.part(:'page', 'dead_letters'), '\d{4}-\d\d-\d\d \d\d:\d\d', 'TIME', 'g'), '^\d+ \|', 'N |', 'gn');
SELECT regexp_replace(public.part(:'page', 'queues'), '\d+(\.\d+)? m?s', 'N s', 'g');
SELECT m[1] FROM regexp_matches(:'page', '<figcaption>([^<]* <b>\d+</b>)', 'g') AS m;
SELECT :'page' LIKE '%<text class="wf-count"%>3</text>%' AS drawn_with_counts, :'page' LIKE '%payload%' AS shows_payload;

-- alerts that are open, and those that were cleared in this time
SET session_replication_role = replica;
INSERT INTO workflow.alert (kind, subject, severity, owner, subject_owner, detail, opened_at, last_seen_at, cleared_at)
VALUES ('sla_breach', 'queue:mail', 'page', 'post', 'post', '2 jobs <ready>', now() - interval '5 minutes', now(), NULL),
       ('breaker_open', 'endpoint:crm', 'ticket', 'revops', 'revops', 'open', now() - interval '30 minutes', now(), now() - interval '10 minutes'),
       ('breaker_open', 'endpoint:crm', 'ticket', 'revops', 'revops', 'open', now() - interval '3 days', now(), now() - interval '2 days');
RESET session_replication_role;
SELECT regexp_replace(public.part(workflow.report_html('1 hour'), 'alerts'), '\d{4}-\d\d-\d\d \d\d:\d\d', 'TIME', 'g');

-- without details there are neither keys nor error texts
SELECT workflow.report_html('1 hour', details => false) AS brief \gset
SELECT :'page' LIKE '%the-key%' AS key, :'page' LIKE '%address&lt;%' AS error, :'brief' LIKE '%the-key%' AS brief_key, :'brief' LIKE '%address&lt;%' AS brief_error,
       :'brief' LIKE '%permanent%' AS brief_class;

-- a part that fails says so, and the others stand
BEGIN;
ALTER TABLE workflow.review RENAME COLUMN patch TO other;
SELECT workflow.report_html('1 hour') AS page \gset
SELECT public.part(:'page', 'reviews'), :'page' LIKE '%post &amp; co%' AS others;
SELECT public.part(workflow.report_html('1 hour', details => false), 'reviews');
ROLLBACK;

-- it writes nothing
BEGIN READ ONLY;
SELECT workflow.report_html() LIKE '%</html>%' AS whole, workflow.report_html() LIKE '%could not be computed%' AS broken;
ROLLBACK;

-- who may
CREATE ROLE report_reader;
CREATE ROLE report_other;
SELECT workflow.grant_role('report_reader', 'monitor'), workflow.grant_role('report_other', 'submitter');
SET ROLE report_reader;
SELECT workflow.report_html() AS page \gset
SELECT :'page' LIKE '%made by <bdi>report_reader</bdi>%' AS who, :'page' LIKE '%could not be computed%' AS broken;
SET ROLE report_other;
SELECT workflow.report_html();
RESET ROLE;
DROP OWNED BY report_reader, report_other;
DROP ROLE report_reader, report_other;
