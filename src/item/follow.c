/*
 * follow.c
 *	  The jobs of an effect follow its state.
 *
 * What a job is to do is read from the ledger under the locks of its item, the
 * job and the effect, in this order.  None of them is waited for: a row that
 * somebody holds is told later, by whoever is asked again.  So an effect may be
 * settled in one transaction and its jobs be told in another one: what a crash
 * between the two leaves behind is in the tables.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/plan.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* How soon a job is told again that could not be. */
#define TELL_AGAIN_US	(INT64CONST(60) * 1000000)

/*
 * See item.h.
 */
List *
wf_item_jobs_of_effect(int64 effect_id, const WfJob *own)
{
	static WfPlan plan = {
		.name = "jobs of effect",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT8OID},
		.sql = "SELECT job_id, COALESCE(item_id, 0) FROM workflow.job "
		"WHERE effect_id = $1 AND status <> 'dead' "
		"ORDER BY job_id <> $2, status <> 'running', status <> 'ready', job_id",
	};
	Datum		values[2] = {Int64GetDatum(effect_id), Int64GetDatum(own == NULL ? 0 : own->job_id)};
	uint64		found = wf_plan_execute(&plan, values, NULL);
	List	   *jobs = NIL;

	for (uint64 row = 0; row < found; row++)
	{
		WfJob	   *job = palloc0(sizeof(WfJob));

		job->job_id = wf_result_int8(row, 1);
		job->item_id = wf_result_int8(row, 2);
		job->effect_id = effect_id;
		if (own != NULL && own->job_id == job->job_id)
			job->token = own->token;
		jobs = lappend(jobs, job);
	}

	return jobs;
}

/*
 * A job with its item (NULL: none), both locked.
 */
typedef struct Held
{
	WfItem	   *item;
	WfJob	   *job;
} Held;

/*
 * A job can only be without its item when somebody deleted that by hand.
 */
static WfHold
bury_orphan(const WfJob *found)
{
	WfJob	   *job = wf_queue_try_lock(found->job_id);

	if (job == NULL)
		return wf_queue_exists(found->job_id) ? WF_HOLD_LATER : WF_HOLD_GONE;
	wf_queue_bury(job, NULL, "permanent",
				  psprintf("Item " INT64_FORMAT " does not exist any more.", found->item_id),
				  NULL);

	return WF_HOLD_GONE;
}

static bool
is_taken_over(const WfJob *found, const WfJob *job)
{
	return found->token != NULL && strcmp(job->status, "running") == 0 &&
		(job->token == NULL || strcmp(job->token, found->token) != 0);
}

/*
 * Locks a job after its item, without waiting.  A job whose token is given is
 * gone, too, when somebody else has claimed it since.
 */
static WfHold
hold(const WfJob *found, Held *held)
{
	held->item = NULL;
	if (found->item_id != 0)
	{
		held->item = wf_item_try_lock(found->item_id);
		if (held->item == NULL && wf_item_find(found->item_id) != NULL)
			return WF_HOLD_LATER;
		if (held->item == NULL)
			return bury_orphan(found);
	}
	held->job = wf_queue_try_lock(found->job_id);
	if (held->job == NULL)
		return wf_queue_exists(found->job_id) ? WF_HOLD_LATER : WF_HOLD_GONE;
	if (is_taken_over(found, held->job) ||
		(held->item != NULL && !wf_item_visit_goes_on(held->item, held->job)))
		return WF_HOLD_GONE;

	return WF_HOLD_GOT;
}

/*
 * See item.h.
 */
WfHold
wf_item_hold_job(const WfJob *job)
{
	Held		held;

	return hold(job, &held);
}

static void
make_ready(const Held *held, TimestampTz at, const char *waiting_on)
{
	if (strcmp(held->job->status, "running") == 0)
		wf_queue_release(held->job, at, waiting_on);
	else
		wf_queue_unpark(held->job->job_id, at, false);
}

/*
 * A timeout that waited for the effect need not wait any longer, unless the
 * outcome is still open.
 */
static void
revive_timeout(const Held *held)
{
	if (held->item != NULL)
		wf_item_revive_timeout(held->item);
}

static void
fail_for_good(const Held *held, const WfEffectOutcome *outcome, const WfFollow *follow)
{
	wf_item_fail_job_for_good(held->job, outcome->error_class, outcome->message,
							  outcome->result, follow->actor);
	revive_timeout(held);
}

/*
 * Applies the state of an effect to one of its jobs.
 */
