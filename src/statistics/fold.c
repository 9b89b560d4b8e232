/*
 * fold.c
 *	  Folding what transactions have stored into the counts and the history.
 *
 * Rows are taken away as they are counted, in one transaction: each counts once,
 * whenever the transaction that wrote it committed, and whatever ends meanwhile.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/config.h"
#include "base/plan.h"
#include "base/turn.h"
#include "base/wake.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "note.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Old rows of the history are looked for so often. */
#define FORGET_US (10 * USECS_PER_MINUTE)

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

/*
 * Whether a table has a row now.  Until a vacuum what was folded lies before what
 * was not: so it begins where there was one the last time.
 */
static bool
has_rows(Oid oid, BlockNumber *last)
{
	Relation	table = table_open(oid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan_strat(table, snapshot, 0, NULL, true, false);
	bool		result;

	if (table->rd_rel->relam == HEAP_TABLE_AM_OID && *last < ((HeapScanDesc) scan)->rs_nblocks)
		heap_setscanlimits(scan, *last, InvalidBlockNumber);
	result = table_scan_getnextslot(scan, ForwardScanDirection, slot);
	if (result)
		*last = ItemPointerGetBlockNumber(&slot->tts_tid);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, AccessShareLock);

	return result;
}

static bool
is_any(void)
{
	static BlockNumber last_move = 0;
	static BlockNumber last_attempt = 0;

	return has_rows(wf_delta_table(), &last_move) || has_rows(wf_attempt_table(), &last_attempt);
}

/*
 * What is stored is folded together with what comes until then.  Who commits when
 * nothing is planned has to tell; so that nothing is missed, it is looked for once
 * more when that is known.
 */
TimestampTz
wf_statistics_next_fold(void)
{
	if (next_fold == 0 && !is_any())
	{
		wf_wake_will_fold(false);
		if (!is_any())
			return 0;
	}
	wf_wake_will_fold(true);
	if (next_fold == 0)
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
	next_fold = 0;
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

	return true;
}
