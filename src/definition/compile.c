/*
 * compile.c
 *	  From a document to a graph.
 *
 * A stored document has no faults; one that is being checked may have any, so
 * whatever is not of the right shape is left out here, without a word.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "common/hashfn.h"
#include "definition/definition_internal.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#define TO_ORIGIN "@origin"

/* As many states are found without their table. */
#define RECENT 16

/* ------------------------------------------------------------- state by name */

typedef struct NamedState
{
	const char *name;			/* hash key: the text, not the pointer */
	int			index;
} NamedState;

static uint32
hash_name(const void *key, Size size)
{
	const char *name = *(const char *const *) key;

	return hash_bytes((const unsigned char *) name, strlen(name));
}

static int
match_name(const void *left, const void *right, Size size)
{
	return strcmp(*(const char *const *) left, *(const char *const *) right);
}

static HTAB *
make_name_table(int size)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(const char *);
	control.entrysize = sizeof(NamedState);
	control.hash = hash_name;
	control.match = match_name;
	control.hcxt = CurrentMemoryContext;

	return hash_create("wf states by name", Max(8, size), &control,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static int *
make_recent(void)
{
	int		   *recent = palloc(sizeof(int) * RECENT);

	for (int i = 0; i < RECENT; i++)
		recent[i] = -1;

	return recent;
}

static void
enter_name(WfGraph *graph, int index)
{
	const char *name = graph->states[index].name;
	NamedState *entry = hash_search(graph->by_name, &name, HASH_ENTER, NULL);

	entry->name = name;
	entry->index = index;
}

/*
 * One place of a few: names of states that are asked for in turns differ in their
 * length or in their last letter.
 */
static int
recent_place(const char *name, Size length)
{
	return (length + (length == 0 ? 0 : (unsigned char) name[length - 1])) % RECENT;
}

static int
find_index(const WfGraph *graph, const char *name)
{
	int		   *recent = &graph->recent[recent_place(name, strlen(name))];
	NamedState *entry;

	if (*recent >= 0 && strcmp(graph->states[*recent].name, name) == 0)
		return *recent;
	entry = hash_search(graph->by_name, &name, HASH_FIND, NULL);
	if (entry == NULL)
		return -1;
	*recent = entry->index;

	return entry->index;
}

const WfState *
wf_graph_state(const WfGraph *graph, const char *name)
{
	int			index = find_index(graph, name);

	return index < 0 ? NULL : &graph->states[index];
}

/*
 * See graph.h.
 */
const WfState *
wf_graph_state_by_text(const WfGraph *graph, Datum name)
{
	const text *bytes = DatumGetTextPP(name);
	int			recent = graph->recent[recent_place(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes))];

	if (recent >= 0 && wf_text_is(PointerGetDatum(bytes), graph->states[recent].name))
		return &graph->states[recent];

	return wf_graph_state(graph, text_to_cstring(bytes));
}

/* ------------------------------------------------------------------ reading */

static char *
get_text(JsonbValue *object, const char *key)
{
	JsonbValue *value = wf_jsonb_value_get(object, key);

	return value != NULL && value->type == jbvString ? wf_jsonb_value_text(value) : NULL;
}

static JsonbValue *
get_object(JsonbValue *object, const char *key)
{
	JsonbValue *value = wf_jsonb_value_get(object, key);

	return wf_jsonb_value_is_object(value) ? value : NULL;
}

/*
 * Returns the object that holds a state's activity: itself, or the activity
 * that it names.
 */
static JsonbValue *
activity_holder(JsonbValue *root, JsonbValue *state)
{
	char	   *name = get_text(state, "activity");

	return name == NULL ? state :
		get_object(get_object(root, "activities"), name);
}

/*
 * Returns an sql activity with the full name of its function.
 */
static Jsonb *
with_resolved_function(Jsonb *activity, Jsonb *functions)
{
	char	   *written = wf_jsonb_get_text(activity, "function");
	char	   *resolved = written == NULL ? NULL : wf_jsonb_get_text(functions, written);

	return resolved == NULL ? activity :
		wf_jsonb_with(activity, "function", wf_jsonb_from_text(resolved));
}

static void
read_activity(const WfSource *source, JsonbValue *holder, WfState *state)
{
	state->kind = WF_ACTIVITY_NONE;

	for (const WfActivityShape *shape = wf_activity_shapes; shape->name != NULL; shape++)
	{
		JsonbValue *value = wf_jsonb_value_get(holder, shape->name);

		if (value == NULL)
			continue;
		if (shape->types == WF_TEXT && value->type == jbvString)
		{
			state->kind = WF_ACTIVITY_THEN;
			state->then_event = wf_jsonb_value_text(value);
		}
		else if (shape->types == WF_OBJECT && wf_jsonb_value_is_object(value))
		{
			state->kind = shape->kind;
			state->activity = JsonbValueToJsonb(value);
			state->queue = get_text(value, "queue");
		}
		break;
	}
	if (state->kind == WF_ACTIVITY_SQL)
		state->activity = with_resolved_function(state->activity, source->functions);
}

