/*
 * limits.c
 *	  How many jobs of a queue may start now: rate limit and max_running.
 *
 * The rate is a GCRA: one timestamp, the theoretical arrival time
 * (base/rate.h).  Each unit of a job moves it ahead by per / count; it may be
 * ahead of the clock by "per" at most.  So a rested queue may start "count"
 * units at once, and then one each per / count.  A job of more units than that
 * waits until the queue is rested.  What a job has really taken is settled when
 * it is completed.  Of each tenant by itself there is such a timestamp, too
 * (rates.c).
 *
 * The rate holds across concurrent claims because a charge is seen by all at once;
 * who has been charged need not have committed.  They stand in line while they pick
 * (turns.c), for the sake of their order.
 *
 * max_running holds because a claim of such a queue locks the queue's row until it
 * commits.  A client that finds it locked
 * stands in line for it, for an eighth of a second: then it goes without, rather
 * than wait for a stranger's open transaction.  A background worker has other
 * queues to serve and does not wait at all.
 */
#include "postgres.h"

#include <math.h>

#include "base/clock.h"
#include "base/rate.h"
#include "catalog/pg_type.h"
#include "marks.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* How long a client waits for a locked queue. */
#define LOCK_WAIT_MS 125

#define LOCK_QUEUE \
	"SELECT " WF_LIMIT_COLUMNS " FROM workflow.queue AS q " \
	"WHERE q.queue = $1 AND q.paused_at IS NULL FOR NO KEY UPDATE"

static WfPlan lock_queue_plan = {
	.name = "claim_lock_queue",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = LOCK_QUEUE,
};

static WfPlan try_lock_queue_plan = {
	.name = "claim_try_lock_queue",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = LOCK_QUEUE " SKIP LOCKED",
};

