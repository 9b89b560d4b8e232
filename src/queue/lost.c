/*
 * lost.c
 *	  What becomes of a job whose claimer is gone.
 *
 * The attempt is charged: a job that brings its workers down is a poison job
 * and becomes a dead letter when its attempts are spent.
 *
 * A claim that was committed is there to be found, and its job is ready again
 * at once.
 */
#include "postgres.h"

#include "base/try.h"
#include "catalog/pg_type.h"
#include "queue_internal.h"
#include "retry/policy.h"
#include "storage/ipc.h"

static WfPlan lock_item_plan = {
	.name = "lost_lock_item",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT 1 FROM workflow.item AS i WHERE i.item_id = $1 FOR UPDATE SKIP LOCKED",
};

/*
 * Locks the item of a job without waiting.  Others lock the item first, so
 * waiting for it with the job locked could end in a deadlock.
 */
static bool
try_lock_item(int64 item_id)
{
	Datum		value = Int64GetDatum(item_id);

	return wf_plan_execute(&lock_item_plan, &value, NULL) > 0;
}

typedef struct Spent
{
	const WfJob *job;
	const char *message;
	bool		is_told;
} Spent;

static void
tell_spent(void *argument)
{
	Spent	   *spent = argument;

	spent->is_told = wf_job_tell_spent(spent->job, spent->message);
}

/*
 * Ends the life of a job whose attempts are spent; false when that has to wait
 * for a better moment.  Where its item cannot follow, the job is a dead letter
 * that says so, and is no reason to stop for whoever gives back.
 */
static bool
end_spent(const WfJob *job, const char *message)
{
	Spent		spent = {job, message, false};
	ErrorData  *error;

	if (job->item_id != 0 && (proc_exit_inprogress || !try_lock_item(job->item_id)))
		return false;
	error = wf_try(tell_spent, &spent);
	if (error != NULL && wf_error_is_passing(error->sqlerrcode))
		ReThrowError(error);
	if (error != NULL)
		message = psprintf("%s; its item could not go on: %s", message, error->message);
	if (error != NULL || !spent.is_told)
		wf_job_poison(job, message);

	return true;
}

/*
 * Gives back a claimed job; false when that has to wait.
 */
bool
wf_job_give_back(const WfJob *job, const char *why)
{
	char	   *message = psprintf("%s with the job unfinished; worker was \"%s\"", why,
								   job->worker == NULL ? "" : job->worker);

	if (job->attempt >= wf_policy_from_jsonb(wf_job_policy(job), NULL)->max_attempts)
		return end_spent(job, message);
	wf_job_lost(job, message);

	return true;
}
