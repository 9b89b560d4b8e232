/*
 * timer_mark.c
 *	  Where the timers begin: a low-water mark (queue/marks.h), as most are
 *	  removed long before they are due.
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

#define TRACK_TIMERS "timers"

static int64
first_timer(WfLook *look, int32 shelf, int64 from)
{
	int64		due_at;

	wf_look_key(look, 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE, TimestampTzGetDatum(from));

	return wf_look_first(look, 1, look->snapshot, 1, &due_at, 0, NULL) ? due_at : WF_MARK_NONE;
}

/*
 * No timer is due before the time returned.
 */
TimestampTz
wf_timers_from(void)
{
	WfWalk		walk = {
		.table = "timer",.index = "timer_due",.track = TRACK_TIMERS,.n_shelves = 1,.wanted = 1,
		.find_first = first_timer
	};
	int64		due_at;

	(void) wf_look_walk(&walk, &due_at);

	return due_at;
}

PG_FUNCTION_INFO_V1(wf_timer_placed);

/*
 * _timer_placed(): a trigger for each row of the table of timers
 */
Datum
wf_timer_placed(PG_FUNCTION_ARGS)
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
				 errdetail("It notes when the timers of workflow.timer are due."),
				 errhint("Drop the trigger that calls it; workflow.timer has its own.")));
	columns = RelationGetDescr(trigger->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
		trigger->tg_trigtuple;
	note.key = wf_track_key(RelationGetRelid(trigger->tg_relation), TRACK_TIMERS, "");
	note.position = DatumGetTimestampTz(SPI_getbinval(row, columns, SPI_fnumber(columns, "due_at"), &isnull));
	if (!isnull)
		wf_marks_note(&note);

	return PointerGetDatum(row);
}
