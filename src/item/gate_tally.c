/*
 * gate_tally.c
 *	  Adding up what gates have decided.
 *
 * A decision leaves a row in workflow.gate_change, and so does what a review
 * says of it.  Whoever adds up takes many of them away at once and adds them to
 * workflow.gate_tally.  Days of more than two months ago become months, so the
 * tally stays short however long it is kept.
 */
#include "postgres.h"

#include "base/config.h"
#include "base/plan.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "item/item.h"
#include "utils/timestamp.h"

#define CELL \
	"workflow, version, state, model_version, day, bucket, tier, diverted, shadow_tier, " \
	"decision, reason_code, verdict, edited"
#define CELL_OF_MONTH \
	"workflow, version, state, model_version, date_trunc('month', day)::date, bucket, tier, diverted, shadow_tier, " \
	"decision, reason_code, verdict, edited"
#define ADD \
	"INSERT INTO workflow.gate_tally AS t (" CELL ", decided, total) "
#define TO_CELL \
	" ON CONFLICT (" CELL ") DO UPDATE " \
	"SET decided = t.decided + excluded.decided, total = t.total + excluded.total"

static WfPlan add_plan = {
	.name = "add up decisions of gates",
	.expected = SPI_OK_SELECT,
	.passes = "gate_change",
	.by_index = true,
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT4OID},
	.sql = "WITH taken AS (DELETE FROM workflow.gate_change "
	"WHERE change_id = ANY (ARRAY(SELECT c.change_id FROM workflow.gate_change AS c "
	"WHERE c.at < $1 ORDER BY c.change_id LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING *), "
	"added AS (" ADD
	"SELECT " CELL ", sum(decided), sum(total) FROM taken GROUP BY " CELL " ORDER BY " CELL TO_CELL ") "
	"SELECT count(*) FROM taken",
};

static WfPlan oldest_plan = {
	.name = "oldest decision of a gate to add up",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.sql = "SELECT at FROM workflow.gate_change ORDER BY change_id LIMIT 1",
};

static WfPlan months_plan = {
	.name = "add up days of gates",
	.expected = SPI_OK_SELECT,
	.passes = "gate_tally",
	.nargs = 1,
	.argtypes = {TIMESTAMPTZOID},
	.sql = "WITH taken AS (DELETE FROM workflow.gate_tally "
	"WHERE day < date_trunc('month', $1 - interval '2 months')::date AND date_trunc('month', day)::date <> day RETURNING *), "
	"added AS (" ADD
	"SELECT " CELL_OF_MONTH ", sum(decided), sum(total) FROM taken GROUP BY " CELL_OF_MONTH
	" ORDER BY " CELL_OF_MONTH TO_CELL ") "
	"SELECT count(*) FROM taken",
};

/*
 * Adds up decisions that were counted before a time, at most so many; returns
 * how many.
 */
uint64
wf_gate_add_up(TimestampTz until, int most)
{
	Datum		values[2] = {TimestampTzGetDatum(until), Int32GetDatum(most)};
	uint64		added;

	wf_plan_execute(&add_plan, values, NULL);
	added = (uint64) wf_result_int8(0, 1);
	if (added < most)
		wf_plan_execute(&months_plan, values, NULL);

	return added;
}

/*
 * When the oldest was counted that is not added up; 0: there is none.
 */
TimestampTz
wf_gate_oldest_change(void)
{
	bool		isnull;
	Datum		value;

	if (wf_plan_execute(&oldest_plan, NULL, NULL) == 0)
		return 0;
	value = wf_result_datum(0, 1, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

PG_FUNCTION_INFO_V1(wf_gate_counted);

/*
 * _gate_counted(): a trigger after rows were added to gate_change
 */
Datum
wf_gate_counted(PG_FUNCTION_ARGS)
{
	wf_wake_aging_at_commit(WF_AGING_GATE, GetCurrentTimestamp() + wf_gate_interval_s * USECS_PER_SEC);

	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(wf_inner_add_up_gates);

/*
 * _add_up_gates(until, most) returns bigint
 */
Datum
wf_inner_add_up_gates(PG_FUNCTION_ARGS)
{
	uint64		added;

	SPI_connect();
	added = wf_gate_add_up(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_INT32(1));
	SPI_finish();

	PG_RETURN_INT64((int64) added);
}
