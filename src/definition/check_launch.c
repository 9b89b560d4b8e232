/*
 * check_launch.c
 *	  What is doubtful before the first item runs: errors that nobody handles,
 *	  events that nothing raises.
 *
 * Nothing here breaks the graph; these are warnings, which define() says, and
 * notices, which only check() does.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "miscadmin.h"
#include "utils/memutils.h"

static bool
has_own_event(const WfState *state, const char *event)
{
	const WfTransition *transition = wf_state_transition(state, event);

	return transition != NULL && !transition->from_any;
}

/* -------------------------------------------------------------------- events */

static void
check_error_handled(WfCheck *check, const WfState *state)
{
	if (wf_check_declares(check, state, "error"))
		return;
	if (state->kind == WF_ACTIVITY_SPAWN)
		wf_check_warning(check, "unhandled_error",
						 "add \"error\" to \"on\", or to \"any\"",
						 "when too many children have failed the item stays, until somebody replays or cancels it, or sends an event");
	else if (wf_state_is_attempted(state))
		wf_check_warning(check, "unhandled_error",
						 "add \"error\" to \"on\", or to \"any\"",
						 "when the activity has failed for good the item stays, and its job is a dead letter");
}

/*
 * Returns the events that the engine, or a function made for it, raises in the
 * state, and that nobody would choose for another purpose.
 */
static List *
engine_events(const WfState *state)
{
	List	   *events = list_copy(wf_state_raised_events(state));

	if (state->kind == WF_ACTIVITY_NONE)
		return events;
	events = lappend(events, "error");
	if (state->kind == WF_ACTIVITY_TASK)
		events = lappend(events, "ok");
	if (state->kind == WF_ACTIVITY_REVIEW)
		events = lappend(events, "overdue");
	if (state->kind == WF_ACTIVITY_EXCEPTION)
		events = lappend(lappend(events, "replay"), "give_up");

	return events;
}

/*
 * Which of the engine's events may have been meant: the nearest of those that
 * the state does not handle by itself.  *is_one: it is one of them.
 */
static char *
nearest_event(const WfState *state, const char *event, bool *is_one)
{
	List	   *events = engine_events(state);
	const char **candidates = palloc(sizeof(char *) * (list_length(events) + 1));
	int			n = 0;
	ListCell   *cell;

	*is_one = false;
	foreach(cell, events)
	{
		*is_one = *is_one || strcmp(lfirst(cell), event) == 0;
		if (!has_own_event(state, lfirst(cell)))
			candidates[n++] = lfirst(cell);
	}

	return *is_one ? NULL : wf_did_you_mean(event, candidates, n);
}

/*
 * Whether the document gives a state a timeout, be it one that cannot be read.
 */
static bool
has_timeout(const WfCheck *check, const WfState *state)
{
	JsonbValue *own = wf_jsonb_value_get(wf_jsonb_value_get(check->root, "states"), state->name);
	JsonbValue *name = wf_jsonb_value_get(own, "activity");

	return wf_jsonb_value_get(own, "timeout") != NULL ||
		(name != NULL && name->type == jbvString &&
		 wf_jsonb_value_get(wf_jsonb_value_get(wf_jsonb_value_get(check->root, "activities"),
											   wf_jsonb_value_text(name)), "timeout") != NULL);
}

/*
 * Whether one of the states, or activities, of a document says how it is taken
 * back.
 */
static bool
can_revert(JsonbValue *holders)
{
	int			count;
	WfMember   *members = wf_jsonb_members(holders, &count);

	for (int i = 0; i < count; i++)
		if (wf_jsonb_value_is_object(wf_jsonb_value_get(wf_jsonb_value_get(&members[i].value, "http"),
														"revert")))
			return true;

	return false;
}

/*
 * "compensated" comes when all reverts have succeeded.
 */
static char *
check_compensated(WfCheck *check, const WfState *state, const char *event)
{
	static const char *const names[] = {WF_EVENT_COMPENSATED};
	bool		is_possible = can_revert(wf_jsonb_value_get(check->root, "states")) ||
	can_revert(wf_jsonb_value_get(check->root, "activities"));

	if (strcmp(event, WF_EVENT_COMPENSATED) != 0)
		return is_possible && !state->awaits_compensation ? wf_did_you_mean(event, names, 1) : NULL;
	if (!is_possible)
		wf_check_warning(check, "nothing_to_compensate", "give the actions that are to be taken back a \"revert\"",
						 "no action has a \"revert\"");

	return NULL;
}

