/*
 * run.c
 *	  CALL workflow.run(): the work of the workers in the caller's session.
 *
 * Called outside a transaction block it commits after each step, as the
 * workers do, and returns when nothing is due and nothing is under way.
 *
 * Inside a transaction block it must not commit, and so does only what can be
 * undone with that transaction: the sql activities and timers of rows that the
 * transaction wrote itself, and of their calls those to endpoints that it has
 * mocks for.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/context.h"
#include "base/owner.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/mock.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "item/item.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/alerts.h"
#include "worker/calls_internal.h"
#include "worker/clocks.h"
#include "worker/fold.h"
#include "worker/mocked.h"
#include "worker/redrive.h"

typedef struct Run
{
	WfDispatcher by;
	WfCalls    *calls;
	WfSqlPace	pace;
	TimestampTz end_at;			/* 0: until nothing is due */
	TimestampTz next_due;
} Run;

typedef struct Wrapped
{
	WfStep		step;
	void	   *argument;
} Wrapped;

static void
run_with_snapshot(void *argument)
{
	Wrapped    *wrapped = argument;

	PushActiveSnapshot(GetTransactionSnapshot());
	wrapped->step(wrapped->argument);
	PopActiveSnapshot();
}

static void
tell(const char *doing, const WfFault *fault)
{
	if (fault->sqlstate == ERRCODE_QUERY_CANCELED)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("%s", fault->message)));
	ereport(WARNING,
			(errcode(fault->sqlstate),
			 errmsg("%s failed: %s", doing, fault->message),
			 fault->detail == NULL ? 0 : errdetail("%s", fault->detail)));
}

/*
 * Runs a step as the owner in a subtransaction, so that a failed one is the
 * end of that step only.
 */
static bool
perform(const char *doing, WfStep step, void *argument, WfFault *fault)
{
	Wrapped		wrapped = {step, argument};
	WfCaller	caller;
	bool		ok;

	wf_enter_owner(&caller);
	ok = wf_round_try(run_with_snapshot, &wrapped, fault);
	wf_leave_owner(&caller);
	if (!ok)
		tell(doing, fault);

	return ok;
}

static bool
perform_and_commit(const char *doing, WfStep step, void *argument, WfFault *fault)
{
	bool		ok = perform(doing, step, argument, fault);

	SPI_commit();

	return ok;
}

static void
look_ahead(void *argument)
{
	Run		   *run = argument;

	run->next_due = wf_earlier(wf_earlier(wf_item_next_timer(), wf_queue_next_due("sql")), wf_redrive_next());
}

/*
 * What a run of this session left behind, because it was interrupted or
 * somebody held an item, belongs to nobody any more, although the session
 * lives.
 */
static void
disown(void *argument)
{
	static WfPlan plan = {
		.name = "disown",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {TEXTOID, INT4OID},
		.sql = "SELECT workflow._disown($1, $2)",
	};
	Run		   *run = argument;
	Datum		values[2];

	values[0] = CStringGetTextDatum(run->by.worker);
	values[1] = Int32GetDatum(MyProcPid);
	wf_plan_execute(&plan, values, NULL);
}

static bool
time_is_over(const Run *run)
{
	return run->end_at != 0 && GetCurrentTimestamp() >= run->end_at;
}

/*
 * What was done, of which -1 says that not even looking worked.  (A macro would
 * do it twice.)
 */
static int
how_many(int done)
{
	return Max(0, done);
}

/*
 * Does once what is due of everything; returns how much that was.
 */
static int
take_turn(Run *run)
{
	bool		put_off;
	int			n = 0;

	n += how_many(wf_dispatch_ends(&run->by, &put_off));
	if (!time_is_over(run))
		n += how_many(wf_dispatch_timers(&run->by));
	if (!time_is_over(run))
		n += how_many(wf_redrive_some(&run->by));
	if (!time_is_over(run))
		n += how_many(wf_clocks_start(&run->by, &put_off));
	if (!time_is_over(run))
		n += how_many(wf_dispatch_sql(&run->by, &run->pace));
	if (n > 0)
		wf_calls_look(run->calls);
	n += wf_calls_turn(run->calls);

	return n;
}

/*
 * The latest time to sleep to when nothing is due now: the next due time, if
 * it lies in the time given and the clock moves at all.  0: do not sleep.
 */
static TimestampTz
may_sleep_until(Run *run)
{
	WfFault		fault;
	TimestampTz due;

	if (run->end_at == 0 || wf_clock_is_faked())
		return 0;
	if (!run->by.perform("looking for what is due", look_ahead, run, &fault))
		return 0;
	due = wf_earlier(run->next_due, wf_calls_next_due(run->calls));

	return due == 0 || due > run->end_at ? 0 : due;
}

/*
 * Works until nothing is due, or the time is over.  What is under way then is
 * waited for: a call that is given up would be one of unknown outcome.
 */
static void
work(Run *run)
{
	for (;;)
	{
		TimestampTz until;

		CHECK_FOR_INTERRUPTS();
		if (time_is_over(run))
			wf_calls_stop_claiming(run->calls);
		if (take_turn(run) > 0)
			continue;
		if (wf_calls_under_way(run->calls) > 0)
		{
			wf_calls_wait(run->calls, -1);
			continue;
		}
		if (time_is_over(run))
			return;
		until = may_sleep_until(run);
		if (until == 0)
			return;
		wf_calls_wait(run->calls, Max(1, wf_ms_until(until, -1)));
		wf_calls_look(run->calls);
	}
}

