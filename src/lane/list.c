/*
 * list.c
 *	  The jobs that are in lanes, one by one.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "base/owner.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lane_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* A job as it is listed. */
typedef struct Listed
{
	int64		job_id;
	WfSlotState state;
	int			segment;
	ItemPointerData tid;
	TimestampTz stored_at;
	WfSlotNo	slot;
	WfLaneClaim claim;
} Listed;

static void
put_job(int queue_no, const Listed *job, ReturnSetInfo *result)
{
	bool		is_claimed = job->state == WF_SLOT_CLAIMED;
	bool		has_lease = is_claimed && job->claim.lease_until != 0;
	Datum		values[] = {
		Int64GetDatum(job->job_id), Int32GetDatum(queue_no),
		CStringGetTextDatum(is_claimed ? "running" : "ready"),
		TimestampTzGetDatum(job->stored_at),
		is_claimed ? CStringGetTextDatum(job->claim.worker) : (Datum) 0,
		is_claimed ? TimestampTzGetDatum(job->claim.claimed_at) : (Datum) 0,
		has_lease ? TimestampTzGetDatum(job->claim.lease_until) : (Datum) 0,
		Int32GetDatum(job->segment), PointerGetDatum(&job->tid),
		is_claimed ? CStringGetTextDatum(wf_lane_token(job->claim.secret, job->slot)) : (Datum) 0
	};
	bool		nulls[] = {
		false, false, false, false, !is_claimed, !is_claimed, !has_lease, false, false, !is_claimed
	};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Copies the jobs of a page; returns how many, and the next page.  The caller
 * holds the lane's lock.
 */
static int
copy_page(WfPageNo page_no, Listed *jobs)
{
	WfSlotPage *page = (WfSlotPage *) wf_arena_page(page_no);
	int			count = 0;

	for (uint32 i = 0; i < page->used; i++)
	{
		WfSlot	   *slot = &page->slots[i];
		Listed	   *job = &jobs[count];

		if (slot->state != WF_SLOT_READY && slot->state != WF_SLOT_CLAIMED)
			continue;
		job->slot = page_no * WF_SLOTS_IN_PAGE + i;
		job->job_id = slot->job_id;
		job->state = slot->state;
		job->segment = slot->segment;
		job->tid = slot->tid;
		job->stored_at = wf_slot_stored_at(job->slot);
		if (slot->state == WF_SLOT_CLAIMED)
			job->claim = *wf_claim_at(slot->owner);
		count++;
	}

	return count;
}

/*
 * The first page of a lane from a sequence on; 0: none.
 */
static WfPageNo
page_from(WfLane *lane, uint64 sequence)
{
	WfPageNo	page_no = lane->first;

	while (page_no != 0 && ((WfSlotPage *) wf_arena_page(page_no))->sequence < sequence)
		page_no = wf_arena_page(page_no)->next;

	return page_no;
}

static void
put_jobs(WfLane *lane, ReturnSetInfo *result)
{
	Listed	   *jobs = palloc(sizeof(Listed) * WF_SLOTS_IN_PAGE);
	uint64		sequence = 0;
	WfPageNo	page_no;

	do
	{
		int			count = 0;

		LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
		page_no = page_from(lane, sequence);
		if (page_no != 0)
		{
			count = copy_page(page_no, jobs);
			sequence = ((WfSlotPage *) wf_arena_page(page_no))->sequence + 1;
		}
		LWLockRelease(&lane->lock);
		for (int i = 0; i < count; i++)
			put_job(lane->queue_no, &jobs[i], result);
	} while (page_no != 0);
	pfree(jobs);
}

PG_FUNCTION_INFO_V1(wf_lane_jobs);

/*
 * _lane_jobs(out job_id, out queue_no, out status, out stored_at, out worker,
 *		out claimed_at, out lease_until, out segment, out place, out token)
 *
 * Whoever may not see tokens has a function of this that ends before.
 */
Datum
wf_lane_jobs(PG_FUNCTION_ARGS)
{
	WfCaller	caller;
	WfStore    *store = NULL;
	WfLaneNo	lane = 0;
	bool		was_inside = wf_mark_store() != NULL;

	InitMaterializedSRF(fcinfo, 0);
	if (!RecoveryInProgress())
	{
		wf_enter_owner(&caller);
		store = wf_store_enter();
		wf_leave_owner(&caller);
	}
	while (store != NULL && (lane = wf_store_next_lane(store, lane)) != 0)
		put_jobs(wf_lane_at(lane), (ReturnSetInfo *) fcinfo->resultinfo);
	if (!was_inside)
		wf_mark_leave();

	PG_RETURN_NULL();
}

/*
 * What the present transaction itself lets leave is not there any more.
 */
static void
add_load(WfLaneNo lane_no, int64 *waiting, int64 *running)
{
	WfLane	   *lane = wf_lane_at(lane_no);

	LWLockAcquire(&lane->lock, LW_SHARED);
	*waiting += lane->count[WF_SLOT_STORED] + lane->count[WF_SLOT_READY];
	*running += lane->count[WF_SLOT_TAKEN] + lane->count[WF_SLOT_CLAIMED] +
		lane->count[WF_SLOT_ENDING] - wf_mark_count_ending(lane_no);
	LWLockRelease(&lane->lock);
}

PG_FUNCTION_INFO_V1(wf_lane_load);

/*
 * _lane_load(queue_no int, out waiting bigint, out running bigint)
 *
 * Counts what is not committed, too.  Both are null where there are no lanes.
 */
Datum
wf_lane_load(PG_FUNCTION_ARGS)
{
	WfStore    *store;
	WfLaneNo	lane = 0;
	bool		was_inside = wf_mark_store() != NULL;
	int64		waiting = 0;
	int64		running = 0;
	bool		nulls[2] = {false, false};
	Datum		values[2];
	TupleDesc	columns;
	WfCaller	caller;

	wf_enter_owner(&caller);
	store = wf_store_enter();
	wf_leave_owner(&caller);
	while (store != NULL && (lane = wf_store_next_lane(store, lane)) != 0)
		if (wf_lane_at(lane)->queue_no == PG_GETARG_INT32(0))
			add_load(lane, &waiting, &running);
	if (!was_inside)
		wf_mark_leave();

	values[0] = Int64GetDatum(waiting);
	values[1] = Int64GetDatum(running);
	nulls[0] = nulls[1] = store == NULL;
	(void) get_call_result_type(fcinfo, NULL, &columns);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

PG_FUNCTION_INFO_V1(wf_lane_payload);

/*
 * _lane_payload(segment int, place tid, job_id bigint) returns jsonb
 *
 * Null when the job is not there: it may have ended since it was listed.
 */
Datum
wf_lane_payload(PG_FUNCTION_ARGS)
{
	Jsonb	   *payload = wf_segment_payload(PG_GETARG_INT32(0),
											 *(ItemPointer) PG_GETARG_POINTER(1), PG_GETARG_INT64(2));

	if (payload == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(payload);
}
