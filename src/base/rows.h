/*
 * rows.h
 *	  Many rows for one statement.
 */
#ifndef WF_BASE_ROWS_H
#define WF_BASE_ROWS_H

#include "base/plan.h"

typedef struct WfRows
{
	WfPlan	   *plan;
	int			n;
	int			size;
	Datum	   *values;			/* of all rows, one after the other */
	bool	   *nulls;
} WfRows;

/*
 * Rows for a plan all of whose parameters are arrays, one for each column.
 * Everything is in the current memory context.
 */
extern WfRows *wf_rows_make(WfPlan *plan);

/* Adds a row; nulls as SPI wants them.  What values point to is not copied. */
extern void wf_rows_add(WfRows *rows, const Datum *values, const char *nulls);

/* Runs the plan for all rows at once, unless there is none; forgets them. */
extern uint64 wf_rows_execute(WfRows *rows);

#endif							/* WF_BASE_ROWS_H */
