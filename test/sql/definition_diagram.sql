--
-- Definition: diagrams.  That nothing overlaps is measured by test/t/086_diagrams.pl.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\pset format unaligned
\pset tuples_only on

-- every kind of state, several events between two states, a loop, and a way back
SELECT version FROM workflow.define($${"workflow": "kinds", "description": "One of each", "initial": "START", "owner": "me",
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
  "retry": {"default": {"max_attempts": 3, "timeout": "5 seconds"}},
  "activities": {"work": {"task": {"queue": "q"}}},
  "states": {
    "START":  {"description": "waits", "on": {"go": "WORK", "run": "WORK", "again": "START"}},
    "WORK":   {"activity": "work", "on": {"ok": "JUDGE", "error": "STUCK"}},
    "JUDGE":  {"gate": {"value": "$.n", "tiers": [{"at_least": 1, "event": "up"}, {"otherwise": "down"}]},
               "on": {"up": "PAUSE", "down": "ASK"}},
    "PAUSE":  {"wait": {"for": "1 hour"}, "on": {"ok": "START"}},
    "ASK":    {"review": {"queue": "q", "decisions": ["yes", "no"], "on_overdue": "escalate"},
               "on": {"yes": "END", "no": "CANCELLED"}},
    "STUCK":  {"exception": {"queue": "q"}, "on": {"replay": "AGAIN", "give_up": "BROKEN"}},
    "AGAIN":  {"then": "resume", "on": {"resume": "@origin"}},
    "END":    {"final": "success"},
    "BROKEN": {"final": "failure"}},
  "any": {"on": {"stop": "BROKEN"}}}$$);
SELECT workflow.diagram('kinds');
SELECT workflow.diagram('kinds', format => 'dot');
SELECT workflow.diagram('kinds', 1, 'svg')::xml IS DOCUMENT;

-- the boxes and arrows that it is drawn of
SELECT b.ordinality - 1, b.value FROM workflow.document('kinds') AS d,
  jsonb_array_elements(workflow._picture(d, 'x', NULL) -> 'boxes') WITH ORDINALITY AS b;
SELECT a FROM workflow.document('kinds') AS d, jsonb_array_elements(workflow._picture(d, 'x', NULL) -> 'arrows') AS a;

-- an SVG of one state, whole but for the colours
SELECT version FROM workflow.define('{"workflow": "short", "initial": "A", "states": {"A": {"final": "done"}}}');
SELECT regexp_replace(workflow.diagram('short', format => 'svg'), '<style>.*</style>', '<style/>');

-- it has a title, a description, text for each box and arrow, and needs nothing else
CREATE FUNCTION count_of(path text) RETURNS bigint LANGUAGE sql AS $$
  SELECT cardinality(xpath(path, workflow.diagram('kinds', format => 'svg')::xml, ARRAY[ARRAY['s', 'http://www.w3.org/2000/svg']]))
$$;
SELECT count_of('/s:svg[@viewBox and @role="img"]/s:title'), count_of('/s:svg/s:desc'), count_of('//s:style'),
       count_of('//s:g[contains(@class, "wf-state")][s:title][s:text]') AS states,
       count_of('//s:g[contains(@class, "wf-arrow")][s:title]') AS arrows,
       count_of('//s:g[contains(@class, "wf-up")]') AS upward;
SELECT count_of('//s:script') + count_of('//s:image') + count_of('//s:use') + count_of('//s:a') + count_of('//s:foreignObject')
       + count_of('//@*[starts-with(name(), "on") or local-name() = "href" or contains(., "url(")]') AS dangers;
SELECT svg ~ 'prefers-color-scheme:dark' AS dark, svg ~ '@import|url\(|http(?!://www.w3.org/2000/svg")' AS refers
FROM workflow.diagram('kinds', format => 'svg') AS svg;

-- names that would end a tag, an attribute, a string or a line stay texts
SELECT version FROM workflow.define(json_build_object('workflow', 'hos"tile\', 'description', ']]></desc><script>', 'initial', E'</text><script>alert(1)</script>',
  'states', json_build_object(
    E'</text><script>alert(1)</script>', json_build_object('on', json_build_object(E'"\\\n\x01\t<b>&amp;', E'q" onload="x')),
    E'q" onload="x', json_build_object('on', json_build_object(E'a--> b;', E'\\N \\"\x7f\uFFFE')),
    E'\\N \\"\x7f\uFFFE', json_build_object('on', json_build_object('x', '今日は世界')),
    '今日は世界', json_build_object('final', '<!-- ok'))));
