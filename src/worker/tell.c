/*
 * tell.c
 *	  Telling jobs what became of their effects.
 *
 * The ledger knows it already, committed; so nothing is lost when a job cannot
 * be told now, and nobody is waited for.  Each job is told in a subtransaction:
 * one that raises costs itself only.
 */
#include "postgres.h"

#include "item/item.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/guc.h"
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
wf_tell_jobs(const WfDispatcher *by, int64 effect_id, const WfJob *own, TimestampTz not_before)
{
	Telling		telling = {.follow = {not_before, by->actor}};
	bool		told_all = true;
	ListCell   *cell;

	foreach(cell, wf_item_jobs_of_effect(effect_id, own))
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
