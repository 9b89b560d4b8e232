/*
 * ready.c
 *	  Which ready jobs of a queue and kind come first, of each priority.
 *
 * The shelves of the low-water marks (marks.h) are the priorities, the positions
 * the times from which jobs may run: the order of the index job_ready.  A look
 * walks, for each priority, from its mark to the first row, and raises the mark
 * to there.  Where there are too many priorities, it walks from the least that has had
 * a row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "look.h"
#include "marks.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of job_ready. */
enum
{
	READY_KIND = 1,
	READY_QUEUE,
	READY_PRIORITY,
	READY_RUN_AT,
};
static WfPlan has_groups_plan = {
	.name = "queue_has_groups",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql =
	"SELECT EXISTS (SELECT 1 FROM workflow.job AS j "
	"  WHERE j.queue = $1 AND j.group_key IS NOT NULL AND j.status || '' <> 'dead')",
};

static bool
has_groups(Datum queue)
{
	wf_plan_execute(&has_groups_plan, &queue, NULL);

	return DatumGetBool(wf_result_datum(0, 1, NULL));
}

static bool
open_look(WfLook *look, const char *queue, const char *kind)
{
	if (!wf_look_open(look, "job", "job_ready"))
		return false;
	wf_look_key(look, READY_KIND, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(kind));
	wf_look_key(look, READY_QUEUE, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(queue));

	return true;
}

/*
 * When the first job of a priority may run, from a time on; WF_MARK_NONE when
 * there is none.
 */
static TimestampTz
first_of_priority(WfLook *look, int32 priority, TimestampTz from, Snapshot snapshot)
{
	TimestampTz run_at = WF_MARK_NONE;

	wf_look_key(look, READY_PRIORITY, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(priority));
	wf_look_key(look, READY_RUN_AT, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(from));

	return wf_look_first(look, READY_RUN_AT, snapshot, READY_RUN_AT, &run_at, 0, NULL) ? run_at : WF_MARK_NONE;
}

/*
 * Finds the priorities that there are, from none on.
 */
static void
find_priorities(WfLook *look, WfMarks *marks)
{
	Datum		name = look->keys[READY_QUEUE - 1].sk_argument;
	int			n_keys = READY_QUEUE;
	int32		priority = 0;
	TimestampTz run_at = 0;

	marks->n = 0;
	while (wf_look_first(look, n_keys, look->snapshot, READY_RUN_AT, &run_at,
						 READY_PRIORITY, &priority))
	{
		if (marks->n++ == WF_MARK_SHELVES)
			return;
		marks->shelves[marks->n - 1] = (WfShelf)
		{
			.number = priority,.found = run_at,.is_told = true
		};
		wf_look_key(look, READY_PRIORITY, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(priority));
		n_keys = READY_PRIORITY;
	}
	marks->has_groups = has_groups(name);
}

/*
 * Finds the least priority that there is.
 */
static void
find_least(WfLook *look, WfMarks *marks)
{
	int32		priority;
	TimestampTz run_at;

	if (marks->least == WF_MARK_NONE)
		return;
	wf_look_key(look, READY_PRIORITY, BTGreaterEqualStrategyNumber, F_INT4GE,
				Int32GetDatum((int32) Max(marks->least, PG_INT32_MIN)));
	marks->least = wf_look_first(look, READY_PRIORITY, look->snapshot, READY_RUN_AT, &run_at,
								 READY_PRIORITY, &priority) ? priority : WF_MARK_NONE;
	marks->is_least_told = true;
}

static void
find_firsts(WfLook *look, WfMarks *marks)
{
	if (!marks->is_known && !marks->is_worth_telling)
	{
		find_least(look, marks);
		return;
	}
	if (!marks->is_known)
	{
		find_priorities(look, marks);
		return;
	}
	for (int i = 0; i < marks->n; i++)
	{
		WfShelf    *shelf = &marks->shelves[i];

		if (shelf->from == WF_MARK_NONE)
			continue;
		shelf->found = first_of_priority(look, shelf->number, shelf->from, look->snapshot);
		shelf->is_told = true;
	}
}

/*
 * Puts a job where it belongs among the firsts; false when there is no room.
 */
static bool
add_first(WfReady *ready, int32 priority, TimestampTz run_at)
{
	int			at = 0;

	while (at < ready->n && ready->firsts[at].priority < priority)
		at++;
	if (at < ready->n && ready->firsts[at].priority == priority)
	{
		ready->firsts[at].run_at = Min(ready->firsts[at].run_at, run_at);
		return true;
	}
	if (ready->n == WF_READY_PRIORITIES)
		return false;
	memmove(&ready->firsts[at + 1], &ready->firsts[at],
			sizeof(WfReadyFirst) * (ready->n - at));
	ready->firsts[at] = (WfReadyFirst)
	{
		priority, run_at
	};
	ready->n++;

	return true;
}

/*
 * The firsts, and before them what this transaction has put there itself.
 */
