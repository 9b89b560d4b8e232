/*
 * rates.c
 *	  Charging rate limits with the units of jobs: that of a queue, or those of
 *	  its tenants.
 *
 * Jobs are charged in the order of the claim, until one does not fit; of a
 * tenant's own limit, until one of his does not.  Those are put back: who waits
 * is not charged.  What has been charged stays so when the claim is rolled back, as
 * that of any attempt that comes to nothing.
 */
#include "postgres.h"

#include <math.h>

#include "base/clock.h"
#include "base/rate.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* A job is charged with no more than a hundred years, whatever its units. */
#define LONGEST_US ((double) INT64CONST(3155760000) * USECS_PER_SEC)

static WfPlan head_plan = {
	.name = "claim_head_units",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 7,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
	.sql =
	"SELECT j.units FROM workflow.job AS j "
	"WHERE j.kind = $1 AND j.queue = $2 AND j.status = 'ready' AND NOT j.behind AND j.run_at <= $3 "
	"  AND (j.priority, j.run_at) >= ($4, $5) AND (j.priority, j.run_at) <= ($6, $7) "
	"ORDER BY j.priority, j.run_at, j.job_id LIMIT 1",
};

static WfPlan limit_plan = {
	.name = "rate_limit_of_queue",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql =
	"SELECT q.rate_count, q.rate_per, q.rate_per_tenant FROM workflow.queue AS q "
	"WHERE q.queue = $1 AND q.rate_count IS NOT NULL",
};

/*
 * What a test does with another time than that of others, or runs in the foreground, is
 * not to be felt when it has been rolled back.
 */
static WfRateMode
mode_of(const char *kind)
{
	bool		is_run = strcmp(kind, "task") != 0 && MyBackendType == B_BACKEND;

	return wf_clock_is_faked() || is_run ? WF_RATE_IS_UNDONE : WF_RATE_STAYS;
}

/* No limit is charged further ahead. */
#define MOST_AHEAD_US ((TimestampTz) (100 * LONGEST_US))

/* The time that units take of a rate. */
static double
units_us(int units, double interval_us)
{
	return Min(ceil(units * interval_us), LONGEST_US);
}

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
	*next_at += (TimestampTz) units_us(units, interval);

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
	WfReadySpan spans[WF_READY_PRIORITIES];
	int			n = wf_ready_spans(&claim->ready, claim->now, spans);

	for (int i = 0; i < n; i++)
	{
		Datum		values[] = {
			CStringGetTextDatum(claim->kind), CStringGetTextDatum(claim->queue),
			TimestampTzGetDatum(claim->now),
			Int32GetDatum(spans[i].from_priority), TimestampTzGetDatum(spans[i].from),
			Int32GetDatum(spans[i].until_priority), TimestampTzGetDatum(spans[i].until)
		};

		if (wf_plan_execute(&head_plan, values, NULL) > 0)
			return wf_result_int4(0, 1);
	}

	return 0;
}

/* The jobs of a claim, in order, and how many of them have been charged. */
typedef struct Charge
{
	WfClaim    *claim;
	List	   *jobs;
	int			fit;
} Charge;

static TimestampTz
charge_jobs(TimestampTz next_at, void *argument)
{
	Charge	   *charge = argument;
	TimestampTz after = Max(next_at, charge->claim->now);
	ListCell   *cell;

	charge->fit = 0;
	foreach(cell, charge->jobs)
	{
		if (!try_charge(charge->claim, &after, ((WfJob *) lfirst(cell))->units))
			break;
		charge->fit++;
	}

	return charge->fit == 0 ? next_at : after;
}

/*
 * Charges jobs to a limit; how many of them fit.
 */
static int
charge_to(WfClaim *claim, WfRateKey key, List *jobs)
{
	Charge		charge = {.claim = claim,.jobs = jobs};

	if (!wf_rate_charge(&key, mode_of(claim->kind), false, charge_jobs, &charge))
		claim->is_contended = true;

	return charge.fit;
}

/*
 * Charges the rate of the queue; returns the jobs that fit, and puts back those
 * from the first on that does not.
 */
List *
wf_claim_use_rate(WfClaim *claim, List *jobs)
{
	WfRateKey	key = {WF_RATE_QUEUE, claim->queue, ""};
	int			fit = jobs == NIL ? 0 : charge_to(claim, key, jobs);

	return wf_claim_put_back(jobs, list_copy_tail(jobs, fit));
}

/*
 * Whether the limit of a tenant lets a job of so many units start; if not the claim
 * knows when it will.
 */
bool
wf_claim_tenant_is_open(WfClaim *claim, const char *tenant, int units)
{
	WfRateKey	key = {WF_RATE_TENANT, claim->queue, tenant};
	TimestampTz next_at = Max(claim->now, wf_rate_read(&key));

	return try_charge(claim, &next_at, units);
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
		WfRateKey	key = {WF_RATE_TENANT, claim->queue, job->tenant};

		if (has_tenant(losers, job->tenant) || charge_to(claim, key, list_make1(job)) == 0)
			losers = lappend(losers, job);
	}

	return wf_claim_put_back(jobs, losers);
}

/* What a job has really taken. */
typedef struct Settlement
{
	TimestampTz now;
	TimestampTz more_us;		/* than it was charged with; less than 0: it
								 * took less */
} Settlement;

static TimestampTz
settle(TimestampTz next_at, void *argument)
{
	const Settlement *settlement = argument;

	if (settlement->more_us > 0)
		next_at = Max(next_at, settlement->now);

	return next_at == WF_RATE_RESTED ? next_at :
		Min(next_at + settlement->more_us, settlement->now + MOST_AHEAD_US);
}

/*
 * Charges a job with the units that it has really taken instead of what was thought.
 */
void
wf_queue_settle_units(const WfJob *job, int units)
{
	Datum		queue = CStringGetTextDatum(job->queue);
	Settlement	settlement = {.now = wf_now()};
	WfRateKey	key = {WF_RATE_QUEUE, job->queue, ""};
	double		interval;

	if (units == job->units || wf_plan_execute(&limit_plan, &queue, NULL) == 0)
		return;
	interval = (double) wf_interval_us(DatumGetIntervalP(wf_result_datum(0, 2, NULL))) /
		wf_result_int4(0, 1);
	settlement.more_us = (TimestampTz) (units_us(units, interval) - units_us(job->units, interval));
	if (DatumGetBool(wf_result_datum(0, 3, NULL)))
	{
		key.kind = WF_RATE_TENANT;
		key.tenant = job->tenant == NULL ? "" : job->tenant;
	}
	wf_rate_charge(&key, mode_of(job->kind), true, settle, &settlement);
	if (units < job->units)
		wf_wake_at_commit(wf_job_topic(job->kind), job->queue);
}
