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

static void
add(WfCheck *check, WfSeverity severity, const char *code, const char *hint,
	char *problem)
{
	WfDocumentFault *fault = palloc(sizeof(WfDocumentFault));

	fault->severity = severity;
	fault->code = code;
	fault->path = pstrdup(check->path.data);
	fault->state = check->state;
	fault->problem = problem;
	fault->hint = hint;
	check->faults = lappend(check->faults, fault);
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
	ListCell   *cell;

	foreach(cell, check->faults)
		if (((WfDocumentFault *) lfirst(cell))->severity == WF_SEVERITY_ERROR)
		return true;

	return false;
}