SELECT x.text FROM workflow.diagram('hos"tile\', format => 'svg') AS svg,
  unnest(xpath('//s:text/text()', svg::xml, ARRAY[ARRAY['s', 'http://www.w3.org/2000/svg']])) AS x (text);
SELECT svg ~ '<script|<b>| onload="' AS injected FROM workflow.diagram('hos"tile\', format => 'svg') AS svg;
SELECT workflow.diagram('hos"tile\', format => 'dot');
SELECT workflow.diagram('hos"tile\');

-- a name that is too long is cut, its whole is in the title
SELECT version FROM workflow.define(json_build_object('workflow', 'long', 'initial', repeat('LONG_', 30), 'states',
  json_build_object(repeat('LONG_', 30), json_build_object('final', 'done'))));
SELECT svg ~ '<text class="wf-name" x="[ \d.]*" y="[ \d.]*">(LONG_)+(L|LO|LON|LONG)?\.\.\.</text>' AS cut, svg ~ '<title>(LONG_){30} - final done</title>' AS whole
FROM workflow.diagram('long', format => 'svg') AS svg;

-- of many events between two states the first ones are shown, all are in the title
SELECT version FROM workflow.define(json_build_object('workflow', 'many', 'initial', 'A', 'states', json_build_object(
  'A', json_build_object('on', (SELECT json_object_agg('event_' || i, 'B') FROM generate_series(1, 40) AS i)), 'B', '{"final": "done"}'::json)));
SELECT l.text, svg ~ 'event_39, event_40--&gt; B</title>' AS all_in_title FROM workflow.diagram('many', format => 'svg') AS svg,
  unnest(xpath('//s:text[@class="wf-label"]/text()', svg::xml, ARRAY[ARRAY['s', 'http://www.w3.org/2000/svg']])) AS l (text);
-- a state that many arrows lead to is wide
SELECT max(x.right - x.left) FROM workflow._draw_svg(workflow._picture((SELECT json_build_object('workflow', 'hub', 'initial', 'S1', 'states',
    json_object_agg('S' || i, json_build_object('on', json_build_object('stop', 'S20')))) FROM generate_series(1, 20) AS i), 'hub', NULL)) AS svg,
  unnest(xpath('//s:path[@class="wf-shape"]/@d', svg::xml, ARRAY[ARRAY['s', 'http://www.w3.org/2000/svg']])) AS d (path),
  LATERAL (SELECT min(n[1]::numeric) AS left, max(n[1]::numeric) AS right FROM regexp_matches(d.path::text, '([\d.]+) ([\d.]+)', 'g') AS n) AS x;

-- live: how many items of the version have not ended, and where they stand
SELECT count(*) FROM generate_series(1, 5) AS i, workflow.submit('kinds', jsonb_build_object('n', i));
SELECT count(*) FROM workflow.items AS i, workflow.send(i.item_id, 'go') AS s WHERE i.input ->> 'n' IN ('1', '2', '3', '4');
SELECT c FROM workflow.items AS i, workflow.cancel(i.item_id, 'test') AS c WHERE i.input ->> 'n' = '4';
SELECT line FROM workflow.diagram('kinds', live => true) AS d, regexp_split_to_table(d, '\n') AS line WHERE line ~ 'live|items?$';
SELECT line FROM workflow.diagram('kinds', NULL, 'dot', true) AS d, regexp_split_to_table(d, '\n') AS line WHERE line ~ 'items?"';
SELECT unnest(xpath('//s:g[s:rect[@class="wf-badge"]]/s:title/text() | //s:path[@class="wf-heat"]/@fill-opacity | //s:text[@class="wf-count"]/text()',
                    svg::xml, ARRAY[ARRAY['s', 'http://www.w3.org/2000/svg']]))
FROM workflow.diagram('kinds', format => 'svg', live => true) AS svg;
SELECT workflow.diagram('kinds', live => false) = workflow.diagram('kinds'), workflow.diagram('kinds', live => NULL) = workflow.diagram('kinds');
-- another version has its own
SELECT version FROM workflow.define((workflow.document('kinds')::jsonb || '{"description": "Two of each"}')::json);
SELECT d ~ 'item' FROM workflow.diagram('kinds', live => true) AS d;
SELECT d ~ 'item' FROM workflow.diagram('kinds', 1, live => true) AS d;
-- items that have ended are not read
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
EXPLAIN (COSTS off) SELECT i.state, count(*) FROM workflow.item AS i
WHERE i.workflow = 'kinds' AND i.version = 1 AND i.outcome IS NULL GROUP BY i.state;
COMMIT;

-- many items are a few characters
SELECT n, b ->> 'badge', b ->> 'heat' FROM unnest(ARRAY[0, 1, 2, 9999, 10000, 999999, 12345678]) AS n,
  workflow.document('short') AS d, jsonb_array_elements(workflow._picture(d, 'x', jsonb_build_object('A', n)) -> 'boxes') AS b
WHERE b ->> 'name' = 'A';

-- 500 states are drawn in a moment, whatever leads where, and 5,000 in some;
-- arrows that would be very long end in a note; beyond that it is refused
CREATE FUNCTION large(states int) RETURNS json LANGUAGE sql AS $$
  SELECT json_build_object('workflow', 'large', 'initial', 'S1', 'states', json_object_agg('S' || i, json_build_object('on',
    json_build_object('next', 'S' || i % states + 1, 'far', 'S' || (hashint4(i) & 2147483647) % states + 1, 'low', 'S' || states))))
  FROM generate_series(1, states) AS i
$$;
SELECT clock_timestamp() AS began \gset
SELECT svg::xml IS DOCUMENT FROM workflow._draw_svg(workflow._picture(large(500), 'large', NULL)) AS svg;
SELECT clock_timestamp() - :'began' < interval '10 seconds' AS in_a_moment;
\set VERBOSITY default
SELECT svg::xml IS DOCUMENT FROM workflow._draw_svg(workflow._picture(large(5000), 'large', NULL)) AS svg;
SELECT workflow._draw_svg(jsonb_build_object(
  'boxes', (SELECT jsonb_agg('{"kind": "event", "name": "X", "tip": "X"}'::jsonb) FROM generate_series(1, 500000)), 'arrows', '[]'::jsonb));
SELECT length(workflow._dot(large(5000), NULL)) > 500000, length(workflow._mermaid(large(5000), NULL)) > 300000;
SELECT clock_timestamp() - :'began' < interval '30 seconds' AS still_in_a_moment;

-- refusals
SELECT workflow.diagram('short', format => 'png');
\set VERBOSITY sqlstate
SELECT workflow.diagram('short', format => NULL);
SELECT workflow.diagram('nothing', format => 'svg');
SELECT workflow.diagram('short', 7, 'dot', true);
