/*
 * stubs.c
 *	  Definitions that the item room owes to the others.
 */
#include "postgres.h"

#include "item/item.h"

WfItem *
wf_item_lock(int64 item_id)
{
	elog(ERROR, "wf_item_lock is not built yet");
	return NULL;
}

WfItem *
wf_item_move(const WfItem *item, const WfMove *move)
{
	elog(ERROR, "wf_item_move is not built yet");
	return NULL;
}

void
wf_item_complete_job(const WfJob *job, const char *event, Jsonb *result, const char *actor)
{
	elog(ERROR, "wf_item_complete_job is not built yet");
}

void
wf_item_fail_job(const WfJob *job, const char *error_class, const char *message,
				 int64 retry_after_us, Jsonb *detail, const char *actor)
{
	elog(ERROR, "wf_item_fail_job is not built yet");
}

void
wf_item_fail_job_for_good(const WfJob *job, const char *error_class,
						  const char *message, Jsonb *detail, const char *actor)
{
	elog(ERROR, "wf_item_fail_job_for_good is not built yet");
}

void
wf_item_effect_settled(const WfEffectOutcome *outcome, const char *actor)
{
	elog(ERROR, "wf_item_effect_settled is not built yet");
}

void
wf_item_run_sql(const WfJob *job, const char *actor)
{
	elog(ERROR, "wf_item_run_sql is not built yet");
}

int
wf_item_fire_timers(int limit, const char *actor)
{
	elog(ERROR, "wf_item_fire_timers is not built yet");
	return 0;
}

TimestampTz
wf_item_next_timer(void)
{
	elog(ERROR, "wf_item_next_timer is not built yet");
	return 0;
}

Jsonb *
wf_item_job_policy(const WfJob *job)
{
	elog(ERROR, "wf_item_job_policy is not built yet");
	return NULL;
}
