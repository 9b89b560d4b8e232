/*
 * invoke.c
 *	  Public SQL functions whose inner work is written in SQL or PL/pgSQL.
 *
 * See invoke.h for the convention.  The statement that calls the inner
 * function is prepared once for each public function and kept in a table of
 * this backend; the plan cache revalidates it when the inner function changes.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/context.h"
#include "base/invoke.h"
#include "base/owner.h"
#include "base/plan.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

typedef struct Inner
{
	Oid			function;		/* the public function: hash key */
	bool		returns_void;
	bool		returns_row;	/* a composite or OUT parameters */
	int			nargs;			/* of the public function */
	int			nrequired;		/* the first so many have no default */
	SPIPlanPtr	plan;
} Inner;

static HTAB *inners = NULL;

static Inner *
enter_inner(Oid function, bool *found)
{
	if (inners == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(Inner);
		inners = hash_create("wf inner functions", 64, &control,
							 HASH_ELEM | HASH_BLOBS);
	}

	return hash_search(inners, &function, HASH_ENTER, found);
}

/*
 * Builds "SELECT * FROM workflow._f($1, $2, ...)".  The parameters are typed,
 * so the call is exact: nothing planted beside the inner function can match
 * better.
 */
static char *
inner_call(const char *name, int nargs)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT * FROM workflow.%s($1",
					 quote_identifier(psprintf("_%s", name)));
	for (int i = 0; i < nargs; i++)
		appendStringInfo(&sql, ", $%d", i + 2);
	appendStringInfoString(&sql, ")");

	return sql.data;
}

static void
prepare_inner(Inner *inner, Form_pg_proc public, bool by_key)
{
	Oid			types[FUNC_MAX_ARGS + 1];
	SPIPlanPtr	plan;

	types[0] = TEXTOID;
	for (int i = 0; i < public->pronargs; i++)
		types[i + 1] = public->proargtypes.values[i];
	if (by_key)
		types[1] = INT8OID;

	plan = SPI_prepare(inner_call(NameStr(public->proname), public->pronargs),
					   public->pronargs + 1, types);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare the inner function of \"%s\"",
			 NameStr(public->proname));

	inner->nargs = public->pronargs;
	inner->nrequired = public->pronargs - public->pronargdefaults;
	inner->returns_void = public->prorettype == VOIDOID;
	inner->returns_row = public->prorettype == RECORDOID ||
		type_is_rowtype(public->prorettype);
	inner->plan = plan;
}

static Inner *
find_inner(Oid function, bool by_key)
{
	bool		found;
	Inner	   *inner = enter_inner(function, &found);
	HeapTuple	tuple;

	if (found && inner->plan != NULL)
		return inner;

	inner->plan = NULL;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	prepare_inner(inner, (Form_pg_proc) GETSTRUCT(tuple), by_key);
	ReleaseSysCache(tuple);

	return inner;
}

static char *
argument_name(Oid function, int argument)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	char	  **names;
	Datum		listed;
	Datum		modes;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	listed = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargnames, &isnull);
	modes = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargmodes, &isnull);
	(void) get_func_input_arg_names(listed, isnull ? (Datum) 0 : modes, &names);
	ReleaseSysCache(tuple);

	return names[argument];
}

/*
 * The words are those of workflow._require_given().
 */
static void
require_arguments(FunctionCallInfo fcinfo, const Inner *inner)
{
	for (int i = 0; i < inner->nrequired; i++)
		if (PG_ARGISNULL(i))
		{
			char	   *name = get_func_name(inner->function);

			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", argument_name(inner->function, i)),
					 errdetail("workflow.%s() was called with null for it, or without it.", name),
					 errhint("Give it a value; \\df workflow.%s shows the arguments.", name)));
		}
}

