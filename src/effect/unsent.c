/*
 * unsent.c
 *	  A send that was begun and is proven not to have reached the wire.
 *
 * "sending" is committed before the first byte leaves, so the ledger says that
 * something may have been sent before anybody knows.  When it is known that
 * nothing was, that is taken back: no window of the key runs, and the item has
 * attempted nothing.  What the address guard refused was no attempt at all.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"

static WfPlan take_back_plan = {
	.name = "take back a send",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = "UPDATE workflow.effect AS e SET attempts = attempts - $2::int4, "
	"first_sent_at = CASE WHEN EXISTS (SELECT FROM workflow.attempt AS a "
	"WHERE a.effect_id = e.effect_id AND workflow._was_sent(a)) THEN first_sent_at END "
	"WHERE e.effect_id = $1::int8",
};

/*
 * See above; called before the attempt is noted, with the effect as it was
 * while it was sending.
 */
void
wf_effect_take_back_send(const WfEffect *effect, const WfExchange *exchange)
{
	Datum		values[2];

	if (exchange == NULL || exchange->phase != 0 || !wf_effect_is(effect, "sending"))
		return;
	values[0] = Int64GetDatum(effect->effect_id);
	values[1] = Int32GetDatum(exchange->refused_by_guard ? 1 : 0);
	wf_plan_execute(&take_back_plan, values, NULL);
}
