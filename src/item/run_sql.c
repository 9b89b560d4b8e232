/*
 * run_sql.c
 *	  Running the function of a sql activity.
 *
 * The item is locked first, so that nobody moves it while the function runs
 * and the function's writes commit with the transition that it causes.  The
 * function runs as the definer of the item's version, restricted (restrict.c),
 * with a search path of pg_catalog and its own schema.  What it deferred fires
 * before its result counts, as the definer too (deferred.c).
 */
#include "postgres.h"

#include "access/xact.h"
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

/*
 * A prepared call of an activity's function; kept as long as the backend.  It
 * is one role's: a plan may have looked at the privileges of the role.
 */
typedef struct CallKey
{
	Oid			function;
	Oid			role;
} CallKey;

typedef struct Call
{
	CallKey		key;
	char	   *sql;			/* what the plan was made of */
	SPIPlanPtr	plan;
} Call;

static HTAB *calls = NULL;

/*
 * The function of that name, as it is now.
 */
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
				 errdetail("It was there when the workflow was defined."),
				 errhint("Create it again; the definition names it.")));
	if (isAnyTempNamespace(get_func_namespace(function)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s(bigint, jsonb) is temporary", name),
				 errdetail("Whoever's session has that schema could replace it."),
				 errhint("Create the function in a schema that lasts, and define the workflow with it.")));

	return function;
}

static Call *
find_call(Oid function, Oid role)
{
	CallKey		key = {function, role};
	bool		found;
	Call	   *call;

	if (calls == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(CallKey);
		control.entrysize = sizeof(Call);
		calls = hash_create("wf sql activities", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	call = hash_search(calls, &key, HASH_ENTER, &found);
	if (!found)
	{
		call->sql = NULL;
		call->plan = NULL;
	}

	return call;
}

static void
forget_plan(Call *call)
{
	if (call->plan != NULL)
		(void) SPI_freeplan(call->plan);
	if (call->sql != NULL)
		pfree(call->sql);
	call->plan = NULL;
	call->sql = NULL;
}

/*
 * A function that was renamed is called by its new name: its old one may be
 * another's by now.
 */
static SPIPlanPtr
prepare_call(Oid function, Oid role)
{
	Call	   *call = find_call(function, role);
	Oid			types[] = {INT8OID, JSONBOID};
	char	   *sql = psprintf("SELECT %s($1, $2)",
							   quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
														  get_func_name(function)));
	SPIPlanPtr	plan;

	if (call->plan != NULL && strcmp(call->sql, sql) == 0)
		return call->plan;
	forget_plan(call);
	plan = SPI_prepare(sql, 2, types);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\"", sql);
	call->sql = MemoryContextStrdup(TopMemoryContext, sql);
	call->plan = plan;

	return plan;
}

static void
set_search_path(Oid function)
{
	char	   *schema = get_namespace_name(get_func_namespace(function));

	(void) set_config_option("search_path",
							 psprintf("pg_catalog, %s, pg_temp", quote_identifier(schema)),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* A call of an activity's function and its result. */
typedef struct Execution
{
	Oid			role;
	const char *name;
	const WfItem *item;
	Jsonb	   *result;			/* NULL for null */
} Execution;

/*
 * What the function returns was looked at when the workflow was defined; it
 * may have been made anew since.
 */
static void
require_one_jsonb(const char *name)
{
	if (SPI_processed == 1 && SPI_tuptable->tupdesc->natts == 1 &&
		SPI_gettypeid(SPI_tuptable->tupdesc, 1) == JSONBOID)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("function %s(bigint, jsonb) does not return one jsonb", name),
			 errdetail("It did when the workflow was defined."),
			 errhint("Create it again so that it RETURNS jsonb.")));
}

static void
execute(Execution *execution, SPIPlanPtr plan)
{
	Datum		values[2];

	values[0] = Int64GetDatum(execution->item->item_id);
	values[1] = JsonbPGetDatum(execution->item->data);
	if (SPI_execute_plan(plan, values, NULL, false, 2) != SPI_OK_SELECT)
		elog(ERROR, "unexpected SPI result: %s", SPI_result_code_string(SPI_result));
	require_one_jsonb(execution->name);
	if (!wf_result_is_null(0, 1))
		execution->result = DatumGetJsonbPCopy(wf_result_datum(0, 1, NULL));
}

/*
 * The function, and then what it deferred, as the role.
 */
static void
execute_as_role(void *argument)
{
	Execution  *execution = argument;
	Oid			function = find_function(execution->name);
	WfCaller	caller;

	wf_enter_role(execution->role, &caller);
	set_search_path(function);
	execute(execution, prepare_call(function, execution->role));
	wf_leave_role(&caller);
	wf_item_fire_activitys_deferred(execution->role);
}

/*
 * Calls the function as a role and returns its result; NULL for null.
 */
static Jsonb *
call_as(Oid role, const char *name, const WfItem *item)
{
	Execution	execution = {.role = role,.name = name,.item = item};

	wf_item_run_restricted(role, execute_as_role, &execution);

	return execution.result;
}

/*
 * The number of the command that comes next: as before, if nothing was written.
 */
static CommandId
next_command(void)
{
	CommandCounterIncrement();

	return GetCurrentCommandId(false);
}

/*
 * The locked item as it is after the function was called, which may have moved it
 * itself, if it has written anything.
 */
static const WfItem *
item_after(const WfItem *item, CommandId before)
{
	return next_command() == before ? item : wf_item_lock(item->item_id);
}

static void
run_locked(const WfJob *job, const WfItem *item, const char *actor,
		   void (*begins) (Jsonb *policy))
{
	const WfGraph *graph = wf_graph(item->workflow, item->version);
	const WfState *state = wf_item_state(graph, item->state);
	CommandId	command = next_command();
	Jsonb	   *result;
	char	   *event;

	begins(state->retry);
	if (state->kind != WF_ACTIVITY_SQL)
		elog(ERROR, "job " INT64_FORMAT " is of kind sql, state \"%s\" is not",
			 job->job_id, state->name);
	result = call_as(wf_graph_definer(graph),
					 wf_jsonb_get_text(state->activity, "function"), item);
	event = wf_jsonb_get_text(result, "event");
	if (event != NULL)
		result = wf_jsonb_without(result, "event");
	wf_item_complete_visit(item_after(item, command), job, event == NULL ? "ok" : event, result,
						   actor);
}

/*
 * See item.h.  A job whose item somebody holds is given back, not waited for:
 * whoever holds it may be about to drop this job.
 */
void
wf_item_run_sql(const WfJob *job, const char *actor, void (*begins) (Jsonb *policy))
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
		run_locked(job, item, actor, begins);
}
