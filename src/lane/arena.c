/*
 * arena.c
 *	  Shared memory in pages of 8 kB.
 *
 * Page 0 is the arena's own.  A page that was given back is the first to be
 * taken again; the others have never been touched, so that memory is used as
 * far as jobs wait, not as far as it was asked for.
 */
#include "postgres.h"

#include "base/config.h"
#include "lane_internal.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

/* A server without room is asked again after so long. */
#define TRY_EVERY_US (10 * USECS_PER_SEC)

typedef struct Arena
{
	LWLock		lock;
	int			tranche;		/* set once */
	uint32		n_pages;
	uint32		n_touched;
	WfPageNo	first_free;
	WfPageNo	first_store;
} Arena;

static Arena *arena = NULL;

static Size
arena_size(void)
{
	return (Size) wf_queue_memory_mb * 1024 * 1024;
}

static void
init_arena(void *memory)
{
	Arena	   *new_arena = memory;

	new_arena->tranche = LWLockNewTrancheId();
	LWLockInitialize(&new_arena->lock, new_arena->tranche);
	new_arena->n_pages = arena_size() / WF_ARENA_PAGE;
	new_arena->n_touched = 1;
}

/*
 * Called when the library is loaded.
 */
void
wf_arena_init(void)
{
	wf_request_shared_block(arena_size);
}

/*
 * Makes the arena accessible; false when the server has no room for it.
 */
bool
wf_arena_attach(void)
{
	static TimestampTz next_try = 0;

	if (arena != NULL)
		return true;
	if (GetCurrentTimestamp() < next_try)
		return false;
	next_try = GetCurrentTimestamp() + TRY_EVERY_US;
	arena = wf_shared_block_if_room("pg_workflow lanes", arena_size(), init_arena);
	if (arena != NULL)
		LWLockRegisterTranche(arena->tranche, "pg_workflow lanes");

	return arena != NULL;
}

int
wf_arena_tranche(void)
{
	return arena->tranche;
}

WfPage *
wf_arena_page(WfPageNo page)
{
	Assert(page > 0 && page < arena->n_pages);

	return (WfPage *) ((char *) arena + (Size) page * WF_ARENA_PAGE);
}

WfPageNo
wf_arena_number(const WfPage *page)
{
	return ((const char *) page - (const char *) arena) / WF_ARENA_PAGE;
}

/*
 * Whether there is such a page, used so.
 */
bool
wf_arena_is(WfPageNo page, WfPageUse use)
{
	return page > 0 && page < arena->n_touched && wf_arena_page(page)->use == use;
}

/*
 * Takes a page; the caller holds the arena's lock.
 */
static WfPageNo
take_page(WfPageUse use)
{
	WfPageNo	page = arena->first_free;

	if (page != 0)
		arena->first_free = wf_arena_page(page)->next;
	else if (arena->n_touched < arena->n_pages)
		page = arena->n_touched++;
	else
		return 0;
	memset(wf_arena_page(page), 0, WF_ARENA_PAGE);
	wf_arena_page(page)->use = use;

	return page;
}

/*
 * Returns a page, zeroed; 0 when there is none left.
 */
WfPageNo
wf_arena_take(WfPageUse use)
{
	WfPageNo	page;

	LWLockAcquire(&arena->lock, LW_EXCLUSIVE);
	page = take_page(use);
	LWLockRelease(&arena->lock);

	return page;
}

void
wf_arena_give(WfPageNo page)
{
	LWLockAcquire(&arena->lock, LW_EXCLUSIVE);
	wf_arena_page(page)->use = WF_PAGE_FREE;
	wf_arena_page(page)->next = arena->first_free;
	arena->first_free = page;
	LWLockRelease(&arena->lock);
}

/*
 * Takes a page, if there is one, that is not to be used yet; puts it into a list.
 */
void
wf_arena_spare(WfPageNo *list, WfPageUse use)
{
	WfPageNo	page = wf_arena_take(use);

	if (page == 0)
		return;
	wf_arena_page(page)->next = *list;
	*list = page;
}

/*
 * Gives one of them back, for whoever takes one next; false when none is left.
 */
bool
wf_arena_give_spare(WfPageNo *list)
{
	WfPageNo	page = *list;

	if (page == 0)
		return false;
	*list = wf_arena_page(page)->next;
	wf_arena_give(page);

	return true;
}

/*
 * Returns the page of the store that is_it() knows, or else a new one that
 * set_up() has made it; 0 when there is no page left.  Stores are never given
 * back: there is one for each database that has used the extension.
 */
WfPageNo
wf_arena_find_store(bool (*is_it) (WfPage *page), void (*set_up) (WfPage *page, WfPageNo self))
{
	WfPageNo	page;

	LWLockAcquire(&arena->lock, LW_EXCLUSIVE);
	page = arena->first_store;
	while (page != 0 && !is_it(wf_arena_page(page)))
		page = wf_arena_page(page)->next;
	if (page == 0 && (page = take_page(WF_PAGE_STORE)) != 0)
	{
		set_up(wf_arena_page(page), page);
		wf_arena_page(page)->next = arena->first_store;
		arena->first_store = page;
	}
	LWLockRelease(&arena->lock);

	return page;
}

/*
 * Calls back for each store, outside of any lock.
 */
void
wf_arena_for_each_store(void (*take) (WfPage *page))
{
	WfPageNo	page;

	LWLockAcquire(&arena->lock, LW_SHARED);
	page = arena->first_store;
	LWLockRelease(&arena->lock);
	for (; page != 0; page = wf_arena_page(page)->next)
		take(wf_arena_page(page));
}