static void
collect(const WfMarks *marks, WfReady *ready)
{
	const WfMarkNote *own;
	int			next = 0;

	ready->is_known = (marks->is_known || marks->is_worth_telling) && marks->n <= WF_MARK_SHELVES;
	ready->least = marks->is_wide ? marks->least : PG_INT32_MIN;
	ready->has_groups = marks->has_groups;
	ready->n = 0;
	for (int i = 0; ready->is_known && i < marks->n; i++)
		if (marks->shelves[i].found != WF_MARK_NONE)
			(void) add_first(ready, marks->shelves[i].number, marks->shelves[i].found);
	while ((own = wf_marks_own(&marks->key, &next)) != NULL)
	{
		ready->has_groups |= own->is_grouped;
		ready->least = Min(ready->least, own->shelf);
		ready->is_known = ready->is_known && add_first(ready, own->shelf, own->position);
	}
	ready->least = Max(ready->least, PG_INT32_MIN);
}

/*
 * Whether anything is to be looked for; what has nothing is known without.
 */
static bool
is_empty(const WfMarks *marks)
{
	for (int i = 0; i < marks->n; i++)
		if (marks->shelves[i].from != WF_MARK_NONE)
			return false;

	return marks->is_known ||
		(!marks->is_worth_telling && marks->is_wide && marks->least == WF_MARK_NONE);
}

void
wf_ready_look(const char *queue, const char *kind, WfReady *ready)
{
	WfMarks		marks = {0};
	WfTrackKey	key = wf_track_key(wf_look_relation("job"), kind, queue);
	WfLook		look;

	ready->is_known = false;
	ready->least = PG_INT32_MIN;
	if (IsolationIsSerializable() || !wf_marks_ask(&key, &marks) ||
		!(marks.is_known || marks.is_worth_telling || marks.is_wide))
		return;
	if (!is_empty(&marks))
	{
		if (!open_look(&look, queue, kind))
			return;
		find_firsts(&look, &marks);
		wf_marks_tell(&marks, look.snapshot);
		wf_look_close(&look);
	}
	collect(&marks, ready);
}

/*
 * The ranges of job_ready in which jobs may be found that are due, in their
 * order; one, perhaps all of it, when the first ones are not known.
 */
int
wf_ready_spans(const WfReady *ready, TimestampTz now, WfReadySpan *spans)
{
	int			n = 0;

	if (!ready->is_known && ready->least == WF_MARK_NONE)
		return 0;
	if (!ready->is_known)
	{
		spans[0] = (WfReadySpan)
		{
			(int32) ready->least, DT_NOBEGIN, PG_INT32_MAX, DT_NOEND
		};
		return 1;
	}
	for (int i = 0; i < ready->n; i++)
		if (ready->firsts[i].run_at <= now)
			spans[n++] = (WfReadySpan)
		{
			ready->firsts[i].priority, ready->firsts[i].run_at, ready->firsts[i].priority, now
		};

	return n;
}

/*
 * Whether there is nothing to claim, as far as is known.
 */
bool
wf_ready_is_none(const WfReady *ready, TimestampTz now)
{
	WfReadySpan spans[WF_READY_PRIORITIES];

	return wf_ready_spans(ready, now, spans) == 0;
}

/*
 * Whether any job of the queue may be one of a group.
 */
bool
wf_ready_has_groups(const WfReady *ready, const char *queue)
{
	return ready->is_known ? ready->has_groups : has_groups(CStringGetTextDatum(queue));
}

/*
 * The first of all that are due, or a place before it where it is not known; false
 * when none is due.
 */
bool
wf_ready_first(const WfReady *ready, TimestampTz now, WfReadyFirst *first)
{
	WfReadySpan spans[WF_READY_PRIORITIES];

	if (wf_ready_spans(ready, now, spans) == 0)
		return false;
	*first = (WfReadyFirst)
	{
		spans[0].from_priority, spans[0].from
	};

	return true;
}

/*
 * When the first job of a priority may run that comes after a time, as the
 * present transaction sees it; infinity when there is none.
 */
TimestampTz
wf_ready_after(const char *queue, const char *kind, int priority, TimestampTz time)
{
	TimestampTz run_at;
	WfLook		look;

	if (!open_look(&look, queue, kind))
		return DT_NOEND;
	run_at = first_of_priority(&look, priority, time + 1, GetActiveSnapshot());
	wf_look_close(&look);

	return run_at == WF_MARK_NONE ? DT_NOEND : run_at;
}

/*
 * When the next job becomes due, after a time; only of what is known.
 */
TimestampTz
wf_ready_next_due(const WfReady *ready, const char *queue, const char *kind, TimestampTz after)
{
	TimestampTz due = DT_NOEND;

	for (int i = 0; i < ready->n; i++)
	{
		const WfReadyFirst *first = &ready->firsts[i];

		due = Min(due, first->run_at > after ? first->run_at :
				  wf_ready_after(queue, kind, first->priority, after));
	}

	return due;
}
