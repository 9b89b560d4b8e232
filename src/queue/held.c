/*
 * held.c
 *	  Whether somebody has locked a job's row.
 *
 * FOR UPDATE SKIP LOCKED would tell, but it writes, and for a moment others
 * would pass by the row.  This only looks.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/table.h"
#include "fmgr.h"
#include "queue_internal.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static bool
is_being_modified(Relation job, ItemPointer row)
{
	HeapTupleData tuple = {.t_self = *row};
	Buffer		buffer;
	TM_Result	result;

	if (!heap_fetch(job, SnapshotAny, &tuple, &buffer, false))
		return false;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	result = HeapTupleSatisfiesUpdate(&tuple, GetCurrentCommandId(false), buffer);
	UnlockReleaseBuffer(buffer);

	return result == TM_BeingModified;
}

PG_FUNCTION_INFO_V1(wf_queue_is_held);

/*
 * workflow._is_held(job tid) returns bool
 */
Datum
wf_queue_is_held(PG_FUNCTION_ARGS)
{
	static WfTable table = {"job"};
	Relation	job = table_open(wf_table_oid(&table), AccessShareLock);
	bool		is_held = is_being_modified(job, (ItemPointer) PG_GETARG_POINTER(0));

	table_close(job, NoLock);

	PG_RETURN_BOOL(is_held);
}
