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

#define TAKE_NARGS 15
#define TAKE_TYPES \
	TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, \
	INT4OID, TIMESTAMPTZOID, BOOLOID, INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, \
	INT8OID
#define TAKE(range) \
	"WITH picked AS MATERIALIZED (" \
	"  SELECT j.job_id FROM workflow.job AS j " \
	"  WHERE j.kind = $1 AND j.queue = $2 AND j.status = 'ready' AND j.run_at <= $3 " \
	"    AND " range \
	"    AND (j.group_key IS NULL OR NOT " WF_GROUP_IS_BUSY("$15") ") " \
	"  ORDER BY j.priority, j.run_at, j.job_id " \
	"  LIMIT $4 FOR UPDATE OF j SKIP LOCKED) " \
	"UPDATE workflow.job AS j SET " \
	"  status = 'running', attempt = j.attempt + 1, worker = $5, " \
	"  token = $6 || '.' || j.job_id::text, claimed_at = $3, lease_until = $7, " \
	"  session_pid = $8, session_start = $9 " \
	"WHERE j.job_id = ANY (ARRAY(SELECT p.job_id FROM picked AS p)) " \
	"RETURNING " WF_JOB_COLUMNS ", (j.group_key IS NOT NULL OR $10) AS frees_others"

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

static int
in_order(const ListCell *a, const ListCell *b)
{
	const WfJob *left = lfirst(a);
	const WfJob *right = lfirst(b);

	if (left->priority != right->priority)
		return left->priority < right->priority ? -1 : 1;
	if (left->run_at != right->run_at)
		return left->run_at < right->run_at ? -1 : 1;

	return left->job_id < right->job_id ? -1 : 1;
}

/*
 * Picks and marks up to limit jobs of a range.
 */
static List *
mark_in_span(const WfClaim *claim, const WfReadySpan *span, int limit)
{
	bool		has_lease = claim->lease_us > 0;
	Datum		values[] = {
		CStringGetTextDatum(claim->kind), CStringGetTextDatum(claim->queue),
		TimestampTzGetDatum(claim->now), Int64GetDatum(limit),
		CStringGetTextDatum(claim->worker), CStringGetTextDatum(new_token()),
		TimestampTzGetDatum(claim->now + claim->lease_us),
		Int32GetDatum(MyProcPid), TimestampTzGetDatum(MyStartTimestamp),
		BoolGetDatum(claim->max_running > 0), Int32GetDatum(span->until_priority),
		TimestampTzGetDatum(span->until), Int32GetDatum(span->from_priority),
		TimestampTzGetDatum(span->from), Int64GetDatum(claim->grouped_from),
	};
	const char *nulls = has_lease ? "       nn      " : "      n        ";
	WfPlan	   *plan = span->from_priority == span->until_priority ?
	&take_of_priority_plan : &take_plan;
	uint64		count = wf_plan_execute(plan, values, nulls);
	List	   *jobs = NIL;

	for (uint64 i = 0; i < count; i++)
		jobs = lappend(jobs, wf_job_from_row(i));
	list_sort(jobs, in_order);

	return jobs;
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
 * Picks and marks up to limit jobs.
 */
List *
wf_claim_pick(const WfClaim *claim, int limit)
{
	WfReadySpan spans[WF_READY_PRIORITIES];
	int			n = wf_ready_spans(&claim->ready, claim->now, spans);
	List	   *jobs = NIL;

	for (int i = 0; i < n && list_length(jobs) < limit; i++)
		if (end_span(claim, &spans[i]))
			jobs = list_concat(jobs, mark_in_span(claim, &spans[i], limit - list_length(jobs)));

	return jobs;
}
