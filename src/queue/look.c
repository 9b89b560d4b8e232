/*
 * look.c
 *	  Looking for the first row behind a low-water mark (marks.h).
 *
 * The first row is the first that a new snapshot shows which sees nothing of what
 * this transaction has done: one that is being claimed, here or elsewhere, is
 * still there, for the claim may be undone.  So only commits need lower a mark.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "base/compat.h"
#include "catalog/namespace.h"
#include "executor/tuptable.h"
#include "look.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

Oid
wf_look_relation(const char *name)
{
	Oid			schema = get_namespace_oid("workflow", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/*
 * Snapshots of the past would show what is gone, and with the transaction's own
 * changes what may come back.
 */
Snapshot
wf_look_new_snapshot(void)
{
	Snapshot	snapshot;

	if (!FirstSnapshotSet)
		(void) GetTransactionSnapshot();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	snapshot->curcid = FirstCommandId;

	return snapshot;
}

/*
 * False when somebody has dropped the index.
 */
bool
wf_look_open(WfLook *look, const char *table, const char *index)
{
	Oid			oid = wf_look_relation(index);

	if (!OidIsValid(oid))
		return false;
	look->table = table_open(wf_look_relation(table), AccessShareLock);
	look->index = index_open(oid, AccessShareLock);
	look->snapshot = wf_look_new_snapshot();
	look->skips = NULL;

	return true;
}

void
wf_look_close(WfLook *look)
{
	UnregisterSnapshot(look->snapshot);
	index_close(look->index, AccessShareLock);
	table_close(look->table, AccessShareLock);
}

/*
 * What a column of the index, from 1 on, is compared with.
 */
void
wf_look_key(WfLook *look, int column, StrategyNumber strategy, RegProcedure procedure, Datum value)
{
	ScanKeyEntryInitialize(&look->keys[column - 1], 0, column, strategy, InvalidOid,
						   look->index->rd_indcollation[column - 1], procedure, value);
}

void
wf_look_null_key(WfLook *look, int column)
{
	ScanKeyEntryInitialize(&look->keys[column - 1], SK_ISNULL | SK_SEARCHNULL, column,
						   InvalidStrategy, InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
}

/*
 * Reads a column of eight bytes of the first row that the first n_keys let
 * through, and one of four, unless other is 0.  False when there is none.
 */
bool
wf_look_first(WfLook *look, int n_keys, Snapshot snapshot, int column, int64 *value,
			  int other, int32 *other_value)
{
	IndexScanDesc scan = wf_index_beginscan(look->table, look->index, snapshot, n_keys);
	TupleTableSlot *slot = table_slot_create(look->table, NULL);
	const int16 *columns = look->index->rd_index->indkey.values;
	bool		found;
	bool		isnull;

	index_rescan(scan, look->keys, n_keys, NULL, 0);
	do
		found = index_getnext_slot(scan, ForwardScanDirection, slot);
	while (found && look->skips != NULL && look->skips(slot));
	if (found)
		*value = DatumGetInt64(slot_getattr(slot, columns[column - 1], &isnull));
	if (found && other != 0)
		*other_value = DatumGetInt32(slot_getattr(slot, columns[other - 1], &isnull));
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);

	return found;
}

/*
 * Whether there is a row that is committed, or of this transaction and of its
 * present command, too; it begins with the last one.
 */
bool
wf_look_any_backward(WfLook *look, int n_keys)
{
	IndexScanDesc scan = wf_index_beginscan(look->table, look->index, SnapshotSelf, n_keys);
	TupleTableSlot *slot = table_slot_create(look->table, NULL);
	bool		found;

	index_rescan(scan, look->keys, n_keys, NULL, 0);
	found = index_getnext_slot(scan, BackwardScanDirection, slot);
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);

	return found;
}
