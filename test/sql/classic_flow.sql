--
-- The classic flow: every path through its seventeen states, walked by a
-- worker that is nothing but psql (examples/classic_flow).
--
CREATE EXTENSION pg_workflow;
\getenv srcdir PG_ABS_SRCDIR
\set definition :srcdir /../examples/classic_flow/definition.json
\set worker :srcdir /../examples/classic_flow/worker.sql
\set document `cat :'definition'`
\set ECHO none
SELECT * FROM workflow.define(:'document');
\set ECHO all

-- seventeen states, no more and no less, and all their transitions
SELECT count(*) FROM workflow._graph_states('classic_flow', 1) AS s WHERE s.state <> 'CANCELLED';
SELECT s.key AS state, e.key AS event, e.value AS leads_to
FROM workflow.document('classic_flow') AS d,
     json_each(d -> 'states') WITH ORDINALITY AS s,
     json_each_text(s.value -> 'on') WITH ORDINALITY AS e
ORDER BY s.ordinality, e.ordinality;

SET client_min_messages = warning;
-- one ticket for each path; what the model will say is in the ticket
SELECT t.ticket, s.state, s.created
FROM (VALUES ('auto',     '{"team": "billing", "confidence": 0.95}'::jsonb),
             ('approve',  '{"team": "sales", "confidence": 0.7}'),
             ('reject',   '{"team": "sales", "confidence": 0.7}'),
             ('escalate', '{"team": "technical", "confidence": 0.6}'),
             ('low',      '{"team": "billing", "confidence": 0.2}'),
             ('invalid',  '{"team": "astrology", "confidence": 0.99}')) AS t (ticket, pretend),
     LATERAL workflow.submit('classic_flow', jsonb_build_object(
       'ticket', t.ticket, 'target_queue', 'support', 'classifier_version', 3, 'pretend', t.pretend)) AS s
ORDER BY t.ticket;

-- the same ticket again is the same item
SELECT state, created, same_input FROM workflow.submit('classic_flow',
  '{"ticket": "auto", "target_queue": "support", "classifier_version": 3,
    "pretend": {"team": "billing", "confidence": 0.95}}');

-- the worker checks all tickets, then asks the model for all
\set ECHO none
\o /dev/null
\ir :worker
\ir :worker
\o
\set ECHO all
SELECT key, state FROM workflow.items WHERE workflow = 'classic_flow' ORDER BY key;

-- no way leads from here to the end
\set VERBOSITY sqlstate
UPDATE workflow.item SET state = 'ACTION_COMPLETED' WHERE key = 'low:support:3';

-- people decide; a reason is required to reject
SELECT workflow.decide(r.id, 'reject')
FROM workflow.review_inbox AS r JOIN workflow.items AS i USING (item_id) WHERE i.key LIKE 'reject:%';
SELECT i.key, d.*
FROM workflow.review_inbox AS r JOIN workflow.items AS i USING (item_id),
     LATERAL workflow.decide(r.id, split_part(i.key, ':', 1), 'as the ticket says') AS d
ORDER BY i.key;

-- the model's answer is mended, and the item goes on from where it came
SELECT workflow.replay('classic_flow:low:support:3', 'asked the customer',
                       '{"model": {"team": "billing", "confidence": 1}}');
SELECT key, state FROM workflow.items WHERE key LIKE 'low:%';
-- what cannot be mended is given up
SELECT state FROM workflow.send('classic_flow:invalid:support:3', 'give_up', reason => 'no such team');

-- the worker acts
\set ECHO none
\o /dev/null
\ir :worker
\o
\set ECHO all
SELECT key, state, outcome FROM workflow.items WHERE workflow = 'classic_flow' ORDER BY key;

-- every move is in the log, and the log leads to the state
SELECT i.key, string_agg(t.event, ' ' ORDER BY t.seq) AS events
FROM workflow.transition AS t JOIN workflow.items AS i USING (item_id)
WHERE i.workflow = 'classic_flow' GROUP BY i.key ORDER BY i.key;
SELECT i.key, v.ok, v.problem FROM workflow.items AS i, workflow.verify(i.item_id) AS v
WHERE i.workflow = 'classic_flow' ORDER BY i.key;
SELECT count(*) AS jobs_left FROM workflow.job;
