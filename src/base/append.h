/*
 * append.h
 *	  Adding rows to a table of the extension without a statement.
 *
 * The rows go through the table and its indexes as the executor would take
 * them; defaults, conditions and row triggers do not take part.
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

/*
 * Whether all indexes of a table are of a kind that is filled without the
 * executor; and entering rows that are stored already.
 */
extern bool wf_append_is_simple(Relation table);
extern void wf_append_to_indexes(Relation table, TupleTableSlot **rows, int n);

/*
 * Whether an INSERT would do no more: fire no trigger, follow no rule, check no
 * condition, fill no column by an expression.
 */
extern bool wf_append_suffices(Relation table);

/*
 * The same of a table that is opened only if something of any table has changed
 * since it was asked: who asks has a lock on the partition that rows go to, which
 * is all that is written.
 */
extern bool wf_append_suffices_for(Oid table);

/* How often something of a table has changed, as far as this process has heard. */
extern uint64 wf_table_changes(void);

/*
 * The same besides what the caller sees to: a trigger, and so many conditions,
 * which its rows fulfil.
 */
extern bool wf_append_suffices_with(Relation table, const char *own_trigger, int own_conditions);

#endif							/* WF_BASE_APPEND_H */
