/*
 * consequence.c
 *	  What happens because of a fault: when an item runs, runs twice, or goes
 *	  wrong.  One line a code; the codes are explained in the reference.
 */
#include "postgres.h"

#include "definition/definition_internal.h"

#define REFUSED "the document is refused and nothing is stored"

static const struct
{
	const char *code;
	const char *consequence;
}			consequences[] = {

	/* a value is not what it has to be */
	{"unknown_key", REFUSED},
	{"missing_key", REFUSED},
	{"duplicate_key", "one of the two would be lost without a word; " REFUSED},
	{"wrong_type", REFUSED},
	{"empty", REFUSED},
	{"bad_name", REFUSED},
	{"bad_value", REFUSED},
	{"bad_number", REFUSED},
	{"bad_interval", REFUSED},
	{"bad_time", REFUSED},
	{"bad_path", REFUSED},
	{"bad_header", REFUSED},
	{"bad_selector", REFUSED},
	{"bad_schema", REFUSED},
	{"bad_wait", REFUSED},
	{"too_deep", REFUSED},
	/* a name leads nowhere */
	{"unknown_state", "an item would move to a state that does not exist; " REFUSED},
	{"unknown_queue", "work would wait where nobody looks; " REFUSED},
	{"unknown_policy", REFUSED},
	{"unknown_class", "the class would never be tried again; " REFUSED},
	{"unknown_activity", REFUSED},
	{"unknown_decision", REFUSED},
	{"bad_function", "every attempt would fail; " REFUSED},
	/* keys that exclude each other */
	{"several_activities", REFUSED},
	{"final_with_exits", "an item that has ended would go on; " REFUSED},
	{"stores_nothing", REFUSED},
	{"never_waits", REFUSED},
	/* the graph */
	{"unreachable_state", "no item is ever in it"},
	{"dead_end", "an item that gets here stays for ever"},
	{"no_final", "an item that gets here never ends"},
	{"instant_cycle", "the transaction that enters it would go round for ever"},
	{"unhandled_event", "the item cannot leave by the event: it stays, and what it did is a dead letter or an error of who caused it"},
	{"unhandled_error", "after the last attempt the item stays where it is, among the dead letters, until a person replays or cancels it"},
	{"misspelled_event", "the event that is meant is not handled, and this one never comes"},
	{"never_raised", "the way out is never taken"},
	{"nothing_to_compensate", "the item goes on at once, and nothing was taken back"},
	{"unused", "it has no effect"},
	{"unset_selector", "a body has null there; a key, a path or a gate goes wrong, each time that it is tried"},
	/* children */
	{"unknown_workflow", "an item that gets here raises \"error\", or stays"},
	{"retired_workflow", "an item that gets here raises \"error\", or stays, until a version is active"},
	{"unknown_outcome", "no child ever succeeds by it"},
	{"recursive_spawn", "items start items until the array is empty, or 50 levels are reached"},
	{"overwritten_array", "the second time the state finds its results where the array was, and raises \"error\""},
	/* loops */
	{"busy_loop", "an item may go round without a pause and keep a worker busy, until somebody cancels it"},
	{"model_loop", "an item may go round and pay for a call each time, until somebody cancels it"},
	{"action_in_loop", "the second time nothing is sent if the request is the same, and WF005 is raised if it is another one"},
	/* gates, models */
	{"gate_hole", "a value in the hole would move the item nowhere"},
	{"gate_overlap", "a value in two tiers would take the first, and the other is never reached"},
	{"gate_unguarded", "a missing number takes the way of \"otherwise\", as a low one does"},
	{"sample_unseen", "the items of the sample are held up, and nobody learns from them how often the tier is wrong"},
	{"gate_unjudged", "people decide, and no figure of the gate says how often the tier is right"},
	{"unchecked_model", "whatever the model answers is taken as it is, also when it answers something else the second time"},
	{"unpriced_model", "its calls cost nothing that is known, and the budget is never spent"},
	{"not_pure", "after an unknown outcome a call that could be repeated may wait for a person"},
	/* what happens twice */
	{"effect_without_key", "a second attempt could not be told from a second action, so the action might happen twice"},
	{"no_key", "the same input submitted twice is two items, and all that they do is done twice"},
	{"literal_key", "the second item, or its action, is taken for the first one and nothing is done"},
	{"volatile_key", "a repeated attempt has another key, so the action happens again"},
	{"foreign_key", "the second of two items is given the result of the first one's action, or WF005"},
	{"shared_key", "the second of the two is never sent: WF005"},
	{"nobody_to_ask", "a call whose outcome is not known would wait for ever, and nobody is told"},
	{"held_for_person", "after a crash or a timeout the call is not repeated; the item waits until somebody finds out"},
	{"no_revert", "what was done stays done, or is undone by hand"},
	/* endpoints, functions, roles */
	{"missing_endpoint", "an item that gets here raises \"error\", or leaves a dead letter"},
	{"endpoint_refused", "an item that gets here raises \"error\", or leaves a dead letter"},
	{"no_definer", "no activity of its items runs: there is nobody whose rights it could have"},
	{"writes_refused", "every attempt fails where it writes"},
	{"security_definer", "whoever defines a workflow can have done what only that role may do"},
	/* time */
	{"no_timeout", "what hangs is noticed late, or never"},
	{"short_timeout", "a slow attempt that would succeed is too late, or the timeout is"},
	{"retry_cut_short", "the last attempts are never made; \"timeout\" is raised instead of \"error\""},
	{"timeout_waits", "the timeout may come much later than it says"},
	{"short_sla", "a single slow attempt is an alert"},
	{"long_retry", "people are alerted while all goes as the policy says"},
	{"retry_without_cap", "what never succeeds would be tried for ever"},
	{"useless_retry", "attempts and time are spent on what will fail again"},
	/* owners */
	{"default_owner", "alerts name the role that defined the workflow, who may be nobody's name"},
	{"default_overdue", "the next in the chain is told, one step per SLA period; the review stays open"},
	{"unwatched_queue", "work that waits too long would be seen by nobody; " REFUSED},
	{"queue_conflict", "the other workflow's work would wait by other rules; " REFUSED},
};

const char *
wf_fault_consequence(const char *code)
{
	for (int i = 0; i < lengthof(consequences); i++)
		if (strcmp(consequences[i].code, code) == 0)
			return consequences[i].consequence;

	return NULL;
}
