--
-- What tells one thing from another is neither empty, which would make all that lack it one, nor
-- longer than an index can hold.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
\set SHOW_CONTEXT never
SELECT workflow.create_queue('mail', 'ops', '1 hour', '{boss}');
SELECT version FROM workflow.define('{"workflow": "order", "owner": "shop", "initial": "OPEN", "key": ["$.id"],
  "states": {"OPEN": {"on": {"paid": "PAID"}}, "PAID": {"final": "paid"}}}');
SELECT workflow.create_source('shop', 'none', feed => '{"submit": {"workflow": "order"}}');
-- no compression makes it short
SELECT string_agg(md5(i::text), '') AS long FROM generate_series(1, 300) AS i \gset

-- the second job of a key that is empty would be the first one
SELECT workflow.enqueue('mail', '{"to": "ann"}', key => '');
\set VERBOSITY terse
SELECT workflow.enqueue('mail', '{"to": "ann"}', group_key => '');
SELECT workflow.enqueue('mail', '{"to": "ann"}', tenant => '');

-- and the second webhook without an id a repetition of the first
SELECT workflow.receive('shop', '', '{}', '{"id": 1}');
SELECT inbox_id FROM workflow.webhooks;

-- a key that the definition makes is no other than one that is given
SELECT workflow.submit('order', '{"id": ""}');
SELECT workflow.submit_many('order', '{"{\"id\": 1}", "{\"id\": \"\"}"}');
SELECT problem FROM workflow.receive('shop', 'e1', '{}', '{"id": ""}');
SELECT key FROM workflow.items;

-- what is too long
SELECT workflow.enqueue('mail', '{}', key => :'long');
SELECT workflow.enqueue('mail', '{}', group_key => :'long');
SELECT workflow.enqueue('mail', '{}', tenant => :'long');
SELECT workflow.submit('order', '{}', :'long');
SELECT workflow.submit('order', '{"id": 2}', source => 'shop', event_id => :'long');
SELECT workflow.submit('order', '{"id": 2}', source => :'long', event_id => 'e');
SELECT workflow.submit('order', jsonb_build_object('id', :'long'));
SELECT workflow.receive('shop', :'long', '{}', '{"id": 3}');
SELECT item_id AS item_id FROM workflow.submit('order', '{"id": 4}') \gset
\set VERBOSITY default
SELECT workflow.send(:item_id, 'paid', source => 'shop', event_id => :'long');
SELECT key, state FROM workflow.items;
