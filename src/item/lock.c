/*
 * lock.c
 *	  Locking the row of an item, as SELECT ... FOR NO KEY UPDATE does it, and
 *	  reading it, without a statement.
 *
 * Nearly everything that happens to an item begins with this; a statement would
 * cost several times as much.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "base/table.h"
#include "item/item_internal.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static WfTable item_table = {"item"};
static WfTable item_index = {"item_pkey"};

static void
refuse_concurrent(bool is_deleted)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent %s", is_deleted ? "delete" : "update"),
			 errdetail("The transaction is REPEATABLE READ or SERIALIZABLE, and the item has changed since it began."),
			 errhint("Roll back and try again.")));
}

/*
 * Locks the row in the slot, which holds its latest version then; false when it is
 * gone, or held by somebody who is not waited for.
 */
static bool
lock_row(Relation table, Snapshot snapshot, TupleTableSlot *row, LockWaitPolicy policy)
{
	ItemPointerData place = row->tts_tid;
	TM_FailureData failure;
	TM_Result	result;
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	result = table_tuple_lock(table, &place, snapshot, row, GetCurrentCommandId(true),
							  LockTupleNoKeyExclusive, policy, flags, &failure);
	switch (result)
	{
		case TM_Ok:
			return true;
		case TM_WouldBlock:
		case TM_SelfModified:
			return false;
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				refuse_concurrent(result == TM_Deleted);
			return false;
		default:
			elog(ERROR, "the row of an item could not be locked");
	}
}

static WfItem *
read_row(TupleTableSlot *row)
{
	WfItem	   *item = wf_item_from_row(row, NULL, NULL);

	item->data = wf_item_data_from_row(row);
	item->place = row->tts_tid;

	return item;
}

/*
 * Finds the row of an item; false when there is none.
 */
bool
wf_item_find_row(Relation table, int64 item_id, Snapshot snapshot, TupleTableSlot *row)
{
	Relation	index = index_open(wf_table_oid(&item_index), AccessShareLock);
	IndexScanDesc scan = wf_index_beginscan(table, index, snapshot, 1);
	ScanKeyData key;
	bool		result;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(item_id));
	index_rescan(scan, &key, 1, NULL, 0);
	result = index_getnext_slot(scan, ForwardScanDirection, row);
	index_endscan(scan);
	index_close(index, NoLock);

	return result;
}

/*
 * The item, locked until the transaction ends, and as the transaction before left
 * it; NULL when there is none, or somebody holds it who is not waited for.  Says
 * nothing of a pause of the whole workflow.
 */
WfItem *
wf_item_lock_row(int64 item_id, bool waits)
{
	Relation	table;
	Snapshot	snapshot;
	TupleTableSlot *row;
	WfItem	   *item = NULL;

	PreventCommandIfReadOnly("SELECT FOR NO KEY UPDATE");
	CommandCounterIncrement();	/* as before a statement */
	table = table_open(wf_table_oid(&item_table), RowShareLock);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	row = table_slot_create(table, NULL);
	if (wf_item_find_row(table, item_id, snapshot, row) &&
		lock_row(table, snapshot, row, waits ? LockWaitBlock : LockWaitSkip))
		item = read_row(row);
	ExecDropSingleTupleTableSlot(row);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	CommandCounterIncrement();

	return item;
}
