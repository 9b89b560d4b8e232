/*
 * slot.c
 *	  The jobs of a lane, in the order in which they were stored.
 *
 * A claim looks for ready slots from the lane's head on and never sees one
 * that is claimed, for pages without a ready slot are passed by and the head
 * moves past them.  A slot that is ready again (its claim was rolled back)
 * moves the head back.
 */
#include "postgres.h"

#include "lane_internal.h"

/* A page holds jobs that were stored within so many milliseconds. */
#define PAGE_SPAN_MS INT64CONST(0x7fffffff)

/* Where there was nothing to give back, it is looked again so much later. */
#define TAKE_BACK_US USECS_PER_SEC

static WfSlotPage *
slot_page(WfPageNo page)
{
	return (WfSlotPage *) wf_arena_page(page);
}

WfLane *
wf_lane_at(WfLaneNo lane)
{
	WfLanePage *page = (WfLanePage *) wf_arena_page(lane / WF_LANES_IN_PAGE);

	return &page->lanes[lane % WF_LANES_IN_PAGE];
}

WfSlot *
wf_slot_at(WfSlotNo slot)
{
	return &slot_page(slot / WF_SLOTS_IN_PAGE)->slots[slot % WF_SLOTS_IN_PAGE];
}

WfLaneNo
wf_slot_lane(WfSlotNo slot)
{
	return slot_page(slot / WF_SLOTS_IN_PAGE)->lane;
}

static TimestampTz
stored_at(const WfSlotPage *page, const WfSlot *slot)
{
	return page->first_stored + INT64CONST(1000) * slot->stored_ms;
}

TimestampTz
wf_slot_stored_at(WfSlotNo slot)
{
	return stored_at(slot_page(slot / WF_SLOTS_IN_PAGE), wf_slot_at(slot));
}

/*
 * Whether it is, or was a moment ago, the number of a lane of the store that
 * the transaction is inside of.
 */
static bool
is_my_lane(WfLaneNo lane)
{
	WfPageNo	page = lane / WF_LANES_IN_PAGE;

	return wf_arena_is(page, WF_PAGE_LANES) &&
		lane % WF_LANES_IN_PAGE < ((WfLanePage *) wf_arena_page(page))->used &&
		wf_store_at(wf_lane_at(lane)->store) == wf_mark_store();
}

/*
 * Locks the lane of what may be the slot of a job; false when it is not, which
 * it need not be: users name slots in tokens.
 */
bool
wf_slot_lock(WfSlotNo slot_no, int64 job_id)
{
	WfPageNo	page_no = slot_no / WF_SLOTS_IN_PAGE;
	uint32		index = slot_no % WF_SLOTS_IN_PAGE;
	WfLaneNo	lane;

	if (!wf_arena_is(page_no, WF_PAGE_SLOTS))
		return false;
	lane = slot_page(page_no)->lane;
	if (!is_my_lane(lane))
		return false;

	/* the pages of a lane come and go only with its lock held */
	LWLockAcquire(&wf_lane_at(lane)->lock, LW_EXCLUSIVE);
	if (wf_arena_is(page_no, WF_PAGE_SLOTS) && slot_page(page_no)->lane == lane &&
		index < slot_page(page_no)->used && slot_page(page_no)->slots[index].job_id == job_id)
		return true;
	LWLockRelease(&wf_lane_at(lane)->lock);

	return false;
}

static void
unlink_page(WfLane *lane, WfPageNo page_no)
{
	WfSlotPage *page = slot_page(page_no);

	if (page->previous == 0)
		lane->first = page->page.next;
	else
		slot_page(page->previous)->page.next = page->page.next;
	if (page->page.next == 0)
		lane->last = page->previous;
	else
		slot_page(page->page.next)->previous = page->previous;
	if (lane->head == page_no)
		lane->head = page->page.next;
	wf_arena_give(page_no);
}

/*
 * Gives back what lanes keep in which nothing stands: of queues that rest, or that were
 * dropped.  The caller holds the lock of one lane, so nobody is waited for.
 */
static bool
take_back(const WfLane *asker)
{
	static TimestampTz again_at = 0;	/* while there is nothing */
	WfStore    *store = wf_store_at(asker->store);
	WfLaneNo	lane_no = 0;
	bool		any = false;

	if (GetCurrentTimestamp() < again_at)
		return false;
	while ((lane_no = wf_store_next_lane(store, lane_no)) != 0)
	{
		WfLane	   *lane = wf_lane_at(lane_no);

		if (lane == asker || lane->last == 0 || !LWLockConditionalAcquire(&lane->lock, LW_EXCLUSIVE))
			continue;
		if (lane->last != 0 && slot_page(lane->last)->alive == 0)
		{
			unlink_page(lane, lane->last);
			any = true;
		}
		LWLockRelease(&lane->lock);
	}
	again_at = any ? 0 : GetCurrentTimestamp() + TAKE_BACK_US;

	return any;
}

/*
 * Returns the page that the next slot is to be in; NULL without memory.
 */
