--
-- migrate(): a timeout that came due in a pause, and was put aside.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
CREATE FUNCTION document(timeout text) RETURNS json LANGUAGE sql AS $$
  SELECT format('{"workflow": "w", "owner": "me", "initial": "ASK", "key": "$.id",
    "states": {"ASK": {%s "on": {"ok": "DONE", "timeout": "LATE"}}, "DONE": {"final": "done"}, "LATE": {"final": "late"}}}', timeout)::json
$$;
SELECT version FROM workflow.define(document('"timeout": "1 hour",'));
SELECT version FROM workflow.define(document('"timeout": "2 days",'));
SELECT version FROM workflow.define(document('"timeout": {"after": "3 hours", "event": "ok"},'));
SELECT workflow.activate('w', 1);
SET pg_workflow.clock = '2030-01-01 00:00+00';
SELECT count(workflow.submit('w', jsonb_build_object('id', n))) FROM generate_series(1, 2) AS n;
SELECT workflow.pause('w:1', 'lunch'), workflow.pause('w:2', 'lunch');
SET pg_workflow.clock = '2030-01-01 02:00+00';
CALL workflow.run();
SELECT due_at, paused_due_at AT TIME ZONE 'UTC' AS put_aside FROM workflow.timer ORDER BY item_id;

-- the limit of the other version counts, when the item goes on
SELECT verdict, items FROM workflow.migrate('w', 1, 2, dry_run => false, max_items => 1);
SELECT verdict, items FROM workflow.migrate('w', 1, 3, dry_run => false);
SELECT workflow.resume('w:1', 'back'), workflow.resume('w:2', 'back');
CALL workflow.run();
SELECT key, state FROM workflow.item ORDER BY key;
SELECT event, due_at AT TIME ZONE 'UTC' AS due_at FROM workflow.timer ORDER BY item_id;
SET pg_workflow.clock = '2030-01-01 03:00+00';
CALL workflow.run();
SELECT key, state FROM workflow.item ORDER BY key;
SET pg_workflow.clock = '2030-01-03 00:00+00';
CALL workflow.run();
SELECT key, state FROM workflow.item ORDER BY key;

-- a start that came due in a pause comes when the item goes on
CREATE FUNCTION late_document(days text) RETURNS json LANGUAGE sql AS $$
  SELECT format('{"workflow": "s", "owner": "me", "initial": "WAIT", "key": "$.id",
    "states": {"WAIT": {"wait": {"for": "%s"}, "on": {"ok": "DONE"}}, "DONE": {"final": "done"}}}', days)::json
$$;
SELECT version FROM workflow.define(late_document('1 day'));
SELECT version FROM workflow.define(late_document('2 days'));
SELECT workflow.activate('s', 1);
SET pg_workflow.clock = '2030-01-01 00:00+00';
SELECT state FROM workflow.submit('s', '{"id": 1}', run_at => '2030-01-01 01:00+00');
SELECT workflow.pause('s:1', 'lunch');
SET pg_workflow.clock = '2030-01-01 02:00+00';
CALL workflow.run();
SELECT verdict, items FROM workflow.migrate('s', 1, 2, dry_run => false);
SELECT workflow.resume('s:1', 'back');
CALL workflow.run();
SELECT kind, due_at AT TIME ZONE 'UTC' AS due_at FROM workflow.timer;
SET pg_workflow.clock = '2030-01-04 00:00+00';
CALL workflow.run();
SELECT state FROM workflow.item WHERE workflow = 's';
SELECT count(*) AS wrong FROM workflow.item AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok;
