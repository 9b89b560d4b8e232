/*
 * wait.c
 *	  CALL workflow.wait_for_job(): waiting for work, for as long as one likes.
 *
 * Every look is a transaction of its own.  While the procedure sleeps, its
 * session holds no snapshot and no lock, so that it can wait for hours without
 * keeping vacuum from cleaning up.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/context.h"
#include "base/owner.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "heads.h"
#include "marks.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static WfPlan look_plan = {
	.name = "wait_for_job",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 3,
	.argtypes = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	.sql =
	"SELECT q.paused_at IS NOT NULL, (SELECT bool_or(NOT workflow._is_held(l.row)) FROM ("
	"    SELECT j.ctid AS row FROM workflow.job AS j WHERE j.kind = 'task' AND j.queue = q.queue "
	"      AND j.status = 'running' AND j.lease_until >= $3 AND j.lease_until <= $2 "
	"      AND " WF_LEASE_END " <= $2 LIMIT 100) AS l), "
	WF_LIMIT_COLUMNS " "
	"FROM workflow.queue AS q WHERE q.queue = $1",
};

#define READY_NARGS 7
#define READY_TYPES \
	TEXTOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT8OID
#define READY(range) \
	"SELECT 1 FROM workflow.job AS j WHERE j.kind = 'task' AND j.queue = $1 " \
	"  AND j.status = 'ready' AND NOT j.behind AND j.run_at <= $2 AND " range \
	"  AND (j.group_key IS NULL OR NOT " WF_GROUP_IS_BUSY("$7") ") " \
	"  AND NOT workflow._is_held(j.ctid) LIMIT 1"

static WfPlan ready_plan = {
	.name = "wait_for_ready_job",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = READY_NARGS,
	.argtypes = {READY_TYPES},
	.sql = READY("(j.priority, j.run_at) >= ($3, $4) AND (j.priority, j.run_at) <= ($5, $6) "),
};

static WfPlan ready_of_priority_plan = {
	.name = "wait_for_ready_job_of_priority",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = READY_NARGS,
	.argtypes = {READY_TYPES},
	.sql = READY("j.priority = $3 AND j.run_at >= $4 AND j.run_at <= $6 "),
};

/*
 * Whether there is a ready job that no other one of its group stands before, and
 * whose row nobody holds: a claim passes by what is held.
 */
static bool
is_any_ready(const WfClaim *claim)
{
	WfReadySpan spans[WF_READY_PRIORITIES];
	WfReady		ready;
	int64		grouped_from;
	int			n;

	wf_ready_look(claim->queue, claim->kind, &ready);
	grouped_from = wf_grouped_from(claim->queue);
	n = wf_ready_spans(&ready, claim->now, spans);
	for (int i = 0; i < n; i++)
	{
		Datum		values[] = {
			CStringGetTextDatum(claim->queue), TimestampTzGetDatum(claim->now),
			Int32GetDatum(spans[i].from_priority), TimestampTzGetDatum(spans[i].from),
			Int32GetDatum(spans[i].until_priority), TimestampTzGetDatum(spans[i].until),
			Int64GetDatum(grouped_from)
		};

		if (wf_plan_execute(ready.is_known ? &ready_of_priority_plan : &ready_plan, values, NULL) > 0)
			return true;
	}

	return false;
}

/*
 * Whether the limits let the next job start; a job of the queue is ready.
 */
static bool
may_start(WfClaim *claim)
{
	int			units;

	wf_ready_look(claim->queue, claim->kind, &claim->ready);
	units = claim->is_fair ? wf_claim_next_turn(claim) : wf_claim_head_units(claim);

	return units > 0 && wf_claim_allowed(claim, 1) > 0 && wf_claim_units_fit(claim, units);
}

/*
 * Whether a claim would find something to do.
 */
