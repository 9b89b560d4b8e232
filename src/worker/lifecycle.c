/*
 * lifecycle.c
 *	  Starting, stopping and showing workers from SQL.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/config.h"
#include "base/end.h"
#include "base/rest.h"
#include "base/wake.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "worker/lifecycle.h"
#include "worker/round.h"
#include "worker/share.h"

#define START_MS 30000
#define STOP_MS 30000
#define LOOK_MS 20L

static WfEnd own_end = 0;
static bool recheck_at_commit = false;

static void
sleep_a_little(void)
{
	static uint32 wait_event = 0;

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
					 wf_wait_event("WorkflowWorkers", &wait_event));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static void
require_primary(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("workers cannot run during recovery"),
				 errdetail("This server is a standby; only the primary works."),
				 errhint("Call workflow.start_workers() on the primary. A preloaded launcher starts them here after a promotion.")));
}

static int
count_running(void)
{
	return wf_registry_count(WF_WORKER_MAINTENANCE, MyDatabaseId) +
		wf_registry_count(WF_WORKER_SQL, MyDatabaseId) +
		wf_registry_count(WF_WORKER_HTTP, MyDatabaseId);
}

pg_noreturn static void
refuse_to_start(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no background worker is free"),
			 errdetail("All %d that max_worker_processes allows are in use.",
					   max_worker_processes),
			 errhint("Raise max_worker_processes and restart the server, or use CALL workflow.run().")));
}

/*
 * Starts the maintenance worker; where no process is left for it the launcher, if
 * there is one, gets it one.  Returns whether that is so.
 */
static bool
start_maintenance(void)
{
	WfTicket	ticket;
	BackgroundWorkerHandle *handle;

	if (wf_share_may_take(MyDatabaseId))
	{
		ticket = wf_registry_reserve(WF_WORKER_MAINTENANCE, MyDatabaseId, false);
		if (ticket == WF_NO_TICKET)
			return false;		/* somebody else starts it */
		if (wf_worker_launch(ticket, WF_WORKER_MAINTENANCE, &handle))
			return false;
	}
	if (!wf_workers_enabled || !wf_wake_anyone_listens(WF_WAKE_LAUNCHER, InvalidOid))
		refuse_to_start();
	wf_registry_ask_recheck(MyDatabaseId);
	wf_wake_now(WF_WAKE_LAUNCHER, NULL);

	return true;
}

/*
 * Whether the maintenance worker of this database is up; *exists: or may come
 * up still.
 */
static bool
maintenance_is_ready(bool *exists)
{
	WfWorkerSlot *slots;
	int			n = wf_registry_list(&slots);
	bool		ready = false;

	*exists = false;
	for (int i = 0; i < n; i++)
		if (slots[i].kind == WF_WORKER_MAINTENANCE && slots[i].database == MyDatabaseId &&
			(slots[i].state == WF_SLOT_STARTING || slots[i].state == WF_SLOT_RUNNING))
		{
			*exists = true;
			ready = slots[i].is_ready;
		}
	pfree(slots);

	return ready;
}

/*
 * is_awaited: the launcher starts it as soon as there is a process.
 */
static void
wait_until_ready(bool is_awaited)
{
	TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_MS);
	bool		exists = true;

	while (!maintenance_is_ready(&exists))
	{
		is_awaited &= !exists;
		if (!exists && !is_awaited)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the maintenance worker ended at once"),
					 errdetail("It found no extension pg_workflow in this database, or could not connect to it."),
					 errhint("Commit CREATE EXTENSION first, then call workflow.start_workers(); the server's log says more.")));
		if (GetCurrentTimestamp() > give_up && is_awaited)
			refuse_to_start();
		if (GetCurrentTimestamp() > give_up)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the maintenance worker is not up after %d seconds",
							START_MS / 1000),
					 errdetail("The server has accepted it and has not started it."),
					 errhint("Look into the server's log.")));
		sleep_a_little();
	}
}

PG_FUNCTION_INFO_V1(wf_start_workers);

/*
 * start_workers() returns int
 *
 * Starts the maintenance worker of this database, unless it runs, and waits
 * until it is up; it starts the others as needed.  Returns how many run.
 */
Datum
wf_start_workers(PG_FUNCTION_ARGS)
{
	bool		exists;

	require_primary();
	(void) wf_registry_clear(MyDatabaseId, WF_SLOT_STOPPED);
	if (!maintenance_is_ready(&exists))
	{
		wait_until_ready(!exists && start_maintenance());
	}

	PG_RETURN_INT32(count_running());
}

/*
 * Ends the workers of a database and keeps new ones from starting until the
 * state given is cleared.  Returns how many there were.
 */
int
wf_lifecycle_stop(Oid database, WfSlotState state)
{
	TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STOP_MS);
	int			n = wf_registry_terminate(database, state);

	for (int left = n; left > 0; left = wf_registry_terminate(database, state))
	{
		if (GetCurrentTimestamp() > give_up)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("workers of pg_workflow are still running after %d seconds",
							STOP_MS / 1000),
					 errdetail("%d of them have not ended.", left),
					 errhint("SELECT * FROM workflow.workers shows what they do.")));
		sleep_a_little();
	}
	if (state == WF_SLOT_STOPPED)
		wf_rest_end(database);	/* nobody is going to start it */

	return n;
}

PG_FUNCTION_INFO_V1(wf_stop_workers);

/*
 * stop_workers() returns int
 *
 * Ends the workers of this database until start_workers() is called or the
 * server restarts.  Returns how many ended.
 */
Datum
wf_stop_workers(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(wf_lifecycle_stop(MyDatabaseId, WF_SLOT_STOPPED));
}

