--
-- Definition: every code of the launch check, one broken document each: a sound
-- one with one thing wrong, of which exactly one row is said.
-- tools/check_codes sees to it that no code is missing here.
--
CREATE EXTENSION pg_workflow;
CREATE SCHEMA app;
CREATE FUNCTION app.step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT data';
CREATE FUNCTION app.stable_step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS
  'BEGIN INSERT INTO app.note VALUES (item_id); RETURN data; END';
CREATE FUNCTION app.reader(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS
  'BEGIN RETURN jsonb_build_object(''updated_at'', data -> ''insert''); END';
CREATE FUNCTION app.sorting_step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF data ? 'email' THEN RETURN '{"event": "mail"}'; END IF;
  RETURN jsonb_build_object('event', 'other', 'events', 0);
END $$;
CREATE FUNCTION app.deletes(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS 'BEGIN DELETE FROM app.note; RETURN data; END';
CREATE FUNCTION app.merges(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS 'BEGIN MERGE INTO app.note USING app.note AS n ON true WHEN MATCHED THEN DO NOTHING; RETURN data; END';
CREATE FUNCTION app.updates(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS 'BEGIN UPDATE app.note AS n SET id = 1; RETURN data; END';
CREATE ROLE regress_owner;
GRANT ALL ON SCHEMA app TO regress_owner;
CREATE FUNCTION app.own_step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS 'SELECT data';
CREATE FUNCTION app.trusted_step(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS 'SELECT data';
ALTER FUNCTION app.trusted_step OWNER TO regress_owner;
CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example', dedup 'key');
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://llm.example', dedup 'pure');
CREATE SERVER fax FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://fax.example', dedup 'none', owner 'front desk');
CREATE SERVER plain FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://plain.example', dedup 'key');
CREATE SERVER open FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'http://open.example', dedup 'key', allow_http 'true');
CREATE SERVER slow FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://slow.example', dedup 'key', timeout '5 seconds');
-- the validator of endpoints refuses one that nobody can be asked about; an
-- administrator can take it off
ALTER FOREIGN DATA WRAPPER workflow_http NO VALIDATOR;
CREATE SERVER telex FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://telex.example', dedup 'none');
ALTER FOREIGN DATA WRAPPER workflow_http VALIDATOR workflow.endpoint_validator;
SET client_min_messages = error;
SELECT version FROM workflow.define('{"workflow": "child", "owner": "me", "key": ["$.id"], "initial": "S", "states": {"S": {"final": "done"}}}');
SELECT version FROM workflow.define('{"workflow": "bygone", "owner": "me", "key": ["$.id"], "initial": "S", "states": {"S": {"final": "done"}}}');
SELECT workflow.retire('bygone', 1);
RESET client_min_messages;
SELECT FROM workflow.create_queue('taken', owner => 'others', sla => '1 hour', escalate_to => ARRAY['boss']);

-- a document is the sound one, over which another is laid, deep; null takes a
-- member away
CREATE FUNCTION laid_over(below jsonb, above jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT CASE WHEN jsonb_typeof(below) = 'object' AND jsonb_typeof(above) = 'object' THEN
    (SELECT coalesce(jsonb_object_agg(key, CASE WHEN b.value IS NULL OR a.value IS NULL THEN coalesce(a.value, b.value)
                                                ELSE laid_over(b.value, a.value) END), '{}')
     FROM jsonb_each(below) AS b FULL JOIN jsonb_each(above) AS a USING (key)
     WHERE a.value IS DISTINCT FROM 'null')
  ELSE above END
$$;
CREATE FUNCTION with_this(part text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT laid_over('{"workflow": "w", "owner": "me", "initial": "S", "key": ["$.id"],
    "input_schema": {"type": "object", "required": ["id"], "properties": {"id": {}, "email": {}, "amount": {"type": "number"}}},
    "retry": {"default": {"max_attempts": 3, "timeout": "5 seconds"}},
    "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}},
    "states": {"S": {"task": {"queue": "q"}, "on": {"ok": "T"}},
               "T": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/{$.id}", "key": ["$.id", "read"]}, "on": {"ok": "END"}},
               "STUCK": {"exception": {"queue": "q"}, "on": {"replay": "AGAIN", "give_up": "END"}},
               "AGAIN": {"then": "resume", "on": {"resume": "@origin"}},
               "END": {"final": "done"}},
    "any": {"on": {"error": "STUCK"}}}', part::jsonb)
$$;

CREATE TABLE broken (id int GENERATED ALWAYS AS IDENTITY, severity text, code text, path text, part text, document json);
COPY broken (severity, code, path, part) FROM stdin (DELIMITER '|');
error|unknown_key|$.qeues|{"qeues": {}}
error|missing_key|$|{"initial": null}
error|wrong_type|$.owner|{"owner": 7}
error|empty|$.owner|{"owner": ""}
error|empty|$.queues.q.owner|{"queues": {"q": {"owner": ""}}}
error|empty|$.states.STUCK.exception.queue|{"states": {"STUCK": {"exception": {"queue": ""}}}}
error|bad_name|$.workflow|{"workflow": "a:b"}
error|bad_value|$.retry.default.backoff.jitter|{"retry": {"default": {"backoff": {"jitter": "some"}}}}
error|bad_number|$.queues.q.max_running|{"queues": {"q": {"max_running": 0}}}
error|bad_interval|$.states.S.timeout|{"states": {"S": {"timeout": "soon", "on": {"timeout": "END"}}}}
error|bad_time|$.states.S.wait.until|{"states": {"S": {"task": null, "wait": {"until": "some day"}}}}
error|bad_path|$.states.T.http.path|{"states": {"T": {"http": {"path": "x"}}}}
error|bad_header|$.states.T.http.headers["a b"]|{"states": {"T": {"http": {"headers": {"a b": "c"}}}}}
error|bad_selector|$.states.T.http.external_id|{"states": {"T": {"http": {"external_id": "id"}}}}
error|bad_schema|$.input_schema.oneOf|{"input_schema": {"oneOf": []}}
error|bad_wait|$.states.S.wait|{"states": {"S": {"task": null, "wait": {}}}}
error|unknown_state|$.states.T.on.ok|{"states": {"T": {"on": {"ok": "ENDE"}}}}
error|unknown_queue|$.states.S.task.queue|{"states": {"S": {"task": {"queue": "takne"}}}}
error|unknown_policy|$.states.S.task.retry|{"states": {"S": {"task": {"retry": "defautl"}}}}
error|unknown_class|$.retry.default.retry_on[0]|{"retry": {"default": {"retry_on": ["timeouts"]}}}
error|unknown_activity|$.states.S.activity|{"states": {"S": {"task": null, "activity": "act"}}, "activities": {"acts": {"task": {"queue": "q"}}}}
error|unknown_decision|$.states.S.review.reason_required[0]|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "reason_required": ["okay"], "on_overdue": "escalate"}}}}
error|unknown_decision|$.states.S.review.approvals|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "approvals": 2}}}}
error|unknown_decision|$.states.S.review.approvals.okay|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "approvals": {"okay": 2}}}}}
error|bad_number|$.states.S.review.approvals.ok|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "approvals": {"ok": 0}}}}}
error|unknown_decision|$.states.S.review.reasons.okay|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "reasons": {"okay": ["late"]}}}}}
error|empty|$.states.S.review.reasons.ok|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "reasons": {"ok": []}}}}}
error|bad_value|$.states.S.review.reasons.ok[1]|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "reasons": {"ok": ["late", "a: b"]}}}}}
error|bad_schema|$.states.S.review.schema.oneOf|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "editable": "$.amount", "schema": {"oneOf": []}}}}}
error|missing_key|$.states.S.review|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "schema": {}}}}}
error|bad_interval|$.states.S.review.claim_for|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "claim_for": "a while"}}}}
error|bad_selector|$.states.S.review.current|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "current": "amount"}}}}
error|bad_function|$.states.S.sql.function|{"states": {"S": {"task": null, "sql": {"function": "app.stp", "queue": "q"}}}}
error|several_activities|$.states.S|{"states": {"S": {"then": "ok"}}}
error|final_with_exits|$.states.END.on|{"states": {"END": {"on": {"again": "S"}}}}
error|final_with_exits|$.states.END.task|{"states": {"END": {"task": {"queue": "q"}}}}
error|stores_nothing|$.states.AGAIN.as|{"states": {"AGAIN": {"as": "x"}}}
error|never_waits|$.states.AGAIN.timeout|{"states": {"AGAIN": {"timeout": "1 s", "on": {"timeout": "END"}}}}
error|dead_end|$.states.P|{"states": {"S": {"on": {"park": "P", "error": "STUCK"}}, "T": {"on": {"error": "STUCK"}}, "P": {}}, "any": null}
error|no_final|$.states.P|{"states": {"S": {"on": {"park": "P", "error": "STUCK"}}, "T": {"on": {"error": "STUCK"}}, "P": {"wait": {"for": "1 day"}, "on": {"ok": "P"}}}, "any": null}
error|instant_cycle|$.states.P|{"states": {"S": {"on": {"park": "P"}}, "P": {"then": "next", "on": {"next": "P", "error": "END"}}}}
error|unhandled_event|$.states.T|{"states": {"T": {"on": {"ok": null, "go": "END"}}}}
error|gate_hole|$.states.S.gate.tiers|{"states": {"S": {"task": null, "gate": {"value": "$.amount", "tiers": [{"at_least": 1, "event": "ok"}]}}}}
error|gate_overlap|$.states.S.gate.tiers[1]|{"input_schema": {"required": ["id", "amount"]}, "states": {"S": {"task": null, "gate": {"value": "$.amount", "tiers": [{"at_least": 1, "event": "ok"}, {"at_least": 2, "event": "ok"}, {"otherwise": "ok"}]}}}}
error|literal_key|$.key|{"key": ["id"]}
error|effect_without_key|$.states.T.http|{"states": {"T": {"http": {"key": null}}}}
error|nobody_to_ask|$.states.T.http.endpoint|{"states": {"T": {"http": {"endpoint": "telex"}}}}
error|unwatched_queue|$.queues.q|{"queues": {"q": {"sla": null}}}
error|unwatched_queue|$.queues.q|{"queues": {"q": {"escalate_to": null}}}
error|queue_conflict|$.queues.taken|{"queues": {"taken": {"sla": "2 hours", "escalate_to": ["me"]}}}
error|retry_without_cap|$.retry.default|{"retry": {"default": {"max_attempts": null}}}
warning|unreachable_state|$.states.P|{"states": {"P": {"final": "parked"}}}
warning|unhandled_event|$.states.S|{"states": {"S": {"task": null, "sql": {"function": "app.step", "queue": "q"}, "on": {"ok": null, "go": "T"}}}}
warning|unhandled_event|$.states.S.sql.function|{"states": {"S": {"task": null, "sql": {"function": "app.sorting_step", "queue": "q"}, "on": {"mail": "T"}}}}
warning|unhandled_error|$.states.S|{"states": {"S": {"on": {"fail": "STUCK"}}, "T": {"on": {"error": "STUCK"}}}, "any": null}
warning|misspelled_event|$.states.S.on.okay|{"states": {"S": {"on": {"ok": null, "okay": "T"}}}}
warning|never_raised|$.states.AGAIN.on.stop|{"states": {"AGAIN": {"on": {"stop": "END"}}}}
warning|nothing_to_compensate|$.states.S.on.compensated|{"states": {"S": {"on": {"compensated": "END"}}}}
notice|never_raised|$.states.S.on.timeout|{"states": {"S": {"on": {"timeout": "END"}}}}
notice|unused|$.any.on.stop|{"any": {"on": {"stop": "END"}}, "states": {"S": {"on": {"stop": "END"}}, "T": {"on": {"stop": "END"}}, "STUCK": {"on": {"stop": "END", "replay": "S"}}, "AGAIN": null}}
notice|unused|$.activities.act|{"activities": {"act": {"task": {"queue": "q"}}}}
notice|unused|$.retry.patient|{"retry": {"patient": {"max_attempts": 9}}}
warning|unset_selector|$.states.T.http.body.to|{"states": {"T": {"http": {"method": "GET", "body": {"to": "$.emial"}}}}}
warning|unset_selector|$.states.S.task.payload|{"states": {"S": {"task": {"payload": "at {$.answer.place}"}}, "T": {"as": "answer"}}}
warning|unset_selector|$.states.S.task.payload|{"input_schema": {"additionalProperties": false}, "states": {"S": {"task": {"payload": "$.street"}}}}
warning|unset_selector|$.states.S.gate.shadow.value|{"states": {"S": {"task": null, "gate": {"value": "$.amount", "tiers": [{"otherwise": "ok"}], "shadow": {"value": "$.amuont"}}}}}
warning|unset_selector|$.key[1]|{"key": ["$.id", "$.emails"]}
warning|gate_unguarded|$.states.S.gate.value|{"states": {"S": {"task": null, "gate": {"value": "$.limit", "tiers": [{"at_least": 5, "event": "high"}, {"otherwise": "ok"}]}, "on": {"high": "STUCK"}}}}
notice|gate_unguarded|$.states.S.gate.value|{"states": {"S": {"task": null, "gate": {"value": "$.limit", "tiers": [{"at_least": 5, "event": "high"}, {"otherwise": "ok"}]}, "on": {"high": "END"}}}}
warning|sample_unseen|$.states.S.gate.tiers[0].sample.event|{"input_schema": {"required": ["id", "amount"], "properties": {"amount": {"type": "number"}}}, "states": {"S": {"task": null, "gate": {"value": "$.amount", "tiers": [{"at_least": 1, "event": "ok", "sample": {"rate": 0.1, "event": "look"}}, {"otherwise": "low"}]}, "on": {"low": "STUCK", "look": "END"}}}}
warning|gate_unjudged|$.states.S.gate.tiers[0]|{"input_schema": {"required": ["id", "amount"], "properties": {"amount": {"type": "number"}}}, "states": {"S": {"task": null, "gate": {"value": "$.amount", "tiers": [{"at_least": 1, "event": "ok", "sample": {"rate": 0.1, "event": "look"}}, {"otherwise": "low"}]}, "on": {"low": "STUCK", "look": "R"}}, "R": {"review": {"queue": "q", "decisions": ["yes", "no"], "on_overdue": "escalate"}, "on": {"yes": "T", "no": "STUCK"}}}}
notice|gate_unjudged|$.states.S.gate.tiers[0]|{"input_schema": {"required": ["id", "amount"], "properties": {"amount": {"type": "number"}}}, "states": {"S": {"task": null, "gate": {"value": "$.amount", "tiers": [{"at_least": 1, "event": "ask"}, {"otherwise": "low"}]}, "on": {"ok": null, "ask": "R", "low": "STUCK"}}, "R": {"review": {"queue": "q", "decisions": ["yes", "no"], "on_overdue": "escalate"}, "on": {"yes": "T", "no": "STUCK"}}}}
warning|busy_loop|$.states.T|{"states": {"T": {"as": "read", "on": {"ok": "G"}}, "G": {"gate": {"value": "$.read.status", "tiers": [{"at_least": 300, "event": "again"}, {"otherwise": "done"}]}, "on": {"again": "T", "done": "STUCK"}}}}
warning|model_loop|$.states.M|{"states": {"S": {"on": {"ok": "M"}}, "M": {"model": {"endpoint": "llm", "queue": "q", "path": "/", "body": {}}, "as": "m", "on": {"ok": "V"}}, "V": {"validate": {"value": "$.m", "schema": true}, "on": {"valid": "T", "invalid": "W"}}, "W": {"wait": {"for": "1 s"}, "on": {"ok": "M"}}}}
notice|action_in_loop|$.states.T|{"states": {"T": {"http": {"method": "PUT", "revert": {"method": "DELETE", "path": "/x"}}, "on": {"ok": "S"}}, "S": {"on": {"stop": "END"}}}}
warning|unchecked_model|$.states.S.model|{"states": {"S": {"task": null, "model": {"endpoint": "llm", "queue": "q", "path": "/", "body": {}}}}}
error|unpriced_model|$.states.S.model|{"budget": {"cost": 5, "currency": "EUR"}, "states": {"S": {"task": null, "model": {"endpoint": "llm", "queue": "q", "path": "/", "body": {}, "schema": true}}}}
warning|not_pure|$.states.S.model.endpoint|{"states": {"S": {"task": null, "model": {"endpoint": "crm", "queue": "q", "path": "/", "body": {}}, "as": "m", "on": {"ok": "V"}}, "V": {"validate": {"value": "$.m", "schema": true}, "on": {"valid": "T", "invalid": "STUCK"}}}}
warning|literal_key|$.states.T.http.key|{"states": {"T": {"http": {"key": ["read"]}}}}
warning|volatile_key|$.states.T.http.key[1]|{"states": {"T": {"http": {"key": ["$.id", "$.attempt"]}}}}
warning|foreign_key|$.states.T.http.key|{"states": {"T": {"http": {"key": ["$.email", "read"]}}}}
warning|shared_key|$.states.U.http.key|{"states": {"T": {"on": {"ok": "U"}}, "U": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/other", "key": ["$.id", "read"]}, "on": {"ok": "END"}}}}
warning|missing_endpoint|$.states.T.http.endpoint|{"states": {"T": {"http": {"endpoint": "crn"}}}}
warning|endpoint_refused|$.states.T.http.endpoint|{"states": {"T": {"http": {"endpoint": "plain"}}}}
warning|writes_refused|$.states.S.sql.function|{"states": {"S": {"task": null, "sql": {"function": "app.stable_step", "queue": "q"}}}}
warning|security_definer|$.states.S.sql.function|{"states": {"S": {"task": null, "sql": {"function": "app.trusted_step", "queue": "q"}}}}
warning|unknown_workflow|$.states.S.spawn.workflow|{"states": {"S": {"task": null, "spawn": {"workflow": "nobodys", "each": "$.ids", "join": "all"}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END"}}}}
warning|retired_workflow|$.states.S.spawn.workflow|{"states": {"S": {"task": null, "spawn": {"workflow": "bygone", "each": "$.ids", "join": "all"}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END"}}}}
warning|unknown_outcome|$.states.S.spawn.success[1]|{"states": {"S": {"task": null, "spawn": {"workflow": "child", "each": "$.ids", "success": ["done", "shipped"], "join": "all"}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END"}}}}
warning|recursive_spawn|$.states.S.spawn.workflow|{"states": {"S": {"task": null, "spawn": {"workflow": "w", "each": "$.ids", "join": "all"}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END"}}}}
warning|overwritten_array|$.states.S.as|{"states": {"S": {"task": null, "spawn": {"workflow": "child", "each": "$.ids", "join": "all"}, "as": "ids", "timeout": "1 hour", "on": {"timeout": "END"}}}}
warning|short_timeout|$.states.S.timeout|{"states": {"S": {"timeout": "2 seconds", "on": {"timeout": "END"}}}}
warning|short_timeout|$.states.T.timeout|{"states": {"T": {"timeout": "2 seconds", "on": {"timeout": "END"}}}}
notice|retry_cut_short|$.states.S.timeout|{"states": {"S": {"timeout": "8 seconds", "on": {"timeout": "END"}}}}
warning|short_timeout|$.states.T.activity|{"activities": {"read": {"timeout": "2 seconds", "http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/", "key": ["$.id"]}}}, "states": {"T": {"http": null, "activity": "read", "on": {"timeout": "END"}}}}
warning|unset_selector|$.states.T.activity|{"activities": {"read": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/{$.emial}", "key": ["$.id"]}}}, "states": {"T": {"http": null, "activity": "read"}}}
warning|unset_selector|$.states.S.task.payload|{"activities": {"read": {"as": "answer", "task": {"queue": "q"}}}, "states": {"S": {"task": {"payload": "$.answer"}}, "T": {"http": null, "activity": "read"}}}
warning|foreign_key|$.states.T.activity|{"activities": {"read": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/", "key": "{$.email}"}}}, "states": {"T": {"http": null, "activity": "read"}}}
warning|busy_loop|$.states.FIX|{"states": {"FIX": {"sql": {"function": "app.step", "queue": "q"}, "on": {"ok": "END"}}, "STUCK": null, "AGAIN": null}, "any": {"on": {"error": "FIX"}}}
warning|short_sla|$.states.S|{"states": {"S": {"task": {"retry": {"timeout": "2 hours"}}}}}
warning|long_retry|$.states.S|{"states": {"S": {"task": {"retry": {"max_attempts": 9, "timeout": "20 minutes"}}}}}
warning|useless_retry|$.retry.default.retry_on[0]|{"retry": {"default": {"retry_on": ["validation"]}}}
notice|no_timeout|$.states.P|{"states": {"S": {"on": {"park": "P"}}, "P": {"on": {"go": "END"}}}}
notice|default_overdue|$.states.S.review|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"]}}}}
notice|default_owner|$|{"owner": null}
notice|no_key|$|{"key": null}
notice|held_for_person|$.states.T.http.endpoint|{"states": {"T": {"http": {"endpoint": "fax"}}}}
notice|no_revert|$.states.T.http|{"states": {"T": {"http": {"method": "PUT"}}}}
error|bad_schema|$.input_schema.properties["a b"].anyOf[1].type|{"input_schema": {"properties": {"a b": {"anyOf": [true, {"type": "strnig"}]}}}}
warning|overwritten_array|$.states.IDS.spawn.each|{"states": {"S": {"on": {"ok": "IDS"}}, "IDS": {"spawn": {"workflow": "child", "each": "$.ids", "join": "all"}, "timeout": "1 hour", "on": {"ok": "T", "timeout": "END"}}}}
warning|unknown_workflow|$.states.S.activity|{"activities": {"act": {"spawn": {"workflow": "nobodys", "each": "$.all", "join": "all"}}}, "states": {"S": {"task": null, "activity": "act", "timeout": "1 hour", "on": {"timeout": "END"}}}}
notice|default_overdue|$.states.S.activity|{"activities": {"act": {"review": {"queue": "q", "decisions": ["ok"]}}}, "states": {"S": {"task": null, "activity": "act"}}}
notice|gate_unguarded|$.states.S.activity|{"activities": {"act": {"gate": {"value": "$.limit", "tiers": [{"at_least": 5, "event": "high"}, {"otherwise": "ok"}]}}}, "states": {"S": {"task": null, "activity": "act", "on": {"high": "END"}}}}
warning|unset_selector|$.states.T.http.headers.X-To|{"states": {"T": {"http": {"headers": {"X-To": "{$.emial}"}}}}}
warning|unset_selector|$.states.T.http.before.path|{"states": {"T": {"http": {"before": {"path": "/{$.emial}"}}}}}
warning|unset_selector|$.states.T.http.before.headers.X-To|{"states": {"T": {"http": {"before": {"path": "/x", "headers": {"X-To": "$.emial"}}}}}}
warning|unset_selector|$.states.T.http.key[1]|{"states": {"T": {"http": {"key": ["$.id", "$.emial"]}}}}
warning|unset_selector|$.states.S.model.path|{"states": {"S": {"task": null, "model": {"endpoint": "llm", "queue": "q", "path": "/{$.emial}", "body": {}, "schema": true}}}}
warning|unset_selector|$.states.S.model.headers.X-To|{"states": {"S": {"task": null, "model": {"endpoint": "llm", "queue": "q", "path": "/", "headers": {"X-To": "$.emial"}, "body": {}, "schema": true}}}}
warning|unset_selector|$.states.S.model.body.to|{"states": {"S": {"task": null, "model": {"endpoint": "llm", "queue": "q", "path": "/", "body": {"to": "$.emial"}, "schema": true}}}}
warning|unset_selector|$.states.S.review.show[0]|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "show": ["$.emial"]}}}}
warning|unset_selector|$.states.S.review.current|{"states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "current": "$.emial"}}}}
warning|unset_selector|$.states.S.wait.for|{"states": {"S": {"task": null, "wait": {"for": "$.emial"}}}}
warning|unset_selector|$.states.S.wait.until|{"states": {"S": {"task": null, "wait": {"until": "$.emial"}}}}
warning|unset_selector|$.states.S.gate.value|{"states": {"S": {"task": null, "gate": {"value": "$.amuont", "tiers": [{"otherwise": "ok"}]}}}}
warning|unset_selector|$.states.S.validate.value|{"states": {"S": {"task": null, "validate": {"value": "$.emial", "schema": true}, "on": {"ok": null, "valid": "T", "invalid": "STUCK"}}}}
warning|unset_selector|$.states.S.task.payload|{"input_schema": {"required": ["id", "surname"]}, "states": {"S": {"task": {"payload": "$.surnmae"}}}}
warning|unset_selector|$.states.T.http.path|{"states": {"S": {"as": "answer"}, "T": {"http": {"path": "/{$.answr}"}}}}
error|instant_cycle|$.states.P|{"states": {"S": {"on": {"park": "P"}}, "P": {"validate": {"value": "$.id", "schema": true}, "on": {"valid": "END", "invalid": "END", "error": "P"}}}}
error|instant_cycle|$.states.P|{"states": {"S": {"on": {"park": "P"}}, "P": {"validate": {"value": "$.id", "schema": true}, "on": {"valid": "AGAIN", "invalid": "END"}}}}
error|unknown_state|$.states.S.on.ok|{"states": {"S": {"on": {"ok": "U"}}}}
error|bad_interval|$.activities.read.timeout|{"activities": {"read": {"timeout": "soon", "task": {"queue": "q"}}}, "states": {"S": {"task": null, "activity": "read", "on": {"timeout": "END"}}}}
error|gate_overlap|$.states.S.gate.tiers[1]|{"input_schema": {"required": ["id", "amount"]}, "states": {"S": {"task": null, "gate": {"value": "$.amount", "tiers": [{"at_least": 1, "event": "ok"}, {"at_least": 1, "event": "ok"}, {"otherwise": "ok"}]}}}}
error|bad_value|$.states.S.gate.tiers[0].sample|{"states": {"S": {"task": null, "gate": {"value": "$.amount", "tiers": [{"otherwise": "ok", "sample": {"rate": 0.1, "event": "ok"}}]}, "on": {"ok": "STUCK"}}, "STUCK": {"on": {"afresh": "T"}}}}
error|several_activities|$.activities.act|{"activities": {"act": {"description": "none"}}}
error|stores_nothing|$.activities.act.as|{"activities": {"act": {"then": "ok", "as": "x"}}}
warning|misspelled_event|$.states.S.on.compensate|{"states": {"S": {"on": {"compensate": "END"}}, "T": {"http": {"method": "PUT", "revert": {"method": "DELETE", "path": "/x"}}}}}
warning|misspelled_event|$.states.STUCK.on.giveup|{"states": {"STUCK": {"on": {"give_up": null, "giveup": "END"}}}}
warning|unhandled_error|$.states.S|{"states": {"S": {"task": null, "spawn": {"workflow": "child", "each": "$.ids", "join": "all"}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END", "fail": "STUCK"}}, "T": {"on": {"error": "STUCK"}}}, "any": null}
warning|busy_loop|$.states.S|{"states": {"S": {"task": null, "sql": {"function": "app.step", "queue": "q"}, "timeout": "1 hour", "on": {"timeout": "END"}}, "T": {"on": {"ok": "S"}}}}
warning|model_loop|$.states.M|{"states": {"S": {"on": {"ok": "M"}}, "M": {"model": {"endpoint": "llm", "queue": "q", "path": "/", "body": {}, "schema": true}, "on": {"ok": "W"}}, "W": {"wait": {"for": "1 day"}, "on": {"ok": "M", "enough": "T"}}}}
warning|overwritten_array|$.states.S.as|{"states": {"S": {"task": null, "spawn": {"workflow": "child", "each": "$.ids.all", "join": "all"}, "as": "ids", "timeout": "1 hour", "on": {"timeout": "END"}}}}
warning|unset_selector|$.states.T.http.revert.path|{"states": {"T": {"http": {"method": "PUT", "revert": {"method": "PUT", "path": "/{$.emial}"}}}}}
warning|unset_selector|$.states.T.http.revert.headers.X-To|{"states": {"T": {"http": {"method": "PUT", "revert": {"method": "PUT", "path": "/", "headers": {"X-To": "$.emial"}}}}}}
warning|unset_selector|$.states.T.http.revert.body.to|{"states": {"T": {"http": {"method": "PUT", "before": {"path": "/"}, "revert": {"method": "PUT", "path": "/{$.before.body.id}", "body": {"to": "$.emial"}}}}}}
warning|unset_selector|$.states.S.spawn.each|{"states": {"S": {"task": null, "spawn": {"workflow": "child", "each": "$.emial", "join": "all"}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END"}}}}
warning|unset_selector|$.states.S.spawn.input.to|{"states": {"S": {"task": null, "spawn": {"workflow": "child", "each": "$.ids", "join": "all", "input": {"to": "$.emial", "id": "$.each.id", "place": "$.index"}}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END"}}}}
warning|unset_selector|$.states.S.spawn.key[1]|{"states": {"S": {"task": null, "spawn": {"workflow": "child", "each": "$.ids", "join": "all", "key": ["$.each.id", "$.emial", "$.index"]}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END"}}}}
\.
UPDATE broken SET document = with_this(part)::json;
-- what jsonb cannot hold
INSERT INTO broken (severity, code, path, document) VALUES
  ('error', 'duplicate_key', '$.owner', overlay(with_this('{}')::text PLACING '{"owner": "me", ' FROM 1 FOR 1)::json),
  ('error', 'too_deep', '$', (repeat('[', 101) || repeat(']', 101))::json);

-- the sound document has nothing to report
SELECT f.* FROM workflow._document_faults(with_this('{}')::json, current_user, '{}') AS f;

-- every broken one has its row, with what to do about it and what happens, and no other
CREATE VIEW found AS
SELECT b.id, b.code AS wanted, (f.severity, f.code, f.path) IS NOT DISTINCT FROM (b.severity, b.code, b.path) AS is_it, f.*
FROM broken AS b LEFT JOIN LATERAL workflow._document_faults(b.document, current_user, '{}') AS f ON true;
SELECT wanted, severity, code, path, problem FROM found WHERE NOT is_it;
SELECT wanted, count(*) FROM found GROUP BY id, wanted HAVING count(*) <> 1;
SELECT code FROM found WHERE consequence IS NULL OR hint IS NULL;

\pset format unaligned
\pset tuples_only
SELECT format(E'%s %s %s\n  %s\n  -> %s\n  !  %s', severity, code, path, replace(problem, current_user, 'ME'), hint, consequence)
FROM found ORDER BY id;
\pset format aligned
\pset tuples_only off

-- define() refuses the first kind, says the second, and keeps the third to itself
DO $$
DECLARE
  b record;
  outcome text;
BEGIN
  FOR b IN SELECT * FROM broken ORDER BY id LOOP
    BEGIN
      PERFORM workflow.define(b.document);
      outcome := 'stored';
      RAISE EXCEPTION USING ERRCODE = 'ZZ001';
    EXCEPTION WHEN SQLSTATE 'ZZ001' THEN NULL;
      WHEN OTHERS THEN outcome := SQLSTATE;
    END;
    IF outcome <> (CASE b.severity WHEN 'error' THEN 'WF006' ELSE 'stored' END) THEN
      RAISE NOTICE '% % is %', b.severity, b.code, outcome;
    END IF;
  END LOOP;
END
$$;

-- and what is right says nothing: the near misses of the codes above
CREATE FUNCTION says(part text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT f.code FROM workflow._document_faults(with_this(part)::json, current_user, '{}') AS f
$$;
-- a function whose events are handled, be it in another state
SELECT says('{"states": {"S": {"task": null, "sql": {"function": "app.sorting_step", "queue": "q"}, "on": {"mail": "T"}}, "T": {"on": {"other": "END"}}}}');
-- a function that only reads; one of the definer's own that is SECURITY DEFINER
SELECT says('{"states": {"S": {"task": null, "sql": {"function": "app.reader", "queue": "q"}}}}');
SELECT says('{"states": {"S": {"task": null, "sql": {"function": "app.own_step", "queue": "q"}}}}');
-- a name that the input may have; one of an earlier state; one of a way back from an exception
SELECT says('{"states": {"S": {"task": {"payload": ["$.street", "$.email", "$.amount.size()"]}}}}');
SELECT says('{"states": {"S": {"as": "found"}, "T": {"http": {"path": "/{$.found.id}"}}}}');
SELECT says('{"states": {"S": {"task": {"payload": "$.mended"}}, "STUCK": {"on": {"mend": "MEND"}}, "MEND": {"task": {"queue": "q"}, "as": "mended", "on": {"ok": "AGAIN"}}}}');
-- a short name that is near to one; a near name, of which a part of the schema may know
SELECT says('{"states": {"S": {"task": {"payload": "$.is"}}}}');
SELECT says('{"input_schema": {"allOf": [{"properties": {"emails": {}}}]}, "states": {"S": {"task": {"payload": "$.emails"}}}}');
-- the name of a later state is not said to be what it stores: the input may have it
SELECT says('{"states": {"S": {"task": {"payload": "$.t"}}}}');
-- loops in which a person decides, or an sql state counts
SELECT says('{"states": {"T": {"on": {"ok": "S"}}, "S": {"on": {"stop": "END"}}}}');
SELECT says('{"states": {"S": {"task": null, "sql": {"function": "app.step", "queue": "q"}, "on": {"enough": "END"}}, "T": {"on": {"ok": "S"}}}}');
SELECT says('{"states": {"S": {"task": null, "sql": {"function": "app.step", "queue": "q"}, "as": "round", "on": {"ok": "G"}}, "T": {"on": {"ok": "S"}},
  "G": {"gate": {"value": "$.round.n", "tiers": [{"at_least": 5, "event": "enough"}, {"otherwise": "go"}]}, "on": {"enough": "END", "go": "T"}}}}');
-- an action of a loop whose key says which round it is
SELECT says('{"states": {"T": {"http": {"method": "PUT", "key": ["$.id", "$.round"], "revert": {"method": "DELETE", "path": "/x"}}, "on": {"ok": "S"}}, "S": {"as": "round", "on": {"stop": "END"}}}}');
-- one key for the same request, or on ways that never meet
SELECT says('{"states": {"T": {"on": {"ok": "U"}}, "U": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/{$.id}", "key": ["$.id", "read"]}, "on": {"ok": "END"}}}}');
SELECT says('{"states": {"S": {"on": {"other": "U"}}, "U": {"http": {"endpoint": "crm", "queue": "q", "method": "GET", "path": "/other", "key": ["$.id", "read"]}, "on": {"ok": "END"}}}}');
-- a part of the item's key, or of what a state stored, tells items apart
SELECT says('{"key": ["$.order.id"], "states": {"T": {"http": {"key": ["$.order", "read"]}}}}');
SELECT says('{"states": {"S": {"as": "found"}, "T": {"http": {"key": ["$.found.id"]}}}}');
-- an endpoint caps an attempt
SELECT says('{"states": {"T": {"http": {"endpoint": "slow", "retry": {"timeout": "2 hours"}}, "timeout": "1 minute", "on": {"timeout": "END"}}}}');
-- one without TLS that is allowed to be so
SELECT says('{"states": {"T": {"http": {"endpoint": "open"}}}}');
-- timeout_waits: a held call puts the timeout off, and waits for its owner, so there are two notices
SELECT says('{"states": {"T": {"http": {"endpoint": "fax"}, "timeout": "1 minute", "on": {"timeout": "END"}}}}');

-- each way to write is one
SELECT f.f, says(format('{"states": {"S": {"task": null, "sql": {"function": "app.%s", "queue": "q"}}}}', f.f)) FROM unnest('{deletes,merges,updates}'::text[]) AS f;
-- an event that only "any" handles; one key of HEAD; a loop that only failures close, or an exception
SELECT says('{"states": {"S": {"task": null, "sql": {"function": "app.sorting_step", "queue": "q"}}}, "any": {"on": {"mail": "END", "other": "END"}}}');
SELECT says('{"states": {"T": {"http": {"method": "HEAD"}, "on": {"ok": "S"}}, "S": {"on": {"stop": "END"}}}}');
SELECT says('{"states": {"T": {"http": {"method": "PUT", "revert": {"method": "DELETE", "path": "/x"}}, "on": {"error": "S"}}, "S": {"on": {"stop": "END"}}}}');
SELECT says('{"states": {"T": {"http": {"method": "PUT", "revert": {"method": "DELETE", "path": "/x"}}, "on": {"odd": "STUCK"}}, "STUCK": {"on": {"afresh": "T"}}}}');
-- a part of the schema that may name any member; what is required is named; what a reviewer may change is set
SELECT o.o, says(format('{"input_schema": {%s}, "states": {"S": {"task": {"payload": "$.emails"}}}}', o.o))
FROM unnest(ARRAY['"patternProperties": {"^e": {}}', '"$ref": "#/$defs/a", "$defs": {"a": {}}', '"anyOf": [true]', '"oneOf": [true]', '"if": true', '"dependentSchemas": {"id": true}']) AS o;
SELECT says('{"input_schema": {"required": ["id", "street"], "additionalProperties": false}, "states": {"S": {"task": {"payload": "$.street"}}}}');
SELECT says('{"input_schema": {"additionalProperties": false}, "states": {"S": {"task": null, "review": {"queue": "q", "decisions": ["ok"], "on_overdue": "escalate", "editable": "$.agreed"}}, "T": {"http": {"path": "/{$.agreed}"}}}}');
-- what is there only for the children, or for what takes an action back, also where the input is closed
SELECT says('{"input_schema": {"additionalProperties": false, "properties": {"ids": {}}}, "states": {"S": {"task": null, "spawn": {"workflow": "child", "each": "$.ids", "join": "all", "input": {"id": "$.each", "n": "$.index"}, "key": ["$.id", "$.index", "{$.each}"]}, "as": "found", "timeout": "1 hour", "on": {"timeout": "END"}}}}');
SELECT says('{"input_schema": {"additionalProperties": false}, "states": {"T": {"http": {"method": "PUT", "before": {"path": "/"}, "revert": {"method": "PUT", "path": "/", "body": "$.before.body"}}}}}');
-- an action of "activities" that is taken back; a policy that only an activity there uses; the name "default"; all of the data is validated
SELECT says('{"activities": {"put": {"http": {"endpoint": "crm", "queue": "q", "method": "PUT", "path": "/", "key": ["$.id"], "revert": {"method": "DELETE", "path": "/x"}}}}, "states": {"T": {"http": null, "activity": "put"}, "S": {"on": {"compensated": "END"}}}}');
SELECT says('{"retry": {"patient": {"max_attempts": 9}}, "activities": {"act": {"task": {"queue": "q", "retry": "patient"}}}, "states": {"S": {"task": null, "activity": "act"}}}');
SELECT says('{"retry": {"default": null, "slow": {"max_attempts": 2, "timeout": "1 minute"}}, "states": {"S": {"task": {"retry": "default"}, "timeout": "1 day", "on": {"timeout": "END"}}, "T": {"http": {"retry": "slow"}}}}');
SELECT says('{"states": {"S": {"task": null, "model": {"endpoint": "llm", "queue": "q", "path": "/", "body": {}}, "on": {"ok": "V"}}, "V": {"validate": {"value": "$", "schema": true}, "on": {"valid": "T", "invalid": "STUCK"}}}}');
-- a final state has nothing else; what is decided at once stores nothing and waits for nothing
SELECT m.key, says(format('{"states": {"END": {"%s": %s}}}', m.key, m.value)) FROM jsonb_each('{"as": "x", "timeout": "1 day", "sla": "1 day"}') AS m;
SELECT says('{"activities": {"act": {"task": {"queue": "q"}}}, "states": {"END": {"activity": "act"}}}');
SELECT i.i, m.key, s.s FROM unnest(ARRAY['"gate": {"value": "$.id", "tiers": [{"otherwise": "ok"}]}', '"validate": {"value": "$.id", "schema": true}', '"then": "ok"']) AS i,
     jsonb_each('{"as": "x", "timeout": {"after": "1 day", "event": "ok"}, "sla": "1 day"}') AS m,
     says(format('{"states": {"S": {"task": null, %s, "%s": %s, "on": {"valid": "T", "invalid": "T"}}}}', i.i, m.key, m.value)) AS s WHERE s.s <> 'never_raised';
-- a hundred levels are not too deep, and brackets in a text are none; a name of 250 bytes is not too long
SELECT DISTINCT f.code FROM workflow._document_faults((repeat('[', 100) || repeat(']', 100))::json, current_user, '{}') AS f;
SELECT says(format('{"description": "%s"}', repeat('[{', 100)));
SELECT n, says(format('{"states": {"S": {"on": {"ok": "T", "%s": "END"}}}}', repeat('e', n))) FROM generate_series(250, 251) AS n;

-- the check says of a stored version what its place is, and what happens
SET client_min_messages = error;
SELECT version FROM workflow.define(with_this('{"states": {"T": {"http": {"endpoint": "crn", "key": ["$.email"]}}}}')::json);
RESET client_min_messages;
\x
SELECT * FROM workflow.check('w');
\x

-- no_definer: the one fault that no document has
CREATE ROLE regress_gone;
GRANT USAGE ON SCHEMA workflow TO regress_gone;
GRANT EXECUTE ON FUNCTION workflow.define(json) TO regress_gone;
SET ROLE regress_gone;
SELECT version FROM workflow.define('{"workflow": "gone", "owner": "me", "key": ["$.id"], "initial": "S", "states": {"S": {"final": "x"}}}');
RESET ROLE;
DROP OWNED BY regress_gone;
DROP ROLE regress_gone;
\x
SELECT * FROM workflow.check('gone');
\x

DROP FUNCTION app.trusted_step;
DROP OWNED BY regress_owner;
DROP ROLE regress_owner;
