/*
 * segment.c
 *	  Rows of segments: jobs and claims, which are only ever inserted.
 *
 * Rows are read by their place; a claim passes by those that somebody else has
 * locked.  Nothing reads a segment by a scan but the building of a
 * store.  Space in the middle of a segment is not looked for: what comes later
 * is stored behind.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/table.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "lane_internal.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* So many jobs are stored together. */
#define STORE_BATCH 256

static WfTable segments[WF_LANE_SEGMENTS] = {
	{"segment_1"}, {"segment_2"}, {"segment_3"}, {"segment_4"},
	{"segment_5"}, {"segment_6"}, {"segment_7"}, {"segment_8"},
};

Oid
wf_segment_oid(int segment)
{
	return wf_table_oid(&segments[segment - 1]);
}

/*
 * How many blocks a segment has, and in which file.
 */
BlockNumber
wf_segment_blocks(int segment, Oid *file)
{
	Relation	relation = table_open(wf_segment_oid(segment), AccessShareLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(relation);

	*file = wf_relation_file(relation);
	table_close(relation, AccessShareLock);

	return blocks;
}

static void
clear_row(TupleTableSlot *row)
{
	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * row->tts_tupleDescriptor->natts);
}

static void
set_column(TupleTableSlot *row, WfSegmentColumn column, Datum value)
{
	row->tts_values[column - 1] = value;
	row->tts_isnull[column - 1] = false;
}

static void
fill_job(TupleTableSlot *row, int queue_no, int64 job_id, TimestampTz stored_at, Datum payload)
{
	clear_row(row);
	set_column(row, WF_SEGMENT_JOB_ID, Int64GetDatum(job_id));
	set_column(row, WF_SEGMENT_QUEUE_NO, Int32GetDatum(queue_no));
	set_column(row, WF_SEGMENT_AT, TimestampTzGetDatum(stored_at));
	set_column(row, WF_SEGMENT_PAYLOAD, payload);
	ExecStoreVirtualTuple(row);
}

/*
 * Stores jobs in an open segment, with the given rows to carry them; tells
 * where.
 */
static void
store_batch(Relation relation, TupleTableSlot **rows, int count, ItemPointerData *tids)
{
	CommandId	command = GetCurrentCommandId(true);

	if (count == 1)
		table_tuple_insert(relation, rows[0], command, TABLE_INSERT_SKIP_FSM, NULL);
	else
		table_multi_insert(relation, rows, count, command, TABLE_INSERT_SKIP_FSM, NULL);
	for (int i = 0; i < count; i++)
		tids[i] = rows[i]->tts_tid;
}

/*
 * Stores jobs in a segment; tells where.  Batch by batch: a row that is open
 * costs more the more of them are.
 */
void
wf_segment_store(int segment, int queue_no, const int64 *job_ids, const Datum *payloads,
				 int count, TimestampTz stored_at, ItemPointerData *tids)
{
	Relation	relation = table_open(wf_segment_oid(segment), RowExclusiveLock);
	TupleTableSlot *rows[STORE_BATCH];
	int			open = Min(count, STORE_BATCH);

	for (int i = 0; i < open; i++)
		rows[i] = MakeSingleTupleTableSlot(RelationGetDescr(relation),
										   table_slot_callbacks(relation));
	for (int done = 0; done < count; done += STORE_BATCH)
	{
		int			batch = Min(count - done, STORE_BATCH);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < batch; i++)
			fill_job(rows[i], queue_no, job_ids[done + i], stored_at, payloads[done + i]);
		store_batch(relation, rows, batch, tids + done);
	}
	for (int i = 0; i < open; i++)
		ExecDropSingleTupleTableSlot(rows[i]);
	table_close(relation, NoLock);
}

static void
open_segment(WfSegmentUse *use, int segment)
{
	if (segment == use->segment)
		return;
	wf_segment_leave(use);
	use->segment = segment;
	/* the lock that a claim's own row needs, too */
	use->relation = table_open(wf_segment_oid(segment), RowExclusiveLock);
	use->is_checked = false;
	use->row = table_slot_create(use->relation, NULL);
}

void
wf_segment_leave(WfSegmentUse *use)
{
	if (use->relation == NULL)
		return;
	ExecDropSingleTupleTableSlot(use->row);
	table_close(use->relation, NoLock);
	use->relation = NULL;
	use->segment = 0;
}

/*
 * Turns to the segment of a row that is about to be read by its place.
 */
