--
-- where_is() in every standing that a job, its effect and its item can have: what it waits for, and what comes then.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET pg_workflow.clock = '2030-01-01 12:00 UTC';
CREATE SERVER bank FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://bank.example.com', dedup 'none', owner 'finance');
CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
SELECT version FROM workflow.define('{
  "workflow": "part", "owner": "me", "key": ["$.id"], "initial": "OPEN",
  "states": {"OPEN": {"on": {"go": "DONE"}}, "DONE": {"final": "done"}}}');
SELECT version FROM workflow.define('{
  "workflow": "w", "owner": "me", "key": ["$.id"], "initial": "START",
  "queues": {"q": {"owner": "desk", "sla": "1 hour", "escalate_to": ["lead", "boss"]}},
  "retry": {"default": {"max_attempts": 3, "timeout": "5 seconds", "dead_letter": "q"}},
  "states": {
    "START": {"on": {"call": "CALL", "task": "TASK", "work": "WORK", "ask": "ASK", "late": "LATE", "wait": "WAIT", "split": "SPLIT"}},
    "CALL":  {"http": {"endpoint": "bank", "queue": "q", "method": "POST", "path": "/pay", "key": ["$.id"]},
              "timeout": "1 day", "on": {"ok": "DONE", "error": "BROKEN", "timeout": "BROKEN"}},
    "TASK":  {"task": {"queue": "q"}, "on": {"ok": "DONE", "refused": "BROKEN"}},
    "WORK":  {"sql": {"function": "work", "queue": "q"}, "on": {"ok": "DONE"}},
    "ASK":   {"review": {"queue": "q", "decisions": ["yes", "no"], "show": ["$.id"], "on_overdue": "escalate", "four_eyes": true},
              "on": {"yes": "DONE", "no": "BROKEN"}},
    "LATE":  {"review": {"queue": "q", "decisions": ["yes", "no"], "show": ["$.id"], "on_overdue": "no"},
              "on": {"yes": "DONE", "no": "BROKEN"}},
    "WAIT":  {"wait": {"for": "1 day"}, "on": {"ok": "DONE", "sooner": "TASK", "stop": "BROKEN"}},
    "SPLIT": {"spawn": {"workflow": "part", "each": "$.parts", "key": ["$.each.id"], "join": "all"}, "on": {"ok": "DONE", "error": "BROKEN"}},
    "BROKEN": {"exception": {"queue": "q"}, "on": {"replay": "AGAIN", "give_up": "FAILED"}},
    "AGAIN": {"then": "go", "on": {"go": "@origin"}},
    "DONE":  {"final": "success"}, "FAILED": {"final": "failure"}}}');
SELECT count(workflow.send(s.item_id, k.id)) FROM unnest(ARRAY['call', 'task', 'work', 'ask', 'late', 'wait', 'split']) AS k (id),
  LATERAL workflow.submit('w', jsonb_build_object('id', k.id, 'parts', '[{"id": 1}, {"id": 2}]'::jsonb)) AS s;
SELECT count(workflow.submit('w', jsonb_build_object('id', k.id))) FROM unnest(ARRAY['start', 'broken', 'cancelled', 'other']) AS k (id);
SELECT count(workflow.send('w:broken', 'call')), count(workflow.send('w:other', 'task'));
UPDATE workflow.item SET state = 'BROKEN' WHERE key = 'broken';
SELECT workflow.cancel('w:cancelled', 'enough');

-- the answer, were things so; ids and names of processes vary
CREATE FUNCTION answer(key text, change text, OUT waiting_on text, OUT next text, OUT waiting_detail text, OUT what_next text) LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    IF change <> '' THEN
      EXECUTE change USING key;
    END IF;
    SELECT w.waiting_on, to_char(w.next_action_at, 'DD HH24:MI'), w.waiting_detail, w.what_next INTO waiting_on, next, waiting_detail, what_next
    FROM workflow.where_is('w:' || key) AS w;
    RAISE SQLSTATE 'P0999';
  EXCEPTION WHEN SQLSTATE 'P0999' THEN
    waiting_detail := regexp_replace(waiting_detail, '(job|item|review|effect|session|resume|pid)([ (]+)[0-9]+', '\1\2N', 'g');
    waiting_detail := regexp_replace(waiting_detail, '(since) 20[0-9-]+ [0-9:.]+\+00', '\1 TIME', 'g');
    what_next := regexp_replace(what_next, '(resolve|replay|decide|resume)\([0-9]+', '\1(N', 'g');
  END;
END
$$;
CREATE FUNCTION job(key text, change text) RETURNS text LANGUAGE sql STRICT AS $$
  SELECT format('UPDATE workflow.job SET %s WHERE item_id = (SELECT item_id FROM workflow.item WHERE workflow = ''w'' AND key = %L)', change, key)
$$;
CREATE FUNCTION effect(key text, change text) RETURNS text LANGUAGE sql STRICT AS $$
  SELECT format('UPDATE workflow.effect SET %s WHERE key = %L', change, key)
$$;
\pset format unaligned
\pset expanded on

