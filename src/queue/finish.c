/*
 * finish.c
 *	  How an attempt ends: success, failure, waiting, release, loss.
 *
 * Each ending changes or deletes the job by one statement and writes the attempt.  Jobs with an effect write no attempt here: theirs are the sends of
 * the effect.  Callers hold the lock of the job's row.
 */
#include "postgres.h"

#include "base/clock.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "queue_internal.h"
#include "retry/policy.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define ATTEMPT_NARGS 13
#define ATTEMPT_TYPES \
	INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, INT4OID, TEXTOID, \
	TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID
#define ATTEMPT_INSERT \
	"INSERT INTO workflow.attempt (job_id, effect_id, item_id, queue, kind, attempt, " \
	"  worker, started_at, finished_at, outcome, error_class, message, detail) " \
	"SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 "

static WfPlan record_plan = {
	.name = "record_attempt",
	.expected = SPI_OK_INSERT,
	.nargs = ATTEMPT_NARGS,
	.argtypes = {ATTEMPT_TYPES},
	.sql = ATTEMPT_INSERT,
};

static WfPlan finish_plan = {
	.name = "finish_job",
	.expected = SPI_OK_DELETE,
	.passes = "job",
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "DELETE FROM workflow.job WHERE job_id = $1",
};

/* The same, with its attempt, of a job whose key is kept for a time. */
static WfPlan finish_keyed_plan = {
	.name = "finish_job_with_key",
	.expected = SPI_OK_INSERT,
	.passes = "job",
	.nargs = ATTEMPT_NARGS,
	.argtypes = {ATTEMPT_TYPES},
	.sql =
	"WITH gone AS (DELETE FROM workflow.job WHERE job_id = $1 RETURNING queue, key), "
	"kept AS ("
	"  INSERT INTO workflow.spent_key (queue, key, job_id, until) "
	"  SELECT g.queue, g.key, $1, $9 + q.key_window "
	"  FROM gone AS g JOIN workflow.queue AS q ON q.queue = g.queue "
	"  WHERE g.key IS NOT NULL AND q.key_window IS NOT NULL "
	"  ON CONFLICT (queue, key) DO UPDATE SET job_id = excluded.job_id, until = excluded.until) "
	ATTEMPT_INSERT,
};

static WfPlan delete_plan = {
	.name = "delete_job",
	.expected = SPI_OK_DELETE_RETURNING,
	.passes = "job",
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql =
	"DELETE FROM workflow.job AS j WHERE j.job_id = $1 "
	"RETURNING j.queue, j.kind, " WF_FREES_OTHERS,
};

static WfPlan end_plan = {
	.name = "end_attempt",
	.expected = SPI_OK_INSERT,
	.nargs = ATTEMPT_NARGS + 8,
	.argtypes = {ATTEMPT_TYPES, BOOLOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID,
	TEXTOID, TIMESTAMPTZOID, TEXTOID},
	.sql =
	"WITH ended AS ("
	"  UPDATE workflow.job SET status = $15, attempt = $16, run_at = $17, "
	"    error_class = COALESCE($11, error_class), "
	"    error_message = COALESCE($18, error_message), waiting_on = $19, "
	"    failed_at = COALESCE($20, failed_at), "
	"    dead_letter = (SELECT q.queue FROM workflow.queue AS q WHERE q.queue = $21), "
	"    token = NULL, worker = NULL, claimed_at = NULL, lease_until = NULL, "
	"    session_pid = NULL, session_start = NULL "
	"  WHERE job_id = $1) "
	ATTEMPT_INSERT "WHERE $14",
};

static WfPlan unpark_plan = {
	.name = "unpark_job",
	.expected = SPI_OK_UPDATE_RETURNING,
	.nargs = 3,
	.argtypes = {INT8OID, TIMESTAMPTZOID, BOOLOID},
	.sql =
	"UPDATE workflow.job AS j SET status = 'ready', run_at = $2, "
	"  attempt = CASE WHEN $3 THEN 0 ELSE j.attempt END, "
	"  waiting_on = NULL, dead_letter = NULL "
	"WHERE j.job_id = $1 AND j.status IN ('waiting', 'dead') "
	"RETURNING j.kind, j.queue, j.item_id",
};

