/*
 * check_policy.c
 *	  Retry policies and queues of a document.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/definition_internal.h"
#include "retry/policy.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* ------------------------------------------------------------------ policies */

static void
check_jitter(WfCheck *check, JsonbValue *value)
{
	char	   *text = wf_jsonb_value_text(value);

	if (strcmp(text, "full") != 0 && strcmp(text, "none") != 0)
		wf_check_error(check, "bad_value", "write \"full\" or \"none\"",
					   "\"%s\" is not \"full\" or \"none\"", text);
}

static void
check_factor(WfCheck *check, JsonbValue *value)
{
	Datum		number = NumericGetDatum(value->val.numeric);
	Datum		least = DirectFunctionCall1(int8_numeric, Int64GetDatum(1));
	Datum		most = DirectFunctionCall1(int8_numeric, Int64GetDatum(WF_POLICY_MAX_FACTOR));

	if (DatumGetBool(DirectFunctionCall2(numeric_lt, number, least)) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, number, most)))
		wf_check_error(check, "bad_number", "write such a number",
					   "has to be from 1 to %d", WF_POLICY_MAX_FACTOR);
}

static const WfField backoff_fields[] = {
	{"initial", WF_TEXT, NULL, wf_check_interval},
	{"factor", WF_NUMBER, NULL, check_factor},
	{"max", WF_TEXT, NULL, wf_check_interval},
	{"jitter", WF_TEXT, NULL, check_jitter},
	{NULL}
};

static void
check_backoff(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, backoff_fields);
}

static char *
list_of_classes(void)
{
	int			count;
	const char **names = wf_error_class_names(&count);
	StringInfoData list;

	initStringInfo(&list);
	appendStringInfoString(&list, "choose from");
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, " %s", names[i]);

	return list.data;
}

static void
check_error_class(WfCheck *check, const char *name)
{
	int			count;
	const char **names = wf_error_class_names(&count);

	if (!wf_error_class_is_known(name))
		wf_check_error(check, "unknown_class", wf_or_else(wf_did_you_mean(name, names, count), list_of_classes()),
					   "\"%s\" is not an error class", name);
	else if (!wf_error_class_is_repeatable(name))
		wf_check_warning(check, "useless_retry", "leave it out",
						 "\"%s\" is never repeated by a policy: it needs a person, or evidence", name);
	else if (!wf_error_class_is_transient(name))
		wf_check_warning(check, "useless_retry", "leave it out, unless you know better",
						 "repeating does not mend \"%s\"", name);
}

static void
check_error_classes(WfCheck *check, JsonbValue *value)
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(value, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter_element(check, i);

		if (wf_check_type(check, &elements[i], WF_TEXT))
			check_error_class(check, wf_jsonb_value_text(&elements[i]));
		wf_check_leave(check, mark);
	}
}

static void
check_count(WfCheck *check, JsonbValue *value)
{
	wf_check_int_within(check, value, 1, WF_POLICY_MAX_COUNT);
}

const WfField wf_policy_fields[] = {
	{"owner", WF_TEXT, NULL, NULL},
	{"dead_letter", WF_TEXT, NULL, wf_check_queue_name},
	{"max_attempts", WF_NUMBER, NULL, check_count},
	{"timeout", WF_TEXT, NULL, wf_check_interval},
	{"backoff", WF_OBJECT, NULL, check_backoff},
	{"retry_on", WF_ARRAY, NULL, check_error_classes},
	{"alert_after", WF_NUMBER, NULL, check_count},
	{NULL}
};

/*
 * "retry" at the top: policies by name.  "default" is what the others are laid
 * over, so its cap is everybody's.
 */
void
wf_check_policies(WfCheck *check, JsonbValue *policies)
{
	int			count;
	WfMember   *members = wf_jsonb_members(policies, &count);
	JsonbValue *otherwise = wf_jsonb_value_get(policies, "default");
	bool		is_capped = wf_jsonb_value_get(otherwise, "max_attempts") != NULL;

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter(check, members[i].key);

		wf_check_object(check, &members[i].value, wf_policy_fields);
		if (!is_capped && wf_jsonb_value_is_object(&members[i].value) &&
			wf_jsonb_value_get(&members[i].value, "max_attempts") == NULL)
			wf_check_error(check, "retry_without_cap",
						   "give it, or the policy \"default\", \"max_attempts\"",
						   "the policy has no cap");
		wf_check_leave(check, mark);
	}
}

