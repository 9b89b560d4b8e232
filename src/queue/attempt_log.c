/*
 * attempt_log.c
 *	  Writing attempts that succeeded in a lane, without a statement.
 *
 * Row triggers and columns that users have added do not take part.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "base/append.h"
#include "base/table.h"
#include "commands/sequence.h"
#include "queue_internal.h"
#include "utils/builtins.h"
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

static WfTable attempts = {"attempt"};

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
	Relation	relation = table_open(wf_table_oid(&attempts), RowExclusiveLock);
	TupleTableSlot *row = table_slot_create(relation, NULL);

	fill(row, attempt);
	wf_append(relation, &row, 1);
	ExecDropSingleTupleTableSlot(row);
	table_close(relation, NoLock);
}