-- a call, from the claim to the end of its effect
SELECT s.job, s.effect, a.* FROM (VALUES
  (1, '', ''),
  (2, 'status = ''running'', worker = ''http 1'', claimed_at = ''2030-01-01 12:00 UTC'', session_pid = 1', 'state = ''claimed'''),
  (3, 'status = ''running'', worker = ''http 1'', claimed_at = ''2030-01-01 12:00 UTC'', session_pid = 1',
      'state = ''sending'', sending_at = ''2030-01-01 12:00 UTC'', deadline = ''2030-01-01 12:01 UTC'''),
  (4, 'status = ''waiting'', waiting_on = ''effect''', 'state = ''unknown'', unknown_attempts = 1, attempts = 1, next_at = ''2030-01-01 12:10 UTC'''),
  (5, 'status = ''waiting'', waiting_on = ''effect''', 'state = ''held'', unknown_attempts = 1, attempts = 1, reason = ''no answer'''),
  (6, 'status = ''waiting'', waiting_on = ''blocked''', 'state = ''blocked'', reason = ''secret "token" cannot be read'''),
  (61, 'status = ''waiting'', waiting_on = ''blocked''', 'state = ''blocked'', status = 401, attempts = 1, reason = ''HTTP 401: the credentials were refused'''),
  (7, 'status = ''waiting'', waiting_on = ''effect''', 'state = ''succeeded'', finished_at = ''2030-01-01 12:00 UTC'''),
  (8, 'status = ''waiting'', waiting_on = ''effect''', 'state = ''failed'', finished_at = ''2030-01-01 12:00 UTC'''),
  (9, 'status = ''waiting'', waiting_on = ''effect''', 'state = ''dead'', finished_at = ''2030-01-01 12:00 UTC'''),
  (10, 'status = ''waiting'', waiting_on = ''effect''', 'state = ''cancelled'', finished_at = ''2030-01-01 12:00 UTC'''),
  (11, 'status = ''waiting'', waiting_on = ''effect''', 'state = ''pending'', unknown_attempts = 1, attempts = 1'),
  (12, 'attempt = 1, error_class = ''timeout'', run_at = ''2030-01-01 12:05 UTC''', 'attempts = 3, charged = 1, error_class = ''timeout'', next_at = ''2030-01-01 12:05 UTC'''),
  (13, 'error_class = ''rate_limited'', run_at = ''2030-01-01 12:05 UTC''', 'attempts = 4, error_class = ''rate_limited'', next_at = ''2030-01-01 12:05 UTC'''),
  (14, 'run_at = ''2030-01-01 13:00 UTC''', ''),
  (15, 'waiting_on = ''breaker'', run_at = ''2030-01-01 12:05 UTC''', ''),
  (16, 'waiting_on = ''paused'', run_at = ''2030-01-01 12:05 UTC''', ''),
  (17, 'waiting_on = ''rate_limit'', run_at = ''2030-01-01 12:05 UTC''', ''),
  (18, 'waiting_on = ''max_in_flight'', run_at = ''2030-01-01 12:05 UTC''', ''),
  (19, 'waiting_on = ''retry'', run_at = ''2030-01-01 12:05 UTC''', ''),
  (20, 'status = ''dead'', error_class = ''permanent'', failed_at = ''2030-01-01 12:00 UTC'', attempt = 3', 'state = ''failed'', finished_at = ''2030-01-01 12:00 UTC''')
) AS s (place, job, effect),
  LATERAL answer('call', concat_ws(';', job('call', nullif(s.job, '')), effect('call', nullif(s.effect, '')))) AS a
ORDER BY s.place;

-- its endpoint, as it is said to be
SELECT s.endpoint, a.waiting_on, a.next, a.waiting_detail FROM (VALUES
  (1, 'breaker', 'breaker = ''open'', breaker_since = ''2030-01-01 11:00 UTC'', breaker_until = ''2030-01-01 12:05 UTC'', breaker_reason = ''5 failures in a row'''),
  (2, 'breaker', 'breaker = ''half_open'', breaker_since = ''2030-01-01 11:00 UTC'', breaker_probe = 1, breaker_reason = ''5 failures in a row'''),
  (3, 'paused', 'paused_at = ''2030-01-01 11:00 UTC'', paused_by = ''anna'', pause_reason = ''migration'''),
  (4, 'rate_limit', 'pause_until = ''2030-01-01 12:30 UTC''')
) AS s (place, reason, endpoint),
  LATERAL answer('call', concat_ws(';', job('call', format('waiting_on = %L, run_at = ''2030-01-01 12:05 UTC''', s.reason)),
                                   'UPDATE workflow.endpoint SET ' || s.endpoint)) AS a
ORDER BY s.place;

