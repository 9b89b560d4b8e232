/*
 * figures.c
 *	  The figures of all queues, for views.
 *
 * Read from shared memory, without a lock that a claim would wait for.  Where
 * they are not kept, or nobody can say them now, the jobs of the table are
 * counted for this one answer.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "base/owner.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "figure_internal.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static WfPlan queues_plan = {
	.name = "all_queues",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.sql = "SELECT q.queue, q.queue_no FROM workflow.queue AS q",
};

static WfPlan scan_plan = {
	.name = "scanned_queues",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.sql =
	"SELECT q.queue, q.queue_no, s.ready, s.delayed, s.running, s.waiting, s.dead, s.oldest_ready_at "
	"FROM workflow.queue AS q LEFT JOIN workflow._scanned_queues AS s ON s.queue = q.queue",
};

static WfPlan scan_done_plan = {
	.name = "scanned_attempts",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql =
	"SELECT pg_catalog.sum(coalesce(pg_catalog.cardinality(a.job_ids), 1)) FILTER (WHERE a.outcome = 'ok')::bigint, "
	"  pg_catalog.count(*) FILTER (WHERE a.outcome IN ('retry', 'dead', 'lost')) "
	"FROM workflow.attempt AS a "
	"WHERE a.queue = $1 AND a.finished_at > pg_catalog.clock_timestamp() - interval '5 minutes' "
	"  AND a.finished_at >= (SELECT q.created_at FROM workflow.queue AS q WHERE q.queue = $1)",
};

/* What is said of a queue, in the order of the columns. */
typedef enum Column
{
	QUEUE,
	READY,
	DELAYED,
	RUNNING,
	WAITING,
	DEAD,
	OLDEST_READY_AT,
	ENQUEUE_RATE,
	START_RATE,
	FINISH_RATE,
	FAIL_RATE,
	DONE_5M,
	FAILED_5M,
	P50_WAIT,
	P95_WAIT,
	P50_RUN,
	P95_RUN,
	N_COLUMNS,
} Column;

typedef struct Answer
{
	char	   *queue;
	int			queue_no;
	int64		ready;
	int64		delayed;
	int64		running;
	int64		waiting;
	int64		dead;
	TimestampTz oldest;			/* DT_NOEND: nothing is ready */
	int64		done_5m;
	int64		failed_5m;
	const WfFigurePage *page;	/* NULL: of rates and durations nothing is
								 * known */
} Answer;

/* --------------------------------------------------------------------- lanes */

typedef struct Lane
{
	int			queue_no;		/* key */
	WfLaneNo	lane;
} Lane;

static HTAB *
lanes_of(WfStore *store)
{
	HASHCTL		control = {.keysize = sizeof(int),.entrysize = sizeof(Lane)};
	HTAB	   *lanes = hash_create("lanes", 64, &control, HASH_ELEM | HASH_BLOBS);
	WfLaneNo	lane = 0;

	while (store != NULL && (lane = wf_store_next_lane(store, lane)) != 0)
		((Lane *) hash_search(lanes, &wf_lane_at(lane)->queue_no, HASH_ENTER, NULL))->lane = lane;

	return lanes;
}

/*
 * When the first ready job of a page was stored; DT_NOEND when the page, which
 * is read without a lock, turns out to be another one or to have none.
 */
static TimestampTz
first_of_page(WfPageNo page_no, WfLaneNo lane)
{
	volatile WfSlotPage *page = (volatile WfSlotPage *) wf_arena_page(page_no);
	uint64		sequence = page->sequence;
	TimestampTz first = DT_NOEND;

	for (uint32 i = 0; i < Min(page->used, WF_SLOTS_IN_PAGE); i++)
		if (page->slots[i].state == WF_SLOT_READY)
		{
			first = page->first_stored + INT64CONST(1000) * page->slots[i].stored_ms;
			break;
		}
	pg_read_barrier();

	return wf_arena_is(page_no, WF_PAGE_SLOTS) && page->lane == lane &&
		page->sequence == sequence ? first : DT_NOEND;
}

/* Pages that are looked at, where others change them meanwhile. */
#define LOOK_AT_PAGES 10000

/*
 * When the first ready job of a lane was stored: a claim that takes it just now
 * is not held up.  DT_NOEND: none is found.
 */
