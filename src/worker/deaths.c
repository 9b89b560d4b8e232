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

/* Jobs that refused to be charged, and to become dead letters. */
static WfAside refused = {0};

/*
 * Charges one; false when that has to be tried again.
 */
static bool
settle(const WfDispatcher *by, const WfTrace *trace)
{
	int64		job_id = trace->death.job_id;
	Charge		one = {.death = &trace->death};
	WfFault		fault;

	if (wf_aside_has(&refused, job_id))
		return false;
	if (by->perform("charging a lost attempt", charge, &one, &fault))
		return one.is_done;
	if (wf_fault_is_passing(&fault))
		return false;
	if (wf_dispatch_bury(by, job_id, &fault))
		return true;
	wf_aside_put(&refused, job_id, WF_REFUSED_US);

	return false;
}

/* What this process has seen charged, of the deaths so far. */
static bool has_seen = false;
static uint32 seen;

/*
 * Charges all that were left behind in this database; returns how many.
 */
int
wf_dispatch_deaths(const WfDispatcher *by, bool *put_off)
{
	uint32		deaths = wf_registry_deaths();
	bool		waits = false;
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
			waits = true;
	}
	has_seen = !waits;
	seen = deaths;
	*put_off |= waits;

	return n;
}

static bool
may_be_uncharged(void)
{
	return !has_seen || wf_registry_deaths() != seen;
}

/*
 * The same, when somebody died since this process last saw all charged.
 */
void
wf_dispatch_new_deaths(const WfDispatcher *by)
{
	bool		put_off = false;

	if (may_be_uncharged())
		(void) wf_dispatch_deaths(by, &put_off);
}

/*
 * The deaths that are not charged yet, for who has just claimed jobs: a List of
 * WfTrace *.  A process says that it dies before it gives its jobs back.
 */
List *
wf_dispatch_uncharged(void)
{
	return may_be_uncharged() ? wf_trace_left_behind() : NIL;
}

/*
 * Charges a job that was claimed before its charge, instead of running it;
 * returns whether it was one.
 */
bool
wf_dispatch_charge_claimed(const List *uncharged, const WfJob *job)
{
	ListCell   *cell;

	foreach(cell, uncharged)
	{
		const WfDeath *death = &((WfTrace *) lfirst(cell))->death;

		if (death->job_id != job->job_id || death->attempt != job->attempt)
			continue;
		wf_queue_charge_claimed(job, death);
		return true;
	}

	return false;
}
