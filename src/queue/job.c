/*
 * job.c
 *	  Reading and locking jobs.
 *
 * A claimed job belongs to whoever knows its token, until the lease ends: a
 * token that has been overtaken is refused and can change nothing.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/sqlstate.h"
#include "base/suggest.h"
#include "beats.h"
#include "catalog/pg_type.h"
#include "lane/lane.h"
#include "queue_internal.h"
#include "retry/policy.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

enum JobColumn
{
	COLUMN_JOB_ID = 1,
	COLUMN_QUEUE,
	COLUMN_KIND,
	COLUMN_STATUS,
	COLUMN_ITEM_ID,
	COLUMN_STATE,
	COLUMN_SEQ,
	COLUMN_EFFECT_ID,
	COLUMN_ATTEMPT,
	COLUMN_TOKEN,
	COLUMN_WORKER,
	COLUMN_CLAIMED_AT,
	COLUMN_LEASE_UNTIL,
	COLUMN_PAYLOAD,
	COLUMN_GROUP_KEY,
	COLUMN_PRIORITY,
	COLUMN_RUN_AT,
	COLUMN_TENANT,
	COLUMN_UNITS,
	COLUMN_FREES_OTHERS,
};

static WfPlan lock_plan = {
	.name = "lock_job",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = WF_JOB_SELECT "WHERE j.job_id = $1 FOR UPDATE OF j",
};

static WfPlan try_lock_plan = {
	.name = "try_to_lock_job",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql =
	"SELECT " WF_JOB_COLUMNS ", "
	"  (j.group_key IS NOT NULL OR q.max_running IS NOT NULL) AS frees_others "
	"FROM workflow.job AS j LEFT JOIN workflow.queue AS q ON q.queue = j.queue "
	"WHERE j.job_id = $1 "
	"FOR UPDATE OF j SKIP LOCKED",
};

static WfPlan exists_plan = {
	.name = "job_exists",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT 1 FROM workflow.job AS j WHERE j.job_id = $1",
};

static WfPlan last_attempt_plan = {
	.name = "last_attempt",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql =
	"SELECT a.attempt, a.outcome, a.finished_at, a.message FROM workflow.attempt AS a "
	"WHERE a.job_id = $1 "
	"   OR (a.last_job BETWEEN $1 AND least($1, 9000000000000000000) + 1000000 "
	"       AND $1 = ANY (a.job_ids)) "
	"ORDER BY a.attempt_id DESC LIMIT 1",
};

static TimestampTz
result_time(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

static Jsonb *
result_jsonb(uint64 row, int column)
{
	bool		isnull;
	Datum		value = wf_result_datum(row, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

/*
 * Reads the WF_JOB_COLUMNS and frees_others of a result row.
 */
WfJob *
wf_job_from_row(uint64 row)
{
	WfJob	   *job = palloc0(sizeof(WfJob));

	job->job_id = wf_result_int8(row, COLUMN_JOB_ID);
	job->queue = wf_result_text(row, COLUMN_QUEUE);
	job->kind = wf_result_text(row, COLUMN_KIND);
	job->status = wf_result_text(row, COLUMN_STATUS);
	job->item_id = wf_result_int8(row, COLUMN_ITEM_ID);
	job->state = wf_result_text(row, COLUMN_STATE);
	job->seq = wf_result_int4(row, COLUMN_SEQ);
	job->effect_id = wf_result_int8(row, COLUMN_EFFECT_ID);
	job->attempt = wf_result_int4(row, COLUMN_ATTEMPT);
	job->token = wf_result_text(row, COLUMN_TOKEN);
	job->worker = wf_result_text(row, COLUMN_WORKER);
	job->claimed_at = result_time(row, COLUMN_CLAIMED_AT);
	job->lease_until = result_time(row, COLUMN_LEASE_UNTIL);
	if (job->lease_until != 0 && job->token != NULL)
		job->lease_until = wf_beats_end(job->job_id, job->token, job->lease_until);
	job->payload = result_jsonb(row, COLUMN_PAYLOAD);
	job->group_key = wf_result_text(row, COLUMN_GROUP_KEY);
	job->priority = wf_result_int4(row, COLUMN_PRIORITY);
	job->run_at = result_time(row, COLUMN_RUN_AT);
	job->tenant = wf_result_text(row, COLUMN_TENANT);
	job->units = wf_result_int4(row, COLUMN_UNITS);
	job->frees_others = DatumGetBool(wf_result_datum(row, COLUMN_FREES_OTHERS, NULL));

	return job;
}

/*
 * Who is to be woken when a job of the kind is ready.
 */
WfWakeTopic
wf_job_topic(const char *kind)
{
	if (strcmp(kind, "sql") == 0)
		return WF_WAKE_SQL;
	if (strcmp(kind, "http") == 0 || strcmp(kind, "model") == 0)
		return WF_WAKE_HTTP;

	return WF_WAKE_TASK;
}

void
wf_job_refuse_queue(const char *queue)
{
	ereport(ERROR,
			(errcode(ERRCODE_WF_UNKNOWN),
			 errmsg("queue \"%s\" does not exist", queue),
			 errdetail("Queues are made by workflow.create_queue() or by a definition."),
			 errhint("%sSELECT queue FROM workflow.queues shows the queues.",
					 wf_nearest_stored("queue", queue))));
}