static void
run_and_commit(Run *run)
{
	WfFault		fault;
	bool		put_off;

	wf_item_require_clean_session();
	run->by.perform = perform_and_commit;
	(void) run->by.perform("looking after an interrupted run", disown, run, &fault);
	(void) wf_dispatch_reclaim(&run->by, &put_off);
	run->calls = wf_calls_open(&run->by);
	PG_TRY();
	{
		work(run);
	}
	PG_FINALLY();
	{
		wf_calls_close(run->calls);
	}
	PG_END_TRY();
	(void) run->by.perform("folding statistics", wf_fold_step, run, &fault);
	(void) run->by.perform("leaving", disown, run, &fault);
	wf_alerts_look(&run->by);
}

typedef struct Own
{
	Run		   *run;
	int			n;
	MemoryContext context;		/* of the next */
	WfJob	   *call;			/* claimed, to be answered by mocks; or NULL */
} Own;

static void
note_call(Own *own, const WfJob *job)
{
	MemoryContext caller = MemoryContextSwitchTo(own->context);

	own->call = palloc(sizeof(WfJob));
	wf_call_copy_job(own->call, job);
	MemoryContextSwitchTo(caller);
}

/*
 * Claims one job of a row that this transaction wrote, and runs it where it is a
 * sql activity.
 */
static void
run_own_job(void *argument)
{
	static WfPlan plan = {
		.name = "claim own job",
		.expected = SPI_OK_SELECT,
		.nargs = 4,
		.argtypes = {TEXTOID, INT4OID, TIMESTAMPTZOID, BOOLOID},
		.sql = "SELECT job_id, token FROM workflow._claim_own($1, $2, $3, $4)",
	};
	Own		   *own = argument;
	Datum		values[4];
	WfJob	   *job;

	values[0] = CStringGetTextDatum(own->run->by.worker);
	values[1] = Int32GetDatum(MyProcPid);
	values[2] = TimestampTzGetDatum(MyStartTimestamp);
	values[3] = BoolGetDatum(wf_mocks_are_set());
	own->n = (int) wf_plan_execute(&plan, values, NULL);
	if (own->n == 0)
		return;
	job = wf_queue_lock_claimed(wf_result_int8(0, 1), wf_result_text(0, 2));
	if (strcmp(job->kind, "sql") == 0)
		wf_dispatch_sql_job(&own->run->by, job);
	else
		note_call(own, job);
}

/*
 * Does one job; returns whether there was one.
 */
static bool
do_own_job(Own *own)
{
	WfFault		fault;

	own->call = NULL;
	if (!own->run->by.perform("running an activity", run_own_job, own, &fault))
		return false;
	if (own->call != NULL)
		wf_mocked_call(&own->run->by, own->call);

	return own->n > 0;
}

static void
fire_own_timers(void *argument)
{
	Own		   *own = argument;

	own->n = wf_item_fire_own_timers(1, own->run->by.actor);
}

static void
count_own_ends(void *argument)
{
	Own		   *own = argument;
	bool		put_off;

	own->n = wf_item_count_ends(true, &put_off);
}

/*
 * Works off what this transaction wrote itself, and commits nothing.
 */
static void
run_own(Run *run)
{
	Own			own = {.run = run,.context = CurrentMemoryContext};
	WfFault		fault;
	int			n;

	wf_item_require_no_borrowed_objects();
	wf_item_fire_callers_deferred();
	run->by.perform = perform;
	do
	{
		CHECK_FOR_INTERRUPTS();
		n = do_own_job(&own) ? 1 : 0;
		n += how_many(wf_redrive_own(&run->by));
		if (run->by.perform("counting ended children", count_own_ends, &own, &fault))
			n += own.n;
		if (run->by.perform("firing a timer", fire_own_timers, &own, &fault))
			n += own.n;
	} while (n > 0 && !time_is_over(run));
}

PG_FUNCTION_INFO_V1(wf_run);

/*
 * run(max_duration interval)
 */
Datum
wf_run(PG_FUNCTION_ARGS)
{
	bool		commits = wf_may_commit(fcinfo) && !wf_mocks_are_set();
	Run			run = {.by = {.actor = "pg_workflow run",.in_session = true}};

	wf_item_require_no_activity();
	wf_require_writable("run");
	if (!PG_ARGISNULL(0))
		run.end_at = GetCurrentTimestamp() + wf_interval_us(PG_GETARG_INTERVAL_P(0));
	if (SPI_connect_ext(commits ? SPI_OPT_NONATOMIC : 0) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	run.by.worker = psprintf("%s %d", run.by.actor, MyProcPid);
	if (commits)
		run_and_commit(&run);
	else
		run_own(&run);
	SPI_finish();

	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(wf_is_own);

/*
 * _is_own(xid): whether the present transaction wrote a row.
 */
Datum
wf_is_own(PG_FUNCTION_ARGS)
{
	TransactionId xid = DatumGetTransactionId(PG_GETARG_DATUM(0));

	PG_RETURN_BOOL(TransactionIdIsCurrentTransactionId(xid));
}
