--
-- report: one page that tells people how it stands, to be sent or printed.
--
-- A page is put together from parts (report_parts.sql, report_charts.sql), each
-- a function that takes the frame of the report and returns HTML.  Every text of
-- a user goes through _report_text().  What is read for a page is bounded: a part
-- that has not read all says so on the page.
--

-- ------------------------------------------------------------------- texts

CREATE FUNCTION workflow._html(value text) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_html_text';
COMMENT ON FUNCTION workflow._html(text) IS
  'Inner: a text as it may stand between tags or in double quotes of XML';

CREATE FUNCTION workflow._html_page(page text) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_html_page';
COMMENT ON FUNCTION workflow._html_page(text) IS
  'Inner: the same in ASCII, with references to all other characters, so that it does not depend on the encoding of a client';

-- A name may be written from right to left, and may be of any length.
CREATE FUNCTION workflow._report_text(value text, most int DEFAULT 120) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN value IS NULL OR value = '' THEN '<span class="none">&#8211;</span>'
              WHEN length(value) <= most THEN '<bdi>' || workflow._html(value) || '</bdi>'
              ELSE '<bdi>' || workflow._html(left(value, most)) || '</bdi><span class="none" title="' || length(value) || ' characters">&#8230;</span>' END
$$;
COMMENT ON FUNCTION workflow._report_text(text, int) IS
  'Inner: a text of a user in a report, cut where it is longer than most; a dash where there is none';

CREATE FUNCTION workflow._report_number(n numeric) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN n IS NULL THEN '<span class="none">&#8211;</span>'
              WHEN n = 0 THEN '<span class="none">0</span>'
              WHEN abs(n) < 10000000 THEN to_char(round(n), 'FM9,999,990')
              ELSE '<span title="' || round(n) || '">' || to_char(round(n / u.unit, 1), 'FM999,999,999,990.0') || '&#160;' || u.name || '</span>' END
  FROM (SELECT CASE WHEN abs(n) < 1e9 THEN 1e6 WHEN abs(n) < 1e12 THEN 1e9 ELSE 1e12 END,
               CASE WHEN abs(n) < 1e9 THEN 'million' WHEN abs(n) < 1e12 THEN 'billion' ELSE 'trillion' END) AS u (unit, name)
$$;
COMMENT ON FUNCTION workflow._report_number(numeric) IS
  'Inner: a count in a report, with commas, from ten millions on in words';

-- Two units are enough: 3 d 4 h, 5 min 12 s.
CREATE FUNCTION workflow._report_duration(duration interval) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN s.s IS NULL THEN '<span class="none">&#8211;</span>'
              WHEN s.s < 0 THEN '0&#160;s'
              WHEN s.s < 1 THEN round(s.s * 1000) || '&#160;ms'
              WHEN s.s < 10 THEN round(s.s, 1) || '&#160;s'
              WHEN s.s < 60 THEN floor(s.s) || '&#160;s'
              WHEN s.s < 3600 THEN floor(s.s / 60) || '&#160;min' || coalesce('&#160;' || nullif(floor(s.s % 60), 0) || '&#160;s', '')
              WHEN s.s < 86400 THEN floor(s.s / 3600) || '&#160;h' || coalesce('&#160;' || nullif(floor(s.s % 3600 / 60), 0) || '&#160;min', '')
              ELSE to_char(floor(s.s / 86400), 'FM999,999,990') || '&#160;d' || coalesce('&#160;' || nullif(floor(s.s % 86400 / 3600), 0) || '&#160;h', '') END
  FROM (SELECT extract(epoch FROM duration)) AS s (s)
$$;
COMMENT ON FUNCTION workflow._report_duration(interval) IS
  'Inner: a duration in a report, in its two largest units';

CREATE FUNCTION workflow._report_time(at timestamptz) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN at IS NULL THEN '<span class="none">&#8211;</span>'
              WHEN NOT isfinite(at) THEN at::text
              ELSE '<time datetime="' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '">'
                   || to_char(at, 'YYYY-MM-DD') || '&#160;' || to_char(at, 'HH24:MI') || '</time>' END
$$;
COMMENT ON FUNCTION workflow._report_time(timestamptz) IS
  'Inner: a time in a report, in the time zone of the session';

