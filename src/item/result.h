/*
 * result.h
 *	  Arguments and results of the room's SQL functions.
 */
#ifndef WF_ITEM_RESULT_H
#define WF_ITEM_RESULT_H

#include "fmgr.h"

/* An argument that must not be null (22004); NULL for one that may be. */
extern char *wf_argument_text(FunctionCallInfo fcinfo, int argument, const char *name);
extern char *wf_optional_text(FunctionCallInfo fcinfo, int argument);

/* NULL is the same as NULL only. */
extern bool wf_same_text(const char *left, const char *right);

/* The id of the item that argument 0 names: a bigint, or 'workflow:key'. */
extern int64 wf_argument_item(FunctionCallInfo fcinfo, bool by_key);

/* A row without nulls, in the memory of who called while connected to SPI, or in this one. */
extern Datum wf_return_row(FunctionCallInfo fcinfo, int ncolumns, const Datum *values);
extern Datum wf_row_datum(FunctionCallInfo fcinfo, int ncolumns, const Datum *values);

extern void wf_require_argument(FunctionCallInfo fcinfo, int argument, const char *name);

/* on_conflict of submit(): "return" (or NULL), or "error". */
extern bool wf_refuses_other_input(const char *on_conflict);

#endif							/* WF_ITEM_RESULT_H */