static void
read_timeout(JsonbValue *holder, WfState *state)
{
	JsonbValue *timeout = wf_jsonb_value_get(holder, "timeout");
	Datum		interval;
	char	   *after;
	char	   *event;

	if (timeout == NULL)
		return;
	after = timeout->type == jbvString ? wf_jsonb_value_text(timeout) :
		get_text(timeout, "after");
	event = get_text(timeout, "event");
	if (after == NULL || !wf_text_is_input(interval_in, after, &interval, NULL))
		return;
	state->timeout = *DatumGetIntervalP(interval);
	if (wf_interval_fits(&state->timeout, &state->timeout_us))
		state->timeout_event = event == NULL ? "timeout" : event;
}

static void
read_sla(JsonbValue *own, WfState *state)
{
	char	   *sla = get_text(own, "sla");

	if (sla != NULL && !wf_interval_from_text(sla, &state->sla_us))
		state->sla_us = 0;
}

/* ---------------------------------------------------------------- policies */

/*
 * Lays a policy over another; of the two backoffs, too.
 */
static Jsonb *
lay_over(Jsonb *below, Jsonb *above)
{
	Jsonb	   *backoff_below = wf_jsonb_get_jsonb(below, "backoff");
	Jsonb	   *backoff_above = wf_jsonb_get_jsonb(above, "backoff");
	Jsonb	   *merged = wf_jsonb_merge(below, above);

	if (wf_jsonb_is_object(backoff_below) && wf_jsonb_is_object(backoff_above))
		merged = wf_jsonb_with(merged, "backoff",
							   wf_jsonb_merge(backoff_below, backoff_above));

	return merged;
}

static Jsonb *
with_default(Jsonb *policy, const char *key, const char *value)
{
	return value == NULL || value[0] == '\0' || wf_jsonb_get(policy, key) != NULL ? policy :
		wf_jsonb_with(policy, key, wf_jsonb_from_text(value));
}

static char *
owner_of_queue(JsonbValue *root, const char *queue)
{
	return queue == NULL ? NULL :
		get_text(get_object(get_object(root, "queues"), queue), "owner");
}

/*
 * Returns the queue of the first exception state, where dead letters go unless
 * a policy says otherwise.
 */
static char *
exception_queue(JsonbValue *root)
{
	int			count;
	WfMember   *states = wf_jsonb_members(get_object(root, "states"), &count);

	for (int i = 0; i < count; i++)
	{
		JsonbValue *holder = activity_holder(root, &states[i].value);
		char	   *queue = get_text(get_object(holder, "exception"), "queue");

		if (queue != NULL)
			return queue;
	}

	return NULL;
}

/*
 * The policy of an activity: its own over the document's default.  NULL when
 * the document says nothing, so that the queue's own policy counts.
 */
static Jsonb *
resolve_policy(JsonbValue *root, const WfState *state, const char *dead_letter)
{
	JsonbValue *policies = get_object(root, "retry");
	JsonbValue *below = get_object(policies, "default");
	JsonbValue *above;
	Jsonb	   *policy;

	if (state->activity == NULL || state->queue == NULL ||
		state->kind == WF_ACTIVITY_REVIEW || state->kind == WF_ACTIVITY_EXCEPTION)
		return NULL;

	above = wf_jsonb_get(state->activity, "retry");
	if (above != NULL && above->type == jbvString)
		above = get_object(policies, wf_jsonb_value_text(above));
	if (below == NULL && !wf_jsonb_value_is_object(above))
		return NULL;

	policy = below == NULL ? wf_jsonb_empty_object() : JsonbValueToJsonb(below);
	if (wf_jsonb_value_is_object(above))
		policy = lay_over(policy, JsonbValueToJsonb(above));
	policy = with_default(policy, "owner", owner_of_queue(root, state->queue));

	return with_default(policy, "dead_letter", dead_letter);
}

/* ------------------------------------------------------------------- states */

/*
 * Under which key the state's result is stored; NULL where there is none.
 */
static const char *
result_key(const WfState *state, JsonbValue *own, JsonbValue *holder)
{
	char	   *as = get_text(own, "as");

	if (state->kind == WF_ACTIVITY_FINAL || wf_state_is_instant(state))
		return NULL;
	if (as == NULL)
		as = get_text(holder, "as");

	return as != NULL ? as : asc_tolower(state->name, strlen(state->name));
}

