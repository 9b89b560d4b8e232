--
-- Definition: the launch check, a block for each code that does not belong to
-- the shape of a document.
--
CREATE EXTENSION pg_workflow;
CREATE SCHEMA app;
CREATE FUNCTION app.step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example', dedup 'key');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.example', dedup 'pure');
CREATE SERVER fax FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://fax.example', dedup 'none', owner 'front desk');

-- what is found in a document whose states (and some more) are given; no_key has
-- its block in item_identity
CREATE FUNCTION findings(states text, more text DEFAULT '"key": ["$.id"]')
RETURNS TABLE (severity text, code text, path text, problem text, hint text)
LANGUAGE sql AS $$
  SELECT f.severity, f.code, f.path, f.problem, f.hint
  FROM workflow._document_faults(format('{"workflow": "w", "initial": "S", "owner": "me", %s,
    "retry": {"default": {"max_attempts": 3, "timeout": "5 seconds"}},
    "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
    "states": {%s, "STUCK": {"exception": {"queue": "q"}, "on": {"replay": "AGAIN", "give_up": "END"}},
               "AGAIN": {"then": "resume", "on": {"resume": "@origin"}},
               "END": {"final": "done"}}, "any": {"on": {"error": "STUCK"}}}', more, states)::json, current_user, '{}') AS f
  WHERE f.code <> 'no_key'
$$;

-- a sound flow has nothing to report
SELECT * FROM findings('"S": {"sql": {"function": "app.step", "queue": "q"}, "on": {"ok": "END"}}');

-- literal_key: a key that says nothing of the item makes one item of all cases
SELECT * FROM findings('"S": {"on": {"go": "END"}}', '"key": ["id"]');
SELECT * FROM findings('"S": {"on": {"go": "END"}}', '"key": "the id"');
SELECT count(*) FROM findings('"S": {"on": {"go": "END"}}', '"key": "case {$.id}"');
SELECT * FROM workflow.define('{"workflow": "literal", "initial": "S", "key": ["id"], "states": {"S": {"final": "x"}}}');

-- the same of an action; a literal beside a selector is right
SELECT * FROM findings('"S": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/x", "key": ["update"]}, "on": {"ok": "END"}}');
SELECT * FROM findings('"S": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/x", "key": ["update", "$.id"]}, "on": {"ok": "END"}}');

-- volatile_key: an attempt, a clock or a random part
SELECT * FROM findings('"S": {"on": {"go": "END"}}', '"key": ["$.id", "$.attempt", "{$.run.sent_at}", "$.\"now\""]');
SELECT * FROM findings('"S": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/x", "key": ["$.id", "$.nonce"]}, "on": {"ok": "END"}}');
SELECT count(*) FROM findings('"S": {"on": {"go": "END"}}', '"key": ["$.attempted", "$.knowhow", "$.country", "now"]');

-- missing_endpoint, endpoint_refused: endpoints are often made later
SELECT * FROM findings('"S": {"http": {"endpoint": "mail", "queue": "q", "method": "GET", "path": "/x", "key": ["$.id"]}, "on": {"ok": "END"}}');
SELECT * FROM findings('"S": {"http": {"endpoint": "crn", "queue": "q", "method": "GET", "path": "/x", "key": ["$.id"]}, "on": {"ok": "END"}}');
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER other;
SELECT * FROM findings('"S": {"http": {"endpoint": "elsewhere", "queue": "q", "method": "GET", "path": "/x", "key": ["$.id"]}, "on": {"ok": "END"}}');
CREATE ROLE regress_definer;
SELECT f.severity, f.code, f.path, f.problem, f.hint FROM workflow._document_faults('{"workflow": "w", "initial": "S", "owner": "me",
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"S": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/x", "key": ["$.id"]},
                   "timeout": "1 hour", "on": {"ok": "END", "error": "END", "timeout": "END"}}, "END": {"final": "x"}}}',
  'regress_definer', '{}') AS f;

