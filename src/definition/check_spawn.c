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
check_child(WfCheck *check, const char *child, Jsonb *success)
{
	static WfPlan plan = {
		.name = "problems of children",
		.expected = SPI_OK_SELECT,
		.nargs = 4,
		.argtypes = {TEXTOID, TEXTOID, JSONBOID, JSONBOID},
		.sql = "SELECT p.code, p.problem, p.hint FROM workflow._spawn_problems($1, $2, $3, $4) AS p",
	};
	Datum		values[4];
	char		nulls[] = "    ";
	uint64		found;

	values[0] = wf_text_datum(check->workflow);
	nulls[0] = WF_NULL_FLAG(check->workflow);
	values[1] = CStringGetTextDatum(child);
	values[2] = success == NULL ? (Datum) 0 : JsonbPGetDatum(success);
	nulls[2] = WF_NULL_FLAG(success);
	values[3] = JsonbPGetDatum(check->document);
	found = wf_plan_execute(&plan, values, nulls);
	for (uint64 row = 0; row < found; row++)
		wf_check_warning(check, wf_result_text(row, 1), wf_result_text(row, 3), "%s",
						 wf_result_text(row, 2));
}

/*
 * A state that is come back to would look for the array where its results are.
 */
static void
check_overwritten(WfCheck *check, const WfState *state)
{
	const char *each = wf_jsonb_get_text(state->activity, "each");
	size_t		length = strlen(state->result_key);

	if (strncmp(each, "$.", 2) == 0 && strncmp(each + 2, state->result_key, length) == 0 &&
		(each[2 + length] == '\0' || each[2 + length] == '[' || each[2 + length] == '.'))
		wf_check_warning(check, "overwritten_array",
						 "say \"as\", with another name",
						 "the results are stored as \"%s\", where the array is: the state cannot be entered twice",
						 state->result_key);
}

void
wf_check_spawn_launch(WfCheck *check, const WfState *state)
{
	char	   *child;
	int			mark;

	if (state->kind != WF_ACTIVITY_SPAWN || wf_check_has_errors(check))
		return;
	child = wf_jsonb_get_text(state->activity, "workflow");
	mark = wf_check_enter(check, "spawn");
	check_overwritten(check, state);
	check_child(check, child, wf_jsonb_get_jsonb(state->activity, "success"));
	wf_check_leave(check, mark);
}
