/*
 * expire.c
 *	  Dead letters that are older than their queue keeps them.
 *
 * Only of jobs that stand alone: an item waits in its state with its dead
 * letter, and is nobody's to end.  A job stays, too, while the effect that it
 * carries may have been applied or has yet to be sent.  What was tried is on
 * record, and so is the effect; the journal says how many went.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "queue_internal.h"
#include "utils/timestamp.h"

/* Whose dead letter j is, and whether it may go when it comes of age. */
#define EXPIRES \
	"q.queue = coalesce(j.dead_letter, j.queue) AND q.dead_letter_retention IS NOT NULL " \
	"AND j.status = 'dead' AND j.item_id IS NULL " \
	"AND NOT EXISTS (SELECT FROM workflow.effect AS e WHERE e.effect_id = j.effect_id " \
	"  AND e.state NOT IN ('succeeded', 'failed', 'dead', 'cancelled')) "

static WfPlan expire_plan = {
	.name = "remove dead letters",
	.expected = SPI_OK_SELECT,
	.passes = "job",
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT4OID},
	.sql =
	"WITH old AS MATERIALIZED ("
	"  SELECT j.job_id, q.queue, q.dead_letter_retention "
	"  FROM workflow.job AS j, workflow.queue AS q WHERE " EXPIRES
	"    AND j.failed_at + q.dead_letter_retention <= $1::timestamptz "
	"  ORDER BY j.failed_at LIMIT $2::int4 FOR UPDATE OF j SKIP LOCKED), "
	"gone AS (DELETE FROM workflow.job AS j USING old WHERE j.job_id = old.job_id "
	"  RETURNING old.queue, old.dead_letter_retention) "
	"SELECT g.n, workflow._note('pg_workflow', 'purge_dead_letters', NULL, 'queue:' || g.queue, NULL, "
	"  pg_catalog.jsonb_build_object('older_than', g.retention::text, 'dead_letters', g.n)) "
	"FROM (SELECT queue, min(dead_letter_retention) AS retention, count(*) AS n "
	"      FROM gone GROUP BY queue) AS g",
};

static WfPlan due_plan = {
	.name = "oldest dead letter",
	.expected = SPI_OK_SELECT,
	.sql =
	"SELECT min(j.failed_at + q.dead_letter_retention) "
	"FROM workflow.job AS j, workflow.queue AS q WHERE " EXPIRES,
};

static WfPlan retention_plan = {
	.name = "shortest retention of dead letters",
	.expected = SPI_OK_SELECT,
	.sql =
	"SELECT coalesce(least(2147483647, ceil(extract(epoch FROM min(dead_letter_retention))))::int4, -1) "
	"FROM workflow.queue",
};

/*
 * Removes dead letters that have come of age, the oldest first, at most so many;
 * returns how many.
 */
uint64
wf_queue_expire(int most)
{
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp()), Int32GetDatum(most)};
	uint64		found = wf_plan_execute(&expire_plan, values, NULL);
	uint64		count = 0;

	for (uint64 row = 0; row < found; row++)
		count += wf_result_int8(row, 1);

	return count;
}

/*
 * When the first dead letter of those that there are comes of age; 0: none does.
 */
TimestampTz
wf_queue_next_expiry(void)
{
	Datum		value;
	bool		isnull;

	wf_plan_execute(&due_plan, NULL, NULL);
	value = wf_result_datum(0, 1, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/*
 * The shortest time, in seconds, for which a queue keeps its dead letters; -1:
 * all are kept for ever.
 */
int
wf_queue_shortest_retention_s(void)
{
	wf_plan_execute(&retention_plan, NULL, NULL);

	return wf_result_int4(0, 1);
}
