/*
 * append.h
 *	  Rows at the end of one of our tables, without a statement.
 */
#ifndef WF_BASE_APPEND_H
#define WF_BASE_APPEND_H

#include "base/table.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

/* An index of columns, of the rows where a column is not null. */
typedef struct WfAppendIndex
{
	Oid			oid;
	AttrNumber	unless_null;	/* 0: of all rows */
	struct IndexInfo *info;
} WfAppendIndex;

/* Static, with the table's name; the rest is what is known of it. */
typedef struct WfAppend
{
	WfTable		table;
	bool		is_known;
	bool		is_plain;
	bool		has_simple_indexes; /* all of them are such */
	int			n_indexes;
	WfAppendIndex *indexes;
	MemoryContext memory;
	struct WfAppend *next;
} WfAppend;

/* Closed by table_close(relation, NoLock). */
extern Relation wf_append_open(WfAppend *to);

/*
 * Whether a statement that inserts would do nothing else: it would fire no
 * trigger, check no condition and fill no further column than the number given.
 */
extern bool wf_append_is_plain(WfAppend *to, Relation relation, int ncolumns);

extern void wf_append_rows(WfAppend *to, Relation relation, TupleTableSlot **rows, int count);

#endif							/* WF_BASE_APPEND_H */