static WfPlan keep_paused_plan = {
	.name = "keep_job_paused",
	.expected = SPI_OK_UPDATE,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "UPDATE workflow.job SET status = 'waiting', waiting_on = 'paused' WHERE job_id = $1",
};

static WfPlan policy_plan = {
	.name = "queue_retry_policy",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "SELECT q.retry FROM workflow.queue AS q WHERE q.queue = $1",
};

/* What becomes of the job at the end of an attempt. */
typedef struct Ending
{
	const char *outcome;		/* of the attempt; NULL: none is recorded */
	const char *status;
	int			attempt;
	TimestampTz run_at;
	const char *error_class;
	const char *message;
	const char *waiting_on;
	bool		has_failed;
	const char *dead_letter;
	Jsonb	   *detail;
} Ending;

static void
set_text(Datum *values, char *nulls, int index, const char *text)
{
	values[index] = wf_text_datum(text);
	nulls[index] = WF_NULL_FLAG(text);
}

static void
set_id(Datum *values, char *nulls, int index, int64 id)
{
	values[index] = Int64GetDatum(id);
	nulls[index] = id == 0 ? 'n' : ' ';
}

static void
fill_attempt(Datum *values, char *nulls, const WfAttempt *attempt)
{
	memset(nulls, ' ', ATTEMPT_NARGS);
	set_id(values, nulls, 0, attempt->job_id);
	set_id(values, nulls, 1, attempt->effect_id);
	set_id(values, nulls, 2, attempt->item_id);
	set_text(values, nulls, 3, attempt->queue);
	set_text(values, nulls, 4, attempt->kind);
	values[5] = Int32GetDatum(attempt->attempt);
	set_text(values, nulls, 6, attempt->worker);
	values[7] = TimestampTzGetDatum(attempt->started_at);
	values[8] = TimestampTzGetDatum(wf_now());
	set_text(values, nulls, 9, attempt->outcome);
	set_text(values, nulls, 10, attempt->error_class);
	set_text(values, nulls, 11, attempt->message);
	values[12] = attempt->detail == NULL ? (Datum) 0 : JsonbPGetDatum(attempt->detail);
	nulls[12] = WF_NULL_FLAG(attempt->detail);
}

/*
 * The present attempt of a job; a job that was not claimed began now.
 */
static WfAttempt
attempt_of(const WfJob *job, const char *outcome)
{
	WfAttempt	attempt = {0};

	attempt.job_id = job->job_id;
	attempt.effect_id = job->effect_id;
	attempt.item_id = job->item_id;
	attempt.queue = job->queue;
	attempt.kind = job->kind;
	attempt.attempt = job->attempt;
	attempt.worker = job->worker;
	attempt.started_at = job->claimed_at == 0 ? wf_now() : job->claimed_at;
	attempt.outcome = outcome;

	return attempt;
}

void
wf_queue_record_attempt(const WfAttempt *attempt)
{
	Datum		values[ATTEMPT_NARGS];
	char		nulls[ATTEMPT_NARGS];

	if (wf_attempt_append(attempt))
		return;
	fill_attempt(values, nulls, attempt);
	wf_plan_execute(&record_plan, values, nulls);
}

static bool
is_running(const WfJob *job)
{
	return strcmp(job->status, "running") == 0;
}

static void
wake_others(const WfJob *job)
{
	if (job->frees_others)
		wf_wake_at_commit(wf_job_topic(job->kind), job->queue);
}

/*
 * What would be ready while its item is paused waits for that instead.
 */
