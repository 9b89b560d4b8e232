/*
 * later.c
 *	  Claims whose rows are written a moment after their commits.
 *
 * The row of a claim that is bound to its session is there for the case that the
 * server goes down: without it nobody would be charged with the attempt.  A job that
 * is done with sooner needs none.  So a claim of one job, in a transaction that
 * writes nothing else, is in memory only, until the maintenance worker writes
 * its row: a fifth of a second later, when an asynchronous commit would have
 * reached the disk.  Who builds the lanes anew takes such claims over.
 *
 * A row is written at once, or before the commit, where there is no maintenance
 * worker, and for a job that was there when the lanes were built: it may be the
 * one that brought the server down.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "lane_internal.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define LATER_US (USECS_PER_SEC / 5)

/* So many are written by one transaction. */
#define WRITE_LIMIT 256

/* A claim whose row is to be written. */
typedef struct Later
{
	WfClaimNo	claim;
	WfSlotNo	slot;
	int64		job_id;
	int			segment;		/* where its row is */
	uint8		secret[WF_LANE_SECRET];
} Later;

static Later *written = NULL;	/* by this transaction; in
								 * TopTransactionContext */
static int	n_written = 0;
static TimestampTz left_since = 0;	/* the first claim that this transaction
									 * has left for later; 0: none */

/* ------------------------------------------------------------------ claiming */

static bool
may_wait(const WfStore *store, const WfLaneAsk *ask, const WfLaneJob *jobs, int count)
{
	return ask->may_be_lost && count == 1 && jobs[0].job_id > store->built_until &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny()) && !wf_clock_is_faked() &&
		wf_wake_is_watched();
}

static void
write_row(WfSegmentUse *use, WfLane *lane, WfLaneClaim *entry, const int64 *job_ids, int count)
{
	WfStore    *store = wf_store_at(lane->store);
	int			segment = store->current_segment;

	pg_atomic_fetch_add_u64(&store->alive[segment - 1], 1);
	entry->segment = segment;
	wf_segment_store_claim(use, segment, lane->queue_no, entry, job_ids, count);
}

/*
 * Puts a claim into the list of those that may have to be written; one stays there
 * until somebody looks and finds that it need not be, even if its entry has become
 * another's: that is not put there twice.
 */
void
wf_later_list(WfStore *store, WfClaimNo claim)
{
	WfLaneClaim *entry = wf_claim_at(claim);
	uint32		first;

	if (pg_atomic_exchange_u32(&entry->is_listed, 1) != 0)
		return;
	first = pg_atomic_read_u32(&store->first_listed);
	do
		pg_atomic_write_u32(&entry->next_listed, first);
	while (!pg_atomic_compare_exchange_u32(&store->first_listed, &first, claim));
}

/*
 * Writes the row of a new claim, or leaves that for later.
 */
void
wf_claim_record(WfSegmentUse *use, WfLane *lane, WfClaimNo claim, const WfLaneAsk *ask,
				const WfLaneJob *jobs, int count)
{
	WfLaneClaim *entry = wf_claim_at(claim);
	int64	   *job_ids;

	if (may_wait(wf_store_at(lane->store), ask, jobs, count))
	{
		entry->later_slot = jobs[0].slot;
		pg_write_barrier();
		entry->later_job = jobs[0].job_id;
		wf_later_list(wf_store_at(lane->store), claim);
		left_since = left_since == 0 ? ask->now : left_since;
		return;
	}
	job_ids = palloc(sizeof(int64) * count);
	for (int i = 0; i < count; i++)
		job_ids[i] = jobs[i].job_id;
	write_row(use, lane, entry, job_ids, count);
	pfree(job_ids);
}

static bool
waits(const WfLaneClaim *entry)
{
	return entry->open > 0 && entry->later_job != 0 && entry->segment == 0;
}

/*
 * The transaction, which has claimed the job of a slot, is about to commit, and
 * nobody would write its claim later, or it commits other things, too: the claim is
 * on disk with them.
 */
void
wf_later_write_own(WfSegmentUse *use, WfSlotNo slot)
{
	WfLaneClaim *entry = wf_claim_at(wf_slot_at(slot)->owner);

	if (!waits(entry))
		return;

	/*
	 * all snapshots are gone; a table whose rows may be stored out of line
	 * wants one
	 */
	PushActiveSnapshot(GetTransactionSnapshot());
	write_row(use, wf_lane_at(wf_slot_lane(slot)), entry, &entry->later_job, 1);
	PopActiveSnapshot();
}

/* ------------------------------------------------------------------- writing */

/*
 * Whether the transaction that claimed is still under way; it tells when it has
 * committed.  Looks without the lane's lock: the slot of an open claim stays where it
 * is.  (0: the claim has ended just now.)
 */
static bool
is_uncertain(const Later *later)
{
	return later->slot == 0 || wf_slot_at(later->slot)->state == WF_SLOT_TAKEN;
}

/*
 * Whether a claim of the list has to be written now; *next: when otherwise.
 */
static bool
is_due(WfClaimNo claim, TimestampTz now, Later *later, TimestampTz *next)
{
	const WfLaneClaim *entry = wf_claim_at(claim);

	if (entry->claimed_at + LATER_US > now)
	{
		*next = Min(*next, entry->claimed_at + LATER_US);
		return false;
	}
	later->claim = claim;
	later->job_id = entry->later_job;
	pg_read_barrier();
	later->slot = entry->later_slot;

	return !is_uncertain(later);
}

