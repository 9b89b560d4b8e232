/*
 * store_lanes.c
 *	  The lanes of a store, one for each queue that was ever used in it.
 */
#include "postgres.h"

#include "lane_internal.h"

/*
 * The lane of a store that comes after another one, or the first (0); 0 after
 * the last.
 */
WfLaneNo
wf_store_next_lane(WfStore *store, WfLaneNo lane)
{
	WfPageNo	page_no = lane == 0 ? store->lane_page : lane / WF_LANES_IN_PAGE;
	uint32		index = lane == 0 ? 0 : lane % WF_LANES_IN_PAGE + 1;

	while (page_no != 0 && index >= ((WfLanePage *) wf_arena_page(page_no))->used)
	{
		page_no = wf_arena_page(page_no)->next;
		index = 0;
	}

	return page_no == 0 ? 0 : page_no * WF_LANES_IN_PAGE + index;
}

static WfLaneNo
find_lane(WfStore *store, int queue_no)
{
	WfLaneNo	lane = 0;

	while ((lane = wf_store_next_lane(store, lane)) != 0)
		if (wf_lane_at(lane)->queue_no == queue_no)
			break;

	return lane;
}

static WfLaneNo
make_lane(WfStore *store, int queue_no)
{
	WfPageNo	page_no = store->lane_page;
	WfLanePage *page;
	WfLane	   *lane;

	if (page_no == 0 || ((WfLanePage *) wf_arena_page(page_no))->used == WF_LANES_IN_PAGE)
	{
		page_no = wf_arena_take(WF_PAGE_LANES);
		if (page_no == 0)
			return 0;
		wf_arena_page(page_no)->next = store->lane_page;
		store->lane_page = page_no;
	}
	page = (WfLanePage *) wf_arena_page(page_no);
	lane = &page->lanes[page->used];
	LWLockInitialize(&lane->lock, wf_arena_tranche());
	lane->queue_no = queue_no;
	lane->store = store->self;

	return page_no * WF_LANES_IN_PAGE + page->used++;
}

/*
 * The lane of a queue; 0 without memory.
 */
WfLaneNo
wf_store_lane(WfStore *store, int queue_no)
{
	WfLaneNo	lane;

	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	lane = find_lane(store, queue_no);
	if (lane == 0)
		lane = make_lane(store, queue_no);
	LWLockRelease(&store->lock);

	return lane;
}