static void
turn_to(WfSegmentUse *use, int segment, int64 job_id)
{
	open_segment(use, segment);
	if (use->is_checked)
		return;
	if (wf_relation_file(use->relation) != wf_mark_store()->file[segment - 1])
		wf_store_distrust(wf_mark_store(), job_id);
	use->is_checked = true;
}

/*
 * Stores that jobs have been claimed.
 */
void
wf_segment_store_claim(WfSegmentUse *use, int segment, int queue_no, const WfLaneClaim *claim,
					   const int64 *job_ids, int count)
{
	TupleTableSlot *row;
	bytea	   *secret = palloc(VARHDRSZ + WF_LANE_SECRET);
	ArrayType  *jobs = construct_array((Datum *) job_ids, count, INT8OID, sizeof(int64),
									   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);

	SET_VARSIZE(secret, VARHDRSZ + WF_LANE_SECRET);
	memcpy(VARDATA(secret), claim->secret, WF_LANE_SECRET);
	open_segment(use, segment);
	row = use->row;
	clear_row(row);
	set_column(row, WF_SEGMENT_QUEUE_NO, Int32GetDatum(queue_no));
	set_column(row, WF_SEGMENT_AT, TimestampTzGetDatum(claim->claimed_at));
	set_column(row, WF_SEGMENT_SECRET, PointerGetDatum(secret));
	set_column(row, WF_SEGMENT_WORKER, CStringGetTextDatum(claim->worker));
	set_column(row, WF_SEGMENT_JOB_IDS, PointerGetDatum(jobs));
	if (claim->lease_until != 0)
		set_column(row, WF_SEGMENT_LEASE_UNTIL, TimestampTzGetDatum(claim->lease_until));
	else
	{
		set_column(row, WF_SEGMENT_SESSION_PID, Int32GetDatum(claim->session_pid));
		set_column(row, WF_SEGMENT_SESSION_START, TimestampTzGetDatum(claim->session_start));
	}
	ExecStoreVirtualTuple(row);
	table_tuple_insert(use->relation, row, GetCurrentCommandId(true), TABLE_INSERT_SKIP_FSM,
					   NULL);
	ExecClearTuple(row);
}

static void
read_payload(TupleTableSlot *row, WfLaneJob *job)
{
	bool		isnull;
	Datum		payload;

	if (DatumGetInt64(slot_getattr(row, WF_SEGMENT_JOB_ID, &isnull)) != job->job_id || isnull)
		wf_store_distrust(wf_mark_store(), job->job_id);
	payload = slot_getattr(row, WF_SEGMENT_PAYLOAD, &isnull);

	job->payload = isnull ? NULL : DatumGetJsonbPCopy(payload);
}

/*
 * Reads the payloads of jobs that the transaction has for itself.
 */
void
wf_segment_read(WfLaneJob *jobs, int count)
{
	WfSegmentUse use = {0};

	for (int i = 0; i < count; i++)
	{
		WfSlot	   *slot = wf_slot_at(jobs[i].slot);
		ItemPointerData tid = slot->tid;

		turn_to(&use, slot->segment, jobs[i].job_id);
		if (!table_tuple_fetch_row_version(use.relation, &tid, SnapshotAny, use.row))
			wf_store_distrust(wf_mark_store(), jobs[i].job_id);
		read_payload(use.row, &jobs[i]);
		ExecClearTuple(use.row);
	}
	wf_segment_leave(&use);
}

