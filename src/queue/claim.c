/*
 * claim.c
 *	  workflow.claim(): what external workers call for work.
 *
 * A claim that waits listens first, then looks, then sleeps on its latch until
 * a commit brings work or a time comes that it knows of: a delayed job is due,
 * a lease ends, the rate limit opens.  Every look has a new snapshot.  Nothing
 * is locked while it sleeps.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/context.h"
#include "base/identity.h"
#include "base/owner.h"
#include "beats.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "groups.h"
#include "heads.h"
#include "marks.h"
#include "lane/lane.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#define MAX_WAIT_US (30 * USECS_PER_SEC)
#define MAX_BATCH 10000

/* How soon a claim looks again when another one was just claiming. */
#define CONTENDED_US (20 * INT64CONST(1000))

static WfPlan look_plan = {
	.name = "claim_look",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	.sql =
	"SELECT q.paused_at IS NOT NULL, q.lease, "
	"  EXISTS (SELECT 1 FROM workflow.job AS j WHERE j.queue = q.queue "
	"    AND j.status = 'running' AND j.lease_until >= $4 AND j.lease_until <= $3 AND j.kind = $2 "
	"    AND " WF_LEASE_END " <= $3), "
	WF_LIMIT_COLUMNS " "
	"FROM workflow.queue AS q WHERE q.queue = $1",
};

static WfPlan next_due_plan = {
	.name = "claim_next_due",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, TIMESTAMPTZOID},
	.sql =
	"SELECT LEAST("
	"  (SELECT j.run_at FROM workflow.job AS j "
	"   WHERE $4 AND j.kind = $2 AND j.queue = $1 AND j.status = 'ready' AND NOT j.behind AND j.run_at > $3 "
	"   ORDER BY j.run_at LIMIT 1), "
	"  (SELECT j.lease_until FROM workflow.job AS j "
	"   WHERE j.kind = $2 AND j.queue = $1 AND j.status = 'running' "
	"     AND j.lease_until > $3 AND j.lease_until >= $5 "
	"   ORDER BY j.lease_until LIMIT 1))",
};

/* Ready jobs that were skipped, for somebody has locked them. */
static WfPlan held_plan = {
	.name = "claim_held",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8ARRAYOID},
	.sql =
	"SELECT 1 FROM workflow.job AS j "
	"WHERE j.kind = $2 AND j.queue = $1 AND j.status = 'ready' AND NOT j.behind AND j.run_at <= $3 "
	"  AND j.job_id <> ALL ($4) "
	"  AND (j.group_key IS NULL OR NOT " WF_GROUP_IS_BUSY("0") ") LIMIT 1",
};

static void
read_queue(WfClaim *claim)
{
	Datum		values[4];
	WfRunning	running;
	bool		isnull;
	Datum		lease;

	wf_running_look(claim->queue, 1 << WF_RUNNING_ENDS, &running);
	values[0] = CStringGetTextDatum(claim->queue);
	values[1] = CStringGetTextDatum(claim->kind);
	values[2] = TimestampTzGetDatum(claim->now);
	values[3] = TimestampTzGetDatum(running.ends_from);
	if (wf_plan_execute(&look_plan, values, NULL) == 0)
		wf_job_refuse_queue(claim->queue);
	claim->is_paused = DatumGetBool(wf_result_datum(0, 1, NULL));
	lease = wf_result_datum(0, 2, &isnull);
	if (!claim->is_lease_asked)
		claim->lease_us = isnull ? 0 : wf_interval_us(DatumGetIntervalP(lease));
	claim->has_lost = DatumGetBool(wf_result_datum(0, 3, NULL)) ||
		wf_beats_next_end(claim->queue) <= claim->now;
	wf_claim_read_limits(claim, 0, 4);
}

/*
 * One look at the jobs in the table: gives back what is lost, takes what is
 * ready.  The jobs
 * of ended sessions are looked for only when there is less than wanted; that
 * is rare, for a session gives its jobs back as it ends.
 */
List *
wf_claim_look_into_table(WfClaim *claim)
{
	int			wanted = claim->limit;
	List	   *jobs;

	read_queue(claim);
	if (claim->is_paused)
		return NIL;

	if (claim->has_lost)
		claim->has_changed = wf_claim_reclaim(claim->queue, claim->kind,
											  RECLAIM_LIMIT, false) > 0;
	jobs = wf_claim_take(claim);
	if (list_length(jobs) == wanted || claim->rate_opens_at != 0)
		return jobs;

	if (wf_claim_reclaim(claim->queue, claim->kind, RECLAIM_LIMIT, true) > 0)
	{
		claim->has_changed = true;
		claim->limit = wanted - list_length(jobs);
		jobs = list_concat(jobs, wf_claim_take(claim));
		claim->limit = wanted;
	}

	return jobs;
}

/*
 * Who sleeps longer than a lease lasts has to look when it ends.
 */