-- A word that says how it is, so that the colour only repeats it.
CREATE FUNCTION workflow._report_badge(tone text, word text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '<span class="badge ' || tone || '">' || workflow._html(word) || '</span>'
$$;
COMMENT ON FUNCTION workflow._report_badge(text, text) IS
  'Inner: a word in a report with a tone: good, fair, bad or plain';

-- A number that should be zero.
CREATE FUNCTION workflow._report_trouble(n numeric, tone text DEFAULT 'bad') RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN n > 0 THEN '<strong class="' || tone || '">' || workflow._report_number(n) || '</strong>' ELSE workflow._report_number(n) END
$$;
COMMENT ON FUNCTION workflow._report_trouble(numeric, text) IS
  'Inner: a count in a report that should be zero';

-- ------------------------------------------------------------------- tables

-- kinds has a letter for each column: t text, l long text, n number.
CREATE FUNCTION workflow._report_row(kinds text, VARIADIC cells text[]) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '<tr>' || string_agg(
           CASE WHEN c.place = 1 THEN '<th scope="row">' || coalesce(c.cell, '') || '</th>'
                ELSE '<td' || CASE substr(kinds, c.place::int, 1) WHEN 'n' THEN ' class="n"' WHEN 'l' THEN ' class="l"' ELSE '' END
                     || '>' || coalesce(c.cell, '') || '</td>' END, '' ORDER BY c.place) || '</tr>' || chr(10)
  FROM unnest(cells) WITH ORDINALITY AS c (cell, place)
$$;
COMMENT ON FUNCTION workflow._report_row(text, text[]) IS
  'Inner: a row of a table in a report; the first cell is its heading';

-- A wide table scrolls in its own box, by keyboard too; the page never does.
CREATE FUNCTION workflow._report_table(caption text, kinds text, names text[], rows text, nothing text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN rows IS NULL THEN '<p class="empty">' || nothing || '</p>' || chr(10)
    ELSE '<div class="scroll" role="region" tabindex="0" aria-label="' || caption || '"><table><caption>' || caption || '</caption><thead><tr>'
         || (SELECT string_agg('<th scope="col"' || CASE substr(kinds, h.place::int, 1) WHEN 'n' THEN ' class="n"' ELSE '' END || '>' || h.name || '</th>',
                               '' ORDER BY h.place) FROM unnest(names) WITH ORDINALITY AS h (name, place))
         || '</tr></thead><tbody>' || chr(10) || rows || '</tbody></table></div>' || chr(10) END
$$;
COMMENT ON FUNCTION workflow._report_table(text, text, text[], text, text) IS
  'Inner: a table of a report, or what is said where there are no rows';

-- What a part has left out.
CREATE FUNCTION workflow._report_note(note text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce('<p class="note">' || note || '</p>' || chr(10), '') $$;
COMMENT ON FUNCTION workflow._report_note(text) IS
  'Inner: a remark under a part of a report, or nothing';

-- ------------------------------------------------------------------- frame

CREATE TYPE workflow._report_frame AS (
  caller  text,
  from_at timestamptz,
  to_at   timestamptz,
  unit    text,
  starts  timestamptz[],
  details boolean
);
COMMENT ON TYPE workflow._report_frame IS
  'Inner: what the parts of a report share: its span, cut at starts into hours, days, ..., and whether it shows keys and error texts';

CREATE FUNCTION workflow._report_frame(caller text, since interval, details boolean) RETURNS workflow._report_frame
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  frame workflow._report_frame;
BEGIN
  PERFORM workflow._require_given(since IS NOT NULL, 'since');
  PERFORM workflow._require_given(details IS NOT NULL, 'details');
  IF since < interval '1 minute' OR since > interval '366 days' THEN
    RAISE EXCEPTION 'a report cannot go back by %', since
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = 'It covers from one minute to one year.',
            HINT = 'SELECT workflow.report_html(''1 day'');';
  END IF;
  frame.caller := caller;
  frame.to_at := workflow._now();
  frame.from_at := frame.to_at - since;
  frame.details := details;
  frame.unit := CASE WHEN since <= interval '3 hours' THEN '5 minutes' WHEN since <= interval '3 days' THEN '1 hour'
                     WHEN since <= interval '92 days' THEN '1 day' ELSE '1 week' END;
  frame.starts := ARRAY(
    SELECT s FROM generate_series(
      CASE WHEN frame.unit = '5 minutes' THEN date_bin('5 minutes', frame.from_at, '2000-01-01 00:00:00+00')
           WHEN frame.unit = '1 day' AND since < interval '58 days' THEN date_trunc('day', frame.from_at)
           ELSE date_trunc(split_part(frame.unit, ' ', 2), frame.from_at, 'UTC') END,
      frame.to_at, frame.unit::interval) AS s ORDER BY s);
  RETURN frame;
END
$$;
COMMENT ON FUNCTION workflow._report_frame(text, interval, boolean) IS
  'Inner: the frame of a report that ends now';

-- ------------------------------------------------------------------- parts

-- A part that fails says so in its place, and takes nothing else with it.
CREATE FUNCTION workflow._report_part(frame workflow._report_frame, part text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  body text;
BEGIN
  EXECUTE format('SELECT workflow.%I($1)', '_report_' || part) INTO body USING frame;
  RETURN body;
EXCEPTION WHEN OTHERS THEN
  RETURN '<p class="empty"><strong class="bad">This part could not be computed.</strong> SQLSTATE ' || SQLSTATE
         || CASE WHEN frame.details THEN ': ' || workflow._report_text(SQLERRM, 500) ELSE '.' END || '</p>' || chr(10);
END
$$;
COMMENT ON FUNCTION workflow._report_part(workflow._report_frame, text) IS
  'Inner: one part of a report, or why there is none';

CREATE FUNCTION workflow._report_parts() RETURNS TABLE (part text, title text, place int)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  VALUES ('health', 'Health', 1), ('throughput', 'Throughput', 2), ('workflows', 'Workflows', 3),
         ('queues', 'Queues', 4), ('dead_letters', 'Dead letters', 5), ('effects', 'Effects', 6),
         ('reviews', 'Reviews', 7), ('alerts', 'Alerts', 8)
$$;
COMMENT ON FUNCTION workflow._report_parts() IS
  'Inner: the parts of a report in their order; part x is written by _report_x()';

-- -------------------------------------------------------------------- page

CREATE FUNCTION workflow._report_head(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '<header><h1>Workflow report <span>' || workflow._report_text(current_database()) || '</span></h1>' || chr(10)
    || '<p class="span">' || workflow._report_time(frame.from_at) || ' &#8211; ' || workflow._report_time(frame.to_at)
    || ' <span class="zone">all times ' || workflow._html(current_setting('TimeZone')) || ', now UTC' || to_char(frame.to_at, 'OF') || '</span></p>' || chr(10)
    || '<p class="origin">' || concat_ws(' &#183; ',
         'cluster ' || workflow._report_text(coalesce(nullif(current_setting('cluster_name'), ''), i.system_identifier::text)),
         CASE WHEN pg_is_in_recovery() THEN 'a standby' END,
         'PostgreSQL ' || workflow._html(split_part(current_setting('server_version'), ' ', 1)),
         'pg_workflow ' || workflow._html(workflow._library_version()),
         'made by ' || workflow._report_text(frame.caller)) || '</p></header>' || chr(10)
  FROM pg_control_system() AS i
$$;
COMMENT ON FUNCTION workflow._report_head(workflow._report_frame) IS
  'Inner: the head of a report: of what, from when to when, by whom';

CREATE FUNCTION workflow._report_foot(frame workflow._report_frame) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '<footer><p>' || CASE WHEN frame.details
           THEN 'Shown of items and effects: keys, states, owners and error texts; never what they carry, nor secrets. <code>details =&gt; false</code> leaves out keys and error texts.'
           ELSE 'Keys and error texts are left out: <code>details =&gt; false</code>.' END
    || ' Counts are of one moment, ' || workflow._report_time(frame.to_at) || '; the page does not renew itself.</p></footer>' || chr(10)
$$;
COMMENT ON FUNCTION workflow._report_foot(workflow._report_frame) IS
  'Inner: the end of a report: what is on it and what is not';

CREATE FUNCTION workflow._report_html(caller text, since interval, details boolean) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = postgres
SET jit = off
AS $$
DECLARE
  frame workflow._report_frame := workflow._report_frame(caller, since, details);
  page text;
  part record;
BEGIN
  page := '<!DOCTYPE html>' || chr(10)
    || '<html xmlns="http://www.w3.org/1999/xhtml" lang="en" xml:lang="en"><head><meta charset="utf-8"/>' || chr(10)
    || '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''; img-src data:"/>' || chr(10)
    || '<meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/>' || chr(10)
    || '<meta name="generator" content="pg_workflow"/><link rel="icon" href="data:,"/>' || chr(10)
    || '<title>Workflow report: ' || workflow._html(current_database()) || ', ' || to_char(frame.to_at, 'YYYY-MM-DD HH24:MI') || '</title>' || chr(10)
    || '<style>' || workflow._report_style() || workflow._report_diagram_style() || '</style></head>' || chr(10) || '<body>' || chr(10)
    || workflow._report_head(frame) || '<main>' || chr(10) || workflow._report_part(frame, 'tiles')
    || '<nav aria-label="Parts"><ul>'
    || (SELECT string_agg('<li><a href="#' || p.part || '">' || p.title || '</a></li>', '' ORDER BY p.place) FROM workflow._report_parts() AS p)
    || '</ul></nav>' || chr(10);
  FOR part IN SELECT p.part, p.title FROM workflow._report_parts() AS p ORDER BY p.place
  LOOP
    page := page || '<section id="' || part.part || '"><h2>' || part.title || '</h2>' || chr(10)
      || workflow._report_part(frame, part.part) || '</section>' || chr(10);
  END LOOP;
  RETURN workflow._html_page(page || '</main>' || chr(10) || workflow._report_foot(frame) || '</body></html>' || chr(10));
END
$$;
COMMENT ON FUNCTION workflow._report_html(text, interval, boolean) IS
  'Inner: workflow.report_html()';

CREATE FUNCTION workflow.report_html(since interval DEFAULT '1 day', details boolean DEFAULT true) RETURNS text
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.report_html(interval, boolean) IS
  'A page of HTML that needs nothing but itself: how it stands now and what happened since; without details it shows no keys and no error texts';
