/*
 * round.c
 *	  One transaction of a worker, and one step inside of one.
 *
 * A worker keeps nothing that a transaction does not: a round that fails is
 * rolled back, its error goes to the log and to the caller in values, and the
 * worker goes on.  The order of snapshot, SPI, statistics and activity is
 * here and nowhere else.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/try.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "worker/round.h"

/* Between rounds there is nothing to cancel. */
static volatile sig_atomic_t in_round = false;

/*
 * Signal handler: somebody cancels what this worker does.
 */
void
wf_round_cancel(SIGNAL_ARGS)
{
	if (in_round)
		StatementCancelHandler(postgres_signal_arg);
}

static void
leave_round(void)
{
	in_round = false;
	QueryCancelPending = false;
}

static void
begin_round(const char *doing)
{
	in_round = true;
	wf_registry_doing(doing);
	pgstat_report_activity(STATE_RUNNING, doing);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_round(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	leave_round();
	pgstat_report_stat(true);
}

/* What the last round that failed said. */
static char last_fault[WF_FAILURE_LENGTH] = "";

const char *
wf_round_last_fault(void)
{
	return last_fault;
}

static void
keep_message(const char *message)
{
	int			length = pg_mbcliplen(message, strlen(message), sizeof(last_fault) - 1);

	memcpy(last_fault, message, length);
	last_fault[length] = '\0';
}

static void
keep_fault(const ErrorData *error, WfFault *fault)
{
	fault->sqlstate = error->sqlerrcode;
	fault->message = error->message;
	fault->detail = error->detail;
	fault->context = error->context;
}

/*
 * Runs a step in a transaction of its own and commits it.  When it fails,
 * everything is rolled back, the error is logged, and false is returned with
 * *fault filled in the caller's memory context.
 */
bool
wf_round_run(const char *doing, WfStep step, void *argument, WfFault *fault)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		begin_round(doing);
		step(argument);
		end_round();
	}
	PG_CATCH();
	{
		ok = false;
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		leave_round();
		EmitErrorReport();
		MemoryContextSwitchTo(caller);
		keep_fault(CopyErrorData(), fault);
		keep_message(fault->message);
		FlushErrorState();
		AbortOutOfAnyTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);

	return ok;
}

/*
 * Runs a step in a subtransaction.  When it fails, only that is rolled back,
 * and false is returned with *fault filled in the caller's memory context.
 */
bool
wf_round_try(WfStep step, void *argument, WfFault *fault)
{
	ErrorData  *error = wf_try(step, argument);

	if (error != NULL)
		keep_fault(error, fault);

	return error == NULL;
}

/*
 * Whether the same work is likely to succeed when it runs alone.
 */
bool
wf_fault_is_conflict(const WfFault *fault)
{
	return fault->sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
		fault->sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

/*
 * Whether the same work is likely to succeed in a moment: others were in the
 * way, or the server is short of something.
 */
bool
wf_fault_is_passing(const WfFault *fault)
{
	return wf_error_is_passing(fault->sqlstate);
}
