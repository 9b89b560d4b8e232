/*
 * plan.h
 *	  Named, prepared statements for hot paths.
 */
#ifndef WF_BASE_PLAN_H
#define WF_BASE_PLAN_H

#include "executor/spi.h"

#define WF_PLAN_MAX_ARGS 32

typedef struct WfPlan
{
	const char *name;			/* for the error context */
	const char *sql;
	int			expected;		/* SPI_OK_xxx of a correct run */
	bool		read_only;		/* use the active snapshot, change nothing */
	int			nargs;
	Oid			argtypes[WF_PLAN_MAX_ARGS];
	bool		by_index;		/* one plan for all values: through indexes,
								 * and in their order */
	const char *passes;			/* guarded table (guard.h) that it may write,
								 * or NULL */
	SPIPlanPtr	prepared;		/* NULL until first use in this backend */
} WfPlan;

extern uint64 wf_plan_execute(WfPlan *plan, Datum *values, const char *nulls);
extern uint64 wf_plan_execute_limit(WfPlan *plan, Datum *values,
									const char *nulls, long limit);

extern bool wf_plan_is_running(void);

/* Column of a row of SPI_tuptable, 1-based; *isnull may be NULL if never null. */
extern Datum wf_result_datum(uint64 row, int column, bool *isnull);
extern char *wf_result_text(uint64 row, int column);	/* NULL for null */
extern int64 wf_result_int8(uint64 row, int column);	/* 0 for null */
extern int32 wf_result_int4(uint64 row, int column);	/* 0 for null */
extern bool wf_result_is_null(uint64 row, int column);

/* A text datum, or 0 for NULL; and the null flag that goes with it. */
extern Datum wf_text_datum(const char *text);
#define WF_NULL_FLAG(pointer) ((pointer) == NULL ? 'n' : ' ')

/* Whether a text of a row says the same. */
extern bool wf_text_is(Datum stored, const char *said);

#endif							/* WF_BASE_PLAN_H */