-- and so the check finds an endpoint that is gone since; the definition stands
SELECT version FROM workflow.define('{"workflow": "calls", "initial": "S", "owner": "me", "key": ["$.id"],
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"S": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/x", "key": ["$.id"], "retry": {"max_attempts": 2, "timeout": "1 second"}},
                   "on": {"ok": "END", "error": "END"}}, "END": {"final": "x"}}}');
SELECT * FROM workflow.check('calls');
DROP SERVER crm;
SELECT * FROM workflow.check('calls');
-- at run time the item says so, and takes its "error"
SET client_min_messages = error;
SELECT state FROM workflow.submit('calls', '{"id": 1}');
RESET client_min_messages;
SELECT t.event, t.reason, t.data ->> 'error_class' AS class FROM workflow.transition AS t ORDER BY t.seq;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example', dedup 'key');

-- held_for_person, no_revert: what is good to know of an action
SELECT * FROM findings('"S": {"http": {"endpoint": "fax", "queue": "q", "method": "POST", "path": "/x", "key": ["$.id"]}, "on": {"ok": "END"}}');
ALTER SERVER fax OPTIONS (ADD lookup_path '/sent/{key}', ADD lookup_found '$.status == 200');
SELECT * FROM findings('"S": {"http": {"endpoint": "fax", "queue": "q", "method": "POST", "path": "/x", "key": ["$.id"]}, "on": {"ok": "END"}}');
SELECT * FROM findings('"S": {"http": {"endpoint": "crm", "queue": "q", "method": "POST", "path": "/x", "key": ["$.id"],
  "revert": {"method": "DELETE", "path": "/x"}}, "on": {"ok": "END"}}');

-- not_pure: a model call may be repeated, so its endpoint has to say that it may
SELECT * FROM findings('"S": {"model": {"endpoint": "crm", "queue": "q", "path": "/x", "body": {}}, "as": "m", "on": {"ok": "V"}},
  "V": {"validate": {"value": "$.m", "schema": {"type": "object"}}, "on": {"valid": "END", "invalid": "STUCK"}}');

-- unchecked_model: its output is used as it is
SELECT * FROM findings('"S": {"model": {"endpoint": "llm", "queue": "q", "path": "/x", "body": {}}, "as": "m", "on": {"ok": "END"}}');
SELECT * FROM findings('"S": {"model": {"endpoint": "llm", "queue": "q", "path": "/x", "body": {}}, "as": "m", "on": {"ok": "V"}},
  "V": {"validate": {"value": "$.other", "schema": {"type": "object"}}, "on": {"valid": "END", "invalid": "STUCK"}}');
SELECT count(*) FROM findings('"S": {"model": {"endpoint": "llm", "queue": "q", "path": "/x", "body": {}}, "as": "m", "on": {"ok": "V"}},
  "V": {"validate": {"value": "$.m.body", "schema": {"type": "object"}}, "on": {"valid": "END", "invalid": "STUCK"}}');

-- unhandled_error: the item stays, its job is a dead letter; no_timeout: how long may it take?
SELECT f.severity, f.code, f.path, f.problem, f.hint FROM workflow._document_faults('{"workflow": "w", "initial": "S", "owner": "me",
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}, "leased": {"sla": "1 hour", "escalate_to": ["boss"], "lease": "1 minute"}},
  "states": {"S": {"task": {"queue": "q"}, "on": {"ok": "T"}},
             "T": {"task": {"queue": "leased"}, "timeout": "1 day", "on": {"ok": "U", "timeout": "END"}},
             "U": {"task": {"queue": "leased"}, "on": {"ok": "V", "error": "END"}},
             "V": {"on": {"go": "END"}}, "END": {"final": "x"}}}', current_user, '{}') AS f;

-- no_final, dead_end, unreachable_state: where can an item go?
SELECT * FROM findings('"S": {"wait": {"for": "1 day"}, "on": {"ok": "T", "error": "T"}}, "T": {"on": {"go": "S", "error": "S"}}');
SELECT severity, code, path, problem, hint FROM workflow._document_faults('{"workflow": "w", "initial": "S", "owner": "me",
  "states": {"S": {"on": {"go": "T"}, "timeout": "1 h"}, "T": {}, "U": {"final": "x", "on": {"go": "S"}}}}', current_user, '{}');

-- misspelled_event: near to one that the engine raises and that is not handled
SELECT * FROM findings('"S": {"wait": {"for": "1 day"}, "on": {"okay": "END", "ok": "END", "errror": "END"}}');
SELECT * FROM findings('"S": {"task": {"queue": "q"}, "on": {"okay": "END"}}');
SELECT * FROM findings('"S": {"task": {"queue": "q"}, "timeout": "1 hour", "on": {"ok": "END", "time_out": "END"}}');
SELECT * FROM findings('"S": {"review": {"queue": "q", "decisions": ["approve"], "on_overdue": "escalate"}, "on": {"aprove": "END"}}');
SELECT count(*) FROM findings('"S": {"task": {"queue": "q"}, "on": {"ok": "END", "shipped": "END", "cancelled": "END"}}');
-- what is decided at once takes no event from outside: never_raised
SELECT * FROM findings('"S": {"then": "next", "on": {"next": "END", "nxt": "END"}}');
SELECT * FROM findings('"S": {"task": {"queue": "q"}, "on": {"ok": "END", "timeout": "END", "overdue": "END"}}');

-- retry_without_cap, useless_retry, long_retry
SELECT f.severity, f.code, f.path, f.problem, f.hint FROM workflow._document_faults('{"workflow": "w", "initial": "S", "owner": "me",
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"S": {"task": {"queue": "q", "retry": {"timeout": "1 second"}}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "x"}}}', current_user, '{}') AS f;
SELECT * FROM findings('"S": {"task": {"queue": "q", "retry": {"retry_on": ["timeout", "validation", "poison"]}}, "on": {"ok": "END"}}');
SELECT * FROM findings('"S": {"task": {"queue": "q", "retry": {"max_attempts": 20, "timeout": "10 minutes"}}, "on": {"ok": "END"}}');
SELECT * FROM findings('"S": {"task": {"queue": "q", "retry": {"max_attempts": 2000000, "backoff": {"factor": 2000}}}, "on": {"ok": "END"}}');

