--
-- Gates: samples, shadows, and what people say of what gates decide.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SET timezone = 'UTC';
SET pg_workflow.clock = '2030-01-15 12:00';
CREATE ROLE regress_anna;
SELECT workflow.grant_role('regress_anna', 'reviewer');
CREATE FUNCTION version(name text, gate text) RETURNS int LANGUAGE sql AS $$
  SELECT d.version FROM workflow.define(format('{
    "workflow": "%s", "owner": "me", "key": ["$.id"], "initial": "GATE",
    "queues": {"desk": {"owner": "clerks", "sla": "4 hours", "escalate_to": ["lead"]}},
    "states": {
      "GATE":   {"gate": {"value": "$.score", %s}, "on": {"auto": "DONE", "ask": "REVIEW", "low": "FIX"}},
      "REVIEW": {"review": {"queue": "desk", "decisions": ["approve", "reject", "escalate"], "editable": "$.fields",
                            "on_overdue": "escalate"},
                 "on": {"approve": "DONE", "reject": "REFUSED", "escalate": "SENIOR"}},
      "SENIOR": {"review": {"queue": "desk", "decisions": ["approve", "reject"], "on_overdue": "escalate"},
                 "on": {"approve": "DONE", "reject": "REFUSED"}},
      "FIX":    {"exception": {"queue": "desk"}, "on": {"replay": "AGAIN", "give_up": "REFUSED"}},
      "AGAIN":  {"then": "resume", "on": {"resume": "GATE"}},
      "DONE":   {"final": "done"}, "REFUSED": {"final": "refused"}}}', name, gate)::json) AS d
$$;

-- a share of a tier goes to people; which ones is a matter of the item and the gate
SELECT version('sampled', '"tiers": [{"at_least": 0.9, "event": "auto", "sample": {"rate": 0.25, "event": "ask"}},
                                     {"at_least": 0.6, "event": "ask"}, {"otherwise": "low"}]');
SELECT count(workflow.submit('sampled', format('{"id": "s%s", "score": 0.95, "fields": {"a": 1}}', n)::jsonb)) FROM generate_series(1, 400) AS n;
SELECT tier, event, diverted, state, count(*) BETWEEN 70 AND 130 AS about_a_quarter, count(*) BETWEEN 270 AND 330 AS about_the_rest
FROM workflow.gate_decisions JOIN (SELECT item_id, state AS place FROM workflow.items) AS i USING (item_id)
GROUP BY 1, 2, 3, 4 ORDER BY 2;
SELECT t.reason, i.gate_decision, i.confidence, i.state
FROM workflow.items AS i JOIN workflow.transition AS t USING (item_id), workflow.gate_decisions AS g
WHERE g.item_id = i.item_id AND g.diverted = 'sample' AND t.event = 'ask' ORDER BY i.item_id LIMIT 1;
SELECT l.what, l.detail FROM workflow.timeline((SELECT min(item_id) FROM workflow.gate_decisions WHERE diverted = 'sample')) AS l WHERE l.what = 'gate';
-- the same items again, in other visits: the same ones are sampled; rates of 0 and 1 are none and all
SELECT version('looped', '"tiers": [{"at_least": 0.9, "event": "low", "sample": {"rate": 0.5, "event": "ask"}}, {"otherwise": "auto"}]');
SELECT count(workflow.submit('looped', format('{"id": %s, "score": 1}', n)::jsonb)) FROM generate_series(1, 40) AS n;
SELECT count(workflow.replay(item_id, 'once more')) > 0 AS replayed FROM workflow.items WHERE workflow = 'looped' AND state = 'FIX';
SELECT count(*) FILTER (WHERE n = 2) > 0 AS decided_twice, bool_and(events = 1) AS alike
FROM (SELECT count(*) AS n, count(DISTINCT event) AS events FROM workflow.gate_decisions WHERE workflow = 'looped' GROUP BY item_id) AS d;
SELECT version('rates', '"tiers": [{"at_least": 2, "event": "auto", "sample": {"rate": 0, "event": "ask"}},
                                   {"at_least": 1, "event": "auto", "sample": {"rate": 1, "event": "ask"}},
                                   {"otherwise": "low", "sample": {"rate": 1, "event": "ask"}}]');
SELECT count(workflow.submit('rates', format('{"id": %s, "score": %s}', n, n % 3)::jsonb)) FROM generate_series(1, 60) AS n;
SELECT value, tier, event, diverted, count(*) FROM workflow.gate_decisions WHERE workflow = 'rates' GROUP BY 1, 2, 3, 4 ORDER BY 1;

-- a gate in shadow: what it decides is on record, and people decide
SELECT version('trial', '"tiers": [{"at_least": 0.9, "event": "auto"}, {"otherwise": "low"}], "shadow": {"event": "ask"}');
-- other thresholds, or another value, judged beside: nobody acts on them
SELECT version('beside', '"tiers": [{"at_least": 0.9, "event": "auto"}, {"otherwise": "ask"}],
                          "shadow": {"tiers": [{"at_least": 0.8, "event": "automatic"}, {"otherwise": "people"}]}');
SELECT version('other', '"tiers": [{"at_least": 0.9, "event": "auto"}, {"otherwise": "ask"}], "shadow": {"value": "$.new.score"}');
SELECT version('hostile', '"tiers": [{"otherwise": "ask"}], "shadow": {"value": "$.new.score.double()"}');
SELECT count(workflow.submit(w, i)) FROM unnest(ARRAY['trial', 'beside', 'other', 'hostile']) AS w,
  unnest(ARRAY['{"id": 1, "score": 0.95, "new": {"score": 0.1}}', '{"id": 2, "score": 0.85}', '{"id": 3, "score": 0.1, "new": {"score": "x"}}']::jsonb[]) AS i;
SELECT g.workflow, g.value, g.tier, g.event, g.diverted, g.shadow_value, g.shadow_tier,
       CASE WHEN g.shadow_problem ~ 'jsonpath item method' THEN 'an error of .double()' ELSE g.shadow_problem END AS shadow_problem, i.state
FROM workflow.gate_decisions AS g JOIN workflow.items AS i USING (item_id)
WHERE g.workflow IN ('trial', 'beside', 'other', 'hostile') ORDER BY g.workflow, i.key;
SELECT l.detail FROM workflow.timeline('trial:1') AS l WHERE l.what = 'gate'
UNION ALL SELECT l.detail FROM workflow.timeline('other:1') AS l WHERE l.what = 'gate';
-- what a shadow would have raised is no event that has to be handled; what stands in its place is
SELECT code, path, problem FROM workflow._document_faults('{"workflow": "w", "owner": "me", "initial": "G", "states": {
  "G": {"gate": {"value": "$.a", "tiers": [{"otherwise": "b"}], "shadow": {"tiers": [{"otherwise": "c"}], "event": "d"}}, "on": {"b": "E"}},
  "E": {"final": "x"}}}', current_user, '{}') WHERE severity = 'error';
-- shares are shares, samples go elsewhere, a shadow says something and raises nothing of its tiers, and who agrees is a review
SELECT f.code, f.path, f.problem, f.hint FROM workflow._document_faults('{"workflow": "w", "owner": "me", "initial": "G", "states": {
  "G": {"gate": {"value": "$.a", "tiers": [{"at_least": 5, "event": "b", "sample": {"rate": 1.5, "event": "b"}},
                                           {"at_least": 4, "event": "b", "sample": {"rate": -0.1}},
                                           {"at_least": 3, "event": "b", "sample": 0.05, "agrees": ["yess", "no"], "overrules": []},
                                           {"otherwise": "c", "agrees": "yes", "overrules": ["nope"]}],
                 "shadow": {}}, "on": {"b": "R", "c": "H"}},
  "H": {"gate": {"value": "$.a", "tiers": [{"otherwise": "b"}],
                 "shadow": {"value": "a", "tiers": [{"at_least": 1, "event": "x", "sample": {"rate": 1, "event": "b"}}], "mode": "on"}}, "on": {"b": "R"}},
  "R": {"review": {"queue": "q", "decisions": ["yes", "no"], "on_overdue": "escalate"}, "on": {"yes": "E", "no": "E"}},
  "E": {"final": "x"}}, "queues": {"q": {"sla": "1 hour", "escalate_to": ["boss"]}}}', current_user, '{}') AS f WHERE f.severity = 'error';

