/*
 * many.c
 *	  An UPDATE that moves items, by any condition, without the BEFORE trigger.
 *
 * The trigger only stamps a row, and before it is called the server locks the row
 * and logs the lock.  A row that differs in its state alone is stamped as the
 * executor puts it together, and goes on without the lock: should somebody else
 * have changed it meanwhile, the server finds that out when it stores the row, as
 * with any table, waits, and has the row put together again, of what is there now.
 * That one is stamped anew.  The AFTER trigger judges what was stored.
 *
 * Any other row is left to the trigger, as if nobody had looked.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "item/item_internal.h"
#include "item/projection.h"
#include "item/result.h"
#include "utils/builtins.h"

typedef struct Many
{
	WfProjection frame;
	int64		item_id;		/* of the last row */
	ItemPointerData place;		/* of the version that it was made from */
	bool		is_stamped;		/* else it was left to the trigger */
} Many;

/*
 * Stamps a row that was put together, unless more follows than a number and a
 * time.
 */
static bool
stamp(const Many *many, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	WfItem		old;
	WfItem		stamps = {0};
	const WfGraph *graph;
	const WfState *from;
	const WfState *to;

	if (!wf_projection_is_only_moved(&many->frame, old_row, new_row))
		return false;
	from = wf_item_known_from_row(old_row, &old, &graph);
	if (from == NULL || wf_item_active_move(old.item_id) != NULL)
		return false;
	to = wf_graph_state_by_text(graph, new_row->tts_values[WF_ITEM_COLUMN_STATE - 1]);
	if (to == NULL || from == to)
		return false;
	wf_item_expected_stamps(&old, from, to, NULL, &stamps);
	if (!wf_same_text(old.outcome, stamps.outcome) || !wf_same_text(old.origin, stamps.origin))
		return false;
	new_row->tts_values[WF_ITEM_COLUMN_SEQ - 1] = Int32GetDatum(stamps.seq);
	new_row->tts_values[WF_ITEM_COLUMN_SINCE - 1] = TimestampTzGetDatum(stamps.since);
	wf_item_splice(old_row, new_row);

	return true;
}

/*
 * Stamps a row that was put together, or leaves it to the trigger; returns whether
 * it is stamped.  The same item again, from another place, is one that somebody has
 * changed.  If it was stamped before, it is locked now, and no trigger was called
 * for it; if it was not, the trigger is about to be called, for what is put
 * together now.  From the same place, it was found twice: the server moves it once.
 */
static bool
stamp_or_leave(Many *many, TupleTableSlot *old_row, TupleTableSlot *new_row, int64 item_id)
{
	bool		is_again = item_id == many->item_id &&
	!ItemPointerEquals(&old_row->tts_tid, &many->place);

	if (is_again && !many->is_stamped)
		return false;
	if (!stamp(many, old_row, new_row))
	{
		if (!is_again)
			return false;
		wf_item_stamp_row(old_row, new_row);
	}

	return true;
}

/*
 * Puts the new row together, as the server's own does, and stamps it.
 */
static Datum
project(ExprState *expression, ExprContext *context, bool *isnull)
{
	Many	   *many = (Many *) wf_projection_of(expression);
	TupleTableSlot *old_row = context->ecxt_scantuple;
	TupleTableSlot *new_row = expression->resultslot;
	MemoryContext caller = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
	int64		item_id;

	wf_projection_put_together(&many->frame, context);
	item_id = DatumGetInt64(old_row->tts_values[WF_ITEM_COLUMN_ITEM_ID - 1]);
	many->is_stamped = stamp_or_leave(many, old_row, new_row, item_id);
	many->item_id = item_id;
	many->place = old_row->tts_tid;
	many->frame.result->ri_TrigDesc->trig_update_before_row = !many->is_stamped;
	MemoryContextSwitchTo(caller);

	return (Datum) 0;
}

void
wf_many_begin(ModifyTableState *state)
{
	Many	   *many = palloc0(sizeof(Many));

	wf_projection_take(&many->frame, state, project);
}
