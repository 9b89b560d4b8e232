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
	bool	   *reached = wf_graph_reached(graph, from);
	bool		possible = false;

	for (int i = 0; i < graph->nstates && !possible; i++)
		possible = reached[i] &&
			wf_state_transition(&graph->states[i], event) != NULL;
	pfree(reached);

	return possible;
}

bool
wf_state_is_instant(const WfState *state)
{
	return state->kind == WF_ACTIVITY_GATE ||
		state->kind == WF_ACTIVITY_VALIDATE ||
		state->kind == WF_ACTIVITY_THEN;
}

/*
 * The version that the models of a graph declare which store their answers
 * under a key, or any key for NULL; NULL when they declare none, or not the same.
 */
static const char *
version_of_models(const WfGraph *graph, const char *key)
{
	const char *found = NULL;

	for (int i = 0; i < graph->nstates; i++)
	{
		const WfState *state = &graph->states[i];
		const char *version;

		if (state->kind != WF_ACTIVITY_MODEL ||
			(key != NULL && strcmp(state->result_key, key) != 0))
			continue;
		version = wf_jsonb_get_text(state->activity, "version");
		if (version == NULL || (found != NULL && strcmp(found, version) != 0))
			return NULL;
		found = version;
	}

	return found;
}

const char *
wf_gate_model_version(const WfGraph *graph, const WfState *gate)
{
	const char *value = wf_jsonb_get_text(gate->activity, "value");
	const char *version = NULL;

	if (value != NULL)
		version = version_of_models(graph, wf_selector_root(value));

	return version != NULL ? version : version_of_models(graph, NULL);
}

static List *
add_text(List *events, JsonbValue *value)
{
	return value != NULL && value->type == jbvString ?
		lappend(events, wf_jsonb_value_text(value)) : events;
}

/*
 * Those of the tiers too where a shadow raises another one: they are what is
 * raised without it.
 */
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
		events = add_text(events, wf_jsonb_value_get(wf_jsonb_value_get(&tiers[i], "sample"), "event"));
	}

	return add_text(events, wf_jsonb_value_get(wf_jsonb_get(state->activity, "shadow"), "event"));
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