/*
 * Raises WF004 with what is known: where the job is, and how its last attempt
 * ended.
 */
pg_noreturn static void
refuse_stale(int64 job_id, const char *present)
{
	Datum		value = Int64GetDatum(job_id);
	const char *last = "";
	bool		was_bound = false;

	if (wf_plan_execute(&last_attempt_plan, &value, NULL) > 0)
	{
		const char *message = wf_result_text(0, 4);

		was_bound = message != NULL &&
			strncmp(message, WF_SESSION_ENDED, strlen(WF_SESSION_ENDED)) == 0;
		last = psprintf("; attempt %d ended as \"%s\" at %s%s%s", wf_result_int4(0, 1),
						wf_result_text(0, 2), timestamptz_to_str(result_time(0, 3)),
						message == NULL ? "" : ": ", message == NULL ? "" : message);
	}
	ereport(ERROR,
			(errcode(ERRCODE_WF_STALE_TOKEN),
			 errmsg("the claim of job " INT64_FORMAT " has ended", job_id),
			 errdetail("The token is stale: %s%s.", present, last),
			 was_bound ?
			 errhint("A claim without a lease ends with its session, and costs an attempt. Claim with a lease: workflow.claim('queue', 'worker', lease => '5 minutes').") :
			 errhint("Drop this result and claim again; what others did since then stands.")));
}

/*
 * Where a job is that a lane has.
 */
static const char *
place_in_lane(const WfLaneEnd *job)
{
	if (!job->is_claimed)
		return "the job is ready again";

	return psprintf("worker \"%s\" claimed the job at %s", job->worker,
					timestamptz_to_str(job->claimed_at));
}

static void
refuse_missing(int64 job_id)
{
	Datum		value = Int64GetDatum(job_id);
	WfLaneEnd	in_lane;

	if (wf_lane_find(job_id, &in_lane))
		refuse_stale(job_id, place_in_lane(&in_lane));
	if (wf_plan_execute(&last_attempt_plan, &value, NULL) > 0)
		refuse_stale(job_id, "the job is gone");
	ereport(ERROR,
			(errcode(ERRCODE_WF_UNKNOWN),
			 errmsg("job " INT64_FORMAT " does not exist", job_id),
			 errdetail("A job is gone once it has succeeded, or when its item has moved on."),
			 errhint("SELECT * FROM workflow.attempts WHERE job_id = " INT64_FORMAT " shows what became of it, "
					 "to operators, designers and monitors.",
					 job_id)));
}

/*
 * Where a job is that the holder of a stale token thinks is his.
 */
static const char *
present_place(const WfJob *job)
{
	if (strcmp(job->status, "running") == 0)
		return psprintf("worker \"%s\" claimed the job at %s",
						job->worker == NULL ? "" : job->worker,
						timestamptz_to_str(job->claimed_at));
	if (strcmp(job->status, "ready") == 0)
		return job->run_at <= wf_now() ? "the job is ready again" :
			psprintf("the job runs again at %s", timestamptz_to_str(job->run_at));
	if (strcmp(job->status, "dead") == 0)
		return "the job is a dead letter";

	return "the job waits for a person or an effect";
}

WfJob *
wf_queue_lock(int64 job_id)
{
	Datum		value = Int64GetDatum(job_id);

	return wf_plan_execute(&lock_plan, &value, NULL) == 0 ? NULL : wf_job_from_row(0);
}

/*
 * The same, without waiting: NULL also when somebody else holds the job.
 */
WfJob *
wf_queue_try_lock(int64 job_id)
{
	Datum		value = Int64GetDatum(job_id);

	return wf_plan_execute(&try_lock_plan, &value, NULL) == 0 ? NULL : wf_job_from_row(0);
}

bool
wf_queue_exists(int64 job_id)
{
	Datum		value = Int64GetDatum(job_id);

	return wf_plan_execute(&exists_plan, &value, NULL) > 0;
}

WfJob *
wf_queue_lock_claimed(int64 job_id, const char *token)
{
	WfJob	   *job = wf_queue_lock(job_id);

	if (job == NULL && token != NULL && wf_lanes_move_claimed(job_id, token))
		job = wf_queue_lock(job_id);
	if (job == NULL)
		refuse_missing(job_id);
	if (strcmp(job->status, "running") != 0 ||
		token == NULL || job->token == NULL ||
		strcmp(job->token, wf_lane_token_claim(token)) != 0)
		refuse_stale(job_id, present_place(job));
	if (job->lease_until != 0 && job->lease_until <= wf_now())
		ereport(ERROR,
				(errcode(ERRCODE_WF_STALE_TOKEN),
				 errmsg("the claim of job " INT64_FORMAT " has ended", job_id),
				 errdetail("The token is stale: the lease ended at %s.",
						   timestamptz_to_str(job->lease_until)),
				 errhint("Claim again, with a longer lease or workflow.extend() in time.")));

	return job;
}

/*
 * See queue.h.
 */
void
wf_queue_require_class(const char *error_class)
{
	wf_require_error_class(error_class);
}
