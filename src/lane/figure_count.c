/*
 * figure_count.c
 *	  Counting the jobs of the table, for figures that are not known.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xlog.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "figure_internal.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* In the order of their time: those that take more than a second come last. */
static WfPlan count_plan = {
	.name = "count_jobs",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.sql =
	"SELECT j.place, j.status, pg_catalog.min(j.run_at), pg_catalog.max(j.run_at), pg_catalog.count(*) "
	"FROM workflow._placed_job AS j "
	"GROUP BY j.place, j.status, "
	"  CASE WHEN j.status = 'ready' THEN pg_catalog.date_trunc('second', j.run_at) END "
	"ORDER BY 3",
};

static WfPlan prepared_plan = {
	.name = "prepared_transactions",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.sql =
	"SELECT p.transaction::text::bigint FROM pg_catalog.pg_prepared_xacts AS p "
	"WHERE p.database = pg_catalog.current_database()",
};

typedef struct Counting
{
	WfStore    *store;
	uint32		number;
} Counting;

static void
give_up(int code, Datum argument)
{
	Counting   *counting = (Counting *) DatumGetPointer(argument);

	(void) wf_figure_end_count(counting->store, counting->number, NULL, 0);
}

typedef struct Counted
{
	uint64		queue_hash;		/* key */
	WfFigurePage *page;
} Counted;

static WfFigurePage *
page_of(HTAB *all, const char *queue)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) queue, strlen(queue), 0);
	bool		found;
	Counted    *counted = hash_search(all, &hash, HASH_ENTER, &found);

	if (!found)
	{
		counted->page = palloc0(sizeof(WfFigurePage));
		counted->page->queue_hash = hash;
	}

	return counted->page;
}

WfFigure
wf_figure_of(const char *status)
{
	switch (status[0])
	{
		case 'w':
			return WF_FIGURE_WAITING;
		case 'd':
			return WF_FIGURE_DEAD;
		default:
			return strcmp(status, "running") == 0 ? WF_FIGURE_RUNNING : WF_FIGURE_READY;
	}
}

static void
add_row(HTAB *all, uint64 row, TimestampTz now)
{
	char	   *queue = wf_result_text(row, 1);
	char	   *status = wf_result_text(row, 2);
	WfFigurePage *page = page_of(all, queue);
	WfFigure	figure = wf_figure_of(status);
	WfSpan		span = {
		DatumGetTimestampTz(wf_result_datum(row, 3, NULL)),
		DatumGetTimestampTz(wf_result_datum(row, 4, NULL)), wf_result_int8(row, 5), now
	};

	if (figure == WF_FIGURE_READY)
		wf_figure_page_add_span(page, &span);
	else
		page->count[figure] += span.count;
	pfree(queue);
	pfree(status);
}

/*
 * Counts with the active snapshot.
 */
static int
count_all(WfFigurePage ***pages)
{
	HASHCTL		control = {.keysize = sizeof(uint64),.entrysize = sizeof(Counted)};
	HTAB	   *all = hash_create("counted queues", 64, &control, HASH_ELEM | HASH_BLOBS);
	uint64		n_rows = wf_plan_execute(&count_plan, NULL, NULL);
	TimestampTz now = GetCurrentTimestamp();
	HASH_SEQ_STATUS each;
	Counted    *counted;
	int			count = 0;

	for (uint64 i = 0; i < n_rows; i++)
		add_row(all, i, now);
	*pages = palloc(sizeof(WfFigurePage *) * Max(hash_get_num_entries(all), 1));
	hash_seq_init(&each, all);
	while ((counted = hash_seq_search(&each)) != NULL)
		(*pages)[count++] = counted->page;
	hash_destroy(all);

	return count;
}

/*
 * Those that were prepared before the server started watch nobody over.
 */
static bool
watch_prepared(WfStore *store)
{
	uint64		count;
	bool		has_room = true;

	if (max_prepared_xacts == 0)
		return true;
	count = wf_plan_execute(&prepared_plan, NULL, NULL);
	for (uint64 i = 0; i < count && has_room; i++)
		has_room = wf_figure_watch(store, (TransactionId) wf_result_int8(i, 1));

	return has_room;
}

/*
 * Counts the jobs, where that is possible: whether the figures are known then.
 * Called within SPI, as the owner of the extension.
 */
bool
wf_figures_count(WfStore *store)
{
	Counting	counting = {.store = store};
	bool		is_known;

	if (RecoveryInProgress() || wf_figures_any_noted() || !watch_prepared(store))
		return false;
	counting.number = wf_figure_begin_count(store);
	if (counting.number == 0)
		return false;
	PG_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(&counting));
	{
		WfFigurePage **pages;
		int			count = count_all(&pages);

		PopActiveSnapshot();
		is_known = wf_figure_end_count(store, counting.number, pages, count);
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(&counting));

	return is_known;
}
