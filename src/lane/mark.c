/*
 * mark.c
 *	  What the end of the present transaction does to the slots.
 *
 * A slot that a transaction changes shows in its state that the change is not
 * certain yet (stored, taken, ending).  A mark says what becomes of it.  A
 * commit applies the marks from the first to the last, a rollback from the
 * last to the first, each only to a slot that is still as the mark left it: of
 * a job that was stored, claimed and ended in one transaction, the last mark
 * alone has something to do at commit.
 *
 * The commit's part runs after the transaction is visible to others, and may
 * neither allocate nor raise.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/end.h"
#include "base/wake.h"
#include "lane_internal.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

typedef struct Mark
{
	WfSlotNo	slot;
	uint8		is;				/* WfSlotState, as the mark left it */
	uint8		on_commit;
	uint8		on_abort;
	uint32		owner_on_abort;
	SubTransactionId subtransaction;
} Mark;

static WfEnd own_end = 0;
static Mark *marks = NULL;		/* in TopTransactionContext */
static int	n_marks = 0;
static int	max_marks = 0;
static int	n_stored = 0;		/* marks of jobs that were stored */
static WfStore *marked_store = NULL;
static void (*move_hook) (WfLaneEnd *ends, int count) = NULL;

/*
 * Applies a mark; the caller holds the lane's lock.
 */
static void
apply(WfLane *lane, const Mark *mark, bool is_commit)
{
	WfSlot	   *slot = wf_slot_at(mark->slot);
	WfSlotState state = is_commit ? mark->on_commit : mark->on_abort;
	uint32		owner = slot->owner;
	int			segment = slot->segment;
	bool		leaves_claim;

	if (slot->state != mark->is)
		return;
	leaves_claim = wf_slot_has_claim(slot->state) && owner != 0 && !wf_slot_has_claim(state);
	wf_slot_set(lane, mark->slot, state, is_commit ? owner : mark->owner_on_abort);
	if (leaves_claim)
		wf_claim_end(marked_store, owner, 1);
	if (state == WF_SLOT_ENDED)
		pg_atomic_fetch_sub_u64(&marked_store->alive[segment - 1], 1);
}

/*
 * Applies marks from first on (commit) or down to first (rollback), with one
 * lock for neighbours of one lane.
 */
static void
apply_from(int first, bool is_commit)
{
	WfLaneNo	locked = 0;

	for (int i = 0; i < n_marks - first; i++)
	{
		const Mark *mark = &marks[is_commit ? first + i : n_marks - 1 - i];
		WfLaneNo	lane;

		if (mark->slot == 0)
			continue;			/* was put back */
		lane = wf_slot_lane(mark->slot);
		if (lane != locked)
		{
			if (locked != 0)
				LWLockRelease(&wf_lane_at(locked)->lock);
			LWLockAcquire(&wf_lane_at(lane)->lock, LW_EXCLUSIVE);
			locked = lane;
		}
		apply(wf_lane_at(lane), mark, is_commit);
	}
	if (locked != 0)
		LWLockRelease(&wf_lane_at(locked)->lock);
	while (n_marks > first)
		if (marks[--n_marks].is == WF_SLOT_STORED)
			n_stored--;
}

/*
 * The jobs that the transaction has stored leave their lanes.  What it has
 * claimed or ended there cannot be prepared: the second phase may come from
 * anybody, and tells nobody.
 */
static void
before_prepare(void)
{
	WfLaneEnd  *ends = palloc(sizeof(WfLaneEnd) * Max(n_marks, 1));
	int			count = 0;
	int			n_before = n_marks;

	wf_mark_reserve(marked_store, n_marks);
	for (int i = 0; i < n_before; i++)
	{
		WfSlotNo	slot = marks[i].slot;
		WfLane	   *lane = slot == 0 ? NULL : wf_lane_at(wf_slot_lane(slot));

		if (slot == 0 || wf_slot_at(slot)->state != marks[i].is)
			continue;
		if (marks[i].is == WF_SLOT_TAKEN ||
			(marks[i].is == WF_SLOT_ENDING && marks[i].on_abort != WF_SLOT_STORED))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a transaction that has claimed or completed jobs that stand alone cannot be prepared"),
					 errdetail("Job " INT64_FORMAT " is one of them.", wf_slot_at(slot)->job_id),
					 errhint("Commit it, or complete the job after COMMIT PREPARED.")));
		if (marks[i].is != WF_SLOT_STORED)
			continue;
		LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
		wf_lane_end_slot(lane, slot, &ends[count++]);
		LWLockRelease(&lane->lock);
	}
	if (count == 0)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	wf_lane_read(ends, count);
	wf_lane_move_into_table(ends, count);
	PopActiveSnapshot();
}

void
wf_lane_set_move_hook(void (*hook) (WfLaneEnd *ends, int count))
{
	move_hook = hook;
}

