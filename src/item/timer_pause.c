/*
 * timer_pause.c
 *	  What is due of an item that is paused, by itself or with its workflow.
 *
 * It is put aside once and not looked at again: else whoever looks for timers
 * would pass over all of them each time.  The end of the pause sets it back
 * (sql/item.sql) under the lock of the item's or the workflow's row, so that it
 * either finds the timer put aside, or is found here to have been.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/builtins.h"

/*
 * Removes the timers of an item that is not there, as where a superuser has
 * deleted it; returns false when it is there, and held by somebody.
 */
bool
wf_item_drop_lost_timer(int64 item_id)
{
	static WfPlan plan = {
		.name = "drop timers of no item",
		.expected = SPI_OK_DELETE,
		.passes = "timer",
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "DELETE FROM workflow.timer AS t WHERE t.item_id = $1 "
		"AND NOT EXISTS (SELECT FROM workflow.item AS i WHERE i.item_id = t.item_id)",
	};
	Datum		value = Int64GetDatum(item_id);

	return wf_plan_execute(&plan, &value, NULL) > 0;
}

/*
 * Whether the item, which is locked, is paused and stays so until this
 * transaction ends.
 */
static bool
hold_pause(const WfItem *item)
{
	static WfPlan item_plan = {
		.name = "pause of item",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT 1 FROM workflow.item WHERE item_id = $1 AND paused_at IS NOT NULL",
	};
	static WfPlan workflow_plan = {
		.name = "pause of workflow",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {TEXTOID},
		.sql = "SELECT 1 FROM workflow.workflow WHERE workflow = $1 AND paused_at IS NOT NULL "
		"FOR SHARE SKIP LOCKED",
	};
	Datum		item_id = Int64GetDatum(item->item_id);
	Datum		workflow = CStringGetTextDatum(item->workflow);

	return wf_plan_execute(&item_plan, &item_id, NULL) > 0 ||
		wf_plan_execute(&workflow_plan, &workflow, NULL) > 0;
}

/*
 * Puts a timer aside until the pause of its item ends; returns false when that
 * may be just ending.
 */
bool
wf_item_put_timer_aside(const WfItem *item, int seq, const char *kind)
{
	static WfPlan plan = {
		.name = "put timer aside",
		.expected = SPI_OK_UPDATE,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TEXTOID},
		.sql = "UPDATE workflow.timer SET paused_due_at = due_at, due_at = 'infinity' "
		"WHERE item_id = $1 AND seq = $2 AND kind = $3",
	};
	Datum		values[3];

	if (!hold_pause(item))
		return false;
	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(seq);
	values[2] = CStringGetTextDatum(kind);
	wf_plan_execute(&plan, values, NULL);

	return true;
}
