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

static void
check_events(WfCheck *check, const WfState *state)
{
	ListCell   *cell;

	foreach(cell, wf_state_raised_events(state))
	{
		const char *event = lfirst(cell);

		if (wf_state_transition(state, event) == NULL)
			wf_check_error(check, "unhandled_event",
						   psprintf("add \"%s\" to \"on\"", event),
						   "%s raises \"%s\", which the state does not handle",
						   strcmp(event, state->timeout_event == NULL ? "" : state->timeout_event) == 0 ?
						   "the timeout" : wf_activity_name(state->kind), event);
	}
}

/*
 * An overdue review is escalated to the next in the queue's chain, or decided
 * by an event of the state.
 */
static void
check_overdue(WfCheck *check, const WfState *state)
{
	char	   *event;

	if (state->kind != WF_ACTIVITY_REVIEW)
		return;
	event = wf_jsonb_get_text(state->activity, "on_overdue");
	if (event != NULL && strcmp(event, "escalate") != 0 &&
		wf_state_transition(state, event) == NULL)
		wf_check_error(check, "unhandled_event",
					   "write \"escalate\", or an event that the state handles",
					   "\"on_overdue\" is \"%s\", which the state does not handle", event);
}

static void
check_result(WfCheck *check, const WfState *state)
{
	if (state->kind == WF_ACTIVITY_SQL && state->ntransitions > 0 &&
		wf_state_transition(state, "ok") == NULL)
		wf_check_warning(check, "unhandled_event", "add \"ok\" to \"on\", unless the function always names an event",
						 "the function raises \"ok\" when its result names no event");
}

/* ------------------------------------------------------- reachable, dead end */

/*
 * Whether an item that is there can get to where it ends, or at least to where
 * it is reported that nothing leads out.
 */
static bool
can_end(const WfGraph *graph, int index)
{
	for (int i = 0; i < graph->nstates; i++)
		if (graph->reachable[index * graph->nstates + i] &&
			graph->states[i].ntransitions == 0)
			return true;

	return false;
}

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
check_place(WfCheck *check, const WfGraph *graph, int index)
{
	const WfState *state = &graph->states[index];
	bool		is_cancelled = strcmp(state->name, WF_STATE_CANCELLED) == 0;

	if (graph->initial >= 0 && index != graph->initial && !is_cancelled &&
		!graph->reachable[graph->initial * graph->nstates + index])
		wf_check_warning(check, "unreachable_state", "let an event lead to it, or remove it",
						 "no event leads to this state");
	if (state->kind == WF_ACTIVITY_FINAL || is_cancelled)
		return;
	if (state->ntransitions == 0)
		wf_check_error(check, "dead_end", "add \"on\", or make the state \"final\"",
					   "no event leads out of this state");
	else if (!can_end(graph, index))
		wf_check_error(check, "no_final", "let an event lead to a \"final\" state",
					   "no final state can be reached from this state");
}

/* ------------------------------------------------------------ instant cycles */

typedef enum Colour
{
	UNSEEN,
	ON_PATH,
	DONE,
} Colour;

typedef struct CycleSearch
{
	WfCheck    *check;
	const WfGraph *graph;
	Colour	   *colours;
	int		   *trail;			/* states on the path, in order */
	int			depth;
} CycleSearch;

static void visit(CycleSearch *search, int index);

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

static void
report_cycle(CycleSearch *search, int again)
{
	const WfState *states = search->graph->states;
	StringInfoData names;
	int			start = 0;
	int			mark;

	while (search->trail[start] != again)
		start++;
	initStringInfo(&names);
	for (int i = start; i < search->depth; i++)
		appendStringInfo(&names, "%s -> ", states[search->trail[i]].name);
	appendStringInfoString(&names, states[again].name);

	mark = wf_check_enter_state(search->check, states[again].name);
	wf_check_error(search->check, "instant_cycle", "put a state that waits into the cycle",
				   "the cycle %s never waits", names.data);
	wf_check_leave_state(search->check, mark);
}

static void
follow(CycleSearch *search, int to)
{
	if (!wf_state_is_instant(&search->graph->states[to]))
		return;
	if (search->colours[to] == ON_PATH)
		report_cycle(search, to);
	else if (search->colours[to] == UNSEEN)
		visit(search, to);
}

static void
follow_event(CycleSearch *search, const WfState *state, const char *event)
{
	const WfGraph *graph = search->graph;
	const WfTransition *transition = wf_state_transition(state, event);

	if (transition == NULL)
		return;
	if (transition->to >= 0)
	{
		follow(search, transition->to);
		return;
	}
	for (int i = 0; i < graph->nstates; i++)
		if (wf_state_is_instant(&graph->states[i]) &&
			leaves_for_exception(graph, &graph->states[i]))
			follow(search, i);
}

static void
visit(CycleSearch *search, int index)
{
	const WfState *state = &search->graph->states[index];
	List	   *events = wf_state_raised_events(state);
	ListCell   *cell;

	check_stack_depth();
	if (state->kind != WF_ACTIVITY_THEN)
		events = lappend(events, "error");
	search->colours[index] = ON_PATH;
	search->trail[search->depth++] = index;
	foreach(cell, events)
		follow_event(search, state, lfirst(cell));
	search->depth--;
	search->colours[index] = DONE;
}

static void
check_instant_cycles(WfCheck *check, const WfGraph *graph)
{
	CycleSearch search = {check, graph};

	search.colours = palloc0(sizeof(Colour) * graph->nstates);
	search.trail = palloc(sizeof(int) * graph->nstates);
	for (int i = 0; i < graph->nstates; i++)
		if (wf_state_is_instant(&graph->states[i]) && search.colours[i] == UNSEEN)
			visit(&search, i);
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
		if (!incomplete)
			check_place(check, graph, i);
		wf_check_leave_state(check, mark);
	}
	check_instant_cycles(check, graph);
}