static const char *
state_name(const WfWorkerSlot *slot)
{
	switch (slot->state)
	{
		case WF_SLOT_STARTING:
			return "starting";
		case WF_SLOT_STOPPED:
			return "stopped";
		case WF_SLOT_HELD:
			return "held";
		default:
			return "running";
	}
}

static void
put_worker(ReturnSetInfo *result, const WfWorkerSlot *slot)
{
	Datum		values[7];
	bool		nulls[7] = {0};
	bool		is_up = slot->state == WF_SLOT_RUNNING;

	values[0] = Int32GetDatum(slot->pid);
	values[1] = CStringGetTextDatum(wf_worker_kind_name(slot->kind));
	values[2] = CStringGetTextDatum(state_name(slot));
	values[3] = CStringGetTextDatum(slot->doing);
	values[4] = TimestampTzGetDatum(slot->started_at);
	values[5] = TimestampTzGetDatum(slot->last_activity);
	values[6] = Int32GetDatum(slot->in_flight);
	nulls[0] = nulls[3] = nulls[5] = nulls[6] = !is_up;
	nulls[4] = slot->started_at == 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * The maintenance worker that this database does not have: it rests until there is
 * something to do, or lacks a process.
 */
static void
put_resting(ReturnSetInfo *result, const WfRest *rest)
{
	Datum		values[7] = {0};
	bool		nulls[7] = {true, false, false, false, true, false, true};
	bool		is_lacking = rest->wanted_at != 0;
	const char *doing = is_lacking ? "waiting for a background worker" : "nothing is due";

	if (!is_lacking && !TIMESTAMP_IS_NOEND(rest->due))
		doing = psprintf("nothing is due before %s", timestamptz_to_str(rest->due));
	values[1] = CStringGetTextDatum(wf_worker_kind_name(WF_WORKER_MAINTENANCE));
	values[2] = CStringGetTextDatum(is_lacking ? "lacking" : "resting");
	values[3] = CStringGetTextDatum(doing);
	values[5] = TimestampTzGetDatum(is_lacking ? rest->wanted_at : rest->since);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(wf_workers);

/*
 * list_workers(): the workers of this database, and the launcher.
 */
Datum
wf_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WfRest		rest;
	bool		rests = wf_rest_look(MyDatabaseId, &rest);
	WfWorkerSlot *slots;
	int			n = wf_registry_list(&slots);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		if (slots[i].state == WF_SLOT_RESTING ||
			(slots[i].kind != WF_WORKER_LAUNCHER && slots[i].database != MyDatabaseId))
			continue;
		put_worker(result, &slots[i]);
		rests &= slots[i].kind != WF_WORKER_MAINTENANCE;
	}
	if (rests)
		put_resting(result, &rest);

	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(wf_resting_databases);

/*
 * _resting_databases(): how many have no maintenance worker because others use the
 * processes.
 */
Datum
wf_resting_databases(PG_FUNCTION_ARGS)
{
	WfRest	   *rests;

	PG_RETURN_INT32(wf_rest_list(&rests));
}

PG_FUNCTION_INFO_V1(wf_failing_parts);

/*
 * _failing_parts(OUT parts int, OUT doing text, OUT since timestamptz, OUT message text)
 */
Datum
wf_failing_parts(PG_FUNCTION_ARGS)
{
	Datum		values[4] = {0};
	bool		nulls[4] = {false, true, true, true};
	WfWorkerSlot *slots;
	int			n = wf_registry_list(&slots);
	TupleDesc	columns;

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "_failing_parts() returns a row");
	for (int i = 0; i < n; i++)
	{
		if (slots[i].kind != WF_WORKER_MAINTENANCE || slots[i].database != MyDatabaseId ||
			slots[i].state != WF_SLOT_RUNNING || slots[i].failing == 0)
			continue;
		values[0] = Int32GetDatum(pg_popcount32(slots[i].failing));
		values[1] = CStringGetTextDatum(slots[i].failing_at);
		values[2] = TimestampTzGetDatum(slots[i].failing_since);
		values[3] = CStringGetTextDatum(slots[i].failure);
		memset(nulls, false, sizeof(nulls));
	}

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

PG_FUNCTION_INFO_V1(wf_library_version);

/*
 * _library_version(): the version that the loaded library was built as.
 */
Datum
wf_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(WF_VERSION));
}

static void
on_transaction_end(XactEvent event, void *argument)
{
	if ((event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE) && recheck_at_commit)
	{
		wf_registry_ask_recheck(MyDatabaseId);
		wf_wake_now(WF_WAKE_LAUNCHER, NULL);
		wf_wake_now(WF_WAKE_MAINTENANCE, NULL);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		recheck_at_commit = false;
}

PG_FUNCTION_INFO_V1(wf_wake_launcher);

/*
 * _wake_launcher(): at commit, the launcher looks into this database again.  The
 * second phase of a prepared transaction may be committed by a session that
 * wakes nobody: the worker that is started when it is prepared waits for that.
 */
Datum
wf_wake_launcher(PG_FUNCTION_ARGS)
{
	recheck_at_commit = true;
	wf_end_is_due(own_end);
	(void) wf_registry_count(WF_WORKER_LAUNCHER, InvalidOid);	/* attach before the end */
	(void) wf_wake_anyone_listens(WF_WAKE_LAUNCHER, InvalidOid);
	PG_RETURN_VOID();
}

/*
 * Called when the library is loaded.
 */
void
wf_lifecycle_init(void)
{
	own_end = wf_end_register(on_transaction_end, NULL);
}
