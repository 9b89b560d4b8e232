--
-- Definition: a gate whose value nothing makes a number.  Such a value takes
-- "otherwise", so that has to be the careful way, or the value be checked.
--
CREATE EXTENSION pg_workflow;
CREATE SCHEMA app;
CREATE FUNCTION app.step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';

-- what is found of the gate, with other states and more of the document given
CREATE FUNCTION gate(more text, states text DEFAULT '"S": {"then": "next", "on": {"next": "G"}}',
                     value text DEFAULT '$.amount', small text DEFAULT 'PAY', large text DEFAULT 'ASK')
RETURNS TABLE (severity text, code text, path text, problem text, hint text)
LANGUAGE sql AS $$
  SELECT f.severity, f.code, f.path, f.problem, f.hint
  FROM workflow._document_faults(format('{"workflow": "w", "initial": "S", "owner": "me", %s
    "retry": {"default": {"max_attempts": 3, "timeout": "5 seconds"}},
    "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
    "states": {%s,
      "G": {"gate": {"value": %s, "tiers": [{"at_least": 1000, "event": "large"}, {"otherwise": "small"}]},
            "on": {"large": "%s", "small": "%s"}},
      "ASK": {"review": {"queue": "q", "decisions": ["yes", "no"], "on_overdue": "escalate"}, "on": {"yes": "PAY", "no": "END"}},
      "PAY": {"sql": {"function": "app.step", "queue": "q"}, "on": {"ok": "END"}},
      "FIX": {"exception": {"queue": "q"}, "on": {"replay": "AGAIN", "give_up": "END"}},
      "AGAIN": {"then": "resume", "on": {"resume": "@origin"}},
      "END": {"final": "done"}}, "any": {"on": {"error": "FIX"}}}',
    more, states, to_json(value), large, small)::json, current_user, '{}') AS f
  WHERE f.code = 'gate_unguarded' OR f.severity = 'error'
$$;

-- nothing says that the amount is there: what is missing would be paid unseen
SELECT * FROM gate('');

-- an input schema that requires it as a number does
SELECT count(*) FROM gate('"input_schema": {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number"}}},');
SELECT count(*) FROM gate('"input_schema": {"required": ["amount"], "properties": {"amount": {"type": ["number", "integer"], "minimum": 0}}},');
SELECT count(*) FROM gate('"input_schema": {"required": ["amount"], "properties": {"amount": {"enum": [1, 1000]}}},');
SELECT count(*) FROM gate('"input_schema": {"required": ["amount"], "properties": {"amount": {"const": 7}}},');
SELECT count(*) FROM gate('"input_schema": {"required": ["order"], "properties": {"order": {"type": "object", "required": ["the sum"], "properties": {"the sum": {"type": "integer"}}}}},',
                          value => '$.order."the sum"');
-- these do not: not required, not only numbers, perhaps no object
SELECT code FROM gate('"input_schema": {"type": "object", "properties": {"amount": {"type": "number"}}},');
SELECT code FROM gate('"input_schema": {"required": ["amount"], "properties": {"amount": {"type": ["number", "null"]}}},');
SELECT code FROM gate('"input_schema": {"required": ["amount"]},');
SELECT code FROM gate('"input_schema": {"required": ["order"], "properties": {"order": {"required": ["sum"], "properties": {"sum": {"type": "integer"}}}}},',
                      value => '$.order.sum');
SELECT code FROM gate('"input_schema": {"required": ["amount"], "properties": {"amount": {"enum": [1, "much"]}}},');
SELECT code FROM gate('"input_schema": true,');

