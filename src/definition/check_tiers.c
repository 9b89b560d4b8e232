/*
 * check_tiers.c
 *	  The fields of a gate: its tiers, the samples of them, and its shadow.
 *
 * Tiers leave no hole and do not overlap when they descend and end with
 * "otherwise".
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* -------------------------------------------------------------------- tiers */

static void
check_share(WfCheck *check, JsonbValue *value)
{
	Datum		share = NumericGetDatum(value->val.numeric);

	if (DatumGetBool(DirectFunctionCall2(numeric_lt, share,
										 DirectFunctionCall1(int8_numeric, Int64GetDatum(0)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, share,
										 DirectFunctionCall1(int8_numeric, Int64GetDatum(1)))))
		wf_check_error(check, "bad_number", "write for example 0.05, for one of twenty",
					   "has to be a share, from 0 to 1");
}

static const WfField sample_fields[] = {
	{"rate", WF_NUMBER, "say which share of the tier is sampled, as 0.05", check_share},
	{"event", WF_TEXT, "name the event that is raised instead of the tier's", NULL},
	{NULL}
};

static void
check_sample(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, sample_fields);
}

#define VERDICT_FIELDS \
	{"sample", WF_OBJECT, NULL, check_sample}, \
	{"agrees", WF_ARRAY, NULL, wf_check_texts}, \
	{"overrules", WF_ARRAY, NULL, wf_check_texts}

static const WfField tier_fields[] = {
	{"at_least", WF_NUMBER, "give the least value of the tier", NULL},
	{"event", WF_TEXT, "name the event that the tier raises", wf_check_name},
	VERDICT_FIELDS,
	{NULL}
};

static const WfField last_tier_fields[] = {
	{"otherwise", WF_TEXT, NULL, wf_check_name},
	VERDICT_FIELDS,
	{NULL}
};

/* Those of a shadow raise nothing, and nobody judges them. */
static const WfField shadow_tier_fields[] = {
	{"at_least", WF_NUMBER, "give the least value of the tier", NULL},
	{"event", WF_TEXT, "name the event that the tier would raise", wf_check_name},
	{NULL}
};

static const WfField last_shadow_tier_fields[] = {
	{"otherwise", WF_TEXT, NULL, wf_check_name},
	{NULL}
};

static bool
is_descending(JsonbValue *above, JsonbValue *below)
{
	return DatumGetBool(DirectFunctionCall2(numeric_gt,
											NumericGetDatum(above->val.numeric),
											NumericGetDatum(below->val.numeric)));
}

/*
 * A sample that goes where the tier goes anyway samples nothing.
 */
static void
check_sample_differs(WfCheck *check, JsonbValue *tier)
{
	JsonbValue *event = wf_jsonb_value_get(tier, "event");
	JsonbValue *sample = wf_jsonb_value_get(wf_jsonb_value_get(tier, "sample"), "event");
	int			mark;

	if (event == NULL)
		event = wf_jsonb_value_get(tier, "otherwise");
	if (event == NULL || event->type != jbvString || sample == NULL || sample->type != jbvString ||
		strcmp(wf_jsonb_value_text(event), wf_jsonb_value_text(sample)) != 0)
		return;
	mark = wf_check_enter(check, "sample");
	wf_check_error(check, "bad_value", "name the event that leads to a review",
				   "\"%s\" is what the tier raises anyway", wf_jsonb_value_text(event));
	wf_check_leave(check, mark);
}

static void
check_tier(WfCheck *check, JsonbValue *tier, bool is_last, bool is_shadow)
{
	if (is_shadow)
		wf_check_object(check, tier, is_last ? last_shadow_tier_fields : shadow_tier_fields);
	else
	{
		wf_check_object(check, tier, is_last ? last_tier_fields : tier_fields);
		check_sample_differs(check, tier);
	}
}

static void
check_all_tiers(WfCheck *check, JsonbValue *value, bool is_shadow)
{
	int			count;
	JsonbValue *tiers = wf_jsonb_elements(value, &count);
	JsonbValue *above = NULL;
	bool		has_otherwise = false;

	for (int i = 0; i < count; i++)
	{
		JsonbValue *least = wf_jsonb_value_get(&tiers[i], "at_least");
		bool		is_last = wf_jsonb_value_get(&tiers[i], "otherwise") != NULL;
		int			mark = wf_check_enter_element(check, i);

		if (has_otherwise)
			wf_check_error(check, "gate_overlap", "\"otherwise\" comes last",
						   "the tier is never reached");
		has_otherwise = has_otherwise || is_last;
		check_tier(check, &tiers[i], is_last, is_shadow);
		if (least != NULL && least->type == jbvNumeric)
		{
			if (above != NULL && !is_descending(above, least))
				wf_check_error(check, "gate_overlap", "order the tiers from the highest down",
							   "\"at_least\" is not below that of the tier before");
			above = least;
		}
		wf_check_leave(check, mark);
	}
	if (!has_otherwise)
		wf_check_error(check, "gate_hole", "add {\"otherwise\": \"event\"} as the last tier",
					   "values below the last tier have no event");
}

