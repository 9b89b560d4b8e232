/*
 * low_water.c
 *	  Where the timers begin, and the children that have ended: low-water marks
 *	  (queue/marks.h), as most rows of both tables are soon removed.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "item_internal.h"
#include "queue/look.h"
#include "queue/marks.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* A table whose rows are looked at in the order of a column. */
typedef struct Marked
{
	const char *table;
	const char *index;
	const char *track;
	char	   *column;
	int64		(*find_first) (WfLook *look, int32 shelf, int64 from);
	const char *noted;			/* for a refusal */
} Marked;

static int64
first_of(WfLook *look)
{
	int64		position;

	return wf_look_first(look, 1, look->snapshot, 1, &position, 0, NULL) ? position : WF_MARK_NONE;
}

static int64
first_timer(WfLook *look, int32 shelf, int64 from)
{
	wf_look_key(look, 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE, TimestampTzGetDatum(from));

	return first_of(look);
}

static int64
first_end(WfLook *look, int32 shelf, int64 from)
{
	wf_look_key(look, 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));

	return first_of(look);
}

static const Marked timers = {
	"timer", "timer_due", "timers", "due_at", first_timer,
	"It notes when the timers of workflow.timer are due."
};

static const Marked ends = {
	"child_end", "child_end_pkey", "ends", "end_no", first_end,
	"It notes which children have ended."
};

static int64
rows_from(const Marked *marked)
{
	WfWalk		walk = {
		.table = marked->table,.index = marked->index,.track = marked->track,.n_shelves = 1,.wanted = 1,
		.find_first = marked->find_first
	};
	int64		position;

	(void) wf_look_walk(&walk, &position);

	return position;
}

/*
 * No timer is due before the time returned.
 */
TimestampTz
wf_timers_from(void)
{
	return rows_from(&timers);
}

/*
 * No row that is to be counted has a smaller number than the one returned.
 */
int64
wf_child_ends_from(void)
{
	return rows_from(&ends);
}

/*
 * Notes where a row was stored; returns it, as a trigger does.
 */
static Datum
note_place(FunctionCallInfo fcinfo, const Marked *marked)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	columns;
	WfMarkNote	note = {0};
	HeapTuple	row;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger for each row"),
				 errdetail("%s", marked->noted),
				 errhint("Drop the trigger that calls it; workflow.%s has its own.", marked->table)));
	columns = RelationGetDescr(trigger->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
		trigger->tg_trigtuple;
	note.key = wf_track_key(RelationGetRelid(trigger->tg_relation), marked->track, "");
	note.position = DatumGetInt64(SPI_getbinval(row, columns, SPI_fnumber(columns, marked->column), &isnull));
	if (!isnull)
		wf_marks_note(&note);

	return PointerGetDatum(row);
}

PG_FUNCTION_INFO_V1(wf_timer_placed);

/*
 * _timer_placed(): a trigger for each row of the table of timers
 */
Datum
wf_timer_placed(PG_FUNCTION_ARGS)
{
	return note_place(fcinfo, &timers);
}

PG_FUNCTION_INFO_V1(wf_child_end_placed);

/*
 * _child_end_placed(): a trigger for each row of the table of ended children
 */
Datum
wf_child_end_placed(PG_FUNCTION_ARGS)
{
	return note_place(fcinfo, &ends);
}