-- nor when a state stores its result there, or a reviewer may change it, unless that is validated
\set schema '"input_schema": {"required": ["amount"], "properties": {"amount": {"type": "number"}}},'
SELECT code FROM gate(:'schema', '"S": {"sql": {"function": "app.step", "queue": "q"}, "as": "amount", "on": {"ok": "G"}}');
SELECT code FROM gate(:'schema', '"S": {"review": {"queue": "q", "decisions": ["go"], "editable": "$.amount", "on_overdue": "escalate"}, "on": {"go": "G"}}');
SELECT count(*) FROM gate('', '"S": {"sql": {"function": "app.step", "queue": "q"}, "as": "amount", "on": {"ok": "V"}},
  "V": {"validate": {"value": "$.amount", "schema": {"type": "number"}}, "on": {"valid": "G", "invalid": "FIX"}}');
SELECT count(*) FROM gate('', '"S": {"sql": {"function": "app.step", "queue": "q"}, "as": "m", "on": {"ok": "V"}},
  "V": {"validate": {"value": "$.m", "schema": {"type": "object", "required": ["score"], "properties": {"score": {"type": "number"}}}},
        "on": {"valid": "G", "invalid": "FIX"}}', value => '$.m.score');
-- a validation on another way, or left as invalid, is none
SELECT code FROM gate('', '"S": {"sql": {"function": "app.step", "queue": "q"}, "as": "amount", "on": {"ok": "V", "other": "G"}},
  "V": {"validate": {"value": "$.amount", "schema": {"type": "number"}}, "on": {"valid": "G", "invalid": "FIX"}}');
SELECT code FROM gate('', '"S": {"sql": {"function": "app.step", "queue": "q"}, "as": "amount", "on": {"ok": "V"}},
  "V": {"validate": {"value": "$.amount", "schema": {"type": "number"}}, "on": {"valid": "G", "invalid": "G"}}');

-- a selector that is no plain path is not judged to be covered
SELECT code FROM gate(:'schema', value => '$.amount.double()');

-- "otherwise" is the careful way, also through states that are decided at once
SELECT count(*) FROM gate('', small => 'ASK', large => 'PAY');
SELECT count(*) FROM gate('', '"S": {"then": "next", "on": {"next": "G"}}, "T": {"then": "x", "on": {"x": "FIX"}}', small => 'T', large => 'PAY');
SELECT count(*) FROM gate('', '"S": {"then": "next", "on": {"next": "G"}}, "OPEN": {"on": {"go": "PAY"}}', small => 'OPEN', large => 'PAY');
-- in shadow nothing but the shadow's event is raised, so that has to be the careful way
SELECT v.event, severity, path FROM (VALUES ('"on": {"large": "ASK", "small": "PAY"}', 'large'), ('"on": {"large": "ASK", "small": "PAY"}', 'small')) AS v (events, event),
  workflow._document_faults(format('{"workflow": "w", "initial": "G", "owner": "me", "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
    "states": {"G": {"gate": {"value": "$.amount", "tiers": [{"at_least": 1000, "event": "large"}, {"otherwise": "small"}],
                              "shadow": {"event": "%s"}}, %s},
      "ASK": {"review": {"queue": "q", "decisions": ["yes"], "on_overdue": "escalate"}, "on": {"yes": "PAY"}},
      "PAY": {"final": "paid"}}}', event, events)::json, current_user, '{}') WHERE code = 'gate_unguarded';
-- no way is careful: good to know, no more
SELECT severity, code FROM gate('', small => 'END', large => 'PAY');

-- at run time the decision says what the value was
SET client_min_messages = error;
SELECT version FROM workflow.define('{"workflow": "run", "initial": "G", "key": ["$.id"],
  "states": {"G": {"gate": {"value": "$.score", "tiers": [{"at_least": 1, "event": "high"}, {"otherwise": "low"}]},
                   "on": {"high": "END", "low": "END"}}, "END": {"final": "done"}}}');
SELECT count(workflow.submit('run', i)) FROM unnest(ARRAY['{"id": 1}', '{"id": 2, "score": null}', '{"id": 3, "score": "0.9"}',
  '{"id": 4, "score": {"a": 1}}', '{"id": 5, "score": 0.5}', '{"id": 6, "score": 2}', '{"id": 7, "score": [1]}', '{"id": 8, "score": true}']::jsonb[]) AS i;
SELECT item_id, value, problem, tier, t.reason
FROM workflow.gate_decision AS g JOIN workflow.transition AS t USING (item_id)
WHERE t.event IN ('low', 'high') ORDER BY item_id;

-- with the schema of the README's first workflow such a value does not come in
RESET client_min_messages;
SELECT version FROM workflow.define('{"workflow": "schema", "initial": "G", "key": ["$.id"],
  "input_schema": {"required": ["id", "amount"], "properties": {"id": {"type": "string"}, "amount": {"type": "number"}}},
  "states": {"G": {"gate": {"value": "$.amount", "tiers": [{"at_least": 1000, "event": "large"}, {"otherwise": "small"}]},
                   "on": {"large": "ASK", "small": "END"}}, "ASK": {"on": {"yes": "END"}}, "END": {"final": "done"}}}');
\set VERBOSITY sqlstate
SELECT * FROM workflow.submit('schema', '{"id": "I-3"}');
SELECT * FROM workflow.submit('schema', '{"id": "I-3", "amount": "9000"}');
SELECT state FROM workflow.submit('schema', '{"id": "I-3", "amount": 9000}');

-- a sample is for people: at once, after a preparation or an action, but not behind another gate or a failure only
RESET client_min_messages;
CREATE FUNCTION sampled(look text) RETURNS TABLE (severity text, path text, problem text, hint text) LANGUAGE sql AS $$
  SELECT f.severity, f.path, f.problem, f.hint
  FROM workflow._document_faults(format('{"workflow": "w", "initial": "G", "owner": "me",
    "retry": {"default": {"max_attempts": 3, "timeout": "5 seconds"}},
    "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
    "input_schema": {"required": ["amount"], "properties": {"amount": {"type": "number"}}},
    "states": {
      "G": {"gate": {"value": "$.amount", "tiers": [{"at_least": 1000, "event": "large"}, {"otherwise": "small", "sample": {"rate": 0.1, "event": "look"}}]},
            "on": {"large": "ASK", "small": "PAY", "look": "%s"}},
      "ASK": {"review": {"queue": "q", "decisions": ["yes", "no"], "on_overdue": "escalate"}, "on": {"yes": "PAY", "no": "END"}},
      "PREPARE": {"sql": {"function": "app.step", "queue": "q"}, "on": {"ok": "NOTE"}},
      "NOTE": {"then": "ok", "on": {"ok": "ASK"}},
      "CALL": {"task": {"queue": "q"}, "on": {"ok": "PAY"}},
      "OPEN": {"on": {"go": "PAY"}},
      "PAY": {"sql": {"function": "app.step", "queue": "q"}, "timeout": {"after": "1 day", "event": "timeout"}, "on": {"ok": "END", "timeout": "ASK"}},
      "H": {"gate": {"value": "$.amount", "tiers": [{"at_least": 1000, "event": "large"}, {"otherwise": "small"}]},
            "on": {"large": "ASK", "small": "ASK"}},
      "FIX": {"exception": {"queue": "q"}, "on": {"replay": "AGAIN", "give_up": "END"}},
      "AGAIN": {"then": "resume", "on": {"resume": "@origin"}},
      "END": {"final": "done"}}, "any": {"on": {"error": "FIX"}}}', look)::json, current_user, '{}') AS f
  WHERE f.code = 'sample_unseen' OR f.severity = 'error'
$$;
SELECT look, f.* FROM unnest('{ASK,PREPARE,CALL,OPEN,FIX,PAY,H,END}'::text[]) AS look LEFT JOIN sampled(look) AS f ON true;

-- what people decide says something of a tier if the tier says so, or if it is "approve"; one review of those that it leads to is enough
CREATE FUNCTION judged(tier text, decisions text, later text DEFAULT '["ok"]') RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(string_agg(f.severity || ' ' || f.path, ', ' ORDER BY f.path), 'fine')
  FROM workflow._document_faults(format('{"workflow": "w", "owner": "me", "initial": "G", "states": {
    "G": {"gate": {"value": "$.a", "tiers": [{"at_least": 5, "event": "go"}, {"otherwise": "ask"%s}]}, "on": {"go": "E", "ask": "R"}},
    "R": {"review": {"queue": "q", "decisions": %s, "on_overdue": "escalate"}, "on": {"yes": "E", "no": "S", "approve": "E", "error": "T"}},
    "S": {"review": {"queue": "q", "decisions": %s, "on_overdue": "escalate"}, "on": {"ok": "H", "approve": "H"}},
    "T": {"review": {"queue": "q", "decisions": ["approve"], "on_overdue": "escalate"}, "on": {"approve": "E"}},
    "H": {"gate": {"value": "$.a", "tiers": [{"at_least": 5, "event": "go"}, {"otherwise": "ask"}]}, "on": {"go": "E", "ask": "T"}},
    "E": {"final": "x"}}, "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}}}', tier, decisions, later)::json, current_user, '{}') AS f
  WHERE f.code = 'gate_unjudged'
$$;
SELECT t.tier, t.decisions, t.later, judged(t.tier, t.decisions, t.later) FROM (VALUES
  ('', '["yes", "no"]', '["ok"]'), ('', '["approve", "no"]', '["ok"]'), ('', '["yes", "no"]', '["approve"]'), (', "agrees": ["yes"]', '["yes", "no"]', '["ok"]'),
  (', "agrees": ["approve"]', '["yes", "no"]', '["ok"]'), (', "overrules": ["no"]', '["yes", "no"]', '["ok"]'), (', "overrules": []', '["yes", "no"]', '["ok"]'),
  (', "agrees": []', '["yes", "no"]', '["ok"]')) AS t (tier, decisions, later);
