/*
 * calls_tell.c
 *	  Outside calls: what became of an effect is told to its jobs.
 *
 * The ledger knows it already; this moves the items.  An item, a job or an
 * effect that somebody holds is tried again a moment later.  Should the process
 * end before that, the maintenance worker finds in the tables who was not told.
 */
#include "postgres.h"

#include "base/point.h"
#include "item/item.h"
#include "utils/timestamp.h"
#include "worker/calls_internal.h"
#include "worker/tell.h"

/*
 * The call could not be begun at all: the job fails by its policy.
 */
static bool
fail_job(WfCall *call)
{
	switch (wf_item_hold_job(&call->job))
	{
		case WF_HOLD_LATER:
			return false;
		case WF_HOLD_GONE:
			break;
		case WF_HOLD_GOT:
			wf_dispatch_fail(call->calls->by, &call->job, &call->fault);
			break;
	}

	return true;
}

typedef struct Attempt
{
	WfCall	   *call;
	bool		is_told;
} Attempt;

static void
try_to_fail(void *argument)
{
	Attempt    *attempt = argument;

	attempt->is_told = fail_job(attempt->call);
}

static bool
tell_failure(WfCall *call)
{
	Attempt		attempt = {.call = call};
	WfFault		fault;

	if (wf_round_try(try_to_fail, &attempt, &fault))
		return attempt.is_told;
	wf_tell_raise_cancel(call->calls->by, &fault);

	return !wf_fault_is_passing(&fault) && wf_tell_put_off(&call->job, &fault);
}

static bool
tell(WfCall *call)
{
	if (call->fault.message != NULL)
		return tell_failure(call);

	return wf_tell_jobs(call->calls->by, call->effect_id, &call->job, call->not_before,
						call->waiting_on);
}

/*
 * Calls that may be done with together.
 */
typedef struct Ends
{
	WfCall	  **calls;
	const WfJob **jobs;
	bool	   *are_ended;
	int			n;
} Ends;

static void
finish(void *argument)
{
	Ends	   *ends = argument;

	wf_queue_end_calls(ends->jobs, ends->are_ended, ends->n);
}

/*
 * Those that succeeded and have no item, and are told for the first time.
 */
static Ends *
choose_ends(WfCalls *calls)
{
	int			size = calls->nstage[WF_CALL_SETTLED];
	Ends	   *ends = palloc0(sizeof(Ends));
	dlist_iter	iter;

	ends->calls = palloc(sizeof(WfCall *) * size);
	ends->jobs = palloc(sizeof(WfJob *) * size);
	ends->are_ended = palloc(sizeof(bool) * size);
	dlist_foreach(iter, &calls->stages[WF_CALL_SETTLED])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		if (call->has_succeeded && call->job.item_id == 0 && call->failures == 0)
		{
			ends->jobs[ends->n] = &call->job;
			ends->calls[ends->n++] = call;
		}
	}

	return ends;
}

/*
 * Ends as many as it can at once.  Those that are left, and all of them when
 * that failed, are told one by one.
 */
void
wf_calls_end_together(WfCalls *calls)
{
	Ends	   *ends = choose_ends(calls);
	WfFault		fault;

	if (ends->n == 0)
		return;
	calls->telling = ends->calls[0];
	if (!wf_round_try(finish, ends, &fault))
		wf_tell_raise_cancel(calls->by, &fault);
	else
		for (int i = 0; i < ends->n; i++)
			if (ends->are_ended[i])
				wf_call_move(ends->calls[i], WF_CALL_TOLD);
}

static void
tell_batch(void *argument)
{
	WfCalls    *calls = argument;
	int			room = calls->tell_alone > 0 ? 1 : WF_CALLS_MAX_TELL;
	TimestampTz now = GetCurrentTimestamp();
	dlist_mutable_iter iter;

	wf_tell_limit_waits();
	WF_POINT(tell_begun);
	if (calls->tell_alone == 0)
		wf_calls_end_together(calls);
	WF_POINT(jobs_finished);
	dlist_foreach_modify(iter, &calls->stages[WF_CALL_SETTLED])
	{
		WfCall	   *call = dlist_container(WfCall, node, iter.cur);

		if (call->retry_at > now)
			continue;
		if (room-- == 0)
			break;
		if (calls->telling == NULL)
			calls->telling = call;
		if (tell(call))
			wf_call_move(call, WF_CALL_TOLD);
		else
			wf_call_put_off(call, WF_CALL_SETTLED);
		WF_POINT(job_told);
	}
}

typedef struct PutOff
{
	const WfJob *job;
	const WfFault *fault;
	bool		is_done;
} PutOff;

static void
put_off_job(void *argument)
{
	PutOff	   *put_off = argument;

	wf_tell_limit_waits();
	put_off->is_done = wf_tell_put_off(put_off->job, put_off->fault);
}

/*
 * A call that is told alone fails at the commit: its job waits and says why.
 */
static void
end_alone(WfCalls *calls, const WfFault *fault)
{
	PutOff		put_off = {&calls->telling->job, fault};
	WfFault		ignored;

	if (!wf_fault_is_passing(fault) &&
		calls->by->perform("putting a job off", put_off_job, &put_off, &ignored) &&
		put_off.is_done)
		wf_call_forget(calls->telling);
	else
		wf_call_put_off(calls->telling, WF_CALL_SETTLED);
}

/*
 * Not even looking for the jobs worked.
 */
static void
put_off_all(WfCalls *calls)
{
	dlist_iter	iter;

	dlist_foreach(iter, &calls->stages[WF_CALL_SETTLED])
		wf_call_put_off(dlist_container(WfCall, node, iter.cur), WF_CALL_SETTLED);
	calls->has_failed = true;
}

static void
recover(WfCalls *calls, bool alone, const WfFault *fault)
{
	wf_calls_undo(calls);
	if (calls->telling == NULL)
		put_off_all(calls);
	else if (!alone)
		calls->tell_alone = WF_CALLS_MAX_TELL;
	else
		end_alone(calls, fault);
}

/*
 * Tells what is due; returns how many were told.
 */
int
wf_calls_tell_all(WfCalls *calls)
{
	int			before = calls->nstage[WF_CALL_SETTLED];

	while (wf_calls_is_due(calls, WF_CALL_SETTLED))
	{
		WfFault		fault;
		bool		alone = calls->tell_alone > 0;

		calls->telling = NULL;
		if (calls->by->perform("telling jobs of their effects", tell_batch, calls, &fault))
		{
			WF_POINT(tell_committed);
			wf_calls_keep(calls);
		}
		else
			recover(calls, alone, &fault);
		if (alone)
			calls->tell_alone--;
	}

	return before - calls->nstage[WF_CALL_SETTLED];
}
