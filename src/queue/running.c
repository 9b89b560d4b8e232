/*
 * running.c
 *	  Where the running jobs of a queue begin, and those of groups that live.
 *
 * As in ready.c, from low-water marks; here a queue has one or two.
 */
#include "postgres.h"

#include "access/xact.h"
#include "look.h"
#include "marks.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

/* Columns of job_running; of job_grouped the second one is job_id. */
enum
{
	RUNNING_QUEUE = 1,
	RUNNING_LEASE_UNTIL,
	RUNNING_CLAIMED_AT,
};
#define GROUPED_JOB_ID 2

typedef int64 (*FindFirst) (WfLook *look, int32 shelf, int64 from);

static int64
first_running(WfLook *look, int32 shelf, int64 from)
{
	int			column = shelf == WF_RUNNING_LEASE ? RUNNING_LEASE_UNTIL : RUNNING_CLAIMED_AT;
	int64		position;

	if (shelf == WF_RUNNING_SESSION)
		wf_look_null_key(look, RUNNING_LEASE_UNTIL);
	wf_look_key(look, column, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(from));

	return wf_look_first(look, column, look->snapshot, column, &position, 0, NULL) ?
		position : WF_MARK_NONE;
}

static int64
first_grouped(WfLook *look, int32 shelf, int64 from)
{
	int64		position;

	wf_look_key(look, GROUPED_JOB_ID, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));

	return wf_look_first(look, GROUPED_JOB_ID, look->snapshot, GROUPED_JOB_ID, &position, 0, NULL) ?
		position : WF_MARK_NONE;
}

/*
 * Finds the first row on each of the shelves, from 0 on.
 */
static void
find_firsts(WfLook *look, WfMarks *marks, int n_shelves, FindFirst find_first)
{
	int64		from[2] = {PG_INT64_MIN, PG_INT64_MIN};

	for (int i = 0; marks->is_known && i < n_shelves; i++)
		from[i] = WF_MARK_NONE;
	for (int i = 0; i < marks->n; i++)
		from[marks->shelves[i].number] = marks->shelves[i].from;
	marks->n = n_shelves;
	for (int i = 0; i < n_shelves; i++)
		marks->shelves[i] = (WfShelf)
	{
		.number = i,.found = from[i] == WF_MARK_NONE ? WF_MARK_NONE : find_first(look, i, from[i]),
			.is_told = true
	};
}

/*
 * Sets *found to where the first row stands on each shelf, that of this transaction
 * included; false, and to the least, when that is not known.
 */
static bool
look_from_marks(const char *track, const char *queue, const char *index, int n_shelves,
				FindFirst find_first, int64 *found)
{
	WfMarks		marks = {0};
	WfTrackKey	key = wf_track_key(wf_look_relation("job"), track, queue);
	const WfMarkNote *own;
	int			next = 0;
	WfLook		look;

	for (int i = 0; i < n_shelves; i++)
		found[i] = PG_INT64_MIN;
	if (IsolationIsSerializable() || !wf_marks_ask(&key, &marks) ||
		!(marks.is_known || marks.is_worth_telling) || !wf_look_open(&look, "job", index))
		return false;
	wf_look_key(&look, RUNNING_QUEUE, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(queue));
	find_firsts(&look, &marks, n_shelves, find_first);
	wf_marks_tell(&marks, look.snapshot);
	wf_look_close(&look);
	for (int i = 0; i < n_shelves; i++)
		found[i] = marks.shelves[i].found;
	while ((own = wf_marks_own(&key, &next)) != NULL)
		found[own->shelf] = Min(found[own->shelf], own->position);

	return true;
}

void
wf_running_look(const char *queue, WfRunning *running)
{
	int64		found[2];

	running->is_known = look_from_marks(WF_TRACK_RUNNING, queue, "job_running", 2,
										first_running, found);
	running->lease_until = found[WF_RUNNING_LEASE];
	running->claimed_at = found[WF_RUNNING_SESSION];
}

/*
 * No living job of a group stands in the queue before the one returned.
 */
int64
wf_grouped_from(const char *queue)
{
	int64		job_id;

	(void) look_from_marks(WF_TRACK_GROUPED, queue, "job_grouped", 1, first_grouped, &job_id);

	return job_id;
}
