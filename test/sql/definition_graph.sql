--
-- Definition: what the engine reads out of a document.
--
CREATE EXTENSION pg_workflow;
CREATE SERVER e FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://e.example', dedup 'key');
SELECT * FROM workflow.define('{
  "workflow": "graph", "initial": "START", "owner": "ops",
  "retry": {"default": {"max_attempts": 4, "backoff": {"initial": "1 second", "factor": 2}},
            "patient": {"timeout": "1 minute", "backoff": {"initial": "1 minute"}}},
  "queues": {"work":  {"owner": "workers", "sla": "1 hour", "escalate_to": ["boss"]},
             "upset": {"sla": "1 day", "escalate_to": ["boss"]}},
  "activities": {"stamp": {"task": {"queue": "work", "retry": "patient"}, "as": "stamped", "timeout": "1 day"}},
  "states": {
    "START": {"activity": "stamp", "on": {"ok": "SECOND"}},
    "SECOND": {"activity": "stamp", "as": "again", "timeout": {"after": "90 seconds", "event": "late"},
               "on": {"ok": "NAP", "late": "TROUBLE"}},
    "NAP": {"wait": {"for": "1 hour"}, "on": {"ok": "Asking", "error": "END"}},
    "Asking": {"timeout": "2 minutes", "on": {"answer": "POST", "timeout": "TROUBLE"}},
    "POST": {"http": {"endpoint": "e", "queue": "work", "method": "POST", "path": "/x", "key": ["$.id"],
                      "retry": {"max_attempts": 9, "dead_letter": "work", "owner": "me"}}, "on": {"ok": "CHECK"}},
    "CHECK": {"validate": {"value": "$.post", "schema": true}, "on": {"valid": "END", "invalid": "TROUBLE"}},
    "TROUBLE": {"exception": {"queue": "upset"}, "on": {"replay": "AGAIN"}},
    "AGAIN": {"then": "resume", "on": {"resume": "@origin"}},
    "END": {"final": "done"}
  },
  "any": {"on": {"error": "TROUBLE", "stop": "CANCELLED", "timeout": "TROUBLE"}}
}');

-- kinds, queues, where results go, deadlines; CANCELLED is in every graph
SELECT state, kind, queue, result_key, outcome, timeout_us / 1000000 AS timeout_s, timeout_event
FROM workflow._graph_states('graph', 1);

-- an activity's policy is laid over the default; owner and dead letters have defaults
SELECT state, jsonb_pretty(retry) AS retry FROM workflow._graph_states('graph', 1)
WHERE state IN ('START', 'POST') ORDER BY state;

-- "any" adds to every state that is not final what the state does not handle itself
SELECT state, event, to_state, from_any FROM workflow._graph_transitions('graph', 1);

-- what may still come: also through @origin, which is where trouble began
SELECT state, event, workflow._event_possible_later('graph', 1, state, event)
FROM (VALUES ('START', 'answer'), ('POST', 'answer'), ('POST', 'late'), ('TROUBLE', 'late'),
             ('AGAIN', 'resume'), ('END', 'answer'), ('START', 'never'), ('NO SUCH STATE', 'ok')) AS t (state, event);

-- without any policy in the document the queue's own counts
SELECT * FROM workflow.define('{"workflow": "plain", "initial": "A",
  "states": {"A": {"task": {"queue": "work"}, "on": {"ok": "B", "error": "B"}}, "B": {"final": "done"}}}');
SELECT state, retry FROM workflow._graph_states('plain', 1);

-- a CANCELLED of one's own is kept
SELECT * FROM workflow.define('{"workflow": "own", "initial": "A",
  "states": {"A": {"on": {"cancel": "CANCELLED"}}, "CANCELLED": {"final": "withdrawn"}}}');
SELECT state, outcome FROM workflow._graph_states('own', 1);
