/*
 * log.c
 *	  The log of transitions.
 *
 * One row for each transition, written in its transaction and never changed
 * (triggers of sql/base.sql refuse it).
 *
 * A row costs a statement only where somebody has added to the table what a
 * statement would do (a trigger, a condition, a column).  Rows of one UPDATE of
 * many items wait for its end and go to the log together, as long as nobody can
 * look for them before that: whatever runs code of others, or needs a statement,
 * flushes them first.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/clock.h"
#include "base/end.h"
#include "base/plan.h"
#include "base/table.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "item/enforced.h"
#include "item/item_internal.h"
#include "statistics/statistics.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* In the order of sql/tables.sql. */
#define COLUMNS 15
#define COLUMN_DATA 11
#define COLUMN_MONTH 12

/* So many rows go to the log together. */
#define BATCH 64

#define JUDGE " workflow_judge"

static WfTable log_table = {"transition"};
static WfTable months[] = {
	{"transition_01"}, {"transition_02"}, {"transition_03"}, {"transition_04"},
	{"transition_05"}, {"transition_06"}, {"transition_07"}, {"transition_08"},
	{"transition_09"}, {"transition_10"}, {"transition_11"}, {"transition_12"},
};

/* Rows that wait for the end of the statement. */
static TupleTableSlot *waiting[BATCH];
static WfEnd own_end = 0;
static int	n_waiting = 0;
static int	n_made = 0;			/* slots there are */
static int	month_waiting = 0;	/* into which they go */
static MemoryContext memory = NULL; /* of the slots */
static MemoryContext values_memory = NULL;	/* of what rows that wait hold */

/* --------------------------------------------------------------- a statement */

static void
fill(const WfLogRow *row, Datum *values, bool *nulls)
{
	const WfItem *item = row->item;
	const WfMove *move = row->move;

	memset(nulls, true, sizeof(bool) * COLUMNS);
	memset(nulls, false, sizeof(bool) * 11);
	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	nulls[2] = row->before == NULL;
	if (row->texts != NULL)
		memcpy(&values[2], row->texts, sizeof(WfLogTexts));
	else
	{
		values[2] = wf_text_datum(row->before == NULL ? NULL : row->before->state);
		values[3] = CStringGetTextDatum(move->event);
		values[4] = CStringGetTextDatum(item->state);
		values[5] = CStringGetTextDatum(move->kind);
		values[6] = CStringGetTextDatum(move->actor);
	}
	values[7] = wf_text_datum(move->reason);
	nulls[7] = move->reason == NULL;
	values[8] = TimestampTzGetDatum(item->since);
	values[9] = Int32GetDatum(item->version);
	values[10] = move->event_data == NULL ? (Datum) 0 : JsonbPGetDatum(move->event_data);
	nulls[10] = move->event_data == NULL;
}

static void
log_by_statement(const WfLogRow *row)
{
	static WfPlan plan = {
		.name = "log transition",
		.expected = SPI_OK_INSERT,
		.nargs = 11,
		.argtypes = {INT8OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, JSONBOID},
		.sql = "INSERT INTO workflow.transition (item_id, seq, from_state, event, to_state, "
		"kind, actor, reason, at, version, data) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
	};
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
	char		flags[COLUMNS];

	fill(row, values, nulls);
	for (int i = 0; i < plan.nargs; i++)
		flags[i] = nulls[i] ? 'n' : ' ';
	if (wf_plan_execute(&plan, values, flags) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the move of item " INT64_FORMAT " was not logged", row->item->item_id),
				 errdetail("A trigger of workflow.transition suppressed the row of the log."),
				 errhint("Drop the trigger.")));
}

/* ----------------------------------------------------------- without a statement */

static Relation
open_log(WfTable *table)
{
	return table_open(wf_table_oid(table), RowExclusiveLock);
}

/*
 * Whether the log of this month is as it was made.  Rows that wait have shown so,
 * and keep a lock on it until the transaction ends.
 *
 * The log as a whole is not locked: who adds a trigger or a rule to it that its
 * months do not have waits for nobody who writes to them.
 */
bool
wf_item_log_is_plain(void)
{
	int			month = wf_transaction_month();
	Relation	relation;
	bool		result;

	if (n_waiting > 0 && month_waiting == month)
		return true;
	relation = open_log(&months[month - 1]);
	result = RelationGetDescr(relation)->natts == COLUMNS &&
		wf_append_suffices_for(RelationGetRelid(relation)) &&
		wf_append_suffices_for(wf_table_oid(&log_table));
	table_close(relation, NoLock);

	return result;
}