-- what people say: the first review that agrees or overrules counts, one that hands on does not
SELECT version('judged', '"tiers": [{"at_least": 0.9, "event": "auto"}, {"at_least": 0.6, "event": "ask"}, {"otherwise": "low"}]');
SELECT count(workflow.submit('judged', format('{"id": %s, "score": 0.%s, "fields": {"a": 1}}', n, 60 + n)::jsonb)) FROM generate_series(1, 8) AS n;
SET ROLE regress_anna;
SELECT r.key, (workflow.decide(r.id, d.decision, d.reason, d.patch::jsonb)).state
FROM (VALUES ('1', 'approve', NULL, NULL), ('2', 'approve', NULL, '{"a": 1}'), ('3', 'approve', NULL, '{"a": 2}'),
             ('4', 'reject', 'wrong', NULL), ('5', 'escalate', NULL, NULL), ('6', 'escalate', NULL, NULL)) AS d (key, decision, reason, patch)
JOIN workflow.review_inbox AS r USING (key) WHERE r.workflow = 'judged' ORDER BY r.key;
SELECT r.key, (workflow.decide(r.id, 'reject')).state FROM workflow.review_inbox AS r WHERE r.workflow = 'judged' AND r.key = '6';
RESET ROLE;
SELECT key, value, tier, verdict, decision, edited, judged_by FROM workflow.gate_decisions WHERE workflow = 'judged' ORDER BY key;
SELECT tier, diverted, bucket, bucket_to, decided, reviewed, agreed, overruled, edited, mean_value, agreed_share, edited_share
FROM workflow.gate_calibration WHERE workflow = 'judged';
SELECT tier, decision, verdict, reviews, edited, tier_decided, tier_reviewed, share, overruled_share
FROM workflow.override_stats WHERE workflow = 'judged';

