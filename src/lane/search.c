/*
 * search.c
 *	  Jobs that are searched for in all lanes: those whose claims have ended by
 *	  themselves, with their lease or with the session that they were bound to,
 *	  and those that alone keep a segment.
 *
 * Whether a session lives is asked with no lock held, before the lanes are
 * searched.  A session that ends in between is found the next time; it lets
 * its jobs go itself anyway.
 */
#include "postgres.h"

#include "base/session.h"
#include "lane_internal.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* Jobs that are being changed are looked at again after so long. */
#define LOOK_AGAIN_US USECS_PER_SEC

typedef struct Session
{
	int			pid;
	TimestampTz start;
} Session;

typedef struct Search
{
	TimestampTz now;
	bool		is_own_session; /* only its claims */
	int			segment;		/* stragglers of it, instead of lost jobs */
	List	   *gone;			/* Session * */
	int			limit;
	int			count;
	WfLaneEnd  *ends;
	TimestampTz next_end;		/* of the leases that go on */
} Search;

static bool
contains(List *sessions, int pid, TimestampTz start)
{
	ListCell   *cell;

	foreach(cell, sessions)
	{
		Session    *session = lfirst(cell);

		if (session->pid == pid && session->start == start)
			return true;
	}

	return false;
}

static List *
add_session(List *sessions, int pid, TimestampTz start)
{
	Session    *session;

	if (contains(sessions, pid, start))
		return sessions;
	session = palloc(sizeof(Session));
	session->pid = pid;
	session->start = start;

	return lappend(sessions, session);
}

/*
 * Copies the sessions of claims that are bound to one; at most so many.
 */
static int
copy_sessions(WfStore *store, Session *sessions, int at_most)
{
	int			count = 0;

	LWLockAcquire(&store->claim_lock, LW_SHARED);
	for (WfPageNo page_no = store->claim_page; page_no != 0;
		 page_no = wf_arena_page(page_no)->next)
	{
		WfClaimPage *page = (WfClaimPage *) wf_arena_page(page_no);

		for (uint32 i = 0; i < page->used && count < at_most; i++)
		{
			WfLaneClaim *claim = &page->claims[i];

			if (claim->open == 0 || claim->lease_until != 0)
				continue;
			sessions[count].pid = claim->session_pid;
			sessions[count++].start = claim->session_start;
		}
	}
	LWLockRelease(&store->claim_lock);

	return count;
}

#define MAX_SESSIONS 10000

static List *
find_gone(WfStore *store)
{
	Session    *sessions = palloc(sizeof(Session) * MAX_SESSIONS);
	int			count = copy_sessions(store, sessions, MAX_SESSIONS);
	List	   *all = NIL;
	List	   *gone = NIL;
	ListCell   *cell;

	for (int i = 0; i < count; i++)
		all = add_session(all, sessions[i].pid, sessions[i].start);
	foreach(cell, all)
	{
		Session    *session = lfirst(cell);

		if (session->pid == 0 || !wf_session_lives(session->pid, session->start))
			gone = lappend(gone, session);
	}
	pfree(sessions);

	return gone;
}

static bool
is_lost(const WfLaneClaim *claim, Search *search)
{
	if (search->is_own_session)
		return claim->lease_until == 0 && wf_claim_is_own(claim);
	if (claim->lease_until == 0)
		return claim->session_pid == 0 ||
			contains(search->gone, claim->session_pid, claim->session_start);
	if (claim->lease_until > search->now)
		search->next_end = Min(search->next_end, claim->lease_until);

	return claim->lease_until <= search->now;
}

/*
 * Whether a job, or its claim, is in the segment that is to be emptied.
 */
static bool
is_straggler(const WfSlot *slot, const Search *search)
{
	if (slot->state != WF_SLOT_READY && slot->state != WF_SLOT_CLAIMED)
		return false;

	return slot->segment == search->segment ||
		(slot->state == WF_SLOT_CLAIMED && wf_claim_at(slot->owner)->segment == search->segment);
}

/*
 * Whether a job is to leave.  What a transaction is changing, and what leaves
 * now, may be as before when that transaction is rolled back: it is looked at
 * again.
 */
