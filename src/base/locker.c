/*
 * locker.c
 *	  Who holds a row of a table, without waiting for it.
 *
 * A row lock is not in the lock table: the row itself names the transaction
 * that holds it.  So the row is read as the snapshot shows it, and the
 * transactions named there that are still running are looked for among the
 * processes.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/subtrans.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/context.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * Adds the process of a transaction that runs and is not this one: 0 when it
 * is a prepared one.  One that has ended meanwhile has no process either.
 */
static ArrayBuildState *
add_holder(ArrayBuildState *pids, TransactionId xid)
{
	int			pid;

	if (!TransactionIdIsNormal(xid) || TransactionIdIsCurrentTransactionId(xid) ||
		!TransactionIdIsInProgress(xid))
		return pids;

	xid = SubTransGetTopmostTransaction(xid);
	pid = BackendXidGetPid(xid);
	if (pid == 0 && !TransactionIdIsInProgress(xid))
		return pids;

	return accumArrayResult(pids, Int32GetDatum(pid), false, INT4OID, CurrentMemoryContext);
}

/*
 * The number and what it means are written one after the other by whoever locks
 * the row, so they are read under the lock of the page.
 */
static ArrayBuildState *
add_holders(ArrayBuildState *pids, TupleTableSlot *slot)
{
	HeapTupleHeader row = ExecFetchSlotHeapTuple(slot, false, NULL)->t_data;
	Buffer		buffer = ((BufferHeapTupleTableSlot *) slot)->buffer;
	uint16		infomask;
	TransactionId xmax;
	MultiXactMember *members;
	int			n;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	infomask = row->t_infomask;
	xmax = HeapTupleHeaderGetRawXmax(row);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);

	if (infomask & HEAP_XMAX_INVALID || HEAP_LOCKED_UPGRADED(infomask))
		return pids;
	if (!(infomask & HEAP_XMAX_IS_MULTI))
		return add_holder(pids, xmax);

	n = GetMultiXactIdMembers(xmax, &members, false, HEAP_XMAX_IS_LOCKED_ONLY(infomask));
	for (int i = 0; i < n; i++)
		pids = add_holder(pids, members[i].xid);

	return pids;
}

PG_FUNCTION_INFO_V1(wf_row_holders);

/*
 * _row_holders(relation, place of the row) returns int[]: the processes that
 * have locked or changed the row and whose transactions run; 0 stands for a
 * prepared one.  Null when nobody has, and on a standby, which does not know.
 */
Datum
wf_row_holders(PG_FUNCTION_ARGS)
{
	ItemPointer place = (ItemPointer) PG_GETARG_POINTER(1);
	ArrayBuildState *pids = NULL;
	Relation	table;
	TupleTableSlot *slot;

	if (RecoveryInProgress())
		PG_RETURN_NULL();

	table = table_open(PG_GETARG_OID(0), AccessShareLock);
	slot = table_slot_create(table, NULL);
	if (table_tuple_fetch_row_version(table, place, GetActiveSnapshot(), slot))
		pids = add_holders(pids, slot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, AccessShareLock);

	if (pids == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(makeArrayResult(pids, CurrentMemoryContext));
}