-- which decisions agree is said by the tier; of two tiers that one may agree with what the other does not
SELECT workflow._gate_verdict(tiers, tier, decision, '["yes", "no", "maybe", "escalate"]') AS verdict, tier, decision
FROM (VALUES ('[{"at_least": 1, "event": "a", "agrees": ["yes", "maybe"]}, {"otherwise": "b", "agrees": ["no"], "overrules": ["yes"]}]'::jsonb)) AS t (tiers),
     unnest('{a,b}'::text[]) AS tier, unnest('{yes,no,maybe,escalate}'::text[]) AS decision;
SELECT workflow._gate_verdict('[{"otherwise": "b"}]', 'b', decision, '["yes", "no"]') FROM unnest('{yes,no}'::text[]) AS decision;

-- the code of a reason, where the review has codes for the decision
SELECT decision, reason, workflow._gate_reason_code('{"reasons": {"reject": ["stale", "wrong"]}}', decision, reason) AS code
FROM (VALUES ('reject', 'stale'), ('reject', 'wrong : not theirs'), ('approve', 'stale')) AS v (decision, reason);

-- a sample says what the automatic tier is worth, apart from those that nobody was asked about
SET ROLE regress_anna;
SELECT sum((workflow.decide(r.id, CASE WHEN place % 10 = 0 THEN 'reject' ELSE 'approve' END)).seq) > 0 AS decided
FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM workflow.review_inbox WHERE workflow = 'sampled' LIMIT 50) AS r;
RESET ROLE;
SELECT bucket, tier, diverted, decided - reviewed > 0 AS others, reviewed, agreed, overruled, mean_value, agreed_share
FROM workflow.gate_calibration WHERE workflow = 'sampled';
SELECT tier, diverted, decision, reviews, share, overruled_share FROM workflow.override_stats WHERE workflow = 'sampled';

-- decided again after a patch: the last decision counts, both are kept
SELECT workflow.submit('judged', '{"id": "again", "score": 0.05}') \g /dev/null
SELECT workflow.replay('judged:again', 'a better text', '{"score": 0.75}') \g /dev/null
SELECT seq, value, tier FROM workflow.gate_decisions WHERE key = 'again' ORDER BY seq;
SELECT bucket, tier, decided, reviewed FROM workflow.gate_calibration WHERE workflow = 'judged' ORDER BY bucket;

-- after a rewind a review speaks of the gate that it came by then, and instead of the one that the rewind has undone
SELECT d.version FROM workflow.define('{
  "workflow": "gone_back", "owner": "me", "key": ["$.id"], "initial": "CHECK",
  "states": {
    "CHECK":  {"review": {"queue": "desk", "decisions": ["approve", "reject"], "on_overdue": "escalate"}, "on": {"approve": "GATE", "reject": "REFUSED"}},
    "GATE":   {"gate": {"value": "$.score", "tiers": [{"at_least": 0.9, "event": "auto"}, {"otherwise": "ask"}]}, "on": {"auto": "WAIT", "ask": "REVIEW"}},
    "WAIT":   {"on": {"go": "DONE"}},
    "REVIEW": {"review": {"queue": "desk", "decisions": ["approve", "reject"], "on_overdue": "escalate"}, "on": {"approve": "WAIT", "reject": "REFUSED"}},
    "DONE":   {"final": "done"}, "REFUSED": {"final": "rejected"}}}') AS d;
