/*
 * attempt_log.c
 *	  Writing attempts that succeeded in a lane, without a statement.
 *
 * An INSERT would cost more than all else that completes a job.  The row goes
 * through the table and its indexes as the executor would take it; row triggers
 * and columns that users have added do not take part.
 *
 * Most of the table's indexes are partial and do not take in such a row.  What
 * there is to know of them is kept until the table changes, so that those are
 * not even opened.  Where somebody has added an index of another kind, all is
 * left to the executor.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/owner.h"
#include "base/table.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "nodes/primnodes.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Columns of workflow.attempt, by their numbers. */
typedef enum AttemptColumn
{
	ATTEMPT_ID = 1,
	ATTEMPT_JOB,
	ATTEMPT_EFFECT,
	ATTEMPT_ITEM,
	ATTEMPT_QUEUE,
	ATTEMPT_KIND,
	ATTEMPT_ATTEMPT,
	ATTEMPT_WORKER,
	ATTEMPT_STARTED_AT,
	ATTEMPT_FINISHED_AT,
	ATTEMPT_OUTCOME,
	ATTEMPT_ERROR_CLASS,
	ATTEMPT_MESSAGE,
	ATTEMPT_DETAIL,
	ATTEMPT_JOBS,
	ATTEMPT_LAST_JOB,
} AttemptColumn;

static WfTable attempt_table = {"attempt"};

/* ------------------------------------------------------------------- indexes */

/* An index of columns, of the rows where a column is not null. */
typedef struct KnownIndex
{
	Oid			oid;
	AttrNumber	unless_null;	/* 0: of all rows */
	IndexInfo  *info;
} KnownIndex;

typedef struct KnownIndexes
{
	bool		are_known;
	bool		are_simple;		/* all of them are such */
	int			count;
	KnownIndex *each;
} KnownIndexes;

static KnownIndexes indexes = {0};
static MemoryContext indexes_memory = NULL;
static uint64 changes = 0;

static void
forget(Datum argument, Oid relation)
{
	if (OidIsValid(relation) && relation != attempt_table.oid)
		return;
	indexes.are_known = false;
	changes++;
}

/*
 * The column of a condition "column IS NOT NULL"; 0 for none at all, -1 for
 * another one.
 */
static int
unless_null(List *condition)
{
	NullTest   *test = list_length(condition) == 1 ? linitial(condition) : NULL;

	if (condition == NIL)
		return 0;
	if (test == NULL || !IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL ||
		!IsA(test->arg, Var) || ((Var *) test->arg)->varattno <= 0)
		return -1;

	return ((Var *) test->arg)->varattno;
}

/*
 * Learns what there is to know of an index; false when it is not a simple one.
 */
static bool
learn_index(Oid oid, KnownIndex *known)
{
	Relation	index = index_open(oid, RowExclusiveLock);
	int			column;

	known->oid = oid;
	known->info = BuildIndexInfo(index);
	column = unless_null(known->info->ii_Predicate);
	known->unless_null = Max(column, 0);
	index_close(index, NoLock);

	return column >= 0 && index->rd_rel->relam == BTREE_AM_OID &&
		known->info->ii_Expressions == NIL && known->info->ii_ExclusionOps == NULL &&
		known->info->ii_ReadyForInserts &&
		(!index->rd_index->indisunique || index->rd_index->indimmediate);
}