void
wf_lane_move_into_table(WfLaneEnd *ends, int count)
{
	if (count > 0)
		move_hook(ends, count);
}

/*
 * A transaction that writes something has its claims on disk with that; so has
 * one whose claims nobody would write any more.
 */
static void
before_commit(void)
{
	WfSegmentUse use = {0};

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()) && wf_wake_is_watched())
		return;
	for (int i = 0; i < n_marks; i++)
	{
		WfSlotNo	slot = marks[i].slot;

		if (marks[i].is == WF_SLOT_TAKEN && slot != 0 && wf_slot_at(slot)->state == WF_SLOT_TAKEN)
			wf_later_write_own(&use, slot);
	}
	wf_segment_leave(&use);
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (marked_store == NULL)
		return;
	if (event == XACT_EVENT_PRE_COMMIT)
		before_commit();
	if (event == XACT_EVENT_PRE_PREPARE)
		before_prepare();
	if (event == XACT_EVENT_PREPARE)
		event = XACT_EVENT_COMMIT;	/* all of its jobs have left */
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	apply_from(0, event == XACT_EVENT_COMMIT);
	wf_later_end(marked_store, event == XACT_EVENT_COMMIT);
	wf_store_leave(marked_store);
	marked_store = NULL;
	marks = NULL;
	max_marks = 0;
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	int			first = n_marks;

	while (first > 0 && marks[first - 1].subtransaction == mine)
		first--;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		apply_from(first, false);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = first; i < n_marks; i++)
			marks[i].subtransaction = parent;
}

void
wf_mark_init(void)
{
	own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
}

/*
 * Makes room for so many marks more; to be called before anything is changed
 * that they are for.  The store has been entered for this transaction.
 */
void
wf_mark_reserve(WfStore *store, int count)
{
	Assert(marked_store == NULL || marked_store == store);
	if (n_marks + count > max_marks)
	{
		int			wanted = Max(2 * max_marks, n_marks + count + 16);

		marks = marks == NULL ?
			MemoryContextAllocHuge(TopTransactionContext, sizeof(Mark) * wanted) :
			repalloc_huge(marks, sizeof(Mark) * wanted);
		max_marks = wanted;
	}
	marked_store = store;
	wf_end_is_due(own_end);
}

/*
 * Notes what becomes of a slot that the transaction has put into state "is".
 */
void
wf_mark(WfSlotNo slot, WfSlotState is, WfSlotState on_commit, WfSlotState on_abort,
		uint32 owner_on_abort)
{
	Mark	   *mark = &marks[n_marks++];

	mark->slot = slot;
	mark->is = is;
	mark->on_commit = on_commit;
	mark->on_abort = on_abort;
	mark->owner_on_abort = owner_on_abort;
	mark->subtransaction = GetCurrentSubTransactionId();
	if (is == WF_SLOT_STORED)
		n_stored++;
}

/*
 * Undoes the last so many marks.
 */
void
wf_mark_undo(int count)
{
	apply_from(n_marks - count, false);
}

/*
 * Whether this transaction has stored a job that it might claim itself.
 */
bool
wf_mark_any_stored(void)
{
	return n_stored > 0;
}

/*
 * Puts back a job that this transaction has just taken.
 */
void
wf_mark_put_back(WfSlotNo slot)
{
	WfLane	   *lane = wf_lane_at(wf_slot_lane(slot));

	for (int i = n_marks - 1; i >= 0; i--)
		if (marks[i].slot == slot)
		{
			LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
			apply(lane, &marks[i], false);
			LWLockRelease(&lane->lock);
			marks[i].slot = 0;
			break;
		}
}

/*
 * Whether this transaction itself lets a job leave.
 */
bool
wf_mark_is_ending(WfSlotNo slot)
{
	for (int i = n_marks - 1; i >= 0; i--)
		if (marks[i].slot == slot && marks[i].is == WF_SLOT_ENDING)
			return true;

	return false;
}

/*
 * How many jobs of a lane this transaction lets leave.
 */
uint64
wf_mark_count_ending(WfLaneNo lane)
{
	uint64		count = 0;

	for (int i = 0; i < n_marks; i++)
		if (marks[i].slot != 0 && marks[i].is == WF_SLOT_ENDING &&
			wf_slot_lane(marks[i].slot) == lane)
			count++;

	return count;
}

/*
 * Leaves the store before the transaction ends, if nothing was changed: for who
 * has entered it only to look, and may stay idle for long.
 */
void
wf_mark_leave(void)
{
	if (marked_store == NULL || n_marks > 0)
		return;
	if (marks != NULL)
		pfree(marks);
	marks = NULL;
	max_marks = 0;
	wf_store_leave(marked_store);
	marked_store = NULL;
}

/*
 * The store that this transaction is inside of, or NULL.
 */
WfStore *
wf_mark_store(void)
{
	return marked_store;
}
