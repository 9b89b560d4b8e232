/*
 * running.c
 *	  Where the running jobs of a queue begin, and those of groups that live.
 *
 * As in ready.c, from low-water marks; here a queue has few.
 */
#include "postgres.h"

#include "access/xact.h"
#include "beats.h"
#include "look.h"
#include "marks.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

/* Columns of job_running behind queue; of job_grouped the second one is job_id. */
enum
{
	RUNNING_LEASE_UNTIL = 2,
	RUNNING_CLAIMED_AT,
};
#define GROUPED_JOB_ID 2

/* Columns of workflow.job. */
#define JOB_ID 1
#define JOB_TOKEN 14

/*
 * Whether memory knows when the lease of a claim ends.
 */
static bool
has_beat(TupleTableSlot *slot)
{
	bool		isnull;
	int64		job_id = DatumGetInt64(slot_getattr(slot, JOB_ID, &isnull));
	Datum		token = slot_getattr(slot, JOB_TOKEN, &isnull);

	return !isnull && wf_beats_has(job_id, TextDatumGetCString(token));
}

static int64
first_running(WfLook *look, int32 shelf, int64 from)
{
	int			column = shelf == WF_RUNNING_SESSION ? RUNNING_CLAIMED_AT : RUNNING_LEASE_UNTIL;
	int64		position;

	if (shelf == WF_RUNNING_SESSION)
		wf_look_null_key(look, RUNNING_LEASE_UNTIL);
	wf_look_key(look, column, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(from));
	look->skips = shelf == WF_RUNNING_ENDS ? has_beat : NULL;

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

void
wf_running_look(const char *queue, uint32 wanted, WfRunning *running)
{
	int64		found[WF_WALK_SHELVES];

	WfWalk		walk = {
		.table = "job",.index = "job_running",.track = WF_TRACK_RUNNING,.queue = queue,
		.n_shelves = 3,.wanted = wanted,.find_first = first_running
	};

	running->is_known = wf_look_walk(&walk, found);
	running->lease_until = found[WF_RUNNING_LEASE];
	running->claimed_at = found[WF_RUNNING_SESSION];
	running->ends_from = found[WF_RUNNING_ENDS];
}

/*
 * No living job of a group stands in the queue before the one returned.
 */
int64
wf_grouped_from(const char *queue)
{
	WfWalk		walk = {
		.table = "job",.index = "job_grouped",.track = WF_TRACK_GROUPED,.queue = queue,
		.n_shelves = 1,.wanted = 1,.find_first = first_grouped
	};
	int64		job_id;

	(void) wf_look_walk(&walk, &job_id);

	return job_id;
}

/*
 * The same without a look: less exact.
 */
int64
wf_grouped_mark(const char *queue)
{
	WfTrackKey	key = wf_track_key(wf_look_relation("job"), WF_TRACK_GROUPED, queue);
	WfMarks		marks = {0};
	const WfMarkNote *own;
	int64		job_id = WF_MARK_NONE;
	int			next = 0;

	if (IsolationIsSerializable() || !wf_marks_ask(&key, &marks) || !marks.is_known)
		return PG_INT64_MIN;
	for (int i = 0; i < marks.n; i++)
		job_id = Min(job_id, marks.shelves[i].from);
	while ((own = wf_marks_own(&key, &next)) != NULL)
		job_id = Min(job_id, own->position);

	return job_id;
}
