/*
 * run_sql.c
 *	  Running the function of a sql activity.
 *
 * The item is locked first, so that nobody moves it while the function runs
 * and the function's writes commit with the transition that it causes.  The
 * function runs as the definer of the item's version, restricted (restrict.c),
 * with a search path of pg_catalog and its own schema.
 *
 * Constraints that it deferred are checked before its result counts, as the
 * definer too and as a security-restricted operation, in which no trigger can
 * be deferred any further: none is left for the commit, which is the worker's.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

/* How soon to look again at a job whose item somebody holds. */
#define BUSY_DELAY_US	INT64CONST(100000)

/* A prepared call of an activity's function; kept as long as the backend. */
typedef struct Call
{
	Oid			function;		/* hash key */
	SPIPlanPtr	plan;
} Call;

static HTAB *calls = NULL;

static Oid
find_function(const char *name)
{
	Oid			types[] = {INT8OID, JSONBOID};
	List	   *names = wf_parse_qualified_name(name);
	Oid			function = LookupFuncName(names, 2, types, true);

	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s(bigint, jsonb) does not exist", name),
				 errhint("Create it again; the definition names it.")));

	return function;
}

static Call *
find_call(Oid function)
{
	bool		found;
	Call	   *call;

	if (calls == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(Call);
		calls = hash_create("wf sql activities", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	call = hash_search(calls, &function, HASH_ENTER, &found);
	if (!found)
		call->plan = NULL;

	return call;
}

static SPIPlanPtr
prepare_call(Oid function)
{
	Call	   *call = find_call(function);
	Oid			types[] = {INT8OID, JSONBOID};
	char	   *name;

	if (call->plan != NULL)
		return call->plan;
	name = quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
									  get_func_name(function));
	call->plan = SPI_prepare(psprintf("SELECT %s($1, $2)", name), 2, types);
	if (call->plan == NULL || SPI_keepplan(call->plan) != 0)
		elog(ERROR, "could not prepare the call of %s", name);

	return call->plan;
}

static void
set_search_path(Oid function)
{
	char	   *schema = get_namespace_name(get_func_namespace(function));

	(void) set_config_option("search_path",
							 psprintf("pg_catalog, %s, pg_temp", quote_identifier(schema)),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Checks what the function deferred, and lets the next one defer again.
 */
static void
check_deferred_constraints(Oid role)
{
	WfCaller	caller;

	wf_enter_restricted_role(role, &caller);
	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) != SPI_OK_UTILITY ||
		SPI_execute("SET CONSTRAINTS ALL DEFERRED", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not check deferred constraints");
	wf_leave_role(&caller);
}

/* A call of an activity's function and its result. */
typedef struct Execution
{
	SPIPlanPtr	plan;
	const WfItem *item;
	Jsonb	   *result;			/* NULL for null */
} Execution;

static void
execute(void *argument)
{
	Execution  *execution = argument;
	Datum		values[2];

	values[0] = Int64GetDatum(execution->item->item_id);
	values[1] = JsonbPGetDatum(execution->item->data);
	if (SPI_execute_plan(execution->plan, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "unexpected SPI result: %s", SPI_result_code_string(SPI_result));
	if (!wf_result_is_null(0, 1))
		execution->result = DatumGetJsonbPCopy(wf_result_datum(0, 1, NULL));
}

/*
 * Calls the function as a role and returns its result; NULL for null.
 */
static Jsonb *
call_as(Oid role, const char *name, const WfItem *item)
{
	Oid			function = find_function(name);
	Execution	execution = {.item = item};
	WfCaller	caller;

	wf_enter_role(role, &caller);
	set_search_path(function);
	execution.plan = prepare_call(function);
	wf_item_run_restricted(execute, &execution);
	wf_leave_role(&caller);
	check_deferred_constraints(role);

	return execution.result;
}

static void
run_locked(const WfJob *job, const WfItem *item, const char *actor)
{
	const WfGraph *graph = wf_graph(item->workflow, item->version);
	const WfState *state = wf_item_state(graph, item->state);
	Jsonb	   *result;
	char	   *event;

	if (state->kind != WF_ACTIVITY_SQL)
		elog(ERROR, "job " INT64_FORMAT " is of kind sql, state \"%s\" is not",
			 job->job_id, state->name);
	result = call_as(get_role_oid(graph->definer, false),
					 wf_jsonb_get_text(state->activity, "function"), item);
	event = wf_jsonb_get_text(result, "event");
	if (event != NULL)
		result = wf_jsonb_without(result, "event");
	wf_item_complete_job(job, event == NULL ? "ok" : event, result, actor);
}

/*
 * See item.h.  A job whose item somebody holds is given back, not waited for:
 * whoever holds it may be about to drop this job.
 */
void
wf_item_run_sql(const WfJob *job, const char *actor)
{
	WfItem	   *item = wf_item_try_lock(job->item_id);

	if (item == NULL)
	{
		(void) wf_item_read(job->item_id);	/* raises when there is none */
		wf_queue_park(job, "item", NULL, NULL);
		wf_queue_unpark(job->job_id, wf_now() + BUSY_DELAY_US, false);
	}
	else if (item->seq != job->seq)
		wf_queue_drop(job->job_id);
	else
		run_locked(job, item, actor);
}
