/*
 * rows.c
 *	  Many rows for one statement.
 *
 * What a statement costs before it touches its first row is several times what
 * a row costs, so rows are collected and go to the server together: as one
 * array for each column, which the statement unnests.
 */
#include "postgres.h"

#include "base/rows.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#define FIRST_SIZE 64

WfRows *
wf_rows_make(WfPlan *plan)
{
	WfRows	   *rows = palloc0(sizeof(WfRows));

	rows->plan = plan;
	rows->size = FIRST_SIZE;
	rows->values = palloc(sizeof(Datum) * plan->nargs * FIRST_SIZE);
	rows->nulls = palloc(sizeof(bool) * plan->nargs * FIRST_SIZE);

	return rows;
}

void
wf_rows_add(WfRows *rows, const Datum *values, const char *nulls)
{
	int			ncolumns = rows->plan->nargs;

	if (rows->n == rows->size)
	{
		rows->size *= 2;
		rows->values = repalloc(rows->values, sizeof(Datum) * ncolumns * rows->size);
		rows->nulls = repalloc(rows->nulls, sizeof(bool) * ncolumns * rows->size);
	}
	for (int i = 0; i < ncolumns; i++)
	{
		rows->values[rows->n * ncolumns + i] = values[i];
		rows->nulls[rows->n * ncolumns + i] = nulls != NULL && nulls[i] == 'n';
	}
	rows->n++;
}

static Datum
column_array(const WfRows *rows, int column)
{
	int			ncolumns = rows->plan->nargs;
	Datum	   *values = palloc(sizeof(Datum) * rows->n);
	bool	   *nulls = palloc(sizeof(bool) * rows->n);
	int			lower_bound = 1;
	Oid			type = get_element_type(rows->plan->argtypes[column]);
	int16		length;
	bool		is_by_value;
	char		alignment;

	for (int row = 0; row < rows->n; row++)
	{
		values[row] = rows->values[row * ncolumns + column];
		nulls[row] = rows->nulls[row * ncolumns + column];
	}
	get_typlenbyvalalign(type, &length, &is_by_value, &alignment);

	return PointerGetDatum(construct_md_array(values, nulls, 1, (int *) &rows->n, &lower_bound,
											  type, length, is_by_value, alignment));
}

uint64
wf_rows_execute(WfRows *rows)
{
	Datum		arrays[WF_PLAN_MAX_ARGS];

	if (rows->n == 0)
		return 0;
	for (int i = 0; i < rows->plan->nargs; i++)
		arrays[i] = column_array(rows, i);
	rows->n = 0;

	return wf_plan_execute(rows->plan, arrays, NULL);
}