static void
learn_indexes(Relation relation)
{
	List	   *oids = RelationGetIndexList(relation);
	uint64		before = changes;
	MemoryContext previous;
	ListCell   *cell;

	if (indexes_memory == NULL)
	{
		indexes_memory = AllocSetContextCreate(TopMemoryContext, "indexes of attempts",
											   ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	}
	MemoryContextReset(indexes_memory);
	previous = MemoryContextSwitchTo(indexes_memory);
	indexes.are_simple = true;
	indexes.count = 0;
	indexes.each = palloc(sizeof(KnownIndex) * Max(list_length(oids), 1));
	foreach(cell, oids)
		if (!learn_index(lfirst_oid(cell), &indexes.each[indexes.count++]))
		indexes.are_simple = false;
	MemoryContextSwitchTo(previous);
	list_free(oids);
	indexes.are_known = before == changes;
}

static void
insert_into(Relation relation, const KnownIndex *known, TupleTableSlot *row)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	Relation	index = index_open(known->oid, RowExclusiveLock);

	FormIndexDatum(known->info, row, NULL, values, nulls);
	index_insert(index, values, nulls, &row->tts_tid, relation,
				 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
				 false, known->info);
	index_close(index, NoLock);
}

/*
 * As an INSERT would do it, functions of the indexes included.
 */
static void
insert_by_executor(Relation relation, TupleTableSlot *row)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);
	WfCaller	caller;

	wf_enter_owner(&caller);
	InitResultRelInfo(result, relation, 1, NULL, 0);
	ExecOpenIndices(result, false);
	wf_insert_index_tuples(result, row, estate);
	ExecCloseIndices(result);
	FreeExecutorState(estate);
	wf_leave_owner(&caller);
}

static void
insert_into_indexes(Relation relation, TupleTableSlot *row)
{
	if (!indexes.are_known)
		learn_indexes(relation);
	if (!indexes.are_simple)
	{
		insert_by_executor(relation, row);
		return;
	}
	for (int i = 0; i < indexes.count; i++)
	{
		const KnownIndex *known = &indexes.each[i];

		if (known->unless_null == 0 || !slot_attisnull(row, known->unless_null))
			insert_into(relation, known, row);
	}
}

/* ----------------------------------------------------------------------- row */

static void
set_column(TupleTableSlot *row, AttemptColumn column, Datum value)
{
	row->tts_values[column - 1] = value;
	row->tts_isnull[column - 1] = false;
}

static void
fill(TupleTableSlot *row, const WfLaneAttempt *attempt)
{
	static WfTable sequence = {"attempt_attempt_id_seq"};

	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * row->tts_tupleDescriptor->natts);
	set_column(row, ATTEMPT_ID, Int64GetDatum(nextval_internal(wf_table_oid(&sequence), false)));
	set_column(row, ATTEMPT_QUEUE, CStringGetTextDatum(attempt->queue));
	set_column(row, ATTEMPT_KIND, CStringGetTextDatum("task"));
	set_column(row, ATTEMPT_ATTEMPT, Int32GetDatum(1));
	set_column(row, ATTEMPT_WORKER, CStringGetTextDatum(attempt->worker));
	set_column(row, ATTEMPT_STARTED_AT, TimestampTzGetDatum(attempt->started_at));
	set_column(row, ATTEMPT_FINISHED_AT, TimestampTzGetDatum(attempt->finished_at));
	set_column(row, ATTEMPT_OUTCOME, CStringGetTextDatum("ok"));
	if (attempt->detail != NULL)
		set_column(row, ATTEMPT_DETAIL, JsonbPGetDatum(attempt->detail));
	if (attempt->job_ids == NULL)
		set_column(row, ATTEMPT_JOB, Int64GetDatum(attempt->last_job));
	else
	{
		set_column(row, ATTEMPT_JOBS, PointerGetDatum(attempt->job_ids));
		set_column(row, ATTEMPT_LAST_JOB, Int64GetDatum(attempt->last_job));
	}
	ExecStoreVirtualTuple(row);
}

void
wf_attempt_log(const WfLaneAttempt *attempt)
{
	Relation	relation = table_open(wf_table_oid(&attempt_table), RowExclusiveLock);
	TupleTableSlot *row = table_slot_create(relation, NULL);

	fill(row, attempt);
	table_tuple_insert(relation, row, GetCurrentCommandId(true), 0, NULL);
	insert_into_indexes(relation, row);
	ExecDropSingleTupleTableSlot(row);
	table_close(relation, NoLock);
}
