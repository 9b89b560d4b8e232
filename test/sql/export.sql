-- Figures for exporters: workflow.metrics and workflow.prometheus().
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE ROLE scraper IN ROLE pg_monitor;
CREATE ROLE nobody_special;

-- every metric is named, typed and explained; what nothing happened to is there with 0
SELECT workflow.define('{
  "workflow": "order", "owner": "shop", "initial": "NEW",
  "queues": {"packing": {"owner": "shop", "sla": "1 hour", "escalate_to": ["boss"]}},
  "states": {
    "NEW":    {"on": {"pack": "PACKED", "drop": "GONE"}},
    "PACKED": {"task": {"queue": "packing"}, "on": {"ok": "DONE", "error": "GONE"}},
    "DONE":   {"final": "success"},
    "GONE":   {"final": "failure"}}}');
CREATE SERVER "mail" FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://mail.example/', dedup 'key', owner 'post');
SELECT metric, type, labels, value FROM workflow.metrics
WHERE metric NOT LIKE '%\_queue\_%' AND metric NOT LIKE '%workers' ORDER BY metric, labels;
SELECT count(*) FILTER (WHERE help !~ '^[A-Z].*\.$') AS bad_help, count(*) FILTER (WHERE type NOT IN ('gauge', 'counter')) AS bad_type,
       count(*) FILTER (WHERE (type = 'counter') <> (metric LIKE '%\_total')) AS bad_counter,
       count(*) FILTER (WHERE metric !~ '^pg_workflow_[a-z_]+$') AS bad_name
FROM workflow.metrics;
SELECT metric, labels FROM workflow.metrics GROUP BY metric, labels HAVING count(*) > 1;
SELECT DISTINCT jsonb_object_keys(labels) AS label FROM workflow.metrics ORDER BY 1;

-- things happen
SELECT count(*) FROM workflow.submit_many('order', (SELECT array_agg(jsonb_build_object('id', n)) FROM generate_series(1, 5) AS n));
SELECT count(*) FROM workflow.items AS i, LATERAL workflow.send(i.item_id, 'pack') WHERE i.item_id <= 3;
SELECT workflow.complete(job_id, token) IS NULL FROM workflow.claim('packing', 'w', 1);
SELECT metric, labels - 'workflow' AS labels, value FROM workflow.metrics
WHERE labels ->> 'workflow' = 'order' AND metric NOT LIKE '%seconds' AND value <> 0 ORDER BY metric, labels;
SELECT metric, labels, value FROM workflow.metrics
WHERE labels ->> 'queue' = 'packing' AND metric NOT LIKE '%seconds' AND metric NOT LIKE '%per\_second' ORDER BY metric, labels;
SELECT labels ->> 'percentile' AS percentile, value >= 0 AS known FROM workflow.metrics
WHERE metric = 'pg_workflow_state_time_seconds' AND labels ->> 'state' = 'NEW' ORDER BY 1;

-- what is wrong, and whose it is
SELECT labels, value FROM workflow.metrics WHERE about = 'alerts' ORDER BY 1;
SET pg_workflow.clock = '+2 hours';
SELECT FROM workflow._look_for_alerts();
RESET pg_workflow.clock;
SELECT labels, value FROM workflow.metrics WHERE about = 'alerts' ORDER BY 1;
SELECT l FROM regexp_split_to_table(workflow.prometheus(), '\n') AS l WHERE l LIKE 'pg_workflow_alerts%';

-- folding changes nothing of that
CREATE TEMP TABLE before AS SELECT metric, labels, value FROM workflow.metrics WHERE metric LIKE '%total' OR metric = 'pg_workflow_items';
CALL workflow.run();
SELECT b.metric, b.labels, b.value, m.value FROM before AS b LEFT JOIN workflow.metrics AS m USING (metric, labels) WHERE b.value IS DISTINCT FROM m.value;

