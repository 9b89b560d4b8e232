/*
 * enforced_log.c
 *	  The log of transitions of rows of users' tables.
 *
 * Such an entry has no item: it says under which enforcement, for which key,
 * and its number in the order of all such entries.  The number is drawn while
 * the row is locked by whoever changes it, so that the entries of one row are
 * in the order in which it was changed; enforced_order.c sees to those that come
 * late.
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
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "item/enforced.h"
#include "item/item_internal.h"
#include "item/lone.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
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

#define ROWS_AT_ONCE 64
#define ENTRIES_AT_ONCE 512

typedef struct Entry
{
	Datum		from;			/* 0: the row is new */
	Datum		event;
	Datum		to;
	Datum		kind;
	Datum		actor;
	TimestampTz at;
	int			version;
	int			enforcement_id;
	Datum		key;
	int64		row_seq;
} Entry;

/* A statement whose AFTER triggers are firing. */
typedef struct Statement
{
	struct Statement *outer;
	uint64		number;
	SubTransactionId subtransaction;
	Oid			table;			/* the only one that it writes, by updates
								 * alone, or invalid */
	MemoryContext memory;		/* NULL until it is needed */
	int			n;
	Entry	   *entries;
} Statement;

static Statement *statement = NULL; /* the innermost one */
static ExecutorFinish_hook_type next_finish = NULL;
static ProcessUtility_hook_type next_utility = NULL;

/* A call of the utility hook. */
typedef struct UtilityCall
{
	PlannedStmt *planned;
	const char *query;
	bool		read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *environment;
	DestReceiver *receiver;
	QueryCompletion *completion;
} UtilityCall;

static WfTable transition = {"transition"};
static WfTable partitions[] = {
	{"transition_01"}, {"transition_02"}, {"transition_03"}, {"transition_04"},
	{"transition_05"}, {"transition_06"}, {"transition_07"}, {"transition_08"},
	{"transition_09"}, {"transition_10"}, {"transition_11"}, {"transition_12"},
};

/* ---------------------------------------------------------------------- rows */

static void
set_column(TupleTableSlot *row, LogColumn column, Datum value)
{
	row->tts_values[column - 1] = value;
	row->tts_isnull[column - 1] = false;
}

static void
fill(TupleTableSlot *row, const Entry *entry, int month)
{
	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * row->tts_tupleDescriptor->natts);
	if (entry->from != (Datum) 0)
		set_column(row, LOG_FROM_STATE, entry->from);
	set_column(row, LOG_EVENT, entry->event);
	set_column(row, LOG_TO_STATE, entry->to);
	set_column(row, LOG_KIND, entry->kind);
	set_column(row, LOG_ACTOR, entry->actor);
	set_column(row, LOG_AT, TimestampTzGetDatum(entry->at));
	set_column(row, LOG_VERSION, Int32GetDatum(entry->version));
	set_column(row, LOG_MONTH, Int16GetDatum(month));
	set_column(row, LOG_ENFORCEMENT, Int32GetDatum(entry->enforcement_id));
	set_column(row, LOG_KEY, entry->key);
	set_column(row, LOG_ROW_SEQ, Int64GetDatum(entry->row_seq));
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
 * Writes entries, in the memory of whoever calls.
 */
static void
write_entries(const Entry *entries, int n)
{
	int			month = wf_transaction_month();
	int			nrows = Min(n, ROWS_AT_ONCE);
	TupleTableSlot *rows[ROWS_AT_ONCE];
	Relation	log = table_open(wf_table_oid(&partitions[month - 1]), RowExclusiveLock);
	bool		at_once = wf_append_suffices_for(RelationGetRelid(log)) &&
	wf_append_suffices_for(wf_table_oid(&transition));

	for (int i = 0; i < nrows; i++)
		rows[i] = MakeSingleTupleTableSlot(RelationGetDescr(log), &TTSOpsVirtual);
	for (int done = 0; done < n; done += nrows)
	{
		nrows = Min(n - done, nrows);
		for (int i = 0; i < nrows; i++)
		{
			fill(rows[i], &entries[done + i], month);
			if (!at_once)
				insert_by_statement(rows[i]);
		}
		if (at_once)
			wf_append(log, rows, nrows);
	}
	for (int i = 0; i < Min(n, ROWS_AT_ONCE); i++)
		ExecDropSingleTupleTableSlot(rows[i]);
	table_close(log, NoLock);
}

/* ----------------------------------------------------------------- statements */

static void
write_kept(Statement *kept)
{
	MemoryContext previous;

	if (kept->n == 0)
		return;
	previous = MemoryContextSwitchTo(kept->memory);
	write_entries(kept->entries, kept->n);
	kept->n = 0;
	MemoryContextSwitchTo(previous);
	MemoryContextReset(kept->memory);
}

/*
 * Whether entries can wait for the end of a statement: one whose end we see,
 * and that would be rolled back together with them.
 */
