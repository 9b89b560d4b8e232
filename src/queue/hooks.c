/*
 * hooks.c
 *	  What the item room knows about the jobs of items.
 */
#include "postgres.h"

#include "queue_internal.h"

static WfItemHooks item_hooks = {0};

void
wf_queue_set_item_hooks(const WfItemHooks *hooks)
{
	item_hooks = *hooks;
}

/*
 * The policy object of a job: that of its state, else of its queue; NULL when
 * there is none.
 */
Jsonb *
wf_job_policy(const WfJob *job)
{
	Jsonb	   *policy = job->item_id != 0 && item_hooks.job_policy != NULL ?
	item_hooks.job_policy(job) : NULL;

	return policy != NULL ? policy : wf_job_queue_policy(job->queue);
}

/*
 * Whether the item of a job (0: it stands alone) is paused, by itself or with
 * its workflow.
 */
bool
wf_job_is_paused(int64 item_id)
{
	return item_id != 0 && item_hooks.is_paused != NULL && item_hooks.is_paused(item_id);
}

/*
 * Lets the item of a job whose attempts are spent go on; false when the job
 * has none.
 */
bool
wf_job_tell_spent(const WfJob *job, const char *error_class, const char *message)
{
	if (job->item_id == 0 || item_hooks.job_spent == NULL)
		return false;
	item_hooks.job_spent(job, error_class, message);

	return true;
}
