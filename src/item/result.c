/*
 * result.c
 *	  Arguments and results of the room's SQL functions.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "item/result.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* So many functions at most; the first of a place stays there. */
#define KEPT_ROWS 32

void
wf_require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name),
				 errdetail("It is argument %d.", argument + 1),
				 errhint("Pass a value for it.")));
}

char *
wf_argument_text(FunctionCallInfo fcinfo, int argument, const char *name)
{
	wf_require_argument(fcinfo, argument, name);

	return text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

char *
wf_optional_text(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

bool
wf_same_text(const char *left, const char *right)
{
	return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

int64
wf_argument_item(FunctionCallInfo fcinfo, bool by_key)
{
	static WfPlan plan = {
		.name = "item by key",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "SELECT workflow._item_id($1)",
	};
	Datum		name;

	wf_require_argument(fcinfo, 0, "item");
	if (!by_key)
		return PG_GETARG_INT64(0);
	name = PG_GETARG_DATUM(0);
	wf_plan_execute(&plan, &name, NULL);

	return wf_result_int8(0, 1);
}

/*
 * What rows of a function are.  To look that up takes a twentieth of what a send takes, so
 * it is kept where its OUT parameters say it, which no function can change.
 */
static TupleDesc
result_row(FunctionCallInfo fcinfo)
{
	static struct
	{
		Oid			function;
		TupleDesc	row;
	}			kept[KEPT_ROWS];
	Oid			function = fcinfo->flinfo->fn_oid;
	int			place = function % KEPT_ROWS;
	TupleDesc	row;
	MemoryContext caller;

	if (kept[place].row != NULL && kept[place].function == function)
		return kept[place].row;
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the function does not return a row");
	if (row->tdtypeid != RECORDOID || kept[place].row != NULL)
		return BlessTupleDesc(row);
	caller = MemoryContextSwitchTo(TopMemoryContext);
	kept[place].row = BlessTupleDesc(CreateTupleDescCopy(row));
	kept[place].function = function;
	MemoryContextSwitchTo(caller);

	return kept[place].row;
}

static HeapTuple
make_row(FunctionCallInfo fcinfo, int ncolumns, const Datum *values, TupleDesc *description)
{
	bool	   *nulls = palloc0(sizeof(bool) * ncolumns);

	*description = result_row(fcinfo);
	if ((*description)->natts != ncolumns)
		elog(ERROR, "the function does not return a row of %d columns", ncolumns);

	return heap_form_tuple(*description, unconstify(Datum *, values), nulls);
}

/*
 * Called while connected to SPI.
 */
Datum
wf_return_row(FunctionCallInfo fcinfo, int ncolumns, const Datum *values)
{
	TupleDesc	description;
	HeapTuple	row = make_row(fcinfo, ncolumns, values, &description);

	return PointerGetDatum(SPI_returntuple(row, description));
}

Datum
wf_row_datum(FunctionCallInfo fcinfo, int ncolumns, const Datum *values)
{
	TupleDesc	description;

	return HeapTupleGetDatum(make_row(fcinfo, ncolumns, values, &description));
}

bool
wf_refuses_other_input(const char *on_conflict)
{
	if (on_conflict == NULL || strcmp(on_conflict, "return") == 0)
		return false;
	if (strcmp(on_conflict, "error") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_conflict must be \"return\" or \"error\", not \"%s\"", on_conflict),
				 errdetail("It says what happens when the key is taken with another input."),
				 errhint("Leave it out for \"return\": the item that is there is returned.")));

	return true;
}
