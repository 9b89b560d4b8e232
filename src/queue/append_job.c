/*
 * append_job.c
 *	  Storing a job in the table without a statement.
 *
 * Most jobs of items are such: in a queue without limits and without an order of
 * its own, with no key and of no group.  What a statement would see to besides,
 * the trigger that follows jobs, is done here.  Where somebody has added another
 * trigger, condition or column, the job is left to a statement.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/clock.h"
#include "base/table.h"
#include "columns.h"
#include "lane/lane.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* CHECKs of the table, all of which the rows of this file fulfil. */
#define OWN_CONDITIONS 3

static WfTable job_table = {"job"};

static bool
is_simple(const WfNewJob *job)
{
	const WfQueueFacts *facts;

	if (job->key != NULL || job->group_key != NULL || job->tenant != NULL)
		return false;
	facts = wf_queue_facts(job->queue);

	return facts != NULL && !facts->is_limited;
}

static void
set(TupleTableSlot *row, WfJobColumn column, Datum value)
{
	row->tts_values[column] = value;
	row->tts_isnull[column] = false;
}

static void
set_text(TupleTableSlot *row, WfJobColumn column, const char *text)
{
	if (text !=NULL)
		set(row, column, CStringGetTextDatum(text));
}

static void
fill(TupleTableSlot *row, const WfNewJob *job, int64 job_id)
{
	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * JOB_COLUMNS);
	set(row, JOB_ID, Int64GetDatum(job_id));
	set_text(row, JOB_QUEUE, job->queue);
	set_text(row, JOB_KIND, job->kind);
	set_text(row, JOB_STATUS, job->status == NULL ? "ready" : job->status);
	set(row, JOB_PRIORITY, Int32GetDatum(job->priority));
	set(row, JOB_RUN_AT, TimestampTzGetDatum(job->run_at));
	set(row, JOB_ATTEMPT, Int32GetDatum(0));
	if (job->item_id != 0)
	{
		set(row, JOB_ITEM, Int64GetDatum(job->item_id));
		set(row, JOB_SEQ, Int32GetDatum(job->seq));
	}
	set_text(row, JOB_STATE, job->state);
	if (job->effect_id != 0)
		set(row, JOB_EFFECT, Int64GetDatum(job->effect_id));
	set_text(row, JOB_WAITING_ON, job->waiting_on);
	set(row, JOB_CREATED_AT, TimestampTzGetDatum(wf_now()));
	if (job->payload != NULL)
		set(row, JOB_PAYLOAD, JsonbPGetDatum(job->payload));
	set(row, JOB_AGED, Int32GetDatum(0));
	set(row, JOB_UNITS, Int32GetDatum(Max(job->units, 1)));
	set(row, JOB_BEHIND, BoolGetDatum(false));
	ExecStoreVirtualTuple(row);
}

static int64
append(Relation relation, const WfNewJob *job)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsHeapTuple);
	int64		job_id = wf_id_draw(WF_JOB_IDS);

	fill(row, job, job_id);
	wf_append(relation, &row, 1);
	wf_job_follow_stored(relation, row);
	ExecDropSingleTupleTableSlot(row);
	CommandCounterIncrement();	/* as after a statement */

	return job_id;
}

/*
 * Returns the id of the new job; 0 when it takes a statement to store it.
 */
int64
wf_job_append(const WfNewJob *job)
{
	Relation	relation;
	int64		job_id = 0;

	if (!is_simple(job))
		return 0;
	relation = table_open(wf_table_oid(&job_table), RowExclusiveLock);
	if (RelationGetDescr(relation)->natts == JOB_COLUMNS &&
		wf_append_suffices_with(relation, "follow_job", OWN_CONDITIONS))
		job_id = append(relation, job);
	table_close(relation, NoLock);

	return job_id;
}
