/*
 * beat_ends.c
 *	  Claims whose leases have ended in memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "beats.h"
#include "catalog/pg_type.h"
#include "queue_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan lock_plan = {
	.name = "lock_ended_heartbeats",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 6,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8ARRAYOID, INT8ARRAYOID},
	.sql =
	WF_JOB_SELECT "WHERE j.status = 'running' AND j.job_id = ANY ($6) AND j.queue = $1 "
	"AND (j.kind = $2 OR ($2 IS NULL AND j.kind IN ('task', 'sql'))) "
	"AND j.job_id <> ALL ($5) AND " WF_LEASE_END " <= $3 "
	"LIMIT $4 FOR UPDATE OF j SKIP LOCKED",
};

static WfPlan claims_plan = {
	.name = "claims_of_heartbeats",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.sql =
	"SELECT j.job_id, j.token, j.kind, workflow._is_held(j.ctid) FROM workflow.job AS j "
	"WHERE j.job_id = ANY ($1) AND j.status = 'running' AND j.token IS NOT NULL",
};

static Datum
ids_of(List *beats)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(list_length(beats), 1));
	int			n = 0;
	ListCell   *cell;

	foreach(cell, beats)
		ids[n++] = Int64GetDatum(((WfBeat *) lfirst(cell))->job_id);

	return PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/*
 * The claims whose leases have ended in memory and that are still there; the
 * others are forgotten.
 */
static List *
find_ended(const char *queue, const char *kind, bool only_free)
{
	List	   *beats = wf_beats_ended(queue, wf_now());
	List	   *found = NIL;
	Datum		ids;
	uint64		count;
	ListCell   *cell;

	if (beats == NIL)
		return NIL;
	ids = ids_of(beats);
	count = wf_plan_execute(&claims_plan, &ids, NULL);
	foreach(cell, beats)
	{
		WfBeat	   *beat = lfirst(cell);
		bool		is_there = false;

		for (uint64 i = 0; i < count && !is_there; i++)
		{
			is_there = wf_result_int8(i, 1) == beat->job_id &&
				wf_beat_is_of(beat, wf_result_text(i, 2));
			if (is_there && (kind == NULL || strcmp(kind, wf_result_text(i, 3)) == 0) &&
				!(only_free && DatumGetBool(wf_result_datum(i, 4, NULL))))
				found = lappend(found, beat);
		}
		if (!is_there && !IsolationUsesXactSnapshot())
			wf_beats_forget(beat);
	}

	return found;
}

/*
 * Whether one could be given back now.
 */
bool
wf_claim_any_beat_ended(const char *queue, const char *kind)
{
	return find_ended(queue, kind, true) != NIL;
}

/*
 * Locks the jobs of such claims that are free; returns how many rows say which.
 */
uint64
wf_claim_lock_ended_beats(const char *queue, const char *kind, int limit, Datum aside)
{
	List	   *beats = find_ended(queue, kind, false);
	char		nulls[] = {' ', WF_NULL_FLAG(kind), ' ', ' ', ' ', ' '};
	Datum		values[6];

	if (beats == NIL)
		return 0;
	values[0] = CStringGetTextDatum(queue);
	values[1] = wf_text_datum(kind);
	values[2] = TimestampTzGetDatum(wf_now());
	values[3] = Int64GetDatum(limit);
	values[4] = aside;
	values[5] = ids_of(beats);

	return wf_plan_execute(&lock_plan, values, nulls);
}
