/*
 * rates.c
 *	  Charging rate limits with the units of jobs: that of a queue, or those of
 *	  its tenants.
 *
 * Jobs are charged in the order of the claim, until one does not fit; of a
 * tenant's own limit, until one of his does not.  Those are put back: who waits
 * is not charged.  The claim has locked the queue's row, which guards the
 * limits of its tenants as well.
 */
#include "postgres.h"

#include <math.h>

#include "base/clock.h"
#include "catalog/pg_type.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* So many tenants that have rested are forgotten by each claim. */
#define SWEEP_LIMIT 64

/* A job is charged with no more than a hundred years, whatever its units. */
#define LONGEST_US ((double) INT64CONST(3155760000) * USECS_PER_SEC)

/* The time that units take of the rate of queue q. */
#define UNITS_TIME(units) \
	"LEAST(" units " * (extract(epoch FROM q.rate_per)::float8 / q.rate_count), 3155760000) " \
	"  * interval '1 second'"

/* What a job has taken ($2) beyond what was thought ($3). */
#define MORE_TIME "(" UNITS_TIME("$2") " - " UNITS_TIME("$3") ")"

static WfPlan head_plan = {
	.name = "claim_head_units",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID},
	.sql =
	"SELECT j.units FROM workflow.job AS j "
	"WHERE j.kind = $1 AND j.queue = $2 AND j.status = 'ready' AND NOT j.behind AND j.run_at <= $3 "
	"ORDER BY j.priority, j.run_at, j.job_id LIMIT 1",
};

static WfPlan use_rate_plan = {
	.name = "claim_use_rate",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID},
	.sql = "UPDATE workflow.queue SET rate_next_at = $2 WHERE queue = $1",
};

static WfPlan tenant_plan = {
	.name = "tenant_rate",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID},
	.sql = "SELECT l.next_at FROM workflow.tenant_rate AS l WHERE l.queue = $1 AND l.tenant = $2",
};

static WfPlan use_tenant_plan = {
	.name = "claim_use_tenant_rate",
	.expected = SPI_OK_INSERT,
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID},
	.sql =
	"INSERT INTO workflow.tenant_rate (queue, tenant, next_at) VALUES ($1, $2, $3) "
	"ON CONFLICT (queue, tenant) DO UPDATE SET next_at = excluded.next_at",
};

static WfPlan next_tenant_plan = {
	.name = "next_tenant_rate",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID},
	.sql =
	"SELECT l.next_at FROM workflow.tenant_rate AS l WHERE l.queue = $1 AND l.next_at > $2 "
	"ORDER BY l.next_at LIMIT 1",
};

static WfPlan sweep_plan = {
	.name = "forget_rested_tenants",
	.expected = SPI_OK_DELETE,
	.passes = "tenant_rate",
	.nargs = 3,
	.argtypes = {TEXTOID, TIMESTAMPTZOID, INT8OID},
	.sql =
	"DELETE FROM workflow.tenant_rate AS l WHERE l.queue = $1 AND l.tenant = ANY (ARRAY("
	"  SELECT o.tenant FROM workflow.tenant_rate AS o WHERE o.queue = $1 AND o.next_at <= $2 "
	"  ORDER BY o.next_at LIMIT $3 FOR UPDATE SKIP LOCKED))",
};

static WfPlan settle_plan = {
	.name = "settle_rate",
	.expected = SPI_OK_UPDATE,
	.nargs = 4,
	.argtypes = {TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID},
	.sql =
	"UPDATE workflow.queue AS q "
	"SET rate_next_at = CASE WHEN $2 < $3 THEN q.rate_next_at ELSE GREATEST(q.rate_next_at, $4) END "
	"  + " MORE_TIME " "
	"WHERE q.queue = $1 AND q.rate_count IS NOT NULL AND NOT q.rate_per_tenant",
};

static WfPlan settle_tenant_plan = {
	.name = "settle_tenant_rate",
	.expected = SPI_OK_INSERT,
	.nargs = 5,
	.argtypes = {TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID, TEXTOID},
	.sql =
	"INSERT INTO workflow.tenant_rate AS l (queue, tenant, next_at) "
	"SELECT q.queue, $5, $4 + " MORE_TIME " FROM workflow.queue AS q "
	"WHERE q.queue = $1 AND q.rate_count IS NOT NULL AND q.rate_per_tenant "
	"ON CONFLICT (queue, tenant) DO UPDATE "
	"SET next_at = CASE WHEN $2 < $3 THEN l.next_at ELSE GREATEST(l.next_at, $4) END "
	"  + (excluded.next_at - $4)",
};

/*
 * Charges a limit with units; false when they do not fit, and then the claim
 * knows when they will.
 */
