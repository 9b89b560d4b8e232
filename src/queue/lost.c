/*
 * lost.c
 *	  What becomes of a job whose claimer is gone.
 *
 * The attempt is charged: a job that brings its workers down is a poison job
 * and becomes a dead letter when its attempts are spent.
 *
 * A claim that was committed is there to be found, and its job is ready again
 * at once.  A worker that runs sql activities claims in the transaction in
 * which it runs them, so that nothing of a claim is left when it dies; which
 * job it was running then is told from outside (WfDeath).  That job may be
 * what killed it, and so waits for as long as the policy says.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/try.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "queue_internal.h"
#include "retry/policy.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

/* How soon a job is looked at again whose item somebody holds. */
#define HELD_US INT64CONST(1000000)

static WfPlan lock_item_plan = {
	.name = "lost_lock_item",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT 1 FROM workflow.item AS i WHERE i.item_id = $1 FOR UPDATE SKIP LOCKED",
};

/* A charged attempt has moved the number on: nothing is charged twice. */
#define IS_UNCHARGED \
	"WHERE j.job_id = $1 AND j.attempt = $2 - 1 " \
	"  AND (j.status = 'ready' OR j.status = 'waiting' AND j.waiting_on = 'paused') "

static WfPlan lock_uncharged_plan = {
	.name = "lock_uncharged_job",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = WF_JOB_SELECT IS_UNCHARGED "FOR UPDATE OF j SKIP LOCKED",
};

static WfPlan uncharged_plan = {
	.name = "uncharged_job",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = "SELECT 1 FROM workflow.job AS j " IS_UNCHARGED,
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
	const char *error_class;
	const char *message;
	bool		is_told;
} Spent;

static void
tell_spent(void *argument)
{
	Spent	   *spent = argument;

	spent->is_told = wf_job_tell_spent(spent->job, spent->error_class, spent->message);
}

/*
 * Ends the life of a job whose attempts are spent; false when that has to wait
 * for a better moment.  Where its item cannot follow, the job is a dead letter
 * that says so, and is no reason to stop for whoever gives back.
 */
static bool
end_spent(const WfJob *job, const char *error_class, const char *message)
{
	Spent		spent = {job, error_class, message, false};
	ErrorData  *error;

	if (job->item_id != 0 && (proc_exit_inprogress || !try_lock_item(job->item_id)))
		return false;
	error = wf_try(tell_spent, &spent);
	if (error != NULL && wf_error_is_passing(error->sqlerrcode))
		ReThrowError(error);
	if (error != NULL)
		message = psprintf("%s; its item could not go on: %s", message, error->message);
	if (error != NULL || !spent.is_told)
		wf_queue_bury(job, NULL, error_class, message, NULL);

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
		return end_spent(job, "poison", message);
	wf_job_lost(job, NULL, message, 0);

	return true;
}

/*
 * The job as it was claimed, were the claim still there.
 */
static WfJob *
claimed_job(uint64 row, const WfDeath *death)
{
	WfJob	   *job = wf_job_from_row(row);

	job->status = "running";
	job->attempt = death->attempt;
	job->worker = death->worker;
	job->claimed_at = death->began_at;

	return job;
}

static bool
charge(const WfJob *job, const WfDeath *death)
{
	WfRetryPolicy *policy = wf_policy_from_jsonb(wf_job_policy(job), NULL);
	double		random01 = pg_prng_double(&pg_global_prng_state);
	WfRetryDecision decision;
	char	   *message;

	if (!death->has_timed_out)
	{
		message = psprintf("the process \"%s\" ended while it ran the job", job->worker);
		if (job->attempt >= policy->max_attempts)
			return end_spent(job, "poison", message);
		wf_job_lost(job, NULL, message, wf_retry_delay_us(policy, job->attempt, random01));
		return true;
	}
	message = psprintf("the activity took longer than its policy's timeout, caught every interrupt, "
					   "and was ended with its worker, \"%s\"", job->worker);
	decision = wf_retry_decide(policy, job->attempt, "timeout", -1, random01);
	if (!decision.retry)
		return end_spent(job, "timeout", message);
	wf_job_lost(job, "timeout", message, decision.delay_us);

	return true;
}

bool
wf_queue_charge_death(const WfDeath *death)
{
	Datum		values[] = {Int64GetDatum(death->job_id), Int32GetDatum(death->attempt)};

	if (wf_plan_execute(&lock_uncharged_plan, values, NULL) == 0)
		return wf_plan_execute(&uncharged_plan, values, NULL) == 0;

	return charge(claimed_job(0, death), death);
}

void
wf_queue_charge_claimed(const WfJob *job, const WfDeath *death)
{
	WfJob		died = *job;

	died.worker = death->worker;
	died.claimed_at = death->began_at;
	if (!charge(&died, death))
		wf_queue_release(job, wf_now() + HELD_US, NULL);
}
