/*
 * lane.c
 *	  Storing, claiming and ending the jobs of a lane.
 */
#include "postgres.h"

#include "lane/figure.h"
#include "lane_internal.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Who waits for a job that another transaction changes looks so often. */
#define LOOK_MS 5

void
wf_lane_init(void)
{
	wf_arena_init();
	wf_figures_init();
	wf_mark_init();
	wf_store_init();
}

WfLaneNo
wf_lane_enter(int queue_no)
{
	WfStore    *store = wf_store_enter();

	return store == NULL ? 0 : wf_store_lane(store, queue_no);
}

bool
wf_lane_enter_built(void)
{
	return wf_store_enter_built() != NULL;
}

WfLaneNo
wf_lane_of_built(int queue_no, WfLaneNo known)
{
	WfStore    *store = wf_store_enter_built();

	if (store == NULL)
		return 0;
	if (known != 0 && wf_lane_at(known)->store == store->self &&
		wf_lane_at(known)->queue_no == queue_no)
		return known;

	return wf_store_lane(store, queue_no);
}

/*
 * This process, as the owner of a slot.
 */
static uint32
me(void)
{
	return (uint32) wf_my_proc_number() + 1;
}

/*
 * Gives slots to jobs whose rows are to be stored; returns how many before the
 * memory was spent.
 */
static int
push(WfLaneNo lane_no, int segment, const int64 *job_ids, int count, TimestampTz stored_at,
	 WfSlotNo *slots)
{
	WfLane	   *lane = wf_lane_at(lane_no);
	WfSlot		new_slot = {.segment = segment,.state = WF_SLOT_STORED,.owner = me()};
	int			pushed = 0;

	LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
	while (pushed < count)
	{
		new_slot.job_id = job_ids[pushed];
		slots[pushed] = wf_slot_push(lane, lane_no, &new_slot, stored_at);
		if (slots[pushed] == 0)
			break;
		wf_mark(slots[pushed], WF_SLOT_STORED, WF_SLOT_READY, WF_SLOT_ENDED, 0);
		pushed++;
	}
	pg_atomic_fetch_add_u64(&wf_store_at(lane->store)->alive[segment - 1], pushed);
	LWLockRelease(&lane->lock);

	return pushed;
}

/*
 * Needs no lock: nobody else reads the place of a slot that is stored, and who
 * makes it ready takes the lane's.
 */
static void
set_places(const WfSlotNo *slots, const ItemPointerData *tids, int count)
{
	for (int i = 0; i < count; i++)
		wf_slot_at(slots[i])->tid = tids[i];
}

bool
wf_lane_store(WfLaneNo lane_no, const int64 *job_ids, const Datum *payloads, int count,
			  TimestampTz stored_at)
{
	WfLane	   *lane = wf_lane_at(lane_no);
	WfStore    *store = wf_store_at(lane->store);
	int			segment = store->current_segment;
	WfSlotNo   *slots = palloc(sizeof(WfSlotNo) * count);
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) * count);
	int			pushed;

	wf_mark_reserve(store, count);
	pushed = push(lane_no, segment, job_ids, count, stored_at, slots);
	if (pushed < count)
	{
		wf_mark_undo(pushed);
		return false;
	}
	wf_segment_store(segment, lane->queue_no, job_ids, payloads, count, stored_at, tids);
	set_places(slots, tids, count);
	wf_segment_turn(store, segment, &tids[count - 1]);
	pfree(slots);
	pfree(tids);

	return true;
}

TimestampTz
wf_lane_head(WfLaneNo lane_no)
{
	WfLane	   *lane = wf_lane_at(lane_no);
	TimestampTz stored_at = DT_NOEND;
	WfSlotNo	slot;

	LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
	if (!wf_mark_any_stored())
		slot = wf_slot_first_ready(lane);
	else if (wf_slot_find(lane, 1, DT_NOEND, me(), &slot) == 0)
		slot = 0;
	if (slot != 0)
		stored_at = wf_slot_stored_at(slot);
	LWLockRelease(&lane->lock);

	return stored_at;
}

/*
 * Takes jobs for a claim whose entry is filled in; returns how many.
 */
static int
take(WfLane *lane, const WfLaneAsk *ask, WfClaimNo claim, WfLaneJob *jobs)
{
	WfSlotNo   *found = palloc(sizeof(WfSlotNo) * ask->limit);
	uint32		own = wf_mark_any_stored() ? me() : 0;
	int			count;

	LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
	count = wf_slot_find(lane, ask->limit, ask->before, own, found);
	for (int i = 0; i < count; i++)
	{
		WfSlot	   *slot = wf_slot_at(found[i]);

		jobs[i].slot = found[i];
		jobs[i].job_id = slot->job_id;
		jobs[i].stored_at = wf_slot_stored_at(found[i]);
		jobs[i].payload = NULL;
		wf_mark(found[i], WF_SLOT_TAKEN, WF_SLOT_CLAIMED, slot->state, slot->owner);
		wf_slot_set(lane, found[i], WF_SLOT_TAKEN, claim);
	}
	wf_claim_at(claim)->open = count;
	LWLockRelease(&lane->lock);
	pfree(found);

	return count;
}

