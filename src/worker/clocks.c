/*
 * clocks.c
 *	  Reviews whose clocks go on after a pause of a workflow or a queue.
 *
 * There may be many; the end of the pause leaves all but the first to this, in
 * steps that are a transaction each (sql/review_clock.sql).
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "worker/clocks.h"
#include "worker/parts.h"

#define STEP_LIMIT 500

typedef struct Step
{
	int			n;
	bool		are_left;
} Step;

static void
start_some(void *argument)
{
	static WfPlan plan = {
		.name = "count pauses",
		.expected = SPI_OK_SELECT,
		.passes = "uncounted_pause",
		.nargs = 1,
		.argtypes = {INT4OID},
		.sql = "SELECT counted, are_left FROM workflow._count_pauses($1)",
	};
	Step	   *step = argument;
	Datum		value = Int32GetDatum(STEP_LIMIT);

	wf_plan_execute(&plan, &value, NULL);
	step->n = wf_result_int4(0, 1);
	step->are_left = DatumGetBool(wf_result_datum(0, 2, NULL));
}

/*
 * Lets some go on; returns how many, -1 when that failed.  put_off: all that
 * are left are held by somebody.
 */
int
wf_clocks_start(const WfDispatcher *by, bool *put_off)
{
	Step		step = {0};
	WfFault		fault;

	if (!wf_part_may_run(WF_PART_PAUSES))
		return 0;
	if (!by->perform("counting pauses of reviews", start_some, &step, &fault))
		return wf_part_ended(WF_PART_PAUSES, -1);
	if (step.n == 0 && step.are_left)
		*put_off = true;

	return wf_part_ended(WF_PART_PAUSES, step.n);
}