static void
end_attempt(const WfJob *job, const Ending *ending)
{
	Datum		values[ATTEMPT_NARGS + 8];
	char		nulls[ATTEMPT_NARGS + 8];
	WfAttempt	attempt = attempt_of(job, ending->outcome);
	bool		is_ready = strcmp(ending->status, "ready") == 0;
	bool		is_paused = is_ready && wf_job_is_paused(job->item_id);

	attempt.error_class = ending->error_class;
	attempt.message = ending->message;
	attempt.detail = ending->detail;
	memset(nulls, ' ', sizeof(nulls));
	fill_attempt(values, nulls, &attempt);
	values[13] = BoolGetDatum(ending->outcome != NULL && is_running(job) &&
							  job->effect_id == 0);
	set_text(values, nulls, 14, is_paused ? "waiting" : ending->status);
	values[15] = Int32GetDatum(ending->attempt);
	values[16] = TimestampTzGetDatum(ending->run_at);
	set_text(values, nulls, 17, ending->has_failed || ending->waiting_on != NULL ?
			 ending->message : NULL);
	set_text(values, nulls, 18, is_paused ? "paused" : ending->waiting_on);
	values[19] = TimestampTzGetDatum(wf_now());
	nulls[19] = ending->has_failed ? ' ' : 'n';
	set_text(values, nulls, 20, ending->dead_letter);
	wf_plan_execute(&end_plan, values, nulls);
	if (ending->has_failed)
		wf_pace_ended(job->queue, WF_FIGURE_FAILED, is_running(job) ? job->claimed_at : 0,
					  wf_now(), 1);

	if (is_ready && !is_paused)
		wf_wake_at_commit(wf_job_topic(job->kind), job->queue);
	else
		wake_others(job);
}

void
wf_queue_finish(const WfJob *job, Jsonb *detail)
{
	Datum		values[ATTEMPT_NARGS];
	char		nulls[ATTEMPT_NARGS];
	WfAttempt	attempt;

	wf_pace_ended(job->queue, WF_FIGURE_FINISHED, is_running(job) ? job->claimed_at : 0,
				  wf_now(), 1);
	if (job->effect_id != 0 || !is_running(job))
	{
		wf_queue_drop(job->job_id);
		return;
	}
	attempt = attempt_of(job, "ok");
	attempt.detail = detail;
	if (wf_spent_keeps(job->queue))
	{
		fill_attempt(values, nulls, &attempt);
		wf_plan_execute(&finish_keyed_plan, values, nulls);
	}
	else
	{
		Datum		id = Int64GetDatum(job->job_id);

		wf_plan_execute(&finish_plan, &id, NULL);
		wf_queue_record_attempt(&attempt);
	}
	wake_others(job);
}

void
wf_queue_drop(int64 job_id)
{
	Datum		id = Int64GetDatum(job_id);

	if (wf_plan_execute(&delete_plan, &id, NULL) > 0 &&
		DatumGetBool(wf_result_datum(0, 3, NULL)))
		wf_wake_at_commit(wf_job_topic(wf_result_text(0, 2)), wf_result_text(0, 1));
}

/*
 * Somebody has cancelled the job: the attempt that it was in, or waited for, is
 * on record.
 */
void
wf_job_cancel(const WfJob *job, const char *reason)
{
	WfAttempt	attempt = attempt_of(job, "cancelled");

	attempt.message = reason;
	if (job->effect_id == 0)
		wf_queue_record_attempt(&attempt);
	wf_queue_drop(job->job_id);
	wf_wake_at_commit(WF_WAKE_ROOM, job->queue);
}

/*
 * The policy object of a queue; NULL when it has none.
 */