static TimestampTz
lane_oldest(WfLaneNo lane_no)
{
	volatile WfLane *lane = wf_lane_at(lane_no);
	WfPageNo	page_no = lane->head;
	TimestampTz first = DT_NOEND;

	for (int i = 0; i < LOOK_AT_PAGES && TIMESTAMP_IS_NOEND(first); i++)
	{
		if (page_no == 0)
			break;
		if (!wf_arena_is(page_no, WF_PAGE_SLOTS) ||
			((volatile WfSlotPage *) wf_arena_page(page_no))->lane != lane_no)
			page_no = lane->head;
		else
		{
			first = first_of_page(page_no, lane_no);
			page_no = ((volatile WfPage *) wf_arena_page(page_no))->next;
		}
	}

	return first;
}

/*
 * Adds what is in the lane: what is not committed has not happened yet.
 */
static void
add_lane(Answer *answer, HTAB *lanes)
{
	Lane	   *found = hash_search(lanes, &answer->queue_no, HASH_FIND, NULL);
	volatile WfLane *lane;
	int64		ready;

	if (found == NULL)
		return;
	lane = wf_lane_at(found->lane);
	ready = lane->count[WF_SLOT_READY] + lane->count[WF_SLOT_TAKEN];
	answer->ready += ready;
	answer->running += lane->count[WF_SLOT_CLAIMED] + lane->count[WF_SLOT_ENDING];
	if (ready > 0)
		answer->oldest = Min(answer->oldest, lane_oldest(found->lane));
}

/* -------------------------------------------------------------------- answers */

