/*
 * process.c
 *	  The life of a background worker: start, sleep, end.
 *
 * A worker takes its slot of the registry before anything else, connects as
 * the owner of the extension, and ends by itself when the extension is gone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/compat.h"
#include "base/config.h"
#include "catalog/pg_authid.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/round.h"

/*
 * What ALTER DATABASE and ALTER ROLE may have set for sessions of people, and
 * a worker cannot work with.
 */
static void
take_no_orders(void)
{
	static const char *const settings[][2] = {
		{"role", "none"},
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Becomes the worker that a slot was reserved for, connected to its database.
 * Does not return when the slot is somebody else's by now.
 */
void
wf_worker_begin(Datum main_arg, WfWorkerSlot *me)
{
	if (!wf_registry_take((WfTicket) DatumGetUInt64(main_arg), me))
		proc_exit(0);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, wf_round_cancel);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(me->database, BOOTSTRAP_SUPERUSERID, 0);
	take_no_orders();
	SetConfigOption("application_name", MyBgworkerEntry->bgw_name,
					PGC_USERSET, PGC_S_OVERRIDE);
}

/*
 * Begins a turn of a worker's loop: what the last one allocated is freed.
 */
void
wf_worker_turn(void)
{
	static MemoryContext turn = NULL;

	if (turn == NULL)
		turn = AllocSetContextCreate(TopMemoryContext, "wf turn", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(turn);
	MemoryContextSwitchTo(turn);
}

/*
 * Tells whether this database has the extension.
 */
bool
wf_worker_extension_exists(void)
{
	bool		exists;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	exists = OidIsValid(get_extension_oid("pg_workflow", true));
	CommitTransactionCommand();

	return exists;
}

/*
 * Ends the process when the extension was dropped.
 */
void
wf_worker_leave_if_dropped(void)
{
	if (!wf_worker_extension_exists())
		proc_exit(0);
}

/*
 * Says that this worker waits, and for what.
 */
void
wf_worker_idle(const char *doing)
{
	wf_registry_doing(doing);
	pgstat_report_activity(STATE_IDLE, doing);
}

/*
 * Sleeps until woken or until the time is over (-1: until woken).  Takes
 * interrupts and a changed configuration in.
 */
void
wf_worker_sleep(long timeout_ms, const char *doing)
{
	static uint32 wait_event = 0;
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

	wf_worker_idle(doing);
	if (timeout_ms >= 0)
		events |= WL_TIMEOUT;
	(void) WaitLatch(MyLatch, events, timeout_ms,
					 wf_wait_event("WorkflowIdle", &wait_event));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	wf_worker_reload();
}

/*
 * Takes a changed configuration in.
 */
void
wf_worker_reload(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

/*
 * The earlier of two times, of which 0 is none.
 */
TimestampTz
wf_earlier(TimestampTz one, TimestampTz other)
{
	return one == 0 || other == 0 ? Max(one, other) : Min(one, other);
}

/*
 * Milliseconds until a time, at least 0; otherwise, where there is no time.
 */
long
wf_ms_until(TimestampTz due, long otherwise)
{
	long		ms;

	if (due == 0)
		return otherwise;
	ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due);

	return otherwise < 0 ? ms : Min(ms, otherwise);
}

/*
 * Describes a worker of a kind to the postmaster.
 */
void
wf_worker_fill(BackgroundWorker *worker, WfWorkerKind kind)
{
	const char *name = wf_worker_kind_name(kind);

	memset(worker, 0, sizeof(*worker));
	snprintf(worker->bgw_name, BGW_MAXLEN, "pg_workflow %s", name);
	snprintf(worker->bgw_type, BGW_MAXLEN, "pg_workflow %s", name);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "pg_workflow", BGW_MAXLEN);
	snprintf(worker->bgw_function_name, BGW_MAXLEN, "wf_%s_main", name);
}

/*
 * Starts the worker that a slot was reserved for; gives the slot back and
 * returns false when the server has no process left for it.
 */
bool
wf_worker_launch(WfTicket ticket, WfWorkerKind kind, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	wf_worker_fill(&worker, kind);
	worker.bgw_main_arg = UInt64GetDatum(ticket);
	worker.bgw_notify_pid = MyProcPid;
	if (RegisterDynamicBackgroundWorker(&worker, handle))
		return true;
	wf_registry_cancel(ticket);

	return false;
}
