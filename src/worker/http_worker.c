/*
 * http_worker.c
 *	  The worker that carries out calls to the outside.
 *
 * One thread, one event loop: it sleeps until its latch is set, until
 * libcurl's descriptor is readable, or until the next thing is due.  Asked to
 * end, it claims no more, takes back what has not been sent, records what has
 * finished and goes; what is under way then becomes unknown when its sender is
 * found to be gone.
 */
#include "postgres.h"

#include <malloc.h>

#include "base/config.h"
#include "base/point.h"
#include "base/wake.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "worker/calls.h"
#include "worker/mains.h"
#include "worker/share.h"

/* So long a transaction may take that goes on when this process is asked to end. */
#define LAST_MS 1000

static volatile sig_atomic_t in_round = false;
static volatile sig_atomic_t in_record = false;
static volatile sig_atomic_t end_requested = false;
static TimeoutId last_timeout;
static int	last_said = -1;		/* calls under way, in what others see of us */

/*
 * Inside a transaction the server's own handling applies, which ends waits for
 * locks too; between transactions the loop sees the request.  What came back
 * from outside is recorded before: nobody else knows it.
 */
static void
on_sigterm(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	end_requested = true;
	if (in_round && !in_record)
		die(postgres_signal_arg);
	else
		SetLatch(MyLatch);
	errno = saved_errno;
}

static bool
run_round(const char *doing, WfStep step, void *argument, WfFault *fault)
{
	bool		ok;

	in_round = true;
	if (in_record || end_requested)
		enable_timeout_after(last_timeout, LAST_MS);
	ok = wf_round_run(doing, step, argument, fault);
	disable_timeout(last_timeout, false);
	in_round = false;
	last_said = -1;

	return ok;
}

static void
on_last_timeout(void)
{
	in_record = false;
	if (end_requested)
		die(SIGTERM);
}

static bool
run_record(const char *doing, WfStep step, void *argument, WfFault *fault)
{
	bool		ok;

	in_record = true;
	ok = run_round(doing, step, argument, fault);
	in_record = false;

	return ok;
}

static bool
is_ending(void)
{
	return end_requested;
}

static void
say_what_is_under_way(const WfCalls *calls)
{
	int			n = wf_calls_under_way(calls);

	if (n == last_said)
		return;
	last_said = n;
	wf_worker_idle(n == 0 ? "waiting for calls to make" :
				   psprintf("waiting for %d calls under way", n));
}

static void
end(WfCalls *calls)
{
	WF_POINT(worker_ending);
	wf_wake_unlisten();
	wf_calls_finish(calls);
	wf_calls_close(calls);
	proc_exit(0);
}

static bool
is_idle_for_long(const WfCalls *calls, TimestampTz idle_since)
{
	return wf_calls_under_way(calls) == 0 &&
		TimestampDifferenceExceeds(idle_since, GetCurrentTimestamp(),
								   wf_worker_idle_timeout_ms);
}

/*
 * Whether another database needs the process more than this one, which has nothing
 * to do.
 */
static bool
may_be_spared(const WfCalls *calls, TimestampTz idle_since)
{
	return wf_calls_under_way(calls) == 0 &&
		TimestampDifferenceExceeds(idle_since, GetCurrentTimestamp(), WF_SPARE_MS) &&
		wf_registry_may_yield();
}

static void
work(WfCalls *calls)
{
	TimestampTz idle_since = GetCurrentTimestamp();
	bool		is_leaving = false;

	while (!end_requested)
	{
		wf_worker_turn();
		wf_worker_reload();
		if (wf_calls_turn(calls) > 0 || wf_calls_under_way(calls) > 0)
			idle_since = GetCurrentTimestamp();
		if (is_idle_for_long(calls, idle_since) || may_be_spared(calls, idle_since))
			break;
		if (!is_leaving && wf_share_had_its_turn())
		{
			is_leaving = true;
			wf_calls_stop_claiming(calls);
		}
		if (is_leaving && wf_calls_under_way(calls) == 0)
			break;
		say_what_is_under_way(calls);
		if (wf_calls_has_failed(calls))
			wf_worker_leave_if_dropped();
		wf_calls_wait(calls, wf_ms_until(TimestampTzPlusMilliseconds(idle_since,
																	 wf_worker_idle_timeout_ms),
										 -1));
	}
}

/*
 * Every batch takes and frees some megabytes.  Given back to the system and
 * taken again, their pages would cost a tenth of the work.
 */
static void
keep_memory(void)
{
#ifdef M_TRIM_THRESHOLD
	(void) mallopt(M_TRIM_THRESHOLD, 32 * 1024 * 1024);
	(void) mallopt(M_MMAP_THRESHOLD, 16 * 1024 * 1024);
#endif
}

void
wf_http_main(Datum main_arg)
{
	WfWorkerSlot me;
	WfDispatcher *by;
	WfCalls    *calls;

	keep_memory();
	wf_worker_begin(main_arg, &me);
	by = wf_dispatcher("pg_workflow http");
	by->perform = run_round;
	by->record = run_record;
	by->is_ending = is_ending;
	last_timeout = RegisterTimeout(USER_TIMEOUT, on_last_timeout);
	calls = wf_calls_open(by);
	pqsignal(SIGTERM, on_sigterm);
	wf_wake_listen(WF_WAKE_HTTP, NULL);
	wf_registry_ready();
	work(calls);
	end(calls);
}
