/*
 * check_flow.c
 *	  What the states store and select: selectors that nothing can have set,
 *	  and output of a model that nothing checks.
 *
 * An input may have members that no schema names, and a person may patch any
 * into an item, so only what is sure enough is said: the input is closed, or
 * the name is one that a later state stores, or it is nearly another one.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "miscadmin.h"

/* Names shorter than this are too easily near to another. */
#define SHORT_NAME	4

/* How many names an activity has that only it selects from. */
#define OWN_NAMES	2

/* Something stored: by which state under which key. */
typedef struct Stored
{
	const char *key;
	int			state;
	bool		is_named;		/* the document says the key */
	bool	   *settable;		/* of the first of a key: where it may be set */
} Stored;

typedef struct Flow
{
	WfCheck    *check;
	const WfGraph *graph;
	JsonbValue *input;			/* the schema of the input, or NULL */
	bool		is_plain;		/* it says itself what it names */
	bool		is_closed;		/* and allows nothing else */
	Stored	   *stored;			/* by key, then state */
	int			nstored;
	bool	   *repairs;		/* states on a way from an exception state
								 * back to the origin, hence before any state */
	int			state;			/* -1: the key of the item */
	const char *const *own;		/* what is there besides: OWN_NAMES, or NULL */
} Flow;

/* -------------------------------------------------------------------- stored */

static int
compare_stored(const void *left, const void *right)
{
	const Stored *a = left;
	const Stored *b = right;
	int			order = strcmp(a->key, b->key);

	return order != 0 ? order : a->state - b->state;
}

static JsonbValue *
state_of_document(const Flow *flow, int state)
{
	return wf_jsonb_value_get(wf_jsonb_value_get(flow->check->root, "states"),
							  flow->graph->states[state].name);
}

/*
 * Whether the document says where a state stores, by the state or by the
 * activity that it names.
 */
static bool
says_as(const Flow *flow, int state)
{
	JsonbValue *own = state_of_document(flow, state);
	JsonbValue *name = wf_jsonb_value_get(own, "activity");

	return wf_jsonb_value_get(own, "as") != NULL ||
		(name != NULL && name->type == jbvString &&
		 wf_jsonb_value_get(wf_jsonb_value_get(wf_jsonb_value_get(flow->check->root, "activities"),
											   wf_jsonb_value_text(name)), "as") != NULL);
}

static void
collect_stored(Flow *flow)
{
	const WfGraph *graph = flow->graph;

	flow->stored = palloc0(sizeof(Stored) * (2 * graph->nstates + 1));
	for (int i = 0; i < graph->nstates; i++)
	{
		const WfState *state = &graph->states[i];
		char	   *edited = state->kind == WF_ACTIVITY_REVIEW ?
		wf_jsonb_get_text(state->activity, "editable") : NULL;

		if (state->result_key != NULL)
			flow->stored[flow->nstored++] =
				(Stored)
		{
			state->result_key, i, says_as(flow, i)
		};
		edited = edited == NULL ? NULL : wf_selector_root(edited);
		if (edited != NULL)
			flow->stored[flow->nstored++] = (Stored)
		{
			edited, i, false
		};
	}
	qsort(flow->stored, flow->nstored, sizeof(Stored), compare_stored);
}

/*
 * Returns the first of what is stored under a key, or NULL.
 */
