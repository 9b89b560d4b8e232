/*
 * search.c
 *	  Jobs that are searched for in all lanes: those whose claims have ended by
 *	  themselves, with their lease or with the session that they were bound to,
 *	  those that alone keep a segment, and those that somebody names.
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
	const int64 *named;			/* or these, in ascending order */
	int			nnamed;
	int64		busy;			/* one of these that another transaction is
								 * changing */
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

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

/*
 * Whether a job is named and this transaction may let it leave.
 */
static bool
is_named(WfSlotNo slot_no, Search *search)
{
	const WfSlot *slot = wf_slot_at(slot_no);
	bool		is_own = false;

	if (slot->state == WF_SLOT_ENDED ||
		bsearch(&slot->job_id, search->named, search->nnamed, sizeof(int64), compare_ids) == NULL)
		return false;
	if (slot->state == WF_SLOT_READY || slot->state == WF_SLOT_CLAIMED)
		return true;
	if (slot->state == WF_SLOT_STORED)
		return slot->owner == (uint32) wf_my_proc_number() + 1;
	if (slot->state == WF_SLOT_TAKEN)
		is_own = wf_claim_is_own(wf_claim_at(slot->owner));
	else if (wf_mark_is_ending(slot_no))
		return false;
	if (!is_own)
		search->busy = slot->job_id;

	return is_own;
}

/*
 * Whether a job is to leave.  What a transaction is changing, and what leaves
 * now, may be as before when that transaction is rolled back: it is looked at
 * again.
 */
static bool
is_wanted(WfSlotNo slot_no, Search *search)
{
	const WfSlot *slot = wf_slot_at(slot_no);
	bool		lost;

	if (search->named != NULL)
		return is_named(slot_no, search);
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
		WfSlotNo	slot = page_no * WF_SLOTS_IN_PAGE + i;

		if (is_wanted(slot, search))
			wf_lane_end_slot(lane, slot, &search->ends[search->count++]);
	}
}

static void
search_lane(WfLane *lane, Search *search)
{
	LWLockAcquire(&lane->lock, LW_EXCLUSIVE);
	if (lane->count[WF_SLOT_CLAIMED] + lane->count[WF_SLOT_TAKEN] +
		lane->count[WF_SLOT_ENDING] > 0 || search->segment != 0 || search->named != NULL)
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

int
wf_lane_end_named(const int64 *job_ids, int count, WfLaneEnd *ends)
{
	WfStore    *store = wf_store_enter();
	TimestampTz since = GetCurrentTimestamp();
	Search		search = {.named = job_ids,.nnamed = count,.limit = count,.ends = ends,
	.next_end = DT_NOEND};

	if (count > 0 && store == NULL && wf_store_find() != NULL)
		wf_lane_refuse_for_now(job_ids[0]);
	if (count == 0 || store == NULL)
		return 0;
	wf_mark_reserve(store, count);
	for (;;)
	{
		search.busy = 0;
		search_store(store, &search);
		if (search.busy == 0)
			return search.count;
		wf_lane_wait_for_other(search.busy, since);
	}
}
