/*
 * graph.c
 *	  Compiled versions of workflows.
 */
#include "postgres.h"

#include "definition/graph.h"

const WfGraph *
wf_graph(const char *workflow, int version)
{
	elog(ERROR, "wf_graph is not built yet");
}

const WfGraph *
wf_active_graph(const char *workflow)
{
	elog(ERROR, "wf_active_graph is not built yet");
}

const WfState *
wf_graph_state(const WfGraph *graph, const char *name)
{
	elog(ERROR, "wf_graph_state is not built yet");
}

const WfTransition *
wf_state_transition(const WfState *state, const char *event)
{
	elog(ERROR, "wf_state_transition is not built yet");
}

const WfTransition *
wf_state_transition_to(const WfGraph *graph, const WfState *state,
					   const char *to, const char *origin)
{
	elog(ERROR, "wf_state_transition_to is not built yet");
}

bool
wf_event_possible_later(const WfGraph *graph, const WfState *from, const char *event)
{
	elog(ERROR, "wf_event_possible_later is not built yet");
}

char *
wf_state_events(const WfState *state)
{
	elog(ERROR, "wf_state_events is not built yet");
}
