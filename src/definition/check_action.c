/*
 * check_action.c
 *	  The keys of actions beside the item's own key and beside each other.
 *
 * Two actions with one key are one action to the ledger: the second is not
 * sent, or is refused (WF005) if its request is another one.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"

/*
 * The selectors of a key: a text, or an array of them (List of char *).
 */
static List *
selectors_of(JsonbValue *key)
{
	List	   *selectors = NIL;
	int			count;
	JsonbValue *parts;

	if (key == NULL)
		return NIL;
	if (key->type == jbvString)
		return wf_template_selectors(wf_jsonb_value_text(key));
	parts = wf_jsonb_elements(key, &count);
	for (int i = 0; i < count; i++)
		if (parts[i].type == jbvString)
			selectors = list_concat(selectors, wf_template_selectors(wf_jsonb_value_text(&parts[i])));

	return selectors;
}

List *
wf_key_roots(JsonbValue *key)
{
	List	   *roots = NIL;
	ListCell   *cell;

	foreach(cell, selectors_of(key))
		roots = lappend(roots, wf_selector_root(lfirst(cell)));

	return roots;
}

/* -------------------------------------------------- the identity of the item */

static bool
is_stored(const WfGraph *graph, const char *key)
{
	for (int i = 0; i < graph->nstates; i++)
		if (graph->states[i].result_key != NULL && strcmp(graph->states[i].result_key, key) == 0)
			return true;

	return false;
}

/* Whether one path is the other, or leads to it. */
static bool
overlap(List *left, List *right)
{
	for (int i = 0; i < Min(list_length(left), list_length(right)); i++)
		if (strcmp(list_nth(left, i), list_nth(right, i)) != 0)
			return false;

	return true;
}

/*
 * Whether a selector may tell items apart: it selects from their key, or it is
 * not known what it selects.
 */
static bool
may_identify(const WfGraph *graph, const char *selector, List *identity)
{
	List	   *members;
	List	   *parts;
	ListCell   *cell;

	if (!wf_selector_members(selector, &members) || members == NIL ||
		is_stored(graph, linitial(members)))
		return true;
	foreach(cell, identity)
		if (!wf_selector_members(lfirst(cell), &parts) || overlap(members, parts))
		return true;

	return false;
}

static void
check_identity(WfCheck *check, const WfGraph *graph, const WfState *state, List *identity)
{
	List	   *selectors = selectors_of(wf_jsonb_get(state->activity, "key"));
	ListCell   *cell;

	if (identity == NIL || selectors == NIL)
		return;
	foreach(cell, selectors)
		if (may_identify(graph, lfirst(cell), identity))
		return;
	wf_check_warning(check, "foreign_key",
					 psprintf("add \"%s\", unless the action is one for all of them", (char *) linitial(identity)),
					 "no part is of the key of the item: items with the same \"%s\" have one action together",
					 (char *) linitial(selectors));
}

/* ------------------------------------------------------------ one key for two */

typedef struct Action
{
	const char *name;			/* endpoint and key */
	const char *request;
	int			state;
} Action;

static int
compare_actions(const void *left, const void *right)
{
	const Action *a = left;
	const Action *b = right;
	int			order = strcmp(a->name, b->name);

	return order != 0 ? order : a->state - b->state;
}

static char *
text_of(JsonbValue *value)
{
	return value == NULL ? "" : wf_jsonb_to_cstring(JsonbValueToJsonb(value));
}

static Action
read_action(const WfGraph *graph, int index)
{
	static const char *const members[] = {"method", "path", "headers", "body", "content_type"};
	Jsonb	   *activity = graph->states[index].activity;
	char	   *key = text_of(wf_jsonb_get(activity, "key"));
	StringInfoData request;

	initStringInfo(&request);
	for (int i = 0; i < lengthof(members); i++)
		appendStringInfo(&request, "%s\n", text_of(wf_jsonb_get(activity, members[i])));

	return (Action)
	{
		psprintf(key[0] == '[' ? "%s %s" : "%s [%s]", text_of(wf_jsonb_get(activity, "endpoint")), key),
			request.data, index
	};
}

/*
 * Whether an item may come to both states; not over "@origin", which leads to
 * where it has been.
 */
static bool
meet(const WfGraph *graph, int one, int other)
{
	bool	   *source = palloc0(sizeof(bool) * graph->nstates);
	bool		met;

	source[one] = true;
	met = wf_graph_reached_forward(graph, source)[other];
	source[one] = false;
	source[other] = true;

	return met || wf_graph_reached_forward(graph, source)[one];
}

static void
check_shared(WfCheck *check, const WfGraph *graph, const Action *first, const Action *other)
{
	int			mark;

	if (strcmp(first->request, other->request) == 0 || !meet(graph, first->state, other->state))
		return;
	mark = wf_check_enter_state(check, graph->states[other->state].name);
	(void) wf_check_enter_activity(check, &graph->states[other->state], "key");
	wf_check_warning(check, "shared_key", "add a part that says which action it is, such as \"update\"",
					 "state \"%s\" has the same key at the same endpoint, for another request",
					 graph->states[first->state].name);
	wf_check_leave_state(check, mark);
}

void
wf_check_action_keys(WfCheck *check, const WfGraph *graph)
{
	List	   *identity = selectors_of(wf_jsonb_value_get(check->root, "key"));
	Action	   *actions = palloc(sizeof(Action) * Max(1, graph->nstates));
	int			n = 0;
	int			first = 0;

	for (int i = 0; i < graph->nstates; i++)
	{
		int			mark;

		if (graph->states[i].kind != WF_ACTIVITY_HTTP ||
			wf_jsonb_get(graph->states[i].activity, "key") == NULL)
			continue;
		actions[n++] = read_action(graph, i);
		mark = wf_check_enter_state(check, graph->states[i].name);
		(void) wf_check_enter_activity(check, &graph->states[i], "key");
		check_identity(check, graph, &graph->states[i], identity);
		wf_check_leave_state(check, mark);
	}
	qsort(actions, n, sizeof(Action), compare_actions);
	for (int i = 1; i < n; i++)
	{
		if (strcmp(actions[i].name, actions[first].name) != 0)
			first = i;
		else
			check_shared(check, graph, &actions[first], &actions[i]);
	}
}
