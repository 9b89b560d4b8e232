/*
 * figure_change.c
 *	  What the present transaction changes of the figures.
 *
 * Noted in the process, and added to shared memory after the commit; a savepoint
 * that is rolled back takes its notes with it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/end.h"
#include "base/switched.h"
#include "common/hashfn.h"
#include "figure_internal.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Where the figures of queues were found lately. */
typedef struct Known
{
	WfPageNo	store;
	WfFigures	figures;
} Known;

#define N_KNOWN 64

/* As many of the last notes are looked at for one to add to. */
#define LOOK_BACK 8

static WfEnd own_end = 0;
static bool is_preloaded = false;
static Known known[N_KNOWN];
static WfFigureChange *changes = NULL;	/* in TopTransactionContext */
static int	n_changes = 0;
static int	max_changes = 0;
static WfStore *changed_store = NULL;
static bool is_lost = false;

/* The ready jobs of the first so many notes. */
typedef struct Summed
{
	WfFigures	figures;
	int			count;
	int64		ready;
} Summed;

static Summed summed;

/*
 * Without preload there may be processes that count nothing.
 */
bool
wf_figures_are_kept(void)
{
	return is_preloaded && wf_arena_attach();
}

bool
wf_figures_any_noted(void)
{
	return n_changes > 0 || is_lost;
}

void
wf_figures_lose(void)
{
	wf_end_is_due(own_end);
	is_lost = is_preloaded;
	if (changed_store == NULL && is_lost)
		changed_store = wf_store_find();
}

/*
 * The store for the changes.  Another one than before is that of an extension
 * which this transaction has made after it dropped the former, or of one that was
 * dropped by a savepoint: nobody can follow that.
 */
static WfStore *
enter(void)
{
	WfStore    *store;

	wf_end_is_due(own_end);
	if (!wf_figures_are_kept())
	{
		is_lost = is_preloaded;
		return NULL;
	}
	store = wf_mark_store();
	if (store == NULL)
		store = wf_store_find();
	if (changed_store != NULL && store != changed_store)
	{
		wf_figure_outdate(changed_store);
		n_changes = 0;
		summed.figures = 0;
	}
	changed_store = store;
	is_lost = is_lost || store == NULL;

	return store;
}

WfFigures
wf_figures_of(const char *queue, int length)
{
	WfStore    *store = enter();
	uint64		hash;
	Known	   *place;
	WfFigurePage *page;

	if (store == NULL)
		return 0;
	hash = hash_bytes_extended((const unsigned char *) queue, length, 0);
	place = &known[hash % N_KNOWN];
	if (place->store == store->self && wf_arena_is(place->figures, WF_PAGE_FIGURES))
	{
		page = (WfFigurePage *) wf_arena_page(place->figures);
		if (page->store == store->self && page->queue_hash == hash && !page->is_free)
			return place->figures;
	}
	page = wf_figure_find(store, hash, true);
	is_lost = is_lost || page == NULL;
	if (page == NULL)
		return 0;
	place->store = store->self;
	place->figures = wf_arena_number(&page->page);

	return place->figures;
}

static bool
is_same(const WfFigureChange *change, WfFigures figures, WfFigure figure, int64 at)
{
	if (change->figures != figures || change->figure != figure ||
		change->subtransaction != GetCurrentSubTransactionId())
		return false;

	return change->at == at || (figure == WF_FIGURE_READY &&
								change->at / USECS_PER_SEC == at / USECS_PER_SEC);
}

static void
reserve(void)
{
	int			room = Max(32, 2 * max_changes);

	if (n_changes < max_changes)
		return;
	changes = changes == NULL ?
		MemoryContextAlloc(TopTransactionContext, sizeof(WfFigureChange) * room) :
		repalloc_huge(changes, sizeof(WfFigureChange) * room);
	max_changes = room;			/* a savepoint may outlive that there is none */
}