static void
tell_of_lease(const WfClaim *claim, List *jobs)
{
	if (jobs != NIL && claim->lease_us > 0)
		wf_wake_by_at_commit(claim->queue, GetCurrentTimestamp() + claim->lease_us);
}

/*
 * One look at a queue, its lane and its jobs in the table.
 */
List *
wf_claim_look(WfClaim *claim)
{
	List	   *jobs;
	bool		is_done;

	claim->now = wf_now();
	claim->has_changed = false;
	wf_heads_mend(claim->queue);
	jobs = wf_lanes_look(claim, &is_done);
	if (!is_done)
	{
		claim->until_run_at = 0;
		jobs = wf_claim_look_into_table(claim);
	}
	tell_of_lease(claim, jobs);

	return jobs;
}

/*
 * Whether jobs that a look did not get are ready.  Nobody wakes us when their
 * rows are unlocked; whoever locks them may be a person.
 */
bool
wf_claim_is_held(const WfClaim *claim)
{
	Datum		values[] = {
		CStringGetTextDatum(claim->queue), CStringGetTextDatum(claim->kind),
		TimestampTzGetDatum(claim->now), wf_claim_refused()
	};
	WfReady		ready;

	if (claim->is_full || claim->rate_opens_at != 0)
		return false;
	wf_ready_look(claim->queue, claim->kind, &ready);

	return !wf_ready_is_none(&ready, claim->now) &&
		wf_plan_execute(&held_plan, values, NULL) > 0;
}

static Datum
search_next_due(const WfClaim *claim, bool is_ready_wanted, bool *isnull)
{
	Datum		values[5];
	WfRunning	running;

	wf_running_look(claim->queue, 1 << WF_RUNNING_ENDS, &running);
	values[0] = CStringGetTextDatum(claim->queue);
	values[1] = CStringGetTextDatum(claim->kind);
	values[2] = TimestampTzGetDatum(claim->now);
	values[3] = BoolGetDatum(is_ready_wanted);
	values[4] = TimestampTzGetDatum(running.ends_from);
	wf_plan_execute(&next_due_plan, values, NULL);

	return wf_result_datum(0, 1, isnull);
}

/*
 * When a job in the table is due, or a lease there ends; infinity when none
 * is.
 */
TimestampTz
wf_claim_next_due(const WfClaim *claim)
{
	WfReady		ready;
	TimestampTz due = DT_NOEND;
	TimestampTz found;
	bool		isnull;

	wf_ready_look(claim->queue, claim->kind, &ready);
	if (ready.is_known)
		due = wf_ready_next_due(&ready, claim->queue, claim->kind, claim->now);
	due = Min(due, wf_beats_next_look(claim->queue, claim->now));
	found = DatumGetTimestampTz(search_next_due(claim, !ready.is_known, &isnull));

	return isnull ? due : Min(due, found);
}

/*
 * Returns when to look again after a look that found nothing, though no commit
 * wakes us; the deadline at the latest.
 */
TimestampTz
wf_claim_next_look(const WfClaim *claim, TimestampTz deadline)
{
	TimestampTz real_now = GetCurrentTimestamp();
	TimestampTz due = claim->table_rests_until;

	if (claim->is_paused)
		return deadline;
	if (claim->is_contended)
		deadline = Min(deadline, real_now + CONTENDED_US);
	if (claim->rate_opens_at != 0)
		deadline = Min(deadline, real_now + (claim->rate_opens_at - claim->now));

	if (due == 0)
	{
		if (wf_claim_is_held(claim) || wf_groups_any_left(claim->queue))
			deadline = Min(deadline, real_now + WF_HELD_US);
		due = wf_claim_next_due(claim);
	}
	/* others see to a lane that this queue has not */
	if (claim->has_lane)
		due = Min(due, wf_lane_next_end());
	if (!TIMESTAMP_NOT_FINITE(due))
		deadline = Min(deadline, real_now + (due - claim->now));

	return deadline;
}

/*
 * Sleeps until it is woken or the time has come.
 */
void
wf_claim_sleep(TimestampTz until)
{
	static uint32 wait_event = 0;

	wf_wake_sleep(until, wf_wait_event("PgWorkflowClaim", &wait_event));
}

static List *
look_until(WfClaim *claim, TimestampTz deadline)
{
	List	   *jobs;

	for (;;)
	{
		jobs = wf_claim_look(claim);
		if (jobs != NIL || claim->has_changed || GetCurrentTimestamp() >= deadline)
			return jobs;
		wf_claim_sleep(wf_claim_next_look(claim, deadline));
	}
}

static List *
wait_for_jobs(WfClaim *claim, int64 wait_us)
{
	TimestampTz deadline = GetCurrentTimestamp() + wait_us;
	List	   *volatile jobs = NIL;

	wf_wake_listen(WF_WAKE_TASK, claim->queue);
	PG_TRY();
	{
		jobs = look_until(claim, deadline);
	}
	PG_FINALLY();
	{
		wf_wake_unlisten();
	}
	PG_END_TRY();

	return jobs;
}