static bool
try_charge(WfClaim *claim, TimestampTz *next_at, int units)
{
	double		interval = claim->rate_interval_us;
	double		wanted = Min(units * interval, claim->rate_burst_us);
	TimestampTz opens_at = *next_at + (TimestampTz) ceil(wanted - claim->rate_burst_us - 1e-3);

	if (opens_at > claim->now)
	{
		claim->rate_opens_at = claim->rate_opens_at == 0 ? opens_at : Min(claim->rate_opens_at, opens_at);
		return false;
	}
	*next_at += (TimestampTz) Min(ceil(units * interval), LONGEST_US);

	return true;
}

/*
 * Whether a job of so many units would fit into the rate of the queue.
 */
bool
wf_claim_units_fit(WfClaim *claim, int units)
{
	TimestampTz next_at = claim->rate_next_at;

	return !claim->is_rate_limited || try_charge(claim, &next_at, units);
}

/*
 * The units of the first job in order; 0 when none is ready.
 */
int
wf_claim_head_units(const WfClaim *claim)
{
	Datum		values[] = {
		CStringGetTextDatum(claim->kind), CStringGetTextDatum(claim->queue),
		TimestampTzGetDatum(claim->now)
	};

	return wf_plan_execute(&head_plan, values, NULL) == 0 ? 0 : wf_result_int4(0, 1);
}

/*
 * Charges the rate of the queue; returns the jobs that fit, and puts back those
 * from the first on that does not.
 */
List *
wf_claim_use_rate(WfClaim *claim, List *jobs)
{
	TimestampTz next_at = claim->rate_next_at;
	List	   *losers = NIL;
	ListCell   *cell;
	Datum		values[2];

	foreach(cell, jobs)
	{
		WfJob	   *job = lfirst(cell);

		if (losers != NIL || !try_charge(claim, &next_at, job->units))
			losers = lappend(losers, job);
	}
	values[0] = CStringGetTextDatum(claim->queue);
	values[1] = TimestampTzGetDatum(next_at);
	if (list_length(losers) < list_length(jobs))
		wf_plan_execute(&use_rate_plan, values, NULL);

	return wf_claim_put_back(jobs, losers);
}

static bool
charge_tenant(WfClaim *claim, const WfJob *job)
{
	Datum		values[] = {
		CStringGetTextDatum(claim->queue), CStringGetTextDatum(job->tenant), 0
	};
	TimestampTz next_at = claim->now;

	if (wf_plan_execute(&tenant_plan, values, NULL) > 0)
		next_at = Max(next_at, DatumGetTimestampTz(wf_result_datum(0, 1, NULL)));
	if (!try_charge(claim, &next_at, job->units))
		return false;
	values[2] = TimestampTzGetDatum(next_at);
	wf_plan_execute(&use_tenant_plan, values, NULL);

	return true;
}

static bool
has_tenant(List *jobs, const char *tenant)
{
	ListCell   *cell;

	foreach(cell, jobs)
		if (strcmp(((WfJob *) lfirst(cell))->tenant, tenant) == 0)
		return true;

	return false;
}

/*
 * Charges the rates of their tenants; returns the jobs that fit.
 */
List *
wf_claim_use_tenant_rates(WfClaim *claim, List *jobs)
{
	List	   *losers = NIL;
	ListCell   *cell;

	foreach(cell, jobs)
	{
		WfJob	   *job = lfirst(cell);

		if (has_tenant(losers, job->tenant) || !charge_tenant(claim, job))
			losers = lappend(losers, job);
	}

	return wf_claim_put_back(jobs, losers);
}

/*
 * Notes when the limit of the next tenant may let something start, and forgets
 * tenants that have rested.
 */
void
wf_claim_note_tenant_rates(WfClaim *claim)
{
	TimestampTz closes = claim->now +
	(TimestampTz) floor(claim->rate_burst_us - claim->rate_interval_us + 1e-3);
	Datum		values[] = {
		CStringGetTextDatum(claim->queue), TimestampTzGetDatum(closes), Int64GetDatum(SWEEP_LIMIT)
	};

	if (wf_plan_execute(&next_tenant_plan, values, NULL) > 0)
	{
		TimestampTz opens_at = claim->now +
		(DatumGetTimestampTz(wf_result_datum(0, 1, NULL)) - closes);

		claim->rate_opens_at = claim->rate_opens_at == 0 ? opens_at : Min(claim->rate_opens_at, opens_at);
	}
	values[1] = TimestampTzGetDatum(claim->now);
	wf_plan_execute(&sweep_plan, values, NULL);
}

void
wf_queue_settle_units(const WfJob *job, int units)
{
	Datum		values[] = {
		CStringGetTextDatum(job->queue), Int32GetDatum(units), Int32GetDatum(job->units),
		TimestampTzGetDatum(wf_now()), wf_text_datum(job->tenant)
	};

	if (units == job->units)
		return;
	if (wf_plan_execute(&settle_plan, values, NULL) == 0 && job->tenant != NULL)
		wf_plan_execute(&settle_tenant_plan, values, NULL);
	if (units < job->units)
		wf_wake_at_commit(wf_job_topic(job->kind), job->queue);
}
