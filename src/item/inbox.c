/*
 * inbox.c
 *	  Forgetting what webhooks carried, and not that they were.
 *
 * What is left is a tombstone: one that comes again is met as before, and the
 * digest tells whether it is the same.  What was not fed is kept: it
 * still can be, and so can what was ignored; not what was dismissed.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item.h"
#include "utils/timestamp.h"

static WfPlan purge_plan = {
	.name = "purge webhooks",
	.expected = SPI_OK_UPDATE,
	.passes = "inbox",
	.by_index = true,
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT4OID},
	.sql = "UPDATE workflow.inbox SET body_digest = sha256(body), body = '', headers = '{}', "
	"purged_at = clock_timestamp() "
	"WHERE inbox_id = ANY (ARRAY(SELECT i.inbox_id FROM workflow.inbox AS i "
	"WHERE i.received_at < $1::timestamptz AND i.status IN ('fed', 'dismissed') AND i.purged_at IS NULL "
	"ORDER BY i.received_at LIMIT $2::int4 FOR UPDATE SKIP LOCKED))",
};

static WfPlan oldest_plan = {
	.name = "oldest body of a webhook",
	.expected = SPI_OK_SELECT,
	.nargs = 0,
	.sql = "SELECT min(received_at) FROM workflow.inbox "
	"WHERE status IN ('fed', 'dismissed') AND purged_at IS NULL",
};

/*
 * Forgets what webhooks carried that were received before a time, the oldest
 * first, at most so many; returns of how many.
 */
uint64
wf_inbox_purge(TimestampTz until, int most)
{
	Datum		values[2] = {TimestampTzGetDatum(until), Int32GetDatum(most)};

	return wf_plan_execute(&purge_plan, values, NULL);
}

/*
 * When the oldest webhook was received that may be purged; 0: there is none.
 */
TimestampTz
wf_inbox_oldest_body(void)
{
	Datum		value;
	bool		isnull;

	wf_plan_execute(&oldest_plan, NULL, NULL);
	value = wf_result_datum(0, 1, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}
