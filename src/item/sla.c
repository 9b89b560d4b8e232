/*
 * sla.c
 *	  Visits of states that declare an SLA.
 *
 * Such a visit has a row while it lasts, which says when it is late; the alerts
 * look at it (sql/alert_conditions.sql).  One that was left early leaves none.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"

/*
 * Begins to count, from then on.
 */
void
wf_item_begin_sla(const WfItem *item, const WfState *state, TimestampTz from)
{
	static WfPlan plan = {
		.name = "begin sla",
		.expected = SPI_OK_INSERT,
		.nargs = 7,
		.argtypes = {INT8OID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID},
		.sql = "INSERT INTO workflow.visit_sla (item_id, seq, workflow, state, entered_at, warn_at, due_at) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
	};
	Datum		values[7];
	TimestampTz warn_at = from + state->sla_us / 5 * 4;

	if (state->sla_us == 0)
		return;
	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	values[2] = wf_text_datum(item->workflow);
	values[3] = wf_text_datum(state->name);
	values[4] = TimestampTzGetDatum(from);
	values[5] = TimestampTzGetDatum(warn_at);
	values[6] = TimestampTzGetDatum(from + state->sla_us);
	wf_plan_execute(&plan, values, NULL);
	wf_wake_watch_by_at_commit(warn_at);
}

/*
 * The visit is over; item is as it was in it.
 */
void
wf_item_end_sla(const WfItem *item, const WfState *state)
{
	static WfPlan forget_plan = {
		.name = "forget sla",
		.expected = SPI_OK_DELETE,
		.passes = "visit_sla",
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TIMESTAMPTZOID},
		.sql = "DELETE FROM workflow.visit_sla WHERE item_id = $1 AND seq = $2 AND warn_at > $3",
	};
	static WfPlan end_plan = {
		.name = "end sla",
		.expected = SPI_OK_UPDATE,
		.nargs = 3,
		.argtypes = {INT8OID, INT4OID, TIMESTAMPTZOID},
		.sql = "UPDATE workflow.visit_sla SET left_at = $3 "
		"WHERE item_id = $1 AND seq = $2 AND left_at IS NULL",
	};
	Datum		values[3];

	if (state->sla_us == 0)
		return;
	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	values[2] = TimestampTzGetDatum(wf_now());
	if (wf_plan_execute(&forget_plan, values, NULL) == 0 &&
		wf_plan_execute(&end_plan, values, NULL) > 0)
		wf_wake_watch_at_commit();
}
