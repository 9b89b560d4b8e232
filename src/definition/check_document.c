/*
 * check_document.c
 *	  The whole check of a document: its top, then its parts, then its graph.
 *
 * Each step goes on after faults of the one before, so that all are found in
 * one run; the graph is compiled of what is right.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"

static void
check_workflow_name(WfCheck *check, JsonbValue *value)
{
	char	   *name = wf_jsonb_value_text(value);

	if (strchr(name, ':') != NULL)
		wf_check_error(check, "bad_name", "a \":\" separates the workflow from the key of an item",
					   "the name of a workflow cannot contain \":\"");
	if (strspn(name, "0123456789") == strlen(name))
		wf_check_error(check, "bad_name", "a number is taken for the id of an item",
					   "the name of a workflow cannot consist of digits");
	wf_check_name(check, value);
}

static void
check_initial(WfCheck *check, JsonbValue *value)
{
	JsonbValue *states = wf_jsonb_value_get(check->root, "states");
	char	   *name = wf_jsonb_value_text(value);

	if (wf_jsonb_value_get(states, name) == NULL)
		wf_check_error(check, "unknown_state", wf_or_else(wf_check_nearest(check, name, states, NULL), "add it to \"states\""),
					   "there is no state \"%s\"", name);
}

static const WfField document_fields[] = {
	{"workflow", WF_TEXT, "name the workflow", check_workflow_name},
	{"description", WF_TEXT, NULL, NULL},
	{"owner", WF_TEXT, NULL, NULL},
	{"runbook", WF_TEXT, NULL, NULL},
	{"key", WF_TEXT | WF_ARRAY, NULL, wf_check_item_key},
	{"input_schema", WF_OBJECT | WF_BOOL, NULL, wf_check_schema},
	{"initial", WF_TEXT, "name the state that items start in", check_initial},
	{"retry", WF_OBJECT, NULL, wf_check_policies},
	{"queues", WF_OBJECT, NULL, wf_check_queues},
	{"budget", WF_OBJECT, NULL, wf_check_budget},
	{"activities", WF_OBJECT, NULL, wf_check_activities},
	{"states", WF_OBJECT, "describe the states", wf_check_states},
	{"any", WF_OBJECT, NULL, wf_check_any},
	{NULL}
};

/* How deep arrays and objects of a document may be nested. */
#define MAX_DEPTH 100

/*
 * Whether a JSON text nests deeper than that; found before anything walks
 * down it.
 */
static bool
is_too_deep(const char *json)
{
	int			depth = 0;
	bool		quoted = false;

	for (const char *p = json; *p != '\0'; p++)
	{
		if (quoted && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && (*p == '[' || *p == '{') && ++depth > MAX_DEPTH)
			return true;
		else if (!quoted && (*p == ']' || *p == '}'))
			depth--;
	}

	return false;
}

static WfCheck *
begin_check(const char *json, const char *definer, Datum search_path,
			Jsonb *functions)
{
	WfCheck    *check = palloc0(sizeof(WfCheck));
	JsonbValue *name;

	check->context = CurrentMemoryContext;
	check->document = wf_jsonb_from_cstring(json);
	check->root = wf_jsonb_root(check->document);
	check->definer = definer;
	check->search_path = search_path;
	check->functions = functions;
	initStringInfo(&check->path);
	appendStringInfoChar(&check->path, '$');
	name = wf_jsonb_value_get(check->root, "workflow");
	if (name != NULL && name->type == jbvString)
		check->workflow = wf_jsonb_value_text(name);

	return check;
}

static void
check_compiled(WfCheck *check)
{
	WfSource	source = {0};
	const WfGraph *graph;

	source.workflow = check->workflow == NULL ? "" : check->workflow;
	source.owner = check->definer;
	source.definer = check->definer;
	source.document = check->document;
	graph = wf_graph_compile(&source);
	wf_check_unused(check);
	wf_check_graph(check, graph);
	wf_check_launch(check, graph);
}

/*
 * What a document may leave out, and what follows then.
 */
static void
note_what_is_left_out(WfCheck *check)
{
	if (!wf_jsonb_value_is_object(check->root))
		return;
	if (wf_jsonb_value_get(check->root, "owner") == NULL)
		wf_check_notice(check, "default_owner", "name one: \"owner\": \"team\"",
						"nobody is named as owner: it, and each queue that names none, belong to who defines, \"%s\"", check->definer);
	if (wf_jsonb_value_get(check->root, "key") == NULL)
		wf_check_notice(check, "no_key", "say what identifies an item: \"key\": [\"$.id\"]",
						"nothing identifies an item: the same input submitted twice is two items, unless a key or an event_id comes with it");
}

WfCheck *
wf_check_document(const char *json, const char *definer, Datum search_path,
				  Jsonb *functions)
{
	bool		too_deep = is_too_deep(json);
	WfCheck    *check = begin_check(too_deep ? "{}" : json, definer, search_path, functions);

	if (too_deep)
	{
		wf_check_error(check, "too_deep", "what is so deep belongs into the item's data, not into the document",
					   "arrays and objects are nested more than %d deep", MAX_DEPTH);
		return check;
	}
	wf_check_duplicate_keys(check, json);
	wf_check_object(check, check->root, document_fields);
	note_what_is_left_out(check);
	if (wf_jsonb_value_is_object(wf_jsonb_value_get(check->root, "states")))
		check_compiled(check);

	return check;
}
