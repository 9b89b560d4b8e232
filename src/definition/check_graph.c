/*
 * check_graph.c
 *	  Faults that only the whole graph shows: events that nobody handles,
 *	  states that nothing leads to or out of, and cycles that never wait.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* ------------------------------------------------------------------- events */

bool
wf_check_declares(const WfCheck *check, const WfState *state, const char *event)
{
	JsonbValue *own;

	if (wf_state_transition(state, event) != NULL)
		return true;
	own = wf_jsonb_value_get(wf_jsonb_value_get(check->root, "states"), state->name);

	return wf_jsonb_value_get(wf_jsonb_value_get(own, "on"), event) != NULL ||
		wf_jsonb_value_get(wf_jsonb_value_get(wf_jsonb_value_get(check->root, "any"), "on"), event) != NULL;
}

static void
check_events(WfCheck *check, const WfState *state)
{
	ListCell   *cell;

	foreach(cell, wf_state_raised_events(state))
	{
		const char *event = lfirst(cell);

		if (!wf_check_declares(check, state, event))
			wf_check_error(check, "unhandled_event",
						   psprintf("add \"%s\" to \"on\"", event),
						   "%s raises \"%s\", which the state does not handle",
						   strcmp(event, state->timeout_event == NULL ? "" : state->timeout_event) == 0 ?
						   "the timeout" : wf_activity_name(state->kind), event);
	}
}

/*
 * Which of the events that a state handles may have been meant.
 */
static char *
nearest_handled(const WfState *state, const char *event)
{
	const char **names = palloc(sizeof(char *) * (state->ntransitions + 1));
	int			n = 0;

	for (int i = 0; i < state->ntransitions; i++)
		names[n++] = state->transitions[i].event;
	names[n++] = "escalate";

	return wf_did_you_mean(event, names, n);
}

/*
 * An overdue review is escalated to the next in the queue's chain, or decided
 * by an event of the state.
 */
static void
check_overdue(WfCheck *check, const WfState *state)
{
	char	   *event;
	char	   *nearest;
	int			mark = check->path.len;

	if (state->kind != WF_ACTIVITY_REVIEW)
		return;
	event = wf_jsonb_get_text(state->activity, "on_overdue");
	if (event == NULL || strcmp(event, "escalate") == 0 ||
		wf_check_declares(check, state, event))
		return;
	nearest = nearest_handled(state, event);
	(void) wf_check_enter_activity(check, state, "on_overdue");
	wf_check_error(check, "unhandled_event",
				   nearest != NULL ? nearest :
				   "write \"escalate\", or an event that the state handles",
				   "\"on_overdue\" is \"%s\", which the state does not handle", event);
	wf_check_leave(check, mark);
}

static void
check_result(WfCheck *check, const WfState *state)
{
	if (state->kind == WF_ACTIVITY_SQL && state->ntransitions > 0 &&
		!wf_check_declares(check, state, "ok"))
		wf_check_warning(check, "unhandled_event", "add \"ok\" to \"on\", unless the function always names an event",
						 "the function raises \"ok\" when its result names no event");
}

/* ------------------------------------------------------- reachable, dead end */

/*
 * Whether events lead to states that do not exist: then nothing can be said
 * about where an item gets to.
 */
static bool
is_incomplete(const WfCheck *check)
{
	ListCell   *cell;

	foreach(cell, check->faults)
		if (strcmp(((WfDocumentFault *) lfirst(cell))->code, "unknown_state") == 0)
		return true;

	return false;
}

static void
check_place(WfCheck *check, const WfState *state, bool is_reached, bool can_end)
{
	if (!is_reached)
		wf_check_warning(check, "unreachable_state", "let an event lead to it, or remove it",
						 "no event leads to this state");
	if (state->kind == WF_ACTIVITY_FINAL)
		return;
	if (state->ntransitions == 0)
		wf_check_error(check, "dead_end", "add \"on\", or make the state \"final\"",
					   "no event leads out of this state");
	else if (!can_end)
		wf_check_error(check, "no_final", "let an event lead to a \"final\" state",
					   "no final state can be reached from this state");
}

/*
 * An item has to be able to get to where it ends, or at least to where it is
 * reported that nothing leads out.
 */