static void
apply(const Held *held, const WfEffectOutcome *outcome, const WfFollow *follow)
{
	switch (outcome->disposition)
	{
		case WF_EFFECT_SUCCEEDED:
			wf_item_settle_tokens(held->job, outcome, true);
			wf_item_complete_job(held->job, "ok", outcome->result, follow->actor);
			break;
		case WF_EFFECT_FAILED:
			wf_item_settle_tokens(held->job, outcome, true);
			if (held->item != NULL && wf_item_reask(held->job, outcome))
				break;
			fail_for_good(held, outcome, follow);
			break;
		case WF_EFFECT_DEAD:
			wf_item_settle_tokens(held->job, outcome, true);
			fail_for_good(held, outcome, follow);
			break;
		case WF_EFFECT_AGAIN:
		case WF_EFFECT_BEFORE_DONE:
			wf_item_settle_tokens(held->job, outcome, follow->waiting_on == NULL);
			make_ready(held, Max(wf_now(), Max(outcome->next_at, follow->not_before)),
					   follow->waiting_on);
			revive_timeout(held);
			break;
		case WF_EFFECT_BLOCKED:
			wf_item_settle_tokens(held->job, outcome, true);
			wf_queue_park(held->job, "blocked", outcome->error_class, outcome->message);
			revive_timeout(held);
			break;
		case WF_EFFECT_UNKNOWN:
		case WF_EFFECT_HELD:
			wf_queue_park(held->job, "effect", outcome->error_class, outcome->message);
			break;
		case WF_EFFECT_STALE:
		case WF_EFFECT_BUSY:
			break;
	}
}

/*
 * The job stands alone and looks up what became of the call of an item that has
 * left.  It ends with the answer, or when another item wants it, and never sends.
 */
static bool
has_looked_up(const Held *held, const WfEffectOutcome *outcome)
{
	if (held->item != NULL || !outcome->is_of_item)
		return false;
	switch (outcome->disposition)
	{
		case WF_EFFECT_SUCCEEDED:
		case WF_EFFECT_FAILED:
		case WF_EFFECT_DEAD:
		case WF_EFFECT_HELD:
			break;
		case WF_EFFECT_AGAIN:
			if (wf_effect_cancel_unwanted(outcome->effect_id) ||
				wf_effect_is_wanted(outcome->effect_id))
				break;
			return false;
		default:
			return false;
	}
	wf_queue_drop(held->job->job_id);

	return true;
}

/*
 * Whether all jobs of the effect are concerned, those included that wait for
 * its result, and not only the one that carries it.
 */
static bool
concerns_all(const WfEffectOutcome *outcome)
{
	return outcome->disposition == WF_EFFECT_SUCCEEDED ||
		outcome->disposition == WF_EFFECT_FAILED ||
		outcome->disposition == WF_EFFECT_DEAD;
}

/*
 * Somebody else's job must not be taken from it while that sends.
 */
static bool
is_sent_by_another(const WfJob *found, const WfEffectOutcome *outcome)
{
	return outcome->disposition == WF_EFFECT_UNKNOWN && found->token == NULL;
}

/*
 * See item.h.
 */
WfFollowed
wf_item_follow_effect(const WfFollow *follow, const WfJob *found)
{
	WfEffectOutcome outcome;
	Held		held;

	switch (hold(found, &held))
	{
		case WF_HOLD_LATER:
			return WF_FOLLOW_LATER;
		case WF_HOLD_GONE:
			return WF_FOLLOWED_MORE;
		case WF_HOLD_GOT:
			break;
	}
	outcome = wf_effect_hold_standing(found->effect_id);
	if (outcome.disposition == WF_EFFECT_BUSY)
		return WF_FOLLOW_LATER;
	if (is_sent_by_another(found, &outcome))
		return WF_FOLLOWED_ALL;
	if (has_looked_up(&held, &outcome))
		return WF_FOLLOWED_MORE;
	apply(&held, &outcome, follow);

	return concerns_all(&outcome) ? WF_FOLLOWED_MORE : WF_FOLLOWED_ALL;
}

/*
 * See item.h.
 */
bool
wf_item_put_off(const WfJob *found, const char *why)
{
	WfJob	   *job = wf_queue_try_lock(found->job_id);

	if (job == NULL)
		return !wf_queue_exists(found->job_id);
	if (!is_taken_over(found, job))
		wf_queue_park_until(job, "blocked", wf_now() + TELL_AGAIN_US, "permanent",
							psprintf("What became of effect " INT64_FORMAT
									 " is on record, but it could not be applied: %s",
									 found->effect_id, why));

	return true;
}

/*
 * For people: what cannot be had now is told soon by the maintenance worker.
 */
void
wf_item_effect_settled(int64 effect_id, const char *actor)
{
	WfFollow	follow = {.actor = actor};
	ListCell   *cell;

	foreach(cell, wf_item_jobs_of_effect(effect_id, NULL))
	{
		WfFollowed	followed = wf_item_follow_effect(&follow, lfirst(cell));

		if (followed == WF_FOLLOW_LATER)
			wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);
		if (followed == WF_FOLLOWED_ALL)
			break;
	}
}