static bool
is_wanted(const WfSlot *slot, Search *search)
{
	bool		lost;

	if (search->segment != 0)
		return is_straggler(slot, search);
	if (slot->owner == 0 || !wf_slot_has_claim(slot->state))
		return false;
	lost = is_lost(wf_claim_at(slot->owner), search);
	if (lost)
		search->next_end = Min(search->next_end, search->now + LOOK_AGAIN_US);

	return lost && slot->state == WF_SLOT_CLAIMED;
}

static void
search_page(WfLane *lane, WfPageNo page_no, Search *search)
{
	WfSlotPage *page = (WfSlotPage *) wf_arena_page(page_no);

	for (uint32 i = 0; i < page->used && search->count < search->limit; i++)
	{
		if (is_wanted(&page->slots[i], search))
			wf_lane_end_slot(lane, page_no * WF_SLOTS_IN_PAGE + i,
							 &search->ends[search->count++]);
	}
}

static void
search_lane(WfLane *lane, Search *search)
{
	LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
	if (lane->count[WF_SLOT_CLAIMED] + lane->count[WF_SLOT_TAKEN] +
		lane->count[WF_SLOT_ENDING] > 0 || search->segment != 0)
		for (WfPageNo page_no = lane->first; page_no != 0;
			 page_no = wf_arena_page(page_no)->next)
			search_page(lane, page_no, search);
	LWLockRelease(&lane->lock);
}

static void
search_store(WfStore *store, Search *search)
{
	WfLaneNo	lane = 0;

	while ((lane = wf_store_next_lane(store, lane)) != 0)
		search_lane(wf_lane_at(lane), search);
}

TimestampTz
wf_lane_next_end(void)
{
	WfStore    *store = wf_store_find();

	return store != NULL && store->state == WF_STORE_BUILT ? store->next_lease_end : DT_NOEND;
}

int
wf_lane_end_lost(TimestampTz now, bool is_own_session, int limit, WfLaneEnd *ends)
{
	WfStore    *store = wf_store_find();
	Search		search = {.now = now,.is_own_session = is_own_session,.limit = limit,
	.ends = ends,.next_end = DT_NOEND};

	if (store == NULL || store->state != WF_STORE_BUILT)
		return 0;
	store = wf_store_enter();
	if (store == NULL)
		return 0;
	if (!is_own_session)
		search.gone = find_gone(store);
	wf_mark_reserve(store, limit);
	/* leases that are given from now on lower it themselves */
	if (!is_own_session)
		wf_store_set_lease_end(store, DT_NOEND);
	search_store(store, &search);
	wf_store_lower_lease_end(store, search.count == limit ? WF_LANE_NOW : search.next_end);

	return search.count;
}

void
wf_lane_disown(void)
{
	WfStore    *store = wf_store_known();

	if (store != NULL && wf_claim_disown(store))
		wf_store_lower_lease_end(store, WF_LANE_NOW);
}

/* So many jobs and claims are worth moving to have a segment back. */
#define MOST_STRAGGLERS 20000

/*
 * The segment with the fewest living jobs; 0 when there is an empty one, or
 * none with few.
 */
static int
segment_to_empty(WfStore *store)
{
	uint64		fewest = MOST_STRAGGLERS + 1;
	int			segment = 0;

	for (int i = 0; i < WF_LANE_SEGMENTS; i++)
	{
		uint64		alive = pg_atomic_read_u64(&store->alive[i]);

		if (store->is_empty[i] || (alive == 0 && store->current_segment != i + 1))
			return 0;
		if (store->current_segment == i + 1 || alive >= fewest)
			continue;
		fewest = alive;
		segment = i + 1;
	}

	return segment;
}

int
wf_lane_end_stragglers(int limit, WfLaneEnd *ends)
{
	WfStore    *store = wf_store_find();
	Search		search = {.limit = limit,.ends = ends,.next_end = DT_NOEND};

	if (store == NULL || store->state != WF_STORE_BUILT)
		return 0;
	search.segment = segment_to_empty(store);
	if (search.segment == 0 || (store = wf_store_enter()) == NULL)
		return 0;
	wf_mark_reserve(store, limit);
	search_store(store, &search);

	return search.count;
}
