/*
 * dispatch.c
 *	  What is due, done: sql activities and timers.
 *
 * A batch of sql activities is one transaction: the jobs are claimed in it, so
 * that a crash gives all of them back, and each runs in a subtransaction, so
 * that a failed one costs itself only.  After a deadlock or a serialization
 * failure, which may be the batch's own doing, the batch is rolled back and
 * its jobs run again one by one.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/effect.h"
#include "item/item.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "retry/policy.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/json.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "worker/dispatch.h"
#include "worker/parts.h"
#include "worker/tell.h"
#include "worker/trace.h"

#define MAX_BATCH 60			/* more subtransactions overflow a cache of
								 * the server */
#define BATCH_MS 20
#define CANCEL_AGAIN_MS 1000	/* for an activity that caught the first one */
#define MAX_CANCELS 5			/* for one that catches them all */
#define TIMER_LIMIT 50

typedef struct SqlBatch
{
	const WfDispatcher *by;
	int			limit;
	bool		alone;
	int			nclaimed;
	int64		first_job_id;
} SqlBatch;

typedef struct Activity
{
	const WfDispatcher *by;
	WfJob	   *job;
	const WfFault *fault;		/* that it raised */
} Activity;

static TimeoutId activity_timeout;
static bool timeout_registered = false;
static volatile sig_atomic_t activity_timed_out = false;
static volatile sig_atomic_t activity_cancels = 0;
static volatile sig_atomic_t may_end_process = false;

/*
 * Makes a dispatcher for a background worker, in the current memory context.
 */
WfDispatcher *
wf_dispatcher(const char *actor)
{
	WfDispatcher *by = palloc0(sizeof(WfDispatcher));

	by->actor = actor;
	by->worker = psprintf("%s %d", actor, MyProcPid);
	by->perform = wf_round_run;

	return by;
}

/*
 * What a fault says beside its message, for an attempt.
 */
Jsonb *
wf_fault_detail(const WfFault *fault)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"sqlstate\": \"%s\"", unpack_sql_state(fault->sqlstate));
	if (fault->detail != NULL)
	{
		appendStringInfoString(&json, ", \"detail\": ");
		escape_json(&json, fault->detail);
	}
	if (fault->context != NULL)
	{
		appendStringInfoString(&json, ", \"context\": ");
		escape_json(&json, fault->context);
	}
	appendStringInfoChar(&json, '}');

	return wf_jsonb_from_cstring(json.data);
}

/*
 * Records that a job's activity raised an error.
 */
void
wf_dispatch_fail(const WfDispatcher *by, const WfJob *job, const WfFault *fault)
{
	wf_item_fail_job(job, wf_classify_sqlstate(fault->sqlstate), fault->message, -1,
					 wf_fault_detail(fault), by->actor);
}

/*
 * An activity that catches every interrupt ends with the worker, which nobody
 * can catch; a session is not ours to end.
 */
static void
interrupt_activity(void)
{
	activity_timed_out = true;
	activity_cancels++;
	InterruptPending = true;
	QueryCancelPending = true;
	if (may_end_process && activity_cancels > MAX_CANCELS)
	{
		wf_trace_note_timeout();
		ProcDiePending = true;
	}
	SetLatch(MyLatch);
}

static void
start_timeout(Jsonb *policy)
{
	int64		timeout_us = wf_policy_from_jsonb(policy, NULL)->timeout_us;

	if (!timeout_registered)
	{
		activity_timeout = RegisterTimeout(USER_TIMEOUT, interrupt_activity);
		timeout_registered = true;
	}
	if (timeout_us > 0)
		enable_timeout_every(activity_timeout, GetCurrentTimestamp() + timeout_us,
							 CANCEL_AGAIN_MS);
}

/*
 * What comes too late to interrupt the activity must not interrupt what follows.
 */
static void
stop_timeout(void)
{
	if (!timeout_registered)
		return;
	disable_timeout(activity_timeout, false);
	if (activity_timed_out)
		QueryCancelPending = false;
}

/*
 * The time limit ends with the activity, before the end of its subtransaction.
 */
