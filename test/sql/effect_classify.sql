--
-- What an exchange says about an effect: phase first, code second.
--
CREATE EXTENSION pg_workflow;

-- nothing was sent: libcurl's code decides between trying again and asking a person
SELECT c.code, r.evidence, r.action, r.error_class, r.is_charged
FROM unnest(ARRAY[1, 2, 3, 5, 6, 7, 27, 28, 35, 42, 43, 58, 60, 77, 98]) AS c (code),
     workflow._classify('not_sent', c.code, 0, 'none') AS r;

-- an address or scheme that the policy refuses is a person's to allow
SELECT r.* FROM workflow._classify('not_sent', 7, 0, 'key', 'unknown', 'guard') AS r;

-- sent, and no status: not known, unless repeating changes nothing
SELECT d.dedup, c.code, r.evidence, r.action, r.error_class
FROM unnest(ARRAY['key', 'natural', 'pure', 'none']) AS d (dedup),
     unnest(ARRAY[28, 42, 52, 56]) AS c (code),
     workflow._classify('sent', c.code, 0, d.dedup) AS r;

-- statuses that mean the same everywhere
SELECT s.status, r.evidence, r.action, r.error_class, r.is_charged, r.substate
FROM unnest(ARRAY[200, 201, 202, 204, 301, 308, 400, 401, 402, 403, 404, 405, 410, 412, 413, 421, 423, 425, 429,
                  501, 507, 511, 529]) AS s (status),
     workflow._classify('answered', 0, s.status, 'none') AS r;

-- statuses that depend on how the endpoint treats a second copy
SELECT s.status, d.dedup, r.evidence, r.action, r.error_class, r.is_charged, r.substate
FROM unnest(ARRAY[408, 409, 422, 500, 502, 503, 504, 524]) AS s (status),
     unnest(ARRAY['key', 'natural', 'pure', 'none']) AS d (dedup),
     workflow._classify('answered', 0, s.status, d.dedup) AS r
ORDER BY s.status, array_position(ARRAY['key', 'natural', 'pure', 'none'], d.dedup);

-- a receiver that replays its 500 gives the same answer for ever
SELECT o.on_5xx, r.evidence, r.action, r.error_class
FROM unnest(ARRAY['unknown', 'reexecuted', 'replayed']) AS o (on_5xx),
     workflow._classify('answered', 0, 500, 'key', o.on_5xx) AS r;

-- 403 with a time to wait is a rate limit
SELECT r.* FROM workflow._classify('answered', 0, 403, 'key', 'unknown', 'retry_after') AS r;

-- a success whose body broke off was applied all the same; a pure one is asked again
SELECT d.dedup, f.flags, c.code, r.evidence, r.action, r.error_class, r.substate
FROM unnest(ARRAY['key', 'none', 'pure']) AS d (dedup),
     (VALUES ('', 18), ('truncated', 23)) AS c (flags, code),
     LATERAL (SELECT c.flags) AS f,
     workflow._classify('answered', c.code, 200, d.dedup, 'unknown', c.flags) AS r;

-- the read before an action changes nothing, whatever the endpoint
SELECT p.phase, p.status, r.evidence, r.action, r.error_class
FROM (VALUES ('sent', 0), ('answered', 500), ('answered', 409)) AS p (phase, status),
     workflow._classify(p.phase, 0, p.status, 'none', 'unknown', 'before') AS r;

-- with a lookup an unknown outcome is looked up where it could not be sent again
SELECT d.dedup, o.on_5xx, r.evidence, r.action, r.error_class
FROM (VALUES ('key'), ('natural'), ('pure'), ('none')) AS d (dedup), (VALUES ('unknown'), ('replayed')) AS o (on_5xx),
     workflow._classify('answered', 0, 500, d.dedup, o.on_5xx, 'lookup') AS r
ORDER BY array_position(ARRAY['key', 'natural', 'pure', 'none'], d.dedup), o.on_5xx;
