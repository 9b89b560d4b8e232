/*
 * check_gate.c
 *	  Whether a gate's value is a number for certain.
 *
 * A value that is missing, or no number, takes the tier "otherwise".  That is
 * right where "otherwise" is the careful way, and dangerous where it is the
 * automatic one: an amount that nobody gave would be a small amount.  So
 * either a schema has to make sure of the number on every way to the gate, or
 * the gate is reported.
 *
 * The ways are walked from where the value may be anything: the beginning,
 * unless the input schema requires the number, and every state that stores
 * something there.  A "validate" whose schema requires the number ends a way,
 * if it is left as "valid".  "@origin" leads to where the item has been
 * before, hence to nothing new.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"

/* ---------------------------------------------------------------- selectors */

/*
 * Whether the members begin with others; *rest is what follows those.
 */
static bool
begins_with(List *members, List *others, List **rest)
{
	if (list_length(others) > list_length(members))
		return false;
	for (int i = 0; i < list_length(others); i++)
		if (strcmp(list_nth(members, i), list_nth(others, i)) != 0)
			return false;
	*rest = list_copy_tail(members, list_length(others));

	return true;
}

/* ------------------------------------------------------------------ schemas */

static bool
is_number_type(JsonbValue *type)
{
	char	   *name = type != NULL && type->type == jbvString ? wf_jsonb_value_text(type) : "";

	return strcmp(name, "number") == 0 || strcmp(name, "integer") == 0;
}

/*
 * Whether all of the values that a schema allows are numbers.
 */
static bool
allows_numbers_only(JsonbValue *schema)
{
	JsonbValue *type = wf_jsonb_value_get(schema, "type");
	JsonbValue *constant = wf_jsonb_value_get(schema, "const");
	int			ntypes;
	JsonbValue *types = wf_jsonb_elements(type, &ntypes);
	int			nvalues;
	JsonbValue *values = wf_jsonb_elements(wf_jsonb_value_get(schema, "enum"), &nvalues);
	bool		all = ntypes > 0;
	bool		listed = nvalues > 0;

	for (int i = 0; i < ntypes; i++)
		all = all && is_number_type(&types[i]);
	for (int i = 0; i < nvalues; i++)
		listed = listed && values[i].type == jbvNumeric;

	return all || listed || is_number_type(type) ||
		(constant != NULL && constant->type == jbvNumeric);
}

static bool
requires(JsonbValue *schema, const char *member)
{
	return wf_jsonb_array_has_text(wf_jsonb_value_get(schema, "required"), member);
}

static bool
is_object_schema(JsonbValue *schema)
{
	JsonbValue *type = wf_jsonb_value_get(schema, "type");

	return type != NULL && type->type == jbvString &&
		strcmp(wf_jsonb_value_text(type), "object") == 0;
}

/*
 * Whether a schema makes sure that there is a number under the members.
 * is_object: that the value itself is an object is known already.
 */
static bool
requires_number(JsonbValue *schema, List *members, bool is_object)
{
	ListCell   *cell;

	foreach(cell, members)
	{
		if (!(is_object || is_object_schema(schema)) || !requires(schema, lfirst(cell)))
			return false;
		schema = wf_jsonb_value_get(wf_jsonb_value_get(schema, "properties"), lfirst(cell));
		is_object = false;
	}

	return allows_numbers_only(schema);
}

/* --------------------------------------------------------------------- ways */

typedef struct Walk
{
	const WfGraph *graph;
	List	   *members;		/* of the gate's selector */
	bool	   *seen;
	List	   *todo;			/* indexes of states */
} Walk;

static void
go_to(Walk *walk, int index)
{
	if (index < 0 || walk->seen[index])
		return;
	walk->seen[index] = true;
	walk->todo = lappend_int(walk->todo, index);
}

static bool
is_guard(const Walk *walk, const WfState *state)
{
	List	   *validated;
	List	   *rest;

	return state->kind == WF_ACTIVITY_VALIDATE &&
		wf_selector_members(wf_jsonb_get_text(state->activity, "value"), &validated) &&
		begins_with(walk->members, validated, &rest) &&
		requires_number(wf_jsonb_get(state->activity, "schema"), rest, false);
}

static void
leave_all_ways(Walk *walk, const WfState *state)
{
	bool		guards = is_guard(walk, state);

	for (int i = 0; i < state->ntransitions; i++)
		if (!guards || strcmp(state->transitions[i].event, "valid") != 0)
			go_to(walk, state->transitions[i].to);
}

/*
 * Whether leaving a state may change what the gate looks at.
 */
static bool
may_store(const Walk *walk, const WfState *state)
{
	const char *first = linitial(walk->members);
	char	   *editable = state->kind == WF_ACTIVITY_REVIEW ?
	wf_jsonb_get_text(state->activity, "editable") : NULL;
	List	   *edited;

	if (state->result_key != NULL && strcmp(state->result_key, first) == 0)
		return true;
	if (editable == NULL)
		return false;

	return !wf_selector_members(editable, &edited) || edited == NIL ||
		strcmp(linitial(edited), first) == 0;
}