void
wf_figure_note(WfFigures figures, WfFigure figure, int64 at, int64 by)
{
	WfFigureChange *change;

	if (figures == 0)
		return;
	if (figure >= WF_FIGURE_WAIT)
		at = wf_figure_bin(at);
	for (int i = n_changes - 1; i >= Max(0, n_changes - LOOK_BACK); i--)
		if (is_same(&changes[i], figures, figure, at))
		{
			changes[i].by += by;
			return;
		}
	wf_end_is_due(own_end);
	reserve();
	change = &changes[n_changes++];
	change->figures = figures;
	change->figure = figure;
	change->subtransaction = GetCurrentSubTransactionId();
	change->at = at;
	change->by = by;
}

void
wf_figures_forget(const char *queue, int length)
{
	WfStore    *store = wf_figures_are_kept() ? enter() : NULL;
	WfFigurePage *page = store == NULL ? NULL :
	wf_figure_find(store, hash_bytes_extended((const unsigned char *) queue, length, 0), false);

	if (page == NULL || page->is_free)
		return;
	reserve();
	changes[n_changes++] = (WfFigureChange)
	{
		.figures = wf_arena_number(&page->page),.figure = WF_FIGURE_FORGET,
			.subtransaction = GetCurrentSubTransactionId(),.by = 1
	};
}

static int64
ready_by(const WfFigureChange *change, WfFigures figures)
{
	return change->figures == figures && change->figure == WF_FIGURE_READY ? change->by : 0;
}

/*
 * How many more ready jobs a queue has by what is noted; false when what the
 * transaction changed could not be noted.  Notes that may still grow are looked
 * at each time, older ones once.
 */
bool
wf_figures_ready_noted(WfFigures figures, int64 *sum)
{
	int			n_settled = Max(0, n_changes - LOOK_BACK);

	if (summed.figures != figures || summed.count > n_settled)
		summed = (Summed)
	{
		.figures = figures
	};
	for (; summed.count < n_settled; summed.count++)
		summed.ready += ready_by(&changes[summed.count], figures);
	*sum = summed.ready;
	for (int i = n_settled; i < n_changes; i++)
		*sum += ready_by(&changes[i], figures);

	return !is_lost;
}

static bool
any_count_noted(void)
{
	for (int i = 0; i < n_changes; i++)
		if (changes[i].figure <= WF_FIGURE_DEAD && changes[i].by != 0)
			return true;

	return false;
}

static void
forget(void)
{
	changes = NULL;
	n_changes = max_changes = 0;
	summed.figures = 0;
	changed_store = NULL;
	is_lost = false;
}

/*
 * What could not be noted because the server had no room may matter to who finds
 * some later: looked at once more while that may still fail.
 */
static void
before_commit(void)
{
	if (is_lost && changed_store == NULL && wf_figures_are_kept())
		changed_store = wf_store_find();
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT)
		before_commit();
	if (event == XACT_EVENT_COMMIT && n_changes > 0)
		wf_figure_apply(changed_store, changes, n_changes);
	if (event == XACT_EVENT_PREPARE && changed_store != NULL && (any_count_noted() || is_lost))
		(void) wf_figure_watch(changed_store, GetTopTransactionIdIfAny());
	if (event == XACT_EVENT_COMMIT && is_lost && changed_store != NULL)
		wf_figure_outdate(changed_store);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		forget();
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
					  void *arg)
{
	int			first = n_changes;

	while (first > 0 && changes[first - 1].subtransaction == mine)
		first--;
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		n_changes = first;
		summed.figures = 0;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = first; i < n_changes; i++)
			changes[i].subtransaction = parent;
}

static void
on_switched(const char *table)
{
	if (strcmp(table, "job") == 0)
		wf_figures_lose();
}

void
wf_figures_init(void)
{
	is_preloaded = process_shared_preload_libraries_in_progress;
	own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
	wf_when_switched(on_switched);
}