static WfClaimNo
new_claim(WfStore *store, const WfLaneAsk *ask)
{
	WfClaimNo	claim = wf_claim_new(store);
	WfLaneClaim *entry;

	if (claim == 0)
		return 0;
	entry = wf_claim_at(claim);
	if (!wf_token_draw(entry->secret))
	{
		wf_claim_give(store, claim);
		return 0;
	}
	entry->claimed_at = ask->now;
	entry->lease_until = ask->lease_until;
	entry->session_pid = MyProcPid;
	entry->session_start = MyStartTimestamp;
	strlcpy(entry->worker, ask->worker, sizeof(entry->worker));

	return claim;
}

/*
 * Reads the rows of what was taken; puts back those that somebody else has
 * locked.  Returns how many are left.
 */
static int
read_taken(WfSegmentUse *use, WfLaneJob *jobs, int count)
{
	int			kept = 0;

	wf_segment_take(use, jobs, count);
	for (int i = 0; i < count; i++)
	{
		if (jobs[i].payload != NULL)
			jobs[kept++] = jobs[i];
		else
			wf_mark_put_back(jobs[i].slot);
	}

	return kept;
}

int
wf_lane_claim(WfLaneNo lane_no, const WfLaneAsk *ask, WfLaneJob *jobs, uint8 *secret)
{
	WfLane	   *lane = wf_lane_at(lane_no);
	WfStore    *store = wf_store_at(lane->store);
	WfSegmentUse use = {0};
	WfClaimNo	claim;
	int			count;

	PreventCommandIfReadOnly("workflow.claim()");
	wf_mark_reserve(store, ask->limit);
	claim = new_claim(store, ask);
	if (claim == 0)
		return -1;
	memcpy(secret, wf_claim_at(claim)->secret, WF_LANE_SECRET);
	count = take(lane, ask, claim, jobs);
	if (count == 0)
		wf_claim_give(store, claim);
	else if ((count = read_taken(&use, jobs, count)) > 0)
		wf_claim_record(&use, lane, claim, ask, jobs, count);
	wf_segment_leave(&use);
	if (count > 0 && ask->lease_until != 0)
		wf_store_lower_lease_end(store, ask->lease_until);

	return count;
}

static void
describe_end(WfLane *lane, WfSlotNo slot, WfLaneEnd *end)
{
	WfClaimNo	owner = wf_slot_at(slot)->owner;
	const WfLaneClaim *claim;

	memset(end, 0, sizeof(WfLaneEnd));
	end->job.job_id = wf_slot_at(slot)->job_id;
	end->job.slot = slot;
	end->job.stored_at = wf_slot_stored_at(slot);
	end->queue_no = lane->queue_no;
	end->is_claimed = owner != 0 && wf_slot_has_claim(wf_slot_at(slot)->state);
	if (!end->is_claimed)
		return;
	claim = wf_claim_at(owner);
	end->claimed_at = claim->claimed_at;
	end->lease_until = claim->lease_until;
	end->session_pid = claim->session_pid;
	end->session_start = claim->session_start;
	strlcpy(end->worker, claim->worker, sizeof(end->worker));
	memcpy(end->secret, claim->secret, WF_LANE_SECRET);
}

/*
 * Lets a job leave at commit; the caller holds the lane's lock and has a mark
 * to spare.
 */
void
wf_lane_end_slot(WfLane *lane, WfSlotNo slot_no, WfLaneEnd *end)
{
	WfSlot	   *slot = wf_slot_at(slot_no);
	WfSlotState state = slot->state;
	uint32		owner = slot->owner;

	describe_end(lane, slot_no, end);
	wf_slot_set(lane, slot_no, WF_SLOT_ENDING, end->is_claimed ? owner : 0);
	wf_mark(slot_no, WF_SLOT_ENDING, WF_SLOT_ENDED, state, owner);
}

/*
 * Whether a slot has the living claim of that secret.
 */
static bool
is_claimed_by(const WfSlot *slot, const uint8 *secret, TimestampTz now)
{
	const WfLaneClaim *claim;

	if (slot->state != WF_SLOT_CLAIMED && slot->state != WF_SLOT_TAKEN)
		return false;
	claim = wf_claim_at(slot->owner);
	if (slot->state == WF_SLOT_TAKEN && !wf_claim_is_own(claim))
		return false;

	return memcmp(claim->secret, secret, WF_LANE_SECRET) == 0 &&
		(claim->lease_until == 0 || claim->lease_until > now);
}

/*
 * Whether another transaction is about to let a job leave that has the claim
 * of that secret.
 */
static bool
is_leaving(WfSlotNo slot_no, const uint8 *secret)
{
	const WfSlot *slot = wf_slot_at(slot_no);

	return slot->state == WF_SLOT_ENDING && slot->owner != 0 &&
		memcmp(wf_claim_at(slot->owner)->secret, secret, WF_LANE_SECRET) == 0 &&
		!wf_mark_is_ending(slot_no);
}

