/*
 * rate.c
 *	  Rate limits of endpoints.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "utils/timestamp.h"

/* How soon to look again at a row that somebody holds. */
#define BUSY_US			(INT64CONST(100) * 1000)

/*
 * GCRA: a limit of n in a time is n at once, then one each time/n.  A guard may
 * hold the row for as long as its transaction lasts: nobody waits for that.
 */
static WfPlan take_rate_plan = {
	.name = "take from rate limit",
	.expected = SPI_OK_UPDATE_RETURNING,
	.nargs = 4,
	.argtypes = {INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID},
	.sql = "UPDATE workflow.endpoint SET rate_next_at = "
	"greatest(coalesce(rate_next_at, $2::timestamptz), $2::timestamptz) "
	"+ $3::int8 * interval '1 microsecond' "
	"WHERE endpoint_id = (SELECT p.endpoint_id FROM workflow.endpoint AS p "
	"WHERE p.endpoint_id = $1::int4 FOR NO KEY UPDATE SKIP LOCKED) "
	"AND (rate_next_at IS NULL OR rate_next_at "
	"<= $2::timestamptz + ($4::int8 - $3::int8) * interval '1 microsecond') "
	"RETURNING rate_next_at",
};

static WfPlan rate_next_plan = {
	.name = "next of rate limit",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT4OID},
	.sql = "SELECT rate_next_at FROM workflow.endpoint WHERE endpoint_id = $1::int4",
};

/*
 * Takes one from the endpoint's rate limit; returns when to try again, or 0.
 */
TimestampTz
wf_endpoint_take_rate(const WfEndpoint *endpoint)
{
	TimestampTz now = wf_now();
	int64		step_us = endpoint->rate_count == 0 ? 0 :
	endpoint->rate_per_us / endpoint->rate_count;
	Datum		values[4] = {
		Int32GetDatum(endpoint->endpoint_id), TimestampTzGetDatum(now),
		Int64GetDatum(step_us), Int64GetDatum(endpoint->rate_per_us)
	};
	TimestampTz next_at;

	if (endpoint->rate_count == 0 || wf_plan_execute(&take_rate_plan, values, NULL) > 0)
		return 0;
	if (wf_plan_execute(&rate_next_plan, values, NULL) == 0)
		return 0;
	next_at = wf_result_is_null(0, 1) ? 0 :
		DatumGetTimestampTz(wf_result_datum(0, 1, NULL)) - (endpoint->rate_per_us - step_us);

	return Max(next_at, now + (next_at > now ? 0 : BUSY_US));
}
