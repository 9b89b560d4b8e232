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
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "worker/round.h"

static void
begin_round(const char *doing)
{
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
	pgstat_report_stat(true);
}

/*
 * Takes the error that is being handled over into values, in the memory
 * context given.
 */
static void
keep_fault(MemoryContext context, WfFault *fault)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
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
		QueryCancelPending = false;
		EmitErrorReport();
		keep_fault(caller, fault);
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
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		step(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ok = false;
		keep_fault(caller, fault);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	return ok;
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