static void
run_activity(void *argument)
{
	Activity   *activity = argument;

	activity_timed_out = false;
	activity_cancels = 0;
	may_end_process = !activity->by->in_session;
	PG_TRY();
	{
		wf_item_run_sql(activity->job, activity->by->actor, start_timeout);
	}
	PG_CATCH();
	{
		stop_timeout();
		PG_RE_THROW();
	}
	PG_END_TRY();
	stop_timeout();
}

static void
fail_activity(void *argument)
{
	Activity   *activity = argument;

	wf_dispatch_fail(activity->by, activity->job, activity->fault);
}

static bool
was_cancelled(const WfFault *fault)
{
	return fault->sqlstate == ERRCODE_QUERY_CANCELED && !activity_timed_out;
}

static void
raise_again(const WfFault *fault)
{
	ereport(ERROR,
			(errcode(fault->sqlstate),
			 errmsg("%s", fault->message),
			 fault->detail == NULL ? 0 : errdetail("%s", fault->detail)));
}

/*
 * Why a job is a dead letter whose end could not be recorded.
 */
static void
bury(const WfJob *job, const WfFault *fault)
{
	wf_queue_bury(job, NULL, "permanent",
				  psprintf("the end of the job could not be recorded: %s", fault->message),
				  wf_fault_detail(fault));
}

/*
 * Runs a claimed sql job in a subtransaction and records how it ended, which
 * is at least that nothing else could be recorded.  Raises only what is not
 * the activity's fault: a conflict when there are others in the transaction,
 * or the user's own cancel.
 */
static void
run_job(const WfDispatcher *by, WfJob *job, bool alone)
{
	Activity	activity = {.by = by,.job = job};
	WfFault		fault;
	WfFault		failing;

	if (wf_round_try(run_activity, &activity, &fault))
		return;
	if ((by->in_session && was_cancelled(&fault)) || (!alone && wf_fault_is_conflict(&fault)))
		raise_again(&fault);
	if (activity_timed_out && fault.sqlstate == ERRCODE_QUERY_CANCELED)
		fault.message = "the activity took longer than its policy's timeout";

	activity.fault = &fault;
	if (wf_round_try(fail_activity, &activity, &failing))
		return;
	if (wf_fault_is_passing(&failing))
		raise_again(&failing);
	bury(job, &failing);
}

/*
 * The same for one job in the caller's transaction, with nobody else in it
 * to blame.
 */
void
wf_dispatch_sql_job(const WfDispatcher *by, WfJob *job)
{
	run_job(by, job, true);
}

/*
 * The same with a trace, in case it brings the process down.  A job that only
 * raises has not: the trace goes, whoever the error is for.
 */
static void
run_traced(const SqlBatch *batch, WfJob *job)
{
	wf_trace_begin(job);
	PG_TRY();
	{
		run_job(batch->by, job, batch->alone);
	}
	PG_FINALLY();
	{
		wf_trace_end();
	}
	PG_END_TRY();
}

static bool
time_is_up(TimestampTz started_at)
{
	return TimestampDifferenceExceeds(started_at, GetCurrentTimestamp(), BATCH_MS);
}

/*
 * Gives back what there was no time for.  One of the activities may have paused
 * the item of another one.
 */
static void
give_back(List *jobs)
{
	List	   *unpaused = NIL;
	ListCell   *cell;

	foreach(cell, jobs)
	{
		WfJob	   *job = lfirst(cell);

		if (wf_item_is_paused(job->item_id))
			wf_queue_release(job, wf_now(), NULL);
		else
			unpaused = lappend(unpaused, job);
	}
	if (unpaused != NIL)
		wf_queue_put_back(unpaused, NULL);
}

static void
run_batch(void *argument)
{
	SqlBatch   *batch = argument;
	TimestampTz started_at = GetCurrentTimestamp();
	List	   *jobs = wf_queue_claim_kind("sql", batch->by->worker, batch->limit);
	List	   *uncharged = jobs == NIL ? NIL : wf_dispatch_uncharged();
	List	   *left = NIL;
	ListCell   *cell;

	batch->nclaimed = list_length(jobs);
	if (jobs != NIL)
		batch->first_job_id = ((WfJob *) linitial(jobs))->job_id;
	foreach(cell, jobs)
	{
		WfJob	   *job = lfirst(cell);

		if (foreach_current_index(cell) > 0 && time_is_up(started_at))
		{
			left = lappend(left, job);
			continue;
		}
		if (wf_dispatch_charge_claimed(uncharged, job))
			continue;
		run_traced(batch, job);
		if (!batch->by->in_session)
			LockReleaseSession(USER_LOCKMETHOD);	/* advisory locks */
	}
	give_back(left);
}

