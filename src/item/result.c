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

static HeapTuple
make_row(FunctionCallInfo fcinfo, int ncolumns, const Datum *values, TupleDesc *description)
{
	bool	   *nulls = palloc0(sizeof(bool) * ncolumns);

	if (get_call_result_type(fcinfo, NULL, description) != TYPEFUNC_COMPOSITE ||
		(*description)->natts != ncolumns)
		elog(ERROR, "the function does not return a row of %d columns", ncolumns);
	*description = BlessTupleDesc(*description);

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