static Jsonb *
payload_of_row(TupleTableSlot *row, int64 job_id)
{
	bool		isnull;
	Datum		payload;

	if (DatumGetInt64(slot_getattr(row, WF_SEGMENT_JOB_ID, &isnull)) != job_id || isnull)
		return NULL;
	payload = slot_getattr(row, WF_SEGMENT_PAYLOAD, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(payload);
}

/*
 * The payload of a job that was seen at a place a moment ago; NULL when it is
 * not there.  While it is looked for the segment cannot be truncated.
 */
Jsonb *
wf_segment_payload(int segment, ItemPointerData tid, int64 job_id)
{
	Relation	relation;
	TupleTableSlot *row;
	Jsonb	   *payload = NULL;

	if (segment < 1 || segment > WF_LANE_SEGMENTS || !ItemPointerIsValid(&tid))
		return NULL;
	relation = table_open(wf_segment_oid(segment), AccessShareLock);
	row = table_slot_create(relation, NULL);
	if (ItemPointerGetBlockNumber(&tid) < RelationGetNumberOfBlocks(relation) &&
		table_tuple_fetch_row_version(relation, &tid, SnapshotAny, row))
		payload = payload_of_row(row, job_id);
	ExecDropSingleTupleTableSlot(row);
	table_close(relation, AccessShareLock);

	return payload;
}

/*
 * Whether nobody has ever locked or deleted a row that was just read.
 */
static bool
is_untouched(Relation relation, TupleTableSlot *row)
{
	if (relation->rd_tableam != GetHeapamTableAmRoutine() || !TTS_IS_BUFFERTUPLE(row))
		return false;

	return (((BufferHeapTupleTableSlot *) row)->base.tuple->t_data->t_infomask &
			HEAP_XMAX_INVALID) != 0;
}

/*
 * Reads a row if it is free; there is but one version of it, so no snapshot has
 * to choose.
 */
static bool
take_row(const WfSegmentUse *use, ItemPointerData tid, CommandId command)
{
	TM_FailureData failure;

	if (table_tuple_fetch_row_version(use->relation, &tid, SnapshotAny, use->row) &&
		is_untouched(use->relation, use->row))
		return true;
	ExecClearTuple(use->row);

	return table_tuple_lock(use->relation, &tid, SnapshotAny, use->row, command,
							LockTupleExclusive, LockWaitSkip, 0, &failure) == TM_Ok;
}

/*
 * Reads the payloads of jobs that are being claimed, as FOR UPDATE SKIP LOCKED
 * would: what somebody else has locked is left without a payload.  Claims know
 * of each other by the slots, so that a row is locked only where somebody else
 * has been at it.
 */
void
wf_segment_take(WfSegmentUse *use, WfLaneJob *jobs, int count)
{
	CommandId	command = GetCurrentCommandId(true);

	for (int i = 0; i < count; i++)
	{
		WfSlot	   *slot = wf_slot_at(jobs[i].slot);

		turn_to(use, slot->segment, jobs[i].job_id);
		if (take_row(use, slot->tid, command))
			read_payload(use->row, &jobs[i]);
		ExecClearTuple(use->row);
	}
}

static Datum
column(TupleTableSlot *row, WfSegmentColumn number)
{
	bool		isnull;
	Datum		value = slot_getattr(row, number, &isnull);

	return isnull ? (Datum) 0 : value;
}

static void
read_row(TupleTableSlot *row, int segment, WfSegmentRow *result)
{
	Datum		jobs;
	Datum		secret;
	Datum		worker;

	memset(result, 0, sizeof(WfSegmentRow));
	result->tid = row->tts_tid;
	result->segment = segment;
	result->job_id = DatumGetInt64(column(row, WF_SEGMENT_JOB_ID));
	result->queue_no = DatumGetInt32(column(row, WF_SEGMENT_QUEUE_NO));
	result->at = DatumGetTimestampTz(column(row, WF_SEGMENT_AT));
	jobs = column(row, WF_SEGMENT_JOB_IDS);
	secret = column(row, WF_SEGMENT_SECRET);
	worker = column(row, WF_SEGMENT_WORKER);
	if (result->job_id != 0 || jobs == (Datum) 0 || secret == (Datum) 0 || worker == (Datum) 0)
		return;
	result->job_ids = DatumGetArrayTypePCopy(jobs);
	result->secret = DatumGetByteaPCopy(secret);
	result->worker = TextDatumGetCString(worker);
	result->lease_until = DatumGetTimestampTz(column(row, WF_SEGMENT_LEASE_UNTIL));
	result->session_pid = DatumGetInt32(column(row, WF_SEGMENT_SESSION_PID));
	result->session_start = DatumGetTimestampTz(column(row, WF_SEGMENT_SESSION_START));
}

/*
 * Whether a row is one of those that lanes write: the owner of the database may
 * insert others.
 */
static bool
is_sound(const WfSegmentRow *row)
{
	if (TIMESTAMP_NOT_FINITE(row->at))
		return false;
	if (row->job_id != 0)
		return true;

	return row->job_ids != NULL && !ARR_HASNULL(row->job_ids) &&
		VARSIZE_ANY_EXHDR(row->secret) == WF_LANE_SECRET;
}

/*
 * Hands over every committed row of a segment, in the order of their places;
 * tells in which file they are.
 */
void
wf_segment_scan(int segment, Oid *file, void (*take) (const WfSegmentRow *row, void *argument),
				void *argument)
{
	Relation	relation = table_open(wf_segment_oid(segment), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);
	TupleTableSlot *row = table_slot_create(relation, NULL);

	*file = wf_relation_file(relation);
	while (table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		WfSegmentRow result;

		CHECK_FOR_INTERRUPTS();
		read_row(row, segment, &result);
		if (is_sound(&result))
			take(&result, argument);
	}
	ExecDropSingleTupleTableSlot(row);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
}
