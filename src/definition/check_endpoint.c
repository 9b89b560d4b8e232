/*
 * check_endpoint.c
 *	  The endpoints that a document names, as the catalog is now.
 *
 * One that is missing or not granted does not break the graph, so it is a
 * warning: endpoints are often made after the workflow, and by somebody else.
 * Each is looked up once for a document.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "definition/definition_internal.h"
#include "utils/builtins.h"

/*
 * Which of the endpoints that exist may have been meant.
 */
static char *
nearest_endpoint(WfCheck *check, const char *name)
{
	static WfPlan names_plan = {
		.name = "names of endpoints",
		.expected = SPI_OK_SELECT,
		.sql = "SELECT s.srvname::text "
		"FROM pg_catalog.pg_foreign_server AS s "
		"JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw "
		"WHERE w.fdwname = 'workflow_http' ORDER BY 1 LIMIT 1000",
	};

	return wf_check_nearest_stored(check, name, &names_plan);
}

static WfEndpointFacts *
look_up(WfCheck *check, const char *name)
{
	static WfPlan endpoint_plan = {
		.name = "look up endpoint",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.sql = "SELECT e.dedup, e.owner, e.code, e.problem, e.hint, e.on_unknown, e.timeout "
		"FROM workflow._look_up_endpoint($1, $2) AS e",
	};
	WfEndpointFacts *facts = palloc0(sizeof(WfEndpointFacts));
	Datum		values[2];
	char	   *timeout;

	values[0] = CStringGetTextDatum(check->definer);
	values[1] = CStringGetTextDatum(name);
	wf_plan_execute(&endpoint_plan, values, NULL);
	facts->name = pstrdup(name);
	facts->dedup = wf_result_text(0, 1);
	facts->owner = wf_result_text(0, 2);
	facts->code = wf_result_text(0, 3);
	facts->problem = wf_result_text(0, 4);
	facts->hint = wf_result_text(0, 5);
	facts->on_unknown = wf_result_text(0, 6);
	timeout = wf_result_text(0, 7);
	if (timeout != NULL)
		(void) wf_interval_from_text(timeout, &facts->timeout_us);
	if (facts->code != NULL && strcmp(facts->code, "missing_endpoint") == 0)
	{
		char	   *nearest = nearest_endpoint(check, name);

		facts->hint = nearest != NULL ? nearest : facts->hint;
	}

	return facts;
}

const WfEndpointFacts *
wf_check_endpoint(WfCheck *check, const char *name)
{
	MemoryContext previous;
	WfEndpointFacts *facts;
	ListCell   *cell;

	foreach(cell, check->endpoints)
	{
		facts = lfirst(cell);
		if (strcmp(facts->name, name) == 0)
			return facts;
	}
	previous = MemoryContextSwitchTo(check->context);
	facts = look_up(check, name);
	check->endpoints = lappend(check->endpoints, facts);
	(void) MemoryContextSwitchTo(previous);

	return facts;
}

/*
 * Returns the facts of an endpoint that the definer can use; says why, and
 * returns NULL, of another one.
 */
static const WfEndpointFacts *
require_usable(WfCheck *check, const char *name)
{
	const WfEndpointFacts *facts = wf_check_endpoint(check, name);

	if (facts->code == NULL)
		return facts;
	wf_check_warning(check, facts->code, facts->hint, "%s", facts->problem);

	return NULL;
}

/*
 * The validator of endpoints demands an owner where outcomes may stay unknown;
 * it can be taken off the wrapper, so the check looks, too.
 */
void
wf_check_action_endpoint(WfCheck *check, JsonbValue *value)
{
	const WfEndpointFacts *facts = require_usable(check, wf_jsonb_value_text(value));

	if (facts == NULL || strcmp(facts->on_unknown, "hold") != 0)
		return;
	if (facts->owner == NULL && (facts->dedup == NULL || strcmp(facts->dedup, "none") == 0))
		wf_check_error(check, "nobody_to_ask",
					   psprintf("ALTER SERVER %s OPTIONS (ADD owner '...')", quote_identifier(facts->name)),
					   "endpoint \"%s\" neither recognises a second copy nor can be asked, and has no owner",
					   facts->name);
	else
		wf_check_notice(check, "held_for_person",
						psprintf("if it can be asked: ALTER SERVER %s OPTIONS (ADD lookup_path '...', ADD lookup_found '...')", quote_identifier(facts->name)),
						"a call whose outcome is not known is never repeated: it is held for %s to resolve",
						facts->owner == NULL ? "its owner" : facts->owner);
}

void
wf_check_model_endpoint(WfCheck *check, JsonbValue *value)
{
	const WfEndpointFacts *facts = require_usable(check, wf_jsonb_value_text(value));

	if (facts != NULL && facts->dedup != NULL && strcmp(facts->dedup, "pure") != 0)
		wf_check_warning(check, "not_pure",
						 psprintf("ALTER SERVER %s OPTIONS (SET dedup 'pure')", quote_identifier(facts->name)),
						 "the endpoint is declared dedup '%s', but a call of a model changes nothing outside and may be repeated",
						 facts->dedup);
}
