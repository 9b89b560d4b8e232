/*
 * lanes_leave.c
 *	  How jobs leave the lane of their queue.
 *
 * One that succeeds in its first attempt just ends.  Any other becomes a row of
 * the table, with the claim that it has, and is then like all that are there.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/owner.h"
#include "catalog/pg_type.h"
#include "lane/lane.h"
#include "queue_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static WfPlan move_plan = {
	.name = "move_from_lane",
	.expected = SPI_OK_INSERT,
	.nargs = 12,
	.argtypes = {INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, JSONBOID},
	.sql =
	"INSERT INTO workflow.job (job_id, queue, status, run_at, created_at, attempt, token, worker, "
	"  claimed_at, lease_until, session_pid, session_start, payload, priority, aged, "
	"  tenant) "
	"SELECT $1, q.queue, $3, $4, $4, $5, $6, $7, $8, $9, $10, $11, $12, a.aged, a.aged, "
	"  CASE WHEN q.fair THEN '' END "
	"FROM workflow.queue AS q, LATERAL (SELECT " WF_AGED("0", "$4") ") AS a (aged) "
	"WHERE q.queue = $2",
};

static Datum
time_datum(TimestampTz time, char *null)
{
	*null = time == 0 ? 'n' : ' ';

	return TimestampTzGetDatum(time);
}

/*
 * Makes a job that leaves its lane a row of the table.
 */
static void
move(const WfLaneEnd *end)
{
	Datum		values[12];
	char		nulls[12];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(end->job.job_id);
	values[1] = CStringGetTextDatum(wf_queue_name(end->queue_no));
	values[2] = CStringGetTextDatum(end->is_claimed ? "running" : "ready");
	values[3] = TimestampTzGetDatum(end->job.stored_at);
	values[4] = Int32GetDatum(end->is_claimed ? 1 : 0);
	values[5] = CStringGetTextDatum(wf_lane_token_claim(wf_lane_token(end->secret, end->job.slot)));
	nulls[5] = end->is_claimed ? ' ' : 'n';
	values[6] = CStringGetTextDatum(end->worker);
	nulls[6] = end->is_claimed ? ' ' : 'n';
	values[7] = time_datum(end->claimed_at, &nulls[7]);
	values[8] = time_datum(end->lease_until, &nulls[8]);
	values[9] = Int32GetDatum(end->session_pid);
	nulls[9] = end->is_claimed && end->lease_until == 0 ? ' ' : 'n';
	values[10] = TimestampTzGetDatum(end->session_start);
	nulls[10] = nulls[9];
	values[11] = JsonbPGetDatum(end->job.payload);
	nulls[11] = WF_NULL_FLAG(end->job.payload);
	wf_plan_execute(&move_plan, values, nulls);
	wf_pace_stored(wf_queue_name(end->queue_no), -1);	/* it was stored before */
	if (!end->is_claimed)
		wf_wake_at_commit(WF_WAKE_TASK, wf_queue_name(end->queue_no));
}

static void
move_all(WfLaneEnd *ends, int count)
{
	if (count == 0)
		return;
	wf_lane_read(ends, count);
	for (int i = 0; i < count; i++)
		move(&ends[i]);
}

/*
 * Makes a claimed job of a lane a row of the table; false when the token is
 * not of a claim of one.
 */
bool
wf_lanes_move_claimed(int64 job_id, const char *token)
{
	WfLaneEnd	end;

	if (!wf_lane_end(job_id, token, 0, &end))
		return false;
	move_all(&end, 1);

	return true;
}

/*
 * Makes those of the jobs that are in a lane, and are named in ascending
 * order, rows of the table.
 */
void
wf_lanes_move_named(const int64 *job_ids, int count)
{
	WfLaneEnd  *ends = palloc(sizeof(WfLaneEnd) * Max(count, 1));

	move_all(ends, wf_lane_end_named(job_ids, count, ends));
	pfree(ends);
}

#define MOVE_LIMIT 1000

/*
 * Makes jobs of lanes whose claims have ended rows of the table, with those
 * claims; returns how many.
 */
int
wf_lanes_move_lost(bool is_own_session)
{
	WfLaneEnd  *ends = palloc(sizeof(WfLaneEnd) * MOVE_LIMIT);
	int			count = wf_lane_end_lost(wf_now(), is_own_session, MOVE_LIMIT, ends);

	move_all(ends, count);
	pfree(ends);

	return count;
}

