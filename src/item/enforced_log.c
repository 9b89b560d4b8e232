/*
 * enforced_log.c
 *	  The log of transitions of rows of users' tables.
 *
 * Such an entry has no item: it says under which enforcement, for which key,
 * and its number in the order of all such entries.  The number is drawn while
 * the row is locked by whoever changes it, so that the entries of one row are
 * in the order in which it was changed.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/clock.h"
#include "base/owner.h"
#include "base/plan.h"
#include "base/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "item/enforced.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* Columns of workflow.transition, by their numbers. */
typedef enum LogColumn
{
	LOG_FROM_STATE = 3,
	LOG_EVENT,
	LOG_TO_STATE,
	LOG_KIND,
	LOG_ACTOR,
	LOG_AT = 9,
	LOG_VERSION,
	LOG_MONTH = 12,
	LOG_ENFORCEMENT,
	LOG_KEY,
	LOG_ROW_SEQ,
} LogColumn;

#define EVENT_OF_INSERT "insert"

static WfTable partitions[] = {
	{"transition_01"}, {"transition_02"}, {"transition_03"}, {"transition_04"},
	{"transition_05"}, {"transition_06"}, {"transition_07"}, {"transition_08"},
	{"transition_09"}, {"transition_10"}, {"transition_11"}, {"transition_12"},
};

/*
 * The month that the column's default would say: of now(), where the session is.
 */
static int
present_month(void)
{
	struct pg_tm local;
	fsec_t		fraction;
	int			zone;

	if (timestamp2tm(GetCurrentTransactionStartTimestamp(), &zone, &local, &fraction, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));

	return local.tm_mon;
}

static void
set_column(TupleTableSlot *row, LogColumn column, Datum value)
{
	row->tts_values[column - 1] = value;
	row->tts_isnull[column - 1] = false;
}

static void
fill(TupleTableSlot *row, const WfEnforcedMove *move, int month)
{
	static WfTable sequence = {"transition_row_seq"};
	const WfEnforced *enforced = move->enforced;

	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * row->tts_tupleDescriptor->natts);
	if (move->from != WF_NO_STATE)
		set_column(row, LOG_FROM_STATE, enforced->state_texts[move->from]);
	set_column(row, LOG_EVENT, move->event == WF_NO_EVENT ? CStringGetTextDatum(EVENT_OF_INSERT) :
			   enforced->event_texts[move->event]);
	set_column(row, LOG_TO_STATE, enforced->state_texts[move->to]);
	set_column(row, LOG_KIND, CStringGetTextDatum("direct"));
	set_column(row, LOG_ACTOR, CStringGetTextDatum(wf_role_name(GetUserId())));
	set_column(row, LOG_AT, TimestampTzGetDatum(wf_now()));
	set_column(row, LOG_VERSION, Int32GetDatum(enforced->version));
	set_column(row, LOG_MONTH, Int16GetDatum(month));
	set_column(row, LOG_ENFORCEMENT, Int32GetDatum(enforced->enforcement_id));
	set_column(row, LOG_KEY, CStringGetTextDatum(move->key));
	set_column(row, LOG_ROW_SEQ,
			   Int64GetDatum(nextval_internal(wf_table_oid(&sequence), false)));
	ExecStoreVirtualTuple(row);
}

/*
 * As a statement, where something else has to happen for it: triggers.
 */
static void
insert_by_statement(TupleTableSlot *row)
{
	static WfPlan plan = {
		.name = "log transition of a row",
		.expected = SPI_OK_INSERT,
		.nargs = 10,
		.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID,
		INT4OID, TEXTOID, INT8OID},
		.sql = "INSERT INTO workflow.transition (from_state, event, to_state, kind, actor, at, "
		"version, enforcement_id, key, row_seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
	};
	static const LogColumn columns[] = {LOG_FROM_STATE, LOG_EVENT, LOG_TO_STATE, LOG_KIND, LOG_ACTOR,
	LOG_AT, LOG_VERSION, LOG_ENFORCEMENT, LOG_KEY, LOG_ROW_SEQ};
	Datum		values[lengthof(columns)];
	char		nulls[lengthof(columns)];
	WfCaller	caller;
	uint64		n;

	for (int i = 0; i < lengthof(columns); i++)
	{
		values[i] = row->tts_values[columns[i] - 1];
		nulls[i] = row->tts_isnull[columns[i] - 1] ? 'n' : ' ';
	}
	wf_enter_owner(&caller);
	SPI_connect();
	n = wf_plan_execute(&plan, values, nulls);
	SPI_finish();
	wf_leave_owner(&caller);
	if (n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the transition of a row was not logged"),
				 errdetail("A trigger of workflow.transition suppressed the row of the log."),
				 errhint("Drop the trigger.")));
}

/*
 * Logs a transition that has been judged.
 */
void
wf_enforced_log(const WfEnforcedMove *move)
{
	int			month = present_month();
	Relation	log = table_open(wf_table_oid(&partitions[month - 1]), RowExclusiveLock);
	TupleTableSlot *row = table_slot_create(log, NULL);

	fill(row, move, month);
	if (wf_append_suffices(log))
		wf_append(log, &row, 1);
	else
		insert_by_statement(row);
	ExecDropSingleTupleTableSlot(row);
	table_close(log, NoLock);
}