static void
make_slot(void)
{
	Relation	relation;
	MemoryContext caller;

	if (n_waiting < n_made)
		return;
	if (memory == NULL)
	{
		memory = AllocSetContextCreate(TopMemoryContext, "wf rows of the log",
									   ALLOCSET_DEFAULT_SIZES);
		values_memory = AllocSetContextCreate(memory, "wf values of the log",
											  ALLOCSET_DEFAULT_SIZES);
	}
	relation = open_log(&log_table);
	caller = MemoryContextSwitchTo(memory);
	waiting[n_made++] = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(relation)),
												 &TTSOpsHeapTuple);
	MemoryContextSwitchTo(caller);
	table_close(relation, NoLock);
}

static void
add(const WfLogRow *row)
{
	int			month = wf_transaction_month();
	TupleTableSlot *slot;
	MemoryContext caller;

	if (n_waiting == BATCH || (n_waiting > 0 && month != month_waiting))
		wf_item_log_flush();
	make_slot();
	if (n_waiting == 0)
		MemoryContextReset(values_memory);
	month_waiting = month;
	slot = waiting[n_waiting];
	ExecClearTuple(slot);
	caller = MemoryContextSwitchTo(values_memory);
	fill(row, slot->tts_values, slot->tts_isnull);
	if (row->move->event_data != NULL)
		slot->tts_values[COLUMN_DATA - 1] = datumCopy(slot->tts_values[COLUMN_DATA - 1], false, -1);
	MemoryContextSwitchTo(caller);
	slot->tts_values[COLUMN_MONTH - 1] = Int16GetDatum(month);
	slot->tts_isnull[COLUMN_MONTH - 1] = false;
	ExecStoreVirtualTuple(slot);
	n_waiting++;
	wf_end_is_due(own_end);
}

/*
 * Writes the rows that wait.
 */
void
wf_item_log_flush(void)
{
	Relation	relation;
	int			count = n_waiting;
	MemoryContext caller;

	if (count == 0)
		return;
	n_waiting = 0;
	relation = table_open(wf_table_oid(&months[month_waiting - 1]), NoLock);	/* has been locked */
	caller = MemoryContextSwitchTo(values_memory);
	wf_append(relation, waiting, count);
	MemoryContextSwitchTo(caller);
	table_close(relation, NoLock);
}

/*
 * Whether code of others may run between a row of an UPDATE of items and the
 * end of that statement, or that end goes by unnoticed: that of a trigger of the
 * table, of a foreign key, or of whatever else the same statement writes.
 */
static bool
is_watched(const TriggerData *judge)
{
	const TriggerDesc *triggers = judge->tg_relation->trigdesc;

	if (!wf_enforced_statement_is_of(RelationGetRelid(judge->tg_relation)) ||
		wf_item_concerns_constraints(judge->tg_relation, judge->tg_trigslot, judge->tg_newslot))
		return true;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!trigger->tgisinternal && TRIGGER_FOR_UPDATE(trigger->tgtype) &&
			TRIGGER_FOR_AFTER(trigger->tgtype) && strcmp(trigger->tgname, JUDGE) != 0)
			return true;
	}

	return false;
}

/*
 * A move is counted as it is logged.
 */
static void
count_move(const WfLogRow *row)
{
	const WfItem *before = row->before;
	const WfItem *item = row->item;
	WfStateMove move = {.workflow = item->workflow,.at = item->since};

	if (before != NULL)
		move.left = (WfStay)
	{
		before->version, before->state, before->outcome, before->since
	};
	move.entered = (WfStay)
	{
		item->version, item->state, item->outcome,
			row->visit_since != 0 ? row->visit_since : item->since
	};
	wf_statistics_note(&move);
}

/*
 * Logs a move from which nothing else follows, where the log is plain.
 */
void
wf_item_log_quietly(const WfLogRow *row, const TriggerData *trigger)
{
	count_move(row);
	add(row);
	if (is_watched(trigger))
		wf_item_log_flush();
}

/*
 * The same for one that is the only one of its statement, as that ends.
 */
void
wf_item_log_lone(const WfLogRow *row)
{
	count_move(row);
	add(row);
	wf_item_log_flush();
}

/*
 * Logs a transition; its time is when the item entered the new state.  The caller
 * may need a statement: is connected to SPI and runs as the owner.
 */
void
wf_item_log(const WfLogRow *row)
{
	count_move(row);
	if (!wf_item_log_is_plain())
	{
		log_by_statement(row);
		return;
	}
	add(row);
	wf_item_log_flush();
	CommandCounterIncrement();	/* as after a statement */
}

/*
 * Nothing waits beyond a statement; should its end have gone by unnoticed, the
 * rows are written before the transaction ends.
 */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		wf_item_log_flush();
	else if (event == XACT_EVENT_ABORT)
		n_waiting = 0;
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		wf_item_log_flush();
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		n_waiting = 0;
}

/*
 * Called when the library is loaded.
 */
void
wf_item_log_init(void)
{
	own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
}
