/*
 * quarantine.c
 *	  Effects that the original of this database may have made.
 *
 * A copy lags behind its original: an item that is older than the copy may
 * have gone further there, and have made what it is about to make here.
 */
#include "postgres.h"

#include "base/cluster.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/quarantine.h"
#include "utils/timestamp.h"

static WfPlan older_item_plan = {
	.name = "item older than the copy",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT8OID, TIMESTAMPTZOID},
	.sql = "SELECT i.received_at FROM workflow.item AS i "
	"WHERE i.item_id = $1 AND i.received_at < $2",
};

/*
 * Since when a new effect may have been applied; 0: it is new.
 */
TimestampTz
wf_in_doubt_since(const WfIntent *intent)
{
	Datum		values[2] = {Int64GetDatum(intent->item_id)};
	TimestampTz since;

	if (intent->item_id == 0)
		return 0;
	since = wf_cluster_quarantined_since();
	values[1] = TimestampTzGetDatum(since);
	if (since == 0 || wf_plan_execute(&older_item_plan, values, NULL) == 0)
		return 0;

	return DatumGetTimestampTz(wf_result_datum(0, 1, NULL));
}
