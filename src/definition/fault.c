/*
 * fault.c
 *	  The collector of a document's faults.
 *
 * A check walks down the document and says where it stands; what it finds is
 * added with that path.  Nothing is raised before the walk is over, so that a
 * person sees all faults at once.
 */
#include "postgres.h"

#include "base/format.h"
#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "utils/json.h"

static bool
is_plain_key(const char *key)
{
	if (*key == '\0')
		return false;
	for (const char *p = key; *p != '\0'; p++)
		if (!(*p == '_' || *p == '-' || (*p >= '0' && *p <= '9') ||
			  (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')))
			return false;

	return true;
}

int
wf_check_enter(WfCheck *check, const char *key)
{
	int			mark = check->path.len;

	if (is_plain_key(key))
		appendStringInfo(&check->path, ".%s", key);
	else
	{
		appendStringInfoChar(&check->path, '[');
		escape_json(&check->path, key);
		appendStringInfoChar(&check->path, ']');
	}

	return mark;
}

int
wf_check_enter_element(WfCheck *check, int index)
{
	int			mark = check->path.len;

	appendStringInfo(&check->path, "[%d]", index);

	return mark;
}

int
wf_check_enter_state(WfCheck *check, const char *state)
{
	int			mark = wf_check_enter(check, "states");

	(void) wf_check_enter(check, state);
	check->state = state;

	return mark;
}

void
wf_check_leave_state(WfCheck *check, int mark)
{
	check->state = NULL;
	wf_check_leave(check, mark);
}

void
wf_check_leave(WfCheck *check, int mark)
{
	check->path.len = mark;
	check->path.data[mark] = '\0';
}

/*
 * Goes down to a member of a state's activity, or with NULL to the activity; in
 * a state that uses an activity of several ones, to its name.  Returns whether the activity
 * is the state's own.
 */
bool
wf_check_enter_activity(WfCheck *check, const WfState *state, const char *member)
{
	JsonbValue *own = wf_jsonb_value_get(wf_jsonb_value_get(check->root, "states"), state->name);
	const char *kind = wf_activity_name(state->kind);
	bool		is_own = wf_jsonb_value_get(own, kind) != NULL;

	(void) wf_check_enter(check, is_own ? kind : "activity");
	if (is_own && member != NULL)
		(void) wf_check_enter(check, member);

	return is_own;
}

static void
add(WfCheck *check, WfSeverity severity, const char *code, const char *hint,
	const char *problem)
{
	MemoryContext previous = MemoryContextSwitchTo(check->context);
	WfDocumentFault *fault = palloc(sizeof(WfDocumentFault));

	fault->severity = severity;
	fault->code = pstrdup(code);
	fault->path = pstrdup(check->path.data);
	fault->state = check->state;
	fault->problem = pstrdup(problem);
	fault->hint = hint == NULL ? NULL : pstrdup(hint);
	check->faults = lappend(check->faults, fault);
	check->has_errors = check->has_errors || severity == WF_SEVERITY_ERROR;
	check->has_policy_errors = check->has_policy_errors ||
		(severity == WF_SEVERITY_ERROR && strstr(fault->path, "retry") != NULL);
	(void) MemoryContextSwitchTo(previous);
}

void
wf_check_error(WfCheck *check, const char *code, const char *hint,
			   const char *problem,...)
{
	va_list		args;

	va_start(args, problem);
	add(check, WF_SEVERITY_ERROR, code, hint, wf_format_va(problem, args));
	va_end(args);
}

void
wf_check_warning(WfCheck *check, const char *code, const char *hint,
				 const char *problem,...)
{
	va_list		args;

	va_start(args, problem);
	add(check, WF_SEVERITY_WARNING, code, hint, wf_format_va(problem, args));
	va_end(args);
}

void
wf_check_notice(WfCheck *check, const char *code, const char *hint,
				const char *problem,...)
{
	va_list		args;

	va_start(args, problem);
	add(check, WF_SEVERITY_NOTICE, code, hint, wf_format_va(problem, args));
	va_end(args);
}

bool
wf_check_has_errors(const WfCheck *check)
{
	return check->has_errors;
}

/* How many names are compared for the hints of one document. */
#define MAX_SUGGESTIONS 1000000

char *
wf_check_nearest(WfCheck *check, const char *word, JsonbValue *object, const char *more)
{
	int			count;
	WfMember   *members;
	const char **names;

	if (check->suggestions > MAX_SUGGESTIONS)
		return NULL;
	members = wf_jsonb_members(object, &count);
	names = palloc(sizeof(char *) * (count + 1));
	for (int i = 0; i < count; i++)
		names[i] = members[i].key;
	names[count] = more;

	return wf_check_nearest_of(check, word, names, count + (more == NULL ? 0 : 1));
}

char *
wf_check_nearest_of(WfCheck *check, const char *word, const char *const *names, int n)
{
	if (check->suggestions > MAX_SUGGESTIONS)
		return NULL;
	check->suggestions += n + 1;

	return wf_did_you_mean(word, names, n);
}

char *
wf_check_nearest_stored(WfCheck *check, const char *word, WfPlan *plan)
{
	uint64		rows;
	const char **names;

	if (check->suggestions > MAX_SUGGESTIONS)
		return NULL;
	rows = wf_plan_execute(plan, NULL, NULL);
	names = palloc(sizeof(char *) * Max(1, rows));
	for (uint64 i = 0; i < rows; i++)
		names[i] = wf_result_text(i, 1);

	return wf_check_nearest_of(check, word, names, rows);
}

const char *
wf_or_else(const char *hint, const char *otherwise)
{
	return hint != NULL ? hint : otherwise;
}