static WfPlan running_plan = {
	.name = "claim_count_running",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 4,
	.argtypes = {TEXTOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	.sql =
	"SELECT pg_catalog.count(*) FROM ("
	"  (SELECT 1 FROM workflow.job AS j WHERE j.queue = $1 AND j.status = 'running' "
	"     AND j.lease_until >= $3 LIMIT $2) "
	"  UNION ALL "
	"  (SELECT 1 FROM workflow.job AS j WHERE j.queue = $1 AND j.status = 'running' "
	"     AND j.lease_until IS NULL AND j.claimed_at >= $4 LIMIT $2)) AS running",
};

/*
 * Whether a claim may let the next one pick before it commits.  Not where somebody has a
 * trigger on jobs: what that locks it keeps locked, and the next one would wait for it
 * while it picks, and we for our turn to do so.
 */
static bool
may_pass_on_line(const WfClaim *claim)
{
	return (!claim->is_fair || wf_turns_are_kept()) && !wf_claim_may_be_refused();
}

/*
 * Reads what the rate of the queue has been charged with.
 */
void
wf_claim_read_rate(WfClaim *claim)
{
	WfRateKey	key = {WF_RATE_QUEUE, claim->queue, ""};

	claim->rate_next_at = Max(claim->now, wf_rate_read(&key));
}

/*
 * Reads WF_LIMIT_COLUMNS, the first of which is the given column.
 */
void
wf_claim_read_limits(WfClaim *claim, uint64 row, int column)
{
	bool		has_rate = !wf_result_is_null(row, column);
	bool		is_in_order;

	claim->is_tenant_rated = has_rate && DatumGetBool(wf_result_datum(row, column + 6, NULL));
	claim->is_rate_limited = has_rate && !claim->is_tenant_rated;
	claim->max_running = wf_result_int4(row, column + 2);
	claim->makes_room = DatumGetBool(wf_result_datum(row, column + 3, NULL));
	claim->is_fair = DatumGetBool(wf_result_datum(row, column + 4, NULL));
	claim->fair_last = wf_result_is_null(row, column + 5) ? "" : wf_result_text(row, column + 5);
	is_in_order = claim->is_fair || claim->is_rate_limited;
	claim->stands_in_line = is_in_order && may_pass_on_line(claim);
	claim->is_limited = claim->max_running > 0 || (is_in_order && !claim->stands_in_line);
	if (!has_rate)
		return;

	claim->rate_burst_us =
		wf_interval_us(DatumGetIntervalP(wf_result_datum(row, column + 1, NULL)));
	claim->rate_interval_us = claim->rate_burst_us / wf_result_int4(row, column);
	if (claim->is_rate_limited)
		wf_claim_read_rate(claim);
}

/*
 * Waits for the row; raises lock_not_available when that takes too long.
 */
static bool
wait_for_lock(WfClaim *claim, Datum queue)
{
	int			limit = LockTimeout > 0 ? Min(LockTimeout, LOCK_WAIT_MS) : LOCK_WAIT_MS;
	int			guc_level = NewGUCNestLevel();
	uint64		found;

	(void) set_config_option("lock_timeout", psprintf("%d", limit), PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	claim->is_waiting = true;
	found = wf_plan_execute(&lock_queue_plan, &queue, NULL);
	claim->is_waiting = false;
	AtEOXact_GUC(true, guc_level);

	return found > 0;
}

/*
 * Locks the row of the queue and reads its limits as they are then.  Returns
 * false when somebody else keeps it locked, or it is paused by now.  May raise
 * lock_not_available with is_waiting set.
 */
bool
wf_claim_lock_limits(WfClaim *claim)
{
	Datum		queue = CStringGetTextDatum(claim->queue);
	bool		is_client = strcmp(claim->kind, "task") == 0;

	if (wf_plan_execute(&try_lock_queue_plan, &queue, NULL) == 0)
	{
		claim->is_contended = !is_client;
		if (!is_client || !wait_for_lock(claim, queue))
			return false;
	}
	wf_claim_read_limits(claim, 0, 1);

	return true;
}

static int
allowed_by_rate(WfClaim *claim, int wanted)
{
	double		ahead = (double) (claim->rate_next_at - claim->now);
	double		room = (claim->rate_burst_us - ahead) / claim->rate_interval_us;
	int			allowed = (int) Max(0, Min(floor(room + 1e-9), wanted));

	if (allowed < wanted)
		claim->rate_opens_at = claim->rate_next_at +
			(TimestampTz) ceil((allowed + 1) * claim->rate_interval_us - claim->rate_burst_us);

	return allowed;
}

/*
 * Whether the rate lets nothing start now, as far as the limits as they were
 * last read can tell.
 */
bool
wf_claim_rate_is_closed(WfClaim *claim)
{
	return allowed_by_rate(claim, 1) == 0;
}

static int
allowed_by_max_running(const WfClaim *claim, int wanted)
{
	Datum		values[4];
	WfRunning	running;

	wf_running_look(claim->queue, 1 << WF_RUNNING_LEASE | 1 << WF_RUNNING_SESSION, &running);
	values[0] = CStringGetTextDatum(claim->queue);
	values[1] = Int64GetDatum(claim->max_running);
	values[2] = TimestampTzGetDatum(running.lease_until);
	values[3] = TimestampTzGetDatum(running.claimed_at);
	wf_plan_execute(&running_plan, values, NULL);

	return Min(wanted, claim->max_running - (int) wf_result_int8(0, 1));
}

/*
 * Returns how many of the wanted jobs the limits allow to start now; when the
 * rate holds some back, rate_opens_at is when the next one may start.
 */
int
wf_claim_allowed(WfClaim *claim, int wanted)
{
	claim->rate_opens_at = 0;
	if (wanted > 0 && claim->is_rate_limited)
		wanted = allowed_by_rate(claim, wanted);
	if (wanted > 0 && claim->max_running > 0)
		wanted = allowed_by_max_running(claim, wanted);

	return wanted;
}