/*
 * "retry" of an activity: the name of a policy, or an object.
 */
void
wf_check_retry(WfCheck *check, JsonbValue *value)
{
	JsonbValue *policies = wf_jsonb_value_get(check->root, "retry");
	char	   *name;

	if (value->type != jbvString)
	{
		wf_check_object(check, value, wf_policy_fields);
		if (wf_jsonb_value_get(value, "max_attempts") == NULL &&
			wf_jsonb_value_get(policies, "default") == NULL)
			wf_check_error(check, "retry_without_cap",
						   "give it, or a policy \"default\", \"max_attempts\"",
						   "the policy has no cap");
		return;
	}

	name = wf_jsonb_value_text(value);
	if (wf_jsonb_value_get(policies, name) != NULL || strcmp(name, "default") == 0)
		return;
	wf_check_error(check, "unknown_policy", wf_or_else(wf_check_nearest(check, name, policies, NULL), "describe it under \"retry\""),
				   "there is no retry policy \"%s\"", name);
}

/* -------------------------------------------------------------------- queues */

static const WfField rate_limit_fields[] = {
	{"count", WF_NUMBER, "how many may start", wf_check_positive_int},
	{"per", WF_TEXT, "in what time", wf_check_interval},
	{"per_tenant", WF_BOOL, NULL, NULL},
	{NULL}
};

static void
check_rate_limit(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, rate_limit_fields);
}

static void
check_queue_retry(WfCheck *check, JsonbValue *value)
{
	wf_check_object(check, value, wf_policy_fields);
}

/*
 * What create_queue() takes, but for the name.  The owner defaults to the
 * document's, which defaults to the definer.
 */
static const WfField queue_fields[] = {
	{"owner", WF_TEXT, NULL, NULL},
	{"sla", WF_TEXT, "how long work may wait before somebody is told", wf_check_interval, "unwatched_queue"},
	{"escalate_to", WF_ARRAY, "who is told, in order", wf_check_texts, "unwatched_queue"},
	{"rate_limit", WF_OBJECT, NULL, check_rate_limit},
	{"max_running", WF_NUMBER, NULL, wf_check_positive_int},
	{"max_length", WF_NUMBER, NULL, wf_check_positive_int},
	{"priority", WF_NUMBER, NULL, wf_check_int},
	{"lease", WF_TEXT, NULL, wf_check_interval},
	{"retry", WF_OBJECT, NULL, check_queue_retry},
	{"dead_letter_retention", WF_TEXT, NULL, wf_check_interval},
	{"on_full", WF_TEXT, NULL, NULL},
	{"key_window", WF_TEXT, NULL, wf_check_interval},
	{"aging", WF_TEXT, NULL, wf_check_interval},
	{"fair", WF_BOOL, NULL, NULL},
	{"warn", WF_TEXT, NULL, wf_check_interval},
	{"runbook", WF_TEXT, NULL, NULL},
	{"description", WF_TEXT, NULL, NULL},
	{NULL}
};

/*
 * A queue of that name that somebody else defined otherwise is a fault.
 */
static void
check_queue_conflict(WfCheck *check, const char *name, JsonbValue *options)
{
	static WfPlan conflict_plan = {
		.name = "queue_conflict",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {TEXTOID, JSONBOID, TEXTOID},
		.sql = "SELECT workflow._queue_conflict($1, $2, $3)",
	};
	Datum		values[3];
	char	   *problem;

	values[0] = CStringGetTextDatum(name);
	values[1] = JsonbPGetDatum(JsonbValueToJsonb(options));
	values[2] = CStringGetTextDatum(psprintf("workflow:%s",
											 check->workflow == NULL ? "" : check->workflow));
	wf_plan_execute(&conflict_plan, values, NULL);
	problem = wf_result_text(0, 1);
	if (problem != NULL)
		wf_check_error(check, "queue_conflict",
					   "use it as it is by leaving it out of \"queues\", or choose another name",
					   "%s", problem);
}

