/*
 * compensated.c
 *	  The event "compensated": all that an item has set going is taken back.
 *
 * Who finds out that a revert has succeeded may hold its effect, and so must
 * not ask for the item.  He sets a timer that belongs to no visit, due at once
 * (trigger tell_compensated); so does who enters a state that handles the event.
 * When a timer fires, under the lock of the item, the ledger is asked.  Either
 * what has happened is committed by then, or its own timer comes later: no end
 * is missed; and the event takes away what else has told of the same end, and a
 * visit that is left its own timer, so that it comes once.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"

/*
 * Has an item that enters a state which handles the event look by itself.
 */
void
wf_item_await_compensation(const WfItem *item)
{
	wf_item_set_timer(item, WF_TIMER_COMPENSATED, wf_spawn_now(), WF_EVENT_COMPENSATED);
}

static bool
is_compensated(const WfItem *item)
{
	static WfPlan plan = {
		.name = "is compensated",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT workflow._is_compensated($1)",
	};
	Datum		value = Int64GetDatum(item->item_id);

	wf_plan_execute(&plan, &value, NULL);

	return DatumGetBool(wf_result_datum(0, 1, NULL));
}

/*
 * All that others have told of the end by now is told with this event.
 */
static void
drop_news(const WfItem *item)
{
	static WfPlan plan = {
		.name = "drop news of compensation",
		.expected = SPI_OK_DELETE,
		.passes = "timer",
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "DELETE FROM workflow.timer AS t USING ("
		"  SELECT o.seq FROM workflow.timer AS o WHERE o.item_id = $1 AND o.seq <= 0 AND o.kind = 'compensated' "
		"  FOR UPDATE SKIP LOCKED) AS told "
		"WHERE t.item_id = $1 AND t.seq = told.seq AND t.kind = 'compensated'",
	};
	Datum		value = Int64GetDatum(item->item_id);

	wf_plan_execute(&plan, &value, NULL);
}

/*
 * A timer of a locked item has fired: it may be that all is taken back.  Where the
 * state does not wait for that by itself, a revert has to have ended: that a step
 * has failed takes nothing back.
 */
void
wf_item_end_compensation(const WfItem *item, bool is_of_revert, const char *actor)
{
	const WfState *state = wf_item_state(wf_graph(item->workflow, item->version), item->state);
	WfMove		move = {0};

	if (wf_state_transition(state, WF_EVENT_COMPENSATED) == NULL ||
		!(is_of_revert || state->awaits_compensation) || !is_compensated(item))
		return;
	drop_news(item);
	move.event = WF_EVENT_COMPENSATED;
	move.kind = "engine";
	move.actor = actor;
	move.reason = "nothing is left to take back";
	(void) wf_item_move(item, &move);
}
