/*
 * check_sample.c
 *	  Whether people look at the sample of a gate's tier.
 *
 * A sample is taken so that somebody says whether the tier is right.  It need
 * not go there at once: what is prepared or done in between does not matter.
 * Another gate does, since what people say is of the last one; and so do
 * failures, as they are no way that a sample takes.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"

/*
 * Whether somebody answers for the item in a state.
 */
static bool
has_person(const WfState *state)
{
	return state->kind == WF_ACTIVITY_REVIEW || state->kind == WF_ACTIVITY_EXCEPTION ||
		state->kind == WF_ACTIVITY_TASK ||
		(state->kind == WF_ACTIVITY_NONE && state->outcome == NULL);
}

static bool
leads_to_person(const WfGraph *graph, int target)
{
	bool	   *seen = palloc0(sizeof(bool) * graph->nstates);
	List	   *todo = list_make1_int(target);

	while (todo != NIL)
	{
		int			index = llast_int(todo);
		const WfState *state;

		todo = list_delete_last(todo);
		if (index < 0 || seen[index])
			continue;
		seen[index] = true;
		state = &graph->states[index];
		if (has_person(state))
			return true;
		if (state->kind == WF_ACTIVITY_GATE)
			continue;
		for (int i = 0; i < state->ntransitions; i++)
			if (strcmp(state->transitions[i].event, "error") != 0 &&
				strcmp(state->transitions[i].event, "timeout") != 0)
				todo = lappend_int(todo, state->transitions[i].to);
	}

	return false;
}

static void
check_sample(WfCheck *check, const WfGraph *graph, const WfState *gate, JsonbValue *tier, int index)
{
	JsonbValue *event = wf_jsonb_value_get(wf_jsonb_value_get(tier, "sample"), "event");
	const WfTransition *transition;
	int			mark = check->path.len;

	if (event == NULL || event->type != jbvString)
		return;
	transition = wf_state_transition(gate, wf_jsonb_value_text(event));
	if (transition == NULL || leads_to_person(graph, transition->to))
		return;

	if (wf_check_enter_activity(check, gate, "tiers"))
	{
		(void) wf_check_enter_element(check, index);
		(void) wf_check_enter(check, "sample");
		(void) wf_check_enter(check, "event");
	}
	wf_check_warning(check, "sample_unseen",
					 psprintf("let \"%s\" lead to a review, or leave the sample out", transition->event),
					 "\"%s\" leads to nobody who could say whether the tier is right", transition->event);
	wf_check_leave(check, mark);
}

/*
 * The check stands at the state.
 */
void
wf_check_gate_samples(WfCheck *check, const WfGraph *graph, const WfState *state)
{
	int			count;
	JsonbValue *tiers;

	if (state->kind != WF_ACTIVITY_GATE)
		return;
	tiers = wf_jsonb_elements(wf_jsonb_get(state->activity, "tiers"), &count);
	for (int i = 0; i < count; i++)
		check_sample(check, graph, state, &tiers[i], i);
}