/*
 * Sleeps for a moment; raises where each might wait for the other.
 */
void
wf_lane_wait_for_other(int64 job_id, TimestampTz since)
{
	static uint32 wait_event = 0;

	if (TimestampDifferenceExceeds(since, GetCurrentTimestamp(), DeadlockTimeout))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("job " INT64_FORMAT " is being changed by another transaction", job_id),
				 errdetail("That transaction has not ended after %d ms (deadlock_timeout).", DeadlockTimeout),
				 errhint("Try again.")));
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
					 wf_wait_event("PgWorkflowLaneJob", &wait_event));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
wf_lane_refuse_for_now(int64 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("job " INT64_FORMAT " cannot be looked up now", job_id),
			 errdetail("Its queue is being read anew, after a restore or because somebody has rewritten its tables."),
			 errhint("Try again.")));
}

/*
 * Ends a job if it is claimed by that secret; *is_leaving_too when another
 * transaction is about to do so.
 */
static bool
try_to_end(WfSlotNo slot, int64 job_id, const uint8 *secret, TimestampTz now, WfLaneEnd *end,
		   bool *is_leaving_too)
{
	WfLane	   *lane;
	bool		lives;

	*is_leaving_too = false;
	if (!wf_slot_lock(slot, job_id))
		return false;
	lane = wf_lane_at(wf_slot_lane(slot));
	lives = is_claimed_by(wf_slot_at(slot), secret, now);
	if (lives)
		wf_lane_end_slot(lane, slot, end);
	else
		*is_leaving_too = is_leaving(slot, secret);
	LWLockRelease(&lane->lock);

	return lives;
}

/*
 * A job that another transaction takes out of the lane, because a session's claim
 * gets a lease for example, is waited for: in the table the claim may live on.
 */
bool
wf_lane_end(int64 job_id, const char *token, TimestampTz now, WfLaneEnd *end)
{
	uint8		secret[WF_LANE_SECRET];
	TimestampTz since = 0;
	WfSlotNo	slot;
	WfStore    *store;
	bool		lives;
	bool		is_leaving_too;

	if (!wf_token_read(token, secret, &slot))
		return false;
	store = wf_store_enter();
	if (store == NULL && wf_store_find() != NULL)
		wf_lane_refuse_for_now(job_id);
	if (store == NULL)
		return false;
	slot = wf_slot_of_token(store, slot, job_id, secret);
	wf_mark_reserve(store, 1);
	while (!(lives = try_to_end(slot, job_id, secret, now, end, &is_leaving_too)) &&
		   is_leaving_too)
	{
		since = since == 0 ? GetCurrentTimestamp() : since;
		wf_lane_wait_for_other(job_id, since);
	}

	return lives;
}

static bool
find_in_lane(WfLane *lane, int64 job_id, WfLaneEnd *job)
{
	bool		found = false;

	LWLockAcquire(&lane->lock, LW_SHARED);
	for (WfPageNo page_no = lane->first; page_no != 0 && !found;
		 page_no = wf_arena_page(page_no)->next)
	{
		WfSlotPage *page = (WfSlotPage *) wf_arena_page(page_no);

		for (uint32 i = 0; i < page->used && !found; i++)
		{
			found = page->slots[i].job_id == job_id && page->slots[i].state != WF_SLOT_ENDED;
			if (found)
				describe_end(lane, page_no * WF_SLOTS_IN_PAGE + i, job);
		}
	}
	LWLockRelease(&lane->lock);

	return found;
}

bool
wf_lane_find(int64 job_id, WfLaneEnd *job)
{
	WfStore    *store = wf_store_enter();
	WfLaneNo	lane = 0;

	if (store == NULL)
		return false;
	while ((lane = wf_store_next_lane(store, lane)) != 0)
		if (find_in_lane(wf_lane_at(lane), job_id, job))
			return true;

	return false;
}

int
wf_lane_end_ready(WfLaneNo lane_no, int limit, WfLaneEnd *ends)
{
	WfLane	   *lane = wf_lane_at(lane_no);
	WfSlotNo   *found = palloc(sizeof(WfSlotNo) * limit);
	int			count;

	wf_mark_reserve(wf_store_at(lane->store), limit);
	LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
	count = wf_slot_find(lane, limit, DT_NOEND, wf_mark_any_stored() ? me() : 0, found);
	for (int i = 0; i < count; i++)
		wf_lane_end_slot(lane, found[i], &ends[i]);
	LWLockRelease(&lane->lock);
	pfree(found);

	return count;
}

void
wf_lane_read(WfLaneEnd *ends, int count)
{
	WfLaneJob  *jobs = palloc(sizeof(WfLaneJob) * count);

	for (int i = 0; i < count; i++)
		jobs[i] = ends[i].job;
	wf_segment_read(jobs, count);
	for (int i = 0; i < count; i++)
		ends[i].job.payload = jobs[i].payload;
	pfree(jobs);
}