-- a task: who may take it now, who has it, whose turn it is
SELECT s.job, s.queue, a.* FROM (VALUES
  (1, '', ''),
  (2, 'status = ''running'', worker = ''w1'', claimed_at = ''2030-01-01 12:00 UTC'', lease_until = ''2030-01-01 13:00 UTC'', token = ''t''', ''),
  (3, 'status = ''running'', worker = ''w1'', claimed_at = ''2030-01-01 12:00 UTC'', session_pid = 7', ''),
  (4, 'attempt = 1, error_class = ''timeout'', run_at = ''2030-01-01 12:05 UTC''', ''),
  (5, 'run_at = ''2030-01-01 13:00 UTC''', ''),
  (6, 'status = ''dead'', error_class = ''permanent'', failed_at = ''2030-01-01 12:00 UTC'', attempt = 3', ''),
  (7, '', 'paused_at = ''2030-01-01 11:00 UTC'', paused_by = ''anna'''),
  (8, '', 'rate_count = 2, rate_per = ''1 hour'''),
  (9, '', 'max_running = 1'),
  (10, 'group_key = ''g''', ''),
  (11, '', 'fair = true'),
  (12, 'status = ''waiting'', waiting_on = ''effect''', '')
) AS s (place, job, queue),
  LATERAL answer('task', concat_ws(';', job('task', nullif(s.job, '')), 'UPDATE workflow.queue SET ' || nullif(s.queue, '') || ' WHERE queue = ''q''',
    CASE s.place WHEN 8 THEN 'INSERT INTO workflow.rate VALUES (''2030-01-01 13:00 UTC'', ''queue'', ''q'', '''')'
                 WHEN 9 THEN job('other', 'status = ''running'', worker = ''w9'', claimed_at = ''2030-01-01 11:30 UTC'', lease_until = ''2030-01-01 13:00 UTC''')
                 WHEN 10 THEN job('other', 'group_key = ''g'', status = ''running'', worker = ''w9'', claimed_at = ''2030-01-01 11:30 UTC''') END)) AS a
ORDER BY s.place;
-- a job that waits behind others of its group or queue
SELECT a.* FROM answer('other', job('task', 'group_key = ''g''') || ';' || job('other', 'group_key = ''g''')) AS a;
SELECT a.* FROM answer('other', '') AS a;

-- a sql activity, whose failure nobody handles
SELECT a.* FROM answer('work', '') AS a;

-- people: a review in each hand, and one that is overdue
SELECT s.review, a.* FROM (VALUES
  (1, 'ask', ''),
  (2, 'ask', 'assignee = ''anna'', claimed_at = ''2030-01-01 12:00 UTC'''),
  (3, 'ask', 'assignee = ''boss'''),
  (4, 'ask', 'step = 1'),
  (5, 'ask', 'step = 2'),
  (6, 'late', '')
) AS s (place, key, review),
  LATERAL answer(s.key, 'UPDATE workflow.review SET ' || nullif(s.review, '') || ' WHERE state = ''ASK''') AS a
ORDER BY s.place;

-- what needs no job
SELECT k.key, a.* FROM unnest(ARRAY['start', 'wait', 'split', 'broken', 'cancelled']) WITH ORDINALITY AS k (key, place),
  LATERAL answer(k.key, '') AS a ORDER BY k.place;

-- pauses come before everything else, and say who ends them
SELECT k.change, a.* FROM (VALUES
  (1, 'SELECT workflow.pause(''w:task'', ''holidays'')'), (2, 'SELECT workflow.pause_workflow(''w'', ''audit'')'),
  (3, 'SELECT workflow.pause(''w:task'', ''holidays''); SELECT workflow.pause_workflow(''w'', ''audit'')')) AS k (place, change),
  LATERAL answer('task', k.change) AS a ORDER BY k.place;

-- a prepared transaction has no process
BEGIN;
SELECT FROM workflow.item WHERE workflow = 'w' AND key = 'start' FOR UPDATE;
PREPARE TRANSACTION 'held';
SELECT waiting_detail FROM answer('start', '');
ROLLBACK PREPARED 'held';
SELECT waiting_detail FROM answer('start', '');

-- no standing is left out: each has said what it waits for and what comes
SELECT count(*) AS silent FROM (
  SELECT a.* FROM unnest(ARRAY['ready', 'running', 'waiting', 'dead']) AS s (status),
    unnest(ARRAY[NULL, 'review', 'exception', 'effect', 'blocked', 'paused', 'breaker', 'rate_limit', 'max_in_flight', 'retry']) AS o (waiting_on),
    unnest(ARRAY['pending', 'claimed', 'sending', 'succeeded', 'failed', 'unknown', 'held', 'blocked', 'dead', 'cancelled']) AS e (state),
    LATERAL answer('call', job('call', format('status = %L, waiting_on = %L, worker = ''w'', claimed_at = now()', s.status, o.waiting_on)) || ';'
                           || effect('call', format('state = %L', e.state))) AS a
  UNION ALL
  SELECT a.* FROM unnest(ARRAY['task', 'work']) AS k (key), unnest(ARRAY['ready', 'running', 'waiting', 'dead']) AS s (status),
    LATERAL answer(k.key, job(k.key, format('status = %L, worker = ''w'', claimed_at = now()', s.status))) AS a) AS x
WHERE coalesce(x.waiting_on, '') = '' OR coalesce(x.waiting_detail, '') = '' OR coalesce(x.what_next, '') = '';