static void
check_places(WfCheck *check, const WfGraph *graph)
{
	bool	   *reached = graph->initial < 0 ? NULL :
	wf_graph_reached(graph, &graph->states[graph->initial]);
	bool	   *ends = palloc(sizeof(bool) * graph->nstates);
	bool	   *can_end;

	for (int i = 0; i < graph->nstates; i++)
		ends[i] = graph->states[i].ntransitions == 0;
	can_end = wf_graph_leading_to(wf_ways_back(graph), ends);
	for (int i = 0; i < graph->nstates; i++)
	{
		int			mark;

		if (strcmp(graph->states[i].name, WF_STATE_CANCELLED) == 0)
			continue;
		mark = wf_check_enter_state(check, graph->states[i].name);
		check_place(check, &graph->states[i],
					reached == NULL || i == graph->initial || reached[i], can_end[i]);
		wf_check_leave_state(check, mark);
	}
}

/* ------------------------------------------------------------ instant cycles */

/*
 * Whether an instant state can be left for an exception state at once; only
 * then can it be the origin that another instant state returns to.
 */
static bool
leaves_for_exception(const WfGraph *graph, const WfState *state)
{
	ListCell   *cell;
	List	   *events = wf_state_raised_events(state);

	if (state->kind != WF_ACTIVITY_THEN)
		events = lappend(events, "error");
	foreach(cell, events)
	{
		const WfTransition *transition = wf_state_transition(state, lfirst(cell));

		if (transition != NULL && transition->to >= 0 &&
			graph->states[transition->to].kind == WF_ACTIVITY_EXCEPTION)
			return true;
	}

	return false;
}

/*
 * Where an instant state leads to at once; the number of states stands for
 * "@origin".
 */
static List *
instant_targets(const WfGraph *graph, const WfState *state)
{
	List	   *targets = NIL;
	List	   *events = wf_state_raised_events(state);
	ListCell   *cell;

	if (state->kind != WF_ACTIVITY_THEN)
		events = lappend(events, "error");
	foreach(cell, events)
	{
		const WfTransition *transition = wf_state_transition(state, lfirst(cell));

		if (transition == NULL)
			continue;
		if (transition->to < 0)
			targets = lappend_int(targets, graph->nstates);
		else if (wf_state_is_instant(&graph->states[transition->to]))
			targets = lappend_int(targets, transition->to);
	}

	return targets;
}

static void
report_cycle(WfCheck *check, const WfGraph *graph, List *cycle)
{
	char	   *names = wf_names_of_cycle(graph, cycle);
	int			mark = wf_check_enter_state(check, graph->states[linitial_int(cycle)].name);

	wf_check_error(check, "instant_cycle", "put a state that waits into the cycle",
				   "the cycle %s never waits", names);
	wf_check_leave_state(check, mark);
}

char *
wf_names_of_cycle(const WfGraph *graph, List *cycle)
{
	StringInfoData names;
	ListCell   *cell;

	initStringInfo(&names);
	foreach(cell, cycle)
		if (lfirst_int(cell) < graph->nstates)
		appendStringInfo(&names, "%s -> ", graph->states[lfirst_int(cell)].name);
	appendStringInfoString(&names, graph->states[linitial_int(cycle)].name);

	return names.data;
}

static void
check_instant_cycles(WfCheck *check, const WfGraph *graph)
{
	List	  **edges = palloc0(sizeof(List *) * (graph->nstates + 1));
	ListCell   *cell;

	for (int i = 0; i < graph->nstates; i++)
	{
		const WfState *state = &graph->states[i];

		if (!wf_state_is_instant(state))
			continue;
		edges[i] = instant_targets(graph, state);
		if (leaves_for_exception(graph, state))
			edges[graph->nstates] = lappend_int(edges[graph->nstates], i);
	}
	foreach(cell, wf_find_cycles(graph->nstates + 1, edges, NULL, NULL))
		report_cycle(check, graph, lfirst(cell));
}

void
wf_check_graph(WfCheck *check, const WfGraph *graph)
{
	bool		incomplete = is_incomplete(check);

	for (int i = 0; i < graph->nstates; i++)
	{
		int			mark = wf_check_enter_state(check, graph->states[i].name);

		check_events(check, &graph->states[i]);
		check_overdue(check, &graph->states[i]);
		check_result(check, &graph->states[i]);
		wf_check_gate_judges(check, graph, &graph->states[i]);
		wf_check_leave_state(check, mark);
	}
	if (!incomplete)
		check_places(check, graph);
	check_instant_cycles(check, graph);
}