static Stored *
find_stored(const Flow *flow, const char *key)
{
	int			low = 0;
	int			high = flow->nstored;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (strcmp(flow->stored[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}

	return low < flow->nstored && strcmp(flow->stored[low].key, key) == 0 ?
		&flow->stored[low] : NULL;
}

/*
 * Whether one of those that store under a key has it said in the document; a
 * name that follows from that of a state may well be one of the input's.
 */
static bool
is_named(const Flow *flow, const Stored *first)
{
	const Stored *end = flow->stored + flow->nstored;

	for (const Stored *one = first; one < end && strcmp(one->key, first->key) == 0; one++)
		if (one->is_named)
			return true;

	return false;
}

static bool *
settable_at(Flow *flow, Stored *first)
{
	const Stored *end = flow->stored + flow->nstored;
	bool	   *sources;
	bool		always = false;

	if (first->settable != NULL)
		return first->settable;
	sources = palloc0(sizeof(bool) * flow->graph->nstates);
	for (const Stored *one = first; one < end && strcmp(one->key, first->key) == 0; one++)
	{
		sources[one->state] = true;
		always = always || flow->repairs[one->state];
	}
	first->settable = wf_graph_reached_forward(flow->graph, sources);
	if (always)
		memset(first->settable, true, sizeof(bool) * flow->graph->nstates);
	pfree(sources);

	return first->settable;
}

static void
find_repairs(Flow *flow)
{
	const WfGraph *graph = flow->graph;
	bool	   *exceptions = palloc0(sizeof(bool) * graph->nstates);
	bool	   *resumes = palloc0(sizeof(bool) * graph->nstates);
	bool	   *after;
	bool	   *before;

	for (int i = 0; i < graph->nstates; i++)
	{
		exceptions[i] = graph->states[i].kind == WF_ACTIVITY_EXCEPTION;
		for (int j = 0; j < graph->states[i].ntransitions; j++)
			resumes[i] = resumes[i] || graph->states[i].transitions[j].to < 0;
	}
	after = wf_graph_reached_forward(graph, exceptions);
	before = wf_graph_leading_to(wf_ways_back(graph), resumes);
	flow->repairs = palloc(sizeof(bool) * graph->nstates);
	for (int i = 0; i < graph->nstates; i++)
		flow->repairs[i] = (after[i] || exceptions[i]) && (before[i] || resumes[i]);
}

/* --------------------------------------------------------------------- input */

static bool
input_names(const Flow *flow, const char *key)
{
	return wf_jsonb_value_get(wf_jsonb_value_get(flow->input, "properties"), key) != NULL ||
		wf_jsonb_array_has_text(wf_jsonb_value_get(flow->input, "required"), key);
}

/*
 * Whether a schema says itself, and not by others, which members it names.
 */
static bool
is_plain(JsonbValue *schema)
{
	static const char *const others[] = {
		"patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas",
	};

	for (int i = 0; i < lengthof(others); i++)
		if (wf_jsonb_value_get(schema, others[i]) != NULL)
			return false;

	return true;
}

static bool
is_closed(JsonbValue *schema)
{
	JsonbValue *more = wf_jsonb_value_get(schema, "additionalProperties");

	return is_plain(schema) && more != NULL && more->type == jbvBool && !more->val.boolean;
}

/*
 * What the input's schema, or a state by its own word, names nearly so.
 */
static char *
nearest_name(const Flow *flow, const char *key)
{
	JsonbValue *properties = wf_jsonb_value_get(flow->input, "properties");
	int			nmembers;
	WfMember   *members = wf_jsonb_members(properties, &nmembers);
	int			nrequired;
	JsonbValue *required = wf_jsonb_elements(wf_jsonb_value_get(flow->input, "required"), &nrequired);
	const char **names = palloc(sizeof(char *) * (nmembers + nrequired + flow->nstored + 1));
	int			n = 0;

	if (nmembers + nrequired == 0 || !flow->is_plain || strlen(key) < SHORT_NAME)
		return NULL;			/* the input may be called anything */
	for (int i = 0; i < nmembers; i++)
		names[n++] = members[i].key;
	for (int i = 0; i < nrequired; i++)
		if (required[i].type == jbvString)
			names[n++] = wf_jsonb_value_text(&required[i]);
	for (int i = 0; i < flow->nstored && flow->state >= 0; i++)
		if (flow->stored[i].is_named)
			names[n++] = flow->stored[i].key;

	return wf_check_nearest_of(flow->check, key, names, n);
}

/* ----------------------------------------------------------------- selectors */

/*
 * Whether the activity has the name itself, or tells of it otherwise: a spawn
 * whose results come where its array is (overwritten_array).
 */
static bool
is_own(const Flow *flow, const char *key)
{
	const WfState *state = flow->state < 0 ? NULL : &flow->graph->states[flow->state];

	if (state != NULL && state->kind == WF_ACTIVITY_SPAWN && state->result_key != NULL &&
		strcmp(state->result_key, key) == 0)
		return true;
	for (int i = 0; flow->own != NULL && i < OWN_NAMES; i++)
		if (flow->own[i] != NULL && strcmp(flow->own[i], key) == 0)
			return true;

	return false;
}

static void
check_one(Flow *flow, const char *selector)
{
	char	   *key = wf_selector_root(selector);
	Stored	   *stored;
	char	   *nearest;

	if (key == NULL || is_own(flow, key) || input_names(flow, key))
		return;
	stored = find_stored(flow, key);
	if (stored != NULL && flow->state >= 0 && settable_at(flow, stored)[flow->state])
		return;
	if (stored != NULL && (flow->is_closed || is_named(flow, stored)))
		wf_check_warning(flow->check, "unset_selector",
						 "select what an earlier state stores, or name it in \"input_schema\"",
						 "\"%s\" finds nothing: \"%s\" is stored by state \"%s\", which is never before",
						 selector, key, flow->graph->states[stored->state].name);
	if (stored != NULL)
		return;

	nearest = nearest_name(flow, key);
	if (flow->is_closed || nearest != NULL)
		wf_check_warning(flow->check, "unset_selector",
						 nearest != NULL ? nearest : "select what a state stores, or name it in \"input_schema\"",
						 "\"%s\" finds nothing: no state stores \"%s\", and the input's schema does not name it",
						 selector, key);
}

static void
check_selecting(Flow *flow, JsonbValue *value, bool has_place)
{
	WfCheck    *check = flow->check;
	int			count;
	ListCell   *cell;

	check_stack_depth();
	if (value == NULL)
		return;
	if (value->type == jbvString)
	{
		foreach(cell, wf_template_selectors(wf_jsonb_value_text(value)))
			check_one(flow, lfirst(cell));
		return;
	}
	if (wf_jsonb_value_is_object(value))
	{
		WfMember   *members = wf_jsonb_members(value, &count);

		for (int i = 0; i < count; i++)
		{
			int			mark = check->path.len;

			if (has_place)
				(void) wf_check_enter(check, members[i].key);
			check_selecting(flow, &members[i].value, has_place);
			wf_check_leave(check, mark);
		}
	}
	else
	{
		JsonbValue *elements = wf_jsonb_elements(value, &count);

		for (int i = 0; i < count; i++)
		{
			int			mark = check->path.len;

			if (has_place)
				(void) wf_check_enter_element(check, i);
			check_selecting(flow, &elements[i], has_place);
			wf_check_leave(check, mark);
		}
	}
}

/* Where activities select from the item's data. */
static const struct
{
	WfActivityKind kind;
	const char *member;
	const char *inner;			/* or NULL */
	const char *own[OWN_NAMES]; /* what is there besides */
}			selecting[] = {
	{WF_ACTIVITY_HTTP, "path"},
	{WF_ACTIVITY_HTTP, "headers"},
	{WF_ACTIVITY_HTTP, "body"},
	{WF_ACTIVITY_HTTP, "key"},
	{WF_ACTIVITY_HTTP, "before", "path"},
	{WF_ACTIVITY_HTTP, "before", "headers"},
	{WF_ACTIVITY_HTTP, "revert", "path", {"before"}},
	{WF_ACTIVITY_HTTP, "revert", "headers", {"before"}},
	{WF_ACTIVITY_HTTP, "revert", "body", {"before"}},
	{WF_ACTIVITY_MODEL, "path"},
	{WF_ACTIVITY_MODEL, "headers"},
	{WF_ACTIVITY_MODEL, "body"},
	{WF_ACTIVITY_TASK, "payload"},
	{WF_ACTIVITY_REVIEW, "show"},
	{WF_ACTIVITY_REVIEW, "current"},
	{WF_ACTIVITY_WAIT, "for"},
	{WF_ACTIVITY_WAIT, "until"},
	{WF_ACTIVITY_SPAWN, "each"},
	{WF_ACTIVITY_SPAWN, "input", NULL, {"each", "index"}},
	{WF_ACTIVITY_SPAWN, "key", NULL, {"each", "index"}},
	{WF_ACTIVITY_GATE, "value"},
	{WF_ACTIVITY_GATE, "shadow", "value"},
	{WF_ACTIVITY_VALIDATE, "value"},
};

static void
check_state(Flow *flow, int index)
{
	const WfState *state = &flow->graph->states[index];
	int			mark = wf_check_enter_state(flow->check, state->name);
	bool		is_its_own = wf_check_enter_activity(flow->check, state, NULL);

	CHECK_FOR_INTERRUPTS();
	flow->state = index;
	for (int i = 0; i < lengthof(selecting); i++)
	{
		JsonbValue *value;
		int			inner = flow->check->path.len;

		if (selecting[i].kind != state->kind)
			continue;
		value = wf_jsonb_get(state->activity, selecting[i].member);
		if (selecting[i].inner != NULL)
			value = wf_jsonb_value_get(value, selecting[i].inner);
		if (is_its_own)
			(void) wf_check_enter(flow->check, selecting[i].member);
		if (is_its_own && selecting[i].inner != NULL)
			(void) wf_check_enter(flow->check, selecting[i].inner);
		flow->own = selecting[i].own;
		check_selecting(flow, value, is_its_own);
		wf_check_leave(flow->check, inner);
	}
	wf_check_leave_state(flow->check, mark);
}

void
wf_check_data_flow(WfCheck *check, const WfGraph *graph)
{
	Flow		flow = {check, graph};
	int			mark;

	flow.input = wf_jsonb_value_get(check->root, "input_schema");
	flow.is_plain = is_plain(flow.input);
	flow.is_closed = is_closed(flow.input);
	collect_stored(&flow);
	find_repairs(&flow);

	flow.state = -1;
	mark = wf_check_enter(check, "key");
	check_selecting(&flow, wf_jsonb_value_get(check->root, "key"), true);
	wf_check_leave(check, mark);
	for (int i = 0; i < graph->nstates; i++)
		if (graph->states[i].activity != NULL)
			check_state(&flow, i);
}
