/*
 * claims.c
 *	  Who has claimed what, in memory: an entry for each call of claim().
 *
 * All jobs of a claim are in one lane, whose lock guards the entry.  An entry
 * is given back with the last of its jobs.
 */
#include "postgres.h"

#include "lane_internal.h"
#include "miscadmin.h"

static WfClaimPage *
claim_page(WfPageNo page)
{
	return (WfClaimPage *) wf_arena_page(page);
}

WfLaneClaim *
wf_claim_at(WfClaimNo claim)
{
	return &claim_page(claim / WF_CLAIMS_IN_PAGE)->claims[claim % WF_CLAIMS_IN_PAGE];
}

/*
 * Whether the claim is one of this process.
 */
bool
wf_claim_is_own(const WfLaneClaim *claim)
{
	return claim->session_pid == MyProcPid && claim->session_start == MyStartTimestamp;
}

/*
 * Returns a page with an entry that was never used; 0 without memory.
 */
static WfPageNo
page_with_room(WfStore *store)
{
	WfPageNo	page_no = store->claim_page;

	if (page_no != 0 && claim_page(page_no)->used < WF_CLAIMS_IN_PAGE)
		return page_no;
	page_no = wf_arena_take(WF_PAGE_CLAIMS);
	if (page_no == 0)
		return 0;
	claim_page(page_no)->page.next = store->claim_page;
	store->claim_page = page_no;

	return page_no;
}

/*
 * Returns an entry, zeroed; 0 without memory.
 */
WfClaimNo
wf_claim_new(WfStore *store)
{
	WfClaimNo	claim;

	LWLockAcquire(&store->claim_lock, LW_EXCLUSIVE);
	claim = store->free_claim;
	if (claim != 0)
		store->free_claim = wf_claim_at(claim)->next_free;
	else
	{
		WfPageNo	page_no = page_with_room(store);

		if (page_no != 0)
		{
			claim = page_no * WF_CLAIMS_IN_PAGE + claim_page(page_no)->used++;
			pg_atomic_init_u32(&wf_claim_at(claim)->is_listed, 0);
			pg_atomic_init_u32(&wf_claim_at(claim)->next_listed, 0);
		}
	}
	LWLockRelease(&store->claim_lock);
	if (claim != 0)
		memset(wf_claim_at(claim), 0, offsetof(WfLaneClaim, is_listed));

	return claim;
}

/*
 * An entry for a claim that was found in a segment, still without jobs; 0
 * without memory.  Whether the session lives that it is bound to is asked at
 * once.
 */
WfClaimNo
wf_claim_restore(WfStore *store, const WfSegmentRow *row)
{
	WfClaimNo	claim = wf_claim_new(store);
	WfLaneClaim *entry;

	if (claim == 0)
		return 0;
	entry = wf_claim_at(claim);
	memcpy(entry->secret, VARDATA_ANY(row->secret), WF_LANE_SECRET);
	entry->claimed_at = row->at;
	entry->lease_until = row->lease_until;
	entry->session_pid = row->session_pid;
	entry->session_start = row->session_start;
	entry->segment = row->segment;
	entry->is_restored = true;
	pg_atomic_fetch_add_u32(&store->restored, 1);
	strlcpy(entry->worker, row->worker, sizeof(entry->worker));
	if (row->segment != 0)
		pg_atomic_fetch_add_u64(&store->alive[row->segment - 1], 1);
	store->next_lease_end = Min(store->next_lease_end,
								row->lease_until == 0 ? WF_LANE_NOW : row->lease_until);

	return claim;
}

/*
 * Forgets all claims.
 */
void
wf_claim_wipe(WfStore *store)
{
	LWLockAcquire(&store->claim_lock, LW_EXCLUSIVE);
	while (store->claim_page != 0)
	{
		WfPageNo	page_no = store->claim_page;

		store->claim_page = wf_arena_page(page_no)->next;
		wf_arena_give(page_no);
	}
	store->free_claim = 0;
	pg_atomic_write_u32(&store->first_listed, 0);
	pg_atomic_write_u32(&store->restored, 0);
	LWLockRelease(&store->claim_lock);
}

/*
 * Gives back an entry without open jobs.
 */
void
wf_claim_give(WfStore *store, WfClaimNo claim)
{
	WfLaneClaim *entry = wf_claim_at(claim);

	if (entry->segment != 0)
		pg_atomic_fetch_sub_u64(&store->alive[entry->segment - 1], 1);
	entry->segment = 0;
	if (entry->is_restored)
		pg_atomic_fetch_sub_u32(&store->restored, 1);
	entry->is_restored = false;
	LWLockAcquire(&store->claim_lock, LW_EXCLUSIVE);
	entry->next_free = store->free_claim;
	store->free_claim = claim;
	LWLockRelease(&store->claim_lock);
}

/*
 * The claims that are bound to this session, which ends, are nobody's; whether
 * there are any.
 */
bool
wf_claim_disown(WfStore *store)
{
	bool		found = false;

	LWLockAcquire(&store->claim_lock, LW_EXCLUSIVE);
	for (WfPageNo page_no = store->claim_page; page_no != 0;
		 page_no = wf_arena_page(page_no)->next)
	{
		WfClaimPage *page = claim_page(page_no);

		for (uint32 i = 0; i < page->used; i++)
		{
			WfLaneClaim *claim = &page->claims[i];

			if (claim->open == 0 || claim->lease_until != 0 || !wf_claim_is_own(claim))
				continue;
			claim->session_pid = 0;
			found = true;
		}
	}
	LWLockRelease(&store->claim_lock);

	return found;
}

/*
 * So many jobs of a claim have left it.  The caller holds the lane's lock.
 */
void
wf_claim_end(WfStore *store, WfClaimNo claim, uint32 jobs)
{
	WfLaneClaim *entry = wf_claim_at(claim);

	Assert(entry->open >= jobs);
	entry->open -= jobs;
	if (entry->open == 0)
		wf_claim_give(store, claim);
}
