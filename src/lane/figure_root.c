/*
 * figure_root.c
 *	  The figures of a database in shared memory, and counting them anew.
 *
 * After the start of the server the jobs are counted, once, by whoever first
 * wants to know; and again after somebody has changed them in a way that could
 * not be followed.  Nobody who changes jobs waits for that: the snapshot with
 * which they are counted is known to all, and of the transactions that commit
 * from then on each adds what it has changed unless that snapshot has seen it.
 * The snapshot is taken, and the figures are emptied, with the root's lock held,
 * which whoever adds holds, too: who has added before is seen by it.
 *
 * Nobody tells when a prepared transaction commits.  Those that have changed
 * jobs are watched, and when one has ended the jobs are counted anew.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "figure_internal.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

StaticAssertDecl(sizeof(WfFigurePage) <= WF_ARENA_PAGE, "figures fit into a page");
StaticAssertDecl(sizeof(WfStore) <= WF_ARENA_PAGE, "a store fits into a page");

typedef enum State
{
	STALE,
	COUNTING,
	KNOWN,
} State;

static WfFigurePage *
figure_page(WfPageNo page)
{
	return (WfFigurePage *) wf_arena_page(page);
}

void
wf_figure_root_init(WfStore *store)
{
	LWLockInitialize(&store->figures.lock, wf_arena_tranche());
}

/*
 * Gives back all figures of a store; nobody has changes for it left.
 */
void
wf_figure_root_wipe(WfStore *store)
{
	WfFigureRoot *root = &store->figures;

	LWLockAcquire(&root->lock, LW_EXCLUSIVE);
	while (root->first != 0)
	{
		WfPageNo	page = root->first;

		root->first = wf_arena_page(page)->next;
		wf_arena_give(page);
	}
	root->state = STALE;
	root->n_prepared = 0;
	LWLockRelease(&root->lock);
}

static WfFigurePage *
find(const WfFigureRoot *root, uint64 queue_hash, WfPageNo *page_no)
{
	for (*page_no = root->first; *page_no != 0; *page_no = wf_arena_page(*page_no)->next)
		if (figure_page(*page_no)->queue_hash == queue_hash)
			return figure_page(*page_no);

	return NULL;
}

static void
begin_change(WfFigurePage *page)
{
	LWLockAcquire(&page->lock, LW_EXCLUSIVE);
	pg_atomic_fetch_add_u32(&page->version, 1);
}

static void
end_change(WfFigurePage *page)
{
	pg_atomic_fetch_add_u32(&page->version, 1);
	LWLockRelease(&page->lock);
}

/*
 * Takes the page of a queue that is gone.  It stays in the list, which others walk
 * without a lock.  The caller holds the lock of the root, so that nobody adds.
 */
static WfFigurePage *
take_free(const WfFigureRoot *root, uint64 queue_hash)
{
	for (WfPageNo page_no = root->first; page_no != 0; page_no = wf_arena_page(page_no)->next)
	{
		WfFigurePage *page = figure_page(page_no);

		if (!page->is_free || !wf_figure_page_is_empty(page))
			continue;
		begin_change(page);
		page->queue_hash = queue_hash;
		page->is_free = false;
		wf_figure_page_empty(page);
		wf_figure_page_forget(page);
		end_change(page);
		return page;
	}

	return NULL;
}

/*
 * The caller holds the lock of the root.
 */
static WfFigurePage *
find_or_make(WfStore *store, uint64 queue_hash)
{
	WfFigureRoot *root = &store->figures;
	WfPageNo	page_no;
	WfFigurePage *page = find(root, queue_hash, &page_no);

	if (page != NULL)
		page->is_free = false;
	else
		page = take_free(root, queue_hash);
	if (page != NULL || (page_no = wf_arena_take(WF_PAGE_FIGURES)) == 0)
		return page;
	page = figure_page(page_no);
	LWLockInitialize(&page->lock, wf_arena_tranche());
	pg_atomic_init_u32(&page->version, 0);
	page->store = store->self;
	page->queue_hash = queue_hash;
	page->page.next = root->first;
	pg_write_barrier();			/* others walk the list without a lock */
	root->first = page_no;

	return page;
}

/*
 * The figures of a queue; NULL when there are none, or no memory for them.
 */