static bool
can_claim(WfClaim *claim)
{
	Datum		values[3];
	WfRunning	running;
	bool		is_lost;
	bool		isnull;

	wf_heads_mend(claim->queue);
	wf_running_look(claim->queue, 1 << WF_RUNNING_ENDS, &running);
	values[0] = CStringGetTextDatum(claim->queue);
	values[1] = TimestampTzGetDatum(claim->now);
	values[2] = TimestampTzGetDatum(running.ends_from);
	if (wf_plan_execute(&look_plan, values, NULL) == 0)
		wf_job_refuse_queue(claim->queue);
	claim->is_paused = DatumGetBool(wf_result_datum(0, 1, NULL));
	is_lost = DatumGetBool(wf_result_datum(0, 2, &isnull));
	claim->is_lost_held = !isnull && !is_lost;
	wf_claim_read_limits(claim, 0, 3);
	if (claim->is_paused)
		return false;

	return is_lost || wf_claim_any_beat_ended(claim->queue, claim->kind) ||
		wf_lanes_have_work(claim) || (is_any_ready(claim) && may_start(claim)) ||
		wf_claim_any_session_gone(claim->queue, claim->kind);
}

/*
 * Tells whether there is a job to claim; else *next_look is when to look again
 * at the latest.
 */
static bool
look(const char *queue, TimestampTz deadline, TimestampTz *next_look)
{
	WfCaller	caller;
	WfClaim		claim = {0};
	bool		found;

	claim.kind = "task";
	claim.queue = queue;
	claim.now = wf_now();

	wf_enter_owner(&caller);
	found = can_claim(&claim);
	*next_look = found ? deadline : wf_claim_next_look(&claim, deadline);
	if (claim.has_changed)
		*next_look = GetCurrentTimestamp(); /* others see it then, and so do
											 * we */
	else if (claim.is_lost_held)
		*next_look = Min(*next_look, GetCurrentTimestamp() + WF_HELD_US);
	wf_leave_owner(&caller);

	return found;
}

static void
wait_until(const char *queue, TimestampTz deadline)
{
	TimestampTz next_look;

	for (;;)
	{
		bool		found = look(queue, deadline, &next_look);

		SPI_commit();			/* lets go of the snapshot */
		if (found || GetCurrentTimestamp() >= deadline)
			return;
		wf_claim_sleep(next_look);
	}
}

static void
require_no_transaction_block(FunctionCallInfo fcinfo)
{
	if (!wf_may_commit(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("workflow.wait_for_job() cannot run inside a transaction block"),
				 errdetail("It lets go of its snapshot while it waits."),
				 errhint("Call it on its own, or use the wait argument of workflow.claim().")));
}

static int64
require_max_wait(FunctionCallInfo fcinfo)
{
	int64		wait_us = PG_ARGISNULL(1) ? -1 : wf_interval_us(PG_GETARG_INTERVAL_P(1));

	if (PG_ARGISNULL(0) || wait_us < 0)
		ereport(ERROR,
				(errcode(PG_ARGISNULL(0) || PG_ARGISNULL(1) ? ERRCODE_NULL_VALUE_NOT_ALLOWED :
						 ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workflow.wait_for_job() needs a queue and an interval that is not negative"),
				 errdetail("It waits for work in the queue, but no longer than the interval."),
				 errhint("CALL workflow.wait_for_job('name', '1 hour') is an example.")));

	return wait_us;
}

PG_FUNCTION_INFO_V1(wf_wait_for_job);

/*
 * workflow.wait_for_job(queue text, max_wait interval): a procedure
 *
 * Returns when there is a job to claim, or when max_wait has passed.
 */
Datum
wf_wait_for_job(PG_FUNCTION_ARGS)
{
	int64		wait_us;
	char	   *queue;

	require_no_transaction_block(fcinfo);
	wait_us = require_max_wait(fcinfo);
	queue = MemoryContextStrdup(PortalContext, text_to_cstring(PG_GETARG_TEXT_PP(0)));

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	wf_wake_listen(WF_WAKE_TASK, queue);
	PG_TRY();
	{
		wait_until(queue, GetCurrentTimestamp() + wait_us);
	}
	PG_FINALLY();
	{
		wf_wake_unlisten();
	}
	PG_END_TRY();
	SPI_finish();

	PG_RETURN_VOID();
}
