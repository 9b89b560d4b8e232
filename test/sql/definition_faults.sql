--
-- Definition: every fault of a document is listed at once, with its path.
--
CREATE EXTENSION pg_workflow;

-- the faults of a document, or of a part of one put into an empty frame
CREATE FUNCTION faults(document json) RETURNS TABLE (severity text, code text, path text, problem text, hint text)
LANGUAGE sql AS $$
  SELECT f.severity, f.code, f.path, f.problem, f.hint
  FROM workflow._document_faults(document, current_user, '{}') AS f
  WHERE f.severity <> 'notice'
$$;
CREATE FUNCTION state_faults(state text) RETURNS TABLE (code text, path text, problem text, hint text)
LANGUAGE sql AS $$
  SELECT f.code, f.path, f.problem, f.hint
  FROM faults(format('{"workflow": "w", "initial": "S", "queues": {"q": {"sla": "1 h", "escalate_to": ["x"]}},
                       "states": {"S": %s, "END": {"final": "done"}},
                       "any": {"on": {"ok": "END", "valid": "END", "timeout": "END", "error": "END"}}}', state)::json) AS f
$$;

-- one error names them all
SELECT * FROM workflow.define('{
  "workflow": "broken", "initial": "STRT", "qeues": {}, "owner": 7,
  "queues": {"q": {"sla": "soon", "escalate_to": []}, "r": {"owner": "me"}},
  "retry": {"default": {"retry_on": ["timeouts"], "backoff": {"jitter": "some", "factor": 0.5}, "timeout": "-1 s"}},
  "states": {
    "START": {"sql": {"function": "nothing.here", "queue": "p"}, "task": {"queue": "q"}, "on": {"ok": "ENDE"}},
    "END": {"final": "done", "on": {"again": "START"}},
    "END": {"final": "twice"}
  },
  "any": {"on": {"error": 1}, "off": {}}
}');

-- nothing was stored
SELECT count(*) FROM workflow.workflow;

-- the frame
SELECT * FROM faults('[]');
SELECT * FROM faults('{}');
SELECT * FROM faults('{"workflow": "a:b", "initial": "A", "states": {}}');
SELECT * FROM faults('{"workflow": "7", "initial": "A", "states": {"A": {"final": "x"}, "@b": {"final": "y"}, "CANCELLED": {}}}');
SELECT * FROM faults('{"workflow": "w", "initial": "A", "key": [], "input_schema": {"oneOf": []}, "states": {"A": 1}}');
SELECT * FROM faults('{"workflow": "w", "work\u0066low": "v", "initial": "A", "states": {"A": {"final": "x", "a b": [{"k": 1, "k": 2}]}}}');

-- activities
SELECT * FROM state_faults('{"http": {}}');
SELECT * FROM state_faults('{"http": {"endpoint": "", "queue": "q", "method": "patch", "path": "x/../{$.a", "key": ["$.a["],
  "headers": {"a b": "x", "c": 1}, "before": {"method": "GET"}, "external_id": "id", "retry": "patient", "body": {"a": ["$.b."]}}}');
-- a method is a token of HTTP that call() takes, and no misspelled one
SELECT m, path, problem, hint FROM unnest('{POTS,DELTE,CONNECT,PRI,purge,-,VERSION-CONTROL,PURGE,OPTIONS}'::text[]) AS m
LEFT JOIN LATERAL state_faults(format('{"http": {"endpoint": "e", "queue": "q", "method": "%s", "path": "/a", "key": ["$.a"], "body": {}}}', m)) AS f ON path LIKE '%.method';
SELECT m FROM unnest('{ACL,BASELINE-CONTROL,BIND,CHECKIN,CHECKOUT,COPY,LABEL,LINK,LOCK,MERGE,MKACTIVITY,MKCALENDAR,MKCOL,MKREDIRECTREF,MKWORKSPACE,MOVE,ORDERPATCH,PROPFIND,PROPPATCH,QUERY,REBIND,REPORT,SEARCH,UNBIND,UNCHECKOUT,UNLINK,UNLOCK,UPDATE,UPDATEREDIRECTREF,VERSION-CONTROL}'::text[]) AS m
JOIN LATERAL state_faults(format('{"http": {"endpoint": "e", "queue": "q", "method": "%s", "path": "/a", "key": ["$.a"], "body": {}}}', m)) AS f ON path LIKE '%.method';
SELECT * FROM state_faults('{"http": {"endpoint": "e", "queue": "q", "method": "POST", "path": "/a", "key": ["$.a"],
  "body": "text", "content_type": "application/x-www-form-urlencoded",
  "revert": {"method": "POST", "path": "/a", "body": ["$.a"], "content_type": "multipart/form-data"}}}');
SELECT * FROM state_faults('{"http": {"endpoint": "e", "queue": "q", "method": "POST", "path": "/a", "key": ["$.a"],
  "body": "$.fields", "content_type": "multipart/form-data; boundary=x", "revert": {"method": "POST", "path": "/a", "content_type": "text"}}}');