static bool
can_wait(void)
{
	return statement != NULL && statement->subtransaction == GetCurrentSubTransactionId();
}

/*
 * Tells statements whose AFTER triggers fire from each other; 0: not known.
 */
uint64
wf_enforced_statement(void)
{
	return statement == NULL ? 0 : statement->number;
}

/*
 * Whether the AFTER triggers that fire are those of a statement that updates that
 * table and does nothing else, and all within one subtransaction.
 */
bool
wf_enforced_statement_is_of(Oid table)
{
	return can_wait() && statement->table == table;
}

/*
 * Does work in which the AFTER triggers of a statement fire.
 */
static void
run_statement(void (*work) (void *argument), void *argument, Oid table)
{
	static uint64 last_number = 0;
	Statement	own = {0};

	own.outer = statement;
	own.number = ++last_number;
	own.subtransaction = GetCurrentSubTransactionId();
	own.table = table;
	PG_TRY();
	{
		statement = &own;
		work(argument);
		write_kept(&own);
		wf_item_log_flush();
	}
	PG_FINALLY();
	{
		statement = own.outer;
	}
	PG_END_TRY();
	wf_enforced_moves_end(own.number);
	if (own.memory != NULL)
		MemoryContextDelete(own.memory);
}

static void
finish_query(void *query)
{
	if (next_finish != NULL)
		next_finish(query);
	else
		standard_ExecutorFinish(query);
}

/*
 * The only table that a statement writes, and that by updates alone: what it
 * inserts or deletes has triggers of its own.
 */
static Oid
only_table(const PlannedStmt *planned)
{
	if (planned->commandType != CMD_UPDATE || list_length(planned->resultRelations) != 1)
		return InvalidOid;

	return rt_fetch(linitial_int(planned->resultRelations), planned->rtable)->relid;
}

static void
on_finish(QueryDesc *query)
{
	if ((query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE) || wf_lone_end(query))
		finish_query(query);
	else
		run_statement(finish_query, query, only_table(query->plannedstmt));
}

static void
run_utility(void *argument)
{
	UtilityCall *call = argument;
	ProcessUtility_hook_type next = next_utility != NULL ? next_utility : standard_ProcessUtility;

	next(call->planned, call->query, call->read_only_tree, call->context, call->params,
		 call->environment, call->receiver, call->completion);
}

/*
 * COPY fires triggers without the executor.
 */
static void
on_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *receiver,
		   QueryCompletion *completion)
{
	UtilityCall call = {planned, query, read_only_tree, context, params, environment,
	receiver, completion};
	Node	   *statement_node = planned->utilityStmt;

	if (IsA(statement_node, CopyStmt) && ((CopyStmt *) statement_node)->is_from)
		run_statement(run_utility, &call, InvalidOid);
	else
		run_utility(&call);
}

/*
 * Room for one more entry of the statement, in whose memory its values go.
 */
static Entry *
next_kept(void)
{
	if (statement->memory == NULL)
		statement->memory = AllocSetContextCreate(CurTransactionContext, "wf log of a statement",
												  ALLOCSET_DEFAULT_SIZES);
	if (statement->n == ENTRIES_AT_ONCE)
		write_kept(statement);
	if (statement->n == 0)
		statement->entries = MemoryContextAlloc(statement->memory, sizeof(Entry) * ENTRIES_AT_ONCE);

	return &statement->entries[statement->n];
}

static void
fill_entry(Entry *entry, const WfEnforcedMove *move)
{
	static WfTable sequence = {"transition_row_seq"};
	const WfEnforced *enforced = move->enforced;

	entry->from = move->from == WF_NO_STATE ? (Datum) 0 : enforced->state_texts[move->from];
	entry->to = enforced->state_texts[move->to];
	entry->event = move->event == WF_NO_EVENT ? enforced->insert_text : enforced->event_texts[move->event];
	entry->kind = enforced->kind_text;
	entry->actor = datumCopy(wf_role_text(GetUserId()), false, -1);
	entry->at = wf_now();
	entry->version = enforced->version;
	entry->enforcement_id = enforced->enforcement_id;
	entry->key = CStringGetTextDatum(move->key);
	if (!wf_enforced_is_overtaken(move, &entry->row_seq, &entry->at))
		entry->row_seq = nextval_internal(wf_table_oid(&sequence), false);
}

/*
 * Logs a transition that has been judged: at the end of the statement, if that
 * is to be seen, with all others of the statement; else at once.
 */
void
wf_enforced_log(const WfEnforcedMove *move)
{
	MemoryContext previous;
	Entry	   *kept;
	Entry		entry;

	if (!can_wait())
	{
		fill_entry(&entry, move);
		write_entries(&entry, 1);
		return;
	}
	kept = next_kept();
	previous = MemoryContextSwitchTo(statement->memory);
	fill_entry(kept, move);
	MemoryContextSwitchTo(previous);
	statement->n++;
}

void
wf_enforced_init(void)
{
	next_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = on_finish;
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