WfFigurePage *
wf_figure_find(WfStore *store, uint64 queue_hash, bool make)
{
	WfPageNo	page_no;
	WfFigurePage *page = find(&store->figures, queue_hash, &page_no);

	if (!make || (page != NULL && !page->is_free))
		return page;
	LWLockAcquire(&store->figures.lock, LW_EXCLUSIVE);
	page = find_or_make(store, queue_hash);
	LWLockRelease(&store->figures.lock);

	return page;
}

/*
 * Copies a page that others may be changing.
 */
void
wf_figure_read(const WfFigurePage *page, WfFigurePage *copy)
{
	pg_atomic_uint32 *version = &unconstify(WfFigurePage *, page)->version;
	uint32		before;

	do
	{
		before = pg_atomic_read_u32(version);
		pg_read_barrier();
		memcpy(copy, page, sizeof(WfFigurePage));
		pg_read_barrier();
	} while (before % 2 == 1 || before != pg_atomic_read_u32(version));
}

/*
 * Whether the snapshot that jobs were counted with has seen the present
 * transaction, which has committed.
 */
static bool
is_counted(const WfFigureRoot *root)
{
	FullTransactionId me = GetTopFullTransactionIdIfAny();

	if (!FullTransactionIdIsValid(me) || !FullTransactionIdPrecedes(me, root->end))
		return false;
	for (int i = 0; i < root->n_running; i++)
		if (root->running[i] == XidFromFullTransactionId(me))
			return false;

	return true;
}

/*
 * Whether a page is still of the store: a transaction that has dropped the
 * extension may have given it back.
 */
static bool
is_page_of(const WfStore *store, WfFigures figures)
{
	return wf_arena_is(figures, WF_PAGE_FIGURES) && figure_page(figures)->store == store->self;
}

/*
 * Adds what the present transaction has changed; neither allocates nor raises.
 */
void
wf_figure_apply(WfStore *store, const WfFigureChange *changes, int count)
{
	WfFigureRoot *root = &store->figures;
	TimestampTz now = GetCurrentTransactionStopTimestamp();
	WfFigurePage *page = NULL;
	bool		adds_counts;

	LWLockAcquire(&root->lock, LW_SHARED);
	adds_counts = root->state != STALE && !is_counted(root);
	for (int i = 0; i < count; i++)
	{
		const WfFigureChange *change = &changes[i];

		if (change->by == 0 || (change->figure <= WF_FIGURE_DEAD && !adds_counts) ||
			!is_page_of(store, change->figures))
			continue;
		if (page != figure_page(change->figures))
		{
			if (page != NULL)
				end_change(page);
			page = figure_page(change->figures);
			begin_change(page);
		}
		page->is_free = change->figure == WF_FIGURE_FORGET;
		if (page->is_free)
			wf_figure_page_forget(page);
		else
			wf_figure_page_add(page, change->figure, change->at, change->by, now);
	}
	if (page != NULL)
		end_change(page);
	LWLockRelease(&root->lock);
}

/*
 * The jobs are to be counted anew.
 */
void
wf_figure_outdate(WfStore *store)
{
	LWLockAcquire(&store->figures.lock, LW_EXCLUSIVE);
	store->figures.state = STALE;
	LWLockRelease(&store->figures.lock);
}

/*
 * Watches a transaction that is prepared; false when there are too many.
 */
static bool
watch(WfFigureRoot *root, TransactionId prepared)
{
	for (int i = 0; i < root->n_prepared; i++)
		if (root->prepared[i] == prepared)
			return true;
	if (root->n_prepared == lengthof(root->prepared))
		return false;
	root->prepared[root->n_prepared++] = prepared;

	return true;
}

bool
wf_figure_watch(WfStore *store, TransactionId prepared)
{
	bool		has_room;

	LWLockAcquire(&store->figures.lock, LW_EXCLUSIVE);
	has_room = watch(&store->figures, prepared);
	if (!has_room)
		store->figures.state = STALE;
	LWLockRelease(&store->figures.lock);

	return has_room;
}

/*
 * Forgets prepared transactions that have ended; whether there were any.
 */
