/*
 * check_model_call.c
 *	  The activity model, and the budget that its calls are charged to.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "definition/template.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#define MOST_TIMES	10

/* APIs whose requests and answers are known; sql/model.sql has their shapes. */
static const char *const profiles[] = {"anthropic", "openai", "openai_responses"};

static void
check_profile(WfCheck *check, JsonbValue *value)
{
	char	   *name = wf_jsonb_value_text(value);

	for (int i = 0; i < lengthof(profiles); i++)
		if (strcmp(profiles[i], name) == 0)
			return;
	wf_check_error(check, "bad_value",
				   wf_or_else(wf_check_nearest_of(check, name, profiles, lengthof(profiles)),
							  "write anthropic, openai or openai_responses, or leave it out"),
				   "\"%s\" is not the profile of an API", name);
}

static void
check_cache(WfCheck *check, JsonbValue *value)
{
	if (value->type == jbvString)
		wf_check_interval(check, value);
}

static void
check_units(WfCheck *check, JsonbValue *value)
{
	if (strcmp(wf_jsonb_value_text(value), "tokens") != 0)
		wf_check_error(check, "bad_value", "write \"tokens\", or leave it out: then a call is one unit",
					   "the rate limit of a queue can count calls or tokens");
}

/*
 * An amount of money, or tokens; not negative.
 */
static void
check_amount(WfCheck *check, JsonbValue *value)
{
	Numeric		number = value->val.numeric;
	Datum		zero = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));

	if (numeric_is_nan(number) ||
		!DatumGetBool(DirectFunctionCall2(numeric_ge, NumericGetDatum(number), zero)))
		wf_check_error(check, "bad_number", "write such a number", "has to be a number from 0 on");
}

/* --------------------------------------------------------------------- reask */

static void
check_times(WfCheck *check, JsonbValue *value)
{
	wf_check_int_within(check, value, 1, MOST_TIMES);
}

static void
check_entries(WfCheck *check, JsonbValue *value)
{
	wf_check_template(check, value);
}

static const WfField reask_fields[] = {
	{"times", WF_NUMBER, "say how often it is asked again", check_times},
	{"text", WF_TEXT, NULL, wf_check_template},
	{"at", WF_TEXT, NULL, NULL},
	{"entries", WF_ARRAY, NULL, check_entries},
	{NULL}
};

static void
check_reask(WfCheck *check, JsonbValue *value)
{
	if (value->type == jbvNumeric)
		check_times(check, value);
	else
		wf_check_object(check, value, reask_fields);
}

/* --------------------------------------------------------------------- price */

static const WfField price_fields[] = {
	{"currency", WF_TEXT, "name it: \"USD\"", NULL},
	{"input", WF_NUMBER, "say what a million tokens in cost", check_amount},
	{"output", WF_NUMBER, "say what a million tokens out cost", check_amount},
	{"cache_read", WF_NUMBER, NULL, check_amount},
	{"cache_write", WF_NUMBER, NULL, check_amount},
	{NULL}
};

static void
check_price(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, price_fields);
}

static const WfField budget_fields[] = {
	{"tokens", WF_NUMBER, NULL, check_amount},
	{"cost", WF_NUMBER, NULL, check_amount},
	{"currency", WF_TEXT, NULL, NULL},
	{NULL}
};

void
wf_check_budget(WfCheck *check, JsonbValue *value)
{
	bool		has_cost = wf_jsonb_value_get(value, "cost") != NULL;

	wf_check_object(check, value, budget_fields);
	if (!has_cost && wf_jsonb_value_get(value, "tokens") == NULL)
		wf_check_error(check, "missing_key", "write {\"tokens\": 1000000} or {\"cost\": 20, \"currency\": \"USD\"}",
					   "has to have \"tokens\" or \"cost\"");
	if (has_cost && wf_jsonb_value_get(value, "currency") == NULL)
		wf_check_error(check, "missing_key", "name it: \"USD\"", "a \"cost\" is in a \"currency\"");
}

static char *
text_of(JsonbValue *object, const char *key)
{
	JsonbValue *value = wf_jsonb_value_get(object, key);

	return value == NULL || value->type != jbvString ? NULL : wf_jsonb_value_text(value);
}

/*
 * A budget of money holds only what has a price in its currency.
 */
static void
check_priced(WfCheck *check, JsonbValue *value)
{
	JsonbValue *budget = wf_jsonb_value_get(check->root, "budget");
	char	   *currency = text_of(budget, "currency");
	char	   *own = text_of(wf_jsonb_value_get(value, "price"), "currency");

	if (wf_jsonb_value_get(budget, "cost") == NULL || currency == NULL)
		return;
	if (own == NULL || strcmp(own, currency) != 0)
		wf_check_error(check, "unpriced_model",
					   psprintf("give it a \"price\": {\"currency\": \"%s\", \"input\": 3, \"output\": 15}, for a million tokens", currency),
					   "the budget of the workflow is in %s, and the model has no price in it", currency);
}

/* --------------------------------------------------------------------- model */

static const WfField model_fields[] = {
	{"endpoint", WF_TEXT, "name a foreign server of the wrapper workflow_http", wf_check_model_endpoint},
	{"queue", WF_TEXT, WF_WHY_QUEUE, wf_check_queue_name},
	{"profile", WF_TEXT, NULL, check_profile},
	{"method", WF_TEXT, NULL, wf_check_method},
	{"path", WF_TEXT, NULL, wf_check_path},
	{"headers", WF_OBJECT, NULL, wf_check_headers},
	{"body", WF_ANY, "say what the model is asked", wf_check_template},
	{"version", WF_TEXT, NULL, wf_check_name},
	{"output", WF_TEXT, NULL, wf_check_selector},
	{"schema", WF_OBJECT | WF_BOOL, NULL, wf_check_schema},
	{"structured", WF_BOOL, NULL, NULL},
	{"reask", WF_NUMBER | WF_OBJECT, NULL, check_reask},
	{"cache", WF_BOOL | WF_TEXT, NULL, check_cache},
	{"price", WF_OBJECT, NULL, check_price},
	{"units", WF_TEXT, NULL, check_units},
	{"estimate", WF_NUMBER, NULL, wf_check_positive_int},
	{"retry", WF_TEXT | WF_OBJECT, NULL, wf_check_retry},
	{NULL}
};

/*
 * Asking again adds to a conversation, whose place only a profile tells.
 */
static void
check_reask_fits(WfCheck *check, JsonbValue *value)
{
	JsonbValue *reask = wf_jsonb_value_get(value, "reask");
	int			mark;

	if (reask == NULL)
		return;
	mark = wf_check_enter(check, "reask");
	if (wf_jsonb_value_get(value, "schema") == NULL)
		wf_check_error(check, "bad_value", "give the model a \"schema\"",
					   "nothing says which answers are to be asked for again");
	if (wf_jsonb_value_get(value, "profile") == NULL &&
		(wf_jsonb_value_get(reask, "at") == NULL || wf_jsonb_value_get(reask, "entries") == NULL))
		wf_check_error(check, "bad_value",
					   "write {\"times\": 2, \"at\": \"messages\", \"entries\": [...]}, or give the model a \"profile\"",
					   "without a profile nothing says how the question is put");
	wf_check_leave(check, mark);
}

void
wf_check_model(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, model_fields);
	if (wf_jsonb_value_get(value, "path") == NULL && wf_jsonb_value_get(value, "profile") == NULL)
		wf_check_error(check, "missing_key", "say where it is sent, or give a \"profile\"",
					   "\"path\" is missing");
	check_reask_fits(check, value);
	check_priced(check, value);
}