-- attempts of effects are counted, with what they came to; what is rolled back is none
SELECT effect_id, token FROM workflow.begin_effect('mail', 'letter:1', '{}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'applied');
SELECT effect_id, token FROM workflow.begin_effect('mail', 'letter:2', '{}') \gset
BEGIN;
SELECT workflow.finish_effect(:effect_id, :'token', 'applied');
ROLLBACK;
BEGIN;
SAVEPOINT one;
SELECT workflow.finish_effect(:effect_id, :'token', 'applied');
ROLLBACK TO one;
SELECT workflow.finish_effect(:effect_id, :'token', 'not_applied');
COMMIT;
SELECT labels, value FROM workflow.metrics WHERE metric = 'pg_workflow_effect_attempts_total' ORDER BY labels;
CALL workflow.run();
SELECT effect_id, token FROM workflow.begin_effect('mail', 'letter:3', '{}') \gset
SELECT workflow.finish_effect(:effect_id, :'token', 'applied');
SELECT labels, value FROM workflow.metrics WHERE metric = 'pg_workflow_effect_attempts_total' ORDER BY labels;
SELECT outcome, error_class, count(*) FROM workflow.attempts WHERE effect_id IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2;

-- the text: each metric once, its samples together, labels escaped
SELECT workflow.create_queue(E'a "b" \\ c\nd', 'ops', '1 hour', '{boss}');
SELECT line FROM regexp_split_to_table(workflow.prometheus(), E'\n') AS line
WHERE line LIKE '%queue_dead%' OR line LIKE '%pg_workflow_items{%' OR line LIKE '%pg_workflow_items %' OR line LIKE '%timers_overdue%';
SELECT right(workflow.prometheus(), 1) = E'\n' AS ends_with_a_line;
WITH line AS (
  SELECT line, substring(line FROM '^# HELP (\S+)') AS helped, substring(line FROM '^# TYPE (\S+)') AS typed,
         substring(line FROM '^([a-z_]+)') AS sampled, n
  FROM regexp_split_to_table(workflow.prometheus(), E'\n') WITH ORDINALITY AS l (line, n) WHERE line <> ''
)
SELECT count(*) FILTER (WHERE line !~ '^(# HELP pg_workflow_\S+ .+|# TYPE pg_workflow_\S+ (gauge|counter)|pg_workflow_[a-z_]+({([a-z]+="([^"\\\n]|\\["\\n])*",?)+})? -?[0-9.e+-]+)$') AS malformed,
       count(helped) - count(DISTINCT helped) AS helped_twice, count(typed) - count(DISTINCT typed) AS typed_twice,
       count(DISTINCT helped) = count(DISTINCT sampled) AS all_sampled
FROM line;

-- a server that was dropped and made anew goes on with the figures of its name, until it is used; one that was renamed has them
CREATE FUNCTION attempts() RETURNS TABLE (endpoint text, result text, class text, value double precision) LANGUAGE sql AS $$
  SELECT labels ->> 'endpoint', labels ->> 'result', labels ->> 'class', value FROM workflow.metrics WHERE metric = 'pg_workflow_effect_attempts_total' ORDER BY 1, 2, 3
$$;
SELECT * FROM attempts();
BEGIN;
DROP SERVER mail CASCADE;
CREATE SERVER mail FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://mail.example', dedup 'key', owner 'post');
SELECT * FROM attempts();
ROLLBACK;
BEGIN;
ALTER SERVER mail RENAME TO post;
SELECT * FROM attempts();
CREATE SERVER mail FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://mail.example', dedup 'key', owner 'post');
SELECT * FROM attempts();
ROLLBACK;

-- who may watch the server may read it; nobody else
SET ROLE scraper;
SELECT count(*) > 20 AS readable FROM workflow.metrics;
SELECT length(workflow.prometheus()) > 1000 AS readable;
SELECT count(*) > 0 AS readable FROM workflow.state_stats;
SELECT count(*) > 0 AS readable FROM workflow.state_history;
SELECT count(*) > 0 AS readable FROM workflow.history;
RESET ROLE;
SET ROLE nobody_special;
SELECT count(*) FROM workflow.metrics;
RESET ROLE;
DROP SERVER mail;
DROP EXTENSION pg_workflow CASCADE;
DROP ROLE scraper, nobody_special;