SELECT count(workflow.submit('gone_back', format('{"id": %s, "score": 0.%s}', n, n)::jsonb)) FROM unnest('{5,95}'::int[]) AS n;
SELECT r.key, (workflow.decide(r.id, 'approve')).state FROM workflow.review_inbox AS r WHERE r.workflow = 'gone_back' ORDER BY r.key;
SELECT state FROM workflow.rewind('gone_back:95', 'CHECK', 'the wrong one');
SELECT (workflow.decide(r.id, 'reject')).state FROM workflow.review_inbox AS r WHERE r.workflow = 'gone_back' AND r.key = '95';
SELECT (workflow.decide(r.id, 'approve')).state FROM workflow.review_inbox AS r WHERE r.workflow = 'gone_back' AND r.key = '5';
SELECT key, tier, verdict FROM workflow.gate_decisions WHERE workflow = 'gone_back' ORDER BY key;
SELECT state FROM workflow.rewind('gone_back:5', 'REVIEW', 'approved by mistake');
SELECT (workflow.decide(r.id, 'reject')).state FROM workflow.review_inbox AS r WHERE r.workflow = 'gone_back' AND r.key = '5';
SELECT key, tier, verdict, decision FROM workflow.gate_decisions WHERE workflow = 'gone_back' ORDER BY key;
SELECT bucket, tier, decided, reviewed, agreed, overruled FROM workflow.gate_calibration WHERE workflow = 'gone_back' ORDER BY bucket;

-- added up by a worker: the figures stay the same, of old days too
CREATE TABLE before AS SELECT * FROM workflow.gate_calibration;
SELECT count(*) > 500 AS one_by_one FROM workflow.gate_change;
CREATE FUNCTION add_up(until timestamptz, most int) RETURNS bigint LANGUAGE sql AS 'SELECT workflow._add_up_gates(until, most)';
SELECT add_up('2030-01-17', 100), add_up('2030-01-17', 100000) > 400 AS the_rest, add_up('2030-01-17', 100);
SELECT count(*) FROM workflow.gate_change;
SELECT count(*) FROM (TABLE before EXCEPT ALL SELECT * FROM workflow.gate_calibration) AS d;
SELECT count(*) BETWEEN 10 AND 60 AS few_cells FROM workflow.gate_tally;
SET pg_workflow.clock = '2030-01-16 12:00';
SELECT workflow.submit('judged', '{"id": "later", "score": 0.75}') \g /dev/null
SELECT sum(decided) FROM workflow.gate_calibration('12 hours');
SELECT sum(decided) = (SELECT sum(decided) FROM workflow.gate_calibration) AS all_of_them FROM workflow.gate_calibration('30 hours');
SELECT count(*) FROM workflow.override_stats('12 hours');
-- what is no time ago is refused; what is longer ago than anything is all
SELECT * FROM workflow.gate_calibration('-1 days');
SELECT * FROM workflow.override_stats('0');
SELECT (SELECT sum(decided) FROM workflow.gate_calibration('100000 years')) = (SELECT sum(decided) FROM workflow.gate_calibration) AS all_of_them,
  (SELECT count(*) FROM workflow.override_stats('100000 years')) = (SELECT count(*) FROM workflow.override_stats) AS all_reviews;
SELECT DISTINCT day FROM workflow.gate_counts ORDER BY day;
SET pg_workflow.clock = '2030-04-20 12:00';
SELECT add_up('2030-01-17', 100), add_up('2030-04-20', 100);
SELECT DISTINCT day FROM workflow.gate_counts ORDER BY day;
SELECT sum(decided) - (SELECT sum(decided) FROM before) FROM workflow.gate_calibration;
-- nothing is lost by hand
\set VERBOSITY terse
DELETE FROM workflow.gate_change;
DELETE FROM workflow.gate_tally;
DELETE FROM workflow.gate_verdict;

-- a tier that people overrule much more often than before is something to look at
SET pg_workflow.clock = '2030-06-20 12:00';
SELECT * FROM workflow._conditions_of_verdicts() ORDER BY kind, subject;
INSERT INTO workflow.gate_tally (workflow, version, state, day, bucket, tier, decision, verdict, edited, decided, total)
SELECT 'judged', 1, 'GATE', v.day, 0.6, v.tier, v.verdict, v.verdict, false, v.n, v.n * 0.65
FROM (VALUES ('ask', date '2030-06-01', 'agreed', 27), ('ask', '2030-06-02', 'overruled', 3), ('ask', '2030-06-13', 'agreed', 10), ('ask', '2030-06-14', 'agreed', 14),
             ('ask', '2030-06-20', 'overruled', 6), ('auto', '2030-06-01', 'agreed', 90), ('auto', '2030-06-19', 'agreed', 15), ('auto', '2030-06-19', 'overruled', 4),
             ('low', '2030-06-01', 'overruled', 15), ('low', '2030-06-01', 'agreed', 5), ('low', '2030-06-19', 'overruled', 20)) AS v (tier, day, verdict, n);
