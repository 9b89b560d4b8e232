/*
 * redrive.c
 *	  Dead letters that are taken up again in batches, at their rate.
 *
 * Which, and how, is said by sql/redrive.sql.  A step is one transaction with
 * the progress that it makes.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "utils/timestamp.h"
#include "worker/parts.h"
#include "worker/redrive.h"

/* Each one is a subtransaction. */
#define STEP_LIMIT 50

typedef struct Step
{
	bool		only_own;
	int			n;
} Step;

static void
take_some(void *argument)
{
	static WfPlan plan = {
		.name = "redrive some",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT4OID, BOOLOID},
		.sql = "SELECT workflow._redrive_some($1, $2)",
	};
	Step	   *step = argument;
	Datum		values[2] = {Int32GetDatum(STEP_LIMIT), BoolGetDatum(step->only_own)};

	wf_plan_execute(&plan, values, NULL);
	step->n = wf_result_int4(0, 1);
}

static int
run_step(const WfDispatcher *by, bool only_own)
{
	Step		step = {.only_own = only_own};
	WfFault		fault;

	return by->perform("taking up dead letters", take_some, &step, &fault) ? step.n : -1;
}

/*
 * Takes up some of what is due; returns how many, -1 when that failed.
 */
int
wf_redrive_some(const WfDispatcher *by)
{
	return wf_part_may_run(WF_PART_REDRIVES) ? wf_part_ended(WF_PART_REDRIVES, run_step(by, false)) : 0;
}

/*
 * The same, of batches that the present transaction has made.
 */
int
wf_redrive_own(const WfDispatcher *by)
{
	return run_step(by, true);
}

TimestampTz
wf_redrive_next(void)
{
	static WfPlan plan = {
		.name = "next redrive",
		.expected = SPI_OK_SELECT,
		.sql = "SELECT workflow._next_redrive()",
	};
	bool		isnull;
	Datum		next;

	wf_plan_execute(&plan, NULL, NULL);
	next = wf_result_datum(0, 1, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(next);
}

/* ---------------------------------------------------------------- retention */

static WfPlan purge_items_plan = {
	.name = "remove dead letters of old redrives",
	.expected = SPI_OK_DELETE,
	.passes = "redrive_item",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT4OID},
	.sql =
	"DELETE FROM workflow.redrive_item AS i USING ("
	"  SELECT o.redrive_id, o.place FROM workflow.redrive AS r JOIN workflow.redrive_item AS o USING (redrive_id) "
	"  WHERE r.ended_at < $1::timestamptz ORDER BY r.ended_at, o.redrive_id, o.place LIMIT $2::int4) AS old "
	"WHERE i.redrive_id = old.redrive_id AND i.place = old.place",
};

static WfPlan purge_plan = {
	.name = "remove old redrives",
	.expected = SPI_OK_SELECT,
	.passes = "redrive",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT4OID},
	.sql =
	"WITH gone AS (DELETE FROM workflow.redrive AS r USING ("
	"  SELECT o.redrive_id FROM workflow.redrive AS o WHERE o.ended_at < $1::timestamptz "
	"    AND NOT EXISTS (SELECT FROM workflow.redrive_item AS i WHERE i.redrive_id = o.redrive_id) "
	"  ORDER BY o.ended_at LIMIT $2::int4) AS old WHERE r.redrive_id = old.redrive_id RETURNING r.*) "
	"SELECT workflow._note('pg_workflow', 'purge_redrive', NULL, 'redrive:' || g.redrive_id, g.reason, "
	"  pg_catalog.to_jsonb(g) - '{redrive_id,reason,next_at}'::text[]) FROM gone AS g",
};

static WfPlan oldest_plan = {
	.name = "oldest redrive that has ended",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT min(ended_at) FROM workflow.redrive WHERE ended_at IS NOT NULL",
};

/*
 * Removes batches that ended before a time, at most so many rows; returns how
 * many.  The journal says what they were.
 */
uint64
wf_redrive_purge(TimestampTz until, int most)
{
	Datum		values[2] = {TimestampTzGetDatum(until), Int32GetDatum(most)};
	uint64		count = wf_plan_execute(&purge_items_plan, values, NULL);

	if (count < most)
		count += wf_plan_execute(&purge_plan, values, NULL);

	return count;
}

/*
 * When the first of the batches ended that there are; 0: there is none.
 */
TimestampTz
wf_redrive_oldest_end(void)
{
	bool		isnull;
	Datum		oldest;

	wf_plan_execute(&oldest_plan, NULL, NULL);
	oldest = wf_result_datum(0, 1, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(oldest);
}
