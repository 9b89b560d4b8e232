/*
 * fold.c
 *	  Folding what transactions have stored into the counts and the history.
 *
 * Rows are taken away as they are counted, in one transaction: each counts once,
 * whenever the transaction that wrote it committed, and whatever ends meanwhile.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/config.h"
#include "base/plan.h"
#include "base/turn.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "statistics/statistics.h"
#include "utils/timestamp.h"

/* Old rows of the history are looked for so often. */
#define FORGET_US (10 * USECS_PER_MINUTE)

static WfPlan any_plan = {
	.name = "moves to fold",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT WHERE EXISTS (SELECT FROM workflow.state_delta) OR EXISTS (SELECT FROM workflow.attempt_delta)",
};

static WfPlan fold_plan = {
	.name = "fold moves",
	.expected = SPI_OK_SELECT,
	.passes = "state_delta",
	.sql = "SELECT workflow._fold_moves()",
};

static WfPlan attempts_plan = {
	.name = "fold attempts",
	.expected = SPI_OK_SELECT,
	.passes = "attempt_delta",
	.sql = "SELECT workflow._fold_attempts()",
};

static WfPlan entries_plan = {
	.name = "forget entries",
	.expected = SPI_OK_DELETE,
	.passes = "state_entry",
	.sql = "DELETE FROM workflow.state_entry WHERE items = 0",
};

#define FORGET(table) \
	"DELETE FROM workflow." table " AS h " \
	"USING (VALUES ('minute', $1), ('hour', $2)) AS r (resolution, seconds) " \
	"WHERE h.resolution = r.resolution AND r.seconds >= 0 " \
	"  AND h.at < pg_catalog.clock_timestamp() - r.seconds * interval '1 second'"

static WfPlan forget_plan = {
	.name = "forget history",
	.expected = SPI_OK_DELETE,
	.passes = "state_history_slot",
	.sql = FORGET("state_history_slot"),
	.nargs = 2,
	.argtypes = {INT4OID, INT4OID},
};

static WfPlan forget_totals_plan = {
	.name = "forget totals of history",
	.expected = SPI_OK_DELETE,
	.passes = "history_slot",
	.sql = FORGET("history_slot"),
	.nargs = 2,
	.argtypes = {INT4OID, INT4OID},
};

static TimestampTz next_fold = 0;

static bool
is_any(void)
{
	return wf_plan_execute_limit(&any_plan, NULL, NULL, 1) > 0;
}

TimestampTz
wf_statistics_next_fold(void)
{
	if (!is_any())
		next_fold = 0;
	else if (next_fold == 0)
		next_fold = GetCurrentTimestamp() + WF_FOLD_US;

	return next_fold;
}

PG_FUNCTION_INFO_V1(wf_sql_take_fold_turn);

/*
 * _take_fold_turn()
 */
Datum
wf_sql_take_fold_turn(PG_FUNCTION_ARGS)
{
	wf_await_turn(WF_TURN_FOLD, 0, 0);

	PG_RETURN_VOID();
}

bool
wf_statistics_fold(void)
{
	static TimestampTz forgot_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	Datum		kept_for[2] = {Int32GetDatum(wf_minute_history_s), Int32GetDatum(wf_hour_history_s)};

	/* a snapshot from before somebody else's fold would not do */
	if (IsolationUsesXactSnapshot())
		return false;
	if (!wf_try_turn(WF_TURN_FOLD, 0, 0))
	{
		next_fold = now + WF_FOLD_US;
		return false;
	}
	if (!is_any())
		return true;
	wf_plan_execute(&fold_plan, NULL, NULL);
	wf_plan_execute(&attempts_plan, NULL, NULL);
	wf_plan_execute(&entries_plan, NULL, NULL);
	if (now >= forgot_at + FORGET_US)
	{
		wf_plan_execute(&forget_plan, kept_for, NULL);
		wf_plan_execute(&forget_totals_plan, kept_for, NULL);
		forgot_at = now;
	}
	next_fold = 0;

	return true;
}
