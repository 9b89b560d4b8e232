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
	return run_step(by, false);
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
