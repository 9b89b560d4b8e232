/*
 * check_activity.c
 *	  The kinds of activity: their fields and what is allowed in them.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "definition/template.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* ----------------------------------------------------------------------- sql */

static const WfField sql_fields[] = {
	{"function", WF_TEXT, "name a function f(item_id bigint, data jsonb) returns jsonb", wf_check_function},
	{"queue", WF_TEXT, WF_WHY_QUEUE, wf_check_queue_name},
	{"retry", WF_TEXT | WF_OBJECT, NULL, wf_check_retry},
	{NULL}
};

static void
check_sql(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, sql_fields);
}

/* -------------------------------------------------- task, exception and wait */

static const WfField task_fields[] = {
	{"queue", WF_TEXT, WF_WHY_QUEUE, wf_check_queue_name},
	{"payload", WF_ANY, NULL, wf_check_template},
	{"retry", WF_TEXT | WF_OBJECT, NULL, wf_check_retry},
	{NULL}
};

static void
check_task(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, task_fields);
}

static const WfField exception_fields[] = {
	{"queue", WF_TEXT, WF_WHY_QUEUE, wf_check_queue_name},
	{NULL}
};

static void
check_exception(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, exception_fields);
}

static void
check_wait_for(WfCheck *check, JsonbValue *value)
{
	if (wf_jsonb_value_text(value)[0] == '$')
		wf_check_selector(check, value);
	else
		wf_check_interval(check, value);
}

static void
check_wait_until(WfCheck *check, JsonbValue *value)
{
	char	   *text = wf_jsonb_value_text(value);

	if (text[0] == '$')
		wf_check_selector(check, value);
	else if (!wf_text_is_input(wf_time_in, text, NULL, NULL))
		wf_check_error(check, "bad_time", "write for example \"2030-01-31 09:00+00\"",
					   "\"%s\" is neither a point in time nor a selector", text);
}

static const WfField wait_fields[] = {
	{"for", WF_TEXT, NULL, check_wait_for},
	{"until", WF_TEXT, NULL, check_wait_until},
	{NULL}
};

static void
check_wait(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, wait_fields);
	if ((wf_jsonb_value_get(value, "for") == NULL) ==
		(wf_jsonb_value_get(value, "until") == NULL))
		wf_check_error(check, "bad_wait", "keep one of the two", "has to have \"for\" or \"until\", one of them");
}

/* ----------------------------------------------------------------- validate */

static const WfField validate_fields[] = {
	{"value", WF_TEXT, "select the value to validate", wf_check_selector},
	{"schema", WF_OBJECT | WF_BOOL, "give a JSON Schema", wf_check_schema},
	{NULL}
};

static void
check_validate(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, validate_fields);
}

const WfActivityShape wf_activity_shapes[] = {
	{"sql", WF_ACTIVITY_SQL, WF_OBJECT, check_sql},
	{"http", WF_ACTIVITY_HTTP, WF_OBJECT, wf_check_http},
	{"model", WF_ACTIVITY_MODEL, WF_OBJECT, wf_check_model},
	{"task", WF_ACTIVITY_TASK, WF_OBJECT, check_task},
	{"review", WF_ACTIVITY_REVIEW, WF_OBJECT, wf_check_review},
	{"exception", WF_ACTIVITY_EXCEPTION, WF_OBJECT, check_exception},
	{"wait", WF_ACTIVITY_WAIT, WF_OBJECT, check_wait},
	{"spawn", WF_ACTIVITY_SPAWN, WF_OBJECT, wf_check_spawn},
	{"gate", WF_ACTIVITY_GATE, WF_OBJECT, wf_check_gate},
	{"validate", WF_ACTIVITY_VALIDATE, WF_OBJECT, check_validate},
	{"then", WF_ACTIVITY_THEN, WF_TEXT, NULL},
	{NULL}
};

const char *
wf_activity_name(WfActivityKind kind)
{
	for (const WfActivityShape *shape = wf_activity_shapes; shape->name != NULL; shape++)
		if (shape->kind == kind)
			return shape->name;

	return kind == WF_ACTIVITY_FINAL ? "final" : "none";
}
