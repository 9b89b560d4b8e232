--
-- report_charts: the drawings of a report, as SVG whose widths are percentages,
-- so that bars stretch and texts keep their size on a phone and on a desk.
--

-- The next number of the form 2, 4, 6 or 10 times a power of ten: an axis ends
-- in something that can be read, and so does its half.
CREATE FUNCTION workflow._report_ceiling(n numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN n <= 2 THEN 2
              ELSE (SELECT min(m * p.power) FROM unnest(ARRAY[1, 2, 4, 6, 10]) AS m WHERE m * p.power >= n) END
  FROM (SELECT trim_scale(power(10::numeric, floor(log(greatest(n, 1)))))) AS p (power)
$$;
COMMENT ON FUNCTION workflow._report_ceiling(numeric) IS
  'Inner: where the axis of a chart ends';

CREATE FUNCTION workflow._report_axis_number(n numeric) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN n < 10000 THEN to_char(n, 'FM9,990') ELSE trim_scale(round(n / u.unit, 1)) || u.name END
  FROM (SELECT CASE WHEN n < 1e6 THEN 1e3 WHEN n < 1e9 THEN 1e6 WHEN n < 1e12 THEN 1e9 ELSE 1e12 END,
               CASE WHEN n < 1e6 THEN 'k' WHEN n < 1e9 THEN 'M' WHEN n < 1e12 THEN 'G' ELSE 'T' END) AS u (unit, name)
$$;
COMMENT ON FUNCTION workflow._report_axis_number(numeric) IS
  'Inner: a number at the axis of a chart';

-- When a bar begins, in as few letters as tell it from its neighbours: marks
-- stand at round hours, so that midnight, which has the date, is one.
CREATE FUNCTION workflow._report_axis_time(at timestamptz, unit text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT to_char(at, CASE WHEN unit IN ('1 day', '1 week') THEN 'FMDD Mon' WHEN date_trunc('day', at) = at THEN 'FMDD Mon' ELSE 'HH24:MI' END)
$$;
COMMENT ON FUNCTION workflow._report_axis_time(timestamptz, text) IS
  'Inner: a time at the axis of a chart';

-- Bars over time: lower[i] and, upon it and hatched, upper[i] from starts[i] on.
-- id is unique on the page.  What is before known_from, if not null, is not known.
CREATE FUNCTION workflow._report_bars(
  id text, frame workflow._report_frame, title text, lower_name text, lower bigint[], upper_name text, upper bigint[],
  known_from timestamptz) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH bar AS (
    SELECT b.place - 1 AS place, b.at, coalesce(lower[b.place], 0) AS low, coalesce(upper[b.place], 0) AS up,
           CASE frame.unit WHEN '5 minutes' THEN date_part('hour', b.at) * 12 + date_part('minute', b.at) / 5
                           WHEN '1 hour' THEN date_part('hour', b.at) ELSE b.place - 1 END::int AS step
    FROM unnest(frame.starts) WITH ORDINALITY AS b (at, place)
  ), scale AS (
    SELECT count(*)::numeric AS bars, workflow._report_ceiling(max(b.low + b.up)) AS top, sum(b.low) AS low, sum(b.up) AS up,
           max(b.low + b.up) AS most,
           round(100.0 * count(*) FILTER (WHERE b.at + frame.unit::interval <= known_from) / count(*), 3) AS unread,
           (SELECT min(n) FROM unnest(ARRAY[1, 2, 3, 4, 6, 12, 24]) AS n WHERE n * 6 >= cardinality(frame.starts) OR n = 24) AS stride
    FROM bar AS b
  ), drawn AS (
    SELECT b.*, round(b.place * 100 / s.bars + 8 / s.bars, 3) AS x, round(84 / s.bars, 3) AS width,
           round(b.low * 140 / s.top, 1) AS low_height, round(b.up * 140 / s.top, 1) AS up_height,
           b.step % s.stride = 0 AS marked, b.step % (2 * s.stride) = 0 AS marked_first
    FROM bar AS b, scale AS s
  )
  SELECT '<figure class="chart"><figcaption>' || title || ' <b>' || workflow._report_number(s.low + s.up) || '</b>'
    || CASE WHEN known_from IS NULL THEN '' ELSE '<span class="key">since ' || workflow._report_time(known_from) || '</span>' END
    || CASE WHEN upper_name IS NULL THEN '' ELSE
         '<span class="key"><i class="low"></i>' || lower_name || ' ' || workflow._report_number(s.low)
         || '<i class="up"></i>' || upper_name || ' ' || workflow._report_number(s.up) || '</span>' END
    || '</figcaption>' || chr(10)
    || '<div class="plot"><svg class="axis" width="44" height="172" aria-hidden="true">'
    || (SELECT string_agg('<text x="38" y="' || round(156 - 140 * g.part) || '">' || workflow._report_axis_number(s.top * g.part) || '</text>', '')
        FROM unnest(ARRAY[0, 0.5, 1]) AS g (part))
    || '</svg><svg class="bars" width="100%" height="172" role="img"><title>' || title || ', by ' || regexp_replace(frame.unit, '^1 ', '') || '</title><desc>'
    || s.low + s.up || ' in all, at most ' || s.most || ' in one bar.</desc>' || chr(10)
    || '<defs><pattern id="hatch-' || id || '" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-ground" width="5" height="5"/><rect class="hatch-line" width="2" height="5"/></pattern></defs>'
    || (SELECT string_agg('<line class="grid" x1="0" x2="100%" y1="' || 152 - 140 * g.part || '" y2="' || 152 - 140 * g.part || '"/>', '')
        FROM unnest(ARRAY[0, 0.5, 1]) AS g (part)) || chr(10)
    || CASE WHEN s.unread > 0 THEN '<g><title>not read</title><rect class="unread" x="0" width="' || s.unread || '%" y="12" height="140"/>'
         || CASE WHEN s.unread > 25 THEN '<text class="unread-text" x="' || s.unread / 2 || '%" y="86">not read</text>' ELSE '' END || '</g>' ELSE '' END
    || (SELECT string_agg(
          CASE WHEN d.at + frame.unit::interval <= known_from THEN '' ELSE '<g><title>' || to_char(d.at, 'YYYY-MM-DD HH24:MI') || ': ' || d.low || ' ' || lower_name
          || CASE WHEN upper_name IS NULL THEN '' ELSE ', ' || d.up || ' ' || upper_name END || '</title>'
          || '<rect class="touch" x="' || d.x || '%" width="' || d.width || '%" y="12" height="140"/>'
          || CASE WHEN d.low > 0 THEN '<rect class="low" x="' || d.x || '%" width="' || d.width || '%" y="' || 152 - greatest(d.low_height, 1.5) || '" height="' || greatest(d.low_height, 1.5) || '"/>' ELSE '' END
          || CASE WHEN d.up > 0 THEN '<rect class="up" fill="url(#hatch-' || id || ')" x="' || d.x || '%" width="' || d.width || '%" y="' || 152 - d.low_height - greatest(d.up_height, 1.5) || '" height="' || greatest(d.up_height, 1.5) || '"/>' ELSE '' END
          || '</g>' END, chr(10) ORDER BY d.place) FROM drawn AS d) || chr(10)
    || (SELECT string_agg('<text class="tick' || CASE WHEN d.marked_first THEN '' ELSE ' wide' END || '" x="' || d.x || '%" y="168">'
                          || workflow._report_axis_time(d.at, frame.unit) || '</text>', '' ORDER BY d.place) FROM drawn AS d WHERE d.marked)
    || '</svg></div></figure>' || chr(10)
  FROM scale AS s
$$;
COMMENT ON FUNCTION workflow._report_bars(text, workflow._report_frame, text, text, bigint[], text, bigint[], timestamptz) IS
  'Inner: a chart of one or two counts over the span of a report';

-- How much of a limit is used, with a mark where the limit is.
CREATE FUNCTION workflow._report_gauge(used interval, most interval) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN g.part IS NULL THEN ''
    ELSE '<svg class="gauge" width="96" height="14" role="img"><title>' || g.percent || ' % of the SLA</title>'
      || '<rect class="track" y="4" width="96" height="6" rx="3"/><rect class="' || CASE WHEN g.part > 1 THEN 'bad' WHEN g.part > 0.8 THEN 'fair' ELSE 'good' END
      || '" y="4" width="' || round(least(g.part, 1.5) * 64, 1) || '" height="6" rx="3"/><rect class="mark" x="63" width="2" height="14"/></svg>' END
  FROM (SELECT s.part, CASE WHEN s.part < 100 THEN to_char(s.part * 100, 'FM9,990') ELSE 'over 10,000' END AS percent
        FROM (SELECT greatest(extract(epoch FROM used), 0) / nullif(extract(epoch FROM most), 0)) AS s (part)) AS g
$$;
COMMENT ON FUNCTION workflow._report_gauge(interval, interval) IS
  'Inner: a small bar that shows how much of an SLA is used';

-- One bar of several parts; names[i] says what part i is.
CREATE FUNCTION workflow._report_stack(names text[], counts bigint[]) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH part AS (
    SELECT p.place, p.n, 100 * p.n / nullif(sum(p.n) OVER (), 0) AS width,
           100 * (sum(p.n) OVER (ORDER BY p.place) - p.n) / nullif(sum(p.n) OVER (), 0) AS x
    FROM unnest(counts) WITH ORDINALITY AS p (n, place)
  )
  SELECT '<svg class="stack" width="100%" height="14" role="img"><title>'
    || string_agg(names[p.place] || ': ' || p.n, ', ' ORDER BY p.place) || '</title>'
    || coalesce(string_agg('<rect class="s' || p.place || '" x="' || round(p.x, 2) || '%" width="' || round(greatest(p.width, 0.6), 2) || '%" height="14"/>', '' ORDER BY p.place)
                  FILTER (WHERE p.n > 0), '')
    || '</svg>'
  FROM part AS p
$$;
COMMENT ON FUNCTION workflow._report_stack(text[], bigint[]) IS
  'Inner: a bar of several parts in a table of a report';

CREATE FUNCTION workflow._report_stack_key(names text[]) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '<p class="key stackkey">' || string_agg('<span><i class="s' || n.place || '"></i>' || n.name || '</span>', ' ' ORDER BY n.place) || '</p>' || chr(10)
  FROM unnest(names) WITH ORDINALITY AS n (name, place)
$$;
COMMENT ON FUNCTION workflow._report_stack_key(text[]) IS
  'Inner: what the parts of such bars are';
