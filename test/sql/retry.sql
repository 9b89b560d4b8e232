--
-- Retry: what a failed attempt leads to, row by row.
--
\set SHOW_CONTEXT never
CREATE EXTENSION pg_workflow;

-- without jitter the backoff doubles up to its maximum; the last attempt ends it
SELECT attempt, d.*
FROM generate_series(1, 6) AS attempt,
     LATERAL workflow._retry_decide('{"max_attempts": 6, "backoff": {"initial": "1 second", "factor": 3, "max": "20 seconds", "jitter": "none"}}',
                                    attempt, 'timeout', NULL, 0.5) AS d;

-- full jitter spreads the delay from nothing to the backoff
SELECT random01, d.delay
FROM unnest('{0, 0.25, 0.5, 0.999}'::float8[]) AS random01,
     LATERAL workflow._retry_decide(NULL, 4, 'connection', NULL, random01) AS d;

-- a policy that does not say retries what repeating can mend
SELECT class, d.retry, d.charged
FROM unnest('{timeout, connection, rate_limited, overloaded, deadlock, serialization, unavailable, validation, schema,
              refused, truncated, unauthorized, not_found, conflict, permanent, unknown_outcome, poison}'::text[])
       WITH ORDINALITY AS c (class, n),
     LATERAL workflow._retry_decide('{}', 1, class, NULL, 0) AS d
ORDER BY n;

-- a policy that says so retries only that, and never what time cannot mend
SELECT class, d.retry
FROM unnest('{timeout, validation, unauthorized, unknown_outcome, poison}'::text[]) WITH ORDINALITY AS c (class, n),
     LATERAL workflow._retry_decide('{"retry_on": ["validation", "unauthorized", "unknown_outcome", "poison"]}',
                                    1, class, NULL, 0) AS d
ORDER BY n;

-- what the other side asks for is the least delay of the classes that listen to it
SELECT class, asked, d.delay
FROM unnest('{rate_limited, overloaded, unavailable, timeout}'::text[]) WITH ORDINALITY AS c (class, n),
     unnest('{0 s, 1 minute}'::interval[]) AS asked,
     LATERAL workflow._retry_decide('{"backoff": {"jitter": "none"}}', 3, class, asked, 0) AS d
ORDER BY n, asked;

-- a rate limit is never charged, so it never spends the attempts
SELECT d.*
FROM workflow._retry_decide('{"max_attempts": 2, "backoff": {"jitter": "none"}}', 2, 'rate_limited', '1 minute', 0) AS d;
SELECT d.*
FROM workflow._retry_decide('{"max_attempts": 2, "backoff": {"jitter": "none"}}', 2, 'overloaded', '1 minute', 0) AS d;

-- many attempts do not overflow
SELECT d.delay FROM workflow._retry_decide('{"max_attempts": 100000, "backoff": {"jitter": "none"}}', 99999, 'timeout', NULL, 0) AS d;

-- classes of SQLSTATEs
SELECT code, workflow._classify_sqlstate(code) AS class
FROM unnest('{40P01, 40001, 57014, 55P03, 08006, 53300, 57P01, 58030, 42501, 28P01, 22P02, 23505, 23514, P0001, P0002,
              42P01, XX000, WF001, WF005, WF007, WF009, WF010, WF011, WF012}'::text[]) WITH ORDINALITY AS c (code, n)
ORDER BY n;

-- what a function raises to be tried again, with the default policy
SELECT code, workflow._classify_sqlstate(code) AS class,
       (workflow._retry_decide('{}', 1, workflow._classify_sqlstate(code), NULL, 0)).retry
FROM unnest('{40P01, 40001, 40003, 57014, 55P03, 25P03, 25P04, 08006, 53000, 57P03, 58030, 55006, WF008, WF009,
              P0001, P0002, P0004, 55000, 42P01, 0A000, XX000, WF006}'::text[]) WITH ORDINALITY AS c (code, n)
ORDER BY n;

-- refusals say what was wrong and what is right
SELECT * FROM workflow._retry_decide('{}', 1, 'oops', NULL, 0);
SELECT * FROM workflow._retry_decide('{"retry_on": ["timeout", "flaky"]}', 1, 'timeout', NULL, 0);
SELECT * FROM workflow._retry_decide('[]', 1, 'timeout', NULL, 0);
\set VERBOSITY sqlstate
SELECT * FROM workflow._retry_decide('{"max_attempts": 0}', 1, 'timeout', NULL, 0);
SELECT * FROM workflow._retry_decide('{"max_attempts": 1.5}', 1, 'timeout', NULL, 0);
SELECT * FROM workflow._retry_decide('{"timeout": "-1 s"}', 1, 'timeout', NULL, 0);
SELECT * FROM workflow._retry_decide('{"timeout": 5}', 1, 'timeout', NULL, 0);
SELECT * FROM workflow._retry_decide('{"backoff": {"factor": 0.5}}', 1, 'timeout', NULL, 0);
SELECT * FROM workflow._retry_decide('{"backoff": {"jitter": "some"}}', 1, 'timeout', NULL, 0);
SELECT * FROM workflow._retry_decide('{"backoff": []}', 1, 'timeout', NULL, 0);
SELECT * FROM workflow._retry_decide('{"retry_on": "timeout"}', 1, 'timeout', NULL, 0);
SELECT workflow._check_retry_policy('{"attempts": 3}');
SELECT workflow._check_retry_policy('{"backoff": {"first": "1 s"}}');
SELECT workflow._classify_sqlstate('4000');
