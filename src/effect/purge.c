/*
 * purge.c
 *	  Forgetting what effects carried, and not that they were.
 *
 * What is left of an effect is a tombstone: its key, its fingerprint, how it
 * ended and the receiver's id.  So an old key is met as before, and nothing is
 * done once more.
 */
#include "postgres.h"

#include "base/owner.h"
#include "base/plan.h"
#include "base/rows.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "fmgr.h"
#include "utils/timestamp.h"

/*
 * Not those whose jobs have yet to be told, nor those of items that are under
 * way: their results may be used.
 */
static WfPlan purge_plan = {
	.name = "purge effects",
	.expected = SPI_OK_UPDATE_RETURNING,
	.passes = "effect",
	.by_index = true,
	.nargs = 3,
	.argtypes = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID},
	.sql = "UPDATE workflow.effect SET body = NULL, headers = NULL, response = NULL, "
	"response_raw = NULL, previous = NULL, spec = spec - '{data,schema,reask}'::text[], purged_at = clock_timestamp() "
	"WHERE effect_id = ANY (ARRAY(SELECT e.effect_id FROM workflow.effect AS e "
	"WHERE e.finished_at >= $1::timestamptz AND e.finished_at < $2::timestamptz "
	"AND e.purged_at IS NULL "
	"AND e.state IN ('succeeded', 'failed', 'dead', 'cancelled') "
	"AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id) "
	"AND NOT EXISTS (SELECT FROM workflow.item AS i WHERE i.item_id = e.item_id AND i.outcome IS NULL) "
	"ORDER BY e.finished_at LIMIT $3::int4 FOR UPDATE OF e SKIP LOCKED)) "
	"RETURNING effect_id, finished_at",
};

static WfPlan purge_output_plan = {
	.name = "purge outputs of models",
	.expected = SPI_OK_UPDATE,
	.passes = "model_output",
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.sql = "UPDATE workflow.model_output SET output = NULL, errors = NULL "
	"WHERE effect_id = ANY ($1::int8[]) AND (output IS NOT NULL OR errors IS NOT NULL)",
};

static WfPlan oldest_plan = {
	.name = "oldest body of an effect",
	.expected = SPI_OK_SELECT,
	.nargs = 0,
	.sql = "SELECT min(finished_at) FROM workflow.effect "
	"WHERE finished_at IS NOT NULL AND purged_at IS NULL",
};

/*
 * Forgets what effects carried that finished within a time, the oldest first,
 * at most so many; returns of how many.  *from becomes when the last of them
 * finished: between there and here are those that are kept for now.
 */
uint64
wf_effect_purge(TimestampTz *from, TimestampTz until, int most)
{
	Datum		values[3] = {
		TimestampTzGetDatum(*from), TimestampTzGetDatum(until), Int32GetDatum(most)
	};
	WfRows	   *ids = wf_rows_make(&purge_output_plan);
	uint64		count = wf_plan_execute(&purge_plan, values, NULL);

	for (uint64 row = 0; row < count; row++)
	{
		Datum		id = wf_result_datum(row, 1, NULL);

		*from = Max(*from, DatumGetTimestampTz(wf_result_datum(row, 2, NULL)));
		wf_rows_add(ids, &id, NULL);
	}
	wf_rows_execute(ids);

	return count;
}

/*
 * When the oldest effect finished that still carries something; 0: none does.
 */
TimestampTz
wf_effect_oldest_body(void)
{
	Datum		value;
	bool		isnull;

	wf_plan_execute(&oldest_plan, NULL, NULL);
	value = wf_result_datum(0, 1, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

PG_FUNCTION_INFO_V1(wf_inner_purge_effects);

/*
 * _remove_bodies(finished_before timestamptz, most int) returns bigint
 */
Datum
wf_inner_purge_effects(PG_FUNCTION_ARGS)
{
	TimestampTz from = DT_NOBEGIN;
	WfCaller	caller;
	int64		count;

	wf_enter_owner(&caller);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	count = wf_effect_purge(&from, PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_INT32(1));
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_INT64(count);
}
