/*
 * attempt_log.c
 *	  Writing attempts that succeeded in a lane, without a statement.
 *
 * An INSERT would cost more than all else that completes a job.  The row goes
 * through the table and its indexes as the executor would take it; row triggers
 * and columns that users have added do not take part.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
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

static void
set_column(TupleTableSlot *row, AttemptColumn column, Datum value)
{
	row->tts_values[column - 1] = value;
	row->tts_isnull[column - 1] = false;
}

static void
fill(TupleTableSlot *row, const WfLaneAttempt *attempt)
{
	Oid			sequence = get_relname_relid("attempt_attempt_id_seq",
											 get_namespace_oid("workflow", false));

	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * row->tts_tupleDescriptor->natts);
	set_column(row, ATTEMPT_ID, Int64GetDatum(nextval_internal(sequence, false)));
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
	Oid			table = get_relname_relid("attempt", get_namespace_oid("workflow", false));
	Relation	relation = table_open(table, RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);
	TupleTableSlot *row = table_slot_create(relation, NULL);

	InitResultRelInfo(result, relation, 1, NULL, 0);
	ExecOpenIndices(result, false);
	fill(row, attempt);
	table_tuple_insert(relation, row, GetCurrentCommandId(true), 0, NULL);
	wf_insert_index_tuples(result, row, estate);
	ExecCloseIndices(result);
	ExecDropSingleTupleTableSlot(row);
	FreeExecutorState(estate);
	table_close(relation, NoLock);
}
