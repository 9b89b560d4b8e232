/*
 * tell.c
 *	  Telling jobs what became of their effects.
 *
 * The ledger knows it already, committed; so nothing is lost when a job cannot
 * be told now, and nobody is waited for.  Each job is told in a subtransaction:
 * one that raises costs itself only.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/deferred.h"
#include "base/sweep.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "worker/tell.h"

#define LOCK_TIMEOUT_MS 300

typedef struct Telling
{
	WfFollow	follow;
	const WfJob *job;
	WfFollowed	followed;
	const char *why;
	bool		is_put_off;
} Telling;

static void
follow(void *argument)
{
	Telling    *telling = argument;

	telling->followed = wf_item_follow_effect(&telling->follow, telling->job);
	wf_deferred_fire_steps();
}

static void
put_off(void *argument)
{
	Telling    *telling = argument;

	telling->is_put_off = wf_item_put_off(telling->job, telling->why);
}

/*
 * Rows are not waited for at all; but the triggers of users and the keys that
 * others are just inserting may be.
 */
void
wf_tell_limit_waits(void)
{
	if (LockTimeout > 0 && LockTimeout <= LOCK_TIMEOUT_MS)
		return;
	(void) set_config_option("lock_timeout", CppAsString2(LOCK_TIMEOUT_MS), PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

void
wf_tell_raise_cancel(const WfDispatcher *by, const WfFault *fault)
{
	if (by->in_session && fault->sqlstate == ERRCODE_QUERY_CANCELED)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("%s", fault->message)));
}

bool
wf_tell_put_off(const WfJob *job, const WfFault *fault)
{
	Telling		telling = {.job = job,.why = fault->message};
	WfFault		ignored;

	ereport(WARNING,
			(errcode(fault->sqlstate),
			 errmsg("job " INT64_FORMAT " cannot follow effect " INT64_FORMAT ": %s",
					job->job_id, job->effect_id, fault->message),
			 errdetail("The outcome is on record; the job waits and is told again in a minute.")));

	return wf_round_try(put_off, &telling, &ignored) && telling.is_put_off;
}

bool
wf_tell_jobs(const WfDispatcher *by, int64 effect_id, const WfJob *own, TimestampTz not_before,
			 const char *waiting_on)
{
	Telling		telling = {.follow = {not_before, by->actor, waiting_on}};
	List	   *jobs = wf_item_jobs_of_effect(effect_id, own);
	bool		told_all = true;
	ListCell   *cell;

	if (jobs == NIL)
		return wf_effect_settle_unwanted(effect_id);
	foreach(cell, jobs)
	{
		WfFault		fault;

		CHECK_FOR_INTERRUPTS();
		telling.job = lfirst(cell);
		if (wf_round_try(follow, &telling, &fault))
		{
			if (telling.followed == WF_FOLLOW_LATER)
				told_all = false;
			if (telling.followed == WF_FOLLOWED_ALL)
				break;
			continue;
		}
		wf_tell_raise_cancel(by, &fault);
		if (wf_fault_is_passing(&fault) || !wf_tell_put_off(telling.job, &fault))
			told_all = false;
	}

	return told_all;
}

static WfPlan untold_plan = {
	.name = "effects whose jobs were not told",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT4OID, INT8ARRAYOID},
	.sql = "SELECT effect_id, due_at FROM workflow._untold_effects($1) "
	"WHERE effect_id <> ALL ($2)",
};

/*
 * Looking for who was not told takes at most a twentieth of the time, where it
 * takes any time worth counting.
 */
#define TELLING_PAUSE_FACTOR 20
#define TELLING_COST_US 10000

/* How soon one is told again that somebody held. */
#define TELL_AGAIN_MS 1000

static TimestampTz next_telling = 0;

/* Whether a process may have died that was to tell that an item has left. */
static bool may_be_orphans = true;

/* Effects whose jobs refused even to be put off. */
static WfAside refused = {0};

/*
 * Whoever was to tell these is gone, or could not have them.  Finds those that
 * are due now; sets the time of the next look.
 */
static int
find_untold(int64 *effects, int size)
{
	Datum		values[2] = {Int32GetDatum(size + refused.n), wf_aside_ids(&refused)};
	TimestampTz now = wf_now();
	uint64		found = wf_plan_execute(&untold_plan, values, NULL);
	int			n = 0;

	next_telling = 0;
	for (uint64 row = 0; row < found; row++)
	{
		TimestampTz due_at = DatumGetTimestampTz(wf_result_datum(row, 2, NULL));

		if (due_at > now)
		{
			if (next_telling == 0)
				next_telling = due_at;
		}
		else if (n < size)
			effects[n++] = wf_result_int8(row, 1);
	}

	return n;
}

int
wf_tell_find_untold(const WfDispatcher *by, int64 *effects, int size)
{
	static TimestampTz paused_until = 0;
	TimestampTz began_at = GetCurrentTimestamp();
	int64		took_us;
	int			n;

	if (!by->in_session && began_at < paused_until)
	{
		next_telling = paused_until;
		return 0;
	}
	n = find_untold(effects, size);
	if (may_be_orphans && n < size)
	{
		int			norphans = wf_effect_find_orphans(&effects[n], size - n,
													  wf_aside_ids(&refused));

		may_be_orphans = norphans == size - n;
		n += norphans;
	}
	took_us = GetCurrentTimestamp() - began_at;
	if (took_us > TELLING_COST_US)
		paused_until = began_at + took_us * TELLING_PAUSE_FACTOR;

	return n;
}

bool
wf_tell_all_jobs(const WfDispatcher *by, int64 effect_id)
{
	if (wf_tell_jobs(by, effect_id, NULL, 0, NULL))
		return true;
	next_telling = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TELL_AGAIN_MS);

	return false;
}

void
wf_tell_expect_orphans(void)
{
	may_be_orphans = true;
}

void
wf_tell_leave_aside(int64 effect_id)
{
	wf_aside_put(&refused, effect_id, WF_REFUSED_US);
}

TimestampTz
wf_tell_next(void)
{
	return next_telling;
}