/*
 * The same for those that have been read, with the rights of the extension.
 */
void
wf_lanes_move_read(WfLaneEnd *ends, int count)
{
	WfCaller	caller;

	wf_enter_owner(&caller);
	SPI_connect();
	for (int i = 0; i < count; i++)
		move(&ends[i]);
	SPI_finish();
	wf_leave_owner(&caller);
}

/*
 * Makes jobs rows of the table that alone keep a segment; returns how many.
 */
int
wf_lanes_move_stragglers(void)
{
	WfLaneEnd  *ends = palloc(sizeof(WfLaneEnd) * MOVE_LIMIT);
	int			count = wf_lane_end_stragglers(MOVE_LIMIT, ends);

	move_all(ends, count);
	pfree(ends);

	return count;
}

/*
 * Makes jobs of a lane that are ready rows of the table.
 */
void
wf_lanes_move_ready(WfLaneNo lane, int limit)
{
	WfLaneEnd  *ends;

	if (TIMESTAMP_IS_NOEND(wf_lane_head(lane)))
		return;
	ends = palloc(sizeof(WfLaneEnd) * limit);
	move_all(ends, wf_lane_end_ready(lane, limit, ends));
	pfree(ends);
}

/* -------------------------------------------------------------------- ending */

/* Jobs of one claim, or what looks like one, that succeed together. */
typedef struct Success
{
	const WfLaneEnd *first;
	Datum	   *job_ids;
	int			count;
	int64		last_job;
} Success;

static bool
belongs(const Success *success, const WfLaneEnd *end)
{
	return success->first->queue_no == end->queue_no &&
		success->first->claimed_at == end->claimed_at &&
		strcmp(success->first->worker, end->worker) == 0;
}

static void
log_success(const WfLaneEnd *end, TimestampTz now, int count, ArrayType *job_ids, int64 last_job,
			Jsonb *detail)
{
	WfLaneAttempt attempt = {
		.queue = wf_queue_name(end->queue_no),.worker = end->worker,
		.started_at = end->claimed_at,.finished_at = now,
		.job_ids = job_ids,.last_job = last_job,.detail = detail
	};

	wf_attempt_log(&attempt);
	wf_pace_ended(attempt.queue, WF_FIGURE_FINISHED, end->claimed_at, now, count);
}

static void
record(const Success *success, TimestampTz now)
{
	ArrayType  *job_ids = NULL;

	if (success->count == 0)
		return;
	if (success->count > 1)
		job_ids = construct_array(success->job_ids, success->count, INT8OID, sizeof(int64),
								  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	log_success(success->first, now, success->count, job_ids, success->last_job, NULL);
}

bool
wf_queue_complete_at_once(int64 job_id, const char *token, Jsonb *detail)
{
	return wf_lane_has_token(token) && wf_lane_enter_built() &&
		wf_queue_complete_in_lane(job_id, token, detail);
}

bool
wf_queue_complete_in_lane(int64 job_id, const char *token, Jsonb *detail)
{
	TimestampTz now = wf_now();
	WfLaneEnd	end;

	if (!wf_lane_end(job_id, token, now, &end))
		return false;
	log_success(&end, now, 1, NULL, job_id, detail);

	return true;
}

/*
 * Tells in done[] which of the jobs have been completed.
 */
void
wf_queue_complete_many_in_lanes(const Datum *job_ids, const Datum *tokens, int count, bool *done)
{
	WfLaneEnd  *ends = palloc(sizeof(WfLaneEnd) * count);
	Success		success = {.job_ids = palloc(sizeof(Datum) * count)};
	TimestampTz now = wf_now();

	for (int i = 0; i < count; i++)
	{
		WfLaneEnd  *end = &ends[i];

		done[i] = wf_lane_end(DatumGetInt64(job_ids[i]), TextDatumGetCString(tokens[i]), now, end);
		if (!done[i])
			continue;
		if (success.count > 0 && !belongs(&success, end))
		{
			record(&success, now);
			success.count = 0;
		}
		if (success.count == 0)
		{
			success.first = end;
			success.last_job = 0;
		}
		success.job_ids[success.count++] = job_ids[i];
		success.last_job = Max(success.last_job, DatumGetInt64(job_ids[i]));
	}
	record(&success, now);
	pfree(ends);
	pfree(success.job_ids);
}