-- the timeout of an endpoint counts, and short times are told in seconds
CREATE SERVER quick FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://quick.example', dedup 'pure', timeout '10s');
SELECT f.severity, f.code, f.path, f.problem, f.hint FROM workflow._document_faults('{"workflow": "w", "initial": "S", "owner": "me", "key": ["$.id"],
  "retry": {"default": {"max_attempts": 3, "backoff": {"initial": "1 second", "max": "1 second"}}},
  "queues": {"brief": {"sla": "20 seconds", "escalate_to": ["boss"]}},
  "states": {"S": {"model": {"endpoint": "quick", "queue": "brief", "path": "/x", "body": {}, "schema": {"type": "object"}}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "x"}}}',
  current_user, '{}') AS f;

-- default_owner, default_overdue: what nobody said
SELECT f.severity, f.code, f.path, replace(f.problem, current_user, 'ME') AS problem, f.hint FROM workflow._document_faults('{"workflow": "w", "initial": "S",
  "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {"S": {"review": {"queue": "q", "decisions": ["yes"]}, "on": {"yes": "END"}}, "END": {"final": "x"}}}', current_user, '{}') AS f;

-- a queue without owner, SLA or escalation is refused
SELECT f.severity, f.code, f.path, f.problem FROM workflow._document_faults('{"workflow": "w", "initial": "S", "owner": "me",
  "queues": {"q": {"owner": "", "escalate_to": []}}, "states": {"S": {"final": "x"}}}', current_user, '{}') AS f;

-- a refused document names its warnings after its errors
SELECT * FROM workflow.define('{"workflow": "w", "initial": "S", "owner": "me", "key": ["$.attempt"],
  "states": {"S": {"on": {"go": "ENDE"}}, "T": {"final": "x"}, "END": {"final": "x"}}}');
SELECT * FROM workflow.define('{"workflow": "w", "initial": "S", "owner": "me", "key": ["$.attempt"],
  "states": {"S": {"on": {}}, "T": {"final": "x"}}}');

DROP ROLE regress_definer;
