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
	.expected = SPI_OK_UPDATE,
	.passes = "effect",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT4OID},
	.sql = "UPDATE workflow.effect SET body = NULL, headers = NULL, response = NULL, "
	"response_raw = NULL, previous = NULL, spec = spec - 'data', purged_at = clock_timestamp() "
	"WHERE effect_id = ANY (ARRAY(SELECT e.effect_id FROM workflow.effect AS e "
	"WHERE e.finished_at < $1::timestamptz AND e.purged_at IS NULL "
	"AND e.state IN ('succeeded', 'failed', 'dead', 'cancelled') "
	"AND NOT EXISTS (SELECT FROM workflow.job AS j WHERE j.effect_id = e.effect_id) "
	"AND NOT EXISTS (SELECT FROM workflow.item AS i WHERE i.item_id = e.item_id AND i.outcome IS NULL) "
	"ORDER BY e.finished_at LIMIT $2::int4 FOR UPDATE OF e SKIP LOCKED))",
};

static WfPlan purge_output_plan = {
	.name = "purge outputs of models",
	.expected = SPI_OK_UPDATE,
	.passes = "model_output",
	.nargs = 0,
	.sql = "UPDATE workflow.model_output AS m SET output = NULL FROM workflow.effect AS e "
	"WHERE e.effect_id = m.effect_id AND e.purged_at IS NOT NULL AND m.output IS NOT NULL",
};

PG_FUNCTION_INFO_V1(wf_inner_purge_effects);

/*
 * _remove_bodies(finished_before timestamptz, most int) returns bigint
 */
Datum
wf_inner_purge_effects(PG_FUNCTION_ARGS)
{
	Datum		values[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	WfCaller	caller;
	int64		count;

	wf_enter_owner(&caller);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	count = wf_plan_execute(&purge_plan, values, NULL);
	if (count > 0)
		wf_plan_execute(&purge_output_plan, NULL, NULL);
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_INT64(count);
}
