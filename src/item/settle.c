/*
 * settle.c
 *	  The ends of jobs: what they mean for their items.
 *
 * The item is locked before its job, everywhere, so that an event that moves
 * the item and a worker that finishes its job meet in one order.  Who comes
 * second finds the visit over: the job is gone, and its result with it.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "item/enforced.h"
#include "item/item_internal.h"
#include "item/lone.h"

/*
 * The state of the visit that a job belongs to.
 */
static const WfState *
state_of_job(const WfItem *item)
{
	return wf_item_state(wf_graph(item->workflow, item->version), item->state);
}

/*
 * Whether the item is still in the visit that the job belongs to; if not, the
 * job is dropped.
 */
bool
wf_item_visit_goes_on(const WfItem *item, const WfJob *job)
{
	if (item->seq == job->seq)
		return true;
	wf_queue_drop(job->job_id);

	return false;
}

static void
require_job_event(const WfJob *job, const char *event)
{
	if (strcmp(event, "ok") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WF_NO_TRANSITION),
				 errmsg("job " INT64_FORMAT " belongs to no item: event \"%s\" leads nowhere",
						job->job_id, event),
				 errdetail("It stands alone in queue \"%s\".", job->queue),
				 errhint("Complete it with event \"ok\".")));
}

/*
 * See item.h.
 */
void
wf_item_complete_job(const WfJob *job, const char *event, Jsonb *result,
					 const char *actor)
{
	if (job->item_id == 0)
	{
		require_job_event(job, event);
		wf_queue_finish(job, result);
		return;
	}
	wf_item_complete_visit(wf_item_lock(job->item_id), job, event, result, actor);
}

/*
 * The same of an item that is locked and was read since.
 */
void
wf_item_complete_visit(const WfItem *item, const WfJob *job, const char *event,
					   Jsonb *result, const char *actor)
{
	const WfState *state;
	WfMove		move = {0};

	if (!wf_item_visit_goes_on(item, job))
		return;
	state = state_of_job(item);

	wf_queue_finish(job, NULL);
	move.event = event;
	move.kind = "engine";
	move.actor = actor;
	move.event_data = result;
	if (result != NULL && state->result_key != NULL)
		move.data = wf_jsonb_with(item->data, state->result_key, result);
	(void) wf_item_move_on(item, &move, true);
}

/*
 * Raises "error" where the state handles it; else the dead letter stays.
 */
static void
raise_error(const WfItem *item, const WfFault *fault, Jsonb *detail, const char *actor)
{
	WfMove		move = {0};

	if (wf_state_transition(state_of_job(item), "error") == NULL)
		return;
	move.event = "error";
	move.kind = "engine";
	move.actor = actor;
	move.reason = fault->message != NULL ? fault->message : fault->error_class;
	move.event_data = wf_item_error_data(fault->error_class, fault->message, detail);
	(void) wf_item_move(item, &move);
}

/*
 * A failure on its way through the policy.
 */
typedef struct Failure
{
	WfFault		fault;
	int64		retry_after_us;
	Jsonb	   *detail;
	const char *actor;
	bool		is_final;
} Failure;

static WfFailure
fail_job(const WfJob *job, Jsonb *policy, const Failure *failure)
{
	const WfFault *fault = &failure->fault;

	if (failure->is_final)
	{
		wf_queue_bury(job, policy, fault->error_class, fault->message, failure->detail);
		return WF_FAILURE_DEAD;
	}

	return wf_queue_fail(job, policy, fault->error_class, fault->message,
						 failure->retry_after_us, failure->detail);
}

static void
fail(const WfJob *job, const Failure *failure)
{
	WfItem	   *item;

	if (job->item_id == 0)
	{
		(void) fail_job(job, NULL, failure);
		return;
	}
	item = wf_item_lock(job->item_id);
	if (!wf_item_visit_goes_on(item, job))
		return;
	if (fail_job(job, state_of_job(item)->retry, failure) == WF_FAILURE_DEAD)
		raise_error(item, &failure->fault, failure->detail, failure->actor);
}

/*
 * See item.h.
 */
void
wf_item_fail_job(const WfJob *job, const char *error_class, const char *message,
				 int64 retry_after_us, Jsonb *detail, const char *actor)
{
	Failure		failure = {
		.fault = {error_class, message},
		.retry_after_us = retry_after_us,
		.detail = detail,
		.actor = actor,
	};

	fail(job, &failure);
}

/*
 * See item.h.
 */
void
wf_item_fail_job_for_good(const WfJob *job, const char *error_class,
						  const char *message, Jsonb *detail, const char *actor)
{
	Failure		failure = {
		.fault = {error_class, message},
		.retry_after_us = -1,
		.detail = detail,
		.actor = actor,
		.is_final = true,
	};

	fail(job, &failure);
}

/*
 * See item.h.
 */
Jsonb *
wf_item_job_policy(const WfJob *job)
{
	WfItem	   *item;
	const WfState *state;

	if (job->item_id == 0 || job->state == NULL)
		return NULL;
	item = wf_item_find(job->item_id);
	if (item == NULL)
		return NULL;
	state = wf_graph_state(wf_graph(item->workflow, item->version), job->state);

	return state == NULL ? NULL : state->retry;
}

static void
job_spent(const WfJob *job, const char *error_class, const char *message)
{
	wf_item_fail_job_for_good(job, error_class, message, NULL, WF_ACTOR_ENGINE);
}

/*
 * Called when the library is loaded: tells the queue room what it has to know
 * about the jobs of items.
 */
void
wf_item_init(void)
{
	static const WfItemHooks hooks = {wf_item_job_policy, wf_item_is_paused, job_spent};

	wf_queue_set_item_hooks(&hooks);
	wf_item_restrict_init();
	wf_item_log_init();
	wf_enforced_init();
	wf_lone_init();
}