typedef struct Burial
{
	int64		job_id;
	const WfFault *fault;
} Burial;

static void
bury_job(void *argument)
{
	Burial	   *burial = argument;
	WfJob	   *job;

	wf_tell_limit_waits();
	job = wf_queue_lock(burial->job_id);
	if (job != NULL)
		bury(job, burial->fault);
}

bool
wf_dispatch_bury(const WfDispatcher *by, int64 job_id, const WfFault *fault)
{
	Burial		burial = {job_id, fault};
	WfFault		ignored;

	return by->perform("burying a job", bury_job, &burial, &ignored);
}

/*
 * As many as take the time of a batch, as far as the last one tells.
 */
static int
next_limit(const SqlBatch *batch, TimestampTz started_at)
{
	long		ms = TimestampDifferenceMilliseconds(started_at, GetCurrentTimestamp());

	if (batch->nclaimed < batch->limit)
		return MAX_BATCH;
	if (ms <= 1)
		return Min(MAX_BATCH, batch->limit * 2);

	return Max(1, Min(MAX_BATCH, batch->nclaimed * BATCH_MS / (int) Min(ms, 1000000)));
}

/*
 * Runs a batch of sql activities.  Returns how many jobs it took: 0 when none
 * is ready, -1 when not even looking worked.
 */
int
wf_dispatch_sql(const WfDispatcher *by, WfSqlPace *pace)
{
	TimestampTz started_at = GetCurrentTimestamp();
	SqlBatch	batch = {.by = by};
	WfFault		fault;

	batch.alone = pace->alone > 0;
	batch.limit = batch.alone ? 1 : (pace->limit > 0 ? pace->limit : MAX_BATCH);

	if (by->perform("running sql activities", run_batch, &batch, &fault))
	{
		if (batch.alone)
			pace->alone = batch.nclaimed > 0 ? pace->alone - 1 : 0;
		else
			pace->limit = next_limit(&batch, started_at);
		return batch.nclaimed;
	}

	if (batch.nclaimed == 0)
		return -1;
	if (!batch.alone)
		pace->alone = batch.nclaimed;
	else if (wf_fault_is_conflict(&fault))
		return batch.nclaimed;
	else if (wf_fault_is_passing(&fault) || !wf_dispatch_bury(by, batch.first_job_id, &fault))
		return -1;

	return batch.nclaimed;
}

typedef struct Count
{
	const WfDispatcher *by;
	int			limit;
	int			n;
} Count;

static void
fire_timers(void *argument)
{
	Count	   *count = argument;

	count->n = wf_item_fire_timers(count->limit, count->by->actor);
}

static int
try_timers(const WfDispatcher *by)
{
	Count		count = {.by = by,.limit = TIMER_LIMIT};
	WfFault		fault;

	if (by->perform("firing timers", fire_timers, &count, &fault))
		return count.n;
	count.limit = 1;
	count.n = 0;
	if (by->perform("firing one timer", fire_timers, &count, &fault))
		return count.n;

	return -1;
}

/*
 * Fires timers that are due; returns how many, -1 when that failed.
 */
int
wf_dispatch_timers(const WfDispatcher *by)
{
	return wf_part_may_run(WF_PART_TIMERS) ? wf_part_ended(WF_PART_TIMERS, try_timers(by)) : 0;
}

typedef struct Ends
{
	int			n;
	bool		put_off;
} Ends;

static void
count_ends(void *argument)
{
	Ends	   *ends = argument;

	ends->n = wf_item_count_ends(false, &ends->put_off);
}

/*
 * Counts children that have ended; returns how many, -1 when that failed.
 */
int
wf_dispatch_ends(const WfDispatcher *by, bool *put_off)
{
	Ends		ends = {0};
	WfFault		fault;

	if (!wf_part_may_run(WF_PART_ENDS))
		return 0;
	if (!by->perform("counting ended children", count_ends, &ends, &fault))
		return wf_part_ended(WF_PART_ENDS, -1);
	*put_off |= ends.put_off;

	return wf_part_ended(WF_PART_ENDS, ends.n);
}
