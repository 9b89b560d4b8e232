--
-- where_is() of a review whose clock stands: nothing happens before it goes on, but what has another clock.
--
CREATE EXTENSION pg_workflow;
SET client_min_messages = error;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET pg_workflow.clock = '2030-01-01 12:00 UTC';
SELECT version FROM workflow.define('{
  "workflow": "w", "owner": "me", "key": ["$.id"], "initial": "ASK",
  "queues": {"q": {"owner": "desk", "sla": "1 hour", "escalate_to": ["lead", "boss"]}},
  "states": {
    "ASK":  {"timeout": {"after": "2 days", "event": "no"},
             "review": {"queue": "q", "decisions": ["yes", "no"], "on_overdue": "escalate"}, "on": {"yes": "DONE", "no": "DONE"}},
    "DONE": {"final": "success"}}}');
SELECT state FROM workflow.submit('w', '{"id": 1}');
SELECT waiting_on, next_action_at, sla_due_at FROM workflow.where_is('w:1');
SELECT workflow.pause_review(1, 'the customer is asked');
SELECT waiting_on, next_action_at, what_next FROM workflow.where_is('w:1');
SET pg_workflow.clock = '2030-01-01 12:30 UTC';
SELECT workflow.resume_review(1);
SELECT waiting_on, next_action_at, what_next FROM workflow.where_is('w:1');
SELECT workflow.pause_queue('q', 'a holiday');
SELECT waiting_on, next_action_at, what_next FROM workflow.where_is('w:1');

-- a state's own SLA counts, too: the earlier one is shown, and whose it is
SELECT workflow.resume_queue('q');
SELECT version FROM workflow.define('{
  "workflow": "s", "owner": "me", "key": ["$.id"], "initial": "BARE",
  "states": {
    "BARE":  {"sla": "3 hours", "on": {"go": "SOON"}},
    "SOON": {"sla": "20 minutes", "review": {"queue": "q", "decisions": ["yes"], "on_overdue": "escalate"}, "on": {"yes": "LATE"}},
    "LATE": {"sla": "5 hours", "review": {"queue": "q", "decisions": ["yes"], "on_overdue": "escalate"}, "on": {"yes": "DONE"}},
    "DONE": {"final": "success"}}}');
SELECT state FROM workflow.submit('s', '{"id": 1}');
SELECT sla_due_at, what_next FROM workflow.where_is('s:1');
SELECT count(workflow.send('s:1', 'go'));
SELECT sla_due_at, what_next FROM workflow.where_is('s:1');
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'yes') AS d WHERE r.workflow = 's';
SELECT sla_due_at, what_next FROM workflow.where_is('s:1');
SELECT d.state FROM workflow.review_inbox AS r, workflow.decide(r.id, 'yes') AS d WHERE r.workflow = 's';
SELECT sla_due_at, what_next FROM workflow.where_is('s:1');
