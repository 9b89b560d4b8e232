/*
 * placed.c
 *	  Noting where the rows of the table of jobs stand, for low-water marks.
 *
 * A trigger notes every row, whoever writes it: the engine, a restore, a hand.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "lane/lane.h"
#include "marks.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* A row that was stored. */
typedef struct Row
{
	Relation	table;
	HeapTuple	tuple;
	const char *queue;
} Row;

static Datum
column(const Row *row, const char *name, bool *isnull)
{
	TupleDesc	columns = RelationGetDescr(row->table);

	return SPI_getbinval(row->tuple, columns, SPI_fnumber(columns, name), isnull);
}

static const char *
text_column(const Row *row, const char *name)
{
	bool		isnull;
	Datum		value = column(row, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * A null is before everything else.
 */
static int64
number_column(const Row *row, const char *name)
{
	bool		isnull;
	Datum		value = column(row, name, &isnull);

	return isnull ? PG_INT64_MIN : DatumGetInt64(value);
}

static void
note(const Row *row, const char *kind, int32 shelf, int64 position, bool is_grouped)
{
	WfMarkNote	new_note = {
		.key = wf_track_key(RelationGetRelid(row->table), kind, row->queue),
		.shelf = shelf,.position = position,.is_grouped = is_grouped
	};

	wf_marks_note(&new_note);
}

static void
note_running(const Row *row)
{
	bool		isnull;

	(void) column(row, "lease_until", &isnull);
	note(row, WF_TRACK_RUNNING, isnull ? WF_RUNNING_SESSION : WF_RUNNING_LEASE,
		 number_column(row, isnull ? "claimed_at" : "lease_until"), false);
}

/*
 * What is not as it must be, a constraint refuses.
 */
static void
note_row(const Row *row)
{
	const char *status = text_column(row, "status");
	const char *kind = text_column(row, "kind");
	bool		is_lone;
	bool		isnull;
	int32		priority = DatumGetInt32(column(row, "priority", &isnull));

	if (row->queue == NULL || status == NULL || kind == NULL || isnull)
		return;
	(void) column(row, "group_key", &is_lone);
	if (strcmp(status, "ready") == 0)
		note(row, kind, priority, number_column(row, "run_at"), !is_lone);
	else if (strcmp(status, "running") == 0)
		note_running(row);
	if (!is_lone && strcmp(status, "dead") != 0)
		note(row, WF_TRACK_GROUPED, 0, number_column(row, "job_id"), false);
}

PG_FUNCTION_INFO_V1(wf_job_placed);

/*
 * _job_placed(): a trigger for each row of the table of jobs
 */
Datum
wf_job_placed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Row			row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger for each row")));
	row.table = trigger->tg_relation;
	row.tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
		trigger->tg_trigtuple;
	row.queue = text_column(&row, "queue");
	note_row(&row);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && !wf_plan_is_running())
		wf_lane_note_restored();	/* of a lane's job, perhaps */

	return PointerGetDatum(row.tuple);
}
