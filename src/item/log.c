/*
 * log.c
 *	  The log of transitions.
 *
 * One row for each transition, written in its transaction and never changed
 * (triggers of sql/base.sql refuse it).
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/*
 * Logs a transition; its time is when the item entered the new state.
 */
void
wf_item_log(const WfLogRow *row)
{
	static WfPlan plan = {
		.name = "log transition",
		.expected = SPI_OK_INSERT,
		.nargs = 11,
		.argtypes = {INT8OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, JSONBOID},
		.sql = "INSERT INTO workflow.transition (item_id, seq, from_state, event, to_state, "
		"kind, actor, reason, at, version, data) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
	};
	const WfItem *item = row->item;
	const WfMove *move = row->move;
	Datum		values[11];
	char		nulls[11];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	values[2] = wf_text_datum(row->from_state);
	nulls[2] = WF_NULL_FLAG(row->from_state);
	values[3] = CStringGetTextDatum(move->event);
	values[4] = CStringGetTextDatum(item->state);
	values[5] = CStringGetTextDatum(move->kind);
	values[6] = CStringGetTextDatum(move->actor);
	values[7] = wf_text_datum(move->reason);
	nulls[7] = WF_NULL_FLAG(move->reason);
	values[8] = TimestampTzGetDatum(item->since);
	values[9] = Int32GetDatum(item->version);
	values[10] = move->event_data == NULL ? (Datum) 0 : JsonbPGetDatum(move->event_data);
	nulls[10] = WF_NULL_FLAG(move->event_data);

	if (wf_plan_execute(&plan, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the move of item " INT64_FORMAT " was not logged", item->item_id),
				 errdetail("A trigger of workflow.transition suppressed the row of the log."),
				 errhint("Drop the trigger.")));
}