/*
 * Anybody may send an event of any name to a state that waits; to one that is
 * decided at once nobody can.
 */
static void
check_event_name(WfCheck *check, const WfState *state, const char *event)
{
	bool		is_one;
	char	   *nearest = nearest_event(state, event, &is_one);
	bool		is_deadline = strcmp(event, "timeout") == 0;

	if (is_one)
		return;
	if (wf_state_is_instant(state))
		wf_check_warning(check, "never_raised", nearest != NULL ? nearest : "leave it out",
						 "a \"%s\" never raises \"%s\"", wf_activity_name(state->kind), event);
	else if (nearest != NULL || (nearest = check_compensated(check, state, event)) != NULL)
		wf_check_warning(check, "misspelled_event", nearest,
						 "nothing raises \"%s\" unless somebody sends it", event);
	else if (is_deadline ? !has_timeout(check, state) : strcmp(event, "overdue") == 0)
		wf_check_notice(check, "never_raised",
						is_deadline ? "give the state a \"timeout\"" : "only a review is ever overdue",
						"nothing raises \"%s\" unless somebody sends it", event);
}

static void
check_event_names(WfCheck *check, const WfState *state)
{
	for (int i = 0; i < state->ntransitions; i++)
	{
		int			mark = check->path.len;

		if (state->transitions[i].from_any)
			continue;
		(void) wf_check_enter(check, "on");
		(void) wf_check_enter(check, state->transitions[i].event);
		check_event_name(check, state, state->transitions[i].event);
		wf_check_leave(check, mark);
	}
}

/* ----------------------------------------------------------------------- any */

/*
 * What "any" says counts in states that do not say it themselves.
 */
static void
check_any_used(WfCheck *check, const WfGraph *graph)
{
	int			count;
	WfMember   *events = wf_jsonb_members(wf_jsonb_value_get(wf_jsonb_value_get(check->root, "any"), "on"), &count);

	for (int i = 0; i < count; i++)
	{
		bool		used = false;
		int			mark = check->path.len;

		for (int j = 0; j < graph->nstates && !used; j++)
		{
			const WfTransition *transition = wf_state_transition(&graph->states[j], events[i].key);

			used = transition != NULL && transition->from_any;
		}
		(void) wf_check_enter(check, "any");
		(void) wf_check_enter(check, "on");
		(void) wf_check_enter(check, events[i].key);
		if (!used)
			wf_check_notice(check, "unused", "leave it out",
							"every state handles \"%s\" itself", events[i].key);
		wf_check_leave(check, mark);
	}
}

static void
report_unchecked(WfCheck *check, const WfState *state)
{
	int			mark = check->path.len;

	(void) wf_check_enter_activity(check, state, NULL);
	wf_check_warning(check, "unchecked_model",
					 psprintf("give it a \"schema\", or let a state follow with {\"validate\": {\"value\": \"$.%s\", \"schema\": {...}}}",
							  state->result_key),
					 "no schema is checked against what the model answers");
	wf_check_leave(check, mark);
}

void
wf_check_launch(WfCheck *check, const WfGraph *graph)
{
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "wf check of a state",
											   ALLOCSET_DEFAULT_SIZES);
	bool	   *unchecked = wf_find_unchecked_models(graph);

	for (int i = 0; i < graph->nstates; i++)
	{
		const WfState *state = &graph->states[i];
		int			mark = wf_check_enter_state(check, state->name);
		MemoryContext previous = MemoryContextSwitchTo(each);

		CHECK_FOR_INTERRUPTS();
		check_error_handled(check, state);
		check_event_names(check, state);
		wf_check_spawn_launch(check, state);
		if (unchecked[i])
			report_unchecked(check, state);
		wf_check_gate_guarded(check, graph, i);
		wf_check_gate_samples(check, graph, state);
		wf_check_gate_verdicts(check, graph, state);
		wf_check_times(check, state);
		(void) MemoryContextSwitchTo(previous);
		MemoryContextReset(each);
		wf_check_leave_state(check, mark);
	}
	wf_check_loops(check, graph);
	wf_check_data_flow(check, graph);
	wf_check_action_keys(check, graph);
	if (graph->nstates > 0 && !wf_check_has_errors(check))
		check_any_used(check, graph);
	MemoryContextDelete(each);
}