static void
run_inner(Inner *inner, FunctionCallInfo fcinfo, const char *caller, Datum item)
{
	Datum		values[FUNC_MAX_ARGS + 1];
	char		nulls[FUNC_MAX_ARGS + 2];
	int			result;

	values[0] = CStringGetTextDatum(caller);
	nulls[0] = ' ';
	for (int i = 0; i < inner->nargs; i++)
	{
		values[i + 1] = PG_GETARG_DATUM(i);
		nulls[i + 1] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (item != (Datum) 0)
		values[1] = item;

	result = SPI_execute_plan(inner->plan, values, nulls, false, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected SPI result: %s", SPI_result_code_string(result));
}

/*
 * Turns 'workflow:key' (or an id in digits) into the id of the item.
 */
static Datum
resolve_item(Datum key)
{
	static WfPlan item_id_plan = {
		.name = "item_id",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "SELECT workflow._item_id($1)",
	};

	wf_plan_execute(&item_id_plan, &key, NULL);

	return wf_result_datum(0, 1, NULL);
}

static Datum
return_set(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Datum	   *values = palloc(sizeof(Datum) * rsinfo->setDesc->natts);
		bool	   *nulls = palloc(sizeof(bool) * rsinfo->setDesc->natts);

		heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						  values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		pfree(values);
		pfree(nulls);
	}

	return (Datum) 0;
}

/*
 * Returns the first row as a composite, in the caller's memory.
 */
static Datum
return_row(FunctionCallInfo fcinfo)
{
	TupleDesc	description;

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "a function that returns a row was called where none can be returned");

	return PointerGetDatum(SPI_returntuple(SPI_tuptable->vals[0],
										   BlessTupleDesc(description)));
}

static Datum
return_value(FunctionCallInfo fcinfo)
{
	Form_pg_attribute column = TupleDescAttr(SPI_tuptable->tupdesc, 0);
	bool		isnull;
	Datum		value = wf_result_datum(0, 1, &isnull);

	fcinfo->isnull = isnull;

	return isnull ? (Datum) 0 :
		SPI_datumTransfer(value, column->attbyval, column->attlen);
}

static Datum
return_result(FunctionCallInfo fcinfo, const Inner *inner)
{
	if (fcinfo->flinfo->fn_retset)
		return return_set(fcinfo);
	if (inner->returns_void)
		return (Datum) 0;
	if (SPI_processed == 0)
	{
		fcinfo->isnull = true;
		return (Datum) 0;
	}

	return inner->returns_row ? return_row(fcinfo) : return_value(fcinfo);
}

static Datum
run_as_owner(FunctionCallInfo fcinfo, bool by_key, bool has_nulls)
{
	char	   *caller = wf_role_name(GetUserId());
	WfCaller	saved;
	Inner	   *inner;
	Datum		item = (Datum) 0;
	Datum		result;

	wf_enter_owner(&saved);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");

	inner = find_inner(fcinfo->flinfo->fn_oid, by_key);
	if (!has_nulls)
		require_arguments(fcinfo, inner);
	if (by_key)
		item = resolve_item(PG_GETARG_DATUM(0));
	run_inner(inner, fcinfo, caller, item);
	result = return_result(fcinfo, inner);

	SPI_finish();
	wf_leave_owner(&saved);

	return result;
}

static Datum
invoke(PG_FUNCTION_ARGS)
{
	return run_as_owner(fcinfo, false, false);
}

static Datum
invoke_by_key(PG_FUNCTION_ARGS)
{
	return run_as_owner(fcinfo, true, false);
}

static Datum
invoke_with_nulls(PG_FUNCTION_ARGS)
{
	return run_as_owner(fcinfo, false, true);
}

PG_FUNCTION_INFO_V1(wf_invoke);

Datum
wf_invoke(PG_FUNCTION_ARGS)
{
	return wf_at_border(invoke, fcinfo);
}

PG_FUNCTION_INFO_V1(wf_invoke_by_key);

Datum
wf_invoke_by_key(PG_FUNCTION_ARGS)
{
	return wf_at_border(invoke_by_key, fcinfo);
}

PG_FUNCTION_INFO_V1(wf_invoke_with_nulls);

Datum
wf_invoke_with_nulls(PG_FUNCTION_ARGS)
{
	return wf_at_border(invoke_with_nulls, fcinfo);
}
