--
-- diagram: the pictures of documents, as Mermaid, as DOT and as SVG.
--
-- All three are written from what _diagram_states() and _diagram_arrows() say;
-- the layout of the SVG is made in C (src/definition/diagram.h).
--

-- -------------------------------------------------------------------- parts

-- The boxes of a picture: the states of a document in its order, then what
-- stands for other states.  An id is a name that Mermaid takes; said is the
-- second line; a tone is the colour of an outcome; heat is how strongly a state
-- is coloured, from 0 to 9: twice as many items are one step more.
CREATE FUNCTION workflow._diagram_states(
  document json, counts jsonb,
  OUT state text, OUT id text, OUT kind text, OUT said text, OUT outcome text, OUT tone text, OUT tip text,
  OUT items bigint, OUT items_text text, OUT heat int, OUT ordinal bigint)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH state AS (
    SELECT e.key AS state, e.ordinality AS ordinal, e.value AS own, coalesce(a.value, e.value) AS body
    FROM json_each(document -> 'states') WITH ORDINALITY AS e
    LEFT JOIN json_each(document -> 'activities') AS a ON a.key = e.value ->> 'activity'
  ),
  known AS (
    SELECT s.*, coalesce((SELECT k.key FROM json_each(s.body) AS k
                          WHERE k.key IN ('sql', 'http', 'model', 'task', 'review', 'exception', 'wait', 'spawn',
                                          'gate', 'validate', 'then', 'final')
                          ORDER BY k.key LIMIT 1), 'event') AS kind
    FROM state AS s
  ),
  target AS (
    SELECT o.value AS state
    FROM (SELECT s.own -> 'on' AS events FROM state AS s UNION ALL SELECT document #> '{any,on}') AS e,
         json_each_text(e.events) AS o
  ),
  box AS (
    SELECT k.state, 's' || k.ordinal AS other_id, k.kind,
           coalesce(k.own ->> 'activity', k.body #>> '{sql,function}', k.body #>> '{http,endpoint}',
                    k.body #>> '{model,endpoint}', k.body #>> '{spawn,workflow}', k.body #>> '{wait,for}',
                    k.body #>> '{wait,until}', k.body ->> 'final',
                    CASE WHEN json_typeof(k.body -> k.kind) = 'object' THEN k.body #>> ARRAY[k.kind, 'queue'] END) AS detail,
           k.body ->> 'final' AS outcome, k.own ->> 'description' AS description, (counts ->> k.state)::bigint AS items, k.ordinal
    FROM known AS k
    UNION ALL
    SELECT 'CANCELLED', NULL, 'final', 'cancelled', 'cancelled', NULL, NULL, 1000000
    WHERE EXISTS (SELECT FROM target AS t WHERE t.state = 'CANCELLED')
      AND NOT EXISTS (SELECT FROM state AS s WHERE s.state = 'CANCELLED')
    UNION ALL
    SELECT 'any other state', 'any_state', 'any', NULL, NULL, NULL, NULL, 1000001
    WHERE EXISTS (SELECT FROM json_each(document #> '{any,on}'))
    UNION ALL
    SELECT 'where it came from', 'origin', 'origin', NULL, NULL, NULL, NULL, 1000002
    WHERE EXISTS (SELECT FROM target AS t WHERE t.state = '@origin')
  ),
  told AS (
    SELECT b.*, CASE WHEN b.kind NOT IN ('event', 'then', 'any', 'origin') THEN b.kind || coalesce(' ' || b.detail, '') END AS said,
           b.items || CASE b.items WHEN 1 THEN ' item' ELSE ' items' END AS items_text
    FROM box AS b
  )
  SELECT t.state,
         CASE WHEN t.state ~ '^[A-Za-z][A-Za-z0-9_]*$'
                   AND lower(t.state) NOT IN ('state', 'end', 'note', 'as', 'direction', 'class', 'classdef',
                                              'style', 'fork', 'join', 'choice', 'default', 'any_state', 'origin')
              THEN t.state ELSE t.other_id END,
         t.kind, t.said, t.outcome,
         CASE WHEN t.outcome ~* '^(success|succeeded|ok|done|completed?|approved|accepted|paid|shipped)$' THEN 'success'
              WHEN t.outcome ~* '^(fail|error|broken|dead)' THEN 'failure'
              WHEN t.outcome ~* '^(cancel|reject|refuse|abort|stop|declin|expire|withdraw)' THEN 'stopped'
              ELSE 'other' END,
         concat_ws(' - ', t.state, t.said, t.description, t.items_text),
         t.items, t.items_text, CASE WHEN t.items > 0 THEN least(9, 1 + floor(log(2, t.items)))::int ELSE 0 END, t.ordinal
  FROM told AS t
$$;
COMMENT ON FUNCTION workflow._diagram_states(json, jsonb) IS
  'Inner: the states of a document as a diagram shows them, and what stands for others';

-- The arrows of a picture, one for each event, in the order of the document.
CREATE FUNCTION workflow._diagram_arrows(
  document json, OUT from_id text, OUT to_id text, OUT event text, OUT ordinal bigint, OUT place bigint)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH box AS (SELECT * FROM workflow._diagram_states(document, NULL)),
  target AS (
    SELECT b.state, b.id FROM box AS b WHERE b.kind NOT IN ('any', 'origin')
    UNION ALL SELECT '@origin', 'origin'
  )
  SELECT b.id, t.id, o.key, b.ordinal, o.ordinality
  FROM json_each(document -> 'states') WITH ORDINALITY AS e
  JOIN box AS b ON b.ordinal = e.ordinality,
  LATERAL json_each_text(e.value -> 'on') WITH ORDINALITY AS o
  JOIN target AS t ON t.state = o.value
  UNION ALL
  SELECT 'any_state', t.id, o.key, 1000001, o.ordinality
  FROM json_each_text(document #> '{any,on}') WITH ORDINALITY AS o JOIN target AS t ON t.state = o.value
$$;
COMMENT ON FUNCTION workflow._diagram_arrows(json) IS
  'Inner: the transitions of a document as a diagram shows them';

-- How many live items of a version stand in each state; the view comes later.
CREATE FUNCTION workflow._live_counts(name text, version int) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_object_agg(f.state, f.items), '{}') FROM workflow._state_figures AS f
          WHERE f.workflow = name AND f.version = _live_counts.version AND f.outcome IS NULL AND f.items <> 0);
END
$$;
COMMENT ON FUNCTION workflow._live_counts(text, int) IS
  'Inner: how many items of a version that have not ended stand in each state';

-- ------------------------------------------------------------------- Mermaid

CREATE FUNCTION workflow._mermaid_label(label text) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_mermaid_label';
COMMENT ON FUNCTION workflow._mermaid_label(text) IS
  'Inner: a text that can stand as a label in a Mermaid diagram';

-- The lines of a Mermaid state diagram, in the order of the document.
CREATE FUNCTION workflow._mermaid(document json, counts jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH box AS (SELECT * FROM workflow._diagram_states(document, counts)),
  line AS (
    SELECT 0 AS part, 0::bigint AS ordinal, 0::bigint AS place, 'stateDiagram-v2' AS text
    UNION ALL
    SELECT 1, h.heat, 0, format('    classDef live%s fill:#f59f00%s', h.heat, to_hex(28 * h.heat))
    FROM (SELECT DISTINCT b.heat FROM box AS b WHERE b.heat > 0) AS h
    UNION ALL
    SELECT 2, b.ordinal, 0, format('    state "%s" as %s', workflow._mermaid_label(b.state), b.id)
    FROM box AS b WHERE b.id <> b.state
    UNION ALL
    SELECT 3, b.ordinal, 0, format('    %s : %s', b.id, workflow._mermaid_label(b.said)) FROM box AS b WHERE b.said IS NOT NULL
    UNION ALL
    SELECT 3, b.ordinal, 1, format('    %s : %s', b.id, b.items_text) FROM box AS b WHERE b.items > 0
    UNION ALL
    SELECT 4, 0, 0, '    [*] --> ' || b.id FROM box AS b WHERE b.state = (SELECT document ->> 'initial') AND b.kind NOT IN ('any', 'origin')
    UNION ALL
    SELECT 5, a.ordinal, a.place, format('    %s --> %s : %s', a.from_id, a.to_id, workflow._mermaid_label(a.event))
    FROM workflow._diagram_arrows(document) AS a
    UNION ALL
    SELECT 6, b.ordinal, 0, format('    %s --> [*]', b.id) FROM box AS b WHERE b.kind = 'final'
    UNION ALL
    SELECT 7, b.ordinal, 0, format('    class %s live%s', b.id, b.heat) FROM box AS b WHERE b.heat > 0
  )
  SELECT string_agg(l.text, E'\n' ORDER BY l.part, l.ordinal, l.place) || E'\n' FROM line AS l
$$;
COMMENT ON FUNCTION workflow._mermaid(json, jsonb) IS
  'Inner: the state diagram of a document as Mermaid text';

-- ----------------------------------------------------------------------- DOT

CREATE FUNCTION workflow._dot_text(label text) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_dot_text';
COMMENT ON FUNCTION workflow._dot_text(text) IS
  'Inner: a text that can stand between the quotes of DOT';

-- A graph in DOT; several events between two states are one edge.
CREATE FUNCTION workflow._dot(document json, counts jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH look (kind, shape, style, line, fill) AS (VALUES
    ('sql',       'cylinder',      'filled',         '#3d78c4', '#e3eefc'),
    ('http',      'parallelogram', 'filled',         '#3d78c4', '#e3eefc'),
    ('model',     'component',     'filled',         '#3d78c4', '#e3eefc'),
    ('task',      'box',           'filled',         '#3d78c4', '#e3eefc'),
    ('spawn',     'box3d',         'filled',         '#3d78c4', '#e3eefc'),
    ('review',    'invtrapezium',  'filled',         '#bf8a15', '#fdf0d2'),
    ('gate',      'diamond',       'filled',         '#7a5bc4', '#ece6fa'),
    ('validate',  'diamond',       'filled',         '#7a5bc4', '#ece6fa'),
    ('then',      'box',           'filled,rounded', '#8a939c', '#f1f3f5'),
    ('wait',      'ellipse',       'filled',         '#2c8f90', '#dff3f3'),
    ('event',     'box',           'filled,rounded', '#2c8f90', '#dff3f3'),
    ('exception', 'octagon',       'filled',         '#cc5a28', '#fde6dc'),
    ('any',       'ellipse',       'dashed',         '#8a939c', '#ffffff'),
    ('origin',    'ellipse',       'dashed',         '#8a939c', '#ffffff'),
    ('success',   'ellipse',       'filled',         '#2f9350', '#dcf3e2'),
    ('failure',   'ellipse',       'filled',         '#c53a48', '#fbdfe1'),
    ('stopped',   'ellipse',       'filled',         '#6c757d', '#eceef0'),
    ('other',     'ellipse',       'filled',         '#5a6b94', '#e6ebf5')
  ),
  box AS (
    SELECT b.*, 'n' || row_number() OVER (ORDER BY b.ordinal) AS node,
           CASE WHEN b.heat > 0 THEN '#f59f00' || lpad(to_hex(28 * b.heat), 2, '0') END AS live_fill
    FROM workflow._diagram_states(document, counts) AS b
  ),
  line AS (
    SELECT 0 AS part, 0::bigint AS ordinal, 0::bigint AS place, format($dot$digraph "%s" {
    graph [rankdir=TB, fontname="sans-serif"]
    node [fontname="sans-serif", fontsize=11]
    edge [fontname="sans-serif", fontsize=10]
    start [shape=point, width=0.12, label=""]$dot$, workflow._dot_text(document ->> 'workflow')) AS text
    UNION ALL
    SELECT 1, b.ordinal, 0, format('    %s [label="%s", tooltip="%s", shape=%s, style="%s", color="%s", fillcolor="%s"%s]', b.node,
             concat_ws('\n', workflow._dot_text(b.state), workflow._dot_text(b.said), CASE WHEN b.items > 0 THEN b.items_text END),
             workflow._dot_text(b.tip), l.shape, l.style, l.line, coalesce(b.live_fill, l.fill),
             CASE WHEN b.kind = 'final' THEN ', peripheries=2' ELSE '' END)
    FROM box AS b JOIN look AS l ON l.kind = CASE WHEN b.kind = 'final' THEN b.tone ELSE b.kind END
    UNION ALL
    SELECT 2, 0, 0, '    start -> ' || b.node FROM box AS b WHERE b.state = (SELECT document ->> 'initial') AND b.kind NOT IN ('any', 'origin')
    UNION ALL
    SELECT 3, min(a.ordinal), min(a.place), format('    %s -> %s [label="%s"%s]', f.node, t.node,
             workflow._dot_text(string_agg(a.event, ', ' ORDER BY a.place)),
             CASE WHEN a.from_id = 'any_state' THEN ', style=dashed' ELSE '' END)
    FROM workflow._diagram_arrows(document) AS a JOIN box AS f ON f.id = a.from_id JOIN box AS t ON t.id = a.to_id
    GROUP BY a.from_id, f.node, t.node
    UNION ALL
    SELECT 4, 0, 0, '}'
  )
  SELECT string_agg(l.text, E'\n' ORDER BY l.part, l.ordinal, l.place) || E'\n' FROM line AS l
$$;
COMMENT ON FUNCTION workflow._dot(json, jsonb) IS
  'Inner: the graph of a document in the language of Graphviz';

-- ----------------------------------------------------------------------- SVG

CREATE FUNCTION workflow._draw_svg(picture jsonb) RETURNS text
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME', 'wf_draw_svg';
COMMENT ON FUNCTION workflow._draw_svg(jsonb) IS
  'Inner: lays out boxes and arrows and writes them as SVG';

-- The picture of a document as _draw_svg() takes it; several events between
-- two states are one arrow.
CREATE FUNCTION workflow._picture(document json, title text, counts jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
  WITH box AS (
    SELECT b.*, row_number() OVER (ORDER BY b.ordinal) - 1 AS place
    FROM (SELECT * FROM workflow._diagram_states(document, counts)
          UNION ALL SELECT 'start', '', 'start', NULL, NULL, 'other', 'start', NULL, NULL, 0, 0) AS b
  ),
  initial AS (SELECT b.* FROM box AS b WHERE b.state = (SELECT document ->> 'initial') AND b.kind NOT IN ('any', 'origin', 'start')),
  arrow AS (
    SELECT 0 AS from_place, i.place AS to_place, '[]'::jsonb AS events, i.state || ' is where items start' AS tip, 0::bigint AS ordinal, 0::bigint AS place
    FROM initial AS i
    UNION ALL
    SELECT f.place, t.place, jsonb_agg(a.event ORDER BY a.place),
           format('%s --%s--> %s', f.state, string_agg(a.event, ', ' ORDER BY a.place), t.state), min(a.ordinal), min(a.place)
    FROM workflow._diagram_arrows(document) AS a JOIN box AS f ON f.id = a.from_id JOIN box AS t ON t.id = a.to_id
    GROUP BY f.place, f.state, t.place, t.state
  )
  SELECT jsonb_build_object(
    'title', title, 'description', document ->> 'description', 'initial', (SELECT i.place FROM initial AS i),
    'boxes', (SELECT jsonb_agg(jsonb_build_object(
                'kind', b.kind, 'name', b.state, 'detail', CASE b.kind WHEN 'final' THEN b.outcome ELSE b.said END,
                'tone', b.tone, 'tip', b.tip, 'heat', b.heat,
                'badge', CASE WHEN b.items > 0 AND b.items < 10000 THEN b.items::text
                              WHEN b.items < 1000000 THEN nullif(b.items / 1000, 0) || 'k'
                              ELSE b.items / 1000000 || 'M' END) ORDER BY b.place) FROM box AS b),
    'arrows', (SELECT jsonb_agg(jsonb_build_object('from', a.from_place, 'to', a.to_place, 'events', a.events, 'tip', a.tip)
                                ORDER BY a.ordinal, a.place) FROM arrow AS a))
$$;
COMMENT ON FUNCTION workflow._picture(json, text, jsonb) IS
  'Inner: the boxes and arrows of a document, for _draw_svg()';

-- -------------------------------------------------------------------- public

CREATE FUNCTION workflow.diagram(
  name text, version int DEFAULT NULL, format text DEFAULT 'mermaid', live boolean DEFAULT false) RETURNS text
LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke';
COMMENT ON FUNCTION workflow.diagram(text, int, text, boolean) IS
  'The picture of a version of a workflow, by default the latest, as mermaid, dot or svg; live shows how many items stand where';

CREATE FUNCTION workflow._draw(document json, title text, format text, counts jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM workflow._require_given(format IS NOT NULL, 'format');
  IF format NOT IN ('mermaid', 'dot', 'svg') THEN
    RAISE EXCEPTION 'diagram format "%" is not supported', format
      USING ERRCODE = 'feature_not_supported',
            DETAIL = 'Diagrams are written as mermaid, dot or svg.',
            HINT = 'Write format => ''svg'', or leave it out for mermaid.';
  END IF;
  RETURN CASE format
    WHEN 'mermaid' THEN workflow._mermaid(document, counts)
    WHEN 'dot' THEN workflow._dot(document, counts)
    ELSE workflow._draw_svg(workflow._picture(document, title, counts))
  END;
END
$$;
COMMENT ON FUNCTION workflow._draw(json, text, text, jsonb) IS
  'Inner: the picture of a document in a format';

CREATE FUNCTION workflow._diagram(caller text, name text, version int, format text, live boolean) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  stored workflow.definition := workflow._definition(name, version);
BEGIN
  RETURN workflow._draw(stored.document, pg_catalog.format('%s, version %s', name, stored.version), format,
                        CASE WHEN live THEN workflow._live_counts(name, stored.version) END);
END
$$;
COMMENT ON FUNCTION workflow._diagram(text, text, int, text, boolean) IS
  'Inner: workflow.diagram()';
