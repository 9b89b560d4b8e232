/*
 * beat_extend.c
 *	  Extending the lease of a job of the table without writing.
 *
 * Only where nobody is at the job's row.  Whoever gives it back locks the row
 * before he asks memory when the lease ends; here memory is told first, and then
 * whether the row is locked.  So one of the two sees the other.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "base/compat.h"
#include "beats.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "look.h"
#include "marks.h"
#include "queue_internal.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of workflow.job. */
enum
{
	JOB_QUEUE = 2,
	JOB_STATUS = 4,
	JOB_TOKEN = 14,
	JOB_LEASE_UNTIL = 17,
};

static const char *
text_of(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * When the lease of a row ends by itself, if it is claimed under that token;
 * else 0, and if it is bound to a session.
 */
static TimestampTz
stored_end(TupleTableSlot *slot, const char *token)
{
	const char *status = text_of(slot, JOB_STATUS);
	const char *present = text_of(slot, JOB_TOKEN);
	bool		isnull;
	Datum		until = slot_getattr(slot, JOB_LEASE_UNTIL, &isnull);

	if (isnull || present == NULL || strcmp(status, "running") != 0 || strcmp(present, token) != 0)
		return 0;

	return DatumGetTimestampTz(until);
}

/*
 * Whether somebody has changed or locked the row, or is just doing so.
 */
static bool
is_taken(TupleTableSlot *slot)
{
	BufferHeapTupleTableSlot *place = (BufferHeapTupleTableSlot *) slot;
	HeapTupleHeader header = place->base.tuple->t_data;
	uint16		infomask;
	TransactionId xmax;

	LockBuffer(place->buffer, BUFFER_LOCK_SHARE);
	infomask = header->t_infomask;
	xmax = HeapTupleHeaderGetRawXmax(header);
	LockBuffer(place->buffer, BUFFER_LOCK_UNLOCK);
	if ((infomask & HEAP_XMAX_INVALID) != 0)
		return false;

	return (infomask & HEAP_XMAX_IS_MULTI) != 0 || !HEAP_XMAX_IS_LOCKED_ONLY(infomask) ||
		TransactionIdIsInProgress(xmax);
}

/*
 * Somebody who has seen the claim in memory may have passed over its row.
 */
static void
take_back(int64 job_id, const char *token, const char *queue, TimestampTz before,
		  TimestampTz stored)
{
	WfMarkNote	note = {
		.key = wf_track_key(wf_look_relation("job"), WF_TRACK_RUNNING, queue),
		.shelf = WF_RUNNING_ENDS,.position = stored
	};
	TimestampTz ignored;

	(void) wf_beats_set(job_id, token, queue, before, &ignored);
	if (before == 0)
		wf_marks_lower(&note, InvalidTransactionId);
}

static bool
extend(TupleTableSlot *slot, int64 job_id, const char *token, TimestampTz now, TimestampTz until)
{
	TimestampTz stored = stored_end(slot, token);
	TimestampTz before;
	const char *queue;

	if (stored == 0 || !TTS_IS_BUFFERTUPLE(slot) || wf_beats_end(job_id, token, stored) <= now)
		return false;
	if (until == 0)
		return !is_taken(slot);
	queue = text_of(slot, JOB_QUEUE);
	if (!wf_beats_set(job_id, token, queue, until, &before))
		return false;
	if (is_taken(slot))
	{
		take_back(job_id, token, queue, before, stored);
		return false;
	}

	return true;
}

bool
wf_beats_extend(int64 job_id, const char *token, TimestampTz now, TimestampTz until)
{
	IndexScanDesc scan;
	TupleTableSlot *slot;
	WfLook		look;
	bool		is_extended = false;

	if (!wf_beats_are_kept() || !wf_look_open(&look, "job", "job_pkey"))
		return false;
	wf_look_key(&look, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	slot = table_slot_create(look.table, NULL);
	scan = wf_index_beginscan(look.table, look.index, SnapshotSelf, 1);
	index_rescan(scan, look.keys, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		is_extended = extend(slot, job_id, token, now, until);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	wf_look_close(&look);

	return is_extended;
}

PG_FUNCTION_INFO_V1(wf_lease_end);

/*
 * workflow._lease_end(job_id bigint, token text, lease_until timestamptz)
 *		returns timestamptz
 */
Datum
wf_lease_end(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(2))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1))
		PG_RETURN_DATUM(PG_GETARG_DATUM(2));
	PG_RETURN_TIMESTAMPTZ(wf_beats_end(PG_GETARG_INT64(0), text_to_cstring(PG_GETARG_TEXT_PP(1)),
									   PG_GETARG_TIMESTAMPTZ(2)));
}