static void
require_batch(int batch)
{
	if (batch < 1 || batch > MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be from 1 to %d", MAX_BATCH),
				 errdetail("It is %d.", batch),
				 errhint("Claim what the worker can finish within a lease.")));
}

static void
require_lease(const WfClaim *claim)
{
	if (claim->is_lease_asked && claim->lease_us <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lease must be longer than zero"),
				 errdetail("A job leased for no time could be claimed again at once."),
				 errhint("Choose a lease longer than the slowest job of the queue, or null to bind the claim to the session.")));
}

static void
require_wait(int64 wait_us)
{
	if (wait_us < 0 || wait_us > MAX_WAIT_US)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("wait must be from 0 to 30 seconds"),
				 errdetail("A claim that waits holds a snapshot, which keeps vacuum from cleaning up."),
				 errhint("CALL workflow.wait_for_job(queue, interval) waits for longer and holds none.")));
	if (wait_us > 0 && IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a claim cannot wait in a REPEATABLE READ or SERIALIZABLE transaction"),
				 errdetail("Its snapshot would never show the work that it waits for."),
				 errhint("Claim in READ COMMITTED, or without wait.")));
}

/*
 * A column of a job as its claimer gets it, by its number in workflow.claimed_job;
 * what it points to is made in the present memory, except the payload.
 */
static Datum
column_of(const WfJob *job, int column, bool *isnull)
{
	*isnull = false;
	switch (column)
	{
		case 1:
			return Int64GetDatum(job->job_id);
		case 2:
			return CStringGetTextDatum(job->token);
		case 3:
			return CStringGetTextDatum(job->queue);
		case 4:
			*isnull = job->item_id == 0;
			return Int64GetDatum(job->item_id);
		case 5:
			*isnull = job->state == NULL;
			return wf_text_datum(job->state);
		case 6:
			*isnull = job->payload == NULL;
			return job->payload == NULL ? (Datum) 0 : JsonbPGetDatum(job->payload);
		case 7:
			return Int32GetDatum(job->attempt);
		default:
			*isnull = job->lease_until == 0;
			return TimestampTzGetDatum(job->lease_until);
	}
}

/*
 * The same, all of it in the present memory.
 */
Datum
wf_claimed_column(const WfJob *job, int column, bool *isnull)
{
	Datum		value = column_of(job, column, isnull);

	if (column == 6 && !*isnull)
		value = datumCopy(value, false, -1);

	return value;
}

static void
return_jobs(FunctionCallInfo fcinfo, List *jobs)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	if (IsA(fcinfo->resultinfo, CustomScanState))
	{
		wf_scan_take(fcinfo->resultinfo, jobs);
		return;
	}
	foreach(cell, jobs)
	{
		Datum		values[WF_CLAIMED_COLUMNS];
		bool		nulls[WF_CLAIMED_COLUMNS];

		for (int i = 0; i < WF_CLAIMED_COLUMNS; i++)
			values[i] = column_of(lfirst(cell), i + 1, &nulls[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/*
 * workflow.claim(queue text, worker text, batch int, lease interval,
 *		wait interval) returns setof workflow.claimed_job
 */
WF_PUBLIC_FUNCTION(wf_claim)
{
	WfClaim		claim = {0};
	WfCaller	caller;
	int64		wait_us = PG_ARGISNULL(4) ? 0 : wf_interval_us(PG_GETARG_INTERVAL_P(4));
	List	   *jobs;
	bool		is_done;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("queue of workflow.claim() must not be null"),
				 errdetail("A claim takes the jobs of one queue."),
				 errhint("SELECT queue FROM workflow.queues shows the queues.")));
	claim.kind = "task";
	claim.queue = text_to_cstring(PG_GETARG_TEXT_PP(0));
	claim.worker = PG_ARGISNULL(1) ? wf_role_name(GetUserId()) :
		wf_require_name(text_to_cstring(PG_GETARG_TEXT_PP(1)), "worker of a claim",
						"Give null for the name of your role.");
	claim.limit = PG_ARGISNULL(2) ? 1 : PG_GETARG_INT32(2);
	claim.is_lease_asked = !PG_ARGISNULL(3);
	claim.lease_us = claim.is_lease_asked ? wf_interval_us(PG_GETARG_INTERVAL_P(3)) : 0;
	require_batch(claim.limit);
	require_lease(&claim);
	require_wait(wait_us);
	wf_require_writable("claim");
	if (fcinfo->resultinfo == NULL || !IsA(fcinfo->resultinfo, CustomScanState))
		InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	jobs = wf_lanes_look_at_once(&claim, &is_done);
	if (is_done && (jobs != NIL || wait_us == 0))
	{
		tell_of_lease(&claim, jobs);
		return_jobs(fcinfo, jobs);
		PG_RETURN_NULL();
	}

	wf_enter_owner(&caller);
	SPI_connect();
	jobs = wait_us > 0 ? wait_for_jobs(&claim, wait_us) : wf_claim_look(&claim);
	return_jobs(fcinfo, jobs);
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_NULL();
}
