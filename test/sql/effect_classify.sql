--
-- What an exchange says about an effect: phase first, code second.
--
CREATE EXTENSION pg_workflow;

-- nothing was sent: libcurl's code decides between trying again and asking a person
SELECT c.code, r.evidence, r.action, r.error_class, r.is_charged
FROM unnest(ARRAY[1, 2, 3, 4, 5, 6, 7, 27, 28, 35, 42, 43, 47, 48, 49, 53, 54, 58, 59, 60, 66, 67, 77, 82, 83, 90, 91, 94, 98]) AS c (code),
     workflow._classify('not_sent', c.code, 0, 'none') AS r;

-- an address or scheme that the policy refuses is a person's to allow
SELECT r.* FROM workflow._classify('not_sent', 7, 0, 'key', 'unknown', 'guard') AS r;

-- sent, and no status: not known, unless repeating changes nothing
SELECT d.dedup, c.code, r.evidence, r.action, r.error_class
FROM unnest(ARRAY['key', 'natural', 'pure', 'none']) AS d (dedup),
     unnest(ARRAY[8, 16, 28, 42, 52, 55, 56, 65, 92, 95, 96]) AS c (code),
     workflow._classify('sent', c.code, 0, d.dedup) AS r
ORDER BY array_position(ARRAY['key', 'natural', 'pure', 'none'], d.dedup), c.code;

-- statuses that mean the same everywhere
SELECT s.status, r.evidence, r.action, r.error_class, r.is_charged, r.substate
FROM unnest(ARRAY[200, 201, 202, 204, 301, 308, 400, 401, 402, 403, 404, 405, 406, 410, 411, 412, 413, 414, 415, 416, 417,
                  421, 423, 424, 425, 426, 428, 429, 431, 451, 501, 505, 506, 507, 508, 510, 511, 529]) AS s (status),
     workflow._classify('answered', 0, s.status, 'none') AS r;

-- statuses that depend on how the endpoint treats a second copy
SELECT s.status, d.dedup, r.evidence, r.action, r.error_class, r.is_charged, r.substate
FROM unnest(ARRAY[408, 409, 422, 500, 502, 503, 504, 520, 521, 524, 598, 599]) AS s (status),
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
     (VALUES ('', 18), ('', 61), ('truncated', 23), ('truncated', 63)) AS c (flags, code),
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

-- an answer that was given before will be given again
SELECT s.status, r.evidence, r.action, r.error_class
FROM unnest(ARRAY[500, 502, 503]) AS s (status), workflow._classify('answered', 0, s.status, 'key', 'reexecuted', 'replayed') AS r;

-- 429 is a matter of time, or of money
SELECT f.flags, r.* FROM unnest(ARRAY['', 'retry_after', 'quota', 'quota retry_after']) AS f (flags),
     workflow._classify('answered', 0, 429, 'none', 'unknown', f.flags) AS r;

-- a code in the body says that the key is known with another request, whatever the status says elsewhere
SELECT d.dedup, s.status, r.* FROM unnest(ARRAY['key', 'none']) AS d (dedup), unnest(ARRAY[400, 409]) AS s (status),
     workflow._classify('answered', 0, s.status, d.dedup, 'unknown', 'mismatch') AS r;

-- statuses that an endpoint declares as answered before any work (a CDN that did not reach it)
SELECT s.status, r.evidence, r.action, r.error_class
FROM unnest(ARRAY[503, 520, 521, 522, 523, 524, 525, 526]) AS s (status),
     workflow._classify('answered', 0, s.status, 'none', 'unknown', 'cdn') AS r;

-- a receiver that says whether to try again is obeyed, but not where that could do it twice
SELECT f.flags, s.status, d.dedup, r.evidence, r.action, r.error_class
FROM unnest(ARRAY['should_retry', 'should_not_retry']) WITH ORDINALITY AS f (flags, place),
     unnest(ARRAY[200, 400, 401, 409, 429, 500, 503]) AS s (status), unnest(ARRAY['key', 'pure', 'none']) AS d (dedup),
     workflow._classify('answered', 0, s.status, d.dedup, 'unknown', f.flags) AS r
ORDER BY f.place, s.status, d.dedup;

-- 202 is a success, or the beginning of one
SELECT f.flags, r.* FROM unnest(ARRAY['', 'open lookup']) AS f (flags),
     workflow._classify('answered', 0, 202, 'key', 'unknown', f.flags) AS r;