SELECT * FROM workflow._conditions_of_verdicts() ORDER BY kind, subject;
-- fewer verdicts say nothing, nor does what is older than two months
SET pg_workflow.clock = '2030-06-22 12:00';
SELECT count(*) FROM workflow._conditions_of_verdicts();
SET pg_workflow.clock = '2030-08-20 12:00';
SELECT count(*) FROM workflow._conditions_of_verdicts();

-- deciles: tenths up to 1, one significant digit beyond
SELECT v AS value, workflow._gate_bucket(v) AS bucket, workflow._gate_bucket_end(workflow._gate_bucket(v)) AS bucket_to
FROM unnest('{0,0.05,0.1,0.59,0.999,1,1.5,9.99,10,47,100,999.9999999999999999999999,1000,1234567,-0.55,-47,1e20}'::numeric[]) AS v;

-- the longest names there may be: figures are kept by all of them together; longer ones are refused
RESET pg_workflow.clock;
CREATE SERVER llm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://models.invalid', dedup 'pure');
CREATE FUNCTION long(what text, length int) RETURNS text LANGUAGE sql AS $$
  SELECT left(string_agg(md5(what || n), '' ORDER BY n), length) FROM generate_series(1, 9) AS n
$$;
CREATE FUNCTION long_named(n int) RETURNS json LANGUAGE sql AS $$
  SELECT json_build_object('workflow', long('workflow', n), 'owner', 'me', 'initial', 'ASK', 'key', '$.id',
    'retry', '{"default": {"owner": "me", "max_attempts": 1, "timeout": "5 seconds"}}'::json,
    'queues', '{"long desk": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}}'::json,
    'states', json_build_object(
      'ASK', json_build_object('as', 'answer', 'model', json_build_object('endpoint', 'llm', 'queue', 'long desk', 'path', '/', 'body', '{}'::json, 'version', long('version', n), 'schema', true),
                               'on', '{"ok": "BEGIN", "error": "BEGIN"}'::json),
      'BEGIN', json_build_object('then', 'go', 'on', json_build_object('go', long('state', n))),
      long('state', n), json_build_object('gate', json_build_object('value', '$.score', 'tiers', json_build_array(json_build_object('otherwise', long('tier', n))),
                                     'shadow', json_build_object('tiers', json_build_array(json_build_object('otherwise', long('shadow', n))))),
                                          'on', json_build_object(long('tier', n), 'REVIEW')),
      'REVIEW', json_build_object('review', json_build_object('queue', 'long desk', 'decisions', json_build_array(long('decision', n)), 'on_overdue', 'escalate',
                                       'reasons', json_build_object(long('decision', n), json_build_array(long('reason', n)))),
                                  'on', json_build_object(long('decision', n), 'END')),
      'END', json_build_object('final', long('outcome', n))))
$$;
SELECT f.code, replace(replace(replace(f.path, long('state', 251), 'STATE'), long('tier', 251), 'TIER'), long('decision', 251), 'DECISION') AS path, f.problem
FROM workflow._document_faults(long_named(251), current_user, '{}') AS f WHERE f.severity = 'error';
SELECT version FROM workflow.define(long_named(250));
BEGIN;
SELECT workflow.mock('llm', '{"body": {}}');
SELECT workflow.submit(long('workflow', 250), '{"id": 1, "score": 0.5}') \g /dev/null
CALL workflow.run();
SELECT (workflow.decide(r.id, long('decision', 250), long('reason', 250))).state FROM workflow.review_inbox AS r WHERE r.workflow = long('workflow', 250);
SELECT add_up(clock_timestamp(), 100000) > 0 AS added_up;
SET LOCAL session_replication_role = replica;
INSERT INTO workflow.state_delta (workflow, from_state, to_state, version, minute, moves, outcome)
SELECT long('workflow', 250), long('state', 250), 'END', 1, 1, 1, long('outcome', 250);
SELECT workflow._fold_moves() \g /dev/null
SET LOCAL session_replication_role = origin;
SELECT decided, length(reason_code), length(model_version) FROM workflow.gate_counts WHERE workflow = long('workflow', 250);
SELECT length(state), length(outcome), entered FROM workflow.state_count WHERE workflow = long('workflow', 250) ORDER BY 1;
ROLLBACK;
DROP SERVER llm CASCADE;
DROP OWNED BY regress_anna;
DROP ROLE regress_anna;
