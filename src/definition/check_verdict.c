/*
 * check_verdict.c
 *	  Whether what people decide says anything of a gate's tier.
 *
 * A decision agrees with a tier if the tier says so, and "approve" if it says
 * nothing.  Where a review has no such decision, and none that the tier says is
 * against it, its figures stay empty.  An empty "agrees" says that this is meant.
 *
 * What is looked at is every review that an item of the tier may come to before
 * the next gate: one that says something is enough.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "miscadmin.h"

/*
 * Whether a decision of a review agrees with a tier or overrules it.
 */
static bool
says_something(const WfState *review, JsonbValue *tier)
{
	JsonbValue *agrees = wf_jsonb_value_get(tier, "agrees");
	JsonbValue *overrules = wf_jsonb_value_get(tier, "overrules");
	int			count;
	JsonbValue *decisions = wf_jsonb_elements(wf_jsonb_get(review->activity, "decisions"), &count);

	for (int i = 0; i < count; i++)
	{
		const char *decision = decisions[i].type == jbvString ? wf_jsonb_value_text(&decisions[i]) : "";

		if (agrees == NULL ? strcmp(decision, "approve") == 0 : wf_jsonb_array_has_text(agrees, decision))
			return true;
		if (overrules != NULL && wf_jsonb_array_has_text(overrules, decision))
			return true;
	}

	return false;
}

/*
 * Returns a review that an event of the gate leads to, if none that it leads to
 * says anything; else NULL.
 */
static const WfState *
silent_review(const WfGraph *graph, const WfState *gate, const char *event, JsonbValue *tier)
{
	const WfTransition *transition = wf_state_transition(gate, event);
	bool	   *seen = palloc0(sizeof(bool) * graph->nstates);
	List	   *todo = transition == NULL ? NIL : list_make1_int(transition->to);
	const WfState *found = NULL;

	while (todo != NIL)
	{
		int			index = llast_int(todo);
		const WfState *state;

		CHECK_FOR_INTERRUPTS();
		todo = list_delete_last(todo);
		if (index < 0 || seen[index])
			continue;
		seen[index] = true;
		state = &graph->states[index];
		if (state->kind == WF_ACTIVITY_GATE)
			continue;
		if (state->kind == WF_ACTIVITY_REVIEW && says_something(state, tier))
			return NULL;
		if (state->kind == WF_ACTIVITY_REVIEW && found == NULL)
			found = state;
		for (int i = 0; i < state->ntransitions; i++)
			if (strcmp(state->transitions[i].event, "error") != 0 &&
				strcmp(state->transitions[i].event, "timeout") != 0)
				todo = lappend_int(todo, state->transitions[i].to);
	}

	return found;
}

static char *
event_of(JsonbValue *tier)
{
	JsonbValue *event = wf_jsonb_value_get(tier, "event");

	if (event == NULL)
		event = wf_jsonb_value_get(tier, "otherwise");

	return event != NULL && event->type == jbvString ? wf_jsonb_value_text(event) : NULL;
}

/*
 * A sample is taken for what people say of it, so that there it is a warning.
 */
static void
check_tier(WfCheck *check, const WfGraph *graph, const WfState *gate, JsonbValue *tier)
{
	const char *hint = "say which decisions agree with the tier: \"agrees\": [...]; an empty list if none is meant to";
	JsonbValue *sample = wf_jsonb_value_get(tier, "sample");
	char	   *sampled = sample == NULL ? NULL : event_of(sample);
	char	   *event = event_of(tier);
	const WfState *review;

	if (sampled != NULL && (review = silent_review(graph, gate, sampled, tier)) != NULL)
		wf_check_warning(check, "gate_unjudged", hint,
						 "the sample comes to review \"%s\", and none of its decisions says whether the tier is right", review->name);
	else if (event != NULL && (review = silent_review(graph, gate, event, tier)) != NULL)
		wf_check_notice(check, "gate_unjudged", hint,
						"no decision of review \"%s\" says whether the tier is right", review->name);
}

/*
 * The check stands at the state.
 */
void
wf_check_gate_verdicts(WfCheck *check, const WfGraph *graph, const WfState *state)
{
	int			count;
	JsonbValue *tiers;
	bool		is_own;
	int			mark = check->path.len;

	if (state->kind != WF_ACTIVITY_GATE)
		return;
	tiers = wf_jsonb_elements(wf_jsonb_get(state->activity, "tiers"), &count);
	is_own = wf_check_enter_activity(check, state, "tiers");
	for (int i = 0; i < count; i++)
	{
		JsonbValue *agrees = wf_jsonb_value_get(&tiers[i], "agrees");
		int			inner = is_own ? wf_check_enter_element(check, i) : check->path.len;
		int			nagrees;

		(void) wf_jsonb_elements(agrees, &nagrees);
		if (agrees == NULL || nagrees > 0)
			check_tier(check, graph, state, &tiers[i]);
		wf_check_leave(check, inner);
	}
	wf_check_leave(check, mark);
}