/*
 * Options that do not go together are a fault, in the words of create_queue().
 */
static void
check_queue_problem(WfCheck *check, const char *name, JsonbValue *options)
{
	static WfPlan problem_plan = {
		.name = "queue_problem",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {TEXTOID, JSONBOID},
		.sql =
		"SELECT workflow._queue_problem(workflow._queue_from_options($1, "
		"  pg_catalog.jsonb_build_object('owner', $1) OPERATOR(pg_catalog.||) $2, ''))",
	};
	Datum		values[] = {
		CStringGetTextDatum(name), JsonbPGetDatum(JsonbValueToJsonb(options)),
	};
	char	   *problem;

	wf_plan_execute(&problem_plan, values, NULL);
	problem = wf_result_text(0, 1);
	if (problem != NULL)
		wf_check_error(check, "bad_value", "change one of the options", "%s", problem);
}

/* Whether one of the faults after the first ones is an error. */
static bool
has_errors_since(const WfCheck *check, int before)
{
	for (int i = before; i < list_length(check->faults); i++)
		if (((WfDocumentFault *) list_nth(check->faults, i))->severity == WF_SEVERITY_ERROR)
			return true;

	return false;
}

void
wf_check_queues(WfCheck *check, JsonbValue *queues)
{
	int			count;
	WfMember   *members = wf_jsonb_members(queues, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter(check, members[i].key);
		int			before = list_length(check->faults);

		if (members[i].key[0] == '\0')
			wf_check_error(check, "empty", "give it one", "a queue has to have a name");
		wf_check_object(check, &members[i].value, queue_fields);
		if (!has_errors_since(check, before))
			check_queue_problem(check, members[i].key, &members[i].value);
		if (!has_errors_since(check, before))
			check_queue_conflict(check, members[i].key, &members[i].value);
		wf_check_leave(check, mark);
	}
}

/*
 * The SLA of a queue that exists, as text; NULL when there is none.
 */
static char *
sla_of_stored_queue(const char *name)
{
	static WfPlan queue_plan = {
		.name = "sla of queue",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "SELECT sla::text FROM workflow.queue WHERE queue = $1",
	};
	Datum		value = CStringGetTextDatum(name);

	return wf_plan_execute(&queue_plan, &value, NULL) == 0 ? NULL : wf_result_text(0, 1);
}

int64
wf_check_queue_sla(WfCheck *check, const char *queue)
{
	JsonbValue *described = wf_jsonb_value_get(wf_jsonb_value_get(check->root, "queues"), queue);
	char	   *sla = described == NULL ? sla_of_stored_queue(queue) :
	wf_jsonb_value_text(wf_jsonb_value_get(described, "sla"));
	int64		microseconds;

	return sla != NULL && wf_interval_from_text(sla, &microseconds) ? microseconds : 0;
}

/*
 * The name of a queue of this document, or of one that exists.
 */
void
wf_check_queue_name(WfCheck *check, JsonbValue *value)
{
	static WfPlan queues_plan = {
		.name = "names of queues",
		.expected = SPI_OK_SELECT,
		.sql = "SELECT queue FROM workflow.queue ORDER BY queue LIMIT 1000",
	};
	JsonbValue *queues = wf_jsonb_value_get(check->root, "queues");
	char	   *name = wf_jsonb_value_text(value);
	char	   *nearest;

	if (wf_jsonb_value_get(queues, name) != NULL ||
		sla_of_stored_queue(name) != NULL)
		return;
	nearest = wf_check_nearest(check, name, queues, NULL);
	if (nearest == NULL)
		nearest = wf_check_nearest_stored(check, name, &queues_plan);
	wf_check_error(check, "unknown_queue",
				   nearest != NULL ? nearest :
				   "describe it under \"queues\" with owner, sla and escalate_to",
				   "there is no queue \"%s\"", name);
}
