/*
 * check_review.c
 *	  What a review may say: who decides, how many of them, for which reasons,
 *	  until when, and what they may change.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"

static const WfField review_fields[] = {
	{"queue", WF_TEXT, WF_WHY_QUEUE, wf_check_queue_name},
	{"decisions", WF_ARRAY, "name the events that a person may choose from", wf_check_texts},
	{"show", WF_TEXT | WF_ARRAY, NULL, wf_check_templates},
	{"editable", WF_TEXT, NULL, wf_check_selector},
	{"schema", WF_OBJECT | WF_BOOL, NULL, wf_check_schema},
	{"current", WF_TEXT, NULL, wf_check_selector},
	{"instructions", WF_TEXT, NULL, NULL},
	{"four_eyes", WF_BOOL, NULL, NULL},
	{"approvals", WF_NUMBER | WF_OBJECT, NULL, NULL},
	{"reason_required", WF_ARRAY, NULL, wf_check_texts},
	{"reasons", WF_OBJECT, NULL, NULL},
	{"sla", WF_TEXT, NULL, wf_check_interval},
	{"warn", WF_TEXT, NULL, wf_check_interval},
	{"claim_for", WF_TEXT, NULL, wf_check_interval},
	{"priority", WF_NUMBER, NULL, wf_check_int},
	{"on_overdue", WF_TEXT, NULL, NULL},
	{NULL}
};

static bool
has_element(JsonbValue *array, const char *text)
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(array, &count);

	for (int i = 0; i < count; i++)
		if (elements[i].type == jbvString &&
			strcmp(wf_jsonb_value_text(&elements[i]), text) == 0)
			return true;

	return false;
}

static char *
nearest_element(JsonbValue *array, const char *text)
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(array, &count);
	const char **names = palloc(sizeof(char *) * Max(1, count));
	int			n = 0;

	for (int i = 0; i < count; i++)
		if (elements[i].type == jbvString)
			names[n++] = wf_jsonb_value_text(&elements[i]);

	return wf_did_you_mean(text, names, n);
}

static void
require_decision(WfCheck *check, JsonbValue *decisions, const char *text)
{
	if (wf_jsonb_value_is_array(decisions) && !has_element(decisions, text))
		wf_check_error(check, "unknown_decision", wf_or_else(nearest_element(decisions, text), "add it to \"decisions\""),
					   "\"%s\" is not one of the decisions", text);
}

static void
check_reason_required(WfCheck *check, JsonbValue *decisions, JsonbValue *required)
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(required, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter_element(check, i);

		if (elements[i].type == jbvString)
			require_decision(check, decisions, wf_jsonb_value_text(&elements[i]));
		wf_check_leave(check, mark);
	}
}

/*
 * A code ends at the colon before a note.
 */
static void
check_codes(WfCheck *check, JsonbValue *codes)
{
	int			count;
	JsonbValue *elements = wf_jsonb_elements(codes, &count);

	wf_check_texts(check, codes);
	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter_element(check, i);
		char	   *code = elements[i].type == jbvString ? wf_jsonb_value_text(&elements[i]) : "";

		if (strchr(code, ':') != NULL || *code == ' ' || (*code != '\0' && code[strlen(code) - 1] == ' '))
			wf_check_error(check, "bad_value", "write a word such as \"wrong_company\"",
						   "\"%s\" is no reason code: a note follows a code after a colon", code);
		wf_check_name_length(check, code);
		wf_check_leave(check, mark);
	}
}

static void
check_reasons(WfCheck *check, JsonbValue *decisions, JsonbValue *reasons)
{
	int			count;
	WfMember   *members = wf_jsonb_members(reasons, &count);

	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter(check, members[i].key);

		require_decision(check, decisions, members[i].key);
		if (wf_check_type(check, &members[i].value, WF_ARRAY))
			check_codes(check, &members[i].value);
		wf_check_leave(check, mark);
	}
}

static void
check_approvals(WfCheck *check, JsonbValue *decisions, JsonbValue *approvals)
{
	int			count;
	WfMember   *members;

	if (approvals->type == jbvNumeric)
	{
		wf_check_positive_int(check, approvals);
		require_decision(check, decisions, "approve");
		return;
	}
	members = wf_jsonb_members(approvals, &count);
	for (int i = 0; i < count; i++)
	{
		int			mark = wf_check_enter(check, members[i].key);

		require_decision(check, decisions, members[i].key);
		if (wf_check_type(check, &members[i].value, WF_NUMBER))
			wf_check_positive_int(check, &members[i].value);
		wf_check_leave(check, mark);
	}
}

/* What refers to the decisions. */
static const struct
{
	const char *name;
	int			types;
	void		(*check) (WfCheck *check, JsonbValue *decisions, JsonbValue *value);
}			referring[] = {
	{"reason_required", WF_ARRAY, check_reason_required},
	{"reasons", WF_OBJECT, check_reasons},
	{"approvals", WF_NUMBER | WF_OBJECT, check_approvals},
};

static bool
is_of_type(const JsonbValue *value, int types)
{
	return (value->type == jbvNumeric && (types & WF_NUMBER)) ||
		(wf_jsonb_value_is_array(value) && (types & WF_ARRAY)) ||
		(wf_jsonb_value_is_object(value) && (types & WF_OBJECT));
}

/*
 * People are warned before a review is due: after its SLA, or that of its queue.
 */
static void
check_warn(WfCheck *check, JsonbValue *review)
{
	char	   *queue = wf_jsonb_value_text(wf_jsonb_value_get(review, "queue"));
	char	   *sla = wf_jsonb_value_text(wf_jsonb_value_get(review, "sla"));
	char	   *warn = wf_jsonb_value_text(wf_jsonb_value_get(review, "warn"));
	int64		sla_us = 0;
	int64		warn_us;

	if (warn == NULL || !wf_interval_from_text(warn, &warn_us))
		return;
	if (sla != NULL)
		(void) wf_interval_from_text(sla, &sla_us);
	else if (queue != NULL)
		sla_us = wf_check_queue_sla(check, queue);
	if (sla_us > 0 && warn_us >= sla_us)
	{
		int			mark = wf_check_enter(check, "warn");

		wf_check_error(check, "bad_interval", "write how long before it is due people are warned",
					   "has to be shorter than the SLA%s", sla == NULL ? " of the queue" : "");
		wf_check_leave(check, mark);
	}
}

void
wf_check_review(WfCheck *check, JsonbValue *value)
{
	JsonbValue *decisions = wf_jsonb_value_get(value, "decisions");

	wf_check_object(check, value, review_fields);
	for (int i = 0; i < lengthof(referring); i++)
	{
		JsonbValue *member = wf_jsonb_value_get(value, referring[i].name);
		int			mark = wf_check_enter(check, referring[i].name);

		if (member != NULL && is_of_type(member, referring[i].types))
			referring[i].check(check, decisions, member);
		wf_check_leave(check, mark);
	}
	check_warn(check, value);
	if (wf_jsonb_value_get(value, "schema") != NULL && wf_jsonb_value_get(value, "editable") == NULL)
		wf_check_error(check, "missing_key", "name the value that a person may change and \"schema\" judges",
					   "\"editable\" is missing");
}
