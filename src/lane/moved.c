/*
 * moved.c
 *	  Finding claimed jobs that are no longer where their tokens say.
 *
 * A token says where its job is, so that nobody has to search.  When the lanes
 * are built anew (after a restart, or because somebody has rewritten a segment)
 * jobs get other places, but claims go on, and with them their tokens.  So what
 * of a token names its claim is the secret alone; the place is where to look
 * first.
 */
#include "postgres.h"

#include "lane_internal.h"

static WfSlotNo
find_in_page(WfPageNo page_no, int64 job_id, const uint8 *secret)
{
	const WfSlotPage *page = (WfSlotPage *) wf_arena_page(page_no);

	for (uint32 i = 0; i < page->used; i++)
	{
		const WfSlot *slot = &page->slots[i];

		if (slot->job_id == job_id && slot->owner != 0 && wf_slot_has_claim(slot->state) &&
			memcmp(wf_claim_at(slot->owner)->secret, secret, WF_LANE_SECRET) == 0)
			return page_no * WF_SLOTS_IN_PAGE + i;
	}

	return 0;
}

static bool
begins_behind(WfPageNo page_no, int64 job_id)
{
	return page_no == 0 || ((WfSlotPage *) wf_arena_page(page_no))->slots[0].job_id > job_id;
}

/*
 * What a lane was built with stands in the order of the ids, before all that was
 * stored since: one page has to be searched.
 */
static WfSlotNo
find_in_lane(WfLane *lane, int64 job_id, const uint8 *secret)
{
	WfSlotNo	slot = 0;
	WfPageNo	page_no;

	LWLockAcquire(&lane->lock, LW_SHARED);
	page_no = lane->first;
	while (!begins_behind(page_no, job_id))
	{
		WfPageNo	next = wf_arena_page(page_no)->next;

		if (begins_behind(next, job_id))
			slot = find_in_page(page_no, job_id, secret);
		page_no = next;
	}
	LWLockRelease(&lane->lock);

	return slot;
}

/*
 * Where the job of a token is; that need not be so any more, or never have been.
 */
WfSlotNo
wf_slot_of_token(WfStore *store, WfSlotNo told, int64 job_id, const uint8 *secret)
{
	WfSlotNo	slot = 0;
	WfLaneNo	lane = 0;

	if (pg_atomic_read_u32(&store->restored) == 0)
		return told;			/* all claims are from after the building */
	if (wf_slot_lock(told, job_id))
	{
		LWLockRelease(&wf_lane_at(wf_slot_lane(told))->lock);
		return told;
	}
	while (slot == 0 && (lane = wf_store_next_lane(store, lane)) != 0)
		slot = find_in_lane(wf_lane_at(lane), job_id, secret);

	return slot == 0 ? told : slot;
}