Jsonb *
wf_job_queue_policy(const char *queue)
{
	Datum		value = CStringGetTextDatum(queue);
	bool		isnull;
	Datum		policy;

	if (wf_plan_execute(&policy_plan, &value, NULL) == 0)
		return NULL;
	policy = wf_result_datum(0, 1, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(policy);
}

static WfRetryPolicy *
policy_of(const WfJob *job, Jsonb *policy)
{
	if (policy == NULL)
		policy = wf_job_queue_policy(job->queue);

	return wf_policy_from_jsonb(policy, NULL);
}

/*
 * What is the same in every failure: nothing but its words.
 */
static Ending
failure(const WfJob *job, const char *error_class, const char *message, Jsonb *detail)
{
	Ending		ending = {0};

	ending.attempt = job->attempt;
	ending.run_at = job->run_at;
	ending.error_class = error_class;
	ending.message = message;
	ending.has_failed = true;
	ending.detail = detail;

	return ending;
}

static void
bury(const WfJob *job, Ending *ending, const WfRetryPolicy *policy)
{
	ending->outcome = "dead";
	ending->status = "dead";
	if (policy->dead_letter != NULL && wf_queue_takes_letters(policy->dead_letter))
		ending->dead_letter = policy->dead_letter;
	end_attempt(job, ending);
}

void
wf_queue_bury(const WfJob *job, Jsonb *policy, const char *error_class,
			  const char *message, Jsonb *detail)
{
	Ending		ending = failure(job, error_class, message, detail);

	bury(job, &ending, policy_of(job, policy));
}

WfFailure
wf_queue_fail(const WfJob *job, Jsonb *policy_object, const char *error_class,
			  const char *message, int64 retry_after_us, Jsonb *detail)
{
	WfRetryPolicy *policy = policy_of(job, policy_object);
	Ending		ending = failure(job, error_class, message, detail);
	WfRetryDecision decision =
	wf_retry_decide(policy, job->attempt, error_class, retry_after_us,
					pg_prng_double(&pg_global_prng_state));

	if (!decision.retry)
	{
		bury(job, &ending, policy);
		return WF_FAILURE_DEAD;
	}
	ending.outcome = "retry";
	ending.status = "ready";
	ending.run_at = wf_now() + decision.delay_us;
	if (!decision.charged && is_running(job))
		ending.attempt = job->attempt - 1;
	end_attempt(job, &ending);

	return WF_FAILURE_RETRY;
}

void
wf_queue_park(const WfJob *job, const char *waiting_on, const char *error_class,
			  const char *message)
{
	wf_queue_park_until(job, waiting_on, job->run_at, error_class, message);
}

void
wf_queue_park_until(const WfJob *job, const char *waiting_on, TimestampTz until,
					const char *error_class, const char *message)
{
	Ending		ending = {0};

	ending.status = "waiting";
	ending.attempt = is_running(job) ? job->attempt - 1 : job->attempt;
	ending.run_at = until;
	ending.waiting_on = waiting_on;
	ending.error_class = error_class;
	ending.message = message;
	end_attempt(job, &ending);
}

void
wf_queue_unpark(int64 job_id, TimestampTz run_at, bool reset_attempts)
{
	Datum		values[] = {
		Int64GetDatum(job_id), TimestampTzGetDatum(run_at), BoolGetDatum(reset_attempts)
	};

	WfWakeTopic topic;
	char	   *queue;

	if (wf_plan_execute(&unpark_plan, values, NULL) == 0)
		return;
	topic = wf_job_topic(wf_result_text(0, 1));
	queue = wf_result_text(0, 2);
	if (wf_job_is_paused(wf_result_int8(0, 3)))
		wf_plan_execute(&keep_paused_plan, values, NULL);
	else
		wf_wake_at_commit(topic, queue);
}

/*
 * Gives a job back, uncharged; outcome NULL records no attempt, because none
 * has begun.
 */
static void
release(const WfJob *job, TimestampTz run_at, const char *waiting_on, const char *outcome)
{
	Ending		ending = {0};

	ending.outcome = outcome;
	ending.status = "ready";
	ending.attempt = is_running(job) ? job->attempt - 1 : job->attempt;
	ending.run_at = run_at;
	ending.waiting_on = waiting_on;
	end_attempt(job, &ending);
}

void
wf_queue_release(const WfJob *job, TimestampTz run_at, const char *waiting_on)
{
	release(job, run_at, waiting_on, NULL);
}

/*
 * The same for a claimer that may have begun: the attempt is on record.
 */
void
wf_job_release(const WfJob *job)
{
	release(job, job->run_at, NULL, "released");
}

/*
 * Ends the attempt of a job whose claimer is gone: charged, and ready again
 * after a delay.
 */
void
wf_job_lost(const WfJob *job, const char *error_class, const char *message, int64 delay_us)
{
	Ending		ending = failure(job, error_class, message, NULL);

	ending.outcome = "lost";
	ending.status = "ready";
	if (delay_us > 0)
		ending.run_at = wf_now() + delay_us;
	end_attempt(job, &ending);
}
