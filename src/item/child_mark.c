/*
 * child_mark.c
 *	  Where children that have ended begin: a low-water mark (queue/marks.h), as
 *	  their rows are removed as soon as they are counted.
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

#define TRACK_ENDS "ends"

static int64
first_end(WfLook *look, int32 shelf, int64 from)
{
	int64		end_no;

	wf_look_key(look, 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));

	return wf_look_first(look, 1, look->snapshot, 1, &end_no, 0, NULL) ? end_no : WF_MARK_NONE;
}

/*
 * No row that is to be counted has a smaller number than the one returned.
 */
int64
wf_child_ends_from(void)
{
	WfWalk		walk = {
		.table = "child_end",.index = "child_end_pkey",.track = TRACK_ENDS,.n_shelves = 1,.wanted = 1,
		.find_first = first_end
	};
	int64		end_no;

	(void) wf_look_walk(&walk, &end_no);

	return end_no;
}

PG_FUNCTION_INFO_V1(wf_child_end_placed);

/*
 * _child_end_placed(): a trigger for each row of the table of ended children
 */
Datum
wf_child_end_placed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	WfMarkNote	note = {0};
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger for each row")));
	note.key = wf_track_key(RelationGetRelid(trigger->tg_relation), TRACK_ENDS, "");
	note.position = DatumGetInt64(SPI_getbinval(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation), 1, &isnull));
	if (!isnull)
		wf_marks_note(&note);

	return PointerGetDatum(trigger->tg_trigtuple);
}
