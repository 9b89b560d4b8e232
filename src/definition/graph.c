/*
 * graph.c
 *	  Questions to a compiled graph; pure.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"

const WfTransition *
wf_state_transition(const WfState *state, const char *event)
{
	for (int i = 0; i < state->ntransitions; i++)
		if (strcmp(state->transitions[i].event, event) == 0)
			return &state->transitions[i];

	return NULL;
}

bool
wf_event_possible_later(const WfGraph *graph, const WfState *from, const char *event)
{
	int			row = from - graph->states;

	for (int i = 0; i < graph->nstates; i++)
		if (graph->reachable[row * graph->nstates + i] &&
			wf_state_transition(&graph->states[i], event) != NULL)
			return true;

	return false;
}

bool
wf_state_is_instant(const WfState *state)
{
	return state->kind == WF_ACTIVITY_GATE ||
		state->kind == WF_ACTIVITY_VALIDATE ||
		state->kind == WF_ACTIVITY_THEN;
}

static List *
add_text(List *events, JsonbValue *value)
{
	return value != NULL && value->type == jbvString ?
		lappend(events, wf_jsonb_value_text(value)) : events;
}

static List *
gate_events(const WfState *state)
{
	List	   *events = NIL;
	int			count;
	JsonbValue *tiers = wf_jsonb_elements(wf_jsonb_get(state->activity, "tiers"), &count);

	for (int i = 0; i < count; i++)
	{
		events = add_text(events, wf_jsonb_value_get(&tiers[i], "event"));
		events = add_text(events, wf_jsonb_value_get(&tiers[i], "otherwise"));
	}

	return events;
}

static List *
review_events(const WfState *state)
{
	List	   *events = NIL;
	int			count;
	JsonbValue *decisions = wf_jsonb_elements(wf_jsonb_get(state->activity, "decisions"), &count);

	for (int i = 0; i < count; i++)
		events = add_text(events, &decisions[i]);

	return events;
}

/*
 * Returns the events that have to be handled, because the state is left by
 * them: not "ok" of a task or an sql activity, whose result may name another.
 */
List *
wf_state_raised_events(const WfState *state)
{
	List	   *events = NIL;

	switch (state->kind)
	{
		case WF_ACTIVITY_GATE:
			events = gate_events(state);
			break;
		case WF_ACTIVITY_REVIEW:
			events = review_events(state);
			break;
		case WF_ACTIVITY_VALIDATE:
			events = list_make2("valid", "invalid");
			break;
		case WF_ACTIVITY_THEN:
			events = list_make1(unconstify(char *, state->then_event));
			break;
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
		case WF_ACTIVITY_WAIT:
		case WF_ACTIVITY_SPAWN:
			events = list_make1("ok");
			break;
		default:
			break;
	}
	if (state->timeout_event != NULL)
		events = lappend(events, unconstify(char *, state->timeout_event));

	return events;
}