static Datum
rates_of(const Answer *answer, WfFigure event, TimestampTz now)
{
	static const int seconds[] = {60, 300, 900};
	Datum		rates[lengthof(seconds)];

	for (int i = 0; i < lengthof(seconds); i++)
	{
		double		rate;

		(void) wf_figure_page_events(answer->page, event, now, seconds[i], &rate);
		rates[i] = Float8GetDatum(rate);
	}

	return PointerGetDatum(construct_array(rates, lengthof(seconds), FLOAT8OID, sizeof(float8),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
set_percentile(const Answer *answer, WfFigure duration, TimestampTz now, double part,
			   Datum *value, bool *isnull)
{
	int64		us = wf_figure_page_percentile(answer->page, duration, now, part);
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = us;
	*value = IntervalPGetDatum(interval);
	*isnull = us < 0;
}

static void
set_pace(const Answer *answer, TimestampTz now, Datum *values, bool *nulls)
{
	for (int i = ENQUEUE_RATE; i <= FAIL_RATE; i++)
		values[i] = rates_of(answer, WF_FIGURE_ENQUEUED + i - ENQUEUE_RATE, now);
	set_percentile(answer, WF_FIGURE_WAIT, now, 0.5, &values[P50_WAIT], &nulls[P50_WAIT]);
	set_percentile(answer, WF_FIGURE_WAIT, now, 0.95, &values[P95_WAIT], &nulls[P95_WAIT]);
	set_percentile(answer, WF_FIGURE_RUN, now, 0.5, &values[P50_RUN], &nulls[P50_RUN]);
	set_percentile(answer, WF_FIGURE_RUN, now, 0.95, &values[P95_RUN], &nulls[P95_RUN]);
}

static void
put(const Answer *answer, TimestampTz now, ReturnSetInfo *result)
{
	Datum		values[N_COLUMNS] = {0};
	bool		nulls[N_COLUMNS] = {false};

	values[QUEUE] = CStringGetTextDatum(answer->queue);
	values[READY] = Int64GetDatum(answer->ready);
	values[DELAYED] = Int64GetDatum(answer->delayed);
	values[RUNNING] = Int64GetDatum(answer->running);
	values[WAITING] = Int64GetDatum(answer->waiting);
	values[DEAD] = Int64GetDatum(answer->dead);
	values[OLDEST_READY_AT] = TimestampTzGetDatum(answer->oldest);
	nulls[OLDEST_READY_AT] = TIMESTAMP_IS_NOEND(answer->oldest);
	values[DONE_5M] = Int64GetDatum(answer->done_5m);
	values[FAILED_5M] = Int64GetDatum(answer->failed_5m);
	for (int i = ENQUEUE_RATE; i < N_COLUMNS; i++)
		nulls[i] = answer->page == NULL && i != DONE_5M && i != FAILED_5M;
	if (answer->page != NULL)
		set_pace(answer, now, values, nulls);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Fills in what shared memory knows; a queue without a page has had no jobs.
 */
static void
read_page(Answer *answer, WfStore *store, TimestampTz now, WfFigurePage *page)
{
	uint64		hash = hash_bytes_extended((unsigned char *) answer->queue,
										   strlen(answer->queue), 0);
	WfFigurePage *shared = wf_figure_find(store, hash, false);
	double		rate;

	if (shared == NULL)
		memset(page, 0, sizeof(WfFigurePage));
	else
		wf_figure_read(shared, page);
	if (!wf_figure_page_is_sound(page, now))
		wf_figure_outdate(store);	/* for the next look */
	answer->page = page;
	answer->running = Max(page->count[WF_FIGURE_RUNNING], 0);
	answer->waiting = Max(page->count[WF_FIGURE_WAITING], 0);
	answer->dead = Max(page->count[WF_FIGURE_DEAD], 0);
	wf_figure_page_ready(page, now, &answer->ready, &answer->delayed, &answer->oldest);
	answer->done_5m = wf_figure_page_events(page, WF_FIGURE_FINISHED, now, 300, &rate);
	answer->failed_5m = wf_figure_page_events(page, WF_FIGURE_FAILED, now, 300, &rate);
}

static Answer *
read_answers(bool is_scan, uint64 count)
{
	Answer	   *answers = palloc0(sizeof(Answer) * Max(count, 1));

	for (uint64 i = 0; i < count; i++)
	{
		Answer	   *answer = &answers[i];
		bool		isnull;

		answer->queue = wf_result_text(i, 1);
		answer->queue_no = wf_result_int4(i, 2);
		answer->oldest = DT_NOEND;
		if (!is_scan)
			continue;
		answer->ready = wf_result_int8(i, 3);
		answer->delayed = wf_result_int8(i, 4);
		answer->running = wf_result_int8(i, 5);
		answer->waiting = wf_result_int8(i, 6);
		answer->dead = wf_result_int8(i, 7);
		answer->oldest = DatumGetTimestampTz(wf_result_datum(i, 8, &isnull));
		if (isnull)
			answer->oldest = DT_NOEND;
	}

	return answers;
}

static void
scan_attempts(Answer *answer)
{
	Datum		queue = CStringGetTextDatum(answer->queue);

	wf_plan_execute(&scan_done_plan, &queue, NULL);
	answer->done_5m = wf_result_int8(0, 1);
	answer->failed_5m = wf_result_int8(0, 2);
}

/*
 * With a snapshot of now: to enter the store may have moved jobs into the table.
 */
static uint64
look_at_queues(bool is_known)
{
	uint64		count;

	PushActiveSnapshot(GetLatestSnapshot());
	count = wf_plan_execute(is_known ? &queues_plan : &scan_plan, NULL, NULL);
	PopActiveSnapshot();

	return count;
}

static void
answer_all(bool with_pace, ReturnSetInfo *result)
{
	bool		was_inside = wf_mark_store() != NULL;
	WfStore    *store = RecoveryInProgress() ? NULL : wf_store_enter();
	WfStore    *kept = store != NULL && wf_figures_are_kept() ? store : NULL;
	bool		is_known = kept != NULL && (wf_figure_is_known(kept) || wf_figures_count(kept));
	uint64		count = look_at_queues(is_known);
	Answer	   *answers = read_answers(!is_known, count);
	HTAB	   *lanes = lanes_of(store);
	TimestampTz now = GetCurrentTimestamp();
	WfFigurePage page;

	for (uint64 i = 0; i < count; i++)
	{
		if (is_known)
			read_page(&answers[i], kept, now, &page);
		else if (with_pace)
			scan_attempts(&answers[i]);
		add_lane(&answers[i], lanes);
		put(&answers[i], now, result);
	}
	hash_destroy(lanes);
	if (!was_inside)
		wf_mark_leave();
}

PG_FUNCTION_INFO_V1(wf_figures);

/*
 * _queue_figures(with_pace bool): for the columns see Column
 */
Datum
wf_figures(PG_FUNCTION_ARGS)
{
	WfCaller	caller;

	InitMaterializedSRF(fcinfo, 0);
	wf_enter_owner(&caller);
	SPI_connect();
	answer_all(PG_GETARG_BOOL(0), (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_NULL();
}
