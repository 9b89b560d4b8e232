/*
 * spent.c
 *	  Keys of jobs that have succeeded, while the key_window of their queue
 *	  lasts.
 *
 * The end of a job moves its key from its row to a table of spent keys, in one
 * statement.  Who stores a job under the key looks there before, and once more
 * after: the key of a job that was just ending was free only when its end was
 * committed, and then the second look sees it, whatever the snapshot of the
 * transaction.
 */
#include "postgres.h"

#include "base/clock.h"
#include "catalog/pg_type.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Most keys that are forgotten at once. */
#define SWEEP_LIMIT 1000

static WfPlan find_plan = {
	.name = "find_spent_key",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID},
	.sql =
	"SELECT s.job_id FROM workflow.spent_key AS s "
	"WHERE s.queue = $1 AND s.key = $2 AND s.until > $3",
};

static WfPlan take_back_plan = {
	.name = "take_back_job",
	.expected = SPI_OK_DELETE,
	.passes = "job",
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "DELETE FROM workflow.job WHERE job_id = $1",
};

static WfPlan sweep_plan = {
	.name = "forget_spent_keys",
	.expected = SPI_OK_DELETE,
	.passes = "spent_key",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT8OID},
	.sql =
	"DELETE FROM workflow.spent_key AS s WHERE (s.queue, s.key) IN ("
	"  SELECT o.queue, o.key FROM workflow.spent_key AS o WHERE o.until <= $1 "
	"  ORDER BY o.until LIMIT $2 FOR UPDATE SKIP LOCKED)",
};

static WfPlan next_plan = {
	.name = "next_spent_key",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT s.until FROM workflow.spent_key AS s ORDER BY s.until LIMIT 1",
};

/*
 * The job that the key was of, if its window lasts; else 0.
 */
int64
wf_spent_find(const char *queue, const char *key)
{
	Datum		values[] = {
		CStringGetTextDatum(queue), CStringGetTextDatum(key), TimestampTzGetDatum(wf_now())
	};
	WfQueueFacts *facts = wf_queue_facts(queue);
	int64		job_id;

	if (facts != NULL && facts->key_window_us == 0)
		return 0;
	PushActiveSnapshot(GetLatestSnapshot());
	job_id = wf_plan_execute(&find_plan, values, NULL) == 0 ? 0 : wf_result_int8(0, 1);
	PopActiveSnapshot();

	return job_id;
}

/*
 * Takes back a job that was just stored, if its key turns out to be spent;
 * *job_id is then the job that is to be named.
 */
bool
wf_spent_judge(int64 *job_id, const char *queue, const char *key)
{
	int64		spent = wf_spent_find(queue, key);
	Datum		value = Int64GetDatum(*job_id);

	if (spent == 0)
		return false;
	wf_plan_execute(&take_back_plan, &value, NULL);
	*job_id = spent;

	return true;
}

/*
 * Whether the key of a job that ends now is to be kept.  The maintenance worker
 * knows of a key to forget from the first one on, and looks for more each time.
 */
bool
wf_spent_keeps(const char *queue)
{
	static TimestampTz known_until = 0;
	WfQueueFacts *facts = wf_queue_facts(queue);
	TimestampTz now = GetCurrentTimestamp();

	if (facts != NULL && facts->key_window_us == 0)
		return false;
	if (now >= known_until)
	{
		known_until = facts == NULL ? now : now + facts->key_window_us;
		wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
	}

	return true;
}

/*
 * Forgets keys whose window has ended; returns when to do so again, infinity
 * when there are none.
 */
TimestampTz
wf_spent_sweep(void)
{
	TimestampTz now = wf_now();
	Datum		values[] = {TimestampTzGetDatum(now), Int64GetDatum(SWEEP_LIMIT)};

	if (wf_plan_execute(&sweep_plan, values, NULL) == SWEEP_LIMIT)
		return now;
	if (wf_plan_execute(&next_plan, NULL, NULL) == 0)
		return DT_NOEND;

	/* what has ended, and is still there, is held by somebody */
	return Max(DatumGetTimestampTz(wf_result_datum(0, 1, NULL)), now + USECS_PER_SEC);
}
