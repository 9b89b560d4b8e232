/*
 * deaths.c
 *	  Charging the jobs that a process died with.
 *
 * Before anybody claims again: the job must not be had by the next one before
 * it is charged and waits for its turn.
 */
#include "postgres.h"

#include "worker/dispatch.h"
#include "worker/trace.h"

typedef struct Charge
{
	const WfDeath *death;
	bool		is_done;		/* false: somebody holds the job */
} Charge;

static void
charge(void *argument)
{
	Charge	   *one = argument;

	one->is_done = wf_queue_charge_death(one->death);
}

/*
 * Charges one; false when that has to be tried again.
 */
static bool
settle(const WfDispatcher *by, const WfTrace *trace)
{
	Charge		one = {.death = &trace->death};
	WfFault		fault;

	if (by->perform("charging a lost attempt", charge, &one, &fault))
		return one.is_done;

	return !wf_fault_is_passing(&fault) &&
		wf_dispatch_bury(by, trace->death.job_id, &fault);
}

/*
 * Charges all that were left behind in this database; returns how many.
 */
int
wf_dispatch_deaths(const WfDispatcher *by, bool *put_off)
{
	int			n = 0;
	ListCell   *cell;

	foreach(cell, wf_trace_left_behind())
	{
		const WfTrace *trace = lfirst(cell);

		if (settle(by, trace))
		{
			wf_trace_remove(trace);
			n++;
		}
		else
			*put_off = true;
	}

	return n;
}

/*
 * The same, when somebody died since this process last looked.
 */
void
wf_dispatch_new_deaths(const WfDispatcher *by)
{
	static uint32 seen = 0;
	uint32		deaths = wf_registry_deaths();
	bool		put_off = false;

	if (deaths == seen)
		return;
	seen = deaths;
	(void) wf_dispatch_deaths(by, &put_off);
}