static void
read_state(const WfSource *source, JsonbValue *root, JsonbValue *own, const char *dead_letter,
		   WfState *state)
{
	JsonbValue *holder = activity_holder(root, own);

	state->outcome = get_text(own, "final");

	if (state->outcome != NULL)
	{
		state->kind = WF_ACTIVITY_FINAL;

		return;
	}
	read_activity(source, holder, state);
	read_timeout(wf_jsonb_value_get(own, "timeout") != NULL ? own : holder, state);
	read_sla(own, state);
	state->result_key = result_key(state, own, holder);
	state->retry = resolve_policy(root, state, dead_letter);
}

static void
read_states(const WfSource *source, JsonbValue *root, WfGraph *graph)
{
	int			count;
	WfMember   *members = wf_jsonb_members(get_object(root, "states"), &count);
	char	   *dead_letter = exception_queue(root);

	graph->states = palloc0(sizeof(WfState) * (count + 1));
	graph->by_name = make_name_table(count + 1);
	graph->recent = make_recent();
	for (int i = 0; i < count; i++)
	{
		graph->states[i].name = members[i].key;
		graph->states[i].name_text = CStringGetTextDatum(members[i].key);
		read_state(source, root, &members[i].value, dead_letter, &graph->states[i]);
		enter_name(graph, i);
	}
	graph->nstates = count;

	if (find_index(graph, WF_STATE_CANCELLED) < 0)
	{
		graph->states[count].name = WF_STATE_CANCELLED;
		graph->states[count].name_text = CStringGetTextDatum(WF_STATE_CANCELLED);
		graph->states[count].kind = WF_ACTIVITY_FINAL;
		graph->states[count].outcome = "cancelled";
		graph->nstates++;
		enter_name(graph, count);
	}
}

/* -------------------------------------------------------------- transitions */

static void
add_transitions(const WfGraph *graph, WfState *state, JsonbValue *on, bool from_any)
{
	int			count;
	WfMember   *members = wf_jsonb_members(on, &count);

	for (int i = 0; i < count; i++)
	{
		char	   *target = members[i].value.type == jbvString ?
		wf_jsonb_value_text(&members[i].value) : NULL;
		bool		to_origin = target != NULL && strcmp(target, TO_ORIGIN) == 0;
		int			to = target == NULL ? -1 : find_index(graph, target);

		if ((to < 0 && !to_origin) ||
			(from_any && wf_state_transition(state, members[i].key) != NULL))
			continue;
		state->transitions[state->ntransitions].event = members[i].key;
		state->transitions[state->ntransitions].event_text = CStringGetTextDatum(members[i].key);
		state->transitions[state->ntransitions].to = to_origin ? WF_TO_ORIGIN : to;
		state->transitions[state->ntransitions].from_any = from_any;
		if (!from_any && strcmp(members[i].key, WF_EVENT_COMPENSATED) == 0)
			state->awaits_compensation = true;
		state->ntransitions++;
	}
}

static void
read_transitions(JsonbValue *root, WfGraph *graph)
{
	JsonbValue *states = get_object(root, "states");
	JsonbValue *any = get_object(get_object(root, "any"), "on");
	int			nany;

	(void) wf_jsonb_members(any, &nany);
	for (int i = 0; i < graph->nstates; i++)
	{
		WfState    *state = &graph->states[i];
		JsonbValue *on = get_object(get_object(states, state->name), "on");
		int			nown;

		if (state->kind == WF_ACTIVITY_FINAL)
			continue;
		(void) wf_jsonb_members(on, &nown);
		state->transitions = palloc0(sizeof(WfTransition) * Max(1, nown + nany));

		add_transitions(graph, state, on, false);
		add_transitions(graph, state, any, true);
	}
}

/* --------------------------------------------------------------------- graph */

static void
read_key_parts(JsonbValue *root, WfGraph *graph)
{
	JsonbValue *key = wf_jsonb_value_get(root, "key");
	JsonbValue *elements = key;
	int			count = key != NULL && key->type == jbvString ? 1 : 0;

	if (count == 0)
		elements = wf_jsonb_elements(key, &count);
	graph->key_parts = palloc(sizeof(char *) * Max(1, count));
	for (int i = 0; i < count; i++)
		if (elements[i].type == jbvString)
			graph->key_parts[graph->nkey_parts++] = wf_jsonb_value_text(&elements[i]);
}

WfGraph *
wf_graph_compile(const WfSource *source)
{
	WfGraph    *graph = palloc0(sizeof(WfGraph));
	JsonbValue *root = wf_jsonb_root(source->document);
	char	   *initial = get_text(root, "initial");

	graph->workflow = pstrdup(source->workflow);
	graph->version = source->version;
	graph->owner = pstrdup(source->owner);
	graph->definer = pstrdup(source->definer);
	graph->definer_role = source->definer_role;
	graph->document = source->document;
	graph->input_schema = wf_jsonb_get_jsonb(source->document, "input_schema");
	read_key_parts(root, graph);
	read_states(source, root, graph);
	read_transitions(root, graph);
	graph->initial = initial == NULL ? -1 : find_index(graph, initial);

	return graph;
}
