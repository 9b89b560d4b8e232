/*
 * check_spawn.c
 *	  The activity "spawn": children from an array, and what is waited for.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/definition_internal.h"
#include "definition/template.h"
#include "utils/builtins.h"

/* ---------------------------------------------------------------- the fields */

static const WfField count_fields[] = {
	{"count", WF_NUMBER, "say how many children have to succeed", wf_check_positive_int},
	{NULL}
};

static void
check_join(WfCheck *check, JsonbValue *value)
{
	char	   *text;

	if (value->type != jbvString)
	{
		wf_check_object(check, value, count_fields);
		return;
	}
	text = wf_jsonb_value_text(value);

	if (strcmp(text, "all") != 0 && strcmp(text, "any") != 0)
		wf_check_error(check, "bad_value", "write \"all\", \"any\", or for example {\"count\": 2}",
					   "\"%s\" is no way to join children", text);
}

static bool
selects_each(const char *part)
{
	if (wf_is_selector(part))
		return wf_selects_each(part);
	for (const char *p = strstr(part, "{$"); p != NULL; p = strstr(p + 1, "{$"))
		if (wf_selects_each(p + 1))
			return true;

	return false;
}

/*
 * Without a part of the element, all children would be one.
 */
static void
check_key(WfCheck *check, JsonbValue *value)
{
	int			count = 1;
	JsonbValue *parts = value->type == jbvString ? value : wf_jsonb_elements(value, &count);

	wf_check_templates(check, value);
	for (int i = 0; i < count; i++)
		if (parts[i].type != jbvString || selects_each(wf_jsonb_value_text(&parts[i])))
			return;
	if (count > 0)
		wf_check_error(check, "literal_key", "select a part of the element, \"$.each.id\", or its place, \"$.index\"",
					   "no part differs from child to child, so all children would be one");
}

static const WfField spawn_fields[] = {
	{"workflow", WF_TEXT, "name the workflow of the children", NULL},
	{"each", WF_TEXT, "select the array with an element for each child", wf_check_selector},
	{"input", WF_OBJECT | WF_TEXT, NULL, wf_check_template},
	{"key", WF_TEXT | WF_ARRAY, NULL, check_key},
	{"join", WF_TEXT | WF_OBJECT, "say \"all\", \"any\", or for example {\"count\": 2}", check_join},
	{"success", WF_ARRAY, NULL, wf_check_texts},
	{"result", WF_TEXT, NULL, wf_check_selector},
	{NULL}
};

void
wf_check_spawn(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, spawn_fields);
}

/* ------------------------------------------------------ the children's workflow */

/*
 * What is doubtful about the workflow that is named, as it is now: it may be
 * defined later.
 */
static void
check_child(WfCheck *check, const WfState *state)
{
	static WfPlan plan = {
		.name = "problems of children",
		.expected = SPI_OK_SELECT,
		.nargs = 4,
		.argtypes = {TEXTOID, TEXTOID, JSONBOID, JSONBOID},
		.sql = "SELECT p.code, p.problem, p.hint, p.element FROM workflow._spawn_problems($1, $2, $3, $4) AS p",
	};
	Jsonb	   *success = wf_jsonb_get_jsonb(state->activity, "success");
	Datum		values[4];
	char		nulls[] = "    ";
	uint64		found;

	values[0] = wf_text_datum(check->workflow);
	nulls[0] = WF_NULL_FLAG(check->workflow);
	values[1] = CStringGetTextDatum(wf_jsonb_get_text(state->activity, "workflow"));
	values[2] = success == NULL ? (Datum) 0 : JsonbPGetDatum(success);
	nulls[2] = WF_NULL_FLAG(success);
	values[3] = JsonbPGetDatum(check->document);
	found = wf_plan_execute(&plan, values, nulls);
	for (uint64 row = 0; row < found; row++)
	{
		char	   *element = wf_result_text(row, 4);	/* of "success" */
		int			mark = check->path.len;

		if (wf_check_enter_activity(check, state, element == NULL ? "workflow" : "success") && element != NULL)
			(void) wf_check_enter_element(check, atoi(element));
		wf_check_warning(check, wf_result_text(row, 1), wf_result_text(row, 3), "%s",
						 wf_result_text(row, 2));
		wf_check_leave(check, mark);
	}
}

/*
 * A state that is come back to would look for the array where its results are.
 */
static void
check_overwritten(WfCheck *check, const WfState *state)
{
	const char *each = wf_jsonb_get_text(state->activity, "each");
	size_t		length = strlen(state->result_key);
	JsonbValue *own = wf_jsonb_value_get(wf_jsonb_value_get(check->root, "states"), state->name);
	int			mark = check->path.len;

	if (strncmp(each, "$.", 2) != 0 || strncmp(each + 2, state->result_key, length) != 0 ||
		(each[2 + length] != '\0' && each[2 + length] != '[' && each[2 + length] != '.'))
		return;

	if (wf_jsonb_value_get(own, "as") != NULL)
		(void) wf_check_enter(check, "as");
	else
		(void) wf_check_enter_activity(check, state, "each");
	wf_check_warning(check, "overwritten_array",
					 "say \"as\", with another name",
					 "the results are stored as \"%s\", where the array is: the state cannot be entered twice",
					 state->result_key);
	wf_check_leave(check, mark);
}

void
wf_check_spawn_launch(WfCheck *check, const WfState *state)
{
	if (state->kind != WF_ACTIVITY_SPAWN || wf_check_has_errors(check))
		return;
	check_overwritten(check, state);
	check_child(check, state);
}