/*
 * Whether an item may come to the gate with anything as its value.
 */
static bool
is_unguarded(const WfGraph *graph, int gate, List *members)
{
	Walk		walk = {graph, members};
	JsonbValue *input = wf_jsonb_value_get(wf_jsonb_root(graph->document), "input_schema");

	walk.seen = palloc0(sizeof(bool) * graph->nstates);
	if (input == NULL || !requires_number(input, members, true))
		go_to(&walk, graph->initial);
	for (int i = 0; i < graph->nstates; i++)
		if (may_store(&walk, &graph->states[i]))
			leave_all_ways(&walk, &graph->states[i]);
	while (walk.todo != NIL)
	{
		int			index = llast_int(walk.todo);

		walk.todo = list_delete_last(walk.todo);
		leave_all_ways(&walk, &graph->states[index]);
	}

	return walk.seen[gate];
}

/* --------------------------------------------------------------------- care */

/*
 * Whether a target has a person, or a program of the user's, look at the item
 * before anything is done; states that are decided at once are looked through.
 */
static bool
is_careful(const WfGraph *graph, int target, bool *seen)
{
	const WfState *state;
	bool		all = true;

	if (target < 0 || seen[target])
		return true;			/* @origin: where it came from was judged */
	state = &graph->states[target];
	seen[target] = true;
	if (!wf_state_is_instant(state))
		return state->kind == WF_ACTIVITY_REVIEW || state->kind == WF_ACTIVITY_EXCEPTION ||
			state->kind == WF_ACTIVITY_TASK || state->kind == WF_ACTIVITY_NONE;
	for (int i = 0; i < state->ntransitions; i++)
		all = is_careful(graph, state->transitions[i].to, seen) && all;

	return all;
}

static bool
event_is_careful(const WfGraph *graph, const WfState *gate, const char *event)
{
	const WfTransition *transition = wf_state_transition(gate, event);

	return transition == NULL ||
		is_careful(graph, transition->to, palloc0(sizeof(bool) * graph->nstates));
}

/*
 * The gate's tiers: the event of "otherwise", how many are numbered, and
 * whether one of those leads to somebody who looks.
 */
static const char *
read_tiers(const WfGraph *graph, const WfState *gate, int *numbered, bool *one_is_careful)
{
	const char *otherwise = NULL;
	int			count;
	JsonbValue *tiers = wf_jsonb_elements(wf_jsonb_get(gate->activity, "tiers"), &count);

	*numbered = 0;
	*one_is_careful = false;
	for (int i = 0; i < count; i++)
	{
		JsonbValue *event = wf_jsonb_value_get(&tiers[i], "event");
		JsonbValue *last = wf_jsonb_value_get(&tiers[i], "otherwise");

		if (last != NULL && last->type == jbvString)
			otherwise = wf_jsonb_value_text(last);
		if (event == NULL || event->type != jbvString)
			continue;
		(*numbered)++;
		*one_is_careful = *one_is_careful ||
			event_is_careful(graph, gate, wf_jsonb_value_text(event));
	}

	return otherwise;
}

void
wf_check_gate_guarded(WfCheck *check, const WfGraph *graph, int gate)
{
	const WfState *state = &graph->states[gate];
	char	   *selector;
	const char *otherwise;
	JsonbValue *held_back;
	int			numbered;
	bool		one_is_careful;
	List	   *members;
	int			mark = check->path.len;

	if (state->kind != WF_ACTIVITY_GATE)
		return;
	selector = wf_jsonb_get_text(state->activity, "value");
	otherwise = read_tiers(graph, state, &numbered, &one_is_careful);
	held_back = wf_jsonb_value_get(wf_jsonb_get(state->activity, "shadow"), "event");
	if (held_back != NULL && held_back->type == jbvString)
		otherwise = wf_jsonb_value_text(held_back); /* all values take it */
	if (selector == NULL || otherwise == NULL || numbered == 0 ||
		event_is_careful(graph, state, otherwise))
		return;
	if (wf_selector_members(selector, &members) && members != NIL &&
		!is_unguarded(graph, gate, members))
		return;

	(void) wf_check_enter_activity(check, state, "value");
	if (one_is_careful)
		wf_check_warning(check, "gate_unguarded",
						 "require the number in \"input_schema\", or in a \"validate\" before",
						 "nothing makes sure that \"%s\" is a number: without one the gate raises \"%s\", and nobody looks",
						 selector, otherwise);
	else
		wf_check_notice(check, "gate_unguarded",
						"require the number in \"input_schema\", or in a \"validate\" before",
						"nothing makes sure that \"%s\" is a number: without one the gate raises \"%s\"",
						selector, otherwise);
	wf_check_leave(check, mark);
}
