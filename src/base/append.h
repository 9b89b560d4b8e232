/*
 * append.h
 *	  Adding rows to a table of the extension without a statement.
 *
 * The rows go through the table and its indexes as the executor would take
 * them; defaults, constraints and row triggers do not take part.
 */
#ifndef WF_BASE_APPEND_H
#define WF_BASE_APPEND_H

#include "executor/tuptable.h"
#include "utils/rel.h"

/*
 * Adds the rows of n slots to a table that is opened for writing.  What there
 * is to know of its indexes is kept until the table changes.
 */
extern void wf_append(Relation table, TupleTableSlot **rows, int n);

/* Whether an INSERT would do something more: a trigger of somebody's. */
extern bool wf_append_suffices(Relation table);

#endif							/* WF_BASE_APPEND_H */
