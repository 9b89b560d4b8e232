/*
 * pick.c
 *	  Picking ready jobs and marking them as running.
 *
 * A statement for each priority picks and marks them: FOR UPDATE SKIP LOCKED lets concurrent
 * claims share a queue without waiting for each other, and the materialized
 * CTE keeps the planner from running the pick twice.  What was picked reaches
 * the UPDATE as an array, for which the planner always chooses the primary key.
 *
 * Where low-water marks are known, a statement begins at one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define TOKEN_BYTES 16

/* The most further arguments of a plan. */
#define MARK_MORE 5

#define TAKE_NARGS (WF_MARK_NARGS + 5)
#define TAKE_TYPES \
	WF_MARK_TYPES, INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT8OID
#define TAKE(range) \
	"WITH picked AS MATERIALIZED (" \
	"  SELECT j.job_id FROM workflow.job AS j " \
	"  WHERE j.kind = $1 AND j.queue = $2 AND j.status = 'ready' AND NOT j.behind AND j.run_at <= $3 " \
	"    AND " range \
	"    AND (j.group_key IS NULL OR NOT " WF_GROUP_IS_BUSY("$15") ") " \
	"  ORDER BY j.priority, j.run_at, j.job_id " \
	"  LIMIT $4 FOR UPDATE OF j SKIP LOCKED) " \
	WF_MARK_PICKED

static WfPlan take_plan = {
	.name = "claim",
	.expected = SPI_OK_UPDATE_RETURNING,
	.by_index = true,
	.nargs = TAKE_NARGS,
	.argtypes = {TAKE_TYPES},
	.sql = TAKE("(j.priority, j.run_at) >= ($13, $14) AND (j.priority, j.run_at) <= ($11, $12) "),
};

/* Of one priority: this scan ends where the delayed jobs begin. */
static WfPlan take_of_priority_plan = {
	.name = "claim_of_priority",
	.expected = SPI_OK_UPDATE_RETURNING,
	.by_index = true,
	.nargs = TAKE_NARGS,
	.argtypes = {TAKE_TYPES},
	.sql = TAKE("j.priority = $13 AND j.run_at >= $14 AND j.run_at <= $12 "),
};

/*
 * Returns a new random token, in hexadecimal digits.
 */
static char *
new_token(void)
{
	uint8		bytes[TOKEN_BYTES];
	char	   *token = palloc(TOKEN_BYTES * 2 + 1);

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a random token"),
				 errdetail("The operating system gave no random numbers."),
				 errhint("Try again.")));
	for (int i = 0; i < TOKEN_BYTES; i++)
		snprintf(token + 2 * i, 3, "%02x", bytes[i]);

	return token;
}

/*
 * Picks and marks up to limit jobs by a plan that ends with WF_MARK_PICKED; what
 * else it picks by are its further arguments.
 */
List *
wf_claim_mark(WfPlan *plan, const WfClaim *claim, int limit, const Datum *more)
{
	bool		has_lease = claim->lease_us > 0;
	Datum		values[WF_MARK_NARGS + MARK_MORE] = {
		CStringGetTextDatum(claim->kind), CStringGetTextDatum(claim->queue),
		TimestampTzGetDatum(claim->now), Int64GetDatum(limit),
		CStringGetTextDatum(claim->worker), CStringGetTextDatum(new_token()),
		TimestampTzGetDatum(claim->now + claim->lease_us),
		Int32GetDatum(MyProcPid), TimestampTzGetDatum(MyStartTimestamp),
		BoolGetDatum(claim->max_running > 0),
	};
	const char *nulls = has_lease ? "       nn      " : "      n        ";
	List	   *jobs = NIL;
	uint64		count;

	Assert(plan->nargs <= lengthof(values));
	memcpy(values + WF_MARK_NARGS, more, sizeof(Datum) * (plan->nargs - WF_MARK_NARGS));
	count = wf_plan_execute(plan, values, nulls);
	for (uint64 i = 0; i < count; i++)
		jobs = lappend(jobs, wf_job_from_row(i));
	wf_claim_sort(jobs);

	return jobs;
}

/*
 * Picks and marks up to limit jobs of a range.
 */
static List *
mark_in_span(const WfClaim *claim, const WfReadySpan *span, int limit)
{
	Datum		more[] = {
		Int32GetDatum(span->until_priority), TimestampTzGetDatum(span->until),
		Int32GetDatum(span->from_priority), TimestampTzGetDatum(span->from),
		Int64GetDatum(claim->grouped_from)
	};

	return wf_claim_mark(span->from_priority == span->until_priority ? &take_of_priority_plan :
						 &take_plan, claim, limit, more);
}

/*
 * Lets a range end where the claim does; false when nothing is left of it.
 */
static bool
end_span(const WfClaim *claim, WfReadySpan *span)
{
	if (claim->until_run_at == 0 || span->until_priority < claim->until_priority)
		return true;
	if (span->from_priority > claim->until_priority)
		return false;
	span->until = span->until_priority > claim->until_priority ? claim->until_run_at :
		Min(span->until, claim->until_run_at);
	span->until_priority = claim->until_priority;

	return true;
}

/*
 * Picks and marks up to limit jobs in the order of their priorities.
 */
static List *
pick_in_order(const WfClaim *claim, int limit)
{
	WfReadySpan spans[WF_READY_PRIORITIES];
	int			n = wf_ready_spans(&claim->ready, claim->now, spans);
	List	   *jobs = NIL;

	for (int i = 0; i < n && list_length(jobs) < limit; i++)
		if (end_span(claim, &spans[i]))
			jobs = list_concat(jobs, mark_in_span(claim, &spans[i], limit - list_length(jobs)));

	return jobs;
}

/*
 * Picks and marks up to limit jobs, in the order in which they are handed out.
 */
List *
wf_claim_pick(WfClaim *claim, int limit)
{
	List	   *jobs;

	if (!claim->is_fair)
		return pick_in_order(claim, limit);
	jobs = wf_claim_mark_fair(claim, limit);
	wf_claim_sort(jobs);

	return jobs;
}
