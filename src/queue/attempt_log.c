/*
 * attempt_log.c
 *	  Writing attempts without a statement.
 *
 * With those of lanes, row triggers and columns that users have added do not
 * take part.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/clock.h"
#include "base/table.h"
#include "lane/lane.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

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
	ATTEMPT_COLUMNS = ATTEMPT_LAST_JOB,
} AttemptColumn;

/* CHECKs of the table, which the rows of this file fulfil. */
#define OWN_CONDITIONS 1

static WfTable attempts = {"attempt"};

static void
set_column(TupleTableSlot *row, AttemptColumn column, Datum value)
{
	row->tts_values[column - 1] = value;
	row->tts_isnull[column - 1] = false;
}

static void
begin_row(TupleTableSlot *row)
{
	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * row->tts_tupleDescriptor->natts);
	set_column(row, ATTEMPT_ID, Int64GetDatum(wf_id_draw(WF_ATTEMPT_IDS)));
}

static void
fill(TupleTableSlot *row, const WfLaneAttempt *attempt)
{
	begin_row(row);
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

static void
set_id(TupleTableSlot *row, AttemptColumn column, int64 id)
{
	if (id != 0)
		set_column(row, column, Int64GetDatum(id));
}

static void
set_text(TupleTableSlot *row, AttemptColumn column, const char *text)
{
	if (text !=NULL)
		set_column(row, column, CStringGetTextDatum(text));
}

static void
fill_single(TupleTableSlot *row, const WfAttempt *attempt)
{
	begin_row(row);
	set_id(row, ATTEMPT_JOB, attempt->job_id);
	set_id(row, ATTEMPT_EFFECT, attempt->effect_id);
	set_id(row, ATTEMPT_ITEM, attempt->item_id);
	set_text(row, ATTEMPT_QUEUE, attempt->queue);
	set_text(row, ATTEMPT_KIND, attempt->kind);
	set_column(row, ATTEMPT_ATTEMPT, Int32GetDatum(attempt->attempt));
	set_text(row, ATTEMPT_WORKER, attempt->worker);
	set_column(row, ATTEMPT_STARTED_AT, TimestampTzGetDatum(attempt->started_at));
	set_column(row, ATTEMPT_FINISHED_AT, TimestampTzGetDatum(wf_now()));
	set_text(row, ATTEMPT_OUTCOME, attempt->outcome);
	set_text(row, ATTEMPT_ERROR_CLASS, attempt->error_class);
	set_text(row, ATTEMPT_MESSAGE, attempt->message);
	if (attempt->detail != NULL)
		set_column(row, ATTEMPT_DETAIL, JsonbPGetDatum(attempt->detail));
	ExecStoreVirtualTuple(row);
}

/*
 * Writes an attempt; false where that takes a statement, because somebody has
 * added a trigger, a condition or a column to the table.
 */
bool
wf_attempt_append(const WfAttempt *attempt)
{
	Relation	relation = table_open(wf_table_oid(&attempts), RowExclusiveLock);
	bool		suffices = RelationGetDescr(relation)->natts == ATTEMPT_COLUMNS &&
	wf_append_suffices_with(relation, "note_restore", OWN_CONDITIONS);

	if (suffices)
	{
		TupleTableSlot *row = table_slot_create(relation, NULL);

		fill_single(row, attempt);
		wf_append(relation, &row, 1);
		ExecDropSingleTupleTableSlot(row);
		CommandCounterIncrement();	/* as after a statement */
	}
	table_close(relation, NoLock);

	return suffices;
}