SELECT * FROM state_faults('{"model": {"endpoint": "llm", "queue": "qq", "path": "/v1", "output": "content"}}');
SELECT * FROM state_faults('{"task": {}}');
SELECT * FROM state_faults('{"task": {"queue": "q", "payload": {"a": "$.b..", "c": ["{$.d}"]}}}');
SELECT * FROM state_faults('{"wait": {}}');
SELECT * FROM state_faults('{"wait": {"for": "a while", "until": "some day"}}');
SELECT * FROM state_faults('{"wait": {"until": "2030-01-31 09:00+00"}}');
SELECT * FROM state_faults('{"exception": {"queue": "q", "retry": {}}}');
SELECT * FROM state_faults('{"review": {"queue": "q", "decisions": ["ok", "reject"], "reason_required": ["rejct"], "on_overdue": "approve"}}');
SELECT * FROM state_faults('{"review": {"queue": "q", "decisions": ["ok"], "show": [], "editable": "all", "four_eyes": "yes"}}');
SELECT * FROM state_faults('{"review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "sla": "1 hour", "warn": "60 minutes"}}');
SELECT * FROM state_faults('{"review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "warn": "10 years"}}');
SELECT * FROM state_faults('{"review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "sla": "soon", "warn": "10 years"}}');
SELECT * FROM state_faults('{"activity": "none"}');
SELECT * FROM state_faults('{"sql": {"function": "pg_catalog.now", "queue": "q"}}');
SELECT * FROM state_faults('{"sql": {"function": "a.b.c", "queue": "q"}}');
CREATE FUNCTION pg_temp.step(bigint, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $2';
SELECT code, path, replace(problem, nspname, 'TEMP') AS problem, hint FROM pg_namespace, state_faults(format('{"sql": {"function": "%s.step", "queue": "q"}}', nspname))
WHERE pg_namespace.oid = pg_my_temp_schema();
SELECT * FROM state_faults('{"then": {}}');
SELECT * FROM state_faults('{"then": "go", "as": "x", "timeout": "1 minute"}');
SELECT * FROM state_faults('{"then": {}}');
SELECT * FROM state_faults('{"timeout": {"event": "late"}}');
SELECT * FROM state_faults('{"timeout": {"after": "1 minute", "event": "late"}}');
SELECT * FROM state_faults('{"validate": {"value": "x", "schema": {"type": "objekt", "allOf": []}}}');

-- gates: no hole, no overlap, every event handled
SELECT * FROM state_faults('{"gate": {"value": "$.c", "tiers": []}}');
SELECT * FROM state_faults('{"gate": {"value": "$.c", "tiers": [{"at_least": 0.5, "event": "ok"}, {"at_least": 0.9, "event": "ok"},
  {"otherwise": "ok"}, {"at_least": 0.1, "event": "low"}]}}');

-- cycles that never wait; one that returns to its origin from an exception does wait
SELECT * FROM faults('{"workflow": "w", "initial": "A", "states": {
  "A": {"then": "x", "on": {"x": "B"}}, "B": {"gate": {"value": "$.v", "tiers": [{"otherwise": "y"}]}, "on": {"y": "C"}},
  "C": {"then": "z", "on": {"z": "A"}}}, "any": {"on": {"stop": "CANCELLED"}}}');
SELECT * FROM faults('{"workflow": "w", "initial": "A", "states": {"A": {"then": "x", "on": {"x": "A"}}},
  "any": {"on": {"stop": "CANCELLED"}}}');
SELECT * FROM faults('{"workflow": "w", "initial": "G", "queues": {"q": {"sla": "1 h", "escalate_to": ["x"]}}, "states": {
  "G": {"gate": {"value": "$.v", "tiers": [{"at_least": 1, "event": "up"}, {"otherwise": "down"}]}, "on": {"up": "R", "down": "E"}},
  "E": {"exception": {"queue": "q"}, "on": {"replay": "R"}}, "R": {"then": "resume", "on": {"resume": "@origin"}}},
  "any": {"on": {"stop": "CANCELLED"}}}');
SELECT * FROM faults('{"workflow": "w", "initial": "G", "queues": {"q": {"sla": "1 h", "escalate_to": ["x"]}}, "states": {
  "G": {"gate": {"value": "$.v", "tiers": [{"otherwise": "down"}]}, "on": {"down": "E"}},
  "E": {"exception": {"queue": "q"}, "on": {"replay": "R"}}, "R": {"then": "resume", "on": {"resume": "@origin"}}},
  "any": {"on": {"stop": "CANCELLED"}}}');

-- a fault is listed, and nothing else happens, whatever stands where something else should
CREATE FUNCTION spoiled(document jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$
  WITH RECURSIVE place (path, value) AS (
    SELECT '{}'::text[], document
    UNION ALL
    SELECT p.path || m.key, m.value
    FROM place AS p, LATERAL (
      SELECT e.key, e.value FROM jsonb_each(CASE WHEN jsonb_typeof(p.value) = 'object' THEN p.value ELSE '{}' END) AS e
      UNION ALL
      SELECT (a.ordinality - 1)::text, a.value
      FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p.value) = 'array' THEN p.value ELSE '[]' END) WITH ORDINALITY AS a) AS m)
  SELECT jsonb_set(document, p.path, v) FROM place AS p, jsonb_array_elements('[null, 5, "", "$.a", {}, ["$.a", 7, null], true]') AS v
  WHERE p.path <> '{}'
  UNION ALL
  SELECT document #- p.path FROM place AS p WHERE p.path <> '{}'
$$;
\set flow `cat "$PWD/test/include/crm_enrichment.json"`
SELECT count(*) > 1000 AS many, bool_and(f.lines) AS without_an_accident
FROM spoiled(:'flow') AS s, LATERAL (SELECT count(*) >= 0 AS lines FROM workflow._document_faults(s::json, current_user, '{}')) AS f;

-- policies have a cap; a named one may have that of the default
SELECT * FROM faults('{"workflow": "w", "initial": "A", "states": {"A": {"final": "x"}},
  "retry": {"a": {"max_attempts": 3}, "b": {"timeout": "1 s"}, "c": {"max_attempts": 0}}}');
SELECT * FROM faults('{"workflow": "w", "initial": "A", "states": {"A": {"final": "x"}},
  "retry": {"default": {"max_attempts": 3}, "b": {"timeout": "1 s"}}}');
