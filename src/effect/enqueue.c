/*
 * enqueue.c
 *	  The job that sends an effect that stands alone.
 *
 * One job sends an effect; a second one for the same effect is not made.  The
 * effect is locked by the caller, so its job is not waited for: where somebody
 * holds that, a second one does no harm.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan find_job_plan = {
	.name = "find job of effect",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT job_id, status IN ('waiting', 'dead') FROM workflow.job "
	"WHERE effect_id = $1::int8 AND item_id IS NULL FOR UPDATE SKIP LOCKED",
};

static WfPlan find_queue_plan = {
	.name = "find queue of calls",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.sql = "SELECT 1 FROM workflow.queue WHERE queue = 'calls'",
};

static WfPlan make_queue_plan = {
	.name = "make queue of calls",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "SELECT workflow._calls_queue($1::text)",
};

static WfPlan insert_job_plan = {
	.name = "insert job of effect",
	.expected = SPI_OK_INSERT,
	.nargs = 3,
	.argtypes = {INT8OID, TIMESTAMPTZOID, TEXTOID},
	.sql = "INSERT INTO workflow.job (queue, kind, run_at, effect_id, created_at) "
	"VALUES ($3, 'http', $2::timestamptz, $1::int8, $2::timestamptz)",
};

static WfPlan job_again_plan = {
	.name = "make job of effect ready",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID},
	.sql = "UPDATE workflow.job SET status = 'ready', run_at = $2::timestamptz, attempt = 0, "
	"waiting_on = NULL, error_class = NULL, error_message = NULL, failed_at = NULL "
	"WHERE job_id = $1::int8",
};

static void
insert_job(int64 effect_id, const char *endpoint, const char *queue)
{
	Datum		values[3] = {
		Int64GetDatum(effect_id), TimestampTzGetDatum(wf_now()), CStringGetTextDatum(queue != NULL ? queue : "calls")
	};
	Datum		name = CStringGetTextDatum(endpoint);

	if (queue == NULL && wf_plan_execute(&find_queue_plan, NULL, NULL) == 0)
		wf_plan_execute(&make_queue_plan, &name, NULL);
	wf_plan_execute(&insert_job_plan, values, NULL);
}

/*
 * The oldest of the jobs found.
 */
static uint64
oldest(uint64 found)
{
	uint64		row = 0;

	for (uint64 other = 1; other < found; other++)
		if (wf_result_int8(other, 1) < wf_result_int8(row, 1))
			row = other;

	return row;
}

/*
 * Makes, or makes ready again, the job that sends an effect; a new one in a
 * queue that there is, or, with NULL, in that of calls.
 */
void
wf_effect_enqueue(int64 effect_id, const char *endpoint, const char *queue)
{
	Datum		id = Int64GetDatum(effect_id);
	uint64		found = wf_plan_execute(&find_job_plan, &id, NULL);
	uint64		row = oldest(found);

	if (found == 0)
		insert_job(effect_id, endpoint, queue);
	else if (DatumGetBool(wf_result_datum(row, 2, NULL)))
	{
		Datum		values[2] = {
			Int64GetDatum(wf_result_int8(row, 1)), TimestampTzGetDatum(wf_now())
		};

		wf_plan_execute(&job_again_plan, values, NULL);
	}
	wf_wake_at_commit(WF_WAKE_HTTP, NULL);
}