static bool
forget_ended(WfFigureRoot *root)
{
	int			n_left = 0;
	bool		found;

	LWLockAcquire(&root->lock, LW_EXCLUSIVE);
	for (int i = 0; i < root->n_prepared; i++)
		if (TransactionIdIsInProgress(root->prepared[i]))
			root->prepared[n_left++] = root->prepared[i];
	found = n_left < root->n_prepared;
	root->n_prepared = n_left;
	if (found)
		root->state = STALE;
	LWLockRelease(&root->lock);

	return found;
}

/*
 * Whether the figures say how many jobs there are.
 */
bool
wf_figure_is_known(WfStore *store)
{
	WfFigureRoot *root = &store->figures;

	return root->state == KNOWN && (root->n_prepared == 0 || !forget_ended(root));
}

/*
 * Tells everybody which snapshot the jobs are counted with, the active one.  The
 * transaction's own changes are not counted: it has none yet.
 */
static bool
publish(WfFigureRoot *root, Snapshot snapshot)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId mine = GetTopTransactionIdIfAny();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (snapshot->xcnt + 1 > lengthof(root->running))
		return false;
	if (snapshot->xmax > XidFromFullTransactionId(next))
		epoch--;
	root->end = FullTransactionIdFromEpochAndXid(epoch, snapshot->xmax);
	if (snapshot->xcnt > 0)		/* else there may be no list */
		memcpy(root->running, snapshot->xip, sizeof(TransactionId) * snapshot->xcnt);
	root->n_running = snapshot->xcnt;
	if (TransactionIdIsValid(mine))
		root->running[root->n_running++] = mine;

	return true;
}

/*
 * Empties the figures and pushes the snapshot to count with; returns the number
 * of the counting, 0 and no snapshot when it cannot be done now.
 */
uint32
wf_figure_begin_count(WfStore *store)
{
	WfFigureRoot *root = &store->figures;
	uint32		number = 0;

	(void) forget_ended(root);
	LWLockAcquire(&root->lock, LW_EXCLUSIVE);
	if (root->state == STALE)
	{
		PushActiveSnapshot(GetLatestSnapshot());
		if (publish(root, GetActiveSnapshot()))
			number = ++root->counting;
		else
			PopActiveSnapshot();
	}
	if (number != 0)
	{
		root->state = COUNTING;
		for (WfPageNo page = root->first; page != 0; page = wf_arena_page(page)->next)
		{
			begin_change(figure_page(page));
			wf_figure_page_empty(figure_page(page));
			end_change(figure_page(page));
		}
	}
	LWLockRelease(&root->lock);

	return number;
}

/*
 * Puts what was counted under what has changed since; false when there is no
 * memory for it, or so much has changed that the one does not fit the other.
 */
static bool
put(WfStore *store, const WfFigurePage *counted)
{
	WfFigurePage *page = find_or_make(store, counted->queue_hash);
	WfSpan		since[WF_SPANS];
	int			n_since;

	if (page == NULL || page->merges > 0)
		return false;
	n_since = page->n_spans;
	memcpy(since, page->spans, sizeof(WfSpan) * n_since);
	begin_change(page);
	for (int i = 0; i <= WF_FIGURE_DEAD; i++)
		page->count[i] += counted->count[i];
	page->n_spans = counted->n_spans;
	memcpy(page->spans, counted->spans, sizeof(WfSpan) * counted->n_spans);
	for (int i = 0; i < n_since; i++)
		wf_figure_page_add_span(page, &since[i]);
	end_change(page);

	return true;
}

/*
 * Ends a counting; false when it has come to nothing.  Pages without jobs were
 * not counted, and are right as they are.
 */
bool
wf_figure_end_count(WfStore *store, uint32 number, WfFigurePage **pages, int count)
{
	WfFigureRoot *root = &store->figures;
	bool		is_mine;

	LWLockAcquire(&root->lock, LW_EXCLUSIVE);
	is_mine = root->state == COUNTING && root->counting == number;
	if (is_mine)
	{
		bool		fits = pages != NULL;

		for (int i = 0; i < count && fits; i++)
			fits = put(store, pages[i]);
		root->state = fits ? KNOWN : STALE;
		is_mine = fits;
	}
	LWLockRelease(&root->lock);

	return is_mine;
}
