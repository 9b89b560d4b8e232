/*
 * sql_worker.c
 *	  The worker that runs sql activities.
 *
 * It registers for wake-ups, then takes batch after batch until nothing is
 * ready, and sleeps until woken or until the next job is due.  Idle for long,
 * it ends; the maintenance worker starts another when there is work.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/wake.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"
#include "worker/dispatch.h"
#include "worker/mains.h"
#include "worker/share.h"
#include "worker/trace.h"

#define BUSY_MS 500				/* then another worker may help */

typedef struct Rest
{
	TimestampTz idle_since;
	TimestampTz next_due;		/* 0: nothing is planned */
	int			fruitless;		/* looks in a row that found what is due not
								 * ready */
} Rest;

static void
look_ahead(void *argument)
{
	Rest	   *rest = argument;

	rest->next_due = wf_queue_next_due("sql");
}

/*
 * How long to sleep.  What is due but cannot be had (a paused queue, a rate
 * limit) is looked for again, less and less often.
 */
static long
time_to_sleep(Rest *rest, TimestampTz leave_at)
{
	long		until_leave = wf_ms_until(leave_at, -1);

	if (rest->next_due == 0)
		return until_leave;
	if (rest->next_due > GetCurrentTimestamp())
	{
		rest->fruitless = 0;
		return wf_ms_until(rest->next_due, until_leave);
	}
	rest->fruitless = Min(rest->fruitless + 1, 7);

	return Min(until_leave, 50L << rest->fruitless);
}

/*
 * Ends this worker.  Work that is committed after the registration ended
 * wakes the maintenance worker, which starts another one.
 */
static void
leave(void)
{
	wf_wake_unlisten();
	proc_exit(0);
}

/*
 * Runs batches until nothing is ready; returns whether there was anything.
 */
static bool
run_batches(const WfDispatcher *by, WfSqlPace *pace)
{
	TimestampTz begun_at = GetCurrentTimestamp();
	bool		any = false;
	int			taken;

	wf_dispatch_new_deaths(by);
	while ((taken = wf_dispatch_sql(by, pace)) > 0)
	{
		any = true;
		wf_dispatch_new_deaths(by);
		if (TimestampDifferenceExceeds(begun_at, GetCurrentTimestamp(), BUSY_MS))
			wf_registry_want_help(true);
		CHECK_FOR_INTERRUPTS();
		wf_worker_reload();
		if (wf_share_had_its_turn())
			leave();
	}
	wf_registry_want_help(false);
	if (taken < 0)
	{
		wf_worker_leave_if_dropped();
		wf_worker_sleep(1000, "waiting after an error");
	}

	return any;
}

/*
 * Whether another database needs the process more.
 */
static bool
may_be_spared(const Rest *rest)
{
	TimestampTz now = GetCurrentTimestamp();

	return (rest->next_due == 0 || rest->next_due > now) &&
		TimestampDifferenceExceeds(rest->idle_since, now, WF_SPARE_MS) && wf_registry_may_yield();
}

void
wf_sql_main(Datum main_arg)
{
	WfWorkerSlot me;
	WfDispatcher *by;
	WfSqlPace	pace = {0};
	Rest		rest = {0};

	wf_worker_begin(main_arg, &me);
	wf_trace_take_no_blame();
	by = wf_dispatcher("pg_workflow sql");
	wf_wake_listen(WF_WAKE_SQL, NULL);
	wf_registry_ready();
	rest.idle_since = GetCurrentTimestamp();

	for (;;)
	{
		WfFault		fault;
		TimestampTz leave_at;

		wf_worker_turn();
		if (run_batches(by, &pace))
			rest.idle_since = GetCurrentTimestamp();
		leave_at = TimestampTzPlusMilliseconds(rest.idle_since, wf_worker_idle_timeout_ms);
		if (GetCurrentTimestamp() >= leave_at)
			leave();
		(void) wf_round_run("looking for what is due", look_ahead, &rest, &fault);
		if (may_be_spared(&rest))
			leave();
		wf_worker_sleep(time_to_sleep(&rest, leave_at), "waiting for sql activities");
	}
}