/*
 * Copies what has to be written now; *next: when the next one has to be.  The list is
 * taken as a whole, and those that wait are put back: also those that are to be
 * written now, for that may fail.
 */
static int
collect(WfStore *store, Later *later, TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	WfClaimNo	claim = pg_atomic_exchange_u32(&store->first_listed, 0);
	int			count = 0;

	while (claim != 0)
	{
		WfLaneClaim *entry = wf_claim_at(claim);
		WfClaimNo	following = pg_atomic_read_u32(&entry->next_listed);

		/* who puts a claim there now finds it either listed or not looked at */
		(void) pg_atomic_exchange_u32(&entry->is_listed, 0);
		if (waits(entry))
		{
			wf_later_list(store, claim);
			if (count == WRITE_LIMIT)
				*next = Min(*next, now);
			else if (is_due(claim, now, &later[count], next))
				count++;
		}
		claim = following;
	}

	return count;
}

/*
 * Locks the lane of a claim that is still what it was; NULL when it is not.
 */
static WfLane *
lock_claim(const Later *later)
{
	WfLane	   *lane;
	const WfSlot *slot;

	if (!wf_slot_lock(later->slot, later->job_id))
		return NULL;
	lane = wf_lane_at(wf_slot_lane(later->slot));
	slot = wf_slot_at(later->slot);
	if (wf_slot_has_claim(slot->state) && slot->state != WF_SLOT_TAKEN &&
		slot->owner == later->claim && waits(wf_claim_at(later->claim)))
		return lane;
	LWLockRelease(&lane->lock);

	return NULL;
}

static void
write_later(WfStore *store, WfSegmentUse *use, int segment, Later *later)
{
	WfLane	   *lane = lock_claim(later);
	WfLaneClaim claim;
	int			queue_no;

	if (lane == NULL)
		return;
	claim = *wf_claim_at(later->claim);
	queue_no = lane->queue_no;
	LWLockRelease(&lane->lock);
	memcpy(later->secret, claim.secret, WF_LANE_SECRET);
	later->segment = segment;
	written[n_written++] = *later;
	pg_atomic_fetch_add_u64(&store->alive[segment - 1], 1);
	wf_segment_store_claim(use, segment, queue_no, &claim, &later->job_id, 1);
}

/*
 * See lane.h.
 */
TimestampTz
wf_lane_write_claims(void)
{
	WfStore    *store = wf_store_enter_built();
	WfSegmentUse use = {0};
	TimestampTz next = DT_NOEND;
	Later	   *later;
	int			segment;
	int			count;

	if (store == NULL)
		return DT_NOEND;		/* whoever builds it wakes the worker */
	segment = store->current_segment;
	/* somebody may be rewriting it, for long */
	if (!ConditionalLockRelationOid(wf_segment_oid(segment), RowExclusiveLock))
		return GetCurrentTimestamp() + LATER_US;
	later = palloc(sizeof(Later) * WRITE_LIMIT);
	written = MemoryContextAlloc(TopTransactionContext, sizeof(Later) * WRITE_LIMIT);
	count = collect(store, later, &next);
	for (int i = 0; i < count; i++)
		write_later(store, &use, segment, &later[i]);
	wf_segment_leave(&use);
	pfree(later);

	return next;
}

static WfSegmentRow *
row_of(const WfLaneClaim *entry)
{
	WfSegmentRow *row = palloc0(sizeof(WfSegmentRow));
	Datum		job_id = Int64GetDatum(entry->later_job);

	row->at = entry->claimed_at;
	row->job_ids = construct_array(&job_id, 1, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
								   TYPALIGN_DOUBLE);
	row->secret = palloc(VARHDRSZ + WF_LANE_SECRET);
	SET_VARSIZE(row->secret, VARHDRSZ + WF_LANE_SECRET);
	memcpy(VARDATA(row->secret), entry->secret, WF_LANE_SECRET);
	row->worker = pstrdup(entry->worker);
	row->session_pid = entry->session_pid;
	row->session_start = entry->session_start;

	return row;
}

/*
 * The claims that are in memory only, as their rows would be.  The caller has the
 * store for itself.
 */
List *
wf_later_rows(WfStore *store)
{
	List	   *rows = NIL;

	for (WfPageNo page_no = store->claim_page; page_no != 0;
		 page_no = wf_arena_page(page_no)->next)
	{
		const WfClaimPage *page = (WfClaimPage *) wf_arena_page(page_no);

		for (uint32 i = 0; i < page->used; i++)
			if (waits(&page->claims[i]))
				rows = lappend(rows, row_of(&page->claims[i]));
	}

	return rows;
}

/*
 * At the end of a transaction that is still inside the store: neither allocates
 * nor raises.
 */
void
wf_later_end(WfStore *store, bool is_commit)
{
	for (int i = 0; i < n_written; i++)
	{
		const Later *later = &written[i];
		WfLane	   *lane = is_commit ? lock_claim(later) : NULL;
		bool		lives = lane != NULL &&
		memcmp(wf_claim_at(later->claim)->secret, later->secret, WF_LANE_SECRET) == 0;

		if (lives)
			wf_claim_at(later->claim)->segment = later->segment;
		else
			pg_atomic_fetch_sub_u64(&store->alive[later->segment - 1], 1);
		if (lane != NULL)
			LWLockRelease(&lane->lock);
	}
	n_written = 0;
	written = NULL;
	if (left_since != 0 && is_commit)
		wf_wake_for_claims(left_since + LATER_US);
	left_since = 0;
}
