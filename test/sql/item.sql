--
-- Items: submitted once, moved by events, stopped, cancelled.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT * FROM workflow.define('{
  "workflow": "order", "owner": "sales", "key": ["$.id"], "initial": "NEW",
  "input_schema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}},
  "states": {
    "NEW":    {"then": "next", "on": {"next": "OPEN"}},
    "OPEN":   {"as": "payment", "on": {"paid": "PAID", "drop": "DROPPED"}},
    "PAID":   {"on": {"ship": "DONE"}},
    "DONE":   {"final": "delivered"},
    "DROPPED":{"final": "dropped"}}}');

-- a submission starts an item; the same key finds it again
SELECT * FROM workflow.submit('order', '{"id": 1}', priority => 3, labels => '{"tenant": "a"}');
SELECT * FROM workflow.submit('order', '{"id": 1}');
SELECT * FROM workflow.submit('order', '{"id": 1, "more": true}');
SELECT item_id, workflow, version, key, source, event_id, state, input, data, outcome, owner, labels FROM workflow.items;
SELECT seq, from_state, event, to_state, kind, actor = current_user AS by_me FROM workflow.transition ORDER BY seq;

-- the same (source, event_id) is the same item, whatever the key
SELECT state, created, same_input FROM workflow.submit('order', '{"id": 2}', source => 'shop', event_id => 'e1');
SELECT state, created, same_input FROM workflow.submit('order', '{"id": 2}', key => 'other', source => 'shop', event_id => 'e1');
SELECT key, source, event_id, state FROM workflow.items ORDER BY item_id;

-- many at once, in order
SELECT state, created, same_input FROM workflow.submit_many('order', ARRAY['{"id": 3}', '{"id": 1}', '{"id": 3}']::jsonb[]);

-- routes: {...} of the key, else before the first slash, else all
SELECT count(s.created)
FROM unnest(ARRAY['a{b}c', 'a/b/c', 'abc', '{}x']) AS key, workflow.submit('order', '{"id": 9}', key => key) AS s;
SELECT key, route FROM workflow.item WHERE input = '{"id": 9}' ORDER BY item_id;

-- refusals, each by its SQLSTATE
\set VERBOSITY sqlstate
SELECT workflow.submit('order', '{"id": 1, "more": true}', on_conflict => 'error');
SELECT workflow.submit('order', '{"id": "x"}');
SELECT workflow.submit('order', '[1]');
SELECT workflow.submit('nothing', '{}');
SELECT workflow.submit('order', NULL);
SELECT workflow.submit('order', '{"id": 1}', on_conflict => 'maybe');
SELECT workflow.submit('order', '{"id": 7}', key => '1', source => 'shop', event_id => 'e1');
\set VERBOSITY default

-- an event moves the item, once for each id; its data is kept under "as"
SELECT * FROM workflow.send('order:1', 'paid', '{"amount": 5}', 'bank', 'p1', reason => 'transfer');
SELECT * FROM workflow.send('order:1', 'paid', '{"amount": 5}', 'bank', 'p1');
SELECT data FROM workflow.items WHERE key = '1';
SELECT seq, event, kind, reason, data FROM workflow.transition WHERE item_id = 1 ORDER BY seq;

-- an event that is legal later is kept, and fires when its state is reached
SELECT * FROM workflow.send('order:2', 'ship', source => 'depot', event_id => 's1');
SELECT * FROM workflow.send('order:2', 'ship', source => 'depot', event_id => 's1');
SELECT * FROM workflow.send('order:2', 'paid');
SELECT t.seq, t.event, t.to_state FROM workflow.item AS i JOIN workflow.transition AS t USING (item_id)
WHERE i.key = '2' ORDER BY t.seq;
SELECT event, source, event_id, seq FROM workflow.event ORDER BY event_no;

-- one that never can be is refused, naming what is allowed
\set VERBOSITY sqlstate
SELECT workflow.send('order:3', 'fly');
SELECT workflow.send('order:2', 'paid');
SELECT workflow.send('order:3', 'paid', expected_seq => 1);
SELECT workflow.send('order:404', 'paid');
SELECT workflow.send(404, 'paid');
SELECT workflow.send(NULL::bigint, 'paid');
SELECT workflow.send('order:3', NULL);
\set VERBOSITY terse
SELECT workflow.send('order:3', 'fly');
\set VERBOSITY default
SELECT * FROM workflow.send('order:3', 'paid', expected_seq => 2);

-- paused: events are refused; resumed: they pass; both are on record
SELECT workflow.pause('order:3', 'audit');
\set VERBOSITY sqlstate
SELECT workflow.send('order:3', 'ship');
UPDATE workflow.item SET state = 'DONE' WHERE key = '3';
\set VERBOSITY default
SELECT workflow.resume('order:3', 'audit passed');
SELECT * FROM workflow.send('order:3', 'ship');
SELECT action, item_id IS NOT NULL AS of_item, reason FROM workflow.journal ORDER BY journal_id;

-- the whole workflow
SELECT workflow.pause_workflow('order', 'stocktaking');
SELECT state, created FROM workflow.submit('order', '{"id": 100}');
\set VERBOSITY sqlstate
SELECT workflow.send('order:1', 'ship');
SELECT workflow.send('order:100', 'paid');
\set VERBOSITY default
SELECT workflow.resume_workflow('order', 'done');
SELECT * FROM workflow.send('order:1', 'ship');

-- cancel, where the state does not handle it, ends in CANCELLED
SELECT item_id FROM workflow.submit('order', '{"id": 20}') \gset
SELECT workflow.cancel(:item_id, 'changed my mind');
SELECT state, outcome FROM workflow.items WHERE item_id = :item_id;
SELECT seq, event, to_state, kind, reason FROM workflow.transition WHERE item_id = :item_id ORDER BY seq;
\set VERBOSITY sqlstate
SELECT workflow.cancel(:item_id, 'again');
SELECT workflow.pause(:item_id, 'too late');
\set VERBOSITY default

-- item, log and definition agree for every item
SELECT count(*) > 5 AS items, bool_and(v.ok) AS all_ok FROM workflow.item AS i, workflow.verify(i.item_id) AS v;

-- an input kept elsewhere
SELECT created FROM workflow.submit('order', '{"id": 30}', input_ref => 's3://bucket/30');
SELECT input_ref FROM workflow.item WHERE key = '30';