static void
check_tiers(WfCheck *check, JsonbValue *value)
{
	check_all_tiers(check, value, false);
}

static void
check_shadow_tiers(WfCheck *check, JsonbValue *value)
{
	check_all_tiers(check, value, true);
}

/* --------------------------------------------------------------------- gate */

static const WfField shadow_fields[] = {
	{"value", WF_TEXT, NULL, wf_check_selector},
	{"tiers", WF_ARRAY, NULL, check_shadow_tiers},
	{"event", WF_TEXT, NULL, NULL},
	{NULL}
};

static void
check_shadow(WfCheck *check, JsonbValue *value)
{
	int			count;

	wf_check_object(check, value, shadow_fields);
	(void) wf_jsonb_members(value, &count);
	if (count == 0)
		wf_check_error(check, "empty", "give \"value\" or \"tiers\" to judge beside, or the \"event\" that all raise",
					   "says nothing");
}

static const WfField gate_fields[] = {
	{"value", WF_TEXT, "select the number that decides", wf_check_selector},
	{"tiers", WF_ARRAY, "give the tiers from the highest down", check_tiers},
	{"shadow", WF_OBJECT, NULL, check_shadow},
	{NULL}
};

void
wf_check_gate(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, gate_fields);
}

/* ------------------------------------------------------- who judges the tiers */

static bool
is_decision(const WfGraph *graph, JsonbValue *name)
{
	for (int i = 0; i < graph->nstates; i++)
	{
		int			count;
		JsonbValue *decisions;

		if (graph->states[i].kind != WF_ACTIVITY_REVIEW)
			continue;
		decisions = wf_jsonb_elements(wf_jsonb_get(graph->states[i].activity, "decisions"), &count);
		for (int j = 0; j < count; j++)
			if (decisions[j].type == jbvString && name->type == jbvString &&
				strcmp(wf_jsonb_value_text(&decisions[j]), wf_jsonb_value_text(name)) == 0)
				return true;
	}

	return false;
}

static const char *
nearest_decision(const WfGraph *graph, const char *name)
{
	const char *names[100];
	int			n = 0;

	for (int i = 0; i < graph->nstates; i++)
	{
		int			count;
		JsonbValue *decisions;

		if (graph->states[i].kind != WF_ACTIVITY_REVIEW)
			continue;
		decisions = wf_jsonb_elements(wf_jsonb_get(graph->states[i].activity, "decisions"), &count);
		for (int j = 0; j < count && n < lengthof(names); j++)
			if (decisions[j].type == jbvString)
				names[n++] = wf_jsonb_value_text(&decisions[j]);
	}

	return wf_did_you_mean(name, names, n);
}

static void
check_decisions(WfCheck *check, const WfGraph *graph, JsonbValue *tier, const char *field, bool is_own)
{
	int			count;
	JsonbValue *names = wf_jsonb_elements(wf_jsonb_value_get(tier, field), &count);
	int			mark = is_own ? wf_check_enter(check, field) : check->path.len;

	for (int i = 0; i < count; i++)
	{
		int			inner = is_own ? wf_check_enter_element(check, i) : check->path.len;

		if (names[i].type == jbvString && !is_decision(graph, &names[i]))
			wf_check_error(check, "unknown_decision",
						   wf_or_else(nearest_decision(graph, wf_jsonb_value_text(&names[i])),
									  "name one of the \"decisions\" of a review"),
						   "no review has the decision \"%s\"", wf_jsonb_value_text(&names[i]));
		wf_check_leave(check, inner);
	}
	wf_check_leave(check, mark);
}

/*
 * What is said to agree with a tier, or to overrule it, has to be the decision
 * of a review.  The check stands at the state.
 */
void
wf_check_gate_judges(WfCheck *check, const WfGraph *graph, const WfState *state)
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
		int			inner = is_own ? wf_check_enter_element(check, i) : check->path.len;

		check_decisions(check, graph, &tiers[i], "agrees", is_own);
		check_decisions(check, graph, &tiers[i], "overrules", is_own);
		wf_check_leave(check, inner);
	}
	wf_check_leave(check, mark);
}
