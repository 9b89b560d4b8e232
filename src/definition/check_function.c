/*
 * check_function.c
 *	  The functions of sql activities, as the catalog is now.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/definition_internal.h"
#include "utils/builtins.h"

/*
 * Whether some state handles an event.
 */
static bool
is_handled_anywhere(WfCheck *check, const char *event)
{
	int			count;
	WfMember   *states = wf_jsonb_members(wf_jsonb_value_get(check->root, "states"), &count);

	for (int i = 0; i < count; i++)
		if (wf_jsonb_value_get(wf_jsonb_value_get(&states[i].value, "on"), event) != NULL)
			return true;

	return wf_jsonb_value_get(wf_jsonb_value_get(wf_jsonb_value_get(check->root, "any"), "on"), event) != NULL;
}

/*
 * Events that the text of a function names.  It may be used by several states,
 * and raise each event in one of them; an event that none handles is doubtful.
 */
static void
check_named_events(WfCheck *check, const char *function, char *names)
{
	int			count;
	JsonbValue *events = names == NULL ? NULL :
	wf_jsonb_elements(wf_jsonb_root(wf_jsonb_from_cstring(names)), &count);

	for (int i = 0; events != NULL && i < count; i++)
	{
		char	   *event = wf_jsonb_value_text(&events[i]);

		if (strcmp(event, "ok") != 0 && !is_handled_anywhere(check, event))
			wf_check_warning(check, "unhandled_event",
							 psprintf("add \"%s\" to \"on\", or to \"any\"", event),
							 "the function %s names the event \"%s\", which no state handles",
							 function, event);
	}
}

/*
 * What is doubtful in a function that can be called.
 */
static void
check_found(WfCheck *check, const char *function, bool writes_refused, const char *runs_as,
			char *events)
{
	if (writes_refused)
		wf_check_warning(check, "writes_refused",
						 psprintf("ALTER FUNCTION %s(bigint, jsonb) VOLATILE", function),
						 "the function writes, and is not marked VOLATILE");
	if (runs_as != NULL)
		wf_check_warning(check, "security_definer",
						 "make it SECURITY INVOKER and grant the definer what it needs",
						 "the function is SECURITY DEFINER: it runs with the rights of \"%s\", not of the definer", runs_as);
	check_named_events(check, function, events);
}

/*
 * The function is looked up now, along the definer's search path, and is
 * called by its full name ever after.
 */
void
wf_check_function(WfCheck *check, JsonbValue *value)
{
	static WfPlan function_plan = {
		.name = "resolve_function",
		.expected = SPI_OK_SELECT,
		.nargs = 3,
		.argtypes = {TEXTOID, TEXTOID, TEXTARRAYOID},
		.sql = "SELECT f.qualified, f.problem, f.hint, f.writes_refused, f.runs_as, f.events::text "
		"FROM workflow._resolve_function($1, $2, $3) AS f",
	};
	char	   *name = wf_jsonb_value_text(value);
	char	   *resolved = wf_jsonb_get_text(check->functions, name);
	Datum		values[3];
	char	   *qualified;
	bool		isnull;
	bool		writes_refused;

	values[0] = CStringGetTextDatum(check->definer);
	values[1] = CStringGetTextDatum(resolved != NULL ? resolved : name);
	values[2] = check->search_path;
	wf_plan_execute(&function_plan, values, NULL);
	qualified = wf_result_text(0, 1);
	if (qualified == NULL)
	{
		wf_check_error(check, "bad_function", wf_result_text(0, 3), "%s", wf_result_text(0, 2));
		return;
	}
	writes_refused = DatumGetBool(wf_result_datum(0, 4, &isnull)) && !isnull;
	check_found(check, qualified, writes_refused, wf_result_text(0, 5), wf_result_text(0, 6));
	check->functions = wf_jsonb_with(check->functions, name, wf_jsonb_from_text(qualified));
}