static WfSlotPage *
page_with_room(WfLane *lane, WfLaneNo lane_no, TimestampTz now)
{
	WfSlotPage *last = lane->last == 0 ? NULL : slot_page(lane->last);
	WfSlotPage *page;
	WfPageNo	page_no;

	if (last != NULL && last->used < WF_SLOTS_IN_PAGE && now >= last->first_stored &&
		(now - last->first_stored) / 1000 < PAGE_SPAN_MS)
		return last;
	page_no = wf_arena_take(WF_PAGE_SLOTS);
	if (page_no == 0 && take_back(lane))
		page_no = wf_arena_take(WF_PAGE_SLOTS);
	if (page_no == 0)
		return NULL;

	page = slot_page(page_no);
	page->lane = lane_no;
	page->sequence = lane->next_sequence++;
	page->first_stored = now;
	page->previous = lane->last;
	if (last == NULL)
		lane->first = page_no;
	else
		last->page.next = page_no;
	lane->last = page_no;

	return page;
}

/*
 * Counts a slot of a page in or out.
 */
static void
count_slot(WfLane *lane, WfSlotPage *page, WfSlotState state, int by)
{
	lane->count[state] += by;
	if (state == WF_SLOT_READY)
		page->ready += by;
	if (state != WF_SLOT_ENDED)
		page->alive += by;
}

static void
move_head_back(WfLane *lane, WfPageNo page_no, uint32 index)
{
	slot_page(page_no)->first_ready = Min(slot_page(page_no)->first_ready, index);
	if (lane->head == 0 ||
		slot_page(lane->head)->sequence > slot_page(page_no)->sequence)
		lane->head = page_no;
}

/*
 * Forgets all jobs of a lane.
 */
void
wf_slot_wipe(WfLane *lane)
{
	LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
	while (lane->first != 0)
	{
		WfPageNo	page_no = lane->first;

		lane->first = slot_page(page_no)->page.next;
		wf_arena_give(page_no);
	}
	lane->last = lane->head = 0;
	memset(lane->count, 0, sizeof(lane->count));
	LWLockRelease(&lane->lock);
}

/*
 * Adds a job behind all others; returns 0 without memory.  The caller holds
 * the lane's lock.
 */
WfSlotNo
wf_slot_push(WfLane *lane, WfLaneNo lane_no, const WfSlot *new_slot, TimestampTz now)
{
	WfSlotPage *page = page_with_room(lane, lane_no, now);
	WfSlot	   *slot;

	if (page == NULL)
		return 0;
	slot = &page->slots[page->used];
	*slot = *new_slot;
	slot->stored_ms = (now - page->first_stored) / 1000;
	count_slot(lane, page, slot->state, 1);
	if (slot->state == WF_SLOT_READY)
		move_head_back(lane, lane->last, page->used);

	return lane->last * WF_SLOTS_IN_PAGE + page->used++;
}

/*
 * Changes the state of a job.  The caller holds the lane's lock; a page is
 * given back with the last of its jobs.
 */
void
wf_slot_set(WfLane *lane, WfSlotNo slot_no, WfSlotState state, uint32 owner)
{
	WfPageNo	page_no = slot_no / WF_SLOTS_IN_PAGE;
	WfSlotPage *page = slot_page(page_no);
	WfSlot	   *slot = &page->slots[slot_no % WF_SLOTS_IN_PAGE];

	count_slot(lane, page, slot->state, -1);
	slot->state = state;
	slot->owner = owner;
	count_slot(lane, page, state, 1);
	if (state == WF_SLOT_READY)
		move_head_back(lane, page_no, slot_no % WF_SLOTS_IN_PAGE);
	if (page->alive == 0 && (page->used == WF_SLOTS_IN_PAGE || page_no != lane->last))
		unlink_page(lane, page_no);
}

/*
 * The first ready slot of a page that has one; the next look begins there.
 */
static uint32
first_ready(WfSlotPage *page)
{
	while (page->slots[page->first_ready].state != WF_SLOT_READY)
		page->first_ready++;

	return page->first_ready;
}

/*
 * Finds up to limit jobs, in order, that are ready, or that process "own" (0:
 * none) has stored in its transaction; returns how many.  Stops at the first
 * that was stored after "before".  The caller holds the lane's lock.
 */
int
wf_slot_find(WfLane *lane, int limit, TimestampTz before, uint32 own, WfSlotNo *found)
{
	int			count = 0;
	WfPageNo	page_no = own == 0 ? lane->head : lane->first;

	for (; page_no != 0 && count < limit; page_no = slot_page(page_no)->page.next)
	{
		WfSlotPage *page = slot_page(page_no);

		if (page->ready == 0 && page_no == lane->head)
			lane->head = page->page.next;
		if (page->ready == 0 && own == 0)
			continue;
		for (uint32 i = own == 0 ? first_ready(page) : 0; i < page->used && count < limit; i++)
		{
			WfSlot	   *slot = &page->slots[i];

			if (slot->state != WF_SLOT_READY &&
				(own == 0 || slot->state != WF_SLOT_STORED || slot->owner != own))
				continue;
			if (stored_at(page, slot) > before)
				return count;
			found[count++] = page_no * WF_SLOTS_IN_PAGE + i;
		}
	}

	return count;
}

/*
 * Returns the first ready slot; 0 when there is none.  The caller holds the
 * lane's lock.
 */
WfSlotNo
wf_slot_first_ready(WfLane *lane)
{
	WfPageNo	page_no = lane->head;

	while (page_no != 0 && slot_page(page_no)->ready == 0)
		page_no = slot_page(page_no)->page.next;
	lane->head = page_no;

	return page_no == 0 ? 0 : page_no * WF_SLOTS_IN_PAGE + first_ready(slot_page(page_no));
}
